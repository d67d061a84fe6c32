"""The one hand-over between threads: whoever calls puts in, the dispatcher takes out.

Flow:  manager, keeper, venue -> [inbox] -> dispatcher
Owner: holds its own lock. Putting never waits; a full inbox says no, without the lock.

What takes risk off is urgent. As long as all that is here is soon done, turns have it in the
order of arrival. Beyond that the urgent go first, in order among themselves, and take along
what would otherwise come after them: a cancel its own order (`withdraw`), a mass cancel or the
kill switch the orders that were there before it (`sweep`).
"""

import threading
from collections import deque
from collections.abc import Iterable
from concurrent.futures import Future
from itertools import islice
from typing import Any, cast

from oms.reports import OrderResponse
from oms.requests.codec import MODIFY, NEW
from oms.turn.intake import WITHDRAWN

Item = tuple[Any, int, Future[OrderResponse] | None]
"""What came (a line of a request, a VenueReport, a notice), when (monotonic ns), who asks."""

Scope = tuple[str, str, str]
"""Account, symbol and side; each "" for every one."""

NAMES_MAX = 1_000  # of modifies that name each other
STALE_MAX = 1_024
FEW = 1_000
FLOOD = 10_000  # from here on the memory is worth giving back


class Inbox:
    """A bounded buffer. Cancels, venue reports and our own notices pass a full one.

    size_max: new orders and modifies held; cancels are let in up to twice that.

    Items that are not urgent are numbered as they arrive; an urgent one remembers the number
    that the next of those will have.
    """

    def __init__(self, size_max: int) -> None:
        self.size_max = size_max
        self.peak = 0
        self.flooded = False  # set here; whoever has given the memory back resets it
        self._items: deque[Item | None] = deque()  # None: it was withdrawn
        self.urgent: deque[tuple[int, Item]] = deque()
        self._taken = 0  # the number of the first of _items
        self._numbers: dict[tuple[str, str], int] = {}  # (account, client order id) -> number
        self._numbered = 0  # up to where they are known
        self._sweeps: dict[Scope, tuple[int, str]] = {}  # up to which number, and why
        self._unusual = False  # some are withdrawn, are to be swept, or have numbers
        self._swept = 0  # up to which number any of them reaches
        self._lock = threading.Lock()
        self._filled = threading.Condition(self._lock)
        self._closed = self._woken = self._sleeps = False

    def put(self, item: Item, urgent: bool = False) -> bool:
        """Hand over; False when there is no room (twice as much for the urgent) or closed."""
        items, others = self._items, self.urgent
        # Without the lock first: refusals by the million must not keep the dispatcher from it.
        room = 2 * self.size_max if urgent else self.size_max
        if self._closed or len(items) + len(others) >= room:
            return False
        with self._lock:
            size = len(items) + len(others)
            if self._closed or size >= room:
                return False
            if urgent:
                others.append((self._taken + len(items), item))
            else:
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

    # --- the dispatcher ---

    def take(self, count_max: int, wait_s: float) -> list[Item]:
        """Up to `count_max` items, oldest first; waits for the first, at most `wait_s`."""
        with self._lock:
            items, urgent = self._items, self.urgent
            if not items and not urgent and not self._woken and wait_s > 0:
                self._sleeps = True
                self._filled.wait(wait_s)
                self._sleeps = False
            self._woken = False
            if not urgent and len(items) <= count_max and not self._unusual:
                taken = cast("list[Item]", list(items))  # by far the most
                items.clear()
                self._taken += len(taken)
                return taken
            return self._in_order(count_max)

    def take_urgent(self, count_max: int, backlog_max: int) -> list[tuple[int, Item]]:
        """Urgent items, oldest first, if more than `backlog_max` wait here; each with the number
        of the first item that arrived after it."""
        urgent = self.urgent
        with self._lock:
            if len(self._items) + len(urgent) <= backlog_max:
                return []
            return [urgent.popleft() for _ in range(min(count_max, len(urgent)))]

    def take_others(self, count_max: int) -> list[Item]:
        """Items that are not urgent, oldest first."""
        with self._lock:
            return [item for item in self._pop(count_max) if item is not None]

    def known(self, names: Iterable[tuple[str, str]]) -> set[tuple[str, str]]:
        """Those of (account, client order id) that are perhaps of orders or modifies here."""
        with self._lock:
            self._number()
            numbers, taken = self._numbers, self._taken
            return {name for name in names if numbers.get(name, -1) >= taken}

    def withdraw(self, wanted: Iterable[tuple[str, str, int]]) -> list[tuple[str, Item | None]]:
        """Take new orders out; each by a client order id that it has, or is to get by a modify.

        wanted: account, client order id, and before which number the order must have arrived.
        Returns for each the first name of the order as far as it is known here, and the order.
        All at once, because the lock is dear while others put in.
        """
        with self._lock:
            return [self._withdraw(*each) for each in wanted]

    def sweep(self, scope: Scope, before: int, why: str) -> None:
        """Withdraw the new orders of a scope that arrived before that number, as they come up."""
        with self._lock:
            if before > self._taken:
                self._sweeps[scope] = (before, why)
                self._swept = max(self._swept, before)
                self._unusual = True

    # --- under the lock ---

    def _withdraw(self, account: str, named: str, before: int) -> tuple[str, Item | None]:
        for _ in range(NAMES_MAX):
            number = self._numbers.get((account, named), -1)
            item = self._items[number - self._taken] if number >= self._taken else None
            if item is None or number >= before:
                break
            if item[0][0] == NEW:
                self._items[number - self._taken] = None
                del self._numbers[account, named]
                self._unusual = True
                return named, item
            if type(item[0][3]) is not str:  # an order id: the order is not here
                break
            named = item[0][3]
        return named, None

    def _pop(self, count_max: int) -> list[Item | None]:
        """Items that are not urgent, oldest first; None for each that was withdrawn."""
        items = self._items
        if len(items) <= count_max:
            taken = list(items)
            items.clear()
            self._numbers = {}
        else:
            self.flooded = self.flooded or len(items) >= FLOOD
            taken = [items.popleft() for _ in range(count_max)]
        if self._sweeps:
            taken = [self._unless_swept(n, item) for n, item in enumerate(taken, self._taken)]
        self._taken += len(taken)
        if self._taken >= self._swept:
            self._sweeps.clear()
        self._unusual = bool(items) and self._unusual
        return taken

    def _in_order(self, count_max: int) -> list[Item]:
        """Items in the order of arrival, urgent or not."""
        items, urgent, taken = self._items, self.urgent, list[Item]()
        while len(taken) < count_max and (items or urgent):
            # As many as come before the next urgent one.
            room, first = count_max - len(taken), self._taken
            ahead = min(room, urgent[0][0] - first) if urgent else room
            if ahead > 0 and items:
                taken += [item for item in self._pop(ahead) if item is not None]
            else:
                taken.append(urgent.popleft()[1])
        return taken

    def _number(self) -> None:
        """Note where each new order and each modify is, of those that came since the last time."""
        numbers, taken, items = self._numbers, self._taken, self._items
        if len(numbers) > 2 * len(items) + STALE_MAX:
            numbers.clear()
        first, end = max(taken, self._numbered) if numbers else taken, taken + len(items)
        # Few have come since the last cancel of the same turn: to go to where they are by way of
        # all before them would cost a cancel as much as the backlog is long.
        fresh: Iterable[Item | None] = islice(items, first - taken, None)
        if end - first < FEW:
            fresh = (items[number - taken] for number in range(first, end))
        for number, item in enumerate(fresh, first):
            if item is not None and item[0][0] in (NEW, MODIFY):
                key = item[0][1:3]
                if numbers.get(key, -1) < taken:  # the first of a name is the one it belongs to
                    numbers[key] = number
        self._numbered = end
        self._unusual = True

    def _unless_swept(self, number: int, item: Item | None) -> Item | None:
        """The item, or the same as an order that is not to be sent."""
        if item is None or number >= self._swept or item[0][0] != NEW:
            return item
        _, account, _, symbol, side, *_ = item[0]
        for scope in (
            (account, "", ""), ("", "", ""), ("", symbol, ""), (account, symbol, ""),
            (account, "", side), (account, symbol, side), ("", "", side), ("", symbol, side),
        ):  # fmt: skip
            before, why = self._sweeps.get(scope, (0, ""))
            if number < before:
                return withdrawn(item, why)
        return item

    # --- wake and close ---

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

    def open(self) -> None:
        """Take requests, from now until it is closed."""
        self._closed = False

    @property
    def closed(self) -> bool:
        return self._closed

    @property
    def size(self) -> int:
        return len(self._items) + len(self.urgent)


def withdrawn(item: Item, why: str) -> Item:
    """A new order that is recorded and never sent. why: what ended it; "" if its own cancel
    follows."""
    line, received_ns, answer = item
    return (WITHDRAWN, *line[1:], why), received_ns, answer
