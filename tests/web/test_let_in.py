"""Who is let in over HTTP, and how everybody else is answered: tokens, keys, hosts, pages of other
sites, proxies; and what no answer, log or file ever tells."""

import base64
import hashlib
import hmac
import json
import logging
import ssl
import subprocess
import threading
import time
from collections import Counter
from contextlib import suppress
from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st
from websockets.exceptions import InvalidStatus
from websockets.sync import client

from oms.clock import ManualClock
from oms.gateways import passwords
from oms.gateways.addresses import networks_in
from oms.gateways.tokens import TokenKind
from oms.gateways.web.errors import HttpError
from oms.gateways.web.keeper import DoorKeeper
from tests.processes import wait_until
from tests.web.conftest import SPLIT
from tests.web.daemons import RawDaemon, connect, read, request
from tests.web.doors import PASSWORD, FrontDoor, front_config

jwt = pytest.importorskip("jwt")


def claims_of(token):
    return json.loads(base64.urlsafe_b64decode(token.split(".")[1] + "=="))


def status(door, token):
    answer = door.http.get("/me", headers={"authorization": f"Bearer {token}"})
    return answer.status_code, answer.json().get("error", {}).get("code")


def test_a_token_that_is_not_ours_opens_nothing(door):
    """None, of another key, for others, without a signature, of the future: all are alike."""
    ann = door.user("ann")
    token = ann.tokens["token"]
    assert status(door, token) == (200, None)
    gate = door.server.gate
    claims, header = claims_of(token), {"kid": jwt.get_unverified_header(token)["kid"]}
    key = gate.tokens._key
    now_s = int(time.time())
    head, body, sign = token.split(".")
    unsigned = jwt.encode(claims, "", "none", headers=header)
    for wrong in (
        "", "x", "a.b.c", "." * 4_000, "\xe9", token[:-2], f"{head}.{body}.",
        f"{head}.{body}.{sign}x", unsigned,
        jwt.encode(claims, b"another secret of thirty-two bytes", "HS256", headers=header),
        jwt.encode(claims, key * 2, "HS512", headers=header),
        jwt.encode(claims, key, "HS256"),
        jwt.encode(claims, key, "HS256", headers={"kid": "../../etc/passwd"}),
        jwt.encode({**claims, "aud": "others"}, key, "HS256", headers=header),
        jwt.encode({**claims, "exp": now_s - 1}, key, "HS256", headers=header),
        jwt.encode({**claims, "iat": now_s + 3_600}, key, "HS256", headers=header),
        jwt.encode({**claims, "kind": "root"}, key, "HS256", headers=header),
        jwt.encode({k: v for k, v in claims.items() if k != "exp"}, key, "HS256", headers=header),
        ann.tokens["refreshToken"],
        gate.tokens.issue(TokenKind.TICKET, "ann", family=claims["family"]),
        gate.tokens.issue(TokenKind.SECOND_FACTOR, "ann", credential="x"),
    ):  # fmt: skip
        raw = request("GET", "/me", {"authorization": f"Bearer {wrong}"})
        with connect(door.url) as connection:
            connection.sendall(raw)
            answer = read(connection)
        assert (answer.status, answer.code) == (401, "TOKEN_INVALID"), wrong
    basic = door.http.get("/me", headers={"authorization": "Basic YW5uOng="})
    assert basic.status_code == 401
    assert door.http.get("/me").headers["www-authenticate"].startswith("Bearer")


def signed(secret, method, target, body=b"", nonce="n", at_ms=None):
    time_ms = str(int(time.time() * 1_000) if at_ms is None else at_ms)
    digest = hashlib.sha256(body).hexdigest()
    text = "\n".join((time_ms, nonce, method, target, digest)).encode()
    return {
        "x-api-time": time_ms, "x-api-nonce": nonce,
        "x-api-signature": hmac.new(secret.encode(), text, "sha256").hexdigest(),
    }  # fmt: skip


