"""`ledger`, `digest`, `verify`, `rebuild`, `replay`: the journal, read with or without a daemon.

They only read: they write nothing into the data directory, take no lock, and work on a copy
too; `rebuild` alone writes: all that follows from the journal, under the lock. A difference
gives exit code 1; a broken journal is reported with its sequence.
"""

import argparse
import json
import re
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from oms.commands import (
    EXIT_FAILED,
    EXIT_OK,
    AddCommand,
    Place,
    folded,
    looking,
    say,
    venue_of,
    whole_number,
)
from oms.commands.exporting import time_text
from oms.desk.snapshot import joined
from oms.errors import JournalError
from oms.exchange.accounts import HOUSE, IN_FLIGHT, OUTSIDE, Ledger, Posting
from oms.money import to_text
from oms.reports import Report
from oms.simulation.report import DEPTH_SHOWN, depth_lines
from oms.stores import JournalRecord, Snapshot
from oms.stores.high_water import HighWater, JournalEnd, Mark, shortfall
from oms.stores.sql_store import SqlStore
from oms.turn.journal import Fold, differences, state_mistakes, upgraded
from oms.venues import EmbeddedVenue, Venue

DIFFERENCES_SHOWN = 20
WAITING_SHOWN = 10

DIGEST = """\
Prints a fingerprint (SHA-256) of everything the journal says is so: open orders, what waits,
the books in priority order. Two data directories with the same digest are in the same
state. It is made twice, from the latest snapshot and from the whole journal; both must
agree, or the exit code is 1."""
VERIFY = """\
Plays the whole journal again, from its first entry, and compares every report, every
client order id, position, balance, instrument and snapshot that was stored with what it
gives now. Then looks at the state it ends in: do the accounts hold what was paid in, is what
open orders need reserved, does no bid meet an ask while a market trades; and does the journal
reach as far as the high-water file says. Prints "verified", or each difference (exit code 1).
Reads about 100,000 entries a second."""
REBUILD = """\
Makes everything that is stored beside the journal anew from it: client order ids, reports,
positions, balances, instruments, the views; snapshots are dropped. For a database in which
`verify` found differences, or that a start refuses because rows are missing. One transaction: if it
fails, nothing has changed. No daemon may run. Then verifies what it made."""
REPLAY = """\
Shows the state as it was right after one journal sequence: session, link, what waited,
open orders, the depth of each book. `export` shows which sequence is what."""
SCALE_UNKNOWN = 8  # of an asset that is no longer configured
LEDGER = """\
Lists what every account has: available, reserved for open orders, in total. With ACCOUNT,
each of its movements too, from the journal: at which sequence, how much, with whom, why; and
whether all movements of all accounts add up to what they have (exit code 1 if not). Every
movement is entered twice, with opposite signs: "outside" is where deposits come from,
"trades" what fills go through."""


def add_to(add: AddCommand) -> None:
    option = add(
        "ledger",
        looking(ledger),
        "list the balances of accounts, and every movement of one",
        LEDGER,
    )
    option("account", metavar="ACCOUNT", nargs="?", default="")
    option("--json", action="store_true", help="as one JSON object; amounts are text")

    add("digest", looking(digest), "print a fingerprint of the state", DIGEST)
    add("verify", verify, "replay the journal and compare every stored report", VERIFY)
    add("rebuild", rebuild, "rebuild all tables from the journal", REBUILD)
    option = add("replay", looking(replay), "show the state after one journal sequence", REPLAY)
    option(
        "--upto", metavar="SEQ", type=whole_number(1), required=True,
        help="the last journal sequence to take",
    )  # fmt: skip


# --- digest ---


def digest(_args: argparse.Namespace, store: SqlStore) -> int:
    quick = folded(store)
    # A daemon may have gone on meanwhile: the second fold stops where the first did.
    full = folded(store, use_snapshot=False, upto_seq=quick.last_seq)
    print(f"last seq       {full.last_seq}")
    print(f"digest         {full.digest()}")
    made = quick.digest() if quick.snapshot_seq else "none: no sound snapshot is stored"
    print(f"from snapshot  {made}")
    counts, tally = store.counts(full.last_seq), full.tally
    if tally is not None and counts != (tally.ids, tally.reports):
        say(f"{tally.ids} client order ids and {tally.reports} reports were stored, found {counts}")
        return EXIT_FAILED
    if (quick.last_seq, quick.digest()) == (full.last_seq, full.digest()):
        return EXIT_OK
    say("the snapshot and the journal disagree; the journal is right")
    return EXIT_FAILED


