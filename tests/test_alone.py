"""The parts used alone: they take what one would guess, and refuse what would go wrong later."""

from collections import deque
from dataclasses import dataclass
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oms import (
    BookTrade,
    ManualClock,
    OrderBook,
    OrderQueue,
    OrderThrottler,
    OrderTracker,
    PersistentStorage,
    Schedule,
    Side,
    TradingSession,
)
from oms.errors import StoreError, ValidationError
from tests.reference_book import ReferenceBook


@dataclass
class Waiting:
    price_ticks: int = 100
    quantity_lots: int = 5


def refused(field, call, *arguments, **named):
    with pytest.raises(ValidationError) as caught:
        call(*arguments, **named)
    assert caught.value.field == field


# --- the book ---


@pytest.mark.parametrize(
    ("field", "order"),
    [
        ("price_ticks", (1, "SELL", -98, 5)), ("price_ticks", (1, "SELL", 0, 5)),
        ("price_ticks", (1, "SELL", 98.5, 5)), ("price_ticks", (1, "SELL", None, 5)),
        ("price_ticks", (1, "SELL", "98", 5)), ("price_ticks", (1, "SELL", 10**19, 5)),
        ("quantity_lots", (1, "SELL", 98, 0)), ("quantity_lots", (1, "SELL", 98, True)),
        ("side", (1, "sell", 98, 5)), ("side", (1, None, 98, 5)), ("order_id", (0, "BUY", 98, 5)),
        ("order_id", ("1", "BUY", 98, 5)), ("order_id", (7, "BUY", 200, 5)),
    ],
)  # fmt: skip
def test_a_book_refuses_what_is_no_order_and_nothing_has_changed(field, order):
    """A negative price would stand at the top for ever; a second id 7 could not be canceled."""
    # given
    book = OrderBook()
    book.add_order(7, "SELL", 100, 5)

    # when, then
    refused(field, book.add_order, *order)
    assert book.get_depth(9) == ([], [(100, 5)])
    book.check()


def test_an_id_is_free_again_once_its_order_is_gone():
    """Filled or canceled; and by members as by names."""
    book = OrderBook()
    assert book.add_order(1, Side.SELL, 100, 5) == []
    assert book.add_order(2, "BUY", 101, 5) == [BookTrade(1, 100, 5)]
    assert book.cancel_order(1) == book.cancel_order(2) == 0
    book.add_order(1, "BUY", 99, 3)
    assert book.cancel_order(1) == 3
    assert book.add_order(1, "BUY", 98, 2) == []
    refused("order_id", book.cancel_order, "1")


@given(
    st.lists(
        st.tuples(
            st.integers(1, 9), st.sampled_from(Side), st.integers(98, 102), st.integers(0, 5)
        ),
        max_size=60,
    )
)
def test_a_book_alone_trades_as_the_naive_one(steps):
    """No lots: a cancel of that id. An id that rests is refused, and changes nothing."""
    book, twin = OrderBook(), ReferenceBook()
    for number, side, price, lots in steps:
        rests = twin.find(number)
        if lots and rests:
            refused("order_id", book.add_order, number, side, price, lots)
        elif lots:
            assert book.add_order(number, side, price, lots) == twin.add(
                number, side is Side.BUY, price, lots
            )
        else:
            assert book.cancel_order(number) == (rests.lots if rests else 0)
            twin.cancel(number)
        assert book.get_depth(9) == (twin.depth(True), twin.depth(False))
        book.check()


# --- the queue ---


def test_a_queue_refuses_an_id_that_waits():
    """It would have replaced the order that waited, in that one's place."""
    queue, first = OrderQueue(), Waiting()
    queue.add_order(1, first)
    queue.add_order(2, Waiting(), urgent=True)
    for taken in (1, 2):
        refused("order_id", queue.add_order, taken, Waiting())
        refused("order_id", queue.add_order, taken, Waiting(), urgent=True)
    refused("order_id", queue.add_order, "3", Waiting())
    refused("order_id", queue.add_order, True, Waiting())
    assert queue.size == 2
    assert queue.cancel_order(1) is first
    assert queue.add_order(1, Waiting())  # it waits no more


@pytest.mark.parametrize(
    ("field", "price", "lots"),
    [("price_ticks", -1, 5), ("price_ticks", 1.5, 5), ("quantity_lots", 9, 0),
     ("quantity_lots", 9, "5")],
)  # fmt: skip
def test_a_queue_refuses_a_change_that_is_none(field, price, lots):
    queue, order = OrderQueue(), Waiting()
    queue.add_order(1, order)
    refused(field, queue.modify_order, 1, price, lots)
    assert order == Waiting()


# --- throttle, tracker, session, store ---


def test_a_throttle_takes_the_number_of_sends():
    """In a second; a bucket holds as many unless told otherwise."""
    assert [OrderThrottler(3).free(0), OrderThrottler(3, policy="token_bucket").free(0)] == [3, 3]
    throttler = OrderThrottler(2, 10)
    throttler.sent_many(2, 0)
    assert (throttler.allows(9), throttler.allows(10)) == (False, True)
    refused("sends_max", OrderThrottler, "sliding_window")
    refused("sends_max", OrderThrottler, 2.5, policy="token_bucket")


