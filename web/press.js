/**
 * One press on its way to the server: sent again and again under the same id until it is answered, so that it is
 * neither lost nor doubled; also over a reload of the page. Must never begin anew a press that is long past.
 */

import { ask, NoAnswer } from "./api.js";

/** @typedef {import("./api.js").Call} Call */

const FIRST_PAUSE_MS = 300;
const LONGEST_PAUSE_MS = 2000;
/** A press that was not sent for longer than this before a reload is not sent any more: nobody waits for it. */
const FORGOTTEN_MS = 300_000;

/** @returns {string} a random UUID (RFC 9562 section 5.4); crypto.randomUUID is missing on a page without TLS */
function makeId() {
  const random = crypto.getRandomValues(new Uint8Array(16));
  random[6] = (/** @type {number} */ (random[6]) & 0x0f) | 0x40;
  random[8] = (/** @type {number} */ (random[8]) & 0x3f) | 0x80;
  const hex = Array.from(random, (octet) => octet.toString(16).padStart(2, "0")).join("");
  return hex.replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, "$1-$2-$3-$4-$5");
}

export class Press {
  /** @type {string | null} id of the press that waits for an answer */
  #id = null;
  #sinceMs = 0;
  #refused = false;
  #sending = false;
  #button;
  #onCall;

  /**
   * @param {string} button
   * @param {(call: Call) => void} onCall the server's answer
   */
  constructor(button, onCall) {
    this.#button = button;
    this.#onCall = onCall;
  }

  /** Since when a press waits, as `performance.now()`; null where none does. */
  get sinceMs() {
    return this.#id === null ? null : this.#sinceMs;
  }

  /** Whether the server refused it: it is tried all the same. */
  get refused() {
    return this.#refused;
  }

  /** @param {string} bay */
  begin(bay) {
    if (this.#id !== null) return; // it is being sent already
    this.#id = makeId();
    this.#sinceMs = performance.now();
    localStorage.setItem(this.#key, JSON.stringify({ id: this.#id, bay, atMs: Date.now() }));
    void this.#send(bay);
  }

  /** Go on with a press that a reload interrupted. */
  resume() {
    const kept = localStorage.getItem(this.#key);
    if (!kept || this.#id !== null) return;
    const { id, bay, atMs } = JSON.parse(kept);
    if (Date.now() - atMs > FORGOTTEN_MS) return localStorage.removeItem(this.#key);
    this.#id = id;
    this.#sinceMs = performance.now() - (Date.now() - atMs);
    void this.#send(bay);
  }

  get #key() {
    return `vigil.press.${this.#button}`;
  }

  /** @param {string} bay */
  async #send(bay) {
    if (this.#sending) return;
    this.#sending = true;
    for (let pause = FIRST_PAUSE_MS; this.#id !== null; pause = Math.min(pause * 2, LONGEST_PAUSE_MS)) {
      try {
        const body = { id: this.#id, button: this.#button };
        const path = `/api/bays/${encodeURIComponent(bay)}/calls`;
        const answer = /** @type {import("./api.js").Answer<Call>} */ (await ask("POST", path, body));
        this.#refused = !answer.ok;
        if (answer.data) {
          this.#id = null;
          localStorage.removeItem(this.#key);
          this.#onCall(answer.data);
          break;
        }
        console.info("press: refused with status %d, trying again", answer.status);
      } catch (error) {
        if (!(error instanceof NoAnswer)) throw error;
        console.info("press: no answer (%s), trying again", error.message);
      }
      await new Promise((resolve) => setTimeout(resolve, pause));
    }
    this.#sending = false;
  }
}
