"""A store that is full or busy: refused with a reason, as if the request had never come."""

from datetime import UTC, datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from oms import ManualClock, OrderState, RejectReason, ResponseType, TimeInForce
from oms.config import SessionConfig
from oms.errors import StoreBusyError, StoreFullError
from oms.requests import codec
from tests.examples import many
from tests.fakes import FaultyStore, Stepped, buy, cancel, config_of, modify, sell, throttled

FULL, BUSY = StoreFullError("no space left"), StoreBusyError("locked")


@pytest.mark.parametrize(
    ("error", "reason"), [(FULL, RejectReason.DISK_FULL), (BUSY, RejectReason.STORE_BUSY)]
)
@pytest.mark.parametrize("place", ["begin", "claim", "append", "commit"])
def test_a_turn_that_cannot_be_stored_is_as_if_it_had_not_come(start_stepped, place, error, reason):
    """Refused, undone, and the same ids taken later, once; wherever in the turn it fails."""
    # given a resting order
    store = FaultyStore(place)
    desk = start_stepped(store=store)
    desk.send(buy("A", 5, 100))
    digest, trades = desk.digest(), desk.oms.recent_trades("X")

    # when a turn that would trade and cancel cannot be stored
    store.faults = [error]
    batch = (sell("S", 2, 100), modify("M", "A", quantity=4), cancel("C", "A"), buy("B", 1, 99))
    answers = [desk.oms.submit(request) for request in batch]
    desk.step()

    # then each is refused with the reason, and nothing has changed
    assert [answer.result(0).reason for answer in answers] == [reason] * 4
    assert all(answer.result(0).journal_seq == 0 for answer in answers)
    assert (desk.digest(), desk.oms.recent_trades("X")) == (digest, trades)
    assert desk.oms.get_depth("X", 5) == ([(100, 5)], [])
    assert desk.oms.get_order("me", "A").type is ResponseType.NEW
    assert desk.oms.get_order("me", "S") is None

    # and sent again they do what they should, once
    assert [r.type for r in map(desk.ask, batch)] == [
        ResponseType.TRADE, ResponseType.REPLACED, ResponseType.CANCELED, ResponseType.NEW
    ]  # fmt: skip
    assert len(desk.oms.recent_trades("X")) == 1
    assert desk.refolded() == desk.digest()


def test_while_the_store_is_down_everything_is_refused_at_once_and_reads_go_on(start_stepped):
    """Each turn asks whether it is back; the daemon is degraded, not dead."""
    store = FaultyStore()
    desk = start_stepped(store=store)
    desk.send(buy("A", 5, 100))
    store.faults, store.down = [FULL], FULL
    for n in range(3):
        assert desk.ask(buy(f"#{n}", 1, 100)).reason is RejectReason.DISK_FULL
    assert desk.oms.get_status()["store"] == "DISK_FULL"
    assert desk.oms.get_order("me", "A").leaves_lots == 5
    assert desk.oms.get_status()["rejects"] == {"DISK_FULL": 3}
    store.down = None
    assert desk.ask(buy("#0", 1, 100)).type is ResponseType.NEW
    assert desk.oms.get_status()["store"] == "ok"


def test_what_waits_is_sent_when_the_store_is_back(start_stepped):
    """A release without any request can fail too; the orders keep their place."""
    store = FaultyStore()
    desk = start_stepped(throttled(2), store=store)
    desk.send(*(buy(f"#{n}", 1, 100) for n in range(6)))
    desk.clock.advance(1)
    store.faults = [FULL]
    assert desk.step() == []
    assert desk.waiting == ["#2", "#3", "#4", "#5"]
    desk.clock.advance(1)
    assert desk.step() == ["#2 NEW/NEW", "#3 NEW/NEW"]


def test_a_session_that_closes_while_the_store_is_down_closes_when_it_is_back(start_stepped):
    """DAY orders expire once, late but surely."""
    store = FaultyStore()
    clock = ManualClock.at(datetime(2024, 3, 4, 16, 59, tzinfo=UTC))
    config = config_of(session=SessionConfig(hours="Mon-Fri 09:00-17:00"))
    desk = start_stepped(config, store=store, clock=clock)
    desk.send(buy("DAY", 1, 100, time_in_force=TimeInForce.DAY), buy("GTC", 1, 100))
    store.faults = [BUSY, BUSY]
    clock.advance(60)
    assert desk.step() == desk.step() == []
    assert desk.step() == ["DAY EXPIRED/EXPIRED"]
    assert desk.step() == []
    assert desk.oms.get_order("me", "GTC").state is OrderState.NEW


def test_the_link_that_changes_while_the_store_is_down_is_not_forgotten(start_stepped):
    """What session keeper and venue say is kept for the turn that can store it."""
    store = FaultyStore()
    desk = start_stepped(store=store)
    desk.oms.inbox.notice(((codec.LINK, "DOWN", "the venue closed the link"), 0, None))
    store.faults = [FULL, BUSY]
    desk.step()
    assert desk.dispatcher.desk.link_up
    desk.step()
    desk.step()
    assert not desk.dispatcher.desk.link_up


names = st.integers(0, 30)
requests = st.one_of(
    st.builds(lambda n, q, p: buy(f"B{n}", q, p), names, st.integers(1, 4), st.integers(98, 101)),
    st.builds(lambda n, q, p: sell(f"S{n}", q, p), names, st.integers(1, 4), st.integers(99, 102)),
    st.builds(lambda n, m: cancel(f"C{n}", f"B{m}"), names, names),
    st.builds(
        lambda n, m, q: modify(f"M{n}", f"S{m}", quantity=q), names, names, st.integers(1, 4)
    ),
)


@given(
    batches=st.lists(st.lists(requests, min_size=1, max_size=4), min_size=1, max_size=10),
    failing=st.sets(st.integers(0, 9)),
    sends=st.integers(1, 6),
)
@settings(max_examples=many(100))
def test_who_retries_what_was_refused_ends_where_nothing_ever_failed(batches, failing, sends):
    """Faults at any turns and a client that repeats: the same journal as without faults."""
    # given the same requests for a store that is sound, and one that fails now and then
    sound = Stepped(throttled(sends)).start()
    store = FaultyStore()
    faulty = Stepped(throttled(sends), store=store).start()
    for number, batch in enumerate(batches):
        sound.send(*batch)
        if number in failing:
            store.faults = [FULL if number % 2 else BUSY]

        # when the client sends again what was refused for the store's sake
        if number in failing:
            told = faulty.send(*batch)
            assert all(line.split()[1].endswith("REJECTED/REJECTED") for line in told)
        faulty.clock.advance(1)
        sound.clock.advance(1)
        faulty.send(*batch)

    # then both ended up with the same orders
    assert faulty.refolded() == faulty.digest()
    entries_of = [[r.body for r in desk.store.records()] for desk in (sound, faulty)]
    assert entries_of[0] == entries_of[1]
