"""Which sockets there may be, what each may send, and which must go."""

import json
import socket
import threading
from contextlib import suppress

import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus

from oms.clock import ManualClock
from oms.gateways.web.door import EXTRA_MAX
from oms.gateways.web.guard import IDLE, IDLE_S, REVOKED, STALE, TOO_MUCH
from tests.processes import wait_until
from tests.web.doors import front_config
from tests.web.wires import Wire


def test_a_logout_closes_the_sockets_of_that_login_alone(door):
    ann, again = door.user("ann"), door.login("ann")
    with Wire(door, ann) as ends, Wire(door, again) as stays:
        ends.subscribe("orders")
        assert ann.ask("POST", "/logout").status_code in (200, 204)
        assert ends.closed()[0] == REVOKED
        assert stays.ask(op="order.place", params={
            "symbol": "BTC_USD", "side": "BUY", "price": "9", "quantity": "1",
        })["ok"]  # fmt: skip


def test_a_login_that_ends_by_time_ends_its_sockets(start_door):
    clock = ManualClock()
    door = start_door(clock=clock)
    with Wire(door, door.user("ann")) as wire:
        wire.subscribe("orders")
        clock.advance(400 * 86_400)
        assert wire.closed()[0] == REVOKED


def test_where_revocations_are_not_known_private_channels_close(start_door):
    """The dispatcher hangs in a listener for more than 5 s. A public channel stays."""
    clock = ManualClock()
    door = start_door(clock=clock)
    ann, goes_on, hangs = door.user("ann"), threading.Event(), threading.Event()

    def hang(_response):
        hangs.set()
        goes_on.wait(60)

    with Wire(door, ann) as private, Wire(door, ann) as public, Wire(door) as nobody:
        private.subscribe("orders")
        public.subscribe("trades", symbol="BTC_USD")
        nobody.subscribe("trades", symbol="BTC_USD")
        try:
            door.oms.add_listener(hang)
            private.say(op="order.place", params={
                "symbol": "BTC_USD", "side": "BUY", "price": "9", "quantity": "1",
            })  # fmt: skip
            assert hangs.wait(30)
            # What an engine said before a step may be heard after it, and be taken for newer.
            for _ in range(9):
                clock.advance(6)
                with suppress(AssertionError):
                    wait_until(lambda: private.socket.close_code, 3)
                    break
            assert private.closed()[0] == STALE
            for wire in (public, nobody):
                assert wire.ask(op="ping")["ok"]
            refused = public.ask(op="order.status", params={"clientOrderId": "a"})
            assert refused["error"]["code"] == "ACCESS_STALE"
        finally:
            door.oms.remove_listener(hang)
            goes_on.set()


def test_another_users_token_ends_what_that_user_may_not_see(door):
    ann, bob = door.user("ann"), door.user("bob")
    with Wire(door) as wire:
        assert wire.ask(op="auth", token="x" * 40)["error"]["code"] == "TOKEN_INVALID"
        assert wire.ask(op="auth", token=ann.tokens["token"])["user"] == "ann"
        wire.subscribe("orders")
        wire.subscribe("trades", symbol="BTC_USD")
        assert wire.ask(op="auth", token=bob.tokens["token"])["accounts"] == ["bob"]
        assert {"channel": "orders", "account": "ann", "event": "ENDED", "why": "AUTH"} in wire.told
        wire.subscribe("orders")
        ann.buy("1", "9")
        bob.buy("1", "9")
        assert wire.until(lambda m: m.get("channel") == "orders")["account"] == "bob"
        assert wire.ask(op="list")["subscriptions"] == [
            {"channel": "trades", "symbol": "BTC_USD"}, {"channel": "orders", "account": "bob"},
        ]  # fmt: skip


def test_a_ticket_opens_one_socket(door):
    ann = door.user("ann")
    ticket = ann.ask("POST", "/ticket").json()["ticket"]
    with Wire(door, query=f"?ticket={ticket}") as wire:
        assert wire.welcome["user"] == "ann"
    with pytest.raises(InvalidStatus) as refused:
        Wire(door, query=f"?ticket={ticket}")
    assert refused.value.response.status_code == 401


def test_a_user_and_an_address_have_so_many_sockets(start_door):
    door = start_door(front_config(user_sockets_max=2, address_sockets_max=3))
    ann, bob = door.user("ann"), door.user("bob")
    with Wire(door, ann) as first, Wire(door, ann):
        with pytest.raises(InvalidStatus) as refused:
            Wire(door, ann)
        assert refused.value.response.status_code == 429
        error = json.loads(refused.value.response.body)["error"]
        assert error["message"] == "at most 2 sockets of a user"
        with Wire(door, bob) as other:
            again = other.ask(op="auth", token=ann.tokens["token"])
            assert again["error"]["code"] == "TOO_MANY_REQUESTS"
            with pytest.raises(InvalidStatus) as refused:
                Wire(door)
            assert refused.value.response.status_code == 429
        first.close()
        with Wire(door, ann) as third:  # a place was given back
            assert third.ask(op="ping")["ok"]


