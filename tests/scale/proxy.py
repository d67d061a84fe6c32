"""A proxy of the tests' own between a role and a server: it passes, delays, stalls or cuts."""

import select
import socket
import threading
import time
from contextlib import suppress
from pathlib import Path

BYTES = 65_536


class Proxy:
    """On a port of its own. delay_s: before each piece goes on. stalled: nothing goes on, and
    nobody is told. cut: connections are closed, and new ones, too. to: the server's port here, or
    the path of its socket."""

    def __init__(self, to: int | Path) -> None:
        self._to = to
        self.delay_s = 0.0
        self.stalled = self.is_cut = self._closed = False
        self._pairs: list[tuple[socket.socket, socket.socket]] = []
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port = self._listening.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    def cut(self) -> None:
        self.is_cut = True
        pairs, self._pairs = self._pairs, []
        for pair in pairs:
            for each in pair:
                with suppress(OSError):
                    each.shutdown(socket.SHUT_RDWR)

    def lead_to(self, to: int | Path) -> None:
        """Connections from now on are to another server."""
        self._to = to

    def heal(self) -> None:
        self.is_cut = self.stalled = False
        self.delay_s = 0.0

    def close(self) -> None:
        self._closed = True
        self.cut()
        self._listening.close()

    def _accept(self) -> None:
        while not self._closed:
            try:
                near, _ = self._listening.accept()
            except OSError:
                return
            if self.is_cut:
                near.close()
                continue
            try:
                far = self._connect()
            except OSError:
                near.close()
                continue
            self._pairs.append((near, far))
            threading.Thread(target=self._pass, args=(near, far), daemon=True).start()

    def _connect(self) -> socket.socket:
        if isinstance(self._to, int):
            return socket.create_connection(("127.0.0.1", self._to), timeout=5)
        made = socket.socket(socket.AF_UNIX)
        try:
            made.connect(str(self._to))
        except OSError:
            made.close()
            raise
        return made

    def _pass(self, near: socket.socket, far: socket.socket) -> None:
        other = {near: far, far: near}
        with near, far, suppress(OSError, ValueError):
            while not self._closed:
                ready, _, _ = select.select([near, far], [], [], 0.05)
                for each in ready:
                    while self.stalled and not self._closed:
                        time.sleep(0.01)
                    if self.delay_s:
                        time.sleep(self.delay_s)
                    piece = each.recv(BYTES)
                    if not piece:
                        return
                    other[each].sendall(piece)
