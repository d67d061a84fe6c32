"""Trade bust: a trade taken back leaves both orders and both accounts as without it."""

from dataclasses import replace

import pytest

from oms import MemoryStore, OrderRequest, PersistentStorage, Side
from oms.requests import FundsAction, FundsRequest, OperatorAction, OperatorRequest
from oms.sections import ExchangeConfig
from oms.turn.journal import differences
from tests.fakes import INSTRUMENTS, Stepped, config_of

FUNDS = (("a", "BASE", 100), ("b", "QUOTE", 10_000), ("c", "BASE", 0), ("c", "QUOTE", 5_000))


def exchange(store):
    """Accounts a, b and c; fees; a sold 10 to b at 100 in two fills, and rests with 5 more."""
    instruments = [
        replace(
            instrument, base="BASE", quote="QUOTE", base_scale=0, quote_scale=2,
            maker_fee_bps=-10, taker_fee_bps=50,
        )
        for instrument in INSTRUMENTS
    ]  # fmt: skip
    config = config_of(exchange=ExchangeConfig(ledger=True), instruments=tuple(instruments))
    desk = Stepped(config, store=store).start()
    for account in "abc":
        fund(desk, account, FundsAction.CREATE)
    for account, asset, amount in FUNDS:
        if amount:
            fund(desk, account, FundsAction.DEPOSIT, asset=asset, amount=amount)
    return desk


def fund(desk, account, action, **terms):
    name = f"{action}{terms}"[:40].replace("'", "")
    request = FundsRequest(account=account, client_order_id=name, action=action, **terms)
    desk.oms.on_data(request)
    desk.turn()


def order(desk, account, name, side, lots, price=None):
    desk.oms.on_data(OrderRequest.new(account, name, "X", side, lots, price))
    return desk.turn()


def bust(desk, trade, name="bust"):
    request = OperatorRequest(
        client_order_id=name, action=OperatorAction.BUST, name=trade, why="wrong price"
    )
    desk.oms.on_data(request)
    return desk.turn()


def balances(desk):
    ledger = desk.dispatcher.desk.ledger
    assert ledger.mistakes(desk.dispatcher.desk.executions.orders.values()) == []
    return {
        account: {asset: tuple(b) for asset, b in assets.items() if any(b)}
        for account, assets in ledger.accounts.items()
    }


@pytest.fixture(params=["memory", "sqlite"])
def desk(request, tmp_path):
    store = MemoryStore() if request.param == "memory" else PersistentStorage(tmp_path / "t.db")
    stepped = exchange(store)
    yield stepped
    stepped.dispatcher.finish()


def test_a_bust_gives_back_what_a_trade_moved_fees_and_all(desk):
    """Given two fills of one order, when the first is taken back, then only the second stands."""
    # given
    order(desk, "a", "s1", Side.SELL, 15, 100)
    between = balances(desk)
    told = order(desk, "b", "b1", Side.BUY, 4)
    first = next(r for r in told if r.type == "TRADE")
    order(desk, "b", "b2", Side.BUY, 6)
    after_second = balances(desk)

    # when
    told = bust(desk, first.execution_id)

    # then both are told, with what they were taken back of
    assert [(r.type, r.account, r.cumulative_lots, r.leaves_lots) for r in told[:2]] == [
        ("TRADE_BUSTED", "b", 0, 0),
        ("TRADE_BUSTED", "a", 6, 5),
    ]
    assert told[2].type == "COMMAND_DONE"
    # and what the trade moved is where it was: 4 of BASE, 400.00 and the fees of it
    now = balances(desk)
    moved = 40_000
    assert now["b"]["QUOTE"][0] == after_second["b"]["QUOTE"][0] + moved + moved * 50 // 10_000
    assert now["a"]["QUOTE"][0] == after_second["a"]["QUOTE"][0] - moved - moved * 10 // 10_000
    assert now["a"]["BASE"][0] == after_second["a"]["BASE"][0] + 4
    assert now["a"]["BASE"][1] == between["a"]["BASE"][1] - 10

    # and the order goes on for what is open of it
    told = order(desk, "b", "b3", Side.BUY, 9)
    assert [r.type for r in told if r.client_order_id == "s1"] == ["TRADE"]
    last = [r for r in told if r.client_order_id == "s1"][-1]
    assert (last.state, last.cumulative_lots, last.leaves_lots) == ("FILLED", 11, 0)


def test_a_trade_is_taken_back_once_and_only_if_it_was(desk):
    """Again, or of nothing: refused, and nothing changes."""
    order(desk, "a", "s1", Side.SELL, 5, 100)
    told = order(desk, "b", "b1", Side.BUY, 5)
    trade = next(r for r in told if r.type == "TRADE").execution_id
    assert bust(desk, trade, "one")[-1].type == "COMMAND_DONE"
    before = balances(desk)
    for name, of in (("two", trade), ("three", "99999-1"), ("four", "nonsense"), ("five", "1-99")):
        refused = bust(desk, of, name)
        assert [r.type for r in refused] == ["COMMAND_REJECTED"]
        assert refused[0].text.startswith(f"COMMAND_INVALID: trade={of}")
    assert balances(desk) == before
    assert bust(desk, trade, "one")[-1].type == "COMMAND_DONE"  # the same id: the same answer
    assert balances(desk) == before


def test_what_was_spent_since_cannot_be_taken_back(desk):
    """The seller withdrew the proceeds: the bust says what is short, and does nothing."""
    order(desk, "a", "s1", Side.SELL, 5, 100)
    told = order(desk, "b", "b1", Side.BUY, 5)
    trade = next(r for r in told if r.type == "TRADE").execution_id
    fund(desk, "a", FundsAction.WITHDRAW, asset="QUOTE", amount=450)
    before = balances(desk)
    refused = bust(desk, trade)
    assert refused[0].text.startswith(
        "FUNDS_INSUFFICIENT: asset=QUOTE, needed=500.5, available=50.5"
    )
    assert balances(desk) == before


def test_the_journal_gives_the_same_after_a_bust(desk):
    """P3: every report again, and the same balances."""
    order(desk, "a", "s1", Side.SELL, 5, 100)
    told = order(desk, "b", "b1", Side.BUY, 3)
    bust(desk, next(r for r in told if r.type == "TRADE").execution_id)
    assert desk.refolded() == desk.digest()
    fold = type(desk.dispatcher.fold)(type(desk.venue)())
    assert list(differences(desk.store, fold)) == []
