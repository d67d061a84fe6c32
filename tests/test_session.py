"""The trading calendar, told by the wall clock."""

from datetime import UTC, date, datetime, timedelta
from itertools import islice, pairwise
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import pytest
from freezegun import freeze_time
from hypothesis import given, settings
from hypothesis import strategies as st

from oms.clock import NANOS, SystemClock, datetime_of, wall_ns_of
from oms.desk import hours as hours_module
from oms.desk.calendar import Schedule, SessionWindow, TradingSession
from oms.errors import ValidationError
from oms.turn.schedule import phase_at
from tests.examples import many
from tests.reference_calendar import STANDARD, Exceptions, Interval, ReferenceCalendar, written

MINUTE_NS = 60 * NANOS
OFFICE = "Mon-Fri 09:00-17:00"
FUTURES = "Sun-Thu 18:00-17:00"
NEW_YORK = "America/New_York"


def ns(text):
    """Wall time of a UTC text such as "2024-03-04 09:00"."""
    return wall_ns_of(datetime.fromisoformat(text).replace(tzinfo=UTC))


def market(hours=OFFICE, **more):
    return TradingSession(Schedule.parse(hours=hours, **more), 60, 900)


# --- a plain day ---


def test_the_market_is_open_from_nine_to_five():
    """A Monday, by the machine's clock."""
    session, clock = market(), SystemClock()
    with freeze_time("2024-03-04 08:59:59.999999") as frozen:
        # given it is closed before nine
        assert not session.is_open(clock.wall_ns())
        # when the clock strikes nine, then it is open
        frozen.move_to("2024-03-04 09:00:00")
        assert session.window_at(clock.wall_ns()).trading_date == date(2024, 3, 4)
        # and at five it is closed
        frozen.move_to("2024-03-04 16:59:59.999999")
        assert session.is_open(clock.wall_ns())
        frozen.move_to("2024-03-04 17:00:00")
        assert session.window_at(clock.wall_ns()) is None


def test_a_window_has_its_open_and_not_its_close():
    """Half-open, to the nanosecond; and so is the time of the link, a minute to a quarter."""
    session = market()
    opens, closes = ns("2024-03-08 09:00"), ns("2024-03-08 17:00")
    edges = [opens - 1, opens, closes - 1, closes]
    assert [session.is_open(at) for at in edges] == [False, True, True, False]
    edges = [opens - 60 * NANOS - 1, opens - 60 * NANOS, closes + 900 * NANOS - 1]
    assert [session.should_be_logged_on(at) for at in edges] == [False, True, True]
    assert not session.should_be_logged_on(closes + 900 * NANOS)
    assert session.logged_on is False  # what is, not what should be: the keeper's to set
    # the next change is the open, then the close, then Monday's open
    changes = [session.next_change_ns(at) for at in (opens - 1, opens, closes)]
    assert changes == [opens, closes, ns("2024-03-11 09:00")]


def test_the_link_stays_up_where_the_grace_meets_the_next_lead():
    """Two segments ten minutes apart, and a grace of fifteen."""
    session = market("Mon 09:00-12:00, Mon 12:10-17:00")
    assert not session.is_open(ns("2024-03-04 12:05"))
    minutes = range(ns("2024-03-04 11:59"), ns("2024-03-04 12:20"), MINUTE_NS)
    assert all(session.should_be_logged_on(at) for at in minutes)


def test_the_wall_clock_may_jump_back():
    """NTP, or an operator, sets the clock back over the close."""
    # given it is closed for the night
    session = market()
    assert not session.is_open(ns("2024-03-04 17:00"))
    # when the clock goes back an hour, a day, a weekend; then only the new time counts
    assert session.is_open(ns("2024-03-04 16:00"))
    assert not session.is_open(ns("2024-03-03 16:00"))
    assert session.window_at(ns("2024-03-01 12:00")).trading_date == date(2024, 3, 1)


