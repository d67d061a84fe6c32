"""What may happen to a cluster: each victim killed, stopped, or cut off, alone and in pairs.

The cases are a deck of cards that is dealt to its end, shuffled and dealt again: so many rounds as
there are cards have each of them once.
"""

import random
import signal
from collections.abc import Callable, Iterator, Sequence
from itertools import combinations, product
from typing import NamedTuple

from tests.scale.processes import Role
from tests.scale.proxy import Proxy
from tests.scale.servers import RedisServer

HOW = ("kill", "stop", "cut")
WAYS = ("cut", "stalled", "slow")  # to cut something off
SLOW_S = 0.1  # each piece

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
