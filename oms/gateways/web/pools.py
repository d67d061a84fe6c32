"""Pools: threads for what would hold the event loop up; few of them, and a bound on what waits.

Flow:  event loop -> [pool] -> a thread -> event loop, by a future
Looks into the database and hashes of passwords have threads apart: a flood of logins waits for
itself, and for nobody else's order. What may read a day's trades has a thread apart, too, and so
has what asks how an order stands: that is the question behind an outcome that is unknown. In each
of them clients take turns.
"""

import os
import sys
import threading
from collections.abc import Callable
from concurrent.futures import Future
from contextvars import ContextVar
from typing import NamedTuple, TypeVar

from oms.errors import ValidationError
from oms.gateways.aside import Aside
from oms.gateways.web.errors import RETRY_AFTER_S, http_error
from oms.turn.threads import Worker

STOP_S = 0.5  # one that is busy is left: it changes nothing
T = TypeVar("T")


class Size(NamedTuple):
    """So many threads, of a name; so many questions that wait for one of them, in all and of one
    client. nice: how much they give way to other threads, where the system can tell them apart
    (Linux)."""

    name: str
    threads: int
    waiting_max: int
    of_one_max: int
    about: str
    nice: int = 0


CLIENT: ContextVar[str] = ContextVar("client", default="")
"""For whom the event loop works: see Ask.client. "": for nobody alone, as where many are told the
same."""
ASKING = Size("oms-ask", 4, 1_000, 64, "questions of the database")
LOOKING = Size("oms-look", 1, 1_000, 64, "questions about orders")
READING = Size("oms-read", 1, 1_000, 64, "questions about history")
SHARING = Size("oms-share", 1, 1_000, 64, "sign-ups and logins to be counted")
# A hash takes 20 MiB and some 20 ms of a core: those that wait are answered within a second or
# told to come again.
HASHING = Size("oms-hash", 2, 32, 16, "passwords to be checked", nice=10)


class Pool:
    """Threads that are started once and stopped once. on_failure: called when one dies."""

    def __init__(self, size: Size, on_failure: Callable[[str, BaseException], None]) -> None:
        self._job = Polite(size)
        names = [f"{size.name}-{number}" for number in range(1, size.threads + 1)]
        self._workers = [Worker(name, self._job, on_failure) for name in names]

    @property
    def waiting(self) -> int:
        """How many questions do."""
        return self._job.waiting

    def start(self) -> None:
        for worker in self._workers:
            worker.start()

    def stop(self) -> None:
        """Tell all before any is waited for: what wakes one may wake another."""
        for wait_s in (0, STOP_S):
            for worker in self._workers:
                worker.stop(wait_s)

    def ask(self, call: Callable[..., T], *given: object) -> "Future[T]":
        """The future of what it returns. Raises HttpError 429 where too many of the client wait,
        503 where too many of all do."""
        try:
            return self._job.ask(lambda: call(*given), CLIENT.get())
        except ValidationError as error:
            headers = {"retry-after": str(RETRY_AFTER_S)}
            if error.field == "client":
                text = error.expected
                raise http_error(429, "TOO_MANY_REQUESTS", text, headers=headers) from None
            raise http_error(503, "UNAVAILABLE", error.expected, headers=headers) from None


class Polite(Aside):
    """On threads that give way to the others."""

    def __init__(self, size: Size) -> None:
        super().__init__(size.waiting_max, size.about, size.of_one_max)
        self._nice = size.nice
        self._threads = threading.local()

    def step(self) -> None:
        if self._nice and sys.platform == "linux" and not hasattr(self._threads, "nice"):
            self._threads.nice = self._nice
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), self._nice)
        super().step()
