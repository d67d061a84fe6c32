"""`simulate`: made up orders through the real order path; and what it shares with `feed`.

Flow:  source of requests -> [flows: App, MarketDay, Runner] -> the database -> verify -> report
Owner: MainThread.
"""

import argparse
import sys
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice, repeat, takewhile
from pathlib import Path

from oms.app import App, write_status
from oms.clock import NANOS, SystemClock
from oms.commands import (
    EXIT_FAILED,
    EXIT_OK,
    AddCommand,
    AddOption,
    Place,
    ask,
    data_option,
    naming,
    program_name,
    starting,
    whole_number,
)
from oms.commands.live import tell_failure
from oms.commands.offline import examine
from oms.config import Config
from oms.enums import Phase
from oms.errors import ConfigError, ValidationError
from oms.instruments import Instrument
from oms.manager import OrderManagement
from oms.market_data import Depth
from oms.requests import (
    MassCancelRequest,
    OperatorAction,
    OperatorRequest,
    OrderRequest,
    Request,
)
from oms.responses import OrderResponse
from oms.simulation.again import made_by
from oms.simulation.agents import FUNDED, funding, market
from oms.simulation.page import html_of
from oms.simulation.recorded import RESTING, Recorder
from oms.simulation.report import DEPTH_SHOWN, Facts, Holding, holdings, render
from oms.simulation.runner import TICK_S, OnMatch, Runner, Tally, Timed, Traded, bursts
from oms.simulation.samples import BookSample, Sample, Samples, book_sample
from oms.stores.private import private_file

TAKE_BACK_S_MAX = 3.0
TICKS_A_STATUS = round(1.0 / TICK_S)
LOOK_S_MAX = 10.0  # for a question between two turns
TICKS_A_LINE = round(5.0 / TICK_S)


@dataclass(frozen=True, slots=True)
class Source:
    """Requests, and what there is to say of them afterwards."""

    flow: Iterable[Timed]
    notes: Callable[[], list[str]] = list
    on_match: OnMatch | None = None


@dataclass(slots=True)
class MarketDay:
    """Pays in, holds an opening auction of the first requests, and cancels all at the end.

    opening: how many requests come while the call is on.
    """

    opening: int
    on_sent: Callable[[int, Request], object] | None = None
    taken_back: int = field(default=0, init=False)
    _opened: bool = field(default=False, init=False)

    def begin(self, manager: OrderManagement, prefix: str) -> None:
        """Accounts and money, then the call: from here on orders are collected."""
        for _ in self._ask(manager, funding(manager.config.instruments, prefix)):
            pass  # an account is there already after the first run on this directory
        self._set_phase(manager, prefix, Phase.OPENING_AUCTION)

    def through(
        self, flow: Iterable[Timed], runner: Runner, manager: OrderManagement, prefix: str
    ) -> Iterator[Timed]:
        """The same requests; once the opening's are with the desk, all trade at one price."""
        for count, timed in enumerate(flow):
            if count == self.opening:
                runner.wait_for_answers()
                self._open(manager, prefix)
            yield timed

    def end(self, manager: OrderManagement, prefix: str) -> None:
        """Cancel whatever the agents have open; what others have stays as it is."""
        self._open(manager, prefix)
        cancels = [
            MassCancelRequest(account=name, client_order_id=f"{prefix}end") for name in FUNDED
        ]
        for answer in self._ask(manager, cancels):
            self.taken_back += int(answer.facts.get("canceled", 0))

    def _open(self, manager: OrderManagement, prefix: str) -> None:
        if not self._opened:
            self._opened = True
            self._set_phase(manager, prefix, Phase.CONTINUOUS)

    def _set_phase(self, manager: OrderManagement, prefix: str, phase: Phase) -> None:
        request = OperatorRequest(
            client_order_id=f"{prefix}{phase.value}", action=OperatorAction.SET_PHASE,
            value=phase.value, why="simulation",
        )  # fmt: skip
        for _ in self._ask(manager, [request]):
            pass

    def _ask(
        self, manager: OrderManagement, requests: Iterable[Request]
    ) -> Iterator[OrderResponse]:
        asked = list(requests)
        for request in asked if self.on_sent is not None else ():
            self.on_sent(0, request)  # type: ignore[misc]
        return ask(manager, asked)


