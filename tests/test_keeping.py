"""Backup, restore, archive: copies that hold, losses that are named, and nothing that is lost."""

import json
import os
import re
import shutil
import signal
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from oms import ManualClock, PersistentStorage, StoreFullError
from oms.cli import main
from oms.requests import OperatorAction, OperatorRequest
from oms.stores.lock import DataLock
from tests.databases import alter, beside
from tests.fakes import Stepped, buy, config_of, modify, sell
from tests.processes import Driver, wait_until

ROOT = Path(__file__).resolve().parents[1]
DATABASE = "order_management.db"
HOUR_S = 3_600
CONFIG = """
[session]
always_open = yes
[throttle]
policy = off
[exchange]
self_trade = none
[instrument X]
price_scale = 0
quantity_scale = 0
[instrument ALL]
price_scale = 0
quantity_scale = 0
market_order = all_or_none
"""


class Place:
    """A data directory, its desk, and commands that are given in it."""

    def __init__(self, directory, capsys):
        self.directory, self.capsys = directory, capsys
        directory.mkdir(exist_ok=True)
        (directory / "config.ini").write_text(CONFIG)
        self.path = directory / DATABASE
        self.clock = ManualClock()
        self.count = 0

    def desk(self):
        """One that goes on from what is there."""
        store = PersistentStorage(self.path, durability="none")
        return Stepped(config_of(), store=store, clock=self.clock).start()

    def trade(self, desk, times=1):
        """Trades of two orders each, an hour apart."""
        for _ in range(times):
            self.count += 1
            desk.send(sell(f"s{self.count}", 2, 100), buy(f"b{self.count}", 1, 100))
            desk.send(buy(f"c{self.count}", 1, 100 + self.count % 3))
            self.clock.advance(HOUR_S)

    def run(self, *words):
        """Exit code, and what was printed."""
        code = main([*map(str, words), "--data-dir", str(self.directory)])
        told = self.capsys.readouterr()
        return code, told.out, told.err.partition("config.ini\n")[2]

    def holds(self):
        code, out, err = self.run("verify")
        assert (code, out.partition(":")[0]) == (0, "verified"), out + err
        return True

    def digest(self):
        return re.findall(r"digest +(\w+)", self.run("digest")[1])

    def now(self):
        return f"{self.clock.wall_ns() // 10**9}"


def at(clock, hours):
    """So many hours before the clock's time, as a command takes it."""
    from oms.clock import datetime_of

    return datetime_of(clock.wall_ns() - int(hours * HOUR_S * 10**9)).isoformat()


@pytest.fixture
def place(tmp_path, capsys):
    return Place(tmp_path / "data", capsys)


def journal_of(place):
    return [json.loads(line) for line in place.run("export")[1].splitlines()]


# --- backup ---


def test_a_running_and_a_stopped_order_manager_are_backed_up(place, tmp_path, capsys):
    """Given trades, also such that are in the write-ahead log alone."""
    desk = place.desk()
    place.trade(desk, 3)

    # when a copy is made while it runs, and one afterwards
    code, out, err = place.run("backup", tmp_path / "one")
    assert code == 0, err
    assert re.search(r"one: backup up to journal sequence \d+, verified: ", out)
    place.trade(desk, 2)
    desk.stop()
    assert place.run("backup", tmp_path / "two")[0] == 0

    # then each is a directory of its own, as of its instant
    one, two = Place(tmp_path / "one", capsys), Place(tmp_path / "two", capsys)
    assert one.holds()
    assert two.digest() == place.digest()
    assert journal_of(one) == journal_of(place)[: len(journal_of(one))]
    again = one.desk()
    assert again.oms.get_order("me", "c3").state == "FILLED"
    assert again.oms.get_order("me", "c4") is None
    again.stop()

    # and what is there already is not overwritten
    code, _, err = place.run("backup", tmp_path / "two")
    assert (code, "expected a directory that does not exist yet" in err) == (2, True)


