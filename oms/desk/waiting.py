"""Requests that wait to be sent: first in, first out, changed or taken back in place.

Flow:  inbox -> desk -> [waiting] -> throttle -> venue
Owner: holds its own lock, so any thread may call it; in the daemon the dispatcher does.
Cost:  every operation is O(1), whatever waits.
"""

import threading
from collections import OrderedDict
from collections.abc import Sequence
from typing import Generic, Protocol, TypeVar

from oms.errors import ValidationError
from oms.exchange.order import keeps_priority


class Waiting(Protocol):
    """What can wait: anything with a price and a quantity."""

    price_ticks: int
    quantity_lots: int


T = TypeVar("T", bound=Waiting)


class OrderQueue(Generic[T]):
    """Two lanes: cancels of orders already sent go first, all else in arrival order; and beside
    them what is held until its market is no longer halted, and is sent by nobody meanwhile.

    size_max: bound of the main lane and what is held, 1 or more. The urgent lane needs none of
    its own: an order has at most one cancel on its way. main, urgent, held: to be looked at only.
    """

    def __init__(self, size_max: int = 100_000) -> None:
        if type(size_max) is not int or size_max < 1:
            raise ValidationError("size_max", size_max, "a whole number, 1 or more")
        self.size_max = size_max
        self._lock = threading.Lock()
        self.main: OrderedDict[int, T] = OrderedDict()
        self.urgent: OrderedDict[int, T] = OrderedDict()
        self.held: OrderedDict[int, T] = OrderedDict()
        self.peak = 0

    def add_order(self, order_id: int, order: T, *, urgent: bool = False) -> bool:
        """Put an order at the back of its lane; False if the main lane is full.

        Raises ValidationError if the id is no whole number, or of an order that waits already, or
        if there is no order.
        """
        if type(order_id) is not int:
            raise ValidationError("order_id", order_id, "a whole number")
        if order is None:  # the answer of get_next_order when nothing waits
            raise ValidationError("order", order, "an order")
        with self._lock:
            if order_id in self.main or order_id in self.urgent:
                raise ValidationError("order_id", order_id, "an id of no order that waits")
            if urgent:
                self.urgent[order_id] = order
                return True
            size = len(self.main) + len(self.held)
            if size >= self.size_max:
                return False
            self.main[order_id] = order
            if size >= self.peak:
                self.peak = size + 1
            return True

    def hold(self, order_id: int, order: T) -> None:
        """Keep an order that is in no lane until it is released; the caller looked for room."""
        with self._lock:
            self.held[order_id] = order

    def release(self, order_ids: Sequence[int]) -> None:
        """Put what was held at the front of the main lane, in this order: it came first."""
        with self._lock:
            for order_id in reversed(order_ids):
                self.main[order_id] = self.held.pop(order_id)
                self.main.move_to_end(order_id, last=False)

    def modify_order(self, order_id: int, price_ticks: int, quantity_lots: int) -> T | None:
        """Change a waiting order; None if it no longer waits.

        Less quantity at the same price keeps the place, anything else goes to the back. Raises
        ValidationError on a price below 0 (a market order has 0) or a quantity below 1.
        """
        for name, value, least in (
            ("price_ticks", price_ticks, 0), ("quantity_lots", quantity_lots, 1),
        ):  # fmt: skip
            if type(value) is not int or value < least:
                raise ValidationError(name, value, f"a whole number, {least} or more")
        with self._lock:
            lane = self.held if order_id in self.held else self.main
            order = lane.get(order_id)
            if order is None:
                return None
            try:
                before = order.price_ticks, order.quantity_lots
            except AttributeError:
                expected = "an order with price_ticks and quantity_lots"
                raise ValidationError("order", order, expected) from None
            keeps = keeps_priority(before[0], price_ticks, before[1], quantity_lots)
            order.price_ticks = price_ticks
            order.quantity_lots = quantity_lots
            if not keeps:
                lane.move_to_end(order_id)
            return order

    def move(self, order_id: int, *, keeps: bool) -> None:
        """A waiting order was changed: it keeps its place, or goes to the back."""
        if not keeps:
            with self._lock:
                (self.held if order_id in self.held else self.main).move_to_end(order_id)

    def cancel_order(self, order_id: int) -> T | None:
        """Take a waiting order out; None if it no longer waits."""
        with self._lock:
            for lane in (self.main, self.urgent, self.held):
                if order_id in lane:
                    return lane.pop(order_id)
            return None

    def get_next_order(self, *, urgent_only: bool = False) -> T | None:
        """Take the next order to send; None if none waits."""
        if not self.urgent and not self.main:
            return None  # without the lock: who adds in this instant is served next time
        with self._lock:
            if self.urgent:
                return self.urgent.popitem(last=False)[1]
            if self.main and not urgent_only:
                return self.main.popitem(last=False)[1]
            return None

    def waiting(self) -> list[T]:
        """What waits, in the order it will be sent; what is held when its market goes on first."""
        with self._lock:
            return [*self.urgent.values(), *self.held.values(), *self.main.values()]

    @property
    def size(self) -> int:
        return len(self.main) + len(self.urgent) + len(self.held)

    def __contains__(self, order_id: object) -> bool:
        return order_id in self.main or order_id in self.urgent or order_id in self.held
