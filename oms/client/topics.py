"""Topics: what a stream is told of, over all its connections.

Flow:  a message of the server -> stream -> [topic] -> events of the library
Reports and trades are resumed by their sequence; what stands (books, phases, balances) is compared
with what was told last, and the difference is told. What cannot be told any more is a GapError.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import replace
from typing import Generic, Protocol, TypeVar

from oms.client.server import Server
from oms.client.told import (
    Balances,
    GarbledError,
    Told,
    balance_of,
    balances_of,
    book_of,
    count,
    indicative_of,
    report_of,
    rows,
    snapshot_of,
    state_of,
    text,
    top_of,
    trade_of,
    traded_of,
    update_of,
    whole,
)
from oms.enums import Phase
from oms.errors import GapError, ValidationError
from oms.instruments import Instrument
from oms.market_data import DepthUpdate, Level, MarketEvent, MarketState, TopOfBook, TradePrint
from oms.responses import AccountSnapshot, OrderResponse

T = TypeVar("T", OrderResponse, MarketEvent)


class Topic(Protocol[T]):
    """One subscription of a stream, over all its connections."""

    words: dict[str, str]
    """Channel; symbol or account."""

    def resumes(self) -> Mapping[str, str]:
        """Where it goes on; nothing at its very beginning, and if it has no past."""
        ...

    def begin(self, told: Told) -> "list[T | GapError]":
        """The answer to the subscription: what is to be told of it."""
        ...

    def take(self, told: Told) -> "list[T | GapError]":
        """One message of the channel."""
        ...

    def beat(self, seq: int) -> None:
        """All up to this sequence was told."""
        ...


def _of(group: str) -> dict[str, str]:
    return {"group": group} if group else {}


# --- what is resumed ---


class Place:
    """How far it was told: a turn, and the number within it; None: the whole turn."""

    def __init__(self, seq: int | None) -> None:
        self.seq, self.number = seq, None if seq is not None else 0

    def words(self) -> dict[str, str]:
        if self.seq is None:
            return {}
        number = {} if self.number is None else {"fromNumber": str(self.number)}
        return {"fromSeq": str(self.seq), **number}

    def begin(self, seq: int) -> None:
        self.seq, self.number = seq, None

    def passes(self, told: Told) -> bool:
        """Is this event a new one? Then it is the latest."""
        seq, number = whole(told["seq"]), count(told["number"])
        if self.seq is not None and (
            seq < self.seq or (seq == self.seq and (self.number is None or number <= self.number))
        ):
            return False
        self.seq, self.number = seq, number
        return True

    def beat(self, seq: int) -> None:
        if self.seq is not None and seq > self.seq:
            self.begin(seq)


class Resumed(ABC, Generic[T]):
    """What goes on behind the place where it was told last, over whichever connection. group: of
    markets, whose sequences these are; "" where there is one, or where the symbol says it."""

    def __init__(
        self, channel: str, kind: str, key: str, from_seq: int | None = None, group: str = ""
    ) -> None:
        self.words = {"channel": channel, kind: key, **_of(group)}
        self._channel, self._key, self._place = channel, key, Place(from_seq)
        self.group = group
        self.beat = self._place.beat
        self.resumes = self._place.words

    def begin(self, told: Told) -> list[T | GapError]:
        if told["event"] == "RESUMED":
            return []
        after, seq = self._place.seq, whole(told["seq"])
        self._place.begin(seq)
        if after is None:
            return []
        why, stands = text(told["why"]), self.stands(told)
        return [GapError(self._channel, self._key, after, seq, why, stands, self.group)]

    def take(self, told: Told) -> list[T | GapError]:
        found = self.event(told)
        return [found] if self._place.passes(told) else []

    @abstractmethod
    def stands(self, told: Told) -> object:
        """How things stand behind a gap."""

    @abstractmethod
    def event(self, told: Told) -> T:
        """The event of a message."""


class ReportsOf(Resumed[OrderResponse]):
    def __init__(
        self, server: Server, account: str, from_seq: int | None, group: str = ""
    ) -> None:  # fmt: skip
        super().__init__("reports", "account", account, from_seq, group)
        self._server = server

    @property
    def told_seq(self) -> int | None:
        """The latest turn that was told whole; of one under way, the one before it."""
        seq = self._place.seq
        return seq if seq is None or self._place.number is None else seq - 1

    def stands(self, told: Told) -> AccountSnapshot:
        return snapshot_of(told, self._server.known)

    def event(self, told: Told) -> OrderResponse:
        return report_of(told["data"], self._server.known)


class TradesOf(Resumed[MarketEvent]):
    def __init__(self, instrument: Instrument) -> None:
        super().__init__("trades", "symbol", instrument.symbol)
        self._instrument = instrument

    def stands(self, told: Told) -> list[TradePrint]:
        return [trade_of(each, self._instrument) for each in rows(told["trades"])]

    def event(self, told: Told) -> MarketEvent:
        return traded_of(told, self._instrument)


# --- what stands ---


class Standing:
    """The past is kept nowhere: what is told anew is compared with what was told last."""

    def resumes(self) -> Mapping[str, str]:
        return {}

    def beat(self, _seq: int) -> None:
        return


class DepthOf(Standing):
    def __init__(self, instrument: Instrument) -> None:
        self.words = {"channel": "depth", "symbol": instrument.symbol}
        self._instrument = instrument
        self._bids, self._asks = dict[int, int](), dict[int, int]()
        self._last_id: int | None = None

    def begin(self, told: Told) -> list[MarketEvent | GapError]:
        """What is another level than before, as one update: its ids are those of all between."""
        book, before = book_of(told, "lastId", self._instrument), self._last_id
        bids, asks = dict(book.bids_ticks), dict(book.asks_ticks)
        changed = _changes(self._bids, bids), _changes(self._asks, asks)
        self._bids, self._asks, self._last_id = bids, asks, book.last_id
        if before is None or (before == book.last_id and not any(changed)):
            return []
        if book.last_id <= before:
            why = "UNKNOWN_SEQUENCE"
            return [GapError("depth", book.symbol, before, book.last_id, why, book)]
        return [
            DepthUpdate(
                book.last_id, 0, book.symbol, before + 1, book.last_id,
                tuple(sorted(changed[0], reverse=True)), tuple(sorted(changed[1])),
                book.price_scale, book.quantity_scale,
            )
        ]  # fmt: skip

    def take(self, told: Told) -> list[MarketEvent | GapError]:
        """The very first update may begin before the snapshot."""
        update, at = update_of(told, self._instrument), self._last_id
        if at is None or update.last_id <= at:
            return []
        if update.first_id > at + 1:
            raise GarbledError(f"depth of {update.symbol}: {at}, then {update.first_id}")
        _set(self._bids, update.bids_ticks)
        _set(self._asks, update.asks_ticks)
        self._last_id = update.last_id
        return [replace(update, first_id=at + 1)]


def _changes(before: dict[int, int], now: dict[int, int]) -> list[Level]:
    """Levels that are others; of those that are gone 0 lots."""
    gone = [(ticks, 0) for ticks in before if ticks not in now]
    return gone + [(ticks, lots) for ticks, lots in now.items() if before.get(ticks) != lots]


def _set(levels: dict[int, int], changes: tuple[Level, ...]) -> None:
    for ticks, lots in changes:
        if lots:
            levels[ticks] = lots
        else:
            levels.pop(ticks, None)


class TopsOf(Standing):
    def __init__(self, instrument: Instrument) -> None:
        self.words = {"channel": "ticker", "symbol": instrument.symbol}
        self._instrument = instrument
        self._top: TopOfBook | None = None

    def begin(self, told: Told) -> list[MarketEvent | GapError]:
        before, top = self._top, top_of(told["ticker"], self._instrument, whole(told["seq"]))
        self._top = top
        return [] if before is None or _sides(before) == _sides(top) else [top]

    def take(self, told: Told) -> list[MarketEvent | GapError]:
        """A ticker is also told when nothing but its last trade is another."""
        before, top = self._top, top_of(told["data"], self._instrument, whole(told["seq"]))
        self._top = top
        return [] if before is not None and _sides(before) == _sides(top) else [top]


def _sides(top: TopOfBook) -> tuple[int, ...]:
    return top.bid_ticks, top.bid_lots, top.ask_ticks, top.ask_lots


class AuctionOf(Standing):
    def __init__(self, instrument: Instrument) -> None:
        self.words = {"channel": "auction", "symbol": instrument.symbol}
        self._instrument = instrument

    def begin(self, _told: Told) -> list[MarketEvent | GapError]:
        return []

    def take(self, told: Told) -> list[MarketEvent | GapError]:
        seq, number = whole(told["seq"]), count(told["number"])
        return [indicative_of(told["data"], seq, number, self._instrument)]


class PhasesOf(Standing):
    """symbols: whose phases are told."""

    def __init__(self, symbols: set[str], group: str = "") -> None:
        self.words = {"channel": "markets", **_of(group)}
        self._symbols = symbols
        self._phases: dict[str, Phase] | None = None

    def begin(self, told: Told) -> list[MarketEvent | GapError]:
        before, seq = self._phases, whole(told["seq"])
        now = {text(symbol): Phase(phase) for symbol, phase in told["markets"].items()}
        self._phases = now
        return [
            MarketState(seq, 0, symbol, phase, "")
            for symbol, phase in now.items()
            if before is not None and symbol in self._symbols and before.get(symbol) is not phase
        ]

    def take(self, told: Told) -> list[MarketEvent | GapError]:
        state = state_of(told)
        if self._phases is not None:
            self._phases[state.symbol] = state.phase
        return [state] if state.symbol in self._symbols else []


class Owned:
    """What an account owns, in the ledgers of all groups of markets together."""

    def __init__(self, groups: list[str]) -> None:
        self.by_group: dict[str, Balances | None] = dict.fromkeys(groups)
        self.changed: set[str] = set()  # assets, before every group had begun

    @property
    def is_known(self) -> bool:
        return None not in self.by_group.values()

    def sum(self, asset: str) -> dict[str, str]:
        """As the server tells it of one group."""
        found = [each[asset] for each in self.by_group.values() if each and asset in each]
        available, reserved = (sum(each[at] for each in found) for at in (0, 1))
        return {
            "asset": asset, "available": format(available, "f"), "reserved": format(reserved, "f"),
        }  # fmt: skip


class BalancesOf(Standing):
    """Of one group; what is told is the sum over all of them, once each has begun."""

    def __init__(
        self, account: str, instruments: list[Instrument], owned: Owned, group: str = ""
    ) -> None:
        self.words = {"channel": "balances", "account": account, **_of(group)}
        self._account, self._instruments = account, instruments
        self._owned, self._group = owned, group

    def begin(self, told: Told) -> list[MarketEvent | GapError]:
        before, now = self._owned.by_group[self._group], balances_of(told["balances"])
        self._owned.by_group[self._group] = now
        if before is not None:
            self._owned.changed |= {asset for asset in now if before.get(asset) != now[asset]}
        return self._changes(whole(told["seq"]), 0)

    def take(self, told: Told) -> list[MarketEvent | GapError]:
        data, seq, number = told["data"], whole(told["seq"]), count(told["number"])
        mine = self._owned.by_group[self._group]
        if mine is not None:
            mine.update(balances_of([data]))
        self._owned.changed.add(text(data["asset"]))
        return self._changes(seq, number)

    def _changes(self, seq: int, number: int) -> list[MarketEvent | GapError]:
        if not self._owned.is_known:
            return []
        changed, self._owned.changed = sorted(self._owned.changed), set()
        return [
            balance_of(self._owned.sum(each), self._account, self._instruments, seq, number)
            for each in changed
        ]


# --- the streams of a client ---


def reports_of(
    server: Server, account: str, from_seq: int | Mapping[str, int] | None
) -> list[Topic[OrderResponse]]:  # fmt: skip
    """Of one account, or of all that the user has, in every group. Waits for the server."""
    groups = server.groups()
    begins = from_seq if isinstance(from_seq, Mapping) else dict.fromkeys(groups, from_seq)
    if isinstance(from_seq, int) and len(groups) > 1:
        raise ValidationError("from_seq", from_seq, f"a sequence of each group: {groups}")
    for group, seq in begins.items():
        if group not in groups:
            raise ValidationError("from_seq", group, f"sequences of the groups {groups}")
        if seq is not None and (type(seq) is not int or seq < 0):
            raise ValidationError("from_seq", seq, "a sequence, 0 or more")
    accounts = [account] if account else server.accounts()
    return [
        ReportsOf(server, each, begins.get(group), group) for group in groups for each in accounts
    ]


def market_of(server: Server, symbol: str) -> list[Topic[MarketEvent]]:
    """Of one market; or of all, and the user's balances. Waits for the server."""
    known = server.instruments()
    if symbol and symbol not in known:
        raise ValidationError("symbol", symbol, "one of " + ", ".join(known))
    instruments = [known[symbol]] if symbol else list(known.values())
    symbols, groups = {each.symbol for each in instruments}, server.groups()
    topics: list[Topic[MarketEvent]] = [PhasesOf(symbols, group) for group in groups]
    for each in instruments:
        topics += [AuctionOf(each), TradesOf(each), DepthOf(each), TopsOf(each)]
    if not symbol and server.is_known:
        for account in server.accounts():
            owned = Owned(groups)
            topics += [BalancesOf(account, instruments, owned, group) for group in groups]
    return topics
