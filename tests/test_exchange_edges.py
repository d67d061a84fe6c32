"""Where rules of the exchange meet: busts, halts, limits and what they measure by, odd terms."""

import pytest

from oms import Instrument, OrderRequest
from oms.config import ThrottleConfig, VenueConfig
from oms.desk.desk import EXPIRIES_MIN
from oms.enums import Scope, TimeInForce
from oms.requests import FundsAction, MassCancelRequest, OperatorAction, OperatorRequest, OrderTerms
from tests.fakes import SECOND, cancel, config_of, modify, remote, trade
from tests.test_exchange_restarts import BUY, SELL, Floor, listed


@pytest.fixture
def floor():
    """Account a has 1000 of B; account b has 100000 of Q."""
    opened = Floor()
    opened.seller_and_buyer()
    return opened


@pytest.fixture
def slow_floor():
    """The same, which sends one request a second, and has a permit for the next."""
    opened = Floor(throttle=ThrottleConfig(sends_max=1))
    opened.seller_and_buyer()
    let_go(opened)
    return opened


def let_go(floor):
    """The next permit; what was told then."""
    floor.clock.advance(2)
    return floor.turn()


def budget(amount):
    return OrderTerms(quote_quantity=amount)


def stop(price, **more):
    return OrderTerms(stop_price=price, **more)


def operate(desk, action, **terms):
    return desk.ask(
        OperatorRequest(client_order_id=f"{action}{terms}"[:64], action=action, **terms)
    )


def reducing(floor):
    floor.operate(OperatorAction.SET_TRADING, value="REDUCING")


# --- trade busts ---


def test_a_bust_that_the_fee_account_cannot_pay_moves_nothing():
    """Rule: a bust gives fees back, too, or nothing at all."""
    # given fees that were taken out
    floor = Floor(listed(taker_fee_bps=200))
    floor.seller_and_buyer()
    fill = floor.deal(price=100, lots=10)
    taken = floor.funds("fees", FundsAction.WITHDRAW, asset="Q", amount="0.01")
    assert taken.type == "COMMAND_DONE"
    money, positions = floor.money, dict(floor.desk.executions.positions)

    # when
    refused = floor.bust(fill)

    # then
    assert refused.type == "COMMAND_REJECTED"
    assert refused.text.startswith("FUNDS_INSUFFICIENT: ")
    assert refused.text.endswith("account=fees")
    assert (floor.money, floor.desk.executions.positions) == (money, positions)
    assert floor.is_sound()

    # and with the last cent back in there it can be
    floor.funds("fees", FundsAction.DEPOSIT, asset="Q", amount="0.01")
    assert floor.bust(fill).type == "COMMAND_DONE"
    assert floor.money == {
        "fees": {}, "rounding": {}, "a": {"B": (1_000, 0)}, "b": {"Q": (10_000_000, 0)},
    }  # fmt: skip


def test_a_bust_of_a_remote_trade_is_of_that_trade_alone():
    """Rule: of a remote venue's trade one side is ours; what shares its turn is another trade."""
    # given two trades, which have nothing to do with each other, in one turn
    desk = remote()
    desk.send(
        OrderRequest.new("me", "m1", "X", BUY, 10, 100),
        OrderRequest.new("you", "y1", "ALL", BUY, 5, 50),
    )
    desk.hear()
    mine, yours = desk.dispatcher.desk.executions.orders
    desk.venue.tell(trade(mine, 10, 100, "T1"))
    desk.venue.tell(trade(yours, 5, 50, "T2"))
    desk.venue.deliver()
    told = desk.turn()
    assert [(r.client_order_id, r.type) for r in told] == [("m1", "TRADE"), ("y1", "TRADE")]
    positions = desk.dispatcher.desk.executions.positions
    assert positions == {("me", "X"): 10, ("you", "ALL"): 5}

    # when
    desk.oms.on_data(
        OperatorRequest(
            client_order_id="bust", action=OperatorAction.BUST, name=told[1].execution_id
        )
    )
    busted = desk.turn()

    # then
    assert [(r.account, r.type) for r in busted] == [
        ("you", "TRADE_BUSTED"),
        ("operator", "COMMAND_DONE"),
    ]
    assert positions == {("me", "X"): 10}
    assert desk.digest() == desk.refolded()


