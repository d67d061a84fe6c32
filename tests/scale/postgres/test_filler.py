"""db-filler as a process: whatever is killed, each turn is in Postgres exactly once."""

import gc
import json
import os
import signal
import subprocess
import sys
from concurrent.futures import Future
from contextlib import closing, contextmanager
from pathlib import Path
from queue import Queue
from random import Random

import pytest

from oms import PersistentStorage
from oms.clock import NANOS, SystemClock
from oms.commands.filling import rarely_collected
from oms.commands.live import status_lines
from oms.config import load_config
from oms.errors import ConfigError, DataInUseError, JournalError
from oms.stores import filler_word
from oms.turn.threads import Worker
from tests.fakes import Stepped
from tests.places import after_place
from tests.processes import Driver, let_run, wait_until
from tests.scale.postgres.conftest import variables_of
from tests.scale.postgres.test_projection import DAYS, differences, filled, filler_of
from tests.test_store_contract import lived_through

psycopg = pytest.importorskip("psycopg")
PROGRAM = Path(__file__).parents[3] / "order_management.py"
DATABASE = "order_management.db"


def command_of(directory, dsn, *options):
    """How to run it as a process, and its environment."""
    words = [sys.executable, PROGRAM, "db-filler", "--data-dir", directory, *options]
    return [str(word) for word in words], {**os.environ, **variables_of(dsn)}


def run(directory, dsn, *options):
    words, environment = command_of(directory, dsn, *options)
    return subprocess.run(words, env=environment, capture_output=True, text=True, timeout=60)


@contextmanager
def running(directory, dsn):
    """One that goes on until it is killed; what it says goes to filler.err."""
    words, environment = command_of(directory, dsn)
    with (directory / "filler.err").open("ab") as errors:
        process = subprocess.Popen(words, env=environment, stderr=errors, start_new_session=True)
        try:
            yield process
        finally:
            process.kill()
            process.wait()


def filled_seq(dsn):
    """How far it is; 0 where nobody has begun, or the server is down."""
    try:
        with psycopg.connect(dsn) as connection:
            return connection.execute("SELECT seq FROM upto").fetchone()[0]
    except psycopg.Error:
        return 0


def test_rows_of_two_stretches_are_not_walked_for_garbage():
    before = gc.get_threshold()
    with rarely_collected(1_000):
        assert gc.get_threshold()[0] >= 10_000
        assert gc.isenabled()  # for what it would leave behind in a week
    assert gc.get_threshold() == before


@pytest.fixture(scope="module")
def lived(tmp_path_factory):
    """A data directory with some days in it; nobody changes it."""
    directory = tmp_path_factory.mktemp("lived")
    store = PersistentStorage(directory / DATABASE, durability="none")
    lived_through(store, 7, 300, DAYS).stop()
    return directory


def test_a_filler_that_is_killed_goes_on_where_it_stood(lived, dsn):
    """kill -9, wherever it is; no row is missing and none is twice."""
    random, before = Random(3), 0
    for _ in range(2):
        with running(lived, dsn):
            wait_until(lambda stood=before: filled_seq(dsn) > stood)
            let_run(random.random() / 50)
        before = filled_seq(dsn)
    done = run(lived, dsn, "--once")
    assert done.returncode == 0, done.stderr
    assert differences(lived / DATABASE, dsn) == []


def test_the_next_stretch_is_read_while_one_is_filled(lived, dsn):
    """Each fill waits here until the next stretch is asked for; the last one has none."""
    filler = filler_of(lived, dsn, entries_max=100)
    asked, find, fill = Queue(), filler._store.find_stretch, filler.projection.fill

    def found(after_seq, *more):
        asked.put(after_seq)
        return find(after_seq, *more)

    def filled_after(rows, before):
        stretch = rows.stretch
        while stretch.last_seq < stretch.end_seq and asked.get(timeout=10) != stretch.last_seq:
            pass
        return fill(rows, before)

    filler._store.find_stretch, filler.projection.fill = found, filled_after
    with closing(filler.projection):
        filler.run(once=True)
    assert differences(lived / DATABASE, dsn) == []


def test_a_stretch_that_was_read_for_nothing_is_dropped(lived, dsn):
    """A server that lost its latest transactions stands before the stretch that was read ahead."""
    filler = filler_of(lived, dsn, entries_max=100)
    with closing(filler.projection):
        filler.step()
        upto = filler.projection.upto()
        filler._ahead = Future()
        filler._ahead.set_result(filler._read(upto.seq + 1, upto.kept_seq, filler.projection.dates))
        while filler.step():
            pass
    assert differences(lived / DATABASE, dsn) == []


def word_of(directory, seqs=0, seconds=0):
    """What a daemon tells of it whose journal is by so many entries longer, so much later."""
    wall_ns = SystemClock().wall_ns() + seconds * NANOS
    return filler_word.read(directory, max(ends_of(directory)) + seqs, wall_ns)


