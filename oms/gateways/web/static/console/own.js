// Own: the account's orders, fills and balances as the feed tells them, and what can be done to an
// order. Every request has an id made here before it is sent: if the outcome is unknown it is asked for
// by that id, and the same may be sent again without becoming a second one.

import { happened } from "./announce.js";
import { subscribe } from "./feed.js";
import { ask, request } from "./rest.js";
import { changed, market, store, watch } from "./store.js";
import { shown } from "./units.js";

const FILLS_MAX = 300;
const OVER_MAX = 500;
const ASK_MS = [200, 500, 1000, 2000, 5000];
const ENDED = new Set(["FILLED", "CANCELED", "EXPIRED", "REJECTED"]);
const over = new Map(); // orderId -> seq: orders that ended lately, so that an older answer opens none again
let ends = [];

/** Requests whose outcome is unknown: id -> {body, state}. state: asking, absent. */
export const unknown = new Map();
/** Requests about an order that are not answered: orderId -> "canceling", "changing". */
export const pending = new Map();
/** Refusals of changes and cancels, shown by their order: orderId -> Refused. */
export const refusals = new Map();
/** Fills, newest first; `isKnown`: those of before were read. */
export const fills = { list: [], isKnown: false };

/** An id that nobody else has. */
export function makeId(kind = "c") {
  const bytes = crypto.getRandomValues(new Uint8Array(10));
  return `${kind}-${[...bytes].map((byte) => byte.toString(16).padStart(2, "0")).join("")}`;
}

/** Follow the account that the store names. */
export function followOwn() {
  let account = "";
  watch(["account", "user"], () => {
    const wanted = store.user ? store.account : "";
    if (wanted === account) return;
    account = wanted;
    for (const end of ends) end();
    ends = [];
    forget();
    if (account) ends = channels(account).map(({ end }) => end);
  });
}

function forget() {
  store.orders.clear();
  store.balances.clear();
  store.isOrdersKnown = false;
  store.isBalancesKnown = false;
  for (const map of [unknown, pending, refusals]) map.clear();
  Object.assign(fills, { list: [], isKnown: false });
  changed("orders", "balances", "fills");
}

function channels(account) {
  return [
    subscribe({ channel: "orders", account }, { begun: ordersBegun, told: ({ data }) => orderTold(data) }),
    subscribe({ channel: "fills", account }, { begun: () => {}, told: ({ data }) => fillTold(data) }),
    subscribe({ channel: "balances", account }, { begun: balancesBegun, told: ({ data }) => balanceTold(data) }),
  ];
}

function ordersBegun({ event, orders }) {
  if (event === "SNAPSHOT") {
    store.orders.clear();
    for (const order of orders) store.orders.set(order.orderId, order);
  }
  store.isOrdersKnown = true;
  changed("orders");
}

/** How an order stands now: by the feed, or in an answer. What is older than what is known is left. */
function orderTold(order) {
  const known = store.orders.get(order.orderId);
  if (known && BigInt(order.seq) < BigInt(known.seq)) return;
  if (over.has(order.orderId) && BigInt(order.seq) <= over.get(order.orderId)) return;
  if (ENDED.has(order.status)) {
    over.set(order.orderId, BigInt(order.seq));
    if (over.size > OVER_MAX) over.delete(over.keys().next().value);
    store.orders.delete(order.orderId);
    pending.delete(order.orderId);
    refusals.delete(order.orderId);
    if (known && order.status !== "FILLED" && order.reason) {
      happened(`${nameOf(order)} ended: ${order.status.toLowerCase()}, ${order.reason}`);
    }
    changed("ended");
  } else {
    const placedAt = known?.placedAt ?? order.time;
    store.orders.set(order.orderId, { ...known, ...order, placedAt });
  }
  changed("orders");
}

function fillTold(fill) {
  if (fills.list.some((each) => each.executionId === fill.executionId && each.side === fill.side)) return;
  fills.list.unshift(fill);
  if (fills.list.length > FILLS_MAX) fills.list.pop();
  const each = market(fill.symbol);
  const verb = fill.side === "BUY" ? "Bought" : "Sold";
  happened(`${verb} ${shown(fill.quantity)} ${each?.base ?? ""} at ${shown(fill.price, each?.places.price ?? 0)} (${fill.symbol})`);
  changed("fills");
}

