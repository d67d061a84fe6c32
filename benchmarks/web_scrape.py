"""A scrape of /metrics while orders come in by REST.

Claimed: within 20 ms, with orders on 16 connections, each of which sends its next one when the
last was answered; all of it on the same cores.

Measured: `scrape_ms`, the median from a request on an open connection to the whole answer;
`scrape_ms_worst`; `idle_ms`, the median before any load; `load_per_s`, orders answered meanwhile;
`kib`, the size of an answer.

Inside the timed part: request and answer of each scrape. Outside: the start, and every route asked
once, so that all of them are in the answer.
"""

import argparse
import asyncio
import http.client
import json
import multiprocessing
import re
import statistics
import sys
import time
from multiprocessing.sharedctypes import Synchronized
from urllib.parse import urlsplit

from common import Claim, Figures, parser, report
from sandboxes import sandbox

CLAIMS = [Claim("scrape_ms", "<=", 20)]
CONNECTIONS, PAUSE_S, WARM_S = 16, 0.1, 1.0
ORDER = b'{"symbol":"BTC_USD","side":"BUY","price":"1","quantity":"0.001","timeInForce":"IOC"}'


def measure(args: argparse.Namespace) -> Figures:
    with sandbox(args.directory) as daemon:
        return scraped(daemon.told, args.scrapes)


def scraped(told: str, count: int) -> Figures:
    place = re.search(r"http://(127\.0\.0\.1:\d+)", told)
    token = re.search("Bearer ([^']+)", told)
    assert place and token
    client = http.client.HTTPConnection(place[1])
    ask_all_routes(client)
    idle_ms = [scrape(client)[0] for _ in range(count)]
    answered: Synchronized[int] = multiprocessing.Value("q", 0)
    load = multiprocessing.Process(target=pour, args=(place[1], token[1], answered), daemon=True)
    load.start()
    time.sleep(WARM_S)
    before, start = answered.value, time.perf_counter()
    loaded_ms, size = [], 0
    for _ in range(count):
        elapsed_ms, size = scrape(client)
        loaded_ms.append(elapsed_ms)
        time.sleep(PAUSE_S)
    per_s = (answered.value - before) / (time.perf_counter() - start)
    load.kill()
    load.join()
    return {
        "scrape_ms": statistics.median(loaded_ms), "scrape_ms_worst": max(loaded_ms),
        "idle_ms": statistics.median(idle_ms), "load_per_s": per_s, "kib": size / 1024,
    }  # fmt: skip


def ask_all_routes(client: http.client.HTTPConnection) -> None:
    """Whatever the answer is: it is counted by its route."""
    client.request("GET", "/openapi.json")
    for path, methods in json.loads(client.getresponse().read())["paths"].items():
        for method in methods:
            client.request(method.upper(), path, body=None if method == "get" else b"{}")
            client.getresponse().read()


def scrape(client: http.client.HTTPConnection) -> tuple[float, int]:
    start = time.perf_counter()
    client.request("GET", "/metrics")
    size = len(client.getresponse().read())
    return (time.perf_counter() - start) * 1e3, size


def pour(place: str, token: str, answered: "Synchronized[int]") -> None:
    asyncio.run(pour_all(place, token, answered))


async def pour_all(place: str, token: str, answered: "Synchronized[int]") -> None:
    await asyncio.gather(*(orders(place, token, answered) for _ in range(CONNECTIONS)))


async def orders(place: str, token: str, answered: "Synchronized[int]") -> None:
    """One after the other on one connection, without end."""
    parts = urlsplit(f"//{place}")
    reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
    head = (
        f"POST /order HTTP/1.1\r\nHost: {place}\r\nAuthorization: Bearer {token}\r\n"
        f"Content-Length: {len(ORDER)}\r\n\r\n"
    )
    while True:
        writer.write(head.encode() + ORDER)
        answer = await reader.readuntil(b"\r\n\r\n")
        assert b" 201 " in answer, answer
        found = re.search(rb"content-length: (\d+)", answer)
        assert found
        await reader.readexactly(int(found[1]))
        answered.value += 1


def main() -> int:
    arguments = parser(__doc__)
    arguments.add_argument("--scrapes", type=int, default=100)
    args = arguments.parse_args()
    if args.quick:
        args.scrapes = 10
    return report("web_scrape", args, measure, CLAIMS)


if __name__ == "__main__":
    sys.exit(main())
