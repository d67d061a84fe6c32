"""The desk: what each request on an order does, and what goes to the venue.

Flow:  dispatcher -> [desk] -> queue -> venue -> [desk] -> rows -> journal
What is not about one order (session, phases, funds, operators) is in control_desk.py.
In:    journal entries, in journal order; events of the venue.
Owner: the dispatcher thread. No I/O, no clock, no threads: the same entries give the same
       orders and the same reports, live and in a replay.
"""

from collections.abc import Callable, Sequence
from typing import Any

from oms.desk import entries
from oms.desk.control_desk import ControlDesk
from oms.desk.desk_state import DeskState, OrderTaker
from oms.desk.entries import Entry
from oms.desk.executions import outcome_of
from oms.desk.order_entry import OrderEntry
from oms.exchange.matching import MatchingEngine
from oms.messages import OrderState, ResponseType
from oms.orders import Change, Event, Order, VenueReport

WAITING = OrderState.PENDING_NEW  # by a name of its own: a look-up in its class is a call
CANCEL_REJECTED, REJECTED = ResponseType.CANCEL_REJECTED, ResponseType.REJECTED


class OrderDesk(DeskState):
    """Entries in, reports out; what may be sent in between goes to the venue."""

    def __init__(self, venue: OrderTaker, engine: MatchingEngine | None = None) -> None:
        super().__init__(venue, engine)
        # What an execution may set off, bound here: looked at after each one.
        self._losers = self.blotter.losers
        self._triggered = engine.rules.triggered if engine is not None else {}
        self._order_entry = OrderEntry(self)
        self._controls = ControlDesk(self)
        self._handlers: dict[str, Callable[[int, Entry, int, int], None]] = {
            entries.NEW: self._order_entry.new,
            entries.MODIFY: self._order_entry.modify,
            entries.CANCEL: self._order_entry.cancel,
            entries.ANSWER: self._answer,
            entries.VENUE: self._venue,
            entries.IGNORED: self._ignored,
            entries.OVERDUE: self._overdue,
            **self._controls.handlers(),
        }

    # --- a turn: begin, (enter, send_waiting)*, end ---

    def begin(self, turn_seq: int, wall_ns: int) -> None:
        self.blotter.begin(turn_seq, wall_ns)
        self.unanswered = []
        if self.engine is not None:
            self.engine.rules.wall_ns = wall_ns

    def enter(self, seq: int, entry: Entry, received_ns: int = 0, queued_ns: int = 0) -> None:
        """One journal entry takes effect."""
        self.ledger.seq = seq
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
        events = self._place(request) if isinstance(request, Order) else self._send_change(request)
        after_ns = read_ns()
        if not events:
            return after_ns
        seq, received_ns = request.request_seq, request.received_ns
        waited_ns = now_ns - received_ns if received_ns else 0
        self.ledger.seq = seq
        self.executions.apply(events, seq, waited_ns, after_ns - now_ns)
        if self._losers or self._triggered:
            assert self.cascade is not None
            self.cascade.run()
        self.blotter.hops[seq] = (
            outcome_of(events), received_ns, request.queued_ns, now_ns, now_ns, after_ns
        )  # fmt: skip
        return after_ns

    def _place(self, order: Order) -> Sequence[Event]:
        """Trading may have been halted while it waited."""
        reason = ""
        if not self.risk.idle:
            reason = self.risk.gate(order.account, order.instrument.symbol)
        if reason:
            return [(REJECTED, order.order_id, 0, 0, 0, "", reason, "")]
        return self.venue.place(order)

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
        reason = self._order_entry.why_not_change(change)
        if reason:
            return [(CANCEL_REJECTED, order.order_id, change.request_seq, 0, 0, "", reason, "")]
        events = self.venue.replace(change)
        if events and events[0][0] is CANCEL_REJECTED:
            self.blotter.adjust(order)  # what was set aside for it goes back
        return events

    def end(self) -> None:
        """Whoever asked in this turn and has no answer yet is told that it is pending."""
        for request in self.unanswered:
            if isinstance(request, Order):
                if request.state is WAITING:
                    self.tell_pending(request)
            elif request.order.changes and request in request.order.changes:
                self.tell_change_pending(request)

    def why_not_now(self, order: Order, hold: bool) -> str:
        """Who may trade, and when: why an order may not come in now, whatever it asks for."""
        return self._order_entry.why_not_now(order, hold)

    def configure(self, settings: dict[str, Any]) -> None:
        """Take over the part of the configuration that a replay depends on."""
        self._controls.configure(settings)

    # --- what was answered elsewhere, what the venue told, or did not ---

    def _answer(self, seq: int, entry: Entry, _received_ns: int, _queued_ns: int) -> None:
        self.blotter.answer(seq, *entry[1:12])

    def _venue(self, _seq: int, entry: Entry, _received_ns: int, _queued_ns: int) -> None:
        self.executions.take(VenueReport(ResponseType(entry[1]), *entry[2:]))

    def _ignored(self, _seq: int, _entry: Entry, _received_ns: int, _queued_ns: int) -> None:
        pass

    def _overdue(self, _seq: int, entry: Entry, _received_ns: int, _queued_ns: int) -> None:
        self.executions.overdue(entry[1])