def test_a_remote_trade_alone_in_its_turn_can_be_taken_back():
    """Rule: the same, where no other trade is told."""
    desk = remote()
    desk.send(OrderRequest.new("me", "m1", "X", BUY, 10, 100))
    desk.hear()
    (order_id,) = desk.dispatcher.desk.executions.orders
    desk.venue.tell(trade(order_id, 4, 100, "T1"))
    desk.venue.deliver()
    (fill,) = desk.turn()
    assert operate(desk, OperatorAction.BUST, name=fill.execution_id).type == "COMMAND_DONE"
    assert desk.dispatcher.desk.executions.positions == {}


# --- what waits ---


def test_an_order_with_a_budget_keeps_its_terms_while_it_waits(slow_floor):
    """Rule: a budget says how much is bought; a quantity would be counted twice."""
    # given a budget that waits for a permit
    floor = slow_floor
    floor.limit(Scope.ACCOUNT, "b", "position_max", "50")
    floor.new("a", "s1", SELL, 60, 10)
    assert floor.new("b", "m", BUY, None, terms=budget("100")).type == "PENDING_NEW"

    # when
    refused = floor.ask(modify("mm", "m", account="b", quantity=7))

    # then
    assert refused.type == "CANCEL_REJECTED"
    assert refused.text == "TERMS_UNSUPPORTED: quantity, of an order with a budget"
    assert [(r.client_order_id, r.cumulative_lots) for r in let_go(floor) if r.type == "TRADE"] == [
        ("m", 10),
        ("s1", 10),
    ]

    # and what is left of the limit is what it should be
    let_go(floor)
    refused = floor.new("b", "n1", BUY, 41, 10)
    assert refused.text == "POSITION_EXCEEDS_MAXIMUM: position=51, max=50"
    assert floor.new("b", "n2", BUY, 40, 10).state == "FILLED"
    assert floor.desk.executions.positions["b", "X"] == 50
    assert floor.desk.risk.exposures["b"].count == 0
    assert floor.is_sound()


@pytest.mark.parametrize(
    "target",
    [{}, {"scope": Scope.ACCOUNT, "target": "b"}],
    ids=["everybody", "account"],
)
def test_a_halt_holds_for_an_order_that_waits_for_the_throttle(slow_floor, target):
    """Rule: nothing trades after a halt, and whoever waited for an answer gets it."""
    # given an order that would trade with its permit
    floor = slow_floor
    floor.new("a", "s1", SELL, 5, 10)
    answer = floor.oms.submit(OrderRequest.new("b", "b1", "X", BUY, 5, 10))
    floor.step()
    assert floor.waiting == ["b1"]

    # when
    floor.operate(OperatorAction.SET_TRADING, value="HALTED", **target)
    told = let_go(floor)

    # then
    code = "ACCOUNT_HALTED" if target else "KILL_SWITCH"
    (rejected,) = told
    assert (rejected.client_order_id, rejected.type, rejected.state, rejected.leaves_lots) == (
        "b1", "REJECTED", "REJECTED", 0,
    )  # fmt: skip
    assert rejected.text.startswith(f"{code}: ")
    assert answer.result(0).type == "PENDING_NEW"
    assert floor.money["b"] == {"Q": (10_000_000, 0)}
    assert floor.waiting == []
    assert floor.is_sound()


