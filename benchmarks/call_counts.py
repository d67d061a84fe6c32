"""What an order costs, counted: Python calls, and processor time of one thread.

Claimed: at most 20 calls for an order that rests, 40 for one that takes another.

Measured, calls: the Python functions entered ('call' events of sys.setprofile; C functions not
counted) from OrderRequest.new and on_data until the reports are told, with one listener and a
SQLite store that never syncs. `calls_rest`: a plain order that meets nobody; `calls_take`: one
that takes one resting order whole; both a 1,000th of a turn of 1,000. `calls_alone`: an order
that rests, alone in its turn.

Measured, time: client, dispatcher and store in one thread, turns of 1,000 stepped by hand;
processor time of the process by request (Flow in client.py). `cpu_us_plain`: orders and nothing
else; `cpu_us_exchange`: with ledger, limits, fees and self-trade prevention, 20 accounts.

Works on older checkouts too: --tree DIR. See compare.py.
"""

import argparse
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from types import FrameType

from client import ACCOUNT, ACCOUNTS, Flow, config, exchange_config, funding, stepped
from common import Claim, Figures, parser, report

from oms import Config, OrderManagement, OrderRequest, OrderResponse, Side

CLAIMS = [Claim("calls_rest", "<=", 20), Claim("calls_take", "<=", 40)]
TURN = 1_000
ALONE = 200
SYMBOL, LOT = "TATA_INR", "10"


class Listener:
    """Counts reports; a listener of the least kind."""

    def __init__(self) -> None:
        self.count = 0

    def __call__(self, _response: OrderResponse) -> None:
        self.count += 1


def calls_of(work: Callable[[], None]) -> int:
    """How many Python functions it enters, itself not counted."""
    count = -1

    def entered(_frame: FrameType, event: str, _argument: object) -> None:
        nonlocal count
        count += event == "call"

    sys.setprofile(entered)
    try:
        work()
    finally:
        sys.setprofile(None)
    return count


class Client:
    """Gives orders to a manager without threads, and steps it."""

    def __init__(self, manager: OrderManagement) -> None:
        self._manager = manager
        self._number = 0
        self.listener = Listener()
        manager.add_listener(self.listener)

    def turn(self, side: Side, price: str, count: int = TURN) -> None:
        """So many orders, all in one turn."""
        on_data, first = self._manager.on_data, self._number + 1
        self._number += count
        for number in range(first, first + count):
            on_data(OrderRequest.new(ACCOUNT, str(number), SYMBOL, side, LOT, price))
        self._manager.dispatcher.step()

    def told(self, side: Side, price: str, count: int = TURN) -> int:
        """How many reports a turn gives."""
        before = self.listener.count
        self.turn(side, price, count)
        return self.listener.count - before


def counted(directory: Path) -> Figures:
    manager = OrderManagement(config("none"), directory=directory)
    with stepped(manager):
        client = Client(manager)
        assert client.told(Side.BUY, "100") == TURN  # rests; all that is made once is made
        assert client.told(Side.SELL, "100") == 3 * TURN  # each takes one of those
        rest = calls_of(lambda: client.turn(Side.BUY, "100"))
        take = calls_of(lambda: client.turn(Side.SELL, "100"))
        alone = sum(calls_of(lambda: client.turn(Side.BUY, "99", 1)) for _ in range(ALONE))
    return {"calls_rest": rest / TURN, "calls_take": take / TURN, "calls_alone": alone / ALONE}


def cpu_us(directory: Path, settings: Config, accounts: Sequence[str], orders: int) -> float:
    """Processor time by request, after a warm-up in which the books reach their size."""
    manager = OrderManagement(settings, directory=directory)
    with stepped(manager):
        flow, on_data = Flow(accounts=accounts), manager.on_data
        manager.add_listener(Listener())
        for request in funding(settings, accounts):
            on_data(request)
        manager.dispatcher.step()

        def run(count: int) -> float:
            start = time.process_time()
            for _ in range(count // TURN):
                for _ in range(TURN):
                    on_data(flow.next())
                manager.dispatcher.step()
            return time.process_time() - start

        run(max(TURN, min(10 * TURN, orders // 2)))
        seconds = run(orders)
        rejects = manager.get_status()["rejects"]
    assert not rejects, rejects
    return seconds / orders * 1e6


def measure(args: argparse.Namespace) -> Figures:
    figures: Figures = {}
    with tempfile.TemporaryDirectory(dir=args.directory) as directory:
        counts, plain, exchange = (Path(directory) / name for name in ("c", "p", "e"))
        for place in (counts, plain, exchange):
            place.mkdir()
        figures |= counted(counts)
        figures["cpu_us_plain"] = cpu_us(plain, config("none"), [ACCOUNT], args.orders)
        figures["cpu_us_exchange"] = cpu_us(
            exchange, exchange_config("none"), ACCOUNTS, args.orders
        )
    return figures


def main() -> int:
    arguments = parser(__doc__)
    arguments.add_argument("--orders", type=int, default=100_000, help="of which time is measured")
    args = arguments.parse_args()
    if args.quick:
        args.orders = 5 * TURN
    return report("call_counts", args, measure, CLAIMS)


if __name__ == "__main__":
    sys.exit(main())
