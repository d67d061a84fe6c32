"""Orders that are canceled because a socket was lost: by choice, and whoever dies."""

import signal

import httpx
import pytest

from oms.clock import SystemClock
from tests.web.sandboxed import Served
from tests.web.wires import WAIT_S, Wire

ORDER = {"symbol": "BTC_USD", "side": "BUY", "price": "9", "quantity": "1"}


def place(wire, own_id):
    answer = wire.ask(op="order.place", params={**ORDER, "clientOrderId": own_id})
    assert answer["status"] == 201, answer
    return answer["result"]["orderId"]


def open_ids(user):
    return [each["clientOrderId"] for each in user.ask("GET", "/orders/open").json()["orders"]]


def until(happened):
    clock = SystemClock()
    end_ns = clock.monotonic_ns() + WAIT_S * 10**9
    while not happened():
        assert clock.monotonic_ns() < end_ns


def until_open(user, wanted):
    """Wait until these orders are open, and no others."""
    until(lambda: open_ids(user) == wanted)


def test_what_came_over_the_socket_is_canceled_and_told_why(door):
    """One order by REST, one before arming, one behind it: that alone goes with the socket."""
    ann = door.user("ann")
    ann.buy("1", "9", clientOrderId="rest")
    with Wire(door, ann) as watches:
        watches.subscribe("orders")
        with Wire(door, ann) as wire:
            place(wire, "before")
            armed = wire.ask(op="cancelOnDisconnect", scope="session")
            assert (armed["scope"], armed["account"], armed["grace"]) == ("session", "ann", 0)
            order_id = place(wire, "own")
        gone = watches.until(lambda m: m.get("event") == "CANCELED")
        assert gone["data"]["orderId"] == order_id
        assert f"disconnect-{armed['armed']}" in str(gone["data"])
    assert open_ids(ann) == ["rest", "before"]


def test_all_of_the_account_is_canceled_if_that_was_asked_for(door):
    ann = door.user("ann")
    ann.buy("1", "9", clientOrderId="rest")
    with Wire(door, ann) as watches:
        watches.subscribe("orders")
        with Wire(door, ann) as wire:
            armed = wire.ask(op="cancelOnDisconnect", scope="account")
        gone = watches.until(lambda m: m.get("event") == "CANCELED")
        assert f"disconnect-{armed['armed']}" in gone["data"]["text"]
    until_open(ann, [])
    until(lambda: door.oms.access.user("ann").arms == ())


def test_nothing_is_canceled_that_was_not_asked_for(door):
    """Off is the default; and what was armed can be taken back."""
    ann = door.user("ann")
    with Wire(door, ann) as wire:
        wire.ask(op="cancelOnDisconnect", scope="account")
        place(wire, "a-1")
        assert wire.ask(op="cancelOnDisconnect", scope="off")["armed"] is None
        assert door.oms.access.user("ann").arms == ()
    with Wire(door, ann) as wire:
        assert open_ids(ann) == ["a-1"]
        for wrong, field in (
            ({"scope": "all"}, "scope"), ({}, "scope"), ({"grace": 61}, "grace"),
            ({"scope": "off", "takeOver": "x"}, "takeOver"),
        ):  # fmt: skip
            assert wire.ask(op="cancelOnDisconnect", **wrong)["error"]["field"] == field
        other = wire.ask(op="cancelOnDisconnect", scope="account", account="bob")
        assert other["error"]["code"] == "ACCOUNT_UNKNOWN"


def test_another_socket_takes_over_within_the_grace(door):
    ann, eve = door.user("ann"), door.user("eve")
    with Wire(door, ann) as wire:
        armed = wire.ask(op="cancelOnDisconnect", scope="session", grace=60)["armed"]
        place(wire, "a-1")
    with Wire(door, eve) as thief:
        theirs = thief.ask(op="cancelOnDisconnect", takeOver=armed)
        assert theirs["error"]["code"] == "NOT_FOUND"
    with Wire(door, ann) as wire:
        again = wire.ask(op="cancelOnDisconnect", takeOver=armed)
        assert (again["armed"], again["scope"], again["grace"]) == (armed, "session", 60)
        place(wire, "a-2")
        assert open_ids(ann) == ["a-1", "a-2"]
        # a grace of none instead: the orders from now on belong to it, the others to nobody
        wire.ask(op="cancelOnDisconnect", scope="session")
        place(wire, "a-3")
    until_open(ann, ["a-1", "a-2"])


def test_a_logout_loses_the_socket_too(door):
    ann = door.user("ann")
    again = door.login("ann")
    with Wire(door, ann) as wire:
        wire.ask(op="cancelOnDisconnect", scope="session")
        place(wire, "a-1")
        ann.ask("POST", "/logout")
        until_open(again, [])


def test_it_holds_across_a_restart_of_the_daemon(start_door, tmp_path):
    door = start_door()
    ann = door.user("ann")
    ann.buy("1", "9", clientOrderId="rest")
    wire = Wire(door, ann)
    wire.ask(op="cancelOnDisconnect", scope="session", grace=0)
    place(wire, "own")
    door.stop()
    wire.close()
    until_open(start_door(directory=tmp_path).login("ann"), ["rest"])


class Process(Served):
    """A sandbox in a process of its own, and a client of it."""

    def __init__(self, directory):
        super().__init__(directory, "--agents", "0")
        self.wait_for("In a browser: ")
        self.url = self.urls[0]
        self.ws_url = self.url.replace("http", "ws") + "/ws"
        self.http = httpx.Client(base_url=self.url, timeout=WAIT_S)

    def end(self, how=signal.SIGTERM):
        self.http.close()
        return self.stop(how)


@pytest.mark.slow
def test_it_holds_when_the_process_is_killed(tmp_path):
    """kill -9 with an armed socket: the next process cancels, by the journal alone."""
    from tests.web.doors import PASSWORD, User

    process = Process(tmp_path)
    try:
        body = {"username": "ann", "email": "ann@example.com", "password": PASSWORD}
        assert process.http.post("/signup", json=body).status_code == 201
        login = {"username": "ann", "password": PASSWORD}
        ann = User(process, "ann", process.http.post("/login", json=login).json())
        symbol = process.http.get("/markets").json()["markets"][0]["symbol"]
        ORDER["symbol"] = symbol
        kept = ann.ask("POST", "/order", {**ORDER, "clientOrderId": "rest"})
        assert kept.status_code == 201, kept.text
        wire = Wire(process, ann)
        assert wire.ask(op="cancelOnDisconnect", scope="session")["ok"]
        place(wire, "own")
        process.end(signal.SIGKILL)
        wire.close()
        process = Process(tmp_path)
        ann = User(process, "ann", process.http.post("/login", json=login).json())
        until_open(ann, ["rest"])
    finally:
        process.end()
