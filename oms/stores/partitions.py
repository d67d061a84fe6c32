"""Partitions of the projection: the tables of one trading date, in the others or by themselves.

A detached date keeps its tables under their names, so they can be read, dumped, moved and put back;
db-filler changes what is changed in them, as long as they are there.
"""

import datetime
from typing import Any, LiteralString, NamedTuple

import psycopg
from psycopg import sql
from psycopg.rows import class_row

from oms.enums import TERMINAL_STATES
from oms.errors import StoreError
from oms.stores.projection_schema import PARTITIONED, STATES, Table

Date = datetime.date
Connection = psycopg.Connection[Any]
LEAVES = "^(" + "|".join(table.name for table in PARTITIONED) + ")_[0-9]{8}$"
ENDED = [state.value for state in TERMINAL_STATES]
# Most orders change once more: room for it in the same page.
ROOM = sql.SQL("WITH (fillfactor = 70)")


class Partition(NamedTuple):
    """The tables of a trading date. attached: they are part of the tables of all dates; size_bytes:
    on disk, with indexes."""

    date: Date
    attached: bool
    size_bytes: int


def leaf_name(table: Table, date: Date) -> str:
    return f"{table.name}_{date:%Y%m%d}"


def leaves(db: Connection) -> set[str]:
    """Names of all of them, attached or not."""
    query = (
        "SELECT relname FROM pg_class WHERE relkind = 'r' AND relname ~ %s "
        "AND pg_table_is_visible(oid)"
    )
    return {name for (name,) in db.execute(query, (LEAVES,))}


def make_leaf(db: Connection, table: Table, date: Date) -> str:
    """Its name."""
    name = leaf_name(table, date)
    db.execute(
        sql.SQL("CREATE TABLE {} PARTITION OF {} FOR VALUES IN ({}) {}").format(
            sql.Identifier(name), sql.Identifier(table.name), sql.Literal(date.isoformat()),
            ROOM if table is STATES else sql.SQL(""),
        )
    )  # fmt: skip
    return name


def partitions(db: Connection) -> list[Partition]:
    """Those of every trading date, oldest first."""
    query = (
        "SELECT right(relname, 8)::date AS date, bool_and(relispartition) AS attached, "
        "sum(pg_total_relation_size(oid))::bigint AS size_bytes FROM pg_class WHERE relkind = 'r' "
        "AND relname ~ %s AND pg_table_is_visible(oid) GROUP BY 1 ORDER BY 1"
    )
    return db.cursor(row_factory=class_row(Partition)).execute(query, (LEAVES,)).fetchall()


def detach(db: Connection, before: Date) -> tuple[list[Date], list[Date]]:
    """Take dates before this one out, so that their tables stand by themselves; the dates that were
    taken, and those that stay because orders of them are open. The latest stays in any case."""
    taken, stay = list[Date](), list[Date]()
    for each in partitions(db)[:-1]:
        if not each.attached or each.date >= before:
            continue
        with db.transaction():
            if has_open_orders(db, each.date):
                stay.append(each.date)
                continue
            _alter(db, each.date, "ALTER TABLE {} DETACH PARTITION {}")
            taken.append(each.date)
    return taken, stay


def attach(db: Connection, date: Date) -> None:
    """Put the tables of a date back. Raises StoreError, naming those that can be, if it cannot."""
    detached = [each.date for each in partitions(db) if not each.attached]
    if date not in detached:
        there = ", ".join(map(str, detached)) or "none"
        raise StoreError(f"{date}: expected a detached trading date; detached are: {there}")
    with db.transaction():
        values = sql.SQL("FOR VALUES IN ({})").format(sql.Literal(date.isoformat()))
        _alter(db, date, "ALTER TABLE {} ATTACH PARTITION {} {}", values)


def has_open_orders(db: Connection, date: Date) -> bool:
    name = leaf_name(STATES, date)
    if name not in leaves(db):
        return False
    query = sql.SQL("SELECT EXISTS (SELECT FROM {} WHERE state <> ALL (%s))")
    return db.execute(query.format(sql.Identifier(name)), (ENDED,)).fetchone() == (True,)


def _alter(db: Connection, date: Date, how: LiteralString, *more: sql.Composable) -> None:
    """Each table of a date that is there."""
    there = leaves(db)
    for table in PARTITIONED:
        name = leaf_name(table, date)
        if name in there:
            what = sql.Identifier(table.name), sql.Identifier(name), *more
            db.execute(sql.SQL(how).format(*what))
