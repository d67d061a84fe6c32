"""Connection: one client of a local socket; lines come in, lines go out, and all of it is bounded.

Flow:  socket -> [connection] -> line -> gateway -> told -> [connection] -> socket
Owner: the gateway's thread. Nothing here blocks.
"""

import os
import selectors
import socket
import struct
from collections import deque
from concurrent.futures import Future
from contextlib import suppress

from oms.clock import NANOS
from oms.errors import OMSError, StoppedError, ValidationError
from oms.gateways.answers import Promise, Watch, error_object
from oms.gateways.wire import ANSWER_S_MAX, LINE_BYTES_MAX, LINES_AHEAD_MAX, Told, encode
from oms.requests.orders import check_id

LINE_NS_MAX = 5 * NANOS  # from the first byte of a line to its end
WRITE_NS_MAX = 5 * NANOS  # without a byte taken by the client
ANSWER_NS_MAX = round(ANSWER_S_MAX * NANOS)
MISTAKE_PAUSE_NS = NANOS // 100  # after a line that is none, the connection is not read
UNREAD_BYTES_MAX = 262_144  # answers kept for a client that does not read; then no line is taken
WATCH_BYTES_MAX = 8_388_608  # events kept for one watcher
LAST_WORD_BYTES = 212_992  # room in the kernel for the line that says why a watcher is dropped
SHOWN = 40
LATE = f"no answer within {ANSWER_S_MAX:g} s: its outcome is unknown, send the same request again"


