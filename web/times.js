/**
 * Moments and spans in words, in the chosen language. Pure but for that choice.
 * Must never round a span up to more than has passed.
 */

import { language } from "./words.js";

/** @typedef {"second" | "minute" | "hour" | "day"} Unit */

/** @type {readonly [Unit, number][]} from the largest */
const UNITS = [
  ["day", 86_400_000],
  ["hour", 3_600_000],
  ["minute", 60_000],
  ["second", 1000],
];

/**
 * @param {number} ms
 * @returns {[Unit, number]} the largest unit of which at least two have passed, and how many whole ones
 */
function whole(ms) {
  const [unit, length] = UNITS.find(([, each]) => ms >= 2 * each) ?? ["second", 1000];
  return [unit, Math.max(0, Math.floor(ms / length))];
}

/** @param {number} ms → "for 23 sekunder siden", "23 seconds ago" */
export function ago(ms) {
  const [unit, count] = whole(ms);
  return new Intl.RelativeTimeFormat(language()).format(-count, unit);
}

/** @param {number} ms → "23 sekunder", "2 timer" */
export function span(ms) {
  const [unit, count] = whole(ms);
  return new Intl.NumberFormat(language(), { style: "unit", unit, unitDisplay: "long" }).format(count);
}

/** @param {number} ms since 1970 → "24. november 2026 kl. 08.12" */
export function moment(ms) {
  const form = { dateStyle: /** @type {const} */ ("long"), timeStyle: /** @type {const} */ ("short") };
  return new Intl.DateTimeFormat(locale(), form).format(new Date(ms));
}

/** @param {number} ms since 1970 → "08.12.31" */
export function clockTime(ms) {
  return new Intl.DateTimeFormat(locale(), { timeStyle: "medium" }).format(new Date(ms));
}

/** @param {number} count → "1.234" in Danish, "1,234" in English */
export function number(count) {
  return new Intl.NumberFormat(locale()).format(count);
}

/** English as it is written in Europe: a day before its month, 24 hours. */
function locale() {
  return language() === "da" ? "da-DK" : "en-GB";
}
