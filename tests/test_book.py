"""The order book: price, then age; trades at the resting price; never crossed."""

from fractions import Fraction

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from oms.enums import OrderType, Side, TimeInForce
from oms.exchange.book import EMPTY_LEVELS_MAX, OrderBook
from oms.exchange.order import Order
from tests.examples import many
from tests.fakes import INSTRUMENTS
from tests.reference_book import ReferenceBook

BUY, SELL = Side.BUY, Side.SELL


class Shelf:
    """An order book whose orders are named by their ids."""

    def __init__(self):
        self.book = OrderBook()
        self.orders = {}

    def add(self, order_id, side, price, lots):
        """An order comes in; its fills as (maker's id, price, lots)."""
        order = self.orders[order_id] = Order(
            order_id, "me", f"{order_id}", INSTRUMENTS[0], side, OrderType.LIMIT, TimeInForce.GTC,
            price, lots,
        )  # fmt: skip
        return by_ids(self.book.add(order))

    def match(self, side, price, lots):
        fills, left = self.book.match(side, price, lots)
        return by_ids(fills), left

    def cancel(self, order_id):
        """Whether it was there: who never was is not."""
        order = self.orders.get(order_id)
        return order is not None and self.book.cancel(order)

    def reduce(self, order_id, lots):
        self.book.reduce(self.orders[order_id], lots)

    def open_lots(self, order_id):
        """Of an order that rests; 0 for all others."""
        order = self.orders[order_id]
        return order.leaves_lots if order.level is not None else 0

    def priority(self):
        return [order.order_id for order in self.book.orders()]

    def by_entry(self):
        """Ids in the order in which they entered the book."""
        entered = sorted(self.book.orders(), key=lambda order: order.entered)
        return [order.order_id for order in entered]


def by_ids(fills):
    return [(maker.order_id, price, lots) for maker, price, lots in fills]


def test_a_market_buy_walks_the_asks_from_the_best():
    """15 against 5 and 3 at 98, 10 at 100, 20 at 105: 1,484 in all, 98.93 on average."""
    # given four sellers at three prices
    shelf = Shelf()
    shelf.add(3, SELL, 100, 10)
    shelf.add(1, SELL, 98, 5)
    shelf.add(4, SELL, 105, 20)
    shelf.add(2, SELL, 98, 3)

    # when somebody buys 15 at any price
    fills, left = shelf.match(BUY, None, 15)

    # then the best price goes first, at one price the older; the third seller keeps 3
    assert fills == [(1, 98, 5), (2, 98, 3), (3, 100, 7)]
    assert left == 0
    paid = sum(price * lots for _, price, lots in fills)
    assert paid == 1_484
    assert round(Fraction(paid, 15), 2) == Fraction("98.93")
    assert shelf.open_lots(3) == 3
    assert shelf.book.get_depth(5) == ([], [(100, 3), (105, 20)])


def test_a_limit_order_trades_at_the_resting_price_and_rests_with_the_remainder():
    """Whoever arrives gets the better of the two prices."""
    # given an offer at 98
    shelf = Shelf()
    shelf.add(1, SELL, 98, 5)

    # when somebody bids 101 for more than that
    fills = shelf.add(2, BUY, 101, 8)

    # then 5 trade at 98, and 3 wait at 101
    assert fills == [(1, 98, 5)]
    assert (shelf.book.best_bid, shelf.book.best_ask) == (101, None)
    assert shelf.open_lots(2) == 3
    assert shelf.book.volume_at(BUY, 101) == 3


def test_less_quantity_keeps_the_place_in_the_queue():
    """The older order still goes first, with what it has now."""
    shelf = Shelf()
    shelf.add(1, SELL, 98, 5)
    shelf.add(2, SELL, 98, 5)
    shelf.reduce(1, 2)
    assert shelf.match(BUY, 98, 4) == ([(1, 98, 2), (2, 98, 2)], 0)


def test_an_order_is_canceled_once():
    """The second time there is nothing to cancel."""
    shelf = Shelf()
    shelf.add(1, SELL, 98, 5)
    assert shelf.cancel(1)
    assert not shelf.cancel(1)
    assert (shelf.priority(), shelf.book.best_ask, shelf.open_lots(1)) == ([], None, 0)


def test_a_book_is_quoted_by_its_best_levels_alone():
    """Empty levels in between don't count."""
    shelf = Shelf()
    for order_id, price in enumerate((95, 96, 97), 1):
        shelf.add(order_id, BUY, price, order_id)
    shelf.cancel(2)
    assert shelf.book.get_depth(1) == ([(97, 3)], [])
    assert shelf.book.get_depth(2) == ([(97, 3), (95, 1)], [])
    assert shelf.book.get_depth(0) == ([], [])


def test_prices_that_nobody_comes_back_to_do_not_pile_up():
    """An order at a new price, canceled, ten thousand times: P12, every table has a bound."""
    # given one bid that stays
    shelf = Shelf()
    shelf.add(0, BUY, 20_000, 1)

    # when somebody quotes each price below it once
    for price in range(1, 10_001):
        shelf.add(price, BUY, price, 1)
        shelf.cancel(price)

    # then the levels that ran empty are forgotten, and the bid is not
    assert len(shelf.book.bids.levels) <= 2 + EMPTY_LEVELS_MAX
    assert shelf.book.get_depth(5) == ([(20_000, 1)], [])
    shelf.book.check()


