"""Movements: what changed an account's money, from its stored reports and funds entries.

Flow:  store: fills, busts, corrections, funds of an account -> [movements] -> OrderManagement
A fill moves what all fills of its order come to so far, less what they came to before it (see
exchange/settlement.py); its report has both sums. So no entry needs another one, or a fold.
Owner: whoever asks, on its own thread.
"""

from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal

from oms.answers import Movement
from oms.enums import Side
from oms.instruments import Instrument
from oms.money import to_decimal
from oms.positions import CHANGES
from oms.reports import TRADE, Report, trade_named
from oms.requests.accounts import TRANSFERS, FundsAction
from oms.requests.codec import comes_to
from oms.responses import OrderResponse
from oms.stores import Moved

FEE = "FEE"


def movements_of(
    account: str,
    found: Sequence[Moved],
    instruments: Mapping[str, Instrument],
    scales: Mapping[str, int],
) -> Iterator[Movement]:
    """What each of these moved; instruments: also those that are traded no more; scales: of the
    assets."""
    for moved in found:
        if moved.line is not None:
            yield _funds(account, moved, scales[moved.line[4]])
        elif moved.report.symbol in instruments:
            yield from _traded(moved, instruments[moved.report.symbol])


def _funds(account: str, moved: Moved, scale: int) -> Movement:
    assert moved.line is not None
    report = moved.report
    _, sender, _, action, asset, amount, other, *_ = moved.line
    kind = FundsAction.TRANSFER if action in TRANSFERS else FundsAction(action)
    contra = (sender if other == account else other) if action in TRANSFERS else ""
    signed = to_decimal(comes_to(moved.line, account) * amount, scale)
    return _movement(report, account, asset, signed, kind, contra)


def _traded(moved: Moved, instrument: Instrument) -> Iterator[Movement]:
    report, before = moved.report, moved.earlier[-1] if moved.earlier else None
    if report.type == TRADE:
        lots = report.last_quantity_lots
        worth = report.last_price_ticks * lots
        fee = int(report.fee or 0)
    else:
        assert before is not None, "it is about a fill"
        lots = report.cumulative_lots - before.cumulative_lots
        worth = int(report.notional or 0) - int(before.notional or 0)
        fee = int(report.fee or 0)
        if report.type == CHANGES[1]:  # what the trade costs now, and what it cost
            fee -= _fee_before(report, moved.earlier)
    notional = int(report.notional or 0)
    buys = report.side == Side.BUY.value
    money = _settled(instrument, buys, notional) - _settled(instrument, buys, notional - worth)
    sign = 1 if buys else -1
    if lots:
        amount = to_decimal(sign * lots * instrument.lot_amount, instrument.base_scale)
        yield _movement(report, report.account, instrument.base, amount, report.type)
    for units, kind in ((-sign * money, report.type), (-fee, FEE)):
        if units:
            amount = to_decimal(units, instrument.quote_scale)
            yield _movement(report, report.account, instrument.quote, amount, kind)


def _settled(instrument: Instrument, buys: bool, worth: int) -> int:
    """What fills worth so much have cost a buyer, rounded up, or brought a seller, rounded down."""
    exact, unit = worth * instrument.quote_unit, instrument.price_quantity_unit
    return -(-exact // unit) if buys else exact // unit


def _fee_before(correction: Report, earlier: Sequence[Report]) -> int:
    """What the trade cost of fees until this correction: by the one before, or as it was told."""
    named = trade_named(correction)
    for report in reversed(earlier):
        is_it = report.type == CHANGES[1] and trade_named(report) == named
        if is_it or report.execution_id == named:
            return int(report.fee or 0)
    return 0


def _movement(
    report: Report, account: str, asset: str, amount: Decimal, kind: str, other: str = ""
) -> Movement:
    of_order = bool(report.symbol) and not other and kind not in tuple(FundsAction)
    response = OrderResponse(report)
    return Movement(
        seq=report.journal_seq, number=report.number, execution_id=response.execution_id,
        wall_ns=report.wall_ns, account=account, asset=asset, amount=amount, kind=str(kind),
        order_id=report.order_id if of_order else 0, client_order_id=report.client_order_id,
        symbol=report.symbol if of_order else "", other=other,
    )  # fmt: skip
