"""`simulate` and `feed`: order flow through the real order path, and a report of it.

Flow:  agents or a file -> [load: App, Runner] -> the database -> verify -> report
"""

import argparse
import math
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from itertools import islice, repeat
from pathlib import Path

from oms.app import App, write_status
from oms.clock import NANOS, SystemClock
from oms.commands import EXIT_FAILED, EXIT_OK, Command, Parsers, Place, whole_number
from oms.commands.live import tell_failure
from oms.commands.offline import examine
from oms.config import Config
from oms.errors import JournalError, ValidationError
from oms.instruments import Instrument
from oms.manager import OrderManagement
from oms.messages import OrderRequest
from oms.simulation.agents import market
from oms.simulation.flow_files import FlowWriter, read_jsonl
from oms.simulation.lobster import RESTING, LobsterFlow, instrument_of
from oms.simulation.report import Facts, render
from oms.simulation.runner import (
    PROGRESS_S_PIPE,
    PROGRESS_S_SCREEN,
    Outcome,
    Runner,
    Tally,
    Timed,
    at_speed,
    bursts,
)

ORDERS_AT_MAX = 100_000
ANSWER_S_MAX = 10.0
THROTTLED_S_MAX = 3_600.0
TAKE_BACK_S_MAX = 10.0
RATE_MAX, SECONDS_MAX = 1_000_000, 86_400

SIMULATE = """\
Simulates a market on this machine: makers quote and follow a drifting price, takers trade
across the spread, investors wait, and somebody careless makes mistakes, on all instruments
of config.ini. Every order takes the real path: queue, throttle, order book, database. The
session is always open, so it works at any hour. More come in each burst than the throttle
lets through, so you see orders wait.

At the end it says what happened, how fast, and whether the whole journal, played again,
gives every report it told (exit code 0; 1 if not). Ctrl-C ends it in order, with the
report. The same seed gives the same orders."""
FEED = """\
Sends recorded orders through the real path, and reports what became of them.

jsonl    what `simulate --record FILE` wrote: one request a line. Every client order id gets
         a prefix, so that a file can be fed twice; --keep-ids leaves ids as they are.
lobster  a LOBSTER message file of NASDAQ orders (.csv or .csv.gz), one symbol: new orders,
         partial cancels and deletes as they are, each execution as an IOC order from the
         other side. Hidden executions, crosses and halts are counted and left out.

It works on the same data directory as everything else: give --data-dir DIR to keep recorded
orders apart from your own. Orders of a symbol that config.ini does not list are taken back
at the end. The file is read once before anything is sent: a bad line stops it there. A name
that ends in .gz is unpacked."""

Flow = Iterable[Timed]


def add_to(parsers: Parsers, common: argparse.ArgumentParser) -> None:
    _add_simulate(parsers, common)
    _add_feed(parsers, common)


def _add_simulate(parsers: Parsers, common: argparse.ArgumentParser) -> None:
    parser = parsers.add_parser(
        "simulate",
        help="simulate a market and report (this is what happens without a command)",
        description=SIMULATE,
        parents=[common],
    )
    add = parser.add_argument
    add("--orders", metavar="N", type=whole_number(1), help="stop after so many requests")
    add(
        "--seconds",
        metavar="S",
        type=whole_number(1, SECONDS_MAX),
        help="stop after so long (default: [simulate] seconds of config.ini)",
    )
    add(
        "--rate",
        metavar="R",
        type=whole_number(1, RATE_MAX),
        help="requests a second on average, three times that in bursts (default: config.ini)",
    )
    add("--seed", metavar="N", type=whole_number(0, 2**63 - 1), help="(default: config.ini)")
    add(
        "--speed",
        choices=("normal", "max"),
        default="normal",
        help=f"max: no pause and no throttle; {ORDERS_AT_MAX:,} requests unless told otherwise",
    )
    add("--record", metavar="FILE", type=Path, help="write each request, for `feed`")
    add("--quiet", action="store_true", help="no progress, the report alone")
    command: Command = simulate
    parser.set_defaults(command=command)