def test_a_deep_level_is_drained_in_order():
    """100,000 orders at one price, taken one by one; benchmarks/deep_level.py has the figure.

    What makes it cheap is that each order knows its neighbours: a dict emptied from its front
    looks again at all the holes, which would be five billion steps here.
    """
    # given 100,000 sellers at one price
    shelf, count = Shelf(), 100_000
    for order_id in range(1, count + 1):
        shelf.add(order_id, SELL, 98, 1)

    # when as many buyers come, one after the other
    makers = [shelf.add(-n, BUY, 98, 1)[0][0] for n in range(1, count + 1)]

    # then the oldest was always the next
    assert makers == list(range(1, count + 1))
    assert shelf.priority() == []


class BookMachine(RuleBasedStateMachine):
    """Whatever the orders, the book and one list, scanned, tell the same story."""

    sides = st.sampled_from([BUY, SELL])
    prices = st.integers(98, 103)  # few prices, so that orders meet
    quantities = st.integers(1, 6)
    picks = st.integers(0, 1_000)

    def __init__(self):
        super().__init__()
        self.shelf, self.reference, self.count = Shelf(), ReferenceBook(), 0
        self.book = self.shelf.book

    def pick(self, number):
        """An order that rests, mostly; else one that ended or never was."""
        ids = [order.order_id for order in self.reference.orders]
        return ids[number % len(ids)] if ids and number % 5 else number

    @rule(side=sides, price=prices, lots=quantities)
    def add(self, side, price, lots):
        self.count += 1
        fills = self.shelf.add(self.count, side, price, lots)
        assert fills == self.reference.add(self.count, side is BUY, price, lots)
        resting = self.reference.find(self.count)
        assert self.shelf.open_lots(self.count) == (resting.lots if resting else 0)

    @rule(side=sides, price=st.none() | prices, lots=quantities)
    def match(self, side, price, lots):
        whole = self.book.fillable(side, price, lots)
        assert whole == self.reference.fillable(side is BUY, price, lots)
        fills, left = self.shelf.match(side, price, lots)
        assert (fills, left) == self.reference.match(side is BUY, price, lots)
        assert whole == (left == 0)

    @rule(side=sides, price=st.none() | prices, lots=st.integers(1, 40))
    def ask_if_fillable(self, side, price, lots):
        assert self.book.fillable(side, price, lots) == self.reference.fillable(
            side is BUY, price, lots
        )

    @rule(number=picks)
    def cancel(self, number):
        order_id = self.pick(number)
        gone = self.reference.cancel(order_id)
        assert self.shelf.cancel(order_id) == (gone is not None)
        if gone is not None:
            order = self.shelf.orders[order_id]
            what = (order.side, order.price_ticks, order.leaves_lots)
            assert what == (BUY if gone.buys else SELL, gone.price, gone.lots)

    @rule(number=picks, lots=quantities)
    def reduce(self, number, lots):
        order = self.reference.find(self.pick(number))
        if order is not None and lots <= order.lots:
            self.shelf.reduce(order.order_id, lots)
            order.lots = lots

    @invariant()
    def sound(self):
        self.book.check()  # asserts every invariant of the structure

    @invariant()
    def same(self):
        bids, asks = self.reference.depth(True), self.reference.depth(False)
        assert self.book.get_depth(1_000) == (bids, asks)
        assert self.book.best_bid == (bids[0][0] if bids else None)
        assert self.book.best_ask == (asks[0][0] if asks else None)
        assert self.shelf.priority() == self.reference.priority()
        assert self.shelf.by_entry() == [order.order_id for order in self.reference.orders]
        assert all(
            self.shelf.open_lots(order.order_id) == order.lots for order in self.reference.orders
        )


TestBook = BookMachine.TestCase
TestBook.settings = settings(max_examples=many(150), stateful_step_count=50)


class WideBookMachine(BookMachine):
    """The same with many prices, so that levels run empty, are swept and made again."""

    prices = st.integers(1, 400)

    @rule(side=BookMachine.sides, first=st.integers(1, 300), canceled=st.booleans())
    def add_many(self, side, first, canceled):
        for price in range(first, first + 100):
            self.add(side, price, 1)
            if canceled:
                self.shelf.cancel(self.count)
                self.reference.cancel(self.count)


TestWideBook = WideBookMachine.TestCase
TestWideBook.settings = settings(max_examples=many(40), stateful_step_count=15)


def test_what_is_ahead_is_what_is_shown_at_the_same_price():
    """Older orders of the same side and price; what is filled or canceled is ahead no more."""
    shelf = Shelf()
    for order_id, price, lots in ((1, 100, 5), (2, 101, 7), (3, 100, 3), (4, 100, 2)):
        shelf.add(order_id, BUY, price, lots)

    def ahead(order_id, orders_max=10):
        return OrderBook.ahead_of(shelf.orders[order_id], orders_max)

    assert [ahead(order_id) for order_id in (1, 2, 3, 4)] == [(0, 0), (0, 0), (1, 5), (2, 8)]
    assert (ahead(4, 2), ahead(4, 1)) == ((2, 8), None)
    shelf.match(SELL, None, 8)
    assert [ahead(order_id) for order_id in (1, 2, 3, 4)] == [(0, 0), None, (1, 4), (2, 7)]
    shelf.cancel(1)
    assert [ahead(order_id) for order_id in (1, 3, 4)] == [None, (0, 0), (1, 3)]
