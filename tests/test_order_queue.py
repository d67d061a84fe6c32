"""The waiting queue: first in, first out; changed or taken back in place; bounded."""

import sys
import threading
from collections import OrderedDict
from dataclasses import dataclass
from functools import partial

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from oms import OrderQueue
from oms.errors import ValidationError
from tests.examples import many

SIZE_MAX = 6


@dataclass(eq=False)
class Waiting:
    """The least that can wait."""

    order_id: int
    price_ticks: int = 100
    quantity_lots: int = 10


def queue_of(*order_ids, size_max=100):
    queue = OrderQueue(size_max)
    for order_id in order_ids:
        assert queue.add_order(order_id, Waiting(order_id))
    return queue


def drain(queue):
    return [order.order_id for order in iter(queue.get_next_order, None)]


def guarded(name):
    """The method of an OrderedDict that looks first whether the lock is held."""

    def method(self, *args, **named):
        assert self.lock.locked(), f"{name} without the lock"
        return getattr(OrderedDict, name)(self, *args, **named)

    return method


class Guarded(OrderedDict):
    """Whoever takes something out, or changes what is there, has the lock."""

    lock = threading.Lock()
    __setitem__, get, pop = map(guarded, ("__setitem__", "get", "pop"))
    popitem, move_to_end = map(guarded, ("popitem", "move_to_end"))


def test_whatever_changes_the_queue_has_its_lock():
    # given a queue that looks whether its lock is held
    queue = OrderQueue()
    queue.main, queue.urgent = Guarded(), Guarded()
    Guarded.lock = queue._lock

    # when every method has been at it
    for order_id in range(4):
        queue.add_order(order_id, Waiting(order_id))
    queue.add_order(9, Waiting(9), urgent=True)
    queue.modify_order(0, 101, 10)
    queue.modify_order(1, 100, 5)
    queue.move(2, keeps=False)
    queue.cancel_order(3)

    # then
    assert drain(queue) == [9, 1, 0, 2]


def test_orders_leave_as_they_came():
    """First in, first out."""
    assert drain(queue_of(3, 1, 2)) == [3, 1, 2]


def test_a_full_queue_says_no_and_takes_again_when_there_is_room():
    """The bound is exact: the hundred-and-first order of a hundred is refused."""
    queue = queue_of(*range(100))
    assert not queue.add_order(100, Waiting(100))
    assert (queue.size, queue.peak) == (100, 100)
    queue.get_next_order()
    assert queue.add_order(101, Waiting(101))
    assert drain(queue) == [*range(1, 100), 101]


@pytest.mark.parametrize("size_max", [0, -1, "5", 1.0, True])
def test_a_queue_that_could_hold_nothing_is_refused(size_max):
    """size_max is 1 or more."""
    with pytest.raises(ValidationError, match="size_max: expected a whole number, 1 or more"):
        OrderQueue(size_max)


@pytest.mark.parametrize(
    ("price", "quantity", "expected"),
    [
        (100, 10, [1, 2, 3]),  # nothing changed
        (100, 9, [1, 2, 3]),  # less at the same price
        (100, 11, [2, 3, 1]),  # more
        (101, 10, [2, 3, 1]),  # a better price
        (99, 9, [2, 3, 1]),  # a worse one, and less
    ],
)
def test_less_at_the_same_price_keeps_the_place_and_all_else_loses_it(price, quantity, expected):
    """The rule of the book holds in the queue too."""
    # given three orders
    queue = queue_of(1, 2, 3)

    # when the first is changed
    changed = queue.modify_order(1, price, quantity)

    # then it has its new terms, and the place that the rule gives it
    assert (changed.price_ticks, changed.quantity_lots) == (price, quantity)
    assert [order.order_id for order in queue.waiting()] == expected


def test_what_no_longer_waits_can_be_neither_changed_nor_taken_back():
    """None says so; nothing else happens."""
    queue = queue_of(1, 2)
    assert queue.get_next_order().order_id == 1
    assert queue.modify_order(1, 100, 5) is None
    assert queue.cancel_order(1) is None
    assert 1 not in queue and 2 in queue


def test_cancels_of_sent_orders_overtake_and_are_never_turned_away():
    """The urgent lane goes first, and has room when the main lane has none."""
    queue = queue_of(1, 2, size_max=2)
    assert queue.add_order(9, Waiting(9), urgent=True)
    assert (queue.size, len(queue.urgent), queue.peak) == (3, 1, 2)
    assert [order.order_id for order in queue.waiting()] == [9, 1, 2]
    assert queue.get_next_order(urgent_only=True).order_id == 9
    assert queue.get_next_order(urgent_only=True) is None
    assert drain(queue) == [1, 2]


