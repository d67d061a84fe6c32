"""The state machine of an order, row by row; and that no report contradicts FIX.

The rows are those of the table of states that DESIGN.md explains, T2 to T27, as far as an
exchange of our own has them. A report is a pair: what happened (ExecType), and how the order
stands since (OrdStatus).
"""

import random
from datetime import UTC, datetime

import pytest

from oms import ManualClock, MemoryStore, RejectReason, ResponseType
from oms.config import AccountConfig, ExchangeConfig, SessionConfig, ThrottleConfig
from oms.enums import OrderState, Phase, PostOnly, Scope, SelfTrade, Side, TimeInForce
from oms.errors import ValidationError
from oms.requests import MassCancelRequest, OperatorAction, OperatorRequest, OrderTerms
from tests.fakes import (
    SECOND,
    Stepped,
    brief,
    buy,
    cancel,
    config_of,
    modify,
    sell,
    throttled,
)

DAY, GTC, GTD = TimeInForce.DAY, TimeInForce.GTC, TimeInForce.GTD
IOC, FOK = TimeInForce.IOC, TimeInForce.FOK
MORNING = datetime(2024, 3, 4, 9, 0, tzinfo=UTC)  # a Monday
HOURS = SessionConfig(hours="Mon-Fri 09:00-17:00")


def morning(**sections):
    """A desk at nine, when its session begins."""
    sections.setdefault("session", HOURS)
    return Stepped(config_of(**sections), clock=ManualClock.at(MORNING)).start()


def later(desk, seconds):
    desk.clock.advance(seconds)
    desk.keep()
    return desk.step()


def stop(client_id, quantity, at, price=None, **more):
    return buy(client_id, quantity, price, terms=OrderTerms(stop_price=at), **more)


def operator(client_id, action, value="", scope=Scope.ALL, target=""):
    return OperatorRequest(
        client_order_id=client_id, action=action, value=value, scope=scope, target=target
    )


# --- new orders ---


def test_t2_an_order_that_fails_a_check_is_rejected():
    """Recorded, with a reason; nothing of it is open."""
    desk = Stepped(config_of(limits={"X": {"quantity_max": "10"}})).start()
    answer = desk.ask(buy("A", 15, 100))
    assert brief([answer]) == ["A REJECTED/REJECTED"]
    assert answer.text == "QUANTITY_EXCEEDS_MAXIMUM: quantity=15, max=10"
    assert (answer.cumulative_lots, answer.leaves_lots) == (0, 0)
    assert desk.oms.get_order("me", "A") == answer


def test_t3_an_order_that_must_wait_is_pending():
    """For a permit, or for the open."""
    desk = Stepped(throttled(1)).start()
    assert desk.send(buy("A", 1, 100), buy("B", 1, 100)) == [
        "A NEW/NEW", "B PENDING_NEW/PENDING_NEW",
    ]  # fmt: skip
    closed = morning()
    later(closed, 10 * 3600)
    assert closed.send(buy("C", 1, 100, hold=True)) == ["C PENDING_NEW/PENDING_NEW"]


@pytest.mark.parametrize(
    "cause",
    [
        MassCancelRequest(account="me", client_order_id="M"),
        operator("K", OperatorAction.KILL),
        operator("K", OperatorAction.KILL, scope=Scope.ACCOUNT, target="me"),
    ],
)
def test_t3_an_order_that_ends_in_the_turn_it_came_is_answered(cause):
    """It waits for a permit when it is taken back, before anything was told of it."""
    desk = Stepped(throttled(1)).start()
    desk.send(buy("A", 1, 100))
    answer = desk.oms.submit(buy("B", 1, 100))
    desk.oms.on_data(cause)
    desk.step()
    assert answer.done()


def test_t4_an_accepted_order_is_new_and_a_stop_is_suspended():
    """At once, or after it has waited."""
    desk = Stepped(throttled(2)).start()
    told = desk.send(buy("A", 1, 100), stop("B", 1, 120), buy("C", 1, 100), stop("D", 1, 120))
    assert told == [
        "A NEW/NEW", "B NEW/SUSPENDED", "C PENDING_NEW/PENDING_NEW", "D PENDING_NEW/PENDING_NEW",
    ]  # fmt: skip
    assert later(desk, 1) == ["C NEW/NEW", "D NEW/SUSPENDED"]


