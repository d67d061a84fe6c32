"""Circuit: whether a dependency, such as Redis or Postgres, is worth a call now."""

from oms.clock import NANOS

BACKOFF_NS_MIN, BACKOFF_NS_MAX = NANOS // 20, 2 * NANOS
FAILURES_MAX = 3  # in a row; then the circuit is open


class Circuit:
    """Closed: it is. Open: after some failures in a row; then one call in a while tries whether it
    is back. Times are monotonic nanoseconds; any thread."""

    def __init__(self) -> None:
        self.failures = 0
        self.losses = 0  # how often it began to fail
        self.why = ""
        self._again_ns = 0

    @property
    def open(self) -> bool:
        return self.failures >= FAILURES_MAX

    @property
    def state(self) -> str:
        """ok, failing (the latest call did), or open."""
        return "open" if self.open else "failing" if self.failures else "ok"

    def may_try(self, now_ns: int) -> bool:
        return now_ns >= self._again_ns

    def failed(self, now_ns: int, why: str) -> None:
        pause_ns = min(BACKOFF_NS_MIN << min(self.failures, 10), BACKOFF_NS_MAX)
        self.losses += not self.failures
        self.failures += 1
        self.why = why
        self._again_ns = now_ns + pause_ns

    def succeeded(self) -> None:
        if self.failures:
            self.failures, self.why, self._again_ns = 0, "", 0
