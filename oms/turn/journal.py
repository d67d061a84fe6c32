"""The journal: a turn's entries become one record; records fold back into the same state.

Flow:  dispatcher turn -> [journal] -> store; store -> [journal] -> desk, at start and offline
The journal is the truth. Tables, snapshots and memory are folds of it.
"""

import logging
from collections.abc import Callable, Iterator

from oms.clock import NEVER, Instant
from oms.desk import snapshot as desk_snapshot
from oms.desk.desk import Desk
from oms.enums import Phase, Side
from oms.errors import JournalError, StoppedError
from oms.exchange.accounts import bound_of
from oms.reports import MEASURED, ROW_COLUMNS, Report
from oms.requests.codec import FORMATS, LENGTHS, NEW, Line, decode_all, encode
from oms.stores import Claim, JournalRecord, Store, checked, checksum
from oms.turn.intake import claims_in
from oms.venues import EmbeddedVenue, Outbox, Venue

log = logging.getLogger(__name__)

# All columns of a report but how long things took, which a replay cannot know.
COMPARED_COLUMNS = tuple(name for name in ROW_COLUMNS if name not in MEASURED)
PLAIN_LENGTH, PLAIN_FORMAT = LENGTHS[NEW][0], FORMATS[NEW]


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
        self.instant = NEVER
        self.snapshot_seq = 0  # of the snapshot it started from

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

    def recover(
        self,
        store: Store,
        *,
        use_snapshot: bool = True,
        upto_seq: int | None = None,
        should_stop: Callable[[], bool] = lambda: False,
    ) -> Iterator[list[Report]]:
        """Fold the store's journal; yields each record's reports.

        A snapshot saves the folding of what is before it, not the reading: all of the journal
        must be whole.
        """
        self.reset()
        if use_snapshot:
            self._load_snapshot(store, upto_seq)
        for record in checked(store.records(), 0, 0):
            if upto_seq is not None and record.first_seq > upto_seq:
                break
            if should_stop():
                raise StoppedError("stopped while the journal was read")
            if record.first_seq > self.last_seq:
                yield self.apply(record, upto_seq)
        if self.outbox is not None:
            self.outbox.clear()

    def _load_snapshot(self, store: Store, upto_seq: int | None) -> None:
        """Start from the latest snapshot if it is sound; else from the beginning."""
        snapshots = store.snapshots()
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
        return desk_snapshot.digest(self.state())

    def record(
        self, first_seq: int, instant: Instant, released: int, lines: list[Line]
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
            self.checksum, first_seq, last_seq, wall_ns, released, body, elapsed_ns, behind_ns
        )
        return JournalRecord(
            first_seq, last_seq, wall_ns, released, body, crc, elapsed_ns, behind_ns
        )


def upgraded(
    store: Store, venue: Venue | EmbeddedVenue
) -> Iterator[tuple[list[Claim], list[Report]]]:
    """The claims and reports of each turn of a journal that an older program wrote."""
    fold = Fold(venue)
    for record in checked(store.records(), 0, 0):
        lines = decode_all(record.body, record.first_seq)
        reports = fold.apply(record)
        yield claims_in(fold.desk, record.first_seq, lines, reports), reports


def differences(store: Store, fold: Fold) -> Iterator[str]:
    """Refold the whole journal and compare every stored report; one line per difference."""
    stored = store.all_reports()
    for reports in fold.recover(store, use_snapshot=False):
        for report in reports:
            kept = next(stored, None)
            if kept is None:
                yield f"report {report.execution_id}: missing in order_responses"
                return
            if compared(kept) != compared(report):
                yield (
                    f"report {report.execution_id}: stored {compared(kept)}, the journal gives "
                    f"{compared(report)}"
                )
    for kept in stored:
        yield f"report {kept.execution_id}: stored, but the journal does not give it"


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
