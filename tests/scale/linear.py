"""Linearizability: is there one order of all calls that explains what every client was answered?

A history is linearizable if each call can be given an instant between its begin and its end, so
that a sequential twin, asked in the order of these instants, answers the same (Herlihy and Wing).
The search is that of Wing and Gong with the memory of Lowe: depth first over the calls that may be
next, and no pair of calls done and state is tried twice. Calls that share no account and no market
cannot tell of each other, so each such part is searched alone (as Porcupine and Knossos do by key).
"""

from collections.abc import Hashable, Sequence
from typing import Any, NamedTuple, Protocol

STEPS_MAX = 300_000  # of one part; a search that takes more says so
NEVER = float("inf")
UNTOLD = object()
"""In place of an answer: it took effect by its end, and what it was answered then, nobody heard."""


class Operation(Protocol):
    """What a client asks. touches: names of all that it depends on or changes. reads: it changes
    nothing, whatever the state."""

    @property
    def touches(self) -> frozenset[str]: ...
    @property
    def reads(self) -> bool: ...


class Twin(Protocol):
    """The sequential model."""

    def begin(self, touched: frozenset[str]) -> Hashable:
        """The state before the first call, of what is touched."""

    def apply(self, state: Any, asked: Any) -> tuple[Hashable, Any]:
        """State and answer after a call."""


class Call(NamedTuple):
    """One call of a client. ended: NEVER where its outcome is unknown: then it took effect at some
    time after its begin, or not at all, and `answer` says nothing."""

    client: str
    asked: Operation
    answer: Any
    begun: float
    ended: float

    @property
    def known(self) -> bool:
        return self.ended != NEVER


class Stuck(NamedTuple):
    """Why a part is not linearizable. done: the longest way that was found, in its order; left:
    known calls of which one should have been next, each with what the twin says instead."""

    done: tuple[Call, ...]
    left: tuple[tuple[Call, Any], ...]

    def __str__(self) -> str:
        done = "\n".join(f"  {each.client}: {each.asked} -> {each.answer}" for each in self.done)
        left = "\n".join(
            f"  {each.client}: {each.asked} -> {each.answer}, expected {expected}"
            for each, expected in self.left
        )
        return f"after\n{done}\nnone of these can be next\n{left}"


class TooLongError(Exception):
    """The search was given up: nothing is known."""


def why_not(calls: Sequence[Call], twin: Twin) -> Stuck | None:
    """None: the history is linearizable. Raises TooLongError."""
    for part in parts(calls):
        found = _search(part, twin)
        if found is not None:
            return found
    return None


def parts(calls: Sequence[Call]) -> list[list[Call]]:
    """Calls that depend on each other, by way of others or not, in the order of their begins."""
    above: dict[str, str] = {}

    def root(name: str) -> str:
        while above.setdefault(name, name) != name:
            above[name] = name = above[above[name]]
        return name

    for call in calls:
        first, *others = sorted(call.asked.touches)
        for name in others:
            above[root(name)] = root(first)
    found: dict[str, list[Call]] = {}
    for call in sorted(calls, key=lambda each: each.begun):
        if call.known or not call.asked.reads:  # a look without an answer says nothing
            found.setdefault(root(min(call.asked.touches)), []).append(call)
    return list(found.values())


class _Node:
    """A state on the way. done: a bit for each call; path: how it was reached; tried: what may be
    next and was not tried."""

    __slots__ = ("done", "path", "state", "untried")

    def __init__(self, done: int, state: Any, path: Any, untried: list[int]) -> None:
        self.done, self.state, self.path, self.untried = done, state, path, untried


def _search(calls: list[Call], twin: Twin) -> Stuck | None:
    """Depth first. What ends first is tried first; what is unknown, last."""
    touched = frozenset().union(*(each.asked.touches for each in calls))
    needed = sum(1 << place for place, each in enumerate(calls) if each.known)
    seen: set[tuple[int, Any]] = set()
    best, steps = _Node(0, twin.begin(touched), None, []), 0
    best.untried = _candidates(calls, 0)
    stack = [best]
    while stack:
        node = stack[-1]
        if node.done & needed == needed:
            return None
        if not node.untried:
            stack.pop()
            continue
        steps += 1
        if steps > STEPS_MAX:
            raise TooLongError(f"{len(calls)} calls, {len(seen)} states")
        place = node.untried.pop()
        call = calls[place]
        state, answer = twin.apply(node.state, call.asked)
        if call.known and call.answer is not UNTOLD and answer != call.answer:
            continue
        if call.asked.reads:  # it hinders nothing, so it need not be tried later as well
            node.untried.clear()
        done = node.done | 1 << place
        if (done, state) in seen:
            continue
        seen.add((done, state))
        stack.append(_Node(done, state, (node.path, place), _candidates(calls, done)))
        if (done & needed).bit_count() > (best.done & needed).bit_count():
            best = stack[-1]
    return _stuck(calls, best, twin)


def _candidates(calls: list[Call], done: int) -> list[int]:
    """Calls that may be next: those that began before any other one ended; the best one last."""
    until, found = NEVER, []
    for place, call in enumerate(calls):
        if done >> place & 1:
            continue
        if call.begun > until:
            break
        found.append(place)
        until = min(until, call.ended)
    found = [place for place in found if calls[place].begun <= until]
    found.sort(key=lambda place: (-calls[place].ended, -calls[place].begun))
    return found


def _stuck(calls: list[Call], best: _Node, twin: Twin) -> Stuck:
    order, path = [], best.path
    while path is not None:
        path, place = path
        order.append(calls[place])
    left = tuple(
        (calls[place], twin.apply(best.state, calls[place].asked)[1])
        for place in _candidates(calls, best.done)
        if calls[place].known
    )
    return Stuck(tuple(reversed(order)), left)
