"""The high-water file: how far the journal had come, said outside the database.

Flow:  COMMIT -> [high water] -> publish; start: [high water] -> is anything missing?
A database that lost its end, or is an older copy, is as sound as any other; only something
beside it can tell. After kill -9 the file says exactly what was committed and published. It is
synced every SYNC_TURNS turns, so after a power loss it may be so many turns behind, never ahead.
"""

import logging
import os
import struct
import zlib
from io import FileIO
from pathlib import Path
from typing import NamedTuple

from oms.errors import JournalError
from oms.stores.write_ahead_log import LogEnd, log_bytes, log_path, read_end

log = logging.getLogger(__name__)

SYNC_TURNS = 100
# Two slots, a page apart, are written in turns: a write that is torn leaves the one before.
SLOT = struct.Struct("<8sQI36s")  # what it is, sequence, chain checksum, boot id; then a CRC-32
CRC = struct.Struct("<I")
WHAT = b"OMSHIGH1"
SLOT_BYTES, SLOTS_AT = SLOT.size + CRC.size, (0, 4096)
BOOT_ID_PATH = Path("/proc/sys/kernel/random/boot_id")
_sync = getattr(os, "fdatasync", os.fsync)


class Mark(NamedTuple):
    """The last turn that was committed, its checksum, and the boot of the machine then ("" where
    the system does not tell)."""

    seq: int
    checksum: int
    boot: str = ""


class JournalEnd(NamedTuple):
    """Where the journal ends, and the checksum of the record that a mark is about; None if it
    does not have that record."""

    seq: int
    checksum: int
    marked: int | None


class Loss(NamedTuple):
    """Entries that are missing, and that the order manager goes on without: after `ended_seq`,
    up to `promised_seq`."""

    ended_seq: int
    promised_seq: int


class HighWater:
    """The file of one database. Raises JournalError if it cannot be read, OSError."""

    def __init__(self, database: Path) -> None:
        self.path = database.with_name(f"{database.name}-high")
        self._file: FileIO | None = None
        self._turns = 0
        self._boot = b""

    def read(self) -> Mark | None:
        """The latest mark; None if there is no such file. Any process may ask."""
        marks = self._marks()
        if not marks:
            return None
        sound = [mark for mark in marks if mark is not None]
        if not sound:
            raise JournalError(f"{self.path}: damaged: no record in it matches its checksum")
        return max(sound)

    def _marks(self) -> list[Mark | None]:
        """What is in each slot, None if it is torn; no slots if there is no file."""
        try:
            content = self.path.read_bytes()
        except FileNotFoundError:
            return []
        return [_mark_in(content[at : at + SLOT_BYTES]) for at in SLOTS_AT]

    def open(self, end: JournalEnd) -> None:
        """Get ready to write; a file that is missing or damaged begins with the journal's end."""
        self._boot = boot_id().encode()
        marks = self._marks()
        if not any(marks):
            self._create(end)
        # The next write goes to the slot that is not the newest.
        self._turns = marks.index(max(filter(None, marks))) if any(marks) else 0
        self._file = FileIO(self.path, "r+")

    def promise(self, seq: int) -> None:
        """Say that a journal had come so far, though the database may not have it any more. What
        the file says already is never lowered."""
        sound = [mark for mark in self._marks() if mark is not None]
        if seq and (not sound or max(sound).seq < seq):
            self._boot = boot_id().encode()
            self._create(JournalEnd(seq, 0, None))

    def _create(self, end: JournalEnd) -> None:
        """Written aside and renamed: it is whole, or not there."""
        beside = self.path.with_name(f"{self.path.name}.new")
        record = self._record(end.seq, end.checksum)
        with beside.open("wb") as file:
            file.write(record.ljust(SLOTS_AT[1], b"\0") + record)
            file.flush()
            os.fsync(file.fileno())
        beside.replace(self.path)

    def _record(self, seq: int, checksum: int) -> bytes:
        record = SLOT.pack(WHAT, seq, checksum, self._boot)
        return record + CRC.pack(zlib.crc32(record))

    def write(self, seq: int, checksum: int) -> None:
        """This turn is committed."""
        assert self._file is not None
        self._turns += 1
        _write_at(self._file, self._record(seq, checksum), SLOTS_AT[self._turns & 1])
        if not self._turns % SYNC_TURNS:
            _sync(self._file.fileno())

    def close(self) -> None:
        file, self._file = self._file, None
        if file is not None:
            with file:
                _sync(file.fileno())


