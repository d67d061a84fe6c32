"""Under a running event loop: answers are awaited, reports and market events are iterated over."""

import asyncio
import itertools
from queue import SimpleQueue

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oms import ManualClock, MemoryStore, OrderManagement, aio
from oms.clock import NANOS
from oms.config import SessionConfig, ThrottleConfig
from oms.enums import OrderState, TimeInForce
from oms.errors import OutcomeUnknownError, OverrunError, StoppedError, ValidationError
from oms.market_data import DepthUpdate, TopOfBook, TradePrint
from oms.venues.scripted import ScriptedVenue, Step
from tests.fakes import SOON_S, FaultyStore, Stepped, buy, config_of, sell


def manager(**parts):
    return OrderManagement(config_of(), store=MemoryStore(), **parts)


def run(story):
    """A coroutine in a loop of its own; none takes long."""

    async def limited():
        async with asyncio.timeout(6 * SOON_S):
            return await story

    return asyncio.run(limited())


# --- answers ---


def test_an_answer_is_awaited():
    """It tells how the order stands, as `submit` does; and a refusal is a response."""

    async def story():
        async with aio.running(manager()) as oms:
            await aio.submit(oms, sell("S", 3, 100))
            filled = await aio.submit(oms, buy("B", 3, 100, account="you"))
            refused = await aio.submit(oms, buy("R", 3, "0.5"))
        return filled, refused, oms.get_status()["health"]

    filled, refused, health = run(story())
    assert (filled.state, len(filled.trades)) == (OrderState.FILLED, 1)
    assert (refused.refused, refused.reason) == (True, "PRICE_INVALID")
    assert health == "stopped"


def test_many_answers_are_awaited_at_once_and_the_loop_goes_on():
    """A coroutine that has nothing to do with orders still has its turns."""

    async def story():
        turns = 0

        async def others():
            nonlocal turns
            while True:
                turns += 1
                await asyncio.sleep(0)

        async with aio.running(manager()) as oms:
            other = asyncio.create_task(others())
            orders = [aio.submit(oms, buy(f"B{n}", 1, 100)) for n in range(300)]
            answers = await asyncio.gather(*orders)
            other.cancel()
        return answers, turns

    answers, turns = run(story())
    assert [answer.client_order_id for answer in answers] == [f"B{n}" for n in range(300)]
    assert turns > 3


def test_who_waits_no_longer_loses_the_answer_and_not_the_request():
    """A remote venue is silent; the same request again tells how the order stands."""

    async def story():
        venue = ScriptedVenue(script=[Step("silence")])
        async with aio.running(manager(venue=venue)) as oms, aio.reports(oms) as reports:
            waits = asyncio.create_task(aio.submit(oms, buy("B", 1, 100)))
            await anext(reports)  # sent
            waits.cancel()
            again = await aio.submit(oms, buy("B", 1, 100))
        return waits.cancelled(), again

    canceled, again = run(story())
    assert canceled
    assert (again.repeated, again.state) == (True, OrderState.PENDING_NEW)


def test_a_start_that_fails_is_told_and_what_was_canceled_meanwhile_is_stopped():
    class Fails(MemoryStore):
        def open(self):
            raise OutcomeUnknownError("no disk")

    async def fails():
        async with aio.running(OrderManagement(config_of(), store=Fails())):
            pass

    with pytest.raises(OutcomeUnknownError, match="no disk"):
        run(fails())

    async def canceled(oms):
        async with aio.running(oms):
            await asyncio.Event().wait()

    async def story():
        oms = manager()
        task = asyncio.create_task(canceled(oms))
        await asyncio.sleep(0)
        task.cancel()
        await asyncio.wait([task])
        return oms.get_status()["health"]

    assert run(story()) == "stopped"


# --- streams ---


