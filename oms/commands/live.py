"""`run`, `status`, `sessions`: the daemon, its status as another shell sees it, and its hours."""

import argparse
import json
import sys
import threading
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta, tzinfo
from itertools import islice
from pathlib import Path
from typing import Any

from oms.app import STATUS_NAME, App, session_text
from oms.clock import NANOS, SystemClock, datetime_of
from oms.commands import (
    EXIT_FAILED,
    EXIT_NOT_RUNNING,
    EXIT_OK,
    AddCommand,
    AddOption,
    Place,
    instant,
    say,
    starting,
    whole_number,
)
from oms.config import SessionConfig
from oms.desk.calendar import Schedule, SessionWindow
from oms.desk.hours import zone_of
from oms.errors import GatewayError
from oms.gateways.client import ControlClient
from oms.simulation.report import ms_text
from oms.stores.lock import held_by
from oms.turn.latency import Summary

FRESH_S = 5.0
STATUS_S_MAX = 2.0  # for the daemon's answer; then its file has to do
WATCH_S = 1.0
CLEAR_SCREEN = "\x1b[H\x1b[2J"

RUN = """\
Runs the order manager in this terminal until Ctrl-C or SIGTERM: it logs on to the venue
before the session of config.ini opens, accepts and matches orders, and logs off after the
close. At the start it recovers all orders from the journal, also after kill -9. It writes
one status line a minute to stdout and to logs/. Commands in another shell, and other
programs, reach it through its control socket. A second daemon on the same data is refused.

The first signal stops it in order (exit code 0, within 5 s); a second one at once. Neither
loses anything that a client was told."""

STATUS = """\
Shows the status of the daemon of this data directory: its answer, or for a process without a
control socket (such as a simulation) the status.json that it writes each second. Exit code 0 if
the daemon runs; 3 if none runs: then the status is that of the last stop."""
SHOWN_MAX = 1_000
HEADINGS = ("trading date", "open, local time", "open, UTC", "link up, UTC", "note")

SESSIONS = """\
Shows the next trading sessions that config.ini describes: when orders trade, when the link
to the venue comes up before and goes down after, and what is unusual: holidays, early
closes, and the days on which the clocks change. It starts with the session open now."""


def add_to(add: AddCommand) -> None:
    option = add("run", run, "run the daemon, in the hours of config.ini", RUN)
    starting(option)
    standing_by(option)
    option = add("status", status, "show the status of the daemon", STATUS)
    option("--json", action="store_true", help="the whole status, as one JSON object")
    option("--watch", action="store_true", help="repeat every second while the daemon runs")

    option = add("sessions", sessions, "list the next trading sessions", SESSIONS)
    option(
        "--next", metavar="N", dest="count", type=whole_number(1, SHOWN_MAX), default=10,
        help="how many sessions to show (default: 10)",
    )  # fmt: skip
    option(
        "--at", metavar="TIME", type=instant,
        help="as seen from this time, such as 2026-11-20T00:00Z (default: now; UTC if no zone)",
    )  # fmt: skip


def standing_by(option: AddOption) -> None:
    """The option of what may wait for another one's journal."""
    option(
        "--standby", action="store_true",
        help="wait until the daemon that has the journal in Postgres is gone, and take over",
    )  # fmt: skip


def run(args: argparse.Namespace, place: Place) -> int:
    """The daemon; its exit code."""
    app = App(
        place.config, place.directory, console=sys.stdout, accept_loss=place.accept_loss,
        standby=args.standby, told=place.told,
    )  # fmt: skip
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
        seen = look_at(place)
        text = json.dumps(seen) if args.json else "\n".join(status_lines(seen))
        home = CLEAR_SCREEN if args.watch and sys.stdout.isatty() else ""
        print(home + text, flush=True)
        if not args.watch or not seen["alive"]:
            return EXIT_OK if seen["alive"] else EXIT_NOT_RUNNING
        threading.Event().wait(WATCH_S)


