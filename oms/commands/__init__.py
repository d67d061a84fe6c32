"""The commands of the program; each module adds its own to the parser.

Flow:  cli -> [commands] -> app, simulation, journal
Owner: MainThread. A command gets its arguments and a Place, and returns the exit code.
"""

import argparse
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from oms.config import Config
from oms.controls import Request
from oms.errors import JournalError, OutcomeUnknownError, StoreError
from oms.flow.journal import Fold
from oms.manager import OrderManagement
from oms.reports import OrderResponse
from oms.stores import Store
from oms.stores.sqlite import PersistentStorage
from oms.venues import Venue
from oms.venues.embedded import EmbeddedVenue
from oms.venues.scripted import ScriptedVenue

EXIT_OK, EXIT_FAILED, EXIT_USAGE, EXIT_NOT_RUNNING = 0, 1, 2, 3
ASKED_AT_ONCE = 1_000  # requests under way while their answers are awaited
ANSWER_S_MAX = 30.0

Parsers = Any  # argparse hides the type of what add_subparsers() returns


AnyStorage = TypeVar("AnyStorage", bound=PersistentStorage)


class Place(NamedTuple):
    """Where a command works, and by which settings."""

    config: Config
    directory: Path

    @property
    def database(self) -> Path:
        return self.directory / self.config.store.database

    @property
    def log_file(self) -> Path:
        return self.directory / "logs" / "order_management.log"

    def open_store(self, kind: type[AnyStorage]) -> AnyStorage:
        """The database, to look at only; StoreError if there is none."""
        if not self.database.exists():
            raise StoreError(f"{self.database}: no such database; nothing has run here yet")
        store = kind(self.database, read_only=True)
        store.open()
        return store


Command = Callable[[argparse.Namespace, Place], int]
Look = Callable[[argparse.Namespace, PersistentStorage], int]


def looking(look: Look) -> Command:
    """A command that looks at the database; a journal that does not add up is its finding."""

    def command(args: argparse.Namespace, place: Place) -> int:
        with closing(place.open_store(PersistentStorage)) as store:
            try:
                return look(args, store)
            except JournalError as error:
                say(str(error))
                return EXIT_FAILED

    return command


def fold_of(store: Store) -> Fold:
    """An empty fold with the kind of venue that the journal was written with."""
    return Fold(venue_of(store))


def venue_of(store: Store) -> Venue:
    """The same venue, empty."""
    first = next(store.records(), None)
    remote = first is not None and '"remote":true' in first.body
    return ScriptedVenue() if remote else EmbeddedVenue()


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
