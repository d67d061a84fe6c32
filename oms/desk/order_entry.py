"""Order entry: requests of clients on their orders; may they be, and where do they wait?

Flow:  desk -> [order_entry] -> risk, ledger -> queue
In:    journal entries, in journal order.
Owner: the dispatcher thread. The checks stand in one order: who may trade, when, what, how much,
       with what money. A refused order changes nothing.
"""

from typing import Any

from oms.desk.desk_state import DeskState
from oms.desk.entries import KIND_LENGTHS, NEW, Entry
from oms.exchange.phases import Admission, admission
from oms.messages import (
    OrderState,
    OrderType,
    Phase,
    RejectReason,
    ResponseType,
    Side,
    TimeInForce,
)
from oms.orders import Change, Order, Terms

SIDES: dict[str, Side] = {side.value: side for side in Side}
ORDER_TYPES: dict[str, OrderType] = {kind.value: kind for kind in OrderType}
TIMES_IN_FORCE: dict[str, TimeInForce] = {tif.value: tif for tif in TimeInForce}
PLAIN_LENGTH = KIND_LENGTHS[NEW][0]
HOLDABLE = (TimeInForce.GTC, TimeInForce.DAY, TimeInForce.GTD)
CONTINUOUS = Phase.CONTINUOUS
REFRESHES_MAX = 1_000  # of an iceberg: one order must not make a sweep endless