def _add_feed(parsers: Parsers, common: argparse.ArgumentParser) -> None:
    parser = parsers.add_parser(
        "feed",
        help="send recorded orders through the whole path",
        description=FEED,
        parents=[common],
    )
    add = parser.add_argument
    add("file", metavar="FILE", type=Path, help="the recorded orders")
    add("--format", choices=("jsonl", "lobster"), help="(default: lobster for .csv, else jsonl)")
    add("--symbol", metavar="S", default="GOOG", help="lobster: what is traded (default: GOOG)")
    add("--orders", metavar="N", type=whole_number(1), help="stop after so many requests")
    add(
        "--speed",
        metavar="X",
        type=_speed,
        default=math.inf,
        help="1: as fast as recorded; 10: ten times that; max: no pause (default: max)",
    )
    add("--throttle", action="store_true", help="keep the throttle of config.ini on")
    add("--keep-ids", action="store_true", help="jsonl: client order ids as recorded")
    add("--quiet", action="store_true", help="no progress, the report alone")
    command: Command = feed
    parser.set_defaults(command=command)


def _speed(text: str) -> float:
    try:
        speed = math.inf if text == "max" else float(text)
    except ValueError:
        speed = math.nan
    if not speed > 0:
        raise argparse.ArgumentTypeError(f"expected a number above 0, or max, was {text!r}")
    return speed


# --- the two flows ---


def simulate(args: argparse.Namespace, place: Place) -> int:
    settings, full_speed = place.config.simulate, args.speed == "max"
    config = _open_at_any_hour(place.config, throttled=not full_speed)
    seed = settings.seed if args.seed is None else args.seed
    rate = args.rate or settings.rate
    orders, seconds = args.orders, args.seconds
    if orders is None and seconds is None:
        orders, seconds = (ORDERS_AT_MAX, None) if full_speed else (None, settings.seconds)
    symbols = ", ".join(instrument.symbol for instrument in config.instruments)
    pace = "as fast as it goes" if full_speed else f"{rate:,} requests a second, in bursts"
    load = Load(config, place.directory, quiet=args.quiet, paced=not full_speed, seconds=seconds)
    load.title = f"Simulation: {symbols}; seed {seed}, {pace}"

    def flow(prefix: str) -> Flow:
        due = repeat(0) if full_speed else bursts(rate, seconds or settings.seconds)
        return islice(zip(due, market(seed, config.instruments, prefix), strict=False), orders)

    with ExitStack() as stack:
        if args.record is not None:
            file = stack.enter_context(args.record.open("w", encoding="utf-8"))
            load.on_sent = FlowWriter(file).write
            load.notes = lambda: [f"Recorded   {args.record}"]
        return load.run(lambda manager: flow(f"S{manager.dispatcher.fold.last_seq}-"))


def feed(args: argparse.Namespace, place: Place) -> int:
    lobster = args.format == "lobster" or (args.format is None and ".csv" in args.file.suffixes)
    config = _open_at_any_hour(place.config, throttled=args.throttle)
    listed = {instrument.symbol for instrument in config.instruments}
    if lobster and args.symbol not in listed:
        config = replace(config, instruments=(*config.instruments, _listing(args.symbol)))
    load = Load(
        config, place.directory, quiet=args.quiet, paced=math.isfinite(args.speed), seconds=None
    )
    load.title = f"Feed: {args.file}" + (f" as {args.symbol}" if lobster else "")

    def flow(prefix: str) -> Flow:
        if not lobster:
            requests = read_jsonl(args.file, "" if args.keep_ids else prefix)
        else:
            messages = LobsterFlow(args.file, args.symbol, prefix)
            load.notes, load.tally_matches = messages.notes, messages.on_match
            requests = messages.requests()
        paced = at_speed(requests, args.speed) if load.paced else requests
        return islice(paced, args.orders)

    for _ in flow("F9999999999-"):  # all of it, so that a bad line is told before a send
        pass
    if lobster and args.symbol not in listed:
        load.take_back = True
    return load.run(lambda manager: flow(f"F{manager.dispatcher.fold.last_seq}-"))
