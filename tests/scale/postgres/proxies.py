"""What stands between an engine and its server: it passes on, cuts, stalls, or is a pooler."""

import select
import socket
import struct
import threading
from contextlib import suppress

KEY = b"K\0\0\0\x0c"  # BackendKeyData: process and secret, by which a client cancels


class Proxy:
    """On an ephemeral port of this machine. path: the server's socket. pooler: it tells clients
    keys of its own, as poolers do."""

    def __init__(self, path, *, pooler=False):
        self._path, self._pooler = str(path), pooler
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self._links, self._ended = [], threading.Event()
        self._passes = threading.Event()
        self._passes.set()
        self._thread = threading.Thread(target=self._accept, daemon=True)
        self._thread.start()

    def dsn(self, database):
        return f"host=127.0.0.1 port={self.port} user=postgres dbname={database} sslmode=disable"

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._ended.set()
        self._passes.set()
        self.cut()
        self._thread.join()
        self._listener.close()

    def stall(self):
        """Nothing passes any more, and nobody is told."""
        self._passes.clear()

    def go_on(self):
        self._passes.set()

    def cut(self):
        """Every connection that there is."""
        links, self._links = self._links, []
        for link in links:
            with suppress(OSError):
                link.shutdown(socket.SHUT_RDWR)

    def _accept(self):
        while not self._ended.is_set():
            if not select.select([self._listener], [], [], 0.05)[0]:
                continue
            client, _ = self._listener.accept()
            server = socket.socket(socket.AF_UNIX)
            try:
                server.connect(self._path)
            except OSError:
                client.close()
                continue
            self._links += [client, server]
            for source, target, is_told in ((client, server, False), (server, client, True)):
                arguments = (source, target, is_told and self._pooler)
                threading.Thread(target=self._pass, args=arguments, daemon=True).start()

    def _pass(self, source, target, renames):
        with suppress(OSError):
            while data := source.recv(1 << 16):
                self._passes.wait()
                if renames and KEY in data:
                    at = data.index(KEY) + len(KEY)
                    data, renames = data[:at] + struct.pack("!I", 7) + data[at + 4 :], False
                target.sendall(data)
        for end in (source, target):
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            end.close()
