"""Once: names that all front doors together take once: nonces of signed requests, tickets.

Each door refuses what it has seen itself; this is for what another one has seen. Redis may lose
what was taken. So it has the name of its memory, and since when that is: a ticket names the memory
in which it was issued, and a nonce has to be signed for a time later than all that was taken
before. Where Redis is out of reach nothing is taken: a door that cannot know lets nobody through.
Owner: any thread; one call at a time, a millisecond or less.
"""

import logging
import secrets
import threading
from collections.abc import Callable, Sequence
from typing import Any

from oms.circuit import Circuit
from oms.clock import Clock
from oms.errors import TransportError
from oms.transport.counting import MEMORY, TAKE_NAME
from oms.transport.keys import Keys
from oms.transport.scripts import Script
from oms.transport.server import Server, SideServer

log = logging.getLogger(__name__)

LIFE_MS = 60_000  # longer than a ticket and a signed request's time are good
AFTER_MS = 2_000
"""A request may be signed for a second ahead of a front door's clock (signatures.AHEAD_NS), which
may be nearly as much ahead of that of the one that finds the memory lost."""
MILLIS = 1_000_000


class Once:
    """The SharedNames of the split form. keys: of the home group. circuit: of the link to it; while
    it fails, nothing is asked."""

    def __init__(
        self, keys: Keys, clock: Clock, server: Callable[[], Server], circuit: Circuit
    ) -> None:
        self._keys, self._clock = keys, clock
        self._side = SideServer(server, circuit)
        self._lock = threading.Lock()

    def memory(self) -> str:
        """As SharedNames has it."""
        try:
            found: bytes = self._run(MEMORY, [], [])
        except TransportError as error:
            log.debug("what is taken once is not known: %s", error)
            return ""
        return found.decode()

    def take(self, name: str, *, memory: str = "", at_ns: int = 0) -> bool | None:
        """As SharedNames has it."""
        given = [memory, at_ns // MILLIS, AFTER_MS, LIFE_MS]
        try:
            found = self._run(TAKE_NAME, [self._keys.once(name)], given)
        except TransportError as error:
            log.warning("%s is refused: whether another door took it is not known: %s",
                        name.partition(":")[0], error)  # fmt: skip
            return None
        return None if found < 0 else bool(found)

    def _run(self, script: Script, keys: Sequence[str], given: Sequence[Any]) -> Any:
        with self._lock:
            begun = [secrets.token_hex(8), self._clock.wall_ns() // MILLIS]
            return self._side.get().run(script, [self._keys.taken, *keys], [*begun, *given])

    def close(self) -> None:
        with self._lock:
            self._side.close()
