"""The one hand-over between threads: whoever calls puts in, the dispatcher takes out.

Owner: holds its own lock. Putting never waits; a full inbox says no.
"""

import threading
from collections import deque
from concurrent.futures import Future
from typing import Any

from oms.reports import OrderResponse

Item = tuple[Any, int, Future[OrderResponse] | None]
"""What came (a line of a request, a VenueReport, a notice), when (monotonic ns), who asks."""


class Inbox:
    """A bounded buffer. Cancels, venue reports and our own notices pass a full one.

    size_max: new orders and modifies held; cancels are let in up to twice that.
    """

    def __init__(self, size_max: int) -> None:
        self.size_max = size_max
        self.peak = 0
        self._items: deque[Item] = deque()
        self._lock = threading.Lock()
        self._filled = threading.Condition(self._lock)
        self._closed = self._woken = self._sleeps = False

    def put(self, item: Item, urgent: bool = False) -> bool:
        """Hand over; False when there is no room (twice as much for the urgent) or closed."""
        items = self._items
        with self._lock:
            size = len(items)
            if self._closed or (
                size >= self.size_max and not (urgent and size < 2 * self.size_max)
            ):
                return False
            items.append(item)
            if size >= self.peak:
                self.peak = size + 1
            if self._sleeps:
                self._filled.notify()
        return True

    def notice(self, item: Item) -> None:
        """Hand over what must not be lost, whatever the size; what sends it is bounded."""
        with self._lock:
            self._items.append(item)
            self._filled.notify()

    def take(self, count_max: int, wait_s: float) -> list[Item]:
        """Up to `count_max` items, oldest first; waits for the first, at most `wait_s`."""
        with self._lock:
            items = self._items
            if not items and not self._woken and wait_s > 0:
                self._sleeps = True
                self._filled.wait(wait_s)
                self._sleeps = False
            self._woken = False
            if len(items) <= count_max:
                taken = list(items)
                items.clear()
            else:
                taken = [items.popleft() for _ in range(count_max)]
            return taken

    def wake(self) -> None:
        """Cut a wait short."""
        with self._lock:
            self._woken = True
            self._filled.notify()

    def close(self) -> None:
        """Take no more requests; what is inside can still be taken."""
        with self._lock:
            self._closed = self._woken = True
            self._filled.notify()

    @property
    def closed(self) -> bool:
        return self._closed

    @property
    def size(self) -> int:
        return len(self._items)
