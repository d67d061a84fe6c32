// Trade: the view begins with the market and its ladder; the other panels come behind it.

import { startLadder } from "./ladder.js";
import { startMarkets } from "./markets.js";
import { store, watch } from "./store.js";
import { followSymbol } from "./symbol.js";

const LADDER_MS_MAX = 1500; // then the other panels come without it: the exchange may be down

/** Resolves when the ladder has painted, or waited long enough. */
export function startTrade() {
  startMarkets();
  followSymbol();
  startLadder();
  return new Promise((resolve) => {
    const stop = watch(["book"], () => {
      if (!store.book) return;
      stop();
      performance.mark("first ladder");
      resolve();
    });
    setTimeout(resolve, LADDER_MS_MAX);
  });
}
