"""Engine: an order manager whose requests come out of Redis, and whose turns go into it.

Flow:  cmd:GROUP -> [Commands] -> inbox ... journal, commit -> [Telling] -> evt, replies, then XACK
       ask:GROUP -> [Asks] -> OrderManagement -> [Telling] -> replies
Owner: three threads. Commands reads requests and hands them over; Telling writes what the
       dispatcher's thread has put into its queue; Asks hears questions.

The journal is the truth, Redis only the way. A request that was not acknowledged comes again, and
its id makes that harmless; a turn that was not told is told again from the journal.
"""

import logging
import threading
from collections import deque
from collections.abc import Callable, Iterable
from concurrent.futures import Future
from contextlib import suppress
from functools import partial
from typing import Any, NamedTuple

import msgspec

from oms.clock import NANOS, SystemClock
from oms.errors import FencedError, OMSError, StoppedError, TransportError, ValidationError
from oms.gateways.aside import Aside
from oms.manager import OrderManagement
from oms.reject_reasons import RejectReason
from oms.reports import OrderResponse
from oms.roles.questions import (
    USERS_PAGE,
    View,
    answered_told,
    asked,
    error_told,
    told,
    trade_told,
)
from oms.roles.turns import entry_of, made_again
from oms.sections import ScaleConfig
from oms.transport.keys import Keys, seq_of, turn_id
from oms.transport.scripts import BEAT, CLAIM, PUBLISH, READ
from oms.transport.server import (
    Circuit,
    Entry,
    Server,
    ServerRefusalError,
    check_server,
    payload,
)
from oms.transport.wire import (
    NOTHING,
    Command,
    Question,
    Reply,
    encode,
    read_command,
    read_question,
    request_of,
)
from oms.turn.publisher import PublishedTurn
from oms.turn.threads import Job, Worker

log = logging.getLogger(__name__)

TAKEN_MAX = 2_000  # requests that are read and not acknowledged
READ_MAX = 500  # at once
TOLD_MAX = 200  # turns, or 2,000 answers, in one script
WAITING_TURNS_MAX = 10_000  # told to nobody while Redis is away; then from the journal
PAGE = 200  # turns made again at once
IDLE_S = 0.25
BEAT_NS, ALIVE_MS = NANOS // 4, 2_500
ANSWERING = 2  # threads
STOP_S = 3.0


class Source(NamedTuple):
    """Where a request came from: its entry, whose it is, and when it was read."""

    entry_id: bytes
    client: str
    number: int
    read_ns: int


class Dead(NamedTuple):
    """A request that is set aside."""

    why: str
    version: bytes
    content: bytes


class Unit(NamedTuple):
    """What is written together: perhaps a turn, then the answers that it gave."""

    turn: tuple[int, bytes] | None = None
    replies: tuple[tuple[str, bytes], ...] = ()
    dead: tuple[Dead, ...] = ()
    acks: tuple[bytes, ...] = ()


