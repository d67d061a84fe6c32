"""Places: how far a client was told, by the sequence of a turn and the number within it."""

from typing import NamedTuple


class Place(NamedTuple):
    """The last event that a client was told: turn, and number within it; None: the whole turn."""

    seq: int
    number: int | None

    def has(self, seq: int, number: int) -> bool:
        """Was this event told?"""
        return seq < self.seq or (
            seq == self.seq and (self.number is None or number <= self.number)
        )
