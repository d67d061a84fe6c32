"""Risk before the book: every limit at its edge, and in which order the checks come.

At a limit an order is accepted, one unit over it is refused, with the code, the value and the
limit. Limits come from the configuration, and from an operator while trading goes on.
"""

import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oms import Instrument, ManualClock, MemoryStore, RejectReason, ResponseType
from oms.config import AccountConfig, ExchangeConfig, GroupConfig, RiskConfig, SessionConfig
from oms.enums import OrderState, Scope, TimeInForce
from oms.requests import FundsAction, FundsRequest, OperatorAction, OperatorRequest, OrderTerms
from oms.turn.dry_run import dry_run
from tests.fakes import (
    SECOND,
    SOON_S,
    Stepped,
    brief,
    buy,
    cancel,
    config_of,
    modify,
    sell,
    throttled,
)

IOC, GTD = TimeInForce.IOC, TimeInForce.GTD
X_USD = Instrument(symbol="X_USD", price_scale=0, quantity_scale=0, quote_scale=0)
Y_USD = Instrument(symbol="Y_USD", price_scale=0, quantity_scale=0, quote_scale=0)
Z_EUR = Instrument(symbol="Z_EUR", price_scale=0, quantity_scale=0, quote_scale=0)


def risky(limits=None, account=None, **sections):
    """Symbol X and the account "me" under these limits."""
    config = config_of(
        limits={"X": limits} if limits else {},
        accounts={"me": AccountConfig(**account)} if account else {},
        **sections,
    )
    return Stepped(config).start()


def operate(desk, client_id, action, scope=Scope.ALL, target="", **more):
    """An operator's command; the answer's type, and its text."""
    answer = desk.ask(
        OperatorRequest(
            client_order_id=client_id, action=action, scope=scope, target=target, **more
        )
    )
    return f"{answer.type}: {answer.text}"


def set_limit(desk, client_id, scope, target, name, value):
    told = operate(desk, client_id, OperatorAction.SET_LIMIT, scope, target, name=name, value=value)
    assert told.startswith("COMMAND_DONE"), told
    return told


def refusal_of(desk, request):
    """Why this was refused; "" if it was not."""
    answer = desk.ask(request)
    refused = answer.type in (ResponseType.REJECTED, ResponseType.CANCEL_REJECTED)
    return answer.text if refused else ""


def has_position(desk, lots, price=100):
    """Let "me" hold so many lots of X, bought from "you"; or so many short."""
    one, other = (buy, sell) if lots > 0 else (sell, buy)
    desk.send(other("position", abs(lots), price, account="you"), one("position", abs(lots), price))


# --- one order's size and price ---


@pytest.mark.parametrize(
    ("limits", "within", "beyond", "reason"),
    [
        ({"quantity_max": "10"}, (10, 100), (11, 100),
         "QUANTITY_EXCEEDS_MAXIMUM: quantity=11, max=10"),
        ({"quantity_min": "5"}, (5, 100), (4, 100),
         "QUANTITY_BELOW_MINIMUM: quantity=4, min=5"),
        ({"notional_max": "1000"}, (10, 100), (7, 143),
         "NOTIONAL_EXCEEDS_MAXIMUM: notional=1001, max=1000"),
        ({"notional_min": "1000"}, (10, 100), (9, 111),
         "NOTIONAL_BELOW_MINIMUM: notional=999, min=1000"),
        ({"notional_max": "5000000"}, (50_000, 100), (1, 5_000_001),
         "NOTIONAL_EXCEEDS_MAXIMUM: notional=5000001, max=5000000"),
    ],
)  # fmt: skip
def test_a_size_at_the_limit_is_accepted_and_one_unit_over_is_refused(
    limits, within, beyond, reason
):
    """Quantity and notional, either end; the reason says which, how much, and the limit."""
    desk = risky(limits)
    assert desk.send(buy("A", *within)) == ["A NEW/NEW"]
    assert refusal_of(desk, buy("B", *beyond)) == reason
    assert refusal_of(desk, sell("C", *beyond)) == reason


def test_a_scaled_quantity_is_told_as_it_was_written():
    """Quantities of three decimals, 1.5 at the most."""
    fine = Instrument(symbol="X", price_scale=2, quantity_scale=3)
    desk = Stepped(config_of(instruments=(fine,), limits={"X": {"quantity_max": "1.5"}})).start()
    assert refusal_of(desk, buy("A", "1.5", "100.25")) == ""
    assert (
        refusal_of(desk, buy("B", "1.501", "100.25"))
        == "QUANTITY_EXCEEDS_MAXIMUM: quantity=1.501, max=1.5"
    )


def test_a_limit_may_be_finer_than_what_is_counted():
    """Money in whole units, limits of 1000.5 and 10.25: an operator's, with many decimals."""
    # given limits between two units
    desk = Stepped(config_of(instruments=(X_USD,))).start()
    set_limit(desk, "L1", Scope.SYMBOL, "X_USD", "notional_max", "1000.500000000001")
    set_limit(desk, "L2", Scope.SYMBOL, "X_USD", "notional_min", "10.25")
    set_limit(desk, "L3", Scope.SYMBOL, "X_USD", "quantity_max", "500.999999999999")

    # then the unit below the one and the unit above the other are within
    def refusal(name, lots, price):
        return refusal_of(desk, buy(name, lots, price, symbol="X_USD"))

    assert refusal("A", 10, 100) == ""
    assert refusal("B", 7, 143).endswith("notional=1001, max=1000.500000000001")
    assert refusal("C", 1, 11) == ""
    assert refusal("D", 1, 10) == "NOTIONAL_BELOW_MINIMUM: notional=10, min=10.25"
    assert refusal("E", 500, 1) == ""
    assert refusal("F", 501, 1).endswith("quantity=501, max=500.999999999999")