class Engine:
    """What the three jobs share. Raises TransportError and FencedError from `open`: a server that
    cannot be had, a group that another engine serves."""

    def __init__(self, oms: OrderManagement, group: str) -> None:
        self.oms = oms
        self.config: ScaleConfig = oms.config.scale
        self.keys = Keys(group)
        self.pace = SystemClock()  # Redis is outside: no test's clock moves it
        self.circuit = Circuit()
        self.telling = Telling(self)
        self.commands = Commands(self)
        self.asks = Asks(self)
        self._workers: list[Worker] = []
        self.taken = 0  # requests read and not acknowledged; the threads' own lock
        self.lock = threading.Lock()
        self.room = threading.Event()  # some were acknowledged

    def server(self, *, reads: bool = False) -> Server:
        return Server(self.config.redis_url, self.config.call_timeout_ns / NANOS, reads=reads)

    def open(self) -> None:
        """Become the group's engine, and tell what the journal has that Redis has not."""
        journal, number = self.oms.between_turns(lambda _desk, _intake: self._identity()).result(10)
        self.fence = (journal, number)
        server = self.server()
        try:
            check_server(server)
            server.run(CLAIM, [self.keys.fence], self.fence)
            make_group(server, self.keys)
            self.asks.begin(server)
            self.telling.open(server)
        finally:
            server.close()

    def _identity(self) -> tuple[str, str]:
        """Of the journal, by its first record; and of this engine, by how far the journal is now:
        its START entry lies behind all that an engine before it wrote."""
        first = self.oms.store.record_of(1)
        assert first is not None, "a start is journaled"
        return f"{first.wall_ns:x}-{first.checksum:x}", str(self.oms.dispatcher.fold.last_seq)

    def start(self, on_failure: Callable[[str, BaseException], None]) -> None:
        """Each job on a thread of its own. on_failure: told when one dies."""
        answering = [
            (f"oms-answers-{number}", self.asks.aside) for number in range(1, ANSWERING + 1)
        ]
        jobs: list[tuple[str, Job]] = [
            ("oms-turns", self.telling), *answering, ("oms-asks", self.asks),
            ("oms-commands", self.commands),
        ]  # fmt: skip
        self._workers = [Worker(name, job, on_failure) for name, job in jobs]
        for worker in self._workers:
            worker.start()

    def stop(self) -> None:
        """After the order manager: what it told last is told. All are asked before any is waited
        for; the one that writes is asked last."""
        telling, *others = self._workers
        for wait_s in (0.0, STOP_S):
            for worker in others:
                worker.stop(wait_s)
        telling.stop(STOP_S)

    def let_go(self, count: int) -> None:
        with self.lock:
            self.taken -= count
        self.room.set()


def make_group(server: Server, keys: Keys) -> None:
    """The consumer group: from the stream's beginning, because what is answered is deleted."""
    try:
        server.call("XGROUP", "CREATE", keys.commands, "engine", "0", "MKSTREAM")
    except ServerRefusalError as error:
        if error.code != "BUSYGROUP":
            raise


