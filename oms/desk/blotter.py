"""The blotter: every open order, and the reports of the turn under way.

Flow:  desk -> [blotter] -> rows -> journal
Owner: the dispatcher thread. Orders that ended are forgotten at the turn's end: the store
       remembers them, so memory holds what is open and nothing else.
"""

from collections import deque

from oms.exchange.ledger import Ledger, need_of
from oms.messages import Liquidity, OrderState, ResponseType, Side
from oms.orders import Change, Order
from oms.reports import Row

Hops = tuple[str, int, int, int, int, int]
"""A request's outcome, then when it was received, queued, released, sent, answered."""

TRADE = ResponseType.TRADE.value
NO_LIQUIDITY = Liquidity.NONE.value
BUY = Side.BUY
FILLED, PARTIALLY_FILLED = OrderState.FILLED, OrderState.PARTIALLY_FILLED


class Blotter:
    """Open orders by id and by every client id they have had or are to have; reports as rows."""

    def __init__(self) -> None:
        self.orders: dict[int, Order] = {}
        self.by_client_id: dict[tuple[str, str], Order] = {}
        self.done: dict[int, Order] = {}  # ended in this turn
        self._done_by_client_id: dict[tuple[str, str], Order] = {}
        self.rows: list[Row] = []
        self.hops: dict[int, Hops] = {}  # request sequence -> its way through this turn
        self.turn_seq = 0
        self.wall_ns = 0
        self.ledger: Ledger | None = None
        self.positions: dict[tuple[str, str], int] = {}  # (account, symbol) -> net lots filled
        self.losers: deque[Order] = deque()  # of an OCO pair, still to be canceled

    def begin(self, turn_seq: int, wall_ns: int) -> None:
        """Start a turn: its reports are numbered in journal entry `turn_seq`."""
        self.turn_seq = turn_seq
        self.wall_ns = wall_ns
        self.rows = []
        self.hops = {}
        self.done = {}
        self._done_by_client_id = {}

    def add(self, order: Order) -> None:
        """Take up a new order."""
        self.orders[order.order_id] = order
        self.by_client_id[order.account, order.client_order_id] = order

    def rename(self, order: Order, client_order_id: str) -> None:
        """A modify was accepted: the order answers to its id too, and is called by it."""
        if order.client_order_ids is None:
            order.client_order_ids = []
        order.client_order_ids.append(order.client_order_id)
        order.client_order_id = client_order_id
        self.by_client_id[order.account, client_order_id] = order

    def pend(self, change: Change) -> None:
        """A change is on its way: until it is refused, its id finds the order too."""
        order = change.order
        if order.changes is None:
            order.changes = []
        order.changes.append(change)
        self.by_client_id[order.account, change.client_order_id] = order

    def forget(self, change: Change) -> None:
        """The change is over, and its id no name of the order."""
        self.by_client_id.pop((change.order.account, change.client_order_id), None)

    def end(self, order: Order, state: OrderState) -> None:
        """The order reached a final state; nothing of it is open any more."""
        if order.reserved:
            assert self.ledger is not None
            self.ledger.hold(order, 0)
        if order.exposure is not None:
            order.exposure.move(order, -order.left_lots, -1)
        if order.terms is not None:
            self.part(order)
        order.state = state
        order.left_lots = 0
        order.unknown = False
        del self.orders[order.order_id]
        self.done[order.order_id] = order
        for client_order_id in (order.client_order_id, *(order.client_order_ids or ())):
            key = (order.account, client_order_id)
            del self.by_client_id[key]
            self._done_by_client_id[key] = order

    def find(self, account: str, client_order_id: str) -> Order | None:
        """An open order, by any id it has had."""
        return self.by_client_id.get((account, client_order_id))

    def find_done(self, account: str, client_order_id: str) -> Order | None:
        """An order that ended in this turn, by any id it has had."""
        return self._done_by_client_id.get((account, client_order_id))

    def fill(
        self, order: Order, price_ticks: int, lots: int, liquidity: str, request_seq: int
    ) -> None:
        """One trade of one order, and its report."""
        order.cumulative_lots += lots
        order.left_lots -= lots
        order.notional += price_ticks * lots
        assert order.left_lots >= 0, "filled more than was open"
        signed = lots if order.side is BUY else -lots
        self.move_position(order.account, order.instrument.symbol, signed)
        fee = ""
        if self.ledger is not None:
            paid = self.ledger.settle(order, price_ticks, lots, liquidity)
            fee = str(paid) if paid else ""
        if order.exposure is not None:
            order.exposure.move(order, -lots)
        if order.terms is not None:
            self.part(order)
        if order.left_lots:
            order.state = PARTIALLY_FILLED
        else:
            self.end(order, FILLED)
        self.report(
            order, TRADE, request_seq, order.client_order_id, price_ticks, lots, liquidity, "",
            0, 0, fee,
        )  # fmt: skip

    def move_position(self, account: str, symbol: str, lots: int) -> None:
        """So many lots more; who has none any more is forgotten."""
        key = (account, symbol)
        position = self.positions.get(key, 0) + lots
        if position:
            self.positions[key] = position
        else:
            self.positions.pop(key, None)

    def part(self, order: Order) -> None:
        """Something happened to one of an OCO pair: the other is to go."""
        terms = order.terms
        if terms is not None and terms.partner_id:
            partner = self.orders[terms.partner_id]
            assert partner.terms is not None
            terms.partner_id = partner.terms.partner_id = 0
            self.losers.append(partner)

    def need(self, order: Order) -> int:
        """What an order must have set aside; of an OCO pair the limit order has it for both."""
        terms = order.terms
        if terms is None or not terms.partner_id:
            return need_of(order)
        if order.suspended:
            return 0
        return max(need_of(order), need_of(self.orders[terms.partner_id]))

    def adjust(self, order: Order) -> None:
        """Set aside what an order needs as it stands now; it is known to be there."""
        if self.ledger is not None:
            if order.suspended and order.terms is not None and order.terms.partner_id:
                order = self.orders[order.terms.partner_id]
            reason = self.ledger.hold(order, self.need(order))
            assert not reason, reason

    def report(
        self,
        order: Order,
        type_: str,
        request_seq: int = 0,
        client_order_id: str = "",
        price_ticks: int = 0,
        lots: int = 0,
        liquidity: str = NO_LIQUIDITY,
        reason: str = "",
        waited_ns: int = 0,
        venue_ns: int = 0,
        fee: str = "",
    ) -> None:
        """One execution report: how the order stands after what just happened."""
        state = order.reported_state if order.changes or order.unknown else order.state
        rows = self.rows
        rows.append(
            (
                self.turn_seq,
                len(rows) + 1,
                order.order_id,
                request_seq,
                order.account,
                client_order_id or order.client_order_id,
                order.instrument.symbol,
                order.side._value_,
                type_,
                state._value_,
                price_ticks,
                lots,
                order.cumulative_lots,
                order.left_lots,
                str(order.notional) if order.notional else "",
                liquidity,
                reason,
                self.wall_ns,
                fee,
                waited_ns,
                venue_ns,
            )
        )

    def status_row(self, order: Order) -> Row:
        """How an open order stands, outside any turn: no execution, hence number 0."""
        self.report(order, ResponseType.ORDER_STATUS.value)
        row = self.rows.pop()
        return (row[0], 0, *row[2:])

    def change_refused(self, change: Change, reason: str) -> None:
        """Answer a cancel or modify with no; the order stays as it is."""
        order = change.order
        if order.changes is not None and change in order.changes:
            order.changes.remove(change)
        self.forget(change)
        self.report(
            order,
            ResponseType.CANCEL_REJECTED.value,
            change.request_seq,
            change.client_order_id,
            reason=reason,
        )

    def answer(
        self,
        request_seq: int,
        account: str,
        client_order_id: str,
        type_: str,
        order_id: int,
        symbol: str,
        side: str,
        state: str,
        cumulative_lots: int,
        leaves_lots: int,
        notional: str,
        reason: str,
    ) -> None:
        """Answer a request that touches no open order: a refusal, or what is known."""
        self.rows.append(
            (
                self.turn_seq, len(self.rows) + 1, order_id, request_seq, account,
                client_order_id, symbol, side, type_, state, 0, 0, cumulative_lots, leaves_lots,
                notional, NO_LIQUIDITY, reason, self.wall_ns, "", 0, 0,
            )
        )  # fmt: skip
