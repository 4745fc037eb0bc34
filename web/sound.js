/**
 * The sounds: synthesised with Web Audio, no files. Patterns from DOMAIN.md; each has at least four harmonics up to
 * 4 kHz, so that it is heard in a noisy room and by old ears. Must never claim to have sounded when it did not: `play`
 * answers with what really happened.
 */

/** @typedef {"call" | "fault"} PatternName */
/** @typedef {{pulses: readonly {hz: number, atMs: number, ms: number}[]}} Pattern */

/** @type {Record<PatternName, Pattern>} */
export const PATTERNS = {
  call: {
    pulses: [
      { hz: 660, atMs: 0, ms: 350 },
      { hz: 520, atMs: 450, ms: 350 },
    ],
  },
  fault: { pulses: [{ hz: 330, atMs: 0, ms: 600 }] },
};

const HIGHEST_HZ = 4000;
const EDGE_MS = 15;
const LEAD_MS = 20;
/** Added to a pulse's length: how long to wait for its end before it counts as not played. */
const PATIENCE_MS = 1500;

export class Sounds {
  #context = new AudioContext();

  constructor() {
    const unlock = () => void this.unlock();
    addEventListener("pointerdown", unlock);
    addEventListener("keydown", unlock);
  }

  /** Whether the browser lets us sound. */
  get on() {
    return this.#context.state === "running";
  }

  /** To be called from a touch or a key: browsers keep pages silent until then. */
  async unlock() {
    if (!this.on) await this.#context.resume();
  }

  /**
   * @param {PatternName} name
   * @param {number} [gain] 0–1
   * @returns {Promise<boolean>} whether the first pulse really ran through the audio clock
   */
  async play(name, gain = 1) {
    if (!this.on) return false;
    const start = this.#context.currentTime + LEAD_MS / 1000;
    const ended = PATTERNS[name].pulses.map(({ hz, atMs, ms }) => this.#pulse(hz, start + atMs / 1000, ms, gain));
    const patience = (PATTERNS[name].pulses[0]?.ms ?? 0) + PATIENCE_MS;
    const gaveUp = new Promise((resolve) => setTimeout(resolve, patience, false));
    return Boolean(await Promise.race([ended[0], gaveUp])) && this.on;
  }

  /**
   * @param {number} hz
   * @param {number} at seconds of the context's clock
   * @param {number} ms
   * @param {number} gain
   * @returns {Promise<boolean>}
   */
  #pulse(hz, at, ms, gain) {
    const tone = this.#context.createOscillator();
    const harmonics = Math.floor(HIGHEST_HZ / hz);
    const sine = Float32Array.from({ length: harmonics + 1 }, (_, n) => (n ? 1 / Math.sqrt(n) : 0));
    tone.setPeriodicWave(this.#context.createPeriodicWave(new Float32Array(harmonics + 1), sine));
    tone.frequency.value = hz;
    const level = this.#context.createGain();
    level.gain.setValueAtTime(0, at);
    level.gain.linearRampToValueAtTime(gain, at + EDGE_MS / 1000);
    level.gain.setValueAtTime(gain, at + (ms - EDGE_MS) / 1000);
    level.gain.linearRampToValueAtTime(0, at + ms / 1000);
    tone.connect(level).connect(this.#context.destination);
    tone.start(at);
    tone.stop(at + ms / 1000);
    return new Promise((resolve) => {
      tone.onended = () => resolve(true);
    });
  }
}
