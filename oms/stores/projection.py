"""Projection: what people query, in Postgres; filled from the journal, each turn exactly once.

Flow:  journal -> stretch -> [projection] -> tables of Postgres
One transaction has the rows of a stretch and the row of `upto` that says how far they go. So
whatever dies, the rows up to `upto` are there once, and none beyond it. One filler at a time has
the advisory lock; its transaction moves `upto` on from where it stood, or fails.
Owner: one thread.
"""

import datetime
from collections.abc import Iterable, Sequence
from contextlib import closing
from typing import Any

import psycopg
from psycopg import sql
from psycopg.rows import class_row

from oms.errors import DataInUseError, JournalError, StoreError
from oms.stores.partitions import (
    Partition,
    attach,
    detach,
    leaf_name,
    leaves,
    make_leaf,
    partitions,
)
from oms.stores.postgres_link import (
    closed_if_failed,
    connect,
    lock_key,
    shown,
    translated,
    use_schema,
    value_of,
)
from oms.stores.projection_schema import (
    ACTIONS,
    AMOUNTS,
    DATES,
    FUNCTIONS,
    HOLDINGS,
    INSTRUMENTS,
    PRICES,
    RESPONSES,
    SESSIONS,
    STATES,
    TABLES,
    TRADES,
    UPTO,
    VERSION,
    VIEWS,
    Table,
)
from oms.stores.stretch import Kept, Rows, Stretch, TradingDates, Upto

Date = datetime.date
LOCK = 0x4F4D5346  # of the filler of a projection: "OMSF"
LOCK_WAIT_S = 2
# Of orders that were there before, what may change; None: as it was.
CHANGED = (
    "trading_date", "order_id", "limit_ticks", "quantity_lots", "reason", "state",
    "cumulative_lots", "leaves_lots", "notional_raw", "updated_ns", "updated_seq", "price_scale",
    "quantity_scale",
)  # fmt: skip
UPDATE = "UPDATE {} AS o SET " + ", ".join(
    f"{name} = coalesce(c.{name}, o.{name})" for name in CHANGED[2:]
) + " FROM changed AS c WHERE o.order_id = c.order_id AND c.trading_date = {}"  # fmt: skip
ADVANCE = """UPDATE upto SET seq = %s, checksum = %s, wall_ns = %s, kept_seq = %s,
    missed = missed + %s WHERE seq = %s AND checksum = %s"""


