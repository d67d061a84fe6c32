"""Sending: requests and questions of one api into Redis; how the engine is.

Flow:  Link -> [sending] -> cmd:GROUP, ask:GROUP
Owner: the thread oms-send-GROUP. It writes what any thread has put into its queue, and looks four
       times a second how the engine is.

A call that failed may have sent what was in it, and Redis may lose what it had: both are sent
again, and a refusal of such a request does not say that nothing of it is recorded.
"""

from __future__ import annotations

import logging
import threading
from collections import deque
from typing import TYPE_CHECKING, Any

import msgspec

from oms.clock import NANOS
from oms.errors import JournalError, TransportError
from oms.futures import settle
from oms.reject_reasons import RejectReason
from oms.responses import refused
from oms.roles.waiting import STOPS, Waiting, not_sent, other_journal, sent_before, unknown
from oms.transport import wire
from oms.transport.scripts import SEND
from oms.transport.server import FULL, Server, ServerRefusalError

if TYPE_CHECKING:
    from oms.roles.link import Link

log = logging.getLogger(__name__)

BATCH_MAX = 500  # requests and questions sent at once
ASKS_MAX = 10_000  # questions that no engine hears
FORGET_NS = 30 * NANOS  # after so long nobody waits for it any more
NO_ANSWER = f"none came in {FORGET_NS // NANOS} s"
# While an answer is awaited, requests gather until it comes, so long at most, and go together. With
# an entry, a read and a turn for each of them the processors had so much to do that all waited.
GATHER_S = 0.004
TICK_NS, IDLE_S = NANOS // 4, 0.25
REPLIES_MS = 10_000  # the stream of answers is gone so long after its owner
URGENT = ("C", "X", "O")  # kinds that pass a lag, as they pass a full inbox


