"""Drive a flow of requests through an order manager, at its pace or at ours.

Flow:  agents, flow files -> [runner] -> OrderManagement.on_data; its reports -> Tally
Owner: MainThread drives and waits on one event, so a signal ends a run within milliseconds;
       the Tally is written by the dispatcher's thread alone.
"""

import threading
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import KW_ONLY, dataclass, field
from itertools import count

from oms.clock import NANOS, Clock
from oms.manager import OrderManagement
from oms.reports import COMMAND_ANSWERS, Report
from oms.requests.orders import OrderRequest
from oms.responses import OrderResponse

BURST_S = 4  # a burst comes this often ...
BURST_SHARE = 4  # ... takes a quarter of that time, and has three quarters of the requests
PAUSE_S = 0.001
LINK_S_MAX = 5.0
TURNS_AHEAD = 4
AHEAD_NS = 1_000_000  # a request due within this is not waited for
LOOK_EVERY = 64  # requests between two looks at the clock and the progress
TICK_S = 0.2

Timed = tuple[int, OrderRequest]
"""A request, and when it is due: nanoseconds after the start."""

EXAMPLES = {
    "filled": "an order that was filled",
    "waited": "the order that waited longest for the throttle",
    "triggered": "a stop order that was triggered",
    "rejected": "a request that was rejected",
}
"""Kinds of orders whose story is worth a look, and what each is."""

OnMatch = Callable[[Report, Report], object]


@dataclass(slots=True)
class Traded:
    """What was traded of one symbol; how often of it in auctions."""

    count: int = 0
    lots: int = 0
    last_ticks: int = 0
    in_auctions: int = 0


@dataclass(slots=True)
class Dealt:
    """What one account traded of one symbol in this run.

    proceeds: sales less purchases, in 10^-(price_scale + quantity_scale) of the quote asset.
    fees: in units of the quote asset; below 0 rebates.
    """

    trades: int = 0
    bought_lots: int = 0
    sold_lots: int = 0
    proceeds: int = 0
    fees: int = 0


@dataclass(slots=True)
class Tally:
    """Counts every published report; a listener of the order manager.

    on_match: told the taker's and the maker's report of each trade.
    dealt: by account and symbol. examples: one client order id of each kind in EXAMPLES.
    """

    on_match: OnMatch | None = None
    answered: int = 0
    reports: Counter[str] = field(default_factory=Counter)
    traded: dict[str, Traded] = field(default_factory=dict)
    dealt: dict[tuple[str, str], Dealt] = field(default_factory=dict)
    examples: dict[str, str] = field(default_factory=dict)
    _waited_ns_max: int = 0
    _turn: int = 0
    _turn_before: int = 0
    _seen: set[int] = field(default_factory=set)
    _taker: Report | None = None

    def __call__(self, response: OrderResponse) -> None:
        report = response.report
        self.reports[report.type] += 1
        if report.type in COMMAND_ANSWERS:  # funds, mass cancels, operators: not of the flow
            return
        self._count_answer(report.journal_seq, report.request_seq)
        self._keep_example(report)
        if report.type == "TRADE":
            self._count_dealt(report)
        if report.liquidity == "TAKER" or (report.liquidity == "AUCTION" and report.side == "BUY"):
            self._count_trade(report)  # each trade is told twice: this side comes first
        elif report.liquidity == "MAKER" and self._taker is not None and self.on_match is not None:
            self.on_match(self._taker, report)

    def _count_answer(self, turn: int, request_seq: int) -> None:
        """Each request once: its first answer comes in the turn that journals it."""
        if not turn:  # refused before the journal
            self.answered += 1
            return
        if turn != self._turn:
            self._turn_before, self._turn = self._turn, turn
            self._seen.clear()
        if request_seq > self._turn_before and request_seq not in self._seen:
            self._seen.add(request_seq)
            self.answered += 1

    def _keep_example(self, report: Report) -> None:
        """The first of each kind; of waits the longest. A report without journal has no story."""
        if report.waited_ns > self._waited_ns_max and report.type == "NEW":
            self._waited_ns_max = report.waited_ns
            self.examples["waited"] = report.client_order_id
        elif report.type == "TRADE" and (report.liquidity, report.state) == ("TAKER", "FILLED"):
            if report.client_order_id != self.examples.get("triggered"):
                self.examples.setdefault("filled", report.client_order_id)
        elif report.type in ("TRIGGERED", "REJECTED") and report.journal_seq:
            self.examples.setdefault(report.type.lower(), report.client_order_id)

    def _count_dealt(self, report: Report) -> None:
        dealt = self.dealt.setdefault((report.account, report.symbol), Dealt())
        lots, value = report.last_quantity_lots, report.last_price_ticks * report.last_quantity_lots
        dealt.trades += 1
        dealt.fees += int(report.fee or 0)
        if report.side == "BUY":
            dealt.bought_lots += lots
            dealt.proceeds -= value
        else:
            dealt.sold_lots += lots
            dealt.proceeds += value

    def _count_trade(self, report: Report) -> None:
        traded = self.traded.setdefault(report.symbol, Traded())
        traded.count += 1
        traded.lots += report.last_quantity_lots
        traded.last_ticks = report.last_price_ticks
        traded.in_auctions += report.liquidity == "AUCTION"
        self._taker = report


@dataclass(slots=True)
class Outcome:
    """How a run went, as the runner saw it."""

    offered: Counter[str] = field(default_factory=Counter)
    offer_ns: int = 0
    total_ns: int = 0
    interrupted: bool = False
    unanswered: int = 0

    @property
    def count(self) -> int:
        return self.offered.total()


