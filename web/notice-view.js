/**
 * What the notice says: the verdict and figures of this moment, and the clinic's notice part by part. Pure.
 * Must never say more than the server's newest answer says, nor anything where that answer is old or did not come; and
 * of the clinic only what its configuration states: what is not there is left out.
 */

/**
 * @typedef {object} Notice `GET /api/notice`
 * @property {string} clinic
 * @property {string} controller
 * @property {string} policy_url
 * @property {string[]} legal_bases as "6(1)(d)"
 * @property {string} legitimate_interest
 * @property {string} article_9 as "9(2)(h)", or ""
 * @property {{calls_days: number, access_log_days: number}} retention
 * @property {string} version
 * @property {number} cameras_on
 * @property {boolean} ok
 * @property {number | null} written_octets
 * @property {number | null} since_ms
 * @property {number | null} proof_age_ms
 */
/** @typedef {"holds" | "broken" | "not_checked"} Verdict */
/** @typedef {{key: string, values: Record<string, string | number>}} Said */
/** @typedef {{name: string, said: Said[], link?: string}} Part `name`: behind "notice" it is the key of the part's title */

/** An answer may be this old: two that were missed, and it says nothing about now. */
export const STALE_MS = 25_000;
/** Each process proves its seal within a minute; a proof that is older is late. */
export const PROOF_MS = 90_000;
const INTEREST = "6(1)(f)";

/**
 * @param {Notice | null} notice the newest answer
 * @param {number} ageMs how old that answer is
 * @returns {Verdict}
 */
export function noticeVerdict(notice, ageMs) {
  if (!notice || ageMs > STALE_MS) return "not_checked";
  const { ok, proof_age_ms: proof } = notice;
  return ok && proof !== null && proof + ageMs <= PROOF_MS ? "holds" : "broken";
}

/**
 * @param {string} key
 * @param {Record<string, string | number>} [values]
 * @returns {Said}
 */
function said(key, values = {}) {
  return { key, values };
}

/** @param {string} base "6(1)(d)" → "d" */
function letter(base) {
  return base.replace(/^.*\(([a-j])\)$/, "$1");
}

/**
 * The notice's second layer, in order.
 * @param {Notice} notice
 * @returns {Part[]}
 */
export function noticeParts(notice) {
  const { controller, legal_bases: bases, legitimate_interest: interest, article_9: nine, retention } = notice;
  const grounds = bases.map((base) => said(`notice.basis.${letter(base)}`));
  if (bases.includes(INTEREST) && interest) grounds.push(said("notice.interest", { interest }));
  if (nine) grounds.push(said("notice.article-nine", { letter: letter(nine) }));
  const rights = [said("notice.rights.all")];
  if (bases.includes(INTEREST)) rights.push(said("notice.rights.object"));
  rights.push(said("notice.rights.none-stored"), said("notice.rights.complain"));
  const { calls_days: calls, access_log_days: accesses } = retention;
  /** @type {Part[]} */
  const parts = [
    { name: "who", said: controller ? [said("notice.who.text", { controller })] : [] },
    { name: "purpose", said: [said("notice.purpose.text")] },
    { name: "grounds", said: grounds },
    { name: "data", said: [said("notice.data.pictures"), said("notice.data.calls"), said("notice.data.accesses")] },
    { name: "kept", said: [said("notice.kept.pictures"), said("notice.kept.days", { calls, accesses })] },
    { name: "no-camera", said: [said("notice.no-camera.text")] },
    { name: "rights", said: rights },
    { name: "decisions", said: [said("notice.decisions.text")] },
    { name: "staff", said: [said("notice.staff.text")] },
    { name: "policy", said: notice.policy_url ? [said("notice.policy.text")] : [], link: notice.policy_url },
  ];
  return parts.filter((part) => part.said.length > 0);
}
