// Symbol: the market that is shown: its book, trades and call, followed by the feed.

import { Book } from "./book.js";
import { subscribe } from "./feed.js";
import { keepSymbol } from "./markets.js";
import { ask } from "./rest.js";
import { changed, market, store, watch } from "./store.js";

const TRADES_MAX = 100;
const DEPTH_MS = 100;
let ends = [];
let followed = "";
let callsTold = 0;

/** Follow the market that the store names, whichever it is. */
export function followSymbol() {
  watch(["symbol", "markets"], follow);
}

function follow() {
  const each = market();
  if (!each || each.symbol === followed) return;
  const { symbol } = each;
  followed = symbol;
  keepSymbol(symbol);
  for (const end of ends) end();
  store.book = null;
  store.trades = [];
  store.auction = null;
  const book = new Book(each.priceScale, each.quantityScale);
  const depth = subscribe({ channel: "depth", symbol, interval: DEPTH_MS }, {
    begun(told) {
      book.begin(told);
      store.book = book;
      changed("book");
    },
    told(told) {
      if (!book.update(told)) depth.again();
      else if (told.bids.length || told.asks.length) changed("book");
    },
  });
  const trades = subscribe({ channel: "trades", symbol }, { begun: tradesBegun, told: tradeTold });
  const auction = subscribe({ channel: "auction", symbol }, {
    async begun() {
      callTold(null);
      // The channel tells what changes; this is how it stands. What was told meanwhile goes before.
      const before = callsTold;
      const now = await ask("GET", "/auction", { query: { symbol } }).catch(() => null);
      if (now && callsTold === before && followed === symbol) callTold(now);
    },
    told: ({ data }) => callTold(data),
  });
  ends = [depth.end, trades.end, auction.end];
  changed("book", "trades", "auction");
}

/** What an auction would trade; all null: there is no call. */
function callTold(data) {
  callsTold += 1;
  store.auction = data === null || data.volume === null ? null : data;
  changed("auction");
}

function tradesBegun({ event, trades }) {
  if (event !== "SNAPSHOT") return;
  store.trades = trades.slice(-TRADES_MAX).reverse();
  changed("trades");
}

function tradeTold({ event, data }) {
  const { trades } = store;
  const at = trades.findIndex((each) => each.executionId === data.executionId);
  if (event === "TRADE") {
    if (at < 0) trades.unshift(data);
    if (trades.length > TRADES_MAX) trades.pop();
  } else if (at >= 0 && event === "BUST") {
    trades[at] = { ...trades[at], isBusted: true };
  } else if (at >= 0) {
    trades[at] = { ...trades[at], price: data.price, quantity: data.quantity };
  }
  changed("trades");
}
