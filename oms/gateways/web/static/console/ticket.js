// Ticket: the order form. It reads the order back in one sentence with what it reserves, so that no
// dialog has to ask "sure?"; a refusal stands under the field that it is about, with a repair.

import { happened } from "./announce.js";
import { choice } from "./choice.js";
import { byId, el, keyed, setAttr, setClass, setText, setWords, show } from "./dom.js";
import { call } from "./feed.js";
import { numberField, selectField } from "./field.js";
import { chooseAccount } from "./login.js";
import { phaseOf } from "./markets.js";
import * as order from "./order.js";
import { cancel, makeId, place, unknown } from "./own.js";
import { refusalBlock } from "./refusal.js";
import { parameter } from "./route.js";
import { bind, note } from "./shortcuts.js";
import { startSignIn } from "./signin.js";
import { isOld, market, may, store, watch } from "./store.js";
import { shown, subtract, toText } from "./units.js";

const TRY_MS = 250;
const AGAIN_MS = 3000; // what was refused may be taken by now: the phase, the limits
const OLD_MS = 4000; // how long "place anyway" stays armed
const SHARES = [[10, "10 %"], [25, "25 %"], [50, "50 %"], [100, "Max"]];
const PRICED = new Set(["price", "stopPrice", "worst", "ocoStop"]);
const draft = order.newDraft();
const fields = {};
const groups = {};
const chips = {};
let form;
let accounts;
let say;
let cost;
let button;
let refusal;
let tried = { key: "", asked: "", told: null };
let tryTimer = 0;
let isSending = false;
let armedAt = -Infinity;
let shownSymbol = "";

export function startTicket() {
  build();
  accounts = el("select", { "aria-label": "Account", hidden: true, on: { change: () => chooseAccount(accounts.value) } });
  byId("ticket-account").after(el("label", { class: "mini" }, accounts));
  byId("ticket").append(form);
  startSignIn(byId("ticket"));
  apply({ side: parameter("side").toUpperCase() === "SELL" ? "SELL" : "BUY" });
  bind("B", "buy: the price has the focus", () => choose("BUY"), { view: "trade" });
  bind("S", "sell: the price has the focus", () => choose("SELL"), { view: "trade" });
  order.TYPES.forEach(([type, label], index) => {
    bind(String(index + 1), label.toLowerCase(), () => apply({ type }), { view: "trade" });
  });
  note("Enter", "in the form: place what the sentence says", "trade");
  note("↑, ↓", "in a number: a tick or a lot; with Shift ten", "trade");
  watch(["user", "account", "symbol", "markets", "link", "session"], paint, { view: "trade" });
  watch(["balances", "orders"], () => readBack(), { every: 250, view: "trade" });
  watch(["beat"], tryAgain, { every: AGAIN_MS, view: "trade" });
  watch(["book"], () => offerPrice(), { every: 250, view: "trade" });
}

/** A click in the ladder: side and price, and nothing is sent. */
export function fill({ side, price }) {
  if (!store.user) return;
  const changes = side ? { side } : {};
  const each = market();
  const field = order.hasStop(draft) && !order.hasPrice(draft) ? "stopPrice" : "price";
  if (draft.type === "MARKET") changes.type = "LIMIT";
  apply({ ...changes, [field]: shown(price, each.places.price) });
  happened(`${draft.side === "BUY" ? "Buy" : "Sell"} at ${shown(price, each.places.price)} in the form`);
}

function choose(side) {
  if (!store.user) return false;
  apply({ side });
  const field = order.hasStop(draft) ? fields.stopPrice : order.hasPrice(draft) ? fields.price : fields.quantity;
  field.input.focus();
  field.input.select();
  return true;
}

// --- building ---

