"""The checker of histories is itself checked: against brute force, and by planted faults."""

from itertools import permutations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.examples import many
from tests.scale.linear import NEVER, UNTOLD, Call, TooLongError, parts, why_not
from tests.scale.twin import Cancel, Exchange, Look, Owned, Place, Transfer

TWIN = Exchange({("ann", "USD"): 100, ("bob", "B"): 5})
MARKET = "B_USD"


def brute(calls, twin):
    """Whether any order of all known calls and any of the unknown ones explains the answers."""
    touched = frozenset().union(*(each.asked.touches for each in calls))
    known, unknown = [[each for each in calls if each.known is it] for it in (True, False)]
    for chosen in range(1 << len(unknown)):
        some = known + [each for at, each in enumerate(unknown) if chosen >> at & 1]
        for order in permutations(some):
            if in_time(order) and answers_alike(order, twin, touched):
                return True
    return False


def in_time(order):
    """No call comes before one that ended before it began."""
    return all(
        later.ended >= earlier.begun
        for at, earlier in enumerate(order)
        for later in order[at + 1 :]
    )


def answers_alike(order, twin, touched):
    state = twin.begin(touched)
    for call in order:
        state, answer = twin.apply(state, call.asked)
        if call.known and call.answer is not UNTOLD and answer != call.answer:
            return False
    return True


accounts = st.sampled_from(("ann", "bob"))
names = st.sampled_from(("a", "b"))
few = st.integers(1, 3)
asked = st.one_of(
    st.builds(Place, accounts, names, st.just(MARKET), st.sampled_from(("BUY", "SELL")), few,
              st.integers(20, 40)),
    st.builds(Cancel, accounts, st.sampled_from(("c", "d")), st.just(MARKET), names),
    st.builds(Look, accounts, st.just(MARKET), names),
    st.builds(Transfer, accounts, st.sampled_from(("t", "u")), accounts, st.just("USD"),
              st.integers(1, 70)),
    st.builds(Owned, accounts, st.just(MARKET)),
)  # fmt: skip


@st.composite
def histories(draw):
    """Answers are the twin's in an order of its own, but for some that are of another call, or that
    nobody heard; calls overlap, and of some the outcome is unknown."""
    wishes = draw(st.lists(asked, min_size=1, max_size=5))
    state, told = TWIN.begin(frozenset(("account ann", "account bob"))), []
    for each in wishes:
        state, answer = TWIN.apply(state, each)
        told.append(answer)
    calls = []
    for place, each in enumerate(wishes):
        begun = place - draw(st.integers(0, 2)) * 1.5
        ended = draw(st.sampled_from((place + 0.4, place + 1.6, place + 3.1, NEVER)))
        answer = draw(st.sampled_from((told[place], told[place], *told, UNTOLD)))
        calls.append(Call("", each, answer, begun, ended))
    return draw(st.permutations(calls))


@given(histories())
@settings(max_examples=many(300))
def test_the_search_says_what_brute_force_says(calls):
    assert (why_not(calls, TWIN) is None) == brute(calls, TWIN)


# --- a history as clients see one, and what may be wrong with it ---


def history():
    """Two accounts trade, cancel, pay and look; one order's fate is unknown to who placed it."""
    steps = [
        (0, 1, Place("ann", "a1", MARKET, "BUY", 2, 30), ("NEW", 0)),
        (2, 3, Owned("ann", MARKET), ((0, 0), (40, 60))),
        (4, NEVER, Place("bob", "b1", MARKET, "SELL", 1, 30), None),
        (5, 6, Look("ann", MARKET, "a1"), ("PARTIALLY_FILLED", 1)),
        (7, 8, Look("bob", MARKET, "b1"), ("FILLED", 1)),
        (9, 12, Cancel("ann", "c1", MARKET, "a1"), (True, 1)),
        (10, 11, Look("ann", MARKET, "a1"), ("PARTIALLY_FILLED", 1)),
        (13, 14, Place("bob", "b2", MARKET, "SELL", 1, 30), ("NEW", 0)),
        (15, 16, Transfer("ann", "t1", "bob", "USD", 50), True),
        (17, 18, Owned("ann", MARKET), ((1, 0), (20, 0))),
        (19, 20, Owned("bob", MARKET), ((3, 1), (80, 0))),
        (21, 22, Look("ann", MARKET, "a1"), ("CANCELED", 1)),
    ]
    return [Call(what.account, what, answer, *when) for *when, what, answer in steps]


def changed(at, answer):
    calls = history()
    calls[at] = calls[at]._replace(answer=answer)
    return calls


PLANTED = {
    "a stale look, as of a mirror that lags": changed(11, ("PARTIALLY_FILLED", 1)),
    "stale balances": changed(9, ((1, 0), (70, 0))),
    "a fill that is told before it is there": changed(1, ((0, 0), (70, 30))),
    "an order that was answered is lost": changed(6, None),
    "an order is not there though it was taken": [
        changed(0, UNTOLD)[0], Call("x", Look("ann", MARKET, "a1"), None, 2, 3),
    ],
    "a transfer is done twice": changed(10, ((3, 1), (130, 0))),
    "a transfer is half done": changed(10, ((3, 1), (30, 0))),
    "an order is filled after its cancel was answered": changed(7, ("FILLED", 1)),
    "a cancel is answered twice as done": [
        *history(), Call("x", Cancel("ann", "c2", MARKET, "a1"), (True, 1), 23, 24),
    ],
    "an order that nobody placed": [*history(), Call("x", Look("bob", MARKET, "b9"), ("NEW", 0),
                                                     23, 24)],
    "an unknown order comes, goes, and comes again": changed(4, None),
    "money out of nothing": changed(8, False),
}  # fmt: skip


def test_a_history_is_explained_also_where_an_outcome_was_unknown():
    assert why_not(history(), TWIN) is None
    assert brute(history()[:8], TWIN)


@pytest.mark.parametrize("fault", PLANTED)
def test_a_planted_fault_is_seen(fault):
    found = why_not(PLANTED[fault], TWIN)
    assert found is not None
    assert "expected" in str(found)


def test_what_shares_nothing_is_searched_alone():
    """A transfer joins two accounts, a market those who trade there."""
    calls = [
        Call("", Place("ann", "1", "B_USD", "BUY", 1, 1), ("NEW", 0), 0, 1),
        Call("", Owned("cid", "C_USD"), ((0, 0), (0, 0)), 2, 3),
        Call("", Transfer("bob", "t", "ann", "USD", 9), False, 4, 5),
        Call("", Place("cid", "1", "C_USD", "BUY", 1, 1), ("REJECTED", 0), 6, 7),
        Call("", Look("dan", "D_USD", "1"), None, 8, NEVER),
    ]
    assert [[calls.index(each) for each in part] for part in parts(calls)] == [[0, 2], [1, 3]]


def test_a_search_that_is_too_long_says_so(monkeypatch):
    monkeypatch.setattr("tests.scale.linear.STEPS_MAX", 3)
    with pytest.raises(TooLongError):
        why_not(history(), TWIN)
