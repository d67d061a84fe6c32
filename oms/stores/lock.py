"""One process per data directory: a lock file, held for as long as the process lives."""

import os
from pathlib import Path
from types import TracebackType

from oms.errors import DataInUseError

if os.name == "posix":
    import fcntl
else:
    import msvcrt

LOCK_NAME = "order_management.lock"


class DataLock:
    """Hold the lock of a directory; the operating system lets go of it if we die.

    Raises DataInUseError, naming the process that has it.
    """

    def __init__(self, directory: Path) -> None:
        self.path = directory / LOCK_NAME
        self._file = self.path.open("a+", encoding="ascii")
        try:
            _lock(self._file.fileno())
        except OSError as error:
            self._file.seek(0)
            owner = self._file.read().strip() or "unknown"
            self._file.close()
            raise DataInUseError(f"{directory}: in use by process {owner}") from error
        self._file.truncate(0)
        self._file.write(f"{os.getpid()}\n")
        self._file.flush()

    def release(self) -> None:
        self._file.close()

    def __enter__(self) -> "DataLock":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.release()


def held_by(directory: Path) -> int | None:
    """The process that holds a directory's lock; None if nobody does."""
    path = directory / LOCK_NAME
    try:
        with path.open("r+", encoding="ascii") as file:
            try:
                _lock(file.fileno())
            except OSError:
                return int(file.read().strip() or 0)
            return None
    except FileNotFoundError:
        return None


def _lock(descriptor: int) -> None:
    if os.name == "posix":
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    else:
        msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)  # type: ignore[attr-defined]
