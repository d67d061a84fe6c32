"""Execution reports: one row per event of an order.

Flow:  exchange, desk -> [Reports: the turn's rows] -> store, publisher -> responses
FIX 4.4 calls a report message 8, or 9 for a refused cancel or modify. A Report is what the
store keeps, in the store's order; nothing else knows that order.
"""

from __future__ import annotations

from collections.abc import Sequence
from operator import attrgetter
from typing import Any, NamedTuple

from oms.enums import Liquidity, ResponseType
from oms.errors import JournalError
from oms.exchange.order import Order

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
