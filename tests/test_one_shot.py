"""One request, one answer: what it did at once, what it was refused for, and the same again."""

from decimal import Decimal
from fractions import Fraction

import pytest

from oms import (
    EmbeddedVenue,
    FundsAction,
    FundsRequest,
    MassCancelRequest,
    OperatorAction,
    OrderRequest,
    OrderState,
    PersistentStorage,
    Phase,
    PostOnly,
    ResponseType,
    Scope,
    Side,
    TimeInForce,
    Trading,
)
from oms.config import QueueConfig
from oms.errors import OutcomeUnknownError, StoreFullError, ValidationError
from oms.manager import BATCH_MAX
from oms.turn.answer import Asker
from oms.turn.journal import Fold, differences
from oms.turn.publisher import Publisher
from tests.fakes import SOON_S, FaultyStore, config_of, remote, report_of, throttled
from tests.fakes import buy as bid
from tests.teller import FUNDED, MARKETS, Teller, order, pair, refused


def fills(answer):
    """Quantity and price of each trade."""
    return [(int(trade.last_quantity), int(trade.last_price)) for trade in answer.trades]


def deposit(client_order_id="a", account="ann", asset="USD", amount=1):
    return FundsRequest(
        account=account, client_order_id=client_order_id, action=FundsAction.DEPOSIT, asset=asset,
        amount=amount,
    )  # fmt: skip


def withdraw(client_order_id="a", **fields):
    usual = {"account": "ann", "asset": "USD", "amount": 1, "action": FundsAction.WITHDRAW}
    return FundsRequest(client_order_id=client_order_id, **{**usual, **fields})


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
    assert (bought.type, bought.refused, bought.repeated) == (ResponseType.TRADE, False, False)
    assert bought.reports[0].type is ResponseType.NEW
    assert fills(bought) == [(5, 98), (3, 98), (7, 100)]
    assert (bought.state, bought.cumulative_quantity, bought.leaves_quantity) == ("FILLED", 15, 0)
    assert (bought.notional, bought.notional_units) == (1484, 148_400)
    assert bought.average_price == Decimal("98.933333")  # four decimals more than prices have
    assert bought.average_price_ticks == Fraction(148_400, 15)

    # and Cid has 3 left at 100, and all money is where it belongs
    assert teller.oms.get_depth("ACME_USD", 5) == ([], [(100, 3), (105, 20)])
    assert teller.oms.get_depth_ticks("ACME_USD", 5) == ([], [(10_000, 3), (10_500, 20)])
    earned = {"ann": 490, "bob": 294, "cid": 700, "dan": -1484}
    for account, difference in earned.items():
        assert teller.balance(account, "USD") == (10_000 + difference, 0)
    assert teller.balance("cid", "ACME") == (10_000 - 7 - 23, 23)


def test_all_or_none_takes_nothing_when_there_is_too_little(teller):
    """In such a market 15 are not bought where 8 are offered; the 8 stay."""
    # given
    teller.sell("ann", 98, 8, symbol="WHOLE_USD")

    # when
    answer = teller.buy("dan", None, 15, symbol="WHOLE_USD")

    # then
    assert refused(answer, "INSUFFICIENT_LIQUIDITY")
    assert answer.facts == {"quantity": "15", "policy": "all_or_none"}
    assert teller.balance("dan", "USD") == (10_000, 0)
    assert teller.oms.get_depth("WHOLE_USD", 1)[1] == [(98, 8)]
    # and a smaller one passes
    assert teller.buy("dan", None, 8, symbol="WHOLE_USD").state is OrderState.FILLED


# --- orders ---


def test_a_limit_order_rests_and_is_found(teller):
    """By its client order id and by its order id."""
    placed = teller.sell("ann", "100.50", 5)
    assert (placed.state, placed.leaves_lots, placed.trades) == (OrderState.NEW, 5, ())
    assert placed.reports == (placed,)
    assert placed.standing is placed
    assert placed.average_price is None
    for named in (placed.client_order_id, placed.order_id):
        found = teller.oms.get_order("ann", named)
        assert (found.order_id, found.state, found.leaves_lots) == (placed.order_id, "NEW", 5)
    assert teller.open_ids("ann") == [placed.client_order_id]