def test_t5_a_waiting_order_may_still_be_rejected():
    """When it is looked at anew, and when it meets a market that is closed to it."""
    # given a market order that waits for a permit
    desk = Stepped(throttled(1)).start()
    desk.send(buy("A", 1, 100), sell("B", 1))

    # when its market is halted meanwhile
    desk.send(operator("H", OperatorAction.SET_TRADING, "HALTED", Scope.SYMBOL, "X"))
    assert later(desk, 1) == ["B REJECTED/REJECTED"]

    # and when an account was halted over night
    night = morning()
    later(night, 10 * 3600)
    night.send(buy("C", 1, 100, hold=True))
    night.send(operator("H", OperatorAction.SET_TRADING, "HALTED", Scope.ACCOUNT, "me"))
    assert later(night, 14 * 3600) == ["C REJECTED/REJECTED"]


def test_t6_a_cancel_in_the_queue_wins():
    """It was never sent; the report has the cancel's id."""
    desk = Stepped(throttled(1)).start()
    desk.send(buy("A", 1, 100), buy("B", 1, 100))
    answer = desk.ask(cancel("C", "B"))
    assert brief([answer]) == ["C CANCELED/CANCELED"]
    assert (answer.leaves_lots, desk.waiting) == (0, [])


def test_t7_a_replace_in_the_queue_leaves_it_waiting():
    """Under its new id."""
    desk = Stepped(throttled(1)).start()
    desk.send(buy("A", 1, 100), buy("B", 1, 100))
    assert desk.send(modify("C", "B", quantity=3)) == ["C REPLACED/PENDING_NEW"]
    assert later(desk, 1) == ["C NEW/NEW"]


@pytest.mark.parametrize("more", [{"time_in_force": DAY}, {"time_in_force": IOC}, {"price": None}])
def test_t8_what_still_waits_at_the_close_expires(more):
    """DAY, IOC and market orders; what is good for longer waits on, and is told for what."""
    desk = morning(throttle=ThrottleConfig(sends_max=1))
    later(desk, 8 * 3600 - 0.5)
    desk.send(buy("A", 1, 100), buy("B", 1, **{"price": 100, **more}), buy("C", 1, 100))
    assert later(desk, 0.5) == ["B EXPIRED/EXPIRED", "C PENDING_NEW/PENDING_NEW"]
    assert desk.waiting == ["C"]
    assert desk.oms.get_order("me", "C").text == "HELD_SESSION"


# --- cancels ---


def pending(*requests):
    """Order A rests with 5 lots at 100; what is asked of it waits for a permit."""
    desk = Stepped(throttled(2)).start()
    desk.send(buy("A", 5, 100), buy("other", 1, 90, account="you"))
    return desk, desk.send(*requests)


def test_t9_a_cancel_that_waits_is_pending():
    """The order stays open meanwhile."""
    desk, told = pending(cancel("C", "A"))
    assert told == ["C PENDING_CANCEL/PENDING_CANCEL"]
    assert desk.oms.get_depth("X", 1)[0] == [(100, 5)]
    assert desk.ask(cancel("D", "A")).text == "ALREADY_PENDING"


def test_t10_a_trade_leaves_an_order_partially_filled():
    """Or pending, as long as a change is: the graver state is told."""
    desk = Stepped().start()
    told = desk.send(buy("A", 5, 100), sell("S", 2, 100))
    assert told[-1] == "A TRADE/PARTIALLY_FILLED"
    assert desk.send(sell("T", 2, 100))[-1] == "A TRADE/PARTIALLY_FILLED"


def test_t10_t11_a_trade_while_a_replace_is_pending_says_so():
    """Sellers wait before the change, and fill the order; the change then comes too late."""
    # given two sellers who wait for a permit, and a change behind them
    desk = Stepped(throttled(1)).start()
    desk.send(buy("A", 5, 100))
    desk.send(sell("S", 2, 100), sell("T", 3, 100), modify("C", "A", price=99))

    # when the permits come one by one, then the trades tell of the change, until it is answered
    assert later(desk, 1) == ["S NEW/NEW", "S TRADE/FILLED", "A TRADE/PENDING_REPLACE"]
    assert later(desk, 1) == [
        "T NEW/NEW", "T TRADE/FILLED", "A TRADE/PENDING_REPLACE", "C CANCEL_REJECTED/FILLED",
    ]  # fmt: skip


