"""Another Redis server is the primary: roles find it, and what it lacks is asked for again."""

import os
import random
import signal
import time
from contextlib import suppress

import pytest

from oms import PersistentStorage
from oms.circuit import Circuit
from oms.clock import SystemClock
from oms.errors import OutcomeUnknownError, TransportError
from oms.roles.once import Once
from oms.transport.scripts import NOTE
from oms.transport.server import Server, ServerRefusalError
from tests.processes import DATABASE, audit_of, let_run, wait_until
from tests.scale.parts import KEYS, api, engine, order, scaled, wait_for
from tests.scale.processes import Follower, Persistent, Role, ready, settings
from tests.scale.proxy import Proxy
from tests.scale.sentinels import replica_of, set_primary, watched
from tests.scale.servers import RedisServer, free_port
from tests.web.clients import SYMBOL

ROUNDS = int(os.environ.get("OMS_ROUNDS", "4"))
CLIENTS = 3
GROUP = "usd"


def pool_of(url):
    return Server(url, 1.5)._client.connection_pool


def test_a_url_names_sentinels_the_primary_and_who_calls_them():
    url = (
        "rediss+sentinel://api:s%3At@a.example.com:26379,[::1]:26380/oms/2?ssl_ca_certs=ca.pem"
        "&sentinel_username=watcher&sentinel_password=hush"
    )
    pool = pool_of(url)
    given, manager = pool.connection_kwargs, pool.sentinel_manager
    assert (pool.service_name, given["db"]) == ("oms", 2)
    assert (given["username"], given["password"]) == ("api", "s:t")
    assert pool.connection_class.__name__ == "SentinelManagedSSLConnection"
    assert given["ssl_ca_certs"] == "ca.pem"
    assert given["socket_timeout"] == 1.5
    assert given["retry"]._retries == 0
    for sentinel, place in zip(
        manager.sentinels, [("a.example.com", 26379), ("::1", 26380)], strict=True
    ):
        asked = sentinel.connection_pool.connection_kwargs
        assert (asked["host"], asked["port"]) == place
        assert (asked["username"], asked["password"]) == ("watcher", "hush")
        assert asked["ssl_ca_certs"] == "ca.pem"
        assert asked["socket_timeout"] == 1.5
        assert asked["retry"]._retries == 0


def test_one_sentinel_and_no_more_than_a_name_will_do():
    pool = pool_of("redis+sentinel://127.0.0.1:26379/oms")
    assert pool.connection_class.__name__ == "SentinelManagedConnection"
    assert [each.connection_pool.connection_kwargs["port"] for each in
            pool.sentinel_manager.sentinels] == [26379]  # fmt: skip


def test_where_no_sentinel_answers_that_is_said_without_a_password():
    calling = Server("redis+sentinel://:hush@127.0.0.1:1/oms?sentinel_password=hush", 1)
    with pytest.raises(TransportError) as caught:
        calling.call("PING")
    assert str(caught.value) == "Redis: No master found for 'oms'"
    assert caught.value.__cause__ is None
    calling.close()


@pytest.fixture
def replica(server, tmp_path):
    """Of the server that the test has."""
    made = replica_of(server, tmp_path / "replica")
    yield made
    made.kill()


def test_a_replica_is_no_server_to_call(replica):
    calling = Server(replica.url, 5)
    with pytest.raises(TransportError, match="expected role master, of a primary; was 'slave'"):
        calling.call("GET", "x")
    calling.close()


def test_a_node_of_a_redis_cluster_is_no_server_to_call(tmp_path):
    bus = ("--cluster-port", str(free_port()))  # else it is so far off that there may be no such
    node = RedisServer(tmp_path / "node", "--cluster-enabled", "yes", *bus).start()
    calling = Server(node.url, 5)
    with pytest.raises(TransportError, match="a Redis Cluster: expected a server by itself"):
        calling.call("GET", "x")
    calling.close()
    node.kill()


