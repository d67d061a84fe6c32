"""A venue that does what a test tells it: answer late, twice, wrongly, or never.

Flow:  outbox -> [scripted] -> OrderManagement.on_data_response
Owner: requests come from the dispatcher, answers leave on the thread oms-venue (or when a
       test calls `job.step()` by hand); one lock guards what is shared.
"""

import heapq
import threading
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from oms.clock import Clock, SystemClock
from oms.enums import Liquidity, ResponseType
from oms.errors import VenueError
from oms.exchange.order import Change, Order
from oms.instruments import Instrument
from oms.requests.internal import VenueReport

WAIT_S_MAX = 0.05
Report = Callable[[VenueReport], None]


@dataclass(frozen=True, slots=True)
class Step:
    """What the venue does with the next request.

    answer: "accept" (new: NEW; cancel, modify: done), "fill" (accept, then trade all that is
        open at the order's price), "reject", or "silence".
    latency_ns: before it answers, 0 or more.
    times: how often each report is sent; 2 makes duplicates.
    reason: said with a reject.
    """

    answer: str = "accept"
    latency_ns: int = 0
    times: int = 1
    reason: str = "VENUE_REJECTED"


class ScriptedVenue:
    """A remote venue under a test's control; accepts everything at once unless told otherwise.

        venue = ScriptedVenue(clock=clock, script=[Step("silence"), Step("fill", times=2)])

    logons: what becomes of each logon: "accept", "refuse" or "hang"; the last one stays.
    sent: the request sequences that reached it, in order; the answer to each is due from then on.
    job: of the thread oms-venue.
    """

    remote = True

    def __init__(
        self,
        *,
        clock: Clock | None = None,
        script: Iterable[Step] = (),
        logons: Iterable[str] = ("accept",),
    ) -> None:
        self._clock = clock or SystemClock()
        self._script = deque(script)
        self._logons = deque(logons)
        self._condition = threading.Condition()
        self._due: list[tuple[int, int, VenueReport]] = []
        self._number = self._executions = 0
        self._report: Report | None = None
        self._linked = self._woken = False
        self.sent: list[int] = []
        self.job = self

    def connect(self, report: Report) -> None:
        """Where answers go: OrderManagement.on_data_response."""
        self._report = report

    def tell(self, *reports: VenueReport, latency_ns: int = 0) -> None:
        """Send any reports, asked for or not; all are due at one time."""
        with self._condition:
            due_ns = self._clock.monotonic_ns() + latency_ns
            for report in reports:
                self._number += 1
                heapq.heappush(self._due, (due_ns, self._number, report))
            self._condition.notify()

    # --- Venue ---

    def place(self, order: Order) -> Sequence[VenueReport]:
        step, order_id = self._next(), order.order_id
        reports: list[VenueReport] = []
        if step.answer == "reject":
            reports = [VenueReport(ResponseType.REJECTED, order_id, reason=step.reason)]
        elif step.answer != "silence":
            reports = [VenueReport(ResponseType.NEW, order_id)]
            if step.answer == "fill":
                reports.append(self._fill(order))
        self._answer(order_id, step, reports)
        return ()

    def cancel(self, change: Change) -> Sequence[VenueReport]:
        return self._answer_change(change, ResponseType.CANCELED)

    def replace(self, change: Change) -> Sequence[VenueReport]:
        return self._answer_change(change, ResponseType.REPLACED)

    def withdraw(
        self, order_ids: set[int], type_: ResponseType, reason: str
    ) -> Sequence[VenueReport]:
        for order_id in sorted(order_ids):
            self.tell(VenueReport(type_, order_id, reason=reason))
        return ()

    def list_instruments(self, instruments: Sequence[Instrument]) -> None:
        """A test venue takes any symbol."""

    def logon(self) -> None:
        answer = self._logons.popleft() if len(self._logons) > 1 else self._logons[0]
        if answer == "refuse":
            raise VenueError("logon refused by the script")
        self._linked = answer == "accept"

    def logged_on(self) -> bool:
        return self._linked

    def logoff(self) -> None:
        self._linked = False

    def reset(self) -> None:
        """A replay sends nothing, so there is nothing to forget."""

    def get_depth(
        self, _symbol: str, _levels: int
    ) -> tuple[list[tuple[int, int]], list[tuple[int, int]]]:
        return [], []

    # --- answers ---

    def deliver(self) -> float:
        """Send what is due; seconds until the next is, at most WAIT_S_MAX."""
        with self._condition:
            now_ns = self._clock.monotonic_ns()
            due: list[VenueReport] = []
            while self._due and self._due[0][0] <= now_ns:
                due.append(heapq.heappop(self._due)[2])
            wait_s = (self._due[0][0] - now_ns) / 1e9 if self._due else WAIT_S_MAX
        for report in due:
            if self._report is not None:
                self._report(report)
        return min(wait_s, WAIT_S_MAX)

    def step(self) -> None:
        wait_s = self.deliver()
        with self._condition:
            if wait_s > 0 and not self._woken:
                self._condition.wait(wait_s)
            self._woken = False

    def finish(self) -> None:
        """What is due later is dropped, as a lost connection drops it."""

    def wake(self) -> None:
        with self._condition:
            self._woken = True
            self._condition.notify()

    def _next(self) -> Step:
        with self._condition:
            return self._script.popleft() if self._script else Step()

    def _fill(self, order: Order) -> VenueReport:
        with self._condition:
            self._executions += 1
            execution_id = f"X{self._executions}"
        return VenueReport(
            ResponseType.TRADE, order.order_id, price_ticks=order.price_ticks or 1,
            quantity_lots=order.leaves_lots, liquidity=Liquidity.TAKER.value,
            execution_id=execution_id,
        )  # fmt: skip

    def _answer_change(self, change: Change, done: ResponseType) -> Sequence[VenueReport]:
        step = self._next()
        order_id, seq = change.order.order_id, change.request_seq
        reports: list[VenueReport] = []
        if step.answer == "reject":
            reports = [VenueReport(ResponseType.CANCEL_REJECTED, order_id, seq, reason=step.reason)]
        elif step.answer != "silence":
            reports = [VenueReport(done, order_id, seq)]
        self._answer(seq, step, reports)
        return ()

    def _answer(self, request_seq: int, step: Step, reports: Iterable[VenueReport]) -> None:
        """The request has reached the venue: from now on its answer is due after the latency."""
        with self._condition:
            self.sent.append(request_seq)
            repeated = (report for report in reports for _ in range(step.times))
            self.tell(*repeated, latency_ns=step.latency_ns)
