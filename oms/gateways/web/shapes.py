"""Shapes: what routes answer, as types; /openapi.json is made from them.

The functions that tell (told.py and the routes) make plain dictionaries; schemathesis holds them to
these shapes in the tests. Decimals, ids, sequences and nanoseconds are text, see `Digits`.
"""

from typing import Annotated, Any, Literal, NamedTuple, NotRequired, TypedDict

import msgspec

from oms.enums import (
    MarketOrderPolicy,
    OrderState,
    OrderType,
    Phase,
    PostOnly,
    ResponseType,
    SelfTrade,
    Side,
    TimeInForce,
    Trading,
    TransferState,
)
from oms.gateways.web.words import CURSOR
from oms.users import AccessScope, Role

JSON = "application/json"
HTML = "text/html; charset=utf-8"

Decimal = Annotated[
    str, msgspec.Meta(pattern=r"^-?[0-9]+(\.[0-9]+)?$", description="A decimal number as text.")
]
Digits = Annotated[
    str, msgspec.Meta(pattern="^[0-9]+$", description="A whole number as text: it may pass 2^53.")
]
Cursor = Annotated[
    str,
    msgspec.Meta(
        pattern=CURSOR, description="Where a page goes on; over several groups, in each of them."
    ),
]
Level = Annotated[list[Decimal], msgspec.Meta(min_length=2, max_length=2)]


class Answer(NamedTuple):
    """What a route answers when it does what it is asked: a shape, with which statuses. other: a
    second shape that it may be."""

    shape: Any
    statuses: tuple[int, ...] = (200,)
    content: str = JSON
    other: Any = None

    @property
    def shapes(self) -> tuple[Any, ...]:
        return (self.shape,) if self.other is None else (self.shape, self.other)


DONE = Answer(dict[str, Any])

# --- orders ---


class FillTold(TypedDict):
    """One fill of an order."""

    tradeId: Digits
    executionId: str
    orderId: Digits
    clientOrderId: str
    account: str
    symbol: str
    side: Side
    price: Decimal
    quantity: Decimal
    fee: Decimal
    feeAsset: str
    liquidity: str
    time: Digits


class ReportTold(TypedDict):
    """One execution report with all that it says. namedSeq: the request whose client order id it
    bears. status: "" where it is about no order. Last price and quantity, fee, liquidity and
    tradeId are of a fill; the fee is null where there is none to tell."""

    seq: Digits
    number: int
    orderId: Digits
    requestSeq: Digits
    namedSeq: Digits
    account: str
    clientOrderId: str
    symbol: str
    side: Literal["BUY", "SELL", ""]
    type: ResponseType
    status: str
    lastPrice: Decimal
    lastQuantity: Decimal
    filledQuantity: Decimal
    openQuantity: Decimal
    notional: Decimal
    fee: Decimal | None
    liquidity: str
    text: str
    tradeId: Digits
    waitedNs: Digits
    venueNs: Digits
    time: Digits


class OrderTold(TypedDict):
    """An order: what it is for, and how it stands. clientOrderId: its own for as long as it lives;
    requestClientOrderId: of the request that this tells of. quantity: the total. A term that it
    does not have is left out. symbol and side are "" where a refused request names no order.
    aheadQuantity: shown ahead of it at its price, where `ahead` asks for it and it rests."""

    orderId: Digits
    clientOrderId: str
    requestClientOrderId: str | None
    account: str
    symbol: str
    side: Literal["BUY", "SELL", ""]
    status: OrderState
    seq: Digits
    time: Digits
    type: NotRequired[OrderType | None]
    timeInForce: NotRequired[TimeInForce | None]
    price: NotRequired[str | None]
    quantity: NotRequired[str | None]
    hold: NotRequired[bool]
    stopPrice: NotRequired[str]
    displayQuantity: NotRequired[str]
    postOnly: NotRequired[PostOnly]
    expireTime: NotRequired[Digits]
    minQuantity: NotRequired[str]
    quoteQuantity: NotRequired[str]
    protectionPrice: NotRequired[str]
    ocoWith: NotRequired[str]
    selfTrade: NotRequired[SelfTrade]
    filledQuantity: NotRequired[Decimal]
    openQuantity: NotRequired[Decimal]
    averagePrice: NotRequired[Decimal | None]
    aheadQuantity: NotRequired[Decimal]
    reason: NotRequired[str]
    text: NotRequired[str]
    fills: NotRequired[list[FillTold]]
    reports: NotRequired[list[ReportTold]]


class OrderPageTold(TypedDict):
    """next: the cursor of the page behind this one; null: this is the last."""

    orders: list[OrderTold]
    next: Cursor | None


class OneOfMany(TypedDict):
    """The answer to one order of a list: order or error, with the status it would have had alone.
    A refused order that was recorded has both."""

    status: int
    order: NotRequired[OrderTold]
    error: NotRequired[dict[str, Any]]
    reports: NotRequired[list[ReportTold]]


class RoomTold(TypedDict):
    """What the limits of the account and its groups still allow, beside all that is open and before
    this order; null: nothing limits it. quantity: on this side; value: of the quote asset, of gross
    and net exposure at least so much."""

    orders: int | None
    quantity: Decimal | None
    value: Decimal | None