@dataclass(slots=True, kw_only=True)
class Load:
    """How to run a source of requests.

    letter: what the prefix of client order ids begins with; the journal's length follows, so
        that no run repeats the ids of another on the same database.
    seconds: when to end the source; None: never. answer_s_max: how long to wait at the end.
    take_back: cancel what a recorded flow left open, after the report's figures are taken.
    day: the market around made-up agents: money, auction, mass cancel; None: of a recorded flow.
    shown: the instruments whose trades and books are reported; none: all.
    recorder: writes each request, and what came of it.
    on_purpose: see Facts. page: where the report goes as HTML; None: nowhere.
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
    recorder: Recorder | None = None
    on_purpose: str = ""
    page: Path | None = None
    _samples: Samples = field(default_factory=Samples, init=False)
    _facts: Facts | None = field(default=None, init=False)
    _depths: dict[str, Depth] = field(default_factory=dict, init=False)
    _ticks: int = field(default=0, init=False)

    def run(self, source_of: Callable[[str], Source]) -> int:
        """Run it, stop, verify, print the report; the exit code."""
        print(self.title, flush=True)
        if not self.quiet:
            print("Ctrl-C ends the run in order, with its report.", flush=True)
        app = App(self.place.config, self.place.directory, accept_loss=self.place.accept_loss)
        driven: list[tuple[Source, Runner]] = []

        def work(manager: OrderManagement) -> None:
            prefix = f"{self.letter}{manager.dispatcher.fold.last_seq}-"
            source, day = source_of(prefix), self.day
            if self.recorder is not None:
                self.recorder.after_seq = manager.dispatcher.fold.last_seq
                manager.add_listener(self.recorder.outcome)
            if day is not None:
                day.begin(manager, prefix)
            runner = self._runner(app, manager, source)
            driven.append((source, runner))
            if day is None:
                runner.drive(source.flow)
            else:
                runner.drive(day.through(source.flow, runner, manager, prefix))
                self._depths = self._look_at_books(manager)  # before all of it is canceled
                day.end(manager, prefix)
            if self.take_back:
                self._facts = self._gather(manager, source, runner)
                _take_back(manager, prefix)

        code = app.run(work)
        self._show("")
        tell_failure(app)
        if not driven:  # told to stop before there was anything to do
            return code
        facts = self._facts or self._gather(app.manager, *driven[0])
        if self.recorder is not None:
            with self.place.at_one_instant() as store:
                self.recorder.end(store.records())
        verdict = examine(self.place)
        size = self.place.database.stat().st_size if self.place.is_file else 0
        text = "; the first: ".join([verdict.text, *verdict.found[:1]])
        facts = replace(facts, verdict=text, database_bytes=size)
        print(render(facts))
        if self.page is not None:
            with naming(self.page):
                self.page.write_text(html_of(facts), encoding="utf-8")
            print(f"\nCharts     {self.page}: open it in a browser")
        return EXIT_OK if verdict.holds and code == EXIT_OK else EXIT_FAILED

    def _runner(self, app: App, manager: OrderManagement, source: Source) -> Runner:
        def on_tick(line: str) -> None:
            self._ticks += 1
            if self.page is not None and self._samples.due:
                self._sample(manager, runner)
            if self._ticks % TICKS_A_STATUS == 1:
                write_status(self.place.directory, manager.get_status())
            self._show(line)

        runner = Runner(
            manager, SystemClock(), app.stopping, tally=Tally(on_match=source.on_match),
            paced=self.paced, seconds=self.seconds, answer_s_max=self.answer_s_max,
            on_tick=on_tick, on_sent=self.recorder.write if self.recorder is not None else None,
        )  # fmt: skip
        return runner

    def _sample(self, manager: OrderManagement, runner: Runner) -> None:
        """What the charts show of this moment."""
        traded, books = runner.tally.traded.copy(), dict[str, BookSample]()
        for each in self.shown or manager.config.instruments:
            bids, asks = manager.publisher.depth(each.symbol)
            now = traded.get(each.symbol, Traded())
            depth = bids[:DEPTH_SHOWN], asks[:DEPTH_SHOWN]
            books[each.symbol] = book_sample(now.last_ticks, now.lots, depth)
        queue = manager.dispatcher.desk.queue  # its peak counts the same two
        waiting = len(queue.main) + len(queue.held)
        self._samples.add(Sample(runner.elapsed_ns, waiting, books))

    def _show(self, line: str) -> None:
        """What a person sees meanwhile: on a terminal one line that changes; "" clears it."""
        if self.quiet:
            return
        if sys.stdout.isatty():
            print(f"\r{line:<78}", end="" if line else "\r", flush=True)
        elif line and self._ticks % TICKS_A_LINE == 0:
            print(line, flush=True)

    # --- what it came to ---

    def _gather(self, manager: OrderManagement, source: Source, runner: Runner) -> Facts:
        status, tracker = manager.get_status(), manager.dispatcher.tracker
        runner.count_unanswered()
        return Facts(
            title=self.title,
            outcome=runner.outcome,
            tally=runner.tally,
            status=status,
            throttle=throttle_text(manager.config),
            instruments=self.shown or manager.config.instruments,
            depths=self._depths or self._look_at_books(manager),
            latency_ns={hop: outcomes["all"] for hop, outcomes in status["latency_ns"].items()},
            total=tracker.histogram("total").rows(),
            wait=tracker.histogram("wait").rows(),
            database=str(self.place.database),
            database_bytes=0,
            log_file=str(self.place.log_file),
            verdict="",
            notes=source.notes(),
            money=self._holdings(manager) if self.day is not None else (),
            taken_back=self.day.taken_back if self.day is not None else 0,
            on_purpose=self.on_purpose,
            command=f"{program_name(sys.argv[0])} {{}}{data_option(self.place.directory)}",
            samples=self._samples.kept,
        )

    @staticmethod
    def _holdings(manager: OrderManagement) -> Sequence[Holding]:
        asked = manager.between_turns(lambda desk, _intake: holdings(desk.ledger))
        return asked.result(LOOK_S_MAX)

    def _look_at_books(self, manager: OrderManagement) -> dict[str, Depth]:
        symbols = [each.symbol for each in self.shown or manager.config.instruments]
        return {symbol: manager.get_depth_ticks(symbol, DEPTH_SHOWN) for symbol in symbols}


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


ORDERS_AT_MAX = 100_000
LOAD_ANSWER_S_MAX = 10.0
RATE_MAX, SECONDS_MAX = 1_000_000, 86_400
OPENING_S, OPENING_MAX = 2.0, 5_000  # how long the opening call is, and of how many requests
TAKER_FEE_BPS, MAKER_FEE_BPS = 10, -2

SIMULATE = """\
Simulates a market on this machine, on all instruments of config.ini: market makers quote
around a drifting price, takers cross the spread, investors enter large resting orders, some
of them icebergs, hedgers enter stop orders and OCO pairs, and one careless agent sends wrong
requests. Each agent has an account with money paid in for this run; takers pay a fee of 10
bps, makers get a rebate of 2 bps. The first two seconds are an opening auction. Every order
takes the path of the daemon: queue, throttle, order book, ledger, database. The session is
always open. Bursts of requests exceed the throttle, so that orders wait in the queue.

