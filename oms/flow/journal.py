"""The journal: a turn's entries become one record; records fold back into the same state.

Flow:  dispatcher turn -> [journal] -> store; store -> [journal] -> desk, at start and offline
The journal is the truth. Tables, snapshots and memory are folds of it.
"""

import hashlib
import json
import logging
from collections.abc import Callable, Iterator

from oms.desk import snapshot as desk_state
from oms.desk.entries import Entry, decode_all, encode
from oms.desk.order_desk import OrderDesk
from oms.errors import JournalError, StoppedError
from oms.exchange.ledger import bound_of
from oms.exchange.matching import MatchingEngine
from oms.messages import Phase, Side
from oms.orders import Change, Order
from oms.reports import Row
from oms.stores import JournalRecord, Snapshot, Store, checked, checksum
from oms.venues import Venue
from oms.venues.embedded import EmbeddedVenue
from oms.venues.outbox import Outbox

log = logging.getLogger(__name__)

COMPARED_COLUMNS = 19  # of a report: all but the two latencies, which a replay cannot know


class Fold:
    """A desk, and how far into the journal it is."""

    def __init__(self, venue: Venue) -> None:
        self.venue = venue
        self.last_seq = 0
        self.checksum = 0
        self.wall_ns = 0
        self.reset()

    def reset(self) -> None:
        """Back to the state before the first entry."""
        self.venue.reset()
        self.outbox = Outbox(self.venue) if self.venue.remote else None
        self.desk = OrderDesk(self.outbox or self.venue, self.engine)
        self.last_seq = self.checksum = self.wall_ns = 0
        self.snapshot_seq = 0  # of the snapshot it started from

    def apply(self, record: JournalRecord, upto_seq: int | None = None) -> list[Row]:
        """One record; its reports. `upto_seq` stops before what comes after that entry."""
        desk = self.desk
        decoded = decode_all(record.body, record.first_seq)
        if len(decoded) != record.last_seq - record.first_seq:
            raise JournalError(
                f"journal sequence {record.first_seq} to {record.last_seq}: "
                f"{len(decoded)} entries, expected {record.last_seq - record.first_seq}"
            )
        desk.begin(record.last_seq, record.wall_ns)
        left = record.released
        for seq, entry in enumerate(decoded, record.first_seq):
            if upto_seq is not None and seq > upto_seq:
                return desk.blotter.rows
            try:
                desk.enter(seq, entry)
                left -= desk.send_waiting(left, _no_clock, _ignore) if left else 0
            except (KeyError, ValueError, TypeError, AssertionError) as error:
                raise JournalError(f"journal sequence {seq}: {entry}: {error!r}") from error
        if not decoded:
            left -= desk.send_waiting(left, _no_clock, _ignore)
        if left:
            raise JournalError(
                f"journal sequence {record.last_seq}: {record.released} requests sent, "
                f"{record.released - left} waited"
            )
        desk.end()
        self.advance(record)
        return desk.blotter.rows

    def advance(self, record: JournalRecord) -> None:
        """The record is in: what follows is chained to it."""
        self.last_seq = record.last_seq
        self.checksum = record.checksum
        self.wall_ns = record.wall_ns

    def recover(
        self,
        store: Store,
        *,
        use_snapshot: bool = True,
        upto_seq: int | None = None,
        should_stop: Callable[[], bool] = lambda: False,
    ) -> Iterator[list[Row]]:
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
        snapshot = store.snapshot()
        if snapshot is None or (upto_seq is not None and snapshot.seq > upto_seq):
            return
        record = store.record_of(snapshot.seq)
        try:
            promised, _, text = snapshot.body.partition("\n")
            state = json.loads(text)
            if (
                record is None
                or record.last_seq != snapshot.seq
                or record.checksum != snapshot.checksum
                or hashlib.sha256(text.encode()).hexdigest() != promised
            ):
                raise JournalError("it does not match the journal")
            desk_state.load(self.desk, self.engine, state)
            self.advance(record)
            self.snapshot_seq = record.last_seq
        except (ValueError, KeyError, TypeError, AssertionError, JournalError) as error:
            log.warning("snapshot at journal sequence %d ignored: %r", snapshot.seq, error)
            self.reset()

    def state(self) -> dict[str, object]:
        return desk_state.dump(self.desk, self.engine, self.last_seq)

    def digest(self) -> str:
        return desk_state.digest(self.state())

    def snapshot(self) -> Snapshot:
        # The canonical text, whose digest is the state's: made once, because a stop waits for it.
        text = json.dumps(self.state(), sort_keys=True, separators=(",", ":"))
        digest = hashlib.sha256(text.encode()).hexdigest()
        return Snapshot(self.last_seq, self.checksum, f"{digest}\n{text}")

    @property
    def engine(self) -> MatchingEngine | None:
        return self.venue.engine if isinstance(self.venue, EmbeddedVenue) else None

    def record(
        self, first_seq: int, wall_ns: int, released: int, entries: list[Entry]
    ) -> JournalRecord:
        """A turn's entries as the record that follows."""
        body = "\n".join(map(encode, entries))
        last_seq = first_seq + len(entries)
        return JournalRecord(
            first_seq,
            last_seq,
            wall_ns,
            released,
            body,
            checksum(self.checksum, first_seq, last_seq, wall_ns, released, body),
        )


def differences(store: Store, fold: Fold) -> Iterator[str]:
    """Refold the whole journal and compare every stored report; one line per difference."""
    stored = store.all_rows()
    for rows in fold.recover(store, use_snapshot=False):
        for row in rows:
            kept = next(stored, None)
            if kept is None:
                yield f"report {row[0]}-{row[1]}: missing in order_responses"
                return
            if kept[:COMPARED_COLUMNS] != row[:COMPARED_COLUMNS]:
                yield f"report {row[0]}-{row[1]}: stored {kept}, the journal gives {row}"
    for kept in stored:
        yield f"report {kept[0]}-{kept[1]}: stored, but the journal does not give it"


def state_mistakes(fold: Fold) -> list[str]:
    """What cannot be so, whatever the journal says: nothing, ever; a line for each."""
    desk = fold.desk
    found = []
    for symbol, market in (fold.engine.markets if fold.engine is not None else {}).items():
        book = market.book
        if market.phase is Phase.CONTINUOUS and book.crossed:
            found.append(f"book {symbol}: bid {book.best_bid} meets ask {book.best_ask}")
    if desk.blotter.ledger is None:
        return found
    orders = desk.blotter.orders
    found += [f"ledger: {mistake}" for mistake in desk.ledger.mistakes(orders.values())]
    for order in orders.values():
        partner_id = order.terms.partner_id if order.terms is not None else 0
        if partner_id and partner_id not in orders:
            found.append(f"order {order.order_id}: its pair {partner_id} is gone")
        elif order.side is Side.SELL or bound_of(order) or partner_id:
            need = desk.blotter.need(order)
            if order.reserved != need:
                found.append(f"order {order.order_id}: reserved={order.reserved}, needs {need}")
    return found


def _no_clock() -> int:
    return 0


def _ignore(_request: Order | Change, _now_ns: int) -> None:
    """In a replay nobody counts sends."""
