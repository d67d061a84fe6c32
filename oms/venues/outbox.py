"""What a remote venue is to be sent, kept until the turn is on disk.

A remote venue must not see a request before the journal holds it: after a crash we would not
know of our own order. So inside a turn the desk speaks to this outbox, and the dispatcher
empties it after the commit. In a replay nobody does: what was sent then was sent.
"""

import logging
from collections.abc import Callable, Sequence

from oms.errors import VenueError
from oms.instruments import Instrument
from oms.messages import ResponseType
from oms.orders import Change, Event, Order
from oms.venues import Venue

log = logging.getLogger(__name__)


class Outbox:
    """Takes what a venue takes and answers nothing yet."""

    def __init__(self, venue: Venue) -> None:
        self._venue = venue
        self._calls: list[Callable[[], Sequence[Event]]] = []

    def place(self, order: Order) -> Sequence[Event]:
        self._calls.append(lambda: self._venue.place(order))
        return ()

    def cancel(self, change: Change) -> Sequence[Event]:
        self._calls.append(lambda: self._venue.cancel(change))
        return ()

    def replace(self, change: Change) -> Sequence[Event]:
        self._calls.append(lambda: self._venue.replace(change))
        return ()

    def withdraw(self, order_ids: set[int], type_: ResponseType, reason: str) -> Sequence[Event]:
        """Asked once: if the venue cannot be reached these orders stay open."""
        self._calls.append(lambda: self._venue.withdraw(order_ids, type_, reason))
        return ()

    def list_instruments(self, instruments: Sequence[Instrument]) -> None:
        self._venue.list_instruments(instruments)

    def clear(self) -> None:
        """Forget what was never sent: the turn was undone, or this is a replay."""
        self._calls.clear()

    def flush(self) -> list[Event]:
        """Send everything, oldest first; the answers given at once.

        A venue that cannot be reached leaves the request unanswered: its outcome is unknown,
        and the tracker's time-out will say so.
        """
        calls, self._calls = self._calls, []
        events: list[Event] = []
        for call in calls:
            try:
                events.extend(call())
            except VenueError as error:
                log.error("the venue did not take a request: %s", error)
        return events
