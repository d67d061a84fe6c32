"""The end of a trading date: settlement prices, what each account did, and the date's trades.

Flow:  journal -> [day] -> the end-of-day file
A date's turns are those from its OPEN line to its CLOSE line, or from one DATE line to the next
where a market never closes. All of it follows from the journal and, for when a date should have
ended, from the calendar: the same of both, the same day.
"""

from collections.abc import Iterable, Iterator
from fractions import Fraction
from typing import NamedTuple

from oms.clock import NANOS
from oms.desk.calendar import Schedule
from oms.enums import Phase
from oms.errors import JournalError
from oms.exchange.accounts import FEE_ACCOUNT, TRADES, Posting
from oms.instruments import Instrument
from oms.positions import TradeRow, trade_rows
from oms.requests.codec import SESSION, decode_all
from oms.stores import JournalRecord, Store, checked
from oms.turn.journal import Fold
from oms.venues import EmbeddedVenue, Venue

SETTLEMENT_MINUTES = 30
CLOSING_AUCTION, VWAP, LAST = "closing_auction", "vwap", "last"
PREVIOUS, REFERENCE, NONE = "previous", "reference", "none"


class Settlement(NamedTuple):
    """The price of a symbol at the end of a date, and the rule that gave it; None: there is none.

    The price of the closing auction; else the average by volume of the trades of the last
    SETTLEMENT_MINUTES before the date's end by the calendar, on the price grid, half to even (of a
    date that ended earlier, or is under way: before its latest turn); else the price of the date's
    last trade; else the settlement price of the date before; else the configured
    reference price. Trades count as they stand.
    """

    price_ticks: int | None
    rule: str


class Line(NamedTuple):
    """An account's statement of one asset, in units: closing = opening + the three between.

    funds: deposits, withdrawals and transfers. trades: what fills, busts and corrections moved.
    """

    account: str
    asset: str
    opening: int
    funds: int
    trades: int
    fees: int
    closing: int
    reserved: int


class Position(NamedTuple):
    """Net lots filled of an account in a symbol, when the date began and when it ended."""

    account: str
    symbol: str
    opening_lots: int
    closing_lots: int


class Day(NamedTuple):
    """One trading date. complete: it is over. end_ns: when it ended, or the latest turn.

    positions are of fills, so they are those of the journal, whatever was paid in.
    """

    date: str
    complete: bool
    last_seq: int
    end_ns: int
    instruments: dict[str, Instrument]
    scales: dict[str, int]
    settlements: dict[str, Settlement]
    statements: list[Line]
    positions: list[Position]
    trades: list[TradeRow]


class Book:
    """What is gathered of the date under way, from the end of the date before on; `date` is ""
    until a session opens."""

    def __init__(self, fold: Fold) -> None:
        self.date = ""
        self.trades: list[TradeRow] = []
        self.calls: set[str] = set()  # symbols in their closing auction before this turn
        self.closing: dict[str, int] = {}  # prices of the closing auction
        self.moved: dict[tuple[str, str], list[int]] = {}  # funds, trades, fees
        self.positions = dict(fold.desk.executions.positions)
        self.totals = {key: sum(balance) for key, balance in _balances(fold).items()}

    def note(self, trades: Iterable[TradeRow], postings: Iterable[Posting]) -> None:
        """What a turn did."""
        for trade in trades:
            self.trades.append(trade)
            if trade.symbol in self.calls and not trade.aggressor and trade.lots:
                self.closing[trade.symbol] = trade.price_ticks
        for posting in postings:
            fee = FEE_ACCOUNT in (posting.account, posting.contra) and "fee" in posting.why
            what = 1 if posting.contra == TRADES else 2 if fee else 0
            self._moved(posting.account, posting.asset)[what] += posting.amount

    def _moved(self, account: str, asset: str) -> list[int]:
        return self.moved.setdefault((account, asset), [0, 0, 0])

    def go_on(self, after: "Book") -> None:
        """With what came after its date was over, when it opens again."""
        self.trades += after.trades
        for key, amounts in after.moved.items():
            self.moved[key] = [a + b for a, b in zip(self._moved(*key), amounts, strict=True)]


class Settlements:
    """The settlement prices, from one date to the next."""

    def __init__(self, schedule: Schedule | None) -> None:
        self._schedule = schedule
        self._latest: dict[str, Settlement] = {}

    def of(
        self, book: Book, instruments: dict[str, Instrument], end_ns: int
    ) -> dict[str, Settlement]:
        """Those of a date, whose latest turn is of this instant."""
        closes_ns = self._schedule.end_ns(book.date) if self._schedule is not None else None
        late_ns = min(end_ns, closes_ns or end_ns) - SETTLEMENT_MINUTES * 60 * NANOS
        for symbol, instrument in instruments.items():
            self._latest[symbol] = self._settle(book, instrument, late_ns)
        return dict(self._latest)

    def _settle(self, book: Book, instrument: Instrument, late_ns: int) -> Settlement:
        symbol = instrument.symbol
        if symbol in book.closing:
            return Settlement(book.closing[symbol], CLOSING_AUCTION)
        trades = [each for each in book.trades if each.symbol == symbol and each.lots]
        late = [each for each in trades if each.wall_ns >= late_ns]
        if late:
            lots = sum(each.lots for each in late)
            average = Fraction(sum(each.price_ticks * each.lots for each in late), lots)
            tick = instrument.tick_at(int(average))
            return Settlement(round(average / tick) * tick, VWAP)
        if trades:
            return Settlement(trades[-1].price_ticks, LAST)
        before = self._latest.get(symbol)
        if before is not None and before.price_ticks is not None:
            return Settlement(before.price_ticks, PREVIOUS)
        reference = instrument.reference_price_ticks
        return Settlement(reference, REFERENCE) if reference else Settlement(None, NONE)


