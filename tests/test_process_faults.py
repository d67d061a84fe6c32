"""Faults under a running daemon: disk full, I/O errors, locks, bugs, clocks that jump.

What the store cannot take is refused and leaves nothing behind; what nobody can know stops
the process with exit code 1, and the next start knows.
"""

import json
import random
import re
import sqlite3
import time
from contextlib import closing
from pathlib import Path

import pytest

from tests.fakes import Stepped, buy, throttled
from tests.processes import (
    DATABASE,
    STOP_S_MAX,
    Driver,
    Ledger,
    Line,
    Row,
    audit,
    fill,
    injecting,
    let_run,
    settle,
    wait_until,
    why_no_strace,
)

AT_ONCE_S = 30.0  # 1 s is promised; the rest is for a machine that has other things to do
CLIENTS = 3
SECOND = 1_000_000_000


def row_of(line: Line) -> Row:
    """The report of a line that tells one."""
    return Row(*line[2:] if line[0] == "R" else line[1:])


def reports(lines: list[Line], reason: str = "") -> list[Line]:
    """What listeners were told; with a reason, the refusals before the journal for it."""
    told = [line for line in lines if line[0] == "R"]
    refused = [line for line in told if row_of(line).journal_seq == 0]
    return [line for line in refused if row_of(line).reason == reason] if reason else told


def stored(lines: list[Line]) -> list[Line]:
    """Answers that claim to be in the journal."""
    return [line for line in lines if line[0] in "RF" and row_of(line).journal_seq]


def check(driver: Driver, directory: Path) -> None:
    """All that the clients of one process saw is so, and only what was in the air is unknown."""
    ledger = Ledger()
    ledger.take(driver.lines())
    assert len(ledger.unknown()) <= CLIENTS
    assert driver.lines("U") == []
    ledger.check(audit(directory))


# --- the disk is full ---


def test_a_full_disk_refuses_orders_answers_questions_and_resumes(small_disk: Path) -> None:
    path = small_disk.with_name("out")
    with Driver(small_disk, path, "--reads", "--rate", 300) as driver:
        wait_until(lambda: len(driver.lines("R")) > 300 and driver.lines("Q"))

        # when the disk is full
        ballast = fill(small_disk)
        wait_until(lambda: reports(driver.lines(), "DISK_FULL"))
        full = len(driver.lines())
        wait_until(lambda: len(reports(driver.lines()[full:], "DISK_FULL")) > 100)
        wait_until(lambda: ["Q", "degraded", "DISK_FULL"] in [q[:3] for q in driver.lines("Q")])
        meanwhile = driver.lines()[full:]

        # then requests are refused, not lost, and questions are answered
        assert stored(meanwhile) == []
        assert {row_of(line).reason for line in reports(meanwhile)} == {"DISK_FULL"}
        _, _, _, levels, state = driver.lines("Q")[-1]
        assert levels > 0 and state is not None

        # and when there is space again, the same process goes on
        ballast.unlink()
        freed = len(driver.lines())
        wait_until(lambda: len(stored(driver.lines()[freed:])) > 100)
        wait_until(lambda: driver.lines("Q")[-1][1:3] == ["ok", "ok"])
        assert driver.stop()[0] == 0
    check(driver, small_disk)


def test_a_stop_while_the_disk_is_full_is_in_order(small_disk: Path) -> None:
    with Driver(small_disk, small_disk.with_name("out")) as driver:
        wait_until(lambda: len(driver.lines("R")) > 300)
        ballast = fill(small_disk)
        wait_until(lambda: reports(driver.lines(), "DISK_FULL"))
        code, seconds = driver.stop()
    assert code == 0 and seconds < STOP_S_MAX
    ballast.unlink()
    check(driver, small_disk)


# --- the disk fails ---


