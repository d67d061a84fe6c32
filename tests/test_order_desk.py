"""The order desk: each thing that can happen to an order, and what its owner is told.

A report reads "A NEW/NEW": client order id, what happened / how the order stands since.
"""

import pytest

from oms.enums import OrderState
from oms.requests import codec
from tests.turns import Turns, cancel, link, modify, new, session


@pytest.fixture
def turns():
    """An open market with a link."""
    return Turns()


def reasons(turns):
    """The texts of the last turn's reports."""
    return [report.reason for report in turns.desk.reports.rows]


# --- a new order: refused, waiting, accepted ---


def test_an_order_when_the_market_is_closed_is_rejected(turns):
    """Recorded and refused; it leaves nothing behind."""
    turns.turn(*session("CLOSE"))
    assert turns.turn(new("A", "BUY", 1, 100)) == ["A REJECTED/REJECTED"]
    assert reasons(turns) == ["SESSION_CLOSED: symbol=X, tif=GTC"]
    assert turns.order("A") is None


def test_an_order_that_asks_to_be_held_waits_for_the_open(turns):
    """By its own wish; the next one, without the wish, is refused."""
    turns.turn(*session("CLOSE"))
    assert turns.turn(new("A", "BUY", 1, 100, hold=True)) == ["A PENDING_NEW/PENDING_NEW"]
    assert reasons(turns) == ["HELD_SESSION"]
    assert turns.turn(new("B", "BUY", 1, 100)) == ["B REJECTED/REJECTED"]
    assert turns.turn(*session("OPEN")) == ["A NEW/NEW"]


@pytest.mark.parametrize(("tif", "price"), [("IOC", 100), ("FOK", 100), ("GTC", 0), ("DAY", 0)])
def test_what_must_trade_at_once_is_never_held(tif, price):
    """Even where the configuration holds orders: nobody knows the price at the open."""
    turns = Turns(hold=True)
    turns.turn(*session("CLOSE"))
    assert turns.turn(new("A", "BUY", 1, price, tif=tif)) == ["A REJECTED/REJECTED"]
    assert turns.turn(new("B", "BUY", 1, 100, tif="DAY")) == ["B PENDING_NEW/PENDING_NEW"]


def test_an_order_beyond_the_bound_of_the_queue_is_rejected():
    """With the bound in the text."""
    turns = Turns(waiting_max=2)
    told = turns.turn(*(new(c, "BUY", 1, 100) for c in "ABC"), send=0)
    assert told == [
        "C REJECTED/REJECTED", "A PENDING_NEW/PENDING_NEW", "B PENDING_NEW/PENDING_NEW"
    ]  # fmt: skip
    assert reasons(turns)[0] == "QUEUE_FULL: waiting=2, max=2"


def test_an_order_without_a_permit_is_told_so_and_accepted_later(turns):
    """Its first answer comes in the turn that saw it."""
    assert turns.turn(new("A", "BUY", 1, 100), send=0) == ["A PENDING_NEW/PENDING_NEW"]
    assert reasons(turns) == ["QUEUED_THROTTLE"]
    assert turns.turn() == ["A NEW/NEW"]


def test_an_order_waits_while_the_link_is_down(turns):
    """The market is open; but there is nobody to send to."""
    turns.turn(link(False))
    assert turns.turn(new("A", "BUY", 1, 100)) == ["A PENDING_NEW/PENDING_NEW"]
    assert turns.turn(link(True)) == ["A NEW/NEW"]


# --- trades ---


def test_both_sides_of_a_trade_are_told_and_the_arriving_one_was_accepted_first(turns):
    """3 of 5, then the rest: partially filled, filled; a taker and a maker each time."""
    turns.turn(new("S", "SELL", 5, 100))
    assert turns.turn(new("B", "BUY", 3, 101)) == [
        "B NEW/NEW", "B TRADE/FILLED", "S TRADE/PARTIALLY_FILLED"
    ]  # fmt: skip
    assert turns.turn(new("C", "BUY", 4, 101)) == [
        "C NEW/NEW", "C TRADE/PARTIALLY_FILLED", "S TRADE/FILLED"
    ]  # fmt: skip
    last = turns.reports[-1]
    assert (last.last_price_ticks, last.last_quantity_lots) == (100, 2)
    assert (last.cumulative_lots, last.leaves_lots, last.notional) == (5, 0, "500")


def test_what_cannot_trade_at_once_ends_canceled(turns):
    """IOC in part; FOK whole; a market order in an empty book."""
    turns.turn(new("S", "SELL", 2, 100))
    assert turns.turn(new("I", "BUY", 3, 100, tif="IOC")) == [
        "I NEW/NEW", "I TRADE/PARTIALLY_FILLED", "S TRADE/FILLED", "I CANCELED/CANCELED"
    ]  # fmt: skip
    assert turns.turn(new("F", "BUY", 3, 100, tif="FOK")) == ["F NEW/NEW", "F CANCELED/CANCELED"]
    assert turns.turn(new("M", "SELL", 3)) == ["M NEW/NEW", "M CANCELED/CANCELED"]


