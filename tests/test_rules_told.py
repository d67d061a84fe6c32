"""What docs say of stops, icebergs, reservations, post-only, priority and used ids, as stories."""

from datetime import UTC, datetime, timedelta

import pytest

from oms import (
    FundsAction,
    ManualClock,
    OperatorAction,
    OrderState,
    OrderTerms,
    Phase,
    PostOnly,
    RejectReason,
    ResponseType,
    TradingSession,
)
from oms.config import ExchangeConfig
from oms.instruments import Instrument
from oms.requests import FundsRequest, OperatorRequest
from tests.fakes import Stepped, buy, config_of, modify, sell


@pytest.fixture
def desk():
    return Stepped().start()


def operator(client_id, action, **more):
    return OperatorRequest(client_order_id=client_id, action=action, **more)


def test_a_stop_whose_price_is_passed_already_triggers_on_entry(desk):
    """The last trade was at 100: a buy stop at 99 is late, and goes at once."""
    desk.send(sell("s", 5, 100), buy("b", 1, 100))
    placed = desk.ask(buy("stop", 2, terms=OrderTerms(stop_price=99)))
    assert [r.type for r in placed.reports] == ["NEW", "TRIGGERED", "TRADE"]
    assert placed.state is OrderState.FILLED
    # and one whose price is not reached waits
    assert desk.ask(buy("far", 1, terms=OrderTerms(stop_price=101))).state == "SUSPENDED"


def test_an_iceberg_that_traded_more_than_it_showed_shows_a_whole_display_after_an_auction(desk):
    """20, showing 4: an uncross takes 7, more than it shows; then it shows 4 of the 13 left."""
    # given a call
    desk.send(operator("o1", OperatorAction.SET_PHASE, value=Phase.OPENING_AUCTION.value))
    desk.send(sell("ice", 20, 100, terms=OrderTerms(display_quantity=4)))
    desk.send(sell("behind", 5, 100))
    desk.send(buy("b", 7, 100))

    # when the uncross trades with what it hides, too
    desk.send(operator("o2", OperatorAction.SET_PHASE, value=Phase.CONTINUOUS.value))
    assert desk.oms.get_order("me", "ice").cumulative_lots == 7

    # then it shows a whole display again, at the back of its price
    assert desk.oms.get_depth("X", 1)[1] == [(100, 4 + 5)]
    desk.send(buy("c", 5, 100))
    assert desk.oms.get_order("me", "behind").state is OrderState.FILLED
    assert desk.oms.get_order("me", "ice").cumulative_lots == 7


def test_an_uncross_within_what_an_iceberg_shows_leaves_the_rest_of_it_in_front(desk):
    """3 of the 4 that it shows are taken: 1 is shown, in its place."""
    desk.send(operator("o1", OperatorAction.SET_PHASE, value=Phase.OPENING_AUCTION.value))
    desk.send(sell("ice", 20, 100, terms=OrderTerms(display_quantity=4)), sell("behind", 5, 100))
    desk.send(buy("b", 3, 100))
    desk.send(operator("o2", OperatorAction.SET_PHASE, value=Phase.CONTINUOUS.value))
    assert desk.oms.get_depth("X", 1)[1] == [(100, 1 + 5)]
    desk.send(buy("c", 1, 100))
    assert desk.oms.get_order("me", "ice").cumulative_lots == 4


def test_equal_hours_are_a_whole_day():
    """Mon 09:00 to 09:00 is from Monday nine to Tuesday nine, not nothing."""
    session = TradingSession("Mon 09:00-09:00", time_zone="UTC")
    monday = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
    window = session.window_at(ManualClock.at(monday + timedelta(hours=23)).wall_ns())
    assert window is not None
    assert window.close_ns - window.open_ns == 86_400 * 10**9


def test_fees_in_a_reservation_round_up():
    """3 at 0.07 with 10 bps: 0.21 and 0.0021, so 0.01 more in an asset of two decimals."""
    each = Instrument(
        symbol="B_Q", price_scale=2, quantity_scale=0, base_scale=0, quote_scale=2, taker_fee_bps=10
    )
    desk = Stepped(config_of(instruments=(each,), exchange=ExchangeConfig(ledger=True))).start()

    def funds(client_id, action, **more):
        return FundsRequest(account="me", client_order_id=client_id, action=action, **more)

    desk.send(funds("f1", FundsAction.CREATE))
    desk.send(funds("f2", FundsAction.DEPOSIT, asset="Q", amount=1))
    desk.send(buy("b", 3, "0.07", symbol="B_Q"))
    available, reserved = desk.oms.balances("me")["Q"]
    assert (str(available), str(reserved)) == ("0.78", "0.22")


def test_post_only_against_an_order_of_its_own_is_refused_as_well():
    """Self-trade prevention would take that one away; post-only is asked first."""
    desk = Stepped(config_of(exchange=ExchangeConfig(self_trade="cancel_oldest"))).start()
    desk.send(sell("s", 1, 100))
    refused = desk.ask(buy("b", 1, 100, terms=OrderTerms(post_only=PostOnly.REJECT)))
    assert refused.reason is RejectReason.POST_ONLY
    assert desk.oms.get_order("me", "s").state is OrderState.NEW


def test_a_modify_with_the_same_quantity_keeps_its_place(desk):
    """The first of two at a price changes nothing, and is first still."""
    desk.send(sell("first", 2, 100), sell("second", 2, 100))
    assert desk.ask(modify("first2", "first", quantity=2)).type is ResponseType.REPLACED
    desk.send(buy("b", 2, 100))
    assert desk.oms.get_order("me", "first").state is OrderState.FILLED
    # and with more it goes to the back
    desk.send(sell("third", 2, 100), modify("second2", "second", quantity=3), buy("c", 2, 100))
    assert desk.oms.get_order("me", "third").state is OrderState.FILLED


def test_of_stops_that_one_trade_wakes_buys_go_first(desk):
    """Nothing has traded yet; the first trade reaches both. The sell stop is older."""
    desk.send(sell("down", 1, terms=OrderTerms(stop_price=105)))
    desk.send(buy("up", 1, terms=OrderTerms(stop_price=95)))
    desk.send(sell("s", 5, 100))
    told = desk.send(buy("b", 1, 100))
    assert [line for line in told if "TRIGGERED" in line] == [
        "up TRIGGERED/NEW", "down TRIGGERED/NEW",
    ]  # fmt: skip


def test_a_used_id_is_answered_before_the_kill_switch(desk):
    """The first answer again, not KILL_SWITCH: a client that retries learns what became of it."""
    first = buy("a", 1, 100)
    desk.send(first)
    desk.send(operator("k", OperatorAction.KILL))
    again = desk.ask(first)
    assert (again.type, again.state) == (ResponseType.ORDER_STATUS, OrderState.CANCELED)
    other = desk.ask(buy("a", 2, 100))
    assert other.reason is RejectReason.DUPLICATE_ID
    assert desk.ask(buy("new", 1, 100)).reason is RejectReason.KILL_SWITCH
