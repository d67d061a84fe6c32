"""Operators: the kill switch above all, phases, limits, accounts; and commands that cannot be.

A command is answered once: the same id with the same content again gets the same answer and
has no second effect.
"""

import json

import pytest

from oms import Instrument, ManualClock, MemoryStore, OrderState, RejectReason, ResponseType
from oms.config import ExchangeConfig, QueueConfig
from oms.enums import Phase, Scope, Side
from oms.errors import ValidationError
from oms.requests import (
    FundsAction,
    FundsRequest,
    MassCancelRequest,
    OperatorAction,
    OperatorRequest,
    OrderTerms,
)
from tests.fakes import Stepped, brief, buy, cancel, config_of, modify, sell, throttled

ALL, ACCOUNT, SYMBOL = Scope.ALL, Scope.ACCOUNT, Scope.SYMBOL
KILL, SET_TRADING = OperatorAction.KILL, OperatorAction.SET_TRADING
SET_PHASE, SET_LIMIT = OperatorAction.SET_PHASE, OperatorAction.SET_LIMIT
SET_ACCOUNT = OperatorAction.SET_ACCOUNT
DONE, REFUSED = ResponseType.COMMAND_DONE, ResponseType.COMMAND_REJECTED


def command(client_id, action, scope=ALL, target="", **more):
    return OperatorRequest(
        client_order_id=client_id, action=action, scope=scope, target=target, **more
    )


def operate(desk, *args, **more):
    """An operator's command in a turn of its own; the answer's type, and its text."""
    answer = desk.ask(command(*args, **more))
    return answer.type, answer.text


def stop(client_id, quantity, at, **more):
    return buy(client_id, quantity, terms=OrderTerms(stop_price=at), **more)


# --- the kill switch ---


def test_the_kill_switch_cancels_what_rests_what_waits_for_a_price_and_what_waits_to_be_sent():
    """All accounts, all symbols; the answer says how many."""
    # given a resting order, a stop, and two orders that the throttle holds back
    desk = Stepped(throttled(2)).start()
    desk.send(buy("REST", 1, 90), stop("STOP", 1, 120))
    told = desk.send(buy("WAIT1", 1, 90), sell("WAIT2", 1, 110, account="you", symbol="ALL"))
    assert told == ["WAIT1 PENDING_NEW/PENDING_NEW", "WAIT2 PENDING_NEW/PENDING_NEW"]

    # when an operator kills
    desk.oms.on_data(command("K", KILL, why="fat finger"))
    reports = desk.turn()

    # then all of it goes, and says why
    assert brief(reports[:-1]) == [
        f"{name} CANCELED/CANCELED" for name in ("REST", "STOP", "WAIT1", "WAIT2")
    ]
    assert {report.text for report in reports[:-1]} == {"KILL_SWITCH: fat finger"}
    assert (reports[-1].type, reports[-1].text) == (DONE, "trading=HALTED, canceled=4")
    assert desk.waiting == []
    desk.clock.advance(9)
    assert desk.step() == []


def test_after_the_ack_of_a_kill_nothing_new_passes():
    """Not in the same turn, nor ever after, until it is released; cancels are answered."""
    # given an order of before
    desk = Stepped().start()
    desk.send(buy("A", 1, 90))

    # when a kill and new orders share a turn
    told = desk.send(buy("B", 1, 90), command("K", KILL), buy("C", 1, 90), stop("D", 1, 120))

    # then what came after it is refused, of whatever kind
    assert told[0] == "B NEW/NEW"
    assert told[-2:] == ["C REJECTED/REJECTED", "D REJECTED/REJECTED"]
    for name, more in (
        ("E", {}), ("F", {"hold": True}), ("G", {"account": "you"}), ("H", {"symbol": "ALL"}),
    ):  # fmt: skip
        answer = desk.ask(buy(name, 1, 90, **more))
        assert answer.text == "KILL_SWITCH: trading is halted"

    # and who asks for what is over is told so
    assert desk.ask(cancel("I", "A")).text == "TOO_LATE: state=CANCELED"
    assert desk.ask(modify("J", "A", price=91)).reason is RejectReason.TOO_LATE


