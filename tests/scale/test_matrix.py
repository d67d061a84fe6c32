"""The kill matrix: roles and Redis killed, stopped and cut off under load, alone and in pairs.

OMS_ROUNDS says how many rounds there are; the seed is printed. After all of them every request was
answered, once, money is what was paid in, and subscribers had every fill once.
"""

import os
import random
import signal
import subprocess
import sys
import time
from decimal import Decimal

import pytest

from oms import PersistentStorage
from oms.reports import TRADE
from tests.processes import DATABASE, let_run, wait_until
from tests.scale.processes import Follower, Persistent, Role, ready, settings
from tests.scale.servers import RedisServer
from tests.web.served import PROGRAM

pytestmark = pytest.mark.slow
ROUNDS = int(os.environ.get("OMS_ROUNDS", "12"))
CLIENTS = 3
PLAY = Decimal(1_000_000)


def harm(what: str, role: Role | RedisServer) -> None:
    """kill: -9. stop: SIGSTOP for a while that is longer than a call may take."""
    if what == "kill":
        role.kill()
        return
    if isinstance(role, RedisServer):
        role.stop_for_a_while()
        let_run(0.8)
        role.go_on()
    else:
        role.signal(signal.SIGSTOP)
        let_run(0.8)
        role.signal(signal.SIGCONT)


def revive(role: Role | RedisServer) -> None:
    if isinstance(role, RedisServer):
        if role.process is None:
            role.start()
    else:
        role.revive()


def test_nothing_answered_is_lost_and_nothing_is_doubled_whatever_dies(tmp_path):
    seed = int(os.environ.get("OMS_SEED") or time.time_ns() % 2**32)
    print(f"seed={seed} rounds={ROUNDS}")
    chance = random.Random(seed)
    server = RedisServer(tmp_path / "redis").start()
    config = settings(tmp_path)
    engine = Role(tmp_path, config, server.url, "engine")
    apis = [Role(tmp_path / str(n), config, server.url, "api") for n in range(2)]
    broadcast = Role(tmp_path, config, server.url, "broadcast")
    roles = [engine, *apis, broadcast]
    clients = [Persistent(f"user{n}", apis, random.Random(seed + n)) for n in range(CLIENTS)]
    followers: list[Follower] = []
    try:
        for role in roles:
            role.start()
        ready([*apis, broadcast])
        for each in clients:
            each.sign_up()
            each.others = [other.name for other in clients if other is not each]
        followers = [Follower(each.name, each.token, [broadcast, *apis]) for each in clients]
        for follower in followers:
            follower.thread.start()
        wait_until(lambda: all(each.begun for each in followers))
        for each in clients:
            each.thread.start()
        for number in range(ROUNDS):
            victims = chance.sample([server, engine, *apis, broadcast], chance.choice((1, 1, 2)))
            told = [(chance.choice(("kill", "kill", "stop")), each) for each in victims]
            print(f"round {number}: {[(w, getattr(v, 'name', 'redis')) for w, v in told]}")
            for what, victim in told:
                harm(what, victim)
            let_run(chance.random() * 0.5)
            for victim in victims:
                revive(victim)
            engine.revive()  # one that was stopped for too long ends by itself
            let_run(0.5 + chance.random())
        for each in clients:
            each.stop()
        ready(apis)
        let_run(1)
        audit(engine, clients, followers)
    finally:
        for each in clients:
            each.stopping.set()
        for follower in followers:
            follower.stop()
        for role in roles:
            role.kill()
        server.kill()


def audit(engine, clients, followers):
    """Every answer is in the journal, every request is there once; money, fills, books add up."""
    for each in clients:
        assert len(each.answers) == each.sent
        for name, answer in each.answers.items():
            found = each.ask("GET", f"/order?clientOrderId={name}")
            assert found.told["orderId"] == answer["orderId"], (name, answer, found)
    owned: dict[str, Decimal] = {}
    for each in clients:
        for row in each.ask("GET", "/balance").told["balances"]:
            total = Decimal(row["available"]) + Decimal(row["reserved"])
            owned[row["asset"]] = owned.get(row["asset"], Decimal()) + total
    assert owned == {"USD": PLAY * len(clients), "BTC": PLAY * len(clients)}
    fills = {each.account: fills_of(engine, each.account) for each in followers}
    for each in followers:
        wait_until(lambda each=each: len(each.told) >= len(fills[each.account]) or each.late(15))
        missing = sorted(set(fills[each.account]) - set(each.told))
        assert missing == [], (each.account, missing, each.log[-20:])
    engine.signal(signal.SIGTERM)
    assert engine.process is not None and engine.process.wait(20) == 0, engine.output
    for each in followers:
        assert each.complaints == []
        assert each.told == fills[each.account]
    done = subprocess.run(
        [sys.executable, str(PROGRAM), "verify", "--data-dir", str(engine._directory)],
        capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    orders, paid = (sum(f(each) for each in clients) for f in (orders_of, transfers_of))
    print(f"{orders} orders answered, {paid} transfers, none lost, none doubled, money conserved")


def orders_of(client):
    return len(client.answers)


def transfers_of(client):
    return client.transfers


def fills_of(engine, account):
    """Turn and number of every fill of an account, oldest first."""
    with PersistentStorage(engine._directory / DATABASE, read_only=True) as store:
        return [
            (str(each.journal_seq), str(each.number))
            for each in store.all_reports()
            if each.type == TRADE and each.account == account
        ]
