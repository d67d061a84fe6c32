"""Pairs: two orders of which one cancels the other, placed with one answer.

Flow:  caller -> [pairs] -> an order manager, or a client of one -> [pairs] -> future
Owner: nobody: the first request is taken on its caller's thread, what follows on that which tells
answers. Nothing here waits.
"""

from collections.abc import Callable
from concurrent.futures import Future
from typing import Protocol

from oms.enums import OrderState
from oms.errors import ValidationError
from oms.futures import settle
from oms.reject_reasons import RejectReason
from oms.requests import OrderRequest, Request, line_of
from oms.requests.codec import NEW, Line
from oms.responses import OrderResponse

UNTRIGGERED = (OrderState.PENDING_NEW, OrderState.SUSPENDED)
Pair = tuple[OrderResponse, OrderResponse | None]


class Taker(Protocol):
    """What is needed of an OrderManagement."""

    def submit(self, request: Request) -> "Future[OrderResponse]": ...
    def get_order(self, account: str, named: str | int) -> OrderResponse | None: ...


def place_pair(
    oms: Taker, stop: OrderRequest, limit: OrderRequest, undo_id: str, outcome: "Future[Pair]"
) -> "Future[Pair]":
    """The stop; once it stands the limit order; if that is refused, the stop goes again.

    One after the other: if the stop is refused because its id is another order's, the limit
    order must not become that one's partner. outcome: is resolved, and returned.
    """
    account, stop_id, limit_id = _check_pair(stop, limit)
    undo = OrderRequest.cancel(account, undo_id, stop_id)
    ids = {undo_id, stop_id, limit_id}
    if len(ids) < 3:
        expected = "three ids: of the stop, the limit order, and to undo"
        raise ValidationError("undo_id", undo_id, expected)

    def ask(request: Request, told: Callable[[OrderResponse], None]) -> None:
        def answered(asked: "Future[OrderResponse]") -> None:
            try:
                told(asked.result())
            except Exception as error:  # a future swallows what its callbacks raise
                settle(outcome, None, error)

        oms.submit(request).add_done_callback(answered)

    def stop_told(told: OrderResponse) -> None:
        if told.refused:
            settle(outcome, (told, None))
        else:
            ask(limit, lambda answer: limit_told(told, answer))

    def limit_told(first: OrderResponse, answer: OrderResponse) -> None:
        now = oms.get_order(account, stop_id) or first
        stands = now.state in UNTRIGGERED and answer.reason is not RejectReason.OCO_INVALID
        if answer.refused and stands:
            ask(undo, lambda undone: undo_told(undone, (first, answer)))
        else:
            settle(outcome, (first, answer))

    def undo_told(undone: OrderResponse, pair: Pair) -> None:
        if undone.reason is RejectReason.DUPLICATE_ID:  # nothing was canceled
            expected = "an id never used before; the limit order was refused, and the stop stands"
            raise ValidationError("undo_id", undo_id, expected)
        settle(outcome, pair)

    ask(stop, stop_told)
    return outcome


def _check_pair(stop: OrderRequest, limit: OrderRequest) -> tuple[str, str, str]:
    """Account and both client order ids. By their lines: fields may have been changed since."""
    lines = _new_line("stop", stop), _new_line("limit", limit)
    (_, account, stop_id, *_), (_, _, limit_id, *_) = lines
    for name, place in (("account", 1), ("symbol", 3), ("side", 4)):
        if lines[0][place] != lines[1][place]:
            raise ValidationError(name, lines[1][place], "the same for both orders")
    stop_terms, limit_terms = lines[0][10], lines[1][10]
    if stop_terms is None or stop_terms.stop_price is None:
        raise ValidationError("stop", stop, "an order with a stop_price")
    if limit_terms is None or limit_terms.oco_with != stop_id:
        raise ValidationError("oco_with", limit, f"{stop_id}, the id of the stop")
    return account, stop_id, limit_id


def _new_line(name: str, order: OrderRequest) -> Line:
    if issubclass(type(order), OrderRequest):
        line = line_of(order)
        if line[0] == NEW:
            return line
    raise ValidationError(name, order, "a new order")
