"""The control socket: requests and questions as lines, answers in the instrument's units."""

import getpass
import json
import os
import socket
import stat
from dataclasses import replace

import pytest

from oms import Instrument, Origin
from oms.config import ExchangeConfig, ThrottleConfig
from oms.errors import GatewayError
from oms.gateways.answers import Answers
from oms.gateways.client import ControlClient
from oms.gateways.connection import user_name
from oms.gateways.control import ControlGateway
from oms.gateways.wire import ADDRESS_BYTES_MAX, LINES_AHEAD_MAX, SOCKET_NAME
from oms.requests.codec import decode_all
from tests.fakes import INSTRUMENTS, SOON_S, Stepped, buy, config_of, sell
from tests.spoken import Spoken, new

CENTS = Instrument(symbol="C_USD", price_scale=2, quantity_scale=3)


@pytest.fixture
def spoken(tmp_path):
    made = Spoken(tmp_path)
    yield made
    made.close()


@pytest.fixture
def start(tmp_path):
    """The same with a configuration of one's own."""
    made = []

    def start(**sections):
        made.append(Spoken(tmp_path, Stepped(config_of(**sections)).start()))
        return made[-1]

    yield start
    for each in made:
        each.close()


# --- requests ---


def test_an_order_is_placed_and_told_in_the_units_of_its_instrument(start):
    """Cents and thousandths here: decimals as text, there and back."""
    # given a sell order at rest
    spoken = start(instruments=(CENTS,))
    client = spoken.client()
    told = spoken.ask(client, new("S", "98.50", "2.125", side="SELL", symbol="C_USD"))
    assert (told["response"]["type"], told["response"]["open"]) == ("NEW", "2.125")

    # when a buy order takes all of it, and rests with what is left
    told = spoken.ask(client, new("B", 99, "3", symbol="C_USD"))

    # then the answer says how it stands, and has each trade
    assert set(told) == {"response", "trades", "trades_count"}
    assert told["response"]["state"] == "PARTIALLY_FILLED"
    [trade] = told["trades"]
    assert (trade["last_price"], trade["last_quantity"]) == ("98.5", "2.125")
    assert (trade["filled"], trade["open"], trade["notional"]) == ("2.125", "0.875", "209.3125")
    assert trade["average_price"] == "98.5"
    assert told["response"] == trade


def test_a_refusal_is_a_response(spoken):
    """With its reason, and the codes of the reason; not an error."""
    told = spoken.ask(spoken.client(), new("A", "98.5"))
    assert told["response"]["refused"] is True
    assert told["response"]["reason"] == "PRICE_INVALID"
    assert told["response"]["text"].startswith("PRICE_INVALID: price: expected at most 0 decimals")
    assert told["response"]["http"] == 422


def test_every_kind_of_request_goes_through(start):
    """Order, modify, cancel, mass cancel, money, operator: one family, one codec."""
    spoken = start(
        exchange=ExchangeConfig(ledger=True),
        instruments=(Instrument(symbol="B_USD", price_scale=0, quantity_scale=0),),
    )
    told = spoken.ask(
        spoken.client(),
        {"request": "CREATE", "account": "me", "client_order_id": "1"},
        {"request": "DEPOSIT", "account": "me", "client_order_id": "2", "asset": "USD",
         "amount": "1000.5"},
        new("3", 100, 5, symbol="B_USD"),
        {"request": "MODIFY", "account": "me", "client_order_id": "4",
         "orig_client_order_id": "3", "quantity": 4},
        {"request": "CANCEL", "account": "me", "client_order_id": "5",
         "orig_client_order_id": "4"},
        {"request": "MASS_CANCEL", "account": "me", "client_order_id": "6"},
        {"request": "SET_LIMIT", "client_order_id": "7", "name": "open_orders_max", "value": "3"},
        {"request": "KILL", "client_order_id": "8", "why": "drill"},
        new("9", 100, 1, symbol="B_USD"),
    )  # fmt: skip
    assert [each["response"]["type"] for each in told] == [
        "COMMAND_DONE", "COMMAND_DONE", "NEW", "REPLACED", "CANCELED", "COMMAND_DONE",
        "COMMAND_DONE", "COMMAND_DONE", "REJECTED",
    ]  # fmt: skip
    assert told[1]["response"]["text"].startswith("asset=USD, amount=1000.5, available=1000.5")
    assert told[-1]["response"]["reason"] == "KILL_SWITCH"


