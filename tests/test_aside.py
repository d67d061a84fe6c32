"""Questions that take a while: the threads that answer them, and their end."""

import threading
from functools import partial

import pytest
from hypothesis import given
from hypothesis import strategies as st

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


def test_more_of_one_client_than_may_wait_are_refused_and_of_others_taken():
    job = Aside(questions_max=3, of_one_max=2)
    for _ in range(2):
        job.ask(int, "ann")
    with pytest.raises(ValidationError, match="client: expected at most 2 questions"):
        job.ask(int, "ann")
    job.ask(int, "bob")
    with pytest.raises(ValidationError, match="ask: expected at most 3 questions"):
        job.ask(int, "eve")
    job.step()
    job.ask(int, "ann")


@given(st.lists(st.sampled_from(["", "ann", "bob", "eve"]) | st.none(), max_size=60))
def test_clients_take_turns_and_each_is_answered_in_order(steps):
    """None answers one question; a name asks one. Against queues that are gone round by hand."""
    job, answered, wanted = Aside(questions_max=100), [], []
    queues, number = {}, 0
    for name in [*steps, *[None] * len(steps)]:
        if name is not None:
            number += 1
            job.ask(partial(answered.append, (name, number)), name)
            queues.setdefault(name, []).append(number)
        elif queues:
            job.step()
            first = next(iter(queues))
            own = queues.pop(first)
            wanted.append((first, own.pop(0)))
            if own:
                queues[first] = own
    assert answered == wanted
    assert sorted(n for _, n in answered) == list(range(1, number + 1))


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
