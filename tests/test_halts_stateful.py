"""Did anything halted trade? Did any position grow in size while it might only be reduced? Does
anything wait, though it may trade?

Operators halt, reduce and release accounts, symbols and everybody at any instant: between orders,
in calls, at night, while orders wait. What they said is kept here in three small dicts, positions
are added up from the reports, and each trade is held against both. Each order that was set aside
is asked of after each line, by counting what else of its account rests.
"""

from collections import Counter

from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from oms import EmbeddedVenue
from oms.desk import snapshot
from oms.desk.settings import settings_of
from oms.enums import Phase
from oms.requests import codec
from oms.turn.journal import Fold, state_mistakes
from tests.examples import many
from tests.fakes import INSTRUMENTS
from tests.turns import EVERYTHING, Turns

ACCOUNTS = ("a", "b", "c")
HOW = ("", "", "", "display", "post", "IOC", "DAY", "GTD", "market", "budget")
PHASES = ("CONTINUOUS", "CONTINUOUS", "CONTINUOUS", "HALTED", "OPENING_AUCTION")
WHERE = [("ALL", ""), *(("ACCOUNT", a) for a in ACCOUNTS), ("SYMBOL", "X"), ("SYMBOL", "ALL")]

accounts, symbols = st.sampled_from(ACCOUNTS), st.sampled_from(["X", "X", "X", "ALL"])
sides, prices = st.sampled_from(["BUY", "SELL"]), st.integers(99, 101)
lots = st.integers(1, 6)
permits = st.sampled_from([EVERYTHING, EVERYTHING, 1, 0])


