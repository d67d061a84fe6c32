"""Archiving: moves what is over out of the database into a file beside it.

Flow:  database -> [archiving] -> a new archive, checked; then the database without what it has
A kill at any instant loses nothing: until the archive is whole, synced and under its name, the
database has all; then one transaction enters it in `archives` and deletes what it has.
Owner: a command that holds the lock of the database.
"""

import sqlite3
from collections.abc import Collection, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from oms.errors import JournalError, StoreError
from oms.reports import NUMBER_BITS
from oms.stores import checked
from oms.stores.archives import ArchiveRow
from oms.stores.schema import SELECT_TURN_BEFORE, create
from oms.stores.sqlite import PersistentStorage, remove, sync_directory

# {db} is where it is read from; :stays the first report id that stays, :cut the last turn that is
# moved, :before the last turn that was moved before.
KEPT = "CREATE TEMP TABLE kept (order_id INTEGER PRIMARY KEY)"
KEEP = "INSERT OR IGNORE INTO temp.kept VALUES (?)"
KEEP_RECENT = """INSERT OR IGNORE INTO temp.kept
    SELECT DISTINCT order_id FROM {db}.reports WHERE report_id >= :stays"""
MOVED = "report_id < :stays AND order_id NOT IN (SELECT order_id FROM temp.kept)"
COPY = (
    f"INSERT INTO main.reports SELECT * FROM live.reports WHERE {MOVED}",
    """INSERT INTO main.report_names SELECT * FROM live.report_names
    WHERE report_id < :stays AND report_id IN (SELECT report_id FROM main.reports)""",
    """INSERT INTO main.trade_changes SELECT * FROM live.trade_changes
    WHERE report_id < :stays AND report_id IN (SELECT report_id FROM main.reports)""",
    # So that the views of the archive know the scales.
    "INSERT INTO main.instruments SELECT * FROM live.instruments",
    f"""INSERT INTO main.journal SELECT * FROM live.journal WHERE last_seq <= :cut
    AND (last_seq > :before
    OR last_seq IN (SELECT report_id >> {NUMBER_BITS} FROM main.reports))""",
    """INSERT INTO main.orders SELECT * FROM live.orders WHERE (seq > :before AND seq <= :cut)
    OR seq IN (SELECT order_id FROM main.reports)
    OR seq IN (SELECT order_id + named_after FROM main.reports)""",
)
REMOVE = (
    f"DELETE FROM reports WHERE {MOVED}",
    """DELETE FROM report_names WHERE report_id < :stays
    AND report_id NOT IN (SELECT report_id FROM reports WHERE report_id < :stays)""",
    """DELETE FROM trade_changes WHERE report_id < :stays
    AND report_id NOT IN (SELECT report_id FROM reports WHERE report_id < :stays)""",
    f"""DELETE FROM journal WHERE last_seq <= :cut
    AND last_seq NOT IN (
        SELECT report_id >> {NUMBER_BITS} FROM reports WHERE report_id < :stays)""",
)


def last_turn_before(store: PersistentStorage, wall_ns: int) -> int:
    """The last turn stamped before an instant that may be archived: the journal's last turn, and
    what the latest snapshot does not know, stay. 0 if there is none."""
    newest = max((snapshot.seq for snapshot in store.snapshots()), default=0)
    numbers = wall_ns, newest, store.begins[0]
    return store.connection.execute(SELECT_TURN_BEFORE, numbers).fetchone()[0] or 0


