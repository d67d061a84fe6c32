"""The journal: a turn's entries become one record; records fold back into the same state.

Flow:  dispatcher turn -> [journal] -> store; store -> [journal] -> desk, at start and offline
The journal is the truth. Tables, snapshots and memory are folds of it.
"""

import logging
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from operator import attrgetter, itemgetter
from typing import TypeVar

from oms.clock import NEVER, Instant
from oms.desk import snapshot as desk_snapshot
from oms.desk.desk import Desk
from oms.enums import Phase, Side
from oms.errors import JournalError, StoppedError
from oms.exchange.accounts import bound_of
from oms.reports import MEASURED, ROW_COLUMNS, Report
from oms.requests.codec import FORMATS, LENGTHS, NEW, Line, decode_all, encode
from oms.requests.orders import SEQUENCE_MAX
from oms.stores import Claim, JournalRecord, Store, Turn, checked, checksum
from oms.stores.tally import Tally, rests_of, tally_of
from oms.turn.claims import claims_in
from oms.turn.notes import Expected, Notes
from oms.venues import EmbeddedVenue, Outbox, Venue

log = logging.getLogger(__name__)

# All columns of a report but how long things took, which a replay cannot know.
COMPARED_COLUMNS = tuple(name for name in ROW_COLUMNS if name not in MEASURED)
PLAIN_LENGTH = LENGTHS[NEW][0]
PLAIN_FORMAT = FORMATS[NEW, PLAIN_LENGTH]


