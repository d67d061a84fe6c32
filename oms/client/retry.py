"""Retry: what an answer says about a request, and how long to wait before it is sent again.

Pure: no time, no I/O. A request that bears an id of its own may be sent again and again, as it is
done once; what must be known in the end is whether it may have been done at all.
"""

import json
import random
from enum import Enum
from typing import Any, NamedTuple

from oms.clock import NANOS, Clock
from oms.errors import ServerError, UnansweredError
from oms.reject_reasons import REASONS

FIRST_S, LATEST_S = 0.05, 2.0  # of the pauses, before chance halves them at most
LATER_S_MAX = 30.0  # a server may ask for no longer pause
OF_HTTP = {
    "UNAUTHORIZED": 401, "FORBIDDEN": 403, "NOT_FOUND": 404, "METHOD_NOT_ALLOWED": 405,
    "TOO_LARGE": 413, "TOO_SLOW": 408, "TOO_MANY_REQUESTS": 429, "UNSUPPORTED": 400,
    "OUTCOME_UNKNOWN": 504, "UNAVAILABLE": 503, "INTERNAL": 500,
}  # fmt: skip


class Verdict(Enum):
    """DONE: this is the answer. LATER: nothing was done, it may be later. WHO: nothing was done, as
    the token or the signature is not good. DOUBT: nobody knows whether it was done. NEVER: nothing
    was done, nor ever will be."""

    DONE = "done"
    LATER = "later"
    WHO = "who"
    DOUBT = "doubt"
    NEVER = "never"


class Error(NamedTuple):
    """The error object of an answer."""

    code: str
    message: str
    field: str


def error_of(told: object) -> Error | None:
    """None: the answer has no error object, as every error of the server's own has."""
    found = told.get("error") if isinstance(told, dict) else None
    if not isinstance(found, dict) or not isinstance(found.get("code"), str):
        return None
    return Error(found["code"], str(found.get("message") or ""), str(found.get("field") or ""))


def verdict_of(status: int, error: Error | None) -> Verdict:
    """A 429 or 503 that is not the server's own, but of a proxy before it, says nothing."""
    if 200 <= status < 300:
        return Verdict.DONE if error is None else Verdict.DOUBT
    if error is None or (status >= 500 and status != 503):
        return Verdict.DOUBT
    if status in (408, 429, 503):
        return Verdict.LATER
    return Verdict.WHO if status == 401 else Verdict.DONE


def status_of(code: str) -> int:
    """The status of HTTP that an error has which comes over a WebSocket; 500 if it is unknown."""
    reason = REASONS.get(code)
    return reason.http if reason is not None else OF_HTTP.get(code, 500)


def retry_after_s(text: str | None) -> float:
    """What a Retry-After header asks for, up to LATER_S_MAX; 0 if it says nothing of seconds."""
    if text is None or not (text.isascii() and text.isdecimal() and len(text) < 10):
        return 0.0
    return min(float(text), LATER_S_MAX)


def parsed(content: bytes) -> Any:
    """The value of a JSON text; None if it is none."""
    try:
        return json.loads(content)
    except (ValueError, RecursionError):
        return None


class FailedError(Exception):
    """One try: there was no answer, or none that is one. later_s: what the server asks to wait."""

    def __init__(self, verdict: Verdict, error: ServerError, later_s: float = 0.0) -> None:
        super().__init__(str(error))
        self.verdict, self.error, self.later_s = verdict, error, later_s


class Backoff:
    """The pauses between tries: each twice as long as the one before, less up to half by chance, so
    that clients who lost the same server do not come back all at once."""

    def __init__(self, chance: random.Random) -> None:
        self._chance = chance
        self._next_s = FIRST_S

    def pause_s(self, at_least_s: float = 0.0) -> float:
        pause_s = self._next_s * self._chance.uniform(0.5, 1.0)
        self._next_s = min(2 * self._next_s, LATEST_S)
        return max(pause_s, at_least_s)

    def reset(self) -> None:
        self._next_s = FIRST_S


class Tries:
    """The tries of one request. effect: it does something, which its id has done once.

    patience_s: so long the server may say that it knows no such token or signature; one try with
    another token there is in any case.
    """

    def __init__(
        self, name: str, effect: bool, clock: Clock, retry_s: float, patience_s: float,
        backoff: Backoff,
    ) -> None:  # fmt: skip
        self._name, self._effect, self._clock, self._backoff = name, effect, clock, backoff
        self._patience_ns = int(patience_s * NANOS)
        self._ends_ns = clock.monotonic_ns() + int(retry_s * NANOS)
        self._unknown_since_ns: int | None = None  # token or signature
        self.count = 0
        self.in_doubt = False

    def pause_s(self, failed: FailedError) -> float:
        """How long to wait before the next try. Raises what there is to say if there is none."""
        self.count += 1
        self.in_doubt |= failed.verdict is Verdict.DOUBT
        now_ns = self._clock.monotonic_ns()
        pause_s = self._backoff.pause_s(failed.later_s)
        over = now_ns + int(pause_s * NANOS) > self._ends_ns
        if failed.verdict is Verdict.WHO:
            if self._unknown_since_ns is None:
                self._unknown_since_ns = now_ns
                return pause_s
            over = now_ns - self._unknown_since_ns >= self._patience_ns
        if over or failed.verdict is Verdict.NEVER:
            raise self.outcome(failed.error) from failed.error
        return pause_s

    @property
    def is_over(self) -> bool:
        return self._clock.monotonic_ns() > self._ends_ns

    def outcome(self, error: ServerError) -> ServerError:
        """What is known in the end."""
        if not (self.in_doubt and self._effect):
            return error
        said = f"{self._name}: nobody says what became of it in {self.count} tries; {error}"
        return UnansweredError(said, status=error.status, code=error.code, field=error.field)