def test_fees_are_told_with_each_fill(teller):
    """50 bps of 1,000 to the taker; the maker's are told to the maker's listeners."""
    teller.sell("ann", 100, 10, symbol="FEE_USD")
    bought = teller.buy("bob", None, 10, symbol="FEE_USD")
    assert [(trade.last_fee, trade.match_number) for trade in bought.trades] == [(5, 1)]
    assert teller.balance("ann", "USD")[0] == 11_001


def test_what_the_book_cannot_fill_is_placed_and_over(teller):
    """IOC: the fill counts, the rest is canceled, and the answer says so at once."""
    teller.sell("ann", 100, 3)
    answer = teller.buy("bob", 100, 5, time_in_force=TimeInForce.IOC)
    assert (answer.state, answer.cumulative_lots, answer.leaves_lots) == ("CANCELED", 3, 0)
    assert fills(answer) == [(3, 100)]
    assert answer.text == "INSUFFICIENT_LIQUIDITY: left=2"
    assert answer.facts == {"left": "2"}
    assert not answer.refused


def test_a_stop_that_is_triggered_at_once_tells_its_trades(teller):
    """Its report NEW says SUSPENDED; what it took a moment later is in the same answer."""
    # given a last price of 100, and a bid
    teller.sell("ann", 100, 1)
    teller.buy("bob", 100, 3)

    # when
    answer = teller.sell("cid", None, 2, stop_price=100)

    # then
    assert answer.reports[0].state is OrderState.SUSPENDED
    assert fills(answer) == [(2, 100)]
    assert answer.state is OrderState.FILLED


def test_an_answer_tells_only_what_its_own_request_did(teller):
    """In one turn: the resting order is answered as it rested, though the next one fills it."""
    rests = teller.oms.submit(order("r", quantity=5))
    takes = teller.oms.submit(order("t", account="bob", side=Side.BUY, quantity=5))
    teller.stepped.turn()
    assert (rests.result(0).state, rests.result(0).trades) == (OrderState.NEW, ())
    assert takes.result(0).state is OrderState.FILLED
    assert fills(takes.result(0)) == [(5, 100)]


def test_a_change_refused_in_the_midst_of_a_sweep_hides_no_trade():
    """The first maker's modify comes too late, and is told between two fills of the taker."""

    # given a turn: "t", order 9, fills order 3, whose modify 12 is refused; then order 5
    def row(number, order_id, request_seq, type_, state, lots=0):
        return report_of(
            13, number, order_id=order_id, request_seq=request_seq, type=type_, state=state,
            last_price_ticks=10_000, last_quantity_lots=lots, cumulative_lots=lots,
            liquidity="TAKER" if lots else "", account="ann", client_order_id="t",
            symbol="ACME_USD", side="BUY",
        )  # fmt: skip

    reports = [
        row(1, 9, 9, "NEW", "NEW"),
        row(2, 9, 9, "TRADE", "PARTIALLY_FILLED", 1),
        row(3, 3, 0, "TRADE", "FILLED", 1),
        row(4, 3, 12, "CANCEL_REJECTED", "FILLED"),
        row(5, 9, 9, "TRADE", "FILLED", 2),
        row(6, 5, 0, "TRADE", "FILLED", 2),
        row(7, 10, 10, "NEW", "NEW"),
        row(8, 9, 0, "CANCELED", "CANCELED"),
    ]
    taker, other, late = Heard(), Heard(), Heard()

    # when
    Publisher(10).tell(reports, {9: taker, 10: other, 12: late}, {}, 0, 0)

    # then
    assert [each.number for each in taker.response.reports] == [1, 2, 5]
    assert [each.number for each in other.response.reports] == [7]
    assert [each.number for each in late.response.reports] == [4]


class Heard(Asker):
    response = None

    def told(self, outcome):
        assert self.response is None
        self.response = outcome


