"""Log lines: what a turn did, as the log has it.

Flow:  journal lines and reports of a turn -> [log_lines] -> log
Owner: the dispatcher hands over; a line is put together on the thread that writes the log.
"""

import logging
from collections.abc import Mapping, Sequence

from oms.enums import ResponseType
from oms.instruments import Instrument
from oms.money import to_text
from oms.reports import ACCEPTED, COMMAND_ANSWERS, Report
from oms.requests.codec import MODIFY, NEW, Line
from oms.turn.actions import command_of

log = logging.getLogger(__name__)

LOGGED_REPORTS_MAX = 8
WHERE = __file__, 0
ANSWERS = (  # of which the price that was asked is told
    ACCEPTED, ResponseType.PENDING_NEW.value, ResponseType.REJECTED.value,
    ResponseType.REPLACED.value, ResponseType.PENDING_REPLACE.value,
    ResponseType.CANCEL_REJECTED.value,
)  # fmt: skip


def log_turn(
    first_seq: int, lines: Sequence[Line], reports: Sequence[Report],
    instruments: Mapping[str, Instrument],
) -> None:  # fmt: skip
    """A line a report when there are few; a line a turn in a burst: a record costs 6 us.

    lines: of the turn's journal record, the first of which has the sequence first_seq.
    """
    if not reports or not log.isEnabledFor(logging.INFO):
        return
    if len(reports) > LOGGED_REPORTS_MAX and not log.isEnabledFor(logging.DEBUG):
        log.info("journal_seq=%d: %d reports", reports[0].journal_seq, len(reports))
        return
    for each in reports:
        place = each.request_seq - first_seq
        line = lines[place] if 0 <= place < len(lines) else ()
        told = LogLine(each, line, instruments.get(each.symbol))
        ids = {
            "order_id": each.order_id, "account": each.account,
            "client_order_id": each.client_order_id, "journal_seq": each.journal_seq,
        }  # fmt: skip
        # Which line of this file logs it needs no search through the stack.
        log.handle(log.makeRecord(__name__, logging.INFO, *WHERE, "%s", (told,), None, None, ids))


class LogLine:
    """A report, and the request it answers, if that is of the same turn."""

    __slots__ = ("_instrument", "_line", "_report")

    def __init__(self, report: Report, line: Line, instrument: Instrument | None) -> None:
        self._report, self._line, self._instrument = report, line, instrument

    def __str__(self) -> str:
        """Account, id, side, quantity, symbol, price; then how the order stands, and why: only
        what says something. The price is the trade's, or what the request asked for. A command has
        no state: its action is named, and its answer says what it did."""
        each, instrument = self._report, self._instrument
        who = f"account={each.account} client_order_id={each.client_order_id}"
        if each.type in COMMAND_ANSWERS:
            action = command_of(self._line).action if self._line else ""
            parts = [
                each.type, who, f"action={action}" if action else "", f"command={each.order_id}",
                each.reason,
            ]  # fmt: skip
            return " ".join(filter(None, parts))
        price = instrument.price_scale if instrument is not None else 0
        quantity = instrument.quantity_scale if instrument is not None else 0
        ticks = each.last_price_ticks or self._asked_ticks()
        lots, left = each.last_quantity_lots, each.leaves_lots
        if each.type == ACCEPTED:  # all of it is open
            lots, left = left, 0
        parts = [
            each.type,
            each.state if each.state != each.type else "",
            who,
            f"order_id={each.order_id}",
            each.side,
            to_text(lots, quantity) if lots else "",
            each.symbol,
            f"@ {to_text(ticks, price)}" if ticks else "",
            f"filled={to_text(each.cumulative_lots, quantity)}" if each.cumulative_lots else "",
            f"open={to_text(left, quantity)}" if left else "",
            each.reason,
        ]
        return " ".join(filter(None, parts))

    def _asked_ticks(self) -> int:
        """The limit price of a new order, or the new one of a modify; 0 if there is none."""
        if not self._line or self._report.type not in ANSWERS:
            return 0
        if self._line[0] == NEW:
            _, _, _, _, _, _, _, price_ticks, *_ = self._line
        elif self._line[0] == MODIFY:
            _, _, _, _, price_ticks, *_ = self._line
        else:
            return 0
        ticks: int = price_ticks
        return ticks
