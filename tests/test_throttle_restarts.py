"""The throttle over restarts: as if one process had sent all, whichever policy it goes by."""

from hypothesis import given
from hypothesis import strategies as st

from oms import ManualClock, MemoryStore
from oms.config import ThrottleConfig
from oms.desk.throttle import SEND_NS_MAX, OrderThrottler, PastSends
from tests.fakes import SECOND, Stepped, buy, config_of

MS = 1_000_000
POLICIES = ("sliding_window", "token_bucket", "fixed_window")
steps = st.lists(
    st.one_of(
        st.tuples(st.just("advance"), st.integers(0, 1_500)),  # milliseconds
        st.tuples(st.just("send"), st.integers(1, 4)),
        st.tuples(st.just("restart"), st.integers(0, 700)),  # how long nobody runs
    ),
    max_size=25,
)


@given(steps, st.integers(1, 4))
def test_whatever_dies_no_window_holds_more_and_no_order_waits_longer(flow, sends_max):
    """Against a list of all sends: sent as soon as the list allows, and never earlier."""
    config = config_of(throttle=ThrottleConfig(sends_max=sends_max))
    clock, store, count = ManualClock(), MemoryStore(), 0
    desk = Stepped(config, clock=clock, store=store).start()
    for what, number in flow:
        # given orders that come, time that passes, processes that die without a stop
        if what == "send":
            desk.send(*(buy(f"#{count + n}", 1, 100) for n in range(number)))
            count += number
        elif what == "advance":
            clock.advance(number / 1_000)
            desk.step()
        else:
            clock = ManualClock(clock.wall_ns() + number * MS)  # of another machine
            desk = Stepped(config, clock=clock, store=store).start()
        desk.step()
        # then
        sent_ns = [r.elapsed_ns for r in store.records() for _ in range(r.released)]
        for early_ns, late_ns in zip(sent_ns, sent_ns[sends_max:], strict=False):
            assert late_ns - early_ns >= SECOND
        if desk.waiting:  # then the window is full, but for what nobody can know
            now_ns = clock.monotonic_ns() + desk.dispatcher.times.elapsed_offset_ns
            assert sent_ns[-sends_max] + SECOND + SEND_NS_MAX > now_ns
    assert desk.refolded() == desk.digest()


turns = st.lists(st.tuples(st.integers(0, 900 * MS), st.integers(0, 3)), max_size=20)


@given(turns, st.sampled_from(POLICIES), st.integers(1, 4), st.integers(-(10**18), 10**18))
def test_a_journal_gives_each_policy_what_it_had(turns, policy, sends_max, offset_ns):
    """Elapsed time and the monotonic clock differ by any number; a send by its latest time."""
    # given a process that sent, and one that reads of it
    lived, reads = (OrderThrottler(sends_max, policy=policy) for _ in range(2))
    past, at_ns = PastSends(reads), 0
    for gap_ns, count in turns:
        at_ns += gap_ns + SEND_NS_MAX  # no turn comes earlier here
        past.note(count, at_ns)
        lived.sent_many(count, at_ns + SEND_NS_MAX)
    past.end(offset_ns)

    # then both allow the same from then on
    for later_ns in range(SEND_NS_MAX, 3 * SECOND, 100 * MS):
        now_ns = at_ns + later_ns
        assert reads.free(now_ns - offset_ns) == lived.free(now_ns)
        assert reads.wait_ns(now_ns - offset_ns) == lived.wait_ns(now_ns)
