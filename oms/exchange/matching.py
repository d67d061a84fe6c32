"""Matching engine: what an order asks for is done to its market's book, and reported.

Flow:  desk -> [matching] -> book, executions -> reports, in the order things happened
In:    orders already checked, that the desk has taken up.
Owner: the dispatcher thread. No locks, no I/O, no clock: the same orders in the same
       order give the same reports, on any machine, in any year.

Whoever has an order executed then asks what that set off: triggered stops go on one by one,
each when all before it is settled. So a cascade is a row of plain steps.
"""

from collections.abc import Callable, Iterable, Iterator
from operator import attrgetter

from oms.enums import (
    Liquidity,
    MarketOrderPolicy,
    OrderState,
    OrderType,
    Phase,
    PostOnly,
    ResponseType,
    SelfTrade,
    Side,
    TimeInForce,
)
from oms.exchange.accounts import bound_of
from oms.exchange.book import OrderBook
from oms.exchange.executions import Executions
from oms.exchange.halts import Halts
from oms.exchange.market import Market, Phases, Rules
from oms.exchange.order import Change, Order, keeps_priority
from oms.exchange.risk import Risk
from oms.exchange.sweep import UNBOUNDED, SweepStep, affordable, cost_of, filled_by, sweep
from oms.instruments import Instrument
from oms.money import UNITS_MAX
from oms.reject_reasons import RejectReason

TRADE, RESTATED = ResponseType.TRADE, ResponseType.RESTATED
BUY, LIMIT, CONTINUOUS, NO_PREVENTION = Side.BUY, OrderType.LIMIT, Phase.CONTINUOUS, SelfTrade.NONE
NEVER_REST = (TimeInForce.IOC, TimeInForce.FOK)
MAKER, TAKER = Liquidity.MAKER.value, Liquidity.TAKER.value
NO_LIQUIDITY = RejectReason.INSUFFICIENT_LIQUIDITY.value
CANCELED, STATE_NEW = OrderState.CANCELED, OrderState.NEW
ReadNs = Callable[[], int]


class RefusedError(Exception):
    """Nothing of the order may happen, and why: a reason and its context."""


