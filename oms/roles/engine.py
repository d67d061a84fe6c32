"""Engine: an order manager whose requests come out of Redis, and whose turns go into it.

Flow:  cmd:GROUP -> taking -> inbox ... journal, commit -> telling -> evt, replies, then XACK
       ask:GROUP -> asks -> OrderManagement -> telling -> replies
Owner: whoever opens, starts and stops it; its jobs have threads of their own.

The journal is the truth, Redis only the way. A request that was not acknowledged comes again, and
its id makes that harmless; a turn that was not told is told again from the journal.
"""

import gc
import threading
from collections.abc import Callable

from oms.circuit import Circuit
from oms.clock import NANOS, SystemClock
from oms.errors import OutcomeUnknownError, StoppedError, StoreError, TransportError
from oms.manager import OrderManagement
from oms.roles.asks import Asks
from oms.roles.memory import memory_max
from oms.roles.taking import Commands
from oms.roles.telling import Telling
from oms.sections import ScaleConfig
from oms.transport.keys import Keys
from oms.transport.scripts import CLAIM
from oms.transport.server import Server, check_server, server_of, warn_of_memory
from oms.turn.threads import Job, Worker

ANSWERING = 2  # threads, beside the one for what front doors ask of their own accord
STOP_S = 3.0  # of the one that writes; of all the others together
LOOK_S = 10.0  # the longest a turn may take while the journal's lock is to be looked at
# So many new objects before the collector looks through them, instead of 700: most end with the
# answers of their turn. Measured: 1.7 us an order less.
NEW_MAX = 50_000


def check_reach(scale: ScaleConfig, group: str) -> None:
    """Whether an engine could be opened, before its start is in the journal: who starts again and
    again while Redis is away leaves nothing there. Raises TransportError."""
    server = server_of(scale, group)
    try:
        check_server(server)
    finally:
        server.close()


class Engine:
    """What the three jobs share. Raises TransportError and FencedError from `open`: a server that
    cannot be had, a group that another engine serves.

    scale: of all groups; None: as the order manager has it, which may know of its own alone.
    """

    def __init__(self, oms: OrderManagement, group: str, scale: ScaleConfig | None = None) -> None:
        self.oms = oms
        self.config: ScaleConfig = scale or oms.config.scale
        self.keys = Keys(group)
        self.pace = SystemClock()  # Redis is outside: no test's clock moves it
        self.circuit = Circuit()
        self.telling = Telling(self)
        self.commands = Commands(self)
        self.asks = Asks(self)
        self._workers: list[Worker] = []
        self.claims = 0  # of the group; under the lock
        self.taken = 0  # requests read and not answered; under the lock
        self.lock = threading.Lock()
        self.room = threading.Event()  # some were answered

    def server(self, *, reads: bool = False) -> Server:
        return server_of(self.config, self.keys.group, reads=reads)

    def open(self) -> None:
        """Become the group's engine, and tell what the journal has that Redis has not."""
        journal, number = self.oms.between_turns(lambda _desk, _intake: self._identity()).result(10)
        self.fence = (journal, number)
        server = self.server()
        try:
            memory, group = check_server(server), self.keys.group
            if group == self.config.at_server_of(group)[0]:  # one of them says it
                warn_of_memory(memory, memory_max(self.config, group))
            self.claim(server)
            self.asks.begin(server)
            self.telling.open(server)
        finally:
            server.close()

    def claim(self, server: Server) -> int:
        """Its number is in the fence, and the stream of requests has its readers. Where Redis has
        lost the fence of a later engine only the journal's lock tells of that one, so it is looked
        at right before. Raises OutcomeUnknownError if that is lost, and as `open`.

        Returns how often it claimed the group by now: Redis may have lost its data before each.
        """
        self._look_at_lock()
        with self.lock:
            self.claims += 1
            number = self.claims
        server.run(CLAIM, [self.keys.fence, self.keys.commands], self.fence)
        return number

    def _look_at_lock(self) -> None:
        dispatcher, clock = self.oms.dispatcher, self.oms.clock
        looked = self.oms.between_turns(
            lambda _desk, _intake: dispatcher.tend_store(clock.monotonic_ns())
        )
        try:
            looked.result(LOOK_S)
        except OutcomeUnknownError:
            raise
        except (StoppedError, StoreError, TimeoutError) as error:
            raise TransportError(f"the journal's lock was not looked at: {error!r}") from error

    def _identity(self) -> tuple[str, str]:
        """Of the journal, by its first record; and of this engine, by how far the journal is now:
        its START entry lies behind all that an engine before it wrote."""
        first = self.oms.store.record_of(1)
        assert first is not None, "a start is journaled"
        return f"{first.wall_ns:x}-{first.checksum:x}", str(self.oms.dispatcher.fold.last_seq)

    def start(self, on_failure: Callable[[str, BaseException], None]) -> None:
        """Each job on a thread of its own. on_failure: told when one dies."""
        asides = [self.asks.of_doors, *[self.asks.of_clients] * ANSWERING]
        answering = [(f"oms-answers-{number}", each) for number, each in enumerate(asides, 1)]
        jobs: list[tuple[str, Job]] = [
            ("oms-turns", self.telling), *answering, ("oms-asks", self.asks),
            ("oms-commands", self.commands),
        ]  # fmt: skip
        self._collector = gc.get_threshold()
        gc.set_threshold(NEW_MAX, *self._collector[1:])
        self._workers = [Worker(name, job, on_failure) for name, job in jobs]
        for worker in self._workers:
            worker.start()

    def stop(self) -> None:
        """After the order manager: what it told last is told. All are asked before any is waited
        for, and for all of them no longer than for one; the one that writes is asked last."""
        telling, *others = self._workers
        for worker in others:
            worker.stop(0.0)
        until_ns = self.pace.monotonic_ns() + int(STOP_S * NANOS)
        for worker in others:
            worker.stop(max(0, until_ns - self.pace.monotonic_ns()) / NANOS)
        telling.stop(STOP_S)
        gc.set_threshold(*self._collector)

    def take(self, count: int) -> None:
        with self.lock:
            self.taken += count

    def let_go(self, count: int) -> None:
        with self.lock:
            self.taken -= count
        self.room.set()
