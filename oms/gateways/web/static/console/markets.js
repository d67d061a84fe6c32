// Markets: what is traded, in which phase, at which prices: the list, kept by the feed.

import { say } from "./announce.js";
import { ofGroup, subscribe } from "./feed.js";
import { parameter } from "./route.js";
import { ask } from "./rest.js";
import { changed, market, serverNow, store, watch } from "./store.js";
import { compare, milliseconds, places, span, subtract } from "./units.js";

const TICKERS_MAX = 150; // of the 200 subscriptions that a socket may have
const STATISTICS_MS = 5000; // how old the exchange's own may be
const OTHERS_MS = 30_000;
const CALENDAR_MS = 600_000;
const LADDER_FIRST_MS = 1500;
const KEPT = "oms.symbol";

const tickers = new Set(); // symbols whose ticker is followed

const PHASES = {
  CONTINUOUS: ["g-dot", "Continuous", "open"],
  PRE_OPEN: ["g-half", "Pre-open", "call"],
  OPENING_AUCTION: ["g-diamond", "Opening auction", "call"],
  CLOSING_AUCTION: ["g-diamond", "Closing auction", "call"],
  REOPENING_AUCTION: ["g-diamond", "Reopening auction", "call"],
  HALTED: ["g-square", "Halted", "halted"],
  CLOSED: ["g-ring", "Closed", "closed"],
};

/** How a phase is drawn, said, and what kind it is: {glyph, word, kind}. kind: open, call, halted,
 * closed, unknown. */
export function phaseOf(phase) {
  const [glyph, word, kind] = PHASES[phase] ?? ["g-ring", "", "unknown"];
  return { glyph, word, kind };
}

const REASONS = { OPERATOR: "by an operator", BREAKER: "by the circuit breaker", CALENDAR: "by the calendar" };

/** Why a market has its phase, in words; "" if the exchange does not say. */
export function reasonOf(each) {
  return each?.reason ? (REASONS[each.reason] ?? each.reason) : "";
}

/** How many places a market's prices and quantities are shown with. */
function placesOf(each) {
  const steps = [each.tickSize, ...each.tickTable.map((row) => row.tickSize)];
  return { price: Math.max(...steps.map(places)), quantity: places(each.lotSize) };
}

/** Read what is traded, choose the market that is shown, and keep all of it. */
export async function startMarkets() {
  subscribe({ channel: "session" }, { begun: sessionTold, told: ({ data }) => sessionTold({ session: data }) });
  await load();
  for (const each of store.groups) subscribe(ofGroup({ channel: "markets" }, each), { begun: phasesBegun, told: ({ data }) => phaseTold(data) });
  watch(["symbol"], () => statisticsOf(store.symbol));
  setInterval(() => document.hidden || statisticsOf(store.symbol), STATISTICS_MS);
  setTimeout(readOthers, LADDER_FIRST_MS);
  setTimeout(readCalendar, LADDER_FIRST_MS);
  setInterval(() => document.hidden || readCalendar(), CALENDAR_MS);
  setInterval(() => document.hidden || readOthers(), OTHERS_MS);
}

async function load() {
  for (let pauseMs = 300; ; pauseMs = Math.min(5000, pauseMs * 2)) {
    try {
      const told = await ask("GET", "/markets", { login: false });
      store.groups = told.groups ?? [""];
      take(told.markets);
      changed("groups");
      sessionTold(told);
      chooseFirst();
      changed("markets");
      return;
    } catch (error) {
      if (error.status && error.status < 500 && ![404, 429].includes(error.status)) throw error;
      await new Promise((resolve) => setTimeout(resolve, pauseMs));
    }
  }
}

/** What is listed now: a market may have come or gone. */
function take(markets) {
  const listed = new Set(markets.map((each) => each.symbol));
  for (const symbol of store.markets.keys()) if (!listed.has(symbol)) store.markets.delete(symbol);
  for (const each of markets) {
    const reason = store.markets.get(each.symbol)?.reason ?? null;
    store.markets.set(each.symbol, { ...each, reason, places: placesOf(each) });
  }
  for (const symbol of store.markets.keys()) if (!tickers.has(symbol) && tickers.size < TICKERS_MAX) followTicker(symbol);
}

function chooseFirst() {
  const wanted = [store.symbol, parameter("sym"), kept(), ...store.markets.keys()];
  const found = wanted.find((symbol) => store.markets.has(symbol)) ?? "";
  if (found !== store.symbol) {
    store.symbol = found;
    changed("symbol");
  }
}

