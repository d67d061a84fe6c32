"""Arrival: one order meets one book; every kind of order but the plain one.

Flow:  matching -> [arrival] -> sweep, book; events come back in the order they happened
Owner: the dispatcher thread.
"""

from collections.abc import Iterable, Iterator

from oms.exchange.ledger import bound_of
from oms.exchange.market import Market
from oms.exchange.phases import Phases
from oms.exchange.rules import Rules
from oms.exchange.sweep import UNBOUNDED, Step, affordable, cost_of, filled_by, sweep
from oms.instruments import MarketOrderPolicy
from oms.messages import (
    Liquidity,
    Phase,
    PostOnly,
    RejectReason,
    ResponseType,
    SelfTrade,
    Side,
    TimeInForce,
)
from oms.money import UNITS_MAX
from oms.orders import Event, Order

TRADE, CANCELED = ResponseType.TRADE, ResponseType.CANCELED
REJECTED, RESTATED = ResponseType.REJECTED, ResponseType.RESTATED
BUY, SELL = Side.BUY, Side.SELL
NEVER_REST = (TimeInForce.IOC, TimeInForce.FOK)
MAKER, TAKER = Liquidity.MAKER.value, Liquidity.TAKER.value
NO_LIQUIDITY = RejectReason.INSUFFICIENT_LIQUIDITY.value
CONTINUOUS, NO_PREVENTION = Phase.CONTINUOUS, SelfTrade.NONE


class Arrival:
    """How orders are executed, by the exchange's rules and the phase of their market."""

    def __init__(self, rules: Rules, phases: Phases) -> None:
        self._rules = rules
        self._phases = phases

    def execute(
        self,
        market: Market,
        order: Order,
        price_ticks: int,
        lots: int,
        display_lots: int = 0,
        *,
        arrives: bool = False,
    ) -> list[Event]:
        """Trade what crosses and may; what is left rests, or ends.

        All events but the first, which says that it was accepted, triggered or replaced; or
        REJECTED alone. arrives: it is new, so its minimum quantity counts.
        """
        terms = order.terms
        if terms is not None:
            display_lots = display_lots or terms.display_lots
        may_rest = price_ticks > 0 and order.time_in_force not in NEVER_REST
        if market.phase is not CONTINUOUS:
            if not may_rest or (arrives and terms is not None and terms.min_lots):
                return [closed_to(order, market)]
            return self._rest(market, order, price_ticks, lots, display_lots)
        slid: list[Event] = []
        if terms is not None and terms.post_only:
            reason = post_only_reason(market, order, price_ticks)
            if reason:
                return [rejected(order, reason)]
            price_ticks, slid = slide(market, order, price_ticks)
        protection = terms.protection_ticks if terms is not None else 0
        limit_ticks = price_ticks or protection or market.market_limit(order.side)
        if terms is not None and terms.budget:
            lots = self._spend(market, order, terms.budget, limit_ticks)
        steps, breach = self._plan(market, order, limit_ticks, lots)
        refusal = self._refusal(order, steps, lots, arrives)
        if refusal is not None:
            return [refusal]
        events, left = self._take(market, order, steps, lots)
        if breach:
            self._phases.breached(market)
        if left is None:
            return slid + events
        if left and may_rest and not (breach and market.phase is CONTINUOUS):
            return slid + events + self._rest(market, order, price_ticks, left, display_lots)
        if left or not lots:
            code = RejectReason.BREAKER.value if breach else NO_LIQUIDITY
            events.append(canceled(order.order_id, f"{code}: left={left}"))
        return slid + events

    def undisturbed(self, market: Market, order: Order) -> bool:
        """Will a limit order that crosses meet strangers' plain orders alone, and no band?"""
        side, price_ticks, book = order.side, order.price_ticks, market.book
        if book.hidden or (
            market.instrument.breaker_band_bps and market.breaker_band() is not None
        ):
            return False
        if self._rules.self_trade is NO_PREVENTION:
            return True
        is_own, lots = self._rules.is_own(order.account), order.left_lots
        for _, maker_id, shown in book.makers(side, price_ticks):
            if is_own(maker_id):
                return False
            lots -= shown
            if lots <= 0:
                break
        return True

    def note_trades(self, market: Market, side: Side, prices: Iterable[int]) -> None:
        """What an order of this side traded at, in order: depth, last price, stops that wake."""
        rules, other, at = self._rules, SELL if side is BUY else BUY, 0
        for price_ticks in prices:
            if price_ticks != at:
                at = price_ticks
                market.touch(other, price_ticks)
                market.traded(price_ticks, rules.wall_ns, rules.breaker_window_ns)
                rules.trigger(market, price_ticks)

    # --- the steps, and whether they will do ---

    def _sweep(
        self, market: Market, order: Order, limit_ticks: int | None, lots: int
    ) -> Iterator[Step]:
        rules = self._rules
        return sweep(
            market.book, order.order_id, order.side, limit_ticks, lots,
            rules.is_own(order.account), rules.self_trade_of(order),
        )  # fmt: skip

    def _plan(
        self, market: Market, order: Order, limit_ticks: int | None, lots: int
    ) -> tuple[list[Step], bool]:
        """What it would meet, cut where the breaker's band ends; and whether it was cut."""
        steps = self._sweep(market, order, limit_ticks, lots)
        band, planned = market.breaker_band(), list[Step]()
        for step in steps if lots else ():
            if band is not None and step[0] is TRADE and not band[0] <= step[2] <= band[1]:
                return planned, True
            planned.append(step)
        return planned, False

    def _spend(self, market: Market, order: Order, budget: int, limit_ticks: int | None) -> int:
        """A market buy by quote quantity learns here how many lots it is for."""
        lots = affordable(order, budget, self._sweep(market, order, limit_ticks, UNBOUNDED))
        if order.exposure is not None:
            order.exposure.move(order, lots - order.left_lots)
        order.quantity_lots = order.left_lots = lots
        return lots

    def _refusal(self, order: Order, steps: list[Step], lots: int, arrives: bool) -> Event | None:
        """Why nothing of it may happen: not enough there, or not enough money."""
        filled = filled_by(steps)
        ledger = self._rules.ledger
        if ledger is not None and order.side is BUY and not bound_of(order):
            reason = ledger.hold(order, cost_of(order, steps))
            if reason:
                return rejected(order, reason)
        policy = order.instrument.market_order
        whole = not order.by_price and policy is MarketOrderPolicy.ALL_OR_NONE
        if whole and filled < lots:
            return rejected(order, f"{NO_LIQUIDITY}: quantity={lots}, policy={policy}")
        min_lots = order.terms.min_lots if order.terms is not None and arrives else 0
        if filled < min_lots and lots:
            code = RejectReason.MIN_QUANTITY.value
            return canceled(order.order_id, f"{code}: fillable={filled}, min={min_lots}")
        if order.time_in_force is TimeInForce.FOK and filled < lots:
            return canceled(order.order_id, f"{NO_LIQUIDITY}: quantity={lots}, policy=FOK")
        return None

    def _take(
        self, market: Market, order: Order, steps: list[Step], lots: int
    ) -> tuple[list[Event], int | None]:
        """Do the steps; what is left of the order, None if it was canceled."""
        book, orders, order_id = market.book, self._rules.orders, order.order_id
        events: list[Event] = []
        left: int | None = lots
        for kind, id, price_ticks, step_lots in steps:
            if kind is TRADE:
                assert left is not None
                book.trade(id, step_lots)
                left -= step_lots
                events.append((TRADE, order_id, 0, price_ticks, step_lots, TAKER, "", ""))
                events.append((TRADE, id, 0, price_ticks, step_lots, MAKER, "", ""))
            else:
                events.append((kind, id, 0, 0, step_lots, "", RejectReason.SELF_TRADE.value, ""))
                if id == order_id:
                    left = left - step_lots if kind is RESTATED and left is not None else None
                    continue
                market.touch(orders[id].side, orders[id].price_ticks)
                if kind is CANCELED:
                    book.cancel_order(id)
                else:
                    book.reduce_order(id, book.open_lots(id) - step_lots)
        traded = (price for kind, _, price, _ in steps if kind is TRADE)
        self.note_trades(market, order.side, traded)
        return events, left

    @staticmethod
    def _rest(
        market: Market, order: Order, price_ticks: int, lots: int, display_lots: int
    ) -> list[Event]:
        """Wait in the book; nothing crosses, or this is an auction's call."""
        if display_lots:
            market.book.add_iceberg(order.order_id, order.side, price_ticks, lots, display_lots)
        else:
            market.book.add_order(order.order_id, order.side, price_ticks, lots, False)
        market.touch(order.side, price_ticks)
        return []


