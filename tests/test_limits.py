"""Limits of accounts and of groups of them: stops, changes, market orders, exposures, words.

At a limit an order is accepted, one unit over it is refused; test_risk.py has the older limits
and the order of all checks.
"""

from dataclasses import replace

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from oms import ManualClock, MemoryStore, ResponseType
from oms.config import AccountConfig, RiskConfig, SessionConfig
from oms.enums import Scope, Side, TimeInForce
from oms.errors import ValidationError
from oms.exchange.limits import check_limit
from oms.exchange.order import Exposure
from oms.requests import OperatorAction, OrderTerms
from oms.sections import GroupConfig
from tests.examples import many
from tests.fakes import (
    Stepped,
    buy,
    cancel,
    config_of,
    modify,
    remote,
    sell,
    throttled,
    trade,
)
from tests.reference_risk import Open, ReferenceRisk
from tests.test_risk import (
    X_USD,
    Y_USD,
    Z_EUR,
    has_position,
    operate,
    refusal_of,
    risky,
    set_limit,
)

DAY, GTC, IOC = TimeInForce.DAY, TimeInForce.GTC, TimeInForce.IOC


def stop(client_id, lots, at, price=None, **more):
    return buy(client_id, lots, price, terms=OrderTerms(stop_price=at), **more)


def would(desk, request):
    """What a dry run says."""
    desk.oms._running = True  # without threads: answer as a running one does
    answer = desk.oms.dry_run(request)
    desk.step()
    return answer.result(0).text


def grouped(group, *, me=None, you=None, **sections):
    """Accounts "me" and "you" in the group "firm"."""
    config = config_of(
        accounts={
            "me": AccountConfig(groups="firm", **(me or {})),
            "you": AccountConfig(groups="firm", **(you or {})),
        },
        account_groups={"firm": GroupConfig(**group)},
        **sections,
    )
    return Stepped(config).start()


# --- stops, changes, market orders ---


def test_stops_are_counted_until_they_are_triggered():
    """Two at the most, which are open orders too; a trigger and a cancel make room for one."""
    # given two stops, and any number of others
    desk = risky(account={"stop_orders_max": 2})
    desk.send(stop("A", 1, 110), stop("B", 1, 120, 121), buy("L", 1, 90))

    # then a third is refused, a limit order is not
    full = "STOP_ORDERS_EXCEED_MAXIMUM: stops=3, max=2"
    assert refusal_of(desk, stop("C", 1, 130)) == full
    assert refusal_of(desk, buy("M", 1, 91)) == ""

    # when the first is triggered, then there is room for one
    desk.send(sell("S", 3, 110, account="you"), buy("T", 1, 110, account="you"))
    assert refusal_of(desk, stop("D", 1, 130)) == ""
    assert refusal_of(desk, stop("E", 1, 130)) == full

    # and for one after a cancel
    assert desk.ask(cancel("F", "B")).type is ResponseType.CANCELED
    assert refusal_of(desk, stop("G", 1, 130)) == ""
    assert desk.digest() == desk.refolded()


def test_an_order_may_be_changed_so_often():
    """Twice; a refused modify does not count, and a cancel goes always."""
    desk = risky({"quantity_max": "10"}, {"amends_max": 2})
    desk.send(buy("A", 5, 90))
    assert refusal_of(desk, modify("B", "A", quantity=6)) == ""
    assert refusal_of(desk, modify("C", "A", quantity=11)).startswith("QUANTITY_EXCEEDS")
    assert refusal_of(desk, modify("D", "A", price=91)) == ""
    over = "AMENDS_EXCEED_MAXIMUM: amends=3, max=2"
    assert refusal_of(desk, modify("E", "A", quantity=1)) == over
    assert refusal_of(desk, modify("F", "D", quantity=1)) == over
    # and each order has its own count
    desk.send(buy("G", 5, 90))
    assert refusal_of(desk, modify("H", "G", quantity=6)) == ""
    assert desk.ask(cancel("I", "A")).type is ResponseType.CANCELED


def test_an_order_that_waits_has_the_same_count():
    """It is changed in the queue."""
    config = config_of(
        session=SessionConfig(hours="Mon-Fri 09:00-17:00", outside_hours="hold"),
        accounts={"me": AccountConfig(amends_max=1)},
    )
    clock = ManualClock()
    clock.jump(3600)  # 2023-11-14 23:13 UTC
    desk = Stepped(config, clock=clock).start()
    desk.send(buy("A", 5, 90))
    assert refusal_of(desk, modify("B", "A", quantity=6)) == ""
    assert refusal_of(desk, modify("C", "A", quantity=7)).startswith("AMENDS_EXCEED_MAXIMUM")


