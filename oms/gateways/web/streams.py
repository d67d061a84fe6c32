"""Streams: what a subscription begins with: how things stand, or what was missed.

Flow:  Subscribe -> [streams: topic, then snapshot or resumption] -> client; hub goes on from there
A snapshot names the sequence it is of, and a resumption the one it reaches: what comes later comes
behind it, without a gap and without a repeat. What cannot be resumed begins with a snapshot, and
says why.
"""

from collections.abc import Awaitable, Callable, Mapping
from typing import NamedTuple, cast

from oms.errors import ValidationError
from oms.gateways.web.events import (
    AUCTION,
    BALANCES,
    CANDLES,
    DEPTH,
    FILLS,
    MARKETS,
    ORDERS,
    REPORTS,
    SESSION,
    TICKER,
    TRADES,
    candle_facts,
    fill_event,
    order_event,
    report_event,
    trade_event,
)
from oms.gateways.web.front import Ask, Door, Right
from oms.gateways.web.hub import Hub, Topic, last_told
from oms.gateways.web.market import instrument_of
from oms.gateways.web.messages import (
    INTERVALS_MS,
    WIDTHS,
    Subscribe,
    TickerFacts,
    Unsubscribe,
    Why,
)
from oms.gateways.web.messages import Topic as TopicTold
from oms.gateways.web.orders import each_fill_told, orders_told
from oms.gateways.web.places import Place
from oms.gateways.web.told import Told, balances_told, levels_told, report_told, trade_told
from oms.reports import TRADE
from oms.requests.orders import SEQUENCE_MAX

RESUMED_MAX = 10_000  # events of one subscription that are told from the store
TRADES_TOLD = 100  # latest ones, in a snapshot
OF_SYMBOL, OF_ACCOUNT = (
    (DEPTH, TRADES, TICKER, CANDLES, AUCTION),
    (ORDERS, FILLS, REPORTS, BALANCES),
)
CHANNELS = (*OF_SYMBOL, MARKETS, SESSION, *OF_ACCOUNT)


class Start(NamedTuple):
    """What a subscription is told first: the answer, what was missed, and up to which sequence
    that is."""

    told: Told
    missed: list[Mapping[str, object]]
    at: int


def topic_of(ask: Ask, said: Subscribe | Unsubscribe, door: Door) -> Topic:
    """Raises ValidationError and HttpError: no such channel, symbol, or right to it."""
    channel = said.channel
    for name, value, those in (
        ("interval", said.interval, (DEPTH, TICKER)), ("width", said.width, (CANDLES,)),
        ("symbol", said.symbol, OF_SYMBOL), ("account", said.account, OF_ACCOUNT),
    ):  # fmt: skip
        if value and channel in CHANNELS and channel not in those:
            raise ValidationError(name, value, f"none, as {channel} has no such thing")
    if channel in OF_SYMBOL:
        instrument_of(ask, said.symbol)
        if channel == CANDLES:
            return (channel, said.symbol, _one_of("width", said.width or "1m", WIDTHS))
        if channel in (DEPTH, TICKER):
            return (channel, said.symbol, _one_of("interval", said.interval, INTERVALS_MS))
        return (channel, said.symbol)
    if channel in OF_ACCOUNT:
        door.keeper.check(Right.READ, ask.known)
        return (channel, ask.seen_account(said.account or None))
    return (_one_of("channel", channel, CHANNELS),)


def _one_of(name: str, value: object, those: tuple[object, ...]) -> str | int:
    if value not in those:
        raise ValidationError(name, value, "one of " + ", ".join(map(str, those)))
    return cast("str | int", value)


def topic_told(topic: Topic) -> TopicTold:
    channel, *rest = topic
    told: TopicTold = {"channel": str(channel)}
    if rest:
        told["account" if channel in OF_ACCOUNT else "symbol"] = str(rest[0])
    if channel == CANDLES:
        told["width"] = str(rest[1])
    elif len(rest) > 1:
        told["interval"] = int(str(rest[1]))
    return told


def place_of(said: Subscribe) -> Place | None:
    """Where the client was, if it says so. Raises ValidationError."""
    if said.from_seq is None:
        if said.from_number is not None:
            raise ValidationError("fromNumber", said.from_number, "none without fromSeq")
        return None
    seq = int(said.from_seq)
    if seq > SEQUENCE_MAX:
        raise ValidationError("fromSeq", said.from_seq, f"0 to {SEQUENCE_MAX}")
    return Place(seq, int(said.from_number) if said.from_number is not None else None)


