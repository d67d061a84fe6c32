"""Heard: turns on their way to listeners, with what their orders are for.

Flow:  receiving thread -> [heard] -> listeners
Owner: the group's receiving thread. A listener is told on it, and must be able to say what an order
       is for without a question that waits; so the engine is asked before, once for many turns, and
       turns wait for the answer in their order.
"""

import logging
import threading
from collections import OrderedDict, deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from itertools import islice
from typing import Any, NamedTuple

from oms.clock import NANOS
from oms.enums import ResponseType
from oms.market_data import MarketEvent
from oms.responses import OrderResponse
from oms.turn.details import OrderDetails

log = logging.getLogger(__name__)

REMEMBERED_MAX = 100_000
ASKED_MAX = 1_000  # orders in one question
WAIT_NS, AGAIN_NS = 2 * NANOS, NANOS // 4  # then they are told without; a refusal is asked again
HELD_MAX = 10_000  # reports and events that wait; then no later turns are read
CHANGES = (ResponseType.REPLACED.value, ResponseType.RESTATED.value)

Listener = Callable[[Any], object]
Ask = Callable[..., "Future[dict[int, OrderDetails]]"]


class Turn:
    """One turn that listeners were not told of yet; missing: orders to be asked about before.
    changed: those of them that are other than is known."""

    __slots__ = ("changed", "events", "missing", "published_ns", "responses", "seq")

    def __init__(
        self, seq: int, responses: list[OrderResponse], events: Sequence[MarketEvent],
        published_ns: int,
    ) -> None:  # fmt: skip
        self.seq, self.responses, self.events = seq, responses, events
        self.published_ns = published_ns
        of_orders = [each.report for each in responses if each.report.state]
        self.missing = {each.order_id for each in of_orders}
        self.changed = {each.order_id for each in of_orders if each.type in CHANGES}


class DetailsQuestion(NamedTuple):
    """A question to the engine. turns: so many of the first ones it is about. since_ns: when it was
    asked first; asked_ns: last."""

    future: "Future[dict[int, OrderDetails]]"
    ids: list[int]
    turns: int
    since_ns: int
    asked_ns: int


class Heard:
    """ask: a question to the engine. seq: the latest turn that listeners were told of.
    published_ns: wall clock, when the engine published the turn that they are being told of; 0
    where that is not known. full: more waits than may, so whoever reads turns waits, too, until it
    is half."""

    def __init__(self, ask: Ask, monotonic_ns: Callable[[], int]) -> None:
        self._ask, self._monotonic_ns = ask, monotonic_ns
        self._turns: deque[Turn] = deque()
        self._details: OrderedDict[int, OrderDetails] = OrderedDict()
        self._asked: DetailsQuestion | None = None
        self._held = 0  # reports and events
        self.full = False
        self.seq = self.published_ns = 0
        self.listeners: tuple[Listener, ...] = ()
        self.market_listeners: tuple[Listener, ...] = ()
        self._adding = threading.Lock()

    # --- any thread ---

    def add(self, callback: Listener) -> None:
        with self._adding:
            self.listeners = (*self.listeners, callback)

    def add_of_market(self, callback: Listener) -> None:
        with self._adding:
            self.market_listeners = (*self.market_listeners, callback)

    def remove(self, callback: Listener) -> None:
        with self._adding:
            self.listeners = tuple(each for each in self.listeners if each != callback)
            self.market_listeners = tuple(
                each for each in self.market_listeners if each != callback
            )

    def details_of(self, order_id: int) -> OrderDetails | None:
        """Of an order that a listener was told of."""
        return self._details.get(order_id)

    # --- the receiving thread ---

    def turn(
        self, seq: int, responses: list[OrderResponse], events: Sequence[MarketEvent],
        published_ns: int,
    ) -> None:  # fmt: skip
        self._turns.append(Turn(seq, responses, events, published_ns))
        self._held += len(responses) + len(events)
        self.full = self.full or self._held > HELD_MAX

    def tell(self) -> None:
        """Tell what may be told, and ask for what is missing of the rest."""
        self._settle()
        turns = self._turns
        while turns and not self._missing(turns[0]):
            self._tell(turns.popleft())
        if turns and self._asked is None:
            ids, count = self._next_missing()
            now_ns = self._monotonic_ns()
            self._asked = DetailsQuestion(
                self._ask("order_details", ids), ids, count, now_ns, now_ns
            )

    def _missing(self, turn: Turn) -> set[int]:
        """What has become known since is missing no more."""
        known, changed = self._details, turn.changed
        turn.missing = {each for each in turn.missing if each in changed or each not in known}
        return turn.missing

    def _next_missing(self) -> tuple[list[int], int]:
        """The orders of the first turns, ASKED_MAX at most; and how many turns these are."""
        ids: set[int] = set()
        count = 0
        for turn in self._turns:
            more = self._missing(turn) - ids
            if ids and len(ids) + len(more) > ASKED_MAX:
                break
            ids |= more
            count += 1
        return sorted(ids)[:ASKED_MAX], count

    def _settle(self) -> None:
        """The answer is there, or it is too late: those orders are missing no more. Of what comes
        later, or was changed since, the answer says nothing."""
        asked, now_ns = self._asked, self._monotonic_ns()
        if asked is None:
            return
        future, ids = asked.future, asked.ids
        answered = future.done() and future.exception() is None
        if not answered and now_ns - asked.since_ns < WAIT_NS:
            if future.done() and now_ns - asked.asked_ns >= AGAIN_NS:
                again = self._ask("order_details", ids)
                self._asked = asked._replace(future=again, asked_ns=now_ns)
            return
        self._asked = None
        if answered:
            for order_id, details in future.result().items():
                self._details[order_id] = details
                self._details.move_to_end(order_id)
            while len(self._details) > REMEMBERED_MAX:
                self._details.popitem(last=False)
        for turn in islice(self._turns, asked.turns):
            turn.missing.difference_update(ids)

    def _tell(self, turn: Turn) -> None:
        self.published_ns = turn.published_ns
        self._held -= len(turn.responses) + len(turn.events)
        self.full = self.full and self._held > HELD_MAX // 2
        for response in turn.responses:
            tell(self.listeners, response)
        for event in turn.events:
            tell(self.market_listeners, event)
        self.seq = max(self.seq, turn.seq)


def tell(listeners: tuple[Listener, ...], told: Any) -> None:
    for listener in listeners:
        try:
            listener(told)
        except Exception:
            log.exception("listener %r failed", listener)
