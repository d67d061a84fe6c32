"""A remote venue, and all that it may do late, wrongly, twice or never.

The venue is scripted; its answers arrive when the test lets them.
"""

import pytest

from oms import ManualClock, MemoryStore, OrderState, ResponseType
from oms.errors import StoreFullError, VenueError
from oms.requests.internal import VenueReport
from oms.venues.scripted import ScriptedVenue, Step
from tests.fakes import FaultyStore, Stepped, buy, cancel, modify, remote, sell, trade


def test_a_remote_order_is_pending_until_the_venue_answers():
    """Sent and not acknowledged; then accepted and filled."""
    desk = remote(Step("fill"))
    assert desk.send(buy("A", 3, 100)) == ["A PENDING_NEW/PENDING_NEW"]
    assert desk.oms.get_order("me", "A").text == "SENT_UNACKED"
    assert desk.oms.get_status()["in_flight"] == 1
    assert desk.hear() == ["A NEW/NEW", "A TRADE/FILLED"]
    assert desk.oms.get_status()["in_flight"] == 0


def test_the_answer_to_a_remote_order_comes_with_the_venues():
    """PENDING_NEW is told to listeners; who asked is told what the venue made of it."""
    # given an order that the venue fills at once, one it rests, one it rejects
    desk = remote(Step("fill"), Step(), Step("reject", reason="no funds"))
    asked = [desk.oms.submit(buy(name, 3, 100)) for name in "ABC"]

    # when they were sent
    desk.step()
    assert [answer.done() for answer in asked] == [False] * 3

    # and when the venue has answered, then
    desk.hear()
    filled, rests, rejected = (answer.result(0) for answer in asked)
    assert (filled.state, [t.last_quantity_lots for t in filled.trades]) == ("FILLED", [3])
    assert (rests.state, rests.leaves_lots, rests.trades) == ("NEW", 3, ())
    assert (rejected.refused, rejected.text) == (True, "VENUE_REJECTED: no funds")
    assert desk.oms.publisher.owed == {}


def test_the_answer_to_a_remote_change_comes_with_the_venues():
    """A modify and a cancel; and what was refused before it was sent is answered at once."""
    desk = remote()
    desk.send(buy("A", 3, 100))
    desk.hear()
    for request, state in ((modify("M", "A", quantity=2), "NEW"), (cancel("C", "M"), "CANCELED")):
        answer = desk.oms.submit(request)
        desk.step()
        assert not answer.done()
        desk.hear()
        assert (answer.result(0).state, answer.result(0).client_order_id) == (
            state, request.client_order_id,
        )  # fmt: skip
    assert desk.ask(cancel("D", "M")).text == "TOO_LATE: state=CANCELED"


def test_a_silent_venue_makes_the_answer_unknown():
    """Nobody waits longer than the venue's time-out."""
    desk = remote(Step("silence"))
    answer = desk.oms.submit(buy("A", 3, 100))
    desk.step()
    desk.clock.advance(5.0)
    desk.step()
    assert (answer.result(0).type, answer.result(0).state) == ("UNKNOWN", "UNKNOWN")


def test_an_order_that_ends_before_it_was_acknowledged_is_answered_with_its_end():
    """The venue never acknowledged the order, but did what its cancel asked for."""
    desk = remote(Step("silence"), Step())
    placed, canceled = desk.oms.submit(buy("A", 3, 100)), desk.oms.submit(cancel("C", "A"))
    desk.step()
    desk.hear()
    assert (placed.result(0).state, canceled.result(0).state) == ("CANCELED", "CANCELED")
    assert desk.oms.publisher.owed == {}


def test_a_refused_change_is_no_answer_to_its_order():
    """The venue refuses the cancel of an order that it has not acknowledged yet."""
    desk = remote(Step("silence"), Step("reject"))
    placed, canceled = desk.oms.submit(buy("A", 3, 100)), desk.oms.submit(cancel("C", "A"))
    desk.step()
    desk.hear()
    assert (placed.done(), canceled.result(0).refused) == (False, True)


def test_a_repeat_of_what_the_venue_owes_is_answered_at_once():
    """It asks how the order stands: sent, and not acknowledged. The first one waits on."""
    desk = remote(Step("silence"))
    first = desk.oms.submit(buy("A", 3, 100))
    desk.step()
    again = desk.ask(buy("A", 3, 100))
    assert (again.repeated, again.state, again.text) == (True, "PENDING_NEW", "SENT_UNACKED")
    assert not first.done()


def test_a_stop_answers_what_the_venue_has_not():
    """It is known how the order stands: sent, and not acknowledged."""
    desk = remote(Step("silence"))
    answer = desk.oms.submit(buy("A", 3, 100))
    desk.step()
    desk.stop()
    assert (answer.result(0).state, answer.result(0).text) == ("PENDING_NEW", "SENT_UNACKED")