class Tried(TypedDict):
    """accepted: always true; what would be refused is answered as the order would be. reserved:
    what the order would reserve of the asset. room: of a new order; null where the account has no
    limits."""

    accepted: bool
    reserved: Decimal
    asset: str | None
    room: RoomTold | None


class CanceledTold(TypedDict):
    """group: of markets, where there are several."""

    group: NotRequired[str]
    orderId: Digits
    clientOrderId: str
    status: OrderState


class CanceledAll(TypedDict):
    """orders: those that were canceled, or asked to be at a remote venue."""

    orders: list[CanceledTold]
    canceled: NotRequired[Digits]
    cancel_requested: NotRequired[Digits]
    reports: NotRequired[list[ReportTold]]


# --- markets ---


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


# --- money ---


class BalanceTold(TypedDict):
    asset: str
    available: Decimal
    reserved: Decimal


class TransferTold(TypedDict):
    """A transfer between groups of markets. seq, time: when the money left. why: it was refused,
    or came back."""

    account: str
    clientOrderId: str
    asset: str
    amount: Decimal
    toAccount: str
    fromGroup: str
    toGroup: str
    seq: Digits
    time: Digits
    state: TransferState
    why: str | None
    reports: NotRequired[list[ReportTold]]


class BalancesTold(TypedDict):
    """seq: of the entry that moved money, in an answer to one; of a repeat, that of the first."""

    account: str
    balances: list[BalanceTold]
    seq: NotRequired[Digits]
    reports: NotRequired[list[ReportTold]]


class AccountNowTold(TypedDict):
    """Open orders, oldest first, and balances of one instant, which is behind the turn `seq`.
    clientOrderId of a report is the order's latest."""

    account: str
    group: NotRequired[str]
    seq: Digits
    reports: list[ReportTold]
    balances: list[BalanceTold]


class ReportPageTold(TypedDict):
    """In the order in which they were told. reports: null where they cannot be told, and `why`.
    next: `after` of the page behind this one; null: this is the last."""

    account: str
    group: NotRequired[str]
    reports: list[ReportTold] | None
    next: str | None
    why: NotRequired[Literal["TOO_FAR_BACK", "UNKNOWN_SEQUENCE"]]


class PositionTold(TypedDict):
    """In the quote asset. quantity: below zero if more was sold than bought."""

    symbol: str
    quantity: Decimal
    averageCost: Decimal | None
    cost: Decimal
    realized: Decimal
    unrealized: Decimal
    fees: Decimal
    lastPrice: Decimal | None
    asset: str


class PnlTold(TypedDict):
    """Of all positions of one quote asset. net: realized and unrealized less fees."""

    asset: str
    realized: Decimal
    unrealized: Decimal
    fees: Decimal
    net: Decimal


class PositionsTold(TypedDict):
    account: str
    positions: list[PositionTold]
    pnl: list[PnlTold]


class MovementTold(TypedDict):
    """One amount of one asset; below zero if it went out. kind: TRADE, FEE, TRADE_BUSTED,
    TRADE_CORRECTED, DEPOSIT, WITHDRAW, TRANSFER. group: of markets, where there are several."""

    group: NotRequired[str]
    seq: Digits
    executionId: str
    time: Digits
    asset: str
    amount: Decimal
    kind: str
    orderId: Digits | None
    clientOrderId: str
    symbol: str | None
    otherAccount: str | None


class LedgerTold(TypedDict):
    """Newest first; next: the cursor of the page behind this one."""

    account: str
    entries: list[MovementTold]
    next: Cursor | None


# --- users ---


class SignedUp(TypedDict):
    user: str
    accounts: list[str]
    role: NotRequired[Role]


class TokensTold(TypedDict):
    """token and accessToken are the same; expiresIn: seconds."""

    token: str
    accessToken: str
    refreshToken: str
    tokenType: str
    expiresIn: int


class FactorPending(TypedDict):
    """The password was right; log in again with `pending` and the code."""

    secondFactor: bool
    pending: str


class UserTold(TypedDict):
    user: str
    email: str
    role: Role
    accounts: list[str]
    locked: str | bool | None
    secondFactor: bool
    logins: int
    keys: int
    created: Digits
    scopes: NotRequired[list[AccessScope]]


class UsersTold(TypedDict):
    users: list[UserTold]


class KeyTold(TypedDict):
    """secret: in the answer that creates it, and never again."""

    id: str
    name: str
    scopes: list[AccessScope]
    addresses: list[str]
    ends: Digits | None
    created: Digits
    secret: NotRequired[str]


class KeysTold(TypedDict):
    keys: list[KeyTold]


class SignInTold(TypedDict):
    """One login. began, ends: wall clock. current: the one that asks."""

    id: str
    began: Digits
    ends: Digits
    current: bool


class SignInsTold(TypedDict):
    logins: list[SignInTold]


class FactorTold(TypedDict):
    """uri: for an authenticator, while it is off."""

    on: bool
    uri: NotRequired[str]


