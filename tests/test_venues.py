"""The contract of every venue, whether it answers at once or later."""

import pytest

from oms import ManualClock, ResponseType
from oms.enums import OrderState, OrderType, Side, TimeInForce
from oms.errors import VenueError
from oms.exchange.order import Change, Order
from oms.turn.journal import Fold
from oms.venues import EmbeddedVenue
from oms.venues.scripted import ScriptedVenue, Step
from tests.fakes import INSTRUMENTS, SECOND


def order(order_id, price=100, lots=5):
    return Order(
        order_id, "me", f"{order_id}", INSTRUMENTS[0], Side.BUY, OrderType.LIMIT,
        TimeInForce.DAY, price, lots,
    )  # fmt: skip


class Linked:
    """What the order manager asks of every venue, its own exchange included."""

    @pytest.fixture
    def venue(self):
        return self.make()

    def test_the_link_is_up_when_it_says_so(self, venue):
        """Down at first, up after a logon, down after a logoff; twice does no harm."""
        assert not venue.logged_on()
        for _ in range(2):
            venue.logon()
            assert venue.logged_on()
        for _ in range(2):
            venue.logoff()
            assert not venue.logged_on()

    def test_the_depth_of_what_is_not_traded_is_empty(self, venue):
        """Not an error."""
        assert venue.get_depth("NOBODY", 5) == ([], [])

    def test_starting_again_is_allowed(self, venue):
        """A replay starts from nothing."""
        self.place(venue, order(3))
        venue.reset()
        assert venue.get_depth("X", 5) == ([], [])


class TestEmbeddedVenue(Linked):
    """Our own exchange: the desk speaks to its engine directly."""

    def make(self):
        """As a fold has it: with the exchange of its desk."""
        venue = EmbeddedVenue()
        self.engine = Fold(venue).desk.engine
        self.engine.list_instruments(INSTRUMENTS)
        assert venue.engine is self.engine
        return venue

    def place(self, venue, one):
        self.engine.executions.add(one)
        self.engine.place(one, 0, 0, lambda: 0)
        assert venue.get_depth("X", 5) == ([(one.price_ticks, one.leaves_lots)], [])

    def told(self):
        """What was reported, as (type, order id, request)."""
        reports = self.engine.executions.reports
        told, reports.rows = reports.rows, []
        return [(report.type, report.order_id, report.request_seq) for report in told]

    def test_an_order_is_accepted_changed_and_canceled(self, venue):
        """Each request is answered, by the order's id and the change's sequence."""
        one = order(7)
        self.place(venue, one)
        assert self.told() == [(ResponseType.NEW, 7, 7)]
        assert self.engine.replace(Change(8, "M", one, False, 99, 5)) == ""
        assert self.told() == [(ResponseType.REPLACED, 7, 8)]
        change = Change(9, "C", one, True)
        assert self.engine.cancel(change)
        self.engine.executions.cancel(change)
        assert self.told() == [(ResponseType.CANCELED, 7, 9)]
        assert venue.get_depth("X", 5) == ([], [])

    def test_orders_expire_on_request(self, venue):
        """In the order they came."""
        orders = {order_id: order(order_id, price=90 + order_id) for order_id in (3, 4, 5)}
        for one in orders.values():
            self.engine.executions.add(one)
            self.engine.place(one, 0, 0, lambda: 0)
        self.told()
        self.engine.withdraw([orders[5], orders[3]], OrderState.EXPIRED, "SESSION_ENDED")
        assert self.told() == [(ResponseType.EXPIRED, 3, 0), (ResponseType.EXPIRED, 5, 0)]
        assert venue.get_depth("X", 5) == ([(94, 5)], [])

    def test_listing_again_leaves_the_books_alone(self, venue):
        """Each process lists the instruments."""
        self.place(venue, order(3))
        self.engine.list_instruments(INSTRUMENTS)
        assert venue.get_depth("X", 5) == ([(100, 5)], [])


class TestScriptedVenue(Linked):
    """Somebody else's: it answers by report."""

    def make(self):
        venue = ScriptedVenue(clock=ManualClock())
        self.reports = []
        venue.connect(self.reports.append)
        venue.list_instruments(INSTRUMENTS)
        return venue

    def place(self, venue, one):
        assert self.told(venue, venue.place(one)) == [(ResponseType.NEW, one.order_id, 0)]

    def told(self, venue, events):
        """What it answered later, as (type, order id, request); at once it answers nothing."""
        assert events == ()
        venue.deliver()
        events, self.reports[:] = list(self.reports), []
        return [(event.type, event.order_id, event.request_seq) for event in events]

    def test_an_order_is_accepted_changed_and_canceled(self, venue):
        """Each request is answered, by the order's id and the change's sequence."""
        one = order(7)
        self.place(venue, one)
        events = venue.replace(Change(8, "M", one, False, 99, 5))
        assert self.told(venue, events) == [(ResponseType.REPLACED, 7, 8)]
        events = venue.cancel(Change(9, "C", one, True))
        assert self.told(venue, events) == [(ResponseType.CANCELED, 7, 9)]

    def test_orders_expire_on_request(self, venue):
        """In the order they came."""
        for order_id in (3, 4, 5):
            self.place(venue, order(order_id))
        events = venue.withdraw({5, 3}, ResponseType.EXPIRED, "SESSION_ENDED")
        assert self.told(venue, events) == [
            (ResponseType.EXPIRED, 3, 0), (ResponseType.EXPIRED, 5, 0)
        ]  # fmt: skip

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
