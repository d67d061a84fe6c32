"""Halted means no trade, reducing means reducing: whatever an order does, it is asked when it acts.

Resting orders, woken stops, auctions, orders that waited: of each a case that traded while it was
looked at only when it came in.
"""

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from oms import ManualClock, MemoryStore, RejectReason, ResponseType
from oms.config import AccountConfig, ExchangeConfig, SessionConfig
from oms.enums import OrderState, Phase, PostOnly, Scope, TimeInForce
from oms.requests import MassCancelRequest, OperatorAction, OperatorRequest, OrderTerms
from tests.fakes import (
    INSTRUMENTS,
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

OPEN = ExchangeConfig(self_trade="none", reopening_auction_ns=0)
CANCELS = replace(OPEN, on_halt="cancel")
SCOPES = {
    "all": (Scope.ALL, ""), "account": (Scope.ACCOUNT, "me"), "symbol": (Scope.SYMBOL, "X"),
}  # fmt: skip


class Floor:
    """A desk, and an operator who sets who may trade."""

    def __init__(self, exchange=OPEN, *, config=None, **parts):
        self.config = config or config_of(exchange=exchange)
        self.parts = {"clock": ManualClock(), "store": MemoryStore(), **parts}
        self.desk = Stepped(self.config, **self.parts).start()
        self.count = 0
        self.send, self.ask = self.desk.send, self.desk.ask

    def operate(self, value, scope="account", action=OperatorAction.SET_TRADING):
        """What it set off, without the answer; the answer is that it was done."""
        self.count += 1
        name, (scope, target) = f"op{self.count}", SCOPES[scope]
        told = self.send(
            OperatorRequest(
                client_order_id=name, action=action, scope=scope, target=target, value=value
            )
        )
        told.remove(f"{name} COMMAND_DONE/None")
        return told

    def position(self, lots):
        """So many of X for the account "me"."""
        sides = (buy, sell) if lots > 0 else (sell, buy)
        first, second = (side("p" + side.__name__, abs(lots), 100) for side in sides)
        self.send(first, replace_account(second))
        assert self.positions == {("me", "X"): lots, ("you", "X"): -lots}

    @property
    def positions(self):
        return dict(self.desk.dispatcher.desk.executions.positions)

    @property
    def depth(self):
        return self.desk.oms.get_depth("X", 9)

    def restart(self):
        self.desk.stop()
        self.desk = Stepped(self.config, **self.parts).start()
        self.send, self.ask = self.desk.send, self.desk.ask
        assert self.desk.digest() == self.desk.refolded()


def replace_account(request):
    make = buy if request.side == "BUY" else sell
    return make(request.client_order_id, request.quantity, request.price, account="you")


def stop(side, client_id, quantity, at, **more):
    return side(client_id, quantity, terms=OrderTerms(stop_price=at), **more)


# --- halted: no trade ---


@pytest.mark.parametrize("scope", SCOPES)
def test_what_rests_leaves_the_visible_book_and_comes_back_in_its_place(scope):
    """It keeps its time: who came between the two still does."""
    # given three orders at one price, the middle one a stranger's
    floor = Floor()
    floor.send(buy("A", 1, 100), buy("B", 2, 100, account="you"), buy("C", 4, 100))

    # when trading is halted
    told = floor.operate("HALTED", scope)

    # then what may not trade is suspended and shown to nobody
    others = scope == "account"
    names = ["A", "C"] if others else ["A", "B", "C"]
    assert told == [f"{name} RESTATED/SUSPENDED" for name in names]
    assert floor.depth == ([(100, 2)] if others else [], [])
    floor.restart()

    # and it comes back where it was
    assert floor.operate("ACTIVE", scope) == [f"{name} RESTATED/NEW" for name in names]
    assert floor.depth == ([(100, 7)], [])
    told = floor.send(sell("S", 3, 100, account="them"))
    assert [line for line in told if "S " not in line] == ["A TRADE/FILLED", "B TRADE/FILLED"]
    assert floor.desk.digest() == floor.desk.refolded()


@pytest.mark.parametrize("scope", ["all", "account"])
def test_a_halted_order_does_not_trade_in_an_auction(scope):
    """What a call gathered is asked when it uncrosses."""
    # given a crossed book in a call
    floor = Floor()
    floor.operate("OPENING_AUCTION", "symbol", OperatorAction.SET_PHASE)
    floor.send(buy("A", 5, 102), sell("B", 5, 98, account="you"))

    # when trading is halted before it uncrosses, then nothing trades
    floor.operate("HALTED", scope)
    assert floor.operate("CONTINUOUS", "symbol", OperatorAction.SET_PHASE) == []
    assert floor.positions == {}


def test_a_halted_accounts_stop_wakes_and_waits():
    """Its price is reached; it goes when the account may trade and the price is still there."""
    # given a stop, and somebody to sell to it
    floor = Floor()
    floor.send(sell("O", 9, 105, account="you"), stop(buy, "S", 1, 105))
    floor.operate("HALTED")

    # when its price is traded, then it does not
    told = floor.send(buy("T", 1, 105, account="they"))
    assert told == ["T NEW/NEW", "T TRADE/FILLED", "O TRADE/PARTIALLY_FILLED"]
    floor.restart()

    # and it goes with the halt
    assert floor.operate("ACTIVE") == [
        "S TRIGGERED/NEW", "S TRADE/FILLED", "O TRADE/PARTIALLY_FILLED",
    ]  # fmt: skip


def test_a_woken_stop_whose_price_has_gone_when_the_halt_ends_waits_for_the_next():
    """It is where it was before the halt."""
    floor = Floor()
    floor.send(sell("O", 9, 105, account="you"), stop(buy, "S", 1, 105))
    floor.operate("HALTED")
    floor.send(buy("T", 1, 105, account="they"))
    floor.send(sell("P", 1, 90, account="you"), buy("Q", 1, 90, account="they"))
    assert floor.operate("ACTIVE") == []
    assert floor.send(buy("R", 1, 105, account="they"))[-2:] == [
        "S TRADE/FILLED", "O TRADE/PARTIALLY_FILLED",
    ]  # fmt: skip


def test_one_that_would_cross_when_it_comes_back_is_canceled():
    """The market moved on without it: it neither trades at once, nor crosses the book."""
    floor = Floor()
    floor.send(buy("A", 5, 100), buy("B", 5, 98))
    floor.operate("HALTED")
    floor.send(sell("O", 1, 99, account="you"))
    assert floor.operate("ACTIVE") == ["A CANCELED/CANCELED", "B RESTATED/NEW"]
    assert floor.desk.oms.get_order("me", "A").text == "HALTED: price=100, best=99"
    assert floor.depth == ([(98, 5)], [(99, 1)])


@pytest.mark.parametrize("call_s", [0, 60])
def test_what_crosses_after_a_halt_of_all_is_uncrossed(call_s):
    """A call gathered it, a halt came before its end: nobody was passed over, so all trade."""
    floor = Floor(replace(OPEN, reopening_auction_ns=call_s * SECOND))
    floor.operate("OPENING_AUCTION", "symbol", OperatorAction.SET_PHASE)
    floor.send(buy("A", 5, 101), sell("B", 5, 99, account="you"))
    floor.operate("HALTED", "all")
    floor.operate("CONTINUOUS", "symbol", OperatorAction.SET_PHASE)
    told = floor.operate("ACTIVE", "all")
    trades = ["A TRADE/FILLED", "B TRADE/FILLED"]
    assert told == ["A RESTATED/NEW", "B RESTATED/NEW", *([] if call_s else trades)]
    floor.desk.clock.advance(call_s)
    assert floor.desk.step() == (trades if call_s else [])


def test_what_is_set_aside_may_be_changed_and_canceled():
    """Also to more, or another price, which costs its place; nothing trades by it."""
    # given three suspended orders, and one of somebody else at their price
    floor = Floor()
    floor.send(buy("A", 2, 100), buy("B", 2, 100), buy("C", 2, 100))
    floor.send(buy("Y", 2, 100, account="you"), sell("O", 2, 101, account="you"))
    floor.operate("HALTED")

    # when they are changed: less, more, gone
    assert floor.send(modify("A2", "A", quantity=1)) == ["A2 REPLACED/SUSPENDED"]
    assert floor.send(modify("B2", "B", quantity=3)) == ["B2 REPLACED/SUSPENDED"]
    assert floor.send(modify("B3", "B2", price=101)) == ["B3 REPLACED/SUSPENDED"]
    assert floor.send(modify("B4", "B3", price=100)) == ["B4 REPLACED/SUSPENDED"]
    assert floor.send(cancel("C2", "C")) == ["C2 CANCELED/CANCELED"]
    floor.restart()

    # then less kept its place, and more is behind the stranger
    floor.operate("ACTIVE")
    book = floor.desk.dispatcher.desk.engine.markets["X"].book
    book.check()
    assert [order.client_order_id for order in book.orders()] == ["A2", "Y", "B4", "O"]


def test_an_iceberg_comes_back_with_what_it_showed():
    """Half of its slice was traded."""
    floor = Floor()
    floor.send(buy("A", 10, 100, terms=OrderTerms(display_quantity=4)))
    floor.send(sell("S", 3, 100, account="you"))
    floor.operate("HALTED")
    floor.restart()
    assert floor.operate("ACTIVE") == ["A RESTATED/PARTIALLY_FILLED"]
    assert floor.depth == ([(100, 1)], [])
    floor.desk.dispatcher.desk.engine.markets["X"].book.check()


@pytest.mark.parametrize("scope", SCOPES)
def test_a_setting_cancels_instead(scope):
    """on_halt = cancel: what rests at once, a stop when it wakes."""
    floor = Floor(CANCELS)
    floor.send(buy("A", 5, 100), stop(buy, "S", 1, 105))
    assert floor.operate("HALTED", scope) == ["A CANCELED/CANCELED"]
    code = {"all": "KILL_SWITCH", "account": "ACCOUNT_HALTED", "symbol": "HALTED"}[scope]
    assert floor.desk.oms.get_order("me", "A").reason is RejectReason[code]
    if scope == "account":
        floor.send(sell("O", 1, 105, account="you"))
        assert floor.send(buy("T", 1, 105, account="they"))[-1] == "S CANCELED/CANCELED"


def test_a_canceled_order_of_a_pair_takes_the_other_with_it():
    """on_halt = cancel: a woken stop that may not trade goes, and so does its limit order."""
    floor = Floor(CANCELS)
    floor.send(stop(sell, "S", 5, 90), sell("L", 5, 110, terms=OrderTerms(oco_with="S")))
    assert floor.operate("HALTED") == ["L CANCELED/CANCELED", "S CANCELED/CANCELED"]
    assert floor.desk.dispatcher.desk.executions.orders == {}


def test_a_kill_takes_what_a_halt_has_set_aside():
    """And a mass cancel, and the end of the day: suspended orders are open orders."""
    floor = Floor()
    floor.send(buy("A", 5, 100))
    floor.operate("HALTED")
    assert floor.operate("", "all", OperatorAction.KILL) == ["A CANCELED/CANCELED"]
    assert floor.desk.dispatcher.desk.engine.markets["X"].aside == {}


# --- what waited ---


def test_who_waited_for_the_throttle_while_its_market_was_halted_gets_what_a_fresh_order_gets():
    """Refused; or it waits until the halt is over, if it asked for that."""
    # given two orders that wait for the throttle, the second of which may be held
    floor = Floor(config=throttled(1, exchange=OPEN))
    floor.send(buy("F", 1, 90), buy("A", 1, 100), buy("B", 2, 99, hold=True))

    # when the market is halted before their turn
    floor.operate("HALTED", "symbol")
    told = []
    for _ in range(3):
        floor.desk.clock.advance(1)
        told += floor.desk.step()
    assert told == ["A REJECTED/REJECTED"]
    refused = floor.desk.oms.get_order("me", "A")
    assert refused.text == "MARKET_STATE: phase=HALTED, type=LIMIT, tif=GTC"
    assert floor.desk.waiting == ["B"]
    floor.restart()
    assert floor.desk.waiting == ["B"]

    # then the one that was held goes when trading does
    floor.desk.clock.advance(1)
    floor.operate("ACTIVE", "symbol")
    floor.desk.clock.advance(1)
    floor.desk.step()
    assert floor.depth == ([(99, 2), (90, 1)], [])
    assert floor.desk.digest() == floor.desk.refolded()


def test_an_order_held_in_a_halt_may_be_changed_and_canceled():
    """It waits like any other, and stands in nobody's way."""
    floor = Floor()
    floor.operate("HALTED", "symbol")
    for name in "AB":
        assert floor.ask(buy(name, 1, 100, hold=True)).text == "HELD_HALT"
    assert floor.send(buy("Z", 1, 100, symbol="ALL")) == ["Z NEW/NEW"]
    assert floor.ask(modify("A2", "A", quantity=2)).type is ResponseType.REPLACED
    assert floor.ask(cancel("B2", "B")).type is ResponseType.CANCELED
    floor.restart()
    assert floor.operate("ACTIVE", "symbol") == ["A2 NEW/NEW"]
    assert floor.depth == ([(100, 2)], [])


def test_a_halted_account_is_looked_at_again_when_what_was_held_may_go():
    """Its market trades again, it does not."""
    floor = Floor()
    floor.operate("HALTED", "symbol")
    floor.ask(buy("A", 1, 100, hold=True))
    floor.operate("HALTED", "account")
    assert floor.operate("ACTIVE", "symbol") == ["A REJECTED/REJECTED"]
    assert floor.desk.oms.get_order("me", "A").reason is RejectReason.ACCOUNT_HALTED


# --- reducing ---


def test_what_rests_may_not_take_a_position_further():
    """Ten long: a bid goes; of the offers as many as bring it to zero stay, the best first."""
    # given a position, a bid, and offers of 14
    floor = Floor()
    floor.position(10)
    floor.send(buy("B", 5, 99), sell("S2", 4, 102), sell("S1", 8, 101), sell("S3", 2, 103))

    # when the account may only reduce
    told = floor.operate("REDUCING")

    # then what would take it beyond zero is out
    assert told == ["B RESTATED/SUSPENDED", "S2 RESTATED/SUSPENDED"]
    assert floor.depth == ([], [(101, 8), (103, 2)])
    floor.send(sell("O", 5, 99, account="you"), buy("T", 99, 103, account="you"))
    assert ("me", "X") not in floor.positions
    assert floor.operate("ACTIVE") == ["S2 CANCELED/CANCELED", "B RESTATED/NEW"]


@pytest.mark.parametrize("scope", SCOPES)
def test_a_woken_stop_may_not_turn_a_position(scope):
    """Ten long, an offer of ten rests: the stop of ten has nothing left to reduce."""
    floor = Floor()
    floor.position(10)
    floor.send(sell("L", 10, 110), stop(sell, "S", 10, 90))
    floor.send(buy("O", 10, 89, account="you"))
    floor.operate("REDUCING", scope)
    market = floor.desk.dispatcher.desk.engine.markets["X"]
    floor.desk.dispatcher.desk.engine.rules.trigger(market, 90)  # as a trade does
    floor.desk.dispatcher.desk.cascade()
    assert list(market.aside) == [floor.desk.oms.get_order("me", "S").order_id]
    assert floor.positions["me", "X"] == 10


def test_of_a_pair_the_woken_stop_reduces():
    """Its limit order goes when it triggers, and is not counted beside it."""
    floor = Floor()
    floor.position(10)
    floor.send(stop(sell, "S", 10, 95), sell("L", 10, 110, terms=OrderTerms(oco_with="S")))
    floor.operate("REDUCING")
    floor.send(buy("O", 20, 95, account="you"))
    told = floor.send(sell("T", 1, 95, account="they"))
    assert told[-2:] == ["S TRADE/FILLED", "O TRADE/PARTIALLY_FILLED"]
    assert ("me", "X") not in floor.positions


def test_reducing_may_not_sweep_beyond_zero_in_an_auction():
    """In a call the same orders gather, and the same are left."""
    floor = Floor()
    floor.position(10)
    floor.operate("OPENING_AUCTION", "symbol", OperatorAction.SET_PHASE)
    floor.send(sell("S1", 8, 99), sell("S2", 8, 98), buy("B", 30, 101, account="you"))
    floor.operate("REDUCING")
    floor.operate("CONTINUOUS", "symbol", OperatorAction.SET_PHASE)
    assert floor.positions["me", "X"] == 2


def test_a_bust_takes_room():
    """Ten were bought, four of them are taken back: an offer of ten is too much now."""
    floor = Floor()
    floor.position(6)
    floor.send(buy("B4", 4, 100), sell("S4", 4, 100, account="you"))
    floor.send(sell("L", 10, 110))
    floor.operate("REDUCING")
    order_id = floor.desk.oms.get_order("me", "B4").order_id
    name = floor.desk.store.reports_of(order_id)[-1].execution_id
    floor.desk.oms.on_data(
        OperatorRequest(client_order_id="bust", action=OperatorAction.BUST, name=name)
    )
    assert "L RESTATED/SUSPENDED" in brief(floor.desk.turn())
    assert floor.depth == ([], [])


def test_a_bust_gives_room():
    """Four of ten were sold, and are not any more: eight may be sold again."""
    floor = Floor()
    floor.position(10)
    floor.send(buy("B4", 4, 100, account="you"), sell("S4", 4, 100), sell("L", 8, 110))
    assert floor.operate("REDUCING") == ["L RESTATED/SUSPENDED"]
    order_id = floor.desk.oms.get_order("me", "S4").order_id
    name = floor.desk.store.reports_of(order_id)[-1].execution_id
    bust = OperatorRequest(client_order_id="bust", action=OperatorAction.BUST, name=name)
    assert "L RESTATED/NEW" in floor.send(bust)
    assert floor.depth == ([], [(110, 8)])


def reduced(first=None):
    """Ten long, eight offered at 101, and eight at 102 that there is no room for."""
    floor = Floor()
    floor.position(10)
    floor.send(first or sell("S1", 8, 101), sell("S2", 8, 102))
    assert floor.operate("REDUCING") == ["S2 RESTATED/SUSPENDED"]
    return floor


@pytest.mark.parametrize(
    ("free", "told"),
    [
        (lambda: cancel("C", "S1"), ["C CANCELED/CANCELED"]),
        (lambda: modify("M", "S1", quantity=2), ["M REPLACED/NEW"]),
        (lambda: MassCancelRequest(account="other", client_order_id="X"), None),
        (lambda: modify("M", "S2", quantity=2), ["M REPLACED/SUSPENDED"]),
    ],
    ids=["canceled", "less", "nothing", "its own"],
)
@pytest.mark.parametrize("restarts", [False, True])
def test_what_is_set_aside_comes_back_when_there_is_room(free, told, restarts):
    """At once, with what freed it; before, it waited for an operator, who found it crossed."""
    floor = reduced()
    if restarts:
        floor.restart()
    answer = floor.send(free())
    if told is None:
        assert floor.depth == ([], [(101, 8)])
        return
    name = "M" if "SUSPENDED" in told[0] else "S2"
    assert answer == [*told, f"{name} RESTATED/NEW"]
    left = {"C": [(102, 8)], "M": [(101, 2), (102, 8)]}
    assert floor.depth[1] == (left[told[0][0]] if name == "S2" else [(101, 8), (102, 2)])
    floor.restart()


def test_an_order_that_expires_leaves_its_room():
    """A GTD order's time comes; nobody sends anything."""
    at_ns = ManualClock().wall_ns() + 60 * SECOND
    terms = OrderTerms(expire_ns=at_ns)
    first = sell("S1", 8, 101, time_in_force=TimeInForce.GTD, terms=terms)
    floor = reduced(first)
    floor.desk.clock.advance(61)
    assert floor.desk.step() == ["S1 EXPIRED/EXPIRED", "S2 RESTATED/NEW"]


def test_the_loser_of_a_pair_leaves_its_room():
    """The stop of a pair goes off for two lots: the limit order's eight are free."""
    # given a pair whose stop is for less than its limit order, and an order without room
    floor = Floor()
    floor.position(10)
    pair = OrderTerms(oco_with="P")
    floor.send(stop(sell, "P", 2, 90), sell("S1", 8, 101, terms=pair), sell("S2", 8, 102))
    floor.operate("REDUCING")
    floor.send(buy("O", 3, 90, account="you"))

    # when the stop's price is traded, then it sells two, and eight have room
    told = floor.send(sell("T", 1, 90, account="they"))
    assert told[-5:] == [
        "P TRIGGERED/NEW", "S1 CANCELED/CANCELED", "P TRADE/FILLED", "O TRADE/FILLED",
        "S2 RESTATED/NEW",
    ]  # fmt: skip


def test_self_trade_prevention_leaves_room():
    """Another account of its group bids: that takes lots off its offer, without a trade."""
    accounts = {name: AccountConfig(stp_group="firm") for name in ("me", "they")}
    exchange = replace(OPEN, self_trade="decrement")
    floor = Floor(config=config_of(exchange=exchange, accounts=accounts))
    floor.position(10)
    floor.send(sell("S1", 8, 101), sell("S2", 8, 102))
    floor.operate("REDUCING")
    assert floor.send(buy("T", 6, 101, account="they")) == [
        "T NEW/NEW", "T CANCELED/CANCELED", "S1 RESTATED/NEW", "S2 RESTATED/NEW",
    ]  # fmt: skip
    assert floor.depth == ([], [(101, 2), (102, 8)])


def test_room_goes_to_the_best_price_first():
    """Of two without room the better one has it, though it came later; the other waits on."""
    floor = Floor()
    floor.position(10)
    floor.send(sell("S1", 9, 101), sell("W", 9, 105), sell("B", 9, 104))
    floor.operate("REDUCING")
    assert floor.send(cancel("C", "S1")) == ["C CANCELED/CANCELED", "B RESTATED/NEW"]
    assert floor.send(cancel("D", "B")) == ["D CANCELED/CANCELED", "W RESTATED/NEW"]


def test_one_that_would_cross_leaves_its_room_to_the_next():
    """Halted, then reducing: somebody bids for the better one meanwhile, so it goes."""
    floor = Floor()
    floor.position(10)
    floor.send(sell("S1", 8, 101), sell("S2", 8, 103))
    floor.operate("HALTED")
    floor.send(buy("O", 1, 101, account="you"))
    assert floor.operate("REDUCING") == ["S1 CANCELED/CANCELED", "S2 RESTATED/NEW"]
    assert floor.depth == ([(101, 1)], [(103, 8)])


def test_one_that_was_made_smaller_and_would_cross_is_canceled():
    """There is room for two lots, and a bid at its price: it was not there when that came."""
    floor = reduced()
    floor.send(buy("O", 9, 102, account="you"))
    assert floor.send(modify("M", "S2", quantity=2)) == [
        "M REPLACED/SUSPENDED", "M CANCELED/CANCELED",
    ]  # fmt: skip
    assert floor.positions["me", "X"] == 2


def test_a_woken_stop_has_room_again_too():
    """It could not go when its price was traded; it goes once it may, if the price still is."""
    floor = Floor()
    floor.position(10)
    floor.send(sell("L", 10, 110), stop(sell, "S", 10, 90), buy("O", 20, 90, account="you"))
    floor.operate("REDUCING")
    assert floor.send(sell("T", 1, 90, account="they"))[-1] == "O TRADE/PARTIALLY_FILLED"
    assert floor.send(cancel("C", "L")) == [
        "C CANCELED/CANCELED", "S TRIGGERED/NEW", "S TRADE/FILLED", "O TRADE/PARTIALLY_FILLED",
    ]  # fmt: skip


def test_a_pair_comes_back_whole():
    """Its stop may act beside its limit order, since only one of them is executed."""
    floor = Floor()
    floor.position(10)
    floor.send(stop(sell, "S", 10, 90), sell("L", 10, 110, terms=OrderTerms(oco_with="S")))
    floor.operate("HALTED")
    floor.send(buy("O", 1, 90, account="you"), sell("T", 1, 90, account="they"))
    market = floor.desk.dispatcher.desk.engine.markets["X"]
    assert len(market.aside) == 2  # the stop woke, and may not
    assert floor.operate("REDUCING")[:1] == ["L RESTATED/NEW"]
    assert market.aside == {}


def test_who_has_nothing_set_aside_is_not_looked_at():
    """Reducing or not: no key, no look."""
    floor = Floor()
    floor.position(10)
    floor.send(sell("S1", 4, 101), sell("S2", 4, 102))
    floor.operate("REDUCING")
    executions = floor.desk.dispatcher.desk.executions
    assert executions.short_of_room == {}
    floor.desk.dispatcher.desk.engine.halts.use_room = None
    floor.send(cancel("C", "S1"))
    assert executions.room_freed == {}


# --- from one trading state to another ---

STATES = ("ACTIVE", "REDUCING", "HALTED")
ALLOWED = {"ACTIVE": {"more", "less"}, "REDUCING": {"less"}, "HALTED": set[str]()}


@pytest.mark.parametrize("scope", SCOPES)
@pytest.mark.parametrize("before", STATES)
@pytest.mark.parametrize("after", STATES)
def test_every_state_follows_every_other(scope, before, after):
    """It is as if the last word was the only one: for new orders, and for those that rest."""
    # given ten long, and orders that would make it more, and less
    floor = Floor()
    floor.position(10)
    floor.send(buy("B", 2, 95), sell("S", 2, 105))

    # when
    floor.operate(before, scope)
    floor.operate(after, scope)

    # then
    assert {side for side, levels in zip(("more", "less"), floor.depth, strict=True) if levels} == (
        ALLOWED[after]
    )
    floor.restart()
    may = {
        name
        for name, order in (("more", buy("B2", 1, 94)), ("less", sell("S2", 1, 106)))
        if floor.ask(order).type is not ResponseType.REJECTED
    }
    assert may == ALLOWED[after]
    floor.operate("ACTIVE", scope)
    assert [len(levels) for levels in floor.depth] == [1 + ("more" in may), 1 + ("less" in may)]


@pytest.mark.parametrize("scope", SCOPES)
def test_what_was_killed_may_reduce_next(scope):
    """A kill is a halt; what was canceled does not come back."""
    floor = Floor()
    floor.position(10)
    floor.send(sell("S", 2, 105))
    assert floor.operate("", scope, OperatorAction.KILL) == ["S CANCELED/CANCELED"]
    floor.operate("REDUCING", scope)
    assert floor.ask(sell("S2", 11, 105)).reason is RejectReason.REDUCING_ONLY
    assert floor.ask(sell("S3", 10, 105)).state is OrderState.NEW


def test_a_symbol_that_may_reduce_reopens_by_a_call():
    """As one that may do anything does; a pause of the breaker is not ended by it."""
    floor = Floor(replace(OPEN, reopening_auction_ns=60 * SECOND))
    floor.position(10)
    floor.send(sell("S", 2, 105))
    floor.operate("HALTED", "symbol")
    assert floor.operate("REDUCING", "symbol") == ["S RESTATED/NEW"]
    market = floor.desk.dispatcher.desk.engine.markets["X"]
    assert market.phase is Phase.REOPENING_AUCTION
    floor.desk.clock.advance(60)
    floor.desk.step()
    assert market.phase is Phase.CONTINUOUS
    engine = floor.desk.dispatcher.desk.engine
    engine.phases._pause(market)
    floor.operate("REDUCING", "symbol")
    assert market.phase is Phase.HALTED


# --- at night ---


@pytest.mark.parametrize("release", ["night", "day"])
def test_what_is_done_for_the_day_is_so_after_a_halt(release):
    """An account is halted and released at night; or halted by day, over the close."""
    # given
    session = SessionConfig(hours="Mon-Fri 09:00-17:00", done_for_day=True)
    clock = ManualClock.at(datetime(2026, 12, 22, 16, 59, tzinfo=UTC))
    floor = Floor(config=config_of(exchange=OPEN, session=session), clock=clock)
    floor.send(buy("A", 5, 100), sell("T", 2, 100, account="you"))
    if release == "day":
        floor.operate("HALTED")

    def later(hours):
        clock.advance(hours * 3600)
        floor.desk.keep()
        return floor.desk.step()

    # when
    assert later(1) == (["A DONE_FOR_DAY/DONE_FOR_DAY"] if release == "night" else [])
    if release == "night":
        assert floor.operate("HALTED") == ["A RESTATED/SUSPENDED"]
    floor.restart()

    # then
    assert floor.operate("ACTIVE") == ["A DONE_FOR_DAY/DONE_FOR_DAY"]
    assert later(16) == ["A RESTATED/PARTIALLY_FILLED"]
    assert floor.desk.digest() == floor.desk.refolded()


def test_what_comes_back_after_the_open_is_what_it_was():
    """The halt outlasts the night."""
    session = SessionConfig(hours="Mon-Fri 09:00-17:00", done_for_day=True)
    clock = ManualClock.at(datetime(2026, 12, 22, 16, 59, tzinfo=UTC))
    floor = Floor(config=config_of(exchange=OPEN, session=session), clock=clock)
    floor.send(buy("A", 5, 100))
    for hours in (1, 16):
        clock.advance(hours * 3600)
        floor.desk.keep()
        floor.desk.step()
        if hours == 1:
            floor.operate("HALTED")
    assert floor.operate("ACTIVE") == ["A RESTATED/NEW"]


def test_a_post_only_order_that_comes_back_never_takes():
    """It would cross: it goes, as any other."""
    floor = Floor()
    floor.send(buy("A", 5, 100, terms=OrderTerms(post_only=PostOnly.SLIDE)))
    floor.operate("HALTED")
    floor.send(sell("O", 1, 100, account="you"))
    assert floor.operate("ACTIVE") == ["A CANCELED/CANCELED"]


def test_a_symbol_halted_in_a_call_uncrosses_what_came_back():
    """Nobody else was there meanwhile: the reopening is an uncross."""
    floor = Floor()
    floor.operate("OPENING_AUCTION", "symbol", OperatorAction.SET_PHASE)
    floor.send(buy("A", 5, 102), sell("B", 5, 98, account="you"))
    assert len(floor.operate("HALTED", "symbol")) == 2
    assert floor.operate("ACTIVE", "symbol") == [
        "A RESTATED/NEW", "B RESTATED/NEW", "A TRADE/FILLED", "B TRADE/FILLED",
    ]  # fmt: skip
    market = floor.desk.dispatcher.desk.engine.markets[INSTRUMENTS[0].symbol]
    assert market.phase is Phase.CONTINUOUS
