"""Trade bust: an operator takes a trade back; both orders and both accounts are as without it.

Flow:  operations -> [bust] -> executions, ledger
What was filled is not open again: the quantity counts as canceled (FIX 4.4 ExecType H). It is
refused, and nothing done, when somebody has spent since what would have to be given back.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from oms.enums import OrderState, ResponseType, Side
from oms.exchange.accounts import FEE_ACCOUNT, ROUNDING, FillSide
from oms.exchange.order import Order
from oms.exchange.settlement import bps_of, taken_back
from oms.instruments import BPS
from oms.reject_reasons import RejectReason

if TYPE_CHECKING:
    from oms.desk.desk import Desk

BUSTED = ResponseType.TRADE_BUSTED.value
BUY = Side.BUY


class BustedFill(NamedTuple):
    """One side of the trade, and how its order stood last, as the BUST line has it.

    match_number, named_seq: 0 in lines written before there were any. whole: of a fill that was
    settled together with all others of its order, see `Whole`; else empty.
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
    whole: tuple[Any, ...] = ()


class Whole(NamedTuple):
    """All fills of an order that were settled together, less those taken back.

    liquidity: of the fill to take back. maker, taker, auction: price times lots of the fills with
    that liquidity. fees: what was paid of fees, less what was given back, in units.
    """

    liquidity: str
    maker: int
    taker: int
    auction: int
    fees: int


def why_not_bust(desk: Desk, fields: list[list[Any]]) -> str:
    """Why a trade cannot be taken back; nothing is done."""
    fills = [BustedFill(*each) for each in fields]
    reason = _settled_otherwise(desk, fills[0])
    if reason or desk.executions.ledger is None:
        return reason
    ledger, sides = desk.ledger, _sides(desk, fills)
    for fill, side in zip(fills, sides, strict=True):
        reason = ledger.spent_since(side, _more_needed(desk, fill, side))
        if reason:
            return f"{reason}, account={side.account}"
    quote = desk.instruments[fills[0].symbol].quote
    reason = ledger.short_of(FEE_ACCOUNT, quote, sum(side.fee for side in sides))
    if reason or not ledger.since:
        return reason
    carries = {fill.order_id: side.carry for fill, side in zip(fills, sides, strict=True)}
    kept = ledger.owed(quote, desk.executions.orders.values(), carries)
    buyer, seller = _buyer_first(sides)
    return ledger.short_of(ROUNDING, quote, buyer.notional - seller.notional, kept)


def bust(desk: Desk, fields: list[list[Any]], why: str) -> None:
    """Take back the trade: assets and fees, positions, and what is filled of both orders."""
    fills, executions = [BustedFill(*each) for each in fields], desk.executions
    sides = _sides(desk, fills) if executions.ledger is not None else []
    for side in sides:
        desk.ledger.unsettle(side)
    if sides:
        desk.ledger.unround(*_buyer_first(sides))
    for number, fill in enumerate(fills):
        fee = str(-sides[number].fee) if sides and sides[number].fee and desk.rules > 1 else ""
        lots = -fill.lots if fill.side == BUY else fill.lots
        executions.move_position(fill.account, fill.symbol, lots)
        text = f"{RejectReason.TRADE_BUSTED.value}: trade={fill.turn_seq}-{fill.number}"
        text += f", why={why}" if why else ""
        order = executions.orders.get(fill.order_id)
        if order is not None:
            _shrink(order, fill)
            if sides and fill.whole:
                order.carry, order.fee_carry = sides[number].carry, sides[number].fee_carry
                executions.reserve_need(order)
            desk.reports.add(
                order, BUSTED, price_ticks=fill.price_ticks, lots=fill.lots, reason=text,
                fee=fee, match_number=fill.match_number,
            )  # fmt: skip
        else:
            notional = int(fill.notional or 0) - fill.price_ticks * fill.lots
            desk.reports.answer(
                0, fill.account, fill.client_order_id, BUSTED, fill.order_id, fill.symbol,
                fill.side, fill.state, fill.cumulative_lots - fill.lots, 0,
                str(notional) if notional else "", text, fill.named_seq,
                match_number=fill.match_number, fee=fee,
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
    """What each side of the trade gives back."""
    instrument = desk.instruments[fills[0].symbol]
    notional = instrument.notional(fills[0].price_ticks, fills[0].lots)
    return [
        _side_of_whole(desk, fill)
        if fill.whole
        else FillSide(
            fill.account, instrument, Side(fill.side), notional, fill.lots, int(fill.fee or 0)
        )
        for fill in fills
    ]


def _side_of_whole(desk: Desk, fill: BustedFill) -> FillSide:
    """What one side gives back when its order is settled anew without the fill."""
    instrument, side, whole = desk.instruments[fill.symbol], Side(fill.side), Whole(*fill.whole)
    unit, order = instrument.price_quantity_unit, desk.executions.orders.get(fill.order_id)
    exact = fill.price_ticks * fill.lots * instrument.quote_unit
    fees = desk.ledger.rates_of(fill.account, fill.symbol, fill.order_id)
    if order is not None:
        carry, fee_carry = order.carry, order.fee_carry
    else:
        worths = {"MAKER": whole.maker, "TAKER": whole.taker, "AUCTION": whole.auction}
        total = sum(worths.values()) * instrument.quote_unit
        owed = sum(worth * bps_of(fees, liquidity) for liquidity, worth in worths.items())
        carry = (-total if side is BUY else total) % unit
        fee_carry = whole.fees * unit * BPS - owed * instrument.quote_unit
    charge = exact * bps_of(fees, whole.liquidity)
    notional, fee, carry, fee_carry = taken_back(side, instrument, exact, charge, carry, fee_carry)
    return FillSide(fill.account, instrument, side, notional, fill.lots, fee, carry, fee_carry)


def _more_needed(desk: Desk, fill: BustedFill, side: FillSide) -> int:
    """How much more an open buy must have reserved once it carries what it then does."""
    order = desk.executions.orders.get(fill.order_id)
    if order is None or not fill.whole or side.side is not BUY:
        return 0
    carried = order.carry, order.fee_carry
    order.carry, order.fee_carry = side.carry, side.fee_carry
    need = desk.executions.need(order, order.price_ticks, order.leaves_lots)
    order.carry, order.fee_carry = carried
    return max(0, need - order.reserved)


def _buyer_first(sides: list[FillSide]) -> tuple[FillSide, FillSide]:
    first, second = sides
    return (first, second) if first.side is BUY else (second, first)