function build() {
  const grid = (name) => () => {
    const each = market();
    if (!each) return null;
    const isPrice = PRICED.has(name);
    return { step: isPrice ? each.tickSize : each.lotSize, scale: isPrice ? each.priceScale : each.quantityScale, from: isPrice ? bestPrice(each) : "" };
  };
  const number = (name, label, options = {}) => {
    fields[name] = numberField(name, label, (text) => typed(name, text), { describedby: "ticket-refusal", tidy: (text) => tidy(name, text), ...options });
    return fields[name].node;
  };
  groups.side = choice("Side", [{ value: "BUY", label: "Buy", keys: "B" }, { value: "SELL", label: "Sell", keys: "S" }], (side) => apply({ side }), { cls: "sides" });
  groups.type = choice("Order type", order.TYPES.map(([value, label], index) => ({ value, label, keys: String(index + 1) })), (type) => apply({ type }), { cls: "types" });
  groups.force = choice("In force", order.FORCES.map((each) => [each, each]), (force) => apply({ force }), { cls: "seg fill" });
  groups.attach = choice("Attach", [["none", "Nothing"], ["oco", "OCO stop"]], (attach) => apply({ attach }), { cls: "seg fill" });
  groups.shares = el("div", { class: "pcts", role: "group", "aria-label": "Part of what is available" },
    ...SHARES.map(([part, label]) => el("button", { type: "button", text: label, on: { click: () => share(part) } })));
  groups.terms = el("div", { class: "chips", role: "group", "aria-label": "Terms" }, ...Object.entries(order.TERMS).map(([term, [label]]) => {
    chips[term] = el("button", { type: "button", "aria-pressed": "false", text: label, on: { click: () => toggle(term) } });
    return chips[term];
  }));
  const row = (label, node) => el("div", { class: "row tif" }, el("span", { class: "lab", "aria-hidden": "true", text: label }), node);
  say = el("p", { class: "say", id: "ticket-say" });
  cost = costTable();
  button = el("button", { class: "go", type: "submit", "aria-describedby": "ticket-say" });
  refusal = refusalBlock();
  refusal.node.id = "ticket-refusal";
  fields.postOnly = selectField("postOnly", "If it takes", [["REJECT", "refuse it"], ["SLIDE", "move it a tick away"]], (postOnly) => apply({ postOnly }));
  fields.selfTrade = selectField("selfTrade", "Meets own", [
    ["cancel_newest", "cancel the newer"], ["cancel_oldest", "cancel the older"], ["cancel_both", "cancel both"],
    ["decrement", "take off both"], ["none", "let them trade"],
  ], (selfTrade) => apply({ selfTrade }));
  form = el("form", { autocomplete: "off", novalidate: true, hidden: true, on: { submit: submitted } },
    groups.side.node, groups.type.node,
    number("stopPrice", "Stop at", { step: grid("stopPrice") }), number("price", "Price", { step: grid("price") }),
    number("quantity", "Quantity", { step: grid("quantity") }), number("spend", "Spend"), groups.shares,
    row("In force", groups.force.node), number("until", "Until", { unit: "UTC" }),
    groups.terms, fields.postOnly.node, number("iceberg", "Shows", { step: grid("iceberg") }),
    number("minimum", "At least", { step: grid("minimum") }), number("worst", "No worse", { step: grid("worst") }), fields.selfTrade.node,
    row("Attach", groups.attach.node), number("ocoStop", "Stop at", { step: grid("ocoStop") }),
    el("div", { class: "foot" }, say, cost.node, button, refusal.node));
  fields.until.input.removeAttribute("inputmode");
  fields.until.input.placeholder = "2026-11-27 17:00";
}

function costTable() {
  const rows = {};
  const node = el("dl", { class: "cost" });
  for (const [name, label] of [["reserves", "Reserves"], ["fee", "Fee, at most"], ["leaves", "Leaves available"], ["room", "Room in your limits"]]) {
    rows[name] = { label: el("dt", { text: label }), value: el("span"), unit: el("span", { class: "u" }) };
    node.append(rows[name].label, el("dd", { class: "num" }, rows[name].value, rows[name].unit));
  }
  return { node, rows };
}

// --- what is typed ---

/** The number as it is shown elsewhere: grouped, a price with its places. */
function tidy(name, text) {
  const found = name === "until" ? null : order.plain(text);
  return found ? shown(found, PRICED.has(name) ? (market()?.places.price ?? 0) : 0) : text;
}

