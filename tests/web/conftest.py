"""The front door's own packages are an extra: without them its tests are skipped."""

import pytest

for package in ("starlette", "uvicorn", "msgspec", "websockets", "jwt", "httpx"):
    pytest.importorskip(package)


@pytest.fixture
def start_door(tmp_path):
    """Front doors; none outlives the test."""
    from tests.web.doors import FrontDoor

    started = []

    def start(config=None, directory=tmp_path, clock=None):
        door = FrontDoor(directory, config, clock)
        started.append(door)
        return door

    yield start
    for door in started:
        door.stop()


@pytest.fixture
def door(start_door):
    return start_door()