def test_t10_a_trade_while_a_cancel_is_pending_says_so():
    """The cancel waits for the link, an auction does not."""
    # given a crossed call, and a cancel that waits for the next permit
    desk = Stepped(throttled(2)).start()
    desk.send(operator("P", OperatorAction.SET_PHASE, "OPENING_AUCTION"))
    desk.send(buy("A", 5, 100), sell("S", 2, 100))
    assert desk.send(cancel("C", "A")) == ["C PENDING_CANCEL/PENDING_CANCEL"]

    # when the call ends before it is sent, then the trade says so, and the cancel takes the rest
    told = desk.send(operator("Q", OperatorAction.SET_PHASE, "CONTINUOUS"))
    assert told[:2] == ["A TRADE/PENDING_CANCEL", "S TRADE/FILLED"]
    assert later(desk, 1) == ["C CANCELED/CANCELED"]


def test_t11_the_last_trade_fills_an_order():
    """Nothing is open any more."""
    desk = Stepped().start()
    desk.send(buy("A", 5, 100))
    desk.oms.on_data(sell("S", 5, 100))
    last = desk.turn()[-1]
    assert brief([last]) == ["A TRADE/FILLED"]
    assert (last.cumulative_lots, last.leaves_lots) == (5, 0)


def test_t12_a_cancel_that_is_done_answers_under_its_own_id():
    """What was filled stays filled."""
    desk = Stepped().start()
    desk.send(buy("A", 5, 100), sell("S", 2, 100))
    answer = desk.ask(cancel("C", "A"))
    assert brief([answer]) == ["C CANCELED/CANCELED"]
    assert (answer.cumulative_lots, answer.leaves_lots, answer.text) == (2, 0, "")
    assert desk.oms.get_order("me", "A").state is OrderState.CANCELED


@pytest.mark.parametrize("end", ["FILLED", "CANCELED", "EXPIRED", "REJECTED"])
def test_t13_nothing_changes_an_order_that_is_over(end):
    """A cancel and a modify are told how it ended; of a rejected order, that there is none."""
    desk = Stepped().start()
    at_ns = desk.clock.wall_ns() + 1
    desk.send(
        {
            "EXPIRED": buy("A", 1, 100, time_in_force=GTD, terms=OrderTerms(expire_ns=at_ns)),
            "REJECTED": buy("A", "0.5", 100),
        }.get(end, buy("A", 1, 100))
    )
    if end == "FILLED":
        desk.send(sell("S", 1, 100))
    elif end == "CANCELED":
        desk.send(cancel("S", "A"))
    later(desk, 1e-9)
    for request in (cancel("C", "A"), modify("D", "A", price=99)):
        answer = desk.ask(request)
        assert answer.type is ResponseType.CANCEL_REJECTED
        assert answer.state == end
        unknown = end == "REJECTED"
        assert answer.text == ("UNKNOWN_ORDER: orig=A" if unknown else f"TOO_LATE: state={end}")


# --- modifies ---


def test_t14_a_replace_that_waits_is_pending():
    """The order keeps its terms until then."""
    desk, told = pending(modify("C", "A", price=99))
    assert told == ["C PENDING_REPLACE/PENDING_REPLACE"]
    assert desk.oms.get_depth("X", 1)[0] == [(100, 5)]
    assert later(desk, 1) == ["C REPLACED/NEW"]


def test_t14_a_replace_and_a_cancel_in_one_turn_are_each_told_as_they_are():
    """What happened and how the order stands go together: FIX knows no E with OrdStatus 6."""
    _, told = pending(modify("B", "A", price=99), cancel("C", "A"))
    assert told == ["B PENDING_REPLACE/PENDING_REPLACE", "C PENDING_CANCEL/PENDING_CANCEL"]


def test_t15_a_replaced_order_is_what_it_was():
    """New, partially filled, or suspended; its id is the new one."""
    desk = Stepped().start()
    desk.send(buy("A", 5, 100), stop("S", 1, 120))
    assert desk.send(modify("B", "A", quantity=6)) == ["B REPLACED/NEW"]
    assert desk.send(sell("T", 2, 100))[-1] == "B TRADE/PARTIALLY_FILLED"
    assert desk.send(modify("C", "B", quantity=4)) == ["C REPLACED/PARTIALLY_FILLED"]
    assert desk.oms.get_order("me", "A").leaves_lots == 2
    assert desk.send(modify("U", "S", quantity=2)) == ["U REPLACED/SUSPENDED"]


