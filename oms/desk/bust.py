"""Trade bust: an operator takes a trade back; both orders and both accounts are as without it.

Flow:  operations -> [bust] -> executions, ledger
What was filled is not open again: the quantity counts as canceled (FIX 4.4 ExecType H). It is
refused, and nothing done, when somebody has spent since what would have to be given back.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from oms.enums import OrderState, ResponseType, Side
from oms.exchange.accounts import FillSide
from oms.exchange.order import Order
from oms.reject_reasons import RejectReason

if TYPE_CHECKING:
    from oms.desk.desk import Desk

BUSTED = ResponseType.TRADE_BUSTED.value
BUY = Side.BUY


class BustedFill(NamedTuple):
    """One side of the trade, and how its order stood last, as the BUST line has it.

    match_number, named_seq: 0 in lines written before there were any.
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


def why_not_bust(desk: Desk, fields: list[list[Any]]) -> str:
    """Why a trade cannot be taken back; nothing is done."""
    fills = [BustedFill(*each) for each in fields]
    reason = _settled_otherwise(desk, fills[0])
    if reason or desk.executions.ledger is None:
        return reason
    ledger, sides = desk.ledger, _sides(desk, fills)
    for side in sides:
        reason = ledger.spent_since(side)
        if reason:
            return f"{reason}, account={side.account}"
    quote = desk.instruments[fills[0].symbol].quote
    return ledger.short_of_fees(quote, sum(side.fee for side in sides))


def bust(desk: Desk, fields: list[list[Any]], why: str) -> None:
    """Take back the trade: assets and fees, positions, and what is filled of both orders."""
    fills, executions = [BustedFill(*each) for each in fields], desk.executions
    if executions.ledger is not None:
        for side in _sides(desk, fills):
            desk.ledger.unsettle(side)
    for fill in fills:
        lots = -fill.lots if fill.side == BUY else fill.lots
        executions.move_position(fill.account, fill.symbol, lots)
        text = f"{RejectReason.TRADE_BUSTED.value}: trade={fill.turn_seq}-{fill.number}"
        text += f", why={why}" if why else ""
        order = executions.orders.get(fill.order_id)
        if order is not None:
            _shrink(order, fill)
            desk.reports.add(
                order, BUSTED, price_ticks=fill.price_ticks, lots=fill.lots, reason=text,
                match_number=fill.match_number,
            )  # fmt: skip
        else:
            notional = int(fill.notional or 0) - fill.price_ticks * fill.lots
            desk.reports.answer(
                0, fill.account, fill.client_order_id, BUSTED, fill.order_id, fill.symbol,
                fill.side, fill.state, fill.cumulative_lots - fill.lots, 0,
                str(notional) if notional else "", text, fill.named_seq,
                match_number=fill.match_number,
            )  # fmt: skip


def _shrink(order: Order, fill: BustedFill) -> None:
    """An open order is as if it had been for less."""
    order.cumulative_lots -= fill.lots
    order.quantity_lots -= fill.lots
    order.notional -= fill.price_ticks * fill.lots
    if order.state is OrderState.PARTIALLY_FILLED and not order.cumulative_lots:
        order.state = OrderState.NEW


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


def _sides(desk: Desk, fills: list[BustedFill]) -> list[FillSide]:
    """What each side of the trade moved."""
    instrument = desk.instruments[fills[0].symbol]
    notional = instrument.notional(fills[0].price_ticks, fills[0].lots)
    return [
        FillSide(fill.account, instrument, Side(fill.side), notional, fill.lots, int(fill.fee or 0))
        for fill in fills
    ]
