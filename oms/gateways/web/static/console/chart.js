// Chart: candles with volume, or the depth of the book. The chart file is loaded after the ladder has
// painted; where it is missing or blocked, a plain line of the closing prices is drawn instead.

import { choice } from "./choice.js";
import { drawDepth } from "./depth.js";
import { byId, colour, el, setAttr, setClass, setText, show, sizedContext } from "./dom.js";
import { subscribe } from "./feed.js";
import { fills } from "./own.js";
import { ask } from "./rest.js";
import { isOld, market, store, watch } from "./store.js";
import { forPicture, milliseconds, shown, timeOfDay, toText, toUnits } from "./units.js";

const WIDTHS = ["1s", "1m", "5m", "15m", "1h", "1d"];
const CANDLES = 300;
const LABELS_MAX = 6; // more of them hide the candles
const nodes = {};
let picture = "candles";
let width = "1m";
let candles = []; // oldest first, as the API tells them
let followed = "";
let feed = null;
let library = null; // the chart file's module; null: not there
let chart = null; // {chart, candles, volume, lines}
let failed = false;

export function startChart() {
  const section = byId("chart");
  nodes.legend = el("p", { class: "legend num", "aria-hidden": "true" });
  const pictures = choice("Picture", [["candles", "Candles"], ["depth", "Depth"]], (value) => {
    picture = value;
    paint();
  });
  const widths = choice("Candle", WIDTHS.map((each) => [each, each]), (value) => {
    width = value;
    follow();
  }, { cls: "seg widths", value: width });
  nodes.widths = widths.node;
  section.querySelector("header").append(pictures.node, widths.node, nodes.legend);
  nodes.box = el("div", { class: "chart-box" });
  nodes.canvas = el("canvas", { class: "plain" });
  nodes.over = el("p", { class: "over", text: "Reading candles…" });
  nodes.frame = el("div", { class: "canvas", role: "img", "aria-label": "Candles" }, nodes.box, nodes.canvas);
  nodes.credit = el("a", { class: "credit", href: "https://www.tradingview.com/", rel: "noreferrer", target: "_blank", text: "Charts by TradingView", hidden: true });
  section.append(el("div", { class: "canvas frame" }, nodes.frame, nodes.over, nodes.credit));
  new ResizeObserver(paint).observe(nodes.frame);
  window.addEventListener("theme", () => {
    if (chart) chart.chart.applyOptions(looks()), chart.candles.applyOptions(candleLooks()), setAll();
    paint();
  });
  watch(["symbol", "markets"], follow, { view: "trade" });
  watch(["state"], () => chart?.candles.applyOptions(candleLooks()));
  watch(["orders", "fills"], paint, { every: 250, view: "trade" });
  watch(["book"], () => picture === "depth" && paint(), { every: 250, view: "trade" });
}

/** Load the chart file: once, when there is time for it. */
export async function loadChart() {
  try {
    library = await import(document.documentElement.dataset.chart);
  } catch {
    failed = true; // the plain line stays
  }
  paint();
}

// --- data ---

async function follow() {
  const each = market();
  if (!each || followed === `${each.symbol} ${width}`) return;
  followed = `${each.symbol} ${width}`;
  const asked = followed;
  feed?.end();
  candles = [];
  setText(nodes.over, "Reading candles…");
  paint();
  feed = subscribe({ channel: "candles", symbol: each.symbol, width }, {
    begun: () => read(asked, each.symbol),
    told: ({ data }) => asked === followed && add(data),
  });
}

/** Those of before; asked again after each loss of the link. */
async function read(asked, symbol) {
  try {
    const told = await ask("GET", "/candles", { query: { symbol, interval: width, limit: CANDLES }, login: false });
    if (asked !== followed) return;
    candles = told.candles;
    setText(nodes.over, candles.length ? "" : "No trades yet");
    setAll();
    paint();
  } catch (error) {
    if (asked === followed) setText(nodes.over, `No candles: ${error.words}`);
  }
}

function add(candle) {
  const last = candles.at(-1);
  if (last?.start === candle.start) candles[candles.length - 1] = candle;
  else if (!last || BigInt(candle.start) > BigInt(last.start)) candles.push(candle);
  else return;
  if (candles.length > CANDLES * 2) {
    candles = candles.slice(-CANDLES);
    setAll();
  } else if (chart && candle.open !== null) {
    chart.candles.update(barOf(candle));
    chart.volume.update(volumeOf(candle));
  }
  setText(nodes.over, "");
  paint();
}

const secondsOf = (candle) => Math.floor(milliseconds(candle.start) / 1000);

