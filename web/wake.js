/**
 * Keeps the screen from going dark while the page is looked at, where the browser can.
 * Must never be relied on: a tablet whose screen sleeps is set up wrongly, and the installation guide says so.
 */

/** Ask now, and again each time the page comes back: the browser takes the lock away from a hidden page. */
export function keepAwake() {
  const ask = async () => {
    if (document.hidden || !("wakeLock" in navigator)) return;
    try {
      await navigator.wakeLock.request("screen");
    } catch (error) {
      console.debug("wake lock: %s", error instanceof Error ? error.name : "?");
    }
  };
  document.addEventListener("visibilitychange", () => void ask());
  void ask();
}
