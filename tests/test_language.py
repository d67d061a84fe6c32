"""The language of commands: one command, one answer; a no is an Error with its codes."""

from concurrent.futures import Future
from decimal import Decimal
from fractions import Fraction
from pathlib import Path

import pytest

from oms import (
    Instrument,
    OrderState,
    OrderType,
    PersistentStorage,
    RejectReason,
    Side,
    TimeInForce,
    code_of,
)
from oms.answers import (
    AccountBalance,
    AccountCreated,
    Balance,
    Batch,
    CommandDone,
    Error,
    FundsAdded,
    FundsMoved,
    FundsWithdrawn,
    MassCanceled,
    OcoPlaced,
    OpenOrders,
    OrderBookDepth,
    OrderCanceled,
    OrderModified,
    OrderPlaced,
    OrderStatus,
    PriceLevel,
)
from oms.config import SHIPPED_INSTRUMENTS, ExchangeConfig, QueueConfig
from oms.errors import OutcomeUnknownError, StoreFullError, ValidationError
from oms.flow.publisher import Publisher
from oms.instruments import MarketOrderPolicy
from oms.language import (
    BATCH_MAX,
    AddFunds,
    BustTrade,
    CancelOrder,
    CancelOrders,
    CreateAccount,
    GetBalance,
    GetDepth,
    GetOpenOrders,
    GetOrder,
    Kill,
    MassCancel,
    ModifyOrder,
    PlaceOco,
    PlaceOrder,
    PlaceOrders,
    SetAccount,
    SetLimit,
    SetPhase,
    SetTrading,
    Transfer,
    Withdraw,
)
from oms.messages import Phase, PostOnly, Scope, SelfTrade, Trading
from tests.fakes import SOON_S, FaultyStore, Stepped, config_of, throttled

MARKETS = tuple(
    Instrument(
        symbol=symbol, price_scale=2, quantity_scale=0, base_scale=0, quote_scale=2,
        market_order=policy, **fees,
    )
    for symbol, policy, fees in (
        ("ACME_USD", MarketOrderPolicy.PARTIAL, {}),
        ("WHOLE_USD", MarketOrderPolicy.ALL_OR_NONE, {}),
        ("FEE_USD", MarketOrderPolicy.PARTIAL, {"taker_fee_bps": 50, "maker_fee_bps": -10}),
    )
)  # fmt: skip
FUNDED = config_of(exchange=ExchangeConfig(ledger=True), instruments=MARKETS)


class Teller:
    """Gives commands to a stepped order manager, with ids of its own, and has their answers."""

    def __init__(self, config=FUNDED, **parts):
        self.stepped = Stepped(config, **parts).start()
        self.oms = self.stepped.oms
        self.count = 0

    def ask(self, command):
        """One command; as many turns as its answer takes."""
        future = self.oms.execute(command)
        for _ in range(5):
            if not future.done():
                self.stepped.turn()
        return future.result(0)

    def give(self, kind, account="ann", **fields):
        """The same, of an account, under the next id."""
        self.count += 1
        return self.ask(kind(account=account, client_order_id=f"t{self.count}", **fields))

    def fund(self, *accounts, assets=("USD", "ACME", "WHOLE", "FEE")):
        for account in accounts:
            self.give(CreateAccount, account)
            for asset in assets:
                self.give(AddFunds, account, asset=asset, amount=10_000)
        return self

    def sell(self, account, price, quantity, symbol="ACME_USD", **more):
        return self.give(
            PlaceOrder, account, symbol=symbol, side=Side.SELL, price=price, quantity=quantity,
            **more,
        )  # fmt: skip

    def buy(self, account, price, quantity, symbol="ACME_USD", **more):
        return self.give(
            PlaceOrder, account, symbol=symbol, side=Side.BUY, price=price, quantity=quantity,
            **more,
        )  # fmt: skip

    def open_ids(self, account):
        orders = self.ask(GetOpenOrders(account=account)).orders
        return [order.client_order_id for order in orders]


@pytest.fixture
def teller():
    """Ann, Bob, Cid and Dan have 10,000 of everything."""
    return Teller().fund("ann", "bob", "cid", "dan")


