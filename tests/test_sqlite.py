"""SQLite: what only the real thing can show. Versions, readers, damage, a full disk, a lock."""

import sqlite3
from contextlib import closing

import pytest

from oms import PersistentStorage, RejectReason, ResponseType
from oms.errors import (
    JournalError,
    OMSError,
    StoreBusyError,
    StoreError,
    StoreFullError,
)
from oms.stores.sqlite import MIGRATIONS
from tests.fakes import Stepped, buy, cancel, sell
from tests.test_stores import keep, new, record, row

MS = 1_000_000


class SmallDisk(PersistentStorage):
    """A database that may not grow beyond so many pages: what SQLite then does is real."""

    def limit(self, more_pages):
        used = self._db.execute("PRAGMA page_count").fetchone()[0]
        self._db.execute(f"PRAGMA max_page_count = {used + more_pages}")

    def unlimit(self):
        self._db.execute("PRAGMA max_page_count = 1000000")

    def synchronous(self):
        return self._db.execute("PRAGMA synchronous").fetchone()[0]


@pytest.fixture
def path(tmp_path):
    return tmp_path / "orders.db"


def storage(path, **settings):
    store = PersistentStorage(path, **{"durability": "none", **settings})
    store.open()
    return store


def alter(path, *statements):
    """What no program of ours does to a database that is closed."""
    with closing(sqlite3.connect(path)) as connection:
        for statement in statements:
            connection.execute(statement)
        connection.commit()


def traded(path, *, snapshot=True):
    """A database with a few turns in it, closed in order."""
    desk = Stepped(store=storage(path)).start()
    for n in range(6):
        desk.send(buy(f"B{n}", 2, 100 - n), sell(f"S{n}", 1, 100 - n))
    digest = desk.digest()
    desk.stop()
    if not snapshot:
        alter(path, "DELETE FROM snapshots")
    return digest


def start_error(path):
    """Why an order manager does not start on a database."""
    desk = Stepped(store=PersistentStorage(path, durability="none"))
    with pytest.raises(StoreError) as caught:
        desk.start()
    return caught.value


# --- opening ---


def test_an_empty_file_is_brought_up_to_the_schema(path):
    """And a second start finds nothing to do."""
    path.touch()
    for _ in range(2):
        storage(path).close()
        with closing(sqlite3.connect(path)) as connection:
            assert connection.execute("PRAGMA user_version").fetchone() == (len(MIGRATIONS),)
            assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)


@pytest.mark.parametrize("read_only", [False, True])
def test_a_newer_schema_is_refused(path, read_only):
    """A newer program made it; its data is left alone, and the file let go."""
    storage(path).close()
    alter(path, "PRAGMA user_version = 99")
    store = PersistentStorage(path, read_only=read_only)
    with pytest.raises(StoreError, match=f"expected schema version {len(MIGRATIONS)}, was 99"):
        store.open()
    with pytest.raises(StoreError, match="not open"):
        store.begin()


def test_looking_creates_nothing(path):
    """A tool with a wrong path must not leave an empty database there."""
    with pytest.raises(StoreError, match="cannot be used: unable to open"):
        PersistentStorage(path, read_only=True).open()
    assert list(path.parent.iterdir()) == []


def test_looking_writes_nothing(path):
    """Whoever only reads may do so while the daemon runs, and cannot harm it."""
    storage(path).close()
    reader = storage(path, read_only=True)
    with closing(reader), pytest.raises(StoreError):
        keep(reader, record(1, new("A")))


@pytest.mark.parametrize(
    "content", [b"not a database at all" * 100, b"SQLite format 3\0" + b"x" * 99]
)
def test_a_file_that_is_no_database_is_refused(path, content):
    """It is not overwritten."""
    path.write_bytes(content)
    with pytest.raises(StoreError, match="cannot be used"):
        PersistentStorage(path).open()
    assert path.read_bytes() == content


def test_a_place_that_cannot_hold_a_database_is_refused(tmp_path):
    """A directory that is not there; a directory where the file should be."""
    for place in (tmp_path / "missing" / "orders.db", tmp_path):
        with pytest.raises(StoreError, match="cannot be used"):
            PersistentStorage(place).open()


def test_a_path_may_have_characters_that_mean_something_in_an_address(tmp_path):
    """SQLite is given a URI; a question mark in a directory's name must not end it."""
    directory = tmp_path / "a b?mode=ro#c%20d"
    directory.mkdir()
    store = storage(directory / "orders.db")
    keep(store, record(1, new("A")), [row(2, 1, 1, 1)], [("me", "A", 1)])
    assert store.find_rows("me", "A") == [row(2, 1, 1, 1)]
    store.close()
    assert (directory / "orders.db").stat().st_size > 0


