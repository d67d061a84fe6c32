"""The tables of the SQLite store, and the statements that write and read them.

What an order is (whose, which symbol and side, which terms) is stored once, in `orders`, under
the sequence of its request; so is each client order id ever claimed. `reports` has what happened.
The view `order_responses` puts both together; `holdings`, `last_prices`, `account_balances` and
`instruments` are kept up to date turn by turn, for the views of views.py.
"""

import sqlite3
from collections.abc import Sequence

from oms.errors import StoreError
from oms.positions import Holding
from oms.reports import (
    EXEC_TYPES,
    MEASURED,
    NUMBER_BITS,
    NUMBER_MASK,
    ORD_STATUSES,
    ROW_COLUMNS,
    STORED,
    Report,
)
from oms.stores import EXECUTIONS, JournalRecord
from oms.stores.inserts import insert_of
from oms.stores.listed import COLUMNS
from oms.stores.views import CHANGE, FILL, VIEWS, word

SCHEMA_VERSION = 5
ARCHIVED_VERSION = 4  # from this one on, an archive is read as it is
FOLDED_VERSION = 4  # up to this one, some tables are to be made from the journal: see `upgrade`
RESPONSES_VERSION = 2  # up to this one, order_responses was a table

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

# Answers to requests about what is over, or unknown, or no order: they may name no symbol.
NAMED_OTHERWISE = frozenset(
    ("REJECTED", "CANCEL_REJECTED", "ORDER_STATUS", "TRADE_BUSTED", "TRADE_CORRECTED",
    "COMMAND_DONE", "COMMAND_REJECTED")
)  # fmt: skip
NAMES = Report._fields[:STORED]
TEXTS = ("code", "notional", "liquidity", "reason", "fee")
_COLUMNS = ",\n    ".join(
    f"{name} {'TEXT' if name in TEXTS else 'INTEGER'} NOT NULL" for name in NAMES[1:]
)
# Busts and corrections are few, and may be about a trade of long ago: they have a list of their
# own, by the fill that they are about. (A partial index of `reports` costs every other report
# half a microsecond, and cannot say which fill of the order it is.)
TRADE_CHANGES = """CREATE TABLE trade_changes (
    fill_id INTEGER NOT NULL,
    report_id INTEGER NOT NULL,
    PRIMARY KEY (fill_id, report_id)) WITHOUT ROWID"""
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
KEPT = {
    "holdings": """CREATE TABLE holdings (
    account TEXT NOT NULL,
    symbol TEXT NOT NULL,
    seq INTEGER NOT NULL,
    lots INTEGER NOT NULL,
    cost TEXT NOT NULL,
    realized TEXT NOT NULL,
    fees TEXT NOT NULL,
    PRIMARY KEY (account, symbol)) WITHOUT ROWID""",
    "last_prices": """CREATE TABLE last_prices (
    symbol TEXT PRIMARY KEY,
    seq INTEGER NOT NULL,
    price_ticks INTEGER NOT NULL) WITHOUT ROWID""",
    "account_balances": """CREATE TABLE account_balances (
    account TEXT NOT NULL,
    asset TEXT NOT NULL,
    seq INTEGER NOT NULL,
    scale INTEGER NOT NULL,
    available_units INTEGER NOT NULL,
    reserved_units INTEGER NOT NULL,
    PRIMARY KEY (account, asset)) WITHOUT ROWID""",
    # One row for each change: as it was since one turn, and until another; NULL: as it is.
    "instruments": f"""CREATE TABLE instruments (
    {COLUMNS},
    PRIMARY KEY (symbol, since_seq)) WITHOUT ROWID""",
}
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


def upsert(table: str, names: Sequence[str], key: int) -> str:
    """A row that takes the place of the one with the same key: its first names."""
    others = ", ".join(f"{name} = excluded.{name}" for name in names[key:])
    return (
        f"INSERT INTO {table} VALUES ({', '.join('?' * len(names))}) "
        f"ON CONFLICT ({', '.join(names[:key])}) DO UPDATE SET {others}"
    )


DROP_PARTS = """DELETE FROM snapshot_parts WHERE rowid IN (SELECT rowid FROM snapshot_parts
    WHERE parts_id <> ? AND parts_id NOT IN (SELECT parts_id FROM snapshots) LIMIT 8)"""