function balancesBegun({ balances }) {
  store.balances.clear();
  for (const each of balances) store.balances.set(each.asset, each);
  store.isBalancesKnown = true;
  changed("balances");
}

function balanceTold(balance) {
  store.balances.set(balance.asset, balance);
  changed("balances");
}

/** An order in a few words. */
export function nameOf(order) {
  return `${order.side === "BUY" ? "Buy" : "Sell"} ${shown(order.quantity ?? order.quoteQuantity ?? "0")} ${order.symbol}`;
}

// --- what can be done ---

/** Place an order. Resolves with the order as it stands; {order: null} if it turned out that it never
 * arrived. Rejects with Refused. */
export async function place(body) {
  return sendOrder({ clientOrderId: makeId(), account: store.account, ...body });
}

/** Send an order whose outcome was unknown again, with its id. */
export function sendAgain(id) {
  const { body } = unknown.get(id);
  unknown.delete(id);
  changed("orders");
  return sendOrder(body);
}

export function forgetUnknown(id) {
  unknown.delete(id);
  changed("orders");
}

async function sendOrder(body) {
  const id = body.clientOrderId;
  try {
    const told = await ask("POST", "/order", { body });
    orderTold(told);
    return told;
  } catch (error) {
    if (!error.isUnknown) throw error;
    unknown.set(id, { body, state: "asking" });
    changed("orders");
    happened(`Unknown whether the order arrived: asking for ${id}`);
    return whatBecameOf(id, body.account);
  }
}

/** Asked by the id until it can be said. It waits behind every request that came before it, so what is
 * not there then never comes. */
async function whatBecameOf(id, account) {
  for (let tries = 0; unknown.get(id)?.state === "asking"; tries += 1) {
    await new Promise((resolve) => setTimeout(resolve, ASK_MS[Math.min(tries, ASK_MS.length - 1)]));
    try {
      const told = await ask("GET", "/order", { query: { clientOrderId: id, account } });
      unknown.delete(id);
      orderTold(told);
      changed("orders");
      return told;
    } catch (error) {
      if (error.status === 404) {
        unknown.get(id).state = "absent";
        changed("orders");
        happened(`The order ${id} never arrived`);
      } else if (error.status === 401) break;
    }
  }
  return { order: null };
}

/** Change an order: {price, quantity, ...}. Rejects with Refused. */
export function modify(order, change) {
  const body = { ...change, account: order.account, clientOrderId: makeId("m") };
  return about(order, "changing", () => request("PATCH", `/orders/${order.orderId}`, { body }));
}

/** Cancel an order. One press; a refusal is shown by the order. */
export async function cancel(order) {
  const body = { account: order.account, clientOrderId: makeId("x") };
  try {
    await about(order, "canceling", () => request("DELETE", `/orders/${order.orderId}`, { body }));
  } catch (error) {
    if (store.orders.has(order.orderId)) refusals.set(order.orderId, error);
    happened(`Not canceled: ${error.code}`);
    changed("orders");
  }
}

/** The same request, with its id, until its outcome is known: that is always safe. */
async function about(order, word, act) {
  pending.set(order.orderId, word);
  refusals.delete(order.orderId);
  changed("orders");
  try {
    for (let tries = 0; ; tries += 1) {
      try {
        const { told } = await act();
        if (told) orderTold(told);
        return told;
      } catch (error) {
        if (!error.isUnknown || tries === 10) throw error;
        pending.set(order.orderId, "unknown, asking");
        changed("orders");
        await new Promise((resolve) => setTimeout(resolve, ASK_MS[Math.min(tries, ASK_MS.length - 1)]));
      }
    }
  } finally {
    pending.delete(order.orderId);
    changed("orders");
  }
}

/** Cancel all open orders of the account, or those of a symbol. Resolves with how many. */
export async function cancelAll(symbol = null) {
  const body = { account: store.account, clientOrderId: makeId("xa"), ...(symbol ? { symbol } : {}) };
  const told = await ask("POST", "/order/cancel_all", { body });
  happened(`Canceled ${told.orders.length} orders`);
  return told.orders.length;
}
