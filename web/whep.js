/**
 * One viewer of one bay's picture: a WHEP client (draft-ietf-wish-whep) for a server that is ICE-lite.
 *
 * Theory of operation. The offer goes out at once: an ICE-lite server needs none of our candidates, it learns our
 * address from our checks (RFC 8445 section 7.3.1.3). `tick` drives the clock side, for a hidden page's timers are
 * slow. Every way of losing the picture ends in `restarting` (it may come back by itself) or `failed` (the server or
 * the browser refuses), and both try again for ever, with growing, jittered pauses. Must never keep, copy or draw a
 * picture: the stream goes to the video element and nowhere else.
 *
 *     idle ──start──▶ connecting ──first picture──▶ live
 *                        ▲  │ refused        lost │ no picture │ another incarnation
 *                        │  ▼                     ▼
 *                        ├─ failed           restarting ──┐        any ──stop──▶ idle
 *                        └──────────── pause over ────────┘
 */

/** @typedef {"idle" | "connecting" | "live" | "restarting" | "failed"} ViewerState */
/** @typedef {import("./bay-view.js").ScreenReason} ScreenReason */

/** How long the server may call a camera live before a picture must have been presented. Where starting anew did not
 * help, the next patience is longer: on a machine that has too much to do, new sessions are the last thing it needs. */
const NO_PICTURE_MS = 1500;
const MOST_PATIENCE_MS = 6000;
/** A picture that has run for this long shows that all is well again. */
const SETTLED_MS = 10_000;
const CONNECT_MS = 5000;
const RELEASE_MS = 2000;
const FIRST_PAUSE_MS = 200;
const LONGEST_PAUSE_MS = 5000;
/** Troubles that do not pass by themselves. @type {ReadonlySet<ScreenReason>} */
const REFUSALS = new Set(["refused", "no-h264", "no-age"]);

export class WhepViewer {
  /** @type {ViewerState} */
  #state = "idle";
  /** @type {ScreenReason} */
  #trouble = "";
  /** @type {RTCPeerConnection | null} */
  #pc = null;
  #location = "";
  #sinceMs = 0;
  #pictureMs = 0;
  #connectedMs = 0;
  #retryMs = 0;
  #pauseMs = FIRST_PAUSE_MS;
  #patienceMs = NO_PICTURE_MS;
  #liveMs = 0;
  #bay;
  #stream;
  #video;
  #onPicture;

  /**
   * @param {string} bay
   * @param {"main" | "sub"} stream
   * @param {HTMLVideoElement} video
   * @param {(rtp: number | undefined) => void} onPicture each picture presented, with its RTP timestamp where the
   *   browser tells it
   */
  constructor(bay, stream, video, onPicture) {
    this.#bay = bay;
    this.#stream = stream;
    this.#video = video;
    this.#onPicture = onPicture;
  }

  get state() {
    return this.#state;
  }

  /** Why there is no picture, as far as this screen can tell; "" where there is one. */
  get trouble() {
    return this.#trouble;
  }