def order(client_order_id, **fields):
    """A sell of 1 at 100 by ann, unless it is said otherwise."""
    usual = {
        "account": "ann", "symbol": "ACME_USD", "side": Side.SELL, "quantity": 1, "price": 100,
    }  # fmt: skip
    return PlaceOrder(client_order_id=client_order_id, **{**usual, **fields})


def refused(answer, reason):
    """Is this an Error of that reason, with the codes that are published?"""
    assert isinstance(answer, Error), answer
    row = code_of(RejectReason(reason))
    assert (answer.code, answer.api_code, answer.http_status) == (reason, row.api, row.http)
    assert answer.text.partition(":")[0] == reason
    return True


# --- golden: the worked example ---


def test_fifteen_are_bought_for_1484(teller):
    """The market order walks the book: 5 and 3 at 98, first come first served, 7 at 100."""
    # given
    for account, price, quantity in (("ann", 98, 5), ("bob", 98, 3), ("cid", 100, 10)):
        teller.sell(account, price, quantity)
    teller.sell("cid", 105, 20)

    # when
    bought = teller.buy("dan", None, 15)

    # then
    assert isinstance(bought, OrderPlaced)
    assert [(trade.quantity, trade.price) for trade in bought.trades] == [
        (5, 98),
        (3, 98),
        (7, 100),
    ]
    assert (bought.status, bought.filled, bought.leaves) == (OrderState.FILLED, 15, 0)
    assert bought.notional == 1484
    assert bought.average_price == Fraction(1484, 15)
    assert f"{float(bought.average_price):.3f}" == "98.933"

    # and Cid has 3 left at 100, and all money is where it belongs
    depth = teller.ask(GetDepth(symbol="ACME_USD", levels=5))
    assert depth == OrderBookDepth(
        symbol="ACME_USD",
        bids=(),
        asks=(PriceLevel("100", "3", 10_000, 3), PriceLevel("105", "20", 10_500, 20)),
    )
    earned = {"ann": 490, "bob": 294, "cid": 700, "dan": -1484}
    for account, difference in earned.items():
        balances = teller.ask(GetBalance(account=account)).balances
        assert balances["USD"] == Balance(Decimal(10_000 + difference), Decimal(0))
    assert teller.ask(GetBalance(account="cid")).balances["ACME"] == Balance(
        Decimal(10_000 - 7 - 23), Decimal(23)
    )


def test_all_or_none_takes_nothing_when_there_is_too_little(teller):
    """In such a market 15 are not bought where 8 are offered; the 8 stay."""
    # given
    teller.sell("ann", 98, 8, symbol="WHOLE_USD")

    # when
    answer = teller.buy("dan", None, 15, symbol="WHOLE_USD")

    # then
    assert refused(answer, "INSUFFICIENT_LIQUIDITY")
    assert teller.ask(GetBalance(account="dan")).balances["USD"] == Balance(10_000, 0)
    assert teller.ask(GetDepth(symbol="WHOLE_USD")).asks[0].quantity == "8"
    # and a smaller one passes
    assert teller.buy("dan", None, 8, symbol="WHOLE_USD").status is OrderState.FILLED


# --- orders ---


def test_a_limit_order_rests_and_is_found(teller):
    placed = teller.sell("ann", "100.50", 5)
    assert (placed.status, placed.leaves, placed.trades) == (OrderState.NEW, 5, ())
    assert placed.average_price is None
    found = teller.ask(GetOrder(account="ann", client_order_id=placed.client_order_id))
    assert isinstance(found, OrderStatus)
    assert (found.order_id, found.status, found.leaves) == (placed.order_id, OrderState.NEW, 5)
    assert teller.open_ids("ann") == [placed.client_order_id]


def test_fees_are_told_with_each_fill(teller):
    """50 bps of 1,000 to the taker; the maker's are told to the maker's listeners."""
    teller.sell("ann", 100, 10, symbol="FEE_USD")
    assert [trade.fee for trade in teller.buy("bob", None, 10, symbol="FEE_USD").trades] == [5]
    assert teller.ask(GetBalance(account="ann")).balances["USD"].available == 11_001


