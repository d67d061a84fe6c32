"""db-filler: how fast it fills Postgres from a journal, and how far it stays behind an engine.

Claimed: it catches up at 1.5 times the rate of the engine or more; beside an engine that takes
--rate orders a second it is at most a second behind.

Measured: a million orders through `on_data` with durability=full (throughput.py says what is in
that); then the journal that this left, filled into an empty database, from the first turn to the
last, in one process, with the server in its own on the same machine and disk.
Then an engine at --rate orders a second for --seconds, with db-filler as a process beside it:
every 50 ms the age of the oldest turn that is not in Postgres.

Inside the timed part of filling: opening the projection, making its tables, reading the journal,
checking its chain, all rows, indexes, commits. Outside: starting the server, loading modules.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from contextlib import closing
from pathlib import Path

from client import Flow, config, whole_path
from common import ROOT, Claim, Figures, parser, percentile, report, skip, without_postgres

from oms import OrderManagement
from oms.config import Config
from oms.sections import ProjectionConfig

CLAIMS = [Claim("ratio_to_engine", ">=", 1.5), Claim("lag_s_max", "<=", 1.0)]
SETTINGS: dict[str, str] = {"fsync": "on", "full_page_writes": "on", "shared_buffers": "128MB",
            "max_wal_size": "2GB", "autovacuum": "on"}  # fmt: skip


def measure(args: argparse.Namespace) -> Figures:
    from tests.scale.postgres.servers import PostgresServer

    with (
        tempfile.TemporaryDirectory(dir=args.directory) as directory,
        PostgresServer(None, **SETTINGS) as server,
    ):
        place = Path(directory) / "engine"
        place.mkdir()
        figures = whole_path(place, config("full"), Flow(), args.orders, 5_000)
        kept = {"engine_orders_per_s": figures["orders_per_s"]}
        kept |= catch_up(place, server.new_database(), float(figures["orders_per_s"]))
        beside = Path(directory) / "beside"
        beside.mkdir()
        return kept | lag(beside, server.new_database(), args)


def catch_up(place: Path, dsn: str, engine_per_s: float) -> Figures:
    from oms.commands import Place
    from oms.commands.filling import Filler
    from oms.stores.projection import Projection
    from oms.turn.threads import StopFlag

    settings = Config(projection=ProjectionConfig(dsn=dsn))
    start, cpu = time.perf_counter(), time.process_time()
    projection = Projection(dsn)
    projection.open()
    with closing(projection):
        Filler(projection, Place(settings, place), StopFlag()).run(once=True)
        seconds, cpu_s = time.perf_counter() - start, time.process_time() - cpu
        entries = projection.upto().seq
    return {
        "entries": entries, "filled_entries_per_s": entries / seconds,
        "filled_rows_per_s": rows_in(dsn) / seconds,
        "filler_cpu_us_per_entry": cpu_s / entries * 1e6,
        "ratio_to_engine": entries / seconds / engine_per_s,
    }  # fmt: skip


def rows_in(dsn: str) -> int:
    """Of the three large tables."""
    import psycopg

    with psycopg.connect(dsn) as connection:
        query = "SELECT (SELECT count(*) FROM order_states) + (SELECT count(*) FROM trades) + " \
            "(SELECT count(*) FROM order_responses)"  # fmt: skip
        found = connection.execute(query).fetchone()
    assert found is not None
    return int(found[0])


def lag(place: Path, dsn: str, args: argparse.Namespace) -> Figures:
    """Of a filler beside an engine that takes so many orders a second."""
    from oms.stores.projection import Projection

    manager, flow, ages = OrderManagement(config("full"), directory=place), Flow(), list[float]()
    environment = {**os.environ, "OMS__PROJECTION__DSN": dsn, "PYTHONPATH": str(ROOT)}
    words = [
        sys.executable,
        str(ROOT / "order_management.py"),
        "db-filler",
        "--data-dir",
        str(place),
    ]
    with manager:
        filler = subprocess.Popen(words, env=environment, stderr=subprocess.DEVNULL)
        projection = Projection(dsn)
        try:
            wait_for(projection)
            begun, stamps, sent = time.perf_counter(), dict[int, float](), 0
            while (passed := time.perf_counter() - begun) < args.seconds:
                for _ in range(int(passed * args.rate) - sent):
                    manager.on_data(flow.next())
                    sent += 1
                now = time.perf_counter()
                stamps[manager.dispatcher.fold.last_seq] = now
                upto = projection.upto().seq
                waiting = [at for seq, at in stamps.items() if seq > upto]
                ages.append(now - min(waiting, default=now))
                stamps = {seq: at for seq, at in stamps.items() if seq > upto}
                time.sleep(0.05)
        finally:
            filler.terminate()
            filler.wait()
            projection.close()
    return {
        "beside_orders_per_s": sent / args.seconds, "lag_s_p50": percentile(sorted(ages), 50),
        "lag_s_max": max(ages),
    }  # fmt: skip


def wait_for(projection: object) -> None:
    """Until the filler has made the tables and caught up."""
    from oms.errors import StoreError
    from oms.stores.projection import Projection

    assert isinstance(projection, Projection)
    deadline = time.perf_counter() + 60
    while True:
        try:
            projection.open(fill=False)
            if projection.upto().seq:
                return
        except StoreError:
            assert time.perf_counter() < deadline, "db-filler does not begin"
        time.sleep(0.05)


def main() -> int:
    arguments = parser(__doc__)
    arguments.add_argument("--orders", type=int, default=1_000_000)
    arguments.add_argument("--rate", type=int, default=10_000)
    arguments.add_argument("--seconds", type=float, default=20.0)
    args = arguments.parse_args()
    if args.quick:
        args.orders, args.rate, args.seconds = 3_000, 500, 1.0
    why = without_postgres()
    return skip("db_filler", why) if why else report("db_filler", args, measure, CLAIMS)


if __name__ == "__main__":
    sys.exit(main())
