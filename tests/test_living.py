"""Agents of a sandbox: they go on without running out of money, and fill no book without end."""

import pytest

from oms import ManualClock, MemoryStore, OrderManagement
from oms.commands.sandbox import settings_text
from oms.config import load_config
from oms.requests import FundsAction, FundsRequest
from oms.simulation.agents import FUNDED, means
from oms.simulation.living import AT_ONCE, TIDY_S, LivingMarket

RATE = 1
OPEN_MAX = 400


@pytest.fixture
def sandbox(tmp_path):
    """The order manager of a sandbox, in memory, whose time passes when the test says so."""
    (tmp_path / "config.ini").write_text(settings_text(), encoding="utf-8")
    config = load_config(tmp_path / "config.ini")
    oms = OrderManagement(config, clock=ManualClock(), store=MemoryStore(), directory=tmp_path)
    oms.start()
    yield oms
    oms.stop()


def settle(oms):
    """All that was asked before is done and published."""
    assert oms.find_order("maker-1", "never-was").result(20) is None


def steps(oms, market, count):
    """So many requests, each when it is due."""
    for number in range(count):
        oms.clock.advance(1 / RATE)
        market.step()
        if number % 50 == 0:
            settle(oms)
    settle(oms)


def is_rich_enough(oms, account):
    """Between half and twice of what it began with, of each asset; or all of it is reserved."""
    owned = oms.balances_units(account)
    return all(
        wanted // 2 <= sum(owned[asset]) <= 2 * wanted + owned[asset][1]
        for asset, (wanted, _) in means(list(oms.instruments().values()), FUNDED[account]).items()
    )


def test_a_book_is_there_at_once_and_an_hour_later(sandbox):
    market = LivingMarket(sandbox, 7, RATE)
    market.begin()
    settle(sandbox)
    assert sandbox.get_status()["published"] > AT_ONCE
    assert any(sandbox.best_ask(symbol) for symbol in sandbox.instruments())
    for _ in range(4):  # a quarter of an hour each
        steps(sandbox, market, 900)
        for symbol in sandbox.instruments():
            assert sandbox.best_bid(symbol) < sandbox.best_ask(symbol)
            assert sandbox.recent_trades(symbol)
        assert sandbox.get_status()["open_orders"] <= OPEN_MAX


def test_money_comes_back_to_what_it_was(sandbox):
    """Of who lost nearly everything, and of who won what he can never spend."""
    market = LivingMarket(sandbox, 7, RATE)
    market.begin()
    settle(sandbox)
    asset, (wanted, scale) = "USD", means(list(sandbox.instruments().values()), 5_000)["USD"]
    poor = sandbox.balances_units("taker-1")[asset][0]
    for account, action, amount in (
        ("taker-1", FundsAction.WITHDRAW, poor * 9 // 10),
        ("maker-1", FundsAction.DEPOSIT, wanted * 3),
    ):
        moved = FundsRequest(
            account=account, client_order_id="test", action=action, asset=asset,
            amount=amount // 10**scale,
        )  # fmt: skip
        assert not sandbox.submit(moved).result(20).refused
    assert not is_rich_enough(sandbox, "taker-1")
    assert not is_rich_enough(sandbox, "maker-1")
    steps(sandbox, market, TIDY_S * RATE + 2)
    assert all(is_rich_enough(sandbox, account) for account in FUNDED)


def test_agents_outlive_the_order_manager_in_peace(sandbox):
    """A daemon stops its order manager first: what they ask then is nothing that kills a thread,
    neither an order nor what brings their money back."""
    market = LivingMarket(sandbox, 7, RATE)
    market.begin()
    settle(sandbox)
    sandbox.stop()
    market.wake()  # as the daemon does, so that no step waits
    for seconds in (1, TIDY_S):
        sandbox.clock.advance(seconds)
        market.step()


def test_the_next_process_goes_on_where_the_market_was(sandbox):
    """What the one before left open is canceled, and prices go on from the latest trade."""
    market = LivingMarket(sandbox, 7, RATE)
    market.begin()
    steps(sandbox, market, 300)
    before = {symbol: sandbox.get_prices(symbol).last for symbol in sandbox.instruments()}
    left = {order.order_id for account in FUNDED for order in sandbox.open_orders(account)}
    assert left
    sandbox.clock.advance(3_600)
    again = LivingMarket(sandbox, 8, RATE)
    again.begin()
    settle(sandbox)
    now = {order.order_id for account in FUNDED for order in sandbox.open_orders(account)}
    assert now
    assert not now & left
    steps(sandbox, again, 100)
    for symbol, price in before.items():
        assert abs(sandbox.get_prices(symbol).last / price - 1) < 0.02