def test_changes_are_pending_too():
    """A modify and a cancel, each answered under its own id."""
    desk = remote()
    desk.send(buy("A", 3, 100))
    desk.hear()
    assert desk.send(modify("M", "A", quantity=2)) == ["M PENDING_REPLACE/PENDING_REPLACE"]
    assert desk.hear() == ["M REPLACED/NEW"]
    assert desk.send(cancel("C", "M")) == ["C PENDING_CANCEL/PENDING_CANCEL"]
    assert desk.hear() == ["C CANCELED/CANCELED"]


def test_a_rejection_has_a_stable_code_before_the_venues_own_words():
    """What a venue says is not ours to keep stable."""
    desk = remote(Step("reject", reason="no funds, sorry"), Step(), Step("reject", reason=""))
    desk.send(buy("A", 3, 100))
    assert desk.hear() == ["A REJECTED/REJECTED"]
    assert desk.oms.get_order("me", "A").text == "VENUE_REJECTED: no funds, sorry"
    desk.send(buy("B", 3, 100), cancel("C", "B"))
    desk.send(buy("D", 3, 100))
    desk.venue.deliver()
    desk.step()
    assert desk.oms.get_status()["rejects"]["VENUE_REJECTED"] == 2


def test_a_change_that_the_venue_refuses_leaves_the_order_and_its_names():
    """While it was pending its id found the order; now it does not."""
    desk = remote(Step(), Step("reject"), Step("silence"))
    desk.send(buy("A", 3, 100))
    desk.hear()
    desk.send(modify("M", "A", quantity=2))
    assert desk.oms.get_order("me", "M").state is OrderState.PENDING_REPLACE
    assert desk.hear() == ["M CANCEL_REJECTED/NEW"]
    assert desk.ask(cancel("C", "M")).text == "UNKNOWN_ORDER: orig=M"
    assert desk.send(cancel("D", "A")) == ["D PENDING_CANCEL/PENDING_CANCEL"]


def test_silence_is_told_as_unknown_and_never_as_an_end():
    """After the time-out, once; then for as long as it takes."""
    # given an order that the venue does not answer
    desk = remote(Step("silence"))
    desk.send(buy("A", 3, 100))

    # when the time-out is nearly over, and when it is
    desk.clock.advance(4.9)
    assert desk.step() == []
    desk.clock.advance(0.1)

    # then it is unknown, and stays so for a day
    assert desk.step() == ["A UNKNOWN/UNKNOWN"]
    for _ in range(24):
        desk.clock.advance(3600)
        assert desk.step() == []
    assert desk.oms.get_order("me", "A").state is OrderState.UNKNOWN
    assert [r.client_order_id for r in desk.oms.open_orders("me")] == ["A"]
    assert desk.oms.get_status()["unknown"] == 1

    # and a late answer settles it
    desk.venue.tell(VenueReport(ResponseType.NEW, desk.oms.get_order("me", "A").order_id))
    assert desk.hear() == ["A NEW/NEW"]
    assert desk.oms.get_status()["unknown"] == 0


def test_a_late_fill_settles_an_unknown_order():
    """The acceptance that got lost is told first."""
    desk = remote(Step("silence"))
    desk.send(buy("A", 3, 100))
    desk.clock.advance(6)
    desk.step()
    desk.venue.tell(trade(desk.oms.get_order("me", "A").order_id, 2, 99, "X1"))
    assert desk.hear() == ["A NEW/NEW", "A TRADE/PARTIALLY_FILLED"]


def test_a_cancel_that_is_not_answered_is_unknown_and_a_fill_settles_it():
    """The order is filled, the cancel refused; nothing is owed any more."""
    desk = remote(Step(), Step("silence"))
    desk.send(buy("A", 3, 100))
    desk.hear()
    desk.send(cancel("C", "A"))
    desk.clock.advance(6)
    assert desk.step() == ["C UNKNOWN/UNKNOWN"]
    desk.venue.tell(trade(desk.oms.get_order("me", "A").order_id, 3, 100, "X1"))
    assert desk.hear() == ["A TRADE/PENDING_CANCEL", "C CANCEL_REJECTED/FILLED"]
    assert desk.oms.get_status()["unknown"] == desk.oms.get_status()["in_flight"] == 0


def test_the_venues_no_to_a_cancel_after_the_fill_is_no_anomaly():
    """Cancel and fill crossed: everyday life."""
    desk = remote(Step(), Step("silence"))
    desk.send(buy("A", 3, 100))
    desk.hear()
    desk.send(cancel("C", "A"))
    order_id, cancel_seq = desk.venue.sent
    desk.venue.tell(trade(order_id, 3, 100, "X1"))
    desk.venue.tell(VenueReport(ResponseType.CANCEL_REJECTED, order_id, cancel_seq))
    assert desk.hear() == ["A TRADE/PENDING_CANCEL", "C CANCEL_REJECTED/FILLED"]
    assert desk.oms.get_status()["venue_anomalies"] == 0
    assert desk.oms.get_status()["in_flight"] == 0


