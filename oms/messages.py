"""What goes in: OrderRequest, and the words that requests and reports are made of.

A request is what a client wishes; it is checked when it is made.
"""

from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum

from oms.errors import ValidationError
from oms.money import Number

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


REASONS = {reason.value: reason for reason in RejectReason}


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


def _not_one_of(field: str, value: object, enum: type[StrEnum]) -> ValidationError:
    return ValidationError(field, value, "one of " + ", ".join(enum))


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
        if type(self.type) is not RequestType:
            raise _not_one_of("type", self.type, RequestType)
        check_id("account", self.account)
        check_id("client_order_id", self.client_order_id)
        if self.request_id:
            check_id("request_id", self.request_id)
        if type(self.hold) is not bool:
            raise ValidationError("hold", self.hold, "True or False")
        if self.price is not None:
            _check_number("price", self.price)
        if self.quantity is not None:
            _check_number("quantity", self.quantity)
        if self.type is NEW:
            self._check_new()
        else:
            check_id("orig_client_order_id", self.orig_client_order_id)
            if self.symbol:
                check_id("symbol", self.symbol)
            if self.side is not None and type(self.side) is not Side:
                raise _not_one_of("side", self.side, Side)
            if self.type is MODIFY and self.price is None and self.quantity is None:
                raise ValidationError("quantity", None, "a new price or a new quantity")

    def _check_new(self) -> None:
        check_id("symbol", self.symbol)
        if type(self.side) is not Side:
            raise _not_one_of("side", self.side, Side)
        if type(self.order_type) is not OrderType:
            raise _not_one_of("order_type", self.order_type, OrderType)
        if type(self.time_in_force) is not TimeInForce:
            raise _not_one_of("time_in_force", self.time_in_force, TimeInForce)
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
