// Ladder: the book on a fixed scale of prices: bids left, asks right, what is yours at the edges, the
// depth as bars behind the numbers. Nothing moves while data arrive; it centres when it is asked to,
// and when the market has left the middle of it.

import { byId, colour, el, icon, setAttr, setClass, setIcon, setNumber, setText, show, sizedContext } from "./dom.js";
import { phaseOf, reasonOf } from "./markets.js";
import { bind, note } from "./shortcuts.js";
import { isOld, market, store, watch } from "./store.js";
import { forPicture, shown, toText, toUnits } from "./units.js";

const FACTORS = [10n, 15n, 20n, 25n, 50n]; // of a tenth of a power of ten
const FITS = 80n; // per cent of the levels that a step has to meet
const LEVELS = 12; // of each side that choose the step
const rows = [];
let body;
let canvas;
let call;
let callText;
let callIcon;
let empty;
let imbalance;
let step = 0n; // price units of one rung
let top = 0n; // price of the first rung
let steps;
let shownSymbol = "";
let isStepChosen = false;
let picked = () => {};

/** act({side, price}) is called when the person clicks a rung; price: text, side: null on the price. */
export function onPick(act) {
  picked = act;
}

export function startLadder() {
  const section = byId("ladder");
  steps = el("select", { "aria-label": "Price step of the ladder", on: { change: () => chooseStep(BigInt(steps.value)) } });
  section.querySelector("header").append(
    el("label", { class: "mini" }, "step ", steps), el("span", { class: "grow" }),
    el("button", { class: "txt", type: "button", text: "Centre", "aria-keyshortcuts": "C", on: { click: () => centre() } }));
  callText = el("span");
  callIcon = icon("g-diamond", "gl wn");
  call = el("p", { class: "call", hidden: true }, callIcon, callText);
  canvas = el("canvas", { "aria-hidden": "true" });
  body = el("tbody");
  const head = el("tr", {}, el("th", { scope: "col" }, el("span", { class: "vh", text: "Your bids" })),
    el("th", { scope: "col", class: "r", text: "Bid" }), el("th", { scope: "col", class: "c", text: "Price" }),
    el("th", { scope: "col", text: "Ask" }), el("th", { scope: "col" }, el("span", { class: "vh", text: "Your asks" })));
  empty = el("p", { class: "over", text: "The book is empty", hidden: true });
  const box = el("div", { class: "lad" }, canvas, empty, el("table", { class: "t", "aria-label": "Ladder" }, el("thead", {}, head), body));
  imbalance = { bids: el("span", { class: "num" }), asks: el("span", { class: "num" }), part: el("i") };
  section.append(call, box, el("p", { class: "imb" }, imbalance.bids,
    el("span", { class: "bar", "aria-hidden": "true" }, imbalance.part), imbalance.asks));
  body.addEventListener("click", clicked);
  new ResizeObserver(() => resized(box)).observe(box);
  window.addEventListener("theme", () => paint());
  bind("C", "centre the ladder", () => centre(), { view: "trade" });
  note("click a rung", "fill side and price, never sends", "trade");
  watch(["book", "symbol", "orders", "markets", "auction", "state"], paint, { every: 100, view: "trade" });
  watch(["tickers"], paint, { every: 250, view: "trade" });
}

// --- the scale ---

function resized(box) {
  const rung = parseInt(getComputedStyle(document.documentElement).getPropertyValue("--rung"), 10);
  const count = Math.max(5, Math.floor((box.clientHeight - 22) / rung));
  while (rows.length < count) rows.push(makeRow());
  while (rows.length > count) rows.pop().row.remove();
  if (store.book && step) centre();
}

function makeRow() {
  const cells = ["mb", "b r", "p c", "a", "ma"].map((cls) => el("td", { class: cls }));
  const row = el("tr", {}, ...cells);
  body.append(row);
  const own = [el("span", { class: "own", hidden: true }), el("span", { class: "own", hidden: true })];
  cells[0].append(own[0]);
  cells[4].append(own[1]);
  return { row, bid: cells[1], price: cells[2], ask: cells[3], ownBid: own[0], ownAsk: own[1], at: 0n, sizes: ["", ""] };
}

