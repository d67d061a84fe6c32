"""The journal: everything else is a fold of it, with a snapshot or without."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from oms import (
    EmbeddedVenue,
    Instrument,
    ManualClock,
    MemoryStore,
    OrderTerms,
    ResponseType,
    VenueReport,
)
from oms.config import QueueConfig, StoreConfig
from oms.desk import snapshot
from oms.errors import JournalError, StoppedError, StoreError
from oms.requests import codec
from oms.requests.codec import decode_all, encode
from oms.requests.orders import ID_LENGTH_MAX
from oms.stores import Snapshot
from oms.turn.journal import Fold, differences
from oms.turn.snapshots import Snapshots
from oms.venues.scripted import ScriptedVenue
from tests.databases import storage
from tests.examples import many
from tests.fakes import INSTRUMENTS, Stepped, buy, cancel, config_of, modify, sell, throttled

ids = st.text(
    "".join(chr(n) for n in range(32, 127) if chr(n) not in '"\\'),
    min_size=1, max_size=ID_LENGTH_MAX,
)  # fmt: skip
numbers = st.integers(0, 10**18)
texts = st.text(max_size=20)
all_entries = st.one_of(
    st.tuples(
        st.just(codec.NEW), ids, ids, ids, st.sampled_from(["BUY", "SELL"]),
        st.sampled_from(["LIMIT", "MARKET"]), st.sampled_from(["GTC", "FOK"]), numbers, numbers,
        st.integers(0, 1), ids | st.just(""),
    ),
    st.tuples(st.just(codec.MODIFY), ids, ids, ids, numbers, numbers, ids | st.just("")),
    st.tuples(st.just(codec.CANCEL), ids, ids, ids, ids | st.just("")),
    st.tuples(
        st.just(codec.ANSWER), ids, ids, ids, numbers, texts, texts, ids, numbers, numbers,
        texts, texts, texts,
    ),
    st.tuples(st.just(codec.SESSION), st.sampled_from(["OPEN", "CLOSE"]), texts),
    st.tuples(st.just(codec.VENUE), *[texts] * 8),
    st.tuples(st.just(codec.OVERDUE), numbers),
    st.tuples(st.just(codec.STOP)),
)  # fmt: skip


@given(st.lists(all_entries, max_size=6), st.integers(1, 10**12))
def test_entries_read_back_as_they_were_written(turn, first_seq):
    """One JSON array a line; the three common kinds are written by a format, not by json."""
    body = "\n".join(map(encode, turn))
    assert [tuple(entry) for entry in decode_all(body, first_seq)] == turn
    for line, entry in zip(body.split("\n"), turn, strict=False):
        assert tuple(json.loads(line)) == entry


@pytest.mark.parametrize(
    "body",
    ['["N","me"]', '["?",1]', "[1]", "5", "null", '"N"', '["K"]\n{}', '["K"', "[]", '[["N"]]'],
)
def test_a_line_that_nobody_can_read_is_a_journal_error(body):
    """With its sequence."""
    with pytest.raises(JournalError, match=r"journal sequence [78]"):
        decode_all(body, 7)


def lively(desk, turns=30):
    """Orders that rest, trade, wait, change and go."""
    for n in range(turns):
        desk.send(
            buy(f"B{n}", 1 + n % 3, 95 + n % 7), sell(f"S{n}", 1 + n % 4, 99 + n % 5),
            modify(f"M{n}", f"B{n - 2}", quantity=2), cancel(f"C{n}", f"S{n - 3}"),
            buy(f"K{n}", 2),
        )  # fmt: skip
        desk.clock.advance(0.3)
    return desk


def fold_of(store, **how):
    fold = Fold(EmbeddedVenue())
    for _ in fold.recover(store, **how):
        pass
    return fold


def test_the_fold_of_the_journal_is_the_live_state():
    """P3: reports, orders, queue and book; and folding twice gives the same."""
    desk = lively(Stepped(throttled(3)).start())
    assert fold_of(desk.store).digest() == fold_of(desk.store).digest() == desk.digest()
    assert list(differences(desk.store, Fold(EmbeddedVenue()))) == []


@given(taken_after=st.integers(0, 12), rest=st.integers(0, 12), sends=st.integers(1, 4))
@settings(max_examples=many(25))
def test_a_snapshot_and_the_tail_are_the_whole_fold(taken_after, rest, sends):
    """Wherever it was taken, whatever waited then."""
    desk = Stepped(throttled(sends)).start()
    lively(desk, taken_after)
    Snapshots(desk.dispatcher.fold, desk.store, 1).take()
    for n in range(100, 100 + rest):
        desk.send(buy(f"B{n}", 1, 100), sell(f"S{n}", 2, 100), cancel(f"C{n}", f"B{n - 1}"))
        desk.clock.advance(0.4)
    with_it, without = fold_of(desk.store), fold_of(desk.store, use_snapshot=False)
    assert with_it.digest() == without.digest() == desk.digest()
    assert with_it.last_seq == desk.dispatcher.fold.last_seq


def seq_of_latest(store):
    """How far the latest snapshot goes; 0 if there is none."""
    return store.snapshots()[-1].seq if store.snapshots() else 0


@pytest.fixture
def thin_slices(monkeypatch):
    """Snapshots take many turns; on the way orders come, change and go."""
    monkeypatch.setattr(snapshot, "SLICE_ORDERS", 9)
    monkeypatch.setattr(snapshot, "LAST_ORDERS", 5)


@pytest.mark.usefixtures("thin_slices")
@pytest.mark.parametrize("kind", ["memory", "sqlite"])
def test_a_snapshot_that_is_made_while_orders_come_and_go_is_whole(tmp_path, kind):
    """After every turn, the latest one and what follows it give the live state."""
    store = MemoryStore() if kind == "memory" else storage(tmp_path / "orders.db")
    config = throttled(3, store=StoreConfig(snapshot_every=15))
    desk, used = Stepped(config, store=store).start(), set()
    for n in range(60):
        desk.send(
            buy(f"B{n}", 1 + n % 3, 95 + n % 7), sell(f"S{n}", 1 + n % 4, 99 + n % 5),
            modify(f"M{n}", f"B{n - 2}", quantity=2), cancel(f"C{n}", f"S{n - 3}"),
            sell(f"T{n}", 2, terms=OrderTerms(stop_price=96)),
            sell(f"I{n}", 5, 103, terms=OrderTerms(display_quantity=2)),
            buy(f"O{n}", 2, 90, terms=OrderTerms(oco_with=f"T{n - 1}")),
        )  # fmt: skip
        desk.clock.advance(1.0)
        for _ in range(n % 4):
            desk.step()
        fold = fold_of(store)
        assert fold.digest() == desk.digest()
        assert fold.snapshot_seq == seq_of_latest(store)
        used.add(fold.snapshot_seq)
    assert len(used) > 4
    assert all(len(each.parts) > 3 for each in store.snapshots())
    assert len(store.snapshots()) == 2
    desk.stop()


@pytest.mark.usefixtures("thin_slices")
def test_a_snapshot_comes_to_its_end_however_much_each_turn_does():
    """Turns that touch more orders than a slice has; a start has only so much to fold."""
    every = 500
    desk = Stepped(config_of(store=StoreConfig(snapshot_every=every))).start()
    behind = []
    for turn in range(200):
        desk.send(
            *(buy(f"B{turn}-{n}", 1, 90) for n in range(20)),
            *(cancel(f"C{turn}-{n}", f"B{turn - 9}-{n}") for n in range(20)),
        )
        behind.append(desk.dispatcher.fold.last_seq - seq_of_latest(desk.store))
    assert max(behind) < 3 * every
    assert fold_of(desk.store).digest() == desk.digest()


@pytest.mark.usefixtures("thin_slices")
def test_a_stop_while_a_snapshot_is_under_way_leaves_a_whole_one():
    """Whichever turn it comes after."""
    for turns in range(1, 12):
        config = config_of(store=StoreConfig(snapshot_every=15))
        desk = Stepped(config).start()
        desk.send(*(buy(f"#{n}", 1, 90) for n in range(20)))
        for _ in range(turns):
            desk.step()
        desk.stop()
        fold = fold_of(desk.store)
        assert fold.snapshot_seq == desk.dispatcher.fold.last_seq
        assert fold.digest() == desk.digest()


def test_a_snapshot_is_taken_every_so_many_entries():
    """And at the stop; so a start has little to fold."""
    config = config_of(store=StoreConfig(snapshot_every=10))
    desk = Stepped(config).start()
    seqs = set()
    for n in range(20):
        desk.send(buy(f"#{n}", 1, 100))
        while desk.dispatcher._snapshots.under_way:  # it is made between turns
            desk.step()
        seqs.add(seq_of_latest(desk.store))
    assert len(seqs) == 5  # none, then one each ten of forty entries and turns
    desk.stop()
    assert seq_of_latest(desk.store) == desk.dispatcher.fold.last_seq


def test_the_state_up_to_a_sequence_is_what_it_was_then():
    """`replay --upto`: with a snapshot after it, too."""
    desk = Stepped().start()
    digests = {}
    for n in range(6):
        desk.send(buy(f"B{n}", 2, 100), sell(f"S{n}", 1, 100))
        digests[desk.dispatcher.fold.last_seq] = desk.digest()
    desk.stop()
    for seq, digest in digests.items():
        assert fold_of(desk.store, upto_seq=seq).digest() == digest


def test_the_state_may_be_asked_for_within_a_turn():
    """The first two of three orders have come, and met; the third is not there yet."""
    desk = Stepped().start()
    desk.send(buy("A", 1, 100), sell("B", 1, 100), buy("C", 1, 100))
    last_seq = desk.dispatcher.fold.last_seq
    fold = fold_of(desk.store, upto_seq=last_seq - 2)
    assert fold.desk.executions.orders == {}
    assert fold_of(desk.store, upto_seq=last_seq - 3).desk.executions.find("me", "A") is not None
    assert fold_of(desk.store, upto_seq=last_seq).digest() == desk.digest()


def test_reading_can_be_stopped():
    """A signal during a long recovery."""
    desk = lively(Stepped().start(), 3)
    with pytest.raises(StoppedError):
        fold_of(desk.store, should_stop=lambda: True)


class Forgetful(MemoryStore):
    """Gives back other reports than it was given."""

    alter = staticmethod(lambda reports: reports)

    def all_reports(self):
        return iter(self.alter(list(super().all_reports())))


@pytest.mark.parametrize(
    ("alter", "expected"),
    [
        (lambda told: told[:-1], "missing in order_responses"),
        (lambda told: [*told, told[-1]], "stored, but the journal does not give it"),
        (lambda told: [*told[:3], told[3]._replace(cumulative_lots=77), *told[4:]], "stored (1"),
    ],
)  # fmt: skip
def test_a_report_that_was_tampered_with_shows(alter, expected):
    """`verify` folds the journal again and compares every report ever stored."""
    store = Forgetful()
    lively(Stepped(store=store).start(), 4)
    store.alter = alter
    found = list(differences(store, Fold(EmbeddedVenue())))
    assert len(found) == 1
    assert expected in found[0]


def test_an_entry_that_fits_no_state_is_a_journal_error():
    """Sound in its checksum, impossible in its place: the engine and the journal disagree."""
    desk = Stepped().start()
    fold = desk.dispatcher.fold
    bad = fold.record(fold.last_seq + 1, fold.instant, 0, [(codec.CANCEL, "me", "C", "nobody", "")])
    desk.store.begin()
    desk.store.append(bad, [])
    desk.store.commit()
    with pytest.raises(JournalError, match=f"sequence {bad.first_seq}"):
        fold_of(desk.store)


def test_a_turn_that_sent_more_than_waits_is_a_journal_error():
    """The journal says that two requests went; the desk knows of one."""
    desk = Stepped().start()
    fold = desk.dispatcher.fold
    line = (codec.NEW, "me", "A", "X", "BUY", "LIMIT", "GTC", 100, 1, 0, "")
    bad = fold.record(fold.last_seq + 1, fold.instant, 2, [line])
    desk.store.begin()
    desk.store.append(bad, [])
    desk.store.commit()
    with pytest.raises(JournalError, match=f"sequence {bad.last_seq}: 2 requests sent, 1 waited"):
        fold_of(desk.store)


@pytest.mark.parametrize("parts", [(), ("",), ("{}",), ("[1]", "2")])
@pytest.mark.parametrize("last", ["", "no digest", "0\n{}", "0\n[1]", "\n", "x" * 100])
def test_a_snapshot_that_makes_no_sense_is_ignored(last, parts):
    """With a warning; the journal alone does."""
    desk = lively(Stepped().start(), 3)
    fold = desk.dispatcher.fold
    for number, part in enumerate(parts, 1):
        desk.store.save_part(fold.last_seq, number, part)
    desk.store.save_snapshot(Snapshot(fold.last_seq, fold.checksum, last, fold.last_seq))
    assert fold_of(desk.store).digest() == desk.digest()


# --- what a new process may change ---


def test_a_smaller_queue_keeps_what_waits_already():
    """Eight wait; the next process may hold two; from its snapshot the eight come back."""
    store, clock = MemoryStore(), ManualClock()
    desk = Stepped(throttled(), store=store, clock=clock).start()
    desk.send(*(buy(f"#{n}", 1, 100) for n in range(9)))
    for _ in range(2):
        before = desk.waiting
        desk.stop()
        config = throttled(queue=QueueConfig(waiting_max=2))
        desk = Stepped(config, store=store, clock=clock).start()
        assert desk.waiting == before == [f"#{n}" for n in range(1, 9)]
        assert desk.refolded() == desk.digest()
    assert desk.ask(buy("more", 1, 100)).text == "QUEUE_FULL: waiting=2, max=2"


def test_an_instrument_may_go_when_nothing_of_it_is_open():
    """And the snapshots taken after it are still of use."""
    store = MemoryStore()
    desk = Stepped(store=store).start()
    desk.send(buy("A", 1, 100, symbol="ALL"), buy("B", 1, 100), cancel("C", "A"))
    for _ in range(2):
        desk.stop()
        desk = Stepped(config_of(instruments=INSTRUMENTS[:1]), store=store).start()
        assert desk.dispatcher.fold.snapshot_seq == seq_of_latest(store)
        assert desk.refolded() == desk.digest()


@pytest.mark.parametrize(
    "instruments",
    [INSTRUMENTS[1:], (Instrument(symbol="X", price_scale=1, quantity_scale=0),)],
)
def test_an_instrument_cannot_go_or_be_rescaled_under_its_open_orders(instruments):
    """Refused at the start, with what would do; the data stays as it was."""
    store = MemoryStore()
    desk = Stepped(store=store).start()
    desk.send(buy("A", 1, 100))
    desk.stop()
    records = len(list(store.records()))
    with pytest.raises(StoreError, match="expected price_scale=0, quantity_scale=0"):
        Stepped(config_of(instruments=instruments), store=store).start()
    assert len(list(store.records())) == records


@pytest.mark.parametrize("opens", [True, False])
def test_a_journal_stays_with_its_kind_of_venue(opens):
    """Replayed to a remote venue, orders that our own exchange filled would seem to be open."""
    store = MemoryStore()
    desk = Stepped(store=store).start()
    if opens:
        desk.send(buy("A", 1, 100))
    desk.stop()
    clock = ManualClock()
    with pytest.raises(StoreError, match="the journal is of an embedded one, not of a remote"):
        Stepped(store=store, venue=ScriptedVenue(clock=clock), clock=clock).start()


class OwnExchange:
    """Somebody's own local venue, which trades X: nothing is known of its books."""

    remote = False

    def __init__(self):
        self._linked = False
        self.reset()

    def reset(self):
        self._resting = []  # order, and how much of it is left

    def logon(self):
        self._linked = True

    def logged_on(self):
        return self._linked

    def logoff(self):
        self._linked = False

    def list_instruments(self, _instruments):
        pass

    def get_depth(self, _symbol, _levels):
        return [], []

    def withdraw(self, _orders, _state, _reason):
        return []

    def place(self, order):
        told, left = [VenueReport(ResponseType.NEW, order.order_id)], order.leaves_lots
        for at, (other, lots) in enumerate(self._resting):
            filled = min(left, lots)
            if filled and other.side is not order.side and other.price_ticks == order.price_ticks:
                for each, liquidity in ((order, "TAKER"), (other, "MAKER")):
                    terms = (other.price_ticks, filled, liquidity)
                    told.append(VenueReport(ResponseType.TRADE, each.order_id, 0, *terms))
                left, self._resting[at] = left - filled, (other, lots - filled)
        self._resting.append((order, left))
        return told


def test_an_exchange_that_we_cannot_look_into_is_rebuilt_by_replay():
    """No snapshot then: it would have the orders, but not the books they rest in."""
    store = MemoryStore()
    desk = Stepped(store=store, venue=OwnExchange()).start()
    desk.send(buy("A", 1, 100))
    desk.stop()
    desk = Stepped(store=store, venue=OwnExchange()).start()
    assert desk.send(sell("S", 1, 100)) == ["S NEW/NEW", "S TRADE/FILLED", "A TRADE/FILLED"]