@pytest.mark.parametrize(("durability", "expected"), [("full", 2), ("normal", 1), ("none", 0)])
def test_durability_is_what_sqlite_is_told(path, durability, expected):
    """synchronous: FULL, NORMAL, OFF."""
    store = SmallDisk(path, durability=durability)
    store.open()
    assert store.synchronous() == expected
    store.close()


def test_a_store_that_is_not_open_says_so():
    """An error of ours, not one of SQLite's."""
    store = PersistentStorage("nowhere.db")
    for ask in (store.begin, store.probe, lambda: store.rows_of(1), lambda: list(store.records())):
        with pytest.raises(OMSError, match="not open"):
            ask()
    store.close()


# --- readers ---


def test_anyone_may_read_the_reports_while_the_daemon_writes(path):
    """order_responses is a plain table; a reader waits for nobody and sees committed turns."""
    # given a turn that is kept, and one under way
    store = storage(path)
    keep(store, record(1, new("A")), [row(2, 1, 1, 1)], [("me", "A", 1)])
    store.begin()
    store.append(record(3, new("B")), [row(4, 1, 3, 3)])

    # when somebody opens the file read-only
    query = "SELECT client_order_id, state FROM order_responses"
    with closing(sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True, timeout=0)) as reader:
        before = reader.execute(query).fetchall()
        store.commit()
        after = reader.execute(query).fetchall()

    # then it sees the one, and the other after its commit
    assert (len(before), len(after)) == (1, 2)
    store.close()


def test_the_write_ahead_log_is_emptied_at_the_end(path):
    """One file to copy; nothing beside it."""
    traded(path)
    assert sorted(p.name for p in path.parent.iterdir()) == ["orders.db"]


def test_two_snapshots_are_kept(path):
    """The latest, and the one before."""
    store = storage(path)
    from oms.stores import Snapshot

    for seq in range(1, 6):
        store.save_snapshot(Snapshot(seq, 0, "state"))
    store.close()
    with closing(sqlite3.connect(path)) as connection:
        kept = connection.execute("SELECT journal_seq FROM snapshots ORDER BY 1").fetchall()
    assert kept == [(4,), (5,)]


# --- damage ---


def test_a_changed_byte_of_the_journal_stops_the_start_and_is_named(path):
    """Never skipped, never repaired by a guess."""
    traded(path, snapshot=False)
    alter(path, "UPDATE journal SET body = replace(body, '\"B3\"', '\"B4\"')")
    assert isinstance(error := start_error(path), JournalError)
    with closing(sqlite3.connect(path)) as connection:
        query = "SELECT first_seq, last_seq FROM journal WHERE body LIKE '%\"S3\"%'"
        first_seq, last_seq = connection.execute(query).fetchone()
    assert f"sequence {first_seq} to {last_seq}: the checksum does not match" in str(error)


def test_a_missing_record_of_the_journal_stops_the_start_and_is_named(path):
    """A gap is seen by its numbers."""
    traded(path, snapshot=False)
    alter(
        path, "DELETE FROM journal WHERE last_seq = (SELECT last_seq FROM journal LIMIT 1 OFFSET 4)"
    )
    assert "missing; the next record starts at" in str(start_error(path))


@pytest.mark.parametrize("column", ["released = released + 1", "wall_ns = wall_ns - 1"])
def test_a_changed_number_of_the_journal_stops_the_start(path, column):
    """The checksum covers all of a record."""
    traded(path, snapshot=False)
    alter(path, f"UPDATE journal SET {column} WHERE last_seq = (SELECT max(last_seq) FROM journal)")
    assert "the checksum does not match" in str(start_error(path))


def test_a_journal_that_ends_before_its_snapshot_stops_the_start(path):
    """Its last records were lost: the snapshot remembers them."""
    traded(path)
    alter(path, "DELETE FROM journal WHERE last_seq = (SELECT max(last_seq) FROM journal)")
    assert "missing; a snapshot was taken" in str(start_error(path))


@pytest.mark.parametrize("part", [0.3, 0.6, 0.9])
def test_a_file_cut_short_stops_the_start(path, part):
    """Whatever page is missing: no silent loss."""
    traded(path, snapshot=False)
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * part) // 4096 * 4096])
    assert isinstance(start_error(path), StoreError)


