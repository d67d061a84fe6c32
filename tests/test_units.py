"""What a person reads is in units of instrument and asset; raw numbers have names that say so."""

import logging
from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oms import FundsAction, OperatorAction, OrderTerms, Phase, PostOnly, TimeInForce, Trading
from oms.config import ExchangeConfig
from oms.enums import Scope
from oms.instruments import Instrument
from oms.market_data import (
    BalanceChange,
    DepthUpdate,
    IndicativePrice,
    TopOfBook,
    TradeBust,
    TradeCorrection,
    TradePrint,
)
from oms.money import average
from oms.requests import AccessAction, AccessRequest, FundsRequest, OperatorRequest
from tests.fakes import Stepped, buy, config_of, modify, sell

BTC = Instrument(
    symbol="BTC_USD", price_scale=6, quantity_scale=8, base_scale=8, quote_scale=8,
    tick_size=10**4, lot_size=1_000,
)  # fmt: skip
RICH = config_of(instruments=(BTC,), exchange=ExchangeConfig(ledger=True, self_trade="none"))


def d(text):
    return Decimal(text)


def funds(client_id, action, asset="", amount=None, account="me"):
    return FundsRequest(
        account=account, client_order_id=client_id, action=action, asset=asset, amount=amount
    )


def operator(client_id, action, **more):
    return OperatorRequest(client_order_id=client_id, action=action, **more)


def locked(client_id, user):
    return AccessRequest(
        account="operator", client_order_id=client_id, action=AccessAction.LOCK_USER, user=user
    )


def bid(client_id, quantity, price=None, **more):
    return buy(client_id, quantity, price, symbol="BTC_USD", **more)


def ask(client_id, quantity, price=None, **more):
    return sell(client_id, quantity, price, symbol="BTC_USD", **more)


@pytest.fixture
def desk():
    """With a ledger, and money for me."""
    desk = Stepped(RICH).start()
    desk.send(
        funds("f1", FundsAction.CREATE),
        funds("f2", FundsAction.DEPOSIT, "USD", "100000"),
        funds("f3", FundsAction.DEPOSIT, "BTC", "10"),
    )
    return desk


def test_the_published_market_is_told_in_prices_and_quantities(desk):
    """Not 59980000000 for a bid of 59,980."""
    # given two trades and an open book, which somebody follows
    desk.dispatcher.feed.want_depth()
    desk.send(ask("s", "0.5", "60000"), bid("b", "0.2", "60000"), bid("c", "0.1", "60000.01"))
    desk.send(bid("d", "0.3", "59980.5"))
    oms = desk.oms

    # then whatever a reader asks is in units
    assert oms.get_depth("BTC_USD", 5) == (
        [(d("59980.5"), d("0.3"))], [(d("60000"), d("0.2"))],
    )  # fmt: skip
    assert (oms.best_bid("BTC_USD"), oms.best_ask("BTC_USD")) == (d("59980.5"), d(60000))
    prices = oms.get_prices("BTC_USD")
    assert (prices.last, prices.mid, prices.vwap) == (d(60000), d("59990.25"), d(60000))
    shown = oms.depth_snapshot("BTC_USD")
    assert shown.bids == ((d("59980.5"), d("0.3")),)
    assert [(t.price, t.quantity) for t in oms.recent_trades("BTC_USD")] == [
        (d(60000), d("0.2")), (d(60000), d("0.1")),
    ]  # fmt: skip
    assert oms.balances("me")["BTC"] == (d("9.8"), d("0.2"))

    # and the raw numbers have names that say so
    assert oms.get_depth_ticks("BTC_USD", 1) == (
        [(59_980_500_000, 30_000_000)], [(60_000_000_000, 20_000_000)],
    )  # fmt: skip
    assert oms.best_bid_ticks("BTC_USD") == 59_980_500_000
    assert oms.best_ask_ticks("BTC_USD") == 60_000_000_000
    assert shown.bids_ticks == ((59_980_500_000, 30_000_000),)
    assert (prices.last_ticks, prices.mid_ticks) == (60_000_000_000, Fraction(59_990_250_000))
    assert oms.balances_units("me")["BTC"] == (980_000_000, 20_000_000)


def test_nobody_there_is_none_and_no_price_of_zero():
    desk = Stepped(RICH).start()
    prices = desk.oms.get_prices("BTC_USD")
    assert desk.oms.best_bid("BTC_USD") is desk.oms.best_ask("BTC_USD") is None
    assert (prices.last, prices.mid, prices.vwap) == (None, None, None)
    assert (desk.oms.best_bid_ticks("BTC_USD"), prices.last_ticks) == (None, None)


