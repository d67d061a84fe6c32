"""Questions that take a while: the threads that answer them, and their end."""

import threading

import pytest

from oms.errors import StoppedError, ValidationError
from oms.gateways import aside
from oms.gateways.aside import Aside


def test_a_question_is_answered_or_its_error_told():
    job = Aside()
    good, bad = job.ask(lambda: 7), job.ask(lambda: 1 // 0)
    for _ in range(2):
        job.step()
    assert good.result(0) == 7
    with pytest.raises(ZeroDivisionError):
        bad.result(0)


def test_more_than_may_wait_are_refused():
    job = Aside(questions_max=1, about="questions of the database")
    job.ask(lambda: 7)
    with pytest.raises(ValidationError, match="at most 1 questions of the database"):
        job.ask(lambda: 8)


def test_what_was_not_answered_at_the_stop_says_so():
    job = Aside()
    left = job.ask(lambda: 7)
    job.finish()
    with pytest.raises(StoppedError):
        left.result(0)


def test_a_thread_that_ends_leaves_no_other_waiting(monkeypatch):
    """One of two threads has ended, and has emptied the queue of what woke the other."""
    monkeypatch.setattr(aside, "WAIT_S_MAX", 3_600)
    job = Aside()
    job.wake()
    job.wake()
    job.finish()
    other = threading.Thread(target=job.step, daemon=True)
    other.start()
    other.join(30)
    assert not other.is_alive()
