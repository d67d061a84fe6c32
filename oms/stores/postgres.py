"""The store in Postgres: a journal that outlives the machine of its engine.

Flow:  dispatcher turn -> [postgres] -> COMMIT, on the disk of the server -> publish
One writer at a time: who opens the store for writing takes an advisory lock, which ends with its
connection, and a new number (`epoch`). Each turn is written under that number, so an engine that
was thought dead can never write again: another one has taken the next number by then. Whoever has
lost its connection has lost the lock, and ends: what its last commit did only a restart can tell.
Owner: one connection, used by one thread at a time, writes. Other threads read through others.
"""

import json
import logging
import os
import platform
import threading
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import count
from typing import Any

import psycopg
from psycopg.pq import TransactionStatus

from oms.clock import pause
from oms.errors import (
    DataInUseError,
    JournalError,
    OutcomeUnknownError,
    StoreBusyError,
    StoreError,
    StoreFullError,
    ValidationError,
)
from oms.positions import CHANGES, fill_of
from oms.reports import STORED, Report, type_of
from oms.stores import Claim, JournalRecord, Snapshot, Turn
from oms.stores.postgres_link import (
    closed_if_failed,
    connect,
    lock_key,
    one_line,
    shown,
    translated,
    use_schema,
    value_of,
)
from oms.stores.postgres_schema import (
    APPEND,
    CLAIM_KINDS,
    COPY_CLAIMS,
    COPY_REPORTS,
    DROP_PARTS,
    FOLDED,
    HOLDS_LOCK,
    MADE,
    OF_FOLDED,
    REPORT_KINDS,
    SAVE_SNAPSHOT,
    SELECT_USED,
    SET_VERSION,
    TAKE_OVER,
    VERSION,
    said,
)
from oms.stores.schema import (
    BACK,
    COUNT_ALL,
    INSERT_CHANGE,
    INSERT_CLAIM,
    INSERT_NAMES,
    INSERT_STAND_IN,
    NAMED_OTHERWISE,
    SELECT_RECORD,
)
from oms.stores.sql_store import SqlStore

log = logging.getLogger(__name__)

LOCK = 0x4F4D534A  # of the writer of a journal: "OMSJ"
LOCK_WAIT_S = 2.0  # of an engine that was killed the server may need a moment to let go
LOOK_S = 0.1  # between two looks of an engine that stands by
READING_S_MAX = 0.5  # that a question may still take once the store closes
PAGE_MIN, PAGE_MAX = 25, 400  # records read at a time: each may have a thousand lines
FETCHED = 2_000  # rows at a time, of a query that gives many
STRETCH_MIN, STRETCH_MAX = 1_000, 32_000  # reports that are looked through for trades at a time
PASSES = (OutcomeUnknownError, StoreBusyError, StoreFullError)  # what who stands by waits out
SYNCHRONOUS = {"full": ("on", "remote_apply"), "normal": ("off",), "none": ("off",)}
SETTINGS = (  # of each connection; a client that vanished is noticed by the server within 10 s
    "SET tcp_keepalives_idle = 5", "SET tcp_keepalives_interval = 2",
    "SET tcp_keepalives_count = 3", "SET tcp_user_timeout = 10000",
)  # fmt: skip


