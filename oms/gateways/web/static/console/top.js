// Top: the bar at the top: which market, its phase and its last 24 hours; theme; who is signed in.

import { say } from "./announce.js";
import { byId, el, setAttr, setClass, setIcon, setNumber, setText, show } from "./dom.js";
import { signOut } from "./login.js";
import { changeOf, phaseOf, untilOf } from "./markets.js";
import { openPalette } from "./palette.js";
import { go } from "./route.js";
import { bind } from "./shortcuts.js";
import { isOld, market, store, watch } from "./store.js";
import { percent, places, shortened, shown, subtract } from "./units.js";

const TITLES = { trade: "Trading", operate: "Operating the exchange", keys: "Keys and account" };
const nodes = {};

export function startTop() {
  buildTicker();
  byId("picker").addEventListener("click", () => openPalette(""));
  byId("theme").addEventListener("click", switchTheme);
  byId("who").addEventListener("click", () => {
    if (store.user) go({ view: "keys" });
    else go({ view: "trade", tab: "order" });
    if (!store.user) byId("ticket").querySelector("#auth-form input")?.focus();
  });
  for (const button of document.querySelectorAll(".tabbar button")) {
    button.addEventListener("click", () => {
      if (button.dataset.tab === "more") openPalette("", { commands: true });
      else go({ view: "trade", tab: button.dataset.tab });
    });
  }
  watch(["symbol", "markets", "session", "beat"], paintMarket, { view: "trade" });
  watch(["symbol", "tickers", "markets", "book"], paintTicker, { every: 250, view: "trade" });
  bind("Q", "say best bid, best ask and last price", sayPrices, { view: "trade" });
  watch(["view", "symbol"], paintTitle);
  watch(["orders"], () => {
    const count = store.orders.size;
    show(byId("tab-count"), count > 0);
    setText(byId("tab-count"), count);
    setAttr(byId("tab-count"), "aria-label", `${count} open`);
  });
}

function buildTicker() {
  const row = (name, label, cls) => {
    nodes[name] = el("dd", { class: "num" });
    return el("div", { class: cls }, el("dt", { class: label ? "" : "vh", text: label || "Last" }), nodes[name]);
  };
  nodes.lastText = el("span");
  nodes.arrow = el("span", { class: "arrow", "aria-hidden": "true" });
  byId("head-ticker").append(
    row("last", "", "last"), row("change", "24 h", "change"), row("high", "High", "w3"), row("low", "Low", "w3"),
    row("volume", "Volume", "w2"), row("spread", "Spread", "w2"), row("vwap", "VWAP", "w3"),
  );
  nodes.last.append(nodes.lastText, nodes.arrow);
  nodes.volumeText = el("span");
  nodes.volumeUnit = el("span", { class: "dim" });
  nodes.volume.append(nodes.volumeText, " ", nodes.volumeUnit);
}

function sayPrices() {
  const each = market();
  const { bid, ask, last } = store.tickers.get(store.symbol) ?? {};
  const priced = (text) => (text ? shown(text, each.places.price) : "none");
  say(`${store.symbol}${isOld() ? ", old prices" : ""}: bid ${priced(bid?.[0])}, ask ${priced(ask?.[0])}, last ${priced(last)}`);
}

function paintTitle() {
  const title = store.view === "trade" && store.symbol ? `Trading ${store.symbol}` : TITLES[store.view];
  setText(byId("view-title"), title);
  const name = store.view === "trade" ? store.symbol : TITLES[store.view];
  if (document.title !== `${name} · Console`) document.title = name ? `${name} · Console` : "Console";
}

function paintMarket() {
  const each = market();
  setText(byId("head-symbol"), each?.symbol ?? (store.markets.size || !store.session ? "Market" : "No market"));
  setAttr(byId("picker"), "aria-label", each ? `Market ${each.symbol}: choose another` : "Choose a market");
  const phase = phaseOf(each?.phase);
  const node = byId("head-phase");
  setAttr(node, "data-kind", phase.kind);
  setIcon(node.querySelector("svg"), phase.glyph);
  setText(node.querySelector(".phase-word"), phase.word);
  setText(node.querySelector(".until"), untilOf(each));
}

function paintTicker() {
  const each = market();
  const ticker = store.tickers.get(store.symbol);
  const price = each ? each.places.price : 0;
  const old = nodes.lastText.textContent;
  setText(nodes.lastText, each && ticker?.last ? shown(ticker.last, price) : "–");
  const rise = ticker?.rise ?? 0;
  setText(nodes.arrow, rise > 0 ? "▲" : rise < 0 ? "▼" : "");
  setClass(nodes.arrow, "up", rise > 0);
  setClass(nodes.arrow, "dn", rise < 0);
  if (old !== nodes.lastText.textContent) document.title = each && ticker?.last ? `${shown(ticker.last, price)} ${each.symbol} · Console` : document.title;
  const change = changeOf(ticker);
  paintChange(nodes.change, change, ticker?.open);
  setNumber(nodes.high, ticker?.high ? shown(ticker.high, price) : null);
  setNumber(nodes.low, ticker?.low ? shown(ticker.low, price) : null);
  setText(nodes.volumeText, ticker?.volume ? shown(shortened(ticker.volume, Math.min(2, each.places.quantity))) : "–");
  setText(nodes.volumeUnit, each?.base ?? "");
  setNumber(nodes.vwap, ticker?.vwap ? shown(shortened(ticker.vwap, price), price) : null);
  const { bid, ask } = ticker ?? {};
  setNumber(nodes.spread, bid && ask ? shown(subtract(ask[0], bid[0]), places(each.tickSize)) : null);
}

/** A change since 24 hours ago as per cent, with its direction in sign, mark and colour. */
export function paintChange(node, change, open) {
  const per = change === null || change === undefined ? null : percent(change, open);
  const direction = per === null ? 0 : per.startsWith("−") ? -1 : per.startsWith("+") ? 1 : 0;
  setText(node, per === null ? "–" : `${direction > 0 ? "▲ " : direction < 0 ? "▼ " : ""}${per} %`);
  setClass(node, "up", direction > 0);
  setClass(node, "dn", direction < 0);
}

export function switchTheme() {
  const root = document.documentElement;
  const theme = root.dataset.theme === "light" ? "dark" : "light";
  root.dataset.theme = theme;
  window.dispatchEvent(new Event("theme"));
  try {
    localStorage.setItem("oms.theme", theme);
  } catch {
    return; // storage is switched off: as long as the page
  }
}

/** Sign out, from wherever it is asked. */
export function leave() {
  return signOut();
}
