"""The kill switch of a daemon under load, asked for from another process.

Claimed: answered within 250 ms with 10,000 open orders, all of which it cancels.

Measured: `answer_ms` from the line on a new connection of the control socket to its answer, while
two processes send orders that find nobody (IOC), 50 under way each; `load_per_s`, how many of
them were answered before. `left_open`: orders open after the answer.

Inside the timed part: connection, request, answer. Outside: entering the orders; starting a
process, which takes `operator kill` another 0.2 s.
"""

import argparse
import multiprocessing
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from common import Claim, Figures, parser, report

from oms.gateways.client import ControlClient
from oms.gateways.wire import Told

CLAIMS = [Claim("answer_ms", "<=", 250), Claim("left_open", "<=", 0)]
PROGRAM = Path(__file__).resolve().parents[1] / "order_management.py"
AHEAD, LOADS, LOAD_S = 50, 2, 1.0
CONFIG = """\
[session]
always_open = yes
[throttle]
policy = off
[store]
durability = {durability}
[instrument BTC_USD]
tick_size = 0.01
lot_size = 0.0001
"""


def measure(args: argparse.Namespace) -> Figures:
    with tempfile.TemporaryDirectory(dir=args.directory) as name:
        directory = Path(name)
        (directory / "config.ini").write_text(CONFIG.format(durability=args.durability))
        command = [sys.executable, str(PROGRAM), "run", "--data-dir", name]
        daemon = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        try:
            return killed(directory, args.orders)
        finally:
            daemon.terminate()
            daemon.wait()


def killed(directory: Path, orders: int) -> Figures:
    client = connected(directory)
    send(client, "rest-", "GTC", orders)
    loads = [
        multiprocessing.Process(target=pour, args=(directory, n), daemon=True) for n in range(LOADS)
    ]
    for load in loads:
        load.start()
    time.sleep(LOAD_S)
    before = client.ask({"ask": "status"})["status"]
    start = time.perf_counter()
    kill = connected(directory)
    told = kill.ask({"request": "KILL", "client_order_id": "kill"})
    answer_ms = (time.perf_counter() - start) * 1e3
    left_open = client.ask({"ask": "status"})["status"]["open_orders"]
    for load in loads:
        load.kill()
        load.join()
    return {
        "answer_ms": answer_ms,
        "canceled": int(told["response"]["text"].rpartition("=")[2]),
        "left_open": left_open,
        "load_per_s": (before["published"] - orders) / LOAD_S / 2,  # each is told twice
    }


def connected(directory: Path) -> ControlClient:
    """As soon as the daemon listens."""
    while True:
        client = ControlClient.connect(directory)
        if client is not None:
            return client
        time.sleep(0.05)


def pour(directory: Path, number: int) -> None:
    send(connected(directory), f"load-{number}-", "IOC", 10**9)


def send(client: ControlClient, prefix: str, time_in_force: str, count: int) -> None:
    """So many orders at prices that do not meet, AHEAD of them under way at once."""
    for n in range(count):
        client.send(order(f"{prefix}{n}", time_in_force, buys=n % 2 == 0))
        if n >= AHEAD:
            client.receive(None)
    for _ in range(min(count, AHEAD)):
        client.receive(None)


def order(client_id: str, time_in_force: str, *, buys: bool) -> Told:
    """A resting order is far from the other side; one of the load finds nobody at its price."""
    far, near = ("90", "100") if buys else ("110", "100")
    return {
        "request": "NEW", "account": "load", "client_order_id": client_id, "symbol": "BTC_USD",
        "side": "BUY" if buys else "SELL", "quantity": "1", "time_in_force": time_in_force,
        "price": far if time_in_force == "GTC" else near,
    }  # fmt: skip


def main() -> int:
    arguments = parser(__doc__)
    arguments.add_argument("--orders", type=int, default=10_000)
    arguments.add_argument("--durability", choices=("full", "normal", "none"), default="full")
    args = arguments.parse_args()
    if args.quick:
        args.orders = 1_000
    return report("kill_switch", args, measure, CLAIMS)


if __name__ == "__main__":
    sys.exit(main())
