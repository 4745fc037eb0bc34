/**
 * The patient's page: one large button, and the truth about what became of the press.
 * Must never make a sound, and never say "received" before the server did.
 */

import { ask, NoAnswer, signInFromAddress } from "./api.js";
import { BUTTON_ICONS, buttonView } from "./button-view.js";
import { byId, setIcon, setText } from "./dom.js";
import { Press } from "./press.js";
import { ServerLink } from "./server-link.js";
import { startTicks } from "./ticks.js";
import { keepAwake } from "./wake.js";
import { counted, fillWords, loadWords, switchLanguage, word } from "./words.js";

/** @typedef {import("./api.js").Call} Call */
/** @typedef {import("./api.js").Me} Me */
/** @typedef {import("./button-view.js").ButtonViewName} ButtonViewName */

const BUTTON = decodeURIComponent(location.pathname.split("/").pop() ?? "");
const BAY = `vigil.bay.${BUTTON}`;
/** A trembling finger presses twice within this time and means one press. */
const ONE_PRESS_MS = 700;
const FELT_MS = 200;

class PatientPage {
  #press = new Press(BUTTON, (call) => this.#take(call));
  #link = new ServerLink("/api/events", {
    onOpen: () => void this.#refresh(),
    onEvent: (type, data) => {
      if (type === "call") this.#take(data);
    },
    onRefused: () => {
      this.#refused = true;
    },
  });
  /** @type {Me | null} */
  #me = null;
  #refused = false;
  /** @type {Call | null} */
  #call = null;
  #callSinceMs = 0;
  #closedAtMs = Number.NEGATIVE_INFINITY;
  #pressedMs = Number.NEGATIVE_INFINITY;
  /** @type {ButtonViewName} */
  #view = "loading";

  start() {
    const button = byId("press");
    // At the first touch: a finger that slips off again has meant it all the same.
    button.addEventListener("pointerdown", () => this.#pressed());
    button.addEventListener("click", () => this.#pressed()); // keyboard and screen reader
    document.addEventListener("contextmenu", (event) => event.preventDefault());
    byId("language").addEventListener("click", switchLanguage);
    fillWords(document);
    this.#press.resume();
    keepAwake();
    startTicks((nowMs) => this.#tick(nowMs));
  }

  #pressed() {
    const nowMs = performance.now();
    if (nowMs - this.#pressedMs < ONE_PRESS_MS) return;
    this.#pressedMs = nowMs;
    navigator.vibrate?.(FELT_MS);
    // Known from before where the server is lost just now: the press is kept, and sent when it is back.
    const bay = this.#me?.bay ?? localStorage.getItem(BAY);
    if (bay) this.#press.begin(bay);
    this.#tick(nowMs);
  }

  async #refresh() {
    try {
      const answer = /** @type {import("./api.js").Answer<Me>} */ (await ask("GET", "/api/me"));
      const me = answer.data;
      this.#refused = me?.role !== "button" || me.button !== BUTTON;
      if (!me || this.#refused) return;
      this.#me = me;
      localStorage.setItem(BAY, me.bay ?? "");
      if (me.call) this.#take(me.call);
      else if (this.#call && this.#call.state !== "closed") this.#take({ ...this.#call, state: "closed" });
    } catch (error) {
      if (!(error instanceof NoAnswer)) throw error;
      this.#link.drop("no answer");
    }
  }

  /** @param {Call} call the call as the server knows it now */
  #take(call) {
    if (this.#me && call.bay !== this.#me.bay) return;
    const nowMs = performance.now();
    if (call.state === "closed") {
      if (this.#call?.id !== call.id) return; // an old one's end
      if (this.#call.state !== "closed") this.#closedAtMs = nowMs;
    } else if (this.#call?.id !== call.id || this.#call.state === "closed") this.#callSinceMs = nowMs;
    this.#call = call;
    this.#tick(nowMs);
  }

  /** @param {number} nowMs `performance.now()` */
  #tick(nowMs) {
    this.#link.tick(nowMs);
    const lost = this.#link.lost(nowMs);
    const facts = {
      known: this.#me !== null,
      refused: this.#refused,
      lost,
      pendingSinceMs: this.#press.sinceMs,
      pendingRefused: this.#press.refused,
      call: this.#call,
      callSinceMs: this.#callSinceMs,
      closedAtMs: this.#closedAtMs,
    };
    this.#set(buttonView(facts, nowMs));
    this.#draw(lost);
  }

  /** @param {boolean} lost */
  #draw(lost) {
    const view = this.#view;
    document.body.dataset["view"] = view;
    document.body.dataset["lost"] = lost ? "yes" : "no";
    setIcon(byId("picture"), BUTTON_ICONS[view]);
    setText(byId("bay"), this.#me?.bay_name ?? "");
    setText(byId("title"), word(`button.${view}.title`));
    const count = this.#call?.shown_on.length ?? 0;
    setText(byId("text"), view === "shown" ? counted("button.shown", count) : word(`button.${view}.text`));
    const open = view === "received" || view === "shown" || view === "coming";
    let note = "";
    if (view === "closed-page") note = word("button.closed-page.staff");
    else if (open) note = word(lost ? "button.offline-note" : "button.press-again");
    setText(byId("note"), note);
  }

  /** @param {ButtonViewName} view */
  #set(view) {
    if (view === this.#view) return;
    console.debug("button %s: %s -> %s", BUTTON, this.#view, view);
    this.#view = view;
  }
}

await loadWords();
await signInFromAddress();
new PatientPage().start();