class OrderEntry:
    """New orders, modifies and cancels, up to where they wait to be sent."""

    def __init__(self, desk: DeskState) -> None:
        self._desk = desk
        self._blotter = desk.blotter
        self._queue = desk.queue

    # --- new ---

    def new(self, seq: int, entry: Entry, received_ns: int, queued_ns: int) -> None:
        if len(entry) == PLAIN_LENGTH:
            _, account, client_id, symbol, side, kind, tif, price, lots, hold, _ = entry
            terms = None
        else:
            _, account, client_id, symbol, side, kind, tif, price, lots, hold, _, fields = entry
            terms = _terms_of(fields)
        order = Order(
            seq, account, client_id, self._desk.instruments[symbol], SIDES[side],
            ORDER_TYPES[kind], TIMES_IN_FORCE[tif], price, lots, received_ns, queued_ns, terms,
        )  # fmt: skip
        desk, risk = self._desk, self._desk.risk
        reason = self.why_not_now(order, hold)
        if not reason and terms is not None:
            reason = self._why_not_terms(order, terms, fields)
        if not reason and not risk.idle:
            reason = risk.check(order, self._blotter.wall_ns)
        if not reason and self._queue.main_size >= self._queue.size_max:
            reason = self._queue_full()
        if not reason and self._blotter.ledger is not None:
            reason = self._set_aside(order)
        if reason:
            self._reject(order, reason)
            return
        self._queue.add_order(seq, order)
        self._blotter.add(order)
        if not risk.idle:
            risk.accepted(order, self._blotter.wall_ns)
        if terms is not None:
            self._take_up(order, terms)
        desk.unanswered.append(order)

    def why_not_now(self, order: Order, hold: int) -> str:
        """The kill switch, the session, the market's phase, the account."""
        desk, symbol = self._desk, order.instrument.symbol
        if not desk.risk.idle:
            reason = desk.risk.gate(order.account, symbol)
            if reason:
                return reason
        if not desk.is_open:
            if not self._may_hold(order, hold):
                tif = order.time_in_force.value
                return f"{RejectReason.SESSION_CLOSED.value}: symbol={symbol}, tif={tif}"
        elif desk.engine is not None:
            market = desk.engine.markets[symbol]
            if market.phase is not CONTINUOUS:
                may = admission(market.phase, order)
                if may is Admission.REFUSE or (may is Admission.HOLD and not hold):
                    return (
                        f"{RejectReason.MARKET_STATE.value}: phase={market.phase.value}, "
                        f"type={order.order_type.value}, tif={order.time_in_force.value}"
                    )
        return desk.ledger.may_trade(order.account) if self._blotter.ledger is not None else ""

    def _may_hold(self, order: Order, hold: int) -> bool:
        if order.order_type is OrderType.MARKET or order.time_in_force not in HOLDABLE:
            return False
        if order.terms is not None and order.terms.min_lots:
            return False
        return bool(hold) or self._desk.hold_when_closed

    def _why_not_terms(self, order: Order, terms: Terms, fields: dict[str, Any]) -> str:
        """Terms that contradict the order, the clock, or another order."""
        if self._desk.engine is None:
            return f"{RejectReason.TERMS_UNSUPPORTED.value}: terms={'|'.join(fields)}"
        reason = _display_reason(terms.display_lots, order.quantity_lots)
        if not reason and terms.min_lots > order.quantity_lots and not terms.budget:
            sizes = f"min_quantity={terms.min_lots}, quantity={order.quantity_lots}"
            reason = f"{RejectReason.QUANTITY_INVALID.value}: {sizes} lots"
        if not reason and terms.expire_ns and terms.expire_ns <= self._blotter.wall_ns:
            late = f"expire_ns={terms.expire_ns}, now={self._blotter.wall_ns}"
            reason = f"{RejectReason.EXPIRE_TIME_INVALID.value}: {late}"
        if not reason and "oco" in fields:
            reason = self._pair(order, terms, fields["oco"])
        return reason

    def _pair(self, order: Order, terms: Terms, client_order_id: str) -> str:
        """Find the stop that this order is to be one of two with."""
        partner = self._blotter.find(order.account, client_order_id)
        if (
            partner is None
            or partner.terms is None
            or not partner.suspended
            or partner.terms.partner_id
            or partner.instrument is not order.instrument
            or partner.side is not order.side
            or (partner.changes and _cancel_pending(partner))
        ):
            return f"{RejectReason.OCO_INVALID.value}: oco_with={client_order_id}"
        terms.partner_id = partner.order_id
        return ""

    def _queue_full(self) -> str:
        bound = self._queue.size_max
        if self._queue.main_size < bound:
            return ""
        return f"{RejectReason.QUEUE_FULL.value}: waiting={bound}, max={bound}"

    def _set_aside(self, order: Order) -> str:
        """Reserve what the order may cost; of an OCO pair, once for both."""
        blotter, ledger = self._blotter, self._desk.ledger
        order.fees = ledger.fees_of(order)
        partner = (
            blotter.orders[order.terms.partner_id]
            if order.terms and (order.terms.partner_id)
            else None
        )
        if partner is None:
            return ledger.hold(order, blotter.need(order))
        need, before = blotter.need(order), partner.reserved
        ledger.hold(partner, 0)
        reason = ledger.hold(order, need)
        if reason:
            ledger.hold(partner, before)
        return reason

    def _take_up(self, order: Order, terms: Terms) -> None:
        """What is to remember of an accepted order's terms."""
        if terms.expire_ns:
            self._desk.add_expiry(terms.expire_ns, order.order_id)
        if terms.partner_id:
            partner = self._blotter.orders[terms.partner_id]
            assert partner.terms is not None
            partner.terms.partner_id = order.order_id

    def _reject(self, order: Order, reason: str) -> None:
        order.state = OrderState.REJECTED
        order.left_lots = 0
        self._blotter.report(order, ResponseType.REJECTED.value, order.order_id, reason=reason)

    # --- modify and cancel ---

    def modify(self, seq: int, entry: Entry, received_ns: int, queued_ns: int) -> None:
        _, account, client_id, orig_id, price, lots, _request_id = entry[:7]
        fields = entry[7] if len(entry) > 7 else {}
        order = self._blotter.by_client_id[account, orig_id]
        change = Change(
            seq, client_id, order, False, price, lots, received_ns, queued_ns,
            fields.get("stop", 0), fields.get("display", 0),
        )  # fmt: skip
        if order.order_id in self._queue:
            self._modify_waiting(order, change)
        elif order.changes and _cancel_pending(order):
            self._blotter.change_refused(change, RejectReason.ALREADY_PENDING.value)
        elif full := self._queue_full():
            self._blotter.change_refused(change, full)
        else:
            self._queue.add_order(seq, change)
            self._pend(change)

    def _modify_waiting(self, order: Order, change: Change) -> None:
        """In place, before anybody else has seen it."""
        self._desk.tell_pending(order)
        change.price_ticks = change.price_ticks or order.price_ticks
        change.quantity_lots = change.quantity_lots or order.quantity_lots
        reason = self.why_not_change(change)
        if reason:
            self._blotter.change_refused(change, reason)
            return
        place = (order.order_id, order.price_ticks, order.quantity_lots)
        self._desk.executions.change_terms(order, change)
        order.price_ticks, order.quantity_lots = place[1:]  # the queue compares, then sets them
        self._queue.modify_order(order.order_id, change.price_ticks, change.quantity_lots)
        self._blotter.rename(order, change.client_order_id)
        self._blotter.report(order, ResponseType.REPLACED.value, change.request_seq)

    def why_not_change(self, change: Change) -> str:
        """Why an order may not have these terms; if it may, the money for them is set aside."""
        order, desk = change.order, self._desk
        lots, terms = change.quantity_lots, order.terms
        if terms is not None and terms.budget:
            return f"{RejectReason.TERMS_UNSUPPORTED.value}: quantity, of an order with a budget"
        if change.stop_ticks and not order.suspended:
            return f"{RejectReason.TERMS_UNSUPPORTED.value}: stop_price, of no suspended stop"
        if change.display_lots and (terms is None or not terms.display_lots):
            return f"{RejectReason.TERMS_UNSUPPORTED.value}: display_quantity, of no iceberg"
        if lots <= order.cumulative_lots:
            return ""  # what is filled already completes it
        display_lots = change.display_lots or (terms.display_lots if terms is not None else 0)
        reason = _display_reason(display_lots, lots)
        reason = reason or desk.risk.check_change(
            order, change.price_ticks, lots, self._blotter.wall_ns
        )
        if reason or self._blotter.ledger is None:
            return reason
        holder = order
        if order.suspended and order.terms is not None and order.terms.partner_id:
            holder = self._blotter.orders[order.terms.partner_id]
        before = order.price_ticks, order.left_lots
        order.price_ticks, order.left_lots = change.price_ticks, lots - order.cumulative_lots
        need = self._blotter.need(holder)
        order.price_ticks, order.left_lots = before
        # Less is given back once the change is done: it may still be refused.
        return desk.ledger.hold(holder, max(need, holder.reserved))

    def cancel(self, seq: int, entry: Entry, received_ns: int, queued_ns: int) -> None:
        _, account, client_id, orig_id, _request_id = entry
        order = self._blotter.by_client_id[account, orig_id]
        change = Change(seq, client_id, order, True, 0, 0, received_ns, queued_ns)
        if order.order_id in self._queue:
            self._desk.tell_pending(order)
            self._queue.cancel_order(order.order_id)
            self._blotter.end(order, OrderState.CANCELED)
            self._blotter.report(order, ResponseType.CANCELED.value, seq, client_id)
            if self._desk.cascade is not None:
                self._desk.cascade.run()
        elif order.changes and _cancel_pending(order):
            self._blotter.change_refused(change, RejectReason.ALREADY_PENDING.value)
        else:
            self._queue.add_order(seq, change, urgent=True)
            self._pend(change)

    def _pend(self, change: Change) -> None:
        self._blotter.pend(change)
        self._desk.unanswered.append(change)


def _cancel_pending(order: Order) -> bool:
    return any(change.is_cancel for change in order.changes or ())


def _display_reason(display_lots: int, lots: int) -> str:
    """An iceberg shows at least a thousandth."""
    if not display_lots or display_lots * REFRESHES_MAX >= lots:
        return ""
    return (
        f"{RejectReason.DISPLAY_INVALID.value}: display={display_lots}, "
        f"min={-(-lots // REFRESHES_MAX)}"
    )


def _terms_of(fields: dict[str, Any]) -> Terms:
    """An order's terms, from its journal entry."""
    return Terms(
        stop_ticks=fields.get("stop", 0),
        display_lots=fields.get("display", 0),
        post_only=fields.get("post", ""),
        expire_ns=fields.get("expire", 0),
        min_lots=fields.get("min", 0),
        budget=fields.get("budget", 0),
        protection_ticks=fields.get("protect", 0),
        self_trade=fields.get("stp", ""),
    )