function typed(name, text) {
  if (draft[name] === text) return;
  const isSame = order.plain(draft[name]) === order.plain(text) && order.plain(text) !== "";
  draft[name] = text;
  if (isSame) return;
  fields[name].mark(false);
  refusal.clear();
  readBack();
}

/** Change the draft, drop what no longer fits, and show it. */
function apply(changes) {
  const { term, ...rest } = changes;
  Object.assign(draft, rest);
  if (term) draft.terms.add(term);
  const kind = phaseOf(market()?.phase).kind;
  if (order.whyNotForce(draft.force, draft, kind)) draft.force = "GTC";
  for (const each of draft.terms) if (order.whyNotTerm(each, draft, kind)) draft.terms.delete(each);
  if (order.whyNotOco(draft)) draft.attach = "none";
  refusal.clear();
  markNone();
  paint();
}

function markNone() {
  for (const field of Object.values(fields)) field.mark?.(false);
}

function toggle(term) {
  if (chips[term].getAttribute("aria-disabled") === "true") return;
  if (draft.terms.has(term)) draft.terms.delete(term);
  else draft.terms.add(term);
  apply({});
  const field = fields[term];
  if (draft.terms.has(term) && field) field.input.focus();
}

function share(part) {
  const each = market();
  const available = availableOf(each);
  if (!available) return;
  const most = order.affordable(draft, each, store.book, available, part);
  if (most !== null) apply({ quantity: shown(most) });
}

function availableOf(each) {
  return store.balances.get(draft.side === "BUY" ? each?.quote : each?.base)?.available ?? null;
}

function bestPrice(each) {
  const units = store.book?.best(draft.side === "BUY" ? "bids" : "asks") ?? null;
  return units === null ? (store.tickers.get(each.symbol)?.last ?? "") : toText(units, each.priceScale);
}

/** A new market begins with the best price of one's own side; what was typed there is gone. */
function offerPrice() {
  const each = market();
  if (!each || !store.book || shownSymbol === each.symbol) return;
  shownSymbol = each.symbol;
  for (const name of ["price", "stopPrice", "quantity", "spend", "iceberg", "minimum", "worst", "ocoStop"]) draft[name] = "";
  const best = bestPrice(each);
  apply({ price: best ? shown(best, each.places.price) : "" });
}

// --- painting ---

function paint() {
  const each = market();
  const kind = phaseOf(each?.phase).kind;
  paintAccounts();
  setText(byId("h-ticket"), store.user ? "Order" : "Account");
  show(byId("ticket-hint"), Boolean(store.user));
  show(form, Boolean(store.user));
  if (!store.user || !each) {
    setText(button, "Waiting for the market");
    setAttr(button, "aria-disabled", "true");
    return;
  }
  groups.side.set(draft.side);
  groups.type.set(draft.type);
  groups.force.set(draft.force);
  groups.attach.set(draft.attach);
  for (const force of order.FORCES) groups.force.refuse(force, order.whyNotForce(force, draft, kind));
  groups.attach.refuse("oco", order.whyNotOco(draft));
  for (const [term, chip] of Object.entries(chips)) {
    const why = order.whyNotTerm(term, draft, kind);
    setAttr(chip, "aria-pressed", draft.terms.has(term) ? "true" : "false");
    setAttr(chip, "aria-disabled", why ? "true" : null);
    setAttr(chip, "title", why || null);
    setAttr(chip, "aria-description", why || null);
    show(chip, !(term === "spend" || term === "worst") || !why);
  }
  paintFields(each);
  readBack();
}

/** Whose orders: a choice where there are several accounts. */
function paintAccounts() {
  const known = store.user?.accounts ?? [];
  const isChoice = known.length > 1;
  setText(byId("ticket-account"), !store.user ? "" : isChoice ? "account" : `account ${store.account}`);
  show(accounts, isChoice);
  if (!isChoice) return;
  keyed(accounts, known, (each) => each, (each) => el("option", { text: each, value: each }), () => {});
  accounts.value = store.account;
}

