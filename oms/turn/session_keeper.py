"""The session keeper: log on before the open, log off after the close, try again when refused.

Owner: the thread oms-session, and with it the link to the venue. It tells the dispatcher by a
notice, so that each change of the link is an entry of the journal. When the market opens and
closes is the dispatcher's to say: it stamps the orders.
"""

import logging
import threading

from oms.clock import NANOS, Clock
from oms.config import SessionConfig
from oms.desk.calendar import TradingSession
from oms.errors import VenueError
from oms.requests import codec
from oms.turn.inbox import Inbox
from oms.venues import Linked

log = logging.getLogger(__name__)

WAIT_S_MAX = 1.0
LOGON_POLL_S = 0.02
LOOK_S_MAX = 1.0  # how long who asked for a look waits for it


class SessionKeeper:
    """Keeps the link as the schedule wants it; one try, or one look, a step."""

    def __init__(
        self,
        config: SessionConfig,
        clock: Clock,
        venue: Linked,
        session: TradingSession,
        inbox: Inbox,
    ) -> None:
        self._config = config
        self._clock = clock
        self._venue = venue
        self._session = session
        self._inbox = inbox
        self._wake = threading.Event()
        self._turn = threading.Condition()
        self._looks_wanted = self._looks = 0
        self._asked_ns = 0  # when the logon under way was asked for; 0 if none is
        self._retry_ns = 0  # no new try before this instant
        self._backoff_ns = config.logon_backoff_min_ns
        self.attempts = 0  # tries since the link was last up, or last wanted
        self.gave_up = False

    def step(self) -> None:
        wanted = self._looks_wanted
        self._keep()
        with self._turn:
            self._looks = wanted
            self._turn.notify_all()
        self._wake.wait(self._wait_s())
        self._wake.clear()

    def _wait_s(self) -> float:
        """Until there is something to look at, or to try again."""
        if self._asked_ns:
            return LOGON_POLL_S
        left_ns = self._retry_ns - self._clock.monotonic_ns()
        if left_ns <= 0 or self.gave_up:
            return WAIT_S_MAX
        return min(left_ns / NANOS, WAIT_S_MAX)

    def wake(self) -> None:
        self._wake.set()

    def look(self) -> None:
        """Have its thread look at the link now, and wait for that: what is noticed then is in the
        inbox ahead of what the caller hands over next."""
        with self._turn:
            self._looks_wanted += 1
            wanted = self._looks_wanted
            self._wake.set()
            self._turn.wait_for(lambda: self._looks >= wanted, LOOK_S_MAX)

    def finish(self) -> None:
        if self._session.logged_on:
            self._log_off("shutting down")

    def _keep(self) -> None:
        wanted = self._session.should_be_logged_on(self._clock.wall_ns())
        linked = self._venue.logged_on()
        if self._session.logged_on and not linked:
            self._tell(False, "the venue closed the link")
        if not wanted:
            self._forget_tries()
            if linked:
                self._log_off("outside trading hours")
        elif linked and not self._session.logged_on:
            self._forget_tries()
            self._tell(True, "logged on")
        elif not linked:
            self._try(self._clock.monotonic_ns())

    def _try(self, now_ns: int) -> None:
        """Ask for a logon, or see whether the one asked for takes too long."""
        if self._asked_ns:
            if now_ns - self._asked_ns < self._config.logon_timeout_ns:
                return
            self._venue.logoff()
            self._failed(now_ns, f"no answer in {self._config.logon_timeout_ns / 1e9:g} s")
        elif not self.gave_up and now_ns >= self._retry_ns:
            self.attempts += 1
            try:
                self._venue.logon()
                self._asked_ns = now_ns
            except VenueError as error:
                self._failed(now_ns, str(error))
            else:
                if self._venue.logged_on():
                    self._forget_tries()
                    self._tell(True, "logged on")

    def _failed(self, now_ns: int, why: str) -> None:
        self._asked_ns = 0
        self._retry_ns = now_ns + self._backoff_ns
        self.gave_up = self.attempts >= self._config.logon_attempts_max
        log.error(
            "logon failed, attempt %d of %d: %s; %s",
            self.attempts,
            self._config.logon_attempts_max,
            why,
            "giving up until the next session"
            if self.gave_up
            else f"next try in {self._backoff_ns / 1e9:g} s",
        )
        self._backoff_ns = min(2 * self._backoff_ns, self._config.logon_backoff_max_ns)

    def _forget_tries(self) -> None:
        self._asked_ns = self._retry_ns = self.attempts = 0
        self._backoff_ns = self._config.logon_backoff_min_ns
        self.gave_up = False

    def _log_off(self, why: str) -> None:
        self._venue.logoff()
        self._tell(False, why)

    def _tell(self, up: bool, why: str) -> None:
        """The link changed: note it here, and have it journaled."""
        self._session.logged_on = up
        log.info("link %s: %s", "up" if up else "down", why)
        self._inbox.notice(((codec.LINK, "UP" if up else "DOWN", why), 0, None))