class HaltsMachine(RuleBasedStateMachine):
    """The desk with its exchange, and who may trade as it was said."""

    @initialize(on_halt=st.sampled_from(["suspend", "suspend", "cancel"]), mode=st.booleans())
    def begin(self, on_halt, mode):
        exchange = {"on_halt": on_halt, "self_trade": "cancel_oldest" if mode else "none"}
        self.turns = Turns()
        start = settings_of(
            INSTRUMENTS, hold_when_closed=False, waiting_max=1_000, remote=False, exchange=exchange
        )
        self.turns.turn((codec.START, start), (codec.LINK, "UP", ""))
        self.said = {}  # (scope, target) -> what an operator said, but ACTIVE
        self.stopped = set()  # symbols
        self.positions = Counter()
        self.count, self.whole, self.open, self.clock = 0, True, True, 0
        for side, account in (("BUY", "a"), ("SELL", "b")):  # something to reduce
            self.new(account, "X", side, "LIMIT", "GTC", 100, 6, None, EVERYTHING)

    # --- what may come ---

    @rule(
        account=accounts, symbol=symbols, side=sides, price=prices, lots=lots, send=permits,
        hold=st.booleans(), how=st.sampled_from(HOW),
    )  # fmt: skip
    def order(self, account, symbol, side, price, lots, send, hold, how):
        self.clock += 1
        terms = {
            "display": {"display": 1}, "post": {"post": "SLIDE"}, "GTD": {"expire": self.clock},
            "budget": {"budget": price * lots},
        }.get(how)  # fmt: skip
        at_market = how in ("market", "budget")
        kind, tif = ("MARKET", "IOC") if at_market else ("LIMIT", "GTC")
        tif = how if how in ("IOC", "DAY", "GTD") else tif
        side, lots = ("BUY", 0) if how == "budget" else (side, lots)
        self.new(account, symbol, side, kind, tif, 0 if at_market else price, lots, terms, send,
                 hold)  # fmt: skip

    @rule(
        account=accounts, symbol=symbols, side=sides, stop=prices, price=prices, lots=lots,
        pair=st.sampled_from([False, False, True]), limit=st.booleans(), send=permits,
    )  # fmt: skip
    def stop(self, account, symbol, side, stop, price, lots, pair, limit, send):
        kind = "STOP_LIMIT" if limit else "STOP"
        price_of_stop = price if limit else 0
        name = self.new(
            account, symbol, side, kind, "GTC", price_of_stop, lots, {"stop": stop}, send
        )
        if pair:
            self.new(account, symbol, side, "LIMIT", "GTC", price, lots, {"oco": name}, send)

    @rule(pick=st.integers(0, 99), price=prices, lots=st.integers(0, 8), send=permits)
    def modify(self, pick, price, lots, send):
        order = self.pick(pick)
        if order is not None:
            price = price if order.price_ticks else 0
            line = (codec.MODIFY, order.account, self.name(), order.client_order_id, price, lots)
            self.turn(*line, "", send=send)

    @rule(pick=st.integers(0, 99))
    def cancel(self, pick):
        order = self.pick(pick)
        if order is not None:
            self.turn(codec.CANCEL, order.account, self.name(), order.client_order_id, "")

    @rule(
        account=accounts, side=sides, lots=lots, near=st.integers(0, 2), send=permits,
        other=st.booleans(),
    )  # fmt: skip
    def quote(self, account, side, lots, near, send, other):
        """An order that rests, most often; and one of another account that meets it."""
        price = 100 - near if side == "BUY" else 100 + near
        self.new(account, "X", side, "LIMIT", "GTC", price, lots, None, send, hold=True)
        if other:
            opposite = "SELL" if side == "BUY" else "BUY"
            account = ACCOUNTS[ACCOUNTS.index(account) - 1]
            self.new(account, "X", opposite, "LIMIT", "GTC", price, 7 - lots, None, send)

    @rule(where=st.sampled_from(WHERE), state=st.sampled_from(["HALTED", "REDUCING"]))
    def restrain(self, where, state):
        self.trading(where, state)

    @rule(pick=st.integers(0, 9))
    def release(self, pick):
        said = [*self.said, *(("SYMBOL", symbol) for symbol in sorted(self.stopped))]
        if said:
            self.trading(said[pick % len(said)], "ACTIVE")

    def trading(self, where, state):
        scope, target = where
        if scope == "SYMBOL":
            (self.stopped.add if state == "HALTED" else self.stopped.discard)(target)
        if state == "ACTIVE":
            self.said.pop(where, None)
        elif scope != "SYMBOL" or state != "HALTED":
            self.said[where] = state
        self.operate("SET_TRADING", scope, target, state)

    @rule(symbol=symbols, what=st.sampled_from(["go", "go", *PHASES, "night"]), send=permits)
    def market(self, symbol, what, send):
        """What waits may go, and some orders' time has come; or a phase, as an operator sets it;
        or the session ends, or begins."""
        if what == "go":
            self.turn(codec.GOOD_TILL, self.clock - 3, send=send)
        elif what == "night" or not self.open:
            self.open = not self.open
            self.turn(codec.SESSION, "OPEN" if self.open else "CLOSE", "2024-03-04")
        else:
            (self.stopped.add if what == "HALTED" else self.stopped.discard)(symbol)
            self.operate("SET_PHASE", "SYMBOL", symbol, what)

    def new(self, account, symbol, side, kind, tif, price, lots, terms, send, hold=False):
        name = self.name()
        line = (codec.NEW, account, name, symbol, side, kind, tif, price, lots, int(hold), "")
        self.turn(*line, *([terms] if terms else []), send=send)
        return name

    def operate(self, action, scope, target, value):
        self.turn(codec.OPERATOR, "operator", self.name(), action, scope, target, "", value, "")

    def name(self):
        self.count += 1
        return f"#{self.count}"

    def pick(self, number):
        orders = list(self.turns.desk.executions.orders.values())
        order = orders[number % len(orders)] if orders else None
        return None if order is None or order.cancel_pending else order

    # --- the question ---

    def turn(self, *line, send=EVERYTHING):
        """One line in a turn of its own; each of its trades is looked at."""
        self.whole = False
        before, held = len(self.turns.reports), dict(self.positions)
        self.turns.turn(line, send=send)
        for report in self.turns.reports[before:]:
            if report.type == "TRADE":
                self.look_at(report)
        self.none_grew(held)
        self.whole = True

    def none_grew(self, before):
        """Did any position grow in size, or change its side, while it might only be reduced?"""
        now = self.turns.desk.executions.positions
        assert now == {key: lots for key, lots in self.positions.items() if lots}
        for (account, symbol), lots in now.items():
            if "REDUCING" in self.states(account, symbol):
                was = before.get((account, symbol), 0)
                assert abs(lots) <= abs(was) and lots * was > 0, (account, symbol, was, lots)

    def states(self, account, symbol):
        where = (("ALL", ""), ("ACCOUNT", account), ("SYMBOL", symbol))
        return {self.said.get(each) for each in where}

    def look_at(self, report):
        account, symbol = report.account, report.symbol
        assert symbol not in self.stopped, report
        states = self.states(account, symbol)
        assert "HALTED" not in states, report
        sign = 1 if report.side == "BUY" else -1
        before = self.positions[account, symbol]
        self.positions[account, symbol] += sign * report.last_quantity_lots
        if "REDUCING" in states:
            low, high = sorted((0, before))
            now = self.positions[account, symbol]
            assert low <= now <= high and now != before, (report, before)

    # --- what must hold ---

    @invariant()
    def sound(self):
        if not hasattr(self, "turns"):
            return
        assert state_mistakes(self.turns.fold) == []
        desk = self.turns.desk
        for symbol, market in desk.engine.markets.items():
            gathers = market.phase not in (Phase.CONTINUOUS, Phase.CLOSED)
            market.book.check(crossed=gathers)
            market.stops.check()
            inside = {order.order_id for order in market.book.orders()}
            assert not inside & market.aside.keys()
            for order in market.book.orders():
                assert not self.halted(order.account, symbol)
            for order in market.aside.values():
                assert order.state.value == "SUSPENDED"
                night = market.phase is Phase.CLOSED  # when it would cross the book
                reducing = "REDUCING" in self.said.values()
                assert self.halted(order.account, symbol) or reducing or night
            self.all_that_may_act_does(symbol, market)
            left = [o for o in desk.executions.orders.values() if o.instrument.symbol == symbol]
            there = inside | market.aside.keys() | market.stops.orders.keys()
            assert all(o.order_id in there or o.order_id in desk.queue for o in left)

        short = {
            (order.account, symbol, order.order_id)
            for symbol, market in desk.engine.markets.items()
            for order in market.aside.values()
            if "REDUCING" in self.states(order.account, symbol)
        }
        kept = desk.executions.short_of_room
        assert {(*key, order_id) for key, orders in kept.items() for order_id in orders} == short
        assert desk.executions.room_freed == {}

    def all_that_may_act_does(self, symbol, market):
        """What rests of who may only reduce is never more than that; and what waits has no room."""
        resting = [*market.book.orders(), *market.gathered.values()]
        room = Counter()
        for account in ACCOUNTS:
            held = self.positions[account, symbol]
            room[account, "BUY"], room[account, "SELL"] = max(0, -held), max(0, held)
        for order in resting:
            room[order.account, order.side.value] -= order.leaves_lots
        for (account, side), lots in room.items():
            assert lots >= 0 or "REDUCING" not in self.states(account, symbol), (account, side)
        for order in market.aside.values():
            partner = order.terms.partner_id if order.terms is not None else 0
            beside = sum(each.leaves_lots for each in resting if each.order_id == partner)
            left = room[order.account, order.side.value] + beside
            night = market.phase is Phase.CLOSED  # what would cross the book waits for the open
            assert self.halted(order.account, symbol) or night or order.leaves_lots > left, order

    def halted(self, account, symbol):
        said = (self.said.get(("ALL", "")), self.said.get(("ACCOUNT", account)))
        return symbol in self.stopped or "HALTED" in said

    def teardown(self):
        """The journal alone gives the same state, and so does a snapshot."""
        if not hasattr(self, "turns") or not self.whole:
            return
        assert self.turns.refold().fold.digest() == self.turns.fold.digest()
        state = self.turns.fold.state()
        loaded = Fold(EmbeddedVenue())
        snapshot.load(loaded.desk, state)
        assert snapshot.dump(loaded.desk, self.turns.fold.last_seq) == state


TestHalts = HaltsMachine.TestCase
TestHalts.settings = hypothesis_settings(max_examples=many(100), stateful_step_count=60)