def test_a_remote_venue_owes_no_answer_to_what_a_halt_kept_back():
    """Rule: what was not sent is not overdue."""
    config = config_of(
        venue=VenueConfig(answer_timeout_ns=5 * SECOND), throttle=ThrottleConfig(sends_max=1)
    )
    desk = remote(config=config)
    desk.clock.advance(2)
    desk.send(OrderRequest.new("me", "m1", "X", BUY, 1, 10))
    desk.hear()
    assert desk.send(OrderRequest.new("me", "m2", "X", BUY, 1, 10)) == [
        "m2 PENDING_NEW/PENDING_NEW"
    ]
    operate(desk, OperatorAction.SET_TRADING, value="HALTED")
    desk.clock.advance(2)
    assert desk.step() == ["m2 REJECTED/REJECTED"]
    assert len(desk.venue.sent) == 1
    desk.clock.advance(10)
    assert desk.step() == []
    assert desk.digest() == desk.refolded()


def test_expiries_of_orders_that_ended_are_forgotten(floor):
    """Rule: memory holds what is open and little else, however late the orders would expire."""
    at_ns = floor.clock.wall_ns() + 1_000_000 * SECOND
    good_till = {"time_in_force": TimeInForce.GTD, "terms": OrderTerms(expire_ns=at_ns)}
    floor.new("b", "stays", BUY, 1, 1, **good_till)
    most = 0
    for number in range(300):
        floor.new("b", f"g{number}", BUY, 1, 1, **good_till)
        floor.ask(cancel(f"c{number}", f"g{number}", account="b"))
        most = max(most, len(floor.desk.expiries))
    assert most <= EXPIRIES_MIN + 2 * 2 + 1
    assert floor.desk.next_expiry_ns() == at_ns
    assert [order.client_order_id for order in floor.desk.executions.orders.values()] == ["stays"]


# --- reducing only ---


def test_reducing_only_lets_no_opening_order_act_at_another_price(floor):
    """Rule: one that would open is set aside and may be changed there; the other may not grow."""
    # given b, long 5, with an order that would make him longer and one that would not
    floor.deal(price=100, lots=5)
    floor.new("b", "more", BUY, 10, 90)
    floor.new("b", "less", SELL, 5, 120)
    reducing(floor)

    # when
    aside = floor.ask(modify("more2", "more", account="b", price=100))
    smaller = floor.ask(modify("more3", "more2", account="b", quantity=4))
    repriced = floor.ask(modify("less2", "less", account="b", price=119))
    bigger = floor.ask(modify("less3", "less2", account="b", quantity=6))

    # then
    assert aside.type == smaller.type == repriced.type == "REPLACED"
    assert aside.state == smaller.state == "SUSPENDED"
    assert bigger.text == "REDUCING_ONLY: more=1, position=5"
    assert floor.is_sound()


# --- what limits measure by ---


def test_a_price_band_holds_at_a_remote_venue():
    """Rule: what a remote venue trades at is not known, so its bands go by the reference price."""
    instrument = Instrument(symbol="X", price_scale=0, quantity_scale=0, reference_price_ticks=100)
    desk = remote(config=config_of(instruments=(instrument,)))
    symbol = {"scope": Scope.SYMBOL, "target": "X"}
    operate(desk, OperatorAction.SET_LIMIT, name="price_band_bps", value="100", **symbol)
    for around in ("", "reference", "last"):
        if around:
            operate(
                desk, OperatorAction.SET_LIMIT, name="price_band_around", value=around, **symbol
            )
        refused = desk.ask(OrderRequest.new("me", f"high{around}", "X", BUY, 1, 102))
        assert refused.text == "PRICE_OUTSIDE_BAND: price=102, min=99, max=101"
        inside = f"in{around}"
        told = desk.send(OrderRequest.new("me", inside, "X", BUY, 1, 101))
        assert told == [f"{inside} PENDING_NEW/PENDING_NEW"]


@pytest.fixture
def at_ten(floor):
    """The last price is 10, and 100 more are offered at that; b may have 100.00 open."""
    floor.deal(price=10, lots=1)
    floor.new("a", "offer", SELL, 100, 10)
    floor.limit(Scope.ACCOUNT, "b", "credit_max", "100")
    return floor


