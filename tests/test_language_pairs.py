"""The language of commands: batches, pairs, mass cancels; funds and operators."""

from decimal import Decimal

import pytest

from oms import (
    OrderState,
    Side,
)
from oms.answers import (
    AccountBalance,
    AccountCreated,
    Balance,
    Batch,
    CommandDone,
    FundsAdded,
    FundsMoved,
    FundsWithdrawn,
    MassCanceled,
    OcoPlaced,
)
from oms.config import ExchangeConfig
from oms.errors import ValidationError
from oms.language import (
    BATCH_MAX,
    AddFunds,
    BustTrade,
    CancelOrder,
    CancelOrders,
    CreateAccount,
    GetBalance,
    GetOpenOrders,
    GetOrder,
    Kill,
    MassCancel,
    PlaceOco,
    PlaceOrders,
    SetAccount,
    SetLimit,
    SetPhase,
    SetTrading,
    Transfer,
    Withdraw,
)
from oms.messages import Phase, Scope, Trading
from tests.fakes import throttled
from tests.teller import MARKETS, Teller, order, pair, refused

# --- batches, pairs, mass cancels ---


def test_a_batch_is_answered_one_by_one(teller):
    """Three orders, the second beyond Ann's means: two are placed, in their order."""
    answer = teller.ask(
        PlaceOrders(orders=[order("a"), order("b", quantity=10**9), order("c", price=101)])
    )
    assert isinstance(answer, Batch)
    first, second, third = answer.answers
    assert (first.client_order_id, third.client_order_id) == ("a", "c")
    assert first.order_id < third.order_id
    assert refused(second, "FUNDS_INSUFFICIENT")
    assert teller.open_ids("ann") == ["a", "c"]

    # and a batch of cancels, of one that is not there too
    cancels = [
        CancelOrder(account="ann", client_order_id=f"x{name}", orig_client_order_id=name)
        for name in "abc"
    ]
    gone = teller.ask(CancelOrders(orders=cancels)).answers
    assert (gone[0].success, gone[2].success) == (True, True)
    assert refused(gone[1], "UNKNOWN_ORDER")
    assert teller.open_ids("ann") == []


def test_a_batch_has_a_bound_and_one_account(teller):
    full = PlaceOrders(orders=[order(f"o{n}") for n in range(BATCH_MAX)])
    assert len(teller.ask(full).answers) == BATCH_MAX
    for orders in ([], [order(f"p{n}") for n in range(BATCH_MAX + 1)]):
        with pytest.raises(ValidationError, match=r"^orders: "):
            PlaceOrders(orders=orders)
    with pytest.raises(ValidationError, match=r"^account: "):
        PlaceOrders(orders=[order("a"), order("b", account="bob")])
    with pytest.raises(ValidationError, match=r"^orders: expected CancelOrder"):
        CancelOrders(orders=[order("a")])
    assert full.account == "ann"


def test_of_a_pair_one_cancels_the_other(teller):
    """Round trip: both stand, what they need is reserved once; one fills, the other goes."""
    # when
    placed = teller.ask(pair())

    # then
    assert isinstance(placed, OcoPlaced)
    assert (placed.stop.status, placed.limit.status) == (OrderState.SUSPENDED, OrderState.NEW)
    assert teller.ask(GetBalance(account="ann")).balances["ACME"] == Balance(9_995, 5)

    # when the limit order trades, even a part of it
    teller.buy("bob", 110, 2)

    # then the stop is gone
    stop = teller.ask(GetOrder(account="ann", client_order_id="stop"))
    assert (stop.status, stop.text) == (OrderState.CANCELED, "OCO")
    assert teller.open_ids("ann") == ["limit"]
    # and a repeat tells how both stand now
    again = teller.ask(pair())
    assert (again.stop.status, again.limit.filled) == (OrderState.CANCELED, 2)


def test_a_pair_whose_limit_order_trades_at_once_has_lost_its_stop(teller):
    teller.buy("bob", 110, 2)
    placed = teller.ask(pair())
    assert [trade.quantity for trade in placed.limit.trades] == [2]
    assert (placed.stop.status, placed.stop.text) == (OrderState.CANCELED, "OCO")


