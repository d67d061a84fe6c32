"""Executions: what the venue tells, applied to orders and turned into reports.

Flow:  venue -> events -> [executions] -> blotter -> rows
Owner: the dispatcher thread. A venue that answers at once and one that answers later come
       through the same `apply`.
"""

from collections.abc import Sequence

from oms.desk.blotter import Blotter
from oms.desk.order_queue import OrderQueue
from oms.messages import REASONS, OrderState, RejectReason, ResponseType
from oms.money import UNITS_MAX
from oms.orders import Change, Event, Order, VenueReport

# Members by name of their own: looking one up in its class is a function call.
ACCEPTED, TRADE, CANCELED = ResponseType.NEW, ResponseType.TRADE, ResponseType.CANCELED
REPLACED, CANCEL_REJECTED = ResponseType.REPLACED, ResponseType.CANCEL_REJECTED
REJECTED, EXPIRED = ResponseType.REJECTED, ResponseType.EXPIRED
RESTATED, TRIGGERED = ResponseType.RESTATED, ResponseType.TRIGGERED
STATE_NEW, STATE_CANCELED = OrderState.NEW, OrderState.CANCELED
SUSPENDED = OrderState.SUSPENDED
NEW, CANCEL_DONE = ResponseType.NEW.value, ResponseType.CANCELED.value
OUTCOMES = {
    ResponseType.NEW: "accepted",
    ResponseType.TRADE: "traded",
    ResponseType.REJECTED: "rejected",
    ResponseType.CANCEL_REJECTED: "rejected",
    ResponseType.REPLACED: "replaced",
    ResponseType.CANCELED: "canceled",
    ResponseType.EXPIRED: "expired",
}


