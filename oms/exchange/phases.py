"""Phases: what each market is doing now, and the auctions that end a call.

Flow:  calendar, operator, breaker -> [phases] -> uncross -> events
Owner: the dispatcher thread. Time comes in through the rules; timers go out as `until_ns` and
       come back as a journal entry, so that a replay needs no clock.
"""

from collections.abc import Mapping
from enum import Enum

from oms.exchange.auction import pair
from oms.exchange.market import Market
from oms.exchange.rules import Rules
from oms.messages import Liquidity, OrderType, Phase, ResponseType, Side, TimeInForce
from oms.orders import Event, Order

TRADE = ResponseType.TRADE
AUCTION = Liquidity.AUCTION.value
BUY, SELL = Side.BUY, Side.SELL
CLOSED, CONTINUOUS, HALTED = Phase.CLOSED, Phase.CONTINUOUS, Phase.HALTED


class Admission(Enum):
    """What becomes of a new order. HOLD: refused, unless it asks to be held; then it rests."""

    MATCH = "matches"
    REST = "rests"
    SUSPEND = "suspended"
    HOLD = "refused, held if asked"
    REFUSE = "refused"


# What may be entered in which phase: orders that may rest, stops, and orders that trade at once
# or not at all (market, IOC, FOK, minimum quantity). In CLOSED the session decides as well.
ADMISSIONS: dict[Phase, tuple[Admission, Admission, Admission]] = {
    Phase.PRE_OPEN: (Admission.REST, Admission.SUSPEND, Admission.REFUSE),
    Phase.OPENING_AUCTION: (Admission.REST, Admission.SUSPEND, Admission.REFUSE),
    Phase.CONTINUOUS: (Admission.MATCH, Admission.SUSPEND, Admission.MATCH),
    Phase.CLOSING_AUCTION: (Admission.REST, Admission.SUSPEND, Admission.REFUSE),
    Phase.HALTED: (Admission.HOLD, Admission.SUSPEND, Admission.REFUSE),
    Phase.REOPENING_AUCTION: (Admission.REST, Admission.SUSPEND, Admission.REFUSE),
    Phase.CLOSED: (Admission.HOLD, Admission.HOLD, Admission.REFUSE),
}


def admission(phase: Phase, order: Order) -> Admission:
    """What the table says of this order now."""
    rests, stops, at_once = ADMISSIONS[phase]
    if order.suspended:
        return stops
    if order.order_type is OrderType.MARKET or order.time_in_force in (
        TimeInForce.IOC, TimeInForce.FOK,
    ):  # fmt: skip
        return at_once
    return at_once if order.terms is not None and order.terms.min_lots else rests


class Phases:
    """Every market's phase: the session's, unless it is halted or reopens.

    changed: symbols whose phase is another since somebody looked.
    """

    def __init__(self, rules: Rules, markets: Mapping[str, Market]) -> None:
        self._rules = rules
        self._markets = markets
        self.session = CONTINUOUS
        self.changed: set[str] = set()

    def follow_session(self, market: Market) -> list[Event]:
        """The calendar went on: this market follows, later if it is halted or reopening."""
        if self.session is CLOSED or market.limit_state:  # a call has no limit state
            market.until_ns, market.limit_state = 0, False
        elif market.halted:
            return self._enter(market, HALTED)
        elif market.until_ns:
            return []
        return self._enter(market, self.session)

    def halt(self, market: Market) -> list[Event]:
        """An operator's halt: until `resume`, whatever the calendar says."""
        market.halted, market.until_ns, market.limit_state = True, 0, False
        return [] if market.phase is CLOSED else self._enter(market, HALTED)

    def resume(self, market: Market) -> list[Event]:
        """Trading goes on, after a reopening auction if there is to be one."""
        market.halted = False
        if market.phase is not HALTED:
            return []
        market.until_ns = 0  # it may have been a breaker's pause that ends early
        return self._reopen(market)

    def force(self, market: Market, phase: Phase) -> list[Event]:
        """An operator sets a phase out of turn; the calendar's next step sets another."""
        market.halted, market.until_ns, market.limit_state = False, 0, False
        return self._enter(market, phase)

    def timer(self, market: Market) -> list[Event]:
        """The time that `until_ns` names has come."""
        market.until_ns = 0
        if market.limit_state:
            market.limit_state = False
            if market.outside_band():
                self._pause(market)
            return []
        if market.phase is HALTED:
            return self._reopen(market)
        return self._enter(market, self.session)

    def due(self, wall_ns: int) -> list[str]:
        """Symbols whose timer has run out."""
        return [s for s, market in self._markets.items() if 0 < market.until_ns <= wall_ns]

    def next_timer_ns(self) -> int | None:
        """When the next timer runs out, by the wall clock."""
        return min((m.until_ns for m in self._markets.values() if m.until_ns), default=None)

    def breached(self, market: Market) -> None:
        """An order would have traded outside the band: a limit state first, if there is one."""
        if not self._rules.breaker_limit_ns:
            self._pause(market)
        elif not market.limit_state:
            market.limit_state = True
            market.until_ns = self._rules.wall_ns + self._rules.breaker_limit_ns

    def _pause(self, market: Market) -> None:
        self._enter(market, HALTED)
        market.until_ns = self._rules.wall_ns + max(1, self._rules.breaker_pause_ns)

    def _reopen(self, market: Market) -> list[Event]:
        if not self._rules.reopening_auction_ns or self.session is not CONTINUOUS:
            return self._enter(market, self.session)
        events = self._enter(market, Phase.REOPENING_AUCTION)
        market.until_ns = self._rules.wall_ns + self._rules.reopening_auction_ns
        return events

    def _enter(self, market: Market, phase: Phase) -> list[Event]:
        before = market.phase
        if phase is before:
            return []
        market.phase = phase
        if market.limit_state:  # it is about continuous trading
            market.limit_state, market.until_ns = False, 0
        self.changed.add(market.instrument.symbol)
        closes = before is Phase.CLOSING_AUCTION and phase is CLOSED
        if phase is not CONTINUOUS and not closes:
            return []
        events = self._uncross(market)
        self._rules.trigger(market, market.last_ticks)
        return events

    def _uncross(self, market: Market) -> list[Event]:
        """Everybody who can trades at one price; the fills, buyer first."""
        found = market.indicative() if market.book.crossed else None
        if found is None:
            return []
        book, price_ticks = market.book, found.price_ticks
        bids, asks = book.resting(BUY, price_ticks), book.resting(SELL, price_ticks)
        orders, events = self._rules.orders, list[Event]()
        filled: dict[int, int] = {}
        for buyer, seller, lots in pair(bids, asks, found.volume_lots):
            filled[buyer] = filled.get(buyer, 0) + lots
            filled[seller] = filled.get(seller, 0) + lots
            events.append((TRADE, buyer, 0, price_ticks, lots, AUCTION, "", ""))
            events.append((TRADE, seller, 0, price_ticks, lots, AUCTION, "", ""))
        for order_id, lots in filled.items():
            market.touch(orders[order_id].side, orders[order_id].price_ticks)
            book.trade(order_id, lots)
        market.traded(price_ticks, self._rules.wall_ns, 0)
        market.rolling_ticks, market.rolling_ns = price_ticks, self._rules.wall_ns
        return events
