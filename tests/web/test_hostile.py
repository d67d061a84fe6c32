"""Hostile input over HTTP, against a daemon of its own: each is answered as documented, and changes
nothing: no line of the journal, no 500, no death."""

import itertools
import json
import socket
import subprocess
import sys
from http.client import HTTPException
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from oms.gateways.web import lines
from tests.examples import many
from tests.processes import wait_until
from tests.web.daemons import RawDaemon, connect, read, request
from tests.web.served import PROGRAM

ORDER = {"symbol": "BTC_USD", "side": "BUY", "price": "100.50", "quantity": "2"}
MIB = 1 << 20


@pytest.fixture(scope="module")
def daemon(tmp_path_factory):
    daemon = RawDaemon(tmp_path_factory.mktemp("hostile"))
    daemon.ann = daemon.signed_up("ann")
    daemon.before = daemon.digest()
    yield daemon
    assert daemon.digest() == daemon.before, "what was refused has changed something"
    assert daemon.stopped() == 0
    assert "Traceback" not in daemon.output


def ordered(**changes):
    return json.dumps({**ORDER, **changes}).encode()


BODIES = {
    "no object": (b"[]", "body"),
    "nothing": (b"", "symbol"),
    "half of one": (ordered()[:-5], "body"),
    "two of them": (ordered() * 2, "body"),
    "a key twice": (b'{"symbol": "A", "symbol": "B"}', "symbol"),
    "an unknown field": (ordered(sudo=True), "sudo"),
    "another's role": (ordered(role="operator"), "role"),
    "NaN": (b'{"price": NaN}', "body"),
    "infinity": (b'{"price": -Infinity}', "body"),
    "1e400": (b'{"symbol": "BTC_USD", "side": "BUY", "price": 1e400}', "price"),
    "1e1000000": (ordered(quantity="1e1000000"), "quantity"),
    "a huge integer": (
        b'{"symbol":"BTC_USD","side":"BUY","price":' + b"9" * 60_000 + b"}",
        "price",
    ),
    "digits of other scripts": (ordered(price="\u0661"), "price"),
    "no UTF-8": (b'{"symbol": "\xff\xfe"}', "body"),
    "half a surrogate": (b'{"symbol": "\\ud800"}', "symbol"),
    "NUL": (ordered(clientOrderId="a\0b"), "clientOrderId"),
    "control characters": (ordered(clientOrderId="a\r\nx: y"), "clientOrderId"),
    "nesting": (b"[" * 60_000, "body"),
    "nesting of objects": (b'{"a":' * 10_000, "body"),
    "many fields": (json.dumps({f"f{n}": 1 for n in range(5_000)}).encode(), "body"),
    "a huge text": (ordered(clientOrderId="x" * 50_000), "clientOrderId"),
}


@pytest.mark.parametrize("name", BODIES)
def test_a_body_that_is_no_order_is_400_naming_the_field(daemon, name):
    body, field = BODIES[name]
    answer = daemon.say(request("POST", "/order", daemon.ann, body))
    assert (answer.status, answer.code) == (400, "MALFORMED")
    assert json.loads(answer.body)["error"]["field"] == field
    assert len(answer.body) < 2_000


