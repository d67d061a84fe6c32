"""Vitals: how the exchange has been, for operators: figures each five seconds, for an hour.

Flow:  the door's sweep, once a second -> [vitals] -> GET /admin/vitals
Owner: the event loop. A row costs it about two milliseconds. What percentiles are of is counted
from one row to the next, by the histograms of turn/latency.py, whose buckets are never too low.
"""

from collections import deque
from collections.abc import Callable, Iterable, Mapping
from itertools import accumulate
from typing import Any

from oms.clock import NANOS
from oms.gateways.web.operator_shapes import HopTold, VitalsRow, VitalsTold
from oms.manager import OrderManagement

STEP_NS = 5 * NANOS
ROWS_MAX = 720
MINUTE_ROWS = 12  # a minute of them
HOPS = ("intake", "wait", "venue", "disk", "publish", "total")
PERCENTILES = {"p50": 500, "p90": 900, "p99": 990, "p999": 999}  # of a thousand

Buckets = Mapping[tuple[int, int], int]
"""From ns, to ns, both included -> how many took so long."""
NONE: Mapping[str, Buckets] = {hop: {} for hop in HOPS}


class Vitals:
    """sockets: how many are open. status: of the order manager, a little old at most."""

    def __init__(
        self, oms: OrderManagement, status: Callable[[], Mapping[str, Any]],
        sockets: Callable[[], int],
    ) -> None:  # fmt: skip
        self._oms, self._status, self._sockets = oms, status, sockets
        self._rows: deque[VitalsRow] = deque(maxlen=ROWS_MAX)
        self._counted: deque[Mapping[str, Buckets]] = deque([NONE], maxlen=MINUTE_ROWS + 1)
        self._seen: tuple[int, int, int] | None = None  # entries, reports, rejects at the last row
        self._due_ns = 0

    def sweep(self, now_ns: int) -> None:
        """Once a second."""
        if now_ns >= self._due_ns:
            self._due_ns = now_ns + STEP_NS
            self._rows.append(self._row())

    def told(self, after_ns: int, limit: int) -> VitalsTold:
        """The latest rows behind an instant, oldest first; and the last minute."""
        rows = [row for row in self._rows if int(row["time"]) > after_ns]
        first, last = self._counted[0], self._counted[-1]
        minute = {hop: less(last[hop], first[hop]) for hop in HOPS}
        return {
            "rows": rows[-limit:],
            "minute": {hop: hop_told(counted) for hop, counted in minute.items()},
            "answers": [
                {"fromNs": str(low), "toNs": str(high), "count": count}
                for (low, high), count in sorted(minute["total"].items())
            ],
        }

    def _row(self) -> VitalsRow:
        status, oms = self._status(), self._oms
        counted = {
            hop: {(low, high): count for low, high, count in oms.latency_rows(hop)} for hop in HOPS
        }
        before, self._counted = self._counted[-1], self._counted
        self._counted.append(counted)
        seen = status["journal_seq"], status["published"], sum(status["rejects"].values())
        entries, reports, rejects = (
            now - then for now, then in zip(seen, self._seen or seen, strict=True)
        )
        self._seen = seen
        return {
            "time": str(oms.clock.wall_ns()),
            "inbox": status["inbox"], "waiting": status["waiting"],
            "openOrders": status["open_orders"], "sends": status["throttle"]["in_use"] or 0,
            "entries": entries, "reports": reports, "rejects": rejects,
            "sockets": self._sockets(),
            "hops": {hop: hop_told(less(counted[hop], before[hop])) for hop in HOPS},
        }  # fmt: skip


def less(now: Buckets, before: Buckets) -> Buckets:
    """What was counted in between."""
    return {
        edges: more for edges, count in now.items() if (more := count - before.get(edges, 0)) > 0
    }


def hop_told(counted: Buckets) -> HopTold:
    """How many, percentiles and the longest, in nanoseconds; null where nothing was counted."""
    edges = sorted(counted)
    totals = list(accumulate(counted[each] for each in edges))
    highs = [high for _, high in edges]
    return {
        "count": totals[-1] if totals else 0,
        "p50": rank(highs, totals, PERCENTILES["p50"]),
        "p90": rank(highs, totals, PERCENTILES["p90"]),
        "p99": rank(highs, totals, PERCENTILES["p99"]),
        "p999": rank(highs, totals, PERCENTILES["p999"]),
        "max": str(highs[-1]) if highs else None,
    }


def rank(highs: list[int], totals: Iterable[int], thousandths: int) -> str | None:
    """The nearest rank of a percentile, as its bucket's upper edge."""
    if not highs:
        return None
    totals = list(totals)
    wanted = max(1, -(-totals[-1] * thousandths // 1_000))
    return str(next(high for high, total in zip(highs, totals, strict=True) if total >= wanted))