def test_a_kill_stays_over_a_restart_and_until_it_is_released():
    """Latched: the state is in the journal."""
    # given a killed exchange
    store, clock = MemoryStore(), ManualClock()
    desk = Stepped(store=store, clock=clock).start()
    desk.send(buy("A", 1, 90))
    operate(desk, "K", KILL, why="no reason")
    desk.stop()

    # when it starts anew
    again = Stepped(store=store, clock=clock).start()

    # then it is still killed, and the open order is gone
    assert again.digest() == again.refolded()
    assert again.ask(buy("B", 1, 90)).text == "KILL_SWITCH: no reason"
    assert again.dispatcher.desk.executions.orders == {}

    # until an operator releases it
    assert operate(again, "R", SET_TRADING, value="ACTIVE") == (DONE, "trading=ACTIVE")
    assert again.ask(buy("C", 1, 90)).type is ResponseType.NEW


def test_an_account_may_be_killed_alone():
    """Its orders in every market go; the others go on."""
    desk = Stepped().start()
    desk.send(
        buy("A", 1, 90), buy("B", 1, 90, symbol="ALL"), stop("C", 1, 120),
        buy("D", 1, 90, account="you"),
    )  # fmt: skip
    told = desk.send(command("K", KILL, ACCOUNT, "me"))
    assert told[:-1] == ["A CANCELED/CANCELED", "C CANCELED/CANCELED", "B CANCELED/CANCELED"]
    assert desk.ask(buy("E", 1, 90)).text == "ACCOUNT_HALTED: account=me"
    assert desk.ask(buy("F", 1, 90, account="you")).type is ResponseType.NEW
    operate(desk, "R", SET_TRADING, ACCOUNT, "me", value="ACTIVE")
    assert desk.ask(buy("G", 1, 90)).type is ResponseType.NEW


def test_a_symbol_may_be_killed_alone():
    """Its market is halted, and stays so over a restart; the other trades."""
    # given orders in two markets
    store, clock = MemoryStore(), ManualClock()
    desk = Stepped(store=store, clock=clock).start()
    desk.send(buy("A", 1, 90), buy("B", 1, 90, symbol="ALL"), stop("C", 1, 120))

    # when one of them is killed
    told = desk.send(command("K", KILL, SYMBOL, "X"))

    # then its orders go, and it takes no more, after a restart neither
    assert told[:-1] == ["A CANCELED/CANCELED", "C CANCELED/CANCELED"]
    desk.stop()
    again = Stepped(store=store, clock=clock).start()
    refused = again.ask(buy("D", 1, 90))
    assert refused.text == "KILL_SWITCH: symbol=X"
    assert again.ask(stop("D2", 1, 120, hold=True)).text == "KILL_SWITCH: symbol=X"
    assert again.ask(sell("E", 1, 90, symbol="ALL", account="you")).state is OrderState.FILLED

    # until it is released
    operate(again, "R", SET_TRADING, SYMBOL, "X", value="ACTIVE")
    assert again.ask(buy("F", 1, 90)).type is ResponseType.NEW


def test_a_halt_without_a_kill_leaves_what_is_open():
    """SET_TRADING HALTED: nobody may enter, everybody may leave."""
    desk = Stepped().start()
    desk.send(buy("A", 1, 90))
    assert operate(desk, "H", SET_TRADING, value="HALTED", why="looking into it")[0] is DONE
    assert desk.ask(buy("B", 1, 90)).text == "KILL_SWITCH: looking into it"
    assert desk.ask(cancel("C", "A")).type is ResponseType.CANCELED


def test_an_operator_passes_a_full_inbox():
    """Cancels and operators' commands do; orders do not."""
    desk = Stepped(config_of(queue=QueueConfig(inbox_max=1))).start()
    desk.oms.on_data(buy("A", 1, 90))
    assert desk.oms.submit(buy("B", 1, 90)).result(0).reason is RejectReason.QUEUE_FULL
    assert desk.ask(command("K", KILL)).type is ResponseType.COMMAND_DONE


# --- phases ---


def test_an_operator_sets_the_phase_of_one_market_or_of_all():
    """Only the markets that are meant; the answer says what was set."""
    desk = Stepped().start()
    assert operate(desk, "P1", SET_PHASE, SYMBOL, "X", value="CLOSING_AUCTION") == (
        DONE, "phase=CLOSING_AUCTION",
    )  # fmt: skip
    assert phases_of(desk) == (Phase.CLOSING_AUCTION, Phase.CONTINUOUS)
    operate(desk, "P2", SET_PHASE, value="HALTED")
    assert phases_of(desk) == (Phase.HALTED, Phase.HALTED)
    operate(desk, "P3", SET_PHASE, SYMBOL, "ALL", value="CONTINUOUS")
    assert phases_of(desk) == (Phase.HALTED, Phase.CONTINUOUS)
    operate(desk, "P4", SET_PHASE, value="PRE_OPEN")
    assert phases_of(desk) == (Phase.PRE_OPEN, Phase.PRE_OPEN)


