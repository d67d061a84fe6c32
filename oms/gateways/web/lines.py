"""Lines: the HTTP connection below a client, and its bounds.

Flow:  socket -> llhttp -> [lines] -> app, with a whole request -> [lines] -> socket, in one write
Owner: the event loop.

uvicorn bounds neither headers nor bodies nor how long they take, and hands a request over at the
end of its headers. Here the application is asked once a request is whole, so what comes slowly or
never costs a buffer of bounded size and nothing else. What is no request is answered as all errors
are, and the connection closed; where an earlier request is under way its answer is the last thing
that the client reads. A connection that is gone leaves nothing behind that holds it.
"""

import asyncio
import logging
import re
from functools import partial
from typing import Any
from urllib.parse import unquote

import httptools
from uvicorn.protocols.http.httptools_impl import (
    STATUS_LINE,
    HttpToolsProtocol,
    RequestResponseCycle,
)

from oms.errors import ValidationError
from oms.gateways.web.connections import Connections, is_over
from oms.gateways.web.errors import HttpError, error_reply, http_error
from oms.gateways.web.frames import FrameProtocol
from oms.gateways.web.replies import reply_headers, told_bytes

log = logging.getLogger(__name__)

HEADERS_MAX = 100
HEADER_BYTES_MAX = 8_000  # of one header, or of path and query
HEAD_BYTES_MAX = 32_768  # of all of them
BODY_BYTES_MAX = 65_536
REQUEST_BYTES_MAX = 262_144  # on the wire: a body may come in many small chunks
PIPELINED_MAX = 32  # requests that wait for the answer to one before them
HEAD_S_MAX = 10.0  # from the first byte of a request to the end of its headers
BODY_S_MAX = 10.0  # from there to the end of its body
KEEP_ALIVE_S = 30.0  # without a request
UNREAD_S_MAX = 30.0  # an answer that the client does not read
LINGER_S, LINGER_BYTES_MAX = 2.0, 4_194_304  # of what a refused client still sends
IDLE, HEAD, BODY, REFUSED = "idle", "head", "body", "refused"
WAIT_S_MAX = {IDLE: KEEP_ALIVE_S, HEAD: HEAD_S_MAX, BODY: BODY_S_MAX, REFUSED: LINGER_S}
CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
SOCKET_KEY = re.compile(rb"[A-Za-z0-9+/]{22}==")


