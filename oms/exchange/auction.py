"""Auction: the one price at which most of a crossed book trades, and who trades with whom.

Flow:  market, at the end of a call -> [auction] -> fills
In:    prices in ticks, lots; orders. Out: a price and its volume; fills.
Owner: nobody: pure functions. No locks, no I/O, no logging, no clock.
"""

from collections.abc import Callable, Iterable
from typing import NamedTuple

from oms.enums import SelfTrade
from oms.exchange.order import Order

Interest = tuple[int, Order]
"""The worst price an order trades at, in ticks; and the order."""

StepAt = Callable[[int], int]
"""The price step from a price on upward; see Instrument.tick_at."""
AuctionFill = tuple[Order, Order, int]
"""Buyer, seller, quantity in lots."""
TakenOut = dict[int, tuple[Order, int]]
"""Order id -> an order that self-trade prevention takes out, and how many lots of it."""
ModeOf = Callable[[Order, Order], SelfTrade]
"""What keeps this buyer and this seller apart; NONE: they may trade."""


class Equilibrium(NamedTuple):
    """What would trade at one price.

    surplus_lots: demand less supply at that price; above 0 buyers are left over, below 0
        sellers.
    """

    price_ticks: int
    volume_lots: int
    surplus_lots: int


class Uncross(NamedTuple):
    """All that an uncross does; nothing is done yet. found: None where nothing trades."""

    found: Equilibrium | None
    fills: list[AuctionFill]
    taken_out: TakenOut


class Stretch(NamedTuple):
    """Prices of the grid, from low to high, between which nobody joins or leaves."""

    low: int
    high: int
    volume: int
    surplus: int


# --- the price ---


def equilibrium(
    bids: Iterable[tuple[int, int]],
    asks: Iterable[tuple[int, int]],
    reference_ticks: int,
    tick_at: StepAt | None,
) -> Equilibrium | None:
    """The auction price of these (price in ticks, lots); None if no bid meets an ask.

    Of all prices of the grid: the largest volume, then the smallest surplus, then by pressure
    (the highest if only buyers are left over, the lowest if only sellers), then the nearest to
    the reference, which is itself the nearest if it is one of them; then the higher.
    reference_ticks 0: there is none, the highest. tick_at: the grid's step from a price on
    upward; None: limit prices alone (rules number 1). A limit that is off the grid, of an order
    older than the grid, is a price too: else orders that meet at nothing else would be left
    crossed.

    The prices may repeat and stand in any order; lots are above 0, hidden ones included.
    """
    return _equilibrium(_lots_by_price(bids), _lots_by_price(asks), reference_ticks, tick_at)


def _equilibrium(
    bids: dict[int, int], asks: dict[int, int], reference_ticks: int, tick_at: StepAt | None
) -> Equilibrium | None:
    """The same of all lots of each side, summed up by price."""
    found = _stretches(bids, asks, tick_at)
    if not found:
        return None
    volume_max = max(each.volume for each in found)
    found = [each for each in found if each.volume == volume_max]
    surplus_min = min(abs(each.surplus) for each in found)
    best = [each for each in found if abs(each.surplus) == surplus_min]
    return _choose(best, reference_ticks, tick_at)


def _lots_by_price(orders: Iterable[tuple[int, int]]) -> dict[int, int]:
    """All lots of a side, summed up by price."""
    total: dict[int, int] = {}
    for price, lots in orders:
        assert lots > 0
        total[price] = total.get(price, 0) + lots
    return total


def _stretches(bids: dict[int, int], asks: dict[int, int], tick_at: StepAt | None) -> list[Stretch]:
    """Every price at which something trades, lowest first: limits, and what lies between two.

    That is from the lowest ask to the highest bid. What lies outside is left out before
    sorting: in a deep book it is nearly everything, and it never trades. Volume and surplus
    change at limits only, so the prices between two limits are one step, however many they are.
    """
    if not bids or not asks:
        return []
    low, high = min(asks), max(bids)
    prices = sorted(price for price in bids.keys() | asks.keys() if low <= price <= high)
    # One walk upwards: sellers join at their limit, buyers leave above theirs.
    demand, supply = sum(lots for price, lots in bids.items() if price >= low), 0
    found, below = list[Stretch](), low
    for price in prices:
        if tick_at is not None and price - below > 1:
            first = below - below % tick_at(below) + tick_at(below)
            last = (price - 1) - (price - 1) % tick_at(price - 1)
            if first <= last:
                found.append(Stretch(first, last, min(demand, supply), demand - supply))
        supply += asks.get(price, 0)
        found.append(Stretch(price, price, min(demand, supply), demand - supply))
        demand -= bids.get(price, 0)
        below = price
    return found


