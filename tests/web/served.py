"""The daemon as it is started by people, as a process of its own: for tests that kill it.

Its config.ini is always open and not throttled, with a ledger and play money for whoever signs up.
It listens on a port of its own choice, which it tells; every process is dead when its `with` block
ends.
"""

import http.client
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from tests.processes import WAIT_S_MAX, wait_until

PROGRAM = Path(__file__).parents[2] / "order_management.py"
PASSWORD = "correct horse battery staple"
BROKEN = """
import runpy, sys
sys.path.insert(0, {root!r})
{fault}
runpy.run_path({program!r}, run_name="__main__")
"""
SETTINGS: Mapping[str, Mapping[str, str]] = {
    "session": {"always_open": "yes"},
    "throttle": {"policy": "off"},
    "exchange": {"ledger": "yes"},
    "store": {"snapshot_every": "500"},
    "web": {
        "enabled": "yes", "listen": "127.0.0.1:0", "sign_up": "yes", "play_money": "1000000",
        "requests_max": "1000000", "orders_max": "1000000", "cancels_max": "1000000",
        "address_max": "1000000",
    },
    "instrument BTC_USD": {
        "price_scale": "2", "quantity_scale": "4", "tick_size": "0.01", "base": "BTC",
        "quote": "USD", "reference_price": "100", "lot_size": "0.0001",
    },
}  # fmt: skip


def config_text(changes: Mapping[str, Mapping[str, str]]) -> str:
    """config.ini with these settings beside those above."""
    sections = {name: {**SETTINGS.get(name, {}), **changes.get(name, {})}
                for name in {**SETTINGS, **changes}}  # fmt: skip
    return "\n".join(
        f"[{name}]\n" + "".join(f"{key} = {value}\n" for key, value in values.items())
        for name, values in sections.items()
    )


class Answer(NamedTuple):
    """What a request was answered."""

    status: int
    told: Any
    headers: Mapping[str, str]


class Session:
    """One keep-alive connection of one client; raises OSError or HTTPException when it breaks."""

    def __init__(self, url: str, token: str = "", timeout_s: float = WAIT_S_MAX) -> None:
        host = urlsplit(url)
        self._connection = http.client.HTTPConnection(
            host.hostname or "", host.port, timeout=timeout_s
        )
        self.token = token

    def ask(
        self, method: str, path: str, said: Any = None, headers: Mapping[str, str] | None = None
    ) -> Answer:
        sent = {"authorization": f"Bearer {self.token}"} if self.token else {}
        body = None if said is None else json.dumps(said)
        self._connection.request(method, path, body, {**sent, **(headers or {})})
        found = self._connection.getresponse()
        text = found.read()
        told = json.loads(text) if text[:1] in (b"{", b"[") else text
        return Answer(found.status, told, {k.lower(): v for k, v in found.getheaders()})

    def good(self, method: str, path: str, said: Any = None) -> Any:
        """What it told; a refusal fails the test."""
        answer = self.ask(method, path, said)
        assert answer.status < 300, answer
        return answer.told

    def close(self) -> None:
        self._connection.close()


class Daemon:
    """`serve` on one data directory. changes: settings other than those above. fault: Python that
    is run in the process before anything else. output: where its words go."""

    def __init__(
        self, directory: Path, changes: Mapping[str, Mapping[str, str]] | None = None,
        fault: str = "", output: Path | None = None,
    ) -> None:  # fmt: skip
        self.directory = directory
        directory.mkdir(parents=True, exist_ok=True)
        config = directory.with_suffix(".ini")
        config.write_text(config_text(changes or {}))
        program = [str(PROGRAM)]
        if fault:
            where = {"root": str(PROGRAM.parent), "program": str(PROGRAM)}
            program = ["-c", BROKEN.format(fault=fault, **where)]
        self.output_path = output or directory.with_suffix(".out")
        with self.output_path.open("wb") as told:
            self.process = subprocess.Popen(
                [sys.executable, *program, "serve", "--data-dir", directory, "--config", config],
                stdout=told, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL,
                start_new_session=True,
            )  # fmt: skip
        self._url = ""
        self._sessions: list[Session] = []

    def __enter__(self) -> "Daemon":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.kill()
        for each in self._sessions:
            each.close()

    @property
    def output(self) -> str:
        return self.output_path.read_text(errors="replace")

    @property
    def url(self) -> str:
        """Where it listens, once it does. A process that ended first fails the test."""
        if not self._url:
            pattern = re.compile(r"^front door: (\S+?),?$", re.MULTILINE)
            wait_until(lambda: pattern.search(self.output) or self.process.poll() is not None)
            found = pattern.search(self.output)
            assert found is not None, self.output
            self._url = found.group(1)
        return self._url

    @property
    def ws_url(self) -> str:
        return self.url.replace("http", "ws", 1) + "/ws"

    def session(self, token: str = "") -> Session:
        """A connection of its own; it is closed with the daemon."""
        self._sessions.append(Session(self.url, token))
        return self._sessions[-1]

    def sign_up(self, name: str) -> None:
        said = {"username": name, "email": f"{name}@example.com", "password": PASSWORD}
        self.session().good("POST", "/signup", said)

    def login(self, name: str) -> dict[str, Any]:
        """Its tokens."""
        said = {"username": name, "password": PASSWORD}
        told: dict[str, Any] = self.session().good("POST", "/login", said)
        return told

    def signed_in(self, name: str) -> Session:
        return self.session(self.login(name)["token"])

    def kill(self) -> None:
        """kill -9."""
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()

    def exit_code(self, seconds: float = WAIT_S_MAX) -> int:
        return self.process.wait(seconds)

    def stop(self, number: int = signal.SIGTERM) -> tuple[int, float]:
        """Tell it to; the exit code, and how many seconds it took."""
        began_s = time.monotonic()
        self.process.send_signal(number)
        return self.exit_code(), time.monotonic() - began_s