def test_events_of_the_market_are_told_in_units(desk):
    """Also when they are printed."""
    # given somebody who listens
    events = []
    desk.oms.add_market_listener(events.append)
    desk.step()

    def told(kind):
        return next(event for event in reversed(events) if type(event) is kind)

    # when an order rests, and a part of it trades
    desk.send(ask("s", "0.5", "60000"))
    desk.send(bid("b", "0.2", "60000"))

    # then
    trade, depth, top = told(TradePrint), told(DepthUpdate), told(TopOfBook)
    assert (trade.price, trade.quantity) == (d(60000), d("0.2"))
    assert (depth.bids, depth.asks) == ((), ((d(60000), d("0.3")),))
    assert (top.bid, top.bid_quantity, top.ask, top.ask_quantity) == (None, 0, 60000, d("0.3"))
    balance = told(BalanceChange)
    assert (balance.asset, balance.available, balance.reserved) == ("BTC", d("9.7"), d("0.3"))
    assert balance.available_units == 970_000_000
    assert "price=60000, quantity=0.2" in repr(trade)
    assert "asks=[60000 x 0.3]" in repr(depth)
    assert "ask=60000, ask_quantity=0.3" in repr(top)
    assert "available=9.7, reserved=0.3" in repr(balance)

    # and when it is corrected, and then taken back
    desk.send(
        operator(
            "o1", OperatorAction.CORRECT, name=trade.execution_id, settings={"price": "59999.5"}
        )
    )
    corrected = told(TradeCorrection)
    assert (corrected.price, corrected.quantity) == (d("59999.5"), d("0.2"))
    assert desk.oms.recent_trades("BTC_USD")[-1].price == d("59999.5")
    desk.send(operator("o2", OperatorAction.BUST, name=trade.execution_id))
    assert (told(TradeBust).price, told(TradeBust).quantity) == (d("59999.5"), d("0.2"))

    # and when a call has something to trade
    desk.send(operator("o3", OperatorAction.SET_PHASE, value=Phase.OPENING_AUCTION.value))
    desk.send(bid("c", "0.25", "60000"))
    call = told(IndicativePrice)
    assert (call.price, call.volume, call.surplus) == (d(60000), d("0.25"), d("-0.05"))


def test_an_average_is_a_decimal_with_four_places_more(desk):
    """A third of a cent does not end: rounded half-even; ticks have it exactly."""
    # given three lots at three prices that have no short average
    desk.send(ask("s", "0.1", "60000"), ask("t", "0.2", "60000.01"))
    placed = desk.ask(bid("b", "0.3", "60001"))

    # then
    assert placed.average_price == d("60000.0066666667")
    assert placed.average_price_ticks == Fraction(180_000_020_000, 3)
    assert (placed.notional, placed.last_fee) == (d("18000.002"), 0)
    assert placed.notional_units == 18_000_002 * 10**11
    assert "average_price=60000.0066666667" in repr(placed)
    assert desk.oms.get_prices("BTC_USD").vwap == d("60000.0066666667")


def test_reasons_tell_quantities_and_prices(desk):
    """`left=0.77`, not `left=77000000`."""
    desk.send(ask("s", "0.23", "60000"))

    def why(request):
        return desk.ask(request).text

    # what was not there; a post-only order, a minimum, an iceberg's display, all or nothing
    assert why(bid("a", "0.3", "60000", time_in_force=TimeInForce.FOK)) == (
        "INSUFFICIENT_LIQUIDITY: quantity=0.3, policy=FOK"
    )
    assert why(bid("c", "0.3", "60000", terms=OrderTerms(post_only=PostOnly.REJECT))) == (
        "POST_ONLY: price=60000, best=60000"
    )
    assert why(
        bid("e", "1", "60000", time_in_force="IOC", terms=OrderTerms(min_quantity="0.5"))
    ) == ("MIN_QUANTITY: fillable=0.23, min=0.5")
    assert why(bid("f", "1", "60000", terms=OrderTerms(min_quantity="1.5"))) == (
        "QUANTITY_INVALID: min_quantity=1.5, quantity=1"
    )
    assert why(bid("g", "1", "50000", terms=OrderTerms(display_quantity="0.0005"))) == (
        "DISPLAY_INVALID: display=0.0005, min=0.001"
    )
    assert why(bid("h", "1", "60000", time_in_force="IOC")) == "INSUFFICIENT_LIQUIDITY: left=0.77"
    slid = desk.ask(ask("i", "0.1", "61000"))
    assert slid.text == ""
    assert why(bid("j", "0.1", "61000", terms=OrderTerms(post_only=PostOnly.SLIDE))) == (
        "POST_ONLY: price=60999.99"
    )

    # an iceberg that shows too little after a change
    desk.send(bid("k", "0.5", "50000", terms=OrderTerms(display_quantity="0.1")))
    small = OrderTerms(display_quantity="0.0001")
    assert why(modify("k2", "k", terms=small)) == "DISPLAY_INVALID: display=0.0001, min=0.0005"

    # and an account that may only reduce
    reducing = operator(
        "o",
        OperatorAction.SET_TRADING,
        scope=Scope.ACCOUNT,
        target="me",
        value=Trading.REDUCING.value,
    )
    desk.send(reducing)
    assert why(ask("l", "0.5", "70000")).startswith("REDUCING_ONLY: quantity=0.5, position=")
    assert desk.refolded() == desk.digest()


