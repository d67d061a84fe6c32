// History: fills, positions and past orders. Read from the exchange when they are looked at, again when
// the feed says that there is more, page by page.

import { el, icon, keyed, setAttr, setClass, setIcon, setNumber, setText, show } from "./dom.js";
import { fills } from "./own.js";
import { ask } from "./rest.js";
import { changed, market, serverNow, store, watch } from "./store.js";
import { milliseconds, shortened, shown, timeOfDay, timeOrDay } from "./units.js";

const PAGE = 100;
const ROWS_MAX = 500;
const FRESH_MS = 5000; // unrealized profit goes with the market
const ENDS = { FILLED: "g-check", CANCELED: "g-ring", REJECTED: "g-tri", EXPIRED: "g-ring" };

/** A table with its empty line and a button for more. heads: [text, class]. what: {empty, hint, cls}. */
export function listing(label, heads, what) {
  const body = el("tbody");
  const head = el("tr", {}, ...heads.map(([text, cls]) => el("th", { scope: "col", class: cls ?? "", text })));
  const table = el("table", { class: `t ${what.cls ?? ""}`, "aria-label": label }, el("thead", {}, head), body);
  const empty = el("p", { class: "empty" }, el("b"), el("span"));
  const more = el("button", { class: "txt more", type: "button", text: "Older…", hidden: true });
  return {
    node: el("div", {}, table, empty, more),
    body,
    more,
    /** rows are there, or it is being read, or there is nothing, or it was refused. */
    state(count, isKnown, error = null) {
      show(table, count > 0);
      show(empty, count === 0);
      setText(empty.firstChild, error ? `${error.code}` : isKnown ? what.empty : "Reading…");
      setText(empty.lastChild, error ? error.words : isKnown ? what.hint : "");
    },
  };
}

/** Rows of a paged route, newest first. path, query(): what to ask; pick(told): its rows; id(row): of rows
 * that never change, so that older pages stay when the newest one is read again; null: they may. */
export function pages(path, query, pick, id = null) {
  const self = { rows: [], next: null, isKnown: false, error: null, key: "", isDue: false, isBusy: false };
  /** Read the first page if it is another account's, or due. "pages" has changed when it is there. */
  self.refresh = async (key) => {
    if (self.isBusy || (self.key === key && !self.isDue)) return;
    if (self.key !== key) Object.assign(self, { rows: [], next: null, isKnown: false, error: null });
    Object.assign(self, { key, isDue: false, isBusy: true });
    await load(null);
  };
  self.older = () => self.next && !self.isBusy && load(self.next);

  async function load(before) {
    self.isBusy = true;
    const { key } = self;
    try {
      const told = await ask("GET", path, { query: { ...query(), limit: PAGE, before } });
      if (key !== self.key) return;
      const rows = pick(told);
      const fresh = id && new Set(rows.map(id));
      const kept = before || !id ? [] : self.rows.filter((row) => !fresh.has(id(row)));
      const isGap = kept.length > 0 && kept.length === self.rows.length; // more came than a page has
      self.next = before || !kept.length || isGap ? told.next : self.next;
      self.rows = (before ? [...self.rows, ...rows] : isGap ? rows : [...rows, ...kept]).slice(0, ROWS_MAX);
      if (self.rows.length === ROWS_MAX) self.next = null;
      self.error = null;
      self.isKnown = true;
    } catch (error) {
      if (key === self.key) self.error = error;
    } finally {
      self.isBusy = false;
      changed("pages");
    }
  }

  return self;
}

const timeText = (ns) => {
  const now = serverNow();
  return now === null ? timeOfDay(milliseconds(ns)) : timeOrDay(milliseconds(ns), now);
};

