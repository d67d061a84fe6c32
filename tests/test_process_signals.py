"""SIGTERM and SIGINT: intake closes, exit code 0 within 5 s, and nothing acked is lost."""

import random
import select
import shutil
import signal
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from oms.turn.threads import StopFlag
from tests.processes import (
    DATABASE,
    STOP_S_MAX,
    Audit,
    Driver,
    Ledger,
    Row,
    audit,
    let_run,
    wait_until,
)

ONE_A_DAY = {"sends_max": 1, "window_ns": 86_400_000_000_000}
THROTTLES = ({"policy": "off"}, {"sends_max": 50, "window_ns": 100_000_000})
CLIENTS = 3


def wal_bytes(directory: Path) -> int:
    path = directory / f"{DATABASE}-wal"
    return path.stat().st_size if path.exists() else 0


def state_without_settings(found: Audit) -> dict[str, Any]:
    """What a restart must not change: a process that began is in the journal, and no more."""
    state = found.fold.state()
    return {name: state[name] for name in ("orders", "waiting", "markets", "execution_ids")}


class Loaded:
    """A directory where so many orders wait, left by a process that was told to stop."""

    def __init__(self, directory: Path, waiting: int) -> None:
        self.waiting = waiting
        self.directory = directory / "data"
        self.ledger = Ledger()
        with Driver(
            self.directory, directory / "load.out", "--clients", 0, "--waiting", waiting,
            throttle=ONE_A_DAY,
        ) as driver:  # fmt: skip
            driver.wait_for("loaded")
            self.exit_code, self.exit_s = driver.stop()
        self.ledger.take(driver.lines())
        self.audit = audit(self.directory)

    def copy(self, directory: Path) -> Path:
        return shutil.copytree(self.directory, directory / "copy")


@pytest.fixture(scope="module")
def fewer(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Loaded]:
    directory = tmp_path_factory.mktemp("fewer")
    yield Loaded(directory, 5_000)
    shutil.rmtree(directory)


@pytest.fixture(scope="module")
def loaded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Loaded]:
    directory = tmp_path_factory.mktemp("waiting")
    yield Loaded(directory, 50_000)
    shutil.rmtree(directory)


def test_a_signal_at_any_instant_loses_nothing(tmp_path: Path) -> None:
    seed = random.randrange(10**9)
    print(f"seed {seed}")
    chance, ledger, slowest_s = random.Random(seed), Ledger(), 0.0
    for turn in range(6):
        # when a daemon under load is told to stop
        with Driver(
            tmp_path / "data", tmp_path / f"{turn}.out", "--clients", CLIENTS,
            "--prefix", turn, "--seed", chance.random(), throttle=chance.choice(THROTTLES),
        ) as driver:  # fmt: skip
            driver.wait_for("started")
            let_run(chance.random() * 0.5)
            code, seconds = driver.stop(chance.choice((signal.SIGTERM, signal.SIGINT)))
        ledger.take(driver.lines())
        slowest_s = max(slowest_s, seconds)

        # then it ends in order, and all but what was just being handed over has an answer
        assert (code, driver.errors) == (0, "")
        assert wal_bytes(tmp_path / "data") == 0
        assert len(ledger.unknown()) <= CLIENTS * (turn + 1)
        ledger.check(audit(tmp_path / "data"))
    print(f"slowest stop {slowest_s:.3f} s, {len(ledger.acked)} reports acked")
    assert slowest_s < STOP_S_MAX


