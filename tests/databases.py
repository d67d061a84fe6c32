"""Databases for tests: opened, traded in, altered behind our back, and short of space."""

import shutil
import sqlite3
import zlib
from contextlib import closing

from oms import PersistentStorage
from oms.stores.high_water import CRC, SLOT, SLOTS_AT
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


def beside(path, what):
    """The file that SQLite, or we, keep beside a database: "-wal", "-shm", "-high"."""
    return path.with_name(f"{path.name}{what}")


def killed(path, *requests):
    """What kill -9 leaves, in a directory of its own: the database of a desk that goes on, after
    some turns of which only the write-ahead log knows. Its path, and where the journal ends."""
    desk = Stepped(store=storage(path, durability="normal")).start()
    for n in range(20):
        desk.send(buy(f"B{n}", 2, 100 - n), sell(f"S{n}", 1, 101 + n))
    desk.send(*requests)
    image = path.parent / "killed"
    image.mkdir()
    for each in path.parent.glob(f"{path.name}*"):
        shutil.copy(each, image)
    last_seq = desk.dispatcher.fold.last_seq
    desk.stop()
    return image / path.name, last_seq


def flip(path, at):
    """One bit of a file is another one."""
    with path.open("r+b") as file:
        file.seek(at)
        [byte] = file.read(1)
        file.seek(at)
        file.write(bytes([byte ^ 1]))


def reboot(path):
    """The same high-water file, but written before the machine was booted."""
    high = beside(path, "-high")
    content = bytearray(high.read_bytes())
    for at in SLOTS_AT:
        what, seq, checksum, _ = SLOT.unpack_from(content, at)
        record = SLOT.pack(what, seq, checksum, b"another boot")
        content[at : at + len(record) + CRC.size] = record + CRC.pack(zlib.crc32(record))
    high.write_bytes(content)
