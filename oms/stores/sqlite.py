"""SQLite store: the journal, the reports, and the ids ever used, in one file.

Flow:  dispatcher turn -> [sqlite] -> COMMIT -> publish
Owner: one connection, used by one thread at a time, writes and checkpoints. Readers open
       the file themselves, read-only: see `find_reports`.
"""

import os
import sqlite3
import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from oms.clock import NANOS
from oms.errors import (
    JournalError,
    OutcomeUnknownError,
    StoreBusyError,
    StoreError,
    ValidationError,
)
from oms.positions import (
    CHANGES,
    fill_of,
)
from oms.reports import (
    STORED,
    Report,
    type_of,
)
from oms.stores import (
    Claim,
    JournalRecord,
    Snapshot,
    Turn,
)
from oms.stores.archives import ArchiveRow, Archives
from oms.stores.high_water import (
    HighWater,
    JournalEnd,
    Loss,
    Mark,
    is_empty,
    loss_of,
    remains_of,
)
from oms.stores.inserts import insert_all
from oms.stores.private import keep_private
from oms.stores.schema import (
    ALL_CHANGES,
    ALL_VIEWS,
    ARCHIVED_VERSION,
    COUNT_ALL,
    DROP_PARTS,
    INSERT_CHANGE,
    INSERT_CLAIM,
    INSERT_NAMES,
    INSERT_RECORD,
    INSERT_REPORT,
    INSERT_STAND_IN,
    KEPT,
    NAMED_OTHERWISE,
    OTHERS,
    SCHEMA_VERSION,
    SELECT_ARCHIVES,
    SELECT_END,
    TABLES,
    add_kept,
    check_version,
    create,
    lacks_kept_alone,
    set_aside,
    widen,
)
from oms.stores.sql_store import SqlStore
from oms.stores.sqlite_errors import READ_ERRORS, guarded, translated
from oms.stores.write_ahead_log import log_bytes

SYNCHRONOUS = {"full": "FULL", "normal": "NORMAL", "none": "OFF"}
FULL_CHECK = "integrity_check"
QUICK_CHECK_BYTES_MAX = 256 << 20  # about a second
PROBE_BYTES = 1 << 20
WAL_BYTES_MAX = 64 << 20  # a log that was larger is cut to this when it starts anew
PAUSE_S_MIN, PAUSE_S_MAX = 0.001, 0.1


