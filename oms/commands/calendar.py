"""`sessions`: what the trading calendar will do, in UTC and in local time."""

import argparse
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta, tzinfo
from itertools import islice

from oms.clock import NANOS, SystemClock, datetime_of, wall_ns_of
from oms.commands import EXIT_FAILED, EXIT_OK, Command, Parsers, Place, whole_number
from oms.config import SessionConfig
from oms.desk.session import Schedule, SessionWindow, zone_of

SHOWN_MAX = 1_000
HEADINGS = ("trading date", "open, local time", "open, UTC", "link up, UTC", "note")

DESCRIPTION = """\
Shows the next trading sessions that config.ini describes: when orders trade, when the link
to the venue comes up before and goes down after, and what is unusual: holidays, early
closes, and the days on which the clocks change. It starts with the session open now."""


def add_to(parsers: Parsers, common: argparse.ArgumentParser) -> None:
    parser = parsers.add_parser(
        "sessions",
        help="when the market opens and closes next",
        description=DESCRIPTION,
        parents=[common],
    )
    parser.add_argument(
        "--next",
        metavar="N",
        dest="count",
        type=whole_number(1, SHOWN_MAX),
        default=10,
        help="how many sessions to show (default: 10)",
    )
    parser.add_argument(
        "--at",
        metavar="TIME",
        type=_instant,
        help="as seen from this time, such as 2026-11-20T00:00Z (default: now; UTC if no zone)",
    )
    command: Command = sessions
    parser.set_defaults(command=command)


def _instant(text: str) -> int:
    try:
        instant = datetime.fromisoformat(text)
        return wall_ns_of(instant if instant.tzinfo else instant.replace(tzinfo=UTC))
    except (ValueError, OverflowError):
        raise argparse.ArgumentTypeError(
            f"expected a time such as 2026-11-20T00:00Z, was {text!r}"
        ) from None


def sessions(args: argparse.Namespace, place: Place) -> int:
    """Print the table; 1 if no session is in sight."""
    config = place.config.session
    at_ns = SystemClock().wall_ns() if args.at is None else args.at
    print(f"sessions from {datetime_of(at_ns):%Y-%m-%d %H:%M:%S} UTC on")
    print(describe(config))
    if config.schedule.always_open:
        return EXIT_OK
    windows = list(islice(config.schedule.windows(at_ns), args.count))
    if not windows:
        print("no session in the next 400 days")
        return EXIT_FAILED
    rows = list(table(config, at_ns, windows))
    widths = [max(map(len, column)) for column in zip(HEADINGS, *rows, strict=True)]
    for row in (HEADINGS, *rows):
        print("  ".join(map(str.ljust, row, widths)).rstrip())
    for warning in clock_changes(config.schedule, at_ns, windows):
        print(warning)
    return EXIT_OK


def describe(config: SessionConfig) -> str:
    """The rule behind the table, in words."""
    schedule = config.schedule
    if schedule.always_open:
        return "always open: no session ever opens or closes, the link stays up"
    lead_s, grace_s = config.logon_lead_ns / NANOS, config.logout_grace_ns / NANOS
    outside = "are rejected" if config.outside_hours == "reject" else "wait for the open"
    return (
        f"local time is {schedule.zone}; logon {lead_s:g} s before the open, logout {grace_s:g} s "
        f"after the close; orders outside hours {outside}"
    )


def table(
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
        link = f"stays up - {_time(down_ns, UTC)}" if stays_up else _span(up_ns, down_ns, UTC)
        weekday = f"{datetime_of(opens).astimezone(zone):%a} "
        local, utc = weekday + _span(opens, closes, zone), _span(opens, closes, UTC)
        yield str(window.trading_date), local, utc, link, window.note


def _holiday_windows(
    schedule: Schedule, at_ns: int, windows: list[SessionWindow]
) -> list[SessionWindow]:
    """The sessions that would be there were it not for the holidays."""
    if not schedule.holidays:
        return []
    opens = {window.open_ns for window in windows}
    ordinary = replace(schedule, holidays=frozenset(), early_close=(), extra_open=())
    zone = zone_of(schedule.zone)
    return [
        replace(window, note="holiday: closed")
        for window in _until(ordinary, at_ns, windows[-1].open_ns)
        if window.open_ns not in opens
        and datetime_of(window.open_ns).astimezone(zone).date() in schedule.holidays
    ]


def _until(schedule: Schedule, first_ns: int, last_ns: int) -> Iterator[SessionWindow]:
    for window in schedule.windows(first_ns):
        if window.open_ns > last_ns:
            return
        yield window


def clock_changes(schedule: Schedule, at_ns: int, windows: list[SessionWindow]) -> Iterator[str]:
    """A warning for each day, from now to the last session, on which the clocks change."""
    zone = zone_of(schedule.zone)
    day = datetime_of(at_ns).astimezone(zone).date()
    last = datetime_of(windows[-1].close_ns).astimezone(zone).date()
    while day <= last:
        midnight = datetime(day.year, day.month, day.day, tzinfo=zone)
        before, after = (midnight + timedelta(days=n) for n in (0, 1))
        if before.utcoffset() != after.utcoffset():
            yield (
                f"warning: the clocks change on {day}, from {_offset(before)} to "
                f"{_offset(after)}: local hours stay, UTC hours move"
            )
        day += timedelta(days=1)


def _offset(local: datetime) -> str:
    return f"UTC{local.strftime('%z')[:3]}:{local.strftime('%z')[3:]}"


def _span(from_ns: int, to_ns: int, zone: tzinfo) -> str:
    """From one time to another, with the second date only where it is not the first."""
    start, end = _time(from_ns, zone), _time(to_ns, zone)
    same_day = start[:10] == end[:10]
    return f"{start} - {end[11:] if same_day else end}"


def _time(wall_ns: int, zone: tzinfo) -> str:
    return f"{datetime_of(wall_ns).astimezone(zone):%Y-%m-%d %H:%M:%S}".removesuffix(":00")
