"""What clients of two apis saw is one history, also while the engine and Redis die."""

import os
import random
import time
from dataclasses import replace

import pytest

from oms import Instrument, OrderRequest
from oms.enums import RequestType
from oms.requests import FundsRequest
from oms.roles.remote import RemoteOrders
from tests.processes import let_run, wait_until
from tests.scale import parts
from tests.scale.histories import Client, World, http_door, opened, remote_door, whole
from tests.scale.linear import why_not
from tests.scale.processes import Persistent, Role, ready, settings
from tests.scale.servers import RedisServer
from tests.scale.twin import Exchange

CLIENTS = 3
KILLS = int(os.environ.get("OMS_ROUNDS", "12"))
WORLDS, CALLS = 8, 25  # calls of each client in each world


def markets(worlds):
    return tuple(Instrument(symbol=each.symbol, price_scale=0, quantity_scale=0) for each in worlds)


def checked(clients, worlds):
    """None, or why the history is not linearizable."""
    paid_in = {key: amount for each in worlds for key, amount in each.paid_in.items()}
    calls = whole(clients)
    print(
        f"{len(calls)} calls, {sum(not each.known for each in calls)} unknown for ever, "
        f"{sum(each.again for each in clients)} asked again"
    )
    return why_not(calls, Exchange(paid_in))


@pytest.fixture
def trade(config, tmp_path, started):
    """Starts an engine and two apis; then clients in some worlds, with whatever happens to them."""

    def run(worlds=3, count=14, meanwhile=None, seed=None):
        seed = time.time_ns() % 2**32 if seed is None else seed
        print(f"seed={seed}")
        places = [World.of(number) for number in range(worlds)]
        exchange = replace(config.exchange, ledger=True, self_trade="none")
        settled = replace(config, instruments=markets(places), exchange=exchange)
        made = started(parts.engine, tmp_path, settled)
        for each in places:
            for request in opened(each):
                assert not made.oms.submit(request).result(10).refused
        doors = [remote_door(started(parts.api, settled)) for _ in range(2)]
        clients = [
            Client(f"c{number}", places, doors, count, seed + number).start()
            for number in range(CLIENTS)
        ]
        if meanwhile is not None:
            meanwhile(made, settled, clients, random.Random(seed))
        for each in clients:
            each.join(60)
        return checked(clients, places)

    return run


def at(clients, share):
    """Wait until so much of what they ask is answered, so that a fault comes in the middle."""
    whole_count = sum(each.count * len(each.worlds) for each in clients)
    wait_until(lambda: len(whole(clients)) >= share * whole_count, 60)


def test_two_apis_tell_one_history(trade):
    assert trade() is None


def test_it_stays_one_history_while_redis_dies_and_engines_change(trade, server, tmp_path, started):
    """Redis loses all that it has, and later an engine ends in the middle and another goes on."""

    def meanwhile(made, settled, clients, chance):
        at(clients, 0.1 + chance.random() * 0.2)
        server.kill()
        let_run(chance.choice((0.1, 1.2)))  # within the circuit's patience, and not
        server.start()
        at(clients, 0.4 + chance.random() * 0.3)
        made.stop()
        started(parts.engine, tmp_path, settled)

    assert trade(worlds=4, meanwhile=meanwhile) is None


# --- processes ---


