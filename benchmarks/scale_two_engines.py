"""Two engines on two cores against one: what a second group of markets adds.

Claimed: at least 1.5 times the orders a second of one engine; the bound is about 1.8, because
Redis, too, has its share of the two cores.

Measured: pairs of runs in turn, one engine and then two, each engine a process with a group, a
stream and a journal of its own; all streams lie in one Redis server and are filled before. From the
word to begin to the last acknowledgement of the slower one. With durability=full. The ratio of each
pair, and their median. Others' work on the machine takes from two engines more than from one; what
that does not change is processor time: `ratio_by_cpu` is what both cores would give if they did
nothing but two engines and Redis, against one core that does nothing but one engine.
"""

import argparse
import multiprocessing
import sys
import tempfile
from multiprocessing.connection import Connection
from pathlib import Path
from statistics import median

from common import Claim, Figures, parser, report, skip
from streams import DRAIN_S, START_S, drain, fill, own_redis, program, scaled

CLAIMS = [Claim("ratio_to_one", ">=", 1.5)]
GROUPS = ("a", "b")
TOGETHER = 20  # requests in an entry, as a busy api writes them


def engine(url: str, group: str, directory: str, orders: int, told: Connection) -> None:
    """The process of one engine: says that it is ready, waits for the word, tells its figures."""

    def begin() -> None:
        told.send("ready")
        told.recv()

    place = Path(directory) / group
    place.mkdir()
    told.send(drain(scaled(url), group, place, orders, begin))


def run(orders: int, groups: tuple[str, ...], parent: Path | None) -> tuple[float, float, float]:
    """Orders a second, all engines together; their processor time an order, and Redis', in us."""
    context = multiprocessing.get_context("spawn")
    with tempfile.TemporaryDirectory(dir=parent) as directory, own_redis(Path(directory)) as redis:
        engines = []
        try:
            for group in groups:
                fill(redis, group, orders, TOGETHER)
                ours, theirs = context.Pipe()
                given = (redis.url, group, directory, orders, theirs)
                engines.append((context.Process(target=engine, args=given), ours))
            for process, _ in engines:
                process.start()
            for _, ours in engines:
                heard(ours, START_S)
            redis_s = redis.cpu_s()
            for _, ours in engines:
                ours.send("begin")
            found = [heard(ours, DRAIN_S) for _, ours in engines]
            redis_s = redis.cpu_s() - redis_s
            for process, _ in engines:
                process.join()
        finally:
            for process, _ in engines:
                if process.pid is not None:
                    process.kill()  # one that failed; the others have ended
    count = orders * len(groups)
    cpu_us = sum(float(each["engine_cpu_us"]) for each in found) / len(found)
    return count / max(float(each["seconds"]) for each in found), cpu_us, redis_s / count * 1e6


def heard(connection: Connection, seconds: float) -> Figures:
    if not connection.poll(seconds):
        raise SystemExit("an engine did not answer in time")
    said: Figures = connection.recv()
    return said


def measure(args: argparse.Namespace) -> Figures:
    pairs = [
        [run(args.orders, GROUPS[:count], args.directory) for count in (1, 2)]
        for _ in range(args.pairs)
    ]
    ratios = [two[0] / one[0] for one, two in pairs]
    by_cpu = [2 * one[1] / (two[1] + two[2]) for one, two in pairs]
    return {
        "ratio_to_one": median(ratios),
        "ratio_by_cpu": median(by_cpu),
        "ratio_min": min(ratios),
        "ratio_max": max(ratios),
        "one_orders_per_s": median(one[0] for one, _ in pairs),
        "two_orders_per_s": median(two[0] for _, two in pairs),
        "one_engine_cpu_us": median(one[1] for one, _ in pairs),
        "two_engine_cpu_us": median(two[1] for _, two in pairs),
        "two_redis_cpu_us": median(two[2] for _, two in pairs),
    }


def main() -> int:
    arguments = parser(__doc__)
    arguments.add_argument("--orders", type=int, default=100_000, help="of each engine")
    arguments.add_argument("--pairs", type=int, default=5)
    args = arguments.parse_args()
    args.trials = args.trials or 1
    if args.quick:
        args.orders, args.pairs = 3_000, 1
    if program() is None:
        return skip("scale_two_engines", "there is no redis-server and no valkey-server")
    return report("scale_two_engines", args, measure, CLAIMS)


if __name__ == "__main__":
    sys.exit(main())