class TicketTold(TypedDict):
    ticket: str
    expiresIn: int


class CodeTold(TypedDict):
    user: str
    code: str
    ends: Digits


class LoggedOut(TypedDict):
    loggedOut: bool


class ChangedTold(TypedDict):
    changed: bool


class Revoked(TypedDict):
    revoked: str


# --- operators ---


class Operated(TypedDict):
    """And the facts of the command, each under its name. seq: of the entry that asked for it; of a
    repeat, that of the first."""

    seq: Digits
    text: NotRequired[str]
    reports: NotRequired[list[ReportTold]]


class AccountTold(TypedDict):
    """seq: of the entry that created it; of a repeat, that of the first."""

    account: str
    seq: Digits
    reports: NotRequired[list[ReportTold]]


class AccountOrders(TypedDict):
    account: str
    orders: list[OrderTold]


class HopTold(TypedDict):
    """Of how long one hop took: how many, percentiles and the longest, in nanoseconds; null where
    nothing was counted."""

    count: int
    p50: Digits | None
    p90: Digits | None
    p99: Digits | None
    p999: Digits | None
    max: Digits | None


class VitalsRow(TypedDict):
    """Of one instant: what waits, is open and is connected, and the sends in the throttle's window;
    and since the row before: entries of the journal, reports, rejects, and latencies by hop."""

    time: Digits
    inbox: int
    waiting: int
    openOrders: int
    sends: int
    sockets: int
    entries: int
    reports: int
    rejects: int
    hops: dict[str, HopTold]


class AnswersTold(TypedDict):
    """How many answers took so long, from the call to the durable answer."""

    fromNs: Digits
    toNs: Digits
    count: int


class VitalsTold(TypedDict):
    """rows: oldest first. minute, answers: of the last minute, by hop and by duration."""

    rows: list[VitalsRow]
    minute: dict[str, HopTold]
    answers: list[AnswersTold]


class DigestTold(TypedDict):
    """seq: of the journal, up to where the state is of."""

    seq: str
    digest: str


class GroupDigest(DigestTold):
    group: str


class DigestsTold(TypedDict):
    """Of each of several groups, at an instant of its own."""

    groups: list[GroupDigest]


class AssetMoneyTold(TypedDict):
    """owned: by all accounts. inFlight: on its way to another group, and not there yet. paidIn:
    deposits less withdrawals; the sum of both."""

    asset: str
    owned: Decimal
    inFlight: Decimal
    paidIn: Decimal


class GroupMoneyTold(TypedDict):
    """Of one group. inFlight: to other groups, also what has arrived and is not known to. carried:
    what came from other groups less what is known to have arrived there. owned and inFlight are
    paidIn and carried."""

    asset: str
    owned: Decimal
    inFlight: Decimal
    paidIn: Decimal
    carried: Decimal


class GroupTold(TypedDict):
    """seq: of the group's journal, up to where it is of."""

    group: str
    seq: Digits
    assets: list[GroupMoneyTold]


class MoneyTold(TypedDict):
    """conserved: nothing is missing and nothing is there twice; null where a group is out of reach,
    as those under silent. assets: of the others. transfers: in flight, the oldest first, 1,000 to
    each group at most."""

    conserved: bool | None
    assets: list[AssetMoneyTold]
    groups: list[GroupTold]
    silent: list[str]
    transfers: list[TransferTold]


class HaltsTold(TypedDict):
    """why: of a halt of everybody, or the kill switch; "" for none. accounts, symbols: those that
    may not trade as all others do."""

    everybody: Trading
    why: str
    accounts: dict[str, Trading]
    symbols: dict[str, Trading]


class OpenTold(TypedDict):
    """How many orders are open, of how many accounts and symbols."""

    orders: int
    accounts: int
    symbols: int


class LimitsTold(TypedDict):
    """limits: limit -> text, as configured and as operators set it; only what is limited."""

    account: str
    groups: list[str]
    tier: str
    limits: dict[str, str]


class ActionTold(TypedDict):
    """One action. user, gateway: who asked, and how. action: "" where it was refused before it was
    recorded. name, value: what was set, and to what. text: what was done, or why not. group: of
    markets, where there are several: whose sequence `seq` is."""

    group: NotRequired[str]
    seq: Digits
    time: Digits
    user: str
    gateway: str
    clientOrderId: str
    action: str
    scope: str
    target: str
    name: str
    value: str
    why: str
    done: bool
    text: str


class ActionsTold(TypedDict):
    """Newest first. next: the cursor of the page behind this one; null: this is the last."""

    actions: list[ActionTold]
    next: Cursor | None


class StoryLineTold(TypedDict):
    seq: Digits
    time: Digits
    text: str


class StoryTold(TypedDict):
    """lines: what happened, oldest first; ending: how it stands."""

    orderId: Digits
    account: str
    heading: str
    lines: list[StoryLineTold]
    ending: str


# --- is it well? ---


class HealthTold(TypedDict):
    status: str


class ReadyTold(TypedDict):
    """parts: each with `ready`, and why not."""

    ready: bool
    parts: dict[str, dict[str, Any]]