function barOf(candle) {
  const [open, high, low, close] = [candle.open, candle.high, candle.low, candle.close].map(forPicture);
  return { time: secondsOf(candle), open, high, low, close };
}

function volumeOf(candle) {
  const isUp = forPicture(candle.close) >= forPicture(candle.open);
  return { time: secondsOf(candle), value: forPicture(candle.volume), color: colour(isUp ? "upbg" : "downbg") };
}

function setAll() {
  if (!chart) return;
  const traded = candles.filter((each) => each.open !== null);
  chart.candles.setData(traded.map(barOf));
  chart.volume.setData(traded.map(volumeOf));
}

// --- the chart file ---

function looks() {
  return {
    layout: { background: { color: colour("panel") }, textColor: colour("text3"), fontSize: 11, fontFamily: getComputedStyle(document.body).fontFamily, attributionLogo: false },
    grid: { vertLines: { visible: false }, horzLines: { color: colour("line") } },
    rightPriceScale: { borderColor: colour("line"), scaleMargins: { top: 0.06, bottom: 0.22 } },
    timeScale: { borderColor: colour("line"), timeVisible: true, secondsVisible: width.endsWith("s"), rightOffset: 3 },
    crosshair: { vertLine: { color: colour("edge"), labelBackgroundColor: colour("edge") }, horzLine: { color: colour("edge"), labelBackgroundColor: colour("edge") } },
  };
}

/** Rising candles are hollow, falling ones filled: colour is not all that tells them apart. */
function candleLooks() {
  const each = market();
  const [up, down] = isOld() ? [colour("text3"), colour("text3")] : [colour("up"), colour("down")];
  return {
    upColor: colour("panel"), borderUpColor: up, wickUpColor: up,
    downColor: down, borderDownColor: down, wickDownColor: down,
    priceLineColor: colour("text3"),
    priceFormat: {
      type: "custom", minMove: Number(each?.tickSize ?? "0.01"),
      formatter: (value) => shown(value.toFixed(each?.places.price ?? 2), each?.places.price ?? 2),
    },
  };
}

function build() {
  const made = library.createChart(nodes.box, { ...looks(), autoSize: true });
  chart = {
    chart: made,
    candles: made.addSeries(library.CandlestickSeries, candleLooks()),
    volume: made.addSeries(library.HistogramSeries, { priceScaleId: "volume", lastValueVisible: false, priceLineVisible: false, priceFormat: { type: "volume" } }),
    lines: new Map(),
    symbol: "",
  };
  made.priceScale("volume").applyOptions({ scaleMargins: { top: 0.84, bottom: 0 }, visible: false });
  chart.marks = library.createSeriesMarkers(chart.candles, []);
  made.subscribeCrosshairMove((point) => {
    const bar = point.seriesData?.get(chart.candles);
    nodes.at = bar ? candles.find((each) => secondsOf(each) === bar.time) : null;
    paintLegend();
  });
  setAll();
  show(nodes.credit, true);
}

// --- painting ---

function paint() {
  const each = market();
  if (!each || store.view !== "trade") return;
  const isDepth = picture === "depth";
  if (library && !chart && candles.length && nodes.frame.clientHeight > 40) build();
  const isChart = Boolean(chart) && !isDepth;
  setClass(nodes.box, "away", !isChart);
  show(nodes.canvas, !isChart);
  show(nodes.over, !isDepth && Boolean(nodes.over.textContent) && !candles.length);
  show(nodes.credit, isChart);
  if (isChart) {
    if (chart.symbol !== followed) {
      chart.symbol = followed;
      chart.chart.applyOptions(looks());
      chart.candles.applyOptions(candleLooks());
      chart.chart.timeScale().resetTimeScale();
    }
    paintOrders(each);
  } else if (isDepth) drawDepth(nodes.canvas, store.book, each);
  else if (failed || candles.length) drawLine(each);
  paintLegend();
  setAttr(nodes.frame, "aria-label", isDepth ? depthName(each) : candleName(each));
}

