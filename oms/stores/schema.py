"""The tables of the SQLite store, and the statements that write and read them.

What an order is (whose, which symbol and side, which terms) is stored once, in `orders`, under
the sequence of its request; so is each client order id ever claimed. `reports` has what happened.
The view `order_responses` puts both together.
"""

import sqlite3

from oms.errors import StoreError
from oms.reports import (
    EXEC_TYPES,
    NUMBER_BITS,
    NUMBER_MASK,
    ORD_STATUSES,
    ROW_COLUMNS,
    STORED,
    Report,
)
from oms.stores import CHANGES, EXECUTIONS, JournalRecord

SCHEMA_VERSION = 4
FOLDED_VERSION = 2  # up to this one, all tables but the journal are made anew from it

# `last_seq` and `first_seq` are unique, so that of two processes that write one journal the
# second cannot.
JOURNAL = """CREATE TABLE IF NOT EXISTS journal (
    last_seq INTEGER PRIMARY KEY,
    first_seq INTEGER NOT NULL UNIQUE,
    wall_ns INTEGER NOT NULL,
    released INTEGER NOT NULL,
    body TEXT NOT NULL,
    checksum INTEGER NOT NULL,
    elapsed_ns INTEGER,
    clock_ns INTEGER,
    tally TEXT)"""
NEW_COLUMNS = {"elapsed_ns": "INTEGER", "clock_ns": "INTEGER", "tally": "TEXT"}

# What was moved into files beside the database: see archives.py.
ARCHIVES = """CREATE TABLE IF NOT EXISTS archives (
    last_seq INTEGER PRIMARY KEY,
    checksum INTEGER NOT NULL,
    reports INTEGER NOT NULL,
    name TEXT NOT NULL)"""

NAMES = Report._fields[:STORED]
_TEXTS = ("code", "notional", "liquidity", "reason", "fee")
_COLUMNS = ",\n    ".join(
    f"{name} {'TEXT' if name in _TEXTS else 'INTEGER'} NOT NULL" for name in NAMES[1:]
)
# Busts and corrections are few, and may be about a trade of long ago: they have a list of their
# own. (A partial index of `reports` costs every other report half a microsecond.)
TRADE_CHANGES = "CREATE TABLE trade_changes (report_id INTEGER PRIMARY KEY)"
_OF_CHANGES = "substr(code, 1, 1) IN ({})".format(
    ", ".join(f"'{EXEC_TYPES[kind]}'" for kind in CHANGES)
)
TABLES = [
    """CREATE TABLE orders (
    seq INTEGER PRIMARY KEY,
    account TEXT NOT NULL,
    client_order_id TEXT NOT NULL,
    symbol TEXT NOT NULL,
    side TEXT NOT NULL,
    terms TEXT NOT NULL,
    content INTEGER NOT NULL)""",
    "CREATE UNIQUE INDEX orders_by_id ON orders (account, client_order_id)",
    # In journal order, with an index by order: clustered by order instead, a report of an
    # old order would dirty a page of its own, and commits took three times as long.
    f"CREATE TABLE reports (\n    report_id INTEGER PRIMARY KEY,\n    {_COLUMNS})",
    "CREATE INDEX reports_by_order ON reports (order_id)",
    TRADE_CHANGES,
    # Of the few reports that name another symbol or side than `orders` does: refusals.
    """CREATE TABLE report_names (
    report_id INTEGER PRIMARY KEY,
    symbol TEXT NOT NULL,
    side TEXT NOT NULL)""",
]
OTHERS = [
    "DROP TABLE IF EXISTS snapshots",  # an older program's; it is a cache
    "DROP TABLE IF EXISTS snapshot_parts",
    """CREATE TABLE snapshots (
    journal_seq INTEGER PRIMARY KEY,
    checksum INTEGER NOT NULL,
    last TEXT NOT NULL,
    parts_id INTEGER NOT NULL)""",
    """CREATE TABLE snapshot_parts (
    parts_id INTEGER NOT NULL,
    number INTEGER NOT NULL,
    part TEXT NOT NULL)""",
    "CREATE TABLE IF NOT EXISTS probe (bytes BLOB)",
]
DROP_PARTS = """DELETE FROM snapshot_parts WHERE rowid IN (SELECT rowid FROM snapshot_parts
    WHERE parts_id <> ? AND parts_id NOT IN (SELECT parts_id FROM snapshots) LIMIT 8)"""

