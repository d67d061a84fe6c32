"""A market buy by quote quantity: the budget is what it is for, and is told how it went."""

import pytest

from oms import OrderRequest
from oms.enums import MarketOrderPolicy, SelfTrade, TimeInForce
from oms.requests import OrderTerms
from tests.test_exchange_restarts import BUY, SELL, Floor, listed

FOK, IOC = TimeInForce.FOK, TimeInForce.IOC


@pytest.fixture
def floor():
    return opened()


def opened(**terms):
    """Account a has 1000 of B, b 100000 of Q, c some of both."""
    floor_ = Floor(listed(**terms))
    floor_.seller_and_buyer()
    floor_.fund("c", B=1_000, Q=100_000)
    return floor_


def offer(floor_, *levels, account="a"):
    """Sell orders; each of (lots, price)."""
    for number, (lots, price) in enumerate(levels):
        floor_.new(account, f"{account}{number}-{price}", SELL, lots, price)


def spend(floor_, amount, tif=IOC, account="b", **terms):
    """What a budget of so much was told, each in few words; and the last text."""
    name = f"budget{next(floor_.ids)}"
    request = OrderRequest.new(
        account, name, "X", BUY, None, None, time_in_force=tif,
        terms=OrderTerms(quote_quantity=amount, **terms),
    )  # fmt: skip
    told = [each for each in floor_.told(request) if each.client_order_id == name]
    assert floor_.is_sound()
    brief = [(each.type, each.cumulative_lots, each.leaves_lots) for each in told]
    return brief, told[-1].text


# --- all that it is for ---


def test_a_budget_that_is_spent_is_filled(floor):
    """Given 5 at 100 and more at 110, 940 buys 5 and 4: the rest buys no lot."""
    offer(floor, (5, 100), (50, 110))
    told, _ = spend(floor, 940)
    assert told == [("NEW", 0, 9), ("TRADE", 5, 4), ("TRADE", 9, 0)]
    assert floor.money["b"]["Q"] == (10_000_000 - 94_000, 0)


def test_a_budget_that_the_book_cannot_take_is_canceled_and_told_what_is_left(floor):
    """Only 5 at 100 are there for 1000: 500 are left."""
    offer(floor, (5, 100))
    told, text = spend(floor, 1_000)
    assert told == [("NEW", 0, 10), ("TRADE", 5, 5), ("CANCELED", 5, 0)]
    assert text == "INSUFFICIENT_LIQUIDITY: quote_quantity_left=500"
    assert floor.money["b"]["Q"] == (10_000_000 - 50_000, 0)


def test_the_rest_of_a_budget_that_buys_no_lot_is_no_remainder(floor):
    """5 at 100 for 599: filled, though the book is empty now."""
    offer(floor, (5, 100))
    assert spend(floor, 599)[0][-1] == ("TRADE", 5, 0)


def test_fees_are_within_the_budget():
    """1 % on top: 10 at 100 cost 1010, so 1009.99 buys 9; the fee of all, rounded up once."""
    floor_ = opened(taker_fee_bps=100)
    offer(floor_, (50, 100))
    assert spend(floor_, "1009.99")[0][-1] == ("TRADE", 9, 0)
    assert spend(floor_, 1_010)[0][-1] == ("TRADE", 10, 0)


@pytest.mark.parametrize("tif", [FOK, IOC])
def test_fill_or_kill_is_about_the_whole_budget(floor, tif):
    """FOK: 500 of 1000 can be spent: nothing is. IOC: what can be."""
    offer(floor, (5, 100))
    told, text = spend(floor, 1_000, tif)
    if tif is FOK:
        assert told == [("NEW", 0, 10), ("CANCELED", 0, 0)]
        assert text == "INSUFFICIENT_LIQUIDITY: quote_quantity_left=500, policy=FOK"
        assert spend(floor, 500, FOK)[0][-1] == ("TRADE", 5, 0)
    else:
        assert told[-1] == ("CANCELED", 5, 0)


