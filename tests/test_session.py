"""The trading calendar, told by the wall clock."""

import sys
from datetime import UTC, date, datetime, timedelta
from itertools import islice, pairwise
from zoneinfo import ZoneInfo

import pytest
from freezegun import freeze_time
from hypothesis import given, settings
from hypothesis import strategies as st

import oms.desk.session as session_module
from oms.clock import NANOS, SystemClock, datetime_of, wall_ns_of
from oms.desk.session import FOREVER_NS, Schedule, SessionWindow, TradingSession
from oms.errors import ValidationError

MINUTE_NS = 60 * NANOS


def ns(text, zone="UTC"):
    """Wall time of local text such as "2024-03-04 09:00"."""
    return wall_ns_of(datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone)))


def session(hours="Mon-Fri 09:00-17:00", **settings):
    return TradingSession(Schedule.parse(hours=hours, **settings), 60, 900)


def shown(schedule, start, count=3):
    """The next windows as local text: open, close, note."""
    zone = ZoneInfo(schedule.zone)
    return [
        (
            f"{datetime_of(window.open_ns).astimezone(zone):%a %d %H:%M}",
            f"{datetime_of(window.close_ns).astimezone(zone):%a %d %H:%M}",
            window.note,
        )
        for window in islice(schedule.windows(ns(start)), count)
    ]


# --- the plain day ---


def test_the_market_is_open_from_nine_to_five():
    """A Monday, by the machine's clock; the day of an early order and a late one."""
    market, clock = session(), SystemClock()
    with freeze_time("2024-03-04 08:59:59") as frozen:
        # given a minute before nine it is closed
        assert not market.is_open(clock.wall_ns())

        # when the clock strikes nine, then it is open
        frozen.move_to("2024-03-04 09:00:00")
        assert market.is_open(clock.wall_ns())
        assert market.window_at(clock.wall_ns()).trading_date == date(2024, 3, 4)

        # and at five it is closed
        frozen.move_to("2024-03-04 16:59:59.999999")
        assert market.is_open(clock.wall_ns())
        frozen.move_to("2024-03-04 17:00:00")
        assert not market.is_open(clock.wall_ns())
        assert market.window_at(clock.wall_ns()) is None


def test_the_open_belongs_to_the_window_and_the_close_does_not():
    """Half-open, to the nanosecond."""
    market = session()
    opens, closes = ns("2024-03-04 09:00"), ns("2024-03-04 17:00")
    asked = [opens - 1, opens, closes - 1, closes]
    assert [market.is_open(at) for at in asked] == [False, True, True, False]


def test_the_next_change_is_the_open_then_the_close_then_monday():
    """Asked on Friday before, in and after the window."""
    market = session()
    opens, closes = ns("2024-03-08 09:00"), ns("2024-03-08 17:00")
    assert market.next_change_ns(opens - 1) == opens
    assert market.next_change_ns(opens) == closes
    assert market.next_change_ns(closes) == ns("2024-03-11 09:00")


def test_the_link_is_up_a_minute_before_and_a_quarter_of_an_hour_after():
    """Logon lead and logout grace, both half-open; logged_on is only a note of the keeper."""
    market = session()
    up, down = ns("2024-03-04 08:59"), ns("2024-03-04 17:15")
    asked = [up - 1, up, down - 1, down]
    assert [market.should_be_logged_on(at) for at in asked] == [False, True, True, False]
    assert market.logged_on is False


def test_the_link_stays_up_where_the_grace_meets_the_next_lead():
    """Two segments ten minutes apart, a grace of fifteen."""
    market = session("Mon-Fri 09:00-12:00, Mon-Fri 12:10-17:00")
    assert not market.is_open(ns("2024-03-04 12:05"))
    assert all(
        market.should_be_logged_on(ns("2024-03-04 11:59") + minute * MINUTE_NS)
        for minute in range(20)
    )


def test_the_wall_clock_may_jump_back():
    """NTP, or an operator, sets the clock back over the close: the market is open again."""
    market = session()
    # given it is closed for the night
    assert not market.is_open(ns("2024-03-04 17:00"))
    # when the clock is set back, then open, by an hour, and by a day
    assert market.is_open(ns("2024-03-04 16:00"))
    assert not market.is_open(ns("2024-03-03 12:00"))
    assert market.should_be_logged_on(ns("2024-03-04 16:00"))
    assert market.window_at(ns("2024-03-01 12:00")).trading_date == date(2024, 3, 1)


