"""The kill matrix: roles, Redis and Postgres killed, stopped and cut off under load, alone and in
pairs.

OMS_ROUNDS says how many rounds there are; the seed is printed. After all of them every request was
answered, once, money is what was paid in and moved, subscribers had every fill once, and what is in
Postgres is what the journal has.
"""

import os
import random
import signal
import time
from collections import Counter
from contextlib import suppress
from decimal import Decimal
from functools import partial

import pytest

from oms import PersistentStorage
from oms.reports import TRADE
from oms.requests import codec
from tests.processes import DATABASE, Row, audit_of, let_run, wait_until
from tests.scale.matrix import HOW, WAYS, Target, dealt, deck, redis_target, role_target
from tests.scale.postgres.conftest import variables_of
from tests.scale.processes import Follower, Persistent, Role, ready, settings
from tests.scale.proxy import Proxy
from tests.scale.servers import RedisServer

ROUNDS = int(os.environ.get("OMS_ROUNDS", "18"))
CLIENTS = 3
PLAY = Decimal(1_000_000)
HELD_S, HELD_LONG_S = 0.8, 2.6  # longer than a call may take; longer than an engine may be silent
SEND_S_MAX = 30.0
VICTIMS = ("engine", "api", "broadcast", "filler", "redis", "postgres")


def test_so_many_rounds_as_there_are_cases_have_each_of_them():
    cards = deck(VICTIMS)
    assert len(cards) == len(set(cards)) == 18 + 15 * 9
    dealing = dealt(cards, random.Random(1))
    for _ in range(2):
        assert {next(dealing) for _ in cards} == set(cards)
    assert {how for card in cards for _, how in card} == set(HOW)
    assert all(1 <= len({victim for victim, _ in card}) == len(card) <= 2 for card in cards)


