/**
 * What the patient's page says, from what is known. Pure: times come in as arguments (page time in ms).
 * Must never say more than is true: "received" only after the server's answer, "shown" only after a screen's.
 */

/** @typedef {import("./api.js").Call} Call */
/** @typedef {import("./icons.js").IconName} IconName */
/**
 * @typedef {"loading" | "closed-page" | "idle" | "offline" | "sending" | "unheard" | "received" | "unseen" | "shown"
 *   | "coming" | "here" | "closed"} ButtonViewName
 */
/**
 * @typedef {object} ButtonFacts
 * @property {boolean} known whether the server has told which button this is
 * @property {boolean} refused whether it says that this page may not be this button
 * @property {boolean} lost whether the server is silent
 * @property {number | null} pendingSinceMs since when a press waits for the server's answer
 * @property {boolean} pendingRefused whether the server answered it with a refusal
 * @property {Call | null} call
 * @property {number} callSinceMs when this page first knew of the call
 * @property {number} closedAtMs when this page learnt that the call is closed
 */

/** A press that is not received after this is said to be so: within 5 s, also on a tablet that is slow to draw. */
const UNHEARD_MS = 4000;
/** A call that no screen has confirmed after this is said to be so (DOMAIN.md, times). */
const UNSEEN_MS = 3000;
const CLOSED_MS = 10_000;

/** @type {Record<ButtonViewName, IconName>} */
export const BUTTON_ICONS = {
  loading: "connecting",
  "closed-page": "shout",
  idle: "bell",
  offline: "shout",
  sending: "send",
  unheard: "shout",
  received: "check",
  unseen: "shout",
  shown: "screen",
  coming: "person",
  here: "here",
  closed: "check",
};

/**
 * @param {ButtonFacts} facts
 * @param {number} nowMs
 * @returns {ButtonViewName}
 */
export function buttonView(facts, nowMs) {
  const { call, pendingSinceMs } = facts;
  const open = call !== null && call.state !== "closed";
  if (pendingSinceMs !== null) {
    if (facts.pendingRefused || nowMs - pendingSinceMs > UNHEARD_MS) return "unheard";
    if (!open) return "sending";
  }
  if (facts.refused) return "closed-page";
  if (open) return openView(call, nowMs - facts.callSinceMs);
  if (call && nowMs - facts.closedAtMs < CLOSED_MS) return "closed";
  if (facts.lost) return "offline";
  return facts.known ? "idle" : "loading";
}

/**
 * @param {Call} call
 * @param {number} knownForMs
 * @returns {ButtonViewName}
 */
function openView(call, knownForMs) {
  if (call.state === "attended") return "here";
  if (call.state === "acknowledged") return "coming";
  if (call.shown_on.length) return "shown";
  return knownForMs > UNSEEN_MS ? "unseen" : "received";
}