class Sending:
    """A Job: requests and questions into Redis; how the engine is."""

    def __init__(self, link: Link) -> None:
        self._link = link
        self._queue: deque[int] = deque()
        self._filled = threading.Event()
        self._may_go = threading.Event()  # an answer came since, or there is a question
        self._awaits = False  # an answer, since requests were sent last
        self._server: Server | None = None
        self._run_id = ""  # of the Redis that has what was sent
        self.perhaps_sent: set[int] = set()  # by a call that failed, or before Redis lost its data
        self._tick_ns = self._beat = 0
        self._followed = 0  # the turn that the mirror was of when a look began
        self._too_short = 0  # times in a row that the engine spoke of a journal that ends before

    def put(self, number: int, *, at_once: bool) -> None:
        """at_once: it does not gather, nor does what is before it: a question."""
        self._queue.append(number)
        if at_once:
            self.let_go()
        if not self._filled.is_set():
            self._filled.set()

    def let_go(self) -> None:
        """What gathered goes: an answer came, or somebody asks; any thread."""
        if not self._may_go.is_set():
            self._may_go.set()

    def step(self) -> None:
        if not self._queue:
            self._filled.wait(IDLE_S)
        if self._awaits and len(self._queue) < BATCH_MAX:  # more could not go together
            self._may_go.wait(GATHER_S)
        self._awaits = False
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
                link.receiving.ask_again()
        except TransportError as error:
            self._failed(error)

    def _failed(self, error: TransportError) -> None:
        link = self._link
        if not link.circuit.failures:
            log.warning("group %s: %s", link.group, error)
        link.arms.lost()
        link.circuit.failed(link.pace.monotonic_ns(), str(error))
        if link.circuit.open:
            self._end_all("Redis is out of reach")

    def _end_all(self, why: str) -> None:
        """Of a request that no call has sent it is known that nothing is done."""
        group, never_sent = self._link.group, set(self._queue) - self.perhaps_sent

        def error(number: int, each: Waiting) -> Exception:
            never = number in never_sent and not each.method
            return not_sent(group, why) if never else unknown(each, why)

        self._link.fail_all(error)

    def _send(self, server: Server) -> None:
        """What waits in the queue. A call that fails leaves it there: it is sent again."""
        link = self._link
        self._may_go.clear()  # first: a question that comes from here on sets it again
        numbers = [self._queue[place] for place in range(min(BATCH_MAX, len(self._queue)))]
        found = [(number, link.waiting[number]) for number in numbers if number in link.waiting]
        requests = [(number, each) for number, each in found if not each.method]
        asks = [each.content for _, each in found if each.method]
        bound = ("MAXLEN", "~", ASKS_MAX)
        try:
            if requests:
                self._awaits = True
                self._add(server, requests)
            if asks:
                server.all(
                    [("XADD", link.keys.asks, *bound, "*", "v", "1", "e", ask) for ask in asks]
                )
        except TransportError:
            self.perhaps_sent.update(number for number, _ in requests if number in link.waiting)
            raise
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
        try:
            return bytes(server.run(SEND, [link.keys.commands, link.keys.waiting], arguments))
        except ServerRefusalError as error:
            if error.code == FULL:
                self._not_sent([request for entry in entries for request in entry], error)
            raise

    def _not_sent(self, requests: list[tuple[int, Waiting]], error: ServerRefusalError) -> None:
        """A script that finds Redis full has written nothing, so nothing is to be known of these:
        whoever asked may send them again at once. Those of an earlier call are tried on."""
        for number, each in requests:
            if number not in self.perhaps_sent and self._link.waiting.pop(number, None) is not None:
                settle(each.future, None, not_sent(self._link.group, str(error)))

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
        before, self._followed = self._followed, link.mirror.seq
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
            link.arms.begin_again()
            self._send_again()
            self._run_id = server.run_id
        if said is not None:
            found = msgspec.json.decode(said)
            if found["beat"] != self._beat:  # else it is what a silent engine said last
                self._beat = found["beat"]
                self._check_journal(found["status"]["journal_seq"], before)
                link.status, link.told_seq = found["status"], found["seq"]
                link.beat(now_ns, found["age_ns"])
                link.receiving.heard_of(found["seq"], found["age_ns"])
        link.look_for_answers(now_ns)
        if link.home:
            link.arms.keep(server, now_ns)
        if not link.alive:
            self._end_soon()
        self.perhaps_sent.intersection_update(list(link.waiting))
        for number, each in list(link.waiting.items()):
            if now_ns - each.since_ns < FORGET_NS:
                break  # the others are younger
            if link.waiting.pop(number, None) is not None:
                settle(each.future, None, unknown(each, NO_ANSWER))

    def _check_journal(self, ends: int, followed: int) -> None:
        """Was all that was followed before the engine spoke in its journal then? Raises
        JournalError. Twice: a Redis that took another one's place may have an older word first."""
        self._too_short = self._too_short + 1 if ends < followed else 0
        if self._too_short >= 2:
            raise JournalError(other_journal(self._link.group, ends, followed))

    def _end_soon(self) -> None:
        """The engine is silent: the outcome of these, which were sent, is unknown."""
        queued = set(self._queue)
        for number, each in list(self._link.waiting.items()):
            if not each.soon or number in queued:
                continue
            if self._link.waiting.pop(number, None) is not None:
                settle(each.future, None, unknown(each, "its engine is silent"))

    def _send_again(self) -> None:
        """Nobody else knows of these any more."""
        queued = set(self._queue)
        again = [each for each in list(self._link.waiting) if each not in queued]
        self.perhaps_sent.update(again)
        self._queue.extend(again)

    def wake(self) -> None:
        self.let_go()
        self._filled.set()

    def finish(self) -> None:
        link = self._link
        link.closed = True
        self._end_all(STOPS)
        if self._server is not None:
            try:
                self._server.call("DEL", link.keys.replies(link.client))
            except TransportError as error:
                log.debug("the stream of answers expires by itself: %s", error)
            self._server.close()
