"""Repeated ids: the same request again gets the same outcome; another request gets a no.

P4: whatever is repeated, when and how often, there is one execution and one end.
"""

import pytest

from oms import ManualClock, MemoryStore, PersistentStorage, RejectReason, ResponseType
from oms.messages import OrderState
from tests.fakes import Stepped, buy, cancel, modify, sell


@pytest.fixture(params=["memory", "sqlite"])
def reopen(request, tmp_path):
    """A function that starts an order manager on the same data, ended before by its stop()."""
    kept = MemoryStore()
    clock = ManualClock()
    running = []

    def start(config=None):
        for before in running:
            before.stop()
        path = tmp_path / "orders.db"
        store = kept if request.param == "memory" else PersistentStorage(path, durability="none")
        running[:] = [Stepped(config, store=store, clock=clock).start()]
        return running[0]

    yield start
    for last in running:
        last.stop()


# --- the same again ---


@pytest.mark.parametrize("restart", [False, True])
def test_the_same_order_again_is_answered_with_how_the_first_one_stands(reopen, restart):
    """Also after a restart, and with another request id: that names the attempt."""
    # given an order that is half filled
    desk = reopen()
    desk.send(buy("A", 4, 100), sell("S", 2, 100))
    first = desk.oms.get_order("me", "A")
    if restart:
        desk = reopen()

    # when it comes again
    again = desk.ask(buy("A", "4.0", 100, request_id="second try"))

    # then nothing is bought twice
    assert again.type is ResponseType.ORDER_STATUS
    assert again.order_id == first.order_id
    assert (again.cumulative_lots, again.leaves_lots) == (2, 2)
    assert again.state is OrderState.PARTIALLY_FILLED
    assert desk.oms.get_depth("X", 5) == ([(100, 2)], [])


def test_a_client_may_call_an_order_like_a_refusal(reopen):
    """COMMAND_REJECTED is a word of ours, and as an id one like any other."""
    desk = reopen()
    desk.send(buy("COMMAND_REJECTED", 1, 100), cancel("C", "COMMAND_REJECTED"))
    assert desk.ask(cancel("C", "COMMAND_REJECTED")).type is ResponseType.ORDER_STATUS


@pytest.mark.parametrize("restart", [False, True])
def test_the_same_order_again_after_its_end_is_told_the_end(reopen, restart):
    """Filled long ago: found on disk."""
    desk = reopen()
    desk.send(buy("A", 1, 100), sell("S", 1, 100))
    if restart:
        desk = reopen()
    again = desk.ask(buy("A", 1, 100))
    assert (again.type, again.state) == (ResponseType.ORDER_STATUS, OrderState.FILLED)
    assert (again.cumulative_lots, again.average_price) == (1, 100)
    assert len(desk.oms.recent_trades("X")) == (0 if restart else 1)


def test_repeats_within_one_batch_are_one_order(reopen):
    """A client that sends three times before it hears anything."""
    desk = reopen()
    told = desk.send(buy("A", 1, 100), buy("A", 1, 100), buy("A", 1, 100))
    assert told == [
        "A NEW/NEW", "A ORDER_STATUS/NEW", "A ORDER_STATUS/NEW"
    ]  # fmt: skip
    assert desk.oms.get_depth("X", 5) == ([(100, 1)], [])


def test_each_future_of_a_repeat_resolves(reopen):
    """Nobody waits for an answer that went to somebody else."""
    desk = reopen()
    answers = [desk.oms.submit(buy("A", 1, 100)) for _ in range(3)]
    desk.step()
    assert len({answer.result(0).order_id for answer in answers}) == 1


@pytest.mark.parametrize("restart", [False, True])
def test_a_refused_order_sent_again_is_told_the_refusal_again(reopen, restart):
    """With its text; whether it was refused for its numbers, its symbol, or by the desk."""
    # given two refusals
    desk = reopen()
    requests = [buy("A", "0.5", 100), buy("B", 1, 100, symbol="NONE")]
    first = [desk.ask(request) for request in requests]
    if restart:
        desk = reopen()

    # when they come again
    again = [desk.ask(request) for request in requests]

    # then they are refused again, and nothing was tried
    for before, after in zip(first, again, strict=True):
        assert after.type is ResponseType.ORDER_STATUS
        assert (after.state, after.text) == (OrderState.REJECTED, before.text)
        assert after.order_id == before.order_id


# --- the same id for something else ---


@pytest.mark.parametrize("restart", [False, True])
@pytest.mark.parametrize(
    "other",
    [
        buy("A", 2, 100), buy("A", 1, 101), sell("A", 1, 100), buy("A", 1), buy("A", 1, "100.5"),
        buy("A", 1, 100, symbol="ALL"), buy("A", 1, 100, symbol="NONE"),
        buy("A", 1, 100, hold=True),
    ],
)  # fmt: skip
def test_the_same_id_for_another_order_is_refused(reopen, other, restart):
    """And reports the order that has the id; a mistaken one too, however it is mistaken."""
    desk = reopen()
    first = desk.ask(buy("A", 1, 100))
    if restart:
        desk = reopen()
    refused = desk.ask(other)
    assert (refused.type, refused.reason) == (ResponseType.REJECTED, RejectReason.DUPLICATE_ID)
    assert refused.text == f"DUPLICATE_ID: first_seq={first.order_id}"
    assert (refused.order_id, refused.state) == (first.order_id, OrderState.NEW)
    assert desk.oms.get_order("me", "A").type is not ResponseType.REJECTED  # it is alive
    assert desk.oms.get_depth("X", 5) == ([(100, 1)], [])


