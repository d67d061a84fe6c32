"""The life of an OrderManagement: its threads, its end, and what it dies of."""

import itertools
import threading
from dataclasses import replace
from queue import SimpleQueue

import pytest

from oms import (
    ManualClock,
    MemoryStore,
    OrderManagement,
    OrderTerms,
    RejectReason,
    ResponseType,
    app,
    manager,
)
from oms.clock import SystemClock
from oms.config import ControlConfig, QueueConfig, StopConfig, StoreConfig, ThrottleConfig
from oms.enums import OrderState
from oms.errors import DeadlockError, OutcomeUnknownError, StoppedError, StoreError
from oms.turn.threads import THREADS
from oms.venues.scripted import ScriptedVenue, Step
from tests.fakes import (
    SOON_S,
    BreakingVenue,
    FaultyStore,
    Stepped,
    buy,
    cancel,
    config_of,
    hear,
    trade,
)
from tests.processes import wait_until


def test_its_threads_are_those_of_the_table_and_end_with_it(start_manager):
    """No thread without a row, a name and a stop."""
    before = set(threading.enumerate())
    oms = start_manager(venue=ScriptedVenue())
    names = {thread.name for thread in set(threading.enumerate()) - before}
    assert names == {"oms-session", "oms-dispatch", "oms-venue"}
    assert names <= {row.name for row in THREADS}
    oms.stop()
    assert set(threading.enumerate()) <= before


def test_it_is_started_once_and_stopped_as_often_as_one_likes(start_manager):
    """A second start has nothing to start from."""
    oms = start_manager()
    with pytest.raises(StoppedError, match="started once"):
        oms.start()
    oms.stop()
    oms.stop()
    with pytest.raises(StoppedError, match="started once"):
        oms.start()
    OrderManagement(config_of(), store=MemoryStore()).stop()


def test_after_the_stop_requests_raise_and_questions_are_answered(start_manager):
    """Nobody would ever answer a request; what is published stays."""
    oms = start_manager()
    oms.submit(buy("A", 1, 100)).result(SOON_S)
    oms.stop()
    for ask in (oms.submit, oms.on_data, lambda request: oms.submit_all([request])):
        with pytest.raises(StoppedError, match="has stopped"):
            ask(buy("B", 1, 100))
    with pytest.raises(StoppedError, match="has stopped"):
        oms.on_data_response(trade(1, 1, 1))
    assert oms.get_status()["health"] == "stopped"
    assert oms.get_order("me", "A").leaves_lots == 1
    assert oms.get_order("me", "B") is None


def test_before_the_start_requests_raise(tmp_path):
    """At once, and nothing of them is left when it starts."""
    oms = OrderManagement(config_of(), directory=tmp_path)
    for ask in (oms.submit, oms.on_data, lambda request: oms.submit_all([request])):
        with pytest.raises(StoppedError, match="start"):
            ask(buy("A", 1, 100))
    with pytest.raises(StoppedError, match="start"):
        oms.on_data_response(trade(1, 1, 1))
    oms.start()
    try:
        assert oms.submit(buy("A", 1, 100)).result(SOON_S).type is ResponseType.NEW
    finally:
        oms.stop()


def test_while_it_stops_requests_are_refused(start_manager):
    """A refusal is a response, with no trace; listeners hear of it too."""
    # given one whose dispatcher is held up in its last turn
    oms = start_manager()
    held, go_on, answers = threading.Event(), threading.Event(), []

    def hold(_desk, _intake):
        held.set()
        assert go_on.wait(SOON_S)

    oms.between_turns(hold)
    assert held.wait(SOON_S)
    stopper = threading.Thread(target=oms.stop)
    stopper.start()
    while not oms.inbox.closed:
        pass

    # when requests come
    answers.append(oms.submit(buy("B", 1, 100)).result(0))
    oms.on_data(cancel("C", "A"))

    # then each is told
    assert answers[0].reason is RejectReason.SHUTTING_DOWN
    assert hear(oms, ResponseType.CANCEL_REJECTED).reason is RejectReason.SHUTTING_DOWN
    go_on.set()
    stopper.join(SOON_S)
    assert not stopper.is_alive()


@pytest.mark.parametrize(
    "wait",
    [
        lambda oms: oms.submit(buy("B", 1, 100)).result(),
        lambda oms: oms.submit(buy("B", 1, 100)).exception(),
        lambda oms: oms.dry_run(buy("B", 1, 100)).result(),
        lambda oms: oms.between_turns(lambda *_: 0).result(),
        lambda oms: oms.submit_pair(
            buy("S", 1, None, terms=OrderTerms(stop_price=110)),
            buy("L", 1, 90, terms=OrderTerms(oco_with="S")),
            "U",
        ).result(),
        lambda oms: oms.depth_snapshot("X"),
        lambda oms: oms.stop(),
    ],
)
def test_a_listener_that_waits_for_its_own_thread_is_told_so(start_manager, wait):
    """It would wait for ever, and every order with it."""
    oms, told = start_manager(), SimpleQueue()

    def listen(response):
        if response.client_order_id != "A":
            return
        try:
            wait(oms)
        except DeadlockError as error:
            told.put(error)

    oms.add_listener(listen)
    oms.submit(buy("A", 1, 100)).result(SOON_S)
    assert "thread" in str(told.get(timeout=SOON_S))
    assert oms.submit(buy("Z", 1, 100)).result(SOON_S).type is ResponseType.NEW


