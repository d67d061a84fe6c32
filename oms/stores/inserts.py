"""Inserts: rows into SQLite, some of them with each statement.

A row among ROWS costs two thirds of one by itself, and threads that wait for the interpreter, which
each statement lets go, get it once for all of them.
"""

import sqlite3
from collections.abc import Sequence
from itertools import chain
from typing import NamedTuple

ROWS = 20


class Insert(NamedTuple):
    """What writes one row, and what writes ROWS together."""

    one: str
    some: str


def insert_of(table: str, columns: int, end: str = "") -> Insert:
    """end: what stands behind the values, such as ON CONFLICT."""
    row = f"({', '.join('?' * columns)})"
    one, some = (f"INSERT INTO {table} VALUES {', '.join([row] * n)}{end}" for n in (1, ROWS))
    return Insert(one, some)


def insert_all(db: sqlite3.Connection, insert: Insert, rows: Sequence[Sequence[object]]) -> int:
    """As executemany with `one`; how many rows were written."""
    whole = len(rows) - len(rows) % ROWS
    together = [tuple(chain.from_iterable(rows[at : at + ROWS])) for at in range(0, whole, ROWS)]
    written = db.executemany(insert.some, together).rowcount if together else 0
    rest = rows[whole:]
    return written + (db.executemany(insert.one, rest).rowcount if rest else 0)
