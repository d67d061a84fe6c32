"""Taking: requests out of Redis into the order manager.

Flow:  cmd:GROUP -> [taking] -> OrderManagement.hand_over -> telling
Owner: the thread oms-commands. What was read and not acknowledged is pending, and comes first when
       an engine starts, or after a call that failed.
"""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING

from oms.errors import FencedError, StoppedError, TransportError, ValidationError
from oms.reports import OrderResponse
from oms.roles.questions import error_told
from oms.roles.telling import Dead, Source, Unit, make_group
from oms.transport.scripts import READ
from oms.transport.server import Entry, Server, ServerRefusalError, payload
from oms.transport.wire import NOTHING, Command, Reply, encode, read_command, request_of
from oms.turn.answer import Asker

if TYPE_CHECKING:
    from oms.roles.engine import Engine

log = logging.getLogger(__name__)

TAKEN_MAX = 2_000  # requests that are read and not acknowledged
READ_MAX = 500  # at once
WAITING_MAX = 1_000  # questions that wait until requests are taken
IDLE_S = 0.25


class Taken(Asker[OrderResponse]):
    """Passes an answer on. Where the outcome is unknown nobody is told: the engine dies, the
    request is not acknowledged, and comes again."""

    __slots__ = ("_answered", "_source")

    def __init__(self, source: Source, answered: Callable[[Source, OrderResponse], None]) -> None:
        self._source, self._answered = source, answered

    def told(self, outcome: OrderResponse) -> None:
        self._answered(self._source, outcome)

    def failed(self, error: BaseException) -> None:
        log.warning("request %s has no answer: %s", self._source.entry_id.decode(), error)


class Commands:
    """Reads requests and hands them to the order manager; a Job. First its own that are pending."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._oms = engine.oms
        self._server: Server | None = None
        self._last = "0-0"  # of the entries that were read
        self._pending = True  # some are perhaps: of an earlier engine, or of a call that failed
        self._failed = False
        self._stopping = threading.Event()
        self._when_taken: deque[Callable[[], None]] = deque()

    # --- any thread ---

    def has_taken(self, upto: str) -> bool:
        """Were all requests up to this entry handed over? "": of none it is true."""
        return not upto or (not self._pending and _place(upto) <= _place(self._last))

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
            if self._pending:
                self._settle()
                make_group(server, self._engine.keys)
                self._recover(server)
                self._pending = self._failed = False
            self._read(server)
        except FencedError:
            raise
        except TransportError as error:
            if isinstance(error, ServerRefusalError) and error.code == "NOGROUP":
                log.warning("Redis lost its data: the group of readers is made anew")
                self._last = "0-0"
            elif not self._failed:
                log.warning("requests wait for Redis: %s", error)
            # An answer that was lost may have had requests in it: they are pending since.
            self._failed = self._pending = True
            self._stopping.wait(IDLE_S)

    def _recover(self, server: Server) -> None:
        """What was read and not acknowledged, oldest first. What an engine died of more than once
        is handled alone, so that only the request that kills it is counted again."""
        engine = self._engine
        begin = "-"
        while not self._stopping.is_set():
            found = server.call(
                "XPENDING", engine.keys.commands, "engine", begin, "+", READ_MAX, "engine"
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
        """A request of which engines died: set it aside, and say so to who asked."""
        found: list[Entry] = server.call("XRANGE", self._engine.keys.commands, entry_id, entry_id)
        why = f"the engine ended {deliveries} times while it handled the request"
        for entry in found:
            self._refuse(
                entry, ValidationError("request", entry[0].decode(), f"another one: {why}")
            )
        self._settle()

    def _settle(self) -> None:
        """Wait until what was taken is acknowledged."""
        while self._engine.taken and not self._stopping.is_set():
            self._engine.room.wait(IDLE_S)
            self._engine.room.clear()

    def _read(self, server: Server) -> None:
        engine = self._engine
        room = TAKEN_MAX - engine.taken
        if room <= 0:
            engine.room.wait(IDLE_S)
            engine.room.clear()
            return
        count, asked = min(READ_MAX, room), len(self._when_taken)
        entries = self._fenced(server, ">", count)
        if entries:
            self._take(entries)
        for _ in range(asked if len(entries) < count else 0):
            self._when_taken.popleft()()
        if not entries:
            server.read({engine.keys.commands: self._last}, 1)  # it waits for one

    def _fenced(self, server: Server, after: str, count: int) -> list[Entry]:
        keys = self._engine.keys
        found = server.run(READ, [keys.fence, keys.commands], [*self._engine.fence, after, count])
        return [entry for _, entries in found or () for entry in entries]

    def _take(self, entries: list[Entry]) -> None:
        if not entries:
            return
        engine, now_ns = self._engine, self._oms.clock.wall_ns()
        with engine.lock:
            engine.taken += len(entries)
        hand_over, answered = self._oms.hand_over, engine.telling.answered
        for entry in entries:
            version, content = payload(entry)
            found: Command | None = None
            try:
                found = read_command(version, content)
                request = request_of(found)
            except (ValidationError, UnicodeDecodeError, RecursionError) as error:
                self._put_refused(entry, found, error)
                continue
            source = Source(entry[0], found.client, found.number, now_ns)
            try:
                hand_over(request, Taken(source, answered))
            except ValidationError as error:
                self._put_refused(entry, found, error)
            except StoppedError:
                engine.let_go(1)  # not acknowledged: it comes again
        self._last = entries[-1][0].decode()

    def _refuse(self, entry: Entry, error: Exception) -> None:
        with self._engine.lock:
            self._engine.taken += 1
        version, content = payload(entry)
        found: Command | None = None
        with suppress(ValidationError):  # then nobody can be told
            found = read_command(version, content)
        self._put_refused(entry, found, error)

    def _put_refused(self, entry: Entry, found: Command | None, error: Exception) -> None:
        """Answered as an error, kept in `dead`, acknowledged."""
        version, content = payload(entry)
        replies: tuple[tuple[str, bytes], ...] = ()
        if found is not None:
            replies = ((found.client, encode(Reply(found.number, 0, NOTHING, error_told(error)))),)
        log.warning("request %s is set aside: %s", entry[0].decode(), error)
        dead = Dead(str(error), version, content)
        self._engine.telling.put(Unit(None, replies, (dead,), (entry[0],)))

    def wake(self) -> None:
        self._stopping.set()
        self._engine.room.set()

    def finish(self) -> None:
        if self._server is not None:
            self._server.close()


def _place(entry_id: str) -> tuple[int, int]:
    """Where an entry stands in its stream."""
    millis, _, number = entry_id.partition("-")
    return int(millis), int(number)


def _before(entry_id: bytes) -> str:
    """The id right before this one."""
    millis, _, number = entry_id.decode().partition("-")
    return f"{millis}-{int(number) - 1}" if int(number) else f"{int(millis) - 1}-{2**64 - 1}"
