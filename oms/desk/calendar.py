"""Trading calendar: when the market is open, and when the link to it should be up.

Flow:  config -> [session] -> session keeper (logs on and off), dispatcher (open or not)
In:    wall time, whole nanoseconds since the epoch. Out: windows, half-open [open, close).
Owner: anyone may ask: no I/O, no clock, and the only state is a cache swapped in one step.

Every answer is a function of the instant asked about, so a wall clock may jump either
way. Hours are local: a local time that the clocks skip moves forward by the gap (02:30
becomes 03:30), one that they show twice means the first.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, time, timedelta, tzinfo
from typing import Literal, NamedTuple
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from oms.clock import NANOS, datetime_of, wall_ns_of
from oms.errors import ValidationError

LOOK_AHEAD_DAYS = 400
LOOK_BEHIND_DAYS = 16  # a window of a week, another before it, and any zone's offset
FOREVER_NS = 2**62  # in the year 2116

_ONE_DAY = timedelta(days=1)
_ONE_DAY_NS = 86_400 * NANOS
_LINK_S_MAX = 86_400  # the link is up at most a day before the open, or after the close
_MONDAY = date(2001, 1, 1)  # the hours are kept as the spans of this week
_WEEKDAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_DAY = "(" + "|".join(_WEEKDAYS) + ")"
_TIME = r"((?:[01]\d|2[0-3]):[0-5]\d(?::[0-5]\d)?)"
_INTERVAL = re.compile(rf"{_DAY}(?: ?- ?{_DAY})? {_TIME} ?- ?(?:{_DAY} )?{_TIME}", re.A)
_MOMENT = re.compile(rf"20\d\d-\d\d-\d\d {_TIME}", re.A)


@dataclass(frozen=True, slots=True, order=True)
class SessionWindow:
    """One stretch of trading: open_ns <= wall time < close_ns.

    trading_date: the local day the window counts for.
    note: what is unusual about it, e.g. "early close"; "" on a plain day.
    """

    open_ns: int
    close_ns: int
    trading_date: date
    note: str = ""


class LocalSpan(NamedTuple):
    """A window in local time, before the zone is applied."""

    open: datetime
    close: datetime
    last_day: date  # of its last moment: a close at midnight ends the day before
    note: str = ""

    def cut(self, moment: datetime) -> "LocalSpan | None":
        """What an early close leaves: less, nothing, or all of it."""
        if self.open < moment < self.close:
            return self._replace(close=moment, note="early close")
        falls_away = moment <= self.open and moment.date() == self.open.date() == self.last_day
        return None if falls_away else self


@dataclass(frozen=True, slots=True, kw_only=True)
class Schedule:
    """When a market trades. Build it with parse(), which checks it.

    always_open: one window without end; everything else here is ignored.
    zone: IANA name, for all the local times. hours: the week from 2001-01-01, in order.
    trading_date: whether a window counts for the day of its close or of its open.
    """

    always_open: bool
    zone: str
    hours: tuple[LocalSpan, ...]
    holidays: frozenset[date]
    early_close: tuple[datetime, ...]
    extra_open: tuple[LocalSpan, ...]
    trading_date: Literal["close", "open"]

    @classmethod
    def parse(
        cls,
        *,
        always_open: bool = False,
        time_zone: str = "UTC",
        hours: str = "",
        holidays: str = "",
        early_close: str = "",
        extra_open: str = "",
        trading_date: Literal["close", "open"] = "close",
    ) -> "Schedule":
        """The schedule that config.ini describes; items are split by commas or lines.

        hours: "Mon-Fri 09:00-17:00" or "Sun 17:05 - Mon 16:55"; without a weekday, of every
            day. A weekday belongs to the open. Without a closing weekday, a close at or before
            the open is the next day's.
        holidays: "2026-12-25": what would open on this day does not, except extra_open.
        early_close: "2026-12-24 13:00": what is open then closes, and what would open and
            close later that day does not open.
        extra_open: "2026-12-26 10:00-14:00": open although the week, or a holiday, says no.

        Raises ValidationError, naming the argument: unreadable, an unknown zone, an overlap,
        and, unless always open, no hours at all, or an early close that changes nothing.
        """
        zone_of(time_zone)
        schedule = cls(
            always_open=always_open,
            zone=time_zone,
            hours=_parse_hours(hours),
            holidays=frozenset(d.date() for [d] in _dated("holidays", holidays, "2026-12-25")),
            early_close=tuple(t for [t] in _dated("early_close", early_close, "2026-12-24 13:00")),
            extra_open=tuple(
                _span(opens, closes, "extra session")
                for opens, closes in _dated("extra_open", extra_open, "2026-12-26 10:00-14:00")
            ),
            trading_date=trading_date,
        )
        if not always_open:
            schedule._check()
        return schedule

    def windows(self, from_ns: int) -> Iterator[SessionWindow]:
        """Windows in order, the one open at from_ns first, if any; ends after 400 days.

        Always open: one window, from the epoch to FOREVER_NS, trading date 1970-01-01.
        """
        if self.always_open:
            yield SessionWindow(0, FOREVER_NS, date(1970, 1, 1))
            return
        zone, today, closed_ns = zone_of(self.zone), datetime_of(from_ns).date(), 0
        for offset in range(-LOOK_BEHIND_DAYS, LOOK_AHEAD_DAYS):
            spans = self._spans(today + offset * _ONE_DAY)
            for window in sorted(self._compile(span, zone) for span in spans):
                # Times that moved out of a clock change's gap may reach into each other.
                window = replace(window, open_ns=max(window.open_ns, closed_ns))
                closed_ns = max(window.close_ns, closed_ns)
                if window.open_ns < window.close_ns and from_ns < window.close_ns:
                    yield window

    def _spans(self, day: date) -> list[LocalSpan]:
        """The windows that open on this local day."""
        week = day - day.weekday() * _ONE_DAY - _MONDAY
        spans = [_span(s.open + week, s.close + week) for s in self.hours]
        spans = [s for s in spans if s.open.date() == day and day not in self.holidays]
        for moment in self.early_close:
            spans = [left for span in spans if (left := span.cut(moment))]
        return spans + [extra for extra in self.extra_open if extra.open.date() == day]

    def _compile(self, span: LocalSpan, zone: tzinfo) -> SessionWindow:
        opens, closes = span.open.replace(tzinfo=zone), span.close.replace(tzinfo=zone)
        notes = (span.note, _dst_note("opening", opens), _dst_note("closing", closes))
        day = span.open.date() if self.trading_date == "open" else span.last_day
        note = "; ".join(filter(None, notes))
        return SessionWindow(wall_ns_of(opens), wall_ns_of(closes), day, note)

    def _check(self) -> None:
        """What no setting can know of itself: how it fits the others."""
        if not self.hours:
            raise ValidationError("hours", "", "at least one interval, or always_open = yes")
        for moment in self.early_close:
            with_it = replace(self, early_close=(moment,))._spans_near(moment)
            if with_it == replace(self, early_close=())._spans_near(moment):
                raise ValidationError("early_close", str(moment), "a moment in trading hours")
        for extra in self.extra_open:
            near = self._spans_near(extra.open)
            if sum(s.open < extra.close and extra.open < s.close for s in near) > 1:  # not it alone
                raise ValidationError("extra_open", str(extra.open), "a time not open already")

    def _spans_near(self, moment: datetime) -> list[LocalSpan]:
        days = (moment.date() + n * _ONE_DAY for n in range(-8, 2))
        return [span for day in days for span in self._spans(day)]


class TradingSession:
    """Is the market open, and should the link to it be up?

    schedule: a Schedule, or its hours as text: "Mon-Fri 09:00-17:00", or "09:00-17:00" for every
    day, in time_zone, an IANA name.
    logon_lead_s, logout_grace_s: how long before an open the link comes up, and how long
    after a close it stays, so that the last reports arrive; seconds, 0 or more.
    logged_on: the state of the link; the session keeper alone sets it.
    """

    __slots__ = ("_current", "_grace_ns", "_lead_ns", "_link", "logged_on", "schedule")

    def __init__(
        self,
        schedule: Schedule | str,
        logon_lead_s: float = 0.0,
        logout_grace_s: float = 0.0,
        *,
        time_zone: str = "UTC",
    ) -> None:
        if isinstance(schedule, str):
            schedule = Schedule.parse(hours=schedule, time_zone=time_zone)
        elif type(schedule) is not Schedule:
            raise ValidationError("schedule", schedule, "a Schedule, or hours as text")
        elif time_zone != "UTC":
            raise ValidationError("time_zone", time_zone, "none: the Schedule has its own")
        for name, seconds in (("logon_lead_s", logon_lead_s), ("logout_grace_s", logout_grace_s)):
            if type(seconds) not in (int, float) or not 0 <= seconds <= _LINK_S_MAX:
                raise ValidationError(name, seconds, f"seconds, 0 to {_LINK_S_MAX}")
        self.schedule = schedule
        self.logged_on: bool = False
        self._lead_ns = round(logon_lead_s * NANOS)
        self._grace_ns = round(logout_grace_s * NANOS)
        self._current = _NextToClose(schedule)
        self._link = _NextToClose(schedule)

    def is_open(self, wall_ns: int) -> bool:
        """Whether orders trade at this instant; at the close itself they do not."""
        window = self._current.after(wall_ns)
        return window is not None and window.open_ns <= wall_ns

    def window_at(self, wall_ns: int) -> SessionWindow | None:
        """The window open at this instant; None when closed."""
        return self._current.after(wall_ns) if self.is_open(wall_ns) else None

    def next_change_ns(self, wall_ns: int) -> int | None:
        """When this window closes, else when the next opens; None if not within 400 days."""
        window = self._current.after(wall_ns)
        if window is None or self.schedule.always_open:
            return None
        return window.open_ns if wall_ns < window.open_ns else window.close_ns

    def should_be_logged_on(self, wall_ns: int) -> bool:
        """Whether the link should be up: open less the lead <= wall time < close plus grace."""
        window = self._link.after(wall_ns - self._grace_ns)
        return window is not None and window.open_ns - self._lead_ns <= wall_ns


class _NextToClose:
    """The first window to close after an instant; remembered while it stays the first."""

    __slots__ = ("_cache", "_schedule")

    def __init__(self, schedule: Schedule) -> None:
        self._schedule = schedule
        # From, until, window: one tuple, so that no thread sees half of a change.
        self._cache: tuple[int, int, SessionWindow | None] = (0, 0, None)

    def after(self, wall_ns: int) -> SessionWindow | None:
        from_ns, until_ns, window = self._cache
        if from_ns <= wall_ns < until_ns:
            return window
        window = next(self._schedule.windows(wall_ns), None)
        # With nothing in sight, the view ahead is the same until the (UTC) day is over.
        until_ns = window.close_ns if window else (wall_ns // _ONE_DAY_NS + 1) * _ONE_DAY_NS
        self._cache = (wall_ns, until_ns, window)
        return window


def zone_of(name: str) -> tzinfo:
    """The zone of an IANA name; UTC needs no database. ValidationError if unknown."""
    try:
        return UTC if name == "UTC" else ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        expected = "an IANA zone such as Asia/Kolkata (if it is one, `pip install tzdata`)"
        raise ValidationError("time_zone", name, expected) from None


def _parse_hours(text: str) -> tuple[LocalSpan, ...]:
    week: list[LocalSpan] = []
    for item in _items(text):
        item = f"Mon-Sun {item}" if item[:1].isdigit() else item
        match = _INTERVAL.fullmatch(item.lower())
        if match is None or (match[2] and match[4]):
            expected = "intervals such as 'Mon-Fri 09:00-17:00' or 'Sun 17:05 - Mon 16:55'"
            raise ValidationError("hours", item, expected)
        first, last, opens, close_day, closes = match.groups()
        day = _WEEKDAYS.index(first)
        days = (_WEEKDAYS.index(last) - day) % 7 + 1 if last else 1
        days_open = (_WEEKDAYS.index(close_day) - day) % 7 if close_day else 0
        for n in range(day, day + days):
            start = datetime.combine(_MONDAY + n % 7 * _ONE_DAY, time.fromisoformat(opens))
            end = datetime.combine(start + days_open * _ONE_DAY, time.fromisoformat(closes))
            if close_day and end <= start:
                end += 7 * _ONE_DAY
            week.append(_span(start, end))
    week.sort()
    opens_next = [s.open for s in week[1:]] + [s.open + 7 * _ONE_DAY for s in week[:1]]
    if any(span.close > at for span, at in zip(week, opens_next, strict=True)):
        raise ValidationError("hours", ", ".join(_items(text)), "intervals that do not overlap")
    return tuple(week)


def _dated(field: str, text: str, example: str) -> Iterator[list[datetime]]:
    """The local moments of each item, shaped like the example; a day alone is its midnight."""
    for item in _items(text):
        day, *times = re.split(" ?- ?(?=..:)| ", item)
        moments = [f"{day} {at}" for at in times or ["00:00"]]
        try:
            if len(times) != example.count(":") or not all(map(_MOMENT.fullmatch, moments)):
                raise ValueError
            yield [datetime.fromisoformat(moment) for moment in moments]
        except ValueError:
            expected = f"items such as '{example}', years 2000 to 2099"
            raise ValidationError(field, item, expected) from None


def _span(opens: datetime, closes: datetime, note: str = "") -> LocalSpan:
    closes += (closes <= opens) * _ONE_DAY
    return LocalSpan(opens, closes, (closes - timedelta.resolution).date(), note)


def _items(text: str) -> list[str]:
    return [" ".join(item.split()) for item in re.split("[,\n]", text) if item.strip()]


def _dst_note(what: str, local: datetime) -> str:
    """Say so if the clocks skip this local time (the offset rises) or show it twice."""
    first, second = (local.replace(fold=n).utcoffset() or timedelta() for n in (0, 1))
    moved = "shifted forward" if first < second else "at the first of two"
    return f"DST: {what} {moved}" if first != second else ""
