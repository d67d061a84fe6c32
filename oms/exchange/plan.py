"""Plan: what an arriving order would do now, and what keeps it from that; nothing is done.

Flow:  matching -> [plan] -> sweep: steps -> matching does them, or tells why not
In:    orders that are not plain, or meet orders that are not. Out: a plan, with its verdict.
Owner: the dispatcher thread. No I/O, no clock.
"""

from collections.abc import Iterator
from typing import NamedTuple

from oms.enums import MarketOrderPolicy, Phase, PostOnly, ResponseType, Side, TimeInForce
from oms.exchange.accounts import bound_of
from oms.exchange.book import OrderBook
from oms.exchange.executions import Executions
from oms.exchange.market import Market, Rules
from oms.exchange.order import Order, told_scales
from oms.exchange.risk import Risk
from oms.exchange.sweep import (
    UNBOUNDED,
    Budget,
    Quantity,
    SweepStep,
    Wanted,
    affordable,
    cost_of,
    cost_of_each,
    filled_by,
    sweep,
)
from oms.money import UNITS_MAX, to_text
from oms.reject_reasons import RejectReason

TRADE, BUY, CONTINUOUS, FOK = ResponseType.TRADE, Side.BUY, Phase.CONTINUOUS, TimeInForce.FOK
NO_LIQUIDITY = RejectReason.INSUFFICIENT_LIQUIDITY.value
SELF_TRADE = RejectReason.SELF_TRADE.value


class Plan(NamedTuple):
    """What an order would do now, before anything is done.

    beside: the price it slides to, 0 for its own. wanted: as the steps leave it. breach: does the
    breaker's band alone keep it from trading further? refused: why it cannot be taken at all.
    canceled: why nothing of it may trade, though it is taken.
    """

    beside: int
    wanted: Wanted
    steps: list[SweepStep]
    breach: bool
    refused: str = ""
    canceled: str = ""

    @property
    def filled(self) -> int:
        """How many lots it trades."""
        return filled_by(self.steps)


