"""The urgent lane: what takes risk off overtakes a backlog, and takes along what it is about."""

import threading
from queue import SimpleQueue

import pytest

from oms import (
    MassCancelRequest,
    MemoryStore,
    OperatorAction,
    OperatorRequest,
    OrderTerms,
    RejectReason,
    ResponseType,
    Side,
)
from oms.clock import SystemClock
from oms.config import QueueConfig, StopConfig
from oms.enums import OrderState
from oms.errors import StoreBusyError
from tests.fakes import (
    SOON_S,
    FaultyStore,
    Stepped,
    buy,
    cancel,
    config_of,
    modify,
    sell,
    throttled,
)

BATCH = 4
SMALL = config_of(queue=QueueConfig(batch_max=BATCH, inbox_max=100))
FULL = 100_000
FILLED_S_MAX = 300.0


@pytest.fixture
def desk():
    return Stepped(SMALL).start()


def fill(desk, count=6 * BATCH + 2, account="other"):
    """A backlog of somebody else's orders."""
    for n in range(count):
        desk.oms.on_data(buy(f"{account}{n}", 1, 10, account=account))


def steps(desk):
    """Turns until nothing is left; what they told of the account "me"."""
    told = []
    while desk.oms.inbox.size:
        told += [line for line in desk.step() if not line.startswith("other")]
    assert desk.refolded() == desk.digest()
    return told


def kill(client_id, action=OperatorAction.KILL, **more):
    return OperatorRequest(client_order_id=client_id, action=action, **more)


def test_what_fits_into_a_few_turns_stays_in_the_order_of_arrival(desk):
    """Without a backlog nothing overtakes; the bound is exact."""
    fill(desk, 6 * BATCH - 1)
    desk.oms.on_data(cancel("C0", "other0", account="other"))
    told = [desk.step() for _ in range(6)]
    assert [line for turn in told for line in turn][-1] == "C0 CANCELED/CANCELED"
    assert desk.send(buy("A", 1, 100), cancel("C", "A"), buy("B", 1, 100), cancel("D", "B")) == [
        "A NEW/NEW", "C CANCELED/CANCELED", "B NEW/NEW", "D CANCELED/CANCELED",
    ]  # fmt: skip


def test_a_cancel_overtakes_a_backlog(desk):
    """Of an order that is open; it is in the next turn."""
    desk.send(buy("A", 1, 100))
    fill(desk)
    desk.oms.on_data(cancel("C", "A"))
    assert desk.step()[0] == "C CANCELED/CANCELED"
    steps(desk)


def test_a_cancel_takes_its_order_out_of_the_backlog(desk):
    """Recorded, never sent, canceled: although it would have traded at once."""
    # given an order in the inbox that crosses an open one
    desk.send(sell("S", 1, 100, account="seller"))
    fill(desk)
    placed = desk.oms.submit(buy("A", 1, 100))
    fill(desk, 5, "other-")

    # when it is canceled
    canceled = desk.oms.submit(cancel("C", "A"))
    told = steps(desk)

    # then it is on record, and met nobody
    assert told == ["A PENDING_NEW/PENDING_NEW", "C CANCELED/CANCELED"]
    assert placed.result(0).leaves_lots == 1
    assert canceled.result(0).order_id == placed.result(0).order_id
    assert desk.oms.get_order("me", "A").state is OrderState.CANCELED
    assert desk.oms.get_depth("X", 1)[1] == [(100, 1)]
    assert desk.oms.open_orders("me") == []

    # and its id and that of the cancel are used
    assert desk.ask(buy("A", 1, 100)).type is ResponseType.ORDER_STATUS
    assert desk.ask(buy("A", 2, 100)).reason is RejectReason.DUPLICATE_ID
    assert desk.ask(cancel("C", "A")).state is OrderState.CANCELED
    assert desk.ask(cancel("D", "A")).text == "TOO_LATE: state=CANCELED"


def test_a_cancel_does_not_take_an_order_that_came_after_it(desk):
    """It is of an order that there was not, then."""
    fill(desk)
    for request in (cancel("C", "A"), buy("A", 1, 100)):
        desk.oms.on_data(request)
    assert steps(desk) == ["C CANCEL_REJECTED/REJECTED", "A NEW/NEW"]


