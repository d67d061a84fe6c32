"""Counts: what the front door has done since its start, for /metrics.

Owner: the event loop, which alone counts and reads. To count a request costs about a microsecond.
"""

from bisect import bisect_left
from collections import Counter
from itertools import accumulate

from oms.clock import NANOS

Edges = tuple[int, ...]
"""Upper edges of a histogram's buckets, in nanoseconds."""
HOP_EDGES: Edges = tuple(m * 10**e for e in range(4, 10) for m in (1, 2, 5))  # 10 us to 5 s
# Fewer, as each route has all of them: a line takes a scrape 10 us. 1 ms to 2 s.
ROUTE_EDGES: Edges = tuple(ms * 10**6 for ms in (1, 5, 20, 100, 500, 2_000))
Buckets = list[tuple[str, float]]
LOGINS = (("POST", "/login"), ("POST", "/signin"))
NO_ROUTE = "none"  # a path that there is not, by whatever method: its name would be the client's


class Timed:
    """How often something took how long."""

    __slots__ = ("_edges", "counts", "total_ns")

    def __init__(self, edges: Edges) -> None:
        self._edges = edges
        self.counts = [0] * (len(edges) + 1)
        self.total_ns = 0

    def add(self, elapsed_ns: int, count: int = 1) -> None:
        self.counts[bisect_left(self._edges, elapsed_ns)] += count
        self.total_ns += elapsed_ns * count

    @property
    def buckets(self) -> Buckets:
        """As Prometheus has them: how many took so long at most."""
        edges = [*(f"{edge / NANOS:g}" for edge in self._edges), "+Inf"]
        return [
            (edge, float(total)) for edge, total in zip(edges, accumulate(self.counts), strict=True)
        ]


class Counts:
    """answered: by method, route and status. times: by method and route.

    frames: messages told to subscribers. told: from the publication of a turn to the writing of a
    message about it to a socket; not of what is told at intervals. sockets_opened; sockets_slow:
    those closed because their clients did not read.
    """

    def __init__(self) -> None:
        self.answered: Counter[tuple[str, str, int]] = Counter()
        self.times: dict[tuple[str, str], Timed] = {}
        self.told = Timed(HOP_EDGES)
        self.frames = self.sockets_opened = self.sockets_slow = 0

    def answer(self, method: str, route: str, status: int, elapsed_ns: int) -> None:
        """One request was answered. route: the path as the routes have it, or NO_ROUTE."""
        self.answered[method, route, status] += 1
        times = self.times.get((method, route))
        if times is None:
            times = self.times[method, route] = Timed(ROUTE_EDGES)
        times.add(elapsed_ns)

    @property
    def logins(self) -> Counter[str]:
        """How attempts to sign in ended: done, refused, or throttled before they were tried."""
        found = Counter({"done": 0, "refused": 0, "throttled": 0})
        for (method, route, status), count in self.answered.items():
            if (method, route) in LOGINS:
                ended = "done" if status < 400 else "throttled" if status == 429 else "refused"
                found[ended] += count
        return found
