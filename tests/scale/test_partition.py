"""Roles that are cut off, stalled or slow: nobody is told twice, and no two engines answer."""

import shutil
from contextlib import suppress

import pytest

from oms.errors import FencedError, OutcomeUnknownError, TransportError
from tests.scale.parts import KEYS, api, engine, order, scaled, wait_for
from tests.scale.proxy import Proxy


@pytest.fixture
def proxy(server):
    made = Proxy(server.port)
    yield made
    made.close()


@pytest.fixture
def behind(proxy):
    """Settings of a role behind the proxy."""
    return scaled(proxy.url)


def test_a_slow_way_only_takes_longer(proxy, behind, config, tmp_path, started):
    """Each piece late by 20 ms, both ways."""
    made = started(engine, tmp_path, behind)
    remote = started(api, config)
    proxy.delay_s = 0.02
    for n in range(5):
        assert remote.submit(order(f"a-{n}")).result(10).state == "NEW"
    assert len(made.oms.open_orders("ann")) == 5


@pytest.mark.parametrize("how", ["cut", "stalled"])
def test_an_engine_that_was_cut_off_goes_on_where_it_was(
    how, proxy, behind, config, tmp_path, started
):
    """Requests wait; each is one order, and is answered once the way is there again."""
    made = started(engine, tmp_path, behind)
    remote = started(api, config)
    remote.submit(order("a-0")).result(10)
    if how == "cut":
        proxy.cut()
    else:
        proxy.stalled = True
    waiting = [remote.submit(order(f"a-{n}")) for n in range(1, 6)]
    wait_for(lambda: not remote.home.alive)
    assert not any(each.done() for each in waiting)
    proxy.heal()
    assert [each.result(15).client_order_id for each in waiting] == [f"a-{n}" for n in range(1, 6)]
    assert len(made.oms.open_orders("ann")) == 6
    assert made.died == []


@pytest.mark.parametrize("how", ["cut", "stalled"])
def test_an_api_that_was_cut_off_says_unknown_and_the_same_id_is_one_order(
    how, proxy, behind, config, tmp_path, started
):
    made = started(engine, tmp_path, config)
    remote = started(api, behind)
    sent = remote.submit(order("a-1"))
    if how == "cut":
        proxy.cut()
    else:
        proxy.stalled = True
    wait_for(lambda: remote.home.circuit.open)
    with pytest.raises(TransportError):
        remote.submit(order("a-2")).result(1)
    proxy.heal()
    wait_for(lambda: remote.home.alive)
    # Sent or not, as its thread was quick: then, as a client would, the same again.
    with suppress(OutcomeUnknownError, TransportError):
        sent.result(10)
    assert remote.submit(order("a-1")).result(10).order_id
    assert [each.client_order_id for each in made.oms.open_orders("ann")] == ["a-1"]


def test_of_two_engines_of_one_journal_the_later_one_answers(
    proxy, behind, config, client, tmp_path, started
):
    """The first is cut off with a request taken and committed. Another takes over with a copy of
    the journal, which no lock of a directory can keep it from. The first never answers."""
    # given an engine that has committed what it cannot tell
    first = started(engine, tmp_path / "a", behind)
    remote = started(api, config)
    remote.submit(order("a-0")).result(10)
    place = tmp_path / "b" / "engine-main"
    backup(first, place)
    proxy.cut()
    first.oms.submit(order("lost")).result(10)

    # when a later engine of the same journal takes the group over
    second = started(engine, tmp_path / "b", config)
    answer = remote.submit(order("a-1"))
    assert answer.result(10).state == "NEW"

    # then the first is refused, ends, and has told nothing
    proxy.heal()
    wait_for(lambda: first.died)
    assert any(isinstance(error, FencedError) for _, error in first.died)
    assert remote.submit(order("a-2")).result(10).state == "NEW"
    assert {each.client_order_id for each in second.oms.open_orders("ann")} == {"a-0", "a-1", "a-2"}
    told = "".join(fields["e"] for _, fields in client.xrange(KEYS.turns))
    assert "lost" not in told


def backup(made, place):
    """A copy of what the engine has on disk now."""
    place.mkdir(parents=True)
    source = made.oms.store.path
    made.oms.between_turns(
        lambda _desk, _intake: [
            shutil.copy(each, place / each.name) for each in source.parent.glob(f"{source.name}*")
        ]
    ).result(10)
