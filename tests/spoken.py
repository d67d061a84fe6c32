"""A control gateway whose thread is the test itself, and clients with real sockets."""

import json
import socket
from contextlib import suppress
from pathlib import Path
from typing import Any

from oms.gateways.control import ControlGateway
from oms.gateways.wire import SOCKET_NAME
from tests.fakes import Stepped

PIECE = 1 << 20
ROUNDS_MAX = 50
PAUSE_S = 0.01  # after a line that is none, a connection is not read for so long


class Client:
    """One connection; it reads what is there, and never waits."""

    def __init__(self, path: Path) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.connect(str(path))
        self.sock.setblocking(False)
        self._received = b""
        self.closed = False

    def send(self, *lines: object) -> None:
        """Objects as lines; bytes as they are."""
        for line in lines:
            self.sock.sendall(
                line if isinstance(line, bytes) else json.dumps(line).encode() + b"\n"
            )

    def lines(self) -> list[dict[str, Any]]:
        """All whole lines that have come; `closed` tells whether more may come."""
        with suppress(BlockingIOError):
            while some := self.sock.recv(PIECE):
                self._received += some
            self.closed = True
        *whole, self._received = self._received.split(b"\n")
        return [json.loads(line) for line in whole]


class Spoken:
    """A stepped order manager, and its gateway in a directory."""

    def __init__(self, directory: Path, desk: Stepped | None = None) -> None:
        self.desk = desk or Stepped().start()
        self.path = directory / SOCKET_NAME
        self.gateway = ControlGateway(self.desk.oms, directory)
        self.gateway.open()
        self._clients: list[Client] = []

    def client(self) -> Client:
        self._clients.append(Client(self.path))
        self.step()
        return self._clients[-1]

    def step(self, times: int = 1) -> None:
        """So many turns of the gateway, none of which waits."""
        for _ in range(times):
            self.gateway.wake()
            self.gateway.step()

    def turn(self) -> None:
        """What came goes to the desk, the desk takes a turn, what it said goes out."""
        self.step()
        self.desk.turn()
        self.gateway.aside.wake()
        self.gateway.aside.step()
        self.step()

    def ask(self, client: Client, *lines: object) -> Any:
        """The answer to these lines; to one line the object itself."""
        client.send(*lines)
        answers: list[Any] = []
        for _ in range(ROUNDS_MAX):
            self.turn()
            answers += client.lines()
            if len(answers) >= len(lines) or client.closed:
                break
            self.desk.clock.advance(PAUSE_S)
        return answers[0] if len(lines) == 1 and len(answers) == 1 else answers

    def close(self) -> None:
        self.gateway.close()
        for client in self._clients:
            client.sock.close()


def new(client_id: str, price: object = "98", quantity: object = "1", **more: object) -> Any:
    """A new order of the account "me" as an object."""
    return {
        "request": "NEW", "account": "me", "client_order_id": client_id, "symbol": "X",
        "side": "BUY", "price": price, "quantity": quantity, **more,
    }  # fmt: skip
