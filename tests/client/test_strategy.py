"""One strategy, in this process and from afar: the line that makes `oms` is the only other one."""

import asyncio
from decimal import Decimal

import pytest

from oms import FundsRequest, MemoryStore, OrderManagement, OrderRequest, aio
from oms.client import Client
from oms.requests.access import AccessAction, AccessRequest
from tests.processes import WAIT_S_MAX
from tests.web.doors import PASSWORD, front_config

SYMBOL = "BTC_USD"
FAIR = Decimal("100")


def quotes(maker, step):
    """A bid and an offer around a price that moves."""
    centre = FAIR + (step * 7) % 5 - 2
    for side, price in (("BUY", centre - 1), ("SELL", centre + 1)):
        yield OrderRequest.new(maker, f"q-{side}-{step}", SYMBOL, side, "2", price)


def fills_of(response):
    return [
        (each.client_order_id, each.last_price, each.last_quantity, each.last_fee, each.liquidity)
        for each in response.trades
    ]  # fmt: skip


def strategy(oms, steps=12):
    """Buys what is offered below a fair price, sells what is bid above, cancels what is left; one
    account quotes, the other one takes. All that it sees comes from `oms`."""
    fills = []
    for step in range(steps):
        for quote in quotes("bob", step):
            oms.submit(quote).result(10)
        bid, ask = oms.best_bid(SYMBOL), oms.best_ask(SYMBOL)
        side, price = ("BUY", ask) if ask is not None and ask <= FAIR else ("SELL", bid)
        if price is not None and (side == "BUY" or price >= FAIR):
            order = OrderRequest.new("ann", f"t-{step}", SYMBOL, side, "1.5", price)
            fills += fills_of(oms.submit(order).result(10))
        for each in oms.open_orders("bob")[:-3]:
            cancel = OrderRequest.cancel("bob", f"c-{each.order_id}-{step}", each.client_order_id)
            assert oms.submit(cancel).result(10).state == "CANCELED"
    refused = oms.submit(OrderRequest.new("ann", "no", SYMBOL, "BUY", "1", "1.001")).result(10)
    assert refused.reason == "PRICE_INVALID"
    held = [(each.quantity, each.average_cost, each.realized) for each in oms.positions("ann")]
    return fills, held, oms.balances("ann"), [each.state for each in oms.orders("bob").orders]


async def followed(oms, steps=30):
    """The same under asyncio: it answers each of its own fills, as they are told, with an order on
    the other side."""
    fills = []
    async with (
        aio.running(oms) as oms,
        aio.reports(oms, account="ann") as reports,
        aio.market_events(oms, symbol=SYMBOL) as events,
    ):
        await aio.submit(oms, OrderRequest.new("ann", "a-0", SYMBOL, "BUY", "1", "100"))
        assert type(await anext(events)).__name__ in ("DepthUpdate", "TopOfBook")
        await aio.submit(oms, OrderRequest.new("bob", "b-0", SYMBOL, "SELL", "1", "100"))
        while len(fills) < steps:
            report = await anext(reports)
            if report.type != "TRADE":
                continue
            fills.append((report.client_order_id, report.last_price, report.last_quantity))
            step = len(fills)
            sides = ("SELL", "BUY") if step % 2 else ("BUY", "SELL")
            price = 100 + step % 7
            for account, side in zip(("ann", "bob"), sides, strict=True):
                order = OrderRequest.new(account, f"o-{step}", SYMBOL, side, "1", price)
                await aio.submit(oms, order)
    return fills


def with_money(oms):
    """What whoever signs up at the server has, too."""
    for account in ("ann", "bob"):
        oms.submit(FundsRequest(account=account, client_order_id="c", action="CREATE"))
        for asset in ("BTC", "INR", "TATA", "USD"):
            oms.submit(FundsRequest(
                account=account, client_order_id=f"play-{asset}", action="DEPOSIT", asset=asset,
                amount=100_000,
            )).result(10)  # fmt: skip


@pytest.fixture
def both(door):
    """Ann, who may act for Bob, too."""
    door.user("ann")
    door.user("bob")
    request = AccessRequest(
        account="operator", client_order_id="accounts", user="ann",
        action=AccessAction.SET_USER_ACCOUNTS, facts={"accounts": "ann,bob"},
    )  # fmt: skip
    assert not door.oms.submit(request).result(10).refused
    return door


def test_a_strategy_has_the_same_fills_in_this_process_and_from_afar(both):
    with OrderManagement(front_config(), store=MemoryStore()) as oms:
        with_money(oms)
        here = strategy(oms)
    with Client(both.url, user="ann", password=PASSWORD) as oms:
        there = strategy(oms)
    assert there == here
    assert len(here[0]) > 5


def test_under_asyncio_it_has_the_same_fills_too(both, tmp_path):
    """`aio` takes either."""

    def run(oms):
        async def limited():
            async with asyncio.timeout(WAIT_S_MAX):
                return await followed(oms)

        return asyncio.run(limited())

    (tmp_path / "here").mkdir()
    with OrderManagement(front_config(), directory=tmp_path / "here") as oms:
        with_money(oms)
    here = run(OrderManagement(front_config(), directory=tmp_path / "here"))
    there = run(Client(both.url, user="ann", password=PASSWORD))
    assert there == here
    assert len(here) == 30
