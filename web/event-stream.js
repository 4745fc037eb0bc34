/**
 * Server-sent events out of text that arrives in pieces (WHATWG HTML, section 9.2.6). No network in here.
 */

/** @typedef {{type: string, data: string, id: string}} ServerEvent */

export class EventStreamParser {
  #rest = "";
  #type = "";
  #id = "";
  /** @type {string[]} */
  #data = [];

  /**
   * @param {string} text
   * @returns {ServerEvent[]} the events that are complete with it
   */
  feed(text) {
    const lines = (this.#rest + text).split(/\r\n|\n|\r(?!$)/);
    this.#rest = lines.pop() ?? "";
    /** @type {ServerEvent[]} */
    const complete = [];
    for (const line of lines) this.#line(line, complete);
    return complete;
  }

  /**
   * @param {string} line
   * @param {ServerEvent[]} complete
   */
  #line(line, complete) {
    if (line === "") {
      const data = this.#data.join("\n");
      if (this.#data.length) complete.push({ type: this.#type || "message", data, id: this.#id });
      this.#type = "";
      this.#data = [];
      return;
    }
    const colon = line.indexOf(":");
    if (colon === 0) return; // a comment, sent to keep the connection awake
    const field = colon < 0 ? line : line.slice(0, colon);
    const value = colon < 0 ? "" : line.slice(colon + 1).replace(/^ /, "");
    if (field === "event") this.#type = value;
    else if (field === "data") this.#data.push(value);
    else if (field === "id" && !value.includes("\0")) this.#id = value;
  }
}
