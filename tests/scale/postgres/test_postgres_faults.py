"""The journal in Postgres: whatever is lost, cut or stopped, nothing acked is lost, and two engines
never both write."""

import os
import signal
import subprocess
import sys
import threading
from contextlib import closing
from itertools import count

import pytest

from oms import RejectReason, ResponseType
from oms.config import StoreConfig
from oms.errors import DataInUseError, OutcomeUnknownError, StoreError
from tests.fakes import SOON_S, Stepped, buy, config_of, sell
from tests.places import after_place
from tests.processes import Driver, Ledger, audit_of, let_run, settle, wait_until
from tests.scale.postgres.proxies import Proxy
from tests.scale.postgres.test_filler import PROGRAM
from tests.scale.postgres.test_postgres_store import store_of
from tests.test_store_contract import claim, keep, new, record, report

psycopg = pytest.importorskip("psycopg")

from oms.stores.postgres import PostgresStorage  # noqa: E402

GONE_S_MAX = 30.0  # a process that lost its lock, and could see it, ends by then: docs/postgres.md


def settings(dsn, durability="none"):
    return {"kind": "postgres", "dsn": dsn, "durability": durability}


@pytest.fixture
def store(dsn):
    store = store_of(dsn)
    store.open()
    with closing(store):
        yield store


def socket_of(server):
    return server.directory / ".s.PGSQL.5432"


def ask(dsn, query, *arguments):
    with psycopg.connect(dsn, autocommit=True) as connection:
        return connection.execute(query, arguments).fetchall()


def end_sessions(dsn, name="oms engine"):
    """As an administrator, or a server that restarts, does."""
    ask(dsn, "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
        "WHERE application_name = %s AND datname = current_database()", name)  # fmt: skip


# --- one writer ---


@pytest.mark.usefixtures("store")
def test_a_second_engine_is_refused_and_told_who_has_it(dsn, tmp_path):
    """In this process, and as a process: one line, exit code 2."""
    with pytest.raises(DataInUseError, match=f"in use by process {os.getpid()} on "):
        store_of(dsn).open()
    environment = {**os.environ, "OMS__STORE__KIND": "postgres", "OMS__STORE__DSN": dsn,
                   "OMS__STORE__DURABILITY": "none"}  # fmt: skip
    words = [sys.executable, PROGRAM, "run", "--data-dir", tmp_path]
    done = subprocess.run(words, env=environment, capture_output=True, text=True, timeout=30)
    assert done.returncode == 2
    assert f"in use by process {os.getpid()} on " in after_place(done.stderr)
    assert after_place(done.stderr).count("\n") == 1


def test_an_engine_that_was_thought_dead_cannot_write_again(store, dsn):
    """Its lock has gone to another one, though its connection is as good as ever."""
    first = record(1, new("A"))
    store.begin()
    store.append(first, [report(2, 1, 1, 1)])
    store.commit()

    # given another engine that has taken over meanwhile
    store._run("SELECT pg_advisory_unlock_all()")
    with store_of(dsn) as other:
        assert other.epoch == store.epoch + 1

        # when the first one goes on
        store.begin()
        assert store.claim([claim(3, "B")])
        with pytest.raises(OutcomeUnknownError, match="another engine has taken over"):
            store.append(record(3, new("B"), before=first.checksum), [report(4, 1, 3, 3)])
        store.rollback()

        # then nothing of it is there, and the other one writes
        assert list(other.records()) == [first]
        other.begin()
        assert other.claim([claim(3, "C")])
        other.append(record(3, new("C"), before=first.checksum), [])
        other.commit()
    assert [row[0] for row in ask(dsn, "SELECT epoch FROM oms.journal ORDER BY last_seq")] == [
        store.epoch, store.epoch + 1,
    ]  # fmt: skip


def test_one_that_takes_over_waits_for_the_turn_under_way(store, dsn):
    """The number is held while a turn writes under it."""
    store.begin()
    store.append(record(1, new("A")), [])
    store._run("SELECT pg_advisory_unlock_all()")
    with psycopg.connect(dsn, autocommit=True) as other:
        other.execute("SET lock_timeout = '100ms'")
        with pytest.raises(psycopg.errors.LockNotAvailable):
            other.execute("UPDATE oms.writer SET epoch = epoch + 1")
        store.commit()
        other.execute("UPDATE oms.writer SET epoch = epoch + 1")


