"""The fence of a group: only an engine that has looked at its journal's lock is behind it."""

import pytest

from oms import OrderManagement
from oms.errors import FencedError, OutcomeUnknownError
from oms.sections import StoreConfig
from oms.transport import scripts
from oms.transport.server import Server, ServerRefusalError
from tests.scale.parts import KEYS, api, engine, order, replace, wait_for

SCRIPTS = [scripts.READ, scripts.PUBLISH, scripts.NOTE, scripts.FAREWELL, scripts.BEAT]
NAMED = [KEYS.fence, KEYS.commands, KEYS.turns, KEYS.dead, KEYS.waiting]


@pytest.fixture
def calling(server):
    made = Server(server.url, 2)
    yield made
    made.close()


@pytest.mark.parametrize("script", SCRIPTS)
@pytest.mark.parametrize("earlier", [{}, {"journal": "j", "number": "6"}])
def test_no_script_but_the_claim_puts_the_fence_back(earlier, script, client, calling):
    """Redis lost its data, or is one that knew only of an engine before."""
    if earlier:
        client.hset(KEYS.fence, mapping=earlier)
    with pytest.raises(ServerRefusalError, match=scripts.NO_FENCE):
        calling.run(script, NAMED, ["j", "7", "1", "1"])
    assert client.hgetall(KEYS.fence) == earlier
    assert client.keys() == ([KEYS.fence] if earlier else [])
    calling.run(scripts.CLAIM, NAMED, ["j", "7"])
    assert client.hgetall(KEYS.fence) == {"journal": "j", "number": "7"}


def test_an_engine_whose_lock_is_lost_does_not_claim_a_group_of_which_redis_knows_nothing(
    server, client, config, tmp_path, started, monkeypatch
):
    """Another may have the journal by now, and was not at Redis yet."""
    # given an engine that does not know that its lock is lost: it looks for that once a second
    monkeypatch.setattr("oms.turn.dispatcher.TEND_NS", 10**18)
    made = started(engine, tmp_path, config)
    remote = started(api, config)
    remote.submit(order("a-1")).result(10)

    def lost():
        raise OutcomeUnknownError("the lock is lost")

    monkeypatch.setattr(made.oms.store, "tend", lost)

    # when Redis loses its data
    server.kill()
    server.start()

    # then the engine ends, and Redis knows of none
    wait_for(lambda: made.died)
    assert {type(error) for _, error in made.died} == {OutcomeUnknownError}
    assert client.hgetall(KEYS.fence) == {}


def test_an_engine_whose_journal_another_has_does_not_claim_the_group_before_that_one(
    client, config, tmp_path, started, start_postgres, monkeypatch
):
    """The lock is that of a Postgres; the standby that took over has not come to Redis yet."""
    monkeypatch.setattr("oms.turn.dispatcher.TEND_NS", 10**18)
    from tests.scale.postgres.test_postgres_faults import end_sessions

    dsn = start_postgres().new_database()
    config = replace(config, store=StoreConfig(kind="postgres", dsn=dsn, durability="none"))
    stale = started(engine, tmp_path / "a", config)
    remote = started(api, config)
    remote.submit(order("a-1")).result(10)
    end_sessions(dsn)
    standby = OrderManagement(config, directory=tmp_path)
    standby.start()
    try:
        client.flushall()
        wait_for(lambda: stale.died)
        assert {type(error) for _, error in stale.died} == {OutcomeUnknownError}
        assert client.hgetall(KEYS.fence) == {}
    finally:
        standby.stop()


def test_an_engine_that_has_its_lock_goes_on_though_its_fence_was_lost(
    client, config, tmp_path, started
):
    """Whether all was lost or only that, and whichever of its threads comes first."""
    made = started(engine, tmp_path, config)
    remote = started(api, config)
    held = client.hgetall(KEYS.fence)
    for n, forget in enumerate((client.flushall, lambda: client.delete(KEYS.fence)) * 3):
        forget()
        assert remote.submit(order(f"a-{n}")).result(20).state == "NEW"
        wait_for(lambda: client.hgetall(KEYS.fence) == held)
    assert len(made.oms.open_orders("ann")) == 6
    assert made.died == []


def test_a_later_engine_takes_the_group_that_an_earlier_one_claimed_again(
    client, calling, config, tmp_path, started
):
    made = started(engine, tmp_path, config)
    journal, number = made.engine.fence
    client.flushall()
    calling.run(scripts.CLAIM, NAMED, [journal, str(int(number) + 100)])
    wait_for(lambda: made.died)
    assert {type(error) for _, error in made.died} == {FencedError}