def test_a_pair_that_cannot_be_leaves_nothing(teller):
    """The limit order is refused: the stop, which stood already, is canceled; and so again."""
    for _ in range(2):
        assert refused(teller.ask(pair(quantity=10**9)), "FUNDS_INSUFFICIENT")
        assert teller.open_ids("ann") == []
        assert teller.ask(GetBalance(account="ann")).balances["ACME"] == Balance(10_000, 0)


def test_a_pair_that_is_still_being_undone_says_so():
    """One send a second: the cancel of the stop has to wait, and the answer tells both orders."""
    # given
    config = throttled(instruments=MARKETS, exchange=ExchangeConfig(ledger=True))
    teller = Teller(config).fund("ann")

    # when
    answer = teller.ask(pair(quantity=10**9))

    # then
    assert answer.stop.status is OrderState.PENDING_CANCEL
    assert refused(answer.limit, "FUNDS_INSUFFICIENT")
    # and a second later the same command has the outcome of any other such pair
    teller.stepped.clock.advance(1.0)
    teller.stepped.turn()
    assert teller.open_ids("ann") == []
    assert refused(teller.ask(pair(quantity=10**9)), "FUNDS_INSUFFICIENT")


def test_a_cancel_that_has_to_wait_has_no_success_yet():
    """What was asked is recorded; the order is open until the venue has it."""
    teller = Teller(throttled(instruments=MARKETS))
    placed = teller.sell("ann", 100, 1)
    answer = teller.give(CancelOrder, orig_client_order_id=placed.client_order_id)
    assert (answer.success, answer.status) == (False, OrderState.PENDING_CANCEL)


def test_a_refused_stop_ends_the_pair(teller):
    """And the limit order is never placed: its partner would be somebody else's stop."""
    # given that the stop's id is another stop's
    teller.ask(order("stop", price=None, stop_price=50))

    # when, then
    assert refused(teller.ask(pair()), "DUPLICATE_ID")
    assert teller.open_ids("ann") == ["stop"]


def test_a_stop_triggered_before_it_has_a_partner_goes_its_way(teller):
    """Its trigger would have taken the limit order away: so that is not placed at all."""
    # given a last price at which it triggers, and nobody to trade with
    teller.sell("cid", 90, 1)
    teller.buy("bob", 90, 1)
    command = PlaceOco(
        account="ann", client_order_id="pair", stop=order("stop", price=95, stop_price=90),
        limit=order("limit", price=110),
    )  # fmt: skip

    # when
    placed = teller.ask(command)

    # then
    assert placed.stop.status is OrderState.NEW
    assert refused(placed.limit, "OCO_INVALID")
    assert teller.open_ids("ann") == ["stop"]


@pytest.mark.parametrize(
    ("field", "change"),
    [
        ("symbol", {"limit": order("limit", symbol="FEE_USD")}),
        ("side", {"limit": order("limit", side=Side.BUY)}),
        ("account", {"limit": order("limit", account="bob")}),
        ("client_order_id", {"limit": order("stop")}),
        ("client_order_id", {"client_order_id": "limit"}),
        ("stop", {"stop": order("stop")}),
        ("stop", {"stop": None}),
        ("oco_with", {"limit": order("limit", oco_with="x")}),
        ("oco_with", {"limit": order("limit", price=None)}),
    ],
)
def test_a_pair_has_two_orders_that_fit(field, change):
    """One symbol, side and account; a stop and a limit order; three ids."""
    good = {
        "account": "ann", "client_order_id": "pair", "limit": order("limit"),
        "stop": order("stop", price=None, stop_price=90),
    }  # fmt: skip
    PlaceOco(**good)
    with pytest.raises(ValidationError, match=f"^{field}: "):
        PlaceOco(**{**good, **change})


