"""Databases for tests: opened, traded in, altered behind our back, and short of space."""

import sqlite3
from contextlib import closing

from oms import PersistentStorage
from tests.fakes import Stepped, buy, sell


class SmallDisk(PersistentStorage):
    """A database that may not grow beyond so many pages: what SQLite then does is real."""

    def limit(self, more_pages):
        used = self._db.execute("PRAGMA page_count").fetchone()[0]
        self._db.execute(f"PRAGMA max_page_count = {used + more_pages}")

    def unlimit(self):
        self._db.execute("PRAGMA max_page_count = 1000000")

    def synchronous(self):
        return self._db.execute("PRAGMA synchronous").fetchone()[0]


def storage(path, **settings):
    store = PersistentStorage(path, **{"durability": "none", **settings})
    store.open()
    return store


def alter(path, *statements):
    """What no program of ours does to a database that is closed."""
    with closing(sqlite3.connect(path)) as connection:
        for statement in statements:
            connection.execute(statement)
        connection.commit()


def traded(path, *, snapshot=True):
    """A database with a few turns in it, closed in order."""
    desk = Stepped(store=storage(path)).start()
    for n in range(6):
        desk.send(buy(f"B{n}", 2, 100 - n), sell(f"S{n}", 1, 100 - n))
    digest = desk.digest()
    desk.stop()
    if not snapshot:
        alter(path, "DELETE FROM snapshots")
    return digest