@pytest.mark.parametrize(
    "damage",
    [
        "body = replace(body, 'B3', 'B4')", "body = ''", "body = 'no digest'", "checksum = 1",
        "body = substr(body, 1, 100)", "body = 5", "journal_seq = 1",
    ],
)  # fmt: skip
def test_a_broken_snapshot_is_ignored(path, damage):
    """It is a cache: the journal gives the same state."""
    digest = traded(path)
    alter(
        path, "DELETE FROM snapshots WHERE journal_seq < (SELECT max(journal_seq) FROM snapshots)"
    )
    alter(path, f"UPDATE snapshots SET {damage}")
    desk = Stepped(store=PersistentStorage(path, durability="none"))
    desk.store.open()
    for _ in desk.dispatcher.fold.recover(desk.store):
        pass
    assert desk.digest() == digest
    desk.store.close()


# --- full, busy ---


def test_a_full_disk_refuses_orders_and_takes_them_again_when_there_is_room(path):
    """REJECT DISK_FULL, not unknown; state as before; nothing twice."""
    # given a desk with one order, on a disk that gets full
    disk = SmallDisk(path, durability="none")
    desk = Stepped(store=disk).start()
    desk.send(buy("A", 1, 100))
    digest = desk.digest()
    disk.limit(2)

    # when orders keep coming
    answers = [desk.ask(buy(f"B{n}", 1, 99, request_id="r" * 60)) for n in range(60)]

    # then from some point on they are refused, and the desk is as the journal has it
    refused = [a for a in answers if a.reason is RejectReason.DISK_FULL]
    assert 0 < len(refused) < 60
    assert all(a.type is ResponseType.REJECTED and a.journal_seq == 0 for a in refused)
    assert desk.oms.get_status()["store"] == "DISK_FULL"
    assert desk.digest() == desk.refolded() != digest
    assert desk.oms.get_order("me", "A").leaves_lots == 1

    # and when there is room again, the same ids are taken, once
    disk.unlimit()
    number = int(refused[0].client_order_id[1:])
    assert desk.ask(buy(f"B{number}", 1, 99)).type is ResponseType.NEW
    assert desk.ask(cancel("C", "A")).type is ResponseType.CANCELED
    assert desk.oms.get_status()["store"] == "ok"
    assert desk.oms.get_depth("X", 1) == ([(99, number + 1)], [])
    assert desk.digest() == desk.refolded()
    desk.stop()


def test_a_full_disk_is_seen_by_a_probe(path):
    """A probe writes, and takes it back."""
    disk = SmallDisk(path, durability="none")
    disk.open()
    disk.limit(10)
    with pytest.raises(StoreFullError):
        disk.probe()
    disk.unlimit()
    disk.probe()
    disk.close()


def test_a_lock_of_somebody_else_is_waited_for_but_not_for_ever(path):
    """Then StoreBusyError, with nothing written; a stop does not wait at all."""
    # given somebody who holds the database
    store = storage(path, busy_timeout_ns=30 * MS)
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")

        # then nobody else gets it
        for ask in (store.begin, store.probe):
            with pytest.raises(StoreBusyError):
                ask()
        store.hurry()
        with pytest.raises(StoreBusyError):
            store.begin()

    # and when it is let go, everything works
    keep(store, record(1, new("A")))
    store.close()


def test_while_the_database_is_busy_orders_are_refused_and_reads_go_on(path):
    """REJECT STORE_BUSY, no effect; afterwards the same id is taken."""
    desk = Stepped(store=storage(path, busy_timeout_ns=20 * MS)).start()
    desk.send(buy("A", 1, 100))
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        refused = desk.ask(buy("B", 1, 99))
        assert (refused.reason, refused.journal_seq) == (RejectReason.STORE_BUSY, 0)
        assert desk.ask(cancel("C", "A")).reason is RejectReason.STORE_BUSY
        assert desk.oms.get_order("me", "A").leaves_lots == 1
        assert desk.oms.get_status()["health"] != "ok"
    assert desk.ask(buy("B", 1, 99)).type is ResponseType.NEW
    assert desk.ask(cancel("C", "A")).type is ResponseType.CANCELED
    desk.stop()


def test_an_order_is_still_found_after_the_end(path):
    """Questions about what is on disk need no running daemon."""
    desk = Stepped(store=storage(path)).start()
    desk.send(buy("A", 1, 100), sell("S", 1, 100))
    desk.stop()
    assert desk.oms.get_order("me", "A").type is ResponseType.TRADE