def test_a_market_order_is_worth_what_the_last_trade_paid():
    """It names no price; before any trade there is the configured one, or no telling."""
    # given a market that has not traded, and no reference price
    desk = risky({"notional_max": "1000"})
    assert desk.send(buy("A", 11)) == ["A NEW/NEW", "A CANCELED/CANCELED"]

    # when it trades at 100, then 11 lots are too much
    has_position(desk, 1)
    assert refusal_of(desk, buy("B", 11)) == "NOTIONAL_EXCEEDS_MAXIMUM: notional=1100, max=1000"
    assert desk.send(buy("C", 10)) == ["C NEW/NEW", "C CANCELED/CANCELED"]


def test_a_budget_is_its_own_notional():
    """A market buy for 1001 of the quote asset, where 1000 is the most."""
    desk = risky({"notional_max": "1000"})
    spend = {"order_type": None, "terms": OrderTerms(quote_quantity="1000")}
    assert refusal_of(desk, buy("A", None, **spend)) == ""
    spend["terms"] = OrderTerms(quote_quantity="1001")
    reason = "NOTIONAL_EXCEEDS_MAXIMUM: notional=1001, max=1000"
    assert refusal_of(desk, buy("B", None, **spend)) == reason


# --- the price band ---

BANDED = Instrument(symbol="X", price_scale=0, quantity_scale=0, reference_price_ticks=1_005)


def banded(around):
    """10 % around 1005: 904.5 to 1105.5, rounded inwards to 905 and 1105."""
    limits = {"X": {"price_band_bps": "1000", "price_band_around": around}}
    return Stepped(config_of(instruments=(BANDED,), limits=limits)).start()


@pytest.mark.parametrize("around", ["last", "reference"])
@pytest.mark.parametrize("order", [buy, sell])
def test_the_edges_of_a_price_band_are_inside(around, order):
    """Both edges for both sides; a tick further is outside."""
    desk = banded(around)
    for price in (904, 1_106):
        assert (
            refusal_of(desk, order(f"{price}", 1, price))
            == f"PRICE_OUTSIDE_BAND: price={price}, min=905, max=1105"
        )
    for price in (905, 1_105):
        assert refusal_of(desk, order(f"{price}", 1, price)) == ""


def test_a_band_around_the_last_trade_moves_with_it():
    """A trade at 1100: the band is 990 to 1210; around the reference it stays."""
    for around, inside in (("last", 1_210), ("reference", 1_105)):
        desk = banded(around)
        has_position(desk, 1, 1_100)
        assert refusal_of(desk, buy("A", 1, inside + 1)).endswith(f"max={inside}")
        assert refusal_of(desk, buy("B", 1, inside)) == ""


def test_a_band_around_the_last_trade_goes_along_with_quotes():
    """The market is worth 1500 now, and nobody trades inside the band: it was locked for good."""
    # given an offer at 1500 that is refused
    desk = banded("last")
    assert refusal_of(desk, sell("S", 1, 1_500)).startswith("PRICE_OUTSIDE_BAND")

    # when a buyer bids at the edge, and again at the edge that this makes
    assert refusal_of(desk, buy("B", 1, 1_105)) == ""
    for number, edge in enumerate((1_215, 1_336, 1_469)):
        assert refusal_of(desk, sell(f"S{number}", 1, 1_500)).endswith(f"max={edge}")
        desk.send(modify(f"M{number}", f"M{number - 1}" if number else "B", price=edge))

    # then the offer is within it, and they trade
    assert desk.send(sell("S9", 1, 1_500), buy("B9", 1, 1_500))[-1] == "S9 TRADE/FILLED"
    # and a bid that goes along makes nobody else's price wrong
    assert refusal_of(desk, buy("B8", 1, 1_350)) == ""


def test_a_band_around_the_reference_price_stays_where_it_is():
    """Quotes do not move it: what is so fixed, an operator moves."""
    desk = banded("reference")
    assert refusal_of(desk, buy("B", 1, 1_105)) == ""
    assert refusal_of(desk, buy("A", 1, 1_106)).endswith("max=1105")
    set_limit(desk, "L", Scope.SYMBOL, "X", "price_band_bps", "2000")
    assert refusal_of(desk, buy("C", 1, 1_106)) == ""


def test_a_band_around_the_last_trade_has_room_for_a_price_step():
    """10 % of 5 ticks is none: the price could not move at all."""
    desk = banded("last")
    for price in (905, 815, 734, 661):
        desk.send(sell(f"S{price}", 1, price))
    set_limit(desk, "L", Scope.SYMBOL, "X", "price_band_bps", "1")
    assert refusal_of(desk, sell("S9", 1, 659)).endswith("min=660, max=1006")
    assert refusal_of(desk, sell("S8", 1, 660)) == ""


@given(
    wishes=st.lists(
        st.tuples(st.sampled_from([buy, sell]), st.integers(700, 1_300), st.booleans()),
        max_size=15,
    ),
    worth=st.integers(200, 4_000),
)
def test_no_price_is_out_of_reach_for_those_who_mean_it(wishes, worth):
    """Whatever was traded and is quoted: each price is judged by the last trade and the best
    quotes alone, and two who agree on a price get there without an operator."""
    desk, last = banded("last"), 1_005
    for number, (order, price, stays) in enumerate(wishes):
        bids, asks = desk.oms.get_depth("X", 1)
        lowest = min([last, *(price for price, _ in asks)])
        highest = max([last, *(price for price, _ in bids)])
        inside = 10 * price >= 9 * lowest and 10 * price <= 11 * highest
        told = refusal_of(desk, order(f"{number}", 1, price))
        assert (told == "") == inside, (price, lowest, highest)
        if not stays:
            desk.send(cancel(f"c{number}", f"{number}"))
        last = desk.oms.get_prices("X").last or last

    # when one of two who agree on a price goes along to it, then the other one gets it, too
    order, other = (buy, sell) if worth > last else (sell, buy)
    for step in range(60):
        wishes = order(f"one{step}", 1, worth), other(f"other{step}", 1, worth)
        if not any(refusal_of(desk, each) for each in wishes):
            return
        low, high = desk.dispatcher.desk.risk.band_of("X", 1_000, "last")
        desk.send(order(f"edge{step}", 1, high if order is buy else low))
    pytest.fail(f"{worth} is out of reach")