@pytest.mark.slow
def test_processes_that_are_killed_tell_one_history(tmp_path):
    """By HTTP, of two apis; the engine, Redis and the apis are killed again and again (-9)."""
    seed = int(os.environ.get("OMS_SEED") or time.time_ns() % 2**32)
    print(f"seed={seed} kills={KILLS}")
    chance = random.Random(seed)
    places = [World.of(number) for number in range(WORLDS)]
    server = RedisServer(tmp_path / "redis").start()
    config = settings(tmp_path, more=sections(places))
    engine = Role(tmp_path, config, server.url, "engine")
    apis = [Role(tmp_path / str(n), config, server.url, "api") for n in range(2)]
    roles = [engine, *apis]
    try:
        for role in roles:
            role.start()
        ready(apis)
        tokens = {}
        for account in [name for each in places for name in each.accounts]:
            signed = Persistent(account, apis, chance)
            signed.sign_up()
            tokens[account] = signed.token
        doors = [http_door(api, tokens) for api in apis]
        clients = [
            Client(f"c{number}", places, doors, CALLS, seed + number).start()
            for number in range(CLIENTS)
        ]
        for number in range(KILLS):
            for each in clients:
                each.share = (number + 1) / KILLS
            at(clients, (number + chance.random()) / KILLS)
            victim = chance.choice((engine, engine, server, *apis))
            print(f"kill {getattr(victim, 'name', 'redis')} at {len(whole(clients))} calls")
            victim.kill()
            let_run(chance.random() * 0.8)
            victim.start()
            ready(apis)
        for each in clients:
            each.join(120)
        found = checked(clients, places)
        assert found is None, str(found)
    finally:
        for role in roles:
            role.kill()
        server.kill()


def sections(worlds):
    """A market for each world, in whole numbers; who trades with itself does."""
    grid = {"price_scale": "0", "quantity_scale": "0", "tick_size": "1", "lot_size": "1"}
    return {"exchange": {"ledger": "yes", "self_trade": "none"}} | {
        f"instrument {each.symbol}": {**grid, "reference_price": "100"} for each in worlds
    }


# --- faults planted into the running program ---


def orders_from_a_mirror(monkeypatch):
    """All apis tell how an order stands by what was first told of it."""
    asked, submitted, seen = RemoteOrders.get_order, RemoteOrders.try_submit, {}

    def try_submit(self, request):
        answer = submitted(self, request)
        if isinstance(request, OrderRequest) and request.type is RequestType.NEW:
            seen[request.account, request.client_order_id] = answer.result(10)
        return answer

    def get_order(self, account, named):
        return seen.get((account, named)) or asked(self, account, named)

    monkeypatch.setattr(RemoteOrders, "try_submit", try_submit)
    monkeypatch.setattr(RemoteOrders, "get_order", get_order)


def balances_that_lag(monkeypatch):
    """An api tells balances as they were at the question before."""
    asked, seen = RemoteOrders.balances, {}

    def balances(self, account):
        key = self.client, account
        before, seen[key] = seen.get(key), asked(self, account)
        return before or seen[key]

    monkeypatch.setattr(RemoteOrders, "balances", balances)


def sent_again_under_a_new_id(monkeypatch):
    """As after a loss of data, but that the id is new: money moves twice."""
    submitted = RemoteOrders.try_submit

    def try_submit(self, request):
        answer = submitted(self, request)
        if isinstance(request, FundsRequest):
            submitted(self, replace(request, client_order_id=f"{id(answer)}"))
        return answer

    monkeypatch.setattr(RemoteOrders, "try_submit", try_submit)


def cancels_that_do_not_last(monkeypatch):
    """A canceled order is placed again, under a new id: it trades after all."""
    submitted = RemoteOrders.try_submit

    def try_submit(self, request):
        answer = submitted(self, request)
        if isinstance(request, OrderRequest) and request.type is RequestType.CANCEL:
            symbol = next(iter(self.instruments()))
            again = OrderRequest.new(request.account, f"{id(answer)}", symbol, "SELL", 7_000, 90)
            submitted(self, again)
        return answer

    monkeypatch.setattr(RemoteOrders, "try_submit", try_submit)


@pytest.mark.parametrize(
    "plant",
    [orders_from_a_mirror, balances_that_lag, sent_again_under_a_new_id, cancels_that_do_not_last],
)
def test_a_fault_in_the_running_program_is_seen(plant, trade, monkeypatch):
    plant(monkeypatch)
    found = trade(worlds=4, count=40)
    assert found is not None
