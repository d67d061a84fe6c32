"""Asks: questions of apis, answered by the engine's order manager.

Flow:  ask:GROUP -> [asks] -> OrderManagement -> telling -> replies
Owner: the thread oms-asks hears them; oms-answers-N answer. What front doors follow the engine by
       has a thread of its own, so that no subscriber waits for a client's look at a day's trades.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import TYPE_CHECKING, Any

import msgspec

from oms.clock import NANOS
from oms.errors import OMSError, StoreBusyError, TransportError, ValidationError
from oms.gateways.aside import Aside
from oms.roles.marshalling import OF_DOORS, USERS_PAGE, View, asked, error_told, told, trade_told
from oms.roles.telling import Unit, replies_to
from oms.roles.turns import made_beside
from oms.transport.keys import place_of
from oms.transport.scripts import LATEST
from oms.transport.server import Entry, Server, payload
from oms.transport.wire import NOTHING, Question, Reply, read_question

if TYPE_CHECKING:
    from oms.roles.engine import Engine

log = logging.getLogger(__name__)

READ_MAX = 500  # at once
WAITING_MAX, OF_ONE_MAX = 4_000, 1_000  # questions of all apis, and of one, that wait for a thread
LATE_NS = 30 * NANOS  # by then nobody waits for the answer, see FORGET_NS
BEHIND = "find_order"  # answered behind all requests that were in Redis when it was asked
IDLE_S = 0.25


class Asks:
    """Hears questions of apis; a Job. What reads the store is answered on threads of its own."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._oms = engine.oms
        self._server: Server | None = None
        self._last = "0-0"
        self._failed = False
        self.of_doors, self.of_clients = (
            Aside(WAITING_MAX, "questions of apis", OF_ONE_MAX) for _ in range(2)
        )
        self._stopping = threading.Event()
        self._own: dict[str, Callable[..., Any]] = {
            "view": self._view, "users": self._users, "turns_after": self._turns_after,
            "trades_after": self._trades_after, "accounts_open": self._accounts_open,
        }  # fmt: skip

    def step(self) -> None:
        engine = self._engine
        try:
            server = self._server = self._server or engine.server(reads=True)
            if self._failed:
                self._go_on(server)
            entries = server.read({engine.keys.asks: self._last}, READ_MAX).get(
                engine.keys.asks, []
            )
        except TransportError as error:
            self._failed = True
            log.debug("questions wait for Redis: %s", error)
            self._stopping.wait(IDLE_S)
            return
        for entry in entries:
            self._last = entry[0].decode()
            self._hear(entry)

    def begin(self, server: Server) -> None:
        """Hear what is asked from now on: what was asked before has had its time."""
        self._last = self._latest(server)

    def _go_on(self, server: Server) -> None:
        """Hear what was asked meanwhile; from the beginning of a stream that is a new one."""
        if place_of(self._latest(server)) < place_of(self._last):
            self._last = "0-0"
        self._failed = False

    def _latest(self, server: Server) -> str:
        found: list[Entry] = server.call("XREVRANGE", self._engine.keys.asks, "+", "-", "COUNT", 1)
        return found[0][0].decode() if found else "0-0"

    def _hear(self, entry: Entry) -> None:
        try:
            question = read_question(*payload(entry))
        except ValidationError as error:
            log.warning("question %s is not readable: %s", self._last, error)
            return
        if question.method != BEHIND or self._all_taken():
            self._answer_aside(question)
        elif not self._engine.commands.when_taken(lambda: self._answer_aside(question)):
            self._tell(question, None, StoreBusyError("too many questions wait for requests"))

    def _all_taken(self) -> bool:
        """Was every request that is in Redis now handed over?"""
        assert self._server is not None, "a question was read from it"
        keys, fence = self._engine.keys, self._engine.fence
        try:
            found: list[Entry] = self._server.run(LATEST, [keys.fence, keys.commands], fence)
        except TransportError:  # nor is it known where Redis lost its data
            return False
        return self._engine.commands.has_taken(found[0][0].decode() if found else "")

    def _answer_aside(self, question: Question) -> None:
        aside = self.of_doors if question.method in OF_DOORS else self.of_clients
        late_ns = self._engine.pace.monotonic_ns() + LATE_NS
        try:
            aside.ask(lambda: self._answer(question, late_ns), question.client)
        except ValidationError:
            error = StoreBusyError("too many questions wait for an answer")
            self._tell(question, None, error)

    def _answer(self, question: Question, late_ns: int) -> None:
        if self._engine.pace.monotonic_ns() > late_ns:
            return
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
        self._engine.telling.put(Unit(None, [replies_to(question.client, reply)]))

    # --- what only an engine answers ---

    def _view(self) -> Future[View]:
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

    def _turns_after(self, seq: int) -> list[msgspec.Raw]:
        return [msgspec.Raw(content) for _, content in made_beside(self._oms, seq).turns]

    def _trades_after(self, symbol: str, seq: int, upto_seq: int) -> Any:
        found = self._oms.trades_after(symbol, seq, upto_seq)
        return None if found is None else [trade_told(each) for each in found]

    def _accounts_open(self) -> list[str]:
        """Which accounts have open orders: a door of several groups counts each of them once."""
        return sorted({each.account for each in self._oms.publisher.open.copy().values()})

    def wake(self) -> None:
        self._stopping.set()

    def finish(self) -> None:
        if self._server is not None:
            self._server.close()
