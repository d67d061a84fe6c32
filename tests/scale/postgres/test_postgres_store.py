"""The store in Postgres: what every store does, and that two engines never both write."""

from contextlib import closing

import pytest

from oms import PersistentStorage
from oms.cli import main
from oms.turn.journal import Fold, differences, upgraded
from oms.venues import EmbeddedVenue
from tests.scale.postgres import test_projection as projection
from tests.test_store_contract import Contract, answers_of, lived_through

psycopg = pytest.importorskip("psycopg")


def store_of(dsn, **settings):
    from oms.stores.postgres import PostgresStorage

    return PostgresStorage(dsn, **{"durability": "none", **settings})


class TestPostgresStorage(Contract):
    """In a database of its own."""

    @pytest.fixture
    def opened(self, dsn):
        def again():
            store = store_of(dsn)
            store.open()
            return store

        return again


def live(store):
    """Some days in a store, which is closed then."""
    lived_through(store, 4, 60, projection.DAYS).stop()


@pytest.fixture(scope="module")
def twins(server, tmp_path_factory):
    """The same days in Postgres and in a file; nobody changes them."""
    dsn, directory = server.new_database(), tmp_path_factory.mktemp("twin")
    live(store_of(dsn))
    live(PersistentStorage(directory / "order_management.db", durability="none"))
    return dsn, directory


def test_what_is_beside_the_journal_can_be_made_anew_from_it(dsn):
    """Row by row the same; and `verify` finds nothing, before and after."""
    live(store_of(dsn))
    with store_of(dsn) as store:
        before = answers_of(store)
        assert list(differences(store, Fold(EmbeddedVenue()))) == []
        store._run("DELETE FROM reports WHERE report_id % 3 = 0")
        store._run("DELETE FROM orders WHERE seq % 5 = 0")
        assert list(differences(store, Fold(EmbeddedVenue()))) != []
        store.upgrade(upgraded(store, EmbeddedVenue()))
        assert list(differences(store, Fold(EmbeddedVenue()))) == []
        assert answers_of(store) == before


def test_db_filler_fills_from_a_journal_in_postgres(twins, server):
    """The twin is a file with the same days; projection and journal may share a database."""
    journal, directory = twins
    for dsn in (journal, server.new_database()):
        filler = projection.filler_of(directory, dsn, journal=journal)
        with closing(filler.projection):
            while filler.step():
                pass
        assert projection.differences(directory / "order_management.db", dsn) == []


@pytest.mark.parametrize(
    "words",
    [
        "verify", "digest", "ledger", "ledger ann", "export reports", "export trades",
        "explain n1 --account ann", "replay --upto 40", "end-of-day --output here",
    ],
)  # fmt: skip
def test_commands_read_a_journal_in_postgres(twins, tmp_path, monkeypatch, capsys, words):
    """And say of it what they say of a file with the same days."""
    dsn, directory = twins
    monkeypatch.chdir(tmp_path)
    told = [run(words, directory, capsys)]
    monkeypatch.setenv("OMS__STORE__KIND", "postgres")
    monkeypatch.setenv("OMS__STORE__DSN", dsn)
    told.append(run(words, directory, capsys))
    assert told[1] == told[0]
    assert told[0][1] != ""


def run(words, directory, capsys):
    """Exit code, and what was printed."""
    code = main([*words.split(), "--data-dir", str(directory)])
    return code, capsys.readouterr().out


@pytest.mark.parametrize(
    "words", ["backup to", "archive --before 2030-01-01", "migrate", "rebuild"]
)
def test_what_is_for_files_alone_says_so(dsn, tmp_path, monkeypatch, capsys, words):
    monkeypatch.setenv("OMS__STORE__KIND", "postgres")
    monkeypatch.setenv("OMS__STORE__DSN", dsn)
    assert main([*words.split(), "--data-dir", str(tmp_path)]) == 2
    assert f"{words.split()[0]} is for a journal in a file" in capsys.readouterr().err
