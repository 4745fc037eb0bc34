/**
 * The page for IT: the guarantee row by row, its uptime, the proofs and what they are signed with. Never a picture.
 * Must never leave a good verdict standing without a server behind it.
 */

import { ask, NoAnswer } from "./api.js";
import { AuditTables } from "./audit-tables.js";
import { auditVerdict, counts, totals } from "./audit-view.js";
import { PageCover } from "./cover.js";
import { byId, setIcon, setText } from "./dom.js";
import { ServerClock } from "./server-clock.js";
import { ServerLink } from "./server-link.js";
import { startTicks } from "./ticks.js";
import { ago, number } from "./times.js";
import { fillWords, language, loadWords, switchLanguage, word } from "./words.js";

/** @typedef {import("./api.js").Me} Me */
/** @typedef {import("./audit-view.js").Audit} Audit */
/** @typedef {import("./audit-view.js").AuditProcess} AuditProcess */

const EVERY_MS = 30_000;
const FETCH_MS = 8000;
/** The server waits up to 15 s for the proofs. */
const PROVE_MS = 20_000;

class AuditPage {
  #clock = new ServerClock();
  #link = new ServerLink("/api/events", {
    onOpen: () => void this.#refresh(),
    onEvent: (type, data) => this.#event(type, data),
    onRefused: (status) => this.#refused(status),
  });
  #closed = new PageCover().setUp("screen", "calm");
  #tables = new AuditTables();
  /** @type {Audit | null} */
  #audit = null;
  #fetchedMs = -Infinity;
  #asking = false;
  #again = false;
  /** Whether this role may see it; not known before the server has said so. */
  #may = false;
  #isClosed = false;

  start() {
    document.body.append(this.#closed);
    byId("language").addEventListener("click", () => {
      switchLanguage();
      void this.#fetch();
    });
    byId("sign-out").addEventListener("click", () => void this.#signOut());
    byId("prove").addEventListener("click", () => void this.#prove());
    fillWords(document);
    startTicks((nowMs) => this.#tick(nowMs));
  }

  async #refresh() {
    this.#clock.reset();
    try {
      const me = /** @type {import("./api.js").Answer<Me>} */ (await ask("GET", "/api/me", undefined, FETCH_MS));
      if (!me.data) return this.#refused(me.status);
      this.#may = me.data.may.includes("audit");
      this.#isClosed = !this.#may;
      setText(byId("who"), me.data.name);
      await this.#fetch();
    } catch (error) {
      if (!(error instanceof NoAnswer)) throw error;
      this.#link.drop("no answer");
    }
  }

  /** Fetch the audit; where one is being fetched, once more afterwards, for it may be of before the news. */
  async #fetch() {
    this.#again = this.#asking;
    if (this.#asking || !this.#may) return;
    this.#asking = true;
    this.#fetchedMs = performance.now();
    try {
      const path = `/api/audit?lang=${language()}`;
      const answer = /** @type {import("./api.js").Answer<Audit>} */ (await ask("GET", path, undefined, FETCH_MS));
      if (answer.data) this.#audit = answer.data;
      else if (answer.status === 401 || answer.status === 403) this.#refused(answer.status);
    } catch (error) {
      if (!(error instanceof NoAnswer)) throw error;
      this.#link.drop("no answer");
    } finally {
      this.#asking = false;
    }
    this.#draw();
    if (this.#again) await this.#fetch();
  }

  /**
   * @param {string} type
   * @param {any} data
   */
  #event(type, data) {
    if (type === "clock") this.#clock.observe(data.now_ms, performance.now());
    else if (type === "guarantee") void this.#fetch();
  }

  /** @param {number} status */
  #refused(status) {
    if (status === 401) location.replace("/sign-in");
    else if (status === 403) [this.#may, this.#isClosed] = [false, true];
    else this.#link.drop(`status ${status}`);
  }

  async #signOut() {
    try {
      await ask("DELETE", "/api/session");
    } finally {
      location.replace("/sign-in");
    }
  }

  async #prove() {
    const button = /** @type {HTMLButtonElement} */ (byId("prove"));
    button.disabled = true;
    setText(byId("proved"), word("audit.prove.working"));
    try {
      /** @type {import("./api.js").Answer<{processes: AuditProcess[]}>} */
      const answer = await ask("POST", "/api/audit/proof", {}, PROVE_MS);
      const proofs = (answer.data?.processes ?? []).flatMap((process) => process.proofs);
      const { tried, refused } = totals(proofs);
      const values = { tried: number(tried), refused: number(refused) };
      setText(byId("proved"), word(answer.data ? "audit.prove.done" : "audit.prove.failed", values));
      await this.#fetch();
    } catch (error) {
      if (!(error instanceof NoAnswer)) throw error;
      setText(byId("proved"), word("audit.prove.failed"));
    } finally {
      button.disabled = false;
    }
  }

  /** @param {number} pageMs */
  #tick(pageMs) {
    this.#link.tick(pageMs);
    if (pageMs - this.#fetchedMs > EVERY_MS) void this.#fetch();
    this.#closed.show(
      this.#isClosed && {
        title: word("audit.closed.title"),
        text: word("audit.closed.text"),
        doing: "",
        elapsed: "",
        link: { href: "/", text: word("audit.closed.link") },
      },
    );
    this.#draw();
  }

  #draw() {
    const pageMs = performance.now();
    const lost = this.#link.lost(pageMs);
    const nowMs = this.#clock.at(pageMs);
    const audit = this.#audit;
    document.title = `${word("audit.title")} – Vigil`;
    const verdict = auditVerdict(audit, lost ? null : nowMs);
    const kind = lost ? "lost" : audit?.checked_ms || verdict !== "not_checked" ? verdict : "waiting";
    byId("verdict").dataset["verdict"] = verdict;
    setIcon(byId("verdict-icon"), kind === "waiting" ? "connecting" : kind === "lost" ? "broken-link" : verdict);
    setText(byId("verdict-title"), word(`audit.verdict.${kind}.title`));
    setText(byId("verdict-text"), word(`audit.verdict.${kind}.text`, counts(audit?.rows ?? [])));
    byId("held").hidden = !audit?.held;
    if (!audit) return;
    setText(byId("held"), word("audit.held"));
    const checked = audit.checked_ms && nowMs !== null ? ago(nowMs - audit.checked_ms) : word("notice.unknown");
    setText(byId("checked"), word("audit.checked", { ago: checked }));
    this.#tables.draw(audit, nowMs);
  }
}

await loadWords();
new AuditPage().start();