class LineProtocol(HttpToolsProtocol):
    """uvicorn's connection, with bounds."""

    def __init__(self, connections: Connections, **given: Any) -> None:
        super().__init__(**given)
        self.ws_protocol_class = partial(FrameProtocol, connections)  # type: ignore[assignment]
        self._all = connections
        self.cycle: Cycle | None = None  # type: ignore[assignment]
        self._fed = 0  # bytes of the latest read
        self._part = IDLE  # of a request, that is being read
        self._since_ns = connections.now_ns  # when that part began, or the latest answer was told
        self._unread_ns = 0  # since when the client does not read; 0: it does
        self._read_bytes = 0  # of the request that is being read
        self._body: list[bytes] = []
        self._body_bytes = 0

    # --- the connection ---

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        try:
            self._all.add(self, self.client[0] if self.client else "")
        except ValidationError as error:
            headers = {"retry-after": "1"}
            self._answer(http_error(503, "UNAVAILABLE", str(error), headers=headers))
            transport.close()
            self._part = REFUSED

    def connection_lost(self, _error: Exception | None) -> None:
        """What refers to each other here is cut apart, so that it is freed at once: a cycle would
        stay until the next collection of garbage."""
        self._all.remove(self)
        self.connections.discard(self)
        self.flow.resume_writing()  # whoever waits for that finds that the client is gone
        if self.cycle is not None:
            self.cycle.lose()
        self.pipeline.clear()
        self.cycle = None
        self.parser = self.scope = self.headers = None  # type: ignore[assignment]
        self._body = []
        self.transport.close()

    def eof_received(self) -> bool:  # type: ignore[override]
        """The client sends no more. What it has asked is answered all the same; over TLS it has
        closed both ways."""
        if not self._busy or not self.transport.can_write_eof():
            return False
        last = self.pipeline[0][0] if self.pipeline else self.cycle
        assert last is not None
        last.keep_alive = False
        return True

    def pause_writing(self) -> None:
        self._unread_ns = self._all.now_ns
        super().pause_writing()

    def resume_writing(self) -> None:
        self._unread_ns = 0
        super().resume_writing()

    def sweep(self, now_ns: int) -> None:
        """End what takes too long."""
        if self._unread_ns and is_over(self._unread_ns, UNREAD_S_MAX, now_ns):
            self.transport.abort()
            return
        part = self._part
        if not is_over(self._since_ns, WAIT_S_MAX[part], now_ns):
            return
        if part in (IDLE, REFUSED):
            if not self._busy:
                self.transport.abort()
        elif not self.pipeline:  # else it is not read from
            what = "headers" if part is HEAD else "body"
            self._refuse(http_error(408, "TOO_SLOW", f"the {what} within {WAIT_S_MAX[part]:g} s"))

    @property
    def _busy(self) -> bool:
        """Is an answer due?"""
        return self.cycle is not None and not self.cycle.response_complete

    # --- reading ---

    def data_received(self, data: bytes) -> None:
        size = len(data)
        self._read_bytes += size
        if self._part is REFUSED:
            if self._read_bytes > LINGER_BYTES_MAX:
                self.transport.abort()
            return
        self._fed = size
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            if self._part is not REFUSED and self._should_upgrade():
                self.handle_websocket_upgrade()
        except httptools.HttpParserError as error:
            why = error.__context__
            if not isinstance(why, HttpError):
                why = http_error(400, "UNSUPPORTED", "a request of HTTP/1.1")
            self._refuse(why)
        else:
            if self._part is HEAD and self._read_bytes > HEAD_BYTES_MAX:
                self._refuse(long_head())
            elif self._part is BODY and self._read_bytes > REQUEST_BYTES_MAX:
                self._refuse(large("request", REQUEST_BYTES_MAX))

    def handle_websocket_upgrade(self) -> None:
        """The connection is the same one, and counts as such."""
        super().handle_websocket_upgrade()
        self._all.pass_on(self, self.transport.get_protocol())  # type: ignore[arg-type]
        self.cycle = None
        self.parser = self.scope = self.headers = None  # type: ignore[assignment]

    # Callbacks of the parser. What they raise, `data_received` finds.

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._begin(HEAD)
        self._read_bytes = self._fed
        self._body_bytes = 0

    def _begin(self, part: str) -> None:
        self._part = part
        self._since_ns = self._all.now_ns

    def on_url(self, url: bytes) -> None:
        self.url += url
        if len(self.url) > HEADER_BYTES_MAX:
            raise http_error(414, "TOO_LARGE", f"path and query of {HEADER_BYTES_MAX} bytes")

    def on_header(self, name: bytes, value: bytes) -> None:
        """Also of what stands behind a body that came in chunks."""
        headers = self.headers
        if len(value) > HEADER_BYTES_MAX or len(headers) >= HEADERS_MAX:
            raise long_head()
        headers.append((name.lower(), value))

    def on_headers_complete(self) -> None:
        self._begin(BODY)
        self._body = []
        # What was read may be of the body, too, or of the next request: then it is counted.
        if self._read_bytes > HEAD_BYTES_MAX and size_of(self.headers) > HEAD_BYTES_MAX:
            raise long_head()
        version = self.parser.get_http_version()
        scope: dict[str, Any] = self.scope  # type: ignore[assignment]
        scope["method"] = self.parser.get_method().decode("ascii")
        scope["http_version"] = version
        length, expects = b"0", b""
        for name, value in self.headers:
            if name == b"content-length":
                length = value
            elif name == b"expect":
                expects = value.lower()
        if int(length) > BODY_BYTES_MAX:
            raise large("body", BODY_BYTES_MAX)
        if self.parser.should_upgrade() and self._should_upgrade():
            self._check_handshake(int(length))
            return
        parsed = httptools.parse_url(self.url)
        raw = parsed.path or b"/"
        path = raw.decode("ascii")
        scope["path"] = unquote(path) if "%" in path else path
        scope["raw_path"] = raw
        scope["query_string"] = parsed.query or b""
        if expects == b"100-continue" and not self._busy:
            self.transport.write(CONTINUE)

    def _check_handshake(self, length: int) -> None:
        """What the library below would refuse in its own words, and without our headers."""
        given = dict(self.headers)
        key = given.get(b"sec-websocket-key", b"")
        if self.scope["method"] != "GET" or length or b"transfer-encoding" in given:
            raise http_error(400, "UNSUPPORTED", "a WebSocket begins with a GET that has no body")
        if given.get(b"sec-websocket-version") != b"13" or not SOCKET_KEY.fullmatch(key):
            raise http_error(400, "UNSUPPORTED", "a WebSocket of version 13, and its key")

    def on_body(self, body: bytes) -> None:
        self._body_bytes += len(body)
        if self._body_bytes > BODY_BYTES_MAX:
            raise large("body", BODY_BYTES_MAX)
        self._body.append(body)

    def on_message_complete(self) -> None:
        """The request is whole: the application may have it."""
        self._begin(IDLE)
        upgrades = self.parser.should_upgrade()
        if upgrades and self._should_upgrade():
            return
        keep = not upgrades and self.scope["http_version"] != "1.0"
        cycle = Cycle(self, b"".join(self._body), keep and self.parser.should_keep_alive())
        self._body = []
        if not self._busy:
            self.cycle = cycle
            self._start_asgi_task(cycle, self.app)
            return
        if len(self.pipeline) >= PIPELINED_MAX:
            raise http_error(400, "TOO_LARGE", f"at most {PIPELINED_MAX} requests in advance")
        self.pipeline.appendleft((cycle, self.app))
        self.flow.pause_reading()

    # --- answering ---

    def on_response_complete(self) -> None:
        """The next request of those that came in advance, if there is one."""
        self.server_state.total_requests += 1
        self._since_ns = self._all.now_ns
        if self.transport.is_closing():
            return
        if self.pipeline:
            cycle, app = self.pipeline.pop()
            assert isinstance(cycle, Cycle)
            self.cycle = cycle
            self._start_asgi_task(cycle, app)
        if not self.pipeline:
            self.flow.resume_reading()

    def _refuse(self, error: HttpError) -> None:
        """Answer what is no request, read no more of it, and let the client go."""
        self._begin(REFUSED)
        self._read_bytes = 0
        self._body = []
        self.pipeline.clear()
        if self.cycle is not None and not self.cycle.response_complete:
            self.cycle.keep_alive = False
            self.flow.pause_reading()
            return
        self._answer(error)
        # A client that still sends is read from for a while: to close at once would reset the
        # connection, and what it was told might be lost.
        if self.transport.can_write_eof():
            self.transport.write_eof()

    def _answer(self, error: HttpError) -> None:
        door = self._all.door
        request_id = door.next_id()
        reply = error_reply(error, request_id)
        reply.headers["connection"] = "close"
        door.counts.answer("-", "-", reply.status, 0)
        peer = self.client[0] if self.client else "-"
        log.info("refused a request of %s: %s", peer, error)
        body = told_bytes(reply)
        headers = [*self.server_state.default_headers, *reply_headers(reply, request_id, len(body))]
        self.transport.write(head_bytes(reply.status, headers) + body)


