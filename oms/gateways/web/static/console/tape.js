// Tape: the latest trades of the market, newest first.

import { byId, el, keyed, setAttr, setClass, setNumber, setText } from "./dom.js";
import { market, serverNow, store, watch } from "./store.js";
import { milliseconds, shown, timeOfDay } from "./units.js";

const ROWS = 40;
const RATE_MS = 10_000;
let body;
let empty;
let rate;
let unit;

export function startTape() {
  rate = el("span", { class: "meta" });
  byId("tape").querySelector("header").append(rate);
  body = el("tbody");
  empty = el("p", { class: "empty" });
  unit = el("th", { scope: "col", class: "r", text: "Quantity" });
  const head = el("tr", {}, el("th", { scope: "col", text: "Time" }), el("th", { scope: "col", class: "r", text: "Price" }), unit);
  byId("tape").append(el("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": "Trade tape" },
    el("table", { class: "t" }, el("thead", {}, head), body), empty));
  watch(["trades", "symbol", "markets"], paint, { every: 100, view: "trade" });
  watch(["beat"], paintRate, { every: 1000, view: "trade" });
}

function paint() {
  const each = market();
  setText(unit, each?.base || "Quantity");
  const rows = each ? store.trades.slice(0, ROWS) : [];
  // A place keeps its row, so that nothing moves when a trade comes.
  keyed(body, [...rows.entries()], ([place]) => `${place}`, make, (row, [, trade]) => patch(row, trade, each));
  empty.hidden = rows.length > 0;
  setText(empty, store.book ? "No trades yet" : "Reading trades…");
}

function make() {
  const mark = el("span", { class: "mark-of", "aria-hidden": "true" });
  const number = el("span");
  return el("tr", {}, el("td"), el("td", { class: "r" }, mark, number), el("td", { class: "r" }));
}

function patch(row, trade, each) {
  const [time, price, quantity] = row.children;
  setText(time, timeOfDay(milliseconds(trade.time)));
  const side = trade.takerSide;
  setText(price.firstChild, side === "BUY" ? "▲ " : side === "SELL" ? "▼ " : "◆ ");
  setClass(price, "up", side === "BUY");
  setClass(price, "dn", side === "SELL");
  setAttr(price, "aria-label", null);
  setNumber(price.lastChild, shown(trade.price, each.places.price), { dim: false });
  setNumber(quantity, shown(trade.quantity, each.places.quantity));
  setClass(row, "busted", trade.isBusted);
  setAttr(row, "title", trade.isBusted ? "busted by an operator" : null);
}

function paintRate() {
  const now = serverNow();
  if (now === null || !store.trades.length) {
    setText(rate, "");
    return;
  }
  const recent = store.trades.filter((trade) => now - milliseconds(trade.time) < RATE_MS).length;
  setText(rate, recent ? `${(recent / (RATE_MS / 1000)).toFixed(1)} a second` : `last ${timeOfDay(milliseconds(store.trades[0].time))}`);
}
