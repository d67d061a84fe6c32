"""Receiving: answers of one group's engine to the futures that wait; its turns to the mirror.

Flow:  replies, evt:GROUP -> [receiving] -> futures, mirror, listeners
Owner: the thread oms-receive-GROUP. It alone settles futures and changes the mirror.

An answer waits until its turn is in the mirror, so that who reads next sees what the request did.
"""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from oms.clock import NANOS
from oms.errors import JournalError, OverrunError, TransportError, ValidationError
from oms.futures import settle
from oms.market_data import TradeBust, TradeCorrection
from oms.responses import OrderResponse
from oms.roles.marshalling import USERS_PAGE, View, answer_of, error_of, is_of_client, response_of
from oms.roles.waiting import Waiting, other_journal, sent_before, unknown
from oms.transport import wire
from oms.transport.keys import seq_of, turn_id
from oms.transport.server import Server, payload
from oms.transport.wire import Reply, TurnEntry
from oms.turn.latency import Histogram

if TYPE_CHECKING:
    from oms.roles.link import Link

log = logging.getLogger(__name__)

READ_MAX = 1_000
ASK_AGAIN_NS = 2 * NANOS  # a question that no engine heard, or one refused, is asked again
TURNS = "turns_after"  # a question: what was told behind a turn
# The longest an answer waits for its turn to be in the mirror, and for listeners to be told of it.
HELD_NS, HEARD_NS = NANOS, 10 * NANOS
IDLE_S = 0.25
UNREADABLE = (msgspec.MsgspecError, UnicodeDecodeError, ValidationError)
# From which of sent, read by the engine, answered by it and received here to which a hop goes.
TIMED = {"send": (0, 1), "venue": (1, 2), "publish": (2, 3), "total": (0, 3)}


class Held(NamedTuple):
    """An answer whose turn is not in the mirror yet, or that listeners were not told of (heard)."""

    seq: int
    since_ns: int
    future: Future[Any]
    value: Any
    heard: bool


