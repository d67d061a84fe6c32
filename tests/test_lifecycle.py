"""The life of an OrderManagement: its threads, its end, and what it dies of."""

import threading
from queue import SimpleQueue

import pytest

from oms import (
    EmbeddedVenue,
    ManualClock,
    MemoryStore,
    OrderManagement,
    RejectReason,
    ResponseType,
)
from oms.config import StopConfig, ThrottleConfig
from oms.enums import OrderState
from oms.errors import OutcomeUnknownError, StoppedError, StoreError
from oms.turn.threads import THREADS
from oms.venues.scripted import ScriptedVenue, Step
from tests.fakes import SOON_S, FaultyStore, buy, cancel, config_of, hear


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


def test_after_the_stop_requests_are_refused_and_questions_answered(start_manager):
    """SHUTTING_DOWN, with no trace; listeners hear of it too."""
    oms = start_manager()
    oms.submit(buy("A", 1, 100)).result(SOON_S)
    oms.stop()
    assert oms.submit(buy("B", 1, 100)).result(0).reason is RejectReason.SHUTTING_DOWN
    oms.on_data(cancel("C", "A"))
    assert hear(oms, ResponseType.CANCEL_REJECTED).reason is RejectReason.SHUTTING_DOWN
    assert oms.get_status()["health"] == "stopped"
    assert oms.get_order("me", "A").leaves_lots == 1
    assert oms.get_order("me", "B") is None


def test_a_with_block_starts_and_stops(tmp_path):
    """The shortest way to use it; the data is where the directory says."""
    with OrderManagement(config_of(), directory=tmp_path) as oms:
        oms.submit(buy("A", 1, 100)).result(SOON_S)
    assert [path.name for path in tmp_path.iterdir()] == ["order_management.db"]
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


@pytest.mark.parametrize("broken", ["place", "logged_on"])
def test_a_thread_that_dies_of_a_bug_closes_the_house(start_manager, broken):
    """Whichever thread it is: never alive but not answering."""

    class Broken(EmbeddedVenue):
        """Breaks when the test says so."""

        _engine = None

        @property
        def engine(self):
            return self._engine

        @engine.setter
        def engine(self, engine):
            self._engine = engine
            if engine is not None:
                engine.place = self.guarded(engine.place)

        def guarded(self, place):
            return lambda *terms: self.check("place") or place(*terms)

        def logged_on(self):
            self.check("logged_on")
            return super().logged_on()

        def check(self, what):
            if broke.is_set() and what == broken:
                raise RuntimeError("a bug")

    broke, failures = threading.Event(), SimpleQueue()
    oms = start_manager(venue=Broken(), on_failure=lambda *failure: failures.put(failure))
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
    assert oms.submit(buy("A", 1, 100)).result(SOON_S).state is OrderState.PENDING_NEW
    clock.advance(1)
    assert hear(oms, ResponseType.TRADE).state is OrderState.FILLED