def test_without_anything_to_go_by_there_is_no_band():
    """Neither a trade nor a reference price; and a market order has no price to look at."""
    desk = risky({"price_band_bps": "100", "price_band_around": "last"})
    assert refusal_of(desk, sell("A", 1, 5)) == ""
    assert refusal_of(desk, buy("B", 1)) == ""


# --- the account: open orders, messages, duplicates, restricted symbols ---


def test_open_orders_are_counted_and_given_back():
    """Two at the most; a fill, a cancel and an expiry each make room for one."""
    # given two open orders
    desk = risky(account={"open_orders_max": 2})
    at = desk.clock.wall_ns() + SECOND
    gtd = buy("B", 1, 99, time_in_force=GTD, terms=OrderTerms(expire_ns=at))
    assert desk.send(buy("A", 2, 100), gtd) == ["A NEW/NEW", "B NEW/NEW"]

    # then a third is refused, whoever would be met
    full = "OPEN_ORDERS_EXCEED_MAXIMUM: open=3, max=2"
    assert refusal_of(desk, buy("C", 1, 98)) == full
    assert refusal_of(desk, buy("D", 1, time_in_force=IOC)) == full

    # and half a fill makes no room, a whole one does
    desk.send(sell("S1", 1, 100, account="you"))
    assert refusal_of(desk, buy("E", 1, 98)) == full
    desk.send(sell("S2", 1, 100, account="you"))
    assert refusal_of(desk, buy("F", 1, 98)) == ""

    # and so does an expiry, and a cancel
    desk.clock.advance(1)
    assert desk.step() == ["B EXPIRED/EXPIRED"]
    assert refusal_of(desk, buy("G", 1, 97)) == ""
    assert refusal_of(desk, buy("H", 1, 97)) == full
    assert desk.ask(cancel("I", "G")).type is ResponseType.CANCELED
    assert refusal_of(desk, buy("J", 1, 97)) == ""


def test_other_accounts_have_limits_of_their_own():
    """Everybody may have one open order, "me" two, "you" as many as it likes."""
    # given a rule and two exceptions
    accounts = {"me": AccountConfig(open_orders_max=2), "you": AccountConfig(open_orders_max=0)}
    desk = Stepped(config_of(risk=RiskConfig(open_orders_max=1), accounts=accounts)).start()

    # when each sends three
    told = {}
    for account in ("me", "you", "other"):
        requests = [buy(f"{n}", 1, 90, account=account) for n in range(3)]
        told[account] = [line.split(" ")[1] for line in desk.send(*requests)]

    # then each gets as many as it may have
    new, no = "NEW/NEW", "REJECTED/REJECTED"
    assert told == {"me": [new, new, no], "you": [new, new, new], "other": [new, no, no]}


def test_messages_slide_out_of_their_window():
    """Three in two seconds; at exactly two seconds the first no longer counts."""
    # given a full window: two at 0 s, one at 1 s
    desk = risky(account={"messages_max": 3, "messages_window_ns": 2 * SECOND})
    desk.send(buy("A", 1, 90), buy("B", 1, 90))
    desk.clock.advance(1)
    desk.send(buy("C", 1, 90))

    # then a fourth is refused, and a modify too, up to the last nanosecond
    full = "MESSAGES_EXCEED_MAXIMUM: messages=4, max=3, window_s=2"
    desk.clock.advance(0.999999999)
    assert refusal_of(desk, buy("D", 1, 90)) == full
    assert refusal_of(desk, modify("E", "A", quantity=2)) == full

    # and a cancel never is
    assert refusal_of(desk, cancel("F", "C")) == ""

    # when the window is over, two may come: what was refused does not count
    desk.clock.advance(0.000000001)
    assert refusal_of(desk, modify("G", "A", quantity=2)) == ""
    assert refusal_of(desk, buy("H", 1, 90)) == ""
    assert refusal_of(desk, buy("I", 1, 90)) == full


def test_the_same_order_again_is_a_slip_of_the_finger():
    """Same side, price and quantity within a second."""
    # given an order
    desk = risky(account={"duplicate_window_ns": SECOND})
    desk.send(buy("A", 5, 100))

    # then the same under another id is refused, anything else is not
    desk.clock.advance(0.999999999)
    assert refusal_of(desk, buy("B", 5, 100)) == "ORDER_REPEATED: after_ns=999999999, window_s=1"
    for name, other in (
        ("C", buy("C", 6, 100)), ("D", buy("D", 5, 99)), ("E", buy("E", 5, 100, symbol="ALL")),
        ("F", sell("F", 5, 101)), ("G", buy("G", 5, 100, account="you")),
    ):  # fmt: skip
        assert refusal_of(desk, other) == "", name

    # and a second later it is meant
    desk.clock.advance(0.000000001)
    assert refusal_of(desk, buy("H", 5, 100)) == ""
    assert refusal_of(desk, buy("I", 5, 100)) == "ORDER_REPEATED: after_ns=0, window_s=1"


def test_two_stops_and_two_budgets_are_not_the_same_order():
    """They differ in what is neither price nor quantity."""
    desk = risky(account={"duplicate_window_ns": SECOND})
    for n, terms in enumerate(({"stop_price": 110}, {"stop_price": 111})):
        assert refusal_of(desk, buy(f"S{n}", 5, terms=OrderTerms(**terms))) == ""
    for n, budget in enumerate(("100", "101")):
        spend = OrderTerms(quote_quantity=budget)
        assert refusal_of(desk, buy(f"B{n}", None, terms=spend)) == ""
    again = buy("again", 5, terms=OrderTerms(stop_price=111))
    assert refusal_of(desk, again).startswith("ORDER_REPEATED")