def test_a_lost_lock_ends_an_engine_at_once_though_it_is_idle(tmp_path, dsn):
    """pg_terminate_backend of its session: exit code 1, and the next one may start."""
    with Driver(tmp_path, tmp_path / "a", "--clients", 0, store=settings(dsn)) as driver:
        driver.wait_for("started")
        end_sessions(dsn)
        assert driver.exit_code(GONE_S_MAX) == 1
    said = next((tmp_path / "logs").glob("*.log")).read_text()  # in Postgres' words, if they came
    assert "terminating connection" in said or "server closed the connection" in said
    with Driver(tmp_path, tmp_path / "b", "--clients", 0, store=settings(dsn)) as driver:
        driver.wait_for("started")


def test_a_lock_that_is_lost_alone_is_noticed(store):
    """The connection is as good as ever."""
    assert store.tend() == 0
    store._run("SELECT pg_advisory_unlock_all()")
    with pytest.raises(OutcomeUnknownError, match="the lock is lost"):
        store.tend()


STATEMENTS = ("_run", "_write_rows", "_fetch", "_copy", "commit")


def test_a_session_that_ends_anywhere_in_a_turn_ends_the_engine(dsn, monkeypatch):
    """Before each statement and each row of a COPY, of an engine that is stopped there, say: what
    it met is told at once, and its store is let go of."""
    left = None

    def ending(real):
        def call(*given):
            nonlocal left
            if left == 0:
                end_sessions(dsn)
                wait_until(lambda: sessions(dsn, "oms engine") == 0)
            left = left - 1 if left is not None else None
            return real(*given)

        return call

    calls = [(PostgresStorage, name) for name in STATEMENTS]
    for owner, name in (*calls, (psycopg.Copy, "write_row"), (psycopg.Copy, "finish")):
        monkeypatch.setattr(owner, name, ending(getattr(owner, name)))
    for place in count():
        desk = Stepped(store=store_of(dsn, schema=f"at_{place}")).start()
        desk.ask(buy("A", 1, 100))
        desk.oms.submit(sell("B", 1, 100))
        left = place
        try:
            desk.step()
        except OutcomeUnknownError:
            desk.dispatcher.abandon()
        left, ended = None, left < 0
        assert (desk.store._connection is None) is ended
        if not ended:
            break
        with store_of(dsn, schema=f"at_{place}") as store:
            assert store.epoch == 2
    desk.store.close()
    assert place > 10


def test_a_question_that_hangs_keeps_no_lock(store, dsn):
    """It waits for a table that another session has: the engine lets go of the journal meanwhile,
    and the reader ends with its question."""
    told, found = [report(2, 1, 1, 1)], []
    keep(store, record(1, new("A")), told, [claim(1, "A")])
    waits = "application_name = 'oms reader' AND wait_event_type = 'Lock'"
    asking = threading.Thread(target=lambda: found.extend(store.find_reports("me", 1)), daemon=True)
    closing_it = threading.Thread(target=store.close, daemon=True)
    with psycopg.connect(dsn) as other:
        other.execute("LOCK TABLE oms.reports")
        asking.start()
        wait_until(
            lambda: ask(dsn, f"SELECT count(*) FROM pg_stat_activity WHERE {waits}") == [(1,)]
        )
        closing_it.start()
        closing_it.join(SOON_S)
        assert not closing_it.is_alive()
        with store_of(dsn) as next_one:
            assert next_one.epoch == 2
    asking.join(SOON_S)
    assert found == told
    wait_until(lambda: sessions(dsn, "oms reader") == 0)


def sessions(dsn, name):
    where = "application_name = %s AND datname = current_database()"
    return ask(dsn, f"SELECT count(*) FROM pg_stat_activity WHERE {where}", name)[0][0]


