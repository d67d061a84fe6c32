"""What a venue reports, true or not: each is taken once, and what cannot be true not at all."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from oms import ManualClock, MemoryStore, ResponseType
from oms.requests.internal import VenueReport
from oms.venues.scripted import Step
from tests.examples import many
from tests.fakes import buy, cancel, modify, remote, trade


@pytest.mark.parametrize("at_once", [True, False])
def test_a_report_that_comes_twice_counts_once(at_once):
    """In one batch or in two: one acceptance, one fill."""
    desk = remote(Step("fill", times=2))
    desk.send(buy("A", 3, 100))
    desk.venue.deliver()
    told = []
    if not at_once:
        for item in desk.oms.inbox.take(10, 0):
            desk.oms.inbox.notice(item)
            told += desk.step()
    told += desk.step()
    assert told == ["A NEW/NEW", "A TRADE/FILLED"]
    assert desk.oms.get_status()["venue_anomalies"] == 2
    assert desk.refolded() == desk.digest()


@pytest.mark.parametrize(
    "report",
    [
        trade(0, 4, 100, "X1"),  # more than is open
        trade(0, 0, 100, "X1"), trade(0, -1, 100, "X1"), trade(0, 1, 0, "X1"),
        trade(0, 1, 10**30, "X1"),
        VenueReport(ResponseType.NEW, 0),  # again
        VenueReport(ResponseType.REJECTED, 0),  # after it was accepted
        VenueReport(ResponseType.REPLACED, 0, 99),  # never asked
        VenueReport(ResponseType.CANCEL_REJECTED, 0, 99),
        VenueReport(ResponseType.ORDER_STATUS, 0),
        VenueReport(ResponseType.CANCELED, 4711),  # of nobody
        trade(4711, 1, 100),
    ],
)  # fmt: skip
def test_a_report_that_cannot_be_true_is_counted_and_changes_nothing(report):
    """It is in the journal, as ignored; the order stays as it was."""
    desk = remote()
    desk.send(buy("A", 3, 100))
    desk.hear()
    before = desk.oms.get_order("me", "A")
    desk.oms.on_data_response(report._replace(order_id=report.order_id or before.order_id))
    assert desk.step() == []
    assert desk.oms.get_status()["venue_anomalies"] == 1
    assert desk.oms.get_order("me", "A") == before
    assert desk.refolded() == desk.digest()


def test_a_repeated_fill_is_known_by_its_execution_id_after_a_restart_too():
    """Fills with other ids count."""
    store, clock = MemoryStore(), ManualClock()
    desk = remote(store=store, clock=clock)
    desk.send(buy("A", 9, 100))
    desk.hear()
    order_id = desk.oms.get_order("me", "A").order_id
    desk.venue.tell(trade(order_id, 2, 100, "X1"))
    desk.hear()
    desk.stop()
    desk = remote(store=store, clock=clock)
    for execution_id in ("X1", "X2", "X1", "X2", "", ""):  # without an id nobody can tell
        desk.venue.tell(trade(order_id, 2, 100, execution_id))
    desk.hear()
    assert desk.oms.get_order("me", "A").cumulative_lots == 2 + 2 + 2 + 2
    assert desk.oms.get_status()["venue_anomalies"] == 3


reports = st.builds(
    VenueReport,
    type=st.sampled_from(list(ResponseType)),
    order_id=st.integers(0, 14),
    request_seq=st.integers(0, 14),
    price_ticks=st.sampled_from([0, 1, 100]),
    quantity_lots=st.integers(-1, 4),
    reason=st.sampled_from(["", "because", "TOO_LATE: says who"]),
    execution_id=st.sampled_from(["", "X1", "X2"]),
)
names = st.sampled_from("ABCD")
requests = st.one_of(
    st.builds(buy, names, st.integers(1, 3), st.just(100)),
    st.builds(modify, names, names, quantity=st.integers(1, 4)),
    st.builds(cancel, names, names),
)


@given(
    script=st.lists(st.builds(Step, st.sampled_from(["accept", "fill", "reject", "silence"]))),
    turns=st.lists(st.lists(reports | requests, max_size=4), max_size=12),
)
@settings(max_examples=many(200))
def test_whatever_a_venue_says_the_orders_add_up(script, turns):
    """True reports and lies in any order: nobody dies, no fill is taken back."""
    desk = remote(*script)
    filled = {}
    for items in turns:
        for item in items:
            if isinstance(item, VenueReport):
                desk.oms.on_data_response(item)
            else:
                desk.oms.on_data(item)
        desk.clock.advance(1)
        desk.venue.deliver()
        for told in desk.turn():
            assert told.cumulative_lots >= filled.get(told.order_id, 0)
            filled[told.order_id] = told.cumulative_lots
        for order in desk.dispatcher.desk.executions.orders.values():
            assert order.cumulative_lots + order.leaves_lots == order.quantity_lots
            assert order.leaves_lots > 0
        inner = desk.dispatcher.desk
        assert set(inner.venue_reports.execution_ids) <= set(inner.executions.orders)
    owed = desk.oms.get_status()
    assert owed["in_flight"] + owed["unknown"] <= 2 * len(desk.venue.sent)
    assert desk.refolded() == desk.digest()