def test_a_restricted_symbol_is_closed_to_an_account():
    """For "me" X is, ALL is not; for the others neither."""
    desk = risky(account={"restricted_symbols": "X"})
    assert refusal_of(desk, buy("A", 1, 100)) == "SYMBOL_RESTRICTED: symbol=X"
    assert refusal_of(desk, buy("B", 1, 100, symbol="ALL")) == ""
    assert refusal_of(desk, buy("C", 1, 100, account="you")) == ""


# --- position and credit ---


def test_a_position_limit_counts_what_is_held_and_what_is_open():
    """Ten at the most, long or short: what an account would have if all it has open filled."""
    # given 4 held and 3 more bid for
    desk = risky(account={"position_max": "10"})
    has_position(desk, 4)
    desk.send(buy("A", 3, 99))

    # then 3 more may be bid for, and not 4
    assert refusal_of(desk, buy("B", 4, 99)) == "POSITION_EXCEEDS_MAXIMUM: position=11, max=10"
    assert refusal_of(desk, buy("C", 3, 99)) == ""

    # and on the other side 14 may be offered: bids do not count against them
    assert refusal_of(desk, sell("D", 15, 101)) == "POSITION_EXCEEDS_MAXIMUM: position=11, max=10"
    assert refusal_of(desk, sell("E", 14, 101)) == ""

    # when a bid goes, its room comes back
    desk.send(cancel("F", "A"))
    assert refusal_of(desk, buy("G", 4, 99)) != ""
    assert refusal_of(desk, buy("H", 3, 99)) == ""


def test_a_short_position_is_limited_likewise():
    """Eight short: two more, or eighteen the other way."""
    desk = risky(account={"position_max": "10"})
    has_position(desk, -8)
    assert refusal_of(desk, sell("A", 3, 101)).endswith("position=11, max=10")
    assert refusal_of(desk, sell("B", 2, 101)) == ""
    assert refusal_of(desk, buy("C", 19, 99)).endswith("position=11, max=10")
    assert refusal_of(desk, buy("D", 18, 99)) == ""


def test_an_oversized_position_may_be_made_smaller():
    """Twenty held when the limit becomes ten."""
    desk = risky()
    has_position(desk, 20)
    set_limit(desk, "L", Scope.ACCOUNT, "me", "position_max", "10")
    assert refusal_of(desk, buy("A", 1, 99)).endswith("position=21, max=10")
    assert refusal_of(desk, sell("B", 5, 101)) == ""


def test_a_position_bought_by_budget_counts_once():
    """A market buy for 500 takes 5 lots at 100; then 5 more are within ten, and 6 are not."""
    # given a position that a budget bought
    desk = risky(account={"position_max": "10"})
    spend = buy("A", None, terms=OrderTerms(quote_quantity="500"))
    assert desk.send(sell("S", 9, 100, account="you"), spend)[-1] == "S TRADE/PARTIALLY_FILLED"
    assert desk.dispatcher.desk.executions.positions["me", "X"] == 5

    # then the limit knows of 5 lots, not of 0
    assert refusal_of(desk, buy("B", 6, 99)).endswith("position=11, max=10")
    assert refusal_of(desk, buy("C", 5, 99)) == ""


def test_credit_is_one_sum_over_the_symbols_of_a_quote_asset():
    """1000 of USD over two symbols; EUR has its own 1000."""
    # given 600 bid for one symbol
    instruments = (X_USD, Y_USD, Z_EUR)
    accounts = {"me": AccountConfig(credit_max="1000")}
    desk = Stepped(config_of(instruments=instruments, accounts=accounts)).start()
    desk.send(buy("A", 6, 100, symbol="X_USD"))

    # then 401 more of USD is too much, whatever the side, and 400 is not
    over = "CREDIT_EXCEEDS_MAXIMUM: credit=1001, max=1000"
    assert refusal_of(desk, buy("B", 1, 401, symbol="X_USD")) == over
    assert refusal_of(desk, sell("C", 1, 401, symbol="Y_USD")) == over
    assert refusal_of(desk, sell("D", 1, 400, symbol="Y_USD")) == ""

    # and EUR is another matter
    assert refusal_of(desk, buy("E", 10, 100, symbol="Z_EUR")) == ""
    assert refusal_of(desk, buy("F", 1, 1, symbol="Z_EUR")) == over

    # when some of it trades, only what is open counts
    desk.send(sell("S", 6, 100, symbol="X_USD", account="you"))
    assert refusal_of(desk, buy("G", 6, 100, symbol="X_USD")) == ""


# --- changes ---


def test_a_modify_is_checked_on_what_it_adds():
    """Position and credit: the order's own open lots are not counted twice."""
    # given 8 of 10 lots, and 800 of 1000 of money
    desk = risky(account={"position_max": "10", "credit_max": "1000"})
    desk.send(buy("A", 8, 100))

    # then it may grow by 2 lots and 200, and by no more
    assert refusal_of(desk, modify("B", "A", quantity=11)).endswith("position=11, max=10")
    assert refusal_of(desk, modify("C", "A", price=126)).endswith("credit=1008, max=1000")
    assert refusal_of(desk, modify("D", "A", quantity=10)) == ""
    assert refusal_of(desk, modify("E", "A", price=101)).endswith("credit=1010, max=1000")

    # and once it is smaller there is room again
    assert refusal_of(desk, modify("F", "A", quantity=5)) == ""
    assert refusal_of(desk, buy("G", 5, 100)) == ""
    assert refusal_of(desk, buy("H", 1, 100)) != ""


