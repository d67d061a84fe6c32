"""The throttle: never more than allowed, never less, whatever the times."""

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oms.desk.throttle import POLICIES, SENDS_MAX, WINDOW_NS_MAX, OrderThrottler
from oms.errors import ValidationError

SECOND = 1_000_000_000
LIMITING = [policy for policy in POLICIES if policy != "off"]

# Small windows and gaps of the same size, so that permits run out and come back.
sends_maxes = st.integers(1, 5)
windows_ns = st.integers(1, 40)
bursts = st.integers(1, 6)
# (time until the dispatcher asks, time the send itself takes)
steps = st.lists(st.tuples(st.integers(0, 30), st.integers(0, 3)), max_size=60)


def drive(throttler, steps, now_ns=0):
    """Ask at each step, send if allowed. Return (asked_ns, stamp_ns) of each send."""
    sends = []
    for gap_ns, send_ns in steps:
        now_ns += gap_ns
        if throttler.allows(now_ns):
            asked_ns, now_ns = now_ns, now_ns + send_ns
            throttler.sent(now_ns)
            sends.append((asked_ns, now_ns))
    return sends


def send_all(throttler, now_ns):
    """Send at one moment until refused; return how many went."""
    count = 0
    while throttler.allows(now_ns):
        throttler.sent(now_ns)
        count += 1
    return count


# --- sliding window ---


def test_the_order_after_the_hundredth_waits_for_the_first_to_leave_the_window():
    """A hundred in a second is the default; the next goes a second after the first."""
    # given a hundred orders, a millisecond apart
    throttler = OrderThrottler()
    first_ns = 5 * SECOND
    for number in range(100):
        assert throttler.allows(first_ns + number * 1_000_000)
        throttler.sent(first_ns + number * 1_000_000)

    # when one more is to go at once
    now_ns = first_ns + 99 * 1_000_000

    # then it has to wait for the first one's second to end, to the nanosecond
    assert throttler.in_use(now_ns) == 100
    assert not throttler.allows(now_ns)
    assert throttler.wait_ns(now_ns) == SECOND - 99 * 1_000_000
    assert not throttler.allows(first_ns + SECOND - 1)
    assert throttler.allows(first_ns + SECOND)
    assert throttler.in_use(first_ns + SECOND) == 99


@given(sends_maxes, windows_ns, steps)
def test_no_window_ever_sees_more_than_allowed(sends_max, window_ns, steps):
    """The true send lies between asking and stamping; even the shortest gap is a window."""
    sends = drive(OrderThrottler(sends_max, window_ns), steps)
    for (_, stamp_ns), (asked_ns, _) in zip(sends, sends[sends_max:], strict=False):
        assert asked_ns - stamp_ns >= window_ns


@given(sends_maxes, windows_ns, steps)
def test_the_sliding_window_agrees_with_counting_a_list(sends_max, window_ns, steps):
    """Nothing is refused that the list of all sends would allow."""
    throttler = OrderThrottler(sends_max, window_ns)
    stamps, now_ns = [], 0
    for gap_ns, send_ns in steps:
        now_ns += gap_ns
        recent = sorted(stamp for stamp in stamps if now_ns - stamp < window_ns)
        assert throttler.in_use(now_ns) == len(recent)
        assert throttler.free(now_ns) == sends_max - len(recent)
        assert throttler.allows(now_ns) == (len(recent) < sends_max)
        if len(recent) < sends_max:
            assert throttler.wait_ns(now_ns) == 0
            now_ns += send_ns
            throttler.sent(now_ns)
            stamps.append(now_ns)
        else:
            assert throttler.wait_ns(now_ns) == recent[0] + window_ns - now_ns


# --- token bucket ---


