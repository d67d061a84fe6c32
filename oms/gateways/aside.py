"""Questions that take a while: answered on threads of their own, clients in turns.

Flow:  a gateway -> [aside] -> OrderManagement, the database -> the gateway, by a future
A candle of a day may be a million trades: on the gateway's thread a kill switch would wait for it.
Owner: the threads that run it (oms-history, oms-ask, oms-hash) ask; any thread may hand a question
       over. A lock guards what waits.
"""

import threading
from collections import OrderedDict, deque
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any

from oms.errors import StoppedError, ValidationError

QUESTIONS_MAX = 64
WAIT_S_MAX = 1.0

Question = Callable[[], Any]


class Aside:
    """A job of one thread or several. about: what it is asked, for the refusal.

    of_one_max: how many questions of one client may wait; those of no client, "", are bounded by
    questions_max alone, as all together are.
    """

    def __init__(
        self,
        questions_max: int = QUESTIONS_MAX,
        about: str = "questions about history",
        of_one_max: int = QUESTIONS_MAX,
    ) -> None:
        self._waiting: OrderedDict[str, deque[tuple[Question, Future[Any]]]] = OrderedDict()
        self._count = 0
        self._changed = threading.Condition()
        self._woken = False
        self._questions_max, self._about, self._of_one_max = questions_max, about, of_one_max

    def ask(self, question: Question, client: str = "") -> "Future[Any]":
        """The future of its answer.

        Raises ValidationError if too many wait already: of this client, naming the field `client`,
        or of all, naming `ask`.
        """
        answer: Future[Any] = Future()
        with self._changed:
            if client and len(self._waiting.get(client, ())) >= self._of_one_max:
                expected = f"at most {self._of_one_max} {self._about} of one client at once"
                raise ValidationError("client", client, expected)
            if self._count >= self._questions_max:
                expected = f"at most {self._questions_max} {self._about} at once"
                raise ValidationError("ask", "more", expected)
            self._waiting.setdefault(client, deque()).append((question, answer))
            self._count += 1
            self._changed.notify()
        return answer

    @property
    def waiting(self) -> int:
        """How many questions do."""
        return self._count

    def step(self) -> None:
        """Answer one question, or wait for one."""
        with self._changed:
            if not self._count and not self._woken:
                self._changed.wait(WAIT_S_MAX)
            if not self._count:
                return
            question, answer = self._next()
        if not answer.set_running_or_notify_cancel():
            return  # the client is gone
        try:
            answer.set_result(question())
        except Exception as error:  # it is the answer: the client is told
            answer.set_exception(error)

    def _next(self) -> tuple[Question, Future[Any]]:
        """The oldest of the client whose turn it is; its next one comes behind all others'."""
        client, own = next(iter(self._waiting.items()))
        found = own.popleft()
        self._count -= 1
        if own:
            self._waiting.move_to_end(client)
        else:
            del self._waiting[client]
        return found

    def wake(self) -> None:
        """The threads end: none waits for a question any more."""
        with self._changed:
            self._woken = True
            self._changed.notify_all()

    def finish(self) -> None:
        """What was not answered is not any more."""
        with self._changed:
            left = [self._next() for _ in range(self._count)]
        for _, answer in left:
            if answer.set_running_or_notify_cancel():
                answer.set_exception(StoppedError("stopped before it answered"))
