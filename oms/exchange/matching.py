"""Matching engine: what an order asks for is done to its market's book, and reported.

Flow:  desk -> [matching] (plan first) -> book, executions -> reports, as things happened
In:    orders already checked, that the desk has taken up.
Owner: the dispatcher thread. No locks, no I/O, no clock: the same orders in the same
       order give the same reports, on any machine, in any year.

Whoever has an order executed then asks what that set off: triggered stops go on one by one,
each when all before it is settled. So a cascade is a row of plain steps.
"""

from collections.abc import Callable, Iterable
from operator import attrgetter

from oms.enums import (
    Liquidity,
    OrderState,
    OrderType,
    Phase,
    ResponseType,
    SelfTrade,
    Side,
    TimeInForce,
)
from oms.exchange.accounts import bound_of
from oms.exchange.executions import Executions
from oms.exchange.halts import Halts
from oms.exchange.market import Market, Rules
from oms.exchange.order import Change, Order, Terms, keeps_priority
from oms.exchange.phases import GATHERING, Phases, gathers
from oms.exchange.plan import Planner, buys_unbounded, why_stopped
from oms.exchange.risk import Risk
from oms.exchange.sweep import SweepStep
from oms.instruments import Instrument
from oms.money import to_text
from oms.reject_reasons import RejectReason

TRADE, RESTATED = ResponseType.TRADE, ResponseType.RESTATED
BUY, LIMIT, CONTINUOUS, NO_PREVENTION = Side.BUY, OrderType.LIMIT, Phase.CONTINUOUS, SelfTrade.NONE
NEVER_REST = (TimeInForce.IOC, TimeInForce.FOK)
MAKER, TAKER = Liquidity.MAKER.value, Liquidity.TAKER.value
SELF_TRADE = RejectReason.SELF_TRADE.value
CANCELED, STATE_NEW = OrderState.CANCELED, OrderState.NEW
ReadNs = Callable[[], int]


class RefusedError(Exception):
    """Nothing of the order may happen, and why: a reason and its context."""


