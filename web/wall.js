/**
 * The wall: puts the bays, the calls, the sounds and the line to the server together. State comes from the server; the
 * page draws it four times a second and says so over everything when it can no longer be believed.
 * Must never leave a picture standing without a server behind it.
 */

import { ask, NoAnswer, signInFromAddress } from "./api.js";
import { BayTile } from "./bay-tile.js";
import { CallList, inOrder, rings } from "./call-list.js";
import { PageCover } from "./cover.js";
import { byId, element, icon, setIcon, setText } from "./dom.js";
import { bestGrid } from "./grid.js";
import { barWords, GuaranteeBar } from "./guarantee-bar.js";
import { ServerClock } from "./server-clock.js";
import { ServerLink } from "./server-link.js";
import { ShownReports } from "./shown.js";
import { Sounds } from "./sound.js";
import { Sounding } from "./sounding.js";
import { startTicks } from "./ticks.js";
import { keepAwake } from "./wake.js";
import { elapsed, fillWords, language, loadWords, switchLanguage, word } from "./words.js";

/** @typedef {import("./api.js").Bay} Bay */
/** @typedef {import("./api.js").Call} Call */
/** @typedef {import("./api.js").Me} Me */

const ROLE = "vigil.role";
const SOUND_START_MS = 1000;
/** Longer than a step's: a server that is slow just now must not be asked again and again for everything. */
const FETCH_MS = 8000;
const PHONE = matchMedia("(max-width: 640px)");

