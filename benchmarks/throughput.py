"""Whole path as a library: durable, published orders a second.

Claimed: at least 150,000 orders/s through `on_data` with durability=full, at least 0.15 of what
SQLite alone takes, at most 500 bytes of disk an order, memory flat.

Measured: one producer thread makes requests (Flow in client.py) and hands them to `on_data`; it
pauses while the inbox holds more than --inbox, because on_data itself never waits. One listener
counts first answers, one a request. Throttle off, always-open session.

Inside the timed part: making each request, on_data, matching, journal, reports, commit,
listener; from before the first request to the last first answer. Outside: starting, stopping,
drawing the random numbers.

Raw SQLite, in the same process, half of it before and half after, on the same file system:
executemany of rows with the 21 columns that order_responses had in commit 091c228, 1,000 a
transaction, same durability, no index; rows made outside. The columns stay what they were, so
that the ratio of one commit can be compared with that of another.
"""

import argparse
import sqlite3
import sys
import tempfile
import time
from pathlib import Path

from client import Flow, config, whole_path
from common import Claim, Figures, add_gc_to, parser, report, set_gc

CLAIMS = [
    Claim("orders_per_s", ">=", 150_000),
    Claim("ratio_to_raw", ">=", 0.15),
    Claim("disk_bytes_per_order", "<=", 500),
    Claim("rss_growth", "<=", 1.1),
]
ROWS_PER_TRANSACTION = 1_000
RAW_COLUMNS = (
    "journal_seq", "number", "order_id", "request_seq", "account", "client_order_id", "symbol",
    "side", "type", "state", "last_price_ticks", "last_quantity_lots", "cumulative_lots",
    "leaves_lots", "notional", "liquidity", "reason", "wall_ns", "fee", "waited_ns", "venue_ns",
)  # fmt: skip


def measure(args: argparse.Namespace) -> Figures:
    with tempfile.TemporaryDirectory(dir=args.directory) as directory:
        raw_path, half = Path(directory) / "raw.db", args.raw_rows // 2
        raw_s = raw_seconds(raw_path, args.durability, half)
        figures: Figures = {"gc": set_gc(args.gc)}
        settings = config(args.durability)
        figures |= whole_path(Path(directory), settings, Flow(), args.orders, args.inbox)
        raw_s += raw_seconds(raw_path, args.durability, half)
    figures["raw_rows_per_s"] = 2 * half / raw_s
    figures["ratio_to_raw"] = float(figures["orders_per_s"]) / (2 * half / raw_s)
    return figures


def raw_seconds(path: Path, durability: str, count: int) -> float:
    """What SQLite alone takes: the ceiling of everything that stores each report as a row."""
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("PRAGMA journal_mode = WAL")
    synchronous = {"full": "FULL", "normal": "NORMAL", "none": "OFF"}[durability]
    connection.execute(f"PRAGMA synchronous = {synchronous}")
    connection.execute(f"CREATE TABLE reports ({', '.join(RAW_COLUMNS)})")
    insert = f"INSERT INTO reports VALUES ({', '.join('?' * len(RAW_COLUMNS))})"
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