def test_a_signed_request_is_good_once_now_and_for_what_it_signs(door):
    """Another signature, a nonce again, an old time, another path, body or key: 401."""
    ann = door.user("ann")
    key = ann.ask("POST", "/keys", {"name": "bot", "scopes": ["read", "trade"]}).json()
    headers = {"x-api-key": key["id"]}

    def answered(target="/me?", method="GET", body=b"", **more):
        return door.http.request(
            method, target, content=body or None, headers={**headers, **more}
        ).status_code  # fmt: skip

    secret, now_ms = key["secret"], int(time.time() * 1_000)
    # Nothing is taken that may have been signed for the process, or the Redis, before this one.
    wait_ms = 2_100 if SPLIT else 1_100
    wait_until(lambda: int(time.time() * 1_000) > now_ms + wait_ms)
    good = signed(secret, "GET", "/me")
    assert answered("/me", **good) == 200
    assert answered("/me", **good) == 401
    for wrong in (
        signed("another", "GET", "/me", nonce="a"), signed(secret, "GET", "/keys", nonce="b"),
        signed(secret, "POST", "/me", nonce="c"), signed(secret, "GET", "/me", b"x", nonce="d"),
        signed(secret, "GET", "/me", nonce="e", at_ms=int(time.time() * 1_000) - 60_000),
        signed(secret, "GET", "/me", nonce="f", at_ms=int(time.time() * 1_000) + 60_000),
        signed(secret, "GET", "/me", nonce="no nonce!"), {},
        {**signed(secret, "GET", "/me", nonce="g"), "x-api-key": "0-0"},
        {**signed(secret, "GET", "/me", nonce="h"), "x-api-key": "../x"},
    ):  # fmt: skip
        assert answered("/me", **wrong) == 401, wrong
    order = b'{"symbol": "BTC_USD", "side": "BUY", "price": "9", "quantity": "1"}'
    assert answered("/order", "POST", order, **signed(secret, "POST", "/order", order, "o")) == 201
    assert (
        answered("/order", "POST", order + b" ", **signed(secret, "POST", "/order", order, "p"))
        == 401
    )


def test_a_key_of_other_addresses_is_refused(door):
    ann = door.user("ann")
    body = {"name": "bot", "scopes": ["read"], "addresses": ["192.0.2.0/24"]}
    key = ann.ask("POST", "/keys", body).json()
    headers = {"x-api-key": key["id"], **signed(key["secret"], "GET", "/me")}
    answer = door.http.get("/me", headers=headers)
    assert answer.status_code in (401, 403)


def test_nobody_learns_by_logging_in_whether_there_is_such_a_user(start_door, monkeypatch):
    """The same words for a wrong password and for no such user; after some tries both have to
    wait alike; and the answer takes the same work: a hash of the same cost."""
    door = start_door()
    door.user("ann")
    verify, costs = passwords.verify, []

    def verified(hashed, password):
        costs.append(hashed.rpartition("$")[0].rpartition("$")[0])  # without salt and digest
        return verify(hashed, password)

    monkeypatch.setattr(passwords, "verify", verified)
    door.server._door.limits._allowances["login"] = door.server._door.limits._allowances["request"]

    def tried(name):
        answer = door.http.post("/login", json={"username": name, "password": "wrong one"})
        error = answer.json()["error"]
        told = (answer.status_code, error["code"], error["message"], error["field"])
        return told, answer.headers

    first = {name: [tried(name) for _ in range(4)] for name in ("ann", "nobody")}
    known, unknown = ([told for told, _ in first[name]] for name in ("ann", "nobody"))
    assert known == unknown
    assert known[0][:2] == (401, "CREDENTIALS_INVALID")
    assert len(costs) == 8 and set(costs[:4]) == set(costs[4:]) and len(set(costs)) == 1
    for name in ("ann", "nobody"):  # each pause is twice the one before
        for _ in range(10):
            told, headers = tried(name)
            if told[0] == 429:
                break
        assert told[1] == "LOGINS_EXCEED_MAXIMUM"
        assert int(headers["retry-after"]) >= 1
    again = door.http.post("/login", json={"username": "ann", "password": PASSWORD})
    assert again.status_code in (429, 200)  # the pause may be over by now


def test_every_answer_has_the_security_headers(door):
    """Of pages, errors, refusals of the router, and of what is no request."""
    for method, path in (
        ("GET", "/"), ("GET", "/docs"), ("GET", "/time"), ("GET", "/none"), ("PUT", "/order"),
        ("POST", "/order"), ("GET", "/static/plain.css"), ("OPTIONS", "/order"), ("HEAD", "/time"),
        ("GET", "/openapi.json"), ("GET", "/metrics"), ("GET", "/order?x=%ff"),
    ):  # fmt: skip
        headers = door.http.request(method, path).headers
        assert headers["x-content-type-options"] == "nosniff", path
        assert headers["x-frame-options"] == "DENY"
        assert headers["referrer-policy"] == "no-referrer"
        policy = headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy
        assert "server" not in headers


