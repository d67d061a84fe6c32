"""Link: the way of one api, or broadcast, to one group's engine, and back.

Flow:  RemoteOrders -> [Sending] -> cmd:GROUP, ask:GROUP
       replies, evt:GROUP -> [Receiving] -> futures, mirror, listeners
Owner: two threads. Sending writes what any thread has put into its queue, and looks four times a
       second how the engine is; Receiving settles futures and changes the mirror.

Whatever is asked has a number, and waits in `waiting` until its reply comes. A request whose fate
Redis has forgotten is sent again: its id makes sure that nothing happens twice.
"""

import logging
import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, NamedTuple

import msgspec

from oms.clock import NANOS, Clock, SystemClock
from oms.errors import OutcomeUnknownError, OverrunError, TransportError, ValidationError
from oms.futures import settle
from oms.instruments import Instrument
from oms.market_data import TradeBust, TradeCorrection
from oms.reject_reasons import RejectReason
from oms.requests import AccessAction, AccessRequest, Request, line_of
from oms.requests.access import told_facts
from oms.responses import OrderResponse, refused
from oms.roles.heard import Heard
from oms.roles.mirror import Mirror
from oms.roles.questions import USERS_PAGE, View, answer_of, error_of, response_of
from oms.sections import ScaleConfig
from oms.transport import wire
from oms.transport.keys import Keys, seq_of, turn_id
from oms.transport.scripts import SEND
from oms.transport.server import Circuit, Server, payload
from oms.transport.wire import Question, Reply, TurnEntry, encode
from oms.turn.latency import Histogram

log = logging.getLogger(__name__)

BATCH_MAX = 500  # requests and questions sent at once
WAITING_MAX = 20_000  # requests and questions without an answer
FORGET_NS = 30 * NANOS  # after so long nobody waits for it any more
ASK_AGAIN_NS = 2 * NANOS  # a question that no engine heard is asked again
HELD_NS = NANOS  # the longest an answer waits for its turn to be in the mirror
TICK_NS, IDLE_S = NANOS // 4, 0.25
REPLIES_MS = 10_000  # the stream of answers is gone so long after its owner
ALIVE_NS = 2 * NANOS
UNREADABLE = (msgspec.MsgspecError, UnicodeDecodeError, ValidationError)
READ_MAX = 1_000
ASKS_MAX = 10_000  # questions that no engine hears
# From which of sent, read by the engine, answered by it and received here to which a hop goes.
TIMED = {"send": (0, 1), "venue": (1, 2), "publish": (2, 3), "total": (0, 3)}
ARMS_NS = 2 * NANOS  # how often it is told whose sockets guard orders
URGENT = ("C", "X", "O")  # kinds that pass a lag, as they pass a full inbox


class Waiting(NamedTuple):
    """What has no answer yet. method: of a question, "" of a request; line: of a request."""

    future: "Future[Any]"
    since_ns: int
    method: str
    content: bytes
    line: tuple[Any, ...]
    sent_ns: int  # wall clock


class Held(NamedTuple):
    """An answer whose turn is not in the mirror yet, or that listeners were not told of (heard)."""

    seq: int
    since_ns: int
    future: "Future[Any]"
    value: Any
    heard: bool