def test_a_socket_that_says_nothing_and_listens_to_nothing_is_closed(start_door):
    clock = ManualClock()
    door = start_door(clock=clock)
    with Wire(door) as idle, Wire(door) as listens:
        listens.subscribe("markets")
        clock.advance(IDLE_S + 1)
        assert idle.closed()[0] == IDLE
        assert listens.ask(op="ping")["ok"]


def test_messages_beyond_the_allowance_are_refused_and_who_goes_on_is_closed(start_door):
    door = start_door(front_config(requests_max=5), clock=ManualClock())
    with Wire(door) as wire, Wire(door, door.user("ann")) as other:
        for _ in range(10 + 2 * EXTRA_MAX + 1):  # allowed at once, refused, and one more
            wire.say(op="ping")
        assert wire.closed()[0] == TOO_MUCH
        refused = [m for m in wire.told if not m.get("ok", True)]
        assert refused[0]["error"]["code"] == "TOO_MANY_REQUESTS"
        assert other.ask(op="ping")["ok"]


def test_control_frames_and_fragments_are_few(start_door):
    """A hundred at once; by this clock nothing is forgiven."""
    door = start_door(clock=ManualClock())
    most = 2 * EXTRA_MAX
    with Wire(door) as pings, Wire(door) as fragments:
        for number in range(most):
            pings.socket.ping(str(number))
        for _ in range(4):
            fragments.socket.send(iter(["{", *[" "] * (most // 4 - 2), "}"]))
            assert not fragments.read()["ok"]  # `{ }` is no message, but it was read
        assert pings.ask(op="ping")["ok"]
        pings.socket.ping("one more")
        assert pings.closed()[0] == TOO_MUCH
        with suppress(ConnectionClosed):  # by the first fragment; the others may come too late
            fragments.socket.send(iter(["{", "}"]))
        assert fragments.closed()[0] == TOO_MUCH


def test_a_subscription_too_many_is_refused(door):
    with Wire(door) as wire:
        count = 0
        for symbol in ("BTC_USD", "TATA_INR"):
            for channel in ("trades", "auction"):
                wire.subscribe(channel, symbol=symbol)
                count += 1
        monkey = "oms.gateways.web.sockets.TOPICS_MAX"
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(monkey, count)
            refused = wire.ask(op="subscribe", channel="markets")
        assert refused["error"]["code"] == "TOO_MANY_REQUESTS"


def test_who_does_not_read_is_closed_and_the_others_do_not_notice(door, monkeypatch):
    """Its buffers are small, so that the daemon's fill up; another one reads everything."""
    monkeypatch.setattr("oms.gateways.web.frames.UNREAD_BYTES_MAX", 65_536)
    ann, small = door.user("ann"), socket.socket()
    small.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
    small.connect(("127.0.0.1", int(door.url.rpartition(":")[2])))
    slow = {"sock": small, "max_queue": 1, "ping_interval": None}
    with Wire(door, ann) as reads, Wire(door, ann, **slow) as sleeps:
        reads.subscribe("orders")
        sleeps.subscribe("orders")
        order = {"symbol": "BTC_USD", "side": "BUY", "price": "9", "quantity": "1",
                 "timeInForce": "IOC"}  # fmt: skip
        sent = 0
        while door.oms.get_status()["health"] == "ok" and door.server._door.sockets == 2:
            answer = ann.ask("POST", "/orders", [order] * 20)
            assert answer.status_code == 200
            sent += 20
            last = answer.json()[-1]["order"]["orderId"]
            reads.until(
                lambda m, last=last: (m["data"]["orderId"], m["event"]) == (last, "CANCELED")
            )
            assert sent < 200_000, "it is never closed"
        assert len(reads.events("orders")) == 2 * sent
        code, reason = sleeps.closed()
        assert (code, reason.partition(":")[0]) == (4008, "it does not read")


def test_where_more_happens_than_can_be_told_all_begin_anew(door, monkeypatch):
    """Nobody is left with a gap that they do not know of; they resume."""
    ann = door.user("ann")
    with Wire(door, ann) as private, Wire(door) as public:
        begun = private.subscribe("orders")
        private.subscribe("balances")
        public.subscribe("depth", symbol="BTC_USD")
        monkeypatch.setattr("oms.gateways.web.hub.EVENTS_MAX", 1)
        count = 0
        while door.server._door.sockets:
            assert ann.buy("1", "9").status_code == 201
            count += 1
        assert private.closed()[0] == public.closed()[0] == 1013
    monkeypatch.undo()
    with Wire(door, ann) as private:
        resumed = private.subscribe("orders", fromSeq=begun["seq"])
        private.beat(int(resumed["seq"]))
        assert len(private.events("orders")) == count