@pytest.mark.skipif(bool(why_no_strace()), reason=why_no_strace())
@pytest.mark.parametrize("call", ["fdatasync", "pwrite64"])
def test_a_commit_that_fails_stops_the_process_and_a_restart_knows(
    tmp_path: Path, call: str
) -> None:
    directory, ledger, trace = tmp_path / "data", Ledger(), tmp_path / "trace"
    settle(directory, tmp_path / "first.out", ledger)

    # when the kernel reports an error to a commit under load
    # After the writes of a start, and before the first checkpoint, whose errors no commit tells.
    when = random.randint(30, 60)
    print(f"{call} number {when}")
    under = injecting(f"{call}:error=EIO:when={when}", trace, "write")
    with Driver(directory, tmp_path / "out", "--prefix", "eio", under=under) as driver:
        assert driver.exit_code() == 1
    calls = trace.read_text().splitlines()
    failed = next(n for n, line in enumerate(calls) if "(INJECTED)" in line)

    # then nothing was acked after it, and the process ended at once
    acks = re.compile(r'write\(1, "\[\\"(R\\", \d+|F\\"), [1-9]')
    assert [line for line in calls[failed:] if acks.search(line)] == []
    assert any(acks.search(line) for line in calls[:failed])
    seconds = float(calls[-1].split()[1]) - float(calls[failed].split()[1])
    print(f"ended after {seconds:.3f} s")
    assert seconds < AT_ONCE_S

    # and what is unknown has one outcome after a restart
    ledger.take(driver.lines())
    ledger.check(audit(directory))
    settle(directory, tmp_path / "last.out", ledger)
    assert ledger.unknown() == []
    ledger.check(audit(directory))


# --- another process holds the database ---


def locking(directory: Path) -> closing[sqlite3.Connection]:
    """Another process's view of the database, as far as SQLite can tell."""
    return closing(sqlite3.connect(directory / DATABASE, isolation_level=None))