class Wall {
  #clock = new ServerClock();
  #link = new ServerLink("/api/events", {
    onOpen: () => void this.#refresh(),
    onEvent: (type, data) => this.#event(type, data),
    onRefused: (status) => this.#refused(status),
  });
  #sounds = new Sounds();
  #shown = new ShownReports();
  #sounding = new Sounding(this.#sounds, (ids, sounded) => this.#shown.sounded(ids, sounded));
  #lost = new PageCover().setUp("broken-link", "fault");
  #closed = new PageCover().setUp("screen", "calm");
  #list = new CallList();
  /** @type {Me | null} */
  #me = null;
  /** @type {Map<string, Bay>} */
  #bays = new Map();
  /** @type {Map<string, BayTile>} */
  #tiles = new Map();
  /** @type {Map<string, Call>} open calls */
  #calls = new Map();
  /** @type {{type: string, data: any}[] | null} events that came while the bays were being fetched */
  #waiting = [];
  /** @type {"" | "display" | "role"} why nothing may be shown here */
  #closedFor = "";
  /** @type {import("./guarantee-bar.js").GuaranteeEvent} */
  #guarantee = { ok: true };
  #bar = new GuaranteeBar(byId("guarantee"));
  #loaded = false;
  #startedMs = performance.now();

  start() {
    byId("calls").replaceWith(this.#list);
    this.#list.id = "calls";
    document.body.append(this.#closed, this.#lost);
    byId("language").addEventListener("click", switchLanguage);
    byId("sign-out").addEventListener("click", () => void this.#signOut());
    byId("sound-off").append(icon("sound-off"), element("span", { "data-word": "sound.off" }));
    fillWords(document);
    addEventListener("resize", () => this.#layOut());
    new ResizeObserver(() => this.#layOut()).observe(byId("bays"));
    addEventListener("pagehide", () => this.#tiles.forEach((tile) => tile.stop()));
    addEventListener("pageshow", (event) => event.persisted && this.#tiles.forEach((tile) => tile.start()));
    document.addEventListener("visibilitychange", () => this.#tiles.forEach((tile) => tile.forget()));
    keepAwake();
    startTicks((nowMs) => this.#tick(nowMs));
  }

  /** Fetch everything afresh: after each (re)connection, so that nothing that happened meanwhile is missed. */
  async #refresh() {
    this.#waiting = [];
    this.#clock.reset();
    this.#tiles.forEach((tile) => tile.forget());
    try {
      const me = /** @type {import("./api.js").Answer<Me>} */ (await ask("GET", "/api/me", undefined, FETCH_MS));
      if (!me.data) return this.#refused(me.status);
      this.#me = me.data;
      localStorage.setItem(ROLE, me.data.role);
      if (me.data.role === "button" && me.data.button) return location.replace(`/button/${me.data.button}`);
      this.#closedFor = me.data.may.includes("watch") ? "" : "role";
      if (this.#closedFor) return;
      this.#list.setUp(me.data.may.includes("acknowledge"), (call) => this.#take(call));
      const bays = /** @type {import("./api.js").Answer<Bay[]>} */ (await ask("GET", "/api/bays", undefined, FETCH_MS));
      if (!bays.data) return this.#refused(bays.status);
      this.#setBays(bays.data);
    } catch (error) {
      if (!(error instanceof NoAnswer)) throw error;
      this.#link.drop("no answer");
      return;
    }
    const waiting = this.#waiting ?? [];
    this.#waiting = null;
    for (const { type, data } of waiting) this.#event(type, data);
  }

  /** @param {Bay[]} bays */
  #setBays(bays) {
    for (const [id, tile] of this.#tiles) {
      if (bays.some((bay) => bay.id === id)) continue;
      tile.stop();
      tile.remove();
      this.#tiles.delete(id);
    }
    this.#bays = new Map(bays.map((bay) => [bay.id, bay]));
    this.#calls = new Map(bays.flatMap(({ call }) => (call ? [[call.id, call]] : [])));
    for (const bay of bays) {
      const known = this.#tiles.get(bay.id);
      if (known) known.update(bay);
      const tile = known ?? new BayTile().setUp(bay, this.#clock);
      this.#tiles.set(bay.id, tile);
      byId("bays").append(tile);
    }
    this.#tiles.forEach((tile) => tile.start());
    this.#loaded = true;
    this.#layOut();
  }

  /**
   * @param {string} type
   * @param {any} data
   */
  #event(type, data) {
    if (type === "clock") this.#clock.observe(data.now_ms, performance.now());
    else if (this.#waiting) this.#waiting.push({ type, data });
    else if (type === "call") this.#take(data);
    else if (type === "snapshot") {
      this.#calls = new Map(data.calls.map((/** @type {Call} */ call) => [call.id, call]));
    } else if (type === "guarantee") this.#guarantee = data;
    else if (type === "camera" || type === "curtain") {
      const { bay: id, ...news } = data;
      const bay = this.#bays.get(id);
      if (!bay) return;
      if (type === "camera") bay.camera = news;
      else bay.curtain = news.curtain;
      this.#tiles.get(id)?.update(bay);
    }
  }

  /** @param {Call} call */
  #take(call) {
    if (call.state === "closed") this.#calls.delete(call.id);
    else this.#calls.set(call.id, call);
    this.#tick(performance.now()); // a press is seen and heard at once, not at the next tick
  }

  /** @param {number} status */
  #refused(status) {
    const display = (this.#me?.role ?? localStorage.getItem(ROLE)) === "display";
    if (status === 401 && !display) location.replace("/sign-in");
    else if (status === 401 || status === 403) {
      this.#closedFor = status === 401 ? "display" : "role";
      this.#tiles.forEach((tile) => tile.stop());
    } else this.#link.drop(`status ${status}`);
  }

  async #signOut() {
    this.#tiles.forEach((tile) => tile.stop());
    try {
      await ask("DELETE", "/api/session");
    } finally {
      location.replace("/sign-in");
    }
  }

  /** @param {number} pageMs */
  #tick(pageMs) {
    this.#link.tick(pageMs);
    const nowMs = this.#clock.at(pageMs);
    const lost = this.#link.lost(pageMs);
    const calls = inOrder(this.#calls.values());
    const byBay = new Map(calls.map((call) => [call.bay, call]));
    /** @type {Set<string>} */
    const faults = new Set(lost ? ["server"] : []);
    let live = 0;
    for (const [id, tile] of this.#tiles) {
      const view = tile.tick(pageMs, byBay.get(id) ?? null);
      if (view.name === "live") live += 1;
      if (view.fault && !document.hidden) faults.add(id);
    }
    this.#list.draw(calls, (bay) => this.#bays.get(bay)?.name ?? bay, nowMs, pageMs);
    const ringing = this.#closedFor ? [] : calls.filter(rings);
    this.#shown.rendered(lost ? [] : ringing);
    const oldestMs = Math.min(...ringing.map((call) => call.pressed_at));
    const longestMs = ringing.length && nowMs !== null ? nowMs - oldestMs : 0;
    this.#sounding.tick(pageMs, ringing, longestMs, this.#closedFor ? new Set() : faults);
    this.#drawFrame(live, pageMs);
    this.#drawCovers(lost ? pageMs - this.#link.heardMs : null, ringing);
  }

  /**
   * Everything around the bays.
   * @param {number} live
   * @param {number} pageMs
   */
  #drawFrame(live, pageMs) {
    const cameras = [...this.#bays.values()].filter(({ camera }) => camera).length;
    setText(byId("live-count"), cameras ? word("wall.live-count", { live, all: cameras }) : "");
    setText(byId("loading"), word(this.#loaded ? "wall.no-bays" : "wall.loading"));
    byId("loading").hidden = this.#bays.size > 0;
    const time = new Intl.DateTimeFormat(language(), { hour: "2-digit", minute: "2-digit", hourCycle: "h23" });
    setText(byId("time"), time.format(new Date()));
    setText(byId("who"), this.#me?.name ?? "");
    byId("who").title = this.#me ? word("wall.signed-in", { name: this.#me.name }) : "";
    byId("sign-out").hidden = this.#me?.role !== "nurse";
    // A context that is allowed to run takes a moment to start: no bar for that.
    const silent = !this.#sounds.on && pageMs - this.#startedMs > SOUND_START_MS;
    setIcon(byId("sound"), silent ? "sound-off" : "sound-on");
    byId("sound").setAttribute("aria-label", word(silent ? "sound.off" : "sound.on"));
    byId("sound-off").hidden = !silent;
    this.#bar.show(barWords(this.#guarantee, (bay) => this.#bays.get(bay)?.name ?? bay));
  }

  /**
   * @param {number | null} lostMs how long the server has been silent, where that is too long
   * @param {Call[]} ringing
   */
  #drawCovers(lostMs, ringing) {
    const names = ringing.map(({ bay }) => this.#bays.get(bay)?.name ?? bay).join(", ");
    this.#lost.show(
      lostMs !== null && {
        title: word("lost.title"),
        text: word("lost.text"),
        doing: names ? word("lost.calls", { names }) : word("lost.doing"),
        elapsed: elapsed(lostMs),
      },
    );
    const why = this.#closedFor;
    this.#closed.show(
      why !== "" && {
        title: word(`closed.${why}.title`),
        text: word(`closed.${why}.text`),
        doing: word(`closed.${why}.doing`),
        elapsed: "",
        link: this.#me?.may.includes("audit") ? { href: "/audit", text: word("closed.audit") } : null,
      },
    );
  }

  #layOut() {
    const room = byId("bays");
    const count = this.#tiles.size;
    if (!count) return;
    const gap = Number.parseFloat(getComputedStyle(room).columnGap) || 0;
    const { columns, rows } = PHONE.matches
      ? { columns: 1, rows: count }
      : bestGrid(count, room.clientWidth, room.clientHeight, gap);
    room.style.setProperty("--columns", String(columns));
    room.style.setProperty("--rows", String(rows));
  }
}

await loadWords();
await signInFromAddress();
new Wall().start();
