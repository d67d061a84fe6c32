"""How many sends are left: four policies behind one name, OrderThrottler.

Flow:  queue -> dispatcher -> [throttle] -> tracker, venue
In:    monotonic time, whole nanoseconds. Out: may I send, and if not, how long to wait.
Owner: the dispatcher thread. So no locks, no I/O, no logging, no clock.

One send is three steps: `allows(now)`, the send itself, `sent(later)`. The second time is
read after the send. So a stamp is never earlier than the send it stands for, the next
permit is never early, and the true gap between sends is never shorter than the window.

Time must not go back. Should it, that counts as no time passed: nothing breaks.
"""

from bisect import bisect_right
from collections import deque

from oms.errors import ValidationError

POLICIES = ("sliding_window", "token_bucket", "fixed_window", "off")
SENDS_MAX = 1_000_000
WINDOW_NS_MAX = 86_400 * 1_000_000_000

SEND_NS_MAX = 50_000_000
"""So long after the begin of its turn a request was sent at the latest, if no later turn says
less: the journal has when a turn began."""

LONG_AGO_NS = -(1 << 62)  # before any time a clock can show


class Policy:
    """What every policy answers; all times are monotonic nanoseconds. This one: no limit.

    sends_max, window_ns: at most so many sends in so long, as each policy counts them.
    """

    __slots__ = ("_sends_max", "_window_ns")

    def __init__(self, sends_max: int, window_ns: int) -> None:
        self._sends_max = sends_max
        self._window_ns = window_ns

    def allows(self, now_ns: int) -> bool:  # noqa: ARG002
        """Whether one more may be sent now. Asking changes nothing."""
        return True

    def sent(self, now_ns: int) -> None:
        """One was sent; now_ns was read after the send. It counts, allowed or not."""

    def wait_ns(self, now_ns: int) -> int:  # noqa: ARG002
        """Nanoseconds until the next permit; 0 if and only if one may be sent now.

        At most a window, unless more was sent than allowed.
        """
        return 0

    def in_use(self, now_ns: int) -> int:  # noqa: ARG002
        """How many permits are used: 0 to sends_max (token_bucket: burst; off: 0)."""
        return 0

    def hold_back(self, now_ns: int) -> None:
        """Behave as if every permit was used at now_ns.

        For the start after a restart, where nobody knows when the former process sent.
        """

    def shift(self, by_ns: int) -> None:
        """Count from another zero of time: whatever was at 0 is at by_ns from now on."""


class OrderThrottler:
    """At most sends_max sends in any window of window_ns; or another policy, by its name.

    sends_max: 1 to SENDS_MAX; the memory is 40 bytes or less for each.
    window_ns: 1 to WINDOW_NS_MAX (a day); a second unless told otherwise.
    policy: one of POLICIES.
    burst: 1 to SENDS_MAX, as many as sends_max unless told otherwise; only token_bucket looks at
        it.

        throttler = OrderThrottler(100)
        if throttler.allows(time.monotonic_ns()):
            send()
            throttler.sent(time.monotonic_ns())

    allows, sent, wait_ns, in_use, hold_back and shift are the policy's own (see Policy): bound once
    here, so that no layer stands in the way of an order.

    Raises ValidationError, naming the argument, on a value out of range.
    """

    __slots__ = (
        "_capacity", "allows", "hold_back", "in_use", "policy", "sends_max", "sent", "shift",
        "wait_ns", "window_ns",
    )  # fmt: skip

    def __init__(
        self,
        sends_max: int = 100,
        window_ns: int = 1_000_000_000,
        *,
        policy: str = "sliding_window",
        burst: int | None = None,
    ) -> None:
        burst = sends_max if burst is None else burst
        _check("sends_max", sends_max, SENDS_MAX)
        _check("window_ns", window_ns, WINDOW_NS_MAX)
        _check("burst", burst, SENDS_MAX)
        rule = _make(policy, sends_max, window_ns, burst)
        self.policy = policy
        self.sends_max = sends_max
        self.window_ns = window_ns
        self.allows = rule.allows
        self.sent = rule.sent
        self.wait_ns = rule.wait_ns
        self.in_use = rule.in_use
        self.hold_back = rule.hold_back
        self.shift = rule.shift
        self._capacity = {"token_bucket": burst, "off": SENDS_MAX}.get(policy, sends_max)

    def sent_many(self, count: int, now_ns: int) -> None:
        """So many were sent; now_ns was read after the last of them."""
        if self.policy != "off":
            for _ in range(count):
                self.sent(now_ns)

    def free(self, now_ns: int) -> int:
        """How many may be sent at once now, 0 or more; with "off", SENDS_MAX."""
        return self._capacity - self.in_use(now_ns)


