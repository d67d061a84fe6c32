"""Futures: resolve one, whatever its owner did to it."""

import logging
from concurrent.futures import Future
from typing import TypeVar

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
