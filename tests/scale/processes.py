"""Engines, apis and broadcasts as processes of their own, and clients that never give up."""

import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from websockets.exceptions import WebSocketException
from websockets.sync.client import connect

from oms.gateways.master import VARIABLE
from tests.processes import WAIT_S_MAX, wait_until
from tests.scale.servers import free_port
from tests.scale.split import SECRET
from tests.web.clients import BROKEN, SYMBOL
from tests.web.served import PASSWORD, PROGRAM, Session, config_text

AGAIN_S = 0.05
GIVE_UP_S = 40.0


class Role:
    """One process that may be killed and started again, on a port of its own if it listens.

    at: its data directory, if that is not one of its own. more: of its environment.
    """

    def __init__(
        self, directory: Path, config: Path, url: str, *command: str, at: Path | None = None,
        more: Mapping[str, str] | None = None,
    ) -> None:  # fmt: skip
        self.name = "-".join(each for each in command if not each.startswith("-"))
        self.directory, self._config = at or directory / self.name, config
        self._output = directory / f"{self.name}.txt"
        self._environment = {
            **os.environ, "OMS__SCALE__REDIS_URL": url, VARIABLE: SECRET, **(more or {}),
        }  # fmt: skip
        self._command = list(command)
        self.port = 0
        if command[0] in ("api", "broadcast"):
            self.port = free_port()
            self._command += ["--port", str(self.port)]
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def output(self) -> str:
        return self._output.read_text(errors="replace")

    def start(self) -> "Role":
        self.directory.mkdir(parents=True, exist_ok=True)
        self._output.parent.mkdir(parents=True, exist_ok=True)
        with self._output.open("ab") as told:
            self.process = subprocess.Popen(
                [
                    sys.executable, str(PROGRAM), "--config", str(self._config),
                    "--data-dir", str(self.directory), *self._command,
                ],
                stdout=told, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL,
                env=self._environment, start_new_session=True,
            )  # fmt: skip
        return self

    def ready(self) -> bool:
        """Of an api: are orders taken?"""
        try:
            session = Session(self.url, timeout_s=2)
            answer = session.ask("GET", "/ready")
            session.close()
        except BROKEN:
            return False
        return answer.status == 200

    def signal(self, number: int) -> None:
        if self.process is not None:
            with suppress(ProcessLookupError):
                os.killpg(self.process.pid, number)

    def kill(self) -> None:
        self.signal(signal.SIGCONT)
        self.signal(signal.SIGKILL)
        if self.process is not None:
            self.process.wait()
            self.process = None

    def revive(self) -> None:
        """Start it again if it has ended."""
        if self.process is None or self.process.poll() is not None:
            self.start()


def settings(
    directory: Path, more: Mapping[str, Mapping[str, str]] | None = None, **scale: str
) -> Path:
    """The one config.ini of all roles. more: other sections."""
    directory.mkdir(parents=True, exist_ok=True)
    path = directory / "config.ini"
    sections = {"scale": {"call_timeout_s": "0.5", **scale}, **(more or {})}
    path.write_text(config_text(sections), encoding="utf-8")
    return path