def test_t16_a_quantity_that_is_filled_already_ends_the_order():
    """Two of five are filled; the new total is two, or one."""
    for total in (2, 1):
        desk = Stepped().start()
        desk.send(buy("A", 5, 100), sell("S", 2, 100))
        answer = desk.ask(modify("C", "A", quantity=total))
        assert brief([answer]) == ["C REPLACED/FILLED"]
        assert (answer.cumulative_lots, answer.leaves_lots) == (2, 0)


def test_t17_a_refused_replace_leaves_the_order_untouched():
    """It says why, and how the order stands."""
    desk = Stepped(config_of(limits={"X": {"quantity_max": "10"}})).start()
    desk.send(buy("A", 5, 100), sell("S", 2, 100))
    answer = desk.ask(modify("C", "A", quantity=11))
    assert brief([answer]) == ["C CANCEL_REJECTED/PARTIALLY_FILLED"]
    assert (answer.reason, answer.leaves_lots) == (RejectReason.QUANTITY_EXCEEDS_MAXIMUM, 3)
    assert desk.dispatcher.desk.executions.find("me", "A").client_order_id == "A"


# --- what the market does ---


def test_t18_a_triggered_stop_is_new():
    """Then it goes on as what it has become."""
    desk = Stepped().start()
    desk.send(stop("A", 1, 100), stop("B", 1, 100, 101), sell("S", 1, 100), sell("T", 1, 101))
    told = desk.send(buy("C", 1, 100))
    assert told == [
        "C NEW/NEW", "C TRADE/FILLED", "S TRADE/FILLED",
        "A TRIGGERED/NEW", "A TRADE/FILLED", "T TRADE/FILLED", "B TRIGGERED/NEW",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("order", "told", "reason"),
    [
        ({"quantity": 3}, ["TRADE/PARTIALLY_FILLED", "CANCELED/CANCELED"],
         "INSUFFICIENT_LIQUIDITY: left=1"),
        ({"quantity": 3, "price": 100, "time_in_force": IOC},
         ["TRADE/PARTIALLY_FILLED", "CANCELED/CANCELED"], "INSUFFICIENT_LIQUIDITY: left=1"),
        ({"quantity": 3, "price": 100, "time_in_force": FOK}, ["CANCELED/CANCELED"],
         "INSUFFICIENT_LIQUIDITY: quantity=3, policy=FOK"),
        ({"quantity": 5, "price": 100, "terms": OrderTerms(min_quantity=3)},
         ["CANCELED/CANCELED"], "MIN_QUANTITY: fillable=2, min=3"),
    ],
)  # fmt: skip
def test_t19_what_may_not_rest_is_canceled(order, told, reason):
    """First New, then what could be filled, then the end with its reason."""
    desk = Stepped().start()
    desk.send(sell("S", 2, 100, account="you"))
    desk.oms.on_data(buy("A", **order))
    mine = [report for report in desk.turn() if report.account == "me"]
    assert brief(mine) == [f"A {pair}" for pair in ["NEW/NEW", *told]]
    assert mine[-1].text == reason


def test_t20_a_day_order_and_a_gtd_order_expire():
    """At the close, and at its instant."""
    desk = morning()
    noon_ns = desk.clock.wall_ns() + 3 * 3600 * SECOND
    desk.send(
        buy("A", 1, 100, time_in_force=DAY),
        buy("B", 1, 100, time_in_force=GTD, terms=OrderTerms(expire_ns=noon_ns)),
    )
    assert later(desk, 3 * 3600) == ["B EXPIRED/EXPIRED"]
    assert later(desk, 5 * 3600) == ["A EXPIRED/EXPIRED"]