def test_reports_are_iterated_in_the_order_they_happened():
    """All of them, or those of one account; the iteration ends when the order manager stops."""

    async def collect(oms, opened, **wanted):
        async with aio.reports(oms, **wanted) as reports:
            opened.set()
            return [(r.account, r.type, r.state) async for r in reports]

    async def story():
        both = asyncio.Event(), asyncio.Event()
        async with aio.running(manager()) as oms:
            everybody = asyncio.create_task(collect(oms, both[0]))
            mine = asyncio.create_task(collect(oms, both[1], account="me"))
            for each in both:
                await each.wait()
            await aio.submit(oms, sell("S", 3, 100))
            await aio.submit(oms, buy("B", 2, 100, account="you"))
        return await everybody, await mine

    everybody, mine = run(story())
    assert everybody == [
        ("me", "NEW", "NEW"), ("you", "NEW", "NEW"),
        ("you", "TRADE", "FILLED"), ("me", "TRADE", "PARTIALLY_FILLED"),
    ]  # fmt: skip
    assert mine == [each for each in everybody if each[0] == "me"]


def test_market_events_are_iterated_too():
    """Of one symbol; the ids of its depth updates have no gap."""

    async def story():
        async with aio.running(manager()) as oms, aio.market_events(oms, symbol="X") as events:
            await aio.submit(oms, sell("A0", 1, 90, symbol="ALL"))  # of no interest here
            for n in range(3):
                await aio.submit(oms, sell(f"S{n}", 2, 100 + n))
            await aio.submit(oms, buy("B", 2, 100, account="you"))
            return [await anext(events) for _ in range(7)]

    told = run(story())
    assert {event.symbol for event in told} == {"X"}
    assert [type(event) for event in told if not isinstance(event, TopOfBook)] == [
        DepthUpdate, DepthUpdate, DepthUpdate, TradePrint, DepthUpdate,
    ]  # fmt: skip
    updates = [event for event in told if isinstance(event, DepthUpdate)]
    pairs = itertools.pairwise(updates)
    assert all(after.first_id == before.last_id + 1 for before, after in pairs)


def test_a_reader_that_is_too_slow_is_cut_off_and_nobody_else():
    """At the bound: what waits can be read, then it is said; orders and others go on."""

    async def story():
        read = []
        async with (
            aio.running(manager()) as oms,
            aio.reports(oms, size_max=2) as slow,
            aio.reports(oms) as quick,
        ):
            answers = [await aio.submit(oms, buy(f"B{n}", 1, 100)) for n in range(4)]
            with pytest.raises(OverrunError, match="more than 2 events"):
                async for report in slow:
                    read.append(report.client_order_id)
            with pytest.raises(OverrunError):  # and again
                await anext(slow)
            heard = [(await anext(quick)).client_order_id for _ in range(4)]
        return read, heard, answers

    read, heard, answers = run(story())
    assert read == ["B0", "B1"]
    assert heard == ["B0", "B1", "B2", "B3"]
    assert all(answer.state is OrderState.NEW for answer in answers)


def test_a_closed_stream_leaves_nothing_behind():
    """Also if its loop has gone and nobody closed it: the order manager lets go of it."""
    desk = Stepped().start()
    before = desk.oms.publisher._listeners

    async def story():
        async with aio.reports(desk.oms) as reports, aio.market_events(desk.oms):
            desk.send(buy("A", 1, 100))
            await anext(reports)
        assert [report async for report in reports] == []
        return desk.oms.publisher._listeners, desk.oms.publisher.market_listeners

    assert run(story()) == (before, ())

    async def forgotten():
        await aio.reports(desk.oms).__aenter__()

    run(forgotten())
    assert len(desk.oms.publisher._listeners) == len(before) + 1
    desk.send(buy("B", 1, 100))
    assert desk.oms.publisher._listeners == before
    assert desk.oms.get_status()["listener_failures"] == 0


def test_a_stream_tells_that_the_order_manager_failed():
    """What it published before can be read; then the reason is raised."""

    async def story():
        store, told = FaultyStore(), []
        oms = OrderManagement(config_of(), store=store)
        await asyncio.to_thread(oms.start)
        async with aio.reports(oms) as reports:
            await aio.submit(oms, buy("A", 1, 100))
            store.faults = [OutcomeUnknownError("I/O error")]
            with pytest.raises(OutcomeUnknownError):
                await aio.submit(oms, buy("B", 1, 100))
            with pytest.raises(StoppedError, match="oms-dispatch died"):
                async for report in reports:
                    told.append(report.client_order_id)
        with pytest.raises(StoppedError):
            await asyncio.to_thread(oms.stop)
        return told

    assert run(story()) == ["A"]