class Link:
    """client: the name that this process has in Redis. home: the group has the users."""

    def __init__(
        self, group: str, client: str, config: ScaleConfig, clock: Clock, mirror: Mirror, *,
        home: bool,
    ) -> None:  # fmt: skip
        self.group, self.client, self.config, self.clock = group, client, config, clock
        self.pace = SystemClock()  # Redis is outside: no test's clock moves it
        self.keys = Keys(group)
        self.mirror = mirror
        self.home = home
        self.waiting: dict[int, Waiting] = {}
        self.circuit = Circuit()
        self.alive_ns = 0  # monotonic, of the latest look that found an engine
        self.status: dict[str, Any] = {}  # what the engine last said of itself
        self.told_seq = 0  # the turn that Redis has of it
        self.times = {hop: Histogram() for hop in TIMED}
        self.heard = Heard(self.ask, self.pace.monotonic_ns)
        self.sending = Sending(self)
        self.receiving = Receiving(self)
        self._number = 0
        self._lock = threading.Lock()

    # --- any thread ---

    @property
    def alive(self) -> bool:
        """An engine serves the group, as far as can be known."""
        return self.pace.monotonic_ns() - self.alive_ns <= ALIVE_NS and not self.circuit.failures

    def submit(self, request: Request) -> "Future[OrderResponse]":
        """As OrderManagement.try_submit; TransportError in the future where it was not sent."""
        return self._put("", b"", line_of(request), request)

    def ask(self, method: str, *given: Any, **named: Any) -> "Future[Any]":
        """What the engine's order manager answers."""
        return self._put(method, encode([list(given), named]), ())

    def _put(
        self, method: str, content: bytes, line: tuple[Any, ...], request: Request | None = None
    ) -> "Future[Any]":
        future: Future[Any] = Future()
        now_ns = self.pace.monotonic_ns()
        if self.circuit.failures or len(self.waiting) >= WAITING_MAX:
            why = self.circuit.why or f"{WAITING_MAX} requests wait for an answer"
            settle(future, None, TransportError(f"group {self.group} is out of reach: {why}"))
            return future
        with self._lock:
            self._number += 1
            number = self._number
        sent_ns = self.clock.wall_ns()
        if request is not None:
            content = wire.asked(number, sent_ns, request)
        else:
            given, named = msgspec.json.decode(content)
            content = encode(Question(self.client, number, method, given, named))
        self.waiting[number] = Waiting(future, now_ns, method, content, line, sent_ns)
        self.sending.put(number)
        return future

    def server(self, *, reads: bool = False) -> Server:
        url = self.config.redis_url_of(self.group)
        return Server(url, self.config.call_timeout_ns / NANOS, reads=reads)

    def instrument_of(self, symbol: str) -> Instrument | None:
        return self.mirror.known.get(symbol)

    def fail_all(self, error: Callable[[Waiting], Exception]) -> None:
        for number in list(self.waiting):
            found = self.waiting.pop(number, None)
            if found is not None:
                settle(found.future, None, error(found))


