"""Venues: who takes our orders. The embedded exchange is one, a scripted test venue another."""

from typing import Protocol

from oms.desk.desk_state import OrderTaker


class Venue(OrderTaker, Protocol):
    """What the order manager asks of a venue.

    remote: answers come later, through OrderManagement.on_data_response, and a restart
        cannot know what was lost on the way. A venue that is not remote answers inside the
        call and is a pure function of what it was sent: a replay sends it all again.
    place, cancel, replace: take one request; return the answers known at once.
    withdraw: take these orders out of the book unasked: EXPIRED, the session ended; CANCELED,
        a mass cancel.
    list_instruments: what is traded from now on; books that exist stay as they are.
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
