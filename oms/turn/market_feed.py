"""Market feed: what readers see of books, balances and phases, and what a turn changed of it.

Flow:  dispatcher, after the commit -> [market feed] -> views, which any thread reads
                                                     -> events -> publisher -> market listeners
Owner: the dispatcher's thread writes. One lock is held while the views are changed or copied, and
       for nothing else: a reader waits for microseconds, and never for a commit.

Whole books are followed only from when somebody wants them: until then orders pay nothing for it.
"""

import threading
from collections.abc import Callable, Mapping

from oms.desk.desk import Desk
from oms.enums import CALLS, Phase, Side
from oms.errors import StoppedError
from oms.exchange.market import Market
from oms.instruments import Instrument
from oms.market_data import (
    BalanceChange,
    DepthSnapshot,
    DepthUpdate,
    IndicativePrice,
    Level,
    MarketEvent,
    MarketState,
    TopOfBook,
    TradeEvent,
)

BUY, SELL = Side.BUY, Side.SELL
OPERATOR, BREAKER, DELISTED = "OPERATOR", "BREAKER", "DELISTED"  # why it is halted, or closed
NO_EVENTS: list[MarketEvent] = []  # shared by every turn that has none; never appended to

NOTHING_HELD: dict[str, tuple[int, int]] = {}
NOTHING_TRADES = (0, 0, 0)
ALL_LEVELS = 1 << 62

Moved = list[tuple[str, str, tuple[int, int]]]
"""Account, asset, and what is available and reserved of it now."""


class BookView:
    """One symbol's whole book, as of its last_id: price -> lots shown, both ways.

    top: best bid, lots there, best ask, lots there; only the dispatcher's thread looks at it.
    """

    __slots__ = ("asks", "bids", "last_id", "market", "top")

    def __init__(self, market: Market, last_id: int) -> None:
        book = market.book
        bids, asks = book.get_depth(ALL_LEVELS)
        self.market = market
        self.last_id = last_id
        self.bids, self.asks = dict(bids), dict(asks)
        self.top = _top_of(market)

    def set_levels(self, change: "BookChange") -> None:
        for levels, changed in ((self.bids, change.bids), (self.asks, change.asks)):
            for price_ticks, lots in changed:
                if lots:
                    levels[price_ticks] = lots
                else:
                    del levels[price_ticks]
        self.last_id = change.last_id


class BookChange:
    """What a turn did to one book: levels as they are now, best first; the top if it is new."""

    __slots__ = ("asks", "bids", "first_id", "last_id", "top", "view")

    def __init__(self, view: BookView, seq: int) -> None:
        """Compare with what is published; from now on changes count anew."""
        market = view.market
        assert market.changed is not None
        self.view, self.first_id, self.last_id = view, view.last_id + 1, seq
        bids, asks, volume_at = list[Level](), list[Level](), market.book.volume_at
        for side, price_ticks in market.changed:
            lots = volume_at(side, price_ticks)
            published, changed = (view.bids, bids) if side is BUY else (view.asks, asks)
            if lots != published.get(price_ticks, 0):
                changed.append((price_ticks, lots))
        market.changed.clear()
        bids.sort(reverse=True)
        asks.sort()
        self.bids, self.asks = tuple(bids), tuple(asks)
        top = _top_of(market)
        self.top = top if top != view.top else None
        view.top = top


