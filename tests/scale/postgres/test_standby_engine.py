"""`engine --standby`: a group goes on when its engine is lost, with the journal in Postgres."""

import random
import signal
import subprocess
import sys
import threading
import time

import pytest

from tests.processes import audit_of, let_run, wait_until
from tests.scale.matrix import through
from tests.scale.postgres.test_postgres_faults import ask, end_sessions, socket_of
from tests.scale.postgres.test_postgres_store import store_of
from tests.scale.postgres.test_standby import STANDING_BY
from tests.scale.processes import Persistent, Role, ready, settings
from tests.scale.proxy import Proxy
from tests.scale.servers import RedisServer
from tests.scale.split import GROUP
from tests.web.served import PROGRAM, Session

pytestmark = pytest.mark.slow

USER_TIMEOUT_S = 1.0  # of the connection to Postgres that is stalled


def test_clients_of_a_group_are_answered_by_the_engine_that_stood_by(dsn, tmp_path, monkeypatch):
    """One is killed under load, the next one stopped and woken again amid the turns of the third:
    whatever was answered is in the journal, once, and each client gets all of its answers."""
    for name, value in {"KIND": "postgres", "DSN": dsn, "DURABILITY": "none"}.items():
        monkeypatch.setenv(f"OMS__STORE__{name}", value)
    redis = RedisServer(tmp_path / "redis").start()
    config = settings(tmp_path)
    engine = Role(tmp_path, config, redis.url, "engine")
    standbys = [Role(tmp_path / n, config, redis.url, "engine", "--standby") for n in "bc"]
    api = Role(tmp_path, config, redis.url, "api")
    clients = [Persistent(f"user{n}", [api], random.Random(n)) for n in range(2)]
    try:
        # given an engine under load, and two that stand by
        for role in (engine, api):
            role.start()
        ready([api])
        for role in standbys:
            role.start()
        wait_until(lambda: ask(dsn, STANDING_BY) == [(2,)])
        for client in clients:
            client.sign_up()
            client.thread.start()
        wait_until(lambda: answered(clients) > 10)

        # when it is killed, and the one that takes over is stopped and thought dead
        killed, stood = time.monotonic(), answered(clients)
        engine.kill()
        wait_until(lambda: answered(clients) > stood + len(clients))
        print(f"clients had answers {time.monotonic() - killed:.2f} s after the kill")
        wait_until(lambda: ask(dsn, STANDING_BY) == [(1,)])
        wait_until(lambda: any("group main" in role.output for role in standbys))
        (second,) = [role for role in standbys if "group main" in role.output]
        (third,) = [role for role in standbys if role is not second]
        second.signal(signal.SIGSTOP)
        end_sessions(dsn)
        wait_until(lambda: "group main" in third.output)
        stood = answered(clients)
        wait_until(lambda: answered(clients) > stood + 10)
        second.signal(signal.SIGCONT)
        assert second.process.wait(30) == 1
        let_run(0.3)

        # then all of them have all answers, and the journal has each of them once
        for client in clients:
            client.stop()
        third.signal(signal.SIGTERM)
        assert third.process.wait(30) == 0
        check(clients, audit_of(store_of(dsn, read_only=True)))
    finally:
        for client in clients:
            client.stopping.set()
        for role in (engine, *standbys, api):
            role.kill()
        redis.kill()


def answered(clients):
    return sum(len(client.answers) for client in clients)


def check(clients, found):
    assert (found.differences, found.mistakes) == ([], [])
    assert found.digest == found.refolded_digest
    news = [(line[1], line[2], seq) for seq, line in found.requests if line[0] == "N"]
    for client in clients:
        assert len(client.answers) == client.sent
        by_name = {name: seq for account, name, seq in news if account == client.name}
        assert len(by_name) == sum(account == client.name for account, _, _ in news)
        assert {name: str(seq) for name, seq in by_name.items()} == {
            name: answer["orderId"] for name, answer in client.answers.items()
        }


# --- cut off from both ---


