"""One writer per database: a lock for as long as an order manager has it open.

The operating system holds the lock, so it ends with the process, however that ends. There are
two: of a file beside the database, which names the holder; and of the database file itself,
because a hard link gives it another name in another place.
"""

import os
from contextlib import suppress
from pathlib import Path
from typing import TextIO

from oms.errors import DataInUseError, StoreError

if os.name == "posix":
    import fcntl
else:
    import msvcrt

SUFFIX = ".lock"
LOCKS = Path("/proc/locks")  # Linux says there which process has locked which file

covered: dict[tuple[int, int], "DataLock"] = {}
"""By device and inode: what this process holds. Asked before a database file is opened a second
time: closing it again would take away the locks that SQLite has on it in this process."""


class DataLock:
    """Hold a database, by whatever name it is called.

    Raises DataInUseError, naming the process that has it; StoreError if the place is unusable.
    """

    def __init__(self, database: Path | str) -> None:
        self._named = Path(database)
        self.database = self._named.resolve()
        self.path = self.database.with_suffix(SUFFIX)
        self._key: tuple[int, int] | None = None
        self._descriptor = -1  # of the database
        self._file = self._beside()
        try:
            self.cover()
        except BaseException:
            self.release()
            raise

    def _beside(self) -> TextIO:
        """Lock the file beside the database. One that its holder has just removed is no lock."""
        while True:
            try:
                file = self.path.open("a+", encoding="ascii")
            except OSError as error:
                raise StoreError(f"{self.database}: cannot be used: {error}") from error
            try:
                _lock(file.fileno())
            except OSError as error:
                file.seek(0)
                owner = file.read().strip() or "unknown"
                file.close()
                raise self._in_use(owner) from error
            with suppress(FileNotFoundError):
                if os.path.samestat(os.fstat(file.fileno()), self.path.stat()):
                    break
            file.close()
        file.truncate(0)
        file.write(f"{os.getpid()}\n")
        file.flush()
        return file

    def cover(self) -> None:
        """Lock the database file, too, once there is one. Safe to repeat."""
        if self._key is not None or os.name != "posix" or not self.database.exists():
            return
        found = self.database.stat()
        key = found.st_dev, found.st_ino
        if covered.setdefault(key, self) is not self:
            raise self._in_use(str(os.getpid()))
        self._key = key
        try:
            self._descriptor = os.open(self.database, os.O_RDONLY)
            _lock(self._descriptor)
        except BlockingIOError as error:
            raise self._in_use(_holder(found.st_ino)) from error
        except OSError as error:
            raise StoreError(f"{self.database}: cannot be used: {error}") from error

    def _in_use(self, owner: str) -> DataInUseError:
        return DataInUseError(f"{self._named.parent}: in use by process {owner}")

    def release(self) -> None:
        """Safe to repeat."""
        if self._file.closed:
            return
        if self._key is not None:
            del covered[self._key]
        if self._descriptor >= 0:
            os.close(self._descriptor)
        with suppress(OSError):  # Windows removes no open file; the next start uses it again
            self.path.unlink()
        self._file.close()

    def __enter__(self) -> "DataLock":
        return self

    def __exit__(self, *_: object) -> None:
        self.release()


def held_by(database: Path) -> int | None:
    """The process that holds a database; None if nobody does."""
    path = database.resolve().with_suffix(SUFFIX)
    try:
        with path.open("r+", encoding="ascii") as file:
            try:
                _lock(file.fileno())
            except OSError:
                return int(file.read().strip() or 0)
            return None
    except FileNotFoundError:
        return None


def _holder(inode: int) -> str:
    """The process that has locked a file, where the system tells."""
    with suppress(OSError):
        for line in LOCKS.read_text(encoding="ascii").splitlines():
            words = line.split()
            if words[1] == "FLOCK" and words[-3].rpartition(":")[2] == str(inode):
                return words[-4]
    return "unknown"


def _lock(descriptor: int) -> None:
    if os.name == "posix":
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    else:
        msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)  # type: ignore[attr-defined]
