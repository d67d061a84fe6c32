"""What cannot be trusted or used is refused at the start: one line, exit code 2, no change."""

import json
import re
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from oms.errors import StoreError
from oms.reports import ROW_COLUMNS
from oms.stores import JournalRecord
from oms.stores.schema import SCHEMA_VERSION
from oms.stores.sqlite import PersistentStorage
from tests.places import after_place
from tests.processes import DATABASE, Driver, audit, wait_until

PROGRAM = Path(__file__).parent.parent / "order_management.py"
START_S_MAX = 20.0


def run_daemon(directory: Path) -> "subprocess.CompletedProcess[str]":
    return command(directory, "run")


def assert_refused(directory: Path, expected: str) -> None:
    """Exit code 2, and one line that says why."""
    ended = run_daemon(directory)
    assert ended.returncode == 2, ended.stderr
    assert re.fullmatch(f"order_management: .*{expected}.*\n", ended.stderr), ended.stderr


# --- data that does not add up ---


@pytest.fixture(scope="module")
def traded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory in which a daemon traded and stopped, with snapshots on the way."""
    directory = tmp_path_factory.mktemp("traded") / "data"
    with Driver(directory, directory.with_name("out"), store={"snapshot_every": 200}) as driver:
        wait_until(lambda: len(driver.lines("R")) > 1_000)
        assert driver.stop()[0] == 0
    return directory


@pytest.fixture
def data(traded: Path, tmp_path: Path) -> Path:
    """A copy, to be damaged."""
    return shutil.copytree(traded, tmp_path / "data")


def edit(directory: Path, statement: str) -> None:
    with closing(sqlite3.connect(directory / DATABASE)) as database:
        assert database.execute(statement).rowcount > 0
        database.commit()


MIDDLE = 10**6  # how many rows there are depends on how requests fell into turns


def record_at(directory: Path, offset: int) -> tuple[int, int]:
    """First and last sequence of a journal row; a negative offset counts from the end."""
    with closing(sqlite3.connect(directory / DATABASE)) as database:
        rows = database.execute("SELECT first_seq, last_seq FROM journal ORDER BY 2").fetchall()
    first_seq, last_seq = rows[len(rows) // 2 if offset == MIDDLE else offset]
    return first_seq, last_seq


@pytest.mark.parametrize("offset", [0, MIDDLE, -1], ids=["first", "middle", "last"])
def test_a_changed_byte_in_the_journal(data: Path, offset: int) -> None:
    """Also where a snapshot says how things stood afterwards."""
    first_seq, last_seq = record_at(data, offset)
    edit(data, f"UPDATE journal SET body = '[' || body WHERE last_seq = {last_seq}")
    before = (data / DATABASE).read_bytes()

    assert_refused(data, f"journal sequence {first_seq} to {last_seq}: the checksum")
    assert (data / DATABASE).read_bytes() == before


@pytest.mark.parametrize("offset", [0, MIDDLE], ids=["first", "middle"])
def test_a_missing_row_in_the_journal(data: Path, offset: int) -> None:
    first_seq, last_seq = record_at(data, offset)
    edit(data, f"DELETE FROM journal WHERE last_seq = {last_seq}")
    before = (data / DATABASE).read_bytes()

    assert_refused(data, f"journal sequence {first_seq}: missing; the next .* {last_seq + 1}")
    assert (data / DATABASE).read_bytes() == before


def test_missing_rows_at_the_end_of_the_journal(data: Path) -> None:
    """The rest adds up; but the high-water file says how far it had come."""
    first_seq, _ = record_at(data, MIDDLE)
    edit(data, f"DELETE FROM journal WHERE first_seq >= {first_seq}")

    ends = f"the journal ends at sequence {first_seq - 1}, but [0-9]+ was committed"
    assert_refused(data, f"{ends}.*--accept-loss {first_seq - 1}")


def cut_in_half(path: Path) -> None:
    with path.open("r+b") as file:
        file.truncate(path.stat().st_size // 8192 * 4096)


def cut_a_page(path: Path) -> None:
    with path.open("r+b") as file:
        file.truncate(path.stat().st_size - 4096)


def spoil_header(path: Path) -> None:
    path.write_bytes(b"hello" + path.read_bytes()[5:])


@pytest.mark.parametrize(
    ("damage", "expected"),
    [(cut_in_half, "malformed"), (cut_a_page, "malformed"), (spoil_header, "not a database")],
)
def test_a_database_file_that_was_cut_or_overwritten(
    data: Path, damage: Callable[[Path], None], expected: str
) -> None:
    damage(data / DATABASE)
    before = (data / DATABASE).read_bytes()

    assert_refused(data, f"{re.escape(str(data / DATABASE))}: .*{expected}")
    assert (data / DATABASE).read_bytes() == before


def test_a_page_of_the_journal_that_cannot_be_read(data: Path) -> None:
    """SQLite itself sees it; the sequence says how far the journal is whole."""
    with closing(sqlite3.connect(data / DATABASE)) as database:
        pages = database.execute(
            "SELECT pageno FROM dbstat WHERE name = 'journal' AND pagetype = 'leaf' ORDER BY path"
        ).fetchall() if has_dbstat(database) else []  # fmt: skip
    if not pages:
        pytest.skip("this SQLite cannot tell which page holds what")
    with (data / DATABASE).open("r+b") as file:
        file.seek((pages[len(pages) // 2][0] - 1) * 4096)
        file.write(b"\xff" * 64)

    assert_refused(data, r"journal sequence \d+: reading: database disk image is malformed")


def has_dbstat(database: sqlite3.Connection) -> bool:
    options = [row[0] for row in database.execute("PRAGMA compile_options")]
    return "ENABLE_DBSTAT_VTAB" in options


def test_a_database_of_a_newer_program(data: Path) -> None:
    with closing(sqlite3.connect(data / DATABASE)) as database:
        database.execute("PRAGMA user_version = 99")
    assert_refused(data, f"expected schema version {SCHEMA_VERSION}, was 99")


def test_a_broken_snapshot_is_ignored_and_the_journal_replayed(data: Path, tmp_path: Path) -> None:
    before = audit(data)
    edit(data, "UPDATE snapshots SET last = 'x' || last")
    with Driver(data, tmp_path / "out", "--clients", 0) as driver:
        driver.wait_for("started")
        assert driver.stop()[0] == 0
    after = audit(data)

    assert after.digest == after.refolded_digest and after.differences == []
    assert after.fold.state()["orders"] == before.fold.state()["orders"]
    log = (data / "logs" / "order_management.log").read_text()
    assert re.search("snapshot at journal sequence [0-9]+ ignored", log)


def test_the_second_of_two_writers_of_one_journal_is_stopped(tmp_path: Path) -> None:
    """A library user has no lock file; what both would number alike, one of them may write."""
    with (
        closing(PersistentStorage(tmp_path / DATABASE)) as first,
        closing(PersistentStorage(tmp_path / DATABASE)) as second,
    ):
        for store in (first, second):
            store.open()
        first.begin()
        first.append(JournalRecord(1, 3, 0, 0, "[]\n[]", 0), [])
        first.commit()

        # when the other one, which has not seen this, numbers its turn like the first
        second.begin()
        with pytest.raises(StoreError, match=r"UNIQUE constraint failed: journal\.first_seq"):
            second.append(JournalRecord(1, 2, 0, 0, "[]", 0), [])
        second.rollback()

        assert [record.last_seq for record in second.records()] == [3]


# --- what a killed daemon had told, and its files have lost ---


@pytest.fixture
def killed(tmp_path: Path) -> tuple[Path, int]:
    """A directory whose daemon was killed under load, and the last sequence that it told."""
    directory = tmp_path / "data"
    with Driver(directory, tmp_path / "out", store={"durability": "full"}) as driver:
        wait_until(lambda: len(driver.lines("R")) > 1_000)
        driver.kill()
        rows = driver.lines("R")
    return directory, max(row[2 + ROW_COLUMNS.index("journal_seq")] for row in rows)


@pytest.mark.parametrize("lost", ["a bit of the log", "the log", "the database"])
def test_a_daemon_that_was_killed_and_lost_a_tail_is_not_started(
    killed: tuple[Path, int], lost: str
) -> None:
    """Both numbers are told; accepted explicitly, it goes on above all that was shown."""
    directory, told_seq = killed
    database = directory / DATABASE
    log = directory / f"{DATABASE}-wal"
    if lost == "a bit of the log":
        content = bytearray(log.read_bytes())
        content[len(content) // 3] ^= 1
        log.write_bytes(content)
    else:
        (log if lost == "the log" else database).unlink()

    # then the start is refused, and so is `verify`
    ended = run_daemon(directory)
    assert ended.returncode == 2
    promised = re.search("([0-9]+)( was committed|: put)", ended.stderr)
    assert promised and int(promised[1]) >= told_seq
    accepted = ended.stderr.split()[-1]
    if lost != "the database":
        assert command(directory, "verify").returncode != 0

    # and when the loss is accepted, an order manager starts above all numbers that were told
    done = command(directory, "operator", "halt", "--accept-loss", accepted)
    assert done.returncode == 0, done.stderr
    assert command(directory, "verify").returncode == 0
    last = json.loads(command(directory, "export").stdout.splitlines()[-1])
    assert last["seq"] > told_seq


def command(directory: Path, *words: str) -> "subprocess.CompletedProcess[str]":
    done = subprocess.run(
        [sys.executable, str(PROGRAM), *words, "--data-dir", str(directory)],
        capture_output=True, text=True, timeout=START_S_MAX,
    )  # fmt: skip
    done.stderr = after_place(done.stderr)
    return done


# --- places that cannot be used ---


@pytest.fixture
def mount(tmp_path: Path) -> Iterator[Callable[[str], Path]]:
    """Mounts a tmpfs with the given options."""
    path = tmp_path / "mounted"
    path.mkdir()
    mounted = []

    def mount_it(options: str) -> Path:
        if shutil.which("mount") is None:
            pytest.skip("mount is not installed")
        command = ["mount", "-t", "tmpfs", "-o", options, "oms-test", str(path)]
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode:
            pytest.skip(f"cannot mount a tmpfs: {done.stderr.strip()}")
        mounted.append(path)
        return path

    yield mount_it
    for place in mounted:
        subprocess.run(["umount", str(place)], check=True)


def test_a_read_only_file_system(mount: Callable[[str], Path]) -> None:
    place = mount("ro")
    assert_refused(place, "Read-only file system")
    assert_refused(place / "below", "Read-only file system")


def test_a_disk_that_is_full_from_the_start(mount: Callable[[str], Path]) -> None:
    place = mount("size=64k")
    assert_refused(place, "(full|No space left)")


def test_a_file_where_the_directory_should_be(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("here first")
    assert_refused(tmp_path / "file", "expected a directory")
    assert_refused(tmp_path / "file" / "below", "[Dd]irectory")


@pytest.mark.parametrize("name", [DATABASE, "logs", "order_management.lock"])
def test_something_else_where_a_file_should_be(tmp_path: Path, name: str) -> None:
    if name == "logs":
        (tmp_path / name).write_text("here first")
    else:
        (tmp_path / name).mkdir()
    assert_refused(tmp_path, re.escape(str(tmp_path / name)))