class Projection:
    """The tables in one schema of a database, and the one who fills them.

    Raises StoreError where the server cannot be reached or used; DataInUseError if another one
    fills it.
    """

    def __init__(self, dsn: str, schema: str = "public") -> None:
        self.dsn, self.schema = dsn, schema
        self._connection: psycopg.Connection[Any] | None = None
        self.dates = TradingDates()  # of what is filled
        self._leaves: set[str] = set()  # partitions that are there
        self._listed: list[tuple[Any, ...]] = []  # instruments, as they were written last

    def __str__(self) -> str:
        return f"{shown(self.dsn)} schema {self.schema}"

    # --- opening and closing ---

    def open(self, *, fill: bool = True, anew: bool = False) -> None:
        """Connect. fill: as the one who writes: make what is missing, and take the lock. anew:
        drop what is there before, whoever made it."""
        self.close()
        self._connection = connect(self.dsn, "oms db-filler")
        with closed_if_failed(self.close, str(self)):
            use_schema(self._db, self.schema, make=fill)
            if fill:
                self._take_lock()
                self._check_schema()
                if anew:
                    self._drop_all()
                self._create()
                # A server that dies loses the latest transactions whole, with their row of `upto`:
                # what they filled is filled again, and nothing has to wait for the disk.
                self._db.execute("SET synchronous_commit = off")
                # Few rows of a large partition are changed at a time: by its index.
                self._db.execute("SET enable_hashjoin = off")
                self._db.execute("SET enable_mergejoin = off")
            self._check_version()
            self._load_dates()

    def close(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()

    @property
    def _db(self) -> psycopg.Connection[Any]:
        if self._connection is None:
            raise StoreError(f"{self}: not open")
        return self._connection

    def _take_lock(self) -> None:
        """Of a filler that was killed the server may need a moment to let go."""
        self._db.execute(f"SET lock_timeout = '{LOCK_WAIT_S}s'")
        try:
            self._db.execute("SELECT pg_advisory_lock(%s)", (lock_key(LOCK, self.schema),))
        except psycopg.errors.LockNotAvailable:
            self.close()
            raise DataInUseError(f"{self}: another db-filler fills it") from None
        self._db.execute("RESET lock_timeout")

    def _check_schema(self) -> None:
        """Before anything is made or dropped in it."""
        if value_of(self._db, "SELECT to_regclass('writer')") is not None:
            raise StoreError(f"{self}: has a journal: a projection needs a schema of its own")

    def _create(self) -> None:
        if value_of(self._db, "SELECT to_regclass('upto')") is not None:
            self._make_views()
            return
        with self._db.transaction():
            for statement in (*FUNCTIONS, *(table.ddl() for table in TABLES), UPTO):
                self._db.execute(statement)
            self._make_views()
            for table in TABLES:
                for index in table.indexes:
                    self._db.execute(f"CREATE INDEX ON {table.name} ({index})")
            self._db.execute("INSERT INTO upto VALUES (true, %s, 0, 0, 0, 0, 0)", (VERSION,))

    def _make_views(self) -> None:
        """Also in tables of an older program, which had fewer."""
        for statement in VIEWS.values():
            self._db.execute(statement)

    def _check_version(self) -> None:
        version = value_of(self._db, "SELECT version FROM upto")
        if version != VERSION:
            raise StoreError(
                f"{self}: expected version {VERSION} of the projection, was {version}; "
                "`migrate` makes it anew"
            )

    def versions(self) -> tuple[int, int]:
        """Of the tables that are there, 0 if there are none; and of this program. Raises
        StoreError."""
        connection = connect(self.dsn, "oms db-filler")
        with closing(connection):
            try:
                use_schema(connection, self.schema)
                if value_of(connection, "SELECT to_regclass('upto')") is None:
                    return 0, VERSION
                return int(value_of(connection, "SELECT version FROM upto")), VERSION
            except psycopg.Error as error:
                raise translated(error, str(self)) from error

    def _load_dates(self) -> None:
        rows = self._db.execute(
            "SELECT first_seq, trading_date FROM trading_dates ORDER BY first_seq"
        ).fetchall()
        self.dates = TradingDates(
            tuple(first_seq for first_seq, _ in rows), tuple(day for _, day in rows)
        )
        self._leaves = leaves(self._db)

    def _drop_all(self) -> None:
        with self._db.transaction():
            for name in VIEWS:
                self._drop("VIEW", name)
            for name in (*leaves(self._db), *(table.name for table in TABLES), "upto"):
                self._drop("TABLE", name)

    def _drop(self, kind: str, name: str) -> None:
        self._db.execute(sql.SQL(f"DROP {kind} IF EXISTS {{}}").format(sql.Identifier(name)))

    # --- how far it is ---

    def upto(self) -> Upto:
        try:
            cursor = self._db.cursor(row_factory=class_row(Upto))
            found = cursor.execute(f"SELECT {', '.join(Upto._fields)} FROM upto").fetchone()
        except psycopg.Error as error:
            raise translated(error, str(self)) from error
        assert found is not None, "made with the tables"
        return found

    def partitions(self) -> list[Partition]:
        return partitions(self._db)

    def detach(self, before: Date) -> tuple[list[Date], list[Date]]:
        """See partitions.detach."""
        return detach(self._db, before)

    def attach(self, date: Date) -> None:
        """See partitions.attach."""
        attach(self._db, date)

    # --- filling ---

    def fill(self, rows: Rows, before: Upto) -> Upto:
        """Add a stretch that follows `before`, made with `dates`; how far it is then. Raises
        StoreError; then nothing was added, or all was."""
        stretch, missed = rows.stretch, 0
        try:
            with self._db.transaction():
                if stretch.records:
                    missed = self._write(rows)
                if stretch.kept is not None:
                    self._keep(stretch.kept)
                if stretch.instruments != self._listed:
                    self._merge(INSTRUMENTS, stretch.instruments)
                after = self._advance(stretch, before, missed)
        except psycopg.Error as error:
            self._forget()
            raise translated(error, f"{self}: filling") from error
        except BaseException:
            self._forget()
            raise
        self.dates, self._listed = rows.dates, stretch.instruments
        return after

    def _forget(self) -> None:
        """What was not committed; the next one who opens reads what there is."""
        self.dates, self._leaves, self._listed = TradingDates(), set(), []
        self.close()

    def _write(self, rows: Rows) -> int:
        """How many changes are of partitions that are gone."""
        known = len(self.dates.days)
        self._copy(DATES.name, DATES, list(zip(*rows.dates, strict=True))[known:])
        date = rows.dates.of(rows.stretch.last_seq)
        for table, news in (
            (RESPONSES, rows.responses), (STATES, rows.orders), (TRADES, rows.trades),
        ):  # fmt: skip
            self._copy(self._leaf(table, date, make=True), table, news)
        for table, news in ((SESSIONS, rows.sessions), (ACTIONS, rows.actions)):
            self._copy(table.name, table, news)
        return self._change(rows.changed) + self._change_trades(rows.older_trades)

    def _copy(self, name: str, table: Table, rows: Iterable[tuple[Any, ...]]) -> None:
        left = iter(rows)
        first = next(left, None)
        if first is None:
            return
        columns = sql.SQL(", ").join(sql.Identifier(column.name) for column in table.copied)
        command = sql.SQL("COPY {} ({}) FROM STDIN (FORMAT binary)")
        with (
            self._db.cursor() as cursor,
            cursor.copy(command.format(sql.Identifier(name), columns)) as copy,
        ):
            copy.set_types([column.kind for column in table.copied])
            write = copy.write_row
            write(first)
            for row in left:
                write(row)

    def _leaf(self, table: Table, date: Date, *, make: bool) -> str:
        """The partition of a date; "" if it is gone."""
        name = leaf_name(table, date)
        if name in self._leaves:
            return name
        if not make:
            return ""
        self._leaves.add(make_leaf(self._db, table, date))
        return name

    def _change(self, rows: list[tuple[Any, ...]]) -> int:
        """Orders that were there before."""
        if not rows:
            return 0
        columns = {column.name: column for column in STATES.columns}
        staged = Table("changed", tuple(columns[name] for name in CHANGED), "")
        self._db.execute(
            sql.SQL("CREATE TEMP TABLE IF NOT EXISTS changed ({}) ON COMMIT DELETE ROWS").format(
                sql.SQL(", ").join(sql.SQL(f"{each.name} {each.kind}") for each in staged.columns)
            )
        )
        self._copy("changed", staged, rows)
        missed = 0
        for date, of_date in by_date(rows).items():
            leaf = self._leaf(STATES, date, make=False)
            if leaf:
                self._db.execute(
                    sql.SQL(UPDATE).format(sql.Identifier(leaf), sql.Literal(date.isoformat()))
                )
            else:
                missed += len(of_date)
        return missed

    def _change_trades(self, rows: Iterable[tuple[Any, ...]]) -> int:
        """Trades of earlier turns that were busted or corrected."""
        missed = 0
        for date, of_date in by_date(rows).items():
            leaf = self._leaf(TRADES, date, make=False)
            if not leaf:
                missed += len(of_date)
                continue
            ids = [report_id for _, report_id, *_ in of_date]
            self._db.execute(
                sql.SQL("DELETE FROM {} WHERE report_id = ANY(%s)").format(sql.Identifier(leaf)),
                (ids,),
            )
            self._copy(leaf, TRADES, of_date)
        return missed

    def _keep(self, kept: Kept) -> None:
        self._merge(HOLDINGS, kept.holdings)
        self._merge(PRICES, kept.last_prices)
        self._merge(AMOUNTS, kept.account_balances)

    def _merge(self, table: Table, rows: Sequence[tuple[Any, ...]]) -> None:
        """Rows that take the place of those with the same key."""
        if not rows:
            return
        names = [column.name for column in table.copied]
        key = table.key.split(", ")
        values = ", ".join(f"%s::{column.kind}" for column in table.copied)
        others = ", ".join(f"{name} = excluded.{name}" for name in names if name not in key)
        statement = (
            f"INSERT INTO {table.name} AS t VALUES ({values}) ON CONFLICT ({table.key}) "
            f"DO UPDATE SET {others} WHERE t.* IS DISTINCT FROM excluded.*"
        )
        with self._db.cursor() as cursor:
            cursor.executemany(statement, rows)

    def _advance(self, stretch: Stretch, before: Upto, missed: int) -> Upto:
        seq, checksum, wall_ns = before[:3]
        if stretch.records:
            last = stretch.records[-1]
            seq, checksum, wall_ns = last.last_seq, last.checksum, last.wall_ns
        kept_seq = seq if stretch.kept is not None else before.kept_seq
        after = Upto(seq, checksum, wall_ns, kept_seq, before.missed + missed)
        done = self._db.execute(ADVANCE, (*after[:4], missed, *before[:2]))
        if done.rowcount != 1:
            raise JournalError(f"{self}: another one has filled it meanwhile")
        return after


def by_date(rows: Iterable[tuple[Any, ...]]) -> dict[Date, list[tuple[Any, ...]]]:
    """Rows by their first column, which is their trading date."""
    found: dict[Date, list[tuple[Any, ...]]] = {}
    for row in rows:
        date, *_ = row
        found.setdefault(date, []).append(row)
    return found
