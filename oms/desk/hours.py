"""Hours: the texts of a calendar's settings become spans of local time.

Flow:  sections -> [hours] -> calendar
A span knows its zones and what phases it says itself; it is about no certain week. Everything
here raises ValidationError, naming the setting, on a text that cannot be read.
"""

import re
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, time, timedelta, tzinfo
from typing import NamedTuple
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from oms.clock import NANOS, wall_ns_of
from oms.errors import ValidationError
from oms.money import to_units

ONE_DAY = timedelta(days=1)
MONDAY = date(2024, 1, 1)  # the hours are kept as the spans of this week
WEEKDAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_DAY = "(" + "|".join(WEEKDAYS) + ")"
_TIME = r"((?:[01]\d|2[0-3]):[0-5]\d(?::[0-5]\d)?)"
_END = _TIME[:-1] + r"|24:00(?::00)?)"  # 24:00 ends a day, and opens none
_ZONE = r"(?: ([a-z][\w+/-]*))?"
_TO = rf"{_TIME}{_ZONE} ?- ?(?:{_DAY} )?{_END}{_ZONE}((?: [a-z_]+=\S+)*)"
_FLAGS = re.ASCII | re.IGNORECASE
_INTERVAL = re.compile(rf"{_DAY}(?: ?- ?{_DAY})? {_TO}", _FLAGS)
_DATE = r"(20\d\d-\d\d-\d\d)"
_MOMENT = re.compile(rf"{_DATE} {_END}{_ZONE}", _FLAGS)
_EXTRA = re.compile(rf"{_DATE} {_TO}", _FLAGS)
PHASE_KEYS = ("pre_open_s", "opening_auction_s", "closing_auction_s")
PHASE_S_MAX = 86_400

PhaseTimes = tuple[tuple[str, int], ...]
"""How long phases of one window are, where it says so itself: pre_open_ns, ... -> nanoseconds."""


class LocalSpan(NamedTuple):
    """A window in local time, before the zones are applied."""

    open: datetime
    close: datetime
    open_zone: str
    close_zone: str
    phases: PhaseTimes = ()
    note: str = ""

    def instants(self) -> tuple[datetime, datetime]:
        """Open and close, each in its zone."""
        return (
            self.open.replace(tzinfo=zone_of(self.open_zone)),
            self.close.replace(tzinfo=zone_of(self.close_zone)),
        )

    def length_ns(self) -> int:
        """How long it is; not the same in every week if the zones differ."""
        opens, closes = self.instants()
        return wall_ns_of(closes) - wall_ns_of(opens)

    def trading_date(self, counts_for: str) -> date:
        """Of its open, or of its last moment: a close at midnight ends the day before."""
        if counts_for == "open":
            return self.open.date()
        return (self.close - timedelta.resolution).date()

    def later(self, by: timedelta) -> "LocalSpan":
        """The same, so many days on."""
        return self._replace(open=self.open + by, close=self.close + by)

    def __str__(self) -> str:
        return f"{self.open:%a %H:%M} - {self.close:%a %H:%M}"


def zone_of(name: str, field: str = "time_zone") -> tzinfo:
    """The zone of an IANA name; UTC needs no database. ValidationError if unknown."""
    try:
        return UTC if name == "UTC" else ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        expected = "an IANA zone such as Asia/Kolkata (if it is one, `pip install tzdata`)"
        raise ValidationError(field, name, expected) from None


def parse_hours(text: str, zone: str) -> tuple[LocalSpan, ...]:
    week: list[LocalSpan] = []
    for item in _items(text):
        item = f"Mon-Sun {item}" if item[:1].isdigit() else item
        match = _INTERVAL.fullmatch(item)
        if match is None or (match[2] and match[5]):
            expected = "intervals such as 'Mon-Fri 09:00-17:00' or 'Sun 17:05 - Mon 16:55'"
            raise ValidationError("hours", item, expected)
        first, last, *rest = match.groups()
        day = WEEKDAYS.index(first.lower())
        days = (WEEKDAYS.index(last.lower()) - day) % 7 + 1 if last else 1
        for n in range(day, day + days):
            week.append(_span("hours", item, MONDAY + n % 7 * ONE_DAY, rest, zone))
    return tuple(sorted(week))