def test_a_copy_that_does_not_verify_is_no_backup(place, tmp_path):
    """Given a database with a row that nobody asked for."""
    desk = place.desk()
    place.trade(desk)
    desk.stop()
    with PersistentStorage(place.path) as store:
        store._run(
            "DELETE FROM reports WHERE report_id IN (SELECT max(report_id) FROM reports)", ()
        )
    code, out, err = place.run("backup", tmp_path / "copy")
    assert code == 1
    assert "NOT verified" in out
    assert "no backup" in err
    assert not (tmp_path / "copy").exists()


def test_a_backup_that_fails_leaves_nothing(place, tmp_path, monkeypatch):
    """What was copied would keep a full disk full."""

    def full(_store, path):
        path.write_bytes(b"half")
        raise StoreFullError(f"{path}: copying: database or disk is full")

    code, _, err = place.run("backup", tmp_path / "copy")
    assert (code, "no such database" in err) == (2, True)
    desk = place.desk()
    place.trade(desk)
    desk.stop()
    monkeypatch.setattr(PersistentStorage, "copy_to", full)
    code, _, err = place.run("backup", tmp_path / "copy")
    assert (code, "disk is full" in err) == (2, True)
    assert [path.name for path in tmp_path.iterdir()] == ["data"]


# --- restore ---


def test_what_a_restore_loses_is_named_and_journaled(place, tmp_path):
    """Given a copy, and orders after it."""
    desk = place.desk()
    place.trade(desk, 2)
    desk.stop()
    assert place.run("backup", tmp_path / "copy")[0] == 0
    desk = place.desk()
    place.trade(desk, 2)
    lost = desk.oms.get_order("me", "c4").order_id
    last_seq = desk.dispatcher.fold.last_seq
    desk.stop()

    # when it is put back
    code, out, err = place.run("restore", tmp_path / "copy")

    # then what is lost is told, what was there is kept, and no number is given out twice
    assert code == 0, err
    said = rf"lost: journal sequences \d+ to {last_seq}, \S+Z to \S+Z: 6 new orders\n"
    assert re.search(said, out), out
    assert f"kept as {DATABASE}.replaced-{last_seq}" in out
    [loss] = [line["entry"] for line in journal_of(place) if line.get("entry", "-")[0] == "E"]
    assert loss[2] == last_seq
    assert place.holds()
    _, out, _ = place.run("restore", tmp_path / "copy")  # again: only a start came after the copy
    assert re.search(r"lost: .*: no request\n", out), out
    desk = place.desk()
    assert desk.oms.get_order("me", "c4") is None
    assert desk.oms.get_order("me", "c2").state == "FILLED"
    desk.send(buy("c4", 1, 100))
    assert desk.oms.get_order("me", "c4").order_id > max(lost, last_seq)
    desk.stop()

    # and the replaced one is a database still
    with PersistentStorage(f"{place.path}.replaced-{last_seq}", read_only=True) as store:
        assert store.find_reports("me", "c4")


def test_a_restore_of_what_nothing_was_lost_of_says_so(place, tmp_path):
    """Given a copy of all there is, and a database that was deleted."""
    desk = place.desk()
    place.trade(desk, 2)
    desk.stop()
    place.run("backup", tmp_path / "copy")
    digest = place.digest()
    place.path.unlink()
    code, out, _ = place.run("restore", tmp_path / "copy")
    assert (code, out.splitlines()[0]) == (0, "nothing is lost")
    assert place.holds()
    assert place.digest() != digest  # it was started once


@pytest.mark.parametrize("command", ["restore", "archive"])
def test_while_an_order_manager_runs_it_is_refused(place, tmp_path, command):
    """One line, which names the process; nothing is changed."""
    desk = place.desk()
    place.trade(desk)
    desk.stop()
    place.run("backup", tmp_path / "copy")
    words = (tmp_path / "copy",) if command == "restore" else ("--before", at(place.clock, 0))
    before = place.path.read_bytes()
    with DataLock(place.path):
        code, _, err = place.run(command, *words)
    assert code == 2
    assert re.search(rf"in use by process \d+; {command} works while no order manager runs\n", err)
    assert place.path.read_bytes() == before


