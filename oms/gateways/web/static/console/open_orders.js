// Open orders: each with how far it is filled, and modify and cancel in its row. A row keeps its node,
// so its inputs and the focus stay while the market moves.

import { el, icon, keyed, setAttr, setClass, setIcon, setNumber, setText, show } from "./dom.js";
import { plain, stepped } from "./order.js";
import { cancel, forgetUnknown, modify, pending, refusals, sendAgain, unknown } from "./own.js";
import { alarm, happened } from "./announce.js";
import { aheadOf } from "./queue.js";
import { meaningOf } from "./refusal.js";
import { bind, note } from "./shortcuts.js";
import { changed, market, may, serverNow, store } from "./store.js";
import { compare, forPicture, milliseconds, shown, timeOrDay } from "./units.js";

const STATES = {
  NEW: ["g-dot", "working"], PARTIALLY_FILLED: ["g-half", "part filled"], SUSPENDED: ["g-dash", "armed"],
  PENDING_NEW: ["g-wait", "waiting"], PENDING_CANCEL: ["g-wait", "canceling"], PENDING_REPLACE: ["g-wait", "changing"],
  DONE_FOR_DAY: ["g-ring", "done for today"], UNKNOWN: ["g-tri", "unknown"],
};
const KINDS = { LIMIT: "limit", MARKET: "market", STOP: "stop", STOP_LIMIT: "stop limit" };
const WAITS = {
  QUEUED_THROTTLE: "waits for the throttle", HELD_SESSION: "waits for the open", HELD_HALT: "waits for the end of the halt", SENT_UNACKED: "waits for the venue's answer",
};
let edited = null; // key of the order that is being modified
let editedParts = null; // of its row

/** {node, paint()}. isOnlyHere(): of the market that is shown alone. */
export function openTable(isOnlyHere) {
  const heads = [["Time", "tm"], ["Order"], ["Market"], ["Price", "r"], ["Filled of quantity", "r"], ["In force", "x1"], ["State"], ["", "ac"]];
  const head = el("tr", {}, ...heads.map(([text, cls]) => el("th", { scope: "col", class: cls ?? "" }, text || el("span", { class: "vh", text: "Actions" }))));
  const table = el("table", { class: "t open" }, el("thead", {}, head));
  const empty = el("p", { class: "empty" });
  const bones = el("div", { class: "rows-of-bones", "aria-hidden": "true" }, ...[1, 2, 3].map(() => el("span", { class: "bones" })));
  const node = el("div", {}, table, bones, empty);
  bind("E", "modify the order in focus", () => act("edit"), { view: "trade" });
  bind("X", "cancel the order in focus", () => act("cancel"), { view: "trade" });
  note("Enter, Escape", "in a row: send the change, drop it", "trade");
  return {
    node,
    paint() {
      const orders = [...store.orders.values()]
        .filter((each) => !isOnlyHere() || each.symbol === store.symbol)
        .sort((a, b) => (ageOf(a) < ageOf(b) ? 1 : -1));
      const asked = [...unknown].map(([id, { body, state }]) => ({ key: `unknown ${id}`, id, ...body, asked: state }));
      keyed(table, [...asked, ...orders], (each) => each.key, make, patch);
      show(bones, !store.isOrdersKnown);
      show(table, orders.length + asked.length > 0);
      show(empty, store.isOrdersKnown && !orders.length && !asked.length);
      empty.replaceChildren(el("b", { text: isOnlyHere() && store.orders.size ? `No open orders in ${store.symbol}` : "No open orders" }),
        may("trade") ? "Press B or S, or click a rung of the ladder." : "Your role may only look.");
    },
  };
}

/** Order ids count in each group alone: over several, orders are by their time. */
function ageOf(order) {
  return BigInt(store.groups.length > 1 ? (order.placedAt ?? order.time) : order.orderId);
}

function act(what) {
  const row = document.activeElement?.closest("tbody[data-order]");
  const order = row && store.orders.get(row.dataset.order);
  if (!order || !may("trade")) return false;
  if (what === "edit") beginEdit(order, row);
  else cancel(order);
  return true;
}

// --- a row ---

