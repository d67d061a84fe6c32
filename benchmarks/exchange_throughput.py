"""Whole path of the exchange: durable, published orders a second with all checks on.

Claimed: at least 80,000 orders/s through `on_data` with durability=full, ledger, maker and taker
fees, self-trade prevention and limits; and that every unit of money is where it belongs after it.

Measured: as throughput.py does, in the same process twice: first with ledger, fees and limits
off (`plain`), then with all of it. The same requests (Flow in client.py, 20 accounts that take
turns), the same trades: self-trade prevention is on both times. `ratio_to_plain` is what
the exchange's own work leaves of the plain speed.

Inside the timed part: what throughput.py has there. Outside: funding the accounts before, and
after it adding up what every account has and has reserved (`ledger_mistakes`: what is wrong).
"""

import argparse
import sys
import tempfile
from pathlib import Path

from client import ACCOUNTS, Flow, exchange_config, whole_path, without_ledger
from common import Claim, Figures, add_gc_to, parser, report, set_gc

CLAIMS = [Claim("orders_per_s", ">=", 80_000), Claim("ledger_mistakes", "<=", 0)]


def measure(args: argparse.Namespace) -> Figures:
    gc_settings = set_gc(args.gc)
    runs = []
    for settings in (without_ledger(args.durability), exchange_config(args.durability)):
        with tempfile.TemporaryDirectory(dir=args.directory) as directory:
            flow = Flow(accounts=ACCOUNTS)
            runs.append(whole_path(Path(directory), settings, flow, args.orders, args.inbox))
    plain, figures = runs
    figures["plain_orders_per_s"] = plain["orders_per_s"]
    figures["plain_cpu_us_per_order"] = plain["cpu_us_per_order"]
    figures["ratio_to_plain"] = float(figures["orders_per_s"]) / float(plain["orders_per_s"])
    figures["gc"] = gc_settings
    return figures


def main() -> int:
    arguments = parser(__doc__)
    arguments.add_argument("--orders", type=int, default=500_000)
    arguments.add_argument("--durability", choices=("full", "normal", "none"), default="full")
    arguments.add_argument("--inbox", type=int, default=5_000, help="the producer's bound")
    add_gc_to(arguments)
    args = arguments.parse_args()
    if args.quick:
        args.orders = 20_000
    return report("exchange_throughput", args, measure, CLAIMS)


if __name__ == "__main__":
    sys.exit(main())
