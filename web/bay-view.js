/**
 * What a bay's tile says: the server's word on the camera and this screen's own eyes, put together. Pure.
 * Must never say `live` unless both do.
 */

/** @typedef {import("./api.js").Bay} Bay */
/** @typedef {import("./picture-age.js").Freshness} Freshness */
/** @typedef {import("./icons.js").IconName} IconName */
/** @typedef {"live" | "connecting" | "stale" | "failed" | "curtain" | "off" | "no-camera"} ViewName */
/**
 * @typedef {"" | "connecting" | "no-frames" | "old-frames" | "returning" | "no-h264" | "no-age"
 *   | "refused"} ScreenReason
 */
/**
 * @typedef {object} BayView
 * @property {ViewName} name
 * @property {string} why key of the words that say why; "" where there is nothing to say
 * @property {string} doing key of the words that say what is being done
 * @property {number | null} sinceMs service time
 * @property {boolean} fault whether it is a technical fault, to be heard
 */

/** @type {Record<ViewName, IconName>} */
export const VIEW_ICONS = {
  live: "live",
  connecting: "connecting",
  stale: "spanner",
  failed: "spanner",
  curtain: "curtain",
  off: "power",
  "no-camera": "no-camera",
};

/**
 * The key of the words that name what is seen. A camera that was stopped because a picture might be stored is not broken.
 * @param {BayView} view
 */
export function titleOf(view) {
  return view.why === "reason.guarantee-broken.why" ? "state.stopped" : `state.${view.name}`;
}

/** A camera may take this long to be connected before it counts as a fault. */
const CONNECTING_MS = 5000;

/**
 * The stream that a tile shows: the small one, but where that is set up wrongly the main one is better than none.
 * @param {import("./api.js").Camera} camera
 * @returns {"main" | "sub"}
 */
export function tileStream(camera) {
  return camera.sub && camera.sub.state !== "failed" ? "sub" : "main";
}

/**
 * @param {Bay} bay
 * @param {Freshness} freshness
 * @param {ScreenReason} trouble what the viewer of this screen has to say, "" where all is well
 * @param {number | null} nowMs service time; null where it is not known yet
 * @param {boolean} wasLive whether this tile has shown a live picture before
 * @returns {BayView}
 */
export function bayView(bay, freshness, trouble, nowMs, wasLive) {
  const { camera } = bay;
  if (!camera) return { name: "no-camera", why: "no-camera.why", doing: "", sinceMs: null, fault: false };
  if (camera.state === "curtain") {
    const why = bay.curtain?.by ? "curtain.by" : "curtain.why";
    return { name: "curtain", why, doing: "", sinceMs: camera.since_ms, fault: false };
  }
  const stream = (tileStream(camera) === "sub" && camera.sub) || camera;
  if (stream.state !== "live") {
    const { state: name, reason, since_ms: sinceMs } = stream;
    const lasting = nowMs !== null && nowMs - sinceMs > CONNECTING_MS;
    const fault = name === "stale" || name === "failed" || (name === "connecting" && (wasLive || lasting));
    const [why, doing] = reason ? [`reason.${reason}.why`, `reason.${reason}.doing`] : ["", ""];
    // "No new picture" since the last one that was seen here, not since the server had waited long enough to say so.
    const lastMs = name === "stale" && freshness.captureMs !== null ? freshness.captureMs : sinceMs;
    return { name, why, doing, sinceMs: Math.min(lastMs, sinceMs), fault };
  }
  if (nowMs !== null && freshness.state === "fresh") {
    return { name: "live", why: "", doing: "", sinceMs: stream.since_ms, fault: false };
  }
  const reason = trouble || screenReason(freshness);
  const name = freshness.state === "none" && reason === "connecting" ? "connecting" : "stale";
  return {
    name,
    why: `screen.${reason}.why`,
    doing: `screen.${reason}.doing`,
    sinceMs: freshness.state === "old" ? freshness.captureMs : null,
    fault: name === "stale" && freshness.state !== "returning",
  };
}

/**
 * @param {Freshness} freshness
 * @returns {ScreenReason}
 */
function screenReason(freshness) {
  if (freshness.state === "none") return "connecting";
  return freshness.state === "returning" ? "returning" : "old-frames";
}
