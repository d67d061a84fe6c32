"""What moved an account's money: all entries together are what it owns, after each single step."""

from decimal import Decimal

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from oms import (
    FundsAction,
    FundsRequest,
    Instrument,
    MemoryStore,
    OperatorAction,
    OperatorRequest,
    OrderManagement,
    OrderRequest,
    RequestType,
    Scope,
    Side,
    ValidationError,
)
from oms.config import ExchangeConfig
from tests.examples import many
from tests.fakes import config_of

# Prices and quantities whose product has more decimals than the quote asset: rounding shows.
GRID = Instrument(
    symbol="AB_CD", price_scale=3, quantity_scale=2, base_scale=4, quote_scale=2, maker_fee_bps=-7,
    taker_fee_bps=33,
)  # fmt: skip
CONFIG = config_of(instruments=(GRID,), exchange=ExchangeConfig(ledger=True, self_trade="none"))
ACCOUNTS = ("a", "b")


def funds(action, name, account, amount=None, asset="CD", to=""):
    return FundsRequest(
        account=account, client_order_id=name, action=action,
        **({} if amount is None else {"asset": asset, "amount": amount}), to_account=to,
    )  # fmt: skip


def order(account, name, side, price, quantity):
    return OrderRequest(
        type=RequestType.NEW, account=account, client_order_id=name, symbol=GRID.symbol, side=side,
        price=price, quantity=quantity,
    )  # fmt: skip


def operate(action, name, trade, **settings):
    return OperatorRequest(
        client_order_id=name, action=action, scope=Scope.SYMBOL, target=GRID.symbol, name=trade,
        settings=settings or None,
    )  # fmt: skip


@pytest.fixture(params=["memory", "sqlite"])
def oms(request, tmp_path):
    store = MemoryStore() if request.param == "memory" else None
    with OrderManagement(CONFIG, store=store, directory=tmp_path) as started:
        begin(started)
        yield started


def begin(oms):
    for account in ACCOUNTS:
        done(oms, funds(FundsAction.CREATE, f"c{account}", account))
        for asset in ("AB", "CD"):
            done(oms, funds(FundsAction.DEPOSIT, f"d{account}{asset}", account, "1000", asset))


def done(oms, request):
    return oms.submit(request).result(10)


def owned(oms, account):
    return {asset: sum(each) for asset, each in oms.balances(account).items() if sum(each)}


def summed(oms, account, limit=1_000):
    found, before, totals = [], 0, {}
    while True:
        page = oms.ledger(account, before=before, limit=limit)
        found += page.movements
        before = page.before
        if not before:
            break
    for each in found:
        totals[each.asset] = totals.get(each.asset, Decimal(0)) + each.amount
    return {asset: total for asset, total in totals.items() if total}


def test_a_trade_moves_base_quote_and_fee(oms):
    done(oms, order("a", "1", Side.SELL, "10", "2"))
    done(oms, order("b", "1", Side.BUY, "10", "2"))
    told = [(each.kind, each.asset, each.amount) for each in oms.ledger("b").movements[:3]]
    assert told == [
        ("TRADE", "AB", Decimal(2)), ("TRADE", "CD", Decimal(-20)), ("FEE", "CD", Decimal("-0.07")),
    ]  # fmt: skip
    first = oms.ledger("b").movements[0]
    assert (first.symbol, first.client_order_id, first.other) == ("AB_CD", "1", "")


def test_funds_are_told_on_both_sides(oms):
    done(oms, funds(FundsAction.WITHDRAW, "w", "a", "1.5"))
    done(oms, funds(FundsAction.TRANSFER, "t", "a", "3", to="b"))
    out = [(each.kind, each.amount, each.other) for each in oms.ledger("a").movements[:2]]
    assert out == [("TRANSFER", Decimal(-3), "b"), ("WITHDRAW", Decimal("-1.5"), "")]
    came = oms.ledger("b").movements[0]
    assert (came.kind, came.amount, came.other) == ("TRANSFER", Decimal(3), "a")
    assert not done(oms, funds(FundsAction.WITHDRAW, "no", "b", "100000")).text.startswith("asset")
    assert summed(oms, "a") == owned(oms, "a")