class Executions:
    """Applies events to the blotter's orders; the queue loses what an ended order left there."""

    def __init__(self, blotter: Blotter, queue: "OrderQueue[Order | Change]") -> None:
        self._blotter = blotter
        self._queue = queue
        self.execution_ids: dict[int, set[str]] = {}  # per open order, of a remote venue

    def apply(
        self,
        events: Sequence[Event],
        request_seq: int = 0,
        waited_ns: int = 0,
        venue_ns: int = 0,
    ) -> None:
        """Take the venue's events, in order; `request_seq` is the request they answer."""
        blotter = self._blotter
        for type_, order_id, change_seq, price, lots, liquidity, reason, _execution_id in events:
            order = blotter.orders[order_id]
            asked = request_seq if order_id == request_seq else 0
            if order.unknown:
                order.unknown = False
            if type_ is ACCEPTED:
                order.state = SUSPENDED if order.terms and order.suspended else STATE_NEW
                order.told = True
                blotter.report(order, NEW, asked, "", 0, 0, "", "", waited_ns, venue_ns)
            elif type_ is TRADE:
                blotter.fill(order, price, lots, liquidity, asked)
                if order_id in blotter.done:
                    self._refuse_waiting_changes(order)
            elif type_ is CANCELED:
                self._canceled(order, change_seq, reason, waited_ns, venue_ns)
            elif type_ is REPLACED:
                self._replaced(order, change_seq, waited_ns, venue_ns)
            elif type_ is CANCEL_REJECTED:
                change = _take_change(order, change_seq)
                if change is not None:
                    blotter.change_refused(change, reason)
            elif type_ is EXPIRED:
                self.ended(order, OrderState.EXPIRED, reason)
            elif type_ is RESTATED:
                self._restated(order, price, lots, reason)
            elif type_ is TRIGGERED:
                order.state = STATE_NEW
                blotter.report(order, TRIGGERED.value)
                blotter.part(order)
            else:
                self.ended(order, OrderState.REJECTED, reason, asked)

    def take(self, report: VenueReport) -> None:
        """One report of a remote venue about an open order."""
        order = self._blotter.orders[report.order_id]
        if report.execution_id:
            self.execution_ids.setdefault(order.order_id, set()).add(report.execution_id)
        if report.type in (REJECTED, CANCEL_REJECTED):
            report = report._replace(reason=_coded(report.reason))
        events: list[Event] = [report]
        request_seq = 0
        if order.state is OrderState.PENDING_NEW:
            request_seq = order.order_id
            if report.type is TRADE:  # New always comes before the first trade
                events.insert(0, VenueReport(ACCEPTED, order.order_id))
        self.apply(events, request_seq)
        if order.order_id not in self._blotter.orders:
            self.execution_ids.pop(order.order_id, None)

    def contradicts(self, report: VenueReport) -> bool:
        """Can this not be true of any open order: unknown, repeated, never asked, too much?"""
        order = self._blotter.orders.get(report.order_id)
        if order is None or order.order_id in self._queue:
            return True
        if report.type in (ACCEPTED, REJECTED):
            return order.state is not OrderState.PENDING_NEW
        if report.type in (REPLACED, CANCEL_REJECTED):
            sent = [c.request_seq for c in order.changes or () if not c.waiting]
            return report.request_seq not in sent
        if report.type is TRADE:
            repeated = report.execution_id in self.execution_ids.get(report.order_id, ())
            priced = 0 < report.price_ticks <= UNITS_MAX
            return repeated or not priced or not 0 < report.quantity_lots <= order.left_lots
        return report.type not in (CANCELED, EXPIRED)

    def overdue(self, request_seq: int) -> None:
        """No answer in time: say that the outcome is unknown; invent no end."""
        order, client_id = self._asked(request_seq)
        if order is not None:
            order.unknown = True
            self._blotter.report(order, ResponseType.UNKNOWN.value, request_seq, client_id)

    def _asked(self, request_seq: int) -> tuple[Order | None, str]:
        order = self._blotter.orders.get(request_seq)
        if order is not None:
            return order, order.client_order_id
        for order in self._blotter.orders.values():
            for change in order.changes or ():
                if change.request_seq == request_seq:
                    return order, change.client_order_id
        return None, ""

    def _canceled(
        self, order: Order, change_seq: int, reason: str, waited_ns: int, venue_ns: int
    ) -> None:
        change = _take_change(order, change_seq)
        if change is None:
            self.ended(order, OrderState.CANCELED, reason)
            return
        self._blotter.end(order, STATE_CANCELED)
        self._blotter.forget(change)
        self._blotter.report(
            order,
            CANCEL_DONE,
            change.request_seq,
            change.client_order_id,
            reason=reason,
            waited_ns=waited_ns,
            venue_ns=venue_ns,
        )
        self._refuse_waiting_changes(order)

    def _replaced(self, order: Order, change_seq: int, waited_ns: int, venue_ns: int) -> None:
        change = _take_change(order, change_seq)
        if change is None:
            return
        self.change_terms(order, change)
        self._blotter.rename(order, change.client_order_id)
        if not order.left_lots:
            self._blotter.end(order, OrderState.FILLED)
        self._blotter.report(
            order,
            ResponseType.REPLACED.value,
            change.request_seq,
            waited_ns=waited_ns,
            venue_ns=venue_ns,
        )
        if not order.left_lots:
            self._refuse_waiting_changes(order)

    def change_terms(self, order: Order, change: Change) -> None:
        """A modify takes effect: price, total quantity, what is set aside and what is exposed."""
        exposure = order.exposure
        if exposure is not None:
            exposure.move(order, -order.left_lots)
        order.price_ticks = change.price_ticks
        order.quantity_lots = max(change.quantity_lots, order.cumulative_lots)
        order.left_lots = order.quantity_lots - order.cumulative_lots
        if order.terms is not None:
            if order.suspended:
                order.terms.stop_ticks = change.stop_ticks or order.terms.stop_ticks
            order.terms.display_lots = change.display_lots or order.terms.display_lots
        if exposure is not None:
            exposure.move(order, order.left_lots)
        self._blotter.adjust(order)

    def _restated(self, order: Order, price_ticks: int, lots: int, reason: str) -> None:
        """The exchange moved its price, or took lots off, to keep a rule."""
        exposure = order.exposure
        if exposure is not None:
            exposure.move(order, -order.left_lots)
        order.price_ticks = price_ticks or order.price_ticks
        order.quantity_lots -= lots
        order.left_lots -= lots
        if exposure is not None:
            exposure.move(order, order.left_lots)
        self._blotter.adjust(order)
        self._blotter.report(order, RESTATED.value, reason=reason)

    def ended(self, order: Order, state: OrderState, reason: str, request_seq: int = 0) -> None:
        """An end that no cancel asked for; to whom nothing was told yet it is the answer."""
        if not order.told:
            request_seq = order.order_id
        self._blotter.end(order, state)
        self._blotter.report(order, state.value, request_seq, reason=reason)
        self._refuse_waiting_changes(order)

    def _refuse_waiting_changes(self, order: Order) -> None:
        """The order is over: changes that were never sent come too late."""
        if not order.changes:
            return
        for change in list(order.changes):
            if change.waiting:
                self._queue.cancel_order(change.request_seq)
            self._blotter.change_refused(change, RejectReason.TOO_LATE.value)


def _take_change(order: Order, change_seq: int) -> Change | None:
    """Remove and return the pending change that is answered; None if nobody asked."""
    for change in order.changes or ():
        if change.request_seq == change_seq:
            assert order.changes is not None
            order.changes.remove(change)
            return change
    return None


def _coded(reason: str) -> str:
    """A venue's own words, after a stable first one."""
    if reason.partition(":")[0] in REASONS:
        return reason
    return f"{RejectReason.VENUE_REJECTED.value}: {reason}".rstrip(": ")


def outcome_of(events: Sequence[Event]) -> str:
    """The label under which a request's latency is kept."""
    label = OUTCOMES[events[0][0]]
    if len(events) == 1 or label == "rejected":
        return label
    if events[1][0] is TRADE:
        return "traded"
    # New or Replaced, then what came of it at once.
    after = {event[0] for event in events[1:] if event[1] == events[0][1]}
    return "traded" if TRADE in after else "canceled" if CANCELED in after else label