def test_a_locked_database_is_waited_for_and_then_refused(tmp_path: Path) -> None:
    directory = tmp_path / "data"
    patience = {"busy_timeout_ns": SECOND // 2}
    with Driver(directory, tmp_path / "out", "--reads", store=patience) as driver:
        wait_until(lambda: len(driver.lines("R")) > 100)
        with locking(directory) as other:
            # when it is locked for less than the time-out, then nobody notices
            other.execute("BEGIN IMMEDIATE")
            let_run(0.1)
            other.execute("COMMIT")
            before = len(driver.lines())
            wait_until(lambda: len(stored(driver.lines()[before:])) > 100)
            assert reports(driver.lines(), "STORE_BUSY") == []

            # when it is locked for longer, then requests are refused, questions are answered
            other.execute("BEGIN EXCLUSIVE")
            wait_until(lambda: reports(driver.lines(), "STORE_BUSY"))
            locked = len(driver.lines())
            wait_until(lambda: len(reports(driver.lines()[locked:], "STORE_BUSY")) > 20)
            wait_until(lambda: driver.lines("Q")[-1][1:3] == ["degraded", "STORE_BUSY"])
            assert stored(driver.lines()[locked:]) == []
            other.execute("COMMIT")

        # and it goes on when the lock is gone
        freed = len(driver.lines())
        wait_until(lambda: len(stored(driver.lines()[freed:])) > 100)
        assert driver.stop()[0] == 0
    check(driver, directory)


def test_a_stop_does_not_wait_for_the_lock_of_another_process(tmp_path: Path) -> None:
    directory = tmp_path / "data"
    patience = {"busy_timeout_ns": 60 * SECOND}
    with Driver(directory, tmp_path / "out", store=patience) as driver:
        wait_until(lambda: len(driver.lines("R")) > 100)
        with locking(directory) as other:
            other.execute("BEGIN IMMEDIATE")
            let_run(0.2)
            code, seconds = driver.stop()
    assert code == 0 and seconds < AT_ONCE_S
    check(driver, directory)


# --- bugs ---


@pytest.mark.parametrize("part", ["venue", "link"])
def test_a_thread_that_dies_ends_the_process(tmp_path: Path, part: str) -> None:
    """The venue breaks on the dispatcher's thread, the link on the session keeper's."""
    directory = tmp_path / "data"
    with Driver(directory, tmp_path / "out", "--broken", part) as driver:
        thread = {"venue": "oms-dispatch", "link": "oms-session"}[part]
        log = directory / "logs" / "order_management.log"
        wait_until(lambda: log.exists() and f"thread {thread} died" in log.read_text())
        died_s = time.monotonic()
        assert driver.exit_code() == 1
    assert time.monotonic() - died_s < AT_ONCE_S

    # then what was acked is there; and once the dispatcher is dead, nothing is acked
    lines = driver.lines()
    ledger = Ledger()
    ledger.take(lines)
    ledger.check(audit(directory))
    if part == "venue":
        unknown = next(n for n, line in enumerate(lines) if line[0] == "U")
        assert stored(lines[unknown:]) == []


def test_a_listener_that_raises_harms_nobody_else(tmp_path: Path) -> None:
    with Driver(tmp_path / "data", tmp_path / "out", "--broken", "listener") as driver:
        wait_until(lambda: len(driver.lines("L")) > 500)
        assert driver.stop()[0] == 0
    rows = map(row_of, stored(driver.lines("R")))
    told = [f"{row.journal_seq}-{row.number}" for row in rows]
    assert [line[1] for line in driver.lines("L") if line[1] != "0-0"] == told
    status = json.loads((tmp_path / "data" / "status.json").read_text())
    assert status["listener_failures"] >= len(told)
    check(driver, tmp_path / "data")


# --- time ---


def test_stamps_never_go_back_and_the_throttle_does_not_see_the_wall_clock() -> None:
    """The wall clock jumps by days, both ways; two orders a second may go."""
    oms = Stepped(throttled(2)).start()
    for n, jump_s in enumerate((0, -3_600, 86_400, -172_800, 7_200, -1)):
        # given more orders than may go, when the clock jumps
        oms.clock.jump(jump_s)
        waiting = len(oms.waiting)
        oms.send(*[buy(f"{n}-{i}", 1, 5) for i in range(4)])

        # then two went, however late the wall says it is, and two more after a second
        assert len(oms.waiting) == waiting + 2
        oms.step()
        assert len(oms.waiting) == waiting + 2
        oms.clock.advance(1.0)
        oms.step()
        assert len(oms.waiting) == waiting
        oms.clock.advance(1.0)
    stamps = [record.wall_ns for record in oms.store.records()]
    assert stamps == sorted(stamps)
    told = [report.wall_ns for report in oms.store.all_reports()]
    assert told == sorted(told)
    assert oms.digest() == oms.refolded()


def test_a_kill_takes_no_permit_and_gives_none(tmp_path: Path) -> None:
    """Twelve of twenty an hour were sent: the next process sends eight, at once."""
    hour = {"sends_max": 20, "window_ns": 3_600 * SECOND}

    def states(driver: Driver, names: range) -> list[str]:
        order = ("NEW", "", "TATA_INR", "BUY", 1, "100", "GTC")
        return [driver.answer(["ann", f"a{n}", *order]).state for n in names]

    # given
    with Driver(tmp_path / "data", tmp_path / "1.out", "--clients", 0, throttle=hour) as driver:
        driver.wait_for("started")
        assert states(driver, range(12)) == ["NEW"] * 12
        driver.kill()

    # when, then
    with Driver(tmp_path / "data", tmp_path / "2.out", "--clients", 0, throttle=hour) as driver:
        driver.wait_for("started")
        assert states(driver, range(12, 22)) == ["NEW"] * 8 + ["PENDING_NEW"] * 2


@pytest.mark.parametrize("ends", ["killed", "stopped"])
def test_the_throttle_holds_across_a_restart(tmp_path: Path, ends: str) -> None:
    """At most 20 sends in any half second, whichever process sends them."""
    sends_max, window_ns = 20, SECOND // 2
    sent: dict[int, int] = {}
    for n in range(3):
        with Driver(
            tmp_path / "data", tmp_path / f"{n}.out", "--prefix", n,
            throttle={"sends_max": sends_max, "window_ns": window_ns},
        ) as driver:  # fmt: skip
            wait_until(lambda: sum(line[1] > 0 for line in driver.lines("R")) > 50)
            if ends == "stopped":
                assert driver.stop()[0] == 0
        sent |= {row_of(line).request_seq: line[1] for line in driver.lines("R") if line[1]}
    stamps = sorted(sent.values())  # monotonic time is the machine's: it outlives a process
    assert len(stamps) > 100
    gaps = [late - early for early, late in zip(stamps, stamps[sends_max:], strict=False)]
    print(f"{len(stamps)} sends, the fullest window is {min(gaps) / SECOND:.3f} s long")
    assert min(gaps) >= window_ns