class Planner:
    """Makes plans by the rules of all markets, by limits, and by the money that there is."""

    def __init__(self, rules: Rules, executions: Executions, risk: Risk) -> None:
        self._rules = rules
        self._executions = executions
        self._risk = risk

    def planned(self, market: Market, order: Order, arrives: bool) -> Plan:
        """What the order would do now; nothing is done.

        It is stopped by the breaker's band only if nothing else would stop it, such as too little
        money, or too little for all that it wants: else it would not have traded outside either.
        """
        reason = self.post_only_reason(market, order, order.price_ticks)
        if reason:
            return Plan(0, self._quantity(order), [], False, reason)
        plan = self._plan(market, order, arrives, market.breaker_band())
        if not plan.breach:
            return plan
        if self._rules.number < 3:  # it was no breach if it was stopped at all
            return plan._replace(breach=False) if plan.refused or plan.canceled else plan
        beyond = self._plan(market, order, arrives, None)
        return beyond if beyond.refused or beyond.canceled else plan

    def _plan(
        self, market: Market, order: Order, arrives: bool, band: tuple[int, int] | None
    ) -> Plan:
        """The same, where trades stay inside a band."""
        terms = order.terms
        beside = self._slide(market, order)
        protection = terms.protection_ticks if terms is not None else 0
        limit_ticks = beside or order.price_ticks or protection or market.market_limit(order.side)
        wanted: Wanted = self._quantity(order)
        if terms is not None and terms.budget:
            if self._rules.number > 1:
                wanted = Budget(order)
            else:
                priced = self._sweep(market, order, limit_ticks, Quantity(UNBOUNDED))
                wanted = Quantity(affordable(order, terms.budget, priced))
        steps, breach = list[SweepStep](), False
        for step in self._sweep(market, order, limit_ticks, wanted):
            if band is not None and step[0] is TRADE and not band[0] <= step[2] <= band[1]:
                breach = True
                break
            steps.append(step)
        plan = Plan(beside, wanted, steps, breach)
        refused = self._why_refused(order, plan)
        canceled = "" if refused else self._why_canceled(order, plan, arrives)
        if not (refused or canceled):
            return plan
        return plan._replace(refused=refused, canceled=canceled)

    def _quantity(self, order: Order) -> Quantity:
        return Quantity(order.leaves_lots, told_scales(order.instrument, self._rules.number)[1])

    def _sweep(
        self, market: Market, order: Order, limit_ticks: int | None, wanted: Wanted
    ) -> Iterator[SweepStep]:
        groups = self._rules.groups
        key = groups.get(order.account, order.account)

        def is_own(maker: Order) -> bool:
            return groups.get(maker.account, maker.account) == key

        mode = self._rules.self_trade_of(order)
        return sweep(market.book, order, limit_ticks, wanted, is_own, mode)

    def cost_of(self, order: Order, steps: list[SweepStep]) -> int:
        """What a buy must have to pay for its fills, fees included, in units of the quote asset."""
        return (cost_of if self._rules.number > 1 else cost_of_each)(order, steps)

    # --- what keeps an order from it ---

    def _why_refused(self, order: Order, plan: Plan) -> str:
        """Why the order cannot be taken at all: too many lots, not enough money, all or none."""
        if isinstance(plan.wanted, Budget) and self._rules.number > 2:
            reason = self._risk.check_lots(order, plan.wanted.lots)
            if reason:
                return reason
        ledger = self._executions.ledger
        if ledger is not None and buys_unbounded(order):
            reason = ledger.would_reserve(order, self.cost_of(order, plan.steps) - order.reserved)
            if reason:
                return reason
        policy = order.instrument.market_order
        if order.by_price or policy is not MarketOrderPolicy.ALL_OR_NONE:
            return ""
        return self._why_not_whole(order, plan, policy)

    def _why_canceled(self, order: Order, plan: Plan, arrives: bool) -> str:
        """Why the order is canceled before it trades: not enough is there for it."""
        filled, wanted = plan.filled, plan.wanted
        min_lots = order.terms.min_lots if order.terms is not None and arrives else 0
        if filled < min_lots and (wanted.lots or isinstance(wanted, Budget)):
            code = self._what_kept(order, plan) or RejectReason.MIN_QUANTITY.value
            scale = told_scales(order.instrument, self._rules.number)[1]
            told = f"fillable={to_text(filled, scale)}, min={to_text(min_lots, scale)}"
            return f"{code}: {told}"
        return self._why_not_whole(order, plan, "FOK") if order.time_in_force is FOK else ""

    def _why_not_whole(self, order: Order, plan: Plan, policy: str) -> str:
        """Why an order does not get all that it wants, where it wants all or nothing."""
        wanted, filled = plan.wanted, plan.filled
        if filled >= wanted.lots and (filled or not isinstance(wanted, Budget)):
            return ""
        kept = self._what_kept(order, plan)
        if isinstance(wanted, Budget):
            if self._rules.number < 3 and met_itself(order, plan):
                kept = SELF_TRADE
            why = f"{kept}: {wanted.rest()}" if kept else why_stopped(plan)
            return f"{why}, policy={policy}"
        quantity = to_text(wanted.lots, wanted.scale)
        return f"{kept or NO_LIQUIDITY}: quantity={quantity}, policy={policy}"

    def _what_kept(self, order: Order, plan: Plan) -> str:
        """What kept the order from trading with what is there, if something did: the breaker, or
        self-trade prevention, which met the order itself."""
        if self._rules.number < 3:  # it was said to be too little in any case
            return ""
        if plan.breach:
            return RejectReason.BREAKER.value
        return SELF_TRADE if met_itself(order, plan) else ""

    # --- post-only ---

    def post_only_reason(self, market: Market, order: Order, price_ticks: int) -> str:
        """Why a post-only order may not come in at this price; "" if it may, or need not."""
        if order.terms is None or not order.terms.post_only or market.phase is not CONTINUOUS:
            return ""
        if not would_take(market.book, order.side, price_ticks):
            return ""
        slides = order.terms.post_only == PostOnly.SLIDE
        if slides and 0 < beside_best(market.book, order) <= UNITS_MAX:
            return ""
        best = market.book.best_ask if order.side is BUY else market.book.best_bid
        scale = self._rules.told_scales(market)[0]
        told = f"price={to_text(price_ticks, scale)}, best={to_text(best or 0, scale)}"
        return f"{RejectReason.POST_ONLY.value}: {told}"

    @staticmethod
    def _slide(market: Market, order: Order) -> int:
        """The price a post-only order comes in at, if it is another than its own; else 0."""
        if order.terms is None or not order.terms.post_only:
            return 0
        if not would_take(market.book, order.side, order.price_ticks):
            return 0
        return beside_best(market.book, order)


def met_itself(order: Order, plan: Plan) -> bool:
    """Did self-trade prevention take lots of the order that arrives?"""
    return any(kind is not TRADE and met is order for kind, met, _, _ in plan.steps)


def why_stopped(plan: Plan) -> str:
    """Why an order ends with some of it left."""
    wanted, code = plan.wanted, NO_LIQUIDITY
    if plan.breach:
        code = RejectReason.BREAKER.value
    elif isinstance(wanted, Budget) and wanted.price_ticks and not wanted.left:
        # A lot costs more than it has, or more than self-trade prevention left of it.
        code = SELF_TRADE if wanted.lots else RejectReason.NOTIONAL_BELOW_MINIMUM.value
    return f"{code}: {wanted.rest()}"


def buys_unbounded(order: Order) -> bool:
    """Does it reserve only here what walking the book costs?"""
    return order.side is BUY and not bound_of(order, order.price_ticks)


def would_take(book: OrderBook, side: Side, price_ticks: int) -> bool:
    best = book.best_ask if side is BUY else book.best_bid
    return best is not None and (price_ticks >= best if side is BUY else price_ticks <= best)


def beside_best(book: OrderBook, order: Order) -> int:
    """A tick from the best opposite price."""
    tick_at, ask, bid = order.instrument.tick_at, book.best_ask or 0, book.best_bid or 0
    return ask - tick_at(ask - 1) if order.side is BUY else bid + tick_at(bid)