def test_a_mass_cancel_takes_what_it_names(teller):
    """By symbol and side, then the rest; the orders of others stay."""
    for name, fields in (
        ("s1", {}), ("s2", {"price": 101}), ("b1", {"side": Side.BUY, "price": 90}),
        ("f1", {"symbol": "FEE_USD"}), ("bob", {"account": "bob"}),
    ):  # fmt: skip
        teller.ask(order(name, **fields))
    assert teller.give(MassCancel, symbol="ACME_USD", side=Side.SELL) == MassCanceled(count=2)
    assert teller.open_ids("ann") == ["b1", "f1"]
    assert teller.ask(GetOpenOrders(account="ann", symbol="FEE_USD")).orders[0].leaves == 1
    assert teller.give(MassCancel) == MassCanceled(count=2)
    assert teller.give(MassCancel) == MassCanceled(count=0)
    assert teller.open_ids("bob") == ["bob"]
    assert teller.give(MassCancel, "operator", everybody=True) == MassCanceled(count=1)


# --- funds ---


def test_money_in_out_and_across():
    """Each answer tells what is available since; exact, in the asset's own decimals."""
    teller = Teller()
    assert teller.give(CreateAccount) == AccountCreated(account="ann")
    teller.give(CreateAccount, "bob")
    assert teller.give(AddFunds, asset="USD", amount="100.25") == FundsAdded(
        account="ann", asset="USD", new_balance=Decimal("100.25")
    )
    assert teller.give(Withdraw, asset="USD", amount=Decimal("0.25")) == FundsWithdrawn(
        account="ann", asset="USD", new_balance=Decimal(100)
    )
    moved = teller.give(Transfer, asset="USD", amount=40, to_account="bob")
    assert moved == FundsMoved(
        account="ann", to_account="bob", asset="USD", new_balance=Decimal(60)
    )
    assert teller.ask(GetBalance(account="bob")) == AccountBalance(
        account="bob", balances={"USD": Balance(Decimal(40), Decimal(0))}
    )


def test_a_new_account_has_nothing():
    teller = Teller()
    teller.give(CreateAccount)
    assert teller.ask(GetBalance(account="ann")).balances == {}


# --- operators ---


def test_operators_have_their_commands(teller):
    """Each takes effect, and says what is so now."""
    teller.sell("ann", 100, 1)
    operate = {"account": "operator"}
    done = teller.give(
        SetLimit, **operate, scope=Scope.ACCOUNT, target="ann", name="open_orders_max", value="1"
    )
    assert isinstance(done, CommandDone)
    assert done.text == "open_orders_max=1"
    assert refused(teller.sell("ann", 100, 1), "OPEN_ORDERS_EXCEED_MAXIMUM")
    assert teller.give(SetAccount, **operate, target="ann", name="tier", value="vip").text == (
        "tier=vip"
    )
    halted = {"scope": Scope.SYMBOL, "target": "FEE_USD", "phase": Phase.HALTED}
    assert teller.give(SetPhase, **operate, **halted).text == "phase=HALTED"
    assert refused(teller.sell("bob", 100, 1, symbol="FEE_USD"), "MARKET_STATE")
    assert teller.give(Kill, **operate, why="a bad day").text == "trading=HALTED, canceled=1"
    assert refused(teller.sell("bob", 100, 1), "KILL_SWITCH")
    assert teller.give(SetTrading, **operate, trading=Trading.ACTIVE).text == "trading=ACTIVE"
    assert teller.sell("bob", 100, 1).status is OrderState.NEW


def test_an_operator_takes_a_trade_back(teller):
    """By the execution id of a side; a trade that never was cannot be."""
    teller.sell("ann", 100, 1)
    placed = teller.buy("bob", 100, 1)
    assert placed.filled == 1
    trade = placed.trades[0].execution_id
    assert teller.give(BustTrade, account="operator", execution_id=trade).text.startswith("trade=")
    gone = teller.give(BustTrade, account="operator", execution_id="1-77")
    assert refused(gone, "COMMAND_INVALID")


def test_what_no_operator_can_do_is_refused(teller):
    wrong = teller.give(SetLimit, "operator", name="no_such_limit", value="1")
    assert refused(wrong, "COMMAND_INVALID")
    nowhere = teller.give(
        SetPhase, "operator", scope=Scope.SYMBOL, target="NONE", phase=Phase.HALTED
    )
    assert refused(nowhere, "SYMBOL_UNKNOWN")
    with pytest.raises(ValidationError, match=r"^value: "):
        SetTrading(client_order_id="k", trading="sometimes")
