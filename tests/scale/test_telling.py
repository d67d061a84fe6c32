"""Turns on their way into Redis: each is told, whatever becomes of a call, and the engine says of
no turn that it is told which waits."""

import json
import threading

import pytest

from oms import OrderManagement
from oms.errors import TransportError
from oms.roles import telling
from oms.roles.engine import Engine
from oms.roles.turns import Page
from oms.transport import wire
from tests.scale.parts import KEYS, api, engine, order, wait_for
from tests.scale.split import GROUP
from tests.scale.test_engine import last_of


def told(client):
    return [wire.decode_turn(fields["e"].encode()) for _, fields in client.xrange(KEYS.turns)]


def all_told(client, made):
    """Up to the latest turn, without a gap."""
    last = [f"{last_of(made)}-0"]
    wait_for(lambda: [at for at, _ in client.xrevrange(KEYS.turns, count=1)] == last)
    turns = told(client)
    assert [each.after for each in turns[1:]] == [each.seq for each in turns[:-1]]


def test_turns_that_were_too_many_for_a_slow_call_are_told_behind_it(
    client, config, tmp_path, started, monkeypatch
):
    """It did not fail, so Redis was never away."""
    monkeypatch.setattr(telling, "WAITING_TURNS_MAX", 3)
    made = started(engine, tmp_path, config)
    arrived, gate = threading.Event(), threading.Event()
    write = made.engine.telling._write

    def slow(*given):
        arrived.set()
        assert gate.wait(60)
        write(*given)

    made.engine.telling._write = slow
    made.oms.submit(order("a-0")).result(10)
    assert arrived.wait(30)
    for n in range(1, 20):
        made.oms.submit(order(f"a-{n}")).result(10)
    gate.set()
    all_told(client, made)


@pytest.mark.parametrize("fails", range(2))
@pytest.mark.parametrize("last_page", [True, False])
def test_turns_that_a_failed_call_was_to_tell_are_told_by_a_later_one(
    fails, last_page, server, client, config, tmp_path, started, monkeypatch
):
    """Whichever of the calls it was, and though no turn comes after them."""
    monkeypatch.setattr(telling, "WAITING_TURNS_MAX", 3)
    made = started(engine, tmp_path, config)
    remote = started(api, config)
    all_told(client, made)
    write, calls = made.engine.telling._write, []
    server.kill()
    for n in range(20):
        made.oms.submit(order(f"a-{n}")).result(10)
    wait_for(lambda: made.engine.circuit.failures)

    def failing(*given):
        calls.append(given)
        if len(calls) == fails + 1:
            raise TransportError("Redis: the connection is lost")
        write(*given)

    made.engine.telling._write = failing
    if last_page:  # all turns are of the one look that also begins to listen
        monkeypatch.setattr(telling, "made_beside", lambda *_: Page([], more=False))
    server.start()
    all_told(client, made)
    wait_for(lambda: remote.home.mirror.seq == last_of(made))


def test_the_engine_is_as_late_as_the_turns_that_wait(
    client, config, tmp_path, started, monkeypatch
):
    """An api that hears of no revocation lets nobody through for long: it must know how late."""
    monkeypatch.setattr(telling, "TOLD_MAX", 1)
    monkeypatch.setattr(telling, "BEAT_NS", 0)
    place = tmp_path / "engine"
    place.mkdir()
    oms = started(OrderManagement, config, directory=place)
    oms.start()
    made = Engine(oms, GROUP)
    made.open()

    def age_ns():
        made.telling.step()
        return json.loads(client.get(KEYS.alive))["age_ns"]

    while made.telling._queue:
        made.telling.step()
    age_ns()
    begin_ns = oms.clock.monotonic_ns()
    for n in range(3):
        oms.submit(order(f"a-{n}")).result(10)
    for _ in range(2):  # of three turns
        now_ns = oms.clock.monotonic_ns()
        assert age_ns() >= now_ns - begin_ns
    seen_ns = oms.access.seen_ns
    oms.submit(order("a-3")).result(10)
    age_ns()  # all three: it is as late as the last of them
    assert begin_ns < oms.clock.monotonic_ns() - age_ns()
    assert made.telling._told_ns >= seen_ns
    made.telling._server.close()
