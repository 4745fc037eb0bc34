/**
 * One bay on the wall: its picture, its name, the state in form and words, and the age of the picture.
 * Must never show a picture that `bayView` does not call live: the cover over it is opaque.
 */

import { VIEW_ICONS, bayView, tileStream, titleOf } from "./bay-view.js";
import { element, icon, setIcon, setText } from "./dom.js";
import { Freshness } from "./picture-age.js";
import { captureMoment } from "./server-clock.js";
import { WhepViewer } from "./whep.js";
import { elapsed, tenths, word } from "./words.js";

/** @typedef {import("./api.js").Bay} Bay */
/** @typedef {import("./api.js").Call} Call */
/** @typedef {import("./bay-view.js").BayView} BayView */
/** @typedef {import("./server-clock.js").ServerClock} ServerClock */

/** Faults that a nurse can see in the picture. The others are for IT: a spanner with the words behind it is enough. */
const VISIBLE_FAULTS = ["b-frames", "packet-loss"];

/** @returns {HTMLVideoElement} without controls, menu or picture-in-picture: nothing by which a picture is kept */
function pictureElement() {
  const video = element("video", { disablepictureinpicture: "", disableremoteplayback: "", playsinline: "" });
  video.muted = true;
  video.autoplay = true;
  video.tabIndex = -1;
  video.addEventListener("contextmenu", (event) => event.preventDefault());
  return video;
}

export class BayTile extends HTMLElement {
  #video = pictureElement();
  #coverIcon = element("span", { class: "cover-icon" });
  #coverTitle = element("h2");
  #coverSince = element("p", { class: "cover-since" });
  #coverWhy = element("p");
  #coverDoing = element("p", { class: "cover-doing" });
  #callIcon = element("span", { class: "call-icon" });
  #nameText = element("span", { class: "bay-name" });
  #stateIcon = element("span", { class: "state-icon" });
  #stateText = element("span", { class: "state-text" });
  #ageText = element("span", { class: "age" });
  #itIcon = element("span", { class: "it-icon", role: "img" });
  #faultNote = element("p", { class: "fault-note" });
  #faultText = element("span");
  /** @type {Freshness} */
  #freshness = new Freshness("");
  /** @type {WhepViewer | null} */
  #viewer = null;
  #viewing = "";
  #wasLive = false;
  /** @type {string | number | null} */
  #incarnation = null;
  /** @type {Bay | null} */
  #bay = null;
  /** @type {ServerClock | null} */
  #clock = null;

