"""Executions: open orders, and what happens to them: fills, ends, changes; the report of each.

Flow:  matching (our own exchange), venue reports (a remote one) -> [executions] -> reports
Owner: the dispatcher thread. Orders that ended are forgotten after the turn: the store
       remembers them, so memory holds what is open and nothing else.
"""

from collections import defaultdict, deque
from collections.abc import Callable

from oms.enums import OrderState, ResponseType, Side
from oms.exchange.accounts import Ledger, bound_of, need_of
from oms.exchange.order import Change, Order
from oms.reject_reasons import RejectReason
from oms.reports import Reports

# Members by name of their own: looking one up in its class is a function call.
NEW, TRADE, CANCELED = (
    ResponseType.NEW.value, ResponseType.TRADE.value, ResponseType.CANCELED.value,
)  # fmt: skip
STATE_NEW, SUSPENDED = OrderState.NEW, OrderState.SUSPENDED
PENDING_NEW = OrderState.PENDING_NEW
PARTIALLY_FILLED, FILLED = OrderState.PARTIALLY_FILLED, OrderState.FILLED
STATE_CANCELED = OrderState.CANCELED
BUY = Side.BUY


class Executions:
    """Open orders by id, and by every client order id they have had or are to have.

    positions: (account, symbol) -> net lots filled. ledger: None where money is not counted.
    losers: the other orders of OCO pairs that something happened to; they are to be canceled.
    short_of_room: (account, symbol) -> orders set aside because their account may only reduce;
    room_freed: those of these keys where less is open since, so that some may come back; see
    halts.py.
    unqueue: takes a change that was never sent out of the waiting queue.
    """

    def __init__(self, unqueue: Callable[[int], object]) -> None:
        self.orders: dict[int, Order] = {}
        self.by_client_id: defaultdict[str, dict[str, Order]] = defaultdict(dict)  # per account
        self.positions: dict[tuple[str, str], int] = {}
        self.reports = Reports()
        self.ledger: Ledger | None = None
        self.losers: deque[Order] = deque()
        self.short_of_room: dict[tuple[str, str], dict[int, Order]] = {}
        self.room_freed: dict[tuple[str, str], None] = {}
        self._unqueue = unqueue
        self._ended: list[Order] = []  # in this turn
        self._ended_ids: dict[tuple[str, str], Order] = {}  # of those, the first _indexed ones
        self._indexed = 0

    def begin(self, turn_seq: int, wall_ns: int) -> None:
        """Start a turn: its reports are numbered in journal entry `turn_seq`."""
        self.forget_turn()
        self.reports.begin(turn_seq, wall_ns)

    def forget_turn(self) -> None:
        """Orders that ended in the turn, and its reports, are in the store by now."""
        self.reports.rows = []
        if self._ended:
            self._ended, self._ended_ids, self._indexed = [], {}, 0

    # --- which order is it? ---

    def find(self, account: str, named: str | int) -> Order | None:
        """An open order of an account, by any client order id it has had, or by its order id."""
        if isinstance(named, str):
            return self.by_client_id.get(account, {}).get(named)
        order = self.orders.get(named)
        return order if order is not None and order.account == account else None

    def find_ended(self, account: str, named: str | int) -> Order | None:
        """The same of an order that ended in this turn."""
        for order in self._ended[self._indexed :]:
            for client_order_id in (order.client_order_id, *(order.earlier_ids or ())):
                self._ended_ids[order.account, client_order_id] = order
            self._ended_ids[order.account, str(order.order_id) + "\n"] = order  # no client id
        self._indexed = len(self._ended)
        key = named if isinstance(named, str) else f"{named}\n"
        return self._ended_ids.get((account, key))

    @property
    def ended(self) -> list[Order]:
        """Orders that ended in this turn, in that order."""
        return self._ended

    # --- a new order ---

    def add(self, order: Order) -> None:
        """Take up a new order."""
        self.orders[order.order_id] = order
        self.by_client_id[order.account][order.client_order_id] = order

    def accept(self, order: Order, waited_ns: int = 0, venue_ns: int = 0) -> None:
        """The venue has the order."""
        order.state = STATE_NEW if order.terms is None or not order.suspended else SUSPENDED
        order.told = True
        self.reports.add(order, NEW, order.order_id, waited_ns=waited_ns, venue_ns=venue_ns)

    def reject(self, order: Order, reason: str) -> None:
        """A new order is refused; if it was taken up it is open no more."""
        if order.order_id in self.orders:
            self.finish(order, OrderState.REJECTED, reason, order.order_id)
            return
        order.state = OrderState.REJECTED
        order.leaves_lots = 0
        self.reports.add(order, ResponseType.REJECTED.value, order.order_id, reason=reason)

    # --- fills and ends ---

    def fill(
        self,
        order: Order,
        price_ticks: int,
        lots: int,
        liquidity: str,
        match_number: int,
        request_seq: int = 0,
    ) -> None:
        """One trade of one order, and its report; request_seq: of the new order that it answers."""
        order.cumulative_lots = cumulative = order.cumulative_lots + lots
        order.leaves_lots = leaves = order.quantity_lots - cumulative
        order.notional += price_ticks * lots
        assert leaves >= 0, "filled more than was open"
        key, positions = (order.account, order.instrument.symbol), self.positions
        position = positions.get(key, 0) + (lots if order.side is BUY else -lots)
        if position:
            positions[key] = position
        else:
            positions.pop(key, None)
        fee, reports = "", self.reports
        if self.ledger is not None:
            paid = self.ledger.settle(order, price_ticks, lots, liquidity)
            fee = str(paid) if paid else ""
        if order.exposure is not None:
            counted = order.exposure.symbols[order.instrument.symbol]
            counted[0 if order.side is BUY else 1] -= lots
            counted[2] -= order.price_ticks * lots
            if order.exposure.more:
                order.exposure.follow(order, -lots)
        if order.terms is not None:
            self.part(order)
        if leaves:
            order.state = PARTIALLY_FILLED
        else:
            self.end(order, FILLED)
        reports.traded(order, request_seq, price_ticks, lots, liquidity, fee, match_number)
        if order.changes and not leaves:
            self._refuse_changes(order)

    def move_position(self, account: str, symbol: str, lots: int) -> None:
        """So many lots more; who has none any more is forgotten."""
        key, positions = (account, symbol), self.positions
        position = positions.get(key, 0) + lots
        if position:
            positions[key] = position
        else:
            positions.pop(key, None)

    def end(self, order: Order, state: OrderState) -> None:
        """The order reached a final state; nothing of it is open any more."""
        if order.reserved:
            assert self.ledger is not None
            self.ledger.release(order)
        if order.exposure is not None:
            if order.leaves_lots or order.exposure.more:
                order.exposure.move(order, -order.leaves_lots, -1)
            else:
                order.exposure.count -= 1
            if self.short_of_room:
                self._leave_room(order)
        if order.terms is not None:
            self.part(order)
        order.state = state
        order.leaves_lots = 0
        order.unknown = False
        del self.orders[order.order_id]
        self._ended.append(order)
        self._forget_id(order.account, order.client_order_id)
        for client_order_id in order.earlier_ids or ():
            self._forget_id(order.account, client_order_id)

    def _leave_room(self, order: Order) -> None:
        """An order ends; what was filled of it took the same off the position."""
        if order.state is SUSPENDED:  # it took no room
            key = order.account, order.instrument.symbol
            self.short_of_room.get(key, {}).pop(order.order_id, None)
        elif order.leaves_lots:
            self.free_room(order)

    def free_room(self, order: Order) -> None:
        """Less is open of it: others of its account, set aside, may have room now."""
        key = order.account, order.instrument.symbol
        if key in self.short_of_room and order.state is not PENDING_NEW:  # that waits to be sent
            self.room_freed[key] = None

    def _forget_id(self, account: str, client_order_id: str) -> None:
        """No open order of the account has this id any longer."""
        by_client_id = self.by_client_id[account]
        del by_client_id[client_order_id]
        if not by_client_id:
            del self.by_client_id[account]

    def finish(self, order: Order, state: OrderState, reason: str, request_seq: int = 0) -> None:
        """An end that no cancel asked for; to whom nothing was told yet it is the answer."""
        if not order.told:
            request_seq = order.order_id
        self.end(order, state)
        self.reports.add(order, state.value, request_seq, reason=reason)
        if order.changes:
            self._refuse_changes(order)

    def part(self, order: Order) -> None:
        """Something happened to one of an OCO pair: the other is to go."""
        terms = order.terms
        if terms is not None and terms.partner_id:
            partner = self.orders[terms.partner_id]
            assert partner.terms is not None
            terms.partner_id = partner.terms.partner_id = 0
            self.losers.append(partner)

    # --- changes ---

    def pend(self, change: Change) -> None:
        """A change is on its way: until it is refused, its id finds the order too."""
        order = change.order
        if order.changes is None:
            order.changes = []
        order.changes.append(change)
        self.by_client_id[order.account][change.client_order_id] = order

    def settle(self, change: Change) -> None:
        """The change is answered, whichever way: it is on its way no more."""
        order = change.order
        if order.changes and change in order.changes:
            order.changes.remove(change)
            self._forget_id(order.account, change.client_order_id)

    def cancel(
        self, change: Change, reason: str = "", waited_ns: int = 0, venue_ns: int = 0
    ) -> None:
        """A cancel that was asked for is done."""
        order, seq = change.order, change.request_seq
        if order.changes:
            self.settle(change)
        self.end(order, STATE_CANCELED)
        self.reports.add(
            order, CANCELED, seq, seq, change.client_order_id, 0, 0, "", reason, "", 0, waited_ns,
            venue_ns,
        )  # fmt: skip
        if order.changes:
            self._refuse_changes(order)

    def replace(self, change: Change) -> None:
        """A modify takes effect: terms, then the id it goes by from now on."""
        self.settle(change)
        order = change.order
        self.change_terms(order, change)
        order.earlier_ids = [*(order.earlier_ids or ()), order.client_order_id]
        order.client_order_id, order.named_seq = change.client_order_id, change.request_seq
        self.by_client_id[order.account][order.client_order_id] = order
        if not order.leaves_lots:
            self.end(order, FILLED)
        self.reports.add(order, ResponseType.REPLACED.value, change.request_seq)
        if order.changes and not order.leaves_lots:
            self._refuse_changes(order)

    def change_terms(self, order: Order, change: Change) -> None:
        """Price, total quantity, what is reserved and what is exposed."""
        exposure = order.exposure
        if exposure is not None:  # by the lots it had: a book that keeps its place lowered them
            exposure.move(order, order.cumulative_lots - order.quantity_lots)
        order.price_ticks = change.price_ticks
        order.quantity_lots = max(change.quantity_lots, order.cumulative_lots)
        order.leaves_lots = order.quantity_lots - order.cumulative_lots
        if order.terms is not None:
            if order.suspended:
                order.terms.stop_ticks = change.stop_ticks or order.terms.stop_ticks
            order.terms.display_lots = change.display_lots or order.terms.display_lots
        if exposure is not None:
            exposure.move(order, order.leaves_lots)
            self.free_room(order)
        self.reserve_need(order)

    def refuse(self, change: Change, reason: str) -> None:
        """Answer a cancel or modify with no; the order stays as it is."""
        self.settle(change)
        self.reports.add(
            change.order, ResponseType.CANCEL_REJECTED.value, change.request_seq,
            change.request_seq, change.client_order_id, reason=reason,
        )  # fmt: skip

    def _refuse_changes(self, order: Order) -> None:
        """The order is over: changes that were never sent come too late."""
        for change in list(order.changes or ()):
            if change.waiting:
                self._unqueue(change.request_seq)
            self.refuse(change, RejectReason.TOO_LATE.value)

    def restate(self, order: Order, price_ticks: int, lots: int, reason: str) -> None:
        """The exchange moved its price (0: not), or took lots off, to keep a rule."""
        exposure = order.exposure
        if exposure is not None:
            exposure.move(order, order.cumulative_lots - order.quantity_lots)
        order.price_ticks = price_ticks or order.price_ticks
        order.quantity_lots -= lots
        order.leaves_lots = order.quantity_lots - order.cumulative_lots
        if exposure is not None:
            exposure.move(order, order.leaves_lots)
            self.free_room(order)
        if order.side is not BUY or bound_of(order, order.price_ticks):
            self.reserve_need(order)  # else it has what all its fills cost, and ends with them
        self.reports.add(order, ResponseType.RESTATED.value, reason=reason)

    def restate_as(self, order: Order, state: OrderState, reason: str) -> None:
        """The exchange took it out of the book, or let it come back."""
        order.state = state
        done = state is OrderState.DONE_FOR_DAY
        kind = ResponseType.DONE_FOR_DAY if done else ResponseType.RESTATED
        self.reports.add(order, kind.value, reason=reason)

    def trigger(self, order: Order) -> None:
        """A stop goes on as what it becomes."""
        assert order.terms is not None
        if order.exposure is not None and order.exposure.more:
            order.exposure.triggered()
        order.terms.stop_ticks = 0
        order.state = STATE_NEW
        self.reports.add(order, ResponseType.TRIGGERED.value)
        self.part(order)

    # --- what is reserved for an order ---

    def need(self, order: Order, price_ticks: int, leaves_lots: int) -> int:
        """What the holder of an order must have reserved, were it so priced and so much open.

        Of an OCO pair that is the larger of both needs.
        """
        own = need_of(order, price_ticks, leaves_lots)
        terms = order.terms
        if terms is None or not terms.partner_id:
            return own
        partner = self.orders[terms.partner_id]
        return max(own, need_of(partner, partner.price_ticks, partner.leaves_lots))

    def holder(self, order: Order) -> Order:
        """Who has the reservation of an order: of an OCO pair the limit order, for both."""
        if order.terms is not None and order.terms.partner_id and order.suspended:
            return self.orders[order.terms.partner_id]
        return order

    def reserve_need(self, order: Order) -> None:
        """Reserve what an order needs as it stands now; it is known to be there."""
        if self.ledger is not None:
            need = self.need(order, order.price_ticks, order.leaves_lots)
            reason = self.ledger.reserve(self.holder(order), need)
            assert not reason, reason