function make(order) {
  const cell = (cls, ...children) => el("td", { class: cls }, ...children);
  const parts = {
    price: el("span"), at: el("span", { class: "dim" }), filled: el("span"), of: el("span", { class: "dim", text: " of " }), total: el("span"),
    bar: el("i"), glyph: icon("g-ring"), state: el("span"), side: el("b"), kind: el("span"),
    edit: el("button", { type: "button", on: { click: () => editOrSend(order.key, body) } }, icon("i-pen")),
    cancel: el("button", { type: "button", on: { click: () => dropOrCancel(order.key, body) } }, icon("i-x")),
    ahead: el("span", { class: "dim", title: "shown ahead of it at its price" }), note: el("span"), more: el("span"),
  };
  const row = el("tr", { class: "o", tabindex: "-1" }, cell("tm dim"), cell("ord", parts.side, parts.kind), cell("mkt"),
    cell("r px", parts.at, parts.price),
    cell("r q", el("span", { class: "amount" }, parts.filled, parts.of, parts.total), el("span", { class: "fillbar", "aria-hidden": "true" }, parts.bar)),
    cell("x1 tf"), cell("st", el("span", { class: "state" }, parts.glyph, parts.state, parts.ahead)),
    cell("ac", el("span", { class: "acts" }, parts.edit, parts.cancel)));
  parts.noteRow = el("tr", { class: "sub", hidden: true }, el("td", { colspan: "8", role: "status" }, parts.note, parts.more));
  const body = el("tbody", { data: { order: order.key } }, row, parts.noteRow);
  Object.assign(body, { parts, row });
  return body;
}

function patch(body, order) {
  const { parts, row } = body;
  const each = market(order.symbol);
  const [time, , symbol, , , force] = row.children;
  const now = serverNow();
  setText(time, order.time && now !== null ? timeOrDay(milliseconds(order.placedAt ?? order.time), now) : "");
  setText(parts.side, order.side === "BUY" ? "Buy" : "Sell");
  setAttr(parts.side, "class", order.side === "BUY" ? "up" : "dn");
  setText(parts.kind, ` ${order.displayQuantity ? "iceberg" : (KINDS[order.type] ?? "")}`);
  setText(symbol, order.symbol);
  const isEdited = edited === order.key;
  const price = order.price ?? order.stopPrice;
  setText(parts.at, !order.price && order.stopPrice ? "at " : "");
  setNumber(parts.price, price ? shown(price, each?.places.price ?? 0) : "market", { dim: false });
  setText(parts.filled, shown(order.filledQuantity ?? "0"));
  setNumber(parts.total, shown(order.quantity ?? order.quoteQuantity ?? "0", each?.places.quantity ?? 0));
  parts.bar.style.width = `${filledPer(order)}%`;
  setText(force, [order.timeInForce, ...termsOf(order)].filter(Boolean).join(" "));
  setAttr(force, "title", force.textContent);
  paintState(parts, order);
  show(parts.price, !(isEdited && parts.priceInput));
  show(row.querySelector(".amount"), !isEdited);
  setClass(row, "ed", isEdited);
  paintActs(parts, order, isEdited);
  paintNote(parts, order, isEdited);
}

function filledPer(order) {
  const whole = forPicture(order.quantity ?? "0");
  return whole ? Math.min(100, (forPicture(order.filledQuantity ?? "0") / whole) * 100) : 0;
}

function termsOf(order) {
  const terms = [];
  if (order.postOnly) terms.push(order.postOnly === "SLIDE" ? "post-only, slides" : "post-only");
  if (order.displayQuantity) terms.push(`shows ${shown(order.displayQuantity)}`);
  if (order.ocoWith) terms.push("OCO");
  if (order.minQuantity) terms.push(`at least ${shown(order.minQuantity)}`);
  if (order.protectionPrice) terms.push(`no worse than ${shown(order.protectionPrice)}`);
  if (order.expireTime) terms.push(`until ${new Date(milliseconds(order.expireTime)).toISOString().slice(0, 16).replace("T", " ")}`);
  if (order.hold) terms.push("hold");
  return terms;
}

function paintState(parts, order) {
  const [glyph, word] = order.asked ? ["g-tri", order.asked === "asking" ? "unknown, asking" : "never arrived"] : (STATES[order.status] ?? ["g-ring", order.status ?? ""]);
  const doing = pending.get(order.key);
  setIcon(parts.glyph, doing ? "g-wait" : glyph);
  setText(parts.state, doing ?? word);
  const ahead = doing ? null : aheadOf(order);
  setText(parts.ahead, ahead === null ? "" : forPicture(ahead) ? `${shown(ahead)} ahead` : "first in queue");
}

function paintActs(parts, order, isEdited) {
  const isAbsent = order.asked === "absent";
  show(parts.edit, isAbsent || (!order.asked && may("trade")));
  show(parts.cancel, isAbsent || (!order.asked && may("trade")));
  setIcon(parts.edit, isEdited || isAbsent ? "i-enter" : "i-pen");
  const name = `${order.side === "BUY" ? "buy" : "sell"} ${order.symbol}`;
  setAttr(parts.edit, "aria-label", isAbsent ? `Send ${name} again` : isEdited ? "Send the change" : `Modify ${name}`);
  setAttr(parts.cancel, "aria-label", isAbsent ? `Forget ${name}` : isEdited ? "Drop the change" : `Cancel ${name}`);
}

