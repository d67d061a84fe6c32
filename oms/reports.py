"""Execution reports: one row per event of an order, and the response a caller sees of it.

Flow:  exchange, desk -> [Reports: the turn's rows] -> store, publisher -> [OrderResponse]
FIX 4.4 calls a report message 8, or 9 for a refused cancel or modify. A Report is what the
store keeps, in the store's order; nothing else knows that order. An OrderResponse is a Report
with typed names and numbers in the instrument's units.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from fractions import Fraction
from operator import attrgetter
from typing import Any, Generic, NamedTuple, TypeVar, overload

from oms.enums import Liquidity, OrderState, ResponseType, Side
from oms.errors import JournalError
from oms.exchange.order import Order
from oms.instruments import Instrument
from oms.money import average, to_decimal
from oms.reject_reasons import REASONS, RejectReason

NUMBER_BITS = 24
"""A report's id is its turn's journal sequence, then its number in the turn: 24 bits."""
NUMBER_MASK = (1 << NUMBER_BITS) - 1

ACCEPTED = ResponseType.NEW.value  # and the order's state, in one word
TRADE, ORDER_STATUS = ResponseType.TRADE.value, ResponseType.ORDER_STATUS.value
REFUSALS = (
    ResponseType.REJECTED.value, ResponseType.CANCEL_REJECTED.value,
    ResponseType.COMMAND_REJECTED.value,
)  # fmt: skip
COMMAND_ANSWERS = (ResponseType.COMMAND_DONE.value, ResponseType.COMMAND_REJECTED.value)
NO_LIQUIDITY, TAKER = Liquidity.NONE.value, Liquidity.TAKER.value


class Report(NamedTuple):
    """What happened to one order, and how it stands since; text and whole numbers alone.

    report_id: journal sequence of the turn and number within it, see NUMBER_BITS.
    request_seq: the request this answers; 0 when the order's owner did not ask.
    named_after: how far behind the order's own request the one is whose client order id the
        report bears: 0, or the distance to a later modify or cancel.
    code: type and state in two characters, see EXEC_TYPES and ORD_STATUSES.
    match_number: the same in both reports of a trade; grows by one per trade of a market.
    waited_ns, venue_ns: durations of the request answered; 0 when not measured.
    The fields from `type` on follow from the code, the order and the turn: the store has them
    once.
    """

    report_id: int
    order_id: int
    request_seq: int
    named_after: int
    code: str
    last_price_ticks: int
    last_quantity_lots: int
    cumulative_lots: int
    leaves_lots: int
    notional: str
    liquidity: str
    reason: str
    fee: str
    match_number: int
    waited_ns: int
    venue_ns: int
    type: str
    state: str
    account: str
    client_order_id: str
    symbol: str
    side: str
    wall_ns: int

    @property
    def named_seq(self) -> int:
        """The request whose client order id the report bears."""
        return self.order_id + self.named_after

    @property
    def journal_seq(self) -> int:
        """The turn that made it; 0 if the request was refused before the journal."""
        return self.report_id >> NUMBER_BITS

    @property
    def number(self) -> int:
        """Its place among the reports of the turn, from 1."""
        return self.report_id & NUMBER_MASK

    @property
    def execution_id(self) -> str:
        """Unique for ever (FIX ExecID): journal sequence, dash, number."""
        return execution_id_of(self.report_id)

    def row(self) -> tuple[int | str, ...]:
        """The columns of the view order_responses, in their order."""
        return tuple(getattr(self, name) for name in ROW_COLUMNS)


def execution_id_of(report_id: int) -> str:
    """FIX ExecID: journal sequence of the turn, dash, number within it."""
    return f"{report_id >> NUMBER_BITS}-{report_id & NUMBER_MASK}"


STORED = Report._fields.index("type")  # so many fields, from the first, are a row of `reports`
WAITED = Report._fields.index("waited_ns")
ROW_COLUMNS = (
    "journal_seq", "number", "order_id", "request_seq", "account", "client_order_id", "symbol",
    "side", "type", "state", "last_price_ticks", "last_quantity_lots", "cumulative_lots",
    "leaves_lots", "notional", "liquidity", "reason", "wall_ns", "fee", "waited_ns", "venue_ns",
    "match_number",
)  # fmt: skip
# FIX ExecType (tag 150; 9 is the message OrderCancelReject, the last three are ours) ...
EXEC_TYPES = {
    "PENDING_NEW": "A", "NEW": "0", "TRADE": "F", "CANCELED": "4", "REPLACED": "5",
    "EXPIRED": "C", "REJECTED": "8", "PENDING_CANCEL": "6", "PENDING_REPLACE": "E",
    "CANCEL_REJECTED": "9", "ORDER_STATUS": "I", "TRIGGERED": "L", "RESTATED": "D",
    "DONE_FOR_DAY": "3", "TRADE_BUSTED": "H", "TRADE_CORRECTED": "G", "UNKNOWN": "?",
    "COMMAND_DONE": "+", "COMMAND_REJECTED": "-",
}  # fmt: skip
# ... and OrdStatus (tag 39; UNKNOWN is ours, and so is the lack of any).
ORD_STATUSES = {
    "PENDING_NEW": "A", "NEW": "0", "PARTIALLY_FILLED": "1", "FILLED": "2", "DONE_FOR_DAY": "3",
    "CANCELED": "4", "PENDING_CANCEL": "6", "REJECTED": "8", "SUSPENDED": "9", "EXPIRED": "C",
    "PENDING_REPLACE": "E", "UNKNOWN": "?", "": "",
}  # fmt: skip
CODES = {
    (kind, state): exec_type + ord_status
    for kind, exec_type in EXEC_TYPES.items()
    for state, ord_status in ORD_STATUSES.items()
}
WORDS = {code: words for words, code in CODES.items()}
MEASURED = ("waited_ns", "venue_ns")  # what a replay cannot know

symbol_of, type_of = attrgetter("symbol"), attrgetter("type")
new_tuple = tuple.__new__  # a NamedTuple's own constructor costs three times as much


class Reports:
    """The reports of the turn under way.

    turn_seq: the journal sequence of the turn. wall_ns: its time stamp.
    """

    __slots__ = ("base", "rows", "turn_seq", "wall_ns")

    def __init__(self) -> None:
        self.rows: list[Report] = []
        self.turn_seq = self.base = self.wall_ns = 0

    def begin(self, turn_seq: int, wall_ns: int) -> None:
        self.turn_seq = turn_seq
        self.base = turn_seq << NUMBER_BITS
        self.wall_ns = wall_ns
        self.rows = []

    def add(
        self,
        order: Order,
        type_: str,
        request_seq: int = 0,
        named_seq: int = 0,
        client_order_id: str = "",
        price_ticks: int = 0,
        lots: int = 0,
        liquidity: str = NO_LIQUIDITY,
        reason: str = "",
        fee: str = "",
        match_number: int = 0,
        waited_ns: int = 0,
        venue_ns: int = 0,
    ) -> None:
        """One execution report: how the order stands after what just happened.

        client_order_id, named_seq: of the request answered, if it is not the order's own.
        """
        state = order.reported_state if order.changes or order.unknown else order.state
        rows, notional = self.rows, order.notional
        rows.append(
            new_tuple(
                Report,
                (
                    self.base + len(rows) + 1,
                    order.order_id,
                    request_seq,
                    (named_seq or order.named_seq) - order.order_id,
                    CODES[type_, state._value_],
                    price_ticks,
                    lots,
                    order.cumulative_lots,
                    order.leaves_lots,
                    str(notional) if notional else "",
                    liquidity,
                    reason,
                    fee,
                    match_number,
                    waited_ns,
                    venue_ns,
                    type_,
                    state._value_,
                    order.account,
                    client_order_id or order.client_order_id,
                    order.instrument.symbol,
                    order.side._value_,
                    self.wall_ns,
                ),
            )
        )

    def accepted(self, order: Order, waited_ns: int, venue_ns: int) -> None:
        """The first report of a new order that goes straight to the book; quicker than `add`."""
        rows, seq = self.rows, order.order_id
        rows.append(
            new_tuple(
                Report,
                (
                    self.base + len(rows) + 1, seq, seq, order.named_seq - seq, "00", 0, 0, 0,
                    order.leaves_lots, "", "", "", "", 0, waited_ns, venue_ns, ACCEPTED, ACCEPTED,
                    order.account, order.client_order_id, order.instrument.symbol,
                    order.side._value_, self.wall_ns,
                ),
            )
        )  # fmt: skip

    def traded(
        self,
        order: Order,
        request_seq: int,
        price_ticks: int,
        lots: int,
        liquidity: str,
        fee: str,
        match_number: int,
    ) -> None:
        """One fill of an order; quicker than `add`."""
        state = order.reported_state if order.changes or order.unknown else order.state
        rows, order_id, word = self.rows, order.order_id, state._value_
        rows.append(
            new_tuple(
                Report,
                (
                    self.base + len(rows) + 1, order_id, request_seq, order.named_seq - order_id,
                    CODES[TRADE, word], price_ticks, lots, order.cumulative_lots,
                    order.leaves_lots, str(order.notional), liquidity, "", fee, match_number, 0, 0,
                    TRADE, word, order.account, order.client_order_id, order.instrument.symbol,
                    order.side._value_, self.wall_ns,
                ),
            )
        )  # fmt: skip

    def answer(
        self,
        request_seq: int,
        account: str,
        client_order_id: str,
        type_: str,
        order_id: int,
        symbol: str = "",
        side: str = "",
        state: str = "",
        cumulative_lots: int = 0,
        leaves_lots: int = 0,
        notional: str = "",
        reason: str = "",
        named_seq: int = 0,
        match_number: int = 0,
        price_ticks: int = 0,
        lots: int = 0,
        fee: str = "",
    ) -> None:
        """Answer a request that touches no open order: a refusal, or what is known; or tell of
        an order that is over what became of its trade."""
        named_after = (named_seq or request_seq or order_id) - order_id
        self.rows.append(
            Report(
                self.base + len(self.rows) + 1, order_id, request_seq, named_after,
                CODES[type_, state], price_ticks, lots, cumulative_lots, leaves_lots, notional,
                NO_LIQUIDITY, reason, fee, match_number, 0, 0, type_, state, account,
                client_order_id, symbol, side, self.wall_ns,
            )
        )  # fmt: skip

    def measure(self, place: int, waited_ns: int, venue_ns: int) -> None:
        """The report at this place answers a request that was just sent: how long it took."""
        row = self.rows[place]
        self.rows[place] = new_tuple(
            Report, (*row[:WAITED], waited_ns, venue_ns, *row[WAITED + 2 :])
        )

    def restate(self, state: str) -> None:
        """Tell the latest report's order in this state."""
        row = self.rows[-1]
        self.rows[-1] = row._replace(code=CODES[row.type, state], state=state)