def test_what_the_book_cannot_fill_is_placed_and_over(teller):
    """IOC: the fill counts, the rest is canceled, and the answer says so at once."""
    teller.sell("ann", 100, 3)
    answer = teller.buy("bob", 100, 5, time_in_force=TimeInForce.IOC)
    assert (answer.status, answer.filled, answer.leaves) == (OrderState.CANCELED, 3, 0)
    assert len(answer.trades) == 1
    assert answer.text == "INSUFFICIENT_LIQUIDITY: left=2"


def test_all_terms_arrive():
    """Each field of PlaceOrder is one of the request; none gets lost on the way."""
    command = order(
        "a", price=None, stop_price="90", protection_price="80", self_trade=SelfTrade.DECREMENT,
        expire_ns=2**62, time_in_force=TimeInForce.GTD, hold=True, request_id="r",
    )  # fmt: skip
    request = command.requests[0]
    assert request.order_type is OrderType.STOP
    assert (request.hold, request.request_id) == (True, "r")
    terms = request.terms
    assert (terms.stop_price, terms.protection_price, terms.expire_ns) == ("90", "80", 2**62)
    assert terms.self_trade is SelfTrade.DECREMENT
    iceberg = order("b", display_quantity=1, post_only=PostOnly.SLIDE, oco_with="a").requests[0]
    assert (iceberg.terms.display_quantity, iceberg.terms.oco_with) == (1, "a")
    assert iceberg.terms.post_only is PostOnly.SLIDE
    budget = order(
        "c", side=Side.BUY, price=None, quantity=None, quote_quantity=5, min_quantity=1
    ).requests[0]
    assert (budget.order_type, budget.terms.quote_quantity) == (OrderType.MARKET, 5)
    assert budget.terms.min_quantity == 1
    assert order("d", stop_price=1).requests[0].order_type is OrderType.STOP_LIMIT
    assert order("e").requests[0].terms is None


def test_a_stop_that_is_triggered_at_once_tells_its_trades(teller):
    """Its report NEW says SUSPENDED; what it took a moment later is in the same answer."""
    # given a last price of 100, and a bid
    teller.sell("ann", 100, 1)
    teller.buy("bob", 100, 3)

    # when
    answer = teller.sell("cid", None, 2, stop_price=100)

    # then
    assert [trade.quantity for trade in answer.trades] == [2]
    assert answer.status is OrderState.FILLED


def test_an_answer_tells_only_what_its_own_command_did(teller):
    """In one turn: the resting order is answered as it rested, though the next one fills it."""
    rests = teller.oms.execute(order("r", quantity=5))
    takes = teller.oms.execute(order("t", account="bob", side=Side.BUY, quantity=5))
    teller.stepped.turn()
    assert (rests.result(0).status, rests.result(0).trades) == (OrderState.NEW, ())
    assert takes.result(0).status is OrderState.FILLED
    assert [trade.quantity for trade in takes.result(0).trades] == [5]


def test_a_change_refused_in_the_midst_of_a_sweep_hides_no_trade():
    """The first maker's modify comes too late, and is told between two fills of the taker."""

    # given a turn: "t", order 9, fills order 3, whose modify 12 is refused; then order 5
    def row(number, order_id, request_seq, type_, state, lots=0):
        return (
            13, number, order_id, request_seq, "ann", "t", "ACME_USD", "BUY", type_, state, 10_000,
            lots, lots, 0, "", "TAKER" if lots else "", "", 0, "", 0, 0,
        )  # fmt: skip

    rows = [
        row(1, 9, 9, "NEW", "NEW"),
        row(2, 9, 9, "TRADE", "PARTIALLY_FILLED", 1),
        row(3, 3, 0, "TRADE", "FILLED", 1),
        row(4, 3, 12, "CANCEL_REJECTED", "FILLED"),
        row(5, 9, 9, "TRADE", "FILLED", 2),
        row(6, 5, 0, "TRADE", "FILLED", 2),
        row(7, 10, 10, "NEW", "NEW"),
        row(8, 9, 0, "CANCELED", "CANCELED"),
    ]
    taker, other, late = Future(), Future(), Future()

    # when
    Publisher(10).publish(rows, {9: taker, 10: other, 12: late}, {}, 0, 0)

    # then
    assert [each.number for each in taker.result(0).siblings] == [1, 2, 5]
    assert [each.number for each in other.result(0).siblings] == [7]
    assert [each.number for each in late.result(0).siblings] == [4]