export function fillsTable(isOnlyHere) {
  const list = listing("Fills", [["Time"], ["Market"], ["Side"], ["Price", "r"], ["Quantity", "r"], ["Fee", "r x1"], ["Order", "r x2"]],
    { empty: "No fills yet", hint: "What you trade is told here at once." });
  const past = pages("/trade/history", () => ({ mine: "true", account: store.account }), (told) => told.trades, nameOfFill);
  list.more.addEventListener("click", () => past.older());
  watch(["fills"], () => {
    past.isDue = past.isDue || fills.list.length > 0;
  });
  return {
    node: list.node,
    paint() {
      past.refresh(store.account);
      const known = new Set(past.rows.map(nameOfFill));
      const fresh = fills.list.filter((each) => !known.has(nameOfFill(each)));
      const rows = [...fresh, ...past.rows].filter((each) => !isOnlyHere() || each.symbol === store.symbol);
      keyed(list.body, rows, nameOfFill, fillRow, patchFill);
      list.state(rows.length, past.isKnown, past.error);
      show(list.more, Boolean(past.next));
    },
  };
}

/** The feed names a fill by its own report, the history by the trade's: the trade's number is of both. */
function nameOfFill(fill) {
  return `${fill.symbol} ${fill.tradeId} ${fill.side} ${fill.orderId}`;
}

function fillRow() {
  return el("tr", {}, el("td", { class: "dim num" }), el("td"), el("td"), el("td", { class: "r" }), el("td", { class: "r" }), el("td", { class: "r x1" }), el("td", { class: "r x2 dim num" }));
}

function patchFill(row, fill) {
  const each = market(fill.symbol);
  const [time, symbol, side, price, quantity, fee, order] = row.children;
  setText(time, timeOfDay(milliseconds(fill.time), { fine: true }));
  setAttr(time, "title", timeText(fill.time));
  setText(symbol, fill.symbol);
  setText(side, fill.side === "BUY" ? "Bought" : "Sold");
  setAttr(side, "class", fill.side === "BUY" ? "up" : "dn");
  setNumber(price, shown(fill.price, each?.places.price ?? 0), { dim: false });
  setNumber(quantity, shown(fill.quantity, each?.places.quantity ?? 0));
  setText(fee, `${shown(fill.fee)} ${fill.feeAsset}`);
  setText(order, fill.status ? fill.status.toLowerCase() : fill.orderId);
  setClass(row, "busted", fill.status === "BUSTED");
}

export function historyTable(isOnlyHere) {
  const list = listing("Past orders", [["Time", "x0"], ["Order"], ["Market"], ["Price", "r"], ["Filled of quantity", "r"], ["State"], ["Why", "x1"]],
    { empty: "No orders yet", hint: "Orders that ended or were refused are kept here." });
  const past = pages("/orders", () => ({ account: store.account }), (told) => told.orders);
  list.more.addEventListener("click", () => past.older());
  watch(["orders", "ended"], () => {
    past.isDue = true;
  });
  return {
    node: list.node,
    paint() {
      past.refresh(store.account);
      const rows = past.rows.filter((each) => !isOnlyHere() || each.symbol === store.symbol);
      keyed(list.body, rows, (each) => `${each.symbol} ${each.orderId}`, orderRow, patchOrder);
      list.state(rows.length, past.isKnown, past.error);
      show(list.more, Boolean(past.next));
    },
  };
}

function orderRow() {
  return el("tr", {}, el("td", { class: "dim num x0" }), el("td", {}, el("b"), el("span")), el("td"), el("td", { class: "r" }), el("td", { class: "r" }),
    el("td", {}, el("span", { class: "state" }, icon("g-ring"), el("span"))), el("td", { class: "x1 dim why" }));
}

