"""`run` and `status`: the daemon, and what another shell can see of it."""

import argparse
import json
import sys
import threading
from pathlib import Path
from typing import Any

from oms.app import STATUS_NAME, App
from oms.clock import NANOS, SystemClock
from oms.commands import EXIT_NOT_RUNNING, EXIT_OK, Command, Parsers, Place, say
from oms.stores.lock import held_by

FRESH_S = 5.0
WATCH_S = 1.0
CLEAR_SCREEN = "\x1b[H\x1b[2J"

RUN = """\
Runs the order manager in this terminal until Ctrl-C or SIGTERM: it logs on before the
session of config.ini opens, takes and matches orders, logs off after the close. What it
knew when it last stopped, or was killed, it knows again. It says how it does on stdout and
in logs/, once a minute in one line. Orders come in through the library (see README): a
second daemon on the same data refuses to start.

A first signal stops in order (exit code 0, within 5 s); a second one at once, and nothing
that a client was told is lost then either."""

STATUS = """\
Shows how the daemon (or simulation) of this data directory does, as it wrote itself within
the last second. Exit code 0 if it is alive, 3 if none is running: then this is how the last
one left."""


def add_to(parsers: Parsers, common: argparse.ArgumentParser) -> None:
    start, look = run, status
    parser = parsers.add_parser(
        "run",
        help="the daemon: trade in the hours of config.ini until told to stop",
        description=RUN,
        parents=[common],
    )
    command: Command = start
    parser.set_defaults(command=command)
    parser = parsers.add_parser(
        "status", help="how the running daemon does", description=STATUS, parents=[common]
    )
    parser.add_argument("--json", action="store_true", help="all of it, as one JSON object")
    parser.add_argument("--watch", action="store_true", help="again each second, while it lives")
    command = look
    parser.set_defaults(command=command)


def run(_args: argparse.Namespace, place: Place) -> int:
    """The daemon; its exit code."""
    app = App(place.config, place.directory, console=sys.stdout)
    code = app.run()
    tell_failure(app)
    return code


def tell_failure(app: App) -> None:
    """Which thread died of what, if one did: the reason for exit code 1."""
    if app.failure is not None:
        name, error = app.failure
        say(f"thread {name} died: {error!r}; see {app.directory / 'logs'}")


def status(args: argparse.Namespace, place: Place) -> int:
    """Print what the daemon last said of itself; 3 if it is not there."""
    while True:
        seen = look_at(place.directory)
        text = json.dumps(seen) if args.json else "\n".join(status_lines(seen))
        home = CLEAR_SCREEN if args.watch and sys.stdout.isatty() else ""
        print(home + text, flush=True)
        if not args.watch or not seen["alive"]:
            return EXIT_OK if seen["alive"] else EXIT_NOT_RUNNING
        threading.Event().wait(WATCH_S)


def look_at(directory: Path) -> dict[str, Any]:
    """The status file, how old it is, and whether its writer lives."""
    path = directory / STATUS_NAME
    try:
        last = json.loads(path.read_text(encoding="utf-8"))
        age_s = (SystemClock().wall_ns() - path.stat().st_mtime_ns) / NANOS
    except FileNotFoundError:
        last, age_s = None, None
    try:
        owner = held_by(directory)
    except PermissionError:  # not our directory: all we can go by is the file
        owner = last["pid"] if last and age_s is not None and age_s < FRESH_S else None
    return {
        "directory": str(directory),
        "alive": owner is not None,
        "pid": owner,
        "age_s": age_s,
        "status": last,
    }


def status_lines(seen: dict[str, Any]) -> list[str]:
    """The same for a person."""
    alive = f"running, process {seen['pid']}" if seen["alive"] else "no daemon is running"
    lines = [f"{seen['directory']}: {alive}"]
    last = seen["status"]
    if last is None:
        return [*lines, "and none has left a status"]
    lines.append(f"as of {seen['age_s']:.1f} s ago, by process {last['pid']}:")
    throttle = last["throttle"]
    rejects = ", ".join(f"{reason} {count:,}" for reason, count in last["rejects"].items())
    table = {
        "health": f"{last['health']}, store {last['store']}",
        "session": f"{last['session']}, trading date {last['trading_date'] or 'none'}",
        "link": f"{last['link']}, logon attempts {last['logon_attempts']}",
        "waiting": f"{last['waiting']:,} orders, at most {last['waiting_peak']:,} so far",
        "throttle": f"{throttle['policy']}, {throttle['in_use']} of {throttle['sends_max']} in use",
        "open orders": f"{last['open_orders']:,}",
        "in flight": f"{last['in_flight']:,}, unknown {last['unknown']:,}",
        "journal": f"sequence {last['journal_seq']:,}, {last['published']:,} reports told",
        "rejects": rejects or "none",
    }
    lines += [f"  {name:<12} {value}" for name, value in table.items()]
    return [*lines, *_latency_lines(last["latency_ns"])]


def _latency_lines(latency: dict[str, dict[str, dict[str, int]]]) -> list[str]:
    lines = ["  latency, ms          p50        p99        max"]
    for hop, outcomes in latency.items():
        figures = outcomes["all"]
        values = "".join(f"{figures[key] / 1e6:>11.3f}" for key in ("p50", "p99", "max"))
        lines.append(f"    {hop:<9}{values}")
    return lines