function kept() {
  try {
    return localStorage.getItem(KEPT);
  } catch {
    return null; // storage is switched off
  }
}

/** Remember the market for the next visit. */
export function keepSymbol(symbol) {
  try {
    localStorage.setItem(KEPT, symbol);
  } catch {
    return; // storage is switched off: the first market again
  }
}

function sessionTold({ session }) {
  store.session = session;
  changed("session");
}

async function readCalendar() {
  try {
    store.calendar = await ask("GET", "/calendar", { login: false });
    changed("session");
  } catch (error) {
    if (error.status && error.status < 500 && ![404, 429].includes(error.status)) throw error; // else the link says it
  }
}

/** What the calendar has next: {word, at}; at: ms; null: nothing is known to come. */
function nextChange(nowMs) {
  if (store.calendar?.alwaysOpen) return null; // its windows are days
  for (const window of store.calendar?.windows ?? []) {
    const [opens, closes] = [milliseconds(window.opens), milliseconds(window.closes)];
    const steps = window.phases.map(({ phase, from }) => ({ word: `${phaseOf(phase).word.toLowerCase()} in`, at: milliseconds(from) }));
    const all = [{ word: "opens in", at: opens }, ...steps.filter(({ at }) => at > opens && at < closes), { word: "closes in", at: closes }];
    const found = all.find(({ at }) => at > nowMs);
    if (found) return found;
  }
  return null;
}

/** When a market's phase changes next, or why it is halted: a few words; "" if nothing is known. */
export function untilOf(each) {
  const { session } = store;
  const now = serverNow();
  if (!each || !session || now === null) return "";
  if (each.phase === "HALTED") return reasonOf(each);
  const next = nextChange(now);
  if (next) return `${next.word} ${span(next.at - now)}`;
  return session.state === "open" ? "" : "no next open";
}

function phasesBegun({ markets }) {
  for (const [symbol, phase] of Object.entries(markets)) {
    const known = market(symbol);
    if (known) known.phase = phase;
  }
  if (Object.keys(markets).some((symbol) => !market(symbol))) load();
  changed("markets");
}

function phaseTold({ symbol, phase, reason }) {
  const known = market(symbol);
  if (!known) {
    load(); // it is new
    return;
  }
  known.phase = phase;
  known.reason = reason;
  if (symbol === store.symbol) say(`${symbol}: ${phaseOf(phase).word}${reason ? `, ${reasonOf(known)}` : ""}`);
  changed("markets");
}

function followTicker(symbol) {
  const hear = (data) => {
    const known = tickerOf(symbol);
    if (known.last && data.last && known.last !== data.last) known.rise = compare(data.last, known.last);
    Object.assign(known, data);
    changed("tickers");
  };
  tickers.add(symbol);
  subscribe({ channel: "ticker", symbol, interval: 250 }, { begun: ({ ticker }) => hear(ticker), told: ({ data }) => hear(data) });
}

function tickerOf(symbol) {
  if (!store.tickers.has(symbol)) store.tickers.set(symbol, { rise: 0, course: [] });
  return store.tickers.get(symbol);
}

async function statisticsOf(symbol) {
  if (!symbol || !store.markets.has(symbol)) return;
  try {
    const { open, high, low, change, volume, vwap } = await ask("GET", "/ticker", { query: { symbol }, login: false });
    Object.assign(tickerOf(symbol), { open, high, low, change, volume, vwap });
    changed("tickers");
  } catch (error) {
    if (error.status && error.status < 500 && ![404, 429].includes(error.status)) throw error; // else the link says it
  }
}

/** The last 24 hours of the other markets, and their course: one after the other. */
async function readOthers() {
  for (const symbol of [...store.markets.keys()].slice(0, TICKERS_MAX)) {
    if (symbol !== store.symbol) await statisticsOf(symbol);
    await courseOf(symbol);
  }
}

async function courseOf(symbol) {
  try {
    const told = await ask("GET", "/candles", { query: { symbol, interval: "5m", limit: 48 }, login: false });
    tickerOf(symbol).course = told.candles.map((each) => each.close).filter(Boolean);
    changed("tickers");
  } catch (error) {
    if (error.status && error.status < 500 && ![404, 429].includes(error.status)) throw error; // else the link says it
  }
}

/** The change since 24 hours ago, by the last price that is known; null without trades. */
export function changeOf(ticker) {
  if (!ticker?.open || !ticker.last) return null;
  return subtract(ticker.last, ticker.open);
}
