"""The roles need packages and a server of others: without them their tests are skipped."""

from contextlib import ExitStack

import pytest

for package in ("redis", "msgspec", "starlette", "uvicorn", "websockets", "jwt", "httpx"):
    pytest.importorskip(package)

from tests.web.conftest import cheap_passwords  # noqa: E402, F401


@pytest.fixture
def server(tmp_path):
    """A Redis server, which does not outlive the test."""
    from tests.scale.servers import RedisServer

    made = RedisServer(tmp_path / "redis").start()
    yield made
    made.kill()


@pytest.fixture
def start_postgres():
    """Postgres servers of the test's own; their arguments are those of PostgresServer."""
    from tests.scale.postgres.conftest import new_server

    with ExitStack() as stack:
        yield lambda **settings: stack.enter_context(new_server(**settings))


@pytest.fixture
def start_split(tmp_path, server):
    """Engine, api and front door in one process, but for Redis; none outlives the test."""
    from tests.scale.split import Beside, Split

    started = []

    def start(config=None, directory=tmp_path, *, beside=None, **more):
        split = Beside(beside) if beside else Split(directory, server.url, config, **more)
        started.append(split)
        return split

    yield start
    for split in reversed(started):
        split.stop()


@pytest.fixture
def split(start_split):
    return start_split()


@pytest.fixture
def config(server):
    """Settings of roles around that server."""
    from tests.scale.parts import scaled

    return scaled(server.url)


@pytest.fixture
def client(server):
    """A look at the server, past the program."""
    with server.client() as found:
        yield found


@pytest.fixture
def started():
    """Engines and apis that are stopped at the end, the latest first."""
    made = []

    def start(make, *given, **more):
        made.append(make(*given, **more))
        return made[-1]

    yield start
    for each in reversed(made):
        try:
            each.stop()
        except Exception as error:  # a test may have killed it
            assert "died" in str(error), error
