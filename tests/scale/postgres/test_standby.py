"""Standing by: an engine follows the journal in Postgres, and goes on with it once it is free.

Whatever is killed, stopped or lost meanwhile: its state is that of a cold start.
"""

import signal
import time
from contextlib import ExitStack
from itertools import count

import pytest

from oms import OrderRequest, RejectReason, Side
from oms.errors import JournalError, StoppedError, StoreError
from oms.reports import NUMBER_BITS
from oms.turn import dispatcher
from tests.fakes import Stepped
from tests.processes import Driver, Ledger, audit_of, let_run, settle, wait_until
from tests.scale.postgres.test_postgres_faults import (
    GONE_S_MAX,
    acked,
    ask,
    ask_none,
    end_sessions,
    settings,
)
from tests.scale.postgres.test_postgres_store import store_of
from tests.scale.postgres.test_projection import DAYS
from tests.test_store_contract import lived_through

psycopg = pytest.importorskip("psycopg")

from tests.scale.postgres.servers import PostgresServer  # noqa: E402


class Watching(Stepped):
    """One that stands by, without threads: it reads when the test says so."""

    def __init__(self, like, dsn, **settings):
        """like: the one that it may take over from."""
        super().__init__(like.oms.config, store=store_of(dsn, **settings), clock=like.clock)

    def watch(self, before=lambda: None):
        """Until it has read all that there is. before: done before each part."""
        done = []

        def follow():
            before()
            more = self.dispatcher.follow()
            if not more:
                done.append(True)
            return more

        assert not self.store.stand_by(lambda: bool(done), follow)

    def take_over(self):
        assert self.store.stand_by(lambda: False, self.dispatcher.follow)
        self.start()
        return self


@pytest.fixture
def active(dsn):
    """One that has lived through some days, and lives."""
    floor = lived_through(store_of(dsn), 11, 40, DAYS)
    yield floor
    floor.store.close()


def live_on(floor, seed):
    """More requests by chance, with names of their own."""
    accounts, number = ("ann", "bob", "cid"), 0
    for number in range(20):
        side = "BUY" if (seed + number) % 3 else "SELL"
        floor.new(accounts[number % 3], f"s{seed}-{number}", side, 1 + number % 4, "10", "X")
    floor.clock.advance(90)


def order(name):
    return OrderRequest.new("ann", name, "X", Side.BUY, 1, "1")


# --- what it has read ---


@pytest.mark.parametrize("turns", [1, 7, dispatcher.FOLLOWED_MAX])
def test_one_that_stands_by_has_the_state_of_the_one_that_writes(active, dsn, monkeypatch, turns):
    """However many turns it reads at a time, and wherever it was when it looked."""
    monkeypatch.setattr(dispatcher, "FOLLOWED_MAX", turns)
    standby = Watching(active, dsn)
    standby.watch()
    assert standby.digest() == active.digest()
    for seed in range(3):
        live_on(active, seed)
        assert standby.digest() != active.digest()
        standby.watch()
        assert standby.digest() == active.digest() == active.refolded()


def test_it_takes_over_with_what_it_has_read(active, dsn):
    """Only what is new is read after the lock; the state is that of a cold start, and goes on."""
    # given one that has read all but the last turns
    standby = Watching(active, dsn)
    standby.watch()
    stood = standby.dispatcher.fold.last_seq
    live_on(active, 1)

    # when the other one dies, its last turn under way
    active.store.begin()
    active.store._run("DELETE FROM oms.reports")
    active.store.close()
    read, records = [], standby.store.records
    standby.store.records = lambda after: read.append(after) or records(after)
    standby.take_over()

    # then it began where it stood, and what was not committed is gone
    assert min(read) == stood
    assert standby.digest() == standby.refolded()
    assert standby.ask(order("after")).type == "NEW"
    assert standby.ask(order("s1-0")).reason is RejectReason.DUPLICATE_ID
    standby.stop()
    found = audit_of(store_of(dsn, read_only=True))
    assert (found.differences, found.mistakes) == ([], [])
    assert found.digest == found.refolded_digest