def test_a_modify_that_crosses_tells_its_trades(teller):
    teller.sell("ann", 100, 3)
    placed = teller.buy("bob", 99, 5)
    modified = teller.give(
        ModifyOrder, "bob", orig_client_order_id=placed.client_order_id, price=100
    )
    assert isinstance(modified, OrderModified)
    assert (modified.order_id, modified.filled, modified.leaves) == (placed.order_id, 3, 2)
    assert [(trade.price, trade.quantity) for trade in modified.trades] == [(100, 3)]


def test_a_cancel_says_that_the_order_is_gone(teller):
    placed = teller.sell("ann", 100, 3)
    answer = teller.give(CancelOrder, orig_client_order_id=placed.client_order_id)
    assert isinstance(answer, OrderCanceled)
    assert answer.success
    assert (answer.order_id, answer.status) == (placed.order_id, OrderState.CANCELED)
    # and again, it is too late
    again = teller.give(CancelOrder, orig_client_order_id=placed.client_order_id)
    assert refused(again, "TOO_LATE")


def test_nobody_touches_the_order_of_another_account(teller):
    """Ids are an account's own: for Bob, Ann's order does not exist."""
    placed = teller.sell("ann", 100, 3)
    name = placed.client_order_id
    assert refused(teller.give(CancelOrder, "bob", orig_client_order_id=name), "UNKNOWN_ORDER")
    assert refused(
        teller.give(ModifyOrder, "bob", orig_client_order_id=name, price=1), "UNKNOWN_ORDER"
    )
    assert refused(teller.ask(GetOrder(account="bob", client_order_id=name)), "UNKNOWN_ORDER")
    assert teller.open_ids("ann") == [name]


def test_an_order_keeps_its_name_when_a_change_is_refused(teller):
    """Its latest report is the refusal, under the id of the change; the order is still "a"."""
    teller.ask(order("a"))
    teller.ask(
        ModifyOrder(account="ann", client_order_id="m", orig_client_order_id="a", price="0.001")
    )
    assert teller.open_ids("ann") == ["a"]
    assert teller.ask(GetOrder(account="ann", client_order_id="a")).text == ""
    # and after one that was accepted it has the new name, but answers to both
    teller.ask(ModifyOrder(account="ann", client_order_id="n", orig_client_order_id="a", price=99))
    assert teller.open_ids("ann") == ["n"]
    assert teller.ask(GetOrder(account="ann", client_order_id="a")).client_order_id == "n"


def test_an_order_that_has_to_wait_is_answered_as_pending():
    """One send a second: the second order is recorded, and its answer says that it waits."""
    teller = Teller(throttled(instruments=MARKETS))
    assert teller.sell("ann", 100, 1).status is OrderState.NEW
    waits = teller.buy("bob", 100, 1)
    assert (waits.status, waits.text) == (OrderState.PENDING_NEW, "QUEUED_THROTTLE")
    assert waits.trades == ()

    # when it was sent, a repeat of the command is told what became of it
    teller.stepped.clock.advance(1.0)
    teller.stepped.turn()
    again = teller.ask(order(waits.client_order_id, account="bob", side=Side.BUY))
    assert (again.status, again.filled, again.repeated) == (OrderState.FILLED, 1, True)
    assert again.text == ""


def test_a_repeat_of_what_waited_and_was_refused_is_refused():
    """The first answer was that it waits; what counts is what came of it."""
    # given a modify that waits, of an order that is filled meanwhile
    teller = Teller(throttled(instruments=MARKETS))
    teller.ask(order("a", quantity=2))
    takes = teller.oms.execute(order("b", account="bob", side=Side.BUY, quantity=2))
    teller.stepped.turn()
    change = ModifyOrder(account="ann", client_order_id="c", orig_client_order_id="a", quantity=3)
    waits = teller.ask(change)
    assert (waits.status, waits.text) == (OrderState.PENDING_REPLACE, "QUEUED_THROTTLE")
    assert takes.result(0).status is OrderState.PENDING_NEW
    for _ in range(3):
        teller.stepped.clock.advance(1.0)
        teller.stepped.turn()

    # when it is asked again, then
    for _ in range(2):
        assert refused(teller.ask(change), "TOO_LATE")


# --- the same command again ---