def test_the_copy_of_another_system_is_told(place, tmp_path, capsys):
    """It has no beginning in common with what is there: a person should know."""
    for name in ("data", "other"):
        each = Place(tmp_path / name, capsys)
        each.clock = ManualClock(10**18 + len(name))
        desk = each.desk()
        each.trade(desk, 2)
        desk.stop()
    out = place.run("restore", tmp_path / "other")[1]
    assert "the copy is of another journal, which has nothing in common with this one" in out
    assert place.holds()


# --- archive ---


def busy(place):
    """Ten hours of trades; one order open from the first hour on, one of it changed much later."""
    desk = place.desk()
    desk.send(buy("open", 5, 50), sell("late", 2, 300))
    place.trade(desk, 6)
    desk.send(modify("late2", "late", price=290))
    desk.send(buy("late3", 1, 290))
    place.trade(desk, 4)
    desk.stop()


def test_what_is_archived_is_still_there_for_all_who_ask(place):
    """Given ten hours, when the first eight are archived, then every question has its answer."""
    busy(place)
    desk = place.desk()
    day = desk.oms.candles("X", "1h", place.clock.wall_ns() - 20 * HOUR_S * 10**9)
    rows = [report.row() for report in desk.store.all_reports()]
    desk.stop()
    before = place.digest(), journal_of(place), place.path.stat().st_size
    told = place.run("explain", "late3")[1], place.run("explain", "s1")[1]
    shown = place.run("replay", "--upto", 12)[1]

    # when
    code, out, err = place.run("archive", "--before", at(place.clock, 2))

    # then
    assert code == 0, err
    assert "2 orders are open and stay" in out
    [archive] = place.directory.glob("*-archive-*.db")
    assert place.holds()
    assert (place.digest(), journal_of(place)) == before[:2]
    assert (place.run("explain", "late3")[1], place.run("explain", "s1")[1]) == told
    assert place.run("replay", "--upto", 12)[1] == shown
    with PersistentStorage(place.path, read_only=True) as store:
        assert [report.row() for report in store.all_reports()] == rows
        assert store._one("SELECT count(*) FROM reports")[0] < len(rows) / 2
        of_open = "SELECT count(*) FROM order_responses WHERE client_order_id = 'open'"
        assert store._one(of_open) == (1,)  # who reads the view sees what is open
        last_seq = store.archives[0].last_seq
        assert store._one("SELECT count(*) FROM journal WHERE last_seq <= ?", last_seq)[0] <= 3
        assert next(each.last_seq for each in store.records(last_seq - 5)) > last_seq - 5
    assert archive.name == f"order_management-archive-{last_seq}.db"
    lines = [json.loads(x) for x in place.run("export", "--from", last_seq - 2)[1].splitlines()]
    assert lines == [line for line in before[1] if line["seq"] >= last_seq - 2]

    # and an order manager goes on: repeats, old orders, candles, trades
    desk = place.desk()
    assert desk.dispatcher.fold.snapshot_seq > 0
    repeat = desk.ask(sell("s1", 2, 100))
    assert (repeat.type, repeat.state, repeat.repeated) == ("ORDER_STATUS", "FILLED", True)
    assert desk.ask(sell("s1", 3, 100)).reason == "DUPLICATE_ID"
    assert desk.oms.get_order("me", "s1").state == "FILLED"
    assert desk.oms.get_order("me", "open").state == "NEW"
    assert desk.oms.candles("X", "1h", place.clock.wall_ns() - 20 * HOUR_S * 10**9) == day
    assert len(desk.oms.recent_trades("X")) == 21
    desk.send(sell("hit", 5, 50))
    assert desk.oms.get_order("me", "open").state == "FILLED"
    desk.stop()
    assert place.holds()