At the end all open orders of the agents are canceled. The report shows requests, rejects,
trades, positions, latency and balances, and whether a replay of the whole journal gives
every report that was published (exit code 0; 1 if not). Ctrl-C ends the run in order, with
the report. The same seed gives the same orders. If a daemon or a feed left open orders in
the data directory without a ledger, the start is refused: name another one (--data-dir)."""
ON_PURPOSE = """\
Rejects are part of this market. The agent careless-1 sends wrong requests on purpose: prices
off the tick, unknown symbols, unknown orders, used ids, orders beyond its funds. The other
agents do not see the answers, so some of their cancels and modifies come after the order has
ended (TOO_LATE), and some quotes would trade at once (POST_ONLY)."""


def add_to(add: AddCommand) -> None:
    option = add(
        "simulate",
        simulate,
        "simulate a market and print a report (the default)",
        SIMULATE,
    )
    add_orders(option)
    option(
        "--seconds", metavar="S", type=whole_number(1, SECONDS_MAX),
        help="stop after so long (default: config.ini, unless --orders says when)",
    )  # fmt: skip
    option(
        "--rate", metavar="R", type=whole_number(1, RATE_MAX),
        help="requests a second on average, three times that in bursts (default: config.ini)",
    )  # fmt: skip
    option(
        "--seed", metavar="N", type=whole_number(0, 2**63 - 1),
        help="which market: any number (default: config.ini)",
    )  # fmt: skip
    option(
        "--speed", choices=("normal", "max"), default="normal",
        help=f"max: no pause and no throttle; {ORDERS_AT_MAX:,} requests unless told otherwise",
    )  # fmt: skip
    option("--record", metavar="FILE", type=Path, help="write each request, for `feed`")
    option("--html", metavar="FILE", type=Path, help="write the report as one page, with charts")


def add_orders(option: AddOption) -> None:
    starting(option)
    option("--orders", metavar="N", type=whole_number(1), help="stop after so many requests")
    option("--quiet", action="store_true", help="no progress, only the report")


def simulate(args: argparse.Namespace, place: Place) -> int:
    """A made-up market."""
    settings, hurried = place.config.simulate, args.speed == "max"
    config = _with_money(at_any_hour(place.config, throttled=not hurried))
    seed = settings.seed if args.seed is None else args.seed
    rate = args.rate or settings.rate
    orders, seconds = args.orders, args.seconds
    if orders is None and seconds is None:
        orders, seconds = (ORDERS_AT_MAX, None) if hurried else (None, settings.seconds)
    lasts = seconds or settings.seconds
    opening = _opening(rate, lasts, orders, hurried=hurried)
    start_ns = SystemClock().wall_ns()

    def source_of(prefix: str) -> Source:
        due = repeat(0) if hurried else bursts(rate, lasts)
        requests = market(
            seed, config.instruments, prefix, opening=opening, start_ns=start_ns, rate=rate
        )
        recorded = [f"Recorded   {args.record}"] if args.record else []
        return Source(islice(zip(due, requests, strict=False), orders), lambda: recorded)

    symbols = ", ".join(instrument.symbol for instrument in config.instruments)
    pace = "as fast as it goes" if hurried else f"{rate:,} requests a second in bursts"
    lasting = f", for {seconds:,} s" if seconds else ""
    day = MarketDay(opening)
    load = Load(
        place=place._replace(config=config),
        title=f"Simulation of {symbols}: seed {seed}, {pace}{lasting}",
        letter="S",
        paced=not hurried,
        quiet=args.quiet,
        seconds=seconds,
        answer_s_max=LOAD_ANSWER_S_MAX,
        day=day,
        on_purpose=ON_PURPOSE.replace("\n", " "),
        page=args.html,
    )
    if args.html is not None:
        # A place that cannot be written is told before the run.
        private_file(args.html, config.store.group)
        with args.html.open("a"):
            pass
    if args.record is None:
        return load.run(source_of)
    made = made_by(
        config, seed=seed, rate=rate, orders=orders, auction=opening, speed=args.speed,
        new=not place.database.exists(),
    )  # fmt: skip
    with args.record.open("w", encoding="utf-8") as file:
        load.recorder = Recorder(file, start_ns, made)
        day.on_sent = load.recorder.write
        return load.run(source_of)


def _opening(rate: int, lasts: float, orders: int | None, *, hurried: bool) -> int:
    """How many requests the opening auction is made of: a quarter of a short run."""
    end_ns = round(min(OPENING_S, lasts / 4) * NANOS)
    due = takewhile(lambda at_ns: at_ns < end_ns, islice(bursts(rate, lasts), OPENING_MAX))
    count = OPENING_MAX if hurried else sum(1 for _ in due)
    return count if orders is None else min(count, orders // 4)


def at_any_hour(config: Config, *, throttled: bool) -> Config:
    """The same settings with a session that never closes, so without exceptions and phases."""
    throttle = config.throttle if throttled else replace(config.throttle, policy="off")
    session = replace(
        config.session, always_open=True, holidays="", early_close="", extra_open="",
        pre_open_ns=0, opening_auction_ns=0, closing_auction_ns=0,
    )  # fmt: skip
    return replace(config, session=session, throttle=throttle)


def _with_money(config: Config) -> Config:
    """The same, with a ledger and the fees of the simulation, whatever config.ini says."""
    try:
        return replace(
            config,
            exchange=replace(config.exchange, ledger=True),
            instruments=tuple(
                replace(each, maker_fee_bps=MAKER_FEE_BPS, taker_fee_bps=TAKER_FEE_BPS)
                for each in config.instruments
            ),
            fees={},  # of tiers
        )
    except ValidationError as error:
        raise ConfigError([f"simulate keeps accounts, which config.ini forbids: {error}"]) from None
