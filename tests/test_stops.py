"""The stop book: what a trade price reaches triggers, nearest stop first, then oldest."""

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from oms.enums import Side
from oms.exchange.stops import StopBook
from tests.examples import many

BUY, SELL = Side.BUY, Side.SELL


def book_of(*orders):
    """A stop book with these (order id, side, stop price)."""
    book = StopBook()
    for order in orders:
        book.add(*order)
    return book


def test_a_rising_price_triggers_the_lowest_buy_stop_first():
    """Stops at 103, 101, 102 and 101 again; a trade at 102."""
    # given four buyers who wait for the price to rise
    book = book_of((1, BUY, 103), (2, BUY, 101), (3, BUY, 102), (4, BUY, 101))

    # when somebody trades at 102
    triggered = book.take_triggered(102)

    # then 101 goes before 102, at one price the older; 103 waits on
    assert triggered == [2, 4, 3]
    assert book.entries() == [(1, 103)]
    book.check()


def test_a_falling_price_triggers_the_highest_sell_stop_first():
    """The same downwards."""
    book = book_of((1, SELL, 97), (2, SELL, 99), (3, SELL, 98), (4, SELL, 99))
    assert book.take_triggered(98) == [2, 4, 3]
    assert book.entries() == [(1, 97)]
    book.check()


def test_one_price_may_trigger_both_sides():
    """Buys go first, whoever is older."""
    book = book_of((1, SELL, 100), (2, BUY, 100), (3, SELL, 105), (4, BUY, 95))
    assert book.take_triggered(100) == [4, 2, 3, 1]
    assert len(book) == 0
    book.check()


def test_a_stop_is_reached_at_its_price_and_not_a_tick_before():
    """Buy at 102, sell at 98."""
    # given one of each
    book = book_of((1, BUY, 102), (2, SELL, 98))

    # when the price moves in between, then nothing triggers
    assert [book.take_triggered(price) for price in (99, 100, 101)] == [[], [], []]
    assert len(book) == 2

    # when it gets there, each triggers, once
    assert book.take_triggered(102) == [1]
    assert book.take_triggered(98) == [2]
    assert (book.take_triggered(102), book.take_triggered(98)) == ([], [])


def test_a_removed_stop_never_triggers():
    """The second time there is nothing to remove."""
    book = book_of((1, BUY, 102), (2, BUY, 102))
    assert 1 in book
    assert book.remove(1) is True
    assert book.remove(1) is False
    assert 1 not in book
    assert book.take_triggered(102) == [2]
    assert book.remove(2) is False


def test_a_stop_that_loses_its_place_goes_behind_its_price():
    """A change is a removal and an addition."""
    book = book_of((1, SELL, 98), (2, SELL, 98))
    book.remove(1)
    book.add(1, SELL, 98)
    assert book.take_triggered(98) == [2, 1]


def test_the_entries_rebuild_the_book():
    """Buys then sells; each side next to trigger first, at one price oldest first."""
    # given stops on both sides, two at one price
    sides = {1: SELL, 2: BUY, 3: SELL, 4: BUY, 5: BUY}
    stops = {1: 97, 2: 103, 3: 99, 4: 101, 5: 103}
    book = book_of(*((n, sides[n], stops[n]) for n in sides))

    # when they are added to an empty book in the order of its entries
    entries = book.entries()
    again = book_of(*((order_id, sides[order_id], stop) for order_id, stop in entries))

    # then it is the same book
    assert entries == [(4, 101), (2, 103), (5, 103), (3, 99), (1, 97)]
    assert again.entries() == entries
    assert again.take_triggered(103) == book.take_triggered(103) == [4, 2, 5]


def test_an_order_is_suspended_once():
    """Twice, or at no price, is our mistake."""
    book = book_of((1, BUY, 102))
    with pytest.raises(AssertionError):
        book.add(1, SELL, 98)
    with pytest.raises(AssertionError):
        book.add(2, SELL, 0)
    assert book.entries() == [(1, 102)]
    book.check()