def test_a_name_that_we_do_not_have_is_not_answered_for(start_door):
    """Else a page whose name somebody points here could read what is here."""
    door = start_door(front_config(allowed_hosts="trade.example.com"))
    ask = door.http.get
    assert ask("/time", headers={"host": "trade.example.com"}).status_code == 200
    assert ask("/time", headers={"host": "TRADE.example.com:8443"}).status_code == 200
    for name in ("localhost", "evil.example", "trade.example.com.evil.example", ""):
        assert ask("/time", headers={"host": name}).status_code == 421, name


def test_nobody_is_sent_elsewhere(door):
    """A path with a slash too many is not there, whatever name it was asked by."""
    answer = door.http.get("/time/", headers={"host": "evil.example"})
    assert answer.status_code == 404
    assert "location" not in answer.headers


def test_pages_of_other_sites_may_not_ask_unless_they_are_named(start_door):
    door = start_door(front_config(allowed_origins="https://trade.example.com"))
    good, evil = {"origin": "https://trade.example.com"}, {"origin": "https://evil.example"}
    wish = {"access-control-request-method": "POST"}
    asked = door.http.options("/order", headers=good | wish)
    assert asked.status_code == 200
    assert asked.headers["access-control-allow-origin"] == good["origin"]
    assert "POST" in asked.headers["access-control-allow-methods"]
    assert "authorization" in asked.headers["access-control-allow-headers"]
    assert "access-control-allow-credentials" not in asked.headers
    refused = door.http.options("/order", headers=evil | wish)
    assert refused.status_code == 403
    assert "access-control-allow-origin" not in refused.headers
    told = door.http.get("/time", headers=good)
    assert told.headers["access-control-allow-origin"] == good["origin"]
    assert told.headers["vary"] == "origin"
    wrong = door.http.post("/order", headers=good, content=b"{}")  # errors can be read, too
    assert (wrong.status_code, wrong.headers["access-control-allow-origin"]) == (
        401,
        good["origin"],
    )
    assert door.http.get("/time", headers=evil).status_code == 403
    assert door.http.get("/time", headers={"origin": "null"}).status_code == 403


def test_preflights_count_against_the_allowance_of_their_address(start_door):
    """As every request does; one that is refused for another reason, too."""
    site = "https://trade.example.com"
    config = front_config(allowed_origins=site, address_max=4)
    door = start_door(config, clock=ManualClock())
    origins = [site, "https://evil.example"] * 4
    asked = [door.http.options("/order", headers={"origin": each}) for each in origins]
    assert [each.status_code for each in asked] == [200, 403] * 4
    for answer in (
        door.http.options("/order", headers={"origin": site}),
        door.http.get("/time", headers={"origin": site}),
    ):
        assert (answer.status_code, answer.json()["error"]["code"]) == (429, "TOO_MANY_REQUESTS")
        assert int(answer.headers["retry-after"]) >= 1
        assert answer.headers["access-control-allow-origin"] == site


def test_sign_ups_of_one_customers_network_are_one_addresss(start_door):
    """Of IPv6 that is a /64: they have as many addresses as they like."""
    door = start_door(front_config(trusted_proxies="127.0.0.1"), clock=ManualClock())

    def signed_up(address):
        said = {"username": "ann", "email": "ann@example.com", "password": "short"}
        return door.http.post("/signup", json=said, headers={"x-forwarded-for": address})

    statuses = [signed_up(f"2001:db8::{n}").status_code for n in range(11)]
    assert statuses == [400] * 10 + [429]
    assert signed_up("2001:db8:0:1::1").status_code == 400


def test_without_a_setting_only_our_own_pages_may_ask(door):
    own = {"origin": door.url}
    assert door.http.get("/time", headers=own).status_code == 200
    assert "access-control-allow-origin" not in door.http.get("/time", headers=own).headers
    assert door.http.options("/order", headers={"origin": "https://a.example"}).status_code == 403


NO_ORIGINS = (
    "http://[::1", "http://[x]", "null", "http://", "://localhost", "localhost", "https://a\xe9",
    "http://localhost.evil.example", "http://localhost@evil.example", "file://localhost",
)  # fmt: skip


