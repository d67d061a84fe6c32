"""Trade bust and correction: a trade is taken back, or gets another price or quantity.

Flow:  operations -> [bust] -> executions, ledger, market
Both orders, both accounts and the market are as if it had been so from the start. What was filled
is not open again: the quantity counts as canceled (FIX 4.4 ExecType H and G). It is refused, and
nothing done, when somebody has spent since what would have to be given.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from oms.enums import OrderState, ResponseType, Side
from oms.exchange.accounts import FillSide
from oms.exchange.order import Order
from oms.reject_reasons import RejectReason

if TYPE_CHECKING:
    from oms.desk.desk import Desk

BUSTED, CORRECTED = ResponseType.TRADE_BUSTED.value, ResponseType.TRADE_CORRECTED.value
BUY = Side.BUY
UNFILLED = (OrderState.CANCELED.value, OrderState.EXPIRED.value)


class Anew(NamedTuple):
    """What a trade is from now on; no lots: it is taken back. last_ticks: what its market traded
    at last then, 0 for never."""

    price_ticks: int = 0
    lots: int = 0
    last_ticks: int = 0


class BustedFill(NamedTuple):
    """One side of the trade, and how its order stood last, as the line has it.

    price_ticks, lots, fee: of the trade as it stands, if it was corrected before.
    ended: the order's state by its own last event; short_lots: what busts and corrections have
    taken off it since. match_number, named_seq: 0 in lines written before there were any.
    """

    turn_seq: int
    number: int
    order_id: int
    request_seq: int
    account: str
    client_order_id: str
    symbol: str
    side: str
    type: str
    state: str
    price_ticks: int
    lots: int
    cumulative_lots: int
    leaves_lots: int
    notional: str
    fee: str
    match_number: int = 0
    named_seq: int = 0
    ended: str = ""
    short_lots: int = 0

    def state_of_ended(self, anew: Anew) -> str:
        """How an order that is over stands: filled, if nothing is missing of what it was."""
        if self.ended in UNFILLED:
            return self.ended
        short = self.short_lots + self.lots - anew.lots > 0
        return (OrderState.CANCELED if short else OrderState.FILLED).value


def why_not_change(desk: Desk, fields: list[list[Any]], anew: Anew) -> str:
    """Why a trade cannot be taken back, or be another; nothing is done."""
    fills = [BustedFill(*each) for each in fields]
    reason = _settled_otherwise(desk, fills[0])
    if reason or desk.executions.ledger is None:
        return reason
    ledger, sides = desk.ledger, _sides(desk, fills, anew)
    for side in sides:
        reason = ledger.spent_since(side)
        if reason:
            return f"{reason}, account={side.account}"
    quote = desk.instruments[fills[0].symbol].quote
    return ledger.short_of_fees(quote, sum(side.fee for side in sides))


def change_trade(desk: Desk, fields: list[list[Any]], why: str, anew: Anew) -> None:
    """Assets and fees, positions, what is filled of both orders, and the market's last price."""
    fills, executions = [BustedFill(*each) for each in fields], desk.executions
    if executions.ledger is not None:
        for side in _sides(desk, fills, anew):
            desk.ledger.unsettle(side)
    for fill in fills:
        lots = anew.lots - fill.lots
        executions.move_position(fill.account, fill.symbol, lots if fill.side == BUY else -lots)
        _tell(desk, fill, anew, why)
    market = desk.engine.markets.get(fills[0].symbol) if desk.engine is not None else None
    if market is not None and desk.rules > 1:  # before, the last price stayed as it was
        market.correct(fills[0].price_ticks, anew.price_ticks, anew.last_ticks)


def _tell(desk: Desk, fill: BustedFill, anew: Anew, why: str) -> None:
    """How one of the orders stands since."""
    kind, price_ticks, lots, fee = BUSTED, fill.price_ticks, fill.lots, ""
    text = f"{RejectReason.TRADE_BUSTED.value}: trade={fill.turn_seq}-{fill.number}"
    if anew.lots:
        kind, price_ticks, lots = CORRECTED, anew.price_ticks, anew.lots
        text = f"{RejectReason.TRADE_CORRECTED.value}: trade={fill.turn_seq}-{fill.number}"
        owed = _side(desk, fill, price_ticks, lots).fee
        fee = str(owed) if owed else ""
    text += f", why={why}" if why else ""
    order = desk.executions.orders.get(fill.order_id)
    if order is not None:
        _change_order(order, fill, anew)
        desk.reports.add(
            order, kind, price_ticks=price_ticks, lots=lots, reason=text, fee=fee,
            match_number=fill.match_number,
        )  # fmt: skip
        return
    notional = int(fill.notional or 0) - fill.price_ticks * fill.lots
    notional += anew.price_ticks * anew.lots
    state = fill.state_of_ended(anew)
    if desk.rules == 1:  # an order that was over stayed as it was, and the trade was not told
        state, price_ticks, lots = fill.state, 0, 0
    desk.reports.answer(
        0, fill.account, fill.client_order_id, kind, fill.order_id, fill.symbol, fill.side, state,
        fill.cumulative_lots - fill.lots + anew.lots, 0, str(notional) if notional else "", text,
        fill.named_seq, match_number=fill.match_number, price_ticks=price_ticks, lots=lots,
        fee=fee,
    )  # fmt: skip


def _change_order(order: Order, fill: BustedFill, anew: Anew) -> None:
    """An open order is as if it had been for less."""
    lots = fill.lots - anew.lots
    order.cumulative_lots -= lots
    order.quantity_lots -= lots
    order.notional += anew.price_ticks * anew.lots - fill.price_ticks * fill.lots
    if order.state in (OrderState.NEW, OrderState.PARTIALLY_FILLED):
        filled = order.cumulative_lots > 0
        order.state = OrderState.PARTIALLY_FILLED if filled else OrderState.NEW


def _settled_otherwise(desk: Desk, fill: BustedFill) -> str:
    """Why today's instrument cannot say what the trade moved."""
    if fill.symbol not in desk.instruments:
        return f"{RejectReason.SYMBOL_UNKNOWN.value}: symbol={fill.symbol}"
    _, since_seq = desk.money_terms[fill.symbol]
    if fill.turn_seq >= since_seq:
        return ""
    return (
        f"{RejectReason.COMMAND_INVALID.value}: trade={fill.turn_seq}-{fill.number}, scales or "
        f"ledger are others since journal sequence {since_seq}"
    )


def _sides(desk: Desk, fills: list[BustedFill], anew: Anew) -> list[FillSide]:
    """What each side of the trade has to give back: all it moved, but for what it moves anew."""
    sides = []
    for fill in fills:
        old = _side(desk, fill, fill.price_ticks, fill.lots)
        new = _side(desk, fill, anew.price_ticks, anew.lots)
        sides.append(
            old._replace(
                notional=old.notional - new.notional, lots=old.lots - new.lots,
                fee=old.fee - new.fee,
            )
        )  # fmt: skip
    return sides


def _side(desk: Desk, fill: BustedFill, price_ticks: int, lots: int) -> FillSide:
    """One side of the trade, were it so priced and so large: the fee in proportion, what is owed
    rounded up, a rebate toward zero."""
    instrument, fee = desk.instruments[fill.symbol], int(fill.fee or 0)
    notional = instrument.notional(price_ticks, lots)
    if (price_ticks, lots) != (fill.price_ticks, fill.lots):
        before = instrument.notional(fill.price_ticks, fill.lots)
        fee = -(-fee * notional // before) if before else 0
    return FillSide(fill.account, instrument, Side(fill.side), notional, lots, fee)