# --- cancels ---


def test_an_order_that_waits_is_canceled_where_it_waits(turns):
    """It is never sent; in the same turn its owner first hears that it waited."""
    turns.turn(new("A", "BUY", 1, 100), send=0)
    assert turns.turn(cancel("C", "A"), send=0) == ["C CANCELED/CANCELED"]
    assert turns.turn(new("B", "BUY", 1, 100), cancel("D", "B"), send=0) == [
        "B PENDING_NEW/PENDING_NEW", "D CANCELED/CANCELED"
    ]  # fmt: skip
    assert turns.waiting == []
    assert list(turns.desk.engine.markets["X"].book.orders()) == []


def test_a_resting_order_is_canceled_at_once_when_there_is_a_permit(turns):
    """One answer, under the cancel's id."""
    turns.turn(new("A", "BUY", 1, 100))
    assert turns.turn(cancel("C", "A")) == ["C CANCELED/CANCELED"]


def test_a_cancel_that_must_wait_is_pending_and_a_second_one_refused(turns):
    """And it overtakes the orders that wait, when there is one permit again."""
    turns.turn(new("A", "BUY", 1, 100))
    assert turns.turn(cancel("C", "A"), cancel("D", "A"), new("B", "BUY", 1, 99), send=0) == [
        "D CANCEL_REJECTED/PENDING_CANCEL",
        "C PENDING_CANCEL/PENDING_CANCEL",
        "B PENDING_NEW/PENDING_NEW",
    ]
    assert reasons(turns) == ["ALREADY_PENDING", "QUEUED_THROTTLE", "QUEUED_THROTTLE"]
    assert turns.turn(modify("M", "A", lots=2), send=0) == ["M CANCEL_REJECTED/PENDING_CANCEL"]
    assert turns.turn(send=1) == ["C CANCELED/CANCELED"]
    assert turns.waiting == ["B"]


def test_a_cancel_is_sent_also_when_the_market_is_closed(turns):
    """Orders wait for the open; who wants out gets out."""
    turns.turn(new("A", "BUY", 1, 100))
    turns.turn(*session("CLOSE"))
    assert turns.turn(cancel("C", "A")) == ["C CANCELED/CANCELED"]


# --- modifies ---


def test_an_order_that_waits_is_changed_where_it_waits(turns):
    """The new terms, the new name; the place by the rule of the queue."""
    turns.turn(new("A", "BUY", 5, 100), new("B", "BUY", 5, 100), send=0)
    assert turns.turn(modify("A2", "A", lots=4), send=0) == ["A2 REPLACED/PENDING_NEW"]
    assert turns.waiting == ["A2", "B"]
    assert turns.turn(modify("A3", "A2", price=101), send=0) == ["A3 REPLACED/PENDING_NEW"]
    assert turns.waiting == ["B", "A3"]
    order = turns.order("A")
    assert (order.price_ticks, order.quantity_lots, order.leaves_lots) == (101, 4, 4)
    assert order is turns.order("A2") is turns.order("A3")


def test_a_modify_of_a_resting_order_is_one_step(turns):
    """Replaced under the new id; the ids before it still find the order."""
    turns.turn(new("A", "BUY", 5, 100))
    assert turns.turn(modify("A2", "A", price=99, lots=6)) == ["A2 REPLACED/NEW"]
    assert turns.turn(cancel("C", "A")) == ["C CANCELED/CANCELED"]


def test_a_modify_that_must_wait_is_pending(turns):
    """And takes what it left open as it is when it is sent: a fill came between."""
    turns.turn(new("A", "BUY", 5, 100))
    told = turns.turn(modify("A2", "A", lots=4), modify("A3", "A", price=99), send=0)
    assert told == ["A2 PENDING_REPLACE/PENDING_REPLACE", "A3 PENDING_REPLACE/PENDING_REPLACE"]
    assert turns.turn(send=1) == ["A2 REPLACED/PENDING_REPLACE"]
    assert turns.turn(send=1) == ["A3 REPLACED/NEW"]
    order = turns.order("A")
    assert (order.price_ticks, order.quantity_lots) == (99, 4)


@pytest.mark.parametrize("lots", [2, 3])
def test_a_total_at_or_below_what_is_filled_completes_the_order(turns, lots):
    """3 of 5 are filled: the order is done, with what it has."""
    turns.turn(new("A", "BUY", 5, 100), new("S", "SELL", 3, 100))
    assert turns.turn(modify("A2", "A", lots=lots)) == ["A2 REPLACED/FILLED"]
    last = turns.reports[-1]
    assert (last.cumulative_lots, last.leaves_lots) == (3, 0)
    assert turns.order("A") is None


