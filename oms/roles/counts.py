"""Counts: what all front doors together count: attempts that failed, and what clients used of their
allowances; in Redis, under the home group's keys.

Redis has what all did, and may lose it. A front door keeps what it knows, and writes it again where
the counts have another name than before, or Redis was out of reach: of each attempt the larger
count holds. While Redis is out of reach each front door counts alone, with what it knew.
Owner: any thread, but for the event loop: one call at a time, of a millisecond or less, or of
call_timeout_s where Redis hangs.
"""

import hashlib
import logging
import secrets
import threading
from collections.abc import Callable, Sequence
from typing import Any

from oms.circuit import Circuit
from oms.clock import Clock
from oms.errors import TransportError
from oms.gateways import attempts
from oms.gateways.attempts import FREE_OF_ADDRESS, FREE_OF_USER, Attempts, Failures, Tried, tried
from oms.shared import Used
from oms.transport.counting import BEGIN_ATTEMPT, FORGIVE, REMEMBER, SETTLE, TAKE
from oms.transport.keys import Keys
from oms.transport.scripts import Script
from oms.transport.server import Server, SideServer

log = logging.getLogger(__name__)

LATE_US = 200_000  # how long ago what is settled may have been used: front.SHARE_S
SETTLED_MAX = 100  # allowances in one call: Redis does nothing else meanwhile
REMEMBERED_MAX = 500
TRIES_MAX = 3
MS = 1_000_000  # nanoseconds


class Counts:
    """The SharedCounts of the split form. keys: of the home group. client: this process' name.
    circuit: of the link to that group; while it fails, Redis is not asked."""

    def __init__(
        self, keys: Keys, client: str, clock: Clock, server: Callable[[], Server], circuit: Circuit
    ) -> None:
        self._keys, self._client, self._clock = keys, client, clock
        self._side = SideServer(server, circuit)
        self._asked: Server | None = None
        self._attempts = Attempts()  # what is known here
        self._since = ""  # the name of the counts, as it is known here
        self._behind = True  # Redis may not have what is known here of attempts
        self._anew = False  # nor what was used of allowances
        self._alone = False
        self._lock = threading.Lock()

    # --- attempts ---

    def begin(self, what: str, name: str, address: str, now_ns: int) -> int:
        """As SharedCounts has it."""
        both = tried(what, name, address)
        given: list[Any] = [attempts.ENTRIES_MAX]
        for key, free in zip(both, (FREE_OF_USER, FREE_OF_ADDRESS), strict=True):
            given += (_id(key), free)
        try:
            wait_ms, *found = self._count(BEGIN_ATTEMPT, self._of_attempts, given)
        except TransportError:
            return self._attempts.begin(what, name, address, now_ns)
        for key, count, left_ms in zip(both, found[::2], found[1::2], strict=True):
            self._attempts.note(key, Failures(count, now_ns + left_ms * MS, now_ns))
        return -(-max(0, int(wait_ms)) // 1_000)

    def succeeded(self, what: str, name: str, address: str) -> None:
        """As SharedCounts has it."""
        self._attempts.succeeded(what, name, address)
        given = [attempts.ENTRIES_MAX, *map(_id, tried(what, name, address)), FREE_OF_ADDRESS]
        try:
            self._count(FORGIVE, self._of_attempts, given)
        except TransportError as error:
            log.debug("an attempt that went well counts as failed elsewhere: %s", error)

    @property
    def _of_attempts(self) -> list[str]:
        return [self._keys.tried, self._keys.tried_last]

    # --- allowances ---

    def take(self, used: Used) -> float | None:
        """As SharedCounts has it."""
        given = [self._client, used.rate, used.burst, used.tokens]
        [left] = self._count(TAKE, [self._keys.limit(used.cost, used.client)], given)
        return float(left) if left else None

    def settle(self, used: Sequence[Used]) -> list[float | None] | None:
        """As SharedCounts has it."""
        left: list[float | None] = []
        for begin in range(0, len(used) or 1, SETTLED_MAX):
            some = used[begin : begin + SETTLED_MAX]
            given: list[Any] = [self._client, LATE_US]
            for each in some:
                given += (each.rate, each.burst, f"{each.tokens:.3f}")
            keys = [self._keys.limit(each.cost, each.client) for each in some]
            found = self._count(SETTLE, keys, given, settles=True)
            if found is None:
                return None
            left += [float(each) if each else None for each in found]
        return left

    # --- Redis ---

    def _count(
        self, script: Script, keys: Sequence[str], given: Sequence[Any], *, settles: bool = False
    ) -> Any:
        """What the script answers behind the name of the counts; settles: None where they are new.
        Raises TransportError."""
        with self._lock:
            try:
                answer = self._run(script, keys, given, settles)
            except TransportError as error:
                if not self._alone:
                    log.warning("limits and failed logins are counted here alone: %s", error)
                self._alone = self._behind = True
                raise
            if self._alone:
                log.warning("limits and failed logins are counted together again")
                self._alone = False
            return answer

    def _run(self, script: Script, keys: Sequence[str], given: Sequence[Any], settles: bool) -> Any:
        server = self._side.get()
        if server is not self._asked:  # the one before may have had what this one lacks
            self._asked, self._behind = server, True
        for _ in range(TRIES_MAX):
            if self._behind:
                self._remember(server)
            if settles and self._anew:
                self._anew = False
                return None
            name, *answer = self._call(server, script, keys, given)
            if name == self._since:
                return answer
            self._behind = True
        raise TransportError("the counts of all front doors are lost again and again")

    def _call(
        self, server: Server, script: Script, keys: Sequence[str], given: Sequence[Any]
    ) -> list[Any]:
        now_us = self._clock.wall_ns() // 1_000
        known = [self._since, secrets.token_hex(8), now_us]
        name, *answer = server.run(script, [self._keys.counts, *keys], [*known, *given])
        return [name.decode(), *answer]

    def _remember(self, server: Server) -> None:
        """Have Redis know of attempts what is known here."""
        now_ns = self._clock.monotonic_ns()
        known = [
            part
            for key, each in self._attempts.known()
            for part in (
                _id(key), each.count, (each.until_ns - now_ns) // MS, (each.last_ns - now_ns) // MS,
            )
        ]  # fmt: skip
        names = set()
        for begin in range(0, len(known) or 1, 4 * REMEMBERED_MAX):
            given = [attempts.ENTRIES_MAX, *known[begin : begin + 4 * REMEMBERED_MAX]]
            [name] = self._call(server, REMEMBER, self._of_attempts, given)
            names.add(name)
        self._anew = self._anew or names != {self._since}
        self._since = name
        self._behind = len(names) > 1  # they were lost again meanwhile

    def close(self) -> None:
        with self._lock:
            self._side.close()


def _id(key: Tried) -> str:
    """What Redis has instead of a name, which may be of any length and anybody's."""
    text = "\0".join(key).encode("utf-8", "surrogatepass")
    return hashlib.blake2b(text, digest_size=12).hexdigest()