def test_a_listener_may_look_at_an_answer_that_is_there(stepped):
    """The future of the very response it is told."""
    answer = stepped.oms.submit(buy("A", 1, 100))
    seen = []
    stepped.oms.add_listener(lambda _: seen.append(answer.result().order_id))
    stepped.step()
    assert seen == [answer.result(0).order_id]


def test_a_with_block_starts_and_stops(tmp_path):
    """The shortest way to use it; the data is where the directory says."""
    with OrderManagement(config_of(), directory=tmp_path) as oms:
        oms.submit(buy("A", 1, 100)).result(SOON_S)
    names = sorted(path.name for path in tmp_path.iterdir())
    assert names == ["order_management.db", "order_management.db-high"]
    with OrderManagement(config_of(), directory=tmp_path) as oms:
        assert oms.get_order("me", "A").leaves_lots == 1


def test_a_commit_of_unknown_outcome_ends_it_loudly(start_manager):
    """P10: futures raise, the failure is told, nothing is acknowledged any more."""
    # given a disk that breaks
    store, failures = FaultyStore(), SimpleQueue()
    oms = start_manager(store=store, on_failure=lambda *failure: failures.put(failure))
    oms.submit(buy("A", 1, 100)).result(SOON_S)
    store.faults = [OutcomeUnknownError("I/O error")]

    # when an order comes
    answer = oms.submit(buy("B", 1, 100))

    # then nobody says yes or no to it
    assert isinstance(answer.exception(SOON_S), StoreError)
    name, error = failures.get(timeout=SOON_S)
    assert (name, type(error)) == ("oms-dispatch", OutcomeUnknownError)
    assert oms.submit(buy("C", 1, 100)).result(SOON_S).reason is RejectReason.SHUTTING_DOWN
    assert oms.get_status()["health"] == "failed"
    with pytest.raises(StoppedError, match="oms-dispatch died"):
        oms.stop()
    assert oms.get_order("me", "B") is None


class HangingStore(FaultyStore):
    """A server that went silent amid a turn: the rollback waits until the test says so."""

    def __init__(self):
        super().__init__()
        self.goes_on = threading.Event()

    def rollback(self):
        self.goes_on.wait(SOON_S)
        super().rollback()


def test_a_daemon_ends_though_its_store_hangs(tmp_path, monkeypatch):
    """P10: what let the dispatcher die may hang once more as it lets go. The daemon waits for that
    no longer than for any thread."""
    monkeypatch.setattr(manager, "STOP_S_MAX", 0.1)
    monkeypatch.setattr(app, "TICK_S", 0.01)
    store = HangingStore()

    def break_it(daemon, _stack):
        store.faults = [OutcomeUnknownError("I/O error")]
        daemon.manager.submit(buy("A", 1, 100))

    daemon = app.App(
        config_of(control=ControlConfig(enabled=False)), tmp_path, on_open=break_it,
        manager_of=lambda config, **parts: OrderManagement(config, store=store, **parts),
    )  # fmt: skip
    assert daemon.run() == app.EXIT_FAILED
    assert daemon.failure is not None and "I/O error" in repr(daemon.failure)
    assert not store.closed
    store.goes_on.set()
    wait_until(lambda: store.closed)


def test_what_a_remote_venue_owes_is_unknown_once_the_dispatcher_died(start_manager):
    """Nobody is left to hear the venue: whoever asked must not wait for ever."""
    # given an order that was sent to a silent venue
    store = FaultyStore()
    oms = start_manager(store=store, venue=ScriptedVenue(script=[Step("silence")]))
    answer = oms.submit(buy("A", 1, 100))
    hear(oms, ResponseType.PENDING_NEW)

    # when the dispatcher dies, then
    store.faults = [OutcomeUnknownError("I/O error")]
    oms.submit(buy("B", 1, 100))
    assert isinstance(answer.exception(SOON_S), StoppedError)


