"""Sweep: what an arriving order meets, step by step, before anything is touched.

Flow:  matching -> [sweep] -> steps -> matching applies them to the book
For orders that are not plain, or meet orders that are not: icebergs, self-trade prevention,
budgets, fill-or-kill. Plain orders go straight through the book, at its speed.
"""

from collections import deque
from collections.abc import Callable, Iterator

from oms.exchange.book import OrderBook
from oms.exchange.ledger import fee_of
from oms.messages import Liquidity, ResponseType, SelfTrade, Side
from oms.orders import Order

TRADE, CANCELED, RESTATED = ResponseType.TRADE, ResponseType.CANCELED, ResponseType.RESTATED
TAKER = Liquidity.TAKER.value
UNBOUNDED = 1 << 100  # lots of an order that a budget bounds

Step = tuple[ResponseType, int, int, int]
"""TRADE: maker, price, lots. CANCELED: by self-trade prevention. RESTATED: lots less."""

IsOwn = Callable[[int], bool]


def sweep(
    book: OrderBook,
    order_id: int,
    side: Side,
    price_ticks: int | None,
    lots: int,
    is_own: IsOwn,
    mode: SelfTrade,
) -> Iterator[Step]:
    """What happens when this order arrives, down to its limit (None: any price).

    Ends when it is filled, nothing more crosses, or self-trade prevention ends the order:
    then its own CANCELED is among the last two steps. Changes nothing.
    """
    left, gone = lots, set[int]()
    for maker_id, price, open_lots in _queue(book, side, price_ticks):
        if maker_id in gone:
            continue  # an iceberg of our own, whose next lots would have come now
        if mode is SelfTrade.NONE or not is_own(maker_id):
            traded = min(open_lots, left)
            yield TRADE, maker_id, price, traded
            left -= traded
        else:
            maker_lots = book.open_lots(maker_id)
            yield from _prevent(mode, order_id, left, maker_id, maker_lots)
            gone.add(maker_id)
            if mode is SelfTrade.DECREMENT and left > maker_lots:
                left -= maker_lots
            elif mode is not SelfTrade.CANCEL_OLDEST:
                return
        if not left:
            return


def _prevent(
    mode: SelfTrade, order_id: int, left: int, maker_id: int, maker_lots: int
) -> Iterator[Step]:
    """The steps that keep an order and its own maker apart."""
    if mode is SelfTrade.DECREMENT and left != maker_lots:
        smaller, larger = (maker_id, order_id) if maker_lots < left else (order_id, maker_id)
        yield CANCELED, smaller, 0, 0
        yield RESTATED, larger, 0, min(left, maker_lots)
        return
    if mode is not SelfTrade.CANCEL_NEWEST:
        yield CANCELED, maker_id, 0, 0
    if mode is not SelfTrade.CANCEL_OLDEST:
        yield CANCELED, order_id, 0, 0


def _queue(book: OrderBook, side: Side, price_ticks: int | None) -> Iterator[tuple[int, int, int]]:
    """Makers in the order they are met, as if each were filled: id, price, lots shown.

    An iceberg comes again at the back of its level until its hidden lots are gone too.
    """
    hidden = book.hidden
    if not hidden:
        for level, order_id, shown in book.makers(side, price_ticks):
            yield order_id, level.price_ticks, shown
        return
    again: deque[tuple[int, int, int, int]] = deque()  # id, price, hidden lots, to show
    at: int | None = None
    for level, order_id, shown in book.makers(side, price_ticks):
        if level.price_ticks != at:
            yield from _refreshed(again)
            at = level.price_ticks
        if order_id in hidden:
            again.append((order_id, at, *hidden[order_id]))
        yield order_id, at, shown
    yield from _refreshed(again)


def _refreshed(again: "deque[tuple[int, int, int, int]]") -> Iterator[tuple[int, int, int]]:
    while again:
        order_id, price, left, display = again.popleft()
        shown = min(left, display)
        if left > shown:
            again.append((order_id, price, left - shown, display))
        yield order_id, price, shown


def filled_by(steps: list[Step]) -> int:
    """How many lots the steps trade."""
    return sum(lots for kind, _, _, lots in steps if kind is TRADE)


def cost_of(order: Order, steps: list[Step]) -> int:
    """What a buy pays for these fills, fees included, in units of the quote asset."""
    return sum(_cost(order, price, lots) for kind, _, price, lots in steps if kind is TRADE)


def _cost(order: Order, price_ticks: int, lots: int) -> int:
    notional = order.instrument.notional(price_ticks, lots)
    return notional + fee_of(order.fees, notional, TAKER)


def affordable(order: Order, budget: int, steps: Iterator[Step]) -> int:
    """The most lots, in whole lot sizes, that a budget buys along these steps.

    It ends where self-trade prevention would touch the order itself.
    """
    lot_size, total, spent = order.instrument.lot_size, 0, 0
    for kind, maker_id, price, lots in steps:
        if kind is not TRADE:
            if maker_id == order.order_id:
                break
            continue
        cost = _cost(order, price, lots)
        if spent + cost <= budget:
            total, spent = total + lots, spent + cost
            continue
        low, high = 0, lots  # the most of this fill that still fits
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (
                (middle, high) if spent + _cost(order, price, middle) <= budget else (low, middle)
            )
        total += low
        break
    return total - total % lot_size