class Streams:
    """The beginnings of all channels."""

    def __init__(self, door: Door, hub: Hub) -> None:
        self._door = door
        self._hub = hub
        self._snapshots: dict[str, Callable[[str, str], Awaitable[tuple[Told, int]]]] = {
            DEPTH: self._depth, TRADES: self._trades, TICKER: self._ticker,
            CANDLES: self._candles, AUCTION: self._nothing, MARKETS: self._markets,
            SESSION: self._session, ORDERS: self._account, FILLS: self._account,
            REPORTS: self._account, BALANCES: self._account,
        }  # fmt: skip

    async def begin(self, topic: Topic, place: Place | None) -> Start:
        """Raises HttpError. The subscriber listens already: what happens meanwhile is kept."""
        why: Why | None = None
        if place is not None:
            found = await self._resumed(topic, place)
            if isinstance(found, Start):
                return found
            why = found
        channel, key = str(topic[0]), str(topic[1]) if len(topic) > 1 else ""
        told, at = await self._snapshots[channel](key, channel if len(topic) < 3 else str(topic[2]))
        told = {"event": "SNAPSHOT", "seq": str(at), **told}
        return Start(told if why is None else {**told, "why": why}, [], at)

    # --- what was missed ---

    async def _resumed(self, topic: Topic, place: Place) -> Start | Why:
        """What happened behind that place, up to now; or why that cannot be told."""
        channel, key = str(topic[0]), str(topic[1]) if len(topic) > 1 else ""
        if channel not in (ORDERS, FILLS, REPORTS, TRADES):
            return "NOT_KEPT"
        of_market = key if channel == TRADES else ""
        at = await self._door.settled(self._door.oms.journal_seq(of_market))
        if place.seq > at:
            return "UNKNOWN_SEQUENCE"
        missed = await self._door.slowly(
            self._trades_missed if channel == TRADES else self._reports_missed,
            channel, key, place, at,
        )  # fmt: skip
        if isinstance(missed, str):
            return missed
        return Start({"event": "RESUMED", "seq": str(at)}, missed, at)

    def _reports_missed(
        self, channel: str, account: str, place: Place, at: int
    ) -> list[Mapping[str, object]] | Why:
        oms = self._door.oms
        reports = oms.reports_after(account, max(0, place.seq - 1), at)
        if reports is None:
            return "TOO_FAR_BACK"
        missed = [
            each for each in reports
            if not place.has(each.journal_seq, each.report.number)
            and (
                each.report.type == TRADE if channel == FILLS
                else each.report.state or channel == REPORTS
            )
        ]  # fmt: skip
        if len(missed) > RESUMED_MAX:
            return "TOO_MUCH"
        if channel == REPORTS:
            return [report_event(each) for each in missed]
        if channel == FILLS:
            fills = each_fill_told(oms, missed)
            return [fill_event(*each) for each in zip(missed, fills, strict=True)]
        orders = orders_told(oms, missed)
        return [order_event(*each) for each in zip(missed, orders, strict=True)]

    def _trades_missed(
        self, _channel: str, symbol: str, place: Place, at: int
    ) -> list[Mapping[str, object]] | Why:
        traded = self._door.oms.trades_after(symbol, max(0, place.seq - 1), at)
        if traded is None:
            return "TOO_FAR_BACK"
        missed: list[Mapping[str, object]] = []
        seq = number = 0
        for each in traded:
            number = number + 1 if each.seq == seq else 1
            seq = each.seq
            if not place.has(seq, number):
                missed.append(trade_event(each, number))
        return missed if len(missed) <= RESUMED_MAX else "TOO_MUCH"

    # --- how things stand ---

    async def _depth(self, symbol: str, _: str) -> tuple[Told, int]:
        book = await self._door.book(symbol)
        scales = book.price_scale, book.quantity_scale
        return {
            "lastId": str(book.last_id), "bids": levels_told(book.bids_ticks, scales),
            "asks": levels_told(book.asks_ticks, scales),
        }, book.last_id  # fmt: skip

    async def _trades(self, symbol: str, _: str) -> tuple[Told, int]:
        oms = self._door.oms
        seq = await self._door.settled(oms.journal_seq(symbol))
        latest = [trade for trade in oms.recent_trades(symbol)[-TRADES_TOLD:] if trade.seq <= seq]
        return {"trades": [trade_told(each) for each in latest]}, seq

    async def _ticker(self, symbol: str, _: str) -> tuple[Told, int]:
        book = await self._door.book(symbol)
        scales = book.price_scale, book.quantity_scale
        bid, ask = (levels_told(s[:1], scales) for s in (book.bids_ticks, book.asks_ticks))
        last = last_told(self._door.oms.recent_trades(symbol, 1))
        now: TickerFacts = {
            "symbol": symbol, "bid": bid[0] if bid else None, "ask": ask[0] if ask else None,
            "last": last["last"], "lastQuantity": last["lastQuantity"],
        }  # fmt: skip
        # Of several that begin at once the latest holds; what it has not heard is behind it.
        self._hub.tickers[symbol] = now
        return {"ticker": now.copy()}, book.last_id

    async def _candles(self, symbol: str, width: str) -> tuple[Told, int]:
        growing = self._hub.growing(symbol, width)
        await growing.ready()
        candle = growing.candle
        return {"candles": [candle_facts(candle, width)] if candle is not None else []}, growing.at

    async def _nothing(self, symbol: str, _: str) -> tuple[Told, int]:
        """The channel tells what changes; before the first change there is nothing."""
        return {}, await self._door.settled(self._door.oms.journal_seq(symbol))

    async def _markets(self, _key: str, _: str) -> tuple[Told, int]:
        seq = await self._door.settled(self._door.oms.journal_seq())
        phases = self._door.oms.market_states()
        # As of now, which may be later than `seq`: a phase that is told again is no other.
        return {"markets": {name: phase.value for name, phase in phases.items()}}, seq

    async def _session(self, _key: str, _: str) -> tuple[Told, int]:
        seq = await self._door.settled(self._door.oms.journal_seq())
        return {"session": self._hub.session()}, seq

    async def _account(self, account: str, channel: str) -> tuple[Told, int]:
        found = await self._door.settled(self._door.oms.account_snapshot(account))
        told: Told = {}
        if channel == REPORTS:
            told["reports"] = [report_told(each) for each in found.orders]
        elif channel != BALANCES:
            told["orders"] = await self._door.orders_told(found.orders)
        if channel != FILLS:
            told["balances"] = balances_told(found.balances)
        return told, found.seq
