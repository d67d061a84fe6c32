"""Venue reports: what a venue of somebody else tells of our orders, at once or later.

Flow:  outbox -> venue -> inbox -> [venue_reports] -> executions
Owner: the dispatcher thread. A report that cannot be true is journaled and changes nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from oms.enums import OrderState, ResponseType
from oms.exchange.order import Change, Order
from oms.money import UNITS_MAX
from oms.reject_reasons import REASONS, RejectReason
from oms.requests import codec
from oms.requests.codec import Line
from oms.requests.internal import VenueReport

if TYPE_CHECKING:
    from oms.desk.desk import Desk

ACCEPTED, TRADE, CANCELED = ResponseType.NEW, ResponseType.TRADE, ResponseType.CANCELED
REPLACED, CANCEL_REJECTED = ResponseType.REPLACED, ResponseType.CANCEL_REJECTED
REJECTED, EXPIRED = ResponseType.REJECTED, ResponseType.EXPIRED


class VenueReports:
    """Takes reports about open orders; knows which execution ids it has seen of each."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._executions = desk.executions
        self.execution_ids: dict[int, set[str]] = {}  # per open order

    def handlers(self) -> dict[str, Callable[[int, Line, int, int], None]]:
        """Kind of a journal line -> what it does."""
        return {
            codec.VENUE: lambda _seq, line, _received, _queued: self.take(
                VenueReport(ResponseType(line[1]), *line[2:])
            ),
            codec.IGNORED: lambda _seq, _line, _received, _queued: None,
            codec.OVERDUE: lambda _seq, line, _received, _queued: self.overdue(line[1]),
        }

    def take(self, report: VenueReport) -> None:
        """One report about an open order."""
        order = self._executions.orders[report.order_id]
        if report.execution_id:
            self.execution_ids.setdefault(order.order_id, set()).add(report.execution_id)
        if report.type in (REJECTED, CANCEL_REJECTED):
            report = report._replace(reason=_coded(report.reason))
        reports = [report]
        if order.state is OrderState.PENDING_NEW and report.type is TRADE:
            reports.insert(0, VenueReport(ACCEPTED, order.order_id))  # New comes before a trade
        asked = order.order_id if order.state is OrderState.PENDING_NEW else 0
        self.apply(reports, asked)
        if order.order_id not in self._executions.orders:
            self.execution_ids.pop(order.order_id, None)

    def apply(
        self,
        reports: Sequence[VenueReport],
        request_seq: int = 0,
        waited_ns: int = 0,
        venue_ns: int = 0,
    ) -> None:
        """Take reports in order; request_seq: the request just sent that they answer."""
        executions = self._executions
        for report in reports:
            order = executions.orders[report.order_id]
            order.unknown = False
            at, change = len(executions.reports.rows), _pending(order, report.request_seq)
            if report.type is ACCEPTED:
                executions.accept(order)
            elif report.type is TRADE:
                asked = request_seq if order.order_id == request_seq else 0
                executions.fill(
                    order, report.price_ticks, report.quantity_lots, report.liquidity, 0, asked
                )
                continue
            elif report.type is CANCELED and change is not None:
                executions.cancel(change, report.reason)
            elif report.type is CANCELED or report.type is EXPIRED:
                executions.finish(order, OrderState(report.type.value), report.reason)
                continue
            elif report.type is REPLACED and change is not None:
                executions.replace(change)
            elif report.type is CANCEL_REJECTED and change is not None:
                executions.refuse(change, report.reason)
                continue
            elif report.type is REJECTED:
                executions.reject(order, report.reason)
                continue
            else:
                continue
            if venue_ns and executions.reports.rows[at].request_seq == request_seq:
                executions.reports.measure(at, waited_ns, venue_ns)

    def contradicts(self, report: VenueReport) -> bool:
        """Can this not be true of any open order: unknown, repeated, never asked, too much?"""
        order = self._executions.orders.get(report.order_id)
        if order is None or order.order_id in self._desk.queue:
            return True
        if report.type in (ACCEPTED, REJECTED):
            return order.state is not OrderState.PENDING_NEW
        if report.type in (REPLACED, CANCEL_REJECTED):
            sent = [c.request_seq for c in order.changes or () if not c.waiting]
            return report.request_seq not in sent
        if report.type is TRADE:
            repeated = report.execution_id in self.execution_ids.get(report.order_id, ())
            priced = 0 < report.price_ticks <= UNITS_MAX
            return repeated or not priced or not 0 < report.quantity_lots <= order.leaves_lots
        return report.type not in (CANCELED, EXPIRED)

    def overdue(self, request_seq: int) -> None:
        """No answer in time: say that the outcome is unknown; invent no end."""
        order, client_id = self._asked(request_seq)
        if order is not None:
            order.unknown = True
            self._executions.reports.add(
                order, ResponseType.UNKNOWN.value, request_seq, request_seq, client_id
            )

    def _asked(self, request_seq: int) -> tuple[Order | None, str]:
        order = self._executions.orders.get(request_seq)
        if order is not None:
            return order, order.client_order_id
        for order in self._executions.orders.values():
            for change in order.changes or ():
                if change.request_seq == request_seq:
                    return order, change.client_order_id
        return None, ""


def _pending(order: Order, request_seq: int) -> Change | None:
    """The pending change that is answered; None if nobody asked."""
    return next((c for c in order.changes or () if c.request_seq == request_seq), None)


def _coded(reason: str) -> str:
    """A venue's own words, after a stable first one."""
    if reason.partition(":")[0] in REASONS:
        return reason
    return f"{RejectReason.VENUE_REJECTED.value}: {reason}".rstrip(": ")
