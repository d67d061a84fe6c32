// Palette: go to a market, or do something, by a few letters.

import { byId, el, icon, setAttr, setText } from "./dom.js";
import { chooseAccount } from "./login.js";
import { phaseOf } from "./markets.js";
import { go } from "./route.js";
import { bind, openSheet } from "./shortcuts.js";
import { may, store } from "./store.js";
import { leave, switchTheme } from "./top.js";
import { shown } from "./units.js";

const FOUND_MAX = 50;
const commands = [];
let found = [];
let at = 0;
let input;
let list;

/** Something the palette can do. isThere(): whether it makes sense now. */
export function command(label, act, isThere = () => true) {
  commands.push({ label, act, isThere });
}

export function startPalette() {
  list = el("div", { id: "palette-list", role: "listbox", "aria-label": "Found" });
  input = el("input", {
    type: "text", role: "combobox", "aria-expanded": "true", "aria-controls": "palette-list", "aria-autocomplete": "list",
    placeholder: "Market or command", "aria-label": "Market or command", spellcheck: "false", autocomplete: "off",
    on: { input: search, keydown: move },
  });
  byId("palette").append(input, list);
  byId("palette").addEventListener("click", (event) => event.target === byId("palette") && byId("palette").close());
  bind("/, M, Ctrl+K", "go to a market or a command", () => openPalette(""));
  command("Trade", () => go({ view: "trade" }), () => store.view !== "trade");
  command("Operate", () => go({ view: "operate" }), () => may("admin"));
  command("Keys and account", () => go({ view: "keys" }));
  command("Light or dark", switchTheme);
  command("Keyboard", openSheet);
  command("Sign in", () => go({ view: "trade", tab: "order" }), () => !store.user);
  command("Sign out", leave, () => Boolean(store.user));
  command("The API, every route", () => location.assign("/docs"));
}

export function openPalette(text, { commands: areFirst = false } = {}) {
  input.value = text;
  list.dataset.first = areFirst ? "commands" : "markets";
  search();
  byId("palette").showModal();
  input.focus();
}

function search() {
  const wanted = input.value.trim().toLowerCase();
  const markets = [...store.markets.values()].map((each) => ({
    label: each.symbol, act: () => go({ view: "trade", sym: each.symbol }), market: each,
  }));
  const accounts = (store.user?.accounts ?? []).filter((each) => each !== store.account).map((each) => ({
    label: `Account ${each}`, act: () => chooseAccount(each),
  }));
  const others = [...commands.filter((each) => each.isThere()), ...accounts];
  const all = list.dataset.first === "commands" ? [...others, ...markets] : [...markets, ...others];
  found = all.filter((each) => each.label.toLowerCase().includes(wanted)).slice(0, FOUND_MAX);
  at = Math.max(0, found.findIndex((each) => each.market?.symbol === store.symbol && !wanted));
  list.replaceChildren(...found.map(optionOf));
  if (!found.length) list.replaceChildren(el("p", { class: "empty", text: "Nothing has this name" }));
  point();
}

function optionOf(each, index) {
  const last = each.market && store.tickers.get(each.label)?.last;
  return el("div", { role: "option", id: `found-${index}`, on: { click: () => choose(index) } },
    each.market ? icon(phaseOf(each.market.phase).glyph) : null,
    el("span", { text: each.label }),
    each.market ? el("span", { class: "end num", text: last ? shown(last, each.market.places.price) : phaseOf(each.market.phase).word }) : null);
}

function move(event) {
  const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
  if (step && found.length) {
    event.preventDefault();
    at = (at + step + found.length) % found.length;
    point();
  } else if (event.key === "Enter" && found.length) {
    event.preventDefault();
    choose(at);
  }
}

function point() {
  setAttr(input, "aria-activedescendant", found.length ? `found-${at}` : null);
  for (const [index, node] of [...list.querySelectorAll("[role=option]")].entries()) {
    setAttr(node, "aria-selected", index === at ? "true" : "false");
    if (index === at) node.scrollIntoView({ block: "nearest" });
  }
}

function choose(index) {
  byId("palette").close();
  setText(input, "");
  found[index].act();
}
