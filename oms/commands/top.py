"""`top`: a view of a running exchange in a terminal.

Owner: MainThread, which paints; a thread of its own looks. The screen is Textual's (extra `tui`).
"""

import argparse
import os
import signal
import sys

from oms.clock import NANOS, SystemClock
from oms.commands import (
    EXIT_FAILED,
    EXIT_NOT_RUNNING,
    EXIT_OK,
    AddCommand,
    Place,
    say,
    whole_number,
)
from oms.errors import GatewayError, ValidationError
from oms.turn.threads import Worker

LOOKS, LOOKS_MAX = 5, 10
STOP_S = 0.5  # a look that waits for an answer is left
TOP = """\
Shows books, trades, session, queue and latencies of a running exchange, until q: of the daemon of
this data directory by its control socket, or with URL of a front door by the network. It needs
the extra `tui`, and a terminal of 80 x 24 or more; it looks, and changes nothing. ? tells the
keys. A lost connection is shown, and made anew.

A front door tells queue and latencies to operators alone: set OMS_KEY and OMS_SECRET to an API key
of one. Exit code 3 if no daemon runs, or none answers."""


def add_to(add: AddCommand) -> None:
    option = add("top", top, "books, trades, queue and latencies, live in a terminal", TOP)
    option(
        "url", metavar="URL", nargs="?", default="",
        help="a front door, such as http://127.0.0.1:3000 (default: the control socket)",
    )  # fmt: skip
    option("--symbol", metavar="S", default="", help="the market to begin with")
    option(
        "--looks", metavar="N", type=whole_number(1, LOOKS_MAX), default=LOOKS,
        help=f"so many a second, 1 to {LOOKS_MAX} (default: {LOOKS})",
    )  # fmt: skip


def top(args: argparse.Namespace, place: Place) -> int:
    """Until q; the exit code."""
    # Textual paints on stderr, which a pipe or file of stdout leaves as it is.
    is_terminal = all(each.isatty() for each in (sys.stdin, sys.stdout, sys.stderr))
    unfit = why_unfit(is_terminal, os.environ.get("TERM", ""), sys.stdout.encoding)
    if unfit:
        raise GatewayError(f"top: {unfit}")
    try:  # what only this command needs, the client above all, no other one loads
        from oms.top.screen import Top
        from oms.top.sources import connector
        from oms.top.watcher import Watcher
    except ImportError as error:
        raise GatewayError(
            f"top needs a package that is missing: {str(error.name).partition('.')[0]}; "
            "pip install '.[tui]' in the checkout has it"
        ) from error
    clock = SystemClock()
    connect = connector(args.url, place.directory, os.environ, clock)
    watcher = Watcher(connect, clock, NANOS // args.looks, args.symbol)
    try:
        watcher.begin()
    except (GatewayError, OSError) as error:
        say(f"{args.url}: {error}" if args.url else str(error))
        return EXIT_NOT_RUNNING
    if args.symbol and watcher.seen.overview.row(args.symbol) is None:
        names = ", ".join(row.symbol for row in watcher.seen.overview.markets)
        raise ValidationError("--symbol", args.symbol, f"one of {names}")
    app = Top(watcher, watcher.told, clock, args.symbol)
    worker = Worker("oms-top", watcher, app.thread_died)
    worker.start()
    before = signal.signal(signal.SIGTERM, lambda *_: app.leave())  # the terminal as it was
    try:
        app.run(mouse=False)  # so that the terminal itself can select and copy
    finally:
        signal.signal(signal.SIGTERM, before)
        worker.stop(STOP_S)
    if app.died is not None:
        say(f"top: {app.died!r}")
        return EXIT_FAILED
    return EXIT_OK if not app.return_code else EXIT_FAILED


def why_unfit(is_terminal: bool, term: str, encoding: str) -> str:
    """What keeps this from being a terminal to paint on; "" if nothing does. term: its kind, as
    TERM has it."""
    instead = "`status --watch` and `depth` print lines instead"
    if not is_terminal:
        return f"expected a terminal, was a file or a pipe; {instead}"
    if term in ("", "dumb"):
        return f"expected a terminal that can place text, was TERM={term or 'unset'}; {instead}"
    if encoding.lower().replace("-", "") != "utf8":
        return f"expected a terminal with UTF-8, was {encoding}: set LC_ALL=C.UTF-8"
    return ""
