"""Hub: every event of the order manager, once, to all who subscribed to it.

Flow:  dispatcher's thread -> [hub: queue] -> event loop -> a frame a topic -> subscribers
Owner: the event loop. The dispatcher's thread adds to the queue and wakes the loop once a burst; it
       listens only while somebody is connected, because a listener costs every report a call.

An event is made a frame once, and only if somebody wants it. Depth may be conflated: the updates of
an interval become one, its ids from the first to the last, so none is skipped.
"""

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Hashable
from concurrent.futures import Future
from typing import Any, NamedTuple, Protocol

import msgspec

from oms.gateways.web.frames import frame_of
from oms.gateways.web.orders import Remembered
from oms.gateways.web.told import Told, decimal_told, levels_told, trade_told
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
from oms.reports import TRADE, OrderResponse

log = logging.getLogger(__name__)

EVENTS_MAX = 200_000  # that no subscriber was told yet
EVENTS_A_STEP = 500  # then other coroutines have their turn
HEARTBEAT_S = 1.0
INTERVALS_MS = (0, 100, 250, 500, 1_000)  # at which depth and ticker may be told

DEPTH, TRADES, TICKER, MARKETS, AUCTION = "depth", "trades", "ticker", "markets", "auction"
ORDERS, FILLS, BALANCES, HEARTBEAT = "orders", "fills", "balances", "heartbeat"
Topic = tuple[Hashable, ...]
encode = msgspec.json.Encoder().encode


class Beat(NamedTuple):
    """The engine is alive, and has come so far."""

    seq: int


Event = OrderResponse | MarketEvent | Beat


