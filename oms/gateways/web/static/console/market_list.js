// Market list: each market with its phase, course, last price and change.

import { byId, colour, el, icon, keyed, setAttr, setIcon, setNumber, setText, sizedContext } from "./dom.js";
import { changeOf, phaseOf, untilOf } from "./markets.js";
import { go } from "./route.js";
import { store, watch } from "./store.js";
import { paintChange } from "./top.js";
import { forPicture, shown } from "./units.js";

let body;
let empty;

export function startMarketList() {
  body = el("tbody");
  empty = el("p", { class: "empty", text: "Reading markets…" });
  const table = el("table", { class: "t rows" },
    el("thead", { class: "vh" }, el("tr", {}, ...["Market", "Course", "Last, change"].map((text) => el("th", { scope: "col", text })))), body);
  byId("markets").append(el("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": "Market list" }, table, empty));
  watch(["markets", "symbol", "session"], paint, { view: "trade" });
  watch(["tickers"], paint, { every: 1000, view: "trade" });
  window.addEventListener("theme", () => {
    for (const canvas of body.querySelectorAll("canvas")) canvas.drawn = null;
    paint();
  });
}

function paint() {
  keyed(body, [...store.markets.values()], (each) => each.symbol, make, patch);
  empty.hidden = store.markets.size > 0;
  if (!store.markets.size && store.session) setText(empty, "No market is listed. An operator lists them.");
}

function make(each) {
  const button = el("button", { class: "sym", type: "button", on: { click: () => go({ sym: each.symbol }) } },
    icon("g-ring"), el("span", { class: "name", text: each.symbol }), el("span", { class: "vh phase-word" }));
  return el("tr", {}, el("td", {}, button), el("td", {}, el("canvas", { "aria-hidden": "true" })),
    el("td", { class: "r px" }, el("span", { class: "last" }), el("small")));
}

function patch(row, each) {
  const ticker = store.tickers.get(each.symbol);
  const phase = phaseOf(each.phase);
  const glyph = row.querySelector("svg");
  setIcon(glyph, phase.glyph);
  setAttr(glyph, "class", phase.kind === "call" || phase.kind === "halted" ? "gl wn" : "gl");
  setAttr(row, "title", [phase.word, untilOf(each)].filter(Boolean).join(", "));
  setText(row.querySelector(".phase-word"), `, ${phase.word}`);
  setAttr(row, "aria-current", each.symbol === store.symbol ? "true" : null);
  setNumber(row.querySelector(".last"), ticker?.last ? shown(ticker.last, each.places.price) : null, { dim: false });
  const small = row.querySelector("small");
  if (phase.kind === "open" || phase.kind === "unknown") paintChange(small, changeOf(ticker), ticker?.open);
  else {
    setText(small, phase.kind === "closed" ? untilOf(each) || phase.word : phase.word);
    setAttr(small, "class", phase.kind === "closed" ? "dim" : "wn");
  }
  drawCourse(row.querySelector("canvas"), ticker?.course ?? []);
}

function drawCourse(canvas, course) {
  const drawn = course.join();
  if (canvas.drawn === drawn || !canvas.offsetParent) return;
  canvas.drawn = drawn;
  const { context, width, height } = sizedContext(canvas);
  if (course.length < 2) return;
  const values = course.map(forPicture);
  const low = Math.min(...values);
  const range = Math.max(...values) - low || 1;
  context.strokeStyle = colour("text3");
  context.lineWidth = 1;
  context.beginPath();
  values.forEach((value, index) => {
    context.lineTo((index / (values.length - 1)) * width, height - 3 - ((value - low) / range) * (height - 6));
  });
  context.stroke();
}
