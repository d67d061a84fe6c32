"""Turns: what the engine told, as entries; told as it happens, or made again from the journal.

Flow:  dispatcher -> PublishedTurn -> [turns] -> entry of the stream `evt`
       store -> [turns] -> the same, where a process died between the commit and the telling
"""

from collections.abc import Iterable, Iterator, Mapping
from itertools import takewhile
from typing import NamedTuple

import msgspec

from oms.instruments import Instrument
from oms.manager import OrderManagement
from oms.market_data import MarketEvent, in_units
from oms.stores import JournalRecord, Store
from oms.transport.wire import TurnEntry, encode, events_told
from oms.turn.publisher import PublishedTurn
from oms.turn.tape import told_of

PAGE, PAGE_BYTES = 200, 2**20  # turns made again at once: so many, or the one that comes to so much


class Page(NamedTuple):
    """Turns made again, oldest first: sequence and entry. more: others may follow them."""

    turns: list[tuple[int, bytes]]
    more: bool


def entry_of(
    turn: PublishedTurn, after: int, instruments: list[Instrument] | None, published_ns: int,
    engine: tuple[str, int, int],
) -> bytes:  # fmt: skip
    """instruments: what is traded from this turn on, if that changed. engine: see TurnEntry."""
    return encode(
        TurnEntry(
            turn.seq, after, turn.wall_ns, True, msgspec.Raw(encode(turn.reports)),
            events_told(turn.events), turn.users, instruments, published_ns, engine,
        )
    )  # fmt: skip


def made_beside(oms: OrderManagement, after: int) -> Page:
    """As `made_again`, on any thread, by a connection of its own: of what readers see already,
    because whoever gets a turn asks for what that turn changed."""
    upto = oms.publisher.shown_seq
    with oms.store.at_one_instant() as store:
        records = takewhile(lambda record: record.last_seq <= upto, store.records(after))
        return _page(store, oms.publisher.instruments, after, records)


def made_again(oms: OrderManagement, after: int) -> Page:
    """A page of the turns behind `after`, from the store. On the dispatcher's thread."""
    return _page(oms.store, oms.publisher.instruments, after, oms.store.records(after))


def _page(
    store: Store, known: Mapping[str, Instrument], after: int, records: Iterable[JournalRecord]
) -> Page:
    turns: list[tuple[int, bytes]] = []
    size = 0
    for each in _made(store, known, after, records):
        turns.append(each)
        size += len(each[1])
        if len(turns) == PAGE or size >= PAGE_BYTES:
            return Page(turns, more=True)
    return Page(turns, more=False)


def _made(
    store: Store, known: Mapping[str, Instrument], after: int, records: Iterable[JournalRecord]
) -> Iterator[tuple[int, bytes]]:
    for record in records:
        reports = store.reports_of_turn(record.last_seq)
        trades: list[MarketEvent] = [
            in_units(each, known.get(each.symbol))._replace(number=number)
            for number, each in enumerate(told_of(reports), 1)
        ]
        yield (
            record.last_seq,
            encode(
                TurnEntry(
                    record.last_seq,
                    after,
                    record.wall_ns,
                    False,
                    msgspec.Raw(encode(reports)),
                    events_told(trades),
                    [],
                    None,
                )
            ),
        )
        after = record.last_seq