class Cycle(RequestResponseCycle):
    """One request and its answer, whose head and body are one write."""

    def __init__(self, line: LineProtocol, body: bytes, keep_alive: bool) -> None:
        self.scope = line.scope
        self.transport = line.transport
        self.flow = line.flow
        self.logger = line.logger
        self.keep_alive = keep_alive
        self.on_response = line.on_response_complete
        self.response_started = self.response_complete = self.disconnected = False
        self._server_state = line.server_state
        self._given: bytes | None = body
        self._start: Any = None
        self._gone: asyncio.Future[None] | None = None

    async def receive(self) -> Any:
        body, self._given = self._given, None
        if body is not None and not self.disconnected:
            return {"type": "http.request", "body": body, "more_body": False}
        if not self.disconnected and not self.response_complete:
            self._gone = asyncio.get_running_loop().create_future()
            await self._gone
        return {"type": "http.disconnect"}

    def lose(self) -> None:
        """The client is gone."""
        self.disconnected = True
        self.on_response = _nothing
        if self._gone is not None and not self._gone.done():
            self._gone.set_result(None)

    async def send(self, message: Any) -> None:
        if self.flow.write_paused and not self.disconnected:
            await self.flow.drain()
        if self.disconnected:
            return
        if message["type"] == "http.response.start":
            self._start, self.response_started = message, True
            return
        body, more = message.get("body", b""), message.get("more_body", False)
        if self._start is not None:
            body = self._head(self._start, sized=not more) + (body if self._has_body else b"")
            self._start = None
        elif not self._has_body:
            body = b""
        self.transport.write(body)
        if not more:
            self.response_complete = True
            if not self.keep_alive:
                self.transport.close()
            self.on_response()

    @property
    def _has_body(self) -> bool:
        return self.scope["method"] != "HEAD"

    def _head(self, start: Any, sized: bool) -> bytes:
        """Where neither a length nor the only part of a body tells the end, closing does."""
        headers = [*self._server_state.default_headers, *start["headers"]]
        if not sized and not any(name == b"content-length" for name, _ in headers):
            self.keep_alive = False
        if not self.keep_alive:
            headers.append((b"connection", b"close"))
        return head_bytes(start["status"], headers)

    async def send_500_response(self) -> None:
        """The application failed before it answered; the log has why."""
        self.keep_alive = False
        await self.send({"type": "http.response.start", "status": 500, "headers": []})
        await self.send({"type": "http.response.body", "body": b""})


def head_bytes(status: int, headers: list[tuple[bytes, bytes]]) -> bytes:
    """Status line and headers. No value of ours has a line break in it; nor may one ever."""
    lines = [name + b": " + value for name, value in headers]
    head = STATUS_LINE[status] + b"\r\n".join(lines) + b"\r\n\r\n"
    assert head.count(b"\n") == len(lines) + 2, "a header has a line break in it"
    return head


def size_of(headers: list[tuple[bytes, bytes]]) -> int:
    return sum(len(name) + len(value) for name, value in headers)


def long_head() -> HttpError:
    return http_error(
        431, "TOO_LARGE",
        f"at most {HEADERS_MAX} headers of {HEADER_BYTES_MAX} bytes, together {HEAD_BYTES_MAX}",
    )  # fmt: skip


def large(what: str, bound: int) -> HttpError:
    return http_error(413, "TOO_LARGE", f"a {what} of at most {bound} bytes")


def _nothing() -> None:
    """Nobody is left who waits for the next answer."""
