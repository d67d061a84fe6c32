"""What the parts of the desk share: orders, queue, money, limits, and how things stand.

Flow:  order_desk -> order_entry, control_desk, operator_desk, bust -> [desk_state]
Owner: the dispatcher thread.
"""

from collections.abc import Sequence
from heapq import heapify, heappop, heappush
from typing import Any, Protocol

from oms.desk.blotter import Blotter
from oms.desk.cascade import Cascade
from oms.desk.executions import Executions
from oms.desk.order_queue import OrderQueue
from oms.desk.risk import Risk
from oms.exchange.ledger import Ledger
from oms.exchange.matching import MatchingEngine
from oms.instruments import Instrument
from oms.messages import ResponseType
from oms.orders import Change, Event, Order

NEW_PENDING = ResponseType.PENDING_NEW.value
CANCEL_PENDING = ResponseType.PENDING_CANCEL.value
REPLACE_PENDING = ResponseType.PENDING_REPLACE.value
EXPIRIES_MIN = 64
HELD, THROTTLED, SENT = "HELD_SESSION", "QUEUED_THROTTLE", "SENT_UNACKED"


class OrderTaker(Protocol):
    """What the desk needs of a venue: events come back at once, or later as reports."""

    def place(self, order: Order) -> Sequence[Event]: ...
    def cancel(self, change: Change) -> Sequence[Event]: ...
    def replace(self, change: Change) -> Sequence[Event]: ...
    def withdraw(
        self, order_ids: set[int], type_: ResponseType, reason: str
    ) -> Sequence[Event]: ...
    def list_instruments(self, instruments: Sequence[Instrument]) -> None: ...


class DeskState:
    """Open orders, the waiting queue, and whether the market and the link are up.

    engine: our own exchange behind the venue; None where the venue is somebody else's.
    ledger: in use while the blotter has it. account_settings: tiers and groups an operator set.
    money_terms: what each symbol's trades were settled by, and since which journal sequence.
    expiries: a heap of (wall clock, GTD order). trading_date: none between close and open.
    unanswered: requests of this turn that nothing was told of yet.
    """

    def __init__(self, venue: OrderTaker, engine: MatchingEngine | None) -> None:
        self.venue = venue
        self.engine = engine
        self.instruments: dict[str, Instrument] = {}
        self.settings: dict[str, Any] = {}
        self.hold_when_closed = False
        self.blotter = Blotter()
        self.queue: OrderQueue[Order | Change] = OrderQueue()
        self.executions = Executions(self.blotter, self.queue)
        self.ledger = Ledger()
        self.risk = Risk(self.blotter.positions)
        self.account_settings: dict[str, dict[str, str]] = {}
        self.money_terms: dict[str, tuple[list[Any], int]] = {}
        self.expiries: list[tuple[int, int]] = []
        self.cascade: Cascade | None = None
        if engine is not None:
            engine.rules.orders = self.blotter.orders
            self.cascade = Cascade(self.blotter, self.queue, self.executions, engine)
        self.is_open = False
        self.trading_date = ""
        self.link_up = False
        self.unanswered: list[Order | Change] = []

    def add_expiry(self, at_ns: int, order_id: int) -> None:
        """Remember when a GTD order ends; those that ended before are forgotten now and then."""
        orders = self.blotter.orders
        if len(self.expiries) > 2 * len(orders) + EXPIRIES_MIN:
            self.expiries = [each for each in self.expiries if each[1] in orders]
            heapify(self.expiries)
        heappush(self.expiries, (at_ns, order_id))

    def next_expiry_ns(self) -> int | None:
        """When the next GTD order ends, by the wall clock; None if there is none."""
        while self.expiries and self.expiries[0][1] not in self.blotter.orders:
            heappop(self.expiries)
        return self.expiries[0][0] if self.expiries else None

    def tell_change_pending(self, change: Change) -> None:
        """A modify is told as pending even if a cancel came after it: each as it was asked."""
        blotter = self.blotter
        kind = CANCEL_PENDING if change.is_cancel else REPLACE_PENDING
        reason = self._why_waiting(change.request_seq)
        blotter.report(
            change.order, kind, change.request_seq, change.client_order_id, reason=reason
        )
        row = blotter.rows[-1]
        if row[9] == CANCEL_PENDING and not change.is_cancel:
            blotter.rows[-1] = (*row[:9], REPLACE_PENDING, *row[10:])

    def tell_pending(self, order: Order) -> None:
        """The first answer to a new order that has to wait."""
        if not order.told:
            order.told = True
            reason = self._why_waiting(order.order_id)
            self.blotter.report(order, NEW_PENDING, order.order_id, reason=reason)

    def _why_waiting(self, request_seq: int) -> str:
        if request_seq not in self.queue:
            return SENT
        return THROTTLED if self.is_open and self.link_up else HELD
