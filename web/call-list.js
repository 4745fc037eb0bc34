/**
 * The open calls, on top of the wall: who calls, for how long, who answers; and the steps that a nurse may take.
 * Must never hide a ringing call behind one that rings no more.
 */

import { ask, NoAnswer } from "./api.js";
import { callValues } from "./bay-tile.js";
import { element, setIcon, setText } from "./dom.js";
import { counted, elapsed, word } from "./words.js";

/** @typedef {import("./api.js").Call} Call */
/** @typedef {"acknowledge" | "attend" | "close"} Step */

/** What a nurse may do next. @type {Record<string, Step>} */
const NEXT = { ringing: "acknowledge", escalated: "acknowledge", acknowledged: "attend", attended: "close" };
const SHOWN = 6;
const NOTE_MS = 6000;

/** @param {Call} call */
export function rings(call) {
  return call.state === "ringing" || call.state === "escalated";
}

/**
 * Ringing before answered, and the oldest first.
 * @param {Iterable<Call>} calls
 * @returns {Call[]}
 */
export function inOrder(calls) {
  return [...calls].sort((a, b) => Number(rings(b)) - Number(rings(a)) || a.pressed_at - b.pressed_at);
}

class CallCard {
  node = element("article", { class: "call" });
  #icon = element("span", { class: "call-icon" });
  #bay = element("span", { class: "call-bay" });
  #text = element("span", { class: "call-text" });
  #time = element("span", { class: "call-time", role: "timer" });
  #step = element("button", { type: "button" });
  #note = { key: "", untilMs: 0 };
  /** @type {Call} */
  #call;
  #onCall;

  /**
   * @param {Call} call
   * @param {boolean} mayAct
   * @param {(call: Call) => void} onCall an answer that holds the call anew
   */
  constructor(call, mayAct, onCall) {
    this.#call = call;
    this.#onCall = onCall;
    const words = element("div", { class: "call-words" }, this.#bay, this.#text);
    this.node.append(this.#icon, words, this.#time);
    if (mayAct) this.node.append(this.#step);
    this.#step.addEventListener("click", () => void this.#act());
  }

  async #act() {
    const step = NEXT[this.#call.state];
    if (!step) return;
    this.#step.disabled = true;
    try {
      const path = `/api/calls/${encodeURIComponent(this.#call.id)}/${step}`;
      const answer = /** @type {import("./api.js").Answer<Call>} */ (await ask("POST", path, {}));
      if (answer.data) this.#onCall(answer.data);
      else this.#note = { key: "call.refused", untilMs: performance.now() + NOTE_MS };
    } catch (error) {
      if (!(error instanceof NoAnswer)) throw error;
      this.#note = { key: "call.failed", untilMs: performance.now() + NOTE_MS };
    } finally {
      this.#step.disabled = false;
    }
  }

  /**
   * @param {Call} call
   * @param {string} bayName
   * @param {number | null} nowMs service time
   * @param {number} pageMs `performance.now()`
   */
  draw(call, bayName, nowMs, pageMs) {
    if (call.state !== this.#call.state) this.#note.untilMs = 0; // it did go through, or somebody else was quicker
    this.#call = call;
    this.node.dataset["state"] = call.state;
    setIcon(this.#icon, rings(call) ? "bell" : call.state === "attended" ? "here" : "person");
    setText(this.#bay, bayName);
    const state = word(`call.state.${call.state}`, callValues(call));
    const presses = call.presses > 1 ? ` · ${counted("call.presses", call.presses)}` : "";
    setText(this.#text, pageMs < this.#note.untilMs ? word(this.#note.key) : state + presses);
    setText(this.#time, nowMs === null ? "" : elapsed(nowMs - call.pressed_at));
    const step = NEXT[call.state];
    this.#step.hidden = !step;
    if (step) setText(this.#step, word(`call.${step}`));
  }
}

export class CallList extends HTMLElement {
  /** @type {Map<string, CallCard>} */
  #cards = new Map();
  #more = element("p", { class: "call-more" });
  #mayAct = false;
  /** @type {(call: Call) => void} */
  #onCall = () => undefined;

  /**
   * @param {boolean} mayAct whether the role may answer calls
   * @param {(call: Call) => void} onCall
   */
  setUp(mayAct, onCall) {
    this.#mayAct = mayAct;
    this.#onCall = onCall;
    this.setAttribute("role", "region");
    this.setAttribute("aria-live", "assertive");
    return this;
  }

  /**
   * @param {Call[]} calls open ones, in order
   * @param {(bay: string) => string} bayName
   * @param {number | null} nowMs service time
   * @param {number} pageMs `performance.now()`
   */
  draw(calls, bayName, nowMs, pageMs) {
    const visible = calls.slice(0, SHOWN);
    this.hidden = !calls.length;
    this.setAttribute("aria-label", word("calls.label"));
    const ids = new Set(visible.map(({ id }) => id));
    for (const [id, card] of this.#cards) {
      if (ids.has(id)) continue;
      card.node.remove();
      this.#cards.delete(id);
    }
    visible.forEach((call, place) => {
      const card = this.#cards.get(call.id) ?? new CallCard(call, this.#mayAct, this.#onCall);
      this.#cards.set(call.id, card);
      card.draw(call, bayName(call.bay), nowMs, pageMs);
      if (this.children[place] !== card.node) this.insertBefore(card.node, this.children[place] ?? null);
    });
    const hidden = calls.length - visible.length;
    if (hidden) {
      setText(this.#more, counted("calls.more", hidden));
      if (this.lastElementChild !== this.#more) this.append(this.#more);
    } else this.#more.remove();
  }
}

customElements.define("vigil-calls", CallList);
