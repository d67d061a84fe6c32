"""Watcher: looks again and again, and connects anew when the connection is lost.

Flow:  source -> [watcher] -> Seen -> screen
Owner: a thread of its own. `want` and `seen` are for the screen's: one lock is held while what is
       wanted and what was seen are exchanged, and for nothing else.
"""

import threading
from collections.abc import Callable

from oms.clock import NANOS, Clock
from oms.errors import OMSError
from oms.top.seen import Market, Overview, Seen
from oms.top.sources import ROWS_MAX, Source

OVERVIEW_NS = NANOS  # markets and status are asked for so often
BACKOFF_NS = tuple(round(s * NANOS) for s in (0, 0.5, 1, 2, 4, 5))  # before each try; then the last
WAIT_S_MAX = 1.0
ROWS = 20


class Watcher:
    """The job of the thread that looks.

    connect: a new connection; raises OMSError or OSError. look_ns: how often the chosen market is
    looked at. symbol: the one to begin with; "": the first. tell: called on the watcher's thread
    whenever there is something new to see.
    """

    def __init__(
        self, connect: Callable[[], Source], clock: Clock, look_ns: int, symbol: str = ""
    ) -> None:
        self.tell: Callable[[], object] = lambda: None
        self._connect = connect
        self._clock = clock
        self._look_ns = look_ns
        self._woken = threading.Event()
        self._lock = threading.Lock()
        self._wanted = symbol, ROWS
        self._seen: Seen | None = None
        self.told = ""  # where it looks, for a person
        self._source: Source | None = None
        self._look_due_ns = self._overview_due_ns = 0
        self._counted: tuple[int, int] | None = None  # reports published, and when that was

    # --- the screen's thread ---

    def begin(self) -> None:
        """The first look. Raises OMSError or OSError."""
        self._look(None)

    def want(self, symbol: str, rows: int) -> None:
        """Look at this market from now on, so many rows of it."""
        wanted = symbol, max(1, min(rows, ROWS_MAX))
        with self._lock:
            changed, self._wanted = wanted != self._wanted, wanted
        if changed:
            self.wake()

    @property
    def seen(self) -> Seen:
        """What there is to see; `begin` comes first."""
        with self._lock:
            assert self._seen is not None, "begin comes first"
            return self._seen

    # --- the job ---

    def step(self) -> None:
        """Wait for the next look, and take it."""
        seen, now_ns = self.seen, self._clock.monotonic_ns()
        due_ns = seen.retry_ns if seen.lost else self._look_due_ns
        if now_ns < due_ns:
            woken = self._woken.wait(min((due_ns - now_ns) / NANOS, WAIT_S_MAX))
            self._woken.clear()
            if seen.lost or not woken:  # another choice brings no connection back
                return
        try:
            self._look(seen)
        except (OMSError, OSError) as error:
            self._lose(seen, error)
        self.tell()

    def finish(self) -> None:
        if self._source is not None:
            self._source.close()

    def wake(self) -> None:
        self._woken.set()

    def _look(self, seen: Seen | None) -> None:
        """Ask for what is due; all of it on a new connection."""
        now_ns = self._clock.monotonic_ns()
        source, is_new = self._source, self._source is None
        if source is None:
            source = self._source = self._connect()
            self.told = source.told
        if seen is None or is_new or now_ns >= self._overview_due_ns:
            overview = source.overview()
            reports_per_s = self._rate(overview)
            self._overview_due_ns = now_ns + OVERVIEW_NS
        else:
            overview, reports_per_s = seen.overview, seen.reports_per_s
        market = self._market(source, overview)
        self._look_due_ns = now_ns + self._look_ns
        self._set(Seen(overview, market, self._clock.monotonic_ns(), reports_per_s))

    def _market(self, source: Source, overview: Overview) -> Market | None:
        """The wanted one, or the first; one that is delisted is no more."""
        with self._lock:
            symbol, rows = self._wanted
        row = overview.row(symbol) or next(iter(overview.markets), None)
        return source.market(row, rows) if row is not None else None

    def _rate(self, overview: Overview) -> float | None:
        """Reports published a second since the last overview of the same process."""
        published, now_ns = overview.status.get("published"), self._clock.monotonic_ns()
        before, self._counted = self._counted, None
        if type(published) is not int:
            return None
        self._counted = published, now_ns
        if before is None or published < before[0] or now_ns <= before[1]:
            return None
        return (published - before[0]) * NANOS / (now_ns - before[1])

    def _lose(self, seen: Seen, error: OMSError | OSError) -> None:
        """Keep what was seen, say why nothing new comes, and when the next try is."""
        if self._source is not None:
            self._source.close()
            self._source = None
        self._counted = None
        tries = seen.tries + 1 if seen.lost else 0
        wait_ns = BACKOFF_NS[min(tries, len(BACKOFF_NS) - 1)]
        self._set(
            seen._replace(
                lost=str(error) or repr(error), tries=tries,
                retry_ns=self._clock.monotonic_ns() + wait_ns,
            )
        )  # fmt: skip

    def _set(self, seen: Seen) -> None:
        with self._lock:
            self._seen = seen
