"""Trade bust and correction: a trade is taken back, or gets another price or quantity.

Flow:  operations -> [bust] -> executions, ledger, market
Both orders, both accounts and the market are as if it had been so from the start. What was filled
is not open again: the quantity counts as canceled (FIX 4.4 ExecType H and G). It is refused, and
nothing done, when somebody has spent since what would have to be given.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from oms.enums import OrderState, ResponseType, Side
from oms.exchange.accounts import FEE_ACCOUNT, ROUNDING, FillSide
from oms.exchange.order import Order
from oms.exchange.settlement import bps_of, taken_back
from oms.instruments import BPS, Instrument
from oms.reject_reasons import RejectReason

if TYPE_CHECKING:
    from oms.desk.desk import Desk

BUSTED, CORRECTED = ResponseType.TRADE_BUSTED.value, ResponseType.TRADE_CORRECTED.value
BUY = Side.BUY
UNFILLED = (OrderState.CANCELED.value, OrderState.EXPIRED.value)


class Anew(NamedTuple):
    """What a trade is from now on; no lots: it is taken back. last_ticks, last_match: what its
    market traded at last then, and the match number of that trade; 0 for never."""

    price_ticks: int = 0
    lots: int = 0
    last_ticks: int = 0
    last_match: int = 0


class BustedFill(NamedTuple):
    """One side of the trade, and how its order stood last, as the line has it.

    price_ticks, lots, fee: of the trade as it stands, if it was corrected before.
    ended: the order's state by its own last event; short_lots: what busts and corrections have
    taken off it since. match_number, named_seq: 0 in lines written before there were any.
    whole: of a fill that was settled together with all others of its order, see `Whole`; else
    empty.
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
    whole: tuple[Any, ...] = ()

    def state_of_ended(self, anew: Anew) -> str:
        """How an order that is over stands: filled, if nothing is missing of what it was."""
        if self.ended in UNFILLED:
            return self.ended
        short = self.short_lots + self.lots - anew.lots > 0
        return (OrderState.CANCELED if short else OrderState.FILLED).value


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


def why_not_change(desk: Desk, fields: list[list[Any]], anew: Anew) -> str:
    """Why a trade cannot be taken back, or be another; nothing is done."""
    fills = [BustedFill(*each) for each in fields]
    reason = _settled_otherwise(desk, fills[0])
    if reason or desk.executions.ledger is None:
        return reason
    ledger, sides = desk.ledger, _sides(desk, fills, anew)
    for fill, side in zip(fills, sides, strict=True):
        reason = ledger.spent_since(side, _more_needed(desk, fill, side))
        if reason:
            return f"{reason}, account={side.account}"
    quote = sides[0].instrument.quote
    reason = ledger.short_of(FEE_ACCOUNT, quote, sum(side.fee for side in sides))
    if reason or not ledger.since:
        return reason
    carries = {fill.order_id: side.carry for fill, side in zip(fills, sides, strict=True)}
    kept = ledger.owed(quote, desk.executions.orders.values(), carries)
    buyer, seller = _buyer_first(sides)
    return ledger.short_of(ROUNDING, quote, buyer.notional - seller.notional, kept)


def change_trade(desk: Desk, fields: list[list[Any]], why: str, anew: Anew) -> None:
    """Assets and fees, positions, what is filled of both orders, and the market's last price."""
    fills, executions = [BustedFill(*each) for each in fields], desk.executions
    sides = _sides(desk, fills, anew) if executions.ledger is not None else []
    for side in sides:
        desk.ledger.unsettle(side)
    if sides:
        desk.ledger.unround(*_buyer_first(sides))
    for number, fill in enumerate(fills):
        lots = anew.lots - fill.lots
        executions.move_position(fill.account, fill.symbol, lots if fill.side == BUY else -lots)
        order = executions.orders.get(fill.order_id)
        if order is not None:
            _change_order(order, fill, anew)
            if sides and fill.whole:
                order.carry, order.fee_carry = sides[number].carry, sides[number].fee_carry
                executions.reserve_need(order)
        _tell(desk, fill, anew, why, sides[number].fee if sides else 0)
    market = desk.engine.markets.get(fills[0].symbol) if desk.engine is not None else None
    if market is not None and desk.rules > 1:  # before, the last price stayed as it was
        first, last = fills[0], (anew.last_ticks, anew.last_match)
        market.correct(first.match_number, first.price_ticks, anew.price_ticks, last)


def _tell(desk: Desk, fill: BustedFill, anew: Anew, why: str, fee_back: int) -> None:
    """How one of the orders stands since. fee: of a correction what the trade now costs of fees,
    of a bust what was given back, below zero."""
    kind, price_ticks, lots, owed = BUSTED, fill.price_ticks, fill.lots, -fee_back
    text = f"{RejectReason.TRADE_BUSTED.value}: trade={fill.turn_seq}-{fill.number}"
    if anew.lots:
        kind, price_ticks, lots = CORRECTED, anew.price_ticks, anew.lots
        text = f"{RejectReason.TRADE_CORRECTED.value}: trade={fill.turn_seq}-{fill.number}"
        owed += int(fill.fee or 0)
    text += f", why={why}" if why else ""
    fee = str(owed) if owed and desk.rules > 1 else ""
    order = desk.executions.orders.get(fill.order_id)
    if order is not None:
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
    """Why the instrument as it is known today cannot say what the trade moved."""
    if desk.listings.known(fill.symbol) is None:
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
    return [
        _side_of_whole(desk, fill, anew) if fill.whole else _side_alone(desk, fill, anew)
        for fill in fills
    ]


def _instrument_of(desk: Desk, fill: BustedFill) -> Instrument:
    instrument = desk.listings.known(fill.symbol)
    assert instrument is not None, "asked before"
    return instrument


def _side_alone(desk: Desk, fill: BustedFill, anew: Anew) -> FillSide:
    """Of a fill that was settled alone: the fee in proportion, what is owed rounded up, a rebate
    toward zero."""
    instrument, fee = _instrument_of(desk, fill), int(fill.fee or 0)
    before = instrument.notional(fill.price_ticks, fill.lots)
    now = instrument.notional(anew.price_ticks, anew.lots)
    fee_now = -(-fee * now // before) if before else 0
    return FillSide(
        fill.account, instrument, Side(fill.side), before - now, fill.lots - anew.lots,
        fee - fee_now,
    )  # fmt: skip


def _side_of_whole(desk: Desk, fill: BustedFill, anew: Anew) -> FillSide:
    """What one side gives back when its order is settled anew with the fill as it is to be."""
    instrument, side, whole = _instrument_of(desk, fill), Side(fill.side), Whole(*fill.whole)
    unit, order = instrument.price_quantity_unit, desk.executions.orders.get(fill.order_id)
    less = fill.price_ticks * fill.lots - anew.price_ticks * anew.lots
    exact = less * instrument.quote_unit
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
    return FillSide(
        fill.account, instrument, side, notional, fill.lots - anew.lots, fee, carry, fee_carry
    )


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
