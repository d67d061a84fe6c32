"""The tape: what was traded, as it stands now: without trades that were taken back, corrected
ones as they were corrected.

Flow:  store, newest first -> [tape] -> publisher, at a start and after a bust or correction
                                    -> intake: what a market traded at last, once a trade is gone
"""

from collections.abc import Container, Iterable, Iterator
from typing import NamedTuple

from oms.enums import Liquidity, ResponseType, Side
from oms.market_data import TradePrint
from oms.reports import NUMBER_BITS, NUMBER_MASK, TRADE, Report, new_tuple, trade_named

BUSTED, CORRECTED = ResponseType.TRADE_BUSTED.value, ResponseType.TRADE_CORRECTED.value
CHANGES = (BUSTED, CORRECTED)
TAKER, BUYER = Liquidity.TAKER.value, Side.BUY.value

Terms = tuple[int, int]
"""Price in ticks and lots; 0 lots: the trade was taken back."""


class Wanted(NamedTuple):
    """How much of a market's tape: at most `most` trades, of `matches` that there ever were.

    matches: None where only a search can tell (a remote venue).
    """

    most: int
    matches: int | None = None


def print_of(one: Report, other: Report | None) -> TradePrint:
    """A trade by its reports; `other` is None at a remote venue, which tells one side.

    It bears the id of the taker's report, in an auction of the buyer's.
    """
    first, second = one, other
    buy_id = sell_id = 0
    if other is not None:
        if other.liquidity == TAKER or (one.liquidity != TAKER and other.side == BUYER):
            first, second = other, one
        assert second is not None
        buy_id, sell_id = first.order_id, second.order_id
        if first.side != BUYER:
            buy_id, sell_id = sell_id, buy_id
    at = first.report_id
    return new_tuple(
        TradePrint,
        (
            at >> NUMBER_BITS, 0, first.symbol, f"{at >> NUMBER_BITS}-{at & NUMBER_MASK}",
            first.match_number, first.side if first.liquidity == TAKER else "",
            first.last_price_ticks, first.last_quantity_lots, first.wall_ns, buy_id, sell_id,
        ),
    )  # fmt: skip


def tape(
    executions: Iterable[Report],
    wanted: dict[str, Wanted],
    changed: dict[str, Terms] | None = None,
) -> dict[str, list[TradePrint]]:
    """The latest trades of each market, oldest first. executions: reports, newest first, of
    which only trades, busts and corrections count. changed: fills that are other than reported,
    by execution id."""
    found: dict[str, list[TradePrint]] = {symbol: [] for symbol in wanted}
    left = {symbol: each.matches for symbol, each in wanted.items() if each.matches != 0}
    for symbol, made, stands in _trades(executions, dict(changed or {}), left) if left else ():
        known = left[symbol]
        left[symbol] = known = None if known is None else known - 1
        if stands:
            found[symbol].append(made)
        if len(found[symbol]) >= wanted[symbol].most or known == 0:
            del left[symbol]
            if not left:
                break
    return {symbol: trades[::-1] for symbol, trades in found.items()}


def _trades(
    executions: Iterable[Report], changed: dict[str, Terms], symbols: Container[str]
) -> Iterator[tuple[str, TradePrint, bool]]:
    """Symbol and print of each trade, newest first, and whether it stands. symbols: those that
    are looked for; it may become less meanwhile."""
    halves: dict[tuple[str, int], Report] = {}
    for report in executions:
        if report.symbol not in symbols:
            continue
        if report.type in CHANGES:  # what was said last of a fill holds
            lots = report.last_quantity_lots if report.type == CORRECTED else 0
            changed.setdefault(trade_named(report), (report.last_price_ticks, lots))
        if report.type != TRADE:
            continue
        other = None
        if report.match_number:
            key = (report.symbol, report.match_number)
            other = halves.pop(key, None)
            if other is None:
                halves[key] = report
                continue
        elif report.liquidity != TAKER:
            continue
        made = print_of(report, other)
        price_ticks, lots = changed.get(made.execution_id, (made.price_ticks, made.quantity_lots))
        made = made._replace(price_ticks=price_ticks, quantity_lots=lots)
        yield report.symbol, made, lots > 0
