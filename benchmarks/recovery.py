"""Starting again: folding a journal of a million entries.

Claimed: 1,000,000 journal entries are recovered within 12 s without a snapshot, within 3 s with
one; both give the same state.

The journal is made by the real dispatcher, stepped by hand, 1,000 requests a turn (Flow in
client.py, with 20,000 orders open), durability=none; then the process "dies": nothing is closed
in order. The snapshot is as old as it can be: one is taken when as many entries are still to
come as the default setting leaves between two.

Inside the timed part: `dispatcher.start()` on a copy of the database, that is opening, reading,
checking every checksum, folding, and journaling that a process began. Outside: making and
copying the journal, loading the modules.
"""

import argparse
import shutil
import sqlite3
import sys
import tempfile
import time
from contextlib import closing
from pathlib import Path

from client import Flow, config, stepped
from common import Claim, Figures, parser, report, rss_bytes

from oms import OrderManagement
from oms.config import StoreConfig

CLAIMS = [
    Claim("seconds_without_snapshot", "<=", 12),
    Claim("seconds_with_snapshot", "<=", 3),
    Claim("digests_differ", "<=", 0),
]
BATCH = 1_000
NEVER = 1_000_000_000


def measure(args: argparse.Namespace) -> Figures:
    with tempfile.TemporaryDirectory(dir=args.directory) as directory:
        built, plain, cached = (Path(directory) / name for name in ("built", "plain", "cached"))
        for place in (built, plain, cached):
            place.mkdir()
        figures = build(built, args)
        database = config().store.database
        for place in (plain, cached):
            shutil.copy(built / database, place / database)
        with closing(sqlite3.connect(plain / database)) as connection, connection:
            connection.execute("DELETE FROM snapshots")
        with_s, with_digest = recover(cached)
        without_s, without_digest = recover(plain)
        figures["seconds_with_snapshot"] = with_s
        figures["seconds_without_snapshot"] = without_s
        figures["entries_per_s"] = float(figures["entries"]) / without_s
        figures["digests_differ"] = int(with_digest != without_digest)
        figures["rss_mb"] = rss_bytes() / 1e6
    return figures


def build(place: Path, args: argparse.Namespace) -> Figures:
    """A journal with exactly one snapshot, `tail` entries before its end."""
    manager = OrderManagement(config("none", snapshot_every=NEVER), directory=place)
    flow, kept_at = Flow(live=args.open), 0
    with stepped(manager):
        fold = manager.dispatcher.fold
        while fold.last_seq < args.entries:
            for _ in range(BATCH):
                manager.on_data(flow.next())
            manager.dispatcher.step()
            if not kept_at and fold.last_seq >= args.entries - args.tail:
                start = time.perf_counter()
                take_snapshot(manager)
                snapshot_s, kept_at = time.perf_counter() - start, fold.last_seq
        status = manager.get_status()
    return {
        "entries": fold.last_seq,
        "entries_after_snapshot": fold.last_seq - kept_at,
        "open_orders": status["open_orders"],
        "seconds_to_take_snapshot": snapshot_s,
    }


def take_snapshot(manager: OrderManagement) -> None:
    """As a stop does; 091c228 had it elsewhere."""
    snapshots = getattr(manager.dispatcher, "_snapshots", None)
    if snapshots is not None:
        snapshots.take()
    else:
        manager.dispatcher._take_snapshot()  # type: ignore[attr-defined]


def recover(place: Path) -> tuple[float, str]:
    """Seconds to be ready for orders again, and the digest of the state then."""
    manager = OrderManagement(config("full", snapshot_every=NEVER), directory=place)
    start = time.perf_counter()
    manager.dispatcher.start()
    seconds = time.perf_counter() - start
    digest = manager.dispatcher.fold.digest()
    manager.store.close()
    return seconds, digest


def main() -> int:
    arguments = parser(__doc__)
    arguments.add_argument("--entries", type=int, default=1_000_000)
    arguments.add_argument("--tail", type=int, default=StoreConfig().snapshot_every)
    arguments.add_argument("--open", type=int, default=20_000, help="orders open at the end")
    args = arguments.parse_args()
    if args.quick:
        args.entries, args.tail, args.open = 20_000, 5_000, 1_000
    return report("recovery", args, measure, CLAIMS)


if __name__ == "__main__":
    sys.exit(main())
