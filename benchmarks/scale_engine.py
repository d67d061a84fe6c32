"""An engine behind Redis against the library path, in the same minutes; and the way there and back.

Claimed: at least 0.35 of the library path's orders a second, at most 28 us of processor time an
order in the engine's process and 6 us in Redis; an api's answer within 2 ms at the median, at a
tenth of what the engine carries, but at most 500 a second.

Measured: the requests of Flow (client.py), once by `on_data` in this process, as in throughput.py,
and once written into the stream before the engine starts, then from its first read to the last
acknowledgement: reading, journal, commit, telling every turn, answering, acknowledging. Both with
durability=full. Redis' processor time is its own word (INFO cpu), less the writing of the
requests. Then a RemoteOrders in this process, an engine in another: one request after the other.
"""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import replace
from pathlib import Path
from statistics import quantiles

from client import Flow, config, whole_path
from common import TREE, Claim, Figures, parser, report, skip

from oms import Config, OrderManagement, OrderRequest

CLAIMS = [
    Claim("ratio_to_library", ">=", 0.35),
    Claim("engine_cpu_us", "<=", 28),
    Claim("redis_cpu_us", "<=", 6),
    Claim("round_trip_ms_p50", "<=", 2),
]
CLIENT, FILL = "bench", 1_000
START_S, DRAIN_S = 20.0, 300.0
RATE_MAX = 500


class Redis:
    """A server of the benchmark's own, behind a socket."""

    def __init__(self, program: str, directory: Path) -> None:
        from oms.transport.server import Server

        self.url = f"unix://{directory}/redis.sock"
        self._process = subprocess.Popen(
            [
                program, "--port", "0", "--unixsocket", f"{directory}/redis.sock", "--save", "",
                "--appendonly", "no", "--maxmemory", "4gb", "--maxmemory-policy", "noeviction",
                "--dir", str(directory),
            ],
            stdout=subprocess.DEVNULL,
        )  # fmt: skip
        wait_for(lambda: (directory / "redis.sock").exists())
        self.server = Server(self.url, 10.0)
        wait_for(lambda: self.server.call("PING"))

    def cpu_s(self) -> float:
        lines = self.server.call("INFO", "cpu").decode().splitlines()
        facts = dict(line.split(":") for line in lines if ":" in line)
        return float(facts["used_cpu_user"]) + float(facts["used_cpu_sys"])

    def stop(self) -> None:
        self.server.close()
        self._process.terminate()
        self._process.wait()


def wait_for(condition, seconds: float = START_S) -> None:  # type: ignore[no-untyped-def]
    due = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > due:
            raise SystemExit("it did not happen in time")
        time.sleep(0.005)


def measure(args: argparse.Namespace) -> Figures:
    program = shutil.which("redis-server") or shutil.which("valkey-server")
    assert program is not None
    with tempfile.TemporaryDirectory(dir=args.directory) as name:
        directory = Path(name)
        library = directory / "library"
        library.mkdir()
        found = whole_path(library, config(), Flow(), args.orders, 5_000)
        redis = Redis(program, directory)
        try:
            settings = scaled(redis.url)
            figures = behind_redis(directory, settings, redis, args.orders)
            figures |= round_trip(directory, settings, args.round_trips, redis.url)
        finally:
            redis.stop()
    return {
        "library_orders_per_s": found["orders_per_s"],
        "library_cpu_us": found["cpu_us_per_order"],
        "ratio_to_library": float(figures["orders_per_s"]) / float(found["orders_per_s"]),
        **figures,
    }


def scaled(url: str) -> Config:
    settings = config()
    return replace(settings, scale=replace(settings.scale, redis_url=url, lag_max=10_000_000))


def behind_redis(directory: Path, settings: Config, redis: Redis, orders: int) -> Figures:
    """Fill the stream, then let an engine take it."""
    from oms.roles.engine import Engine
    from oms.transport import wire
    from oms.transport.keys import Keys

    keys, flow, server = Keys("main"), Flow(), redis.server
    server.call("XADD", keys.replies(CLIENT), "*", "v", "0", "e", "")
    for start in range(0, orders, FILL):
        count = min(FILL, orders - start)
        server.all([
            ("XADD", keys.commands, "*", "v", "1", "e", wire.command(CLIENT, start + n, 0, request))
            for n, request in enumerate(flow.take(count))
        ])  # fmt: skip
    place = directory / "engine"
    place.mkdir()
    died: list[object] = []
    with OrderManagement(settings, directory=place) as manager:
        engine = Engine(manager, "main")
        engine.open()
        redis_s, began, cpu_s = redis.cpu_s(), time.monotonic(), time.process_time()
        engine.start(lambda *given: died.append(given))
        wait_for(lambda: died or not server.call("XLEN", keys.commands), DRAIN_S)
        seconds, cpu_s = time.monotonic() - began, time.process_time() - cpu_s
        redis_s = redis.cpu_s() - redis_s
        turns = manager.get_status()["turns"]
    engine.stop()
    if died:
        raise SystemExit(f"the engine died: {died}")
    return {
        "orders_per_s": orders / seconds,
        "engine_cpu_us": cpu_s / orders * 1e6,
        "redis_cpu_us": redis_s / orders * 1e6,
        "orders_per_turn": orders / turns,
    }


def round_trip(directory: Path, settings: Config, count: int, url: str) -> Figures:
    """An api's requests, one every so often, to an engine of its own process."""
    from oms.roles.remote import RemoteOrders

    place = directory / "engine"
    environment = {
        **os.environ, "OMS__SCALE__REDIS_URL": url, "OMS__SESSION__ALWAYS_OPEN": "yes",
        "OMS__THROTTLE__POLICY": "off",
    }  # fmt: skip
    process = subprocess.Popen(
        [sys.executable, str(TREE / "order_management.py"), "engine", "--data-dir", str(place)],
        env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        remote = RemoteOrders(settings)
        remote.start()
        wait_for(lambda: remote.home.alive and remote.home.mirror.seq)
        taken = list[float]()
        pause = threading.Event()
        for n in range(count):
            request = OrderRequest.new("bench", f"trip-{n}", "TATA_INR", "BUY", "1", "10")
            began = time.perf_counter()
            remote.submit(request).result(10)
            taken.append((time.perf_counter() - began) * 1e3)
            pause.wait(1 / RATE_MAX)
        remote.stop()
    finally:
        process.terminate()
        process.wait()
    cuts = quantiles(taken, n=100)
    return {"round_trip_ms_p50": cuts[49], "round_trip_ms_p99": cuts[98]}


def main() -> int:
    arguments = parser(__doc__)
    arguments.add_argument("--orders", type=int, default=200_000)
    arguments.add_argument("--round-trips", type=int, default=2_000)
    args = arguments.parse_args()
    if args.quick:
        args.orders, args.round_trips = 5_000, 100
    if not (shutil.which("redis-server") or shutil.which("valkey-server")):
        return skip("scale_engine", "there is no redis-server and no valkey-server")
    return report("scale_engine", args, measure, CLAIMS)


if __name__ == "__main__":
    sys.exit(main())
