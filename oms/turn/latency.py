"""Sent but not answered: what the venue owes, and how long each hop took.

Flow:  dispatcher -> throttle -> [tracker] -> venue -> [tracker]
In:    request sequences, and monotonic times in whole nanoseconds.
Out:   round trips, overdue requests, latency per hop and outcome.
Owner: the dispatcher thread writes. Other threads may read `in_flight`, `unknown`,
       `latency` and `histogram`: each reads lengths, or copies made in one step, so a
       reading may be slightly stale but never fails. So no locks, no I/O, no clock.
"""

from bisect import bisect_left, bisect_right
from collections import OrderedDict
from itertools import accumulate
from operator import add, itemgetter, sub

from oms.clock import NANOS
from oms.desk.desk import Hops
from oms.errors import ValidationError

NS_MAX = (1 << 50) - 1  # 13 days: an order held over a long weekend still fits
TIMEOUT_NS_MAX = 86_400 * 1_000_000_000
OUTCOMES_MAX = 32
FEW = 8

outcome_of = itemgetter(0)
PERCENTILES = {"p50": 50.0, "p90": 90.0, "p99": 99.0, "p99.9": 99.9}

# From which of the stamps of Hops to which each hop goes; 5 is durable, 6 published.
HOPS = {
    "intake": (0, 1),
    "wait": (1, 2),
    "send": (2, 3),
    "venue": (3, 4),
    "disk": (4, 5),
    "publish": (5, 6),
    "total": (0, 6),
}


Summary = dict[str, int | None]
"""Of durations: how many, percentiles and the longest; None is what was never measured."""


def _bucket(ns: int) -> int:
    """The bucket of ns, 0 to NS_MAX: to 31 the number itself, above its first 5 bits."""
    if ns < 32:
        return ns
    shift = ns.bit_length() - 5
    return (shift << 4) + (ns >> shift)