@pytest.mark.parametrize("stopped", [True, False])
def test_what_was_in_flight_at_a_restart_is_unknown_after_the_time_out(stopped):
    """It may have been lost, or answered while nobody listened; it is not sent again."""
    # given a new order and a cancel that were sent, and a process that ends
    store, clock = MemoryStore(), ManualClock()
    desk = remote(Step(), Step("silence"), Step("silence"), store=store, clock=clock)
    desk.send(buy("A", 3, 100))
    desk.hear()
    desk.send(buy("B", 3, 100), cancel("C", "A"))
    if stopped:
        desk.stop()

    # when the next one waits for the answers
    desk = remote(store=store, clock=clock)
    assert desk.oms.get_status()["in_flight"] == 2
    clock.advance(5)

    # then they are unknown
    assert sorted(desk.step()) == ["B UNKNOWN/UNKNOWN", "C UNKNOWN/UNKNOWN"]
    assert desk.venue.sent == []


def test_an_unknown_order_is_unknown_to_the_next_process_too():
    """From a snapshot as from the journal; and it can still be canceled."""
    desk = remote(Step("silence"))
    desk.send(buy("A", 3, 100))
    desk.clock.advance(5)
    assert desk.step() == ["A UNKNOWN/UNKNOWN"]
    desk.stop()
    desk = remote(store=desk.store, clock=desk.clock)
    assert desk.dispatcher.fold.snapshot_seq > 0
    assert desk.refolded() == desk.digest()
    assert desk.oms.get_order("me", "A").state is OrderState.UNKNOWN
    desk.send(cancel("C", "A"))
    assert desk.hear() == ["C CANCELED/CANCELED"]


def test_an_order_that_ended_is_owed_nothing():
    """Its cancel was answered, the order itself never was: nothing stays in flight."""
    desk = remote(Step("silence"))
    desk.send(buy("A", 3, 100))
    desk.send(cancel("C", "A"))
    assert desk.oms.get_status()["in_flight"] == 2
    assert desk.hear() == ["C CANCELED/CANCELED"]
    assert desk.oms.get_status()["in_flight"] == 0
    desk.clock.advance(5)
    assert desk.step() == []


def test_a_silence_that_could_not_be_stored_is_told_later():
    """The time-out is noticed once; its entry is kept for the turn that can store it."""
    store = FaultyStore()
    desk = remote(Step("silence"), store=store)
    desk.send(buy("A", 3, 100))
    desk.clock.advance(5)
    store.faults = [StoreFullError("no space")]
    assert desk.step() == []
    assert desk.step() == ["A UNKNOWN/UNKNOWN"]


def test_a_request_reaches_the_venue_only_after_its_commit():
    """Otherwise a crash could leave an order at the venue that we do not know of."""

    # given a store that notes what the venue had been sent when it committed
    class Watching(MemoryStore):
        def commit(self):
            seen.append(len(venue.sent))
            super().commit()

    seen, clock = [], ManualClock()
    venue = ScriptedVenue(clock=clock)
    desk = Stepped(venue=venue, clock=clock, store=Watching()).start()

    # when orders are sent in two turns
    seen.clear()
    desk.send(buy("A", 1, 100), sell("B", 1, 101))
    desk.send(buy("C", 1, 100))

    # then the venue had nothing of a turn at the turn's commit
    assert seen == [0, 2]
    assert len(venue.sent) == 3


def test_a_turn_that_could_not_be_stored_is_not_sent():
    """Nor is it awaited; the next request takes its number."""
    store = FaultyStore()
    desk = remote(store=store)
    store.faults = [StoreFullError("no space")]
    assert desk.send(buy("A", 1, 100)) == ["A REJECTED/REJECTED"]
    assert (desk.venue.sent, desk.oms.get_status()["in_flight"]) == ([], 0)
    assert desk.send(buy("A", 1, 100)) == ["A PENDING_NEW/PENDING_NEW"]
    assert len(desk.venue.sent) == desk.oms.get_status()["in_flight"] == 1


def test_what_the_venue_said_is_not_lost_when_it_cannot_be_stored():
    """It is taken in the turn that can."""
    store = FaultyStore()
    desk = remote(Step("fill"), store=store)
    desk.send(buy("A", 1, 100))
    store.faults = [StoreFullError("no space")]
    assert desk.hear() == []
    assert desk.step() == ["A NEW/NEW", "A TRADE/FILLED"]


def test_two_modifies_under_way_do_not_undo_each_other():
    """The second names a quantity alone; the price is the first one's, not the old one."""
    desk = remote()
    desk.send(buy("A", 5, 100))
    desk.hear()
    desk.send(modify("M", "A", price=101), modify("N", "A", quantity=4))
    assert desk.hear() == ["M REPLACED/PENDING_REPLACE", "N REPLACED/NEW"]
    order = desk.dispatcher.desk.executions.find("me", "A")
    assert (order.price_ticks, order.quantity_lots) == (101, 4)


def test_a_venue_that_cannot_be_reached_leaves_the_outcome_unknown():
    """The request is journaled as sent: whether it arrived, nobody knows."""
    desk = remote()
    desk.venue.place = _unreachable
    assert desk.send(buy("A", 1, 100)) == ["A PENDING_NEW/PENDING_NEW"]
    desk.clock.advance(5)
    assert desk.step() == ["A UNKNOWN/UNKNOWN"]


def _unreachable(_order):
    raise VenueError("connection lost")
