"""The front door: how long one durable `POST /order` takes, and what 1,000 listeners cost it.

Claimed: one keep-alive connection, p50 at most 2 ms from the request's first byte to the answer's
last, with durability=full; with 1,000 WebSockets that are each told the book ten times a second,
orders of 16 connections slow by at most 30 %.

Measured: `serve` as a process of its own; the orders come from this one, over raw sockets, each
connection sending its next order when the last one was answered. The listeners are a third
process, which counts messages and throws them away. Both figures of the slowdown are taken in
turns, --rounds of each, in one daemon; the listeners join before their turn and leave behind it.
Where three processes share two cores, the listeners' own work slows the orders, too: what the
daemon itself does for one message more is cpu_us_per_message.
"""

import argparse
import asyncio
import base64
import json
import multiprocessing
import os
import secrets
import statistics
import subprocess
import sys
import tempfile
import time
from multiprocessing.connection import Connection
from pathlib import Path
from typing import NamedTuple
from urllib.request import Request, urlopen

from common import TREE, Claim, Figures, parser, percentile, report

CLAIMS = [Claim("one_ms_p50", "<=", 2), Claim("listened_ratio", ">=", 0.7)]
SYMBOL, WAIT_S, INTERVAL_MS = "BTC_USD", 30.0, 100
CONFIG = f"""\
[session]
always_open = yes
[throttle]
policy = off
[log]
level = WARNING
[web]
enabled = yes
listen = 127.0.0.1:0
sign_up = yes
requests_max = 1000000
orders_max = 1000000
cancels_max = 1000000
address_max = 1000000
address_sockets_max = 100000
address_connections_max = 100000
[instrument {SYMBOL}]
tick_size = 0.01
lot_size = 0.0001
"""


class Daemon:
    """`serve` of the measured tree, and a user who is signed in. text: of config.ini."""

    def __init__(self, directory: Path, text: str = CONFIG) -> None:
        config = directory / "config.ini"
        config.write_text(text)
        self._output = directory / "output"
        command = [sys.executable, TREE / "order_management.py", "serve"]
        with self._output.open("wb") as output:
            self._process = subprocess.Popen(
                [*command, "--data-dir", directory, "--config", config], stdout=output,
                stderr=subprocess.STDOUT,
            )  # fmt: skip
        try:
            self.port = self._port()
            self.token = self._signed_in()
        except BaseException:
            self.stop()
            raise

    def _port(self) -> int:
        deadline = time.monotonic() + WAIT_S
        while time.monotonic() < deadline and self._process.poll() is None:
            for line in self._output.read_text().splitlines():
                if line.startswith("front door: "):
                    return int(line.rpartition(":")[2])
            time.sleep(0.02)
        raise SystemExit(self._output.read_text())

    def _signed_in(self) -> str:
        user = {"username": "ann", "email": "ann@example.com", "password": "correct horse battery"}
        self._post("/signup", user)
        return self._post("/login", {k: user[k] for k in ("username", "password")})["token"]

    def _post(self, path: str, said: dict[str, str]) -> dict[str, str]:
        request = Request(f"http://127.0.0.1:{self.port}{path}", json.dumps(said).encode())
        with urlopen(request, timeout=WAIT_S) as answer:
            told: dict[str, str] = json.load(answer)
        return told

    @property
    def cpu_s(self) -> float:
        """What the process used so far; 0 where /proc does not tell."""
        try:
            fields = Path(f"/proc/{self._process.pid}/stat").read_text().rpartition(")")[2].split()
        except OSError:
            return 0.0
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def stop(self) -> None:
        self._process.terminate()
        self._process.wait(WAIT_S)


# --- orders ---


def order(number: int) -> bytes:
    """Prices that alternate, so that about half of the orders trade."""
    side = ("BUY", "SELL")[number & 1]
    said = {
        "clientOrderId": f"o-{number}", "symbol": SYMBOL, "side": side,
        "price": f"{100 + number % 7 * 0.01:.2f}", "quantity": "0.5",
    }  # fmt: skip
    return json.dumps(said).encode()