  start() {
    if (this.#state === "idle") void this.#connect();
  }

  stop() {
    this.#end();
    this.#set("idle", "stopped", "");
  }

  /** The media process is another one than before: the old session cannot come back. */
  renew() {
    if (this.#state === "idle") return;
    this.#pauseMs = FIRST_PAUSE_MS;
    this.#patienceMs = NO_PICTURE_MS;
    this.#lose("incarnation", "connecting", 0);
  }

  /**
   * @param {number} nowMs `performance.now()`
   * @param {boolean} expected whether a picture must be coming: the server says live, and the page is not hidden
   */
  tick(nowMs, expected) {
    if (this.#state === "restarting" || this.#state === "failed") {
      if (nowMs >= this.#retryMs) void this.#connect();
    } else if (this.#state === "connecting" && !this.#connectedMs) {
      if (nowMs - this.#sinceMs > CONNECT_MS) this.#lose("no connection", "no-frames");
    } else if (this.#state !== "idle") {
      if (!expected) this.#pictureMs = nowMs;
      else if (nowMs - Math.max(this.#pictureMs, this.#connectedMs) > this.#patienceMs) {
        this.#patienceMs = Math.min(this.#patienceMs * 2, MOST_PATIENCE_MS);
        this.#lose("no picture", "no-frames");
      } else if (this.#state === "live" && nowMs - this.#liveMs > SETTLED_MS) {
        this.#pauseMs = FIRST_PAUSE_MS;
        this.#patienceMs = NO_PICTURE_MS;
      }
    }
  }

  async #connect() {
    this.#end();
    this.#set("connecting", this.#stream, this.#trouble);
    this.#sinceMs = performance.now();
    const pc = new RTCPeerConnection({ bundlePolicy: "max-bundle" });
    this.#pc = pc;
    try {
      const transceiver = pc.addTransceiver("video", { direction: "recvonly" });
      if (!preferH264(transceiver)) {
        this.#lose("no H.264", "no-h264", LONGEST_PAUSE_MS);
        return;
      }
      if ("jitterBufferTarget" in transceiver.receiver) transceiver.receiver.jitterBufferTarget = 0;
      pc.ontrack = ({ track }) => this.#show(pc, track);
      pc.onconnectionstatechange = () => this.#connection(pc);
      await pc.setLocalDescription();
      if (!/^a=rtpmap:\d+ H264\/90000/im.test(pc.localDescription?.sdp ?? "")) {
        // Firefox up to 140 lists H.264 before it has the plug-in for it, and then offers nothing at all
        this.#lose("no H.264 offered", "no-h264", LONGEST_PAUSE_MS);
        return;
      }
      const answer = await fetch(`/whep/${encodeURIComponent(this.#bay)}?stream=${this.#stream}`, {
        method: "POST",
        cache: "no-store",
        headers: { "Content-Type": "application/sdp" },
        body: pc.localDescription?.sdp ?? "",
        signal: AbortSignal.timeout(CONNECT_MS),
      });
      const location = answer.headers.get("Location");
      if (this.#pc !== pc) {
        if (location) void release(location); // stopped meanwhile: the session that we got must not stay behind
        return;
      }
      if (!answer.ok || !location) {
        this.#refused(answer.status);
        return;
      }
      this.#location = location;
      await pc.setRemoteDescription({ type: "answer", sdp: await answer.text() });
    } catch (error) {
      if (this.#pc === pc) this.#lose(error instanceof Error ? error.name : "?", "no-frames");
    }
  }

  /** @param {number} status */
  #refused(status) {
    const soon = status >= 500 || status === 429; // not ready, or full: that passes
    if (soon) this.#lose(`status ${status}`, "no-frames");
    // our own offer is well-formed: what cannot be answered in it is its codecs, whatever the browser says it can do
    else if (status === 422) this.#lose(`status ${status}`, "no-h264", LONGEST_PAUSE_MS);
    else this.#lose(`status ${status}`, "refused", LONGEST_PAUSE_MS);
  }

  /**
   * @param {RTCPeerConnection} pc
   * @param {MediaStreamTrack} track
   */
  #show(pc, track) {
    if (this.#pc !== pc) return;
    this.#video.srcObject = new MediaStream([track]);
    this.#video.play().catch((/** @type {unknown} */ error) => {
      // A newer stream took its place; a browser that refuses to play shows no picture, and the tile says so.
      console.debug("viewer %s: play: %s", this.#bay, error instanceof Error ? error.name : "?");
    });
    if (!("requestVideoFrameCallback" in this.#video)) {
      this.#lose("no frame callback", "no-age", LONGEST_PAUSE_MS);
      return;
    }
    /** @type {VideoFrameRequestCallback} */
    const each = (nowMs, metadata) => {
      if (this.#pc !== pc) return;
      this.#pictureMs = nowMs;
      if (this.#state === "connecting") {
        this.#liveMs = nowMs;
        this.#set("live", `after ${Math.round(nowMs - this.#sinceMs)} ms`, "");
      }
      const rtp = metadata.rtpTimestamp ?? pc.getReceivers()[0]?.getSynchronizationSources()[0]?.rtpTimestamp;
      this.#trouble = rtp === undefined ? "no-age" : "";
      this.#onPicture(rtp);
      this.#video.requestVideoFrameCallback(each);
    };
    this.#video.requestVideoFrameCallback(each);
  }

  /** @param {RTCPeerConnection} pc */
  #connection(pc) {
    if (this.#pc !== pc) return;
    if (pc.connectionState === "connected") this.#connectedMs = performance.now();
    else if (["failed", "disconnected", "closed"].includes(pc.connectionState)) {
      // At once where there was a picture; a line that never stood must not be tried in a tight loop.
      this.#lose(pc.connectionState, "no-frames", this.#state === "live" ? 0 : undefined);
    }
  }

  /**
   * @param {string} why for the log
   * @param {ScreenReason} trouble
   * @param {number} [pauseMs] the pause before the next try; without it the growing one
   */
  #lose(why, trouble, pauseMs) {
    this.#end();
    const pause = pauseMs ?? this.#pauseMs;
    if (pauseMs === undefined) this.#pauseMs = Math.min(this.#pauseMs * 2, LONGEST_PAUSE_MS);
    this.#retryMs = performance.now() + pause * (0.75 + Math.random() / 2);
    this.#set(REFUSALS.has(trouble) ? "failed" : "restarting", why, trouble);
  }

  #end() {
    const pc = this.#pc;
    this.#pc = null;
    this.#connectedMs = 0;
    const location = this.#location;
    this.#location = "";
    if (!pc) return;
    pc.ontrack = null;
    pc.onconnectionstatechange = null;
    // Told first, closed then: a session whose DTLS has closed is not there any more to be deleted.
    if (location) void release(location).finally(() => pc.close());
    else pc.close();
  }

  /**
   * @param {ViewerState} state
   * @param {string} why
   * @param {ScreenReason} trouble
   */
  #set(state, why, trouble) {
    this.#trouble = trouble;
    if (state === this.#state) return;
    console.debug("viewer %s: %s -> %s (%s)", this.#bay, this.#state, state, why);
    this.#state = state;
  }
}

/**
 * Offer H.264 and nothing else.
 * @param {RTCRtpTransceiver} transceiver
 * @returns {boolean} whether the browser has it
 */
function preferH264(transceiver) {
  const codecs = RTCRtpReceiver.getCapabilities("video")?.codecs ?? [];
  const h264 = codecs.filter((codec) => codec.mimeType.toLowerCase() === "video/h264");
  if (h264.length) transceiver.setCodecPreferences(h264);
  return h264.length > 0;
}

/** @param {string} location of a session that is over; sent even while the page goes away */
async function release(location) {
  try {
    await fetch(location, { method: "DELETE", keepalive: true, signal: AbortSignal.timeout(RELEASE_MS) });
  } catch (error) {
    // The server ends a session whose consent is not renewed (RFC 7675), so nothing stays behind for long.
    console.debug("viewer: session not ended (%s)", error instanceof Error ? error.name : "?");
  }
}
