"""One shot: a command of the language in, a future of its one answer out.

Flow:  gateway -> [one_shot] -> requests -> inbox ... publisher -> reports -> [one_shot] -> answer
Owner: nobody: a command is taken on its caller's thread, its answer is made on the dispatcher's.
Neither waits. Questions are answered at once, from what is published: no write is ahead of them.
"""

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import replace
from typing import Protocol

from oms.answers import (
    AccountBalance,
    Answer,
    Balance,
    Batch,
    Error,
    OcoPlaced,
    OpenOrders,
    OrderBookDepth,
    OrderCanceled,
    OrderPlaced,
    PriceLevel,
    answer_to,
    status_of,
)
from oms.config import Config
from oms.controls import Request
from oms.errors import ValidationError
from oms.flow.dispatcher import Dispatcher
from oms.flow.publisher import Publisher
from oms.language import (
    CancelOrder,
    CancelOrders,
    Command,
    GetBalance,
    GetDepth,
    GetOpenOrders,
    GetOrder,
    PlaceOco,
    PlaceOrder,
    PlaceOrders,
    Read,
    Write,
)
from oms.messages import OrderState, RejectReason, ResponseType
from oms.money import to_decimal, to_text
from oms.reports import OrderResponse
from oms.stores import Store

Told = Callable[[Answer], None]
REJECTED = ResponseType.REJECTED.value
UNTRIGGERED = (OrderState.PENDING_NEW, OrderState.SUSPENDED)


class Door(Protocol):
    """What is needed of an OrderManagement."""

    config: Config
    dispatcher: Dispatcher
    publisher: Publisher
    store: Store

    def submit(self, request: Request) -> "Future[OrderResponse]": ...
    def get_order(self, account: str, client_order_id: str) -> OrderResponse | None: ...
    def open_orders(self, account: str) -> list[OrderResponse]: ...
    def get_depth(
        self, symbol: str, levels: int
    ) -> tuple[list[tuple[int, int]], list[tuple[int, int]]]: ...
    def balances(self, account: str) -> dict[str, tuple[int, int]]: ...


def execute(door: Door, command: Command) -> "Future[Answer]":
    """Give the command; the future resolves with its answer, an Error if that is no.

    It holds an exception only when the outcome is unknown.
    """
    outcome: Future[Answer] = Future()
    outcome.set_running_or_notify_cancel()  # what was handed over cannot be called back
    if isinstance(command, Read):
        try:
            outcome.set_result(_read(door, command))
        except Exception as error:
            outcome.set_exception(error)
    elif isinstance(command, PlaceOrders | CancelOrders):
        _place_batch(door, command.orders, outcome)
    elif isinstance(command, PlaceOco):
        _place_pair(door, command, outcome)
    else:
        _ask(door, command, command.requests[0], outcome, outcome.set_result)
    return outcome


def _ask(
    door: Door, command: Write, request: Request, outcome: "Future[Answer]", told: Told
) -> None:
    """Hand one request over; `told` gets its answer, or `outcome` what went wrong."""

    def answered(asked: "Future[OrderResponse]") -> None:
        try:
            told(answer_to(command, _latest(door, asked.result())))
        except Exception as error:  # a future swallows what its callbacks raise
            if not outcome.done():
                outcome.set_exception(error)

    door.submit(request).add_done_callback(answered)


def _latest(door: Door, response: OrderResponse) -> OrderResponse:
    """A repeat is told what its id was told first; if that was to wait: what came of it."""
    if response.type is not ResponseType.ORDER_STATUS or response.reason or not response.text:
        return response
    rows = door.store.find_rows(response.account, response.client_order_id)
    asked = next((r[3] for r in rows if r[3] and r[5] == response.client_order_id), 0)
    came = [r for r in rows if r[3] == asked or (r[8] == REJECTED and not r[3])]
    row = response.row
    return door.publisher.response((*row[:16], came[-1][16] if came else "", *row[17:]))


# --- several requests, one answer ---


def _place_batch(
    door: Door, commands: Sequence[PlaceOrder | CancelOrder], outcome: "Future[Answer]"
) -> None:
    """All of them at once, without waiting for one another."""
    answers: dict[int, OrderPlaced | OrderCanceled | Error] = {}
    lock = threading.Lock()  # what is refused at the door is told on the caller's thread

    def at_place(place: int) -> Told:
        def told(answer: Answer) -> None:
            assert isinstance(answer, OrderPlaced | OrderCanceled | Error)
            with lock:
                answers[place] = answer
                complete = len(answers) == len(commands)
            if complete:
                outcome.set_result(Batch(answers=tuple(answers[n] for n in sorted(answers))))

        return told

    for place, command in enumerate(commands):
        _ask(door, command, command.requests[0], outcome, at_place(place))


