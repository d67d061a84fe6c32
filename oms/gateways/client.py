"""The other end of the control socket: what the commands of the program speak through.

Flow:  command -> [client] -> socket -> control -> socket -> [client] -> command
Owner: whoever made it. It waits, at most as long as it is told.
"""

import json
import socket
from collections import deque
from contextlib import suppress
from pathlib import Path

from oms.errors import GatewayError
from oms.gateways.wire import ANSWER_S_MAX, Told, address_in, encode

CONNECT_S_MAX = 5.0
READ_BYTES = 65_536
LATER_S = 5.0  # the daemon answers within ANSWER_S_MAX; its own word should come first


class ControlClient:
    """One connection to the daemon of a directory. Raises GatewayError when that fails."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self._lines: deque[bytes] = deque()
        self._rest = b""

    @classmethod
    def connect(cls, directory: Path) -> "ControlClient | None":
        """A connection; None if nobody listens there."""
        if not hasattr(socket, "AF_UNIX"):
            return None
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        sock.settimeout(CONNECT_S_MAX)
        try:
            with address_in(directory) as address:
                sock.connect(address)
        except (FileNotFoundError, NotADirectoryError, ConnectionRefusedError):
            sock.close()
            return None
        except TimeoutError:
            sock.close()
            raise GatewayError(f"{directory}: its daemon accepts no connection") from None
        except (OSError, GatewayError):
            sock.close()
            raise
        return cls(sock)

    def ask(self, given: Told, wait_s: float = ANSWER_S_MAX + LATER_S) -> Told:
        """One line and its answer. Raises GatewayError on an answer that is an error."""
        self.send(given)
        told = self.receive(wait_s)
        if told is None:
            raise GatewayError("the daemon does not answer: the outcome is unknown")
        if "error" in told:
            raise GatewayError(told["error"]["text"])
        return told

    def send(self, given: Told) -> None:
        self._sock.settimeout(ANSWER_S_MAX)
        try:
            self._sock.sendall(encode(given))
        except OSError as error:  # it may have said why before it went
            last = None
            with suppress(GatewayError):
                last = self.receive(0.0)
            why = last["error"]["text"] if last and "error" in last else error.strerror or "no room"
            raise GatewayError(f"the daemon takes no line: {why}") from None

    def receive(self, wait_s: float | None) -> Told | None:
        """The next line as an object; else as `receive_line`."""
        line = self.receive_line(wait_s)
        if line is None:
            return None
        told: Told = json.loads(line)
        return told

    def receive_line(self, wait_s: float | None) -> bytes | None:
        """The next line; None if there is none within so many seconds (None: for ever).

        Raises GatewayError once the daemon has closed the connection.
        """
        while not self._lines:
            self._sock.settimeout(wait_s)
            try:
                some = self._sock.recv(READ_BYTES)
            except (TimeoutError, BlockingIOError):
                return None
            except OSError as error:
                raise GatewayError(f"the daemon has gone: {error.strerror}") from None
            if not some:
                raise GatewayError("the daemon has gone; what it did not answer is unknown")
            *whole, self._rest = (self._rest + some).split(b"\n")
            self._lines.extend(whole)
        return self._lines.popleft()

    @property
    def has_line(self) -> bool:
        """Has one more line come already?"""
        return bool(self._lines)

    def close(self) -> None:
        self._sock.close()

    def __enter__(self) -> "ControlClient":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
