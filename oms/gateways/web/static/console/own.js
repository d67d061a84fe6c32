// Own: the account's orders, fills and balances as the feed tells them, and what can be done to an
// order. Every request has an id made here before it is sent: if the outcome is unknown it is asked for
// by that id, and the same may be sent again without becoming a second one.

import { happened } from "./announce.js";
import { ofGroup, subscribe } from "./feed.js";
import { ask, request, silentText } from "./rest.js";
import { changed, groupOf, market, store, watch } from "./store.js";
import { add, shown } from "./units.js";

const FILLS_MAX = 300;
const OVER_MAX = 500;
const ASK_MS = [200, 500, 1000, 2000, 5000];
const ENDED = new Set(["FILLED", "CANCELED", "EXPIRED", "REJECTED"]);
const over = new Map(); // key -> seq: orders that ended lately, so that an older answer opens none again
const owned = new Map(); // group -> its balances, by asset
const begun = new Set(); // groups whose open orders are known
let ends = [];

/** By what an order is known: order ids count in each group of markets alone. */
const keyOf = (order) => order.key ?? `${order.symbol} ${order.orderId}`;

/** Requests whose outcome is unknown: id -> {body, state}. state: asking, absent. */
export const unknown = new Map();
/** Requests about an order that are not answered: key -> "canceling", "changing". */
export const pending = new Map();
/** Refusals of changes and cancels, shown by their order: key -> Refused. */
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
  watch(["account", "user", "groups"], () => {
    const wanted = store.user && store.groups.length ? store.account : "";
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
  for (const known of [unknown, pending, refusals, owned, begun]) known.clear();
  Object.assign(fills, { list: [], isKnown: false });
  changed("orders", "balances", "fills");
}

function channels(account) {
  return store.groups.flatMap((group) => [
    subscribe(ofGroup({ channel: "orders", account }, group), { begun: ordersBegun, told: ({ data }) => orderTold(data) }),
    subscribe(ofGroup({ channel: "fills", account }, group), { begun: () => {}, told: ({ data }) => fillTold(data) }),
    subscribe(ofGroup({ channel: "balances", account }, group), { begun: balancesBegun, told: balanceTold }),
  ]);
}

function ordersBegun({ event, orders, group = "" }) {
  if (event === "SNAPSHOT") {
    for (const [key, order] of store.orders) if (groupOf(order.symbol) === group) store.orders.delete(key);
    for (const order of orders) store.orders.set(keyOf(order), { ...order, key: keyOf(order) });
  }
  begun.add(group);
  store.isOrdersKnown = begun.size === store.groups.length;
  changed("orders");
}

/** How an order stands now: by the feed, or in an answer. What is older than what is known is left. */
function orderTold(order) {
  const key = keyOf(order);
  const known = store.orders.get(key);
  if (known && BigInt(order.seq) < BigInt(known.seq)) return;
  if (over.has(key) && BigInt(order.seq) <= over.get(key)) return;
  if (ENDED.has(order.status)) {
    over.set(key, BigInt(order.seq));
    if (over.size > OVER_MAX) over.delete(over.keys().next().value);
    store.orders.delete(key);
    pending.delete(key);
    refusals.delete(key);
    if (known && order.status !== "FILLED" && order.reason) {
      happened(`${nameOf(order)} ended: ${order.status.toLowerCase()}, ${order.reason}`);
    }
    changed("ended");
  } else {
    const placedAt = known?.placedAt ?? order.time;
    store.orders.set(key, { ...known, ...order, placedAt, key });
  }
  changed("orders");
}

function fillTold(fill) {
  if (fills.list.some((each) => each.executionId === fill.executionId && each.side === fill.side && each.symbol === fill.symbol)) return;
  fills.list.unshift(fill);
  if (fills.list.length > FILLS_MAX) fills.list.pop();
  const each = market(fill.symbol);
  const verb = fill.side === "BUY" ? "Bought" : "Sold";
  happened(`${verb} ${shown(fill.quantity)} ${each?.base ?? ""} at ${shown(fill.price, each?.places.price ?? 0)} (${fill.symbol})`);
  changed("fills");
}

function balancesBegun({ balances, group = "" }) {
  const assets = new Set([...(owned.get(group)?.keys() ?? []), ...balances.map((each) => each.asset)]);
  owned.set(group, new Map(balances.map((each) => [each.asset, each])));
  for (const asset of assets) addUp(asset);
  store.isBalancesKnown = owned.size === store.groups.length;
  changed("balances");
}

function balanceTold({ data, group = "" }) {
  owned.get(group).set(data.asset, data);
  addUp(data.asset);
  changed("balances");
}

/** What is owned of an asset, in the ledgers of all groups. */
function addUp(asset) {
  const found = [...owned.values()].map((each) => each.get(asset)).filter(Boolean);
  if (!found.length) store.balances.delete(asset);
  else store.balances.set(asset, found.reduce((sum, each) => ({ asset, available: add(sum.available, each.available), reserved: add(sum.reserved, each.reserved) })));
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

/** Change an order: {price, quantity, ...}. Rejects with Refused. An order is named by its own client
 * order id: several groups of markets may have one of the same order id. */
export function modify(order, change) {
  const body = { ...change, account: order.account, origClientOrderId: order.clientOrderId, clientOrderId: makeId("m") };
  return about(order, "changing", () => request("PATCH", "/order", { body }));
}

/** Cancel an order. One press; a refusal is shown by the order. */
export async function cancel(order) {
  const body = { account: order.account, origClientOrderId: order.clientOrderId, clientOrderId: makeId("x") };
  try {
    await about(order, "canceling", () => request("DELETE", "/order", { body }));
  } catch (error) {
    if (store.orders.has(keyOf(order))) refusals.set(keyOf(order), error);
    happened(`Not canceled: ${error.code}`);
    changed("orders");
  }
}

/** The same request, with its id, until its outcome is known: that is always safe. */
async function about(order, word, act) {
  pending.set(keyOf(order), word);
  refusals.delete(keyOf(order));
  changed("orders");
  try {
    for (let tries = 0; ; tries += 1) {
      try {
        const { told } = await act();
        if (told) orderTold(told);
        return told;
      } catch (error) {
        if (!error.isUnknown || tries === 10) throw error;
        pending.set(keyOf(order), "unknown, asking");
        changed("orders");
        await new Promise((resolve) => setTimeout(resolve, ASK_MS[Math.min(tries, ASK_MS.length - 1)]));
      }
    }
  } finally {
    pending.delete(keyOf(order));
    changed("orders");
  }
}

/** Cancel all open orders of the account, or those of a symbol. Resolves with how many. */
export async function cancelAll(symbol = null) {
  const body = { account: store.account, clientOrderId: makeId("xa"), ...(symbol ? { symbol } : {}) };
  const told = await ask("POST", "/order/cancel_all", { body });
  happened(`Canceled ${told.orders.length} orders${silentText(told)}`);
  return told.orders.length;
}
