"""Power loss at any instant of a daemon's life: what was acked is there, and it is whole."""

import random
import shutil
from pathlib import Path

import pytest

from oms.cli import main
from oms.errors import StoreError
from tests.power_loss import Call, Disk, calls_of, told_by, traced
from tests.processes import Driver, Ledger, audit, wait_until, why_no_strace

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(bool(why_no_strace()), reason=why_no_strace()),
]
REPORTS_MIN = 2_500  # by then the write-ahead log was moved into the database, twice
IMAGES, IMAGES_TO_LOSE = 300, 60


def recorded(tmp_path: Path, durability: str) -> list[Call]:
    """The calls of a daemon under load that was killed."""
    trace, data = tmp_path / "trace", tmp_path / "data"
    with Driver(
        data, tmp_path / "out", under=traced(trace), store={"durability": durability}
    ) as driver:
        wait_until(lambda: len(driver.lines("R")) > REPORTS_MIN)
    return calls_of(trace, data)


def images(calls: list[Call], count: int, seed: int, tmp_path: Path):  # type: ignore[no-untyped-def]
    """So many images of the disk, each after so many calls, and the lines told until then."""
    print(f"seed {seed}")
    chance = random.Random(seed)
    started = next(n for n, call in enumerate(calls) if b'"started"' in call.content)
    cuts = sorted(chance.randint(started, len(calls)) for _ in range(count))
    disk, done = Disk(), 0
    for number, cut in enumerate(cuts):
        for call in calls[done:cut]:
            disk.take(call)
        done = cut
        directory = tmp_path / f"image-{number}"
        directory.mkdir()
        disk.image(directory, chance)
        yield directory, told_by(calls[:cut])
        shutil.rmtree(directory)


def test_what_was_acked_outlives_any_power_loss(tmp_path, capsys):
    # given
    calls = recorded(tmp_path, "full")
    seed = random.randrange(10**6)

    # when the power goes, anywhere
    for directory, lines in images(calls, IMAGES, seed, tmp_path):
        # then
        assert main(["verify", "--data-dir", str(directory)]) == 0, capsys.readouterr()
        ledger = Ledger()
        ledger.take(lines)
        rows = audit(directory).rows
        assert [row for key, row in ledger.acked.items() if rows.get(key) != row] == []


def test_without_syncs_something_is_lost(tmp_path):
    """The control: were nothing lost here, the images would prove nothing."""
    calls = recorded(tmp_path, "normal")
    seed = random.randrange(10**6)
    lost = 0
    for directory, lines in images(calls, IMAGES_TO_LOSE, seed, tmp_path):
        ledger = Ledger()
        ledger.take(lines)
        try:
            rows = audit(directory).rows
        except StoreError:  # all of it, or it shows
            rows = {}
        lost += any(rows.get(key) != row for key, row in ledger.acked.items())
    print(f"{lost} of {IMAGES_TO_LOSE} images lost something")
    assert lost
