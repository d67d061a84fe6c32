// Queue: how much is shown ahead of each own order at its price. The feed tells no places in a queue,
// so it is asked again and again, while there is an order that rests and the page is live.

import { ask } from "./rest.js";
import { changed, isOld, store, watch } from "./store.js";

const AGAIN_MS = 2000;
const ORDERS_MAX = 200;
const RESTS = new Set(["NEW", "PARTIALLY_FILLED"]);
let ahead = new Map(); // orderId -> quantity, as text
let isAsking = false;

export function followQueue() {
  watch(["beat", "orders"], look, { every: AGAIN_MS, view: "trade" });
}

/** The quantity ahead of an order, as text; null: it does not rest, or what is known is old. */
export function aheadOf(order) {
  return isOld() || !RESTS.has(order.status) ? null : (ahead.get(order.orderId) ?? null);
}

async function look() {
  const { account } = store;
  if (isAsking || isOld() || ![...store.orders.values()].some(({ status }) => RESTS.has(status))) return;
  isAsking = true;
  try {
    const told = await ask("GET", "/orders/open", { query: { account, ahead: true, limit: ORDERS_MAX } });
    if (account !== store.account) return;
    ahead = new Map(told.orders.filter((each) => each.aheadQuantity !== undefined).map((each) => [each.orderId, each.aheadQuantity]));
  } catch {
    ahead = new Map(); // what is not known is not shown; the next beat asks again
  } finally {
    isAsking = false;
  }
  changed("queue");
}
