"""Settlement: what the fills of one order come to, all of them together.

Flow:  ledger, sweep, bust -> [settlement]
In:    whole numbers. A notional is exact in parts of a quote unit: price times lots, times
       Instrument.quote_unit; price_quantity_unit parts are a unit.

A buyer has paid what all his fills are worth rounded up, a seller has received it rounded down,
both owe the sum of their fees rounded up. An order needs no sums for this: it carries how far it
is ahead (`Order.carry`, `Order.fee_carry`).
"""

from oms.enums import Liquidity, Side
from oms.exchange.order import FeeRates, Order
from oms.instruments import BPS, Instrument

BUY = Side.BUY
TAKER, AUCTION = Liquidity.TAKER.value, Liquidity.AUCTION.value


def settled(order: Order, exact: int) -> int:
    """What a fill costs a buyer or brings a seller: what all fills of the order so far cost or
    bring, less what they did before it.

    exact: the fill's notional, in parts of a unit.
    """
    unit = order.instrument.price_quantity_unit
    if order.side is BUY:
        less, order.carry = divmod(order.carry - exact, unit)
        return -less
    notional, order.carry = divmod(order.carry + exact, unit)
    return notional


def bps_of(fees: FeeRates, liquidity: str) -> int:
    """What a fill pays, in basis points; negative: a rebate.

    In an auction nobody makes and nobody takes: the maker's fee, but no rebate.
    """
    maker, taker = fees
    if liquidity == TAKER:
        return taker
    return maker if liquidity != AUCTION or maker > 0 else 0


def fee_of(fees: FeeRates, notional: int, liquidity: str) -> int:
    """The fee of one fill alone, cut to whole units toward zero: rules number 1."""
    bps = bps_of(fees, liquidity)
    return notional * bps // BPS if bps >= 0 else -(notional * -bps // BPS)


def taken_back(
    side: Side, instrument: Instrument, exact: int, charge: int, carry: int, fee_carry: int
) -> tuple[int, int, int, int]:
    """What a fill gives back when its order is settled anew without it: notional, fee, and what
    the order then carries.

    exact: the fill's notional in parts of a unit; charge: that times its fee in basis points.
    A fee that was not paid yet is not given back, nor is a rebate taken back as a gain.
    """
    unit = instrument.price_quantity_unit
    if side is BUY:
        notional, carry = divmod(carry + exact, unit)
    else:
        less, carry = divmod(carry - exact, unit)
        notional = -less
    fee = (fee_carry + charge) // (unit * BPS)
    fee = max(fee, 0) if charge >= 0 else min(fee, 0)
    return notional, fee, carry, fee_carry + charge - fee * unit * BPS


def rest_of_need(order: Order, exact: int, top: int) -> int:
    """What a buy still needs that has paid more than its fills so far are worth.

    exact: the notional of what is open, in parts of a unit. It is what all of the order costs,
    rounded up, less what was paid: so what a fill pays and what is needed after it are never
    more than what was needed before.
    """
    unit = order.instrument.price_quantity_unit
    notional = -((order.carry - exact) // unit)
    if top <= 0:
        return notional
    charge = (notional * unit + order.carry) * top - order.fee_carry
    return notional + max(0, -(-charge // (unit * BPS)))


def whole_cost(instrument: Instrument, fees: FeeRates, worth: int) -> int:
    """What fills worth so much (price times lots) cost a taker who buys, in units of the quote
    asset; a rebate comes on top, since it may not be there."""
    exact, unit = worth * instrument.quote_unit, instrument.price_quantity_unit
    return -(-exact // unit) - (-exact * max(0, fees[1]) // (unit * BPS))
