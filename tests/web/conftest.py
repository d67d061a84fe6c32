"""The front door's own packages are an extra: without them its tests are skipped."""

import os

import pytest

FORM = os.environ.get("OMS_TEST_FORM", "")
SPLIT = FORM in ("split", "groups")
"""The same tests with Redis between the front door and its order manager, or two order managers,
each with a group of markets: see tests/scale."""
GROUPS = FORM == "groups"

for package in ("starlette", "uvicorn", "msgspec", "websockets", "jwt", "httpx"):
    pytest.importorskip(package)


@pytest.fixture(autouse=True)
def cheap_passwords(monkeypatch):
    """Hashed for real, but cheaply: nearly every test signs users up and in."""
    from oms.gateways import passwords

    monkeypatch.setattr(passwords, "ARGON2_MEMORY_KIB", 64)
    monkeypatch.setattr(passwords, "ARGON2_PASSES", 1)


@pytest.fixture
def start_door(tmp_path):
    """Front doors; none outlives the test."""
    from tests.web.doors import FrontDoor

    started = []
    make, end = _split(tmp_path) if SPLIT else (FrontDoor, lambda: None)

    def start(config=None, directory=tmp_path, clock=None):
        door = make(directory, config, clock)
        started.append(door)
        return door

    yield start
    for door in started:
        door.stop()
    end()


def _split(directory):
    """What makes a front door in the split form, and what ends its server."""
    from tests.scale.servers import RedisServer
    from tests.scale.split import Split, two_groups
    from tests.web.doors import front_config

    server = RedisServer(directory / "redis").start()

    places = []  # each directory has a journal of its own, and so a database of its own

    def make(directory, config, clock):
        if directory not in places:
            places.append(directory)
        url = f"{server.url.removesuffix('0')}{places.index(directory)}"
        config = config or front_config()
        groups = {"market_groups": two_groups(config)} if GROUPS else {}
        return Split(directory, url, config, clock, **groups)

    return make, server.kill


@pytest.fixture
def door(start_door):
    return start_door()
