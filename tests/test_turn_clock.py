"""Time in turns: stamps never decrease, deadlines go by the wall, durations by what elapsed."""

import logging

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oms import ManualClock, MemoryStore, RejectReason, ResponseType
from oms.clock import NANOS, NEVER, Instant
from oms.config import RiskConfig
from oms.enums import Phase, TimeInForce
from oms.requests import OrderTerms
from oms.turn.turn_clock import TurnClock
from tests.fakes import SECOND, Stepped, buy, config_of, sell
from tests.test_breaker import AT_ONCE, PAUSE_S, Volatile

HOUR_S, DAY_S = 3_600, 86_400
THREE_A_SECOND = config_of(risk=RiskConfig(messages_max=3, messages_window_ns=SECOND))
REPEATED_IN_10_S = config_of(risk=RiskConfig(duplicate_window_ns=10 * SECOND))


def busy(desk, name):
    """Three orders at once: as many as the account may send in a second."""
    desk.send(*(buy(f"{name}{n}", 1, 10) for n in range(3)))
    assert desk.ask(buy(f"{name}3", 1, 10)).reason is RejectReason.MESSAGES_EXCEED_MAXIMUM


def test_a_clock_set_back_locks_no_account_out():
    # given an account that has sent what it may
    desk = Stepped(THREE_A_SECOND).start()
    busy(desk, "A")

    # when the clock is set back by an hour and a second passes
    desk.clock.jump(-HOUR_S)
    assert desk.ask(buy("B", 1, 10)).reason is RejectReason.MESSAGES_EXCEED_MAXIMUM
    desk.clock.advance(1)

    # then it may go on
    assert desk.ask(buy("C", 1, 10)).type is ResponseType.NEW
    assert desk.refolded() == desk.digest()


@pytest.mark.parametrize("restarts", [False, True])
def test_one_turn_far_ahead_leaves_nothing_refused(restarts):
    # given one order on a clock 400 days ahead
    desk = Stepped(THREE_A_SECOND).start()
    desk.clock.jump(400 * DAY_S)
    busy(desk, "A")

    # when the clock is right again
    desk.clock.jump(-400 * DAY_S)
    if restarts:
        desk.stop()
        desk = Stepped(THREE_A_SECOND, clock=desk.clock, store=desk.store).start()
    desk.clock.advance(1)

    # then neither the limit nor a deadline goes by the stamp, which stands still
    tomorrow = OrderTerms(expire_ns=desk.clock.wall_ns() + DAY_S * NANOS)
    answer = desk.ask(buy("B", 1, 10, time_in_force=TimeInForce.GTD, terms=tomorrow))
    assert answer.type is ResponseType.NEW
    assert answer.wall_ns >= desk.clock.wall_ns() + 399 * DAY_S * NANOS
    assert desk.refolded() == desk.digest()


def test_an_order_good_till_a_time_that_is_past_is_refused_by_the_clock_as_it_is():
    # given stamps an hour ahead of the wall clock
    desk = Stepped().start()
    desk.clock.jump(HOUR_S)
    desk.send(buy("A", 1, 10))
    desk.clock.jump(-HOUR_S)

    # when
    past = OrderTerms(expire_ns=desk.clock.wall_ns() - 1)
    soon = OrderTerms(expire_ns=desk.clock.wall_ns() + SECOND)
    refused = desk.ask(buy("B", 1, 10, time_in_force=TimeInForce.GTD, terms=past))
    taken = desk.ask(buy("C", 1, 10, time_in_force=TimeInForce.GTD, terms=soon))
    desk.clock.advance(1)

    # then
    assert refused.reason is RejectReason.EXPIRE_TIME_INVALID
    assert taken.type is ResponseType.NEW
    assert desk.step() == ["C EXPIRED/EXPIRED"]
    assert desk.refolded() == desk.digest()


def test_a_pause_ends_in_its_time_whatever_the_wall_clock_does():
    # given a market that a breaker paused
    x = Volatile(AT_ONCE)
    x.send(buy("B1", 1, 1_200), sell("S1", 1, 1_200, account="you"))
    assert x.phase is Phase.HALTED

    # when the clock is set back by an hour and the pause passes
    x.clock.jump(-HOUR_S)
    x.wait(PAUSE_S - 1)
    assert x.phase is Phase.HALTED
    x.wait(1)

    # then
    assert x.phase is Phase.REOPENING_AUCTION

    # and a clock that is ahead ends no call early
    x.clock.jump(HOUR_S)
    x.desk.step()
    assert x.phase is Phase.REOPENING_AUCTION
    assert x.desk.refolded() == x.desk.digest()


def test_the_same_order_again_is_a_slip_for_as_long_as_it_says():
    # given
    desk = Stepped(REPEATED_IN_10_S).start()
    desk.send(buy("A", 1, 10))

    # when the clock is set back, then ahead, within the window
    desk.clock.jump(-HOUR_S)
    desk.clock.advance(5)
    early = desk.ask(buy("B", 1, 10))
    desk.clock.jump(2 * HOUR_S)
    still = desk.ask(buy("C", 1, 10))
    desk.clock.advance(5)

    # then
    assert early.reason is RejectReason.ORDER_REPEATED
    assert still.reason is RejectReason.ORDER_REPEATED
    assert desk.ask(buy("D", 1, 10)).type is ResponseType.NEW