def test_a_phase_that_an_operator_ends_uncrosses():
    """The call goes on until CONTINUOUS is set; then everybody trades at one price."""
    desk = Stepped().start()
    operate(desk, "P1", SET_PHASE, SYMBOL, "X", value="OPENING_AUCTION")
    assert desk.send(buy("A", 5, 102), sell("B", 5, 98)) == ["A NEW/NEW", "B NEW/NEW"]
    told = desk.send(command("P2", SET_PHASE, SYMBOL, "X", value="CONTINUOUS"))
    assert told[:2] == ["A TRADE/FILLED", "B TRADE/FILLED"]


def phases_of(desk):
    markets = desk.dispatcher.desk.engine.markets
    return markets["X"].phase, markets["ALL"].phase


# --- accounts ---


def test_a_tier_changes_the_fees_of_later_orders_only():
    """An order keeps the rates it was accepted under; a tier taken away is gone."""
    # given a funded account, and fees of 10 and 20, of VIPs 1 and 2
    market = Instrument(
        symbol="X_USD", price_scale=0, quantity_scale=0, base_scale=0, quote_scale=0,
        maker_fee_bps=10, taker_fee_bps=20,
    )  # fmt: skip
    config = config_of(
        instruments=(market,), fees={("X_USD", "VIP"): (1, 2)},
        exchange=ExchangeConfig(ledger=True, self_trade="none"),
    )  # fmt: skip
    desk = Stepped(config).start()
    for account, asset in (("me", "USD"), ("you", "X")):
        for client_id, action, more in (
            ("create", FundsAction.CREATE, {}),
            ("pay", FundsAction.DEPOSIT, {"asset": asset, "amount": 10_000_000}),
        ):
            desk.ask(
                FundsRequest(account=account, client_order_id=client_id, action=action, **more)
            )
    desk.send(buy("A", 10, 1_000, symbol="X_USD"))

    # when it becomes a VIP between two orders, by a name that there is
    assert operate(desk, "S", SET_ACCOUNT, ACCOUNT, "me", name="tier", value="vip") == (
        REFUSED, "COMMAND_INVALID: tier=vip, expected one of VIP, or nothing",
    )  # fmt: skip
    assert operate(desk, "T", SET_ACCOUNT, ACCOUNT, "me", name="tier", value="VIP") == (
        DONE, "tier=VIP",
    )  # fmt: skip
    desk.send(buy("B", 10, 1_000, symbol="X_USD"))
    operate(desk, "U", SET_ACCOUNT, ACCOUNT, "me", name="tier")
    desk.send(buy("C", 10, 1_000, symbol="X_USD"))

    # then the three pay by what they were accepted under
    desk.oms.on_data(sell("S", 30, 1_000, symbol="X_USD", account="you"))
    fees = {r.client_order_id: r.fee_units for r in desk.turn() if r.account == "me"}
    assert fees == {"A": 10, "B": 1, "C": 10}


def test_a_group_keeps_its_accounts_from_trading_with_each_other():
    """Set while both have orders open, and taken back."""
    exchange = ExchangeConfig(self_trade="cancel_newest")
    desk = Stepped(config_of(exchange=exchange)).start()
    for n, account in enumerate(("me", "you")):
        operate(desk, f"G{n}", SET_ACCOUNT, ACCOUNT, account, name="stp_group", value="us")
    told = desk.send(buy("A", 1, 100), sell("B", 1, 100, account="you"))
    assert told == ["A NEW/NEW", "B NEW/NEW", "B CANCELED/CANCELED"]
    operate(desk, "H", SET_ACCOUNT, ACCOUNT, "you", name="stp_group")
    assert desk.send(sell("C", 1, 100, account="you"))[-1] == "A TRADE/FILLED"


# --- commands that cannot be ---


