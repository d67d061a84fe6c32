"""The store in Postgres: what every store does, and that two engines never both write."""

from contextlib import closing

import pytest

from oms import PersistentStorage
from oms.cli import main
from oms.errors import JournalError, StoreError
from oms.turn.journal import Fold, differences, upgraded
from oms.venues import EmbeddedVenue
from tests.fakes import Stepped
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


def test_what_may_be_millions_of_rows_is_read_some_at_a_time(twins):
    """By a cursor of the server, as of one instant; it is closed where somebody stops halfway."""
    dsn, _ = twins
    open_cursors = "SELECT name FROM pg_cursors WHERE name LIKE 'many%'"
    with store_of(dsn, read_only=True).at_one_instant() as store:
        for read in (store.all_reports, store.all_claims, lambda: store.executions_of(None)):
            rows = read()
            first = next(rows)
            assert len(list(store._rows(open_cursors, ()))) == 1
            whole = [first, *rows]
            assert list(store._rows(open_cursors, ())) == []
            assert len(whole) > 10
            halfway = read()
            assert next(halfway) == first
            del halfway
            assert list(store._rows(open_cursors, ())) == []


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
    ("words", "there"),
    [
        ("backup to", "its own tools make copies there"),
        ("archive --before 2030-01-01", "the journal stays whole there; `db-partitions` takes old"),
    ],
)
def test_what_is_for_files_alone_says_so(dsn, tmp_path, monkeypatch, capsys, words, there):
    monkeypatch.setenv("OMS__STORE__KIND", "postgres")
    monkeypatch.setenv("OMS__STORE__DSN", dsn)
    assert main([*words.split(), "--data-dir", str(tmp_path)]) == 2
    said = capsys.readouterr().err
    assert f"{words.split()[0]} is for a journal in a file" in said
    assert there in said


# --- upgrades ---


@pytest.fixture
def say(dsn, tmp_path, monkeypatch, capsys):
    """A command about the journal there: its exit code, and what it said."""
    monkeypatch.setenv("OMS__STORE__KIND", "postgres")
    monkeypatch.setenv("OMS__STORE__DSN", dsn)
    monkeypatch.setenv("OMS__STORE__DURABILITY", "none")

    def run(*words):
        code = main([*words, "--data-dir", str(tmp_path / "none")])
        return code, "".join(capsys.readouterr())

    return run


def test_migrate_looks_at_a_journal_in_postgres(dsn, say):
    """--check: 0 if it has this program's version, else 1; of nothing, too."""
    code, told = say("migrate", "--check")
    assert (code, "schema version 0, this program has 1: no database that" in told) == (1, True)
    live(store_of(dsn))
    for words in (["migrate", "--check"], ["migrate"]):
        code, told = say(*words)
        assert (code, "schema version 1, as this program has; nothing to do" in told) == (0, True)


def test_migrate_upgrades_a_journal_in_postgres(dsn, say, monkeypatch):
    """Of an older program, which lacked a table, and had another in its place."""
    # given tables as an older program made them
    live(store_of(dsn))
    with store_of(dsn) as store:
        before = answers_of(store)
        store._run("DROP TABLE trade_changes")
        store._run("ALTER TABLE report_names ADD COLUMN old bigint NOT NULL DEFAULT 1")
    monkeypatch.setattr("oms.stores.postgres.VERSION", 2)
    code, told = say("migrate", "--check")
    assert (code, "version 1, this program has 2: `migrate` upgrades it" in told) == (1, True)
    code, told = say("verify")
    assert (code, "expected schema version 2, was 1; `migrate` upgrades it" in told) == (2, True)

    # when an engine has it, nothing is changed
    with store_of(dsn):
        code, told = say("migrate")
        assert (code, "in use by process" in told) == (2, True)

    # then, without one, all is as this program makes it
    code, told = say("migrate")
    assert (code, "schema version 1 before, 2 now" in told) == (0, True)
    with store_of(dsn) as store:
        assert answers_of(store) == before
        assert list(differences(store, Fold(EmbeddedVenue()))) == []
    monkeypatch.setattr("oms.stores.postgres.VERSION", 1)
    with pytest.raises(StoreError, match="expected schema version 1, was 2"):
        store_of(dsn).open()
    assert say("migrate")[0] == 1


def test_a_start_upgrades_as_migrate_does(dsn, monkeypatch):
    """Also one that stood by, and had read along."""
    active = lived_through(store_of(dsn), 4, 20, projection.DAYS)
    standby = Stepped(active.oms.config, store=store_of(dsn), clock=active.clock)
    active.store.close()
    monkeypatch.setattr("oms.stores.postgres.VERSION", 2)
    standby.store.stand_by(lambda: False, lambda: False)
    assert standby.store.outdated
    while standby.dispatcher.follow():
        pass
    standby.start()
    assert not standby.store.outdated
    assert standby.digest() == standby.refolded()
    standby.stop()


def test_rebuild_mends_what_a_start_refuses(dsn, say):
    """Rows are missing beside the journal; the message of the start names the command."""
    live(store_of(dsn))
    with store_of(dsn) as store:
        store._run("DELETE FROM reports WHERE report_id % 3 = 0")
    with pytest.raises(JournalError, match="`rebuild` makes them"):
        lived_through(store_of(dsn), 4, 0)
    code, told = say("verify")
    assert (code, "missing in order_responses" in told) == (1, True)
    code, told = say("rebuild")
    assert (code, "missing" in told) == (0, False)
    assert say("verify")[0] == 0


def test_migrate_empties_an_older_projection(server, twins, monkeypatch, capsys):
    """It has nothing that the journal has not: db-filler fills it again."""
    _, directory = twins
    dsn = server.new_database()
    monkeypatch.setenv("OMS__PROJECTION__DSN", dsn)

    def say(*words):
        return main([*words, "--data-dir", str(directory)]), capsys.readouterr().out

    assert "nothing is there yet; `db-filler` makes it" in say("migrate", "--check")[1]
    assert say("db-filler", "--once")[0] == 0
    assert say("migrate", "--check")[0] == 0
    monkeypatch.setattr("oms.stores.projection.VERSION", 2)
    code, told = say("migrate", "--check")
    assert (code, "schema version 1, this program has 2: `migrate`" in told) == (1, True)
    assert say("db-filler", "--once")[0] == 2
    code, told = say("migrate")
    assert (code, "before, 2 now; `db-filler` fills it anew" in told) == (0, True)
    assert say("db-filler", "--once")[0] == 0
    assert projection.differences(directory / "order_management.db", dsn) == []
