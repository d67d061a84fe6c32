"""Messages: every kind that crosses a WebSocket, as types; /ws-schema.json is made from them.

What a client says is a Body, read as strictly as one of REST. What it is told is a dictionary of
one of the kinds below, made once and sent to everybody it is for.
"""

from typing import Annotated, Any, Literal, NotRequired, TypedDict

import msgspec

from oms.gateways.web.market_shapes import AuctionTold, CandleTold, SessionTold
from oms.gateways.web.shapes import FillTold, OrderTold, ReportTold
from oms.gateways.web.told import Told
from oms.gateways.web.words import Body, WholeText
from oms.version import VERSION

Text = Annotated[str, msgspec.Meta(max_length=64)]
WIDTHS = ("1s", "5s", "15s", "30s", "1m", "5m", "15m", "30m", "1h", "4h", "1d")
INTERVALS_MS = (0, 100, 250, 500, 1_000)  # at which depth and ticker may be told
GRACE_S_MAX = 60

# --- what a client says ---


class Subscribe(Body):
    """One channel of one symbol or account.

    interval: how many milliseconds of depth or ticker may become one message; 0: none. width: of
    candles. fromSeq, fromNumber: orders, fills, reports and trades go on behind this event; without
    fromNumber the whole turn fromSeq counts as told. group: of markets, where there are several:
    whose orders, reports, balances or phases; without it one subscription to each is begun, and
    each is answered.
    """

    op: Literal["subscribe"]
    channel: str
    id: Text = ""
    symbol: Text = ""
    account: Text = ""
    interval: int = 0
    width: str = ""
    group: Text = ""
    from_seq: WholeText | None = None
    from_number: WholeText | None = None


class Unsubscribe(Body):
    """The words that the subscription had; without group those of all groups end."""

    op: Literal["unsubscribe"]
    channel: str
    id: Text = ""
    symbol: Text = ""
    account: Text = ""
    interval: int = 0
    width: str = ""
    group: Text = ""


class ListSubscriptions(Body):
    """Which subscriptions there are."""

    op: Literal["list"]
    id: Text = ""


class Ping(Body):
    """Answered with the exchange's clock."""

    op: Literal["ping"]
    id: Text = ""


class Auth(Body):
    """token: what an Authorization header would have behind Bearer. Of another user than before:
    what this one may not see ends."""

    op: Literal["auth"]
    token: Annotated[str, msgspec.Meta(max_length=2_048)]
    id: Text = ""


class CancelOnDisconnect(Body):
    """Cancel open orders once this socket is lost: `session`, those that were placed over it from
    now on; `account`, all of the account; `off`, none. grace: seconds that another socket has to
    take over, with the `armed` of the answer as takeOver and nothing else."""

    op: Literal["cancelOnDisconnect"]
    scope: Literal["session", "account", "off"] | None = None
    account: Text = ""
    grace: Annotated[int, msgspec.Meta(ge=0, le=GRACE_S_MAX)] = 0
    take_over: Text = ""
    id: Text = ""


OrderOp = Literal[
    "order.place", "order.test", "order.modify", "order.cancel", "order.cancel_all",
    "order.status",
]  # fmt: skip


class Do(Body):
    """An order to place, change or cancel: params are the fields that REST has."""

    op: OrderOp
    params: dict[str, Any]
    id: Text = ""


# --- what it is told: answers ---


class Welcome(TypedDict):
    """The first message. userId: what the query's user_id said; it gives no right. groups: of
    markets, where there are several."""

    op: Literal["welcome"]
    user: str | None
    authenticated: bool
    userId: str | None
    groups: NotRequired[list[str]]


class Topic(TypedDict):
    """What a subscription is to. group: where there are several; each has sequences of its own."""

    channel: str
    symbol: NotRequired[str]
    account: NotRequired[str]
    interval: NotRequired[int]
    width: NotRequired[str]
    group: NotRequired[str]


class Answer(TypedDict):
    """To a message with this op and id. An order's has status and result, as REST answers it; a
    list has subscriptions, a ping time, an auth user and accounts, cancelOnDisconnect armed: the
    name of what was armed, null for nothing. An unsubscription repeats its words."""

    op: str
    id: str | None
    ok: Literal[True]
    channel: NotRequired[str]
    symbol: NotRequired[str]
    interval: NotRequired[int]
    width: NotRequired[str]
    group: NotRequired[str]
    status: NotRequired[int]
    result: NotRequired[dict[str, Any]]
    subscriptions: NotRequired[list[Topic]]
    time: NotRequired[str]
    user: NotRequired[str]
    accounts: NotRequired[list[str]]
    armed: NotRequired[str | None]
    scope: NotRequired[Literal["session", "account", "off"]]
    account: NotRequired[str | None]
    grace: NotRequired[int]


class ErrorFacts(TypedDict):
    """As REST has it."""

    code: str
    number: int
    message: str
    field: str | None
    requestId: str


class Refused(TypedDict):
    """A message that was not done. order: as it was recorded. reports: where they were asked
    for. group: of a subscription to each of several groups, the one that was not begun."""

    op: str | None
    id: str | None
    ok: Literal[False]
    error: ErrorFacts
    group: NotRequired[str]
    order: NotRequired[dict[str, Any]]
    reports: NotRequired[list[ReportTold]]


class TradeFacts(TypedDict):
    """One trade of a market. takerSide: null in an auction."""

    tradeId: str
    executionId: str
    symbol: str
    price: str | None
    quantity: str | None
    takerSide: NotRequired[str | None]
    seq: NotRequired[str]
    time: NotRequired[str]