class MarketFeed:
    """The published state of the exchange but for single orders, and its events.

    wake: lets the dispatcher take a turn. wanted: whole books are to be followed from the next
    turn on.
    """

    def __init__(self, wake: Callable[[], None]) -> None:
        self.wanted = False
        self._wake = wake
        self._lock = threading.Lock()
        self._follows = threading.Event()
        self._desk: Desk | None = None
        self._books: dict[str, BookView] = {}
        self._balances: dict[str, dict[str, tuple[int, int]]] = {}
        self._phases: dict[str, Phase] = {}
        self._indicative: dict[str, tuple[int, int, int]] = {}  # as told in this call
        self._listed: Mapping[str, Instrument] = {}  # of which the views are
        self._asset_scales: Mapping[str, int] = {}

    # --- what any thread may ask ---

    def want_depth(self) -> None:
        """Follow whole books, from the dispatcher's next turn on, until the process ends."""
        if not self._follows.is_set():
            self.wanted = True
            self._wake()

    @property
    def follows(self) -> bool:
        """Are the books followed yet? They are from the turn after somebody first asked."""
        return self._follows.is_set()

    def depth_snapshot(self, symbol: str, wait_s: float) -> DepthSnapshot:
        """The whole book as it is durable; the very first one waits for a turn, at most so long."""
        self.want_depth()
        if not self._follows.wait(wait_s):
            raise StoppedError(f"depth of {symbol}: the dispatcher took no turn in {wait_s:g} s")
        with self._lock:
            book = self._books.get(symbol)
            if book is None:  # the book is a remote venue's
                return DepthSnapshot(symbol, 0, (), ())
            last_id, bids, asks = book.last_id, book.bids.copy(), book.asks.copy()
            scales = _scales(book.market)
        by_price = tuple(sorted(bids.items(), reverse=True)), tuple(sorted(asks.items()))
        return DepthSnapshot(symbol, last_id, *by_price, *scales)

    def balances(self, account: str) -> dict[str, tuple[int, int]]:
        """By asset: available and reserved in its units, of one instant."""
        with self._lock:
            return self._balances.get(account, {}).copy()

    def scale_of(self, asset: str) -> int:
        """How many decimals an asset has that an account has had any of."""
        return self._asset_scales.get(asset, 0)

    def scales(self) -> dict[str, int]:
        """Of all assets that an account has had any of."""
        return dict(self._asset_scales)

    def phases(self) -> dict[str, Phase]:
        with self._lock:
            return self._phases.copy()

    # --- the dispatcher, between turns ---

    def attach(self, desk: Desk, seq: int) -> None:
        """Look at this desk from now on; its state, as of journal entry `seq`, is durable."""
        self._desk, self._listed = desk, desk.instruments
        ledger, engine = desk.executions.ledger, desk.engine
        desk.ledger.touched.clear()
        accounts = ledger.accounts if ledger is not None else {}
        balances = {
            account: {asset: (balance[0], balance[1]) for asset, balance in assets.items()}
            for account, assets in accounts.items()
        }
        phases: dict[str, Phase] = {}
        if engine is not None:
            engine.phases.changed.clear()
            phases = {symbol: engine.markets[symbol].phase for symbol in desk.instruments}
        with self._lock:
            self._balances, self._phases = balances, phases
            self._asset_scales = desk.ledger.scales.copy()
        if self.wanted or self._follows.is_set():
            self.follow(seq)

    def follow(self, seq: int) -> None:
        """Copy every book once, and have changes noted from now on.

        Books followed before keep their last id: the desk is another after a turn was undone,
        the durable book is not.
        """
        desk, books = self._desk, dict[str, BookView]()
        if desk is None:
            return  # not started yet; attach will come back to it
        markets = desk.engine.markets if desk.engine is not None else {}
        for symbol in desk.instruments if markets else ():
            market, before = markets[symbol], self._books.get(symbol)
            market.changed = set()
            books[symbol] = BookView(market, before.last_id if before is not None else seq)
        with self._lock:
            self._books = books
        self._follows.set()
        self.wanted = False

    # --- the dispatcher, after each commit ---

    def turn(
        self, seq: int, symbols: set[str], trades: list[TradeEvent], *, listening: bool
    ) -> list[MarketEvent]:
        """Renew the views; returns what to tell, if somebody listens.

        symbols: those of the turn's reports; no book changes without one. trades: what it traded,
        took back and corrected.
        """
        desk = self._desk
        if desk is None:
            return NO_EVENTS
        engine, ledger = desk.engine, desk.executions.ledger
        follows = self._follows.is_set()
        gone = self._relist(desk, seq) if self._listed is not desk.instruments else []
        if (
            not follows
            and not (ledger and ledger.touched)
            and not (engine and engine.phases.changed)
        ):
            return NO_EVENTS  # nothing moved that anybody follows
        listening = listening and follows  # what is told begins with a whole turn
        moved = self._moved(desk, listening)
        entered = self._entered(desk)
        changes = self._changes(seq, symbols) if follows else []
        if moved or entered or changes:
            self._renew(moved, entered, changes)
        if not listening:
            self._indicative.clear()
            return NO_EVENTS
        events: list[MarketEvent] = [
            MarketState(seq, number, market.instrument.symbol, market.phase, _why(market))
            for number, market in enumerate(entered, 1)
        ]
        events += [
            MarketState(seq, number, symbol, Phase.CLOSED, DELISTED)
            for number, symbol in enumerate(gone, len(events) + 1)
        ]
        events += [t._replace(number=n) for n, t in enumerate(trades, len(events) + 1)]
        _tell_books(events, seq, changes)
        self._tell_calls(events, seq, symbols.union(m.instrument.symbol for m in entered))
        for account, asset, now in moved:
            scale = self._asset_scales.get(asset, 0)
            events.append(BalanceChange(seq, len(events) + 1, account, asset, *now, scale))
        return events

    def _relist(self, desk: Desk, seq: int) -> list[str]:
        """Others are traded than before: views of those that came; the symbols that went."""
        gone = sorted(self._phases.keys() - desk.instruments.keys())
        self._listed = desk.instruments
        with self._lock:
            self._asset_scales = desk.ledger.scales.copy()
            for symbol in gone:
                self._phases.pop(symbol)
            if self._follows.is_set() and desk.engine is not None:
                books, self._books = self._books, {}
                for symbol in desk.instruments:
                    if symbol not in books:  # new, and so without orders
                        market = desk.engine.markets[symbol]
                        market.changed = set()
                        books[symbol] = BookView(market, seq)
                    self._books[symbol] = books[symbol]
        return gone

    def _moved(self, desk: Desk, listening: bool) -> Moved:
        """Balances that are not what is published."""
        ledger, moved = desk.executions.ledger, Moved()
        if ledger is None or not ledger.touched:
            return moved
        accounts, published = ledger.accounts, self._balances
        for account in sorted(ledger.touched) if listening else ledger.touched:
            known = published.get(account, NOTHING_HELD)
            for asset, (available, reserved) in sorted(accounts[account].items()):
                now = (available, reserved)
                if known.get(asset) != now:
                    moved.append((account, asset, now))
        ledger.touched.clear()
        return moved

    def _entered(self, desk: Desk) -> list[Market]:
        """Markets whose phase is another than the published one."""
        if desk.engine is None or not desk.engine.phases.changed:
            return []
        symbols, markets = desk.engine.phases.changed, desk.engine.markets
        entered = [
            markets[symbol]
            for symbol in sorted(symbols & desk.instruments.keys())
            if markets[symbol].phase is not self._phases.get(symbol)
        ]
        symbols.clear()
        return entered

    def _changes(self, seq: int, symbols: set[str]) -> list[BookChange]:
        changes = []
        for symbol in sorted(symbols & self._books.keys()):
            view = self._books[symbol]
            if view.market.changed:
                change = BookChange(view, seq)
                if change.bids or change.asks:
                    changes.append(change)
        return changes

    def _renew(self, moved: Moved, entered: list[Market], changes: list[BookChange]) -> None:
        """All of a turn at once, for readers on other threads."""
        with self._lock:
            for account, asset, now in moved:
                self._balances.setdefault(account, {})[asset] = now
            for market in entered:
                self._phases[market.instrument.symbol] = market.phase
            for change in changes:
                change.view.set_levels(change)

    def _tell_calls(self, events: list[MarketEvent], seq: int, symbols: set[str]) -> None:
        for symbol in sorted(symbols & self._books.keys()):
            if self._books[symbol].market.phase not in CALLS:
                self._indicative.pop(symbol, None)
                continue
            market = self._books[symbol].market
            found = market.indicative() or NOTHING_TRADES
            if found != self._indicative.get(symbol):
                self._indicative[symbol] = found
                number = len(events) + 1
                events.append(IndicativePrice(seq, number, symbol, *found, *_scales(market)))


