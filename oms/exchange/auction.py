"""Auction: the one price at which most of a crossed book trades, and who trades with whom.

Flow:  market, at the end of a call -> [auction] -> fills
In:    prices in ticks, lots; orders. Out: a price and its volume; fills.
Owner: nobody: two pure functions. No locks, no I/O, no logging, no clock.
"""

from collections.abc import Iterable
from typing import NamedTuple

from oms.exchange.order import Order

AuctionFill = tuple[Order, Order, int]
"""Buyer, seller, quantity in lots."""


class Equilibrium(NamedTuple):
    """What would trade at one price.

    surplus_lots: demand less supply at that price; above 0 buyers are left over, below 0
        sellers.
    """

    price_ticks: int
    volume_lots: int
    surplus_lots: int


def equilibrium(
    bids: Iterable[tuple[int, int]], asks: Iterable[tuple[int, int]], reference_ticks: int
) -> Equilibrium | None:
    """The auction price of these (price in ticks, lots); None if no bid meets an ask.

    Of all limit prices: the largest volume, then the smallest surplus, then by pressure (the
    highest if only buyers are left over, the lowest if only sellers), then the nearest to the
    reference, then the higher. reference_ticks 0: there is none, the highest.

    The prices may repeat and stand in any order; lots are above 0, hidden ones included.
    """
    found = _candidates(_lots_by_price(bids), _lots_by_price(asks))
    if not found:
        return None
    volume_max = max(volume for _, volume, _ in found)
    found = [each for each in found if each[1] == volume_max]
    surplus_min = min(abs(surplus) for _, _, surplus in found)
    best = [Equilibrium(*each) for each in found if abs(each[2]) == surplus_min]
    return _choose(best, reference_ticks)


def pair(bids: Iterable[Order], asks: Iterable[Order], found: Equilibrium) -> list[AuctionFill]:
    """Let the first of both sides trade, until the volume is used up.

    bids, asks: open orders in priority order, together at least the volume; they are read no
    further than needed.
    """
    fills: list[AuctionFill] = []
    buyers, sellers = iter(bids), iter(asks)
    volume_lots, bid_lots, ask_lots = found.volume_lots, 0, 0
    while volume_lots:
        try:
            if not bid_lots:
                buyer = next(buyers)
                bid_lots = buyer.leaves_lots
            if not ask_lots:
                seller = next(sellers)
                ask_lots = seller.leaves_lots
        except StopIteration:
            raise AssertionError("more volume than orders") from None
        lots = min(bid_lots, ask_lots, volume_lots)
        fills.append((buyer, seller, lots))
        bid_lots -= lots
        ask_lots -= lots
        volume_lots -= lots
    return fills


def _lots_by_price(orders: Iterable[tuple[int, int]]) -> dict[int, int]:
    """All lots of a side, summed up by price."""
    total: dict[int, int] = {}
    for price, lots in orders:
        assert lots > 0
        total[price] = total.get(price, 0) + lots
    return total


def _candidates(bids: dict[int, int], asks: dict[int, int]) -> list[tuple[int, int, int]]:
    """(price, volume, surplus) of every limit price at which something trades, lowest first.

    That is from the lowest ask to the highest bid. What lies outside is left out before
    sorting: in a deep book it is nearly everything, and it never trades.
    """
    if not bids or not asks:
        return []
    low, high = min(asks), max(bids)
    prices = sorted(price for price in bids.keys() | asks.keys() if low <= price <= high)
    # One walk upwards: sellers join at their limit, buyers leave above theirs.
    demand, supply = sum(lots for price, lots in bids.items() if price >= low), 0
    found = []
    for price in prices:
        supply += asks.get(price, 0)
        found.append((price, demand if demand < supply else supply, demand - supply))
        demand -= bids.get(price, 0)
    return found


def _choose(best: list[Equilibrium], reference_ticks: int) -> Equilibrium:
    """One of several prices, lowest first, with the same volume and the same size of surplus."""
    # Demand less supply never rises with the price: so the last one tells whether all have
    # buyers left over, and the first whether all have sellers.
    lowest, highest = best[0], best[-1]
    if highest.surplus_lots > 0:
        return highest
    if lowest.surplus_lots < 0:
        return lowest
    if not reference_ticks:
        return highest
    return min(best, key=lambda each: (abs(each.price_ticks - reference_ticks), -each.price_ticks))
