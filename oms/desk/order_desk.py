"""The desk: what each request, answer and session change does to the orders.

Flow:  dispatcher -> [desk] -> queue -> venue -> [desk] -> rows -> journal
In:    journal entries, in journal order; events of the venue.
Owner: the dispatcher thread. No I/O, no clock, no threads: the same entries give the same
       orders and the same reports, live and in a replay.
"""

from collections.abc import Callable, Sequence
from dataclasses import asdict
from typing import Any, Protocol

from oms.desk import entries
from oms.desk.blotter import Blotter
from oms.desk.entries import Entry
from oms.desk.order_queue import OrderQueue
from oms.instruments import Instrument, MarketOrderPolicy
from oms.messages import (
    OrderState,
    OrderType,
    RejectReason,
    ResponseType,
    Side,
    TimeInForce,
)
from oms.orders import Change, Event, Order, VenueReport

NEW, NEW_PENDING = ResponseType.NEW.value, ResponseType.PENDING_NEW.value
# Members by name of their own: looking one up in its class is a function call.
ACCEPTED, TRADE, CANCELED = ResponseType.NEW, ResponseType.TRADE, ResponseType.CANCELED
REPLACED, CANCEL_REJECTED = ResponseType.REPLACED, ResponseType.CANCEL_REJECTED
EXPIRED, STATE_NEW, STATE_CANCELED = ResponseType.EXPIRED, OrderState.NEW, OrderState.CANCELED
CANCEL_DONE = ResponseType.CANCELED.value
CANCEL_PENDING = ResponseType.PENDING_CANCEL.value
REPLACE_PENDING = ResponseType.PENDING_REPLACE.value
SIDES: dict[str, Side] = {side.value: side for side in Side}
ORDER_TYPES: dict[str, OrderType] = {kind.value: kind for kind in OrderType}
TIMES_IN_FORCE: dict[str, TimeInForce] = {tif.value: tif for tif in TimeInForce}
HOLDABLE = (TimeInForce.GTC, TimeInForce.DAY)
OUTCOMES = {
    ResponseType.NEW: "accepted",
    ResponseType.TRADE: "traded",
    ResponseType.REJECTED: "rejected",
    ResponseType.CANCEL_REJECTED: "rejected",
    ResponseType.REPLACED: "replaced",
    ResponseType.CANCELED: "canceled",
    ResponseType.EXPIRED: "expired",
}
HELD, THROTTLED, SENT = "HELD_SESSION", "QUEUED_THROTTLE", "SENT_UNACKED"


class OrderTaker(Protocol):
    """What the desk needs of a venue: events come back at once, or later as reports."""

    def place(self, order: Order) -> Sequence[Event]: ...
    def cancel(self, change: Change) -> Sequence[Event]: ...
    def replace(self, change: Change) -> Sequence[Event]: ...
    def expire(self, order_ids: set[int], reason: str) -> Sequence[Event]: ...
    def list_instruments(self, instruments: Sequence[Instrument]) -> None: ...


