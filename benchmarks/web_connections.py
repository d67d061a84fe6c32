"""WebSocket: what 10,000 connections cost that are held for five minutes.

All are subscribed, so that each is told a heartbeat a second, and answer the daemon's pings.
"""

import argparse
import asyncio
import json
from multiprocessing.connection import Connection

from common import Claim, Figures, parser, report
from web_clients import daemon, open_clients, run

from oms.clock import NANOS, SystemClock

CLAIMS = [Claim("daemon_mb", "<=", 400), Claim("connections_lost", "<=", 0)]
SUBSCRIBE = json.dumps({"op": "subscribe", "channel": "markets"}).encode()


def arguments() -> argparse.ArgumentParser:
    made = parser(__doc__)
    made.add_argument("--connections", type=int, default=10_000)
    made.add_argument("--seconds", type=float, default=300.0)
    return made


async def hold(args: argparse.Namespace, port: int, pipe: Connection) -> Figures:
    clock = SystemClock()
    pipe.send(0)
    *_, empty = pipe.recv()
    began_ns = clock.monotonic_ns()
    clients = await open_clients(port, args.connections, SUBSCRIBE, lambda _: None)
    opened_ns = clock.monotonic_ns()
    pipe.send(0)
    began_cpu_s = sum(pipe.recv()[:2])
    await asyncio.sleep(args.seconds)
    pipe.send(0)
    user_s, kernel_s, memory = pipe.recv()
    lost = sum(client.lost for client in clients)
    for client in clients:
        client.transport.abort()
    return {
        "daemon_mb": memory / 1e6,
        "kib_per_connection": (memory - empty) / args.connections / 1024,
        "connections_lost": lost,
        "opened_per_s": args.connections / ((opened_ns - began_ns) / NANOS),
        "daemon_cpu_percent": 100 * (user_s + kernel_s - began_cpu_s) / args.seconds,
    }  # fmt: skip


def measure(args: argparse.Namespace) -> Figures:
    if args.quick:
        args.connections, args.seconds = 1_000, 2.0
    with daemon(args.directory) as (port, pipe):
        return run(lambda: hold(args, port, pipe))  # type: ignore[return-value]


if __name__ == "__main__":
    raise SystemExit(report("web_connections", arguments().parse_args(), measure, CLAIMS))