def test_credit_counts_a_stop_by_its_stop_price(at_ten):
    """Rule: what has no limit price is worth something, too: a stop, its stop price."""
    refused = at_ten.new("b", "stop1", BUY, 5, terms=stop(21))
    assert refused.text == "CREDIT_EXCEEDS_MAXIMUM: credit=105, max=100"
    assert at_ten.new("b", "stop2", BUY, 5, terms=stop(20)).type == "NEW"


def test_credit_counts_a_market_order_by_the_last_price(at_ten):
    """Rule: the same; a market order, the last price."""
    refused = at_ten.new("b", "m1", BUY, 11)
    assert refused.text == "CREDIT_EXCEEDS_MAXIMUM: credit=110, max=100"
    assert at_ten.new("b", "m2", BUY, 10).state == "FILLED"


def test_credit_counts_a_budget(at_ten):
    """Rule: the same; a budget, what it may spend."""
    refused = at_ten.new("b", "m1", BUY, None, terms=budget("110"))
    assert refused.text == "CREDIT_EXCEEDS_MAXIMUM: credit=110, max=100"
    assert at_ten.new("b", "m2", BUY, None, terms=budget("100")).state == "FILLED"


def test_credit_counts_a_budget_by_itself(at_ten):
    """Rule: not only the whole lots of it: at another price it is spent to the last cent."""
    refused = at_ten.new("b", "m1", BUY, None, terms=budget("109.99"))
    assert refused.text == "CREDIT_EXCEEDS_MAXIMUM: credit=109.99, max=100"


def test_credit_counts_a_budget_where_nothing_has_traded(floor):
    """Rule: a budget needs no price to be measured."""
    floor.new("a", "offer", SELL, 100, 10)
    floor.limit(Scope.ACCOUNT, "b", "credit_max", "100")
    refused = floor.new("b", "m1", BUY, None, terms=budget("110"))
    assert refused.text == "CREDIT_EXCEEDS_MAXIMUM: credit=110, max=100"


@pytest.mark.parametrize(
    "scope, target, name, reason",
    [
        (Scope.SYMBOL, "X", "quantity_max", "QUANTITY_EXCEEDS_MAXIMUM: quantity=6, max=5"),
        (Scope.ACCOUNT, "c", "position_max", "POSITION_EXCEEDS_MAXIMUM: position=6, max=5"),
    ],
)
def test_limits_of_quantity_look_at_what_a_budget_buys(floor, scope, target, name, reason):
    """Rule: a budget is no way around a limit of lots: the last price says how many it buys."""
    floor.deal(price=10, lots=1)
    floor.new("a", "offer", SELL, 100, 10)
    floor.fund("c", Q=1_000)
    floor.limit(scope, target, name, "5")
    assert floor.new("c", "m1", BUY, None, terms=budget("60")).text == reason
    assert len(floor.new("c", "m2", BUY, None, terms=budget("59")).trades) == 1
    assert floor.desk.executions.positions["c", "X"] == 5
    assert floor.is_sound()


# --- names and terms ---


@pytest.mark.parametrize("account", ["outside", "trades"])
def test_the_ledgers_own_names_are_nobodys_account(floor, account):
    """Rule: postings against these are the other side of accounts, not accounts."""
    refused = floor.funds(account, FundsAction.CREATE)
    assert (refused.type, refused.text) == (
        "COMMAND_REJECTED",
        f"ACCOUNT_EXISTS: account={account}",
    )
    assert account not in floor.desk.ledger.accounts
    assert floor.funds(account, FundsAction.DEPOSIT, asset="Q", amount=1).type == "COMMAND_REJECTED"


def test_a_minimum_above_the_quantity_can_never_be_met(floor):
    """Rule: such an order is a mistake, and is told so; it is not just unlucky."""
    refused = floor.new("b", "b1", BUY, 5, 100, terms=OrderTerms(min_quantity=6))
    assert (refused.type, refused.text) == (
        "REJECTED", "QUANTITY_INVALID: min_quantity=6, quantity=5",
    )  # fmt: skip
    floor.new("a", "s1", SELL, 5, 100)
    floor.new("b", "b2", BUY, 5, 100, terms=OrderTerms(min_quantity=5))
    assert floor.desk.executions.positions["b", "X"] == 5


