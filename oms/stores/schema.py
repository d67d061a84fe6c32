"""The tables of the SQLite store, and the statements that write and read them."""

import sqlite3

from oms.errors import StoreError
from oms.reports import ROW_COLUMNS

# One list of statements per schema version; a database is brought up from its own to the last.
MIGRATIONS = [
    [
        # Unique, so that of two processes that write one journal the second cannot.
        """CREATE TABLE journal (
            last_seq INTEGER PRIMARY KEY,
            first_seq INTEGER NOT NULL UNIQUE,
            wall_ns INTEGER NOT NULL,
            released INTEGER NOT NULL,
            body TEXT NOT NULL,
            checksum INTEGER NOT NULL)""",
        """CREATE TABLE client_orders (
            account TEXT NOT NULL,
            client_order_id TEXT NOT NULL,
            journal_seq INTEGER NOT NULL,
            PRIMARY KEY (account, client_order_id)) WITHOUT ROWID""",
        # In journal order, with an index by order: clustered by order instead, a report of an
        # old order would dirty a page of its own, and commits took three times as long.
        """CREATE TABLE order_responses (
            journal_seq INTEGER NOT NULL,
            number INTEGER NOT NULL,
            order_id INTEGER NOT NULL,
            request_seq INTEGER NOT NULL,
            account TEXT NOT NULL,
            client_order_id TEXT NOT NULL,
            symbol TEXT NOT NULL,
            side TEXT NOT NULL,
            type TEXT NOT NULL,
            state TEXT NOT NULL,
            last_price_ticks INTEGER NOT NULL,
            last_quantity_lots INTEGER NOT NULL,
            cumulative_lots INTEGER NOT NULL,
            leaves_lots INTEGER NOT NULL,
            notional TEXT NOT NULL,
            liquidity TEXT NOT NULL,
            reason TEXT NOT NULL,
            wall_ns INTEGER NOT NULL,
            waited_ns INTEGER NOT NULL,
            venue_ns INTEGER NOT NULL)""",
        "CREATE INDEX order_responses_by_order ON order_responses (order_id)",
        """CREATE TABLE snapshots (
            journal_seq INTEGER PRIMARY KEY,
            checksum INTEGER NOT NULL,
            body TEXT NOT NULL)""",
        "CREATE TABLE probe (bytes BLOB)",
    ],
    [
        "ALTER TABLE order_responses ADD COLUMN fee TEXT NOT NULL DEFAULT ''",
    ],
]

INSERT_ID = "INSERT OR IGNORE INTO client_orders VALUES (?, ?, ?)"
COLUMNS = ", ".join(ROW_COLUMNS)
INSERT_ROW = f"INSERT INTO order_responses ({COLUMNS}) VALUES ({', '.join('?' * len(ROW_COLUMNS))})"
INSERT_RECORD = (
    "INSERT INTO journal (first_seq, last_seq, wall_ns, released, body, checksum) "
    "VALUES (?, ?, ?, ?, ?, ?)"
)
SELECT_RECORD = "SELECT first_seq, last_seq, wall_ns, released, body, checksum FROM journal "
SELECT_ROW = f"SELECT {COLUMNS} FROM order_responses "
OF_ORDER = "WHERE order_id = ? ORDER BY rowid"


def migrate(connection: sqlite3.Connection) -> None:
    """Bring a database up to the latest version, a version a transaction."""
    version = connection.execute("PRAGMA user_version").fetchone()[0]
    for number, statements in enumerate(MIGRATIONS[version:], version + 1):
        connection.execute("BEGIN IMMEDIATE")
        for statement in statements:
            connection.execute(statement)
        connection.execute(f"PRAGMA user_version = {number}")
        connection.execute("COMMIT")


def check_version(connection: sqlite3.Connection, path: object) -> None:
    """StoreError if this is not the version that we read and write."""
    version = connection.execute("PRAGMA user_version").fetchone()[0]
    if version != len(MIGRATIONS):
        hint = "; the daemon's next start brings it up to date" if version < len(MIGRATIONS) else ""
        raise StoreError(f"{path}: expected schema version {len(MIGRATIONS)}, was {version}{hint}")