def indicative_now(desk: Desk, symbol: str) -> IndicativePrice | None:
    """What an auction would trade if it ended now, as of the latest turn; None: there is no call.
    On the dispatcher's thread."""
    market = desk.engine.markets.get(symbol) if desk.engine is not None else None
    if market is None or market.phase not in CALLS:
        return None
    found = market.indicative() or NOTHING_TRADES
    return IndicativePrice(desk.reports.turn_seq, 0, symbol, *found, *_scales(market))


def _tell_books(events: list[MarketEvent], seq: int, changes: list[BookChange]) -> None:
    for change in changes:
        symbol, scales = change.view.market.instrument.symbol, _scales(change.view.market)
        events.append(
            DepthUpdate(
                seq, len(events) + 1, symbol, change.first_id, seq, change.bids, change.asks,
                *scales,
            )
        )  # fmt: skip
        if change.top is not None:
            events.append(TopOfBook(seq, len(events) + 1, symbol, *change.top, *scales))


def _scales(market: Market) -> tuple[int, int]:
    """How many decimals price and quantity have."""
    return market.instrument.price_scale, market.instrument.quantity_scale


def _top_of(market: Market) -> tuple[int, int, int, int]:
    book = market.book
    bid, ask = book.best_bid or 0, book.best_ask or 0
    return bid, book.volume_at(BUY, bid), ask, book.volume_at(SELL, ask)


def _why(market: Market) -> str:
    """Why a market is halted: by an operator, until an operator; or its breaker's pause."""
    if market.phase is not Phase.HALTED:
        return ""
    return OPERATOR if market.halted else BREAKER
