"""Old trading dates leave the tables of the projection, and come back."""

from contextlib import closing
from datetime import date

import pytest

from oms import PersistentStorage
from oms.clock import datetime_of
from oms.errors import StoreError
from tests.scale.postgres.test_projection import DAYS, differences, filled, filler_of
from tests.test_store_contract import lived_through

psycopg = pytest.importorskip("psycopg")
TABLES = ("order_states", "order_responses", "trades")


@pytest.fixture
def lived(tmp_path, dsn):
    """A projection of some trading dates, all orders of which were canceled at last."""
    store = PersistentStorage(tmp_path / "order_management.db", durability="none")
    floor = lived_through(store, 5, 60, DAYS)
    for account in ("ann", "bob", "cid"):
        floor.mass_cancel(account)
    floor.stop()
    filled(tmp_path, dsn)
    return tmp_path


@pytest.fixture
def projection(lived, dsn):
    projection = filler_of(lived, dsn).projection
    with closing(projection):
        yield projection


def counts(dsn):
    with psycopg.connect(dsn) as connection:
        return [connection.execute(f"SELECT count(*) FROM {t}").fetchone()[0] for t in TABLES]


def bust_an_old_one(directory, latest):
    """A trade before the latest date; some may have been busted before, or an account lacks the
    money."""
    store = PersistentStorage(directory / "order_management.db", durability="none")
    floor = lived_through(store, 5, 0)
    floor.ids = iter(range(10**6, 10**7))
    old = [t.execution_id for t in floor.oms.trades() if datetime_of(t.wall_ns).date() < latest]
    assert any(floor.bust(name).type == "COMMAND_DONE" for name in old)
    floor.stop()


def test_a_date_is_taken_out_and_put_back(lived, dsn, projection):
    """Its rows are in tables of their own meanwhile; nothing else changes."""
    before, dates = counts(dsn), [each.date for each in projection.partitions()]
    assert len(dates) > 2

    # when the dates before the latest are taken out
    assert projection.detach(dates[-1]) == (dates[:-1], [])

    # then the tables have the latest alone, and the others are there under their own names
    *others, latest = projection.partitions()
    assert (latest.attached, {each.attached for each in others}) == (True, {False})
    after = counts(dsn)
    assert after[0] < before[0]
    with psycopg.connect(dsn) as connection:
        names = [f"order_states_{day:%Y%m%d}" for day in dates[:-1]]
        alone = [connection.execute(f"SELECT count(*) FROM {n}").fetchone()[0] for n in names]
    assert sum(alone) == before[0] - after[0]

    # and once they are back it is as it was
    for day in dates[:-1]:
        projection.attach(day)
    assert counts(dsn) == before
    assert differences(lived / "order_management.db", dsn) == []


def test_what_changes_while_it_is_out_is_changed_all_the_same(lived, dsn, projection):
    """A bust of an old trade; the tables are there, though nobody sees them in the others."""
    dates = [each.date for each in projection.partitions()]
    projection.detach(dates[-1])
    projection.close()
    bust_an_old_one(lived, dates[-1])
    filled(lived, dsn)
    projection.open()
    for day in dates[:-1]:
        projection.attach(day)
    assert projection.upto().missed == 0
    assert differences(lived / "order_management.db", dsn) == []


def test_what_is_gone_is_counted(lived, dsn, projection):
    """The tables of old dates were dropped, and then one of their trades is busted."""
    dates = [each.date for each in projection.partitions()]
    projection.detach(dates[-1])
    projection.close()
    with psycopg.connect(dsn) as connection:
        for table in TABLES:
            for day in dates[:-1]:
                connection.execute(f"DROP TABLE IF EXISTS {table}_{day:%Y%m%d}")
    bust_an_old_one(lived, dates[-1])
    filled(lived, dsn)
    projection.open()
    assert projection.upto().missed == 3  # the trade, and how both of its orders stand


def test_a_date_with_open_orders_stays(tmp_path, dsn):
    """Else nobody would see them."""
    store = PersistentStorage(tmp_path / "order_management.db", durability="none")
    floor = lived_through(store, 5, 60, DAYS)
    filled(tmp_path, dsn)
    floor.stop()
    projection = filler_of(tmp_path, dsn).projection
    with closing(projection):
        taken, stay = projection.detach(date(2100, 1, 1))
        assert stay != []
        attached = {each.date for each in projection.partitions() if each.attached}
        assert attached >= set(stay)
        assert not attached & set(taken)
        with pytest.raises(StoreError, match="expected a detached trading date; detached are: "):
            projection.attach(stay[0])


def test_the_command_lists_detaches_and_attaches(lived, dsn, say):
    """Each line: date, whether it is attached, how large it is."""
    command = {"command": "db-partitions"}
    code, out, _ = say(lived, dsn, **command)
    dates = [line.split()[0] for line in out.splitlines()]
    assert (code, " attached " in out, len(dates) > 2) == (0, True, True)
    code, out, _ = say(lived, dsn, "--detach-before", dates[1], **command)
    assert (code, out.split()[:2]) == (0, [dates[0], "detached"])
    code, out, _ = say(lived, dsn, "--attach", dates[0], **command)
    assert (code, out.split()[:2]) == (0, [dates[0], "attached"])
    code, _, errors = say(lived, dsn, "--attach", "tomorrow", **command)
    assert (code, "expected a date such as" in errors) == (2, True)
