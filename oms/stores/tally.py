"""Tally: what the tables beside the journal hold, counted and summed up to one turn.

Each record of the journal carries one, so the chain of checksums covers them. It runs on from
turn to turn: a start compares two numbers, and `verify` can tell the turn that differs.
"""

import json
import sys
from array import array
from collections.abc import Mapping, Sequence
from itertools import compress
from typing import Any, NamedTuple
from zlib import crc32

from oms.reports import Report
from oms.stores import Claim

# What is summed. The rest follows from it, or is compared by `verify` alone: each column costs.
OF_CLAIMS = (1, 1, 1, 0, 0, 0, 1)  # sequence, account, client order id, content
_SUMMED = (
    "order_id", "request_seq", "code", "last_price_ticks", "last_quantity_lots",
    "cumulative_lots", "leaves_lots", "reason", "fee",
)  # fmt: skip
OF_REPORTS = tuple(name in _SUMMED for name in Report._fields[: Report._fields.index("fee") + 1])
Rest = list[Any]
"""Of a claim what its line does not say: symbol, side, terms, content."""


class Tally(NamedTuple):
    """So many claims and reports, and CRC-32 of them; what an older program wrote without a tally
    is counted, but not summed."""

    ids: int = 0
    ids_checksum: int = 0
    reports: int = 0
    reports_checksum: int = 0

    def plus(self, claims: Sequence[Claim], reports: Sequence[Report]) -> "Tally":
        """With one more turn."""
        return Tally(
            self.ids + len(claims),
            _running(claims, OF_CLAIMS, self.ids_checksum),
            self.reports + len(reports),
            _running(reports, OF_REPORTS, self.reports_checksum),
        )


def _running(rows: Sequence[Sequence[int | str]], columns: Sequence[int], crc: int) -> int:
    """The checksum that goes on with these rows, column by column: half the cost of one text."""
    for column in compress(zip(*rows, strict=False), columns):
        if type(column[0]) is int:
            numbers = array("q", column)
            if sys.byteorder == "big":
                numbers.byteswap()
            crc = crc32(numbers, crc)
        else:
            crc = crc32("\n".join(column).encode(), crc)
    return crc


def tally_text(tally: Tally, rests: Mapping[int, Rest]) -> str:
    """As a record carries it, with the rests of those claims that need one, by sequence."""
    return json.dumps([*tally, rests] if rests else tally, separators=(",", ":"))


def tally_of(text: str | None) -> Tally | None:
    """None for a record that an older program wrote."""
    return None if text is None else Tally._make(json.loads(text)[:4])


def rests_of(text: str | None) -> dict[int, Rest]:
    """The rests of claims that a record carries."""
    parts = json.loads(text)[4:] if text is not None else []
    return {int(seq): rest for seq, rest in parts[0].items()} if parts else {}
