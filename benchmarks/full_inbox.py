"""A full inbox: what a refusal costs, and the memory that is left once it is drained.

Claimed: a refusal takes at most 5 us; at most 84 MB of resident memory after 100,000 requests
waited in the inbox.

One thread: 100,000 orders that rest nowhere (IOC) are submitted, each with a future that is
dropped, while no turn is taken. The inbox is full then: try_submit of one more order, again and
again, in 10 rounds of which the fastest counts. Then turns are taken until nothing is left.
"""

import argparse
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

from client import ACCOUNT, config, stepped
from common import Claim, Figures, parser, report

from oms import OrderManagement, OrderRequest, Side, TimeInForce

CLAIMS = [Claim("refusal_us", "<=", 5), Claim("drained_mb", "<=", 84)]
SYMBOL = "TATA_INR"
REFUSALS, ROUNDS = 10_000, 10


def resident_mb() -> float:
    """Of this process; Linux."""
    for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) / 1024
    return 0.0


def refusal_us(manager: OrderManagement) -> float:
    """A full inbox says no; the mean of one round."""
    order = OrderRequest.new(ACCOUNT, "refused", SYMBOL, Side.BUY, "10", "100")
    start = time.perf_counter()
    for _ in range(REFUSALS):
        manager.try_submit(order)
    return (time.perf_counter() - start) / REFUSALS * 1e6


def measure(args: argparse.Namespace) -> Figures:
    with tempfile.TemporaryDirectory(dir=args.directory) as directory:
        settings = config("none")
        settings = replace(settings, queue=replace(settings.queue, inbox_max=args.orders))
        manager = OrderManagement(settings, directory=Path(directory))
        with stepped(manager):
            figures: Figures = {"idle_mb": resident_mb()}
            for number in range(args.orders):
                manager.submit(
                    OrderRequest.new(
                        ACCOUNT, str(number), SYMBOL, Side.BUY, "10", "100",
                        time_in_force=TimeInForce.IOC,
                    )
                )  # fmt: skip
            figures["full_mb"] = resident_mb()
            figures["refusal_us"] = min(refusal_us(manager) for _ in range(ROUNDS))
            while manager.inbox.size:
                manager.dispatcher.step()
            figures["drained_mb"] = resident_mb()
    return figures


def main() -> int:
    arguments = parser(__doc__)
    arguments.add_argument("--orders", type=int, default=100_000)
    args = arguments.parse_args()
    if args.quick:
        args.orders = 5_000
    return report("full_inbox", args, measure, CLAIMS)


if __name__ == "__main__":
    sys.exit(main())
