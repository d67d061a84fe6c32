"""WebSocket: how many messages a second the front door tells to 1,000 subscribers of one book.

Each order changes one level of the book, and each change is told to everybody. The next order
comes as soon as all but `--window` changes were read by all. Client and daemon share the machine.

Then, what subscribers cost the orders: as many as can be placed, alone and beside the same number
of subscribers that are told ten updates a second each.
"""

import argparse
import asyncio
import json
from multiprocessing.connection import Connection

from common import Claim, Figures, parser, report
from web_clients import SYMBOL, daemon, open_clients, run

from oms.clock import NANOS, SystemClock

CLAIMS = [Claim("messages_per_s", ">=", 40_000), Claim("orders_beside_ratio", ">=", 0.7)]
TEN_A_SECOND = json.dumps(
    {"op": "subscribe", "channel": "depth", "symbol": SYMBOL, "interval": 100}
).encode()
SUBSCRIBE = json.dumps({"op": "subscribe", "channel": "depth", "symbol": SYMBOL}).encode()


def arguments() -> argparse.ArgumentParser:
    made = parser(__doc__)
    made.add_argument("--subscribers", type=int, default=1_000)
    made.add_argument("--seconds", type=float, default=10.0)
    made.add_argument("--window", type=int, default=8, help="changes on their way at once")
    return made


async def fan_out(args: argparse.Namespace, port: int, pipe: Connection) -> Figures:
    clock, count = SystemClock(), args.subscribers
    read = asyncio.Event()
    received = 0

    def told(frames: int) -> None:
        nonlocal received
        received += frames
        read.set()

    clients = await open_clients(port, count, SUBSCRIBE, told)
    while received < count:  # their beginnings
        read.clear()
        await read.wait()
    received, sent = 0, 0
    pipe.send(0)
    began_user_s, began_kernel_s, _ = pipe.recv()
    began_ns = clock.monotonic_ns()
    end_ns = began_ns + int(args.seconds * NANOS)
    while clock.monotonic_ns() < end_ns:
        due = received // count + args.window - sent
        if due > 0:
            pipe.send(due)
            sent += due
        read.clear()
        await read.wait()
    seconds = (clock.monotonic_ns() - began_ns) / NANOS
    messages = received
    pipe.send(0)
    user_s, kernel_s, memory = pipe.recv()
    kernel_s, user_s = kernel_s - began_kernel_s, user_s - began_user_s
    lost = sum(client.lost for client in clients)
    for client in clients:
        client.transport.abort()
    return {
        "messages_per_s": messages / seconds, "changes_per_s": messages / count / seconds,
        "daemon_user_us_per_message": 1e6 * user_s / messages,
        "daemon_kernel_us_per_message": 1e6 * kernel_s / messages,
        "daemon_mb": memory / 1e6, "subscribers_lost": lost,
    }  # fmt: skip


async def beside(args: argparse.Namespace, port: int, pipe: Connection) -> Figures:
    """Alone before and after, so that a busy machine is busy for both."""
    loop, seconds = asyncio.get_running_loop(), args.seconds / 2

    async def orders() -> float:
        pipe.send(seconds)
        return float(await loop.run_in_executor(None, pipe.recv))

    received = 0

    def told(frames: int) -> None:
        nonlocal received
        received += frames

    before = await orders()
    clients = await open_clients(port, args.subscribers, TEN_A_SECOND, told)
    received = 0
    under_way = await orders()
    messages = received
    for client in clients:
        client.transport.abort()
    after = await orders()
    alone = (before + after) / 2
    return {
        "orders_per_s_alone": alone, "orders_per_s_beside": under_way,
        "orders_beside_ratio": under_way / alone, "messages_per_s_beside": messages / seconds,
    }  # fmt: skip


def measure(args: argparse.Namespace) -> Figures:
    if args.quick:
        args.subscribers, args.seconds = 200, 1.0
    with daemon(args.directory) as (port, pipe):
        figures: Figures = run(lambda: fan_out(args, port, pipe))  # type: ignore[assignment]
    with daemon(args.directory) as (port, pipe):
        return {**figures, **run(lambda: beside(args, port, pipe))}  # type: ignore[dict-item]


if __name__ == "__main__":
    raise SystemExit(report("web_fanout", arguments().parse_args(), measure, CLAIMS))
