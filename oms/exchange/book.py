"""Order book: match one instrument's orders by price, then by arrival.

Flow:  matching -> [book] -> fills
In:    orders, checked; whole numbers. Out: fills, in the order they happened.
Owner: the dispatcher thread. So no locks, no I/O, no logging, no clock.
Hot:   hence plain slotted classes, and one loop where there could be three calls.
"""

from __future__ import annotations

from bisect import insort
from collections.abc import Iterable, Iterator
from operator import attrgetter
from typing import TYPE_CHECKING, Any

from oms.enums import Side

if TYPE_CHECKING:
    from oms.exchange.order import Order

BUY = Side.BUY
RANK_MIN = -(1 << 62)
EMPTY_LEVELS_MAX = 64  # and as many again as have orders

Fill = tuple[Any, int, int]
"""The order that rested, price in ticks, quantity in lots."""

NO_FILLS: list[Fill] = []  # shared by every order that met nobody; never appended to


class PriceLevel:
    """The orders that rest at one price, and the sum of what they show.

    first, last: the oldest and the youngest; each order knows the one ahead of it and the one
    behind. So an order joins and leaves in a few steps, wherever it stands.
    """

    __slots__ = ("first", "last", "price_ticks", "total_lots")

    def __init__(self) -> None:
        self.price_ticks = self.total_lots = 0
        self.first: Order | None = None
        self.last: Order | None = None

    def __iter__(self) -> Iterator[Order]:
        """Its orders, oldest first; the level must not change meanwhile."""
        order = self.first
        while order is not None:
            yield order
            order = order.behind


class BookSide:
    """One side's levels, by rank: the higher the rank, the better the price.

    The rank of a bid is its price, of an ask its negated price; so one piece of code
    matches both ways. `ranks` is sorted, best last, under a sentinel that is never
    reached. A level that ran empty by cancels stays until matching or reading meets it
    at the top, or half of all levels are empty: most are refilled before, and a cancel
    then never searches.
    """

    __slots__ = ("levels", "levels_max", "ranks", "side", "sign", "spare")

    def __init__(self, side: Side) -> None:
        self.side = side
        self.sign = 1 if side is BUY else -1
        self.levels: dict[int, PriceLevel] = {}
        self.levels_max = EMPTY_LEVELS_MAX
        self.ranks: list[int] = [RANK_MIN]
        self.spare: list[PriceLevel] = []  # levels are reused: making one costs as much as a trade

    def new_level(self) -> PriceLevel:
        """An empty level; if most of those in place are empty they are taken back first."""
        if len(self.levels) >= self.levels_max:
            self.spare = [level for level in self.levels.values() if level.first is None]
            self.levels = {
                rank: level for rank, level in self.levels.items() if level.first is not None
            }
            self.levels_max = 2 * len(self.levels) + EMPTY_LEVELS_MAX
            self.ranks = [RANK_MIN, *sorted(self.levels)]
        return self.spare.pop() if self.spare else PriceLevel()

    def best(self) -> PriceLevel | None:
        """The best level that has orders."""
        ranks = self.ranks
        while len(ranks) > 1:
            level = self.levels[ranks[-1]]
            if level.first is not None:
                return level
            del self.levels[ranks.pop()]
        return None

    def down_to(self, rank_min: int) -> Iterator[PriceLevel]:
        """Levels that have orders, best first, while their rank is at least this."""
        for rank in reversed(self.ranks):
            if rank < rank_min or rank == RANK_MIN:
                return
            level = self.levels[rank]
            if level.first is not None:
                yield level