class Persistent:
    """One client: each request has an id and is sent, to whichever api, until it is answered."""

    symbols: Sequence[str] = (SYMBOL,)  # that it trades

    def __init__(self, name: str, apis: list[Role], chance: random.Random) -> None:
        self.name, self.apis, self.chance = name, apis, chance
        self.answers: dict[str, dict[str, Any]] = {}
        self.others: list[str] = []  # accounts that it pays to
        self.sent = 0
        self.paid: list[dict[str, str]] = []  # transfers that were done
        self.token = ""
        self.stopping = threading.Event()
        self.failure: BaseException | None = None
        self.thread = threading.Thread(target=self._run, daemon=True)

    def ask(self, method: str, path: str, said: Any = None) -> Any:
        """The answer that is one: whatever is unknown or not taken is sent again."""
        deadline = time.monotonic() + GIVE_UP_S
        while time.monotonic() < deadline:
            api = self.chance.choice(self.apis)
            try:
                session = Session(api.url, self.token, timeout_s=3)
                try:
                    answer = session.ask(method, path, said)
                finally:
                    session.close()
            except BROKEN:
                time.sleep(AGAIN_S)
                continue
            if answer.status < 500 and answer.status != 429:
                return answer
            time.sleep(AGAIN_S)
        raise AssertionError(f"{method} {path} {said}: no answer in {GIVE_UP_S:g} s")

    def sign_up(self) -> None:
        said = {"username": self.name, "email": f"{self.name}@example.com", "password": PASSWORD}
        assert self.ask("POST", "/signup", said).status in (201, 409)
        answer = self.ask("POST", "/login", {"username": self.name, "password": PASSWORD})
        assert answer.status == 200, answer
        self.token = answer.told["token"]

    def _run(self) -> None:
        try:
            while not self.stopping.is_set():
                self.sent += 1
                self._order(f"{self.name}-{self.sent}")
        except BaseException as error:
            self.failure = error

    def _order(self, name: str) -> None:
        chance = self.chance
        said = {
            "clientOrderId": name, "symbol": chance.choice(self.symbols),
            "side": chance.choice(("BUY", "SELL")),
            "quantity": str(chance.randint(1, 9)), "price": f"{100 + chance.randint(-5, 5)}",
        }  # fmt: skip
        answer = self.ask("POST", "/order", said)
        assert answer.status in (200, 201, 202), answer
        self.answers[name] = answer.told
        if self.others and chance.random() < 0.2:
            moved = {
                "asset": "USD", "amount": "1.5", "toAccount": chance.choice(self.others),
                "clientOrderId": f"{name}-t",
            }  # fmt: skip
            paid = self.ask("POST", "/balance/transfer", moved)
            assert paid.status in (200, 422), paid
            if paid.status == 200:
                self.paid.append(moved)
        if chance.random() < 0.3:
            self.ask("DELETE", "/order", {"origClientOrderId": name, "clientOrderId": f"{name}-c"})

    def stop(self) -> None:
        self.stopping.set()
        self.thread.join(GIVE_UP_S)
        assert not self.thread.is_alive()
        if self.failure is not None:
            raise self.failure


class Follower:
    """A subscriber of an account's fills in one group, which goes on at whichever door is there.
    group: "" where there is one alone."""

    def __init__(self, account: str, token: str, doors: list[Role], group: str) -> None:
        self.account, self.token, self.doors, self.group = account, token, doors, group
        self.told: list[tuple[str, str]] = []
        self.stopping = threading.Event()
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.begun = False
        self.complaints: list[Any] = []
        self.log: list[Any] = []  # how each subscription began
        self._waited = 0.0

    def late(self, seconds: float) -> bool:
        """Have we looked for so long?"""
        self._waited = self._waited or time.monotonic()
        return time.monotonic() - self._waited > seconds

    def _run(self) -> None:
        at = 0
        while not self.stopping.is_set():
            at += 1
            with suppress(*BROKEN, WebSocketException, TimeoutError):
                self._follow(self.doors[at % len(self.doors)])
            time.sleep(AGAIN_S)

    def _follow(self, door: Role) -> None:
        url = door.url.replace("http", "ws", 1) + "/ws"
        headers = {"authorization": f"Bearer {self.token}"}
        with connect(url, additional_headers=headers, open_timeout=3, close_timeout=1) as socket:
            said = {"op": "subscribe", "channel": "fills", "account": self.account}
            if self.group:
                said["group"] = self.group
            if self.begun:
                seq, number = self.told[-1] if self.told else ("0", "0")
                said |= {"fromSeq": seq, "fromNumber": number}
            socket.send(json.dumps(said))
            while not self.stopping.is_set():
                try:
                    told = json.loads(socket.recv(1))
                except TimeoutError:
                    continue
                if told.get("op") == "subscribe":
                    self.log.append((door.name, said, told, len(self.told)))
                    if not told.get("ok"):
                        return
                    if self.begun and told.get("event") == "SNAPSHOT":
                        self.complaints.append(told)
                    self.begun = True
                elif told.get("channel") == "fills" and "data" in told:
                    self.told.append((told["seq"], str(told["number"])))

    def stop(self) -> None:
        self.stopping.set()
        self.thread.join(WAIT_S_MAX)


def ready(apis: list[Role]) -> None:
    wait_until(lambda: all(each.ready() for each in apis), 60)
