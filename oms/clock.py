"""Time. Nobody else reads it: a test hands in a ManualClock and owns the time.

wall_ns is for stamps and trading hours and may jump; monotonic_ns is for durations,
throttles and time-outs and never goes back. The journal keeps both, as an Instant.
"""

import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple, Protocol

from oms.errors import ValidationError

NANOS = 1_000_000_000
BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


class Clock(Protocol):
    """Two readings, both in whole nanoseconds."""

    def wall_ns(self) -> int:
        """Nanoseconds since 1970-01-01 00:00 UTC."""
        ...

    def monotonic_ns(self) -> int:
        """Nanoseconds since some fixed point of this process; never decreases."""
        ...


Moment = int | datetime
"""Nanoseconds since 1970, or a datetime with a zone."""


class Instant(NamedTuple):
    """When a turn was; three numbers in nanoseconds, as no one of them does for all uses.

    wall_ns: the stamp that reports bear: the wall clock, but it never decreases.
    clock_ns: the wall clock as it was; what ends on a date (GTD, sessions) goes by it.
    elapsed_ns: grows as time passes, whatever the wall clock does; durations (rate limits,
        pauses, windows) go by it. Its scale is the wall clock's at the journal's first turn.
    """

    wall_ns: int
    clock_ns: int
    elapsed_ns: int


NEVER = Instant(0, 0, 0)


class SystemClock:
    """The machine's clocks, looked up at each call so that a test can freeze them."""

    def wall_ns(self) -> int:
        return time.time_ns()

    def monotonic_ns(self) -> int:
        return time.monotonic_ns()

    def boot(self) -> str:
        """Names the start of the machine: as long as it is the same, monotonic_ns goes on from
        one process to the next (Linux). "" where the machine does not say."""
        try:
            return BOOT_ID.read_text(encoding="ascii").strip()
        except (OSError, ValueError):
            return ""


class ManualClock:
    """A clock that stands still until it is told to move.

    An order manager with this clock does what became due as soon as the clock has moved; no real
    time has to pass. So a day of trading takes as long as its orders do.
    """

    def __init__(self, wall_ns: int = 1_700_000_000 * NANOS) -> None:
        self._wall_ns = wall_ns
        self._monotonic_ns = NANOS
        self._wakes: list[Callable[[], None]] = []
        self._lock = threading.Lock()

    @classmethod
    def at(cls, instant: datetime) -> "ManualClock":
        """A clock that shows `instant`, which must carry a time zone."""
        return cls(wall_ns_of(instant))

    def wall_ns(self) -> int:
        return self._wall_ns

    def monotonic_ns(self) -> int:
        return self._monotonic_ns

    def advance(self, seconds: float) -> None:
        """Let time pass on both clocks, 0 or more, and wake whoever waits for it.

        What became due is done before any request that is submitted after this call.
        """
        by_ns = _nanoseconds(seconds)
        if by_ns < 0:
            raise ValidationError("seconds", seconds, "0 or more")
        self._move(by_ns, by_ns)

    def jump(self, seconds: float) -> None:
        """Step the wall clock alone, either way, as NTP or an operator does."""
        self._move(_nanoseconds(seconds), 0)

    def _move(self, wall_ns: int, monotonic_ns: int) -> None:
        with self._lock:
            self._wall_ns += wall_ns
            self._monotonic_ns += monotonic_ns
            wakes = list(self._wakes)
        for wake in wakes:
            wake()

    def on_move(self, wake: Callable[[], None]) -> Callable[[], None]:
        """Have `wake` called whenever the clock has moved; returns what ends that."""
        with self._lock:
            self._wakes.append(wake)

        def end() -> None:
            with self._lock:
                self._wakes.remove(wake)

        return end


def _nanoseconds(seconds: float) -> int:
    """ValidationError on what is no number, or not finite."""
    try:
        return round((seconds + 0) * NANOS)  # a text times NANOS would be one of 4 GB
    except (TypeError, ValueError, OverflowError):
        raise ValidationError("seconds", seconds, "a number of seconds") from None


def pause(seconds: float) -> None:
    """Let other threads run; for callers who would otherwise keep them from it."""
    time.sleep(seconds)


def wall_ns_of(instant: datetime) -> int:
    """Exact nanoseconds since the epoch of an aware datetime."""
    assert instant.tzinfo is not None
    since = instant - datetime(1970, 1, 1, tzinfo=UTC)
    return (since.days * 86_400 + since.seconds) * NANOS + since.microseconds * 1_000


def datetime_of(wall_ns: int) -> datetime:
    """The UTC datetime of a stamp, cut to microseconds."""
    seconds, nanos = divmod(wall_ns, NANOS)
    return datetime.fromtimestamp(seconds, UTC).replace(microsecond=nanos // 1_000)


def utc_text(wall_ns: int) -> str:
    """A stamp for a person and a program: 2026-11-30T09:00:00Z, without fractions."""
    return f"{datetime_of(wall_ns):%Y-%m-%dT%H:%M:%SZ}"


def instant_ns(field: str, given: Moment) -> int:
    """An instant that a caller named; ValidationError naming the field."""
    if isinstance(given, datetime) and given.tzinfo is not None:
        return wall_ns_of(given)
    if type(given) is int and 0 <= given < 1 << 63:
        return given
    raise ValidationError(field, given, "nanoseconds since 1970, or a datetime with a zone")
