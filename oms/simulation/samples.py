"""Samples: how queue, prices and books went during a run, for its charts.

Flow:  the runner's tick -> [samples] -> page
Owner: MainThread. What it reads is published, hence durable.
Bound: SAMPLES_MAX. When it is reached, every other sample is dropped, and from then on only
       every second tick is kept, then every fourth: a day has as many samples as a minute.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import NamedTuple

from oms.market_data import Depth

SAMPLES_MAX = 600


class BookSample(NamedTuple):
    """One symbol at one moment; 0 ticks where there is no price.

    volume_lots: traded since the run began. bid_lots, ask_lots: on the levels that were read.
    """

    last_ticks: int
    volume_lots: int
    bid_ticks: int
    ask_ticks: int
    bid_lots: int
    ask_lots: int


class Sample(NamedTuple):
    """All symbols and the queue (but for cancels, which overtake), at_ns after the run began."""

    at_ns: int
    waiting: int
    books: dict[str, BookSample]


def book_sample(last_ticks: int, volume_lots: int, depth: Depth) -> BookSample:
    """Best prices and total quantity of what was read of a book."""
    bids, asks = depth
    return BookSample(
        last_ticks,
        volume_lots,
        bids[0][0] if bids else 0,
        asks[0][0] if asks else 0,
        _lots(bids),
        _lots(asks),
    )


def _lots(levels: Iterable[tuple[int, int]]) -> int:
    return sum(lots for _, lots in levels)


@dataclass(slots=True)
class Samples:
    """A bounded series of samples, evenly spaced."""

    kept: list[Sample] = field(default_factory=list)
    _every: int = 1
    _ticks: int = 0

    @property
    def due(self) -> bool:
        """Count one tick; is its sample to be kept?"""
        self._ticks += 1
        return (self._ticks - 1) % self._every == 0

    def add(self, sample: Sample) -> None:
        """Keep it, and thin out what would be too many."""
        self.kept.append(sample)
        if len(self.kept) >= SAMPLES_MAX:
            del self.kept[1::2]
            self._every *= 2
