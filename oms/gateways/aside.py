"""Questions that take a while: answered on a thread of their own, one after another.

Flow:  control gateway -> [aside] -> OrderManagement, the database -> the gateway, by a future
A candle of a day may be a million trades: on the gateway's thread a kill switch would wait for it.
Owner: the thread oms-history asks; any thread may hand a question over.
"""

from collections.abc import Callable
from concurrent.futures import Future
from queue import Empty, Full, Queue

from oms.errors import StoppedError, ValidationError
from oms.gateways.wire import Told

QUESTIONS_MAX = 64
WAIT_S_MAX = 1.0

Question = Callable[[], Told]


class Aside:
    """The job of oms-history."""

    def __init__(self) -> None:
        self._questions: Queue[tuple[Question, Future[Told]] | None] = Queue(QUESTIONS_MAX)

    def ask(self, question: Question) -> "Future[Told]":
        """The future of its answer. Raises ValidationError if too many wait already."""
        answer: Future[Told] = Future()
        try:
            self._questions.put_nowait((question, answer))
        except Full:
            raise ValidationError(
                "ask", "more", f"at most {QUESTIONS_MAX} questions about history at once"
            ) from None
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
        """What was not answered is not any more."""
        while not self._questions.empty():
            given = self._questions.get_nowait()
            if given is not None:
                given[1].set_exception(StoppedError("stopped before it answered"))
