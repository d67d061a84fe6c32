"""What the market tells: typed, sequenced events for whoever distributes them.

Flow:  market_feed -> events -> listeners; and the snapshot that depth updates go on from.
Each event has `seq`, the journal sequence of the turn that made it durable, and `number`, its
place within that turn, from 1 without a gap: together they put all events in one order.
Prices, quantities and amounts are Decimals in the units of instrument and asset, made where they
are read. What is stored are whole numbers, under names that end in ticks, lots or units, and the
scale: how many decimals they have.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from typing import NamedTuple, TypeVar

from oms.enums import Phase
from oms.instruments import Instrument
from oms.money import average, to_decimal

Level = tuple[int, int]
"""Price in ticks, lots shown there; in an update 0 lots: the level is gone."""
Depth = tuple[list[Level], list[Level]]
"""The best bids and the best asks of a book, best first."""
DecimalLevel = tuple[Decimal, Decimal]
"""The same as price and quantity."""


def levels_of(levels: Iterable[Level], price_scale: int, quantity_scale: int) -> list[DecimalLevel]:
    return [
        (to_decimal(ticks, price_scale), to_decimal(lots, quantity_scale)) for ticks, lots in levels
    ]


def _shown(event: object, *names: str) -> str:
    """As a person wants to see it: the numbers in their units, as plain decimals."""
    values = ((name, getattr(event, name)) for name in ("seq", "number", *names))
    return f"{type(event).__name__}({', '.join(f'{name}={_text(v)}' for name, v in values)})"


def _text(value: object) -> str:
    if isinstance(value, Decimal):
        return f"{value:f}"
    if isinstance(value, tuple):
        return f"[{', '.join(f'{price:f} x {quantity:f}' for price, quantity in value)}]"
    return repr(value)


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
    price_scale: int = 0
    quantity_scale: int = 0

    @property
    def price(self) -> Decimal:
        return to_decimal(self.price_ticks, self.price_scale)

    @property
    def quantity(self) -> Decimal:
        return to_decimal(self.quantity_lots, self.quantity_scale)

    def __repr__(self) -> str:
        return _shown(
            self, "symbol", "execution_id", "match_number", "taker_side", "price", "quantity",
            "wall_ns", "buy_order_id", "sell_order_id",
        )  # fmt: skip


class TradeBust(NamedTuple):
    """A trade was taken back: it counts no more, nowhere. Its numbers are those of the trade."""

    seq: int
    number: int
    symbol: str
    execution_id: str
    match_number: int
    price_ticks: int
    quantity_lots: int
    price_scale: int = 0
    quantity_scale: int = 0

    @property
    def price(self) -> Decimal:
        return to_decimal(self.price_ticks, self.price_scale)

    @property
    def quantity(self) -> Decimal:
        return to_decimal(self.quantity_lots, self.quantity_scale)

    def __repr__(self) -> str:
        return _shown(self, "symbol", "execution_id", "match_number", "price", "quantity")


class TradeCorrection(NamedTuple):
    """A trade is another than was told: its price and quantity from now on."""

    seq: int
    number: int
    symbol: str
    execution_id: str
    match_number: int
    price_ticks: int
    quantity_lots: int
    price_scale: int = 0
    quantity_scale: int = 0

    @property
    def price(self) -> Decimal:
        return to_decimal(self.price_ticks, self.price_scale)

    @property
    def quantity(self) -> Decimal:
        return to_decimal(self.quantity_lots, self.quantity_scale)

    def __repr__(self) -> str:
        return _shown(self, "symbol", "execution_id", "match_number", "price", "quantity")


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
    bids_ticks: tuple[Level, ...]
    asks_ticks: tuple[Level, ...]
    price_scale: int = 0
    quantity_scale: int = 0

    @property
    def bids(self) -> tuple[DecimalLevel, ...]:
        return tuple(levels_of(self.bids_ticks, self.price_scale, self.quantity_scale))

    @property
    def asks(self) -> tuple[DecimalLevel, ...]:
        return tuple(levels_of(self.asks_ticks, self.price_scale, self.quantity_scale))

    def __repr__(self) -> str:
        return _shown(self, "symbol", "first_id", "last_id", "bids", "asks")


@dataclass(frozen=True, slots=True)
class TopOfBook:
    """The best price of both sides, and what is shown there; None and 0 where there is nobody (in
    ticks and lots 0 and 0)."""

    seq: int
    number: int
    symbol: str
    bid_ticks: int
    bid_lots: int
    ask_ticks: int
    ask_lots: int
    price_scale: int = 0
    quantity_scale: int = 0

    @property
    def bid(self) -> Decimal | None:
        return to_decimal(self.bid_ticks, self.price_scale) if self.bid_lots else None

    @property
    def bid_quantity(self) -> Decimal:
        return to_decimal(self.bid_lots, self.quantity_scale)

    @property
    def ask(self) -> Decimal | None:
        return to_decimal(self.ask_ticks, self.price_scale) if self.ask_lots else None

    @property
    def ask_quantity(self) -> Decimal:
        return to_decimal(self.ask_lots, self.quantity_scale)

    def __repr__(self) -> str:
        return _shown(self, "symbol", "bid", "bid_quantity", "ask", "ask_quantity")


@dataclass(frozen=True, slots=True)
class IndicativePrice:
    """What an auction would trade if it ended now: when its call begins, then when it changes.

    volume 0: nothing, and no price. surplus: above 0 buyers are left over, below 0 sellers.
    """

    seq: int
    number: int
    symbol: str
    price_ticks: int
    volume_lots: int
    surplus_lots: int
    price_scale: int = 0
    quantity_scale: int = 0

    @property
    def price(self) -> Decimal | None:
        return to_decimal(self.price_ticks, self.price_scale) if self.volume_lots else None

    @property
    def volume(self) -> Decimal:
        return to_decimal(self.volume_lots, self.quantity_scale)

    @property
    def surplus(self) -> Decimal:
        return to_decimal(self.surplus_lots, self.quantity_scale)

    def __repr__(self) -> str:
        return _shown(self, "symbol", "price", "volume", "surplus")


@dataclass(frozen=True, slots=True)
class BalanceChange:
    """What an account has of an asset now; private to it."""

    seq: int
    number: int
    account: str
    asset: str
    available_units: int
    reserved_units: int
    scale: int = 0

    @property
    def available(self) -> Decimal:
        return to_decimal(self.available_units, self.scale)

    @property
    def reserved(self) -> Decimal:
        return to_decimal(self.reserved_units, self.scale)

    def __repr__(self) -> str:
        return _shown(self, "account", "asset", "available", "reserved")


TradeEvent = TradePrint | TradeBust | TradeCorrection
AnyTrade = TypeVar("AnyTrade", bound=TradeEvent)


def in_units(trade: AnyTrade, instrument: Instrument | None) -> AnyTrade:
    """The same trade as it is told: with the decimals of its instrument."""
    if instrument is None:
        return trade
    scales = instrument.price_scale, instrument.quantity_scale
    return trade._replace(price_scale=scales[0], quantity_scale=scales[1])  # type: ignore[return-value]


MarketEvent = MarketState | TradeEvent | DepthUpdate | TopOfBook | IndicativePrice | BalanceChange


@dataclass(frozen=True, slots=True)
class DepthSnapshot:
    """A whole book as it is shown, best first, with all updates up to last_id in it.

    Whoever has it drops the updates with a last_id that is not above; the next one fits.
    """

    symbol: str
    last_id: int
    bids_ticks: tuple[Level, ...]
    asks_ticks: tuple[Level, ...]
    price_scale: int = 0
    quantity_scale: int = 0

    @property
    def bids(self) -> tuple[DecimalLevel, ...]:
        return tuple(levels_of(self.bids_ticks, self.price_scale, self.quantity_scale))

    @property
    def asks(self) -> tuple[DecimalLevel, ...]:
        return tuple(levels_of(self.asks_ticks, self.price_scale, self.quantity_scale))

    def __repr__(self) -> str:
        bids, asks = _text(self.bids), _text(self.asks)
        return f"DepthSnapshot({self.symbol!r}, last_id={self.last_id}, bids={bids}, asks={asks})"


@dataclass(frozen=True, slots=True)
class Prices:
    """What a market is worth now; None where nobody can say.

    last: of the latest trade. mid: between the best bid and ask. vwap: of the latest trades that
    are kept, by quantity; rounded half-even to four decimals more than the price has.
    The same in ticks: whole, and exact fractions.
    """

    symbol: str
    last_ticks: int | None
    mid_ticks: Fraction | None
    vwap_ticks: Fraction | None
    price_scale: int = 0

    @classmethod
    def of(
        cls, symbol: str, bids: Sequence[Level], asks: Sequence[Level],
        trades: Sequence[TradePrint], price_scale: int,
    ) -> "Prices":  # fmt: skip
        """bids, asks: the best first. trades: as they stand, oldest first."""
        lots = sum(trade.quantity_lots for trade in trades)
        value = sum(trade.price_ticks * trade.quantity_lots for trade in trades)
        return cls(
            symbol,
            trades[-1].price_ticks if trades else None,
            Fraction(bids[0][0] + asks[0][0], 2) if bids and asks else None,
            Fraction(value, lots) if lots else None,
            price_scale,
        )

    @property
    def last(self) -> Decimal | None:
        ticks = self.last_ticks
        return to_decimal(ticks, self.price_scale) if ticks is not None else None

    @property
    def mid(self) -> Decimal | None:
        return average(self.mid_ticks, 1, self.price_scale) if self.mid_ticks is not None else None

    @property
    def vwap(self) -> Decimal | None:
        ticks = self.vwap_ticks
        return average(ticks, 1, self.price_scale) if ticks is not None else None

    def __repr__(self) -> str:
        last, mid, vwap = _text(self.last), _text(self.mid), _text(self.vwap)
        return f"Prices({self.symbol!r}, last={last}, mid={mid}, vwap={vwap})"


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
        return average(self.notional, self.volume_lots, self.price_scale)

    def _price(self, ticks: int | None) -> Decimal | None:
        return None if ticks is None else to_decimal(ticks, self.price_scale)

    def __repr__(self) -> str:  # not in raw numbers
        names = ("open", "high", "low", "close", "volume", "quote_volume", "vwap")
        told = ", ".join(f"{name}={_text(getattr(self, name))}" for name in names)
        span = f"start_ns={self.start_ns}, end_ns={self.end_ns}"
        counts = f"count={self.count}, changed={self.changed}"
        return f"Candle({self.symbol!r}, {span}, {told}, {counts})"
