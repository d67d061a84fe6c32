// Announce: what a screen reader is told. Polite: own fills, answers, connection, phase; at most one
// message a second, joined. Alert: refusals. Prices and the tape are never announced.

import { byId, setText } from "./dom.js";
import { serverNow } from "./store.js";
import { timeOfDay } from "./units.js";

const EVERY_MS = 1000;
const waiting = [];
let timer = 0;

/** Say it when there is a pause; several become one message. */
export function say(text) {
  waiting.push(text);
  if (!timer) timer = setTimeout(tell, waiting.length > 1 ? EVERY_MS : 50);
}

function tell() {
  setText(byId("polite"), waiting.splice(0).join(". "));
  timer = setTimeout(() => {
    timer = 0;
    if (waiting.length) tell();
  }, EVERY_MS);
}

/** Say it at once: a refusal. */
export function alarm(text) {
  const node = byId("alert");
  node.textContent = "";
  setTimeout(() => setText(node, text), 30);
}

/** The latest thing that happened, in the status bar with its time, and said. */
export function happened(text) {
  const now = serverNow();
  setText(byId("event"), now === null ? text : `${timeOfDay(now)}  ${text}`);
  say(text);
}
