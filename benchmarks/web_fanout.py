"""WebSocket: how many messages a second the front door tells to 1,000 subscribers of one book.

Each order changes one level of the book, and each change is told to everybody. The next order
comes as soon as all but `--window` changes were read by all. Client and daemon share the machine.
"""

import argparse
import asyncio
import json
from multiprocessing.connection import Connection

from common import Claim, Figures, parser, report
from web_clients import SYMBOL, daemon, open_clients, run

from oms.clock import NANOS, SystemClock

CLAIM = Claim("messages_per_s", ">=", 40_000)
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
    began_cpu_s, _ = pipe.recv()
    began_ns = clock.monotonic_ns()
    end_ns = began_ns + int((1.0 if args.quick else args.seconds) * NANOS)
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
    cpu_s, memory = pipe.recv()
    lost = sum(client.lost for client in clients)
    for client in clients:
        client.transport.abort()
    return {
        "messages_per_s": messages / seconds, "changes_per_s": messages / count / seconds,
        "daemon_cpu_us_per_message": 1e6 * (cpu_s - began_cpu_s) / messages,
        "daemon_mb": memory / 1e6, "subscribers_lost": lost,
    }  # fmt: skip


def measure(args: argparse.Namespace) -> Figures:
    with daemon(args.directory) as (port, pipe):
        return run(lambda: fan_out(args, port, pipe))  # type: ignore[return-value]


if __name__ == "__main__":
    raise SystemExit(report("web_fanout", arguments().parse_args(), measure, [CLAIM]))
