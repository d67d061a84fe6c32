"""After the commit: tell whoever asked, whoever listens, and keep what readers may see.

Owner: the dispatcher publishes; any thread may read. Each callback is isolated: one that
raises is logged and the others are told all the same.
"""

import logging
import threading
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from typing import Any, NamedTuple, TypeVar

from oms.desk.desk import SENT, Hops
from oms.enums import TERMINAL_STATES, ResponseType
from oms.exchange.order import Order
from oms.instruments import Instrument
from oms.market_data import (
    Depth,
    MarketEvent,
    TradeEvent,
    TradePrint,
    in_units,
)
from oms.positions import CHANGES
from oms.reports import OF_CHANGES, ORDER_STATUS, REFUSALS, TRADE, Report, status_of
from oms.responses import OrderResponse
from oms.turn.answer import Asker
from oms.turn.tape import told_of
from oms.users import User

log = logging.getLogger(__name__)

T = TypeVar("T")

Listener = Callable[[OrderResponse], object]
MarketListener = Callable[[MarketEvent], object]


class PublishedTurn(NamedTuple):
    """All that one turn tells, for who passes it on whole. users: those that it changed."""

    seq: int
    wall_ns: int
    reports: list[Report]
    events: list[MarketEvent]
    users: list[User]


TurnListener = Callable[[PublishedTurn], object]
ENDED = frozenset(state.value for state in TERMINAL_STATES)
CANCEL_REJECTED = ResponseType.CANCEL_REJECTED.value
# Said of an order that is open, these answer a repeated id: no news of the order.
NO_NEWS = (ORDER_STATUS, ResponseType.REJECTED.value)
FINAL = (*REFUSALS, ORDER_STATUS)  # answers that nothing more comes of at once


