"""Streams go on where they were, over cuts and restarts: no gap, no repeat; or a word about it."""

import asyncio
import random
from dataclasses import replace
from itertools import pairwise

import pytest

from oms import OrderRequest, aio
from oms.client import Client
from oms.errors import GapError, ServerError, StoppedError, ValidationError
from oms.market_data import (
    BalanceChange,
    DepthUpdate,
    IndicativePrice,
    MarketState,
    TopOfBook,
    TradeBust,
    TradePrint,
)
from oms.requests import OperatorAction, OperatorRequest
from tests.processes import WAIT_S_MAX
from tests.web.doors import PASSWORD

SYMBOL = "BTC_USD"


def order(account, name, side, quantity, price, **more):
    return OrderRequest.new(account, name, SYMBOL, side, quantity, price, **more)


def run(story):
    async def limited():
        async with asyncio.timeout(WAIT_S_MAX):
            return await story

    return asyncio.run(limited())


async def read(stream, count):
    return [await anext(stream) for _ in range(count)]


async def submitted(oms, request):
    """On the order manager behind the server."""
    return await asyncio.wrap_future(oms.submit(request))


async def all_told(oms):
    """Every listener was told of all that was answered."""
    await asyncio.wrap_future(oms.journal_seq())


def test_a_stream_hears_what_a_listener_hears(door, clients):
    """Every report of Ann, about orders and money; and the same types of market events."""
    ann = clients("ann")
    door.user("bob")
    heard, events = [], []

    async def story():
        async with ann.reports("ann") as reports, ann.market_events(SYMBOL) as market:
            door.oms.add_listener(heard.append)
            door.oms.add_market_listener(events.append)
            for n, price in enumerate(("99", "98", "97.5")):
                await submitted(door.oms, order("ann", f"a-{n}", "BUY", "2", price))
            await submitted(door.oms, order("bob", "b", "SELL", "5", "97", time_in_force="IOC"))
            await all_told(door.oms)
            mine = [each for each in heard if each.account == "ann"]
            told = [each for each in events if not isinstance(each, BalanceChange)]
            return await read(reports, len(mine)), await read(market, len(told)), told

    found, market, told = run(story())
    assert found == [each for each in heard if each.account == "ann"]
    for kind in (TradePrint, DepthUpdate, TopOfBook):
        mine = [each for each in market if isinstance(each, kind)]
        theirs = [each for each in told if isinstance(each, kind)]
        assert [known(each) for each in mine] == [known(each) for each in theirs]


def known(event):
    """Without what the network does not tell, or counts otherwise."""
    if isinstance(event, TradePrint):
        return event._replace(number=0, buy_order_id=0, sell_order_id=0)
    if isinstance(event, DepthUpdate):  # of a stream the first one begins behind its snapshot
        return replace(event, number=0, first_id=0)
    return event._replace(number=0) if isinstance(event, tuple) else replace(event, number=0)


def test_cuts_leave_no_gap_and_no_repeat(door, clients, between):
    """The line is cut again and again under a flow of orders; what is heard is what was told."""
    line = between(door.url)
    ann, chance = clients("ann", line.url), random.Random(4)
    door.user("bob")
    heard, events = [], []

    async def trade(count):
        for n in range(count):
            price = str(chance.randint(95, 105))
            account, side = ("ann", "BUY") if n % 2 else ("bob", "SELL")
            await submitted(door.oms, order(account, f"o-{n}", side, "1", price))
            if chance.random() < 0.1:
                await asyncio.to_thread(line.cut)

    async def story():
        async with ann.reports("ann") as reports, ann.market_events(SYMBOL) as market:
            book = await asyncio.to_thread(ann.depth_snapshot, SYMBOL)
            door.oms.add_listener(heard.append)
            door.oms.add_market_listener(events.append)
            trading = asyncio.create_task(trade(200))
            mine, prints, depth = [], [], []

            async def hear_reports():
                async for each in reports:
                    mine.append(each)
                    if each.client_order_id == "o-199":
                        return

            async def hear_market():
                async for each in market:
                    (depth if isinstance(each, DepthUpdate) else prints).append(each)
                    if depth and trading.done() and depth[-1].last_id >= last_id():
                        return

            def last_id():
                return [e.last_id for e in events if isinstance(e, DepthUpdate)][-1]

            await asyncio.gather(hear_reports(), hear_market())
            await trading
            return book, mine, prints, depth

    book, mine, prints, depth = run(story())
    assert (
        line.connections > 3
    )  # two to begin with; how often it was there again before a cut, nobody knows
    theirs = [each for each in heard if each.account == "ann"]
    assert mine == theirs[: len(mine)] and len(mine) >= 100
    trades = [e.execution_id for e in events if isinstance(e, TradePrint)]
    told = [e.execution_id for e in prints if isinstance(e, TradePrint)]
    assert told == trades[: len(told)] and len(told) >= len(trades) - 5
    assert len(trades) > 50
    bids, asks, at = dict(book.bids_ticks), dict(book.asks_ticks), book.last_id
    for update in depth:
        if update.last_id <= at:
            continue
        assert update.first_id <= at + 1
        for levels, changes in ((bids, update.bids_ticks), (asks, update.asks_ticks)):
            levels.update(changes)
        at = update.last_id
    now = door.oms.depth_snapshot(SYMBOL)
    for levels, truth in ((bids, now.bids_ticks), (asks, now.asks_ticks)):
        assert {ticks: lots for ticks, lots in levels.items() if lots} == dict(truth)
    ids = [(each.first_id, each.last_id) for each in depth]
    assert all(one[1] + 1 == other[0] for one, other in pairwise(ids))