class Partition:
    """An engine behind two proxies, of Postgres and of Redis; one that stands by, and an api, that
    are behind none; one client."""

    def __init__(self, place, server, dsn):
        self.dsn, self.redis = dsn, RedisServer(place / "redis").start()
        self.to_postgres, self.to_redis = Proxy(socket_of(server)), Proxy(self.redis.port)
        config, direct = settings(place), self.redis.url
        cut = f"{through(self.to_postgres, dsn)} tcp_user_timeout={int(USER_TIMEOUT_S * 1000)}"
        self.first = Role(
            place / "a", config, self.to_redis.url, "engine", "--standby", more=stored(cut)
        )
        self.second = Role(place / "b", config, direct, "engine", "--standby", more=stored(dsn))
        self.api = Role(place, config, direct, "api")
        self.client = Persistent("ann", [self.api], random.Random(1))

    def start(self):
        """The first has the journal, the second stands by; one order is there."""
        for role in (self.first, self.api):
            role.start()
        ready([self.api])
        self.second.start()
        wait_until(lambda: ask(self.dsn, STANDING_BY) == [(1,)])
        self.client.sign_up()
        self.place("a-1")

    def end(self):
        for role in (self.first, self.second, self.api):
            role.kill()
        self.to_redis.close()
        self.to_postgres.close()
        self.redis.kill()

    def place(self, name):
        """Until it is answered."""
        answer = self.client.ask("POST", "/order", order(name))
        assert answer.status in (200, 201), answer

    def send(self, name):
        """Until it is sent, whatever the answer is then, if there is one in time. 503: it was not
        sent, as where a call of Redis took too long."""
        session = Session(self.api.url, self.client.token, timeout_s=60)
        wait_until(lambda: session.ask("POST", "/order", order(name)).status != 503)
        session.close()

    def fund(self, name):
        """Ask the first one itself to pay ann something, past Redis; a process that is answered."""
        words = ["fund", "ann", "USD", "1", "--id", name, "--data-dir", self.first.directory]
        return subprocess.Popen([sys.executable, PROGRAM, *words], stdout=subprocess.PIPE,
                                stderr=subprocess.STDOUT, text=True)  # fmt: skip

    def journaled(self):
        """Ids of ann's requests in the journal."""
        with store_of(self.dsn, read_only=True) as store:
            return {each.client_order_id for each in store.all_reports() if each.account == "ann"}

    def written(self):
        """All that an engine writes into Redis, or takes out of it."""
        with self.redis.client() as client:
            streams = [f"evt:{{{GROUP}}}", f"cmd:{{{GROUP}}}", f"dead:{{{GROUP}}}"]
            streams += client.keys(f"reply:{{{GROUP}}}:*")
            last = {
                each: client.xinfo_stream(each)["last-generated-id"]
                for each in streams if client.exists(each)
            }  # fmt: skip
            waiting = client.xrange(f"cmd:{{{GROUP}}}")
            readers = client.xinfo_groups(f"cmd:{{{GROUP}}}")
            return last, waiting, readers, client.hgetall(f"fence:{{{GROUP}}}")

    def told(self):
        with self.redis.client() as client:
            return [entry["e"] for _, entry in client.xrange(f"evt:{{{GROUP}}}")]


def order(name):
    return {
        "clientOrderId": name, "symbol": "BTC_USD", "side": "BUY", "quantity": "1", "price": "99",
    }  # fmt: skip


def stored(dsn):
    given = {"KIND": "postgres", "DSN": dsn, "DURABILITY": "none"}
    return {f"OMS__STORE__{name}": value for name, value in given.items()}


@pytest.mark.parametrize("healed", ["redis first", "postgres first"])
def test_one_cut_off_from_both_tells_and_takes_nothing_beside_the_next(
    healed, server, dsn, tmp_path
):
    """The network of the active engine goes silent for longer than its connection's user time-out,
    so the server gives up on it, and the next one serves. What the first had committed, had under
    way, and had sent, comes through when the network is there again: no turn, answer, read or
    word of it is taken."""
    made = Partition(tmp_path, server, dsn)
    try:
        # given an engine that has committed what it cannot tell, and has a commit under way
        made.start()
        made.to_redis.stalled = True
        committed = made.fund("committed")
        wait_until(lambda: "committed" in made.journaled())
        made.to_postgres.stalled = True
        under_way = made.fund("under-way")
        let_run(2 * USER_TIMEOUT_S)

        # when the server gives up on it, and the next one answers what comes
        end_sessions(dsn)
        wait_until(lambda: f"group {GROUP}" in made.second.output)
        made.place("a-2")
        assert any('"committed"' in each for each in made.told())

        # and the network is there again, while the next one does nothing and a request waits
        made.second.signal(signal.SIGSTOP)
        asking = threading.Thread(target=made.send, args=("a-3",), daemon=True)
        asking.start()
        wait_until(lambda: made.written()[1])
        stood = made.written()
        ways = [made.to_redis, made.to_postgres]
        for way in ways if healed == "redis first" else reversed(ways):
            way.heal()
        assert made.first.process.wait(30) == 1
        let_run(0.3)  # what is still in the proxy goes on

        # then nothing of the first is there, and the next one goes on
        assert made.written() == stood
        made.second.signal(signal.SIGCONT)
        asking.join(60)
        made.place("a-3")
        assert {"a-1", "a-2", "a-3", "committed"} <= made.journaled()
        assert "under-way" not in made.journaled()
        under_way.communicate(timeout=30)
        assert under_way.returncode != 0
        print(committed.communicate(timeout=30)[0])
        made.second.signal(signal.SIGTERM)
        assert made.second.process.wait(30) == 0, made.second.output
        found = audit_of(store_of(dsn, read_only=True))
        assert (found.differences, found.mistakes) == ([], [])
        assert found.digest == found.refolded_digest
    finally:
        made.end()