def test_the_same_command_has_the_same_outcome(teller):
    """Whatever it was: no second effect, and the answer is that of the first time."""
    # given
    teller.sell("ann", 100, 5)
    buys = order("again", account="bob", side=Side.BUY, quantity=2)
    deposit = AddFunds(account="bob", client_order_id="again-d", asset="USD", amount=1)
    too_much = order("again-r", account="bob", side=Side.BUY, quantity=10**9)
    bad_funds = Withdraw(account="bob", client_order_id="again-w", asset="USD", amount=10**6)
    first = [teller.ask(each) for each in (buys, deposit, too_much, bad_funds)]

    # when
    second = [teller.ask(each) for each in (buys, deposit, too_much, bad_funds)]

    # then
    assert first[1:] == second[1:]
    assert refused(second[2], "FUNDS_INSUFFICIENT")
    assert refused(second[3], "FUNDS_INSUFFICIENT")
    for field in ("order_id", "status", "filled", "leaves", "notional", "text"):
        assert getattr(first[0], field) == getattr(second[0], field)
    assert (first[0].repeated, second[0].repeated) == (False, True)
    assert (len(first[0].trades), second[0].trades) == (1, ())
    assert teller.ask(GetBalance(account="bob")).balances["ACME"].available == 10_002


def test_an_id_is_of_one_command_only(teller):
    teller.ask(order("one"))
    assert refused(teller.ask(order("one", quantity=2)), "DUPLICATE_ID")
    other = AddFunds(account="ann", client_order_id="one", asset="USD", amount=1)
    assert refused(teller.ask(other), "DUPLICATE_ID")


def test_a_repeat_of_a_change_has_its_outcome(teller):
    teller.ask(order("a", quantity=5))
    change = ModifyOrder(account="ann", client_order_id="m", orig_client_order_id="a", quantity=4)
    bad = ModifyOrder(account="ann", client_order_id="n", orig_client_order_id="a", price="0.001")
    cancel = CancelOrder(account="ann", client_order_id="c", orig_client_order_id="a")
    assert [teller.ask(change).leaves for _ in range(2)] == [4, 4]
    assert all(refused(teller.ask(bad), "PRICE_INVALID") for _ in range(2))
    assert [teller.ask(cancel).success for _ in range(2)] == [True, True]


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


def pair(**limit):
    """Ann has 5 to sell: at 110 if it rises, or at any price once it falls to 90."""
    return PlaceOco(
        account="ann", client_order_id="pair", stop=order("stop", price=None, stop_price=90,
        quantity=5), limit=order("limit", **{"price": 110, "quantity": 5, **limit}),
    )  # fmt: skip


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


# --- every no is an Error ---


@pytest.mark.parametrize(
    ("reason", "command"),
    [
        ("SYMBOL_UNKNOWN", order("a", symbol="NONE")),
        ("PRICE_INVALID", order("a", price="100.001")),
        ("QUANTITY_INVALID", order("a", quantity="0.5")),
        ("DISPLAY_INVALID", order("a", quantity=5000, display_quantity=1)),
        ("EXPIRE_TIME_INVALID", order("a", time_in_force=TimeInForce.GTD, expire_ns=1)),
        ("OCO_INVALID", order("a", oco_with="nothing")),
        ("FUNDS_INSUFFICIENT", order("a", quantity=10_001)),
        ("ACCOUNT_UNKNOWN", order("a", account="eve")),
        ("UNKNOWN_ORDER",
         CancelOrder(account="ann", client_order_id="a", orig_client_order_id="z")),
        ("ACCOUNT_EXISTS", CreateAccount(account="ann", client_order_id="a")),
        ("ACCOUNT_UNKNOWN", AddFunds(account="e", client_order_id="a", asset="USD", amount=1)),
        ("ASSET_UNKNOWN", AddFunds(account="ann", client_order_id="a", asset="XAU", amount=1)),
        ("AMOUNT_INVALID", AddFunds(account="ann", client_order_id="a", asset="USD", amount=0)),
        ("AMOUNT_INVALID", AddFunds(account="ann", client_order_id="a", asset="USD", amount="x")),
        ("FUNDS_INSUFFICIENT",
         Withdraw(account="ann", client_order_id="a", asset="USD", amount=10_001)),
        ("ACCOUNT_UNKNOWN",
         Transfer(account="ann", client_order_id="a", asset="USD", amount=1, to_account="eve")),
        ("SYMBOL_UNKNOWN", GetDepth(symbol="NONE")),
        ("ACCOUNT_UNKNOWN", GetBalance(account="eve")),
        ("UNKNOWN_ORDER", GetOrder(account="ann", client_order_id="z")),
    ],
)  # fmt: skip
def test_each_no_has_its_code(teller, reason, command):
    """And nothing has changed."""
    assert refused(teller.ask(command), reason)
    assert teller.open_ids("ann") == []
    assert teller.ask(GetBalance(account="ann")).balances["USD"] == Balance(10_000, 0)


