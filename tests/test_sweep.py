"""What an arriving order meets: icebergs come again, and nobody meets himself."""

import pytest

from oms.enums import OrderType, SelfTrade, Side, TimeInForce
from oms.exchange.book import OrderBook
from oms.exchange.order import Order, Terms
from oms.exchange.sweep import Quantity, sweep
from tests.fakes import INSTRUMENTS

BUY, SELL = Side.BUY, Side.SELL
X = INSTRUMENTS[0]


def order(number, side, lots, price=100, account="you", display=0):
    terms = Terms(display_lots=display) if display else None
    return Order(
        number, account, f"o{number}", X, side, OrderType.LIMIT, TimeInForce.GTC, price, lots,
        terms=terms,
    )  # fmt: skip


def book_of(*orders):
    book = OrderBook()
    for each in orders:
        if each.terms is None:
            book.add(each, False)
        else:
            book.add_iceberg(each)
    return book


def steps(book, taker, mode=SelfTrade.NONE):
    """The steps in few words: what, whom, lots."""
    wanted = Quantity(taker.leaves_lots)
    found = sweep(book, taker, taker.price_ticks, wanted, is_mine, mode)
    return [(kind.value, met.order_id, lots) for kind, met, _, lots in found]


def is_mine(maker):
    return maker.account == "me"


def test_an_iceberg_trades_its_hidden_lots_behind_those_who_waited():
    # given 10 lots of which 3 show, and 4 of somebody behind them
    book = book_of(order(1, SELL, 10, display=3), order(2, SELL, 4))

    # when 15 are wanted
    met = steps(book, order(9, BUY, 15))

    # then
    assert met == [
        ("TRADE", 1, 3), ("TRADE", 2, 4), ("TRADE", 1, 3), ("TRADE", 1, 3), ("TRADE", 1, 1),
    ]  # fmt: skip


def test_looking_changes_nothing():
    book = book_of(order(1, SELL, 10, display=3), order(2, SELL, 4))
    before = book.levels(SELL)

    steps(book, order(9, BUY, 15))

    assert book.levels(SELL) == before
    book.check()


@pytest.mark.parametrize(
    ("mode", "expected"),
    [
        (SelfTrade.NONE, [("TRADE", 1, 2), ("TRADE", 2, 3), ("TRADE", 3, 4)]),
        (SelfTrade.CANCEL_NEWEST, [("TRADE", 1, 2), ("CANCELED", 9, 0)]),
        (SelfTrade.CANCEL_OLDEST, [("TRADE", 1, 2), ("CANCELED", 2, 0), ("TRADE", 3, 4)]),
        (SelfTrade.CANCEL_BOTH, [("TRADE", 1, 2), ("CANCELED", 2, 0), ("CANCELED", 9, 0)]),
        (
            SelfTrade.DECREMENT,
            [("TRADE", 1, 2), ("CANCELED", 2, 0), ("RESTATED", 9, 3), ("TRADE", 3, 4)],
        ),
    ],
)
def test_an_order_meets_its_own_account(mode, expected):
    """2 lots of somebody, 3 of its own, 4 of somebody; 9 or more are wanted."""
    book = book_of(order(1, SELL, 2), order(2, SELL, 3, account="me"), order(3, SELL, 4))
    assert steps(book, order(9, BUY, 20, account="me"), mode) == expected


@pytest.mark.parametrize(
    ("lots", "expected"),
    [
        (2, [("CANCELED", 9, 0), ("RESTATED", 2, 2)]),
        (3, [("CANCELED", 2, 0), ("CANCELED", 9, 0)]),
    ],
)
def test_the_smaller_of_two_own_orders_goes_and_the_larger_gets_smaller(lots, expected):
    book = book_of(order(2, SELL, 3, account="me"), order(3, SELL, 4))
    assert steps(book, order(9, BUY, lots, account="me"), SelfTrade.DECREMENT) == expected


def test_an_own_iceberg_that_was_canceled_does_not_come_again():
    book = book_of(order(1, SELL, 10, account="me", display=3), order(2, SELL, 4))
    met = steps(book, order(9, BUY, 20, account="me"), SelfTrade.CANCEL_OLDEST)
    assert met == [("CANCELED", 1, 0), ("TRADE", 2, 4)]
