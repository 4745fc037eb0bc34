/**
 * Ticks from the watchdog worker, four a second, also on a hidden page.
 * Must never fall back to the page's own timers silently: they stop being true when the page is hidden.
 */

const WATCHDOG = new URL("./watchdog.js", import.meta.url).href;

/** @typedef {{createScriptURL(url: string): string}} ScriptAddresses */
/** @typedef {{createPolicy(name: string, rules: ScriptAddresses): ScriptAddresses}} PolicyMaker */

/** The page's policy demands trusted script addresses (require-trusted-types-for 'script'): this one, and no other. */
function trustedWatchdog() {
  const maker = /** @type {{trustedTypes?: PolicyMaker}} */ (globalThis).trustedTypes;
  if (!maker) return WATCHDOG;
  return maker
    .createPolicy("vigil-watchdog", {
      createScriptURL(url) {
        if (url !== WATCHDOG) throw new TypeError("only the watchdog is a worker here");
        return url;
      },
    })
    .createScriptURL(WATCHDOG);
}

/**
 * @param {(nowMs: number) => void} onTick is given `performance.now()`
 */
export function startTicks(onTick) {
  const worker = new Worker(trustedWatchdog());
  worker.onmessage = () => onTick(performance.now());
  worker.onerror = () => console.error("ticks: the watchdog does not run; ages on this page cannot be trusted");
}
