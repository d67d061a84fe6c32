"""Futures: resolve one, whatever its owner did to it; one outcome of several."""

import logging
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from typing import Any, TypeVar

log = logging.getLogger(__name__)

T = TypeVar("T")


def settle(answer: Future[T], result: T | None, error: BaseException | None = None) -> None:
    """It may be running already, canceled or resolved; and what a callback of it raises is logged,
    so that the thread that tells answers goes on."""
    try:
        if answer.running() or (not answer.done() and answer.set_running_or_notify_cancel()):
            if error is not None:
                answer.set_exception(error)
            else:
                answer.set_result(result)  # type: ignore[arg-type]
    except BaseException:
        log.exception("a future, or a callback of it, failed")


def when_done(
    future: Future[T], told: Callable[[T], object], failed: Callable[[BaseException], object]
) -> None:
    """Call one of the two with the outcome, on the thread that settles it."""

    def done(_: Future[T]) -> None:
        error = future.exception()
        if error is not None:
            failed(error)
        else:
            told(future.result())

    future.add_done_callback(done)


def gathered(futures: Sequence[Future[Any]], made: Callable[[list[Any]], T]) -> Future[T]:
    """One outcome of several, in their order; the first error is its own, and so is what `made`
    raises."""
    return when_all(futures, lambda: made([each.result() for each in futures]))


def when_all(futures: Sequence[Future[Any]], made: Callable[[], T]) -> Future[T]:
    """The outcome is what `made` returns or raises, once all of them are done."""
    outcome: Future[T] = Future()
    left, lock = len(futures), threading.Lock()

    def finish() -> None:
        try:
            settle(outcome, made())
        except Exception as error:
            settle(outcome, None, error)

    def done(_: Future[Any]) -> None:
        nonlocal left
        with lock:
            left -= 1
            if left:
                return
        finish()

    if not futures:
        finish()
    for each in futures:
        each.add_done_callback(done)
    return outcome