class DayFold(Fold):
    """A fold whose ledger keeps the postings of each turn."""

    def reset(self) -> None:
        super().reset()
        self.desk.ledger.postings = []

    def scales(self, symbol: str, _seq: int) -> tuple[int, int, int]:
        """Those of this turn."""
        each = self.desk.listings.known(symbol)
        assert each is not None, "it was traded"
        return each.scales

    def taken(self) -> list[Posting]:
        found, self.desk.ledger.postings = self.desk.ledger.postings or [], []
        return found


def days(
    store: Store, venue: Venue | EmbeddedVenue, schedule: Schedule | None = None
) -> Iterator[Day]:
    """Every trading date of the journal, oldest first; the last may be under way.

    schedule: says when each date ends, however late the turn that closes it; None: that turn does.

    What happens while no session is open counts for the next date. Where a process was down
    overnight, one turn closes a date and opens the next: it counts for the next.
    """
    fold, changes = DayFold(venue), store.changes(0)
    settled = Settlements(schedule)
    book, over = Book(fold), list[tuple[Book, Day]]()  # over: a date that may open again
    for record in checked(store.records(), 0, 0):
        begins, ends = _dates_in(record)
        if begins and over:
            before, day = over.pop()
            if begins == day.date:  # the clock was set back, or the hours were changed
                before.go_on(book)
                book = before
            else:
                yield day
        if begins and book.date not in ("", begins):
            yield _day(book, fold, settled, record.wall_ns, complete=True)
            book = Book(fold)
        book.date = begins or book.date or ends
        book.calls = {s for s, phase in _phases(fold) if phase is Phase.CLOSING_AUCTION}
        book.note(trade_rows(fold.apply(record), changes, fold.scales), fold.taken())
        if ends and not begins:
            over = [(book, _day(book, fold, settled, record.wall_ns, complete=True))]
            book = Book(fold)
    yield from (day for _, day in over)
    if book.date:
        yield _day(book, fold, settled, fold.instant.wall_ns, complete=False)


def _phases(fold: Fold) -> list[tuple[str, Phase]]:
    engine = fold.desk.engine
    return [] if engine is None else [(s, market.phase) for s, market in engine.markets.items()]


def _dates_in(record: JournalRecord) -> tuple[str, str]:
    """The date that a turn begins, and the one that it ends; "" for none."""
    begins = ends = ""
    if f'["{SESSION}",' in record.body:
        for line in decode_all(record.body, record.first_seq):
            if line[0] == SESSION and line[1] in ("OPEN", "DATE"):
                begins = line[2]
            elif line[0] == SESSION and line[1] == "CLOSE":
                ends = line[2]
    return begins, ends


def _day(book: Book, fold: Fold, settled: Settlements, end_ns: int, *, complete: bool) -> Day:
    """The date as it stands."""
    engine = fold.desk.engine
    markets = engine.markets if engine is not None else {}
    instruments = {s: market.instrument for s, market in markets.items()} | fold.desk.instruments
    return Day(
        book.date, complete, fold.last_seq, end_ns, instruments, dict(fold.desk.ledger.scales),
        settled.of(book, instruments, end_ns), list(_statement(book, fold)),
        list(_positions(book, fold)), book.trades,
    )  # fmt: skip


def _balances(fold: Fold) -> dict[tuple[str, str], tuple[int, int]]:
    """Available and reserved of each account and asset."""
    return {
        (account, asset): (balance[0], balance[1])
        for account, assets in fold.desk.ledger.accounts.items()
        for asset, balance in assets.items()
    }


def _statement(book: Book, fold: Fold) -> Iterator[Line]:
    for key, (available, reserved) in sorted(_balances(fold).items()):
        opening, closing = book.totals.get(key, 0), available + reserved
        funds, trades, fees = book.moved.get(key, (0, 0, 0))
        if opening + funds + trades + fees != closing:
            raise JournalError(f"{key[0]} {key[1]}: the movements of {book.date} do not add up")
        yield Line(*key, opening, funds, trades, fees, closing, reserved)


def _positions(book: Book, fold: Fold) -> Iterator[Position]:
    now = fold.desk.executions.positions
    for key in sorted({*book.positions, *now}):
        yield Position(*key, book.positions.get(key, 0), now.get(key, 0))
