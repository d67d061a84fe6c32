"""What an engine is asked is never answered older than what somebody was told before."""

import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

import pytest

from oms.requests import FundsAction, FundsRequest
from oms.roles.taking import Commands
from oms.transport import wire
from oms.turn.dispatcher import Dispatcher
from tests.scale.parts import (
    KEYS,
    api,
    deposit,
    engine,
    know_their_server,
    order,
    replace,
    wait_for,
)


@pytest.fixture
def gate():
    """Opened at the latest when the test ends, so that no thread waits for ever."""
    made = threading.Event()
    made.set()
    yield made
    made.set()


@pytest.fixture
def with_ledger(config):
    return replace(config, exchange=replace(config.exchange, ledger=True))


def held(monkeypatch, gate, owner, name):
    """The method waits at the gate. The event says that somebody stands there while it is shut."""
    own, arrived = getattr(owner, name), threading.Event()

    def waits(self, *given):
        if not gate.is_set():
            arrived.set()
        assert gate.wait(60)
        return own(self, *given)

    monkeypatch.setattr(owner, name, waits)
    return arrived


def test_balances_and_open_orders_are_not_older_than_an_order_that_was_seen(
    with_ledger, tmp_path, started, gate, monkeypatch
):
    """A turn is on disk, where orders are looked up, before its views are published."""
    # given money, and a turn that is committed and not published
    held(monkeypatch, gate, Dispatcher, "_publish")
    made = started(engine, tmp_path, with_ledger)
    remote = started(api, with_ledger)
    made.oms.submit(
        FundsRequest(account="ann", client_order_id="made", action=FundsAction.CREATE)
    ).result(10)
    made.oms.submit(deposit("ann", "USD", 1_000, "d")).result(10)
    gate.clear()
    placed = remote.submit(order("a-1", price="100"))
    wait_for(lambda: made.oms.store.find_reports("ann", "a-1"))

    # when somebody looks for the order, and asks for more once it was seen
    def look():
        seen = remote.get_order("ann", "a-1")
        return seen, remote.balances("ann"), remote.open_orders("ann")

    with ThreadPoolExecutor(1) as caller:
        looking = caller.submit(look)
        with suppress(TimeoutError):
            looking.result(0.3)
        gate.set()
        seen, owned, open_orders = looking.result(10)

    # then all of it is of that turn
    assert (seen.state, owned["USD"]) == ("NEW", (900, 100))
    assert [each.client_order_id for each in open_orders] == ["a-1"]
    assert placed.result(10).state == "NEW"


def test_an_order_is_looked_for_behind_requests_that_wait_in_redis(
    config, tmp_path, started, gate, monkeypatch
):
    """None means: it was not among them, and it will not come."""
    # given a request in Redis that the engine has not read
    arrived = held(monkeypatch, gate, Commands, "_read")
    made = started(engine, tmp_path, config)
    one, other = (started(api, config) for _ in range(2))
    gate.clear()
    assert arrived.wait(30)
    placed = one.submit(order("a-1"))
    wait_for(lambda: not one.home.sending._queue)

    # when it is looked for by way of another api
    found = other.find_order("ann", "a-1")
    with suppress(TimeoutError):
        assert found.result(0.3) is not None
    gate.set()

    # then it is found, once it was handled
    assert found.result(10).order_id == placed.result(10).order_id
    assert other.find_order("ann", "a-2").result(10) is None
    assert made.died == []


def test_an_order_is_looked_for_behind_requests_of_a_redis_whose_clock_is_behind(
    server, client, config, tmp_path, started, gate, monkeypatch
):
    """It lost its data, and its ids are lower than those that were handled before."""
    # given an engine that has handled a request of a far later id
    made = started(engine, tmp_path, config)
    one, other = (started(api, config) for _ in range(2))
    content = wire.commands("tester", [wire.asked(1, 0, order("a-0"))])
    client.xadd(KEYS.commands, {"v": "2", "e": content}, id="9999999999999-0")
    wait_for(lambda: made.oms.get_order("ann", "a-0") and not client.xlen(KEYS.commands))

    # when Redis begins anew, and a request comes which the engine has not read
    arrived = held(monkeypatch, gate, Commands, "_read")
    gate.clear()
    assert arrived.wait(30)
    server.kill()
    server.start()
    know_their_server(server, one, other)
    wait_for(lambda: client.exists(KEYS.fence))
    placed = one.submit(order("a-1"))
    wait_for(lambda: client.xlen(KEYS.commands) == 1)
    found = other.find_order("ann", "a-1")
    with suppress(TimeoutError):
        assert found.result(0.3) is not None
    gate.set()

    # then a look for it waits until it is handled
    assert found.result(20).order_id == placed.result(10).order_id


def test_an_order_is_looked_for_behind_what_an_engine_before_has_left(
    client, config, tmp_path, started
):
    """Requests that wait for an engine are handled before it says that there is no such order."""
    started(engine, tmp_path, config).stop()
    remote = started(api, config, follows=False)
    waiting = [remote.submit(order(f"a-{n}")) for n in range(50)]
    wait_for(lambda: int(client.get(KEYS.waiting) or 0) == 50)
    started(engine, tmp_path, config)
    assert remote.find_order("ann", "a-49").result(10) is not None
    assert all(each.result(10).state == "NEW" for each in waiting)
