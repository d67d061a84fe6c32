"""`backup`, `restore`, `archive`: copies of the database, and what is moved out of it.

Owner: MainThread. Each makes what is new aside, checks it, syncs it and renames it: a kill at any
instant leaves what was there before, or what is there afterwards, or a directory that a start
refuses and the same command completes.
"""

import argparse
import os
import shutil
from collections import Counter
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

from oms.clock import utc_text
from oms.commands import EXIT_FAILED, EXIT_OK, AddCommand, Place, folded, instant, say
from oms.commands.offline import Verdict, examine
from oms.commands.reach import meanwhile
from oms.config import CONFIG_PATH
from oms.errors import DataInUseError, JournalError, StoreError
from oms.requests import codec
from oms.stores.archiving import archive as archive_until
from oms.stores.archiving import last_turn_before, shrink
from oms.stores.high_water import HighWater, Mark
from oms.stores.lock import DataLock
from oms.stores.private import keep_private
from oms.stores.sqlite import PersistentStorage, sync_directory

BACKUP = """\
Copies the database, with its archives, into the new directory DIR, as of one instant, while the
daemon runs or not. The copy is verified as `verify` does before it gets its name. It is a data
directory, with the config.ini if there is one: `run --data-dir DIR` continues from it."""
RESTORE = """\
Replaces the database with a copy that `backup` made. No daemon may run. The copy is verified
first. Entries made since the backup are lost: the command names them and journals the loss; no
sequence, order id or execution id is given out twice. The replaced database is kept beside it,
under another name. If the command is killed, a start is refused until it is run again."""
ARCHIVE = """\
Moves old data into a file beside the database: the journal before an instant, and the reports
of orders that had ended by then. No daemon may run. Client order ids stay in the database, so a
repeat is still recognised. All commands read the archive as part of the database; a start
without it is refused. Neither a start nor the database grows with what was archived."""
LINES = {
    codec.NEW: "new orders", codec.MODIFY: "modifies", codec.CANCEL: "cancels",
    codec.FUNDS: "requests about funds", codec.MASS_CANCEL: "mass cancels",
    codec.OPERATOR: "operators' actions", codec.TRADE_CHANGE: "busts and corrections",
    codec.MARKET: "changes of markets", codec.ANSWER: "requests refused or repeated",
    codec.VENUE: "reports of the venue",
}  # fmt: skip


def add_to(add: AddCommand) -> None:
    option = add("backup", backup, "make a verified copy of the database", BACKUP)
    option("to", metavar="DIR", type=Path, help="a directory that does not exist yet")
    option = add("restore", restore, "replace the database with a backup", RESTORE)
    option("source", metavar="DIR", type=Path, help="a directory that `backup` made")
    option = add("archive", archive, "move old data into a file beside the database", ARCHIVE)
    option(
        "--before", metavar="TIME", type=instant, required=True,
        help="archive entries stamped before TIME, such as 2026-01-01; UTC without a zone",
    )  # fmt: skip


# --- backup ---


def backup(args: argparse.Namespace, place: Place) -> int:
    """Copy, verify, rename; 1 if the copy does not verify."""
    to = args.to.absolute()
    if to.exists():
        raise StoreError(f"{to}: expected a directory that does not exist yet")
    copy = place._replace(directory=to.with_name(f"{to.name}.new"))
    with closing(place.open_file("backup")) as store:
        copy.directory.mkdir(parents=True, exist_ok=True)
        for left in copy.directory.glob(f"{place.database.stem}*"):  # of one that was killed
            left.unlink()
        try:
            _copy_all(place, store, copy)
        except (StoreError, OSError):  # a full disk: what was copied would keep it full
            shutil.rmtree(copy.directory, ignore_errors=True)
            raise
    verdict = examine(copy)
    if not verdict.holds:
        _tell(verdict)
        say(f"{copy.directory}: the copy does not verify, and so no backup")
        return EXIT_FAILED
    copy.directory.replace(to)
    sync_directory(to.parent)
    print(f"{to}: backup up to journal sequence {verdict.last_seq}, {verdict.text}")
    return EXIT_OK


def _copy_all(place: Place, store: PersistentStorage, copy: Place) -> None:
    store.copy_to(copy.database)
    for row in store.archives:
        _copy_file(place.database.resolve().with_name(row.name), copy.directory / row.name)
    settings = place.directory / CONFIG_PATH.name
    if settings.exists():
        _copy_file(settings, copy.directory / settings.name)
    sync_directory(copy.directory)


def _tell(verdict: Verdict) -> None:
    for line in (*verdict.found, verdict.text):
        print(line)


def _copy_file(source: Path, target: Path) -> None:
    """Whole and synced, or not there; its owner's alone."""
    new = target.with_name(f"{target.name}.new")
    keep_private(new, "", create=True)
    shutil.copyfile(source, new)
    with new.open("rb+") as file:
        os.fsync(file.fileno())
    new.replace(target)


# --- restore ---


class Lost(NamedTuple):
    """What a directory had come to after the copy that takes its place: entries after `after_seq`
    up to `upto_seq`; lines for a person."""

    after_seq: int
    upto_seq: int
    lines: list[str]


def restore(args: argparse.Namespace, place: Place) -> int:
    """Verify, name what is lost, put in place, and start once, so that the loss is journaled."""
    source = place._replace(directory=args.source.absolute())
    source.require_file("restore")
    if source.database.resolve() == place.database.resolve():
        raise StoreError(f"{source.directory}: expected another directory than the one to restore")
    place.directory.mkdir(parents=True, exist_ok=True)
    with _lock(place, "restore"):
        verdict = examine(source)
        if not verdict.holds:
            _tell(verdict)
            say(f"{source.directory}: does not verify, and so is not put in place")
            return EXIT_FAILED
        with closing(source.open_file("restore")) as store:
            lost = _what_is_lost(place, store, verdict.last_seq)
            for line in lost.lines:
                print(line)
            _put_in_place(place, store, lost)
    code = meanwhile(place._replace(accept_loss=verdict.last_seq), lambda _: True)
    if code == EXIT_OK:
        print(f"{place.database}: restored, up to journal sequence {verdict.last_seq}")
    return code


