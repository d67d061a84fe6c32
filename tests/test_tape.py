"""The tape: trades as they stand, before and after a restart, with and without a snapshot."""

from copy import deepcopy
from dataclasses import dataclass
from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from oms import PersistentStorage
from oms.enums import Phase
from oms.requests import OperatorAction, OperatorRequest
from oms.sections import MarketDataConfig
from oms.turn.journal import differences
from tests.examples import many
from tests.fakes import Stepped, buy, cancel, config_of, remote, sell, trade

KEPT = 3
CONFIG = config_of(market_data=MarketDataConfig(trades_kept=KEPT))


def views(desk, symbol="X"):
    """All that says what was traded."""
    return desk.oms.recent_trades(symbol), desk.oms.get_prices(symbol)


def operate(desk, action, request_id, **said):
    request = OperatorRequest(client_order_id=request_id, action=action, **said)
    return desk.ask(request).type == "COMMAND_DONE"


def restarted(desk, *, snapshot):
    """The same in a new process, from a snapshot or from the journal alone."""
    if snapshot:
        desk.stop()
    store = deepcopy(desk.store)
    if not snapshot:
        store._snapshots = []
    again = Stepped(CONFIG, store=store, clock=desk.clock).start()
    assert (again.dispatcher.fold.snapshot_seq > 0) == snapshot
    return again


def trades_of_all_kinds(desk):
    """A taker, an auction, two trades of one turn, one taken back, one corrected; and a symbol
    that traded once, long before."""
    desk.send(sell("a1", 1, 50, symbol="ALL"), buy("a2", 1, 50, symbol="ALL", account="you"))
    desk.send(sell("s1", 5, 100), buy("b1", 2, 100, account="you"))
    desk.send(buy("b2", 3, 100, account="you"), sell("s2", 4, 101))
    phase = OperatorAction.SET_PHASE
    operate(desk, phase, "call", value=Phase.OPENING_AUCTION.value)
    desk.send(buy("b3", 4, 103, account="you"))
    operate(desk, phase, "end", value=Phase.CONTINUOUS.value)
    latest = desk.oms.recent_trades("X")
    assert operate(desk, OperatorAction.BUST, "bust", name=latest[-1].execution_id)
    assert operate(
        desk, OperatorAction.CORRECT, "correct", name=latest[0].execution_id,
        settings={"price": "99", "quantity": "1"},
    )  # fmt: skip


@pytest.mark.parametrize("snapshot", [True, False])
def test_a_restart_changes_nothing_that_readers_see(snapshot):
    """Given trades of all kinds, when the process is another, then the views are the same."""
    # given
    desk = Stepped(CONFIG).start()
    trades_of_all_kinds(desk)
    before = [views(desk, symbol) for symbol in ("X", "ALL")]
    [trades, prices], [once, _] = before
    assert [(t.price_ticks, t.quantity_lots) for t in trades] == [(99, 1), (100, 3)]
    assert (prices.last, prices.vwap_ticks) == (100, Fraction(99 + 300, 4))
    assert [t.price_ticks for t in once] == [50]

    # when
    again = restarted(desk, snapshot=snapshot)

    # then
    assert [views(again, symbol) for symbol in ("X", "ALL")] == before
    assert again.dispatcher.desk.engine.markets["X"].last_ticks == 100
    assert again.refolded() == again.digest()


def test_the_store_on_disk_gives_the_same(tmp_path):
    """SQLite, and the tables made anew from the journal."""
    desk = Stepped(CONFIG, store=PersistentStorage(tmp_path / "t.db")).start()
    trades_of_all_kinds(desk)
    before = [views(desk, symbol) for symbol in ("X", "ALL")]
    desk.stop()
    again = Stepped(CONFIG, store=PersistentStorage(tmp_path / "t.db"), clock=desk.clock).start()
    assert [views(again, symbol) for symbol in ("X", "ALL")] == before
    fold = type(again.dispatcher.fold)(type(again.venue)())
    assert list(differences(again.store, fold)) == []
    again.stop()


def test_a_remote_venue_s_trades_are_there_after_a_restart():
    """One side of each is ours."""
    desk = remote()
    desk.send(buy("A", 5, 100))
    desk.hear()
    order_id = desk.oms.get_order("me", "A").order_id
    for number, price in enumerate((100, 99)):
        desk.oms.on_data_response(trade(order_id, 2, price, f"v{number}"))
    desk.step()
    before = views(desk)
    assert [each.price_ticks for each in before[0]] == [100, 99]
    desk.stop()
    again = remote(store=desk.store, clock=desk.clock)
    assert views(again) == before


