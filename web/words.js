/**
 * The words on the pages, in the chosen language. Every visible word comes from `text/`; none may stand in code.
 * Must never write markup: words become text nodes only.
 */

/** @typedef {"da" | "en"} Language */
/** @typedef {Record<string, string | number>} Values */

/** @type {readonly Language[]} */
export const LANGUAGES = ["da", "en"];
const STORED = "vigil.language";
const RETRY_MS = 1000;

/** @type {Map<Language, Record<string, string>>} */
const catalogues = new Map();
/** @type {Language} */
let current = preferred();

/** @returns {Language} asked for in the address, chosen before, the browser's own, else Danish */
function preferred() {
  const asked = new URLSearchParams(location.search).get("lang");
  for (const wish of [asked, localStorage.getItem(STORED), ...navigator.languages]) {
    const language = LANGUAGES.find((known) => wish?.toLowerCase().startsWith(known));
    if (language) return language;
  }
  return "da";
}

/** Load all catalogues, so that the page can still speak when the server is lost. Tries until it has them. */
export async function loadWords() {
  for (const name of LANGUAGES) {
    while (!catalogues.has(name)) {
      try {
        const answer = await fetch(new URL(`./text/${name}.json`, import.meta.url), { cache: "no-store" });
        if (!answer.ok) throw new TypeError(`status ${answer.status}`);
        catalogues.set(name, await answer.json());
      } catch (error) {
        console.info("words: %s not loaded (%s), trying again", name, error instanceof Error ? error.message : "?");
        await new Promise((resolve) => setTimeout(resolve, RETRY_MS));
      }
    }
  }
  document.documentElement.lang = current;
}

/** @returns {Language} */
export function language() {
  return current;
}

/** Choose the other language and keep the choice. Pages draw from `word` on each tick, so they follow by themselves. */
export function switchLanguage() {
  current = current === "da" ? "en" : "da";
  document.documentElement.lang = current;
  try {
    localStorage.setItem(STORED, current);
  } catch (error) {
    console.info("words: the choice is not kept (%s)", error instanceof Error ? error.name : "?");
  }
  fillWords(document);
}

/**
 * @param {string} key one that stands in every catalogue; a missing one shows its own name, so that it is noticed
 * @param {Values} [values] what to put in place of `{name}`
 */
export function word(key, values = {}) {
  const text = catalogues.get(current)?.[key] ?? key;
  return text.replace(/\{([a-z]+)\}/g, (whole, name) => String(values[name] ?? whole));
}

/**
 * The form of a word that goes with a count: `key.one` or `key.other`.
 * @param {string} key
 * @param {number} count
 */
export function counted(key, count) {
  const form = new Intl.PluralRules(current).select(count) === "one" ? "one" : "other";
  return word(`${key}.${form}`, { count });
}

/** @param {number} ms → "0,3" in Danish, "0.3" in English */
export function tenths(ms) {
  const form = { minimumFractionDigits: 1, maximumFractionDigits: 1 };
  return new Intl.NumberFormat(current, form).format(Math.max(0, ms) / 1000);
}

/** @param {number} ms → "0:07", "12:30", "1:02:03" */
export function elapsed(ms) {
  const all = Math.max(0, Math.floor(ms / 1000));
  const [hours, minutes, seconds] = [Math.floor(all / 3600), Math.floor(all / 60) % 60, all % 60];
  const two = (/** @type {number} */ part) => String(part).padStart(2, "0");
  return hours ? `${hours}:${two(minutes)}:${two(seconds)}` : `${minutes}:${two(seconds)}`;
}

/**
 * Put words where the page asks for them: `data-word` for text, `data-label` for the name read by screen readers.
 * @param {ParentNode} root
 */
export function fillWords(root) {
  for (const node of root.querySelectorAll("[data-word]")) {
    node.textContent = word(node.getAttribute("data-word") ?? "");
  }
  for (const node of root.querySelectorAll("[data-label]")) {
    node.setAttribute("aria-label", word(node.getAttribute("data-label") ?? ""));
  }
}
