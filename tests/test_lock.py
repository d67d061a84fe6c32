"""The lock of a database: one writer, by whatever name, and the second is told who it is."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from oms import OrderManagement, PersistentStorage
from oms.errors import DataInUseError, StoreError
from oms.stores.lock import DataLock, held_by
from tests.fakes import SOON_S, buy, config_of

DATABASE = "order_management.db"
HOLD = """
import sys
from oms.stores.lock import DataLock
with DataLock(sys.argv[1]):
    print("held", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def database(tmp_path):
    path = tmp_path / "data" / DATABASE
    path.parent.mkdir()
    return path


def names_of(path, tmp_path):
    """Other names of a file that is there."""
    relative = Path(os.path.relpath(path))
    by_file, by_directory = tmp_path / "file.db", tmp_path / "directory"
    by_file.symlink_to(path)
    by_directory.symlink_to(path.parent)
    hard = tmp_path / "hard" / "other.db"
    hard.parent.mkdir()
    hard.hardlink_to(path)
    return [path, relative, path.parent / ".." / "data" / DATABASE, by_file,
            by_directory / DATABASE, hard]  # fmt: skip


def test_a_database_is_held_once(database):
    """The second is told who has it; when that one lets go, the next may."""
    with DataLock(database) as lock:
        assert held_by(database) == os.getpid()
        assert lock.path.read_text() == f"{os.getpid()}\n"
        with pytest.raises(DataInUseError, match=f"in use by process {os.getpid()}"):
            DataLock(database)
    assert held_by(database) is None
    assert list(database.parent.iterdir()) == []
    DataLock(database).release()


def test_a_file_left_behind_is_no_lock(database):
    """A killed process leaves the file; the operating system took the lock back."""
    database.with_suffix(".lock").write_text("4711\n")
    assert held_by(database) is None
    with DataLock(database) as lock:
        assert lock.path.read_text() == f"{os.getpid()}\n"


def test_a_database_that_nobody_ever_held(database):
    """Asking leaves no file."""
    assert held_by(database) is None
    assert list(database.parent.iterdir()) == []


def test_a_place_that_is_not_there_is_one_clear_error(tmp_path):
    with pytest.raises(StoreError, match="cannot be used"):
        DataLock(tmp_path / "nowhere" / DATABASE)


def test_another_process_is_named_by_every_name_of_the_file(database, tmp_path):
    """Two names, links, absolute paths: it is the file that is locked."""
    # given a process that holds a database
    database.touch()
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, database], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as holder:
        assert holder.stdout.readline() == b"held\n"

        # when this one tries, by one name after the other
        for name in names_of(database, tmp_path):
            with pytest.raises(DataInUseError, match=f"in use by process {holder.pid}"):
                DataLock(name)
        holder.stdin.close()
        assert holder.wait(SOON_S) == 0

    # then, once that one has ended, it may
    DataLock(database).release()


def test_the_library_takes_the_lock_too(database, tmp_path):
    """For every store with a file; the second is refused at its start, and loses nothing."""
    # given an order manager with a database that it made
    first = OrderManagement(config_of(), directory=database.parent)
    first.start()
    first.submit(buy("A", 1, 100)).result(SOON_S)

    # when another one is started on the same file, by any name
    for name in names_of(database, tmp_path):
        second = OrderManagement(config_of(), store=PersistentStorage(name))
        with pytest.raises(DataInUseError, match=f"in use by process {os.getpid()}"):
            second.start()
        assert second.get_status()["health"] == "stopped"

    # then the first goes on, and once it has stopped the second may start
    first.submit(buy("B", 1, 100)).result(SOON_S)
    first.stop()
    second = OrderManagement(config_of(), directory=database.parent)
    second.start()
    assert [r.client_order_id for r in second.open_orders("me")] == ["A", "B"]
    second.stop()
    assert held_by(database) is None


def test_a_start_that_fails_lets_go(database):
    """The store refuses; the lock is not kept from the one who mends it."""
    database.write_bytes(b"no database" * 1_000)
    with pytest.raises(StoreError):
        OrderManagement(config_of(), directory=database.parent).start()
    assert held_by(database) is None
    DataLock(database).release()