def test_what_is_no_origin_of_ours_is_another_sites_page(door):
    """Also what is no URL at all: refused on every way in, with the headers of every answer."""
    socket_asks = {
        "connection": "upgrade", "upgrade": "websocket", "sec-websocket-version": "13",
        "sec-websocket-key": base64.b64encode(b"x" * 16).decode(),
    }  # fmt: skip
    for origin, (method, path, more) in product(NO_ORIGINS, (
        ("GET", "/time", {}), ("GET", "/", {}), ("POST", "/order", {}), ("OPTIONS", "/order", {}),
        ("GET", "/ws", socket_asks), ("GET", "/", socket_asks),
    )):  # fmt: skip
        with connect(door.url) as connection:
            connection.sendall(request(method, path, {"origin": origin, **more}))
            answer = read(connection)
        assert (answer.status, answer.code) == (403, "FORBIDDEN"), (origin, method, path, more)
        assert answer.headers["x-content-type-options"] == "nosniff"


def test_a_socket_that_cannot_be_opened_is_answered_as_every_error_is(door, monkeypatch, caplog):
    """Whatever fails: an error object, our headers, and the log says why."""
    monkeypatch.setattr(type(door.server._door.keeper), "address", lambda *_: 1 / 0)
    with pytest.raises(InvalidStatus) as caught:
        client.connect(door.ws_url).close()
    answer = caught.value.response
    assert answer.status_code == 500
    assert json.loads(answer.body)["error"]["code"] == "INTERNAL"
    assert answer.headers["x-frame-options"] == "DENY"
    assert "ZeroDivisionError" in caplog.text


PLACES = st.dictionaries(
    st.sampled_from(
        ("host", "origin", "x-forwarded-for", "authorization", "x-api-key", "x-api-time")
    ),
    st.lists(
        st.sampled_from(("http://", "[", "]", "::1", "127.0.0.1", ":", "a", "@", "%", ",", "\xe9")),
        max_size=5,
    ).map("".join),
)


@given(PLACES)
def test_whatever_the_headers_say_somebody_is_let_in_or_refused(headers):
    keeper = DoorKeeper.__new__(DoorKeeper)
    keeper._proxies = networks_in("trusted_proxies", "127.0.0.0/8")
    keeper._hosts, keeper._origins, keeper._any_address = frozenset({"a"}), frozenset(), True
    raw = [(name.encode(), value.encode("latin-1")) for name, value in headers.items()]
    assert keeper.address({"client": ("127.0.0.1", 1), "headers": raw})
    with suppress(HttpError):
        keeper.check_place(headers)


def test_an_address_is_believed_only_from_a_trusted_proxy(start_door, tmp_path, caplog):
    """By default nobody is: whoever connects is who counts, whatever a header says."""
    caplog.set_level(logging.INFO)
    door = start_door()
    door.http.get("/me", headers={"x-forwarded-for": "203.0.113.9"})
    assert "203.0.113.9" not in caplog.text
    (tmp_path / "proxied").mkdir()
    config = front_config(trusted_proxies="127.0.0.0/8")
    proxied = start_door(config, tmp_path / "proxied")
    proxied.http.get("/me", headers={"x-forwarded-for": "198.51.100.1, 203.0.113.9"})
    assert "for 203.0.113.9" in caplog.text
    assert "198.51.100.1" not in caplog.text


def test_connections_of_one_address_are_bounded(start_door):
    """One more is told so, and when one of them ends there is room again."""
    door = start_door(front_config(address_connections_max=5))
    made = [connect(door.url) for _ in range(5)]
    for each in made:
        each.sendall(request("GET", "/time"))
        assert read(each).status == 200
    with connect(door.url) as more:
        answer = read(more)
        assert (answer.status, answer.code) == (503, "UNAVAILABLE")
        assert answer.headers["retry-after"] == "1"
    made.pop().close()
    wait_until(lambda: door.http.get("/time").status_code == 200)
    for each in made:
        each.close()


def test_connections_of_a_trusted_proxy_are_not_counted(start_door):
    """It brings everybody's."""
    door = start_door(front_config(address_connections_max=2, trusted_proxies="127.0.0.0/8"))
    made = [connect(door.url) for _ in range(5)]
    for each in made:
        each.sendall(request("GET", "/time"))
        assert read(each).status == 200
        each.close()