@pytest.mark.parametrize("name", ["fewer", pytest.param("loaded", marks=pytest.mark.slow)])
def test_waiting_orders_are_parked_in_time_and_in_order(
    request: pytest.FixtureRequest, name: str, tmp_path: Path
) -> None:
    """5,000 or 50,000; and they go out in that order when a later process may send."""
    loaded = request.getfixturevalue(name)
    print(f"exit after {loaded.exit_s:.3f} s")
    assert loaded.exit_code == 0 and loaded.exit_s < STOP_S_MAX
    assert wal_bytes(loaded.directory) == 0
    assert len(loaded.audit.waiting) >= loaded.waiting - 1  # one may have been sent
    assert loaded.audit.waiting == sorted(loaded.audit.waiting)
    loaded.ledger.check(loaded.audit)

    # when it starts again, and is told to stop again
    directory = loaded.copy(tmp_path)
    with Driver(directory, tmp_path / "again.out", "--clients", 0, throttle=ONE_A_DAY) as driver:
        driver.wait_for("started")
        code, seconds = driver.stop(signal.SIGINT)
    again = audit(directory)

    # then nothing has changed
    assert code == 0 and seconds < STOP_S_MAX
    assert again.digest == again.refolded_digest
    assert state_without_settings(again) == state_without_settings(loaded.audit)

    # and without a throttle they leave, first in, first out
    with Driver(directory, tmp_path / "sent.out", "--clients", 0) as driver:
        wait_until(lambda: len(driver.lines("R")) >= len(again.waiting))
        code, seconds = driver.stop()
    assert code == 0 and seconds < STOP_S_MAX
    assert [Row(*line[2:]).order_id for line in driver.lines("R")] == again.waiting


@pytest.mark.parametrize("second", [signal.SIGTERM, signal.SIGINT])
def test_a_second_signal_exits_at_once_and_is_as_safe_as_a_kill(
    tmp_path: Path, second: signal.Signals
) -> None:
    # given a daemon whose stop would take a while: it drains, and may send nothing
    drain = {"on_stop": "drain", "drain_max_ns": 600 * 10**9}
    settings: dict[str, Any] = {"throttle": ONE_A_DAY, "stop": drain}
    with Driver(tmp_path / "data", tmp_path / "out", **settings) as driver:
        wait_until(lambda: len(driver.lines("R")) > 300)

        # when it is told twice
        driver.send(signal.SIGTERM)
        wait_until(lambda: any("SHUTTING_DOWN" in line for line in driver.lines("R")))
        code, seconds = driver.stop(second)
    ledger = Ledger()
    ledger.take(driver.lines())

    # then it is gone, what was acked is there, and a start takes it up
    assert code == 128 + second and seconds < STOP_S_MAX
    left = audit(tmp_path / "data")
    ledger.check(left)
    with Driver(tmp_path / "data", tmp_path / "next.out", "--clients", 0, **settings) as driver:
        driver.wait_for("started")
        driver.kill()
    again = audit(tmp_path / "data")
    ledger.check(again)
    assert state_without_settings(again) == state_without_settings(left)


@pytest.mark.slow
def test_a_signal_while_it_recovers_ends_it_in_order(loaded: Loaded, tmp_path: Path) -> None:
    """The journal is long, and there is no snapshot to begin from."""
    directory = loaded.copy(tmp_path)
    with closing(sqlite3.connect(directory / DATABASE)) as database:
        database.execute("DELETE FROM snapshots")
        database.commit()
    for delay_s in (0.0, 0.05, 0.2):
        with Driver(
            directory, tmp_path / f"{delay_s}.out", "--clients", 0, throttle=ONE_A_DAY
        ) as driver:
            driver.wait_for("recovering")
            let_run(delay_s)
            code, seconds = driver.stop()

        # then it did not wait for the end of the recovery, and changed nothing
        assert (code, driver.errors) == (0, "")
        started = ["STATE", "started"] in driver.lines()  # then it parked what waits, as always
        assert seconds < STOP_S_MAX
        assert delay_s or not started
    assert state_without_settings(audit(directory)) == state_without_settings(loaded.audit)


WAITER = """
import os, signal
from oms.turn.threads import StopFlag

def handle(*_):
    flag.set()
    os.write(1, b".")

flag = StopFlag()
signal.signal(signal.SIGTERM, handle)
os.write(1, b".")
while True:
    while not flag.wait(0.0):
        pass
    flag = StopFlag()
"""


