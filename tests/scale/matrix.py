"""What may happen to a cluster: each victim killed, stopped, or cut off, alone and in pairs.

The cases are a deck of cards that is dealt to its end, shuffled and dealt again: so many rounds as
there are cards have each of them once.
"""

import random
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from functools import partial
from itertools import combinations, product
from typing import NamedTuple

from oms import PersistentStorage
from tests.processes import DATABASE, let_run, wait_until
from tests.scale.postgres.conftest import variables_of
from tests.scale.processes import Follower, Role, ready, settings
from tests.scale.proxy import Proxy
from tests.scale.servers import RedisServer
from tests.scale.traders import MARKETS, Trader
from tests.web.served import SETTINGS

GROUPS = tuple(MARKETS)
VICTIMS = (*GROUPS, "api", "broadcast", "filler", "redis", "postgres")  # a group: its engine

HOW = ("kill", "stop", "cut")
WAYS = ("cut", "stalled", "slow")  # to cut something off
SLOW_S = 0.1  # each piece
HELD_S, HELD_LONG_S = 0.8, 2.6  # longer than a call may take; longer than an engine may be silent
SEND_S_MAX = 30.0  # until orders go through again
CLIENTS = 3

Card = tuple[tuple[str, str], ...]
"""One or two of: victim, how."""


def deck(victims: Sequence[str]) -> list[Card]:
    """Every victim in every way, alone, and every two of them."""
    alone = [((victim, how),) for victim, how in product(victims, HOW)]
    pairs = [
        ((one, how), (other, its))
        for one, other in combinations(victims, 2)
        for how, its in product(HOW, HOW)
    ]
    return [*alone, *pairs]


def dealt(cards: Sequence[Card], chance: random.Random) -> Iterator[Card]:
    """Without an end."""
    while True:
        yield from chance.sample(cards, len(cards))


class Target(NamedTuple):
    """One process, or server, and the proxies that cut it off. revive: starts it if it is down."""

    name: str
    kill: Callable[[], object]
    pause: Callable[[], object]
    go_on: Callable[[], object]
    revive: Callable[[], object]
    proxies: Sequence[Proxy]

    def harm(self, how: str, way: str) -> None:
        if how == "kill":
            self.kill()
        elif how == "stop":
            self.pause()
        for proxy in self.proxies if how == "cut" else ():
            if way == "cut":
                proxy.cut()
            elif way == "stalled":
                proxy.stalled = True
            else:
                proxy.delay_s = SLOW_S

    def mend(self, how: str) -> None:
        if how == "stop":
            self.go_on()
        for proxy in self.proxies if how == "cut" else ():
            proxy.heal()
        self.revive()


def role_target(role: Role, *proxies: Proxy) -> Target:
    def go_on() -> None:
        role.signal(signal.SIGCONT)

    return Target(
        role.name, role.kill, lambda: role.signal(signal.SIGSTOP), go_on, role.revive, proxies
    )


def redis_target(server: RedisServer, proxies: Sequence[Proxy]) -> Target:
    def revive() -> None:
        if server.process is None:
            server.start()

    return Target("redis", server.kill, server.stop_for_a_while, server.go_on, revive, proxies)


class Group:
    """One group of markets: its engines, where its journal is, and what fills a projection of it.

    journal_dsn: "" where the journal is a file of the only engine."""

    def __init__(self, name, dsn, journal_dsn):
        self.name, self.dsn, self.journal_dsn = name, dsn, journal_dsn
        self.engines = []
        self.filler = None

    def stored(self, proxy):
        """Where the journal is, as settings of a role."""
        dsn = through(proxy, self.journal_dsn)
        given = {"KIND": "postgres", "DSN": dsn, "DURABILITY": "full"}
        return {f"OMS__STORE__{name}": value for name, value in given.items()}

    def store(self):
        """The journal, to look at."""
        if not self.journal_dsn:
            return PersistentStorage(self.engines[0].directory / DATABASE, read_only=True)
        from tests.scale.postgres.test_postgres_store import store_of

        return store_of(self.journal_dsn, read_only=True)

    def serving(self):
        """The engine that has the journal; None where that is not known."""
        if not self.journal_dsn:
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


