"""What all front doors together count: attempts that failed, and what was used of allowances."""

import itertools
import logging
import math

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from oms.circuit import Circuit
from oms.clock import NANOS, ManualClock
from oms.errors import TransportError
from oms.gateways import attempts
from oms.gateways.attempts import CODE, PASSWORD, Attempts
from oms.gateways.web.limits import DUE, ORDER, SHARE_S, Allowance, Limits
from oms.roles.counts import LATE_US, Counts
from oms.shared import Used
from oms.transport.keys import Keys
from oms.transport.server import Server

NUMBERS = itertools.count()
ONE_SERVER = settings(
    deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=40
)
RATE, BURST = 10, 20


@pytest.fixture
def make(server):
    """Counts of several processes around one server, as one group of each test's own."""
    made = []

    def make(clock, count=2, group="main", circuit=None):
        those = [
            Counts(
                Keys(group), f"api-{n}", clock, lambda: Server(server.url, 10),
                circuit or Circuit(),
            )
            for n in range(count)
        ]  # fmt: skip
        made.extend(those)
        return those

    yield make
    for each in made:
        each.close()


def fresh():
    """A group that no example before has used."""
    return f"g{next(NUMBERS)}"


# --- attempts ---


@ONE_SERVER
@given(
    st.lists(
        st.tuples(
            st.integers(0, 1), st.sampled_from(["fails", "is right"]),
            st.sampled_from(["ann", "ANN", "bob"]), st.sampled_from(["a", "b"]),
            st.sampled_from([0, 1, 2, 900, 3_601]),
        ),
        max_size=40,
    )
)  # fmt: skip
def test_attempts_at_several_front_doors_count_as_at_one(make, tries):
    """Whichever is asked: how long to wait is what one alone would say that heard of all."""
    clock = ManualClock()
    several, one = make(clock, group=fresh()), Attempts()
    for at, outcome, name, address, passes_s in tries:
        clock.advance(passes_s)
        now = clock.monotonic_ns()
        given = PASSWORD, name, address
        wait_s = one.begin(*given, now)
        assert several[at].begin(*given, now) == wait_s
        if not wait_s and outcome == "is right":
            one.succeeded(*given)
            several[at].succeeded(*given)


def locked(counts, clock, name="ann"):
    """After so many failures, spread over all of them."""
    for number in range(8):
        each = counts[number % len(counts)]
        while wait_s := each.begin(PASSWORD, name, "a", clock.monotonic_ns()):
            clock.advance(wait_s)
    return 8  # seconds: 1, 2, 4 and 8 after the fifth to the eighth


def waits(counts, clock, name="ann"):
    return [each.begin(PASSWORD, name, "b", clock.monotonic_ns()) for each in counts]


def test_who_has_to_wait_does_so_though_redis_lost_its_data(make, server):
    """Each front door writes again what it knows, before or as soon as it is asked."""
    clock = ManualClock()
    one, other = make(clock)
    pause_s = locked((one, other), clock)
    server.kill()
    server.start()
    assert one.settle([]) is None  # the counts are new; attempts are written again by then
    assert waits((other, one), clock) == [pause_s, pause_s]
    [third] = make(clock, 1)
    assert waits([third], clock) == [pause_s]


def test_while_redis_is_away_each_counts_alone_with_what_it_knew(make, server, caplog):
    """And says so, once; then what each counted holds for all."""
    clock = ManualClock()
    one, other = make(clock)
    pause_s = locked((one, one), clock)
    assert other.begin(PASSWORD, "bob", "b", clock.monotonic_ns()) == 0
    server.kill()
    with caplog.at_level(logging.WARNING, "oms.roles.counts"):
        assert waits([one], clock) == [pause_s]
        assert waits([other], clock) == [0]  # it was not asked for this name before
        pause_s = locked([other], clock, "eve")
        server.start()
        assert waits((one, other), clock, "bob") == [0, 0]
    assert waits((one, other), clock, "eve") == [pause_s, pause_s]
    assert [each.getMessage().partition(":")[0] for each in caplog.records] == [
        "limits and failed logins are counted here alone",
        "limits and failed logins are counted here alone",
        "limits and failed logins are counted together again",
        "limits and failed logins are counted together again",
    ]


def test_of_names_there_is_a_bound_and_all_of_it_expires(make, client, monkeypatch):
    """Those that were quiet the longest are forgotten; in Redis no name is written out."""
    monkeypatch.setattr(attempts, "ENTRIES_MAX", 10)
    clock, keys = ManualClock(), Keys("main")
    [one] = make(clock, 1)
    for n in range(30):
        clock.advance(1)
        assert one.begin(CODE, f"user{n}\ud800" * 100, f"a{n}", clock.monotonic_ns()) == 0
    assert client.hlen(keys.tried) == client.zcard(keys.tried_last) == 10
    assert set(client.hkeys(keys.tried)) == set(client.zrange(keys.tried_last, 0, -1))
    assert not any("user" in name for name in client.hkeys(keys.tried))
    assert one.settle([]) is None  # before anything is told, all is
    assert one.settle([Used(ORDER, "user:ann", RATE, BURST, 5)]) == [None]
    assert len(client.keys("*")) == 4
    assert all(client.pttl(each) > 0 for each in client.keys("*"))


