"""Inserts: rows among others are the rows that one by one would be."""

import sqlite3
from contextlib import closing

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oms.stores.inserts import ROWS, insert_all, insert_of

INSERT = insert_of("kept", 2, " ON CONFLICT DO NOTHING")


def table() -> sqlite3.Connection:
    db = sqlite3.connect(":memory:")
    db.execute("CREATE TABLE kept (number INTEGER PRIMARY KEY, name TEXT NOT NULL)")
    return db


@given(st.lists(st.tuples(st.integers(0, 60), st.text(max_size=3)), max_size=4 * ROWS))
def test_rows_are_written_and_counted_as_one_by_one(rows):
    """Those that are there already, among the rows themselves too, count for nothing."""
    with closing(table()) as together, closing(table()) as alone:
        # when
        written = insert_all(together, INSERT, rows)
        written_alone = sum(alone.execute(INSERT.one, row).rowcount for row in rows)

        # then
        assert written == written_alone
        every = "SELECT * FROM kept ORDER BY number"
        assert together.execute(every).fetchall() == alone.execute(every).fetchall()


@pytest.mark.parametrize("place", [0, ROWS - 1, ROWS, 2 * ROWS])
def test_a_row_that_cannot_be_written_fails_wherever_it_stands(place):
    """And the transaction around it is undone as a whole."""
    # given
    rows = [(number, "a") for number in range(2 * ROWS + 1)]
    rows[place] = (place, None)

    # when, then
    with closing(table()) as db:
        db.execute("BEGIN")
        with pytest.raises(sqlite3.IntegrityError):
            insert_all(db, INSERT, rows)
        db.execute("ROLLBACK")
        assert db.execute("SELECT count(*) FROM kept").fetchone() == (0,)
