"""Shapes: what routes answer, as types; /openapi.json is made from them. Here those of orders and
money; market_shapes, user_shapes and operator_shapes have the others.

The functions that tell (told.py and the routes) make plain dictionaries; schemathesis holds them to
these shapes in the tests. Decimals, ids, sequences and nanoseconds are text, see `Digits`.
"""

from typing import Annotated, Any, Literal, NamedTuple, NotRequired, TypedDict

import msgspec

from oms.enums import (
    OrderState,
    OrderType,
    PostOnly,
    ResponseType,
    SelfTrade,
    Side,
    TimeInForce,
    TransferState,
)
from oms.gateways.web.words import CURSOR

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
    """orders: those that were canceled, or asked to be at a remote venue. silent: groups of markets
    that did not answer; they do it later."""

    orders: list[CanceledTold]
    silent: NotRequired[list[str]]
    canceled: NotRequired[Digits]
    cancel_requested: NotRequired[Digits]
    reports: NotRequired[list[ReportTold]]


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
    """seq: of the entry that moved money, in an answer to one; of a repeat, that of the first.
    silent: of several groups of markets those that are out of reach; what is theirs is left out."""

    account: str
    balances: list[BalanceTold]
    silent: NotRequired[list[str]]
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
    """silent: as of BalancesTold; pnl is without what is theirs, too."""

    account: str
    positions: list[PositionTold]
    pnl: list[PnlTold]
    silent: NotRequired[list[str]]


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


# --- is it well? ---


class HealthTold(TypedDict):
    status: str


class ReadyTold(TypedDict):
    """parts: each with `ready`, and why not."""

    ready: bool
    parts: dict[str, dict[str, Any]]
