"""A server that answers as it is told to: with half an answer, garbage, drops, or slowly."""

import socket
import threading
import time
from collections.abc import Callable, Iterable
from contextlib import suppress

Answer = Callable[[socket.socket], None]
REQUEST_BYTES_MAX = 65_536


def says(text: str | bytes) -> Answer:
    """These bytes, and the end of the connection."""
    content = text.encode() if isinstance(text, str) else text

    def answer(connection: socket.socket) -> None:
        connection.sendall(content)

    return answer


def http(status: int, body: str, *headers: str) -> Answer:
    """A whole answer."""
    lines = [f"HTTP/1.1 {status} X", f"Content-Length: {len(body)}", "Connection: close", *headers]
    return says("\r\n".join([*lines, "", body]))


def drips(text: str, pause_s: float) -> Answer:
    """One byte after the other, never enough to time out alone."""

    def answer(connection: socket.socket) -> None:
        for each in text:
            connection.sendall(each.encode())
            time.sleep(pause_s)

    return answer


def floods(head: str, chunk: bytes) -> Answer:
    """Without an end."""

    def answer(connection: socket.socket) -> None:
        connection.sendall(head.encode())
        while True:
            connection.sendall(chunk)

    return answer


class Hostile:
    """answers: one for each connection, the last of them for all that follow. asked: the first line
    of each request."""

    def __init__(self, answers: Iterable[Answer]) -> None:
        self._answers = list(answers)
        self.asked: list[str] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return  # it was closed
            with connection, suppress(OSError):
                connection.settimeout(10)
                request = connection.recv(REQUEST_BYTES_MAX)
                self.asked.append(request.split(b"\r\n")[0].decode("latin-1"))
                self._answers[min(len(self.asked), len(self._answers)) - 1](connection)

    def __enter__(self) -> "Hostile":
        return self

    def __exit__(self, *_: object) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join(15)
        assert not self._thread.is_alive()
