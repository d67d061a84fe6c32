"""The project's OrderBook, unmodified, under real NASDAQ order flow.

`Adapter` speaks the checker's words: sides "B" and "S", whole prices and quantities, fills as
(maker id, price, quantity).
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from oms.exchange.book import Fill, OrderBook
from oms.messages import Side

SIDES = {"B": Side.BUY, "S": Side.SELL}
Levels = list[tuple[int, int]]


class Adapter:
    """One instrument's book."""

    def __init__(self) -> None:
        self.book = OrderBook()

    def new(self, order_id: int, side: str, price: int, qty: int) -> list[Fill]:
        return self.book.add_order(order_id, SIDES[side], price, qty)

    def cancel(self, order_id: int) -> None:
        if self.book.cancel_order(order_id) is None:
            raise KeyError(order_id)

    def reduce(self, order_id: int, new_qty: int) -> None:
        self.book.reduce_order(order_id, new_qty)

    def execute_ioc(self, side: str, price: int, qty: int) -> list[Fill]:
        fills, _left = self.book.match_order(SIDES[side], price, qty)
        return fills

    def depth(self, n: int) -> tuple[Levels, Levels]:
        return self.book.get_depth(n)
