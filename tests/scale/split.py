"""The roles of the split form in the test's own process, around a Redis server that is real."""

from contextlib import suppress
from dataclasses import replace
from functools import partial
from pathlib import Path

import httpx

from oms import Config, OrderManagement
from oms.clock import Clock
from oms.gateways.web import open_web
from oms.roles.engine import Engine
from oms.roles.remote import RemoteOrders
from oms.sections import ScaleConfig
from oms.turn.threads import Worker
from tests.scale.servers import wait_for
from tests.web.doors import FrontDoor, front_config

GROUP = "main"
SECRET = "a secret that is long enough for tests"


class EngineThreads:
    """One group's engine, in threads of the test's process."""

    def __init__(self, directory: Path, config: Config, group: str, clock: Clock | None) -> None:
        self.died: list[tuple[str, BaseException]] = []
        self.oms = OrderManagement(
            config, directory=directory, clock=clock,
            on_failure=lambda name, error: self.died.append((name, error)),
        )  # fmt: skip
        self.oms.start()
        self.engine = Engine(self.oms, group)
        self.engine.open()
        self.engine.start(lambda *died: self.died.append(died))

    def stop(self) -> None:
        with suppress(Exception):
            self.oms.stop()
        self.engine.stop()


def two_groups(config: Config) -> str:
    """[scale] market_groups: one with the first market, one with all others."""
    first, *others = [each.symbol for each in config.instruments]
    return f"one: {first}, two: {' '.join(others)}" if others else ""


class Split(FrontDoor):
    """As a FrontDoor, with Redis between the front door and its order manager. `oms` is that of
    the home group's engine; `remote` is what the front door holds. engines: by group."""

    def __init__(
        self, directory: Path, url: str, config: Config | None = None, clock: Clock | None = None,
        **scale,
    ) -> None:  # fmt: skip
        config = config or front_config()
        config = replace(config, scale=ScaleConfig(redis_url=url, **scale))
        self.died = []
        self.directory, self.config, self.clock = directory, config, clock
        self.engines: dict[str, EngineThreads] = {}
        for group in config.scale.names:
            place = directory / ("engine" if group == GROUP else f"engine-{group}")
            place.mkdir(exist_ok=True, parents=True)
            self.engines[group] = EngineThreads(place, config.of_group(group), group, clock)
        self.engine = self.engines[config.scale.home]
        self.oms = self.engine.oms
        self._open()

    def _open(self) -> None:
        """An api around the engine."""
        self.remote = RemoteOrders(
            self.config, clock=self.clock, directory=self.directory,
            on_failure=lambda name, error: self.died.append((name, error)),
        )  # fmt: skip
        self.remote.start()
        wait_for(lambda: self.remote.get_status()["health"] == "ok")
        self.server = open_web(self.remote, self.directory)
        self.worker = Worker("oms-web", self.server, lambda *died: self.died.append(died))
        self.worker.start()
        self.url = self.server.urls[0]
        self.http = httpx.Client(
            base_url=self.url, timeout=30, verify=False, event_hooks={"request": [self._before]}
        )  # verify=False: reads no files

    def _before(self, request: httpx.Request) -> None:
        self.settle()
        if request.url.path in ("/metrics", "/ready"):  # which tell what the engine last said
            beat = self.engine.engine.telling._beats
            with suppress(AssertionError):
                wait_for(lambda: self.remote.home.sending._beat > beat + 1, 5)

    def settle(self) -> None:
        """What the test did to the engine itself is known to the front door."""
        for group, each in self.engines.items():
            seq, link = each.oms.dispatcher.fold.last_seq, self.remote.links[group]
            with suppress(AssertionError):  # its engine or Redis may be away, as the test wants it
                wait_for(partial(_follows, link, seq), 3 if link.alive else 1)

    def stop(self) -> None:
        self._close()
        for each in self.engines.values():
            each.stop()
        assert [*self.died, *(died for each in self.engines.values() for died in each.died)] == []

    def _close(self) -> None:
        self.http.close()
        assert self.worker.stop(10)
        self.server.close()
        with suppress(Exception):
            self.remote.stop()


class Beside(Split):
    """Another api of the same engines; it is stopped before them."""

    def __init__(self, first: Split) -> None:
        self.died = []
        self.directory, self.config, self.clock = first.directory, first.config, first.clock
        self.engines, self.engine, self.oms = first.engines, first.engine, first.oms
        self._open()

    def stop(self) -> None:
        self._close()
        assert self.died == []


def _follows(link, seq):
    return link.mirror.seq >= seq and not link.mirror.behind
