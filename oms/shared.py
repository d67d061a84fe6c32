"""Shared: what several front doors count and take together. It is given to them from outside: a
front door that is alone has nobody to count with.
"""

from collections.abc import Sequence
from typing import NamedTuple, Protocol


class Used(NamedTuple):
    """What one client used of an allowance. cost: of which; rate: tokens a second; burst: the most
    there are; tokens: how many were taken."""

    cost: str
    client: str
    rate: int
    burst: int
    tokens: float


class SharedCounts(Protocol):
    """Any thread; a call may wait for another machine. `take` and `settle` raise TransportError
    where that is out of reach; attempts are counted by this front door alone then."""

    def begin(self, what: str, name: str, address: str, now_ns: int) -> int:
        """As Attempts.begin, of all front doors."""
        ...

    def succeeded(self, what: str, name: str, address: str) -> None:
        """As Attempts.succeeded, of all front doors."""
        ...

    def take(self, used: Used) -> float | None:
        """Take tokens, if all front doors together have left so many. Returns how many are left,
        below 0 where nothing was taken: so many are missing; None: no other one uses the allowance,
        and they were taken."""
        ...

    def settle(self, used: Sequence[Used]) -> "list[float | None] | None":
        """Tell what was used here. Returns for each what is left for all together, below 0 where
        more was used than there was; None: no other one uses it. None in all: the counts were
        lost, nothing was counted, and all that is known here is to be told."""
        ...


class SharedNames(Protocol):
    """Names that are taken once, by whichever front door. What was taken before may be forgotten:
    nothing of then is taken. Any thread; a call may wait for another machine."""

    def memory(self) -> str:
        """The name of what is remembered now, another one once it was lost; "": out of reach."""
        ...

    def take(self, name: str, *, memory: str = "", at_ns: int = 0) -> bool | None:
        """False where it was taken before; None where that is not known: out of reach, forgotten.
        memory: what was remembered when the name was made; without it goes at_ns, the wall clock
        of when it was."""
        ...
