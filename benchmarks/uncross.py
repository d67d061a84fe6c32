"""One auction: everything that gathered in a call trades at one price.

Claimed: the uncross of 100,000 orders within 1 s, durability=full, with ledger, fees and limits.

Measured: `seconds` from submitting the operator's SET_PHASE CONTINUOUS to its answer, which comes
when the phase and both reports of each fill are on disk. The orders came in a call phase, half of
them bids, from 20 accounts, over 100 prices a side, 1 to 10 lots each. By default every bid is at
or above every ask, so that all of them trade (but for what one side is larger): about 180,000
reports, two of each fill. --crossing 0.5: half of them do.

Alone, on the same orders in another manager whose threads have ended: `engine_seconds`, finding
the price and who trades with whom; `desk_seconds`, all of it, with orders, money and reports, but
nothing stored or told.

Inside the timed part: the request. Outside: entering the orders.
"""

import argparse
import sys
import tempfile
import time
from random import Random

from client import (
    ACCOUNTS,
    PRICES,
    ask,
    enter,
    exchange_config,
    fund,
    ledger_mistakes,
    wait_for_link,
)
from common import Claim, Figures, add_gc_to, parser, report, set_gc

from oms import MemoryStore, OrderManagement, OrderRequest, Side
from oms.enums import Phase, Scope
from oms.requests import OperatorAction, OperatorRequest

CLAIMS = [Claim("seconds", "<=", 1), Claim("ledger_mistakes", "<=", 0)]
SYMBOL, LOT, TICK = PRICES[0]
LEVELS = 100


def measure(args: argparse.Namespace) -> Figures:
    gc_settings, orders = set_gc(args.gc), called(args.orders, args.crossing)
    with tempfile.TemporaryDirectory(dir=args.directory) as directory:
        manager = OrderManagement(exchange_config(args.durability), directory=directory)
        with manager:
            prepare(manager, orders)
            before = manager.get_status()
            start = time.perf_counter()
            set_phase(manager, Phase.CONTINUOUS)
            seconds = time.perf_counter() - start
            after = manager.get_status()
    return {
        "gc": gc_settings,
        "seconds": seconds,
        "us_per_order": seconds / args.orders * 1e6,
        "reports": after["published"] - before["published"],
        "filled_orders": before["open_orders"] - after["open_orders"],
        "ledger_mistakes": ledger_mistakes(manager),
        **alone(orders),
    }


def alone(orders: list[OrderRequest]) -> Figures:
    """The same without store and publisher."""
    manager = OrderManagement(exchange_config(), store=MemoryStore())
    with manager:
        prepare(manager, orders)
    desk, fold = manager.dispatcher.desk, manager.dispatcher.fold
    assert desk.engine is not None
    market = desk.engine.markets[SYMBOL]
    start = time.perf_counter()
    fills = len(market.planned().fills)
    engine_seconds = time.perf_counter() - start
    desk.begin(fold.last_seq + 1, fold.instant, 0)
    start = time.perf_counter()
    desk.engine.phases.force(market, Phase.CONTINUOUS)
    desk.cascade()
    desk_seconds = time.perf_counter() - start
    assert len(desk.reports.rows) >= 2 * fills and not market.book.crossed
    return {"engine_seconds": engine_seconds, "desk_seconds": desk_seconds}


def prepare(manager: OrderManagement, orders: list[OrderRequest]) -> None:
    wait_for_link(manager)
    fund(manager, ACCOUNTS)
    set_phase(manager, Phase.OPENING_AUCTION)
    enter(manager, orders)


def set_phase(manager: OrderManagement, phase: Phase) -> None:
    ask(
        manager,
        OperatorRequest(
            client_order_id=phase.value, action=OperatorAction.SET_PHASE, scope=Scope.SYMBOL,
            target=SYMBOL, value=phase.value,
        ),
    )  # fmt: skip


def called(count: int, crossing: float, seed: int = 7) -> list[OrderRequest]:
    """Orders for a call: this share of each side is beyond 200, where they meet."""
    random, made = Random(seed), []
    for number in range(count):
        side = (Side.BUY, Side.SELL)[number % 2]
        beyond = random.random() < crossing
        away = random.randint(0, LEVELS - 1) if beyond else -random.randint(1, LEVELS)
        price = 200 + TICK * (away if side is Side.BUY else -away)
        quantity = f"{random.randint(1, 10) * LOT:g}"
        account = ACCOUNTS[number // 2 % len(ACCOUNTS)]
        made.append(OrderRequest.new(account, str(number), SYMBOL, side, quantity, f"{price:.2f}"))
    return made


def main() -> int:
    arguments = parser(__doc__)
    arguments.add_argument("--orders", type=int, default=100_000)
    arguments.add_argument("--crossing", type=float, default=1.0, help="share that can trade")
    arguments.add_argument("--durability", choices=("full", "normal", "none"), default="full")
    add_gc_to(arguments)
    args = arguments.parse_args()
    if args.quick:
        args.orders = 5_000
    return report("uncross", args, measure, CLAIMS)


if __name__ == "__main__":
    sys.exit(main())