class Fold:
    """A desk, and how far into the journal it is."""

    def __init__(self, venue: Venue | EmbeddedVenue) -> None:
        self.venue = venue
        self.last_seq = 0
        self.checksum = 0
        self.instant = NEVER
        self.reset()

    def reset(self) -> None:
        """Back to the state before the first entry."""
        self.venue.reset()
        self.outbox: Outbox | None = None
        if isinstance(self.venue, EmbeddedVenue):
            self.desk = Desk(None)
            self.venue.engine = self.desk.engine
        else:
            self.outbox = Outbox(self.venue) if self.venue.remote else None
            self.desk = Desk(self.outbox or self.venue)
        self.last_seq = self.checksum = 0
        self.tally: Tally | None = Tally()  # None after a record of an older program
        self.instant = NEVER
        self.snapshot_seq = 0  # of the snapshot it started from
        # How far the journal was read, and the checksum there: a snapshot is further at first.
        self.read: tuple[int, int] | None = None  # None: recover has not begun

    def apply(self, record: JournalRecord, upto_seq: int | None = None) -> list[Report]:
        """One record; its reports. `upto_seq` stops before what comes after that entry."""
        desk = self.desk
        decoded = decode_all(record.body, record.first_seq)
        if len(decoded) != record.last_seq - record.first_seq:
            raise JournalError(
                f"journal sequence {record.first_seq} to {record.last_seq}: "
                f"{len(decoded)} entries, expected {record.last_seq - record.first_seq}"
            )
        desk.begin(record.last_seq, record.instant, record.released)
        for seq, line in enumerate(decoded, record.first_seq):
            if upto_seq is not None and seq > upto_seq:
                return desk.reports.rows
            try:
                desk.enter(seq, line)
            except (KeyError, ValueError, TypeError, AssertionError) as error:
                raise JournalError(f"journal sequence {seq}: {line}: {error!r}") from error
        if not decoded:
            desk.send_waiting()
        if desk.left:
            raise JournalError(
                f"journal sequence {record.last_seq}: {record.released} requests sent, "
                f"{desk.released} waited"
            )
        desk.end()
        self.advance(record)
        return desk.reports.rows

    def advance(self, record: JournalRecord) -> None:
        """The record is in: what follows is chained to it."""
        self.last_seq = record.last_seq
        self.checksum = record.checksum
        self.instant = record.instant
        self.tally = tally_of(record.tally)

    def recover(
        self,
        store: Store,
        *,
        use_snapshot: bool = True,
        upto_seq: int | None = None,
        should_stop: Callable[[], bool] = lambda: False,
        note: Callable[[JournalRecord], object] = lambda _record: None,
    ) -> Iterator[list[Report]]:
        """Fold the store's journal; yields each record's reports. note: told each record, also
        of those before the snapshot.

        A snapshot saves the folding of what is before it, not the reading: all of the journal
        must be whole. Of an archived part only `verify` reads what a snapshot says.
        """
        self.reset()
        if use_snapshot:
            self._load_snapshot(store, upto_seq)
        begins = getattr(store, "begins", (0, 0))  # only a store with archives says
        self.read = begins if self.last_seq >= begins[0] else (0, 0)
        yield from self.follow(store, upto_seq=upto_seq, should_stop=should_stop, note=note)

    def follow(
        self,
        store: Store,
        *,
        upto_seq: int | None = None,
        should_stop: Callable[[], bool] = lambda: False,
        note: Callable[[JournalRecord], object] = lambda _record: None,
    ) -> Iterator[list[Report]]:
        """Go on with what is in the journal behind the record that was read last: after `recover`,
        which may have been left between two records."""
        assert self.read is not None, "recover comes first"
        for record in checked(store.records(self.read[0]), *self.read):
            if upto_seq is not None and record.first_seq > upto_seq:
                break
            if should_stop():
                raise StoppedError("stopped while the journal was read")
            note(record)
            self.read = record.last_seq, record.checksum
            if record.first_seq > self.last_seq:
                yield self.apply(record, upto_seq)
        if self.outbox is not None:
            self.outbox.clear()

    def was_read(self, store: Store) -> bool:
        """The journal still has the record that was read last: a server that does not wait for its
        disk, or a copy of it that lags, may have lost it."""
        if self.read is None:
            return False
        seq, crc = self.read
        record = store.record_of(seq) if seq else None
        return not seq or (record is not None and record[1] == seq and record.checksum == crc)

    def _load_snapshot(self, store: Store, upto_seq: int | None) -> None:
        """Start from the latest snapshot if it is sound; else from the beginning."""
        try:
            snapshots = store.snapshots()
        except JournalError as error:
            log.warning("snapshots ignored: %s", error)
            return
        if not snapshots or (upto_seq is not None and snapshots[-1].seq > upto_seq):
            return
        snapshot = snapshots[-1]
        record = store.record_of(snapshot.seq)
        try:
            if (
                record is None
                or record.last_seq != snapshot.seq
                or record.checksum != snapshot.checksum
            ):
                raise JournalError("it does not match the journal")
            desk_snapshot.load(self.desk, desk_snapshot.joined(snapshot.parts, snapshot.last))
            self.advance(record)
            self.snapshot_seq = record.last_seq
        except (LookupError, ValueError, TypeError, AssertionError, JournalError) as error:
            log.warning("snapshot at journal sequence %d ignored: %r", snapshot.seq, error)
            self.reset()

    def state(self) -> dict[str, object]:
        return desk_snapshot.dump(self.desk, self.last_seq)

    def digest(self) -> str:
        ids = self.tally and self.tally[:2]  # all that were ever used, by their sum
        return desk_snapshot.digest({**self.state(), "ids": ids})

    def record(
        self,
        first_seq: int,
        instant: Instant,
        released: int,
        lines: list[Line],
        tally: str | None = None,
    ) -> JournalRecord:
        """A turn's lines as the record that follows."""
        body = "\n".join([
            PLAIN_FORMAT % line  # by far the most, and so without a call
            if line[0] == NEW and len(line) == PLAIN_LENGTH
            else encode(line)
            for line in lines
        ])  # fmt: skip
        last_seq = first_seq + len(lines)
        wall_ns, clock_ns, elapsed_ns = instant
        behind_ns = clock_ns if clock_ns != wall_ns else None
        crc = checksum(
            self.checksum, first_seq, last_seq, wall_ns, released, body, elapsed_ns, behind_ns,
            tally,
        )  # fmt: skip
        return JournalRecord(
            first_seq, last_seq, wall_ns, released, body, crc, elapsed_ns, behind_ns, tally
        )


def upgraded(store: Store, venue: Venue | EmbeddedVenue) -> Iterator[Turn]:
    """What each turn of the journal gives, to make all tables anew."""
    fold, notes = Fold(venue), Notes()
    for record in checked(store.records(), 0, 0):
        reports = fold.apply(record)
        noted = notes.of_turn(fold.desk, record.last_seq)
        yield claims_of(fold, record, reports), reports, noted
        notes.committed()
        fold.desk.ledger.touched.clear()


def claims_of(fold: Fold, record: JournalRecord, reports: list[Report]) -> list[Claim]:
    """What a turn claimed that was just applied; of an older program's repeats, too, which
    claimed nothing."""
    lines = decode_all(record.body, record.first_seq)
    rests = rests_of(record.tally) if record.tally is not None else None
    return claims_in(fold.desk, record.first_seq, lines, reports, rests)