class Telling:
    """Writes turns, answers and acknowledgements; a Job. One queue keeps their order."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._oms = engine.oms
        self._queue: deque[Unit] = deque()
        self._answers: list[tuple[Source, OrderResponse]] = []  # of the turn under way
        self._seq = 0  # of the latest turn in the queue; the dispatcher's thread owns it
        self._listed: object = None
        self._filled = threading.Event()
        self._behind = False  # more turns waited than are kept here
        self._server: Server | None = None
        self._beat_ns = self._beats = 0
        self.told_seq = 0  # of the latest turn that is in Redis

    # --- before the thread runs ---

    def open(self, server: Server) -> None:
        """Tell what follows the last turn that Redis has, then listen."""
        last = last_turn(server, self._engine.keys)
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
        """Page by page; the last one and the listening are one look, so no turn is between."""
        while True:
            page, done = self._oms.between_turns(
                lambda _desk, _intake, after=after: self._page(after)  # type: ignore[misc]
            ).result(60)
            if page:
                after = page[-1][0]
                self._write(server, [Unit(turn=each) for each in page])
            if done:
                return

    def _page(self, after: int) -> tuple[list[tuple[int, bytes]], bool]:
        page = made_again(self._oms, after, PAGE)
        if len(page) == PAGE:
            return page, False
        self._seq = page[-1][0] if page else after
        self._listed = self._oms.publisher.listed
        kept = [each._replace(turn=None) for each in self._queue if each.acks or each.replies]
        self._queue.clear()  # turns that were not told are in the pages
        self._queue.extend(kept)
        self._behind = False
        self._oms.remove_listener(self._turn)
        self._oms.add_turn_listener(self._turn)
        return page, True

    # --- any thread ---

    def put(self, unit: Unit) -> None:
        self._queue.append(unit)
        self._filled.set()

    # --- the dispatcher's thread ---

    def answered(self, source: Source, response: OrderResponse | None) -> None:
        """A request was answered. Its answer is told behind the turn that made it durable."""
        if response is None:
            return  # the engine dies: the request is not acknowledged, and comes again
        if response.journal_seq > self._seq:
            self._answers.append((source, response))
        elif response.text == RejectReason.SHUTTING_DOWN:
            self._engine.let_go(1)  # the next engine answers it
        else:
            self.put(self._unit(None, [(source, response)]))

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
            log.error("Redis is away: %d turns wait; they are told from the journal later",
                      WAITING_TURNS_MAX)  # fmt: skip
            self._behind = True
        self.put(self._unit((turn.seq, entry_of(turn, after, instruments)), answers))

    def _unit(
        self, turn: tuple[int, bytes] | None, answers: Iterable[tuple[Source, OrderResponse]]
    ) -> Unit:
        now_ns = self._oms.clock.wall_ns()
        replies, acks = [], []
        for source, response in answers:
            content = msgspec.Raw(encode(answered_told(response)))
            reply = Reply(
                source.number, response.journal_seq, content, None, source.read_ns, now_ns
            )
            replies.append((source.client, encode(reply)))
            acks.append(source.entry_id)
        return Unit(turn, tuple(replies), (), tuple(acks))

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
        if circuit.failures:
            self._look_again(server)
        units = [self._queue[place] for place in range(min(TOLD_MAX, len(self._queue)))]
        if units:
            self._write(server, units)
            for _ in units:
                self._queue.popleft()
            self._engine.let_go(sum(len(each.acks) for each in units))
        if now_ns - self._beat_ns >= BEAT_NS:
            self._beat(server)
            self._beat_ns = now_ns
        if circuit.failures:
            log.warning("Redis is back")
        circuit.succeeded()

    def _look_again(self, server: Server) -> None:
        """Redis was away: it may have lost what it had, or be another one."""
        check_server(server)
        server.run(CLAIM, [self._engine.keys.fence], self._engine.fence)
        make_group(server, self._engine.keys)
        if self._behind:
            self._catch_up(
                server, max(last_turn(server, self._engine.keys), self._kept_from(self._seq))
            )

    def _write(self, server: Server, units: list[Unit]) -> None:
        keys, config = self._engine.keys, self._engine.config
        turns = [each.turn for each in units if each.turn is not None]
        replies = [reply for each in units for reply in each.replies]
        dead = [each for unit in units for each in unit.dead]
        clients = list({client: None for client, _ in replies})
        place = {client: number for number, client in enumerate(clients, 5)}
        arguments: list[Any] = [*self._engine.fence, config.turns_kept, config.replies_kept]
        arguments.append(len(turns))
        for seq, content in turns:
            arguments += (turn_id(seq), content)
        arguments.append(len(replies))
        for client, content in replies:
            arguments += (place[client], content)
        arguments.append(len(dead))
        for each in dead:
            arguments += each
        arguments += [ack for each in units for ack in each.acks]
        named = [keys.fence, keys.turns, keys.commands, keys.dead]
        server.run(PUBLISH, [*named, *map(keys.replies, clients)], arguments)
        if turns:
            self.told_seq = turns[-1][0]

    def _beat(self, server: Server) -> None:
        """How far the engine is, and how it goes: what an api tells of it."""
        oms = self._oms
        age_ns = oms.clock.monotonic_ns() - oms.access.seen_ns
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
            server.call("DEL", self._engine.keys.alive)
        except TransportError as error:
            log.warning("not told before the stop, so told at the next start: %s", error)
        server.close()


def last_turn(server: Server, keys: Keys) -> int:
    """The sequence of the last turn that Redis has; 0: it has none."""
    found: list[Entry] = server.call("XREVRANGE", keys.turns, "+", "-", "COUNT", 1)
    return seq_of(found[0][0]) if found else 0


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
        entries = self._fenced(server, ">", min(READ_MAX, room))
        if entries:
            self._take(entries)
        else:
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
                hand_over(request, partial(answered, source))
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


def _before(entry_id: bytes) -> str:
    """The id right before this one."""
    millis, _, number = entry_id.decode().partition("-")
    return f"{millis}-{int(number) - 1}" if int(number) else f"{int(millis) - 1}-{2**64 - 1}"


class Asks:
    """Hears questions of apis; a Job. What reads the store is answered on threads of its own."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._oms = engine.oms
        self._server: Server | None = None
        self._last = ""
        self.aside = Aside(about="questions of apis")
        self._stopping = threading.Event()
        self._own: dict[str, Callable[..., Any]] = {
            "view": self._view, "users": self._users, "turns_after": self._turns_after,
            "trades_after": self._trades_after,
        }  # fmt: skip

    def step(self) -> None:
        engine = self._engine
        try:
            server = self._server = self._server or engine.server(reads=True)
            if not self._last:
                self.begin(server)
            entries = server.read({engine.keys.asks: self._last}, READ_MAX).get(
                engine.keys.asks, []
            )
        except TransportError as error:
            self._last = ""
            log.debug("questions wait for Redis: %s", error)
            self._stopping.wait(IDLE_S)
            return
        for entry in entries:
            self._last = entry[0].decode()
            self._hear(entry)

    def begin(self, server: Server) -> None:
        """Hear what is asked from now on: what was asked before has had its time."""
        found: list[Entry] = server.call("XREVRANGE", self._engine.keys.asks, "+", "-", "COUNT", 1)
        self._last = found[0][0].decode() if found else "0-0"

    def _hear(self, entry: Entry) -> None:
        try:
            question = read_question(*payload(entry))
        except ValidationError as error:
            log.warning("question %s is not readable: %s", self._last, error)
            return
        try:
            self.aside.ask(lambda: self._answer(question))
        except ValidationError as error:
            self._tell(question, None, error)

    def _answer(self, question: Question) -> None:
        try:
            found = asked(self._oms, question, self._own)
        except Exception as error:  # it is the answer
            self._tell(question, None, error)
            return
        if isinstance(found, Future):
            found.add_done_callback(
                lambda done: self._tell(
                    question, None if done.exception() else done.result(), done.exception()
                )
            )
        else:
            self._tell(question, found, None)

    def _tell(self, question: Question, found: Any, error: BaseException | None) -> None:
        if error is not None and not isinstance(error, OMSError):
            log.error("question %s failed", question.method, exc_info=error)
        content = msgspec.Raw(told(found)) if error is None else NOTHING
        reply = Reply(question.number, 0, content, error_told(error) if error else None)
        self._engine.telling.put(Unit(None, ((question.client, encode(reply)),)))

    # --- what only an engine answers ---

    def _view(self) -> "Future[View]":
        """All that an api follows, of one instant."""
        oms = self._oms
        for symbol in oms.instruments():  # the very first waits until books are followed
            oms.depth_snapshot(symbol)

        def view(desk: Any, _intake: Any) -> View:
            listed = oms.instruments()
            known = [each for name, each in oms.publisher.instruments.items() if name not in listed]
            return View(
                desk.reports.turn_seq, oms.access.started_ns, list(listed.values()), known,
                oms.market_states(), [oms.depth_snapshot(symbol) for symbol in listed],
                {symbol: oms.recent_trades(symbol) for symbol in listed},
            )  # fmt: skip

        return oms.between_turns(view)

    def _users(self, start: int) -> list[Any]:
        return self._oms.access.users()[start : start + USERS_PAGE]

    def _turns_after(self, seq: int) -> "Future[list[msgspec.Raw]]":
        return self._oms.between_turns(
            lambda _desk, _intake: [
                msgspec.Raw(content) for _, content in made_again(self._oms, seq, PAGE)
            ]
        )

    def _trades_after(self, symbol: str, seq: int, upto_seq: int) -> Any:
        found = self._oms.trades_after(symbol, seq, upto_seq)
        return None if found is None else [trade_told(each) for each in found]

    def wake(self) -> None:
        self._stopping.set()

    def finish(self) -> None:
        if self._server is not None:
            self._server.close()