def test_a_cancel_by_the_id_of_a_modify_that_it_overtook(desk):
    """The modify would have given the order that id; it comes too late then."""
    # given an open order and one in the inbox, each modified in the inbox, one of them twice
    desk.send(buy("A", 9, 100))
    fill(desk)
    for request in (
        modify("A2", "A", quantity=8), buy("B", 9, 100), modify("B2", "B", quantity=8),
        modify("B3", "B2", quantity=7),
    ):  # fmt: skip
        desk.oms.on_data(request)

    # when both are canceled by their latest ids
    for request in (cancel("CA", "A2"), cancel("CB", "B3")):
        desk.oms.on_data(request)

    # then both are, and the modifies are refused
    assert steps(desk) == [
        "CA CANCELED/CANCELED", "B PENDING_NEW/PENDING_NEW", "CB CANCELED/CANCELED",
        "A2 CANCEL_REJECTED/CANCELED", "B2 CANCEL_REJECTED/CANCELED",
        "B3 CANCEL_REJECTED/CANCELED",
    ]  # fmt: skip
    assert desk.oms.open_orders("me") == []


def test_a_cancel_under_a_used_id_moves_no_order(desk):
    """It is refused, and the order keeps its place: nobody jumps the queue this way."""
    desk.send(buy("U", 1, 10))
    fill(desk)
    for request in (
        buy("A", 1, 100), cancel("U", "A"), cancel("N", "nix"), cancel("N", "A"),
    ):  # fmt: skip
        desk.oms.on_data(request)
    first = desk.step()
    assert first[:3] == ["U CANCEL_REJECTED/NEW", "N CANCEL_REJECTED/REJECTED",
                         "N CANCEL_REJECTED/REJECTED"]  # fmt: skip
    assert steps(desk) == ["A NEW/NEW"]


def test_the_id_of_a_refused_modify_is_no_name_of_an_order_that_waits(start_stepped):
    """It waits for the throttle, as an order that was withdrawn would have; it is open, though."""
    desk = start_stepped(throttled())
    desk.send(buy("B", 1, 100), buy("A", 1, 100))
    desk.send(modify("M", "A", terms=OrderTerms(stop_price=5)))
    assert desk.ask(cancel("C", "M")).reason is RejectReason.UNKNOWN_ORDER
    assert desk.waiting == ["A"]


def test_an_order_that_fits_no_grid_is_refused_whoever_overtakes_it(desk):
    fill(desk)
    for request in (buy("A", "0.5", 100), cancel("C", "A")):
        desk.oms.on_data(request)
    assert steps(desk) == ["A REJECTED/REJECTED", "C CANCEL_REJECTED/REJECTED"]


def test_the_first_of_two_orders_of_one_id_is_the_one(desk):
    """The second is a repeat, wherever the first went."""
    fill(desk)
    for request in (buy("A", 1, 100), buy("A", 1, 100), cancel("C", "A")):
        desk.oms.on_data(request)
    assert steps(desk) == [
        "A PENDING_NEW/PENDING_NEW", "C CANCELED/CANCELED", "A ORDER_STATUS/CANCELED",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("urgent", "left"),
    [
        (MassCancelRequest(account="me", client_order_id="X"), ["Y NEW/NEW"]),
        (MassCancelRequest(account="me", client_order_id="X", side=Side.BUY),
         ["S NEW/NEW", "Y NEW/NEW"]),
        (MassCancelRequest(account="me", client_order_id="X", symbol="ALL"),
         ["A NEW/NEW", "S NEW/NEW", "Y NEW/NEW"]),
        (MassCancelRequest(account="operator", client_order_id="X", everybody=True), ["Y NEW/NEW"]),
        (kill("X"), ["Y REJECTED/REJECTED"]),
    ],
    ids=["account", "side", "symbol", "everybody", "kill"],
)  # fmt: skip
def test_a_sweep_goes_for_what_arrived_before_it(desk, urgent, left):
    """It is answered at once; the orders before it never reach the book, those after it do."""
    # given open orders, and others in the inbox
    desk.send(buy("O", 1, 100))
    fill(desk)
    for request in (buy("A", 1, 100), sell("S", 1, 200), urgent, buy("Y", 1, 100)):
        desk.oms.on_data(request)

    # when turns are taken
    first = desk.step()
    told = steps(desk)

    # then the sweep was in the first, and each order is canceled or placed, not both
    assert "X COMMAND_DONE/None" in first
    placed = [line for line in told if line.endswith(("/NEW", "/REJECTED"))]
    assert placed == left
    ended = [line for line in told if line.endswith("CANCELED/CANCELED")]
    assert len(placed) + len(ended) == 3
    still_open = {response.client_order_id for response in desk.oms.open_orders("me")}
    assert still_open - {"O"} == {line[0] for line in placed if line.endswith("NEW/NEW")}


def test_a_release_after_a_kill_brings_nothing_back(desk):
    """What arrived before the kill does not trade, though trading is active when it comes up."""
    fill(desk)
    for request in (
        buy("A", 1, 100), kill("K"),
        kill("R", OperatorAction.SET_TRADING, value="ACTIVE"), buy("B", 1, 100),
    ):  # fmt: skip
        desk.oms.on_data(request)
    told = steps(desk)
    assert [line for line in told if line[0] in "AB"] == ["A CANCELED/CANCELED", "B NEW/NEW"]
    assert desk.oms.get_order("me", "A").text == "KILL_SWITCH"


