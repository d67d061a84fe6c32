"""Draining one deep price level, order by order.

Claimed: an order of a level of 100,000 costs what an order of a level of 1,000 does: at most 1.5
times as much, for trades and for cancels.

Measured: the level is filled; then one IOC for the quantity of one order at a time (`trade`),
or one cancel at a time, oldest first (`cancel`), until the level is empty. The same number of
orders is drained at both depths: 100 levels of 1,000, one of 100,000, repeated in turn. The
figure is the median.

Inside the timed part: the calls of the book and the loop around them. Outside: filling.
"""

import argparse
import gc
import statistics
import sys
import time
from collections.abc import Callable

from common import Claim, Figures, parser, report

from oms import Instrument, OrderBook, OrderType, Side, TimeInForce
from oms.exchange.order import Order

CLAIMS = [Claim("trade_ratio", "<=", 1.5), Claim("cancel_ratio", "<=", 1.5)]
SHALLOW = 1_000
PRICE, LOTS = 100, 10

INSTRUMENT = Instrument(symbol="X", price_scale=0, quantity_scale=0)

Drain = Callable[[OrderBook, list[Order]], None]


def trade(book: OrderBook, orders: list[Order]) -> None:
    match = book.match
    for _ in orders:
        match(Side.SELL, PRICE, LOTS)


def cancel(book: OrderBook, orders: list[Order]) -> None:
    cancel = book.cancel
    for order in orders:
        cancel(order)


def order_of(order_id: int) -> Order:
    return Order(
        order_id, "", "", INSTRUMENT, Side.BUY, OrderType.LIMIT, TimeInForce.GTC, PRICE, LOTS
    )


def ns_per_order(drain: Drain, depth: int, orders: int) -> float:
    book, spent_ns = OrderBook(), 0
    for _ in range(max(1, orders // depth)):
        made = [order_of(order_id) for order_id in range(depth)]
        for order in made:
            book.add(order)
        start_ns = time.perf_counter_ns()
        drain(book, made)
        spent_ns += time.perf_counter_ns() - start_ns
        assert book.best_bid is None
    return spent_ns / (depth * max(1, orders // depth))


def measure(args: argparse.Namespace) -> Figures:
    gc.collect()
    gc.freeze()
    figures: Figures = {}
    for drain in (trade, cancel):
        shallow, deep = [], []
        for _ in range(args.repeats):
            shallow.append(ns_per_order(drain, SHALLOW, args.depth))
            deep.append(ns_per_order(drain, args.depth, args.depth))
        name = drain.__name__
        figures[f"{name}_ns_of_{SHALLOW}"] = statistics.median(shallow)
        figures[f"{name}_ns_of_{args.depth}"] = statistics.median(deep)
        figures[f"{name}_ratio"] = statistics.median(deep) / statistics.median(shallow)
    return figures


def main() -> int:
    arguments = parser(__doc__)
    arguments.add_argument("--depth", type=int, default=100_000)
    arguments.add_argument("--repeats", type=int, default=5)
    args = arguments.parse_args()
    if args.quick:
        args.depth, args.repeats = 10_000, 2
    return report("deep_level", args, measure, CLAIMS)


if __name__ == "__main__":
    sys.exit(main())
