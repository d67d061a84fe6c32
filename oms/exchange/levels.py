"""Price levels: one side of an order book.

Flow:  book -> [levels]
Owner: the dispatcher thread.
Hot:   hence plain lists and slotted classes, and a level that outlives its orders.
"""

from __future__ import annotations

from collections import OrderedDict

from oms.messages import Side

BUY = Side.BUY
RANK_MIN = -(1 << 62)
EMPTY_LEVELS_MAX = 64  # and as many again as have orders


class PriceLevel:
    """The orders that rest at one price: order id -> open lots, oldest first; and their sum.

    OrderedDict, because a plain dict emptied from its front looks again and again at the
    holes it left: draining a deep level one by one would be quadratic.
    """

    __slots__ = ("orders", "price_ticks", "side", "total_lots")

    def __init__(self) -> None:
        self.side = BUY
        self.price_ticks = 0
        self.total_lots = 0
        self.orders: OrderedDict[int, int] = OrderedDict()


class BookSide:
    """One side's levels, by rank: the higher the rank, the better the price.

    The rank of a bid is its price, of an ask its negated price; so one piece of code
    matches both ways. `ranks` is sorted, best last, under a sentinel that is never
    reached. A level that ran empty by cancels stays until matching or reading meets it
    at the top, or half of all levels are empty: most are refilled before, and a cancel
    then never searches.
    """

    __slots__ = ("levels", "levels_max", "ranks", "side", "sign")

    def __init__(self, side: Side) -> None:
        self.side = side
        self.sign = 1 if side is BUY else -1
        self.levels: dict[int, PriceLevel] = {}
        self.levels_max = EMPTY_LEVELS_MAX
        self.ranks: list[int] = [RANK_MIN]

    def sweep(self) -> None:
        """Forget the empty levels; done so rarely that it costs a new level next to nothing."""
        self.levels = {rank: level for rank, level in self.levels.items() if level.total_lots}
        self.levels_max = 2 * len(self.levels) + EMPTY_LEVELS_MAX
        self.ranks = [RANK_MIN, *sorted(self.levels)]

    def best(self) -> PriceLevel | None:
        """The best level that has orders."""
        ranks = self.ranks
        while len(ranks) > 1:
            level = self.levels[ranks[-1]]
            if level.total_lots:
                return level
            del self.levels[ranks.pop()]
        return None