@dataclass(slots=True)
class Runner:
    """Offers requests until they end or the stop event is set, then waits for the answers.

    paced: wait until each request is due; else offer as fast as they are taken.
    seconds: when to end the flow if it has not ended; None: never.
    answer_s_max: how long to wait after the last request until all are answered and sent.
    on_tick: called every TICK_S or so with a line that says how it goes.
    on_sent: told each request, and when it went, in nanoseconds after the start.
    """

    manager: OrderManagement
    clock: Clock
    stop: threading.Event
    _: KW_ONLY
    tally: Tally
    paced: bool
    seconds: float | None
    answer_s_max: float
    on_tick: Callable[[str], object]
    on_sent: Callable[[int, OrderRequest], object] | None = None
    outcome: Outcome = field(default_factory=Outcome, init=False)
    _start_ns: int = field(init=False)
    _next_tick_ns: int = field(default=0, init=False)

    def __post_init__(self) -> None:
        self._start_ns = self.clock.monotonic_ns()
        self.manager.add_listener(self.tally)

    def drive(self, flow: Iterable[Timed]) -> Outcome:
        """Offer the whole flow, once the link to the venue is up; wait for its answers."""
        self._wait_while(lambda: not self.manager.dispatcher.desk.link_up, LINK_S_MAX)
        self._start_ns = self.clock.monotonic_ns()
        outcome = self.outcome
        for number, (due_ns, request) in enumerate(flow):
            if (self.paced or number % LOOK_EVERY == 0) and not self._may_offer(due_ns):
                break
            if self.on_sent is not None:
                self.on_sent(self.elapsed_ns, request)
            self.manager.on_data(request)
            outcome.offered[request.type] += 1
        outcome.offer_ns = self.elapsed_ns
        self._wait_while(self._owing, self.answer_s_max)
        outcome.total_ns = self.elapsed_ns
        outcome.interrupted = self.stop.is_set()
        self.count_unanswered()
        return outcome

    def count_unanswered(self) -> None:
        """Again after a stop: a stop answers what was handed over."""
        self.outcome.unanswered = self.outcome.count - self.tally.answered

    @property
    def elapsed_ns(self) -> int:
        return self.clock.monotonic_ns() - self._start_ns

    def _may_offer(self, due_ns: int) -> bool:
        """Wait until a request is due and there is room for it; False when the run is over."""
        due_ns = due_ns if self.paced else 0
        while not self.stop.is_set():
            now_ns = self.elapsed_ns
            self._tick(now_ns)
            if self.seconds is not None and max(now_ns, due_ns) >= round(self.seconds * NANOS):
                return False
            if self._crowded():
                self.stop.wait(PAUSE_S)
            elif due_ns - now_ns > AHEAD_NS:
                wait_ns = min(due_ns, self._next_tick_ns) - now_ns
                self.stop.wait(max(wait_ns, AHEAD_NS) / NANOS)
            else:
                return True
        return False

    def _crowded(self) -> bool:
        """Would more be refused? Half full is time to pause: on_data never waits."""
        bounds = self.manager.config.queue
        # A few turns' worth keeps the dispatcher busy; more would only make answers late.
        inbox_high = min(bounds.inbox_max // 2, TURNS_AHEAD * bounds.batch_max)
        return self.manager.inbox.size > inbox_high or self._waiting > bounds.waiting_max // 2

    @property
    def _waiting(self) -> int:
        return self.manager.dispatcher.desk.queue.size

    def _wait_while(self, condition: Callable[[], bool], seconds_max: float) -> None:
        """Until it no longer holds, the run is stopped, or so long."""
        end_ns = self.clock.monotonic_ns() + round(seconds_max * NANOS)
        while condition() and not self.stop.is_set() and self.clock.monotonic_ns() < end_ns:
            self._tick(self.elapsed_ns)
            self.stop.wait(10 * PAUSE_S)

    def wait_for_answers(self) -> None:
        """Until all that was offered has had its first answer; not until it is sent."""
        self._wait_while(lambda: self.tally.answered < self.outcome.count, self.answer_s_max)

    def _owing(self) -> bool:
        """Is an answer due, or does an order wait to be sent?"""
        return self.tally.answered < self.outcome.count or self._waiting > 0

    def _tick(self, now_ns: int) -> None:
        if now_ns >= self._next_tick_ns:
            self._next_tick_ns = now_ns + round(TICK_S * NANOS)
            self.on_tick(self.progress())

    def progress(self) -> str:
        """How it goes, in one line."""
        trades = sum(traded.count for traded in self.tally.traded.copy().values())
        rejects = sum(self.manager.publisher.rejects.copy().values())
        return (
            f"{self.elapsed_ns / NANOS:6.1f} s  offered {self.outcome.count:,}  "
            f"answered {self.tally.answered:,}  waiting {self._waiting:,}  "
            f"trades {trades:,}  rejected {rejects:,}"
        )


def bursts(rate: int, seconds: float) -> Iterator[int]:
    """When each request is due: `rate` a second on average, three times that in bursts."""
    period_s = min(float(BURST_S), seconds)
    in_period = max(1, round(rate * period_s))
    in_burst = in_period - in_period // BURST_SHARE
    burst_ns = round(period_s / BURST_SHARE * NANOS)
    rest_ns = round(period_s * NANOS) - burst_ns
    for period in count():
        start_ns = round(period * in_period / rate * NANOS)
        for n in range(in_burst):
            yield start_ns + n * burst_ns // in_burst
        for n in range(in_period - in_burst):
            yield start_ns + burst_ns + n * rest_ns // (in_period - in_burst)


def at_speed(flow: Iterable[Timed], speed: float) -> Iterator[Timed]:
    """The same flow, so many times as fast."""
    return ((round(due_ns / speed), request) for due_ns, request in flow)
