"""The sender: as much goes to the venue as the throttle and the venue's debts allow.

Flow:  desk's queue -> [sender] -> venue; a remote venue after the commit
Owner: the dispatcher thread.
"""

from oms.clock import Clock
from oms.desk.order_desk import OrderDesk
from oms.desk.throttle import OrderThrottler
from oms.desk.tracker import OrderTracker
from oms.messages import OrderState, ResponseType
from oms.orders import Change, Event, Order
from oms.reports import Row
from oms.venues.outbox import Outbox

# What a remote venue still owes an answer for, though something was told of it.
UNSETTLED = (
    ResponseType.PENDING_NEW.value,
    ResponseType.PENDING_CANCEL.value,
    ResponseType.PENDING_REPLACE.value,
    ResponseType.UNKNOWN.value,
)


class Sender:
    """Counts permits at the start of a turn and spends them entry by entry."""

    def __init__(
        self, clock: Clock, throttler: OrderThrottler, tracker: OrderTracker, *, remote: bool
    ) -> None:
        self._read_ns = clock.monotonic_ns
        self._throttler = throttler
        self._tracker = tracker
        self._left = 0
        self.released = 0  # in this turn
        self._leaving: list[Order | Change] = []  # to a remote venue, once the turn is on disk
        self._sent = self._later if remote else self._now

    def may_send(self, desk: OrderDesk) -> bool:
        """Something waits, the throttle lets it go, and the venue may be owed an answer more."""
        return self.waits_for_permit(desk) and self._throttler.allows(self._read_ns())

    def waits_for_permit(self, desk: OrderDesk) -> bool:
        """Something could be sent, if only the throttle let it."""
        return desk.can_send() and self._may_owe(desk) > 0

    def begin(self, desk: OrderDesk, count_max: int) -> None:
        """A turn starts: count its permits, at most `count_max` so that commits stay regular."""
        free = self._throttler.free(self._read_ns())
        self._left = max(0, min(count_max, free, self._may_owe(desk)))
        self.released = 0
        self._leaving = []

    def send(self, desk: OrderDesk) -> None:
        """Send what waits, as far as the turn's permits go."""
        if self._left:
            count = desk.send_waiting(self._left, self._read_ns, self._sent)
            self._left -= count
            self.released += count

    def _now(self, _request: Order | Change, now_ns: int) -> None:
        # Stamped after the send: the gap between two sends is then never shorter than what
        # the throttle believes.
        self._throttler.sent(now_ns)

    def _later(self, request: Order | Change, _now_ns: int) -> None:
        self._leaving.append(request)

    def _may_owe(self, desk: OrderDesk) -> int:
        """How many more answers a venue may be owed: as many as orders may wait here.

        A silent venue is sent no more than that; then the queue fills, and says so.
        """
        return desk.queue.size_max - self._tracker.in_flight - self._tracker.unknown

    # --- a remote venue, after the commit ---

    def flush(self, outbox: Outbox) -> list[Event]:
        """What is journaled as sent goes now; the answers given at once."""
        now_ns = self._read_ns()
        for request in self._leaving:
            if _is_owed(request):
                self._tracker.sent(request.request_seq, now_ns)
        events = outbox.flush()
        now_ns = self._read_ns()
        for _ in self._leaving:
            self._throttler.sent(now_ns)
        return events

    def settle(self, desk: OrderDesk, rows: list[Row]) -> None:
        """What the venue has answered; an order that ended is owed nothing more."""
        now_ns = self._read_ns()
        for row in rows:
            if row[3] and row[8] not in UNSETTLED:
                self._tracker.answered(row[3], now_ns)
        for order_id in desk.blotter.done:
            self._tracker.answered(order_id, now_ns)

    def await_answers(self, desk: OrderDesk) -> None:
        """After a restart a remote venue may still answer what it was sent, or never."""
        now_ns = self._read_ns()
        for order in desk.blotter.orders.values():
            if order.state is OrderState.PENDING_NEW and order.order_id not in desk.queue:
                self._tracker.sent(order.order_id, now_ns)
            for change in order.changes or ():
                if not change.waiting:
                    self._tracker.sent(change.request_seq, now_ns)


def _is_owed(request: Order | Change) -> bool:
    """Did it go out, or was it refused at the last look?"""
    if isinstance(request, Order):
        return request.state is not OrderState.REJECTED
    return request in (request.order.changes or ())
