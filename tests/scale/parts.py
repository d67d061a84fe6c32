"""An engine and an api of a test's own, without a front door."""

from dataclasses import replace
from pathlib import Path

from oms import Config, OrderRequest
from oms.config import ExchangeConfig
from oms.requests import FundsAction, FundsRequest
from oms.roles.remote import RemoteOrders
from oms.sections import ScaleConfig
from oms.transport.keys import Keys
from tests.fakes import config_of
from tests.scale.servers import RedisServer, wait_for
from tests.scale.split import GROUP, EngineThreads
from tests.web.doors import INSTRUMENTS

KEYS = Keys(GROUP)


def scaled(url: str, *, ledger: bool = False, **scale) -> Config:
    """Always open; two instruments; calls of Redis that give up soon."""
    return config_of(
        exchange=ExchangeConfig(ledger=ledger), instruments=INSTRUMENTS,
        scale=ScaleConfig(redis_url=url, call_timeout_ns=500_000_000, **scale),
    )  # fmt: skip


def engine(directory: Path, config: Config, group: str = GROUP) -> EngineThreads:
    place = directory / f"engine-{group}"
    place.mkdir(parents=True, exist_ok=True)
    return EngineThreads(place, config.of_group(group), group, None)


def api(config: Config, *, follows: bool = True, **more) -> RemoteOrders:
    """follows: wait until it knows what the engine told."""
    made = RemoteOrders(config, **more)
    made.start()
    if follows:
        wait_for(lambda: all(each.mirror.seq and each.alive for each in made.links.values()))
    return made


def order(name: str, side: str = "BUY", quantity="1", price="100", **more) -> OrderRequest:
    account = more.pop("account", "ann")
    return OrderRequest.new(account, name, "BTC_USD", side, quantity, price, **more)


def deposit(account: str, asset: str, amount: int, name: str) -> FundsRequest:
    return FundsRequest(
        account=account, client_order_id=name, action=FundsAction.DEPOSIT, asset=asset,
        amount=amount,
    )  # fmt: skip


def with_password(url: str, user: str, password: str) -> str:
    return url.replace("redis://", f"redis://{user}:{password}@")


__all__ = [
    "KEYS", "api", "deposit", "engine", "order", "replace", "scaled", "wait_for", "with_password",
]  # fmt: skip


def know_their_server(server: RedisServer, *remotes: RemoteOrders) -> None:
    """Wait until each has seen that Redis is another run, and an engine there."""
    with server.client() as client:
        run_id = client.info("server")["run_id"]
    wait_for(
        lambda: all(each.home.sending._run_id == run_id and each.home.alive for each in remotes)
    )
