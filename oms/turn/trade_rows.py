"""Trades, one row each with both sides: for files that people and other programs read.

Flow:  reports, in journal order -> [trade_rows] -> export, end of day
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple

from oms.enums import Liquidity, Side
from oms.reports import TRADE, Report
from oms.stores import TradeTerms, names_trade

STANDS, BUSTED, CORRECTED = "", "BUSTED", "CORRECTED"


class TradeSide(NamedTuple):
    """One side. fee: what it has paid, in units of the quote asset; below zero: a rebate."""

    order_id: int
    account: str
    client_order_id: str
    fee: int


NOBODY = TradeSide(0, "", "", 0)  # at a remote venue, which tells one side


class TradeRow(NamedTuple):
    """One trade as it stands: see `market_data.TradePrint`.

    status: "", BUSTED or CORRECTED. quantity_lots: 0 if it was busted.
    """

    seq: int
    execution_id: str
    match_number: int
    symbol: str
    wall_ns: int
    price_ticks: int
    quantity_lots: int
    taker_side: str
    buyer: TradeSide
    seller: TradeSide
    status: str


def trade_rows(reports: Iterable[Report], changes: Mapping[str, TradeTerms]) -> Iterator[TradeRow]:
    """A row for each trade among the reports. changes: see `Store.changes`."""
    halves: dict[tuple[str, int], Report] = {}
    for report in reports:
        if report.type != TRADE:
            continue
        other = None
        if report.match_number:
            key = report.symbol, report.match_number
            other = halves.pop(key, None)
            if other is None:
                halves[key] = report
                continue
        first, second = (report, other) if names_trade(report) else (other, report)
        if first is not None:
            yield _row(first, second, changes)


def _row(first: Report, second: Report | None, changes: Mapping[str, TradeTerms]) -> TradeRow:
    terms = changes.get(first.execution_id)
    status = STANDS if terms is None else CORRECTED if terms.lots else BUSTED
    sides = {each.side: _side(each, changes) for each in (first, second) if each is not None}
    return TradeRow(
        first.journal_seq, first.execution_id, first.match_number, first.symbol, first.wall_ns,
        terms.price_ticks if terms else first.last_price_ticks,
        terms.lots if terms else first.last_quantity_lots,
        first.side if first.liquidity == Liquidity.TAKER else "",
        sides.get(Side.BUY, NOBODY), sides.get(Side.SELL, NOBODY), status,
    )  # fmt: skip


def _side(report: Report, changes: Mapping[str, TradeTerms]) -> TradeSide:
    terms = changes.get(report.execution_id)
    fee = terms.fee if terms else int(report.fee or 0)
    return TradeSide(report.order_id, report.account, report.client_order_id, fee)