class Sending:
    """A Job: requests and questions into Redis; how the engine is."""

    def __init__(self, link: Link) -> None:
        self._link = link
        self._queue: deque[int] = deque()
        self._filled = threading.Event()
        self._server: Server | None = None
        self._run_id = ""  # of the Redis that has what was sent
        self.perhaps_sent: set[int] = set()  # by a call that failed, or before Redis lost its data
        self._tick_ns = self._beat = 0
        self.own_arms: set[str] = set()  # whose sockets this process has
        self.held_arms: set[str] | None = None  # whose sockets any front door has; None: not known
        self._arms_ns = self._arms_from_ns = 0

    def note_arm(self, request: AccessRequest, done: "Future[OrderResponse]") -> None:
        """A socket of this process guards orders from now on, or no more."""
        if done.exception() is not None or done.result().refused:
            return
        arm_id = told_facts(done.result().text).get("arm", "")
        if request.action is AccessAction.ARM:
            self.own_arms.add(arm_id)
        else:
            self.own_arms.discard((request.facts or {}).get("arm", ""))

    def put(self, number: int) -> None:
        self._queue.append(number)
        self._filled.set()

    def step(self) -> None:
        if not self._queue:
            self._filled.wait(IDLE_S)
        self._filled.clear()
        link = self._link
        now_ns = link.pace.monotonic_ns()
        if not link.circuit.may_try(now_ns):
            self._filled.wait(IDLE_S / 5)
            return
        try:
            server = self._server = self._server or link.server()
            if now_ns - self._tick_ns >= TICK_NS or link.circuit.failures:
                self._tick(server, now_ns)
                self._tick_ns = now_ns
            self._send(server)
            if link.circuit.failures:
                log.warning("group %s: Redis is back", link.group)
            link.circuit.succeeded()
        except TransportError as error:
            self._failed(error)

    def _failed(self, error: TransportError) -> None:
        link = self._link
        if not link.circuit.failures:
            log.warning("group %s: %s", link.group, error)
        self.held_arms, self._arms_from_ns = None, 0
        link.circuit.failed(link.pace.monotonic_ns(), str(error))
        if link.circuit.open:
            link.fail_all(unknown)

    def _send(self, server: Server) -> None:
        """What waits in the queue. A call that fails leaves it there: it is sent again."""
        link = self._link
        numbers = [self._queue[place] for place in range(min(BATCH_MAX, len(self._queue)))]
        found = [(number, link.waiting[number]) for number in numbers if number in link.waiting]
        requests = [(number, each) for number, each in found if not each.method]
        if requests:
            try:
                self._add(server, requests)
            except TransportError:
                self.perhaps_sent.update(number for number, _ in requests)
                raise
        asks = [each.content for _, each in found if each.method]
        if asks:
            bound = ("MAXLEN", "~", ASKS_MAX)
            server.all([("XADD", link.keys.asks, *bound, "*", "v", "1", "e", ask) for ask in asks])
        for _ in numbers:
            self._queue.popleft()

    def _add(self, server: Server, requests: list[tuple[int, Waiting]]) -> None:
        """Some in an entry; alone where more wait than may, so that each is let in or refused."""
        some = wire.ENTRY_MAX
        entries = [requests[at : at + some] for at in range(0, len(requests), some)]
        told = self._told(server, entries)
        alone = [[request] for entry in entries[len(told) :] for request in entry]
        added = self._told(server, alone) if alone else b""
        for [(number, each)], was_added in zip(alone, added, strict=True):
            if was_added == ord("0"):
                self._refuse(number, each)
        for entry, was_added in zip(entries, told, strict=False):
            if was_added == ord("0"):
                self._refuse(*entry[0])

    def _told(self, server: Server, entries: list[list[tuple[int, Waiting]]]) -> bytes:
        """What was added of these: see SEND."""
        link = self._link
        arguments: list[Any] = [link.config.lag_max]
        for entry in entries:
            urgent = all(each.line[0] in URGENT for _, each in entry)
            content = wire.commands(link.client, [each.content for _, each in entry])
            arguments += (len(entry), "1" if urgent else "0", content)
        return bytes(server.run(SEND, [link.keys.commands, link.keys.waiting], arguments))

    def _refuse(self, number: int, each: Waiting) -> None:
        """More requests wait than may: nothing of this one is recorded, unless it is there already,
        from an earlier call."""
        self._link.waiting.pop(number, None)
        if number in self.perhaps_sent:
            settle(each.future, None, sent_before())
            return
        response = refused(each.line, RejectReason.QUEUE_FULL, self._link.clock.wall_ns())
        settle(each.future, response)

    def _tick(self, server: Server, now_ns: int) -> None:
        link = self._link
        replies = link.keys.replies(link.client)
        kept, said, _ = server.all([
            ("PEXPIRE", replies, REPLIES_MS), ("GET", link.keys.alive),
            ("XTRIM", replies, "MINID", link.receiving.last),
        ])  # fmt: skip
        if not kept or server.run_id != self._run_id:  # it lost what it had, or the latest of it
            server.all([
                ("XADD", replies, "*", "v", "0", "e", ""), ("PEXPIRE", replies, REPLIES_MS),
            ])  # fmt: skip
            link.receiving.begin_again()
            self._arms_from_ns = 0
            self._send_again()
            self._run_id = server.run_id
        if said is not None:
            found = msgspec.json.decode(said)
            if found["beat"] != self._beat:  # else it is what a silent engine said last
                self._beat = found["beat"]
                link.status, link.told_seq = found["status"], found["seq"]
                link.alive_ns = now_ns
                link.receiving.heard_of(found["seq"], found["age_ns"])
        if link.home and now_ns - self._arms_ns >= ARMS_NS:
            self._tell_arms(server)
            self._arms_ns = now_ns
        self.perhaps_sent.intersection_update(list(link.waiting))
        for number, each in list(link.waiting.items()):
            if now_ns - each.since_ns < FORGET_NS:
                break  # the others are younger
            if link.waiting.pop(number, None) is not None:
                settle(each.future, None, unknown(each))

    def _tell_arms(self, server: Server) -> None:
        """Whose sockets are here, and whose another front door has that lives."""
        link = self._link
        key, own = link.keys.arms, self.own_arms.copy()
        found: list[bytes] = server.call("HGETALL", key)
        told = {found[at].decode(): found[at + 1].decode() for at in range(0, len(found), 2)}
        for arm_id in own - told.keys():
            server.call("HSET", key, arm_id, link.client)
        for arm_id in [
            name for name, its in told.items() if its == link.client and name not in own
        ]:
            server.call("HDEL", key, arm_id)
        others = {its for its in told.values() if its != link.client}
        living = {each for each in others if server.call("EXISTS", link.keys.replies(each))}
        for arm_id in [name for name, its in told.items() if its in others - living]:
            server.call("HDEL", key, arm_id)
        held = own | {name for name, its in told.items() if its in living}
        now_ns = link.pace.monotonic_ns()
        self._arms_from_ns = self._arms_from_ns or now_ns
        # After a loss of data each front door has a moment to tell what it has.
        self.held_arms = held if now_ns - self._arms_from_ns >= 2 * ARMS_NS else None

    def _send_again(self) -> None:
        """Nobody else knows of these any more."""
        queued = set(self._queue)
        again = [each for each in list(self._link.waiting) if each not in queued]
        self.perhaps_sent.update(again)
        self._queue.extend(again)

    def wake(self) -> None:
        self._filled.set()

    def finish(self) -> None:
        link = self._link
        link.fail_all(unknown)
        if self._server is not None:
            try:
                self._server.call("DEL", link.keys.replies(link.client))
            except TransportError as error:
                log.debug("the stream of answers expires by itself: %s", error)
            self._server.close()


