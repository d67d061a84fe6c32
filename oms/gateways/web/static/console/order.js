// Order: what the form has become, as words for a person and as a body for POST /order. No nodes here.

import { add, compare, multiply, parse, quotientDown, shown, subtract, toText, toUnits } from "./units.js";

export const TYPES = [["LIMIT", "Limit"], ["MARKET", "Market"], ["STOP", "Stop"], ["STOP_LIMIT", "Stop limit"]];
export const FORCES = ["GTC", "DAY", "GTD", "IOC", "FOK"];
export const TERMS = {
  spend: ["Spend", "quoteQuantity"], postOnly: ["Post-only", "postOnly"], iceberg: ["Iceberg", "displayQuantity"],
  minimum: ["Min fill", "minQuantity"], worst: ["Worst price", "protectionPrice"], selfTrade: ["Own orders", "selfTrade"],
  hold: ["Hold", "hold"],
};
const IMMEDIATE = new Set(["IOC", "FOK"]);
const SCALE = 10_000n; // of basis points

/** What is typed, before anything is. Prices and quantities are text. */
export function newDraft() {
  return {
    side: "BUY", type: "LIMIT", force: "GTC", terms: new Set(), attach: "none",
    price: "", quantity: "", stopPrice: "", until: "", spend: "", iceberg: "", minimum: "", worst: "", ocoStop: "",
    postOnly: "REJECT", selfTrade: "cancel_newest",
  };
}

export const hasPrice = ({ type }) => type === "LIMIT" || type === "STOP_LIMIT";
export const hasStop = ({ type }) => type === "STOP" || type === "STOP_LIMIT";
const rests = ({ force }) => !IMMEDIATE.has(force);

/** Why the order cannot have this time in force; "": it can. kind: of the market's phase. */
export function whyNotForce(force, draft, kind) {
  if (IMMEDIATE.has(force) && hasStop(draft)) return "a stop order waits: GTC, DAY or GTD";
  if (IMMEDIATE.has(force) && kind !== "open" && kind !== "unknown") return "not while the market is in a call, halted or closed";
  return "";
}

/** Why the order cannot have this term; "": it can. */
export function whyNotTerm(term, draft, kind) {
  const { type, terms } = draft;
  const isResting = type === "LIMIT" && rests(draft);
  const isCall = kind !== "open" && kind !== "unknown";
  switch (term) {
    case "postOnly":
      if (!isResting) return "of a limit order that may rest";
      return terms.has("minimum") ? "not with a minimum fill" : "";
    case "iceberg":
      return isResting ? "" : "of a limit order that may rest";
    case "minimum":
      if (hasStop(draft)) return "not of a stop order";
      if (terms.has("postOnly")) return "not with post-only";
      return isCall ? "not in a call" : "";
    case "worst":
      return type === "MARKET" || type === "STOP" ? "" : "of a market or stop order";
    case "spend":
      if (type !== "MARKET" || draft.side !== "BUY") return "of a market order that buys";
      return isCall ? "not in a call" : "";
    case "hold":
      return type === "MARKET" || !rests(draft) || terms.has("minimum") ? "of an order that may wait for the open" : "";
    default:
      return "";
  }
}

export function whyNotOco(draft) {
  return draft.type === "LIMIT" && rests(draft) ? "" : "of a limit order that may rest";
}

/** The number as the API takes it; "" where it is none. */
export function plain(text) {
  const found = parse(text);
  return found ? toText(found.units, found.scale) : "";
}

/** The body of POST /order for what is typed. */
export function bodyOf(draft, symbol) {
  const { type, terms } = draft;
  const body = { symbol, side: draft.side, type, timeInForce: draft.force };
  if (terms.has("spend")) body.quoteQuantity = plain(draft.spend);
  else body.quantity = plain(draft.quantity);
  if (hasPrice(draft)) body.price = plain(draft.price);
  if (hasStop(draft)) body.stopPrice = plain(draft.stopPrice);
  if (draft.force === "GTD") body.expireTime = nanosecondsOf(draft.until) ?? "0";
  if (terms.has("postOnly")) body.postOnly = draft.postOnly;
  if (terms.has("iceberg")) body.displayQuantity = plain(draft.iceberg);
  if (terms.has("minimum")) body.minQuantity = plain(draft.minimum);
  if (terms.has("worst")) body.protectionPrice = plain(draft.worst);
  if (terms.has("selfTrade")) body.selfTrade = draft.selfTrade;
  if (terms.has("hold")) body.hold = true;
  return body;
}

