"""Transport: one request and its answer over HTTP, bounded in time and size.

Flow:  client -> [transport] -> server
Owner: any thread. Connections are kept for the next request, and each has one user at a time.
"""

import http.client
import io
import socket
import ssl
import threading
from http.client import HTTPException
from typing import NamedTuple
from urllib.parse import urlsplit

from oms.clock import NANOS, Clock
from oms.errors import ServerError, ValidationError

ANSWER_BYTES_MAX = 64 * 1_048_576
CONNECT_S_MAX = 5.0
IDLE_NS_MAX = 15 * NANOS  # the server closes what has been idle for 30 s
IDLE_MAX = 8


class LostError(ServerError):
    """There is no answer, or half of one. sent: the server may have read the request."""

    def __init__(self, text: str, sent: bool) -> None:
        super().__init__(text)
        self.sent = sent


class Answer(NamedTuple):
    status: int
    retry_after: str | None
    content: bytes


class Timed(io.RawIOBase):
    """What comes of a socket until the time is over, however slowly it comes."""

    def __init__(self, connection: "Connection") -> None:
        self._connection = connection
        self._socket = connection.line  # http.client forgets it before the body is read
        self._file = self._socket.makefile("rb", buffering=0)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int | None:  # type: ignore[override]
        self._connection.hurry(self._socket)
        return self._file.readinto(buffer)

    def close(self) -> None:
        self._file.close()
        super().close()


class Connection:
    """A connection of HTTP whose every wait ends when the time of its request is over."""

    def __init__(self, plain: http.client.HTTPConnection, clock: Clock) -> None:
        self._plain = plain
        self._clock = clock
        self._until_ns = 0
        self.idle_since_ns = 0

    @property
    def line(self) -> socket.socket:
        sock: socket.socket = self._plain.sock
        return sock

    def hurry(self, waiting: socket.socket) -> None:
        """The next wait takes no longer than is left. Raises TimeoutError."""
        left_ns = self._until_ns - self._clock.monotonic_ns()
        if left_ns <= 0:
            raise TimeoutError("the time for an answer is over")
        waiting.settimeout(left_ns / NANOS)

    def exchange(
        self, method: str, target: str, headers: dict[str, str], content: bytes, answer_s: float
    ) -> Answer:
        """Raises LostError; the connection is to be closed then."""
        sent = False
        try:
            if self._plain.sock is None:
                self._plain.connect()
            self._until_ns = self._clock.monotonic_ns() + int(answer_s * NANOS)
            self.hurry(self.line)
            sent = True
            self._plain.request(method, target, content or None, headers)
            return self._answer(method)
        except (OSError, HTTPException, ValueError) as error:
            raise LostError(f"no answer: {type(error).__name__}: {error}", sent) from error

    def _answer(self, method: str) -> Answer:
        """http.client's own reader, on a file that keeps the time."""
        self._plain.response_class = lambda _sock, **_given: TimedResponse(self, method)  # type: ignore[assignment]
        with self._plain.getresponse() as response:
            content = response.read(ANSWER_BYTES_MAX + 1)
            if len(content) > ANSWER_BYTES_MAX:
                raise HTTPException(f"an answer of more than {ANSWER_BYTES_MAX} bytes")
            if response.length:
                raise HTTPException("half of an answer")
            return Answer(response.status, response.getheader("Retry-After"), content)

    @property
    def is_open(self) -> bool:
        return self._plain.sock is not None

    def close(self) -> None:
        self._plain.close()


class TimedResponse(http.client.HTTPResponse):
    def __init__(self, connection: Connection, method: str) -> None:
        super().__init__(connection.line, method=method)
        self.fp.close()
        self.fp = io.BufferedReader(Timed(connection))


class Transport:
    """Where a server is, and the connections to it.

    url: http://HOST:PORT or https://HOST:PORT, and no more. Raises ValidationError.
    """

    def __init__(self, url: str, tls: ssl.SSLContext | None, clock: Clock, answer_s: float) -> None:
        parts = urlsplit(url) if isinstance(url, str) else urlsplit("")
        try:
            host, port = parts.hostname, parts.port
        except ValueError:
            host = None
        named = host is not None and parts.scheme in ("http", "https")
        if not named or parts.path.strip("/") or parts.query or parts.username is not None:
            raise ValidationError("url", url, "http://HOST:PORT or https://HOST:PORT")
        self._host, self._port = str(host), port
        self.is_secure = parts.scheme == "https"
        self.tls = tls if tls is not None or not self.is_secure else ssl.create_default_context()
        self._clock = clock
        self._answer_s = answer_s
        self._lock = threading.Lock()
        self._idle: list[Connection] = []

    @property
    def ws_url(self) -> str:
        host = f"[{self._host}]" if ":" in self._host else self._host
        port = "" if self._port is None else f":{self._port}"
        return f"{'wss' if self.is_secure else 'ws'}://{host}{port}/ws"

    def exchange(self, method: str, target: str, headers: dict[str, str], content: bytes) -> Answer:
        """Raises LostError."""
        connection = self._idle_one() or self._new_one()
        try:
            answer = connection.exchange(method, target, headers, content, self._answer_s)
        except BaseException:
            connection.close()
            raise
        self._keep(connection)
        return answer

    def _new_one(self) -> Connection:
        if self.is_secure:
            plain: http.client.HTTPConnection = http.client.HTTPSConnection(
                self._host, self._port, timeout=CONNECT_S_MAX, context=self.tls
            )
        else:
            plain = http.client.HTTPConnection(self._host, self._port, timeout=CONNECT_S_MAX)
        return Connection(plain, self._clock)

    def _idle_one(self) -> Connection | None:
        """The one that was used last, if the server has it still."""
        now_ns = self._clock.monotonic_ns()
        with self._lock:
            while self._idle:
                found = self._idle.pop()
                if now_ns - found.idle_since_ns < IDLE_NS_MAX:
                    return found
                found.close()
        return None

    def _keep(self, connection: Connection) -> None:
        connection.idle_since_ns = self._clock.monotonic_ns()
        with self._lock:
            if connection.is_open and len(self._idle) < IDLE_MAX:
                self._idle.append(connection)
                return
        connection.close()

    def close(self) -> None:
        with self._lock:
            idle, self._idle = self._idle, []
        for each in idle:
            each.close()
