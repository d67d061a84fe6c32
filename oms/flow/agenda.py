"""The agenda: what is due without anybody asking, and when the next thing is.

Session changes by the wall clock, looked at anew each time, so that a step of the clock is
noticed; answers that a venue owes, and permits, by the monotonic clock.
"""

import logging

from oms.clock import NANOS, Clock
from oms.desk import entries
from oms.desk.entries import Entry
from oms.desk.order_desk import OrderDesk
from oms.desk.session import TradingSession
from oms.desk.throttle import OrderThrottler
from oms.desk.tracker import OrderTracker

log = logging.getLogger(__name__)

FAR_S = 3600.0


class Agenda:
    """Compares the desk with the calendar and the clock."""

    def __init__(self, clock: Clock, session: TradingSession, tracker: OrderTracker) -> None:
        self._clock = clock
        self._session = session
        self._tracker = tracker

    def due(self, desk: OrderDesk, now_ns: int, wall_ns: int) -> list[Entry]:
        """Entries to make now: the market closed, opened; an answer did not come in time."""
        due = self._session_changes(desk, wall_ns)
        for _, what, date in due:
            log.info("session %s, trading date %s", what, date)
        return due + [(entries.OVERDUE, seq) for seq in self._tracker.overdue(now_ns)]

    def _session_changes(self, desk: OrderDesk, wall_ns: int) -> list[Entry]:
        window = self._session.window_at(wall_ns)
        date = window.trading_date.isoformat() if window else ""
        changes: list[Entry] = []
        if desk.trading_date and date != desk.trading_date:  # open or paused until now
            how = "CLOSE" if window else self._how_it_closes(desk, wall_ns)
            if desk.is_open or how == "CLOSE":
                changes.append((entries.SESSION, how, desk.trading_date))
        if window and (not desk.is_open or changes):
            changes.append((entries.SESSION, "OPEN", date))
        return changes

    def _how_it_closes(self, desk: OrderDesk, wall_ns: int) -> str:
        """PAUSE between two segments of one trading date, CLOSE at the date's end."""
        open_ns = self._session.next_change_ns(wall_ns)
        window = None if open_ns is None else self._session.window_at(open_ns)
        same = window is not None and window.trading_date.isoformat() == desk.trading_date
        return "PAUSE" if same else "CLOSE"

    def next_s(self, throttler: OrderThrottler | None) -> float:
        """Seconds until the next time-out, session change, or permit if one is waited for."""
        now_ns, wall_ns = self._clock.monotonic_ns(), self._clock.wall_ns()
        waits_ns = [round(FAR_S * NANOS)]
        if throttler is not None:
            waits_ns.append(throttler.wait_ns(now_ns))
        overdue_ns = self._tracker.next_overdue_ns(now_ns)
        if overdue_ns is not None:
            waits_ns.append(overdue_ns)
        change_ns = self._session.next_change_ns(wall_ns)
        if change_ns is not None:
            waits_ns.append(change_ns - wall_ns)
        return max(0, min(waits_ns)) / NANOS
