"""A store that forgets at exit: for tests and for simulations that leave nothing behind."""

from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager

from oms.instruments import Instrument
from oms.positions import (
    Changes,
    Scales,
    Standing,
    TradeRow,
    changes_in,
    folded,
    last_price,
    trade_rows,
)
from oms.reports import Report
from oms.requests.codec import Line
from oms.requests.orders import SEQUENCE_MAX
from oms.stores import (
    COMMAND_DONE,
    EXECUTIONS,
    LOOKED_AT_MAX,
    AskedOrder,
    Claim,
    JournalRecord,
    MovedPage,
    Noted,
    OrderIds,
    Snapshot,
    StoredTrade,
    Turn,
    answers_in,
    as_it_stands,
    asked_in,
    is_of_trades,
    line_in,
    moved_of,
    names_trade,
)


class MemoryStore:
    """Keeps everything in lists; grows for as long as it lives."""

    outdated = False

    def __init__(self) -> None:
        self._records: list[JournalRecord] = []
        self._ids: dict[tuple[str, str], tuple[int, int]] = {}  # sequence, content
        self._reports: dict[int, list[Report]] = {}
        self._pending: list[tuple[JournalRecord, Sequence[Report]]] = []
        self._claimed: dict[tuple[str, str], tuple[int, int]] = {}
        self._orders: dict[int, Claim] = {}  # of new orders, by sequence
        self._ordered: dict[int, Claim] = {}  # the same, of this turn
        self._noted: list[Noted] = []  # of the turn under way
        self._listed: list[Noted] = []  # those with instruments
        self._snapshots: list[Snapshot] = []
        self._parts: dict[int, list[str]] = {}

    def open(self) -> None:
        pass

    def upgrade(self, turns: Iterable[Turn]) -> None:
        assert not list(turns), "what is in memory is never old"

    def begin(self) -> None:
        self._pending, self._noted = [], []
        self._claimed = {}
        self._ordered = {}

    def hurry(self) -> None:
        pass

    def claim(self, claims: Sequence[Claim]) -> bool:
        fresh = True
        for claim in claims:
            seq, account, client_order_id, _, side, _, content = claim
            key = (account, client_order_id)
            if key in self._ids or key in self._claimed:
                fresh = False
            else:
                self._claimed[key] = seq, content
                if side:
                    self._ordered[seq] = claim
        return fresh

    def owner(self, account: str, client_order_id: str) -> tuple[int, int]:
        key = (account, client_order_id)
        return self._ids.get(key) or self._claimed.get(key, (0, 0))

    def used(self, names: Sequence[tuple[str, str]]) -> set[tuple[str, str]]:
        return {name for name in names if self.owner(*name)[0]}

    def append(self, record: JournalRecord, reports: Sequence[Report]) -> None:
        self._pending.append((record, reports))

    def note(self, noted: Noted) -> None:
        self._noted.append(noted)

    def commit(self) -> None:
        self._listed += [noted for noted in self._noted if noted.instruments is not None]
        for record, reports in self._pending:
            self._records.append(record)
            for report in reports:
                self._reports.setdefault(report.order_id, []).append(report)
        self._orders.update(self._ordered)
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

    def line_of(self, seq: int) -> Line:
        return line_in(self.record_of(seq), seq)

    def reports_of(self, order_id: int) -> list[Report]:
        return list(self._reports.get(order_id, ()))

    def reports_of_turn(self, seq: int) -> list[Report]:
        return [report for report in self.all_reports() if report.journal_seq == seq]

    def reports_between(self, after_seq: int, last_seq: int) -> list[Report]:
        return [each for each in self.all_reports() if after_seq < each.journal_seq <= last_seq]

    def told(self, seq: int) -> Report | None:
        for reports in list(self._reports.values()):
            answers = answers_in(reports, seq)
            if answers:
                return answers[-1]
        return None

    def find_reports(self, account: str, named: str | int) -> list[Report]:
        if isinstance(named, int):
            return [r for r in self.reports_of(named) if r.account == account]
        seq, _ = self._ids.get((account, named), (0, 0))
        own = self.reports_of(seq) if seq else []
        if own or not seq:
            return own
        told = self.told(seq)  # a change: of which order?
        if told is None or told.type == "CANCEL_REJECTED":  # then it never was a name of the order
            return []
        return self.reports_of(told.order_id)

    def find_asked(self, order_ids: Sequence[int]) -> list[AskedOrder]:
        return [
            asked_in(claim, self.line_of, [
                (each.code, each.request_seq, each.reason,
                 each.cumulative_lots + each.leaves_lots)
                for each in self.reports_of(order_id)
                if each.type in ("REPLACED", "RESTATED")
            ])
            for order_id in order_ids
            if (claim := self._orders.get(order_id)) is not None
        ]  # fmt: skip

    def find_orders(
        self, account: str, symbol: str, side: str, before: int, limit: int
    ) -> OrderIds:
        found = [
            seq for seq, owner, _, of_symbol, of_side, _, _ in list(self._orders.values())
            if owner == account and symbol in ("", of_symbol) and side in ("", of_side)
            and seq < before
        ]  # fmt: skip
        ids = sorted(found, reverse=True)[:limit]
        return OrderIds(ids, ids[-1] if len(ids) < len(found) else 0)

    def find_commands(self, account: str, before: int, limit: int) -> list[int]:
        found = [
            seq for (owner, _), (seq, _) in list(self._ids.items())
            if owner == account and seq < before and seq not in self._orders
        ]  # fmt: skip
        return sorted(found, reverse=True)[:limit]

    @contextmanager
    def at_one_instant(self) -> "Iterator[MemoryStore]":
        yield self

    def find_moved(self, account: str, before: int, limit: int) -> MovedPage:
        reports = sorted(
            each for each in self.all_reports()
            if each.report_id < before and (
                (each.type in EXECUTIONS and each.account == account)
                or (each.type == COMMAND_DONE and each.reason.startswith("asset="))
            )
        )  # fmt: skip
        moved = (
            moved_of(each, account, self.reports_of, self.line_of) for each in reversed(reports)
        )
        found = [each for each in moved if each is not None]
        page = found[:limit]
        return MovedPage(page, page[-1].report.report_id if len(page) < len(found) else 0)

    def find_holdings(self, account: str) -> list[Standing]:
        executions = list(self._executions())
        found = folded(lambda: [r for r in executions if r.account == account])
        return [
            Standing(
                row,
                last_price(r for r in reversed(executions) if r.symbol == row.symbol),
                *self._scales(row.symbol),
                self._instrument(row.symbol).quote,
            )
            for _, row in sorted(found.items())
        ]

    def find_trades(self, account: str, symbol: str, before: int, limit: int) -> list[TradeRow]:
        wanted = [
            row
            for row in trade_rows(self._executions(), self.changes(0), self._scales)
            if account in ("", row.buy_account, row.sell_account)
            and symbol in ("", row.symbol)
            and row.report_id < before
        ]
        return wanted[-limit:][::-1] if limit else []

    def _executions(self) -> Iterator[Report]:
        return (report for report in self.all_reports() if report.type in EXECUTIONS)

    def _instrument(self, symbol: str, seq: int = SEQUENCE_MAX) -> Instrument:
        """As it was listed at this sequence, or before."""
        return next(
            noted.instruments[symbol]
            for noted in reversed(self._listed)
            if noted.seq <= seq and noted.instruments is not None and symbol in noted.instruments
        )

    def _scales(self, symbol: str, seq: int = SEQUENCE_MAX) -> tuple[int, int, int]:
        """Of the price, the quantity and the quote asset, as they were then."""
        return self._instrument(symbol, seq).scales

    def find_lines(self, seqs: Sequence[int]) -> list[Line]:
        return [self.line_of(seq) for seq in seqs]

    def find_after(
        self, after: int, before: int, *, account: str = "", symbol: str = ""
    ) -> list[Report] | None:
        # Copies: the dispatcher adds meanwhile, what is not below `before`.
        every = [report for each in list(self._reports.values()) for report in tuple(each)]
        recent = sorted(report for report in every if report.report_id > after)
        if len(recent) > LOOKED_AT_MAX:
            return None
        return [
            report
            for report in recent
            if report.report_id < before
            and (report.account == account if account else is_of_trades(report, symbol))
        ]

    def last_told_seq(self) -> int:
        return max((each[-1].journal_seq for each in self._reports.values()), default=0)

    def all_reports(self) -> Iterator[Report]:
        return iter(sorted(report for each in self._reports.values() for report in each))

    def executions(self, symbols: Collection[str], before: int) -> Iterator[Report]:
        told = sorted(
            report
            for each in self._reports.values()
            for report in each
            if report.type in EXECUTIONS and report.symbol in symbols and report.report_id < before
        )
        return reversed(told)

    def trades(self, symbol: str, start_ns: int, end_ns: int) -> Iterator[StoredTrade]:
        reports = [report for report in self.all_reports() if report.symbol == symbol]
        changes = self.changes(start_ns)
        for report in reports:
            if names_trade(report) and start_ns <= report.wall_ns < end_ns:
                trade = StoredTrade(
                    report.report_id, report.wall_ns, report.last_price_ticks,
                    report.last_quantity_lots, False,
                )  # fmt: skip
                yield as_it_stands(trade, changes)

    def changes(self, start_ns: int) -> Changes:
        return changes_in(each for each in self.all_reports() if each.wall_ns >= start_ns)

    def scales(self) -> Scales:
        return self._scales

    def save_part(self, parts_id: int, number: int, part: str) -> None:
        if number == 1:  # of one that did not come to its end nothing stays
            self._parts[parts_id] = []
        self._parts[parts_id].append(part)

    def save_snapshot(self, snapshot: Snapshot) -> None:
        parts = tuple(self._parts.pop(snapshot.parts_id, ()))
        self._snapshots = [*self._snapshots[-1:], snapshot._replace(parts=parts)]

    def drop_parts(self, under_way: int) -> bool:
        self._parts = {id: parts for id, parts in self._parts.items() if id == under_way}
        return False

    def snapshots(self) -> list[Snapshot]:
        return list(self._snapshots)

    def close(self) -> None:
        pass
