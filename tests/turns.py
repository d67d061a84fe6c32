"""A desk fed by hand: lines and sends in turns, as the dispatcher does it, and its journal."""

from typing import Any

from oms import EmbeddedVenue
from oms.desk.settings import settings_of
from oms.reports import Report
from oms.requests import codec
from oms.requests.codec import Line
from oms.stores import JournalRecord
from oms.turn.journal import Fold
from oms.venues import Venue
from tests.fakes import INSTRUMENTS, brief_reports

EVERYTHING = 1_000


class Turns:
    """A Fold that starts open and linked; every turn is kept as a journal record.

    turn() takes the lines and says how many waiting requests may go out, line by line.
    """

    def __init__(
        self, venue: Venue | None = None, *, hold: bool = False, waiting_max: int = 100
    ) -> None:
        self.fold = Fold(venue or EmbeddedVenue())
        self.records: list[JournalRecord] = []
        self.reports: list[Report] = []
        self.hold, self.waiting_max = hold, waiting_max
        self.begin_process()
        self.turn(*session("OPEN"))

    @property
    def desk(self) -> Any:
        return self.fold.desk

    def begin_process(self) -> None:
        """What a start writes, and then the link is up."""
        settings = settings_of(
            INSTRUMENTS, hold_when_closed=self.hold, waiting_max=self.waiting_max,
            remote=self.fold.venue.remote,
        )  # fmt: skip
        self.turn((codec.START, settings), (codec.LINK, "UP", ""), send=0)

    def turn(self, *turn: Line, send: int = EVERYTHING) -> list[str]:
        """One turn; what it told, in few words."""
        fold, desk = self.fold, self.desk
        first_seq = fold.last_seq + 1
        desk.begin(first_seq + len(turn), fold.instant, send)
        for seq, line in enumerate(turn, first_seq):
            desk.enter(seq, line)
        if not turn:
            desk.send_waiting()
        desk.end()
        record = fold.record(first_seq, fold.instant, desk.released, list(turn))
        fold.advance(record)
        self.records.append(record)
        self.reports += desk.reports.rows
        return brief_reports(desk.reports.rows)

    def refold(self) -> "Turns":
        """A desk made from nothing but the journal."""
        other = Turns.__new__(Turns)
        other.fold, other.records, other.reports = Fold(type(self.fold.venue)()), [], []
        other.hold, other.waiting_max = self.hold, self.waiting_max
        for record in self.records:
            other.reports += other.fold.apply(record)
            other.records.append(record)
        return other

    @property
    def waiting(self) -> list[str]:
        return [request.client_order_id for request in self.desk.queue.waiting()]

    def order(self, client_id: str) -> Any:
        return self.desk.executions.find("me", client_id)


# --- lines of the account "me" on symbol X ---


def new(
    client_id: str, side: str, lots: int, price: int = 0, *, tif: str = "GTC", hold: bool = False
) -> Line:
    """A limit order, or a market order where there is no price."""
    kind = "LIMIT" if price else "MARKET"
    return (codec.NEW, "me", client_id, "X", side, kind, tif, price, lots, int(hold), "")


def modify(client_id: str, orig: str, *, price: int = 0, lots: int = 0) -> Line:
    return (codec.MODIFY, "me", client_id, orig, price, lots, "")


def cancel(client_id: str, orig: str) -> Line:
    return (codec.CANCEL, "me", client_id, orig, "")


def session(*changes: str) -> list[Line]:
    return [(codec.SESSION, change, "2024-03-04") for change in changes]


def link(up: bool) -> Line:
    return (codec.LINK, "UP" if up else "DOWN", "")