# --- verify ---


class ExaminedFold(Fold):
    """Counts what it folds; compares each stored snapshot with the state, where it comes by it."""

    def __init__(
        self, venue: Venue | EmbeddedVenue, snapshots: list[Snapshot], mark: Mark | None
    ) -> None:
        self._mark = mark
        self._marked: int | None = None  # the checksum where the mark is
        super().__init__(venue)
        self.entries = self.reports = 0
        self._left = {snapshot.seq: snapshot for snapshot in snapshots}
        self._found: list[str] = []

    def apply(self, record: JournalRecord, upto_seq: int | None = None) -> list[Report]:
        reports = super().apply(record, upto_seq)
        self.entries += record.last_seq - record.first_seq
        self.reports += len(reports)
        return reports

    def advance(self, record: JournalRecord) -> None:
        super().advance(record)
        if self._mark is not None and record.last_seq == self._mark.seq:
            self._marked = record.checksum
        snapshot = self._left.pop(record.last_seq, None)
        if snapshot is None:
            return
        try:
            same = joined(snapshot.parts, snapshot.last) == json.loads(json.dumps(self.state()))
        except (ValueError, LookupError):
            same = False
        if not same:
            self._found.append(f"snapshot {snapshot.seq}: not what the journal gives")

    def missing(self) -> list[str]:
        """After the fold: what the journal lacks, by the high-water file."""
        text = shortfall(self._mark, JournalEnd(self.last_seq, self.checksum, self._marked))
        return [text] if text else []

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
    last_seq: int

    @property
    def holds(self) -> bool:
        return not self.differences and not self.broken

    @property
    def text(self) -> str:
        what = f"{self.entries:,} journal entries, {self.reports:,} reports"
        what += f", {self.snapshots} snapshots and the final state"
        if self.broken:
            return f"NOT verified: {self.broken}"
        if self.differences:
            return f"NOT verified: {self.differences:,} differences in {what}"
        return f"verified: {what}"


def examine(place: Place) -> Verdict:
    """Refold the whole journal; compare each report and snapshot; look at the state it gives."""
    found: list[str] = []
    count, broken, mark = 0, "", None
    try:
        if place.is_file:
            mark = HighWater(place.database).read()  # first: a daemon may go on meanwhile
    except JournalError as error:
        found, count = [str(error)], 1
    with place.at_one_instant() as store:
        snapshots = store.snapshots()
        fold = ExaminedFold(venue_of(store), snapshots, mark)
        try:
            for line in _mistakes(store, fold):
                count += 1
                if count <= DIFFERENCES_SHOWN:
                    found.append(line)
        except JournalError as error:
            broken = str(error)
        return Verdict(
            fold.entries, fold.reports, len(snapshots), count, found, broken, fold.last_seq
        )


def _mistakes(store: SqlStore, fold: ExaminedFold) -> Iterator[str]:
    damage = store.damage()
    if damage:
        yield f"{store}: damaged: {damage}"
    yield from differences(store, fold)
    yield from fold.missing()
    yield from fold.snapshot_mistakes()
    yield from state_mistakes(fold)


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


# --- rebuild ---


def rebuild(_args: argparse.Namespace, place: Place) -> int:
    """Make all tables but the journal anew; 1 if something still differs."""
    place.require_database()
    store = place.writer()
    with place.locked(), closing(store):
        store.open()
        if store.outdated:  # that only adds what it lacks
            store.upgrade(upgraded(store, venue_of(store)))
        store.upgrade(upgraded(store, venue_of(store)))
    return verify(_args, place)


# --- replay ---


def replay(args: argparse.Namespace, store: SqlStore) -> int:
    fold = folded(store, upto_seq=args.upto)
    record = store.record_of(args.upto)
    if record is None:
        print(f"the journal ends at sequence {fold.last_seq}: this is its latest state")
    elif record.last_seq > args.upto:
        print(inside(record, args.upto))
    print("\n".join(state_lines(fold, fold.last_seq if record is None else args.upto)))
    return EXIT_OK


