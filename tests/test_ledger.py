"""The ledger in single steps: what a fill, a reservation, a deposit moves, to the unit."""

import pytest

from oms import FundsAction, Instrument, OrderState, RejectReason
from oms.config import ExchangeConfig
from oms.exchange.accounts import FEE_ACCOUNT
from tests.fakes import config_of
from tests.teller import Teller

FINE = Instrument(
    symbol="FINE_USD", price_scale=8, quantity_scale=0, base_scale=0, quote_scale=8,
)  # fmt: skip
LARGE = "9007199254.74099301"  # as units of 1e-8 above 2**53, and odd


def balances(teller, account):
    return teller.oms.balances_units(account)


@pytest.fixture
def market():
    """Ann and Bob have 10,000.00 USD and 10,000 of ACME and FEE each."""
    return Teller().fund("ann", "bob")


def test_money_is_exact_beyond_what_a_float_can_count():
    # given a price of which no float knows the last digit
    teller = Teller(config_of(exchange=ExchangeConfig(ledger=True), instruments=(FINE,)))
    for account in ("ann", "bob"):
        teller.move(FundsAction.CREATE, account)
    teller.move(FundsAction.DEPOSIT, "ann", "USD", LARGE)
    teller.move(FundsAction.DEPOSIT, "bob", "FINE", "1")

    # when
    teller.sell("bob", LARGE, "1", "FINE_USD")
    assert teller.buy("ann", LARGE, "1", "FINE_USD").state is OrderState.FILLED

    # then
    paid = 900_719_925_474_099_301
    assert balances(teller, "ann") == {"USD": (0, 0), "FINE": (1, 0)}
    assert balances(teller, "bob") == {"USD": (paid, 0), "FINE": (0, 0)}


def test_both_sides_pay_their_fee_and_one_account_has_it(market):
    """Taker 0.50 %, maker rebate 0.10 % of 200.00."""
    market.sell("bob", "100", 2, "FEE_USD")
    market.buy("ann", "100", 2, "FEE_USD")

    assert balances(market, "ann")["USD"] == (1_000_000 - 20_000 - 100, 0)
    assert balances(market, "bob")["USD"] == (1_000_000 + 20_000 + 20, 0)
    assert balances(market, FEE_ACCOUNT)["USD"] == (80, 0)


def test_a_seller_who_takes_pays_out_of_what_he_gets(market):
    market.buy("ann", "100", 2, "FEE_USD")
    market.sell("bob", "100", 2, "FEE_USD")

    assert balances(market, "bob")["USD"] == (1_000_000 + 20_000 - 100, 0)


def test_an_order_reserves_what_it_may_need_and_gives_back_what_it_does_not(market):
    # given
    bid = market.buy("ann", "100", 10)
    assert balances(market, "ann")["USD"] == (900_000, 100_000)

    # when a part trades, and the rest is canceled
    market.sell("bob", "100", 4)
    assert balances(market, "ann") == balances(market, "ann") | {
        "USD": (900_000, 60_000), "ACME": (10_004, 0),
    }  # fmt: skip
    market.cancel("ann", bid.client_order_id)

    # then
    assert balances(market, "ann")["USD"] == (960_000, 0)
    assert balances(market, "bob")["USD"] == (1_040_000, 0)


def test_what_is_not_there_is_neither_reserved_nor_withdrawn(market):
    assert market.buy("ann", "100.01", 100).reason is RejectReason.FUNDS_INSUFFICIENT
    drawn = market.move(FundsAction.WITHDRAW, "ann", "USD", "10000.01")
    assert drawn.reason is RejectReason.FUNDS_INSUFFICIENT
    assert balances(market, "ann")["USD"] == (1_000_000, 0)


def test_what_is_paid_in_and_out_is_counted(market):
    market.move(FundsAction.WITHDRAW, "ann", "USD", "2500")
    market.move(FundsAction.TRANSFER, "bob", "USD", "500", to_account="ann")

    desk = market.stepped.dispatcher.desk
    assert desk.ledger.paid_in["USD"] == 1_750_000
    assert desk.ledger.mistakes(desk.executions.orders.values()) == []
    assert balances(market, "ann")["USD"] == (800_000, 0)
    assert balances(market, "bob")["USD"] == (950_000, 0)


def test_a_rebate_is_paid_as_far_as_the_fee_account_has_something():
    # given a rebate, and takers who now pay nothing: the account for fees is empty
    teller = Teller().fund("ann", "bob")
    desk = teller.stepped.dispatcher.desk
    teller.sell("bob", "100", 2, "FEE_USD")
    instrument = desk.engine.markets["FEE_USD"].instrument
    assert (instrument.maker_fee_bps, instrument.taker_fee_bps) == (-10, 50)
    desk.ledger.rates["FEE_USD", "free"] = (0, 0)
    desk.ledger.tiers["ann"] = "free"

    # when
    teller.buy("ann", "100", 2, "FEE_USD")

    # then nobody has less than nothing
    assert balances(teller, FEE_ACCOUNT).get("USD", (0, 0)) == (0, 0)
    assert balances(teller, "bob")["USD"] == (1_020_000, 0)