def test_all_markets_are_told_with_grid_phase_and_last_price(start):
    """With the sequence of the engine's latest turn, as it says itself: see test_top.py."""
    # given a market with a table of ticks that has traded, and one that has not
    steps = Instrument(
        symbol="T_USD", price_scale=2, quantity_scale=0, tick_size=5, tick_table=((10_000, 25),)
    )
    spoken = start(instruments=(steps, CENTS))
    client = spoken.client()
    spoken.ask(
        client,
        new("S", "98.50", "2", side="SELL", symbol="T_USD"),
        new("B", "98.50", "1", symbol="T_USD"),
    )

    # when all markets are asked for
    answer = spoken.ask(client, {"ask": "markets"})

    # then each is there, as it stands
    assert answer["seq"] == spoken.desk.oms.journal_seq().result(SOON_S)
    first, second = answer["markets"]
    assert (first["symbol"], first["last"], first["phase"]) == ("C_USD", None, "CONTINUOUS")
    assert second == {
        "symbol": "T_USD", "base": "T", "quote": "USD", "phase": "CONTINUOUS", "last": "98.5",
        "tick_size": "0.05", "lot_size": "1",
        "tick_table": [{"from": "100", "tick_size": "0.25"}],
    }  # fmt: skip
    error = spoken.ask(client, {"ask": "markets", "symbol": "X"})["error"]
    assert error["field"] == "symbol"


def test_the_latest_trades_are_told_as_the_market_tells_them(start):
    """Without accounts, and without those that were busted; oldest first."""
    spoken = start(instruments=(CENTS,))
    client = spoken.client()
    orders = [
        new(f"{side}{n}", 98 + n, "1", side=side, symbol="C_USD")
        for n in range(3)
        for side in ("SELL", "BUY")
    ]
    spoken.ask(client, *orders)
    told = spoken.ask(client, {"ask": "recent_trades", "symbol": "C_USD", "limit": 2})
    assert [each["price"] for each in told["trades"]] == ["99", "100"]
    assert told["trades"][0].keys() == {
        "symbol", "execution_id", "match_number", "taker_side", "price", "quantity", "wall_ns",
        "buy_order_id", "sell_order_id",
    }  # fmt: skip
    bust = {
        "request": "BUST", "client_order_id": "b", "scope": "SYMBOL", "target": "C_USD",
        "name": told["trades"][1]["execution_id"], "why": "wrong price",
    }  # fmt: skip
    assert not spoken.ask(client, bust)["response"]["refused"]
    told = spoken.ask(client, {"ask": "recent_trades", "symbol": "C_USD"})
    assert [each["price"] for each in told["trades"]] == ["98", "99"]


def test_the_origin_says_who_and_how_and_which_line(spoken):
    """The user is the one that the kernel names; the client may say the request id alone."""
    # when two orders come, one with a request id of its own
    client = spoken.client()
    spoken.ask(client, new("A"), new("B", origin={"request_id": "ticket-7", "sequence": 3}))

    # then the journal has the origin of both
    lines = [
        line
        for record in spoken.desk.store.records()
        for line in decode_all(record.body, record.first_seq)
        if line[0] == "N"
    ]
    user = user_name()
    assert user == getpass.getuser()
    assert [line[-1] for line in lines] == [[user, "control", 0], [user, "control", 3]]
    assert [line[10] for line in lines] == [f"{os.getpid()}.1.1", "ticket-7"]

    # and a client that says who it is, is not believed
    for name in ("user", "gateway"):
        told = spoken.ask(client, new("C", origin={name: "root"}))
        assert told["error"] == {
            "field": name, "expected": "none: the gateway fills it in",
            "text": f"{name}: expected none: the gateway fills it in, was 'root'",
        }  # fmt: skip
    assert spoken.ask(client, new("C", origin="me"))["error"]["field"] == "origin"
    assert Origin._fields == ("user", "gateway", "request_id", "sequence")


def test_the_same_id_again_is_a_repeat_whoever_asks(spoken):
    """The origin does not count."""
    first, second = spoken.client(), spoken.client()
    spoken.ask(first, new("A"))
    told = spoken.ask(second, new("A"))
    assert (told["response"]["type"], told["response"]["repeated"]) == ("ORDER_STATUS", True)
    told = spoken.ask(second, new("A", 97))
    assert told["response"]["reason"] == "DUPLICATE_ID"


def test_answers_come_in_the_order_of_the_lines(spoken):
    """Also of questions, which need no turn: one behind an order waits for the order's answer."""
    # given an order and a question in one piece
    client = spoken.client()
    client.send(new("A"), {"ask": "order", "account": "me", "order": "A"})

    # when the gateway has taken both, and the dispatcher none
    spoken.step()
    assert client.lines() == []

    # then both answers come once the first is there
    spoken.turn()
    assert [list(line) for line in client.lines()] == [["response"], ["order"]]


