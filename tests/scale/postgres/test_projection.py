"""What db-filler fills says the same as the views of the embedded database, row by row."""

import sqlite3
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal

import pytest

from oms import PersistentStorage
from oms.cli import main
from oms.commands import Place
from oms.commands.filling import Filler
from oms.config import ProjectionConfig, StoreConfig
from oms.turn.threads import StopFlag
from tests.fakes import config_of
from tests.test_store_contract import lived_through

psycopg = pytest.importorskip("psycopg")

KEYS = {
    "order_responses": ("journal_seq", "number"), "order_states": ("order_id",),
    "trades": ("report_id",), "positions": ("account", "symbol"),
    "balances": ("account", "asset"), "sessions": ("seq",), "operator_actions": ("seq",),
    "instruments": ("symbol", "since_seq"),
}  # fmt: skip


def filler_of(directory, dsn, journal="", **settings):
    """One that has opened the projection. journal: where it is, if that is in Postgres."""
    from oms.stores.projection import Projection

    config = replace(config_of(), projection=ProjectionConfig(dsn=dsn, **settings))
    if journal:
        config = replace(config, store=StoreConfig(kind="postgres", dsn=journal))
    projection = Projection(dsn, config.projection.schema)
    projection.open()
    return Filler(projection, Place(config, directory), StopFlag())


def filled(directory, dsn, **settings):
    """Fill up to the journal's end; how many transactions that took."""
    filler, steps = filler_of(directory, dsn, **settings), 1
    with closing(filler.projection):
        while filler.step():
            steps += 1
    return steps


def views(path):
    """Every row of the readable views, by name of column."""
    found = {}
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as connection:
        for view, key in KEYS.items():
            cursor = connection.execute(f"SELECT * FROM {view} ORDER BY {', '.join(key)}")
            names = [column[0] for column in cursor.description]
            found[view] = [dict(zip(names, row, strict=True)) for row in cursor]
    return found


def differences(path, dsn):
    """What the projection says otherwise than the embedded database; one line each."""
    wrong = []
    with psycopg.connect(dsn) as connection:
        connection.execute("SET TIME ZONE 'UTC'")
        for view, rows in views(path).items():
            names = list(rows[0]) if rows else ["*"]
            query = f"SELECT {', '.join(names)} FROM {view} ORDER BY {', '.join(KEYS[view])}"
            there = connection.execute(query).fetchall()
            if len(there) != len(rows):
                wrong.append(f"{view}: {len(there)} rows, {len(rows)} in the view")
            for row, given in zip(there, rows, strict=False):
                for (name, one), other in zip(given.items(), row, strict=True):
                    if not is_same(one, other):
                        wrong.append(f"{view} {row[:3]} {name}: {other!r}, the view has {one!r}")
    return wrong


def is_same(text, value):
    """Decimals by their value; times to the microsecond, which is all that Postgres keeps."""
    if isinstance(value, Decimal):
        return text is not None and Decimal(text) == value
    if isinstance(value, datetime):
        cut = datetime.fromisoformat(f"{text[:26]}+00:00")
        return cut == value.astimezone(UTC)
    if hasattr(value, "isoformat"):
        return text == value.isoformat()
    return text == value


DAYS = (0, 60, 7_000)  # pauses in which some trading dates go by


@pytest.mark.parametrize("seed", range(3))
def test_the_tables_have_the_rows_of_the_views(tmp_path, dsn, seed):
    """Of days by chance with every kind of request, filled while they go on, in short stretches:
    what is filled is changed, busted and corrected later."""
    # given some days, filled in stretches
    path = tmp_path / "order_management.db"
    floor = lived_through(PersistentStorage(path, durability="none"), seed, 60, DAYS)
    assert filled(tmp_path, dsn, entries_max=100) > 1
    assert differences(path, dsn) == []
    floor.stop()

    # when more days follow, after a restart
    floor = lived_through(PersistentStorage(path, durability="none"), seed + 10, 60, DAYS)
    filled(tmp_path, dsn)

    # then each row is as the view has it, and there are rows of every view
    assert differences(path, dsn) == []
    floor.stop()
    assert {view for view, rows in views(path).items() if not rows} == set()


def test_what_is_seeded_is_there_with_the_next_stretch(tmp_path, dsn, capsys):
    """Markets and funded accounts, before anybody trades; what is seeded once more changes
    nothing, and what is added is added."""

    def seeded(users):
        words = ["seed-market", "--markets", "2", "--users", users, "--fund", "5", "1000.5:USD"]
        assert main([*words, "--data-dir", str(tmp_path)]) == 0, capsys.readouterr()
        filled(tmp_path, dsn)
        return [ask(dsn, query) for query in (ACCOUNTS, MARKETS, FUNDS)]

    accounts, markets, funds = seeded("2")
    assert accounts == [("user-1",), ("user-2",)]
    assert {symbol for symbol, *_ in markets} > {"M1_USD", "M2_USD"}  # beside those shipped
    assert ("user-1", "USD", Decimal("1000.5")) in funds
    assert seeded("2") == [accounts, markets, funds]
    more, *_ = seeded("3")
    assert more == [*accounts, ("user-3",)]


ACCOUNTS = "SELECT account FROM accounts ORDER BY since_seq"
MARKETS = "SELECT symbol, base, quote, tick_size, lot_size FROM markets ORDER BY symbol"
FUNDS = "SELECT account, asset, available FROM balances ORDER BY 1, 2"


def ask(dsn, query):
    with psycopg.connect(dsn) as connection:
        return connection.execute(query).fetchall()
