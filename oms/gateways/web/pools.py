"""Pools: threads for what would hold the event loop up; few of them, and a bound on what waits.

Flow:  event loop -> [pool] -> a thread -> event loop, by a future
Looks into the database and hashes of passwords have threads apart: a flood of logins waits for
itself, and for nobody else's order.
"""

import os
import sys
import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import NamedTuple, TypeVar

from oms.errors import ValidationError
from oms.gateways.aside import Aside
from oms.gateways.web.errors import RETRY_AFTER_S, http_error
from oms.turn.threads import Worker

STOP_S = 0.5  # one that is busy is left: it changes nothing
T = TypeVar("T")


class Size(NamedTuple):
    """So many threads, of a name; so many questions that wait for one of them. nice: how much
    they give way to other threads, where the system can tell them apart (Linux)."""

    name: str
    threads: int
    waiting_max: int
    about: str
    nice: int = 0


ASKING = Size("oms-ask", 4, 1_000, "questions of the database")
# A hash takes 20 MiB and some 20 ms of a core: those that wait are answered within a second or
# told to come again.
HASHING = Size("oms-hash", 2, 32, "passwords to be checked", nice=10)


class Pool:
    """Threads that are started once and stopped once. on_failure: called when one dies."""

    def __init__(self, size: Size, on_failure: Callable[[str, BaseException], None]) -> None:
        self._job = Polite(size)
        names = [f"{size.name}-{number}" for number in range(1, size.threads + 1)]
        self._workers = [Worker(name, self._job, on_failure) for name in names]

    def start(self) -> None:
        for worker in self._workers:
            worker.start()

    def stop(self) -> None:
        """Tell all before any is waited for: what wakes one may wake another."""
        for wait_s in (0, STOP_S):
            for worker in self._workers:
                worker.stop(wait_s)

    def ask(self, call: Callable[..., T], *given: object) -> "Future[T]":
        """The future of what it returns. Raises HttpError 503 where too many wait."""
        try:
            return self._job.ask(lambda: call(*given))
        except ValidationError as error:
            headers = {"retry-after": str(RETRY_AFTER_S)}
            raise http_error(503, "UNAVAILABLE", error.expected, headers=headers) from None


class Polite(Aside):
    """On threads that give way to the others."""

    def __init__(self, size: Size) -> None:
        super().__init__(size.waiting_max, size.about)
        self._nice = size.nice
        self._threads = threading.local()

    def step(self) -> None:
        if self._nice and sys.platform == "linux" and not hasattr(self._threads, "nice"):
            self._threads.nice = self._nice
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), self._nice)
        super().step()
