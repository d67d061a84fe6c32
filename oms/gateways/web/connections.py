"""Connections: how many there are, of whom, and how long each may take.

uvicorn bounds none of it. A connection counts from its first byte to its last, whether it speaks
HTTP or has become a WebSocket. Once a second every one is asked whether it takes too long: a
timer for each request would cost each request more than that.
Owner: the event loop.
"""

import asyncio
from collections import Counter
from typing import Protocol

from oms.clock import NANOS
from oms.errors import ValidationError
from oms.gateways.addresses import Network, client_of, is_among, networks_in
from oms.gateways.web.door import Door

CONNECTIONS_MAX = 12_000
SWEEP_S = 1.0  # so much longer than its bound a wait may be


class Connection(Protocol):
    def sweep(self, now_ns: int) -> None:
        """End it if it takes too long. now_ns: as `Connections.now_ns`."""
        ...


class Connections:
    """All connections of one server."""

    def __init__(self, door: Door) -> None:
        self.door = door
        self._all: dict[Connection, str] = {}  # whose it is; "" where nobody counts them
        self._of: Counter[str] = Counter()
        self._of_max = door.web.address_connections_max
        self._proxies: tuple[Network, ...] = networks_in(
            "trusted_proxies", door.web.trusted_proxies
        )
        self.refused = 0  # connections that were too many
        self.now_ns = door.oms.clock.monotonic_ns()  # as the latest sweep found it

    def __len__(self) -> int:
        return len(self._all)

    def add(self, connection: Connection, peer: str) -> None:
        """Count it. Raises ValidationError if there are too many of them, or of its address; a
        trusted proxy brings everybody's, so its own are not counted."""
        if len(self._all) >= CONNECTIONS_MAX:
            self.refused += 1
            raise ValidationError("connections", "more", f"at most {CONNECTIONS_MAX}")
        client = "" if is_among(peer, self._proxies) else client_of(peer)
        if client:
            if self._of[client] >= self._of_max:
                self.refused += 1
                expected = f"at most {self._of_max} of one address"
                raise ValidationError("connections", "more", expected)
            self._of[client] += 1
        self._all[connection] = client

    def pass_on(self, before: Connection, after: Connection) -> None:
        """The same connection speaks another protocol now."""
        self._all[after] = self._all.pop(before)

    def remove(self, connection: Connection) -> None:
        """It is over; also of one that was refused."""
        client = self._all.pop(connection, "")
        if client:
            self._of[client] -= 1
            if not self._of[client]:
                del self._of[client]

    async def watch(self) -> None:
        """Sweep for ever. Raises what a thread of the door has died of."""
        while True:
            await asyncio.sleep(SWEEP_S)
            self.sweep()

    def sweep(self) -> None:
        self.now_ns = now_ns = self.door.oms.clock.monotonic_ns()
        self.door.sweep(now_ns)
        for each in tuple(self._all):
            each.sweep(now_ns)


def is_over(since_ns: int, seconds: float, now_ns: int) -> bool:
    return now_ns - since_ns > seconds * NANOS
