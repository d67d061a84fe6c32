"""Bridge: answers of the order manager, for coroutines of the gateway's event loop.

Flow:  dispatcher's thread, after the commit -> [bridge] -> event loop -> coroutines
However many answers a turn has, the loop is woken once: waking it costs 10 us.
"""

import asyncio
from collections import deque
from concurrent.futures import Future
from functools import partial
from typing import Any, TypeVar

from oms.turn.answer import Asker

T = TypeVar("T")


class Bridge:
    """Belongs to one event loop; what is settled may be so on any thread."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        # What is waited for at most so long, oldest first: one look a second at the oldest ones
        # takes the place of a timer for each, which would cost more than the wait itself.
        self._due: dict[asyncio.Future[Any], int] = {}
        # What the loop is to tell: to whom, the outcome, or the error.
        self._settled: deque[tuple[asyncio.Future[Any], object, BaseException | None]] = deque()
        self._woken = False

    def awaitable(self, future: "Future[T]") -> "asyncio.Future[T]":
        """The same outcome, to be awaited on the loop. Canceled, it leaves the future alone."""
        waiting: asyncio.Future[T] = self._loop.create_future()
        future.add_done_callback(partial(_settled, Waiting(self, waiting)))
        return waiting

    def within(self, future: "Future[T]", due_ns: int) -> "asyncio.Future[T]":
        """The same; TimeoutError once `expire` finds that it is due. due_ns: later than those of
        all calls before."""
        waiting = self.awaitable(future)
        self._due[waiting] = due_ns
        return waiting

    def asker(self, due_ns: int) -> "Waiting[T]":
        """The same of a request that is to be handed over: what is told of it is for `outcome`."""
        outcome: asyncio.Future[T] = self._loop.create_future()
        self._due[outcome] = due_ns
        return Waiting(self, outcome)

    def expire(self, now_ns: int) -> None:
        """End the waits that are due."""
        over = []
        for waiting, due_ns in self._due.items():
            if due_ns > now_ns:
                break
            over.append(waiting)
        for waiting in over:
            del self._due[waiting]
            if not waiting.done():
                waiting.set_exception(TimeoutError())

    def note(
        self, waiting: "asyncio.Future[Any]", outcome: object, error: BaseException | None = None
    ) -> None:
        """On whatever thread settled it. The loop takes what is noted before it looks: `_woken`
        falls before it does, so nothing stays behind."""
        self._settled.append((waiting, outcome, error))
        if not self._woken:
            self._woken = True
            try:
                self._loop.call_soon_threadsafe(self._tell)
            except RuntimeError:  # the loop is closed: nobody waits any more
                self._settled.clear()

    def _tell(self) -> None:
        self._woken = False
        settled = self._settled
        while settled:
            waiting, outcome, error = settled.popleft()
            self._due.pop(waiting, None)
            if waiting.done():  # its connection has gone, or it was told before
                continue
            if error is not None:
                waiting.set_exception(error)
            else:
                waiting.set_result(outcome)


class Waiting(Asker[T]):
    """Who asked, on the loop: `outcome` is to be awaited there."""

    __slots__ = ("_bridge", "outcome")

    def __init__(self, bridge: Bridge, outcome: "asyncio.Future[T]") -> None:
        self._bridge = bridge
        self.outcome = outcome

    def told(self, outcome: T) -> None:
        self._bridge.note(self.outcome, outcome)

    def failed(self, error: BaseException) -> None:
        self._bridge.note(self.outcome, None, error)


def _settled(waiting: Waiting[T], done: "Future[T]") -> None:
    error = done.exception()
    if error is not None:
        waiting.failed(error)
    else:
        waiting.told(done.result())
