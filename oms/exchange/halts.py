"""Halts: whether an order may execute now, and where orders wait that may not.

Flow:  desk, matching, phases -> [halts] -> book, stops, executions
In:    orders, and what operators said of accounts and symbols. Out: "" or why not.
Owner: the dispatcher thread. No I/O, no clock.

One question, `why_not`, is asked of all that executes: an order that waited and is sent, a stop
that a trade woke, and each resting order whenever the answer may have become another: all of a
market when an operator says who may trade (`review`), and when an order of an account that may
only reduce is no longer open, those that want its room (`use_room`).
So a book holds orders that may trade, each with all it is for; matching and auctions ask no more.
What may not is set aside: out of the book, open, with its place in time, until it may again.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from operator import attrgetter

from oms.enums import OrderState, Phase, Side
from oms.exchange.executions import Executions
from oms.exchange.market import Market, Rules
from oms.exchange.order import Order
from oms.exchange.risk import Risk
from oms.money import to_text
from oms.reject_reasons import RejectReason

BUY, CLOSED, CONTINUOUS = Side.BUY, Phase.CLOSED, Phase.CONTINUOUS
CANCELED, PENDING_NEW, SUSPENDED = OrderState.CANCELED, OrderState.PENDING_NEW, OrderState.SUSPENDED
DONE_FOR_DAY = OrderState.DONE_FOR_DAY
HALTED = RejectReason.HALTED.value

Acting = Counter[tuple[str, Side]]
"""Lots that could trade now, of an account and side."""


class Halts:
    """cancels: what may not act is canceled instead of set aside ([exchange] on_halt).
    day_is_done: is what rests now told to be done for the day?
    """

    def __init__(
        self, executions: Executions, markets: Mapping[str, Market], rules: Rules, risk: Risk
    ) -> None:
        self.cancels = False
        self.day_is_done: Callable[[], bool] = lambda: False
        self._executions = executions
        self._markets = markets
        self._rules = rules
        self._risk = risk

    # --- the question ---

    def why_not(self, order: Order, acting_lots: int | None = None) -> str:
        """Why an order may not execute now; "" if it may.

        acting_lots: of its account, symbol and side, what else could trade now; None: count it.
        """
        risk, symbol = self._risk, order.instrument.symbol
        if self._markets[symbol].halted:
            return f"{HALTED}: symbol={symbol}"
        if risk.free:
            return ""
        reason = risk.gate(order.account, symbol)
        if reason or not risk.reduces_only(order):
            return reason
        return risk.why_not_reducing(
            order, self.acting_lots(order) if acting_lots is None else acting_lots
        )

    def acting_lots(self, order: Order, *, waiting: bool = False) -> int:
        """Lots of the same account, symbol and side that rest in the book, or wait for an uncross;
        its OCO partner is not counted. waiting: also what waits to be sent there."""
        market = self._markets[order.instrument.symbol]
        partner_id = order.terms.partner_id if order.terms is not None else 0
        return sum(
            other.leaves_lots
            for other in self._acting(order.account, market, waiting=waiting)
            if other.side is order.side and other.order_id not in (order.order_id, partner_id)
        )

    def _acting(self, account: str, market: Market, *, waiting: bool = False) -> Iterator[Order]:
        """An account's orders that rest in a market's book, or wait for its uncross."""
        gathered = market.gathered
        for client_id, order in self._executions.by_client_id.get(account, {}).items():
            if (
                order.instrument is market.instrument
                and order.client_order_id == client_id  # not by an earlier or a later id
                and (
                    order.level is not None
                    or order.order_id in gathered
                    or (waiting and _waits(order))
                )
            ):
                yield order

    def _of_partner(self, order: Order, back: list[Order]) -> int:
        """What acts of the limit order that goes when this stop is executed."""
        partner_id = order.terms.partner_id if order.terms is not None else 0
        partner = self._executions.orders.get(partner_id) if order.suspended else None
        acts = partner is not None and (partner.level is not None or partner in back)
        return partner.leaves_lots if partner is not None and acts else 0

    # --- setting aside, and bringing back ---

    def review(self, market: Market, *, whole: bool = False, opens: bool = False) -> None:
        """Who may trade has changed: take out what may not act, bring back what may again.

        The best price stays first, where only some of an account's orders may. whole: the whole
        market may trade again, and what crosses then is for an uncross, not for a cancel. opens:
        a closed market is about to open. Until it does, what would cross waits on, aside.
        """
        if self._rules.number < 2:
            return
        acting, short = Acting(), self._executions.short_of_room
        for wanting in [each for each in short if each[1] == market.instrument.symbol]:
            del short[wanting]
        if market.halted or not self._risk.free:
            out = list[tuple[Order, str]]()
            # Nothing uncrosses while a market is halted: market orders wait on in their call.
            gathered = market.gathered.values() if self.cancels or not market.halted else ()
            for order in (*gathered, *market.book.orders()):
                key = (order.account, order.side)
                reason = self.why_not(order, acting[key])
                if reason:
                    out.append((order, reason))
                else:
                    acting[key] += order.leaves_lots
            for order, reason in sorted(out, key=lambda each: each[0].entered):
                if market.gathered.pop(order.order_id, None) is not None:
                    self._executions.finish(order, CANCELED, reason)  # it never rests
                    continue
                market.book.cancel(order)
                market.touch(order.side, order.price_ticks)
                self.set_aside(market, order, reason)
        if market.aside:
            closed = market.phase is CLOSED and not opens and self._rules.number > 2
            may_cross = (whole or market.phase is not CONTINUOUS) and not closed
            self._bring_back(market, market.aside.values(), acting, may_cross)

    def use_room(self) -> None:
        """Less is open of accounts that may only reduce: bring back what there is room for now."""
        executions = self._executions
        while executions.room_freed:
            key = next(iter(executions.room_freed))
            del executions.room_freed[key]
            account, symbol = key
            market, acting = self._markets[symbol], Acting()
            for other in self._acting(account, market):
                acting[account, other.side] += other.leaves_lots
            orders = executions.short_of_room.pop(key, {})
            may_cross = market.phase not in (CONTINUOUS, CLOSED)
            self._bring_back(market, orders.values(), acting, may_cross)

    def find_short(self) -> None:
        """Find the orders that want room in a desk that was loaded."""
        for market in self._markets.values():
            for order in market.aside.values():
                self._want_room(order)

    def _want_room(self, order: Order) -> None:
        if self._rules.number > 2 and self._risk.reduces_only(order):
            key = order.account, order.instrument.symbol
            self._executions.short_of_room.setdefault(key, {})[order.order_id] = order

    def set_aside(self, market: Market, order: Order, reason: str) -> None:
        """An order that just left book or stops may not act now."""
        if self.cancels:
            self._executions.finish(order, CANCELED, reason)
            return
        market.aside[order.order_id] = order
        self._want_room(order)
        if order.state is not SUSPENDED:  # a stop that was not triggered yet is as it was
            self._executions.restate_as(order, SUSPENDED, reason)

    def _bring_back(
        self, market: Market, aside: Iterable[Order], acting: Acting, may_cross: bool
    ) -> None:
        """Of these, what may act again; of one account and side the best price first."""
        back, older = list[Order](), self._rules.number < 3
        for order in sorted(aside, key=_placed if older else _rank):
            key = (order.account, order.side)
            beside = 0 if older else self._of_partner(order, back)
            if self.why_not(order, acting[key] - beside):
                self._want_room(order)
                continue
            del market.aside[order.order_id]
            if order.suspended:
                assert order.terms is not None
                market.stops.add(order.order_id, order.side, order.terms.stop_ticks)
            else:
                acting[key] += order.leaves_lots
                back.append(order)
        back.sort(key=attrgetter("entered"))
        self._rest_again(market, back, may_cross)
        self._rules.trigger(market, market.last_ticks)

    def _rest_again(self, market: Market, back: list[Order], may_cross: bool) -> None:
        """Let these rest in their old places; one that would meet somebody was priced for
        another market, and is canceled; or waits for the open, in a closed market."""
        bid, ask, rest = market.book.best_bid, market.book.best_ask, list[Order]()
        for order in back:
            price, buys = order.price_ticks, order.side is BUY
            best = ask if buys else bid
            meets = best is not None and (price >= best if buys else price <= best)
            if meets and not may_cross and market.phase is CLOSED:
                market.aside[order.order_id] = order  # until it opens
                continue
            if meets and not may_cross:
                scale = self._rules.told_scales(market)[0]
                told = f"price={to_text(price, scale)}, best={to_text(best or 0, scale)}"
                reason = f"{HALTED}: {told}"
                self._executions.finish(order, CANCELED, reason)
                self._executions.free_room(order)  # others were counted beside it
                continue
            rest.append(order)
            if buys:
                bid = price if bid is None else max(bid, price)
            else:
                ask = price if ask is None else min(ask, price)
        market.book.restore(rest)
        done = self._rules.number > 2 and self.day_is_done()
        for order in rest:
            market.touch(order.side, order.price_ticks)
            filled = order.cumulative_lots > 0
            state = OrderState.PARTIALLY_FILLED if filled else OrderState.NEW
            self._executions.restate_as(order, DONE_FOR_DAY if done else state, "")


def _placed(order: Order) -> tuple[int, int]:
    """Before rules number 3, whichever came first was asked first."""
    return order.entered, order.order_id


def _rank(order: Order) -> tuple[bool, int, int, int]:
    """Stops are asked last, since they take no room while they wait."""
    price = -order.price_ticks if order.side is BUY else order.price_ticks
    return order.suspended, price, order.entered, order.order_id


def _waits(order: Order) -> bool:
    """Does it wait to be sent to the book?"""
    return order.state is PENDING_NEW and not order.suspended
