"""Stores: where the journal and the reports are kept. SQLite for keeps, memory for tests."""

import zlib
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import NamedTuple, Protocol

from oms.clock import Instant
from oms.errors import JournalError
from oms.instruments import Instrument
from oms.positions import CHANGES, Changes, Scales, Standing, TradeRow, standing
from oms.reports import EXEC_TYPES, TRADE, Report, execution_id_of
from oms.requests.codec import FUNDS, LOSS, Line, comes_to, decode_all

Claim = tuple[int, str, str, str, str, str, int]
"""A row of `orders`: sequence, account, client order id; symbol and side; what else the order
is, as JSON, "" for a plain limit order; a hash of the request's content."""

SLICE_BYTES = 4_096  # zlib lets other threads run during more than 5 KB
CONTENT_UNKNOWN = 0  # of requests that were refused before contents were kept
LOOKED_AT_MAX = 100_000  # reports, to find those after some point: a tenth of a second or two


class JournalRecord(NamedTuple):
    """One dispatcher turn: the entries it took, and how many waiting requests it sent.

    Entries are numbered first_seq, first_seq + 1, ...; the turn itself is last_seq. body is
    one entry a line. checksum covers the record and the checksum before it, so a changed,
    missing or moved record shows. wall_ns, clock_ns, elapsed_ns: see Instant; clock_ns is None
    where the clock was not behind the stamp, elapsed_ns where an older program wrote the record.
    tally: of the tables beside the journal, see tally.py; None where an older program wrote it.
    """

    first_seq: int
    last_seq: int
    wall_ns: int
    released: int
    body: str
    checksum: int
    elapsed_ns: int | None = None
    clock_ns: int | None = None
    tally: str | None = None

    @property
    def instant(self) -> Instant:
        """When the turn was; of an older record the stamp says all that is known."""
        wall_ns, clock_ns, elapsed_ns = self.wall_ns, self.clock_ns, self.elapsed_ns
        return Instant(
            wall_ns,
            wall_ns if clock_ns is None else clock_ns,
            wall_ns if elapsed_ns is None else elapsed_ns,
        )

    def expected_checksum(self, before: int) -> int:
        return checksum(before, *self[:5], self.elapsed_ns, self.clock_ns, self.tally)


class StoredTrade(NamedTuple):
    """One trade as it stands. report_id: of the side that names it, see turn/tape.py.

    lots: 0 if it was taken back. changed: it is other than was told first.
    """

    report_id: int
    wall_ns: int
    price_ticks: int
    lots: int
    changed: bool = False


def line_in(record: JournalRecord | None, seq: int) -> Line:
    """The line numbered `seq` of its record; JournalError if there is none."""
    if record is None or not record.first_seq <= seq < record.last_seq:
        raise JournalError(f"journal sequence {seq}: missing, though something refers to it")
    line = record.body.split("\n")[seq - record.first_seq]  # no entry holds a line break
    return tuple(decode_all(line, seq)[0])


def checksum(
    before: int,
    first_seq: int,
    last_seq: int,
    wall_ns: int,
    released: int,
    body: str,
    elapsed_ns: int | None = None,
    clock_ns: int | None = None,
    tally: str | None = None,
) -> int:
    """CRC-32 of the record, chained to the one before (0 for the first)."""
    text = f"{before}|{first_seq}|{last_seq}|{wall_ns}|{released}|{body}"
    if elapsed_ns is not None:
        text = f"{text}|{elapsed_ns}|{clock_ns}"
    if tally is not None:
        text = f"{text}|{tally}"
    return crc_of(text.encode())


def crc_of(content: bytes, crc: int = 0) -> int:
    """CRC-32 of the content behind what had `crc`.

    In slices: a thread that lets a busy one run gets the interpreter back 5 ms later.
    """
    for start in range(0, len(content), SLICE_BYTES):
        crc = zlib.crc32(content[start : start + SLICE_BYTES], crc)
    return crc


def checked(
    records: Iterable[JournalRecord], after_seq: int, before: int
) -> Iterator[JournalRecord]:
    """The same records, as long as they are whole; JournalError names the sequence if not."""
    numbered = iter(records)
    while True:
        try:
            record = next(numbered, None)
        except JournalError as error:
            raise JournalError(f"journal sequence {after_seq + 1}: {error}") from error
        if record is None:
            return
        if record.first_seq != after_seq + 1 and not _accepted(record, after_seq):
            raise JournalError(
                f"journal sequence {after_seq + 1}: missing; the next record starts at "
                f"{record.first_seq}"
            )
        if record.checksum != record.expected_checksum(before):
            raise JournalError(
                f"journal sequence {record.first_seq} to {record.last_seq}: the checksum does "
                "not match"
            )
        yield record
        after_seq, before = record.last_seq, record.checksum


def _accepted(record: JournalRecord, after_seq: int) -> bool:
    """A record that begins with the loss of all between the one before and itself."""
    if not str(record.body).startswith(f'["{LOSS}",'):
        return False
    line = decode_all(record.body.split("\n", 1)[0], record.first_seq)[0]
    return tuple(line[1:]) == (after_seq, record.first_seq - 1)


