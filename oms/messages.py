"""What goes in and what comes out: OrderRequest, OrderResponse, and their words.

A request is what a client wishes; it is checked when it is made. A response is one
execution report (FIX 4.4 message 8, or 9 for a refused cancel or modify); it is a view
on the row that the store keeps, so what a caller sees and what is on disk are one thing.
"""

from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum
from fractions import Fraction
from typing import Generic, NamedTuple, TypeVar, overload

from oms.errors import ValidationError
from oms.instruments import Instrument
from oms.money import Number, to_decimal

ID_LENGTH_MAX = 64


class RequestType(StrEnum):
    NEW = "NEW"
    MODIFY = "MODIFY"
    CANCEL = "CANCEL"


class Side(StrEnum):
    BUY = "BUY"
    SELL = "SELL"


class OrderType(StrEnum):
    LIMIT = "LIMIT"
    MARKET = "MARKET"


class TimeInForce(StrEnum):
    """GTC rests until canceled, DAY until the session ends; IOC and FOK never rest."""

    GTC = "GTC"
    DAY = "DAY"
    IOC = "IOC"
    FOK = "FOK"


class OrderState(StrEnum):
    """Where an order stands (FIX OrdStatus). UNKNOWN: the venue owes an answer."""

    PENDING_NEW = "PENDING_NEW"
    NEW = "NEW"
    PARTIALLY_FILLED = "PARTIALLY_FILLED"
    PENDING_CANCEL = "PENDING_CANCEL"
    PENDING_REPLACE = "PENDING_REPLACE"
    UNKNOWN = "UNKNOWN"
    FILLED = "FILLED"
    CANCELED = "CANCELED"
    EXPIRED = "EXPIRED"
    REJECTED = "REJECTED"

    @property
    def terminal(self) -> bool:
        return self in TERMINAL_STATES


TERMINAL_STATES = frozenset(
    {OrderState.FILLED, OrderState.CANCELED, OrderState.EXPIRED, OrderState.REJECTED}
)


class ResponseType(StrEnum):
    """What a report tells (FIX ExecType). CANCEL_REJECTED also answers a modify."""

    PENDING_NEW = "PENDING_NEW"
    NEW = "NEW"
    TRADE = "TRADE"
    CANCELED = "CANCELED"
    REPLACED = "REPLACED"
    EXPIRED = "EXPIRED"
    REJECTED = "REJECTED"
    PENDING_CANCEL = "PENDING_CANCEL"
    PENDING_REPLACE = "PENDING_REPLACE"
    CANCEL_REJECTED = "CANCEL_REJECTED"
    ORDER_STATUS = "ORDER_STATUS"
    UNKNOWN = "UNKNOWN"


class RejectReason(StrEnum):
    """The stable first word of every refusal; what follows it is key=value context."""

    SYMBOL_UNKNOWN = "SYMBOL_UNKNOWN"
    PRICE_INVALID = "PRICE_INVALID"
    QUANTITY_INVALID = "QUANTITY_INVALID"
    SESSION_CLOSED = "SESSION_CLOSED"
    SESSION_ENDED = "SESSION_ENDED"
    DUPLICATE_ID = "DUPLICATE_ID"
    UNKNOWN_ORDER = "UNKNOWN_ORDER"
    TOO_LATE = "TOO_LATE"
    ALREADY_PENDING = "ALREADY_PENDING"
    INSUFFICIENT_LIQUIDITY = "INSUFFICIENT_LIQUIDITY"
    VENUE_REJECTED = "VENUE_REJECTED"
    QUEUE_FULL = "QUEUE_FULL"
    DISK_FULL = "DISK_FULL"
    STORE_BUSY = "STORE_BUSY"
    SHUTTING_DOWN = "SHUTTING_DOWN"


class Liquidity(StrEnum):
    """Which side of a trade an order was: MAKER rested, TAKER arrived."""

    NONE = ""
    MAKER = "MAKER"
    TAKER = "TAKER"


# Members by name of their own: looking one up in its class is a function call.
NEW, MODIFY, CANCEL = RequestType.NEW, RequestType.MODIFY, RequestType.CANCEL
LIMIT, MARKET = OrderType.LIMIT, OrderType.MARKET


def check_id(field: str, value: object) -> str:
    """`value` if it is an id: 1 to 64 printable ASCII characters, no quote or backslash."""
    # Quotes and backslashes are out so that an id stands in JSON as it is.
    if (
        not isinstance(value, str)
        or not 1 <= len(value) <= ID_LENGTH_MAX
        or not value.isascii()
        or not value.isprintable()
        or '"' in value
        or "\\" in value
    ):
        raise ValidationError(
            field, value, f"1 to {ID_LENGTH_MAX} printable ASCII characters, no quote or backslash"
        )
    return value


NUMBER_TYPES = (str, int, Decimal, float)  # exactly: a bool is no price


def _check_member(field: str, value: object, enum: type[StrEnum]) -> None:
    if type(value) is not enum:
        raise ValidationError(field, value, "one of " + ", ".join(enum))


