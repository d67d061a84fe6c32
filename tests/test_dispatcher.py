"""The dispatcher: one turn after the other, within the throttle, with a way to stop."""

import json
from concurrent.futures import Future
from threading import Event, Thread

import pytest

from oms import (
    FundsAction,
    Instrument,
    ManualClock,
    MemoryStore,
    RejectReason,
    ResponseType,
)
from oms.config import ExchangeConfig, QueueConfig, StopConfig, StoreConfig, ThrottleConfig
from oms.errors import JournalError, OutcomeUnknownError, StoreBusyError, StoreError, StoreFullError
from oms.requests import FundsRequest
from oms.venues.scripted import ScriptedVenue
from tests.fakes import (
    SECOND,
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


class RunningClock(ManualClock):
    """Time passes while one looks: so many seconds a look."""

    def __init__(self, seconds=0.001):
        super().__init__()
        self.seconds = seconds

    def monotonic_ns(self):
        self.advance(self.seconds)
        return super().monotonic_ns()


# --- what readers see ---


class Counting(MemoryStore):
    """How often the latest trades were looked for."""

    looks = 0

    def executions(self, *given):
        self.looks += 1
        return super().executions(*given)


def test_the_latest_trades_are_looked_for_once_at_a_start(start_stepped):
    store = Counting()
    start_stepped(store=store).send(sell("S", 1, 100), buy("B", 1, 100))
    store.looks = 0
    desk = start_stepped(store=store)
    assert len(desk.oms.recent_trades("X")) == 1
    assert store.looks == 1


class Read(MemoryStore):
    """Once a turn is committed, another thread looks at it before the dispatcher goes on; up to its
    end, or to where it waits for the dispatcher."""

    def __init__(self):
        super().__init__()
        self.reader, self.wait = None, Event()

    def commit(self):
        super().commit()
        if self.reader is not None and self.reader.ident is None:
            self.reader.start()
            while self.reader.is_alive() and not self.wait.is_set():
                self.reader.join(0.001)


@pytest.mark.parametrize(
    "look",
    [
        lambda oms: oms.get_order("me", "A"),
        lambda oms: oms.orders("me").orders,
        lambda oms: oms.positions("me"),
        lambda oms: oms.ledger("me", limit=1).movements[0].symbol,
        lambda oms: oms.trades("me"),
        lambda oms: oms.reports_after("me", 5, 100),
    ],
    ids=["get_order", "orders", "positions", "ledger", "trades", "reports_after"],
)
def test_who_saw_a_trade_in_the_store_sees_what_it_cost(look, start_stepped):
    """The store has a turn before readers see what it changed."""
    # given an account with money, and an offer
    store, seen = Read(), []
    instruments = (Instrument(symbol="X", price_scale=0, quantity_scale=0, base="B", quote="Q"),)
    ledger = config_of(exchange=ExchangeConfig(ledger=True), instruments=instruments)
    desk = start_stepped(ledger, store=store)
    for account, asset in (("me", "Q"), ("you", "B")):
        money = {FundsAction.CREATE: {}, FundsAction.DEPOSIT: {"asset": asset, "amount": 1_000}}
        for action, terms in money.items():
            desk.send(
                FundsRequest(account=account, client_order_id=action.value, action=action, **terms)
            )
    desk.send(sell("S", 1, 100, account="you"))
    publisher = desk.oms.publisher
    wait = publisher.wait_until_shown
    publisher.wait_until_shown = lambda *given: (store.wait.set(), wait(*given))

    # when somebody looks at a trade between its commit and its publication
    def looks():
        assert look(desk.oms)
        seen.append(desk.oms.balances("me")["Q"])

    store.reader = Thread(target=looks)
    desk.send(buy("A", 1, 100))
    store.reader.join(SOON_S)

    # then what it cost is there, too
    assert seen == [(900, 0)]


# --- turns and the throttle ---


def test_the_throttle_lets_so_many_go_in_any_window(start_stepped):
    """Ten orders, three a second: 3, 3, 3, 1; in their order."""
    desk = start_stepped(throttled(3))
    told = [desk.send(*(buy(f"#{n}", 1, 100) for n in range(10)))]
    for _ in range(4):
        desk.clock.advance(1)
        told.append(desk.step())
    accepted = [[line[:2] for line in turn if line.endswith(" NEW/NEW")] for turn in told]
    assert accepted == [["#0", "#1", "#2"], ["#3", "#4", "#5"], ["#6", "#7", "#8"], ["#9"], []]


def test_a_cancel_of_a_sent_order_overtakes_what_waits(start_stepped):
    """The one permit of the next second is the cancel's, though it came last."""
    desk = start_stepped(throttled())
    desk.send(buy("A", 1, 100), buy("B", 1, 100), modify("M", "A", quantity=2), cancel("C", "A"))
    assert desk.waiting == ["C", "B", "M"]
    desk.clock.advance(1)
    assert desk.step() == ["C CANCELED/CANCELED", "M CANCEL_REJECTED/CANCELED"]
    desk.clock.advance(1)
    assert desk.step() == ["B NEW/NEW"]


def test_a_permit_is_used_before_the_next_request_is_looked_at(stepped):
    """Order and cancel in one batch: with permits, what happens depends on arrival alone."""
    together = stepped.send(buy("A", 1, 100), cancel("C", "A"))
    one_by_one = stepped.send(buy("B", 1, 100)) + stepped.send(cancel("D", "B"))
    assert together == ["A NEW/NEW", "C CANCELED/CANCELED"]
    assert one_by_one == ["B NEW/NEW", "D CANCELED/CANCELED"]


def test_a_full_queue_rejects_new_orders_but_no_cancels(start_stepped):
    """waiting_max holds to the order; cancels have room of their own."""
    desk = start_stepped(throttled(queue=QueueConfig(waiting_max=2)))
    desk.send(buy("A", 1, 100))
    assert desk.send(*(buy(f"#{n}", 1, 100) for n in range(3)))[0] == "#2 REJECTED/REJECTED"
    assert desk.oms.get_order("me", "#2").text == "QUEUE_FULL: waiting=2, max=2"
    assert desk.ask(cancel("C", "A")).type is ResponseType.PENDING_CANCEL
    assert desk.ask(cancel("D", "#0")).type is ResponseType.CANCELED


def test_a_turn_takes_at_most_a_batch(start_stepped):
    """The rest is taken in the next one."""
    desk = start_stepped(config_of(queue=QueueConfig(batch_max=2)))
    assert len(desk.send(*(buy(f"#{n}", 1, 100) for n in range(5)))) == 2
    assert len(desk.step()) == 2
    assert len(desk.step()) == 1


def test_a_turn_with_nothing_to_do_writes_nothing(stepped):
    """An idle night must not fill the disk."""
    before = (stepped.dispatcher.turns, len(list(stepped.store.records())))
    for _ in range(10):
        stepped.clock.advance(60)
        stepped.step()
    assert (stepped.dispatcher.turns, len(list(stepped.store.records()))) == before


def test_a_restart_takes_no_permit_and_gives_none(start_stepped):
    """Two of three were sent when the process died: one goes at once, the next in its time."""
    # given two sends, half a second apart, and no stop
    desk = start_stepped(throttled(3))
    desk.send(buy("A", 1, 100))
    desk.clock.advance(0.5)
    desk.send(buy("B", 1, 100))

    # when the next process is asked for three more
    desk = start_stepped(throttled(3), store=desk.store, clock=desk.clock)
    told = desk.send(*(buy(name, 1, 100) for name in "CDE"))
    assert told[0] == "C NEW/NEW"
    assert desk.waiting == ["D", "E"]

    # then each goes when a send has left the window; the journal has when a turn began, so what
    # it sent counts as sent up to 50 ms later
    for seconds, waiting in ((0.5, ["D", "E"]), (0.05, ["E"]), (0.45, ["E"]), (0.05, [])):
        desk.clock.advance(seconds)
        desk.step()
        assert desk.waiting == waiting
    assert desk.refolded() == desk.digest()


def test_a_process_that_sent_nothing_of_late_leaves_the_whole_window(start_stepped):
    """After a night, or a second, no order waits for a start."""
    desk = start_stepped(throttled())
    desk.send(buy("A", 1, 100))
    desk.clock.advance(1.1)
    desk = start_stepped(throttled(), store=desk.store, clock=desk.clock)
    assert desk.send(buy("B", 1, 100)) == ["B NEW/NEW"]


def test_after_a_restart_a_remote_venue_s_first_window_counts_as_full(start_stepped):
    """What is sent after the commit has no time in the journal: P8 holds all the same."""
    clock, store = ManualClock(), MemoryStore()
    for _ in range(2):
        venue = ScriptedVenue(clock=clock)
        desk = start_stepped(throttled(), store=store, clock=clock, venue=venue)
    desk.send(buy("A", 1, 100))
    assert desk.waiting == ["A"]
    desk.clock.advance(1)
    desk.step()
    assert desk.waiting == []


def test_hop_times_are_told_with_the_answer(start_stepped):
    """Received, queued, released, sent, answered, durable, published: none before the other."""
    desk = start_stepped(clock=RunningClock())
    answer = desk.ask(buy("A", 1, 100))
    assert list(answer.hops) == sorted(answer.hops)
    assert answer.hops.received_ns > 0
    assert (answer.waited_ns, answer.venue_ns) > (0, 0)
    assert desk.oms.get_status()["latency_ns"]["total"]["accepted"]["count"] == 1


def test_the_status_is_plain_data():
    """As JSON takes it, before the start, while running and after the stop."""
    desk = Stepped(throttled())
    json.dumps(desk.oms.get_status())
    desk.start()
    desk.send(buy("A", 1, 100), buy("B", "x", 100), buy("C", 1, 100))
    status = json.loads(json.dumps(desk.oms.get_status()))
    assert (status["waiting"], status["open_orders"], status["session"]) == (1, 2, "open")
    assert status["rejects"] == {"QUANTITY_INVALID": 1}
    assert status["throttle"]["policy"] == "sliding_window"
    assert (status["throttle"]["sends_max"], status["throttle"]["in_use"]) == (1, 1)
    desk.stop()
    json.dumps(desk.oms.get_status())


def test_symbols_that_nobody_lists_are_not_remembered(stepped):
    """P12: a client could name a new one each time."""
    for n in range(100):
        stepped.send(buy(f"#{n}", 1, 100, symbol=f"NONE{n}"))
    assert set(stepped.oms.publisher._depth) == {"X", "ALL"}
    assert stepped.oms.get_status()["rejects"] == {"SYMBOL_UNKNOWN": 100}


# --- the end ---


@pytest.mark.parametrize(
    ("on_stop", "expected"), [("park", ["B", "C"]), ("cancel", []), ("drain", [])]
)
def test_what_waits_at_a_stop(start_stepped, on_stop, expected):
    """Parked for the next start; canceled with a reason; or sent, as the throttle allows."""
    # given two orders that wait
    stop = StopConfig(on_stop=on_stop)
    desk = start_stepped(throttled(stop=stop), clock=RunningClock(0.1))
    desk.send(buy("A", 1, 100), buy("B", 1, 100), buy("C", 1, 100))
    assert desk.waiting == ["B", "C"]

    # when the daemon stops, and the next one starts
    desk.stop()
    slow = config_of(throttle=ThrottleConfig(sends_max=1, window_ns=1_000 * SECOND), stop=stop)
    again = start_stepped(slow, store=desk.store, clock=desk.clock)

    # then they wait again in order, or ended as configured
    assert again.waiting == expected
    ends = {"park": ResponseType.PENDING_NEW, "cancel": ResponseType.CANCELED}
    for name in "BC":
        assert desk.oms.get_order("me", name).type is ends.get(on_stop, ResponseType.NEW)
    if on_stop == "cancel":
        assert desk.oms.get_order("me", "B").reason is RejectReason.SHUTTING_DOWN
    assert again.refolded() == again.digest()


def test_a_drain_ends_at_its_deadline(start_stepped):
    """A long queue is parked then; the stop does not take all night."""
    stop = StopConfig(on_stop="drain", drain_max_ns=3_500_000_000)
    desk = start_stepped(throttled(stop=stop), clock=RunningClock(0.1))
    desk.send(*(buy(f"#{n}", 1, 100) for n in range(50)))
    desk.stop()
    assert 40 <= len(desk.waiting) <= 48


def test_what_was_handed_over_before_the_stop_is_answered(stepped):
    """In order, by the last turns; what comes afterwards is refused with a reason."""
    before = [stepped.oms.submit(buy(f"#{n}", 1, 100)) for n in range(3)]
    stepped.stop()
    after = stepped.oms.submit(buy("late", 1, 100))
    assert [answer.result(0).type for answer in before] == [ResponseType.NEW] * 3
    assert after.result(0).reason is RejectReason.SHUTTING_DOWN


@pytest.mark.parametrize("error", [StoreFullError("full"), StoreBusyError("busy")])
def test_a_stop_that_cannot_write_still_ends_in_order(start_stepped, error):
    """What was to be canceled stays parked; nobody dies of it."""
    store = FaultyStore()
    desk = start_stepped(throttled(stop=StopConfig(on_stop="cancel")), store=store)
    desk.send(buy("A", 1, 100), buy("B", 1, 100))
    store.faults = [error]
    desk.stop()
    assert store.closed
    again = start_stepped(throttled(), store=store)
    assert again.waiting == ["B"]


def test_a_start_that_fails_lets_the_store_go(start_stepped):
    """So that the next one can have it."""

    class Corrupt(FaultyStore):
        def records(self, _after_seq=0):
            raise JournalError("journal sequence 5: gone")

    store = Corrupt()
    with pytest.raises(JournalError, match="sequence 5"):
        start_stepped(store=store)
    assert store.closed


# --- a store that says no: see also test_store_faults.py ---


def test_a_turn_of_unknown_outcome_fails_its_futures_and_raises(start_stepped):
    """Fail-stop: nobody is told yes or no; the thread dies of it, and so the daemon ends."""
    store = FaultyStore()
    desk = start_stepped(store=store)
    store.faults = [OutcomeUnknownError("I/O error")]
    answers = [desk.oms.submit(request) for request in (buy("A", 1, 100), sell("B", 1, 100))]
    with pytest.raises(OutcomeUnknownError):
        desk.step()
    for answer in answers:
        assert isinstance(answer.exception(0), StoreError)


def test_a_future_given_up_by_its_owner_harms_nobody(stepped):
    """It was canceled before its turn; the order goes its way, and the others hear."""
    given_up, kept = (stepped.oms.submit(buy(name, 1, 100)) for name in "AB")
    assert given_up.cancel()
    stepped.step()
    assert kept.result(0).type is ResponseType.NEW
    assert stepped.oms.get_order("me", "A").type is ResponseType.NEW


def test_a_turn_that_breaks_fails_every_future_that_hangs_on_it(start_stepped):
    """Also where the probe, not the commit, finds that the disk is broken: no silent hang."""
    store = FaultyStore()
    desk = start_stepped(store=store)
    store.faults, store.down = [StoreFullError("full")], OutcomeUnknownError("I/O error")
    desk.send(buy("A", 1, 100))
    answer: Future = desk.oms.submit(buy("B", 1, 100))
    with pytest.raises(OutcomeUnknownError):
        desk.step()
    assert isinstance(answer.exception(0), OutcomeUnknownError)


def test_settings_of_any_section_reach_the_dispatcher(start_stepped):
    """A fixed window, a small batch, a snapshot at each turn: no order is lost or doubled."""
    config = config_of(
        throttle=ThrottleConfig(policy="fixed_window", sends_max=2),
        queue=QueueConfig(batch_max=3), store=StoreConfig(snapshot_every=1),
    )  # fmt: skip
    desk = start_stepped(config)
    for n in range(20):
        desk.send(buy(f"B{n}", 1, 100), sell(f"S{n}", 1, 100))
        desk.clock.advance(0.7)
    for _ in range(20):
        desk.step()
        desk.clock.advance(0.7)
    assert len(desk.oms.recent_trades("X")) == 20
    assert desk.refolded() == desk.digest()