/** Steps that a person may choose, and the one that fits the levels of the book. */
function offerSteps(each, book) {
  const tick = toUnits(each.tickSize, each.priceScale);
  const offered = new Set();
  for (let power = 1n; offered.size < 24; power *= 10n) {
    for (const factor of FACTORS) if ((power * factor) % 10n === 0n) offered.add((tick * power * factor) / 10n);
  }
  const levels = [...book.levels("bids").slice(0, LEVELS), ...book.levels("asks").slice(0, LEVELS)].map(([price]) => price);
  const list = [...offered].sort((a, b) => (a < b ? -1 : 1));
  const finest = (levels[0] ?? 0n) / 1000n; // a tenth of a per cent: few levels fit any step
  let best = tick;
  for (const candidate of list.filter((candidate) => candidate <= finest)) {
    const met = BigInt(levels.filter((price) => price % candidate === 0n).length);
    if (levels.length && met * 100n >= BigInt(levels.length) * FITS) best = candidate;
  }
  const [bid, ask] = [book.best("bids"), book.best("asks")];
  const spread = bid !== null && ask !== null && ask > bid ? ask - bid : 0n;
  if (rows.length && spread / best > BigInt(rows.length) / 3n) best = list.find((each_) => spread / each_ <= BigInt(rows.length) / 3n) ?? best;
  const from = Math.max(0, list.indexOf(best) - 6);
  const kept = list.slice(from, from + 14);
  steps.replaceChildren(...kept.map((value) => el("option", { value: String(value), text: priceText(value, each) })));
  return best;
}

function chooseStep(wanted) {
  step = wanted;
  isStepChosen = true;
  centre();
}

/** The middle of the market into the middle of the panel. */
function centre() {
  const middle = middleOf();
  if (middle === null || !rows.length || !step) return paint();
  const rung = (middle / step) * step;
  top = rung + step * BigInt(Math.floor(rows.length / 2));
  return paint();
}

function middleOf() {
  const { book, auction } = store;
  const each = market();
  if (!book || !each) return null;
  if (auction?.price) return toUnits(auction.price, each.priceScale);
  const [bid, ask] = [book.best("bids"), book.best("asks")];
  if (bid !== null && ask !== null) return (bid + ask) / 2n;
  const last = store.tickers.get(store.symbol)?.last ?? each.referencePrice;
  return bid ?? ask ?? (last ? toUnits(last, each.priceScale) : null);
}

/** Has the market left the middle three fifths of the ladder, or a best price its last rungs? */
function isAway() {
  const middle = middleOf();
  if (middle === null) return false;
  const fifth = (step * BigInt(rows.length)) / 5n;
  const bottom = top - step * BigInt(rows.length - 1);
  if (middle > top - fifth || middle < bottom + fifth) return true;
  const { book } = store;
  const [bid, ask] = [book.best("bids"), book.best("asks")];
  if (bid === null || ask === null || (ask - bid) / step > BigInt(rows.length - 4)) return false;
  return ask > top - step || bid < bottom + step;
}

// --- painting ---

function paint() {
  const { book } = store;
  const each = market();
  if (!rows.length) return;
  if (!book || !each) {
    paintWaiting();
    return;
  }
  if (shownSymbol !== store.symbol) {
    shownSymbol = store.symbol;
    isStepChosen = false;
    step = 0n;
  }
  show(empty, middleOf() === null);
  if (middleOf() === null) {
    step = 0n;
    clear();
    return;
  }
  if (!step) {
    step = offerSteps(each, book);
    steps.value = String(step);
    centre();
    return;
  }
  if (isAway()) {
    if (!isStepChosen) {
      step = offerSteps(each, book);
      steps.value = String(step);
    }
    const middle = middleOf();
    top = (middle / step) * step + step * BigInt(Math.floor(rows.length / 2));
  }
  paintRungs(each, book);
}