def _write_at(file: FileIO, record: bytes, at: int) -> None:
    if hasattr(os, "pwrite"):
        os.pwrite(file.fileno(), record, at)
    else:
        file.seek(at)
        file.write(record)


def boot_id() -> str:
    """Another one after each boot of the machine; "" where the system does not tell."""
    try:
        return BOOT_ID_PATH.read_text(encoding="ascii").strip()
    except OSError:
        return ""


def _mark_in(slot: bytes) -> Mark | None:
    if len(slot) < SLOT_BYTES or CRC.unpack_from(slot, SLOT.size)[0] != zlib.crc32(slot[:-4]):
        return None
    what, seq, checksum, boot = SLOT.unpack_from(slot)
    return Mark(seq, checksum, boot.rstrip(b"\0").decode("ascii")) if what == WHAT else None


# --- is anything missing? ---


def is_empty(database: Path) -> bool:
    """There is no database yet, or one that has nothing in it."""
    return not database.exists() or (database.is_file() and not database.stat().st_size)


def remains_of(database: Path, mark: Mark | None) -> list[str]:
    """The files that a database left behind which is gone itself."""
    shared = database.with_name(f"{database.name}-shm")
    found = [log_path(database)] if log_bytes(database) else []
    found += [shared] if shared.exists() else []
    # Made before the first turn was: then nothing is missing.
    found += [HighWater(database).path] if mark is not None and mark.seq else []
    return [path.name for path in found]


def shortfall(mark: Mark | None, end: JournalEnd) -> str:
    """What a journal lacks that a mark says was committed; "" if it lacks nothing."""
    if mark is None or mark.seq == 0:
        return ""
    if end.seq < mark.seq:
        return f"the journal ends at sequence {end.seq}, but {mark.seq} was committed"
    if end.marked is None:
        return f"no turn of the journal ends at sequence {mark.seq}, which was committed"
    if end.marked != mark.checksum:
        return (
            f"the journal, which ends at sequence {end.seq}, is another one: at sequence "
            f"{mark.seq} its checksum is {end.marked}, but {mark.checksum} was committed"
        )
    return ""


def damage(log_end: LogEnd, end: JournalEnd) -> str:
    """What cannot be read of the write-ahead log although it was whole; "" for none."""
    if log_end.transactions < 2:  # the last one may have been cut short
        return ""
    return (
        f"the write-ahead log is damaged: the journal ends at sequence {end.seq}, and "
        f"{log_end.transactions} transactions after that cannot be read"
    )


def loss_of(
    database: Path, mark: Mark | None, end: JournalEnd, accept_loss: int | None, *, synced: bool
) -> Loss | None:
    """What is missing and the start goes on without; None if nothing is.

    accept_loss: the sequence that the operator has accepted as the journal's end. synced: each
    commit is; if not, a power loss may take some turns, and costs a warning. Raises JournalError
    if something is missing that nobody has accepted.
    """
    log_end = read_end(database)
    missing = shortfall(mark, end) or damage(log_end, end)
    if not missing:
        if log_end.damaged:
            log.warning("the write-ahead log ends in a transaction cut short: it is left out")
        if accept_loss is not None:
            log.warning("nothing is missing, so no loss of entries after %d", accept_loss)
        return None
    promised_seq = max(end.seq, mark.seq if mark is not None else 0)
    if accept_loss == end.seq or (not synced and _power_was_lost(mark, end)):
        log.warning("%s; going on without what is missing", missing)
        return Loss(end.seq, promised_seq)
    raise JournalError(
        f"{database}: {missing}; use a newer copy, or go on without what is missing: "
        f"--accept-loss {end.seq}"
    )


def _power_was_lost(mark: Mark | None, end: JournalEnd) -> bool:
    """The machine was booted since, and the journal is the same one, only shorter."""
    if mark is None or (end.seq >= mark.seq and shortfall(mark, end)):
        return False
    now = boot_id()
    return bool(mark.boot and now and mark.boot != now)
