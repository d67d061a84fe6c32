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
from collections.abc import Callable, Hashable, Mapping
from concurrent.futures import Future
from typing import Any, NamedTuple, Protocol, cast

import msgspec

from oms.gateways.web.candles import Growing
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
from oms.gateways.web.front import Door
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
from oms.gateways.web.shapes import SessionTold
from oms.gateways.web.told import decimal_told, levels_told
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
CANDLE_MS = 1_000  # a candle that grows is told once in so long

Topic = tuple[Hashable, ...]
"""Channel; then a symbol or account; then an interval or width."""
encode = msgspec.json.Encoder().encode


class Beat(NamedTuple):
    """The engine is alive, and has come so far."""

    seq: int


Event = OrderResponse | MarketEvent | Beat
OF_TRADES = (TradePrint, TradeBust, TradeCorrection)
# Which events a channel is made of; all others are made of all that there are.
MADE_OF: Mapping[Hashable, tuple[type, ...]] = {
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
        self._orders = Remembered(door.oms)
        self._events: deque[Event] = deque()
        self._woken = self._lost = self._asked = False
        self.clients: set[Subscriber] = set()
        self._topics: dict[Topic, set[Subscriber]] = {}
        # How many topics want events of a type, by symbol or account. The dispatcher's thread looks
        # whether there are any: what nobody wants costs the loop nothing.
        self._wanted: dict[type, Counter[Hashable]] = {
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
        self.seq = 0  # of the latest event told
        self._makers: dict[type, Callable[[Any], None]] = {
            OrderResponse: self._report, TradePrint: self._trade, DepthUpdate: self._depth,
            TopOfBook: self._top, MarketState: self._market, IndicativePrice: self._auction,
            BalanceChange: self._balance, TradeBust: self._changed,
            TradeCorrection: self._changed, Beat: self._alive,
        }  # fmt: skip

    # --- who listens ---

    def join(self, client: Subscriber) -> None:
        if not self.clients:
            self._oms.add_listener(self._heard)
            self._oms.add_market_listener(self._happened)
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
        self._oms.remove_listener(self._heard)
        self._oms.remove_listener(self._happened)

    def subscribe(self, client: Subscriber, topic: Topic) -> None:
        those = self._topics.get(topic)
        if those is None:
            those = self._topics[topic] = set()
            for kind in MADE_OF.get(topic[0], ()):
                self._wanted[kind][topic[1]] += 1
        those.add(client)

    def unsubscribe(self, client: Subscriber, topic: Topic) -> None:
        those = self._topics.get(topic)
        if those is None or client not in those:
            return
        those.discard(client)
        if those:
            return
        del self._topics[topic]
        for kind in MADE_OF.get(topic[0], ()):
            self._wanted[kind][topic[1]] -= 1
            if not self._wanted[kind][topic[1]]:
                del self._wanted[kind][topic[1]]
        if not self._wanted[OrderResponse]:
            self._orders.forget()
        self._levels.pop(topic, None)
        self._due_seqs.pop(topic, None)
        symbol = str(topic[1]) if len(topic) > 1 else ""
        if topic[0] == TICKER and not any(
            (TICKER, symbol, i) in self._topics for i in INTERVALS_MS
        ):
            self.tickers.pop(symbol, None)
        elif topic[0] == CANDLES:
            widths = self._growing.get(symbol, {})
            widths.pop(str(topic[2]), None)
            if not widths:
                self._growing.pop(symbol, None)

    # --- the threads that publish ---

    def _heard(self, response: OrderResponse) -> None:
        # Changes of every account: what is remembered of its orders may be old.
        report, wanted = response.report, self._wanted[OrderResponse]
        if wanted and (report.account in wanted or report.type in CHANGES):
            self._put(response)

    def _happened(self, event: MarketEvent) -> None:
        wanted = self._wanted.get(type(event))
        if wanted is None or _whose(event) in wanted:
            self._put(event)

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
                self._stop_listening()

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
        for client in list(self.clients):
            client.cut(1013, f"events were lost after seq={self.seq}: resume from there")

    def publish(self, topic: Topic, told: Mapping[str, object], seq: int) -> None:
        those = self._topics.get(topic)
        if not those:
            return
        frame = frame_of(encode(told))
        for client in tuple(those):
            client.tell(topic, frame, seq)

    def _report(self, response: OrderResponse) -> None:
        report = response.report
        self._orders.heard(response)
        seq = report.journal_seq
        self.seq = max(self.seq, seq)
        topic = (ORDERS, report.account)
        if topic in self._topics and report.state:  # else it is not about an order
            self.publish(topic, order_event(response, self._orders.told(response)), seq)
        topic = (REPORTS, report.account)
        if topic in self._topics:
            self.publish(topic, report_event(response), seq)
        topic = (FILLS, report.account)
        if report.type == TRADE and topic in self._topics:
            self.publish(topic, fill_event(response, self._orders.fill_told(response)), seq)

    def _trade(self, trade: TradePrint) -> None:
        symbol, number = trade.symbol, self._number(trade)
        topic = (TRADES, symbol)
        if topic in self._topics:
            self.publish(topic, trade_event(trade, number), trade.seq)
        for growing in self._growing.get(symbol, {}).values():
            growing.traded(trade)
        ticker = self.tickers.get(symbol)
        if ticker is not None:
            ticker["last"] = decimal_told(trade.price)
            ticker["lastQuantity"] = decimal_told(trade.quantity)
            self._tell_ticker(symbol, trade.seq)

    def _number(self, trade: TradePrint | TradeBust | TradeCorrection) -> int:
        """Its place among the turn's of the symbol: the same as when they are read again."""
        seq, count = self._counts.get(trade.symbol, (0, 0))
        count = count + 1 if seq == trade.seq else 1
        self._counts[trade.symbol] = trade.seq, count
        return count

    def _changed(self, change: TradeBust | TradeCorrection) -> None:
        symbol, number = change.symbol, self._number(change)
        topic = (TRADES, symbol)
        if topic in self._topics:
            self.publish(topic, trade_event(change, number), change.seq)
        for growing in self._growing.get(symbol, {}).values():
            growing.changed()
        ticker = self.tickers.get(symbol)
        if ticker is not None and symbol in self._oms.instruments():
            ticker.update(last_told(self._oms.recent_trades(symbol, 1)))  # type: ignore[typeddict-item]
            self._tell_ticker(symbol, change.seq)

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
        for topic in [topic for topic in self._due_seqs if topic[2] == interval]:
            self._publish_ticker(topic, self._due_seqs.pop(topic))
        if interval == CANDLE_MS:
            for topic in [topic for topic in self._due_seqs if topic[0] == CANDLES]:
                self._publish_candle(topic, self._due_seqs.pop(topic))

    def _tell_levels(self, topic: Topic) -> None:
        levels = self._levels.pop(topic)
        told: DepthEvent = {
            "channel": DEPTH, "event": "UPDATE", "symbol": str(topic[1]),
            "interval": int(str(topic[2])), "seq": str(levels.seq),
            "firstId": str(levels.first_id), "lastId": str(levels.last_id),
            "bids": levels_told(sorted(levels.bids.items(), reverse=True), levels.scales),
            "asks": levels_told(sorted(levels.asks.items()), levels.scales),
        }  # fmt: skip
        self.publish(topic, told, levels.last_id)

    # --- what is told as it stands ---

    def _top(self, top: TopOfBook) -> None:
        ticker = self.tickers.get(top.symbol)
        if ticker is None:
            return
        bid, ask = levels_told(
            ((top.bid_ticks, top.bid_lots), (top.ask_ticks, top.ask_lots)),
            (top.price_scale, top.quantity_scale),
        )
        ticker["bid"] = bid if top.bid_lots else None
        ticker["ask"] = ask if top.ask_lots else None
        self._tell_ticker(top.symbol, top.seq)

    def _tell_ticker(self, symbol: str, seq: int) -> None:
        for interval in INTERVALS_MS:
            topic = (TICKER, symbol, interval)
            if topic not in self._topics:
                continue
            if interval:
                self._due_seqs[topic] = seq
                self._later(interval)
            else:
                self._publish_ticker(topic, seq)

    def _publish_ticker(self, topic: Topic, seq: int) -> None:
        told: TickerEvent = {
            "channel": TICKER, "interval": int(str(topic[2])), "seq": str(seq),
            "data": self.tickers[str(topic[1])],
        }  # fmt: skip
        self.publish(topic, told, seq)

    def growing(self, symbol: str, width: str) -> Growing:
        """The candle that is told to subscribers of this topic."""
        widths = self._growing.setdefault(symbol, {})
        found = widths.get(width)
        if found is None:
            found = widths[width] = Growing(self._door, symbol, width, self._grew)
        return found

    def _grew(self, growing: Growing) -> None:
        """Tell it within an interval; at once if the interval's next would be another candle."""
        topic = (CANDLES, growing.symbol, growing.width)
        if topic not in self._topics or growing.candle is None:
            return
        if growing.ended:
            self._due_seqs.pop(topic, None)
            self._publish_candle(topic, growing.at)
            return
        self._due_seqs[topic] = growing.at
        self._later(CANDLE_MS)

    def _publish_candle(self, topic: Topic, seq: int) -> None:
        candle = self.growing(str(topic[1]), str(topic[2])).candle
        if candle is not None:
            told: CandleEvent = {
                "channel": CANDLES, "seq": str(seq), "data": candle_facts(candle, str(topic[2])),
            }  # fmt: skip
            self.publish(topic, told, seq)

    def _market(self, state: MarketState) -> None:
        self.publish((MARKETS,), market_event(state), state.seq)

    def _auction(self, found: IndicativePrice) -> None:
        topic = (AUCTION, found.symbol)
        if topic in self._topics:
            self.publish(topic, auction_event(found), found.seq)

    def _balance(self, change: BalanceChange) -> None:
        topic = (BALANCES, change.account)
        if topic in self._topics:
            self.publish(topic, balance_event(change), change.seq)

    # --- is the engine alive? ---

    def _beat(self) -> None:
        """Each second the engine is asked how far it is. What is told is its answer: without one
        nothing is told, however alive the socket may be."""
        self._heart = self._loop.call_later(HEARTBEAT_S, self._beat)
        if not self._asked:  # it owes no answer
            self._asked = True
            self._oms.journal_seq().add_done_callback(self._answered)

    def _answered(self, done: "Future[int]") -> None:
        """On the dispatcher's thread: behind all events of the turns before."""
        self._asked = False
        if done.exception() is None:
            self._put(Beat(done.result()))

    def _alive(self, beat: Beat) -> None:
        self.seq = max(self.seq, beat.seq)
        if (SESSION,) in self._topics:
            before, now = self._session, self.session()
            if now != before:
                changed: SessionEvent = {"channel": SESSION, "seq": str(beat.seq), "data": now}
                self.publish((SESSION,), changed, beat.seq)
        told: Heartbeat = {
            "channel": HEARTBEAT, "seq": str(beat.seq), "time": str(self._oms.clock.wall_ns()),
        }  # fmt: skip
        self.publish((HEARTBEAT,), told, beat.seq)

    def session(self) -> SessionTold:
        """As it is now, and as subscribers know it from now on."""
        self._session = cast(SessionTold, self._door.session_told())
        return self._session


def _whose(event: MarketEvent) -> str:
    return event.account if type(event) is BalanceChange else event.symbol  # type: ignore[union-attr]


def last_told(latest: list[TradePrint]) -> dict[str, str | None]:
    """The last trade as a ticker has it. latest: it alone, or nothing."""
    return {
        "last": decimal_told(latest[0].price) if latest else None,
        "lastQuantity": decimal_told(latest[0].quantity) if latest else None,
    }
