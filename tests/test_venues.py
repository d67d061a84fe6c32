"""The contract of every venue, whether it answers at once or later."""

import pytest

from oms import ManualClock, ResponseType
from oms.errors import VenueError
from oms.messages import OrderType, Side, TimeInForce
from oms.orders import Change, Order
from oms.venues.embedded import EmbeddedVenue
from oms.venues.scripted import ScriptedVenue, Step
from tests.fakes import INSTRUMENTS, SECOND


def order(order_id, price=100, lots=5):
    return Order(
        order_id, "me", f"{order_id}", INSTRUMENTS[0], Side.BUY, OrderType.LIMIT,
        TimeInForce.DAY, price, lots,
    )  # fmt: skip


class Contract:
    """What the dispatcher asks of a venue; `reports` gathers what it answers, at once or later."""

    @pytest.fixture
    def venue(self):
        venue = self.make()
        venue.list_instruments(INSTRUMENTS)
        return venue

    def told(self, _venue, events):
        """What it answered, as (type, order id, request)."""
        return [(event[0], event[1], event[2]) for event in events]

    def test_the_link_is_up_when_it_says_so(self, venue):
        """Down at first, up after a logon, down after a logoff; twice does no harm."""
        assert not venue.logged_on()
        for _ in range(2):
            venue.logon()
            assert venue.logged_on()
        for _ in range(2):
            venue.logoff()
            assert not venue.logged_on()

    def test_an_order_is_accepted_changed_and_canceled(self, venue):
        """Each request is answered, by the order's id and the change's sequence."""
        one = order(7)
        assert self.told(venue, venue.place(one)) == [(ResponseType.NEW, 7, 0)]
        events = venue.replace(Change(8, "M", one, False, 99, 5))
        assert self.told(venue, events) == [(ResponseType.REPLACED, 7, 8)]
        events = venue.cancel(Change(9, "C", one, True))
        assert self.told(venue, events) == [(ResponseType.CANCELED, 7, 9)]

    def test_orders_expire_on_request(self, venue):
        """In the order they came."""
        for order_id in (3, 4, 5):
            self.told(venue, venue.place(order(order_id)))
        events = venue.withdraw({5, 3}, ResponseType.EXPIRED, "SESSION_ENDED")
        assert self.told(venue, events) == [
            (ResponseType.EXPIRED, 3, 0), (ResponseType.EXPIRED, 5, 0)
        ]  # fmt: skip

    def test_the_depth_of_what_is_not_traded_is_empty(self, venue):
        """Not an error."""
        assert venue.get_depth("NOBODY", 5) == ([], [])

    def test_listing_again_and_starting_again_are_allowed(self, venue):
        """Each process lists the instruments; a replay starts from nothing."""
        self.told(venue, venue.place(order(3)))
        venue.list_instruments(INSTRUMENTS)
        venue.reset()
        venue.list_instruments(INSTRUMENTS)
        assert venue.get_depth("X", 5) == ([], [])


class TestEmbeddedVenue(Contract):
    """Answers inside the call."""

    def make(self):
        return EmbeddedVenue()


class TestScriptedVenue(Contract):
    """Answers by report."""

    def make(self):
        venue = ScriptedVenue(clock=ManualClock())
        self.reports = []
        venue.connect(self.reports.append)
        return venue

    def told(self, venue, events):
        assert events == ()
        venue.deliver()
        events, self.reports[:] = list(self.reports), []
        return super().told(venue, events)

    def test_a_refused_logon_is_an_error_and_a_hanging_one_is_not(self):
        """The script's last word stays."""
        venue = ScriptedVenue(clock=ManualClock(), logons=["refuse", "hang", "accept"])
        with pytest.raises(VenueError, match="refused"):
            venue.logon()
        venue.logon()
        assert not venue.logged_on()
        venue.logon()
        venue.logon()
        assert venue.logged_on()

    def test_answers_come_when_they_are_due(self):
        """Latency by the clock; the earlier first."""
        clock, reports = ManualClock(), []
        venue = ScriptedVenue(clock=clock, script=[Step(latency_ns=2 * SECOND), Step()])
        venue.connect(reports.append)
        venue.place(order(1))
        venue.place(order(2))
        venue.deliver()
        assert [report.order_id for report in reports] == [2]
        clock.advance(2)
        venue.deliver()
        assert [report.order_id for report in reports] == [2, 1]
