"""`feed`: recorded orders, through an order manager of our own or into a daemon that runs.

Flow:  recorded requests -> [feeding] -> flows: Load -> the database -> verify -> report
                                      -> control socket -> the daemon; its answers -> figures
Owner: MainThread.
"""

import argparse
import math
import re
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path

from oms.clock import NANOS, Clock, SystemClock
from oms.commands import EXIT_FAILED, EXIT_OK, AddCommand, Place, say
from oms.commands.flows import (
    LOAD_ANSWER_S_MAX,
    Load,
    Source,
    add_orders,
    at_any_hour,
)
from oms.commands.offline import examine
from oms.commands.reach import running_daemon
from oms.errors import GatewayError
from oms.gateways.client import ControlClient
from oms.gateways.wire import ANSWER_S_MAX, LINES_AHEAD_MAX, Told
from oms.requests import Request
from oms.requests.codec import to_object
from oms.simulation.again import Again, Recording
from oms.simulation.recorded import (
    LobsterFlow,
    instrument_of,
    read_jsonl,
    read_requests,
    recording_of,
)
from oms.simulation.runner import Timed, at_speed

AHEAD_MAX = LINES_AHEAD_MAX // 2
MISTAKES_SHOWN = 3
PROGRESS_NS = 5 * NANOS
THROTTLED_S_MAX = 3_600.0
LONGEST_PREFIX = "F9999999999-"
FEED = """\
Sends recorded orders through the path of the daemon, and reports how they were answered.

jsonl    what `simulate --record FILE` wrote: one request a line. Every client order id gets
         a prefix, so that a file can be fed twice; --keep-ids leaves ids as they are.
lobster  a LOBSTER message file of NASDAQ orders, one symbol: new orders, partial cancels and
         deletes as they are, each execution as an IOC order from the other side. Hidden
         executions, crosses and halts are counted and left out.

The data directory is that of all commands: --data-dir DIR keeps recorded orders apart from
others. Orders of a symbol that config.ini does not list are canceled at the end. The file
is read once before the first order is sent; a bad line ends the command there. A file whose
name ends in .gz is unpacked.

A complete file of `simulate --record` is run again as it was made, in a new data directory
(--data-dir DIR): with its ledger, auction, throttle, fees and instruments, turn by turn. The
report compares both runs, trade for trade; exit code 1 if they differ. In a directory with a
database, with --speed, --orders, --throttle or --keep-ids, and from other files, only the
orders are sent: the session is always open, and ledger and self-trade prevention are off.

--to DIR sends them to the daemon that runs in DIR instead, by its hours, throttle, ledger and
limits, and leaves open what is open at the end."""


def add_to(add: AddCommand) -> None:
    option = add("feed", feed, "send recorded orders through the order path", FEED)
    option("file", metavar="FILE", type=Path, help="the recorded orders")
    option("--format", choices=("jsonl", "lobster"), help="(default: lobster for .csv, else jsonl)")
    option(
        "--symbol", metavar="S", type=_symbol, default="GOOG",
        help="lobster: what is traded (default: GOOG)",
    )  # fmt: skip
    add_orders(option)
    option(
        "--speed", metavar="X", type=_speed, default=math.inf,
        help="1: as fast as recorded; 10: ten times that; max: no pause (default: max)",
    )  # fmt: skip
    option("--to", metavar="DIR", type=Path, help="into the daemon that runs in DIR")
    option("--throttle", action="store_true", help="keep the throttle of config.ini on")
    option("--keep-ids", action="store_true", help="jsonl: client order ids as recorded")


def _speed(text: str) -> float:
    try:
        speed = math.inf if text == "max" else float(text)
    except ValueError:
        speed = math.nan
    if not speed > 0:
        raise argparse.ArgumentTypeError(f"expected a number above 0, or max, was {text!r}")
    return speed


def _symbol(text: str) -> str:
    if not re.fullmatch(r"[A-Z0-9._-]{1,32}", text):
        raise argparse.ArgumentTypeError(f"expected capitals, digits and . _ -, was {text!r}")
    return text


