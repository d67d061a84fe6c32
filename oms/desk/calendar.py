"""Trading calendar: when the market is open, and when the link to it should be up.

Flow:  config -> [session] -> session keeper (logs on and off), dispatcher (open or not)
In:    wall time, whole nanoseconds since the epoch. Out: windows, half-open [open, close).
Owner: anyone may ask: no I/O, no clock, and the only state is a cache swapped in one step.

Every answer is a function of the instant asked about, so a wall clock may jump either
way. Hours are local: a local time that the clocks skip moves forward by the gap (02:30
becomes 03:30), one that they show twice means the first. A window may open in one zone and
close in another, so windows are put in order by their instants, never by local time.

A holiday takes away a trading date, wherever its windows open; an early close takes away what
is left of one. What would change nothing is refused: whoever wrote it meant something.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, time, timedelta
from typing import Literal, NamedTuple

from oms.clock import NANOS, datetime_of, wall_ns_of
from oms.desk.hours import (
    MONDAY,
    ONE_DAY,
    READERS,
    WEEKDAYS,
    LocalSpan,
    PhaseTimes,
    parse_extra,
    parse_holidays,
    parse_hours,
    parse_moments,
    zone_of,
)
from oms.errors import ValidationError

LOOK_AHEAD_DAYS = 400
LOOK_BEHIND_DAYS = 16  # a window of a week, another before it, and any zone's offset

_ONE_DAY_NS = 86_400 * NANOS
_WEEKS = 12 * 53  # so many weeks are looked at to see whether zones that differ go together
_LINK_S_MAX = 86_400  # the link is up at most a day before the open, or after the close


@dataclass(frozen=True, slots=True, order=True)
class SessionWindow:
    """One stretch of trading: open_ns <= wall time < close_ns.

    trading_date: the local day the window counts for.
    note: what is unusual about it, e.g. "early close"; "" on a plain day.
    phases: those of which it says itself how long they are.
    """

    open_ns: int
    close_ns: int
    trading_date: date
    note: str = ""
    phases: PhaseTimes = ()


class EarlyClose(NamedTuple):
    """From this instant on nothing is open any more that counts for the trading date."""

    trading_date: date
    at_ns: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Schedule:
    """When a market trades. Build it with parse(), which checks it.

    always_open: no end of trading; of everything else the zone alone counts: a trading date is a
        day there.
    zone: IANA name, for local times that have none. hours: the week from 2024-01-01, in order.
    trading_date: whether a window counts for the day of its close or of its open.
    """

    always_open: bool
    zone: str
    hours: tuple[LocalSpan, ...]
    holidays: frozenset[date]
    early_close: tuple[EarlyClose, ...]
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
            A zone behind an interval is for both ends, unless the open has one of its own:
            "Mon 05:00 Australia/Sydney - Fri 17:00 America/New_York". After that phases may
            follow that are not as in the other intervals: "closing_auction_s=300".
        holidays: "2026-12-25": no window that counts for this trading date opens, but for
            extra_open.
        early_close: "2026-12-24 13:00": the trading date that is under way then, be it in a
            break, is over. A zone may follow.
        extra_open: "2026-12-26 10:00-14:00": open although the week, or a holiday, says no, but
            not after an early close of its trading date. Zones and phases may follow as in hours.

        Raises ValidationError, naming the argument: unreadable, an unknown zone, an overlap,
        an extra session of one trading date amid another, and what changes nothing: exceptions
        if always open, else a holiday that is no trading date of the hours, or is named twice, an
        early close when no trading date is under way, or no hours at all.
        """
        zone_of(time_zone)
        schedule = cls(
            always_open=always_open,
            zone=time_zone,
            hours=parse_hours(hours, time_zone),
            holidays=frozenset(parse_holidays(holidays)),
            early_close=(),
            extra_open=tuple(parse_extra(extra_open, time_zone)),
            trading_date=trading_date,
        )
        moments = parse_moments(early_close, time_zone)
        if always_open:
            exceptions = {
                "holidays": holidays, "early_close": early_close, "extra_open": extra_open,
            }  # fmt: skip
            for name, text in exceptions.items():
                if text.strip():
                    raise ValidationError(name, text, "nothing, as the market is always open")
            return schedule
        schedule._check_hours()
        schedule = replace(schedule, early_close=schedule._early_closes(moments))
        schedule._check_extra()
        return schedule

    def lengths(self) -> Iterator[tuple[str, str, int, PhaseTimes]]:
        """How long windows are, in nanoseconds, and phases they say themselves; first the setting
        that each is by, and how it reads: those of the week (of the one from 2024-01-01: where
        clocks are changed, one may be shorter), extra sessions, and what early closes leave."""
        for key, spans in (("hours", self.hours), ("extra_open", self.extra_open)):
            for span in spans:
                yield key, str(span), span.length_ns(), span.phases
        for _, at_ns in self.early_close:
            for window in self._opening_around(at_ns, LOOK_BEHIND_DAYS, 2):
                if window.close_ns == at_ns:
                    shown = f"{_utc(window.open_ns)} - {_utc(at_ns)} UTC"
                    yield "early_close", shown, at_ns - window.open_ns, window.phases

    @staticmethod
    def check_text(name: str, text: str) -> None:
        """ValidationError if an argument of parse() cannot be read, whatever the others are."""
        READERS[name](text)

    @property
    def zones(self) -> list[str]:
        """Of all local times, each once."""
        spans = (*self.hours, *self.extra_open)
        own = [zone for span in spans for zone in (span.open_zone, span.close_zone)]
        return list(dict.fromkeys([self.zone, *own]))

    def windows(self, from_ns: int) -> Iterator[SessionWindow]:
        """Windows in order, the one open at from_ns first, if any; ends after 400 days.

        Always open: one for each day of the zone, from midnight to midnight.
        """
        if self.always_open:
            yield from self._days(from_ns)
            return
        for window in self._opening_around(from_ns, LOOK_BEHIND_DAYS, LOOK_AHEAD_DAYS):
            if from_ns < window.close_ns:
                yield window

    def end_ns(self, trading_date: str) -> int | None:
        """When the last window of a trading date (ISO) closes; None if there is none."""
        day, end_ns = date.fromisoformat(trading_date), None
        for window in self.windows(wall_ns_of(datetime.combine(day - ONE_DAY, time(), UTC))):
            if window.trading_date > day:
                break
            if window.trading_date == day:
                end_ns = window.close_ns
        return end_ns

    def _opening_around(self, at_ns: int, behind: int, ahead: int) -> Iterator[SessionWindow]:
        """What opens in the days around an instant, in order, one after the other."""
        today, closed_ns = datetime_of(at_ns).date(), 0
        for offset in range(-behind, ahead):
            for window in self._opening_on(today + offset * ONE_DAY):
                # Times that moved out of a clock change's gap may reach into each other.
                window = replace(window, open_ns=max(window.open_ns, closed_ns))
                closed_ns = max(window.close_ns, closed_ns)
                if window.open_ns < window.close_ns:
                    yield window

    def _days(self, from_ns: int) -> Iterator[SessionWindow]:
        """The windows of a market that never closes: its trading dates."""
        zone = zone_of(self.zone)
        today = datetime_of(from_ns).astimezone(zone).date()
        for day in (today + timedelta(days=n) for n in range(-1, LOOK_AHEAD_DAYS)):
            opens_ns, closes_ns = (
                wall_ns_of(datetime.combine(midnight, time(), zone))
                for midnight in (day, day + timedelta(days=1))
            )
            if from_ns < closes_ns:
                yield SessionWindow(opens_ns, closes_ns, day)

    def _opening_on(self, day: date) -> list[SessionWindow]:
        """What opens on this day of UTC, in order; it is part of up to three local days."""
        found = list[SessionWindow]()
        for local_day in (day - ONE_DAY, day, day + ONE_DAY):
            week = local_day - local_day.weekday() * ONE_DAY - MONDAY
            for span in self.hours:
                if span.open.date() + week == local_day:
                    found += self._left_of(self._compile(span.later(week)))
            found += [self._compile(e) for e in self.extra_open if e.open.date() == local_day]
        start_ns = (day - date(1970, 1, 1)).days * _ONE_DAY_NS
        return sorted(w for w in found if start_ns <= w.open_ns < start_ns + _ONE_DAY_NS)

    def _left_of(self, window: SessionWindow) -> list[SessionWindow]:
        """What holidays and early closes leave of a window of the week: all, less, or nothing."""
        if window.trading_date in self.holidays:
            return []
        for trading_date, at_ns in self.early_close:
            if trading_date == window.trading_date and at_ns < window.close_ns:
                if at_ns <= window.open_ns:
                    return []
                note = "; ".join(filter(None, ("early close", window.note)))
                window = replace(window, close_ns=at_ns, note=note)
        return [window]

    def _compile(self, span: LocalSpan) -> SessionWindow:
        opens, closes = span.instants()
        notes = (span.note, _dst_note("opening", opens), _dst_note("closing", closes))
        note = "; ".join(filter(None, notes))
        day = span.trading_date(self.trading_date)
        return SessionWindow(wall_ns_of(opens), wall_ns_of(closes), day, note, span.phases)

    def _check_hours(self) -> None:
        """What no setting can know of itself: how it fits the others."""
        if not self.hours:
            raise ValidationError("hours", "", "at least one interval, or always_open = yes")
        if len({zone for s in self.hours for zone in (s.open_zone, s.close_zone)}) > 1:
            self._check_weeks()
        else:
            opens_next = [s.open for s in self.hours[1:]] + [self.hours[0].open + 7 * ONE_DAY]
            if any(span.close > at for span, at in zip(self.hours, opens_next, strict=True)):
                shown = ", ".join(map(str, self.hours))
                raise ValidationError("hours", shown, "intervals that do not overlap")
        weekdays = {span.trading_date(self.trading_date).weekday() for span in self.hours}
        for day in sorted(self.holidays):
            if day.weekday() not in weekdays:
                known = ", ".join(WEEKDAYS[n].capitalize() for n in sorted(weekdays))
                expected = f"a trading date of the hours ({known})"
                raise ValidationError("holidays", f"{day} ({day:%a})", expected)

    def _check_weeks(self) -> None:
        """Clocks change on other days in other zones: look at the weeks of some years."""
        weeks = (n * 7 * ONE_DAY for n in range(_WEEKS))
        before: SessionWindow | None = None
        for window in sorted(
            self._compile(span.later(week)) for week in weeks for span in self.hours
        ):
            wrong = window.open_ns >= window.close_ns or (
                before is not None
                and (window.open_ns < before.close_ns or window.trading_date < before.trading_date)
            )
            if wrong:
                shown = f"{', '.join(map(str, self.hours))} around {window.trading_date}"
                expected = "intervals that do not overlap, in the order of their trading dates"
                raise ValidationError("hours", shown, expected)
            before = window

    def _early_closes(self, moments: list[datetime]) -> tuple[EarlyClose, ...]:
        week, closes = replace(self, extra_open=()), dict[date, int]()
        for moment in sorted(moments):
            at_ns = wall_ns_of(moment)
            day = week._under_way(at_ns)
            if day is None or day in closes:
                expected = "a moment in trading hours, or in a break of a trading date; one a date"
                raise ValidationError("early_close", f"{moment:%Y-%m-%d %H:%M}", expected)
            closes[day] = at_ns
        return tuple(EarlyClose(day, at_ns) for day, at_ns in closes.items())

    def _under_way(self, at_ns: int) -> date | None:
        """The trading date that has begun at this instant and is not over, be it in a break."""
        near = list(self._opening_around(at_ns, LOOK_BEHIND_DAYS, LOOK_BEHIND_DAYS))
        begun = [window for window in near if window.open_ns <= at_ns]
        to_come = [window for window in near if at_ns < window.close_ns]
        if not begun or not to_come or begun[-1].trading_date != to_come[0].trading_date:
            return None
        return begun[-1].trading_date

    def _check_extra(self) -> None:
        closes = dict(self.early_close)
        for extra in map(self._compile, self.extra_open):
            shown = f"{_utc(extra.open_ns)} UTC"
            early_ns = closes.get(extra.trading_date)
            if early_ns is not None and extra.close_ns > early_ns:
                expected = (
                    f"nothing of {extra.trading_date} after {_utc(early_ns)} UTC, when its "
                    "early_close ends it"
                )
                raise ValidationError("extra_open", shown, expected)
            today = datetime_of(extra.open_ns).date()
            near = [w for n in range(-9, 10) for w in self._opening_on(today + n * ONE_DAY)]
            overlaps = [
                w for w in near if w.open_ns < extra.close_ns and extra.open_ns < w.close_ns
            ]
            if len(overlaps) != 1:  # it itself
                expected = "a time not open already, that closes after it opens"
                raise ValidationError("extra_open", shown, expected)
            dates = [window.trading_date for window in near]
            if dates != sorted(dates):
                expected = (
                    f"a place in the order of trading dates, not {extra.trading_date} amid another"
                )
                raise ValidationError("extra_open", shown, expected)


