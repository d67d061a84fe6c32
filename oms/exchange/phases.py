"""Phases: what may be entered in which phase of a market, and how one phase follows another.

Flow:  calendar, operator, breaker, timers -> [phases] -> uncross -> executions
Owner: the dispatcher thread. Timers go out as `until_ns` of a market and come back as a journal
       entry, so that a replay needs no clock.
"""

from collections.abc import Callable, Mapping
from enum import Enum

from oms.enums import CALLS, MarketOrderPolicy, OrderState, OrderType, Phase, TimeInForce
from oms.exchange.executions import Executions
from oms.exchange.market import Market, Rules
from oms.exchange.order import Order
from oms.money import to_text
from oms.reject_reasons import RejectReason

CLOSED, CONTINUOUS, HALTED = Phase.CLOSED, Phase.CONTINUOUS, Phase.HALTED
CLOSING = Phase.CLOSING_AUCTION
GATHERING = (Phase.PRE_OPEN, *CALLS)  # where market orders wait for the uncross
INTERRUPTED = (HALTED, Phase.REOPENING_AUCTION)
AUCTION = "AUCTION"
TO_BE_DRAWN = -1


class Admission(Enum):
    """What becomes of a new order. HOLD: refused, unless it asks to be held; then it waits until
    the phase is another (rules number 1: it rests)."""

    MATCH = "matches"
    REST = "rests"
    GATHER = "waits for the uncross"
    SUSPEND = "suspended"
    HOLD = "refused, held if asked"
    REFUSE = "refused"


# What may be entered in which phase: orders that may rest, stops, market orders, and orders that
# trade at once or not at all (IOC, FOK, minimum quantity; and of market orders those by quote
# quantity, or all or none). In CLOSED the session decides as well.
ADMISSIONS: dict[Phase, tuple[Admission, Admission, Admission, Admission]] = {
    Phase.PRE_OPEN: (Admission.REST, Admission.SUSPEND, Admission.GATHER, Admission.REFUSE),
    Phase.OPENING_AUCTION: (Admission.REST, Admission.SUSPEND, Admission.GATHER, Admission.REFUSE),
    Phase.CONTINUOUS: (Admission.MATCH, Admission.SUSPEND, Admission.MATCH, Admission.MATCH),
    Phase.CLOSING_AUCTION: (Admission.REST, Admission.SUSPEND, Admission.GATHER, Admission.REFUSE),
    Phase.HALTED: (Admission.HOLD, Admission.SUSPEND, Admission.REFUSE, Admission.REFUSE),
    Phase.REOPENING_AUCTION: (
        Admission.REST, Admission.SUSPEND, Admission.GATHER, Admission.REFUSE,
    ),
    Phase.CLOSED: (Admission.HOLD, Admission.HOLD, Admission.REFUSE, Admission.REFUSE),
}  # fmt: skip


def admission(phase: Phase, order: Order, rules_number: int) -> Admission:
    """What the table says of such an order now."""
    rests, stops, market, at_once = ADMISSIONS[phase]
    if order.suspended:
        return stops
    if order.order_type is OrderType.MARKET:
        return market if gathers(order) and rules_number > 1 else at_once
    if order.time_in_force in (TimeInForce.IOC, TimeInForce.FOK):
        return at_once
    return at_once if order.terms is not None and order.terms.min_lots else rests


def gathers(order: Order) -> bool:
    """May it wait for an uncross without a limit price? Its lots are known, and any of them do."""
    terms = order.terms
    return (
        order.order_type is OrderType.MARKET
        and order.time_in_force not in (TimeInForce.IOC, TimeInForce.FOK)
        and order.instrument.market_order is not MarketOrderPolicy.ALL_OR_NONE
        and (terms is None or not (terms.budget or terms.min_lots))
    )


