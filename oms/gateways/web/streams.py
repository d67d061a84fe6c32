"""Streams: what a subscription begins with: how things stand, or what was missed.

Flow:  Subscribe -> [streams: topic, then snapshot or resumption] -> client; hub goes on from there
A snapshot names the sequence it is of, and a resumption the one it reaches: what comes later comes
behind it, without a gap and without a repeat. What cannot be resumed begins with a snapshot, and
says why.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import NamedTuple, cast

from oms.errors import ValidationError
from oms.gateways.web.door import Door, Right
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
from oms.gateways.web.front import Ask
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
from oms.manager import OrderManagement
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


def topics_of(ask: Ask, said: Subscribe | Unsubscribe, door: Door) -> list[Topic]:
    """One; of what every group has, and no group is named, one of each. Raises ValidationError and
    HttpError: no such channel, symbol, group, or right to it."""
    channel = said.channel
    for name, value, those in (
        ("interval", said.interval, (DEPTH, TICKER)), ("width", said.width, (CANDLES,)),
        ("symbol", said.symbol, OF_SYMBOL), ("account", said.account, OF_ACCOUNT),
    ):  # fmt: skip
        if value and channel in CHANNELS and channel not in those:
            raise ValidationError(name, value, f"none, as {channel} has no such thing")
    if channel in OF_SYMBOL:
        instrument_of(ask, said.symbol)
        group = door.group_of(said.symbol)
        if said.group not in ("", group):
            expected = f"{group or 'none'}, as {said.symbol} is traded there"
            raise ValidationError("group", said.group, expected)
        detail: str | int = ""
        if channel == CANDLES:
            detail = _one_of("width", said.width or "1m", WIDTHS)
        elif channel in (DEPTH, TICKER):
            detail = _one_of("interval", said.interval, INTERVALS_MS)
        return [Topic(channel, said.symbol, detail, group)]
    _one_of("channel", channel, CHANNELS)
    groups = list(door.oms.groups)
    if said.group:
        groups = [door.one_group(said.group, channel)]
    elif channel == SESSION:
        groups = groups[:1]  # they have the same
    account = ""
    if channel in OF_ACCOUNT:
        door.keeper.check(Right.READ, ask.known)
        account = ask.seen_account(said.account or None)
    return [Topic(channel, account, "", group) for group in groups]


def _one_of(name: str, value: object, those: tuple[object, ...]) -> str | int:
    if value not in those:
        raise ValidationError(name, value, "one of " + ", ".join(map(str, those)))
    return cast("str | int", value)


def topic_told(topic: Topic) -> TopicTold:
    channel = topic.channel
    told: TopicTold = {"channel": channel}
    if topic.key:
        told["account" if channel in OF_ACCOUNT else "symbol"] = topic.key
    if channel == CANDLES:
        told["width"] = str(topic.detail)
    elif channel in (DEPTH, TICKER):
        told["interval"] = int(topic.detail)
    if topic.group:
        told["group"] = topic.group
    return told


def place_of(said: Subscribe, topics: Sequence[Topic]) -> Place | None:
    """Where the client was, if it says so. Raises ValidationError."""
    if said.from_seq is None:
        if said.from_number is not None:
            raise ValidationError("fromNumber", said.from_number, "none without fromSeq")
        return None
    if len(topics) > 1:
        groups = ", ".join(each.group for each in topics)
        raise ValidationError("group", None, f"one of {groups}: whose sequence fromSeq is")
    seq = int(said.from_seq)
    if seq > SEQUENCE_MAX:
        raise ValidationError("fromSeq", said.from_seq, f"0 to {SEQUENCE_MAX}")
    return Place(seq, int(said.from_number) if said.from_number is not None else None)


class Streams:
    """The beginnings of all channels."""

    def __init__(self, door: Door, hub: Hub) -> None:
        self._door = door
        self._hub = hub
        self._snapshots: dict[str, Callable[[Topic], Awaitable[tuple[Told, int]]]] = {
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
        told, at = await self._snapshots[topic.channel](topic)
        told = {"event": "SNAPSHOT", "seq": str(at), **told}
        return Start(told if why is None else {**told, "why": why}, [], at)

    def _oms(self, topic: Topic) -> OrderManagement:
        """Of the topic's group: sequences count in each alone."""
        return self._door.oms.groups[topic.group]

    async def _seq(self, topic: Topic) -> int:
        return await self._door.settled(self._oms(topic).journal_seq())

    # --- what was missed ---

    async def _resumed(self, topic: Topic, place: Place) -> Start | Why:
        """What happened behind that place, up to now; or why that cannot be told."""
        if topic.channel not in (ORDERS, FILLS, REPORTS, TRADES):
            return "NOT_KEPT"
        at = await self._seq(topic)
        if place.seq > at:
            return "UNKNOWN_SEQUENCE"
        look = self._trades_missed if topic.channel == TRADES else self._reports_missed
        missed = await self._door.slowly(look, topic, place, at)
        if isinstance(missed, str):
            return missed
        if topic.group:
            missed = [{**each, "group": topic.group} for each in missed]
        return Start({"event": "RESUMED", "seq": str(at)}, missed, at)

    def _reports_missed(
        self, topic: Topic, place: Place, at: int
    ) -> list[Mapping[str, object]] | Why:
        oms, channel = self._oms(topic), topic.channel
        reports = oms.reports_after(topic.key, max(0, place.seq - 1), at)
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
        self, topic: Topic, place: Place, at: int
    ) -> list[Mapping[str, object]] | Why:
        traded = self._oms(topic).trades_after(topic.key, max(0, place.seq - 1), at)
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

    async def _depth(self, topic: Topic) -> tuple[Told, int]:
        book = await self._door.book(topic.key)
        scales = book.price_scale, book.quantity_scale
        return {
            "lastId": str(book.last_id), "bids": levels_told(book.bids_ticks, scales),
            "asks": levels_told(book.asks_ticks, scales),
        }, book.last_id  # fmt: skip

    async def _trades(self, topic: Topic) -> tuple[Told, int]:
        seq = await self._seq(topic)
        latest = self._door.oms.recent_trades(topic.key)[-TRADES_TOLD:]
        return {"trades": [trade_told(each) for each in latest if each.seq <= seq]}, seq

    async def _ticker(self, topic: Topic) -> tuple[Told, int]:
        symbol = topic.key
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

    async def _candles(self, topic: Topic) -> tuple[Told, int]:
        growing = self._hub.growing(topic)
        await growing.ready()
        candle = growing.candle
        facts = [candle_facts(candle, str(topic.detail))] if candle is not None else []
        return {"candles": facts}, growing.at

    async def _nothing(self, topic: Topic) -> tuple[Told, int]:
        """The channel tells what changes; before the first change there is nothing."""
        return {}, await self._seq(topic)

    async def _markets(self, topic: Topic) -> tuple[Told, int]:
        seq = await self._seq(topic)
        phases = self._oms(topic).market_states()
        # As of now, which may be later than `seq`: a phase that is told again is no other.
        return {"markets": {name: phase.value for name, phase in phases.items()}}, seq

    async def _session(self, topic: Topic) -> tuple[Told, int]:
        return {"session": self._hub.session()}, await self._seq(topic)

    async def _account(self, topic: Topic) -> tuple[Told, int]:
        found = await self._door.settled(self._oms(topic).account_snapshot(topic.key))
        told: Told = {}
        if topic.channel == REPORTS:
            told["reports"] = [report_told(each) for each in found.orders]
        elif topic.channel != BALANCES:
            told["orders"] = await self._door.orders_told(found.orders, group=topic.group)
        if topic.channel != FILLS:
            told["balances"] = balances_told(found.balances)
        return told, found.seq