@given(st.lists(st.integers(0, 21 * 1440), max_size=30))
@settings(max_examples=many(30))
def test_every_answer_is_a_function_of_the_instant(minutes):
    """What was asked before changes no answer."""
    old = market(FUTURES, holidays="2024-03-12")
    for at in (ns("2024-03-01 00:00") + minute * MINUTE_NS for minute in minutes):
        new = TradingSession(old.schedule, 60, 900)
        for name in ("is_open", "window_at", "next_change_ns", "should_be_logged_on"):
            assert getattr(old, name)(at) == getattr(new, name)(at)


def test_always_open_needs_nothing_else():
    """It never closes, and the link is always up."""
    session = market("", always_open=True)
    for at in (0, ns("2024-03-03 03:00"), ns("2100-01-01 00:00")):
        assert session.is_open(at) and session.should_be_logged_on(at)
        assert session.next_change_ns(at) is None and session.next_open_ns(at) is None
    assert next(session.schedule.windows(0)) == SessionWindow(0, 86_400 * NANOS, date(1970, 1, 1))


def test_when_the_market_opens_next():
    """Over the weekend; nothing while it is open, nor if all to come are holidays."""
    session = market()
    assert session.next_open_ns(ns("2024-03-08 16:59")) is None
    for at in ("2024-03-08 17:00", "2024-03-10 12:00", "2024-03-11 08:59"):
        assert session.next_open_ns(ns(at)) == ns("2024-03-11 09:00")
    days = ", ".join(str(date(2024, 1, 1) + timedelta(n)) for n in range(800) if n % 7 < 5)
    assert market(holidays=days).next_open_ns(ns("2024-01-01 00:00")) is None


@given(
    st.sampled_from([NEW_YORK, "Asia/Kolkata", "Australia/Lord_Howe", "Africa/Cairo", "UTC"]),
    st.datetimes(datetime(2000, 1, 1), datetime(2099, 1, 1)),
)
def test_always_open_has_the_date_of_its_zone(zone, at):
    """Days follow each other without a gap; also where clocks skip midnight, as in Cairo."""
    at_ns = wall_ns_of(at.replace(tzinfo=UTC))
    schedule = market("", always_open=True, time_zone=zone).schedule
    today, tomorrow = islice(schedule.windows(at_ns), 2)
    assert today.open_ns <= at_ns < today.close_ns == tomorrow.open_ns
    local = datetime_of(at_ns).astimezone(ZoneInfo(zone))
    assert today.trading_date == local.date()
    assert tomorrow.trading_date == local.date() + timedelta(days=1)


def test_the_view_ahead_is_bounded():
    """All holidays from now on: after the one extra session nothing changes any more."""
    days = ", ".join(str(date(2024, 1, 1) + timedelta(n)) for n in range(800) if n % 7 < 5)
    session = market(holidays=days, extra_open="2024-01-06 10:00-11:00")
    assert session.next_change_ns(ns("2024-01-01 00:00")) == ns("2024-01-06 10:00")
    for at in (ns("2024-01-06 11:00"), ns("2024-01-06 12:00"), ns("2024-01-06 11:30")):
        assert session.next_change_ns(at) is None and not session.is_open(at)
    assert not session.should_be_logged_on(ns("2024-01-06 11:15"))


# --- days and weeks of other shapes ---

