"""The session keeper: up before the open, down after the close, patient when refused."""

import time
from datetime import UTC, datetime

import pytest

from oms import ManualClock, MemoryStore
from oms.config import SessionConfig
from oms.enums import OrderState
from oms.turn.session_keeper import SessionKeeper
from oms.venues.scripted import ScriptedVenue
from tests.fakes import SECOND, SOON_S, Stepped, buy, config_of


def desk_of(logons=("accept",), *, at=None, **session):
    """A desk that has not stepped yet; always open unless told otherwise."""
    clock = ManualClock.at(at) if at else ManualClock()
    session = SessionConfig(**{"always_open": at is None, **session})
    venue = ScriptedVenue(clock=clock, logons=logons)
    desk = Stepped(config_of(session=session), venue=venue, clock=clock, store=MemoryStore())
    desk.dispatcher.start()
    return desk


def status(desk):
    state = desk.oms.get_status()
    return state["link"], state["logon_attempts"]


def test_the_link_comes_up_and_the_dispatcher_is_told():
    """The change is an entry of the journal, so a replay knows when orders could go."""
    desk = desk_of()
    desk.keep()
    assert status(desk) == ("up", 0)
    desk.step()
    assert desk.dispatcher.desk.link_up


def test_a_refused_logon_is_tried_again_later_and_later():
    """1 s, 2 s, 4 s, 4 s: doubling, up to the bound; then it gives up."""
    # given a venue that refuses
    desk = desk_of(
        ["refuse"], logon_backoff_min_ns=SECOND, logon_backoff_max_ns=4 * SECOND,
        logon_attempts_max=5,
    )  # fmt: skip
    tried_at, last = [], 0
    start_ns = desk.clock.monotonic_ns()

    # when half a minute passes in tenths
    for _ in range(300):
        desk.keep()
        if status(desk)[1] != last:
            last = status(desk)[1]
            tried_at.append(round((desk.clock.monotonic_ns() - start_ns) / SECOND, 1))
        desk.clock.advance(0.1)

    # then it was tried five times, with growing pauses
    assert tried_at == [0, 1, 3, 7, 11]
    assert status(desk) == ("down", 5)
    assert desk.oms.keeper.gave_up


def test_a_logon_that_hangs_counts_as_refused_when_its_time_is_over():
    """The venue neither says yes nor no; after the time-out it is tried again."""
    desk = desk_of(
        ["hang", "accept"], logon_timeout_ns=3 * SECOND, logon_backoff_min_ns=SECOND
    )  # fmt: skip
    desk.keep()
    for _ in range(2):
        desk.clock.advance(1.4)
        desk.keep()
        assert status(desk) == ("down", 1)
    desk.clock.advance(0.2)
    desk.keep()
    assert status(desk) == ("down", 1)  # over; the pause begins
    desk.clock.advance(1)
    desk.keep()
    assert status(desk) == ("up", 0)


def test_a_logon_that_takes_its_time_is_noticed_when_it_is_up():
    """Asked for once, up some time later."""
    desk = desk_of(["hang", "accept"], logon_timeout_ns=10 * SECOND)
    desk.keep()
    desk.clock.advance(2)
    desk.venue.logon()  # the venue's answer at last
    desk.keep()
    assert status(desk) == ("up", 0)


def test_a_link_that_breaks_is_told_and_made_again():
    """Orders wait meanwhile."""
    desk = desk_of(["accept", "refuse", "accept"], logon_backoff_min_ns=SECOND)
    desk.keep()
    desk.step()
    desk.venue.logoff()
    desk.keep()
    assert status(desk) == ("down", 1)
    assert desk.send(buy("A", 1, 100)) == ["A PENDING_NEW/PENDING_NEW"]
    assert desk.venue.sent == []
    desk.clock.advance(1)
    desk.keep()
    desk.step()
    assert status(desk) == ("up", 0)
    assert len(desk.venue.sent) == 1


@pytest.mark.parametrize(
    ("minute", "link"), [("08:58", "down"), ("08:59", "up"), ("17:14", "up"), ("17:15", "down")]
)
def test_the_link_is_up_from_the_lead_to_the_grace(minute, link):
    """A minute before the open, a quarter of an hour after the close: the last reports arrive."""
    hour, minutes = map(int, minute.split(":"))
    desk = desk_of(
        at=datetime(2024, 3, 4, hour, minutes, tzinfo=UTC), hours="Mon-Fri 09:00-17:00",
        logon_lead_ns=60 * SECOND, logout_grace_ns=900 * SECOND,
    )  # fmt: skip
    desk.keep()
    assert status(desk)[0] == link


def test_the_next_session_is_tried_afresh_after_giving_up():
    """What was given up on Monday is tried again on Tuesday."""
    # given a venue that refused on Monday until the keeper gave up
    desk = desk_of(
        ["refuse", "accept"], at=datetime(2024, 3, 4, 9, 0, tzinfo=UTC),
        hours="Mon-Fri 09:00-17:00", logon_attempts_max=1,
    )  # fmt: skip
    desk.keep()
    desk.clock.advance(3600)
    desk.keep()
    assert status(desk) == ("down", 1)
    assert desk.oms.keeper.gave_up

    # when the evening passes, and the next morning comes
    desk.clock.advance(12 * 3600)
    desk.keep()
    desk.clock.advance(11 * 3600)
    desk.keep()

    # then the link is up
    assert status(desk) == ("up", 0)


@pytest.mark.parametrize("late_s", [0, 0.2])
def test_what_is_handed_over_after_the_start_or_a_move_finds_the_link(
    late_s, start_manager, monkeypatch
):
    """However late the machine lets the keeper's thread look."""
    # given a keeper that looks late, at a quarter to nine
    keep = SessionKeeper._keep
    monkeypatch.setattr(SessionKeeper, "_keep", lambda keeper: (time.sleep(late_s), keep(keeper)))
    clock = ManualClock.at(datetime(2024, 3, 4, 8, 45, tzinfo=UTC))
    session = SessionConfig(hours="Mon-Fri 09:00-17:00", logon_lead_ns=60 * SECOND)
    early = start_manager(config_of(session=session), clock=clock)

    # when it is nine o'clock, and an order comes at once
    clock.advance(15 * 60)
    answered = early.submit(buy("1", 1, 1)).result(SOON_S)

    # then it is on the book, as one is that comes right after a start at that hour
    assert answered.state is OrderState.NEW, answered
    begun = start_manager(config_of(session=session), clock=clock)
    assert begun.submit(buy("1", 1, 1)).result(SOON_S).state is OrderState.NEW


def test_at_the_end_it_logs_off():
    """The venue should not take us for lost."""
    desk = desk_of()
    desk.keep()
    desk.oms.keeper.finish()
    assert not desk.venue.logged_on()
    assert status(desk)[0] == "down"


def test_a_pause_below_a_second_is_kept():
    """The keeper sleeps no longer than until the next try, by the clock it was given."""
    # given a venue that refuses once, and a pause of 50 ms
    desk = desk_of(
        ["refuse", "accept"], logon_backoff_min_ns=50_000_000, logon_backoff_max_ns=SECOND
    )
    keeper, slept = desk.oms.keeper, []

    def sleep(wait_s):
        slept.append(wait_s)
        desk.clock.advance(wait_s)

    keeper._wake.wait = sleep

    # when it steps by itself
    keeper.step()
    keeper.step()
    keeper.step()

    # then it tried again after 50 ms, and then has time
    assert slept == [0.05, 1.0, 1.0]
    assert status(desk) == ("up", 0)
