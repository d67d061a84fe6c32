"""Bridge: answers of the order manager, for coroutines of the gateway's event loop.

Flow:  dispatcher's thread, after the commit -> [bridge] -> event loop -> coroutines
However many answers a turn has, the loop is woken once: waking it costs 10 us.
"""

import asyncio
from collections import deque
from concurrent.futures import Future
from typing import Any, TypeVar

T = TypeVar("T")


class Bridge:
    """Belongs to one event loop. `settled` of any future may come from any thread."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        # What is waited for at most so long, oldest first: one look a second at the oldest ones
        # takes the place of a timer for each, which would cost more than the wait itself.
        self._due: dict[asyncio.Future[Any], int] = {}
        self._settled: deque[tuple[asyncio.Future[object], Future[object]]] = deque()
        self._woken = False

    def awaitable(self, future: "Future[T]") -> "asyncio.Future[T]":
        """The same outcome, to be awaited on the loop. Canceled, it leaves the future alone."""
        waiting: asyncio.Future[T] = self._loop.create_future()
        future.add_done_callback(lambda done: self._note(waiting, done))  # type: ignore[arg-type]
        return waiting

    def within(self, future: "Future[T]", due_ns: int) -> "asyncio.Future[T]":
        """The same; TimeoutError once `expire` finds that it is due. due_ns: later than those of
        all calls before."""
        waiting = self.awaitable(future)
        self._due[waiting] = due_ns
        return waiting

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

    def _note(self, waiting: "asyncio.Future[object]", done: "Future[object]") -> None:
        """On whatever thread settled it. The loop takes what is noted before it looks: `_woken`
        falls before it does, so nothing stays behind."""
        self._settled.append((waiting, done))
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
            waiting, done = settled.popleft()
            self._due.pop(waiting, None)
            if waiting.done():  # its connection has gone
                continue
            error = done.exception()
            if error is not None:
                waiting.set_exception(error)
            else:
                waiting.set_result(done.result())
