"""Turns: what the engine told, as entries; told as it happens, or made again from the journal.

Flow:  dispatcher -> PublishedTurn -> [turns] -> entry of the stream `evt`
       store -> [turns] -> the same, where a process died between the commit and the telling
"""

from collections.abc import Iterator
from itertools import islice

import msgspec

from oms.instruments import Instrument
from oms.manager import OrderManagement
from oms.market_data import MarketEvent, in_units
from oms.stores import JournalRecord
from oms.transport.wire import TurnEntry, encode, events_told
from oms.turn.publisher import PublishedTurn
from oms.turn.tape import told_of


def entry_of(
    turn: PublishedTurn, after: int, instruments: list[Instrument] | None, published_ns: int
) -> bytes:
    """instruments: what is traded from this turn on, if that changed."""
    return encode(
        TurnEntry(
            turn.seq, after, turn.wall_ns, True, msgspec.Raw(encode(turn.reports)),
            events_told(turn.events), turn.users, instruments, published_ns,
        )
    )  # fmt: skip


def made_again(oms: OrderManagement, after: int, most: int) -> list[tuple[int, bytes]]:
    """Sequence and entry of up to `most` turns behind `after`, from the store. On the dispatcher's
    thread."""
    return list(_made(oms, after, islice(oms.store.records(after), most)))


def _made(
    oms: OrderManagement, after: int, records: Iterator[JournalRecord]
) -> Iterator[tuple[int, bytes]]:
    known = oms.publisher.instruments
    for record in records:
        reports = oms.store.reports_of_turn(record.last_seq)
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
