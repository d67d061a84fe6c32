"""`digest`, `verify`, `replay`, `export`: the journal, read without a daemon or beside one.

All of them only look: they write nothing into the data directory, hold no lock, and work on
a copy. What they find is exit code 1; a journal that does not add up names the sequence.
"""

import argparse
import json
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from itertools import chain, islice
from typing import NamedTuple

from oms.clock import datetime_of
from oms.commands import (
    EXIT_FAILED,
    EXIT_OK,
    Command,
    Parsers,
    Place,
    fold_of,
    looking,
    say,
    venue_of,
    whole_number,
)
from oms.desk.entries import decode_all
from oms.errors import JournalError
from oms.flow.journal import Fold, differences, state_mistakes
from oms.reports import Row
from oms.simulation.report import depth_lines
from oms.stores import JournalRecord, Snapshot, Store, checked
from oms.stores.sqlite import PersistentStorage
from oms.venues import Venue

DIFFERENCES_SHOWN = 20
WAITING_SHOWN = 10
DEPTH_SHOWN = 5

DIGEST = """\
Prints a fingerprint (SHA-256) of everything the journal says is so: open orders, what waits,
the books in priority order. Two data directories with the same digest are in the same
state. It is made twice, from the latest snapshot and from the whole journal; both must
agree, or the exit code is 1."""
VERIFY = """\
Plays the whole journal again, from its first entry, and compares every report and every
snapshot that was stored with what it gives now. Then looks at the state it ends in: do the
accounts hold what was paid in, is set aside what open orders need, does no bid meet an ask
while a market trades. Prints "verified", or each difference (exit code 1). Reads about
100,000 entries a second."""
REPLAY = """\
Shows the state as it was right after one journal sequence: session, link, what waited,
open orders, the depth of each book. `export` shows which sequence is what."""
EXPORT = """\
Prints the journal as JSON lines: one for each entry (what moved the orders, in order), and
one for each turn of the dispatcher, with how many waiting requests it sent and its
checksum."""


def add_to(parsers: Parsers, common: argparse.ArgumentParser) -> None:
    def add(name: str, command: Command, brief: str, text: str) -> argparse.ArgumentParser:
        parser: argparse.ArgumentParser = parsers.add_parser(
            name, help=brief, description=text, parents=[common]
        )
        parser.set_defaults(command=command)
        return parser

    add("digest", looking(digest), "a fingerprint of the state", DIGEST)
    add("verify", verify, "do the stored reports follow from the journal?", VERIFY)
    parser = add("replay", looking(replay), "the state as it was at one point", REPLAY)
    parser.add_argument(
        "--upto",
        metavar="SEQ",
        type=whole_number(1),
        required=True,
        help="the last journal sequence to take",
    )
    parser = add("export", looking(export), "the journal as JSON lines", EXPORT)
    parser.add_argument(
        "--from",
        metavar="SEQ",
        dest="from_seq",
        type=whole_number(1),
        default=1,
        help="the first journal sequence to print (default: 1)",
    )


# --- digest ---


def digest(_args: argparse.Namespace, store: PersistentStorage) -> int:
    quick, full = fold_of(store), fold_of(store)
    _exhaust(quick.recover(store))
    # A daemon may have gone on meanwhile: the second fold stops where the first did.
    _exhaust(full.recover(store, use_snapshot=False, upto_seq=quick.last_seq))
    print(f"last seq       {full.last_seq}")
    print(f"digest         {full.digest()}")
    print(f"from snapshot  {quick.digest()}")
    if (quick.last_seq, quick.digest()) == (full.last_seq, full.digest()):
        return EXIT_OK
    say("the snapshot and the journal disagree; the journal is right")
    return EXIT_FAILED


def _exhaust(turns: Iterator[list[Row]]) -> None:
    for _ in turns:
        pass


# --- verify ---


class CountingStorage(PersistentStorage):
    """Counts what is read of it."""

    entries = 0
    reports = 0

    def records(self, after_seq: int = 0) -> Iterator[JournalRecord]:
        for record in super().records(after_seq):
            self.entries += record.last_seq - record.first_seq
            yield record

    def all_rows(self) -> Iterator[Row]:
        # The query starts here and now: it and the journal's then see the same moment.
        return self._counted(super().all_rows())

    def _counted(self, rows: Iterator[Row]) -> Iterator[Row]:
        for row in rows:
            self.reports += 1
            yield row


class SnapshotFold(Fold):
    """Compares each stored snapshot with the state, where the fold comes by it."""

    def __init__(self, venue: Venue, snapshots: list[Snapshot]) -> None:
        super().__init__(venue)
        self._left = {snapshot.seq: snapshot for snapshot in snapshots}
        self._found: list[str] = []

    def advance(self, record: JournalRecord) -> None:
        super().advance(record)
        snapshot = self._left.pop(record.last_seq, None)
        if snapshot is None or not self._of_our_form(snapshot):
            return
        if snapshot != self.snapshot():
            self._found.append(f"snapshot {snapshot.seq}: not what the journal gives")

    def _of_our_form(self, snapshot: Snapshot) -> bool:
        """Did a version with the same parts of the state write it? A start ignores others."""
        try:
            return set(json.loads(snapshot.body.partition("\n")[2])) == set(self.state())
        except ValueError:
            return True  # then it is broken, and is told so

    def snapshot_mistakes(self) -> list[str]:
        """After the fold."""
        missed = [f"snapshot {seq}: the journal has no turn that ends there" for seq in self._left]
        return self._found + missed


