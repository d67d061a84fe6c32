"""Redis that is full: what is there is answered, new requests are refused, and nothing is lost."""

import logging

import pytest
import redis

from oms.errors import TransportError
from oms.roles import memory, telling
from oms.transport.scripts import PUBLISH
from oms.transport.server import Server, check_server, warn_of_memory
from tests.scale.parts import KEYS, api, engine, order, scaled, wait_for
from tests.scale.test_engine import last_of, listening, put, replies


def fill(client):
    """4 MB of somebody else, half of which are too much; once they are gone there is room."""
    for _ in range(400):
        client.rpush("filler", "x" * 10_000)
    client.config_set("maxmemory", client.info("memory")["used_memory"] - 2_000_000)
    with pytest.raises(redis.exceptions.OutOfMemoryError):
        client.set("more", "x")


def test_an_engine_starts_answers_and_deletes_though_redis_is_full(
    client, config, tmp_path, started
):
    # given requests that wait, and no memory
    started(engine, tmp_path, config).stop()
    listening(client)
    for number in range(1, 41):
        put(client, f"a-{number}", number=number)
    client.delete(KEYS.fence, KEYS.alive)
    fill(client)

    # when an engine starts
    made = started(engine, tmp_path, config)

    # then each is answered, told and deleted, and the engine says that it lives
    wait_for(lambda: client.xlen(KEYS.commands) == 0)
    assert [each.number for each in replies(client)] == list(range(1, 41))
    wait_for(lambda: client.xrevrange(KEYS.turns, count=1)[0][0] == f"{last_of(made)}-0")
    wait_for(lambda: client.exists(KEYS.alive))
    assert made.died == []


def test_a_group_goes_on_by_itself_once_redis_has_room_again(client, config, tmp_path, started):
    """Meanwhile each order is told as one that was not sent; afterwards the same id is one."""
    made = started(engine, tmp_path, config)
    remote = started(api, config)
    heard = []
    remote.add_listener(lambda response: heard.append(response.report.client_order_id))
    remote.submit(order("a-0")).result(10)
    # given a full server
    fill(client)
    # when an api asks, and the engine has turns of its own
    for number in range(1, 6):
        with pytest.raises(TransportError, match="group main is out of reach"):
            remote.submit(order(f"a-{number}")).result(10)
        made.oms.submit(order(f"own-{number}")).result(10)
    assert remote.home.told_seq <= last_of(made)
    wait_for(lambda: client.xrevrange(KEYS.turns, count=1)[0][0] == f"{last_of(made)}-0")
    # and there is room again
    client.delete("filler")
    # then all go on
    wait_for(lambda: remote.home.alive)
    for number in range(1, 6):
        assert remote.submit(order(f"a-{number}")).result(10).order_id
    names = ["a-0", *(f"{who}-{n}" for who in ("own", "a") for n in range(1, 6))]
    wait_for(lambda: len(heard) >= len(names))
    assert sorted(heard) == sorted(names)
    assert sorted(each.client_order_id for each in made.oms.open_orders("ann")) == sorted(names)
    assert remote.depth_snapshot("BTC_USD") == made.oms.depth_snapshot("BTC_USD")
    assert made.died == []


def test_turns_are_bounded_by_bytes_and_who_is_behind_has_them_from_the_engine(
    client, config, tmp_path, started, monkeypatch
):
    """Also what an engine before this one told."""
    monkeypatch.setattr(memory, "TURNS_BYTES_MAX", 100_000)
    monkeypatch.setattr(telling, "TOLD_MAX", 10)  # what was told last may be more than that
    made = started(engine, tmp_path, config)
    remote = started(api, config)
    heard = []
    remote.add_listener(lambda response: heard.append(response.report.client_order_id))
    sizes = []
    for start in (0, 300):
        for n in range(start, start + 300):
            made.oms.submit(order(f"a-{n}")).result(10)
        wait_for(lambda: client.xrevrange(KEYS.turns, count=1)[0][0] == f"{last_of(made)}-0")  # noqa: B023
        sizes.append(client.memory_usage(KEYS.turns, samples=0))
        wait_for(lambda: heard and heard[-1] == f"a-{start + 299}")  # noqa: B023
        made.stop()
        made = started(engine, tmp_path, config)
    assert 50_000 < min(sizes) <= max(sizes) < 150_000
    assert heard == [f"a-{n}" for n in range(600)]


def test_an_api_deletes_the_answers_that_it_has_read(client, config, tmp_path, started):
    started(engine, tmp_path, config)
    remote = started(api, config)
    for n in range(50):
        remote.submit(order(f"a-{n}")).result(10)
    wait_for(lambda: client.xlen(KEYS.replies(remote.client)) <= 1)


def test_a_server_that_may_become_full_is_warned_of_with_figures(server, client, caplog):
    client.config_set("maxmemory", 100_000_000)
    calling = Server(server.url, 2)
    needs = memory.memory_max(scaled(server.url).scale, "main")
    with caplog.at_level(logging.WARNING):
        warn_of_memory(check_server(calling), needs)
    [said] = [each.getMessage() for each in caplog.records]
    assert "maxmemory of 100 MB, and may need 222 MB (turns 83 MB, requests 40 MB" in said
    caplog.clear()
    warn_of_memory(check_server(calling), {name: size // 100 for name, size in needs.items()})
    calling.close()
    assert caplog.records == []


def test_a_script_that_is_refused_for_another_cause_says_so(client, config, tmp_path, started):
    """Nothing is acknowledged then."""
    made = started(engine, tmp_path, config)
    client.delete(KEYS.turns)
    client.set(KEYS.turns, "no stream")
    calling = Server(config.scale.redis_url, 2)
    named = [KEYS.fence, KEYS.turns, KEYS.commands, KEYS.dead, KEYS.waiting]
    entry = put(client, "a-1")
    with pytest.raises(TransportError, match="WRONGTYPE"):
        calling.run(PUBLISH, named, [*made.engine.fence, 100, 100, "1-0", 0, 0, 0, 1, entry])
    calling.close()
    assert client.xlen(KEYS.commands) == 1
    client.delete(KEYS.turns)
    wait_for(lambda: client.xlen(KEYS.commands) == 0)