def test_a_modify_that_crosses_tells_its_trades(teller):
    teller.sell("ann", 100, 3)
    placed = teller.buy("bob", 99, 5)
    modified = teller.modify("bob", placed.client_order_id, price=100)
    assert (modified.reports[0].type, modified.order_id) == ("REPLACED", placed.order_id)
    assert (modified.type, modified.cumulative_lots, modified.leaves_lots) == ("TRADE", 3, 2)
    assert fills(modified) == [(3, 100)]


def test_a_cancel_says_that_the_order_is_gone(teller):
    """Named by its order id, too; and again, it is too late."""
    placed = teller.sell("ann", 100, 3)
    answer = teller.ask(OrderRequest.cancel("ann", "c", order_id=placed.order_id))
    assert (answer.type, answer.order_id) == (ResponseType.CANCELED, placed.order_id)
    assert refused(teller.cancel("ann", placed.client_order_id), "TOO_LATE")


def test_nobody_touches_the_order_of_another_account(teller):
    """Ids are an account's own: for Bob, Ann's order does not exist, by whatever name."""
    placed = teller.sell("ann", 100, 3)
    name = placed.client_order_id
    assert refused(teller.cancel("bob", name), "UNKNOWN_ORDER")
    assert refused(teller.modify("bob", name, price=1), "UNKNOWN_ORDER")
    by_number = OrderRequest.cancel("bob", "c", order_id=placed.order_id)
    assert refused(teller.ask(by_number), "UNKNOWN_ORDER")
    assert teller.oms.get_order("bob", name) is None
    assert teller.oms.get_order("bob", placed.order_id) is None
    assert teller.open_ids("ann") == [name]


def test_an_order_keeps_its_name_when_a_change_is_refused(teller):
    """Its latest report is the refusal, under the id of the change; the order is still "a"."""
    teller.ask(order("a"))
    assert refused(teller.modify("ann", "a", price="0.001"), "PRICE_INVALID")
    assert teller.open_ids("ann") == ["a"]
    assert teller.oms.get_order("ann", "a").text == ""
    # and after one that was accepted it has the new name, but answers to both
    teller.ask(OrderRequest.modify("ann", "n", "a", price=99))
    assert teller.open_ids("ann") == ["n"]
    assert teller.oms.get_order("ann", "a").client_order_id == "n"


def test_an_order_that_has_to_wait_is_answered_as_pending():
    """One send a second: the second order is recorded, and its answer says that it waits."""
    teller = Teller(throttled(instruments=MARKETS))
    assert teller.sell("ann", 100, 1).state is OrderState.NEW
    waits = teller.buy("bob", 100, 1)
    assert (waits.state, waits.text, waits.reason) == ("PENDING_NEW", "QUEUED_THROTTLE", None)
    assert (waits.trades, waits.refused) == ((), False)

    # when it was sent, a repeat of the request is told what became of it
    teller.stepped.clock.advance(1.0)
    teller.stepped.turn()
    again = teller.ask(order(waits.client_order_id, account="bob", side=Side.BUY))
    assert (again.state, again.cumulative_lots, again.repeated) == (OrderState.FILLED, 1, True)
    assert not again.refused


def test_a_repeat_of_what_waited_and_was_refused_is_refused():
    """The first answer was that it waits; what counts is what came of it."""
    # given a modify that waits, of an order that is filled meanwhile
    teller = Teller(throttled(instruments=MARKETS))
    teller.ask(order("a", quantity=2))
    takes = teller.oms.submit(order("b", account="bob", side=Side.BUY, quantity=2))
    teller.stepped.turn()
    change = OrderRequest.modify("ann", "c", "a", quantity=3)
    waits = teller.ask(change)
    assert (waits.state, waits.text) == (OrderState.PENDING_REPLACE, "QUEUED_THROTTLE")
    assert takes.result(0).state is OrderState.PENDING_NEW
    for _ in range(3):
        teller.stepped.clock.advance(1.0)
        teller.stepped.turn()

    # when it is asked again, then
    for _ in range(2):
        assert refused(teller.ask(change), "TOO_LATE")


