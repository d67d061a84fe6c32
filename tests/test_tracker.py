"""The tracker: what the venue owes, and how long each hop took."""

import threading
from itertools import pairwise
from math import ceil
from time import process_time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from oms.errors import ValidationError
from oms.turn.latency import (
    HOPS,
    NS_MAX,
    OUTCOMES_MAX,
    PERCENTILES,
    TIMEOUT_NS_MAX,
    Histogram,
    OrderTracker,
)
from tests.examples import many

SECOND = 1_000_000_000

# Every size of number is as likely as every other, as bucket edges are where mistakes live.
durations_ns = st.integers(0, 50).flatmap(lambda bits: st.integers(0, (1 << bits) - 1))
samples = st.lists(durations_ns, min_size=1, max_size=200)


def histogram_of(durations):
    histogram = Histogram()
    for ns in durations:
        histogram.record(ns)
    return histogram


# --- histogram ---


def test_an_empty_histogram_says_nothing():
    """No orders yet: what was never measured is no zero, nor an error."""
    histogram = Histogram()
    assert histogram.count == 0
    assert histogram.percentile(99.9) is None
    assert histogram.rows() == []
    assert histogram.summary() == {"count": 0, **dict.fromkeys((*PERCENTILES, "max"))}


def test_small_durations_are_exact():
    """Below 32 ns each number has its own bucket."""
    histogram = histogram_of(range(32))
    assert histogram.rows() == [(ns, ns, 1) for ns in range(32)]
    assert histogram.percentile(50) == 15


@given(samples, st.integers(0, 100_000))
def test_a_percentile_is_never_low_and_less_than_a_sixteenth_high(durations, thousandths):
    """Against the nearest rank of the sorted list."""
    histogram = histogram_of(durations)
    rank = max(1, ceil(len(durations) * thousandths / 100_000))
    true_ns = sorted(durations)[rank - 1]
    told_ns = histogram.percentile(thousandths / 1_000)
    assert true_ns <= told_ns <= max(durations)
    assert told_ns == true_ns or 16 * (told_ns - true_ns) < true_ns


@pytest.mark.parametrize("bits", range(5, 50))
def test_the_error_bound_holds_at_every_bucket_edge(bits):
    """The worst case is the lowest duration of a doubling's first bucket."""
    for ns in ((1 << bits) - 1, 1 << bits, (1 << bits) + 1):
        histogram = histogram_of([ns, NS_MAX])
        assert ns <= histogram.percentile(50) < ns + ns / 16
        (low_ns, high_ns, count), _ = histogram.rows()
        assert low_ns <= ns <= high_ns
        assert count == 1


def test_the_median_and_the_tail_of_a_known_list():
    """999 fast ones and a slow one: only the maximum sees it."""
    histogram = histogram_of([10] * 999 + [20])
    assert histogram.summary() == {
        "count": 1_000, "p50": 10, "p90": 10, "p99": 10, "p99.9": 10, "max": 20,
    }  # fmt: skip
    assert histogram.percentile(100) == 20
    assert histogram.percentile(0) == 10


@given(samples)
def test_the_rows_hold_every_duration_in_order(durations):
    """Buckets touch no neighbour, and what they count adds up."""
    rows = histogram_of(durations).rows()
    for low_ns, high_ns, count in rows:
        assert count == sum(low_ns <= ns <= high_ns for ns in durations)
    assert sum(count for _, _, count in rows) == len(durations)
    assert all(row[1] < after[0] for row, after in pairwise(rows))


@given(samples, samples)
def test_one_by_one_as_a_list_or_merged_is_the_same(ones, others):
    """Four ways to count the same durations."""
    plain = histogram_of(ones + others)

    listed = Histogram()
    listed.record_all([*ones, *others])
    listed.record_all([])

    counted = Histogram()
    for ns in set(ones + others):
        counted.record_many(ns, (ones + others).count(ns))

    merged = histogram_of(ones)
    merged.merge(histogram_of(others))

    for histogram in (listed, counted, merged):
        assert histogram.rows() == plain.rows()
        assert histogram.summary() == plain.summary()


