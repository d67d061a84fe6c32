"""Futures: one outcome by another, or by several."""

from concurrent.futures import Future

import pytest

from oms.futures import gathered, settle, when_all, when_done


def test_one_of_two_is_called_with_the_outcome():
    told, failed = [], []
    good, bad = Future(), Future()
    for each in (good, bad):
        when_done(each, told.append, failed.append)
    assert (told, failed) == ([], [])
    settle(good, 7)
    error = ValueError("no")
    settle(bad, None, error)
    assert (told, failed) == ([7], [error])
    when_done(good, told.append, failed.append)  # it is done already
    assert told == [7, 7]


def test_one_outcome_of_several_comes_with_the_last():
    several = [Future() for _ in range(3)]
    together = gathered(several, sum)
    for each in reversed(several):
        assert not together.done()
        settle(each, 2)
    assert together.result(0) == 6
    assert gathered([], sum).result(0) == 0


def test_an_error_of_one_does_not_end_the_wait_for_the_others():
    one, other = Future(), Future()
    outcome = when_all([one, other], lambda: (one.exception(), other.result()))
    error = ValueError("no")
    settle(one, None, error)
    assert not outcome.done()
    settle(other, 1)
    assert outcome.result(0) == (error, 1)
    with pytest.raises(ValueError, match="no"):
        gathered([one, other], list).result(0)