def test_a_signal_that_comes_inside_a_wait_is_not_lost() -> None:
    """With a threading.Event for a flag, the handler soon waits for its own thread, for ever."""
    root = Path(__file__).parent.parent
    with subprocess.Popen(
        [sys.executable, "-c", WAITER], stdout=subprocess.PIPE, cwd=root
    ) as process:
        try:
            for _ in range(300):
                ready, _, _ = select.select([process.stdout], [], [], STOP_S_MAX)
                assert ready, "the handler did not come back"
                assert process.stdout is not None and process.stdout.read(1) == b"."
                process.send_signal(signal.SIGTERM)
        finally:
            process.kill()


def test_all_that_wait_for_a_flag_go_on_though_their_time_is_over() -> None:
    """A process was stopped for longer than they meant to wait, and the flag is set as they wake
    up: by the queue that told them of it before, all but the first waited for ever."""
    for _ in range(20):
        flag = StopFlag()

        def first(flag: StopFlag = flag) -> None:
            flag.wait(STOP_S_MAX)
            sum(range(3_000_000))  # the interpreter is not free until the other one's time is over

        def second(flag: StopFlag = flag) -> None:
            flag.wait(0.02)

        waiting = [threading.Thread(target=each, daemon=True) for each in (first, second)]
        for each in waiting:
            each.start()
        flag.wait(0.002)  # they do wait by now
        flag.set()
        for each in waiting:
            each.join(STOP_S_MAX)
            assert not each.is_alive()
    assert flag.wait(-1.0) and flag.wait(0.0) and flag.wait()
    assert not StopFlag().wait(-1.0)


def test_a_reader_does_not_hold_up_a_stop(tmp_path: Path) -> None:
    """The write-ahead log cannot be emptied as long as somebody reads from it."""
    # given a daemon that would have the patience
    patient = {"busy_timeout_ns": 60_000_000_000}
    with Driver(tmp_path / "data", tmp_path / "out", store=patient) as driver:
        wait_until(lambda: len(driver.lines("R")) > 100)
        path = (tmp_path / "data" / DATABASE).as_uri()
        with closing(sqlite3.connect(f"{path}?mode=ro", uri=True)) as reader:
            reader.execute("BEGIN")
            assert reader.execute("SELECT count(*) FROM order_responses").fetchone()[0] > 0
            code, seconds = driver.stop()
    ledger = Ledger()
    ledger.take(driver.lines())

    assert code == 0 and seconds < STOP_S_MAX
    ledger.check(audit(tmp_path / "data"))


def test_a_second_process_on_the_same_data_refuses_to_start(tmp_path: Path) -> None:
    with Driver(tmp_path / "data", tmp_path / "first.out") as first:
        wait_until(lambda: len(first.lines("R")) > 100)

        # when another one is started beside it
        with Driver(tmp_path / "data", tmp_path / "second.out") as second:
            code = second.exit_code()

        # then it says who is there, and the first goes on
        assert code == 2
        assert second.errors == f"{tmp_path / 'data'}: in use by process {first.process.pid}\n"
        assert second.lines() == []
        told = len(first.lines("R"))
        wait_until(lambda: len(first.lines("R")) > told + 100)
        assert first.stop()[0] == 0
    ledger = Ledger()
    ledger.take(first.lines())
    ledger.check(audit(tmp_path / "data"))


@pytest.mark.slow
@pytest.mark.parametrize("policy", ["cancel", "drain"])
def test_other_ends_for_what_waits_take_no_longer(
    loaded: Loaded, tmp_path: Path, policy: str
) -> None:
    directory = loaded.copy(tmp_path)
    with Driver(
        directory, tmp_path / "out", "--clients", 0, stop={"on_stop": policy},
        throttle={"sends_max": 10, "window_ns": 1_000_000_000},
    ) as driver:  # fmt: skip
        driver.wait_for("started")
        code, seconds = driver.stop()
    left = audit(directory)

    assert code == 0 and seconds < STOP_S_MAX
    assert left.digest == left.refolded_digest and left.differences == []
    if policy == "cancel":
        assert left.waiting == []
    else:
        assert left.waiting == loaded.audit.waiting[-len(left.waiting) :]
        assert len(left.waiting) < len(loaded.audit.waiting)