def test_a_modify_that_crosses_trades_at_once(turns):
    """Replaced first, then the trade, for both."""
    turns.turn(new("A", "BUY", 5, 99), new("S", "SELL", 3, 100))
    assert turns.turn(modify("A2", "A", price=100)) == [
        "A2 REPLACED/NEW", "A2 TRADE/PARTIALLY_FILLED", "S TRADE/FILLED"
    ]  # fmt: skip


def test_a_modify_that_finds_the_queue_full_is_refused_and_the_order_stays():
    """Only cancels have room beyond the bound."""
    turns = Turns(waiting_max=1)
    turns.turn(new("A", "BUY", 1, 100))
    turns.turn(new("B", "BUY", 1, 100), send=0)
    assert turns.turn(modify("M", "A", lots=2), send=0) == ["M CANCEL_REJECTED/NEW"]
    assert turns.turn(cancel("C", "A"), send=0) == ["C PENDING_CANCEL/PENDING_CANCEL"]


def test_an_order_that_ends_refuses_the_changes_that_wait_for_it(turns):
    """The cancel overtook the modify: canceled is final, and the modify comes too late."""
    turns.turn(new("A", "BUY", 1, 100))
    turns.turn(modify("M", "A", lots=2), cancel("C", "A"), send=0)
    assert turns.turn() == ["C CANCELED/CANCELED", "M CANCEL_REJECTED/CANCELED"]
    assert turns.waiting == []


def test_a_fill_overtakes_a_modify_that_waits(turns):
    """The last fill is told as pending, as the modify still is; then that comes too late."""
    turns.turn(new("A", "BUY", 1, 100))
    turns.turn(new("S", "SELL", 1, 100), modify("M", "A", lots=2), send=0)
    assert turns.turn(send=1) == [
        "S NEW/NEW", "S TRADE/FILLED", "A TRADE/PENDING_REPLACE", "M CANCEL_REJECTED/FILLED"
    ]  # fmt: skip
    assert reasons(turns)[-1] == "TOO_LATE"


# --- the session's end, and the daemon's ---


def test_at_the_close_what_cannot_stay_expires_in_book_order_then_queue_order(turns):
    """DAY orders go; GTC orders stay, resting or waiting."""
    turns.turn(new("D1", "BUY", 1, 98, tif="DAY"), new("G1", "BUY", 1, 98))
    turns.turn(new("D2", "BUY", 1, 99, tif="DAY"))
    turns.turn(
        new("D3", "BUY", 1, 97, tif="DAY"), new("G2", "BUY", 1, 97), new("M", "BUY", 1),
        new("I", "BUY", 1, 97, tif="IOC"), modify("D9", "D1", lots=1), send=0,
    )  # fmt: skip
    assert turns.turn(*session("CLOSE")) == [
        "D1 EXPIRED/EXPIRED", "D9 CANCEL_REJECTED/EXPIRED", "D2 EXPIRED/EXPIRED",
        "D3 EXPIRED/EXPIRED", "M EXPIRED/EXPIRED", "I EXPIRED/EXPIRED",
        "G2 PENDING_NEW/PENDING_NEW",
    ]  # fmt: skip
    assert turns.waiting == ["G2"]
    assert turns.turn(*session("OPEN")) == ["G2 NEW/NEW"]
    assert turns.order("G1").state is OrderState.NEW


def test_a_pause_lets_nothing_expire(turns):
    """A lunch break is not the end of the day."""
    turns.turn(new("D", "BUY", 1, 98, tif="DAY"))
    turns.turn(new("E", "BUY", 1, 98, tif="DAY"), send=0)
    assert turns.turn(*session("PAUSE")) == ["E PENDING_NEW/PENDING_NEW"]
    assert turns.turn(*session("OPEN")) == ["E NEW/NEW"]


def test_a_stop_that_cancels_takes_back_the_orders_that_wait(turns):
    """The reason says why; what rests in the book stays."""
    turns.turn(new("A", "BUY", 1, 100))
    turns.turn(new("B", "BUY", 1, 100), send=0)
    assert turns.turn((codec.STOP,), send=0) == ["B CANCELED/CANCELED"]
    assert reasons(turns) == ["SHUTTING_DOWN"]
    assert turns.order("A").state is OrderState.NEW


def test_a_new_process_finds_the_link_down_and_the_queue_as_it_was(turns):
    """Orders that waited go out in order once the link is up."""
    turns.turn(new("A", "BUY", 1, 100), new("B", "BUY", 1, 100), send=0)
    turns.turn((codec.START, turns.desk.settings))
    assert turns.waiting == ["A", "B"]
    assert turns.turn(link(True)) == ["A NEW/NEW", "B NEW/NEW"]