def feed(args: argparse.Namespace, place: Place) -> int:
    """A recorded one."""
    lobster = args.format == "lobster" or (args.format is None and ".csv" in args.file.suffixes)
    start_ns = SystemClock().wall_ns()
    paced = math.isfinite(args.speed)

    def limited(flow: Iterable[Timed]) -> Iterable[Timed]:
        return islice(at_speed(flow, args.speed) if paced else flow, args.orders)

    def source_of(prefix: str) -> Source:
        if lobster:
            messages = LobsterFlow(args.file, args.symbol, prefix)
            return Source(limited(messages.requests()), messages.notes, messages.on_match)
        return Source(limited(read_jsonl(args.file, "" if args.keep_ids else prefix, start_ns)))

    for _ in source_of(LONGEST_PREFIX).flow:  # so that a bad line is told before a send
        pass
    recording = None if lobster or args.to is not None else recording_of(args.file)
    changed = args.throttle or args.keep_ids or args.orders or args.speed < math.inf
    if recording is not None and not changed:
        if not place.database.exists():
            return _feed_again(args, place, recording)
        say(f"{place.database} is there already: the orders alone are sent, not the same run again")
    if args.to is not None:
        return _feed_daemon(args, place._replace(directory=args.to), source_of)
    return _feed_here(args, place, source_of, lobster)


def _feed_daemon(args: argparse.Namespace, place: Place, source_of: Callable[[str], Source]) -> int:
    """Into the daemon of another directory, or of this one."""
    if args.throttle:
        args.parser_error("expected --throttle or --to, not both: a daemon has its own throttle")
    with running_daemon(place) as daemon:
        prefix = f"F{daemon.ask({'ask': 'status'})['status']['journal_seq']}-"
        pace = f"{args.speed:g} times as fast as recorded" if args.speed < math.inf else "no pause"
        flow = source_of(prefix).flow
        return Feeding(daemon, SystemClock(), args.quiet).run(flow, pace)


def _feed_again(args: argparse.Namespace, place: Place, recording: Recording) -> int:
    """A whole run, turn by turn by the settings and the clock it was made with."""
    for _ in read_requests(args.file, LONGEST_PREFIX):
        pass
    place.directory.mkdir(parents=True, exist_ok=True)
    lasted_ns = recording.turns[-1][0] if recording.turns else 0
    start_ns = SystemClock().wall_ns() - lasted_ns - NANOS  # so that no stamp is ahead of now
    again = Again(
        recording,
        recording.config(at_any_hour(place.config, throttled=True)),
        place.directory,
        start_ns,
    )

    def requests_of(prefix: str) -> Iterator[Request]:
        return (request for _, request in read_requests(args.file, prefix, start_ns))

    again.run(requests_of, place.accept_loss)
    verdict = examine(place)
    made = ", ".join(f"{name} {value}" for name, value in recording.facts().items())
    print(f"Feed of {args.file}: the same again; made with {made}")
    print("\n".join(again.lines()))
    print("; the first: ".join([f"Verify     {verdict.text}", *verdict.found[:1]]))
    return EXIT_OK if again.same and verdict.holds else EXIT_FAILED


def _feed_here(
    args: argparse.Namespace, place: Place, source_of: Callable[[str], Source], lobster: bool
) -> int:
    """Through an order manager of our own, by settings that let happen again what happened."""
    config = at_any_hour(place.config, throttled=args.throttle)
    plain = replace(config.exchange, ledger=False, self_trade="none")
    config = replace(config, exchange=plain)
    shown = tuple(each for each in config.instruments if lobster and each.symbol == args.symbol)
    unlisted = lobster and not shown
    if unlisted:
        shown = (instrument_of(args.symbol),)
        config = replace(config, instruments=(*config.instruments, *shown))
    load = Load(
        place=place._replace(config=config),
        title=f"Feed of {args.file}" + (f" as {args.symbol}" if lobster else ""),
        letter="F",
        paced=math.isfinite(args.speed),
        quiet=args.quiet,
        answer_s_max=THROTTLED_S_MAX if args.throttle else LOAD_ANSWER_S_MAX,
        take_back=unlisted,
        shown=shown,
    )
    return load.run(source_of)


# --- into a daemon ---


