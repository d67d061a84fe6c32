"""Changes: modifies and cancels of open orders, where they wait and when they are sent.

Flow:  desk -> [changes] -> risk, ledger -> queue -> exchange, or venue
Owner: the dispatcher thread. A change of an order that still waits is done in place; else it
       waits itself: a cancel overtakes what waits, a modify does not.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from oms.enums import OrderState, ResponseType
from oms.exchange.order import Change, Order, keeps_priority, told_scales
from oms.money import to_text
from oms.reject_reasons import RejectReason
from oms.requests.codec import Line
from oms.requests.internal import VenueReport

if TYPE_CHECKING:
    from oms.desk.desk import Desk

CANCEL_PENDING = ResponseType.PENDING_CANCEL.value
REPLACE_PENDING = ResponseType.PENDING_REPLACE.value
ALREADY_PENDING = RejectReason.ALREADY_PENDING.value
TOO_LATE, UNSUPPORTED = RejectReason.TOO_LATE.value, RejectReason.TERMS_UNSUPPORTED.value
REFRESHES_MAX = 1_000  # of an iceberg: one order must not make a sweep endless


class Changes:
    """What a modify and a cancel do."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._executions = desk.executions
        self._queue = desk.queue

    # --- from a journal line to the queue ---

    def modify(self, seq: int, line: Line, received_ns: int, queued_ns: int) -> None:
        _, account, client_id, named, price, lots, _request_id = line[:7]
        fields = line[7] if len(line) > 7 else {}
        order = self._executions.find(account, named)
        assert order is not None, "intake found it"
        change = Change(
            seq, client_id, order, False, price, lots, received_ns, queued_ns,
            fields.get("stop", 0), fields.get("display", 0),
        )  # fmt: skip
        if order.order_id in self._queue:
            self._modify_waiting(order, change)
        elif order.cancel_pending:
            self._executions.refuse(change, ALREADY_PENDING)
        elif full := self._desk.queue_full():
            self._executions.refuse(change, full)
        elif self._desk.engine is not None and self._desk.goes_at_once():
            self.send(change)
        else:
            self._queue.add_order(seq, change)
            self._pend(change)

    def cancel(self, seq: int, line: Line, received_ns: int, queued_ns: int) -> None:
        account, client_id, named = line[1], line[2], line[3]
        executions, desk = self._executions, self._desk
        order = executions.find(account, named)
        assert order is not None, "intake found it"
        change = Change(seq, client_id, order, True, 0, 0, received_ns, queued_ns)
        if order.level is None and order.order_id in self._queue:
            desk.tell_pending(order)
            self._queue.cancel_order(order.order_id)
            executions.cancel(change)
            desk.cascade()
        elif order.changes and order.cancel_pending:
            executions.refuse(change, ALREADY_PENDING)
        elif self.overtakes():
            if order.level is None or order.changes:
                self.send(change)
            else:
                self._cancel_resting(change)
        else:
            self._queue.add_order(seq, change, urgent=True)
            self._pend(change)

    def _cancel_resting(self, change: Change) -> None:
        """Take an order out of its book; `send` does the same in more steps."""
        desk, engine = self._desk, self._desk.engine
        assert engine is not None
        now_ns, received_ns, seq = desk.now_ns, change.received_ns, change.request_seq
        waited_ns = now_ns - received_ns if received_ns else 0
        desk.left -= 1
        desk.ledger.seq = seq
        engine.cancel(change)
        desk.now_ns = after_ns = desk.read_ns()
        self._executions.cancel(change, "", waited_ns, after_ns - now_ns)
        if desk.losers or desk.room_freed:
            desk.cascade()
        desk.hops[seq] = ("canceled", received_ns, change.queued_ns, now_ns, now_ns, after_ns)

    def overtakes(self) -> bool:
        """May a cancel be sent now? A permit is left, and no other cancel waits."""
        desk = self._desk
        if desk.engine is None or not desk.left or self._queue.urgent:
            return False
        return desk.link_up or desk.takes_cancels

    def _pend(self, change: Change) -> None:
        self._executions.pend(change)
        self._desk.await_answer(change)

    def _modify_waiting(self, order: Order, change: Change) -> None:
        """In place, before anybody else has seen it."""
        self._desk.tell_pending(order)
        change.price_ticks = change.price_ticks or order.price_ticks
        change.quantity_lots = change.quantity_lots or order.quantity_lots
        reason = self.why_not(change)
        if reason:
            self._executions.refuse(change, reason)
            return
        price_ticks, quantity_lots = order.price_ticks, order.quantity_lots
        self._executions.replace(change)
        keeps = keeps_priority(price_ticks, change.price_ticks, quantity_lots, change.quantity_lots)
        self._queue.move(order.order_id, keeps=keeps)

    def why_not(self, change: Change) -> str:
        """Why an order may not have these terms; if it may, the money for them is reserved."""
        reason, need = self.needs(change)
        order = change.order
        if not reason and change.quantity_lots > order.cumulative_lots:
            self._desk.risk.changed(order, self._desk.instant.elapsed_ns)
        if reason or not need:
            return reason
        holder = self._executions.holder(order)
        # Less is given back once the change is done: it may still be refused.
        return self._desk.ledger.reserve(holder, max(need, holder.reserved))

    def needs(self, change: Change) -> tuple[str, int]:
        """Why an order may not have these terms; if it may, what must then be reserved for it."""
        order, desk, executions = change.order, self._desk, self._executions
        lots, price_ticks, terms = change.quantity_lots, change.price_ticks, order.terms
        if terms is not None and terms.budget:
            return f"{UNSUPPORTED}: quantity, of an order with a budget", 0
        if change.stop_ticks and not order.suspended:
            return f"{UNSUPPORTED}: stop_price, of no suspended stop", 0
        if change.display_lots and (terms is None or not terms.display_lots):
            return f"{UNSUPPORTED}: display_quantity, of no iceberg", 0
        if lots <= order.cumulative_lots:
            return "", 0  # what is filled already completes it
        display_lots = change.display_lots or (terms.display_lots if terms is not None else 0)
        _, scale = told_scales(order.instrument, self._desk.rules)
        reason = display_reason(display_lots, lots, scale)
        reason = reason or desk.risk.check_change(
            change, desk.instant.elapsed_ns, ahead=_ahead(change), rules=desk.rules
        )
        if reason or executions.ledger is None:
            return reason, 0
        return "", executions.need(order, price_ticks, lots - order.cumulative_lots)

    # --- what they would do ---

    def would(self, line: Line) -> tuple[str, int, str]:
        """What `modify` would answer: why not, or what the order would have reserved, and of
        what."""
        order = self._executions.find(line[1], line[3])
        assert order is not None, "intake found it"
        fields = line[7] if len(line) > 7 else {}
        change = Change(
            0, line[2], order, False, line[4] or order.price_ticks, line[5] or order.quantity_lots,
            0, 0, fields.get("stop", 0), fields.get("display", 0),
        )  # fmt: skip
        waits = order.order_id in self._queue
        reason = ALREADY_PENDING if order.cancel_pending else ""
        reason = reason or ("" if waits else self._desk.queue_full())
        need = 0
        if not reason:
            reason, need = self.needs(change)
        engine = self._desk.engine
        if not reason and not waits and engine is not None:
            reason = engine.would_refuse_change(change)
        if reason or not need:
            return reason, 0, ""
        ledger, holder = self._desk.ledger, self._executions.holder(order)
        reason = ledger.would_reserve(holder, need - holder.reserved)
        return reason, need, ledger.asset_of(holder)

    def would_cancel(self, line: Line) -> str:
        """Why `cancel` would be refused."""
        order = self._executions.find(line[1], line[3])
        assert order is not None, "intake found it"
        return ALREADY_PENDING if order.cancel_pending else ""

    # --- sending ---

    def send(self, change: Change) -> None:
        """Send one change, and take the answers that come at once."""
        desk = self._desk
        desk.left -= 1
        seq, now_ns, received_ns = change.request_seq, desk.now_ns, change.received_ns
        waited_ns = now_ns - received_ns if received_ns else 0
        desk.ledger.seq = seq
        change.waiting = False
        if change.is_cancel:
            outcome, after_ns = self._send_cancel(change, waited_ns, now_ns)
        else:
            outcome, after_ns = self._send_modify(change, waited_ns, now_ns)
        if not outcome:
            return  # the venue answers later
        desk.now_ns = after_ns
        desk.settle()
        desk.hops[seq] = (outcome, received_ns, change.queued_ns, now_ns, now_ns, after_ns)

    def _send_cancel(self, change: Change, waited_ns: int, now_ns: int) -> tuple[str, int]:
        """Returns the outcome, and when the venue had answered; "" if it answers later."""
        desk, executions = self._desk, self._executions
        if desk.engine is None:
            return self._told(change, desk.venue.cancel(change), waited_ns, now_ns)
        found = desk.engine.cancel(change)
        after_ns = desk.read_ns()
        if not found:
            executions.refuse(change, TOO_LATE)
            return "rejected", after_ns
        executions.cancel(change, "", waited_ns, after_ns - now_ns)
        return "canceled", after_ns

    def _send_modify(self, change: Change, waited_ns: int, now_ns: int) -> tuple[str, int]:
        desk, executions, order = self._desk, self._executions, change.order
        reason = self._why_not_now(change)
        if not reason and desk.engine is None:
            return self._told(change, desk.venue.replace(change), waited_ns, now_ns)
        filled, at = order.cumulative_lots, len(desk.reports.rows)
        if not reason:
            assert desk.engine is not None
            reason = desk.engine.replace(change)
            if reason:
                executions.reserve_need(order)  # what was reserved for the change goes back
        after_ns = desk.read_ns()
        if reason:
            executions.refuse(change, reason)
            return "rejected", after_ns
        desk.reports.measure(at, waited_ns, after_ns - now_ns)
        if order.cumulative_lots > filled:
            return "traded", after_ns
        return "canceled" if order.state is OrderState.CANCELED else "replaced", after_ns

    def _told(
        self, change: Change, told: Sequence[VenueReport], waited_ns: int, now_ns: int
    ) -> tuple[str, int]:
        """What a venue of somebody else answers at once; a remote one answers later."""
        desk, after_ns = self._desk, self._desk.read_ns()
        desk.sent.append(change)
        if not told:
            return "", after_ns
        refused = told[0].type is ResponseType.CANCEL_REJECTED
        if refused and not change.is_cancel:
            self._executions.reserve_need(change.order)
        desk.venue_reports.apply(told, change.request_seq, waited_ns, after_ns - now_ns)
        return "rejected" if refused else "canceled" if change.is_cancel else "replaced", after_ns

    def _why_not_now(self, change: Change) -> str:
        """What a modify left open is taken as it is now, after the changes before it."""
        order = change.order
        ahead = [
            c for c in order.changes or () if c.price_ticks and not c.waiting and c is not change
        ]
        terms = ahead[-1] if ahead else order  # ahead: at a remote venue, not answered yet
        change.price_ticks = change.price_ticks or terms.price_ticks
        change.quantity_lots = change.quantity_lots or terms.quantity_lots
        return self.why_not(change)

    def tell_pending(self, change: Change) -> None:
        """A modify is told as pending even if a cancel came after it: each as it was asked."""
        desk = self._desk
        kind = CANCEL_PENDING if change.is_cancel else REPLACE_PENDING
        reason = desk.why_waiting(change.request_seq)
        desk.reports.add(
            change.order, kind, change.request_seq, change.request_seq, change.client_order_id,
            reason=reason,
        )  # fmt: skip
        if not change.is_cancel and change.order.reported_state is OrderState.PENDING_CANCEL:
            desk.reports.restate(REPLACE_PENDING)


def _ahead(change: Change) -> int:
    """How many modifies before this one a remote venue has not answered yet."""
    changes = change.order.changes or ()
    return sum(not c.is_cancel and not c.waiting and c is not change for c in changes)


def display_reason(display_lots: int, lots: int, scale: int) -> str:
    """An iceberg shows at least a thousandth. scale: decimals of the text."""
    if not display_lots or display_lots * REFRESHES_MAX >= lots:
        return ""
    return (
        f"{RejectReason.DISPLAY_INVALID.value}: display={to_text(display_lots, scale)}, "
        f"min={to_text(-(-lots // REFRESHES_MAX), scale)}"
    )
