/**
 * Tells the server that this screen showed a call, and whether it was heard: the patient is told so.
 * Must never confirm what was not drawn on a visible page, nor a sound that was not played.
 */

import { ask, NoAnswer } from "./api.js";

/** @typedef {import("./api.js").Call} Call */
/** @typedef {{drawn: boolean, sound: boolean | null, told: boolean | null, busy: boolean}} ShownRecord */

export class ShownReports {
  /** @type {Map<string, ShownRecord>} by call and restart of the server, after which it must be shown again */
  #records = new Map();
  /** @type {Map<string, string>} call id → key of its record */
  #keys = new Map();

  /**
   * Calls that ring now and stand in the page.
   * @param {(Call & {restores?: number})[]} ringing
   */
  rendered(ringing) {
    const keys = new Set(ringing.map((call) => `${call.id}/${call.restores ?? 0}`));
    for (const key of this.#records.keys()) if (!keys.has(key)) this.#records.delete(key);
    this.#keys = new Map(ringing.map((call) => [call.id, `${call.id}/${call.restores ?? 0}`]));
    for (const [id, key] of this.#keys) {
      if (this.#records.has(key)) continue;
      const record = { drawn: false, sound: null, told: null, busy: false };
      this.#records.set(key, record);
      // The second frame begins when the first one has been drawn; on a hidden page neither comes.
      requestAnimationFrame(() =>
        requestAnimationFrame(() => {
          record.drawn = true;
          void this.#tell(id, record);
        }),
      );
    }
  }

  /**
   * @param {string[]} ids
   * @param {boolean} sound
   */
  sounded(ids, sound) {
    for (const id of ids) {
      const record = this.#records.get(this.#keys.get(id) ?? "");
      if (!record) continue;
      record.sound ||= sound;
      void this.#tell(id, record);
    }
  }

  /**
   * Once for each screen and call; once more where the sound, blocked at first, was played later.
   * @param {string} id
   * @param {ShownRecord} record
   */
  async #tell(id, record) {
    const { drawn, sound, told, busy } = record;
    if (!drawn || sound === null || busy || told === sound || told === true) return;
    record.busy = true;
    try {
      const answer = await ask("POST", `/api/calls/${encodeURIComponent(id)}/shown`, { sound });
      if (answer.ok || answer.status < 500) record.told = sound;
    } catch (error) {
      if (!(error instanceof NoAnswer)) throw error; // the next sound, in five seconds at most, tries again
    } finally {
      record.busy = false;
    }
  }
}