class Connection:
    """What came and is no line yet, whose answers are due, what is to be written.

    gone: the socket is of no more use; the gateway lets go of it.
    """

    def __init__(self, sock: socket.socket, number: int, now_ns: int) -> None:
        sock.setblocking(False)
        self.sock = sock
        self.number = number
        self.user = _user_of(sock)
        self.lines = 0
        self.watch: Watch | None = None
        self.gone = False
        self.active_ns = now_ns
        self.mask = 0  # what the selector waits for
        self._received, self._outgoing = bytearray(), bytearray()
        self._due: deque[tuple[Told | Promise, int]] = deque()  # and until when it may come
        self._line_ns = 0  # since when a line is begun and not whole; 0: none is
        self._paused_ns = 0  # not read until then
        self._written_ns = now_ns
        self._closing_ns = 0  # closed once all is written, at the latest then; 0: it is not
        self._ended = False  # the client sends no more
        self._mid_line = False  # the last byte written was not the end of a line

    # --- in ---

    def read(self, now_ns: int) -> None:
        """One piece, as long as there is room for it."""
        room = LINE_BYTES_MAX - len(self._received)
        if self._ended or self._closing_ns or room <= 0:
            return
        try:
            some = self.sock.recv(room)
        except BlockingIOError:
            return
        except OSError:
            self.gone = True
            return
        self.active_ns = now_ns
        self._received += some
        self._ended = not some
        if self._received and not self._line_ns:
            self._line_ns = now_ns

    def next_line(self, now_ns: int) -> bytes | None:
        """A line, once it is whole and there is room for its answer."""
        if not self.has_line or not self._may_take(now_ns):
            return None
        line, feed, rest = self._received.partition(b"\n")
        if not feed:
            expected = f"at most {LINE_BYTES_MAX} bytes and a line feed"
            self.fail(ValidationError("line", bytes(line[:SHOWN]), expected), now_ns)
            return None
        self._received = rest
        self._line_ns = now_ns if rest else 0
        self.lines += 1
        return bytes(line)

    @property
    def has_line(self) -> bool:
        """A whole line, or one that is too long."""
        return b"\n" in self._received or len(self._received) >= LINE_BYTES_MAX

    def _may_take(self, now_ns: int) -> bool:
        return (
            not self._closing_ns
            and self.watch is None
            and len(self._due) < LINES_AHEAD_MAX
            and len(self._outgoing) < UNREAD_BYTES_MAX
            and now_ns >= self._paused_ns
        )

    def ready_ns(self, now_ns: int) -> int:
        """When a line can be taken that no descriptor tells of; 0: none."""
        if now_ns < self._paused_ns:
            return self._paused_ns
        return now_ns if self.has_line and self._may_take(now_ns) else 0

    def look_at_bounds(self, now_ns: int) -> None:
        """A line that does not end, words of a watcher, answers that nobody reads."""
        shown = bytes(self._received[:SHOWN])
        if self._received and not self._closing_ns:
            if self.watch is not None:
                self.fail(ValidationError("line", shown, "none while it watches"), now_ns)
            elif not self.has_line and (self._ended or now_ns - self._line_ns > LINE_NS_MAX):
                expected = f"a line feed at its end, within {LINE_NS_MAX // NANOS} s"
                self.fail(ValidationError("line", shown, expected), now_ns)
        if self._outgoing and now_ns - self._written_ns > WRITE_NS_MAX:
            self.gone = True

    # --- out ---

    def owe(self, told: "Told | Promise", now_ns: int) -> None:
        """The answer to the line that was taken; answers go out in the order of their lines."""
        if isinstance(told, dict) and "error" in told:
            self._paused_ns = now_ns + MISTAKE_PAUSE_NS
        self._due.append((told, now_ns + ANSWER_NS_MAX))

    def owed(self, now_ns: int) -> Promise | None:
        """The oldest promise, if it is kept; what needs no waiting before it is said."""
        while self._due:
            told, until_ns = self._due[0]
            if isinstance(told, Promise):
                if told.future.done():
                    return told
                if now_ns <= until_ns:
                    return None
                told = error_object(StoppedError(LATE))
            self._due.popleft()
            self.say(encode(told), now_ns)
        return None

    def settle(self, told: Told, now_ns: int) -> None:
        """Say what came of the oldest promise."""
        self._due.popleft()
        self.say(encode(told), now_ns)

    def say(self, line: bytes, now_ns: int) -> None:
        if not self._outgoing:
            self._written_ns = now_ns
        self._outgoing += line

    def write(self, now_ns: int) -> None:
        """As much as the client takes."""
        outgoing = self._outgoing
        while outgoing and not self.gone:
            try:
                count = self.sock.send(memoryview(outgoing)[:UNREAD_BYTES_MAX])
            except BlockingIOError:
                return
            except OSError:  # the client has gone
                self.gone = True
                return
            self._mid_line = outgoing[count - 1] != ord("\n")
            self.active_ns = self._written_ns = now_ns
            del outgoing[:count]

    @property
    def unwritten(self) -> int:
        return len(self._outgoing)

    @property
    def idle(self) -> bool:
        """No answer is due, and it does not watch."""
        return not self._due and self.watch is None

    # --- the end ---

    @property
    def closing(self) -> bool:
        return self._closing_ns > 0

    def fail(self, error: OMSError, now_ns: int) -> None:
        """Say why, after the answers that are due, and close."""
        self._due.append((error_object(error), now_ns))
        self._received.clear()
        self._closing_ns = now_ns + WRITE_NS_MAX

    def fail_slow(self, error: OMSError, now_ns: int) -> None:
        """The same of a watcher: it finds the line behind what it has not read yet."""
        kept = self._outgoing.find(b"\n") + 1 if self._mid_line else 0
        del self._outgoing[kept:]
        with suppress(OSError):
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, LAST_WORD_BYTES)
        self.fail(error, now_ns)

    def is_over(self, now_ns: int) -> bool:
        """Is all said that there was to say, or the time for it over?"""
        if self.gone or (self._ended and self.watch is not None):
            return True
        said = not self._outgoing and not self._due
        if self._closing_ns:
            return said or now_ns >= self._closing_ns
        return said and self._ended and not self.has_line

    def wanted_mask(self, now_ns: int) -> int:
        """What the selector is to wait for."""
        mask = selectors.EVENT_WRITE if self._outgoing else 0
        if self._ended or self._closing_ns or self.has_line:
            return mask
        if self.watch is not None or self._may_take(now_ns):
            mask |= selectors.EVENT_READ
        return mask


def outcome(promise: Promise) -> Told:
    """What came of a promise that is kept."""
    future: Future[object] = promise.future
    try:
        return promise.tell(future.result(0))
    except OMSError as error:
        return error_object(error)


def _user_of(sock: socket.socket) -> str:
    """The user whose process it is; the kernel says so, not the client."""
    uid = os.geteuid()
    if hasattr(socket, "SO_PEERCRED"):
        size = struct.calcsize("3i")
        _pid, uid, _gid = struct.unpack(
            "3i", sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, size)
        )
    return user_name(uid)


def user_name(uid: int | None = None) -> str:
    """A user's name, or its number where the name is none for an origin; None: our own."""
    if os.name != "posix":
        return ""
    import pwd

    uid = os.geteuid() if uid is None else uid
    try:
        return check_id("user", pwd.getpwuid(uid).pw_name)
    except (KeyError, ValidationError):
        return f"uid-{uid}"