class Publisher:
    """Futures, listeners, and the published view of orders, depth and trades."""

    def __init__(self, trades_kept: int) -> None:
        self._adding = threading.Lock()
        self.shown_seq = 0  # the latest turn that is in all that readers see
        self._showing = threading.Condition()
        self._at_end: list[Callable[[], object]] = []
        self._ended = False
        self._listeners: tuple[Listener, ...] = ()
        self.market_listeners: tuple[MarketListener, ...] = ()
        self.turn_listeners: tuple[TurnListener, ...] = ()
        self._trades_kept = trades_kept
        self._trades: dict[str, deque[TradePrint]] = {}
        self._depth: dict[str, Depth] = {}
        self.open: dict[int, Report] = {}  # order id -> its latest published report
        self.listed: Mapping[str, Instrument] = {}  # what is traded
        self.instruments: dict[str, Instrument] = {}  # and what was, as far as it is known
        self.rejects: dict[str, int] = {}
        self.published = 0
        self.failures = 0
        # Who waits for a remote venue to answer, by the request's sequence, and the report that
        # it was sent. Bounded as what may be under way to the venue is.
        self.owed: dict[int, tuple[Asker[OrderResponse], Report]] = {}

    def add_listener(self, listener: Listener) -> None:
        with self._adding:
            self._listeners = (*self._listeners, listener)

    def add_market_listener(self, listener: MarketListener) -> None:
        with self._adding:
            self.market_listeners = (*self.market_listeners, listener)

    def add_turn_listener(self, listener: TurnListener) -> None:
        with self._adding:
            self.turn_listeners = (*self.turn_listeners, listener)

    def remove_listener(self, listener: Callable[[Any], object]) -> None:
        """Tell it nothing more, of reports or of the market; nothing happens if it is not known."""
        with self._adding:
            self._listeners = tuple(each for each in self._listeners if each != listener)
            self.market_listeners = tuple(
                each for each in self.market_listeners if each != listener
            )
            self.turn_listeners = tuple(each for each in self.turn_listeners if each != listener)

    def at_end(self, call: Callable[[], object]) -> None:
        """Call this once nothing more will be told; at once if that is so already."""
        with self._adding:
            ended = self._ended
            if not ended:
                self._at_end.append(call)
        if ended:
            call()

    def forget_at_end(self, call: Callable[[], object]) -> None:
        with self._adding, suppress(ValueError):
            self._at_end.remove(call)

    def shown(self, seq: int) -> None:
        """All that readers see is as of this turn."""
        with self._showing:
            self.shown_seq = seq
            self._showing.notify_all()

    def wait_until_shown(self, seq: int, wait_s: float) -> None:
        """For who has read a turn in the store, which has it a moment before. Returns without it,
        if the dispatcher dies in between, after so long."""
        with self._showing:
            self._showing.wait_for(lambda: self.shown_seq >= seq, wait_s)

    def end(self) -> None:
        """Nothing more will be told."""
        with self._adding:
            calls, self._at_end, self._ended = self._at_end, [], True
        for call in calls:
            call()

    def restore(self, orders: Iterable[Order], turn_seq: int, wall_ns: int) -> None:
        """Take over the open orders of a recovered desk."""
        self.open = {order.order_id: status_of(order, turn_seq, wall_ns) for order in orders}

    def list_instruments(
        self, listed: Mapping[str, Instrument], known: Mapping[str, Instrument]
    ) -> None:
        """What is traded from now on; known: what is told of may be of these, too."""
        self.listed = listed
        self.instruments = {**self.instruments, **known, **listed}

    def set_trades(self, tapes: Mapping[str, Iterable[TradePrint]]) -> None:
        """The latest trades of some markets, as the store has them."""
        for symbol, trades in tapes.items():
            self._trades[symbol] = deque(trades, maxlen=self._trades_kept)

    def take_over(self, reports: list[Report]) -> list[TradeEvent]:
        """Renew what readers see by one turn's reports; returns what was traded, taken back and
        corrected. After the last two `set_trades` must follow: only the store knows which older
        trades are among the latest then."""
        open_reports = self.open
        trades: list[TradeEvent] = []
        fills: list[Report] = []
        for report in reports:
            kind, state = report.type, report.state
            if state in ENDED:
                open_reports.pop(report.order_id, None)
            elif state and kind not in NO_NEWS:  # no state: it is not about an order
                open_reports[report.order_id] = report
            if kind == TRADE or kind in CHANGES:
                fills.append(report)
            elif report.reason and kind in REFUSALS:
                self._count_reject(report.reason)
        if fills:
            self._print(fills, trades)
        self.published += len(reports)
        if trades and self.wants_events:
            return [in_units(trade, self.instruments.get(trade.symbol)) for trade in trades]
        return trades

    def _print(self, fills: list[Report], trades: list[TradeEvent]) -> None:
        """Note each trade, and keep it among the latest of its market."""
        for made in told_of(fills):
            trades.append(made)
            if type(made) is TradePrint:
                kept = self._trades.get(made.symbol)
                if kept is None:
                    kept = self._trades[made.symbol] = deque(maxlen=self._trades_kept)
                kept.append(made)

    def tell(
        self,
        reports: list[Report],
        answers: dict[int, Asker[OrderResponse]],
        hops: dict[int, Hops],
        durable_ns: int,
        published_ns: int,
    ) -> None:
        """Tell one turn's reports, in order, to who asked and who listens.

        Who asked gets the last report that the request made at once: how the order stands.
        """
        instruments, listeners = self.instruments, self._listeners
        if not answers and not listeners and not self.owed:
            return
        told = (durable_ns, published_ns)
        for at, report in enumerate(reports):
            seq = report.request_seq
            answer = answers.pop(seq, None) if seq and answers else None
            response = None
            if answer is not None:
                if report.reason == SENT and report.type != ORDER_STATUS:
                    self.owed[seq] = (answer, report)
                else:
                    response = self._answer(answer, reports, at, hops.get(seq), told)
            if self.owed:
                self._answer_owed(reports, at, told)
            if not listeners:
                continue
            if response is None or response.report is not report:
                instrument = instruments.get(report.symbol)
                response = OrderResponse(report, instrument, hops.get(seq), told)
            for listener in listeners:
                try:
                    listener(response)
                except BaseException:  # whatever it is, the dispatcher goes on
                    self._failed(listener)

    def _answer(
        self,
        answer: Asker[OrderResponse],
        reports: list[Report],
        at: int,
        hops: Hops | None,
        told: tuple[int, int],
    ) -> OrderResponse:
        made = _made_at_once(reports, at)
        last = made[-1]
        response = OrderResponse(last, self.instruments.get(last.symbol), hops, told, made)
        try:
            answer.told(response)
        except BaseException:  # of its owner, or of a callback: the dispatcher goes on
            log.exception("a future, or a callback of it, failed")
        return response

    def _answer_owed(self, reports: list[Report], at: int, told: tuple[int, int]) -> None:
        """Who waits for this report of a remote venue: it answers a request, or says of an order
        that was not answered yet how it stands."""
        report = reports[at]
        for seq in {report.request_seq, report.order_id} & self.owed.keys():
            answer, pending = self.owed[seq]
            of_change = seq != report.request_seq and report.type in OF_CHANGES
            if pending is not report and not of_change:
                del self.owed[seq]
                self._answer(answer, reports, at, None, told)

    def tell_owed(self) -> None:
        """The order manager stops: what the venue has not answered yet is told as pending."""
        while self.owed:
            _, (answer, report) = self.owed.popitem()
            instrument = self.instruments.get(report.symbol)
            try:
                answer.told(OrderResponse(report, instrument, at_once=[report]))
            except BaseException:
                log.exception("a future, or a callback of it, failed")

    def fail_owed(self, error: Exception) -> None:
        """Nobody will be told any more."""
        while self.owed:
            fail(self.owed.popitem()[1][0], error)

    def tell_market(self, events: list[MarketEvent]) -> None:
        """Tell one turn's market events, in order; the private reports went before."""
        for event in events:
            for listener in self.market_listeners:
                try:
                    listener(event)
                except BaseException:  # whatever it is, the dispatcher goes on
                    self._failed(listener)

    def tell_turn(self, turn: PublishedTurn) -> None:
        """Tell a turn as a whole, behind all that was told of it one by one."""
        for listener in self.turn_listeners:
            try:
                listener(turn)
            except BaseException:  # whatever it is, the dispatcher goes on
                self._failed(listener)

    @property
    def wants_events(self) -> bool:
        """Does somebody listen to the market?"""
        return bool(self.market_listeners or self.turn_listeners)

    def refuse(self, answer: Asker[OrderResponse] | None, response: OrderResponse) -> None:
        """Tell a refusal that never reached the journal, on the caller's thread."""
        self._count_reject(response.text)
        if answer is not None:
            answer.told(response)
        for listener in self._listeners:
            try:
                listener(response)
            except Exception:
                self._failed(listener)

    def _failed(self, listener: Callable[[Any], object]) -> None:
        self.failures += 1
        if self.failures == 1 or self.failures % 1000 == 0:
            log.exception("listener %r failed, %d failures so far", listener, self.failures)

    def _count_reject(self, reason: str) -> None:
        code = reason.partition(":")[0]
        self.rejects[code] = self.rejects.get(code, 0) + 1

    # --- what readers may see: only what is durable ---

    def show_depth(self, symbol: str, depth: Depth) -> None:
        self._depth[symbol] = depth

    def depth(self, symbol: str) -> Depth:
        return self._depth.get(symbol, ([], []))

    def trades(self, symbol: str, limit: int | None = None) -> list[TradePrint]:
        """The latest, oldest first; limit: so many at most, above 0."""
        instrument = self.instruments.get(symbol)
        kept = list(self._trades.get(symbol, ()))
        return [in_units(trade, instrument) for trade in (kept[-limit:] if limit else kept)]

    def response(self, report: Report) -> OrderResponse:
        return OrderResponse(report, self.instruments.get(report.symbol))


def _made_at_once(reports: list[Report], at: int) -> list[Report]:
    """The reports of one order that the request made which `reports[at]` answers.

    They go as far as the first answer to another request. A refused change is none such: it
    may be one of an order that this very request filled.
    """
    first = reports[at]
    made = [first]
    if first.type in FINAL:
        return made
    for place in range(at + 1, len(reports)):
        report = reports[place]
        if report.request_seq and report.request_seq != first.request_seq:
            if report.type != CANCEL_REJECTED:
                break
        elif report.order_id == first.order_id:
            made.append(report)
    return made


def fail(answer: Asker[OrderResponse], error: BaseException) -> None:
    """Whatever its owner did to it, or a callback raises: the dispatcher goes on."""
    try:
        answer.failed(error)
    except BaseException:
        log.exception("a future, or a callback of it, failed")
