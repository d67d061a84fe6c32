"""Servers of the tests' own; where there is none, its tests are skipped, and say why."""

from contextlib import ExitStack

import pytest

from oms.cli import main


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


def variables_of(dsn):
    """Settings of db-filler, as the environment has them."""
    given = {"DSN": dsn, "ENTRIES_MAX": "100", "POLL_S": "0.01"}
    return {f"OMS__PROJECTION__{key}": value for key, value in given.items()}


@pytest.fixture
def say(monkeypatch, capsys):
    """Runs a command in this process: its exit code, and what it said on stdout and stderr."""

    def run(directory, dsn, *options, command="db-filler"):
        for name, value in variables_of(dsn).items():
            monkeypatch.setenv(name, value)
        code = main([command, "--data-dir", str(directory), *map(str, options)])
        return code, *capsys.readouterr()

    return run