def _check_number(field: str, value: object) -> None:
    if type(value) not in NUMBER_TYPES:
        raise ValidationError(field, value, "text, int, Decimal or float")


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderRequest:
    """A client's wish to place, change or cancel one order.

    client_order_id: the client's own name of this request, unique per account for ever.
    orig_client_order_id: MODIFY and CANCEL: which order, by any id it has had.
    price: limit price; None for a market order, or to leave it as it is in a MODIFY.
    quantity: NEW: order quantity. MODIFY: the new total, fills included, or None.
    hold: wait for the open instead of being rejected when the session is closed.
    request_id: anything the caller wants to find again in the journal.

    Prices and quantities are text, int, Decimal or an exact float, in whole currency and
    whole units ("100.50"); whether they fit the instrument's grid is answered, not raised.

    Raises ValidationError, naming the field, on a value out of range.
    """

    type: RequestType
    account: str
    client_order_id: str
    orig_client_order_id: str = ""
    symbol: str = ""
    side: Side | None = None
    order_type: OrderType = OrderType.LIMIT
    price: Number | None = None
    quantity: Number | None = None
    time_in_force: TimeInForce = TimeInForce.GTC
    hold: bool = False
    request_id: str = ""

    def __post_init__(self) -> None:
        _check_member("type", self.type, RequestType)
        check_id("account", self.account)
        check_id("client_order_id", self.client_order_id)
        if self.request_id:
            check_id("request_id", self.request_id)
        if self.price is not None:
            _check_number("price", self.price)
        if self.quantity is not None:
            _check_number("quantity", self.quantity)
        if self.type is NEW:
            self._check_new()
        else:
            check_id("orig_client_order_id", self.orig_client_order_id)
            if self.type is MODIFY and self.price is None and self.quantity is None:
                raise ValidationError("quantity", None, "a new price or a new quantity")

    def _check_new(self) -> None:
        check_id("symbol", self.symbol)
        _check_member("side", self.side, Side)
        _check_member("order_type", self.order_type, OrderType)
        _check_member("time_in_force", self.time_in_force, TimeInForce)
        if self.quantity is None:
            raise ValidationError("quantity", None, "a number above 0")
        if (self.price is None) != (self.order_type is MARKET):
            expected = "none for MARKET" if self.price is not None else "a number for LIMIT"
            raise ValidationError("price", self.price, expected)

    @classmethod
    def new(
        cls,
        account: str,
        client_order_id: str,
        symbol: str,
        side: Side,
        quantity: Number,
        price: Number | None = None,
        *,
        time_in_force: TimeInForce = TimeInForce.GTC,
        hold: bool = False,
        request_id: str = "",
    ) -> "OrderRequest":
        """A limit order, or a market order where there is no price."""
        return cls(
            type=NEW,
            account=account,
            client_order_id=client_order_id,
            symbol=symbol,
            side=side,
            order_type=MARKET if price is None else LIMIT,
            price=price,
            quantity=quantity,
            time_in_force=time_in_force,
            hold=hold,
            request_id=request_id,
        )

    @classmethod
    def modify(
        cls,
        account: str,
        client_order_id: str,
        orig_client_order_id: str,
        *,
        price: Number | None = None,
        quantity: Number | None = None,
        request_id: str = "",
    ) -> "OrderRequest":
        """Change an order's price, its total quantity, or both."""
        return cls(
            type=MODIFY,
            account=account,
            client_order_id=client_order_id,
            orig_client_order_id=orig_client_order_id,
            price=price,
            quantity=quantity,
            request_id=request_id,
        )

    @classmethod
    def cancel(
        cls,
        account: str,
        client_order_id: str,
        orig_client_order_id: str,
        *,
        request_id: str = "",
    ) -> "OrderRequest":
        """Take back what is left of an order."""
        return cls(
            type=CANCEL,
            account=account,
            client_order_id=client_order_id,
            orig_client_order_id=orig_client_order_id,
            request_id=request_id,
        )


# One row of order_responses: plain text and whole numbers, as SQLite binds them fastest.
Row = tuple[
    int, int, int, int, str, str, str, str, str, str,
    int, int, int, int, str, str, str, int, int, int,
]  # fmt: skip

ROW_COLUMNS = (
    "journal_seq", "number", "order_id", "request_seq", "account", "client_order_id", "symbol",
    "side", "type", "state", "last_price_ticks", "last_quantity_lots", "cumulative_lots",
    "leaves_lots", "notional", "liquidity", "reason", "wall_ns", "waited_ns", "venue_ns",
)  # fmt: skip

T = TypeVar("T")


class _Column(Generic[T]):
    """One column of the row, read as T."""

    __slots__ = ("_index", "_read")

    def __init__(self, name: str, read: Callable[[str], T] | None = None) -> None:
        self._index = ROW_COLUMNS.index(name)
        self._read = read

    @overload
    def __get__(self, response: None, owner: object) -> "_Column[T]": ...
    @overload
    def __get__(self, response: "OrderResponse", owner: object) -> T: ...
    def __get__(self, response: "OrderResponse | None", owner: object) -> "_Column[T] | T":
        if response is None:
            return self
        value = response.row[self._index]
        return value if self._read is None else self._read(value)  # type: ignore