def _place_pair(door: Door, command: PlaceOco, outcome: "Future[Answer]") -> None:
    """The stop; once it stands the limit order; if that is refused, the stop goes again.

    One after the other: if the stop is refused because its id is another order's, the limit
    order must not become that one's partner.
    """
    stop_request, limit_request, undo = command.requests

    def stop_told(stop: Answer) -> None:
        if isinstance(stop, OrderPlaced):
            _ask(door, command.limit, limit_request, outcome, lambda limit: limit_told(stop, limit))
        else:
            outcome.set_result(stop)

    def limit_told(stop: OrderPlaced, limit: Answer) -> None:
        assert isinstance(limit, OrderPlaced | Error)
        if isinstance(limit, OrderPlaced) and not limit.filled:
            outcome.set_result(OcoPlaced(stop=stop, limit=limit))
            return
        stop = _now(door, stop)
        if isinstance(limit, OrderPlaced) or stop.filled:
            outcome.set_result(OcoPlaced(stop=stop, limit=limit))
        elif stop.status is OrderState.CANCELED:  # before, if this is a repeat
            outcome.set_result(limit)
        elif stop.status not in UNTRIGGERED or limit.code == RejectReason.OCO_INVALID:
            outcome.set_result(OcoPlaced(stop=stop, limit=limit))
        else:
            cancel = CancelOrder(
                account=command.account, client_order_id=command.client_order_id,
                orig_client_order_id=stop.client_order_id,
            )  # fmt: skip
            _ask(door, cancel, undo, outcome, lambda undone: undo_told(stop, limit, undone))

    def undo_told(stop: OrderPlaced, limit: Error, undone: Answer) -> None:
        gone = isinstance(undone, OrderCanceled) and undone.success
        outcome.set_result(limit if gone else OcoPlaced(stop=_now(door, stop), limit=limit))

    _ask(door, command.stop, stop_request, outcome, stop_told)


def _now(door: Door, placed: OrderPlaced) -> OrderPlaced:
    """The same order as it stands by now."""
    response = door.get_order(placed.account, placed.client_order_id)
    if response is None:
        return placed
    now = status_of(response, placed.client_order_id)
    return replace(
        placed, status=now.status, filled=now.filled, leaves=now.leaves, notional=now.notional,
        text=now.text,
    )  # fmt: skip


# --- questions ---


def _read(door: Door, command: Read) -> Answer:
    if isinstance(command, GetDepth):
        return _depth(door, command)
    if isinstance(command, GetBalance):
        return _balance(door, command.account)
    if isinstance(command, GetOpenOrders):
        return _open_orders(door, command)
    return _order(door, command)


def _depth(door: Door, command: GetDepth) -> Answer:
    try:
        sides = door.get_depth(command.symbol, command.levels)
    except ValidationError as error:
        return Error.of(RejectReason.SYMBOL_UNKNOWN, f"{RejectReason.SYMBOL_UNKNOWN}: {error}")
    known = next(each for each in door.config.instruments if each.symbol == command.symbol)
    bids, asks = (
        tuple(
            PriceLevel(
                to_text(ticks, known.price_scale), to_text(lots, known.quantity_scale), ticks, lots
            )
            for ticks, lots in side
        )
        for side in sides
    )
    return OrderBookDepth(symbol=command.symbol, bids=bids, asks=asks)


def _balance(door: Door, account: str) -> Answer:
    if not door.config.exchange.ledger:
        return Error.of(RejectReason.LEDGER_OFF)
    ledger = door.dispatcher.desk.ledger
    balances = door.balances(account)
    if not balances and account not in ledger.accounts:
        return Error.of(
            RejectReason.ACCOUNT_UNKNOWN, f"{RejectReason.ACCOUNT_UNKNOWN}: account={account}"
        )
    exact = {
        asset: Balance(*(to_decimal(units, ledger.scales[asset]) for units in both))
        for asset, both in balances.items()
    }
    return AccountBalance(account=account, balances=exact)


def _order(door: Door, command: GetOrder) -> Answer:
    response = door.get_order(command.account, command.client_order_id)
    if response is None:
        reason = RejectReason.UNKNOWN_ORDER
        return Error.of(reason, f"{reason}: id={command.client_order_id}")
    return status_of(response, _name(door, response) or command.client_order_id)


def _name(door: Door, response: OrderResponse) -> str:
    """What an open order is called since the last change of it; "" if it is over."""
    order = door.dispatcher.desk.blotter.orders.get(response.order_id)
    return order.client_order_id if order is not None else ""


def _open_orders(door: Door, command: GetOpenOrders) -> Answer:
    return OpenOrders(
        orders=tuple(
            status_of(response, _name(door, response) or response.client_order_id)
            for response in door.open_orders(command.account)
            if command.symbol in ("", response.symbol)
        )
    )