INSERT_CLAIM = "INSERT OR IGNORE INTO orders VALUES (?, ?, ?, ?, ?, ?, ?)"
INSERT_REPORT = f"INSERT INTO reports VALUES ({', '.join('?' * STORED)})"
# So that a report about no order of its own is in the view, too; no client has such an id.
INSERT_STAND_IN = "INSERT OR IGNORE INTO orders VALUES (?1, ?2, char(10) || ?1, ?3, ?4, '', 0)"
INSERT_NAMES = (
    "INSERT INTO report_names SELECT ?1, ?2, ?3 FROM orders "
    "WHERE seq = ?4 AND (symbol, side) <> (?2, ?3)"
)
INSERT_RECORD = (
    f"INSERT INTO journal ({', '.join(JournalRecord._fields)}) "
    f"VALUES ({', '.join('?' * len(JournalRecord._fields))})"
)
SELECT_RECORD = f"SELECT {', '.join(JournalRecord._fields)} FROM journal "
SELECT_CLAIMS = "SELECT * FROM orders WHERE client_order_id >= ' ' ORDER BY seq"  # no stand-ins
COUNT_ALL = """SELECT (SELECT count(*) FROM orders WHERE client_order_id >= ' '),
    (SELECT count(*) FROM reports)"""  # each by an index alone
COUNT = """SELECT (SELECT count(*) FROM orders WHERE client_order_id >= ' ' AND seq <= ?1),
    (SELECT count(*) FROM reports WHERE report_id < ?2)"""
SELECT_END = "SELECT last_seq, checksum FROM journal ORDER BY last_seq DESC LIMIT 1"
SELECT_USED = (
    "SELECT account, client_order_id FROM json_each(?) AS name JOIN orders "
    "ON account = json_extract(name.value, '$[0]') "
    "AND client_order_id = json_extract(name.value, '$[1]')"
)

_FROM = f"""FROM reports AS r
    JOIN orders AS o ON o.seq = r.order_id
    JOIN orders AS n ON n.seq = r.order_id + r.named_after
    JOIN journal AS j ON j.last_seq = r.report_id >> {NUMBER_BITS}
    LEFT JOIN report_names AS x ON x.report_id = r.report_id """


def _word(place: int, codes: dict[str, str]) -> str:
    """The word that one character of a report's code stands for."""
    cases = " ".join(f"WHEN '{code}' THEN '{word}'" for word, code in codes.items())
    return f"CASE substr(r.code, {place}, 1) {cases} END"


_SOURCES = {
    "journal_seq": f"r.report_id >> {NUMBER_BITS}",
    "number": f"r.report_id & {NUMBER_MASK}",
    "type": _word(1, EXEC_TYPES),
    "state": _word(2, ORD_STATUSES),
    "account": "o.account",
    "client_order_id": "n.client_order_id",
    "symbol": "ifnull(x.symbol, o.symbol)",
    "side": "ifnull(x.side, o.side)",
    "wall_ns": "j.wall_ns",
}
_READ = [name for name in Report._fields if name not in ("type", "state")]
SELECT_REPORT = (
    "SELECT " + ", ".join(_SOURCES.get(name, f"r.{name}") for name in _READ) + f" {_FROM}"
)
VIEW = "CREATE VIEW order_responses AS SELECT " + ", ".join(
    f"{_SOURCES.get(name, f'r.{name}')} AS {name}" for name in ROW_COLUMNS
) + f" {_FROM}"  # fmt: skip
OF_TRADES = (
    "WHERE substr(r.code, 1, 1) IN ("
    + ", ".join(f"'{EXEC_TYPES[kind]}'" for kind in EXECUTIONS)
    + ") AND r.report_id >= ? AND r.report_id < ? AND o.symbol IN (SELECT value FROM json_each(?)) "
    "ORDER BY r.report_id DESC"
)
# One report of each trade, the one that names it: see names_trade. By sequence of turns, as the
# stamps of turns never decrease: no index of its own, so a trade costs the dispatcher nothing.
SELECT_TRADES = f"""SELECT r.report_id, j.wall_ns, r.last_price_ticks, r.last_quantity_lots
    FROM reports AS r
    CROSS JOIN orders AS o ON o.seq = r.order_id
    CROSS JOIN journal AS j ON j.last_seq = r.report_id >> {NUMBER_BITS}
    WHERE r.report_id >= ? AND r.report_id < ? AND substr(r.code, 1, 1) = '{EXEC_TYPES["TRADE"]}'
    AND r.liquidity <> 'MAKER' AND o.symbol = ? AND (r.liquidity = 'TAKER'
    OR (r.match_number > 0 AND o.side = 'BUY')) ORDER BY r.report_id"""
SELECT_CHANGES = """SELECT code, last_price_ticks, last_quantity_lots, fee, reason FROM reports
    WHERE report_id IN (SELECT report_id FROM trade_changes WHERE report_id >= ?)
    ORDER BY report_id"""
# Of a database that no program of this version has opened for writing yet.
SCAN_CHANGES = f"""SELECT code, last_price_ticks, last_quantity_lots, fee, reason FROM reports
    WHERE report_id >= ? AND {_OF_CHANGES} ORDER BY report_id"""
