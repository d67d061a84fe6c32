"""The desk's state as plain data: for snapshots, digests, and nothing else."""

import hashlib
import json
from typing import Any

from oms.desk.order_desk import OrderDesk
from oms.desk.settings import fields_of, instrument_of
from oms.exchange.market import Market
from oms.exchange.matching import MatchingEngine
from oms.messages import OrderState, OrderType, Phase, Side, TimeInForce
from oms.orders import Change, Order, Terms

TERMS = Terms.__slots__
MARKET_STATE = (
    "last_ticks", "halted", "until_ns", "limit_state", "rolling_ticks", "rolling_ns",
)  # fmt: skip


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
        "phase": engine.phases.session.value if engine else "",
        # In the order they were first listed, which is the order in which things happen to
        # all of them; and those no longer listed too: they may be again, as they were.
        "markets": [_dump_market(market) for market in (engine.markets if engine else {}).values()],
        "ledger": desk.ledger.dump(),
        "risk": desk.risk.dump(),
        "account_settings": desk.account_settings,
        "money_terms": {symbol: list(terms) for symbol, terms in desk.money_terms.items()},
        "positions": sorted([*key, lots] for key, lots in desk.blotter.positions.items()),
        "execution_ids": {str(k): sorted(v) for k, v in desk.executions.execution_ids.items()},
    }


def load(desk: OrderDesk, engine: MatchingEngine | None, state: dict[str, Any]) -> None:
    """Fill an empty desk and engine with a dumped state."""
    for fields in state["markets"]:
        assert engine is not None
        engine.list_instruments([instrument_of(fields["instrument"])])
    desk.ledger.load(state["ledger"])
    desk.account_settings = state["account_settings"]
    desk.money_terms = {s: (terms, seq) for s, (terms, seq) in state["money_terms"].items()}
    if state["settings"]:  # after what an operator set: that goes before it
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
    for fields in state["markets"]:
        assert engine is not None
        market = engine.markets[fields["instrument"]["symbol"]]
        _load_market(market, fields, desk.blotter.orders)
    if engine is not None:
        engine.phases.session = Phase(state["phase"])
    desk.blotter.positions.update({(a, s): lots for a, s, lots in state["positions"]})
    desk.risk.load(state["risk"], desk.blotter.orders.values())
    desk.expiries = sorted(
        (order.terms.expire_ns, order.order_id)
        for order in desk.blotter.orders.values()
        if order.terms is not None and order.terms.expire_ns
    )
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
            [
                c.request_seq, c.client_order_id, c.is_cancel, c.price_ticks, c.quantity_lots,
                c.stop_ticks, c.display_lots,
            ]
            for c in order.changes or ()
        ],
        order.reserved, order.fees,
        [getattr(order.terms, name) for name in TERMS] if order.terms is not None else None,
    ]  # fmt: skip


def _dump_market(market: Market) -> dict[str, Any]:
    book = market.book
    return {
        "instrument": fields_of(market.instrument),
        "entry": book.order_ids(),
        "priority": book.priority(),
        "hidden": [[id, book.shown_lots(id), *hidden] for id, hidden in book.hidden.items()],
        "stops": market.stops.entries(),
        "phase": market.phase.value,
        "state": [getattr(market, name) for name in MARKET_STATE],
    }


def _load_market(market: Market, fields: dict[str, Any], orders: dict[int, Order]) -> None:
    """The same book: entered in the order of entering, then in each level's own order."""
    book, hidden = market.book, {id: rest for id, *rest in fields["hidden"]}
    for order_id in fields["entry"]:
        order = orders[order_id]
        shown = hidden[order_id][0] if order_id in hidden else order.left_lots
        book.add_order(order_id, order.side, order.price_ticks, shown, False)
    book.hidden = {id: (rest[1], rest[2]) for id, rest in hidden.items()}
    book.restore_priority(fields["priority"])
    for order_id, stop_ticks in fields["stops"]:
        market.stops.add(order_id, orders[order_id].side, stop_ticks)
    market.phase = Phase(fields["phase"])
    for name, value in zip(MARKET_STATE, fields["state"], strict=True):
        setattr(market, name, value)
    assert book.priority() == fields["priority"], "a snapshot's book is out of order"


def _load_order(desk: OrderDesk, fields: list[Any]) -> Order:
    (
        order_id, account, client_id, client_ids, symbol, side, kind, tif, price, quantity,
        state, filled, left, notional, unknown, changes, reserved, fees, terms,
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
    order.reserved = reserved
    order.fees = (fees[0], fees[1])
    order.terms = Terms(**dict(zip(TERMS, terms, strict=True))) if terms is not None else None
    order.told = True
    desk.blotter.add(order)
    for seq, change_client_id, is_cancel, change_price, lots, stop, display in changes:
        change = Change(
            seq, change_client_id, order, is_cancel, change_price, lots, 0, 0, stop, display
        )
        change.waiting = False
        desk.blotter.pend(change)
    for earlier in client_ids or ():
        desk.blotter.by_client_id[account, earlier] = order
    return order