def test_a_duration_out_of_range_counts_as_the_nearest_in_range():
    """A stamp from before the clock stepped, an order held for a month."""
    durations = [-5, 1 << 70, NS_MAX, NS_MAX + 1]
    by_one, by_list, by_count = histogram_of(durations), Histogram(), Histogram()
    by_list.record_all(durations)
    for ns in durations:
        by_count.record_many(ns, 1)
    for histogram in (by_one, by_list, by_count):
        (first, last) = histogram.rows()
        assert first == (0, 0, 1)
        assert last[1:] == (NS_MAX, 3)
        assert histogram.max_ns == histogram.percentile(100) == NS_MAX
    only_below = Histogram()
    only_below.record_all([-3, -1])
    assert only_below.rows() == [(0, 0, 2)]
    assert only_below.max_ns == 0


def test_none_of_something_changes_nothing():
    """A turn without orders."""
    histogram = Histogram()
    histogram.record_many(5, 0)
    assert histogram.summary() == Histogram().summary()


def test_the_memory_of_a_histogram_is_fixed():
    """752 buckets, as the docstring says."""
    assert len(Histogram()._counts) == 752
    full = Histogram()
    full.record_many(NS_MAX, 1)
    assert len(full._counts) == 752


def test_a_percentile_counts_in_whole_thousandths():
    """1.001 as a float is a little less; the 1,001st of 100,000 is meant all the same."""
    histogram = Histogram()
    histogram.record_many(1, 1_000)
    histogram.record_many(2, 99_000)
    assert histogram.percentile(1.0) == 1
    assert histogram.percentile(1.001) == 2


@pytest.mark.parametrize("p", [-0.001, 100.001, float("nan")])
def test_a_percentile_out_of_range_is_refused(p):
    """0 and 100 are the bounds."""
    with pytest.raises(ValidationError, match=r"^p: expected 0 to 100"):
        Histogram().percentile(p)


# --- in flight ---


def test_an_answer_in_time_gives_the_round_trip():
    """The second answer to the same request is a duplicate."""
    tracker = OrderTracker(5 * SECOND)
    tracker.sent(1, 1_000)
    assert tracker.in_flight == 1
    assert tracker.answered(1, 1_700) == 700
    assert tracker.answered(1, 1_800) is None
    assert tracker.answered(2, 1_800) is None
    assert tracker.in_flight == tracker.unknown == 0


def test_a_silent_venue_makes_requests_unknown_once_and_a_late_answer_is_welcome():
    """Two orders go out; only the second is ever answered, late."""
    # given two orders in flight, and a time-out of 100 ns
    tracker = OrderTracker(100)
    assert tracker.next_overdue_ns(0) is None
    tracker.sent(7, 1_000)
    tracker.sent(3, 1_010)
    assert tracker.next_overdue_ns(1_040) == 60

    # when the first one's time is up, not a nanosecond before
    assert tracker.overdue(1_099) == []
    assert tracker.next_overdue_ns(1_100) == 0
    assert tracker.overdue(1_100) == [7]

    # then it is told once, and still waited for
    assert (tracker.in_flight, tracker.unknown) == (1, 1)
    assert tracker.overdue(1_109) == []
    assert tracker.overdue(5_000) == [3]
    assert (tracker.in_flight, tracker.unknown) == (0, 2)
    assert tracker.next_overdue_ns(5_000) is None

    # and the answer that comes after all ends it
    assert tracker.answered(3, 6_010) == 5_000
    assert tracker.answered(3, 6_020) is None
    assert (tracker.in_flight, tracker.unknown) == (0, 1)


def test_a_sequence_in_flight_is_not_sent_again():
    """Overdue or not: its time would be lost."""
    tracker = OrderTracker(10)
    tracker.sent(1, 0)
    with pytest.raises(ValidationError, match="request_seq"):
        tracker.sent(1, 0)
    tracker.overdue(10)
    with pytest.raises(ValidationError, match="request_seq"):
        tracker.sent(1, 20)


