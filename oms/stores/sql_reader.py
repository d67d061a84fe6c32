"""SqlReader: every question of a store that keeps its tables in a database, in one SQL.

Flow:  store -> [sql_reader] -> rows -> reports, lines, trades
What the database says is what its own rows and its archives say together: see archives.py.
Owner: the connection's owner. A question that any thread may ask (`find_...`) is asked through
       another connection, which the store makes.
"""

import json
from abc import ABC, abstractmethod
from collections.abc import Collection, Iterator, Sequence
from contextlib import AbstractContextManager
from itertools import chain, groupby, islice
from typing import Any, Self

from oms.errors import JournalError
from oms.positions import (
    CHANGES,
    LATEST,
    Changes,
    Holding,
    Key,
    Scales,
    Standing,
    TradeRow,
    changes_in,
    fill_of,
    folded,
    last_price,
    trade_rows,
)
from oms.reports import EXEC_TYPES, NUMBER_BITS, NUMBER_MASK, Report, stored_report, type_of
from oms.requests.codec import FUNDS, Line, decode_all
from oms.requests.orders import SEQUENCE_MAX
from oms.stores import (
    LOOKED_AT_MAX,
    AskedOrder,
    Claim,
    JournalRecord,
    MovedPage,
    OrderIds,
    Snapshot,
    StoredTrade,
    answers_in,
    as_it_stands,
    asked_in,
    line_in,
    moved_of,
)
from oms.stores.archives import ArchiveRow, Archives
from oms.stores.listed import scales_in
from oms.stores.schema import (
    ALL_EXECUTIONS,
    BACK,
    BY_ACCOUNT_MAX,
    COUNT,
    COUNT_IDS,
    FILLS_BEFORE,
    FILLS_OF_ACCOUNT,
    HAS_MORE,
    KEPT_AFTER,
    NEW_ORDERS_BETWEEN,
    OF_ACCOUNT_AFTER,
    OF_CHANGES,
    OF_KEY,
    OF_MOVED,
    OF_ORDER,
    OF_STRETCH,
    OF_SYMBOL_AFTER,
    OF_TRADES,
    SCALE_OF_ASSET,
    SCANNED_MAX,
    SELECT_BY_ACCOUNT,
    SELECT_BY_SEQ,
    SELECT_CHANGES_OF_ORDER,
    SELECT_CLAIMS,
    SELECT_COMMANDS,
    SELECT_END,
    SELECT_HOLDING,
    SELECT_ORDER,
    SELECT_RECORD,
    SELECT_REPORT,
    SELECT_TRADES_OF_TIME,
    SELECT_TURN,
    SELECT_USED,
)
from oms.stores.stretch import Kept, Stretch, date_begun
from oms.stores.views import NOW, instrument_at

# The answer to a change of what is over, or unknown.
CANCEL_REJECTED = "CANCEL_REJECTED"