def test_a_sweep_that_was_refused_goes_for_nothing(desk):
    """Its id was used before."""
    desk.send(buy("X", 1, 10))
    fill(desk)
    for request in (buy("A", 1, 100), MassCancelRequest(account="me", client_order_id="X")):
        desk.oms.on_data(request)
    assert "A NEW/NEW" in steps(desk)


def test_a_turn_that_was_undone_leaves_no_trace_of_what_it_moved():
    """The store is busy: order and cancel are refused alike, and may be sent again."""
    store = FaultyStore()
    desk = Stepped(SMALL, store=store).start()
    fill(desk)
    placed, canceled = desk.oms.submit(buy("A", 1, 100)), desk.oms.submit(cancel("C", "A"))
    store.faults = [StoreBusyError("busy")]
    desk.step()
    for answer in (placed, canceled):
        assert answer.result(0).reason is RejectReason.STORE_BUSY
    told = desk.send(buy("A", 1, 100), cancel("C", "A")) + steps(desk)
    assert "C CANCELED/CANCELED" in told


def test_orders_go_on_while_cancels_keep_coming(desk):
    """Half of a turn is theirs; nothing starves."""
    fill(desk)
    for n in range(3):
        for m in range(BATCH):
            desk.oms.on_data(cancel(f"C{n}{m}", "nix"))
        assert sum(line.startswith("other") for line in desk.step()) == BATCH // 2
    steps(desk)


def test_a_stop_answers_what_is_urgent_too(desk):
    fill(desk)
    answers = [desk.oms.submit(cancel(f"C{n}", "nix")) for n in range(2 * BATCH)]
    desk.stop()
    assert all(answer.result(0).reason is RejectReason.UNKNOWN_ORDER for answer in answers)
    assert desk.oms.inbox.size == 0


def test_the_urgent_are_answered_at_once_with_a_hundred_thousand_in_the_inbox(start_manager):
    """250 ms, and on a busy machine a few times as long: without the lane it took 17 s."""
    # given a full inbox, and a dispatcher that is held up while it fills
    oms = start_manager(config_of(stop=StopConfig(drain_max_ns=0)), store=MemoryStore())
    oms.submit(buy("open", 1, 100)).result(SOON_S)
    held, go_on = threading.Event(), threading.Event()
    oms.between_turns(lambda *_: held.set() or go_on.wait(FILLED_S_MAX))
    assert held.wait(SOON_S)
    n = 0
    while True:
        last = oms.try_submit(buy(f"#{n}", 1, 50))
        if last.done():
            break
        n += 1
    assert n == FULL
    assert last.result(0).reason is RejectReason.QUEUE_FULL

    # when cancels, a mass cancel and the kill switch come
    clock = SystemClock()
    urgent = [
        cancel("c1", "open"), cancel("c2", f"#{n - 1}"),
        MassCancelRequest(account="you", client_order_id="m"), kill("k"),
    ]  # fmt: skip
    left = SimpleQueue()
    answers = [oms.submit(request) for request in urgent]
    answers[-1].add_done_callback(lambda _: left.put(oms.inbox.size))  # on the dispatcher's thread
    asked_ns = clock.monotonic_ns()
    go_on.set()
    told = [answer.result(SOON_S) for answer in answers]
    took_s = (clock.monotonic_ns() - asked_ns) / 1e9

    # then they are answered, and nearly all of the inbox still waits
    assert [response.type for response in told] == [
        ResponseType.CANCELED, ResponseType.CANCELED, ResponseType.COMMAND_DONE,
        ResponseType.COMMAND_DONE,
    ]  # fmt: skip
    assert left.get(timeout=SOON_S) > FULL * 0.7
    print(f"answered after {took_s:.3f} s")


def test_the_id_of_a_refused_modify_cancels_no_waiting_order():
    """The latest report under that id says PENDING_NEW: of an order that goes by another."""
    # given an order that waits for the throttle, and a modify of it that was refused
    desk = Stepped(throttled(1)).start()
    desk.send(buy("A", 1, 10), buy("B", 9, 11))
    desk.send(modify("M", "B", terms=OrderTerms(stop_price=5)))

    # when somebody cancels what the modify would have been
    answer = desk.ask(cancel("C", "M"))

    # then the order goes on
    assert answer.reason is RejectReason.UNKNOWN_ORDER
    desk.clock.advance(1.1)
    assert desk.step() == ["B NEW/NEW"]
