"""Stores: where the journal and the reports are kept. SQLite for keeps, memory for tests."""

import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import NamedTuple, Protocol

from oms.desk.entries import CANCEL, MODIFY, Entry, decode_all
from oms.errors import JournalError
from oms.reports import Row

CHAIN_MAX = 10_000  # modifies of one order that a look-up follows back


class JournalRecord(NamedTuple):
    """One dispatcher turn: the entries it took, and how many waiting requests it sent.

    Entries are numbered first_seq, first_seq + 1, ...; the turn itself is last_seq. body is
    one entry a line. checksum covers the record and the checksum before it, so a changed,
    missing or moved record shows.
    """

    first_seq: int
    last_seq: int
    wall_ns: int
    released: int
    body: str
    checksum: int

    def expected_checksum(self, before: int) -> int:
        return checksum(before, *self[:5])


def entry_in(record: JournalRecord | None, seq: int) -> Entry:
    """The entry numbered `seq` of its record; JournalError if there is none."""
    if record is None or not record.first_seq <= seq < record.last_seq:
        raise JournalError(f"journal sequence {seq}: missing, though something refers to it")
    line = record.body.split("\n")[seq - record.first_seq]  # no entry holds a line break
    return tuple(decode_all(line, seq)[0])


def checksum(
    before: int, first_seq: int, last_seq: int, wall_ns: int, released: int, body: str
) -> int:
    """CRC-32 of the record, chained to the one before (0 for the first)."""
    text = f"{before}|{first_seq}|{last_seq}|{wall_ns}|{released}|{body}"
    return zlib.crc32(text.encode())


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
        if record.first_seq != after_seq + 1:
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


class Snapshot(NamedTuple):
    """State after journal entry seq: a cache, never the truth."""

    seq: int
    checksum: int  # of the journal record that ends at seq
    body: str


def rows_by_id(
    account: str,
    client_order_id: str,
    owner: Callable[[str, str], int],
    rows_of: Callable[[int], list[Row]],
    entry_of: Callable[[int], Entry],
) -> list[Row]:
    """Every report of the order that an id placed, changed or canceled; oldest first.

    A change names the id before it, so the way goes back to the new order.
    """
    for _ in range(CHAIN_MAX):
        seq = owner(account, client_order_id)
        rows = rows_of(seq) if seq else []
        if rows or not seq:
            return rows
        entry = entry_of(seq)
        if entry[0] not in (MODIFY, CANCEL):
            return []
        client_order_id = entry[3]
    return []


class Store(Protocol):
    """One transaction per dispatcher turn: begin, claim, append, commit.

    Used by one thread, but for `find_rows`, which any thread may call.
    StoreBusyError and StoreFullError leave nothing behind; OutcomeUnknownError means that
    only a restart can tell.
    """

    def open(self) -> None:
        """Create or migrate; raises StoreError when the place cannot be used."""
        ...

    def begin(self) -> None: ...

    def hurry(self) -> None:
        """Wait for nobody's lock any longer: a stop is near. Called by any thread."""
        ...

    def claim(self, ids: Sequence[tuple[str, str, int]]) -> bool:
        """Reserve (account, client order id) for a journal sequence; False if any is taken."""
        ...

    def owner(self, account: str, client_order_id: str) -> int:
        """The journal sequence that claimed an id first; 0 if nobody did."""
        ...

    def append(self, record: JournalRecord, rows: Sequence[Row]) -> None: ...
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

    def entry_of(self, seq: int) -> Entry:
        """One entry; JournalError if the journal does not have it."""
        ...

    def rows_of(self, order_id: int) -> list[Row]:
        """Every report of one order, oldest first."""
        ...

    def rows_of_turn(self, seq: int) -> list[Row]:
        """Every report of one turn, in order."""
        ...

    def find_rows(self, account: str, client_order_id: str) -> list[Row]:
        """Every durable report of an order, by any id it has had; from any thread."""
        ...

    def last_told_seq(self) -> int:
        """The journal sequence of the latest report; 0 if there is none."""
        ...

    def all_rows(self) -> Iterator[Row]:
        """Every report, in journal order."""
        ...

    def save_snapshot(self, snapshot: Snapshot) -> None: ...
    def snapshot(self) -> Snapshot | None: ...
    def close(self) -> None: ...
