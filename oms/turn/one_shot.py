"""One shot: several requests with one answer, and what a request would do.

Flow:  caller -> [one_shot] -> manager -> ... publisher -> [one_shot] -> future
Owner: nobody: requests are taken on their caller's thread, answers are put together on the
dispatcher's. Neither waits.
"""

from collections.abc import Callable
from concurrent.futures import Future
from typing import NamedTuple, Protocol

from oms.desk.bust import why_not_bust
from oms.desk.desk import Desk
from oms.enums import OrderState, ResponseType
from oms.errors import ValidationError
from oms.reject_reasons import REASONS, RejectReason
from oms.reports import OrderResponse
from oms.requests import OrderRequest, Request
from oms.requests.codec import ANSWER, BUST, CANCEL, FUNDS, MODIFY, NEW, OPERATOR, Line
from oms.turn.intake import Intake

UNTRIGGERED = (OrderState.PENDING_NEW, OrderState.SUSPENDED)
Pair = tuple[OrderResponse, OrderResponse | None]


class Taker(Protocol):
    """What is needed of an OrderManagement."""

    def submit(self, request: Request) -> "Future[OrderResponse]": ...
    def get_order(self, account: str, named: str | int) -> OrderResponse | None: ...


def place_pair(oms: Taker, stop: OrderRequest, limit: OrderRequest, undo_id: str) -> "Future[Pair]":
    """The stop; once it stands the limit order; if that is refused, the stop goes again.

    One after the other: if the stop is refused because its id is another order's, the limit
    order must not become that one's partner.
    """
    _check_pair(stop, limit)
    undo = OrderRequest.cancel(stop.account, undo_id, stop.client_order_id)
    ids = {undo_id, stop.client_order_id, limit.client_order_id}
    if len(ids) < 3:
        expected = "three ids: of the stop, the limit order, and to undo"
        raise ValidationError("undo_id", undo_id, expected)
    outcome: Future[Pair] = Future()
    outcome.set_running_or_notify_cancel()  # what was handed over cannot be called back

    def ask(request: Request, told: Callable[[OrderResponse], None]) -> None:
        def answered(asked: "Future[OrderResponse]") -> None:
            try:
                told(asked.result())
            except Exception as error:  # a future swallows what its callbacks raise
                if not outcome.done():
                    outcome.set_exception(error)

        oms.submit(request).add_done_callback(answered)

    def stop_told(told: OrderResponse) -> None:
        if told.refused:
            outcome.set_result((told, None))
        else:
            ask(limit, lambda answer: limit_told(told, answer))

    def limit_told(first: OrderResponse, answer: OrderResponse) -> None:
        now = oms.get_order(stop.account, stop.client_order_id) or first
        stands = now.state in UNTRIGGERED and answer.reason is not RejectReason.OCO_INVALID
        if answer.refused and stands:
            ask(undo, lambda undone: undo_told(undone, (first, answer)))
        else:
            outcome.set_result((first, answer))

    def undo_told(undone: OrderResponse, pair: Pair) -> None:
        if undone.reason is RejectReason.DUPLICATE_ID:  # nothing was canceled
            expected = "an id never used before; the limit order was refused, and the stop stands"
            raise ValidationError("undo_id", undo_id, expected)
        outcome.set_result(pair)

    ask(stop, stop_told)
    return outcome


def _check_pair(stop: OrderRequest, limit: OrderRequest) -> None:
    for name, order in (("stop", stop), ("limit", limit)):
        if type(order) is not OrderRequest or order.type != "NEW":
            raise ValidationError(name, order, "a new order")
    for name in ("account", "symbol", "side"):
        if getattr(stop, name) != getattr(limit, name):
            raise ValidationError(name, getattr(limit, name), "the same for both orders")
    if stop.terms is None or stop.terms.stop_price is None:
        raise ValidationError("stop", stop, "an order with a stop_price")
    if limit.terms is None or limit.terms.oco_with != stop.client_order_id:
        raise ValidationError("oco_with", limit, f"{stop.client_order_id}, the id of the stop")


class DryRun(NamedTuple):
    """What would become of a request now.

    text: why it would be refused, a RejectReason and its context; "" if it would be taken.
    reserved: what the order would have reserved, in units of `asset`; 0 without a ledger, or for
    a market buy without bound, which reserves when it meets the book.
    """

    text: str
    reserved: int = 0
    asset: str = ""

    @property
    def reason(self) -> RejectReason | None:
        return REASONS.get(self.text.partition(":")[0])


def dry_run(intake: Intake, desk: Desk, request: Line) -> DryRun:
    """On the dispatcher's thread, between two turns."""
    line = intake.would_be(request)
    if line[0] == ANSWER:
        kind, state, text = line[3], line[7], line[11]
        again = kind == ResponseType.ORDER_STATUS  # of a known id: was the first one refused?
        taken = again and state != OrderState.REJECTED and text.partition(":")[0] not in REASONS
        return DryRun("" if taken or kind == ResponseType.COMMAND_DONE else text)
    if line[0] == NEW:
        return DryRun(*desk.would(line))
    if line[0] == MODIFY:
        return DryRun(*desk.changes.would(line))
    if line[0] == CANCEL:
        return DryRun(desk.changes.would_cancel(line))
    if line[0] == FUNDS:
        return DryRun(desk.operations.would_fund(line))
    if line[0] == OPERATOR:
        return DryRun(desk.operations.why_not(line))
    return DryRun(why_not_bust(desk, line[4]) if line[0] == BUST else "")