  /**
   * @param {Bay} bay
   * @param {ServerClock} clock
   */
  setUp(bay, clock) {
    this.#clock = clock;
    this.#freshness = new Freshness(bay.id);
    this.className = "bay";
    this.setAttribute("role", "group");
    const cover = element("div", { class: "bay-cover" }, this.#coverIcon, this.#coverTitle, this.#coverSince);
    cover.append(this.#coverWhy, this.#coverDoing);
    this.#faultNote.append(icon("spanner"), this.#faultText);
    const picture = element("div", { class: "bay-picture" }, this.#video, cover);
    const state = element("span", { class: "bay-state" }, this.#stateIcon, this.#stateText);
    this.#itIcon.append(icon("spanner"));
    const caption = element("div", { class: "bay-caption" }, this.#callIcon, this.#nameText, this.#itIcon);
    caption.append(state, this.#ageText);
    this.replaceChildren(picture, this.#faultNote, caption);
    this.update(bay);
    return this;
  }

  /** @param {Bay} bay what the server says of it now */
  update(bay) {
    this.#bay = bay;
    const { camera } = bay;
    const wanted = camera ? tileStream(camera) : "";
    if (wanted !== this.#viewing) {
      this.#viewing = wanted;
      this.#viewer?.stop();
      this.#viewer = wanted ? new WhepViewer(bay.id, wanted, this.#video, (rtp) => this.#picture(rtp)) : null;
      this.#viewer?.start();
    }
    if (camera && camera.incarnation !== this.#incarnation) {
      if (this.#incarnation !== null) this.#viewer?.renew();
      this.#incarnation = camera.incarnation;
    }
  }

  start() {
    this.#viewer?.start();
  }

  stop() {
    this.#viewer?.stop();
  }

  /** What was seen so far says nothing about now: another server clock, or a page that was hidden. */
  forget() {
    const nowMs = this.#clock?.at(performance.now());
    this.#freshness.forget(nowMs ?? 0);
  }

  /** @param {number | undefined} rtp timestamp of a picture that was just presented */
  #picture(rtp) {
    const nowMs = this.#clock?.at(performance.now()) ?? null;
    if (rtp !== undefined && nowMs !== null && !document.hidden) {
      this.#freshness.frame(captureMoment(rtp, nowMs), nowMs);
    }
  }

  /**
   * Draw what is true now.
   * @param {number} pageMs `performance.now()`
   * @param {Call | null} call the bay's open call
   * @returns {BayView}
   */
  tick(pageMs, call) {
    const bay = /** @type {Bay} */ (this.#bay);
    const nowMs = this.#clock?.at(pageMs) ?? null;
    if (nowMs !== null) this.#freshness.tick(nowMs);
    this.#viewer?.tick(pageMs, bay.camera?.state === "live" && !document.hidden);
    const view = bayView(bay, this.#freshness, this.#viewer?.trouble ?? "", nowMs, this.#wasLive);
    this.#wasLive ||= view.name === "live";
    this.#draw(bay, view, nowMs, call);
    return view;
  }

  /**
   * @param {Bay} bay
   * @param {BayView} view
   * @param {number | null} nowMs
   * @param {Call | null} call
   */
  #draw(bay, view, nowMs, call) {
    const age = nowMs === null ? null : this.#freshness.age(nowMs);
    const state = word(titleOf(view));
    this.dataset["state"] = view.name;
    this.dataset["fault"] = view.fault ? "yes" : "no";
    this.dataset["call"] = call?.state ?? "";
    setText(this.#nameText, bay.name);
    setIcon(this.#stateIcon, VIEW_ICONS[view.name]);
    setText(this.#stateText, state);
    this.#ageText.setAttribute("aria-label", word("age.label"));
    setText(this.#ageText, view.name === "live" && age !== null ? word("age.seconds", { seconds: tenths(age) }) : "");
    setIcon(this.#callIcon, call && ["acknowledged", "attended"].includes(call.state) ? "person" : "bell");
    this.#callIcon.hidden = !call;
    const calling = call ? word(`call.state.${call.state}`, callValues(call)) : "";
    this.setAttribute("aria-label", calling ? `${bay.name}: ${calling}` : bay.name);
    this.#drawFaults(view.name === "live" ? (bay.camera?.faults ?? []) : []);
    if (view.name === "live") return;
    setIcon(this.#coverIcon, VIEW_ICONS[view.name]);
    setText(this.#coverTitle, state);
    const since = view.sinceMs !== null && nowMs !== null ? nowMs - view.sinceMs : null;
    setText(this.#coverSince, since === null ? "" : word("since", { elapsed: elapsed(since) }));
    setText(this.#coverWhy, view.why ? word(view.why, { name: bay.curtain?.by ?? "" }) : "");
    setText(this.#coverDoing, view.doing ? word(view.doing) : "");
  }

  /** @param {string[]} faults */
  #drawFaults(faults) {
    const seen = faults.find((fault) => VISIBLE_FAULTS.includes(fault));
    this.#faultNote.hidden = !seen;
    setText(this.#faultText, seen ? word(`fault.${seen}`) : "");
    const rest = faults.filter((fault) => fault !== seen);
    const words = rest.map((fault) => word(`fault.${fault}`)).join(" ");
    this.#itIcon.hidden = !rest.length;
    this.#itIcon.title = words;
    this.#itIcon.setAttribute("aria-label", words);
  }
}

/**
 * @param {Call} call
 * @returns {Record<string, string>} the values that the words of a call's state want
 */
export function callValues(call) {
  const name = (call.state === "attended" ? call.attended_by : null) ?? call.acknowledged_by;
  return { name: name || word("call.someone") };
}

customElements.define("vigil-bay", BayTile);
