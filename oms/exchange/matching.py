"""Matching engine: all markets; what an order asks for becomes steps on its book.

Flow:  venue -> [matching] -> book; events come back in the order they happened.
In:    orders already checked. Out: events, one per report that somebody is owed.
Owner: the dispatcher thread. No locks, no I/O, no clock: the same orders in the same
       order give the same events, on any machine, in any year.

Whoever applies the events then asks what they set off: triggered stops go on one by one,
each when all before it is settled. So a cascade is a row of plain steps.
"""

from collections.abc import Iterable

from oms.exchange.arrival import Arrival, canceled, post_only_reason
from oms.exchange.book import Fill, OrderBook
from oms.exchange.market import Market
from oms.exchange.phases import Phases
from oms.exchange.rules import Rules
from oms.instruments import Instrument
from oms.messages import (
    Liquidity,
    OrderType,
    Phase,
    RejectReason,
    ResponseType,
    TimeInForce,
)
from oms.orders import Change, Event, Order, keeps_priority

NEW, TRADE, REJECTED = ResponseType.NEW, ResponseType.TRADE, ResponseType.REJECTED
LIMIT, CONTINUOUS = OrderType.LIMIT, Phase.CONTINUOUS
NEVER_REST = (TimeInForce.IOC, TimeInForce.FOK)
MAKER, TAKER = Liquidity.MAKER.value, Liquidity.TAKER.value


