"""A future that knows which thread has to resolve it, and is not waited for there.

Flow:  manager -> [answer] -> inbox -> dispatcher -> publisher -> [answer] -> caller
"""

from collections.abc import Callable
from concurrent.futures import Future
from threading import get_ident
from typing import Protocol, TypeVar

from oms.errors import DeadlockError

T = TypeVar("T")


class Turns(Protocol):
    """thread_id: of the thread that is taking a turn now; 0 between turns."""

    thread_id: int


class Answer(Future[T]):
    """Resolved by the dispatcher.

    turns: the dispatcher; set right after the construction, since a constructor in Python would
    cost each request a call.
    """

    turns: Turns

    def result(self, timeout: float | None = None) -> T:
        """As of any Future. Raises DeadlockError on the dispatcher's thread, in a listener say,
        if there is no result yet: it could not come while that thread waits."""
        self._check()
        return super().result(timeout)

    def exception(self, timeout: float | None = None) -> BaseException | None:
        self._check()
        return super().exception(timeout)

    def _check(self) -> None:
        if self.turns.thread_id == get_ident() and not self.done():
            raise DeadlockError("waiting for an answer on the thread that has to give it")


def answer_of(turns: Turns) -> "Answer[T]":
    """One that is under way: what was handed over cannot be called back."""
    answer: Answer[T] = Answer()
    answer.turns = turns
    answer.set_running_or_notify_cancel()
    return answer


class Callback(Future[T]):
    """An answer that nobody waits for: a function is called with it, or with None where the outcome
    is unknown. A Future's lock and condition cost an order more than its matching."""

    def __init__(self, call: Callable[[T | None], object]) -> None:
        self._call = call
        self._over = False

    def set_running_or_notify_cancel(self) -> bool:
        return True

    def running(self) -> bool:
        return False

    def done(self) -> bool:
        return self._over

    def set_result(self, result: T) -> None:
        self._over = True
        self._call(result)

    def set_exception(self, exception: BaseException | None) -> None:  # noqa: ARG002 - of any kind
        self._over = True
        self._call(None)
