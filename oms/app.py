"""The daemon: lock, logs, manager, gateway, signals; until it is told to stop or a thread dies.

Owner: MainThread. It waits on one event and touches no lock and no database, so a signal is
seen within milliseconds whatever the other threads do.
"""

import gc
import json
import logging
import os
import signal
import socket
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from types import FrameType
from typing import Any, TextIO

from oms.config import Config
from oms.errors import ConfigError, GatewayError, StoppedError
from oms.gateways.control import ControlGateway
from oms.logs import LogWriter
from oms.manager import OrderManagement
from oms.stores.lock import DataLock
from oms.turn.threads import Job, StopFlag, Worker

log = logging.getLogger(__name__)

STATUS_NAME = "status.json"
TICK_S = 1.0
TICKS_PER_LOG_LINE = 60
EXIT_OK, EXIT_FAILED = 0, 1
ASIDE_STOP_S = 0.5  # one that still reads is left: it only looks
GATEWAY_STOP_S = 2.0  # it writes the last answers, for a second at most
LOG_STOP_S = 2.0


class App:
    """One order manager in one data directory, until a signal.

    standby: wait until the engine that has the journal is gone, and take over. told: whose settings
    these are, for the log. on_open: called once the daemon's gateways are
    open, with what is undone at the stop; not with `work`.

    Ctrl-C or SIGTERM stops in order; a second one exits at once, as safe as kill -9.
    """

    def __init__(
        self,
        config: Config,
        directory: Path,
        *,
        console: TextIO | None = None,
        accept_loss: int | None = None,
        standby: bool = False,
        told: str = "",
        manager_of: Callable[..., OrderManagement] = OrderManagement,
        on_open: Callable[["App", ExitStack], None] = lambda _app, _stack: None,
    ) -> None:
        self._config = config
        self.directory = directory
        self._console = console
        self._accept_loss = accept_loss
        self._standby = standby
        self._told = told
        self._stop = StopFlag()
        self._signals = 0
        self._manager_of = manager_of
        self._on_open = on_open
        self.failure: tuple[str, BaseException] | None = None
        self.manager: OrderManagement
        self.web: Any = None  # the WebServer, if there is one

    @property
    def stopping(self) -> StopFlag:
        """Set once the daemon was told to stop."""
        return self._stop

    def run(self, work: Callable[[OrderManagement], None] | None = None) -> int:
        """Start, do `work` (or wait for a signal), stop; the exit code.

        Raises ConfigError, DataInUseError, StoreError, GatewayError when it cannot start.
        """
        self.directory.mkdir(parents=True, exist_ok=True)
        with ExitStack() as stack:
            lock = DataLock(self.directory / self._config.store.database)
            stack.enter_context(lock)  # before a log is written in another daemon's place
            self._catch_signals(stack)
            writer = Worker("oms-log", self._log_writer(), self._thread_died)
            writer.start()
            stack.callback(writer.stop, LOG_STOP_S)
            self.manager = self._manager_of(
                self._config,
                directory=self.directory,
                accept_loss=self._accept_loss,
                on_failure=self._thread_died,
            )
            self.manager.lock = lock
            self.manager.should_stop = self._stop.is_set
            try:
                if self._standby:
                    self._stand_by()
                self.manager.start()
                log.info("started in %s, process %d", self.directory, os.getpid())
                if self._told:
                    log.info("%s", self._told)
                gc.freeze()  # what was recovered stays: no collection has to walk it again
                stack.callback(gc.unfreeze)
                if work is None:
                    self._open_gateway(stack)
                    self._open_web(stack)
                    self._on_open(self, stack)
                self._run(work)
            except StoppedError:
                if not self._stop.is_set():  # else it was told to stop while it recovered
                    raise
            finally:
                self._shut_down()
        return EXIT_OK if self.failure is None else EXIT_FAILED

    def _stand_by(self) -> None:
        """Raises ConfigError if the journal is one of a machine; StoppedError at a signal."""
        stand_by = getattr(self.manager.store, "stand_by", None)
        if stand_by is None:
            raise ConfigError(["--standby: expected [store] kind = postgres, was sqlite"])
        if self._config.web.enabled:
            front_door()  # its modules take as long to load as the rest of the start
        log.info("standing by in %s, process %d", self.directory, os.getpid())
        if not stand_by(self._stop.is_set, self.manager.dispatcher.follow):
            raise StoppedError("stopped while it stood by")
        log.info("the journal is free: taking over")

    def _log_writer(self) -> LogWriter:
        return LogWriter(self._config.log, self.directory / "logs", self._console)

    def _open_gateway(self, stack: ExitStack) -> None:
        """The daemon's control socket. It closes after the order manager, whose last answers
        it still tells, and before the lock is released. Raises GatewayError."""
        if not self._config.control.enabled:
            return
        if not hasattr(socket, "AF_UNIX"):
            log.warning("no control socket: this system has none")
            return
        gateway = ControlGateway(self.manager, self.directory)
        stack.callback(gateway.close)
        gateway.open()
        self.start_job(stack, "oms-control", gateway)
        aside = Worker("oms-history", gateway.aside, self._thread_died)
        aside.start()
        stack.callback(aside.stop, ASIDE_STOP_S)

    def _open_web(self, stack: ExitStack) -> None:
        """REST and WebSocket. They close as the control socket does. Raises GatewayError."""
        if not self._config.web.enabled:
            return
        self.web = front_door()(self.manager, self.directory)
        stack.callback(self.web.close)
        self.start_job(stack, "oms-web", self.web)

    @property
    def on_failure(self) -> Callable[[str, BaseException], None]:
        """For who runs threads of its own: told when one dies, it ends the daemon."""
        return self._thread_died

    def start_job(self, stack: ExitStack, name: str, job: Job) -> None:
        """Run one job more on a thread of its own, until the daemon stops."""
        worker = Worker(name, job, self._thread_died)
        worker.start()
        stack.callback(self._stop_job, name, worker)

    def _stop_job(self, name: str, worker: Worker) -> None:
        if not worker.stop(GATEWAY_STOP_S):
            log.error("thread %s did not stop within %g s", name, GATEWAY_STOP_S)
            self.failure = self.failure or (name, GatewayError("did not stop in time"))

    def _run(self, work: Callable[[OrderManagement], None] | None) -> None:
        if work is not None:
            work(self.manager)
            return
        ticks = 0
        while not self._stop.wait(TICK_S):
            if self.manager.failure is not None:  # the store hangs that its thread is to let go of
                self._thread_died(*self.manager.failure)
                return
            status = self.manager.get_status()
            write_status(self.directory, status)
            ticks += 1
            if ticks % TICKS_PER_LOG_LINE == 0:
                log.info("status: %s", status_line(status))

    def _shut_down(self) -> None:
        log.info("stopping")
        try:
            self.manager.stop()
            write_status(self.directory, self.manager.get_status())
        except StoppedError as error:
            self.failure = self.failure or ("MainThread", error)
            log.critical("%s", error)
        log.info("stopped")

    def _thread_died(self, name: str, error: BaseException) -> None:
        self.failure = self.failure or (name, error)
        self._stop.set()

    def _catch_signals(self, stack: ExitStack) -> None:
        for number in (signal.SIGINT, signal.SIGTERM):
            before = signal.signal(number, self._signaled)
            stack.callback(signal.signal, number, before)

    def _signaled(self, number: int, _frame: FrameType | None) -> None:
        self._signals += 1
        if self._signals > 1:
            os._exit(128 + number)
        self._stop.set()


