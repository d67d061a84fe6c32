"""The console: how soon it shows a book, how smooth it stays, what it keeps, what it costs orders.

Claimed: the first ladder in under 1 s on a cold cache; no task over 50 ms while three markets move
ten times a second; the page's memory flat; 20 open consoles slow the order path by at most 10 %;
the whole console at most 400 kB without the chart's file.

Measured: `serve` as a process of its own, with headless Chromium (extra `browser`; without one the
script says so and measures nothing). The first ladder: from the navigation's start to the frame
with a quantity in the ladder, in browser contexts that have cached nothing, the median of --loads.
Smoothness: gaps between animation frames, and long tasks of the page's main thread (as
PerformanceObserver tells them, from 50 ms on), while another process places orders in each market
ten times a second. Memory: the heap after a garbage collection each minute, of --minutes; the
growth is from the first minute on.
The order path: orders of 16 connections with and without 20 consoles, in turns, --rounds of each.
A console there is a WebSocket that subscribes to what the page does and throws away what it hears,
in a process of its own: 20 browsers would measure the machine's cores, not the daemon. Where other
work shares the cores, trust the daemon's processor time for each order, cpu_per_order_ratio.
"""

import argparse
import asyncio
import json
import multiprocessing
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection
from pathlib import Path

from common import ROOT, TREE, Claim, Figures, parser, percentile, report, skip
from web_clients import TEXT, masked
from web_latency import CONFIG, SYMBOL, WAIT_S, Daemon, Listener, trade, without_listeners

sys.path.append(str(ROOT))
CLAIMS = [
    Claim("first_ladder_ms", "<=", 1_000), Claim("task_ms_max", "<=", 50),
    Claim("heap_growth_kb_per_minute", "<=", 100), Claim("orders_ratio", ">=", 0.9),
    Claim("console_kb", "<=", 400),
]  # fmt: skip
MARKETS = (SYMBOL, "ETH_USD", "SOL_USD")
MORE = "".join(
    f"[instrument {symbol}]\ntick_size = 0.01\nlot_size = 0.0001\n" for symbol in MARKETS[1:]
)
UPDATE_S = 0.1  # each market changes so often
STATIC = TREE / "oms" / "gateways" / "web" / "static" / "console"
HEARD: list[dict[str, object]] = [  # what the page subscribes to: see static/console
    *({"channel": "ticker", "symbol": symbol, "interval": 250} for symbol in MARKETS),
    {"channel": "session"}, {"channel": "markets"},
    {"channel": "trades", "symbol": SYMBOL}, {"channel": "auction", "symbol": SYMBOL},
    {"channel": "candles", "symbol": SYMBOL, "width": "1m"},
    {"channel": "depth", "symbol": SYMBOL, "interval": 100},
]  # fmt: skip
WATCH = """
performance.gaps = [];
performance.tasks = [];
new PerformanceObserver((list) => {
  for (const task of list.getEntries()) performance.tasks.push(task.duration);
}).observe({ type: "longtask", buffered: true });
let last = 0;
function frame(now) {
  if (!performance.gaps) return;  // what is measured from now on is the page alone
  if (last) performance.gaps.push(now - last);
  last = now;
  const cells = performance.firstLadder ? [] : document.querySelectorAll("#ladder td:is(.a, .b)");
  if ([...cells].some((cell) => cell.textContent.trim())) performance.firstLadder = now;
  requestAnimationFrame(frame);
}
requestAnimationFrame(frame);
"""


# --- markets that move ---


