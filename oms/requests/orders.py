"""Order requests: what a client wishes to place, change or cancel; checked when they are made."""

from collections.abc import Callable
from dataclasses import dataclass, field
from decimal import Decimal
from enum import StrEnum
from typing import Any, NamedTuple, SupportsIndex, TypeVar

from oms.enums import (
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
from oms.errors import ValidationError
from oms.money import GivenNumber, Number, plain

ID_LENGTH_MAX = 64
KNOWN_MAX = 4_096
NUMBER_TYPES = (str, int, Decimal, float)  # exactly: a bool is no price
RESTING = (TimeInForce.GTC, TimeInForce.DAY, TimeInForce.GTD)
SEQUENCE_MAX = 2**63 - 1
GTC, IOC = TimeInForce.GTC, TimeInForce.IOC

# Compared by identity: what is not the default itself is checked in full, and an object whose
# own comparison raises is not asked.
EMPTY, ZERO = "", 0

Word = TypeVar("Word", bound=StrEnum)

known: set[str] = set()
"""Accounts and symbols that were checked: they come again and again."""


def check_id(name: str, value: object) -> str:
    """`value` if it is an id: 1 to 64 printable ASCII characters, no quote or backslash."""
    # Quotes and backslashes are out so that an id stands in JSON as it is.
    if (
        type(value) is not str
        or not 1 <= len(value) <= ID_LENGTH_MAX
        or not value.isascii()
        or not value.isprintable()
        or '"' in value
        or "\\" in value
    ):
        expected = f"1 to {ID_LENGTH_MAX} printable ASCII characters, no quote or backslash"
        raise ValidationError(name, value, expected)
    return value


def check_optional_id(name: str, value: object) -> None:
    """The same, or an empty text. An object of another class is never compared: its own
    comparison may raise anything."""
    if type(value) is not str or value:
        check_id(name, value)


def check_known_id(name: str, value: object) -> None:
    """The same of an account or a symbol, which are few."""
    if type(value) is str and value in known:
        return
    check_id(name, value)
    if len(known) >= KNOWN_MAX:
        known.clear()
    known.add(value)  # type: ignore[arg-type]


def member_of(name: str, value: object, enum: type[Word]) -> Word:
    """A member, given as itself or by its name ("BUY"); ValidationError if it is none."""
    if type(value) is enum:
        return value
    if issubclass(type(value), str):
        word = str.__str__(value)  # and not what its class says it is
        for member in enum:
            if member.value == word:
                return member
    raise ValidationError(name, value, "one of " + ", ".join(enum))


def number_of(name: str, value: object) -> Number:
    """A number as Python's own; one of numpy or pandas, too. ValidationError if it is none."""
    number = plain(value)
    if type(number) not in NUMBER_TYPES:
        raise ValidationError(name, value, "text, int, Decimal or float")
    return number  # type: ignore[return-value]


def set_field(request: object, name: str, value: object) -> None:
    """Put a checked value in its place, while a frozen request is being made."""
    object.__setattr__(request, name, value)


def _refuse_unless(fits: bool, name: str, value: object, expected: str) -> None:
    if not fits:
        raise ValidationError(name, value, expected)


class Origin(NamedTuple):
    """Whose request it is and how it came; empty for a caller of the library.

    user: who is logged on at the gateway. gateway: its name. request_id: anything the caller
    wants to find again in the journal. sequence: the FIX MsgSeqNum (tag 34), 0 for none.
    """

    user: str = ""
    gateway: str = ""
    request_id: str = ""
    sequence: int = 0

    @property
    def is_usual(self) -> bool:
        """Is it surely good? Told of all its texts at once; `check` says what is wrong."""
        user, gateway, request_id, sequence = self
        if not type(user) is type(gateway) is type(request_id) is str or type(sequence) is not int:
            return False
        text = f"{user}{gateway}{request_id}"
        return (
            len(text) <= ID_LENGTH_MAX
            and text.isascii()
            and text.isprintable()
            and '"' not in text
            and "\\" not in text
            and 0 <= sequence <= SEQUENCE_MAX
        )

    def check(self) -> None:
        """Raises ValidationError, naming the field, on a value out of range."""
        for name in ("user", "gateway", "request_id"):
            check_optional_id(name, getattr(self, name))
        if type(self.sequence) is not int or not 0 <= self.sequence <= SEQUENCE_MAX:
            raise ValidationError("sequence", self.sequence, f"0 to {SEQUENCE_MAX}")


NO_ORIGIN = Origin()


def check_origin(origin: object) -> None:
    if origin is NO_ORIGIN:
        return
    if type(origin) is not Origin:
        raise ValidationError("origin", origin, "an Origin")
    if not origin.is_usual:
        origin.check()


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderTerms:
    """What an order asks for besides price, quantity and time in force.

    stop_price: of a STOP or STOP_LIMIT: the trade price that triggers it.
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
        for name in NUMBERS:
            if getattr(self, name) is not None:
                set_field(self, name, number_of(name, getattr(self, name)))
        if self.post_only is not None:
            set_field(self, "post_only", member_of("post_only", self.post_only, PostOnly))
        if self.self_trade is not None:
            set_field(self, "self_trade", member_of("self_trade", self.self_trade, SelfTrade))
        set_field(self, "expire_ns", plain(self.expire_ns))
        if type(self.expire_ns) is not int or not 0 <= self.expire_ns < 2**63:
            raise ValidationError("expire_ns", self.expire_ns, "nanoseconds since 1970")
        check_optional_id("oco_with", self.oco_with)


NUMBERS = (
    "stop_price", "display_quantity", "min_quantity", "quote_quantity", "protection_price",
)  # fmt: skip
NO_TERMS = OrderTerms()


@dataclass(slots=True, kw_only=True, init=False)
class OrderRequest:
    """A client's wish to place, change or cancel one order.

    client_order_id: the client's own name of this request, unique per account for ever.
    orig_client_order_id, order_id: MODIFY and CANCEL: which order, by any client order id it
        has had, or by its order id (an OrderResponse has it); one of both.
    price: limit price; None for a market order, or to leave it as it is in a MODIFY.
    quantity: NEW: order quantity. MODIFY: the new total, fills included, or None.
    hold: wait for the open instead of being rejected when the session is closed.
    terms: more of it, for orders that are not plain; in a MODIFY, stop_price and
        display_quantity may be new.
    origin: whose request it is and how it came, for the record.

    Prices and quantities are text, int, Decimal or an exact float, or such a scalar of numpy or
    pandas, in whole currency and whole units ("100.50"); whether they fit the instrument's grid
    is answered, not raised. Type, side, order type and time in force are members of their enums,
    or their names ("BUY").

    line: what is handed over: kind and fields. It is made here, once, from checked values,
    and cannot be set: changing a field afterwards changes nothing.

    Raises ValidationError, naming the field, on a value out of range.
    """

    type: RequestType
    account: str
    client_order_id: str
    orig_client_order_id: str = ""
    order_id: int = 0
    symbol: str = ""
    side: Side | None = None
    order_type: OrderType = OrderType.LIMIT
    price: Number | None = None
    quantity: Number | None = None
    time_in_force: TimeInForce = TimeInForce.GTC
    hold: bool = False
    terms: OrderTerms | None = None
    origin: Origin = NO_ORIGIN
    line: tuple[Any, ...] = field(init=False, repr=False, compare=False)

    def __init__(
        self,
        *,
        type: RequestType | str,
        account: str,
        client_order_id: str,
        orig_client_order_id: str = EMPTY,
        order_id: SupportsIndex = ZERO,
        symbol: str = "",
        side: Side | str | None = None,
        order_type: OrderType | str = LIMIT,
        price: GivenNumber | None = None,
        quantity: GivenNumber | None = None,
        time_in_force: TimeInForce | str = TimeInForce.GTC,
        hold: bool = False,
        terms: OrderTerms | None = None,
        origin: Origin = NO_ORIGIN,
    ) -> None:
        self.type = type  # type: ignore[assignment]  # names become members below
        self.account = account
        self.client_order_id = client_order_id
        self.orig_client_order_id = orig_client_order_id
        self.order_id = order_id  # type: ignore[assignment]
        self.symbol = symbol
        self.side = side  # type: ignore[assignment]
        self.order_type = order_type  # type: ignore[assignment]
        self.price = price  # type: ignore[assignment]
        self.quantity = quantity  # type: ignore[assignment]
        self.time_in_force = time_in_force  # type: ignore[assignment]
        self.hold = hold
        self.terms = terms
        self.origin = origin
        if (  # a plain order, by far the most, needs no more than this
            type is NEW
            and terms is None
            and order_type is LIMIT
            and type_of(account) is str
            and account in known
            and type_of(symbol) is str
            and symbol in known
            and type_of(client_order_id) is str
            and 0 < len(client_order_id) <= ID_LENGTH_MAX
            and client_order_id.isascii()
            and client_order_id.isprintable()
            and '"' not in client_order_id
            and "\\" not in client_order_id
            and type_of(price) in NUMBER_TYPES
            and type_of(quantity) in NUMBER_TYPES
            and type_of(side) is Side
            and (time_in_force is GTC or time_in_force is IOC)
            and (hold is False or hold is True)
            and (origin is NO_ORIGIN or (type_of(origin) is Origin and origin.is_usual))
            and order_id is ZERO
            and orig_client_order_id is EMPTY
        ):
            set_line(self, (
                "N", account, client_order_id, symbol, side._value_,  # type: ignore[union-attr]
                order_type._value_, time_in_force._value_,
                price, quantity, hold, None, origin,
            ))  # fmt: skip
            return
        self._make_plain()
        self._check()
        set_line(self, self._made_line())

    def _made_line(self) -> tuple[Any, ...]:
        """Kind and fields, once they are checked."""
        terms, named = self.terms, self.orig_client_order_id or self.order_id
        if self.type is CANCEL:
            return ("C", self.account, self.client_order_id, named, self.origin)
        if type_of(terms) is OrderTerms and terms == NO_TERMS:  # it says nothing
            terms = None
        if self.type is MODIFY:
            return (
                "M", self.account, self.client_order_id, named, self.price, self.quantity, terms,
                self.origin,
            )  # fmt: skip
        assert self.side is not None
        return (
            "N", self.account, self.client_order_id, self.symbol, self.side._value_,
            self.order_type._value_, self.time_in_force._value_, self.price, self.quantity,
            self.hold, terms, self.origin,
        )  # fmt: skip

    def __setstate__(self, state: tuple[None, dict[str, Any]]) -> None:
        """For copies: the line has no setter, so the slots are filled themselves."""
        for name, value in state[1].items():
            SLOTS[name].__set__(self, value)

    def _make_plain(self) -> None:
        """Members that were given by name, and numbers of other libraries."""
        if (
            type_of(self.type) is RequestType
            and type_of(self.order_type) is OrderType
            and type_of(self.time_in_force) is TimeInForce
            and (self.side is None or type_of(self.side) is Side)
            and (self.price is None or type_of(self.price) in NUMBER_TYPES)
            and (self.quantity is None or type_of(self.quantity) in NUMBER_TYPES)
            and type_of(self.order_id) is int
        ):
            return
        self.type = member_of("type", self.type, RequestType)
        self.order_type = member_of("order_type", self.order_type, OrderType)
        self.time_in_force = member_of("time_in_force", self.time_in_force, TimeInForce)
        if self.side is not None:
            self.side = member_of("side", self.side, Side)
        if self.price is not None:
            self.price = number_of("price", self.price)
        if self.quantity is not None:
            self.quantity = number_of("quantity", self.quantity)
        self.order_id = plain(self.order_id)  # type: ignore[assignment]

    def _check(self) -> None:
        check_known_id("account", self.account)
        check_id("client_order_id", self.client_order_id)
        if self.origin is not NO_ORIGIN:
            check_origin(self.origin)
        if self.hold is not False and self.hold is not True:
            raise ValidationError("hold", self.hold, "True or False")
        if self.type is NEW:
            self._check_new()
        else:
            self._check_change()

    def _check_new(self) -> None:
        check_known_id("symbol", self.symbol)
        if self.side is None:
            raise ValidationError("side", None, "one of " + ", ".join(Side))
        if type_of(self.orig_client_order_id) is not str or self.orig_client_order_id:
            expected = "none for a new order"
            raise ValidationError("orig_client_order_id", self.orig_client_order_id, expected)
        if type_of(self.order_id) is not int or self.order_id:
            raise ValidationError("order_id", self.order_id, "none for a new order")
        if self.terms is not None:
            if type_of(self.terms) is not OrderTerms:
                raise ValidationError("terms", self.terms, "OrderTerms")
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
        for name, value in (
            ("display_quantity", terms.display_quantity), ("post_only", terms.post_only),
            ("oco_with", terms.oco_with or None),
        ):  # fmt: skip
            fits = value is None or (kind is LIMIT and rests)
            _refuse_unless(fits, name, value, "none but for a LIMIT order that may rest")
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

    def _check_change(self) -> None:
        if type_of(self.order_id) is not int or not 0 <= self.order_id <= SEQUENCE_MAX:
            raise ValidationError("order_id", self.order_id, "an order id, or 0")
        if not self.order_id:
            check_id("orig_client_order_id", self.orig_client_order_id)
        elif self.orig_client_order_id is not EMPTY:
            check_optional_id("orig_client_order_id", self.orig_client_order_id)
            if self.orig_client_order_id:
                raise ValidationError("order_id", self.order_id, "0 beside an orig_client_order_id")
        if self.symbol is not EMPTY:
            check_optional_id("symbol", self.symbol)
        if self.type is MODIFY:
            self._check_modify()

    def _check_modify(self) -> None:
        terms = NO_TERMS if self.terms is None else self.terms
        if type_of(terms) is not OrderTerms:
            raise ValidationError("terms", self.terms, "OrderTerms")
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
        side: Side | str,
        quantity: GivenNumber | None,
        price: GivenNumber | None = None,
        *,
        order_type: OrderType | str | None = None,
        terms: OrderTerms | None = None,
        time_in_force: TimeInForce | str = TimeInForce.GTC,
        hold: bool = False,
        origin: Origin = NO_ORIGIN,
    ) -> "OrderRequest":
        """A limit order, or a market order where there is no price; a stop if `terms` say so."""
        if order_type is None:
            stops = type_of(terms) is OrderTerms and terms.stop_price is not None  # type: ignore[union-attr]
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
            terms=terms,
            origin=origin,
        )

    @classmethod
    def modify(
        cls,
        account: str,
        client_order_id: str,
        orig_client_order_id: str = "",
        *,
        order_id: SupportsIndex = 0,
        price: GivenNumber | None = None,
        quantity: GivenNumber | None = None,
        terms: OrderTerms | None = None,
        origin: Origin = NO_ORIGIN,
    ) -> "OrderRequest":
        """Change an order's price, its total quantity, or both; of a stop, its stop price."""
        return cls(
            type=MODIFY,
            account=account,
            client_order_id=client_order_id,
            orig_client_order_id=orig_client_order_id,
            order_id=order_id,
            price=price,
            quantity=quantity,
            terms=terms,
            origin=origin,
        )

    @classmethod
    def cancel(
        cls,
        account: str,
        client_order_id: str,
        orig_client_order_id: str = "",
        *,
        order_id: SupportsIndex = 0,
        origin: Origin = NO_ORIGIN,
    ) -> "OrderRequest":
        """Take back what is left of an order."""
        return cls(
            type=CANCEL,
            account=account,
            client_order_id=client_order_id,
            orig_client_order_id=orig_client_order_id,
            order_id=order_id,
            origin=origin,
        )


type_of: Callable[[object], Any] = type
"""Inside the class `type` is a field's name."""

# A line is what the dispatcher believes, so it can be read and not set. The slot's own getter
# and setter are C; functions in Python would cost each order two calls.
SLOTS: dict[str, Any] = {name: OrderRequest.__dict__[name] for name in OrderRequest.__slots__}
set_line: Callable[[OrderRequest, tuple[Any, ...]], None] = SLOTS["line"].__set__
made_line: Callable[[object], tuple[Any, ...]] = SLOTS["line"].__get__
OrderRequest.line = property(made_line)  # type: ignore[assignment, misc]