def test_trades_that_trigger_nothing_cost_nothing():
    """100,000 trades over 20,000 stops: looking at each would be two billion steps."""
    # given stops at many prices, on both sides of the market
    count = 10_000
    book = StopBook()
    for n in range(1, count + 1):
        book.add(n, SELL, n)
        book.add(-n, BUY, 2 * count + n)

    # when the market trades in between
    triggered = [book.take_triggered(count + 1 + n % count) for n in range(100_000)]

    # then nothing triggers
    assert not any(triggered)
    assert len(book) == 2 * count


def test_a_deep_level_is_removed_and_triggered_in_order():
    """100,000 stops at one price; the older half is canceled one by one, the rest triggers."""
    # given them
    book, count = StopBook(), 100_000
    for order_id in range(count):
        book.add(order_id, BUY, 100)

    # when half of them go, oldest first, and then the price gets there
    assert all(book.remove(order_id) for order_id in range(count // 2))
    triggered = book.take_triggered(100)

    # then the others trigger in the order they came
    assert triggered == list(range(count // 2, count))
    assert len(book) == 0
    book.check()


class ListOfStops:
    """What StopBook does, as plainly as can be: one list, oldest first, searched each time."""

    def __init__(self):
        self.orders = []

    def add(self, *order):
        self.orders.append(order)

    def remove(self, order_id):
        kept = [order for order in self.orders if order[0] != order_id]
        removed, self.orders = len(kept) < len(self.orders), kept
        return removed

    def take_triggered(self, last):
        buys = [o for o in self.orders if o[1] is BUY and o[2] <= last]
        sells = [o for o in self.orders if o[1] is SELL and o[2] >= last]
        self.orders = [o for o in self.orders if o not in buys + sells]
        buys.sort(key=lambda order: order[2])  # sorting keeps equals in their order
        sells.sort(key=lambda order: -order[2])
        return [order[0] for order in buys + sells]

    def ids_at(self, side, stop):
        return [order[0] for order in self.orders if order[1:] == (side, stop)]


class StopMachine(RuleBasedStateMachine):
    """Whatever the orders and prices, the stop book and one list tell the same story."""

    sides = st.sampled_from([BUY, SELL])
    prices = st.integers(95, 105)  # few prices, so that orders share them

    def __init__(self):
        super().__init__()
        self.book, self.reference, self.count = StopBook(), ListOfStops(), 0

    @rule(side=sides, stop=prices)
    def add(self, side, stop):
        self.count += 1
        self.book.add(self.count, side, stop)
        self.reference.add(self.count, side, stop)

    @rule(first=st.integers(90, 100))
    def add_many(self, first):
        for n in range(8):
            self.add(BUY if n % 3 else SELL, first + 2 * n)

    @rule(number=st.integers(0, 1_000))
    def remove(self, number):
        """An order that waits, mostly; else one that triggered, or never was."""
        ids = [order[0] for order in self.reference.orders]
        order_id = ids[number % len(ids)] if ids and number % 5 else number
        assert (order_id in self.book) == (order_id in ids)
        assert self.book.remove(order_id) == self.reference.remove(order_id)

    @rule(last=st.integers(85, 115))
    def trade(self, last):
        assert self.book.take_triggered(last) == self.reference.take_triggered(last)

    @rule()
    def rebuild(self):
        """After a restart the entries are all that is known; the side is the order's own."""
        sides = {order_id: side for order_id, side, _ in self.reference.orders}
        again, entries = StopBook(), self.book.entries()
        for order_id, stop in entries:
            again.add(order_id, sides[order_id], stop)
        assert again.entries() == entries
        self.book = again

    @invariant()
    def sound(self):
        self.book.check()  # asserts every invariant of the structure

    @invariant()
    def same(self):
        entries, orders = self.book.entries(), self.reference.orders
        assert len(self.book) == len(entries) == len(orders)
        assert sorted(entries) == sorted((order_id, stop) for order_id, _, stop in orders)
        buys = sum(side is BUY for _, side, _ in orders)
        for side, part in ((BUY, entries[:buys]), (SELL, entries[buys:])):
            for stop in {stop for _, stop in part}:
                ids = [order_id for order_id, at in part if at == stop]
                assert ids == self.reference.ids_at(side, stop)


TestStops = StopMachine.TestCase
TestStops.settings = settings(max_examples=many(150), stateful_step_count=40)