def test_two_that_stand_by_take_over_one_after_the_other(active, dsn):
    """The second one goes on following the first."""
    one, other = Watching(active, dsn), Watching(active, dsn)
    one.watch()
    active.store.close()
    one.take_over()
    other.watch()
    assert other.digest() == one.digest()
    assert one.ask(order("by one")).type == "NEW"
    one.store.close()
    other.take_over()
    assert other.ask(order("by other")).type == "NEW"
    assert other.digest() == other.refolded()
    other.stop()


def test_one_that_is_told_to_stop_while_it_reads_stops(active, dsn):
    standby = Watching(active, dsn)
    standby.oms.should_stop = lambda: True
    with pytest.raises(StoppedError, match="stopped while the journal was read"):
        standby.watch()
    wait_until(lambda: ask(dsn, STANDING_BY) == [(0,)])


STANDING_BY = """SELECT count(*) FROM pg_stat_activity
    WHERE application_name = 'oms standby' AND datname = current_database()"""


# --- reads that fail ---


def test_a_read_that_is_cut_is_gone_on_with(active, dsn, monkeypatch):
    """Its session is ended in the middle, again and again: what was read stays read."""
    monkeypatch.setattr(dispatcher, "FOLLOWED_MAX", 5)
    standby, cuts = Watching(active, dsn), [True, False, True, True, False, True]

    def cut():
        if cuts and cuts.pop():
            end_sessions(dsn, "oms standby")

    standby.watch(cut)
    assert cuts == []
    assert standby.digest() == active.digest()


def test_a_journal_that_went_back_is_read_anew(active, dsn):
    """A server that does not wait for its disk lost the last turns, and others were written since:
    nothing of the lost ones stays."""
    # given one that has read turns
    standby = Watching(active, dsn)
    standby.watch()
    kept_seq = standby.dispatcher.fold.last_seq
    live_on(active, 2)
    standby.watch()

    # when they are lost, and the next engine writes others
    active.store.close()
    with psycopg.connect(dsn) as connection:
        connection.execute("DELETE FROM oms.journal WHERE last_seq > %s", (kept_seq,))
        connection.execute("DELETE FROM oms.orders WHERE seq > %s", (kept_seq,))
        connection.execute(
            "DELETE FROM oms.reports WHERE report_id >= %s", ((kept_seq + 1) << NUMBER_BITS,)
        )
    other = Stepped(active.oms.config, store=store_of(dsn), clock=active.clock).start()
    for number in range(3):
        other.ask(order(f"other-{number}"))
    standby.watch()
    assert standby.digest() == other.digest()

    # and so it is where nobody has written since
    other.store.close()
    standby.take_over()
    assert standby.digest() == standby.refolded()
    standby.stop()


def test_a_damaged_journal_ends_it(active, dsn):
    """As it ends a start; nothing is written."""
    standby = Watching(active, dsn)
    standby.watch()
    stood = standby.dispatcher.fold.last_seq
    live_on(active, 3)
    ask_none(dsn, f"UPDATE oms.journal SET released = released + 1 WHERE first_seq = {stood + 1}")
    with pytest.raises(JournalError, match=f"sequence {stood + 1} .*the checksum does not match"):
        standby.watch()


def test_a_server_that_is_lost_is_waited_for(start_server, caplog):
    """kill -9 of the server, and with it the active one's session; then it is there again."""
    server = start_server(fsync="on")
    dsn = server.new_database()
    active = lived_through(store_of(dsn, durability="full"), 11, 20, DAYS)
    standby, looks = Watching(active, dsn), count(1)

    def look():
        found = next(looks)
        if found == 2:
            server.kill()
        elif found == 5:
            server.start()
        return False

    assert standby.store.stand_by(look, standby.dispatcher.follow)
    standby.start()
    assert standby.digest() == standby.refolded()
    assert standby.ask(order("after")).type == "NEW"
    standby.stop()
    said = [each.message for each in caplog.records if "standing by goes on" in each.message]
    assert len(said) == len(set(said)) > 0
    active.store.close()


