"""Databases that keep text as it is, and those that do not; and what the environment says of it."""

import pytest

from oms import PersistentStorage
from oms.errors import StoreError
from tests.processes import audit_of
from tests.scale.postgres.test_postgres_store import store_of
from tests.scale.postgres.test_projection import DAYS, differences, filled, filler_of
from tests.test_store_contract import lived_through

psycopg = pytest.importorskip("psycopg")


@pytest.fixture(params=["database", "environment", "dsn"])
def plain(request, server, monkeypatch):
    """A database of which psycopg gives bytes instead of text, unless it is told otherwise: a
    server that was set up without a locale makes such ones."""
    if request.param == "database":
        return server.new_database(encoding="SQL_ASCII")
    if request.param == "environment":
        monkeypatch.setenv("PGCLIENTENCODING", "SQL_ASCII")
        return server.new_database()
    return f"{server.new_database()} client_encoding=SQL_ASCII"


def test_a_journal_is_read_again(plain):
    for seed in (1, 11):
        lived_through(store_of(plain), seed, 20, DAYS).stop()
    found = audit_of(store_of(plain, read_only=True))
    assert (found.differences, found.mistakes) == ([], [])


def test_a_projection_is_filled_on_after_a_restart(plain, tmp_path):
    """The partitions of the latest date are there by then."""
    path = tmp_path / "order_management.db"
    for seed in (1, 11):
        floor = lived_through(PersistentStorage(path, durability="none"), seed, 20)
        filled(tmp_path, plain)
        floor.stop()
    assert differences(path, f"{plain} client_encoding=UTF8") == []


def test_a_database_that_has_no_room_for_every_character_is_refused(server, tmp_path):
    dsn = server.new_database(encoding="LATIN1")
    with pytest.raises(StoreError, match=r"test_\d+: expected a database in UTF8, was LATIN1"):
        store_of(dsn).open()
    with pytest.raises(StoreError, match=r"test_\d+: expected a database in UTF8, was LATIN1"):
        filler_of(tmp_path, dsn)
