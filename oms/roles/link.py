"""Link: the way of one api, or broadcast, to one group's engine, and back.

Flow:  RemoteOrders -> [link] -> Sending -> engine -> Receiving -> futures, mirror, listeners
Owner: any thread asks; see sending.py and receiving.py for the two threads.

Whatever is asked has a number, and waits in `waiting` until its reply comes. A request whose fate
Redis has forgotten is sent again: its id makes sure that nothing happens twice.
"""

import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any

from oms.circuit import Circuit
from oms.clock import NANOS, Clock, SystemClock
from oms.futures import settle
from oms.instruments import Instrument
from oms.requests import Request, line_of
from oms.responses import OrderResponse
from oms.roles.arms import Arms
from oms.roles.heard import Heard
from oms.roles.marshalling import is_of_client
from oms.roles.mirror import Mirror
from oms.roles.receiving import Receiving
from oms.roles.sending import Sending
from oms.roles.waiting import STOPS, WAITING_MAX, Waiting, not_sent
from oms.sections import ScaleConfig
from oms.transport import wire
from oms.transport.keys import Keys
from oms.transport.server import Server, server_of
from oms.transport.wire import Question, encode

ALIVE_NS = 2 * NANOS  # since the engine's last word; and how old its latest turn may be then
UNANSWERED_NS = 4 * NANOS  # an engine that answers no question for so long is asked none


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
        self.alive_ns = 0  # monotonic, of the latest look that found an engine that takes turns
        self.answered_ns = 0  # monotonic, of the latest answer to a question of clients
        self.closed = False  # the process stops: nothing more is sent
        self.unanswered = False  # questions wait for UNANSWERED_NS, and none was answered since
        self.status: dict[str, Any] = {}  # what the engine last said of itself
        self.told_seq = 0  # the turn that Redis has of it
        self.heard = Heard(self.ask, self.pace.monotonic_ns)
        self.arms = Arms(self.keys, client)
        self.sending = Sending(self)
        self.receiving = Receiving(self)
        self._number = 0
        self._lock = threading.Lock()

    # --- any thread ---

    @property
    def alive(self) -> bool:
        """An engine serves the group, as far as can be known."""
        return self.pace.monotonic_ns() - self.alive_ns <= ALIVE_NS and not self.circuit.failures

    @property
    def silent(self) -> str:
        """Why a question would have no answer soon; "" where it would."""
        if not self.alive:
            return self.circuit.why or "its engine is silent"
        return "its engine answers no questions" if self.unanswered else ""

    def beat(self, now_ns: int, age_ns: int) -> None:
        """The engine spoke; its latest turn began so long before. One that speaks while its
        dispatcher hangs does not live. The sending thread."""
        if age_ns <= ALIVE_NS:
            self.alive_ns = now_ns

    def look_for_answers(self, now_ns: int) -> None:
        """Whether the engine answers what clients ask; the sending thread."""
        since_ns, until_ns = self.answered_ns, now_ns - UNANSWERED_NS
        self.unanswered = any(
            is_of_client(each.method) and since_ns < each.since_ns <= until_ns
            for each in list(self.waiting.values())
        )

    def submit(self, request: Request, *, soon: bool = False) -> "Future[OrderResponse]":
        """As OrderManagement.try_submit; TransportError in the future where it was not sent. soon:
        the outcome is unknown once the engine is silent; without it, one that comes is waited for.
        """
        return self._put(
            "", line_of(request), lambda number, sent_ns: wire.asked(number, sent_ns, request),
            soon=soon,
        )  # fmt: skip

    def ask(self, method: str, *given: Any, **named: Any) -> "Future[Any]":
        """What the engine's order manager answers."""
        return self._put(
            method, (),
            lambda number, _: encode(Question(self.client, number, method, list(given), named)),
        )  # fmt: skip

    def _put(
        self, method: str, line: tuple[Any, ...], content_of: Callable[[int, int], bytes], *,
        soon: bool = False,
    ) -> "Future[Any]":  # fmt: skip
        """content_of: what is sent, by its number and the wall clock."""
        future: Future[Any] = Future()
        now_ns = self.pace.monotonic_ns()
        if self.circuit.failures or len(self.waiting) >= WAITING_MAX:
            why = self.circuit.why or f"{WAITING_MAX} requests wait for an answer"
            settle(future, None, not_sent(self.group, why))
            return future
        with self._lock:
            self._number += 1
            number = self._number
        sent_ns = self.clock.wall_ns()
        content = content_of(number, sent_ns)
        self.waiting[number] = Waiting(future, now_ns, method, content, line, sent_ns, soon)
        self.sending.put(number, at_once=bool(method))
        if self.closed and self.waiting.pop(number, None) is not None:  # nobody would end it
            settle(future, None, not_sent(self.group, STOPS))
        return future

    def server(self, *, reads: bool = False) -> Server:
        return server_of(self.config, self.group, reads=reads)

    def instrument_of(self, symbol: str) -> Instrument | None:
        return self.mirror.known.get(symbol)

    def fail_all(self, error: Callable[[int, Waiting], Exception]) -> None:
        for number in list(self.waiting):
            found = self.waiting.pop(number, None)
            if found is not None:
                settle(found.future, None, error(number, found))
