"""kill -9 at any instant, again and again: what was acked stays, and nothing else appears.

All that the exchange knows is in the flow: money in, out and between accounts, fees, stops, OCO
pairs, icebergs, mass cancels, and an operator whose calls end in auctions. After each kill the
money must be right to the last unit, too.
"""

import random
from pathlib import Path

import pytest

from tests.processes import (
    Driver,
    Ledger,
    audit,
    injecting,
    let_run,
    settle,
    why_no_strace,
    write_retries,
)

TRADING_S_MAX = 0.6
THROTTLES = ({"policy": "off"}, {"sends_max": 50, "window_ns": 100_000_000})
OFTEN = {"snapshot_every": 500}
EXCHANGE = "--exchange"


def one_cycle(
    directory: Path, path: Path, chance: random.Random, cycle: int, ledger: Ledger
) -> None:
    """Start, retry what is unknown, trade, die; then compare what clients saw with the disk."""
    with Driver(
        directory, path, EXCHANGE, "--prefix", cycle, "--seed", chance.random(),
        "--retry", write_retries(path.with_suffix(".retry"), ledger),
        throttle=chance.choice(THROTTLES), store=OFTEN,
    ) as driver:  # fmt: skip
        if chance.random() < 0.8:  # else it may die while it starts or recovers
            driver.wait_for("started")
        let_run(chance.random() * TRADING_S_MAX)
    ledger.take(driver.lines())
    if ledger.acked:  # else the first one may have died before there was a database
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
    settle(directory, tmp_path / "last.out", ledger, EXCHANGE)

    # then every request has exactly one outcome
    assert ledger.unknown() == []
    ledger.check(audit(directory))
    print(
        f"{cycles} kills, {len(ledger.submitted)} requests, {len(ledger.acked)} reports acked, "
        f"{unknown} unknown and retried"
    )


def test_a_dozen_kills_lose_nothing_and_invent_nothing(tmp_path: Path) -> None:
    kill_again_and_again(tmp_path, 12)


@pytest.mark.slow
@pytest.mark.parametrize("_life", range(4))
def test_25_kills_lose_nothing_and_invent_nothing(tmp_path: Path, _life: int) -> None:
    kill_again_and_again(tmp_path, 25)


@pytest.mark.skipif(bool(why_no_strace()), reason=why_no_strace())
@pytest.mark.parametrize("call", ["pwrite64", "fdatasync"])
def test_a_kill_inside_a_commit_leaves_all_of_it_or_nothing(tmp_path: Path, call: str) -> None:
    """The kernel kills it as it enters the system call: while it writes, or before the sync."""
    seed = random.randrange(10**9)
    print(f"seed {seed}")
    chance, ledger, directory = random.Random(seed), Ledger(), tmp_path / "data"
    settle(directory, tmp_path / "first.out", ledger, EXCHANGE)
    found = 0
    for cycle in range(3):
        path = tmp_path / f"{cycle}.out"
        fault = f"{call}:signal=KILL:when={chance.randint(10, 200)}"
        with Driver(
            directory, path, EXCHANGE, "--prefix", cycle, "--seed", chance.random(),
            "--retry", write_retries(path.with_suffix(".retry"), ledger), store=OFTEN,
            under=injecting(fault, path.with_suffix(".trace")),
        ) as driver:  # fmt: skip
            assert driver.exit_code() == -9
        ledger.take(driver.lines())
        left = audit(directory)
        ledger.check(left)
        stored = {(line[1], line[2]) for _, line in left.requests}
        found += sum((fields[0], fields[1]) in stored for fields in ledger.unknown())
    settle(directory, tmp_path / "last.out", ledger, EXCHANGE)
    assert ledger.unknown() == []
    ledger.check(audit(directory))
    print(f"{len(ledger.acked)} reports acked; {found} requests were stored and not yet answered")


@pytest.mark.slow
@pytest.mark.skipif(bool(why_no_strace()), reason=why_no_strace())
@pytest.mark.parametrize("call", ["pwrite64", "fdatasync"])
def test_a_kill_while_the_database_is_made_does_not_prevent_a_start(
    tmp_path: Path, call: str
) -> None:
    for when in range(1, 13):
        directory, path = tmp_path / f"{when}", tmp_path / f"{when}.out"
        fault = f"{call}:signal=KILL:when={when}"
        with Driver(directory, path, under=injecting(fault, path.with_suffix(".trace"))) as driver:
            assert driver.exit_code() == -9
        ledger = Ledger()
        ledger.take(driver.lines())
        settle(directory, path.with_suffix(".next"), ledger)
        assert ledger.unknown() == []
        ledger.check(audit(directory))