@dataclass(slots=True)
class Feeding:
    """Sends a flow over one connection, and counts what is answered."""

    daemon: ControlClient
    clock: Clock
    quiet: bool
    offered: int = field(default=0, init=False)
    interrupted: bool = field(default=False, init=False)
    answers: Counter[str] = field(default_factory=Counter, init=False)
    refusals: Counter[str] = field(default_factory=Counter, init=False)
    mistakes: list[str] = field(default_factory=list, init=False)
    trades: int = field(default=0, init=False)
    lost: str = field(default="", init=False)
    _sent_ns: deque[int] = field(default_factory=deque, init=False)
    _took_ns: list[int] = field(default_factory=list, init=False)
    _start_ns: int = field(default=0, init=False)
    _end_ns: int = field(default=0, init=False)
    _told_ns: int = field(default=0, init=False)

    def run(self, flow: Iterable[Timed], speed_text: str) -> int:
        """Send all of it, print the figures; 1 if a request was not answered as one."""
        self._start_ns = self._told_ns = self.clock.monotonic_ns()
        try:
            for due_ns, request in flow:
                self._wait_until(due_ns)
                self._sent_ns.append(self.clock.monotonic_ns())
                self.daemon.send(to_object(request))
                self.offered += 1
            while self._sent_ns and self._take(ANSWER_S_MAX):
                pass
        except KeyboardInterrupt:
            self.interrupted = True
        except GatewayError as error:
            self.lost = str(error)
        self._end_ns = self.clock.monotonic_ns()
        print("\n".join(self._lines(speed_text)))
        unanswered = 0 if self.interrupted else len(self._sent_ns)
        return EXIT_FAILED if self.mistakes or self.lost or unanswered else EXIT_OK

    def _wait_until(self, due_ns: int) -> None:
        """Take answers until a request is due and few enough are under way."""
        while True:
            left_ns = due_ns - (self.clock.monotonic_ns() - self._start_ns)
            full = len(self._sent_ns) >= AHEAD_MAX
            if full:
                if not self._take(ANSWER_S_MAX):
                    raise GatewayError(f"no answer within {ANSWER_S_MAX:g} s")
            elif left_ns > 0:
                self._take(left_ns / NANOS)
            elif not self._take(0.0):
                return

    def _take(self, wait_s: float) -> bool:
        """One answer, if one comes in time."""
        told = self.daemon.receive(wait_s)
        if told is None:
            return False
        now_ns = self.clock.monotonic_ns()
        if self._sent_ns:
            self._took_ns.append(now_ns - self._sent_ns.popleft())
        self._count(told)
        if not self.quiet and now_ns - self._told_ns > PROGRESS_NS:
            self._told_ns = now_ns
            seconds = (now_ns - self._start_ns) / NANOS
            print(f"{seconds:6.1f} s  offered {self.offered:,}  trades {self.trades:,}", flush=True)
        return True

    def _count(self, told: Told) -> None:
        if "response" not in told:
            self.mistakes.append(told["error"]["text"])
            return
        response = told["response"]
        stands = not response["refused"] and not response["repeated"]
        word = response.get("state", response["type"]) if stands else response["type"]
        self.answers[word] += 1
        self.trades += told.get("trades_count", 0)
        if response["refused"]:
            self.refusals[response.get("reason", "no reason")] += 1

    def _lines(self, speed_text: str) -> list[str]:
        seconds = (self._end_ns - self._start_ns) / NANOS
        lines = [f"Offered    {self.offered:,} in {seconds:.1f} s, {speed_text}"]
        if self.interrupted:
            lines.append("           interrupted: this is how far it came")
        lines.append(f"Answered   {self.answers.total():,}: {_counts(self.answers)}")
        lines.append(f"Refused    {self.refusals.total():,}: {_counts(self.refusals)}")
        lines.append(f"Trades     {self.trades:,} taken from resting orders")
        if self._took_ns:
            took = sorted(self._took_ns)
            at = (len(took) // 2, len(took) * 99 // 100, -1)
            p50, p99, most = (f"{took[n] / 1e6:.1f} ms" for n in at)
            lines.append(f"Answers    p50 {p50}, p99 {p99}, max {most}")
        lines += [f"Mistake    {text}" for text in self.mistakes[:MISTAKES_SHOWN]]
        lines += [f"Lost       {self.lost}"] if self.lost else []
        return lines


def _counts(counter: Counter[str]) -> str:
    return ", ".join(f"{name} {count:,}" for name, count in counter.most_common()) or "none"