def test_settings_that_the_server_does_not_keep_end_it(dsn):
    """They would be as wrong later; so would be tables of a later program."""
    with pytest.raises(StoreError, match="fsync: expected on, as durability is full"):
        store_of(dsn, durability="full").stand_by(lambda: False, lambda: False)
    with store_of(dsn) as made:
        made._run("UPDATE writer SET version = 9")
    with pytest.raises(StoreError, match="expected schema version 1, was 9"):
        store_of(dsn).stand_by(lambda: False, lambda: False)


# --- as processes ---

SECOND = ("--exchange", "--prefix", "q", "--seed", 2, "--standby")


def take_over(tmp_path, place, ledger, dsn, after=None):
    """One is killed under load while another one stands by in another directory, as on another
    machine; how long it took until that one answered an order. after: done after the kill."""
    journal = settings(dsn(), "full")
    with Driver(tmp_path / "a", tmp_path / "a.out", "--exchange", store=journal) as first:
        first.wait_for("started")
        wait_until(lambda: acked(first) > 20)
        if after is None:
            second = Driver(place, tmp_path / "b.out", *SECOND, store=journal)
            wait_until(lambda: ask(dsn(), STANDING_BY) == [(1,)])
        killed = time.monotonic()
        first.kill()
        if after is not None:
            after()
            second = Driver(place, tmp_path / "b.out", *SECOND, store=settings(dsn(), "full"))
        with second:
            wait_until(lambda: acked(second) > 0)
            took_s = time.monotonic() - killed
            assert second.stop()[0] == 0
    for driver in (first, second):
        ledger.take(driver.lines())
    return took_s


def test_one_that_stands_by_takes_over(tmp_path, start_server):
    """kill -9 of the active one: what it acked is there, and the other one goes on."""
    server, ledger = start_server(fsync="on"), Ledger()
    dsn = server.new_database()
    took_s = take_over(tmp_path, tmp_path / "b", ledger, lambda: dsn)
    print(f"the first answer came {took_s:.2f} s after the kill")
    settle(tmp_path / "a", tmp_path / "last", ledger, "--exchange", store=settings(dsn, "full"))
    ledger.check(audit_of(store_of(dsn, read_only=True)))


@pytest.mark.slow
def test_one_that_was_stopped_cannot_go_on_beside_the_next(tmp_path, dsn):
    """SIGSTOP of the active engine, whose session the server then ends; it wakes up amid the next
    one's turns."""
    ledger, journal = Ledger(), settings(dsn)
    with ExitStack() as stack:
        first = stack.enter_context(
            Driver(tmp_path / "a", tmp_path / "a.out", "--exchange", store=journal)
        )
        first.wait_for("started")  # else the other one might have the journal first
        second = stack.enter_context(
            Driver(tmp_path / "b", tmp_path / "b.out", *SECOND, store=journal)
        )
        wait_until(lambda: acked(first) > 20)
        first.send(signal.SIGSTOP)
        end_sessions(dsn)
        second.wait_for("started")
        wait_until(lambda: acked(second) > 20)
        first.send(signal.SIGCONT)
        assert first.exit_code(GONE_S_MAX) == 1
        assert second.stop()[0] == 0
    for driver in (first, second):
        ledger.take(driver.lines())
    settle(tmp_path / "b", tmp_path / "last", ledger, "--exchange", store=journal)
    ledger.check(audit_of(store_of(dsn, read_only=True)))


