"""The order desk against a plain twin, with any requests, sends, session and link changes.

And what must hold whatever comes: quantities add up, one end for each order, one answer for each
request in its turn, no step back; and the journal alone gives the same state and reports.
"""

from collections import Counter

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule

from oms import EmbeddedVenue
from oms.desk import snapshot
from oms.enums import OrderState, ResponseType
from oms.requests import codec
from oms.turn.journal import Fold
from tests import turns as ask
from tests.examples import many
from tests.reference_desk import ReferenceDesk
from tests.turns import Turns

RANKS = {OrderState.PENDING_NEW: 0, OrderState.NEW: 1, OrderState.PARTIALLY_FILLED: 2}
FINAL = ("FILLED", "CANCELED", "EXPIRED", "REJECTED")
ENDS = (ResponseType.CANCELED, ResponseType.EXPIRED, ResponseType.REJECTED)

news = st.tuples(
    st.just("new"), st.sampled_from(["BUY", "SELL"]), st.integers(1, 6),
    st.sampled_from([0, 99, 100, 100, 101, 102]),
    st.sampled_from(["GTC", "GTC", "DAY", "IOC", "FOK"]), st.booleans(),
)  # fmt: skip
modifies = st.tuples(
    st.just("modify"), st.integers(0, 99), st.sampled_from([0, 99, 100, 101]), st.integers(0, 7)
)
cancels = st.tuples(st.just("cancel"), st.integers(0, 99))
sessions = st.tuples(
    st.just("session"), st.sampled_from(["OPEN", "OPEN", "PAUSE", "CLOSE", "DATE"])
)
links = st.tuples(st.just("link"), st.booleans())
processes = st.tuples(st.sampled_from(["start", "stop"]))
requests = st.one_of(news, news, news, modifies, cancels)
sends = st.integers(0, 4)