class Cluster:
    """All roles of two groups, each behind proxies of its own, and clients that never give up.

    journal: sqlite, of one engine a group; postgres, of two, one of which stands by."""

    def __init__(self, place, postgres, journal, seed):
        self.chance = random.Random(seed)
        self.redis = RedisServer(place / "redis").start()
        self.postgres, self.journal = postgres, journal
        self.config = settings(
            place,
            {"instrument BTC_EUR": {**SETTINGS["instrument BTC_USD"], "quote": "EUR"}},
            market_groups="quote",
        )
        self.to_redis, self.to_postgres, self.roles, self.targets = [], [], [], {}
        self.groups = [self._add_group(place, name) for name in GROUPS]
        self.apis = [self._add(place / str(number), "api", "api") for number in range(2)]
        self.broadcast = self._add(place, "broadcast", "broadcast")
        for group in self.groups:
            self._add_filler(place, group)
        self._add_servers()
        self.clients = [
            Trader(f"user{number}", self.apis, random.Random(seed + number))
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

    def _add_group(self, place, name):
        """One engine, or two with the journal in Postgres. One of those that is stopped is given up
        by the server, too, as it gives up a machine that vanished: the other one takes over before
        it wakes."""
        new = self.postgres.new_database
        group = Group(name, new(), new() if self.journal == "postgres" else "")
        command = ("engine", "--group", name)
        if not group.journal_dsn:
            group.engines.append(self._add(place, name, *command))
            return group
        for number in "ab":
            proxy = self._postgres_proxy()
            made = self._add(
                place / number, name, *command, "--standby", proxies=[proxy],
                more=group.stored(proxy),
            )  # fmt: skip
            group.engines.append(made)
        self.targets[name] = [
            each._replace(pause=partial(_stop_and_give_up, each, group.journal_dsn))
            for each in self.targets[name]
        ]
        return group

    def _add_filler(self, place, group):
        proxy = self._postgres_proxy()
        more = variables_of(through(proxy, group.dsn))
        at = group.engines[0].directory
        if group.journal_dsn:
            at, more = place / f"filler-{group.name}", {**more, **group.stored(proxy)}
        place = place / f"filling-{group.name}"
        group.filler = Role(place, self.config, self.redis.url, "db-filler", at=at, more=more)
        self.roles.append(group.filler)
        self.targets.setdefault("filler", []).append(role_target(group.filler, proxy))

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
        """Of two engines of a group the one that serves."""
        found = self.targets[victim]
        for group in self.groups:
            serving = group.serving() if group.name == victim else None
            if serving is not None:
                return found[group.engines.index(serving)]
        return self.chance.choice(found)

    def start(self):
        fillers = [group.filler for group in self.groups]
        for role in self.roles:
            if role not in fillers:
                role.start()
        ready([*self.apis, self.broadcast])
        for filler in fillers:
            filler.start()
        for each in self.clients:
            each.sign_up()
            each.others = [other.name for other in self.clients if other is not each]
            each.spread()
        doors = [self.broadcast, *self.apis]
        self.followers = [
            Follower(each.name, each.token, doors, group.name)
            for each in self.clients
            for group in self.groups
        ]
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
        began = time.monotonic()
        stood = self.placed
        for target, how, way in done:
            target.harm(how, way)
        let_run(held_s)
        for target, how, _ in done:
            target.mend(how)
        wait_until(lambda: self._goes_on(stood), SEND_S_MAX)
        print(f"round {number}: {told}; {time.monotonic() - began:.1f} s", flush=True)

    def _goes_on(self, stood):
        for role in self.roles:
            role.revive()  # one that was stopped for too long ends by itself
        for each in self.clients:
            assert each.failure is None, each.failure
        return all(now >= before + CLIENTS for before, now in zip(stood, self.placed, strict=True))

    @property
    def placed(self):
        """How many orders of each group were answered."""
        symbols = [
            answer["symbol"] for each in self.clients for answer in list(each.answers.values())
        ]
        return [symbols.count(MARKETS[group.name]) for group in self.groups]

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


def _stop_and_give_up(target, dsn):
    target.pause()
    end_writer(dsn)


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
