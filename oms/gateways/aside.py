"""Questions that take a while: answered on threads of their own, each one after another.

Flow:  a gateway -> [aside] -> OrderManagement, the database -> the gateway, by a future
A candle of a day may be a million trades: on the gateway's thread a kill switch would wait for it.
Owner: the threads that run it (oms-history, oms-ask, oms-hash) ask; any thread may hand a question
       over.
"""

from collections.abc import Callable
from concurrent.futures import Future
from queue import Empty, Full, Queue
from typing import Any

from oms.errors import StoppedError, ValidationError

QUESTIONS_MAX = 64
WAIT_S_MAX = 1.0

Question = Callable[[], Any]


class Aside:
    """A job of one thread or several. about: what it is asked, for the refusal."""

    def __init__(
        self, questions_max: int = QUESTIONS_MAX, about: str = "questions about history"
    ) -> None:
        self._questions: Queue[tuple[Question, Future[Any]] | None] = Queue(questions_max)
        self._questions_max, self._about = questions_max, about

    def ask(self, question: Question) -> "Future[Any]":
        """The future of its answer. Raises ValidationError if too many wait already."""
        answer: Future[Any] = Future()
        try:
            self._questions.put_nowait((question, answer))
        except Full:
            expected = f"at most {self._questions_max} {self._about} at once"
            raise ValidationError("ask", "more", expected) from None
        return answer

    def step(self) -> None:
        """Answer one question, or wait for one."""
        try:
            given = self._questions.get(timeout=WAIT_S_MAX)
        except Empty:
            return
        if given is None:
            return
        question, answer = given
        if not answer.set_running_or_notify_cancel():
            return  # the client is gone
        try:
            answer.set_result(question())
        except Exception as error:  # it is the answer: the client is told
            answer.set_exception(error)

    def wake(self) -> None:
        try:
            self._questions.put_nowait(None)
        except Full:  # then it does not wait
            return

    def finish(self) -> None:
        """What was not answered is not any more. The thread that ends takes the wakes of the others
        along, and so it leaves one for the next."""
        while True:
            try:
                given = self._questions.get_nowait()
            except Empty:
                return self.wake()
            if given is not None and given[1].set_running_or_notify_cancel():
                given[1].set_exception(StoppedError("stopped before it answered"))
