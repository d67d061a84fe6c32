"""Logging that never stalls an order: records go through a queue to one writer thread.

Flow:  any thread -> bounded queue -> [LogWriter on oms-log] -> logs/order_management.log, stdout
A full queue drops the record and counts it; the count is logged when there is room again.
"""

import json
import logging
import logging.handlers
import os
import queue
import sys
from contextlib import suppress
from pathlib import Path
from typing import TextIO

from oms.clock import datetime_of
from oms.config import LogConfig

QUEUE_MAX = 100_000
WAIT_S_MAX = 1.0
TEXT_FORMAT = "%(asctime)s %(levelname)-8s %(threadName)-12s %(name)s: %(message)s"
Records = queue.Queue[logging.LogRecord | None]


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
    """Puts records into the queue; never waits."""

    def __init__(self, records: Records) -> None:
        super().__init__()
        self._records = records
        self.dropped = 0

    def emit(self, record: logging.LogRecord) -> None:
        try:
            self._records.put_nowait(record)
        except queue.Full:
            self.dropped += 1


class Failing:
    """What a handler could not write, for its owner to tell in one line, not in a traceback for
    each record."""

    failure: BaseException | None = None
    told = False  # the failures since the last success are told

    def handleError(self, _record: logging.LogRecord) -> None:  # noqa: N802
        self.failure = sys.exc_info()[1]


class LogFile(Failing, logging.handlers.RotatingFileHandler):
    def shouldRollover(self, _record: logging.LogRecord) -> bool:  # noqa: N802
        """By what is written: only to know how long a record is, the base class formats it once
        more, half of what a line of the log costs."""
        return self.stream is not None and self.stream.tell() >= self.maxBytes


class Console(Failing, logging.StreamHandler):  # type: ignore[type-arg]
    pass


class LogWriter:
    """The job that formats and writes; a handler that fails does not stop the others."""

    def __init__(self, config: LogConfig, directory: Path, console: TextIO | None = None) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        self.path = directory / "order_management.log"
        self._records: Records = queue.Queue(QUEUE_MAX)
        self._handlers: list[LogFile | Console] = [
            LogFile(
                self.path,
                maxBytes=config.rotate_bytes,
                backupCount=config.rotate_files,
                encoding="utf-8",
            )
        ]
        if console is not None:
            self._handlers.append(Console(console))
        formatter = JsonFormatter() if config.json else logging.Formatter(TEXT_FORMAT)
        for handler in self._handlers:
            handler.setFormatter(formatter)
        self._bounded = BoundedHandler(self._records)
        self._reported = 0
        self._root = logging.getLogger("oms")
        self._before = self._root.level, self._root.propagate
        self._root.setLevel(config.level)
        self._root.propagate = False
        self._root.addHandler(self._bounded)

    def step(self) -> None:
        """Write one record, or wait for one."""
        try:
            record = self._records.get(timeout=WAIT_S_MAX)
        except queue.Empty:
            return
        self._write(record)
        dropped = self._bounded.dropped
        if dropped > self._reported and self._records.empty():
            self._reported = dropped
            self._root.warning("log records dropped because the log queue was full: %d", dropped)

    def finish(self) -> None:
        self._root.removeHandler(self._bounded)
        level, self._root.propagate = self._before
        self._root.setLevel(level)
        while not self._records.empty():
            self._write(self._records.get_nowait())
        for handler in self._handlers:
            with suppress(OSError):  # on a full disk the last lines are lost, the stop is not
                handler.close()

    def wake(self) -> None:
        try:
            self._records.put_nowait(None)
        except queue.Full:
            return  # full means that the writer is not waiting

    def _write(self, record: logging.LogRecord | None) -> None:
        if record is None:
            return
        for handler in tuple(self._handlers):
            handler.failure = None
            handler.handle(record)
            if handler.failure is None:
                handler.told = False
            elif not handler.told:
                handler.told = True
                self._tell(handler, handler.failure)

    def _tell(self, handler: "LogFile | Console", failure: BaseException) -> None:
        """One line, where it can be read: of the console in the log, of the log on stderr."""
        if isinstance(handler, LogFile):
            with suppress(OSError, ValueError):
                sys.stderr.write(f"order_management: log not written: {failure}\n")
            return
        self._handlers.remove(handler)  # whoever read it has gone, for good
        _to_nowhere(handler.stream)
        # Not by way of the queue: a stop may have closed it.
        text, where = "console: %s; it gets no more lines", (__file__, 0)
        self._write(
            self._root.makeRecord(__name__, logging.WARNING, *where, text, (failure,), None)
        )


def _to_nowhere(stream: TextIO) -> None:
    """What is buffered still, and flushed at the exit, must not fail again."""
    with suppress(OSError, ValueError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, stream.fileno())
        os.close(nowhere)