INSERT_CLAIM = insert_of("orders", 7, " ON CONFLICT DO NOTHING")
INSERT_REPORT = insert_of("reports", STORED)
# So that a report about no order of its own is in the view, too; no client has such an id.
INSERT_STAND_IN = (
    "INSERT INTO orders SELECT seq, account, char(10) || seq, symbol, side, '', 0 FROM "
    "(SELECT ? AS seq, ? AS account, ? AS symbol, ? AS side) AS given WHERE true "
    "ON CONFLICT DO NOTHING"
)
INSERT_NAMES = (
    "INSERT INTO report_names SELECT report_id, given.symbol, given.side "
    "FROM (SELECT ? AS report_id, ? AS symbol, ? AS side, ? AS order_id) AS given "
    "JOIN orders ON orders.seq = order_id "
    "WHERE (orders.symbol, orders.side) <> (given.symbol, given.side)"
)
INSERT_RECORD = (
    f"INSERT INTO journal ({', '.join(JournalRecord._fields)}) "
    f"VALUES ({', '.join('?' * len(JournalRecord._fields))})"
)
SELECT_RECORD = f"SELECT {', '.join(JournalRecord._fields)} FROM journal "
SELECT_CLAIMS = "SELECT * FROM orders WHERE client_order_id >= ' ' ORDER BY seq"  # no stand-ins
COUNT_ALL = """SELECT (SELECT count(*) FROM orders WHERE client_order_id >= ' '),
    (SELECT count(*) FROM reports)"""  # each by an index alone
COUNT = """SELECT (SELECT count(*) FROM orders WHERE client_order_id >= ' ' AND seq <= ?),
    (SELECT count(*) FROM reports WHERE report_id < ?)"""
# A new order's claim, and no other, has a side; a stand-in may have one, but not such an id.
_OF_ORDERS = "side <> '' AND client_order_id >= ' '"
SELECT_ORDER = f"SELECT * FROM orders WHERE seq = ? AND {_OF_ORDERS}"
SELECT_CHANGES_OF_ORDER = f"""SELECT code, request_seq, reason, cumulative_lots + leaves_lots
    FROM reports WHERE order_id = ?
    AND substr(code, 1, 1) IN ('{EXEC_TYPES["REPLACED"]}', '{EXEC_TYPES["RESTATED"]}')
    ORDER BY report_id"""
BY_ACCOUNT_MAX = 10_000  # ids of an account that are sorted to find its latest orders
SCANNED_MAX = 100_000  # ids of all that are looked through, at 0.2 us each
COUNT_IDS = "SELECT count(*) FROM (SELECT 1 FROM orders WHERE account = ? LIMIT ?) AS few"
_HISTORY = f"""SELECT seq FROM orders {{}} WHERE account = ? AND {_OF_ORDERS}
    AND ? IN ('', symbol) AND ? IN ('', side) AND seq >= ? AND seq < ?
    ORDER BY seq DESC LIMIT ?"""
SELECT_BY_ACCOUNT = _HISTORY.format("INDEXED BY orders_by_id")
SELECT_BY_SEQ = _HISTORY.format("NOT INDEXED")
SELECT_COMMANDS = """SELECT seq FROM orders INDEXED BY orders_by_id
    WHERE account = ? AND side = '' AND client_order_id >= ' ' AND seq < ?
    ORDER BY seq DESC LIMIT ?"""
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


_SOURCES = {
    "journal_seq": f"r.report_id >> {NUMBER_BITS}",
    "number": f"r.report_id & {NUMBER_MASK}",
    "type": word("r.code", 1, EXEC_TYPES),
    "state": word("r.code", 2, ORD_STATUSES),
    "account": "o.account",
    "client_order_id": "n.client_order_id",
    "symbol": "coalesce(x.symbol, o.symbol)",
    "side": "coalesce(x.side, o.side)",
    "wall_ns": "j.wall_ns",
}
_READ = [name for name in Report._fields if name not in ("type", "state")]
SELECT_REPORT = (
    "SELECT " + ", ".join(_SOURCES.get(name, f"r.{name}") for name in _READ) + f" {_FROM}"
)
# What was not measured is NULL in the view, so that averages leave it out.
_SHOWN = {**_SOURCES, **{name: f"nullif(r.{name}, 0)" for name in MEASURED}}
VIEW = "CREATE VIEW order_responses AS SELECT " + ", ".join(
    f"{_SHOWN.get(name, f'r.{name}')} AS {name}" for name in ROW_COLUMNS
) + f" {_FROM}"  # fmt: skip
OF_TRADES = (
    "WHERE substr(r.code, 1, 1) IN ("
    + ", ".join(f"'{EXEC_TYPES[kind]}'" for kind in EXECUTIONS)
    + ") AND r.report_id >= ? AND r.report_id < ? AND o.symbol IN (SELECT value FROM json_each(?)) "
    "ORDER BY r.report_id DESC"
)
# One report of each trade, the one that names it: see names_trade. By sequence of turns, as the
# stamps of turns never decrease: no index of its own, so a trade costs the dispatcher nothing.
SELECT_TRADES_OF_TIME = f"""SELECT r.report_id, j.wall_ns, r.last_price_ticks, r.last_quantity_lots
    FROM reports AS r
    CROSS JOIN orders AS o ON o.seq = r.order_id
    CROSS JOIN journal AS j ON j.last_seq = r.report_id >> {NUMBER_BITS}
    WHERE r.report_id >= ? AND r.report_id < ? AND {FILL.format("r")}
    AND r.liquidity <> 'MAKER' AND o.symbol = ? AND (r.liquidity = 'TAKER'
    OR (r.match_number > 0 AND o.side = 'BUY')) ORDER BY r.report_id"""