class Phases:
    """Every market's phase: the session's, unless it is halted or reopens.

    changed: symbols whose phase is another since somebody looked. bring_back: lets orders that
    may act again return to a market, before it opens or uncrosses.
    """

    def __init__(self, rules: Rules, markets: Mapping[str, Market], executions: Executions) -> None:
        self._rules = rules
        self._markets = markets
        self._executions = executions
        self.session = CONTINUOUS
        self.changed: set[str] = set()
        self.bring_back: Callable[[Market], None] = lambda _market: None

    def follow_session(self, market: Market, *, at_once: bool = False) -> None:
        """The calendar went on: this market follows, later if it is halted, or its call goes on.

        at_once: the session closed, so nothing goes on.
        """
        if not at_once and self._call_goes_on(market):
            return
        if self.session is CLOSED or market.limit_state:  # a call has no limit state
            market.until_ns, market.limit_state = 0, False
        elif market.halted:
            self._enter(market, HALTED)
            return
        elif market.until_ns:
            return
        self._enter(market, self.session)

    def halt(self, market: Market) -> None:
        """An operator's halt: until `resume`, whatever the calendar says."""
        market.halted, market.until_ns, market.limit_state = True, 0, False
        if market.phase is not CLOSED:
            self._enter(market, HALTED)

    def resume(self, market: Market) -> None:
        """Trading goes on, after a reopening auction if there is to be one."""
        market.halted = False
        if market.phase is HALTED:
            market.until_ns = 0  # it may have been a breaker's pause that ends early
            self.bring_back(market)
            self._reopen(market)

    def reopen_crossed(self, market: Market) -> None:
        """All who were halted are back: what crosses now is uncrossed, as when it reopens."""
        if market.phase is not CONTINUOUS or not market.book.crossed:
            return
        if self._rules.reopening_auction_ns and self.session is CONTINUOUS:
            self._reopen(market)
        else:
            self._uncross(market)
            self._rules.trigger(market, market.last_ticks)

    def force(self, market: Market, phase: Phase) -> None:
        """An operator sets a phase out of turn; the calendar's next step sets another."""
        market.halted, market.until_ns, market.limit_state = False, 0, False
        self.bring_back(market)
        self._enter(market, phase)
        market.extra_ns = 0  # an operator's call ends when it is told to

    def drawn(self, market: Market, extra_ns: int) -> None:
        """How long the call that has begun lasts beyond its regular end."""
        if market.extra_ns == TO_BE_DRAWN:
            market.extra_ns = extra_ns

    def timer(self, market: Market) -> None:
        """The time that `until_ns` names has come."""
        market.until_ns = 0
        if market.limit_state:
            market.limit_state = False
            if market.outside_band():
                self._pause(market)
        elif market.phase is HALTED:
            self._reopen(market)
        elif not self._call_goes_on(market):
            self._enter(market, self.session)

    def _call_goes_on(self, market: Market) -> bool:
        """At the regular end of a call: does it last longer, by chance, or once for its price?"""
        closes = market.phase is CLOSING and self.session is CLOSED
        if market.phase not in CALLS or not (closes or self.session is CONTINUOUS):
            return False  # it is halted, or becomes another call: no uncross is due
        if market.until_ns:
            return True
        if market.extra_ns > 0:
            market.until_ns, market.extra_ns = self._rules.elapsed_ns + market.extra_ns, 0
            return True
        extension_ns = self._rules.auction_extension_ns
        if market.extended or not extension_ns or not market.leaves_band():
            return False
        market.extended = True
        market.until_ns = self._rules.elapsed_ns + extension_ns
        return True

    @property
    def draws(self) -> bool:
        """Has a call begun whose end is still to be drawn?"""
        return any(market.extra_ns == TO_BE_DRAWN for market in self._markets.values())

    def next_timer_ns(self) -> int | None:
        """The elapsed time at which the next timer runs out."""
        return min((m.until_ns for m in self._markets.values() if m.until_ns), default=None)

    def breached(self, market: Market) -> None:
        """An order would have traded outside the band: a limit state first, if there is one."""
        if not self._rules.breaker_limit_ns:
            self._pause(market)
        elif not market.limit_state:
            market.limit_state = True
            market.until_ns = self._rules.elapsed_ns + self._rules.breaker_limit_ns

    def _pause(self, market: Market) -> None:
        self._enter(market, HALTED)
        if self._rules.number > 1:
            market.widened += 1  # until a trade in a call, or one a window later
        market.until_ns = self._rules.elapsed_ns + max(1, self._rules.breaker_pause_ns)

    def _reopen(self, market: Market) -> None:
        if not self._rules.reopening_auction_ns or self.session is not CONTINUOUS:
            self._enter(market, self.session)
            return
        self._enter(market, Phase.REOPENING_AUCTION)
        market.until_ns = self._rules.elapsed_ns + self._rules.reopening_auction_ns

    def _enter(self, market: Market, phase: Phase) -> None:
        before = market.phase
        if phase is before:
            return
        if before is CLOSED and market.aside and self._rules.number > 2:
            self.bring_back(market)
        market.phase = phase
        draws = phase in CALLS and self._rules.auction_random_end_ns
        market.extra_ns, market.extended = TO_BE_DRAWN if draws else 0, False
        if market.limit_state:  # it is about continuous trading
            market.limit_state, market.until_ns = False, 0
        self.changed.add(market.instrument.symbol)
        if phase is CONTINUOUS or (phase is CLOSED and self._uncrosses_at_close(market, before)):
            traded = self._uncross(market)
            if not traded and (market.widened or before in INTERRUPTED) and self._rules.number > 1:
                market.set_reference(self._rules.elapsed_ns)
            self._rules.trigger(market, market.last_ticks)
        if phase in (CONTINUOUS, CLOSED):
            self._end_gathered(market)

    def _uncrosses_at_close(self, market: Market, before: Phase) -> bool:
        """Nothing stays crossed overnight, be it of a call that the close cuts short, or of a
        breaker's pause; but nothing trades in a halt."""
        if self._rules.number < 3:
            return before is CLOSING
        return before is not CONTINUOUS and not market.halted

    def _uncross(self, market: Market) -> bool:
        """Everybody who can trades at one price; the fills, buyer first. Did anybody?

        Who may not trade now takes no part: see halts.py.
        """
        found, fills, taken_out = market.planned()
        for order, lots in taken_out.values():
            self._take_out(market, order, lots)
        if found is None:
            return False
        book, price_ticks = market.book, found.price_ticks
        filled: dict[Order, int] = {}
        for buyer, seller, lots in fills:
            filled[buyer] = filled.get(buyer, 0) + lots
            filled[seller] = filled.get(seller, 0) + lots
        for order, lots in filled.items():
            if order.level is not None:
                market.touch(order.side, order.price_ticks)
                book.trade(order, lots)
        market.uncrossed(price_ticks, len(fills), self._rules.elapsed_ns)
        fill, number = self._executions.fill, market.matches
        for buyer, seller, lots in fills:
            number += 1
            fill(buyer, price_ticks, lots, AUCTION, number)
            fill(seller, price_ticks, lots, AUCTION, number)
        market.matches = number
        return True

    def _take_out(self, market: Market, order: Order, lots: int) -> None:
        """Self-trade prevention: so much of an order does not take part; all of it: canceled."""
        left, rests = order.leaves_lots - lots, order.level is not None
        if rests:
            market.touch(order.side, order.price_ticks)
        if left:
            if rests:
                market.book.reduce(order, left)
            self._executions.restate(order, 0, lots, RejectReason.SELF_TRADE.value)
            return
        if rests:
            market.book.cancel(order)
        market.gathered.pop(order.order_id, None)
        self._executions.finish(order, OrderState.CANCELED, RejectReason.SELF_TRADE.value)

    def _end_gathered(self, market: Market) -> None:
        """A market order never rests: what the uncross has left of it is canceled."""
        gathered, market.gathered = market.gathered, {}
        for order in gathered.values():
            if order.leaves_lots:
                left = to_text(order.leaves_lots, self._rules.told_scales(market)[1])
                reason = f"{RejectReason.INSUFFICIENT_LIQUIDITY.value}: left={left}"
                self._executions.finish(order, OrderState.CANCELED, reason)