@pytest.mark.parametrize("how", ["command", "script"])
def test_a_primary_that_became_a_replica_is_a_lost_connection(how, server, replica):
    """The next call asks anew who is the primary."""
    calling = Server(server.url, 5)
    calling.call("SET", "x", "1")
    set_primary(replica, None)
    set_primary(server, replica)
    with pytest.raises(TransportError) as caught:
        if how == "command":
            calling.call("SET", "x", "2")
        else:
            calling.run(NOTE, ["fence"], ["j", "1", "tried"])
    assert not isinstance(caught.value, ServerRefusalError)
    with pytest.raises(TransportError, match="role master"):
        calling.call("SET", "x", "2")
    set_primary(server, None)
    assert calling.call("SET", "x", "3") == b"OK"
    calling.close()


def test_a_primary_without_replicas_to_write_to_is_a_lost_connection(server):
    with server.client() as client:
        client.config_set("min-replicas-to-write", 1)
    calling = Server(server.url, 5)
    with pytest.raises(TransportError, match="replicas") as caught:
        calling.run(NOTE, ["fence"], ["j", "1", "tried"])
    assert not isinstance(caught.value, ServerRefusalError)
    calling.close()


def test_another_run_of_the_server_is_told_once_as_a_lost_connection(server):
    """Whoever calls looks again what is there."""
    calling = Server(server.url, 5)
    calling.call("SET", "x", "1")
    first = calling.run_id
    server.kill()
    server.start()
    with pytest.raises(TransportError):
        calling.call("GET", "x")
    if calling.run_id == first:  # the first call found the connection closed
        with pytest.raises(TransportError, match="another run"):
            calling.call("GET", "x")
    assert calling.run_id not in ("", first)
    assert calling.call("GET", "x") is None
    calling.close()


@pytest.fixture
def moving(server, replica):
    """Makes ways to the primary; `fail_over` has all lead to the replica, as it is now."""
    proxies = []

    class Moving:
        def way(self):
            proxies.append(Proxy(server.port))
            return proxies[-1]

        def fail_over(self):
            for each in proxies:
                each.cut()
                each.lead_to(replica.port)
                each.heal()

    yield Moving()
    for each in proxies:
        each.close()


def test_what_a_promoted_replica_lacks_is_sent_again_and_answered_once(
    server, replica, moving, tmp_path, started
):
    """Replication ends before the last requests, turns and answers come to the replica."""
    of_engine, of_api = moving.way(), moving.way()
    made = started(engine, tmp_path, scaled(of_engine.url))
    remote = started(api, scaled(of_api.url))
    remote.submit(order("a-0")).result(10)
    with server.client() as old, replica.client() as new:
        wait_for(lambda: new.xlen(KEYS.turns) == old.xlen(KEYS.turns))
        set_primary(replica, None)

        # given requests that the primary alone knows of: some are answered, others not even read
        answered = [remote.submit(order(f"a-{n}")).result(10) for n in range(1, 6)]
        of_engine.stalled = True
        waiting = [remote.submit(order(f"b-{n}")) for n in range(5)]
        wait_for(lambda: old.get(KEYS.waiting) == "5")
        assert new.xlen(KEYS.commands) == 0

    # when the replica takes its place
    moving.fail_over()

    # then each is one order, and whoever follows knows all of them
    for n, each in enumerate(waiting):
        with suppress(OutcomeUnknownError):  # then, as a client would, the same again
            each.result(20)
            continue
        wait_for(lambda: remote.home.alive)
        assert remote.submit(order(f"b-{n}")).result(20).order_id
    names = [f"a-{n}" for n in range(6)] + [f"b-{n}" for n in range(5)]
    assert sorted(each.client_order_id for each in made.oms.open_orders("ann")) == names
    assert [remote.get_order("ann", each.client_order_id).order_id for each in answered] == [
        each.order_id for each in answered
    ]
    wait_for(lambda: remote.home.mirror.seq == made.oms.dispatcher.fold.last_seq)
    assert made.died == []


def test_a_turn_that_redis_lost_is_had_from_the_engine(config, client, tmp_path, started):
    """Nothing comes behind it: what the engine says of itself tells that there is one."""
    made = started(engine, tmp_path, config)
    remote = started(api, config)
    receiving = remote.home.receiving
    read, lost = receiving._read_turn, []

    def losing(seq, version, content):
        if seq and not lost:
            client.delete(KEYS.turns)
            lost.append(seq)
            return False  # as if it had not been there
        return read(seq, version, content)

    receiving._read_turn = losing
    made.oms.submit(order("a-1")).result(10)
    wait_for(lambda: lost and remote.home.mirror.seq >= lost[0])
    wait_for(lambda: remote.depth_snapshot("BTC_USD").bids)