class TickerFacts(TypedDict):
    """Best bid and ask as [price, quantity], and the last trade; null where there is none."""

    symbol: str
    bid: list[str] | None
    ask: list[str] | None
    last: str | None
    lastQuantity: str | None


class CandleFacts(CandleTold):
    """What was traded in [start, end), nanoseconds since 1970, as REST tells it."""

    symbol: str
    width: str


class MarketFacts(TypedDict):
    """The phase of a market, and why it is halted or closed."""

    symbol: str
    phase: str
    reason: str | None


class BalanceFacts(TypedDict):
    """What an account owns of an asset."""

    asset: str
    available: str | None
    reserved: str | None
    account: NotRequired[str]


Why = Literal["TOO_FAR_BACK", "TOO_MUCH", "UNKNOWN_SEQUENCE", "NOT_KEPT"]
"""Why it begins with a snapshot though fromSeq asked for more: it lies too far back to be looked
for; it is more than a subscription tells; the exchange never came so far, so it is another's
sequence; the channel tells how things stand, and its past is kept nowhere."""


class Begun(Topic):
    """The answer to a subscription. SNAPSHOT: how things stand at `seq`. RESUMED: what happened
    behind fromSeq follows, up to `seq`, then what is new."""

    op: Literal["subscribe"]
    id: str | None
    ok: Literal[True]
    event: Literal["SNAPSHOT", "RESUMED"]
    seq: str
    why: NotRequired[Why]
    lastId: NotRequired[str]
    bids: NotRequired[list[list[str]]]
    asks: NotRequired[list[list[str]]]
    trades: NotRequired[list[TradeFacts]]
    ticker: NotRequired[TickerFacts]
    candles: NotRequired[list[CandleFacts]]
    markets: NotRequired[dict[str, str]]
    session: NotRequired[SessionTold]
    orders: NotRequired[list[OrderTold]]
    reports: NotRequired[list[ReportTold]]
    balances: NotRequired[list[BalanceFacts]]


class Ended(Topic):
    """A subscription is over: whoever the socket speaks for now may not see it."""

    event: Literal["ENDED"]
    why: Literal["AUTH"]


# --- what it is told: events ---


class OfGroup(TypedDict):
    """group: of markets, whose sequence `seq` is, where there are several."""

    group: NotRequired[str]


class DepthEvent(OfGroup):
    """Levels that changed, to be set; quantity 0: the level is gone. firstId is one more than the
    lastId before."""

    channel: Literal["depth"]
    event: Literal["UPDATE"]
    symbol: str
    interval: int
    seq: str
    firstId: str
    lastId: str
    bids: list[list[str]]
    asks: list[list[str]]


class Placed(OfGroup):
    """Where in the order of all events it is: the turn's sequence, and its number within it."""

    seq: str
    number: int


class TradeEvent(Placed):
    """number counts the turn's trades of the symbol. BUST, CORRECTION: of a trade told before."""

    channel: Literal["trades"]
    event: Literal["TRADE", "BUST", "CORRECTION"]
    data: TradeFacts


class TickerEvent(OfGroup):
    """The best prices, or the last one, are others."""

    channel: Literal["ticker"]
    interval: int
    seq: str
    data: TickerFacts


class CandleEvent(OfGroup):
    """A candle as it stands; it is told again while it grows, at most once a second."""

    channel: Literal["candles"]
    seq: str
    data: CandleFacts


class MarketEvent(Placed):
    """A market's phase is another."""

    channel: Literal["markets"]
    data: MarketFacts


class SessionEvent(OfGroup):
    """The session is another."""

    channel: Literal["session"]
    seq: str
    data: SessionTold


class AuctionEvent(Placed):
    """The indicative price of a call is another."""

    channel: Literal["auction"]
    data: AuctionTold


class OrderEvent(Placed):
    """One execution report: event is its type, data how the order stands since."""

    channel: Literal["orders"]
    event: str
    account: str
    data: OrderTold


class FillEvent(Placed):
    """One fill."""

    channel: Literal["fills"]
    account: str
    data: FillTold


class ReportEvent(Placed):
    """One execution report, with all that it says."""

    channel: Literal["reports"]
    account: str
    data: ReportTold


class BalanceEvent(Placed):
    """What an account has of an asset is another."""

    channel: Literal["balances"]
    data: BalanceFacts


class Heartbeat(OfGroup):
    """The engine is alive and has come to `seq`; all events up to there were told before. For
    sockets that subscribed to something: of each group that this is of."""

    channel: Literal["heartbeat"]
    seq: str
    time: str


SAID = (Subscribe, Unsubscribe, ListSubscriptions, Ping, Auth, CancelOnDisconnect, Do)
TOLD = (
    Welcome, Answer, Refused, Begun, Ended, DepthEvent, TradeEvent, TickerEvent, CandleEvent,
    MarketEvent, SessionEvent, AuctionEvent, OrderEvent, FillEvent, ReportEvent,
    BalanceEvent, Heartbeat,
)  # fmt: skip
REF = "#/$defs/{name}"


def schema() -> Told:
    """JSON Schema of all messages: `said` is what a client may send, `told` what it may get."""
    _, parts = msgspec.json.schema_components([*SAID, *TOLD], ref_template=REF)
    closed(parts)
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "WebSocket messages", "version": VERSION,
        "$ref": REF.format(name="Told"),
        "$defs": {
            **parts,
            "Said": {"anyOf": [{"$ref": REF.format(name=each.__name__)} for each in SAID]},
            "Told": {"anyOf": [{"$ref": REF.format(name=each.__name__)} for each in TOLD]},
        },
    }  # fmt: skip


def closed(parts: Told) -> None:
    """What is told has no fields but these. parts: schemas by name."""
    for kind in TOLD:
        parts[kind.__name__]["additionalProperties"] = False
