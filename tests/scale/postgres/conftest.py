"""Servers of the tests' own; where there is none, its tests are skipped, and say why."""

from contextlib import ExitStack

import pytest


@pytest.fixture(scope="session")
def server():
    """One for all tests that do not kill it."""
    with ExitStack() as stack:
        yield stack.enter_context(new_server())


@pytest.fixture
def start_server():
    """Servers of the test's own; their arguments are those of PostgresServer."""
    with ExitStack() as stack:
        yield lambda *parts, **settings: stack.enter_context(new_server(*parts, **settings))


def new_server(*parts, **settings):
    pytest.importorskip("psycopg")
    from tests.scale.postgres.servers import NoServerError, PostgresServer

    try:
        return PostgresServer(*parts, **settings)
    except NoServerError as why:
        pytest.skip(str(why))


@pytest.fixture
def dsn(server):
    """A database of the test's own."""
    return server.new_database()