def move(port: int, token: str, way: Connection) -> None:
    """A process: says when each book has levels; then changes each market ten times a second."""

    async def keep_moving() -> None:
        sessions = [await Orders.open(port, token) for _ in MARKETS]
        for session, symbol in zip(sessions, MARKETS, strict=True):
            for n in range(10):
                await session.place(symbol, "BUY", 99.9 - n / 100)
                await session.place(symbol, "SELL", 100.1 + n / 100)
        way.send("moving")
        number = 0
        while not way.poll():
            number += 1
            due = time.monotonic() + UPDATE_S
            for session, symbol in zip(sessions, MARKETS, strict=True):
                side = ("BUY", "SELL")[number & 1]  # each second one trades with the one before
                await session.place(symbol, side, 100 + (number % 7 - 3) / 100)
            await asyncio.sleep(max(0.0, due - time.monotonic()))

    asyncio.run(keep_moving())


class Orders:
    """One keep-alive connection that places orders."""

    def __init__(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, token: str
    ) -> None:  # fmt: skip
        self._reader, self._writer, self._token = reader, writer, token

    @classmethod
    async def open(cls, port: int, token: str) -> "Orders":
        return cls(*await asyncio.open_connection("127.0.0.1", port), token)

    async def place(self, symbol: str, side: str, price: float) -> None:
        body = (
            f'{{"symbol":"{symbol}","side":"{side}","price":"{price:.2f}","quantity":"0.5"}}'
        ).encode()
        self._writer.write(
            b"POST /order HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-type: application/json\r\n"
            b"authorization: Bearer %s\r\ncontent-length: %d\r\n\r\n%s"
            % (self._token.encode(), len(body), body)
        )
        told = (await self._reader.readuntil(b"\r\n\r\n")).lower()
        await self._reader.readexactly(
            int(told.split(b"content-length: ")[1].split(b"\r\n")[0])
        )  # fmt: skip


@contextmanager
def moving(daemon: Daemon) -> Iterator[None]:
    here, there = multiprocessing.Pipe()
    process = multiprocessing.get_context("spawn").Process(
        target=move, args=(daemon.port, daemon.token, there)
    )
    process.start()
    try:
        here.recv()
        yield
    finally:
        here.send("enough")
        process.join(WAIT_S)
        process.kill()


# --- the page ---


def page_figures(daemon: Daemon, args: argparse.Namespace) -> Figures:
    from playwright.sync_api import sync_playwright

    from tests.console.browsing import launched

    url = f"http://127.0.0.1:{daemon.port}/"
    with sync_playwright() as driver, moving(daemon):
        browser = launched(driver)
        first = []
        for _ in range(args.loads):
            context = browser.new_context(viewport={"width": 1440, "height": 900})
            context.add_init_script(WATCH)
            page = context.new_page()
            page.goto(url, wait_until="commit")
            page.wait_for_function("() => performance.firstLadder", polling=50)
            first.append(float(page.evaluate("performance.firstLadder")))
            context.close()
        context = browser.new_context(viewport={"width": 1440, "height": 900})
        context.add_init_script(WATCH)
        page = context.new_page()
        page.goto(url)
        page.wait_for_function("() => performance.firstLadder", polling=50)
        page.wait_for_timeout(3_000)  # the chart, which is loaded last, is there
        heap = context.new_cdp_session(page)
        page.evaluate("performance.gaps.length = performance.tasks.length = 0")
        page.wait_for_timeout(1e3 * args.seconds)
        gaps, tasks = page.evaluate("[performance.gaps, performance.tasks]")
        page.evaluate("performance.gaps = null")
        used = []
        for n in range(round(60 * args.minutes / args.look_s) + 1):
            if n:
                page.wait_for_timeout(1e3 * args.look_s)
            heap.send("HeapProfiler.collectGarbage")
            used.append(heap.send("Runtime.getHeapUsage")["usedSize"] / 1_024)
        browser.close()
    settled = used[1:] if len(used) > 2 else used
    minutes = max(1, len(settled) - 1) * args.look_s / 60
    figures: Figures = {
        "first_ladder_ms": statistics.median(first), "first_ladder_ms_max": max(first),
        "frame_ms_p99": percentile(sorted(gaps), 99.0), "frame_ms_max": max(gaps),
        "task_ms_max": max(tasks, default=0.0), "tasks_over_50_ms": len(tasks),
        "heap_mb": used[-1] / 1_024,
        "heap_growth_kb_per_minute": (settled[-1] - settled[0]) / minutes,
    }  # fmt: skip
    return figures


