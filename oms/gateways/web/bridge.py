"""Bridge: answers of the order manager, for coroutines of the gateway's event loop.

Flow:  dispatcher's thread, after the commit -> [bridge] -> event loop -> coroutines
However many answers a turn has, the loop is woken once: waking it costs 10 us.
"""

import asyncio
from collections import deque
from concurrent.futures import Future
from typing import TypeVar

T = TypeVar("T")


class Bridge:
    """Belongs to one event loop. `settled` of any future may come from any thread."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._settled: deque[tuple[asyncio.Future[object], Future[object]]] = deque()
        self._woken = False

    def awaitable(self, future: "Future[T]") -> "asyncio.Future[T]":
        """The same outcome, to be awaited on the loop. Canceled, it leaves the future alone."""
        waiting: asyncio.Future[T] = self._loop.create_future()
        future.add_done_callback(lambda done: self._note(waiting, done))  # type: ignore[arg-type]
        return waiting

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
            if waiting.done():  # its connection has gone
                continue
            error = done.exception()
            if error is not None:
                waiting.set_exception(error)
            else:
                waiting.set_result(done.result())