def look_at(place: Place) -> dict[str, Any]:
    """What the daemon says of itself; if it does not, its status file, how old that is, and
    whether the process that wrote it lives."""
    told = _ask_daemon(place.directory)
    if told is not None:
        found = {"directory": str(place.directory), "alive": True, "pid": told["pid"]}
        return {**found, "age_s": 0.0, "status": told}
    path = place.directory / STATUS_NAME
    try:
        last = json.loads(path.read_text(encoding="utf-8"))
        age_s = (SystemClock().wall_ns() - path.stat().st_mtime_ns) / NANOS
    except FileNotFoundError:
        last, age_s = None, None
    try:
        owner = held_by(place.database)
    except PermissionError:  # not our directory: all we can go by is the file
        owner = last["pid"] if last and age_s is not None and age_s < FRESH_S else None
    return {
        "directory": str(place.directory),
        "alive": owner is not None,
        "pid": owner,
        "age_s": age_s,
        "status": last,
    }


def _ask_daemon(directory: Path) -> dict[str, Any] | None:
    try:
        daemon = ControlClient.connect(directory)
        if daemon is None:
            return None
        with daemon:
            status: dict[str, Any] = daemon.ask({"ask": "status"}, STATUS_S_MAX)["status"]
            return status
    except (GatewayError, OSError):  # busy, stopping, or not ours: there is the file
        return None


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
        "session": session_text(last),
        "link": f"{last['link']}, logon attempts {last['logon_attempts']}",
        "waiting": f"{last['waiting']:,} orders, at most {last['waiting_peak']:,} so far",
        "throttle": throttle["policy"]
        if throttle["in_use"] is None
        else f"{throttle['policy']}, {throttle['in_use']} of {throttle['sends_max']} in use",
        "open orders": f"{last['open_orders']:,}",
        "in flight": f"{last['in_flight']:,}, unknown {last['unknown']:,}",
        "journal": f"sequence {last['journal_seq']:,}, {last['published']:,} reports told",
        "rejects": rejects or "none",
    }
    if last.get("postgres"):
        table["postgres"] = last["postgres"]
    projection = last.get("projection")
    if projection:
        table["projection"] = (
            f"{projection['state']}, {projection['lag_entries']:,} entries and "
            f"{projection['lag_s']:.1f} s behind"
        )
    lines += [f"  {name:<12} {value}" for name, value in table.items()]
    return [*lines, *_latency_lines(last["latency_ns"])]


def _latency_lines(latency: dict[str, dict[str, Summary]]) -> list[str]:
    lines = ["  latency, ms          p50        p99        max"]
    for hop, outcomes in latency.items():
        figures = outcomes["all"]
        values = "".join(f"{ms_text(figures[key]):>11}" for key in ("p50", "p99", "max"))
        lines.append(f"    {hop:<9}{values}")
    return lines


# --- sessions ---


def sessions(args: argparse.Namespace, place: Place) -> int:
    """Print the table; 1 if no session is in sight."""
    config = place.config.session
    at_ns = SystemClock().wall_ns() if args.at is None else args.at
    print(f"sessions from {datetime_of(at_ns):%Y-%m-%d %H:%M:%S} UTC on")
    print(session_rule(config))
    if config.schedule.always_open:
        return EXIT_OK
    windows = list(islice(config.schedule.windows(at_ns), args.count))
    if not windows:
        print("no session in the next 400 days")
        return EXIT_FAILED
    rows = list(session_rows(config, at_ns, windows))
    widths = [max(map(len, column)) for column in zip(HEADINGS, *rows, strict=True)]
    for row in (HEADINGS, *rows):
        print("  ".join(map(str.ljust, row, widths)).rstrip())
    for warning in clock_changes(config.schedule, at_ns, windows):
        print(warning)
    return EXIT_OK


