"""Several journals and projections in one database, each in a schema of its own."""

from contextlib import ExitStack, closing

import pytest

from oms import PersistentStorage
from oms.config import load_config
from oms.errors import ConfigError, DataInUseError, OutcomeUnknownError, StoreError
from tests.processes import audit_of
from tests.scale.postgres.test_postgres_store import store_of
from tests.scale.postgres.test_projection import DAYS, differences, filled, filler_of
from tests.scale.postgres.test_standby import Watching, order
from tests.test_store_contract import ACCOUNTS, answers_of, lived_through

psycopg = pytest.importorskip("psycopg")
NAMES = ("oms_usd", "Inr-2")  # as a group may be named


def within(dsn, schema):
    """Where a user looks who names no schema."""
    return f"{dsn} options='-csearch_path=\"{schema}\"'"


def test_two_engines_live_in_one_database_and_neither_disturbs_the_other(dsn):
    """Turn by turn beside each other: each has the journal that it would have alone."""
    with ExitStack() as stack:
        floors = []
        for seed, name in enumerate(NAMES):
            floors.append(lived_through(store_of(dsn, schema=name), seed, 40, DAYS))
            stack.callback(floors[-1].store.close)
        for number in range(5):
            for floor in floors:
                assert floor.ask(order(f"both-{number}")).type == "NEW"

        # each has a lock, and a number, of its own
        for floor, name in zip(floors, NAMES, strict=True):
            assert (floor.store.tend(), floor.store.epoch) == (0, 1)
            with pytest.raises(DataInUseError, match=f"schema {name}: in use by process"):
                store_of(dsn, schema=name).open()

        # one that stands by follows its own alone, and takes over beside the other one
        standby = Watching(floors[0], dsn, schema=NAMES[0])
        standby.watch()
        assert standby.digest() == floors[0].digest()
        floors[0].store.close()
        standby.take_over()
        assert floors[1].ask(order("beside")).type == "NEW"
        assert standby.ask(order("after")).type == "NEW"
        standby.stop()
    for name in NAMES:
        found = audit_of(store_of(dsn, schema=name, read_only=True))
        assert (found.differences, found.mistakes) == ([], [])
        assert found.digest == found.refolded_digest


def test_what_a_journal_says_does_not_depend_on_its_schema(dsn):
    told = []
    for name in NAMES:
        with closing(lived_through(store_of(dsn, schema=name), 4, 40, DAYS).store) as store:
            told.append(answers_of(store))
    assert told[0] == told[1]


def test_an_engine_is_fenced_in_its_own_schema_alone(dsn):
    with store_of(dsn, schema="a") as first, store_of(dsn, schema="b") as other:
        first._run("SELECT pg_advisory_unlock_all()")
        with pytest.raises(OutcomeUnknownError, match="the lock is lost"):
            first.tend()
        with store_of(dsn, schema="a") as next_one:
            assert (next_one.epoch, other.epoch, other.tend()) == (2, 1, 0)


def test_two_projections_in_one_database(dsn, tmp_path):
    """Two groups, each filled beside the other one; old dates of one are taken out."""
    for seed, name in enumerate(NAMES):
        directory = tmp_path / name
        directory.mkdir()
        store = PersistentStorage(directory / "order_management.db", durability="none")
        floor = lived_through(store, seed, 60, DAYS)
        for account in ACCOUNTS:
            floor.mass_cancel(account)  # a date with open orders stays
        floor.stop()
        filled(directory, dsn, entries_max=100, schema=name)
    projection = filler_of(tmp_path / NAMES[1], dsn, schema=NAMES[1]).projection
    with closing(projection):  # both may be filled at a time, each by one alone
        with pytest.raises(DataInUseError, match=f"schema {NAMES[1]}: another db-filler"):
            filler_of(tmp_path / NAMES[1], dsn, schema=NAMES[1])
        filler_of(tmp_path / NAMES[0], dsn, schema=NAMES[0]).projection.close()
        projection.detach(projection.partitions()[-1].date)
        assert any(not each.attached for each in projection.partitions())
    for name in NAMES:
        path = tmp_path / name / "order_management.db"
        wrong = differences(path, within(dsn, name))
        assert (wrong == []) == (name == NAMES[0])
    projection = filler_of(tmp_path / NAMES[0], dsn, schema=NAMES[0]).projection
    with closing(projection):
        assert all(each.attached for each in projection.partitions())


def test_journal_and_projection_refuse_each_others_schema(dsn, tmp_path):
    """Both have tables named holdings; nothing is made, and nothing is dropped."""
    with closing(lived_through(store_of(dsn, schema="a"), 1, 10).store) as store:
        before = answers_of(store)
        with pytest.raises(StoreError, match="schema a: has a journal"):
            filler_of(tmp_path, dsn, schema="a")
        from oms.stores.projection import Projection

        with pytest.raises(StoreError, match="schema a: has a journal"):
            Projection(dsn, "a").open(anew=True)
        assert answers_of(store) == before
    filler_of(tmp_path, dsn, schema="b").projection.close()
    with pytest.raises(StoreError, match="schema b: has a projection"):
        store_of(dsn, schema="b").open()


@pytest.mark.parametrize("name", ["", "1a", "-a", "pg_own", 'a"b', "a b", "a;b", "a" * 64])
@pytest.mark.parametrize("section", ["STORE", "PROJECTION"])
def test_a_schema_that_is_no_plain_name_is_refused(section, name):
    with pytest.raises(ConfigError, match="schema: expected letters, digits"):
        load_config(environment={f"OMS__{section}__SCHEMA": name})
