"""SQLite store: the journal, the reports, and the ids ever used, in one file.

Flow:  dispatcher turn -> [sqlite] -> COMMIT -> publish
Owner: one connection, used by one thread at a time, writes and checkpoints. Readers open
       the file themselves, read-only: see `find_rows`.
"""

import os
import sqlite3
import threading
from collections.abc import Iterator, Sequence
from contextlib import closing
from itertools import takewhile
from pathlib import Path

from oms.desk.entries import Entry
from oms.errors import (
    JournalError,
    OutcomeUnknownError,
    StoreBusyError,
    StoreError,
    StoreFullError,
)
from oms.reports import Row
from oms.stores import JournalRecord, Snapshot, entry_in, rows_by_id
from oms.stores.schema import (
    INSERT_ID,
    INSERT_RECORD,
    INSERT_ROW,
    OF_ORDER,
    SELECT_RECORD,
    SELECT_ROW,
    check_version,
    migrate,
)  # fmt: skip

NANOS = 1_000_000_000
SYNCHRONOUS = {"full": "FULL", "normal": "NORMAL", "none": "OFF"}
PROBE_BYTES = 1 << 20
PAUSE_S_MIN, PAUSE_S_MAX = 0.001, 0.1


class PersistentStorage:
    """Everything durable, in one SQLite database.

    durability: "full" survives power loss, "normal" the death of the process, "none" is for
        simulations.
    busy_timeout_ns: how long to wait, with growing pauses, for another process's lock.
    read_only: for tools that look at a database; writes then fail.
    """

    def __init__(
        self,
        path: Path | str,
        *,
        durability: str = "full",
        busy_timeout_ns: int = 2 * NANOS,
        read_only: bool = False,
    ) -> None:
        self.path = Path(path)
        self._durability = durability
        self._busy_timeout_s = busy_timeout_ns / NANOS
        self._read_only = read_only
        self._connection: sqlite3.Connection | None = None
        self._hurried = threading.Event()

    # --- opening and closing ---

    def open(self) -> None:
        if self._connection is not None:
            return  # a second one would leave the first behind
        try:
            self._open()
        except BaseException:
            connection, self._connection = self._connection, None
            if connection is not None:
                connection.close()
            raise

    def _open(self) -> None:
        self._hurried.clear()
        try:
            self._connection = self._connect(read_only=self._read_only)
            if not self._read_only:
                self._prepare(self._connection)
            check_version(self._connection, self.path)
        except sqlite3.Error as error:
            raise _translated(error, f"{self.path}: cannot be used") from error
        except OSError as error:
            raise StoreError(f"{self.path}: cannot be used: {error}") from error

    def _connect(self, *, read_only: bool) -> sqlite3.Connection:
        # Without a write-ahead log beside it nobody writes; "immutable" then keeps SQLite from
        # making files of its own in order to look, so a read-only place will do.
        log = self.path.with_name(f"{self.path.name}-wal")
        mode = "rwc" if not read_only else "ro" if log.exists() else "ro&immutable=1"
        uri = f"{self.path.resolve().as_uri()}?mode={mode}"
        return sqlite3.connect(
            uri,
            uri=True,
            timeout=self._busy_timeout_s,
            isolation_level=None,  # transactions are ours: begin(), commit()
            check_same_thread=False,  # opened by whoever starts, then used by the dispatcher
            cached_statements=64,
        )

    def _prepare(self, connection: sqlite3.Connection) -> None:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute(f"PRAGMA synchronous = {SYNCHRONOUS[self._durability]}")
        connection.execute("PRAGMA wal_autocheckpoint = 1000")
        migrate(connection)
        # From here on begin() alone waits for others, in its own way: a stop must not.
        connection.execute(f"PRAGMA busy_timeout = {PAUSE_S_MAX * 1000:.0f}")
        _sync_directory(self.path.resolve().parent)

    def close(self) -> None:
        """Move the write-ahead log into the database and let go."""
        connection, self._connection = self._connection, None
        if connection is None:
            return
        try:
            if not self._read_only:
                connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        except sqlite3.Error as error:
            raise _translated(error, f"{self.path}: checkpoint") from error
        finally:
            connection.close()

    # --- one turn, one transaction ---

    def begin(self) -> None:
        waited_s, pause_s = 0.0, PAUSE_S_MIN
        while True:
            try:
                return self._write("BEGIN IMMEDIATE")
            except StoreBusyError:
                if waited_s >= self._busy_timeout_s or self._hurried.wait(pause_s):
                    raise
            waited_s += pause_s + PAUSE_S_MAX  # SQLite has waited too
            pause_s = min(2 * pause_s, PAUSE_S_MAX)

    def hurry(self) -> None:
        self._hurried.set()

    def claim(self, ids: Sequence[tuple[str, str, int]]) -> bool:
        try:
            return self._db.executemany(INSERT_ID, ids).rowcount == len(ids)
        except sqlite3.Error as error:
            raise _translated(error, "writing ids") from error

    def append(self, record: JournalRecord, rows: Sequence[Row]) -> None:
        try:
            self._db.execute(INSERT_RECORD, record)
            self._db.executemany(INSERT_ROW, rows)
        except sqlite3.Error as error:
            raise _translated(error, "writing the journal") from error

    def commit(self) -> None:
        self._write("COMMIT")

    def rollback(self) -> None:
        if self._db.in_transaction:
            self._write("ROLLBACK")

    def probe(self) -> None:
        self._write("BEGIN IMMEDIATE")
        try:
            self._db.execute("INSERT INTO probe VALUES (zeroblob(?))", (PROBE_BYTES,))
            self._write("COMMIT")
            self._write("DELETE FROM probe")
        except sqlite3.Error as error:
            raise _translated(error, "probing") from error
        finally:
            self.rollback()

    def save_snapshot(self, snapshot: Snapshot) -> None:
        """Keep this snapshot and the one before it."""
        self._write("BEGIN IMMEDIATE")
        try:
            self._db.execute("INSERT OR REPLACE INTO snapshots VALUES (?, ?, ?)", snapshot)
            self._db.execute(
                "DELETE FROM snapshots WHERE journal_seq NOT IN "
                "(SELECT journal_seq FROM snapshots ORDER BY journal_seq DESC LIMIT 2)"
            )
            self._write("COMMIT")
        except sqlite3.Error as error:
            raise _translated(error, "writing a snapshot") from error
        finally:
            self.rollback()

    # --- reading ---

    def owner(self, account: str, client_order_id: str) -> int:
        query = "SELECT journal_seq FROM client_orders WHERE account = ? AND client_order_id = ?"
        found = self._read(query, (account, client_order_id)).fetchone()
        return int(found[0]) if found else 0

    def records(self, after_seq: int = 0) -> Iterator[JournalRecord]:
        cursor = self._read(SELECT_RECORD + "WHERE last_seq > ? ORDER BY last_seq", (after_seq,))
        return map(JournalRecord._make, _guarded(cursor))

    def record_of(self, seq: int) -> JournalRecord | None:
        cursor = self._read(SELECT_RECORD + "WHERE last_seq >= ? ORDER BY last_seq LIMIT 1", (seq,))
        found = cursor.fetchone()
        return JournalRecord._make(found) if found else None

    def rows_of(self, order_id: int) -> list[Row]:
        return self._read(SELECT_ROW + OF_ORDER, (order_id,)).fetchall()

    def rows_of_turn(self, seq: int) -> list[Row]:
        # Reports are kept in journal order under growing row numbers: twenty looks find the
        # turn, and no index costs every order something for the sake of a rare question.
        low, high = (
            0,
            int(self._read("SELECT ifnull(max(rowid), 0) FROM order_responses", ()).fetchone()[0]),
        )
        while low < high:
            middle = (low + high) // 2
            at = self._read("SELECT journal_seq FROM order_responses WHERE rowid = ?", (middle,))
            low, high = (middle + 1, high) if (at.fetchone() or (0,))[0] < seq else (low, middle)
        rows = _guarded(self._read(SELECT_ROW + "WHERE rowid >= ? ORDER BY rowid", (low,)))
        return list(takewhile(lambda row: row[0] == seq, rows))

    def entry_of(self, seq: int) -> Entry:
        return entry_in(self.record_of(seq), seq)

    def find_rows(self, account: str, client_order_id: str) -> list[Row]:
        # A connection of its own, read-only, so that any thread may ask and no writer waits.
        reader = PersistentStorage(self.path, read_only=True)
        reader.open()
        with closing(reader):
            return rows_by_id(
                account, client_order_id, reader.owner, reader.rows_of, reader.entry_of
            )

    def last_told_seq(self) -> int:
        query = "SELECT journal_seq FROM order_responses ORDER BY rowid DESC LIMIT 1"
        found = self._read(query, ()).fetchone()
        return int(found[0]) if found else 0

    def all_rows(self) -> Iterator[Row]:
        return _guarded(self._read(SELECT_ROW + "ORDER BY rowid", ()))

    def snapshot(self) -> Snapshot | None:
        query = (
            "SELECT journal_seq, checksum, body FROM snapshots ORDER BY journal_seq DESC LIMIT 1"
        )
        found = self._read(query, ()).fetchone()
        return Snapshot._make(found) if found else None

    def snapshots(self) -> list[Snapshot]:
        """All that are kept, not the latest alone."""
        query = "SELECT journal_seq, checksum, body FROM snapshots ORDER BY journal_seq"
        return list(map(Snapshot._make, self._read(query, ())))

    @property
    def _db(self) -> sqlite3.Connection:
        if self._connection is None:
            raise StoreError(f"{self.path}: not open")
        return self._connection

    def _read(self, query: str, arguments: tuple[object, ...]) -> sqlite3.Cursor:
        try:
            return self._db.execute(query, arguments)
        except sqlite3.Error as error:
            raise _translated(error, "reading") from error

    def _write(self, statement: str) -> None:
        try:
            self._db.execute(statement)
        except sqlite3.Error as error:
            raise _translated(error, statement) from error


def _guarded(cursor: sqlite3.Cursor) -> Iterator[tuple]:  # type: ignore[type-arg]
    try:
        # `yield from` would also close the cursor, perhaps after the database.
        for found in cursor:  # noqa: UP028
            yield found
    except sqlite3.Error as error:
        raise _translated(error, "reading") from error


def _translated(error: sqlite3.Error, doing: str) -> StoreError:
    """What an error of SQLite means for the order that was being stored."""
    code = getattr(error, "sqlite_errorcode", None)
    text = f"{doing}: {error}"
    if code is None:
        return OutcomeUnknownError(text)
    primary = code & 0xFF
    if primary in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
        return StoreBusyError(text)
    if primary == sqlite3.SQLITE_FULL:
        return StoreFullError(text)
    if primary in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB):
        return JournalError(text)
    if primary in (sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_PERM):
        return StoreError(text)
    return OutcomeUnknownError(text)


def _sync_directory(path: Path) -> None:
    """Make the directory entries durable; SQLite ignores an I/O error when it does this."""
    if os.name != "posix":
        return
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