class Snapshot(NamedTuple):
    """State after journal entry seq: a cache, never the truth.

    checksum: of the journal record that ends at seq. last: its last part, behind a digest of all
    parts; parts: those before it, which were saved under parts_id. See desk/snapshot.py.
    """

    seq: int
    checksum: int
    last: str
    parts_id: int
    parts: tuple[str, ...] = ()


class Changed(NamedTuple):
    """One change of an order that was made: by a modify, whose line this is, or by the exchange
    itself (None), which says why. lots: its total quantity since."""

    line: Line | None
    text: str
    lots: int


class AskedOrder(NamedTuple):
    """What was asked of one order. line: of its request; an answer, if that was refused for its
    numbers. changes: oldest first."""

    claim: Claim
    line: Line
    changes: list[Changed]


class Moved(NamedTuple):
    """What moved an account's money: a fill, a bust or a correction of its order, or a request
    about funds, whose line this is. earlier: of a bust or correction, the order's reports before.
    """

    report: Report
    earlier: list[Report]
    line: Line | None


class MovedPage(NamedTuple):
    """Newest first. before: go on with reports before this one; 0: there are no more. There may be
    fewer than were asked for, and yet more of them: a look is bounded."""

    moved: list[Moved]
    before: int


class OrderIds(NamedTuple):
    """Order ids, newest first. before: go on with those before this one; 0: there are no more.
    There may be fewer than were asked for, and yet more of them: a look is bounded."""

    ids: list[int]
    before: int


class Noted(NamedTuple):
    """What a turn changed of what is kept for readers, beside reports.

    instruments: what is traded since; None: as before. balances: account, asset, the asset's scale,
    available and reserved units, of those that are other than before.
    """

    seq: int
    instruments: Mapping[str, Instrument] | None
    balances: list[tuple[str, str, int, int, int]]


Turn = tuple[list[Claim], list[Report], Noted]
"""What one turn of the journal gives: all that is stored beside it."""


class Store(Protocol):
    """One transaction per dispatcher turn: begin, claim, append, commit.

    Used by one thread, but for `find_...`, which any thread may call.
    StoreBusyError and StoreFullError leave nothing behind; OutcomeUnknownError means that
    only a restart can tell.

    outdated: it was written by an older program; `upgrade` comes before all else.
    """

    outdated: bool

    def open(self) -> None:
        """Create, or get ready; raises StoreError when the place cannot be used."""
        ...

    def upgrade(self, turns: Iterable[Turn]) -> None:
        """Make all tables anew, from what each turn of the journal gives. How long things took is
        in no journal: that is taken over."""
        ...

    def begin(self) -> None: ...

    def hurry(self) -> None:
        """Wait for nobody's lock any longer: a stop is near. Called by any thread."""
        ...

    def claim(self, claims: Sequence[Claim]) -> bool:
        """Reserve each (account, client order id) for its sequence; False if any is taken."""
        ...

    def owner(self, account: str, client_order_id: str) -> tuple[int, int]:
        """The sequence that claimed an id first, and its content; (0, 0) if nobody did."""
        ...

    def used(self, names: Sequence[tuple[str, str]]) -> set[tuple[str, str]]:
        """Those of (account, client order id) that were claimed before."""
        ...

    def append(self, record: JournalRecord, reports: Sequence[Report]) -> None: ...

    def note(self, noted: Noted) -> None:
        """Of the same turn, after `append`."""
        ...

    def commit(self) -> None: ...
    def rollback(self) -> None: ...

    def probe(self) -> None:
        """Raise what a commit would raise now; changes nothing."""
        ...

    def records(self, after_seq: int = 0) -> Iterator[JournalRecord]:
        """The journal, in order, from the record that follows entry `after_seq`."""
        ...

    def record_of(self, seq: int) -> JournalRecord | None:
        """The record that holds one entry."""
        ...

    def line_of(self, seq: int) -> Line:
        """One line; JournalError if the journal does not have it."""
        ...

    def reports_of(self, order_id: int) -> list[Report]:
        """Every report of one order, oldest first."""
        ...

    def reports_of_turn(self, seq: int) -> list[Report]:
        """Every report of one turn, in order."""
        ...

    def reports_between(self, after_seq: int, last_seq: int) -> list[Report]:
        """Every report of the turns behind one and up to another, in order."""
        ...

    def told(self, seq: int) -> Report | None:
        """The latest answer to one request."""
        ...

    def find_reports(self, account: str, named: str | int) -> list[Report]:
        """Every durable report of an order, by any client order id it has had, or by its order
        id; from any thread."""
        ...

    def find_asked(self, order_ids: Sequence[int]) -> list[AskedOrder]:
        """What was asked of orders; durable; those left out that are none. From any thread."""
        ...

    def find_orders(
        self, account: str, symbol: str, side: str, before: int, limit: int
    ) -> OrderIds:
        """The latest orders of an account before order id `before`, also refused ones, of a symbol
        and a side ("": of all); durable; from any thread."""
        ...

    def find_commands(self, account: str, before: int, limit: int) -> list[int]:
        """The latest requests of an account before sequence `before` that are no new orders, newest
        first; durable; from any thread. For accounts that ask for thousands, not millions."""
        ...

    def at_one_instant(self) -> AbstractContextManager["Store"]:
        """All that is durable now, to be read from any thread while the block lasts."""
        ...

    def find_moved(self, account: str, before: int, limit: int) -> MovedPage:
        """What moved an account's money, before report id `before`; durable; from any thread."""
        ...

    def find_holdings(self, account: str) -> list[Standing]:
        """An account's positions, by symbol; durable; from any thread."""
        ...

    def find_trades(self, account: str, symbol: str, before: int, limit: int) -> list[TradeRow]:
        """The latest trades before report id `before`, newest first, of an account and a symbol
        ("": of all); durable; from any thread."""
        ...

    def find_lines(self, seqs: Sequence[int]) -> list[Line]:
        """Those lines of the journal; from any thread. Raises as `line_of`."""
        ...

    def find_after(
        self, after: int, before: int, *, account: str = "", symbol: str = ""
    ) -> list[Report] | None:
        """Durable reports with an id above `after` and below `before`, oldest first: all of an
        account, or of a symbol those of trades, busts and corrections; from any thread.

        None where that would be to look at more than LOOKED_AT_MAX reports, whosever they are, or
        into an archive: what is asked for lies too far back.
        """
        ...

    def last_told_seq(self) -> int:
        """The journal sequence of the latest report; 0 if there is none."""
        ...

    def all_reports(self) -> Iterator[Report]:
        """Every report, in journal order."""
        ...

    def executions(self, symbols: Collection[str], before: int) -> Iterator[Report]:
        """Reports of trades, busts and corrections of these symbols, newest first, from the one
        before report id `before` on."""
        ...

    def trades(self, symbol: str, start_ns: int, end_ns: int) -> Iterator[StoredTrade]:
        """Durable trades of a symbol with a stamp in [start_ns, end_ns), oldest first, as they
        stand; from any thread."""
        ...

    def changes(self, start_ns: int) -> Changes:
        """Busts and corrections of that time and later."""
        ...

    def scales(self) -> Scales:
        """Those of all that is or was listed, as of now."""
        ...

    def save_part(self, parts_id: int, number: int, part: str) -> None:
        """One part of a snapshot that is not complete yet."""
        ...

    def save_snapshot(self, snapshot: Snapshot) -> None:
        """The snapshot is complete with this; of those before it only the latest stays."""
        ...

    def drop_parts(self, under_way: int) -> bool:
        """Delete a few parts of no snapshot that is kept or under way; False if none is left."""
        ...

    def snapshots(self) -> list[Snapshot]:
        """Those that are kept, with their parts, oldest first."""
        ...

    def close(self) -> None: ...


