"""What one `top` costs the daemon: its looks, by the control socket and by the front door.

Claimed: at most 10 ms of CPU a second, 1 % of a core, for 5 looks a second, either way.

Measured: `control_cpu_ms_per_s` and `door_cpu_ms_per_s`, user and system time of the daemon for
what a `top` asks in a second (5 looks at a market of 24 levels and trades, 1 overview), less what
it uses without; `quiet_cpu_ms_per_s` is that.

Inside the measured part: seconds' worth of looks, one behind the other, so that the milliseconds
of each second can be told from noise. Outside: start, and orders that fill the book and the tape.
The daemon trades with nobody meanwhile: a look costs the same, however much is traded. The status,
which a `top` over the network gets with an operator's key alone, is in the first figure only.
"""

import argparse
import os
import re
import sys
import time
from collections.abc import Callable
from pathlib import Path

from common import Claim, Figures, parser, report, skip
from sandboxes import sandbox

from oms.client.credentials import Nobody
from oms.clock import SystemClock
from oms.enums import SelfTrade, Side
from oms.gateways.client import ControlClient
from oms.requests import OrderRequest, OrderTerms
from oms.requests.codec import to_object
from oms.top.sources import ControlSource, DoorSource, Source

CLAIMS = [Claim("control_cpu_ms_per_s", "<=", 10), Claim("door_cpu_ms_per_s", "<=", 10)]
LOOKS, ROWS, QUIET_S = 5, 24, 5.0
SYMBOL, LEVELS, TRADES = "BTC_USD", 30, 100
TICKS_PER_S = os.sysconf("SC_CLK_TCK")


def measure(args: argparse.Namespace) -> Figures:
    with sandbox(args.directory) as daemon:
        place = re.search(r"http://127\.0\.0\.1:\d+", daemon.told)
        assert place
        return costs(daemon.pid, daemon.directory, place[0], args)


def costs(pid: int, directory: Path, url: str, args: argparse.Namespace) -> Figures:
    fill(directory)
    quiet = cpu_per_s(pid, args.quiet_s)
    figures: Figures = {"quiet_cpu_ms_per_s": quiet * 1e3}
    sources: dict[str, Callable[[], Source]] = {
        "control": lambda: ControlSource(directory),
        "door": lambda: DoorSource(url, Nobody(), SystemClock()),
    }  # fmt: skip
    for name, connect in sources.items():
        source = connect()
        second(source)  # the first look makes the daemon follow whole books
        before_s, start = cpu_s(pid), time.perf_counter()
        for _ in range(args.seconds):
            second(source)
        used_s = cpu_s(pid) - before_s - quiet * (time.perf_counter() - start)
        figures[f"{name}_cpu_ms_per_s"] = used_s / args.seconds * 1e3
        source.close()
    return figures


def second(source: Source) -> None:
    """All that a `top` asks in one second."""
    row = source.overview().row(SYMBOL)
    assert row is not None
    for _ in range(LOOKS):
        source.market(row, ROWS)


def fill(directory: Path) -> None:
    """The demo user's orders: a deep book, and trades with itself."""
    client = ControlClient.connect(directory)
    assert client is not None
    with client:
        for n in range(LEVELS):
            for side, price in ((Side.BUY, 59_010 - 15 * n), (Side.SELL, 61_005 + 15 * n)):
                order(client, f"{side}-{n}", side, price)
        for n in range(TRADES):
            order(client, f"T-{n}", Side.BUY if n % 2 else Side.SELL, 60_000)


def order(client: ControlClient, client_id: str, side: Side, price: int) -> None:
    terms = OrderTerms(self_trade=SelfTrade.NONE)
    request = OrderRequest.new("demo", client_id, SYMBOL, side, "0.01", str(price), terms=terms)
    told = client.ask(to_object(request))
    assert not told["response"]["refused"], told


def cpu_s(pid: int) -> float:
    """User and system time of a process so far."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS_PER_S


def cpu_per_s(pid: int, seconds: float) -> float:
    before_s, start = cpu_s(pid), time.perf_counter()
    time.sleep(seconds)
    return (cpu_s(pid) - before_s) / (time.perf_counter() - start)


def main() -> int:
    arguments = parser(__doc__)
    arguments.add_argument("--seconds", type=int, default=600, help="worth of looks, each way")
    args = arguments.parse_args()
    args.quiet_s = QUIET_S
    if args.quick:
        args.seconds, args.quiet_s = 20, 0.5
    if not Path("/proc/self/stat").exists():
        return skip("top_cost", "no /proc, which has the CPU time of a process")
    return report("top_cost", args, measure, CLAIMS)


if __name__ == "__main__":
    sys.exit(main())
