"""SqlStore: what every store does that has its tables in a database, whichever that is.

It is the reader (sql_reader.py), and what is kept for readers beside the journal: positions, last
prices, balances, instruments. That is written with the turn, in its transaction; each row is what
the journal gives, and is never read back but here.
Flow:  a turn's reports and notes -> [sql_store] -> rows of `holdings` and the other three
"""

from abc import abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from contextlib import AbstractContextManager

from oms.instruments import Instrument
from oms.positions import CHANGES, Holdings, folded
from oms.reports import TRADE, Report, type_of
from oms.stores import EXECUTIONS, Noted, Store
from oms.stores.listed import relisted
from oms.stores.schema import INSERT_INSTRUMENT, UPSERT_BALANCE, UPSERT_HOLDING, UPSERT_PRICE
from oms.stores.sql_reader import SqlReader


class SqlStore(SqlReader, Store):
    """A whole store; what differs between databases is left to its subclasses."""

    def __init__(self) -> None:
        super().__init__()
        self._holdings = Holdings(self._holding)

    @abstractmethod
    def at_one_instant(self) -> AbstractContextManager["SqlStore"]: ...

    @abstractmethod
    def _write_rows(self, statement: str, rows: Iterable[Sequence[object]]) -> int:
        """One statement for each row, in the transaction under way; how many rows it wrote. Errors
        as StoreError."""

    def _keep(self, seq: int, reports: Sequence[Report]) -> None:
        """What a turn's trades, busts and corrections make of positions and last prices."""
        kinds = set(map(type_of, reports))
        if kinds.isdisjoint(EXECUTIONS):
            return
        fills = [report for report in reports if report.type == TRADE]
        changes = [r for r in reports if r.type in CHANGES] if not kinds.isdisjoint(CHANGES) else []
        anew = {(r.account, r.symbol) for r in changes}
        rows = self._holdings.take(fills, seq, anew)
        prices = {report.symbol: report.last_price_ticks for report in fills}
        for key in sorted(anew):
            rows += self.folded_of(key)
        for _, symbol in anew:
            prices[symbol] = self.last_price_of(symbol)
        self._holdings.forget(anew)
        self._write_rows(UPSERT_HOLDING, rows)
        self._write_rows(UPSERT_PRICE, [(symbol, seq, ticks) for symbol, ticks in prices.items()])

    def _keep_all(self) -> None:
        """The same, of all the reports that there are."""
        self._holdings.forget()
        holdings = folded(lambda: self.executions_of(None))
        self._write_rows(UPSERT_HOLDING, holdings.values())
        seqs: dict[str, int] = {}
        for row in holdings.values():
            seqs[row.symbol] = max(row.seq, seqs.get(row.symbol, 0))
        prices = [(symbol, seq, self.last_price_of(symbol)) for symbol, seq in seqs.items()]
        self._write_rows(UPSERT_PRICE, prices)

    def note(self, noted: Noted) -> None:
        if noted.balances:
            self._write_rows(
                UPSERT_BALANCE,
                [(who, asset, noted.seq, *rest) for who, asset, *rest in noted.balances],
            )
        if noted.instruments is not None:
            self._list(noted.seq, noted.instruments)

    def _list(self, seq: int, instruments: Mapping[str, Instrument]) -> None:
        """What is traded from this turn on; what is other than before gets a new row."""
        standing = list(self._rows("SELECT * FROM instruments WHERE until_seq IS NULL", ()))
        for rows in relisted(standing, instruments, seq):
            self._write_rows(INSERT_INSTRUMENT, rows)
