"""From on_data to a durable, published first answer, at an offered load.

Claimed, durability=full: at 25,000 requests/s p50 at most 0.5 ms and p99 at most 2 ms, at
50,000/s 1 and 5 ms. With --ledger the same at 25,000/s, with all that the exchange does:
ledger, fees, limits, self-trade prevention, 20 funded accounts. Also at 10,000/s, and all of
it again with durability=none.

Measured by the caller: the monotonic clock just before on_data, and again in the listener that
gets the first answer; every request counts, in arrays made before. A producer thread sleeps to
the next millisecond, then submits what is due (Flow in client.py: new, cancel, marketable). One
second at the same load goes before and is not counted.

`late` is the same, but counted from when the request was due: if the producer itself was held
up (it shares the interpreter with the dispatcher), that wait counts too. `refused`: the inbox
was full, that is the load was too high; such requests have no latency, and none is allowed.
Then each hop of the way as the order manager measures it, in microseconds, the first second
included: intake (received to seen by a turn), wait (to released), send, venue, disk (to
committed), publish, total.
"""

import argparse
import sys
import tempfile
import threading
import time
from array import array

from client import (
    ACCOUNT,
    ACCOUNTS,
    Flow,
    answers_first,
    config,
    exchange_config,
    fund,
    wait_for_link,
)
from common import Claim, Figures, add_gc_to, parser, percentile, report, set_gc

from oms import OrderManagement, OrderResponse

RATES_BELOW = (10_000, 25_000)
BOUNDS_MS = {25_000: (0.5, 2), 50_000: (1, 5)}  # offered per second -> p50, p99
STEP_S = 0.001
ANSWER_S_MAX = 60
PERCENTS = {"p50": 50.0, "p99": 99.0, "p99.9": 99.9, "max": 100.0}


class Acks:
    """When each request was due, sent and first answered; index: its number in the flow."""

    def __init__(self, count: int) -> None:
        self.due_ns = array("q", bytes(8 * (count + 1)))
        self.sent_ns = array("q", bytes(8 * (count + 1)))
        self.acked_ns = array("q", bytes(8 * (count + 1)))
        self.answered = 0  # by the dispatcher's thread
        self.refused = 0  # by the producer's: the inbox was full

    def __call__(self, response: OrderResponse) -> None:
        if not response.journal_seq:
            self.refused += 1
        elif answers_first(response):
            self.acked_ns[int(response.client_order_id)] = time.monotonic_ns()
            self.answered += 1

    def wait_for(self, count: int) -> None:
        deadline = time.monotonic() + ANSWER_S_MAX
        while self.answered + self.refused < count:
            if time.monotonic() > deadline:
                raise SystemExit(f"{self.answered:,} answers to {count:,} requests")
            time.sleep(0.005)

    def milliseconds(self, since: "array[int]", first: int) -> list[float]:
        waits = zip(since[first:], self.acked_ns[first:], strict=True)
        return sorted((acked_ns - since_ns) / 1e6 for since_ns, acked_ns in waits if acked_ns)


def measure(args: argparse.Namespace) -> Figures:
    figures: Figures = {"gc": set_gc(args.gc)}
    for durability in args.durability:
        for rate in sorted({*RATES_BELOW, args.rate}):
            with tempfile.TemporaryDirectory(dir=args.directory) as directory:
                settings = (exchange_config if args.ledger else config)(durability)
                manager = OrderManagement(settings, directory=directory)
                found = offer(manager, rate, args.seconds, args.warm_up)
            figures |= {f"{durability}_{rate}_{name}": value for name, value in found.items()}
    return figures


def offer(manager: OrderManagement, rate: int, seconds: float, warm_up_s: float) -> Figures:
    """One run at one rate."""
    count, first = round(rate * (seconds + warm_up_s)), round(rate * warm_up_s) + 1
    accounts = ACCOUNTS if manager.config.exchange.ledger else (ACCOUNT,)
    acks, flow = Acks(count), Flow(live=1_000, accounts=accounts)
    with manager:
        wait_for_link(manager)
        fund(manager, accounts)
        manager.add_listener(acks)
        producer = threading.Thread(target=produce, args=(manager, flow, acks, rate, count))
        producer.start()
        producer.join()
        acks.wait_for(count)
        status = manager.get_status()
    span_s = (max(acks.acked_ns) - acks.sent_ns[first]) / 1e9
    figures: Figures = {
        "achieved_per_s": (count - first + 1 - acks.refused) / span_s,
        "refused": acks.refused,
        "orders_per_turn": count / status["turns"],
    }
    for label, since in (("ack", acks.sent_ns), ("late", acks.due_ns)):
        waits = acks.milliseconds(since, first)
        for name, percent in PERCENTS.items():
            figures[f"{label}_ms_{name}"] = percentile(waits, percent)
    for hop, outcomes in status["latency_ns"].items():
        for name in ("p50", "p99", "p99.9"):
            figures[f"{hop}_us_{name}"] = outcomes["all"][name] / 1_000
    return figures


def produce(manager: OrderManagement, flow: Flow, acks: Acks, rate: int, count: int) -> None:
    """Submit what is due, each millisecond."""
    on_data, next_request, clock = manager.on_data, flow.next, time.monotonic_ns
    due_ns, sent_ns = acks.due_ns, acks.sent_ns
    start_ns, number = clock(), 0
    while number < count:
        due = min(count, round((clock() - start_ns) / 1e9 * rate))
        while number < due:
            number += 1
            request = next_request()
            due_ns[number] = start_ns + number * 1_000_000_000 // rate
            sent_ns[number] = clock()
            on_data(request)
        time.sleep(STEP_S - (clock() - start_ns) / 1e9 % STEP_S)


def main() -> int:
    arguments = parser(__doc__)
    arguments.add_argument("--ledger", action="store_true", help="with ledger, fees and limits")
    arguments.add_argument("--rate", type=int, help="default: 50000, with --ledger 25000")
    arguments.add_argument("--seconds", type=float, default=10)
    arguments.add_argument("--warm-up", type=float, default=1, help="seconds, not counted")
    arguments.add_argument(
        "--durability", nargs="+", choices=("full", "normal", "none"), default=["full", "none"],
        help="one after the other; default: full none",
    )  # fmt: skip
    add_gc_to(arguments)
    args = arguments.parse_args()
    args.rate = args.rate or (25_000 if args.ledger else 50_000)
    if args.quick:
        args.rate, args.seconds, args.warm_up = 5_000, 0.2, 0.1
    bounds = {25_000: BOUNDS_MS[25_000], args.rate: BOUNDS_MS.get(args.rate, (1, 5))}
    if args.ledger:
        bounds = {args.rate: (0.5, 5)}
    claims = []
    for rate, (p50_ms, p99_ms) in bounds.items() if "full" in args.durability else ():
        claims += [
            Claim(f"full_{rate}_ack_ms_p50", "<=", p50_ms),
            Claim(f"full_{rate}_ack_ms_p99", "<=", p99_ms),
            Claim(f"full_{rate}_refused", "<=", 0),
        ]
    return report("latency --ledger" if args.ledger else "latency", args, measure, claims)


if __name__ == "__main__":
    sys.exit(main())
