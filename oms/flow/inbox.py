"""The one hand-over between threads: whoever calls puts in, the dispatcher takes out.

Owner: holds its own lock. Putting never waits; a full inbox says no.
"""

import threading
from collections import deque
from concurrent.futures import Future

from oms.controls import Request
from oms.desk.entries import Entry
from oms.orders import VenueReport
from oms.reports import OrderResponse

Answer = Future[OrderResponse]
Item = tuple[Request | VenueReport | Entry, int, Answer | None]
"""What came, when (monotonic ns), and who wants the answer."""


class Inbox:
    """A bounded buffer. Cancels, venue reports and our own notices pass a full one.

    size_max: new orders and modifies held; cancels are let in up to twice that.
    """

    def __init__(self, size_max: int) -> None:
        self.size_max = size_max
        self.peak = 0
        self._items: deque[Item] = deque()
        self._condition = threading.Condition(threading.Lock())
        self._closed = False
        self._woken = False

    def put(self, item: Item, *, urgent: bool = False) -> bool:
        """Hand over; False when there is no room (twice as much for the urgent) or closed."""
        with self._condition:
            size = len(self._items)
            if self._closed or size >= (2 * self.size_max if urgent else self.size_max):
                return False
            self._items.append(item)
            if size >= self.peak:
                self.peak = size + 1
            if not size:  # the taker sleeps only on an empty inbox
                self._condition.notify()
            return True

    def notice(self, item: Item) -> None:
        """Hand over what must not be lost, whatever the size; what sends it is bounded."""
        with self._condition:
            self._items.append(item)
            self._condition.notify()

    def take(self, count_max: int, wait_s: float) -> list[Item]:
        """Up to `count_max` items, oldest first; waits for the first, at most `wait_s`."""
        with self._condition:
            items = self._items
            if not items and not self._woken and wait_s > 0:
                self._condition.wait(wait_s)
            self._woken = False
            if len(items) <= count_max:
                taken = list(items)
                items.clear()
            else:
                taken = [items.popleft() for _ in range(count_max)]
            return taken

    def wake(self) -> None:
        """Cut a wait short."""
        with self._condition:
            self._woken = True
            self._condition.notify()

    def close(self) -> None:
        """Take no more requests; what is inside can still be taken."""
        with self._condition:
            self._closed = True
            self._woken = True
            self._condition.notify()

    @property
    def closed(self) -> bool:
        return self._closed

    @property
    def size(self) -> int:
        return len(self._items)
