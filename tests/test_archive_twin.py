"""An archived database against one that was never archived: no question tells them apart."""

from hypothesis import given, settings
from hypothesis import strategies as st

from oms import ManualClock, PersistentStorage
from oms.commands import folded
from oms.requests import OperatorAction, OperatorRequest
from oms.stores.archiving import archive, last_turn_before
from oms.turn.journal import Fold, differences
from oms.venues import EmbeddedVenue
from tests.examples import many
from tests.fakes import Stepped, buy, cancel, config_of, modify, sell

SECOND = 10**9
HOUR_NS = 3_600 * SECOND
names = st.integers(0, 40)
step = st.one_of(
    *[st.tuples(st.just("order"), st.booleans(), st.integers(98, 102), st.integers(1, 4))] * 3,
    st.tuples(st.just("cancel"), names),
    st.tuples(st.just("modify"), names, st.integers(98, 102)),
    st.tuples(st.just("repeat"), names, st.integers(1, 4)),
    st.tuples(st.just("bust"), names),
)
days = st.lists(
    st.tuples(st.lists(step, min_size=5, max_size=12), st.integers(0, 3)), min_size=2, max_size=4
)


class Twin:
    """One database, which is archived at restarts or not."""

    def __init__(self, path, *, archives):
        self.path, self.archives, self.clock = path, archives, ManualClock()
        self.count, self.orders, self.told = 0, [], []
        self.start()

    def start(self):
        self.store = PersistentStorage(self.path, durability="none")
        self.desk = Stepped(config_of(), store=self.store, clock=self.clock).start()

    def restart(self, hours):
        """What is older than that is archived in between, if this is the one."""
        self.desk.stop()
        if self.archives:
            with PersistentStorage(self.path, durability="none") as store:
                orders = folded(store).desk.executions.orders
                cut_seq = last_turn_before(store, self.clock.wall_ns() - hours * HOUR_NS)
                if cut_seq:
                    archive(store, cut_seq, orders)
        self.start()

    def do(self, step):
        kind, *said = step
        self.clock.advance(1_800)
        request = self.request(kind, *said)
        if request is not None:
            answer = self.desk.ask(request)
            self.told.append((answer.type, answer.state, answer.text, answer.order_id))

    def request(self, kind, *said):
        self.count += 1
        name = f"{kind}{self.count}"
        if kind == "order":
            is_buy, price, lots = said
            self.orders.append((name, is_buy, price))
            return (buy if is_buy else sell)(name, lots, price)
        if kind == "bust":
            trades = self.desk.oms.recent_trades("X")
            if not trades:
                return None
            trade = trades[said[0] % len(trades)].execution_id
            return OperatorRequest(client_order_id=name, action=OperatorAction.BUST, name=trade)
        if not self.orders:
            return None
        order, is_buy, price = self.orders[said[0] % len(self.orders)]
        if kind == "cancel":
            return cancel(name, order)
        if kind == "modify":
            return modify(name, order, price=said[1])
        return (buy if is_buy else sell)(order, said[1], price)

    def answers(self):
        """Everything that can be asked."""
        oms, end_ns = self.desk.oms, self.clock.wall_ns() + 1
        return (
            self.told,
            [oms.get_order("me", name) for name, _, _ in self.orders],
            oms.recent_trades("X"),
            oms.trades(),
            [oms.trades("me", "X", before=each.execution_id, limit=2) for each in oms.trades()],
            oms.positions("me"),
            oms.pnl("me"),
            [self.store.kept(table) for table in ("holdings", "last_prices", "instruments")],
            oms.get_depth("X", 100),
            oms.candles("X", "1h", end_ns - 20 * HOUR_NS, end_ns),
            oms.statistics("X"),
            [report[:14] for report in self.store.all_reports()],  # without how long it took
            [record[:5] for record in self.store.records()],
            self.desk.digest(),
        )


@given(days=days)
@settings(max_examples=many(20))
def test_no_question_tells_whether_a_database_was_archived(tmp_path_factory, days):
    """Whatever was placed, changed, repeated and busted, and whatever was archived between days."""
    directory = tmp_path_factory.mktemp("twins")
    plain = Twin(directory / "plain.db", archives=False)
    other = Twin(directory / "archived.db", archives=True)
    for todo, hours in days:
        for twin in (plain, other):
            for step in todo:
                twin.do(step)
            twin.restart(hours)
    assert other.store.archives
    assert other.answers() == plain.answers()
    assert list(differences(other.store, Fold(EmbeddedVenue()))) == []
    assert other.store.damage() == ""
    assert other.store.counts(1 << 38) == plain.store.counts(1 << 38)
    for twin in (plain, other):
        twin.desk.stop()
