"""Dry runs: what would become of a request. They change nothing, and say what then happens."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from oms import (
    FundsAction,
    FundsRequest,
    MassCancelRequest,
    OperatorAction,
    OperatorRequest,
    OrderRequest,
    PostOnly,
    RejectReason,
    Scope,
    Side,
    TimeInForce,
)
from oms.errors import StoppedError, ValidationError
from tests.examples import many
from tests.fakes import throttled
from tests.teller import MARKETS, Teller, order, pair

FUNDS = {"account": "ann", "asset": "USD", "amount": 1, "action": FundsAction.WITHDRAW}


def funds(client_order_id, **fields):
    return FundsRequest(client_order_id=client_order_id, **{**FUNDS, **fields})


def operate(client_order_id, action, **fields):
    return OperatorRequest(client_order_id=client_order_id, action=action, **fields)


def modify(client_order_id, named, account="ann", **terms):
    return OrderRequest.modify(account, client_order_id, named, **terms)


def cancel(client_order_id, named, account="ann"):
    return OrderRequest.cancel(account, client_order_id, named)


def as_it_is(teller):
    """All that a request could change: the state, the journal, the ids taken, what is published."""
    stepped = teller.stepped
    accounts = ("ann", "bob", "eve", "fees")
    return (
        stepped.digest(), stepped.dispatcher.fold.last_seq, stepped.waiting,
        dict(stepped.store._ids), list(stepped.store.all_reports()),
        [teller.oms.balances_units(account) for account in accounts],
        [teller.oms.open_orders(account) for account in accounts],
    )  # fmt: skip


def both(teller, request):
    """Ask what would be, twice, then for it; they must agree. What was said, and the answer."""
    before = as_it_is(teller)
    said = teller.dry_run(request)
    assert teller.dry_run(request) == said
    assert as_it_is(teller) == before
    answer = teller.ask(request)
    assert said.text == (answer.text if answer.refused else ""), request
    assert said.reason is (answer.reason if answer.refused else None)
    return said, answer


@pytest.fixture
def market(teller):
    """Ann offers 5 at 100 as "offer", Bob bids 5 at 90 as "bid"; Ann has a stop, and Bob halts."""
    teller.ask(order("offer", quantity=5))
    teller.ask(order("bid", account="bob", side=Side.BUY, price=90, quantity=5))
    teller.ask(order("stop", price=None, stop_price=50, quantity=5))
    teller.ask(order("gone", price=120))
    teller.ask(cancel("go", "gone"))
    return teller


REQUESTS = [
    ("", order("a")),
    ("", order("a", account="bob", side=Side.BUY, price=100)),  # it would trade
    ("", order("a", account="bob", side=Side.BUY, price=None)),
    ("", order("a", oco_with="stop", price=110, quantity=5)),
    ("SYMBOL_UNKNOWN", order("a", symbol="NONE")),
    ("PRICE_INVALID", order("a", price="100.001")),
    ("QUANTITY_INVALID", order("a", quantity="0.5")),
    ("DISPLAY_INVALID", order("a", quantity=5000, display_quantity=1)),
    ("EXPIRE_TIME_INVALID", order("a", time_in_force=TimeInForce.GTD, expire_ns=1)),
    ("OCO_INVALID", order("a", oco_with="nothing")),
    ("FUNDS_INSUFFICIENT", order("a", quantity=10_001)),
    ("ACCOUNT_UNKNOWN", order("a", account="eve")),
    ("DUPLICATE_ID", order("offer")),
    ("", order("offer", quantity=5)),  # a repeat
    ("", modify("a", "offer", price=101)),
    ("", modify("a", "offer", quantity=50)),
    ("", modify("a", "offer", quantity=1)),
    ("UNKNOWN_ORDER", modify("a", "z", price=101)),
    ("UNKNOWN_ORDER", modify("a", "offer", account="bob", price=101)),
    ("TOO_LATE", modify("a", "gone", price=101)),
    ("PRICE_INVALID", modify("a", "offer", price="0.001")),
    ("FUNDS_INSUFFICIENT", modify("a", "offer", quantity=10_001)),
    ("DUPLICATE_ID", modify("offer", "offer", price=101)),
    ("", cancel("a", "offer")),
    ("", cancel("go", "gone")),  # a repeat
    ("UNKNOWN_ORDER", cancel("a", "z")),
    ("TOO_LATE", cancel("a", "gone")),
    ("DUPLICATE_ID", cancel("stop", "offer")),
    ("", funds("a")),
    ("", funds("a", action=FundsAction.TRANSFER, to_account="bob")),
    ("", funds("a", account="eve", action=FundsAction.CREATE, asset="", amount=None)),
    ("ACCOUNT_EXISTS", funds("a", action=FundsAction.CREATE, asset="", amount=None)),
    ("ACCOUNT_UNKNOWN", funds("a", account="eve")),
    ("ACCOUNT_UNKNOWN", funds("a", action=FundsAction.TRANSFER, to_account="eve")),
    ("ASSET_UNKNOWN", funds("a", asset="XAU")),
    ("AMOUNT_INVALID", funds("a", amount="x")),
    ("FUNDS_INSUFFICIENT", funds("a", amount=10_001)),
    ("DUPLICATE_ID", funds("offer")),
    ("", MassCancelRequest(account="ann", client_order_id="a")),
    ("DUPLICATE_ID", MassCancelRequest(account="ann", client_order_id="offer")),
    ("", operate("a", OperatorAction.KILL)),
    ("", operate("a", OperatorAction.SET_PHASE, value="HALTED")),
    ("COMMAND_INVALID", operate("a", OperatorAction.BUST, name="1-77")),
    ("COMMAND_INVALID", operate("a", OperatorAction.SET_LIMIT, name="no_such", value="1")),
    ("SYMBOL_UNKNOWN", operate(
        "a", OperatorAction.SET_PHASE, scope=Scope.SYMBOL, target="NONE", value="HALTED")),
    ("POST_ONLY", order("a", price=90, post_only=PostOnly.REJECT)),
    ("INSUFFICIENT_LIQUIDITY", order("a", symbol="WHOLE_USD", price=None)),
    ("FUNDS_INSUFFICIENT",
     order("a", account="poor", symbol="ACME_USD", side=Side.BUY, price=None, quantity=5)),
    ("POST_ONLY", modify("a", "careful", price=90)),
]  # fmt: skip


@pytest.mark.parametrize(("reason", "request_"), REQUESTS, ids=range(len(REQUESTS)))
def test_what_is_said_is_what_then_happens(market, reason, request_):
    """Of every kind of request, taken or refused, new or repeated."""
    # given also one who has nothing, and an order that must not take
    market.move(FundsAction.CREATE, "poor")
    market.ask(order("careful", price=130, post_only=PostOnly.REJECT))

    # when, then
    said, _answer = both(market, request_)
    assert said.text.partition(":")[0] == reason
    assert said.reason is (RejectReason(reason) if reason else None)


def test_an_operators_word_is_what_is_said_too(market):
    """The kill switch, a halted market, a limit."""
    halt = {"scope": Scope.SYMBOL, "target": "FEE_USD", "value": "HALTED"}
    market.operate(OperatorAction.SET_PHASE, **halt)
    assert both(market, order("h", symbol="FEE_USD"))[0].reason is RejectReason.MARKET_STATE
    ann = {"scope": Scope.ACCOUNT, "target": "ann"}
    market.operate(OperatorAction.SET_LIMIT, **ann, name="open_orders_max", value="2")
    over = RejectReason.OPEN_ORDERS_EXCEED_MAXIMUM
    assert both(market, order("o"))[0].reason is over
    market.operate(OperatorAction.SET_LIMIT, **ann, name="open_orders_max", value="")
    market.operate(OperatorAction.SET_LIMIT, **ann, name="messages_max", value="1")
    assert both(market, order("m1"))[0].text == ""  # to ask is no message
    assert both(market, order("m2"))[0].reason is RejectReason.MESSAGES_EXCEED_MAXIMUM
    market.operate(OperatorAction.KILL)
    assert both(market, order("k"))[0].reason is RejectReason.KILL_SWITCH


# --- what would be reserved ---


@pytest.mark.parametrize(
    ("request_", "reserved"),
    [
        (order("a", quantity=7), (7, "ACME")),
        (order("a", side=Side.BUY, price="99.50", quantity=3), (29_850, "USD")),
        # with the fee that it may cost
        (order("a", side=Side.BUY, price=100, quantity=10, symbol="FEE_USD"), (100_500, "USD")),
        (order("a", side=Side.BUY, price=None, quantity=3), (0, "USD")),
        (order("a", side=Side.BUY, price=None, quantity=None, quote_quantity=50), (5_000, "USD")),
        (order("a", price=None, stop_price=90, quantity=4), (4, "ACME")),
    ],
)
def test_a_new_order_says_what_it_would_reserve(teller, request_, reserved):
    """As it comes in, before it meets the book: in units of the asset it pays with."""
    asset = reserved[1]
    before = teller.oms.balances_units("ann")[asset]
    said, answer = both(teller, request_)
    assert (said.reserved_units, said.asset) == reserved
    if answer.leaves_lots:
        available, held = teller.oms.balances_units("ann")[asset]
        assert (held, available) == (
            before[1] + said.reserved_units,
            before[0] - said.reserved_units,
        )


def test_a_modify_says_what_the_order_would_have_reserved(teller):
    """All of it, not the difference; and for less nothing new is needed."""
    teller.ask(order("b", side=Side.BUY, price=100, quantity=10))
    for number, terms in enumerate(
        ({"price": 110}, {"quantity": 20}, {"price": 90, "quantity": 5}, {"price": 91})
    ):
        said, _ = both(teller, modify(f"m{number}", "b", **terms))
        assert said.asset == "USD"
        assert teller.oms.balances_units("ann")["USD"][1] == said.reserved_units


def test_a_pair_reserves_once(teller):
    """The limit order is said to need what both need, of which the stop has its part."""
    stop, limit = pair(quantity=8)
    teller.ask(stop)
    said, _ = both(teller, limit)
    assert (said.reserved_units, said.asset) == (8, "ACME")
    assert teller.balance("ann", "ACME") == (9_992, 8)


def test_without_a_ledger_nothing_would_be_reserved(start_stepped):
    """But the other rules are asked."""
    teller = Teller.__new__(Teller)
    teller.stepped, teller.count = start_stepped(), 0
    teller.oms = teller.stepped.oms
    said, _ = both(teller, order("a", symbol="X"))
    assert (said.text, said.reserved, said.asset) == ("", 0, "")
    said, _ = both(teller, funds("f", action=FundsAction.CREATE, asset="", amount=None))
    assert said.reason is RejectReason.LEDGER_OFF


# --- what waits ---


def test_of_what_waits_it_is_known_too():
    """One send a second: a second cancel of an order is one too many."""
    teller = Teller(throttled(instruments=MARKETS))
    teller.ask(order("a"))
    teller.ask(order("waits"))
    assert both(teller, modify("m", "waits", quantity=2))[0].text == ""
    assert both(teller, cancel("c1", "a"))[0].text == ""
    assert both(teller, cancel("c2", "a"))[0].reason is RejectReason.ALREADY_PENDING
    assert both(teller, modify("m2", "a", quantity=2))[0].reason is RejectReason.ALREADY_PENDING
    assert both(teller, cancel("c3", "waits"))[0].text == ""


def test_what_is_no_request_and_who_is_not_there(teller):
    """Asked of one that is stopped there is no answer."""
    with pytest.raises(ValidationError, match=r"^request: "):
        teller.oms.dry_run("buy")
    with pytest.raises(StoppedError):
        teller.oms.dry_run(order("a")).result(0)  # it has no threads: it never started
    teller.oms._running = True
    teller.oms.inbox.close()
    with pytest.raises(StoppedError):
        teller.oms.dry_run(order("a")).result(0)


# --- whatever comes ---

names = st.sampled_from("abcdefgh")
accounts = st.sampled_from(["ann", "ann", "bob", "eve"])
prices = st.sampled_from([95, 98, 100, 102, 105, "0.001"])
lots = st.sampled_from([1, 2, 5, 20, "0.5"])
orders = st.builds(
    lambda name, account, side, price, lots, terms: order(
        name, account=account, side=side, price=price, quantity=lots, **terms
    ),
    names, accounts, st.sampled_from(Side), prices, lots,
    st.sampled_from([
        {}, {}, {"stop_price": 100}, {"display_quantity": 1}, {"oco_with": "a"},
        {"post_only": PostOnly.SLIDE}, {"time_in_force": TimeInForce.IOC}, {"min_quantity": 2},
    ]),
)  # fmt: skip
requests = st.one_of(
    orders, orders, orders,
    st.builds(modify, names, names, accounts, price=prices, quantity=st.none() | lots),
    st.builds(cancel, names, names, accounts),
    st.builds(
        funds, names, account=accounts, amount=st.sampled_from([1, 500, "x"]),
        action=st.sampled_from([FundsAction.DEPOSIT, FundsAction.WITHDRAW]),
    ),
    st.builds(MassCancelRequest, account=accounts, client_order_id=names),
)  # fmt: skip


@settings(max_examples=many(150))
@given(st.lists(requests, min_size=1, max_size=25))
def test_whatever_is_asked_it_is_said_before(asked):
    """Few names, little money: repeats, conflicts and refusals of all sorts."""
    teller = Teller()
    for account in ("ann", "bob"):
        teller.move(FundsAction.CREATE, account)
        teller.move(FundsAction.DEPOSIT, account, "USD", 1_000)
        teller.move(FundsAction.DEPOSIT, account, "ACME", 10)
    for request in asked:
        both(teller, request)