def differences(store: Store, fold: Fold) -> Iterator[str]:
    """Refold the whole journal and compare every report and every client order id that is
    stored; one line per difference."""
    stored = _by_turn(store.all_reports(), attrgetter("journal_seq"))
    ids, kept = StoredIds(store), Expected()
    fold.reset()
    before = fold.tally
    for record in checked(store.records(), 0, 0):
        reports = fold.apply(record)
        yield from _report_differences(stored(record.last_seq), reports)
        claims = claims_of(fold, record, reports)
        yield from ids.differences(record, claims)
        if before is not None and fold.tally not in (None, before.plus(claims, reports)):
            yield f"journal sequence {record.last_seq}: its ids and reports were others"
        before = fold.tally
        kept.turn(fold.desk, record.last_seq, reports)
    yield from _report_differences(stored(SEQUENCE_MAX), [])
    yield from ids.rest()
    yield from kept.differences(store, fold.desk)


def _report_differences(stored: list[Report], reports: list[Report]) -> Iterator[str]:
    """A turn's stored reports against those that the journal gives."""
    left: dict[int, Report] = {}
    twice = list[Report]()
    for kept in stored:
        if kept.report_id in left:
            twice.append(kept)
        left[kept.report_id] = kept
    for report in reports:
        found = left.pop(report.report_id, None)
        if found is None:
            yield f"report {report.execution_id}: missing in order_responses"
        elif compared(found) != compared(report):
            yield (
                f"report {report.execution_id}: stored {compared(found)}, the journal gives "
                f"{compared(report)}"
            )
    for extra in (*left.values(), *twice):
        yield f"report {extra.execution_id}: stored, but the journal does not give it"


T = TypeVar("T")


def _by_turn(rows: Iterator[T], seq_of: Callable[[T], int]) -> Callable[[int], list[T]]:
    """What gives the rows up to a sequence that it has not given yet."""
    ahead = deque(islice(rows, 1))

    def upto(seq: int) -> list[T]:
        taken = []
        while ahead and seq_of(ahead[0]) <= seq:
            taken.append(ahead.popleft())
            ahead.extend(islice(rows, 1))
        return taken

    return upto


class StoredIds:
    """The claims of a store, compared turn by turn with those of the journal."""

    def __init__(self, store: Store) -> None:
        all_claims = getattr(store, "all_claims", None)  # only what has them in a table can
        self._told = all_claims is not None
        claims: Iterator[Claim] = all_claims() if all_claims else iter(())
        self._upto = _by_turn(claims, itemgetter(0))
        self._older: set[tuple[str, str]] = set()  # ids of an older program's turns

    def differences(self, record: JournalRecord, claims: list[Claim]) -> Iterator[str]:
        """A turn's claims against those that are stored."""
        if not self._told:
            return
        stored = {claim[0]: claim for claim in self._upto(record.last_seq)}
        for claim in claims:
            seq, account, client_order_id = claim[:3]
            if record.tally is None:
                if (account, client_order_id) in self._older:
                    continue  # a repeat
                self._older.add((account, client_order_id))
            kept = stored.pop(seq, None)
            what = f"client order id {client_order_id} of {account}, sequence {seq}"
            if kept is None:
                yield f"{what}: missing in orders"
            elif kept[:3] != claim[:3] or (record.tally is not None and kept != claim):
                yield f"{what}: stored {kept}, the journal gives {claim}"
        yield from _unasked(stored.values())

    def rest(self) -> Iterator[str]:
        """What is stored after the journal's end."""
        return _unasked(self._upto(SEQUENCE_MAX))


def _unasked(claims: Iterable[Claim]) -> Iterator[str]:
    for seq, account, client_order_id, *_ in claims:
        yield f"client order id {client_order_id} of {account}, sequence {seq}: nobody asked for it"


def compared(report: Report) -> tuple[object, ...]:
    """What the journal alone says of a report."""
    return tuple(getattr(report, name) for name in COMPARED_COLUMNS)


def state_mistakes(fold: Fold) -> list[str]:
    """What cannot be so, whatever the journal says: nothing, ever; a line for each."""
    desk, executions = fold.desk, fold.desk.executions
    found = []
    for symbol, market in (desk.engine.markets if desk.engine is not None else {}).items():
        book = market.book
        if market.phase is Phase.CONTINUOUS and book.crossed:
            found.append(f"book {symbol}: bid {book.best_bid} meets ask {book.best_ask}")
    if executions.ledger is None:
        return found
    orders = executions.orders
    found += [f"ledger: {mistake}" for mistake in desk.ledger.mistakes(orders.values())]
    for order in orders.values():
        partner_id = order.terms.partner_id if order.terms is not None else 0
        if partner_id and partner_id not in orders:
            found.append(f"order {order.order_id}: its pair {partner_id} is gone")
        elif order.side is Side.SELL or bound_of(order, order.price_ticks) or partner_id:
            need = executions.need(order, order.price_ticks, order.leaves_lots)
            need = need if executions.holder(order) is order else 0
            if order.reserved != need:
                found.append(f"order {order.order_id}: reserved={order.reserved}, needs {need}")
    return found
