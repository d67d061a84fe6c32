// Panels: all of the trade view but its ladder, in the order in which they are needed; the chart last.

import { startBlotter } from "./blotter.js";
import { loadChart, startChart } from "./chart.js";
import { startFunds } from "./funds.js";
import { onPick } from "./ladder.js";
import { startMarketList } from "./market_list.js";
import { followOwn } from "./own.js";
import { followQueue } from "./queue.js";
import { startTape } from "./tape.js";
import { fill, startTicket } from "./ticket.js";

export function startPanels() {
  startTicket();
  onPick(fill);
  followOwn();
  followQueue();
  startTape();
  startMarketList();
  startBlotter();
  startFunds();
  startChart();
  setTimeout(loadChart, 0);
}