class Subscriber(Protocol):
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

    def __init__(self, oms: OrderManagement, loop: asyncio.AbstractEventLoop) -> None:
        self._oms = oms
        self._loop = loop
        self._orders = Remembered(oms)
        self._events: deque[Event] = deque()
        self._woken = self._lost = False
        self._clients: set[Subscriber] = set()
        self._topics: dict[Topic, set[Subscriber]] = {}
        self._levels: dict[Topic, Levels] = {}  # of depth that is told at intervals
        self._tops: dict[Topic, tuple[Told, int]] = {}
        self._timers: dict[int, asyncio.TimerHandle] = {}
        self._heart: asyncio.TimerHandle | None = None
        self.seq = 0  # of the latest event told
        self._makers: dict[type, Callable[[Any], None]] = {
            OrderResponse: self._report, TradePrint: self._trade, DepthUpdate: self._depth,
            TopOfBook: self._top, MarketState: self._market, IndicativePrice: self._auction,
            BalanceChange: self._balance, TradeBust: self._changed,
            TradeCorrection: self._changed, Beat: self._alive,
        }  # fmt: skip

    # --- who listens ---

    def join(self, client: Subscriber) -> None:
        if not self._clients:
            self._oms.add_listener(self._put)
            self._oms.add_market_listener(self._put)
            self._beat()
        self._clients.add(client)

    def leave(self, client: Subscriber) -> None:
        for topic in [topic for topic, those in self._topics.items() if client in those]:
            self.unsubscribe(client, topic)
        self._clients.discard(client)
        if not self._clients:
            self._oms.remove_listener(self._put)
            if self._heart is not None:
                self._heart.cancel()
                self._heart = None
            self._events.clear()
            self._orders.forget()

    def subscribe(self, client: Subscriber, topic: Topic) -> None:
        self._topics.setdefault(topic, set()).add(client)

    def unsubscribe(self, client: Subscriber, topic: Topic) -> bool:
        those = self._topics.get(topic)
        if those is None or client not in those:
            return False
        those.discard(client)
        if not those:
            del self._topics[topic]
            self._levels.pop(topic, None)
            self._tops.pop(topic, None)
        return True

    @property
    def clients(self) -> int:
        return len(self._clients)

    # --- the threads that publish ---

    def _put(self, event: Event) -> None:
        if len(self._events) >= EVENTS_MAX:
            self._lost = True
            return
        self._events.append(event)
        if not self._woken:
            self._woken = True
            try:
                self._loop.call_soon_threadsafe(self._drain)
            except RuntimeError:  # the loop is closed
                self._oms.remove_listener(self._put)

    # --- the loop ---

    def _drain(self) -> None:
        """Tell what came, some hundreds at a time."""
        self._woken = False
        if self._lost:
            self._lose()
        events, makers = self._events, self._makers
        for _ in range(min(EVENTS_A_STEP, len(events))):
            event = events.popleft()
            makers[type(event)](event)
        if events and not self._woken:
            self._woken = True
            self._loop.call_soon(self._drain)

    def _lose(self) -> None:
        """More came than could be told: nobody is left with a gap that they do not know of."""
        log.warning("web: %d events waited; every subscriber has to begin anew", EVENTS_MAX)
        self._events.clear()
        self._lost = False
        for client in list(self._clients):
            client.cut(1013, f"events were lost after seq={self.seq}: subscribe anew")

    def publish(self, topic: Topic, told: Told, seq: int) -> None:
        those = self._topics.get(topic)
        if not those:
            return
        frame = frame_of(encode(told))
        for client in tuple(those):
            client.tell(topic, frame, seq)

    def _report(self, response: OrderResponse) -> None:
        report = response.report
        self._orders.heard(response)
        self.seq = max(self.seq, report.journal_seq)
        if not report.state and not report.order_id:
            return
        topic = (ORDERS, report.account)
        if topic in self._topics and report.state:
            told = {"channel": ORDERS, "event": report.type, **place_of(response),
                    "data": self._orders.told(response)}  # fmt: skip
            self.publish(topic, told, report.journal_seq)
        topic = (FILLS, report.account)
        if report.type == TRADE and topic in self._topics:
            told = {
                "channel": FILLS,
                **place_of(response),
                "data": self._orders.fill_told(response),
            }
            self.publish(topic, told, report.journal_seq)

    def _trade(self, trade: TradePrint) -> None:
        topic = (TRADES, trade.symbol)
        if topic in self._topics:
            self.publish(topic, _market_told(TRADES, trade, trade_told(trade)), trade.seq)

    def _changed(self, change: TradeBust | TradeCorrection) -> None:
        topic = (TRADES, change.symbol)
        if topic in self._topics:
            told = _market_told(TRADES, change, {
                "tradeId": str(change.match_number), "executionId": change.execution_id,
                "symbol": change.symbol,
                "price": decimal_told(change.price), "quantity": decimal_told(change.quantity),
            })  # fmt: skip
            told["event"] = "BUST" if isinstance(change, TradeBust) else "CORRECTION"
            self.publish(topic, told, change.seq)

    def _depth(self, update: DepthUpdate) -> None:
        for interval in INTERVALS_MS:
            topic = (DEPTH, update.symbol, interval)
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
        for topic in [topic for topic in self._levels if topic[2] == interval]:
            self._tell_levels(topic)
        for topic in [topic for topic in self._tops if topic[2] == interval]:
            told, seq = self._tops.pop(topic)
            self.publish(topic, told, seq)

    def _tell_levels(self, topic: Topic) -> None:
        levels = self._levels.pop(topic)
        symbol = str(topic[1])
        self.publish(topic, {
            "channel": DEPTH, "event": "UPDATE", "symbol": symbol, "interval": topic[2],
            "seq": str(levels.seq), "firstId": str(levels.first_id),
            "lastId": str(levels.last_id),
            "bids": levels_told(sorted(levels.bids.items(), reverse=True), levels.scales),
            "asks": levels_told(sorted(levels.asks.items()), levels.scales),
        }, levels.last_id)  # fmt: skip

    def _top(self, top: TopOfBook) -> None:
        for interval in INTERVALS_MS:
            topic = (TICKER, top.symbol, interval)
            if topic not in self._topics:
                continue
            bid, ask = levels_told(
                ((top.bid_ticks, top.bid_lots), (top.ask_ticks, top.ask_lots)),
                (top.price_scale, top.quantity_scale),
            )
            told = _market_told(TICKER, top, {
                "symbol": top.symbol, "bid": bid if top.bid_lots else None,
                "ask": ask if top.ask_lots else None,
            })  # fmt: skip
            if interval:
                self._tops[topic] = (told, top.seq)
                self._later(interval)
            else:
                self.publish(topic, told, top.seq)

    def _market(self, state: MarketState) -> None:
        data = {"symbol": state.symbol, "phase": state.phase.value, "reason": state.reason or None}
        self.publish((MARKETS,), _market_told(MARKETS, state, data), state.seq)

    def _auction(self, found: IndicativePrice) -> None:
        topic = (AUCTION, found.symbol)
        if topic in self._topics:
            told = _market_told(AUCTION, found, {
                "symbol": found.symbol, "price": decimal_told(found.price),
                "volume": decimal_told(found.volume), "surplus": decimal_told(found.surplus),
            })  # fmt: skip
            self.publish(topic, told, found.seq)

    def _balance(self, change: BalanceChange) -> None:
        topic = (BALANCES, change.account)
        if topic in self._topics:
            told = _market_told(BALANCES, change, {
                "account": change.account, "asset": change.asset,
                "available": decimal_told(change.available),
                "reserved": decimal_told(change.reserved),
            })  # fmt: skip
            self.publish(topic, told, change.seq)

    # --- is the engine alive? ---

    def _beat(self) -> None:
        """Each second the engine is asked how far it is. What is told is its answer: without one
        nothing is told, however alive the socket may be."""
        self._heart = self._loop.call_later(HEARTBEAT_S, self._beat)
        self._oms.journal_seq().add_done_callback(self._answered)

    def _answered(self, done: "Future[int]") -> None:
        """On the dispatcher's thread: behind all events of the turns before."""
        if done.exception() is None:
            self._put(Beat(done.result()))

    def _alive(self, beat: Beat) -> None:
        told = {
            "channel": HEARTBEAT, "seq": str(beat.seq), "time": str(self._oms.clock.wall_ns()),
        }  # fmt: skip
        frame = frame_of(encode(told))
        for client in tuple(self._clients):
            client.tell((HEARTBEAT,), frame, beat.seq)


def place_of(response: OrderResponse) -> Told:
    """Where in the order of all events this is."""
    report = response.report
    return {"seq": str(report.journal_seq), "number": report.number, "account": report.account}


def _market_told(channel: str, event: Any, data: Told) -> Told:
    return {"channel": channel, "seq": str(event.seq), "number": event.number, "data": data}
