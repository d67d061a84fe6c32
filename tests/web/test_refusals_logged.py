"""Every refused access is one line of the log: what, from where, who, why."""

import logging

import pytest
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

from tests.processes import wait_until
from tests.web.clients import opened, said_to
from tests.web.daemons import request, say
from tests.web.doors import PASSWORD, front_config

ORDER = {"symbol": "BTC_USD", "side": "BUY", "price": "9", "quantity": "1"}
EVIL = {"origin": "https://evil.example"}


@pytest.fixture
def refused(caplog):
    """The lines since it was asked last: of refusals, and whatever uvicorn says."""
    caplog.set_level(logging.INFO)

    def lines():
        found = [
            record.getMessage() for record in caplog.records
            if record.getMessage().startswith("refused ") or record.name.startswith("uvicorn")
        ]  # fmt: skip
        caplog.clear()
        return found

    return lines


def one_line(lines, *parts):
    assert len(lines) == 1, lines
    assert all(part in lines[0] for part in ("127.0.0.1", *parts)), lines


def test_over_rest(start_door, refused):
    """Nobody, who may not, another's account, a page of another site, and too many."""
    door = start_door(front_config(allowed_hosts="localhost, 127.0.0.1"))
    ann, vic = door.user("ann"), door.user("vic", "viewer")
    refused()
    for ask, *parts in (
        (lambda: door.http.get("/me"), "GET /me", "user -", "UNAUTHORIZED"),
        (lambda: door.http.get("/time", headers=EVIL), "GET /time", "user -", "FORBIDDEN"),
        (lambda: door.http.get("/time", headers={"host": "evil.example"}), "GET /time", "hosts"),
        (lambda: door.http.options("/order", headers=EVIL), "OPTIONS", "FORBIDDEN"),
        (lambda: vic.buy("1", "9"), "POST /order", "user vic", "FORBIDDEN", "right to trade"),
        (lambda: ann.ask("GET", "/admin/users"), "/admin/users", "user ann", "FORBIDDEN"),
        (lambda: ann.ask("GET", "/balance?account=vic"), "/balance", "user ann", "'vic'"),
        (lambda: ann.buy("1", "9", account="vic"), "/order", "user ann", "ACCOUNT_UNKNOWN"),
    ):
        answer = ask()
        assert answer.status_code in (401, 403, 421, 422)
        one_line(refused(), *parts, f"request {answer.headers['x-request-id']}")
    assert ann.buy("1", "0").status_code == 422  # the exchange's own refusals are its reports
    assert ann.ask("GET", "/orders/987654").status_code == 404
    assert refused() == []


def test_logins_tokens_and_codes(door, refused):
    """Each is said once, by the gate or by the door: also what the exchange finds out."""
    ann = door.user("ann")
    refused()
    ann.ask("POST", "/logout", {})
    for ask, *parts in (
        (lambda: ann.ask("GET", "/me"), "SESSION_REVOKED", "ann"),
        (lambda: post(door, "/refresh", refreshToken="x"), "TOKEN_INVALID"),
        (lambda: post(door, "/login", username="ann", password="wrong"), "CREDENTIALS_INVALID"),
        (lambda: post(door, "/login", pending="x", code="1"), "TOKEN_INVALID"),
        (
            lambda: post(door, "/refresh", refreshToken=ann.tokens["refreshToken"]),
            "POST /refresh", "SESSION_REVOKED",
        ),
        (
            lambda: post(door, "/password/reset", username="ann", code="x", newPassword=PASSWORD),
            "POST /password/reset", "CODE_INVALID",
        ),
    ):  # fmt: skip
        assert ask().status_code == 401
        one_line(refused(), *parts)


def post(door, path, **said):
    return door.http.post(path, json=said)


def test_a_socket_that_is_not_opened(door, refused):
    """Page, name, ticket, token: and uvicorn does not complain of its own."""
    for headers, query, *parts in (
        (EVIL, "", "a WebSocket", "FORBIDDEN", "another site"),
        ({}, "?ticket=no", "TOKEN_INVALID"),
        ({"authorization": "Basic x"}, "", "a WebSocket", "UNAUTHORIZED"),
    ):
        with pytest.raises(InvalidStatus) as caught:
            connect(door.ws_url + query, additional_headers=headers).close()
        assert caught.value.response.status_code in (401, 403)
        one_line(refused(), *parts)
    asks = {
        "host": "evil.example", "connection": "upgrade", "upgrade": "websocket",
        "sec-websocket-version": "13", "sec-websocket-key": "x" * 22 + "==",
    }  # fmt: skip
    assert say(door.url, request("GET", "/ws", asks)).status == 421
    one_line(refused(), "a WebSocket", "FORBIDDEN", "no such host")


def test_over_an_open_socket(door, refused):
    ann = door.user("ann")
    door.user("bob")
    refused()
    with opened(door, None) as socket:
        for op, said in (
            ("order.place", {"params": ORDER}), ("subscribe", {"channel": "orders"}),
            ("cancelOnDisconnect", {"scope": "account"}),
        ):  # fmt: skip
            assert not said_to(socket, op, **said)["ok"]
            one_line(refused(), op, "user -", "UNAUTHORIZED")
        assert not said_to(socket, "auth", token="x")["ok"]
        one_line(refused(), "TOKEN_INVALID")
    with opened(door, ann) as socket:
        for op, said in (
            ("order.place", {"params": {**ORDER, "account": "bob"}}),
            ("order.cancel_all", {"params": {"account": "bob"}}),
            ("subscribe", {"channel": "balances", "account": "bob"}),
        ):
            assert not said_to(socket, op, **said)["ok"]
            one_line(refused(), op, "user ann", "ACCOUNT_UNKNOWN")
        assert not said_to(socket, "order.place", params={**ORDER, "price": "0"})["ok"]
        assert not said_to(socket, "order.nonsense", params={})["ok"]
        assert refused() == []


def test_a_socket_whose_login_ends(door, refused):
    """It is closed, which is told once: with the user it was of."""
    ann = door.user("ann")
    with opened(door, ann) as socket:
        socket.recv(10)
        refused()
        found = []
        ann.ask("POST", "/logout", {})
        wait_until(lambda: found.extend(refused()) or found)
        one_line(found, "a socket", "user ann", "SESSION_REVOKED")