def test_a_market_order_has_its_own_maximum():
    """Ten lots with a price, five without: at once, or once a stop is triggered; by budget too."""
    # given
    desk = risky({"quantity_max": "10", "market_quantity_max": "5", "market_notional_max": "400"})
    has_position(desk, 1, 50)

    # then
    over = "MARKET_QUANTITY_EXCEEDS_MAXIMUM: market_quantity=6, max=5"
    assert refusal_of(desk, buy("A", 6, 51)) == ""
    assert refusal_of(desk, buy("B", 6)) == over
    assert refusal_of(desk, stop("C", 6, 60)) == over
    assert refusal_of(desk, stop("D", 6, 60, 61)) == ""
    assert refusal_of(desk, stop("E", 5, 60)) == ""
    assert refusal_of(desk, modify("F", "E", quantity=6)) == over
    assert refusal_of(desk, buy("G", None, terms=OrderTerms(quote_quantity="300"))) == over
    assert refusal_of(desk, buy("H", 6, terms=OrderTerms(protection_price=60))) == over
    # and what it is worth is looked at after that
    set_limit(desk, "L", Scope.SYMBOL, "X", "market_quantity_max", "0")
    over = "MARKET_NOTIONAL_EXCEEDS_MAXIMUM: market_notional=450, max=400"
    assert refusal_of(desk, sell("I", 9)) == over
    assert refusal_of(desk, sell("J", 9, 52)) == ""


def test_a_stop_that_became_too_large_may_get_smaller():
    """A limit that came later is not held against what does not make it worse."""
    desk = risky()
    desk.send(stop("A", 20, 110))
    set_limit(desk, "L", Scope.SYMBOL, "X", "market_quantity_max", "5")
    assert refusal_of(desk, modify("B", "A", quantity=10)) == ""
    assert refusal_of(desk, modify("C", "A", quantity=11)).startswith("MARKET_QUANTITY_EXCEEDS")


# --- a budget, once it knows how many lots it buys ---

SPEND = OrderTerms(quote_quantity="900")


@pytest.mark.parametrize("last", [0, 100])
@pytest.mark.parametrize(
    ("limits", "account", "code"),
    [
        ({"market_quantity_max": "10"}, {}, "MARKET_QUANTITY_EXCEEDS_MAXIMUM: market_quantity=900"),
        ({"quantity_max": "10"}, {}, "QUANTITY_EXCEEDS_MAXIMUM: quantity=900, max=10"),
        ({"quantity_min": "1000"}, {}, "QUANTITY_BELOW_MINIMUM: quantity=900, min=1000"),
        ({}, {"position_max": "10"}, "POSITION_EXCEEDS_MAXIMUM: position=900, max=10"),
    ],
)  # fmt: skip
def test_a_budget_is_measured_by_what_it_buys(limits, account, code, last):
    """Nine lots at the last price, or nobody knows how many: here it is offered 900 for 1 each."""
    # given an offer far below the last price, or without any trade before
    desk = risky(account=account)
    if last:
        desk.send(sell("S", 1, last, account="you"), buy("B", 1, last, account="they"))
    desk.send(sell("O", 1000, 1, account="you"))
    for name, value in limits.items():
        set_limit(desk, name, Scope.SYMBOL, "X", name, value)

    # when a budget would buy more than the limit, then it buys nothing, dry or wet
    order = buy("A", None, terms=SPEND)
    if "quantity_min" not in limits or not last:  # that is refused by the last price already
        assert would(desk, order).startswith(code)
        assert refusal_of(desk, order).startswith(code)
    assert ("me", "X") not in desk.dispatcher.desk.executions.positions
    assert desk.digest() == desk.refolded()


def test_a_budget_at_the_limit_is_accepted():
    """What others of its account want counts beside it; a group is measured, too."""
    desk = grouped({"position_max": "12"}, me={"position_max": "10"})
    desk.send(sell("O", 100, 10, account="they"), buy("L", 1, 9))
    assert refusal_of(desk, buy("A", None, terms=OrderTerms(quote_quantity="100"))).startswith(
        "POSITION_EXCEEDS_MAXIMUM: position=11, max=10"
    )
    assert refusal_of(desk, buy("B", None, terms=OrderTerms(quote_quantity="90"))) == ""
    assert refusal_of(
        desk, buy("C", None, account="you", terms=OrderTerms(quote_quantity="30"))
    ) == "POSITION_EXCEEDS_MAXIMUM: position=13, max=12, group=firm"  # fmt: skip
    assert (
        refusal_of(desk, buy("D", None, account="you", terms=OrderTerms(quote_quantity="20"))) == ""
    )


