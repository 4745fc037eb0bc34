/**
 * Signing in: with the code behind `#` in the address, or with a token from IT pasted into the field.
 * Must never keep what was typed, nor put it into an address.
 */

import { ask, NoAnswer, signInFromAddress } from "./api.js";
import { byId, setText } from "./dom.js";
import { fillWords, loadWords, switchLanguage, word } from "./words.js";

/** @typedef {import("./api.js").Answer<unknown>} Answer */
/** @typedef {import("./api.js").Me} Me */

const TOO_MANY = 429;

/** @param {Answer} answer */
async function arrive(answer) {
  if (!answer.ok) {
    setText(byId("note"), word(answer.status === TOO_MANY ? "sign-in.too-many" : "sign-in.refused"));
    return;
  }
  const me = /** @type {import("./api.js").Answer<Me>} */ (await ask("GET", "/api/me"));
  location.replace(startPage(me.data));
}

/**
 * Where a role does its work: the wall, a patient's button, or the audit for those who may not watch.
 * @param {Me | null} me
 */
function startPage(me) {
  if (me?.role === "button" && me.button) return `/button/${encodeURIComponent(me.button)}`;
  return me && !me.may.includes("watch") && me.may.includes("audit") ? "/audit" : "/";
}

/** @param {() => Promise<void>} work */
async function tell(work) {
  const go = /** @type {HTMLButtonElement} */ (byId("go"));
  go.disabled = true;
  setText(byId("note"), word("sign-in.working"));
  try {
    await work();
  } catch (error) {
    if (!(error instanceof NoAnswer)) throw error;
    setText(byId("note"), word("sign-in.failed"));
  } finally {
    go.disabled = false;
  }
}

await loadWords();
fillWords(document);
byId("language").addEventListener("click", switchLanguage);
byId("form").addEventListener("submit", (event) => {
  event.preventDefault();
  const field = /** @type {HTMLInputElement} */ (byId("code"));
  const code = field.value.trim();
  field.value = "";
  if (code) void tell(async () => arrive(await ask("POST", "/api/session", { code })));
});
if (location.hash.length > 1) {
  await tell(async () => {
    const answer = await signInFromAddress();
    if (answer) await arrive(answer);
  });
}
