"""Candles and statistics: what was traded in spans of time, of now and of the past.

Flow:  store, trades as they stand -> [history] -> candles
Nothing is stored for it: a candle is summed up from the trades' reports when it is asked for. So
it is the same after a restart, and a bust or a correction changes it at once, however old it is.
Owner: whoever asks, on its own thread and its own connection to the database.
"""

from collections.abc import Iterable
from datetime import datetime, time, timedelta, tzinfo
from itertools import groupby, takewhile

from oms.clock import NANOS, datetime_of, wall_ns_of
from oms.errors import ValidationError
from oms.instruments import Instrument
from oms.market_data import Candle
from oms.reports import NUMBER_BITS
from oms.stores import Store, StoredTrade

UNITS_S = {"s": 1, "m": 60, "h": 3_600, "d": 86_400}
DAY_S = UNITS_S["d"]
DAY_NS = DAY_S * NANOS
CANDLES_MAX = 100_000
EXPECTED_WIDTH = "1s to 1d, such as 30s, 5m, 4h"
WIDTH_DIGITS_MAX = 5

"""Nanoseconds since 1970 UTC, or a datetime with a zone."""


class Grid:
    """Where candles of one width begin.

    A day begins at midnight in the zone, and has 23 to 25 hours; every other width at multiples
    of itself since 1970 UTC.
    """

    def __init__(self, width: str, zone: tzinfo) -> None:
        self.width_ns = width_ns(width)
        self._zone = zone
        self._latest = (0, 0)

    def span(self, wall_ns: int) -> tuple[int, int]:
        """Begin and end of the candle that holds this instant."""
        start_ns, end_ns = self._latest
        if not start_ns <= wall_ns < end_ns:
            self._latest = self._span(wall_ns)
        return self._latest

    def _span(self, wall_ns: int) -> tuple[int, int]:
        if self.width_ns < DAY_NS:
            start_ns = wall_ns - wall_ns % self.width_ns
            return start_ns, start_ns + self.width_ns
        day = datetime_of(wall_ns).astimezone(self._zone).date()
        start_ns, end_ns = (
            wall_ns_of(datetime.combine(each, time(), self._zone))
            for each in (day, day + timedelta(days=1))
        )
        return start_ns, end_ns


def width_ns(text: str) -> int:
    """The width of a candle; ValidationError if there is none such."""
    count, unit = (text[:-1], text[-1:]) if type(text) is str else ("", "")
    known = count.isascii() and count.isdecimal() and len(count) <= WIDTH_DIGITS_MAX
    seconds = int(count) * UNITS_S.get(unit, 0) if known else 0
    if not 1 <= seconds <= DAY_S:
        raise ValidationError("width", text, EXPECTED_WIDTH)
    return seconds * NANOS


def candles_of(
    store: Store, instrument: Instrument, grid: Grid, start_ns: int, end_ns: int,
    upto_seq: int | None = None,
) -> list[Candle]:  # fmt: skip
    """Whole candles, oldest first, that have a part of [start_ns, end_ns) and a trade; upto_seq:
    of trades up to that turn."""
    if end_ns <= start_ns:
        return []
    if (end_ns - start_ns) // grid.width_ns >= CANDLES_MAX:
        raise ValidationError("start", start_ns, f"at most {CANDLES_MAX} widths before end")
    first_ns, last_ns = grid.span(start_ns)[0], grid.span(end_ns - 1)[1]
    trades = store.trades(instrument.symbol, first_ns, last_ns)
    if upto_seq is not None:
        end_id = (upto_seq + 1) << NUMBER_BITS
        trades = takewhile(lambda trade: trade.report_id < end_id, trades)
    spans = groupby(trades, lambda trade: grid.span(trade.wall_ns))
    return [summed(some, instrument, *span) for span, some in spans]


def statistics_of(store: Store, instrument: Instrument, end_ns: int) -> Candle:
    """The 24 hours before an instant, as one candle; also if nothing was traded."""
    start_ns = max(0, end_ns - DAY_NS)
    return summed(store.trades(instrument.symbol, start_ns, end_ns), instrument, start_ns, end_ns)


def summed(
    trades: Iterable[StoredTrade], instrument: Instrument, start_ns: int, end_ns: int
) -> Candle:
    """One candle of all these trades."""
    open_ticks = high = low = close = None
    lots = notional = count = changed = 0
    for trade in trades:
        changed += trade.changed
        if not trade.lots:
            continue
        close = ticks = trade.price_ticks
        if open_ticks is None or high is None or low is None:
            open_ticks = high = low = ticks
        high, low = max(high, ticks), min(low, ticks)
        lots += trade.lots
        notional += ticks * trade.lots
        count += 1
    return Candle(
        symbol=instrument.symbol, start_ns=start_ns, end_ns=end_ns, open_ticks=open_ticks,
        high_ticks=high, low_ticks=low, close_ticks=close, volume_lots=lots, notional=notional,
        count=count, changed=changed, price_scale=instrument.price_scale,
        quantity_scale=instrument.quantity_scale,
    )  # fmt: skip