class Cluster:
    """All roles, each behind proxies of its own, and clients that never give up.

    journal: sqlite, of one engine; postgres, of two, one of which stands by."""

    def __init__(self, place, postgres, journal, seed):
        self.chance = random.Random(seed)
        self.redis = RedisServer(place / "redis").start()
        self.postgres, self.journal = postgres, journal
        self.dsn, self.journal_dsn = postgres.new_database(), postgres.new_database()
        self.config = settings(place)
        self.to_redis, self.to_postgres, self.roles, self.targets = [], [], [], {}
        add_engines = self._add_engine if journal == "sqlite" else self._add_engines
        self.engines = add_engines(place)
        self.apis = [self._add(place / str(number), "api", "api") for number in range(2)]
        self.broadcast = self._add(place, "broadcast", "broadcast")
        self._add_filler(place)
        self._add_servers()
        self.clients = [
            Persistent(f"user{number}", self.apis, random.Random(seed + number))
            for number in range(CLIENTS)
        ]
        self.followers = []

    def _proxy(self, to, proxies):
        proxies.append(Proxy(to))
        return proxies[-1]

    def _postgres_proxy(self):
        return self._proxy(self.postgres.directory / ".s.PGSQL.5432", self.to_postgres)

    def _add(self, place, victim, *command, proxies=(), **more):
        proxy = self._proxy(self.redis.port, self.to_redis)
        role = Role(place, self.config, proxy.url, *command, **more)
        self.roles.append(role)
        self.targets.setdefault(victim, []).append(role_target(role, proxy, *proxies))
        return role

    def _add_engine(self, place):
        return [self._add(place, "engine", "engine")]

    def _add_engines(self, place):
        """Two, with the journal in Postgres. One that is stopped is given up by the server, too,
        as it gives up a machine that vanished: the other one takes over before it wakes."""
        made = []
        for name in "ab":
            proxy = self._postgres_proxy()
            role = self._add(
                place / name, "engine", "engine", "--standby", proxies=[proxy],
                more=self._stored(proxy),
            )  # fmt: skip
            made.append(role)
        self.targets["engine"] = [
            each._replace(pause=partial(self._stop_and_give_up, each))
            for each in self.targets["engine"]
        ]
        return made

    def _stop_and_give_up(self, target):
        target.pause()
        end_writer(self.journal_dsn)

    def _stored(self, proxy):
        given = {"KIND": "postgres", "DSN": through(proxy, self.journal_dsn), "DURABILITY": "full"}
        return {f"OMS__STORE__{name}": value for name, value in given.items()}

    def _add_filler(self, place):
        proxy = self._postgres_proxy()
        more = variables_of(through(proxy, self.dsn))
        at = self.engines[0].directory
        if self.journal == "postgres":
            at, more = place / "filler", {**more, **self._stored(proxy)}
        self.filler = Role(place, self.config, self.redis.url, "db-filler", at=at, more=more)
        self.roles.append(self.filler)
        self.targets["filler"] = [role_target(self.filler, proxy)]

    def _add_servers(self):
        postgres = self.postgres

        def revive():
            if not postgres.running:
                postgres.start()

        self.targets["redis"] = [redis_target(self.redis, self.to_redis)]
        self.targets["postgres"] = [
            Target(
                "postgres", postgres.kill, lambda: postgres.signal(signal.SIGSTOP),
                lambda: postgres.signal(signal.SIGCONT), revive, self.to_postgres,
            )
        ]  # fmt: skip

    def target(self, victim):
        """Of two engines the one that serves."""
        found = self.targets[victim]
        serving = self.serving() if victim == "engine" else None
        if serving is not None:
            return found[self.engines.index(serving)]
        return self.chance.choice(found)

    def start(self):
        for role in self.roles:
            if role is not self.filler:
                role.start()
        ready([*self.apis, self.broadcast])
        self.filler.start()
        for each in self.clients:
            each.sign_up()
            each.others = [other.name for other in self.clients if other is not each]
        doors = [self.broadcast, *self.apis]
        self.followers = [Follower(each.name, each.token, doors) for each in self.clients]
        for follower in self.followers:
            follower.thread.start()
        wait_until(lambda: all(each.begun for each in self.followers))
        for each in self.clients:
            each.thread.start()

    def play(self, number, card):
        """One round: harm all of them, hold, mend; then orders go through again."""
        chance = self.chance
        done = [(self.target(victim), how, chance.choice(WAYS)) for victim, how in card]
        told = ", ".join(
            f"{victim} {how if how != 'cut' else way}"
            for (victim, how), (_, _, way) in zip(card, done, strict=True)
        )
        held_s = chance.choice((HELD_S, HELD_S, HELD_S, HELD_LONG_S))
        began, answered = time.monotonic(), self.answered
        for target, how, way in done:
            target.harm(how, way)
        let_run(held_s)
        for target, how, _ in done:
            target.mend(how)
        wait_until(lambda: self._goes_on(answered), SEND_S_MAX)
        print(f"round {number}: {told}; {time.monotonic() - began:.1f} s", flush=True)

    def _goes_on(self, answered):
        for role in self.roles:
            role.revive()  # one that was stopped for too long ends by itself
        for each in self.clients:
            assert each.failure is None, each.failure
        return self.answered >= answered + 2 * CLIENTS

    def store(self):
        """The journal, to look at."""
        if self.journal == "sqlite":
            return PersistentStorage(self.engines[0].directory / DATABASE, read_only=True)
        from tests.scale.postgres.test_postgres_store import store_of

        return store_of(self.journal_dsn, read_only=True)

    def serving(self):
        """The engine that has the journal; None where that is not known."""
        if self.journal == "sqlite":
            return self.engines[0]
        who = writer_of(self.journal_dsn)
        return next(
            (
                each
                for each in self.engines
                if each.process is not None and f"process {each.process.pid} " in who
            ),
            None,
        )

    def left_alone(self):
        """The same, after one that stands by is gone."""
        serving = self.serving()
        assert serving is not None
        for each in self.engines:
            if each is not serving:
                each.kill()
        return serving

    @property
    def answered(self):
        return sum(len(each.answers) for each in self.clients)

    def end(self):
        for each in self.clients:
            each.stopping.set()
        for each in self.followers:
            each.stop()
        for role in self.roles:
            role.kill()
        for proxy in (*self.to_redis, *self.to_postgres):
            proxy.close()
        self.redis.kill()


@pytest.mark.slow
@pytest.mark.parametrize("journal", ["sqlite", "postgres"])
def test_nothing_answered_is_lost_and_nothing_is_doubled_whatever_dies(
    journal, tmp_path, start_postgres
):
    seed = int(os.environ.get("OMS_SEED") or time.time_ns() % 2**32)
    cards = deck(VICTIMS)
    print(f"journal={journal} seed={seed} rounds={ROUNDS} of {len(cards)} cases")
    postgres = start_postgres(fsync="on", full_page_writes="on")
    cluster = Cluster(tmp_path, postgres, journal, seed)
    try:
        cluster.start()
        dealing = dealt(cards, cluster.chance)
        for number in range(ROUNDS):
            cluster.play(number, next(dealing))
        for each in cluster.clients:
            each.stop()
        ready(cluster.apis)
        audit(cluster)
    finally:
        cluster.end()


# --- what must be true at the end ---


