"""A naive calendar: what every minute belongs to, found by looking at what the clocks show.

It knows no windows that go on and no instants: it writes down, for each minute of some weeks,
what local clocks show, looks up when each interval opens and closes there, and then fills in
the minutes one by one. It is written from what the settings are for.
"""

from bisect import bisect_right
from datetime import date, datetime, time, timedelta
from typing import NamedTuple
from zoneinfo import ZoneInfo

DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
STANDARD = {"pre_open": 5, "opening_auction": 10, "closing_auction": 15}
"""Minutes, of an interval that says nothing of its own."""
MINUTE = timedelta(minutes=1)


class Interval(NamedTuple):
    """Of a week; minutes of the day. The close is the first such time after the open."""

    open_day: int
    open_minute: int
    close_day: int
    close_minute: int
    open_zone: str
    close_zone: str
    phases: tuple[int, int, int] | None = None


class Exceptions(NamedTuple):
    """early: day, minute, zone. extra: day, minute, minutes, in the calendar's zone."""

    holidays: set
    early: list
    extra: list


class Run(NamedTuple):
    """From one minute up to another."""

    start: int
    end: int
    trading_date: date
    phases: tuple[int, int, int]


def written(week, exceptions, zone):
    """As in config.ini."""
    items = []
    for each in week:
        opens, closes = _clock(each.open_minute), _clock(each.close_minute)
        first = f"{DAYS[each.open_day]} {opens}"
        if each.open_zone != each.close_zone:
            first += f" {each.open_zone}"
        last = f"{DAYS[each.close_day]} {closes}"
        if (each.open_zone, each.close_zone) != (zone, zone):
            last += f" {each.close_zone}"
        own = zip(STANDARD, each.phases or (), strict=False)
        items.append(" ".join([first, "-", last, *(f"{name}_s={n * 60}" for name, n in own)]))
    return {
        "hours": ", ".join(items),
        "holidays": ", ".join(map(str, exceptions.holidays)),
        "early_close": ", ".join(
            f"{day} {_clock(m)} {where}" for day, m, where in exceptions.early
        ),
        "extra_open": ", ".join(
            f"{day} {_clock(m)}-{_clock(m + length)}" for day, m, length in exceptions.extra
        ),
    }


def _clock(minute):
    return f"{minute // 60 % 24:02}:{minute % 60:02}"


def _local(day, minute):
    return datetime.combine(day, time()) + minute * MINUTE


def leaves_crossed(run, longer):
    """May what gathers in this window be left crossed, if calls last so many minutes longer?

    Orders that cross come in each minute; trading uncrosses them, and so does the end of the
    closing call, of which the minutes it may last longer are the last part.
    """
    pre, opening, closing = run.phases
    minutes = ["gathers"] * (pre + opening + (longer if opening else 0))
    trading = run.end - run.start - len(minutes) - closing
    if trading < 0 or 0 < closing <= longer:
        return True
    minutes += ["trades"] * trading
    crossed = False
    for what in minutes:
        crossed = what == "gathers"
    if opening and crossed:  # the closing call is no end of the opening call
        return True
    return crossed and not closing


