"""An engine behind Redis against the library path, in the same minutes; and the way there and back.

Claimed: at least 0.35 of the library path's orders a second, at most 28 us of processor time an
order in the engine's process and 6 us in Redis; an api's answer within 2 ms at the median, at a
tenth of what the engine carries.

Measured: the requests of Flow (client.py), once by `on_data` in this process, as in throughput.py,
and once written into the stream before the engine starts, then from its first read to the last
acknowledgement: reading, journal, commit, telling every turn, answering, acknowledging. Both with
durability=full. An api puts requests that wait together into one entry, up to 20: so does the
benchmark; `alone_` is the same with an entry for each, as an api writes that has little to do.
Redis' processor time is its own word (INFO cpu), less the writing of the requests. Then a
RemoteOrders in this process, an engine in another. `round_trip_`: requests at a tenth of the orders
a second that were measured before (`round_trips_per_s` is how many were sent), whether others are
answered or not; from the call to the call-back. `one_round_trip_`: one request after the other.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import threading
import time
from concurrent.futures import Future
from pathlib import Path
from statistics import quantiles
from typing import TYPE_CHECKING

from client import Flow, config, whole_path
from common import TREE, Claim, Figures, parser, report, skip
from streams import Redis, drain, fill, own_redis, program, scaled, wait_for

from oms import Config, OrderRequest, OrderResponse

if TYPE_CHECKING:
    from oms.roles.remote import RemoteOrders

CLAIMS = [
    Claim("ratio_to_library", ">=", 0.35),
    Claim("engine_cpu_us", "<=", 28),
    Claim("redis_cpu_us", "<=", 6),
    Claim("round_trip_ms_p50", "<=", 2),
]
PAUSE_S, ANSWER_S_MAX = 0.002, 30.0


def measure(args: argparse.Namespace) -> Figures:
    with tempfile.TemporaryDirectory(dir=args.directory) as name:
        directory = Path(name)
        library = directory / "library"
        library.mkdir()
        found = whole_path(library, config(), Flow(), args.orders, 5_000)
        with own_redis(directory) as redis:
            settings = scaled(redis.url)
            figures = behind_redis(directory, settings, redis, args)
            rate = float(figures["orders_per_s"]) / 10
            figures |= round_trips(directory, settings, rate, args.round_trips, redis.url)
    return {
        "library_orders_per_s": found["orders_per_s"],
        "library_cpu_us": found["cpu_us_per_order"],
        "ratio_to_library": float(figures["orders_per_s"]) / float(found["orders_per_s"]),
        **figures,
    }


def behind_redis(
    directory: Path, settings: Config, redis: Redis, args: argparse.Namespace
) -> Figures:
    """Fill the stream, then let an engine take it; then the same with an entry for each request."""
    told: Figures = {}
    for group, together in (("main", args.together), ("alone", 1)):
        fill(redis, group, args.orders, together)
        place = directory / group
        place.mkdir()
        before = list[float]()
        found = drain(settings, group, place, args.orders, lambda: before.append(redis.cpu_s()))  # noqa: B023
        found["redis_cpu_us"] = (redis.cpu_s() - before[0]) / args.orders * 1e6
        if group == "main":
            told |= found
        else:
            told |= {f"alone_{name}": found[name] for name in ("engine_cpu_us", "redis_cpu_us")}
    return told


def round_trips(directory: Path, settings: Config, rate: float, count: int, url: str) -> Figures:
    """An api's requests to an engine of its own process: at a rate, then one after the other."""
    from oms.roles.remote import RemoteOrders

    place = directory / "main"
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
        paced, seconds = at_rate(remote, rate, count)
        single = one_by_one(remote, count)
        remote.stop()
    finally:
        process.terminate()
        process.wait()
    return {
        "round_trips_per_s": count / seconds,
        "round_trip_ms_p50": paced[49], "round_trip_ms_p99": paced[98],
        "one_round_trip_ms_p50": single[49], "one_round_trip_ms_p99": single[98],
    }  # fmt: skip


def at_rate(remote: "RemoteOrders", rate: float, count: int) -> tuple[list[float], float]:
    """So many requests a second, each when it is due; the percentiles, and how long it took. What
    comes late, because others have the processors, is sent at once, and counts from then."""
    taken, answered = list[float](), threading.Event()

    def send(n: int) -> None:
        began = time.perf_counter()

        def told(answer: "Future[OrderResponse]") -> None:
            taken.append((time.perf_counter() - began) * 1e3)
            if answer.result().refused:
                raise SystemExit(f"refused: {answer.result()}")
            if len(taken) == count:
                answered.set()

        remote.submit(order(f"paced-{n}")).add_done_callback(told)

    start = time.perf_counter()
    for n in range(count):
        pause_s = start + n / rate - time.perf_counter()
        if pause_s > 0:
            time.sleep(pause_s)
        send(n)
    seconds = time.perf_counter() - start
    if not answered.wait(ANSWER_S_MAX):
        raise SystemExit(f"{len(taken):,} answers to {count:,} requests")
    return quantiles(taken, n=100), seconds


def one_by_one(remote: "RemoteOrders", count: int) -> list[float]:
    """The percentiles, with a pause between two."""
    taken = list[float]()
    for n in range(count):
        request, began = order(f"single-{n}"), time.perf_counter()
        remote.submit(request).result(ANSWER_S_MAX)
        taken.append((time.perf_counter() - began) * 1e3)
        time.sleep(PAUSE_S)
    return quantiles(taken, n=100)


def order(name: str) -> OrderRequest:
    return OrderRequest.new("bench", name, "TATA_INR", "BUY", "1", "10")


def main() -> int:
    arguments = parser(__doc__)
    arguments.add_argument("--orders", type=int, default=200_000)
    arguments.add_argument("--together", type=int, default=20, help="requests in an entry")
    arguments.add_argument("--round-trips", type=int, default=2_000)
    args = arguments.parse_args()
    if args.quick:
        args.orders, args.round_trips = 5_000, 100
    if program() is None:
        return skip("scale_engine", "there is no redis-server and no valkey-server")
    return report("scale_engine", args, measure, CLAIMS)


if __name__ == "__main__":
    sys.exit(main())