# --- against a list in which what was taken back is struck out ---


@dataclass
class Written:
    """One trade in the plain list; lots 0: struck out."""

    id: str
    price: int
    lots: int
    first: int
    buyer: str
    seller: str
    ordered: int


class PlainTape:
    """Every trade in one list; all else is reckoned from it each time."""

    def __init__(self):
        self.all = []

    def last(self):
        return next((t.price for t in reversed(self.all) if t.lots), 0)

    def latest(self):
        return [(t.id, t.price, t.lots) for t in self.all if t.lots][-KEPT:]

    def vwap(self):
        lots = sum(lots for _, _, lots in self.latest())
        return Fraction(sum(p * n for _, p, n in self.latest()), lots) if lots else None

    def position(self):
        return sum(t.lots for t in self.all)


picks = st.integers(0, 30)
steps = st.one_of(
    st.tuples(st.just("trade"), st.integers(1, 6), st.integers(95, 105), st.integers(0, 3)),
    st.tuples(st.just("trade"), st.integers(1, 6), st.integers(95, 105), st.integers(0, 3)),
    st.tuples(st.just("bust"), picks, st.just(0), st.just(0)),
    st.tuples(st.just("correct"), picks, st.integers(90, 110), st.integers(1, 7)),
    st.tuples(st.just("restart"), st.booleans(), st.just(0), st.just(0)),
)


class Tried:
    """An order manager and the plain tape, told the same."""

    def __init__(self):
        self.desk, self.plain, self.count = Stepped(CONFIG).start(), PlainTape(), 0

    def trade(self, lots, price, more):
        """A seller who has some more than the buyer takes."""
        self.count += 1
        seller, buyer = f"s{self.count}", f"b{self.count}"
        account = f"seller{self.count}"  # so that nobody else's rest is met
        self.desk.send(sell(seller, lots + more, price, account=account))
        self.desk.send(buy(buyer, lots, price, account="buyer"))
        sold = self.desk.oms.recent_trades("X")[-1]
        self.plain.all.append(
            Written(sold.execution_id, price, lots, lots, buyer, seller, lots + more)
        )
        if more:
            self.desk.send(cancel(f"c{self.count}", seller, account=account))

    def bust(self, pick, *_):
        if self.plain.all:
            chosen = self.plain.all[pick % len(self.plain.all)]
            self.count += 1
            done = operate(self.desk, OperatorAction.BUST, f"x{self.count}", name=chosen.id)
            assert done == (chosen.lots > 0)
            chosen.lots = 0

    def correct(self, pick, price, lots):
        if self.plain.all:
            chosen = self.plain.all[pick % len(self.plain.all)]
            self.count += 1
            done = operate(
                self.desk, OperatorAction.CORRECT, f"x{self.count}", name=chosen.id,
                settings={"price": str(price), "quantity": str(lots)},
            )  # fmt: skip
            other = (price, lots) != (chosen.price, chosen.lots)
            assert done == (chosen.lots > 0 and lots <= chosen.first and other)
            if done:
                chosen.price, chosen.lots = price, lots

    def restart(self, snapshot, *_):
        self.desk = restarted(self.desk, snapshot=snapshot)

    def check(self):
        desk, plain = self.desk, self.plain
        trades, prices = views(desk)
        assert [(t.execution_id, t.price_ticks, t.quantity_lots) for t in trades] == plain.latest()
        assert (prices.last or 0, prices.vwap_ticks) == (plain.last(), plain.vwap())
        inside = desk.dispatcher.desk
        assert inside.engine.markets["X"].last_ticks == plain.last()
        assert inside.executions.positions.get(("buyer", "X"), 0) == plain.position()
        for each in plain.all:
            order = desk.oms.get_order("buyer", each.buyer)
            whole = each.lots == each.first
            expected = ("FILLED" if whole else "CANCELED", each.lots, 0, each.price * each.lots)
            told = (order.state, order.cumulative_lots, order.leaves_lots, order.notional)
            assert told == expected


@given(st.lists(steps, max_size=14))
@settings(max_examples=many(60))
def test_the_tape_is_the_list_without_what_was_struck_out(flow):
    """Whatever is traded, busted and corrected, in whichever process."""
    tried = Tried()
    for kind, *said in flow:
        getattr(tried, kind)(*said)
        tried.check()
    assert tried.desk.refolded() == tried.desk.digest()
