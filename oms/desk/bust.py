"""Trade bust: an operator takes a trade back; both orders and both accounts are as without it.

Flow:  control_desk -> [bust] -> blotter, ledger
What was filled is not open again: the quantity counts as canceled (FIX 4.4 ExecType H). It is
refused, and nothing done, when somebody has spent since what would have to be given back.
"""

from typing import Any, NamedTuple

from oms.desk.desk_state import DeskState
from oms.exchange.ledger import FillSide
from oms.messages import OrderState, RejectReason, ResponseType, Side
from oms.orders import Order

BUSTED = ResponseType.TRADE_BUSTED.value
BUY = Side.BUY


class Fill(NamedTuple):
    """One side of the trade, and how its order stood last, as the BUST entry has it."""

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


def bust(desk: DeskState, fields: list[list[Any]], why: str) -> str:
    """Take back the trade; why not, or ""."""
    fills = [Fill._make(each) for each in fields]
    reason = _settled_otherwise(desk, fills[0])
    if not reason and desk.blotter.ledger is not None:
        reason = _take_back(desk, fills)
    if reason:
        return reason
    for fill in fills:
        lots = -fill.lots if fill.side == BUY else fill.lots
        desk.blotter.move_position(fill.account, fill.symbol, lots)
        text = f"{RejectReason.TRADE_BUSTED.value}: trade={fill.turn_seq}-{fill.number}"
        text += f", why={why}" if why else ""
        order = desk.blotter.orders.get(fill.order_id)
        if order is not None:
            _shrink(order, fill)
            desk.blotter.report(
                order, BUSTED, price_ticks=fill.price_ticks, lots=fill.lots, reason=text
            )
        else:
            notional = int(fill.notional or 0) - fill.price_ticks * fill.lots
            desk.blotter.answer(
                0, fill.account, fill.client_order_id, BUSTED, fill.order_id, fill.symbol,
                fill.side, fill.state, fill.cumulative_lots - fill.lots, 0,
                str(notional) if notional else "", text,
            )  # fmt: skip
    return ""


def _shrink(order: Order, fill: Fill) -> None:
    """An open order is as if it had been for less."""
    order.cumulative_lots -= fill.lots
    order.quantity_lots -= fill.lots
    order.notional -= fill.price_ticks * fill.lots
    if order.state is OrderState.PARTIALLY_FILLED and not order.cumulative_lots:
        order.state = OrderState.NEW


def _settled_otherwise(desk: DeskState, fill: Fill) -> str:
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


def _take_back(desk: DeskState, fills: list[Fill]) -> str:
    """Move assets and fees the other way, all of it or nothing."""
    ledger, instrument = desk.ledger, desk.instruments[fills[0].symbol]
    notional = instrument.notional(fills[0].price_ticks, fills[0].lots)
    sides = [
        FillSide(fill.account, instrument, Side(fill.side), notional, fill.lots, int(fill.fee or 0))
        for fill in fills
    ]
    for side in sides:
        reason = ledger.spent_since(side)
        if reason:
            return f"{reason}, account={side.account}"
    fees = sum(side.fee for side in sides)
    reason = ledger.short_of_fees(instrument.quote, fees)
    if reason:
        return reason
    for side in sides:
        ledger.unsettle(side)
    return ""