class ReferenceCalendar:
    """So many minutes from a start in UTC."""

    def __init__(self, start, minutes):
        self.start, self.length = start, minutes
        self._clocks = {}

    def minute_of(self, zone, local):
        """The first minute that shows this; if none does, count on from the last one before."""
        if zone not in self._clocks:
            instants = (self.start + n * MINUTE for n in range(self.length))
            shown = [at.astimezone(ZoneInfo(zone)).replace(tzinfo=None, fold=0) for at in instants]
            first = {}
            for n, at in enumerate(shown):
                first.setdefault(at, n)
            self._clocks[zone] = first, sorted(first)
        first, shown = self._clocks[zone]
        if local in first:
            return first[local]
        if local < shown[0]:  # before the first minute, where no clock is changed
            return (local - shown[0]) // MINUTE
        before = shown[bisect_right(shown, local) - 1]
        return first[before] + (local - before) // MINUTE

    def _week_runs(self, week, counts_for):
        """When each interval is open, by rights; in order."""
        runs = []
        for offset in range(-1, self.length // 1440 + 1):
            day = self.start.date() + timedelta(offset)
            for each in week:
                if each.open_day != day.weekday():
                    continue
                start = self.minute_of(each.open_zone, _local(day, each.open_minute))
                close, end = self._close(each, day, start)
                last = close.date() if close.time() > time() else close.date() - timedelta(1)
                trading_date = day if counts_for == "open" else last
                phases = each.phases or tuple(STANDARD.values())
                runs.append(Run(start, end, trading_date, phases))
        return sorted(runs, key=lambda run: run[:2])

    @staticmethod
    def _apart(runs):
        """Those that a change of clocks moved into each other: the first one goes on."""
        closed, apart = -(10**9), []
        for run in runs:
            apart.append(run._replace(start=max(run.start, closed)))
            closed = max(closed, run.end)
        return apart

    def _close(self, each, day, start):
        """Walk on, day by day, to the first time that the interval's close is shown."""
        same_zone = each.open_zone == each.close_zone
        opens = _local(day, each.open_minute)
        for n in range(-2, 9):
            close = _local(day + timedelta(n), each.close_minute)
            if close.weekday() != each.close_day:
                continue
            end = self.minute_of(each.close_zone, close)
            if close > opens if same_zone else end > start:
                return close, end
        raise AssertionError(each)

    def _kept(self, week, exceptions, counts_for):
        runs = self._week_runs(week, counts_for)
        return [run for run in runs if run.trading_date not in exceptions.holidays]

    def _early_of(self, kept, exceptions):
        return self._early(self._apart(kept), exceptions)

    def _under_way(self, runs, minute):
        """The trading date of a minute: as it is open, or as before and after are of one."""
        before = [run for run in runs if run.start < run.end and run.start <= minute]
        after = [run for run in runs if run.start < run.end and minute < run.end]
        if before and after and before[-1].trading_date == after[0].trading_date:
            return after[0].trading_date
        return None

    def _early(self, runs, exceptions):
        """Minute by which each trading date is over; None for an early close of nothing."""
        ends = {}
        minutes = [self.minute_of(zone, _local(day, m)) for day, m, zone in exceptions.early]
        for minute in sorted(minutes):
            day = self._under_way(runs, minute)
            if day is None or day in ends:
                return None
            ends[day] = minute
        return ends

    def _all_runs(self, week, exceptions, zone, counts_for):
        runs = self._kept(week, exceptions, counts_for)
        ends = self._early_of(runs, exceptions) or {}
        runs = [run._replace(end=min(run.end, ends.get(run.trading_date, run.end))) for run in runs]
        return self._apart(runs), self._extra(exceptions, zone, counts_for)

    def _extra(self, exceptions, zone, counts_for):
        runs = []
        for day, minute, length in exceptions.extra:
            opens, closes = _local(day, minute), _local(day, minute + length)
            last = (closes - MINUTE).date()
            runs.append(
                Run(
                    self.minute_of(zone, opens), self.minute_of(zone, closes),
                    day if counts_for == "open" else last, tuple(STANDARD.values()),
                )
            )  # fmt: skip
        return runs

    def mistakes(self, week, exceptions, zone, counts_for):
        """The settings that say nothing, or say that something opens that is open."""
        found, plain = set(), self._week_runs(week, counts_for)
        if exceptions.holidays - {run.trading_date for run in plain}:
            found.add("holidays")
        if self._early_of(self._kept(week, exceptions, counts_for), exceptions) is None:
            found.add("early_close")
        runs, extra = self._all_runs(week, exceptions, zone, counts_for)
        taken = {minute for run in runs for minute in range(run.start, run.end)}
        if any(run.start >= run.end or taken & set(range(run.start, run.end)) for run in extra):
            found.add("extra_open")
        ends = self._early_of(self._kept(week, exceptions, counts_for), exceptions) or {}
        if any(run.trading_date in ends and run.end > ends[run.trading_date] for run in extra):
            found.add("extra_open")  # its trading date is over
        dates = [run.trading_date for run in sorted([*runs, *extra]) if run.start < run.end]
        if dates != sorted(dates):
            found.add("extra_open")  # one date would end while another goes on
        return found

    def without_room(self, week, exceptions, zone, counts_for, longer):
        """Settings of which a window is too short for its calls, with their latest ends."""
        found, kept = set(), self._kept(week, exceptions, counts_for)
        runs, extra = self._all_runs(week, exceptions, zone, counts_for)
        if any(leaves_crossed(run, longer) for run in self._week_runs(week, counts_for)):
            found.add("hours")
        if any(leaves_crossed(run, longer) for run in extra):
            found.add("extra_open")
        cut = [
            now for now, before in zip(runs, kept, strict=True) if now.start < now.end < before.end
        ]
        if any(leaves_crossed(run, longer) for run in cut):
            found.add("early_close")
        return found

    def minutes(self, week, exceptions, zone, counts_for):
        """minute -> trading date and phase, of those that are open."""
        found = {}
        runs, extra = self._all_runs(week, exceptions, zone, counts_for)
        for run in (*runs, *extra):
            pre, opening, closing = run.phases
            for minute in range(run.start, run.end):
                if minute < run.start + pre:
                    phase = "PRE_OPEN"
                elif minute < run.start + pre + opening:
                    phase = "OPENING_AUCTION"
                else:
                    phase = "CONTINUOUS" if minute < run.end - closing else "CLOSING_AUCTION"
                found[minute] = run.trading_date, phase
        return found
