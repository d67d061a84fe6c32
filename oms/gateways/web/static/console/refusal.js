// Refusal: why something was refused, where it arose: code, number, words, and buttons that repair.

import { alarm } from "./announce.js";
import { el } from "./dom.js";

// What the reasons of a trader's day mean, before the details that the exchange adds.
const MEANINGS = {
  PRICE_INVALID: "The price is not on the tick", QUANTITY_INVALID: "The quantity is not a whole number of lots",
  DISPLAY_INVALID: "Too little is shown", EXPIRE_TIME_INVALID: "The time is not in the future",
  TERMS_UNSUPPORTED: "These terms do not go with this order or market", OCO_INVALID: "There is no armed stop of this side to pair with",
  TOO_LATE: "Too late: the order has ended, or so much is filled", ALREADY_PENDING: "A cancel is on its way already",
  KILL_SWITCH: "An operator has stopped all trading", ACCOUNT_HALTED: "An operator has halted the account",
  REDUCING_ONLY: "Only what makes the position smaller is taken", SESSION_CLOSED: "Outside trading hours, and not to be held",
  MARKET_STATE: "Not taken in this phase of the market", ORDER_REPEATED: "The same order came a moment ago",
  QUANTITY_BELOW_MINIMUM: "The quantity is below the minimum", QUANTITY_EXCEEDS_MAXIMUM: "The quantity is above the maximum",
  PRICE_OUTSIDE_BAND: "The price is outside its band", FUNDS_INSUFFICIENT: "More than is available",
  INSUFFICIENT_LIQUIDITY: "The book has not so much", POST_ONLY: "It would trade at once", SELF_TRADE: "It would trade with an order of your own",
  MIN_QUANTITY: "The minimum cannot be filled at once", OPEN_ORDERS_EXCEED_MAXIMUM: "Too many open orders",
  POSITION_EXCEEDS_MAXIMUM: "The position could become too large", MESSAGES_EXCEED_MAXIMUM: "Too many messages: send it again later",
  CREDENTIALS_INVALID: "User name or password is wrong", CODE_INVALID: "The code is wrong, used, or too old",
  SESSION_REVOKED: "This login has ended: sign in again", TOKEN_INVALID: "This login has ended: sign in again",
  USER_EXISTS: "The name or the e-mail is taken", TOO_MANY_REQUESTS: "Too many requests: a moment, please", NO_ANSWER: "The exchange did not answer",
};

// Of these the details say the same again.
const WHOLE = new Set(["CREDENTIALS_INVALID", "CODE_INVALID", "SESSION_REVOKED", "TOKEN_INVALID", "NO_ANSWER", "TOO_MANY_REQUESTS"]);

/** What was refused, in words: the meaning, then the details. */
export function meaningOf(error) {
  const details = error.words ?? error.message;
  const meaning = MEANINGS[error.code];
  if (!meaning) return [sentence(details), ""];
  return [sentence(meaning), WHOLE.has(error.code) || details === error.code ? "" : details];
}

/** A block that shows refusals. block.show(error, repairs): repairs are [label, act]; block.done(text):
 * what was done instead; block.clear(). node: where it is. */
export function refusalBlock() {
  const node = el("div", { class: "refusal" });
  return {
    node,
    show(error, repairs = [], { isLoud = true } = {}) {
      const said = JSON.stringify([error.code, error.message, error.words, repairs.map(([label]) => label)]);
      if (node.said === said && !isLoud) return; // its buttons may have the focus
      node.said = said;
      node.className = "refusal";
      const [meaning, details] = meaningOf(error);
      const code = error.number ? `${error.code} ${error.number}` : error.code;
      node.replaceChildren(
        el("p", {}, el("code", { class: "code", text: code })),
        el("p", { text: meaning }),
        ...(details ? [el("p", { class: "details", text: details })] : []),
        ...(repairs.length
          ? [el("p", { class: "repairs" }, ...repairs.map(([label, act]) =>
              el("button", { class: "btn", type: "button", text: label, on: { click: act } })))]
          : []),
      );
      if (isLoud) alarm(`Refused, ${error.code}. ${meaning} ${details}`);
    },
    done(...words) {
      node.said = "";
      node.className = "refusal ok";
      node.replaceChildren(el("p", {}, ...words));
    },
    clear() {
      node.said = "";
      if (node.childNodes.length) node.replaceChildren();
    },
  };
}

/** With a capital and a full stop. */
export function sentence(text) {
  const whole = text ? text[0].toUpperCase() + text.slice(1) : "";
  return /[.!?…]$/.test(whole) ? whole : `${whole}.`;
}