class SqlReader(ABC):
    """Every question of `Store`, asked of one connection; and those asked of an archive."""

    def __init__(self) -> None:
        self._archives = Archives()

    @abstractmethod
    def _rows(self, query: str, arguments: Sequence[object]) -> Iterator[Any]:
        """What a query gives; errors as StoreError."""

    def _many(self, query: str, arguments: Sequence[object] = ()) -> Iterator[Any]:
        """The same of a query that may give millions of rows: some at a time are in memory."""
        return self._rows(query, arguments)

    @abstractmethod
    def _read_only_one(self) -> AbstractContextManager["SqlReader"]:
        """A connection of its own, read-only, so that any thread may ask and no writer waits."""

    @abstractmethod
    def at_one_instant(self) -> AbstractContextManager["SqlReader"]:
        """A connection for one question that takes a while, so that nobody else waits for it:
        trades, and what became of them, as of one instant."""

    @property
    def archives(self) -> list[ArchiveRow]:
        """What was moved into files beside the database, oldest first."""
        return list(self._archives.rows)

    @property
    def begins(self) -> tuple[int, int]:
        """Where the journal in this file begins: the sequence and checksum that it goes on from;
        (0, 0) if nothing was archived."""
        return self._archives.last_seq, self._archives.checksum

    @abstractmethod
    def open(self) -> None:
        """Get ready; StoreError where the place cannot be used."""

    @abstractmethod
    def close(self) -> None: ...

    def __enter__(self) -> Self:
        self.open()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @abstractmethod
    def snapshots(self) -> list[Snapshot]:
        """Those that are kept, with their parts, oldest first."""

    def damage(self) -> str:
        """What is wrong first with what is below the tables; "" for nothing, or nobody can tell."""
        return ""

    def _one(self, query: str, *arguments: object) -> tuple[Any, ...] | None:
        return next(self._rows(query, arguments), None)

    def _number(self, query: str, *arguments: object) -> int:
        """The first number that a query gives; 0 where there is none."""
        found, *_ = self._one(query, *arguments) or (0,)
        return found or 0

    def _reports(self, where: str, *arguments: object) -> list[Report]:
        return list(map(stored_report, self._rows(SELECT_REPORT + where, arguments)))

    # --- the journal, and ids ---

    def owner(self, account: str, client_order_id: str) -> tuple[int, int]:
        query = "SELECT seq, content FROM orders WHERE account = ? AND client_order_id = ?"
        seq, content = self._one(query, account, client_order_id) or (0, 0)
        return seq, content

    def used(self, names: Sequence[tuple[str, str]]) -> set[tuple[str, str]]:
        # One statement, because each lets all other threads run before it comes back.
        return set(self._rows(SELECT_USED, (json.dumps(names),))) if names else set()

    def records(self, after_seq: int = 0) -> Iterator[JournalRecord]:
        own_after = max(after_seq, self._archives.last_seq)
        rows = self._rows(SELECT_RECORD + "WHERE last_seq > ? ORDER BY last_seq", (own_after,))
        own = map(JournalRecord._make, rows)
        return chain(self._archives.records(after_seq), own) if after_seq < own_after else own

    def record_of(self, seq: int) -> JournalRecord | None:
        if seq <= self._archives.last_seq:
            return self._archives.record_of(seq)
        found = self._one(SELECT_RECORD + "WHERE last_seq >= ? ORDER BY last_seq LIMIT 1", seq)
        return JournalRecord._make(found) if found else None

    def record_before(self, record: JournalRecord) -> JournalRecord | None:
        """The one that this record is chained to; None for the first."""
        query = SELECT_RECORD + "WHERE last_seq < ? AND last_seq > ? ORDER BY last_seq DESC LIMIT 1"
        found = self._one(query, record.last_seq, self._archives.last_seq)
        return JournalRecord._make(found) if found else self._archives.record_before(record)

    def line_of(self, seq: int) -> Line:
        return line_in(self.record_of(seq), seq)

    def last_told_seq(self) -> int:
        return self._number("SELECT max(report_id) FROM reports") >> NUMBER_BITS

    def counts(self, upto_seq: int) -> tuple[int, int]:
        """How many claims and reports there are, up to the turn that ends there."""
        [(claims, reports)] = self._rows(COUNT, (upto_seq, (upto_seq + 1) << NUMBER_BITS))
        return claims, reports + self._archives.count(upto_seq)

    def all_claims(self) -> Iterator[Claim]:
        """Every claim, in journal order."""
        for claim in self._many(SELECT_CLAIMS):
            seq, _, name, *_ = claim
            if type(seq) is not int:
                raise JournalError(f"client order id {name!r}: not readable: no sequence")
            yield claim

    def _turn_at(self, wall_ns: int) -> int:
        """The first turn stamped then or later; above all turns if there is none. Stamps never
        decrease, so it is found by halves."""
        low, high = 0, self._number("SELECT max(last_seq) FROM journal") + 1
        while low < high:
            middle = (low + high) // 2
            last_seq, stamp_ns = self._one(SELECT_TURN, middle) or (0, wall_ns)
            if stamp_ns >= wall_ns:
                high = middle
            else:
                low = last_seq + 1
        return self._number(SELECT_TURN, low) or SEQUENCE_MAX >> NUMBER_BITS

    # --- reports ---

    def reports_of(self, order_id: int) -> list[Report]:
        return [*self._archives.reports_of(order_id), *self._reports(OF_ORDER, order_id)]

    def reports_of_turn(self, seq: int) -> list[Report]:
        if not 0 < seq <= SEQUENCE_MAX >> NUMBER_BITS:
            return []
        where = "WHERE r.report_id BETWEEN ? AND ? ORDER BY r.report_id"
        own = self._reports(where, seq << NUMBER_BITS, (seq << NUMBER_BITS) | NUMBER_MASK)
        archived = self._archives.reports_of_turn(seq)
        return sorted([*archived, *own]) if archived else own

    def reports_between(self, after_seq: int, last_seq: int) -> list[Report]:
        own = self.told_between(after_seq, last_seq)
        return list(self._archives.merged(own, lambda file: file.told_between(after_seq, last_seq)))

    def told(self, seq: int) -> Report | None:
        record = self.record_of(seq)
        first = answers_in(self.reports_of_turn(record.last_seq), seq) if record else []
        return answers_in(self.reports_of(first[0].order_id), seq)[-1] if first else None

    def all_reports(self) -> Iterator[Report]:
        own = map(stored_report, self._many(SELECT_REPORT + "ORDER BY r.report_id"))
        return self._archives.merged(own, lambda file: file.all_reports())

    def executions(self, symbols: Collection[str], before: int) -> Iterator[Report]:
        archives, begins = self._archives, (self._archives.last_seq + 1) << NUMBER_BITS
        if not archives.rows:
            return self._executions(symbols, 0, before)
        recent, older = (
            self._executions(symbols, begins, before),
            self._executions(symbols, 0, min(before, begins)),
        )
        return archives.with_executions(recent, older, symbols, before)

    def _executions(self, symbols: Collection[str], first: int, before: int) -> Iterator[Report]:
        given = first, before, json.dumps(sorted(symbols))
        return map(stored_report, self._rows(SELECT_REPORT + OF_TRADES, given))

    def changes(self, start_ns: int) -> Changes:
        own = self.change_reports(start_ns)
        return changes_in(self._archives.merged(own, lambda file: file.change_reports(start_ns)))

    def scales(self) -> Scales:
        return scales_in(self.kept("instruments"))

    def trades(self, symbol: str, start_ns: int, end_ns: int) -> Iterator[StoredTrade]:
        with self.at_one_instant() as reader:
            # Those of an archive may have been changed since, as the database knows.
            changes = reader.changes(start_ns)
            trades = reader._archives.merged(
                reader.trades_as_told(symbol, start_ns, end_ns),
                lambda file: file.trades_as_told(symbol, start_ns, end_ns),
            )
            for trade in trades:
                yield as_it_stands(trade, changes)

    def kept(self, table: str) -> list[tuple[Any, ...]]:
        """Every row of a table that is kept for readers, in order of its key."""
        return list(self._rows(f"SELECT * FROM {table} ORDER BY 1, 2", ()))

    def folded_of(self, key: Key) -> list[Holding]:
        """The holding that comes of every report of an account and symbol; none without any."""
        return list(folded(lambda: self.executions_of(key)).values())

    def last_price_of(self, symbol: str) -> int:
        """By its reports; 0 if no trade stands."""
        return last_price(self.executions([symbol], LATEST))

    def _holding(self, key: Key) -> Holding | None:
        found = self._one(SELECT_HOLDING + "WHERE account = ? AND symbol = ?", *key)
        return Holding._make(found) if found else None

    # --- the database's own share, as of an archive's ---

    def executions_of(self, key: Key | None) -> Iterator[Report]:
        """Trades, busts and corrections of an account and symbol, oldest first; None: all."""
        own = self._many(SELECT_REPORT + (OF_KEY if key else ALL_EXECUTIONS), key or ())
        return self._archives.merged(map(stored_report, own), lambda file: file.executions_of(key))

    def change_reports(self, start_ns: int) -> Iterator[Report]:
        """Busts and corrections of that time and later, oldest first."""
        return iter(self._reports(OF_CHANGES, self._turn_at(start_ns) << NUMBER_BITS))

    def trades_as_told(self, symbol: str, start_ns: int, end_ns: int) -> Iterator[StoredTrade]:
        """Before busts and corrections."""
        first, end = self._turn_at(start_ns) << NUMBER_BITS, self._turn_at(end_ns) << NUMBER_BITS
        for row in self._rows(SELECT_TRADES_OF_TIME, (first, end, symbol)):
            yield StoredTrade(*row)

    def fills_before(self, account: str, symbol: str, last: int) -> Iterator[tuple[int]]:
        """Report ids of fills up to this one, newest first; "" for all."""
        if account:
            return self._rows(FILLS_OF_ACCOUNT, (account, last, symbol))
        return self._rows(FILLS_BEFORE, (last, symbol))

    def moved_in(self, account: str, first: int, before: int) -> list[Report]:
        """Reports in [first, before) that may have moved an account's money, newest first."""
        return self._reports(OF_MOVED, first, before, account, account, account)

    # --- a stretch of turns, as of one instant ---

    def find_stretch(self, after_seq: int, entries_max: int, kept_seq: int) -> Stretch:
        """The turns after one, until there are so many entries; and what is kept for readers and
        has changed after `kept_seq`, if that is all. From any thread."""
        with self.at_one_instant() as reader:
            return reader._stretch(after_seq, entries_max, kept_seq)

    def _stretch(self, after_seq: int, entries_max: int, kept_seq: int) -> Stretch:
        records = list[JournalRecord]()
        for record in self.records(after_seq):
            if records and date_begun(record) is not None:
                break
            records.append(record)
            if record.last_seq - after_seq >= entries_max:
                break
        last_seq = records[-1].last_seq if records else after_seq
        end_seq = self._number(SELECT_END)
        reports = self.reports_between(after_seq, last_seq)
        busted = set[int]()
        if not set(map(type_of, reports)).isdisjoint(CHANGES):
            busted = {fill_of(r) >> NUMBER_BITS for r in reports if r.type in CHANGES}
        changes: Changes = {}
        for name, told in (self.changes(0) if busted else {}).items():
            changes[name] = [each for each in told if each.journal_seq <= last_seq]
        replaced = {
            report.request_seq for report in reports
            if report.type == "REPLACED" and 0 < report.request_seq <= after_seq
        }  # fmt: skip
        before = self.record_of(after_seq) if after_seq else None
        return Stretch(
            after_seq,
            before if before is not None and before.last_seq == after_seq else None,
            end_seq, records,
            list(self._rows(NEW_ORDERS_BETWEEN, (after_seq, last_seq))), reports,
            self.kept("instruments"), self._kept_after(kept_seq) if last_seq >= end_seq else None,
            [self.reports_of_turn(seq) for seq in sorted(busted) if seq <= after_seq], changes,
            {seq: self.line_of(seq) for seq in replaced}, self._asset_scales(records),
        )  # fmt: skip

    def told_between(self, after_seq: int, last_seq: int) -> Iterator[Report]:
        """Reports of the turns after one and up to another, in order."""
        first, end = (after_seq + 1) << NUMBER_BITS, (last_seq + 1) << NUMBER_BITS
        return map(stored_report, self._rows(SELECT_REPORT + OF_STRETCH, (first, end)))

    def _kept_after(self, seq: int) -> Kept:
        return Kept(*(list(self._rows(KEPT_AFTER.format(name), (seq,))) for name in Kept._fields))

    def _asset_scales(self, records: list[JournalRecord]) -> dict[str, int]:
        """Of the assets that these turns paid in or out."""
        funds = f'["{FUNDS}",'
        assets = {
            line[4]
            for record in records if funds in record.body
            for line in decode_all(record.body, record.first_seq) if line[0] == FUNDS
        }  # fmt: skip
        return {
            asset: scale for asset in assets for (scale,) in self._rows(SCALE_OF_ASSET, (asset,))
        }

    # --- from any thread ---

    def find_reports(self, account: str, named: str | int) -> list[Report]:
        with self._read_only_one() as reader:
            return reader._find(account, named)

    def _find(self, account: str, named: str | int) -> list[Report]:
        if isinstance(named, int):
            fits = 0 < named <= SEQUENCE_MAX
            return [r for r in self.reports_of(named) if r.account == account] if fits else []
        seq, _ = self.owner(account, named)
        own = self.reports_of(seq) if seq else []
        if own or not seq:
            return own
        told = self.told(seq)  # a change: of which order?
        if told is None or told.type == CANCEL_REJECTED:  # then it never was a name of the order
            return []
        return self.reports_of(told.order_id)

    def find_asked(self, order_ids: Sequence[int]) -> list[AskedOrder]:
        with self._read_only_one() as reader:
            found = [reader._asked(order_id) for order_id in order_ids]
        return [each for each in found if each is not None]

    def _asked(self, order_id: int) -> AskedOrder | None:
        claim = self._one(SELECT_ORDER, order_id)
        if claim is None:
            return None
        told = list(self._rows(SELECT_CHANGES_OF_ORDER, (order_id,)))
        told = told or [
            (each.code, each.request_seq, each.reason, each.cumulative_lots + each.leaves_lots)
            for each in self._archives.reports_of(order_id)
            if each.code[:1] in (EXEC_TYPES["REPLACED"], EXEC_TYPES["RESTATED"])
        ]
        return asked_in(claim, self.line_of, told)

    def find_orders(
        self, account: str, symbol: str, side: str, before: int, limit: int
    ) -> OrderIds:
        with self._read_only_one() as reader:
            return reader._orders(account, symbol, side, before, limit)

    def _orders(self, account: str, symbol: str, side: str, before: int, limit: int) -> OrderIds:
        """An account with few ids has an index for them; of one with many, the latest orders are
        among the latest ids of all."""
        given = account, symbol, side
        few = self._number(COUNT_IDS, account, BY_ACCOUNT_MAX) < BY_ACCOUNT_MAX
        select, first = (SELECT_BY_ACCOUNT, 0) if few else (SELECT_BY_SEQ, 0)
        if not few:
            before = min(before, self._number("SELECT max(seq) FROM orders") + 1)
            first = max(0, before - SCANNED_MAX)
        rows = self._rows(select, (*given, first, before, limit))
        ids = [order_id for (order_id,) in rows]
        return OrderIds(ids, ids[-1] if len(ids) == limit else first)

    def find_commands(self, account: str, before: int, limit: int) -> list[int]:
        with self._read_only_one() as reader:
            rows = reader._rows(SELECT_COMMANDS, (account, before, limit))
            return [seq for (seq,) in rows]

    def find_moved(self, account: str, before: int, limit: int) -> MovedPage:
        with self.at_one_instant() as reader:
            return reader._moved(account, before, limit)

    def _moved(self, account: str, before: int, limit: int) -> MovedPage:
        first = self._number(BACK, before, SCANNED_MAX)
        found = self._archives.merged(
            iter(self.moved_in(account, first, before)),
            lambda file: iter(file.moved_in(account, first, before)),
            newest_first=True,
        )
        moved = (moved_of(report, account, self.reports_of, self.line_of) for report in found)
        page = list(islice((each for each in moved if each is not None), limit))
        return MovedPage(page, page[-1].report.report_id if len(page) == limit else first)

    def find_holdings(self, account: str) -> list[Standing]:
        query = (
            f"SELECT {', '.join('h.' + name for name in Holding._fields)}, "
            "coalesce(l.price_ticks, 0), i.price_scale, i.quantity_scale, i.quote_scale, i.quote "
            "FROM holdings AS h LEFT JOIN last_prices AS l ON l.symbol = h.symbol "
            f"{instrument_at('h.symbol', NOW)} WHERE h.account = ? ORDER BY h.symbol"
        )
        with self._read_only_one() as reader:
            found = list(reader._rows(query, (account,)))
        width = len(Holding._fields)
        return [Standing(Holding._make(row[:width]), *row[width:]) for row in found]

    def find_trades(self, account: str, symbol: str, before: int, limit: int) -> list[TradeRow]:
        with self.at_one_instant() as reader:
            return list(islice(reader._trades_before(account, symbol, before), limit))

    def _trades_before(self, account: str, symbol: str, before: int) -> Iterator[TradeRow]:
        """Newest first, turn by turn: the two sides of a trade may be in two files."""
        changes, scales, last = self.changes(0), self.scales(), before | NUMBER_MASK
        fills = self._archives.merged(
            self.fills_before(account, symbol, last),
            lambda file: file.fills_before(account, symbol, last),
            newest_first=True,
        )
        for seq, _ in groupby(fills, lambda fill: fill[0] >> NUMBER_BITS):
            for row in sorted(trade_rows(self.reports_of_turn(seq), changes, scales), reverse=True):
                mine = account in ("", row.buy_account, row.sell_account)
                if mine and symbol in ("", row.symbol) and row.report_id < before:
                    yield row

    def find_lines(self, seqs: Sequence[int]) -> list[Line]:
        with self._read_only_one() as reader:
            return [reader.line_of(seq) for seq in seqs]

    def find_after(
        self, after: int, before: int, *, account: str = "", symbol: str = ""
    ) -> list[Report] | None:
        with self.at_one_instant() as reader:
            too_far = after >> NUMBER_BITS < reader._archives.last_seq
            if too_far or reader._one(HAS_MORE, after, LOOKED_AT_MAX):
                return None
            where = OF_ACCOUNT_AFTER if account else OF_SYMBOL_AFTER
            return reader._reports(where, after, before, account or symbol)