def test_a_cancel_that_has_to_wait_has_canceled_nothing_yet():
    """What was asked is recorded; the order is open until the venue has it."""
    teller = Teller(throttled(instruments=MARKETS))
    placed = teller.sell("ann", 100, 1)
    answer = teller.cancel("ann", placed.client_order_id)
    assert (answer.type, answer.state) == ("PENDING_CANCEL", "PENDING_CANCEL")
    assert not answer.refused


# --- the same request again ---


def test_the_same_request_has_the_same_outcome(teller):
    """Whatever it was: no second effect, and the answer is that of the first time."""
    # given
    teller.sell("ann", 100, 5)
    requests = (
        order("again", account="bob", side=Side.BUY, quantity=2),
        deposit("again-d", account="bob"),
        order("again-r", account="bob", side=Side.BUY, quantity=10**9),
        withdraw("again-w", account="bob", amount=10**6),
    )
    first = [teller.ask(each) for each in requests]
    money = teller.balance("bob", "USD")

    # when
    second = [teller.ask(each) for each in requests]

    # then
    assert teller.balance("bob", "USD") == money
    for then, now in zip(first, second, strict=True):
        assert (then.refused, then.reason, then.text) == (now.refused, now.reason, now.text)
        assert then.order_id == now.order_id
    assert refused(second[2], "FUNDS_INSUFFICIENT")
    assert refused(second[3], "FUNDS_INSUFFICIENT")
    for field in ("state", "cumulative_lots", "leaves_lots", "notional"):
        assert getattr(first[0], field) == getattr(second[0], field)
    assert (first[0].repeated, second[0].repeated) == (False, True)
    assert (len(first[0].trades), second[0].trades) == (1, ())
    assert teller.balance("bob", "ACME")[0] == 10_002


def test_an_id_is_of_one_request_only(tmp_path):
    """Whatever it was refused for; and the refusal is on disk like all others."""
    store = PersistentStorage(tmp_path / "orders.db", durability="none")
    teller = Teller(store=store).fund("ann")
    teller.ask(order("one"))
    teller.ask(order("bad", price="0.001"))
    told = [
        teller.ask(order("one", quantity=2)), teller.ask(order("bad", price="0.002")),
        teller.ask(deposit("one")), teller.ask(deposit("t1")), teller.ask(order("t1")),
        teller.ask(MassCancelRequest(account="ann", client_order_id="one")),
    ]  # fmt: skip
    assert all(refused(each, "DUPLICATE_ID") for each in told)
    assert list(differences(store, Fold(EmbeddedVenue()))) == []
    teller.stepped.stop()


def test_a_repeat_of_a_change_has_its_outcome(teller):
    teller.ask(order("a", quantity=5))
    change = OrderRequest.modify("ann", "m", "a", quantity=4)
    bad = OrderRequest.modify("ann", "n", "a", price="0.001")
    cancel = OrderRequest.cancel("ann", "c", "a")
    assert [teller.ask(change).leaves_lots for _ in range(2)] == [4, 4]
    assert all(refused(teller.ask(bad), "PRICE_INVALID") for _ in range(2))
    told = [teller.ask(cancel) for _ in range(2)]
    assert [(each.state, each.refused, each.repeated) for each in told] == [
        (OrderState.CANCELED, False, False), (OrderState.CANCELED, False, True),
    ]  # fmt: skip


# --- every no has its code ---