def _utc(at_ns: int) -> str:
    return f"{datetime_of(at_ns):%Y-%m-%d %H:%M}"


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

    def next_open_ns(self, wall_ns: int) -> int | None:
        """When the market opens next; None while it is open, or if not within 400 days."""
        window = self._current.after(wall_ns)
        return window.open_ns if window is not None and wall_ns < window.open_ns else None

    def next_close_ns(self, wall_ns: int) -> int | None:
        """When trading ends next; None if it never does, or does not begin within 400 days."""
        window = self._current.after(wall_ns)
        return window.close_ns if window is not None and not self.schedule.always_open else None

    def next_change_ns(self, wall_ns: int) -> int | None:
        """When trading ends, else when it begins next; None if not within 400 days."""
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
        try:
            if from_ns <= wall_ns < until_ns:
                return window
        except TypeError:
            expected = "whole nanoseconds since the epoch"
            raise ValidationError("wall_ns", wall_ns, expected) from None
        window = next(self._schedule.windows(wall_ns), None)
        # With nothing in sight, the view ahead is the same until the (UTC) day is over.
        until_ns = window.close_ns if window else (wall_ns // _ONE_DAY_NS + 1) * _ONE_DAY_NS
        self._cache = (wall_ns, until_ns, window)
        return window


def _dst_note(what: str, local: datetime) -> str:
    """Say so if the clocks skip this local time (the offset rises) or show it twice."""
    first, second = (local.replace(fold=n).utcoffset() or timedelta() for n in (0, 1))
    moved = "shifted forward" if first < second else "at the first of two"
    return f"DST: {what} {moved}" if first != second else ""