class PastSends:
    """Counts what former processes sent, as the journal has it, turn by turn."""

    def __init__(self, throttler: OrderThrottler) -> None:
        self._throttler = throttler
        self._count = self._begun_ns = 0  # of the turn noted last

    def note(self, count: int, begun_ns: int) -> None:
        """The next turn: how many requests it sent, and when it began, in elapsed time."""
        self._counted(begun_ns)
        self._count, self._begun_ns = count, begun_ns

    def end(self, elapsed_offset_ns: int) -> None:
        """That was all; from now on the throttle goes by the monotonic clock of this process."""
        self._counted(self._begun_ns + SEND_NS_MAX)
        self._throttler.shift(-elapsed_offset_ns)

    def _counted(self, latest_ns: int) -> None:
        if self._count:
            at_ns = min(latest_ns, self._begun_ns + SEND_NS_MAX)
            self._throttler.sent_many(self._count, at_ns)


def _check(field: str, value: object, value_max: int) -> None:
    if type(value) is not int or not 1 <= value <= value_max:
        raise ValidationError(field, value, f"1 to {value_max}")


def _make(policy: str, sends_max: int, window_ns: int, burst: int) -> Policy:
    match policy:
        case "sliding_window":
            return SlidingWindow(sends_max, window_ns)
        case "token_bucket":
            return TokenBucket(sends_max, window_ns, burst)
        case "fixed_window":
            return FixedWindow(sends_max, window_ns)
        case "off":
            return Policy(sends_max, window_ns)
        case _:
            raise ValidationError("policy", policy, "one of " + ", ".join(POLICIES))


def _no_time(now_ns: object) -> ValidationError:
    """Looked at only where the arithmetic fails: an order pays for no check."""
    return ValidationError("now_ns", now_ns, "a time in whole nanoseconds")


class SlidingWindow(Policy):
    """At most sends_max sends in any half-open window, wherever it starts.

    Keeps when each of the last sends_max permits is free again, oldest first.
    """

    __slots__ = ("_free_ns",)

    def __init__(self, sends_max: int, window_ns: int) -> None:
        super().__init__(sends_max, window_ns)
        self._free_ns = deque([LONG_AGO_NS] * sends_max, maxlen=sends_max)

    def allows(self, now_ns: int) -> bool:
        free = self._free_ns
        try:
            # The second half only matters when time went back: now is then the last send's time.
            return now_ns >= free[0] or free[-1] - free[0] >= self._window_ns
        except TypeError:
            raise _no_time(now_ns) from None

    def sent(self, now_ns: int) -> None:
        free = self._free_ns
        try:
            free_ns = now_ns + self._window_ns
        except TypeError:
            raise _no_time(now_ns) from None
        free.append(free_ns if free_ns > free[-1] else free[-1])  # pushes the oldest out

    def wait_ns(self, now_ns: int) -> int:
        return max(0, self._free_ns[0] - self._no_earlier(now_ns))

    def in_use(self, now_ns: int) -> int:
        return self._sends_max - bisect_right(self._free_ns, self._no_earlier(now_ns))

    def hold_back(self, now_ns: int) -> None:
        free_ns = self._no_earlier(now_ns) + self._window_ns
        self._free_ns.extend([free_ns] * self._sends_max)

    def shift(self, by_ns: int) -> None:
        self._free_ns.extend([free_ns + by_ns for free_ns in self._free_ns])

    def _no_earlier(self, now_ns: int) -> int:
        """now_ns, or the time of the last send if that is later."""
        return max(now_ns, self._free_ns[-1] - self._window_ns)