def _choose(best: list[Stretch], reference_ticks: int, tick_at: StepAt | None) -> Equilibrium:
    """One of several prices, lowest first, with the same volume and the same size of surplus."""
    # Demand less supply never rises with the price: so the last one tells whether all have
    # buyers left over, and the first whether all have sellers.
    lowest, highest = best[0], best[-1]
    if lowest.surplus < 0:
        return Equilibrium(lowest.low, lowest.volume, lowest.surplus)
    if highest.surplus > 0 or not reference_ticks:
        return Equilibrium(highest.high, highest.volume, highest.surplus)
    nearest = [
        Equilibrium(_nearest(each, reference_ticks, tick_at), each.volume, each.surplus)
        for each in best
    ]
    return min(
        nearest, key=lambda each: (abs(each.price_ticks - reference_ticks), -each.price_ticks)
    )


def _nearest(stretch: Stretch, reference_ticks: int, tick_at: StepAt | None) -> int:
    """The price of a stretch that is nearest to the reference; of two, the higher."""
    if not stretch.low < reference_ticks < stretch.high:
        return stretch.low if reference_ticks <= stretch.low else stretch.high
    if tick_at is None:
        return reference_ticks  # a stretch is one price then, and this is not reached
    tick = tick_at(reference_ticks)  # both ends are on the grid
    below = reference_ticks - reference_ticks % tick
    return below if 2 * (reference_ticks - below) < tick else below + tick


# --- who trades ---


def uncross(
    bids: list[Interest],
    asks: list[Interest],
    reference_ticks: int,
    tick_at: StepAt | None,
    mode_of: ModeOf,
) -> Uncross:
    """What trades when a call ends: first who is kept apart, then the price without them.

    bids, asks: in priority order, so best price first.
    """
    fills, taken_out = meet(bids, asks, mode_of)
    if not fills:
        return Uncross(None, fills, taken_out)
    found = _equilibrium(_left(bids, taken_out), _left(asks, taken_out), reference_ticks, tick_at)
    assert found is not None
    assert found.volume_lots == sum([lots for _, _, lots in fills]), "volume and fills differ"
    return Uncross(found, fills, taken_out)


def _left(side: list[Interest], taken_out: TakenOut) -> dict[int, int]:
    """All lots of a side, summed up by limit, but for what was taken out."""
    total: dict[int, int] = {}
    for price, order in side:
        lots = order.leaves_lots
        if taken_out and order.order_id in taken_out:
            lots -= taken_out[order.order_id][1]
        total[price] = total.get(price, 0) + lots
    return {price: lots for price, lots in total.items() if lots}


def meet(
    bids: Iterable[Interest], asks: Iterable[Interest], mode_of: ModeOf
) -> tuple[list[AuctionFill], TakenOut]:
    """Let the first of both sides trade, as long as their limits allow.

    So many lots can trade at one price, and no more: of a buyer and a seller as far down the
    line as the largest volume, one of the limits is such a price. Who comes after whom does
    not depend on it, hence it need not be known here. Two that must not trade with each other
    lose what the mode takes from them, and the walk goes on with whoever is next.
    """
    fills, taken_out = list[AuctionFill](), TakenOut()
    buyers, sellers = iter(bids), iter(asks)
    bid = ask = bid_lots = ask_lots = 0
    buyer: Order | None = None
    seller: Order | None = None
    while True:
        if not bid_lots:
            bid, buyer = next(buyers, (0, None))
            bid_lots = buyer.leaves_lots if buyer is not None else 0
        if not ask_lots:
            ask, seller = next(sellers, (0, None))
            ask_lots = seller.leaves_lots if seller is not None else 0
        if buyer is None or seller is None or bid < ask:
            return fills, taken_out
        mode = mode_of(buyer, seller)
        if mode is SelfTrade.NONE:
            lots = bid_lots if bid_lots < ask_lots else ask_lots
            fills.append((buyer, seller, lots))
            bid_lots -= lots
            ask_lots -= lots
            continue
        off_bid, off_ask = kept_apart(mode, buyer, seller, bid_lots, ask_lots)
        bid_lots, ask_lots = bid_lots - off_bid, ask_lots - off_ask
        both = [(seller, off_ask), (buyer, off_bid)]
        for order, lots in both if newer(buyer, seller) is buyer else reversed(both):
            if lots:
                before = taken_out.get(order.order_id, (order, 0))[1]
                taken_out[order.order_id] = order, before + lots


def newer(buyer: Order, seller: Order) -> Order:
    """Who would have been the taker: the one who entered the book later."""
    return buyer if buyer.entered > seller.entered else seller


def kept_apart(
    mode: SelfTrade, buyer: Order, seller: Order, bid_lots: int, ask_lots: int
) -> tuple[int, int]:
    """What a mode takes off both, of what is left of them where they meet: (buyer, seller)."""
    if mode is SelfTrade.DECREMENT:
        lots = min(bid_lots, ask_lots)
        return lots, lots
    if mode is SelfTrade.CANCEL_BOTH:
        return bid_lots, ask_lots
    takes_buyer = (newer(buyer, seller) is buyer) == (mode is SelfTrade.CANCEL_NEWEST)
    return (bid_lots, 0) if takes_buyer else (0, ask_lots)