def test_a_flood_of_logins_is_bounded_and_holds_nobody_up(start_door, monkeypatch):
    """Hashes have two threads of their own: 16 more of an address may wait, the others are told to
    come again; and an order does not wait for any of them."""
    door = start_door()
    ann = door.user("ann")
    limits = door.server._door.limits._allowances
    limits["login"] = limits["request"]
    hashed = threading.Event()
    monkeypatch.setattr(passwords, "verify", lambda *_: hashed.wait(30) and False)

    # given more logins at once than may wait, none of whose hashes gets done
    made = []
    for n in range(60):
        body = json.dumps({"username": f"u{n}", "password": "wrong one"}).encode()
        each = connect(door.url)
        each.sendall(request("POST", "/login", {}, body))
        made.append(each)
    counted = door.server._door.counts.answered
    wait_until(lambda: counted["POST", "/login", 429] >= 60 - 18)

    # when somebody trades and looks for the order
    order = ann.buy("1", "9")
    assert order.status_code == 201
    assert ann.ask("GET", f"/orders/{order.json()['orderId']}").status_code == 200

    # then those that wait are answered once they are hashed, and the others were told
    hashed.set()
    answers = [read(each) for each in made]
    for each in made:
        each.close()
    statuses = Counter(answer.status for answer in answers)
    assert statuses[401] + statuses[429] == 60
    assert statuses[401] in (16, 17, 18)  # those that a thread took before the queue was full
    assert {a.headers.get("retry-after") for a in answers if a.status == 429} == {"1"}


# --- what nothing tells ---


def test_no_secret_is_in_a_log_an_error_or_the_database(tmp_path):
    """After a session with everything in it: sign-up, logins good and bad, refresh, keys, tickets,
    a second factor, a password change, hostile requests with secrets in wrong places."""
    daemon = RawDaemon(tmp_path)
    secrets, told = [PASSWORD], []

    def ask(method, path, body=None, headers=None):
        content = None if body is None else json.dumps(body)
        answer = daemon.http.request(method, path, content=content, headers=headers or {})
        if answer.status_code >= 400:
            told.append(answer.text)
        return answer

    ann = daemon.signed_up("ann")
    secrets.append(ann["authorization"].removeprefix("Bearer "))
    ask("POST", "/login", {"username": "ann", "password": "secret-wrong-1"})
    ask("POST", "/login", {"username": "ann", "password": "secret-wrong-2", "sudo": True})
    ask("POST", "/login", {"username": "ann", "password": ["secret-wrong-3"]})
    ask("POST", "/login", {"username": "ann", "password": "secret-wrong-4\u0000"})
    ask("POST", "/signup", {"username": "bob", "email": "b@example.com", "password": "secret7"})
    ask("POST", "/signup", {"username": "bob", "email": "no", "password": "secret-wrong-8"})
    ask("GET", "/me?token=secret-wrong-9")
    ask("GET", "/me", headers={"authorization": "Bearer secret-wrong-10"})
    secrets += [f"secret-wrong-{n}" for n in (1, 2, 3, 4, 8, 9, 10)] + ["secret7"]
    tokens = ask("POST", "/login", {"username": "ann", "password": PASSWORD}).json()
    secrets += [tokens["accessToken"], tokens["refreshToken"]]
    renewed = ask("POST", "/refresh", {"refreshToken": tokens["refreshToken"]}).json()
    secrets += [renewed["accessToken"], renewed["refreshToken"]]
    ask("POST", "/refresh", {"refreshToken": tokens["refreshToken"] + "x"})
    headers = {"authorization": f"Bearer {renewed['accessToken']}"}
    key = ask("POST", "/keys", {"name": "bot", "scopes": ["read"]}, headers).json()
    secrets.append(key["secret"])
    ask("GET", "/me", None, {"x-api-key": key["id"], **signed("secret-wrong-11", "GET", "/me")})
    ticket = ask("POST", "/ticket", {}, headers).json()["ticket"]
    secrets.append(ticket)
    socket_ask = {
        "connection": "upgrade", "upgrade": "websocket", "sec-websocket-version": "13",
        "sec-websocket-key": base64.b64encode(b"x" * 16).decode(),
    }  # fmt: skip
    for _ in range(2):  # the second time it is used up
        with daemon.connect() as connection:
            connection.sendall(request("GET", f"/ws?ticket={ticket}", socket_ask))
            assert connection.recv(12) in (b"HTTP/1.1 101", b"HTTP/1.1 401")
    factor = ask("GET", "/factor", None, headers).json()
    secrets.append(factor["uri"].split("secret=")[1].split("&")[0])
    changed = {"oldPassword": PASSWORD, "newPassword": "another secret of ann"}
    ask("POST", "/password", changed, headers)
    secrets.append("another secret of ann")
    daemon.say(b"POST /login HTTP/1.1\r\nauthorization: Bearer secret-wrong-12\r\nx: \0\r\n\r\n")
    secrets.append("secret-wrong-12")
    assert daemon.stopped() == 0
    secrets.append((daemon.directory / "master.secret").read_text().strip())
    files = [
        path for path in tmp_path.rglob("*")
        if path.is_file() and path.name != "master.secret"
    ]  # fmt: skip
    assert any(path.name.startswith("order_management.db") for path in files)
    for secret in secrets:
        assert not any(secret in text for text in told), secret
        for path in files:
            assert secret.encode() not in path.read_bytes(), (secret, path)