def test_post_only_is_refused_where_it_would_trade(teller):
    teller.buy("bob", 100, 1)
    assert refused(teller.sell("ann", 100, 1, post_only=PostOnly.REJECT), "POST_ONLY")
    slid = teller.sell("ann", 100, 1, post_only=PostOnly.SLIDE)
    assert (slid.status, slid.text) == (OrderState.NEW, "POST_ONLY: price=10001")


def test_without_a_ledger_there_is_no_money(start_stepped):
    oms = start_stepped().oms
    assert refused(oms.execute(GetBalance(account="me")).result(0), "LEDGER_OFF")


def test_a_full_inbox_refuses_at_once():
    """On the caller's thread, before any turn; of a batch, what still fits is taken."""
    teller = Teller(config_of(queue=QueueConfig(inbox_max=2), instruments=MARKETS))
    teller.oms._running = True  # without threads: refuse as a running one does
    future = teller.oms.execute(PlaceOrders(orders=[order("a"), order("b"), order("c")]))
    assert not future.done()
    alone = teller.oms.execute(order("d"))
    assert refused(alone.result(0), "QUEUE_FULL")
    teller.stepped.turn()
    first, second, third = future.result(0).answers
    assert (first.status, second.status) == (OrderState.NEW, OrderState.NEW)
    assert refused(third, "QUEUE_FULL")


def test_a_pair_cut_in_two_by_a_shutdown_says_what_stands(teller):
    """The stop is recorded, the limit order comes too late: both are told, and a retry mends it."""
    future = teller.oms.execute(pair())
    teller.oms.inbox.close()
    teller.stepped.turn()
    answer = future.result(0)
    assert answer.stop.status is OrderState.SUSPENDED
    assert refused(answer.limit, "SHUTTING_DOWN")
    assert refused(teller.oms.execute(order("x")).result(0), "SHUTTING_DOWN")


def test_a_full_disk_is_an_error_too():
    store = FaultyStore()
    teller = Teller(config_of(instruments=MARKETS), store=store)
    store.faults.append(StoreFullError("full"))
    assert refused(teller.ask(order("a")), "DISK_FULL")


def test_an_unknown_outcome_is_an_exception():
    """Nobody can say yes or no: the command is to be given again, or asked for."""
    store = FaultyStore()
    teller = Teller(config_of(instruments=MARKETS), store=store)
    store.faults.append(OutcomeUnknownError("power"))
    future = teller.oms.execute(order("a"))
    with pytest.raises(OutcomeUnknownError):
        teller.stepped.turn()
    with pytest.raises(OutcomeUnknownError):
        future.result(0)


def test_what_is_no_command_is_malformed():
    """The gateway's own answer; the exchange has never heard of it."""
    with pytest.raises(ValidationError) as error:
        order("a", quantity=None)
    answer = Error.malformed(error.value)
    assert (answer.code, answer.api_code, answer.http_status) == ("MALFORMED", 1000, 400)
    assert answer.text.startswith("MALFORMED: quantity: expected")


# --- made well, or not at all ---


