"""The waiting queue: what an operation costs, and what a waiting order weighs.

Claimed: with 100,000 waiting, each operation costs at most 1.5 times what it costs with 1,000;
an order that waits takes at most 1,024 bytes.

Measured, operations: OrderQueue filled with n orders; rounds of 200 adds, 200 takes from the
front, 200 modifies and 200 cancels of orders anywhere in it, each kind timed together, then
filled up again. The figure is the median round, so that a neighbour on the machine does not
count; the two sizes take turns.

Measured, memory: 100,000 orders handed to a real OrderManagement whose throttle is closed, with
tracemalloc on and its threads stepped by hand; what is alive after is divided by their number.
That is order, queue, desk, published report, client's ids: everything.
"""

import argparse
import gc
import statistics
import sys
import tempfile
import time
import tracemalloc
from collections.abc import Callable
from random import Random

from client import ACCOUNT, config, stepped
from common import Claim, Figures, parser, report

from oms import OrderManagement, OrderQueue, OrderRequest, Side
from oms.config import ThrottleConfig

OPERATIONS = ("add", "get", "modify", "cancel")
CLAIMS = [
    *(Claim(f"{operation}_ratio", "<=", 1.5) for operation in OPERATIONS),
    Claim("bytes_per_waiting_order", "<=", 1_024),
]
FEW = 1_000
PER_ROUND = 200


class WaitingOrder:
    """What OrderQueue asks of an order."""

    __slots__ = ("order_id", "price_ticks", "quantity_lots")

    def __init__(self, order_id: int) -> None:
        self.order_id = order_id
        self.price_ticks = 100
        self.quantity_lots = 1 << 30


class Filled:
    """A queue that holds `size` orders, and the time of each operation on it."""

    def __init__(self, size: int) -> None:
        self.random = Random(size)
        self.queue: OrderQueue[WaitingOrder] = OrderQueue(size + PER_ROUND)
        self.last_id = 0
        self.size = size
        self.ns: dict[str, list[float]] = {name: [] for name in OPERATIONS}
        self.fill(size)

    def fill(self, size: int) -> None:
        while self.queue.size < size:
            self.last_id += 1
            assert self.queue.add_order(self.last_id, WaitingOrder(self.last_id))

    def round(self) -> None:
        queue, first = self.queue, self.last_id + 1
        fresh = [WaitingOrder(first + number) for number in range(PER_ROUND)]
        self.last_id += PER_ROUND
        self.time("add", lambda: [queue.add_order(order.order_id, order) for order in fresh])
        self.time("get", lambda: [queue.get_next_order() for _ in range(PER_ROUND)])
        some = self.random.sample([order.order_id for order in queue.waiting()], 2 * PER_ROUND)
        changed, canceled = some[:PER_ROUND], some[PER_ROUND:]
        self.time("modify", lambda: [queue.modify_order(o, 100 + o % 2, 9) for o in changed])
        self.time("cancel", lambda: [queue.cancel_order(o) for o in canceled])
        self.fill(self.size)

    def time(self, name: str, work: Callable[[], object]) -> None:
        start_ns = time.perf_counter_ns()
        work()
        self.ns[name].append((time.perf_counter_ns() - start_ns) / PER_ROUND)


def measure(args: argparse.Namespace) -> Figures:
    few, many = Filled(FEW), Filled(args.waiting)
    gc.collect()
    gc.freeze()
    for _ in range(args.rounds):
        few.round()
        many.round()
    gc.unfreeze()
    figures: Figures = {}
    for name in OPERATIONS:
        few_ns, many_ns = statistics.median(few.ns[name]), statistics.median(many.ns[name])
        figures[f"{name}_ns_{FEW}"] = few_ns
        figures[f"{name}_ns_{args.waiting}"] = many_ns
        figures[f"{name}_ratio"] = many_ns / few_ns
    figures["bytes_per_waiting_order"] = bytes_per_waiting_order(args)
    return figures


def bytes_per_waiting_order(args: argparse.Namespace) -> float:
    closed = ThrottleConfig(policy="fixed_window", sends_max=1, window_ns=86_400 * 10**9)
    settings = config("none", throttle=closed, waiting_max=args.waiting)
    with tempfile.TemporaryDirectory(dir=args.directory) as directory:
        manager = OrderManagement(settings, directory=directory)
        with stepped(manager):
            enter(manager, "first", 1)  # takes the one permit
            enter(manager, "warm", 1_000)
            tracemalloc.start()
            gc.collect()
            start = tracemalloc.get_traced_memory()[0]
            enter(manager, "order", args.waiting - 1_000)
            gc.collect()
            used = tracemalloc.get_traced_memory()[0] - start
            tracemalloc.stop()
            waiting = manager.get_status()["waiting"]
    assert waiting == args.waiting, waiting
    return float(used / (args.waiting - 1_000))


def enter(manager: OrderManagement, name: str, count: int) -> None:
    for number in range(count):
        manager.on_data(
            OrderRequest.new(
                ACCOUNT, f"{name}-{number:08d}", "TATA_INR", Side.BUY, "10", f"{number % 50 + 100}"
            )
        )
        if number % 1_000 == 999:
            manager.dispatcher.step()
    manager.dispatcher.step()


def main() -> int:
    arguments = parser(__doc__)
    arguments.add_argument("--waiting", type=int, default=100_000)
    arguments.add_argument("--rounds", type=int, default=100)
    args = arguments.parse_args()
    if args.quick:
        args.waiting, args.rounds = 10_000, 20
    return report("queue_ops", args, measure, CLAIMS)


if __name__ == "__main__":
    sys.exit(main())
