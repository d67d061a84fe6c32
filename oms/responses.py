"""Responses: what a caller sees of a report.

Flow:  reports of a turn -> publisher -> [OrderResponse] -> caller, listeners, gateways
An OrderResponse is a Report with typed names and numbers in the instrument's units. A refusal is
one, too.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from fractions import Fraction
from operator import attrgetter
from typing import Any, Generic, NamedTuple, TypeVar, overload

from oms.enums import Liquidity, OrderState, ResponseType, Side
from oms.instruments import Instrument
from oms.money import average, to_decimal
from oms.reject_reasons import REASONS, RejectReason
from oms.reports import (
    CODES,
    COMMAND_ANSWERS,
    NO_LIQUIDITY,
    ORDER_STATUS,
    REFUSALS,
    TAKER,
    Report,
    new_tuple,
)

T = TypeVar("T")


class _Field(Generic[T]):
    """One field of the report, read as T."""

    __slots__ = ("_index", "_read")

    def __init__(self, name: str, read: Callable[[str], T] | None = None) -> None:
        self._index = Report._fields.index(name)
        self._read = read

    @overload
    def __get__(self, response: None, owner: object) -> _Field[T]: ...
    @overload
    def __get__(self, response: OrderResponse, owner: object) -> T: ...
    def __get__(self, response: OrderResponse | None, owner: object) -> _Field[T] | T:
        if response is None:
            return self
        value = response.report[self._index]
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
    cumulative_lots, leaves_lots: filled so far, and still open (FIX CumQty, LeavesQty).
    notional: sum of price times quantity over all fills, exactly; notional_units: the same in
        10**-(price_scale + quantity_scale), as wide as it needs to be.
    last_fee: of this fill, in the quote asset; negative: a rebate. fee_units: in its units.
    match_number: of this fill's trade, the same on both sides; 0 when there is none.
    text: "" or a RejectReason, then ": key=value, ..."; or, while pending, why it waits.
    waited_ns: received to released. venue_ns: sent to answered. 0 when not measured.
    """

    __slots__ = ("_at_once", "_hops", "_told", "instrument", "report")

    def __init__(
        self,
        report: Report,
        instrument: Instrument | None = None,
        hops: tuple[str, int, int, int, int, int] | None = None,
        told: tuple[int, int] = (0, 0),
        at_once: Sequence[Report] = (),
    ) -> None:
        self.report = report
        self.instrument = instrument
        self._hops = hops  # outcome, then received to answered; of a request just sent
        self._told = told  # durable, published; of the whole turn
        self._at_once = at_once

    journal_seq = property(lambda self: int(self.report.journal_seq))
    number = property(lambda self: int(self.report.number))
    order_id = _Field[int]("order_id")
    request_seq = _Field[int]("request_seq")
    account = _Field[str]("account")
    client_order_id = _Field[str]("client_order_id")
    symbol = _Field[str]("symbol")
    side = _Field("side", lambda text: Side(text) if text else None)
    type = _Field("type", ResponseType)
    state = _Field("state", lambda text: OrderState(text) if text else None)
    last_price_ticks = _Field[int]("last_price_ticks")
    last_quantity_lots = _Field[int]("last_quantity_lots")
    cumulative_lots = _Field[int]("cumulative_lots")
    leaves_lots = _Field[int]("leaves_lots")
    notional_units = _Field("notional", lambda text: int(text or 0))
    liquidity = _Field("liquidity", Liquidity)
    text = _Field[str]("reason")
    wall_ns = _Field[int]("wall_ns")
    fee_units = _Field("fee", lambda text: int(text or 0))
    match_number = _Field[int]("match_number")
    waited_ns = _Field[int]("waited_ns")
    venue_ns = _Field[int]("venue_ns")

    @property
    def reports(self) -> tuple[OrderResponse, ...]:
        """All reports of the order that its request made at once, in order; this one is the last.

        Known only of the response that a Future resolves with; empty for all others.
        """
        return tuple(OrderResponse(report, self.instrument) for report in self._at_once)

    @property
    def trades(self) -> tuple[OrderResponse, ...]:
        """Of these, the fills that the request took from orders at rest."""
        return tuple(
            OrderResponse(report, self.instrument)
            for report in self._at_once
            if report.liquidity == TAKER
        )

    @property
    def standing(self) -> OrderResponse:
        """How the order stands after all that its request did at once: this response itself.

        From the time when a Future resolved with the first report of its request.
        """
        return self

    @property
    def answers(self) -> Mapping[str, OrderResponse]:
        """By group of markets; where a request about all markets went to several, each one's."""
        return {"": self}

    @property
    def silent(self) -> tuple[str, ...]:
        """Of a request about all markets the groups from which no answer came: whether they have
        done it is not known, or they do it later. The same again, under the same id, settles it."""
        return ()

    @property
    def hops(self) -> HopTimes | None:
        """The request's hop times; None for a report that answers no request just sent."""
        return HopTimes(*self._hops[1:], *self._told) if self._hops else None

    made_of = property(attrgetter("report", "_hops", "_told", "_at_once"))
    """What it was made of, but for its instrument: for who passes it on to another process."""

    @property
    def execution_id(self) -> str:
        """Unique for ever: journal sequence, dash, number within it (FIX ExecID)."""
        return self.report.execution_id

    @property
    def reason(self) -> RejectReason | None:
        """Why it was refused, or ended; None also where the text says why it waits."""
        return REASONS.get(self.text.partition(":")[0])

    @property
    def refused(self) -> bool:
        """Is it a no, or the repeat of one?"""
        report = self.report
        if report.type == ORDER_STATUS:
            return report.state == OrderState.REJECTED or self.reason is not None
        return report.type in REFUSALS

    @property
    def repeated(self) -> bool:
        """Was the request known, with the same content? Then nothing was done again."""
        report = self.report
        if report.type in COMMAND_ANSWERS:  # the first answer again, which is of the first request
            return 0 < report.order_id != report.request_seq > 0
        return report.type == ORDER_STATUS

    @property
    def facts(self) -> dict[str, str]:
        """The key=value pairs of the text: of a refusal its context, of a command its result."""
        pairs = (part.partition("=") for part in self.text.partition(": ")[2].split(", "))
        if self.reason is None:
            pairs = (part.partition("=") for part in self.text.split(", "))
        return {key: value for key, _, value in pairs if value}

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
    def last_fee(self) -> Decimal:
        """The fee of this fill, in the quote asset; negative: a rebate."""
        return to_decimal(self.fee_units, self.instrument.quote_scale if self.instrument else 0)

    @property
    def notional(self) -> Decimal:
        each = self.instrument
        scale = each.price_scale + each.quantity_scale if each else 0
        return to_decimal(self.notional_units, scale)

    @property
    def average_price(self) -> Decimal | None:
        """Average price of all fills, rounded half-even to four decimals more than prices have;
        None before the first."""
        if not self.cumulative_lots or self.instrument is None:
            return None
        return average(self.notional_units, self.cumulative_lots, self.instrument.price_scale)

    @property
    def average_price_ticks(self) -> Fraction | None:
        """The same in ticks, exactly."""
        lots = self.cumulative_lots
        return Fraction(self.notional_units, lots) if lots else None

    def _quantity(self, lots: int) -> Decimal:
        return to_decimal(lots, self.instrument.quantity_scale if self.instrument else 0)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, OrderResponse) and other.report == self.report

    def __hash__(self) -> int:
        return hash(self.report)

    def __repr__(self) -> str:
        values = ((name, getattr(self, name)) for name in SHOWN)
        told = ", ".join(f"{name}={_shown(value)}" for name, value in values if value)
        return f"OrderResponse({told})"


