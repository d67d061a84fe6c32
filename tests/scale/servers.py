"""A Redis server of the test's own: on a port of its own, without persistence, and killed."""

import os
import shutil
import signal
import socket
import subprocess
import time
from pathlib import Path

import pytest
import redis

import tests.scale.sooner  # noqa: F401

START_S = 30.0


def program() -> str:
    """The server's program; the test is skipped where there is none."""
    found = os.environ.get("OMS_TEST_REDIS") or shutil.which("redis-server")
    found = found or shutil.which("valkey-server")
    if not found:
        pytest.skip("no redis-server and no valkey-server; OMS_TEST_REDIS names one elsewhere")
    return found


def wait_for(condition, wait_s: float = START_S) -> None:
    """Until it holds; fails if it does not in time."""
    deadline = time.monotonic() + wait_s
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.002)


def free_port() -> int:
    with socket.socket() as probing:
        probing.bind(("127.0.0.1", 0))
        return int(probing.getsockname()[1])


class RedisServer:
    """Start it with `start`, end it with `kill`; the port stays, so that clients find the next."""

    def __init__(self, directory: Path, *settings: str) -> None:
        self.directory, self.settings = directory, settings
        self.port = free_port()
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    def start(self) -> "RedisServer":
        self.directory.mkdir(parents=True, exist_ok=True)
        self.process = subprocess.Popen(
            [
                program(), "--port", str(self.port), "--bind", "127.0.0.1", "--save", "",
                "--appendonly", "no", "--maxmemory", "256mb", "--maxmemory-policy", "noeviction",
                "--dir", str(self.directory), *self.settings,
            ],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        deadline = time.monotonic() + START_S
        while True:
            try:
                with self.client() as client:
                    client.ping()
                return self
            except redis.exceptions.AuthenticationError:
                return self
            except (redis.exceptions.ConnectionError, redis.exceptions.TimeoutError):
                assert self.process.poll() is None, "the server did not start"
                assert time.monotonic() < deadline, "the server does not answer"
                time.sleep(0.01)

    def client(self) -> redis.Redis:
        return redis.Redis(port=self.port, decode_responses=True, socket_timeout=5)

    def kill(self) -> None:
        if self.process is not None:
            self.process.send_signal(signal.SIGCONT)
            self.process.kill()
            self.process.wait()
            self.process = None

    def stop_for_a_while(self) -> None:
        assert self.process is not None
        self.process.send_signal(signal.SIGSTOP)

    def go_on(self) -> None:
        assert self.process is not None
        self.process.send_signal(signal.SIGCONT)
