"""Logins over HTTP: tokens that rotate, second factors, passwords, keys; also over a kill."""

import base64
import threading
from datetime import UTC, datetime
from urllib.parse import parse_qs, urlsplit

import pytest

from oms import ManualClock
from oms.gateways.signatures import STEP_S, totp
from tests.processes import wait_until
from tests.web.doors import WEB, FrontDoor, User
from tests.web.programs import Program
from tests.web.served import PASSWORD, Daemon

OTHER = "another staple battery horse"
GRACE_S = 5


@pytest.fixture
def clock():
    return ManualClock.at(datetime(2026, 3, 4, 12, tzinfo=UTC))


@pytest.fixture
def door(start_door, clock):
    """Its time stands still until the test moves it."""
    return start_door(clock=clock)


def passes(door: FrontDoor, clock: ManualClock, seconds: float) -> None:
    """Time passes, and the engine has seen it: until then, nobody's rights are known."""
    clock.advance(seconds)
    wait_until(lambda: not door.server.gate.is_stale())


def post(door: FrontDoor, path: str, **said: object):
    return door.http.post(path, json=said)


def refreshed(door: FrontDoor, tokens: dict):
    return post(door, "/refresh", refreshToken=tokens["refreshToken"])


def is_in(door: FrontDoor, tokens: dict) -> bool:
    return User(door, "", tokens).ask("GET", "/me").status_code == 200


# --- refresh tokens ---


def test_a_lost_answer_can_be_asked_for_again(door, clock):
    """Within the grace: the same refresh token gives tokens again, and all of them are good."""
    ann = door.user("ann")
    first = refreshed(door, ann.tokens)  # and say the answer was lost
    passes(door, clock, GRACE_S)
    again = refreshed(door, ann.tokens)
    assert first.status_code == again.status_code == 200
    assert is_in(door, first.json()) and is_in(door, again.json())
    assert refreshed(door, again.json()).status_code == 200


def test_a_refresh_token_that_is_used_later_ends_the_login(door, clock):
    """Two have it: neither goes on. Another login of the same user is not touched."""
    ann, elsewhere = door.user("ann"), door.login("ann")
    stolen = ann.tokens
    new = refreshed(door, stolen).json()
    passes(door, clock, GRACE_S + 1)
    reused = refreshed(door, stolen)
    assert (reused.status_code, reused.json()["error"]["code"]) == (401, "SESSION_REVOKED")
    assert not is_in(door, new) and not is_in(door, stolen)
    assert refreshed(door, new).status_code == 401
    assert is_in(door, elsewhere.tokens)


def test_two_tabs_that_refresh_at_once_both_go_on(door):
    """However the two meet, neither is logged out."""
    ann = door.user("ann")
    answers, barrier = [], threading.Barrier(2)

    def tab() -> None:
        barrier.wait(10)
        answers.append(refreshed(door, ann.tokens))

    tabs = [threading.Thread(target=tab) for _ in range(2)]
    for each in tabs:
        each.start()
    for each in tabs:
        each.join(30)
    assert [each.status_code for each in answers] == [200, 200]
    for each in answers:
        assert is_in(door, each.json())
        assert refreshed(door, each.json()).status_code == 200


def test_each_token_is_good_for_its_kind_only(door):
    """A refresh token or a ticket is no bearer's token, nor is an access token a ticket."""
    ann = door.user("ann")
    ticket = ann.ask("POST", "/ticket", {}).json()["ticket"]
    for token in (ann.tokens["refreshToken"], ticket, ann.tokens["token"] + "x", "a.b.c", "-"):
        assert not is_in(door, {"token": token})
    assert post(door, "/refresh", refreshToken=ann.tokens["token"]).status_code == 401
    assert post(door, "/login", pending=ann.tokens["token"], code="123456").status_code == 401


def test_a_token_ends_when_it_says_so(door, clock):
    ann = door.user("ann")
    passes(door, clock, ann.tokens["expiresIn"] - 1)
    assert is_in(door, ann.tokens)
    passes(door, clock, 2)
    assert not is_in(door, ann.tokens)
    assert is_in(door, refreshed(door, ann.tokens).json())


