"""The agenda: what is due without anybody asking, and when the next thing is.

Session changes by the wall clock, looked at anew each time, so that a step of the clock is
noticed; answers that a venue owes, and permits, by the monotonic clock.
"""

import logging
from typing import Any

from oms.clock import NANOS, Clock
from oms.desk import entries
from oms.desk.control_desk import first_phase
from oms.desk.entries import Entry
from oms.desk.order_desk import OrderDesk
from oms.desk.session import SessionWindow, TradingSession
from oms.desk.throttle import OrderThrottler
from oms.desk.tracker import OrderTracker
from oms.messages import Phase

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
        due: list[Entry] = []
        expiry_ns = desk.next_expiry_ns()
        if expiry_ns is not None and expiry_ns <= wall_ns:
            # First: at its instant an order is no longer good, for the uncross of then neither.
            due.append((entries.GOOD_TILL, wall_ns))
        changes = self._session_changes(desk, wall_ns)
        for entry in changes:
            log.info("session %s", ", ".join(entry[1:]))
        due += changes
        if desk.engine is not None:
            due += [(entries.TIMER, symbol) for symbol in desk.engine.phases.due(wall_ns)]
        return due + [(entries.OVERDUE, seq) for seq in self._tracker.overdue(now_ns)]

    def _session_changes(self, desk: OrderDesk, wall_ns: int) -> list[Entry]:
        window = self._session.window_at(wall_ns)
        date = window.trading_date.isoformat() if window else ""
        changes: list[Entry] = []
        if desk.trading_date and date != desk.trading_date:  # open or paused until now
            how = "CLOSE" if window else self._how_it_closes(desk, wall_ns)
            if desk.is_open or how == "CLOSE":
                changes.append((entries.SESSION, how, desk.trading_date))
        opens = window is not None and (not desk.is_open or bool(changes))
        if opens:
            changes.append((entries.SESSION, "OPEN", date))
        if window is not None and desk.engine is not None:
            now = first_phase(desk.settings) if opens else desk.engine.phases.session
            phase = phase_at(desk.settings, window, wall_ns)
            if phase is not now:
                changes.append((entries.PHASE, phase.value))
        return changes

    def _how_it_closes(self, desk: OrderDesk, wall_ns: int) -> str:
        """PAUSE between two segments of one trading date, CLOSE at the date's end."""
        open_ns = self._session.next_change_ns(wall_ns)
        window = None if open_ns is None else self._session.window_at(open_ns)
        same = window is not None and window.trading_date.isoformat() == desk.trading_date
        return "PAUSE" if same else "CLOSE"

    def next_s(self, desk: OrderDesk, throttler: OrderThrottler | None) -> float:
        """Seconds until the next time-out, change of session or phase, expiry; or permit."""
        now_ns, wall_ns = self._clock.monotonic_ns(), self._clock.wall_ns()
        waits_ns = [round(FAR_S * NANOS)]
        if throttler is not None:
            waits_ns.append(throttler.wait_ns(now_ns))
        overdue_ns = self._tracker.next_overdue_ns(now_ns)
        if overdue_ns is not None:
            waits_ns.append(overdue_ns)
        window = self._session.window_at(wall_ns)
        instants = [self._session.next_change_ns(wall_ns)]
        pending = [desk.next_expiry_ns()]
        if desk.engine is not None:
            pending.append(desk.engine.phases.next_timer_ns())
            if window is not None:
                instants += phase_changes(desk.settings, window)
        waits_ns += [at - wall_ns for at in instants if at is not None and at > wall_ns]
        waits_ns += [at - wall_ns for at in pending if at is not None]  # or it is due already
        return max(0, min(waits_ns)) / NANOS


def phase_changes(settings: dict[str, Any], window: SessionWindow) -> list[int]:
    """When, in one session, continuous trading begins and ends, and the opening call begins."""
    phases = settings.get("phases", {})
    call_ns = window.open_ns + phases.get("pre_open_ns", 0)
    continuous_ns = call_ns + phases.get("opening_auction_ns", 0)
    return [call_ns, continuous_ns, window.close_ns - phases.get("closing_auction_ns", 0)]


def phase_at(settings: dict[str, Any], window: SessionWindow, wall_ns: int) -> Phase:
    """What the calendar wants at one instant of a session."""
    call_ns, continuous_ns, closing_ns = phase_changes(settings, window)
    if wall_ns < call_ns:
        return Phase.PRE_OPEN
    if wall_ns < continuous_ns:
        return Phase.OPENING_AUCTION
    return Phase.CONTINUOUS if wall_ns < closing_ns else Phase.CLOSING_AUCTION
