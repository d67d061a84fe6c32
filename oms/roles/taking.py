"""Taking: requests out of Redis into the order manager.

Flow:  cmd:GROUP -> [taking] -> OrderManagement.hand_over -> telling
Owner: the thread oms-commands. What was read and not acknowledged is pending, and comes first when
       an engine starts, or after a call that failed.
"""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from oms.errors import FencedError, StoppedError, TransportError, ValidationError
from oms.roles.marshalling import error_told
from oms.roles.telling import Batch, Dead, Replies, Taken, Unit, replies_to
from oms.transport.keys import place_of
from oms.transport.scripts import NO_FENCE, NOTE, READ
from oms.transport.server import Entry, Server, ServerRefusalError, payload
from oms.transport.wire import (
    COMMANDS_VERSION,
    ENTRY_MAX,
    NOTHING,
    AnySentRequest,
    CommandEntry,
    Reply,
    encode,
    read_commands,
    request_of,
)

if TYPE_CHECKING:
    from oms.roles.engine import Engine

log = logging.getLogger(__name__)

TAKEN_MAX = 2_000  # requests that are read and not answered; then no more entries are read
READ_MAX = 500  # entries at once
PENDING_MAX = 100  # entries of an earlier engine at once
WAITING_MAX = 1_000  # questions that wait until requests are taken
IDLE_S = 0.25


