"""`init`, `migrate`: before the first start in a directory, and the first of a newer program.

Owner: MainThread.
"""

import argparse
from collections.abc import Iterator
from contextlib import closing
from typing import Any

from oms.commands import EXIT_FAILED, EXIT_OK, AddCommand, Place, naming, say, venue_of
from oms.commands.filling import projection_of
from oms.config import CONFIG_PATH
from oms.stores import Store, Turn
from oms.stores.schema import SCHEMA_VERSION
from oms.stores.sqlite import schema_version
from oms.turn.journal import upgraded

INIT = """\
Writes a config.ini into DIR (default: the data directory): every setting at its default, with
unit, bounds and reason. All commands in DIR use it from then on. A config.ini that is there
already stays as it is (exit code 1)."""
MIGRATE = """\
Brings the database to the schema version of this program: the journal stays, and what follows
from it is made anew, in one transaction. A start does the same; no daemon may run. Back the
database up first: an older program cannot read it afterwards. With [projection] dsn it also
looks at what `db-filler` fills: an older one is emptied, and `db-filler` fills it from the start.

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
    """Upgrade the database, and the projection that the settings name; or only look."""
    codes = [_migrate_journal(place, only_look=args.check)]
    if place.config.projection.dsn:
        codes.append(_migrate_projection(place, only_look=args.check))
    return max(codes)


def _migrate_journal(place: Place, *, only_look: bool) -> int:
    place.require_database()
    where, (version, ours) = _journal_of(place)
    if _is_settled(where, version, ours, only_look=only_look):
        return EXIT_OK if version == ours else EXIT_FAILED
    store = place.writer()
    with place.locked(), closing(store):
        store.open()
        if store.outdated:
            store.upgrade(_turns(store))
    print(f"{where}: schema version {version} before, {ours} now")
    return EXIT_OK


def _journal_of(place: Place) -> tuple[object, tuple[int, int]]:
    """Where it is; its schema version, and the one of this program."""
    if place.is_file:
        return place.database, (schema_version(place.database), SCHEMA_VERSION)
    store: Any = place.reader()
    return store, store.versions()


def _migrate_projection(place: Place, *, only_look: bool) -> int:
    """It has nothing that the journal has not: `db-filler` fills it again."""
    projection = projection_of(place)
    version, ours = projection.versions()
    if not version:
        print(f"{projection}: nothing is there yet; `db-filler` makes it")
        return EXIT_OK
    if _is_settled(projection, version, ours, only_look=only_look):
        return EXIT_OK if version == ours else EXIT_FAILED
    with closing(projection):
        projection.open(anew=True)
    print(f"{projection}: schema version {version} before, {ours} now; `db-filler` fills it anew")
    return EXIT_OK


def _is_settled(where: object, version: int, ours: int, *, only_look: bool) -> bool:
    """There is nothing to upgrade, or nothing that can be, or it is not asked for: said."""
    told, older = f"{where}: schema version {version}", 0 < version < ours
    if version == ours:
        print(f"{told}, as this program has; nothing to do")
    elif only_look or not older:
        cure = "`migrate` upgrades it" if older else "no database that this program can upgrade"
        print(f"{told}, this program has {ours}: {cure}")
    else:
        return False
    return True


def _turns(store: Store) -> Iterator[Turn]:
    """What the journal gives; read only after upgrade() has given it its newer columns."""
    yield from upgraded(store, venue_of(store))
