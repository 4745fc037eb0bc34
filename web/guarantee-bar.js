/**
 * The bar over the bays while the guarantee does not hold: which part of it, in plain words, until it is mended.
 * Must never be empty while the server says that something is broken, nor name what the server did not.
 */

import { element, icon, setText } from "./dom.js";
import { word } from "./words.js";

/**
 * @typedef {object} GuaranteeEvent
 * @property {boolean} ok
 * @property {number[]} [broken] rows of the guarantee that do not hold
 * @property {string[]} [bays] ids of bays whose camera records by itself
 */
/** @typedef {{title: string, details: string[]}} BarWords */

/** A camera that records by itself: what the row's number stands for. */
const RECORDING_ROW = 12;
/** More than that are not read in passing. */
const NAMED = 2;

/**
 * @param {GuaranteeEvent} event
 * @param {(bay: string) => string} nameOf
 * @returns {BarWords | null} null while all is well
 */
export function barWords(event, nameOf) {
  const { ok, broken = [], bays = [] } = event;
  if (ok && !broken.length && !bays.length) return null;
  const names = bays.map(nameOf).join(", ");
  const recording = names ? word("guarantee.recording", { names }) : "";
  const rows = broken.filter((row) => row !== RECORDING_ROW || !recording);
  if (recording && !rows.length) return { title: recording, details: [word("guarantee.recording.doing")] };
  const details = rows.slice(0, NAMED).map((row) => word(`guarantee.row.${row}`));
  if (rows.length > NAMED) details.push(word("guarantee.more", { count: rows.length - NAMED }));
  return { title: word("guarantee.broken"), details: recording ? [recording, ...details] : details };
}

export class GuaranteeBar {
  #bar;
  #title = element("strong");
  #details = element("span", { class: "bar-details" });

  /** @param {HTMLElement} bar */
  constructor(bar) {
    this.#bar = bar;
    bar.replaceChildren(icon("broken"), element("span", { class: "bar-words" }, this.#title, this.#details));
  }

  /** @param {BarWords | null} words */
  show(words) {
    this.#bar.hidden = !words;
    if (!words) return;
    setText(this.#title, words.title);
    if (this.#details.childElementCount !== words.details.length) {
      this.#details.replaceChildren(...words.details.map(() => element("span")));
    }
    words.details.forEach((detail, index) => setText(/** @type {Node} */ (this.#details.children[index]), detail));
  }
}
