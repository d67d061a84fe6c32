"""Market: one instrument's book, stops and phase; and the rules that all markets share.

Flow:  calendar, operator, breaker -> [market: phases] -> uncross -> executions
Owner: the dispatcher thread. Time comes in through the rules; timers go out as `until_ns` and
       come back as a journal entry, so that a replay needs no clock.
"""

from collections import OrderedDict, deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from enum import Enum

from oms.enums import (
    CALLS,
    MarketOrderPolicy,
    OrderState,
    OrderType,
    Phase,
    SelfTrade,
    Side,
    TimeInForce,
)
from oms.exchange.accounts import bound_of
from oms.exchange.auction import Equilibrium, Interest, Uncross, newer, uncross
from oms.exchange.book import OrderBook, PriceLevel
from oms.exchange.executions import Executions
from oms.exchange.order import Order, told_scales
from oms.exchange.stops import StopBook
from oms.instruments import BPS, Instrument
from oms.money import UNITS_MAX, to_text
from oms.reject_reasons import RejectReason

BUY, SELL = Side.BUY, Side.SELL
CLOSED, CONTINUOUS, HALTED = Phase.CLOSED, Phase.CONTINUOUS, Phase.HALTED
CLOSING = Phase.CLOSING_AUCTION
GATHERING = (Phase.PRE_OPEN, *CALLS)  # where market orders wait for the uncross
INTERRUPTED = (HALTED, Phase.REOPENING_AUCTION)
AUCTION = "AUCTION"
TO_BE_DRAWN = -1
NO_PREVENTION = SelfTrade.NONE