class OrderBook:
    """Both sides of one instrument; the orders themselves stand in their price levels.

    Prices are ticks above 0, quantities lots above 0, order ids unique. The book trusts its
    caller in this: what a client may ask for is checked before it comes here. Of an order it
    reads order_id, side, price_ticks and leaves_lots, and writes leaves_lots and
    where it stands: level, ahead, behind, entered, placed.

    hidden: icebergs that rest with more than they show. Levels count only what is shown.
    add and match must not meet those, but see sweep.py.
    """

    __slots__ = ("asks", "bids", "entries", "hidden")

    def __init__(self) -> None:
        self.bids = BookSide(Side.BUY)
        self.asks = BookSide(Side.SELL)
        self.entries = 0  # places given so far
        self.hidden: dict[int, Order] = {}

    # --- orders ---

    def add(self, order: Order, crosses: bool = True) -> list[Fill]:
        """Trade what crosses, at the resting orders' prices; let the rest wait behind all others.

        crosses: False for an order that meets nobody, or gathers in an auction's call.
        """
        if order.side is BUY:
            own, rank, other = self.bids, order.price_ticks, self.asks
        else:
            own, rank, other = self.asks, -order.price_ticks, self.bids
        fills, lots = NO_FILLS, order.leaves_lots
        if crosses and other.ranks[-1] >= -rank:
            fills, lots = self._match(other, -rank, lots)
            order.leaves_lots = lots
            if not lots:
                return fills
        level = own.levels.get(rank)
        if level is None:
            level = own.levels[rank] = own.spare.pop() if own.spare else own.new_level()
            level.price_ticks = order.price_ticks
            insort(own.ranks, rank)
        ahead = level.last
        if ahead is None:
            level.first = order
        else:
            ahead.behind, order.ahead = order, ahead
        level.last = order
        level.total_lots += lots
        order.level = level
        self.entries = order.entered = order.placed = self.entries + 1
        return fills

    def add_iceberg(self, order: Order) -> None:
        """Let an order wait that shows only so much at a time; what crosses has traded before."""
        assert order.terms is not None
        order.terms.shown_lots = order.leaves_lots
        self.add(order, False)
        self.show(order, order.terms.display_lots)

    @staticmethod
    def ahead_of(order: Order, orders_max: int) -> tuple[int, int] | None:
        """How many orders stand ahead of an order at its price, and how many lots they show; None:
        it does not rest, or there are more. What icebergs hide is nobody's to know."""
        if order.level is None:
            return None
        orders = lots = 0
        ahead = order.ahead
        while ahead is not None:
            if orders == orders_max:
                return None
            orders += 1
            lots += ahead.shown_lots
            ahead = ahead.ahead
        return orders, lots

    def restore(self, orders: Iterable[Order]) -> None:
        """Let orders that stood here rest again, in the places they had: by `placed`.

        Those at the same prices are taken out and added again, so it costs what rests there.
        """
        entries, again = self.entries, list(orders)
        for side, price_ticks in {(order.side, order.price_ticks) for order in again}:
            own = self.bids if side is BUY else self.asks
            standing = list(own.levels.get(own.sign * price_ticks, ()))
            for order in standing:
                self.cancel(order)
            again += standing
        for order in sorted(again, key=attrgetter("placed")):
            entered, placed = order.entered, order.placed
            if order.iceberg:
                shown_lots = order.shown_lots
                self.add_iceberg(order)
                self.show(order, shown_lots)
            else:
                self.add(order, False)
            order.entered, order.placed = entered, placed
        self.entries = entries

    def match(self, side: Side, price_ticks: int | None, lots: int) -> tuple[list[Fill], int]:
        """Trade what crosses, down to the limit (None: any price); nothing rests.

        Returns the fills, and how many lots are left of the order that arrived.
        """
        other = self.asks if side is BUY else self.bids
        return self._match(
            other, RANK_MIN + 1 if price_ticks is None else other.sign * price_ticks, lots
        )

    @staticmethod
    def _match(other: BookSide, limit: int, lots: int) -> tuple[list[Fill], int]:
        """Fill from the best level on, while its rank is at least `limit`."""
        ranks = other.ranks
        fills: list[Fill] = []
        while ranks[-1] >= limit:
            level = other.levels[ranks[-1]]
            total, price, maker = level.total_lots, level.price_ticks, level.first
            if total > lots:
                if not lots:
                    return fills, 0
                level.total_lots = total - lots
                while maker.leaves_lots <= lots:  # type: ignore[union-attr]
                    fills.append((maker, price, maker.leaves_lots))  # type: ignore[union-attr]
                    lots -= maker.leaves_lots  # type: ignore[union-attr]
                    filled, maker = maker, maker.behind  # type: ignore[union-attr]
                    filled.leaves_lots = 0  # type: ignore[union-attr]
                    filled.level = filled.behind = None  # type: ignore[union-attr]
                level.first, maker.ahead = maker, None  # type: ignore[union-attr]
                if lots:
                    fills.append((maker, price, lots))
                    maker.leaves_lots -= lots  # type: ignore[union-attr]
                return fills, 0
            lots -= total  # all of it trades; or nobody rests here any more
            while maker is not None:
                fills.append((maker, price, maker.leaves_lots))
                filled, maker = maker, maker.behind
                filled.leaves_lots = 0
                filled.level = filled.ahead = filled.behind = None
            level.total_lots = 0
            level.first = level.last = None
            other.spare.append(other.levels.pop(ranks.pop()))
        return fills, lots

    def trade(self, order: Order, lots: int) -> None:
        """Take what was traded from a resting order.

        An iceberg whose shown lots are gone shows new ones at the back of its level. `lots`
        may be more than is shown only when it takes the hidden ones too (an auction).
        """
        level = order.level
        assert level is not None
        shown = order.shown_lots
        order.leaves_lots -= lots
        if lots < shown:
            level.total_lots -= lots
            if order.iceberg:
                order.terms.shown_lots -= lots  # type: ignore[union-attr]
            return
        level.total_lots -= shown
        self._unlink(level, order)
        if not order.leaves_lots:
            order.level = None
            if self.hidden:
                self.hidden.pop(order.order_id, None)
            return
        if level.last is None:
            level.first = order
        else:
            level.last.behind, order.ahead = order, level.last
        level.last = order
        self.entries = order.placed = self.entries + 1
        self._show(order, order.terms.display_lots)  # type: ignore[union-attr]
        level.total_lots += order.shown_lots

    def show(self, order: Order, shown_lots: int) -> None:
        """A resting iceberg shows so much now, whatever it showed before."""
        assert order.level is not None
        order.level.total_lots -= order.shown_lots
        self._show(order, shown_lots)
        order.level.total_lots += order.shown_lots

    def _show(self, order: Order, shown_lots: int) -> None:
        """An iceberg shows so much from now on, or all it has left."""
        assert order.terms is not None
        order.terms.shown_lots = min(order.leaves_lots, shown_lots)
        self.hidden.pop(order.order_id, None)
        if order.leaves_lots > order.terms.shown_lots:
            self.hidden[order.order_id] = order

    def cancel(self, order: Order) -> bool:
        """Take an order out; False if it does not rest here."""
        level = order.level
        if level is None:
            return False
        order.level = None
        level.total_lots -= order.leaves_lots
        if self.hidden and self.hidden.pop(order.order_id, None) is not None:
            level.total_lots += order.leaves_lots - order.shown_lots
        ahead, behind = order.ahead, order.behind
        if ahead is None:
            level.first = behind
        else:
            ahead.behind, order.ahead = behind, None
        if behind is None:
            level.last = ahead
        else:
            behind.ahead, order.behind = ahead, None
        return True

    @staticmethod
    def _unlink(level: PriceLevel, order: Order) -> None:
        """Take an order out of the row of its level."""
        ahead, behind = order.ahead, order.behind
        order.ahead = order.behind = None
        if ahead is None:
            level.first = behind
        else:
            ahead.behind = behind
        if behind is None:
            level.last = ahead
        else:
            behind.ahead = ahead

    def reduce(self, order: Order, leaves_lots: int) -> None:
        """Lower an order's open lots, hidden ones first; it keeps its place."""
        level, shown = order.level, order.shown_lots
        assert level is not None
        assert 0 < leaves_lots <= order.leaves_lots
        order.leaves_lots = leaves_lots
        level.total_lots -= max(0, shown - leaves_lots)
        if order.iceberg:
            self._show(order, shown)

    # --- questions ---

    def crosses(self, side: Side, price_ticks: int) -> bool:
        """May an order at this price meet somebody? Sure only when the answer is no."""
        if side is BUY:
            return self.asks.ranks[-1] >= -price_ticks
        return self.bids.ranks[-1] >= price_ticks

    def opposite(self, side: Side, price_ticks: int | None) -> Iterator[PriceLevel]:
        """What an order of this side would meet, best first, down to its limit (None: any)."""
        other = self.asks if side is BUY else self.bids
        return other.down_to(RANK_MIN + 1 if price_ticks is None else other.sign * price_ticks)

    def own(self, side: Side, price_ticks: int | None = None) -> Iterator[PriceLevel]:
        """One side's levels, best first, down to a price."""
        own = self.bids if side is BUY else self.asks
        return own.down_to(RANK_MIN + 1 if price_ticks is None else own.sign * price_ticks)

    def fillable(self, side: Side, price_ticks: int | None, lots: int) -> bool:
        """Could an order of this size be filled whole at once? Changes nothing."""
        for level in self.opposite(side, price_ticks):
            lots -= level.total_lots
            if lots <= 0:
                return True
        return False

    @property
    def best_bid(self) -> int | None:
        """The highest price somebody pays, in ticks."""
        level = self.bids.best()
        return level.price_ticks if level else None

    @property
    def best_ask(self) -> int | None:
        """The lowest price somebody sells at, in ticks."""
        level = self.asks.best()
        return level.price_ticks if level else None

    @property
    def crossed(self) -> bool:
        """Would somebody who rests trade with somebody else? Only in an auction's call."""
        bid, ask = self.best_bid, self.best_ask
        return bid is not None and ask is not None and bid >= ask

    def get_depth(self, levels: int) -> tuple[list[tuple[int, int]], list[tuple[int, int]]]:
        """The best `levels` prices of bids and of asks: (price in ticks, shown lots)."""
        depth: list[list[tuple[int, int]]] = []
        for side in (self.bids, self.asks):
            found: list[tuple[int, int]] = []
            side.best()  # takes back what is empty at the top, so that it is walked over once
            for rank in reversed(side.ranks):
                if len(found) == levels or rank == RANK_MIN:
                    break
                level = side.levels[rank]
                if level.total_lots:
                    found.append((level.price_ticks, level.total_lots))
            depth.append(found)
        return depth[0], depth[1]

    def volume_at(self, side: Side, price_ticks: int) -> int:
        """Shown lots at one price."""
        own = self.bids if side is BUY else self.asks
        level = own.levels.get(own.sign * price_ticks)
        return level.total_lots if level else 0

    def levels(self, side: Side) -> list[tuple[int, int]]:
        """One side's prices, best first, and all open lots there, hidden ones included."""
        hidden = dict[PriceLevel, int]()
        for order in self.hidden.values():
            assert order.level is not None
            hidden[order.level] = hidden.get(order.level, 0) + order.leaves_lots - order.shown_lots
        return [
            (level.price_ticks, level.total_lots + hidden.get(level, 0)) for level in self.own(side)
        ]

    def orders(self) -> Iterator[Order]:
        """Resting orders, bids then asks, best price first, oldest first."""
        for side in Side:
            for level in self.own(side):
                yield from level

    def check(self, *, crossed: bool = False) -> None:
        """Assert every invariant of the structure; for tests, it visits everything."""
        for side in (self.bids, self.asks):
            assert side.ranks == [RANK_MIN, *sorted(side.levels)]
            for rank, level in side.levels.items():
                assert level.price_ticks == rank * side.sign
                orders = list(level)
                assert level.total_lots == sum(order.shown_lots for order in orders)
                assert level.last is (orders[-1] if orders else None)
                for ahead, order in zip([None, *orders], orders, strict=False):
                    assert order.ahead is ahead
                    assert order.level is level
                    assert order.side is side.side
                    assert order.price_ticks == level.price_ticks
                    assert 0 < order.shown_lots <= order.leaves_lots
                    hides = order.shown_lots < order.leaves_lots
                    assert (order.order_id in self.hidden) == hides
        resting = {order.order_id for order in self.orders()}
        assert self.hidden.keys() <= resting
        assert crossed or not self.crossed, "crossed"