@given(st.lists(st.integers(0, 60 * 24 * 21), min_size=1, max_size=30))
@settings(deadline=None, max_examples=30)
def test_every_answer_is_a_function_of_the_instant(minutes):
    """Whatever it was asked before: the memory of a session changes no answer."""
    schedule = Schedule.parse(hours="Sun-Thu 18:00-17:00", holidays="2024-03-12")
    asked_often = TradingSession(schedule, 60, 900)
    for minute in minutes:
        at = ns("2024-03-01 00:00") + minute * MINUTE_NS
        fresh = TradingSession(schedule, 60, 900)
        for name in ("is_open", "window_at", "next_change_ns", "should_be_logged_on"):
            assert getattr(asked_often, name)(at) == getattr(fresh, name)(at)


# --- weeks of other shapes ---


def test_the_night_belongs_to_the_day_it_ends_on():
    """Futures: Sunday evening is Monday's trade, unless the setting says otherwise."""
    night = ns("2024-03-03 23:00")  # a Sunday
    assert session("Sun-Thu 18:00-17:00").window_at(night).trading_date == date(2024, 3, 4)
    by_open = session("Sun-Thu 18:00-17:00", trading_date="open")
    assert by_open.window_at(night).trading_date == date(2024, 3, 3)


def test_a_window_that_ends_at_midnight_counts_for_the_day_before():
    """Its last moment is on that day; the next one begins as it ends."""
    market = session("Mon-Sun 00:00-00:00")
    midnight = ns("2024-03-05 00:00")
    assert market.window_at(midnight - 1).trading_date == date(2024, 3, 4)
    assert market.window_at(midnight).trading_date == date(2024, 3, 5)
    assert market.next_change_ns(midnight - 1) == midnight


@pytest.mark.parametrize(
    ("hours", "expected"),
    [
        ("Sun 17:05 - Mon 16:55", ("Sun 03 17:05", "Mon 04 16:55", "")),
        ("sun 17:05-fri 16:55", ("Sun 03 17:05", "Fri 08 16:55", "")),
        ("Sun 17:05 - Sun 17:00", ("Sun 25 17:05", "Sun 03 17:00", "")),
        ("Sun - Mon 22:00 - 04:00", ("Sun 03 22:00", "Mon 04 04:00", "")),
        ("Fri 22:00:30-22:00:31", ("Fri 08 22:00", "Fri 08 22:00", "")),
    ],
)
def test_ways_to_write_an_interval(hours, expected):
    """With or without a closing weekday, capitals, blanks, seconds; asked on a Friday."""
    assert shown(Schedule.parse(hours=hours), "2024-03-01 23:00", 1) == [expected]


def test_a_week_long_window_is_found_from_any_day_of_it():
    """From Sunday to Sunday, with five minutes off."""
    market = session("Sun 17:05 - Sun 17:00")
    assert market.is_open(ns("2024-03-10 16:59"))
    assert not market.is_open(ns("2024-03-10 17:02"))


def test_always_open_needs_nothing_else():
    """One window without end: it never changes, and the link is always up."""
    market = session("", always_open=True)
    for at in (0, ns("2024-03-03 03:00"), FOREVER_NS - 1):
        assert market.is_open(at) and market.should_be_logged_on(at)
        assert market.next_change_ns(at) is None
    assert list(market.schedule.windows(0)) == [SessionWindow(0, FOREVER_NS, date(1970, 1, 1))]


# --- days out of the ordinary ---


def test_a_holiday_removes_what_opens_on_it():
    """An overnight window that opened the evening before runs into the holiday."""
    schedule = Schedule.parse(hours="Mon-Fri 18:00-02:00", holidays="2024-03-05")
    assert shown(schedule, "2024-03-04 12:00", 2) == [
        ("Mon 04 18:00", "Tue 05 02:00", ""),
        ("Wed 06 18:00", "Thu 07 02:00", ""),
    ]