class Receiving:
    """A Job: answers to futures; turns to the mirror and to listeners."""

    def __init__(self, link: Link) -> None:
        self._link = link
        self._server: Server | None = None
        self.last = "0-0"  # of the stream of answers; those before it may go
        self._anew = False  # another server is the primary, perhaps
        self._held: deque[Held] = deque()
        self.times = {hop: Histogram() for hop in TIMED}
        self._missing = 0  # turns up to this one are asked for, not read: Redis may not have them
        self._asked: dict[str, int] = {}  # when questions of our own were asked
        self._forget_asked = False  # they are asked again at once
        self._users_left = True  # some were not read yet
        self._users_read = 0
        self._users_stale = False  # a turn did not tell which changed: they are read once more
        self._users_told: set[str] = set()  # by turns, since they are read
        self._readable = True  # the latest turn was
        # Which told the latest turn; None: not known.
        self._engine: tuple[str, int, int] | None = None
        self._said: deque[tuple[int, int]] = deque(maxlen=1_000)  # turns told, and as of when
        self._stopping = threading.Event()

    # --- the sending thread ---

    def begin_again(self) -> None:
        """The stream of answers is a new one, or is on another server."""
        self.last = "0-0"
        self._anew = True
        self.ask_again()

    def ask_again(self) -> None:
        """Redis was away, and perhaps lost what was asked, or an answer."""
        self._forget_asked = True

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
        if mirror.seq >= max(1, self._missing) and not link.heard.full:
            ids[turns] = turn_id(mirror.seq)
        found = server.read(ids, READ_MAX)
        if turns in ids and turns not in found and mirror.seq < told_seq:
            self._missing = told_seq  # Redis had it, and lost it
        for entry in found.get(turns, ()):
            if link.heard.full or not self._read_turn(seq_of(entry[0]), *payload(entry)):
                break
        entries = found.get(replies, ())
        if entries:
            link.sending.let_go()
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
            self._readable, self._engine = False, None
            if not seq or seq > mirror.seq:
                mirror.leave_out(seq)
                link.heard.turn(seq, [], [], 0)  # listeners are told nothing more up to there
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
            self._missing = entry.after
            return False
        self._check_engine(entry)
        reports = wire.decode_reports(entry.reports) if link.heard.listeners else []
        events = mirror.apply(entry)
        known = mirror.known
        responses = [OrderResponse(report, known.get(report.symbol)) for report in reports]
        if self._users_left:
            self._users_told.update(each.name for each in entry.users)
        if not entry.whole:
            self._users_stale = True
        link.heard.turn(entry.seq, responses, events, entry.published_ns)
        if any(type(event) in (TradeBust, TradeCorrection) for event in events):
            mirror.behind = True  # the engine alone knows which trades are the latest now
        return True

    def _check_engine(self, entry: TurnEntry) -> None:
        """Does the turn go on behind those that were followed? The number of an engine is a
        sequence behind all that those before it have told. Raises JournalError."""
        before, self._engine, mirror = self._engine, entry.engine, self._link.mirror
        if before is None or entry.engine is None or entry.engine == before:
            return
        journal, number, _ = entry.engine
        if journal != before[0] or number <= mirror.seq:
            raise JournalError(other_journal(self._link.group, number, mirror.seq))

    def _reply(self, reply: Reply[msgspec.Raw]) -> None:
        link = self._link
        found = link.waiting.pop(reply.number, None)
        if found is None:
            return  # answered before, or nobody waits
        if is_of_client(found.method):
            link.answered_ns = link.pace.monotonic_ns()
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
            settle(found.future, None, unknown(found, "its answer is not readable"))
            log.error("an answer is not readable: %s", error)
            return
        # How far the engine is, is told behind all that listeners are told of that.
        heard = found.method == "journal_seq"
        seq = value if heard else reply.seq
        if link.mirror.seq and not self._is_here(seq, heard=heard):
            self._held.append(Held(seq, link.pace.monotonic_ns(), found.future, value, heard))
        else:
            settle(found.future, value)

    def _is_here(self, seq: int, *, heard: bool) -> bool:
        """Whether what the turn did is seen here, or listeners were told of it (heard). Where books
        are read anew they are older than the mirror's turn. 0: a question, of no turn."""
        mirror = self._link.mirror
        if heard:
            return seq <= self._link.heard.seq
        return not seq or (seq <= mirror.seq and not mirror.behind)

    def _time(self, found: Waiting, reply: Reply[msgspec.Raw]) -> None:
        """How long each stage took: by the wall clocks of two machines, if they are two."""
        stamps = found.sent_ns, reply.read_ns, reply.answered_ns, self._link.clock.wall_ns()
        if not reply.read_ns:
            return
        for hop, (begin, end) in TIMED.items():
            self.times[hop].record(max(0, stamps[end] - stamps[begin]))

    def _release(self) -> None:
        """Answers whose turn is in the mirror, so that who reads next sees what they did."""
        if not self._held:
            return
        now_ns = self._link.pace.monotonic_ns()
        kept: deque[Held] = deque()
        for each in self._held:
            late = now_ns - each.since_ns > (HEARD_NS if each.heard else HELD_NS)
            if self._is_here(each.seq, heard=each.heard) or (late and not each.heard):
                settle(each.future, each.value)
            elif late:
                settle(each.future, None, TransportError("the engine's latest turn does not come"))
            else:
                kept.append(each)
        self._held = kept

    # --- questions of its own ---

    def _follow(self) -> None:
        """Ask for what is not known of the engine."""
        link, mirror = self._link, self._link.mirror
        if self._forget_asked:
            self._forget_asked = False
            self._asked = dict.fromkeys(self._asked, -ASK_AGAIN_NS)
        if 0 < mirror.seq < self._missing and link.alive and not link.heard.full:
            self._ask(TURNS, self._fill, mirror.seq)
        if self._users_stale and "users" not in self._asked:
            self._users_stale, self._users_left, self._users_read = False, link.home, 0
            self._users_told.clear()
        if link.unanswered and link.alive:  # does it answer again?
            self._ask("journal_seq", lambda _: None)
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

        def done(_: Future[Any]) -> None:
            if self._asked.get(method) != now_ns or future.exception() is not None:
                return  # it was asked again since, or will be in a while
            del self._asked[method]
            then(future.result())

        future.add_done_callback(done)

    def _take_view(self, view: View) -> None:
        mirror = self._link.mirror
        self._link.heard.turn(0, [], mirror.take_view(view), 0)
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
        if not contents:  # the engine has none of these: the stream may say another thing now
            self._missing = 0
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
