"""Taking over a journal in Postgres: from kill -9 of the engine that has it to the first answer.

Claimed: within 5 s, with 1,000,000 journal entries behind it.

The journal is made by the real dispatcher, stepped by hand, --batch requests a turn (Flow in
client.py, with 20,000 orders open), with a snapshot as old as it can be by default. Another process
has the lock; this one stands by, as `run --standby` does. Inside the timed part: the kill, the
server letting go of the lock, the wait for it, reading the whole journal and checking its chain,
the snapshot, what is after it, journaling that a process began, one order, its commit, its answer.
Outside: making the journal, loading the modules.
"""

import argparse
import subprocess
import sys
import time
from dataclasses import replace

from client import ACCOUNT, Flow, ask, config, stepped, wait_for_link
from common import ROOT, Claim, Figures, parser, report, skip, without_postgres
from recovery import NEVER, take_snapshot

from oms import OrderManagement, OrderRequest, Side
from oms.config import StoreConfig

CLAIMS = [Claim("seconds_to_first_answer", "<=", 5)]
SETTINGS = {"fsync": "on", "full_page_writes": "on", "shared_buffers": "128MB"}
HOLDER = """
import sys, time
from oms.stores.postgres import PostgresStorage
store = PostgresStorage(sys.argv[1])
store.open()
print("held", flush=True)
time.sleep(3600)
"""


def measure(args: argparse.Namespace) -> Figures:
    from oms.stores.postgres import PostgresStorage
    from tests.scale.postgres.servers import PostgresServer

    with PostgresServer(None, **SETTINGS) as server:
        dsn = server.new_database()
        figures = build(dsn, args)
        holder = subprocess.Popen(
            [sys.executable, "-c", HOLDER, dsn], stdout=subprocess.PIPE, cwd=ROOT
        )
        assert holder.stdout is not None
        holder.stdout.readline()
        settings, store = config("full"), PostgresStorage(dsn)
        manager = OrderManagement(settings, store=store)
        start, cpu = time.perf_counter(), time.process_time()
        holder.kill()
        assert store.wait_for_lock(lambda: False)
        locked_s = time.perf_counter() - start
        with manager:
            wait_for_link(manager)
            symbol = settings.instruments[0].symbol
            ask(manager, OrderRequest.new(ACCOUNT, "after", symbol, Side.BUY, 1, "0.05"))
            figures["seconds_to_first_answer"] = time.perf_counter() - start
            figures["cpu_seconds"] = time.process_time() - cpu
        holder.wait()
        holder.stdout.close()
    return figures | {"seconds_to_lock": locked_s}


def build(dsn: str, args: argparse.Namespace) -> Figures:
    """A journal with one snapshot, `tail` entries before its end."""
    kept_in = StoreConfig(kind="postgres", dsn=dsn, durability="none", snapshot_every=NEVER)
    settings = replace(config("none"), store=kept_in)
    manager = OrderManagement(settings)
    flow, rows, kept = Flow(live=args.open), 0, False
    with stepped(manager):
        fold = manager.dispatcher.fold
        while fold.last_seq < args.entries:
            for _ in range(args.batch):
                manager.on_data(flow.next())
            manager.dispatcher.step()
            rows += 1
            if not kept and fold.last_seq >= args.entries - args.tail:
                take_snapshot(manager)
                kept = True
    return {"entries": fold.last_seq, "rows": rows}


def main() -> int:
    arguments = parser(__doc__)
    arguments.add_argument("--entries", type=int, default=1_000_000)
    arguments.add_argument("--open", type=int, default=20_000)
    arguments.add_argument("--batch", type=int, default=100, help="requests a turn: a row has them")
    arguments.add_argument("--tail", type=int, default=250_000)
    args = arguments.parse_args()
    if args.quick:
        args.entries, args.open, args.tail = 3_000, 200, 1_000
    why = without_postgres()
    return skip("failover", why) if why else report("failover", args, measure, CLAIMS)


if __name__ == "__main__":
    sys.exit(main())