def unknown(each: Waiting) -> Exception:
    """What is said of that which was sent and has no answer."""
    if each.method:
        return TransportError("the engine did not answer")
    return OutcomeUnknownError("the engine has not answered, and Redis is out of reach")


def sent_before() -> Exception:
    """What is said of a request that is refused as if there were nothing of it, though an earlier
    copy of it may be recorded, or may still be."""
    return OutcomeUnknownError("it is refused now, and was perhaps sent before")


class Receiving:
    """A Job: answers to futures; turns to the mirror and to listeners."""

    def __init__(self, link: Link) -> None:
        self._link = link
        self._server: Server | None = None
        self.last = "0-0"  # of the stream of answers; those before it may go
        self._anew = False  # another server is the primary, perhaps
        self._held: deque[Held] = deque()
        self._asked: dict[str, int] = {}  # when questions of our own were asked
        self._users_left = True  # some were not read yet
        self._users_read = 0
        self._users_stale = False  # a turn did not tell which changed: they are read once more
        self._users_told: set[str] = set()  # by turns, since they are read
        self._readable = True  # the latest turn was
        self._said: deque[tuple[int, int]] = deque(maxlen=1_000)  # turns told, and as of when
        self._stopping = threading.Event()

    # --- the sending thread ---

    def begin_again(self) -> None:
        """The stream of answers is a new one, or is on another server."""
        self.last = "0-0"
        self._anew = True

    def heard_of(self, seq: int, age_ns: int) -> None:
        """The engine said that it had told turn `seq`, and taken its latest so long ago."""
        self._said.append((seq, self._link.clock.monotonic_ns() - age_ns))

    # --- its own thread ---

    def step(self) -> None:
        link = self._link
        try:
            if self._anew and self._server is not None:
                self._server.close()
                self._server = None
            self._anew = False
            server = self._server = self._server or link.server(reads=True)
            self._receive(server)
        except TransportError as error:
            log.debug("group %s: %s", link.group, error)
            self._stopping.wait(IDLE_S)
        self._be_current()
        self._link.heard.tell()
        self._release()
        self._follow()

    def _be_current(self) -> None:
        """All that the engine had told by its last words is here: no revocation that is not known
        is older than that."""
        mirror, said = self._link.mirror, self._said
        known = not self._users_left and not self._users_stale
        while said and mirror.seq and known and said[0][0] <= mirror.seq:
            mirror.access.seen_ns = max(mirror.access.seen_ns, said.popleft()[1])

    def _receive(self, server: Server) -> None:
        link, mirror = self._link, self._link.mirror
        replies, turns = link.keys.replies(link.client), link.keys.turns
        last, told_seq = self.last, link.told_seq
        ids = {replies: last}
        if mirror.seq and "turns_after" not in self._asked:
            ids[turns] = turn_id(mirror.seq)
        found = server.read(ids, READ_MAX)
        if turns in ids and turns not in found and mirror.seq < told_seq:
            self._ask("turns_after", self._fill, mirror.seq)  # Redis had it, and lost it
        for entry in found.get(turns, ()):
            if not self._read_turn(seq_of(entry[0]), *payload(entry)):
                break
        entries = found.get(replies, ())
        for entry in entries:
            version, content = payload(entry)
            if version != b"0":  # which only makes the stream
                self._read_replies(version, content)
        if entries and self.last == last:  # else the stream was made anew meanwhile
            self.last = entries[-1][0].decode()

    def _read_replies(self, version: bytes, content: bytes) -> None:
        try:
            replies = wire.read_replies(version, content)
        except UNREADABLE as error:
            log.warning("group %s: answers are not readable: %s", self._link.group, error)
            return
        for reply in replies:
            self._reply(reply)

    def _read_turn(self, seq: int, version: bytes, content: bytes) -> bool:
        """As `_turn`. One that is not readable is left out, said once for all that follow it. seq:
        0 where it is not known; then all up to where the engine is are left out."""
        link, mirror = self._link, self._link.mirror
        try:
            went_on = self._turn(wire.read_turn(version, content))
        except UNREADABLE as error:
            if self._readable:
                log.error("group %s: turn %d is left out, it is not readable: %s", link.group, seq,
                          error)  # fmt: skip
            self._readable = False
            if not seq or seq > mirror.seq:
                mirror.leave_out(seq)
                self._users_stale = True
            return bool(seq)
        self._readable = True
        return went_on

    def _turn(self, entry: TurnEntry) -> bool:
        """Take one turn over; False where others are missing before it."""
        link, mirror = self._link, self._link.mirror
        if entry.seq <= mirror.seq:
            return True
        if entry.after > mirror.seq:
            if entry.after - mirror.seq > link.config.turns_kept * 10:
                raise OverrunError(
                    f"group {link.group}: turns {mirror.seq} to {entry.after} are missing"
                )
            self._ask("turns_after", self._fill, mirror.seq)
            return False
        reports = wire.decode_reports(entry.reports) if link.heard.listeners else []
        events = mirror.apply(entry)
        known = mirror.known
        responses = [OrderResponse(report, known.get(report.symbol)) for report in reports]
        if self._users_left:
            self._users_told.update(each.name for each in entry.users)
        if not entry.whole:
            self._users_stale = True
        link.heard.turn(entry.seq, responses, events)
        if any(type(event) in (TradeBust, TradeCorrection) for event in events):
            mirror.behind = True  # the engine alone knows which trades are the latest now
        return True

    def _reply(self, reply: Reply[msgspec.Raw]) -> None:
        link = self._link
        found = link.waiting.pop(reply.number, None)
        if found is None:
            return  # answered before, or nobody waits
        if reply.error is not None:
            settle(found.future, None, error_of(reply.error))
            return
        content = bytes(reply.content)
        try:
            if found.method:
                value: Any = answer_of(found.method, content, link.instrument_of)
            else:
                value = response_of(wire.decode_answered(content), link.instrument_of)
                self._time(found, reply)
                unrecorded = value.refused and not value.journal_seq
                if unrecorded and reply.number in link.sending.perhaps_sent:
                    settle(found.future, None, sent_before())
                    return
        except (msgspec.MsgspecError, ValidationError) as error:
            settle(found.future, None, unknown(found))
            log.error("an answer is not readable: %s", error)
            return
        # How far the engine is, is told behind all that listeners are told of that.
        heard = found.method == "journal_seq"
        seq, here = (value, link.heard.seq) if heard else (reply.seq, link.mirror.seq)
        if link.mirror.seq and seq > here:
            self._held.append(Held(seq, link.pace.monotonic_ns(), found.future, value, heard))
        else:
            settle(found.future, value)

    def _time(self, found: Waiting, reply: Reply[msgspec.Raw]) -> None:
        """How long each stage took: by the wall clocks of two machines, if they are two."""
        stamps = found.sent_ns, reply.read_ns, reply.answered_ns, self._link.clock.wall_ns()
        if not reply.read_ns:
            return
        for hop, (begin, end) in TIMED.items():
            self._link.times[hop].record(max(0, stamps[end] - stamps[begin]))

    def _release(self) -> None:
        """Answers whose turn is in the mirror, so that who reads next sees what they did."""
        if not self._held:
            return
        link, now_ns = self._link, self._link.pace.monotonic_ns()
        kept: deque[Held] = deque()
        for each in self._held:
            here = link.heard.seq if each.heard else link.mirror.seq
            if each.seq <= here or (now_ns - each.since_ns > HELD_NS and not each.heard):
                settle(each.future, each.value)
            else:
                kept.append(each)
        self._held = kept

    # --- questions of its own ---

    def _follow(self) -> None:
        """Ask for what is not known of the engine."""
        link, mirror = self._link, self._link.mirror
        if self._users_stale and "users" not in self._asked:
            self._users_stale, self._users_left, self._users_read = False, link.home, 0
            self._users_told.clear()
        if mirror.behind and link.alive:
            self._ask("view", self._take_view)
        elif link.home and self._users_left and mirror.seq and link.alive:
            self._ask("users", self._take_users, self._users_read)

    def _ask(self, method: str, then: Callable[[Any], None], *given: Any) -> None:
        now_ns = self._link.pace.monotonic_ns()
        if now_ns - self._asked.get(method, -ASK_AGAIN_NS) < ASK_AGAIN_NS:
            return
        self._asked[method] = now_ns
        future = self._link.ask(method, *given)

        def done(_: "Future[Any]") -> None:
            if self._asked.get(method) != now_ns:
                return  # it was asked again since
            del self._asked[method]
            if future.exception() is None:
                then(future.result())

        future.add_done_callback(done)

    def _take_view(self, view: View) -> None:
        mirror = self._link.mirror
        self._link.heard.turn(0, [], mirror.take_view(view))
        if not mirror.seq:
            self._users_left = self._link.home
            mirror.seq = self._link.heard.seq = view.seq

    def _take_users(self, users: list[Any]) -> None:
        """Those that a turn told of changed since."""
        told = self._users_told
        self._link.mirror.access.show(each for each in users if each.name not in told)
        self._users_read += len(users)
        self._users_left = len(users) == USERS_PAGE

    def _fill(self, contents: list[msgspec.Raw]) -> None:
        for content in contents:
            if not self._read_turn(0, b"1", bytes(content)):
                return

    def wake(self) -> None:
        self._stopping.set()

    def finish(self) -> None:
        while self._held:
            each = self._held.popleft()
            settle(each.future, each.value)
        if self._server is not None:
            self._server.close()
