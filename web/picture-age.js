/**
 * Whether the pictures that a screen really presents are new enough to be shown as live. No clock and no page in here:
 * times come in as arguments (service time in ms), so that each case can be tried.
 *
 * Theory of operation. `frame` is called for each picture that was presented, `tick` several times a second. The first
 * new picture is shown at once. A picture over STALE_MS old is covered, and comes back only after STEADY_MS without a
 * gap, so that a stuttering camera does not blink. Must never call a picture fresh whose age is not known.
 *
 *     none ──new──▶ fresh ──over 2 s──▶ old ──new──▶ returning ──steady 1 s──▶ fresh
 *                                        ▲──gap, or over 2 s──┘
 */

/** @typedef {"none" | "fresh" | "old" | "returning"} FreshnessName */
/** @typedef {"new" | "aged" | "steady"} FreshnessEvent */

export const STALE_MS = 2000;
const STEADY_MS = 1000;
/** The longest pause between pictures that still counts as steady. */
const GAP_MS = 700;
/** A picture from further in the future than this has no known age: a clock is wrong. */
const FUTURE_MS = 1000;

/** @type {Record<FreshnessName, Partial<Record<FreshnessEvent, FreshnessName>>>} */
export const TABLE = {
  none: { new: "fresh" },
  fresh: { aged: "old" },
  old: { new: "returning" },
  returning: { aged: "old", steady: "fresh" },
};

export class Freshness {
  /** @type {FreshnessName} */
  #state = "none";
  /** @type {number | null} capture moment of the newest picture presented */
  #captureMs = null;
  #frameMs = 0;
  #sinceMs = 0;
  #name;

  /** @param {string} name for the log */
  constructor(name) {
    this.#name = name;
  }

  get state() {
    return this.#state;
  }

  /** The moment that the newest picture presented shows, in service time; null where there was none. */
  get captureMs() {
    return this.#captureMs;
  }

  /**
   * @param {number} nowMs
   * @returns {number | null} age of the newest picture presented; null where there was none
   */
  age(nowMs) {
    return this.#captureMs === null ? null : Math.max(0, nowMs - this.#captureMs);
  }

  /**
   * A picture was presented.
   * @param {number} captureMs
   * @param {number} nowMs
   */
  frame(captureMs, nowMs) {
    const age = nowMs - captureMs;
    if (age < -FUTURE_MS) return;
    if (this.#state === "returning" && nowMs - this.#frameMs > GAP_MS) this.#on("aged", nowMs);
    this.#captureMs = captureMs;
    this.#frameMs = nowMs;
    if (age <= STALE_MS) this.#on("new", nowMs);
  }

  /**
   * Time went on.
   * @param {number} nowMs
   */
  tick(nowMs) {
    const age = this.age(nowMs);
    if (age === null) return;
    if (age > STALE_MS) this.#on("aged", nowMs);
    else if (this.#state === "returning") {
      if (nowMs - this.#frameMs > GAP_MS) this.#on("aged", nowMs);
      else if (nowMs - this.#sinceMs >= STEADY_MS) this.#on("steady", nowMs);
    }
  }

  /** Nothing that was seen counts any more: the server's clock is another one, or the page was hidden. */
  forget(/** @type {number} */ nowMs) {
    if (this.#state === "none") return;
    this.#captureMs = null;
    this.#on("aged", nowMs);
  }

  /**
   * @param {FreshnessEvent} event
   * @param {number} nowMs
   */
  #on(event, nowMs) {
    const following = TABLE[this.#state][event];
    if (!following) return;
    console.debug("picture %s: %s -> %s", this.#name, this.#state, following);
    this.#state = following;
    this.#sinceMs = nowMs;
  }
}
