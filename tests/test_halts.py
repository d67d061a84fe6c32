"""Halted means no trade, reducing means reducing: whatever an order does, it is asked when it acts.

Resting orders, woken stops, auctions, orders that waited: of each a case that traded while it was
looked at only when it came in.
"""

from dataclasses import replace

import pytest

from oms import ManualClock, MemoryStore, RejectReason, ResponseType
from oms.config import ExchangeConfig
from oms.enums import Phase, PostOnly, Scope
from oms.requests import OperatorAction, OperatorRequest, OrderTerms
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
