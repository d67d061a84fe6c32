"""Watching: whether it lives, whether it is ready, and its figures for Prometheus.

/health says that the front door answers. /ready asks the engine, and names what is not as it
should be. /metrics reads what is counted anyway: a scrape costs the order path nothing.
"""

import asyncio
import shutil
import threading
from collections.abc import Iterator
from itertools import accumulate

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from oms.clock import NANOS
from oms.gateways.web.errors import Reply
from oms.gateways.web.front import Ask, Door, Entry, Right
from oms.gateways.web.shapes import Answer, HealthTold, ReadyTold
from oms.gateways.web.told import Told

READY_S_MAX = 1.0  # within which the engine has to answer
DISK_BYTES_MIN = 100_000_000
HOPS = ("intake", "wait", "venue", "disk", "publish", "total")
# In seconds. A histogram of ours has 752 buckets; these are what a dashboard wants of them.
EDGES = tuple(m * 10**e / NANOS for e in range(4, 11) for m in (1, 2, 5))
TEXT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


async def health(_ask: Ask, _: None) -> Reply:
    return Reply({"status": "ok"})


async def ready(ask: Ask, _: None) -> Reply:
    """200 if orders are taken now; 503 names each part that is not ready."""
    parts = await readiness(ask.door)
    sound = all(part["ready"] for part in parts.values())
    return Reply({"ready": sound, "parts": parts}, 200 if sound else 503)


async def readiness(door: Door) -> dict[str, Told]:
    oms = door.oms
    status, began_ns = oms.get_status(), oms.clock.monotonic_ns()
    engine: Told
    try:
        async with asyncio.timeout(READY_S_MAX):
            seq = await asyncio.shield(door.awaitable(oms.journal_seq()))
        lag_ns = oms.clock.monotonic_ns() - began_ns
        engine = {"ready": status["health"] == "ok", "seq": str(seq), "lagMs": lag_ns / 1e6}
    except TimeoutError:
        engine = {"ready": False, "why": f"no answer within {READY_S_MAX:g} s"}
    free = shutil.disk_usage(door.directory).free
    return {
        "engine": engine,
        "journal": {
            "ready": status["store"] == "ok", "state": status["store"],
            "lag": status["store_lag"],
        },
        "disk": {"ready": free >= DISK_BYTES_MIN, "freeBytes": str(free)},
        "venue": {"ready": status["link"] == "up" or status["session"] == "closed",
                  "link": status["link"]},
    }  # fmt: skip


async def metrics(ask: Ask, _: None) -> Reply:
    registry = CollectorRegistry(auto_describe=False)
    registry.register(Figures(ask.door))
    return Reply(generate_latest(registry), content_type=TEXT_TYPE)


class Figures(Collector):
    """What is counted, as Prometheus has it. Names end in their unit; see docs/metrics.md."""

    def __init__(self, door: Door) -> None:
        self._door = door

    def collect(self) -> Iterator[Metric]:
        status = self._door.oms.get_status()
        yield from self._engine(status)
        yield from self._web()
        latency = HistogramMetricFamily(
            "oms_latency_seconds", "From a request's call to its answer, by hop", labels=["hop"]
        )
        for hop in HOPS:
            rows = self._door.oms.latency_rows(hop)
            total = sum((low + high) / 2 * count for low, high, count in rows) / NANOS
            latency.add_metric([hop], buckets_of(rows), total)
        yield latency

    def _engine(self, status: Told) -> Iterator[Metric]:
        for name, text, value in (
            ("oms_up", "1 while requests are taken", status["health"] == "ok"),
            ("oms_session_open", "1 while orders trade", status["session"] == "open"),
            ("oms_link_up", "1 while the venue is connected", status["link"] == "up"),
            ("oms_store_ok", "1 while the store takes writes", status["store"] == "ok"),
            ("oms_inbox_requests", "requests that no turn has taken yet", status["inbox"]),
            ("oms_waiting_orders", "orders that wait for throttle or open", status["waiting"]),
            ("oms_in_flight_requests", "requests the venue owes an answer", status["in_flight"]),
            ("oms_open_orders", "orders that are open", status["open_orders"]),
            ("oms_journal_sequence", "sequence of the latest turn", status["journal_seq"]),
            ("oms_store_log_bytes", "size of the write-ahead log", status["store_log_bytes"]),
            ("oms_throttle_in_use", "sends in the throttle's window",
             status["throttle"]["in_use"] or 0),
        ):  # fmt: skip
            yield GaugeMetricFamily(name, text, value=float(value))
        for name, text, value in (
            ("oms_turns", "turns of the dispatcher", status["turns"]),
            ("oms_reports", "execution reports published", status["published"]),
            ("oms_listener_failures", "listeners that raised", status["listener_failures"]),
            ("oms_venue_anomalies", "venue reports that fit no order", status["venue_anomalies"]),
        ):
            yield CounterMetricFamily(name, text, value=float(value))
        rejects = CounterMetricFamily("oms_rejects", "Requests refused", labels=["reason"])
        for reason, count in sorted(status["rejects"].items()):
            rejects.add_metric([reason], float(count))
        yield rejects

    def _web(self) -> Iterator[Metric]:
        door = self._door
        requests = CounterMetricFamily(
            "oms_web_requests", "Requests answered", labels=["method", "route", "status"]
        )
        for (method, route, status), count in sorted(door.counted.items()):
            requests.add_metric([method, route, str(status)], float(count))
        yield requests
        yield GaugeMetricFamily("oms_web_sockets", "WebSockets that are open", value=door.sockets)
        yield GaugeMetricFamily(
            "oms_process_threads", "threads of the process", value=threading.active_count()
        )


def buckets_of(rows: list[tuple[int, int, int]]) -> list[tuple[str, float]]:
    """The cumulative buckets of Prometheus from rows of (from ns, to ns, how many)."""
    counts = [0] * (len(EDGES) + 1)
    for _low, high, count in rows:
        place = next((n for n, edge in enumerate(EDGES) if high <= edge * NANOS), len(EDGES))
        counts[place] += count
    totals = list(accumulate(counts))
    edges = [*(f"{edge:g}" for edge in EDGES), "+Inf"]
    return [(edge, float(total)) for edge, total in zip(edges, totals, strict=True)]


def entries() -> list[Entry]:
    public = Right.PUBLIC
    return [
        Entry(
            "GET",
            "/health",
            health,
            public,
            "whether the front door answers",
            answer=Answer(HealthTold),
        ),
        Entry(
            "GET",
            "/ready",
            ready,
            public,
            "whether orders are taken now",
            answer=Answer(ReadyTold, (200, 503)),
        ),
        Entry(
            "GET",
            "/metrics",
            metrics,
            Right.METRICS,
            "figures for Prometheus",
            answer=Answer(str, content=TEXT_TYPE),
        ),
    ]