def test_an_early_close_cuts_the_window_and_drops_the_afternoon():
    """Two segments; at 11:00 the day is over."""
    schedule = Schedule.parse(
        hours="Mon-Fri 09:00-12:00, Mon-Fri 13:00-17:00", early_close="2024-03-05 11:00"
    )
    assert shown(schedule, "2024-03-05 00:00", 2) == [
        ("Tue 05 09:00", "Tue 05 11:00", "early close"),
        ("Wed 06 09:00", "Wed 06 12:00", ""),
    ]


def test_an_early_close_in_the_break_drops_the_afternoon():
    """The morning is as ever."""
    schedule = Schedule.parse(
        hours="Mon-Fri 09:00-12:00, Mon-Fri 13:00-17:00", early_close="2024-03-05 12:30"
    )
    assert [opens for opens, _, _ in shown(schedule, "2024-03-05 00:00", 2)] == [
        "Tue 05 09:00",
        "Wed 06 09:00",
    ]


def test_an_early_close_of_the_night_session_leaves_the_next_evening_alone():
    """The window of Monday evening ends on Tuesday at 13:00; Tuesday evening opens."""
    schedule = Schedule.parse(hours="Sun-Thu 18:00-17:00", early_close="2024-03-05 13:00")
    assert shown(schedule, "2024-03-05 00:00", 2) == [
        ("Mon 04 18:00", "Tue 05 13:00", "early close"),
        ("Tue 05 18:00", "Wed 06 17:00", ""),
    ]


def test_a_window_that_closes_early_keeps_its_trading_date():
    """Cut before midnight, Monday evening still counts for Tuesday."""
    market = session("Sun-Thu 18:00-17:00", early_close="2024-03-04 23:00")
    assert market.window_at(ns("2024-03-04 22:00")).trading_date == date(2024, 3, 5)


def test_an_extra_session_opens_on_a_holiday():
    """As Indian exchanges do for an hour on the evening of Diwali."""
    schedule = Schedule.parse(
        hours="Mon-Fri 09:15-15:30",
        time_zone="Asia/Kolkata",
        holidays="2024-11-01",
        extra_open="2024-11-01 18:00-19:00",
    )
    assert shown(schedule, "2024-10-31 23:00", 2) == [
        ("Fri 01 18:00", "Fri 01 19:00", "extra session"),
        ("Mon 04 09:15", "Mon 04 15:30", ""),
    ]


def test_after_the_last_extra_session_nothing_changes_any_more():
    """The look-ahead is bounded: 400 days, then the iterator ends."""
    # given a week that is all holidays from now on
    days = [date(2024, 1, 1) + timedelta(days=n) for n in range(800)]
    market = session(
        "Mon-Fri 09:00-17:00",
        holidays=", ".join(map(str, days)),
        extra_open="2024-01-06 10:00-11:00",
    )
    # then there is the extra session, and after it nothing, each time one asks
    assert market.next_change_ns(ns("2024-01-01 00:00")) == ns("2024-01-06 10:00")
    for _ in range(3):
        assert market.next_change_ns(ns("2024-01-06 11:00")) is None
        assert not market.is_open(ns("2024-01-06 11:00"))
        assert not market.should_be_logged_on(ns("2024-01-07 11:00"))
    assert list(market.schedule.windows(ns("2024-01-06 11:00"))) == []


# --- when the clocks are changed ---


def test_a_time_that_is_skipped_moves_forward_by_the_gap():
    """New York, 2026-03-08: 02:00 is followed by 03:00, so 02:30 becomes 03:30."""
    market = session("Sun 02:30-06:00", time_zone="America/New_York")
    window = market.window_at(ns("2026-03-08 05:00", "America/New_York"))
    assert datetime_of(window.open_ns) == datetime(2026, 3, 8, 7, 30, tzinfo=UTC)
    assert window.note == "DST: opening shifted forward"
    assert not market.is_open(ns("2026-03-08 03:29", "America/New_York"))


def test_a_time_that_comes_twice_means_the_first():
    """New York, 2026-11-01: 02:00 is followed by 01:00, so 01:30 comes twice."""
    market = session("Sun 00:30-01:30", time_zone="America/New_York")
    window = market.window_at(ns("2026-11-01 00:30", "America/New_York"))
    assert datetime_of(window.close_ns) == datetime(2026, 11, 1, 5, 30, tzinfo=UTC)
    assert window.note == "DST: closing at the first of two"
    # an hour later the clocks show 01:00 again, and the market stays closed
    assert not market.is_open(wall_ns_of(datetime(2026, 11, 1, 6, 0, tzinfo=UTC)))