def test_a_pooler_is_refused(server, dsn):
    """A lock would be of a connection that the pooler gives to somebody else."""
    name = dsn.rpartition("=")[2]
    with Proxy(socket_of(server)) as proxy, store_of(proxy.dsn(name)) as store:
        assert store.epoch == 1
    pooled = Proxy(socket_of(server), pooler=True)
    with pooled as proxy, pytest.raises(StoreError, match="a pooler stands between"):
        store_of(proxy.dsn(name)).open()


@pytest.mark.parametrize("value", ["off", "local", "remote_write"])
def test_a_commit_that_would_not_last_is_refused_at_the_start(dsn, value):
    """synchronous_commit as the database has it, and fsync as the server."""
    name = dsn.rpartition("=")[2]
    with pytest.raises(StoreError, match="fsync: expected on, as durability is full, was off"):
        store_of(dsn, durability="full").open()
    ask_none(dsn, f"ALTER DATABASE {name} SET synchronous_commit = {value}")
    with pytest.raises(StoreError, match=f"synchronous_commit: expected on .* was {value}"):
        store_of(dsn, durability="full").open()


def test_durability_is_not_switched_off_under_a_running_engine(start_server):
    """Its session keeps synchronous_commit; of fsync, which is the server's, it ends."""
    dsn = start_server(fsync=None, synchronous_commit=None).new_database()
    with store_of(dsn, durability="full") as store:
        for name in ("synchronous_commit", "fsync"):
            assert store.tend() == 0
            ask_none(dsn, f"ALTER SYSTEM SET {name} = off")
            ask_none(dsn, "SELECT pg_reload_conf()")
            wait_until(lambda name=name: ask(dsn, f"SHOW {name}") == [("off",)])
            assert list(store._rows("SHOW synchronous_commit", ())) == [("on",)]
        wait_until(lambda: list(store._rows("SHOW fsync", ())) == [("off",)])
        with pytest.raises(StoreError, match="fsync: expected on, as durability is full, was off"):
            store.tend()


def ask_none(dsn, statement):
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute(statement)


# --- a server that says no, is stopped, or is gone ---


def test_a_full_disk_of_the_server_is_a_refusal(store, dsn):
    """Reads go on, and once there is space, so do orders."""
    desk = Stepped(store=store).start()
    assert desk.ask(buy("A", 1, 100)).type is ResponseType.NEW
    ask_none(dsn, "CREATE FUNCTION full_disk() RETURNS trigger LANGUAGE plpgsql AS "
             "$$ BEGIN RAISE EXCEPTION 'no space' USING ERRCODE = '53100'; END $$")  # fmt: skip
    ask_none(dsn, "CREATE TRIGGER full_disk BEFORE INSERT ON oms.reports "
             "EXECUTE FUNCTION full_disk()")  # fmt: skip
    assert desk.ask(buy("B", 1, 100)).reason is RejectReason.DISK_FULL
    assert desk.oms.get_order("me", "A").leaves_lots == 1
    ask_none(dsn, "DROP TRIGGER full_disk ON oms.reports")
    desk.step()
    assert desk.ask(buy("B", 1, 100)).type is ResponseType.NEW
    assert desk.refolded() == desk.digest()
    desk.stop()


def test_questions_find_the_server_again(store, dsn):
    """A reader's session was ended: one question fails, the next one is answered."""
    told = [report(2, 1, 1, 1)]
    keep(store, record(1, new("A")), told, [claim(1, "A")])
    assert store.find_reports("me", 1) == told
    end_sessions(dsn, "oms reader")
    with pytest.raises(StoreError):
        store.find_reports("me", 1)
    assert store.find_reports("me", 1) == told


def acked(driver):
    return len(driver.lines("F"))


def test_the_status_says_when_the_server_last_answered(store, dsn):
    """It is asked once a second. Here the dispatcher hangs in a call, as far as a watcher can see:
    its turns do not go on."""
    config = config_of(store=StoreConfig(kind="postgres", dsn=dsn, durability="none"))
    desk = Stepped(config, store=store).start()
    told = desk.oms.get_status()
    assert (told["postgres"], told["store_silent_s"]) == ("ok", 0)
    desk.clock.advance(4)
    told = desk.oms.get_status()
    assert (told["postgres"], told["store_silent_s"]) == ("silent", 4)
    desk.step()
    assert desk.oms.get_status()["postgres"] == "ok"
    desk.stop()