@pytest.mark.slow
def test_several_that_were_stopped_end_when_they_wake_up(tmp_path, dsn):
    """One after the other has taken over, and was stopped amid its load, for longer than any of its
    threads means to wait: whatever each was doing, it ends soon, and only the last one goes on."""
    ledger, journal, drivers = Ledger(), settings(dsn), []
    with ExitStack() as stack:
        for number in range(5):
            options = ("--exchange", "--prefix", f"n{number}-", "--seed", number)
            out = tmp_path / f"{number}.out"
            driver = Driver(tmp_path / str(number), out, *options, store=journal)
            drivers.append(stack.enter_context(driver))
            driver.wait_for("started")
            wait_until(lambda driver=driver, enough=20 + 3 * number: acked(driver) > enough)
            if number < 4:
                driver.send(signal.SIGSTOP)
                end_sessions(dsn)
        *stopped, last = drivers
        for driver in stopped:
            driver.send(signal.SIGCONT)
        assert [driver.exit_code(GONE_S_MAX) for driver in stopped] == [1] * len(stopped)
        assert last.stop()[0] == 0
    for driver in drivers:
        ledger.take(driver.lines())
    settle(tmp_path / "4", tmp_path / "last", ledger, "--exchange", store=journal)
    ledger.check(audit_of(store_of(dsn, read_only=True)))


@pytest.mark.slow
def test_one_that_lags_reads_the_rest_first_and_one_that_dies_disturbs_nobody(tmp_path, dsn):
    """Of two that stand by one is killed amid the load, the other one stopped; it goes on when the
    active one is dead, many turns later."""
    ledger, journal = Ledger(), settings(dsn)
    with Driver(tmp_path / "a", tmp_path / "a.out", "--exchange", store=journal) as first:
        first.wait_for("started")
        killed = Driver(tmp_path / "c", tmp_path / "c.out", *SECOND, store=journal)
        with Driver(tmp_path / "b", tmp_path / "b.out", *SECOND, store=journal) as second:
            wait_until(lambda: ask(dsn, STANDING_BY) == [(2,)])
            killed.kill()
            second.send(signal.SIGSTOP)
            stood = acked(first)
            wait_until(lambda: acked(first) > stood + 300)
            first.kill()
            second.send(signal.SIGCONT)
            wait_until(lambda: acked(second) > 20)
            assert second.stop()[0] == 0
    assert killed.lines("F") == []
    for driver in (first, second):
        ledger.take(driver.lines())
    settle(tmp_path / "b", tmp_path / "last", ledger, "--exchange", store=journal)
    ledger.check(audit_of(store_of(dsn, read_only=True)))


@pytest.mark.slow
def test_a_standby_of_the_server_takes_over_with_all_that_was_acked(tmp_path, start_server):
    """Engine and server die together; the server's synchronous streaming standby is promoted, and
    another engine goes on with it."""
    # given a server with a synchronous standby
    first = start_server(fsync="on", wal_level="replica", synchronous_standby_names="*")
    standby = PostgresServer(first, fsync="on").start(wait=False)
    try:
        name = "journal"
        first.new_database(name)
        at = [first]

        # when the machine of both is lost
        def promote():
            first.kill()
            standby.run("pg_ctl", "promote", "-w", "-D", standby.data)
            at[0] = standby

        ledger = Ledger()
        took_s = take_over(tmp_path, tmp_path / "b", ledger, lambda: at[0].dsn(name), after=promote)

        # then everything that was acked is in the journal that goes on
        print(f"the first answer came {took_s:.2f} s after the kill of engine and server")
        journal = settings(standby.dsn(name), "full")
        settle(tmp_path / "b", tmp_path / "last", ledger, "--exchange", store=journal)
        ledger.check(audit_of(store_of(standby.dsn(name), read_only=True)))
    finally:
        standby.remove()


def test_one_that_stands_by_stops_when_it_is_told_to(dsn, tmp_path):
    """SIGTERM: exit code 0, and nothing was written."""
    options = ("--standby", "--clients", 0)
    with store_of(dsn) as store:
        with Driver(tmp_path, tmp_path / "a", *options, store=settings(dsn)) as driver:
            wait_until(lambda: ask(dsn, STANDING_BY) == [(1,)])
            let_run(0.3)
            assert driver.stop()[0] == 0
        assert list(store.records()) == []
