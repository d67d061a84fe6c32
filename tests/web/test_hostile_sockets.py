"""Hostile WebSockets, against a daemon of its own: each is closed with its code, keeps nothing, and
nobody else notices."""

import base64
import json
import os
import struct

import pytest

from oms.gateways.web import frames
from tests.processes import wait_until
from tests.web.daemons import RawDaemon, connect

MIB = 1 << 20
TEXT, BINARY, CONTINUED, CLOSE, PING = 0x1, 0x2, 0x0, 0x8, 0x9
SUBSCRIBE = b'{"op": "subscribe", "channel": "depth", "symbol": "BTC_USD"}'


@pytest.fixture(scope="module")
def daemon(tmp_path_factory):
    daemon = RawDaemon(tmp_path_factory.mktemp("hostile"))
    daemon.ann = daemon.signed_up("ann")
    before = daemon.digest()
    yield daemon
    assert daemon.digest() == before
    assert daemon.stopped() == 0
    assert "Traceback" not in daemon.output


class RawSocket:
    """A WebSocket that says whatever it likes."""

    def __init__(self, url, headers=""):
        self.socket = connect(url)
        key = base64.b64encode(os.urandom(16)).decode()
        self.socket.sendall(
            f"GET /ws HTTP/1.1\r\nhost: localhost\r\nconnection: upgrade\r\nupgrade: websocket\r\n"
            f"sec-websocket-version: 13\r\nsec-websocket-key: {key}\r\n{headers}\r\n".encode()
        )
        head = b""
        while not head.endswith(b"\r\n\r\n"):
            head += self.socket.recv(1)
        self.status = int(head.split()[1])

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.close()

    def frame(self, opcode, data=b"", *, fin=True, masked=True, size=None, reserved=0):
        first = bytes([(0x80 if fin else 0) | reserved | opcode])
        length = len(data) if size is None else size
        flag = 0x80 if masked else 0
        if length < 126:
            head = bytes([flag | length])
        elif length < 65_536:
            head = bytes([flag | 126]) + struct.pack("!H", length)
        else:
            head = bytes([flag | 127]) + struct.pack("!Q", length)
        return first + head + (b"\0\0\0\0" if masked else b"") + data

    def send(self, opcode, data=b"", **more):
        self.socket.sendall(self.frame(opcode, data, **more))

    def flood(self, data, most):
        """Send it again and again; whether it was cut off before `most` bytes."""
        try:
            for _ in range(most // len(data)):
                self.socket.sendall(data)
        except OSError:
            return True
        return False

    def read(self):
        """One frame: its opcode and what it says."""
        first, second = self._exact(2)
        size = second & 127
        if size >= 126:
            size = int.from_bytes(self._exact(2 if size == 126 else 8), "big")
        return first & 15, self._exact(size)

    def _exact(self, size):
        data = b""
        while len(data) < size:
            part = self.socket.recv(size - len(data))
            if not part:
                raise ConnectionError("closed without a word")
            data += part
        return data

    def closed(self):
        """The code with which it is closed; what else is told before that is no matter."""
        while True:
            opcode, data = self.read()
            if opcode == CLOSE:
                return int.from_bytes(data[:2], "big")


def test_a_good_socket_is_served(daemon):
    with RawSocket(daemon.url) as good:
        good.send(TEXT, SUBSCRIBE)
        told = []
        while not told or told[-1].get("event") != "SNAPSHOT":
            told.append(json.loads(good.read()[1]))


NOISE = {
    "a frame of 1 GiB": (lambda s: s.send(TEXT, b"x", size=1 << 30), 1009),
    "a frame of 2^63": (lambda s: s.send(TEXT, b"x", size=(1 << 63) - 1), 1009),
    "a message too large": (
        lambda s: [s.send(TEXT, b"x" * 60_000, fin=False), s.send(CONTINUED, b"x" * 60_000)], 1009,
    ),
    "empty fragments for ever": (
        lambda s: [s.send(TEXT, b"", fin=False), s.flood(s.frame(CONTINUED, b"", fin=False), MIB)],
        1009,
    ),
    "no UTF-8": (lambda s: s.send(TEXT, b"\xff\xfe"), 1007),
    "half a character": (lambda s: s.send(TEXT, b"\xe2\x82"), 1007),
    "no mask": (lambda s: s.send(TEXT, b"{}", masked=False), 1002),
    "an unknown opcode": (lambda s: s.send(0x5, b"{}"), 1002),
    "reserved bits": (lambda s: s.send(TEXT, b"{}", reserved=0x40), 1002),
    "a fragment of nothing": (lambda s: s.send(CONTINUED, b"x"), 1002),
    "a long ping": (lambda s: s.send(PING, b"x" * 126), 1002),
    "a fragmented ping": (lambda s: s.send(PING, b"x", fin=False), 1002),
    "a close of one byte": (lambda s: s.send(CLOSE, b"x"), 1002),
    "a close for no reason there is": (lambda s: s.send(CLOSE, b"\x03\xed"), 1002),
}  # fmt: skip


@pytest.mark.parametrize("name", NOISE)
def test_what_is_no_message_closes_the_socket_with_a_code(daemon, name):
    noise, code = NOISE[name]
    with RawSocket(daemon.url) as hostile:
        noise(hostile)
        assert hostile.closed() == code


SAID = {
    "nothing": b"", "no JSON": b"x", "a list": b"[]",
    "a key twice": b'{"op": "list", "op": "ping"}', "an unknown op": b'{"op": "sudo"}',
    "nesting": b"[" * 60_000, "NUL": b'{"op": "a\\u0000"}',
    "an unknown field": b'{"op": "list", "x": 1}', "NaN": b'{"op": "list", "id": NaN}',
    "another's orders": b'{"op": "subscribe", "channel": "orders", "account": "ann"}',
    "an order without a login": b'{"op": "order.place", "params": {"symbol": "BTC_USD"}}',
    "a huge id": b'{"op": "ping", "id": "' + b"x" * 60_000 + b'"}',
}  # fmt: skip


@pytest.mark.parametrize("name", SAID)
def test_a_message_that_says_nothing_is_answered_with_an_error(daemon, name):
    with RawSocket(daemon.url) as hostile:
        hostile.send(TEXT, SAID[name])
        while "error" not in (told := json.loads(hostile.read()[1])):
            assert told.get("op") == "welcome" or told["channel"] == "heartbeat"
        assert told["ok"] is False
        assert told["error"]["number"] >= 400


def test_a_socket_that_pings_and_never_reads_is_cut_off(daemon):
    """Answers to pings count: they took a server of this kind from 31 to 220 MB."""
    before = daemon.rss
    with RawSocket(daemon.url) as hostile:
        ping = hostile.frame(PING, b"x" * 125) * 100
        assert hostile.flood(ping, 200 * MIB)
    assert daemon.rss < before + 20 * MIB


def test_a_socket_that_asks_and_never_reads_is_cut_off(daemon):
    """It asks for what it subscribed to again and again; meanwhile another one is served."""
    before = daemon.rss
    with RawSocket(daemon.url) as hostile, RawSocket(daemon.url) as good:
        asked = hostile.frame(TEXT, b'{"op": "sudo", "id": "' + b"x" * 60 + b'"}') * 20
        assert hostile.flood(asked, 100 * MIB)
        good.send(TEXT, b'{"op": "ping", "id": "1"}')
        while json.loads(good.read()[1]).get("op") != "ping":
            pass
    assert daemon.rss < before + 30 * MIB


def test_a_message_that_never_ends_is_closed_in_its_time(door, monkeypatch):
    """Byte by byte, or fragment by fragment: 10 s, here less, then 1008."""
    monkeypatch.setattr(frames, "MESSAGE_S_MAX", 0.1)
    with RawSocket(door.url) as by_bytes, RawSocket(door.url) as by_fragments:
        by_bytes.socket.sendall(by_bytes.frame(TEXT, b"x", size=1_000))
        by_fragments.send(TEXT, b"x", fin=False)
        assert by_bytes.closed() == 1008
        assert by_fragments.closed() == 1008


def test_subscriptions_are_bounded(daemon):
    """More than there are channels cannot be had; a subscription to nothing is an error."""
    with RawSocket(daemon.url) as hostile:
        for n in range(500):
            ask = {"op": "subscribe", "channel": "trades", "symbol": f"X{n}", "id": str(n)}
            hostile.send(TEXT, json.dumps(ask).encode())
        told = {}
        while told.get("id") != "499":
            told = json.loads(hostile.read()[1])
            assert told.get("ok") is not True
        assert told["error"]["code"] == "SYMBOL_UNKNOWN"


def test_pages_of_other_sites_open_no_socket(daemon):
    with RawSocket(daemon.url, "origin: https://evil.example\r\n") as refused:
        assert refused.status == 403
    with RawSocket(daemon.url, "origin: null\r\n") as refused:
        assert refused.status == 403
    with RawSocket(daemon.url, "authorization: Bearer abc\r\n") as refused:
        assert refused.status == 401


def test_sockets_that_are_reset_are_forgotten(daemon):
    """Ninety at once, each with half a message."""
    made = [RawSocket(daemon.url) for _ in range(90)]
    for each in made:
        each.send(TEXT, b"x" * 10_000, fin=False)
        each.socket.setsockopt(1, 13, b"\1\0\0\0\0\0\0\0")  # SO_LINGER of 0 s: a reset
        each.socket.close()
    wait_until(lambda: "oms_web_sockets 0.0" in daemon.http.get("/metrics").text)