class MatchingEngine:
    """One market per instrument, and the rules they share."""

    def __init__(self, executions: Executions, risk: Risk) -> None:
        self.executions = executions
        self.markets: dict[str, Market] = {}
        self.rules = Rules()
        self.phases = Phases(self.rules, self.markets, executions)
        self.halts = Halts(executions, self.markets, self.rules, risk)
        self.phases.bring_back = self.halts.review

    def list_instruments(self, instruments: Iterable[Instrument]) -> None:
        """Open a market for every instrument that has none."""
        for instrument in instruments:
            market = self.markets.get(instrument.symbol)
            if market is None:
                market = self.markets[instrument.symbol] = Market(instrument, self.phases.session)
            market.instrument = instrument

    # --- requests ---

    def place(self, order: Order, waited_ns: int, sent_ns: int, read_ns: ReadNs) -> int:
        """A new order: accepted, trades at the resting prices, then rests or ends.

        waited_ns: until now. sent_ns: now; returns what `read_ns` said when it was matched.
        """
        market, executions = self.markets[order.instrument.symbol], self.executions
        if self._is_plain(market, order):
            fills = market.book.add(order)
            matched_ns = read_ns()
            order.leaves_lots = order.quantity_lots  # until its fills are told, one by one
            order.state, order.told = STATE_NEW, True
            executions.reports.accepted(order, waited_ns, matched_ns - sent_ns)
            if market.changed is not None:
                market.changed.add((order.side, order.price_ticks))
            if fills:
                fill, number, seq = executions.fill, market.matches, order.order_id
                for maker, price_ticks, lots in fills:
                    number += 1
                    fill(order, price_ticks, lots, TAKER, number, seq)
                    fill(maker, price_ticks, lots, MAKER, number)
                market.matches = number
                if market.changed is None and not (
                    market.stops.orders or market.instrument.breaker_band_bps
                ):
                    market.last_ticks = price_ticks  # nothing else looks at a trade
                else:
                    prices = [price for _, price, _ in fills]
                    self.rules.note_trades(market, order.side, prices)
            return matched_ns
        at = len(executions.reports.rows)
        if order.suspended:
            executions.accept(order)
            self._suspend(market, order)
        else:
            try:
                self._execute(market, order, executions.accept, arrives=True)
            except RefusedError as refused:
                executions.reject(order, str(refused))
                return read_ns()
        matched_ns = read_ns()
        executions.reports.measure(at, waited_ns, matched_ns - sent_ns)
        return matched_ns

    def _is_plain(self, market: Market, order: Order) -> bool:
        """A limit order without terms that meets strangers' plain orders alone, and no band?"""
        if (
            order.terms is not None
            or order.order_type is not LIMIT
            or order.time_in_force in NEVER_REST
            or market.phase is not CONTINUOUS
        ):
            return False
        book, price_ticks = market.book, order.price_ticks
        if order.side is BUY:
            crosses = book.asks.ranks[-1] >= -price_ticks
        else:
            crosses = book.bids.ranks[-1] >= price_ticks
        return not crosses or self._meets_strangers(market, order)

    def _meets_strangers(self, market: Market, order: Order) -> bool:
        """Is nobody it trades with its own account or group, or an iceberg; and no band near?"""
        book = market.book
        if book.hidden or (
            market.instrument.breaker_band_bps and market.breaker_band() is not None
        ):
            return False
        if self.rules.self_trade is NO_PREVENTION:
            return True
        groups, lots = self.rules.groups, order.leaves_lots
        key = groups.get(order.account, order.account)
        side = book.asks if order.side is BUY else book.bids
        limit = order.price_ticks * side.sign
        for rank in reversed(side.ranks):
            if rank < limit:
                return True
            maker = side.levels[rank].first
            while maker is not None:
                if groups.get(maker.account, maker.account) == key:
                    return False
                lots -= maker.leaves_lots
                if lots <= 0:
                    return True
                maker = maker.behind
        return True

    def cancel(self, change: Change) -> bool:
        """Take the order out of its book; False when it is no longer there."""
        order = change.order
        level = order.level
        if level is None:
            return self._take_out(order)
        market = self.markets[order.instrument.symbol]
        market.book.cancel(order)
        if market.changed is not None:
            market.changed.add((order.side, order.price_ticks))
        return True

    def replace(self, change: Change) -> str:
        """New price, new total quantity, new terms in one step; a price that crosses trades.

        Returns the reason if it is refused.
        """
        order, executions = change.order, self.executions
        market = self.markets[order.instrument.symbol]
        if order.suspended:
            return self._replace_stop(market, change)
        if order.level is None:
            return self._replace_aside(market, change)
        book = market.book
        left = change.quantity_lots - order.cumulative_lots
        market.touch(order.side, order.price_ticks)
        if left <= 0:
            book.cancel(order)
            executions.replace(change)
        elif keeps_priority(order.price_ticks, change.price_ticks, order.leaves_lots, left):
            book.reduce(order, left)
            executions.replace(change)
        else:
            reason = self._post_only_reason(market, order, change.price_ticks)
            if reason:
                return reason
            book.cancel(order)
            executions.replace(change)
            self._execute(market, order, None)
        return ""

    def _replace_aside(self, market: Market, change: Change) -> str:
        """One that is set aside: what loses its place has a new one, for when it comes back."""
        order = change.order
        if order.order_id not in market.aside:
            return RejectReason.TOO_LATE.value
        left = change.quantity_lots - order.cumulative_lots
        if left <= 0:
            del market.aside[order.order_id]
        elif not keeps_priority(order.price_ticks, change.price_ticks, order.leaves_lots, left):
            market.book.entries = order.entered = order.placed = market.book.entries + 1
            if order.terms is not None:
                order.terms.shown_lots = change.display_lots or order.terms.display_lots
        self.executions.replace(change)
        return ""

    # --- taking orders out unasked ---

    def withdraw(self, orders: Iterable[Order], state: OrderState, reason: str) -> None:
        """End these: market by market resting ones as they entered the book, then stops.

        What is set aside goes with those it will come back to.
        """
        found: dict[str, list[Order]] = {symbol: [] for symbol in self.markets}
        for order in orders:
            found[order.instrument.symbol].append(order)
        for symbol, market in self.markets.items():
            aside = [o for o in found[symbol] if market.aside.pop(o.order_id, None) is not None]
            inside = [o for o in found[symbol] if o.level is not None]
            inside += [o for o in aside if not o.suspended]
            inside.sort(key=attrgetter("entered"))
            stops = [o for o in found[symbol] if o.level is None and o.order_id in market.stops]
            stops += [o for o in aside if o.suspended]
            stops.sort(key=attrgetter("order_id"))
            cancel, finish, changed = market.book.cancel, self.executions.finish, market.changed
            for order in inside:
                if cancel(order) and changed is not None:
                    changed.add((order.side, order.price_ticks))
                finish(order, state, reason)
            for order in stops:
                market.stops.remove(order.order_id)
                finish(order, state, reason)

    def withdraw_one(self, order: Order, reason: str) -> None:
        """The same for one order, which is canceled; nothing if it is not here."""
        if self._take_out(order):
            self.executions.finish(order, CANCELED, reason)

    def _take_out(self, order: Order) -> bool:
        market = self.markets[order.instrument.symbol]
        if market.book.cancel(order):
            if market.changed is not None:
                market.touch(order.side, order.price_ticks)
            return True
        if self.rules.triggered.pop(order.order_id, None) is not None:
            return True
        if market.aside.pop(order.order_id, None) is not None:
            return True
        return market.stops.remove(order.order_id)

    # --- stops ---

    def _suspend(self, market: Market, order: Order) -> None:
        assert order.terms is not None
        market.stops.add(order.order_id, order.side, order.terms.stop_ticks)
        self.rules.trigger(market, market.last_ticks)

    def _replace_stop(self, market: Market, change: Change) -> str:
        """A new stop price, or more, goes to the back of its stop price."""
        order = change.order
        assert order.terms is not None
        if order.order_id in market.aside:  # triggered by then: it goes to the back anyway
            self.executions.replace(change)
            return ""
        if order.order_id not in market.stops:
            return RejectReason.TOO_LATE.value
        stop = change.stop_ticks or order.terms.stop_ticks
        kept = stop == order.terms.stop_ticks and keeps_priority(
            order.price_ticks, change.price_ticks, order.quantity_lots, change.quantity_lots
        )
        if not kept:
            market.stops.remove(order.order_id)
            market.stops.add(order.order_id, order.side, stop)
            self.rules.trigger(market, market.last_ticks)
        self.executions.replace(change)
        return ""

    def next_triggered(self) -> Order | None:
        """The next stop that goes on; one whose market was halted meanwhile waits again, and one
        that may not trade now is set aside."""
        row = self.rules.triggered
        while row:
            order_id, market = row.popitem(last=False)
            order = self.executions.orders[order_id]
            if market.phase is not CONTINUOUS:
                assert order.terms is not None
                market.stops.add(order_id, order.side, order.terms.stop_ticks)
                continue
            reason = self.halts.why_not(order) if self.rules.number > 1 else ""
            if not reason:
                return order
            self.halts.set_aside(market, order, reason)
        return None

    def place_triggered(self, order: Order) -> None:
        """A stop that was told to be triggered trades, as if it had just arrived."""
        try:
            self._execute(self.markets[order.instrument.symbol], order, None)
        except RefusedError as refused:  # it was accepted long ago
            self.executions.finish(order, CANCELED, str(refused))

    # --- one order meets one book: every kind of order but the plain one ---

    def _execute(
        self,
        market: Market,
        order: Order,
        accept: Callable[[Order], None] | None,
        *,
        arrives: bool = False,
    ) -> None:
        """Trade what crosses and may; what is left rests, or ends.

        accept: tells that the order is taken; called before anything else is told. arrives: it
        is new, so its minimum quantity counts. Raises RefusedError before anything happened.
        """
        terms, executions = order.terms, self.executions
        may_rest = order.price_ticks > 0 and order.time_in_force not in NEVER_REST
        if market.phase is not CONTINUOUS:
            if not may_rest or (arrives and terms is not None and terms.min_lots):
                raise RefusedError(closed_to(order, market))
            if accept is not None:
                accept(order)
            self._rest(market, order)
            return
        beside, lots, steps, breach, refused = self._planned(market, order)
        if refused:
            raise RefusedError(refused)
        if terms is not None and terms.budget:  # here it learns how many lots it is for
            if order.exposure is not None:
                order.exposure.move(order, lots - order.leaves_lots)
            order.quantity_lots = order.leaves_lots = lots
        ledger = executions.ledger
        if ledger is not None and _buys_unbounded(order):
            ledger.reserve(order, cost_of(order, steps))
        why_canceled = self._why_canceled(order, steps, lots, arrives)
        if accept is not None:
            accept(order)
        if why_canceled:
            executions.finish(order, CANCELED, why_canceled)
            return
        if beside:
            executions.restate(order, beside, 0, f"{RejectReason.POST_ONLY.value}: price={beside}")
        left = self._take(market, order, steps, lots, order.order_id if arrives else 0)
        if breach:
            self.phases.breached(market)
        if left is None:
            return
        if left and may_rest and not (breach and market.phase is CONTINUOUS):
            self._rest(market, order)
        elif left or not lots:
            code = RejectReason.BREAKER.value if breach else NO_LIQUIDITY
            executions.finish(order, CANCELED, f"{code}: left={left}")

    def _sweep(
        self, market: Market, order: Order, limit_ticks: int | None, lots: int
    ) -> Iterator[SweepStep]:
        groups = self.rules.groups
        key = groups.get(order.account, order.account)

        def is_own(maker: Order) -> bool:
            return groups.get(maker.account, maker.account) == key

        mode = self.rules.self_trade_of(order)
        return sweep(market.book, order, limit_ticks, lots, is_own, mode)

    def _plan(
        self, market: Market, order: Order, limit_ticks: int | None, lots: int
    ) -> tuple[list[SweepStep], bool]:
        """What it would meet, cut where the breaker's band ends; and whether it was cut."""
        steps = self._sweep(market, order, limit_ticks, lots)
        band, planned = market.breaker_band(), list[SweepStep]()
        for step in steps if lots else ():
            if band is not None and step[0] is TRADE and not band[0] <= step[2] <= band[1]:
                return planned, True
            planned.append(step)
        return planned, False

    def _planned(self, market: Market, order: Order) -> tuple[int, int, list[SweepStep], bool, str]:
        """What the order would do now; nothing is done.

        The price it slides to, 0 for its own; its lots; the steps; whether the breaker's band
        cuts them; and why it is refused, "" if it is not.
        """
        terms = order.terms
        reason = self._post_only_reason(market, order, order.price_ticks)
        if reason:
            return 0, 0, [], False, reason
        beside, lots = self._slide(market, order), order.leaves_lots
        protection = terms.protection_ticks if terms is not None else 0
        limit_ticks = beside or order.price_ticks or protection or market.market_limit(order.side)
        if terms is not None and terms.budget:
            priced = self._sweep(market, order, limit_ticks, UNBOUNDED)
            lots = affordable(order, terms.budget, priced)
        steps, breach = self._plan(market, order, limit_ticks, lots)
        return beside, lots, steps, breach, self._why_refused(order, steps, lots)

    def would_refuse(self, order: Order) -> str:
        """Why a new order would be refused if it went to the book now."""
        market = self.markets[order.instrument.symbol]
        if order.suspended or market.phase is not CONTINUOUS:
            return ""
        return self._planned(market, order)[-1]

    def would_refuse_change(self, change: Change) -> str:
        """Why a modify would be refused if it went to the book now."""
        order, leaves_lots = change.order, change.quantity_lots - change.order.cumulative_lots
        if (
            order.level is None
            or leaves_lots <= 0
            or keeps_priority(order.price_ticks, change.price_ticks, order.leaves_lots, leaves_lots)
        ):
            return ""
        market = self.markets[order.instrument.symbol]
        return self._post_only_reason(market, order, change.price_ticks)

    def _why_refused(self, order: Order, steps: list[SweepStep], lots: int) -> str:
        """Why the order cannot be taken at all: not enough money, or all or none."""
        ledger, filled = self.executions.ledger, filled_by(steps)
        if ledger is not None and _buys_unbounded(order):
            reason = ledger.would_reserve(order, cost_of(order, steps) - order.reserved)
            if reason:
                return reason
        policy = order.instrument.market_order
        if filled < lots and not order.by_price and policy is MarketOrderPolicy.ALL_OR_NONE:
            return f"{NO_LIQUIDITY}: quantity={lots}, policy={policy}"
        return ""

    @staticmethod
    def _why_canceled(order: Order, steps: list[SweepStep], lots: int, arrives: bool) -> str:
        """Why the order is canceled before it trades: not enough is there for it."""
        filled = filled_by(steps)
        min_lots = order.terms.min_lots if order.terms is not None and arrives else 0
        if filled < min_lots and lots:
            return f"{RejectReason.MIN_QUANTITY.value}: fillable={filled}, min={min_lots}"
        if order.time_in_force is TimeInForce.FOK and filled < lots:
            return f"{NO_LIQUIDITY}: quantity={lots}, policy=FOK"
        return ""

    def _take(
        self, market: Market, order: Order, steps: list[SweepStep], left: int, request_seq: int
    ) -> int | None:
        """Do the steps; what is left of the order, None if it was canceled."""
        book, executions = market.book, self.executions
        canceled = False
        for kind, met, price_ticks, step_lots in steps:
            if kind is TRADE:
                market.matches += 1
                left -= step_lots
                book.trade(met, step_lots)
                executions.fill(order, price_ticks, step_lots, TAKER, market.matches, request_seq)
                executions.fill(met, price_ticks, step_lots, MAKER, market.matches)
            elif kind is RESTATED:
                if met is order:
                    left -= step_lots
                else:
                    market.touch(met.side, met.price_ticks)
                    book.reduce(met, met.leaves_lots - step_lots)
                executions.restate(met, 0, step_lots, RejectReason.SELF_TRADE.value)
            else:
                if met is order:
                    canceled = True
                else:
                    market.touch(met.side, met.price_ticks)
                    book.cancel(met)
                executions.finish(met, CANCELED, RejectReason.SELF_TRADE.value)
        traded = [price for kind, _, price, _ in steps if kind is TRADE]
        self.rules.note_trades(market, order.side, traded)
        return None if canceled else left

    @staticmethod
    def _rest(market: Market, order: Order) -> None:
        """Wait in the book; nothing crosses, or this is an auction's call."""
        if order.iceberg:
            market.book.add_iceberg(order)
        else:
            market.book.add(order, False)
        market.touch(order.side, order.price_ticks)

    # --- post-only ---

    @staticmethod
    def _post_only_reason(market: Market, order: Order, price_ticks: int) -> str:
        """Why a post-only order may not come in at this price; "" if it may, or need not."""
        if order.terms is None or not order.terms.post_only or market.phase is not CONTINUOUS:
            return ""
        if not would_take(market.book, order.side, price_ticks):
            return ""
        slides = order.terms.post_only == PostOnly.SLIDE
        if slides and 0 < beside_best(market.book, order) <= UNITS_MAX:
            return ""
        best = market.book.best_ask if order.side is BUY else market.book.best_bid
        return f"{RejectReason.POST_ONLY.value}: price={price_ticks}, best={best}"

    @staticmethod
    def _slide(market: Market, order: Order) -> int:
        """The price a post-only order comes in at, if it is another than its own; else 0."""
        if order.terms is None or not order.terms.post_only:
            return 0
        if not would_take(market.book, order.side, order.price_ticks):
            return 0
        return beside_best(market.book, order)


def _buys_unbounded(order: Order) -> bool:
    """Does it reserve only here what walking the book costs?"""
    return order.side is BUY and not bound_of(order, order.price_ticks)


def would_take(book: OrderBook, side: Side, price_ticks: int) -> bool:
    best = book.best_ask if side is BUY else book.best_bid
    return best is not None and (price_ticks >= best if side is BUY else price_ticks <= best)


def beside_best(book: OrderBook, order: Order) -> int:
    """A tick from the best opposite price."""
    tick = order.instrument.tick_size
    return (book.best_ask or 0) - tick if order.side is BUY else (book.best_bid or 0) + tick


def closed_to(order: Order, market: Market) -> str:
    """The market's phase takes no such order."""
    return (
        f"{RejectReason.MARKET_STATE.value}: phase={market.phase}, type={order.order_type}, "
        f"tif={order.time_in_force}"
    )
