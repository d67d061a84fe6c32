"""Limits: how much one client may ask, by user or key, and by address before anybody is known.

A bucket fills at so many tokens a second up to its burst; a request takes one. A cancel has a
bucket of its own, larger than that of orders: who may not send any more may still take risk off.
Owner: the event loop.

Several front doors count together, and no request waits for that: each has buckets of its own,
tells now and then what was used (`used`), and is told what is left for all together (`learn`). A
client of one front door alone finds its allowance as it would be without the others. Of n front
doors all let through, in any time of t seconds, at most
    rate x t  +  n x (burst + burst / DUE)  +  (n + 1) x rate x SHARE_S
where they hear of each other: each may let a burst through before it hears of the others'; it is
taken off what all of them allow next. It is what no waiting costs.
"""

from collections import OrderedDict
from collections.abc import Collection, Sequence
from typing import NamedTuple

from oms.clock import NANOS
from oms.shared import Used

BUCKETS_MAX = 100_000  # the one that was used longest ago is forgotten: by then it is full
REQUEST, ORDER, CANCEL, ADDRESS, LOGIN = "request", "order", "cancel", "address", "login"
EXTRA = "extra"  # of one socket: control frames, fragments, and messages that were too many
SHARED = REQUEST, ORDER, CANCEL, ADDRESS
SHARE_S = 0.2  # how often what was used is told
DUE = 10  # this part of a burst is told with the next; less may be told later
LATE_S = 1  # what was used before that counts as far as it is missing still


class Allowance(NamedTuple):
    """So many a second, and so many at once."""

    rate: int
    burst: int


class Taken(NamedTuple):
    """What is left of an allowance. wait_s: 0 if there was a token, else until there is one."""

    limit: int
    left: int
    wait_s: float

    @property
    def headers(self) -> dict[str, str]:
        """As the IETF's draft of RateLimit headers has them."""
        found = {
            "ratelimit-limit": str(self.limit), "ratelimit-remaining": str(self.left),
            "ratelimit-reset": str(max(1, -int(-self.wait_s // 1))),
        }  # fmt: skip
        if self.wait_s:
            found["retry-after"] = found["ratelimit-reset"]
        return found


class Bucket:
    """tokens: as of at_ns; below 0 where others used them. used: since others were told."""

    __slots__ = ("at_ns", "tokens", "used")

    def __init__(self, tokens: float, at_ns: int) -> None:
        self.tokens = tokens
        self.at_ns = at_ns
        self.used = 0.0


class Limits:
    """The buckets of every client. allowances: by cost, see Entry. shared: costs of which other
    front doors are told."""

    def __init__(
        self, allowances: dict[str, Allowance], shared: Collection[str] = ()
    ) -> None:  # fmt: skip
        self._allowances = allowances
        self._due_at = {cost: max(1.0, allowances[cost].burst / DUE) for cost in shared}
        self._buckets: OrderedDict[tuple[str, str], Bucket] = OrderedDict()
        self._due: dict[tuple[str, str], Bucket] = {}  # of which others are to be told

    def take(self, cost: str, client: str, now_ns: int, count: int = 1) -> Taken:
        """Take tokens, if there are so many; nothing is taken where there are not."""
        rate, burst = self._allowances[cost]
        key = (cost, client)
        bucket = self._buckets.get(key)
        if bucket is None:
            bucket = self._buckets[key] = Bucket(burst, now_ns)
            if len(self._buckets) > BUCKETS_MAX:
                self._buckets.popitem(last=False)
        else:
            self._buckets.move_to_end(key)
        tokens = min(float(burst), bucket.tokens + (now_ns - bucket.at_ns) * rate / NANOS)
        wait_s = 0.0
        if tokens >= count:
            tokens -= count
            due_at = self._due_at.get(cost)
            if due_at is not None:
                bucket.used += count
                if bucket.used >= due_at:
                    self._due[key] = bucket
        else:
            wait_s = (count - tokens) / rate
        bucket.tokens, bucket.at_ns = tokens, now_ns
        return Taken(burst, max(0, int(tokens)), wait_s)

    # --- together with other front doors ---

    def of(self, cost: str, client: str, tokens: float) -> Used:
        rate, burst = self._allowances[cost]
        return Used(cost, client, rate, burst, tokens)

    def used(self, now_ns: int) -> list[Used]:
        """What others are to be told; it counts as told."""
        told = []
        for (cost, client), bucket in self._due.items():
            rate, _ = self._allowances[cost]
            most = self._missing(cost, bucket, now_ns) + rate * LATE_S
            told.append(self.of(cost, client, min(bucket.used, most)))
            bucket.used = 0.0
        self._due.clear()
        return told

    def untold(self, used: Sequence[Used]) -> None:
        """They were not told, as far as is known."""
        for each in used:
            self._to_tell((each.cost, each.client), each.tokens)

    def all_untold(self, now_ns: int) -> None:
        """Nobody has what was told before: all that is missing is told again."""
        for key, bucket in self._buckets.items():
            missing = self._missing(key[0], bucket, now_ns)
            if missing and key[0] in self._due_at:
                bucket.used = missing
                self._due[key] = bucket

    def learn(self, used: Sequence[Used], left: Sequence[float | None], now_ns: int) -> None:
        """What others left: for none there is more than for all together."""
        for each, tokens in zip(used, left, strict=True):
            bucket = self._buckets.get((each.cost, each.client))
            if bucket is not None and tokens is not None:
                here = each.burst - self._missing(each.cost, bucket, now_ns)
                bucket.tokens, bucket.at_ns = min(here, tokens - bucket.used), now_ns

    def _to_tell(self, key: tuple[str, str], count: float) -> None:
        bucket = self._buckets.get(key)
        if bucket is not None:
            bucket.used += count
            self._due[key] = bucket

    def _missing(self, cost: str, bucket: Bucket, now_ns: int) -> float:
        """How many tokens are not there."""
        rate, burst = self._allowances[cost]
        return max(0.0, burst - bucket.tokens - (now_ns - bucket.at_ns) * rate / NANOS)
