"""What goes in: requests, what a client or an operator wishes; checked when they are made."""

from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum

from oms.errors import ValidationError
from oms.messages import (
    CANCEL,
    LIMIT,
    MARKET,
    MODIFY,
    NEW,
    STOP,
    STOP_LIMIT,
    OrderType,
    PostOnly,
    RequestType,
    SelfTrade,
    Side,
    TimeInForce,
)
from oms.money import Number

ID_LENGTH_MAX = 64


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


RESTING = (TimeInForce.GTC, TimeInForce.DAY, TimeInForce.GTD)


def _not_one_of(field: str, value: object, enum: type[StrEnum]) -> ValidationError:
    return ValidationError(field, value, "one of " + ", ".join(enum))


def check_number(field: str, value: object) -> None:
    if type(value) not in NUMBER_TYPES:
        raise ValidationError(field, value, "text, int, Decimal or float")


def _refuse_unless(fits: bool, field: str, value: object, expected: str) -> None:
    if not fits:
        raise ValidationError(field, value, expected)


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderTerms:
    """What an order asks for besides price, quantity and time in force.

    stop_price: of a STOP or STOP_LIMIT: the trade price that wakes it.
    display_quantity: of an iceberg: how much is shown at a time.
    post_only: never take: be refused, or slide to one tick from the best opposite price.
    expire_ns: of a GTD order: wall clock, nanoseconds since 1970 UTC (clock.wall_ns_of).
    min_quantity: fill at least so much at once, or be canceled (FIX MinQty, tag 110).
    quote_quantity: of a market buy without quantity: how much of the quote asset to spend.
    protection_price: of a MARKET or STOP: the worst price to trade at.
    oco_with: the client order id of an open stop: one cancels the other.
    self_trade: instead of the exchange's default.

    Raises ValidationError, naming the field, on a value of the wrong kind.
    """

    stop_price: Number | None = None
    display_quantity: Number | None = None
    post_only: PostOnly | None = None
    expire_ns: int = 0
    min_quantity: Number | None = None
    quote_quantity: Number | None = None
    protection_price: Number | None = None
    oco_with: str = ""
    self_trade: SelfTrade | None = None

    def __post_init__(self) -> None:
        for field in NUMBERS:
            if getattr(self, field) is not None:
                check_number(field, getattr(self, field))
        if self.post_only is not None and type(self.post_only) is not PostOnly:
            raise _not_one_of("post_only", self.post_only, PostOnly)
        if self.self_trade is not None and type(self.self_trade) is not SelfTrade:
            raise _not_one_of("self_trade", self.self_trade, SelfTrade)
        if type(self.expire_ns) is not int or not 0 <= self.expire_ns < 2**63:
            raise ValidationError("expire_ns", self.expire_ns, "nanoseconds since 1970")
        if self.oco_with:
            check_id("oco_with", self.oco_with)


