"""The language of commands: one command, one answer. Orders, and the same command again."""

from concurrent.futures import Future
from decimal import Decimal
from fractions import Fraction

from oms import (
    OrderState,
    OrderType,
    Side,
    TimeInForce,
)
from oms.answers import (
    Balance,
    OrderBookDepth,
    OrderCanceled,
    OrderModified,
    OrderPlaced,
    OrderStatus,
    PriceLevel,
)
from oms.flow.publisher import Publisher
from oms.language import (
    AddFunds,
    CancelOrder,
    GetBalance,
    GetDepth,
    GetOrder,
    ModifyOrder,
    Withdraw,
)
from oms.messages import PostOnly, SelfTrade
from tests.fakes import throttled
from tests.teller import MARKETS, Teller, order, refused

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
