// Trade: the view: its panels, and in which order they begin: ladder, form, chart last.

import { startBlotter } from "./blotter.js";
import { loadChart, startChart } from "./chart.js";
import { startFunds } from "./funds.js";
import { startLadder } from "./ladder.js";
import { startMarketList } from "./market_list.js";
import { startMarkets } from "./markets.js";
import { followOwn } from "./own.js";
import { store, watch } from "./store.js";
import { followSymbol } from "./symbol.js";
import { startTape } from "./tape.js";
import { fill, startTicket } from "./ticket.js";

export function startTrade() {
  startMarkets();
  followSymbol();
  startLadder(fill);
  startTicket();
  followOwn();
  startMarketList();
  startTape();
  startBlotter();
  startFunds();
  startChart();
  const stop = watch(["book"], () => {
    if (!store.book) return;
    stop();
    performance.mark("first ladder");
    setTimeout(loadChart, 0);
  });
}