def test_a_window_that_the_gap_swallows_does_not_open():
    """02:50 becomes 03:50, which is after the close at 03:10."""
    schedule = Schedule.parse(
        hours="Sun 02:50-03:10, Mon 09:00-10:00", time_zone="America/New_York"
    )
    assert shown(schedule, "2026-03-08 00:00", 1) == [("Mon 09 09:00", "Mon 09 10:00", "")]


def test_windows_that_the_gap_pushes_together_do_not_overlap():
    """The first closes at 02:50, now 03:50, so the second opens only then."""
    schedule = Schedule.parse(
        hours="Sun 01:00-02:50, Sun 03:10-05:00", time_zone="America/New_York"
    )
    assert shown(schedule, "2026-03-08 00:00", 2) == [
        ("Sun 08 01:00", "Sun 08 03:50", "DST: closing shifted forward"),
        ("Sun 08 03:50", "Sun 08 05:00", ""),
    ]


CHANGES = {
    "America/New_York": ("2026-03-08", "2026-11-01"),
    "Europe/London": ("2026-03-29", "2026-10-25"),
    "Australia/Lord_Howe": ("2026-04-05", "2026-10-04"),  # by half an hour
    "Asia/Kolkata": ("2026-03-08", "2026-11-01"),  # never
}
DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")


class Twin:
    """A week told minute by minute: a list of what the local clock shows at each."""

    def __init__(self, zone, middle):
        self.first = (
            int(datetime.fromisoformat(f"{middle} 00:00+00:00").timestamp()) // 60 - 7 * 1440
        )
        self.shows = [
            datetime.fromtimestamp((self.first + n) * 60, ZoneInfo(zone)).replace(
                tzinfo=None, fold=0
            )
            for n in range(14 * 1440)
        ]
        self.found = {}
        for n, local in enumerate(self.shows):
            self.found.setdefault(local, n)

    def minute_of(self, local):
        """The first minute the clock shows this; else as many after the gap's start as it asks."""
        if local in self.found:
            return self.found[local]
        last = max(n for n, shown in enumerate(self.shows) if shown < local)
        return last + round((local - self.shows[last]).total_seconds()) // 60

    def open_minutes(self, intervals, holidays):
        """Every minute in which one of (weekday, open, length in minutes) is open."""
        minutes = set()
        day = self.shows[1440].replace(hour=0, minute=0)
        for day in (day + timedelta(days=n) for n in range(11)):
            for weekday, start, length in intervals:
                if weekday == day.weekday() and day.date() not in holidays:
                    opens = day + timedelta(minutes=start)
                    closes = opens + timedelta(minutes=length)
                    minutes.update(range(self.minute_of(opens), self.minute_of(closes)))
        return minutes


TWINS = {(zone, day): Twin(zone, day) for zone, days in CHANGES.items() for day in days}