function paintNote(parts, order, isEdited) {
  const refusal = refusals.get(order.key);
  setClass(parts.noteRow, "bad", Boolean(refusal));
  let text = "";
  if (refusal) text = `${refusal.code} ${refusal.number}: ${meaningOf(refusal).join(" ")}`;
  else if (isEdited) text = editWords(parts, order);
  else if (order.asked === "absent") text = "The exchange never got it. Send it again with its id, or forget it.";
  else if (order.asked) text = "No answer came. Asking the exchange by the order's id; the same order cannot become two.";
  else if (WAITS[order.reason]) text = `${WAITS[order.reason]}. You may modify or cancel it meanwhile.`;
  setText(parts.note, text);
  show(parts.noteRow, Boolean(text));
  setText(parts.more, isEdited && !refusal ? " Enter sends, Esc drops." : "");
}

// --- modify and cancel ---

function beginEdit(order, body) {
  const { parts, row } = body;
  const each = market(order.symbol);
  dropInputs();
  edited = order.key;
  editedParts = parts;
  refusals.delete(order.key);
  const price = order.price ?? order.stopPrice;
  if (price) {
    parts.priceInput = editInput("Price", shown(price, each.places.price), order.key, body);
    row.querySelector(".px").append(parts.priceInput);
  }
  parts.quantityInput = editInput("Total quantity, fills included", shown(order.quantity ?? "0"), order.key, body);
  row.querySelector(".amount").after(parts.quantityInput);
  patch(body, order);
  const first = parts.priceInput ?? parts.quantityInput;
  first.focus();
  first.select();
}

function editInput(label, value, id, body) {
  const on = { keydown: (event) => editKeys(event, id, body), input: () => changed("orders") };
  const input = el("input", { inputmode: "decimal", "aria-label": label, autocomplete: "off", on });
  input.value = value;
  return input;
}

/** One row at a time has inputs. */
function dropInputs() {
  for (const name of ["priceInput", "quantityInput"]) {
    editedParts?.[name]?.remove();
    if (editedParts) editedParts[name] = null;
  }
  edited = editedParts = null;
}

function endEdit(body) {
  dropInputs();
  changed("orders");
  body.parts.edit.focus();
}

function changeOf(parts, order) {
  const change = {};
  const [price, quantity] = [parts.priceInput, parts.quantityInput].map((input) => plain(input?.value ?? ""));
  const field = order.price ? "price" : "stopPrice";
  if (price && order[field] && compare(price, order[field]) !== 0) change[field] = price;
  if (quantity && order.quantity && compare(quantity, order.quantity) !== 0) change.quantity = quantity;
  return change;
}

function editWords(parts, order) {
  const change = changeOf(parts, order);
  if (!Object.keys(change).length) return "Nothing is changed yet.";
  const isLess = change.quantity && compare(change.quantity, order.quantity) < 0;
  if (order.status === "SUSPENDED") return "A stop: it waits on at the new numbers.";
  return !change.price && isLess ? "Keeps its place in the queue." : "Goes to the back of the queue.";
}

function editKeys(event, id, body) {
  const order = store.orders.get(id);
  if (event.key === "Enter") {
    event.preventDefault();
    send(order, body);
  } else if (event.key === "Escape") {
    event.preventDefault();
    endEdit(body);
  } else if (["ArrowUp", "ArrowDown"].includes(event.key) && order) {
    event.preventDefault();
    const each = market(order.symbol);
    const isPrice = event.target === body.parts.priceInput;
    const times = (event.key === "ArrowUp" ? 1 : -1) * (event.shiftKey ? 10 : 1);
    const text = stepped(event.target.value, isPrice ? each.tickSize : each.lotSize, times, isPrice ? each.priceScale : each.quantityScale);
    event.target.value = shown(text, isPrice ? each.places.price : 0);
    changed("orders");
  }
}

async function send(order, body) {
  if (!order) return endEdit(body);
  const change = changeOf(body.parts, order);
  if (!Object.keys(change).length) return endEdit(body);
  try {
    await modify(order, change);
    happened(`Modified: ${order.side === "BUY" ? "buy" : "sell"} ${order.symbol}`);
    return endEdit(body);
  } catch (error) {
    refusals.set(order.key, error);
    alarm(`Not modified, ${error.code}. ${error.words}`);
    changed("orders");
    return undefined;
  }
}

function editOrSend(id, body) {
  if (id.startsWith("unknown ")) return sendAgain(id.slice(8)).catch((error) => alarm(`Refused, ${error.code}. ${error.words}`));
  const order = store.orders.get(id);
  if (!order) return undefined;
  return edited === id ? send(order, body) : beginEdit(order, body);
}

function dropOrCancel(id, body) {
  if (id.startsWith("unknown ")) return forgetUnknown(id.slice(8));
  const order = store.orders.get(id);
  if (edited === id) return endEdit(body);
  return order && cancel(order);
}
