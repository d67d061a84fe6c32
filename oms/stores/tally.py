"""Tally: what the tables beside the journal hold, counted and summed up to one turn.

Each record of the journal carries one, so the chain of checksums covers them. It runs on from
turn to turn: a start compares two numbers, and `verify` can tell the turn that differs.
"""

import json
from collections.abc import Mapping, Sequence
from struct import pack
from typing import Any, NamedTuple

from oms.reports import Report
from oms.stores import Claim, crc_of

# The columns that are summed, numbers and texts. The rest follows from them, or is compared by
# `verify` alone: each column costs.
CLAIM_NUMBERS, CLAIM_TEXTS = (0, 6), (1, 2)  # sequence and content; account and client order id
REPORT_NUMBERS = tuple(
    Report._fields.index(name) for name in ("order_id", "last_price_ticks", "leaves_lots")
)
REPORT_TEXTS = (Report._fields.index("code"),)
TALLY_FORMAT = "[%d,%d,%d,%d]"  # by far the most: as json.dumps has it
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
            _running(claims, CLAIM_NUMBERS, CLAIM_TEXTS, self.ids_checksum),
            self.reports + len(reports),
            _running(reports, REPORT_NUMBERS, REPORT_TEXTS, self.reports_checksum),
        )


def _running(
    rows: Sequence[Sequence[Any]], numbers: Sequence[int], texts: Sequence[int], crc: int
) -> int:
    """The checksum that goes on with these rows, column by column: a third of the cost of a text
    of them all."""
    form = f"<{len(rows)}q"
    for place in numbers:
        crc = crc_of(pack(form, *[row[place] for row in rows]), crc)
    for place in texts:
        crc = crc_of("\n".join([row[place] for row in rows]).encode(), crc)
    return crc


def tally_text(tally: Tally, rests: Mapping[int, Rest]) -> str:
    """As a record carries it, with the rests of those claims that need one, by sequence."""
    if not rests:
        return TALLY_FORMAT % tally
    return json.dumps([*tally, rests], separators=(",", ":"))


def tally_of(text: str | None) -> Tally | None:
    """None for a record that an older program wrote."""
    return None if text is None else Tally._make(map(int, text[1:-1].split(",", 4)[:4]))


def rests_of(text: str | None) -> dict[int, Rest]:
    """The rests of claims that a record carries."""
    parts = json.loads(text)[4:] if text is not None else []
    return {int(seq): rest for seq, rest in parts[0].items()} if parts else {}
