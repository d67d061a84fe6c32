"""One mass cancel of everything an account has open.

Claimed: 100,000 orders within 1 s, durability=full, with ledger, fees and limits.

Measured: `seconds` from submit to the answer, which comes when the command and the report of
each canceled order are on disk; the orders of one account rest on both sides of three
instruments, at 1,000 prices a side. `desk_seconds`: what the desk alone takes for it, with
all orders out of the books, money given back and reports made, but nothing stored or told; on
the same orders in another manager, whose threads have ended.

Inside the timed part: the request. Outside: entering the orders.
"""

import argparse
import sys
import tempfile
import time

from client import (
    ACCOUNT,
    ask,
    enter,
    exchange_config,
    fund,
    ledger_mistakes,
    resting,
    wait_for_link,
)
from common import Claim, Figures, add_gc_to, parser, report, set_gc

from oms import MemoryStore, OrderManagement
from oms.requests import MassCancelRequest
from oms.requests.codec import MASS_CANCEL

CLAIMS = [Claim("seconds", "<=", 1), Claim("left_open", "<=", 0), Claim("ledger_mistakes", "<=", 0)]


def measure(args: argparse.Namespace) -> Figures:
    gc_settings, settings = set_gc(args.gc), exchange_config(args.durability)
    with tempfile.TemporaryDirectory(dir=args.directory) as directory:
        manager = OrderManagement(settings, directory=directory)
        with manager:
            prepare(manager, args.orders)
            start = time.perf_counter()
            ask(manager, MassCancelRequest(account=ACCOUNT, client_order_id="all"))
            seconds = time.perf_counter() - start
            left_open = manager.get_status()["open_orders"]
    return {
        "gc": gc_settings,
        "seconds": seconds,
        "us_per_order": seconds / args.orders * 1e6,
        "left_open": left_open,
        "ledger_mistakes": ledger_mistakes(manager),
        "desk_seconds": desk_seconds(args.orders),
    }


def desk_seconds(orders: int) -> float:
    """The entry alone, as a dispatcher's turn hands it to the desk."""
    manager = OrderManagement(exchange_config(), store=MemoryStore())
    with manager:
        prepare(manager, orders)
    desk, fold = manager.dispatcher.desk, manager.dispatcher.fold
    start = time.perf_counter()
    desk.begin(fold.last_seq + 1, fold.instant, 0)
    desk.enter(fold.last_seq + 1, (MASS_CANCEL, ACCOUNT, "all", ACCOUNT, "", ""))
    desk.end()
    seconds = time.perf_counter() - start
    assert not desk.executions.orders
    return seconds


def prepare(manager: OrderManagement, orders: int) -> None:
    wait_for_link(manager)
    fund(manager, [ACCOUNT])
    enter(manager, resting(orders, [ACCOUNT]))


def main() -> int:
    arguments = parser(__doc__)
    arguments.add_argument("--orders", type=int, default=100_000)
    arguments.add_argument("--durability", choices=("full", "normal", "none"), default="full")
    add_gc_to(arguments)
    args = arguments.parse_args()
    if args.quick:
        args.orders = 5_000
    return report("mass_cancel", args, measure, CLAIMS)


if __name__ == "__main__":
    sys.exit(main())
