"""The schedule: what is due without anybody asking, and when the next thing is.

Session changes and expiries by the wall clock, looked at anew each time, so that a step of the
clock is noticed; a market's timers by elapsed time; answers that a venue owes, and permits, by
the monotonic clock.
"""

import logging
import secrets
from collections.abc import Callable
from typing import Any

from oms.clock import NANOS, Clock, Instant, utc_text
from oms.desk.calendar import SessionWindow, TradingSession
from oms.desk.desk import Desk
from oms.desk.settings import first_phase
from oms.desk.throttle import OrderThrottler
from oms.enums import Phase
from oms.exchange.phases import TO_BE_DRAWN
from oms.requests import codec
from oms.requests.codec import Line
from oms.turn.latency import OrderTracker
from oms.turn.turn_clock import TurnClock

log = logging.getLogger(__name__)

FAR_S = 3600.0


class DueLines:
    """Compares the desk with the calendar and the clock; and draws what is up to chance.

    draw: a whole number below another. What was drawn is a line of the journal, so a replay
    needs no luck.
    """

    def __init__(
        self,
        clock: Clock,
        times: TurnClock,
        session: TradingSession,
        tracker: OrderTracker,
        draw: Callable[[int], int] = secrets.randbelow,
    ) -> None:
        self._clock = clock
        self._times = times
        self._session = session
        self._tracker = tracker
        self.draw = draw
        # While the desk stands so, and the wall clock is in between, no session change is due.
        self._calm: tuple[object, ...] = ()
        self._calm_from_ns = self._calm_until_ns = 0

    def due(self, desk: Desk, instant: Instant) -> list[Line]:
        """Lines to make now: the market closed, opened; an answer did not come in time."""
        due: list[Line] = []
        wall_ns = instant.clock_ns
        if desk.expiries:
            expiry_ns = desk.next_expiry_ns()
            if expiry_ns is not None and expiry_ns <= wall_ns:
                # Expire orders first: one that expires now must not trade in an auction now.
                due.append((codec.GOOD_TILL, wall_ns))
        engine = desk.engine
        stands = (desk.is_open, desk.trading_date, engine and engine.phases.session, desk.settings)
        calm = self._calm_from_ns <= wall_ns < self._calm_until_ns and stands == self._calm
        if not calm:
            due += self._session_changes(desk, wall_ns, stands)
        if engine is not None:
            for symbol, market in engine.markets.items():
                if 0 < market.until_ns <= instant.elapsed_ns:
                    due.append((codec.TIMER, symbol))
                if market.extra_ns == TO_BE_DRAWN:
                    span_ns = engine.rules.auction_random_end_ns
                    due.append((codec.DRAWN, symbol, self.draw(span_ns + 1)))
        else:
            overdue = self._tracker.overdue(self._clock.monotonic_ns())
            due += [(codec.OVERDUE, seq) for seq in overdue]
        return due

    def _session_changes(self, desk: Desk, wall_ns: int, stands: tuple[object, ...]) -> list[Line]:
        window = self._session.window_at(wall_ns)
        date = window.trading_date.isoformat() if window else ""
        changes: list[Line] = []
        if desk.trading_date and date != desk.trading_date:  # open or paused until now
            if window is not None and desk.is_open and self._session.schedule.always_open:
                changes.append((codec.SESSION, "DATE", date))
                return self._told(changes)
            how = "CLOSE" if window else self._how_it_closes(desk, wall_ns)
            if desk.is_open or how == "CLOSE":
                open_ns = self._session.next_open_ns(wall_ns) or 0
                changes.append((codec.SESSION, how, desk.trading_date, open_ns))
        opens = window is not None and (not desk.is_open or bool(changes))
        phases = phases_of(desk.settings, window) if window is not None else {}
        first = first_phase(phases)
        if opens:
            changes.append((codec.SESSION, "OPEN", date, first.value))
        if window is not None and desk.engine is not None:
            now = first if opens else desk.engine.phases.session
            phase = phase_at(desk.settings, window, wall_ns)
            if phase is not now:
                changes.append((codec.PHASE, phase.value))
        if not changes:
            self._calm, self._calm_from_ns = stands, wall_ns
            far_ns = wall_ns + round(FAR_S * NANOS)
            self._calm_until_ns = min(self._instants(desk, wall_ns), default=far_ns)
        return self._told(changes)

    @staticmethod
    def _told(changes: list[Line]) -> list[Line]:
        """The same lines, logged; a close with the next open."""
        for line in changes:
            closed = line[0] == codec.SESSION and line[1] in ("PAUSE", "CLOSE") and line[3]
            opens = f"; opens next {utc_text(line[3])}" if closed else ""
            log.info("session %s%s", ", ".join(line[1:3]), opens)
        return changes

    def _how_it_closes(self, desk: Desk, wall_ns: int) -> str:
        """PAUSE between two segments of one trading date, CLOSE at the date's end."""
        open_ns = self._session.next_change_ns(wall_ns)
        window = None if open_ns is None else self._session.window_at(open_ns)
        same = window is not None and window.trading_date.isoformat() == desk.trading_date
        return "PAUSE" if same else "CLOSE"

    def next_s(self, desk: Desk, throttler: OrderThrottler | None) -> float:
        """Seconds until the next time-out, change of session or phase, expiry; or permit."""
        now_ns = self._clock.monotonic_ns()
        _, wall_ns, elapsed_ns = self._times.read()
        waits_ns = [round(FAR_S * NANOS)]
        if throttler is not None:
            waits_ns.append(throttler.wait_ns(now_ns))
        overdue_ns = self._tracker.next_overdue_ns(now_ns)
        if overdue_ns is not None:
            waits_ns.append(overdue_ns)
        pending = [desk.next_expiry_ns(), *self._instants(desk, wall_ns)]
        waits_ns += [at - wall_ns for at in pending if at is not None]  # or it is due already
        if desk.engine is not None and desk.engine.phases.draws:
            return 0
        timer_ns = desk.engine.phases.next_timer_ns() if desk.engine is not None else None
        if timer_ns is not None:
            waits_ns.append(timer_ns - elapsed_ns)
        return max(0, min(waits_ns)) / NANOS

    def _instants(self, desk: Desk, wall_ns: int) -> list[int]:
        """When session or phase change, as far as they are still to come."""
        window = self._session.window_at(wall_ns)
        instants = [self._session.next_change_ns(wall_ns)]
        if window is not None and self._session.schedule.always_open:
            instants.append(window.close_ns)  # the date changes
        if window is not None and desk.engine is not None:
            instants += phase_changes(desk.settings, window)
        return [at for at in instants if at is not None and at > wall_ns]