def test_what_an_uncross_leaves_of_a_market_order_is_told_as_a_quantity(desk):
    desk.send(operator("o", OperatorAction.SET_PHASE, value=Phase.OPENING_AUCTION.value))
    protected = OrderTerms(protection_price="61000")
    desk.send(ask("s", "0.2", "60000"), bid("b", "0.5", terms=protected))
    desk.send(operator("p", OperatorAction.SET_PHASE, value=Phase.CONTINUOUS.value))
    assert desk.oms.get_order("me", "b").text == "INSUFFICIENT_LIQUIDITY: left=0.3"


def test_a_log_line_tells_quantities_and_prices(desk, caplog):
    """It is put together where the log is written, so an order does not pay for it."""
    # given a resting order
    desk.send(ask("s", "0.23", "60000.5"))

    # when another one takes it, its rest is modified, and money and a kill switch come
    with caplog.at_level(logging.INFO, logger="oms.turn.log_lines"):
        desk.send(bid("b", "0.5", "60001"))
        desk.send(modify("m", "b", price="60000.9"))
        desk.send(funds("f", FundsAction.DEPOSIT, "USD", "1"))
        desk.send(locked("u", "ann"))
        desk.send(operator("o", OperatorAction.KILL))

    # then each line has what says something, and no field without a value
    order = desk.oms.get_order("me", "b").order_id
    lines = [record.getMessage() for record in caplog.records]
    head = f"account=me client_order_id=b order_id={order} BUY"
    assert lines[0] == f"NEW {head} 0.5 BTC_USD @ 60001"
    assert f"TRADE PARTIALLY_FILLED {head} 0.23 BTC_USD @ 60000.5 filled=0.23 open=0.27" in lines
    head = head.replace("=b ", "=m ")
    assert f"REPLACED PARTIALLY_FILLED {head} BTC_USD @ 60000.9 filled=0.23 open=0.27" in lines
    deposited = next(line for line in lines if "client_order_id=f " in line)
    assert deposited.startswith("COMMAND_DONE account=me client_order_id=f action=DEPOSIT command=")
    assert " asset=USD, amount=1, available=" in deposited
    assert any(" client_order_id=u action=LOCK_USER command=" in line for line in lines)
    assert any(" client_order_id=o action=KILL command=" in line for line in lines)
    assert all("  " not in line and "= " not in line for line in lines)
    assert not any(line.endswith((" ", "=")) for line in lines)


def test_a_dry_run_tells_what_would_be_reserved(desk):
    desk.oms._running = True  # without threads: answer as a running one does
    asked = desk.oms.dry_run(bid("b", "0.5", "60000"))
    desk.step()
    found = asked.result(0)
    assert (found.reserved, found.asset, found.reserved_units) == (30_000, "USD", 3 * 10**12)
    assert repr(found) == "DryRun(text='', reserved=30000, asset='USD')"


@given(st.integers(-(10**20), 10**20), st.integers(1, 10**9), st.integers(0, 12))
def test_an_average_is_the_nearest_decimal(worth, count, scale):
    """Against fractions: never further away than half of its last place."""
    found = average(worth, count, scale)
    exact = Fraction(worth, count) / 10**scale
    assert abs(Fraction(found) - exact) <= Fraction(1, 2 * 10 ** (scale + 4))
