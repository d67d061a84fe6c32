// Shortcuts: the keyboard. A single letter acts where nothing is typed; letters can be switched off.

import { byId, el } from "./dom.js";
import { store } from "./store.js";

const KEPT = "oms.letters";
const SEQUENCE_MS = 1200;
const bound = [];
let areLettersOn = true;
let prefix = "";
let prefixAt = 0;

try {
  areLettersOn = localStorage.getItem(KEPT) !== "off";
} catch {
  areLettersOn = true; // storage is switched off
}

/** Act on keys. keys: such as "B", "Shift+X", "Ctrl+K", "G T", "?". what: for the sheet; "" to leave
 * it out. view: only there. act(event) may answer false: it was not for it. */
export function bind(keys, what, act, { view = "" } = {}) {
  bound.push({ keys, what, act, view });
}

/** Note something in the sheet that a panel does by itself. */
export function note(keys, what, view = "") {
  bound.push({ keys, what, act: null, view });
}

/** Listen, and build the sheet. */
export function listen() {
  document.addEventListener("keydown", pressed);
  byId("help").addEventListener("click", openSheet);
  bind("?", "this sheet", openSheet);
}

function pressed(event) {
  if (event.defaultPrevented || event.altKey || event.metaKey || document.querySelector("dialog[open]")) return;
  const isTyping = event.target.matches?.("input:not([type=checkbox]), textarea, select");
  if (!event.ctrlKey && (isTyping || !areLettersOn)) return;
  const name = nameOf(event);
  const isSoon = prefix && event.timeStamp - prefixAt < SEQUENCE_MS;
  const whole = isSoon ? `${prefix} ${name}` : name;
  prefix = "";
  const here = bound.filter((each) => each.act && (!each.view || each.view === store.view));
  for (const each of here) {
    if (each.keys.split(", ").includes(whole) && each.act(event) !== false) {
      event.preventDefault();
      return;
    }
  }
  if (here.some((each) => each.keys.split(", ").some((keys) => keys.startsWith(`${name} `)))) {
    prefix = name;
    prefixAt = event.timeStamp;
  }
}

function nameOf(event) {
  const key = event.key.length === 1 ? event.key.toUpperCase() : event.key;
  const isLetter = /^[A-Z]$/.test(key);
  return `${event.ctrlKey ? "Ctrl+" : ""}${event.shiftKey && isLetter ? "Shift+" : ""}${key}`;
}

export function openSheet() {
  const dialog = byId("shortcuts");
  const rows = bound
    .filter((each) => each.what && (!each.view || each.view === store.view))
    .flatMap((each) => [
      el("dt", {}, ...each.keys.split(", ").map((keys) => el("kbd", { class: "k", text: keys }))),
      el("dd", { text: each.what }),
    ]);
  const letters = el("input", { type: "checkbox", on: { change: () => switchLetters(letters.checked) } });
  letters.checked = areLettersOn;
  dialog.replaceChildren(
    el("h2", { id: "h-shortcuts", text: "Keyboard" }),
    el("dl", {}, ...rows),
    el("form", { method: "dialog" },
      el("label", { class: "chk" }, letters, " single keys act"),
      el("button", { class: "btn", text: "Close" })),
  );
  dialog.showModal();
}

function switchLetters(on) {
  areLettersOn = on;
  try {
    localStorage.setItem(KEPT, on ? "on" : "off");
  } catch {
    areLettersOn = on; // storage is switched off: as long as the page
  }
}
