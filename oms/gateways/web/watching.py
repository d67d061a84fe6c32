"""Watching: whether it lives, whether it is ready, and its figures for Prometheus.

/health says that the front door answers. /ready asks the engine, and names what is not as it
should be. /metrics reads what is counted anyway; between scrapes it costs next to nothing.
"""

import asyncio
import shutil
import threading
from collections.abc import Iterable, Iterator, Mapping

from prometheus_client import CollectorRegistry, ProcessCollector, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from oms.clock import NANOS
from oms.errors import StoppedError, StoreError, TransportError
from oms.gateways.web.counts import HOP_EDGES, Timed
from oms.gateways.web.door import Door, Right
from oms.gateways.web.errors import Reply
from oms.gateways.web.front import Ask, Entry
from oms.gateways.web.shapes import Answer, HealthTold, ReadyTold
from oms.gateways.web.told import Told

PROJECTION = "projection"  # the part of /ready, and the hop
READY_S_MAX = 1.0  # within which the engine has to answer
DISK_BYTES_MIN = 100_000_000
HOPS = ("intake", "wait", "venue", "disk", "publish", "total")
TEXT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
Row = tuple[str, str, float]
"""Name, what it says, value."""


async def health(_ask: Ask, _: None) -> Reply:
    return Reply({"status": "ok"})


async def ready(ask: Ask, _: None) -> Reply:
    """200 if orders are taken now; 503 names each part that is not ready. A projection that is
    behind keeps nobody from trading."""
    parts = await readiness(ask.door)
    sound = all(part["ready"] for name, part in parts.items() if name != PROJECTION)
    return Reply({"ready": sound, "parts": parts}, 200 if sound else 503)


async def readiness(door: Door) -> dict[str, Told]:
    oms = door.oms
    status, began_ns = door.status(), oms.clock.monotonic_ns()
    engine: Told
    try:
        async with asyncio.timeout(READY_S_MAX):
            seq = await door.awaitable(oms.journal_seq())
        lag_ns = oms.clock.monotonic_ns() - began_ns
        health = status["health"]
        engine = {"ready": health == "ok", "health": health, "seq": str(seq), "lagMs": lag_ns / 1e6}
    except TimeoutError:
        engine = {"ready": False, "why": f"no answer within {READY_S_MAX:g} s"}
    except (StoppedError, StoreError, TransportError) as error:
        engine = {"ready": False, "why": str(error)}
    free = free_bytes(door)
    return {
        "engine": engine,
        "journal": {
            "ready": status["store"] == "ok", "state": status["store"],
            "lag": status["store_lag"],
        },
        "disk": {"ready": free >= DISK_BYTES_MIN, "freeBytes": str(free)},
        "venue": {"ready": status["link"] == "up" or status["session"] == "closed",
                  "link": status["link"]},
        **(groups_told(status["groups"]) if "groups" in status else own_told(status)),
    }  # fmt: skip


def own_told(status: Told) -> dict[str, Told]:
    """Of a journal in Postgres its server, and the projection, where there is one."""
    postgres, projection = status["postgres"], projection_told(status["projection"])
    return {
        **({"postgres": {"ready": postgres == "ok", "state": postgres}} if postgres else {}),
        **({PROJECTION: projection} if projection else {}),
    }


def groups_told(groups: dict[str, Told]) -> dict[str, Told]:
    """How each engine is reached, and what it says of the same."""
    return {
        f"group {name}": {
            **told, "seq": str(told["seq"]), PROJECTION: projection_told(told["projection"]),
        }
        for name, told in groups.items()
    }  # fmt: skip


def projection_told(found: Told | None) -> Told | None:
    if found is None:
        return None
    return {
        "ready": found["state"] == "ok", "state": found["state"],
        "seq": str(found["seq"]), "lagEntries": found["lag_entries"], "lagSeconds": found["lag_s"],
    }  # fmt: skip


async def metrics(ask: Ask, _: None) -> Reply:
    return Reply(figures_text(ask.door), content_type=TEXT_TYPE)


