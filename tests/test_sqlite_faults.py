"""SQLite in trouble: damaged files, a full disk, somebody else's lock."""

import sqlite3
from contextlib import closing

import pytest

from oms import Origin, PersistentStorage, RejectReason, ResponseType
from oms.errors import JournalError, StoreBusyError, StoreError, StoreFullError
from tests.databases import SmallDisk, alter, storage, traded
from tests.fakes import Stepped, buy, cancel
from tests.test_store_contract import keep, new, record

MS = 1_000_000


@pytest.fixture
def path(tmp_path):
    return tmp_path / "orders.db"


def start_error(path):
    """Why an order manager does not start on a database."""
    desk = Stepped(store=PersistentStorage(path, durability="none"))
    with pytest.raises(StoreError) as caught:
        desk.start()
    return caught.value


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


def test_damage_before_a_snapshot_stops_the_start_too(path):
    """A snapshot saves the folding, not the reading."""
    traded(path)
    alter(path, "UPDATE journal SET body = replace(body, '\"B1\"', '\"B9\"')")
    assert "the checksum does not match" in str(start_error(path))


@pytest.mark.parametrize("column", ["released = released + 1", "wall_ns = wall_ns - 1"])
def test_a_changed_number_of_the_journal_stops_the_start(path, column):
    """The checksum covers all of a record."""
    traded(path, snapshot=False)
    alter(path, f"UPDATE journal SET {column} WHERE last_seq = (SELECT max(last_seq) FROM journal)")
    assert "the checksum does not match" in str(start_error(path))


@pytest.mark.parametrize("snapshot", [False, True])
def test_a_journal_that_ends_before_its_reports_stops_the_start(path, snapshot):
    """Its last record was lost; without the high-water file, too, the reports show it."""
    traded(path, snapshot=snapshot)
    path.with_name("orders.db-high").unlink()
    alter(path, "DELETE FROM journal WHERE last_seq = (SELECT max(last_seq) FROM journal)")
    assert "missing, and all after it; the latest report is of" in str(start_error(path))


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
        "snapshots SET last = replace(last, 'CONTINUOUS', 'HALTED')", "snapshots SET last = ''",
        "snapshots SET last = 'no digest'", "snapshots SET checksum = 1",
        "snapshots SET last = substr(last, 1, 100)", "snapshots SET last = 5",
        "snapshots SET journal_seq = 1", "snapshots SET parts_id = 0",
        "snapshots SET last = upper(last)",
        "snapshot_parts SET part = replace(part, 'B3', 'B4')", "snapshot_parts SET part = ''",
        "snapshot_parts SET part = '{}'", "snapshot_parts SET part = substr(part, 1, 100)",
        "snapshot_parts SET parts_id = 0", "snapshot_parts SET part = 5",
    ],
)  # fmt: skip
def test_a_broken_snapshot_is_ignored(path, damage):
    """It is a cache: the journal gives the same state."""
    digest = traded(path)
    alter(
        path, "DELETE FROM snapshots WHERE journal_seq < (SELECT max(journal_seq) FROM snapshots)"
    )
    alter(path, f"UPDATE {damage}")
    desk = Stepped(store=PersistentStorage(path, durability="none"))
    desk.store.open()
    for _ in desk.dispatcher.fold.recover(desk.store):
        pass
    assert desk.digest() == digest
    assert desk.dispatcher.fold.snapshot_seq == 0  # it was not used
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
    answers = [desk.ask(buy(f"B{n}", 1, 99, origin=Origin(request_id="r" * 60))) for n in range(60)]

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


def test_a_reader_that_stays_open_is_told_and_the_log_is_cut_once_it_goes(
    tmp_path, monkeypatch, caplog
):
    """While it reads, the write-ahead log grows; as soon as it has gone, it starts anew."""
    # given a bound that is soon reached, and somebody in a transaction of the past
    for name in ("oms.stores.sqlite.WAL_BYTES_MAX", "oms.turn.dispatcher.LOG_BYTES_MAX"):
        monkeypatch.setattr(name, 100_000)
    path = tmp_path / "orders.db"
    desk = Stepped(store=PersistentStorage(path, durability="none")).start()
    with closing(sqlite3.connect(path, isolation_level=None)) as reader:
        reader.execute("BEGIN")
        reader.execute("SELECT count(*) FROM journal").fetchone()

        # when orders come, for seconds
        for n in range(400):
            desk.send(buy(f"#{n}", 1, 100))
        desk.clock.advance(1)
        desk.step()
        during = desk.oms.get_status()["store_log_bytes"]
        desk.clock.advance(1)
        desk.step()
    assert during > 1_000_000
    assert [r.getMessage() for r in caplog.records if "write-ahead log has" in r.getMessage()] == [
        f"the write-ahead log has {during >> 20} MB: a reader that stays in one transaction keeps "
        "it from starting anew"
    ]

    # then, with the reader gone, the next look cuts it off, without any order
    desk.clock.advance(1)
    desk.step()
    assert desk.oms.get_status()["store_log_bytes"] == 0
    assert path.with_name("orders.db-wal").stat().st_size == 0
    assert desk.send(buy("B", 1, 100)) == ["B NEW/NEW"]
    desk.stop()
