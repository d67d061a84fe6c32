"""The desk's state as plain data: for snapshots, digests, and nothing else."""

import hashlib
import json
from typing import Any

from oms.desk.order_desk import OrderDesk
from oms.exchange.matching import MatchingEngine
from oms.messages import OrderState, OrderType, Side, TimeInForce
from oms.orders import Change, Order


def dump(desk: OrderDesk, engine: MatchingEngine | None, last_seq: int) -> dict[str, Any]:
    """Everything a replay from here needs, and everything two equal states agree on."""
    blotter = desk.blotter
    return {
        "last_seq": last_seq,
        "settings": desk.settings,
        "is_open": desk.is_open,
        "trading_date": desk.trading_date,
        "link_up": desk.link_up,
        "orders": [_dump_order(order) for order in blotter.orders.values()],
        "waiting": [request.request_seq for request in desk.queue.waiting()],
        "books": {
            symbol: {"entry": book.order_ids(), "priority": book.priority()}
            for symbol, book in (engine.books if engine else {}).items()
            if len(book)  # an empty one may be of an instrument that is no longer listed
        },
        "execution_ids": {str(k): sorted(v) for k, v in desk.executions.execution_ids.items()},
    }


def load(desk: OrderDesk, engine: MatchingEngine | None, state: dict[str, Any]) -> None:
    """Fill an empty desk and engine with a dumped state."""
    if state["settings"]:
        desk.configure(state["settings"])
    desk.is_open = state["is_open"]
    desk.trading_date = state["trading_date"]
    desk.link_up = state["link_up"]
    by_seq: dict[int, Order | Change] = {}
    for fields in state["orders"]:
        order = _load_order(desk, fields)
        by_seq[order.order_id] = order
        by_seq.update({change.request_seq: change for change in order.changes or ()})
    size_max = desk.queue.size_max  # it may be lower now than when these came
    desk.queue.size_max = max(size_max, len(state["waiting"]))
    for seq in state["waiting"]:
        request = by_seq[seq]
        if isinstance(request, Change):
            request.waiting = True
            desk.queue.add_order(seq, request, urgent=request.is_cancel)
        else:
            desk.queue.add_order(seq, request)
    desk.queue.size_max = size_max
    for symbol, book in state["books"].items():
        assert engine is not None
        for order_id in book["entry"]:
            order = desk.blotter.orders[order_id]
            fills = engine.books[symbol].add_order(
                order_id, order.side, order.price_ticks, order.left_lots
            )
            assert not fills, "a snapshot's book is crossed"
    desk.executions.execution_ids = {int(k): set(v) for k, v in state["execution_ids"].items()}


def digest(state: dict[str, Any]) -> str:
    """SHA-256 of the canonical JSON of a dumped state."""
    text = json.dumps(state, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def _dump_order(order: Order) -> list[Any]:
    return [
        order.order_id, order.account, order.client_order_id, order.client_order_ids,
        order.instrument.symbol, order.side.value, order.order_type.value,
        order.time_in_force.value, order.price_ticks, order.quantity_lots,
        order.state.value, order.cumulative_lots, order.left_lots, str(order.notional),
        order.unknown,
        [
            [c.request_seq, c.client_order_id, c.is_cancel, c.price_ticks, c.quantity_lots]
            for c in order.changes or ()
        ],
    ]  # fmt: skip


def _load_order(desk: OrderDesk, fields: list[Any]) -> Order:
    (
        order_id, account, client_id, client_ids, symbol, side, kind, tif, price, quantity,
        state, filled, left, notional, unknown, changes,
    ) = fields  # fmt: skip
    order = Order(
        order_id, account, client_id, desk.instruments[symbol], Side(side), OrderType(kind),
        TimeInForce(tif), price, quantity,
    )  # fmt: skip
    order.client_order_ids = client_ids
    order.state = OrderState(state)
    order.cumulative_lots = filled
    order.left_lots = left
    order.notional = int(notional)
    order.unknown = unknown
    order.told = True
    desk.blotter.add(order)
    for seq, change_client_id, is_cancel, change_price, lots in changes:
        change = Change(seq, change_client_id, order, is_cancel, change_price, lots)
        change.waiting = False
        desk.blotter.pend(change)
    for earlier in client_ids or ():
        desk.blotter.by_client_id[account, earlier] = order
    return order