def inside(record: JournalRecord, seq: int) -> str:
    """What is shown where a sequence is not the last of its turn."""
    entries = f"entries {record.first_seq} to {record.last_seq - 1}, committed together"
    left = f"{seq + 1} to {record.last_seq - 1}"
    of_it = (
        f"without {left}, which came after it" if seq + 1 < record.last_seq else "with all of it"
    )
    return (
        f"this is inside turn {record.last_seq} ({entries}): the state right after entry {seq} "
        f"took effect, {of_it}; no client was told anything of the turn yet"
    )


def state_lines(fold: Fold, seq: int) -> list[str]:
    """A desk as it was at this sequence, for a person. A digest is of a state between turns."""
    desk = fold.desk
    waiting = desk.queue.waiting()
    first = ", ".join(str(request.request_seq) for request in waiting[:WAITING_SHOWN])
    more = ", ..." if len(waiting) > WAITING_SHOWN else ""
    at = time_text(fold.instant.wall_ns)
    table = {
        "sequence": str(seq),
        "last turn": f"{fold.last_seq}, committed at {at}" if fold.last_seq else "none",
        "session": f"{'open' if desk.is_open else 'closed'}, trading date "
        f"{desk.trading_date or 'none'}",
        "link": "up" if desk.link_up else "down",
        "waiting": f"{len(waiting):,}" + (f": requests {first}{more}" if waiting else ""),
        "open orders": f"{len(desk.executions.orders):,}",
        "digest": fold.digest() if seq == fold.last_seq else "none inside a turn",
    }
    lines = [f"{name:<12} {value}" for name, value in table.items()]
    for symbol, instrument in desk.instruments.items():
        depth = fold.venue.get_depth(symbol, DEPTH_SHOWN)
        lines += ["", *depth_lines(instrument, depth)]
    return lines


# --- ledger ---


class PostingFold(Fold):
    """A fold whose ledger keeps its postings."""

    def reset(self) -> None:
        super().reset()
        self.desk.ledger.postings = []


@dataclass(slots=True)
class Statement:
    """What one refold gives: an account's postings, and the sums of all of them."""

    ledger: Ledger
    postings: list[Posting] = field(default_factory=list)
    sums: dict[tuple[str, str], int] = field(default_factory=dict)
    turnover: dict[str, list[int]] = field(default_factory=dict)  # debits, credits of an asset

    def add(self, posting: Posting, account: str) -> None:
        key = (posting.account, posting.asset)
        self.sums[key] = self.sums.get(key, 0) + posting.amount
        self.turnover.setdefault(posting.asset, [0, 0])[posting.amount > 0] += abs(posting.amount)
        if posting.account == account:
            self.postings.append(posting)

    def mistakes(self) -> Iterator[str]:
        """Where debits, credits, balances and deposits do not say the same."""
        for asset, (debits, credits) in self.turnover.items():
            if debits != credits:
                yield f"{asset}: debits {debits}, credits {credits}"
            came, paid_in = -self.sums.get((OUTSIDE, asset), 0), self.ledger.paid_in.get(asset, 0)
            carried, in_flight = self.ledger.carried.get(asset, 0), self.ledger.in_flight(asset)
            if came != paid_in + carried:
                yield f"{asset}: {came} came from outside, paid in {paid_in}, carried {carried}"
            posted = self.sums.get((IN_FLIGHT, asset), 0)
            if posted != in_flight:
                yield f"{asset}: in flight {in_flight}, postings {posted}"
        for account, balances in self.ledger.accounts.items():
            for asset, balance in balances.items():
                posted = self.sums.get((account, asset), 0)
                if posted != sum(balance):
                    yield f"{account} {asset}: postings {posted}, balance {sum(balance)}"

    def text(self, asset: str, amount: int) -> str:
        return to_text(amount, self.ledger.scales.get(asset, SCALE_UNKNOWN))


