// Main: starts the console. First the market and its ladder, then the other panels, the chart last.

import { connect } from "./feed.js";
import { goOn } from "./login.js";
import { startPalette } from "./palette.js";
import { follow, go, onOpen } from "./route.js";
import { bind, listen } from "./shortcuts.js";
import { startStatus } from "./status.js";
import { startTop } from "./top.js";
import { startTrade } from "./trade.js";

onOpen("operate", async (root) => (await import("./operate.js")).open(root));
onOpen("keys", async (root) => (await import("./keys.js")).open(root));
connect();
startStatus();
startTop();
startPalette();
bind("G T", "trade", () => go({ view: "trade" }));
bind("G O", "operate", () => go({ view: "operate" }));
bind("G K", "keys and account", () => go({ view: "keys" }));
listen();
follow();
goOn();
await startTrade();
const { startPanels } = await import("./panels.js");
startPanels();
