"""Market: one instrument's book, stops and phase; and the rules that all markets share.

Flow:  calendar, operator, breaker -> [market: phases] -> uncross -> executions
Owner: the dispatcher thread. Time comes in through the rules; timers go out as `until_ns` and
       come back as a journal entry, so that a replay needs no clock.
"""

from collections import OrderedDict
from collections.abc import Iterable, Mapping
from enum import Enum

from oms.enums import OrderType, Phase, SelfTrade, Side, TimeInForce
from oms.exchange.auction import Equilibrium, equilibrium, pair
from oms.exchange.book import OrderBook
from oms.exchange.executions import Executions
from oms.exchange.order import Order
from oms.exchange.stops import StopBook
from oms.instruments import BPS, Instrument

BUY, SELL = Side.BUY, Side.SELL
CLOSED, CONTINUOUS, HALTED = Phase.CLOSED, Phase.CONTINUOUS, Phase.HALTED
AUCTION = "AUCTION"


class Market:
    """What the exchange knows of one instrument.

    halted: by an operator, until an operator. until_ns: elapsed time at which the phase under way
    (a breaker's pause, a reopening auction) or the breaker's limit state ends; 0: none is.
    matches: trades so far; the number of the latest. changed: prices whose depth may have
    changed, as (side, price), for whoever distributes it; None when nobody does.
    """

    __slots__ = (
        "book", "changed", "halted", "instrument", "last_ticks", "limit_state", "matches", "phase",
        "rolling_ns", "rolling_ticks", "stops", "until_ns",
    )  # fmt: skip

    def __init__(self, instrument: Instrument, phase: Phase) -> None:
        self.instrument = instrument
        self.book = OrderBook()
        self.stops = StopBook()
        self.phase = phase
        self.last_ticks = self.matches = 0
        self.halted = self.limit_state = False
        self.until_ns = 0
        self.rolling_ticks = 0  # the breaker's reference, and since when
        self.rolling_ns = 0
        self.changed: set[tuple[Side, int]] | None = None

    @property
    def reference_ticks(self) -> int:
        """What auctions and price bands go by: the last trade, else the configured price."""
        return self.last_ticks or self.instrument.reference_price_ticks

    def indicative(self) -> Equilibrium | None:
        """What an uncross would trade now; None if nothing."""
        bids, asks = self.book.levels(BUY), self.book.levels(SELL)
        return equilibrium(bids, asks, self.reference_ticks)

    def touch(self, side: Side, price_ticks: int) -> None:
        """Depth may have changed here."""
        if self.changed is not None:
            self.changed.add((side, price_ticks))

    # --- the breaker ---

    def breaker_band(self) -> tuple[int, int] | None:
        """The lowest and highest price to trade at now; None: any."""
        bps = self.instrument.breaker_band_bps
        reference = self.rolling_ticks or self.reference_ticks
        if not bps or not reference:
            return None
        return -(-reference * (BPS - bps) // BPS), reference * (BPS + bps) // BPS

    def traded(self, price_ticks: int, elapsed_ns: int, window_ns: int) -> None:
        """Take note of a trade: the rolling reference is the price a window began with."""
        if self.instrument.breaker_band_bps and (
            not self.rolling_ticks or elapsed_ns - self.rolling_ns >= window_ns
        ):
            self.rolling_ticks = self.reference_ticks or price_ticks
            self.rolling_ns = elapsed_ns
        self.last_ticks = price_ticks

    def outside_band(self) -> bool:
        """Does somebody bid, or offer, where nothing may trade?"""
        band = self.breaker_band()
        if band is None:
            return False
        bid, ask = self.book.best_bid, self.book.best_ask
        return (bid is not None and bid < band[0]) or (ask is not None and ask > band[1])

    def market_limit(self, side: Side) -> int | None:
        """How far a market order may go from the best opposite price; None: any price."""
        bps = self.instrument.market_slippage_bps
        best = self.book.best_ask if side is BUY else self.book.best_bid
        if not bps or best is None:
            return None
        if side is BUY:
            return best * (BPS + bps) // BPS
        return max(1, -(-best * (BPS - bps) // BPS))


class Rules:
    """What all markets share: settings, self-trade groups, and the stops that go on next.

    groups: account -> self-trade group, where it is in one. self_trade: for orders that say
    nothing. elapsed_ns: of the turn under way, see Instant. triggered: stops that a trade
    triggered, and their markets, in the order they go on. number: of the rules themselves, see
    desk/settings.py. Durations are nanoseconds; see config.ini.
    """

    __slots__ = (
        "breaker_limit_ns", "breaker_pause_ns", "breaker_window_ns", "elapsed_ns", "groups",
        "number", "reopening_auction_ns", "self_trade", "triggered",
    )  # fmt: skip

    def __init__(self) -> None:
        self.groups: Mapping[str, str] = {}
        self.self_trade = SelfTrade.NONE
        self.elapsed_ns = 0
        self.number = 1
        self.triggered: OrderedDict[int, Market] = OrderedDict()
        self.breaker_window_ns = self.breaker_limit_ns = self.breaker_pause_ns = 0
        self.reopening_auction_ns = 0

    def self_trade_of(self, order: Order) -> SelfTrade:
        """The order's own mode, else the exchange's."""
        own = order.terms.self_trade if order.terms is not None else ""
        return SelfTrade(own) if own else self.self_trade

    def trigger(self, market: Market, price_ticks: int) -> None:
        """What a trade at this price triggers goes to the back of the row."""
        if len(market.stops) and market.phase is CONTINUOUS and price_ticks:
            for order_id in market.stops.take_triggered(price_ticks):
                self.triggered[order_id] = market

    def note_trades(self, market: Market, side: Side, prices: Iterable[int]) -> None:
        """What an order of this side traded at, in order: depth, last price, stops."""
        other, at = SELL if side is BUY else BUY, 0
        for price_ticks in prices:
            if price_ticks != at:
                at = price_ticks
                market.touch(other, price_ticks)
                market.traded(price_ticks, self.elapsed_ns, self.breaker_window_ns)
                self.trigger(market, price_ticks)


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


def admission(
    phase: Phase,
    order_type: OrderType,
    time_in_force: TimeInForce,
    *,
    suspended: bool,
    min_lots: int,
) -> Admission:
    """What the table says of such an order now."""
    rests, stops, at_once = ADMISSIONS[phase]
    if suspended:
        return stops
    if order_type is OrderType.MARKET or time_in_force in (TimeInForce.IOC, TimeInForce.FOK):
        return at_once
    return at_once if min_lots else rests


class Phases:
    """Every market's phase: the session's, unless it is halted or reopens.

    changed: symbols whose phase is another since somebody looked.
    """

    def __init__(self, rules: Rules, markets: Mapping[str, Market], executions: Executions) -> None:
        self._rules = rules
        self._markets = markets
        self._executions = executions
        self.session = CONTINUOUS
        self.changed: set[str] = set()

    def follow_session(self, market: Market) -> None:
        """The calendar went on: this market follows, later if it is halted or reopening."""
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
            self._reopen(market)

    def force(self, market: Market, phase: Phase) -> None:
        """An operator sets a phase out of turn; the calendar's next step sets another."""
        market.halted, market.until_ns, market.limit_state = False, 0, False
        self._enter(market, phase)

    def timer(self, market: Market) -> None:
        """The time that `until_ns` names has come."""
        market.until_ns = 0
        if market.limit_state:
            market.limit_state = False
            if market.outside_band():
                self._pause(market)
        elif market.phase is HALTED:
            self._reopen(market)
        else:
            self._enter(market, self.session)

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
        market.phase = phase
        if market.limit_state:  # it is about continuous trading
            market.limit_state, market.until_ns = False, 0
        self.changed.add(market.instrument.symbol)
        if phase is CONTINUOUS or (before is Phase.CLOSING_AUCTION and phase is CLOSED):
            self._uncross(market)
            self._rules.trigger(market, market.last_ticks)

    def _uncross(self, market: Market) -> None:
        """Everybody who can trades at one price; the fills, buyer first."""
        found = market.indicative() if market.book.crossed else None
        if found is None:
            return
        book, price_ticks = market.book, found.price_ticks
        fills = pair(resting(book, BUY, price_ticks), resting(book, SELL, price_ticks), found)
        filled: dict[int, tuple[Order, int]] = {}
        for buyer, seller, lots in fills:
            for order in (buyer, seller):
                before = filled.get(order.order_id)
                filled[order.order_id] = order, lots + (before[1] if before else 0)
        for order, lots in filled.values():
            market.touch(order.side, order.price_ticks)
            book.trade(order, lots)
        market.traded(price_ticks, self._rules.elapsed_ns, 0)
        market.rolling_ticks, market.rolling_ns = price_ticks, self._rules.elapsed_ns
        fill, number = self._executions.fill, market.matches
        for buyer, seller, lots in fills:
            number += 1
            fill(buyer, price_ticks, lots, AUCTION, number)
            fill(seller, price_ticks, lots, AUCTION, number)
        market.matches = number


def resting(book: OrderBook, side: Side, price_ticks: int) -> Iterable[Order]:
    """One side's orders down to a price, in priority order."""
    for level in book.own(side, price_ticks):
        yield from level
