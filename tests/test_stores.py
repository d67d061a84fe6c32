"""The contract of every store: a turn is kept whole or not at all, and found again."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oms import MemoryStore, PersistentStorage
from oms.desk import entries
from oms.errors import JournalError
from oms.requests import ID_LENGTH_MAX
from oms.stores import JournalRecord, Snapshot, checked, checksum

ID_CHARACTERS = "".join(chr(n) for n in range(32, 127) if chr(n) not in '"\\')


def record(first_seq, *turn, before=0, wall_ns=5, released=1):
    body = "\n".join(map(entries.encode, turn))
    last_seq = first_seq + len(turn)
    text = checksum(before, first_seq, last_seq, wall_ns, released, body)
    return JournalRecord(first_seq, last_seq, wall_ns, released, body, text)


def row(seq, number, order_id, request_seq=0, state="NEW", client_id="A"):
    return (
        seq, number, order_id, request_seq, "me", client_id, "X", "BUY", "NEW", state, 0, 0, 0, 5,
        "", "", "", 5, "", 0, 0,
    )  # fmt: skip


def new(client_id):
    return (entries.NEW, "me", client_id, "X", "BUY", "LIMIT", "GTC", 100, 5, 0, "")


def modify(client_id, orig):
    return (entries.MODIFY, "me", client_id, orig, 0, 4, "")


def cancel(client_id, orig):
    return (entries.CANCEL, "me", client_id, orig, "")


def keep(store, record, rows=(), ids=()):
    """One turn, committed."""
    store.begin()
    if ids:
        assert store.claim(ids)
    store.append(record, rows)
    store.commit()


class Contract:
    """What the dispatcher, the fold and readers rely on."""

    @pytest.fixture
    def store(self, opened):
        store = opened()
        yield store
        store.close()

    def test_a_new_store_is_empty(self, store):
        """Nothing to fold, nobody known."""
        assert list(store.records()) == list(store.all_rows()) == store.rows_of(1) == []
        assert (store.owner("me", "A"), store.snapshot(), store.record_of(1)) == (0, None, None)
        assert store.find_rows("me", "A") == []

    def test_a_turn_that_is_committed_is_found_again(self, store):
        """By sequence, by order, by client id; a reader in another thread too."""
        # given two turns
        first = record(1, new("A"), new("B"))
        second = record(4, modify("M", "A"), before=first.checksum)
        rows = [row(3, 1, 1, 1), row(3, 2, 2, 2, client_id="B"), row(5, 1, 1, 4)]
        keep(store, first, rows[:2], [("me", "A", 1), ("me", "B", 2)])
        keep(store, second, rows[2:], [("me", "M", 4)])

        # then everything is there, in order
        assert list(store.records()) == [first, second]
        assert list(store.records(after_seq=3)) == [second]
        assert [store.record_of(seq) for seq in (1, 2, 3, 4, 5, 6)] == [first] * 3 + [
            second, second, None
        ]  # fmt: skip
        assert list(store.all_rows()) == rows
        assert store.rows_of(1) == [rows[0], rows[2]]
        assert store.entry_of(2) == new("B")
        assert store.entry_of(4) == modify("M", "A")

    def test_the_entry_of_a_turn_itself_or_beyond_is_a_journal_error(self, store):
        """Something refers to a sequence that is no entry: then the data does not add up."""
        keep(store, record(1, new("A")))
        for seq in (2, 7):
            with pytest.raises(JournalError, match=f"sequence {seq}: missing"):
                store.entry_of(seq)

    def test_the_first_who_claims_an_id_has_it(self, store):
        """Also within one turn; each account has ids of its own."""
        store.begin()
        assert not store.claim([("me", "A", 1), ("you", "A", 2), ("me", "A", 3)])
        assert (store.owner("me", "A"), store.owner("you", "A")) == (1, 2)
        store.commit()
        store.begin()
        assert not store.claim([("me", "A", 9), ("me", "B", 10)])
        assert (store.owner("me", "A"), store.owner("me", "B")) == (1, 10)
        store.rollback()

    def test_a_turn_that_is_rolled_back_leaves_nothing(self, store):
        """Its ids can be claimed again, its sequences used again."""
        # given a turn that came as far as its reports
        store.begin()
        assert store.claim([("me", "A", 1)])
        store.append(record(1, new("A")), [row(2, 1, 1, 1)])

        # when it is undone
        store.rollback()
        store.rollback()  # once more does no harm

        # then there is no trace
        assert list(store.records()) == list(store.all_rows()) == []
        assert store.owner("me", "A") == 0
        keep(store, record(1, new("B")), [row(2, 1, 1, 1)], [("me", "A", 1)])
        assert store.entry_of(1) == new("B")

    def test_a_reader_sees_nothing_of_a_turn_before_its_commit(self, store):
        """Nor does it fail: the id is claimed, the order is not there yet."""
        store.begin()
        assert store.claim([("me", "A", 1)])
        assert store.find_rows("me", "A") == []
        store.append(record(1, new("A")), [row(2, 1, 1, 1)])
        assert store.find_rows("me", "A") == []
        store.commit()
        assert store.find_rows("me", "A") == [row(2, 1, 1, 1)]

    def test_an_order_is_found_by_any_id_it_has_had(self, store):
        """By that of a modify, of a modify of the modify, of a cancel."""
        rows = [row(6, n, 1) for n in (1, 2, 3)]
        turn = (new("A"), modify("M", "A"), modify("N", "M"), cancel("C", "N"), cancel("Z", "?"))
        ids = [("me", name, seq) for seq, name in enumerate("AMNCZ", 1)]
        keep(store, record(1, *turn), rows, ids)
        for name in "AMNC":
            assert store.find_rows("me", name) == rows
        assert store.find_rows("me", "Z") == store.find_rows("you", "A") == []

    def test_the_latest_snapshot_counts(self, store):
        """Kept as it was given."""
        for seq in (1, 5, 9):
            store.save_snapshot(Snapshot(seq, seq * 7, f"state {seq}"))
        assert store.snapshot() == Snapshot(9, 63, "state 9")

    def test_a_probe_changes_nothing(self, store):
        """It asks whether a commit would do."""
        keep(store, record(1, new("A")), [row(2, 1, 1, 1)], [("me", "A", 1)])
        before = (list(store.records()), list(store.all_rows()))
        store.probe()
        store.hurry()
        store.probe()
        assert (list(store.records()), list(store.all_rows())) == before

    def test_what_was_kept_is_there_when_the_store_is_opened_again(self, store, opened):
        """P1, within what the store promises."""
        keep(store, record(1, new("A")), [row(2, 1, 1, 1)], [("me", "A", 1)])
        store.save_snapshot(Snapshot(2, 7, "state"))
        store.close()
        again = opened()
        assert again.entry_of(1) == new("A")
        assert (again.owner("me", "A"), again.snapshot().seq) == (1, 2)
        assert list(again.all_rows()) == [row(2, 1, 1, 1)]
        again.close()


class TestMemoryStore(Contract):
    """In lists; gone when it is gone."""

    @pytest.fixture
    def opened(self):
        store = MemoryStore()

        def again():
            store.open()
            return store

        return again


class TestPersistentStorage(Contract):
    """In one SQLite file."""

    @pytest.fixture
    def opened(self, tmp_path):
        def again():
            store = PersistentStorage(tmp_path / "orders.db", durability="none")
            store.open()
            return store

        return again


# --- the chain of checksums ---


def test_a_journal_is_read_as_long_as_it_is_whole():
    """Each checksum covers the one before: a missing, changed or moved record shows."""
    first = record(1, new("A"))
    second = record(3, new("B"), new("C"), before=first.checksum)
    third = record(6, new("D"), before=second.checksum)
    assert list(checked([first, second, third], 0, 0)) == [first, second, third]
    assert list(checked([second, third], 2, first.checksum)) == [second, third]
    with pytest.raises(JournalError, match="sequence 3: missing; the next record starts at 6"):
        list(checked([first, third], 0, 0))
    with pytest.raises(JournalError, match="sequence 1: missing; the next record starts at 3"):
        list(checked([second, first], 0, 0))
    alone = record(3, new("B"), new("C"))
    with pytest.raises(JournalError, match="sequence 3 to 5: the checksum does not match"):
        list(checked([first, alone], 0, 0))


@given(
    ids=st.lists(
        st.text(ID_CHARACTERS, min_size=1, max_size=ID_LENGTH_MAX), min_size=1, max_size=4,
        unique=True,
    ),
    field=st.sampled_from(JournalRecord._fields),
    change=st.integers(1, 1_000),
)  # fmt: skip
def test_any_change_of_a_record_breaks_the_chain(ids, field, change):
    """Whatever field is altered, and however little."""
    sound = record(1, *map(new, ids))
    value = getattr(sound, field)
    if field == "body":
        value = value[: change % len(value)] + "~" + value[change % len(value) :]
    else:
        value += change
    with pytest.raises(JournalError):
        list(checked([sound._replace(**{field: value})], 0, 0))
