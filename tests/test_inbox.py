"""The inbox: the one hand-over between threads; bounded, never waited for by who puts in."""

import threading

import pytest

from oms.turn.inbox import Inbox
from tests.fakes import SOON_S, buy


def item(n):
    return (buy(f"#{n}", 1, 100).line, n, None)


def test_it_hands_over_in_order_and_in_batches():
    """Oldest first, at most as many as asked for."""
    inbox = Inbox(10)
    for n in range(5):
        assert inbox.put(item(n))
    assert [taken[1] for taken in inbox.take(3, 0)] == [0, 1, 2]
    assert [taken[1] for taken in inbox.take(3, 0)] == [3, 4]
    assert inbox.take(3, 0) == []
    assert (inbox.size, inbox.peak) == (0, 5)


def test_its_bound_is_exact_and_the_urgent_have_twice_the_room():
    """What the session keeper and a venue say is taken whatever the size."""
    inbox = Inbox(2)
    assert [inbox.put(item(n)) for n in range(3)] == [True, True, False]
    assert [inbox.put(item(n), urgent=True) for n in range(3)] == [True, True, False]
    inbox.notice(item(9))
    assert inbox.size == 5


def test_a_closed_one_takes_no_requests_but_gives_back_what_it_has():
    """A stop answers what was handed over before it."""
    inbox = Inbox(2)
    inbox.put(item(1))
    inbox.close()
    assert not inbox.put(item(2))
    assert not inbox.put(item(2), urgent=True)
    inbox.notice(item(3))
    assert [taken[1] for taken in inbox.take(9, 0)] == [1, 3]


@pytest.mark.parametrize("how", ["put", "notice", "wake", "close"])
def test_whoever_waits_is_woken(how):
    """By an item, by a notice, by a call; not by the end of its patience."""
    # given a thread that waits for an item
    inbox, taken = Inbox(2), []
    waiter = threading.Thread(target=lambda: taken.append(inbox.take(9, SOON_S * 6)))
    waiter.start()

    # when something happens
    arguments = {"put": [item(1)], "notice": [item(1)]}.get(how, [])
    getattr(inbox, how)(*arguments)

    # then it goes on at once
    waiter.join(SOON_S)
    assert not waiter.is_alive()
    assert len(taken[0]) == len(arguments)


def test_a_call_before_the_wait_is_not_lost():
    """The taker was busy when it was called; it does not sleep afterwards."""
    inbox = Inbox(2)
    inbox.wake()
    assert inbox.take(9, SOON_S * 6) == []