@pytest.mark.parametrize(
    ("down_s", "type_"),
    [(0.5, ResponseType.REJECTED), (1, ResponseType.NEW), (-9, ResponseType.REJECTED)],
)
def test_time_down_counts_by_the_wall_clock_and_never_backwards(down_s, type_):
    # given an account that has sent what it may, and a process that stops
    desk = Stepped(THREE_A_SECOND).start()
    desk.send(*(buy(f"A{n}", 1, 10) for n in range(3)))
    desk.stop()

    # when another starts later
    clock = ManualClock(desk.clock.wall_ns() + round(down_s * SECOND))
    again = Stepped(THREE_A_SECOND, clock=clock, store=desk.store).start()

    # then
    assert again.ask(buy("B", 1, 10)).type is type_
    assert again.refolded() == again.digest()


class BootClock(ManualClock):
    """A machine that names its start; what it shows goes on from one process to the next."""

    name = "b1"

    def boot(self):
        return self.name


def test_time_down_counts_by_the_same_clock_if_the_machine_was_not_started_anew():
    """An operator sets the wall clock while the daemon is down: no second has passed for that."""
    # given an account that has sent what it may, and a process that is killed
    clock = BootClock()
    desk = Stepped(THREE_A_SECOND, clock=clock).start()
    desk.send(*(buy(f"A{n}", 1, 10) for n in range(3)))

    # when the wall clock is an hour ahead, and half a second has passed
    clock.jump(HOUR_S)
    clock.advance(0.5)
    again = Stepped(THREE_A_SECOND, clock=clock, store=desk.store).start()

    # then that is what counts
    assert again.ask(buy("B", 1, 10)).type is ResponseType.REJECTED
    clock.advance(0.5)
    assert again.ask(buy("C", 1, 10)).type is ResponseType.NEW

    # and after another start of the machine the wall clock is all there is
    anew = BootClock(clock.wall_ns() + 2 * SECOND)
    anew.name = "b2"
    last = Stepped(THREE_A_SECOND, clock=anew, store=desk.store).start()
    assert last.dispatcher.fold.instant.elapsed_ns - again.dispatcher.fold.instant.elapsed_ns == (
        2 * SECOND
    )
    assert last.refolded() == last.digest()


def test_a_jump_is_logged_and_in_the_status(caplog):
    # given
    desk = Stepped().start()
    assert desk.oms.get_status()["clock"] == {"jumps": 0, "jump_ns": None, "behind_ns": 0}

    # when
    with caplog.at_level(logging.WARNING):
        desk.clock.jump(-HOUR_S)
        desk.step()
        desk.clock.advance(1)
        desk.step()

    # then
    assert "the wall clock was set by -3600.000 s" in caplog.text
    assert desk.oms.get_status()["clock"] == {
        "jumps": 1, "jump_ns": -HOUR_S * NANOS, "behind_ns": (HOUR_S - 1) * NANOS,
    }  # fmt: skip


def test_a_clock_that_is_behind_the_journal_is_told_at_the_start(caplog):
    desk = Stepped().start()
    desk.stop()

    Stepped(clock=ManualClock(desk.clock.wall_ns() - HOUR_S * NANOS), store=desk.store).start()

    assert "the wall clock is 3600.000 s behind the journal's last turn" in caplog.text


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["advance", "jump", "restart"]),
            st.integers(-(10**6), 10**6),
        ),
        max_size=30,
    )
)
def test_whatever_the_clock_does_each_number_keeps_its_promise(steps):
    """Against plain sums: what passed, and the highest wall clock seen."""
    clock = ManualClock()
    times = TurnClock(clock)
    times.start(NEVER)
    last = times.read()
    passed_s, first, highest_ns = 0, last, last.wall_ns
    for step, seconds in steps:
        if step == "advance":
            clock.advance(abs(seconds))
            passed_s += abs(seconds)
        elif step == "jump":
            clock.jump(seconds)
        else:  # the monotonic clock of another process; the wall clock is where it is
            was_ns = last.clock_ns
            clock = ManualClock(max(0, clock.wall_ns()))
            times = TurnClock(clock)
            times.start(last)
            passed_s = (last.elapsed_ns - first.elapsed_ns) // NANOS
            passed_s += max(0, clock.wall_ns() - was_ns) // NANOS
        now = times.read()
        highest_ns = max(highest_ns, clock.wall_ns())
        assert now == Instant(highest_ns, clock.wall_ns(), first.elapsed_ns + passed_s * NANOS)
        last = now


def test_records_of_an_older_program_have_the_stamp_alone():
    # given a journal whose turns say nothing of elapsed time
    store = MemoryStore()
    desk = Stepped(THREE_A_SECOND, store=store).start()
    record = next(store.records())

    # then the stamp is all three
    old = record._replace(elapsed_ns=None, clock_ns=None, wall_ns=7)
    assert old.instant == Instant(7, 7, 7)
    assert record.instant == Instant(*[desk.clock.wall_ns()] * 3)
