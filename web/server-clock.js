/**
 * Service time on this page (monitor/core/service_clock.py), reckoned from the server's `clock` events.
 *
 * An event says what service time it was when it was sent; it came a little later. The smallest difference seen among
 * the last ones is the nearest to the truth. It errs only by making `now` too early, by the shortest delay seen; must
 * never be set back by one slow event, for that would make pictures look younger than they are.
 */

const KEPT = 30;
/** RTP ticks in a millisecond, and the span of a timestamp: as in monitor/core/service_clock.py. */
const RTP_CLOCK = 90;
const RTP_WRAP_MS = 2 ** 32 / RTP_CLOCK;

export class ServerClock {
  /** @type {number[]} page time minus service time, of the last events */
  #differences = [];

  /** A new connection, maybe to a server that has started again with another clock: what was learnt is void. */
  reset() {
    this.#differences = [];
  }

  /**
   * @param {number} serviceMs
   * @param {number} pageMs `performance.now()` at its arrival
   */
  observe(serviceMs, pageMs) {
    this.#differences.push(pageMs - serviceMs);
    if (this.#differences.length > KEPT) this.#differences.shift();
  }

  /**
   * @param {number} pageMs `performance.now()`
   * @returns {number | null} service time in ms; null before the first event
   */
  at(pageMs) {
    return this.#differences.length ? pageMs - Math.min(...this.#differences) : null;
  }
}

/**
 * The capture moment of a picture: towards viewers its RTP timestamp is service time in ms × 90, modulo 2³².
 * @param {number} rtp
 * @param {number} nearMs service time
 * @returns {number} of all moments that it could mean, the one nearest to `nearMs`
 */
export function captureMoment(rtp, nearMs) {
  const moment = rtp / RTP_CLOCK;
  return moment + Math.round((nearMs - moment) / RTP_WRAP_MS) * RTP_WRAP_MS;
}