@pytest.mark.parametrize(
    ("args", "more", "says"),
    [
        ((SET_PHASE, ACCOUNT, "me"), {"value": "HALTED"}, "scope=ACCOUNT"),
        ((SET_PHASE, SYMBOL, "X"), {"value": "CLOSED"}, "value=CLOSED"),
        ((SET_LIMIT, SYMBOL, "X"), {"name": "size_max", "value": "1"}, "name: expected one of"),
        ((SET_LIMIT, SYMBOL, "X"), {"name": "position_max", "value": "1"}, "name: expected one"),
        ((SET_LIMIT, ACCOUNT, "me"), {"name": "quantity_max", "value": "1"}, "name: expected one"),
        ((SET_LIMIT,), {"name": "quantity_max", "value": "1"}, "name: expected one of"),
        ((SET_LIMIT, SYMBOL, "X"), {"value": "1"}, "name: expected one of"),
        ((SET_LIMIT, SYMBOL, "X"), {"name": "quantity_max", "value": "-1"}, "quantity_max"),
        ((SET_LIMIT, SYMBOL, "X"), {"name": "quantity_max", "value": "1e5"}, "quantity_max"),
        ((SET_LIMIT, SYMBOL, "X"), {"name": "price_band_bps", "value": "1.5"}, "price_band_bps"),
        ((SET_LIMIT, SYMBOL, "X"), {"name": "price_band_around", "value": "mid"},
         "price_band_around: expected last or reference"),
        ((SET_LIMIT, ACCOUNT, "me"), {"name": "messages_max", "value": "many"}, "messages_max"),
        ((SET_LIMIT, ACCOUNT, "me"), {"name": "credit_max", "value": "1.2.3"}, "credit_max"),
        ((SET_ACCOUNT, ACCOUNT, "me"), {"name": "rank", "value": "1"}, "name=rank"),
        ((SET_ACCOUNT,), {"name": "tier", "value": "VIP"}, "name=tier"),
        ((SET_ACCOUNT, ACCOUNT, "me"), {"name": "tier", "value": "VIP"},
         "tier=VIP, expected nothing, as no [fees SYMBOL TIER] names one"),
        ((SET_LIMIT, ACCOUNT, "me"), {"name": "restricted_symbols", "value": "X,NIX"},
         "restricted_symbols=NIX, expected some of X, ALL"),
    ],
)  # fmt: skip
def test_a_command_that_cannot_be_is_refused_and_names_the_field(args, more, says):
    """Nothing changes by it."""
    desk = Stepped().start()
    before = state_of(desk)
    type_, text = operate(desk, "C", *args, **more)
    assert type_ is REFUSED
    assert text.startswith("COMMAND_INVALID: ") and says in text
    assert state_of(desk) == before
    assert desk.ask(buy("A", 1, 100)).type is ResponseType.NEW


def state_of(desk):
    """All that a digest counts, but how many entries there were."""
    return json.dumps({**desk.dispatcher.fold.state(), "last_seq": 0}, sort_keys=True)


def test_a_command_about_an_unknown_symbol_is_refused():
    """Whatever it asks for."""
    desk = Stepped().start()
    for n, (action, more) in enumerate(
        [(KILL, {}), (SET_TRADING, {"value": "HALTED"}), (SET_PHASE, {"value": "HALTED"}),
         (SET_LIMIT, {"name": "quantity_max", "value": "1"})]
    ):  # fmt: skip
        told = operate(desk, f"C{n}", action, SYMBOL, "NIX", **more)
        assert told == (REFUSED, "SYMBOL_UNKNOWN: symbol=NIX")


@pytest.mark.parametrize(
    ("field", "more"),
    [
        ("value", {"action": SET_TRADING, "value": "SLOWLY"}),
        ("value", {"action": SET_PHASE, "value": ""}),
        ("target", {"action": KILL, "target": "me"}),
        ("target", {"action": KILL, "scope": ACCOUNT}),
        ("scope", {"action": KILL, "scope": "all"}),
        ("action", {"action": "HALT"}),
        ("why", {"action": KILL, "why": "two\nlines"}),
        ("why", {"action": KILL, "why": "x" * 201}),
    ],
)
def test_a_command_that_says_nonsense_is_not_even_made(field, more):
    """It raises, and names the field."""
    with pytest.raises(ValidationError) as caught:
        OperatorRequest(client_order_id="C", **more)
    assert caught.value.field == field


# --- the same command again ---


