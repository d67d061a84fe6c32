"""How often, how long, and what is said in the end: against a twin that keeps a list."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oms import ManualClock
from oms.client.retry import (
    LATER_S_MAX,
    LATEST_S,
    OF_HTTP,
    Backoff,
    Error,
    FailedError,
    Tries,
    Verdict,
    error_of,
    parsed,
    retry_after_s,
    status_of,
    verdict_of,
)
from oms.errors import ServerError, UnansweredError
from oms.gateways.web.errors import NUMBERS
from oms.reject_reasons import RejectReason

NO_ERROR, AN_ERROR = None, Error("SOME", "so", "")


@pytest.mark.parametrize(
    ("status", "error", "verdict"),
    [
        (201, NO_ERROR, Verdict.DONE), (200, AN_ERROR, Verdict.DOUBT),
        (302, NO_ERROR, Verdict.DOUBT), (400, AN_ERROR, Verdict.DONE),
        (401, AN_ERROR, Verdict.WHO), (404, NO_ERROR, Verdict.DOUBT),
        (408, AN_ERROR, Verdict.LATER), (422, AN_ERROR, Verdict.DONE),
        (429, AN_ERROR, Verdict.LATER), (429, NO_ERROR, Verdict.DOUBT),
        (500, AN_ERROR, Verdict.DOUBT), (502, NO_ERROR, Verdict.DOUBT),
        (503, AN_ERROR, Verdict.LATER), (503, NO_ERROR, Verdict.DOUBT),
        (504, AN_ERROR, Verdict.DOUBT),
    ],
)  # fmt: skip
def test_what_an_answer_says_of_its_request(status, error, verdict):
    assert verdict_of(status, error) is verdict


def test_every_error_of_the_server_has_a_status_over_a_socket_too():
    assert set(OF_HTTP) == set(NUMBERS)
    assert all(status_of(reason.value) == reason.http for reason in RejectReason)
    assert status_of("NO_SUCH_CODE") == 500


def test_what_is_no_error_object_is_none():
    for told in (None, [], {}, {"error": 1}, {"error": {}}, {"error": {"code": 5}}):
        assert error_of(told) is None
    assert error_of({"error": {"code": "X", "message": None}}) == Error("X", "", "")
    for content in (b"", b"{", b"\xff", b"[" * 100_000):
        assert parsed(content) is None


@given(st.text())
def test_a_retry_after_is_seconds_within_a_bound_or_nothing(text):
    assert 0 <= retry_after_s(text) <= LATER_S_MAX


def test_a_retry_after_of_seconds_is_heeded():
    assert [retry_after_s(text) for text in (None, "2", "9999", "1.5", "-1", "\u0663")] == [
        0, 2, LATER_S_MAX, 0, 0, 0,
    ]  # fmt: skip


@given(st.integers(0, 2**32), st.integers(1, 30))
def test_pauses_grow_to_a_bound_and_differ_by_chance(seed, count):
    pauses = [each.pause_s() for each in [Backoff(random.Random(seed))] for _ in range(count)]
    longest = [min(0.05 * 2**n, LATEST_S) for n in range(count)]
    assert all(most / 2 <= pause <= most for pause, most in zip(pauses, longest, strict=True))
    backoff = Backoff(random.Random(seed))
    assert backoff.pause_s(7) == 7


VERDICTS = st.sampled_from([Verdict.LATER, Verdict.DOUBT, Verdict.WHO, Verdict.NEVER])


@given(
    st.lists(st.tuples(VERDICTS, st.floats(0, 3)), min_size=1, max_size=40), st.booleans(),
    st.integers(0, 2**32),
)  # fmt: skip
def test_the_end_says_whether_it_may_have_been_done(story, effect, seed):
    """The twin: it is over after ten seconds, at NEVER, and at a second WHO; in doubt, if any try
    was and if it does something."""
    clock = ManualClock()
    tries = Tries("a-1", effect, clock, 10.0, 0.0, Backoff(random.Random(seed)))
    began_ns, doubted, unknown = clock.monotonic_ns(), False, 0
    for verdict, takes_s in story:
        clock.advance(takes_s)
        doubted |= verdict is Verdict.DOUBT
        unknown += verdict is Verdict.WHO
        failed = FailedError(verdict, ServerError("so", status=500, code="SO"))
        left_s = 10.0 - (clock.monotonic_ns() - began_ns) / 10**9
        ends = verdict is Verdict.NEVER or (verdict is Verdict.WHO and unknown > 1)
        try:
            pause_s = tries.pause_s(failed)
        except ServerError as error:
            assert ends or (verdict is not Verdict.WHO and left_s <= LATEST_S)
            assert isinstance(error, UnansweredError) == (doubted and effect)
            assert (error.status, error.code) == (500, "SO")
            return
        assert not ends
        assert verdict is Verdict.WHO or pause_s <= left_s
        clock.advance(pause_s)