def test_what_ended_and_was_traded_over_a_restart_is_told(start_door, between, tmp_path):
    """Another process of the same exchange, at another port behind the same line."""
    door = start_door()
    line = between(door.url)
    door.user("ann")
    ann = Client(line.url, user="ann", password=PASSWORD)
    ann.start()

    async def story():
        nonlocal door
        async with ann.reports("ann") as reports:
            await submitted(door.oms, order("ann", "a-1", "BUY", "2", "99"))
            before = await read(reports, 1)
            await asyncio.to_thread(door.stop)
            door = await asyncio.to_thread(start_door, directory=tmp_path)
            line.server_url = door.url
            await submitted(door.oms, OrderRequest.cancel("ann", "a-2", "a-1"))
            return before + await read(reports, 1)

    assert [each.type for each in run(story())] == ["NEW", "CANCELED"]
    ann.stop()


def test_a_program_goes_on_behind_what_it_knew(clients):
    """from_seq: of a catch_up, or of the latest report of another day."""
    ann = clients("ann")
    ann.submit(order("ann", "a-1", "BUY", "1", "90")).result(0)
    seq = ann.account_snapshot("ann").result(0).seq
    ann.submit(order("ann", "a-2", "BUY", "1", "90")).result(0)

    async def story():
        async with ann.reports("ann", from_seq=seq) as reports:
            return await read(reports, 1)

    assert [each.client_order_id for each in run(story())] == ["a-2"]
    with pytest.raises(ValidationError):
        run(ann.reports("ann", from_seq=-1).__aenter__())


def test_a_gap_that_cannot_be_closed_is_raised_and_the_stream_goes_on(clients, monkeypatch):
    """Too far back: the error has how things stand; what comes later is told."""
    ann = clients("ann")
    for n in range(4):
        ann.submit(order("ann", f"a-{n}", "BUY", "1", "90")).result(0)
    monkeypatch.setattr("oms.stores.sql_reader.LOOKED_AT_MAX", 2)

    async def story():
        async with ann.reports("ann", from_seq=1) as reports:
            with pytest.raises(GapError) as caught:
                await anext(reports)
            await asyncio.to_thread(ann.submit, order("ann", "late", "BUY", "1", "90"))
            return caught.value, await anext(reports)

    gap, report = run(story())
    assert (gap.channel, gap.key, gap.after, gap.why) == ("reports", "ann", 1, "TOO_FAR_BACK")
    assert [each.client_order_id for each in gap.snapshot.orders] == [f"a-{n}" for n in range(4)]
    assert gap.snapshot.seq == gap.seq
    assert report.client_order_id == "late"


