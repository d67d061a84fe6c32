"""The desk's state as plain data: for digests, and for snapshots, which are made in slices.

A snapshot of 50,000 open orders would stop the desk for 150 ms. So it is made while the desk goes
on: orders are dumped some hundreds at a time between turns; what a turn touches is dumped again
later; and when only a little is left of that, the last slice has it together with all that is not
about single orders. The result is the state as of that last slice.
"""

import hashlib
import json
from collections.abc import Collection, Iterable, Sequence
from typing import Any

from oms.desk.desk import Desk
from oms.desk.settings import fields_of, instrument_of
from oms.enums import OrderState, OrderType, Phase, Side, TimeInForce
from oms.exchange.market import Market
from oms.exchange.order import Change, Order, Terms

TERMS = tuple(name for name in Terms.__slots__ if name != "shown_lots")
MORE = ("carry", "fee_carry")  # of an order, where it is not 0
MARKET_STATE = (
    "last_ticks", "halted", "until_ns", "limit_state", "rolling_ticks", "rolling_ns", "matches",
)  # fmt: skip

SLICE_ORDERS = 300  # about a millisecond
LAST_ORDERS = 500  # so many may be touched and left for the last slice
ROUNDS_MAX = 4


def dump(desk: Desk, last_seq: int) -> dict[str, Any]:
    """Everything a replay from here needs, and everything two equal states agree on."""
    orders = [_dump_order(order) for order in desk.executions.orders.values()]
    return {**_dump_rest(desk, last_seq), "orders": orders}


def _dump_rest(desk: Desk, last_seq: int) -> dict[str, Any]:
    """The same, without the orders."""
    engine = desk.engine
    return {
        "last_seq": last_seq,
        "settings": desk.settings,
        "is_open": desk.is_open,
        "trading_date": desk.trading_date,
        "link_up": desk.link_up,
        "waiting": [request.request_seq for request in desk.queue.waiting()],
        **_some("held", list(desk.queue.held)),
        **_some("hold", [seq for seq, each in desk.queue.main.items() if _asked_to_wait(each)]),
        "phase": engine.phases.session.value if engine else "",
        # In the order they were first listed, which is the order in which things happen to
        # all of them; and those no longer listed too: they may be again, as they were.
        "markets": [_dump_market(market) for market in (engine.markets if engine else {}).values()],
        "ledger": desk.ledger.dump(),
        "risk": desk.risk.dump(),
        "account_settings": desk.account_settings,
        "money_terms": {symbol: list(terms) for symbol, terms in desk.money_terms.items()},
        "positions": sorted([*key, lots] for key, lots in desk.executions.positions.items()),
        **({"listings": desk.listings.changed} if desk.listings.changed else {}),
        **_some("unlisted", _unlisted(desk)),
        **_some("users", desk.access.dump()),
        "execution_ids": {str(k): sorted(v) for k, v in desk.venue_reports.execution_ids.items()},
        # Only where it is known: journals of older programs have the same state as before.
        **({"opens_ns": desk.opens_ns} if desk.opens_ns else {}),
    }


def _some(name: str, value: Any) -> dict[str, Any]:
    """What is written down only if there is any: a state without it is as older programs'."""
    return {name: value} if value else {}


def _unlisted(desk: Desk) -> list[dict[str, Any]]:
    """Instruments that are no longer traded, and of which somebody holds some; our own exchange
    has a market of each."""
    held = {symbol for _, symbol in desk.executions.positions} if desk.engine is None else set()
    unlisted = (held & desk.known.keys()) - desk.instruments.keys()
    return [fields_of(desk.known[symbol]) for symbol in sorted(unlisted)]


def _asked_to_wait(request: Order | Change) -> bool:
    """Is it a new order that a halt of its market may hold?"""
    return isinstance(request, Order) and request.hold


