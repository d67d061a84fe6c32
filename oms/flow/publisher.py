"""After the commit: tell whoever asked, whoever listens, and keep what readers may see.

Owner: the dispatcher publishes; any thread may read. Each callback is isolated: one that
raises is logged and the others are told all the same.
"""

import logging
from collections import deque
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

from oms.desk.blotter import Hops
from oms.flow.inbox import Answer
from oms.instruments import Instrument
from oms.market_data import MarketEvent
from oms.messages import TERMINAL_STATES, Liquidity, ResponseType, Side
from oms.reports import OrderResponse, Row

log = logging.getLogger(__name__)

Listener = Callable[[OrderResponse], object]
MarketListener = Callable[[MarketEvent], object]
Depth = tuple[list[tuple[int, int]], list[tuple[int, int]]]
ENDED = frozenset(state.value for state in TERMINAL_STATES)
CANCEL_REJECTED = ResponseType.CANCEL_REJECTED.value
REFUSED = (ResponseType.REJECTED.value, CANCEL_REJECTED)
# Said of an order that is open, these answer a repeated id: no news of the order.
NO_NEWS = (ResponseType.ORDER_STATUS.value, ResponseType.REJECTED.value)
LOGGED_ROWS_MAX = 8
TRADE = ResponseType.TRADE.value
TAKER, AUCTION, BUYER = Liquidity.TAKER.value, Liquidity.AUCTION.value, Side.BUY.value


class Trade(NamedTuple):
    """One trade, as the public may see it; side is the taker's, "" in an auction."""

    execution_id: str
    symbol: str
    side: str
    price_ticks: int
    quantity_lots: int
    wall_ns: int


class Publisher:
    """Futures, listeners, and the published view of orders, depth and trades."""

    def __init__(self, trades_kept: int) -> None:
        self._listeners: tuple[Listener, ...] = ()
        self.market_listeners: tuple[MarketListener, ...] = ()
        self._trades_kept = trades_kept
        self._trades: dict[str, deque[Trade]] = {}
        self._depth: dict[str, Depth] = {}
        self.open: dict[int, Row] = {}  # order id -> its latest published report
        self.instruments: dict[str, Instrument] = {}
        self.rejects: dict[str, int] = {}
        self.published = 0
        self.failures = 0

    def add_listener(self, listener: Listener) -> None:
        self._listeners = (*self._listeners, listener)

    def add_market_listener(self, listener: MarketListener) -> None:
        self.market_listeners = (*self.market_listeners, listener)

    def restore(self, rows: Iterable[Row]) -> None:
        """Take over the open orders of a recovered desk."""
        self.open = {row[2]: row for row in rows}

    def publish(
        self,
        rows: list[Row],
        answers: dict[int, Answer],
        hops: dict[int, Hops],
        durable_ns: int,
        published_ns: int,
    ) -> None:
        """Tell one turn's reports, in order."""
        open_rows = self.open
        for row in rows:
            if row[9] in ENDED:
                open_rows.pop(row[2], None)
                if row[15] == TAKER or row[15] == AUCTION:
                    self._print_trade(row)
            elif row[9] and row[8] not in NO_NEWS:  # no state: it is not about an order
                open_rows[row[2]] = row
                if row[15] == TAKER or row[15] == AUCTION:
                    self._print_trade(row)
            if row[16] and row[8] in REFUSED:
                self._count_reject(row[16])
        self.published += len(rows)
        if log.isEnabledFor(logging.INFO):
            _log(rows)
        if answers or self._listeners:
            self._tell(rows, answers, hops, durable_ns, published_ns)

    def _tell(
        self,
        rows: list[Row],
        answers: dict[int, Answer],
        hops: dict[int, Hops],
        durable_ns: int,
        published_ns: int,
    ) -> None:
        instruments = self.instruments
        told = (durable_ns, published_ns)
        for at, row in enumerate(rows):
            request_seq = row[3]
            response = OrderResponse(row, instruments.get(row[6]), hops.get(request_seq), told)
            if request_seq:
                answer = answers.pop(request_seq, None)
                if answer is not None:
                    response.made(_made_at_once(rows, at))
                    _resolve(answer, response)
            for listener in self._listeners:
                self._call(listener, response)

    def tell_market(self, events: list[MarketEvent]) -> None:
        """Tell one turn's market events, in order; the private reports went before."""
        for event in events:
            for listener in self.market_listeners:
                self._call(listener, event)

    def refuse(self, answer: Answer | None, response: OrderResponse) -> None:
        """Tell a refusal that never reached the journal, on the caller's thread."""
        self._count_reject(response.text)
        if answer is not None:
            _resolve(answer, response)
        for listener in self._listeners:
            self._call(listener, response)

    def _call(self, listener: Callable[[Any], object], told: OrderResponse | MarketEvent) -> None:
        try:
            listener(told)
        except Exception:
            self.failures += 1
            if self.failures == 1 or self.failures % 1000 == 0:
                log.exception("listener %r failed, %d failures so far", listener, self.failures)

    def _count_reject(self, reason: str) -> None:
        code = reason.partition(":")[0]
        self.rejects[code] = self.rejects.get(code, 0) + 1

    def _print_trade(self, row: Row) -> None:
        side = row[7] if row[15] == TAKER else ""
        if row[8] != TRADE or not (side or row[7] == BUYER):
            return  # of an auction's two reports the buyer's is printed
        trades = self._trades.get(row[6])
        if trades is None:
            trades = self._trades[row[6]] = deque(maxlen=self._trades_kept)
        trades.append(Trade(f"{row[0]}-{row[1]}", row[6], side, row[10], row[11], row[17]))

    # --- what readers may see: only what is durable ---

    def show_depth(self, symbol: str, depth: Depth) -> None:
        self._depth[symbol] = depth

    def depth(self, symbol: str) -> Depth:
        return self._depth.get(symbol, ([], []))

    def trades(self, symbol: str) -> list[Trade]:
        return list(self._trades.get(symbol, ()))

    def response(self, row: Row) -> OrderResponse:
        return OrderResponse(row, self.instruments.get(row[6]))


def _log(rows: list[Row]) -> None:
    """A line a report when there are few; a line a turn in a burst: a record costs 6 us."""
    if len(rows) > LOGGED_ROWS_MAX and not log.isEnabledFor(logging.DEBUG):
        log.info("journal_seq=%d: %d reports", rows[0][0], len(rows))
        return
    for row in rows:
        log.info(
            "%s %s order_id=%d account=%s client_order_id=%s %s %s last=%d@%d filled=%d open=%d %s",
            row[8], row[9], row[2], row[4], row[5], row[7], row[6], row[11], row[10], row[12],
            row[13], row[16],
            extra={
                "order_id": row[2], "account": row[4], "client_order_id": row[5],
                "journal_seq": row[0],
            },
        )  # fmt: skip


def _made_at_once(rows: list[Row], at: int) -> list[Row]:
    """The reports of one order that the request made which `rows[at]` answers.

    They go as far as the first answer to another request. A refused change is none such: it
    may be one of an order that this very request filled.
    """
    _, _, order_id, request_seq = rows[at][:4]
    made = [rows[at]]
    if rows[at][8] in REFUSED:
        return made
    for next_at in range(at + 1, len(rows)):
        row = rows[next_at]
        if row[3] and row[3] != request_seq:
            if row[8] != CANCEL_REJECTED:
                break
        elif row[2] == order_id:
            made.append(row)
    return made


def _resolve(answer: Answer, response: OrderResponse) -> None:
    if answer.set_running_or_notify_cancel():
        answer.set_result(response)
