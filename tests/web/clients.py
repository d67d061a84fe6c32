"""Clients that trade through the front door of a daemon which may be killed under them.

Each is a thread with one connection, which ends when the connection breaks, and keeps a book of
what it asked and what it was told. The books are read once the threads have ended.
"""

import json
import random
import threading
from collections import deque
from collections.abc import Iterator
from contextlib import suppress
from http.client import HTTPException
from typing import Any, NamedTuple, Self

from websockets.exceptions import WebSocketException
from websockets.sync.client import ClientConnection, connect

from tests.web.doors import FrontDoor, User
from tests.web.served import Answer, Session

SYMBOL = "BTC_USD"
BROKEN = (OSError, HTTPException, WebSocketException)
OPS = {"POST": "order.place", "PATCH": "order.modify", "DELETE": "order.cancel"}
ANSWER_S_MAX = 30.0
RESUMED = ("orders", "trades")  # channels that go on where they were


class Wish(NamedTuple):
    """One request about an order, with an id of its own: safe to send again."""

    method: str
    said: dict[str, Any]

    @property
    def name(self) -> str:
        return str(self.said["clientOrderId"])


class Book:
    """What one account asked for, over all the processes, and what it was answered last."""

    def __init__(self, account: str) -> None:
        self.account = account
        self.sent: dict[str, Wish] = {}
        self.answers: dict[str, Answer] = {}

    def unknown(self) -> list[Wish]:
        """Asked, and no answer came, or one that says that nobody knows."""
        return [
            wish for name, wish in list(self.sent.items())
            if name not in self.answers or self.answers[name].status >= 500
        ]  # fmt: skip

    def accepted(self) -> dict[str, Answer]:
        return {name: each for name, each in list(self.answers.items()) if each.status < 300}


def wishes(chance: random.Random, prefix: str) -> Iterator[Wish]:
    """Without end: orders near 100, of which many trade; cancels and changes of the latest."""
    mine, n = deque[str](maxlen=20), 0
    while True:
        n += 1
        said: dict[str, Any] = {"clientOrderId": f"{prefix}-{n}"}
        dice = chance.random()
        price = f"{100 + chance.randint(-5, 5) * 0.01:.2f}"
        if mine and dice < 0.3:
            said["origClientOrderId"] = chance.choice(mine)
            yield Wish("DELETE" if dice < 0.2 else "PATCH", {
                **said, **({} if dice < 0.2 else {"price": price}),
            })  # fmt: skip
            continue
        mine.append(said["clientOrderId"])
        side = chance.choice(("BUY", "SELL"))
        said |= {"symbol": SYMBOL, "side": side, "quantity": str(chance.randint(1, 9))}
        yield Wish("POST", {**said, "price": price})


class Worker:
    """What a client does, in a thread of its own."""

    def __init__(self) -> None:
        self._thread = threading.Thread(target=self._run, daemon=True)

    def start(self) -> Self:
        self._thread.start()
        return self

    def join(self) -> None:
        self._thread.join(ANSWER_S_MAX)
        assert not self._thread.is_alive()

    def _run(self) -> None:
        raise NotImplementedError


class Client(Worker):
    """A thread that asks for one wish after the other, until its connection breaks."""

    def __init__(self, book: Book, chance: random.Random, prefix: str) -> None:
        self.book = book
        self._wishes = wishes(chance, prefix)
        super().__init__()

    def _run(self) -> None:
        try:
            for wish in self._wishes:
                self.ask(wish)
        except BROKEN:
            pass  # the daemon is dead: what was asked last is unknown
        finally:
            self.close()

    def ask(self, wish: Wish) -> Answer:
        self.book.sent[wish.name] = wish
        answer = self.answer(wish)
        self.book.answers[wish.name] = answer
        return answer

    def answer(self, wish: Wish) -> Answer:
        raise NotImplementedError

    def close(self) -> None:
        raise NotImplementedError


class RestClient(Client):
    def __init__(self, session: Session, book: Book, chance: random.Random, prefix: str) -> None:
        super().__init__(book, chance, prefix)
        self._session = session

    def answer(self, wish: Wish) -> Answer:
        return self._session.ask(wish.method, "/order", wish.said)

    def close(self) -> None:
        self._session.close()