# --- clocks that jump ---


def test_a_clock_that_jumps_forwards_ends_tokens_and_no_login(door, clock):
    """A day ahead: the access token is over, the refresh token is not."""
    ann = door.user("ann")
    clock.jump(86_400)
    assert not is_in(door, ann.tokens)
    assert is_in(door, refreshed(door, ann.tokens).json())


def test_a_clock_that_jumps_backwards_lets_nobody_in_for_longer(door, clock):
    """A token of the future is none; whoever logs in anew is in, and reuse is seen as before."""
    ann = door.user("ann")
    clock.jump(-3_600)
    assert not is_in(door, ann.tokens)
    again = door.login("ann")
    assert is_in(door, again.tokens)
    refreshed(door, again.tokens)
    passes(door, clock, GRACE_S + 1)
    assert refreshed(door, again.tokens).status_code == 401
    clock.jump(3_600)
    assert is_in(door, ann.tokens)  # nobody ended that login


def test_a_key_is_not_good_for_the_same_request_twice_when_the_clock_was_set_back(door, clock):
    """What was taken before the jump is not taken again when its time comes anew."""
    key = key_of(door, clock, door.user("ann"))
    headers = key.signed("GET", "/me", ahead_ms=0)
    assert door.http.get("/me", headers=headers).status_code == 200
    clock.jump(30)
    assert key.ask("GET", "/me", ahead_ms=0).status_code == 200
    clock.jump(-30)
    again = door.http.get("/me", headers=headers)
    assert (again.status_code, again.json()["error"]["code"]) == (503, "ACCESS_STALE")


# --- passwords ---


def test_a_new_password_ends_all_logins(door):
    ann, elsewhere = door.user("ann"), door.login("ann")
    said = {"oldPassword": "wrong wrong", "newPassword": OTHER}
    assert ann.ask("POST", "/password", said).status_code == 401
    assert ann.ask("POST", "/password", {**said, "oldPassword": PASSWORD}).status_code == 200
    for tokens in (ann.tokens, elsewhere.tokens):
        assert not is_in(door, tokens)
        assert refreshed(door, tokens).status_code == 401
    assert post(door, "/login", username="ann", password=PASSWORD).status_code == 401
    assert post(door, "/login", username="ann", password=OTHER).status_code == 200


def test_an_operators_code_sets_a_password_once(door, clock):
    """Typed in groups and small letters it is the same; after a day it is none."""
    boss, ann = door.user("boss", "operator"), door.user("ann")
    code = boss.ask("POST", "/admin/users/ann/code").json()["code"]
    assert reset(door, code="A" * 20).status_code == 401
    typed = "-".join(code[n : n + 5] for n in range(0, 20, 5)).lower()
    assert reset(door, code=typed).status_code == 200
    assert not is_in(door, ann.tokens)
    assert post(door, "/login", username="ann", password=OTHER).status_code == 200
    assert reset(door, code=code).status_code == 401
    late = boss.ask("POST", "/admin/users/ann/code").json()["code"]
    passes(door, clock, 86_401)
    assert reset(door, code=late).status_code == 401


def test_a_code_is_void_after_five_that_were_wrong(door, clock):
    boss = door.user("boss", "operator")
    door.user("ann")
    code = boss.ask("POST", "/admin/users/ann/code").json()["code"]
    for _ in range(5):
        assert reset(door, code="A" * 20).status_code == 401
        passes(door, clock, 20)
    assert reset(door, code=code).status_code == 401


def reset(door: FrontDoor, code: str):
    return post(door, "/password/reset", username="ann", code=code, newPassword=OTHER)


