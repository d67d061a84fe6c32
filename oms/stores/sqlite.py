"""SQLite store: the journal, the reports, and the ids ever used, in one file.

Flow:  dispatcher turn -> [sqlite] -> COMMIT -> publish
Owner: one connection, used by one thread at a time, writes and checkpoints. Readers open
       the file themselves, read-only: see `find_reports`.
"""

import os
import sqlite3
import threading
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from oms.clock import NANOS
from oms.errors import (
    JournalError,
    OutcomeUnknownError,
    StoreBusyError,
    StoreError,
    StoreFullError,
)
from oms.reports import NUMBER_BITS, NUMBER_MASK, STORED, Report, stored_report, type_of
from oms.requests.codec import Line
from oms.requests.orders import SEQUENCE_MAX
from oms.stores import Claim, JournalRecord, Snapshot, answers_in, line_in
from oms.stores.schema import (
    DROP_PARTS,
    INSERT_CLAIM,
    INSERT_NAMES,
    INSERT_RECORD,
    INSERT_REPORT,
    INSERT_STAND_IN,
    OF_ORDER,
    OTHERS,
    SCHEMA_VERSION,
    SELECT_RECORD,
    SELECT_REPORT,
    TABLES,
    VIEW,
    WIDEN,
    check_version,
    create,
)

