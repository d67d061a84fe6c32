"""What clients of two apis saw is one history, also while the engine and Redis die."""

import random
import time
from dataclasses import replace

import pytest

from oms import Instrument
from tests.processes import let_run, wait_until
from tests.scale import parts
from tests.scale.histories import Client, World, opened, remote_door, whole
from tests.scale.linear import why_not
from tests.scale.twin import Exchange

CLIENTS = 3


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
    wait_until(lambda: len(whole(clients)) >= share * whole_count)


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