def _low(bucket: int) -> int:
    """The smallest ns of a bucket."""
    if bucket < 32:
        return bucket
    return (16 + bucket % 16) << (bucket // 16 - 1)


_BUCKETS = _bucket(NS_MAX) + 1
_HIGHS = [_low(bucket + 1) - 1 for bucket in range(_BUCKETS)]  # the largest ns of each


class Histogram:
    """How often each duration came, in 752 buckets of which 16 make a doubling.

    Exact below 32 ns. Above, a percentile is too high by less than 1/16 (6.25 %), never
    too low, and never above the largest duration recorded. Durations below 0 count as 0,
    those above NS_MAX as NS_MAX. One thread writes; any may read.
    """

    __slots__ = ("_counts", "max_ns")

    def __init__(self) -> None:
        self._counts = [0] * _BUCKETS
        self.max_ns = 0  # written before the counts and read after: no percentile is cut short

    def record(self, ns: int) -> None:
        """Count one duration. Like record_many(ns, 1), only faster."""
        if ns > self.max_ns:
            ns = self.max_ns = ns if ns < NS_MAX else NS_MAX
        if ns < 32:
            self._counts[ns if ns > 0 else 0] += 1
        else:
            shift = ns.bit_length() - 5
            self._counts[(shift << 4) + (ns >> shift)] += 1

    def record_many(self, ns: int, count: int) -> None:
        """Count the same duration `count` times, 0 or more."""
        assert count >= 0
        if count:
            ns = min(max(ns, 0), NS_MAX)
            self.max_ns = max(self.max_ns, ns)
            self._counts[_bucket(ns)] += count

    def record_all(self, durations_ns: list[int]) -> None:
        """Count a list of durations, which gets sorted.

        Sorted, those of one bucket stand together: two steps for each bucket, not for each
        duration.
        """
        if not durations_ns:
            return
        durations_ns.sort()
        if durations_ns[-1] > self.max_ns:
            if durations_ns[-1] > NS_MAX:
                durations_ns = [min(ns, NS_MAX) for ns in durations_ns]
            self.max_ns = durations_ns[-1]
        counts, highs = self._counts, _HIGHS
        at, end = 0, len(durations_ns)
        while at < end:
            ns = durations_ns[at]
            if ns < 32:
                bucket = ns if ns > 0 else 0
            else:
                shift = ns.bit_length() - 5
                bucket = (shift << 4) + (ns >> shift)
            beyond = bisect_right(durations_ns, highs[bucket], at)
            counts[bucket] += beyond - at
            at = beyond

    def merge(self, other: "Histogram") -> None:
        """Add what the other one counted."""
        counts, max_ns = other._counts.copy(), other.max_ns
        self.max_ns = max(self.max_ns, max_ns)
        self._counts = list(map(add, self._counts, counts))

    @property
    def count(self) -> int:
        """How many durations were recorded."""
        return sum(self._counts)

    def percentile(self, p: float) -> int | None:
        """The duration in ns that p percent do not exceed; None if there is none.

        p: 0 to 100, to three decimals. Nearest rank: of ten durations, 90 is the ninth.

        Raises ValidationError on a p out of range.
        """
        if not 0 <= p <= 100:
            raise ValidationError("p", p, "0 to 100")
        return self._percentile(list(accumulate(self._counts.copy())), p)

    def summary(self) -> Summary:
        """count, p50, p90, p99, p99.9 and max; all but count in ns, None while count is 0."""
        totals = list(accumulate(self._counts.copy()))
        percentiles = {name: self._percentile(totals, p) for name, p in PERCENTILES.items()}
        count = totals[-1]
        return {"count": count, **percentiles, "max": self.max_ns if count else None}

    def rows(self) -> list[tuple[int, int, int]]:
        """(low_ns, high_ns, count) of each bucket in use, both ends included, in order."""
        counts = enumerate(self._counts.copy())
        return [(_low(bucket), _HIGHS[bucket], count) for bucket, count in counts if count]

    def _percentile(self, totals: list[int], p: float) -> int | None:
        """As percentile(), from the running totals of the counts."""
        if not totals[-1]:
            return None
        rank = max(1, -(-totals[-1] * round(p * 1_000) // 100_000))  # whole numbers, rounded up
        return min(_HIGHS[bisect_left(totals, rank)], self.max_ns)


class OrderTracker:
    """What was sent and not answered, and the latency of everything.

    answer_timeout_ns: 1 to TIMEOUT_NS_MAX (a day), 5 s unless told otherwise; a request without
        an answer for so long is overdue, and from then on unknown.

    A request is forgotten when its answer comes, and only then: what is tracked is bounded
    by the sends the throttle lets go while the venue is silent.

    Raises ValidationError on a time-out out of range.
    """

    def __init__(self, answer_timeout_ns: int = 5 * NANOS) -> None:
        if type(answer_timeout_ns) is not int or not 1 <= answer_timeout_ns <= TIMEOUT_NS_MAX:
            expected = f"1 to {TIMEOUT_NS_MAX}"
            raise ValidationError("answer_timeout_ns", answer_timeout_ns, expected)
        self._timeout_ns = answer_timeout_ns
        # When each was sent, the oldest first. A plain dict emptied from its front finds
        # its first entry slower and slower; an OrderedDict does not.
        self._in_flight: OrderedDict[int, int] = OrderedDict()
        self._unknown: dict[int, int] = {}
        self._histograms: dict[str, dict[str, Histogram]] = {}  # by outcome, then by hop

    @property
    def in_flight(self) -> int:
        """How many were sent and may still be answered in time; not the unknown ones."""
        return len(self._in_flight)

    @property
    def unknown(self) -> int:
        """How many were reported overdue and have no answer yet."""
        return len(self._unknown)

    def sent(self, request_seq: int, now_ns: int) -> None:
        """A request went to the venue; ValidationError if it did before, and has no answer, or if
        an argument is no whole number."""
        if request_seq in self._in_flight or request_seq in self._unknown:
            raise ValidationError("request_seq", request_seq, "a request that was not sent yet")
        if type(request_seq) is not int:
            raise ValidationError("request_seq", request_seq, "a whole number")
        if type(now_ns) is not int:
            raise ValidationError("now_ns", now_ns, "a whole number")
        self._in_flight[request_seq] = now_ns

    def answered(self, request_seq: int, now_ns: int) -> int | None:
        """The round trip in ns, of a late answer too; None if none was awaited: a duplicate."""
        if type(now_ns) is not int:
            raise ValidationError("now_ns", now_ns, "a whole number")
        sent_ns = self._in_flight.pop(request_seq, None)
        if sent_ns is None:
            sent_ns = self._unknown.pop(request_seq, None)
        return None if sent_ns is None else max(0, now_ns - sent_ns)

    def overdue(self, now_ns: int) -> list[int]:
        """Requests that have just become unknown, in the order sent; each is told once."""
        late: list[int] = []
        while self._in_flight:
            request_seq, sent_ns = next(iter(self._in_flight.items()))
            if now_ns - sent_ns < self._timeout_ns:
                break
            self._unknown[request_seq] = sent_ns
            del self._in_flight[request_seq]
            late.append(request_seq)
        return late

    def next_overdue_ns(self, now_ns: int) -> int | None:
        """Nanoseconds until overdue() has something to tell; None if nothing is in flight."""
        for sent_ns in self._in_flight.values():
            return max(0, sent_ns + self._timeout_ns - now_ns)
        return None

    def record_turn(self, entries: list[Hops], durable_ns: int, published_ns: int) -> None:
        """Count each hop of each request of one dispatcher turn.

        entries: any number; of at most OUTCOMES_MAX outcomes since the start, none "all".

        Whole columns at a time: the larger the turn, the less a request costs. A hop with a
        stamp of 0 at either end is left out.
        """
        if len(entries) <= FEW:  # one duration after the other: no columns are made ready
            for outcome, *times in entries:
                times += (durable_ns, published_ns)
                kept = self._histograms.get(outcome) or self._add(outcome)
                for hop, (start, stop) in HOPS.items():
                    if times[start] and times[stop]:
                        ns, histogram = times[stop] - times[start], kept[hop]
                        if 32 <= ns <= histogram.max_ns:
                            shift = ns.bit_length() - 5
                            histogram._counts[(shift << 4) + (ns >> shift)] += 1
                        else:
                            histogram.record(ns)
            return
        by_outcome: dict[str, list[Hops]] = {}
        for outcome, entry in zip(map(outcome_of, entries), entries, strict=True):
            try:
                by_outcome[outcome].append(entry)
            except KeyError:
                by_outcome[outcome] = [entry]
        for outcome, group in by_outcome.items():
            stamps: list[tuple[int, ...]] = list(zip(*group, strict=True))[1:]
            stamps += (durable_ns,) * len(group), (published_ns,) * len(group)
            complete = [all(column) for column in stamps]
            histograms = self._histograms.get(outcome) or self._add(outcome)
            for hop, (start, stop) in HOPS.items():
                if complete[start] and complete[stop]:
                    durations_ns = list(map(sub, stamps[stop], stamps[start]))
                else:
                    ends = zip(stamps[start], stamps[stop], strict=True)
                    durations_ns = [to_ns - from_ns for from_ns, to_ns in ends if from_ns and to_ns]
                histograms[hop].record_all(durations_ns)

    def latency(self) -> dict[str, dict[str, Summary]]:
        """Hop -> outcome -> Histogram.summary(); outcome "all" is the sum of the others."""
        report: dict[str, dict[str, Summary]] = {}
        by_outcome = self._histograms.copy()
        for hop in HOPS:
            report[hop] = {"all": self.histogram(hop).summary()}
            for outcome, histograms in by_outcome.items():
                summary = histograms[hop].summary()
                if summary["count"]:
                    report[hop][outcome] = summary
        return report

    def histogram(self, hop: str, outcome: str = "all") -> Histogram:
        """A copy of one of HOPS, empty if nothing was recorded; "all": every outcome."""
        merged = Histogram()
        for name, histograms in self._histograms.copy().items():
            if outcome in ("all", name):
                merged.merge(histograms[hop])
        return merged

    def _add(self, outcome: str) -> dict[str, Histogram]:
        assert outcome != "all" and len(self._histograms) < OUTCOMES_MAX
        histograms = {hop: Histogram() for hop in HOPS}
        self._histograms[outcome] = histograms
        return histograms
