/**
 * The page for everyone who reads the sign: whether the guarantee holds right now, and the clinic's notice. No sign-in.
 * Must never leave a good verdict standing without a fresh answer behind it.
 */

import { ask, NoAnswer } from "./api.js";
import { byId, element, setIcon, setText } from "./dom.js";
import { noticeParts, noticeVerdict, STALE_MS } from "./notice-view.js";
import { ago, clockTime, moment, number } from "./times.js";
import { fillWords, language, loadWords, switchLanguage, word } from "./words.js";

/** @typedef {import("./notice-view.js").Notice} Notice */

const EVERY_MS = 10_000;
const RETRY_MS = 3000;
const DRAW_MS = 1000;

class NoticePage {
  /** @type {Notice | null} */
  #notice = null;
  #answeredMs = 0;
  #asking = false;
  #lost = false;
  #nextMs = 0;
  #drawnParts = "";

  start() {
    fillWords(document);
    byId("language").addEventListener("click", () => {
      switchLanguage();
      this.#draw();
    });
    byId("print").addEventListener("click", () => print());
    document.addEventListener("visibilitychange", () => document.hidden || void this.#ask());
    setInterval(() => this.#tick(), DRAW_MS);
    this.#tick();
  }

  #tick() {
    if (Date.now() >= this.#nextMs) void this.#ask();
    this.#draw();
  }

  async #ask() {
    if (this.#asking) return;
    this.#asking = true;
    try {
      const answer = /** @type {import("./api.js").Answer<Notice>} */ (await ask("GET", "/api/notice"));
      this.#lost = !answer.data;
      if (answer.data) [this.#notice, this.#answeredMs] = [answer.data, Date.now()];
    } catch (error) {
      if (!(error instanceof NoAnswer)) throw error;
      this.#lost = true;
    } finally {
      this.#asking = false;
      this.#nextMs = Date.now() + (this.#lost ? RETRY_MS : EVERY_MS);
      this.#draw();
    }
  }

  #draw() {
    const notice = this.#notice;
    const ageMs = Date.now() - this.#answeredMs;
    const waiting = !notice && !this.#lost;
    const verdict = this.#lost ? "not_checked" : noticeVerdict(notice, ageMs);
    byId("verdict").dataset["verdict"] = verdict;
    setIcon(byId("verdict-icon"), waiting ? "connecting" : verdict);
    const kind = waiting ? "waiting" : verdict;
    setText(byId("verdict-title"), word(`notice.verdict.${kind}.title`));
    setText(byId("verdict-text"), word(`notice.verdict.${kind}.text`));
    document.title = `${word("notice.title")} – ${notice?.clinic ?? "Vigil"}`;
    if (!notice) return;
    setText(byId("clinic"), notice.clinic);
    this.#drawFigures(notice, ageMs, this.#lost || ageMs > STALE_MS);
    this.#drawParts(notice);
    const seen = { moment: moment(this.#answeredMs), version: notice.version };
    setText(byId("seen"), word("notice.seen", seen));
  }

  /**
   * @param {Notice} notice
   * @param {number} ageMs
   * @param {boolean} old whether these are figures of the past
   */
  #drawFigures(notice, ageMs, old) {
    const { written_octets: written, since_ms: since, proof_age_ms: proof } = notice;
    const unknown = word("notice.unknown");
    const counted =
      written === null || since === null
        ? unknown
        : word("notice.written.since", { octets: number(written), moment: moment(since) });
    const rows = [
      ["cameras", old ? unknown : number(notice.cameras_on)],
      ["written", old ? unknown : counted],
      ["proof", old || proof === null ? unknown : ago(proof + ageMs)],
      ["looked", clockTime(this.#answeredMs)],
    ];
    byId("written-note").hidden = old || !written;
    byId("figures").replaceChildren(
      ...rows.map(([name, value]) =>
        element("div", {}, element("dt", {}, word(`notice.figure.${name}`)), element("dd", {}, value ?? "")),
      ),
    );
  }

  /** @param {Notice} notice */
  #drawParts(notice) {
    const parts = noticeParts(notice);
    const drawn = `${language()} ${JSON.stringify(parts)}`;
    if (drawn === this.#drawnParts) return; // a reader's place and selection are left alone
    this.#drawnParts = drawn;
    byId("parts").replaceChildren(
      ...parts.map(({ name, said, link }) => {
        const part = element("div", { id: `part-${name}` }, element("h3", {}, word(`notice.${name}`)));
        for (const { key, values } of said) {
          const text = word(key, values);
          part.append(element("p", {}, link ? element("a", { href: link, rel: "noreferrer" }, text) : text));
        }
        if (link) part.append(element("p", { class: "print-only" }, link));
        return part;
      }),
    );
  }
}

await loadWords();
new NoticePage().start();