class AccountSnapshot(NamedTuple):
    """What an account has open and owns, after the turn `seq`."""

    seq: int
    orders: list[OrderResponse]
    balances: dict[str, tuple[Decimal, Decimal]]


class OrderPage(NamedTuple):
    """Some orders, and where the next page begins; before: 0 if there is none."""

    orders: list[OrderResponse]
    before: int


SHOWN = (
    "journal_seq", "number", "order_id", "request_seq", "account", "client_order_id", "symbol",
    "side", "type", "state", "last_price", "last_quantity", "cumulative_quantity",
    "leaves_quantity", "average_price", "liquidity", "text", "wall_ns", "last_fee", "waited_ns",
    "venue_ns", "match_number",
)  # fmt: skip


def _shown(value: object) -> str:
    if isinstance(value, Decimal):
        return f"{value:f}"
    return str(value) if isinstance(value, int) else repr(str(value))


def refused(line: Sequence[Any], reason: RejectReason, wall_ns: int) -> OrderResponse:
    """The answer to a request that was turned away before the journal: nothing is recorded."""
    kind, account, client_order_id = line[:3]
    symbol = side = state = ""
    type_ = ResponseType.COMMAND_REJECTED
    if kind in ("N", "M", "C"):
        symbol, side = line[3:5] if kind == "N" else ("", "")
        state = OrderState.REJECTED._value_
        type_ = ResponseType.REJECTED if kind == "N" else ResponseType.CANCEL_REJECTED
    kind = type_._value_
    report = new_tuple(
        Report,
        (
            0, 0, 0, 0, CODES[kind, state], 0, 0, 0, 0, "", NO_LIQUIDITY, reason._value_, "", 0, 0,
            0, kind, state, account, client_order_id, symbol, side, wall_ns,
        ),
    )  # fmt: skip
    return OrderResponse(report, at_once=(report,))
