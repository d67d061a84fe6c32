"""SQLite store: the journal, the reports, and the ids ever used, in one file.

Flow:  dispatcher turn -> [sqlite] -> COMMIT -> publish
Owner: one connection, used by one thread at a time, writes and checkpoints. Readers open
       the file themselves, read-only: see `find_reports`.
"""

import json
import os
import sqlite3
import threading
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from itertools import chain, groupby, islice
from pathlib import Path
from typing import Any

from oms.clock import NANOS
from oms.errors import (
    JournalError,
    OutcomeUnknownError,
    StoreBusyError,
    StoreError,
    StoreFullError,
    ValidationError,
)
from oms.instruments import Instrument
from oms.positions import (
    CHANGES,
    LATEST,
    Changes,
    Holding,
    Holdings,
    Key,
    Scales,
    Standing,
    TradeRow,
    changes_in,
    fill_of,
    folded,
    last_price,
    trade_rows,
)
from oms.reports import (
    EXEC_TYPES,
    NUMBER_BITS,
    NUMBER_MASK,
    STORED,
    TRADE,
    Report,
    stored_report,
    type_of,
)
from oms.requests.codec import Line
from oms.requests.orders import SEQUENCE_MAX
from oms.stores import (
    EXECUTIONS,
    LOOKED_AT_MAX,
    Asked,
    Claim,
    JournalRecord,
    MovedPage,
    Noted,
    OrderIds,
    Snapshot,
    StoredTrade,
    Turn,
    answers_in,
    as_it_stands,
    asked_in,
    line_in,
    moved_of,
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
from oms.stores.listed import relisted, scales_in
from oms.stores.private import keep_private
from oms.stores.schema import (
    ALL_CHANGES,
    ALL_EXECUTIONS,
    ALL_VIEWS,
    ARCHIVED_VERSION,
    BACK,
    BY_ACCOUNT_MAX,
    COUNT,
    COUNT_ALL,
    COUNT_IDS,
    DROP_PARTS,
    FILLS_BEFORE,
    FILLS_OF_ACCOUNT,
    HAS_MORE,
    INSERT_CHANGE,
    INSERT_CLAIM,
    INSERT_INSTRUMENT,
    INSERT_NAMES,
    INSERT_RECORD,
    INSERT_REPORT,
    INSERT_STAND_IN,
    KEPT,
    OF_ACCOUNT_AFTER,
    OF_CHANGES,
    OF_KEY,
    OF_MOVED,
    OF_ORDER,
    OF_SYMBOL_AFTER,
    OF_TRADES,
    OTHERS,
    SCANNED_MAX,
    SCHEMA_VERSION,
    SELECT_ARCHIVES,
    SELECT_BY_ACCOUNT,
    SELECT_BY_SEQ,
    SELECT_CHANGES_OF_ORDER,
    SELECT_CLAIMS,
    SELECT_COMMANDS,
    SELECT_END,
    SELECT_HOLDING,
    SELECT_ORDER,
    SELECT_RECORD,
    SELECT_REPORT,
    SELECT_TRADES_OF_TIME,
    SELECT_TURN,
    SELECT_USED,
    TABLES,
    UPSERT_BALANCE,
    UPSERT_HOLDING,
    UPSERT_PRICE,
    add_kept,
    check_version,
    create,
    lacks_kept_alone,
    set_aside,
    widen,
)
from oms.stores.views import NOW, instrument_at
from oms.stores.write_ahead_log import log_bytes

SYNCHRONOUS = {"full": "FULL", "normal": "NORMAL", "none": "OFF"}
FULL_CHECK = "integrity_check"
QUICK_CHECK_BYTES_MAX = 256 << 20  # about a second
PROBE_BYTES = 1 << 20
WAL_BYTES_MAX = 64 << 20  # a log that was larger is cut to this when it starts anew
READ_ERRORS = (sqlite3.Error, UnicodeDecodeError)  # the second: an error's own text is damaged
PAUSE_S_MIN, PAUSE_S_MAX = 0.001, 0.1
# Answers to requests about what is over, or unknown, or no order: they may name no symbol.
CANCEL_REJECTED = "CANCEL_REJECTED"
NAMED_OTHERWISE = frozenset(
    ("REJECTED", "CANCEL_REJECTED", "ORDER_STATUS", "TRADE_BUSTED", "TRADE_CORRECTED",
    "COMMAND_DONE", "COMMAND_REJECTED")
)  # fmt: skip


class PersistentStorage:
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
        self._archives = Archives()
        self._oldest = SCHEMA_VERSION  # schema that is read
        self._holdings = Holdings(self._holding)
        self.outdated = False
        self.loss: Loss | None = None  # found by open(), and accepted

    # --- opening and closing ---

    def __enter__(self) -> "PersistentStorage":
        self.open()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

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
            raise _translated(error, f"{self.path}: cannot be used") from error
        except OSError as error:
            raise StoreError(f"{self.path}: cannot be used: {error}") from error

    def _open_archives(self) -> Archives:
        """They belong to the database, so they have to be there: StoreError names the first that
        is not."""
        rows = [ArchiveRow._make(row) for row in self._read(SELECT_ARCHIVES, ())]
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

    @property
    def archives(self) -> list[ArchiveRow]:
        """What was moved into files beside the database, oldest first."""
        return list(self._archives.rows)

    @property
    def begins(self) -> tuple[int, int]:
        """Where the journal in this file begins: the sequence and checksum that it goes on from;
        (0, 0) if nothing was archived."""
        return self._archives.last_seq, self._archives.checksum

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
            raise _translated(error, "upgrading") from error
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
            db.executemany(INSERT_CLAIM, claims)
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
            raise _translated(error, f"{self.path}: checkpoint") from error
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
            db = self._connection or self._db
            return db.executemany(INSERT_CLAIM, claims).rowcount == len(claims)
        except sqlite3.Error as error:
            raise _translated(error, "writing ids") from error

    def append(self, record: JournalRecord, reports: Sequence[Report]) -> None:
        try:
            (self._connection or self._db).execute(INSERT_RECORD, record)
            self._appended = record
            self._insert(reports)
            self._keep(record.last_seq, reports)
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
            changes = [(fill_of(r), r.report_id) for r in others if r.type in CHANGES]
            db.executemany(INSERT_CHANGE, changes)

    def _keep(self, seq: int, reports: Sequence[Report]) -> None:
        """What a turn's trades, busts and corrections make of positions and last prices."""
        kinds = set(map(type_of, reports))
        if kinds.isdisjoint(EXECUTIONS):
            return
        fills = [report for report in reports if report.type == TRADE]
        changes = [r for r in reports if r.type in CHANGES] if not kinds.isdisjoint(CHANGES) else []
        db, anew = self._connection or self._db, {(r.account, r.symbol) for r in changes}
        rows = self._holdings.take(fills, seq, anew)
        prices = {report.symbol: report.last_price_ticks for report in fills}
        for key in sorted(anew):
            rows += self.folded_of(key)
        for _, symbol in anew:
            prices[symbol] = self.last_price_of(symbol)
        self._holdings.forget(anew)
        db.executemany(UPSERT_HOLDING, rows)
        db.executemany(UPSERT_PRICE, [(symbol, seq, ticks) for symbol, ticks in prices.items()])

    def _keep_all(self) -> None:
        """The same, of all the reports that there are."""
        self._holdings.forget()
        holdings = folded(lambda: self.executions_of(None))
        self._db.executemany(UPSERT_HOLDING, holdings.values())
        seqs: dict[str, int] = {}
        for row in holdings.values():
            seqs[row.symbol] = max(row.seq, seqs.get(row.symbol, 0))
        prices = [(symbol, seq, self.last_price_of(symbol)) for symbol, seq in seqs.items()]
        self._db.executemany(UPSERT_PRICE, prices)

    def note(self, noted: Noted) -> None:
        try:
            db = self._connection or self._db
            if noted.balances:
                db.executemany(
                    UPSERT_BALANCE,
                    [(who, asset, noted.seq, *rest) for who, asset, *rest in noted.balances],
                )
            if noted.instruments is not None:
                self._list(noted.seq, noted.instruments)
        except sqlite3.Error as error:
            raise _translated(error, "writing what is kept") from error

    def _list(self, seq: int, instruments: Mapping[str, Instrument]) -> None:
        """What is traded from this turn on; what is other than before gets a new row."""
        standing = self._db.execute("SELECT * FROM instruments WHERE until_seq IS NULL").fetchall()
        for rows in relisted(standing, instruments, seq):
            self._db.executemany(INSERT_INSTRUMENT, rows)

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
            raise _translated(error, "checkpoint") from error
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
            raise _translated(error, f"{path}: copying") from error

    # --- reading ---

    def owner(self, account: str, client_order_id: str) -> tuple[int, int]:
        query = "SELECT seq, content FROM orders WHERE account = ? AND client_order_id = ?"
        found = self._one(query, account, client_order_id)
        return (found[0], found[1]) if found else (0, 0)

    def used(self, names: Sequence[tuple[str, str]]) -> set[tuple[str, str]]:
        # One statement, because each lets all other threads run before it comes back.
        return set(self._read(SELECT_USED, (json.dumps(names),)).fetchall()) if names else set()

    def records(self, after_seq: int = 0) -> Iterator[JournalRecord]:
        own_after = max(after_seq, self._archives.last_seq)
        cursor = self._read(SELECT_RECORD + "WHERE last_seq > ? ORDER BY last_seq", (own_after,))
        own = map(JournalRecord._make, _guarded(cursor))
        return chain(self._archives.records(after_seq), own) if after_seq < own_after else own

    def record_of(self, seq: int) -> JournalRecord | None:
        if seq <= self._archives.last_seq:
            return self._archives.record_of(seq)
        found = self._one(SELECT_RECORD + "WHERE last_seq >= ? ORDER BY last_seq LIMIT 1", seq)
        return JournalRecord._make(found) if found else None

    def record_before(self, record: JournalRecord) -> JournalRecord | None:
        """The one that this record is chained to; None for the first."""
        query = SELECT_RECORD + "WHERE last_seq < ? AND last_seq > ? ORDER BY last_seq DESC LIMIT 1"
        found = self._one(query, record.last_seq, self._archives.last_seq)
        return JournalRecord._make(found) if found else self._archives.record_before(record)

    def line_of(self, seq: int) -> Line:
        return line_in(self.record_of(seq), seq)

    def reports_of(self, order_id: int) -> list[Report]:
        return [*self._archives.reports_of(order_id), *self._reports(OF_ORDER, order_id)]

    def reports_of_turn(self, seq: int) -> list[Report]:
        if not 0 < seq <= SEQUENCE_MAX >> NUMBER_BITS:
            return []
        where = "WHERE r.report_id BETWEEN ? AND ? ORDER BY r.report_id"
        own = self._reports(where, seq << NUMBER_BITS, (seq << NUMBER_BITS) | NUMBER_MASK)
        archived = self._archives.reports_of_turn(seq)
        return sorted([*archived, *own]) if archived else own

    def told(self, seq: int) -> Report | None:
        record = self.record_of(seq)
        first = answers_in(self.reports_of_turn(record.last_seq), seq) if record else []
        return answers_in(self.reports_of(first[0].order_id), seq)[-1] if first else None

    def find_reports(self, account: str, named: str | int) -> list[Report]:
        with self._read_only_one() as reader:
            return reader._find(account, named)

    def find_asked(self, order_ids: Sequence[int]) -> list[Asked]:
        with self._read_only_one() as reader:
            found = [reader._asked(order_id) for order_id in order_ids]
        return [each for each in found if each is not None]

    def find_orders(
        self, account: str, symbol: str, side: str, before: int, limit: int
    ) -> OrderIds:
        with self._read_only_one() as reader:
            return reader._orders(account, symbol, side, before, limit)

    def find_commands(self, account: str, before: int, limit: int) -> list[int]:
        with self._read_only_one() as reader:
            rows = _guarded(reader._read(SELECT_COMMANDS, (account, before, limit)))
            return [row[0] for row in rows]

    def find_moved(self, account: str, before: int, limit: int) -> MovedPage:
        with self.at_one_instant() as reader:
            return reader._moved(account, before, limit)

    def _moved(self, account: str, before: int, limit: int) -> MovedPage:
        back = self._one(BACK, before, SCANNED_MAX)
        first = back[0] if back is not None else 0
        found = self._archives.merged(
            iter(self.moved_in(account, first, before)),
            lambda file: iter(file.moved_in(account, first, before)),
            newest_first=True,
        )
        moved = (moved_of(report, account, self) for report in found)
        page = list(islice((each for each in moved if each is not None), limit))
        return MovedPage(page, page[-1].report.report_id if len(page) == limit else first)

    def moved_in(self, account: str, first: int, before: int) -> list[Report]:
        """Reports in [first, before) that may have moved an account's money, newest first."""
        return self._reports(OF_MOVED, first, before, account, account, account)

    def find_holdings(self, account: str) -> list[Standing]:
        query = (
            f"SELECT {', '.join('h.' + name for name in Holding._fields)}, "
            "ifnull(l.price_ticks, 0), i.price_scale, i.quantity_scale, i.quote_scale, i.quote "
            "FROM holdings AS h LEFT JOIN last_prices AS l ON l.symbol = h.symbol "
            f"{instrument_at('h.symbol', NOW)} WHERE h.account = ? ORDER BY h.symbol"
        )
        with self._read_only_one() as reader:
            found = list(_guarded(reader._read(query, (account,))))
        width = len(Holding._fields)
        return [Standing(Holding._make(row[:width]), *row[width:]) for row in found]

    def find_trades(self, account: str, symbol: str, before: int, limit: int) -> list[TradeRow]:
        with self.at_one_instant() as reader:
            return list(islice(reader._trades_before(account, symbol, before), limit))

    def _trades_before(self, account: str, symbol: str, before: int) -> Iterator[TradeRow]:
        """Newest first, turn by turn: the two sides of a trade may be in two files."""
        changes, scales, last = self.changes(0), self.scales(), before | NUMBER_MASK
        fills = self._archives.merged(
            self.fills_before(account, symbol, last),
            lambda file: file.fills_before(account, symbol, last),
            newest_first=True,
        )
        for seq, _ in groupby(fills, lambda fill: fill[0] >> NUMBER_BITS):
            for row in sorted(trade_rows(self.reports_of_turn(seq), changes, scales), reverse=True):
                mine = account in ("", row.buy_account, row.sell_account)
                if mine and symbol in ("", row.symbol) and row.report_id < before:
                    yield row

    def fills_before(self, account: str, symbol: str, last: int) -> Iterator[tuple[int]]:
        """Report ids of fills up to this one, newest first; "" for all."""
        if account:
            return _guarded(self._read(FILLS_OF_ACCOUNT, (account, last, symbol)))
        return _guarded(self._read(FILLS_BEFORE, (last, symbol)))

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

    def _asked(self, order_id: int) -> Asked | None:
        claim = self._one(SELECT_ORDER, order_id)
        if claim is None:
            return None
        told = list(_guarded(self._read(SELECT_CHANGES_OF_ORDER, (order_id,))))
        told = told or [
            (each.code, each.request_seq, each.reason, each.cumulative_lots + each.leaves_lots)
            for each in self._archives.reports_of(order_id)
            if each.code[:1] in (EXEC_TYPES["REPLACED"], EXEC_TYPES["RESTATED"])
        ]
        return asked_in(claim, self.line_of, told)

    def _orders(self, account: str, symbol: str, side: str, before: int, limit: int) -> OrderIds:
        """An account with few ids has an index for them; of one with many, the latest orders are
        among the latest ids of all."""
        given = account, symbol, side
        few = self._one(COUNT_IDS, account, BY_ACCOUNT_MAX) != (BY_ACCOUNT_MAX,)
        select, first = (SELECT_BY_ACCOUNT, 0) if few else (SELECT_BY_SEQ, 0)
        if not few:
            last = self._one("SELECT max(seq) FROM orders") or (0,)
            before = min(before, (last[0] or 0) + 1)
            first = max(0, before - SCANNED_MAX)
        rows = _guarded(self._read(select, (*given, first, before, limit)))
        ids = [row[0] for row in rows]
        return OrderIds(ids, ids[-1] if len(ids) == limit else first)

    @contextmanager
    def at_one_instant(self) -> "Iterator[PersistentStorage]":
        """A connection for one question that takes a while, so that nobody else waits for it:
        trades, and what became of them, as of one instant."""
        with PersistentStorage(self.path, read_only=True) as reader:
            reader._write("BEGIN")
            yield reader

    def _holding(self, key: Key) -> Holding | None:
        found = self._one(SELECT_HOLDING + "WHERE account = ? AND symbol = ?", *key)
        return Holding._make(found) if found else None

    def folded_of(self, key: Key) -> list[Holding]:
        """The holding that comes of every report of an account and symbol; none without any."""
        return list(folded(lambda: self.executions_of(key)).values())

    def last_price_of(self, symbol: str) -> int:
        """By its reports; 0 if no trade stands."""
        return last_price(self.executions([symbol], LATEST))

    def executions_of(self, key: Key | None) -> Iterator[Report]:
        """Trades, busts and corrections of an account and symbol, oldest first; None: all."""
        own = self._read(SELECT_REPORT + (OF_KEY if key else ALL_EXECUTIONS), key or ())
        return self._archives.merged(
            map(stored_report, _guarded(own)), lambda file: file.executions_of(key)
        )

    def kept(self, table: str) -> list[tuple[Any, ...]]:
        """Every row of a table that is kept for readers, in order of its key."""
        return list(_guarded(self._read(f"SELECT * FROM {table} ORDER BY 1, 2", ())))

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

    def find_lines(self, seqs: Sequence[int]) -> list[Line]:
        with self._read_only_one() as reader:
            return [reader.line_of(seq) for seq in seqs]

    def find_after(
        self, after: int, before: int, *, account: str = "", symbol: str = ""
    ) -> list[Report] | None:
        with self.at_one_instant() as reader:
            too_far = after >> NUMBER_BITS < reader._archives.last_seq
            if too_far or reader._one(HAS_MORE, after, LOOKED_AT_MAX):
                return None
            where = OF_ACCOUNT_AFTER if account else OF_SYMBOL_AFTER
            return reader._reports(where, after, before, account or symbol)

    def last_told_seq(self) -> int:
        found = self._one("SELECT max(report_id) FROM reports")
        return ((found and found[0]) or 0) >> NUMBER_BITS

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
        found = self._one(COUNT_ALL)
        assert found is not None
        return found[0], found[1] + self._archives.reports

    def damage(self, check: str = FULL_CHECK) -> str:
        """What SQLite finds wrong first with its pages and indexes; "" for nothing.

        check: "quick_check" leaves out what indexes hold, and takes a fraction of the time.
        """
        found = self._one(f"PRAGMA {check}(1)")
        if found != ("ok",):
            return " ".join(str(found and found[0]).split())
        return next(iter(self._archives.damages(check)), "") if check == FULL_CHECK else ""

    def counts(self, upto_seq: int) -> tuple[int, int]:
        """How many claims and reports there are, up to the turn that ends there."""
        found = self._one(COUNT, upto_seq, (upto_seq + 1) << NUMBER_BITS)
        assert found is not None
        return found[0], found[1] + self._archives.count(upto_seq)

    def all_claims(self) -> Iterator[Claim]:
        """Every claim, in journal order."""
        for claim in _guarded(self._read(SELECT_CLAIMS, ())):
            if type(claim[0]) is not int:
                raise JournalError(f"client order id {claim[2]!r}: not readable: no sequence")
            yield claim

    def all_reports(self) -> Iterator[Report]:
        rows = _guarded(self._read(SELECT_REPORT + "ORDER BY r.report_id", ()))
        own = map(stored_report, rows)
        return self._archives.merged(own, lambda file: file.all_reports())

    def executions(self, symbols: Collection[str], before: int) -> Iterator[Report]:
        archives, begins = self._archives, (self._archives.last_seq + 1) << NUMBER_BITS
        if not archives.rows:
            return self._executions(symbols, 0, before)
        recent, older = (
            self._executions(symbols, begins, before),
            self._executions(symbols, 0, min(before, begins)),
        )
        return archives.with_executions(recent, older, symbols, before)

    def _executions(self, symbols: Collection[str], first: int, before: int) -> Iterator[Report]:
        given = first, before, json.dumps(sorted(symbols))
        return map(stored_report, _guarded(self._read(SELECT_REPORT + OF_TRADES, given)))

    def trades(self, symbol: str, start_ns: int, end_ns: int) -> Iterator[StoredTrade]:
        with self.at_one_instant() as reader:
            # Those of an archive may have been changed since, as the database knows.
            changes = reader.changes(start_ns)
            trades = reader._archives.merged(
                reader.trades_as_told(symbol, start_ns, end_ns),
                lambda file: file.trades_as_told(symbol, start_ns, end_ns),
            )
            for trade in trades:
                yield as_it_stands(trade, changes)

    def changes(self, start_ns: int) -> Changes:
        own = self.change_reports(start_ns)
        return changes_in(self._archives.merged(own, lambda file: file.change_reports(start_ns)))

    def change_reports(self, start_ns: int) -> Iterator[Report]:
        """Busts and corrections of that time and later, oldest first."""
        return iter(self._reports(OF_CHANGES, self._turn_at(start_ns) << NUMBER_BITS))

    def scales(self) -> Scales:
        return scales_in(self.kept("instruments"))

    def trades_as_told(self, symbol: str, start_ns: int, end_ns: int) -> Iterator[StoredTrade]:
        """Before busts and corrections."""
        first, end = self._turn_at(start_ns) << NUMBER_BITS, self._turn_at(end_ns) << NUMBER_BITS
        for row in _guarded(self._read(SELECT_TRADES_OF_TIME, (first, end, symbol))):
            yield StoredTrade(*row)

    def _turn_at(self, wall_ns: int) -> int:
        """The first turn stamped then or later; above all turns if there is none. Stamps never
        decrease, so it is found by halves."""
        low, found = 0, self._one("SELECT max(last_seq) FROM journal")
        high = ((found and found[0]) or 0) + 1
        while low < high:
            middle = (low + high) // 2
            turn = self._one(SELECT_TURN, middle)
            if turn is None or turn[1] >= wall_ns:
                high = middle
            else:
                low = turn[0] + 1
        turn = self._one(SELECT_TURN, low)
        return turn[0] if turn is not None else SEQUENCE_MAX >> NUMBER_BITS

    def _reports(self, where: str, *arguments: object) -> list[Report]:
        return list(map(stored_report, _guarded(self._read(SELECT_REPORT + where, arguments))))

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
                tuple(
                    part.decode(errors="replace")
                    for (part,) in _guarded(self._read(of_one, (parts_id,)))
                ),
            )
            for seq, crc, last, parts_id in list(_guarded(self._read(query, ())))
        ]

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

    def _one(self, query: str, *arguments: object) -> tuple[Any, ...] | None:
        return next(_guarded(self._read(query, arguments)), None)

    def _read(self, query: str, arguments: tuple[object, ...]) -> sqlite3.Cursor:
        try:
            return self._db.execute(query, arguments)
        except READ_ERRORS as error:
            raise _translated(error, "reading") from error

    def _write(self, statement: str) -> None:
        try:
            (self._connection or self._db).execute(statement)
        except sqlite3.Error as error:
            raise _translated(error, statement) from error