/** The stop of an OCO pair, which is placed first. */
export function stopBodyOf(draft, symbol) {
  return { symbol, side: draft.side, type: "STOP", timeInForce: "GTC", quantity: plain(draft.quantity), stopPrice: plain(draft.ocoStop) };
}

/** "2026-11-27 17:00" or with T, UTC -> nanoseconds as text; null: it is no time. */
function nanosecondsOf(text) {
  const found = /^(\d{4}-\d{2}-\d{2})[ T](\d{2}:\d{2})(:\d{2})?$/.exec(text.trim());
  const at = found ? Date.parse(`${found[1]}T${found[2]}${found[3] ?? ":00"}Z`) : NaN;
  return Number.isNaN(at) ? null : `${BigInt(at) * 1_000_000n}`;
}

/** The first field that is not said yet: {field, words}; null: the order is whole. */
export function missing(draft) {
  const wanted = [];
  if (hasStop(draft)) wanted.push(["stopPrice", "the price at which it is triggered"]);
  if (hasPrice(draft)) wanted.push(["price", "a price"]);
  if (draft.terms.has("spend")) wanted.push(["spend", "how much to spend"]);
  else wanted.push(["quantity", "a quantity"]);
  if (draft.terms.has("iceberg")) wanted.push(["iceberg", "how much to show"]);
  if (draft.terms.has("minimum")) wanted.push(["minimum", "the least to fill at once"]);
  if (draft.terms.has("worst")) wanted.push(["worst", "the worst price"]);
  if (draft.attach === "oco") wanted.push(["ocoStop", "the stop's price"]);
  const found = wanted.find(([field]) => !parse(draft[field]));
  if (found) return { field: found[0], words: found[1] };
  if (draft.force === "GTD" && nanosecondsOf(draft.until) === null) return { field: "until", words: "until when, as 2026-11-27 17:00" };
  return null;
}

const FORCE_WORDS = {
  GTC: "stays until you cancel it", DAY: "stays until the session ends", IOC: "what does not fill at once is canceled",
  FOK: "fills at once and whole, or not at all",
};

/** One sentence that reads the order back: texts and {b: bold}. */
export function sentenceOf(draft, each, kind) {
  const buys = draft.side === "BUY";
  const said = (text, places) => (parse(text) ? shown(plain(text), places) : "…");
  const price = (text) => ({ b: said(text, each.places.price) });
  const amount = draft.terms.has("spend") ? `${said(draft.spend, 0)} ${each.quote} worth of ${each.base}` : `${said(draft.quantity, 0)} ${each.base}`;
  const verb = { b: `${buys ? "Buy" : "Sell"} ${amount}` };
  const parts = [];
  if (hasStop(draft)) parts.push("When a trade reaches ", price(draft.stopPrice), ", ", { b: `${buys ? "buy" : "sell"} ${amount}` });
  else parts.push(verb);
  if (hasPrice(draft)) parts.push(" at ", price(draft.price), " or better");
  else parts.push(draft.terms.has("worst") ? " at the market, no worse than " : " at the market");
  if (draft.terms.has("worst")) parts.push(price(draft.worst));
  if (draft.type === "MARKET") parts.push(draft.force === "FOK" ? "; whole, or not at all." : "; what the book has not is canceled.");
  else if (draft.force === "GTD") parts.push(`; stays until ${draft.until || "…"} UTC.`);
  else parts.push(`; ${FORCE_WORDS[draft.force]}.`);
  if (draft.terms.has("postOnly")) parts.push(draft.postOnly === "SLIDE" ? " Never takes: it is moved a tick away." : " Never takes: refused if it would.");
  if (draft.terms.has("iceberg")) parts.push(` Shows ${said(draft.iceberg, 0)} at a time.`);
  if (draft.terms.has("minimum")) parts.push(` At least ${said(draft.minimum, 0)} at once, or nothing.`);
  if (draft.terms.has("hold") && kind === "open") parts.push(" Waits for the open if trading stops.");
  if (draft.attach === "oco") parts.push(" With a stop at ", price(draft.ocoStop), ": one ends the other.");
  if (kind === "call") parts.push(" ", { b: "Trades at the uncross" }, ", at the auction's one price.");
  if (kind === "halted" || kind === "closed") {
    parts.push(" ", { b: `The market is ${kind}` }, draft.terms.has("hold") ? ": it waits until trading goes on." : ": it is refused unless it is held.");
  }
  return parts;
}

