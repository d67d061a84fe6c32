"""The journal in Postgres against the journal in SQLite: durable, published orders a second.

Claimed: with Postgres at least half of what it is with SQLite, commits synced, on the same disk.

Measured: as throughput.py has it, with durability=full; first one store, then the other, then the
first again, in one process, so that a machine whose speed drifts is the same for both. The server
has a process of its own beside this one, which does what SQLite does in ours; it is reached by
a Unix socket.
"""

import argparse
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

from client import Flow, config, whole_path
from common import Claim, Figures, parser, report, skip, without_postgres

from oms.config import Config, StoreConfig

CLAIMS = [Claim("ratio_to_sqlite", ">=", 0.5)]
SETTINGS: dict[str, str] = {"fsync": "on", "full_page_writes": "on", "shared_buffers": "128MB",
                            "max_wal_size": "2GB", "autovacuum": "on"}  # fmt: skip


def measure(args: argparse.Namespace) -> Figures:
    from tests.scale.postgres.servers import PostgresServer

    with (
        tempfile.TemporaryDirectory(dir=args.directory) as directory,
        PostgresServer(None, **SETTINGS) as server,
    ):
        rates: dict[str, list[float]] = {"sqlite": [], "postgres": []}
        cpu: dict[str, list[float]] = {"sqlite": [], "postgres": []}
        for number, kind in enumerate(("sqlite", "postgres", "postgres", "sqlite")):
            place = Path(directory) / str(number)
            place.mkdir()
            settings = config("full")
            if kind == "postgres":
                dsn = server.new_database()
                settings = replace(settings, store=StoreConfig(kind="postgres", dsn=dsn))
            figures = run(place, settings, args)
            rates[kind].append(float(figures["orders_per_s"]))
            cpu[kind].append(float(figures["cpu_us_per_order"]))
    sqlite, postgres = (sum(rates[kind]) / 2 for kind in ("sqlite", "postgres"))
    return {
        "sqlite_orders_per_s": sqlite, "postgres_orders_per_s": postgres,
        "ratio_to_sqlite": postgres / sqlite, "sqlite_cpu_us": sum(cpu["sqlite"]) / 2,
        "postgres_cpu_us": sum(cpu["postgres"]) / 2,
    }  # fmt: skip


def run(place: Path, settings: Config, args: argparse.Namespace) -> Figures:
    (place / settings.store.database).touch()  # whole_path tells its size, which is none
    if settings.store.kind == "sqlite":
        (place / settings.store.database).unlink()
    return whole_path(place, settings, Flow(), args.orders, 5_000)


def main() -> int:
    arguments = parser(__doc__)
    arguments.add_argument("--orders", type=int, default=300_000)
    args = arguments.parse_args()
    if args.quick:
        args.orders = 3_000
    why = without_postgres()
    return skip("postgres_store", why) if why else report("postgres_store", args, measure, CLAIMS)


if __name__ == "__main__":
    sys.exit(main())