@pytest.mark.parametrize("broken", ["B", "logged_on"])
def test_a_thread_that_dies_of_a_bug_closes_the_house(start_manager, broken):
    """Whichever thread it is, that of the order B or the logon: never alive but not answering."""
    broke, failures = threading.Event(), SimpleQueue()
    venue = BreakingVenue(lambda what: what == broken and broke.is_set())
    oms = start_manager(venue=venue, on_failure=lambda *failure: failures.put(failure))
    oms.submit(buy("A", 1, 100)).result(SOON_S)
    broke.set()
    oms.keeper.wake()
    answer = oms.submit(buy("B", 1, 100))
    assert answer.exception(SOON_S) is not None or answer.result(0) is not None
    assert failures.get(timeout=SOON_S)[0] in ("oms-dispatch", "oms-session")
    assert oms.inbox.closed
    with pytest.raises(StoppedError, match="a bug"):
        oms.stop()


def test_a_drain_at_the_stop_still_has_its_link(start_manager):
    """The dispatcher ends before the session logs off; what waited was sent."""
    config = config_of(
        throttle=ThrottleConfig(sends_max=1, window_ns=20_000_000), stop=StopConfig(on_stop="drain")
    )
    oms = start_manager(config)
    futures = [oms.submit(buy(f"#{n}", 1, 100)) for n in range(8)]
    for future in futures:
        future.result(SOON_S)
    oms.stop()
    assert oms.get_status()["waiting"] == 0
    assert oms.get_depth("X", 1) == ([(100, 8)], [])
    assert oms.get_status()["link"] == "down"


def test_a_remote_venue_answers_through_its_own_thread(start_manager):
    """Late by the clock, which the test moves; nobody sleeps."""
    clock = ManualClock()
    venue = ScriptedVenue(clock=clock, script=[Step("fill", latency_ns=1_000_000_000)])
    oms = start_manager(venue=venue, clock=clock)
    answer = oms.submit(buy("A", 1, 100))
    assert hear(oms, ResponseType.PENDING_NEW).state is OrderState.PENDING_NEW
    wait_until(lambda: venue.sent)  # from then on the answer is due
    assert not answer.done()
    clock.advance(1)
    assert answer.result(SOON_S).state in (OrderState.NEW, OrderState.FILLED)  # one turn, or two
    assert hear(oms, ResponseType.TRADE).state is OrderState.FILLED


def test_a_stop_is_not_held_up_by_those_it_refuses(start_manager):
    """Sixteen threads that submit as fast as they can, before, while and until it has stopped."""
    # given an inbox that they fill whatever the machine does, and threads that hammer at it
    oms, clock = start_manager(config_of(queue=QueueConfig(inbox_max=8))), SystemClock()
    refused, stopped = [0] * 16, threading.Barrier(17)

    def hammer(number):
        try:
            for n in itertools.count():
                answer = oms.submit(buy(f"{number}-{n}", 1, 100))
                refused[number] += answer.done() and answer.result(0).refused
        except StoppedError:
            stopped.wait(SOON_S)

    threads = [threading.Thread(target=hammer, args=(n,), daemon=True) for n in range(16)]
    for thread in threads:
        thread.start()
    while not all(refused):
        threads[0].join(0.01)

    # when it is told to stop
    asked_ns = clock.monotonic_ns()
    oms.stop()
    took_s = (clock.monotonic_ns() - asked_ns) / 1e9

    # then it has, in time, and every thread was told
    assert took_s < 30
    stopped.wait(SOON_S)


def test_a_thread_that_is_refused_again_and_again_yields(monkeypatch):
    """A millisecond each time; not at first, not a gateway's, and not the dispatcher's own."""
    desk, paused = Stepped(config_of(queue=QueueConfig(inbox_max=1))).start(), []
    monkeypatch.setattr("oms.manager.pause", paused.append)
    desk.oms.on_data(buy("A", 1, 100))
    for n in range(8):
        assert desk.oms.submit(buy(f"B{n}", 1, 100)).result(0).reason is RejectReason.QUEUE_FULL
    assert paused == []
    desk.oms.on_data(buy("C", 1, 100))
    assert desk.oms.try_submit(buy("D", 1, 100)).result(0).refused
    assert paused == [0.001]

    # after a while without a refusal it is the first again
    desk.clock.advance(1)
    desk.oms.on_data(buy("E", 1, 100))
    assert paused == [0.001]

    # a listener that submits stops nobody
    def listen(response):
        if response.client_order_id == "A":
            for n in range(20):
                desk.oms.on_data(buy(f"F{n}", 1, 100))

    desk.oms.add_listener(listen)
    desk.step()
    assert paused == [0.001]


@pytest.mark.parametrize(
    ("durability", "lost"), [("full", []), ("normal", ["a power loss"]), ("none", ["the end of"])]
)
def test_what_may_be_lost_is_logged_at_the_start(tmp_path, caplog, durability, lost):
    """Whoever set it long ago is reminded; the default has nothing to say."""
    config = replace(config_of(), store=StoreConfig(durability=durability))
    with OrderManagement(config, directory=tmp_path):
        pass
    told = [line for line in caplog.messages if line.startswith("durability = ")]
    assert len(told) == len(lost)
    assert all(text in line for text, line in zip(lost, told, strict=True))