/** What the button says. */
export function verbOf(draft, each) {
  const buys = draft.side === "BUY" ? "Buy" : "Sell";
  const amount = draft.terms.has("spend") ? parse(draft.spend) && `for ${shown(plain(draft.spend))} ${each.quote}` : parse(draft.quantity) && `${shown(plain(draft.quantity))} ${each.base}`;
  if (!amount) return `${buys} ${each.base}`;
  const at = hasPrice(draft) ? draft.price : hasStop(draft) ? draft.stopPrice : "";
  return `${buys} ${amount}${parse(at) ? ` at ${shown(plain(at), each.places.price)}` : ""}`;
}

/** The most that a part of what is available buys or sells, in whole lots, as text; null: unknown.
 * part: per cent. */
export function affordable(draft, each, book, available, part) {
  const share = multiply(available, toText(BigInt(part), 2));
  if (share === null) return null;
  if (draft.side === "SELL") return quotientDown(share, "1", each.lotSize);
  const fee = BigInt(Math.max(0, each.takerFeeBps, each.makerFeeBps));
  const limit = hasPrice(draft) ? plain(draft.price) : draft.type === "STOP" ? plain(draft.stopPrice) : "";
  if (limit) return quotientDown(share, multiply(limit, toText(SCALE + fee, 4)), each.lotSize);
  return walked(share, fee, each, book);
}

/** What a market order buys for so much, level by level. */
function walked(money, fee, each, book) {
  const asks = book?.levels("asks") ?? [];
  if (!asks.length) return null;
  let left = money;
  let total = "0";
  for (const [priceUnits, lots] of asks) {
    const price = multiply(toText(priceUnits, each.priceScale), toText(SCALE + fee, 4));
    const here = toText(lots, each.quantityScale);
    const cost = multiply(price, here);
    if (compare(cost, left) > 0) return add(total, quotientDown(left, price, each.lotSize));
    total = add(total, here);
    left = subtract(left, cost);
  }
  return total;
}

/** What the order is worth in the quote asset: price times quantity, or what walking the book gives;
 * null: unknown, or the book has not so much. */
export function worthOf(draft, each, book) {
  if (draft.terms.has("spend")) return plain(draft.spend) || null;
  const quantity = plain(draft.quantity);
  if (!quantity) return null;
  if (hasPrice(draft)) return plain(draft.price) ? multiply(plain(draft.price), quantity) : null;
  if (draft.type === "STOP") return plain(draft.stopPrice) ? multiply(plain(draft.stopPrice), quantity) : null;
  let left = toUnits(quantity, each.quantityScale);
  let worth = 0n;
  for (const [price, lots] of book?.levels(draft.side === "BUY" ? "asks" : "bids") ?? []) {
    if (left === null || left <= 0n) break;
    const here = lots < left ? lots : left;
    worth += price * here;
    left -= here;
  }
  return left === 0n ? toText(worth, each.priceScale + each.quantityScale) : null;
}

/** The most that the fee may be, for people: what a buy reserves beyond its worth, else by the higher
 * rate. told: of the dry run. */
export function feeOf(draft, each, worth, told) {
  const rate = BigInt(Math.max(each.takerFeeBps, each.makerFeeBps, 0));
  if (rate === 0n) return "0";
  if (worth === null) return null;
  if (draft.side === "BUY" && hasPrice(draft) && told) return shown(subtract(told.reserved, worth));
  return shown(multiply(worth, toText(rate, 4)));
}

/** What the limits of the account still allow before this order. room: of the dry run. */
export function roomWords(room, each) {
  if (!room) return "no limit";
  const { quantity, value, orders } = room;
  const parts = [quantity !== null && `${shown(quantity)} ${each.base}`, value !== null && `${shown(value)} ${each.quote}`,
    orders !== null && `${orders} ${orders === 1 ? "order" : "orders"}`];
  return parts.filter(Boolean).join(", ");
}

/** A number moved by so many steps, never below one step. */
export function stepped(text, step, times, scale) {
  const unit = toUnits(step, scale);
  const now = toUnits(plain(text) || "0", scale) ?? 0n;
  const onGrid = (now / unit) * unit;
  const next = onGrid + unit * BigInt(times);
  return toText(next < unit ? unit : next, scale);
}

// --- what repairs a refusal ---

