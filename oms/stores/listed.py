"""Rows of the table `instruments`: one for each change of what is traded.

Flow:  notes of a turn -> [listed] -> sqlite, and verify; sqlite -> [listed] -> scales of trades
"""

from bisect import bisect_right
from collections.abc import Iterable, Mapping
from operator import itemgetter
from typing import Any

from oms.errors import JournalError
from oms.instruments import Instrument
from oms.positions import Scales

Row = tuple[object, ...]
SYMBOL, SINCE, UNTIL = 0, 1, 2  # places in a row; those behind say what it is
PRICE_SCALE, QUANTITY_SCALE, QUOTE_SCALE = 5, 6, 8
COLUMNS = """symbol TEXT NOT NULL,
    since_seq INTEGER NOT NULL,
    until_seq INTEGER,
    base TEXT NOT NULL,
    quote TEXT NOT NULL,
    price_scale INTEGER NOT NULL,
    quantity_scale INTEGER NOT NULL,
    base_scale INTEGER NOT NULL,
    quote_scale INTEGER NOT NULL,
    tick_size TEXT NOT NULL,
    lot_size TEXT NOT NULL,
    tick_size_ticks INTEGER NOT NULL,
    lot_size_lots INTEGER NOT NULL,
    maker_fee_bps INTEGER NOT NULL,
    taker_fee_bps INTEGER NOT NULL"""


def row_of(instrument: Instrument, seq: int) -> Row:
    """As it is from this turn on; until_seq None: still."""
    return (
        instrument.symbol, seq, None, instrument.base, instrument.quote, instrument.price_scale,
        instrument.quantity_scale, instrument.base_scale, instrument.quote_scale,
        instrument.tick_size_text, instrument.lot_size_text, instrument.tick_size,
        instrument.lot_size, instrument.maker_fee_bps, instrument.taker_fee_bps,
    )  # fmt: skip


def relisted(
    standing: Iterable[Row], instruments: Mapping[str, Instrument], seq: int
) -> tuple[list[Row], list[Row]]:
    """The rows that end with this turn, and those that begin. standing: those without an end."""
    begun = {symbol: row_of(each, seq) for symbol, each in instruments.items()}
    ended = []
    for row in standing:
        now = begun.get(str(row[SYMBOL]))
        if now is not None and now[UNTIL:] == row[UNTIL:]:
            del begun[str(row[SYMBOL])]
        else:
            ended.append((*row[:UNTIL], seq, *row[UNTIL + 1 :]))
    return ended, list(begun.values())


def scales_in(rows: Iterable[tuple[Any, ...]]) -> Scales:
    """Those that these rows give, which are in order of symbol and sequence."""
    found: dict[str, list[tuple[Any, ...]]] = {}
    for row in rows:
        found.setdefault(row[SYMBOL], []).append(row)

    def scales(symbol: str, seq: int) -> tuple[int, int, int]:
        listed = found.get(symbol, [])
        place = bisect_right(listed, seq, key=itemgetter(SINCE))
        if not place:
            raise JournalError(f"instruments: {symbol} is missing at sequence {seq}; `rebuild`")
        row = listed[place - 1]
        return row[PRICE_SCALE], row[QUANTITY_SCALE], row[QUOTE_SCALE]

    return scales
