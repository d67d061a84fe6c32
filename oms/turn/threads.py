"""Every thread: a job, a name, a start and a stop. No thread dies unseen."""

import threading
from collections.abc import Callable
from contextlib import suppress
from typing import NamedTuple, Protocol


class ThreadRow(NamedTuple):
    """One line of the thread table."""

    name: str
    job: str
    owns: str
    may_wait_on: str
    at_stop: str


THREADS = (
    ThreadRow(
        "MainThread", "App.run", "configuration, signal flag, exit code, status file",
        "the stop event", "stops the others",
    ),
    ThreadRow(
        "oms-session", "SessionKeeper", "the link: logon, logout, retries",
        "its wake event, at most 1 s", "logs off",
    ),
    ThreadRow(
        "oms-dispatch", "Dispatcher",
        "desk, throttle, tracker, venue, book, the one store connection",
        "the inbox, at most 1 s",
        "ends its turn, parks what waits, commits, publishes, closes the store",
    ),
    ThreadRow(
        "oms-venue", "a venue's own job, if it has one (ScriptedVenue)",
        "answers that are due", "its condition, at most 1 s", "drops what is due later",
    ),
    ThreadRow(
        "oms-control", "ControlGateway, in the daemon", "the control socket, its connections",
        "its selector, at most 1 s",
        "writes the answers that are there, at most 1 s; removes the socket",
    ),
    ThreadRow(
        "oms-web", "WebServer, in the daemon if [web] is enabled",
        "the front door: its event loop and every connection of it", "its event loop",
        "answers what is under way, at most 1 s; closes its sockets",
    ),
    ThreadRow(
        "oms-ask-N", "Pool, four for the front door", "a read-only connection for each question",
        "its questions, at most 1 s", "tells what it has not answered that it stopped",
    ),
    ThreadRow(
        "oms-look-1", "Pool, of how orders stand", "a read-only connection for each question",
        "its questions, at most 1 s", "tells what it has not answered that it stopped",
    ),
    ThreadRow(
        "oms-read-1", "Pool, of history", "a read-only connection for each question",
        "its questions, at most 1 s", "tells what it has not answered that it stopped",
    ),
    ThreadRow(
        "oms-hash-N", "Pool, two for the front door", "one password and its hash",
        "its questions, at most 1 s", "tells what it has not answered that it stopped",
    ),
    ThreadRow(
        "oms-share-1", "Pool, of an `api` or `broadcast`",
        "its connection to Redis; what all front doors together count",
        "its questions, at most 1 s; Redis, at most 1 s",
        "tells what it has not answered that it stopped",
    ),
    ThreadRow(
        "oms-agents", "Agents, in a sandbox", "requests of agents that trade by themselves",
        "its event, at most 1 s", "asks nothing more",
    ),
    ThreadRow(
        "oms-history", "Aside, in the daemon", "a read-only connection for each question",
        "its questions, at most 1 s", "tells what it has not answered that it stopped",
    ),
    ThreadRow(
        "oms-commands", "Commands, in an `engine`",
        "its connection to Redis; which requests are taken and not acknowledged",
        "Redis, at most 1.5 s; room for more",
        "takes nothing more; what is not answered is the next engine's",
    ),
    ThreadRow(
        "oms-turns", "Telling, in an `engine`",
        "its connection to Redis; turns, answers and acknowledgements that are to be written",
        "its queue, at most 0.25 s; Redis, at most 1 s",
        "writes what the order manager told last",
    ),
    ThreadRow(
        "oms-asks", "Asks, in an `engine`",
        "its connection to Redis; questions of apis",
        "Redis, at most 1.5 s",
        "hears nothing more",
    ),
    ThreadRow(
        "oms-answers-N",
        "Aside, three in an `engine`: one for what apis and broadcasts follow it by",
        "a read-only connection for each question",
        "its questions, at most 1 s",
        "tells what it has not answered that it stopped",
    ),
    ThreadRow(
        "oms-send-GROUP", "Sending, one for each group in an `api` or `broadcast`",
        "its connection to Redis; what is to be sent; how the engine is",
        "its queue, at most 0.25 s; Redis, at most 1 s",
        "says of what has no answer that its outcome is unknown",
    ),
    ThreadRow(
        "oms-receive-GROUP", "Receiving, one for each group in an `api` or `broadcast`",
        "its connection to Redis; the mirror of the group",
        "Redis, at most 1.5 s",
        "tells the answers that are there",
    ),
    ThreadRow(
        "oms-ahead", "Aside, in `db-filler`",
        "a read-only connection for each stretch of the journal",
        "its questions, at most 1 s",
        "reads nothing more",
    ),
    ThreadRow(
        "oms-transfers", "Transfers, in an `api` of several groups",
        "which transfers between groups it drives",
        "its event, at most 0.25 s",
        "tells clients that their transfers are in flight",
    ),
    ThreadRow(
        "oms-log", "LogWriter", "log files and stdout",
        "its records, at most 1 s; 50 ms for more", "writes what is there",
    ),
)  # fmt: skip


class Job(Protocol):
    """Work in bounded turns, so that a test can step it by hand."""

    def step(self) -> None:
        """One bounded turn."""
        ...

    def finish(self) -> None:
        """Drain and close; called once, after the last step."""
        ...

    def wake(self) -> None:
        """Cut a wait short; called by other threads."""
        ...


class Worker:
    """Run one job on one named thread."""

    def __init__(
        self, name: str, job: Job, on_failure: Callable[[str, BaseException], None]
    ) -> None:
        self._job = job
        self._on_failure = on_failure
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self, timeout_s: float) -> bool:
        """Ask, wake, wait. Return False if the thread still lives."""
        self._stopping.set()
        self._job.wake()
        self._thread.join(timeout_s)
        return not self._thread.is_alive()

    @property
    def alive(self) -> bool:
        return self._thread.is_alive()

    def _run(self) -> None:
        try:
            while not self._stopping.is_set():
                self._job.step()
            self._job.finish()
        except BaseException as error:  # whatever it is, the daemon must not go on without it
            self._on_failure(self._thread.name, error)


class StopFlag(threading.Event):
    """An Event that a signal handler may set; any threads wait for it.

    A plain Event holds a lock inside wait(). A handler runs on the main thread, between any two
    of its steps: it would wait for the lock that its own thread holds, for ever. This happened.
    So here is one lock that is held until the flag is set, and whoever gets it lets it go again.

    Not a SimpleQueue: its get() computes what is left of its time-out anew when another thread has
    taken the item, and what is less than nothing means for ever there. This happened, too: to a
    process that was stopped (SIGSTOP) for longer than its threads meant to wait.
    """

    def __init__(self) -> None:
        super().__init__()
        self._is_set = False
        self._until_set = threading.Lock()
        self._until_set.acquire()

    def set(self) -> None:
        self._is_set = True
        self._let_go()

    def is_set(self) -> bool:
        return self._is_set

    def wait(self, timeout: float | None = None) -> bool:
        wait_s = -1.0 if timeout is None else max(0.0, timeout)  # below nothing: for ever
        if not self._is_set and self._until_set.acquire(timeout=wait_s):
            self._let_go()  # for who waits beside
        return self._is_set

    def _let_go(self) -> None:
        with suppress(RuntimeError):  # it was set before, or is on its way through who waits
            self._until_set.release()