def test_its_word_tells_the_daemon_how_far_it_is(lived, dsn):
    """Also when nothing more is heard of it: then the lag grows with the journal."""
    filler = filler_of(lived, dsn, entries_max=100)
    with closing(filler.projection):
        filler.run(once=True)
    told = word_of(lived)
    assert (told["state"], told["lag_entries"], told["lag_s"]) == ("ok", 0, 0)
    assert told["seq"] == max(ends_of(lived))
    assert sum(count for _, _, count in told["rows"]) == len(ends_of(lived))
    told = word_of(lived, seqs=7, seconds=3)
    assert (told["state"], told["lag_entries"]) == ("ok", 7)
    assert 3 <= told["lag_s"] < 60
    told = word_of(lived, seqs=8, seconds=60)
    assert (told["state"], told["lag_entries"]) == ("silent", 8)
    assert 60 <= told["lag_s"] < 120


def test_the_status_has_a_line_of_it(tmp_path):
    """Where a db-filler was ever started, and nowhere else."""
    desk = Stepped(directory=tmp_path).start()

    def told():
        seen = {"directory": "", "alive": True, "pid": 1, "age_s": 0.0}
        return "\n".join(status_lines({**seen, "status": {"pid": 1, **desk.oms.get_status()}}))

    assert "projection" not in told()
    now_ns = desk.clock.wall_ns()
    word = filler_word.Word(1, now_ns - 2 * NANOS, now_ns, NANOS, "failing", "ok", "away", [])
    filler_word.write(tmp_path, word, "")
    behind = desk.oms.get_status()["journal_seq"] - 1
    assert f"  projection   failing, {behind} entries and 2.0 s behind" in told()
    desk.stop()


def test_a_word_that_is_not_readable_says_so(tmp_path):
    assert filler_word.read(tmp_path, 7, 0) is None
    for text in ("", "[]", "{}", '{"seq": 1}', "\xff"):
        (tmp_path / filler_word.NAME).write_bytes(text.encode("latin-1"))
        told = filler_word.read(tmp_path, 7, 0)
        assert (told["state"], told["lag_entries"]) == ("silent", 7)
        assert "not readable" in told["why"]


def test_while_postgres_is_down_the_lag_is_told(lived, start_server):
    """Three calls fail, then the circuit is open; one call in a while tries again."""
    server = start_server()
    filler = filler_of(lived, server.new_database(), entries_max=100)
    stop = filler._stop
    with closing(filler.projection):
        filler.step()
        stood = filler.projection.upto().seq
        server.kill()
        worker = Worker("filling", Once(filler.run), lambda *_: None)
        worker.start()
        try:
            wait_until(lambda: word_of(lived)["state"] == "open")
            told = word_of(lived)
            assert (told["seq"], told["lag_entries"]) == (stood, max(ends_of(lived)) - stood)
            assert told["lag_s"] > 0
            assert told["why"]
            server.start()
            wait_until(lambda: word_of(lived)["lag_entries"] == 0)
            assert word_of(lived)["state"] == "ok"
        finally:
            stop.set()
            assert worker.stop(10)


class Once:
    """A job of one step."""

    def __init__(self, run):
        self._run = run

    def step(self):
        self._run()

    def finish(self): ...

    def wake(self): ...


@pytest.mark.slow
def test_a_server_that_is_killed_is_waited_for(lived, start_server):
    """kill -9 of Postgres in the middle: the filler says so, once, and goes on when it is back."""
    server = start_server()
    dsn = server.new_database()
    with running(lived, dsn) as process:
        wait_until(lambda: filled_seq(dsn) > 100)
        server.kill()
        let_run(0.3)
        server.start()
        end = PersistentStorage(lived / DATABASE, read_only=True).find_stretch(0, 1, 0).end_seq
        wait_until(lambda: filled_seq(dsn) == end)
        assert differences(lived / DATABASE, dsn) == []
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0
    assert "trying again" in (lived / "filler.err").read_text()


@pytest.mark.slow
def test_it_follows_an_engine_that_is_killed_under_load(tmp_path, dsn):
    """kill -9 of the engine, and its next start: what is filled is what the journal has."""
    load = ("--clients", 2, "--exchange")
    with running(tmp_path, dsn):
        for number in range(2):
            with Driver(tmp_path, tmp_path / f"told{number}", *load) as driver:
                driver.wait_for("started")
                stood = filled_seq(dsn)
                wait_until(lambda stood=stood: filled_seq(dsn) > stood + 300)
        with Driver(tmp_path, tmp_path / "last", "--clients", 0, "--exchange") as driver:
            driver.wait_for("started")
            assert driver.stop()[0] == 0
        store = PersistentStorage(tmp_path / DATABASE, read_only=True)
        wait_until(lambda: filled_seq(dsn) == store.find_stretch(0, 1, 0).end_seq)
    assert differences(tmp_path / DATABASE, dsn) == []


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(3))
def test_whatever_dies_each_turn_is_there_once(tmp_path, start_server, seed):
    """Filler, engine and server killed in any order, alone and in pairs, under load."""
    random, server = Random(seed), start_server()
    dsn = server.new_database()
    for number in range(8):
        load = ("--clients", 2, "--exchange", "--seed", number)
        with Driver(tmp_path, tmp_path / f"told{number}", *load) as driver:
            driver.wait_for("started")
            with running(tmp_path, dsn):
                stood = filled_seq(dsn)
                wait_until(lambda stood=stood: filled_seq(dsn) > stood)
                let_run(random.random())
                if random.random() < 0.5:
                    server.kill()
                    let_run(random.random() / 2)
                    server.start()
                if random.random() < 0.5:
                    driver.kill()
                    let_run(random.random() / 2)
    done = run(tmp_path, dsn, "--once")
    assert done.returncode == 0, done.stderr
    assert differences(tmp_path / DATABASE, dsn) == []