def phases_of(settings: dict[str, Any], window: SessionWindow) -> dict[str, int]:
    """How long each phase of a window is: as it says itself, else as all of them."""
    return {**settings.get("phases", {}), **dict(window.phases)}


def phase_changes(settings: dict[str, Any], window: SessionWindow) -> list[int]:
    """When, in one session, the opening call, continuous trading, and the closing call begin; and
    when that has its regular end, so early that it may last longer and still ends by the close."""
    phases, longer = phases_of(settings, window), sum(settings.get("calls", {}).values())
    closing = phases.get("closing_auction_ns", 0)
    call_ns = window.open_ns + phases.get("pre_open_ns", 0)
    continuous_ns = call_ns + phases.get("opening_auction_ns", 0)
    end_ns = window.close_ns - (longer if closing else 0)
    return [call_ns, continuous_ns, window.close_ns - closing, end_ns]


def phase_starts(settings: dict[str, Any], window: SessionWindow) -> list[tuple[Phase, int]]:
    """The phases of a session that last, each with the instant at which it begins; a closing call
    ends by the close."""
    call_ns, continuous_ns, closing_ns, _ = phase_changes(settings, window)
    starts = [
        (Phase.PRE_OPEN, window.open_ns), (Phase.OPENING_AUCTION, call_ns),
        (Phase.CONTINUOUS, continuous_ns), (Phase.CLOSING_AUCTION, closing_ns),
    ]  # fmt: skip
    ends = [start_ns for _, start_ns in starts[1:]] + [window.close_ns]
    return [each for each, end_ns in zip(starts, ends, strict=True) if each[1] < end_ns]


def phase_at(settings: dict[str, Any], window: SessionWindow, wall_ns: int) -> Phase:
    """What the calendar wants at one instant of a session."""
    call_ns, continuous_ns, closing_ns, end_ns = phase_changes(settings, window)
    if wall_ns < call_ns:
        return Phase.PRE_OPEN
    if wall_ns < continuous_ns:
        return Phase.OPENING_AUCTION
    if wall_ns < closing_ns:
        return Phase.CONTINUOUS
    return Phase.CLOSING_AUCTION if wall_ns < end_ns else Phase.CLOSED