def ledger(args: argparse.Namespace, store: SqlStore) -> int:
    """Print the balances; 1 if the account is not there, or something does not add up."""
    fold = PostingFold(venue_of(store))
    statement = Statement(fold.desk.ledger)
    for _ in fold.recover(store, use_snapshot=False):
        statement.ledger = fold.desk.ledger
        for posting in statement.ledger.postings or ():
            statement.add(posting, args.account)
        statement.ledger.postings = []
    if args.account and args.account not in statement.ledger.accounts:
        say(f"{args.account}: no such account")
        return EXIT_FAILED
    mistakes = list(statement.mistakes())
    if args.json:
        print(json.dumps(_as_json(statement, args.account, mistakes)))
    else:
        print("\n".join(_lines(statement, args.account, mistakes)))
    return EXIT_FAILED if mistakes else EXIT_OK


def _shown(statement: Statement, account: str) -> Iterator[tuple[str, str, list[int]]]:
    """Account, asset and balance: of one account, or of all, by name; the exchange's own last."""
    accounts = [account] if account else sorted(statement.ledger.accounts, key=_house_last)
    for name in accounts:
        for asset, balance in sorted(statement.ledger.accounts[name].items()):
            yield name, asset, balance


def _beside(ledger: Ledger) -> dict[str, dict[str, int]]:
    """What no account has, by asset: deposits less withdrawals, and of transfers between groups."""
    assets = sorted({sent.asset for sent in ledger.transfers.values()})
    in_flight = {asset: ledger.in_flight(asset) for asset in assets}
    return {"paid in": ledger.paid_in, "in flight": in_flight, "other groups": ledger.carried}


def _house_last(account: str) -> tuple[bool, list[tuple[bool, int, str]]]:
    """user-10 comes after user-9."""
    parts = re.findall("[0-9]+|[^0-9]+", account)
    return account in HOUSE, [(p.isdigit(), int(p) if p.isdigit() else 0, p) for p in parts]


def _lines(statement: Statement, account: str, mistakes: list[str]) -> Iterator[str]:
    if account:
        yield f"{'sequence':>10}  {'asset':<8}{'amount':>26}  {'with':<16} why"
        for each in statement.postings:
            amount = statement.text(each.asset, each.amount)
            signed = amount if each.amount < 0 else f"+{amount}"
            yield f"{each.seq:>10}  {each.asset:<8}{signed:>26}  {each.contra:<16} {each.why}"
        yield ""
    columns = "".join(f"{name:>26}" for name in ("available", "reserved", "total"))
    yield f"{'account':<16} {'asset':<8}{columns}"
    for name, asset, balance in _shown(statement, account):
        amounts = (statement.text(asset, amount) for amount in (*balance, sum(balance)))
        yield f"{name:<16} {asset:<8}" + "".join(f"{amount:>26}" for amount in amounts)
    for name, beside in _beside(statement.ledger).items() if not account else ():
        for asset, units in sorted(beside.items()):
            yield f"{f'({name})':<16} {asset:<8}{'':>52}{statement.text(asset, units):>26}"
    yield ""
    for asset, (debits, credits) in sorted(statement.turnover.items()):
        if not account or any(each.asset == asset for each in statement.postings):
            both = f"debits {statement.text(asset, debits)}, credits "
            yield f"{asset}, all accounts: {both}{statement.text(asset, credits)}"
    yield from (f"does not add up: {mistake}" for mistake in mistakes)
    if not mistakes:
        yield "adds up: every movement was entered twice, and gives the balances"


def _as_json(statement: Statement, account: str, mistakes: list[str]) -> dict[str, Any]:
    text = statement.text
    found: dict[str, Any] = {
        "balances": [
            {
                "account": name, "asset": asset, "available": text(asset, balance[0]),
                "reserved": text(asset, balance[1]), "total": text(asset, sum(balance)),
            }
            for name, asset, balance in _shown(statement, account)
        ],
        **{
            name.replace(" ", "_"): {a: text(a, amount) for a, amount in sorted(amounts.items())}
            for name, amounts in _beside(statement.ledger).items()
        },
        "adds_up": not mistakes,
        "mistakes": mistakes,
    }  # fmt: skip
    if account:
        found["postings"] = [
            {**each._asdict(), "amount": text(each.asset, each.amount)}
            for each in statement.postings
        ]
    return found