def test_the_bucket_lets_a_burst_go_and_then_a_steady_stream():
    """Ten a second with a burst of three: three at once, then one each 100 ms."""
    # given a full bucket
    throttler = OrderThrottler(10, SECOND, policy="token_bucket", burst=3)

    # when everything is sent that can be
    assert send_all(throttler, SECOND) == 3

    # then a token comes each 100 ms, and not a nanosecond earlier
    assert throttler.wait_ns(SECOND) == SECOND // 10
    assert not throttler.allows(SECOND + SECOND // 10 - 1)
    assert send_all(throttler, SECOND + SECOND // 10) == 1

    # and a long rest fills it to three, not more
    assert send_all(throttler, 60 * SECOND) == 3


def test_a_token_that_comes_between_two_nanoseconds_is_there_at_the_second():
    """Three in 10 ns: tokens come at 3 1/3, 6 2/3 and 10 ns."""
    throttler = OrderThrottler(3, 10, policy="token_bucket", burst=1)
    throttler.sent(0)
    assert [throttler.wait_ns(now_ns) for now_ns in range(5)] == [4, 3, 2, 1, 0]
    assert [throttler.allows(now_ns) for now_ns in (3, 4)] == [False, True]


@given(sends_maxes, windows_ns, bursts, steps)
def test_the_bucket_agrees_with_exact_fractions(sends_max, window_ns, burst, steps):
    """The twin keeps tokens as a Fraction."""
    throttler = OrderThrottler(sends_max, window_ns, policy="token_bucket", burst=burst)
    tokens, now_ns, at_ns = Fraction(burst), 0, 0
    for gap_ns, send_ns in steps:
        now_ns += gap_ns
        tokens = min(Fraction(burst), tokens + Fraction((now_ns - at_ns) * sends_max, window_ns))
        at_ns = now_ns
        assert throttler.allows(now_ns) == (tokens >= 1)
        assert throttler.free(now_ns) == int(tokens)
        assert throttler.in_use(now_ns) == burst - int(tokens)
        if tokens >= 1:
            now_ns += send_ns
            throttler.sent(now_ns)
            gained = Fraction((now_ns - at_ns) * sends_max, window_ns)
            tokens, at_ns = min(Fraction(burst), tokens + gained) - 1, now_ns


@given(sends_maxes, windows_ns, bursts, steps)
def test_any_window_sees_fewer_than_the_burst_and_the_rate(sends_max, window_ns, burst, steps):
    """The bound that the docstring states."""
    sends = drive(OrderThrottler(sends_max, window_ns, policy="token_bucket", burst=burst), steps)
    stamps = [stamp_ns for _, stamp_ns in sends]
    for start_ns in stamps:
        seen = [stamp for stamp in stamps if start_ns <= stamp < start_ns + window_ns]
        assert len(seen) < burst + sends_max


# --- fixed window ---


def test_the_fixed_window_admits_twice_as_many_around_a_boundary():
    """Its known weakness: the end of one window and the start of the next."""
    throttler = OrderThrottler(100, SECOND, policy="fixed_window")
    assert send_all(throttler, SECOND - 1) == 100
    assert throttler.wait_ns(SECOND - 1) == 1
    assert throttler.in_use(SECOND) == 0
    assert send_all(throttler, SECOND) == 100
    assert throttler.wait_ns(SECOND) == SECOND


@given(sends_maxes, windows_ns, steps)
def test_the_fixed_window_counts_by_definition(sends_max, window_ns, steps):
    """The twin counts the stamps of each whole window since time 0."""
    throttler = OrderThrottler(sends_max, window_ns, policy="fixed_window")
    counts, now_ns = {}, 0
    for gap_ns, send_ns in steps:
        now_ns += gap_ns
        used = counts.get(now_ns // window_ns, 0)
        assert throttler.in_use(now_ns) == used
        assert throttler.free(now_ns) == sends_max - used
        assert throttler.allows(now_ns) == (used < sends_max)
        if used < sends_max:
            now_ns += send_ns
            throttler.sent(now_ns)
            counts[now_ns // window_ns] = counts.get(now_ns // window_ns, 0) + 1


# --- off ---


def test_off_limits_nothing():
    """A simulation sends as fast as it can, even right after a restart."""
    throttler = OrderThrottler(1, SECOND, policy="off")
    throttler.hold_back(0)
    for _ in range(1_000):
        throttler.sent(0)
    assert throttler.allows(0)
    assert throttler.wait_ns(0) == 0
    assert throttler.in_use(0) == 0
    assert throttler.free(0) == SENDS_MAX


# --- after a restart ---


@pytest.mark.parametrize("policy", ["sliding_window", "fixed_window"])
def test_after_a_restart_the_first_order_waits_a_whole_window(policy):
    """The former process may have sent a hundred a moment ago."""
    throttler = OrderThrottler(100, SECOND, policy=policy)
    started_ns = 7 * SECOND + 123
    throttler.hold_back(started_ns)
    assert throttler.in_use(started_ns) == 100
    assert throttler.free(started_ns) == 0
    assert throttler.wait_ns(started_ns) == SECOND
    assert not throttler.allows(started_ns + SECOND - 1)
    assert send_all(throttler, started_ns + SECOND) == 100


def test_after_a_restart_the_bucket_is_empty():
    """The former process may have emptied it; then it gains as ever."""
    throttler = OrderThrottler(10, SECOND, policy="token_bucket", burst=3)
    throttler.hold_back(SECOND)
    assert throttler.free(SECOND) == 0
    assert throttler.wait_ns(SECOND) == SECOND // 10
    assert send_all(throttler, 2 * SECOND) == 3


@given(sends_maxes, windows_ns, steps, st.integers(0, 5), steps)
def test_no_window_sees_more_across_a_restart(sends_max, window_ns, before, down_ns, after):
    """Two processes and a crash between them; the venue sees one stream."""
    # given a process that sends and dies
    sends = drive(OrderThrottler(sends_max, window_ns), before)
    now_ns = sum(gap_ns + send_ns for gap_ns, send_ns in before) + down_ns

    # when the next one, who knows nothing, goes on
    throttler = OrderThrottler(sends_max, window_ns)
    throttler.hold_back(now_ns)
    sends += drive(throttler, after, now_ns)

    # then the limit holds for both together
    for (_, stamp_ns), (asked_ns, _) in zip(sends, sends[sends_max:], strict=False):
        assert asked_ns - stamp_ns >= window_ns


# --- every policy ---


@pytest.mark.parametrize("policy", POLICIES)
@given(sends_maxes, windows_ns, bursts, steps)
def test_waiting_exactly_as_told_is_enough_and_no_less(policy, sends_max, window_ns, burst, steps):
    """So a dispatcher that sleeps wait_ns neither spins nor starves an order."""
    throttler = OrderThrottler(sends_max, window_ns, policy=policy, burst=burst)
    now_ns = 0
    for gap_ns, send_ns in steps:
        now_ns += gap_ns
        wait_ns = throttler.wait_ns(now_ns)
        assert throttler.allows(now_ns) == (wait_ns == 0)
        assert 0 <= wait_ns <= window_ns
        assert throttler.allows(now_ns + wait_ns)
        if wait_ns:
            assert not throttler.allows(now_ns + wait_ns - 1)
        now_ns += wait_ns + send_ns
        throttler.sent(now_ns)


@pytest.mark.parametrize("policy", LIMITING)
@given(sends_maxes, windows_ns, bursts, steps, st.integers(0, 40))
def test_exactly_as_many_go_as_are_free(policy, sends_max, window_ns, burst, steps, gap_ns):
    """A batch may be cut to free() before anything is sent."""
    throttler = OrderThrottler(sends_max, window_ns, policy=policy, burst=burst)
    sends = drive(throttler, steps)
    now_ns = (sends[-1][1] if sends else 0) + gap_ns
    free = throttler.free(now_ns)
    assert send_all(throttler, now_ns) == free
    assert throttler.free(now_ns) == 0


@pytest.mark.parametrize("policy", LIMITING)
def test_a_send_that_was_not_allowed_counts_all_the_same(policy):
    """What left has left: nothing more goes until the window is paid for."""
    throttler = OrderThrottler(2, 100, policy=policy, burst=2)
    for _ in range(5):
        throttler.sent(0)
    assert throttler.free(0) == 0
    assert throttler.in_use(0) == 2
    assert throttler.wait_ns(0) >= 100
    assert throttler.allows(throttler.wait_ns(0))


@pytest.mark.parametrize("policy", POLICIES)
def test_time_that_goes_back_counts_as_no_time_passed(policy):
    """It must not; should it, no permit is won or lost, and nothing breaks."""
    # given two sends of three, and then a clock that went back
    throttler = OrderThrottler(3, 100, policy=policy, burst=3)
    throttler.sent(150)
    throttler.sent(180)
    assert throttler.in_use(20) == throttler.in_use(180)
    assert throttler.free(20) == throttler.free(180)

    # when one more is sent before the clock has caught up
    assert throttler.allows(20)
    throttler.sent(20)

    # then it counts as sent at the last good time
    assert throttler.allows(20) == throttler.allows(180) == (policy == "off")
    assert throttler.wait_ns(20) <= 100
    throttler.hold_back(20)
    assert throttler.allows(20) == throttler.allows(199) == (policy == "off")
    assert throttler.allows(280)


@given(sends_maxes, windows_ns, st.lists(st.integers(-50, 50), max_size=60))
def test_the_last_good_time_stands_in_for_an_earlier_one(sends_max, window_ns, gaps):
    """A wild clock and its running maximum give the same answers."""
    wild = OrderThrottler(sends_max, window_ns)
    sound = OrderThrottler(sends_max, window_ns)
    now_ns, last_ns = 0, -1_000  # of the last send
    for gap_ns in gaps:
        now_ns += gap_ns
        sound_ns = max(now_ns, last_ns)
        assert wild.allows(now_ns) == sound.allows(sound_ns)
        assert wild.wait_ns(now_ns) == sound.wait_ns(sound_ns)
        assert wild.in_use(now_ns) == sound.in_use(sound_ns)
        if wild.allows(now_ns):
            wild.sent(now_ns)
            sound.sent(sound_ns)
            last_ns = sound_ns


# --- bounds ---


@pytest.mark.parametrize("policy", POLICIES)
def test_the_smallest_and_the_largest_limits_work(policy):
    """One send a nanosecond, and a million a day."""
    small = OrderThrottler(1, 1, policy=policy, burst=1)
    assert small.allows(0)
    small.sent(0)
    assert small.allows(0) == (policy == "off")
    assert small.allows(1)

    large = OrderThrottler(SENDS_MAX, WINDOW_NS_MAX, policy=policy, burst=SENDS_MAX)
    assert large.free(0) == SENDS_MAX
    large.hold_back(0)
    assert large.allows(0) == (policy == "off")
    assert large.allows(WINDOW_NS_MAX)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("policy", "leaky"),
        ("policy", ""),
        ("sends_max", 0),
        ("sends_max", SENDS_MAX + 1),
        ("sends_max", True),
        ("sends_max", 1.0),
        ("window_ns", 0),
        ("window_ns", WINDOW_NS_MAX + 1),
        ("burst", 0),
        ("burst", SENDS_MAX + 1),
        ("burst", 1.5),
    ],
)
def test_a_limit_out_of_range_is_refused_by_name(field, value):
    """The message names the argument."""
    with pytest.raises(ValidationError, match=f"^{field}: ") as caught:
        OrderThrottler(**{field: value})
    assert caught.value.field == field