@st.composite
def weeks(draw):
    """Intervals that do not overlap, up to a day long: weekday, open minute, length."""
    # Around 02:00, where clocks are changed, more often than anywhere else.
    minute = st.one_of(st.integers(0, 7 * 1440), st.integers(6 * 1440 + 60, 6 * 1440 + 240))
    marks = sorted(draw(st.sets(minute, min_size=2, max_size=10)))
    return [
        (opens // 1440, opens % 1440, min(closes - opens, 1440))
        for opens, closes in list(pairwise(marks))[::2]
        if opens < 7 * 1440
    ]


@given(
    where=st.sampled_from(sorted(TWINS)),
    intervals=weeks(),
    holidays=st.sets(st.integers(-3, 3), max_size=2),
)
@settings(deadline=None, max_examples=150)
def test_the_calendar_and_a_minute_by_minute_twin_agree(where, intervals, holidays):
    """Any week, in the days around a change of clocks, in zones with changes of all kinds."""
    # given a week, some holidays, and the twin's open minutes
    zone, middle = where
    twin = TWINS[where]
    days = {date.fromisoformat(middle) + timedelta(days=n) for n in holidays}
    expected = twin.open_minutes(intervals, days)

    # when the same week is written down and read
    market = TradingSession(
        Schedule.parse(
            hours=", ".join(f"{DAYS[day]} {clock(at)}-{clock(at + n)}" for day, at, n in intervals),
            time_zone=zone,
            holidays=", ".join(map(str, days)),
        ),
        0,
        0,
    )

    # then both say the same about each minute of the six days around the change
    for minute in range(4 * 1440, 10 * 1440):
        at = (twin.first + minute) * MINUTE_NS
        assert market.is_open(at) == (minute in expected), datetime_of(at)


def clock(minute):
    return f"{minute // 60 % 24:02}:{minute % 60:02}"


@given(where=st.sampled_from(sorted(TWINS)), intervals=weeks())
@settings(deadline=None, max_examples=50)
def test_windows_come_in_order_and_never_overlap(where, intervals):
    """And are never empty; the first is the one open at the start, or the next."""
    hours = ", ".join(f"{DAYS[day]} {clock(at)}-{clock(at + n)}" for day, at, n in intervals)
    schedule = Schedule.parse(hours=hours, time_zone=where[0])
    start = ns(f"{where[1]} 00:00")
    windows = list(islice(schedule.windows(start), 20))
    assert all(window.open_ns < window.close_ns for window in windows)
    assert all(first.close_ns <= then.open_ns for first, then in pairwise(windows))
    assert windows[0].close_ns > start


# --- mistakes ---


@pytest.mark.parametrize(
    ("field", "text"),
    [
        ("hours", ""),
        ("hours", "Mon-Fri 9:00-17:00"),
        ("hours", "Mon-Fri 09:00-24:00"),
        ("hours", "Mo 09:00-17:00"),
        ("hours", "Mon-Wed 09:00 - Thu 17:00"),
        ("hours", "Mon-Fri 09:00-17:00, Wed 16:59-18:00"),
        ("hours", "Mon 09:00-17:00, Mon 09:00-17:00"),
        ("hours", "Sun 18:00-02:00, Mon 01:59-03:00"),
        ("time_zone", "Mars/Olympus"),
        ("time_zone", ""),
        ("time_zone", "../etc/passwd"),
        ("holidays", "2026-02-30"),
        ("holidays", "2026-12-25 13:00"),
        ("holidays", "1999-12-25"),
        ("early_close", "2026-12-24"),
        ("early_close", "2026-12-26 13:00"),  # a Saturday: nothing to close
        ("early_close", "2026-12-24 17:00"),  # when it closes anyway
        ("extra_open", "2026-12-26"),
        ("extra_open", "2026-12-26 10:00-25:00"),
        ("extra_open", "2026-12-24 16:59-18:00"),  # open already
        ("extra_open", "2026-12-26 10:00-12:00, 2026-12-26 11:00-13:00"),
    ],
)
def test_a_mistake_names_its_field(field, text):
    """Else an ordinary week."""
    settings = {"hours": "Mon-Fri 09:00-17:00", field: text}
    with pytest.raises(ValidationError, match=f"^{field}: expected ") as caught:
        Schedule.parse(**settings)
    assert caught.value.field == field


def test_windows_may_touch():
    """Where one closes as the next opens, nothing overlaps."""
    schedule = Schedule.parse(
        hours="Mon 09:00-12:00, Mon 12:00-17:00", extra_open="2024-03-04 17:00-18:00"
    )
    assert len(shown(schedule, "2024-03-04 00:00")) == 3


def test_utc_needs_no_database_of_zones(monkeypatch):
    """As on Windows, where Python has none of its own; other zones say what to install."""
    monkeypatch.setattr(session_module, "ZoneInfo", _no_zone)
    assert TradingSession(Schedule.parse(hours="Mon 09:00-17:00"), 0, 0).is_open(
        wall_ns_of(datetime(2024, 3, 4, 9, tzinfo=UTC))
    )
    with pytest.raises(ValidationError, match="pip install tzdata"):
        Schedule.parse(hours="Mon 09:00-17:00", time_zone="Europe/London")


def _no_zone(name):
    raise session_module.ZoneInfoNotFoundError(name)


def test_the_module_reads_no_clock():
    """Every instant is an argument."""
    assert "time" not in {
        name for name, it in vars(session_module).items() if it is sys.modules["time"]
    }