def stored_report(row: Sequence[Any]) -> Report:
    """A report from the columns of its row in the store, and then those of order and turn.

    JournalError if the row is damaged: of no code that there is, or without its number.
    """
    report_id, order_id, _, _, code = row[:5]
    words = WORDS.get(code)
    if type(report_id) is not int or words is None:
        raise JournalError(f"report {report_id}-{order_id}: not readable")
    return new_tuple(Report, (*row[:STORED], *words, *row[STORED:]))


def trade_named(report: Report) -> str:
    """The execution id of the fill that a bust or a correction is about (FIX ExecRefID)."""
    return trade_in(report.reason)


def trade_in(reason: str) -> str:
    """The same, from the report's text."""
    return reason.partition(": trade=")[2].partition(",")[0]


def status_of(order: Order, turn_seq: int, wall_ns: int) -> Report:
    """How an open order stands, outside any turn: no execution, hence number 0."""
    reports = Reports()
    reports.begin(turn_seq, wall_ns)
    reports.add(order, ORDER_STATUS)
    return reports.rows[0]._replace(report_id=turn_seq << NUMBER_BITS)


# A change of an order is on its way, or was refused: the report bears the id of the change.
OF_CHANGES = (
    ResponseType.PENDING_CANCEL.value, ResponseType.PENDING_REPLACE.value,
    ResponseType.CANCEL_REJECTED.value, ORDER_STATUS, ResponseType.UNKNOWN.value,
)  # fmt: skip


def standing_of(reports: Sequence[Report]) -> Report | None:
    """How an order stands, from all its reports; None if there are none.

    The latest that is news of the order, and not of a change or a repeated request, with the
    state and quantities of the very latest.
    """
    if not reports:
        return None
    last = reports[-1]
    for report in reversed(reports):
        own = report.request_seq == report.order_id
        if own or report.type not in (*OF_CHANGES, *REFUSALS):
            return report._replace(
                code=CODES[report.type, last.state], state=last.state,
                cumulative_lots=last.cumulative_lots, leaves_lots=last.leaves_lots,
                notional=last.notional,
            )  # fmt: skip
    return last


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
