"""What the market tells: typed, sequenced events for whoever distributes them.

Flow:  market_feed -> events -> listeners; and the snapshot that depth updates go on from.
Each event has `seq`, the journal sequence of the turn that made it durable, and `number`, its
place within that turn, from 1 without a gap: together they put all events in one order.
All numbers are ticks, lots, and units of an asset.
"""

from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from typing import NamedTuple

from oms.enums import Phase
from oms.money import to_decimal

AVERAGE_PLACES = 4

Level = tuple[int, int]
"""Price in ticks, lots shown there; in an update 0 lots: the level is gone."""
Depth = tuple[list[Level], list[Level]]
"""The best bids and the best asks of a book, best first."""


@dataclass(frozen=True, slots=True)
class MarketState:
    """A market's phase is another; of a symbol that is listed anew it is the first.

    reason: why it is HALTED, OPERATOR or BREAKER; DELISTED with the last, CLOSED; else "".
    """

    seq: int
    number: int
    symbol: str
    phase: Phase
    reason: str


class TradePrint(NamedTuple):
    """One trade, told once. execution_id: the taker's; in an auction the buyer's.

    number: 0 among recent_trades. match_number: that of both reports; it grows by one per trade
    of the market. taker_side: BUY or SELL; "" in an auction, where nobody takes. buy_order_id,
    sell_order_id, match_number: 0 at a remote venue, which tells one side.
    """

    seq: int
    number: int
    symbol: str
    execution_id: str
    match_number: int
    taker_side: str
    price_ticks: int
    quantity_lots: int
    wall_ns: int
    buy_order_id: int
    sell_order_id: int


class TradeBust(NamedTuple):
    """A trade was taken back: it counts no more, nowhere. Its numbers are those of the trade."""

    seq: int
    number: int
    symbol: str
    execution_id: str
    match_number: int
    price_ticks: int
    quantity_lots: int


class TradeCorrection(NamedTuple):
    """A trade is another than was told: its price and quantity from now on."""

    seq: int
    number: int
    symbol: str
    execution_id: str
    match_number: int
    price_ticks: int
    quantity_lots: int


@dataclass(frozen=True, slots=True)
class DepthUpdate:
    """Levels that changed, best first, as they are now; to be set, not added.

    The ids of one symbol are contiguous: first_id is the former update's last_id and one. They
    come from the journal's sequence, so they go on upwards across restarts.
    """

    seq: int
    number: int
    symbol: str
    first_id: int
    last_id: int
    bids: tuple[Level, ...]
    asks: tuple[Level, ...]


@dataclass(frozen=True, slots=True)
class TopOfBook:
    """The best price of both sides, and what is shown there; 0 and 0 where there is nobody."""

    seq: int
    number: int
    symbol: str
    bid_ticks: int
    bid_lots: int
    ask_ticks: int
    ask_lots: int


@dataclass(frozen=True, slots=True)
class IndicativePrice:
    """What an auction would trade if it ended now: when its call begins, then when it changes.

    0 lots: nothing, and no price. surplus_lots: above 0 buyers are left over, below 0 sellers.
    """

    seq: int
    number: int
    symbol: str
    price_ticks: int
    volume_lots: int
    surplus_lots: int


@dataclass(frozen=True, slots=True)
class BalanceChange:
    """What an account has of an asset now; private to it."""

    seq: int
    number: int
    account: str
    asset: str
    available: int
    reserved: int


TradeEvent = TradePrint | TradeBust | TradeCorrection
MarketEvent = MarketState | TradeEvent | DepthUpdate | TopOfBook | IndicativePrice | BalanceChange


@dataclass(frozen=True, slots=True)
class DepthSnapshot:
    """A whole book as it is shown, best first, with all updates up to last_id in it.

    Whoever has it drops the updates with a last_id that is not above; the next one fits.
    """

    symbol: str
    last_id: int
    bids: tuple[Level, ...]
    asks: tuple[Level, ...]


@dataclass(frozen=True, slots=True)
class Prices:
    """What a market is worth now, in ticks; None where nobody can say.

    last: of the latest trade. mid: between the best bid and ask, exactly. vwap: of the latest
    trades that are kept, by quantity, exactly.
    """

    symbol: str
    last: int | None
    mid: Fraction | None
    vwap: Fraction | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Candle:
    """What was traded of a symbol in a span of time, [start_ns, end_ns), as it stands now.

    Raw: *_ticks, None if no trade of the span stands; volume_lots; notional, the exact sum of
    price times quantity in 10**-(price_scale + quantity_scale). Properties have the same in the
    instrument's units. count: trades that stand. changed: trades that were busted or corrected
    since they were told; a candle that was shown before may have been another.
    """

    symbol: str
    start_ns: int
    end_ns: int
    open_ticks: int | None = None
    high_ticks: int | None = None
    low_ticks: int | None = None
    close_ticks: int | None = None
    volume_lots: int = 0
    notional: int = 0
    count: int = 0
    changed: int = 0
    price_scale: int
    quantity_scale: int

    @property
    def open(self) -> Decimal | None:
        return self._price(self.open_ticks)

    @property
    def high(self) -> Decimal | None:
        return self._price(self.high_ticks)

    @property
    def low(self) -> Decimal | None:
        return self._price(self.low_ticks)

    @property
    def close(self) -> Decimal | None:
        return self._price(self.close_ticks)

    @property
    def last(self) -> Decimal | None:
        """The price of the last trade: the close, as statistics call it."""
        return self.close

    @property
    def change(self) -> Decimal | None:
        """Last less open."""
        if self.close_ticks is None or self.open_ticks is None:
            return None
        return self._price(self.close_ticks - self.open_ticks)

    @property
    def volume(self) -> Decimal:
        return to_decimal(self.volume_lots, self.quantity_scale)

    @property
    def quote_volume(self) -> Decimal:
        return to_decimal(self.notional, self.price_scale + self.quantity_scale)

    @property
    def vwap(self) -> Decimal | None:
        """Volume-weighted average price, rounded half-even four places behind the price scale."""
        if not self.volume_lots:
            return None
        units = round(Fraction(self.notional * 10**AVERAGE_PLACES, self.volume_lots))
        return to_decimal(units, self.price_scale + AVERAGE_PLACES)

    def _price(self, ticks: int | None) -> Decimal | None:
        return None if ticks is None else to_decimal(ticks, self.price_scale)