class MatchingEngine:
    """One market per instrument, and the rules they share."""

    def __init__(self, executions: Executions, risk: Risk) -> None:
        self.executions = executions
        self.rules = Rules()
        self.planner = Planner(self.rules, executions, risk)
        self.markets: dict[str, Market] = {}
        self.phases = Phases(self.rules, self.markets, executions)
        self.halts = Halts(executions, self.markets, self.rules, risk)
        self.phases.bring_back = lambda market: self.halts.review(market, opens=True)

    def list_instruments(self, instruments: Iterable[Instrument]) -> None:
        """Open a market for every instrument that has none."""
        for instrument in instruments:
            market = self.markets.get(instrument.symbol)
            if market is None:
                market = self.markets[instrument.symbol] = Market(
                    instrument, self.phases.session, self.rules
                )
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
        if order.order_id in market.gathered:
            return self._replace_gathered(market, change)
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
            reason = self.planner.post_only_reason(market, order, change.price_ticks)
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
            gathered = market.gathered
            aside = [o for o in found[symbol] if market.aside.pop(o.order_id, None) is not None]
            inside = [o for o in found[symbol] if o.level is not None or o.order_id in gathered]
            inside += [o for o in aside if not o.suspended]
            inside.sort(key=attrgetter("entered"))
            stops = [o for o in found[symbol] if o.level is None and o.order_id in market.stops]
            stops += [o for o in aside if o.suspended]
            stops.sort(key=attrgetter("order_id"))
            cancel, finish, changed = market.book.cancel, self.executions.finish, market.changed
            for order in inside:
                if cancel(order):
                    if changed is not None:
                        changed.add((order.side, order.price_ticks))
                else:
                    gathered.pop(order.order_id, None)  # else it was set aside
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
        if market.gathered.pop(order.order_id, None) is not None:
            return True
        return market.stops.remove(order.order_id)

    # --- market orders in a call ---

    def set_collar(self, order: Order) -> None:
        """Bound a market order that is to wait for the uncross; its own protection goes before."""
        market = self.markets[order.instrument.symbol]
        if not self._would_gather(market, order):
            return
        bound = market.collar(order.side)
        if bound and not bound_of(order, 0):
            order.terms = order.terms or Terms()
            order.terms.protection_ticks = bound

    def _would_gather(self, market: Market, order: Order) -> bool:
        return self.rules.number > 1 and market.phase in GATHERING and gathers(order)

    def why_not_gather(self, order: Order) -> str:
        """Why a market order may not wait for the uncross: its money is reserved before there is a
        price, and nobody knows how much. It would else be all that its account has, or too little.
        """
        if self.executions.ledger is None or not buys_unbounded(order):
            return ""
        market = self.markets[order.instrument.symbol]
        if not self._would_gather(market, order) or market.collar(order.side):
            return ""
        missing = [] if order.instrument.market_slippage_bps else ["market_slippage_bps above 0"]
        missing += [] if market.reference_ticks else ["reference_price or a trade"]
        cure = f"a protection price, or {' and '.join(missing)}"
        if self.rules.number < 3:
            cure = "a protection price or a reference to go by"
        return f"{closed_to(order, market)}, expected={cure}"

    def _gather(self, market: Market, order: Order, accept: Callable[[Order], None] | None) -> None:
        """Let a market order wait for the uncross; one that came before the call is bounded now."""
        self.set_collar(order)
        reason, ledger = self.why_not_gather(order), self.executions.ledger
        if not reason and ledger is not None:
            need = self.executions.need(order, order.price_ticks, order.leaves_lots)
            reason = ledger.reserve(order, need)
        if reason:
            raise RefusedError(reason)
        if accept is not None:
            accept(order)
        market.gather(order)

    def _replace_gathered(self, market: Market, change: Change) -> str:
        """More goes to the back; less keeps its place."""
        order, left = change.order, change.quantity_lots - change.order.cumulative_lots
        keeps = keeps_priority(0, 0, order.leaves_lots, left)
        if left <= 0 or not keeps:
            del market.gathered[order.order_id]
        self.executions.replace(change)
        if left > 0 and not keeps:
            market.gather(order)
        return ""

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
        if self._would_gather(market, order):
            self._gather(market, order, accept)
            return
        if market.phase is not CONTINUOUS:
            if not may_rest or (arrives and terms is not None and terms.min_lots):
                raise RefusedError(closed_to(order, market))
            if accept is not None:
                accept(order)
            self._rest(market, order)
            return
        plan = self.planner.planned(market, order, arrives)
        beside, wanted, steps, breach, refused, canceled = plan
        if refused:
            if breach:
                self.phases.breached(market)
            raise RefusedError(refused)
        lots = wanted.lots
        if terms is not None and terms.budget:  # here it learns how many lots it is for
            if order.exposure is not None:
                order.exposure.move(order, lots - order.leaves_lots)
            order.quantity_lots = order.leaves_lots = lots
        ledger = executions.ledger
        if ledger is not None and buys_unbounded(order):
            ledger.reserve(order, self.planner.cost_of(order, steps))
        if accept is not None:
            accept(order)
        if canceled:
            executions.finish(order, CANCELED, canceled)
            if breach:
                self.phases.breached(market)
            return
        if beside:
            told = to_text(beside, self.rules.told_scales(market)[0])
            executions.restate(order, beside, 0, f"{RejectReason.POST_ONLY.value}: price={told}")
        left = self._take(market, order, steps, lots, order.order_id if arrives else 0)
        if breach:
            self.phases.breached(market)
        if left is None:
            return
        if left and may_rest and not (breach and market.phase is CONTINUOUS):
            self._rest(market, order)
        elif order.order_id in executions.orders:
            executions.finish(order, CANCELED, why_stopped(plan))

    def would_refuse(self, order: Order) -> str:
        """Why a new order would be refused if it went to the book now."""
        market = self.markets[order.instrument.symbol]
        if order.suspended or market.phase is not CONTINUOUS:
            return ""
        return self.planner.planned(market, order, arrives=True).refused

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
        return self.planner.post_only_reason(market, order, change.price_ticks)

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
                executions.restate(met, 0, step_lots, SELF_TRADE)
            else:
                if met is order:
                    canceled = True
                else:
                    market.touch(met.side, met.price_ticks)
                    book.cancel(met)
                executions.finish(met, CANCELED, SELF_TRADE)
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


def closed_to(order: Order, market: Market) -> str:
    """The market's phase takes no such order."""
    return (
        f"{RejectReason.MARKET_STATE.value}: phase={market.phase}, type={order.order_type}, "
        f"tif={order.time_in_force}"
    )
