/**
 * Requests to the server, and the shapes that come back. Must never keep a token: the session is an HttpOnly cookie.
 */

/** @typedef {"off" | "connecting" | "live" | "stale" | "curtain" | "failed"} CameraStateName */
/**
 * @typedef {object} Camera
 * @property {CameraStateName} state
 * @property {string} reason one of monitor/core/camera_state.py, or ""
 * @property {string[]} faults
 * @property {number} since_ms service time at which it took this state
 * @property {string | number} incarnation differs when the media process is another one than before
 * @property {string[]} streams "main" and, where there is one, "sub"
 * @property {{state: CameraStateName, reason: string, since_ms: number} | null} [sub] where there is one
 */
/** @typedef {{closed: boolean, by?: string | null, until_ms?: number | null}} Curtain */
/** @typedef {"ringing" | "escalated" | "acknowledged" | "attended" | "closed"} CallStateName */
/**
 * @typedef {object} Call
 * @property {string} id
 * @property {string} bay
 * @property {string} button
 * @property {CallStateName} state
 * @property {number} presses
 * @property {number} pressed_at service time in ms
 * @property {string[]} shown_on names of the screens that showed it
 * @property {string | null} [acknowledged_by]
 * @property {string | null} [attended_by]
 */
/** @typedef {{id: string, name: string, camera: Camera | null, curtain?: Curtain | null, call: Call | null}} Bay */
/** @typedef {"nurse" | "display" | "button" | "it" | "admin"} Role */
/**
 * @typedef {object} Me
 * @property {Role} role
 * @property {string} name
 * @property {string[]} may actions of monitor/core/access.py
 * @property {string | null} [button]
 * @property {string | null} [bay]
 * @property {string | null} [bay_name]
 * @property {Call | null} [call]
 */

const TIMEOUT_MS = 3000;
const RETRY_MS = 1000;

/** No answer came: the server is lost, or slower than the time that we give it. */
export class NoAnswer extends Error {}

/**
 * @template T
 * @typedef {{status: number, ok: boolean, data: T | null, slug: string}} Answer `slug` names a refusal (RFC 9457 type)
 */

/**
 * One request. An answer of any status is an answer; NoAnswer is thrown where none came in time.
 * @template [T=unknown]
 * @param {"GET" | "POST" | "DELETE"} method
 * @param {string} path
 * @param {object} [body]
 * @param {number} [timeoutMs]
 * @returns {Promise<Answer<T>>}
 */
export async function ask(method, path, body, timeoutMs = TIMEOUT_MS) {
  try {
    const response = await fetch(path, {
      method,
      cache: "no-store",
      signal: AbortSignal.timeout(timeoutMs),
      headers: body ? { "Content-Type": "application/json" } : {},
      body: body ? JSON.stringify(body) : null,
    });
    const text = await response.text();
    const json = (response.headers.get("Content-Type") ?? "").includes("json") && text ? JSON.parse(text) : null;
    return {
      status: response.status,
      ok: response.ok,
      data: response.ok ? json : null,
      slug: response.ok ? "" : String(json?.type ?? ""),
    };
  } catch (error) {
    throw new NoAnswer(error instanceof Error ? error.name : "?");
  }
}

/**
 * Change the code behind `#` in the address for a session, and take it out of the address and the history.
 * Tries until the server answers: the code is in nobody's hands but ours by then.
 * @returns {Promise<Answer<unknown> | null>} null where the address holds none
 */
export async function signInFromAddress() {
  const code = location.hash.slice(1);
  if (!code) return null;
  history.replaceState(null, "", location.pathname + location.search);
  for (;;) {
    try {
      return await ask("POST", "/api/session", { code });
    } catch (error) {
      if (!(error instanceof NoAnswer)) throw error;
      await new Promise((resolve) => setTimeout(resolve, RETRY_MS));
    }
  }
}
