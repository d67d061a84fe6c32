"""The store in Postgres: what every store does, and that two engines never both write."""

import pytest

from tests.test_store_contract import Contract

psycopg = pytest.importorskip("psycopg")


def store_of(dsn, **settings):
    from oms.stores.postgres import PostgresStorage

    return PostgresStorage(dsn, **{"durability": "none", **settings})


class TestPostgresStorage(Contract):
    """In a database of its own."""

    @pytest.fixture
    def opened(self, dsn):
        def again():
            store = store_of(dsn)
            store.open()
            return store

        return again
