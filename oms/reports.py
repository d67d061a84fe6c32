"""What comes out: OrderResponse, one execution report.

FIX 4.4 calls it message 8, or 9 for a refused cancel or modify. It is a view on the row that
the store keeps: what a caller sees and what is on disk are one thing.
"""

from collections.abc import Callable, Sequence
from decimal import Decimal
from fractions import Fraction
from typing import Generic, NamedTuple, TypeVar, overload

from oms.controls import Request
from oms.instruments import Instrument
from oms.messages import NEW, REASONS, Liquidity, OrderState, RejectReason, ResponseType, Side
from oms.money import to_decimal
from oms.requests import OrderRequest

# One row of order_responses: plain text and whole numbers, as SQLite binds them fastest.
Row = tuple[
    int, int, int, int, str, str, str, str, str, str,
    int, int, int, int, str, str, str, int, str, int, int,
]  # fmt: skip

ROW_COLUMNS = (
    "journal_seq", "number", "order_id", "request_seq", "account", "client_order_id", "symbol",
    "side", "type", "state", "last_price_ticks", "last_quantity_lots", "cumulative_lots",
    "leaves_lots", "notional", "liquidity", "reason", "wall_ns", "fee", "waited_ns", "venue_ns",
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
    fee: of this fill, in units of the quote asset; negative: a rebate.
    text: "" or a RejectReason, then ": key=value, ..."; or, while pending, why it waits.
    waited_ns: received to released. venue_ns: sent to answered. 0 when not measured.
    """

    __slots__ = ("_made", "_sent", "_told", "instrument", "row")

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
        self._made: Sequence[Row] = ()  # what the request made of its order; where somebody asked

    def made(self, rows: Sequence[Row]) -> None:
        """This response answers a request, which made these reports of its order."""
        self._made = rows

    @property
    def siblings(self) -> "tuple[OrderResponse, ...]":
        """All reports of the order that its request made at once, this one first.

        Known only of the response that a Future resolves with; empty for all others.
        """
        return tuple(OrderResponse(row, self.instrument) for row in self._made)

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
    state = _Column("state", lambda text: OrderState(text) if text else None)
    last_price_ticks = _Column[int]("last_price_ticks")
    last_quantity_lots = _Column[int]("last_quantity_lots")
    cumulative_lots = _Column[int]("cumulative_lots")
    leaves_lots = _Column[int]("leaves_lots")
    notional = _Column("notional", lambda text: int(text or 0))
    liquidity = _Column("liquidity", Liquidity)
    text = _Column[str]("reason")
    wall_ns = _Column[int]("wall_ns")
    fee = _Column("fee", lambda text: int(text or 0))
    waited_ns = _Column[int]("waited_ns")
    venue_ns = _Column[int]("venue_ns")

    @property
    def execution_id(self) -> str:
        """Unique for ever: journal sequence, dash, number within it (FIX ExecID)."""
        return f"{self.journal_seq}-{self.number}"

    @property
    def reason(self) -> RejectReason | None:
        """Why it was refused, or ended; None also where the text says why it waits."""
        return REASONS.get(self.text.partition(":")[0])

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


def refusal(request: Request, reason: RejectReason, wall_ns: int) -> OrderResponse:
    """The answer to a request that was turned away before the journal: nothing is recorded."""
    symbol = side = state = ""
    type_ = ResponseType.COMMAND_REJECTED
    if isinstance(request, OrderRequest):
        symbol, side, state = request.symbol, request.side or "", OrderState.REJECTED.value
        type_ = ResponseType.REJECTED if request.type is NEW else ResponseType.CANCEL_REJECTED
    row: Row = (
        0, 0, 0, 0, request.account, request.client_order_id, symbol, str(side), type_.value,
        state, 0, 0, 0, 0, "", "", reason.value, wall_ns, "", 0, 0,
    )  # fmt: skip
    return OrderResponse(row)
