"""Limits: how much one client may ask, by user or key, and by address before anybody is known.

A bucket fills at so many tokens a second up to its burst; a request takes one. A cancel has a
bucket of its own, larger than that of orders: who may not send any more may still take risk off.
Owner: the event loop.
"""

from collections import OrderedDict
from typing import NamedTuple

from oms.clock import NANOS

BUCKETS_MAX = 100_000  # the one that was used longest ago is forgotten: by then it is full
REQUEST, ORDER, CANCEL, ADDRESS, LOGIN = "request", "order", "cancel", "address", "login"
EXTRA = "extra"  # of one socket: control frames, fragments, and messages that were too many


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


class Limits:
    """The buckets of every client. allowances: by cost, see Entry."""

    def __init__(self, allowances: dict[str, Allowance]) -> None:
        self._allowances = allowances
        self._buckets: OrderedDict[tuple[str, str], tuple[float, int]] = OrderedDict()

    def take(self, cost: str, client: str, now_ns: int, count: int = 1) -> Taken:
        """Take tokens, if there are so many; nothing is taken where there are not."""
        rate, burst = self._allowances[cost]
        key = (cost, client)
        tokens, at_ns = self._buckets.pop(key, (float(burst), now_ns))
        tokens = min(float(burst), tokens + (now_ns - at_ns) * rate / NANOS)
        wait_s = 0.0
        if tokens >= count:
            tokens -= count
        else:
            wait_s = (count - tokens) / rate
        self._buckets[key] = (tokens, now_ns)
        if len(self._buckets) > BUCKETS_MAX:
            self._buckets.popitem(last=False)
        return Taken(burst, int(tokens), wait_s)
