"""The order book: price, then age; trades at the resting price; never crossed."""

from fractions import Fraction

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from oms.exchange.book import OrderBook
from oms.exchange.levels import EMPTY_LEVELS_MAX, PriceLevel
from oms.messages import Side
from tests.reference_book import ReferenceBook

BUY, SELL = Side.BUY, Side.SELL


def test_a_market_buy_walks_the_asks_from_the_best():
    """15 against 5 and 3 at 98, 10 at 100, 20 at 105: 1,484 in all, 98.93 on average."""
    # given four sellers at three prices
    book = OrderBook()
    book.add_order(3, SELL, 100, 10)
    book.add_order(1, SELL, 98, 5)
    book.add_order(4, SELL, 105, 20)
    book.add_order(2, SELL, 98, 3)

    # when somebody buys 15 at any price
    fills, left = book.match_order(BUY, None, 15)

    # then the best price goes first, at one price the older; the third seller keeps 3
    assert fills == [(1, 98, 5), (2, 98, 3), (3, 100, 7)]
    assert left == 0
    paid = sum(price * lots for _, price, lots in fills)
    assert paid == 1_484
    assert round(Fraction(paid, 15), 2) == Fraction("98.93")
    assert book.open_lots(3) == 3
    assert book.get_depth(5) == ([], [(100, 3), (105, 20)])


def test_a_limit_order_trades_at_the_resting_price_and_rests_with_the_remainder():
    """Whoever arrives gets the better of the two prices."""
    # given an offer at 98
    book = OrderBook()
    book.add_order(1, SELL, 98, 5)

    # when somebody bids 101 for more than that
    fills = book.add_order(2, BUY, 101, 8)

    # then 5 trade at 98, and 3 wait at 101
    assert fills == [(1, 98, 5)]
    assert (book.best_bid, book.best_ask) == (101, None)
    assert book.open_lots(2) == 3
    assert book.volume_at(BUY, 101) == 3


def test_less_quantity_keeps_the_place_in_the_queue():
    """The older order still goes first, with what it has now."""
    book = OrderBook()
    book.add_order(1, SELL, 98, 5)
    book.add_order(2, SELL, 98, 5)
    book.reduce_order(1, 2)
    assert book.match_order(BUY, 98, 4) == ([(1, 98, 2), (2, 98, 2)], 0)


def test_an_order_is_canceled_once():
    """The second time there is nothing to cancel."""
    book = OrderBook()
    book.add_order(1, SELL, 98, 5)
    assert book.cancel_order(1) == (SELL, 98, 5)
    assert book.cancel_order(1) is None
    assert (len(book), book.best_ask, book.open_lots(1)) == (0, None, 0)


def test_a_book_is_quoted_by_its_best_levels_alone():
    """Empty levels in between don't count."""
    book = OrderBook()
    for order_id, price in enumerate((95, 96, 97), 1):
        book.add_order(order_id, BUY, price, order_id)
    book.cancel_order(2)
    assert book.get_depth(1) == ([(97, 3)], [])
    assert book.get_depth(2) == ([(97, 3), (95, 1)], [])
    assert book.get_depth(0) == ([], [])


def test_prices_that_nobody_comes_back_to_do_not_pile_up():
    """An order at a new price, canceled, ten thousand times: P12, every table has a bound."""
    # given one bid that stays
    book = OrderBook()
    book.add_order(0, BUY, 20_000, 1)

    # when somebody quotes each price below it once
    for price in range(1, 10_001):
        book.add_order(price, BUY, price, 1)
        book.cancel_order(price)

    # then the levels that ran empty are forgotten, and the bid is not
    assert len(book._bids.levels) <= 2 + EMPTY_LEVELS_MAX
    assert book.get_depth(5) == ([(20_000, 1)], [])
    book.check()


def test_a_deep_level_is_drained_in_order():
    """100,000 orders at one price, taken one by one; benchmarks/deep_level.py has the figure.

    What makes it cheap is that the level is an OrderedDict: a plain dict emptied from its front
    looks again at all the holes, which would be five billion steps here.
    """
    # given 100,000 sellers at one price
    book, count = OrderBook(), 100_000
    for order_id in range(1, count + 1):
        book.add_order(order_id, SELL, 98, 1)

    # when as many buyers come, one after the other
    makers = [book.add_order(-n, BUY, 98, 1)[0][0] for n in range(1, count + 1)]

    # then the oldest was always the next
    assert makers == list(range(1, count + 1))
    assert len(book) == 0
    assert hasattr(PriceLevel().orders, "move_to_end")


class BookMachine(RuleBasedStateMachine):
    """Whatever the orders, the book and one list, scanned, tell the same story."""

    sides = st.sampled_from([BUY, SELL])
    prices = st.integers(98, 103)  # few prices, so that orders meet
    quantities = st.integers(1, 6)
    picks = st.integers(0, 1_000)

    def __init__(self):
        super().__init__()
        self.book, self.reference, self.count = OrderBook(), ReferenceBook(), 0

    def pick(self, number):
        """An order that rests, mostly; else one that ended or never was."""
        ids = [order.order_id for order in self.reference.orders]
        return ids[number % len(ids)] if ids and number % 5 else number

    @rule(side=sides, price=prices, lots=quantities)
    def add(self, side, price, lots):
        self.count += 1
        fills = self.book.add_order(self.count, side, price, lots)
        assert fills == self.reference.add(self.count, side is BUY, price, lots)

    @rule(side=sides, price=st.none() | prices, lots=quantities)
    def match(self, side, price, lots):
        whole = self.book.fillable(side, price, lots)
        assert whole == self.reference.fillable(side is BUY, price, lots)
        fills, left = self.book.match_order(side, price, lots)
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
        expected = (BUY if gone.buys else SELL, gone.price, gone.lots) if gone else None
        assert self.book.cancel_order(order_id) == expected

    @rule(number=picks, lots=quantities)
    def reduce(self, number, lots):
        order = self.reference.find(self.pick(number))
        if order is not None and lots <= order.lots:
            self.book.reduce_order(order.order_id, lots)
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
        assert self.book.priority() == self.reference.priority()
        assert self.book.order_ids() == [order.order_id for order in self.reference.orders]
        assert len(self.book) == len(self.reference.orders)


TestBook = BookMachine.TestCase
TestBook.settings = settings(max_examples=150, stateful_step_count=50, deadline=None)


class WideBookMachine(BookMachine):
    """The same with many prices, so that levels run empty, are swept and made again."""

    prices = st.integers(1, 400)

    @rule(side=BookMachine.sides, first=st.integers(1, 300), canceled=st.booleans())
    def add_many(self, side, first, canceled):
        for price in range(first, first + 100):
            self.add(side, price, 1)
            if canceled:
                self.book.cancel_order(self.count)
                self.reference.cancel(self.count)


TestWideBook = WideBookMachine.TestCase
TestWideBook.settings = settings(max_examples=40, stateful_step_count=15, deadline=None)