class Slices:
    """One snapshot on its way: `note` each turn, take `next_part` until it is "", then `last`.

    parts: of how many the round under way is: first all orders, then those touched meanwhile.
    """

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._left = list(desk.executions.orders)
        self._touched: set[int] = set()
        self._rounds = 1
        self.parts = self._parts()
        self._hash = hashlib.sha256()

    def _parts(self) -> int:
        return -(-len(self._left) // SLICE_ORDERS)

    def note(self, order_ids: Iterable[int]) -> None:
        """These orders are not as they were any more."""
        self._touched.update(order_ids)

    def next_part(self) -> str:
        """Some orders more, as JSON; "" when `last` has little enough to do."""
        if not self._left and len(self._touched) > LAST_ORDERS and self._rounds < ROUNDS_MAX:
            self._left, self._touched = list(self._touched), set()
            self._rounds += 1
            self.parts = self._parts()
        if not self._left:
            return ""
        taken, self._left = self._left[-SLICE_ORDERS:], self._left[:-SLICE_ORDERS]
        return self._hashed(self._orders(taken))

    def last(self, last_seq: int) -> str:
        """All the rest, as JSON behind a digest of all parts, this one included."""
        rest = {**_dump_rest(self._desk, last_seq), **self._orders([*self._left, *self._touched])}
        text = self._hashed(rest)
        return f"{self._hash.hexdigest()}\n{text}"

    def _orders(self, order_ids: list[int]) -> dict[str, Any]:
        """Those of these orders that are open, and those that are not."""
        orders = self._desk.executions.orders
        found, ended = list[list[Any]](), list[int]()
        for order_id in order_ids:
            order = orders.get(order_id)
            if order is None:
                ended.append(order_id)
                continue
            found.append(_dump_order(order))
            partner_id = order.terms.partner_id if order.terms is not None else 0
            if partner_id:  # money may have moved from one of the pair to the other
                found.append(_dump_order(orders[partner_id]))
        return {"orders": found, "ended": ended}

    def _hashed(self, part: dict[str, Any]) -> str:
        text = json.dumps(part, sort_keys=True, separators=(",", ":"))
        self._hash.update(text.encode())
        return text


def joined(parts: Sequence[str], last: str) -> dict[str, Any]:
    """The state that a snapshot's parts give; ValueError if they are not what was written."""
    promised, _, text = last.partition("\n")
    hashed, orders = hashlib.sha256(), dict[int, list[Any]]()
    state: dict[str, Any] = {}
    for part in (*parts, text):
        hashed.update(part.encode())
        state = json.loads(part)
        if not isinstance(state, dict):
            raise ValueError("a part is no object")
        for order_id in state.pop("ended"):
            orders.pop(order_id, None)
        orders.update((fields[0], fields) for fields in state["orders"])
    if hashed.hexdigest() != promised:
        raise ValueError("its digest does not match")
    return {**state, "orders": [orders[order_id] for order_id in sorted(orders)]}


def load(desk: Desk, state: dict[str, Any]) -> None:
    """Fill an empty desk with a dumped state."""
    engine = desk.engine
    for fields in state["markets"]:
        assert engine is not None
        engine.list_instruments([instrument_of(fields["instrument"])])
    unlisted = state.get("unlisted", [market["instrument"] for market in state["markets"]])
    desk.known = {fields["symbol"]: instrument_of(fields) for fields in unlisted}
    desk.ledger.load(state["ledger"])
    desk.account_settings = state["account_settings"]
    desk.listings.changed = state.get("listings", {})  # an older program had none
    desk.access.load(state.get("users", ()))
    desk.money_terms = {s: (terms, seq) for s, (terms, seq) in state["money_terms"].items()}
    if state["settings"]:  # after what an operator set: that goes before it
        desk.configured.configure(state["settings"])
    desk.is_open = state["is_open"]
    desk.trading_date = state["trading_date"]
    desk.opens_ns = state.get("opens_ns", 0)
    desk.link_up = state["link_up"]
    for fields in state["orders"]:
        _load_order(desk, fields)
    _load_waiting(desk, state["waiting"], state.get("held", ()))
    for order_id in (*state.get("held", ()), *state.get("hold", ())):
        desk.executions.orders[order_id].hold = True
    for fields in state["markets"]:
        assert engine is not None
        _load_market(engine.markets[fields["instrument"]["symbol"]], fields, desk)
    if engine is not None:
        engine.phases.session = Phase(state["phase"])
    desk.executions.positions.update({(a, s): lots for a, s, lots in state["positions"]})
    desk.risk.load(state["risk"], desk.executions.orders.values())
    if engine is not None:
        engine.halts.find_short()
    desk.expiries = sorted(
        (order.terms.expire_ns, order.order_id)
        for order in desk.executions.orders.values()
        if order.terms is not None and order.terms.expire_ns
    )
    desk.venue_reports.execution_ids = {int(k): set(v) for k, v in state["execution_ids"].items()}


def _load_waiting(desk: Desk, waiting: list[int], held: Collection[int]) -> None:
    by_seq: dict[int, Order | Change] = {}
    for order in desk.executions.orders.values():
        by_seq[order.order_id] = order
        by_seq.update({change.request_seq: change for change in order.changes or ()})
    size_max = desk.queue.size_max  # it may be lower now than when these came
    desk.queue.size_max = max(size_max, len(waiting))
    for seq in waiting:
        request = by_seq[seq]
        if isinstance(request, Change):
            request.waiting = True
            desk.queue.add_order(seq, request, urgent=request.is_cancel)
        elif seq in held:
            desk.queue.hold(seq, request)
        else:
            desk.queue.add_order(seq, request)
    desk.queue.size_max = size_max


def digest(state: dict[str, Any]) -> str:
    """SHA-256 of the canonical JSON of a dumped state."""
    text = json.dumps(state, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def _dump_order(order: Order) -> list[Any]:
    return [
        order.order_id, order.account, order.client_order_id, order.earlier_ids,
        order.instrument.symbol, order.side.value, order.order_type.value,
        order.time_in_force.value, order.price_ticks, order.quantity_lots,
        order.state.value, order.cumulative_lots, order.leaves_lots, str(order.notional),
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
        order.named_seq,
        # Where it rests: its place in the book and in its level, and what it shows of itself.
        [order.entered, order.placed, order.shown_lots]
        if order.level is not None or (order.placed and order.state is OrderState.SUSPENDED)
        else None,
        # What it is further, by name; older states have nothing of it.
        *([more] if (more := {name: v for name in MORE if (v := getattr(order, name))}) else ()),
    ]  # fmt: skip


def _dump_market(market: Market) -> dict[str, Any]:
    call = [
        [[order.order_id, order.entered] for order in market.gathered.values()],
        market.extra_ns, market.extended,
    ]  # fmt: skip
    return {
        **({"call": call} if any(call) else {}),
        "instrument": fields_of(market.instrument),
        "places": market.book.entries,
        "stops": market.stops.entries(),
        "phase": market.phase.value,
        "state": [getattr(market, name) for name in MARKET_STATE],
        **_some("aside", list(market.aside)),
        **_some("widened", market.widened),
        **_some("rolling_by", list(market.rolling_by)),
        **_some("taken_back", list(market.taken_back)),
    }


def _load_market(market: Market, fields: dict[str, Any], desk: Desk) -> None:
    """The same book: each order in its place."""
    book, orders, symbol = market.book, desk.executions.orders, market.instrument.symbol
    market.aside = {order_id: orders[order_id] for order_id in fields.get("aside", ())}
    market.widened = fields.get("widened", 0)
    market.rolling_by = fields.get("rolling_by", [])
    market.taken_back = fields.get("taken_back", [])
    book.restore(
        order
        for order in orders.values()
        if order.placed and order.instrument.symbol == symbol and order.order_id not in market.aside
    )
    book.entries = fields["places"]
    for order_id, stop_ticks in fields["stops"]:
        market.stops.add(order_id, orders[order_id].side, stop_ticks)
    gathered, market.extra_ns, market.extended = fields.get("call", ([], 0, False))
    for order_id, entered in gathered:
        market.gathered[order_id] = orders[order_id]
        orders[order_id].entered = entered
    market.phase = Phase(fields["phase"])
    for name, value in zip(MARKET_STATE, fields["state"], strict=True):
        setattr(market, name, value)


def _load_order(desk: Desk, fields: list[Any]) -> Order:
    (
        order_id, account, client_id, earlier_ids, symbol, side, kind, tif, price, quantity,
        state, filled, leaves, notional, unknown, changes, reserved, fees, terms,
        named_seq, rests, *more,
    ) = fields  # fmt: skip
    order = Order(
        order_id, account, client_id, desk.instruments[symbol], Side(side), OrderType(kind),
        TimeInForce(tif), price, quantity,
    )  # fmt: skip
    order.earlier_ids = earlier_ids
    order.named_seq = named_seq
    order.state = OrderState(state)
    order.cumulative_lots = filled
    order.leaves_lots = leaves
    order.notional = int(notional)
    order.unknown = unknown
    order.reserved = reserved
    order.fees = (fees[0], fees[1])
    order.terms = Terms(**dict(zip(TERMS, terms, strict=True))) if terms is not None else None
    order.told = True
    for name, value in more[0].items() if more else ():
        setattr(order, name, value)
    if rests is not None:
        order.entered, order.placed, shown_lots = rests
        if order.terms is not None:
            order.terms.shown_lots = shown_lots
    desk.executions.add(order)
    for seq, change_client_id, is_cancel, change_price, lots, stop, display in changes:
        change = Change(
            seq, change_client_id, order, is_cancel, change_price, lots, 0, 0, stop, display
        )
        change.waiting = False
        desk.executions.pend(change)
    for earlier in earlier_ids or ():
        desk.executions.by_client_id[account][earlier] = order
    return order