# --- the order path beside open consoles ---


class Console(Listener):
    """One WebSocket that subscribes to all that the page does."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        said = (json.dumps({"op": "subscribe", **each}).encode() for each in HEARD)
        self._subscribe = b"".join(masked(TEXT, text) for text in said)


def look_on(port: int, count: int, way: Connection) -> None:
    """A process of so many consoles: says when all of them hear, and ends when it is told to."""

    async def all_of_them() -> None:
        loop, made = asyncio.get_running_loop(), []
        for _ in range(count):
            made.append(await loop.create_connection(lambda: Console(port), "127.0.0.1", port))
            await asyncio.wait_for(made[-1][1].begun, WAIT_S)
        way.send("listening")
        await loop.run_in_executor(None, way.recv)
        way.send(Listener.told)

    asyncio.run(all_of_them())


def order_figures(daemon: Daemon, args: argparse.Namespace) -> Figures:
    asyncio.run(trade(daemon, args.connections, 0, args.seconds / 4))  # it is warm by then
    ratios, costs, told = list[float](), list[float](), 0
    for n in range(args.rounds):
        first = (2 * n + 2) * 10**7
        alone = without_listeners(daemon, first, args)
        here, there = multiprocessing.Pipe()
        process = multiprocessing.get_context("spawn").Process(
            target=look_on, args=(daemon.port, args.consoles, there)
        )
        process.start()
        try:
            here.recv()
            beside = without_listeners(daemon, first + 10**7, args)
            here.send("enough")
            told += here.recv()
        finally:
            process.join(WAIT_S)
            process.kill()
        ratios.append(beside.orders / alone.orders)
        if alone.cpu_s:
            costs.append(beside.cpu_s / beside.orders * alone.orders / alone.cpu_s)
    return {
        "orders_ratio": statistics.median(ratios), "updates_heard": told,
        "cpu_per_order_ratio": statistics.median(costs) if costs else 0.0,
    }  # fmt: skip


def measure(args: argparse.Namespace) -> Figures:
    size = sum(path.stat().st_size for path in STATIC.iterdir())
    figures: Figures = {"console_kb": size / 1_000}
    for part in (page_figures, order_figures):
        with tempfile.TemporaryDirectory(dir=args.directory) as directory:
            daemon = Daemon(Path(directory), CONFIG + MORE)
            try:
                figures |= part(daemon, args)
            finally:
                daemon.stop()
    return figures


def why_not() -> str:
    try:
        import playwright  # noqa: F401
    except ImportError:
        return "the extra `browser` is not installed"
    from tests.console.browsing import VARIABLE, chromium

    return "" if chromium() else f"no Chromium: install one, or name it in {VARIABLE}"


def main() -> int:
    arguments = parser(__doc__)
    arguments.add_argument("--loads", type=int, default=5, help="of the page, on a cold cache")
    arguments.add_argument("--minutes", type=float, default=5, help="that the heap is looked at")
    arguments.add_argument("--look-s", type=float, default=60, help="between two looks at the heap")
    arguments.add_argument("--seconds", type=float, default=10, help="of each other measurement")
    arguments.add_argument("--consoles", type=int, default=20)
    arguments.add_argument("--connections", type=int, default=16, help="that send orders")
    arguments.add_argument("--rounds", type=int, default=3)
    args = arguments.parse_args()
    args.trials = args.trials or 1  # a page of five minutes is enough for once
    if args.quick:
        args.loads, args.minutes, args.look_s, args.seconds, args.rounds = 1, 0.03, 1, 1, 1
        args.consoles = 4
    why = why_not()
    return skip("console", why) if why else report("console", args, measure, CLAIMS)


if __name__ == "__main__":
    sys.exit(main())