def test_a_tracker_has_a_time_out_of_its_own():
    tracker = OrderTracker()
    tracker.sent(1, 0)
    assert tracker.overdue(4_999_999_999) == []
    assert tracker.overdue(5_000_000_000) == [1]
    refused("request_seq", tracker.sent, 1, 6_000_000_000)


POLICIES = ("sliding_window", "token_bucket", "fixed_window")


@pytest.mark.parametrize(
    ("call", "named"),
    [
        *(
            (lambda wrong, how=how, policy=policy: getattr(
                OrderThrottler(2, policy=policy), how)(wrong), "now_ns")
            for policy in POLICIES for how in ("allows", "sent")
        ),
        (lambda wrong: TradingSession("09:00-17:00").is_open(wrong), "wall_ns"),
        (lambda wrong: TradingSession("09:00-17:00").window_at(wrong), "wall_ns"),
        (lambda wrong: OrderTracker().sent(wrong, 1), "request_seq"),
        (lambda wrong: OrderTracker().sent(1, wrong), "now_ns"),
        (lambda wrong: OrderTracker().answered(1, wrong), "now_ns"),
        (lambda wrong: ManualClock().advance(wrong), "seconds"),
        (lambda wrong: ManualClock().jump(wrong), "seconds"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("wrong", ["noon", None, datetime(2026, 3, 2, tzinfo=UTC)])
def test_a_method_names_the_argument_that_is_none(call, named, wrong):
    """Not a TypeError from within, nor a mistake that shows only later."""
    with pytest.raises(ValidationError) as refused:
        call(wrong)
    assert refused.value.field == named


def test_a_queue_refuses_what_is_no_order():
    """None at once; what lacks price and quantity when they are to be changed."""
    queue = OrderQueue()
    with pytest.raises(ValidationError, match="order: expected"):
        queue.add_order(1, None)
    queue.add_order(1, "an order")
    with pytest.raises(ValidationError, match="order: expected"):
        queue.modify_order(1, 100, 5)
    assert queue.size == 1


def test_a_clock_goes_by_finite_seconds_forward():
    clock = ManualClock()
    before = clock.wall_ns()
    for wrong in (-1, float("nan"), float("inf")):
        with pytest.raises(ValidationError, match="seconds"):
            clock.advance(wrong)
    assert clock.wall_ns() == before


def test_a_session_takes_plain_hours():
    """As text, of every day or of some, in a zone; or a whole schedule."""
    saturday = ManualClock.at(datetime(2026, 3, 7, 9, 0, tzinfo=UTC)).wall_ns()
    assert TradingSession("09:00-17:00").is_open(saturday)
    assert not TradingSession("Mon-Fri 09:00-17:00").is_open(saturday)
    assert TradingSession("Sat 14:30-20:00", time_zone="Asia/Kolkata").is_open(saturday)
    always = TradingSession(Schedule.parse(always_open=True))
    assert always.is_open(saturday) and always.should_be_logged_on(saturday)
    early = TradingSession("10:00-17:00", 3600, 60)
    assert early.should_be_logged_on(saturday) and not early.is_open(saturday)


@pytest.mark.parametrize(
    ("field", "arguments", "named"),
    [
        ("hours", ("9-17",), {}), ("hours", ("",), {}), ("schedule", (9,), {}),
        ("schedule", (None,), {}), ("time_zone", ("09:00-17:00",), {"time_zone": "Mars"}),
        ("logon_lead_s", ("09:00-17:00", -1), {}), ("logout_grace_s", ("09:00-17:00", 0, "5"), {}),
        ("logout_grace_s", ("09:00-17:00", 0, float("nan")), {}),
        ("time_zone", (Schedule.parse(always_open=True),), {"time_zone": "Asia/Kolkata"}),
    ],
)  # fmt: skip
def test_a_session_of_what_is_none_is_refused(field, arguments, named):
    refused(field, TradingSession, *arguments, **named)


@pytest.mark.parametrize(
    ("field", "named"),
    [
        ("path", {"path": 5}), ("path", {"path": ""}), ("durability", {"durability": "most"}),
        ("durability", {"durability": ["full"]}), ("busy_timeout_ns", {"busy_timeout_ns": -1}),
        ("busy_timeout_ns", {"busy_timeout_ns": 0.5}), ("accept_loss", {"accept_loss": -1}),
    ],
)  # fmt: skip
def test_a_store_refuses_an_argument_out_of_range(field, named):
    """When it is made; nothing was opened."""
    refused(field, PersistentStorage, **{"path": "orders.db", **named})


def test_a_store_is_open_in_its_with_block(tmp_path):
    """And closed after it, whatever happened in it."""
    store = PersistentStorage(tmp_path / "orders.db", durability="none")
    with store:
        assert list(store.records()) == []
    with pytest.raises(StoreError, match="not open"):
        store.records()
    with pytest.raises(KeyError), store:
        raise KeyError
    with pytest.raises(StoreError, match="not open"):
        store.records()
    assert deque(store.path.parent.glob("*-wal")) == deque()