class Verdict(NamedTuple):
    """What `verify` found: the first of the differences; or why the journal cannot be read."""

    entries: int
    reports: int
    snapshots: int
    differences: int
    found: list[str]
    broken: str

    @property
    def holds(self) -> bool:
        return not self.differences and not self.broken

    @property
    def text(self) -> str:
        what = f"{self.entries:,} journal entries, {self.reports:,} reports"
        what += f", {self.snapshots} snapshots, the state they end in"
        if self.broken:
            return f"NOT verified: {self.broken}"
        if self.differences:
            return f"NOT verified: {self.differences:,} differences in {what}"
        return f"verified: {what}"


def examine(place: Place) -> Verdict:
    """Refold the whole journal; compare each report and snapshot; look at the state it gives."""
    found: list[str] = []
    count, broken = 0, ""
    with closing(place.open_store(CountingStorage)) as store:
        snapshots = store.snapshots()
        fold = SnapshotFold(venue_of(store), snapshots)
        store.entries = store.reports = 0
        try:
            lines = chain(
                differences(store, fold), _called(fold.snapshot_mistakes),
                _called(lambda: state_mistakes(fold)),
            )  # fmt: skip
            found += islice(lines, DIFFERENCES_SHOWN)
            count = len(found) + sum(1 for _ in lines)
        except JournalError as error:
            broken = str(error)
        return Verdict(store.entries, store.reports, len(snapshots), count, found, broken)


def _called(look: Callable[[], list[str]]) -> Iterator[str]:
    """What it finds, once what comes before it is done."""
    yield from look()


def verify(_args: argparse.Namespace, place: Place) -> int:
    verdict = examine(place)
    for line in verdict.found:
        print(line)
    if verdict.differences > len(verdict.found):
        print(f"... and {verdict.differences - len(verdict.found):,} more")
    if verdict.broken:
        say(verdict.broken)
        return EXIT_FAILED
    print(verdict.text)
    return EXIT_OK if verdict.holds else EXIT_FAILED


# --- replay ---


def replay(args: argparse.Namespace, store: PersistentStorage) -> int:
    fold = fold_of(store)
    _exhaust(fold.recover(store, upto_seq=args.upto))
    record = store.record_of(args.upto)
    if record is None:
        print(f"the journal ends at sequence {fold.last_seq}: this is its latest state")
    elif record.last_seq > args.upto:
        print(
            f"this is inside turn {record.last_seq}, which began with {record.first_seq}: it "
            "sends only after its last entry"
        )
    print("\n".join(state_lines(fold, fold.last_seq if record is None else args.upto)))
    return EXIT_OK


def state_lines(fold: Fold, seq: int) -> list[str]:
    """A desk as it was at this sequence, for a person."""
    desk = fold.desk
    waiting = desk.queue.waiting()
    first = ", ".join(str(request.request_seq) for request in waiting[:WAITING_SHOWN])
    more = ", ..." if len(waiting) > WAITING_SHOWN else ""
    table = {
        "sequence": str(seq),
        "last turn": f"{fold.last_seq}, at {_time(fold.wall_ns)}" if fold.last_seq else "none",
        "session": f"{'open' if desk.is_open else 'closed'}, trading date "
        f"{desk.trading_date or 'none'}",
        "link": "up" if desk.link_up else "down",
        "waiting": f"{len(waiting):,}" + (f": requests {first}{more}" if waiting else ""),
        "open orders": f"{len(desk.blotter.orders):,}",
        "digest": fold.digest(),
    }
    lines = [f"{name:<12} {value}" for name, value in table.items()]
    for symbol, instrument in desk.instruments.items():
        depth = fold.venue.get_depth(symbol, DEPTH_SHOWN)
        lines += ["", *depth_lines(instrument, depth)]
    return lines


# --- export ---


def export(args: argparse.Namespace, store: PersistentStorage) -> int:
    for line in export_lines(store, args.from_seq):
        sys.stdout.write(line)
    return EXIT_OK


def export_lines(store: Store, from_seq: int) -> Iterator[str]:
    """The journal from one sequence on, each record checked against the one before."""
    first = store.record_of(from_seq)
    if first is None:
        return
    before = store.record_of(first.first_seq - 1) if first.first_seq > 1 else None
    records = store.records(first.first_seq - 1)
    for record in checked(records, first.first_seq - 1, before.checksum if before else 0):
        wall = _time(record.wall_ns)
        for seq, entry in enumerate(decode_all(record.body, record.first_seq), record.first_seq):
            if seq >= from_seq:
                yield json.dumps({"seq": seq, "wall": wall, "entry": entry}) + "\n"
        turn = {
            "seq": record.last_seq, "wall": wall, "turn": True, "released": record.released,
            "checksum": record.checksum,
        }  # fmt: skip
        yield json.dumps(turn) + "\n"


def _time(wall_ns: int) -> str:
    return datetime_of(wall_ns).isoformat(timespec="microseconds").replace("+00:00", "Z")