def test_a_budget_that_waited_is_measured_where_it_buys():
    """For the throttle; the offer came meanwhile."""
    desk = Stepped(throttled(1, accounts={"me": AccountConfig(position_max="10")})).start()
    desk.send(sell("O", 1000, 1, account="you"), buy("A", None, terms=SPEND))
    desk.clock.advance(1)
    assert desk.step() == ["A REJECTED/REJECTED"]
    assert desk.oms.get_order("me", "A").text == "POSITION_EXCEEDS_MAXIMUM: position=900, max=10"


# --- what may be sent ---


@pytest.mark.parametrize(
    ("limits", "good", "bad", "reason"),
    [
        ({"allowed_sides": "SELL"}, sell("A", 1, 99), buy("B", 1, 90),
         "SIDE_NOT_ALLOWED: was=BUY, allowed=SELL"),
        ({"allowed_order_types": "LIMIT, STOP_LIMIT"}, stop("A", 1, 99, 99), stop("B", 1, 99),
         "ORDER_TYPE_NOT_ALLOWED: was=STOP, allowed=LIMIT|STOP_LIMIT"),
        ({"allowed_order_types": "LIMIT"}, buy("A", 1, 99), buy("B", 1),
         "ORDER_TYPE_NOT_ALLOWED: was=MARKET, allowed=LIMIT"),
        ({"allowed_times_in_force": "DAY,GTC"}, buy("A", 1, 99), buy("B", 1, 9, time_in_force=IOC),
         "TIME_IN_FORCE_NOT_ALLOWED: was=IOC, allowed=DAY|GTC"),
    ],
)  # fmt: skip
def test_an_account_may_send_only_what_is_allowed(limits, good, bad, reason):
    """Of the account alone; an operator's 0 allows all."""
    desk = risky(account=limits)
    assert refusal_of(desk, good) == ""
    assert refusal_of(desk, bad) == reason
    [name] = limits
    set_limit(desk, "L", Scope.ACCOUNT, "me", name, "0")
    again = buy("C", 1) if "MARKET" in reason else None
    assert again is None or refusal_of(desk, again) == ""


def test_what_an_operator_allows_is_checked():
    """A word that is none would forbid everything."""
    desk = risky()
    told = operate(
        desk, "O", OperatorAction.SET_LIMIT, Scope.ACCOUNT, "me",
        name="allowed_sides", value="BUY,SHORT",
    )  # fmt: skip
    assert told == (
        "COMMAND_REJECTED: COMMAND_INVALID: allowed_sides: expected some of BUY,SELL, or 0 for "
        "all, was 'BUY,SHORT'"
    )
    set_limit(desk, "L", Scope.ALL, "", "allowed_sides", "BUY")
    assert refusal_of(desk, sell("A", 1, 99)).startswith("SIDE_NOT_ALLOWED")


@pytest.mark.parametrize("scope", [Scope.ACCOUNT, Scope.GROUP])
@pytest.mark.parametrize(
    ("name", "value", "code"),
    [
        ("allowed_sides", "BUY", "SIDE_NOT_ALLOWED"),
        ("allowed_order_types", "MARKET", "ORDER_TYPE_NOT_ALLOWED"),
        ("allowed_times_in_force", "IOC", "TIME_IN_FORCE_NOT_ALLOWED"),
        ("restricted_symbols", "X", "SYMBOL_RESTRICTED"),
    ],
)
def test_what_may_not_be_sent_may_not_come_of_a_modify(scope, name, value, code):
    """Orders that are open when it is set may get smaller, and go further away."""
    # given an order to sell, a stop, and a limit that allows neither any more
    desk = grouped({})
    desk.send(buy("O", 500, 90, account="they"))
    desk.send(sell("A", 5, 100), sell("S", 5, 99, terms=OrderTerms(stop_price=80)))
    desk.send(sell("V", 5, 101))
    set_limit(desk, "L", scope, "me" if scope is Scope.ACCOUNT else "firm", name, value)

    # then what adds lots, or comes nearer to a trade, is refused
    refused = [
        modify("1", "A", quantity=6), modify("2", "A", price=99), modify("3", "A", price=90),
        modify("4", "A", quantity=4, price=99), modify("5", "S", quantity=6),
        modify("6", "S", terms=OrderTerms(stop_price=81)), modify("7", "S", price=98),
    ]  # fmt: skip
    for request in refused:
        assert would(desk, request).startswith(code), request
        assert refusal_of(desk, request).startswith(code), request

    # and what lessens is not
    allowed = [
        modify("10", "A", quantity=4), modify("11", "10", price=101),
        modify("12", "S", quantity=4), modify("13", "12", terms=OrderTerms(stop_price=79)),
        modify("14", "13", price=100), modify("15", "11", quantity=3, price=102),
    ]  # fmt: skip
    for request in allowed:
        assert refusal_of(desk, request) == "", request
    assert ("me", "X") not in desk.dispatcher.desk.executions.positions
    assert desk.digest() == desk.refolded()