def test_a_refused_modify_leaves_the_order_as_it_was():
    """Too large, too dear: it keeps price and place."""
    desk = risky({"quantity_max": "10"})
    desk.send(buy("A", 5, 100), buy("B", 5, 100, account="you"))
    assert (
        refusal_of(desk, modify("C", "A", quantity=11))
        == "QUANTITY_EXCEEDS_MAXIMUM: quantity=11, max=10"
    )
    assert desk.send(sell("S", 5, 100, account="you"))[-1] == "A TRADE/FILLED"


def test_what_a_modify_does_not_make_worse_is_not_held_against_it():
    """Limits became narrower: an order that is too large and too far off may get smaller."""
    # given an order of 20 at 80, when at most 10 within 5 % of 100 are allowed
    desk = risky()
    has_position(desk, 1)
    desk.send(buy("A", 20, 80))
    set_limit(desk, "L1", Scope.SYMBOL, "X", "quantity_max", "10")
    set_limit(desk, "L2", Scope.SYMBOL, "X", "price_band_bps", "500")
    set_limit(desk, "L3", Scope.SYMBOL, "X", "notional_max", "500")

    # then less of it is welcome, more is not, and neither is another price outside
    assert refusal_of(desk, modify("B", "A", quantity=15)) == ""
    assert refusal_of(desk, modify("C", "A", quantity=16)).startswith("QUANTITY_EXCEEDS_MAXIMUM")
    assert refusal_of(desk, modify("D", "A", quantity=5, price=81)).startswith("PRICE_OUTSIDE_BAND")


def test_a_modify_of_a_waiting_order_is_checked_too():
    """It changes in the queue, before the throttle lets it go."""
    accounts = {"me": AccountConfig(position_max="10")}
    desk = Stepped(throttled(accounts=accounts)).start()
    desk.send(buy("A", 5, 100), buy("B", 5, 100))
    assert desk.waiting == ["B"]
    assert refusal_of(desk, modify("C", "B", quantity=6)).endswith("position=11, max=10")
    assert refusal_of(desk, modify("D", "B", quantity=4)) == ""
    assert refusal_of(desk, buy("E", 2, 100)).endswith("position=11, max=10")


def test_a_cancel_is_never_refused_by_a_limit():
    """Under every limit there is, all of them exceeded."""
    desk = risky()
    desk.send(buy("A", 20, 80))
    for name, value in (
        ("open_orders_max", "1"), ("messages_max", "1"), ("position_max", "1"),
        ("credit_max", "1"), ("duplicate_window_s", "9"), ("restricted_symbols", "X"),
    ):  # fmt: skip
        set_limit(desk, f"L{name}", Scope.ACCOUNT, "me", name, value)
    set_limit(desk, "L", Scope.SYMBOL, "X", "quantity_max", "1")
    assert desk.ask(cancel("B", "A")).type is ResponseType.CANCELED


# --- the order of the checks ---


def test_the_first_reason_that_applies_is_the_one_told():
    """An order that breaks everything; each obstacle that goes uncovers the next."""
    # given an unknown account, restricted, repeated, too large, too many, too much of all
    limits = {
        "open_orders_max": 1, "messages_max": 1, "messages_window_ns": 60 * SECOND,
        "position_max": "1", "credit_max": "1", "duplicate_window_ns": 60 * SECOND,
    }  # fmt: skip
    market = Instrument(
        symbol="X_USD", price_scale=0, quantity_scale=0, quote_scale=0, reference_price_ticks=100
    )
    config = config_of(
        instruments=(market, Y_USD),
        exchange=ExchangeConfig(ledger=True, self_trade="none"),
        accounts={"me": AccountConfig(**limits)},
        limits={"X_USD": {"quantity_max": "2", "notional_max": "300", "price_band_bps": "100"}},
    )
    desk = Stepped(config).start()
    desk.ask(FundsRequest(account="me", client_order_id="create", action=FundsAction.CREATE))
    desk.ask(
        FundsRequest(
            account="me", client_order_id="pay", action=FundsAction.DEPOSIT, asset="USD",
            amount=100,
        )
    )  # fmt: skip
    set_limit(desk, "L1", Scope.ACCOUNT, "me", "position_max", "1000")
    set_limit(desk, "L2", Scope.ACCOUNT, "me", "credit_max", "1000")
    assert refusal_of(desk, buy("first", 1, 100, symbol="X_USD")) == ""
    set_limit(desk, "L3", Scope.ACCOUNT, "me", "restricted_symbols", "X_USD")
    operate(desk, "K1", OperatorAction.SET_TRADING, value="HALTED")
    operate(desk, "K2", OperatorAction.SET_TRADING, Scope.ACCOUNT, "me", value="HALTED")
    operate(desk, "K3", OperatorAction.SET_PHASE, Scope.SYMBOL, "X_USD", value="HALTED")

    count = 0

    def reason(lots=1, price=100, **more):
        nonlocal count
        count += 1
        return refusal_of(desk, buy(f"{count}", lots, price, symbol="X_USD", **more)).split(":")[0]

    # then they come one by one, as D21 has them
    assert reason(price="100.5") == "KILL_SWITCH"
    operate(desk, "K4", OperatorAction.SET_TRADING, value="ACTIVE")
    assert reason(price="100.5") == "ACCOUNT_HALTED"
    operate(desk, "K5", OperatorAction.SET_TRADING, Scope.ACCOUNT, "me", value="ACTIVE")
    assert reason() == "MARKET_STATE"
    operate(desk, "K6", OperatorAction.SET_TRADING, Scope.SYMBOL, "X_USD", value="ACTIVE")
    assert reason(price="100.5") == "PRICE_INVALID"
    assert reason(account="nobody") == "ACCOUNT_UNKNOWN"
    assert reason() == "SYMBOL_RESTRICTED"
    set_limit(desk, "L4", Scope.ACCOUNT, "me", "restricted_symbols", "Y_USD")
    assert reason() == "ORDER_REPEATED"
    assert reason(3, 200) == "QUANTITY_EXCEEDS_MAXIMUM"
    assert reason(2, 200) == "NOTIONAL_EXCEEDS_MAXIMUM"
    assert reason(1, 200) == "PRICE_OUTSIDE_BAND"
    assert reason(2) == "OPEN_ORDERS_EXCEED_MAXIMUM"
    set_limit(desk, "L5", Scope.ACCOUNT, "me", "open_orders_max", "10")
    assert reason(2) == "MESSAGES_EXCEED_MAXIMUM"
    set_limit(desk, "L6", Scope.ACCOUNT, "me", "messages_max", "10")
    set_limit(desk, "L7", Scope.ACCOUNT, "me", "position_max", "2")
    assert reason(2) == "POSITION_EXCEEDS_MAXIMUM"
    set_limit(desk, "L8", Scope.ACCOUNT, "me", "position_max", "")
    assert reason(2) == "POSITION_EXCEEDS_MAXIMUM"
    set_limit(desk, "L9", Scope.ACCOUNT, "me", "position_max", "1000")
    set_limit(desk, "M1", Scope.ACCOUNT, "me", "credit_max", "150")
    assert reason(2) == "CREDIT_EXCEEDS_MAXIMUM"
    set_limit(desk, "M2", Scope.ACCOUNT, "me", "credit_max", "1000")
    assert reason(2) == "FUNDS_INSUFFICIENT"