def test_what_holds_users_is_its_owners_alone(tmp_path):
    """Database, log of writes, shared memory and master secret: mode 600 while the daemon runs."""
    daemon = RawDaemon(tmp_path)
    daemon.signed_up("ann")
    names = ("order_management.db", "order_management.db-wal", "order_management.db-shm",
             "master.secret")  # fmt: skip
    modes = [(daemon.directory / name).stat().st_mode & 0o777 for name in names]
    assert modes == [0o600] * 4
    assert daemon.stopped() == 0


# --- TLS ---


def test_with_a_certificate_it_speaks_tls_alone(tmp_path):
    """A certificate of our own making: answers over TLS, a plain request gets none, and a client
    that begins no handshake is let go."""
    certificate, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1",
         "-nodes", "-days", "2", "-subj", "/CN=localhost", "-addext",
         "subjectAltName=DNS:localhost", "-keyout", key, "-out", certificate],
        check=True, capture_output=True,
    )  # fmt: skip
    daemon = RawDaemon(tmp_path, tls_certificate=certificate, tls_key=key, hsts_days=1)
    assert daemon.url.startswith("https://")
    context = ssl.create_default_context(cafile=str(certificate))
    with daemon.connect(context) as secure:
        secure.sendall(request("GET", "/time"))
        answer = read(secure)
        assert (answer.status, answer.headers["strict-transport-security"]) == (
            200, "max-age=86400"
        )  # fmt: skip
        assert secure.version() in ("TLSv1.2", "TLSv1.3")
    with daemon.connect() as plain:
        plain.sendall(request("GET", "/time"))
        assert b"HTTP" not in plain.recv(100)
    old = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    old.load_verify_locations(str(certificate))
    with pytest.warns(DeprecationWarning):
        old.minimum_version = old.maximum_version = ssl.TLSVersion.TLSv1_1
    with pytest.raises(OSError, match=r"(?i)ssl|protocol"):
        daemon.connect(old)
    assert daemon.stopped() == 0


def test_a_certificate_that_cannot_be_read_stops_the_start(tmp_path):
    (tmp_path / "cert.pem").write_text("no certificate")
    with pytest.raises(AssertionError, match="tls_certificate"):
        RawDaemon(tmp_path, tls_certificate=tmp_path / "cert.pem", tls_key=tmp_path / "cert.pem")


def test_a_front_door_closes_its_threads(tmp_path):
    """No thread outlives it; each has a name of the table."""
    before = set(threading.enumerate())
    door = FrontDoor(tmp_path)
    door.user("ann")
    names = {thread.name for thread in set(threading.enumerate()) - before}
    door.stop()
    assert {"oms-web", "oms-ask-1", "oms-hash-1"} <= names
    assert all(name.startswith("oms-") for name in names), names
    assert set(threading.enumerate()) <= before


# --- by TLS alone, from now on ---


def test_browsers_are_told_to_come_by_tls_alone_where_a_proxy_does_it(start_door):
    """Every answer says so, refusals and pages too; by default none does."""
    behind = start_door(front_config(trusted_proxies="127.0.0.1", hsts_days=365))
    for method, path in (("GET", "/"), ("GET", "/time"), ("GET", "/nothing"), ("PUT", "/order")):
        answer = behind.http.request(method, path)
        assert answer.headers["strict-transport-security"] == "max-age=31536000", path
    behind.stop()
    plain = start_door()
    assert "strict-transport-security" not in plain.http.get("/time").headers
