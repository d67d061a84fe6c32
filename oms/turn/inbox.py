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
from collections.abc import Callable, Iterable
from itertools import islice
from typing import Any, cast

from oms.requests.codec import MODIFY, NEW
from oms.responses import OrderResponse
from oms.turn.answer import Asker
from oms.turn.intake import WITHDRAWN

Item = tuple[Any, int, Asker[OrderResponse] | None]
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

    Items are numbered as they arrive. Those that have left out of turn leave None in their place.
    """

    def __init__(self, size_max: int) -> None:
        self.size_max = size_max
        self._peak = 0  # of the size, when items were taken
        self.flooded = False  # set here; whoever has given the memory back resets it
        self._items: deque[Item | None] = deque()
        self._left = 0  # how many of them are None
        self._length_max = size_max  # of _items; once closed, too little even for the urgent
        self._taken = 0  # the number of the first of _items
        self._done = 0  # so many were taken, and are answered
        self._urgent: deque[int] = deque()  # the numbers of urgent ones, and of some taken already
        self._numbers: dict[tuple[str, str], int] = {}  # (account, client order id) -> number
        self._numbered = 0  # up to where they are known
        self._sweeps: dict[Scope, tuple[int, str]] = {}  # up to which number, and why
        self._unusual = False  # some have left, are to be swept, or have numbers
        self._swept = 0  # up to which number any of them reaches
        self._lock = threading.Lock()
        self._filled = threading.Condition(self._lock)
        self._closed = self._woken = self._sleeps = False

    def put(self, item: Item, urgent: bool = False) -> bool:
        """Hand over; False when there is no room (twice as much for the urgent) or closed."""
        items = self._items
        # Without the lock first: refusals by the million must not keep the dispatcher from it.
        if len(items) >= (self._length_max + self.size_max if urgent else self._length_max):
            return False
        with self._lock:
            length = len(items)
            if length >= (self._length_max + self.size_max if urgent else self._length_max):
                return False
            if urgent:
                self._urgent.append(self._taken + length)
            items.append(item)
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
            if not self.size and not self._woken and wait_s > 0:
                self._sleeps = True
                self._filled.wait(wait_s)
                self._sleeps = False
            self._woken = False
            self._peak = self.peak
            if self.size > count_max or self._unusual:
                return self._pop(count_max)
            return self._pop_all()  # by far the most

    def take_urgent(self, count_max: int, backlog_max: int) -> list[tuple[int, Item]]:
        """Urgent items with their numbers, oldest first, if more than `backlog_max` wait here."""
        if self.size <= backlog_max:
            return []
        with self._lock:
            self._peak = self.peak
            urgent, found = self._urgent, list[tuple[int, Item]]()
            while urgent and len(found) < count_max:
                number = urgent.popleft()
                item = self._at(number)
                if item is not None:
                    found.append((number, item))
                    self._leave(number)
            return found

    def known(self, names: Iterable[tuple[str, str]]) -> set[tuple[str, str]]:
        """Those of (account, client order id) that are perhaps of orders or modifies here."""
        with self._lock:
            self._number()
            numbers, at = self._numbers, self._at
            return {name for name in names if at(numbers.get(name, -1)) is not None}

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

    def behind(self, account: str) -> Callable[[], bool]:  # noqa: ARG002 - the fair one asks
        """Whether all that is here now of an account is done with, to be asked by the dispatcher:
        here, all that is here."""
        until = self.arrived
        return lambda: self._done >= until

    def done(self) -> None:
        """What was taken until now is answered."""
        self._done = self._taken

    # --- under the lock ---

    def _at(self, number: int) -> Item | None:
        """What is here under a number."""
        return self._items[number - self._taken] if number >= self._taken else None

    def _pop_all(self) -> list[Item]:
        """Everything; nothing has left out of turn."""
        taken = cast("list[Item]", list(self._items))
        self._items.clear()
        self._urgent.clear()
        self._taken += len(taken)
        return taken

    def _set_length_max(self) -> None:
        self._length_max = -self.size_max if self._closed else self.size_max + self._left

    def _leave(self, number: int) -> None:
        self._items[number - self._taken] = None
        self._left += 1
        self._set_length_max()
        self._unusual = True

    def _withdraw(self, account: str, named: str, before: int) -> tuple[str, Item | None]:
        for _ in range(NAMES_MAX):
            number = self._numbers.get((account, named), -1)
            item = self._at(number)
            if item is None or number >= before:
                break
            if item[0][0] == NEW:
                self._leave(number)
                del self._numbers[account, named]
                return named, item
            if type(item[0][3]) is not str:  # an order id: the order is not here
                break
            named = item[0][3]
        return named, None

    def _pop(self, count_max: int) -> list[Item]:
        """Items oldest first, as they are once those are swept that are to be."""
        items, taken = self._items, list[Item]()
        self.flooded = self.flooded or len(items) >= FLOOD
        number = self._taken
        while items and len(taken) < count_max:
            item = items.popleft()
            if item is None:
                self._left -= 1
                self._set_length_max()
            else:
                taken.append(self._unless_swept(number, item) if number < self._swept else item)
            number += 1
        self._taken = number
        while self._urgent and self._urgent[0] < number:
            self._urgent.popleft()
        if number >= self._swept:
            self._sweeps.clear()
        if not items:
            self._numbers = {}
            self._unusual = False
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

    def _unless_swept(self, number: int, item: Item) -> Item:
        """The item, or the same as an order that is not to be sent."""
        if item[0][0] != NEW:
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
            self._set_length_max()
            self._filled.notify()

    def open(self) -> None:
        """Take requests, from now until it is closed."""
        with self._lock:
            self._closed = False
            self._set_length_max()

    @property
    def closed(self) -> bool:
        return self._closed

    @property
    def arrived(self) -> int:
        """How many items have come."""
        with self._lock:
            return self._taken + len(self._items)

    @property
    def size(self) -> int:
        return len(self._items) - self._left

    @property
    def peak(self) -> int:
        """The largest size there was."""
        return max(self._peak, self.size)


def withdrawn(item: Item, why: str) -> Item:
    """A new order that is recorded and never sent. why: what ended it; "" if its own cancel
    follows."""
    line, received_ns, answer = item
    return (WITHDRAWN, *line[1:], why), received_ns, answer