class TokenBucket(Policy):
    """Holds up to burst tokens, starts full, gains sends_max per window; a send takes one.

    So any window sees fewer than burst + sends_max sends. Exact: the level is counted in
    parts of a token, window_ns parts to each, so that a nanosecond brings sends_max parts.
    """

    __slots__ = ("_at_ns", "_burst", "_level")

    def __init__(self, sends_max: int, window_ns: int, burst: int) -> None:
        super().__init__(sends_max, window_ns)
        self._burst = burst
        self._level = burst * window_ns  # as it was at _at_ns
        self._at_ns = LONG_AGO_NS

    def allows(self, now_ns: int) -> bool:
        return self._level_at(now_ns) >= self._window_ns

    def sent(self, now_ns: int) -> None:
        # Below 0 if the send was not allowed: a debt that time has to pay first.
        self._level = self._level_at(now_ns) - self._window_ns
        self._at_ns = max(self._at_ns, now_ns)

    def wait_ns(self, now_ns: int) -> int:
        lacking = self._window_ns - self._level_at(now_ns)
        return max(0, -(-lacking // self._sends_max))  # rounded up

    def in_use(self, now_ns: int) -> int:
        return min(self._burst, self._burst - self._level_at(now_ns) // self._window_ns)

    def hold_back(self, now_ns: int) -> None:
        self._level = min(self._level, 0)
        self._at_ns = max(self._at_ns, now_ns)

    def shift(self, by_ns: int) -> None:
        self._at_ns += by_ns

    def _level_at(self, now_ns: int) -> int:
        try:
            gained = max(0, now_ns - self._at_ns) * self._sends_max
        except TypeError:
            raise _no_time(now_ns) from None
        return min(self._burst * self._window_ns, self._level + gained)


class FixedWindow(Policy):
    """At most sends_max sends in each window; one window follows the other, used or not.

    The plainest policy, and the weakest: sends_max at the end of one window and as many at
    the start of the next make 2 * sends_max in a moment. Windows count from time 0, or
    from the last hold_back.
    """

    __slots__ = ("_start_ns", "_used")

    def __init__(self, sends_max: int, window_ns: int) -> None:
        super().__init__(sends_max, window_ns)
        self._start_ns = 0
        self._used = 0  # in the window that starts at _start_ns

    def allows(self, now_ns: int) -> bool:
        try:
            return now_ns - self._start_ns >= self._window_ns or self._used < self._sends_max
        except TypeError:
            raise _no_time(now_ns) from None

    def sent(self, now_ns: int) -> None:
        try:
            since_ns = now_ns - self._start_ns
        except TypeError:
            raise _no_time(now_ns) from None
        if since_ns >= self._window_ns:
            self._start_ns += since_ns - since_ns % self._window_ns
            self._used = 0
        self._used += 1

    def wait_ns(self, now_ns: int) -> int:
        if self.allows(now_ns):
            return 0
        return self._start_ns + self._window_ns - max(now_ns, self._start_ns)

    def in_use(self, now_ns: int) -> int:
        over = now_ns - self._start_ns >= self._window_ns
        return 0 if over else min(self._used, self._sends_max)

    def hold_back(self, now_ns: int) -> None:
        self._start_ns = max(now_ns, self._start_ns)
        self._used = self._sends_max

    def shift(self, by_ns: int) -> None:
        self._start_ns += by_ns