@pytest.mark.parametrize(
    ("reason", "request_"),
    [
        ("SYMBOL_UNKNOWN", order("a", symbol="NONE")),
        ("PRICE_INVALID", order("a", price="100.001")),
        ("QUANTITY_INVALID", order("a", quantity="0.5")),
        ("DISPLAY_INVALID", order("a", quantity=5000, display_quantity=1)),
        ("EXPIRE_TIME_INVALID", order("a", time_in_force=TimeInForce.GTD, expire_ns=1)),
        ("OCO_INVALID", order("a", oco_with="nothing")),
        ("FUNDS_INSUFFICIENT", order("a", quantity=10_001)),
        ("ACCOUNT_UNKNOWN", order("a", account="eve")),
        ("UNKNOWN_ORDER", OrderRequest.cancel("ann", "a", "z")),
        ("UNKNOWN_ORDER", OrderRequest.cancel("ann", "a", order_id=4711)),
        ("ACCOUNT_EXISTS",
         FundsRequest(account="ann", client_order_id="a", action=FundsAction.CREATE)),
        ("ACCOUNT_UNKNOWN", deposit(account="e")),
        ("ASSET_UNKNOWN", deposit(asset="XAU")),
        ("AMOUNT_INVALID", deposit(amount=0)),
        ("AMOUNT_INVALID", deposit(amount="x")),
        ("FUNDS_INSUFFICIENT", withdraw(amount=10_001)),
        ("ACCOUNT_UNKNOWN", withdraw(action=FundsAction.TRANSFER, to_account="eve")),
    ],
)  # fmt: skip
def test_each_no_has_its_code(teller, reason, request_):
    """And nothing has changed."""
    assert refused(teller.ask(request_), reason)
    assert teller.open_ids("ann") == []
    assert teller.balance("ann", "USD") == (10_000, 0)


def test_questions_about_what_is_not_there(teller):
    """None, nothing, or an error that names the field."""
    assert teller.oms.get_order("ann", "z") is None
    assert teller.oms.balances_units("eve") == {}
    with pytest.raises(ValidationError, match=r"^symbol: "):
        teller.oms.get_depth("NONE", 1)


def test_post_only_is_refused_where_it_would_trade(teller):
    teller.buy("bob", 100, 1)
    assert refused(teller.sell("ann", 100, 1, post_only=PostOnly.REJECT), "POST_ONLY")
    slid = teller.sell("ann", 100, 1, post_only=PostOnly.SLIDE)
    assert (slid.state, slid.text) == (OrderState.NEW, "POST_ONLY: price=100.01")


def test_without_a_ledger_there_is_no_money(stepped):
    assert stepped.oms.balances_units("me") == {}
    create = FundsRequest(account="me", client_order_id="c", action=FundsAction.CREATE)
    assert refused(stepped.ask(create), "LEDGER_OFF")


def test_a_full_inbox_refuses_at_once():
    """On the caller's thread, before any turn; of a batch, what still fits is taken."""
    teller = Teller(config_of(queue=QueueConfig(inbox_max=2), instruments=MARKETS))
    teller.oms._running = True  # without threads: refuse as a running one does
    batch = teller.oms.submit_all([order("a"), order("b"), order("c")])
    assert [future.done() for future in batch] == [False, False, True]
    assert refused(teller.oms.submit(order("d")).result(0), "QUEUE_FULL")
    teller.stepped.turn()
    first, second, third = (future.result(0) for future in batch)
    assert (first.state, second.state) == (OrderState.NEW, OrderState.NEW)
    assert refused(third, "QUEUE_FULL")


def test_a_full_disk_is_a_refusal_too():
    store = FaultyStore()
    teller = Teller(config_of(instruments=MARKETS), store=store)
    store.faults.append(StoreFullError("full"))
    assert refused(teller.ask(order("a")), "DISK_FULL")


def test_an_unknown_outcome_is_an_exception():
    """Nobody can say yes or no: the request is to be given again, or asked for."""
    store = FaultyStore()
    teller = Teller(config_of(instruments=MARKETS), store=store)
    store.faults.append(OutcomeUnknownError("power"))
    future = teller.oms.submit(order("a"))
    with pytest.raises(OutcomeUnknownError):
        teller.stepped.turn()
    with pytest.raises(OutcomeUnknownError):
        future.result(0)


# --- batches, mass cancels ---