class Market:
    """What the exchange knows of one instrument.

    halted: by an operator, until an operator. until_ns: elapsed time at which the phase under way
    (a breaker's pause, a reopening auction) or the breaker's limit state ends; 0: none is.
    widened: how many steps the breaker's band is wider than configured. matches: trades so far;
    the number of the latest. aside: open orders that may not act now, see halts.py. changed:
    prices whose depth may have changed, as (side, price), for whoever distributes it; None when
    nobody does.
    rolling_by: of the trades that gave the breaker's reference the first and the last match number,
    and how many of them stand; empty where no trade gave it. taken_back: after a bust of the
    latest trade `matches`, and the match number that `last_ticks` is of; empty: they are equal.
    gathered: market orders that wait for the uncross, oldest first; the book has none of them.
    extra_ns: how long the call under way lasts beyond its regular end, until that has come;
    TO_BE_DRAWN: nobody knows yet. extended: it lasts longer because of its price already.
    """

    __slots__ = (
        "aside", "book", "changed", "extended", "extra_ns", "gathered", "halted", "instrument",
        "last_ticks", "limit_state", "matches", "phase", "rolling_by", "rolling_ns",
        "rolling_ticks", "rules", "stops", "taken_back", "until_ns", "widened",
    )  # fmt: skip

    def __init__(self, instrument: Instrument, phase: Phase, rules: "Rules") -> None:
        self.instrument = instrument
        self.rules = rules
        self.book = OrderBook()
        self.gathered: dict[int, Order] = {}
        self.extra_ns = 0
        self.extended = False
        self.stops = StopBook()
        self.aside: dict[int, Order] = {}
        self.phase = phase
        self.last_ticks = self.matches = self.widened = 0
        self.halted = self.limit_state = False
        self.until_ns = 0
        self.rolling_ticks = 0  # the breaker's reference, and since when
        self.rolling_ns = 0
        self.rolling_by: list[int] = []
        self.taken_back: list[int] = []
        self.changed: set[tuple[Side, int]] | None = None

    @property
    def reference_ticks(self) -> int:
        """What auctions and price bands go by: the last trade, else the configured price."""
        return self.last_ticks or self.instrument.reference_price_ticks

    def price_band(self, bps: int, around: str) -> tuple[int, int] | None:
        """The lowest and highest price an order may have; None: any.

        around: "reference", the configured price; or "last", the last trade. A trade alone cannot
        move the latter: none is possible where the market has left it. So it reaches as far from
        a best bid above that trade, or a best offer below it, and a price step at least: whoever
        means it quotes at the edge, and takes it along.
        """
        instrument, book = self.instrument, self.book
        moves = around == "last"
        centre = self.reference_ticks if moves else instrument.reference_price_ticks
        if not centre:
            return None
        if not moves or self.rules.number < 3:
            return instrument.band(centre, bps)
        lowest, highest = min(book.best_ask or centre, centre), max(book.best_bid or centre, centre)
        below, above = instrument.tick_at(lowest - 1), instrument.tick_at(highest)
        low, high = instrument.band(lowest, bps)[0], instrument.band(highest, bps)[1]
        return min(low, lowest - below), max(high, highest + above)

    # --- the call ---

    def indicative(self) -> Equilibrium | None:
        """What an uncross would trade now; None if nothing."""
        return self.planned().found

    def planned(self) -> Uncross:
        """All that an uncross would do now; nothing is done."""
        bids, asks = taking_part(self)
        # Rules number 1 knew limit prices only.
        tick_at = self.instrument.tick_at if self.rules.number > 1 else None
        return uncross(bids, asks, self.reference_ticks, tick_at, self.rules.keeps_apart)

    def gather(self, order: Order) -> None:
        """Let a market order wait for the uncross, behind all that wait."""
        self.book.entries = order.entered = self.book.entries + 1
        self.gathered[order.order_id] = order

    def collar(self, side: Side) -> int:
        """How far a market order may go in a call, on the grid: there is no best price yet, so
        it counts from the reference. 0: any price."""
        instrument, reference = self.instrument, self.reference_ticks
        bps, tick = instrument.market_slippage_bps, instrument.tick_size
        if not bps or not reference:
            return 0
        if side is BUY:
            highest = min(reference * (BPS + bps) // BPS, UNITS_MAX)
            return max(tick, instrument.floor_ticks(highest))
        lowest = -(-reference * (BPS - bps) // BPS)
        return max(tick, lowest + -lowest % instrument.tick_at(lowest))

    def leaves_band(self) -> bool:
        """Would the uncross be further from the reference than the instrument's auction band?"""
        bps, reference = self.instrument.auction_band_bps, self.reference_ticks
        found = self.indicative() if bps and reference else None
        return found is not None and abs(found.price_ticks - reference) * BPS > reference * bps

    def touch(self, side: Side, price_ticks: int) -> None:
        """Depth may have changed here."""
        if self.changed is not None:
            self.changed.add((side, price_ticks))

    # --- the breaker ---

    def breaker_band(self) -> tuple[int, int] | None:
        """The lowest and highest price to trade at now; None: any."""
        bps = self.instrument.breaker_band_bps * (1 + self.widened)
        reference = self.rolling_ticks or self.reference_ticks
        if not bps or not reference:
            return None
        return self.instrument.band(reference, bps)

    def traded(self, price_ticks: int, number: int, elapsed_ns: int, window_ns: int) -> None:
        """Take note of trade `number`: the rolling reference is the price a window began with.

        That is the last trade, unless a pause made it stale: outside the band as set anew.
        """
        if self.instrument.breaker_band_bps and (
            not self.rolling_ticks or elapsed_ns - self.rolling_ns >= window_ns
        ):
            band, before = self.breaker_band(), self.reference_ticks
            stale = band is not None and not band[0] <= before <= band[1]
            if not before or (stale and self.rules.number > 1):
                self._go_by(price_ticks, number)
            else:
                last = number - 1  # of the trade before, if it stands
                if self.taken_back and self.taken_back[0] == last:
                    last = self.taken_back[1]
                self._go_by(before, last if self.last_ticks else 0)
            self.rolling_ns, self.widened = elapsed_ns, 0
        self.last_ticks = price_ticks

    def _go_by(self, price_ticks: int, number: int, trades: int = 1) -> None:
        """This is the breaker's reference; so many trades, from this number on, gave it (0: none
        did)."""
        self.rolling_ticks = price_ticks
        known = number and self.rules.number > 2
        self.rolling_by = [number, number + trades - 1, trades] if known else []

    def uncrossed(self, price_ticks: int, trades: int, elapsed_ns: int) -> None:
        """So many trades at one price: they set the reference, and the band is one step wide."""
        self._go_by(price_ticks, self.matches + 1, trades)
        self.rolling_ns, self.widened, self.last_ticks = elapsed_ns, 0, price_ticks

    def correct(
        self, number: int, before_ticks: int, price_ticks: int, last: tuple[int, int]
    ) -> None:
        """Trade `number` at `before_ticks` was at another price, 0 for not at all. A breaker's
        reference that it alone gave goes with it.

        last: price and number of the last trade now.
        """
        by, (last_ticks, last_number) = self.rolling_by, last
        if self.rules.number < 3:  # a price had no number: any trade at it gave the reference
            if self.rolling_ticks == before_ticks:
                self.rolling_ticks = price_ticks or last_ticks
            self.last_ticks = last_ticks
            return
        if by and by[0] <= number <= by[1] and price_ticks != before_ticks == self.rolling_ticks:
            by[2] -= 1
            if not by[2]:
                self._go_by(price_ticks or last_ticks, number if price_ticks else last_number)
        self.last_ticks = last_ticks
        self.taken_back = [] if last_number == self.matches else [self.matches, last_number]

    def set_reference(self, elapsed_ns: int) -> None:
        """A pause ended without a trade: go by what is bid and offered, if anything is."""
        bid, ask = self.book.best_bid, self.book.best_ask
        if bid is not None and ask is not None:
            self._go_by((bid + ask) // 2, 0)
        elif bid or ask:
            self._go_by(bid or ask or 0, 0)
        self.rolling_ns = elapsed_ns

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
        "auction_extension_ns", "auction_random_end_ns", "breaker_limit_ns", "breaker_pause_ns",
        "breaker_window_ns", "elapsed_ns", "groups", "number", "reopening_auction_ns",
        "self_trade", "triggered",
    )  # fmt: skip

    def __init__(self) -> None:
        self.groups: Mapping[str, str] = {}
        self.self_trade = SelfTrade.NONE
        self.elapsed_ns = 0
        self.number = 1
        self.triggered: OrderedDict[int, Market] = OrderedDict()
        self.breaker_window_ns = self.breaker_limit_ns = self.breaker_pause_ns = 0
        self.reopening_auction_ns = self.auction_random_end_ns = self.auction_extension_ns = 0

    def keeps_apart(self, buyer: Order, seller: Order) -> SelfTrade:
        """What keeps these from trading in an uncross; NONE: nothing does.

        There is no taker: the mode of the one who came later decides, as it would have then.
        """
        ours, theirs, groups = buyer.account, seller.account, self.groups
        if ours != theirs and (not groups or groups.get(ours, ours) != groups.get(theirs, theirs)):
            return NO_PREVENTION
        if self.number == 1:
            return NO_PREVENTION  # rules number 1 let an account trade with itself here
        return self.self_trade_of(newer(buyer, seller))

    def self_trade_of(self, order: Order) -> SelfTrade:
        """The order's own mode, else the exchange's."""
        own = order.terms.self_trade if order.terms is not None else ""
        return SelfTrade(own) if own else self.self_trade

    def told_scales(self, market: Market) -> tuple[int, int]:
        """With how many decimals reasons tell prices and quantities."""
        return told_scales(market.instrument, self.number)

    def trigger(self, market: Market, price_ticks: int) -> None:
        """What a trade at this price triggers goes to the back of the row."""
        if len(market.stops) and market.phase is CONTINUOUS and price_ticks:
            for order_id in market.stops.take_triggered(price_ticks):
                self.triggered[order_id] = market

    def note_trades(self, market: Market, side: Side, prices: Sequence[int]) -> None:
        """What an order of this side traded at, in its latest trades: depth, last price, stops."""
        other, at = SELL if side is BUY else BUY, 0
        for number, price_ticks in enumerate(prices, market.matches - len(prices) + 1):
            if price_ticks != at:
                at = price_ticks
                market.touch(other, price_ticks)
                market.traded(price_ticks, number, self.elapsed_ns, self.breaker_window_ns)
                self.trigger(market, price_ticks)


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


def taking_part(market: Market) -> tuple[list[Interest], list[Interest]]:
    """Who takes part in an uncross: buyers and sellers, each in priority order.

    Best price first, then age. Market orders go as far as limit orders or the reference name a
    price, and no further than their bound, which names none; they stand before limit orders of
    the same price. If nobody names a price, nobody trades.
    """
    book, found = market.book, {BUY: list[Interest](), SELL: list[Interest]()}
    if market.gathered:
        lowest, highest = _named_prices(market)
        for order in market.gathered.values() if highest else ():
            bound = bound_of(order, 0)
            if order.side is BUY:
                found[BUY].append((min(bound or highest, highest), order))
            else:
                found[SELL].append((max(bound, lowest), order))
        found[BUY].sort(key=lambda interest: -interest[0])
        found[SELL].sort(key=lambda interest: interest[0])
    bid = max([price for price, _ in found[BUY][:1]] + [book.best_bid or 0])
    ask = min([price for price, _ in found[SELL][:1]] + [book.best_ask or UNITS_MAX + 1])
    if bid < ask:
        return [], []
    bids = _in_line(book.own(BUY, ask), found[BUY], 1)
    return bids, _in_line(book.own(SELL, bid), found[SELL], -1)


def _named_prices(market: Market) -> tuple[int, int]:
    """The lowest and the highest price of limit orders and the reference; (0, 0): there is none."""
    named = [level.price_ticks for side in Side for level in market.book.own(side)]
    if market.reference_ticks:  # as near as the grid has it, should that be another by now
        instrument = market.instrument
        named.append(max(instrument.tick_size, instrument.floor_ticks(market.reference_ticks)))
    return min(named, default=0), max(named, default=0)


def _in_line(levels: Iterable[PriceLevel], at_market: list[Interest], sign: int) -> list[Interest]:
    """One side's resting orders, and market orders among them, in priority order."""
    line, waiting = list[Interest](), deque(at_market)
    for level in levels:
        price_ticks = level.price_ticks
        while waiting and waiting[0][0] * sign >= price_ticks * sign:
            line.append(waiting.popleft())
        line += [(price_ticks, order) for order in level]
    return [*line, *waiting]