def test_a_line_may_come_in_pieces_and_many_lines_in_one(spoken):
    """A stream has no borders but line feeds."""
    client = spoken.client()
    text = json.dumps(new("A")).encode() + b"\n"
    for n in range(len(text)):
        client.send(text[n : n + 1])
        spoken.step()
    spoken.turn()
    assert client.lines()[0]["response"]["state"] == "NEW"
    told = spoken.ask(client, *(new(f"B{n}") for n in range(20)))
    assert [each["response"]["client_order_id"] for each in told] == [f"B{n}" for n in range(20)]


def test_a_client_that_has_said_all_is_answered_and_left(spoken):
    """As `echo ... | nc -U control.sock` does."""
    client = spoken.client()
    client.send(new("A"))
    client.sock.shutdown(1)  # it will send no more
    spoken.turn()
    spoken.step()
    assert [list(line) for line in client.lines()] == [["response"]]
    assert client.closed


# --- questions ---


def test_questions_are_answered_from_what_is_published(spoken):
    """How orders stand, the book, trades, the status."""
    # given two orders of two accounts that have met
    desk, client = spoken.desk, spoken.client()
    desk.send(sell("S", 3, 100, account="you"), buy("B", 1, 100), buy("R", 2, 90))

    # then each question has one answer
    found = spoken.ask(client, {"ask": "orders", "account": "you"})
    [order] = found["orders"]
    assert (order["client_order_id"], order["open"], found["more"]) == ("S", "2", False)
    assert spoken.ask(client, {"ask": "order", "account": "you", "order": order["order_id"]}) == {
        "order": order
    }
    assert spoken.ask(client, {"ask": "order", "account": "me", "order": "S"}) == {"order": None}
    assert spoken.ask(client, {"ask": "depth", "symbol": "X"})["depth"] == {
        "symbol": "X", "phase": "CONTINUOUS", "bids": [["90", "2"]], "asks": [["100", "2"]],
    }  # fmt: skip
    [trade] = spoken.ask(client, {"ask": "trades", "symbol": "X"})["trades"]
    assert (trade["price"], trade["quantity"], trade["aggressor"]) == ("100", "1", "BUY")
    assert (trade["buy_account"], trade["sell_account"], trade["buy_fee"]) == ("me", "you", "0")
    told = spoken.ask(client, {"ask": "positions", "account": "me"})
    [position], [pnl] = told["positions"], told["pnl"]
    assert (position["quantity"], position["average_cost"], pnl["net"]) == ("1", "100", "0")
    assert spoken.ask(client, {"ask": "trades", "account": "nobody"}) == {"trades": []}
    told = spoken.ask(client, {"ask": "trades", "before": "x"})
    assert told["error"]["field"] == "before"
    status = spoken.ask(client, {"ask": "status"})["status"]
    assert (status["pid"], status["open_orders"]) == (os.getpid(), 2)
    assert spoken.ask(client, {"ask": "balances", "account": "me"}) == {"balances": {}}


def test_a_list_has_a_bound_and_goes_on_where_it_ended(spoken):
    desk, client = spoken.desk, spoken.client()
    desk.send(*(buy(f"B{n}", 1, 90) for n in range(5)))
    found = spoken.ask(client, {"ask": "orders", "account": "me", "limit": 3})
    assert ([o["client_order_id"] for o in found["orders"]], found["more"]) == (
        ["B0", "B1", "B2"], True,
    )  # fmt: skip
    after = found["orders"][-1]["order_id"]
    found = spoken.ask(client, {"ask": "orders", "account": "me", "limit": 3, "after": after})
    assert ([o["client_order_id"] for o in found["orders"]], found["more"]) == (["B3", "B4"], False)


def test_balances_are_in_units_of_the_asset(start):
    spoken = start(
        exchange=ExchangeConfig(ledger=True),
        instruments=(
            Instrument(symbol="B_USD", price_scale=2, quantity_scale=0, quote_scale=2,
                       taker_fee_bps=100),
        ),
    )  # fmt: skip
    client = spoken.client()
    spoken.ask(client, {"request": "CREATE", "account": "me", "client_order_id": "1"})
    deposit = {"request": "DEPOSIT", "account": "me", "client_order_id": "2", "asset": "USD"}
    spoken.ask(client, deposit | {"amount": "10.5"})
    assert spoken.ask(client, {"ask": "balances", "account": "me"}) == {
        "balances": {"USD": {"available": "10.5", "reserved": "0"}}
    }