function paintFields(each) {
  const isSpending = draft.terms.has("spend");
  const wanted = {
    stopPrice: order.hasStop(draft), price: order.hasPrice(draft), quantity: !isSpending, spend: isSpending,
    until: draft.force === "GTD", iceberg: draft.terms.has("iceberg"), minimum: draft.terms.has("minimum"),
    worst: draft.terms.has("worst"), ocoStop: draft.attach === "oco",
  };
  for (const [name, on] of Object.entries(wanted)) {
    fields[name].show(on);
    fields[name].set(draft[name]);
    if (name !== "until") fields[name].unit(PRICED.has(name) || name === "spend" ? each.quote : each.base);
  }
  fields.postOnly.show(draft.terms.has("postOnly"));
  fields.postOnly.set(draft.postOnly);
  fields.selfTrade.show(draft.terms.has("selfTrade"));
  fields.selfTrade.set(draft.selfTrade);
  const canShare = !isSpending && Boolean(availableOf(each));
  for (const node of groups.shares.children) setAttr(node, "aria-disabled", canShare ? null : "true");
  show(groups.shares, !isSpending);
}

/** The sentence, what it reserves, and the button. */
function readBack() {
  const each = market();
  if (!store.user || !each) return;
  const kind = phaseOf(each.phase).kind;
  setWords(say, order.sentenceOf(draft, each, kind));
  const gap = order.missing(draft);
  if (gap) {
    tried = { key: "", asked: "", told: null };
    clearTimeout(tryTimer);
  } else tryLater(each);
  paintCost(each);
  paintButton(each, gap);
}

function paintCost(each) {
  const { rows } = cost;
  const told = tried.told?.accepted ? tried.told : null;
  const put = (row, text, unit) => {
    setText(row.value, text ?? "–");
    setText(row.unit, unit ?? "");
  };
  put(rows.room, told && order.roomWords(told.room, each));
  const buys = draft.side === "BUY";
  const asset = told?.asset ?? (buys ? each.quote : each.base);
  const worth = order.worthOf(draft, each, store.book);
  const isAtOnce = draft.type === "MARKET";
  setText(rows.reserves.label, isAtOnce ? (buys ? "Costs, about" : "Brings, about") : "Reserves");
  if (isAtOnce) put(rows.reserves, worth && shown(worth), each.quote);
  else put(rows.reserves, told && shown(told.reserved), asset);
  put(rows.fee, order.feeOf(draft, each, worth, told), each.quote);
  const available = store.balances.get(asset)?.available;
  const used = isAtOnce && buys ? worth : isAtOnce ? order.plain(draft.quantity) : told?.reserved;
  const owned = store.balances.get(isAtOnce ? (buys ? each.quote : each.base) : asset)?.available ?? available;
  put(rows.leaves, used && owned ? shown(subtract(owned, used)) : null, isAtOnce ? (buys ? each.quote : each.base) : asset);
}

function paintButton(each, gap) {
  const areOld = isOld();
  const isArmed = performance.now() - armedAt < OLD_MS;
  setClass(button, "buy", draft.side === "BUY" && !areOld);
  setClass(button, "sell", draft.side === "SELL" && !areOld);
  const isOff = !may("trade") || isSending || Boolean(gap);
  setAttr(button, "aria-disabled", isOff ? "true" : null);
  if (!may("trade")) setText(button, "Your role may only look");
  else if (isSending) setText(button, unknown.size ? "Unknown, asking…" : "Sending…");
  else if (areOld) setText(button, isArmed ? "Press again to place" : "Prices are old: place anyway…");
  else setText(button, order.verbOf(draft, each));
}

// --- the dry run ---

function tryLater(each) {
  const body = { ...order.bodyOf(draft, each.symbol), account: store.account };
  const balances = [...store.balances.values()].map((balance) => balance.available).join();
  const key = JSON.stringify([body, each.phase, balances]);
  if (key === tried.key || !may("trade")) return;
  const asked = JSON.stringify(body);
  // Another balance alone: what was told stands until it is told anew.
  tried = { key, asked, told: tried.asked === asked && !tried.told?.error ? tried.told : null };
  clearTimeout(tryTimer);
  tryTimer = setTimeout(() => tryOut(body, key, each), TRY_MS);
}

