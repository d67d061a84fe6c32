"""Who asked, to be told what became of a request; mostly a future, which knows which thread has to
resolve it, and is not waited for there.

Flow:  manager -> [answer] -> inbox -> dispatcher -> publisher -> [answer] -> caller
"""

from concurrent.futures import Future
from threading import get_ident
from typing import Generic, Protocol, TypeVar

from oms.errors import DeadlockError

T = TypeVar("T")
T_contra = TypeVar("T_contra", contravariant=True)


class Turns(Protocol):
    """thread_id: of the thread that is taking a turn now; 0 between turns."""

    thread_id: int


class Asker(Generic[T_contra]):
    """Who is told the outcome of one request, once.

    On the dispatcher's thread, after the commit: it must not wait. On the caller's own where the
    request was refused before it came so far.
    """

    __slots__ = ()

    def told(self, outcome: T_contra) -> None:
        raise NotImplementedError

    def failed(self, error: BaseException) -> None:
        """The outcome is unknown. May come after `told`; then it says nothing."""
        raise NotImplementedError


class Answer(Future[T], Asker[T]):
    """Resolved by the dispatcher.

    turns: the dispatcher; set right after the construction, since a constructor in Python would
    cost each request a call.
    """

    turns: Turns

    def told(self, outcome: T) -> None:
        if self.set_running_or_notify_cancel():
            self.set_result(outcome)

    def failed(self, error: BaseException) -> None:
        if not self.done() and self.set_running_or_notify_cancel():
            self.set_exception(error)

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
