"""The commands of the program; each module adds its own to the parser.

Flow:  cli -> [commands] -> app, simulation, journal
Owner: MainThread. A command gets its arguments and a Place, and returns the exit code.
"""

import argparse
import shlex
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

from oms.clock import wall_ns_of
from oms.config import Config
from oms.errors import JournalError, OutcomeUnknownError, StoreError
from oms.gateways.wire import ANSWER_S_MAX
from oms.manager import OrderManagement, reader_of, store_of
from oms.requests import Request
from oms.responses import OrderResponse
from oms.stores import Store
from oms.stores.lock import DataLock
from oms.stores.sql_store import SqlStore
from oms.stores.sqlite import PersistentStorage
from oms.turn.journal import Fold
from oms.venues import EmbeddedVenue, Venue
from oms.venues.scripted import ScriptedVenue

EXIT_OK, EXIT_FAILED, EXIT_USAGE, EXIT_NOT_RUNNING = 0, 1, 2, 3
ASKED_AT_ONCE = 1_000  # requests under way while their answers are awaited

AddOption = Callable[..., Any]


@contextmanager
def naming(path: Path | None) -> Iterator[None]:
    """A full disk is told by `write` without the file: name it; path: None is stdout."""
    try:
        yield
    except OSError as error:
        if path is not None and error.filename is None and error.errno is not None:
            error.filename = str(path)
        raise


class Place(NamedTuple):
    """Where a command works, and by which settings. told: both, for a person; accept_loss: see
    `starting`."""

    config: Config
    directory: Path
    told: str = ""
    accept_loss: int | None = None

    @property
    def database(self) -> Path:
        return self.directory / self.config.store.database

    @property
    def log_file(self) -> Path:
        return self.directory / "logs" / "order_management.log"

    @property
    def is_file(self) -> bool:
        """The journal is in a file of the directory, and not in Postgres."""
        return self.config.store.kind == "sqlite"

    def require_database(self) -> None:
        """StoreError if there is none; a command that asks must not make one."""
        if self.is_file and not self.database.exists():
            raise StoreError(f"{self.database}: no such database; nothing has run here yet")

    def require_file(self, command: str, there: str = "its own tools make copies there") -> None:
        """The same, of a command that works on a file alone. there: what takes its place in
        Postgres."""
        if not self.is_file:
            raise StoreError(
                f"{command} is for a journal in a file, and [store] kind is postgres: {there}"
            )
        self.require_database()

    def reader(self) -> SqlStore:
        """The store, to look at only; not open yet."""
        return reader_of(self.config.store, self.directory)

    def locked(self) -> AbstractContextManager[object]:
        """While it is written without a daemon. Raises DataInUseError; so does the store's own lock
        in Postgres."""
        return DataLock(self.database) if self.is_file else nullcontext()

    def writer(self) -> Store:
        """The store, to write; not open yet."""
        return store_of(self.config.store, self.directory)

    def at_one_instant(self) -> AbstractContextManager[SqlStore]:
        """The same, open, as of one instant; StoreError if there is none."""
        self.require_database()
        return self.reader().at_one_instant()

    def open_file(self, command: str) -> PersistentStorage:
        """The same, of a command that works on a file alone."""
        self.require_file(command)
        store = PersistentStorage(self.database, read_only=True)
        store.open()
        return store


Command = Callable[[argparse.Namespace, Place], int]
Look = Callable[[argparse.Namespace, SqlStore], int]
AddCommand = Callable[[str, Command, str, str], AddOption]
"""Adds a command by name, with its line in the list and its description; see cli."""


def starting(option: AddOption) -> None:
    """What each command takes that starts an order manager."""
    option(
        "--accept-loss", metavar="SEQ", type=whole_number(0),
        help="go on although journal entries after this sequence are missing",
    )  # fmt: skip


def looking(look: Look) -> Command:
    """A command that looks at the database; a journal that does not add up is its finding."""

    def command(args: argparse.Namespace, place: Place) -> int:
        with place.at_one_instant() as store:
            try:
                return look(args, store)
            except JournalError as error:
                say(str(error))
                return EXIT_FAILED

    return command


def venue_of(store: Store) -> Venue | EmbeddedVenue:
    """An empty venue of the kind that the journal was written with."""
    first = next(store.records(), None)
    # A damaged file may hold something else than a text there: whoever folds it says so.
    remote = first is not None and '"remote":true' in str(first.body)
    return ScriptedVenue() if remote else EmbeddedVenue()


def folded(store: Store, *, use_snapshot: bool = True, upto_seq: int | None = None) -> Fold:
    """The state that the journal gives, up to one sequence or to its end."""
    fold = Fold(venue_of(store))
    for _ in fold.recover(store, use_snapshot=use_snapshot, upto_seq=upto_seq):
        pass
    return fold


def ask(manager: OrderManagement, requests: Iterable[Request]) -> Iterator[OrderResponse]:
    """The durable answer to each request, in order; many are under way at once.

    Raises StoreError where an outcome is unknown.
    """
    left = iter(requests)
    while some := [manager.submit(request) for request in islice(left, ASKED_AT_ONCE)]:
        for answer in some:
            try:
                yield answer.result(ANSWER_S_MAX)
            except TimeoutError:
                raise OutcomeUnknownError(f"no answer within {ANSWER_S_MAX:g} s") from None


def program_name(path: str) -> str:
    """What a user types to get this program, from sys.argv[0]."""
    if Path(path).name == "__main__.py":
        return "python -m oms"
    return f"python {shlex.quote(path)}" if path.endswith(".py") else Path(path).name or "oms"


def data_option(directory: Path) -> str:
    """What a user adds to a command so that it finds the data there."""
    return "" if directory == Path.cwd() else f" --data-dir {shlex.quote(str(directory))}"


def say(text: str) -> None:
    """One line on stderr, under the program's name."""
    print(f"order_management: {text}", file=sys.stderr)


def whole_number(low: int, high: int = 10**15) -> Callable[[str], int]:
    """The reader of an argument that is a whole number from low to high."""

    def read(text: str) -> int:
        if not (text.isascii() and text.isdecimal() and low <= int(text[:20]) <= high):
            raise argparse.ArgumentTypeError(
                f"expected a whole number from {low} to {high}, was {text!r}"
            )
        return int(text)

    return read


def instant(text: str) -> int:
    """The reader of an argument that is a time: nanoseconds since the epoch; UTC without a zone."""
    try:
        local = datetime.fromisoformat(text)
        return wall_ns_of(local if local.tzinfo else local.replace(tzinfo=UTC))
    except (ValueError, OverflowError):
        raise argparse.ArgumentTypeError(
            f"expected a time such as 2026-11-20T00:00Z, was {text!r}"
        ) from None
