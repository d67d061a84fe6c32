"""A Redis server of a benchmark's own, streams of requests in it, and an engine that takes them."""

import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from client import Flow, config
from common import Figures

from oms import Config, OrderManagement

CLIENT, FILL = "bench", 1_000
START_S, DRAIN_S = 60.0, 300.0
LOOK_S = 0.05  # how often it is looked whether a stream is empty: the look costs the engine's lock


def program() -> str | None:
    return shutil.which("redis-server") or shutil.which("valkey-server")


class Redis:
    """A server behind a socket, with that directory for its own."""

    def __init__(self, directory: Path) -> None:
        from oms.transport.server import Server

        found = program()
        assert found is not None
        # Not in the directory: the path of a socket has 107 bytes at most.
        self._place = tempfile.TemporaryDirectory(prefix="oms-")
        socket = Path(self._place.name) / "redis.sock"
        self.url = f"unix://{socket}"
        self._process = subprocess.Popen(
            [
                found, "--port", "0", "--unixsocket", str(socket), "--save", "",
                "--appendonly", "no", "--maxmemory", "4gb", "--maxmemory-policy", "noeviction",
                "--dir", str(directory),
            ],
            stdout=subprocess.DEVNULL,
        )  # fmt: skip
        wait_for(lambda: socket.exists() or self._process.poll() is not None)
        self.server = Server(self.url, 10.0)
        wait_for(lambda: self.server.call("PING"))

    def cpu_s(self) -> float:
        lines = self.server.call("INFO", "cpu").decode().splitlines()
        facts = dict(line.split(":") for line in lines if ":" in line)
        return float(facts["used_cpu_user"]) + float(facts["used_cpu_sys"])

    def stop(self) -> None:
        self.server.close()
        self._process.terminate()
        self._process.wait()
        self._place.cleanup()


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