def test_a_trade_in_an_archive_can_be_taken_back(place):
    """Its orders, the tape and the candles know; and so they do after the next archive."""
    busy(place)
    place.run("archive", "--before", at(place.clock, 5))
    desk = place.desk()
    first = desk.oms.recent_trades("X")[0]
    assert desk.store.archives
    request = OperatorRequest(
        client_order_id="bust", action=OperatorAction.BUST, name=first.execution_id
    )
    assert desk.ask(request).type == "COMMAND_DONE"
    start = first.wall_ns, first.wall_ns + 1
    [candle] = desk.oms.candles("X", "1s", *start)
    assert (candle.count, candle.changed) == (1, 1)
    place.trade(desk, 3)
    desk.stop()
    assert place.holds()
    assert place.run("archive", "--before", at(place.clock, 1))[0] == 0
    assert len(list(place.directory.glob("*-archive-*.db"))) == 2
    assert place.holds()
    desk = place.desk()
    assert desk.oms.candles("X", "1s", *start) == [candle]
    assert first.execution_id not in [each.execution_id for each in desk.oms.recent_trades("X")]
    desk.stop()


def test_an_archived_directory_is_backed_up_rebuilt_and_folded_without_snapshots(
    place, tmp_path, capsys
):
    """Given two archives, then all that is done with a database works with them."""
    busy(place)
    for hours in (7, 3):
        assert place.run("archive", "--before", at(place.clock, hours))[0] == 0
    digest = place.digest()
    assert place.run("backup", tmp_path / "copy")[0] == 0
    assert Place(tmp_path / "copy", capsys).digest() == digest
    assert len(list((tmp_path / "copy").glob("*-archive-*.db"))) == 2
    code, out, err = place.run("rebuild")
    assert (code, out[:8]) == (0, "verified"), out + err
    assert place.digest() == digest  # there is no snapshot now
    for each in place.directory.glob("order_management*"):
        each.unlink()
    assert place.run("restore", tmp_path / "copy")[0] == 0
    assert place.holds()
    desk = place.desk()
    assert desk.oms.get_order("me", "s1").state == "FILLED"
    desk.stop()


def test_without_its_archive_a_database_is_refused(place):
    """By name: also for those who only look."""
    busy(place)
    place.run("archive", "--before", at(place.clock, 3))
    [archive] = place.directory.glob("*-archive-*.db")
    archive.rename(archive.with_suffix(".moved"))
    for command in ("verify", "ledger", "fund ann USD 1 --create"):
        code, _, err = place.run(*command.split())
        assert code == 2
        assert re.search(rf"{archive.name}: missing: .* put it back\n", err), err
    archive.with_suffix(".moved").rename(archive)
    assert place.holds()


def test_where_nothing_is_old_enough_nothing_is_archived(place):
    """Exit code 1, and why."""
    busy(place)
    code, _, err = place.run("archive", "--before", "2001-01-01")
    assert code == 1
    assert "nothing to archive: no turn before 2001-01-01T00:00:00Z" in err


# --- kill -9 at every step ---

KILLED = """
import os, signal, sys
left = int(sys.argv[1])
directory = sys.argv[2]
def hook(event, args):
    global left
    if event in ("os.rename", "os.remove", "sqlite3.connect"):
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        left -= 1
sys.addaudithook(hook)
from oms.cli import main
sys.exit(main(sys.argv[3:] + ["--data-dir", directory]))
"""


