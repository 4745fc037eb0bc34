/**
 * When to sound what: calls as long as one rings, technical faults when they come and for two minutes after.
 * Must never sound for anything but a person's press and a technical fault, and never let a fault mask a call.
 */

/** @typedef {import("./api.js").Call} Call */
/** @typedef {import("./sound.js").Sounds} Sounds */

const CALL_MS = 5000;
/** How long a call's sound may still be running. */
const CALL_LASTS_MS = 1500;
const FAULT_MS = 30_000;
/** Several lost within this time are one fault to the ear: they have one cause as a rule. */
const ONE_CAUSE_MS = 5000;
/** A fault that stays is seen, not heard for ever (DOMAIN.md, fatigue). */
const FAULT_FOR_MS = 120_000;
/** Gain by how long the oldest call has rung. @type {readonly {afterMs: number, gain: number}[]} */
const LOUDER = [
  { afterMs: 60_000, gain: 0.9 },
  { afterMs: 30_000, gain: 0.6 },
  { afterMs: 0, gain: 0.35 },
];
const FAULT_GAIN = 0.35;

export class Sounding {
  /** @type {Set<string>} */
  #ringing = new Set();
  #callMs = Number.NEGATIVE_INFINITY;
  #faultMs = Number.NEGATIVE_INFINITY;
  #faultSinceMs = 0;
  #unheard = false;
  /** @type {Set<string>} */
  #faults = new Set();
  #sounds;
  #onCallSounded;

  /**
   * @param {Sounds} sounds
   * @param {(ids: string[], sounded: boolean) => void} onCallSounded the calls that rang, and whether they were heard
   */
  constructor(sounds, onCallSounded) {
    this.#sounds = sounds;
    this.#onCallSounded = onCallSounded;
  }

  /**
   * @param {number} nowMs `performance.now()`
   * @param {Call[]} ringing
   * @param {number} longestMs how long the oldest of them has rung
   * @param {Set<string>} faults names of what is at fault now
   */
  tick(nowMs, ringing, longestMs, faults) {
    const fresh = ringing.some(({ id }) => !this.#ringing.has(id));
    this.#ringing = new Set(ringing.map(({ id }) => id));
    if (ringing.length && (fresh || nowMs - this.#callMs >= CALL_MS)) {
      this.#callMs = nowMs;
      const ids = [...this.#ringing];
      const gain = LOUDER.find(({ afterMs }) => longestMs >= afterMs)?.gain ?? 1;
      void this.#sounds.play("call", gain).then((sounded) => this.#onCallSounded(ids, sounded));
    }
    this.#tickFaults(nowMs, faults);
  }

  /**
   * @param {number} nowMs
   * @param {Set<string>} faults
   */
  #tickFaults(nowMs, faults) {
    const fresh = [...faults].some((name) => !this.#faults.has(name));
    this.#faults = faults;
    if (fresh) {
      this.#faultSinceMs = nowMs;
      this.#unheard = true;
    }
    if (!faults.size || nowMs - this.#callMs < CALL_LASTS_MS) return; // between two calls, never over one
    const pauseMs = this.#unheard ? ONE_CAUSE_MS : FAULT_MS;
    if (nowMs - this.#faultMs < pauseMs || nowMs - this.#faultSinceMs > FAULT_FOR_MS) return;
    this.#faultMs = nowMs;
    this.#unheard = false;
    void this.#sounds.play("fault", FAULT_GAIN);
  }
}