def test_all_or_none_is_about_the_whole_budget():
    floor_ = opened(market_order=MarketOrderPolicy.ALL_OR_NONE)
    offer(floor_, (5, 100))
    told, text = spend(floor_, 1_000)
    assert told == [("REJECTED", 0, 0)]
    assert text == "INSUFFICIENT_LIQUIDITY: quote_quantity_left=500, policy=all_or_none"
    assert spend(floor_, 500)[0][-1] == ("TRADE", 5, 0)


def test_a_minimum_is_asked_of_what_the_whole_budget_buys(floor):
    """8 lots of 1000 are wanted and 5 are there; 4 of 450 are there, and 5 are wanted."""
    offer(floor, (5, 100))
    told, text = spend(floor, 1_000, min_quantity=8)
    assert told == [("NEW", 0, 10), ("CANCELED", 0, 0)]
    assert text == "MIN_QUANTITY: fillable=5, min=8"
    assert spend(floor, 450, min_quantity=5)[1] == "MIN_QUANTITY: fillable=4, min=5"
    assert spend(floor, 50, min_quantity=1)[1] == "MIN_QUANTITY: fillable=0, min=1"
    assert spend(floor, 450, min_quantity=4)[0][-1] == ("TRADE", 4, 0)


# --- what really stopped it ---


def test_nothing_is_there(floor):
    assert spend(floor, 50) == (
        [("NEW", 0, 0), ("CANCELED", 0, 0)],
        "INSUFFICIENT_LIQUIDITY: quote_quantity_left=50",
    )


@pytest.mark.parametrize("tif", [FOK, IOC])
def test_a_lot_costs_more_than_the_budget(floor, tif):
    offer(floor, (5, 100))
    told, text = spend(floor, "99.99", tif)
    assert told[-1] == ("CANCELED", 0, 0)
    assert text.startswith("NOTIONAL_BELOW_MINIMUM: quote_quantity_left=99.99")


@pytest.mark.parametrize("tif", [FOK, IOC])
def test_the_breaker_stops_it(tif):
    """5 % around 100: nothing trades at 106."""
    floor_ = opened(breaker_band_bps=500, reference_price_ticks=100)
    offer(floor_, (5, 100), (5, 106))
    told, text = spend(floor_, 1_000, tif)
    assert told[-1] == ("CANCELED", 5 if tif is IOC else 0, 0)
    assert text.startswith("BREAKER: quote_quantity_left=500")


def test_its_collar_stops_it():
    """Not beyond 102: what is at 110 is not for it."""
    floor_ = opened(market_slippage_bps=200)
    offer(floor_, (5, 100), (5, 110))
    told, text = spend(floor_, 1_000)
    assert told[-1] == ("CANCELED", 5, 0)
    assert text == "INSUFFICIENT_LIQUIDITY: quote_quantity_left=500"


# --- self-trade prevention: 2 of somebody at 100, 3 of its own at 101, 50 of somebody at 102 ---

MODES = [
    ("cancel_newest", [("NEW", 0, 9), ("TRADE", 2, 7), ("CANCELED", 2, 0)], "SELF_TRADE", 3),
    ("cancel_both", [("NEW", 0, 9), ("TRADE", 2, 7), ("CANCELED", 2, 0)], "SELF_TRADE", 0),
    ("cancel_oldest", [("NEW", 0, 9), ("TRADE", 2, 7), ("TRADE", 9, 0)], "", 0),
    ("decrement", [("NEW", 0, 9), ("TRADE", 2, 7), ("RESTATED", 2, 4), ("TRADE", 6, 0)], "", 0),
]