const FIELD_OF = {
  PRICE_INVALID: "price", PRICE_OUTSIDE_BAND: "price", POST_ONLY: "price", QUANTITY_INVALID: "quantity", FUNDS_INSUFFICIENT: "quantity",
  QUANTITY_BELOW_MINIMUM: "quantity", QUANTITY_EXCEEDS_MAXIMUM: "quantity", NOTIONAL_BELOW_MINIMUM: "quantity",
  NOTIONAL_EXCEEDS_MAXIMUM: "quantity", DISPLAY_INVALID: "iceberg", EXPIRE_TIME_INVALID: "until", MIN_QUANTITY: "minimum",
  OCO_INVALID: "ocoStop", POSITION_EXCEEDS_MAXIMUM: "quantity", INSUFFICIENT_LIQUIDITY: "quantity",
};
const API_FIELDS = {
  price: "price", quantity: "quantity", stopPrice: "stopPrice", stop_price: "stopPrice", displayQuantity: "iceberg", display_quantity: "iceberg",
  minQuantity: "minimum", min_quantity: "minimum", quoteQuantity: "spend", quote_quantity: "spend", protectionPrice: "worst",
  protection_price: "worst", expireTime: "until", ocoWith: "ocoStop",
};

/** The field that a refusal is about; "": none. */
export function fieldOf(error, draft) {
  const named = error.field ?? /^(\w+):/.exec(error.words)?.[1];
  if (API_FIELDS[named]) return API_FIELDS[named];
  const found = FIELD_OF[error.code] ?? "";
  if (found === "price" && !hasPrice(draft)) return hasStop(draft) ? "stopPrice" : "";
  return found === "quantity" && draft.terms.has("spend") ? "spend" : found;
}

/** Buttons that repair: [label, {field: value, ...}]. */
export function repairsOf(error, draft, each, book, available) {
  const field = fieldOf(error, draft);
  const priced = (text) => shown(text, each.places.price);
  switch (error.code) {
    case "PRICE_INVALID":
      return onGrid(draft[field], tickAt(each, draft[field]), each.priceScale).map((text) => [priced(text), { [field]: priced(text) }]);
    case "QUANTITY_INVALID":
      return onGrid(draft[field], each.lotSize, each.quantityScale).map((text) => [shown(text), { [field]: shown(text) }]);
    case "POST_ONLY": {
      const text = besideBest(draft, each, book);
      return text ? [[`Price it at ${priced(text)}`, { price: priced(text) }]] : [];
    }
    case "FUNDS_INSUFFICIENT": {
      const most = available ? affordable(draft, each, book, available, 100) : null;
      return most && compare(most, "0") > 0 && !draft.terms.has("spend") ? [[`Use ${shown(most)}`, { quantity: shown(most) }]] : [];
    }
    case "QUANTITY_BELOW_MINIMUM":
      return each.filters.minQuantity ? [[`Use ${shown(each.filters.minQuantity)}`, { quantity: shown(each.filters.minQuantity) }]] : [];
    case "QUANTITY_EXCEEDS_MAXIMUM":
      return each.filters.maxQuantity ? [[`Use ${shown(each.filters.maxQuantity)}`, { quantity: shown(each.filters.maxQuantity) }]] : [];
    case "MARKET_STATE":
      if (!whyNotTerm("hold", draft, "open") && !draft.terms.has("hold")) return [["Hold it until trading goes on", { term: "hold" }]];
    // falls through: of an order that cannot wait
    case "INSUFFICIENT_LIQUIDITY":
      return draft.type === "MARKET" ? [["Use a limit order", { type: "LIMIT" }]] : draft.force !== "GTC" ? [["Use GTC", { force: "GTC" }]] : [];
    case "SESSION_CLOSED":
      return whyNotTerm("hold", draft, "open") ? [] : [["Hold it for the open", { term: "hold" }]];
    default:
      return [];
  }
}

function tickAt(each, text) {
  const rows = each.tickTable.filter((row) => compare(row.from, plain(text) || "0") <= 0);
  return rows.at(-1)?.tickSize ?? each.tickSize;
}

/** The multiples of the step below and above a number. */
function onGrid(text, step, scale) {
  const found = parse(text);
  if (!found || found.units <= 0n) return [step];
  const finest = Math.max(scale, found.scale);
  const unit = toUnits(step, finest);
  const value = toUnits(text, finest);
  const down = (value / unit) * unit;
  return [down, down + unit].filter((each) => each > 0n).map((each) => toText(each, finest));
}

function besideBest(draft, each, book) {
  const buys = draft.side === "BUY";
  const best = book?.best(buys ? "asks" : "bids") ?? null;
  if (best === null) return null;
  const tick = toUnits(tickAt(each, toText(best, each.priceScale)), each.priceScale);
  return toText(buys ? best - tick : best + tick, each.priceScale);
}
