"""Once: names that all front doors together take once: nonces of signed requests, tickets.

Each door refuses what it has seen itself; this is for what another one has seen. Owner: any thread;
one call at a time, a millisecond or less. Where Redis is out of reach nothing is taken: a door that
cannot know lets nobody through.
"""

import logging
import threading
from collections.abc import Callable

from oms.errors import TransportError
from oms.transport.keys import Keys
from oms.transport.server import Circuit, Server

log = logging.getLogger(__name__)


class Once:
    """keys: of the home group. circuit: of the link to it; while it fails, nothing is asked."""

    def __init__(self, keys: Keys, server: Callable[[], Server], circuit: Circuit) -> None:
        self._keys, self._make, self._circuit = keys, server, circuit
        self._server: Server | None = None
        self._lock = threading.Lock()

    def __call__(self, name: str, life_ms: int) -> bool:
        """True for the first who takes it within its life."""
        if self._circuit.failures:
            return False
        with self._lock:
            try:
                server = self._server = self._server or self._make()
                key = self._keys.once(name)
                return server.call("SET", key, "", "NX", "PX", life_ms) is not None
            except TransportError as error:
                log.warning("%s is refused: whether another door took it is not known: %s",
                            name.partition(":")[0], error)  # fmt: skip
                return False

    def close(self) -> None:
        with self._lock:
            if self._server is not None:
                self._server.close()
                self._server = None
