/**
 * What the audit's page says of the server's answer. Pure.
 * Must never count what was not checked as holding, nor take an old answer for one about now.
 */

import { span } from "./times.js";
import { language } from "./words.js";

/** @typedef {"holds" | "broken" | "not_checked"} Verdict */
/**
 * @typedef {object} AuditRow
 * @property {number} row
 * @property {string} name
 * @property {string} how
 * @property {Verdict} verdict
 * @property {string} seen
 * @property {string} why
 */
/** @typedef {{row: number, from_ms: number, to_ms: number | null, why?: string}} AuditBreak */
/**
 * @typedef {object} Period
 * @property {number} from_ms
 * @property {number} to_ms
 * @property {number} held_ms
 * @property {number} broken_ms
 * @property {number} off_ms
 * @property {number} unknown_ms
 * @property {AuditBreak[]} breaks
 */
/** @typedef {{thread: string, tried: number, refused: number, written_octets: number}} AuditProof */
/**
 * @typedef {object} AuditProcess
 * @property {number} process
 * @property {number | null} pid
 * @property {string} state
 * @property {string} why
 * @property {string[]} missing
 * @property {number | null} proved_ms
 * @property {AuditProof[]} proofs
 */
/**
 * @typedef {object} Audit `GET /api/audit`
 * @property {boolean} ok
 * @property {number | null} checked_ms service time; 0 or null before the first round
 * @property {AuditRow[]} rows
 * @property {string} held why no picture may be shown, "" where it may
 * @property {string} public_key
 * @property {string} fingerprint
 * @property {{entries: number, head: string, failing: string}} chain
 * @property {{day: Period, month: Period}} period
 * @property {AuditProcess[]} processes
 */

/** The server looks twice a minute; after this long without a round nothing is known of now. */
export const OVERDUE_MS = 90_000;

/**
 * @param {Audit | null} audit
 * @param {number | null} nowMs service time, null where the server is lost
 * @returns {Verdict}
 */
export function auditVerdict(audit, nowMs) {
  if (!audit || nowMs === null || !audit.checked_ms || nowMs - audit.checked_ms > OVERDUE_MS) return "not_checked";
  return audit.ok && !audit.rows.some(({ verdict }) => verdict === "broken") ? "holds" : "broken";
}

/** @param {AuditRow[]} rows how many there are of each verdict */
export function counts(rows) {
  const of = (/** @type {Verdict} */ wanted) => rows.filter(({ verdict }) => verdict === wanted).length;
  return { holds: of("holds"), broken: of("broken"), unchecked: of("not_checked") };
}

/**
 * @param {Period} period
 * @returns {string} in how much of the time that was checked it held, never rounded up; "" where nothing was checked. The
 *   time that was not (before the first start, say) is told beside it, and is neither.
 */
export function heldShare({ held_ms: held, broken_ms: broken }) {
  const all = held + broken;
  if (all <= 0) return "";
  const form = { style: /** @type {const} */ ("percent"), maximumFractionDigits: 2 };
  return new Intl.NumberFormat(language(), form).format(Math.floor((held / all) * 10_000) / 10_000);
}

/** @param {Period} period the four sums in words, for the placeholders of `audit.period.sums` */
export function sums(period) {
  const { held_ms: held, broken_ms: broken, off_ms: off, unknown_ms: unknown } = period;
  return { held: span(held), broken: span(broken), off: span(off), unknown: span(unknown) };
}

/**
 * What a process's newest proofs have come to, both threads together.
 * @param {AuditProof[]} proofs
 */
export function totals(proofs) {
  const sum = (/** @type {(proof: AuditProof) => number} */ of) => proofs.reduce((all, proof) => all + of(proof), 0);
  return {
    tried: sum(({ tried }) => tried),
    refused: sum(({ refused }) => refused),
    written: Math.max(0, ...proofs.map(({ written_octets: octets }) => octets)), // of the process, whichever thread asks
  };
}
