"""A daemon of its own with its front door open, as a process; and clients that write raw bytes."""

import json
import os
import socket
import ssl
import subprocess
import sys
from contextlib import suppress
from http.client import HTTPResponse
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit

import httpx

from oms.commands.sandbox import SETTINGS as SANDBOX_SETTINGS
from tests.processes import wait_until
from tests.web.doors import PASSWORD

ROOT = Path(__file__).resolve().parents[2]
ANSWER_S = 20.0
WIDE = {
    "requests_max": 100_000, "orders_max": 100_000, "cancels_max": 100_000, "address_max": 1_000_000
}  # fmt: skip


class Daemon:
    """`serve` with a configuration: sign-up, play money, always open, and `web`."""

    def __init__(self, directory: Path, **web: object) -> None:
        self.directory = directory
        self.config = directory / "config.ini"
        self.config.write_text(settings(**{**WIDE, **web}))
        self.log = directory / "stdout.txt"
        command = [
            sys.executable, ROOT / "order_management.py", "serve", "--config", self.config,
            "--data-dir", directory, "--listen", "127.0.0.1:0",
        ]  # fmt: skip
        with self.log.open("wb") as out:
            self.process = subprocess.Popen(command, stdout=out, stderr=out, cwd=directory)
        wait_until(lambda: self._url() or self.process.poll() is not None)
        assert self.process.poll() is None, self.log.read_text()
        self.url = self._url()
        self.http = httpx.Client(base_url=self.url, timeout=ANSWER_S, verify=False)

    def _url(self) -> str:
        """What the daemon prints once it listens."""
        for line in self.log.read_text().splitlines():
            if line.startswith("front door: "):
                return line.removeprefix("front door: ")
        return ""

    def stop(self) -> int:
        self.http.close()
        self.process.terminate()
        try:
            return self.process.wait(ANSWER_S)
        finally:
            self.process.kill()

    @property
    def rss(self) -> int:
        """Bytes of its memory that are in RAM."""
        pages = Path(f"/proc/{self.process.pid}/statm").read_text().split()[1]
        return int(pages) * os.sysconf("SC_PAGE_SIZE")

    @property
    def seq(self) -> str:
        """Of the journal's latest line: what was refused unrecorded leaves it as it was."""
        return self.http.get("/ready").json()["parts"]["engine"]["seq"]

    def digest(self) -> str:
        command = [sys.executable, ROOT / "order_management.py", "--data-dir", self.directory]
        done = subprocess.run([*command, "digest"], capture_output=True, text=True, check=True)
        return next(line for line in done.stdout.splitlines() if line.startswith("digest"))

    def sign_up(self, name: str) -> dict[str, str]:
        """A new user, signed in: the header of their requests."""
        body = {"username": name, "email": f"{name}@example.com", "password": PASSWORD}
        answer = self.http.post("/signup", json=body)
        assert answer.status_code == 201, answer.text
        answer = self.http.post("/login", json={"username": name, "password": PASSWORD})
        return {"authorization": f"Bearer {answer.json()['token']}"}

    def connect(self, context: ssl.SSLContext | None = None) -> socket.socket:
        return connect(self.url, context)

    def say(self, data: bytes) -> "Answer":
        return say(self.url, data)


class Answer(NamedTuple):
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def code(self) -> str:
        return str(json.loads(self.body)["error"]["code"])


def settings(**web: object) -> str:
    values = {**SANDBOX_SETTINGS, ("log", "level"): "INFO"}
    values |= {("web", key): str(value) for key, value in web.items()}
    sections: dict[str, list[str]] = {}
    for (section, key), value in values.items():
        sections.setdefault(section, []).append(f"{key} = {value}")
    instrument = "[instrument BTC_USD]\ntick_size = 0.01\nlot_size = 0.0001\n"
    return instrument + "".join(
        f"\n[{section}]\n" + "\n".join(lines) + "\n" for section, lines in sections.items()
    )


def connect(url: str, context: ssl.SSLContext | None = None) -> socket.socket:
    parts = urlsplit(url)
    assert parts.hostname is not None and parts.port is not None
    made = socket.create_connection((parts.hostname, parts.port), timeout=ANSWER_S)
    return made if context is None else context.wrap_socket(made, server_hostname="localhost")


def read(connection: socket.socket, method: str = "GET") -> Answer:
    """One answer; http.client.BadStatusLine or ConnectionError if there is none."""
    response = HTTPResponse(connection, method=method)
    response.begin()
    headers = {name.lower(): value for name, value in response.getheaders()}
    return Answer(response.status, headers, response.read())


def say(url: str, data: bytes) -> Answer:
    """Bytes on a connection of their own, and the answer. Sending may be cut short by it."""
    with connect(url) as connection:
        with suppress(BrokenPipeError, ConnectionResetError):
            connection.sendall(data)
        return read(connection)


def request(
    method: str, path: str, headers: dict[str, str] | None = None, body: bytes = b""
) -> bytes:
    lines = {"host": "localhost", "content-length": str(len(body)), **(headers or {})}
    head = "".join(f"{name}: {value}\r\n" for name, value in lines.items())
    return f"{method} {path} HTTP/1.1\r\n{head}\r\n".encode("latin-1") + body
