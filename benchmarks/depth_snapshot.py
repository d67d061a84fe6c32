"""The ten best levels of a deep book.

Claimed: at most 50 us with 100,000 orders resting.

Measured: single calls, the median. `book_us`: OrderBook.get_depth(10), which a turn pays for each
book it changed. `manager_us`: what a caller pays, manager.get_depth_ticks(symbol, 10), of what is
published. The orders rest at 1,000 prices a side. `holes_us` is `book_us` again after the best half
of each side was canceled, and nothing traded since: their empty levels are still there.

Inside the timed part: the call, and reading the clock. Outside: entering the orders.
"""

import argparse
import statistics
import sys
import time
from collections.abc import Callable

from client import ACCOUNTS, PRICES, enter, exchange_config, fund, resting, wait_for_link
from common import Claim, Figures, parser, percentile, report

from oms import MemoryStore, OrderManagement, Side

CLAIMS = [Claim("book_us", "<=", 50), Claim("manager_us", "<=", 50)]
SYMBOL = PRICES[0][0]
LEVELS = 10


def measure(args: argparse.Namespace) -> Figures:
    manager = OrderManagement(exchange_config(), store=MemoryStore())
    with manager:
        wait_for_link(manager)
        fund(manager, ACCOUNTS)
        enter(manager, resting(args.orders, ACCOUNTS, symbols=1))
        assert manager.dispatcher.desk.engine is not None
        book = manager.dispatcher.desk.engine.markets[SYMBOL].book
        figures: Figures = {"resting": sum(1 for _ in book.orders())}
        figures |= timed("book", lambda: book.get_depth(LEVELS), args.calls)
        figures |= timed("manager", lambda: manager.get_depth_ticks(SYMBOL, LEVELS), args.calls)
    for side in Side:
        orders = [order for level in book.own(side) for order in level]
        for order in orders[: len(orders) // 2]:
            book.cancel(order)
    figures |= timed("holes", lambda: book.get_depth(LEVELS), args.calls)
    return figures


def timed(name: str, call: Callable[[], object], calls: int) -> Figures:
    """The median of single calls, in microseconds, and what one in a hundred exceeds."""
    spent_ns = []
    for _ in range(calls):
        start_ns = time.perf_counter_ns()
        call()
        spent_ns.append(time.perf_counter_ns() - start_ns)
    spent_ns.sort()
    return {
        f"{name}_us": statistics.median(spent_ns) / 1e3,
        f"{name}_us_p99": percentile(spent_ns, 99) / 1e3,
    }


def main() -> int:
    arguments = parser(__doc__)
    arguments.add_argument("--orders", type=int, default=100_000)
    arguments.add_argument("--calls", type=int, default=10_000)
    args = arguments.parse_args()
    if args.quick:
        args.orders, args.calls = 5_000, 1_000
    return report("depth_snapshot", args, measure, CLAIMS)


if __name__ == "__main__":
    sys.exit(main())
