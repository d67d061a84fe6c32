"""Frames: the WebSocket connection below a client: what is written once for all, and its bounds.

Flow:  hub -> frame, made once -> every subscriber's transport
uvicorn's own `send` makes each message anew for each connection; a frame of a server without
compression is the same for all, so it is made once and written as it is.
"""

import asyncio
import logging
from collections.abc import Callable
from typing import Any

from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.protocol import State

from oms.gateways.web.connections import Connections, is_over

log = logging.getLogger(__name__)

# Of what a client has not read yet: beyond the first it is told why and let go; beyond the second,
# as with pings whose answers nobody reads, it is cut off. Both directions count: a client that
# does not read is not read from. One snapshot that is larger may come on top.
UNREAD_BYTES_MAX = 1_048_576
UNREAD_BYTES_END = 2 * UNREAD_BYTES_MAX
MESSAGE_S_MAX = 10.0  # from a message's first byte to its last
FRAGMENTS_MAX = 64  # of one message; together they are bounded by uvicorn's ws_max_size
TOO_SLOW, BAD_TEXT, TOO_LARGE = 1008, 1007, 1009
UNHEARD_MAX = 1_000  # control frames and fragments before anybody counts them
DRAIN_S_MAX = 10.0  # a snapshot waits so long for what was written before
END_S = 5.0  # from the closing frame to the end of the connection, read or not
REASON_BYTES_MAX = 120
FINAL_TEXT, SHORT, MEDIUM = 0x81, 126, 65_536
SOCKET = "oms.socket"  # where the application finds its connection, in the extensions of its scope


def frame_of(payload: bytes) -> bytes:
    """One whole text message (RFC 6455, section 5.2: unmasked, as a server sends)."""
    size = len(payload)
    if size < SHORT:
        return bytes((FINAL_TEXT, size)) + payload
    if size < MEDIUM:
        return bytes((FINAL_TEXT, SHORT)) + size.to_bytes(2, "big") + payload
    return bytes((FINAL_TEXT, SHORT + 1)) + size.to_bytes(8, "big") + payload


class FrameProtocol(WebSocketsSansIOProtocol):
    """uvicorn's connection, that an application may write ready frames to.

    on_extra: called for each frame that is no whole message: pings, pongs, fragments.
    """

    on_extra: Callable[[], None] | None = None
    _unheard = 0
    _snapshot_bytes = 0  # of the one that the client has not read yet

    def __init__(self, connections: Connections, **given: Any) -> None:
        super().__init__(**given)
        self._all = connections
        self._heard = 0  # messages, whole ones
        self._partial: tuple[int, int] | None = None  # behind which message, and since when

    def connection_lost(self, exc: Exception | None) -> None:
        self._all.remove(self)
        super().connection_lost(exc)

    def sweep(self, now_ns: int) -> None:
        """A message that does not come to its end ends the connection."""
        waits = self.frames or self.conn.reader.buffer
        if not waits or self.read_paused or not self.is_open:
            self._partial = None
        elif self._partial is None or self._partial[0] != self._heard:
            self._partial = (self._heard, now_ns)
        elif is_over(self._partial[1], MESSAGE_S_MAX, now_ns):
            self._fail(TOO_SLOW, f"the whole message within {MESSAGE_S_MAX:g} s")

    def _fail(self, code: int, reason: str) -> None:
        log.info("refused a message of %s: %s", self.client[0] if self.client else "-", reason)
        self.conn.fail(code, reason)
        self.handle_parser_exception()

    def handle_cont(self, event: Any) -> None:
        if len(self.frames) >= FRAGMENTS_MAX:
            self._fail(TOO_LARGE, f"at most {FRAGMENTS_MAX} fragments")
            return
        super().handle_cont(event)
        self._count()

    def send_receive_event_to_app(self) -> None:
        """uvicorn would log each text that is none with a traceback."""
        self._heard += 1
        if self.curr_msg_data_type == "text":
            try:
                self.frames = [b"".join(self.frames)]
                self.frames[0].decode()
            except UnicodeDecodeError:
                self.frames = []
                self._fail(BAD_TEXT, "text in UTF-8")
                return
        super().send_receive_event_to_app()

    def handle_connect(self, event: Any) -> None:
        super().handle_connect(event)
        if self.handshake_initiated and hasattr(self, "scope"):
            extensions: dict[str, Any] = self.scope["extensions"]
            extensions[SOCKET] = self

    async def send(self, message: Any) -> None:
        """uvicorn would say of a handshake that was refused that it was forgotten."""
        await super().send(message)
        if message["type"] == "websocket.http.response.body":
            self.handshake_complete = True

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if self.unread > UNREAD_BYTES_END + self._snapshot_bytes:
            self.transport.abort()

    def handle_ping(self) -> None:
        super().handle_ping()
        self._count()

    def handle_pong(self, event: Any) -> None:
        super().handle_pong(event)
        self._count()

    def _count(self) -> None:
        if self.on_extra is not None:
            self.on_extra()
            return
        self._unheard += 1
        if self._unheard > UNHEARD_MAX:
            self.transport.abort()

    def resume_writing(self) -> None:
        super().resume_writing()
        self._snapshot_bytes = 0

    @property
    def unread(self) -> int:
        """Bytes that the client has not taken yet."""
        return self.transport.get_write_buffer_size()

    @property
    def is_open(self) -> bool:
        return (
            self.handshake_complete
            and not self.close_sent
            and not self.disconnected
            and not self.transport.is_closing()
        )

    def write_frame(self, frame: bytes) -> bool:
        """Write a ready frame; False if the client is gone, or does not read."""
        transport = self.transport
        if self.close_sent or self.disconnected or transport.is_closing():
            return False
        if transport.get_write_buffer_size() > UNREAD_BYTES_MAX + self._snapshot_bytes:
            return False
        transport.write(frame)
        return True

    async def write_snapshot(self, frame: bytes) -> bool:
        """The same of a frame of any size, once what was written before is read; it does not
        count as what is not read, until it is."""
        if not await self.drained():
            return False
        written = self.write_frame(frame)
        if written and self.unread:
            self._snapshot_bytes = len(frame)
        return written

    async def drained(self) -> bool:
        """Wait until the client has read nearly all; False if it does not in DRAIN_S_MAX."""
        try:
            async with asyncio.timeout(DRAIN_S_MAX):
                await self.writable.wait()
        except TimeoutError:
            return False
        return self.is_open

    def end(self, code: int, reason: str) -> None:
        """Say why, and close: behind what the client has not read; it is cut off soon."""
        if self.is_open and self.conn.state is State.OPEN:  # the client has not said it first
            told = reason.encode()[:REASON_BYTES_MAX].decode("utf-8", "ignore")
            self.conn.send_close(code, told)
            self.transport.write(b"".join(self.conn.data_to_send()))
            self.close_sent = True
            self.queue.put_nowait({"type": "websocket.disconnect", "code": code, "reason": told})
        self.loop.call_later(END_S, self.transport.abort)
