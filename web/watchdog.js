/**
 * A worker that does nothing but tick: a hidden page's own timers are slowed to one a minute, a worker's are not.
 * Must hold no state and decide nothing: what a tick means is decided on the page.
 */

const TICK_MS = 250;

setInterval(() => postMessage(0), TICK_MS);