@pytest.mark.parametrize(("mode", "expected", "reason", "left"), MODES)
def test_self_trade_modes_are_obeyed(floor, mode, expected, reason, left):
    """920: 2 for 200, then 7 at 101 or 102; of its own 3 are taken off, worth 303: 4 at 102."""
    offer(floor, (2, 100), (50, 102))
    offer(floor, (3, 101), account="c")
    told, text = spend(floor, 920, account="c", self_trade=SelfTrade(mode))
    assert told == expected
    assert text == reason
    own = [order for order in floor.desk.executions.orders.values() if order.account == "c"]
    assert sum(order.leaves_lots for order in own) == left


def test_its_own_larger_order_gets_smaller_by_what_it_would_have_bought(floor):
    offer(floor, (10, 100), account="c")
    told, text = spend(floor, 420, account="c", self_trade=SelfTrade.DECREMENT)
    assert told == [("NEW", 0, 4), ("CANCELED", 0, 0)]
    assert text == "SELF_TRADE"
    (own,) = floor.desk.executions.orders.values()
    assert (own.leaves_lots, own.reserved) == (6, 6)


def test_what_its_own_order_left_of_it_buys_no_lot(floor):
    """3 of its own at 100 leave 120 of 420, and the next lot costs 121: it ends, by that."""
    offer(floor, (5, 121))
    offer(floor, (3, 100), account="c")
    told, text = spend(floor, 420, account="c", self_trade=SelfTrade.DECREMENT)
    assert told == [("NEW", 0, 3), ("RESTATED", 0, 0), ("CANCELED", 0, 0)]
    assert text == "SELF_TRADE: quote_quantity_left=120"


@pytest.mark.parametrize("mode", ["cancel_newest", "cancel_both", "decrement"])
def test_an_order_of_its_own_stands_in_the_way_of_all_or_nothing(floor, mode):
    """FOK: what it would not trade with itself, it does not trade at all; nothing is touched."""
    offer(floor, (2, 100), (50, 102))
    offer(floor, (3, 101), account="c")
    told, text = spend(floor, 920, FOK, account="c", self_trade=SelfTrade(mode))
    assert told == [("NEW", 0, 9), ("CANCELED", 0, 0)]
    assert text.startswith("SELF_TRADE: quote_quantity_left=")
    assert len(floor.desk.executions.orders) == 3


# --- money ---


def test_a_taker_s_rebate_comes_on_top():
    """Takers get 1 %, but there may be nothing to pay it from: it buys no lots."""
    floor_ = opened(maker_fee_bps=100, taker_fee_bps=-100)
    offer(floor_, (50, 100))
    assert spend(floor_, 1_000)[0][-1] == ("TRADE", 10, 0)
    assert floor_.money["b"]["Q"] == (10_000_000 - 100_000, 0)


def test_a_market_buy_has_what_it_needs_without_the_rebate():
    """Given exactly the price of 10, and no fees to pay a rebate from: all of it is filled."""
    floor_ = Floor(listed(maker_fee_bps=100, taker_fee_bps=-100))
    floor_.fund("a", B=100)
    floor_.fund("b", Q=1_000)
    offer(floor_, (50, 100))
    floor_.new("b", "b1", BUY, 10)
    assert floor_.money["b"] == {"Q": (0, 0), "B": (10, 0)} or floor_.money["b"] == {"B": (10, 0)}
    assert floor_.is_sound()


def test_without_a_ledger_a_budget_is_the_same():
    floor_ = Floor(listed(), ledger=False)
    offer(floor_, (5, 100))
    told, text = spend(floor_, 1_000)
    assert told[-1] == ("CANCELED", 5, 0)
    assert text == "INSUFFICIENT_LIQUIDITY: quote_quantity_left=500"


# --- by rules number 1 ---


def test_an_older_journal_keeps_the_lots_that_were_to_be_had(monkeypatch):
    """Then the book's 5 were all it was for: filled, also FOK."""
    monkeypatch.setattr("oms.desk.settings.RULES", 1)
    floor_ = opened()
    offer(floor_, (5, 100))
    assert spend(floor_, 1_000, FOK)[0] == [("NEW", 0, 5), ("TRADE", 5, 0)]