STORIES = """
a weekday is that of the open
hours = Sun 17:05 - Mon 16:55
Sun 03 17:05 - Mon 04 16:55

capitals and blanks do not matter
hours = sun-mon  22:00 - 04:00
Sun 03 22:00 - Mon 04 04:00
Mon 04 22:00 - Tue 05 04:00

a window may last a week, and be open for long already
hours = Wed 17:05 - Wed 17:00
Wed 28 17:05 - Wed 06 17:00
Wed 06 17:05 - Wed 13 17:00

windows may touch
hours = Mon 09:00-12:00, Mon 12:00-17:00
extra_open = 2024-03-04 17:00-18:00
Mon 04 09:00 - Mon 04 12:00
Mon 04 12:00 - Mon 04 17:00
Mon 04 17:00 - Mon 04 18:00 extra session

midnight may be told as the end of a day
hours = Sun 20:00-24:00, Mon 22:00 - Tue 24:00
extra_open = 2024-03-07 10:00-24:00:00
Sun 03 20:00 - Mon 04 00:00
Mon 04 22:00 - Wed 06 00:00
Thu 07 10:00 - Fri 08 00:00 extra session

an early close at midnight
hours = Mon 18:00 - Tue 17:00
early_close = 2024-03-04 24:00
Mon 04 18:00 - Tue 05 00:00 early close

a holiday is a trading date, wherever its window opens
hours = Mon-Fri 18:00-02:00
holidays = 2024-03-05
Tue 05 18:00 - Wed 06 02:00
Wed 06 18:00 - Thu 07 02:00

or ends
hours = Mon-Fri 18:00-02:00
trading_date = open
holidays = 2024-03-05
Mon 04 18:00 - Tue 05 02:00
Wed 06 18:00 - Thu 07 02:00

an evening and a morning of one trading date have their holiday together
hours = Sun-Thu 20:00-02:00, Mon-Fri 08:00-17:00
holidays = 2024-03-05
Sun 03 20:00 - Mon 04 02:00
Mon 04 08:00 - Mon 04 17:00
Tue 05 20:00 - Wed 06 02:00

a week that is one window has its holiday on the day it ends
hours = Sun 17:05 - Fri 16:55
holidays = 2024-03-08
Sun 10 17:05 - Fri 15 16:55

after an early close at night the day does not open
hours = Sun-Thu 20:00-02:00, Mon-Fri 08:00-17:00
early_close = 2024-03-04 22:00
Sun 03 20:00 - Mon 04 02:00
Mon 04 08:00 - Mon 04 17:00
Mon 04 20:00 - Mon 04 22:00 early close
Tue 05 20:00 - Wed 06 02:00

an early close may be in the break of a trading date, beyond midnight
hours = Sun-Thu 20:00-02:00, Mon-Fri 08:00-17:00
early_close = 2024-03-05 07:00
Sun 03 20:00 - Mon 04 02:00
Mon 04 08:00 - Mon 04 17:00
Mon 04 20:00 - Tue 05 02:00
Tue 05 20:00 - Wed 06 02:00

an early close as it opens leaves nothing
hours = Sun-Thu 18:00-17:00
early_close = 2024-03-04 18:00
Sun 03 18:00 - Mon 04 17:00
Tue 05 18:00 - Wed 06 17:00

an early close may be told in another zone
hours = Mon-Fri 09:00-17:00
early_close = 2024-03-04 20:00 Asia/Tokyo
Mon 04 09:00 - Mon 04 11:00 early close
Tue 05 09:00 - Tue 05 17:00

the week of foreign exchange begins in Sydney and ends in New York
hours = Mon 05:00 Australia/Sydney - Fri 17:00 America/New_York
Sun 03 18:00 - Fri 08 22:00
Sun 10 18:00 - Fri 15 21:00

one zone behind the interval is for both ends
hours = Mon-Fri 09:00-17:00 Asia/Tokyo, Mon-Fri 09:00-17:00 Europe/London
Mon 04 00:00 - Mon 04 08:00
Mon 04 09:00 - Mon 04 17:00

an interval may close on the weekday before, elsewhere
hours = Mon 00:30 Australia/Sydney - Sun 20:00 America/New_York
Sun 03 13:30 - Mon 04 01:00

an extra session may be elsewhere
hours = Tue 09:00-17:00
extra_open = 2024-03-04 09:00 Asia/Tokyo - Mon 17:00 America/New_York
Mon 04 00:00 - Mon 04 22:00 extra session

an extra session opens on a holiday too
hours = Mon-Fri 09:00-17:00
holidays = 2024-03-04
extra_open = 2024-03-04 18:00 - 19:00
Mon 04 18:00 - Mon 04 19:00 extra session
Tue 05 09:00 - Tue 05 17:00

after an early close the afternoon does not open
hours = Mon-Fri 09:00-12:00, Mon-Fri 13:00-17:00
early_close = 2024-03-04 11:00
Mon 04 09:00 - Mon 04 11:00 early close
Tue 05 09:00 - Tue 05 12:00

an early close may fall into the break
hours = Mon-Fri 09:00-12:00, Mon-Fri 13:00-17:00
early_close = 2024-03-04 12:30
Mon 04 09:00 - Mon 04 12:00
Tue 05 09:00 - Tue 05 12:00

an early close leaves the next evening alone
hours = Sun-Thu 18:00-17:00
early_close = 2024-03-04 13:00
Sun 03 18:00 - Mon 04 13:00 early close
Mon 04 18:00 - Tue 05 17:00

what is skipped moves forward by the gap
hours = Sun 02:30-06:00
time_zone = America/New_York
Sun 10 03:30 - Sun 10 06:00 DST: opening shifted forward

a window may vanish in the gap
hours = Sun 02:50-03:10, Mon 09:00-10:00
time_zone = America/New_York
Mon 04 09:00 - Mon 04 10:00
Mon 11 09:00 - Mon 11 10:00

windows that the gap pushes together do not overlap
hours = Sun 01:00-02:50, Sun 03:10-05:00
time_zone = America/New_York
Sun 10 01:00 - Sun 10 03:50 DST: closing shifted forward
Sun 10 03:50 - Sun 10 05:00
""".strip().split("\n\n")