@pytest.mark.slow
def test_a_server_that_is_stopped_acks_nothing_and_then_goes_on(tmp_path, start_server):
    """SIGSTOP, as a machine that is out of memory, or a disk that hangs: orders wait for it."""
    server = start_server(fsync="on")
    dsn = server.new_database()
    with Driver(tmp_path, tmp_path / "a", "--exchange", store=settings(dsn, "full")) as driver:
        driver.wait_for("started")
        wait_until(lambda: acked(driver) > 20)
        server.signal(signal.SIGSTOP)
        let_run(0.2)
        stood = acked(driver)
        let_run(0.5)
        assert acked(driver) == stood
        server.signal(signal.SIGCONT)
        wait_until(lambda: acked(driver) > stood)
        assert driver.stop()[0] == 0
    ledger = Ledger()
    ledger.take(driver.lines())
    ledger.check(audit_of(store_of(dsn, read_only=True)))


@pytest.mark.slow
@pytest.mark.parametrize("how", ["cut", "stall"])
def test_an_engine_that_is_cut_off_never_acks_beside_another(tmp_path, server, dsn, how):
    """A network that is cut, or goes silent, under load: the next engine takes over once the server
    has given up on the first; what either acked is in the one journal."""
    ledger, name = Ledger(), dsn.rpartition("=")[2]
    with Proxy(socket_of(server)) as proxy:
        between = settings(proxy.dsn(name))
        with Driver(tmp_path / "a", tmp_path / "a.out", "--exchange", store=between) as first:
            first.wait_for("started")
            wait_until(lambda: acked(first) > 20)
            getattr(proxy, how)()
            if how == "cut":
                assert first.exit_code(GONE_S_MAX) == 1
            else:
                end_sessions(dsn)  # as the server does after its keep-alives
            options = ("--exchange", "--prefix", "q", "--seed", 2)
            with Driver(
                tmp_path / "b", tmp_path / "b.out", *options, store=settings(dsn)
            ) as second:
                second.wait_for("started")
                wait_until(lambda: acked(second) > 20)
                if how == "stall":  # what the first one hears now is too late
                    proxy.go_on()
                    assert first.exit_code(GONE_S_MAX) == 1
                assert second.stop()[0] == 0
    for driver in (first, second):
        ledger.take(driver.lines())
    settle(tmp_path / "b", tmp_path / "last", ledger, "--exchange", store=settings(dsn))
    ledger.check(audit_of(store_of(dsn, read_only=True)))


# --- kills ---


def kill_again_and_again(tmp_path, server, cycles):
    """The engine, the server, or both, under load."""
    dsn, ledger = server.new_database(), Ledger()
    for cycle in range(cycles):
        path = tmp_path / f"{cycle}.out"
        options = ("--exchange", "--prefix", f"p{cycle}-", "--seed", cycle)
        with Driver(tmp_path, path, *options, store=settings(dsn, "full")) as driver:
            driver.wait_for("started")
            enough = 10 + cycle % 3 * 20
            wait_until(lambda driver=driver, enough=enough: acked(driver) > enough)
            if cycle % 3 == 0:
                driver.kill()
            server.kill() if cycle % 3 else None
            if cycle % 3 == 1:
                assert driver.exit_code(GONE_S_MAX) == 1
        if cycle % 3:
            server.start()
        ledger.take(driver.lines())
        ledger.check(audit_of(store_of(dsn, read_only=True)))
    settle(tmp_path, tmp_path / "last", ledger, "--exchange", store=settings(dsn, "full"))
    assert ledger.unknown() == []
    ledger.check(audit_of(store_of(dsn, read_only=True)))
    print(f"{cycles} kills, {len(ledger.submitted)} requests, {len(ledger.acked)} reports acked")


def test_what_was_acked_is_there_whatever_is_killed(tmp_path, start_server):
    """kill -9 of the engine, of the server, of both."""
    kill_again_and_again(tmp_path, start_server(fsync="on", full_page_writes="on"), 3)


@pytest.mark.slow
def test_many_kills_lose_nothing_and_invent_nothing(tmp_path, start_server):
    kill_again_and_again(tmp_path, start_server(fsync="on", full_page_writes="on"), 30)