def test_the_same_command_again_gets_the_same_answer_and_has_no_second_effect():
    """A kill that is repeated after its release does not kill again."""
    # given a kill, and its release
    desk = Stepped().start()
    desk.send(buy("A", 1, 90))
    first = desk.ask(command("K", KILL, why="x"))
    operate(desk, "R", SET_TRADING, value="ACTIVE")
    desk.send(buy("B", 1, 90))

    # when the kill is told again
    again = desk.ask(command("K", KILL, why="x"))

    # then it is answered as before, and nothing happens
    assert (again.type, again.text) == (first.type, first.text) == (
        DONE, "trading=HALTED, canceled=1",
    )  # fmt: skip
    assert desk.ask(buy("C", 1, 90)).type is ResponseType.NEW
    still_open = desk.dispatcher.desk.executions.orders.values()
    assert {order.client_order_id for order in still_open} == {"B", "C"}
    assert desk.digest() == desk.refolded()


def test_a_refused_command_is_refused_again_in_the_same_words():
    """In the same turn, and in another process."""
    store, clock = MemoryStore(), ManualClock()
    desk = Stepped(store=store, clock=clock).start()
    wrong = command("C", SET_LIMIT, SYMBOL, "X", name="nix", value="1")
    desk.oms.on_data(wrong)
    desk.oms.on_data(wrong)
    first, second = desk.turn()
    desk.stop()
    third = Stepped(store=store, clock=clock).start().ask(wrong)
    assert first.text == second.text == third.text
    assert first.type == second.type == third.type == REFUSED


@pytest.mark.parametrize(
    "other",
    [
        command("C", SET_LIMIT, SYMBOL, "X", name="quantity_max", value="11"),
        command("C", SET_LIMIT, SYMBOL, "ALL", name="quantity_max", value="10"),
        command("C", SET_LIMIT, SYMBOL, "X", name="quantity_max", value="10", why="so"),
        command("C", KILL),
        MassCancelRequest(account="operator", client_order_id="C"),
        FundsRequest(account="operator", client_order_id="C", action=FundsAction.CREATE),
    ],
)
def test_another_command_under_the_same_id_is_refused(other):
    """The first one holds."""
    desk = Stepped().start()
    desk.send(command("C", SET_LIMIT, SYMBOL, "X", name="quantity_max", value="10"))
    answer = desk.ask(other)
    assert (answer.type, answer.reason) == (REFUSED, RejectReason.DUPLICATE_ID)
    assert desk.ask(buy("A", 11, 100)).reason is RejectReason.QUANTITY_EXCEEDS_MAXIMUM
    assert desk.ask(buy("B", 10, 100)).type is ResponseType.NEW


def test_an_order_under_the_id_of_a_command_is_refused():
    """Ids are one name space per account; the account here is the operator's own."""
    desk = Stepped().start()
    desk.send(command("C", SET_TRADING, value="ACTIVE"))
    answer = desk.ask(buy("C", 1, 100, account="operator"))
    assert (answer.type, answer.reason) == (ResponseType.REJECTED, RejectReason.DUPLICATE_ID)


# --- mass cancel ---


def test_a_mass_cancel_takes_what_is_meant_and_no_more():
    """One's own, of a symbol, of a side; an operator's, of everybody."""
    # given orders of two accounts, in two markets, on both sides
    desk = Stepped().start()
    desk.send(
        buy("XB", 1, 90), sell("XS", 1, 110), buy("AB", 1, 90, symbol="ALL"), stop("XT", 1, 120),
        buy("YB", 1, 90, account="you"),
    )  # fmt: skip

    def cancel_all(client_id, account="me", **more):
        return desk.send(MassCancelRequest(account=account, client_order_id=client_id, **more))

    # then each takes its part
    assert cancel_all("M1", symbol="X", side=Side.SELL)[:-1] == ["XS CANCELED/CANCELED"]
    assert cancel_all("M2", symbol="X")[:-1] == ["XB CANCELED/CANCELED", "XT CANCELED/CANCELED"]
    assert cancel_all("M3")[:-1] == ["AB CANCELED/CANCELED"]
    assert cancel_all("M4") == ["M4 COMMAND_DONE/None"]
    assert cancel_all("M5", "operator", everybody=True)[:-1] == ["YB CANCELED/CANCELED"]
    answer = desk.ask(MassCancelRequest(account="operator", client_order_id="M6", everybody=True))
    assert (answer.type, answer.text) == (DONE, "canceled=0")