@pytest.mark.parametrize(
    ("cause", "reason"),
    [
        (sell("S", 5, 100, terms=OrderTerms(self_trade=SelfTrade.CANCEL_OLDEST)), "SELF_TRADE"),
        (MassCancelRequest(account="me", client_order_id="M"), "MASS_CANCEL: by=me, id=M"),
        (operator("K", OperatorAction.KILL), "KILL_SWITCH"),
        (cancel("C", "STOP"), "OCO"),
    ],
)
def test_t21_a_cancel_that_nobody_asked_for_has_the_orders_own_id(cause, reason):
    """And says what it was."""
    desk = Stepped().start()
    desk.send(sell("STOP", 1, terms=OrderTerms(stop_price=80)) if reason != "OCO" else
              stop("STOP", 1, 120))  # fmt: skip
    desk.send(buy("A", 5, 100, terms=OrderTerms(oco_with="STOP") if reason == "OCO" else None))
    desk.oms.on_data(cause)
    (report,) = [r for r in desk.turn() if r.client_order_id == "A"]
    assert brief([report]) == ["A CANCELED/CANCELED"]
    assert (report.text, report.request_seq, report.leaves_lots) == (reason, 0, 0)


def test_t22_t23_what_stays_over_night_is_done_for_the_day_and_comes_back():
    """With done_for_day = yes; its open quantity is kept."""
    # given what is good till canceled, new, half filled, and suspended
    session = SessionConfig(hours="Mon-Fri 09:00-17:00", done_for_day=True)
    desk = morning(session=session)
    desk.send(buy("A", 5, 100), sell("S", 2, 100), buy("B", 1, 99), stop("C", 1, 120))

    # when the session is closed, then both are done for the day
    desk.clock.advance(8 * 3600)
    desk.keep()
    reports = desk.turn()
    assert brief(reports) == ["A DONE_FOR_DAY/DONE_FOR_DAY", "B DONE_FOR_DAY/DONE_FOR_DAY"]
    assert [report.leaves_lots for report in reports] == [3, 1]

    # and at the next open they are what they were
    assert later(desk, 16 * 3600) == ["A RESTATED/PARTIALLY_FILLED", "B RESTATED/NEW"]
    assert desk.send(sell("T", 3, 100))[-1] == "A TRADE/FILLED"


def test_t22_an_order_that_is_done_for_the_day_may_be_canceled():
    """At night, at once."""
    desk = morning(session=SessionConfig(hours="Mon-Fri 09:00-17:00", done_for_day=True))
    desk.send(buy("A", 5, 100))
    later(desk, 8 * 3600)
    assert brief([desk.ask(cancel("C", "A"))]) == ["C CANCELED/CANCELED"]


def test_t26_a_repeat_is_answered_with_how_the_order_stands():
    """The same request again; it changes nothing."""
    desk = Stepped().start()
    desk.send(buy("A", 5, 100), stop("B", 1, 120))
    assert desk.send(buy("A", 5, 100)) == ["A ORDER_STATUS/NEW"]
    desk.send(sell("S", 2, 100))
    assert desk.send(buy("A", 5, 100)) == ["A ORDER_STATUS/PARTIALLY_FILLED"]
    desk.send(sell("T", 3, 100))
    assert desk.send(buy("A", 5, 100)) == ["A ORDER_STATUS/FILLED"]


def test_t27_a_restart_tells_nothing_and_changes_nothing():
    """Orders of every state are as they were."""
    # given one order each
    store, clock = MemoryStore(), ManualClock()
    desk = Stepped(throttled(5), store=store, clock=clock).start()
    desk.send(
        buy("A", 5, 100), sell("S", 2, 100), buy("B", 1, 99), stop("C", 1, 120), buy("D", 1, 90),
        buy("E", 1, 90),
    )  # fmt: skip
    states = {r.client_order_id: r.state for r in desk.oms.open_orders("me")}
    assert states == {
        "A": "PARTIALLY_FILLED", "B": "NEW", "C": "SUSPENDED", "D": "NEW", "E": "PENDING_NEW",
    }  # fmt: skip
    digest = desk.digest()
    desk.stop()

    # when it starts again, without a permit yet
    told = []
    again = Stepped(throttled(5), store=store, clock=clock)
    again.oms.add_listener(told.append)
    again.start()

    # then nobody hears of it
    assert told == []
    assert {r.client_order_id: r.state for r in again.oms.open_orders("me")} == states
    assert again.digest() == again.refolded() != digest  # it counts the restart itself
    assert later(again, 1.05) == ["E NEW/NEW"]  # a send counts up to 50 ms after its turn began


# --- a long run: every pair is legal, every order has one end ---