def test_what_is_set_aside_is_asked_too_when_it_is_modified():
    """It comes back without being asked for it again."""
    desk = risky()
    desk.send(buy("A", 5, 100))
    operate(desk, "H", OperatorAction.SET_TRADING, Scope.ACCOUNT, "me", value="HALTED")
    set_limit(desk, "L", Scope.ACCOUNT, "me", "allowed_sides", "SELL")
    assert refusal_of(desk, modify("B", "A", quantity=6)).startswith("SIDE_NOT_ALLOWED")
    assert refusal_of(desk, modify("C", "A", quantity=4)) == ""


# --- exposures ---


def exposed(**limits):
    """Two symbols in USD, one in EUR; "me" has these limits."""
    accounts = {"me": AccountConfig(**limits)}
    return Stepped(config_of(instruments=(X_USD, Y_USD, Z_EUR), accounts=accounts)).start()


def test_gross_adds_up_and_net_sets_off():
    """600 to buy of one, 400 to sell of the other: 1000 gross, 600 net at the worst."""
    # given
    desk = exposed(gross_max="1000", net_max="700")
    desk.send(buy("A", 6, 100, symbol="X_USD"), sell("B", 4, 100, symbol="Y_USD"))

    # then one more is too much of gross
    over = "GROSS_EXPOSURE_EXCEEDS_MAXIMUM: gross=1001, max=1000"
    assert refusal_of(desk, buy("C", 1, 1, symbol="Y_USD")) == ""  # the smaller side of it
    assert refusal_of(desk, sell("D", 1, 1, symbol="Y_USD")) == over
    # and without that limit 101 more to buy is too much of net
    set_limit(desk, "L", Scope.ACCOUNT, "me", "gross_max", "0")
    over = "NET_EXPOSURE_EXCEEDS_MAXIMUM: net=701, max=700"
    assert refusal_of(desk, buy("E", 1, 100, symbol="Y_USD")) == over
    assert refusal_of(desk, sell("F", 1, 300, symbol="Y_USD")) == ""
    assert refusal_of(desk, buy("G", 7, 100, symbol="Z_EUR")) == ""


def test_what_is_held_counts_at_the_last_trade():
    """Ten at 50, then worth 120 each, 1200 of 1000: what makes them fewer is let through."""
    # given
    desk = exposed(gross_max="1000", net_max="1000")
    desk.send(sell("S", 10, 50, symbol="X_USD", account="you"), buy("A", 10, 50, symbol="X_USD"))
    assert refusal_of(desk, buy("B", 10, 50, symbol="Y_USD")) == ""
    desk.send(cancel("C", "B"))

    # when the price more than doubles
    desk.send(sell("T", 1, 120, symbol="X_USD", account="you"),
              buy("U", 1, 120, symbol="X_USD", account="you"))  # fmt: skip

    # then nothing more may be bought, and all of it be sold, at any price
    assert refusal_of(desk, buy("D", 1, 1, symbol="Y_USD")).startswith("GROSS_EXPOSURE")
    assert refusal_of(desk, sell("E", 5, 130, symbol="X_USD")) == ""
    assert refusal_of(desk, sell("F", 5, symbol="X_USD")) == ""


def test_a_stop_without_a_price_counts_at_the_last_trade():
    """Open, it is worth as much as it would be now."""
    desk = exposed(gross_max="500")
    desk.send(sell("S", 1, 100, symbol="X_USD", account="you"),
              buy("T", 1, 100, symbol="X_USD", account="you"))  # fmt: skip
    assert refusal_of(desk, stop("A", 3, 110, symbol="X_USD")) == ""
    over = "GROSS_EXPOSURE_EXCEEDS_MAXIMUM: gross=501, max=500"
    assert refusal_of(desk, buy("B", 1, 201, symbol="Y_USD")) == over
    assert refusal_of(desk, buy("C", 1, 200, symbol="Y_USD")) == ""
    assert refusal_of(desk, modify("D", "A", quantity=4)).startswith("GROSS_EXPOSURE")
    assert refusal_of(desk, modify("E", "A", quantity=2)) == ""
    assert refusal_of(desk, modify("F", "C", price=300)) == ""
    assert refusal_of(desk, modify("G", "C", price=301)).startswith("GROSS_EXPOSURE")