COMMAND_DONE = "COMMAND_DONE"
EXECUTIONS = (TRADE, *CHANGES)  # types of what `executions` gives


def as_it_stands(trade: StoredTrade, changes: Changes) -> StoredTrade:
    """With the price and lots that busts and corrections gave it."""
    said = changes and changes.get(execution_id_of(trade.report_id))
    if not said:
        return trade
    ticks, lots, _ = standing((trade.price_ticks, trade.lots, 0), said)
    return trade._replace(price_ticks=ticks, lots=lots, changed=True)


def names_trade(report: Report) -> bool:
    """Of the two reports of a trade one names it: the taker's, in an auction the buyer's. At a
    remote venue, which tells one side, the taker's alone."""
    if report.type != TRADE:
        return False
    in_auction = report.liquidity not in ("MAKER", "TAKER") and report.match_number > 0
    return report.liquidity == "TAKER" or (in_auction and report.side == "BUY")


def asked_in(
    claim: Claim, line_of: Callable[[int], Line], told: Iterable[tuple[str, int, str, int]]
) -> AskedOrder:
    """told: code, request, text and total quantity of the order's reports that are REPLACED or
    RESTATED."""
    changes = [
        Changed(line_of(seq) if code[:1] == EXEC_TYPES["REPLACED"] else None, text, lots)
        for code, seq, text, lots in told
    ]
    return AskedOrder(claim, line_of(claim[0]), changes)


def moved_of(
    report: Report,
    account: str,
    reports_of: Callable[[int], list[Report]],
    line_of: Callable[[int], Line],
) -> Moved | None:
    """How a report moved an account's money; None if it did not. Of fills, busts, corrections and
    answers to requests about funds."""
    if report.type != COMMAND_DONE:
        earlier = reports_of(report.order_id) if report.type in CHANGES else []
        return Moved(report, [e for e in earlier if e.report_id < report.report_id], None)
    line = line_of(report.request_seq)
    is_mine = line[0] == FUNDS and comes_to(line, account) != 0
    return Moved(report, [], line) if is_mine else None


def is_of_trades(report: Report, symbol: str) -> bool:
    return report.type in EXECUTIONS and report.symbol == symbol


def answers_in(reports: Sequence[Report], seq: int) -> list[Report]:
    """Those that answer one request."""
    return [report for report in reports if report.request_seq == seq]
