"""Order book: match one instrument's orders by price, then by arrival.

Flow:  dispatcher -> venue -> matching -> [book] -> fills
In:    order ids and whole numbers. Out: fills, in the order they happened.
Owner: the dispatcher thread. So no locks, no I/O, no logging, no clock.
Hot:   hence plain lists and slotted classes, and a level that outlives its orders.
"""

from __future__ import annotations

from bisect import insort
from collections.abc import Iterator

from oms.exchange.levels import RANK_MIN, BookSide, PriceLevel
from oms.messages import Side

Fill = tuple[int, int, int]  # (maker order id, price in ticks, quantity in lots)

BUY = Side.BUY
NO_FILLS: list[Fill] = []  # shared by every order that met nobody; never appended to


class OrderBook:
    """Both sides of one instrument.

    Prices are ticks above 0, quantities lots above 0, order ids unique. The book trusts
    its caller in this: what a client may ask for is checked before it comes here.

    An iceberg's level holds what is shown of it, `hidden` the rest; levels count and show
    only what is shown. add_order and match_order must not meet icebergs: see sweep.py.
    """

    __slots__ = ("_asks", "_bids", "_orders", "_spare", "hidden")

    def __init__(self) -> None:
        self._bids = BookSide(Side.BUY)
        self._asks = BookSide(Side.SELL)
        self._orders: dict[int, PriceLevel] = {}  # in the order of entering the book
        self.hidden: dict[int, tuple[int, int]] = {}  # order id -> hidden lots, lots to show
        # Levels are reused: making one costs as much as matching an order.
        self._spare: list[PriceLevel] = []

    def add_order(
        self, order_id: int, side: Side, price_ticks: int, lots: int, crosses: bool = True
    ) -> list[Fill]:
        """Trade what crosses, at the resting orders' prices; let the rest wait.

        crosses: False in an auction's call, where orders only gather.
        """
        if side is BUY:
            own, rank, other = self._bids, price_ticks, self._asks
        else:
            own, rank, other = self._asks, -price_ticks, self._bids
        fills = NO_FILLS
        if crosses and other.ranks[-1] >= -rank:
            fills, lots = self._match(other, -rank, lots)
            if not lots:
                return fills
        level = own.levels.get(rank)
        if level is None:
            if len(own.levels) >= own.levels_max:
                own.sweep()
            level = self._spare.pop() if self._spare else PriceLevel()
            level.side, level.price_ticks = side, price_ticks
            own.levels[rank] = level
            insort(own.ranks, rank)
        level.orders[order_id] = lots
        level.total_lots += lots
        self._orders[order_id] = level
        return fills

    def match_order(self, side: Side, price_ticks: int | None, lots: int) -> tuple[list[Fill], int]:
        """Trade what crosses, down to the limit (None: any price); nothing rests.

        Returns the fills and what is left.
        """
        other = self._asks if side is BUY else self._bids
        limit = RANK_MIN + 1 if price_ticks is None else other.sign * price_ticks
        return self._match(other, limit, lots)

    def add_iceberg(
        self, order_id: int, side: Side, price_ticks: int, lots: int, display_lots: int
    ) -> None:
        """Let an order wait that shows only so much at a time; what crosses has traded before."""
        shown = min(lots, display_lots)
        self.add_order(order_id, side, price_ticks, shown, False)
        if lots > shown:
            self.hidden[order_id] = (lots - shown, display_lots)

    def trade(self, order_id: int, lots: int) -> None:
        """Take what was traded from a resting order.

        An iceberg whose shown lots are gone shows new ones at the back of its level. `lots`
        may be more than is shown only when it takes the hidden ones too (an auction).
        """
        level = self._orders[order_id]
        shown = level.orders[order_id]
        if lots < shown:
            level.orders[order_id] = shown - lots
            level.total_lots -= lots
            return
        del level.orders[order_id]
        level.total_lots -= shown
        hidden, display_lots = self.hidden.pop(order_id, (0, 0))
        left = shown + hidden - lots
        if not left:
            del self._orders[order_id]
            return
        shown = min(left, display_lots)
        level.orders[order_id] = shown
        level.total_lots += shown
        if left > shown:
            self.hidden[order_id] = (left - shown, display_lots)

    def cancel_order(self, order_id: int) -> tuple[Side, int, int] | None:
        """Take an order out: its side, price and open lots; None if it does not rest here."""
        level = self._orders.pop(order_id, None)
        if level is None:
            return None
        lots = level.orders.pop(order_id)
        level.total_lots -= lots
        if self.hidden:
            lots += self.hidden.pop(order_id, (0, 0))[0]
        return level.side, level.price_ticks, lots

    def reduce_order(self, order_id: int, lots: int, display_lots: int = 0) -> None:
        """Lower an order's open lots to `lots`, hidden ones first; it keeps its place.

        display_lots: how much an iceberg shows from its next refresh on; 0: as before.
        """
        level = self._orders[order_id]
        shown = level.orders[order_id]
        hidden, display_before = self.hidden.pop(order_id, (0, 0))
        assert 0 < lots <= shown + hidden
        if lots < shown:
            level.total_lots -= shown - lots
            level.orders[order_id] = lots
        elif lots > shown:
            self.hidden[order_id] = (lots - shown, display_lots or display_before)

    def crosses(self, side: Side, price_ticks: int) -> bool:
        """May an order at this price meet somebody? Sure only when the answer is no."""
        if side is BUY:
            return self._asks.ranks[-1] >= -price_ticks
        return self._bids.ranks[-1] >= price_ticks

    def fillable(self, side: Side, price_ticks: int | None, lots: int) -> bool:
        """Could an order of this size be filled whole at once? Changes nothing."""
        other = self._asks if side is BUY else self._bids
        limit = RANK_MIN + 1 if price_ticks is None else other.sign * price_ticks
        for rank in reversed(other.ranks):
            if rank < limit:
                return False
            lots -= other.levels[rank].total_lots
            if lots <= 0:
                return True
        return False

    @property
    def best_bid(self) -> int | None:
        """The highest price somebody pays, in ticks."""
        level = self._bids.best()
        return level.price_ticks if level else None

    @property
    def best_ask(self) -> int | None:
        """The lowest price somebody sells at, in ticks."""
        level = self._asks.best()
        return level.price_ticks if level else None

    def get_depth(self, levels: int) -> tuple[list[tuple[int, int]], list[tuple[int, int]]]:
        """The best `levels` prices of bids and of asks: (price in ticks, shown lots)."""
        self._bids.best(), self._asks.best()  # forgets the empty levels at the top, once
        return self._depth(self._bids, levels), self._depth(self._asks, levels)

    def volume_at(self, side: Side, price_ticks: int) -> int:
        """Open lots at one price."""
        own = self._bids if side is BUY else self._asks
        level = own.levels.get(own.sign * price_ticks)
        return level.total_lots if level else 0

    def open_lots(self, order_id: int) -> int:
        """What is left of a resting order; 0 if it does not rest here."""
        level = self._orders.get(order_id)
        if level is None:
            return 0
        hidden = self.hidden.get(order_id, (0, 0))[0] if self.hidden else 0
        return level.orders[order_id] + hidden

    def shown_lots(self, order_id: int) -> int:
        """What is shown of an order that rests here."""
        return self._orders[order_id].orders[order_id]

    def makers(self, side: Side, price_ticks: int | None) -> Iterator[tuple[PriceLevel, int, int]]:
        """Whom an order would meet, in order, down to its limit: (level, order id, shown lots).

        The book must not change meanwhile.
        """
        other = self._asks if side is BUY else self._bids
        limit = RANK_MIN + 1 if price_ticks is None else other.sign * price_ticks
        for rank in reversed(other.ranks):
            if rank < limit:
                return
            level = other.levels[rank]
            for order_id, lots in level.orders.items():
                yield level, order_id, lots

    def order_ids(self) -> list[int]:
        """Resting orders in the order they entered the book."""
        return list(self._orders)

    def resting(self, side: Side, price_ticks: int) -> Iterator[tuple[int, int]]:
        """One side's orders down to a price, in priority order: (order id, all open lots)."""
        own, hidden = self._bids if side is BUY else self._asks, self.hidden
        limit = own.sign * price_ticks
        for rank in reversed(own.ranks[1:]):
            if rank < limit:
                return
            if hidden:
                for order_id, lots in own.levels[rank].orders.items():
                    yield order_id, lots + hidden.get(order_id, (0, 0))[0]
            else:
                yield from own.levels[rank].orders.items()

    def levels(self, side: Side) -> list[tuple[int, int]]:
        """One side's prices, best first, and all open lots there, hidden ones included."""
        own, hidden = self._bids if side is BUY else self._asks, dict[PriceLevel, int]()
        for order_id, (lots, _) in self.hidden.items():
            level = self._orders[order_id]
            hidden[level] = hidden.get(level, 0) + lots
        return [
            (level.price_ticks, level.total_lots + hidden.get(level, 0))
            for level in (own.levels[rank] for rank in reversed(own.ranks[1:]))
            if level.total_lots
        ]

    @property
    def crossed(self) -> bool:
        """Would somebody who rests trade with somebody else? Only in an auction's call."""
        bid, ask = self.best_bid, self.best_ask
        return bid is not None and ask is not None and bid >= ask

    def priority(self) -> list[int]:
        """Resting orders, bids then asks, best price first, oldest first."""
        return [
            order_id
            for side in (self._bids, self._asks)
            for rank in reversed(side.ranks[1:])
            for order_id in side.levels[rank].orders
        ]

    def restore_priority(self, order_ids: list[int]) -> None:
        """Put each level's orders in this order: refreshed icebergs stand where they went."""
        for order_id in order_ids:
            self._orders[order_id].orders.move_to_end(order_id)

    def __len__(self) -> int:
        return len(self._orders)

    def check(self, *, crossed: bool = False) -> None:
        """Assert every invariant of the structure; for tests, it visits everything."""
        for side in (self._bids, self._asks):
            assert side.ranks == [RANK_MIN, *sorted(side.levels)]
            for rank, level in side.levels.items():
                assert level.price_ticks == rank * side.sign
                assert level.side is side.side
                assert level.total_lots == sum(level.orders.values())
                for order_id, lots in level.orders.items():
                    assert lots > 0 and self._orders[order_id] is level
        resting = sum(len(x.orders) for s in (self._bids, self._asks) for x in s.levels.values())
        assert resting == len(self._orders)
        assert all(id in self._orders and lots > 0 for id, (lots, _) in self.hidden.items())
        assert crossed or not self.crossed, "crossed"

    def _match(self, other: BookSide, limit: int, lots: int) -> tuple[list[Fill], int]:
        """Fill from the best level on, while its rank is at least `limit`."""
        fills: list[Fill] = []
        ranks = other.ranks
        while lots and ranks[-1] >= limit:
            level = other.levels[ranks[-1]]
            if level.total_lots:
                lots = self._fill(level, lots, fills)
                if level.total_lots:
                    break
            del other.levels[ranks.pop()]
            self._spare.append(level)
        return fills, lots

    def _fill(self, level: PriceLevel, lots: int, fills: list[Fill]) -> int:
        """Trade with one level, oldest order first; returns what is left to trade."""
        price_ticks = level.price_ticks
        orders = level.orders
        filled: list[int] = []
        before = lots
        for maker_id, maker_lots in orders.items():
            if maker_lots > lots:
                orders[maker_id] = maker_lots - lots
                fills.append((maker_id, price_ticks, lots))
                lots = 0
                break
            lots -= maker_lots
            fills.append((maker_id, price_ticks, maker_lots))
            filled.append(maker_id)
            if not lots:
                break
        for maker_id in filled:  # afterwards: a dict must not shrink while it is walked
            del orders[maker_id], self._orders[maker_id]
        level.total_lots -= before - lots
        return lots

    @staticmethod
    def _depth(side: BookSide, levels: int) -> list[tuple[int, int]]:
        depth: list[tuple[int, int]] = []
        for rank in reversed(side.ranks):
            if len(depth) == levels or rank == RANK_MIN:
                break
            level = side.levels[rank]
            if level.total_lots:
                depth.append((level.price_ticks, level.total_lots))
        return depth
