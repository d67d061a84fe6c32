"""Raw WebSocket clients for benchmarks, and the daemon they talk to, in a process of its own.

A client counts frames by their first bytes instead of reading them, so that a thousand of them
cost less than the daemon that is measured.
"""

import asyncio
import contextlib
import multiprocessing
import resource
import tempfile
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from dataclasses import replace
from multiprocessing.connection import Connection
from pathlib import Path

import common
import uvloop

from oms import OrderManagement

SYMBOL = "BTC_USD"
MEDIUM = b"\x81~"  # the begin of a text frame of 126 to 65,535 bytes; JSON has no such byte
PING = b"\x89\x04"  # of the daemon: with four bytes
PONG, TEXT = 0x8A, 0x81
HANDSHAKE = (
    b"GET /ws HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
)
FILES = 20_000
IN_FLIGHT_MAX = 500


def masked(opcode: int, payload: bytes) -> bytes:
    """A client's frame; the mask is of zeros, which leaves the payload as it is."""
    size = len(payload)
    head = bytes((opcode, 0x80 | size)) if size < 126 else (
        bytes((opcode, 0xFE)) + size.to_bytes(2, "big")
    )  # fmt: skip
    return head + b"\0\0\0\0" + payload


class Client(asyncio.Protocol):
    """One socket. frames: medium text frames so far; on_frames: told how many came."""

    transport: asyncio.Transport

    def __init__(self, first: bytes, on_frames: Callable[[int], None]) -> None:
        self.first = first
        self.frames = 0
        self.is_open = asyncio.get_running_loop().create_future()
        self.lost = False
        self._on_frames = on_frames
        self._split = False  # the last byte of what came before may begin a frame

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport  # type: ignore[assignment]
        self.transport.write(HANDSHAKE)

    def data_received(self, data: bytes) -> None:
        if not self.is_open.done():
            head, _, data = data.partition(b"\r\n\r\n")
            if not head.startswith(b"HTTP/1.1 101"):
                self.is_open.set_exception(ConnectionError(head[:40].decode("latin-1")))
                return
            self.is_open.set_result(None)
            if self.first:
                self.transport.write(masked(TEXT, self.first))
        at = data.find(PING)
        if at >= 0:
            self.transport.write(masked(PONG, data[at + 2 : at + 6]))
        count = data.count(MEDIUM) + (self._split and data[:1] == b"~")
        self._split = data[-1:] == b"\x81"
        if count:
            self.frames += count
            self._on_frames(count)

    def connection_lost(self, error: Exception | None) -> None:
        self.lost = True
        if not self.is_open.done():
            self.is_open.set_exception(error or ConnectionError("closed"))


async def open_clients(port: int, count: int, first: bytes, told: Callable[[int], None]) -> list[
    Client
]:  # fmt: skip
    """So many sockets, a hundred at once."""
    loop, clients = asyncio.get_running_loop(), list[Client]()
    for at in range(0, count, 100):
        made = await asyncio.gather(*(
            loop.create_connection(lambda: Client(first, told), "127.0.0.1", port)
            for _ in range(min(100, count - at))
        ))  # fmt: skip
        clients += [client for _, client in made]
        await asyncio.gather(*(client.is_open for _, client in made))
    return clients


def run(coroutine: Callable[[], object]) -> object:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = FILES if hard == resource.RLIM_INFINITY else min(FILES, hard)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, wanted), hard))
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(coroutine())  # type: ignore[arg-type]


# --- the daemon ---


def serve(pipe: Connection, directory: str) -> None:
    """Until the pipe ends: place so many orders; of 0, answer with the process's figures; of a
    time in seconds, with how many orders a second could be placed in it."""
    from oms import Config, Instrument, OrderRequest, Side
    from oms.config import SessionConfig, ThrottleConfig
    from oms.gateways.web import open_web
    from oms.sections import WebConfig
    from oms.turn.threads import Worker

    web = WebConfig(
        enabled=True, listen="127.0.0.1:0", address_max=1_000_000, requests_max=1_000_000,
        address_connections_max=100_000, address_sockets_max=100_000,
    )  # fmt: skip
    config = replace(
        Config(), web=web, throttle=ThrottleConfig(policy="off"),
        session=SessionConfig(always_open=True),
        instruments=(Instrument(symbol=SYMBOL, price_scale=2, quantity_scale=4),),
    )  # fmt: skip
    with OrderManagement(config, directory=directory) as oms:
        server = open_web(oms, Path(directory))
        worker = Worker("oms-web", server, lambda name, error: print(name, repr(error)))
        worker.start()
        pipe.send(int(server.urls[0].rpartition(":")[2]))
        placed = 0
        with contextlib.suppress(EOFError):
            while True:
                count = pipe.recv()
                if type(count) is float:
                    pipe.send(_flood(oms, count, f"f-{placed}-"))
                    placed += 1
                    continue
                if count:  # orders, each of which changes one level of the book
                    for _ in range(count):
                        placed += 1
                        oms.on_data(
                            OrderRequest.new(
                                "maker", f"o-{placed}", SYMBOL, Side.BUY, "1",
                                str(1 + placed % 1_000),
                            )
                        )  # fmt: skip
                    continue
                usage = resource.getrusage(resource.RUSAGE_SELF)
                pipe.send((usage.ru_utime, usage.ru_stime, common.rss_bytes()))
        worker.stop(10)
        server.close()


def _flood(oms: OrderManagement, seconds: float, prefix: str) -> float:
    """Orders a second, half of which meet the other half; IN_FLIGHT_MAX are under way at once."""
    from oms import OrderRequest, Side

    clock = oms.clock
    under_way: deque[Future[object]] = deque()
    began_ns, placed = clock.monotonic_ns(), 0
    while clock.monotonic_ns() - began_ns < seconds * 1e9:
        for side in (Side.BUY, Side.SELL):
            placed += 1
            price = str(2_000 + placed % 10 // 2)
            request = OrderRequest.new("maker", f"{prefix}{placed}", SYMBOL, side, "1", price)
            under_way.append(oms.submit(request))  # type: ignore[arg-type]
        while len(under_way) > IN_FLIGHT_MAX:
            under_way.popleft().result(60)
    while under_way:
        under_way.popleft().result(60)
    return placed / ((clock.monotonic_ns() - began_ns) / 1e9)


@contextlib.contextmanager
def daemon(directory: Path | None) -> Iterator[tuple[int, Connection]]:
    """A daemon with its front door open: its port, and what talks to it."""
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    with tempfile.TemporaryDirectory(dir=directory) as place:
        process = context.Process(target=serve, args=(theirs, place))
        process.start()
        theirs.close()
        try:
            yield ours.recv(), ours
        finally:
            ours.close()
            process.join(30)
            process.kill()