def archive(store: PersistentStorage, cut_seq: int, open_ids: Collection[int]) -> ArchiveRow:
    """Move the journal up to `cut_seq`, the end of a turn, and the reports up to there of orders
    that have ended, into a file beside the database.

    open_ids: orders that are open, and transfers in flight. Raises StoreError, JournalError; then
    nothing has changed.
    """
    record = store.record_of(cut_seq)
    assert record is not None and record.last_seq == cut_seq
    name = f"{store.path.stem}-archive-{cut_seq}.db"
    path = store.path.resolve().with_name(name)
    new = path.with_name(f"{name}.new")
    remove(new)  # of one that was killed
    store.keep_private(new)
    reports = _write(store, new, cut_seq, open_ids)
    row = ArchiveRow(cut_seq, record.checksum, reports, name)
    _check(new, store.begins, row)
    new.replace(path)
    sync_directory(path.parent)
    _remove(store, row, open_ids)
    return row


def _write(store: PersistentStorage, new: Path, cut_seq: int, open_ids: Collection[int]) -> int:
    """A database of its own with what is to be moved; how many reports that is."""
    with closing(sqlite3.connect(new.as_uri(), uri=True, isolation_level=None)) as connection:
        connection.execute("PRAGMA synchronous = FULL")
        create(connection)
        live = f"{store.path.resolve().as_uri()}?mode=ro"
        connection.execute("ATTACH ? AS live", (live,))
        with _transaction(connection):
            numbers = _numbers(store, cut_seq)
            _keep(connection, "live", numbers, open_ids)
            for statement in COPY:
                connection.execute(statement, numbers)
        count: int = connection.execute("SELECT count(*) FROM main.reports").fetchone()[0]
    return count


def _remove(store: PersistentStorage, row: ArchiveRow, open_ids: Collection[int]) -> None:
    """The archive is whole and in its place: enter it, and delete what it has."""
    connection, numbers = store.connection, _numbers(store, row.last_seq)
    with _transaction(connection):
        _keep(connection, "main", numbers, open_ids)
        for statement in REMOVE:
            done = connection.execute(statement, numbers)
            if statement is REMOVE[0] and done.rowcount != row.reports:
                raise JournalError(
                    f"{row.name}: has {row.reports} reports, {done.rowcount} would be deleted"
                )
        connection.execute("INSERT INTO archives VALUES (?, ?, ?, ?)", row)
    # After a power loss the high-water file may name a turn that has been moved.
    store.mark_end()


def shrink(store: PersistentStorage) -> None:
    """Give the space back to the disk."""
    try:
        store.connection.execute("VACUUM")
        store.connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    except sqlite3.Error as error:
        raise StoreError(f"{store.path}: archived, but the space is not given back: {error}") from (
            error
        )


def _check(path: Path, begins: tuple[int, int], row: ArchiveRow) -> None:
    """The chain in it goes on from the archive before, and ends where it is to end."""
    with PersistentStorage(path, read_only=True) as archive:
        last_seq, checksum = begins
        for record in checked(archive.records(last_seq), last_seq, checksum):
            last_seq, checksum = record.last_seq, record.checksum
        if (last_seq, checksum) != (row.last_seq, row.checksum):
            raise JournalError(f"{path}: ends at sequence {last_seq}, expected {row.last_seq}")
        if damage := archive.damage():
            raise JournalError(f"{path}: damaged: {damage}")


def _numbers(store: PersistentStorage, cut_seq: int) -> dict[str, int]:
    return {"stays": (cut_seq + 1) << NUMBER_BITS, "cut": cut_seq, "before": store.begins[0]}


def _keep(
    connection: sqlite3.Connection, db: str, numbers: dict[str, int], open_ids: Collection[int]
) -> None:
    """Orders of which nothing is moved: those that are open, or of which something was told after
    what is moved."""
    connection.execute("DROP TABLE IF EXISTS temp.kept")
    connection.execute(KEPT)
    connection.executemany(KEEP, ((order_id,) for order_id in open_ids))
    connection.execute(KEEP_RECENT.format(db=db), numbers)


@contextmanager
def _transaction(connection: sqlite3.Connection) -> Iterator[None]:
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
        connection.execute("COMMIT")
    except sqlite3.Error as error:
        raise StoreError(f"archiving: {error}") from error
    finally:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
