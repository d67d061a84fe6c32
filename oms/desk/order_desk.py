"""The desk: what each request, answer and session change does to the orders.

Flow:  dispatcher -> [desk] -> queue -> venue -> [desk] -> rows -> journal
In:    journal entries, in journal order; events of the venue.
Owner: the dispatcher thread. No I/O, no clock, no threads: the same entries give the same
       orders and the same reports, live and in a replay.
"""

from collections.abc import Callable, Sequence
from typing import Any, Protocol

from oms.desk import entries
from oms.desk.blotter import Blotter
from oms.desk.entries import Entry
from oms.desk.executions import Executions, outcome_of
from oms.desk.order_queue import OrderQueue
from oms.desk.settings import instrument_of
from oms.instruments import Instrument
from oms.messages import (
    OrderState,
    OrderType,
    RejectReason,
    ResponseType,
    Side,
    TimeInForce,
)
from oms.orders import Change, Event, Order, VenueReport

NEW_PENDING = ResponseType.PENDING_NEW.value
WAITING = OrderState.PENDING_NEW  # by a name of its own: a look-up in its class is a call
CANCEL_PENDING = ResponseType.PENDING_CANCEL.value
REPLACE_PENDING = ResponseType.PENDING_REPLACE.value
SIDES: dict[str, Side] = {side.value: side for side in Side}
ORDER_TYPES: dict[str, OrderType] = {kind.value: kind for kind in OrderType}
TIMES_IN_FORCE: dict[str, TimeInForce] = {tif.value: tif for tif in TimeInForce}
HOLDABLE = (TimeInForce.GTC, TimeInForce.DAY)
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
        self.executions = Executions(self.blotter, self.queue)
        self.is_open = False
        self.trading_date = ""  # none between the close and the next open
        self.link_up = False
        self._unanswered: list[Order | Change] = []
        self._handlers: dict[str, Callable[[int, Entry, int, int], None]] = {
            entries.NEW: self._new,
            entries.MODIFY: self._modify,
            entries.CANCEL: self._cancel,
            entries.ANSWER: self._answer,
            entries.SESSION: self._session,
            entries.LINK: self._link,
            entries.VENUE: self._venue,
            entries.IGNORED: self._ignored,
            entries.OVERDUE: self._overdue,
            entries.START: self._start,
            entries.STOP: self._stop,
        }

    # --- a turn: begin, (enter, send_waiting)*, end ---

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

    def send_waiting(
        self,
        count_max: int,
        read_ns: Callable[[], int],
        sent: Callable[[Order | Change, int], None],
    ) -> int:
        """Send what waits, at most `count_max`; returns how many.

        Called after each entry of a turn (once, if it has none), so that with permits left
        an order meets the book before the next request is looked at: what happens depends
        on the order of arrival, not on what happened to share a turn. `sent` is told each
        request and when it had left.
        """
        if not self.link_up:
            return 0
        get_next_order, urgent_only = self.queue.get_next_order, not self.is_open
        for count in range(count_max):
            request = get_next_order(urgent_only=urgent_only)
            if request is None:
                return count
            sent(request, self.send(request, read_ns(), read_ns))
        return count_max

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
        self.executions.apply(events, seq, waited_ns, after_ns - now_ns)
        self.blotter.hops[seq] = (
            outcome_of(events), received_ns, request.queued_ns, now_ns, now_ns, after_ns
        )  # fmt: skip
        return after_ns

    def _send_change(self, change: Change) -> Sequence[Event]:
        """What a modify left open is taken as it is now, after the changes before it."""
        order = change.order
        assert order.changes, "a change that was refused has left the queue"
        change.waiting = False
        if change.is_cancel:
            return self.venue.cancel(change)
        ahead = [c for c in order.changes if c.price_ticks and not c.waiting and c is not change]
        terms = ahead[-1] if ahead else order  # ahead: at a remote venue, not answered yet
        change.price_ticks = change.price_ticks or terms.price_ticks
        change.quantity_lots = change.quantity_lots or terms.quantity_lots
        return self.venue.replace(change)

    def end(self) -> None:
        """Whoever asked in this turn and has no answer yet is told that it is pending."""
        for request in self._unanswered:
            if isinstance(request, Order):
                if request.state is WAITING:
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
        self.blotter.pend(change)
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
        self.executions.apply(self.venue.expire(day, reason))
        for order in waiting:
            if isinstance(order, Order) and (
                order.order_type is OrderType.MARKET or order.time_in_force is not TimeInForce.GTC
            ):
                self.queue.cancel_order(order.order_id)
                self.executions.ended(order, OrderState.EXPIRED, reason)

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
        instruments = [instrument_of(fields) for fields in settings["instruments"]]
        self.instruments = {instrument.symbol: instrument for instrument in instruments}
        self.venue.list_instruments(instruments)
        for order in self.blotter.orders.values():
            order.instrument = self.instruments[order.instrument.symbol]
            order.received_ns = order.queued_ns = 0  # the old process's clock means nothing now

    def _stop(self, _seq: int, _entry: Entry, _received_ns: int, _queued_ns: int) -> None:
        for order in self.queue.waiting():
            if isinstance(order, Order):
                self.queue.cancel_order(order.order_id)
                self.executions.ended(order, OrderState.CANCELED, RejectReason.SHUTTING_DOWN.value)

    # --- what the venue told, or did not ---

    def _venue(self, _seq: int, entry: Entry, _received_ns: int, _queued_ns: int) -> None:
        self.executions.take(VenueReport(ResponseType(entry[1]), *entry[2:]))

    def _ignored(self, _seq: int, _entry: Entry, _received_ns: int, _queued_ns: int) -> None:
        pass

    def _overdue(self, _seq: int, entry: Entry, _received_ns: int, _queued_ns: int) -> None:
        self.executions.overdue(entry[1])


def _cancel_pending(order: Order) -> bool:
    return any(change.is_cancel for change in order.changes or ())
