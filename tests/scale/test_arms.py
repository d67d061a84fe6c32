"""Which front door has the sockets whose loss cancels orders, told in a few calls of Redis."""

import pytest

from oms.roles.arms import TELL_NS, Arms
from oms.transport.server import Server
from tests.scale.parts import KEYS

MANY = 10_000


class Counting(Server):
    """calls: how often Redis was asked."""

    calls = 0

    def _guarded(self, call, *given):
        self.calls += 1
        return super()._guarded(call, *given)


@pytest.fixture
def calling(server):
    made = Counting(server.url, 5)
    yield made
    made.close()


def held_by(client):
    return client.hgetall(KEYS.arms)


def test_however_many_sockets_are_told_in_a_few_calls(client, calling):
    """Orders of the home group wait for the thread that tells them."""
    # given two front doors, one with many sockets, and an entry of a third that has died
    one, other = Arms(KEYS, "api-1"), Arms(KEYS, "api-2")
    one.own |= {f"one-{n}" for n in range(MANY)}
    other.own.add("other")
    for each in ("api-1", "api-2"):
        client.xadd(KEYS.replies(each), {"v": "0", "e": ""})
    client.hset(KEYS.arms, mapping={f"dead-{n}": "api-3" for n in range(MANY)})

    # when each tells what it has
    other.keep(calling, TELL_NS)
    calling.calls = 0
    one.keep(calling, TELL_NS)

    # then it is there, and what the dead one had is gone
    assert calling.calls <= 5
    assert held_by(client) == dict.fromkeys(one.own, "api-1") | {"other": "api-2"}

    # when Redis has lost it, it is told again; when the sockets are gone, so is what was told
    client.delete(KEYS.arms)
    one.keep(calling, 2 * TELL_NS)
    assert len(held_by(client)) == MANY
    one.own.clear()
    calling.calls = 0
    one.keep(calling, 3 * TELL_NS)
    assert (held_by(client), calling.calls <= 4) == ({}, True)

    # and what another one holds is known after a while
    other.keep(calling, 3 * TELL_NS)
    one.keep(calling, 4 * TELL_NS)
    assert one.held == {"other"}