@pytest.mark.parametrize("story", STORIES, ids=lambda story: story.partition("\n")[0])
def test_the_next_windows(story):
    """Local windows from Sunday 2024-03-03 12:00 UTC on; New York skips 02:00 a week later."""
    lines = story.splitlines()[1:]
    schedule = Schedule.parse(**dict(line.split(" = ") for line in lines if " = " in line))
    expected = [line for line in lines if " = " not in line]

    def local(wall_ns):
        return f"{datetime_of(wall_ns).astimezone(ZoneInfo(schedule.zone)):%a %d %H:%M}"

    windows = islice(schedule.windows(ns("2024-03-03 12:00")), len(expected))
    shown = [f"{local(w.open_ns)} - {local(w.close_ns)} {w.note}".strip() for w in windows]
    assert shown == expected


def test_what_comes_twice_means_the_first():
    """New York, 2026-11-01: at 06:00 UTC the clocks show 01:00 again."""
    session = market("Sun 00:30-01:30", time_zone=NEW_YORK)
    window = session.window_at(ns("2026-11-01 05:29"))
    assert window.note == "DST: closing at the first of two"
    assert window.close_ns == ns("2026-11-01 05:30")
    assert not session.is_open(ns("2026-11-01 06:00"))


@pytest.mark.parametrize(
    ("more", "at", "expected"),
    [
        ({"hours": FUTURES}, "2024-03-03 20:00", date(2024, 3, 4)),
        ({"hours": FUTURES, "trading_date": "open"}, "2024-03-03 20:00", date(2024, 3, 3)),
        (
            {"hours": FUTURES, "early_close": "2024-03-03 22:00"},
            "2024-03-03 20:00",
            date(2024, 3, 4),
        ),
        ({"hours": "Mon-Sun 00:00-00:00"}, "2024-03-03 23:59", date(2024, 3, 3)),
    ],
)
def test_the_day_a_window_counts_for(more, at, expected):
    """That of its last moment, even if it closed early; or that of its open."""
    assert market(**more).window_at(ns(at)).trading_date == expected


# --- any week, around a change of clocks, against a minute by minute twin ---

CHANGES = [
    (NEW_YORK, date(2026, 3, 8)),
    (NEW_YORK, date(2026, 11, 1)),
    ("Europe/London", date(2026, 3, 29)),
    ("Europe/London", date(2026, 10, 25)),
    ("Australia/Lord_Howe", date(2026, 4, 5)),  # by half an hour
    ("Australia/Lord_Howe", date(2026, 10, 4)),
    ("Asia/Kolkata", date(2026, 3, 8)),  # never
]
ELSEWHERE = [
    [Interval(0, 300, 4, 1020, "Australia/Sydney", NEW_YORK)],  # Mon 05:00 to Fri 17:00
    [Interval(0, 30, 6, 1200, "Australia/Sydney", NEW_YORK)],  # Mon 00:30 to Sun 20:00
    [
        Interval(day, minute, day, minute + 180, zone, zone)
        for day in range(5)
        for zone, minute in (("Asia/Tokyo", 540), ("Europe/London", 540), (NEW_YORK, 780))
    ],
]
TWINS = {}