def test_what_is_held_of_a_delisted_symbol_counts():
    """Ten at 100 of a symbol that is traded no more: 500 more is all there is room for."""
    # given
    store, clock = MemoryStore(), ManualClock()
    accounts = {"me": AccountConfig(gross_max="1500", net_max="1500")}
    config = config_of(instruments=(X_USD, Y_USD), accounts=accounts)
    desk = Stepped(config, store=store, clock=clock).start()
    desk.send(sell("S", 10, 100, symbol="X_USD", account="you"), buy("A", 10, 100, symbol="X_USD"))
    over = "GROSS_EXPOSURE_EXCEEDS_MAXIMUM: gross=1501, max=1500"
    assert refusal_of(desk, buy("B", 1, 501, symbol="Y_USD")) == over

    # when it is delisted, and after restarts, also when config.ini has forgotten it
    assert operate(
        desk, "D", OperatorAction.DELIST, Scope.SYMBOL, "X_USD"
    ).startswith("COMMAND_DONE")  # fmt: skip
    for n in range(3):
        # then it counts as before
        assert refusal_of(desk, buy(f"C{n}", 1, 501, symbol="Y_USD")) == over
        assert desk.digest() == desk.refolded()
        desk.stop()
        config = config if n == 0 else replace(config, instruments=(Y_USD,))
        desk = Stepped(config, store=store, clock=clock).start()
    assert refusal_of(desk, buy("E", 1, 500, symbol="Y_USD")) == ""


@pytest.mark.parametrize("snapshot", [True, False])
def test_at_a_remote_venue_it_counts_at_the_reference_price(snapshot):
    """Prices of a venue of somebody else are not known here; those of config.ini were."""
    x_usd = replace(X_USD, reference_price_ticks=100)
    accounts, store = {"me": AccountConfig(gross_max="1500")}, MemoryStore()
    config = config_of(instruments=(x_usd, Y_USD), accounts=accounts)
    desk = remote(config=config, store=store)
    desk.send(buy("A", 10, 100, symbol="X_USD"))
    [order_id] = desk.dispatcher.desk.executions.orders
    desk.oms.on_data_response(trade(order_id, 10, 100))
    desk.step()
    assert desk.dispatcher.desk.executions.positions == {("me", "X_USD"): 10}
    desk.stop()
    if not snapshot:
        store._snapshots = []
    desk = remote(config=replace(config, instruments=(Y_USD,)), store=store, clock=desk.clock)
    over = "GROSS_EXPOSURE_EXCEEDS_MAXIMUM: gross=1501, max=1500"
    assert refusal_of(desk, buy("B", 1, 501, symbol="Y_USD")) == over
    assert desk.digest() == desk.refolded()


# --- groups ---


def test_a_group_is_measured_as_if_it_was_one_account():
    """Each may have three orders, both together four; others are not in it."""
    desk = grouped({"open_orders_max": 4}, me={"open_orders_max": 3})
    desk.send(buy("A", 1, 90), buy("B", 1, 90), buy("C", 1, 90))
    assert refusal_of(desk, buy("D", 1, 90)) == "OPEN_ORDERS_EXCEED_MAXIMUM: open=4, max=3"
    assert refusal_of(desk, buy("E", 1, 90, account="you")) == ""
    over = "OPEN_ORDERS_EXCEED_MAXIMUM: open=5, max=4, group=firm"
    assert refusal_of(desk, buy("F", 1, 90, account="you")) == over
    assert refusal_of(desk, buy("G", 1, 90, account="other")) == ""
    # when one account's order goes, the other has room
    desk.send(cancel("H", "A"))
    assert refusal_of(desk, buy("I", 1, 90, account="you")) == ""


def test_positions_of_a_group_set_off():
    """One is five long, the other five short: the group has nothing."""
    desk = grouped({"position_max": "6"})
    has_position(desk, 5)
    over = "POSITION_EXCEEDS_MAXIMUM: position=7, max=6, group=firm"
    assert refusal_of(desk, buy("A", 7, 90)) == over
    assert refusal_of(desk, buy("B", 4, 90, account="you")) == ""
    assert refusal_of(desk, buy("C", 3, 90)) == over