def schema_version(path: Path) -> int:
    """The schema version of a database; 0: none of ours. StoreError if it cannot be read."""
    store = PersistentStorage(path, read_only=True)
    try:
        with closing(store._connect(read_only=True)) as connection:
            version: int = connection.execute("PRAGMA user_version").fetchone()[0]
            return version
    except READ_ERRORS as error:
        raise _translated(error, f"{path}: cannot be used") from error


def _journal_end(connection: sqlite3.Connection, mark: Mark | None) -> JournalEnd:
    if not connection.execute("PRAGMA user_version").fetchone()[0]:
        return JournalEnd(0, 0, None)  # it was killed while it made the tables
    seq, checksum = connection.execute(SELECT_END).fetchone() or (0, 0)
    marked = connection.execute(
        "SELECT checksum FROM journal WHERE last_seq = ?", (mark.seq if mark else 0,)
    ).fetchone()
    return JournalEnd(seq, checksum, marked[0] if marked else None)


def _guarded(cursor: sqlite3.Cursor) -> Iterator[Any]:
    try:
        # `yield from` would also close the cursor, perhaps after the database.
        for found in cursor:  # noqa: UP028
            yield found
    except READ_ERRORS as error:
        raise _translated(error, "reading") from error


def _translated(error: Exception, doing: str) -> StoreError:
    """What an error of SQLite means for the order that was being stored."""
    code = getattr(error, "sqlite_errorcode", None)
    text = f"{doing}: {error}"
    if code is None:  # the module's own: a text that is none
        return JournalError(text) if "decode" in text else OutcomeUnknownError(text)
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
