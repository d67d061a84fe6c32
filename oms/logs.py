"""Logging that never stalls an order: records go through a queue to one writer thread.

Flow:  any thread -> bounded queue -> [LogWriter on oms-log] -> logs/order_management.log, stdout
A full queue drops the record and counts it; the count is logged when there is room again.
"""

import json
import logging
import logging.handlers
import os
import sys
import threading
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import TextIO

from oms.clock import datetime_of
from oms.config import LogConfig

QUEUE_MAX = 100_000
WAIT_S_MAX = 1.0
WRITTEN_MAX = 1_000  # records at once
# How long records gather until they are written together. The writer shares the interpreter with
# the dispatcher: woken for each record it cost a small turn as much as the turn's orders did.
GATHER_S = 0.05
UNWRITABLE = "backslashreplace"  # what has no place in an encoding is shown as \u20ac
TEXT_FORMAT = "%(asctime)s %(levelname)-8s %(threadName)-12s %(name)s: %(message)s"


class TextFormatter(logging.Formatter):
    """A line of text; the second that it begins with is put into words once."""

    def __init__(self) -> None:
        super().__init__(TEXT_FORMAT)
        self._second, self._text = -1, ""

    def formatTime(self, record: logging.LogRecord, _format: str | None = None) -> str:  # noqa: N802
        second = int(record.created)
        if second != self._second:
            self._second, self._text = second, super().formatTime(record).rpartition(",")[0]
        return f"{self._text},{int(record.msecs):03d}"


class JsonFormatter(logging.Formatter):
    """One JSON object a line; an order's ids, where the record carries them, as fields."""

    def format(self, record: logging.LogRecord) -> str:
        fields = {
            "time": datetime_of(round(record.created * 1e6) * 1000).isoformat(),
            "level": record.levelname,
            "thread": record.threadName,
            "logger": record.name,
            "message": record.getMessage(),
        }
        for key in ("order_id", "account", "client_order_id", "journal_seq"):
            value = getattr(record, key, None)
            if value is not None:
                fields[key] = value
        if record.exc_info:
            fields["error"] = self.formatException(record.exc_info)
        return json.dumps(fields)


class BoundedHandler(logging.Handler):
    """Puts records where the writer takes them; never waits."""

    def __init__(self) -> None:
        super().__init__()
        self.records: deque[logging.LogRecord] = deque()
        self.filled, self.hurried = threading.Event(), threading.Event()
        self.dropped = 0

    def emit(self, record: logging.LogRecord) -> None:
        if len(self.records) >= QUEUE_MAX:
            self.dropped += 1
            return
        self.records.append(record)
        if record.levelno >= logging.WARNING:
            self.hurried.set()
        if not self.filled.is_set():
            self.filled.set()


class LogFile(logging.handlers.RotatingFileHandler):
    """The file: `maxBytes` and the line that passes it, then a new one."""

    told = False  # that it cannot be written

    def write(self, lines: Sequence[str]) -> None:
        """All lines, with as few writes as there are files. Raises OSError; where no new file could
        be begun all lines are in the old one."""
        stream = self.stream = self.stream or self._open()  # none: the last one was not opened
        failure: OSError | None = None
        size, begin = stream.tell(), 0
        for end, line in enumerate(lines, 1):
            size += len(line) if line.isascii() else len(line.encode(errors=UNWRITABLE))
            if size >= self.maxBytes and failure is None:
                _put(stream, lines[begin:end])
                try:
                    self.doRollover()
                except OSError as error:
                    self.stream, failure = self._open(), error
                stream, size, begin = self.stream, 0, end
        _put(stream, lines[begin:])
        if failure is not None:
            raise failure


class LogWriter:
    """The job that formats and writes; a console that fails does not stop the file, nor the other
    way round."""

    def __init__(self, config: LogConfig, directory: Path, console: TextIO | None = None) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        self.path = directory / "order_management.log"
        self._file = LogFile(
            self.path, maxBytes=config.rotate_bytes, backupCount=config.rotate_files,
            encoding="utf-8",
        )  # fmt: skip
        self._console = console
        self._formatter = JsonFormatter() if config.json else TextFormatter()
        self._bounded = BoundedHandler()
        self._reported = 0
        self._root = logging.getLogger("oms")
        self._before = self._root.level, self._root.propagate
        self._root.setLevel(config.level)
        self._root.propagate = False
        self._root.addHandler(self._bounded)

    def step(self) -> None:
        """Wait for a record, and until others have gathered; write them all. A warning, and what is
        before it, is written at once."""
        bounded = self._bounded
        if not bounded.filled.wait(WAIT_S_MAX):
            return
        bounded.hurried.wait(GATHER_S)
        bounded.hurried.clear()
        bounded.filled.clear()  # first: what comes from here on sets it again
        self._write_all()
        if bounded.dropped > self._reported:
            self._reported = bounded.dropped
            self._root.warning(
                "log records dropped because the log queue was full: %d", self._reported
            )

    def finish(self) -> None:
        self._root.removeHandler(self._bounded)
        level, self._root.propagate = self._before
        self._root.setLevel(level)
        while self._bounded.records:  # a thread may have been about to put one there
            self._write_all()
        with suppress(OSError):  # on a full disk the last lines are lost, the stop is not
            self._file.close()

    def wake(self) -> None:
        self._bounded.hurried.set()
        self._bounded.filled.set()

    def _write_all(self) -> None:
        """All that are there; not those that come meanwhile: they may never end."""
        records = self._bounded.records
        for left in range(len(records), 0, -WRITTEN_MAX):
            some = [records.popleft() for _ in range(min(WRITTEN_MAX, left))]
            self._write([self._line(record) for record in some])

    def _line(self, record: logging.LogRecord) -> str:
        try:
            return f"{self._formatter.format(record)}\n"
        except Exception as error:  # whoever logged it made a mistake: the log goes on
            return self._own("a record of %s cannot be put into words: %r", record.name, error)

    def _write(self, lines: Sequence[str]) -> None:
        try:
            self._file.write(lines)
            self._file.told = False
        except (OSError, ValueError) as error:
            if not self._file.told:  # one line for all until it can be written again
                self._file.told = True
                with suppress(OSError, ValueError):
                    sys.stderr.write(f"order_management: log not written: {error}\n")
        console = self._console
        if console is None:
            return
        try:
            _put(console, lines)
        except (OSError, ValueError) as error:  # whoever read it has gone, for good
            self._console = None
            _to_nowhere(console)
            self._write([self._own("console: %s; it gets no more lines", error)])

    def _own(self, text: str, *given: object) -> str:
        """A line of the writer. Not by way of the records: a stop may have closed it."""
        where = __file__, 0
        record = self._root.makeRecord(__name__, logging.WARNING, *where, text, given, None)
        return f"{self._formatter.format(record)}\n"


def _put(stream: TextIO, lines: Sequence[str]) -> None:
    text = "".join(lines)
    if not text.isascii():  # a console may be in another encoding; half of a pair has no UTF-8
        encoding = stream.encoding or "utf-8"
        text = text.encode(encoding, UNWRITABLE).decode(encoding)
    stream.write(text)
    stream.flush()


def _to_nowhere(stream: TextIO) -> None:
    """What is buffered still, and flushed at the exit, must not fail again."""
    with suppress(OSError, ValueError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, stream.fileno())
        os.close(nowhere)