async def trade(daemon: Daemon, connections: int, first: int, seconds: float) -> list[float]:
    """Orders for so long; how many seconds each took. first: its number, used by none before."""
    waits: list[float] = []
    end, numbers = time.perf_counter() + seconds, iter(range(first, first + 10**7))
    head = (
        "POST /order HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-type: application/json\r\n"
        f"authorization: Bearer {daemon.token}\r\ncontent-length: "
    ).encode()

    async def one() -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", daemon.port)
        while time.perf_counter() < end:
            body = order(next(numbers))
            began = time.perf_counter()
            writer.write(head + b"%d\r\n\r\n" % len(body) + body)
            told = await reader.readuntil(b"\r\n\r\n")
            size = int(told.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
            text = await reader.readexactly(size)
            waits.append(time.perf_counter() - began)
            if b" 201 " not in told[:16]:
                raise SystemExit(f"{told!r} {text!r}")
        writer.close()

    await asyncio.gather(*(one() for _ in range(connections)))
    return waits


# --- listeners ---


class Listener(asyncio.Protocol):
    """One WebSocket that listens to the book, and counts what it is told."""

    told = 0

    def __init__(self, port: int) -> None:
        self._port = port
        self.begun = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        key = base64.b64encode(secrets.token_bytes(16)).decode()
        transport.write((
            f"GET /ws HTTP/1.1\r\nhost: 127.0.0.1:{self._port}\r\nupgrade: websocket\r\n"
            f"connection: Upgrade\r\nsec-websocket-key: {key}\r\nsec-websocket-version: 13\r\n\r\n"
        ).encode())  # fmt: skip
        said = {"op": "subscribe", "channel": "depth", "symbol": SYMBOL, "interval": INTERVAL_MS}
        text = json.dumps(said).encode()
        assert len(text) < 126  # RFC 6455: a short text, masked by zeros
        self._subscribe = bytes((0x81, 0x80 | len(text))) + bytes(4) + text
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        if not self.begun.done():
            if data.startswith(b"HTTP/1.1 101"):
                self._transport.write(self._subscribe)
            if b"SNAPSHOT" in data:
                self.begun.set_result(None)
        Listener.told += data.count(b'"UPDATE"')


def listen(port: int, count: int, way: Connection) -> None:
    """The process of the listeners: says when all listen, and at the end how much they heard."""

    async def all_of_them() -> None:
        loop = asyncio.get_running_loop()
        made = []
        for _ in range(count):
            made.append(await loop.create_connection(lambda: Listener(port), "127.0.0.1", port))
            await asyncio.wait_for(made[-1][1].begun, WAIT_S)
        way.send("listening")
        await loop.run_in_executor(None, way.recv)
        way.send(Listener.told)

    asyncio.run(all_of_them())


class Heard(NamedTuple):
    """What one measurement came to, while it was measured. cpu_s: of the daemon."""

    orders: int
    messages: int
    cpu_s: float


def with_listeners(daemon: Daemon, count: int, first: int, args: argparse.Namespace) -> Heard:
    here, there = multiprocessing.Pipe()
    process = multiprocessing.get_context("spawn").Process(
        target=listen, args=(daemon.port, count, there)
    )
    process.start()
    try:
        here.recv()
        cpu_s = daemon.cpu_s
        waits = asyncio.run(trade(daemon, args.connections, first, args.seconds))
        cpu_s = daemon.cpu_s - cpu_s
        here.send("enough")
        told = here.recv()
    finally:
        process.join(WAIT_S)
        process.kill()
    return Heard(len(waits), told, cpu_s)


def without_listeners(daemon: Daemon, first: int, args: argparse.Namespace) -> Heard:
    cpu_s = daemon.cpu_s
    waits = asyncio.run(trade(daemon, args.connections, first, args.seconds))
    return Heard(len(waits), 0, daemon.cpu_s - cpu_s)


def measure(args: argparse.Namespace) -> Figures:
    with tempfile.TemporaryDirectory(dir=args.directory) as directory:
        daemon = Daemon(Path(directory))
        try:
            return figures_of(daemon, args)
        finally:
            daemon.stop()


def figures_of(daemon: Daemon, args: argparse.Namespace) -> Figures:
    asyncio.run(trade(daemon, args.connections, 0, args.seconds / 4))  # it is warm by then
    one = [1e3 * s for s in sorted(asyncio.run(trade(daemon, 1, 10**7, args.seconds)))]
    figures: Figures = {"one_per_s": len(one) / args.seconds}
    for percent in (50.0, 99.0):
        figures[f"one_ms_p{percent:g}"] = percentile(one, percent)
    alone, listened = list[Heard](), list[Heard]()
    for n in range(args.rounds):
        first = (2 * n + 2) * 10**7
        alone.append(without_listeners(daemon, first, args))
        listened.append(with_listeners(daemon, args.listeners, first + 10**7, args))
    cpu_us = 1e6 * sum(each.cpu_s for each in alone) / sum(each.orders for each in alone)
    telling_s = sum(each.cpu_s - each.orders * cpu_us / 1e6 for each in listened)
    figures |= {
        "alone_per_s": statistics.median(each.orders for each in alone) / args.seconds,
        "listened_per_s": statistics.median(each.orders for each in listened) / args.seconds,
        "told_per_s": statistics.median(each.messages for each in listened) / args.seconds,
        "cpu_us_per_order": cpu_us,
        "cpu_us_per_message": 1e6 * telling_s / max(1, sum(each.messages for each in listened)),
        "listened_ratio": statistics.median(
            there.orders / here.orders for there, here in zip(listened, alone, strict=True)
        ),
    }  # fmt: skip
    return figures


def main() -> int:
    arguments = parser(__doc__)
    arguments.add_argument("--connections", type=int, default=16, help="that send orders")
    arguments.add_argument("--listeners", type=int, default=1_000)
    arguments.add_argument("--seconds", type=float, default=5, help="of each measurement")
    arguments.add_argument("--rounds", type=int, default=3)
    args = arguments.parse_args()
    if args.quick:
        args.seconds, args.rounds, args.listeners = 0.5, 1, 50
    return report("web_latency", args, measure, CLAIMS)


if __name__ == "__main__":
    sys.exit(main())