SYNCHRONOUS = {"full": "FULL", "normal": "NORMAL", "none": "OFF"}
PROBE_BYTES = 1 << 20
PAUSE_S_MIN, PAUSE_S_MAX = 0.001, 0.1
# Answers to requests about what is over, or unknown, or no order: they may name no symbol.
CANCEL_REJECTED = "CANCEL_REJECTED"
NAMED_OTHERWISE = frozenset(
    ("REJECTED", "CANCEL_REJECTED", "ORDER_STATUS", "TRADE_BUSTED", "COMMAND_DONE",
    "COMMAND_REJECTED")
)  # fmt: skip


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
        self._reading = threading.Lock()  # for the one reader that all other threads share
        self._reader: PersistentStorage | None = None
        self.outdated = False

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
            if not self.outdated:
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
        self.outdated = create(connection)
        # From here on begin() alone waits for others, in its own way: a stop must not.
        connection.execute(f"PRAGMA busy_timeout = {PAUSE_S_MAX * 1000:.0f}")
        _sync_directory(self.path.resolve().parent)

    def upgrade(self, turns: Iterable[tuple[list[Claim], list[Report]]]) -> None:
        """Make all tables but the journal anew, in one transaction; an older program wrote them.

        How long things took is in no journal: it is taken over from the old reports.
        """
        self._write("BEGIN IMMEDIATE")
        try:
            self._db.execute("ALTER TABLE order_responses RENAME TO old_responses")
            for statement in (*WIDEN, *TABLES, VIEW):
                self._db.execute(statement)
            for claims, reports in turns:
                self._db.executemany(INSERT_CLAIM, claims)
                self._insert([
                    self._named(r) if r.type in NAMED_OTHERWISE else r for r in reports
                ])  # fmt: skip
            self._db.execute(
                "UPDATE reports SET waited_ns = old.waited_ns, venue_ns = old.venue_ns "
                "FROM old_responses AS old WHERE report_id = "
                f"(old.journal_seq << {NUMBER_BITS}) | old.number"
            )
            for statement in (
                "DROP TABLE old_responses", "DROP TABLE client_orders", *OTHERS,
                f"PRAGMA user_version = {SCHEMA_VERSION}",
            ):  # fmt: skip
                self._db.execute(statement)
            self._write("COMMIT")
        except sqlite3.Error as error:
            raise _translated(error, "upgrading") from error
        finally:
            self.rollback()
        self.outdated = False

    def _named(self, report: Report) -> Report:
        """A report of an older journal may not know whose client order id it bears."""
        seq, _ = self.owner(report.account, report.client_order_id)
        return report._replace(named_after=seq - report.order_id)

    def close(self) -> None:
        """Move the write-ahead log into the database and let go."""
        with self._reading:
            connection, self._connection = self._connection, None
            reader, self._reader = self._reader, None
        if reader is not None:
            reader.close()
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

    def claim(self, claims: Sequence[Claim]) -> bool:
        try:
            db = self._connection or self._db
            return db.executemany(INSERT_CLAIM, claims).rowcount == len(claims)
        except sqlite3.Error as error:
            raise _translated(error, "writing ids") from error

    def append(self, record: JournalRecord, reports: Sequence[Report]) -> None:
        try:
            (self._connection or self._db).execute(INSERT_RECORD, record)
            self._insert(reports)
        except sqlite3.Error as error:
            raise _translated(error, "writing the journal") from error

    def _insert(self, reports: Sequence[Report]) -> None:
        db = self._connection or self._db
        db.executemany(INSERT_REPORT, [report[:STORED] for report in reports])
        if not NAMED_OTHERWISE.isdisjoint(map(type_of, reports)):
            others = [report for report in reports if report.type in NAMED_OTHERWISE]
            db.executemany(
                INSERT_STAND_IN, [(r.order_id, r.account, r.symbol, r.side) for r in others]
            )
            db.executemany(
                INSERT_NAMES, [(r.report_id, r.symbol, r.side, r.order_id) for r in others]
            )

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

    def save_part(self, parts_id: int, number: int, part: str) -> None:
        if number == 1:  # of one that did not come to its end nothing stays
            self._run("DELETE FROM snapshot_parts WHERE parts_id = ?", (parts_id,))
        self._run("INSERT INTO snapshot_parts VALUES (?, ?, ?)", (parts_id, number, part))

    def save_snapshot(self, snapshot: Snapshot) -> None:
        """Keep this snapshot and the one before it."""
        self._run("INSERT OR REPLACE INTO snapshots VALUES (?, ?, ?, ?)", snapshot[:4])
        self._run(
            "DELETE FROM snapshots WHERE journal_seq NOT IN "
            "(SELECT journal_seq FROM snapshots ORDER BY journal_seq DESC LIMIT 2)",
            (),
        )

    def drop_parts(self, under_way: int) -> bool:
        return self._run(DROP_PARTS, (under_way,)) > 0

    def _run(self, statement: str, arguments: Sequence[object]) -> int:
        """One statement, a transaction of its own; how many rows it was about."""
        try:
            return self._db.execute(statement, arguments).rowcount
        except sqlite3.Error as error:
            raise _translated(error, "writing a snapshot") from error

    # --- reading ---

    def owner(self, account: str, client_order_id: str) -> tuple[int, int]:
        query = "SELECT seq, content FROM orders WHERE account = ? AND client_order_id = ?"
        found = self._read(query, (account, client_order_id)).fetchone()
        return (found[0], found[1]) if found else (0, 0)

    def records(self, after_seq: int = 0) -> Iterator[JournalRecord]:
        cursor = self._read(SELECT_RECORD + "WHERE last_seq > ? ORDER BY last_seq", (after_seq,))
        return map(JournalRecord._make, _guarded(cursor))

    def record_of(self, seq: int) -> JournalRecord | None:
        cursor = self._read(SELECT_RECORD + "WHERE last_seq >= ? ORDER BY last_seq LIMIT 1", (seq,))
        found = cursor.fetchone()
        return JournalRecord._make(found) if found else None

    def line_of(self, seq: int) -> Line:
        return line_in(self.record_of(seq), seq)

    def reports_of(self, order_id: int) -> list[Report]:
        return self._reports(OF_ORDER, order_id)

    def reports_of_turn(self, seq: int) -> list[Report]:
        if not 0 < seq <= SEQUENCE_MAX >> NUMBER_BITS:
            return []
        where = "WHERE r.report_id BETWEEN ? AND ? ORDER BY r.report_id"
        return self._reports(where, seq << NUMBER_BITS, (seq << NUMBER_BITS) | NUMBER_MASK)

    def told(self, seq: int) -> Report | None:
        record = self.record_of(seq)
        first = answers_in(self.reports_of_turn(record.last_seq), seq) if record else []
        return answers_in(self.reports_of(first[0].order_id), seq)[-1] if first else None

    def find_reports(self, account: str, named: str | int) -> list[Report]:
        # A connection of its own, read-only, so that any thread may ask and no writer waits.
        with self._reading:
            reader = self._reader
            if reader is None:
                reader = PersistentStorage(self.path, read_only=True)
                reader.open()
                if self._connection is not None:  # while it is written, it is read from often
                    self._reader = reader
            try:
                return reader._find(account, named)
            finally:
                if self._reader is None:
                    reader.close()

    def _find(self, account: str, named: str | int) -> list[Report]:
        if isinstance(named, int):
            fits = 0 < named <= SEQUENCE_MAX
            return [r for r in self.reports_of(named) if r.account == account] if fits else []
        seq, _ = self.owner(account, named)
        own = self.reports_of(seq) if seq else []
        if own or not seq:
            return own
        told = self.told(seq)  # a change: of which order?
        if told is None or told.type == CANCEL_REJECTED:  # then it never was a name of the order
            return []
        return self.reports_of(told.order_id)

    def last_told_seq(self) -> int:
        found = self._read("SELECT max(report_id) FROM reports", ()).fetchone()
        return (found[0] or 0) >> NUMBER_BITS

    def all_reports(self) -> Iterator[Report]:
        return map(stored_report, _guarded(self._read(SELECT_REPORT + "ORDER BY r.report_id", ())))

    def _reports(self, where: str, *arguments: object) -> list[Report]:
        return list(map(stored_report, _guarded(self._read(SELECT_REPORT + where, arguments))))

    def snapshots(self) -> list[Snapshot]:
        query = "SELECT journal_seq, checksum, last, parts_id FROM snapshots ORDER BY journal_seq"
        of_one = "SELECT part FROM snapshot_parts WHERE parts_id = ? ORDER BY number"
        return [
            Snapshot._make((*found, tuple(part for (part,) in self._read(of_one, found[3:]))))
            for found in self._read(query, ()).fetchall()
        ]

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
            (self._connection or self._db).execute(statement)
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
