"""Telling: turns, answers and acknowledgements on their way into Redis.

Flow:  dispatcher, after the commit -> [telling] -> evt:GROUP, replies, then XACK
Owner: the thread oms-turns writes. The dispatcher's thread puts turns and answers into the queue,
       any thread what is answered without a turn; one queue keeps their order.
"""

from __future__ import annotations

import logging
import threading
from collections import Counter, deque
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from oms.clock import NANOS
from oms.errors import FencedError, TransportError
from oms.reject_reasons import RejectReason
from oms.responses import OrderResponse
from oms.roles.marshalling import answered_told
from oms.roles.memory import Kept
from oms.roles.turns import entry_of, made_again, made_beside
from oms.transport.keys import Keys, seq_of, turn_id
from oms.transport.scripts import BEAT, FAREWELL, PUBLISH
from oms.transport.server import Entry, Server, check_server
from oms.transport.wire import Answered, Reply, encode
from oms.turn.answer import Asker
from oms.turn.publisher import PublishedTurn

if TYPE_CHECKING:
    from oms.roles.engine import Engine

log = logging.getLogger(__name__)

TOLD_MAX = 200  # turns, or what was answered without one, in one script
WAITING_TURNS_MAX = 10_000  # told to nobody while Redis is away; then from the journal
IDLE_S = 0.25
BEAT_NS, ALIVE_MS = NANOS // 4, 2_500


class Batch:
    """The requests of one entry, so many, and when it was read. left: how many of them are not
    answered yet; the telling thread's own. The entry is acknowledged with the last one's answer."""

    __slots__ = ("client", "count", "entry_id", "left", "read_ns")

    def __init__(self, entry_id: bytes, client: str, count: int, read_ns: int) -> None:
        self.entry_id, self.client, self.read_ns = entry_id, client, read_ns
        self.count = self.left = count


class Taken(Asker[OrderResponse]):
    """A request that was read: its batch, and its number there. Passes its answer on. Where the
    outcome is unknown nobody is told: the engine dies, the request is not acknowledged, and comes
    again."""

    __slots__ = ("_telling", "batch", "number")

    def __init__(self, telling: Telling, batch: Batch, number: int) -> None:
        self._telling, self.batch, self.number = telling, batch, number

    def told(self, outcome: OrderResponse) -> None:
        self._telling.answered(self, outcome)

    def failed(self, error: BaseException) -> None:
        log.warning("request %s has no answer: %s", self.batch.entry_id.decode(), error)


class Dead(NamedTuple):
    """A request that is set aside."""

    why: str
    version: bytes
    content: bytes


class Replies(NamedTuple):
    """Answers to one client, as they stand in the list of an entry. Bytes, because the collector
    walks through all objects that outlive a turn: that took 2 us an order."""

    client: str
    content: bytes


class Unit(NamedTuple):
    """What is written together: perhaps a turn, then the answers that it gave. answered: a batch
    for each of its requests that is answered."""

    turn: tuple[int, bytes] | None = None
    replies: Sequence[Replies] = ()
    dead: Sequence[Dead] = ()
    answered: Sequence[Batch] = ()