function patchOrder(row, order) {
  const each = market(order.symbol);
  const [time, kind, symbol, price, filled, state, why] = row.children;
  setText(time, timeText(order.time));
  setText(kind.firstChild, order.side === "BUY" ? "Buy" : order.side === "SELL" ? "Sell" : "");
  setAttr(kind.firstChild, "class", order.side === "BUY" ? "up" : "dn");
  setText(kind.lastChild, ` ${(order.type ?? "").toLowerCase().replace("_", " ")}`);
  setText(symbol, order.symbol);
  setNumber(price, order.price ? shown(order.price, each?.places.price ?? 0) : order.averagePrice ? `avg ${shown(shortened(order.averagePrice, each?.places.price ?? 2), 0)}` : "market", { dim: false });
  setNumber(filled, `${shown(order.filledQuantity ?? "0")} of ${shown(order.quantity ?? order.quoteQuantity ?? "0") ?? "–"}`, { dim: false });
  setIcon(state.querySelector("svg"), ENDS[order.status] ?? "g-dot");
  setText(state.querySelector("span span"), order.status.toLowerCase().replace(/_/g, " "));
  setText(why, order.text ?? order.reason ?? "");
  setAttr(why, "title", order.text ?? null);
}

export function positionsTable() {
  const list = listing("Positions", [["Market"], ["Quantity", "r"], ["Average", "r"], ["Last", "r x1"], ["Unrealized", "r"], ["Realized", "r"], ["Fees", "r x1"]],
    { empty: "No positions", hint: "What you bought and did not sell, or sold and did not buy." });
  const sums = el("p", { class: "sums num" });
  list.node.append(sums);
  const known = { account: "", told: null, error: null, at: -Infinity, isBusy: false };
  watch(["fills"], () => {
    known.at = -Infinity;
  });
  return {
    node: list.node,
    paint() {
      const now = performance.now();
      if (known.account !== store.account) Object.assign(known, { account: store.account, told: null, error: null, at: -Infinity });
      if (!known.isBusy && now - known.at > FRESH_MS) readPositions(known, now);
      const rows = (known.told?.positions ?? []).filter((each) => !/^-?0(\.0+)?$/.test(each.quantity) || !/^-?0(\.0+)?$/.test(each.realized));
      keyed(list.body, rows, (each) => each.symbol, positionRow, patchPosition);
      list.state(rows.length, Boolean(known.told), known.told ? null : known.error);
      setText(sums, (known.told?.pnl ?? []).map((each) => `${each.asset}: net ${shown(shortened(each.net, 2), 2, { sign: true })}, of it realized ${shown(shortened(each.realized, 2), 2, { sign: true })}, fees ${shown(shortened(each.fees, 2), 2)}`).join("   "));
    },
  };
}

async function readPositions(known, now) {
  const { account } = known;
  known.at = now;
  known.isBusy = true;
  try {
    const told = await ask("GET", "/positions", { query: { account } });
    if (account === known.account) Object.assign(known, { told, error: null });
  } catch (error) {
    known.error = error;
  } finally {
    known.isBusy = false;
    changed("pages");
  }
}

function positionRow() {
  return el("tr", {}, el("td"), ...["r", "r", "r x1", "r", "r", "r x1"].map((cls) => el("td", { class: cls })));
}

function patchPosition(row, position) {
  const each = market(position.symbol);
  const places = each?.places.price ?? 2;
  const [symbol, quantity, average, last, unrealized, realized, fees] = row.children;
  setText(symbol, position.symbol);
  setNumber(quantity, shown(position.quantity, each?.places.quantity ?? 0, { sign: true }));
  setNumber(average, position.averageCost ? shown(shortened(position.averageCost, places), places) : null, { dim: false });
  setNumber(last, position.lastPrice ? shown(position.lastPrice, places) : null, { dim: false });
  for (const [cell, text] of [[unrealized, position.unrealized], [realized, position.realized]]) {
    const value = text === null ? null : shown(shortened(text, 2), 2, { sign: true });
    setText(cell, value === null ? "–" : `${value.startsWith("+") ? "▲ " : value.startsWith("−") ? "▼ " : ""}${value}`);
    setClass(cell, "up", value?.startsWith("+"));
    setClass(cell, "dn", value?.startsWith("−"));
  }
  setNumber(fees, shown(shortened(position.fees, 2), 2));
}
