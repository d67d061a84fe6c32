"""Orders over HTTP: POST /order, durable, on keep-alive connections, beside the same stack's empty
handler.

Daemon and client are processes of their own on this machine's loopback. The empty handler is an
ASGI function that answers each request at once with a body of about the same size and the same
headers: what is left is uvicorn, the parser, the sockets. Both are measured in the same trial, one
after the other, so their ratio holds on a busy machine, too. cpu_us is what the daemon's process
used for one order, with matching and fsync in it.
"""

import argparse
import asyncio
import gc
import json
import logging
import multiprocessing
import os
import sys
import tempfile
import time
import urllib.request
from dataclasses import replace
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from common import Claim, Figures, parser, percentile, report, skip

NAME = "web_orders"
CLAIMS = (
    Claim("of_empty", ">=", 0.35),
    Claim("cpu_us", "<=", 100),
    Claim("one_p50_ms", "<=", 2),
)
CONNECTIONS, USERS, WARM = 64, 4, 500  # more users than that sign in too often
PASSWORD = "correct horse battery staple"


def main() -> int:
    arguments = parser(__doc__)
    arguments.add_argument("--orders", type=int, help="default: 10000, with --quick 1000")
    arguments.add_argument("--ledger", action="store_true", help="with money behind the orders")
    args = arguments.parse_args()
    try:
        import uvicorn  # noqa: F401
        import uvloop  # noqa: F401
    except ImportError as error:
        return skip(NAME, f"{error.name} is missing: pip install 'order-management[server]'")
    return report(NAME, args, measure, CLAIMS)


def measure(args: argparse.Namespace) -> Figures:
    count = args.orders or (1_000 if args.quick else 10_000)
    orders = run(args, count, CONNECTIONS, empty=False)
    empty = run(args, count, CONNECTIONS, empty=True)
    one = run(args, max(200, count // 10), 1, empty=False)
    return {
        "orders_per_s": orders["per_s"], "empty_per_s": empty["per_s"],
        "of_empty": orders["per_s"] / empty["per_s"],
        "cpu_us": orders["cpu_us"], "empty_cpu_us": empty["cpu_us"],
        "p50_ms": orders["p50_ms"], "p99_ms": orders["p99_ms"],
        "one_p50_ms": one["p50_ms"], "one_p99_ms": one["p99_ms"],
    }  # fmt: skip


def run(args: argparse.Namespace, count: int, connections: int, *, empty: bool) -> dict[str, float]:
    """One daemon, warmed up, then `count` requests of so many connections."""
    import uvloop

    ours, theirs = multiprocessing.Pipe()
    with tempfile.TemporaryDirectory(dir=args.directory) as directory:
        process = multiprocessing.get_context("spawn").Process(
            target=daemon, args=(theirs, directory, args.ledger, empty)
        )
        process.start()
        try:
            url = ours.recv()
            tokens = ["x"] * USERS if empty else [signed_in(url, f"u{n}") for n in range(USERS)]
            uvloop.run(clients(url, tokens, WARM, connections, "w"))
            ours.send("begin")
            began_s = time.perf_counter()
            latencies = sorted(uvloop.run(clients(url, tokens, count, connections, "o")))
            took_s = time.perf_counter() - began_s
            ours.send("end")
            cpu_s = ours.recv()
        finally:
            process.join(10)
            process.kill()
    return {
        "per_s": count / took_s, "cpu_us": cpu_s / count * 1e6,
        "p50_ms": percentile(latencies, 50) * 1e3, "p99_ms": percentile(latencies, 99) * 1e3,
    }  # fmt: skip


# --- the daemon's process ---


def daemon(pipe: Connection, directory: str, ledger: bool, empty: bool) -> None:
    """An order manager behind its front door; tells the URL, then how much processor time it used
    between `begin` and `end`."""
    from oms import Config, OrderManagement
    from oms.gateways.web import open_web
    from oms.sections import ExchangeConfig, LogConfig, SessionConfig, ThrottleConfig, WebConfig
    from oms.turn.threads import Worker

    config = Config(
        session=SessionConfig(always_open=True),
        throttle=replace(ThrottleConfig(), policy="off"),
        exchange=ExchangeConfig(ledger=ledger),
        log=LogConfig(level="WARNING"),
        web=WebConfig(
            enabled=True, listen="127.0.0.1:0", sign_up=True, play_money=1_000_000_000,
            requests_max=1_000_000, orders_max=1_000_000, cancels_max=1_000_000,
            address_max=1_000_000,
        ),
    )  # fmt: skip
    logging.getLogger().addHandler(logging.NullHandler())  # what is refused is no news here
    oms = OrderManagement(config, directory=Path(directory))
    oms.start()
    server = open_web(oms, Path(directory))
    if empty:
        server._server.config.loaded_app = nothing
    worker = Worker("oms-web", server, lambda name, error: sys.exit(f"{name}: {error!r}"))
    worker.start()
    gc.collect()
    gc.freeze()  # as the daemon does
    pipe.send(server.urls[0])
    pipe.recv()
    before = os.times()
    pipe.recv()
    after = os.times()
    pipe.send(after.user + after.system - before.user - before.system)
    worker.stop(3)
    server.close()
    oms.stop()


async def nothing(_scope: Any, receive: Any, send: Any) -> None:
    """The empty handler."""
    from oms.gateways.web.errors import Reply
    from oms.gateways.web.replies import send_reply

    await receive()
    await send_reply(send, Reply(NOTHING, 201), "1")


NOTHING = b"{" + b" " * 360 + b"}"  # as large as the answer to an order


# --- the clients' process ---


def signed_in(url: str, name: str) -> str:
    """A new user's token."""
    told: dict[str, Any] = {}
    given = {"username": name, "email": f"{name}@example.com", "password": PASSWORD}
    for path, names in (("/signup", tuple(given)), ("/login", ("username", "password"))):
        body = json.dumps({each: given[each] for each in names}).encode()
        with urllib.request.urlopen(urllib.request.Request(url + path, body)) as answer:
            told = json.load(answer)
    return str(told["token"])


async def clients(
    url: str, tokens: list[str], count: int, connections: int, prefix: str
) -> list[float]:
    """So many requests on so many connections; how long each took, in seconds."""
    numbers = iter(range(count))
    latencies: list[float] = []
    host, port = url.removeprefix("http://").split(":")

    async def one(token: str) -> None:
        reader, writer = await asyncio.open_connection(host, int(port))
        for number in numbers:
            data = placing(token, prefix, number)
            began_s = time.perf_counter()
            writer.write(data)
            head = await reader.readuntil(b"\r\n\r\n")
            size = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
            body = await reader.readexactly(size)
            latencies.append(time.perf_counter() - began_s)
            if not head.startswith((b"HTTP/1.1 201", b"HTTP/1.1 202")):
                raise SystemExit(f"{head!r} {body!r}")
        writer.close()

    await asyncio.gather(*(one(tokens[n % len(tokens)]) for n in range(connections)))
    return latencies


def placing(token: str, prefix: str, number: int) -> bytes:
    """Buys and sells at three prices, so that every other order trades."""
    side = "BUY" if number & 1 else "SELL"
    body = (
        f'{{"clientOrderId":"{prefix}{number}","symbol":"BTC_USD","side":"{side}","type":"LIMIT",'
        f'"timeInForce":"GTC","price":"{100 + number % 3}.5","quantity":"0.5"}}'
    ).encode()
    head = (
        f"POST /order HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {token}\r\n"
        f"content-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


if __name__ == "__main__":
    sys.exit(main())