function paintWaiting() {
  shownSymbol = "";
  show(empty, false);
  clear();
  for (const row of rows) {
    if (!row.price.querySelector(".bones")) row.price.append(el("span", { class: "bones" }));
  }
}

/** No level and no price. */
function clear() {
  for (const row of rows) {
    row.at = 0n;
    row.sizes = ["", ""];
    row.row.className = "";
    row.price.querySelector(".bones")?.remove();
    for (const cell of [row.price, row.bid, row.ask]) setNumber(cell, "");
    show(row.ownBid, false);
    show(row.ownAsk, false);
  }
  sizedContext(canvas);
  paintImbalance(new Map(), new Map());
  paintCall(market() ?? { phase: null });
}

function paintRungs(each, book) {
  const bids = book.rungs("bids", step);
  const asks = book.rungs("asks", step);
  const last = store.tickers.get(store.symbol)?.last;
  const lastRung = last ? (toUnits(last, each.priceScale) / step) * step : null;
  const indicative = store.auction?.price ? (toUnits(store.auction.price, each.priceScale) / step) * step : null;
  const own = ownByRung(each);
  const rungOf = (price, up) => (price === null ? null : up && price % step ? (price / step) * step + step : (price / step) * step);
  const bestBid = rungOf(book.best("bids"), false);
  const bestAsk = rungOf(book.best("asks"), true);
  rows.forEach((row, index) => {
    const at = top - step * BigInt(index);
    const isThere = at > 0n;
    row.at = at;
    row.price.querySelector(".bones")?.remove();
    setNumber(row.price, isThere ? priceText(at, each) : "", { dim: false });
    paintSize(row, 0, row.bid, bids.get(at), each);
    paintSize(row, 1, row.ask, asks.get(at), each);
    paintOwn(row.ownBid, own.BUY.get(at), each);
    paintOwn(row.ownAsk, own.SELL.get(at), each);
    const mark = indicative !== null ? indicative : lastRung;
    setClass(row.row, "last", at === mark);
    setClass(row.row, "call", at === indicative);
    setClass(row.row, "best", at === bestBid || at === bestAsk);
    setAttr(row.row, "title", at === mark ? (indicative !== null ? "indicative price" : "last price") : null);
  });
  drawBars(bids, asks);
  paintImbalance(bids, asks);
  paintCall(each);
}

function priceText(units, each) {
  return shown(toText(units, each.priceScale), each.places.price);
}

function sizeText(units, each) {
  return units === undefined ? "" : shown(toText(units, each.quantityScale), each.places.quantity);
}

function paintSize(row, side, cell, units, each) {
  const text = sizeText(units, each);
  const before = row.sizes[side];
  if (before === text) return;
  const isSameRung = row.sizesAt === row.at;
  row.sizes[side] = text;
  setNumber(cell, text);
  if (isSameRung && before && text) flash(cell, side === 0 ? "flash-up" : "flash-dn");
  row.sizesAt = row.at;
}

/** Only a changed size: its colour fades. */
function flash(cell, name) {
  cell.classList.remove(name);
  requestAnimationFrame(() => cell.classList.add(name));
}

function ownByRung(each) {
  const found = { BUY: new Map(), SELL: new Map() };
  for (const order of store.orders.values()) {
    if (order.symbol !== store.symbol || !order.price || order.status === "SUSPENDED") continue;
    const price = toUnits(order.price, each.priceScale);
    const down = (price / step) * step;
    const rung = order.side === "BUY" || down === price ? down : down + step;
    const open = toUnits(order.openQuantity ?? "0", each.quantityScale) ?? 0n;
    found[order.side].set(rung, (found[order.side].get(rung) ?? 0n) + open);
  }
  return found;
}

function paintOwn(node, units, each) {
  show(node, units !== undefined && units > 0n);
  if (units) setText(node, shown(toText(units, each.quantityScale)));
}

