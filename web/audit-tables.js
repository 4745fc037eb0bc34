/**
 * The tables of the audit's page: rows, periods and breaks, processes, and what the evidence is signed with.
 * Must never tell a verdict by its colour alone: each has a form and a word.
 */

import { heldShare, sums, totals } from "./audit-view.js";
import { byId, element, icon, setText } from "./dom.js";
import { ago, moment, number, span } from "./times.js";
import { language, word } from "./words.js";

/** @typedef {import("./audit-view.js").Audit} Audit */
/** @typedef {import("./audit-view.js").Verdict} Verdict */

/** @param {Verdict} verdict */
function mark(verdict) {
  const words = element("span", {}, word(`audit.verdict-of-row.${verdict}`));
  return element("span", { class: "mark", "data-verdict": verdict }, icon(verdict), words);
}

/**
 * A cell that says, on a narrow page, what its column's head says on a wide one.
 * @param {string} name key of the column's head
 * @param {...(Node | string)} children
 */
function cell(name, ...children) {
  return element("td", { "data-name": word(`audit.column.${name}`) }, ...children);
}

/**
 * @param {string} table
 * @param {HTMLTableRowElement[]} rows
 */
function fill(table, rows) {
  byId(table).querySelector("tbody")?.replaceChildren(...rows);
}

export class AuditTables {
  #drawn = "";

  /**
   * Draw anew what has changed; the ages each time.
   * @param {Audit} audit
   * @param {number | null} nowMs service time
   */
  draw(audit, nowMs) {
    const drawn = language() + JSON.stringify(audit);
    if (drawn !== this.#drawn) {
      this.#drawn = drawn;
      this.#rows(audit);
      this.#periods(audit);
      this.#processes(audit);
      this.#evidence(audit);
    }
    audit.processes.forEach(({ process, proved_ms: at }) => {
      const known = nowMs !== null && at;
      setText(byId(`age-${process}`), known ? ago(Math.max(0, nowMs - at)) : word("notice.unknown"));
    });
  }

  /** @param {Audit} audit */
  #rows({ rows }) {
    fill(
      "rows",
      rows.map(({ row, name, how, verdict, seen, why }) => {
        const said = element("td", {}, ...(seen ? [seen] : []));
        if (why) said.append(element("span", { class: "why" }, why));
        const head = element("th", { scope: "row" }, name, element("span", { class: "how" }, how));
        const line = element("tr", { "data-verdict": verdict, id: `row-${row}` });
        line.append(element("td", {}, String(row)), head, element("td", {}, mark(verdict)), said);
        return line;
      }),
    );
  }

  /** @param {Audit} audit */
  #periods({ period, rows }) {
    byId("periods").replaceChildren(
      ...[period.day, period.month].map((each, index) =>
        element(
          "div",
          { class: "period" },
          element("p", {}, word(index ? "audit.period.month" : "audit.period.day")),
          element("p", { class: "period-figure" }, heldShare(each) || "–"),
          element("p", {}, word("audit.period.share")),
          element("p", {}, word("audit.period.sums", sums(each))),
        ),
      ),
    );
    const breaks = period.month.breaks;
    byId("no-breaks").hidden = breaks.length > 0;
    byId("breaks").hidden = !breaks.length;
    const names = new Map(rows.map(({ row, name }) => [row, name]));
    fill(
      "breaks",
      breaks.map(({ row, from_ms: from, to_ms: to, why }) => {
        const head = element("th", { scope: "row" }, `${row}. ${names.get(row) ?? ""}`);
        if (why) head.append(element("span", { class: "how" }, why));
        const until = to === null ? word("audit.breaks.now") : moment(to);
        const lasted = to === null ? "–" : span(to - from);
        return element("tr", {}, head, cell("from", moment(from)), cell("to", until), cell("lasted", lasted));
      }),
    );
  }

  /** @param {Audit} audit */
  #processes({ processes }) {
    fill(
      "processes",
      processes.map(({ process, pid, state, why, missing, proofs }) => {
        const { tried, refused, written } = totals(proofs);
        const head = element("th", { scope: "row" }, word("audit.process", { number: process + 1, pid: pid ?? "–" }));
        const lacking = missing.length ? word("audit.missing", { locks: missing.join(", ") }) : "";
        const how = cell("state", word(`audit.state.${state}`));
        for (const text of [why, lacking]) if (text) how.append(element("span", { class: "why" }, text));
        const count = word("audit.tried", { tried: number(tried), refused: number(refused) });
        const bytes = proofs.length ? word("audit.written", { octets: number(written) }) : word("notice.unknown");
        const age = element("span", { id: `age-${process}` });
        return element("tr", {}, head, how, cell("tried", count), cell("written", bytes), cell("proof", age));
      }),
    );
  }

  /** @param {Audit} audit */
  #evidence({ fingerprint, public_key: key, chain }) {
    const facts = { fingerprint, key, entries: number(chain.entries), head: chain.head };
    byId("evidence").replaceChildren(
      ...Object.entries(facts).flatMap(([name, value]) => [
        element("dt", {}, word(`audit.evidence.${name}`)),
        element("dd", {}, value || "–"),
      ]),
    );
    byId("journal-failing").hidden = !chain.failing;
  }
}