def front_door() -> Callable[[OrderManagement, Path], Any]:
    """What opens it. Raises GatewayError where the extra `server` is missing."""
    try:
        from oms.gateways.web import open_web
    except ImportError as error:
        raise GatewayError(
            f"the front door needs a package that is missing: {error.name or error}; "
            "pip install '.[server]' in the checkout has them all"
        ) from error
    return open_web


def write_status(directory: Path, status: dict[str, Any]) -> None:
    """Leave the status where another shell finds it whole: written aside, then renamed."""
    path = directory / STATUS_NAME
    beside = path.with_suffix(".tmp")
    try:
        beside.write_text(json.dumps({"pid": os.getpid(), **status}), encoding="utf-8")
        beside.replace(path)
    except OSError as error:  # a full disk must not stop the daemon for the sake of a display
        log.warning("status not written: %s", error)


def status_line(status: dict[str, Any]) -> str:
    """The status a person wants each minute, in one line."""
    total = status["latency_ns"]["total"]["all"]
    return (
        f"{status['health']}, session {session_text(status)}, link {status['link']}, "
        f"waiting {status['waiting']}, open {status['open_orders']}, "
        f"journal {status['journal_seq']}, reports {status['published']}, "
        + (
            f"p50 {total['p50'] / 1e6:.3f} ms, p99 {total['p99'] / 1e6:.3f} ms"
            if total["count"]
            else "no latency measured yet"
        )
    )


def session_text(status: dict[str, Any]) -> str:
    """Whether orders trade; of which date, or from when on."""
    if status["session"] == "open":
        return f"open, trading date {status['trading_date']}"
    opens = status.get("opens")  # an older program's status has none
    return f"closed, opens {opens}" if opens else "closed"
