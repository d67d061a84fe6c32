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
from typing import Any

from oms.clock import NANOS
from oms.enums import ResponseType
from oms.market_data import MarketEvent
from oms.responses import OrderResponse
from oms.turn.details import OrderDetails

log = logging.getLogger(__name__)

REMEMBERED_MAX = 100_000
ASKED_MAX = 1_000  # orders in one question
WAIT_NS = 2 * NANOS  # then they are told without
CHANGES = (ResponseType.REPLACED.value, ResponseType.RESTATED.value)

Listener = Callable[[Any], object]
Ask = Callable[..., "Future[dict[int, OrderDetails]]"]


class Turn:
    """One turn that listeners were not told of yet; missing: orders to be asked about before."""

    __slots__ = ("events", "missing", "published_ns", "responses", "seq")

    def __init__(
        self, seq: int, responses: list[OrderResponse], events: Sequence[MarketEvent],
        missing: set[int], published_ns: int,
    ) -> None:  # fmt: skip
        self.seq, self.responses, self.events, self.missing = seq, responses, events, missing
        self.published_ns = published_ns


class Heard:
    """ask: a question to the engine. seq: the latest turn that listeners were told of.
    published_ns: wall clock, when the engine published the turn that they are being told of; 0
    where that is not known."""

    def __init__(self, ask: Ask, monotonic_ns: Callable[[], int]) -> None:
        self._ask, self._monotonic_ns = ask, monotonic_ns
        self._turns: deque[Turn] = deque()
        self._details: OrderedDict[int, OrderDetails] = OrderedDict()
        self._asked: tuple[Future[dict[int, OrderDetails]], list[int], int] | None = None
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
        missing = {
            each.order_id
            for each in responses
            if each.report.state
            and (each.report.type in CHANGES or each.order_id not in self._details)
        }
        self._turns.append(Turn(seq, responses, events, missing, published_ns))

    def tell(self) -> None:
        """Tell what may be told, and ask for what is missing of the rest."""
        self._settle()
        turns = self._turns
        while turns and not turns[0].missing:
            self._tell(turns.popleft())
        if turns and self._asked is None:
            ids = sorted({order_id for each in turns for order_id in each.missing})[:ASKED_MAX]
            self._asked = self._ask("order_details", ids), ids, self._monotonic_ns()

    def _settle(self) -> None:
        """The answer is there, or it is too late: those orders are missing no more."""
        if self._asked is None:
            return
        future, ids, since_ns = self._asked
        if not future.done() and self._monotonic_ns() - since_ns < WAIT_NS:
            return
        self._asked = None
        if future.done() and future.exception() is None:
            for order_id, details in future.result().items():
                self._details[order_id] = details
                self._details.move_to_end(order_id)
            while len(self._details) > REMEMBERED_MAX:
                self._details.popitem(last=False)
        for turn in self._turns:
            turn.missing.difference_update(ids)

    def _tell(self, turn: Turn) -> None:
        self.published_ns = turn.published_ns
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