class HopTimes(NamedTuple):
    """When one request passed each hop, in monotonic nanoseconds; 0 where it did not.

    received: on_data took it. queued: a dispatcher turn saw it. released: the throttle let
    it go. sent, answered: to and from the venue. durable: committed. published: told.
    """

    received_ns: int
    queued_ns: int
    released_ns: int
    sent_ns: int
    answered_ns: int
    durable_ns: int
    published_ns: int


class OrderResponse:
    """One execution report: what happened to one order, and how it stands since.

    journal_seq: the journal entry that made it; 0 if refused before the journal.
    request_seq: the request this answers; 0 when the order's owner did not ask (a fill of
        a resting order, an expiry).
    client_order_id: the id of the request answered, else of the order.
    last_*: price and quantity of this fill; 0 when there is none.
    cumulative_lots, leaves_lots: filled so far, and still open.
    notional: sum of price times quantity over all fills, in 10**-(price_scale +
        quantity_scale): exact, and as wide as it needs to be.
    reason: "" or a RejectReason, then ": key=value, ...".
    waited_ns: received to released. venue_ns: sent to answered. 0 when not measured.
    """

    __slots__ = ("_sent", "_told", "instrument", "row")

    def __init__(
        self,
        row: Row,
        instrument: Instrument | None = None,
        sent: tuple[str, int, int, int, int, int] | None = None,
        told: tuple[int, int] = (0, 0),
    ) -> None:
        self.row = row
        self.instrument = instrument
        self._sent = sent  # outcome, then received to answered; of a request just sent
        self._told = told  # durable, published; of the whole turn

    @property
    def hops(self) -> HopTimes | None:
        """The request's hop times; None for a report that answers no request just sent."""
        return HopTimes(*self._sent[1:], *self._told) if self._sent else None

    journal_seq = _Column[int]("journal_seq")
    number = _Column[int]("number")
    order_id = _Column[int]("order_id")
    request_seq = _Column[int]("request_seq")
    account = _Column[str]("account")
    client_order_id = _Column[str]("client_order_id")
    symbol = _Column[str]("symbol")
    side = _Column("side", lambda text: Side(text) if text else None)
    type = _Column("type", ResponseType)
    state = _Column("state", OrderState)
    last_price_ticks = _Column[int]("last_price_ticks")
    last_quantity_lots = _Column[int]("last_quantity_lots")
    cumulative_lots = _Column[int]("cumulative_lots")
    leaves_lots = _Column[int]("leaves_lots")
    notional = _Column("notional", lambda text: int(text or 0))
    liquidity = _Column("liquidity", Liquidity)
    text = _Column[str]("reason")
    wall_ns = _Column[int]("wall_ns")
    waited_ns = _Column[int]("waited_ns")
    venue_ns = _Column[int]("venue_ns")

    @property
    def execution_id(self) -> str:
        """Unique for ever: journal sequence, dash, number within it (FIX ExecID)."""
        return f"{self.journal_seq}-{self.number}"

    @property
    def reason(self) -> RejectReason | None:
        code = self.text.partition(":")[0]
        return RejectReason(code) if code else None

    @property
    def last_price(self) -> Decimal:
        return to_decimal(
            self.last_price_ticks, self.instrument.price_scale if self.instrument else 0
        )

    @property
    def last_quantity(self) -> Decimal:
        return self._quantity(self.last_quantity_lots)

    @property
    def cumulative_quantity(self) -> Decimal:
        return self._quantity(self.cumulative_lots)

    @property
    def leaves_quantity(self) -> Decimal:
        return self._quantity(self.leaves_lots)

    @property
    def average_price(self) -> Fraction | None:
        """Exact average price of all fills; None before the first."""
        if not self.cumulative_lots or self.instrument is None:
            return None
        return Fraction(self.notional, self.cumulative_lots * 10**self.instrument.price_scale)

    def _quantity(self, lots: int) -> Decimal:
        return to_decimal(lots, self.instrument.quantity_scale if self.instrument else 0)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, OrderResponse) and other.row == self.row

    def __hash__(self) -> int:
        return hash(self.row)

    def __repr__(self) -> str:
        fields = ", ".join(f"{k}={v!r}" for k, v in zip(ROW_COLUMNS, self.row, strict=True) if v)
        return f"OrderResponse({fields})"


def refusal(request: OrderRequest, reason: RejectReason, wall_ns: int) -> OrderResponse:
    """The answer to a request that was turned away before the journal: nothing is recorded."""
    new = request.type is RequestType.NEW
    row: Row = (
        0, 0, 0, 0, request.account, request.client_order_id, request.symbol,
        request.side.value if request.side else "",
        (ResponseType.REJECTED if new else ResponseType.CANCEL_REJECTED).value,
        OrderState.REJECTED.value, 0, 0, 0, 0, "", "", reason.value, wall_ns, 0, 0,
    )  # fmt: skip
    return OrderResponse(row)