class DeskMachine(RuleBasedStateMachine):
    """The desk, and lists that do the same."""

    make_turns = Turns

    @initialize(hold=st.booleans(), waiting_max=st.integers(2, 8))
    def begin(self, hold, waiting_max):
        self.turns = self.make_turns(hold=hold, waiting_max=waiting_max)
        self.plain = ReferenceDesk(hold, waiting_max)
        self.plain.open = self.plain.linked = True
        self.count = 0
        self.ranks, self.filled, self.ended = {}, Counter(), Counter()
        self.final_answers, self.changes = Counter(), set()

    @rule(wishes=st.lists(requests, min_size=1, max_size=5), send=sends)
    def requests_come(self, wishes, send):
        self.turn([self.line(*wish) for wish in wishes], send)

    @rule(change=sessions | links, wishes=st.lists(news, max_size=2), send=sends)
    def market_or_link_changes(self, change, wishes, send):
        self.turn([self.line(*change), *(self.line(*wish) for wish in wishes)], send)

    @rule(what=processes)
    def process_starts_or_stops(self, what):
        self.turn([self.line(*what)], 0)

    @rule(send=sends)
    def time_passes(self, send):
        self.turn([], send)

    def line(self, kind, *terms):
        """Journal lines are decided one by one: a change names an order that is open then."""
        return lambda: getattr(self, f"_{kind}")(*terms)

    def _new(self, side, lots, price, tif, hold):
        return ask.new(self.next_name(), side, lots, price, tif=tif, hold=hold)

    def _modify(self, pick, price, lots):
        order = self.pick(pick)
        if order is None:
            return self._link(True)
        price = 0 if order.market else price
        lots = lots or (0 if price else 1)
        names = order.all_names()
        name = names[pick % len(names)]
        return ask.modify(self.next_name(), name, price=price, lots=lots)

    def _cancel(self, pick):
        order = self.pick(pick)
        return ask.cancel(self.next_name(), order.all_names()[-1]) if order else self._link(True)

    def _session(self, change):
        return ask.session(change)[0]

    def _link(self, up):
        return ask.link(up)

    def _start(self):
        return (codec.START, self.turns.desk.settings)

    def _stop(self):
        return (codec.STOP,)

    def pick(self, number):
        orders = [order for order in self.plain.orders if not order.over]
        return orders[number % len(orders)] if orders else None

    def next_name(self):
        self.count += 1
        return f"#{self.count}"

    def turn(self, wishes, send):
        """The same turn for both; then they must agree."""
        seq = self.turns.fold.last_seq + 1
        turn, left = [], send
        for number, wish in enumerate(wishes, seq):
            turn.append(wish())
            self.plain.enter(number, turn[-1])
            left -= self.plain.send(left)
        if not turn:
            self.plain.send(left)
        before = len(self.turns.reports)
        self.turns.turn(*turn, send=send)
        reports = self.turns.reports[before:]
        self.check_answers(turn, seq, reports)
        self.check_reports(reports)
        self.check_same()

    def check_answers(self, turn, first_seq, reports):
        """Each request has an answer in its turn; a change gets one final answer, no more."""
        answered = {report.request_seq for report in reports}
        for seq, line in enumerate(turn, first_seq):
            if line[0] in (codec.NEW, codec.MODIFY, codec.CANCEL):
                assert seq in answered
            if line[0] in (codec.MODIFY, codec.CANCEL):
                self.changes.add(seq)
        for report in reports:
            seq = report.request_seq
            if seq in self.changes and not report.type.startswith("PENDING"):
                self.final_answers[seq] += 1
                assert self.final_answers[seq] == 1

    def check_reports(self, reports):
        """No fill is taken back; nothing but refused changes is told of an order that ended."""
        for report in reports:
            order_id, type_, left = report.order_id, report.type, report.leaves_lots
            assert report.cumulative_lots >= self.filled[order_id]
            self.filled[order_id] = report.cumulative_lots
            if self.ended[order_id]:
                assert type_ == ResponseType.CANCEL_REJECTED and left == 0
            elif type_ in ENDS or (left == 0 and type_ != ResponseType.CANCEL_REJECTED):
                self.ended[order_id] += 1
                assert left == 0
            assert (report.state in FINAL) <= (left == 0)

    def check_same(self):
        """Each order stands as its twin does; waiting and resting in the same order."""
        desk, plain = self.turns.desk, self.plain
        book = desk.engine.markets["X"].book
        book.check()
        assert [order.order_id for order in book.orders()] == plain.book.priority()
        assert [r.request_seq for r in desk.queue.waiting()] == [
            r.seq for r in plain.urgent + plain.waiting
        ]
        still_open = [order for order in plain.orders if not order.over]
        assert list(desk.executions.orders) == [order.seq for order in still_open]
        names = {name for order in still_open for name in order.all_names()}
        assert {account: set(ids) for account, ids in desk.executions.by_client_id.items()} == (
            {"me": names} if names else {}
        )
        for twin in still_open:
            order = desk.executions.orders[twin.seq]
            self.check_order(order, twin)
        for twin in plain.orders:
            assert twin.over == bool(self.ended[twin.seq])
            assert self.filled[twin.seq] == twin.filled

    def check_order(self, order, twin):
        assert order.cumulative_lots + order.leaves_lots == order.quantity_lots
        assert (order.price_ticks, order.quantity_lots) == (twin.price, twin.lots)
        assert (order.cumulative_lots, order.leaves_lots) == (twin.filled, twin.left)
        assert [c.request_seq for c in order.changes or ()] == [c.seq for c in twin.changes]
        waits = order.order_id in self.turns.desk.queue
        assert (order.level is None) == waits
        assert (order.state is OrderState.PENDING_NEW) == waits
        assert RANKS[order.state] >= self.ranks.get(order.order_id, 0)
        self.ranks[order.order_id] = RANKS[order.state]

    def teardown(self):
        """P3: the journal alone gives the same; so does the state, written out and read back."""
        if not hasattr(self, "turns"):
            return
        refolded = self.turns.refold()
        assert refolded.reports == self.turns.reports
        assert refolded.fold.digest() == self.turns.fold.digest()
        state = self.turns.fold.state()
        loaded = Fold(EmbeddedVenue())
        snapshot.load(loaded.desk, state)
        assert snapshot.dump(loaded.desk, self.turns.fold.last_seq) == state


TestDesk = DeskMachine.TestCase
TestDesk.settings = settings(max_examples=many(150), stateful_step_count=30)