# --- post-only ---


def post_only_reason(market: Market, order: Order, price_ticks: int) -> str:
    """Why a post-only order may not come in at this price; "" if it may, or need not."""
    if order.terms is None or not order.terms.post_only or market.phase is not CONTINUOUS:
        return ""
    if not _would_take(market, order.side, price_ticks):
        return ""
    if order.terms.post_only == PostOnly.SLIDE and 0 < _beside(market, order) <= UNITS_MAX:
        return ""
    best = market.book.best_ask if order.side is BUY else market.book.best_bid
    return f"{RejectReason.POST_ONLY.value}: price={price_ticks}, best={best}"


def slide(market: Market, order: Order, price_ticks: int) -> tuple[int, list[Event]]:
    """The price a post-only order comes in at, and the event that tells if it is another."""
    if not _would_take(market, order.side, price_ticks):
        return price_ticks, []
    beside = _beside(market, order)
    reason = f"{RejectReason.POST_ONLY.value}: price={beside}"
    return beside, [(RESTATED, order.order_id, 0, beside, 0, "", reason, "")]


def _would_take(market: Market, side: Side, price_ticks: int) -> bool:
    best = market.book.best_ask if side is BUY else market.book.best_bid
    return best is not None and (price_ticks >= best if side is BUY else price_ticks <= best)


def _beside(market: Market, order: Order) -> int:
    """A tick from the best opposite price."""
    tick = order.instrument.tick_size
    if order.side is BUY:
        return (market.book.best_ask or 0) - tick
    return (market.book.best_bid or 0) + tick


# --- events ---


def canceled(order_id: int, reason: str, request_seq: int = 0) -> Event:
    return (CANCELED, order_id, request_seq, 0, 0, "", reason, "")


def rejected(order: Order, reason: str) -> Event:
    return (REJECTED, order.order_id, 0, 0, 0, "", reason, "")


def closed_to(order: Order, market: Market) -> Event:
    reason = (
        f"{RejectReason.MARKET_STATE.value}: phase={market.phase}, type={order.order_type}, "
        f"tif={order.time_in_force}"
    )
    return rejected(order, reason)