@pytest.mark.parametrize(
    "lots, filled", [(2, ["c1 2", "s1 2"]), (3, ["c1 3", "s1 3"]), (5, ["c1 3", "s1 3"])]
)
def test_an_iceberg_shows_no_more_than_it_has_left(floor, lots, filled):
    """Rule: nobody trades what is not open, and whoever is filled rests no more."""
    # given an iceberg that hides nothing, 10 of 10, and a plain order that took 7 of them
    floor.new("a", "s1", SELL, 10, 100, terms=OrderTerms(display_quantity=10))
    floor.new("b", "b1", BUY, 7, 100)
    assert floor.market.book.get_depth(5) == ([], [(100, 3)])

    # when somebody wants some of what is left, all of it, or more, in a way that is not plain
    told = floor.told(
        OrderRequest.new("b", "c1", "X", BUY, lots, 100, time_in_force=TimeInForce.IOC)
    )

    # then as much as is there is traded, and the rest stays
    trades = [each for each in told if each.type == "TRADE"]
    assert [f"{each.client_order_id} {each.last_quantity:f}" for each in trades] == filled
    left = 3 - min(lots, 3)
    assert floor.market.book.get_depth(5) == ([], [(100, left)] if left else [])
    assert floor.market.book.best_ask == (100 if left else None)
    floor.market.book.check()
    assert floor.is_sound()


def test_a_modify_that_changes_nothing_leaves_an_icebergs_level_as_it_is(floor):
    """Rule: depth is what is open, whatever was asked of the orders in it."""
    # given an iceberg of which 3 are left, all shown
    floor.new("a", "s1", SELL, 10, 100, terms=OrderTerms(display_quantity=10))
    floor.new("b", "b1", BUY, 7, 100)

    # when it is to have the price and quantity that it has, and 5 are bought
    floor.told(modify("s2", "s1", account="a", price=100, quantity=10))
    assert floor.market.book.get_depth(5) == ([], [(100, 3)])
    floor.new("b", "b2", BUY, 5, 100)

    # then there were 3, and a buyer waits for 2
    assert floor.market.book.get_depth(5) == ([(100, 2)], [])
    floor.market.book.check()
    assert floor.is_sound()


@pytest.mark.parametrize(
    "field, values, code",
    [
        ("display_quantity", [0, "0", "0.0"], "QUANTITY_INVALID"),
        ("min_quantity", [0, "0", "0.0"], "QUANTITY_INVALID"),
        ("stop_price", [0, "0", "0.0", "x"], "PRICE_INVALID"),
    ],
)
def test_a_number_of_no_use_is_refused_by_its_own_name(floor, field, values, code):
    """Rule: however it is written, zero is zero, and the reason names the field it was in."""
    price = None if field == "stop_price" else 10
    for number, value in enumerate(values):
        terms = OrderTerms(**{field: value})
        refused = floor.new("b", f"b{number}", BUY, 5, price, terms=terms)
        assert refused.type == "REJECTED"
        assert refused.text.startswith(f"{code}: {field}: expected a")
        assert refused.text.endswith(f"was {value!r}")


def test_a_mass_cancel_at_a_remote_venue_only_asks():
    """Rule: canceled is what the venue says is; until then it was asked to."""
    desk = remote()
    for name in ("m1", "m2"):
        desk.send(OrderRequest.new("me", name, "X", BUY, 1, 10))
    desk.hear()
    answer = desk.ask(MassCancelRequest(account="me", client_order_id="mass"))
    assert (answer.type, answer.text) == ("COMMAND_DONE", "cancel_requested=2")
    assert len(desk.dispatcher.desk.executions.orders) == 2
    assert desk.hear() == ["m1 CANCELED/CANCELED", "m2 CANCELED/CANCELED"]

    # our own exchange has done it when it says so
    floor = Floor(ledger=False)
    floor.new("a", "s1", SELL, 5, 100)
    assert [report.text for report in floor.mass_cancel("a")][-1] == "canceled=1"
