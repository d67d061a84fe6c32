"""`simulate` and `feed`: made up or recorded orders through the real order path."""

import argparse
import math
import re
from collections.abc import Iterable
from contextlib import ExitStack
from dataclasses import replace
from itertools import islice, repeat, takewhile
from pathlib import Path

from oms.clock import NANOS, SystemClock
from oms.commands import Command, Parsers, Place, whole_number
from oms.commands.load import Load, Source, throttle_text
from oms.commands.market_day import MarketDay
from oms.config import Config
from oms.errors import ConfigError, ValidationError
from oms.simulation.agents import market
from oms.simulation.flow_files import FlowWriter, read_jsonl
from oms.simulation.lobster import LobsterFlow, instrument_of
from oms.simulation.runner import Timed, at_speed, bursts

ORDERS_AT_MAX = 100_000
ANSWER_S_MAX = 10.0
THROTTLED_S_MAX = 3_600.0
RATE_MAX, SECONDS_MAX = 1_000_000, 86_400
LONGEST_PREFIX = "F9999999999-"
OPENING_S, OPENING_MAX = 2.0, 5_000  # how long the opening call is, and of how many requests
TAKER_FEE_BPS, MAKER_FEE_BPS = 10, -2

SIMULATE = """\
Simulates a market on this machine: makers quote and follow a drifting price, takers trade
across the spread, investors wait, some behind icebergs, hedgers place stops and pairs, and
somebody careless makes mistakes, on all instruments of config.ini. Each has an account with
money paid in for this run; takers pay 10 bps, makers get 2 bps back. The first two seconds
are an opening auction. Every order takes the real path: queue, throttle, order book,
ledger, database. The session is always open, so it works at any hour. More come in each
burst than the throttle lets through, so you see orders wait.

At the end all that the agents have open is canceled. Then it says what happened, how fast,
what everybody owns, and whether the whole journal, played again, gives every report it told
(exit code 0; 1 if not). Ctrl-C ends it in order, with the report. The same seed gives the
same orders. Orders left open without a ledger, by a daemon or a feed, stop it at the start:
it needs a data directory of its own then (--data-dir)."""
FEED = """\
Sends recorded orders through the real path, and reports what became of them.

jsonl    what `simulate --record FILE` wrote: one request a line. Every client order id gets
         a prefix, so that a file can be fed twice; --keep-ids leaves ids as they are.
lobster  a LOBSTER message file of NASDAQ orders, one symbol: new orders, partial cancels and
         deletes as they are, each execution as an IOC order from the other side. Hidden
         executions, crosses and halts are counted and left out.

It works in the same data directory as everything else: give --data-dir DIR to keep recorded
orders apart from your own. Orders of a symbol that config.ini does not list are taken back
at the end. The file is read once before anything is sent: a bad line stops it there. A file
whose name ends in .gz is unpacked. The session is always open, there is no ledger, and
nobody is kept from trading with himself: what was recorded happens again."""


def add_to(parsers: Parsers, common: argparse.ArgumentParser) -> None:
    _add_simulate(parsers, common)
    _add_feed(parsers, common)


def _add_simulate(parsers: Parsers, common: argparse.ArgumentParser) -> None:
    parser = parsers.add_parser(
        "simulate",
        help="simulate a market and report (what happens without a command)",
        description=SIMULATE,
        parents=[common],
    )
    add = parser.add_argument
    add("--orders", metavar="N", type=whole_number(1), help="stop after so many requests")
    add(
        "--seconds",
        metavar="S",
        type=whole_number(1, SECONDS_MAX),
        help="stop after so long (default: config.ini, unless --orders says when)",
    )
    add(
        "--rate",
        metavar="R",
        type=whole_number(1, RATE_MAX),
        help="requests a second on average, three times that in bursts (default: config.ini)",
    )
    add(
        "--seed",
        metavar="N",
        type=whole_number(0, 2**63 - 1),
        help="which market: any number (default: config.ini)",
    )
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
    add(
        "--symbol",
        metavar="S",
        type=_symbol,
        default="GOOG",
        help="lobster: what is traded (default: GOOG)",
    )
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


def _symbol(text: str) -> str:
    if not re.fullmatch(r"[A-Z0-9._-]{1,32}", text):
        raise argparse.ArgumentTypeError(f"expected capitals, digits and . _ -, was {text!r}")
    return text


def simulate(args: argparse.Namespace, place: Place) -> int:
    """A made-up market."""
    settings, hurried = place.config.simulate, args.speed == "max"
    config = _with_money(_at_any_hour(place.config, throttled=not hurried))
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
    load = Load(
        place=place._replace(config=config),
        title=f"Simulation of {symbols}: seed {seed}, {pace}",
        letter="S",
        paced=not hurried,
        quiet=args.quiet,
        seconds=seconds,
        answer_s_max=ANSWER_S_MAX,
        day=MarketDay(opening),
    )
    with ExitStack() as stack:
        if args.record is not None:
            file = stack.enter_context(args.record.open("w", encoding="utf-8"))
            load.on_sent = FlowWriter(file, start_ns).write
        _announce(load)
        return load.run(source_of)


def _opening(rate: int, lasts: float, orders: int | None, *, hurried: bool) -> int:
    """How many requests the opening auction is made of: a quarter of a short run."""
    end_ns = round(min(OPENING_S, lasts / 4) * NANOS)
    due = takewhile(lambda at_ns: at_ns < end_ns, islice(bursts(rate, lasts), OPENING_MAX))
    count = OPENING_MAX if hurried else sum(1 for _ in due)
    return count if orders is None else min(count, orders // 4)


def feed(args: argparse.Namespace, place: Place) -> int:
    """A recorded one."""
    lobster = args.format == "lobster" or (args.format is None and ".csv" in args.file.suffixes)
    config = _at_any_hour(place.config, throttled=args.throttle)
    plain = replace(config.exchange, ledger=False, self_trade="none")
    config = replace(config, exchange=plain)
    start_ns = SystemClock().wall_ns()
    shown = tuple(each for each in config.instruments if lobster and each.symbol == args.symbol)
    unlisted = lobster and not shown
    if unlisted:
        shown = (instrument_of(args.symbol),)
        config = replace(config, instruments=(*config.instruments, *shown))
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
    load = Load(
        place=place._replace(config=config),
        title=f"Feed of {args.file}" + (f" as {args.symbol}" if lobster else ""),
        letter="F",
        paced=paced,
        quiet=args.quiet,
        answer_s_max=THROTTLED_S_MAX if args.throttle else ANSWER_S_MAX,
        take_back=unlisted,
        shown=shown,
    )
    _announce(load)
    return load.run(source_of)


def _announce(load: Load) -> None:
    if not load.quiet:
        print(f"{load.title}; throttle {throttle_text(load.place.config)}; Ctrl-C ends it")
        print(f"data in {load.place.directory}", flush=True)


def _at_any_hour(config: Config, *, throttled: bool) -> Config:
    """The same settings with a session that never closes."""
    throttle = config.throttle if throttled else replace(config.throttle, policy="off")
    return replace(config, session=replace(config.session, always_open=True), throttle=throttle)


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