S = OrderState
ANY = set(S) - {S.UNKNOWN}
# ExecType -> the OrdStatus it goes with. A suspended stop is NEW to who speaks FIX 4.4.
LEGAL = {
    ResponseType.PENDING_NEW: {S.PENDING_NEW},
    ResponseType.NEW: {S.NEW, S.SUSPENDED},
    ResponseType.TRADE: {S.PARTIALLY_FILLED, S.FILLED, S.PENDING_CANCEL, S.PENDING_REPLACE},
    ResponseType.CANCELED: {S.CANCELED},
    ResponseType.REPLACED: {
        S.PENDING_NEW, S.NEW, S.SUSPENDED, S.PARTIALLY_FILLED, S.FILLED, S.PENDING_REPLACE,
    },
    ResponseType.PENDING_CANCEL: {S.PENDING_CANCEL},
    ResponseType.PENDING_REPLACE: {S.PENDING_REPLACE},
    ResponseType.REJECTED: {S.REJECTED},
    ResponseType.EXPIRED: {S.EXPIRED},
    ResponseType.DONE_FOR_DAY: {S.DONE_FOR_DAY},
    ResponseType.RESTATED: {S.NEW, S.PARTIALLY_FILLED, S.SUSPENDED},
    ResponseType.TRIGGERED: {S.NEW},
    ResponseType.ORDER_STATUS: ANY,
    ResponseType.CANCEL_REJECTED: ANY,  # another message in FIX, with any state
}  # fmt: skip
OF_A_DUPLICATE = {
    S.PENDING_NEW, S.NEW, S.SUSPENDED, S.PARTIALLY_FILLED, S.FILLED, S.CANCELED, S.EXPIRED,
}  # fmt: skip
# What happens to an order while its owner has asked for a change: the graver state is told, as
# with trades. The matrix of FIX has no word on it.
UNASKED = (ResponseType.RESTATED, ResponseType.TRIGGERED, ResponseType.DONE_FOR_DAY)
BY_PRECEDENCE = {S.PENDING_CANCEL, S.PENDING_REPLACE}
ANSWERS = (ResponseType.ORDER_STATUS, ResponseType.CANCEL_REJECTED)
RANK = {S.PENDING_NEW: 0, S.SUSPENDED: 1, S.NEW: 2, S.PARTIALLY_FILLED: 3}


class Witness:
    """Hears every report, and remembers what became of every order."""

    def __init__(self):
        self.ends, self.ranks, self.filled = set(), {}, {}
        self.executions, self.pairs = set(), set()

    def hear(self, report):
        if report.state is None:
            return  # of a command
        duplicate = report.reason is RejectReason.DUPLICATE_ID
        legal = LEGAL[report.type]
        if duplicate and report.type is ResponseType.REJECTED:
            legal = legal | OF_A_DUPLICATE
        if report.type in UNASKED:
            legal = legal | BY_PRECEDENCE
        assert report.state in legal, report
        self.pairs.add((report.type, report.state))
        assert report.execution_id not in self.executions
        self.executions.add(report.execution_id)
        if report.type not in ANSWERS and not duplicate:
            self._follow(report)

    def _follow(self, report):
        """Nothing after an end, no step back, nothing open at an end, fills only grow."""
        order = report.order_id
        assert order not in self.ends, report
        if report.state.terminal:
            assert report.leaves_lots == 0
            self.ends.add(order)
        assert report.cumulative_lots >= self.filled.get(order, 0)
        self.filled[order] = report.cumulative_lots
        if report.type is ResponseType.RESTATED and report.state is S.SUSPENDED:
            self.ranks.pop(order, None)  # a halt takes it out of the book, and it comes back
        if report.state in RANK:
            assert RANK[report.state] >= self.ranks.get(order, 0), report
            self.ranks[order] = RANK[report.state]


