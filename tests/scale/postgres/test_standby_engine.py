"""`engine --standby`: a group goes on when its engine is lost, with the journal in Postgres."""

import random
import signal
import time

import pytest

from tests.processes import audit_of, let_run, wait_until
from tests.scale.postgres.test_postgres_faults import ask, end_sessions
from tests.scale.postgres.test_postgres_store import store_of
from tests.scale.postgres.test_standby import STANDING_BY
from tests.scale.processes import Persistent, Role, ready, settings
from tests.scale.servers import RedisServer

pytestmark = pytest.mark.slow


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
