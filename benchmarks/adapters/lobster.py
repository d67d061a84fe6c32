"""The project's OrderBook, unmodified, under real NASDAQ order flow.

`Adapter` speaks the checker's words: sides "B" and "S", whole prices and quantities, fills as
(maker id, price, quantity).
"""

import sys
from collections.abc import Iterable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from oms.enums import OrderType, Side, TimeInForce
from oms.exchange.book import Fill, OrderBook
from oms.exchange.order import Order
from oms.instruments import Instrument

SIDES = {"B": Side.BUY, "S": Side.SELL}
INSTRUMENT = Instrument(symbol="X", price_scale=0, quantity_scale=0)
Levels = list[tuple[int, int]]
Told = list[tuple[int, int, int]]


def order_of(order_id: int, side: Side, price_ticks: int, lots: int) -> Order:
    """A plain limit order."""
    return Order(
        order_id, "", "", INSTRUMENT, side, OrderType.LIMIT, TimeInForce.GTC, price_ticks, lots
    )


class Adapter:
    """One instrument's book, and the orders that have entered it."""

    def __init__(self) -> None:
        self.book = OrderBook()
        self.orders: dict[int, Order] = {}

    def new(self, order_id: int, side: str, price: int, qty: int) -> Told:
        order = self.orders[order_id] = order_of(order_id, SIDES[side], price, qty)
        return _told(self.book.add(order))

    def cancel(self, order_id: int) -> None:
        if not self.book.cancel(self.orders.pop(order_id)):
            raise KeyError(order_id)

    def reduce(self, order_id: int, new_qty: int) -> None:
        self.book.reduce(self.orders[order_id], new_qty)

    def execute_ioc(self, side: str, price: int, qty: int) -> Told:
        fills, _left = self.book.match(SIDES[side], price, qty)
        return _told(fills)

    def depth(self, n: int) -> tuple[Levels, Levels]:
        return self.book.get_depth(n)


def _told(fills: Iterable[Fill]) -> Told:
    return [(maker.order_id, price, lots) for maker, price, lots in fills]
