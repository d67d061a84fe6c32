"""kill -9 at any instant, again and again: what was acked stays, and nothing else appears."""

import json
import random
import time
from pathlib import Path

import pytest

from tests.processes import Driver, Ledger, audit, wait_until

TRADING_S_MAX = 0.6
THROTTLES = ({"policy": "off"}, {"sends_max": 50, "window_ns": 100_000_000})


def one_cycle(
    directory: Path, path: Path, chance: random.Random, cycle: int, ledger: Ledger
) -> None:
    """Start, retry what is unknown, trade, die; then compare what clients saw with the disk."""
    retry = path.with_suffix(".retry")
    retry.write_text("".join(f"{json.dumps(fields)}\n" for fields in ledger.unknown()))
    with Driver(
        directory, path, "--prefix", cycle, "--seed", chance.random(), "--retry", retry,
        throttle=chance.choice(THROTTLES), store={"snapshot_every": 500},
    ) as driver:  # fmt: skip
        if chance.random() < 0.8:  # else it may die while it starts or recovers
            driver.wait_for("started")
        dies_s = time.monotonic() + chance.random() * TRADING_S_MAX
        wait_until(lambda: time.monotonic() >= dies_s)
    ledger.take(driver.lines())
    ledger.check(audit(directory))


def kill_again_and_again(tmp_path: Path, cycles: int) -> None:
    seed = random.randrange(10**9)
    print(f"seed {seed}")
    chance, ledger, unknown = random.Random(seed), Ledger(), 0
    directory = tmp_path / "data"

    # when a daemon under load is killed, cycle after cycle, nothing acked is lost
    for cycle in range(cycles):
        one_cycle(directory, tmp_path / f"{cycle}.out", chance, cycle, ledger)
        unknown += len(ledger.unknown())

    # and when the last one may answer what is still unknown
    retry = tmp_path / "last.retry"
    retry.write_text("".join(f"{json.dumps(fields)}\n" for fields in ledger.unknown()))
    with Driver(directory, tmp_path / "last.out", "--clients", 0, "--retry", retry) as driver:
        driver.wait_for("retried")
        code, _ = driver.stop()
    ledger.take(driver.lines())

    # then every request has exactly one outcome
    assert code == 0
    assert ledger.unknown() == []
    ledger.check(audit(directory))
    print(
        f"{cycles} kills, {len(ledger.submitted)} requests, {len(ledger.acked)} reports acked, "
        f"{unknown} unknown and retried"
    )


def test_a_dozen_kills_lose_nothing_and_invent_nothing(tmp_path: Path) -> None:
    kill_again_and_again(tmp_path, 12)


@pytest.mark.slow
def test_a_hundred_kills_lose_nothing_and_invent_nothing(tmp_path: Path) -> None:
    kill_again_and_again(tmp_path, 100)