class MatchingEngine:
    """One market per instrument, and the rules they share."""

    def __init__(self) -> None:
        self.markets: dict[str, Market] = {}
        self.books: dict[str, OrderBook] = {}
        self.rules = Rules()
        self.phases = Phases(self.rules, self.markets)
        self._arrival = Arrival(self.rules, self.phases)

    def list_instruments(self, instruments: Iterable[Instrument]) -> None:
        """Open a market for every instrument that has none."""
        for instrument in instruments:
            market = self.markets.get(instrument.symbol)
            if market is None:
                market = Market(instrument, self.phases.session)
                self.markets[instrument.symbol] = market
                self.books[instrument.symbol] = market.book
            market.instrument = instrument

    def place(self, order: Order) -> list[Event]:
        """A new order: accepted, trades at the resting prices, then rests or ends."""
        order_id = order.order_id
        market = self.markets[order.instrument.symbol]
        accepted: Event = (NEW, order_id, 0, 0, 0, "", "", "")
        if (
            order.terms is None
            and order.order_type is LIMIT
            and order.time_in_force not in NEVER_REST
            and market.phase is CONTINUOUS
            and (
                not market.book.crosses(order.side, order.price_ticks)
                or self._arrival.undisturbed(market, order)
            )
        ):
            side, price_ticks = order.side, order.price_ticks
            fills = market.book.add_order(order_id, side, price_ticks, order.left_lots)
            market.touch(side, price_ticks)
            if not fills:
                return [accepted]
            self._arrival.note_trades(market, side, [price for _, price, _ in fills])
            return [accepted, *_trades(order_id, fills)]
        if order.suspended:
            self._suspend(market, order)
            return [accepted]
        events = self._arrival.execute(
            market, order, order.price_ticks, order.left_lots, arrives=True
        )
        if events and events[0][0] is REJECTED:
            return events
        return [accepted, *events]

    def cancel(self, change: Change) -> list[Event]:
        """Take the order out; refused when it is no longer there."""
        order = change.order
        if not self._take_out(self.markets[order.instrument.symbol], order.order_id):
            return [_refused(change)]
        return [canceled(order.order_id, "", change.request_seq)]

    def replace(self, change: Change) -> list[Event]:
        """New price, new total quantity, new terms in one step; a price that crosses trades."""
        order = change.order
        market = self.markets[order.instrument.symbol]
        replaced: Event = (
            ResponseType.REPLACED, order.order_id, change.request_seq, 0, 0, "", "", "",
        )  # fmt: skip
        if order.suspended:
            return [replaced] if self._replace_stop(market, change) else [_refused(change)]
        book = market.book
        open_lots = book.open_lots(order.order_id)
        if not open_lots:
            return [_refused(change)]
        left = change.quantity_lots - order.cumulative_lots
        market.touch(order.side, order.price_ticks)
        if left <= 0:
            book.cancel_order(order.order_id)
            return [replaced]
        if keeps_priority(order.price_ticks, change.price_ticks, open_lots, left):
            book.reduce_order(order.order_id, left, change.display_lots)
            return [replaced]
        reason = post_only_reason(market, order, change.price_ticks)
        if reason:
            return [_refused(change, reason)]
        book.cancel_order(order.order_id)
        events = self._arrival.execute(market, order, change.price_ticks, left, change.display_lots)
        return [replaced, *events]

    def withdraw(self, order_ids: set[int], type_: ResponseType, reason: str) -> list[Event]:
        """Take these out unasked: resting ones in the order they entered the book, then stops."""
        events: list[Event] = []
        for market in self.markets.values():
            found = [id for id in market.book.order_ids() if id in order_ids]
            found += sorted(id for id, _ in market.stops.entries() if id in order_ids)
            for order_id in found:
                self._take_out(market, order_id)
                events.append((type_, order_id, 0, 0, 0, "", reason, ""))
        return events

    def withdraw_one(self, order: Order, reason: str) -> list[Event]:
        """The same for one order, which is canceled; none if it is not here."""
        taken = self._take_out(self.markets[order.instrument.symbol], order.order_id)
        return [canceled(order.order_id, reason)] if taken else []

    def _take_out(self, market: Market, order_id: int) -> bool:
        rested = market.book.cancel_order(order_id)
        if rested is not None:
            market.touch(*rested[:2])
            return True
        if self.rules.triggered.pop(order_id, None) is not None:
            return True
        return market.stops.remove(order_id)

    # --- stops ---

    def _suspend(self, market: Market, order: Order) -> None:
        assert order.terms is not None
        market.stops.add(order.order_id, order.side, order.terms.stop_ticks)
        self.rules.trigger(market, market.last_ticks)

    def _replace_stop(self, market: Market, change: Change) -> bool:
        """A new stop price, or more, goes to the back of its stop price."""
        order = change.order
        assert order.terms is not None
        if order.order_id not in market.stops:
            return False
        stop = change.stop_ticks or order.terms.stop_ticks
        kept = stop == order.terms.stop_ticks and keeps_priority(
            order.price_ticks, change.price_ticks, order.quantity_lots, change.quantity_lots
        )
        if not kept:
            market.stops.remove(order.order_id)
            market.stops.add(order.order_id, order.side, stop)
            self.rules.trigger(market, market.last_ticks)
        return True

    def next_triggered(self) -> Order | None:
        """The next stop that goes on; one whose market was halted meanwhile waits again."""
        row = self.rules.triggered
        while row:
            order_id, market = row.popitem(last=False)
            order = self.rules.orders[order_id]
            if market.phase is CONTINUOUS:
                return order
            assert order.terms is not None
            market.stops.add(order_id, order.side, order.terms.stop_ticks)
        return None

    def place_triggered(self, order: Order) -> list[Event]:
        """A stop that was told to be triggered trades, as if it had just arrived."""
        market = self.markets[order.instrument.symbol]
        events = self._arrival.execute(market, order, order.price_ticks, order.left_lots)
        if events and events[0][0] is REJECTED:  # it was accepted long ago
            return [canceled(order.order_id, events[0][6])]
        return events


def _trades(taker_id: int, fills: list[Fill]) -> list[Event]:
    """Each fill is told twice: to who arrived and to who rested."""
    events: list[Event] = []
    for maker_id, price_ticks, lots in fills:
        events.append((TRADE, taker_id, 0, price_ticks, lots, TAKER, "", ""))
        events.append((TRADE, maker_id, 0, price_ticks, lots, MAKER, "", ""))
    return events


def _refused(change: Change, reason: str = RejectReason.TOO_LATE.value) -> Event:
    order_id, seq = change.order.order_id, change.request_seq
    return (ResponseType.CANCEL_REJECTED, order_id, seq, 0, 0, "", reason, "")
