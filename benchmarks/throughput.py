"""Whole path as a library: durable, published orders a second.

Claimed: at least 150,000 orders/s through `on_data` with durability=full, at least 0.15 of what
SQLite alone takes, at most 500 bytes of disk an order, memory flat.

Measured: one producer thread makes requests (Flow in common.py) and hands them to `on_data`; it
pauses while the inbox holds more than --inbox, because on_data itself never waits. One listener
counts first answers, one a request. Throttle off, always-open session.

Inside the timed part: making each request, on_data, matching, journal, reports, commit,
listener; from before the first request to the last first answer. Outside: starting, stopping,
drawing the random numbers.

Raw SQLite, in the same process, half of it before and half after, on the same file system:
executemany of rows like those of order_responses, 1,000 a transaction, same durability, no
index; rows made outside.
"""

import argparse
import sqlite3
import sys
import tempfile
import threading
import time
from pathlib import Path

from common import (
    Claim,
    Figures,
    Flow,
    add_gc_to,
    config,
    parser,
    report,
    rss_bytes,
    set_gc,
    wait_for_link,
)

from oms import OrderManagement, OrderResponse
from oms.reports import ROW_COLUMNS

CLAIMS = [
    Claim("orders_per_s", ">=", 150_000),
    Claim("ratio_to_raw", ">=", 0.15),
    Claim("disk_bytes_per_order", "<=", 500),
    Claim("rss_growth", "<=", 1.1),
]
ROWS_PER_TRANSACTION = 1_000


class Answers:
    """Counts first answers; the dispatcher's thread calls it."""

    def __init__(self, expected: int) -> None:
        self.expected = expected
        self.count = 0
        self.last_ns = 0
        self.all_here = threading.Event()

    def __call__(self, response: OrderResponse) -> None:
        row = response.row
        if row[3] and row[8] != "TRADE":  # a request's trades follow its first answer
            self.count += 1
            if self.count == self.expected:
                self.last_ns = time.monotonic_ns()
                self.all_here.set()


def measure(args: argparse.Namespace) -> Figures:
    with tempfile.TemporaryDirectory(dir=args.directory) as directory:
        raw_path, half = Path(directory) / "raw.db", args.raw_rows // 2
        raw_s = raw_seconds(raw_path, args.durability, half)
        figures = whole_path(Path(directory), args)
        raw_s += raw_seconds(raw_path, args.durability, half)
    figures["raw_rows_per_s"] = 2 * half / raw_s
    figures["ratio_to_raw"] = float(figures["orders_per_s"]) / (2 * half / raw_s)
    return figures


def whole_path(directory: Path, args: argparse.Namespace) -> Figures:
    manager = OrderManagement(config(args.durability), directory=directory)
    answers, flow = Answers(args.orders), Flow()
    gc_settings = set_gc(args.gc)
    manager.add_listener(answers)
    with manager:
        wait_for_link(manager)
        before_rss = rss_bytes()
        start_ns, cpu_s = time.monotonic_ns(), time.process_time()
        produce(manager, flow, args.orders // 5, args.inbox)
        early_rss = rss_bytes()
        produce(manager, flow, args.orders - args.orders // 5, args.inbox)
        if not answers.all_here.wait(60):
            raise SystemExit(f"{answers.count:,} first answers to {args.orders:,} requests")
        cpu_s = time.process_time() - cpu_s
        late_rss = rss_bytes()
        status = manager.get_status()
    seconds = (answers.last_ns - start_ns) / 1e9
    size = (directory / manager.config.store.database).stat().st_size
    return {
        "orders_per_s": args.orders / seconds,
        "seconds": seconds,
        "cpu_us_per_order": cpu_s / args.orders * 1e6,
        "reports_per_order": status["published"] / args.orders,
        "turns": status["turns"],
        "orders_per_turn": args.orders / status["turns"],
        "disk_bytes_per_order": size / args.orders,
        "rss_mb_start": before_rss / 1e6,
        "rss_mb_at_20_percent": early_rss / 1e6,
        "rss_mb_at_end": late_rss / 1e6,
        "rss_growth": late_rss / early_rss if early_rss else 0.0,
        "open_orders": status["open_orders"],
        "rejects": str(status["rejects"]),
        "mix": str(flow.kinds),
        "gc": gc_settings,
    }


def produce(manager: OrderManagement, flow: Flow, count: int, inbox_max: int) -> None:
    """Hand over `count` requests; pause while the inbox is above the bound."""
    on_data, inbox, next_request = manager.on_data, manager.inbox, flow.next
    for number in range(count):
        on_data(next_request())
        if not number % 100:
            while inbox.size > inbox_max:
                time.sleep(0.001)


def raw_seconds(path: Path, durability: str, count: int) -> float:
    """What SQLite alone takes: the ceiling of everything that stores each report as a row."""
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("PRAGMA journal_mode = WAL")
    synchronous = {"full": "FULL", "normal": "NORMAL", "none": "OFF"}[durability]
    connection.execute(f"PRAGMA synchronous = {synchronous}")
    connection.execute(f"CREATE TABLE reports ({', '.join(ROW_COLUMNS)})")
    insert = f"INSERT INTO reports VALUES ({', '.join('?' * len(ROW_COLUMNS))})"
    rows = [
        (
            1_000_000 + number, number, 900_000 + number, 1_000_000 + number, "bench",
            str(1_000_000 + number), "TATA_INR", "BUY", "NEW", "NEW", 0, 0, 0, 10 * 10**8, "", "",
            "", time.time_ns(), "", 400_000, 3_000,
        )
        for number in range(ROWS_PER_TRANSACTION)
    ]  # fmt: skip
    start = time.perf_counter()
    for _ in range(count // ROWS_PER_TRANSACTION):
        connection.execute("BEGIN IMMEDIATE")
        connection.executemany(insert, rows)
        connection.execute("COMMIT")
    seconds = time.perf_counter() - start
    connection.close()
    path.unlink()
    return seconds


def main() -> int:
    arguments = parser(__doc__)
    arguments.add_argument("--orders", type=int, default=1_000_000)
    arguments.add_argument("--raw-rows", type=int, default=500_000)
    arguments.add_argument("--durability", choices=("full", "normal", "none"), default="full")
    arguments.add_argument("--inbox", type=int, default=5_000, help="the producer's bound")
    add_gc_to(arguments)
    args = arguments.parse_args()
    if args.quick:
        args.orders, args.raw_rows = 20_000, 20_000
    return report("throughput", args, measure, CLAIMS)


if __name__ == "__main__":
    sys.exit(main())
