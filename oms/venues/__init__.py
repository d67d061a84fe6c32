"""Venues: who takes our orders. The embedded exchange is one, a scripted test venue another."""

import logging
from collections.abc import Callable, Sequence
from typing import Protocol

from oms.desk.desk import OrderTaker
from oms.enums import ResponseType
from oms.errors import VenueError
from oms.exchange.matching import MatchingEngine
from oms.exchange.order import Change, Order
from oms.instruments import Instrument
from oms.requests.internal import VenueReport


class Linked(Protocol):
    """What the order manager asks of every venue, its own exchange included.

    remote: answers come later, through OrderManagement.on_data_response, and a restart
        cannot know what was lost on the way. A venue that is not remote answers inside the
        call and is a pure function of what it was sent: a replay sends it all again.
    logon: ask for a link; returns at once or raises VenueError; logged_on tells when it is up.
    reset: forget every order; a replay follows.
    """

    remote: bool

    def logon(self) -> None: ...
    def logged_on(self) -> bool: ...
    def logoff(self) -> None: ...
    def reset(self) -> None: ...
    def get_depth(
        self, symbol: str, levels: int
    ) -> tuple[list[tuple[int, int]], list[tuple[int, int]]]: ...


class Venue(OrderTaker, Linked, Protocol):
    """What the order manager asks of a venue that is not its own exchange.

    place, cancel, replace: take one request; return the answers known at once.
    withdraw: take these orders out of the book unasked: EXPIRED, the session ended; CANCELED,
        a mass cancel.
    list_instruments: what is traded from now on; books that exist stay as they are.
    """


class EmbeddedVenue:
    """Price-time matching of all instruments; answers at once, never loses an order.

    engine: the exchange itself; the desk makes one at each start, and speaks to it directly.
    """

    remote = False

    def __init__(self) -> None:
        self._linked = False
        self.engine: MatchingEngine | None = None

    def reset(self) -> None:
        """Forget every book; a new desk brings a new exchange."""
        self.engine = None

    def logon(self) -> None:
        self._linked = True

    def logged_on(self) -> bool:
        return self._linked

    def logoff(self) -> None:
        self._linked = False

    def get_depth(
        self, symbol: str, levels: int
    ) -> tuple[list[tuple[int, int]], list[tuple[int, int]]]:
        market = self.engine.markets.get(symbol) if self.engine is not None else None
        return market.book.get_depth(levels) if market is not None else ([], [])


log = logging.getLogger(__name__)


class Outbox:
    """Takes what a venue takes and answers nothing yet."""

    def __init__(self, venue: Venue) -> None:
        self._venue = venue
        self._calls: list[Callable[[], Sequence[VenueReport]]] = []

    def place(self, order: Order) -> Sequence[VenueReport]:
        self._calls.append(lambda: self._venue.place(order))
        return ()

    def cancel(self, change: Change) -> Sequence[VenueReport]:
        self._calls.append(lambda: self._venue.cancel(change))
        return ()

    def replace(self, change: Change) -> Sequence[VenueReport]:
        self._calls.append(lambda: self._venue.replace(change))
        return ()

    def withdraw(
        self, order_ids: set[int], type_: ResponseType, reason: str
    ) -> Sequence[VenueReport]:
        """Asked once: if the venue cannot be reached these orders stay open."""
        self._calls.append(lambda: self._venue.withdraw(order_ids, type_, reason))
        return ()

    def list_instruments(self, instruments: Sequence[Instrument]) -> None:
        self._venue.list_instruments(instruments)

    def clear(self) -> None:
        """Forget what was never sent: the turn was undone, or this is a replay."""
        self._calls.clear()

    def flush(self) -> list[VenueReport]:
        """Send everything, oldest first; the answers given at once.

        A venue that cannot be reached leaves the request unanswered: its outcome is unknown,
        and the tracker's time-out will say so.
        """
        calls, self._calls = self._calls, []
        events: list[VenueReport] = []
        for call in calls:
            try:
                events.extend(call())
            except VenueError as error:
                log.error("the venue did not take a request: %s", error)
        return events
