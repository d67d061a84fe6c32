// Blotter: what is the person's own, in tabs: open orders, fills, positions, history, money.

import { tabs } from "./choice.js";
import { byId, el, setAttr, setText, show } from "./dom.js";
import { balancesTable, moneyTable } from "./funds.js";
import { fillsTable, historyTable, positionsTable } from "./history.js";
import { openTable } from "./open_orders.js";
import { cancelAll } from "./own.js";
import { parameter } from "./route.js";
import { bind } from "./shortcuts.js";
import { may, store, watch } from "./store.js";

const TABS = [["open", "Open"], ["fills", "Fills"], ["positions", "Positions"], ["history", "History"], ["money", "Money"], ["balances", "Balances"]];
const tables = {};
let bar;
let panel;
let only;
let all;
let asking;
let keep;
let words;
let nobody;

/** Show the orders of the market that is shown alone? */
export function isOnlyHere() {
  return only.checked;
}

export function startBlotter() {
  const section = byId("blotter");
  panel = el("div", { class: "scroll", id: "blotter-panel", role: "tabpanel", tabindex: "0" });
  bar = tabs("Your account", TABS, panel, paint);
  bar.buttons.get("balances").classList.add("narrow");
  only = el("input", { type: "checkbox", on: { change: paint } });
  all = el("button", { class: "txt", type: "button", text: "Cancel all…", "aria-keyshortcuts": "Shift+X", on: { click: askAll } });
  section.querySelector("header").append(bar.node, el("span", { class: "grow" }), el("label", { class: "mini chk" }, only, " this market"), all);
  words = el("span");
  keep = el("button", { class: "btn", type: "button", text: "Keep them", on: { click: close } });
  asking = el("div", { class: "inline", role: "group", "aria-label": "Cancel all", hidden: true, on: { keydown: (event) => event.key === "Escape" && close() } },
    words, keep, el("button", { class: "btn crit", type: "button", text: "Cancel them", on: { click: doAll } }));
  nobody = el("p", { class: "empty" }, el("b", { text: "Your orders, fills and positions come here" }), "Sign in in the order panel; the market is public.");
  section.append(asking, panel);
  panel.append(nobody);
  Object.assign(tables, {
    open: openTable(isOnlyHere), fills: fillsTable(isOnlyHere), positions: positionsTable(), history: historyTable(isOnlyHere),
    money: moneyTable(), balances: balancesTable(),
  });
  for (const table of Object.values(tables)) panel.append(table.node);
  bind("Shift+X", "cancel all open orders, asks once", askAll, { view: "trade" });
  if (TABS.some(([name]) => name === parameter("btab"))) bar.set(parameter("btab"));
  watch(["user", "account", "orders", "fills", "ended", "pages", "balances", "symbol", "queue", "beat", "link"], paint, { every: 200, view: "trade" });
}

function paint() {
  const isSignedIn = Boolean(store.user);
  show(nobody, !isSignedIn);
  const shown = isSignedIn ? bar.value : "";
  for (const [name, table] of Object.entries(tables)) {
    show(table.node, name === shown);
    if (name === shown) table.paint();
  }
  setText(bar.buttons.get("open").querySelector(".n"), isSignedIn && store.orders.size ? String(store.orders.size) : "");
  setAttr(all, "disabled", !isSignedIn || !store.orders.size || !may("trade"));
  show(all, bar.value === "open");
}

function askAll() {
  if (all.disabled) return false;
  const here = isOnlyHere() ? [...store.orders.values()].filter((each) => each.symbol === store.symbol).length : store.orders.size;
  setText(words, `Cancel ${here} open ${here === 1 ? "order" : "orders"}${isOnlyHere() ? ` of ${store.symbol}` : ""}?`);
  show(asking, true);
  keep.focus();
  return true;
}

function close() {
  show(asking, false);
  all.focus();
}

async function doAll() {
  try {
    await cancelAll(isOnlyHere() ? store.symbol : null);
    close();
  } catch (error) {
    setText(words, error.isUnknown ? "Unknown whether they were canceled: your open orders will say. Again?" : `Not done: ${error.code}, ${error.words}`);
  }
}