class SocketClient(Client):
    """The same over a WebSocket."""

    def __init__(
        self, socket: ClientConnection, book: Book, chance: random.Random, prefix: str
    ) -> None:
        super().__init__(book, chance, prefix)
        self._socket = socket

    def answer(self, wish: Wish) -> Answer:
        said = {"op": OPS[wish.method], "id": wish.name, "params": wish.said}
        self._socket.send(json.dumps(said))
        while True:
            told = json.loads(self._socket.recv(ANSWER_S_MAX))
            if told.get("id") == wish.name:
                status = told["status"] if told["ok"] else status_of(told)
                return Answer(status, told.get("result", told), {})

    def close(self) -> None:
        self._socket.close()


def status_of(told: dict[str, Any]) -> int:
    """A refusal over a socket, as REST would have it: known, or not."""
    return 504 if told["error"]["code"] == "OUTCOME_UNKNOWN" else 422


class Newcomer(Worker):
    """Somebody who signs up, and may never hear of it. status: what they were answered."""

    def __init__(self, session: Session, said: dict[str, str]) -> None:
        self.said, self.status = said, 0
        self._session = session
        super().__init__()

    def _run(self) -> None:
        with suppress(*BROKEN):
            self.status = self._session.ask("POST", "/signup", self.said).status


class Watcher(Worker):
    """A socket that listens: what it was told on each channel, how it begins first.

    before: one whose daemon died; its orders and trades go on behind the last that it was told.
    """

    def __init__(
        self, url: str, token: str, account: str, before: "Watcher | None" = None
    ) -> None:  # fmt: skip
        self.account = account
        self.told: dict[str, list[dict[str, Any]]] = {}
        self._socket = socket_of(url, token)
        super().__init__()
        for said in (
            {"channel": "orders", "account": account},
            {"channel": "trades", "symbol": SYMBOL},
            {"channel": "depth", "symbol": SYMBOL},
        ):
            place = before.place(said["channel"]) if before is not None else {}
            self._socket.send(json.dumps({"op": "subscribe", **said, **place}))
        while len(self.told) < 3:
            self._take()

    def place(self, channel: str) -> dict[str, str]:
        """What to say of the last event of a channel, in order to go on behind it."""
        if channel not in RESUMED:
            return {}
        begun, *events = self.told[channel]
        if not events:  # nothing came behind its beginning
            return {"fromSeq": begun["seq"]}
        return {"fromSeq": events[-1]["seq"], "fromNumber": str(events[-1]["number"])}

    def close(self) -> None:
        self._socket.close()

    def _run(self) -> None:
        try:
            while True:
                self._take()
        except BROKEN:
            self._socket.close()

    def _take(self) -> None:
        told = json.loads(self._socket.recv(ANSWER_S_MAX))
        channel = told.get("channel")
        if told.get("op") == "subscribe" or channel in self.told:
            self.told.setdefault(channel, []).append(told)


def socket_of(url: str, token: str) -> ClientConnection:
    """An open socket, to be closed by whoever asked for it."""
    headers = {"authorization": f"Bearer {token}"} if token else {}
    return connect(url, additional_headers=headers, compression=None).__enter__()


# --- a socket of a test's own ---


def opened(door: FrontDoor, user: User | None) -> Any:
    """An open socket; a user's says who it is in its header."""
    return connect(door.ws_url, additional_headers=user.headers if user is not None else {})


def said_to(socket: Any, op: str, **said: Any) -> dict[str, Any]:
    """The answer to one message; what a subscription tells meanwhile is skipped."""
    params = {"params": said.pop("params")} if op.startswith("order.") else {}
    said.pop("params", None)
    socket.send(json.dumps({"op": op, "id": "1", **said, **params}))
    while True:
        told: dict[str, Any] = json.loads(socket.recv(10))
        if told.get("op") == op and "ok" in told:
            return told


def next_of(socket: Any, channel: str) -> dict[str, Any]:
    """The next event of a channel."""
    while True:
        told: dict[str, Any] = json.loads(socket.recv(10))
        if told.get("channel") == channel and "op" not in told:
            return told
