"""A primary, a replica of it, and Sentinels that watch them: processes of the test's own."""

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import redis

from tests.scale.servers import RedisServer, free_port, program, wait_for

NAME = "oms"
FAILOVER_S = 60.0
SENTINEL = """\
port {port}
bind 127.0.0.1
dir {directory}
sentinel monitor {name} 127.0.0.1 {primary} {quorum}
sentinel down-after-milliseconds {name} 1500
sentinel failover-timeout {name} 3000
"""


def replica_of(primary: RedisServer, directory: Path, *settings: str) -> RedisServer:
    """Started, and in step with its primary."""
    with primary.client() as client:
        client.config_set("repl-diskless-sync-delay", 0)
    made = RedisServer(directory, *settings)
    made.settings = (*settings, *replication(primary))
    made.start()
    wait_for(lambda: in_step(made))
    return made


def replication(primary: RedisServer) -> tuple[str, ...]:
    return ("--replicaof", "127.0.0.1", str(primary.port), "--repl-diskless-sync-delay", "0")


def in_step(replica: RedisServer) -> bool:
    with replica.client() as client:
        return bool(client.info("replication").get("master_link_status") == "up")


def set_primary(server: RedisServer, primary: RedisServer | None) -> None:
    """Of which server it is a replica from now on; None: of none."""
    with server.client() as client:
        client.replicaof(*(("127.0.0.1", primary.port) if primary else ("NO", "ONE")))


class Watched:
    """Two servers and some Sentinels. url: what [scale] redis_url says of them."""

    def __init__(self, directory: Path, sentinels: int = 3) -> None:
        self.servers = [RedisServer(directory / "redis-0").start()]
        self.servers.append(replica_of(self.servers[0], directory / "redis-1"))
        self.ports = [free_port() for _ in range(sentinels)]
        self._processes = [self._sentinel(directory / f"sentinel-{port}", port)
                           for port in self.ports]  # fmt: skip
        wait_for(self._all_known)

    @property
    def url(self) -> str:
        places = ",".join(f"127.0.0.1:{port}" for port in self.ports)
        return f"redis+sentinel://{places}/{NAME}/0"

    def _sentinel(self, directory: Path, port: int) -> "subprocess.Popen[bytes]":
        directory.mkdir(parents=True)
        path = directory / "sentinel.conf"
        path.write_text(
            SENTINEL.format(
                port=port, directory=directory, name=NAME, primary=self.servers[0].port,
                quorum=len(self.ports) // 2 + 1,
            )
        )  # fmt: skip
        with (directory / "log").open("ab") as log:
            return subprocess.Popen([program(), str(path), "--sentinel"], stdout=log, stderr=log)

    def _all_known(self) -> bool:
        """Each Sentinel knows of the others and of the replica."""
        try:
            told = [self._state(port) for port in self.ports]
        except (redis.exceptions.ConnectionError, redis.exceptions.TimeoutError):
            return False
        others = len(self.ports) - 1
        return all(
            each["num-other-sentinels"] == others and each["num-slaves"] == 1 for each in told
        )

    def _state(self, port: int) -> dict[str, object]:
        with redis.Redis(port=port, decode_responses=True, socket_timeout=5) as client:
            return dict(client.sentinel_masters()[NAME])

    def primary(self) -> RedisServer:
        """That which the Sentinels name."""
        port = self._state(self.ports[-1])["port"]
        return next(each for each in self.servers if each.port == port)

    def lose_sentinel(self) -> None:
        """That which clients ask first."""
        process = self._processes.pop(0)
        process.kill()
        process.wait()

    def replace_primary(self, harm: str) -> RedisServer:
        """Kill or stop the primary, and wait until another one is; the one that was."""
        old = self.primary()
        if harm == "kill":
            old.kill()
        else:
            old.stop_for_a_while()
        wait_for(lambda: self.primary() is not old, FAILOVER_S)
        return old

    def bring_back(self, old: RedisServer) -> None:
        """What was the primary goes on, or starts, and ends up as a replica of the other one."""
        if old.process is None:
            old.settings = replication(self.primary())
            old.start()
        else:
            old.go_on()
        wait_for(lambda: in_step(old), FAILOVER_S)

    def end(self) -> None:
        for process in self._processes:
            process.kill()
            process.wait()
        for server in self.servers:
            server.kill()


@contextmanager
def watched(directory: Path, sentinels: int = 3) -> Iterator[Watched]:
    made = Watched(directory, sentinels)
    try:
        yield made
    finally:
        made.end()
