/**
 * The line to the server: events in, and the honest answer to "is it still there?". Resumes with Last-Event-ID.
 *
 * Theory of operation. The server sends a `clock` event each second. `tick` comes from the watchdog worker; a line that
 * was silent for SILENT_MS is closed and opened anew, with growing pauses; a page whose last message is LOST_MS old has
 * lost its server and must say so (`lost`). fetch rather than EventSource, because that hides the status: a page that
 * is not signed in any more must not go on trying as if the network were gone.
 *
 *     waiting ──tick, pause over──▶ opening ──answer──▶ open
 *        ▲────────────failed, ended, silent────────┴──────┘        any ──refused──▶ refused ──pause over──▶ opening
 */

import { EventStreamParser } from "./event-stream.js";

/** @typedef {"waiting" | "opening" | "open" | "refused"} LinkState */
/**
 * @typedef {object} LinkListener
 * @property {() => void} onOpen a new connection stands: fetch what you show afresh
 * @property {(type: string, data: any) => void} onEvent
 * @property {(status: number) => void} onRefused 401 or 403
 */

/** With the ticks' 250 ms and time to draw this is said within 3 s. */
const LOST_MS = 2600;
const SILENT_MS = 3000;
const FIRST_PAUSE_MS = 250;
const LONGEST_PAUSE_MS = 2000;
const REFUSED_PAUSE_MS = 5000;

export class ServerLink {
  /** @type {LinkState} */
  #state = "waiting";
  #heardMs = performance.now();
  #startedMs = 0;
  #retryMs = 0;
  #pauseMs = FIRST_PAUSE_MS;
  #lastId = "";
  /** @type {AbortController | null} */
  #abort = null;
  #path;
  #listener;

  /**
   * @param {string} path
   * @param {LinkListener} listener
   */
  constructor(path, listener) {
    this.#path = path;
    this.#listener = listener;
  }

  get state() {
    return this.#state;
  }

  /** When the last message came, as `performance.now()`. */
  get heardMs() {
    return this.#heardMs;
  }

  /**
   * @param {number} nowMs
   * @returns {boolean} whether the server has been silent for too long to trust anything on the page
   */
  lost(nowMs) {
    return this.#state !== "refused" && nowMs - this.#heardMs > LOST_MS;
  }

  /** @param {number} nowMs `performance.now()`, several times a second */
  tick(nowMs) {
    if (this.#state === "waiting" || this.#state === "refused") {
      if (nowMs >= this.#retryMs) void this.#run(nowMs);
    } else if (nowMs - Math.max(this.#startedMs, this.#state === "open" ? this.#heardMs : 0) > SILENT_MS) {
      this.drop("silent");
    }
  }

  /**
   * Close the line and open it anew.
   * @param {string} why for the log
   */
  drop(why) {
    this.#abort?.abort();
    this.#fail(why);
  }

  /** @param {number} nowMs */
  async #run(nowMs) {
    const abort = new AbortController();
    this.#abort = abort;
    this.#startedMs = nowMs;
    this.#set("opening", "");
    try {
      /** @type {Record<string, string>} */
      const headers = { Accept: "text/event-stream" };
      if (this.#lastId) headers["Last-Event-ID"] = this.#lastId;
      const answer = await fetch(this.#path, { headers, cache: "no-store", signal: abort.signal });
      if (abort.signal.aborted) return;
      if (answer.status === 401 || answer.status === 403) {
        this.#retryMs = performance.now() + REFUSED_PAUSE_MS;
        this.#set("refused", `status ${answer.status}`);
        this.#listener.onRefused(answer.status);
        return;
      }
      if (!answer.ok || !answer.body) {
        this.#fail(`status ${answer.status}`);
        return;
      }
      this.#set("open", "");
      this.#listener.onOpen();
      await this.#read(answer.body, abort.signal);
      if (!abort.signal.aborted) this.#fail("ended");
    } catch (error) {
      if (!abort.signal.aborted) this.#fail(error instanceof Error ? error.name : "?");
    }
  }

  /**
   * @param {ReadableStream<Uint8Array>} body
   * @param {AbortSignal} signal
   */
  async #read(body, signal) {
    const reader = body.getReader();
    const decoder = new TextDecoder();
    const parser = new EventStreamParser();
    for (;;) {
      const { done, value } = await reader.read();
      if (done || signal.aborted) return;
      for (const event of parser.feed(decoder.decode(value, { stream: true }))) {
        this.#heardMs = performance.now();
        this.#pauseMs = FIRST_PAUSE_MS;
        if (event.id) this.#lastId = event.id;
        this.#listener.onEvent(event.type, JSON.parse(event.data));
      }
    }
  }

  /** @param {string} why */
  #fail(why) {
    this.#retryMs = performance.now() + this.#pauseMs * (0.75 + Math.random() / 2);
    this.#pauseMs = Math.min(this.#pauseMs * 2, LONGEST_PAUSE_MS);
    this.#set("waiting", why);
  }

  /**
   * @param {LinkState} state
   * @param {string} why
   */
  #set(state, why) {
    if (state === this.#state) return;
    console.debug("server link: %s -> %s %s", this.#state, state, why);
    this.#state = state;
  }
}