def test_off_hours_come_before_an_off_tick_price():
    """D21: session and halt, then tick and lot."""
    closed = config_of(session=SessionConfig(hours="Mon-Fri 09:00-17:00"))
    clock = ManualClock()
    clock.jump(3600)  # 2023-11-14 23:13 UTC
    desk = Stepped(closed, clock=clock).start()
    assert desk.ask(buy("A", 1, 100)).reason is RejectReason.SESSION_CLOSED
    assert desk.ask(buy("B", 1, "100.5")).reason is RejectReason.SESSION_CLOSED


# --- two orders that only together are too much ---


@pytest.mark.parametrize(
    ("account", "code"),
    [
        ({"position_max": "10"}, RejectReason.POSITION_EXCEEDS_MAXIMUM),
        ({"credit_max": "1000"}, RejectReason.CREDIT_EXCEEDS_MAXIMUM),
        ({"open_orders_max": 1}, RejectReason.OPEN_ORDERS_EXCEED_MAXIMUM),
        ({"messages_max": 1}, RejectReason.MESSAGES_EXCEED_MAXIMUM),
        ({"duplicate_window_ns": SECOND}, RejectReason.ORDER_REPEATED),
    ],
)
def test_of_two_orders_in_one_turn_the_second_is_too_much(account, code):
    """Waiting or sent, what was accepted counts at once."""
    for config in (config_of, throttled):
        desk = Stepped(config(accounts={"me": AccountConfig(**account)})).start()
        desk.oms.on_data(buy("A", 6, 100))
        desk.oms.on_data(buy("B", 6, 100))
        first, second = sorted(desk.turn(), key=lambda report: report.client_order_id)
        assert first.type in (ResponseType.NEW, ResponseType.PENDING_NEW)
        assert (second.type, second.reason) == (ResponseType.REJECTED, code)