def figures_text(door: Door) -> bytes:
    """All figures as Prometheus reads them: some milliseconds of work."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(Figures(door))
    ProcessCollector(registry=registry)  # CPU, memory, files: on Linux alone
    return generate_latest(registry)


class Figures(Collector):
    """What is counted, as Prometheus has it: docs/serving.md lists it."""

    def __init__(self, door: Door) -> None:
        self._door = door

    def collect(self) -> Iterator[Metric]:
        status = self._door.oms.get_status()
        yield from gauges(self._engine(status))
        yield from counters(self._done(status))
        yield labeled("oms_rejects", "requests refused", "reason", status["rejects"])
        by_group = status.get("groups") or {"": status}
        yield self._hops(by_group)
        yield from stores_told(by_group)
        yield from self._web()

    def _engine(self, status: Told) -> list[Row]:
        config, throttle = self._door.oms.config, status["throttle"]
        return [
            ("oms_up", "1 while requests are taken", status["health"] == "ok"),
            ("oms_session_open", "1 while orders trade", status["session"] == "open"),
            ("oms_link_up", "1 while the venue is connected", status["link"] == "up"),
            ("oms_store_ok", "1 while the store takes writes", status["store"] == "ok"),
            ("oms_store_lag_requests", "requests that are not on disk yet", status["store_lag"]),
            ("oms_store_log_bytes", "size of the write-ahead log", status["store_log_bytes"]),
            ("oms_disk_free_bytes", "left where the data is", free_bytes(self._door)),
            ("oms_inbox_requests", "requests that no turn has taken yet", status["inbox"]),
            ("oms_inbox_requests_max", "with so many, new ones are refused",
             config.queue.inbox_max),
            ("oms_waiting_orders", "orders that wait for throttle or open", status["waiting"]),
            ("oms_waiting_orders_max", "with so many, new ones are refused",
             config.queue.waiting_max),
            ("oms_in_flight_requests", "requests the venue owes an answer", status["in_flight"]),
            ("oms_unknown_requests", "requests the venue never answered", status["unknown"]),
            ("oms_open_orders", "orders that are open", status["open_orders"]),
            ("oms_throttle_sends", "sends in the throttle's window", throttle["in_use"] or 0),
            ("oms_throttle_sends_max", "the most of them; 0: no throttle",
             throttle["sends_max"] if throttle["policy"] != "off" else 0),
            ("oms_clock_behind_seconds", "how far the clock is behind what reports bear",
             status["clock"]["behind_ns"] / NANOS),
        ]  # fmt: skip

    @staticmethod
    def _done(status: Told) -> list[Row]:
        return [
            ("oms_journal_entries", "lines of the journal, ever", status["journal_seq"]),
            ("oms_turns", "turns of the dispatcher, each one transaction", status["turns"]),
            ("oms_reports", "execution reports published", status["published"]),
            ("oms_listener_failures", "listeners that raised", status["listener_failures"]),
            ("oms_venue_anomalies", "venue reports that fit no order", status["venue_anomalies"]),
            ("oms_clock_jumps", "jumps of the wall clock", status["clock"]["jumps"]),
        ]

    def _hops(self, by_group: Mapping[str, Told]) -> Metric:
        latency = HistogramMetricFamily(
            "oms_latency_seconds", "from a request's call to its answer, by hop", labels=["hop"]
        )
        rows = {hop: self._door.oms.latency_rows(hop) for hop in HOPS}
        filled = [told[PROJECTION] for told in by_group.values() if told[PROJECTION]]
        rows[PROJECTION] = [row for each in filled for row in each["rows"]]
        for hop, counted in rows.items():
            times = Timed(HOP_EDGES)
            for low_ns, high_ns, count in counted:
                times.add((low_ns + high_ns) // 2, count)
            latency.add_metric([hop], times.buckets, times.total_ns / NANOS)
        told = self._door.counts.told
        latency.add_metric(["socket"], told.buckets, told.total_ns / NANOS)
        return latency

    def _web(self) -> Iterator[Metric]:
        door, counts = self._door, self._door.counts
        requests = CounterMetricFamily(
            "oms_web_requests", "requests answered", labels=["method", "route", "status"]
        )
        for (method, route, status), count in sorted(counts.answered.items()):
            requests.add_metric([method, route, str(status)], float(count))
        yield requests
        seconds = HistogramMetricFamily(
            "oms_web_request_seconds", "from a request's headers to its answer",
            labels=["method", "route"],
        )  # fmt: skip
        for (method, route), times in sorted(counts.times.items()):
            seconds.add_metric([method, route], times.buckets, times.total_ns / NANOS)
        yield seconds
        yield labeled("oms_web_logins", "attempts to sign in", "outcome", counts.logins)
        yield from counters([
            ("oms_web_sockets_opened", "WebSockets opened", counts.sockets_opened),
            ("oms_web_sockets_slow", "WebSockets closed as nobody read", counts.sockets_slow),
            ("oms_web_frames", "messages told over WebSockets", counts.frames),
        ])  # fmt: skip
        yield from gauges([
            ("oms_web_sockets", "WebSockets that are open", door.sockets),
            ("oms_process_threads", "threads of the process", threading.active_count()),
        ])  # fmt: skip


def stores_told(by_group: Mapping[str, Told]) -> Iterator[Metric]:
    """Of each group's journal and projection; of the latter only where a db-filler is."""
    silent, up, entries, seconds = (
        GaugeMetricFamily(name, text, labels=["group"])
        for name, text in (
            ("oms_store_silent_seconds", "since the store that has the journal last answered"),
            ("oms_projection_up", "1 while db-filler fills Postgres"),
            ("oms_projection_lag_entries", "journal entries that are not in Postgres"),
            ("oms_projection_lag_seconds", "how long the first of them has waited"),
        )
    )
    for group, told in by_group.items():
        silent.add_metric([group], told["store_silent_s"])
        found = told[PROJECTION]
        if found:
            up.add_metric([group], float(found["state"] == "ok"))
            entries.add_metric([group], found["lag_entries"])
            seconds.add_metric([group], found["lag_s"])
    yield from (silent, up, entries, seconds)


def gauges(rows: Iterable[Row]) -> Iterator[Metric]:
    for name, text, value in rows:
        yield GaugeMetricFamily(name, text, value=float(value))


def counters(rows: Iterable[Row]) -> Iterator[Metric]:
    for name, text, value in rows:
        yield CounterMetricFamily(name, text, value=float(value))


def labeled(name: str, text: str, label: str, counted: Mapping[str, int]) -> Metric:
    found = CounterMetricFamily(name, text, labels=[label])
    for value, count in sorted(counted.items()):
        found.add_metric([value], float(count))
    return found


def free_bytes(door: Door) -> int:
    return shutil.disk_usage(door.directory).free


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
