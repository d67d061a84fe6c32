"""Mirror: what an api knows of a group, from what its engine told; a projection, never the truth.

Flow:  view of the engine, then entries of `evt` -> [mirror] -> readers, listeners
Owner: the group's receiving thread changes it; any thread reads. A reader sees a book or a list
       of trades as of one turn.

Books, trades, phases, instruments and users are here, because everybody asks for them. What an
account owns and has open is asked of the engine.
"""

import threading
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any

from oms.enums import Phase
from oms.instruments import Instrument
from oms.market_data import (
    DepthSnapshot,
    DepthUpdate,
    Level,
    MarketEvent,
    MarketState,
    TopOfBook,
    TradePrint,
)
from oms.roles.marshalling import View
from oms.transport.wire import TurnEntry, events_of
from oms.turn.access_view import AccessView

DELISTED = "DELISTED"
MISSED_MAX = 50_000


class Book:
    """One symbol's book, price -> lots, as of last_id."""

    __slots__ = ("asks", "bids", "last_id", "scales")

    def __init__(self, found: DepthSnapshot) -> None:
        self.bids, self.asks = dict(found.bids_ticks), dict(found.asks_ticks)
        self.last_id = found.last_id
        self.scales = found.price_scale, found.quantity_scale

    def set_levels(self, update: DepthUpdate) -> None:
        for levels, changed in ((self.bids, update.bids_ticks), (self.asks, update.asks_ticks)):
            for price_ticks, lots in changed:
                if lots:
                    levels[price_ticks] = lots
                else:
                    levels.pop(price_ticks, None)
        self.last_id = update.last_id

    def snapshot(self, symbol: str) -> DepthSnapshot:
        bids, asks = sorted(self.bids.items(), reverse=True), sorted(self.asks.items())
        return DepthSnapshot(symbol, self.last_id, tuple(bids), tuple(asks), *self.scales)

    def top(self) -> tuple[int, int, int, int]:
        bid, ask = max(self.bids, default=0), min(self.asks, default=0)
        return bid, self.bids.get(bid, 0), ask, self.asks.get(ask, 0)