def test_phases_auctions_and_busts_are_told_as_the_library_tells_them(door, clients):
    """An operator calls an auction, and takes a trade back."""
    olga = door.user("olga", "operator")
    ann = clients("ann")
    door.user("bob")
    heard = []

    async def story():
        async with ann.market_events(SYMBOL) as market:
            door.oms.add_market_listener(heard.append)
            await submitted(door.oms, order("ann", "a", "BUY", "2", "99"))
            sold = await submitted(door.oms, order("bob", "b", "SELL", "1", "99"))
            body = {"symbol": SYMBOL, "executionId": sold.trades[0].execution_id, "why": "a test"}
            assert olga.ask("POST", "/admin/bust", body).status_code == 200
            await submitted(door.oms, OperatorRequest(
                client_order_id="p", action=OperatorAction.SET_PHASE, scope="SYMBOL",
                target=SYMBOL, value="OPENING_AUCTION",
            ))  # fmt: skip
            await submitted(door.oms, order("bob", "c", "SELL", "1", "98"))
            await all_told(door.oms)
            wanted = [e for e in heard if isinstance(e, (MarketState, TradeBust, IndicativePrice))]
            found = []
            while len(found) < len(wanted):
                event = await anext(market)
                if isinstance(event, (MarketState, TradeBust, IndicativePrice)):
                    found.append(event)
            return found, wanted

    found, wanted = run(story())
    assert {type(each) for each in wanted} == {MarketState, TradeBust, IndicativePrice}
    for kind in (MarketState, TradeBust, IndicativePrice):
        mine, theirs = (
            [each for each in some if isinstance(each, kind)] for some in (found, wanted)
        )
        assert list(map(known, mine)) == list(map(known, theirs))


def test_without_a_symbol_all_markets_and_the_own_balances_are_told(door, clients):
    ann = clients("ann")

    async def story():
        async with ann.market_events() as market:
            await submitted(door.oms, order("ann", "a", "BUY", "2", "99"))
            kinds, balance = set(), None
            while balance is None or len(kinds) < 3:
                event = await anext(market)
                kinds.add(type(event))
                balance = event if isinstance(event, BalanceChange) else balance
            return balance

    balance = run(story())
    assert (balance.account, balance.asset) == ("ann", "USD")
    assert (balance.available, balance.reserved) == door.oms.balances("ann")["USD"]


def test_a_stream_that_gets_no_connection_says_so_within_its_time(door, clients, between):
    """And goes on, once there is one again, where it was."""
    line = between(door.url)
    ann = clients("ann", line.url, retry_s=0.5)

    async def story():
        async with ann.reports("ann") as reports:
            line.server_url = "http://127.0.0.1:1"
            await asyncio.to_thread(line.cut)
            with pytest.raises(ServerError):
                await anext(reports)
            line.server_url = door.url
            await submitted(door.oms, order("ann", "a-1", "BUY", "1", "90"))
            return await anext(reports)

    assert run(story()).client_order_id == "a-1"


def test_a_stream_is_opened_once_and_ends_with_its_client(clients):
    ann = clients("ann")

    async def story():
        stream = ann.reports("ann")
        with pytest.raises(StoppedError):
            await anext(stream)
        async with stream as reports:
            with pytest.raises(StoppedError):
                await reports.__aenter__()
            ann.stop()
            return [each async for each in reports]

    assert run(story()) == []


def test_a_stream_of_what_is_somebody_else_s_is_refused(clients, door):
    ann = clients("ann")
    door.user("bob")

    async def opened(stream):
        async with stream:
            raise AssertionError("it was opened")

    with pytest.raises(ServerError, match="ACCOUNT_UNKNOWN"):
        run(opened(ann.reports("bob")))
    with pytest.raises(ValidationError, match="symbol"):
        run(opened(ann.market_events("NO_SUCH")))


def test_orders_over_the_socket_are_answered_in_their_order_over_cuts(door, clients, between):
    """Five hundred at once, the line cut again and again: each is there once, in the old order."""
    line = between(door.url)
    ann = clients("ann", line.url)

    async def story():
        async with aio.running(ann):
            placed = [
                asyncio.create_task(aio.submit(ann, order("ann", f"o-{n}", "BUY", "1", "90")))
                for n in range(500)
            ]
            while not all(each.done() for each in placed):
                await asyncio.sleep(0.03)
                await asyncio.to_thread(line.cut)
                if line.connections > 12:
                    break
            return await asyncio.gather(*placed)

    answers = run(story())
    assert [each.client_order_id for each in answers] == [f"o-{n}" for n in range(500)]
    opened = door.oms.open_orders("ann")
    assert [each.client_order_id for each in opened] == [f"o-{n}" for n in range(500)]
    assert [each.order_id for each in answers] == [each.order_id for each in opened]