HAS_CHANGES = "SELECT 1 FROM sqlite_master WHERE name = 'trade_changes'"
HAS_ARCHIVES = "SELECT 1 FROM sqlite_master WHERE name = 'archives'"
SELECT_ARCHIVES = "SELECT * FROM archives ORDER BY last_seq"
INSERT_CHANGE = "INSERT INTO trade_changes VALUES (?)"
SELECT_TURN = "SELECT last_seq, wall_ns FROM journal WHERE last_seq >= ? ORDER BY last_seq LIMIT 1"
SELECT_TURN_BEFORE = """SELECT max(last_seq) FROM journal
    WHERE wall_ns < ? AND last_seq <= ? AND last_seq > ?
    AND last_seq < (SELECT max(last_seq) FROM journal)"""
# Those of a point of time on: a stretch of `reports`, in its own order, so that it needs no index
# by account, which every report would pay for.
HAS_MORE = "SELECT 1 FROM reports WHERE report_id > ? LIMIT 1 OFFSET ?"
_STRETCH = """WHERE r.report_id IN (
    SELECT s.report_id FROM reports AS s CROSS JOIN orders AS p ON p.seq = s.order_id
    WHERE s.report_id > ? AND s.report_id < ? AND {}) ORDER BY r.report_id"""
OF_ACCOUNT_AFTER = _STRETCH.format("p.account = ?")
OF_SYMBOL_AFTER = _STRETCH.format(
    "substr(s.code, 1, 1) IN ("
    + ", ".join(f"'{EXEC_TYPES[kind]}'" for kind in EXECUTIONS)
    + ") AND p.symbol = ?"
)
OF_ORDER = "WHERE r.order_id = ? ORDER BY r.report_id"


def create(connection: sqlite3.Connection) -> bool:
    """Make what an empty database lacks; True if this one is an older program's.

    Of that one the journal stays, and all else is made anew: see PersistentStorage.upgrade.
    """
    version = connection.execute("PRAGMA user_version").fetchone()[0]
    if version == 0 or FOLDED_VERSION < version < SCHEMA_VERSION:
        connection.execute("BEGIN IMMEDIATE")
        for statement in (JOURNAL, *TABLES, *OTHERS, VIEW) if version == 0 else ():
            connection.execute(statement)
        widen(connection)
        connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
        connection.execute("COMMIT")
    connection.execute(ARCHIVES)
    if version > FOLDED_VERSION:
        _renew_view(connection)
        _list_changes(connection)
    return bool(0 < version <= FOLDED_VERSION)


def _renew_view(connection: sqlite3.Connection) -> None:
    """The view of an older program does not know the words that have come since."""
    found = connection.execute("SELECT sql FROM sqlite_master WHERE name = 'order_responses'")
    if found.fetchone() != (VIEW.strip(),):
        connection.execute("BEGIN IMMEDIATE")
        connection.execute("DROP VIEW IF EXISTS order_responses")
        connection.execute(VIEW)
        connection.execute("COMMIT")


def _list_changes(connection: sqlite3.Connection) -> None:
    """A database of an older program has no list of busts and corrections: one look at all."""
    if connection.execute(HAS_CHANGES).fetchone() is None:
        connection.execute("BEGIN IMMEDIATE")
        connection.execute(TRADE_CHANGES)
        connection.execute(
            f"INSERT INTO trade_changes SELECT report_id FROM reports WHERE {_OF_CHANGES}"
        )
        connection.execute("COMMIT")


def widen(connection: sqlite3.Connection) -> None:
    """Give the journal of an older program the columns that have come since."""
    there = {column[1] for column in connection.execute("PRAGMA table_info(journal)")}
    for name, kind in NEW_COLUMNS.items():
        if name not in there:
            connection.execute(f"ALTER TABLE journal ADD COLUMN {name} {kind}")


def set_aside(connection: sqlite3.Connection) -> str:
    """Make room for tables that are made anew; the statement that takes over how long things
    took, which no journal has, and drops what is old then."""
    version = connection.execute("PRAGMA user_version").fetchone()[0]
    if version <= FOLDED_VERSION:
        old, report_id = "order_responses", f"(old.journal_seq << {NUMBER_BITS}) | old.number"
        dropped = ["TABLE client_orders"]
    else:
        old, report_id = "reports", "old.report_id"
        connection.execute("DROP VIEW order_responses")
        connection.execute("DROP INDEX reports_by_order")
        connection.execute("DROP TABLE IF EXISTS trade_changes")
        dropped = []
        for table in ("orders", "report_names"):
            connection.execute(f"DROP TABLE {table}")
    connection.execute(f"ALTER TABLE {old} RENAME TO old_reports")
    for what in dropped:
        connection.execute(f"DROP {what}")
    return (
        "UPDATE reports SET waited_ns = old.waited_ns, venue_ns = old.venue_ns "
        f"FROM old_reports AS old WHERE reports.report_id = {report_id}"
    )


def check_version(connection: sqlite3.Connection, path: object) -> None:
    """StoreError if this is not the version that we read and write."""
    version = connection.execute("PRAGMA user_version").fetchone()[0]
    if version != SCHEMA_VERSION:
        hint = "; the daemon's next start brings it up to date" if version < SCHEMA_VERSION else ""
        raise StoreError(f"{path}: expected schema version {SCHEMA_VERSION}, was {version}{hint}")