@pytest.mark.parametrize(
    ("group", "first", "second", "code"),
    [
        ({"stop_orders_max": 1}, stop("A", 1, 110), stop("B", 1, 110, account="you"), "STOP"),
        ({"credit_max": "100"}, buy("A", 1, 60), buy("B", 1, 41, account="you"), "CREDIT"),
        ({"gross_max": "100"}, buy("A", 1, 60), buy("B", 1, 41, account="you", symbol="ALL"),
         "GROSS"),
        ({"net_max": "100"}, buy("A", 1, 60), buy("B", 1, 41, account="you"), "NET"),
        ({"messages_max": 1}, buy("A", 1, 60), buy("B", 1, 41, account="you"), "MESSAGES"),
        ({"restricted_symbols": "X"}, buy("A", 1, 60, symbol="ALL"), buy("B", 1, 41), "SYMBOL"),
        ({"allowed_sides": "BUY"}, buy("A", 1, 60), sell("B", 1, 41, account="you"), "SIDE"),
        ({"amends_max": 1}, modify("M", "you-1", quantity=4, account="you"),
         modify("N", "you-1", quantity=3, account="you"), "AMENDS"),
    ],
)  # fmt: skip
def test_a_group_has_every_kind_of_limit(group, first, second, code):
    """What one account did counts for the other, also after a restart; then it is undone."""
    # given
    store, clock = MemoryStore(), ManualClock()
    accounts = {name: AccountConfig(groups="desk-1,firm") for name in ("me", "you")}
    groups = {"firm": GroupConfig(**group), "desk-1": GroupConfig(credit_max="1000000")}
    config = config_of(accounts=accounts, account_groups=groups)
    free = config_of(accounts=accounts, account_groups={**groups, "firm": GroupConfig()})
    desk = Stepped(free, store=store, clock=clock).start()
    if code == "AMENDS":
        desk.send(buy("you-1", 5, 60, account="you"))
    desk.stop()
    desk = Stepped(config, store=store, clock=clock).start()

    # when both do something, with a restart in between
    assert refusal_of(desk, first) == ""
    assert desk.digest() == desk.refolded()
    desk.stop()
    desk = Stepped(config, store=store, clock=clock).start()

    # then the second is too much
    told = refusal_of(desk, second)
    assert told.startswith(code)
    assert told.endswith("group=firm")
    assert desk.digest() == desk.refolded()


def test_an_operator_sets_the_limits_of_a_group():
    """It goes before the configured one; an unknown group, or what no group has, is refused."""
    desk = grouped({"open_orders_max": 1})
    set_limit(desk, "L1", Scope.GROUP, "firm", "open_orders_max", "2")
    desk.send(buy("A", 1, 90), buy("B", 1, 90, account="you"))
    assert refusal_of(desk, buy("C", 1, 90)).endswith("open=3, max=2, group=firm")
    set_limit(desk, "L2", Scope.GROUP, "firm", "open_orders_max", "0")
    assert refusal_of(desk, buy("D", 1, 90)) == ""

    def refused(client_id, target, name, action=OperatorAction.SET_LIMIT, value="1"):
        told = operate(desk, client_id, action, Scope.GROUP, target, name=name, value=value)
        return told.removeprefix("COMMAND_REJECTED: COMMAND_INVALID: ")

    assert refused("L3", "film", "open_orders_max") == "group=film, known=firm"
    assert refused("L4", "firm", "duplicate_window_s").startswith("name: expected one of open_")
    expected = "scope=GROUP, expected with SET_LIMIT alone"
    assert refused("L5", "firm", "", OperatorAction.KILL, "") == expected
    assert refused("L6", "firm", "", OperatorAction.SET_TRADING, "HALTED") == expected
    assert desk.digest() == desk.refolded()


def test_a_refused_kill_of_a_group_cancels_nothing_in_the_inbox():
    """It is about nobody: least of all about everybody."""
    desk = grouped({"open_orders_max": 1})
    told = operate(desk, "K", OperatorAction.KILL, Scope.GROUP, "firm")
    assert told.startswith("COMMAND_REJECTED")
    assert refusal_of(desk, buy("A", 1, 90)) == ""


def test_a_held_order_of_a_group_is_looked_at_anew():
    """Overnight the group's limits became narrower; the elder of two orders still fits."""
    clock = ManualClock()
    clock.jump(3600)  # 2023-11-14 23:13 UTC, a Tuesday
    config = config_of(
        session=SessionConfig(hours="Mon-Fri 09:00-17:00", outside_hours="hold"),
        accounts={name: AccountConfig(groups="firm") for name in ("me", "you")},
        account_groups={"firm": GroupConfig()},
    )
    desk = Stepped(config, clock=clock).start()
    desk.send(buy("A", 5, 100), buy("B", 5, 100, account="you"))
    set_limit(desk, "L1", Scope.GROUP, "firm", "gross_max", "500")
    clock.advance(12 * 3600)
    desk.keep()
    assert set(desk.step()) == {"B REJECTED/REJECTED", "A NEW/NEW"}


