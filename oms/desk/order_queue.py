"""Requests that wait to be sent: first in, first out, changed or taken back in place.

Flow:  inbox -> desk -> [order_queue] -> throttle -> venue
Owner: holds its own lock, so any thread may call it; in the daemon the dispatcher does.
Cost:  every operation is O(1), whatever waits.
"""

import threading
from collections import OrderedDict
from typing import Generic, Protocol, TypeVar

from oms.errors import ValidationError
from oms.orders import keeps_priority


class Waiting(Protocol):
    """What can wait: anything with a price and a quantity."""

    price_ticks: int
    quantity_lots: int


T = TypeVar("T", bound=Waiting)


class OrderQueue(Generic[T]):
    """Two lanes: cancels of orders already sent go first, all else in arrival order.

    size_max: bound of the main lane, 1 or more. The urgent lane needs none of its own: an
    order has at most one cancel on its way.
    """

    def __init__(self, size_max: int = 100_000) -> None:
        if size_max < 1:
            raise ValidationError("size_max", size_max, "1 or more")
        self.size_max = size_max
        self._lock = threading.Lock()
        self._main: OrderedDict[int, T] = OrderedDict()
        self._urgent: OrderedDict[int, T] = OrderedDict()
        self.peak = 0

    def add_order(self, order_id: int, order: T, *, urgent: bool = False) -> bool:
        """Put an order at the back of its lane; False if the main lane is full."""
        with self._lock:
            if urgent:
                self._urgent[order_id] = order
                return True
            size = len(self._main)
            if size >= self.size_max:
                return False
            self._main[order_id] = order
            if size >= self.peak:
                self.peak = size + 1
            return True

    def modify_order(self, order_id: int, price_ticks: int, quantity_lots: int) -> T | None:
        """Change a waiting order; None if it no longer waits.

        Less quantity at the same price keeps the place, anything else goes to the back.
        """
        with self._lock:
            order = self._main.get(order_id)
            if order is None:
                return None
            keeps = keeps_priority(
                order.price_ticks, price_ticks, order.quantity_lots, quantity_lots
            )
            order.price_ticks = price_ticks
            order.quantity_lots = quantity_lots
            if not keeps:
                self._main.move_to_end(order_id)
            return order

    def cancel_order(self, order_id: int) -> T | None:
        """Take a waiting order out; None if it no longer waits."""
        with self._lock:
            order = self._main.pop(order_id, None)
            return order if order is not None else self._urgent.pop(order_id, None)

    def get_next_order(self, *, urgent_only: bool = False) -> T | None:
        """Take the next order to send; None if none waits."""
        if not self._urgent and not self._main:
            return None  # without the lock: who adds in this instant is served next time
        with self._lock:
            if self._urgent:
                return self._urgent.popitem(last=False)[1]
            if self._main and not urgent_only:
                return self._main.popitem(last=False)[1]
            return None

    def waiting(self) -> list[T]:
        """What waits, in the order it will be sent."""
        with self._lock:
            return [*self._urgent.values(), *self._main.values()]

    @property
    def size(self) -> int:
        return len(self._main) + len(self._urgent)

    @property
    def main_size(self) -> int:
        return len(self._main)

    @property
    def urgent_size(self) -> int:
        return len(self._urgent)

    def __contains__(self, order_id: object) -> bool:
        return order_id in self._main or order_id in self._urgent