/** Open orders as lines with their side and size; own fills as marks. */
function paintOrders(each) {
  const wanted = new Map();
  for (const order of store.orders.values()) {
    const price = order.price ?? order.stopPrice;
    if (order.symbol === each.symbol && price) wanted.set(order.orderId, { order, price });
  }
  for (const [id, line] of chart.lines) {
    const now = wanted.get(id);
    if (now && line.said === saidOf(now, wanted.size)) continue;
    chart.candles.removePriceLine(line.line);
    chart.lines.delete(id);
  }
  for (const [id, now] of wanted) {
    if (chart.lines.has(id)) continue;
    const isBuy = now.order.side === "BUY";
    const line = chart.candles.createPriceLine({
      price: forPicture(now.price), color: colour(isBuy ? "up" : "down"), lineWidth: 1,
      lineStyle: isBuy ? 1 : 2, axisLabelVisible: wanted.size <= LABELS_MAX, title: `${isBuy ? "Buy" : "Sell"} ${shown(now.order.openQuantity ?? "0")}`,
    });
    chart.lines.set(id, { line, said: saidOf(now, wanted.size) });
  }
  const first = candles.length ? milliseconds(candles[0].start) : 0;
  const marks = fills.list
    .filter((fill) => fill.symbol === each.symbol && milliseconds(fill.time) >= first)
    .map((fill) => ({ fill, bar: candles.findLast((candle) => BigInt(candle.start) <= BigInt(fill.time)) }))
    .filter(({ bar }) => bar)
    .map(({ fill, bar }) => ({
      time: secondsOf(bar), position: fill.side === "BUY" ? "belowBar" : "aboveBar",
      shape: fill.side === "BUY" ? "arrowUp" : "arrowDown", color: colour("text"), size: 0.6,
    }))
    .reverse();
  const said = marks.map((mark) => `${mark.time}${mark.shape}`).join();
  if (said === chart.marked) return;
  chart.marked = said;
  chart.marks.setMarkers(marks);
}



function saidOf({ order, price }, count) {
  return [order.side, price, order.openQuantity, document.documentElement.dataset.theme, count <= LABELS_MAX].join(" ");
}

function paintLegend() {
  const each = market();
  const candle = nodes.at ?? candles.at(-1);
  if (picture === "depth") {
    setText(nodes.legend, "bids left, asks right, dashed");
    return;
  }
  if (!candle || candle.open === null) {
    setText(nodes.legend, "");
    return;
  }
  const say = (text) => shown(text, each.places.price);
  setText(nodes.legend, `O ${say(candle.open)}  H ${say(candle.high)}  L ${say(candle.low)}  C ${say(candle.close)}`);
}

function candleName(each) {
  const last = candles.at(-1);
  if (!last || last.open === null) return `Candles of ${each.symbol}: none yet`;
  const say = (text) => shown(text, each.places.price);
  return `Candles of ${each.symbol}, ${width}. The last from ${timeOfDay(milliseconds(last.start))}: open ${say(last.open)}, high ${say(last.high)}, low ${say(last.low)}, close ${say(last.close)}, volume ${shown(last.volume)} ${each.base}`;
}

function depthName(each) {
  const best = (side) => store.book?.best(side) ?? null;
  const say = (units) => (units === null ? "none" : shown(toText(units, each.priceScale), each.places.price));
  return `Depth of ${each.symbol}: best bid ${say(best("bids"))}, best ask ${say(best("asks"))}`;
}

/** Closing prices as a line, volume below: without the chart file. */
function drawLine(each) {
  const { context, width: wide, height } = sizedContext(nodes.canvas);
  const traded = candles.filter((candle) => candle.open !== null).slice(-200);
  if (!traded.length) return;
  const right = 74;
  const closes = traded.map((candle) => forPicture(candle.close));
  const volumes = traded.map((candle) => forPicture(candle.volume));
  const low = Math.min(...closes);
  const range = Math.max(...closes) - low || 1;
  const most = Math.max(...volumes) || 1;
  const x = (index) => (traded.length === 1 ? 0 : (index / (traded.length - 1)) * (wide - right));
  const y = (value) => height * 0.72 - ((value - low) / range) * height * 0.64;
  context.fillStyle = colour("line");
  volumes.forEach((value, index) => {
    const tall = (value / most) * height * 0.16;
    context.fillRect(x(index), height - 18 - tall, Math.max(1, (wide - right) / traded.length - 1), tall);
  });
  context.strokeStyle = colour("text");
  context.lineWidth = 1.2;
  context.beginPath();
  closes.forEach((value, index) => context.lineTo(x(index), y(value)));
  context.stroke();
  context.fillStyle = colour("text3");
  context.font = `11px ${getComputedStyle(document.body).fontFamily}`;
  const label = (text, at) => context.fillText(shown(toText(toUnits(text, each.priceScale), each.priceScale), each.places.price), wide - right + 6, at);
  label(traded[closes.indexOf(Math.max(...closes))].close, y(Math.max(...closes)) + 4);
  if (range > 1e-12) label(traded[closes.indexOf(low)].close, y(low) + 4);
  context.fillText(timeOfDay(milliseconds(traded[0].start)).slice(0, 5), 4, height - 4);
  context.fillText(timeOfDay(milliseconds(traded.at(-1).start)).slice(0, 5), wide - right - 30, height - 4);
}