function drawBars(bids, asks) {
  const { context, width } = sizedContext(canvas);
  const sizes = rows.flatMap((row) => [bids.get(row.at), asks.get(row.at)]).filter((size) => size !== undefined);
  if (!sizes.length) return;
  const most = sizes.reduce((a, b) => (a > b ? a : b));
  const first = rows[0];
  const priceBox = first.price.getBoundingClientRect();
  const box = canvas.getBoundingClientRect();
  const left = priceBox.left - box.left;
  const right = priceBox.right - box.left;
  const rung = priceBox.height;
  const offset = priceBox.top - box.top;
  const fills = { up: colour("upbg"), down: colour("downbg"), edgeUp: colour("up"), edgeDown: colour("down") };
  if (isOld() || phaseOf(market()?.phase).kind === "halted") {
    fills.up = fills.down = colour("raised");
    fills.edgeUp = fills.edgeDown = colour("text3");
  }
  rows.forEach((row, index) => {
    const y = offset + index * rung;
    const bid = bids.get(row.at);
    const ask = asks.get(row.at);
    if (bid !== undefined) {
      const length = proportion(bid, most) * (left - 2);
      context.fillStyle = fills.up;
      context.fillRect(left - 2 - length, y + 1, length, rung - 2);
      context.fillStyle = fills.edgeUp;
      context.fillRect(left - 2, y + 1, 2, rung - 2);
    }
    if (ask !== undefined) {
      const length = proportion(ask, most) * (width - right - 2);
      context.fillStyle = fills.down;
      context.fillRect(right + 2, y + 1, length, rung - 2);
      context.fillStyle = fills.edgeDown;
      context.fillRect(right, y + 1, 2, rung - 2);
    }
  });
}

function proportion(part, whole) {
  return whole ? Number((part * 1000n) / whole) / 1000 : 0;
}

function paintImbalance(bids, asks) {
  const sum = (side) => rows.reduce((total, row) => total + (side.get(row.at) ?? 0n), 0n);
  const [left, right] = [sum(bids), sum(asks)];
  const whole = left + right;
  const per = whole ? Math.round(proportion(left, whole) * 100) : 50;
  setText(imbalance.bids, whole ? `Bids ${per} %` : "No bids");
  setText(imbalance.asks, whole ? `Asks ${100 - per} %` : "No asks");
  imbalance.part.style.width = `${per}%`;
}

function paintCall(each) {
  const { kind, word, glyph } = phaseOf(each.phase);
  const { auction } = store;
  show(call, kind !== "open" && kind !== "unknown");
  if (call.hidden) return;
  setIcon(callIcon, glyph);
  setText(callText, callWords(each, kind, word, auction));
}

function callWords(each, kind, word, auction) {
  if (kind === "halted") return `Halted ${reasonOf(each)}`.trim() + `. Cancels pass; nothing trades.`;
  if (kind === "closed") return "Closed. Orders that may wait are held for the open.";
  if (!auction?.price) return `${word}: nothing would trade yet. The book may be crossed until the uncross.`;
  const volume = auction.volume ? `${shown(auction.volume)} ${each.base} would trade` : "";
  const surplus = auction.surplus && forPicture(auction.surplus) !== 0
    ? `, ${shown(auction.surplus.replace(/^-/, ""))} more to ${auction.surplus.startsWith("-") ? "sell" : "buy"}` : "";
  return `Indicative ${shown(auction.price, each.places.price)}: ${volume}${surplus}. The book may be crossed until the uncross.`;
}

// --- acting ---

function clicked(event) {
  const row = rows.find((each) => each.row === event.target.closest("tr"));
  const each = market();
  if (!row || !each || row.at <= 0n) return;
  const cell = event.target.closest("td");
  const side = cell === row.ask || cell === row.ownAsk.parentNode ? "SELL" : cell === row.price ? null : "BUY";
  picked({ side, price: toText(row.at, each.priceScale) });
}
