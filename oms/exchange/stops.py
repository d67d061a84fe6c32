"""Stop book: one instrument's suspended stop orders, waiting for a trade price.

Flow:  matching -> [stops] -> matching: what a trade triggers goes on as if just arrived
In:    order ids, sides, stop prices and trade prices in ticks. Out: order ids, in the
       order they trigger.
Owner: the dispatcher thread. So no locks, no I/O, no logging, no clock.
Hot:   every trade asks whether it triggers something; mostly it is two comparisons.
"""

from __future__ import annotations

from bisect import bisect_left, insort

from oms.enums import Side
from oms.exchange.book import RANK_MIN


class StopSide:
    """One side's stop prices, by rank: the higher the rank, the sooner it triggers.

    A falling price reaches the highest sell stop first, so there the rank is the stop price;
    a rising one the lowest buy stop, so there it is the negated price. `ranks` is sorted,
    next to trigger last, under a sentinel that is never reached.

    A level is order ids, oldest first. A plain dict does, because levels trigger whole: none
    is ever emptied one by one from its front, which would be quadratic.
    """

    __slots__ = ("levels", "ranks", "sign")

    def __init__(self, sign: int) -> None:
        self.sign = sign
        self.levels: dict[int, dict[int, None]] = {}
        self.ranks: list[int] = [RANK_MIN]

    def add(self, order_id: int, rank: int) -> None:
        """Put an order behind all others of its stop price."""
        level = self.levels.get(rank)
        if level is None:
            level = self.levels[rank] = {}
            insort(self.ranks, rank)
        level[order_id] = None

    def remove(self, order_id: int, rank: int) -> None:
        """Take an order out, and its stop price if it was the last one there."""
        level = self.levels[rank]
        del level[order_id]
        if not level:
            del self.levels[rank]
            del self.ranks[bisect_left(self.ranks, rank)]

    def take(self, last_ticks: int) -> list[int]:
        """Take out what triggers at this price, in this order."""
        limit = self.sign * last_ticks
        taken: list[int] = []
        while self.ranks[-1] >= limit:
            taken.extend(self.levels.pop(self.ranks.pop()))
        return taken

    def entries(self) -> list[tuple[int, int]]:
        """(order id, stop price), next to trigger first."""
        return [
            (order_id, rank * self.sign)
            for rank in reversed(self.ranks[1:])
            for order_id in self.levels[rank]
        ]


class StopBook:
    """Both sides' suspended stop orders.

    orders: where each stands, to be looked at only.

    Stop prices are ticks above 0, order ids unique. A changed order that loses its place is
    removed and added again.
    """

    __slots__ = ("_buys", "_sells", "orders")

    def __init__(self) -> None:
        self._buys = StopSide(-1)
        self._sells = StopSide(1)
        self.orders: dict[int, tuple[StopSide, int]] = {}  # where it stands: side and rank

    def add(self, order_id: int, side: Side, stop_ticks: int) -> None:
        """Suspend an order until a trade at its stop price or beyond."""
        assert order_id not in self.orders and stop_ticks > 0
        own = self._buys if side is Side.BUY else self._sells
        rank = own.sign * stop_ticks
        own.add(order_id, rank)
        self.orders[order_id] = own, rank

    def remove(self, order_id: int) -> bool:
        """Take an order out; False if it is not suspended here."""
        place = self.orders.pop(order_id, None)
        if place is None:
            return False
        own, rank = place
        own.remove(order_id, rank)
        return True

    def take_triggered(self, last_ticks: int) -> list[int]:
        """Take out what a trade at this price triggers.

        Buys with a stop at or below it, lowest first, then oldest; then sells with a stop at
        or above it, highest first, then oldest.
        """
        if self._buys.ranks[-1] < -last_ticks and self._sells.ranks[-1] < last_ticks:
            return []
        taken = self._buys.take(last_ticks) + self._sells.take(last_ticks)
        for order_id in taken:
            del self.orders[order_id]
        return taken

    def entries(self) -> list[tuple[int, int]]:
        """(order id, stop price in ticks), buys then sells, each side next to trigger first.

        Added to an empty book in this order, they make the same book.
        """
        return self._buys.entries() + self._sells.entries()

    def __len__(self) -> int:
        return len(self.orders)

    def __contains__(self, order_id: int) -> bool:
        return order_id in self.orders

    def check(self) -> None:
        """Assert every invariant of the structure; for tests, it visits everything."""
        assert (self._buys.sign, self._sells.sign) == (-1, 1)
        for side in (self._buys, self._sells):
            assert side.ranks == [RANK_MIN, *sorted(side.levels)]
            for rank, level in side.levels.items():
                assert level and rank * side.sign > 0
                assert all(self.orders[order_id] == (side, rank) for order_id in level)
        assert len(self.orders) == len(self.entries())
