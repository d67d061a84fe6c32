"""A store that forgets at exit: for tests and for simulations that leave nothing behind."""

from collections.abc import Iterator, Sequence

from oms.desk.entries import Entry
from oms.reports import Row
from oms.stores import JournalRecord, Snapshot, entry_in, rows_by_id


class MemoryStore:
    """Keeps everything in lists; grows for as long as it lives."""

    def __init__(self) -> None:
        self._records: list[JournalRecord] = []
        self._ids: dict[tuple[str, str], int] = {}
        self._rows: dict[int, list[Row]] = {}
        self._pending: list[tuple[JournalRecord, Sequence[Row]]] = []
        self._claimed: dict[tuple[str, str], int] = {}
        self._snapshot: Snapshot | None = None

    def open(self) -> None:
        pass

    def begin(self) -> None:
        self._pending = []
        self._claimed = {}

    def hurry(self) -> None:
        pass

    def claim(self, ids: Sequence[tuple[str, str, int]]) -> bool:
        fresh = True
        for account, client_order_id, seq in ids:
            key = (account, client_order_id)
            if key in self._ids or key in self._claimed:
                fresh = False
            else:
                self._claimed[key] = seq
        return fresh

    def owner(self, account: str, client_order_id: str) -> int:
        key = (account, client_order_id)
        return self._ids.get(key) or self._claimed.get(key, 0)

    def append(self, record: JournalRecord, rows: Sequence[Row]) -> None:
        self._pending.append((record, rows))

    def commit(self) -> None:
        for record, rows in self._pending:
            self._records.append(record)
            for row in rows:
                self._rows.setdefault(row[2], []).append(row)
        self._ids.update(self._claimed)  # last: what an id leads a reader to is there
        self.begin()

    def rollback(self) -> None:
        self.begin()

    def probe(self) -> None:
        pass

    def records(self, after_seq: int = 0) -> Iterator[JournalRecord]:
        return (record for record in self._records if record.last_seq > after_seq)

    def record_of(self, seq: int) -> JournalRecord | None:
        return next((r for r in self._records if r.first_seq <= seq <= r.last_seq), None)

    def entry_of(self, seq: int) -> Entry:
        return entry_in(self.record_of(seq), seq)

    def rows_of(self, order_id: int) -> list[Row]:
        return list(self._rows.get(order_id, ()))

    def rows_of_turn(self, seq: int) -> list[Row]:
        return sorted(row for rows in self._rows.values() for row in rows if row[0] == seq)

    def find_rows(self, account: str, client_order_id: str) -> list[Row]:
        return rows_by_id(account, client_order_id, self._durable, self.rows_of, self.entry_of)

    def _durable(self, account: str, client_order_id: str) -> int:
        return self._ids.get((account, client_order_id), 0)

    def last_told_seq(self) -> int:
        return max((rows[-1][0] for rows in self._rows.values()), default=0)

    def all_rows(self) -> Iterator[Row]:
        return iter(sorted(row for rows in self._rows.values() for row in rows))

    def save_snapshot(self, snapshot: Snapshot) -> None:
        self._snapshot = snapshot

    def snapshot(self) -> Snapshot | None:
        return self._snapshot

    def close(self) -> None:
        pass