LENGTH = b"content-length: 5\r\n"
HEAD = b"POST /order HTTP/1.1\r\nhost: localhost\r\n"
CHUNKED = HEAD + b"transfer-encoding: chunked\r\n"
LINES = {
    "two lengths": (HEAD + LENGTH + b"content-length: 6\r\n\r\nabcdef", 400),
    "length and chunks": (CHUNKED + LENGTH + b"\r\n0\r\n\r\n", 400),
    "a negative length": (HEAD + b"content-length: -1\r\n\r\n", 400),
    "a length that is none": (HEAD + b"content-length: 0x10\r\n\r\n", 400),
    "a length of 10^30": (HEAD + b"content-length: 1" + b"0" * 30 + b"\r\n\r\n", 400),
    "a body of 1 GiB": (HEAD + b"content-length: 1073741824\r\n\r\n" + b"x" * MIB, 413),
    "chunks that are none": (CHUNKED + b"\r\nzz\r\nabc", 400),
    "a chunk of 2^64": (CHUNKED + b"\r\nffffffffffffffffff\r\n", 400),
    "a chunk too large": (CHUNKED + b"\r\n20000\r\n" + b"x" * 131_072, 413),
    "chunks without end": (CHUNKED + b"\r\n" + b"1\r\nx\r\n" * 70_000, 413),
    "endless extensions": (CHUNKED + b"\r\n1;" + b"e" * MIB, 413),
    "endless trailers": (CHUNKED + b"\r\n0\r\n" + b"x: y\r\n" * 9_000, 431),
    "an unknown encoding": (HEAD + b"transfer-encoding: gzip\r\n\r\nabc", 400),
    "many headers": (HEAD + b"".join(b"x%d: y\r\n" % n for n in range(200)) + b"\r\n", 431),
    "a huge header": (HEAD + b"x: " + b"y" * 9_000 + b"\r\n\r\n", 431),
    "an endless header": (HEAD + b"x: " + b"y" * MIB, 431),
    "a huge name": (HEAD + b"n" * MIB, 431),
    "a huge path": (b"GET /" + b"a" * 9_000 + b" HTTP/1.1\r\nhost: localhost\r\n\r\n", 414),
    "an endless path": (b"GET /" + b"a" * MIB, 414),
    "NUL in a header": (HEAD + b"x: a\0b\r\n\r\n", 400),
    "a folded header": (HEAD + b"x: a\r\n b\r\n\r\n", 400),
    "no HTTP": (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 400),
    "HTTP/2": (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 400),
    "another method": (b"BREW /order HTTP/1.1\r\nhost: localhost\r\n\r\n", 400),
    "a tunnel": (b"CONNECT localhost:22 HTTP/1.1\r\nhost: localhost\r\n\r\n", 400),
    "no host": (b"POST /order HTTP/1.1\r\ncontent-length: 0\r\n\r\n", 421),
    "two hosts": (HEAD + b"host: other\r\ncontent-length: 0\r\n\r\n", 400),
    "another host": (b"POST /order HTTP/1.1\r\nhost: evil.example\r\n\r\n", 421),
    "two tokens": (HEAD + b"authorization: Bearer a\r\nauthorization: Bearer b\r\n\r\n", 400),
    "a path with NUL": (b"GET /orders/%00 HTTP/1.1\r\nhost: localhost\r\n\r\n", 401),
    "a path upwards": (b"GET /static/../../etc/passwd HTTP/1.1\r\nhost: localhost\r\n\r\n", 404),
    "a path that is no UTF-8": (b"GET /%ff%fe HTTP/1.1\r\nhost: localhost\r\n\r\n", 404),
    "a WebSocket with a body": (
        b"GET /ws HTTP/1.1\r\nhost: localhost\r\nconnection: upgrade\r\nupgrade: websocket\r\n"
        b"content-length: 5\r\n\r\nabcde", 400,
    ),
    "a WebSocket without a key": (
        b"GET /ws HTTP/1.1\r\nhost: localhost\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n",
        400,
    ),
    "a WebSocket by POST": (
        HEAD + b"connection: upgrade\r\nupgrade: websocket\r\ncontent-length: 0\r\n\r\n", 400,
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", LINES)
def test_what_is_no_request_is_refused_and_the_connection_closed(daemon, name):
    data, status = LINES[name]
    answer = daemon.say(data)
    assert answer.status == status, answer
    if answer.headers.get("content-type") == "application/json":
        assert set(json.loads(answer.body)["error"]) == {
            "code", "number", "message", "field", "requestId",
        }  # fmt: skip
        assert answer.headers["x-content-type-options"] == "nosniff"
    assert daemon.http.get("/health").status_code == 200


def test_a_client_that_sends_ever_more_is_cut_off(daemon):
    """A body without end is answered, read for a while, and then no more; nothing of it is kept."""
    before = daemon.rss
    sent = 0
    with daemon.connect() as connection:
        connection.sendall(CHUNKED + b"\r\n")
        with pytest.raises(OSError, match=r"."):
            while sent < 1_024 * MIB:
                sent += connection.send(b"10000\r\n" + b"x" * 65_536 + b"\r\n")
    assert sent < 64 * MIB
    assert daemon.rss < before + 20 * MIB


@pytest.mark.slow
def test_slow_headers_and_bodies_from_200_sockets(daemon):
    """They are told 408 within their time; meanwhile a good client is served."""
    slow = [daemon.connect() for _ in range(200)]
    for n, each in enumerate(slow):
        each.sendall(HEAD + b"x: y" if n % 2 else HEAD + LENGTH + b"\r\nab")
    for _ in range(50):
        assert daemon.http.get("/time").elapsed.total_seconds() < 30
    for each in slow:
        answer = read(each)
        assert (answer.status, answer.code) == (408, "TOO_SLOW")
        each.close()


def test_requests_in_advance_are_answered_in_order_and_bounded(daemon):
    """Twenty come at once and are answered one by one; of ten thousand, the first ones."""
    with daemon.connect() as connection:
        connection.sendall(request("GET", "/time") * 20)
        assert [read_one(connection) for _ in range(20)] == [200] * 20
    with daemon.connect() as connection:
        connection.sendall(request("GET", "/time") * 10_000)
        answered = 0
        with pytest.raises((HTTPException, OSError, AssertionError)):
            while read_one(connection) == 200:
                answered += 1
        assert answered >= 1


def read_one(connection, *, body=True):
    """The status of one answer, byte by byte: the next one stays in the socket."""
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        byte = connection.recv(1)
        assert byte, "closed"
        head += byte
    size = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
    while body and size:
        size -= len(connection.recv(size))
    return int(head.split()[1])


def test_an_order_before_nonsense_is_answered_and_the_nonsense_is_not(daemon):
    """What is told never seems to be the answer to something else."""
    seq = daemon.seq
    with daemon.connect() as connection:
        order = request("GET", "/order?orderId=1", daemon.ann)
        connection.sendall(order + b"\x00\x01nonsense")
        assert read_one(connection) == 404
        assert connection.recv(1) == b""
    assert daemon.seq == seq


def test_connections_that_are_reset_leave_nothing(daemon):
    """Five hundred at once, in the middle of everything; three times, then memory is as it was."""

    def reset(count):
        made = [daemon.connect() for _ in range(count)]
        for n, each in enumerate(made):
            if n % 3:
                each.sendall((HEAD + b"x: " + b"y" * 7_000) if n % 3 == 1 else HEAD + LENGTH)
        for each in made:
            each.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
            each.close()
        wait_until(lambda: files(daemon) < 64)

    reset(500)
    before = daemon.rss
    for _ in range(3):
        reset(500)
    assert daemon.rss < before + 4 * MIB


def files(daemon):
    return len(list(Path(f"/proc/{daemon.process.pid}/fd").iterdir()))


def test_a_client_that_never_reads_holds_a_bounded_answer(daemon):
    """It asks for a large page again and again, and takes nothing: the daemon stops reading."""
    before = daemon.rss
    with daemon.connect() as connection:
        connection.settimeout(1)
        with pytest.raises(OSError, match=r"timed out|reset|pipe"):
            while True:
                connection.sendall(request("GET", "/openapi.json"))
        assert daemon.rss < before + 20 * MIB
        assert daemon.http.get("/health").status_code == 200


def test_what_the_bounds_are_is_documented():
    """docs/api.md has the number of each bound of the connection."""
    page = (PROGRAM.parent / "docs" / "api.md").read_text()
    for bound in (
        lines.HEADERS_MAX, lines.HEADER_BYTES_MAX, lines.HEAD_BYTES_MAX, lines.BODY_BYTES_MAX,
        lines.REQUEST_BYTES_MAX, lines.PIPELINED_MAX,
    ):  # fmt: skip
        assert f"{bound:,}" in page


def test_a_client_that_says_no_more_is_still_answered(daemon):
    """It has closed its way only; both of its requests are answered, then it is let go."""
    with daemon.connect() as connection:
        connection.sendall(request("GET", "/orders/open", daemon.ann) + request("GET", "/none"))
        connection.shutdown(socket.SHUT_WR)
        assert [read_one(connection), read_one(connection)] == [200, 404]
        assert connection.recv(1) == b""


def test_a_client_that_asks_whether_to_go_on_is_told(daemon):
    """Expect: 100-continue; a body that is too large is refused before it is sent."""
    with daemon.connect() as connection:
        connection.sendall(HEAD + b"expect: 100-continue\r\ncontent-length: 2\r\n\r\n")
        assert connection.recv(100) == b"HTTP/1.1 100 Continue\r\n\r\n"
        connection.sendall(b"{}")
        assert read(connection).status == 401
    answer = daemon.say(HEAD + b"expect: 100-continue\r\ncontent-length: 99999999\r\n\r\n")
    assert answer.status == 413


# --- the connection beside a simpler one ---


def chunked(body):
    """The same body in chunks of seven bytes."""
    parts = [body[n : n + 7] for n in range(0, len(body), 7)]
    return b"".join(b"%x\r\n%s\r\n" % (len(part), part) for part in parts) + b"0\r\n\r\n"


ORDER_HEAD = b"POST /order HTTP/1.1\r\nhost: localhost\r\n"
GOOD = [
    request("GET", "/time"), request("HEAD", "/time"), request("GET", "/none"),
    request("POST", "/order", {}, b"{}"), request("GET", "/depth?symbol=BTC_USD"),
    ORDER_HEAD + b"transfer-encoding: chunked\r\n\r\n" + chunked(b'{"symbol": "x"}'),
    request("POST", "/refresh", {}, b'{"x": 1}'),
]  # fmt: skip


@settings(max_examples=many(40), suppress_health_check=[HealthCheck.too_slow])
@given(
    st.lists(st.sampled_from(range(len(GOOD))), min_size=1, max_size=12),
    st.lists(st.integers(1, 200), min_size=1, max_size=20),
)
def test_however_requests_are_cut_into_pieces_they_are_answered_alike(daemon, which, sizes):
    """All on one connection, in pieces of any size, not waiting for answers: the statuses are
    those that each has alone, in the order in which they were sent."""
    alone = [daemon.say(GOOD[n]).status if n != 1 else 200 for n in which]
    stream = b"".join(GOOD[n] for n in which)
    with daemon.connect() as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for size in itertools.cycle(sizes):
            if not stream:
                break
            connection.sendall(stream[:size])
            stream = stream[size:]
        got = [read_one(connection, body=n != 1) for n in which]
    assert got == alone


@settings(max_examples=many(100), suppress_health_check=[HealthCheck.too_slow])
@given(
    st.sampled_from(GOOD),
    st.lists(st.tuples(st.integers(0, 400), st.binary(max_size=4)), min_size=1, max_size=4),
)
def test_whatever_becomes_of_a_request_it_is_answered_or_closed(daemon, data, changes):
    """Bytes put into it anywhere: every answer is one of those that there are, and none is 500."""
    for place, put in changes:
        place %= len(data) + 1
        data = data[:place] + put + data[place + 1 :]
    with daemon.connect() as connection:
        connection.sendall(data)
        connection.shutdown(socket.SHUT_WR)
        got = b""
        while part := received(connection):
            got += part
    statuses = [int(part[:3]) for part in got.split(b"HTTP/1.1 ")[1:]]
    assert set(statuses) <= {100, 200, 400, 401, 403, 404, 405, 413, 414, 421, 431}, got


def received(connection):
    try:
        return connection.recv(65_536)
    except ConnectionResetError:
        return b""


# --- time: the same bounds, shorter ---


@pytest.fixture
def hasty(door, monkeypatch):
    """A front door whose clients have no time at all."""
    for part in (lines.IDLE, lines.HEAD, lines.BODY):
        monkeypatch.setitem(lines.WAIT_S_MAX, part, 0.1)
    return door


@pytest.mark.parametrize("start", [HEAD, HEAD + b"x: ", HEAD + LENGTH + b"\r\nab", b"P"])
def test_a_request_that_comes_too_slowly_is_told_so(hasty, start):
    with connect(hasty.url) as slow:
        slow.sendall(start)
        answer = read(slow)
        assert (answer.status, answer.code) == (408, "TOO_SLOW")
        assert slow.recv(1) == b""


def test_a_connection_without_a_request_is_closed(hasty):
    """Before its first one, and after its latest."""
    with connect(hasty.url) as silent, connect(hasty.url) as served:
        served.sendall(request("GET", "/time"))
        assert read_one(served) == 200
        for each in (silent, served):
            assert gone(each)


def gone(connection):
    try:
        return connection.recv(1) == b""
    except ConnectionResetError:
        return True


def test_an_answer_that_nobody_reads_is_not_kept(door, monkeypatch):
    """Without anything read of it for so long, the connection is reset."""
    monkeypatch.setattr(lines, "UNREAD_S_MAX", 0.1)
    with connect(door.url) as connection:
        connection.settimeout(0.5)
        with pytest.raises(OSError, match=r"timed out|reset|pipe"):
            while True:
                connection.sendall(request("GET", "/openapi.json"))
        wait_until(lambda: len(door.server.connections) == 0)


@pytest.mark.slow
def test_a_good_client_is_served_beside_a_hostile_crowd():
    """The bound is generous here; benchmarks/web_hostile.py has the claim."""
    command = [sys.executable, PROGRAM.parent / "benchmarks" / "web_hostile.py", "--trials", "1"]
    done = subprocess.run([*command, "--seconds", "10"], capture_output=True, text=True, check=True)
    figures = json.loads(done.stdout.splitlines()[-1])["medians"]
    assert figures["p99_ms"] < 5_000
    assert figures["grown_mb"] < 50