class Telling:
    """Writes turns, answers and acknowledgements; a Job. One queue keeps their order."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._oms = engine.oms
        self._queue: deque[Unit] = deque()
        self._answers: list[tuple[Taken, OrderResponse]] = []  # of the turn under way
        self._seq = 0  # of the latest turn in the queue; the dispatcher's thread owns it
        self._listed: object = None
        self._filled = threading.Event()
        self._behind = False  # more turns waited than are kept here
        self._server: Server | None = None
        self._beat_ns = self._beats = 0
        self._kept = Kept()
        self.told_seq = 0  # of the latest turn that is in Redis
        self._told_ns = 0  # as of when all turns are
        self._marked_ns = self._to_tell = 0  # it is then once so many of the queue are told

    # --- before the thread runs ---

    def open(self, server: Server) -> None:
        """Tell what follows the last turn that Redis has, then listen."""
        last = last_turn(server, self._engine.keys)
        self._kept.begin(server, self._engine.keys, last)
        found = self._oms.between_turns(lambda desk, _intake: desk.reports.turn_seq).result(10)
        if last > found:
            raise FencedError(
                f"{self._engine.keys.turns} has turn {last}, the journal ends with {found}: it is "
                "another journal's, or this one is an older copy; see docs/scale.md"
            )
        first = max(last, self._kept_from(found))
        self._catch_up(server, first)

    def _kept_from(self, last_seq: int) -> int:
        """Behind which sequence turns are worth telling again: no more than are kept."""
        return max(0, last_seq - self._engine.config.turns_kept)

    def _catch_up(self, server: Server, after: int) -> None:
        """Page by page, beside the dispatcher; the last turns and the listening are one look of
        its own, so that no turn is between."""
        joined = False
        while not joined:
            turns, more = made_beside(self._oms, after)
            if turns:
                self._write(server, [Unit(turn=each) for each in turns])
                after = turns[-1][0]
            if not more:
                joined = self._oms.between_turns(
                    lambda _desk, _intake, after=after: self._join(after)  # type: ignore[misc]
                ).result(60)
        self._to_tell = len(self._queue)

    def _join(self, after: int) -> bool:
        """Have the turns behind `after` in the queue, and listen from now on; False: there are more
        than a page."""
        turns, more = made_again(self._oms, after)
        if more:
            return False
        self._seq = turns[-1][0] if turns else after
        self._listed = self._oms.publisher.listed
        for _ in range(len(self._queue)):  # any thread may put something behind these meanwhile
            unit = self._queue.popleft()
            if unit.answered or unit.replies:  # turns that were not told are in the pages
                self._queue.append(unit._replace(turn=None))
        self._queue.extendleft(Unit(turn=each) for each in reversed(turns))
        self._behind = False
        self._oms.remove_listener(self._turn)
        self._oms.add_turn_listener(self._turn)
        return True

    # --- any thread ---

    def put(self, unit: Unit) -> None:
        self._queue.append(unit)
        if not self._filled.is_set():
            self._filled.set()

    # --- the dispatcher's thread ---

    def answered(self, taken: Taken, response: OrderResponse) -> None:
        """A request was answered. Its answer is told behind the turn that made it durable."""
        if response.report.journal_seq > self._seq:
            self._answers.append((taken, response))
        elif response.text == RejectReason.SHUTTING_DOWN:
            self._engine.let_go(1)  # the next engine answers it
        else:
            self.put(self._unit(None, [(taken, response)]))

    def _turn(self, turn: PublishedTurn) -> None:
        listed, instruments = self._oms.publisher.listed, None
        if listed is not self._listed:
            self._listed, instruments = listed, list(listed.values())
        answers, self._answers = self._answers, []
        after, self._seq = self._seq, turn.seq
        if self._behind:
            self.put(self._unit(None, answers))
            return
        if len(self._queue) >= WAITING_TURNS_MAX:
            log.error("Redis is away, or slow: %d turns wait; they are told from the journal later",
                      WAITING_TURNS_MAX)  # fmt: skip
            self._behind = True
        journal, number = self._engine.fence
        engine = journal, int(number), self._oms.access.started_ns
        entry = entry_of(turn, after, instruments, self._oms.clock.wall_ns(), engine)
        self.put(self._unit((turn.seq, entry), answers))

    def _unit(
        self, turn: tuple[int, bytes] | None, answers: Sequence[tuple[Taken, OrderResponse]]
    ) -> Unit:
        now_ns = self._oms.clock.wall_ns()
        replies: dict[str, list[Reply[Answered]]] = {}
        for taken, response in answers:
            reply = Reply(
                taken.number, response.report.journal_seq, answered_told(response), None,
                taken.batch.read_ns, now_ns,
            )  # fmt: skip
            replies.setdefault(taken.batch.client, []).append(reply)
        told = [replies_to(client, *its) for client, its in replies.items()]
        return Unit(turn, told, (), [taken.batch for taken, _ in answers])

    # --- its own thread ---

    def step(self) -> None:
        if not self._queue:
            self._filled.wait(IDLE_S)
        self._filled.clear()
        clock, circuit = self._engine.pace, self._engine.circuit
        now_ns = clock.monotonic_ns()
        if not circuit.may_try(now_ns):
            self._filled.wait(IDLE_S / 5)
            return
        try:
            self._tell(now_ns)
        except FencedError:
            raise
        except TransportError as error:
            if not circuit.failures:
                log.warning("turns wait for Redis: %s", error)
            circuit.failed(clock.monotonic_ns(), str(error))

    def _tell(self, now_ns: int) -> None:
        server = self._server = self._server or self._engine.server()
        circuit = self._engine.circuit
        if circuit.failures or self._behind:
            self._look_again(server)
        if not self._to_tell:  # first the instant: what was told by then is in the queue
            self._marked_ns, self._to_tell = self._oms.access.seen_ns, len(self._queue)
        units = [self._queue[place] for place in range(min(TOLD_MAX, len(self._queue)))]
        if units:
            self._write(server, units)
            for _ in units:
                self._queue.popleft()
            self._engine.let_go(sum(len(each.answered) for each in units))
        self._to_tell = max(0, self._to_tell - len(units))
        if not self._to_tell and not self._behind:
            self._told_ns = self._marked_ns
        if now_ns - self._beat_ns >= BEAT_NS:
            self._beat(server)
            self._beat_ns = now_ns
        if circuit.failures:
            log.warning("Redis is back")
        circuit.succeeded()

    def _look_again(self, server: Server) -> None:
        """Redis was away: it may have lost what it had, or be another one."""
        keys = self._engine.keys
        check_server(server)
        self._engine.claim(server)
        last = last_turn(server, keys)
        self._kept.begin(server, keys, last)
        if self._behind:
            self._catch_up(server, max(last, self._kept_from(self._seq)))

    def _write(self, server: Server, units: list[Unit]) -> None:
        keys, config = self._engine.keys, self._engine.config
        turns = [each.turn for each in units if each.turn is not None]
        replies: dict[str, list[bytes]] = {}  # an entry for each client, with all its answers
        for client, content in [reply for each in units for reply in each.replies]:
            replies.setdefault(client, []).append(content)
        dead = [each for unit in units for each in unit.dead]
        arguments: list[Any] = [*self._engine.fence, config.turns_kept, config.replies_kept]
        arguments += (turn_id(self._kept.first), len(turns))
        for seq, content in turns:
            arguments += (turn_id(seq), content)
        arguments.append(len(replies))
        for place, contents in enumerate(replies.values(), 6):
            arguments += (place, b"[%s]" % b",".join(contents))
        arguments.append(len(dead))
        for each in dead:
            arguments += each
        answered = Counter(batch for each in units for batch in each.answered)
        done = [batch for batch, count in answered.items() if batch.left == count]
        arguments.append(sum(batch.count for batch in done))
        arguments += [batch.entry_id for batch in done]
        named = [keys.fence, keys.turns, keys.commands, keys.dead, keys.waiting]
        server.run(PUBLISH, [*named, *map(keys.replies, replies)], arguments)
        for batch, count in answered.items():
            batch.left -= count
        for seq, content in turns:
            self._kept.add(seq, len(content))
        if turns:
            self.told_seq = turns[-1][0]

    def _beat(self, server: Server) -> None:
        """How far the engine is, and how it goes: what an api tells of it."""
        oms = self._oms
        age_ns = oms.clock.monotonic_ns() - self._told_ns
        self._beats += 1
        said = encode({
            "beat": self._beats, "seq": self.told_seq, "age_ns": age_ns, "status": oms.get_status(),
        })  # fmt: skip
        keys = self._engine.keys
        server.run(BEAT, [keys.fence, keys.alive], [*self._engine.fence, said, ALIVE_MS])

    def wake(self) -> None:
        self._filled.set()

    def finish(self) -> None:
        """The order manager has stopped: tell what it told last, and that it is gone."""
        server = self._server or self._engine.server()
        try:
            while self._queue:
                units = [self._queue.popleft() for _ in range(min(TOLD_MAX, len(self._queue)))]
                self._write(server, units)
            keys = self._engine.keys
            server.run(FAREWELL, [keys.fence, keys.alive], self._engine.fence)
        except TransportError as error:
            log.warning("not told before the stop, so told at the next start: %s", error)
        server.close()


def replies_to(client: str, *replies: Reply[Any]) -> Replies:
    return Replies(client, encode(replies)[1:-1])


def last_turn(server: Server, keys: Keys) -> int:
    """The sequence of the last turn that Redis has; 0: it has none."""
    found: list[Entry] = server.call("XREVRANGE", keys.turns, "+", "-", "COUNT", 1)
    return seq_of(found[0][0]) if found else 0
