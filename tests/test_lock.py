"""The lock of a data directory: one process, and whoever asks is told which."""

import os

import pytest

from oms.errors import DataInUseError
from oms.stores.lock import LOCK_NAME, DataLock, held_by


def test_a_directory_is_held_once(tmp_path):
    """The second is told who has it; when that one lets go, the next may."""
    with DataLock(tmp_path):
        assert held_by(tmp_path) == os.getpid()
        with pytest.raises(DataInUseError, match=f"in use by process {os.getpid()}"):
            DataLock(tmp_path)
    assert held_by(tmp_path) is None
    DataLock(tmp_path).release()


def test_a_file_left_behind_is_no_lock(tmp_path):
    """A killed process leaves the file; the operating system took the lock back."""
    (tmp_path / LOCK_NAME).write_text("4711\n")
    assert held_by(tmp_path) is None
    with DataLock(tmp_path):
        assert (tmp_path / LOCK_NAME).read_text() == f"{os.getpid()}\n"


def test_a_directory_that_nobody_ever_held(tmp_path):
    """Asking leaves no file."""
    assert held_by(tmp_path) is None
    assert list(tmp_path.iterdir()) == []
