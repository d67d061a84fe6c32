"""Cascade: what executions set off, step by step, until nothing is due any more.

Flow:  executions -> [cascade] -> exchange -> executions
Owner: the dispatcher thread. First the losers of OCO pairs go, in the order their partners were
       executed; then the first triggered stop trades to its end; and again.
"""

from collections.abc import Sequence

from oms.desk.blotter import Blotter
from oms.desk.executions import Executions
from oms.desk.order_queue import OrderQueue
from oms.exchange.arrival import canceled
from oms.exchange.matching import MatchingEngine
from oms.messages import OrderState, RejectReason, ResponseType
from oms.orders import Change, Event, Order

OCO = RejectReason.OCO.value


class Cascade:
    """Executions on our own exchange, with all that follows from them."""

    def __init__(
        self,
        blotter: Blotter,
        queue: "OrderQueue[Order | Change]",
        executions: Executions,
        engine: MatchingEngine,
    ) -> None:
        self._blotter = blotter
        self._queue = queue
        self._executions = executions
        self._engine = engine

    def run(self) -> None:
        """Settle everything that the events applied so far have set off."""
        while True:
            self._cancel_losers()
            order = self._engine.next_triggered()
            if order is None:
                return
            self._go_on(order)

    def apply(self, events: Sequence[Event]) -> None:
        """Events that nobody's request made, and what they set off."""
        self._executions.apply(events)
        self.run()

    def _cancel_losers(self) -> None:
        losers = self._blotter.losers
        while losers:
            order = losers.popleft()
            if order.order_id not in self._blotter.orders:
                continue  # it ended in the same step
            if self._queue.cancel_order(order.order_id) is not None:
                self._executions.ended(order, OrderState.CANCELED, OCO)
            else:
                self._executions.apply(self._engine.withdraw_one(order, OCO))

    def _go_on(self, order: Order) -> None:
        """A stop was triggered: it is told, its partner goes, then it trades like a new order."""
        assert order.terms is not None
        order.terms.stop_ticks = 0
        triggered: Event = (ResponseType.TRIGGERED, order.order_id, 0, 0, 0, "", "", "")
        self._executions.apply([triggered])
        self._cancel_losers()  # the money of both is with the partner
        ledger = self._blotter.ledger
        reason = ledger.hold(order, self._blotter.need(order)) if ledger is not None else ""
        if reason:
            self._executions.apply([canceled(order.order_id, reason)])
        else:
            self._executions.apply(self._engine.place_triggered(order))
