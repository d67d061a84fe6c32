// Store: what the page knows, in one place, and who paints what of it.
// Data change at any rate; painting happens once a frame, only what changed, not while hidden.

import { dateOf } from "./units.js";

export const store = {
  view: "trade", // trade, operate, keys
  tab: "market", // of a phone: market, order, orders, funds
  user: null, // {user, role, accounts, scopes, ...} as GET /me tells it; null: signed out
  account: "", // whose orders and balances are shown
  symbol: "", // the market that is shown
  groups: [], // of markets, each with sequences of its own; [""]: there is one, without a name
  markets: new Map(), // symbol -> as GET /markets tells it, with `phase` and `reason` as they are now
  tickers: new Map(), // symbol -> {last, bid, ask, change, open, high, low, volume, vwap, rise}
  session: null, // as GET /session tells it
  calendar: null, // as GET /calendar tells the next days
  book: null, // of the symbol; see book.js
  trades: [], // of the symbol, newest first
  auction: null, // of the symbol: {price, volume, surplus}; null: no call
  orders: new Map(), // key -> as GET /order tells it, and its key; open ones
  isOrdersKnown: false,
  balances: new Map(), // asset -> {asset, available, reserved}, the sum over all groups
  isBalancesKnown: false,
  // beats: group -> {seq, at}, its latest heartbeat; aliveAt: of the group whose market is shown
  link: { state: "connecting", tries: 0, beats: new Map(), aliveAt: 0, roundTripMs: null },
};

const changes = new Set();
const watchers = [];
let isAsked = false;
let timer = 0;

/** Paint when one of the topics changed. topics: names that `changed` is called with. every: at
 * least so many ms between two paintings. view: only while this view is shown; painted when it is
 * shown again. Paints once at the beginning. */
export function watch(topics, paint, { every = 0, view = "" } = {}) {
  const watcher = { topics: new Set(topics), paint, every, view, isDue: true, lastAt: -Infinity };
  watchers.push(watcher);
  ask();
  return () => watchers.splice(watchers.indexOf(watcher), 1);
}

/** Is what is shown no longer true? */
export function isOld() {
  return store.link.state === "stale" || store.link.state === "down";
}

/** Data of this topic are others. */
export function changed(...topics) {
  for (const topic of topics) changes.add(topic);
  ask();
}

function ask() {
  if (isAsked) return;
  isAsked = true;
  requestAnimationFrame(paintAll);
}

/** Ask for a frame once the next watcher may paint again. */
function later(waitMs) {
  clearTimeout(timer);
  timer = setTimeout(ask, waitMs);
}

function paintAll(nowMs) {
  isAsked = false;
  for (const watcher of watchers) {
    if (!watcher.isDue) watcher.isDue = [...watcher.topics].some((topic) => changes.has(topic));
  }
  changes.clear();
  let waitMs = Infinity;
  for (const watcher of [...watchers]) {
    if (!watcher.isDue || (watcher.view && watcher.view !== store.view)) continue;
    if (nowMs - watcher.lastAt < watcher.every) {
      waitMs = Math.min(waitMs, watcher.every - (nowMs - watcher.lastAt));
      continue;
    }
    watcher.isDue = false;
    watcher.lastAt = nowMs;
    watcher.paint();
  }
  if (waitMs < Infinity) later(waitMs);
}

// --- the exchange's clock ---

let clockOffsetMs = null;

/** The exchange said that it is `serverMs`. */
export function setClock(serverMs) {
  clockOffsetMs = serverMs - performance.now();
}

/** Milliseconds since 1970 by the exchange's clock; null as long as it has not said. */
export function serverNow() {
  return clockOffsetMs === null ? null : clockOffsetMs + performance.now();
}

/** The day of the exchange's clock, UTC; "" as long as it has not said. */
export function today() {
  const now = serverNow();
  return now === null ? "" : dateOf(now);
}

/** The market that is shown, as GET /markets tells it; undefined before that. */
export function market(symbol = store.symbol) {
  return store.markets.get(symbol);
}

/** The group of a market; "" where there is one. */
export function groupOf(symbol = store.symbol) {
  return market(symbol)?.group ?? "";
}

/** May the person who is signed in do this? scope: read, trade, admin. */
export function may(scope) {
  return Boolean(store.user?.scopes?.includes(scope));
}
