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


@pytest.fixture
def lived(dsn):
    """A journal of some days in Postgres."""
    floor = lived_through(store_of(dsn), 4, 80, projection.DAYS)
    floor.stop()
    return dsn


def test_what_is_beside_the_journal_can_be_made_anew_from_it(lived):
    """Row by row the same; and `verify` finds nothing, before and after."""
    with store_of(lived) as store:
        before = answers_of(store)
        assert list(differences(store, Fold(EmbeddedVenue()))) == []
        store._run("DELETE FROM reports WHERE report_id % 3 = 0")
        store._run("DELETE FROM orders WHERE seq % 5 = 0")
        assert list(differences(store, Fold(EmbeddedVenue()))) != []
        store.upgrade(upgraded(store, EmbeddedVenue()))
        assert list(differences(store, Fold(EmbeddedVenue()))) == []
        assert answers_of(store) == before


def test_db_filler_fills_from_a_journal_in_postgres(lived, tmp_path, server):
    """The twin is a file with the same days; projection and journal may share a database."""
    path = tmp_path / "order_management.db"
    lived_through(PersistentStorage(path, durability="none"), 4, 80, projection.DAYS).stop()
    for dsn in (lived, server.new_database()):
        filler = projection.filler_of(tmp_path, dsn, journal=lived)
        with closing(filler.projection):
            while filler.step():
                pass
        assert projection.differences(path, dsn) == []


@pytest.mark.parametrize(
    "words",
    [
        "verify", "digest", "ledger", "ledger ann", "export reports", "export trades",
        "explain n1 --account ann", "replay --upto 40", "end-of-day --output here",
    ],
)  # fmt: skip
def test_commands_read_a_journal_in_postgres(lived, tmp_path, monkeypatch, capsys, words):
    """And say of it what they say of a file with the same days."""
    monkeypatch.chdir(tmp_path)
    floor = lived_through(PersistentStorage("order_management.db"), 4, 80, projection.DAYS)
    floor.stop()
    told = []
    for kind in ("sqlite", "postgres"):
        monkeypatch.setenv("OMS__STORE__KIND", kind)
        if kind == "postgres":
            monkeypatch.setenv("OMS__STORE__DSN", lived)
        code = main([*words.split(), "--data-dir", str(tmp_path)])
        out = capsys.readouterr().out
        told.append((code, out.replace("schema", "")))
    assert told[1] == told[0]
    assert told[0][1] != ""


@pytest.mark.parametrize(
    "words", ["backup to", "archive --before 2030-01-01", "migrate", "rebuild"]
)
def test_what_is_for_files_alone_says_so(dsn, tmp_path, monkeypatch, capsys, words):
    monkeypatch.setenv("OMS__STORE__KIND", "postgres")
    monkeypatch.setenv("OMS__STORE__DSN", dsn)
    assert main([*words.split(), "--data-dir", str(tmp_path)]) == 2
    assert f"{words.split()[0]} is for a journal in a file" in capsys.readouterr().err