def _what_is_lost(place: Place, store: PersistentStorage, ended_seq: int) -> Lost:
    """By the high-water file, and by the database that is there as far as it can be read."""
    mark, said = _mark_of(place)
    upto_seq, counts, span, same = mark.seq if mark else 0, Counter[str](), [0, 0], 0
    read_seq = 0
    try:
        if place.database.exists():
            with closing(place.open_file("restore")) as there:
                same = _common(there, store, ended_seq)
                for record in there.records(same):
                    read_seq = record.last_seq
                    upto_seq = max(upto_seq, read_seq)
                    span = [span[0] or record.wall_ns, record.wall_ns]
                    lines = codec.decode_all(record.body, record.first_seq)
                    counts.update(LINES[line[0]] for line in lines if line[0] in LINES)
    except StoreError as error:
        said.append(f"the database that is there cannot be read: {error}")
    if same == 0 and counts and ended_seq:
        said.append("the copy is of another journal, which has nothing in common with this one")
    if upto_seq <= ended_seq and not counts:
        return Lost(ended_seq, upto_seq, ["nothing is lost", *said])
    unknown = "what they were is not known" if read_seq < upto_seq else "no request"
    what = ", ".join(f"{count:,} {name}" for name, count in counts.most_common()) or unknown
    when = f", {utc_text(span[0])} to {utc_text(span[1])}" if span[0] else ""
    head = f"lost: journal sequences {min(same or ended_seq, ended_seq) + 1} to {upto_seq}{when}"
    return Lost(ended_seq, upto_seq, [f"{head}: {what}", *said])


def _mark_of(place: Place) -> tuple[Mark | None, list[str]]:
    try:
        return HighWater(place.database).read(), []
    except JournalError as error:
        return None, [str(error)]


def _common(there: PersistentStorage, store: PersistentStorage, ended_seq: int) -> int:
    """The last turn that both journals have: chained checksums differ from where they part."""
    ends = there.record_of(ended_seq), store.record_of(ended_seq)
    if ends[0] is not None and ends[1] is not None and ends[0].checksum == ends[1].checksum:
        return ended_seq
    common = 0
    for record in there.records():
        other = store.record_of(record.last_seq)
        if other is None or other.checksum != record.checksum:
            break
        common = record.last_seq
    return common


def _put_in_place(place: Place, store: PersistentStorage, lost: Lost) -> None:
    """The copy beside, then the old files aside, then the copy under its name.

    Killed in between, there is no database, or one without its log: a start is refused, for the
    high-water file says how far it had come.
    """
    database = place.database.resolve()
    new = database.with_name(f"{database.name}.new")
    store.copy_to(new)
    for row in store.archives:
        target = database.with_name(row.name)
        if not target.exists():
            _copy_file(store.path.resolve().with_name(row.name), target)
    HighWater(place.database).promise(lost.upto_seq)
    old = database.with_name(f"{database.name}.replaced-{max(lost.upto_seq, lost.after_seq)}")
    for suffix in ("-wal", ""):  # the log first: with another database it would be applied to that
        there = database.with_name(f"{database.name}{suffix}")
        if there.exists():
            there.replace(old.with_name(f"{old.name}{suffix}"))
    database.with_name(f"{database.name}-shm").unlink(missing_ok=True)
    new.replace(database)
    sync_directory(database.parent)
    if old.exists():
        print(f"what was there is kept as {old.name}")


# --- archive ---


def archive(args: argparse.Namespace, place: Place) -> int:
    """Move what is over; 1 if there is nothing to move."""
    place.require_file(
        "archive",
        "the journal stays whole there; `db-partitions` takes old dates out of a projection",
    )
    store = PersistentStorage(place.database, durability=place.config.store.durability)
    with _lock(place, "archive"), closing(store):
        store.open()
        if store.outdated:
            raise StoreError(f"{place.database}: written by an older program; `migrate` first")
        fold = folded(store)
        if fold.tally is not None and store.inspect() != (fold.tally.ids, fold.tally.reports):
            raise StoreError(f"{place.database}: rows are missing; `rebuild` first, then `verify`")
        cut_seq = last_turn_before(store, args.before)
        if not cut_seq:
            say(_nothing(store, args.before))
            return EXIT_FAILED
        in_flight = [sent.seq for sent in fold.desk.ledger.transfers.values()]
        row = archive_until(store, cut_seq, [*fold.desk.executions.orders, *in_flight])
        print(
            f"{row.name}: the journal up to sequence {row.last_seq} and {row.reports:,} reports; "
            f"{len(fold.desk.executions.orders):,} orders are open and stay"
        )
        shrink(store)
    return EXIT_OK


def _nothing(store: PersistentStorage, before_ns: int) -> str:
    newest = max((snapshot.seq for snapshot in store.snapshots()), default=0)
    return (
        f"nothing to archive: no turn before {utc_text(before_ns)} that the latest snapshot, of "
        f"sequence {newest}, knows and that is not archived yet; a stop makes a snapshot"
    )


def _lock(place: Place, command: str) -> DataLock:
    try:
        return DataLock(place.database)
    except DataInUseError as error:
        raise DataInUseError(f"{error}; {command} works while no order manager runs") from None