def parse_extra(text: str, zone: str) -> Iterator[LocalSpan]:
    for item in _items(text):
        match = _EXTRA.fullmatch(item)
        day = _day(match[1]) if match is not None else None
        if match is None or day is None:
            expected = "items such as '2026-12-26 10:00-14:00', years 2000 to 2099"
            raise ValidationError("extra_open", item, expected)
        span = _span("extra_open", item, day, list(match.groups()[1:]), zone)
        yield span._replace(note="extra session")


def parse_holidays(text: str) -> Iterator[date]:
    items = _items(text)
    for item in items:
        day = _day(item) if re.fullmatch(_DATE, item) else None
        if day is None:
            raise ValidationError(
                "holidays", item, "items such as '2026-12-25', years 2000 to 2099"
            )
        if items.count(item) > 1:
            raise ValidationError("holidays", item, "each date once")
        yield day


def parse_moments(text: str, zone: str) -> list[datetime]:
    moments = list[datetime]()
    for item in _items(text):
        match = _MOMENT.fullmatch(item)
        day = _day(match[1]) if match is not None else None
        if match is None or day is None:
            expected = "items such as '2026-12-24 13:00', years 2000 to 2099"
            raise ValidationError("early_close", item, expected)
        zone_at = zone_of(match[3] or zone, "early_close")
        moments.append(_end(day, match[2]).replace(tzinfo=zone_at))
    return moments


READERS: dict[str, Callable[[str], object]] = {
    "time_zone": zone_of,
    "hours": lambda text: parse_hours(text, "UTC"),
    "holidays": lambda text: list(parse_holidays(text)),
    "early_close": lambda text: parse_moments(text, "UTC"),
    "extra_open": lambda text: list(parse_extra(text, "UTC")),
}


def _day(text: str) -> date | None:
    try:
        return date.fromisoformat(text)
    except ValueError:
        return None


def _end(day: date, text: str) -> datetime:
    """A time of day at which something may end: 24:00 is the midnight after the day."""
    if text.startswith("24"):
        return datetime.combine(day, time()) + ONE_DAY
    return datetime.combine(day, time.fromisoformat(text))


def _span(field: str, item: str, day: date, parts: list[str | None], zone: str) -> LocalSpan:
    """One window that opens on this day; parts: what _TO found in the item."""
    opens, open_zone, close_day, closes, close_zone, phases = parts
    assert opens is not None and closes is not None and phases is not None
    differ = open_zone is not None and open_zone != close_zone
    if differ and (close_zone is None or close_day is None):
        expected = "a zone behind the interval, or one behind each end, the second with its weekday"
        raise ValidationError(field, item, expected)
    opens_in, closes_in = open_zone or close_zone or zone, close_zone or zone
    for name in (opens_in, closes_in):
        zone_of(name, field)
    start = datetime.combine(day, time.fromisoformat(opens))
    end = _end(day, closes)
    step = ONE_DAY
    if close_day is not None:
        weekday = WEEKDAYS.index(close_day.lower())
        end, step = end + ((weekday - day.weekday()) % 7 - 7) * ONE_DAY, 7 * ONE_DAY
    span = LocalSpan(start, end, opens_in, closes_in, _own_phases(field, phases))
    while span.length_ns() <= 0 if differ else span.close <= span.open:
        span = span._replace(close=span.close + step)
    return span


def _own_phases(field: str, text: str) -> PhaseTimes:
    found = dict[str, int]()
    for item in text.split():
        key, _, value = item.partition("=")
        name = key.removesuffix("_s") + "_ns"
        known = key in PHASE_KEYS and name not in found and re.fullmatch("[0-9.]{1,19}", value)
        length_ns = to_units(key, value, 9) if known else -1
        if not 0 <= length_ns <= PHASE_S_MAX * NANOS:
            expected = f"each of {', '.join(PHASE_KEYS)} once at most, =0 to {PHASE_S_MAX}"
            raise ValidationError(field, item, expected)
        found[name] = length_ns
    return tuple(found.items())


def _items(text: str) -> list[str]:
    return [" ".join(item.split()) for item in re.split("[,\n]", text) if item.strip()]