def test_an_attempt_in_doubt_is_not_made_good_by_redis_alone(make):
    """The link has failed: nothing is asked of Redis, and each counts alone."""
    clock, circuit = ManualClock(), Circuit()
    [one] = make(clock, 1, circuit=circuit)
    circuit.failed(0, "a test")
    assert [waits([one], clock) for _ in range(6)] == [[0]] * 5 + [[1]]
    one.succeeded(PASSWORD, "ann", "b")
    assert waits([one], clock) == [0]
    with pytest.raises(TransportError, match="a test"):
        one.settle([])


# --- allowances ---


class Door:
    """What a front door does of this: see Door._count_together."""

    def __init__(self, counts, clock, rate=RATE, burst=BURST):
        allowances = {ORDER: Allowance(rate, burst)}
        self.limits, self.counts, self.clock = Limits(allowances, [ORDER]), counts, clock
        self.due_ns = clock.monotonic_ns()
        self.told = None  # and not learned of yet

    def use(self, count=1, client="ann"):
        return self.limits.take(ORDER, client, self.clock.monotonic_ns(), count)

    def use_up(self):
        return next(n for n in itertools.count() if self.use().wait_s)

    def tell(self):
        self.learn()
        used = self.limits.used(self.clock.monotonic_ns())
        left = self.counts.settle(used)
        if left is None:
            self.limits.all_untold(self.clock.monotonic_ns())
            used = self.limits.used(self.clock.monotonic_ns())
            left = self.counts.settle(used)
        self.told = used, left
        self.due_ns = self.clock.monotonic_ns() + int(SHARE_S * NANOS)

    def learn(self):
        if self.told is not None:
            self.limits.learn(*self.told, self.clock.monotonic_ns())
            self.told = None

    def settle(self):
        self.tell()
        self.learn()


def bound(doors, seconds, rate=RATE, burst=BURST, share_s=SHARE_S):
    """As oms/gateways/web/limits.py has it."""
    return rate * seconds + doors * (burst + burst / DUE) + (doors + 1) * rate * share_s


def assert_bounded(takes, doors, share_s):
    """takes: when, and how many. In no time from one to another were there more."""
    for first, (begin_ns, _) in enumerate(takes):
        total = 0
        for at_ns, count in takes[first:]:
            total += count
            assert total <= bound(doors, (at_ns - begin_ns) / NANOS, share_s=share_s) + 1e-3


STEPS = st.lists(
    st.tuples(
        st.sampled_from(["use", "use up", "tell", "learn", "pass"]), st.integers(0, 2),
        st.sampled_from([1, 1, 2, 5, BURST]), st.sampled_from([1, 10, 100, 200, 1_000, 3_000]),
        st.sets(st.integers(0, 2)),
    ),
    min_size=1, max_size=30,
)  # fmt: skip


@ONE_SERVER
@given(st.integers(1, 3), STEPS)
def test_front_doors_together_let_through_what_one_would_and_a_bounded_excess(make, count, steps):
    """However uses, words of them and time come, while some are asked as often as can be; each
    tells within SHARE_S, and hears the answer within the next."""
    clock = ManualClock()
    doors = [Door(each, clock) for each in make(clock, count, fresh())]
    takes = []
    for what, at, tokens, ms, busy in steps:
        door = doors[at % count]
        if what == "use":
            if not door.use(tokens).wait_s:
                takes.append((clock.monotonic_ns(), tokens))
        elif what == "use up":
            takes.append((clock.monotonic_ns(), door.use_up()))
        elif what == "tell":
            door.tell()
        elif what == "learn":
            door.learn()
        else:
            passed = 0
            while passed < ms:
                step = min(ms - passed, 200)
                clock.advance(step / 1_000)
                passed += step
                for number, each in enumerate(doors):
                    if number in busy:
                        takes.append((clock.monotonic_ns(), each.use_up()))
                    if clock.monotonic_ns() >= each.due_ns:
                        each.tell()
    assert_bounded(takes, count, 2 * SHARE_S)


