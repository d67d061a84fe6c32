"""Hub: every event of the order manager, once, to all who subscribed to it.

Flow:  dispatcher's thread -> [hub: queue] -> event loop -> a frame a topic -> subscribers
Owner: the event loop. The dispatcher's thread adds to the queue what somebody wants, and wakes the
       loop once a burst; it listens only while somebody is connected, because a listener costs
       every report a call.

An event is made a frame once, and only if somebody wants it. Depth may be conflated: the updates of
an interval become one, its ids from the first to the last, so none is skipped.
"""

import asyncio
import logging
from collections import Counter, deque
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from functools import partial
from typing import Any, NamedTuple, Protocol, cast

import msgspec

from oms.gateways.web.candles import Growing
from oms.gateways.web.door import Door
from oms.gateways.web.events import (
    AUCTION,
    BALANCES,
    CANDLES,
    DEPTH,
    FILLS,
    HEARTBEAT,
    MARKETS,
    ORDERS,
    REPORTS,
    SESSION,
    TICKER,
    TRADES,
    auction_event,
    balance_event,
    candle_facts,
    fill_event,
    market_event,
    order_event,
    report_event,
    trade_event,
)
from oms.gateways.web.frames import frame_of
from oms.gateways.web.market_shapes import SessionTold
from oms.gateways.web.messages import (
    INTERVALS_MS,
    CandleEvent,
    DepthEvent,
    Heartbeat,
    SessionEvent,
    TickerEvent,
    TickerFacts,
)
from oms.gateways.web.orders import CHANGES, Remembered
from oms.gateways.web.told import decimal_told, levels_told
from oms.manager import OrderManagement
from oms.market_data import (
    BalanceChange,
    DepthUpdate,
    IndicativePrice,
    MarketEvent,
    MarketState,
    TopOfBook,
    TradeBust,
    TradeCorrection,
    TradePrint,
)
from oms.reports import TRADE
from oms.responses import OrderResponse

log = logging.getLogger(__name__)

EVENTS_MAX = 200_000  # that no subscriber was told yet
EVENTS_A_STEP = 500  # then other coroutines have their turn
HEARTBEAT_S = 1.0
LOST_S = 5.0  # then an engine is asked again: it died with the question, perhaps
CANDLE_MS = 1_000  # a candle that grows is told once in so long


class Topic(NamedTuple):
    """What a subscription is to. key: a symbol or account; "" of the channels that have none.
    detail: the interval of depth and ticker, in milliseconds; the width of candles. group: of
    markets; "" where there is one."""

    channel: str
    key: str = ""
    detail: str | int = ""
    group: str = ""


encode = msgspec.json.Encoder().encode


class Beat(NamedTuple):
    """The engine of a group is alive, and has come so far."""

    seq: int


Event = OrderResponse | MarketEvent | Beat
OF_TRADES = (TradePrint, TradeBust, TradeCorrection)
# Which events a channel is made of; all others are made of all that there are.
MADE_OF: Mapping[str, tuple[type, ...]] = {
    DEPTH: (DepthUpdate,), TICKER: (TopOfBook, *OF_TRADES), TRADES: OF_TRADES, CANDLES: OF_TRADES,
    AUCTION: (IndicativePrice,), ORDERS: (OrderResponse,), FILLS: (OrderResponse,),
    REPORTS: (OrderResponse,), BALANCES: (BalanceChange,),
}  # fmt: skip


class Subscriber(Protocol):
    @property
    def topics(self) -> Mapping[Topic, object]: ...

    def tell(self, topic: Topic, frame: bytes, seq: int) -> None:
        """Write it, or buffer it, or let the client go; never wait."""
        ...

    def cut(self, code: int, reason: str) -> None: ...


class Levels:
    """The depth updates of one symbol since they were last told."""

    __slots__ = ("asks", "bids", "first_id", "last_id", "scales", "seq")

    def __init__(self, first: DepthUpdate) -> None:
        self.first_id = first.first_id
        self.scales = first.price_scale, first.quantity_scale
        self.last_id = self.seq = 0
        self.bids: dict[int, int] = {}
        self.asks: dict[int, int] = {}

    def add(self, update: DepthUpdate) -> None:
        self.last_id, self.seq = update.last_id, update.seq
        self.bids.update(update.bids_ticks)
        self.asks.update(update.asks_ticks)