class PostgresStorage(SqlStore):
    """Everything durable, in one schema of a database of Postgres.

    dsn: without a password, see postgres_link.py. durability: "full": a commit has returned once it
        is on the server's disk (and on that of its synchronous standby, if it has one); "normal"
        and "none" do not wait for disks.
    read_only: for tools that look at it, and never take the lock.

    Raises ValidationError on a value out of range.
    """

    def __init__(
        self, dsn: str, *, schema: str = "oms", durability: str = "full", read_only: bool = False
    ) -> None:
        if type(dsn) is not str or not dsn:
            raise ValidationError("dsn", dsn, "a connection string of Postgres")
        if type(durability) is not str or durability not in SYNCHRONOUS:
            raise ValidationError("durability", durability, "one of " + ", ".join(SYNCHRONOUS))
        super().__init__()
        self.dsn, self.schema = dsn, schema
        self._lock = lock_key(LOCK, schema)
        self.epoch = 0  # the number under which this one writes
        self.outdated = False
        self._durability = durability
        self._read_only = read_only
        self._connection: psycopg.Connection[Any] | None = None
        self._reading = threading.Lock()  # for the one reader that all other threads share
        self._reader: PostgresStorage | None = None
        self._numbers = count()  # of cursors

    def __str__(self) -> str:
        return f"{shown(self.dsn)} schema {self.schema}"

    # --- opening and closing ---

    def open(self) -> None:
        """Raises StoreError; DataInUseError if another engine has the lock."""
        if self._connection is not None:
            return
        self._connection = self._connect("oms reader" if self._read_only else "oms engine")
        with closed_if_failed(self._drop, f"{self}: cannot be used"):
            if self._read_only:
                self._check_version()
            else:
                self._set_commits()
                self._take_lock()
                self._begin()

    def stand_by(self, should_stop: Callable[[], bool], follow: Callable[[], bool]) -> bool:
        """Wait until the engine that writes has gone; False if it was told to stop. The store is
        open then, for writing. follow: reads a part of what that one has committed, and says
        whether there may be more; called again and again meanwhile.

        A server that cannot be had, or is lost, is waited for, too. Raises StoreError.
        """
        said = ""
        try:
            while not should_stop():
                more = False
                try:
                    if self._connection is None:
                        self._connection = self._connect("oms standby")
                        self._set_commits()
                    if self._has_lock():
                        self._begin()
                        return True
                    more = self._is_made() and follow()
                except (psycopg.Error, StoreError) as error:
                    before, said = said, self._passing(error)
                    if said != before:
                        log.warning("standing by goes on: %s", said)
                    self._drop()
                if not more:
                    pause(LOOK_S)
        except BaseException:
            self._drop()
            raise
        self._drop()
        return False

    def _passing(self, error: Exception) -> str:
        """What it says, if it is no more than a server that is away; else it is raised."""
        told = translated(error, str(self)) if isinstance(error, psycopg.Error) else error
        is_there = self._connection is not None
        if isinstance(told, JournalError) or (is_there and not isinstance(told, PASSES)):
            raise told from error
        return str(told)

    def _connect(self, name: str) -> psycopg.Connection[Any]:
        link = connect(self.dsn, name)
        with closed_if_failed(link.close, f"{self}: cannot be used"):
            for setting in SETTINGS:
                link.execute(setting)
            use_schema(link, self.schema)
            if value_of(link, "SELECT pg_backend_pid()") != link.info.backend_pid:
                raise StoreError(
                    f"{self}: a pooler stands between, and a lock would be of its connection, not "
                    "of the engine's: expected the server itself"
                )
        return link

    def _set_commits(self) -> None:
        """A commit means what `durability` says, whatever the server's settings become: this
        session has a value of its own."""
        value = SYNCHRONOUS[self._durability][0]
        if self._durability == "full":
            value = self._setting("synchronous_commit", SYNCHRONOUS["full"])
            self._check_fsync()
        self._db.execute(f"SET synchronous_commit = {value}")

    def _check_fsync(self) -> None:
        """It is the server's alone, which may change it under a session."""
        self._setting("fsync", ("on",))

    def _setting(self, name: str, values: tuple[str, ...]) -> str:
        """One that commits with durability = full depend on; StoreError if it is none of these."""
        value = value_of(self._db, f"SHOW {name}")
        if value not in values:
            raise StoreError(
                f"{self}: {name}: expected {' or '.join(values)}, as durability is full, was "
                f"{value}"
            )
        return str(value)

    def _take_lock(self) -> None:
        waited_s = 0.0
        while not self._has_lock():
            if waited_s >= LOCK_WAIT_S:
                who = value_of(self._db, "SELECT who FROM writer")
                raise DataInUseError(f"{self}: in use by {who}")
            pause(LOOK_S)
            waited_s += LOOK_S

    def _has_lock(self) -> bool:
        return bool(value_of(self._db, "SELECT pg_try_advisory_lock(%s)", (self._lock,)))

    def _is_made(self) -> bool:
        return self._has("writer")

    def _has(self, table: str) -> bool:
        return value_of(self._db, "SELECT to_regclass(%s)", (table,)) is not None

    def _begin(self) -> None:
        """Make what is missing. From here on nobody with an older number writes."""
        if not self._is_made():
            if self._has("upto"):
                raise StoreError(f"{self}: has a projection: a journal needs a schema of its own")
            with self._db.transaction():
                use_schema(self._db, self.schema, make=True)
                for statement in MADE:
                    self._db.execute(statement)
                self._db.execute(SET_VERSION, (VERSION,))
        self._check_version()
        self._db.execute("SET application_name = 'oms engine'")
        who = f"process {os.getpid()} on {platform.node()}"
        self.epoch = value_of(self._db, TAKE_OVER, (who,))

    def _check_version(self) -> None:
        """An older one is upgraded by who opens it to write."""
        version = self._version()
        self.outdated = version < VERSION
        if version > VERSION or (self.outdated and self._read_only):
            hint = "; `migrate` upgrades it" if self.outdated else ""
            raise StoreError(f"{self}: expected schema version {VERSION}, was {version}{hint}")

    def _version(self) -> int:
        return int(value_of(self._db, "SELECT version FROM writer"))

    def versions(self) -> tuple[int, int]:
        """Of a store that is not open: of the tables that are there, 0 if there are none; and of
        this program. Raises StoreError."""
        self._connection = self._connect("oms reader")
        try:
            return (self._version() if self._is_made() else 0), VERSION
        except psycopg.Error as error:
            raise translated(error, str(self)) from error
        finally:
            self._drop()

    def close(self) -> None:
        """Let go of the lock, whatever else is under way: a question that hangs is not waited for.
        Its reader ends with it."""
        self._drop()
        if self._reading.acquire(timeout=READING_S_MAX):
            reader, self._reader = self._reader, None
            self._reading.release()
            if reader is not None:
                reader.close()

    def _drop(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()

    def upgrade(self, turns: Iterable[Turn]) -> None:
        """Make all tables but the journal anew, of an older program, too, in one transaction."""
        try:
            with self._db.transaction():
                self._db.execute(
                    "CREATE TEMP TABLE measured ON COMMIT DROP AS "
                    "SELECT report_id, waited_ns, venue_ns FROM reports"
                )
                self._db.execute(f"DROP TABLE IF EXISTS {', '.join(FOLDED)}")
                for statement in OF_FOLDED:
                    self._db.execute(statement)
                self._db.execute(SET_VERSION, (VERSION,))
                self._holdings.forget()
                for claims, reports, noted in turns:
                    self._write_rows(INSERT_CLAIM.one, claims)
                    self._insert(reports)
                    self._keep(noted.seq, reports)
                    self.note(noted)
                self._db.execute(
                    "UPDATE reports SET waited_ns = m.waited_ns, venue_ns = m.venue_ns "
                    "FROM measured AS m WHERE m.report_id = reports.report_id"
                )
            self.outdated = False
        except psycopg.Error as error:
            raise translated(error, "upgrading") from error
        finally:
            self._holdings.forget()

    # --- one turn, one transaction ---

    def begin(self) -> None:
        self._run("BEGIN")

    def hurry(self) -> None:
        """No wait of this store is for another process's lock."""

    def claim(self, claims: Sequence[Claim]) -> bool:
        """By COPY, as nearly all are fresh; where one is not, one by one."""
        if not claims:
            return True
        self._run("SAVEPOINT claims")
        try:
            self._copy(COPY_CLAIMS, CLAIM_KINDS, claims)
        except psycopg.errors.UniqueViolation:
            self._run("ROLLBACK TO claims")
            return self._write_rows(INSERT_CLAIM.one, claims) == len(claims)
        except psycopg.Error as error:
            raise translated(error, "writing ids") from error
        return True

    def append(self, record: JournalRecord, reports: Sequence[Report]) -> None:
        if self._run(APPEND, (*record, self.epoch)) != 1:
            raise OutcomeUnknownError(
                f"{self}: another engine has taken over this journal since: it writes under a "
                f"number after {self.epoch}"
            )
        self._insert(reports)
        self._keep(record.last_seq, reports)

    def _insert(self, reports: Sequence[Report]) -> None:
        try:
            self._copy(COPY_REPORTS, REPORT_KINDS, [report[:STORED] for report in reports])
        except psycopg.Error as error:
            raise translated(error, "writing reports") from error
        if NAMED_OTHERWISE.isdisjoint(map(type_of, reports)):
            return
        others = [report for report in reports if report.type in NAMED_OTHERWISE]
        self._write_rows(
            INSERT_STAND_IN, [(r.order_id, r.account, r.symbol, r.side) for r in others]
        )
        self._write_rows(
            INSERT_NAMES, [(r.report_id, r.symbol, r.side, r.order_id) for r in others]
        )
        changes = [(fill_of(r), r.report_id) for r in others if r.type in CHANGES]
        self._write_rows(INSERT_CHANGE, changes)

    def _copy(self, command: str, kinds: list[str], rows: Sequence[Sequence[object]]) -> None:
        if not rows:
            return
        with self._db.cursor() as cursor, cursor.copy(command) as copy:
            copy.set_types(kinds)
            for row in rows:
                copy.write_row(row)

    def commit(self) -> None:
        """Raises OutcomeUnknownError where the server did not say what became of it."""
        try:
            done = self._db.execute("COMMIT").statusmessage
        except psycopg.Error as error:
            raise OutcomeUnknownError(f"{self}: COMMIT: {one_line(error)}") from error
        if done != "COMMIT":
            raise OutcomeUnknownError(f"{self}: COMMIT: the server said {done}")

    def rollback(self) -> None:
        self._holdings.forget()  # of a turn that is undone
        if self._db.info.transaction_status is not TransactionStatus.IDLE:
            self._run("ROLLBACK")

    def probe(self) -> None:
        """Is the server there, and the lock ours? A full disk shows with the next turn."""
        self.tend()

    def tend(self) -> int:
        """Between two turns: raises OutcomeUnknownError if the lock is lost, so that the engine
        ends at once, and StoreError if a commit would not last any more. 0: there is no write-ahead
        log of ours."""
        try:
            held = value_of(self._db, HOLDS_LOCK, (self._lock,))
            if self._durability == "full":
                self._check_fsync()
        except psycopg.Error as error:
            raise OutcomeUnknownError(f"{self}: the lock is lost: {one_line(error)}") from error
        if not held:
            raise OutcomeUnknownError(f"{self}: the lock is lost")
        return 0

    # --- snapshots ---

    def save_part(self, parts_id: int, number: int, part: str) -> None:
        if number == 1:  # of one that did not come to its end nothing stays
            self._run("DELETE FROM snapshot_parts WHERE parts_id = %s", (parts_id,))
        self._run("INSERT INTO snapshot_parts VALUES (%s, %s, %s)", (parts_id, number, part))

    def save_snapshot(self, snapshot: Snapshot) -> None:
        """Keep this snapshot and the one before it."""
        self._run(SAVE_SNAPSHOT, snapshot[:4])
        self._run(
            "DELETE FROM snapshots WHERE journal_seq NOT IN "
            "(SELECT journal_seq FROM snapshots ORDER BY journal_seq DESC LIMIT 2)"
        )

    def drop_parts(self, under_way: int) -> bool:
        return self._run(DROP_PARTS, (under_way,)) > 0

    def snapshots(self) -> list[Snapshot]:
        rows = self._rows("SELECT * FROM snapshots ORDER BY journal_seq", ())
        of_one = "SELECT part FROM snapshot_parts WHERE parts_id = ? ORDER BY number"
        return [
            Snapshot(seq, crc, last, parts_id, tuple(p for (p,) in self._rows(of_one, (parts_id,))))
            for seq, crc, last, parts_id in rows
        ]

    # --- reading ---

    def used(self, names: Sequence[tuple[str, str]]) -> set[tuple[str, str]]:
        return set(self._fetch(SELECT_USED, (json.dumps(names),))) if names else set()

    def records(self, after_seq: int = 0) -> Iterator[JournalRecord]:
        """A page at a time, and larger ones for who goes on: there may be millions."""
        query, page = SELECT_RECORD + "WHERE last_seq > ? ORDER BY last_seq LIMIT ?", PAGE_MIN
        while records := [JournalRecord._make(row) for row in self._rows(query, (after_seq, page))]:
            yield from records
            after_seq, page = records[-1].last_seq, min(2 * page, PAGE_MAX)

    def _executions(self, symbols: Collection[str], first: int, before: int) -> Iterator[Report]:
        """A stretch of reports at a time, and longer ones for who goes on: who asks for the latest
        trades stops soon, and of a stretch Postgres takes the index whatever it knows of the table.
        """
        stretch = STRETCH_MIN
        while before > first:
            begin = max(first, self._number(BACK, before, stretch))
            yield from super()._executions(symbols, begin, before)
            before, stretch = begin, min(2 * stretch, STRETCH_MAX)

    def inspect(self) -> tuple[int, int]:
        """What a start asks: how many claims and reports there are."""
        [(claims, reports)] = self._rows(COUNT_ALL, ())
        return claims, reports

    def _to_read(self) -> "PostgresStorage":
        return PostgresStorage(self.dsn, schema=self.schema, read_only=True)

    @contextmanager
    def _read_only_one(self) -> Iterator["PostgresStorage"]:
        with self._reading:
            reader = self._reader or self._to_read()
            try:
                reader.open()
                yield reader
            except StoreError:  # the next question is asked through another connection
                self._reader = None
                reader.close()
                raise
            if self._connection is None:
                reader.close()
            else:
                self._reader = reader

    @contextmanager
    def at_one_instant(self) -> Iterator["PostgresStorage"]:
        with self._to_read() as reader:
            reader._run("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
            yield reader

    @property
    def _db(self) -> psycopg.Connection[Any]:
        if self._connection is None:
            raise StoreError(f"{self}: not open")
        return self._connection

    def _rows(self, query: str, arguments: Sequence[object]) -> Iterator[Any]:
        return self._fetch(said(query), arguments)

    def _many(self, query: str, arguments: Sequence[object] = ()) -> Iterator[Any]:
        """By a cursor of the server, which lives in a transaction: see at_one_instant. Outside of
        one all rows are fetched."""
        if self._db.info.transaction_status is not TransactionStatus.INTRANS:
            yield from self._rows(query, arguments)
            return
        name = f"many_{next(self._numbers)}"
        try:
            with self._db.cursor(name) as cursor:
                cursor.itersize = FETCHED
                yield from cursor.execute(said(query), arguments)
        except psycopg.Error as error:
            raise translated(error, "reading") from error

    def _fetch(self, query: str, arguments: Sequence[object]) -> Iterator[Any]:
        try:
            return iter(self._db.execute(query, arguments).fetchall())
        except psycopg.Error as error:
            raise translated(error, "reading") from error

    def _write_rows(self, statement: str, rows: Iterable[Sequence[object]]) -> int:
        try:
            with self._db.cursor() as cursor:
                cursor.executemany(said(statement), rows)
                return cursor.rowcount
        except psycopg.Error as error:
            raise translated(error, "writing what is kept") from error

    def _run(self, statement: str, arguments: Sequence[object] | None = None) -> int:
        """How many rows it was about."""
        try:
            return self._db.execute(statement, arguments).rowcount
        except psycopg.Error as error:
            raise translated(error, statement.partition(" ")[0]) from error