def test_a_second_filler_of_a_database_is_refused(lived, dsn):
    with closing(filler_of(lived, dsn).projection), pytest.raises(DataInUseError, match="another"):
        filler_of(lived, dsn)


def test_another_journal_is_not_filled_into_the_same_tables(lived, tmp_path, dsn, say):
    """A backup that was put back, or another directory, though it has a turn that ends at the same
    sequence: said in one line; --anew begins again."""
    # given two journals, and turns of both that end at the same sequence
    lived_through(PersistentStorage(tmp_path / DATABASE, durability="none"), 8, 60).stop()
    mine, others = ends_of(lived), ends_of(tmp_path)
    seqs = [seq for seq, checksum in mine.items() if others.get(seq, checksum) != checksum]

    # when the one is filled as far as there
    filler = filler_of(lived, dsn, entries_max=100)
    with closing(filler.projection):
        while filler.projection.upto().seq not in seqs:
            assert filler.step()

    # then the other one is refused
    with pytest.raises(JournalError, match=r"of another journal .* --anew"):
        filled(tmp_path, dsn)
    assert say(tmp_path, dsn, "--once", "--anew")[0] == 0
    assert differences(tmp_path / DATABASE, dsn) == []


def ends_of(directory):
    """The checksum of each turn, by the sequence where it ends."""
    with PersistentStorage(directory / DATABASE, read_only=True) as store:
        return {record.last_seq: record.checksum for record in store.records()}


def test_it_says_when_it_has_caught_up(lived, dsn, say):
    """And how far it was before."""
    lines = after_place(say(lived, dsn, "--once")[2]).splitlines()
    assert " entries and " in lines[0]
    assert lines[-1].endswith(", 0 entries and 0.0 s behind")


def test_it_tells_how_far_it_is(lived, dsn, say):
    """As JSON, for whoever watches the lag."""
    filler = filler_of(lived, dsn, entries_max=100)
    with closing(filler.projection):
        filler.step()
    told = json.loads(say(lived, dsn, "--status")[1])
    assert told["lag_entries"] == told["journal_seq"] - told["seq"] > 0
    assert told["lag_s"] > 0
    filled(lived, dsn)
    told = json.loads(say(lived, dsn, "--status")[1])
    assert (told["lag_entries"], told["lag_s"], told["kept_seq"]) == (0, 0, told["seq"])


def test_without_postgres_it_still_tells_how_far_the_journal_is(lived, say, start_server):
    """In the same shape: a script sees that the lag is unknown, and a person why."""
    server = start_server()
    dsn = server.new_database()
    filled(lived, dsn)
    code, out, _ = say(lived, dsn, "--status")
    before = json.loads(out)
    server.kill()
    assert (code, before["lag_entries"]) == (0, 0)
    code, out, errors = say(lived, dsn, "--status")
    assert code == 1
    assert json.loads(out) == {**dict.fromkeys(before), "journal_seq": before["journal_seq"]}
    assert "cannot be reached" in after_place(errors)
    assert after_place(errors).count("\n") == 1


def test_of_a_database_that_nobody_has_begun_to_fill_the_lag_is_unknown(lived, dsn, say):
    code, out, errors = say(lived, dsn, "--status")
    told = json.loads(out)
    assert (code, told["lag_entries"], told["journal_seq"]) == (1, None, max(ends_of(lived)))
    assert after_place(errors).count("\n") == 1


def test_a_password_is_no_setting_and_is_never_printed(tmp_path):
    """It would be told with the settings of the environment; libpq has a file for it."""
    for dsn in ("postgresql://me:hush@localhost/db", "dbname=x password=hush", "password = hush"):
        with pytest.raises(ConfigError, match=r"without a password.*PGPASSFILE") as caught:
            load_config(environment={"OMS__PROJECTION__DSN": dsn})
        assert "hush" not in str(caught.value)
    done = run(tmp_path, "postgresql://me:hush@localhost/db")
    assert done.returncode == 2
    assert "hush" not in done.stderr + done.stdout


@pytest.mark.parametrize(
    ("dsn", "said"),
    [
        ("", "dsn: expected a connection string of Postgres, was none"),
        ("host=/nowhere dbname=x user=me", "postgres me@/nowhere/x: cannot be reached"),
    ],
)
def test_what_is_wrong_with_the_settings_is_one_line(tmp_path, dsn, said, say):
    code, _, errors = say(tmp_path, dsn)
    assert code == 2
    assert said in after_place(errors)
    assert after_place(errors).count("\n") == 1