def test_a_logout_ends_one_login_or_all(door):
    first, second, third = door.user("ann"), door.login("ann"), door.login("ann")
    assert first.ask("POST", "/logout", {}).status_code == 200
    assert [is_in(door, each.tokens) for each in (first, second, third)] == [False, True, True]
    assert second.ask("POST", "/logout", {"everywhere": True}).status_code == 200
    assert not is_in(door, third.tokens)
    assert refreshed(door, third.tokens).status_code == 401


# --- the second factor ---


def with_factor(clock: ManualClock, user: User) -> bytes:
    """Turn it on, as an authenticator program does; its secret."""
    uri = user.ask("GET", "/factor").json()["uri"]
    text = parse_qs(urlsplit(uri).query)["secret"][0]
    secret = base64.b32decode(text + "=" * (-len(text) % 8))
    assert user.ask("POST", "/factor", {"code": code_at(clock, secret)}).status_code == 200
    return secret


def code_at(clock: ManualClock, secret: bytes) -> str:
    return totp(secret, clock.wall_ns() // 10**9 // STEP_S)


def test_a_login_with_a_second_factor_takes_both_steps(door, clock):
    """The password alone gives a token that is good for the second step only; a code is good
    once."""
    ann = door.user("ann")
    secret = with_factor(clock, ann)
    half = post(door, "/login", username="ann", password=PASSWORD)
    assert half.status_code == 202 and "token" not in half.json()
    pending = half.json()["pending"]
    assert not is_in(door, {"token": pending})
    assert post(door, "/refresh", refreshToken=pending).status_code == 401
    used = code_at(clock, secret)
    assert post(door, "/login", pending=pending, code=used).status_code == 401
    passes(door, clock, STEP_S)
    code = code_at(clock, secret)
    whole = post(door, "/login", pending=pending, code=code)
    assert whole.status_code == 200 and is_in(door, whole.json())
    again = post(door, "/login", username="ann", password=PASSWORD, code=code)
    assert again.status_code == 401
    shown = ann.ask("GET", "/factor").json()
    assert shown == {"on": True}  # the secret is not shown again


def test_the_token_between_both_steps_is_over_in_its_time(door, clock):
    """It gives no other one: without a code it is refused, and nothing is issued."""
    ann = door.user("ann")
    secret = with_factor(clock, ann)
    pending = post(door, "/login", username="ann", password=PASSWORD).json()["pending"]
    for said in ({}, {"code": ""}, {"username": "ann"}):
        told = post(door, "/login", pending=pending, **said)
        assert (told.status_code, told.json()["error"]["field"]) == (400, "code"), said
        assert "pending" not in told.json()
    passes(door, clock, 301)
    late = post(door, "/login", pending=pending, code=code_at(clock, secret))
    assert (late.status_code, late.json()["error"]["code"]) == (401, "TOKEN_INVALID")


def test_codes_cannot_be_guessed(door, clock):
    """After five that were wrong one has to wait, whatever the password; and it needs a code to
    turn the factor off."""
    ann = door.user("ann")
    secret = with_factor(clock, ann)
    passes(door, clock, STEP_S)
    right = code_at(clock, secret)
    wrong = f"{(int(right) + 1) % 10**6:06}"
    statuses = []
    for n in range(6):
        said = {"username": "ann", "password": PASSWORD, "code": wrong}
        statuses.append(post(door, "/login", **said).status_code if n < 5 else 0)
    assert statuses[:5] == [401] * 5
    limited = post(door, "/login", username="ann", password=PASSWORD, code=right)
    assert limited.status_code == 429 and int(limited.headers["retry-after"]) >= 1
    passes(door, clock, 10)
    assert ann.ask("DELETE", "/factor", {"code": wrong}).status_code in (401, 429)
    passes(door, clock, STEP_S)
    off = ann.ask("DELETE", "/factor", {"code": code_at(clock, secret)})
    assert off.status_code == 200
    assert post(door, "/login", username="ann", password=PASSWORD).status_code == 200


# --- keys ---


def key_of(door: FrontDoor, clock: ManualClock, user: User, **more: object) -> Program:
    """A key whose program has the door's clock; the first second after the start is over."""
    passes(door, clock, 2)
    return Program.of(user, ["read", "trade"], now_ns=clock.wall_ns, **more)


def test_a_signature_is_good_for_what_was_signed_alone(door, clock):
    """Another body, path, query or method, another key's secret: none of it is taken."""
    ann = door.user("ann")
    key, other = key_of(door, clock, ann), Program.of(ann, ["read"], now_ns=clock.wall_ns)
    body = b'{"symbol":"BTC_USD","side":"BUY","quantity":"1","price":"9"}'

    def sent(method: str, target: str, content: bytes, **changes: str) -> int:
        headers = {**key.signed("POST", "/order?wait=done&seconds=1", body), **changes}
        return door.http.request(method, target, content=content, headers=headers).status_code

    target = "/order?wait=done&seconds=1"
    assert sent("POST", target, body.replace(b"9", b"8")) == 401
    assert sent("POST", "/order?seconds=1&wait=done", body) == 401
    assert sent("POST", "/order", body) == 401
    assert sent("DELETE", target, body) == 401
    assert sent("POST", "/v1" + target, body) == 401
    assert sent("POST", target, body, **{"x-api-key": other.key}) == 401
    assert sent("POST", target, body, **{"x-api-nonce": "another"}) == 401
    assert sent("POST", target, body) == 202
    assert len(ann.ask("GET", "/orders/open").json()["orders"]) == 1


def test_a_signed_request_is_taken_once_and_in_its_time(door, clock):
    ann = door.user("ann")
    key = key_of(door, clock, ann)
    headers = key.signed("GET", "/me", ahead_ms=0)
    assert door.http.get("/me", headers=headers).status_code == 200
    assert door.http.get("/me", headers=headers).status_code == 401
    assert key.ask("GET", "/me", ahead_ms=2_000).status_code == 401
    late = key.signed("GET", "/me", ahead_ms=0)
    passes(door, clock, 11)
    assert door.http.get("/me", headers=late).status_code == 401


def test_within_a_second_of_a_start_a_signed_request_is_told_to_come_again(door, clock):
    """Whether the process before has taken it cannot be known: no word of a wrong signature."""
    ann = door.user("ann")
    made = ann.ask("POST", "/keys", {"name": "bot", "scopes": ["read"]}).json()
    key = Program(door, made["id"], made["secret"], clock.wall_ns)
    early = key.signed("GET", "/me", ahead_ms=0)
    for seconds in (0, 0.999):
        passes(door, clock, seconds)
        answer = key.ask("GET", "/me", ahead_ms=0)
        assert (answer.status_code, answer.json()["error"]["code"]) == (503, "ACCESS_STALE")
        assert answer.headers["retry-after"] == "1"
    wrong = Program(door, made["id"], "0" * 64, clock.wall_ns)
    assert wrong.ask("GET", "/me", ahead_ms=0).status_code == 401
    assert key.ask("GET", "/me", ahead_ms=-11_000).status_code == 401
    assert key.ask("GET", "/me", ahead_ms=1_001).status_code == 401
    passes(door, clock, 1.001)  # two seconds in all, which is what a start of Redis asks for
    assert key.ask("GET", "/me", ahead_ms=0).status_code == 200
    assert door.http.get("/me", headers=early).status_code == 503


def test_a_key_ends_by_time_by_its_owner_and_is_for_its_addresses(door, clock):
    ann, eve = door.user("ann"), door.user("eve")
    elsewhere = ann.ask("POST", "/keys", {
        "name": "far", "scopes": ["read"], "addresses": ["192.0.2.0/24"],
    }).json()  # fmt: skip
    far = Program(door, elsewhere["id"], elsewhere["secret"], clock.wall_ns)
    key = key_of(door, clock, ann, ends=str(clock.wall_ns() + 60 * 10**9))
    assert far.ask("GET", "/me").status_code == 403
    assert key.ask("GET", "/me").status_code == 200
    passes(door, clock, 61)
    assert key.ask("GET", "/me").status_code == 401
    key = Program.of(ann, ["read"], now_ns=clock.wall_ns)
    assert eve.ask("DELETE", f"/keys/{key.key}").status_code == 404
    assert key.ask("GET", "/me").status_code == 200
    assert "secret" not in ann.ask("GET", "/keys").text
    assert ann.ask("DELETE", f"/keys/{key.key}").status_code == 200
    assert key.ask("GET", "/me").status_code == 401


# --- over kills ---


def test_a_sign_up_that_was_cut_short_is_finished_by_the_login(door):
    """The user was there and the answer was not, nor the account: it comes with the login, once."""
    gate = door.server.gate
    request = gate.sign_up("ann", "ann@example.com", PASSWORD, ("ann",))
    assert not door.oms.submit(request).result(30).refused
    assert door.oms.balances("ann") == {}
    for _ in range(2):
        ann = door.login("ann")
        owned = ann.ask("GET", "/balance").json()["balances"]
        assert {each["available"] for each in owned} == {str(WEB.play_money)}
        assert len(owned) == 4
    ann.ask("POST", "/balance/withdraw", {"asset": "USD", "amount": "100000"})
    owned = door.login("ann").ask("GET", "/balance").json()["balances"]
    assert [each["available"] for each in owned if each["asset"] == "USD"] == ["0"]


def test_users_logins_and_keys_are_the_same_after_a_kill(tmp_path):
    """What was answered holds: who is in, who was put out, and what was used."""
    directory = tmp_path / "data"
    with Daemon(directory) as daemon:
        daemon.sign_up("ann")
        stays, goes, rotates = (daemon.login("ann") for _ in range(3))
        ann = daemon.session(stays["token"])
        ticket = ann.good("POST", "/ticket", {})["ticket"]
        kept, revoked = (
            ann.good("POST", "/keys", {"name": name, "scopes": ["read"]}) for name in "kr"
        )
        program = Program(daemon, kept["id"], kept["secret"])
        answered = []

        def taken() -> bool:  # the first second takes no signed request
            answered.append(program.signed("GET", "/me"))
            return daemon.session().ask("GET", "/me", headers=answered[-1]).status == 200

        wait_until(taken)
        ann.good("DELETE", f"/keys/{revoked['id']}")
        daemon.session(goes["token"]).good("POST", "/logout", {})
        rotated = daemon.session().good(
            "POST", "/refresh", {"refreshToken": rotates["refreshToken"]}
        )
        daemon.kill()
    with Daemon(directory) as daemon:
        session = daemon.session
        assert session(stays["token"]).ask("GET", "/me").status == 200
        assert session(goes["token"]).ask("GET", "/me").status == 401
        assert session(rotated["token"]).ask("GET", "/me").status == 200
        again = {"refreshToken": rotated["refreshToken"]}
        assert session().ask("POST", "/refresh", again).status == 200
        assert (
            session().ask("POST", "/refresh", {"refreshToken": goes["refreshToken"]}).status == 401
        )
        # a request that was seen before the kill is not taken again, nor is a ticket
        assert session().ask("GET", "/me", headers=answered[-1]).status == 503
        assert session().ask("GET", f"/ws?ticket={ticket}", headers=UPGRADE).status == 401
        wait_until(
            lambda: session().ask("GET", "/me", headers=program.signed("GET", "/me")).status == 200
        )
        gone = Program(daemon, revoked["id"], revoked["secret"])
        assert session().ask("GET", "/me", headers=gone.signed("GET", "/me")).status == 401
        # and a login that is ended now stays so after the next kill
        session(stays["token"]).good("POST", "/logout", {"everywhere": True})
        daemon.kill()
    with Daemon(directory) as daemon:
        for tokens in (stays, rotated):
            assert daemon.session(tokens["token"]).ask("GET", "/me").status == 401


UPGRADE = {
    "upgrade": "websocket", "connection": "Upgrade", "sec-websocket-version": "13",
    "sec-websocket-key": base64.b64encode(b"0" * 16).decode(),
}  # fmt: skip