def test_draining_many_from_the_front_stays_cheap():
    """100,000 in flight, answered in the order sent, with a look at the next each time."""
    # given as many in flight as a silent venue may leave
    tracker, started_s = OrderTracker(SECOND), process_time()
    for seq in range(100_000):
        tracker.sent(seq, seq)
    fill_s, started_s = process_time() - started_s, process_time()

    # when the venue answers them all
    for seq in range(100_000):
        assert tracker.next_overdue_ns(seq) == SECOND
        assert tracker.answered(seq, seq) == 0

    # then that took about as long as sending them; with a plain dict, a hundred times
    assert tracker.in_flight == 0
    assert process_time() - started_s < 30 * fill_s


@pytest.mark.parametrize("timeout_ns", [0, -1, TIMEOUT_NS_MAX + 1, 1.5, True])
def test_a_time_out_out_of_range_is_refused(timeout_ns):
    """1 ns and a day are the bounds."""
    with pytest.raises(ValidationError, match=r"^answer_timeout_ns: "):
        OrderTracker(timeout_ns)
    OrderTracker(1)
    OrderTracker(TIMEOUT_NS_MAX)


class TrackerMachine(RuleBasedStateMachine):
    """Whatever is sent and answered, a plain list tells the same story."""

    TIMEOUT_NS = 20

    def __init__(self):
        super().__init__()
        self.tracker = OrderTracker(self.TIMEOUT_NS)
        self.awaited = []  # [seq, sent_ns, told], in the order sent
        self.now_ns, self.seq = 0, 0

    @rule(gap_ns=st.integers(0, 15))
    def pass_time(self, gap_ns):
        self.now_ns += gap_ns

    @rule()
    def send(self):
        self.seq += 1
        self.tracker.sent(self.seq, self.now_ns)
        self.awaited.append([self.seq, self.now_ns, False])

    @rule(data=st.data())
    def answer(self, data):
        seq = data.draw(st.integers(1, self.seq + 1))
        found = [entry for entry in self.awaited if entry[0] == seq]
        expected = self.now_ns - found[0][1] if found else None
        assert self.tracker.answered(seq, self.now_ns) == expected
        self.awaited = [entry for entry in self.awaited if entry[0] != seq]

    @rule()
    def ask_what_is_overdue(self):
        late = [
            entry
            for entry in self.awaited
            if not entry[2] and self.now_ns - entry[1] >= self.TIMEOUT_NS
        ]
        assert self.tracker.overdue(self.now_ns) == [entry[0] for entry in late]
        for entry in late:
            entry[2] = True

    @invariant()
    def the_same_story(self):
        in_time = [entry for entry in self.awaited if not entry[2]]
        assert self.tracker.in_flight == len(in_time)
        assert self.tracker.unknown == len(self.awaited) - len(in_time)
        due_ns = max(0, in_time[0][1] + self.TIMEOUT_NS - self.now_ns) if in_time else None
        assert self.tracker.next_overdue_ns(self.now_ns) == due_ns


TestTracker = TrackerMachine.TestCase
TestTracker.settings = settings(max_examples=many(60), stateful_step_count=40)


# --- latency ---


def test_one_filled_order_shows_each_of_its_hops():
    """Received at 100, and told to its client at 131: all hops below 32 ns, so exact."""
    tracker = OrderTracker(SECOND)
    tracker.record_turn([("filled", 100, 101, 103, 107, 112)], 120, 131)
    report = tracker.latency()
    assert {hop: report[hop]["filled"]["max"] for hop in HOPS} == {
        "intake": 1, "wait": 2, "send": 4, "venue": 5, "disk": 8, "publish": 11, "total": 31,
    }  # fmt: skip
    assert report["total"]["all"] == {
        "count": 1, "p50": 31, "p90": 31, "p99": 31, "p99.9": 31, "max": 31,
    }  # fmt: skip


def test_a_reject_does_not_pollute_the_fills():
    """It never reached the venue: no wait, no send, no venue hop; and a label of its own."""
    # given a turn with an order that was filled and one refused at the door
    tracker = OrderTracker(SECOND)
    tracker.record_turn(
        [("filled", 100, 110, 112, 114, 120), ("rejected", 105, 110, 0, 0, 0)], 125, 130
    )

    # when the latency is read
    report = tracker.latency()

    # then the reject only counts where it passed
    assert set(report["venue"]) == {"all", "filled"}
    assert {hop for hop in HOPS if "rejected" in report[hop]} == {"intake", "publish", "total"}
    assert report["total"]["filled"]["max"] == 30
    assert report["total"]["rejected"]["max"] == 25
    assert report["total"]["all"]["count"] == 2
    assert tracker.histogram("total", "rejected").rows() == [(25, 25, 1)]
    assert tracker.histogram("total").rows() == [(25, 25, 1), (30, 30, 1)]


