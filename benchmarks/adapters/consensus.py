"""The project's OrderBook, unmodified, under a neutral matching-engine workload.

`Driver` speaks the workload's words: side 0 or 1, report tuples that start with a type.
A modify there is cancel and re-enter, and carries the new open quantity.
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from oms.enums import Side
from oms.exchange.book import OrderBook, PriceLevel

SIDES = (BUY, SELL) = (Side.BUY, Side.SELL)
ACK, TRADE, CANCELED, MODIFIED, CANCEL_REJECTED, MODIFY_REJECTED = range(6)
Report = tuple[int, ...]


class Resting:
    """As much of an order as the book looks at."""

    __slots__ = (
        "ahead", "behind", "entered", "leaves_lots", "level", "order_id", "placed", "price_ticks",
        "side",
    )  # fmt: skip

    def __init__(self, order_id: int, side: Side, price_ticks: int, leaves_lots: int) -> None:
        self.order_id = order_id
        self.side = side
        self.price_ticks = price_ticks
        self.leaves_lots = leaves_lots
        self.level: PriceLevel | None = None
        self.ahead = self.behind = None


class Driver:
    """One instrument's book, fed message by message."""

    def __init__(self) -> None:
        self.book = OrderBook()
        self.orders: dict[int, Resting] = {}

    def on_new(self, oid: int, seq: int, price: int, qty: int, side: int, ioc: int) -> list[Report]:
        reports: list[Report] = [(ACK, seq, side, oid, price, qty)]
        if ioc:
            fills, left = self.book.match(SIDES[side], price, qty)
            for maker, ticks, lots in fills:
                reports.append((TRADE, seq, ticks, lots, maker.order_id, oid))
            if left:
                reports.append((CANCELED, seq, side, oid, price))
            return reports
        order = self.orders[oid] = Resting(oid, SIDES[side], price, qty)
        for maker, ticks, lots in self.book.add(order):  # type: ignore[arg-type]
            reports.append((TRADE, seq, ticks, lots, maker.order_id, oid))
        return reports

    def on_cancel(self, oid: int, seq: int) -> list[Report]:
        order = self.orders.pop(oid, None)
        if order is None or not self.book.cancel(order):  # type: ignore[arg-type]
            return [(CANCEL_REJECTED, seq, oid)]
        return [(CANCELED, seq, 0 if order.side is BUY else 1, oid, order.price_ticks)]

    def on_modify(self, oid: int, seq: int, price: int, qty: int, side: int) -> list[Report]:
        order = self.orders.pop(oid, None)
        if order is None or not self.book.cancel(order):  # type: ignore[arg-type]
            return [(MODIFY_REJECTED, seq, oid)]
        order = self.orders[oid] = Resting(oid, SIDES[side], price, qty)
        reports: list[Report] = [
            (TRADE, seq, ticks, lots, maker.order_id, oid)
            for maker, ticks, lots in self.book.add(order)  # type: ignore[arg-type]
        ]
        reports.append((MODIFIED, seq, side, oid, price, qty))
        return reports

    def best_bid(self) -> int | None:
        return self.book.best_bid

    def best_ask(self) -> int | None:
        return self.book.best_ask

    def depth_at(self, price: int, side: int) -> int:
        return self.book.volume_at(SIDES[side], price)