def audit(cluster):
    """Every answer is in the journal, every request is there once; money, fills, rows add up."""
    clients = cluster.clients
    assert [len(each.answers) for each in clients] == [each.sent for each in clients]
    owned = owned_by(clients)
    fills = fills_of(cluster.store())
    for each in cluster.followers:
        own = fills[each.account]
        wait_until(lambda each=each, own=own: len(each.told) >= len(own) or each.late(15))
        missing = sorted(set(own) - set(each.told))
        assert missing == [], (each.account, missing, each.log[-20:])
    engine = cluster.left_alone()
    engine.signal(signal.SIGTERM)
    assert engine.process.wait(20) == 0, engine.output
    for each in cluster.followers:
        assert each.complaints == []
        assert each.told == fills[each.account]
    found = audit_of(cluster.store())
    check_journal(found, clients)
    assert owned == expected(found, clients)
    rows = check_projection(cluster, found, owned)
    orders, paid = (sum(len(part) for part in some) for some in zip(
        *((each.answers, each.paid) for each in clients), strict=True
    ))  # fmt: skip
    print(
        f"{orders} orders answered, {paid} transfers, {sum(map(len, fills.values()))} fills told, "
        f"{rows} rows in Postgres: none lost, none doubled, money conserved"
    )


def owned_by(clients):
    """Account and asset: what it has, available and reserved together."""
    return {
        (each.name, row["asset"]): Decimal(row["available"]) + Decimal(row["reserved"])
        for each in clients
        for row in each.ask("GET", "/balance").told["balances"]
    }


def fills_of(opening):
    """By account, turn and number of every fill, oldest first."""
    found = {}
    with opening as store:
        for each in store.all_reports():
            if each.type == TRADE:
                told = str(each.journal_seq), str(each.number)
                found.setdefault(each.account, []).append(told)
    return found


def check_journal(found, clients):
    """It adds up; each order that a client was answered is there, once, and no other one; nothing
    that moves money or cancels took effect twice."""
    assert (found.differences, found.mistakes) == ([], [])
    assert found.digest == found.refolded_digest
    names = {each.name for each in clients}
    of_clients = [(seq, line) for seq, line in found.requests if line[1] in names]
    placed = {
        (line[1], line[2]): str(seq) for seq, line in of_clients if line[0] == codec.NEW
    }  # fmt: skip
    assert placed == {
        (each.name, name): answer["orderId"]
        for each in clients
        for name, answer in each.answers.items()
    }
    effective = Counter(
        (line[1], line[2]) for _, line in of_clients if line[0] != codec.ANSWER
    )  # fmt: skip
    assert [name for name, times in effective.items() if times > 1] == []


def expected(found, clients):
    """What each account must own: what it was given, the transfers it was answered, its trades."""
    owned = {(each.name, asset): PLAY for each in clients for asset in ("USD", "BTC")}
    for each in clients:
        for moved in each.paid:
            owned[each.name, "USD"] -= Decimal(moved["amount"])
            owned[moved["toAccount"], "USD"] += Decimal(moved["amount"])
    for row in found.rows.values():
        if row.type == TRADE:
            lots = Decimal(row.last_quantity_lots) / 10_000
            paid = lots * row.last_price_ticks / 100
            sign = 1 if row.side == "BUY" else -1
            owned[row.account, "BTC"] += sign * lots
            owned[row.account, "USD"] -= sign * paid
    return owned


def check_projection(cluster, found, owned):
    """Filled up to the journal's end, and row by row what the journal says; how many rows."""
    import psycopg

    from tests.scale.postgres.test_filler import filled_seq
    from tests.scale.postgres.test_projection import differences

    with cluster.store() as store:
        end = store.find_stretch(0, 1, 0).end_seq
    wait_until(lambda: filled_seq(cluster.dsn) == end)
    if cluster.journal == "sqlite":
        assert differences(cluster.engines[0].directory / DATABASE, cluster.dsn) == []
    with psycopg.connect(cluster.dsn) as connection:
        rows = connection.execute(f"SELECT {', '.join(Row._fields)} FROM order_responses")
        told = {(row.journal_seq, row.number): unmeasured(row) for row in map(Row._make, rows)}
        assert told == {key: unmeasured(row) for key, row in found.rows.items()}
        totals = connection.execute("SELECT account, asset, total FROM balances")
        totals = {(account, asset): total for account, asset, total in totals}
        assert {key: totals.get(key) for key in owned} == owned
    return len(told)


def unmeasured(row):
    """Without what is null there where nothing was measured."""
    return row._replace(waited_ns=0, venue_ns=0)


def through(proxy, dsn):
    """The same database, by way of a proxy."""
    database = dsn.rpartition("=")[2]
    return f"host=127.0.0.1 port={proxy.port} user=postgres dbname={database} sslmode=disable"


def writer_of(dsn):
    """Who has the journal, as the server says; "" if it does not."""
    import psycopg

    with suppress(psycopg.Error), psycopg.connect(dsn, connect_timeout=2) as connection:
        return connection.execute("SELECT who FROM oms.writer").fetchone()[0]
    return ""


def end_writer(dsn):
    """The server gives up on who has the journal; if it is down itself, that is as good."""
    import psycopg

    from tests.scale.postgres.test_postgres_faults import end_sessions

    with suppress(psycopg.Error):
        end_sessions(f"{dsn} connect_timeout=2")