NUMBERS = (
    "stop_price", "display_quantity", "min_quantity", "quote_quantity", "protection_price",
)  # fmt: skip
NO_TERMS = OrderTerms()


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderRequest:
    """A client's wish to place, change or cancel one order.

    client_order_id: the client's own name of this request, unique per account for ever.
    orig_client_order_id: MODIFY and CANCEL: which order, by any id it has had.
    price: limit price; None for a market order, or to leave it as it is in a MODIFY.
    quantity: NEW: order quantity. MODIFY: the new total, fills included, or None.
    hold: wait for the open instead of being rejected when the session is closed.
    terms: more of it, for orders that are not plain; in a MODIFY, stop_price and
        display_quantity may be new.
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
    terms: OrderTerms | None = None

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
            check_number("price", self.price)
        if self.quantity is not None:
            check_number("quantity", self.quantity)
        if self.type is NEW:
            self._check_new()
        else:
            check_id("orig_client_order_id", self.orig_client_order_id)
            if self.symbol:
                check_id("symbol", self.symbol)
            if self.side is not None and type(self.side) is not Side:
                raise _not_one_of("side", self.side, Side)
            if self.type is MODIFY:
                self._check_modify()

    def _check_new(self) -> None:
        check_id("symbol", self.symbol)
        if type(self.side) is not Side:
            raise _not_one_of("side", self.side, Side)
        if type(self.order_type) is not OrderType:
            raise _not_one_of("order_type", self.order_type, OrderType)
        if type(self.time_in_force) is not TimeInForce:
            raise _not_one_of("time_in_force", self.time_in_force, TimeInForce)
        if self.terms is not None:
            self._check_terms(self.terms)
        elif self.order_type is STOP or self.order_type is STOP_LIMIT:
            raise ValidationError("stop_price", None, f"a number for {self.order_type}")
        elif self.time_in_force is TimeInForce.GTD:
            raise ValidationError("expire_ns", 0, "an instant for GTD")
        if self.quantity is None and (self.terms is None or self.terms.quote_quantity is None):
            raise ValidationError("quantity", None, "a number above 0")
        if (self.price is None) != (self.order_type is MARKET or self.order_type is STOP):
            none = self.price is not None
            expected = f"none for {self.order_type}" if none else f"a number for {self.order_type}"
            raise ValidationError("price", self.price, expected)

    def _check_terms(self, terms: OrderTerms) -> None:
        """Which terms go with which orders."""
        kind, tif = self.order_type, self.time_in_force
        stop, rests = kind in (STOP, STOP_LIMIT), tif in RESTING
        expected = f"a number for {kind}" if stop else f"none for {kind}"
        _refuse_unless(
            (terms.stop_price is not None) == stop, "stop_price", terms.stop_price, expected
        )
        _refuse_unless(rests or not stop, "time_in_force", tif, f"GTC, DAY or GTD for {kind}")
        _refuse_unless(
            (terms.expire_ns > 0) == (tif is TimeInForce.GTD),
            "expire_ns",
            terms.expire_ns,
            "an instant for GTD, 0 for all else",
        )
        for field, value in (
            ("display_quantity", terms.display_quantity), ("post_only", terms.post_only),
            ("oco_with", terms.oco_with or None),
        ):  # fmt: skip
            fits = value is None or (kind is LIMIT and rests)
            _refuse_unless(fits, field, value, "none but for a LIMIT order that may rest")
        fits = terms.min_quantity is None or not (stop or terms.post_only)
        _refuse_unless(fits, "min_quantity", terms.min_quantity, "none for a stop or post-only")
        fits = terms.protection_price is None or kind in (MARKET, STOP)
        _refuse_unless(
            fits, "protection_price", terms.protection_price, "none but for MARKET, STOP"
        )
        if terms.quote_quantity is not None:
            fits = kind is MARKET and self.side is Side.BUY and self.quantity is None
            _refuse_unless(
                fits,
                "quote_quantity",
                terms.quote_quantity,
                "none but for a MARKET buy without quantity",
            )

    def _check_modify(self) -> None:
        terms = self.terms or NO_TERMS
        news = (self.price, self.quantity, terms.stop_price, terms.display_quantity)
        if all(new is None for new in news):
            raise ValidationError("quantity", None, "a new price or a new quantity")
        allowed = OrderTerms(stop_price=terms.stop_price, display_quantity=terms.display_quantity)
        if terms != allowed:
            raise ValidationError("terms", terms, "stop_price and display_quantity alone")

    @classmethod
    def new(
        cls,
        account: str,
        client_order_id: str,
        symbol: str,
        side: Side,
        quantity: Number | None,
        price: Number | None = None,
        *,
        order_type: OrderType | None = None,
        terms: OrderTerms | None = None,
        time_in_force: TimeInForce = TimeInForce.GTC,
        hold: bool = False,
        request_id: str = "",
    ) -> "OrderRequest":
        """A limit order, or a market order where there is no price; a stop if `terms` say so."""
        if order_type is None:
            stops = terms is not None and terms.stop_price is not None
            without, with_price = (STOP, STOP_LIMIT) if stops else (MARKET, LIMIT)
            order_type = without if price is None else with_price
        return cls(
            type=NEW,
            account=account,
            client_order_id=client_order_id,
            symbol=symbol,
            side=side,
            order_type=order_type,
            price=price,
            quantity=quantity,
            time_in_force=time_in_force,
            hold=hold,
            request_id=request_id,
            terms=terms,
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
        terms: OrderTerms | None = None,
        request_id: str = "",
    ) -> "OrderRequest":
        """Change an order's price, its total quantity, or both; of a stop, its stop price."""
        return cls(
            type=MODIFY,
            account=account,
            client_order_id=client_order_id,
            orig_client_order_id=orig_client_order_id,
            price=price,
            quantity=quantity,
            terms=terms,
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
