"""Matching engine: all instruments; order types and times in force become book calls.

Flow:  venue -> [matching] -> book; events come back in the order they happened.
In:    orders already checked. Out: events, one per report that somebody is owed.
Owner: the dispatcher thread. No locks, no I/O, no clock: the same orders in the same
       order give the same events, on any machine, in any year.
"""

from collections.abc import Iterable

from oms.exchange.book import Fill, OrderBook
from oms.instruments import Instrument, MarketOrderPolicy
from oms.messages import Liquidity, OrderType, RejectReason, ResponseType, TimeInForce
from oms.orders import Change, Event, Order, keeps_priority

NEW, TRADE = ResponseType.NEW, ResponseType.TRADE
LIMIT = OrderType.LIMIT
NEVER_REST = (TimeInForce.IOC, TimeInForce.FOK)
MAKER, TAKER = Liquidity.MAKER.value, Liquidity.TAKER.value
NO_LIQUIDITY = RejectReason.INSUFFICIENT_LIQUIDITY.value


class MatchingEngine:
    """One order book per instrument."""

    def __init__(self) -> None:
        self.books: dict[str, OrderBook] = {}

    def list_instruments(self, instruments: Iterable[Instrument]) -> None:
        """Open a book for every instrument that has none."""
        for instrument in instruments:
            self.books.setdefault(instrument.symbol, OrderBook())

    def place(self, order: Order) -> list[Event]:
        """A new order: accepted, trades at the resting prices, then rests or ends."""
        order_id = order.order_id
        book = self.books[order.instrument.symbol]
        if order.order_type is LIMIT and order.time_in_force not in NEVER_REST:
            fills = book.add_order(order_id, order.side, order.price_ticks, order.left_lots)
            if not fills:
                return [(NEW, order_id, 0, 0, 0, "", "", "")]
            return [(NEW, order_id, 0, 0, 0, "", "", ""), *_trades(order_id, fills)]
        return self._place_at_once(book, order)

    def _place_at_once(self, book: OrderBook, order: Order) -> list[Event]:
        """Market, IOC and FOK: what cannot trade now is canceled; nothing rests.

        FOK and an instrument's all_or_none look first whether the whole order would fill,
        so that no trade has to be undone.
        """
        order_id, lots = order.order_id, order.left_lots
        market = order.order_type is OrderType.MARKET
        price = None if market else order.price_ticks
        policy = order.instrument.market_order
        fok = order.time_in_force is TimeInForce.FOK
        whole = market and policy is MarketOrderPolicy.ALL_OR_NONE
        if (fok or whole) and not book.fillable(order.side, price, lots):
            reason = f"{NO_LIQUIDITY}: quantity={lots}, policy={'FOK' if fok else policy}"
            if fok:
                return [(NEW, order_id, 0, 0, 0, "", "", ""), _canceled(order_id, reason)]
            return [(ResponseType.REJECTED, order_id, 0, 0, 0, "", reason, "")]
        fills, left = book.match_order(order.side, price, lots)
        events: list[Event] = [(NEW, order_id, 0, 0, 0, "", "", ""), *_trades(order_id, fills)]
        if left:
            events.append(_canceled(order_id, f"{NO_LIQUIDITY}: left={left}"))
        return events

    def cancel(self, change: Change) -> list[Event]:
        """Take the order out; refused when it is no longer there."""
        order = change.order
        if self.books[order.instrument.symbol].cancel_order(order.order_id) is None:
            return [_refused(change)]
        return [_canceled(order.order_id, "", change.request_seq)]

    def replace(self, change: Change) -> list[Event]:
        """New price and new total quantity in one step; a price that crosses trades."""
        order = change.order
        order_id = order.order_id
        book = self.books[order.instrument.symbol]
        open_lots = book.open_lots(order_id)
        if not open_lots:
            return [_refused(change)]
        replaced: Event = (ResponseType.REPLACED, order_id, change.request_seq, 0, 0, "", "", "")
        left = change.quantity_lots - order.cumulative_lots
        if left <= 0:
            book.cancel_order(order_id)
            return [replaced]
        if keeps_priority(order.price_ticks, change.price_ticks, open_lots, left):
            book.reduce_order(order_id, left)
            return [replaced]
        book.cancel_order(order_id)
        fills = book.add_order(order_id, order.side, change.price_ticks, left)
        return [replaced, *_trades(order_id, fills)]

    def expire(self, order_ids: set[int], reason: str) -> list[Event]:
        """Take these orders out at the session's end, in the order they entered the book."""
        events: list[Event] = []
        for book in self.books.values():
            for order_id in book.order_ids():
                if order_id in order_ids:
                    book.cancel_order(order_id)
                    events.append((ResponseType.EXPIRED, order_id, 0, 0, 0, "", reason, ""))
        return events


def _trades(taker_id: int, fills: list[Fill]) -> list[Event]:
    """Each fill is told twice: to who arrived and to who rested."""
    events: list[Event] = []
    for maker_id, price_ticks, lots in fills:
        events.append((TRADE, taker_id, 0, price_ticks, lots, TAKER, "", ""))
        events.append((TRADE, maker_id, 0, price_ticks, lots, MAKER, "", ""))
    return events


def _canceled(order_id: int, reason: str, request_seq: int = 0) -> Event:
    return (ResponseType.CANCELED, order_id, request_seq, 0, 0, "", reason, "")


def _refused(change: Change) -> Event:
    order_id, seq = change.order.order_id, change.request_seq
    reason = RejectReason.TOO_LATE.value
    return (ResponseType.CANCEL_REJECTED, order_id, seq, 0, 0, "", reason, "")