def test_of_two_threads_exactly_one_gets_the_last_room(start_manager):
    """Each pair of orders fits once; both are sent at the same time, a hundred times."""
    manager = start_manager(config_of(accounts={"me": AccountConfig(position_max="10")}))
    start = threading.Barrier(2)
    answers = {}

    def client(name):
        for n in range(100):
            start.wait(SOON_S)
            answers[name, n] = manager.submit(buy(f"{name}{n}", 6, 100)).result(SOON_S)
            start.wait(SOON_S)
            if answers[name, n].type is ResponseType.NEW:
                manager.submit(cancel(f"C{name}{n}", f"{name}{n}")).result(SOON_S)

    threads = [threading.Thread(target=client, args=(name,)) for name in "AB"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(SOON_S)

    for n in range(100):
        states = sorted(answers[name, n].state for name in "AB")
        assert states == [OrderState.NEW, OrderState.REJECTED]


# --- operators ---


def test_an_operators_limit_goes_before_the_configured_one():
    """Narrower, wider, none; and with nothing the configured one holds again."""
    # given ten lots at the most, by configuration
    desk = risky({"quantity_max": "10"}, {"open_orders_max": 5})

    # then an operator's word is what counts
    for n, (value, most) in enumerate([("3", 3), ("20", 20), ("0", 10_000), ("", 10)]):
        set_limit(desk, f"L{n}", Scope.SYMBOL, "X", "quantity_max", value)
        assert refusal_of(desk, buy(f"A{n}", most, 90)) == ""
        if value != "0":
            over = refusal_of(desk, buy(f"B{n}", most + 1, 90))
            assert over == f"QUANTITY_EXCEEDS_MAXIMUM: quantity={most + 1}, max={most}"

    # and of everybody's limit and the account's own, the own
    set_limit(desk, "everybody", Scope.ALL, "", "open_orders_max", "4")
    assert refusal_of(desk, buy("C", 1, 90)).endswith("open=5, max=4")
    set_limit(desk, "own", Scope.ACCOUNT, "me", "open_orders_max", "6")
    assert refusal_of(desk, buy("D", 1, 90)) == ""


@pytest.mark.parametrize("name", ["quantity_max", "notional_max", "quantity_min"])
@pytest.mark.parametrize("zero", ["0", "0.0", "00"])
def test_zero_is_no_limit_however_it_is_written(name, zero):
    """An operator lifts a configured limit."""
    desk = risky({name: "10"})
    set_limit(desk, "L", Scope.SYMBOL, "X", name, zero)
    assert refusal_of(desk, buy("A", 1 if name == "quantity_min" else 1000, 1)) == ""


def test_large_and_fine_limits_do_no_harm():
    """Twenty digits, twelve decimals: a limit is text, and exact."""
    desk = risky()
    huge, fine = "99999999999999999999", "0.000000000001"
    for n, (name, value) in enumerate(
        [("notional_max", huge), ("notional_min", fine), ("quantity_max", huge + ".5"),
         ("quantity_min", fine), ("price_band_bps", "999999999999999")]
    ):  # fmt: skip
        set_limit(desk, f"S{n}", Scope.SYMBOL, "X", name, value)
    for n, (name, value) in enumerate(
        [("position_max", huge), ("credit_max", huge), ("messages_window_s", fine),
         ("messages_max", "999999999999999"), ("duplicate_window_s", fine),
         ("open_orders_max", "999999999999999")]
    ):  # fmt: skip
        set_limit(desk, f"A{n}", Scope.ACCOUNT, "me", name, value)
    has_position(desk, 1)
    assert refusal_of(desk, buy("A", 10**9, 10**6)) == ""
    assert refusal_of(desk, modify("B", "A", quantity=10**9 + 1)) == ""


def test_limits_survive_a_restart_and_a_replay():
    """What an operator set, what was counted: the same afterwards, from journal or snapshot."""
    # given an operator's limits, a full window, and open orders
    store, clock = MemoryStore(), ManualClock()
    config = config_of(accounts={"me": AccountConfig(position_max="10", messages_max=4)})
    desk = Stepped(config, store=store, clock=clock).start()
    set_limit(desk, "L1", Scope.ACCOUNT, "me", "position_max", "8.000")
    set_limit(desk, "L2", Scope.SYMBOL, "X", "quantity_max", "6")
    set_limit(desk, "L3", Scope.ACCOUNT, "me", "duplicate_window_s", "60")
    set_limit(desk, "L4", Scope.ACCOUNT, "me", "messages_window_s", "60")
    desk.send(buy("A", 5, 100), buy("B", 2, 99), sell("S", 1, 100, account="you"))
    assert desk.digest() == desk.refolded()
    desk.stop()

    # when it starts again
    again = Stepped(config, store=store, clock=clock).start()

    # then all of it still holds
    assert again.digest() == again.refolded()
    assert refusal_of(again, buy("C", 7, 98)).endswith("quantity=7, max=6")
    assert refusal_of(again, buy("D", 2, 98)).endswith("position=9, max=8")
    assert refusal_of(again, buy("E", 2, 99)).startswith("ORDER_REPEATED")
    assert refusal_of(again, buy("F", 1, 98)) == ""
    assert refusal_of(again, sell("G", 1, 101)) == ""
    assert refusal_of(again, sell("H", 1, 102)).startswith("MESSAGES_EXCEED_MAXIMUM")
    assert again.digest() == again.refolded()


# --- reducing ---


@pytest.mark.parametrize("target", ["", "me"])
def test_who_may_only_reduce_may_go_as_far_as_zero(target):
    """Ten held: ten may be sold; eleven would be a short position, and buying is none of it."""
    desk = risky()
    has_position(desk, 10)
    scope = Scope.ACCOUNT if target else Scope.ALL
    operate(desk, "R", OperatorAction.SET_TRADING, scope, target, value="REDUCING")
    assert refusal_of(desk, sell("A", 11, 101)) == "REDUCING_ONLY: quantity=11, position=10"
    assert refusal_of(desk, buy("B", 1, 99)) == "REDUCING_ONLY: quantity=1, position=10"
    assert refusal_of(desk, sell("C", 10, 101)) == ""

    # and an order may not grow, but shrink
    assert refusal_of(desk, modify("D", "C", quantity=11)).startswith("REDUCING_ONLY: more=1")
    assert refusal_of(desk, modify("E", "C", quantity=5)) == ""

    # and a stranger is free if it is about one account
    stranger = refusal_of(desk, buy("F", 1, 99, account="other"))
    assert stranger.startswith("" if target else "REDUCING_ONLY")
    operate(desk, "O", OperatorAction.SET_TRADING, scope, target, value="ACTIVE")
    assert refusal_of(desk, buy("G", 1, 99)) == ""


def test_a_symbol_may_be_reduced_alone():
    """Whoever trades it brings positions down; the other symbol trades freely."""
    desk = risky()
    has_position(desk, 3)
    operate(desk, "R", OperatorAction.SET_TRADING, Scope.SYMBOL, "X", value="REDUCING")
    assert refusal_of(desk, buy("A", 1, 99)).startswith("REDUCING_ONLY")
    assert refusal_of(desk, sell("B", 4, 101)).startswith("REDUCING_ONLY")
    assert refusal_of(desk, sell("C", 3, 101)) == ""
    assert refusal_of(desk, buy("D", 1, 99, symbol="ALL")) == ""


def test_a_budget_reduces_nothing():
    """How many lots it buys is not known beforehand."""
    desk = risky()
    has_position(desk, -3)
    desk.send(sell("S", 9, 100, account="you"))
    operate(desk, "R", OperatorAction.SET_TRADING, Scope.ACCOUNT, "me", value="REDUCING")
    spend = OrderTerms(quote_quantity="900")
    assert refusal_of(desk, buy("A", None, terms=spend)).startswith("REDUCING_ONLY")
    assert refusal_of(desk, buy("B", 3)) == ""


def test_two_orders_may_not_reduce_the_same_position():
    """Ten held, and two orders to sell ten: together they would be ten short."""
    desk = risky()
    has_position(desk, 10)
    operate(desk, "R", OperatorAction.SET_TRADING, Scope.ACCOUNT, "me", value="REDUCING")
    told = brief(_reports(desk, sell("A", 10, 101), sell("B", 10, 102)))
    assert told == ["A NEW/NEW", "B REJECTED/REJECTED"]


def test_a_halted_account_may_not_trade_by_changing_an_order():
    """SET_TRADING HALTED sets orders aside: they may be changed, and trade by nothing of it."""
    desk = risky()
    desk.send(sell("S", 5, 105, account="you"), buy("A", 5, 100))
    for n, (scope, target) in enumerate([(Scope.ALL, ""), (Scope.ACCOUNT, "me")]):
        operate(desk, f"H{n}", OperatorAction.SET_TRADING, scope, target, value="HALTED")
        assert desk.send(modify(f"B{n}", "A", price=105)) == [f"B{n} REPLACED/SUSPENDED"]
        assert desk.send(modify(f"C{n}", "A", quantity=6)) == [f"C{n} REPLACED/SUSPENDED"]
        assert desk.send(modify(f"D{n}", "A", price=104 - n)) == [f"D{n} REPLACED/SUSPENDED"]
        operate(desk, f"O{n}", OperatorAction.SET_TRADING, scope, target, value="ACTIVE")
    assert desk.oms.get_depth("X", 5) == ([(103, 6)], [(105, 5)])


def _reports(desk, *requests):
    for request in requests:
        desk.oms.on_data(request)
    return desk.turn()


# --- held orders ---


def test_a_held_order_is_looked_at_anew_at_the_open():
    """Overnight the limits became narrower; the elder of two orders still fits."""
    # given two orders held over night
    clock = ManualClock()
    clock.jump(3600)  # 2023-11-14 23:13 UTC, a Tuesday
    config = config_of(session=SessionConfig(hours="Mon-Fri 09:00-17:00", outside_hours="hold"))
    desk = Stepped(config, clock=clock).start()
    desk.send(buy("A", 5, 100), buy("B", 5, 100), buy("C", 11, 100))

    # when an operator sets limits before the open
    set_limit(desk, "L1", Scope.SYMBOL, "X", "quantity_max", "10")
    set_limit(desk, "L2", Scope.ACCOUNT, "me", "position_max", "5")
    clock.advance(12 * 3600)
    desk.keep()
    told = desk.step()

    # then what is within them goes out
    assert set(told) == {"C REJECTED/REJECTED", "B REJECTED/REJECTED", "A NEW/NEW"}


def test_the_ledger_is_asked_last_and_limits_leave_no_trace():
    """A refused order changes neither counts nor money."""
    funded = ExchangeConfig(ledger=True, self_trade="none")
    accounts = {"me": AccountConfig(open_orders_max=1)}
    config = config_of(instruments=(X_USD,), exchange=funded, accounts=accounts)
    desk = Stepped(config).start()
    desk.ask(FundsRequest(account="me", client_order_id="c", action=FundsAction.CREATE))
    short = refusal_of(desk, buy("A", 1, 100, symbol="X_USD"))
    assert short == "FUNDS_INSUFFICIENT: asset=USD, needed=100, available=0"
    desk.ask(
        FundsRequest(
            account="me", client_order_id="d", action=FundsAction.DEPOSIT, asset="USD", amount=100
        )
    )
    assert refusal_of(desk, buy("B", 1, 100, symbol="X_USD")) == ""


# --- what is left ---


def room_of(desk, side=buy):
    """What the limits of "me" still allow, as a dry run says it; it must not matter of what."""
    dispatcher = desk.dispatcher
    return dry_run(dispatcher.intake, dispatcher.desk, side("T", 1, 1).line).room


def amounts_of(room):
    return room.orders, room.quantity, room.value


def test_an_order_of_the_room_that_is_left_is_accepted_and_one_unit_over_is_refused():
    """Of position, credit and open orders, with orders open on both sides, and a position."""
    limits = {"position_max": "10", "credit_max": "500", "open_orders_max": 4}
    desk = risky(account=limits)
    has_position(desk, 3)
    desk.send(buy("B", 2, 50), sell("S", 1, 120))
    bought, sold = room_of(desk), room_of(desk, sell)
    assert (bought.quantity, bought.value, bought.orders) == (5, 280, 2)
    assert (sold.quantity, sold.value, sold.orders) == (12, 280, 2)
    assert "POSITION_EXCEEDS_MAXIMUM" in refusal_of(desk, buy("C", 6, 1))
    assert "CREDIT_EXCEEDS_MAXIMUM" in refusal_of(desk, buy("D", 1, 281))
    assert desk.send(buy("E", 5, 56)) == ["E NEW/NEW"]
    left = room_of(desk)
    assert (left.lots, left.units, left.orders) == (0, 0, 1)


def test_no_limit_is_no_room_and_a_limit_that_was_lowered_leaves_nothing():
    desk = risky()
    assert room_of(desk) is None
    desk.send(buy("A", 5, 100), buy("B", 5, 100))
    set_limit(desk, "L", Scope.ACCOUNT, "me", "open_orders_max", "1")
    assert amounts_of(room_of(desk)) == (0, None, None)
    set_limit(desk, "M", Scope.ACCOUNT, "me", "gross_max", "1500")
    assert amounts_of(room_of(desk)) == (0, None, 500)


def test_a_group_s_limits_leave_what_all_of_its_members_leave():
    """The tighter one of each counts: the account's own, or the group's."""
    config = config_of(
        accounts={
            "me": AccountConfig(groups="desk", position_max="10"),
            "you": AccountConfig(groups="desk"),
        },
        account_groups={"desk": GroupConfig(position_max="12", credit_max="1000")},
    )
    desk = Stepped(config).start()
    desk.send(buy("A", 4, 100, account="you"))
    assert amounts_of(room_of(desk)) == (None, 8, 600)
    desk.send(buy("B", 1, 100))
    assert amounts_of(room_of(desk)) == (None, 7, 500)