def killed_at(place, step, *words):
    """The command, killed before its file operation of this number; True if it came to its end."""
    done = subprocess.run(
        [sys.executable, "-c", KILLED, str(step), str(place.directory), *map(str, words)],
        cwd=ROOT, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode in (0, -signal.SIGKILL), done.stderr
    return done.returncode == 0


def test_an_archive_killed_at_any_step_loses_nothing(place, tmp_path, capsys):
    """Whatever was done by then, all is there, and the same command completes it."""
    busy(place)
    when, digest = at(place.clock, 3), place.digest()
    for step in range(40):
        trial = Place(tmp_path / f"trial{step}", capsys)
        shutil.copytree(place.directory, trial.directory, dirs_exist_ok=True)
        ended = killed_at(trial, step, "archive", "--before", when)
        assert trial.digest() == digest
        assert trial.holds()
        if ended:
            break
        trial.run("archive", "--before", when)
        assert len(list(trial.directory.glob("*-archive-*.db"))) == 1
        assert trial.digest() == digest
        shutil.rmtree(trial.directory)
    assert step > 4


def test_a_restore_killed_at_any_step_is_refused_or_complete(place, tmp_path, capsys):
    """Never is the older copy taken for the newer: then a start names what is missing."""
    desk = place.desk()
    place.trade(desk, 2)
    desk.stop()
    place.run("backup", tmp_path / "copy")
    desk = place.desk()
    place.trade(desk, 2)
    last_seq = desk.dispatcher.fold.last_seq
    desk.stop()
    for step in range(60):
        trial = Place(tmp_path / f"trial{step}", capsys)
        shutil.copytree(place.directory, trial.directory, dirs_exist_ok=True)
        if killed_at(trial, step, "restore", tmp_path / "copy"):
            break
        code, _, err = trial.run("orders", "me")
        if code:
            assert re.search(rf"{last_seq} was committed|had come to sequence {last_seq}", err), err
        assert trial.run("restore", tmp_path / "copy")[0] == 0
        assert trial.holds()
        with PersistentStorage(trial.path, read_only=True) as store:
            *_, end = store.records()
            assert end.last_seq > last_seq
        shutil.rmtree(trial.directory)
    assert step > 6
    assert beside(trial.path, "-high").exists()


def test_a_damaged_archive_is_found_by_verify_and_not_read_by_a_start(place):
    """Given a changed byte in the archived journal, then a start goes on from its snapshot: what it
    reads does not grow with what was archived."""
    busy(place)
    place.run("archive", "--before", at(place.clock, 3))
    [archive] = place.directory.glob("*-archive-*.db")
    alter(archive, "UPDATE journal SET body = '[' || body WHERE last_seq < 10")
    desk = place.desk()
    assert desk.oms.get_order("me", "s1").state == "FILLED"
    desk.stop()
    code, out, err = place.run("verify")
    assert code == 1
    assert re.search(r"journal sequence \d to \d: the checksum does not match", out + err)


def test_a_daemon_is_backed_up_while_it_trades(tmp_path, capsys):
    """Given one that takes orders all the time, then each copy is whole, and later ones go on."""
    directory = tmp_path / "data"
    ends = []
    with Driver(directory, tmp_path / "out", store={"snapshot_every": 200}) as driver:
        for name in ("one", "two"):
            told = len(driver.lines("R"))
            wait_until(lambda told=told: len(driver.lines("R")) > told + 500)
            code = main(["backup", str(tmp_path / name), "--data-dir", str(directory)])
            shown = capsys.readouterr()
            assert code == 0, shown
            ends.append(int(re.search(r"journal sequence (\d+)", shown.out)[1]))
        # what must not be done meanwhile is refused
        for words in (["archive", "--before", "2100-01-01"], ["restore", str(tmp_path / "one")]):
            assert main([*words, "--data-dir", str(directory)]) == 2
            pid = driver.process.pid
            assert f"in use by process {pid}; {words[0]} works" in capsys.readouterr().err
        assert driver.stop()[0] == 0
    assert 0 < ends[0] < ends[1]
    for name in ("one", "two"):
        assert main(["verify", "--data-dir", str(tmp_path / name)]) == 0


@pytest.mark.skipif(os.name != "posix", reason="modes are of POSIX")
def test_copies_and_archives_are_their_owners_as_the_database_is(place, tmp_path):
    """Whatever the umask is: hashes of passwords are in them, too."""
    before = os.umask(0)
    try:
        busy(place)
        assert place.run("backup", tmp_path / "copy")[0] == 0
        assert place.run("archive", "--before", at(place.clock, 2))[0] == 0
    finally:
        os.umask(before)
    [archive] = place.directory.glob("*-archive-*.db")
    for path in (place.path, archive, tmp_path / "copy" / DATABASE):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600, path