def test_a_batch_is_answered_one_by_one(teller):
    """Three orders, the second beyond Ann's means: two are placed, in their order."""
    batch = [order("a"), order("b", quantity=10**9), order("c", price=101)]
    futures = teller.oms.submit_all(batch)
    first, second, third = (teller.wait(future) for future in futures)
    assert (first.client_order_id, third.client_order_id) == ("a", "c")
    assert first.order_id < third.order_id
    assert refused(second, "FUNDS_INSUFFICIENT")
    assert teller.open_ids("ann") == ["a", "c"]

    # and a batch of cancels, of one that is not there too
    cancels = [OrderRequest.cancel("ann", f"x{name}", name) for name in "abc"]
    gone = [teller.wait(future) for future in teller.oms.submit_all(cancels)]
    assert (gone[0].type, gone[2].type) == (ResponseType.CANCELED, ResponseType.CANCELED)
    assert refused(gone[1], "UNKNOWN_ORDER")
    assert teller.open_ids("ann") == []


def test_a_batch_has_a_bound_and_holds_requests_alone(teller):
    """Or nothing of it is taken."""
    full = [order(f"o{n}") for n in range(BATCH_MAX)]
    assert len(teller.oms.submit_all(full)) == BATCH_MAX
    assert teller.oms.submit_all([]) == []
    before = teller.oms.inbox.size
    for wrong in ([order(f"p{n}") for n in range(BATCH_MAX + 1)], [order("p"), "cancel"]):
        with pytest.raises(ValidationError, match=r"^requests: "):
            teller.oms.submit_all(wrong)
    assert teller.oms.inbox.size == before


def test_a_mass_cancel_takes_what_it_names(teller):
    """By symbol and side, then the rest; the orders of others stay."""
    for name, fields in (
        ("s1", {}), ("s2", {"price": 101}), ("b1", {"side": Side.BUY, "price": 90}),
        ("f1", {"symbol": "FEE_USD"}), ("bob", {"account": "bob"}),
    ):  # fmt: skip
        teller.ask(order(name, **fields))
    named = teller.mass_cancel(symbol="ACME_USD", side=Side.SELL)
    assert (named.type, named.facts) == (ResponseType.COMMAND_DONE, {"canceled": "2"})
    assert teller.open_ids("ann") == ["b1", "f1"]
    assert [order.symbol for order in teller.oms.open_orders("ann")] == ["ACME_USD", "FEE_USD"]
    assert [teller.mass_cancel().facts["canceled"] for _ in range(2)] == ["2", "0"]
    assert teller.open_ids("bob") == ["bob"]
    assert teller.mass_cancel("operator", everybody=True).facts == {"canceled": "1"}


def test_a_mass_cancel_at_a_remote_venue_says_how_many_it_asked_for():
    """The venue cancels, later; of what still waits here, what was canceled is said as well."""
    desk = remote()
    desk.send(bid("A", 1, 100), bid("B", 1, 100))
    desk.hear()
    answer = desk.ask(MassCancelRequest(account="me", client_order_id="mass"))
    assert (answer.type, answer.refused) == (ResponseType.COMMAND_DONE, False)
    assert answer.facts == {"cancel_requested": "2"}
    assert desk.hear() == ["A CANCELED/CANCELED", "B CANCELED/CANCELED"]
    assert desk.oms.open_orders("me") == []


# --- funds, operators ---


def test_money_in_out_and_across():
    """Each answer tells what is available since; exact, in the asset's own decimals."""
    teller = Teller()
    assert teller.move(FundsAction.CREATE).facts == {"account": "ann"}
    assert teller.oms.balances_units("ann") == {}
    teller.move(FundsAction.CREATE, "bob")
    told = [
        teller.move(FundsAction.DEPOSIT, "ann", "USD", "100.25"),
        teller.move(FundsAction.WITHDRAW, "ann", "USD", "0.25"),
        teller.move(FundsAction.TRANSFER, "ann", "USD", 40, "bob"),
    ]
    assert [each.type for each in told] == [ResponseType.COMMAND_DONE] * 3
    assert [each.facts["available"] for each in told] == ["100.25", "100", "60"]
    assert (teller.balance("ann", "USD"), teller.balance("bob", "USD")) == ((60, 0), (40, 0))