class Commands:
    """Reads requests and hands them to the order manager; a Job. First its own that are pending."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._oms = engine.oms
        self._server: Server | None = None
        self._last = "0-0"  # of the entries that were read since the group was claimed
        self._claims = 0  # its number
        self._pending = True  # some are perhaps: of an earlier engine, or of a call that failed
        self._failed = False
        self._empty = False  # the last read had all there was
        self._in_entry = float(ENTRY_MAX)  # requests in an entry of the last read
        self._stopping = threading.Event()
        self._when_taken: deque[Callable[[], None]] = deque()

    # --- any thread ---

    def has_taken(self, upto: str) -> bool:
        """Were all requests up to this entry handed over? "": of none it is true."""
        if self._pending or self._claims != self._engine.claims:
            return not upto
        return not upto or place_of(upto) <= place_of(self._last)

    def when_taken(self, then: Callable[[], None]) -> bool:
        """Have it called once all requests that are in Redis now were handed over; False: too many
        wait for that."""
        room = len(self._when_taken) < WAITING_MAX
        if room:
            self._when_taken.append(then)
        return room

    # --- its own thread ---

    def step(self) -> None:
        server = self._server = self._server or self._engine.server(reads=True)
        try:
            if self._pending or self._claims != self._engine.claims:
                self._pending = True
                self._settle()
                self._claims = self._engine.claim(server)
                # Redis may have lost its data, or be another one whose ids are lower.
                self._last = "0-0"
                self._recover(server)
                self._pending = self._failed = False
            self._read(server)
        except FencedError:
            raise
        except TransportError as error:
            if isinstance(error, ServerRefusalError) and error.code in ("NOGROUP", NO_FENCE):
                log.warning("Redis lost its data: the group of readers is made anew")
            elif not self._failed:
                log.warning("requests wait for Redis: %s", error)
            # An answer that was lost may have had requests in it: they are pending since.
            self._failed = self._pending = True
            self._last = "0-0"  # later ids may be lower: of another server, with a clock of its own
            self._stopping.wait(IDLE_S)

    def _recover(self, server: Server) -> None:
        """What was read and not acknowledged, oldest first. What an engine died of more than once
        is handled alone, so that only the entry that kills it is counted again."""
        engine = self._engine
        begin = "-"
        while not self._stopping.is_set():
            found = server.call(
                "XPENDING", engine.keys.commands, "engine", begin, "+", PENDING_MAX, "engine"
            )
            if not found:
                return
            for entry_id, _consumer, _idle, deliveries in found:
                if deliveries > engine.config.deliveries_max:
                    self._park(server, entry_id, deliveries)
            calm = [each for each in found if each[3] <= engine.config.deliveries_max]
            if calm and all(each[3] < 2 for each in calm):
                self._take(self._fenced(server, _before(calm[0][0]), len(calm)))
                self._settle()
            else:
                for entry_id, *_ in calm:
                    self._take(self._fenced(server, _before(entry_id), 1))
                    self._settle()
            self._last = found[-1][0].decode()
            begin = f"({self._last}"

    def _park(self, server: Server, entry_id: bytes, deliveries: int) -> None:
        """An entry of which engines died: set its request aside, and say so to who asked. Of
        several, each is handled alone; the one that engines die of then is the one."""
        keys = self._engine.keys
        entries: list[Entry] = server.call("XRANGE", keys.commands, entry_id, entry_id)
        if not entries:
            return  # it was deleted
        why = f"the engine ended {deliveries} times while it handled the request"
        refusal = ValidationError("request", entry_id.decode(), f"another one: {why}")
        found = self._batch(entries[0])
        if found is None:
            return
        batch, requests = found
        [tried] = server.call("HMGET", keys.fence, "tried")
        for place, asked in enumerate(requests):
            name = b"%s %d" % (entry_id, place)
            if len(requests) == 1 or tried == name:
                self._put_refused(batch, asked, refusal)
            else:
                server.run(NOTE, [keys.fence], [*self._engine.fence, name])
                self._hand_over(batch, asked)
            self._settle(len(requests) - 1 - place)
            if self._stopping.is_set():
                return

    def _settle(self, left: int = 0) -> None:
        """Wait until all but so many of the requests that were taken are answered."""
        while self._engine.taken > left and not self._stopping.is_set():
            self._engine.room.wait(IDLE_S)
            self._engine.room.clear()

    def _read(self, server: Server) -> None:
        engine = self._engine
        room = TAKEN_MAX - engine.taken
        if room <= 0:
            engine.room.wait(IDLE_S)
            engine.room.clear()
            return
        count, asked = max(1, min(READ_MAX, int(room / self._in_entry))), len(self._when_taken)
        entries = self._fenced(server, ">", count, wait=self._empty and not asked)
        self._empty = len(entries) < count
        taken = self._take(entries)
        for _ in range(asked if self._empty else 0):
            self._when_taken.popleft()()
        if entries:
            self._in_entry = max(1.0, taken / len(entries))

    def _fenced(self, server: Server, after: str, count: int, *, wait: bool = False) -> list[Entry]:
        keys = self._engine.keys
        found = server.run(
            READ, [keys.fence, keys.commands], [*self._engine.fence, after, count],
            {keys.commands: self._last} if wait else None,
        )  # fmt: skip
        return [entry for _, entries in found or () for entry in entries]

    def _take(self, entries: list[Entry]) -> int:
        """Hand over what is in these; how many requests that were."""
        taken = 0
        for entry in entries:
            found = self._batch(entry)
            if found is not None:
                batch, requests = found
                taken += batch.count
                for asked in requests:
                    self._hand_over(batch, asked)
        if entries:
            self._last = entries[-1][0].decode()
        return taken

    def _batch(self, entry: Entry) -> tuple[Batch, Sequence[AnySentRequest]] | None:
        """An entry's requests, which count as taken; None: it is not readable, and set aside."""
        version, content = payload(entry)
        engine, read_ns = self._engine, self._oms.clock.wall_ns()
        try:
            found = read_commands(version, content)
        except (ValidationError, UnicodeDecodeError, RecursionError) as error:
            batch = Batch(entry[0], "", 1, read_ns)
            engine.take(1)
            self._set_aside(batch, Dead(str(error), version, content))
            return None
        engine.take(len(found.requests))
        return Batch(entry[0], found.client, len(found.requests), read_ns), found.requests

    def _hand_over(self, batch: Batch, asked: AnySentRequest) -> None:
        engine = self._engine
        taken = Taken(engine.telling, batch, asked.number)
        try:
            self._oms.hand_over(request_of(asked.request), taken)
        except (ValidationError, UnicodeDecodeError, RecursionError) as error:
            self._put_refused(batch, asked, error)
        except StoppedError:
            engine.let_go(1)  # not acknowledged: it comes again

    def _put_refused(self, batch: Batch, asked: AnySentRequest, error: Exception) -> None:
        """Answered as an error, kept in `dead`, acknowledged."""
        content = encode(CommandEntry(batch.client, [asked]))
        reply = Reply(asked.number, 0, NOTHING, error_told(error))
        dead = Dead(str(error), COMMANDS_VERSION.encode(), content)
        self._set_aside(batch, dead, replies_to(batch.client, reply))

    def _set_aside(self, batch: Batch, dead: Dead, *replies: Replies) -> None:
        log.warning("request %s is set aside: %s", batch.entry_id.decode(), dead.why)
        self._engine.telling.put(Unit(None, replies, [dead], [batch]))

    def wake(self) -> None:
        self._stopping.set()
        self._engine.room.set()

    def finish(self) -> None:
        if self._server is not None:
            self._server.close()


def _before(entry_id: bytes) -> str:
    """The id right before this one."""
    millis, _, number = entry_id.decode().partition("-")
    return f"{millis}-{int(number) - 1}" if int(number) else f"{int(millis) - 1}-{2**64 - 1}"
