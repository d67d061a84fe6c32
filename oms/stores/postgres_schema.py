"""The tables of the store in Postgres, and its statements: those of schema.py, said as Postgres
says them.

They are in a schema of their own, so that the projection, and other journals, may be in the same
database. Beside the tables of SQLite there is `writer`: who may write, by a number that grows with
each one who opens the store; each record of the journal bears it.
"""

import re
from functools import lru_cache

from oms.stores import JournalRecord
from oms.stores.schema import JOURNAL, KEPT, NAMES, TABLES, TEXTS

VERSION = 1

DIALECT = {
    "CROSS JOIN": "JOIN",  # SQLite takes it for an order of joining; Postgres has its own plan
    "INDEXED BY orders_by_id": "",
    "NOT INDEXED": "",
    "instr(": "strpos(",
    "char(10)": "chr(10)",
    "json_each(": "json_array_elements_text(",
    "WITHOUT ROWID": "",
    "INTEGER": "bigint",
    "TEXT": 'text COLLATE "C"',
}
_PLACES = re.compile(r"'[^']*'|\?")


@lru_cache(maxsize=256)
def said(statement: str) -> str:
    """A statement of schema.py in Postgres's words."""
    for ours, theirs in DIALECT.items():
        statement = statement.replace(ours, theirs)
    statement = statement.replace("%", "%%")
    return _PLACES.sub(lambda found: "%s" if found[0] == "?" else found[0], statement)


SNAPSHOTS = {
    "snapshots": """CREATE TABLE snapshots (
    journal_seq bigint PRIMARY KEY,
    checksum bigint NOT NULL,
    last text NOT NULL,
    parts_id bigint NOT NULL)""",
    "snapshot_parts": """CREATE TABLE snapshot_parts (
    parts_id bigint NOT NULL,
    number bigint NOT NULL,
    part text NOT NULL,
    PRIMARY KEY (parts_id, number))""",
}
OF_FOLDED = (*map(said, TABLES), *map(said, KEPT.values()), *SNAPSHOTS.values())
MADE = (
    said(JOURNAL).replace("IF NOT EXISTS", "").removesuffix(")") + ", epoch bigint NOT NULL)",
    *OF_FOLDED,
    """CREATE TABLE writer (
    one_row boolean PRIMARY KEY DEFAULT true CHECK (one_row),
    version bigint NOT NULL,
    epoch bigint NOT NULL,
    who text NOT NULL,
    since timestamptz NOT NULL)""",
    "INSERT INTO writer VALUES (true, 0, 0, '', now())",
)
# Made from the journal, or only a cache.
FOLDED = ("orders", "reports", "trade_changes", "report_names", *KEPT, *SNAPSHOTS)

# The number of the writer is looked at, and held, in the transaction that writes under it.
_KINDS = {"body": "text", "tally": "text"}
APPEND = (
    f"INSERT INTO journal (epoch, {', '.join(JournalRecord._fields)}) SELECT epoch, "
    + ", ".join(f"%s::{_KINDS.get(name, 'bigint')}" for name in JournalRecord._fields)
    + " FROM writer WHERE epoch = %s FOR SHARE"
)
SET_VERSION = "UPDATE writer SET version = %s"
TAKE_OVER = """UPDATE writer SET epoch = epoch + 1, who = %s, since = now()
    RETURNING epoch, version"""
COPY_CLAIMS = "COPY orders FROM STDIN (FORMAT binary)"
CLAIM_KINDS = ["int8", "text", "text", "text", "text", "text", "int8"]
COPY_REPORTS = "COPY reports FROM STDIN (FORMAT binary)"
REPORT_KINDS = ["text" if name in TEXTS else "int8" for name in NAMES]
SELECT_USED = """SELECT account, client_order_id FROM json_array_elements(%s) AS name (value)
    JOIN orders ON account = name.value ->> 0 AND client_order_id = name.value ->> 1"""
SAVE_SNAPSHOT = """INSERT INTO snapshots VALUES (%s, %s, %s, %s)
    ON CONFLICT (journal_seq) DO UPDATE SET checksum = excluded.checksum, last = excluded.last,
    parts_id = excluded.parts_id"""
DROP_PARTS = """DELETE FROM snapshot_parts WHERE ctid = ANY (ARRAY(
    SELECT ctid FROM snapshot_parts WHERE parts_id <> %s
    AND parts_id NOT IN (SELECT parts_id FROM snapshots) LIMIT 8))"""
HOLDS_LOCK = """SELECT EXISTS (SELECT FROM pg_locks WHERE locktype = 'advisory' AND granted
    AND pid = pg_backend_pid() AND (classid::bigint << 32 | objid::bigint) = %s AND objsubid = 1)"""
