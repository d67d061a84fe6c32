"""A client is tested against real front doors, whose packages are an extra."""

import pytest

for package in ("starlette", "uvicorn", "msgspec", "websockets", "jwt", "httpx"):
    pytest.importorskip(package)

from tests.web.conftest import cheap_passwords, door, start_door  # noqa: E402

__all__ = ["between", "cheap_passwords", "clients", "door", "start_door"]


@pytest.fixture
def between():
    """Makes lines between clients and a server that can be cut."""
    from tests.client.between import Between

    made = []

    def make(url=""):
        made.append(Between(url))
        return made[-1]

    yield make
    for each in made:
        each.close()


@pytest.fixture
def clients(door):
    """Makes a client of a new user, or of one that there is; they are stopped at the end."""
    from oms.client import Client
    from tests.web.doors import PASSWORD

    made = []

    def make(user, url="", **more):
        if door.oms.access.user(user) is None:
            door.user(user)
        made.append(Client(url or door.url, user=user, password=PASSWORD, **more))
        made[-1].start()
        return made[-1]

    yield make
    for each in made:
        each.stop()