class PersistentStorage(SqlStore):
    """Everything durable, in one SQLite database.

    durability: "full" survives power loss, "normal" the death of the process, "none" is for
        simulations.
    busy_timeout_ns: how long to wait, with growing pauses, for another process's lock.
    read_only: for tools that look at a database; writes then fail.
    group: of the operating system, whose members may read the files; else their owner alone may.
    accept_loss: go on from this sequence, though later entries are missing; see high_water.py.

        with PersistentStorage("order_management.db", read_only=True) as store:
            for report in store.find_reports("me", "my-order"):
                print(report.type, report.state)

    Raises ValidationError, naming the argument, on a value out of range.
    """

    def __init__(
        self,
        path: Path | str,
        *,
        durability: str = "full",
        busy_timeout_ns: int = 2 * NANOS,
        read_only: bool = False,
        accept_loss: int | None = None,
        group: str = "",
    ) -> None:
        if not isinstance(path, str | Path) or not str(path):
            raise ValidationError("path", path, "the path of a database file")
        if type(durability) is not str or durability not in SYNCHRONOUS:
            raise ValidationError("durability", durability, "one of " + ", ".join(SYNCHRONOUS))
        if type(busy_timeout_ns) is not int or busy_timeout_ns < 0:
            raise ValidationError("busy_timeout_ns", busy_timeout_ns, "nanoseconds, 0 or more")
        if accept_loss is not None and (type(accept_loss) is not int or accept_loss < 0):
            raise ValidationError("accept_loss", accept_loss, "a journal sequence, or none")
        if type(group) is not str:
            raise ValidationError("group", group, "the name of a group, or an empty text")
        super().__init__()
        self.path = Path(path)
        self._group = group
        self._durability = durability
        self._busy_timeout_s = busy_timeout_ns / NANOS
        self._read_only = read_only
        self._connection: sqlite3.Connection | None = None
        self._hurried = threading.Event()
        self._reading = threading.Lock()  # for the one reader that all other threads share
        self._reader: PersistentStorage | None = None
        self._accept_loss = accept_loss
        self._high = HighWater(self.path)
        self._unclean = False  # it was not closed in order the last time
        self._appended: JournalRecord | None = None  # by the transaction under way
        self._oldest = SCHEMA_VERSION  # schema that is read
        self.outdated = False
        self.loss: Loss | None = None  # found by open(), and accepted

    # --- opening and closing ---

    def __str__(self) -> str:
        return str(self.path)

    def open(self) -> None:
        if self._connection is not None:
            return  # a second one would leave the first behind
        try:
            self._open()
        except BaseException:
            connection, self._connection = self._connection, None
            if connection is not None:
                connection.close()
            self._high.close()
            raise

    def _open(self) -> None:
        self._hurried.clear()
        try:
            if self._read_only:
                self._connection = self._connect(read_only=True)
            else:
                keep_private(self.path, self._group)
                end = self._look_for_losses()
                keep_private(self.path, self._group, create=True)
                self._connection = self._connect(read_only=False)
                self._prepare(self._connection)
                self._high.open(end)
                sync_directory(self.path.resolve().parent)
            if not self.outdated:
                check_version(self._connection, self.path, self._oldest)
            self._archives = self._open_archives()
        except READ_ERRORS as error:
            raise translated(error, f"{self.path}: cannot be used") from error
        except OSError as error:
            raise StoreError(f"{self.path}: cannot be used: {error}") from error

    def _open_archives(self) -> Archives:
        """They belong to the database, so they have to be there: StoreError names the first that
        is not."""
        rows = [ArchiveRow._make(row) for row in self._rows(SELECT_ARCHIVES, ())]
        files = [
            PersistentStorage(self.path.resolve().with_name(row.name), read_only=True)
            for row in rows
        ]
        for row, file in zip(rows, files, strict=True):
            if not file.path.exists():
                raise StoreError(
                    f"{file.path}: missing: the archive of the journal up to sequence "
                    f"{row.last_seq} belongs beside the database; put it back"
                )
        for file in files:
            file._oldest = ARCHIVED_VERSION  # it is never written, so no program brings it up
            file.open()
        return Archives(rows, files)

    def _look_for_losses(self) -> JournalEnd:
        """Where the journal ends; JournalError if it should not end there.

        Nothing was changed until then: SQLite would drop the end of a damaged log.
        """
        try:
            mark = self._high.read()
        except JournalError:
            if self._accept_loss is None:
                raise
            mark = None
        self._unclean = log_bytes(self.path) > 0
        end = JournalEnd(0, 0, None)
        if not is_empty(self.path):
            # Without a log there is nothing to drop, and a creation cut short may need repair.
            with closing(self._connect(read_only=self._unclean)) as connection:
                end = _journal_end(connection, mark)
        elif remains := remains_of(self.path, mark):
            if self._accept_loss != 0:
                raise JournalError(
                    f"{self.path}: empty or missing, but {', '.join(remains)} beside it show that "
                    f"it was not; the journal had come to sequence {mark.seq if mark else '?'}: "
                    "put the database back, or begin anew with --accept-loss 0"
                )
            self.loss = Loss(0, mark.seq if mark else 0)
            return end
        synced = self._durability == "full"
        self.loss = loss_of(self.path, mark, end, self._accept_loss, synced=synced)
        return end

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
        connection.execute(f"PRAGMA journal_size_limit = {WAL_BYTES_MAX}")
        self.outdated = create(connection)
        # From here on begin() alone waits for others, in its own way: a stop must not.
        connection.execute(f"PRAGMA busy_timeout = {PAUSE_S_MAX * 1000:.0f}")

    def upgrade(self, turns: Iterable[Turn]) -> None:
        """Make all tables but the journal anew, in one transaction: an older program wrote them,
        or they are damaged. Where such a program's lack but what is kept for readers, that alone.
        """
        self._write("BEGIN IMMEDIATE")
        try:
            if lacks_kept_alone(self._db) and self.loss is None:
                self._add_kept(turns)
            else:
                self._make_anew(turns)
            self._db.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
            self._write("COMMIT")
        except sqlite3.Error as error:
            raise translated(error, "upgrading") from error
        finally:
            self.rollback()
        self.outdated = False

    def _not_archived(self, reports: list[Report]) -> list[Report]:
        """Of one turn's reports those that were not moved into an archive."""
        seq = reports[0].journal_seq if reports else 0
        moved = {report.report_id for report in self._archives.reports_of_turn(seq)}
        return [report for report in reports if report.report_id not in moved]

    def _add_kept(self, turns: Iterable[Turn]) -> None:
        add_kept(self._db)
        changes = [(fill_of(each), each.report_id) for each in self._reports(ALL_CHANGES)]
        self._db.executemany(INSERT_CHANGE, changes)
        for _, _, noted in turns:
            self.note(noted)
        self._keep_all()

    def _make_anew(self, turns: Iterable[Turn]) -> None:
        db, take_over = self._db, set_aside(self._db)
        widen(db)
        for statement in (*TABLES, *KEPT.values(), *ALL_VIEWS.values()):
            db.execute(statement)
        for claims, reports, noted in turns:
            insert_all(db, INSERT_CLAIM, claims)
            self._insert([
                self._named(r) if r.type in NAMED_OTHERWISE else r
                for r in self._not_archived(reports)
            ])  # fmt: skip
            self.note(noted)
        self._keep_all()
        for statement in (take_over, "DROP TABLE old_reports", *OTHERS, "REINDEX journal"):
            db.execute(statement)

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
        self._archives.close()
        if connection is None:
            return
        try:
            if not self._read_only:
                connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        except sqlite3.Error as error:
            raise translated(error, f"{self.path}: checkpoint") from error
        finally:
            connection.close()
            self._high.close()

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
            return insert_all(self._connection or self._db, INSERT_CLAIM, claims) == len(claims)
        except sqlite3.Error as error:
            raise translated(error, "writing ids") from error

    def append(self, record: JournalRecord, reports: Sequence[Report]) -> None:
        try:
            (self._connection or self._db).execute(INSERT_RECORD, record)
            self._appended = record
            self._insert(reports)
            self._keep(record.last_seq, reports)
        except sqlite3.Error as error:
            raise translated(error, "writing the journal") from error

    def _insert(self, reports: Sequence[Report]) -> None:
        db = self._connection or self._db
        insert_all(db, INSERT_REPORT, [report[:STORED] for report in reports])
        if not NAMED_OTHERWISE.isdisjoint(map(type_of, reports)):
            others = [report for report in reports if report.type in NAMED_OTHERWISE]
            db.executemany(
                INSERT_STAND_IN, [(r.order_id, r.account, r.symbol, r.side) for r in others]
            )
            db.executemany(
                INSERT_NAMES, [(r.report_id, r.symbol, r.side, r.order_id) for r in others]
            )
            changes = [(fill_of(r), r.report_id) for r in others if r.type in CHANGES]
            db.executemany(INSERT_CHANGE, changes)

    def commit(self) -> None:
        self._write("COMMIT")
        record, self._appended = self._appended, None
        if record is None:
            return
        try:
            self._high.write(record.last_seq, record.checksum)
        except OSError as error:
            raise OutcomeUnknownError(f"{self._high.path}: {error}") from error

    def rollback(self) -> None:
        self._appended = None
        self._holdings.forget()  # of a turn that is undone
        if self._db.in_transaction:
            self._write("ROLLBACK")

    def tend(self) -> int:
        """How large the write-ahead log is; between two turns, now and then.

        A reader that stays in one transaction keeps the log from starting anew, however large it
        is. Once that one has gone the log is moved into the database and cut off; nobody waits.
        """
        try:
            size = self.path.with_name(f"{self.path.name}-wal").stat().st_size
        except OSError:
            return 0
        if size <= WAL_BYTES_MAX:
            return size
        try:
            _, pages, moved = self._db.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
            if pages == moved:
                size = size if self._truncate() else 0
        except sqlite3.Error as error:
            raise translated(error, "checkpoint") from error
        return size

    def _truncate(self) -> bool:
        """Cut the write-ahead log off; is somebody in the way, so that it stays?"""
        db = self._db
        db.execute("PRAGMA busy_timeout = 0")
        try:
            busy: int = db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0]
        finally:
            db.execute(f"PRAGMA busy_timeout = {PAUSE_S_MAX * 1000:.0f}")
        return bool(busy)

    def probe(self) -> None:
        self._write("BEGIN IMMEDIATE")
        try:
            self._db.execute("INSERT INTO probe VALUES (zeroblob(?))", (PROBE_BYTES,))
            self._write("COMMIT")
            self._write("DELETE FROM probe")
        except sqlite3.Error as error:
            raise translated(error, "probing") from error
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

    def snapshots(self) -> list[Snapshot]:
        # As bytes: what is no text is a snapshot whose digest does not match, and no error.
        query = (
            "SELECT journal_seq, checksum, CAST(last AS BLOB), parts_id FROM snapshots "
            "ORDER BY journal_seq"
        )
        of_one = "SELECT CAST(part AS BLOB) FROM snapshot_parts WHERE parts_id = ? ORDER BY number"
        return [
            Snapshot(
                seq,
                crc,
                last.decode(errors="replace"),
                parts_id,
                tuple(part.decode(errors="replace") for (part,) in self._rows(of_one, (parts_id,))),
            )
            for seq, crc, last, parts_id in list(self._rows(query, ()))
        ]

    def drop_parts(self, under_way: int) -> bool:
        return self._run(DROP_PARTS, (under_way,)) > 0

    def _run(self, statement: str, arguments: Sequence[object]) -> int:
        """One statement, a transaction of its own; how many rows it was about."""
        try:
            return self._db.execute(statement, arguments).rowcount
        except sqlite3.Error as error:
            raise translated(error, "writing a snapshot") from error

    def keep_private(self, path: Path) -> None:
        """Make a file for data of this database, that nobody may read who may not read this one."""
        keep_private(path, self._group, create=True)

    def copy_to(self, path: Path) -> None:
        """A copy of this database as of one instant, synced; nobody who writes it waits.

        An archive is not copied with it: see `archives`. What is at `path` already goes.
        Who may read the database may read the copy, and nobody else.
        """
        remove(path)
        self.keep_private(path)
        try:
            with closing(sqlite3.connect(path)) as copy:
                copy.execute("PRAGMA synchronous = FULL")
                self._db.backup(copy)
        except READ_ERRORS as error:
            raise translated(error, f"{path}: copying") from error

    # --- other connections ---

    @contextmanager
    def _read_only_one(self) -> "Iterator[PersistentStorage]":
        """A connection of its own, read-only, so that any thread may ask and no writer waits."""
        with self._reading:
            reader = self._reader
            if reader is None:
                reader = PersistentStorage(self.path, read_only=True)
                reader.open()
                if self._connection is not None:  # while it is written, it is read from often
                    self._reader = reader
            try:
                yield reader
            finally:
                if self._reader is None:
                    reader.close()

    @contextmanager
    def at_one_instant(self) -> "Iterator[PersistentStorage]":
        """A connection for one question that takes a while, so that nobody else waits for it:
        trades, and what became of them, as of one instant."""
        with PersistentStorage(self.path, read_only=True) as reader:
            reader._write("BEGIN")
            yield reader

    def inspect(self) -> tuple[int, int]:
        """What a start asks: how many claims and reports there are.

        After an unclean stop the pages of a database of up to QUICK_CHECK_BYTES_MAX are checked,
        too; JournalError if they are damaged.
        """
        if self._unclean and self.path.stat().st_size <= QUICK_CHECK_BYTES_MAX:
            damage = self.damage("quick_check")
            if damage:
                raise JournalError(
                    f"{self.path}: a damaged page: {damage}; `rebuild` makes all tables but the "
                    "journal anew, or use a backup"
                )
        [(claims, reports)] = self._rows(COUNT_ALL, ())
        return claims, reports + self._archives.reports

    def damage(self, check: str = FULL_CHECK) -> str:
        """What SQLite finds wrong first with its pages and indexes; "" for nothing.

        check: "quick_check" leaves out what indexes hold, and takes a fraction of the time.
        """
        found = self._one(f"PRAGMA {check}(1)")
        if found != ("ok",):
            return " ".join(str(found and found[0]).split())
        return next(iter(self._archives.damages(check)), "") if check == FULL_CHECK else ""

    @property
    def connection(self) -> sqlite3.Connection:
        """For archiving alone: what is written through it is its own affair."""
        return self._db

    def mark_end(self) -> None:
        """Have the high-water file name the journal's last turn, which stays in the database."""
        end = self._one(SELECT_END)
        assert end is not None
        self._high.write(*end)

    @property
    def _db(self) -> sqlite3.Connection:
        if self._connection is None:
            raise StoreError(f"{self.path}: not open")
        return self._connection

    def _rows(self, query: str, arguments: Sequence[object]) -> Iterator[Any]:
        try:
            return guarded(self._db.execute(query, arguments))
        except READ_ERRORS as error:
            raise translated(error, "reading") from error

    def _write_rows(self, statement: str, rows: Iterable[Sequence[object]]) -> int:
        try:
            return (self._connection or self._db).executemany(statement, rows).rowcount
        except sqlite3.Error as error:
            raise translated(error, "writing what is kept") from error

    def _write(self, statement: str) -> None:
        try:
            (self._connection or self._db).execute(statement)
        except sqlite3.Error as error:
            raise translated(error, statement) from error


