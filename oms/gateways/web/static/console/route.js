// Route: what is shown, by the address: #view=trade&sym=BTC_USD. Other words in it are parameters of
// a view, such as tab=orders.

import { byId, setAttr, show } from "./dom.js";
import { changed, store } from "./store.js";

const VIEWS = ["trade", "operate", "keys"];
const TABS = ["market", "order", "orders", "funds"];
const openers = new Map();
const opened = new Set();

/** What builds a view: open(root) is called once, when the view is first shown. */
export function onOpen(view, open) {
  openers.set(view, open);
}

/** A parameter of the address; "" if it is not there. */
export function parameter(name) {
  return new URLSearchParams(location.hash.slice(1)).get(name) ?? "";
}

/** Change parameters of the address; null takes one away. */
export function go(parameters) {
  const all = new URLSearchParams(location.hash.slice(1));
  for (const [name, value] of Object.entries(parameters)) {
    if (value === null) all.delete(name);
    else all.set(name, value);
  }
  if (`#${all}` !== location.hash) location.hash = all;
}

/** Show what the address says, now and whenever it changes. */
export function follow() {
  window.addEventListener("hashchange", apply);
  document.addEventListener("click", (event) => {
    const link = event.target.closest("[data-go]");
    const skip = event.target.closest("[data-skip]");
    if (skip) {
      event.preventDefault();
      byId(skip.dataset.skip).focus();
    } else if (link && !event.metaKey && !event.ctrlKey) {
      event.preventDefault();
      go({ view: link.dataset.go });
      byId("main").focus({ preventScroll: true });
    }
  });
  apply();
}

function apply() {
  const view = VIEWS.includes(parameter("view")) ? parameter("view") : "trade";
  const symbol = parameter("sym");
  store.view = view;
  store.tab = TABS.includes(parameter("tab")) ? parameter("tab") : "market";
  document.body.dataset.view = view;
  document.body.dataset.tab = store.tab;
  for (const name of VIEWS) show(byId(`view-${name}`), name === view);
  for (const node of document.querySelectorAll(".of-trade")) show(node, view === "trade" || node.matches(".tabbar"));
  for (const link of document.querySelectorAll(".views a")) {
    setAttr(link, "aria-current", link.dataset.go === view ? "page" : null);
  }
  for (const button of document.querySelectorAll(".tabbar button")) {
    const isHere = view === "trade" ? button.dataset.tab === store.tab : button.dataset.tab === "more";
    setAttr(button, "aria-current", isHere ? "page" : null);
  }
  show(byId("view-head"), view !== "trade");
  if (symbol && symbol !== store.symbol && (!store.markets.size || store.markets.has(symbol))) {
    store.symbol = symbol;
    changed("symbol");
  }
  openOnce(view);
  changed("view");
}

async function openOnce(view) {
  const open = openers.get(view);
  if (!open || opened.has(view)) return;
  opened.add(view);
  try {
    await open(byId(`view-${view}`));
  } catch (error) {
    opened.delete(view);
    byId(`view-${view}`).textContent = `This view could not be loaded: ${error.message}`;
    throw error;
  }
}