OF_CHANGES = """WHERE r.report_id IN (SELECT report_id FROM trade_changes WHERE report_id >= ?)
    ORDER BY r.report_id"""
SELECT_ARCHIVES = "SELECT * FROM archives ORDER BY last_seq"
INSERT_CHANGE = "INSERT INTO trade_changes VALUES (?, ?)"
SELECT_TURN = "SELECT last_seq, wall_ns FROM journal WHERE last_seq >= ? ORDER BY last_seq LIMIT 1"
SELECT_TURN_BEFORE = """SELECT max(last_seq) FROM journal
    WHERE wall_ns < ? AND last_seq <= ? AND last_seq > ?
    AND last_seq < (SELECT max(last_seq) FROM journal)"""
ALL_VIEWS = {"order_responses": VIEW, **VIEWS}
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
# The turns after one and up to another.
OF_STRETCH = "WHERE r.report_id >= ? AND r.report_id < ? ORDER BY r.report_id"
NEW_ORDERS_BETWEEN = (
    f"SELECT * FROM orders WHERE seq > ? AND seq <= ? AND {_OF_ORDERS} ORDER BY seq"
)
KEPT_AFTER = "SELECT * FROM {} WHERE seq > ?"
SCALE_OF_ASSET = "SELECT scale FROM account_balances WHERE asset = ? LIMIT 1"
OF_ORDER = "WHERE r.order_id = ? ORDER BY r.report_id"
ALL_CHANGES = f"WHERE {CHANGE.format('r')} ORDER BY r.report_id"
ALL_EXECUTIONS = f"WHERE ({FILL.format('r')} OR {CHANGE.format('r')}) ORDER BY r.report_id"
# By the index of the account's ids, then of each order's reports: not all that there are.
OF_KEY = (
    f"WHERE o.account = ? AND o.symbol = ? AND ({FILL.format('r')} OR {CHANGE.format('r')}) "
    "ORDER BY r.report_id"
)
SELECT_HOLDING = f"SELECT {', '.join(Holding._fields)} FROM holdings "
UPSERT_HOLDING = upsert("holdings", Holding._fields, 2)
# What find_trades looks for: fills up to the last report of a turn, of a symbol or all ("").
OF_FILLS = f"r.report_id <= ? AND ? IN ('', o.symbol) AND {FILL.format('r')}"
FILLS_BEFORE = f"""SELECT r.report_id FROM reports AS r
    CROSS JOIN orders AS o ON o.seq = r.order_id
    WHERE {OF_FILLS} ORDER BY r.report_id DESC"""
FILLS_OF_ACCOUNT = f"""SELECT r.report_id FROM orders AS o
    CROSS JOIN reports AS r ON r.order_id = o.seq
    WHERE o.account = ? AND {OF_FILLS} ORDER BY r.report_id DESC"""
# What find_moved looks for, in a stretch of reports: fills, busts and corrections of the account's
# orders; and answers about funds, its own or with its name in their turn: a transfer may be to it.
OF_MOVED = f"""WHERE r.report_id >= ? AND r.report_id < ? AND (
    (({FILL.format("r")} OR {CHANGE.format("r")}) AND o.account = ?)
    OR (substr(r.code, 1, 1) = '{EXEC_TYPES["COMMAND_DONE"]}' AND r.reason LIKE 'asset=%'
        AND (o.account = ? OR instr(j.body, '"' || ? || '"') > 0)))
    ORDER BY r.report_id DESC"""
