"""The project's OrderBook, unmodified, under a neutral matching-engine workload.

`Driver` speaks the workload's words: side 0 or 1, report tuples that start with a type.
A modify there is cancel and re-enter, and carries the new open quantity.
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from oms.exchange.book import OrderBook
from oms.messages import Side

SIDES = (BUY, SELL) = (Side.BUY, Side.SELL)
ACK, TRADE, CANCELED, MODIFIED, CANCEL_REJECTED, MODIFY_REJECTED = range(6)
Report = tuple[int, ...]


class Driver:
    """One instrument's book, fed message by message."""

    def __init__(self) -> None:
        self.book = OrderBook()

    def on_new(self, oid: int, seq: int, price: int, qty: int, side: int, ioc: int) -> list[Report]:
        reports: list[Report] = [(ACK, seq, side, oid, price, qty)]
        if ioc:
            fills, left = self.book.match_order(SIDES[side], price, qty)
        else:
            fills, left = self.book.add_order(oid, SIDES[side], price, qty), 0
        for maker_id, ticks, lots in fills:
            reports.append((TRADE, seq, ticks, lots, maker_id, oid))
        if left:
            reports.append((CANCELED, seq, side, oid, price))
        return reports

    def on_cancel(self, oid: int, seq: int) -> list[Report]:
        canceled = self.book.cancel_order(oid)
        if canceled is None:
            return [(CANCEL_REJECTED, seq, oid)]
        side, price, _lots = canceled
        return [(CANCELED, seq, 0 if side is BUY else 1, oid, price)]

    def on_modify(self, oid: int, seq: int, price: int, qty: int, side: int) -> list[Report]:
        if self.book.cancel_order(oid) is None:
            return [(MODIFY_REJECTED, seq, oid)]
        fills = self.book.add_order(oid, SIDES[side], price, qty)
        reports: list[Report] = [(TRADE, seq, p, lots, maker, oid) for maker, p, lots in fills]
        reports.append((MODIFIED, seq, side, oid, price, qty))
        return reports

    def best_bid(self) -> int | None:
        return self.book.best_bid

    def best_ask(self) -> int | None:
        return self.book.best_ask

    def depth_at(self, price: int, side: int) -> int:
        return self.book.volume_at(SIDES[side], price)