def test_what_was_no_limit_once_is_none_in_an_old_journal():
    """Under rules number 1 the name was unknown: it is refused in the same words."""
    words = "name: expected one of open_orders_max, messages_max, messages_window_s, position_max"
    with pytest.raises(ValidationError, match=words):
        check_limit(Scope.ACCOUNT, "amends_max", "1", 1)
    with pytest.raises(ValidationError, match="notional_max for SYMBOL, was"):
        check_limit(Scope.SYMBOL, "market_quantity_max", "1", 1)
    check_limit(Scope.ACCOUNT, "amends_max", "1")


def test_limits_that_are_not_set_cost_nothing():
    """No account is watched more closely than its limits ask for."""
    desk = Stepped(config_of(risk=RiskConfig(open_orders_max=5))).start()
    desk.send(buy("A", 1, 100))
    exposure = desk.dispatcher.desk.risk.exposures["me"]
    assert (exposure.more, exposure.values, exposure.groups) == (False, {}, ())


# --- any flow of requests, against a naive twin ---

WHO = ("a", "b", "c")
SYMBOLS = ("X_USD", "Y_USD")
GROUPS = {"a": ["desk", "firm"], "b": ["firm"]}
MARKET_MAX = 4
PRICES = st.sampled_from([40, 98, 99, 100, 101, 102, 250])  # a budget may buy more than it seems


def _limits(draw_all):
    """Some limits, as the twin has them."""
    numbers = {
        "open_orders_max": st.integers(2, 5), "stop_orders_max": st.integers(1, 2),
        "amends_max": st.integers(1, 2), "position_max": st.integers(3, 12),
        "gross_max": st.integers(300, 2_000), "net_max": st.integers(300, 1_500),
    }  # fmt: skip
    words = {
        "allowed_sides": st.sampled_from([["BUY"], ["SELL"], ["BUY", "SELL"]]),
        "allowed_order_types": st.just(["LIMIT", "STOP"]),
        "allowed_times_in_force": st.just(["GTC"]),
    }
    return st.fixed_dictionaries({}, optional={**numbers, **(words if draw_all else {})})


