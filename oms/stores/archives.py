"""Archives: files beside the database that have what was moved out of it, each a database itself.

An archive has a stretch of the journal, up to the turn `last_seq`, and the reports, up to there,
of orders that had ended. It is never written again. Ids stay in the database, so a repeat is
found; reports of an order that was open then stay, too, with the turns that made them. What the
database says is what it and its archives say together: here the archives' share of it.
Owner: the connection's owner; each archive is read through a connection of its own.
"""

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from heapq import merge
from operator import itemgetter
from typing import Any, NamedTuple, Protocol, TypeVar

from oms.positions import Key
from oms.reports import Report
from oms.stores import JournalRecord, StoredTrade

Row = TypeVar("Row", bound=tuple[Any, ...])
report_id_of = itemgetter(0)  # of every row that is merged


class ArchiveRow(NamedTuple):
    """A row of `archives`. checksum: of the record that ends at last_seq; reports: so many were
    moved. name: of the file, in the directory of the database."""

    last_seq: int
    checksum: int
    reports: int
    name: str


class Readable(Protocol):
    """What is asked of one archive: as of `Store`."""

    def records(self, after_seq: int = 0) -> Iterator[JournalRecord]: ...
    def record_of(self, seq: int) -> JournalRecord | None: ...
    def record_before(self, record: JournalRecord) -> JournalRecord | None: ...
    def reports_of(self, order_id: int) -> list[Report]: ...
    def reports_of_turn(self, seq: int) -> list[Report]: ...
    def all_reports(self) -> Iterator[Report]: ...
    def executions(self, symbols: Collection[str], before: int) -> Iterator[Report]: ...
    def executions_of(self, key: Key | None) -> Iterator[Report]: ...
    def fills_before(self, account: str, symbol: str, last: int) -> Iterator[tuple[int]]: ...
    def trades_as_told(self, symbol: str, start_ns: int, end_ns: int) -> Iterator[StoredTrade]: ...
    def change_reports(self, start_ns: int) -> Iterator[Report]: ...
    def told_between(self, after_seq: int, last_seq: int) -> Iterator[Report]: ...
    def moved_in(self, account: str, first: int, before: int) -> list[Report]: ...
    def counts(self, upto_seq: int) -> tuple[int, int]: ...
    def damage(self, check: str = ...) -> str: ...
    def close(self) -> None: ...


class Archives:
    """Those of one database, oldest first; most have none.

    last_seq, checksum: where the journal in the database begins, and what it is chained to.
    reports: how many were moved, in all.
    """

    def __init__(self, rows: Sequence[ArchiveRow] = (), files: Sequence[Readable] = ()) -> None:
        self.rows, self._files = rows, files
        self.last_seq, self.checksum = rows[-1][:2] if rows else (0, 0)
        self.reports = sum(row.reports for row in rows)

    def records(self, after_seq: int) -> Iterator[JournalRecord]:
        """Each archive's own stretch; what else it has of older turns is for its reports."""
        before_seq = 0
        for row, file in zip(self.rows, self._files, strict=True):
            if after_seq < row.last_seq:
                yield from file.records(max(after_seq, before_seq))
            before_seq = row.last_seq

    def record_of(self, seq: int) -> JournalRecord | None:
        for row, file in zip(self.rows, self._files, strict=True):
            if seq <= row.last_seq:
                return file.record_of(seq)
        return None

    def record_before(self, record: JournalRecord) -> JournalRecord | None:
        """The record before one of an archive, or the last of all."""
        begins, latest = 0, None
        for row, file in zip(self.rows, self._files, strict=True):
            if row.last_seq >= record.last_seq:
                found = file.record_before(record)
                return found if found is not None and found.last_seq > begins else latest
            begins, latest = row.last_seq, file.record_of(row.last_seq)
        return latest

    def reports_of(self, order_id: int) -> list[Report]:
        """Oldest first: an archive has all of an order's reports up to its end, or none."""
        if order_id > self.last_seq:
            return []
        return [report for file in self._files for report in file.reports_of(order_id)]

    def reports_of_turn(self, seq: int) -> list[Report]:
        if seq > self.last_seq:
            return []
        return [report for file in self._files for report in file.reports_of_turn(seq)]

    def merged(
        self,
        own: Iterator[Row],
        ask: Callable[[Readable], Iterator[Row]],
        *,
        newest_first: bool = False,
    ) -> Iterator[Row]:
        """What the database has and what each archive answers, in the order of report ids."""
        if not self.rows:
            return own
        return merge(own, *map(ask, self._files), key=report_id_of, reverse=newest_first)

    def with_executions(
        self, recent: Iterator[Report], older: Iterator[Report], symbols: Collection[str],
        before: int,
    ) -> Iterator[Report]:  # fmt: skip
        """Newest first; the archives are opened only where what is recent does not suffice."""
        yield from recent
        yield from self.merged(
            older, lambda file: file.executions(symbols, before), newest_first=True
        )

    def count(self, upto_seq: int) -> int:
        """How many reports they have, up to the turn that ends there."""
        if upto_seq >= self.last_seq:
            return self.reports
        return sum(file.counts(upto_seq)[1] for file in self._files)

    def damages(self, check: str) -> Iterable[str]:
        for row, file in zip(self.rows, self._files, strict=True):
            if damage := file.damage(check):
                yield f"{row.name}: {damage}"

    def close(self) -> None:
        for file in self._files:
            file.close()