def test_a_bust_and_a_correction_move_the_difference(oms):
    done(oms, order("a", "1", Side.SELL, "3.333", "1"))
    done(oms, order("a", "2", Side.SELL, "3.337", "1"))
    trades = done(oms, order("b", "1", Side.BUY, "4", "2")).trades
    names = [each.execution_id for each in trades]
    for request in (
        operate(OperatorAction.CORRECT, "c1", names[0], price="3.001"),
        operate(OperatorAction.CORRECT, "c2", names[0], price="2.999", quantity="0.5"),
        operate(OperatorAction.BUST, "b1", names[1]),
        operate(OperatorAction.BUST, "b2", names[0]),
    ):
        assert not done(oms, request).refused
        for account in ACCOUNTS:
            assert summed(oms, account) == owned(oms, account), request.client_order_id
    assert {each.kind for each in oms.ledger("b").movements} >= {"TRADE_BUSTED", "TRADE_CORRECTED"}


def test_pages_have_each_entry_once(oms):
    for number in range(9):
        done(oms, order("a", f"s{number}", Side.SELL, "5.001", "0.11"))
        done(oms, order("b", f"b{number}", Side.BUY, "5.001", "0.11"))
    whole = oms.ledger("b").movements
    paged, before = [], 0
    while True:
        page = oms.ledger("b", before=before, limit=2)
        paged += page.movements
        before = page.before
        if not before:
            break
    assert paged == whole
    assert oms.ledger("nobody").movements == []


@pytest.mark.parametrize("given_", [{"limit": 0}, {"limit": 1_001}, {"before": -1}])
def test_a_page_that_cannot_be_is_refused(oms, given_):
    with pytest.raises(ValidationError, match=next(iter(given_))):
        oms.ledger("a", **given_)


def test_a_look_is_bounded(tmp_path, monkeypatch):
    monkeypatch.setattr("oms.stores.sql_reader.SCANNED_MAX", 3)
    with OrderManagement(CONFIG, directory=tmp_path) as oms:
        begin(oms)
        for number in range(5):
            done(oms, order("a", f"s{number}", Side.SELL, "5.001", "0.11"))
            done(oms, order("b", f"b{number}", Side.BUY, "5.001", "0.11"))
        assert oms.ledger("b").before > 0
        assert summed(oms, "b") == owned(oms, "b")


steps = st.lists(
    st.tuples(
        st.sampled_from(["order", "order", "order", "bust", "correct", "transfer"]),
        st.sampled_from(ACCOUNTS), st.sampled_from(list(Side)), st.integers(3_330, 3_340),
        st.integers(1, 300), st.integers(0, 20),
    ),
    max_size=25,
)  # fmt: skip


@settings(suppress_health_check=list(HealthCheck), max_examples=many(60))
@given(steps)
def test_whatever_is_done_the_entries_add_up(steps):
    """The ledger's own balances are the twin."""
    with OrderManagement(CONFIG, store=MemoryStore()) as oms:
        begin(oms)
        trades = []
        for number, (what, account, side, ticks, lots, which) in enumerate(steps):
            price, quantity = str(Decimal(ticks) / 1_000), str(Decimal(lots) / 100)
            if what == "transfer":
                other = ACCOUNTS[account == "a"]
                done(oms, funds(FundsAction.TRANSFER, f"t{number}", account, quantity, to=other))
            elif what == "order" or not trades:
                made = done(oms, order(account, f"n{number}", side, price, quantity))
                trades += [each.execution_id for each in made.trades]
            else:
                action = OperatorAction.BUST if what == "bust" else OperatorAction.CORRECT
                given_ = {} if what == "bust" else {"price": price}
                done(oms, operate(action, f"o{number}", trades[which % len(trades)], **given_))
            for name in ACCOUNTS:
                assert summed(oms, name, limit=3) == owned(oms, name)