BACK = "SELECT report_id FROM reports WHERE report_id < ? ORDER BY report_id DESC LIMIT 1 OFFSET ?"
UPSERT_PRICE = upsert("last_prices", ("symbol", "seq", "price_ticks"), 1)
UPSERT_BALANCE = upsert(
    "account_balances",
    ("account", "asset", "seq", "scale", "available_units", "reserved_units"),
    2,
)
INSERT_INSTRUMENT = upsert("instruments", [line.split()[0] for line in COLUMNS.split(",\n")], 2)


def create(connection: sqlite3.Connection) -> bool:
    """Make what an empty database lacks; True if this one is an older program's.

    Of that one the journal stays; what it lacks is made from it: see PersistentStorage.upgrade.
    """
    version = connection.execute("PRAGMA user_version").fetchone()[0]
    if version == 0:
        connection.execute("BEGIN IMMEDIATE")
        made = (JOURNAL, *TABLES, *KEPT.values(), *OTHERS, *ALL_VIEWS.values())
        for statement in made:
            connection.execute(statement)
        connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
        connection.execute("COMMIT")
    connection.execute(ARCHIVES)
    if version > FOLDED_VERSION:
        _renew_views(connection)
    return bool(0 < version <= FOLDED_VERSION)


def _renew_views(connection: sqlite3.Connection) -> None:
    """The views of an older program do not know the words that have come since."""
    found = dict(connection.execute("SELECT name, sql FROM sqlite_master WHERE type = 'view'"))
    old = {name: view for name, view in ALL_VIEWS.items() if found.get(name) != view.strip()}
    if not old:
        return
    connection.execute("BEGIN IMMEDIATE")
    for name, view in old.items():
        connection.execute(f"DROP VIEW IF EXISTS {name}")
        connection.execute(view)
    connection.execute("COMMIT")


def widen(connection: sqlite3.Connection) -> None:
    """Give the journal of an older program the columns that have come since."""
    there = {column[1] for column in connection.execute("PRAGMA table_info(journal)")}
    for name, kind in NEW_COLUMNS.items():
        if name not in there:
            connection.execute(f"ALTER TABLE journal ADD COLUMN {name} {kind}")


def lacks_kept_alone(connection: sqlite3.Connection) -> bool:
    """An older program wrote all else as this one does."""
    version = connection.execute("PRAGMA user_version").fetchone()[0]
    return bool(RESPONSES_VERSION < version < SCHEMA_VERSION)


def add_kept(connection: sqlite3.Connection) -> None:
    """The tables that such a database lacks, empty, and the views over them."""
    widen(connection)
    for name in ALL_VIEWS:
        connection.execute(f"DROP VIEW IF EXISTS {name}")
    for name in KEPT:
        connection.execute(f"DROP TABLE IF EXISTS {name}")
    connection.execute("DROP TABLE IF EXISTS trade_changes")
    for statement in (TRADE_CHANGES, *KEPT.values(), *ALL_VIEWS.values()):
        connection.execute(statement)


def set_aside(connection: sqlite3.Connection) -> str:
    """Make room for tables that are made anew; the statement that takes over how long things
    took, which no journal has, and drops what is old then."""
    version = connection.execute("PRAGMA user_version").fetchone()[0]
    for name in ALL_VIEWS if version > RESPONSES_VERSION else ():
        connection.execute(f"DROP VIEW IF EXISTS {name}")
    for name in KEPT:
        connection.execute(f"DROP TABLE IF EXISTS {name}")
    if version <= RESPONSES_VERSION:
        old, report_id = "order_responses", f"(old.journal_seq << {NUMBER_BITS}) | old.number"
        dropped = ["TABLE client_orders"]
    else:
        old, report_id = "reports", "old.report_id"
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


def check_version(connection: sqlite3.Connection, path: object, oldest: int) -> None:
    """StoreError if this is not a version that we read and write; oldest: the first that is."""
    version = connection.execute("PRAGMA user_version").fetchone()[0]
    if not oldest <= version <= SCHEMA_VERSION:
        hint = "; `migrate` upgrades it" if version < SCHEMA_VERSION else ""
        raise StoreError(f"{path}: expected schema version {SCHEMA_VERSION}, was {version}{hint}")
