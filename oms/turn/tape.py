"""The tape: what was traded, as it stands now: without trades that were taken back, corrected
ones as they were corrected.

Flow:  store, newest first -> [tape] -> publisher, at a start and after a bust or correction
                                    -> intake: what a market traded at last, once a trade is gone
"""

from collections.abc import Callable, Collection, Iterable, Mapping
from typing import NamedTuple

from oms.enums import Liquidity, Side
from oms.market_data import TradeBust, TradeCorrection, TradeEvent, TradePrint
from oms.positions import BUSTED, CHANGES, CORRECTED, LATEST
from oms.reports import NUMBER_BITS, NUMBER_MASK, TRADE, Report, new_tuple, trade_named

TAKER, BUYER = Liquidity.TAKER.value, Side.BUY.value

Terms = tuple[int, int]
"""Price in ticks and lots; 0 lots: the trade was taken back."""
Read = Callable[[Collection[str], int], Iterable[Report]]
"""Reports of these symbols before that report id, newest first: see Store.executions. Of others
than trades, busts and corrections nothing is taken."""


class Wanted(NamedTuple):
    """How much of a market's tape: at most `most` trades, of `matches` that there ever were.

    matches: None where only a search can tell (a remote venue).
    """

    most: int
    matches: int | None = None


def print_of(one: Report, other: Report | None) -> TradePrint:
    """A trade by its reports; `other` is None at a remote venue, which tells one side.

    It bears the id of the taker's report, in an auction of the buyer's. Its scales are filled in
    where it is told (market_data.in_units).
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
            0, 0,
        ),
    )  # fmt: skip


def told_of(fills: Iterable[Report]) -> list[TradeEvent]:
    """What a turn traded, took back and corrected, by its reports: each once, when both of its
    reports are there; a remote venue tells one. As it was then, whatever became of it later."""
    halves: dict[tuple[str, int], Report] = {}  # one side of a trade, until the other comes
    told: list[TradeEvent] = []
    for report in fills:
        number, other = report.match_number, None
        if number:
            key = (report.symbol, number)
            other = halves.pop(key, None)
            if other is None:
                halves[key] = report
                continue
        elif report.type == TRADE and report.liquidity != TAKER:
            continue
        if report.type == TRADE:
            told.append(print_of(report, other))
        else:
            told.append(_changed(report if other is None else other))
    return told


def _changed(report: Report) -> TradeBust | TradeCorrection:
    """What became of a trade, by the first report of it: as the trade, it is named by that."""
    kind = TradeBust if report.type == BUSTED else TradeCorrection
    return kind(
        report.journal_seq, 0, report.symbol, trade_named(report), report.match_number,
        report.last_price_ticks, report.last_quantity_lots,
    )  # fmt: skip


def tape(
    read: Read, wanted: Mapping[str, Wanted], changed: Mapping[str, Terms] | None = None
) -> dict[str, list[TradePrint]]:
    """The latest trades of each market, oldest first. changed: fills that are other than
    reported, by execution id.

    A market that seldom trades has its trades far back. So once half of the markets have all
    of theirs, the search goes on for the others alone: what is not asked for costs a fifth.
    """
    found: dict[str, list[TradePrint]] = {symbol: [] for symbol in wanted}
    left = {symbol: each.matches for symbol, each in wanted.items() if each.matches != 0}
    trades, before = Trades(changed or {}), LATEST
    while left:
        asked = len(left)
        for report in read(left.keys(), before):
            before, symbol = report.report_id, report.symbol
            made = trades.take(report) if symbol in left else None
            if made is None:
                continue
            known = left[symbol]
            left[symbol] = known = None if known is None else known - 1
            if made.quantity_lots:
                found[symbol].append(made)
            if len(found[symbol]) >= wanted[symbol].most or known == 0:
                del left[symbol]
                if 2 * len(left) <= asked:
                    break
        else:
            break
    return {symbol: latest[::-1] for symbol, latest in found.items()}


class Trades:
    """Puts reports, newest first, together to trades."""

    def __init__(self, changed: Mapping[str, Terms]) -> None:
        self._changed = dict(changed)
        self._halves: dict[tuple[str, int], Report] = {}

    def take(self, report: Report) -> TradePrint | None:
        """The trade that is complete with this report, as it stands; no lots if it does not."""
        if report.type in CHANGES:  # what was said last of a fill holds
            lots = report.last_quantity_lots if report.type == CORRECTED else 0
            self._changed.setdefault(trade_named(report), (report.last_price_ticks, lots))
        if report.type != TRADE:
            return None
        other = None
        if report.match_number:
            key = (report.symbol, report.match_number)
            other = self._halves.pop(key, None)
            if other is None:
                self._halves[key] = report
                return None
        elif report.liquidity != TAKER:
            return None
        made = print_of(report, other)
        terms = self._changed.get(made.execution_id)
        return (
            made if terms is None else made._replace(price_ticks=terms[0], quantity_lots=terms[1])
        )