class OrderDesk:
    """Open orders, the waiting queue, and whether the market and the link are up."""

    def __init__(self, venue: OrderTaker) -> None:
        self.venue = venue
        self.instruments: dict[str, Instrument] = {}
        self.settings: dict[str, Any] = {}
        self.hold_when_closed = False
        self.blotter = Blotter()
        self.queue: OrderQueue[Order | Change] = OrderQueue()
        self.is_open = False
        self.trading_date = ""  # none between the close and the next open
        self.link_up = False
        self._unanswered: list[Order | Change] = []
        self.execution_ids: dict[int, set[str]] = {}  # per open order, of a remote venue
        self._handlers: dict[str, Callable[[int, Entry, int, int], None]] = {
            entries.NEW: self._new,
            entries.MODIFY: self._modify,
            entries.CANCEL: self._cancel,
            entries.ANSWER: self._answer,
            entries.SESSION: self._session,
            entries.LINK: self._link,
            entries.VENUE: self._venue_report,
            entries.OVERDUE: self._overdue,
            entries.START: self._start,
            entries.STOP: self._stop,
        }

    # --- a turn: begin, enter*, take_waiting and send*, end ---

    def begin(self, turn_seq: int, wall_ns: int) -> None:
        self.blotter.begin(turn_seq, wall_ns)
        self._unanswered = []

    def enter(self, seq: int, entry: Entry, received_ns: int = 0, queued_ns: int = 0) -> None:
        """One journal entry takes effect."""
        self._handlers[entry[0]](seq, entry, received_ns, queued_ns)

    def can_send(self) -> bool:
        """Is there something to send, and somebody to send it to?"""
        if not self.link_up:
            return False
        return self.queue.size > 0 if self.is_open else self.queue.urgent_size > 0

    def take_waiting(self, count_max: int) -> list[Order | Change]:
        """The next requests to send; each must be given to `send`, in this order."""
        return self.queue.get_next_orders(count_max, urgent_only=not self.is_open)

    def send(self, request: Order | Change, now_ns: int, read_ns: Callable[[], int]) -> int:
        """Send one request and take the answers the venue gives at once.

        now_ns: when the throttle let it go. read_ns reads the clock again, after the send.
        Returns that second reading: when the venue had the request, or had answered it.
        """
        if isinstance(request, Order):
            events = self.venue.place(request)
        else:
            events = self._send_change(request)
        after_ns = read_ns()
        if not events:
            return after_ns
        seq, received_ns = request.request_seq, request.received_ns
        waited_ns = now_ns - received_ns if received_ns else 0
        self.apply(events, seq, waited_ns, after_ns - now_ns)
        self.blotter.hops[seq] = (
            _outcome(events), received_ns, request.queued_ns, now_ns, now_ns, after_ns
        )  # fmt: skip
        return after_ns

    def _send_change(self, change: Change) -> Sequence[Event]:
        """What a modify left open is taken as it is now, after the changes before it."""
        order = change.order
        if not order.changes or change not in order.changes:
            return ()  # refused meanwhile: the order ended on an earlier request of this turn
        change.waiting = False
        if change.is_cancel:
            return self.venue.cancel(change)
        change.price_ticks = change.price_ticks or order.price_ticks
        change.quantity_lots = change.quantity_lots or order.quantity_lots
        return self.venue.replace(change)

    def end(self) -> None:
        """Whoever asked in this turn and has no answer yet is told that it is pending."""
        for request in self._unanswered:
            if isinstance(request, Order):
                if request.state is OrderState.PENDING_NEW:
                    self._tell_pending(request)
            elif request.order.changes and request in request.order.changes:
                kind = CANCEL_PENDING if request.is_cancel else REPLACE_PENDING
                self.blotter.report(
                    request.order,
                    kind,
                    request.request_seq,
                    request.client_order_id,
                    reason=self._why_waiting(request.request_seq),
                )

    def _tell_pending(self, order: Order) -> None:
        """The first answer to a new order that has to wait."""
        if not order.told:
            order.told = True
            reason = self._why_waiting(order.order_id)
            self.blotter.report(order, NEW_PENDING, order.order_id, reason=reason)

    def _why_waiting(self, request_seq: int) -> str:
        if request_seq not in self.queue:
            return SENT
        return THROTTLED if self.is_open and self.link_up else HELD

    # --- requests ---

    def _new(self, seq: int, entry: Entry, received_ns: int, queued_ns: int) -> None:
        _, account, client_id, symbol, side, kind, tif, price, lots, hold, _request_id = entry
        order = Order(
            seq, account, client_id, self.instruments[symbol], SIDES[side], ORDER_TYPES[kind],
            TIMES_IN_FORCE[tif], price, lots, received_ns, queued_ns,
        )  # fmt: skip
        if not self.is_open and not self._may_hold(order, hold):
            self._reject(order, f"{RejectReason.SESSION_CLOSED.value}: symbol={symbol}, tif={tif}")
        elif not self.queue.add_order(seq, order):
            bound = self.queue.size_max
            self._reject(order, f"{RejectReason.QUEUE_FULL.value}: waiting={bound}, max={bound}")
        else:
            self.blotter.add(order)
            self._unanswered.append(order)

    def _may_hold(self, order: Order, hold: int) -> bool:
        if order.order_type is OrderType.MARKET or order.time_in_force not in HOLDABLE:
            return False
        return bool(hold) or self.hold_when_closed

    def _reject(self, order: Order, reason: str) -> None:
        order.state = OrderState.REJECTED
        order.left_lots = 0
        self.blotter.report(order, ResponseType.REJECTED.value, order.order_id, reason=reason)

    def _modify(self, seq: int, entry: Entry, received_ns: int, queued_ns: int) -> None:
        _, account, client_id, orig_id, price, lots, _request_id = entry
        order = self.blotter.by_client_id[account, orig_id]
        change = Change(seq, client_id, order, False, price, lots, received_ns, queued_ns)
        if order.order_id in self.queue:
            self._tell_pending(order)
            self.queue.modify_order(
                order.order_id, price or order.price_ticks, lots or order.quantity_lots
            )
            order.left_lots = order.quantity_lots
            self.blotter.rename(order, client_id)
            self.blotter.report(order, ResponseType.REPLACED.value, seq)
        elif order.changes and _cancel_pending(order):
            self.blotter.change_refused(change, RejectReason.ALREADY_PENDING.value)
        elif not self.queue.add_order(seq, change):
            bound = self.queue.size_max
            reason = f"{RejectReason.QUEUE_FULL.value}: waiting={bound}, max={bound}"
            self.blotter.change_refused(change, reason)
        else:
            self._pend(change)

    def _cancel(self, seq: int, entry: Entry, received_ns: int, queued_ns: int) -> None:
        _, account, client_id, orig_id, _request_id = entry
        order = self.blotter.by_client_id[account, orig_id]
        change = Change(seq, client_id, order, True, 0, 0, received_ns, queued_ns)
        if order.order_id in self.queue:
            self._tell_pending(order)
            self.queue.cancel_order(order.order_id)
            self.blotter.end(order, OrderState.CANCELED)
            self.blotter.report(order, ResponseType.CANCELED.value, seq, client_id)
        elif order.changes and _cancel_pending(order):
            self.blotter.change_refused(change, RejectReason.ALREADY_PENDING.value)
        else:
            self.queue.add_order(seq, change, urgent=True)
            self._pend(change)

    def _pend(self, change: Change) -> None:
        order = change.order
        if order.changes is None:
            order.changes = []
        order.changes.append(change)
        self._unanswered.append(change)

    def _answer(self, seq: int, entry: Entry, _received_ns: int, _queued_ns: int) -> None:
        self.blotter.answer(seq, *entry[1:12])

    # --- session and link ---

    def _session(self, _seq: int, entry: Entry, _received_ns: int, _queued_ns: int) -> None:
        self.is_open = entry[1] == "OPEN"
        self.trading_date = "" if entry[1] == "CLOSE" else entry[2]
        if entry[1] == "CLOSE":
            self._expire(f"{RejectReason.SESSION_ENDED.value}: trading_date={entry[2]}")

    def _expire(self, reason: str) -> None:
        """The session ended: DAY orders in the book go, then what waits and cannot be held."""
        waiting = self.queue.waiting()
        queued = {request.order_id for request in waiting if isinstance(request, Order)}
        day = {
            order_id
            for order_id, order in self.blotter.orders.items()
            if order.time_in_force is TimeInForce.DAY and order_id not in queued
        }
        self.apply(self.venue.expire(day, reason))
        for order in waiting:
            if isinstance(order, Order) and (
                order.order_type is OrderType.MARKET or order.time_in_force is not TimeInForce.GTC
            ):
                self.queue.cancel_order(order.order_id)
                self._ended(order, OrderState.EXPIRED, reason)

    def _link(self, _seq: int, entry: Entry, _received_ns: int, _queued_ns: int) -> None:
        self.link_up = entry[1] == "UP"

    def _start(self, _seq: int, entry: Entry, _received_ns: int, _queued_ns: int) -> None:
        """A new process: its settings hold from here on, and the link is down."""
        self.link_up = False
        self.configure(entry[1])

    def configure(self, settings: dict[str, Any]) -> None:
        """Take over the part of the configuration that a replay depends on."""
        self.settings = settings
        self.hold_when_closed = settings["hold_when_closed"]
        self.queue.size_max = settings["waiting_max"]
        instruments = [_instrument(fields) for fields in settings["instruments"]]
        self.instruments = {instrument.symbol: instrument for instrument in instruments}
        self.venue.list_instruments(instruments)
        for order in self.blotter.orders.values():
            order.instrument = self.instruments[order.instrument.symbol]
            order.received_ns = order.queued_ns = 0  # the old process's clock means nothing now

    def _stop(self, _seq: int, _entry: Entry, _received_ns: int, _queued_ns: int) -> None:
        for order in self.queue.waiting():
            if isinstance(order, Order):
                self.queue.cancel_order(order.order_id)
                self._ended(order, OrderState.CANCELED, RejectReason.SHUTTING_DOWN.value)

    # --- what the venue tells ---

    def _venue_report(self, _seq: int, entry: Entry, _received_ns: int, _queued_ns: int) -> None:
        report = VenueReport(ResponseType(entry[1]), *entry[2:])
        order = self.blotter.orders[report.order_id]
        if report.execution_id:
            self.execution_ids.setdefault(order.order_id, set()).add(report.execution_id)
        events: list[Event] = [report]
        request_seq = 0
        if order.state is OrderState.PENDING_NEW:
            request_seq = order.order_id
            if report.type is ResponseType.TRADE:  # New always comes before the first trade
                events.insert(0, VenueReport(ResponseType.NEW, order.order_id))
        self.apply(events, request_seq)
        if order.order_id not in self.blotter.orders:
            self.execution_ids.pop(order.order_id, None)

    def is_repeat(self, report: VenueReport) -> bool:
        """Has the venue told this before? Only execution ids can tell."""
        return report.execution_id in self.execution_ids.get(report.order_id, ())

    def _overdue(self, _seq: int, entry: Entry, _received_ns: int, _queued_ns: int) -> None:
        """No answer in time: say that the outcome is unknown; invent no end."""
        request_seq = entry[1]
        order, client_id = self._asked(request_seq)
        if order is not None:
            order.unknown = True
            self.blotter.report(order, ResponseType.UNKNOWN.value, request_seq, client_id)

    def _asked(self, request_seq: int) -> tuple[Order | None, str]:
        order = self.blotter.orders.get(request_seq)
        if order is not None:
            return order, order.client_order_id
        for order in self.blotter.orders.values():
            for change in order.changes or ():
                if change.request_seq == request_seq:
                    return order, change.client_order_id
        return None, ""

    def apply(
        self,
        events: Sequence[Event],
        request_seq: int = 0,
        waited_ns: int = 0,
        venue_ns: int = 0,
    ) -> None:
        """Take the venue's events, in order; `request_seq` is the request they answer."""
        blotter = self.blotter
        for type_, order_id, change_seq, price, lots, liquidity, reason, _execution_id in events:
            order = blotter.orders[order_id]
            asked = request_seq if order_id == request_seq else 0
            if order.unknown:
                order.unknown = False
            if type_ is ACCEPTED:
                order.state = STATE_NEW
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
                self._ended(order, OrderState.EXPIRED, reason)
            else:
                self._ended(order, OrderState.REJECTED, reason, asked)

    def _canceled(
        self, order: Order, change_seq: int, reason: str, waited_ns: int, venue_ns: int
    ) -> None:
        change = _take_change(order, change_seq)
        if change is None:
            self._ended(order, OrderState.CANCELED, reason)
            return
        self.blotter.end(order, STATE_CANCELED)
        self.blotter.report(
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
        order.price_ticks = change.price_ticks
        order.quantity_lots = max(change.quantity_lots, order.cumulative_lots)
        order.left_lots = order.quantity_lots - order.cumulative_lots
        self.blotter.rename(order, change.client_order_id)
        if not order.left_lots:
            self.blotter.end(order, OrderState.FILLED)
        self.blotter.report(
            order,
            ResponseType.REPLACED.value,
            change.request_seq,
            waited_ns=waited_ns,
            venue_ns=venue_ns,
        )
        if not order.left_lots:
            self._refuse_waiting_changes(order)

    def _ended(self, order: Order, state: OrderState, reason: str, request_seq: int = 0) -> None:
        """An end that no cancel asked for."""
        self.blotter.end(order, state)
        self.blotter.report(order, state.value, request_seq, reason=reason)
        self._refuse_waiting_changes(order)

    def _refuse_waiting_changes(self, order: Order) -> None:
        """The order is over: changes that were never sent come too late."""
        if not order.changes:
            return
        for change in list(order.changes):
            if change.waiting:
                self.queue.cancel_order(change.request_seq)
            self.blotter.change_refused(change, RejectReason.TOO_LATE.value)


def settings_of(
    instruments: Sequence[Instrument], *, hold_when_closed: bool, waiting_max: int, remote: bool
) -> dict[str, Any]:
    """What a START entry carries, as plain data."""
    return {
        "instruments": [
            {**asdict(instrument), "market_order": instrument.market_order.value}
            for instrument in instruments
        ],
        "hold_when_closed": hold_when_closed,
        "waiting_max": waiting_max,
        "remote": remote,
    }


def _instrument(fields: dict[str, Any]) -> Instrument:
    return Instrument(**{**fields, "market_order": MarketOrderPolicy(fields["market_order"])})


def _cancel_pending(order: Order) -> bool:
    return any(change.is_cancel for change in order.changes or ())


def _take_change(order: Order, change_seq: int) -> Change | None:
    """Remove and return the pending change that is answered; None if nobody asked."""
    for change in order.changes or ():
        if change.request_seq == change_seq:
            assert order.changes is not None
            order.changes.remove(change)
            return change
    return None


def _outcome(events: Sequence[Event]) -> str:
    """The label under which a request's latency is kept."""
    label = OUTCOMES[events[0][0]]
    if len(events) == 1 or label == "rejected":
        return label
    # New or Replaced, then what came of it at once.
    return "traded" if events[1][0] is TRADE else "canceled"
