"""A Redis server of a benchmark's own, streams of requests in it, and an engine that takes them."""

import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path

from client import Flow, config
from common import Figures

from oms import Config, OrderManagement

CLIENT, FILL = "bench", 1_000
MEMORY_BYTES = 4 << 30  # that Redis may take
START_S, DRAIN_S = 60.0, 300.0
LOOK_S = 0.05  # how often it is looked whether a stream is empty: the look costs the engine's lock


def program() -> str | None:
    return shutil.which("redis-server") or shutil.which("valkey-server")


class Redis:
    """A server that runs. url: where; server: a connection to it."""

    def __init__(self, url: str) -> None:
        from oms.transport.server import Server

        self.url, self.server = url, Server(url, 10.0)

    def cpu_s(self) -> float:
        lines = self.server.call("INFO", "cpu").decode().splitlines()
        facts = dict(line.split(":") for line in lines if ":" in line)
        return float(facts["used_cpu_user"]) + float(facts["used_cpu_sys"])


@contextmanager
def own_redis(directory: Path) -> Iterator[Redis]:
    """A server with that directory for its own, as `cluster` starts one; it has ended after."""
    from oms.commands import children, own_servers

    servers = list[children.Child]()
    with ExitStack() as stack:
        stack.callback(children.end, servers)
        redis = Redis(own_servers.own_redis(directory, MEMORY_BYTES, stack, servers))
        stack.callback(redis.server.close)
        yield redis


def wait_for(condition: Callable[[], object], seconds: float = START_S) -> None:
    due = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > due:
            raise SystemExit("it did not happen in time")
        time.sleep(0.005)


def scaled(url: str) -> Config:
    settings = config()
    return replace(settings, scale=replace(settings.scale, redis_url=url, lag_max=10_000_000))


def fill(redis: Redis, group: str, orders: int, together: int) -> None:
    """So many requests of Flow in a group's stream, so many in an entry, as an api writes them for
    which as many wait."""
    from oms.transport import wire
    from oms.transport.keys import Keys

    keys, flow, server = Keys(group), Flow(), redis.server
    server.call("XADD", keys.replies(CLIENT), "*", "v", "0", "e", "")
    for start in range(0, orders, FILL):
        requests = [
            wire.asked(number, 0, request)
            for number, request in enumerate(flow.take(min(FILL, orders - start)), start)
        ]
        entries = [requests[at : at + together] for at in range(0, len(requests), together)]
        server.all([
            ("XADD", keys.commands, "*", "v", wire.COMMANDS_VERSION, "e",
             wire.commands(CLIENT, each))
            for each in entries
        ])  # fmt: skip


def drain(
    settings: Config, group: str, directory: Path, orders: int, begin: Callable[[], object]
) -> Figures:
    """An engine takes what is in its stream, once `begin` returns: from there to the last
    acknowledgement."""
    from oms.roles.engine import Engine
    from oms.transport.keys import Keys

    keys, died = Keys(group), list[object]()
    with OrderManagement(settings, directory=directory) as manager:
        engine = Engine(manager, group)
        engine.open()
        looking = engine.server()
        begin()
        began, cpu_s = time.monotonic(), time.process_time()
        engine.start(lambda *given: died.append(given))
        while not died and looking.call("XLEN", keys.commands):
            if time.monotonic() - began > DRAIN_S:
                raise SystemExit("the stream is not empty in time")
            time.sleep(LOOK_S)
        seconds, cpu_s = time.monotonic() - began, time.process_time() - cpu_s
        turns = manager.get_status()["turns"]
        looking.close()
    engine.stop()
    if died:
        raise SystemExit(f"the engine died: {died}")
    return {
        "orders_per_s": orders / seconds,
        "engine_cpu_us": cpu_s / orders * 1e6,
        "orders_per_turn": orders / turns,
        "seconds": seconds,
    }
