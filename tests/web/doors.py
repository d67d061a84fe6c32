"""A front door of its own for a test: real sockets, real threads, users who are signed in."""

import json
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import httpx

from oms import Config, Instrument, OrderManagement
from oms.clock import Clock
from oms.config import ExchangeConfig
from oms.gateways.web import open_web
from oms.requests.access import AccessAction, AccessRequest
from oms.sections import WebConfig
from oms.turn.threads import Worker
from tests.fakes import config_of

PASSWORD = "correct horse battery staple"
INSTRUMENTS = (
    Instrument(symbol="BTC_USD", price_scale=2, quantity_scale=4, base_scale=8, quote_scale=8),
    Instrument(symbol="TATA_INR", price_scale=2, quantity_scale=2),
)
WEB = WebConfig(
    enabled=True, listen="127.0.0.1:0", sign_up=True, play_money=100_000, requests_max=100_000,
    orders_max=100_000, cancels_max=100_000, address_max=1_000_000,
)  # fmt: skip


def front_config(**web) -> Config:
    """Always open, with a ledger, play money and wide allowances; then `web`."""
    return config_of(
        exchange=ExchangeConfig(ledger=True), instruments=INSTRUMENTS, web=replace(WEB, **web)
    )


class FrontDoor:
    """An order manager in `directory` behind a listening server.

    Call `stop` at the end; `died`: what killed a thread.
    """

    def __init__(
        self, directory: Path, config: Config | None = None, clock: Clock | None = None
    ) -> None:
        self.died: list[tuple[str, BaseException]] = []
        self.oms = OrderManagement(
            config or front_config(), directory=directory, clock=clock,
            on_failure=lambda name, error: self.died.append((name, error)),
        )  # fmt: skip
        self.oms.start()
        self.server = open_web(self.oms, directory)
        self.worker = Worker("oms-web", self.server, lambda *died: self.died.append(died))
        self.worker.start()
        self.url = self.server.urls[0]
        self.http = httpx.Client(base_url=self.url, timeout=30, verify=False)  # reads no files

    def stop(self) -> None:
        self.http.close()
        with suppress(Exception):
            self.oms.stop()
        assert self.worker.stop(10)
        self.server.close()
        assert self.died == []

    @property
    def ws_url(self) -> str:
        return self.url.replace("http", "ws") + "/ws"

    def user(self, name: str, role: str = "trader") -> "User":
        """A new user, signed in. An operator is made as the daemon's owner would."""
        body = {"username": name, "email": f"{name}@example.com", "password": PASSWORD}
        answer = self.http.post("/signup", json=body)
        assert answer.status_code == 201, answer.text
        if role != "trader":
            request = AccessRequest(
                account="operator", client_order_id=f"role-{name}", user=name,
                action=AccessAction.SET_ROLE, facts={"role": role},
            )  # fmt: skip
            assert not self.oms.submit(request).result(10).refused
        return self.login(name)

    def login(self, name: str) -> "User":
        answer = self.http.post("/login", json={"username": name, "password": PASSWORD})
        assert answer.status_code == 200, answer.text
        return User(self, name, answer.json())


class User:
    """One who is signed in: requests with their token."""

    def __init__(self, door: FrontDoor, name: str, tokens: dict) -> None:
        self.door, self.name, self.tokens = door, name, tokens

    @property
    def headers(self) -> dict[str, str]:
        return {"authorization": f"Bearer {self.tokens['token']}"}

    def ask(self, method: str, path: str, body: object = None, **more) -> httpx.Response:
        content = None if body is None else json.dumps(body)
        headers = {**self.headers, **more.pop("headers", {})}
        return self.door.http.request(method, path, content=content, headers=headers, **more)

    def buy(self, quantity: str, price: str | None = None, **more) -> httpx.Response:
        return self._order("BUY", quantity, price, **more)

    def sell(self, quantity: str, price: str | None = None, **more) -> httpx.Response:
        return self._order("SELL", quantity, price, **more)

    def _order(self, side: str, quantity: str, price: str | None, **more) -> httpx.Response:
        body = {"symbol": "BTC_USD", "side": side, "quantity": quantity, **more}
        body |= {"price": price} if price is not None else {"type": "MARKET"}
        return self.ask("POST", "/order", body)
