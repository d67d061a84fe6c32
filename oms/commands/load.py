"""One load on the order manager: what `simulate` and `feed` have in common.

Flow:  source of requests -> [load: App, MarketDay, Runner] -> the database -> verify -> report
"""

import sys
import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace

from oms.app import App, write_status
from oms.clock import NANOS, SystemClock
from oms.commands import EXIT_FAILED, EXIT_OK, Place
from oms.commands.live import tell_failure
from oms.commands.market_day import MarketDay
from oms.commands.offline import examine
from oms.config import Config
from oms.instruments import Instrument
from oms.manager import OrderManagement
from oms.requests import OrderRequest
from oms.simulation.lobster import RESTING
from oms.simulation.report import Depth, Facts, holdings, render
from oms.simulation.runner import TICK_S, OnMatch, Runner, Tally, Timed

TAKE_BACK_S_MAX = 3.0
TICKS_A_STATUS = round(1.0 / TICK_S)
TICKS_A_LINE = round(5.0 / TICK_S)


@dataclass(frozen=True, slots=True)
class Source:
    """Requests, and what there is to say of them afterwards."""

    flow: Iterable[Timed]
    notes: Callable[[], list[str]] = list
    on_match: OnMatch | None = None


@dataclass(slots=True, kw_only=True)
class Load:
    """How to run a source of requests.

    letter: what the prefix of client order ids begins with; the journal's length follows, so
        that no run repeats the ids of another on the same database.
    seconds: when to end the source; None: never. answer_s_max: how long to wait at the end.
    take_back: cancel what a recorded flow left open, after the report's figures are taken.
    day: the market around made-up agents: money, auction, mass cancel; None: of a recorded flow.
    shown: the instruments whose trades and books are reported; none: all.
    """

    place: Place
    title: str
    letter: str
    paced: bool
    quiet: bool
    answer_s_max: float
    seconds: float | None = None
    take_back: bool = False
    day: MarketDay | None = None
    shown: tuple[Instrument, ...] = ()
    on_sent: Callable[[int, OrderRequest], object] | None = None
    _facts: Facts | None = field(default=None, init=False)
    _depths: dict[str, Depth] = field(default_factory=dict, init=False)
    _ticks: int = field(default=0, init=False)

    def run(self, source_of: Callable[[str], Source]) -> int:
        """Run it, stop, verify, print the report; the exit code."""
        app = App(self.place.config, self.place.directory)
        held: list[tuple[Source, Runner]] = []

        def work(manager: OrderManagement) -> None:
            prefix = f"{self.letter}{manager.dispatcher.fold.last_seq}-"
            source, day = source_of(prefix), self.day
            if day is not None:
                day.begin(manager, prefix)
            runner = self._runner(app, manager, source)
            held.append((source, runner))
            if day is not None:
                runner.drive(day.through(source.flow, runner, manager, prefix))
                self._depths = self._look_at_books(manager)  # before all of it is canceled
                day.end(manager, prefix)
            else:
                runner.drive(source.flow)
            if self.take_back:
                self._facts = self._gather(manager, source, runner)
                _take_back(manager, prefix)

        code = app.run(work)
        self._clear_line()
        tell_failure(app)
        if not held:  # told to stop before there was anything to do
            return code
        source, runner = held[0]
        facts = self._facts or self._gather(app.manager, source, runner)
        verdict = examine(self.place)
        size = self.place.database.stat().st_size
        text = "; the first: ".join([verdict.text, *verdict.found[:1]])
        print(render(replace(facts, verdict=text, database_bytes=size)))
        return EXIT_OK if verdict.holds and code == EXIT_OK else EXIT_FAILED

    def _runner(self, app: App, manager: OrderManagement, source: Source) -> Runner:
        def on_tick(line: str) -> None:
            self._ticks += 1
            if self._ticks % TICKS_A_STATUS == 1:
                write_status(self.place.directory, manager.get_status())
            self._show(line)

        return Runner(
            manager,
            SystemClock(),
            app.stopping,
            tally=Tally(on_match=source.on_match),
            paced=self.paced,
            seconds=self.seconds,
            answer_s_max=self.answer_s_max,
            on_tick=on_tick,
            on_sent=self.on_sent,
        )

    # --- what a person sees meanwhile ---

    def _show(self, line: str) -> None:
        if self.quiet:
            return
        if sys.stdout.isatty():
            print(f"\r{line:<78}", end="", flush=True)
        elif self._ticks % TICKS_A_LINE == 0:
            print(line, flush=True)

    def _clear_line(self) -> None:
        if not self.quiet and sys.stdout.isatty():
            print("\r" + " " * 78 + "\r", end="", flush=True)

    # --- what it came to ---

    def _gather(self, manager: OrderManagement, source: Source, runner: Runner) -> Facts:
        status, tracker = manager.get_status(), manager.dispatcher.tracker
        instruments = self.shown or manager.config.instruments
        runner.count_unanswered()
        return Facts(
            title=self.title,
            outcome=runner.outcome,
            tally=runner.tally,
            status=status,
            throttle=throttle_text(manager.config),
            instruments=instruments,
            depths=self._depths or self._look_at_books(manager),
            latency_ns={hop: outcomes["all"] for hop, outcomes in status["latency_ns"].items()},
            total=tracker.histogram("total").rows(),
            wait=tracker.histogram("wait").rows(),
            database=str(self.place.database),
            database_bytes=0,
            log_file=str(self.place.log_file),
            verdict="",
            notes=source.notes(),
            money=holdings(manager.dispatcher.desk.ledger) if self.day is not None else (),
            taken_back=self.day.taken_back if self.day is not None else 0,
        )

    def _look_at_books(self, manager: OrderManagement) -> dict[str, Depth]:
        instruments = self.shown or manager.config.instruments
        return {each.symbol: manager.get_depth(each.symbol, 5) for each in instruments}


def throttle_text(config: Config) -> str:
    """The throttle in words."""
    throttle = config.throttle
    if throttle.policy == "off":
        return "off"
    seconds = throttle.window_ns / NANOS
    return f"{throttle.policy}, at most {throttle.sends_max:,} sends in {seconds:g} s"


def _take_back(manager: OrderManagement, prefix: str) -> None:
    """Cancel what still rests of a symbol that the next start would not know."""
    pause = threading.Event()
    for number, order in enumerate(manager.open_orders(RESTING)):
        manager.on_data(
            OrderRequest.cancel(RESTING, f"{prefix}back{number}", order.client_order_id)
        )
        if number % 1_000 == 0:
            pause.wait(0.001)
    clock = SystemClock()
    end_ns = clock.monotonic_ns() + round(TAKE_BACK_S_MAX * NANOS)
    while manager.open_orders(RESTING) and clock.monotonic_ns() < end_ns:
        pause.wait(0.02)