def test_a_stream_of_a_stopped_order_manager_is_over_at_once():
    async def story():
        oms = manager()
        async with aio.running(oms):
            pass
        async with aio.reports(oms) as reports:
            return [report async for report in reports]

    assert run(story()) == []


@pytest.mark.parametrize("size_max", [0, -1, 1.5, True, 10**9])
def test_a_bound_that_is_none_is_refused(stepped, size_max):
    with pytest.raises(ValidationError, match="size_max: expected 1 to 1000000"):
        aio.reports(stepped.oms, size_max=size_max)


def test_a_stream_is_opened_once_and_by_async_with(stepped):
    async def story():
        stream = aio.reports(stepped.oms)
        with pytest.raises(StoppedError, match="async with"):
            await anext(stream)
        async with stream:
            pass
        with pytest.raises(StoppedError, match="once"):
            await stream.__aenter__()

    run(story())


@given(st.lists(st.sampled_from(["tell", "read"]), max_size=40), st.integers(1, 4))
def test_a_stream_tells_each_event_once_until_it_was_too_late(steps, size_max):
    """Against a list: in order, no gap, no repeat, and the cut where the list was full."""

    async def story():
        desk = Stepped().start()
        waiting, cut, told = [], False, 0
        async with aio.reports(desk.oms, size_max=size_max) as stream:
            for step in steps:
                if step == "tell":
                    desk.send(buy(f"B{told}", 1, 100))
                    if len(waiting) == size_max:
                        cut = True
                    elif not cut:
                        waiting.append(f"B{told}")
                    told += 1
                elif waiting:
                    assert (await anext(stream)).client_order_id == waiting.pop(0)
                elif cut:
                    with pytest.raises(OverrunError):
                        await anext(stream)
                else:
                    with pytest.raises(TimeoutError):
                        async with asyncio.timeout(0):
                            await anext(stream)

    asyncio.run(story())


# --- a day in a moment ---


class Strategy:
    """Quotes every minute of a day, and counts what it is told."""

    def __init__(self, oms, clock):
        self.oms, self.clock, self.answers = oms, clock, []

    def run(self, minutes):
        for minute in range(minutes):
            self.clock.advance(60)
            order = buy(f"B{minute}", 1, 100, time_in_force=TimeInForce.DAY)
            self.answers.append(self.oms.submit(order).result(SOON_S))


def test_a_trading_day_of_a_strategy_takes_no_real_time():
    """08:00 to 18:00 on a clock of its own: it is told of open and close when they come.

    Nothing waits for real time: 600 minutes at a second each would be ten of them.
    """
    # given a market that trades from 09:00 to 17:00 UTC, one send a minute, on a Monday
    monday_ns = 1_709_510_400 * NANOS  # 2024-03-04 00:00
    clock = ManualClock(monday_ns + 8 * 3600 * NANOS)
    config = config_of(
        session=SessionConfig(hours="Mon-Fri 09:00-17:00"),
        throttle=ThrottleConfig(sends_max=1, window_ns=60 * NANOS),
    )
    with OrderManagement(config, clock=clock, store=MemoryStore()) as oms:
        # when the strategy trades
        heard = SimpleQueue()
        oms.add_listener(heard.put)
        strategy = Strategy(oms, clock)
        strategy.run(600)
        expired = 0
        while expired < 480:
            expired += heard.get(timeout=SOON_S).state is OrderState.EXPIRED

    # then it was refused before the open and after the close, and what rested has expired
    refused = [answer.reason == "SESSION_CLOSED" for answer in strategy.answers]
    assert refused == [True] * 59 + [False] * 480 + [True] * 61


def test_a_pause_of_the_throttle_is_over_when_the_clock_has_moved(start_manager):
    """One send an hour: the second order goes when the hour has passed on the clock."""
    clock = ManualClock()
    hourly = config_of(throttle=ThrottleConfig(sends_max=1, window_ns=3600 * NANOS))
    oms = start_manager(hourly, clock=clock)
    oms.submit(buy("A", 1, 100)).result(SOON_S)
    assert oms.submit(buy("B", 1, 100)).result(SOON_S).text == "QUEUED_THROTTLE"
    clock.advance(3600)
    while oms.reports.get(timeout=SOON_S).client_order_id != "B":
        pass
    assert oms.reports.get(timeout=SOON_S).state is OrderState.NEW
