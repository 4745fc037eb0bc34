/**
 * Our own drawings, as stroked paths on a field of 24 × 24: state is told by form and words, never by colour alone.
 */

/**
 * @typedef {"bell" | "person" | "here" | "spanner" | "curtain" | "no-camera" | "power" | "live" | "connecting"
 *   | "sound-off" | "sound-on" | "check" | "screen" | "send" | "shout" | "broken-link" | "holds" | "broken"
 *   | "not_checked"} IconName
 */

/** @type {Record<IconName, readonly string[]>} */
export const ICONS = {
  bell: ["M5 17h14l-2-3V10a5 5 0 0 0-10 0v4z", "M10 20a2 2 0 0 0 4 0", "M12 5V3"],
  person: ["M12 11a4 4 0 1 0 0-8 4 4 0 0 0 0 8z", "M4 21c0-4.5 3.5-7 8-7s8 2.5 8 7"],
  here: ["M9 10a3.5 3.5 0 1 0 0-7 3.5 3.5 0 0 0 0 7z", "M2.5 21c0-4.5 2.8-7 6.5-7 1.3 0 2.5.3 3.5.9", "M14 18l3 3 5-6"],
  spanner: ["M20.5 6.5l-3.5 3.5-3-3 3.5-3.5a5 5 0 0 0-6.5 6.5L3.5 17.5a2.100 2.100 0 0 0 3 3L14 13a5 5 0 0 0 6.5-6.5z"],
  curtain: ["M3 3h18", "M5 3v17c3-1 4-6 4-11V3", "M19 3v17c-3-1-4-6-4-11V3", "M12 3v9"],
  "no-camera": ["M3 7h11v10H3z", "M14 11l6-3v8l-6-3", "M3 3l18 18"],
  power: ["M12 3v8", "M7 6a8 8 0 1 0 10 0"],
  live: ["M12 8a4 4 0 1 0 0 8 4 4 0 0 0 0-8z"],
  connecting: ["M12 3a9 9 0 1 1-9 9"],
  "sound-off": ["M4 10v4h3l5 4V6L7 10z", "M16 9l5 6", "M21 9l-5 6"],
  "sound-on": ["M4 10v4h3l5 4V6L7 10z", "M15.5 9.5a4 4 0 0 1 0 5", "M18 7a8 8 0 0 1 0 10"],
  check: ["M4 13l5 5L20 6"],
  screen: ["M3 4h18v12H3z", "M9 20h6", "M12 16v4"],
  send: ["M12 20V5", "M6 11l6-6 6 6"],
  shout: ["M3 10v4h3l9 5V5l-9 5z", "M18.5 9a4.5 4.5 0 0 1 0 6", "M7 14.5l1.5 5.5h2.5"],
  "broken-link": ["M10 14l-2.5 2.5a3.5 3.5 0 0 1-5-5L5 9", "M14 10l2.5-2.5a3.5 3.5 0 0 1 5 5L19 15", "M4 4l16 16"],
  holds: ["M12 2.5l8 3v6c0 5-3.5 8.5-8 10-4.5-1.5-8-5-8-10v-6z", "M8 12l3 3 5-6"],
  broken: ["M8 3h8l5 5v8l-5 5H8l-5-5V8z", "M9 9l6 6", "M15 9l-6 6"],
  not_checked: ["M12 3a9 9 0 1 0 0 18 9 9 0 0 0 0-18z", "M9.5 9.5a2.5 2.5 0 1 1 3.7 2.2c-.8.4-1.2.9-1.2 1.8", "M12 17v.01"],
};
