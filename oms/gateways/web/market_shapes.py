"""Market shapes: what is answered of markets: instruments, hours, books, trades, candles."""

from typing import NotRequired, TypedDict

from oms.enums import (
    MarketOrderPolicy,
    Phase,
    Side,
)
from oms.gateways.web.shapes import Cursor, Decimal, Digits, Level

Tick = TypedDict("Tick", {"from": Decimal, "tickSize": Decimal})


class FiltersTold(TypedDict):
    """What an order may be, beside the grid; null: nothing limits it."""

    minQuantity: Decimal | None
    maxQuantity: Decimal | None
    maxMarketQuantity: Decimal | None
    minNotional: Decimal | None
    maxNotional: Decimal | None
    maxMarketNotional: Decimal | None
    priceBandBps: int | None
    priceBandAround: str | None


class MarketTold(TypedDict):
    """What is traded, on which grid, at which fees (signed basis points; below 0: a rebate). group:
    of markets, where there are several."""

    symbol: str
    group: NotRequired[str]
    base: str
    quote: str
    phase: Phase | None
    last: Decimal | None
    priceScale: int
    quantityScale: int
    tickSize: Decimal
    lotSize: Decimal
    tickTable: list[Tick]
    makerFeeBps: int
    takerFeeBps: int
    referencePrice: Decimal | None
    baseScale: int
    quoteScale: int
    marketOrder: MarketOrderPolicy
    marketSlippageBps: int
    breakerBandBps: int
    auctionBandBps: int
    filters: FiltersTold


class SessionTold(TypedDict):
    """opens, closes: when next, as ISO 8601 in UTC; null: never, or it is open. link: to the
    venue."""

    state: str
    tradingDate: str | None
    opens: str | None
    closes: str | None
    link: str


Start = TypedDict("Start", {"phase": Phase, "from": Digits})


class WindowTold(TypedDict):
    """One stretch of trading. note: what is unusual about it. phases: those that last, in order."""

    tradingDate: str
    opens: Digits
    closes: Digits
    note: str
    phases: list[Start]


class CalendarTold(TypedDict):
    """alwaysOpen: a window is a trading date, and no end of trading. windows: in order."""

    alwaysOpen: bool
    zone: str
    windows: list[WindowTold]


class MarketsTold(TypedDict):
    """groups: of markets, where there are several."""

    groups: NotRequired[list[str]]
    markets: list[MarketTold]
    session: SessionTold


class DepthTold(TypedDict):
    """Price and quantity of each level, best first."""

    symbol: str
    lastUpdateId: Digits
    bids: list[Level]
    asks: list[Level]


class AuctionTold(TypedDict):
    """What an auction would trade if it ended now; all null: the market is in no call. price: null
    where nothing would trade. surplus: above 0 buyers are left over, below 0 sellers."""

    symbol: str
    price: Decimal | None
    volume: Decimal | None
    surplus: Decimal | None


class TradeTold(TypedDict):
    """One trade of a market. takerSide: null in an auction."""

    tradeId: Digits
    executionId: str
    symbol: str
    price: Decimal
    quantity: Decimal
    takerSide: Side | None
    seq: Digits
    time: Digits


class TradesTold(TypedDict):
    """Oldest first."""

    trades: list[TradeTold]


class PastTradeTold(TypedDict):
    """One trade as it stands. status: null, BUSTED (its quantity is 0) or CORRECTED. tradedPrice,
    tradedQuantity: as it was traded. Of yours: account, side, orderId and fee, too."""

    tradeId: Digits
    executionId: str
    symbol: str
    price: Decimal
    quantity: Decimal
    takerSide: Side | None
    status: str | None
    tradedPrice: Decimal
    tradedQuantity: Decimal
    time: Digits
    account: NotRequired[str]
    side: NotRequired[Side]
    orderId: NotRequired[Digits]
    fee: NotRequired[Decimal]
    feeAsset: NotRequired[str]


class TradePageTold(TypedDict):
    """Newest first. next: `before` of the page behind this one; null: this is the last."""

    trades: list[PastTradeTold]
    next: Cursor | None


class CandleTold(TypedDict):
    """changed: how many of its trades were busted or corrected since they were told."""

    start: Digits
    end: Digits
    open: Decimal | None
    high: Decimal | None
    low: Decimal | None
    close: Decimal | None
    volume: Decimal
    quoteVolume: Decimal
    vwap: Decimal | None
    count: int
    changed: int


class CandlesTold(TypedDict):
    """next: where a following page starts; null: there is none."""

    symbol: str
    interval: str
    candles: list[CandleTold]
    next: Digits | None


TickerTold = TypedDict("TickerTold", {
    "symbol": str, "last": Decimal | None, "lastQuantity": Decimal | None, "bid": Level | None,
    "ask": Level | None, "open": Decimal | None, "high": Decimal | None, "low": Decimal | None,
    "change": Decimal | None, "volume": Decimal, "quoteVolume": Decimal, "vwap": Decimal | None,
    "count": int, "from": Digits, "to": Digits,
})  # fmt: skip


class StatisticsTold(CandleTold):
    """The 24 hours before an instant, as a candle of a day: `close` is the last price. change:
    from open to close."""

    symbol: str
    change: Decimal | None


class TimeTold(TypedDict):
    """Of the exchange's clock: milliseconds and nanoseconds since 1970."""

    serverTime: Digits
    serverTimeNs: Digits
