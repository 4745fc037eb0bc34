/**
 * A cover over the whole page, in large letters: for the moments when nothing under it may be believed.
 * Must be opaque, and must need neither the server nor a touch to come and go.
 */

import { element, icon, setText } from "./dom.js";

/**
 * @typedef {object} CoverWords
 * @property {string} title
 * @property {string} text
 * @property {string} doing
 * @property {string} elapsed
 * @property {{href: string, text: string} | null} [link] where else to go, if anywhere
 */

export class PageCover extends HTMLElement {
  #title = element("h1");
  #text = element("p", { class: "cover-text" });
  #elapsed = element("p", { class: "cover-elapsed", role: "timer" });
  #doing = element("p", { class: "cover-doing" });
  #link = element("a", { class: "cover-link" });

  /**
   * @param {import("./icons.js").IconName} name
   * @param {"fault" | "calm"} tone
   */
  setUp(name, tone) {
    this.className = `page-cover ${tone}`;
    this.hidden = true;
    this.setAttribute("role", "alertdialog");
    this.replaceChildren(icon(name), this.#title, this.#elapsed, this.#text, this.#doing, this.#link);
    return this;
  }

  /** @param {CoverWords | false} words false takes the cover away */
  show(words) {
    this.hidden = !words;
    if (!words) return;
    this.setAttribute("aria-label", words.title);
    setText(this.#title, words.title);
    setText(this.#text, words.text);
    setText(this.#elapsed, words.elapsed);
    setText(this.#doing, words.doing);
    this.#link.hidden = !words.link;
    if (words.link) {
      this.#link.href = words.link.href;
      setText(this.#link, words.link.text);
    }
  }
}

customElements.define("vigil-cover", PageCover);