def test_an_id_is_used_up_by_any_kind_of_request(reopen):
    """A cancel with the id of an order, an order with the id of a cancel."""
    desk = reopen()
    desk.send(buy("A", 1, 100), buy("B", 1, 99), cancel("C", "B"))
    assert desk.ask(cancel("A", "A")).reason is RejectReason.DUPLICATE_ID
    assert desk.ask(buy("C", 1, 100)).reason is RejectReason.DUPLICATE_ID
    assert desk.oms.get_depth("X", 5) == ([(100, 1)], [])


def test_accounts_do_not_share_their_ids(reopen):
    """Each has its own A; and nobody reaches another's order by guessing its id."""
    desk = reopen()
    assert desk.ask(buy("A", 1, 100)).type is ResponseType.NEW
    assert desk.ask(buy("A", 2, 99, account="you")).type is ResponseType.NEW
    assert desk.ask(cancel("C", "A", account="they")).reason is RejectReason.UNKNOWN_ORDER
    assert desk.oms.get_depth("X", 5) == ([(100, 1), (99, 2)], [])


# --- changes, repeated ---


@pytest.mark.parametrize("restart", [False, True])
def test_a_cancel_repeated_is_told_that_the_order_is_canceled(reopen, restart):
    """Not that it came too late: it was this cancel that did it."""
    desk = reopen()
    desk.send(buy("A", 1, 100), cancel("C", "A"))
    if restart:
        desk = reopen()
    again = desk.ask(cancel("C", "A"))
    assert (again.type, again.state) == (ResponseType.ORDER_STATUS, OrderState.CANCELED)
    assert again.reason is None


@pytest.mark.parametrize("restart", [False, True])
def test_a_modify_repeated_changes_nothing_more(reopen, restart):
    """Open or over, the order is told as it stands."""
    # given an order that was modified, and then once more
    desk = reopen()
    desk.send(buy("A", 5, 100))
    desk.send(modify("M", "A", quantity=4))
    desk.send(modify("N", "M", quantity=3))
    if restart:
        desk = reopen()

    # when the first modify comes again, while it is open and after its end
    while_open = desk.ask(modify("M", "A", quantity=4))
    desk.send(cancel("C", "N"))
    after_end = desk.ask(modify("M", "A", quantity="4.0"))

    # then the quantity stays 3
    assert (while_open.type, while_open.leaves_lots) == (ResponseType.ORDER_STATUS, 3)
    assert (after_end.type, after_end.state) == (ResponseType.ORDER_STATUS, OrderState.CANCELED)


@pytest.mark.parametrize("over", [False, True])
def test_the_id_of_a_change_for_another_change_is_refused(reopen, over):
    """Another order, another kind, other terms; also when the order is over by then."""
    desk = reopen()
    desk.send(buy("A", 5, 100), buy("B", 5, 99))
    desk.send(modify("M", "A", quantity=4))
    if over:
        desk.send(cancel("C", "A"))
    for other in (
        modify("M", "B", quantity=4), cancel("M", "A"), modify("M", "A", quantity=3),
        modify("M", "A", price=100), modify("M", "A", quantity="0.5"), modify("M", "M", quantity=4),
    ):  # fmt: skip
        refused = desk.ask(other)
        assert refused.type is ResponseType.CANCEL_REJECTED
        assert refused.reason is RejectReason.DUPLICATE_ID, other
    assert desk.oms.get_order("me", "B").leaves_lots == 5


@pytest.mark.parametrize("restart", [False, True])
def test_a_refused_change_repeated_is_told_the_refusal_again(reopen, restart):
    """Too late stays too late, and tells how the order ended."""
    desk = reopen()
    desk.send(buy("A", 1, 100), sell("S", 1, 100))
    first = desk.ask(cancel("C", "A"))
    if restart:
        desk = reopen()
    again = desk.ask(cancel("C", "A"))
    assert first.text == "TOO_LATE: state=FILLED"
    assert (again.type, again.text) == (ResponseType.ORDER_STATUS, first.text)
    assert (again.order_id, again.state) == (first.order_id, OrderState.FILLED)


def test_a_repeat_in_the_turn_that_ended_the_order_is_told_the_end(reopen):
    """Not how the order stood on disk when the turn began."""
    desk = reopen()
    desk.send(buy("A", 1, 100))
    told = desk.send(cancel("C", "A"), cancel("C", "A"), cancel("C", "B"), cancel("D", "C"))
    assert told == [
        "C CANCELED/CANCELED", "C ORDER_STATUS/CANCELED", "C CANCEL_REJECTED/CANCELED",
        "D CANCEL_REJECTED/CANCELED",
    ]  # fmt: skip
    assert desk.oms.open_orders("me") == []