def test_before_the_first_order_every_hop_is_there_and_empty():
    """A status page needs no special case."""
    tracker = OrderTracker(SECOND)
    tracker.record_turn([], 1, 2)
    assert tracker.latency() == {hop: {"all": Histogram().summary()} for hop in HOPS}
    assert tracker.histogram("venue", "filled").count == 0


stamps_ns = st.just(0) | st.integers(1, 2_000)
entries = st.tuples(st.sampled_from(["accepted", "filled", "rejected"]), *[stamps_ns] * 5)
turns = st.lists(st.tuples(st.lists(entries, max_size=12), stamps_ns, stamps_ns), max_size=6)


@given(turns)
def test_a_turn_counts_as_its_requests_do_one_by_one(turns):
    """The twin takes each stamp of each request by hand."""
    tracker, twin = OrderTracker(SECOND), {}
    for requests, durable_ns, published_ns in turns:
        tracker.record_turn(requests, durable_ns, published_ns)
        for outcome, *stamps in requests:
            stamps += durable_ns, published_ns
            for hop, (start, stop) in HOPS.items():
                if stamps[start] and stamps[stop]:
                    for label in (outcome, "all"):
                        histogram = twin.setdefault((hop, label), Histogram())
                        histogram.record(stamps[stop] - stamps[start])
    report = tracker.latency()
    told = {(hop, label): report[hop][label] for hop in HOPS for label in report[hop]}
    expected = {key: histogram.summary() for key, histogram in twin.items()}
    expected |= {(hop, "all"): Histogram().summary() for hop in HOPS if (hop, "all") not in twin}
    assert told == expected


def test_outcomes_are_bounded_and_all_is_taken():
    """The labels are our own, so a new one too many is our own mistake."""
    tracker = OrderTracker(SECOND)
    for number in range(OUTCOMES_MAX):
        tracker.record_turn([(f"outcome-{number}", 1, 2, 3, 4, 5)], 6, 7)
    tracker.record_turn([("outcome-0", 1, 2, 3, 4, 5)], 6, 7)
    with pytest.raises(AssertionError):
        tracker.record_turn([("one too many", 1, 2, 3, 4, 5)], 6, 7)
    with pytest.raises(AssertionError):
        OrderTracker(SECOND).record_turn([("all", 1, 2, 3, 4, 5)], 6, 7)
    assert tracker.latency()["total"]["all"]["count"] == OUTCOMES_MAX + 1


def test_another_thread_may_read_while_the_dispatcher_records():
    """Readings may be stale; they never fail, go back, or contradict themselves."""
    # given a reader that looks again and again
    tracker, done, failures = OrderTracker(SECOND), threading.Event(), []

    def read():
        seen = 0
        try:
            while not done.is_set():
                total = tracker.latency()["total"]["all"]
                assert seen <= total["count"]
                if total["count"]:
                    assert total["p50"] <= total["p99.9"] <= total["max"]
                assert tracker.in_flight >= 0 <= tracker.unknown
                seen = total["count"]
        except BaseException as error:
            failures.append(error)

    reader = threading.Thread(target=read)
    reader.start()

    # when the dispatcher tracks and records, with ever new outcomes
    for turn in range(300):
        for seq in range(20):
            tracker.sent(20 * turn + seq, turn)
        for seq in range(19):
            tracker.answered(20 * turn + seq, turn + seq)
        tracker.overdue(turn + SECOND)
        outcome = f"outcome-{turn % OUTCOMES_MAX}"
        tracker.record_turn([(outcome, 1, 2, 3, 4, 5 + seq) for seq in range(50)], 60, 61 + turn)
    done.set()
    reader.join(10)

    # then the reader saw nothing odd, and the end is exact
    assert not reader.is_alive()
    assert failures == []
    assert tracker.latency()["total"]["all"]["count"] == 300 * 50
    assert (tracker.in_flight, tracker.unknown) == (0, 300)
