"""Market: one instrument's book, stops and phase; and the rules that all markets share.

Flow:  orders, trades -> [market] -> bands, limits, what an uncross would do
Owner: the dispatcher thread. Time comes in through the rules. How one phase follows another: see
       phases.py.
"""

from collections import OrderedDict, deque
from collections.abc import Iterable, Mapping, Sequence

from oms.enums import Phase, SelfTrade, Side
from oms.exchange.accounts import bound_of
from oms.exchange.auction import Equilibrium, Interest, Uncross, newer, uncross
from oms.exchange.book import OrderBook, PriceLevel
from oms.exchange.order import Order, told_scales
from oms.exchange.stops import StopBook
from oms.instruments import BPS, Instrument
from oms.money import UNITS_MAX

BUY, SELL = Side.BUY, Side.SELL
CONTINUOUS = Phase.CONTINUOUS
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