@pytest.mark.parametrize(
    ("field", "make"),
    [
        ("account", lambda: GetBalance(account="")),
        ("account", lambda: GetOpenOrders(account="")),
        ("symbol", lambda: GetOpenOrders(account="a", symbol='"')),
        ("symbol", lambda: GetDepth(symbol="")),
        ("levels", lambda: GetDepth(symbol="X", levels=0)),
        ("levels", lambda: GetDepth(symbol="X", levels=True)),
        ("client_order_id", lambda: GetOrder(account="a", client_order_id="")),
        ("price", lambda: order("a", price=1.5)),
        ("stop_price", lambda: order("a", stop_price=1.5)),
        ("price", lambda: order("a", price=None, order_type=OrderType.LIMIT)),
        ("amount", lambda: AddFunds(account="a", client_order_id="b", asset="USD", amount=0.5)),
        ("quantity", lambda: ModifyOrder(
            account="a", client_order_id="b", orig_client_order_id="c", quantity=0.5)),
        ("quantity", lambda: ModifyOrder(
            account="a", client_order_id="b", orig_client_order_id="c")),
        ("everybody", lambda: MassCancel(account="a", client_order_id="b", everybody=True)),
        ("to_account", lambda: Transfer(
            account="a", client_order_id="b", asset="USD", amount=1, to_account="")),
        ("target", lambda: Kill(client_order_id="k", scope=Scope.SYMBOL)),
    ],
)  # fmt: skip
def test_a_command_is_checked_when_it_is_made(field, make):
    with pytest.raises(ValidationError, match=f"^{field}: "):
        make()


def test_equal_commands_are_equal():
    """They can be kept in sets and compared; what is derived does not count."""
    assert order("a") == order("a")
    assert len({order("a"), order("a"), order("b")}) == 2
    assert "requests" not in repr(order("a"))


# --- the real thing ---


def test_with_threads_and_a_disk(start_manager, tmp_path):
    """Answers are durable; questions need no turn; timeout_s waits, and no longer than needed."""
    store = PersistentStorage(tmp_path / "orders.db")
    oms = start_manager(FUNDED, store=store)
    for n, command in enumerate((CreateAccount, AddFunds)):
        more = {"asset": "ACME", "amount": 5} if command is AddFunds else {}
        done = oms.execute(command(account="ann", client_order_id=f"f{n}", **more), SOON_S)
        assert done.done()
    placed = oms.execute(pair(), timeout_s=SOON_S)
    assert placed.result(0).limit.status is OrderState.NEW
    assert store.find_rows("ann", "stop")[0][8] == "NEW"
    batch = oms.execute(PlaceOrders(orders=[order(f"z{n}", quantity=9) for n in range(3)]))
    assert all(refused(each, "FUNDS_INSUFFICIENT") for each in batch.result(SOON_S).answers)
    questions = (
        (GetDepth(symbol="ACME_USD"), OrderBookDepth),
        (GetBalance(account="ann"), AccountBalance),
        (GetOpenOrders(account="ann"), OpenOrders),
        (GetOrder(account="ann", client_order_id="limit"), OrderStatus),
    )
    for question, kind in questions:
        assert isinstance(oms.execute(question).result(0), kind)


def test_questions_wait_for_no_write(teller):
    """A command is handed over and nobody takes it: the question is answered all the same."""
    unheard = teller.oms.execute(order("a"))
    assert teller.ask(GetOpenOrders(account="ann")).orders == ()
    assert teller.oms.execute(GetBalance(account="ann")).done()
    assert not unheard.done()
    assert not teller.oms.execute(order("b"), timeout_s=0.0).done()


def test_the_example_of_the_readme_runs(start_manager, capsys):
    """As it is printed there, in a market where one offers ten."""
    # given
    readme = (Path(__file__).resolve().parent.parent / "README.md").read_text(encoding="utf-8")
    section = readme.partition("## The language of commands\n")[2]
    example = section.partition("```python\n")[2].partition("```")[0]
    config = config_of(exchange=ExchangeConfig(ledger=True), instruments=SHIPPED_INSTRUMENTS)
    oms = start_manager(config)
    seller = {"account": "ann", "symbol": "BTC_USD", "quantity": 10}
    for command in (
        CreateAccount(account="ann", client_order_id="1"),
        AddFunds(account="ann", client_order_id="2", asset="BTC", amount=10),
        order("3", price="98.5", **seller),
    ):
        assert not isinstance(oms.execute(command).result(SOON_S), Error)

    # when
    exec(example, {"oms": oms})

    # then ten were bought, and the rest was canceled
    assert capsys.readouterr().out.split() == ["CANCELED", "197/2", "10", "98.5", "0", "1015"]