@ONE_SERVER
@given(
    st.lists(
        st.tuples(
            st.sampled_from(["use", "settle", "lost", "away"]), st.integers(1, BURST),
            st.sampled_from([0, 1, 50, 200, 2_000]),
        ),
        max_size=40,
    )
)  # fmt: skip
def test_a_client_of_one_front_door_sees_what_it_would_without_the_others(make, client, steps):
    """To the token, whatever becomes of Redis: the same answers as of an order manager alone."""
    clock = ManualClock()
    door, other = [Door(each, clock) for each in make(clock, 2, fresh())]
    alone = Limits({ORDER: Allowance(RATE, BURST)})
    for what, tokens, ms in steps:
        clock.advance(ms / 1_000)
        if what == "use":
            assert door.use(tokens) == alone.take(ORDER, "ann", clock.monotonic_ns(), tokens)
            other.use(tokens, "bob")
        elif what == "settle":
            door.settle()
            other.settle()
        elif what == "lost":
            client.flushdb()
        else:
            used = door.limits.used(clock.monotonic_ns())
            door.limits.untold(used)


def test_in_the_long_run_all_together_let_through_the_limit(make):
    """Three front doors, each asked as often as it can be, for a minute; whoever learns first."""
    clock = ManualClock()
    doors = [Door(each, clock) for each in make(clock, 3)]
    passed, total = 0.0, 0
    while passed < 60:
        for each in doors:
            total += each.use_up()
        for each in doors:
            each.settle()
        clock.advance(SHARE_S)
        passed += SHARE_S
    assert 60 * RATE <= total <= bound(3, 60)
    assert doors[0].use().wait_s <= 3 * BURST / RATE


def test_a_client_that_goes_to_and_fro_at_the_limit_is_held_to_it(make):
    """Each front door alone would allow all of it."""
    clock = ManualClock()
    doors = [Door(each, clock) for each in make(clock)]
    total = 0
    for _ in range(600):
        clock.advance(1 / RATE)
        for each in doors:
            total += not each.use().wait_s
            if clock.monotonic_ns() >= each.due_ns:
                each.settle()
    assert 60 * RATE <= total <= bound(2, 60)


def test_what_is_used_between_word_and_answer_counts(make):
    clock = ManualClock()
    one, other = [Door(each, clock) for each in make(clock)]
    one.settle(), other.settle()
    one.use(5), one.settle(), other.use(10), other.tell()
    assert not other.use(10).wait_s
    other.learn()
    assert other.use().wait_s == pytest.approx((5 + 10 + 10 + 1 - BURST - RATE * SHARE_S) / RATE)


def test_after_a_loss_what_is_missing_is_told_again_and_no_more(make, server):
    """A client that used all at one front door finds nothing more at the other."""
    clock = ManualClock()
    one, other = [Door(each, clock) for each in make(clock)]
    one.settle(), other.settle()
    assert not one.use(BURST).wait_s
    one.settle()
    server.kill()
    server.start()
    one.settle()
    assert not other.use(2).wait_s  # it has not heard yet
    other.settle()
    assert other.use().wait_s > 0
    clock.advance(2 * BURST / RATE)
    one.settle(), other.settle()
    assert not other.use(BURST).wait_s


def test_what_was_used_while_redis_was_away_does_not_count_for_ever(make):
    """After an hour alone a client pays at most for what it has not back yet, and a second."""
    clock = ManualClock()
    one, other = [Door(each, clock) for each in make(clock)]
    one.settle(), other.settle()
    for _ in range(3_600):
        assert not one.use(RATE).wait_s
        clock.advance(1)
    other.use(BURST // 2)
    other.settle()
    one.settle()
    other.use(5), other.settle()
    assert 0 < other.use().wait_s <= (BURST + RATE) / RATE


def test_a_front_door_whose_clock_is_wrong_locks_no_client_out(make):
    """It is an hour ahead: the others go on as soon as they are asked."""
    ahead, right = ManualClock(1_700_003_600 * NANOS), ManualClock()
    [fast], [slow] = make(ahead, 1), make(right, 1)
    fast, slow = Door(fast, ahead), Door(slow, right)
    fast.use(BURST), slow.use(BURST // 2)
    fast.settle(), slow.settle()
    assert 0 < slow.use(BURST).wait_s <= 2 * BURST / RATE
    for _ in range(20):
        right.advance(SHARE_S)
        slow.settle()
    assert not slow.use(BURST).wait_s


def test_what_is_taken_at_once_is_counted_by_all_before_it_is_done(make):
    """Of sign-ups and logins there is no excess."""
    clock = ManualClock()
    one, other = make(clock)
    used = Used("login", "192.0.2.1", 5, 10, 1)
    left = [each.take(used) for _ in range(6) for each in (one, other)]
    assert left[0] is None
    assert left[1:10] == [8 - n for n in range(9)]
    assert left[10:] == [-1, -1]
    clock.advance(0.2)
    assert (one.take(used), other.take(used)) == (0, -1)


def test_the_share_of_a_period_is_the_one_that_front_doors_keep():
    assert math.isclose(LATE_US, SHARE_S * 1_000_000)
