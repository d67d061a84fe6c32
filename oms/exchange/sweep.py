"""Sweep: what an arriving order meets, step by step, before anything is touched.

Flow:  matching -> [sweep] -> steps -> matching does them; what was wanted -> why it ends
For orders that are not plain, or meet orders that are not: icebergs, self-trade prevention,
budgets, fill-or-kill. Plain orders go straight through the book, at its speed.
"""

from collections import deque
from collections.abc import Callable, Iterator

from oms.enums import Liquidity, ResponseType, SelfTrade
from oms.exchange.book import OrderBook
from oms.exchange.order import Order
from oms.exchange.settlement import fee_of, whole_cost
from oms.money import to_text

TRADE, CANCELED, RESTATED = ResponseType.TRADE, ResponseType.CANCELED, ResponseType.RESTATED
TAKER = Liquidity.TAKER.value
UNBOUNDED = 1 << 100  # lots of an order that a budget bounds

SweepStep = tuple[ResponseType, Order, int, int]
"""TRADE: maker, price, lots. CANCELED: by self-trade prevention. RESTATED: lots less."""


class Quantity:
    """What an order wants that is for so many lots. left: of them. scale: decimals of the text."""

    __slots__ = ("left", "lots", "scale")

    def __init__(self, lots: int, scale: int = 0) -> None:
        self.lots = self.left = lots
        self.scale = scale

    def at(self, _price_ticks: int) -> int:
        """How many lots it would still take at a price."""
        return self.left

    def take(self, _price_ticks: int, lots: int) -> None:
        """So many lots were traded at a price, or taken off by self-trade prevention."""
        self.left -= lots

    def rest(self) -> str:
        """What is left of it, for the text of a report."""
        return f"left={to_text(self.left, self.scale)}"


class Budget:
    """What a market buy wants that is to spend so much, fees included; a rebate comes on top.

    lots: what it took so far, and left: what the rest of the budget buys at price_ticks, the
    price looked at last (0: none). While any is left it has not got what it is for.
    """

    __slots__ = ("_order", "_taken", "_worth", "_worth_max", "left", "price_ticks")

    def __init__(self, order: Order) -> None:
        self._order = order
        self._taken = self._worth = self.left = self.price_ticks = 0  # worth: price times lots
        self._worth_max = self._most()

    def _most(self) -> int:
        """The most that fills can be worth, price times lots, so that the budget pays for them."""
        instrument, budget = self._order.instrument, self._budget
        low, high = 0, budget * instrument.price_quantity_unit // instrument.quote_unit + 1
        while high - low > 1:
            middle = (low + high) // 2
            pays = whole_cost(instrument, self._order.fees, middle) <= budget
            low, high = (middle, high) if pays else (low, middle)
        return low

    @property
    def _budget(self) -> int:
        assert self._order.terms is not None
        return self._order.terms.budget

    @property
    def lots(self) -> int:
        return self._taken + self.left

    def at(self, price_ticks: int) -> int:
        self.price_ticks = price_ticks
        total = self._taken + (self._worth_max - self._worth) // price_ticks
        self.left = max(0, total - total % self._order.instrument.lot_size - self._taken)
        return self.left

    def take(self, price_ticks: int, lots: int) -> None:
        self._taken += lots
        self._worth += price_ticks * lots
        self.at(price_ticks)

    def rest(self) -> str:
        spent = whole_cost(self._order.instrument, self._order.fees, self._worth)
        left = to_text(self._budget - spent, self._order.instrument.quote_scale)
        return f"quote_quantity_left={left}"


Wanted = Quantity | Budget


def sweep(
    book: OrderBook,
    order: Order,
    price_ticks: int | None,
    wanted: Wanted,
    is_own: Callable[[Order], bool],
    mode: SelfTrade,
) -> Iterator[SweepStep]:
    """What happens when this order arrives, down to its limit (None: any price).

    Ends when it is filled, nothing more crosses, or self-trade prevention ends the order:
    then its own CANCELED is among the last two steps. Changes nothing.
    """
    gone = set[int]()
    for maker, price, shown in _makers(book, order, price_ticks):
        if maker.order_id in gone:
            continue  # an iceberg of our own, whose next lots would have come now
        left = wanted.at(price)
        if not left:
            return
        if mode is SelfTrade.NONE or not is_own(maker):
            traded = min(shown, left)
            yield TRADE, maker, price, traded
            wanted.take(price, traded)
        else:
            maker_lots = maker.leaves_lots
            yield from _prevent(mode, order, left, maker)
            gone.add(maker.order_id)
            if mode is SelfTrade.DECREMENT and left > maker_lots:
                wanted.take(price, maker_lots)
            elif mode is not SelfTrade.CANCEL_OLDEST:
                return


def _prevent(mode: SelfTrade, order: Order, left: int, maker: Order) -> Iterator[SweepStep]:
    """The steps that keep an order and its own maker apart."""
    maker_lots = maker.leaves_lots
    if mode is SelfTrade.DECREMENT and left != maker_lots:
        smaller, larger = (maker, order) if maker_lots < left else (order, maker)
        yield CANCELED, smaller, 0, 0
        yield RESTATED, larger, 0, min(left, maker_lots)
        return
    if mode is not SelfTrade.CANCEL_NEWEST:
        yield CANCELED, maker, 0, 0
    if mode is not SelfTrade.CANCEL_OLDEST:
        yield CANCELED, order, 0, 0


def _makers(
    book: OrderBook, order: Order, price_ticks: int | None
) -> Iterator[tuple[Order, int, int]]:
    """Makers in the order they are met, as if each were filled: order, price, lots shown.

    An iceberg comes again at the back of its level until its hidden lots are gone too.
    """
    for level in book.opposite(order.side, price_ticks):
        again: deque[tuple[Order, int]] = deque()  # and the lots it has hidden
        for maker in level:
            shown = maker.shown_lots
            if maker.leaves_lots > shown:
                again.append((maker, maker.leaves_lots - shown))
            yield maker, level.price_ticks, shown
        while again:
            maker, left = again.popleft()
            shown = min(left, maker.terms.display_lots)  # type: ignore[union-attr]
            if left > shown:
                again.append((maker, left - shown))
            yield maker, level.price_ticks, shown


def filled_by(steps: list[SweepStep]) -> int:
    """How many lots the steps trade."""
    return sum(lots for kind, _, _, lots in steps if kind is TRADE)


def cost_of(order: Order, steps: list[SweepStep]) -> int:
    """What a buy that had no fill yet must have to pay for these fills, fees included."""
    worth = sum(price * lots for kind, _, price, lots in steps if kind is TRADE)
    return whole_cost(order.instrument, order.fees, worth)


# --- rules number 1: each fill alone, rounded down; a budget is for the lots that it can have ---


def cost_of_each(order: Order, steps: list[SweepStep]) -> int:
    """What a buy pays for these fills, fees included, in units of the quote asset."""
    return sum(_cost(order, price, lots) for kind, _, price, lots in steps if kind is TRADE)


def _cost(order: Order, price_ticks: int, lots: int) -> int:
    notional = order.instrument.notional(price_ticks, lots)
    return notional + fee_of(order.fees, notional, TAKER)


def affordable(order: Order, budget: int, steps: Iterator[SweepStep]) -> int:
    """The most lots, in whole lot sizes, that a budget buys along these steps.

    It ends where self-trade prevention would touch the order itself.
    """
    lot_size, total, spent = order.instrument.lot_size, 0, 0
    for kind, maker, price, lots in steps:
        if kind is not TRADE:
            if maker is order:
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
