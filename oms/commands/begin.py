"""`init`, `migrate`: before the first start in a directory, and the first of a newer program.

Owner: MainThread.
"""

import argparse
from collections.abc import Iterator
from contextlib import closing

from oms.commands import EXIT_FAILED, EXIT_OK, AddCommand, Place, naming, say, venue_of
from oms.config import CONFIG_PATH
from oms.stores import Turn
from oms.stores.lock import DataLock
from oms.stores.schema import SCHEMA_VERSION
from oms.stores.sqlite import PersistentStorage, schema_version
from oms.turn.journal import upgraded

INIT = """\
Writes a config.ini into DIR (default: the data directory): every setting at its default, with
unit, bounds and reason. All commands in DIR use it from then on. A config.ini that is there
already stays as it is (exit code 1)."""
MIGRATE = """\
Brings the database to the schema version of this program: the journal stays, and what follows
from it is made anew, in one transaction. A start does the same; no daemon may run. Back the
database up first: an older program cannot read it afterwards.

--check changes nothing: exit code 0 if the database has this program's version, 1 if not."""


def add_to(add: AddCommand) -> None:
    option = add("init", init, "write a config.ini with every setting", INIT)
    # The same as --data-dir, so that the command works where it says that it does.
    option(
        "data_dir", metavar="DIR", nargs="?", default=argparse.SUPPRESS,
        help="where to (default: the data directory); created if it is not there",
    )  # fmt: skip
    option = add("migrate", migrate, "bring the database to this program's version", MIGRATE)
    option("--check", action="store_true", help="only say whether it is")


def init(_args: argparse.Namespace, place: Place) -> int:
    """Write the file that the program came with; 1 if there is one."""
    place.directory.mkdir(parents=True, exist_ok=True)
    path = place.directory / CONFIG_PATH.name
    text = CONFIG_PATH.read_bytes()
    try:
        with naming(path), path.open("xb") as file:
            file.write(text)
    except FileExistsError:
        say(f"{path}: is there already, and was not changed")
        return EXIT_FAILED
    print(f"{path}: written, every setting at its default")
    return EXIT_OK


def migrate(args: argparse.Namespace, place: Place) -> int:
    """Upgrade the database, or only look at its version."""
    path = place.database
    place.require_file("migrate")
    version = schema_version(path)
    told = f"{path}: schema version {version}"
    if version == SCHEMA_VERSION:
        print(f"{told}, as this program has; nothing to do")
        return EXIT_OK
    if args.check or not 0 < version < SCHEMA_VERSION:
        older = 0 < version < SCHEMA_VERSION
        cure = "`migrate` upgrades it" if older else "no database that this program can upgrade"
        print(f"{told}, this program has {SCHEMA_VERSION}: {cure}")
        return EXIT_FAILED
    store = PersistentStorage(
        path, durability=place.config.store.durability, group=place.config.store.group
    )
    with DataLock(path), closing(store):
        store.open()
        if store.outdated:
            store.upgrade(_turns(store))
    print(f"{told} before, {SCHEMA_VERSION} now")
    return EXIT_OK


def _turns(store: PersistentStorage) -> Iterator[Turn]:
    """What the journal gives; read only after upgrade() has given it its newer columns."""
    yield from upgraded(store, venue_of(store))
