"""A good client beside a crowd of hostile ones: how long its orders take meanwhile.

Three processes on this machine's loopback: the daemon; a crowd that keeps 200 sockets with headers
and bodies that come byte by byte, floods logins, sends garbage and bodies that are too large, opens
connections and resets them, pings over WebSockets whose answers it never reads; and a good client
that places an order every 20 ms on one connection. Its orders are timed without the crowd, too.
"""

import argparse
import asyncio
import multiprocessing
import os
import random
import struct
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import suppress
from pathlib import Path
from typing import Any

from common import Claim, Figures, parser, percentile, report, skip

NAME = "web_hostile"
CLAIMS = (Claim("p99_ms", "<=", 500), Claim("grown_mb", "<=", 50))
SLOW, FLOODS = 200, 8
EVERY_S = 0.02
HEAD = b"POST /order HTTP/1.1\r\nhost: localhost\r\n"


def main() -> int:
    arguments = parser(__doc__)
    arguments.add_argument("--seconds", type=float, help="default: 20, with --quick 1")
    args = arguments.parse_args()
    try:
        import uvicorn  # noqa: F401
        import uvloop  # noqa: F401
    except ImportError as error:
        return skip(NAME, f"{error.name} is missing: pip install 'order-management[server]'")
    return report(NAME, args, measure, CLAIMS)


def measure(args: argparse.Namespace) -> Figures:
    import uvloop
    from web_orders import daemon, signed_in

    seconds = args.seconds or (1 if args.quick else 20)
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    with tempfile.TemporaryDirectory(dir=args.directory) as directory:
        process = context.Process(target=daemon, args=(theirs, directory, False, False))
        process.start()
        crowd = None
        try:
            url = ours.recv()
            ours.send("begin")
            token = signed_in(url, "good")
            alone = sorted(uvloop.run(good(url, token, seconds / 2, "a")))
            before = rss_mb(process.pid)
            crowd = context.Process(target=hostile, args=(url, seconds + 2))
            crowd.start()
            time.sleep(1)
            beside = sorted(uvloop.run(good(url, token, seconds, "b")))
            grown = rss_mb(process.pid) - before
            ours.send("end")
            ours.recv()
        finally:
            for each in (crowd, process):
                if each is not None:
                    each.join(10)
                    each.kill()
    return {
        "alone_p50_ms": percentile(alone, 50) * 1e3, "alone_p99_ms": percentile(alone, 99) * 1e3,
        "p50_ms": percentile(beside, 50) * 1e3, "p99_ms": percentile(beside, 99) * 1e3,
        "max_ms": beside[-1] * 1e3, "orders": len(beside), "grown_mb": grown,
    }  # fmt: skip


def rss_mb(pid: int | None) -> float:
    """0 where /proc does not tell."""
    with suppress(OSError):
        pages = Path(f"/proc/{pid}/statm").read_text().split()[1]
        return int(pages) * os.sysconf("SC_PAGE_SIZE") / 1e6
    return 0.0


async def good(url: str, token: str, seconds: float, prefix: str) -> list[float]:
    """Orders at a steady pace; how long each took."""
    from web_orders import placing

    host, port = url.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    latencies: list[float] = []
    end_s = time.perf_counter() + seconds
    while (began_s := time.perf_counter()) < end_s:
        writer.write(placing(token, prefix, len(latencies)))
        head = await reader.readuntil(b"\r\n\r\n")
        await reader.readexactly(int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0]))
        latencies.append(time.perf_counter() - began_s)
        if not head.startswith((b"HTTP/1.1 201", b"HTTP/1.1 202")):
            raise SystemExit(f"the good client was refused: {head!r}")
        await asyncio.sleep(max(0.0, EVERY_S - latencies[-1]))
    writer.close()
    return latencies


# --- the crowd's process ---


def hostile(url: str, seconds: float) -> None:
    host, port = url.removeprefix("http://").split(":")
    asyncio.run(_crowd(host, int(port), seconds))


Open = Callable[[], Awaitable[tuple[asyncio.StreamReader, asyncio.StreamWriter]]]


async def _crowd(host: str, port: int, seconds: float) -> None:
    def opened() -> Coroutine[Any, Any, tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
        return asyncio.open_connection(host, port)

    kinds = (logins, garbage, large, resets, pings)
    tasks = [asyncio.create_task(again(slow, opened)) for _ in range(SLOW)]
    tasks += [asyncio.create_task(again(kind, opened)) for kind in kinds for _ in range(FLOODS)]
    await asyncio.sleep(seconds)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


async def again(kind: Callable[[Open], Awaitable[None]], opened: Open) -> None:
    """Whatever becomes of it, once more; a little later, so that one process can be so many."""
    while True:
        with suppress(OSError, EOFError, TimeoutError):
            async with asyncio.timeout(30):
                await kind(opened)
        await asyncio.sleep(random.uniform(0.02, 0.1))


async def slow(opened: Open) -> None:
    reader, writer = await opened()
    start = HEAD + (b"x: " if random.random() < 0.5 else b"content-length: 60000\r\n\r\n")
    writer.write(start)
    while not reader.at_eof():
        writer.write(b"y")
        await asyncio.sleep(0.5)
        if writer.is_closing():
            return
    writer.close()


async def logins(opened: Open) -> None:
    body = b'{"username": "u%d", "password": "wrong one"}' % random.randrange(10**6)
    await _asked(opened, b"POST /login HTTP/1.1\r\nhost: localhost\r\n", body)


async def garbage(opened: Open) -> None:
    await _asked(opened, HEAD, random.choice((b"[" * 60_000, b'{"price": NaN}', b"\xff" * 999)))


async def large(opened: Open) -> None:
    await _asked(opened, HEAD, b"x" * 1_000_000)


async def resets(opened: Open) -> None:
    _, writer = await opened()
    writer.write(HEAD)
    sock = writer.get_extra_info("socket")
    sock.setsockopt(1, 13, struct.pack("ii", 1, 0))  # SOL_SOCKET, SO_LINGER
    writer.transport.abort()


async def pings(opened: Open) -> None:
    reader, writer = await opened()
    writer.write(
        b"GET /ws HTTP/1.1\r\nhost: localhost\r\nconnection: upgrade\r\nupgrade: websocket\r\n"
        b"sec-websocket-version: 13\r\nsec-websocket-key: eHh4eHh4eHh4eHh4eHh4eA==\r\n\r\n"
    )
    await reader.readuntil(b"\r\n\r\n")
    reader._transport.pause_reading()  # type: ignore[attr-defined]
    for _ in range(500):
        writer.write((b"\x89\xfd\0\0\0\0" + b"x" * 125) * 20)
        await writer.drain()
        await asyncio.sleep(0.02)
    writer.close()


async def _asked(opened: Open, head: bytes, body: bytes) -> None:
    reader, writer = await opened()
    writer.write(head + b"content-length: %d\r\n\r\n" % len(body) + body)
    await reader.readuntil(b"\r\n\r\n")
    writer.close()


if __name__ == "__main__":
    sys.exit(main())
