"""SQLite: what only the real thing can show. Schema versions, places, readers."""

import sqlite3
from contextlib import closing

import pytest

from oms import PersistentStorage, ResponseType
from oms.errors import OMSError, StoreError
from oms.reports import ROW_COLUMNS
from oms.stores import Snapshot
from oms.stores.schema import MIGRATIONS
from tests.databases import SmallDisk, alter, storage, traded
from tests.fakes import Stepped, buy, sell
from tests.test_stores import keep, new, record, row


@pytest.fixture
def path(tmp_path):
    return tmp_path / "orders.db"


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


def test_a_database_of_the_first_version_is_brought_up_to_date(path):
    """Reports from before there were fees have none; new ones have."""
    # given a database as the first version made it, with a report
    old = [name for name in ROW_COLUMNS if name != "fee"]
    report = dict(zip(ROW_COLUMNS, row(2, 1, 1, 1), strict=True))
    with closing(sqlite3.connect(path)) as connection, connection:
        for statement in MIGRATIONS[0]:
            connection.execute(statement)
        connection.execute("PRAGMA user_version = 1")
        connection.execute(
            f"INSERT INTO order_responses ({', '.join(old)}) VALUES ({', '.join('?' * len(old))})",
            [report[name] for name in old],
        )

    # when it is opened, then the report is there as it was
    with closing(storage(path)) as store:
        assert list(store.all_rows()) == [row(2, 1, 1, 1)]


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
    for seq in range(1, 6):
        store.save_snapshot(Snapshot(seq, 0, "state"))
    store.close()
    with closing(sqlite3.connect(path)) as connection:
        kept = connection.execute("SELECT journal_seq FROM snapshots ORDER BY 1").fetchall()
    assert kept == [(4,), (5,)]


def test_opening_twice_is_opening_once(path):
    """An order manager may be given a store that is open; a connection left over would stay."""
    store = storage(path)
    store.open()
    keep(store, record(1, new("A")))
    store.close()
    assert [p.name for p in path.parent.iterdir()] == ["orders.db"]


def test_an_order_is_still_found_after_the_end(path):
    """Questions about what is on disk need no running daemon."""
    desk = Stepped(store=storage(path)).start()
    desk.send(buy("A", 1, 100), sell("S", 1, 100))
    desk.stop()
    assert desk.oms.get_order("me", "A").type is ResponseType.TRADE