def schema_version(path: Path) -> int:
    """The schema version of a database; 0: none of ours. StoreError if it cannot be read."""
    store = PersistentStorage(path, read_only=True)
    try:
        with closing(store._connect(read_only=True)) as connection:
            version: int = connection.execute("PRAGMA user_version").fetchone()[0]
            return version
    except READ_ERRORS as error:
        raise translated(error, f"{path}: cannot be used") from error


def _journal_end(connection: sqlite3.Connection, mark: Mark | None) -> JournalEnd:
    if not connection.execute("PRAGMA user_version").fetchone()[0]:
        return JournalEnd(0, 0, None)  # it was killed while it made the tables
    seq, checksum = connection.execute(SELECT_END).fetchone() or (0, 0)
    marked = connection.execute(
        "SELECT checksum FROM journal WHERE last_seq = ?", (mark.seq if mark else 0,)
    ).fetchone()
    return JournalEnd(seq, checksum, marked[0] if marked else None)


def remove(path: Path) -> None:
    """A database that was not finished, if there is one, with the journal that SQLite keeps beside
    it: that must not be applied to another."""
    for each in (path, path.with_name(f"{path.name}-journal")):
        each.unlink(missing_ok=True)


def sync_directory(path: Path) -> None:
    """Make the directory entries durable; SQLite ignores an I/O error when it does this."""
    if os.name != "posix":
        return
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