class QueueMachine(RuleBasedStateMachine):
    """The queue and two lists tell the same story."""

    prices = st.integers(100, 102)
    quantities = st.integers(1, 3)
    numbers = st.integers(0, 50)

    def __init__(self):
        super().__init__()
        self.queue = OrderQueue(SIZE_MAX)
        self.main, self.urgent, self.count, self.peak = [], [], 0, 0

    @rule(price=prices, quantity=quantities, urgent=st.booleans())
    def add(self, price, quantity, urgent):
        self.count += 1
        order = Waiting(self.count, price, quantity)
        fits = urgent or len(self.main) < SIZE_MAX
        assert self.queue.add_order(self.count, order, urgent=urgent) == fits
        if fits:
            (self.urgent if urgent else self.main).append(order)
        self.peak = max(self.peak, len(self.main))

    def pick(self, number):
        orders = self.urgent + self.main
        return orders[number % len(orders)].order_id if orders and number % 5 else number

    @rule(number=numbers, price=prices, quantity=quantities)
    def modify(self, number, price, quantity):
        order_id = self.pick(number)
        order = next((order for order in self.main if order.order_id == order_id), None)
        before = (order.price_ticks, order.quantity_lots) if order else (0, 0)
        assert self.queue.modify_order(order_id, price, quantity) is order
        if order is not None and (price != before[0] or quantity > before[1]):
            self.main.remove(order)
            self.main.append(order)

    @rule(number=numbers)
    def cancel(self, number):
        order_id = self.pick(number)
        found = None
        for lane in (self.main, self.urgent):
            for order in list(lane):
                if order.order_id == order_id and found is None:
                    found = order
                    lane.remove(order)
        assert self.queue.cancel_order(order_id) is found

    @rule(count=st.integers(0, 4), urgent_only=st.booleans())
    def take(self, count, urgent_only):
        expected = (self.urgent + ([] if urgent_only else self.main))[:count]
        for order in expected:
            assert self.queue.get_next_order(urgent_only=urgent_only) is order
            (self.urgent if order in self.urgent else self.main).remove(order)

    @invariant()
    def same(self):
        assert self.queue.waiting() == self.urgent + self.main
        assert self.queue.size == len(self.urgent) + len(self.main)
        assert len(self.queue.urgent) == len(self.urgent)
        assert self.queue.peak == self.peak
        assert all(order.order_id in self.queue for order in self.urgent + self.main)


TestQueue = QueueMachine.TestCase
TestQueue.settings = settings(max_examples=many(150), stateful_step_count=40)


@pytest.fixture
def eager_threads():
    """Threads that take turns a thousand times as often as they usually do."""
    interval = sys.getswitchinterval()
    sys.setswitchinterval(5e-6)
    yield
    sys.setswitchinterval(interval)


def run_all(*functions):
    threads = [threading.Thread(target=function) for function in functions]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


@pytest.mark.usefixtures("eager_threads")
def test_an_order_is_either_canceled_or_sent_never_both_never_neither():
    """P7, with threads: four cancel at random while two send."""
    # given 4,000 orders
    count = 4_000
    queue = queue_of(*range(count), size_max=count)
    sent, canceled = [], []
    started = threading.Barrier(6)

    def send():
        started.wait()
        while (order := queue.get_next_order()) is not None:
            sent.append(order.order_id)

    def take_back(first):
        started.wait()
        for order_id in range(count - 1 - first, -1, -4):
            if queue.cancel_order(order_id) is not None:
                canceled.append(order_id)

    # when they are sent from the front and canceled from the back, all at once
    run_all(send, send, *(partial(take_back, first) for first in range(4)))

    # then each order went one way
    assert sorted(sent + canceled) == list(range(count))
    assert queue.size == 0


@pytest.mark.usefixtures("eager_threads")
def test_a_change_is_sent_whole_or_not_at_all():
    """P7: while orders are changed, no sender sees new price with old quantity."""
    # given orders whose price and quantity agree
    count = 2_000
    queue = OrderQueue(count)
    for order_id in range(count):
        queue.add_order(order_id, Waiting(order_id, 1, 1))
    started = threading.Barrier(2)
    modified, sent = set(), []

    def change():
        started.wait()
        for order_id in range(count - 1, -1, -1):
            if queue.modify_order(order_id, 2, 2) is not None:
                modified.add(order_id)

    def send():
        started.wait()
        while (order := queue.get_next_order()) is not None:
            sent.append((order.order_id, order.price_ticks, order.quantity_lots))

    # when one thread changes them and another sends
    run_all(change, send)

    # then each was sent once, as modified or as it was
    assert sorted(order_id for order_id, _, _ in sent) == list(range(count))
    assert {(price, quantity) for _, price, quantity in sent} <= {(1, 1), (2, 2)}
    assert {order_id for order_id, price, _ in sent if price == 2} == modified