def test_a_dry_run_asks_and_places_nothing(start_manager):
    """Threads here: the question is answered between two turns."""
    oms = start_manager(
        config_of(
            exchange=ExchangeConfig(ledger=True),
            instruments=(
                Instrument(symbol="B_USD", price_scale=2, quantity_scale=0, quote_scale=2,
                           taker_fee_bps=100),
            ),
        )
    )  # fmt: skip
    answers = Answers(oms, "test")

    def ask(given):
        promise = answers.begin(given, "ann", "1")
        return promise.tell(promise.future.result(SOON_S))

    ask({"request": "CREATE", "account": "me", "client_order_id": "1"})
    ask({"request": "DEPOSIT", "account": "me", "client_order_id": "2", "asset": "USD",
         "amount": "10.5"})  # fmt: skip
    told = ask({"ask": "dry_run", "of": new("3", "10", 1, symbol="B_USD")})["dry_run"]
    assert told == {
        "refused": False,
        "reason": None,
        "text": "",
        "reserved": "10.1",
        "asset": "USD",
    }
    told = ask({"ask": "dry_run", "of": new("4", "10", 2, symbol="B_USD")})["dry_run"]
    assert told["reason"] == "FUNDS_INSUFFICIENT"
    assert oms.open_orders("me") == []


# --- watchers ---


def test_a_watcher_is_told_reports_and_market_events_as_they_are_published(spoken):
    # given somebody who watches all, one who watches an account, and one the other market
    everything, mine, other = spoken.client(), spoken.client(), spoken.client()
    assert "watch" in spoken.ask(everything, {"ask": "watch"})
    spoken.ask(mine, {"ask": "watch", "account": "me", "market": False})
    spoken.ask(other, {"ask": "watch", "symbol": "ALL"})
    spoken.turn()
    assert [*everything.lines(), *mine.lines(), *other.lines()] == []

    # when two accounts trade
    spoken.desk.send(sell("S", 1, 100, account="you"), buy("B", 1, 100))
    spoken.step()

    # then each is told what it wants
    told = everything.lines()
    reports = [line["report"] for line in told if "report" in line]
    assert [r["client_order_id"] for r in reports] == ["S", "B", "B", "S"]
    events = [line["market"] for line in told if "market" in line]
    assert [event["event"] for event in events] == ["TradePrint"]
    assert (events[0]["price"], events[0]["quantity"]) == ("100", "1")
    assert [line["report"]["client_order_id"] for line in mine.lines()] == ["B", "B"]
    assert other.lines() == []


def test_a_trade_is_corrected_and_a_market_listed_through_the_socket(spoken):
    """The same requests as JSON; a watcher hears of each, in the units of the symbol."""
    watcher, client = spoken.client(), spoken.client()
    spoken.ask(watcher, {"ask": "watch", "reports": False})
    spoken.turn()
    spoken.desk.send(sell("S", 2, 100, account="you"), buy("B", 2, 100))
    trade = spoken.desk.oms.recent_trades("X")[0].execution_id
    correct = {"request": "CORRECT", "client_order_id": "c", "name": trade}
    told = spoken.ask(client, {**correct, "settings": {"price": "99", "quantity": "1"}})
    assert told["response"]["type"] == "COMMAND_DONE"
    new = {"client_order_id": "l", "scope": "SYMBOL", "target": "NEW"}
    settings = {"price_scale": "2", "quantity_scale": "0", "tick_size": "0.05"}
    told = spoken.ask(client, {"request": "LIST", **new, "settings": settings})
    assert told["response"]["text"] == "symbol=NEW, listed"
    told = spoken.ask(client, {"ask": "depth", "symbol": "NEW"})
    assert told["depth"]["phase"] == "CONTINUOUS"
    told = spoken.ask(client, {"ask": "trades", "symbol": "X"})
    assert [(each["price"], each["quantity"]) for each in told["trades"]] == [("99", "1")]
    told = spoken.ask(client, {**correct, "client_order_id": "d", "settings": {"price": 98}})
    assert told["error"]["field"] == "settings"
    spoken.step()
    events = [line["market"] for line in watcher.lines()]
    assert [event["event"] for event in events] == ["TradePrint", "TradeCorrection", "MarketState"]
    assert (events[1]["execution_id"], events[1]["price"], events[1]["quantity"]) == (
        trade, "99", "1"
    )  # fmt: skip
    assert (events[2]["symbol"], events[2]["phase"]) == ("NEW", "CONTINUOUS")


def test_a_watcher_says_nothing_more(spoken):
    client = spoken.client()
    spoken.ask(client, {"ask": "watch"})
    told = spoken.ask(client, {"ask": "status"})
    assert told["error"]["text"].startswith("line: expected none while it watches, was b'{")
    spoken.step()
    client.lines()
    assert client.closed