function tryAgain() {
  if (!tried.told?.error) return;
  tried = { key: "", asked: "", told: null };
  readBack();
}

async function tryOut(body, key, each) {
  let told;
  try {
    told = (await call("order.test", { params: body })).result;
  } catch (error) {
    told = { accepted: false, error };
  }
  if (tried.key !== key) return;
  tried.told = told;
  paintCost(each);
  if (told.error && told.error.status && told.error.code !== "TOO_MANY_REQUESTS") refused(told.error, { isLoud: false });
  else if (told.accepted) {
    markNone();
    if (refusal.node.dataset.from === "try") refusal.clear();
  }
}

// --- sending ---

async function submitted(event) {
  event.preventDefault();
  const each = market();
  if (!each || isSending || !may("trade")) return;
  const gap = order.missing(draft);
  if (gap) {
    fields[gap.field].mark(true);
    fields[gap.field].input.focus();
    setText(say, `Still to be said: ${gap.words}.`);
    return;
  }
  if (isOld() && performance.now() - armedAt > OLD_MS) {
    armedAt = performance.now();
    readBack();
    setTimeout(readBack, OLD_MS);
    return;
  }
  isSending = true;
  refusal.clear();
  readBack();
  const began = performance.now();
  try {
    const told = draft.attach === "oco" ? await placePair(each) : await place(order.bodyOf(draft, each.symbol));
    answered(told, performance.now() - began);
  } catch (error) {
    refused(error);
  } finally {
    isSending = false;
    armedAt = -Infinity;
    readBack();
  }
}

/** The stop first, so that a position is never without it; it is canceled if the other is refused. */
async function placePair(each) {
  const stop = await place({ ...order.stopBodyOf(draft, each.symbol), clientOrderId: makeId("s") });
  if (!stop.orderId) return stop;
  try {
    return await place({ ...order.bodyOf(draft, each.symbol), ocoWith: stop.clientOrderId });
  } catch (error) {
    await cancel(stop);
    throw error;
  }
}

function answered(told, ms) {
  if (!told.orderId) {
    refusal.done(el("b", { text: "It never arrived." }), " Send it again, or forget it, in your open orders.");
    return;
  }
  const took = `answered after ${ms.toFixed(ms < 10 ? 1 : 0)} ms`;
  const what = doneWords(told);
  refusal.done(el("b", { text: what }), ` ${told.clientOrderId}, ${took}`);
  refusal.node.dataset.from = "sent";
  setText(byId("answered"), `your last order: ${took}`);
  happened(`${what} ${order.verbOf(draft, market(told.symbol) ?? market())}`);
}

function doneWords(told) {
  const words = {
    FILLED: "Filled", PARTIALLY_FILLED: "Part filled", NEW: "Working", SUSPENDED: "Armed", PENDING_NEW: "Waiting", CANCELED: "Canceled",
    EXPIRED: "Expired", DONE_FOR_DAY: "Working",
  };
  const word = words[told.status] ?? told.status;
  const at = told.averagePrice ? ` at ${shown(told.averagePrice, 0)}` : "";
  const why = told.reason ? ` (${told.reason})` : "";
  return `${word}${told.filledQuantity && told.status !== "NEW" && Number(told.filledQuantity) ? ` ${shown(told.filledQuantity)}${at}` : ""}${why}`;
}

function refused(error, { isLoud = true } = {}) {
  const each = market();
  const repairs = order.repairsOf(error, draft, each, store.book, availableOf(each)).map(([label, changes]) => [label, () => {
    apply(changes);
    button.focus();
  }]);
  refusal.show(error, repairs, { isLoud });
  refusal.node.dataset.from = isLoud ? "sent" : "try";
  if (isLoud) refusal.node.scrollIntoView({ block: "nearest" });
  const field = order.fieldOf(error, draft);
  for (const [name, each_] of Object.entries(fields)) each_.mark?.(name === field);
}