class Hub:
    """Topics, and who is told of each."""

    def __init__(self, door: Door, loop: asyncio.AbstractEventLoop) -> None:
        self._door = door
        self._oms = door.oms
        self._loop = loop
        self._orders = {name: Remembered(oms) for name, oms in door.oms.groups.items()}
        # What listens, with whose order manager it is. Its group goes with each event.
        self._listeners = [
            (oms, partial(self._heard, name, oms), partial(self._happened, name, oms))
            for name, oms in door.oms.groups.items()
        ]
        self._events: deque[tuple[str, Event, int]] = deque()  # and when it was published
        self._woken = self._lost = False
        self._asked: dict[str, float] = {}  # by group: since when an engine owes a beat
        self.clients: set[Subscriber] = set()
        self._topics: dict[Topic, set[Subscriber]] = {}
        # How many topics want events of a type, by symbol or account. The dispatcher's thread looks
        # whether there are any: what nobody wants costs the loop nothing.
        self._wanted: dict[type, Counter[str]] = {
            kind: Counter() for kinds in MADE_OF.values() for kind in kinds
        }
        self._levels: dict[Topic, Levels] = {}  # of depth that is told at intervals
        self._due_seqs: dict[Topic, int] = {}  # of what else is told at intervals
        self._timers: dict[int, asyncio.TimerHandle] = {}
        self._heart: asyncio.TimerHandle | None = None
        self._counts: dict[str, tuple[int, int]] = {}  # symbol -> turn, its trades told so far
        self._session: SessionTold | None = None
        self.tickers: dict[str, TickerFacts] = {}  # of symbols whose ticker is listened to
        self._growing: dict[str, dict[str, Growing]] = {}  # symbol, width
        self.seqs = dict.fromkeys(door.oms.groups, 0)  # of the latest events told
        self._makers: dict[type, Callable[[str, Any], None]] = {
            OrderResponse: self._report, TradePrint: self._trade, DepthUpdate: self._depth,
            TopOfBook: self._top, MarketState: self._market, IndicativePrice: self._auction,
            BalanceChange: self._balance, TradeBust: self._changed,
            TradeCorrection: self._changed, Beat: self._alive,
        }  # fmt: skip

    # --- who listens ---

    def join(self, client: Subscriber) -> None:
        if not self.clients:
            for oms, heard, happened in self._listeners:
                oms.add_listener(heard)
                oms.add_market_listener(happened)
            self._beat()
        self.clients.add(client)

    def leave(self, client: Subscriber) -> None:
        """Safe to repeat."""
        if client not in self.clients:
            return
        for topic in tuple(client.topics):
            self.unsubscribe(client, topic)
        self.clients.discard(client)
        if not self.clients:
            self._stop_listening()
            if self._heart is not None:
                self._heart.cancel()
                self._heart = None
            self._events.clear()

    def _stop_listening(self) -> None:
        for oms, heard, happened in self._listeners:
            oms.remove_listener(heard)
            oms.remove_listener(happened)

    def subscribe(self, client: Subscriber, topic: Topic) -> None:
        those = self._topics.get(topic)
        if those is None:
            those = self._topics[topic] = set()
            for kind in MADE_OF.get(topic.channel, ()):
                self._wanted[kind][topic.key] += 1
        those.add(client)

    def unsubscribe(self, client: Subscriber, topic: Topic) -> None:
        those = self._topics.get(topic)
        if those is None or client not in those:
            return
        those.discard(client)
        if those:
            return
        del self._topics[topic]
        for kind in MADE_OF.get(topic.channel, ()):
            self._wanted[kind][topic.key] -= 1
            if not self._wanted[kind][topic.key]:
                del self._wanted[kind][topic.key]
        if not self._wanted[OrderResponse]:
            for orders in self._orders.values():
                orders.forget()
        self._levels.pop(topic, None)
        self._due_seqs.pop(topic, None)
        symbol = topic.key
        if topic.channel == TICKER and not any(
            topic._replace(detail=each) in self._topics for each in INTERVALS_MS
        ):
            self.tickers.pop(symbol, None)
        elif topic.channel == CANDLES:
            widths = self._growing.get(symbol, {})
            widths.pop(str(topic.detail), None)
            if not widths:
                self._growing.pop(symbol, None)

    # --- the threads that publish ---

    def _heard(self, group: str, oms: OrderManagement, response: OrderResponse) -> None:
        # Changes of every account: what is remembered of its orders may be old.
        report, wanted = response.report, self._wanted[OrderResponse]
        if wanted and (report.account in wanted or report.type in CHANGES):
            self._put(group, response, oms.published_ns())

    def _happened(self, group: str, oms: OrderManagement, event: MarketEvent) -> None:
        wanted = self._wanted.get(type(event))
        if wanted is None or _whose(event) in wanted:
            self._put(group, event, oms.published_ns())

    def _put(self, group: str, event: Event, published_ns: int) -> None:
        if len(self._events) >= EVENTS_MAX:
            self._lost = True
            return
        self._events.append((group, event, published_ns))
        if not self._woken:
            self._woken = True
            try:
                self._loop.call_soon_threadsafe(self._drain)
            except RuntimeError:  # the loop is closed
                self._stop_listening()

    # --- the loop ---

    def _drain(self) -> None:
        """Tell what came, some hundreds at a time."""
        self._woken = False
        if self._lost:
            self._lose()
        events, makers = self._events, self._makers
        counts, wall_ns = self._door.counts, self._oms.clock.wall_ns
        for _ in range(min(EVENTS_A_STEP, len(events))):
            group, event, published_ns = events.popleft()
            before = counts.frames
            makers[type(event)](group, event)
            if counts.frames != before and published_ns:
                counts.told.add(max(0, wall_ns() - published_ns), counts.frames - before)
        if events and not self._woken:
            self._woken = True
            self._loop.call_soon(self._drain)

    def _lose(self) -> None:
        """More came than could be told: nobody is left with a gap that they do not know of."""
        log.warning("web: %d events waited; every subscriber has to begin anew", EVENTS_MAX)
        self._events.clear()
        self._lost = False
        for client in list(self.clients):
            client.cut(
                1013, f"events were lost after seq={seqs_text(self.seqs)}: resume from there"
            )

    def publish(self, topic: Topic, told: Mapping[str, object], seq: int) -> None:
        """A message has its group beside its sequence where there are several."""
        those = self._topics.get(topic)
        if not those:
            return
        if topic.group:
            told = {**told, "group": topic.group}
        frame = frame_of(encode(told))
        for client in tuple(those):
            client.tell(topic, frame, seq)

    def _report(self, group: str, response: OrderResponse) -> None:
        report, orders = response.report, self._orders[group]
        orders.heard(response)
        seq, account = report.journal_seq, report.account
        self.seqs[group] = max(self.seqs[group], seq)
        topic = Topic(ORDERS, account, "", group)
        if topic in self._topics and report.state:  # else it is not about an order
            self.publish(topic, order_event(response, orders.told(response)), seq)
        topic = Topic(REPORTS, account, "", group)
        if topic in self._topics:
            self.publish(topic, report_event(response), seq)
        topic = Topic(FILLS, account, "", group)
        if report.type == TRADE and topic in self._topics:
            self.publish(topic, fill_event(response, orders.fill_told(response)), seq)

    def _trade(self, group: str, trade: TradePrint) -> None:
        symbol, number = trade.symbol, self._number(trade)
        topic = Topic(TRADES, symbol, "", group)
        if topic in self._topics:
            self.publish(topic, trade_event(trade, number), trade.seq)
        for growing in self._growing.get(symbol, {}).values():
            growing.traded(trade)
        ticker = self.tickers.get(symbol)
        if ticker is not None:
            ticker["last"] = decimal_told(trade.price)
            ticker["lastQuantity"] = decimal_told(trade.quantity)
            self._tell_ticker(group, symbol, trade.seq)

    def _number(self, trade: TradePrint | TradeBust | TradeCorrection) -> int:
        """Its place among the turn's of the symbol: the same as when they are read again."""
        seq, count = self._counts.get(trade.symbol, (0, 0))
        count = count + 1 if seq == trade.seq else 1
        self._counts[trade.symbol] = trade.seq, count
        return count

    def _changed(self, group: str, change: TradeBust | TradeCorrection) -> None:
        symbol, number = change.symbol, self._number(change)
        topic = Topic(TRADES, symbol, "", group)
        if topic in self._topics:
            self.publish(topic, trade_event(change, number), change.seq)
        for growing in self._growing.get(symbol, {}).values():
            growing.changed()
        ticker = self.tickers.get(symbol)
        if ticker is not None and symbol in self._oms.instruments():
            ticker.update(last_told(self._oms.recent_trades(symbol, 1)))  # type: ignore[typeddict-item]
            self._tell_ticker(group, symbol, change.seq)

    def _depth(self, group: str, update: DepthUpdate) -> None:
        for interval in INTERVALS_MS:
            topic = Topic(DEPTH, update.symbol, interval, group)
            if topic not in self._topics:
                continue
            levels = self._levels.get(topic)
            if levels is None:
                levels = self._levels[topic] = Levels(update)
            levels.add(update)
            if interval:
                self._later(interval)
            else:
                self._tell_levels(topic)

    def _later(self, interval: int) -> None:
        if interval not in self._timers:
            self._timers[interval] = self._loop.call_later(interval / 1_000, self._due, interval)

    def _due(self, interval: int) -> None:
        """An interval is over: tell what came meanwhile."""
        del self._timers[interval]
        for topic in [topic for topic in self._levels if topic.detail == interval]:
            self._tell_levels(topic)
        for topic in [topic for topic in self._due_seqs if topic.detail == interval]:
            self._publish_ticker(topic, self._due_seqs.pop(topic))
        if interval == CANDLE_MS:
            for topic in [topic for topic in self._due_seqs if topic.channel == CANDLES]:
                self._publish_candle(topic, self._due_seqs.pop(topic))

    def _tell_levels(self, topic: Topic) -> None:
        levels = self._levels.pop(topic)
        told: DepthEvent = {
            "channel": DEPTH, "event": "UPDATE", "symbol": topic.key,
            "interval": int(topic.detail), "seq": str(levels.seq),
            "firstId": str(levels.first_id), "lastId": str(levels.last_id),
            "bids": levels_told(sorted(levels.bids.items(), reverse=True), levels.scales),
            "asks": levels_told(sorted(levels.asks.items()), levels.scales),
        }  # fmt: skip
        self.publish(topic, told, levels.last_id)

    # --- what is told as it stands ---

    def _top(self, group: str, top: TopOfBook) -> None:
        ticker = self.tickers.get(top.symbol)
        if ticker is None:
            return
        bid, ask = levels_told(
            ((top.bid_ticks, top.bid_lots), (top.ask_ticks, top.ask_lots)),
            (top.price_scale, top.quantity_scale),
        )
        ticker["bid"] = bid if top.bid_lots else None
        ticker["ask"] = ask if top.ask_lots else None
        self._tell_ticker(group, top.symbol, top.seq)

    def _tell_ticker(self, group: str, symbol: str, seq: int) -> None:
        for interval in INTERVALS_MS:
            topic = Topic(TICKER, symbol, interval, group)
            if topic not in self._topics:
                continue
            if interval:
                self._due_seqs[topic] = seq
                self._later(interval)
            else:
                self._publish_ticker(topic, seq)

    def _publish_ticker(self, topic: Topic, seq: int) -> None:
        told: TickerEvent = {
            "channel": TICKER, "interval": int(topic.detail), "seq": str(seq),
            "data": self.tickers[topic.key],
        }  # fmt: skip
        self.publish(topic, told, seq)

    def growing(self, topic: Topic) -> Growing:
        """The candle that is told to subscribers of this topic."""
        widths, width = self._growing.setdefault(topic.key, {}), str(topic.detail)
        found = widths.get(width)
        if found is None:
            tell = partial(self._grew, topic)
            found = widths[width] = Growing(self._door, topic.key, width, tell)
        return found

    def _grew(self, topic: Topic, growing: Growing) -> None:
        """Tell it within an interval; at once if the interval's next would be another candle."""
        if topic not in self._topics or growing.candle is None:
            return
        if growing.ended:
            self._due_seqs.pop(topic, None)
            self._publish_candle(topic, growing.at)
            return
        self._due_seqs[topic] = growing.at
        self._later(CANDLE_MS)

    def _publish_candle(self, topic: Topic, seq: int) -> None:
        candle = self.growing(topic).candle
        if candle is not None:
            facts = candle_facts(candle, str(topic.detail))
            told: CandleEvent = {"channel": CANDLES, "seq": str(seq), "data": facts}
            self.publish(topic, told, seq)

    def _market(self, group: str, state: MarketState) -> None:
        self.publish(Topic(MARKETS, group=group), market_event(state), state.seq)

    def _auction(self, group: str, found: IndicativePrice) -> None:
        topic = Topic(AUCTION, found.symbol, "", group)
        if topic in self._topics:
            self.publish(topic, auction_event(found), found.seq)

    def _balance(self, group: str, change: BalanceChange) -> None:
        topic = Topic(BALANCES, change.account, "", group)
        if topic in self._topics:
            self.publish(topic, balance_event(change), change.seq)

    # --- is the engine alive? ---

    def _beat(self) -> None:
        """Each second every engine is asked how far it is. What is told is its answer: without one
        nothing is told, however alive the socket may be."""
        self._heart = self._loop.call_later(HEARTBEAT_S, self._beat)
        now_s = self._loop.time()
        for group, oms in self._oms.groups.items():
            if now_s - self._asked.get(group, -LOST_S) >= LOST_S:  # it owes no answer
                self._asked[group] = now_s
                oms.journal_seq().add_done_callback(partial(self._answered, group))

    def _answered(self, group: str, done: "Future[int]") -> None:
        """On the dispatcher's thread: behind all events of the turns before."""
        self._asked.pop(group, None)
        if done.exception() is None:
            self._put(group, Beat(done.result()), 0)

    def _alive(self, group: str, beat: Beat) -> None:
        self.seqs[group] = max(self.seqs[group], beat.seq)
        topic = Topic(SESSION, group=group)
        if topic in self._topics:
            before, now = self._session, self.session()
            if now != before:
                changed: SessionEvent = {"channel": SESSION, "seq": str(beat.seq), "data": now}
                self.publish(topic, changed, beat.seq)
        told: Heartbeat = {
            "channel": HEARTBEAT, "seq": str(beat.seq), "time": str(self._oms.clock.wall_ns()),
        }  # fmt: skip
        self.publish(Topic(HEARTBEAT, group=group), told, beat.seq)

    def session(self) -> SessionTold:
        """As it is now, and as subscribers know it from now on."""
        self._session = cast(SessionTold, self._door.session_told())
        return self._session


def seqs_text(seqs: Mapping[str, int]) -> str:
    """Sequences by group, in a reason: `44`, or `usd:44,inr:7`."""
    return ",".join(f"{group}:{seq}" if group else str(seq) for group, seq in seqs.items())


def _whose(event: MarketEvent) -> str:
    return event.account if type(event) is BalanceChange else event.symbol  # type: ignore[union-attr]


def last_told(latest: list[TradePrint]) -> dict[str, str | None]:
    """The last trade as a ticker has it. latest: it alone, or nothing."""
    return {
        "last": decimal_told(latest[0].price) if latest else None,
        "lastQuantity": decimal_told(latest[0].quantity) if latest else None,
    }