def test_what_is_taken_once_is_not_asked_of_the_server_that_was_the_primary(server, replica):
    """It woke up, and takes itself for one; its connection is still there."""
    places, circuit = [server.url], Circuit()
    once = Once(KEYS, SystemClock(), lambda: Server(places[-1], 5), circuit)
    memory = once.memory()
    set_primary(replica, None)
    places.append(replica.url)
    circuit.failed(0, "the link noticed")
    assert once.take("ticket:1", memory=memory) is None
    circuit.succeeded()
    assert once.memory() != memory
    assert once.take("ticket:1", memory=memory) is None  # of the server that was
    once.close()


# --- processes ---


@pytest.mark.slow
def test_the_primary_dies_under_load_again_and_again(tmp_path):
    """Killed (-9) or stopped, with three Sentinels, one of which dies; in the end each request is
    one order, answered as it stands in the journal, and subscribers had every fill once."""
    from tests.scale.audit import check_journal, fills_of

    seed = int(os.environ.get("OMS_SEED") or time.time_ns() % 2**32)
    print(f"seed={seed} rounds={ROUNDS}")
    chance = random.Random(seed)
    config = settings(tmp_path, market_groups=f"{GROUP}: {SYMBOL}")
    with watched(tmp_path) as redis:
        made = Role(tmp_path, config, redis.url, "engine")
        apis = [Role(tmp_path / str(n), config, redis.url, "api") for n in range(2)]
        doors = [Role(tmp_path, config, redis.url, "broadcast"), *apis]
        clients = [Persistent(f"user{n}", apis, random.Random(seed + n)) for n in range(CLIENTS)]
        followers = []
        try:
            for each in (made, *doors):
                each.start()
            ready(doors)
            for each in clients:
                each.sign_up()
                each.others = [other.name for other in clients if other is not each]
            followers = [Follower(each.name, each.token, doors, "") for each in clients]
            for each in followers:
                each.thread.start()
            wait_until(lambda: all(each.begun for each in followers))
            for each in clients:
                each.thread.start()
            redis.lose_sentinel()
            for number in range(ROUNDS):
                let_run(1 + chance.random())
                play(number, redis, clients, ("kill", "stop")[number % 2])
            for each in clients:
                each.stop()
            ready(apis)
            path = made.directory / DATABASE
            fills = fills_of(PersistentStorage(path, read_only=True))
            for each in followers:
                own = fills[each.account]
                wait_until(lambda each=each, own=own: len(each.told) >= len(own) or each.late(30))
            made.signal(signal.SIGTERM)
            assert made.process.wait(30) == 0, made.output
        finally:
            for each in (*clients, *followers):
                each.stopping.set()
            for each in (made, *doors):
                each.kill()
        found = audit_of(PersistentStorage(path, read_only=True))
    assert [len(each.answers) for each in clients] == [each.sent for each in clients]
    check_journal(found, clients, GROUP)
    for each in followers:
        assert each.complaints == []
        assert each.told == fills[each.account]
    print(
        f"{sum(len(each.answers) for each in clients)} orders answered, "
        f"{sum(map(len, fills.values()))} fills told: none lost, none doubled"
    )


def play(number, redis, clients, harm):
    """The primary dies; then the roles go on with another one, and what it was follows that."""

    def answered():
        for each in clients:
            assert each.failure is None, each.failure
        return sum(len(each.answers) for each in clients)

    began = time.monotonic()
    old = redis.replace_primary(harm)
    promoted, before = time.monotonic(), answered()
    wait_until(lambda: answered() >= before + 2 * CLIENTS, 30)
    print(
        f"round {number}: {harm}; another primary after {promoted - began:.1f} s, answers "
        f"{time.monotonic() - promoted:.1f} s later", flush=True,
    )  # fmt: skip
    redis.bring_back(old)
