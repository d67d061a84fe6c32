"""Private: a database, and the files that SQLite puts beside it, are for their owner alone.

They hold users' hashes, what everybody owns and asked for. SQLite gives the files beside a database
the mode that the database has, so it is made before SQLite makes it; one that an older program
made is given its mode at the next start. A group of the system may be allowed to read. What
commands write out of a database is as private as it is.
"""

import os
from contextlib import suppress
from pathlib import Path

from oms.errors import StoreError

OWNER, WITH_GROUP = 0o600, 0o640
BESIDE = ("", "-wal", "-shm")


def keep_private(database: Path, group: str, *, create: bool = False) -> None:
    """Give all three files, as far as they are there, to their owner alone, and to `group` to read
    if one is named. create: an empty database, if there is none. Nothing to do but on POSIX.

    Raises StoreError if that cannot be, OSError if the place cannot be used.
    """
    if os.name != "posix":
        return
    database = database.resolve()
    if create:
        with suppress(FileExistsError):
            os.close(os.open(database, os.O_RDWR | os.O_CREAT | os.O_EXCL, OWNER))
    group_id = _id_of(group) if group else -1
    for suffix in BESIDE:
        path = database.with_name(database.name + suffix)
        with suppress(FileNotFoundError):  # SQLite has just removed it
            _keep(path, group, group_id)


def private_file(path: Path, group: str) -> None:
    """Make an empty file, if there is none, with the mode of the database; one that is there gets
    that mode. What is no plain file, such as a pipe or /dev/stdout, stays as it is.

    Raises StoreError, OSError as `keep_private`.
    """
    if os.name != "posix":
        return
    if not path.exists():
        os.close(os.open(path, os.O_WRONLY | os.O_CREAT, OWNER))
    if path.is_file():
        _keep(path, group, _id_of(group) if group else -1)


def _keep(path: Path, group: str, group_id: int) -> None:
    found, wanted = path.stat(), WITH_GROUP if group else OWNER
    mode = found.st_mode & 0o777
    try:
        if group and found.st_gid != group_id:
            os.chown(path, -1, group_id)
        if mode & 0o177 & ~wanted or mode & wanted != wanted:
            path.chmod(wanted)
    except PermissionError as error:
        whom = f"and readable by the group {group}" if group else "alone"
        raise StoreError(
            f"{path}: expected to be its owner's {whom} (mode {wanted:o}), was {mode:o}, which "
            f"cannot be changed: {error.strerror}"
        ) from None


def _id_of(group: str) -> int:
    import grp  # only where there are such groups

    try:
        return grp.getgrnam(group).gr_gid
    except KeyError:
        raise StoreError(
            f"[store] group: expected a group of this system, was {group!r}"
        ) from None  # fmt: skip