def session_rule(config: SessionConfig) -> str:
    """The rule behind the table, in words."""
    schedule = config.schedule
    if schedule.always_open:
        days = f"a trading date is a day of {schedule.zone}, with which DAY orders end"
        return f"always open: no session ever opens or closes, the link stays up; {days}"
    lead_s, grace_s = config.logon_lead_ns / NANOS, config.logout_grace_ns / NANOS
    outside = "are rejected" if config.outside_hours == "reject" else "wait for the open"
    return (
        f"local time is {schedule.zone}; logon {lead_s:g} s before the open, logout {grace_s:g} s "
        f"after the close; orders outside hours {outside}"
    )


def session_rows(
    config: SessionConfig, at_ns: int, windows: list[SessionWindow]
) -> Iterator[tuple[str, ...]]:
    """One row a session, and one for each that a holiday takes away between them."""
    zone = zone_of(config.schedule.zone)
    closed = _holiday_windows(config.schedule, at_ns, windows)
    down_ns = 0  # when the link goes down after the row above
    for window in sorted([*windows, *closed]):
        opens, closes = window.open_ns, window.close_ns
        if window in closed:
            yield (str(window.trading_date), "-", "-", "-", window.note)
            continue
        up_ns, stays_up = opens - config.logon_lead_ns, opens - config.logon_lead_ns <= down_ns
        down_ns = closes + config.logout_grace_ns
        link = f"stays up - {_clock_time(down_ns, UTC)}" if stays_up else _span(up_ns, down_ns, UTC)
        weekday = f"{datetime_of(opens).astimezone(zone):%a} "
        local, utc = weekday + _span(opens, closes, zone), _span(opens, closes, UTC)
        yield str(window.trading_date), local, utc, link, window.note


def _holiday_windows(
    schedule: Schedule, at_ns: int, windows: list[SessionWindow]
) -> list[SessionWindow]:
    """The sessions that would be there were it not for the holidays."""
    if not schedule.holidays:
        return []
    ordinary = replace(schedule, holidays=frozenset(), early_close=(), extra_open=())
    return [
        replace(window, note="holiday: closed")
        for window in _until(ordinary, at_ns, windows[-1].open_ns)
        if window.trading_date in schedule.holidays
    ]


def _until(schedule: Schedule, first_ns: int, last_ns: int) -> Iterator[SessionWindow]:
    for window in schedule.windows(first_ns):
        if window.open_ns > last_ns:
            return
        yield window


def clock_changes(schedule: Schedule, at_ns: int, windows: list[SessionWindow]) -> Iterator[str]:
    """A warning for each day, from now to the last session, on which the clocks change."""
    for name in schedule.zones:
        where = f" in {name}" if len(schedule.zones) > 1 else ""
        zone = zone_of(name)
        day = datetime_of(at_ns).astimezone(zone).date()
        last = datetime_of(windows[-1].close_ns).astimezone(zone).date()
        while day <= last:
            midnight = datetime(day.year, day.month, day.day, tzinfo=zone)
            before, after = (midnight + timedelta(days=n) for n in (0, 1))
            if before.utcoffset() != after.utcoffset():
                yield (
                    f"warning: the clocks change on {day}{where}, from {_offset(before)} to "
                    f"{_offset(after)}: local hours stay, UTC hours move"
                )
            day += timedelta(days=1)


def _offset(local: datetime) -> str:
    return f"UTC{local.strftime('%z')[:3]}:{local.strftime('%z')[3:]}"


def _span(from_ns: int, to_ns: int, zone: tzinfo) -> str:
    """From one time to another, with the second date only where it is not the first."""
    start, end = _clock_time(from_ns, zone), _clock_time(to_ns, zone)
    same_day = start[:10] == end[:10]
    return f"{start} - {end[11:] if same_day else end}"


def _clock_time(wall_ns: int, zone: tzinfo) -> str:
    return f"{datetime_of(wall_ns).astimezone(zone):%Y-%m-%d %H:%M:%S}".removesuffix(":00")