def test_operators_have_their_requests(teller):
    """Each takes effect, and says what is so now."""
    teller.sell("ann", 100, 1)
    ann = {"scope": Scope.ACCOUNT, "target": "ann"}
    done = teller.operate("SET_LIMIT", **ann, name="open_orders_max", value="1")
    assert (done.type, done.facts) == (ResponseType.COMMAND_DONE, {"open_orders_max": "1"})
    assert refused(teller.sell("ann", 100, 1), "OPEN_ORDERS_EXCEED_MAXIMUM")
    tier = teller.operate(OperatorAction.SET_ACCOUNT, **ann, name="tier", value="vip")
    assert tier.facts["tier"] == "vip"
    assert refused(tier, "COMMAND_INVALID")  # no fees are told for it
    group = teller.operate(OperatorAction.SET_ACCOUNT, **ann, name="stp_group", value="us")
    assert group.facts == {"stp_group": "us"}
    halted = teller.operate(
        "SET_PHASE", scope=Scope.SYMBOL, target="FEE_USD", value=Phase.HALTED.value
    )
    assert halted.facts == {"phase": "HALTED"}
    assert refused(teller.sell("bob", 100, 1, symbol="FEE_USD"), "MARKET_STATE")
    killed = teller.operate("KILL", why="a bad day")
    assert killed.facts == {"trading": "HALTED", "canceled": "1"}
    assert refused(teller.sell("bob", 100, 1), "KILL_SWITCH")
    active = teller.operate("SET_TRADING", value=Trading.ACTIVE.value)
    assert active.facts == {"trading": "ACTIVE"}
    assert teller.sell("bob", 100, 1).state is OrderState.NEW


def test_an_operator_takes_a_trade_back(teller):
    """By the execution id of a side; a trade that never was cannot be."""
    teller.sell("ann", 100, 1)
    [trade] = teller.buy("bob", 100, 1).trades
    busted = teller.operate("BUST", name=trade.execution_id)
    assert (busted.type, busted.refused) == (ResponseType.COMMAND_DONE, False)
    assert busted.facts["trade"] == trade.execution_id
    assert refused(teller.operate("BUST", name="1-77"), "COMMAND_INVALID")


def test_what_no_operator_can_do_is_refused(teller):
    wrong = teller.operate("SET_LIMIT", name="no_such_limit", value="1")
    assert refused(wrong, "COMMAND_INVALID")
    nowhere = {"scope": Scope.SYMBOL, "target": "NONE", "value": "HALTED"}
    assert refused(teller.operate("SET_PHASE", **nowhere), "SYMBOL_UNKNOWN")
    with pytest.raises(ValidationError, match=r"^value: "):
        teller.operate("SET_TRADING", value="sometimes")


# --- the real thing ---


def test_with_threads_and_a_disk(start_manager, tmp_path):
    """Answers are durable; questions need no turn."""
    store = PersistentStorage(tmp_path / "orders.db")
    oms = start_manager(FUNDED, store=store)
    for request in (
        FundsRequest(account="ann", client_order_id="f0", action=FundsAction.CREATE),
        deposit("f1", asset="ACME", amount=5),
    ):
        assert not oms.submit(request).result(SOON_S).refused
    _stop, limit = oms.submit_pair(*pair(), "undo").result(SOON_S)
    assert limit.state is OrderState.NEW
    assert store.find_reports("ann", "stop")[0].type == "NEW"
    batch = oms.submit_all([order(f"z{n}", quantity=9) for n in range(3)])
    assert all(refused(each.result(SOON_S), "FUNDS_INSUFFICIENT") for each in batch)
    assert oms.dry_run(order("dry", quantity=9)).result(SOON_S).reason == "FUNDS_INSUFFICIENT"
    assert oms.get_order("ann", "limit").order_id == limit.order_id
    assert [each.client_order_id for each in oms.open_orders("ann")] == ["stop", "limit"]
    assert oms.balances_units("ann") == {"ACME": (0, 5)}


def test_questions_wait_for_no_write(teller):
    """A request is handed over and nobody takes it: the question is answered all the same."""
    unheard = teller.oms.submit(order("a"))
    assert teller.open_ids("ann") == []
    assert teller.balance("ann", "ACME") == (10_000, 0)
    assert not unheard.done()
