"""Market: one instrument's book, stops, phase, and the prices that bands go by.

Flow:  matching -> [market] -> book, stops
Owner: the dispatcher thread. Time comes in as an argument.
"""

from oms.exchange.auction import Equilibrium, equilibrium
from oms.exchange.book import OrderBook
from oms.exchange.stops import StopBook
from oms.instruments import BPS, Instrument
from oms.messages import Phase, Side

BUY, SELL = Side.BUY, Side.SELL


class Market:
    """What the exchange knows of one instrument.

    halted: by an operator, until an operator. until_ns: wall clock at which the phase under way
    (a breaker's pause, a reopening auction) or the breaker's limit state ends; 0: none is.
    changed: prices whose depth may have changed, as (side, price), for whoever distributes it;
    None when nobody does.
    """

    __slots__ = (
        "book", "changed", "halted", "instrument", "last_ticks", "limit_state", "phase",
        "rolling_ns", "rolling_ticks", "stops", "until_ns",
    )  # fmt: skip

    def __init__(self, instrument: Instrument, phase: Phase) -> None:
        self.instrument = instrument
        self.book = OrderBook()
        self.stops = StopBook()
        self.phase = phase
        self.last_ticks = 0
        self.halted = False
        self.until_ns = 0
        self.limit_state = False
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

    def traded(self, price_ticks: int, wall_ns: int, window_ns: int) -> None:
        """Take note of a trade: the rolling reference is the price a window began with."""
        if self.instrument.breaker_band_bps and (
            not self.rolling_ticks or wall_ns - self.rolling_ns >= window_ns
        ):
            self.rolling_ticks = self.reference_ticks or price_ticks
            self.rolling_ns = wall_ns
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