@st.composite
def weeks(draw, zone):
    """Intervals apart from each other, up to three days long, some with phases of their own."""
    # Around 02:00 on Sunday, where clocks are changed, as often as anywhere else.
    minute = st.one_of(st.integers(0, 7 * 1440), st.integers(6 * 1440 + 60, 6 * 1440 + 240))
    marks = sorted(draw(st.sets(minute, min_size=2, max_size=10)))
    week = []
    for opens, closes in list(pairwise(marks))[::2]:
        closes = min(closes, opens + 3 * 1440)
        days = (opens // 1440, closes // 1440 % 7)
        week.append(Interval(days[0], opens % 1440, days[1], closes % 1440, zone, zone))
    return week


@st.composite
def calendars(draw):
    """A change of clocks, and a calendar with exceptions about it, as the twin has it."""
    zone, change = draw(st.sampled_from(CHANGES))
    week = draw(st.one_of(weeks(zone), weeks(zone), st.sampled_from(ELSEWHERE)))
    length = st.integers(0, 90)
    phases = st.tuples(length, length, length)
    week = [each._replace(phases=draw(st.one_of(st.none(), phases))) for each in week]
    day = st.integers(-3, 3).map(lambda n: change + timedelta(n))
    minute = st.integers(0, 1439)
    inside = st.tuples(st.sampled_from(week), st.integers(0, 700)).map(
        lambda drawn: _minutes_into(*drawn, change)
    )
    exceptions = Exceptions(
        holidays=draw(st.sets(day, max_size=2)),
        early=draw(st.lists(inside, max_size=2)),
        extra=draw(st.lists(st.tuples(day, minute, st.integers(1, 300)), max_size=1)),
    )  # fmt: skip
    return zone, change, week, exceptions, draw(st.sampled_from(["close", "open"]))


def _minutes_into(interval, minutes, change):
    """So long after an interval opens, in the days around the change: an early close."""
    days = (change + timedelta(n) for n in range(-3, 4))
    opens = next(day for day in days if day.weekday() == interval.open_day)
    minutes += interval.open_minute
    return opens + timedelta(minutes // 1440), minutes % 1440, interval.open_zone


@given(calendars())
@settings(max_examples=many(200))
def test_the_calendar_and_its_twin_agree(calendar):
    """About date and phase of every minute of the six days around the change; if it is refused,
    the twin agrees that the setting says nothing, or too much."""
    zone, change, week, exceptions, counts_for = calendar
    start = datetime.combine(change - timedelta(8), datetime.min.time(), UTC)
    twin = TWINS.setdefault((zone, change), ReferenceCalendar(start, 17 * 1440))
    texts = {name: written(week, exceptions, zone)[name] for name in
             ("hours", "holidays", "early_close", "extra_open")}  # fmt: skip
    mistakes = twin.mistakes(week, exceptions, zone, counts_for)
    try:
        session = market(time_zone=zone, trading_date=counts_for, **texts)
    except ValidationError as error:
        assert error.field in mistakes, error
        return
    assert mistakes == set()
    expected = twin.minutes(week, exceptions, zone, counts_for)
    standard = {"phases": {f"{name}_ns": n * MINUTE_NS for name, n in STANDARD.items()}}
    for minute in range(5 * 1440, 11 * 1440):
        at = wall_ns_of(start) + minute * MINUTE_NS
        window = session.window_at(at)
        seen = window and (window.trading_date, phase_at(standard, window, at).value)
        assert seen == expected.get(minute), datetime_of(at)
    # and windows come in order, apart from each other, never empty
    edges = [
        (w.open_ns, w.close_ns) for w in islice(session.schedule.windows(wall_ns_of(start)), 20)
    ]
    assert all(opens < closes for opens, closes in edges)
    assert all(closes <= opens for (_, closes), (opens, _) in pairwise(edges))


def test_a_year_of_futures_and_its_twin_agree():
    """CME's week, with each kind of exception, over all changes of clocks in Chicago."""
    # given
    week = [Interval(day % 7, 1020, (day + 1) % 7, 960, "America/Chicago", "America/Chicago")
            for day in range(6, 11)]  # fmt: skip
    exceptions = Exceptions(
        holidays={date(2026, 12, 25), date(2026, 4, 3)},
        early=[(date(2026, 12, 24), 735, "America/Chicago"), (date(2026, 7, 3), 720, "UTC")],
        extra=[(date(2026, 12, 26), 600, 60)],
    )
    start = datetime(2026, 1, 1, tzinfo=UTC)
    twin = ReferenceCalendar(start, 370 * 1440)
    session = market(time_zone="America/Chicago", **written(week, exceptions, "America/Chicago"))

    # then every minute agrees, and on Christmas Day nothing was open, nor on its eve in the evening
    expected = twin.minutes(week, exceptions, "America/Chicago", "close")
    for minute in range(1440, 365 * 1440, 7):
        window = session.window_at(wall_ns_of(start) + minute * MINUTE_NS)
        assert (window and window.trading_date) == expected.get(minute, (None,))[0]
    eve, morning = ns("2026-12-24 18:15"), ns("2026-12-26 16:00")
    assert [session.is_open(at) for at in (eve - 1, eve, morning - 1)] == [True, False, False]
    assert session.next_change_ns(eve) == morning


# --- mistakes ---


MISTAKES = """
hours =
hours = Mon-Fri 9:00-17:00
hours = Mon-Fri 24:00-09:00
hours = Mon-Fri 09:00-24:01
extra_open = 2026-12-26 24:00-24:00
early_close = 2026-12-24 24:30
hours = Mo 09:00-17:00
hours = Mon-Wed 09:00 - Thu 17:00
hours = Mon-Fri 09:00-17:00, Wed 16:59-18:00
hours = Sun 18:00-02:00, Mon 01:59-03:00
hours = Mon 09:00 Mars/Olympus - Mon 17:00 UTC
hours = Mon 09:00 Asia/Tokyo - Mon 17:00
hours = Mon 09:00 Asia/Tokyo - 17:00 UTC
hours = Mon 08:00-17:00 Europe/London, Mon 12:00-17:00 America/New_York
hours = Mon 20:30-21:00 America/New_York, Tue 08:00-08:15 Asia/Tokyo
hours = Mon 09:00-17:00 lunch_s=5
hours = Mon 09:00-17:00 pre_open_s=5 pre_open_s=5
hours = Mon 09:00-17:00 pre_open_s=86401
hours = Mon 09:00-17:00 pre_open_s=-1
time_zone = Mars/Olympus
time_zone = ../etc/passwd
holidays = 2026-02-30
holidays = 2026-12-25 13:00
holidays = 2026-12-26
holidays = 2026-12-24, 2026-12-25, 2026-12-24
early_close = 2026-12-24
early_close = 2026-12-26 13:00
early_close = 2026-12-24 17:00
early_close = 2026-12-24 08:59
early_close = 2026-12-24 12:00, 2026-12-24 13:00
early_close = 2026-12-24 13:00 Mars/Olympus
extra_open = 2026-12-26 10:00-25:00
extra_open = 2026-12-24 16:59-18:00
extra_open = 2026-12-26 10:00-14:00 Mars/Olympus
extra_open = 2026-12-26 10:00-12:00, 2026-12-26 11:00-13:00
""".strip().splitlines()


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_names_its_field(mistake):
    """In a week that is fine but for this; 2026-12-26 is a Saturday."""
    field, _, text = mistake.partition(" = ")
    field = field.removesuffix(" =")
    with pytest.raises(ValidationError, match=f"^{field}: expected ") as caught:
        Schedule.parse(**{"hours": OFFICE, field: text})
    assert caught.value.field == field


@pytest.mark.parametrize("extra", ["15:00-16:00", "12:30-13:30", "12:59:59-13:00:01"])
def test_nothing_opens_after_an_early_close_for_its_trading_date(extra):
    """Not by an extra session either; whoever is told so reads both settings."""
    early = {"hours": "Mon-Fri 09:00-12:00, Mon-Fri 14:00-17:00", "early_close": "2026-12-24 13:00"}
    with pytest.raises(ValidationError) as caught:
        Schedule.parse(**early, extra_open=f"2026-12-24 {extra}")
    assert str(caught.value) == (
        "extra_open: expected nothing of 2026-12-24 after 2026-12-24 13:00 UTC, when its "
        f"early_close ends it, was '2026-12-24 {extra[:5]} UTC'"
    )


@pytest.mark.parametrize("extra", ["07:00-08:00", "12:00-13:00", "23:00-01:00"])
def test_an_extra_session_before_an_early_close_or_of_the_next_date_is_fine(extra):
    """Up to the instant itself."""
    early = {"hours": "Mon-Fri 09:00-12:00, Mon-Fri 14:00-17:00", "early_close": "2026-12-24 13:00"}
    assert Schedule.parse(**early, extra_open=f"2026-12-24 {extra}")


def test_an_extra_session_comes_in_the_order_of_trading_dates():
    """01:00 of Tuesday in Tokyo is in the break of London's Monday, which would end in it."""
    break_ = {"hours": "Mon-Fri 09:00-12:00, Mon-Fri 20:00-23:00", "time_zone": "Europe/London"}
    with pytest.raises(ValidationError, match=r"^extra_open: expected a place in the order of tr"):
        Schedule.parse(**break_, extra_open="2026-12-22 01:00-02:00 Asia/Tokyo")
    assert Schedule.parse(**break_, extra_open="2026-12-22 08:30-08:45 Asia/Tokyo")


@pytest.mark.parametrize(
    "more",
    [
        {"holidays": "2026-12-25"},
        {"early_close": "2026-12-24 13:00"},
        {"extra_open": "2026-12-26 10:00-14:00"},
    ],
)
def test_a_market_that_never_closes_has_no_exceptions(more):
    """They would change nothing: whoever wrote them believes that it closes."""
    [field] = more
    with pytest.raises(ValidationError, match=f"^{field}: expected nothing, as .* always open"):
        market(always_open=True, **more)


def test_a_holiday_takes_an_overnight_market_s_whole_trading_date():
    """Sun-Thu 18:00-17:00: Christmas Day begins on its eve, at six in the evening."""
    session = market(FUTURES, holidays="2026-12-25", early_close="2026-12-24 13:00")
    closes, opens = ns("2026-12-24 13:00"), ns("2026-12-27 18:00")
    assert session.window_at(closes - 1).trading_date == date(2026, 12, 24)
    assert session.next_change_ns(closes - 1) == closes
    # then nothing opens any more for Thursday, nothing for Friday, until Monday's date begins
    assert session.next_change_ns(closes) == opens
    assert session.window_at(opens).trading_date == date(2026, 12, 28)
    # and a holiday on which no trading date falls is refused: Sunday evening is Monday's
    with pytest.raises(ValidationError, match=r"\(Mon, Tue, Wed, Thu, Fri\), was '2026-12-27"):
        market(FUTURES, holidays="2026-12-27")


def test_utc_needs_no_database_of_zones(monkeypatch):
    """As on Windows, where Python has none; another zone says what to install."""

    def no_zone(name):
        raise ZoneInfoNotFoundError(name)

    monkeypatch.setattr(hours_module, "ZoneInfo", no_zone)
    assert market().is_open(ns("2024-03-04 09:00"))
    with pytest.raises(ValidationError, match="pip install tzdata"):
        market(time_zone="Europe/London")