class LimitsMachine(RuleBasedStateMachine):
    """Whatever is asked, the same is refused, and for the same reason; restarts change nothing."""

    @initialize(a=_limits(False), c=_limits(True), desk=_limits(False), firm=_limits(False))
    def start(self, a, c, desk, firm):
        limits = {("account", "a"): a, ("account", "c"): c, ("group", "desk"): desk,
                  ("group", "firm"): firm}  # fmt: skip
        self.twin = ReferenceRisk(limits, GROUPS, MARKET_MAX)

        def texts(kind, name):
            found = limits.get((kind, name), {})
            counts = ("open_orders_max", "stop_orders_max", "amends_max")
            return {
                key: value if key in counts else
                ",".join(value) if isinstance(value, list) else str(value)
                for key, value in found.items()
            }  # fmt: skip

        accounts = {
            name: AccountConfig(groups=",".join(GROUPS.get(name, [])), **texts("account", name))
            for name in WHO
        }
        groups = {name: GroupConfig(**texts("group", name)) for name in ("desk", "firm")}
        self.config = config_of(
            instruments=(X_USD, Y_USD), accounts=accounts, account_groups=groups,
            limits={symbol: {"market_quantity_max": str(MARKET_MAX)} for symbol in SYMBOLS},
        )  # fmt: skip
        self.store, self.clock, self.count = MemoryStore(), ManualClock(), 0
        self.ids = {}  # order id -> the client order id it goes by
        self._run()

    def _run(self):
        self.desk = Stepped(self.config, store=self.store, clock=self.clock).start()

    def _name(self):
        self.count += 1
        return f"n{self.count}"

    def _ask(self, request, asked, predicted):
        """Hear all that it set off, and compare the answer."""
        self.desk.oms.on_data(request)
        told = self.desk.turn()
        answer = next(r for r in told if r.client_order_id == request.client_order_id)
        refused = answer.type in (ResponseType.REJECTED, ResponseType.CANCEL_REJECTED)
        code = answer.text.split(":")[0] if refused else ""
        assert code == predicted, answer.text
        for report in told:
            self.twin.hear(report, asked)
            if report.type in (ResponseType.NEW, ResponseType.REPLACED):
                self.ids[report.order_id] = report.client_order_id

    @rule(
        account=st.sampled_from(WHO), symbol=st.sampled_from(SYMBOLS), side=st.sampled_from(Side),
        kind=st.sampled_from(["LIMIT", "LIMIT", "LIMIT", "MARKET", "STOP", "STOP"]),
        lots=st.integers(1, 6), price=PRICES, tif=st.sampled_from([GTC, GTC, IOC]),
    )  # fmt: skip
    def place(self, account, symbol, side, kind, lots, price, tif):
        name, tif = self._name(), GTC if kind == "STOP" else tif
        order = buy if side is Side.BUY else sell
        terms = {"terms": OrderTerms(stop_price=price)} if kind == "STOP" else {}
        limit = price if kind == "LIMIT" else 0
        asked = Open(account, symbol, side.value, kind, tif.value, lots, limit,
                     price if kind == "STOP" else 0)  # fmt: skip
        self._ask(
            order(name, lots, limit or None, account=account, symbol=symbol, time_in_force=tif,
                  **terms),
            asked, self.twin.refuses_new(asked),
        )  # fmt: skip

    @rule(
        account=st.sampled_from(WHO), symbol=st.sampled_from(SYMBOLS), budget=st.integers(50, 900)
    )
    def spend(self, account, symbol, budget):
        asked = Open(account, symbol, "BUY", "MARKET", "GTC", 0, 0, budget=budget)
        terms = OrderTerms(quote_quantity=str(budget))
        self._ask(
            buy(self._name(), None, account=account, symbol=symbol, terms=terms),
            asked, self.twin.refuses_budget(asked),
        )  # fmt: skip

    @rule(
        holder=st.sampled_from([("account", "a"), ("account", "b"), ("group", "firm")]),
        words=st.sampled_from(
            [("allowed_sides", "BUY"), ("allowed_sides", "0"), ("allowed_sides", "0"),
             ("restricted_symbols", "X_USD"), ("restricted_symbols", "0")]
        ),
    )  # fmt: skip
    def allow(self, holder, words):
        """An operator does; what is open stays."""
        (scope, target), (name, value) = holder, words
        set_limit(self.desk, self._name(), Scope(scope.upper()), target, name, value)
        self.twin.limits.setdefault(holder, {})[name] = [] if value == "0" else value.split(",")
        if value == "0":
            del self.twin.limits[holder][name]

    @precondition(lambda self: self.twin.orders)
    @rule(data=st.data(), lots=st.integers(1, 6), price=PRICES)
    def modify(self, data, lots, price):
        order_id = data.draw(st.sampled_from(sorted(self.twin.orders)))
        order = self.twin.orders[order_id]
        price = price if order.price else 0
        filled = self._filled(order_id)
        asked = Open(**{**vars(order), "price": price})
        self._ask(
            modify(self._name(), self.ids[order_id], account=order.account,
                   quantity=lots + filled, **({"price": price} if price else {})),
            asked, self.twin.refuses_change(order, lots, price),
        )  # fmt: skip

    def _filled(self, order_id):
        return self.desk.dispatcher.desk.executions.orders[order_id].cumulative_lots

    @precondition(lambda self: self.twin.orders)
    @rule(data=st.data())
    def cancel(self, data):
        order_id = data.draw(st.sampled_from(sorted(self.twin.orders)))
        account = self.twin.orders[order_id].account
        self._ask(cancel(self._name(), self.ids[order_id], account=account), None, "")

    @rule()
    def restart(self):
        self.desk.stop()
        self._run()

    @invariant()
    def counted_right(self):
        """What is kept as sums is what a look at each order gives."""
        if not hasattr(self, "desk"):
            return
        desk = self.desk.dispatcher.desk
        assert set(desk.executions.orders) == set(self.twin.orders)
        kept = {**desk.risk.exposures, **desk.risk.group_exposures}
        for name, exposure in kept.items():
            orders = [
                order
                for order in desk.executions.orders.values()
                if name in (order.account, *GROUPS.get(order.account, ()))
            ]
            counted = Exposure()
            counted.more = exposure.more
            for order in orders:
                counted.move(order, order.leaves_lots, 1)
            assert (exposure.count, exposure.stops) == (counted.count, counted.stops), name
            for kind in ("symbols", "values"):
                told, right = getattr(exposure, kind), getattr(counted, kind)
                assert {s: n for s, n in told.items() if any(n)} == {
                    s: n for s, n in right.items() if any(n)
                }, (name, kind)

    def teardown(self):
        if hasattr(self, "desk"):
            assert self.desk.digest() == self.desk.refolded()


TestLimits = LimitsMachine.TestCase
TestLimits.settings = settings(max_examples=many(60), stateful_step_count=40)
