"""A daemon whose front door clients write raw bytes to."""

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

from tests.web.served import PASSWORD, PROGRAM, Daemon

ANSWER_S = 20.0


class RawDaemon(Daemon):
    """A daemon that logs what it refuses, and answers before it is used. web: its settings."""

    def __init__(self, directory: Path, **web: object) -> None:
        told = {key: str(value) for key, value in web.items()}
        super().__init__(directory / "data", {"web": told, "log": {"level": "INFO"}})
        self.http = httpx.Client(base_url=self.url, timeout=ANSWER_S, verify=False)

    def stopped(self) -> int:
        """Its exit code."""
        self.http.close()
        try:
            return self.stop()[0]
        finally:
            self.kill()

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
        command = [sys.executable, PROGRAM, "--data-dir", self.directory]
        done = subprocess.run([*command, "digest"], capture_output=True, text=True, check=True)
        return next(line for line in done.stdout.splitlines() if line.startswith("digest"))

    def signed_up(self, name: str) -> dict[str, str]:
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