class Crowd:
    """Random requests of three accounts and an operator."""

    def __init__(self, seed, clock):
        self.random, self.clock, self.count, self.ids = random.Random(seed), clock, 0, []

    def request(self):
        """The next request; ValidationError if it is nonsense."""
        pick = self.random.random()
        self.count += 1
        if pick < 0.55:
            return self.new()
        if pick < 0.75 and self.ids:
            account, orig = self.random.choice(self.ids[-30:])
            if pick < 0.66:
                return cancel(f"{self.count}", orig, account=account)
            self.ids.append((account, f"{self.count}"))
            return self.change(account, orig)
        return self.command(pick) if pick > 0.96 else self.new()

    def new(self):
        choose, account = self.random.choice, self.random.choice(["me", "you", "they"])
        client_id = f"{self.count}" if self.random.random() > 0.03 else f"{self.count // 2}"
        order = choose([buy, sell])
        price = choose([None, 98, 99, 100, 101, 102])
        tif = choose([GTC, GTC, DAY, GTD, IOC, FOK])
        terms = {"expire_ns": self.clock.wall_ns() + choose([1, 9]) * SECOND} if tif is GTD else {}
        kind = choose(["", "", "stop", "iceberg", "post", "min", "oco", "budget"])
        if kind == "stop":
            terms["stop_price"] = choose([97, 99, 101, 103])
        elif kind == "iceberg":
            terms["display_quantity"] = 2
        elif kind == "post":
            terms["post_only"] = choose(list(PostOnly))
        elif kind == "min":
            terms["min_quantity"] = 3
        elif kind == "oco" and self.ids:
            account, terms["oco_with"] = choose(self.ids[-30:])
        if kind == "budget":
            terms["quote_quantity"] = 500
        terms["self_trade"] = choose([None, *SelfTrade])
        quantity = None if kind == "budget" else choose([1, 2, 5, 9, 99])
        request = order(
            client_id, quantity, price, account=account, time_in_force=tif,
            terms=OrderTerms(**terms), hold=choose([True, False]),
        )  # fmt: skip
        self.ids.append((account, client_id))
        return request

    def change(self, account, orig):
        choose = self.random.choice
        news = choose([{"price": choose([98, 100, 102])}, {"quantity": choose([1, 4, 9])}])
        if self.random.random() < 0.2:
            news["terms"] = OrderTerms(stop_price=choose([98, 102]))
        return modify(f"{self.count}", orig, account=account, **news)

    def command(self, pick):
        if pick < 0.97:
            account = self.random.choice(["me", "you"])
            side = self.random.choice([None, *Side])
            return MassCancelRequest(account=account, client_order_id=f"{self.count}", side=side)
        if pick < 0.98:
            scope, target = self.random.choice([(Scope.ACCOUNT, "me"), (Scope.SYMBOL, "X")])
            state = self.random.choice(["HALTED", *["ACTIVE"] * 4])
            return operator(f"{self.count}", OperatorAction.SET_TRADING, state, scope, target)
        if pick < 0.981:
            return operator(f"{self.count}", OperatorAction.KILL)
        if pick < 0.985:
            phase = self.random.choice([*Phase, *[Phase.CONTINUOUS] * 29])
            return operator(f"{self.count}", OperatorAction.SET_PHASE, phase.value)
        return operator(f"{self.count}", OperatorAction.SET_TRADING, "ACTIVE")


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("sends_max", [0, 4])
def test_every_report_of_a_long_run_is_legal(seed, sends_max):
    """Every type of order, every phase, kills, halts, nights; with and without a throttle."""
    # given a short session every hour, the last of the day to begin with
    hours = ", ".join(f"Mon-Sun {hour:02}:00-{hour:02}:50" for hour in range(24))
    throttle = ThrottleConfig(sends_max=sends_max) if sends_max else ThrottleConfig(policy="off")
    session = SessionConfig(
        hours=hours, opening_auction_ns=300 * SECOND, closing_auction_ns=300 * SECOND,
        done_for_day=bool(seed % 2),
    )  # fmt: skip
    exchange = ExchangeConfig(self_trade="cancel_newest", reopening_auction_ns=5 * SECOND)
    config = config_of(
        session=session, throttle=throttle, exchange=exchange,
        accounts={"they": AccountConfig(open_orders_max=20, position_max="300")},
    )  # fmt: skip
    clock = ManualClock.at(MORNING.replace(hour=23))
    desk = Stepped(config, clock=clock).start()
    witness, crowd = Witness(), Crowd(seed, clock)

    # when many requests come, some at a time
    for turn in range(400):
        answers = []
        for _ in range(crowd.random.choice([1, 1, 3, 6])):
            try:
                answers.append(desk.oms.submit(crowd.request()))
            except ValidationError:
                continue
        for report in desk.turn():
            witness.hear(report)
        clock.advance(crowd.random.choice([0, 0.1, 1, 5, 600 if turn % 9 == 0 else 0]))
        desk.keep()

        # then each has an answer
        assert all(answer.done() for answer in answers)

    # and many kinds of reports were heard, and a replay tells the same
    assert len(witness.pairs) > 15
    assert desk.digest() == desk.refolded()
