"""SQLite's write-ahead log, read by ourselves: does its end look as a crash leaves it?

SQLite reads the log up to the first frame whose checksum is wrong, and drops the rest without a
word. That is right for a transaction that was cut short, and wrong for a damaged byte in the
middle. So this looks first; the format is that of "WAL-mode File Format" in SQLite's manual.
A log is some megabytes: about 90 ms for 4 MB.
"""

import struct
from pathlib import Path
from typing import NamedTuple

HEADER = struct.Struct(">IIIIIIII")  # magic, version, page size, checkpoint, 2 salts, 2 checksums
FRAME = struct.Struct(">IIIIII")  # page, pages of the database or 0, 2 salts, 2 checksums
MAGIC = 0x377F0682  # and 1 more if checksums read their words with the high byte first
VERSION = 3_007_000
PAGE_BYTES_MIN, PAGE_BYTES_MAX = 512, 65_536
MASK = 0xFFFFFFFF

Checksum = tuple[int, int]


class LogEnd(NamedTuple):
    """How far a log can be read. frames: up to the last whole transaction, as SQLite counts.

    damaged: frames of this log were written after that and do not match their checksums.
    transactions: how many ends of transactions are among what cannot be read. A crash can
    cut one short, the last; more than one were whole before.
    """

    frames: int
    damaged: bool
    transactions: int


EMPTY = LogEnd(0, False, 0)


def log_path(database: Path) -> Path:
    return database.with_name(f"{database.name}-wal")


def log_bytes(database: Path) -> int:
    """The size of a database's log; 0 if there is none: then it was closed in order."""
    try:
        return log_path(database).stat().st_size
    except FileNotFoundError:
        return 0


def read_end(database: Path) -> LogEnd:
    """Look at a database's log; nothing is changed."""
    if log_bytes(database) < HEADER.size + FRAME.size:
        return EMPTY
    with log_path(database).open("rb") as file:
        head = file.read(HEADER.size)
        magic, version, page_bytes, _, *salts, sum_1, sum_2 = HEADER.unpack(head)
        order = ">" if magic & 1 else "<"
        running = _added((0, 0), head[:24], order)
        whole = (
            magic & ~1 == MAGIC and version == VERSION and running == (sum_1, sum_2)
            and PAGE_BYTES_MIN <= page_bytes <= PAGE_BYTES_MAX and not page_bytes & (page_bytes - 1)
        )  # fmt: skip
        if not whole:
            return _unreadable(file.read())
        count = committed = lost = 0
        sound, damaged = True, False
        while len(frame := file.read(FRAME.size + page_bytes)) == FRAME.size + page_bytes:
            _page, pages, *frame_salts, sum_1, sum_2 = FRAME.unpack_from(frame)
            ours = frame_salts == salts  # else it is left from before the log was begun anew
            if sound:
                running = _added(_added(running, frame[:8], order), frame[FRAME.size :], order)
                sound = ours and running == (sum_1, sum_2)
            count += 1
            if sound and pages:
                committed = count
            elif not sound and ours:
                damaged = True
                lost += pages != 0
    return LogEnd(committed, damaged, lost)


def _unreadable(rest: bytes) -> LogEnd:
    """Without a sound header SQLite reads nothing of the log; how much was in it, if the pages
    have the usual size."""
    size = FRAME.size + 4_096
    frames = [FRAME.unpack_from(rest, at) for at in range(0, len(rest) - size + 1, size)]
    lost = sum(frame[1] != 0 and frame[2:4] == frames[0][2:4] for frame in frames)
    return LogEnd(0, True, lost)


def _added(running: Checksum, content: bytes, order: str) -> Checksum:
    """The checksum that goes on with these bytes, eight at a time."""
    first, second = running
    words = iter(struct.unpack(f"{order}{len(content) // 4}I", content))
    for one, other in zip(words, words, strict=True):
        first = (first + one + second) & MASK
        second = (second + other + first) & MASK
    return first, second