class Mirror:
    """seq: the turn that it is of; 0: nothing is known yet. behind: depth is missing since a turn
    that was told from the journal, until the engine's view is taken again."""

    def __init__(self, trades_kept: int, instruments: Iterable[Instrument]) -> None:
        self._lock = threading.Lock()
        self._trades_kept = trades_kept
        self.seq = 0
        self.behind = True
        self._left_out_seq = 0  # the latest turn that was not readable
        self.access = AccessView()
        self.configured = tuple(instruments)  # the same in all processes, whatever is listed
        self.listed = {each.symbol: each for each in self.configured}
        self.known = dict(self.listed)
        self._phases: dict[str, Phase] = {}
        self._phase_seqs: dict[str, int] = {}  # the turns that changed them
        self._listed_seq = 0
        self._missed: list[DepthUpdate] = []  # which fit no book, until a view is taken
        self._books: dict[str, Book] = {}
        self._trades: dict[str, deque[TradePrint]] = {}

    # --- readers ---

    def phases(self) -> dict[str, Phase]:
        with self._lock:
            return self._phases.copy()

    def depth(self, symbol: str) -> DepthSnapshot:
        with self._lock:
            book = self._books.get(symbol)
            return DepthSnapshot(symbol, 0, (), ()) if book is None else book.snapshot(symbol)

    def trades(self, symbol: str) -> list[TradePrint]:
        with self._lock:
            return list(self._trades.get(symbol, ()))

    # --- the receiving thread ---

    def take_view(self, view: View) -> list[MarketEvent]:
        """Stand as the engine does; what a subscriber has to be told to follow: levels, tops and
        phases that are other than before. Trades and reports of the turns between are told apart.

        The view may be older than what is here: what a later turn told stays.
        """
        events: list[MarketEvent] = []

        def tell(make: Callable[..., Any], *fields: Any) -> None:
            events.append(make(view.seq, len(events) + 1, *fields))

        with self._lock:
            for symbol, phase in view.phases.items():
                if self._phase_seqs.get(symbol, 0) <= view.seq:
                    if self._phases.get(symbol, phase) is not phase:
                        tell(MarketState, symbol, phase, "")
                    self._phases[symbol] = phase
            for found in view.books:
                symbol, book, before = found.symbol, Book(found), self._books.get(found.symbol)
                if before is not None and before.last_id >= book.last_id:
                    continue
                self._books[symbol] = book
                if before is None:
                    continue
                bids, asks = _changed(before.bids, book.bids), _changed(before.asks, book.asks)
                bids.reverse()
                tell(DepthUpdate, symbol, before.last_id + 1, book.last_id, tuple(bids),
                     tuple(asks), *book.scales)  # fmt: skip
                if before.top() != book.top():
                    tell(TopOfBook, symbol, *book.top(), *book.scales)
            for symbol, trades in view.trades.items():
                later = [each for each in self._trades.get(symbol, ()) if each.seq > view.seq]
                self._trades[symbol] = deque([*trades, *later], self._trades_kept)
            if self._listed_seq <= view.seq:
                self.listed = {each.symbol: each for each in view.instruments}
                self._listed_seq = view.seq
            known = {each.symbol: each for each in view.known}
            self.known = {**known, **self.known, **self.listed}
        self.access.started_ns = max(self.access.started_ns, view.started_ns)
        self.behind = view.seq < self._left_out_seq
        missed, self._missed = self._missed, []
        for update in missed:
            fitting = self._level(update)
            if fitting is not None:
                events.append(fitting)
        return events

    def apply(self, entry: TurnEntry) -> list[MarketEvent]:
        """Take one turn over; its events, but for levels that are in the book already."""
        events: list[MarketEvent] = []
        for event in events_of(entry):
            if type(event) is DepthUpdate:
                fitting = self._level(event)
                if fitting is not None:
                    events.append(fitting)
                continue
            events.append(event)
            if type(event) is TradePrint:
                self._trade(event)
            elif type(event) is MarketState:
                with self._lock:
                    self._phases[event.symbol] = event.phase
                    self._phase_seqs[event.symbol] = event.seq
                    if event.reason == DELISTED:
                        self._phases.pop(event.symbol)
        if entry.instruments is not None:
            self._list(entry.instruments, entry.seq)
        self.access.show(entry.users)
        self.seq = entry.seq
        if not entry.whole:
            self.behind = True
        return events

    def leave_out(self, seq: int) -> None:
        """What turn `seq` told is not known, until the engine's view is taken again. 0: nor which
        turn it was; then the view says where to go on."""
        self.seq = self._left_out_seq = seq
        self.behind = True

    def _level(self, update: DepthUpdate) -> DepthUpdate | None:
        with self._lock:
            book = self._books.get(update.symbol)
            if book is not None and update.last_id <= book.last_id:
                return None
            if book is not None and update.first_id <= book.last_id + 1:
                if update.first_id <= book.last_id:  # a view was taken in the middle of it
                    update = replace(update, first_id=book.last_id + 1)
                book.set_levels(update)
                return update
        self.behind = True
        if len(self._missed) < MISSED_MAX:
            self._missed.append(update)
        return None

    def _trade(self, trade: TradePrint) -> None:
        with self._lock:
            kept = self._trades.setdefault(trade.symbol, deque(maxlen=self._trades_kept))
            if not kept or (kept[-1].seq, kept[-1].match_number) < (trade.seq, trade.match_number):
                kept.append(trade._replace(number=0))

    def _list(self, instruments: list[Instrument], seq: int) -> None:
        with self._lock:
            self.listed = {each.symbol: each for each in instruments}
            self._listed_seq = seq
            self.known = {**self.known, **self.listed}
            for symbol, each in self.listed.items():
                if symbol not in self._books:  # new, and so without orders
                    empty = DepthSnapshot(
                        symbol, seq, (), (), each.price_scale, each.quantity_scale
                    )
                    self._books[symbol] = Book(empty)


def _changed(before: dict[int, int], now: dict[int, int]) -> list[Level]:
    """Levels that are other than before; 0 lots: gone."""
    found = [(price, lots) for price, lots in now.items() if before.get(price) != lots]
    return sorted([*found, *((price, 0) for price in before if price not in now)])
