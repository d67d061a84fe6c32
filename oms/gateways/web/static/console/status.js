// Status: the bar at the bottom, and what the whole page shows of the link and the session.

import { say } from "./announce.js";
import { byId, setIcon, setText, show } from "./dom.js";
import { groupOf, isOld, serverNow, store, watch } from "./store.js";
import { shown, timeOfDay } from "./units.js";

let told = "";

export function startStatus() {
  const isPlay = document.documentElement.dataset.playMoney === "yes";
  setText(byId("environment"), isPlay ? "Sandbox, play money" : "");
  watch(["link"], paintLink);
  watch(["beat"], paintBeat, { every: 1000 });
  watch(["user"], paintUser);
  setInterval(paintClock, 250);
}

function paintLink() {
  const { state } = store.link;
  document.body.dataset.link = state;
  setIcon(byId("link"), { live: "g-dot", connecting: "g-ring", stale: "g-tri", down: "g-tri" }[state]);
  setText(byId("link-text"), linkText());
  for (const tag of document.querySelectorAll("[data-stale]")) show(tag, isOld());
  const spoken = { live: "Live", stale: "The exchange is silent: prices are old", down: "Connection lost: prices are old" }[state] ?? "";
  if (spoken && spoken !== told && (told || state !== "live")) say(spoken);
  told = spoken || told;
}

function linkText() {
  const { state, tries, roundTripMs, aliveAt } = store.link;
  const ageS = Math.round((performance.now() - aliveAt) / 1000);
  const age = aliveAt ? ` Prices are ${ageS} s old` : "";
  if (state === "live") return roundTripMs === null ? "Live" : `Live, ${Math.max(1, Math.round(roundTripMs))} ms`;
  if (state === "stale") return `The exchange is silent.${age}`;
  if (state === "down") return `Reconnecting, try ${tries}.${age}`;
  return "Connecting";
}

function paintBeat() {
  const beat = store.link.beats.get(groupOf());
  setText(byId("link-seq"), beat ? `${groupOf()} seq ${shown(beat.seq)}`.trim() : "");
  setText(byId("link-text"), linkText());
}

function paintUser() {
  const { user } = store;
  setText(byId("who-name"), user ? user.user : "Sign in");
  setText(byId("who-role"), user ? user.role : "");
  setText(byId("who-what"), user ? "Account " : "");
  show(byId("go-operate"), Boolean(user?.scopes?.includes("admin")));
}

function paintClock() {
  if (isOld()) return; // the last time that was told stands
  const now = serverNow();
  setText(byId("clock"), now === null ? "" : `${timeOfDay(now)} UTC`);
}