def test_what_a_watcher_wants_is_checked(spoken):
    client = spoken.client()
    for field, value in (("reports", 1), ("market", "yes"), ("symbol", 3), ("levels", 2)):
        assert spoken.ask(client, {"ask": "watch", field: value})["error"]["field"] == field
    # a symbol that is not there is refused as by a question
    refused = [
        spoken.ask(client, {"ask": what, "symbol": "NOPE"})["error"] for what in ("depth", "watch")
    ]
    assert refused[0] == refused[1]
    assert spoken.ask(client, {"ask": "watch", "account": "me"})["watch"]["account"] == "me"


# --- the socket ---


def test_only_its_user_may_connect_and_it_goes_with_the_gateway(spoken):
    assert stat.S_IMODE(spoken.path.stat().st_mode) == 0o600
    assert stat.S_ISSOCK(spoken.path.stat().st_mode)
    spoken.close()
    assert not spoken.path.exists()
    spoken.close()


def test_a_socket_that_a_killed_process_left_is_replaced_and_nothing_else(tmp_path):
    # given a socket nobody listens at
    with socket.socket(socket.AF_UNIX) as killed:
        killed.bind(str(tmp_path / SOCKET_NAME))
    assert ControlClient.connect(tmp_path) is None

    # then a new gateway takes its place
    spoken = Spoken(tmp_path)
    assert "status" in spoken.ask(spoken.client(), {"ask": "status"})
    spoken.close()

    # but a file that is no socket stays, and is named
    (tmp_path / SOCKET_NAME).write_text("mine")
    with pytest.raises(GatewayError, match=f"{SOCKET_NAME}: expected a socket or nothing"):
        spoken.gateway.open()
    assert (tmp_path / SOCKET_NAME).read_text() == "mine"


def test_a_directory_with_a_long_name_is_reached_all_the_same(tmp_path):
    """A Unix socket's path has a bound that directories do not have."""
    deep = tmp_path
    while len(os.fsencode(deep)) <= 2 * ADDRESS_BYTES_MAX:
        deep = deep / ("d" * 50)
    deep.mkdir(parents=True)
    gateway = ControlGateway(Stepped().start().oms, deep)
    gateway.open()
    assert stat.S_IMODE((deep / SOCKET_NAME).stat().st_mode) == 0o600
    with ControlClient.connect(deep) as client:
        client.send({"ask": "status"})
        gateway.wake()
        gateway.step()
        gateway.wake()
        gateway.step()
        assert "status" in client.receive(1)
    gateway.close()
    assert not (deep / SOCKET_NAME).exists()


def test_where_long_names_cannot_be_reached_the_way_out_is_told(tmp_path, monkeypatch):
    """A system without /proc."""
    monkeypatch.setattr("oms.gateways.wire.PROC", tmp_path / "none")
    deep = tmp_path / ("d" * 100)
    gateway = ControlGateway(Stepped().oms, deep)
    with pytest.raises(GatewayError, match="name the directory by a short symbolic link"):
        gateway.open()
    gateway.close()


def test_at_the_stop_the_answers_that_are_there_are_written(spoken):
    """The order manager stops first, and answers what it took; then the gateway ends."""
    # given a line that was taken, and one that comes while the order manager stops
    client = spoken.client()
    client.send(new("A"))
    spoken.step()
    spoken.desk.stop()
    client.send(new("B"))
    spoken.step()

    # when the gateway stops
    spoken.gateway.finish()

    # then both were answered
    first, second = client.lines()
    assert first["response"]["type"] == "NEW"
    assert second["response"]["reason"] == "SHUTTING_DOWN"
    assert client.closed and not spoken.path.exists()


def test_at_the_stop_watchers_are_told_what_is_left(spoken):
    watcher = spoken.client()
    spoken.ask(watcher, {"ask": "watch", "market": False})
    spoken.desk.send(*(buy(f"B{n}", 1, 90) for n in range(700)))
    spoken.desk.stop()
    spoken.gateway.finish()
    assert len(watcher.lines()) == 700
    assert watcher.closed


def test_a_waiting_order_is_answered_with_what_it_waits_for(tmp_path):
    throttled = config_of(throttle=ThrottleConfig(sends_max=1))
    spoken = Spoken(tmp_path, Stepped(replace(throttled, instruments=INSTRUMENTS)).start())
    told = spoken.ask(spoken.client(), new("A"), new("B"))
    assert [each["response"]["type"] for each in told] == ["NEW", "PENDING_NEW"]
    assert LINES_AHEAD_MAX > 1
    spoken.close()
