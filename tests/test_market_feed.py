"""Market data: events in order, snapshots that fit them, and reads that wait for no write."""

import threading
from dataclasses import replace
from itertools import pairwise

import pytest

from oms import Instrument
from oms.config import ExchangeConfig
from oms.enums import Phase, Scope, SelfTrade
from oms.errors import StoppedError, StoreFullError, ValidationError
from oms.market_data import (
    BalanceChange,
    DepthSnapshot,
    DepthUpdate,
    IndicativePrice,
    MarketState,
    TopOfBook,
    TradePrint,
)
from oms.requests import (
    FundsAction,
    FundsRequest,
    OperatorAction,
    OperatorRequest,
    OrderTerms,
)
from tests.fakes import (
    SECOND,
    SOON_S,
    FaultyStore,
    Stepped,
    buy,
    cancel,
    config_of,
    remote,
    sell,
)

X = Instrument(
    symbol="X", price_scale=0, quantity_scale=0, base="COIN", quote="CASH", base_scale=0,
    quote_scale=0,
)  # fmt: skip
WITH_LEDGER = config_of(instruments=(X,), exchange=ExchangeConfig(self_trade="none", ledger=True))


def phase(name, value):
    return OperatorRequest(
        client_order_id=name, action=OperatorAction.SET_PHASE, scope=Scope.SYMBOL, target="X",
        value=value.value,
    )  # fmt: skip


def funds(name, action, asset="", amount=None, account="me"):
    return FundsRequest(
        account=account, client_order_id=name, action=action, asset=asset, amount=amount
    )


def listening(desk):
    """A list that fills with events; they begin with the next turn."""
    events = []
    desk.oms.add_market_listener(events.append)
    return events


def taken(events):
    """What came since one looked."""
    told = list(events)
    del events[:]
    return told


# --- events ---


def test_a_turn_tells_trades_then_books_then_tops(stepped):
    """Each once, and numbered: what two orders and a taker in one turn come to."""
    events = listening(stepped)
    stepped.send(buy("A", 3, 100), sell("B", 2, 105), sell("C", 1, 100))
    seq = stepped.dispatcher.fold.last_seq
    [trade, depth, top] = events
    taker = stepped.oms.recent_trades("X")[0]
    wall_ns = stepped.clock.wall_ns()
    buyer, seller = (stepped.oms.get_order("me", name).order_id for name in "AC")
    assert trade == TradePrint(
        seq, 1, "X", taker.execution_id, 1, "SELL", 100, 1, wall_ns, buyer, seller
    )
    assert (depth.seq, depth.number, depth.last_id) == (seq, 2, seq)
    assert (depth.bids, depth.asks) == (((100, 2),), ((105, 2),))
    assert top == TopOfBook(seq, 3, "X", 100, 2, 105, 2)


def test_updates_tell_levels_that_changed_and_nothing_else(stepped):
    """Best first; 0 lots: gone. What was put in and taken out in one turn was never there."""
    stepped.send(buy("A", 3, 100), buy("B", 2, 99), buy("C", 2, 98))
    events = listening(stepped)
    stepped.send(cancel("-A", "A"), cancel("-C", "C"), buy("D", 1, 99))
    [depth, top] = taken(events)
    assert depth.bids == ((100, 0), (99, 3), (98, 0))
    assert (top.bid_ticks, top.bid_lots, top.ask_ticks, top.ask_lots) == (99, 3, 0, 0)
    stepped.send(buy("E", 1, 99), cancel("-E", "E"))
    assert taken(events) == []
    stepped.send(buy("F", 1, 98))
    [after] = events
    assert (after.bids, after.first_id) == (((98, 1),), depth.last_id + 1)


def test_an_icebergs_hidden_lots_stay_hidden(stepped):
    """Ten lots of which four are shown: a fill of five leaves one shown, and then four."""
    events = listening(stepped)
    stepped.send(sell("A", 10, 100, terms=OrderTerms(display_quantity=4)))
    stepped.send(buy("B", 5, 100))
    updates = [event for event in events if isinstance(event, DepthUpdate)]
    assert [update.asks for update in updates] == [((100, 4),), ((100, 3),)]


def test_what_self_trade_prevention_takes_off_a_maker_is_told(stepped):
    """Decrement: of its own five lots two go; they trade with nobody."""
    stepped.send(sell("A", 5, 100))
    events = listening(stepped)
    decrement = OrderTerms(self_trade=SelfTrade.DECREMENT)
    stepped.send(buy("B", 2, 100, terms=decrement))
    [depth, top] = events
    assert (depth.bids, depth.asks) == ((), ((100, 3),))
    assert (top.ask_ticks, top.ask_lots) == (100, 3)


def now_in_call(stepped):
    """What an auction would trade, as whoever asks is told it."""
    question = stepped.oms.indicative("X")
    stepped.step()
    return question.result(0)


def test_what_an_auction_would_trade_can_be_asked_with_nobody_listening(stepped):
    """In a call, though nothing would trade; not outside of one."""
    assert now_in_call(stepped) is None
    stepped.send(phase("P", Phase.REOPENING_AUCTION))
    assert (now_in_call(stepped).price, now_in_call(stepped).volume) == (None, 0)
    stepped.send(buy("A", 5, 102), sell("B", 2, 100), buy("C", 1))
    found = now_in_call(stepped)
    assert (found.price_ticks, found.volume_lots, found.surplus_lots) == (102, 2, 4)
    stepped.send(phase("Q", Phase.CONTINUOUS))
    assert now_in_call(stepped) is None


def test_an_uncross_prints_each_trade_once(stepped):
    """Nobody takes: the id is the buyer's; so in recent_trades. The call tells its price first."""
    events = listening(stepped)
    stepped.send(phase("P", Phase.OPENING_AUCTION))
    [state, nothing] = taken(events)
    assert (state.phase, state.reason) == (Phase.OPENING_AUCTION, "")
    assert (nothing.price_ticks, nothing.volume_lots, nothing.surplus_lots) == (0, 0, 0)

    stepped.send(buy("A", 5, 102), sell("B", 2, 100), sell("C", 1, 101))
    told = [event for event in taken(events) if isinstance(event, IndicativePrice)]
    assert [(e.price_ticks, e.volume_lots, e.surplus_lots) for e in told] == [(102, 3, 2)]
    asked = now_in_call(stepped)
    assert asked == replace(told[0], number=0)
    stepped.send(buy("D", 1, 90))
    assert not any(isinstance(event, IndicativePrice) for event in taken(events))

    reports = []
    stepped.oms.add_listener(reports.append)
    stepped.send(phase("Q", Phase.CONTINUOUS))
    prints = [event for event in events if isinstance(event, TradePrint)]
    buyers = [r for r in reports if r.type == "TRADE" and r.side == "BUY"]
    assert [p.execution_id for p in prints] == [r.execution_id for r in buyers]
    assert [(p.taker_side, p.price_ticks, p.quantity_lots) for p in prints] == [
        ("", 102, 2), ("", 102, 1)
    ]  # fmt: skip
    trades = stepped.oms.recent_trades("X")
    assert [(t.execution_id, t.taker_side) for t in trades] == [
        (p.execution_id, "") for p in prints
    ]


def test_a_call_s_price_counts_hidden_lots(stepped):
    """Shown or not, they trade in the uncross; also when nothing that is shown changes."""
    stepped.send(phase("P", Phase.OPENING_AUCTION), buy("A", 9, 101))
    stepped.send(sell("B", 8, 100, terms=OrderTerms(display_quantity=2)))
    events = listening(stepped)
    stepped.send(cancel("-A", "A"), buy("C", 9, 101))
    [told] = taken(events)
    assert (told.price_ticks, told.volume_lots, told.surplus_lots) == (101, 8, 1)
    assert told.volume_lots == stepped.dispatcher.desk.engine.markets["X"].indicative().volume_lots


def test_why_a_market_is_halted():
    """By an operator, or by its breaker; whoever asks and whoever listens knows."""
    band = Instrument(symbol="X", price_scale=0, quantity_scale=0, breaker_band_bps=1_000)
    exchange = ExchangeConfig(
        self_trade="none", breaker_limit_ns=0, breaker_pause_ns=SECOND, reopening_auction_ns=0
    )
    desk = Stepped(config_of(instruments=(band,), exchange=exchange)).start()
    events = listening(desk)
    desk.send(phase("H", Phase.HALTED))
    assert desk.oms.market_states() == {"X": Phase.HALTED}
    desk.send(phase("C", Phase.CONTINUOUS))
    desk.send(sell("A", 1, 100), buy("B", 1, 100), sell("D", 1, 150), buy("E", 1, 150))
    desk.clock.advance(1)
    desk.step()
    states = [(e.phase, e.reason) for e in events if isinstance(e, MarketState)]
    assert states == [
        (Phase.HALTED, "OPERATOR"), (Phase.CONTINUOUS, ""), (Phase.HALTED, "BREAKER"),
        (Phase.CONTINUOUS, ""),
    ]  # fmt: skip


def test_balances_are_told_as_they_are_after_the_turn():
    """A turn that sets aside and gives back what it took changes nothing."""
    desk = Stepped(WITH_LEDGER).start()
    events = listening(desk)
    desk.send(funds("1", FundsAction.CREATE), funds("2", FundsAction.DEPOSIT, "CASH", 500))
    assert events == [BalanceChange(desk.dispatcher.fold.last_seq, 1, "me", "CASH", 500, 0)]
    desk.send(buy("A", 3, 100))
    assert events[-1] == BalanceChange(events[-1].seq, 3, "me", "CASH", 200, 300)
    assert desk.oms.balances_units("me") == {"CASH": (200, 300)}
    count = len(events)
    desk.send(buy("B", 1, 100), cancel("-B", "B"))
    assert len(events) == count


def test_a_command_about_money_is_no_open_order():
    """It has a report, but no state."""
    desk = Stepped(WITH_LEDGER).start()
    desk.send(funds("1", FundsAction.CREATE), funds("2", FundsAction.DEPOSIT, "CASH", 500))
    assert desk.oms.open_orders("me") == []
    assert desk.oms.get_status()["open_orders"] == 0


# --- snapshots, and from when on ---


def test_until_somebody_wants_depth_nothing_is_noted(stepped):
    """Orders pay nothing for it. The first snapshot asks for a turn; without one, there is none."""
    markets = stepped.dispatcher.desk.engine.markets
    stepped.send(buy("A", 3, 100))
    assert markets["X"].changed is None
    with pytest.raises(StoppedError, match="depth of X: the dispatcher took no turn"):
        stepped.oms.depth_snapshot("X")
    stepped.step()
    seq = stepped.dispatcher.fold.last_seq
    assert stepped.oms.depth_snapshot("X") == DepthSnapshot("X", seq, ((100, 3),), ())
    stepped.send(buy("B", 1, 99), sell("C", 1, 105))
    snapshot = stepped.oms.depth_snapshot("X")
    assert snapshot == DepthSnapshot("X", seq + 3, ((100, 3), (99, 1)), ((105, 1),))


def test_the_first_snapshot_of_a_running_one_needs_no_order(start_manager):
    """The dispatcher is woken for it; a whole book, however few levels get_depth shows."""
    oms = start_manager()
    for n in range(30):
        oms.submit(buy(f"#{n}", 1, 100 + n)).result(SOON_S)
    assert len(oms.depth_snapshot("X").bids) == 30
    assert len(oms.get_depth("X", 99)[0]) == 20


def test_ids_go_on_upwards_after_a_restart(start_stepped):
    """No counter is kept: they are the journal's. The book is there before the first request."""
    desk = start_stepped()
    events = listening(desk)
    desk.send(buy("A", 3, 100))
    desk.send(buy("B", 1, 99))
    first, second = (event for event in events if isinstance(event, DepthUpdate))
    assert second.first_id == first.last_id + 1
    desk.stop()

    desk = Stepped(store=desk.store)
    events = listening(desk)
    desk.start()
    snapshot = desk.oms.depth_snapshot("X")
    assert snapshot.last_id > second.last_id
    assert snapshot.bids == ((100, 3), (99, 1))
    desk.send(buy("C", 1, 98))
    assert [e.first_id for e in events] == [snapshot.last_id + 1]


def test_a_turn_that_was_undone_is_never_seen(start_stepped):
    """The feed looks at the recovered exchange then; ids go on without a gap."""
    # given a book that somebody follows
    store = FaultyStore()
    desk = start_stepped(WITH_LEDGER, store=store)
    events = listening(desk)
    desk.send(funds("1", FundsAction.CREATE), funds("2", FundsAction.DEPOSIT, "CASH", 900))
    desk.send(buy("A", 3, 100))
    before = desk.oms.depth_snapshot("X"), desk.oms.balances_units("me"), desk.oms.market_states()
    del events[:]

    # when a turn cannot be stored
    store.faults = [StoreFullError("full")]
    desk.send(buy("B", 2, 99), phase("H", Phase.HALTED))

    # then nobody saw anything of it, and the next turn fits what was seen
    after = desk.oms.depth_snapshot("X"), desk.oms.balances_units("me"), desk.oms.market_states()
    assert (events, after) == ([], before)
    desk.send(buy("C", 2, 99))
    [depth, balance] = events
    assert (depth.first_id, depth.bids) == (before[0].last_id + 1, ((99, 2),))
    assert (balance.available, balance.reserved) == (402, 498)


def test_a_restart_fills_the_views_before_the_first_request():
    """Balances and phases too, with nobody listening."""
    desk = Stepped(WITH_LEDGER).start()
    desk.send(funds("1", FundsAction.CREATE), funds("2", FundsAction.DEPOSIT, "CASH", 900))
    desk.send(buy("A", 3, 100), phase("H", Phase.HALTED))
    again = Stepped(WITH_LEDGER, store=desk.store)
    assert (again.oms.balances_units("me"), again.oms.market_states()) == ({}, {})
    again.dispatcher.start()
    assert again.oms.balances_units("me") == {"CASH": (600, 300)}
    assert again.oms.market_states() == {"X": Phase.HALTED}
    assert again.oms.get_depth("X", 5) == ([], [])  # the halt set it aside


def test_what_there_is_not_is_empty_or_named(stepped):
    """No ledger, no balances; of a remote venue no books and phases; an unknown symbol raises."""
    listening(stepped)
    stepped.send(buy("A", 3, 100))
    assert stepped.oms.balances_units("me") == stepped.oms.balances_units("nobody") == {}
    with pytest.raises(ValidationError, match="symbol: expected one of X, ALL, was 'Y'"):
        stepped.oms.depth_snapshot("Y")
    far = remote()
    events = listening(far)
    far.send(buy("A", 3, 100))
    assert far.oms.depth_snapshot("X") == DepthSnapshot("X", 0, (), ())
    assert (far.oms.market_states(), events) == ({}, [])


# --- isolation ---


def test_a_listener_that_raises_harms_nobody(stepped):
    """It is counted; the next one hears everything, and futures resolve."""
    stepped.oms.add_market_listener(lambda _event: 1 // 0)
    events = listening(stepped)
    assert stepped.ask(buy("A", 3, 100)).type == "NEW"
    assert [type(event) for event in events] == [DepthUpdate, TopOfBook]
    assert stepped.oms.get_status()["listener_failures"] == 2


def test_what_is_answered_can_be_read(stepped):
    """A future, and a listener to reports, find their own turn in the books."""
    listening(stepped)
    stepped.step()
    seen = []
    stepped.oms.add_listener(lambda _report: seen.append(stepped.oms.depth_snapshot("X").bids))
    stepped.send(buy("A", 3, 100))
    assert seen == [((100, 3),)]


def test_readers_see_whole_turns_only(start_manager):
    """Two threads read while orders come, trade and go: each book they saw was one, at its id."""
    # given a listener that keeps every book there was, and readers that keep what they saw
    oms = start_manager(WITH_LEDGER)
    for request in (
        funds("1", FundsAction.CREATE), funds("2", FundsAction.DEPOSIT, "CASH", 10**6),
        funds("3", FundsAction.DEPOSIT, "COIN", 10**6),
    ):  # fmt: skip
        oms.submit(request).result(SOON_S)
    before = oms.depth_snapshot("X")
    books, levels = {before.last_id: before}, {"bids": {}, "asks": {}}

    def keep(event):
        if isinstance(event, DepthUpdate):
            for side, known in levels.items():
                known.update(getattr(event, side))
            books[event.last_id] = DepthSnapshot(
                "X", event.last_id,
                tuple(sorted(((p, n) for p, n in levels["bids"].items() if n), reverse=True)),
                tuple(sorted((p, n) for p, n in levels["asks"].items() if n)),
            )  # fmt: skip

    oms.add_market_listener(keep)
    done, ready, seen = threading.Event(), threading.Barrier(3), {0: [], 1: []}

    def read(number):
        ready.wait()
        while not done.is_set():
            balances = oms.balances_units("me")  # it trades with itself: the sums stay
            assert {asset: sum(held) for asset, held in balances.items()} == {
                "CASH": 10**6, "COIN": 10**6
            }  # fmt: skip
            snapshot = oms.depth_snapshot("X")
            if not seen[number] or seen[number][-1] != snapshot:
                seen[number].append(snapshot)
        seen[number].append(oms.depth_snapshot("X"))

    readers = [threading.Thread(target=read, args=(number,)) for number in seen]
    for reader in readers:
        reader.start()
    ready.wait()

    # when orders come, trade and go
    for n in range(600):
        oms.on_data((buy if n % 2 else sell)(f"#{n}", 1 + n % 5, 100 + n * 7 % 11 - n % 2))
        if n % 3 == 0:
            oms.on_data(cancel(f"-{n}", f"#{n // 2}"))
        if n % 20 == 0:
            oms.submit(buy(f"wait{n}", 1, 50)).result(SOON_S)
    oms.submit(buy("last", 1, 50)).result(SOON_S)
    oms.stop()
    done.set()
    for reader in readers:
        reader.join(SOON_S)

    # then each snapshot is a book that there was, and none is older than the one before
    for snapshots in seen.values():
        assert snapshots[-1] == books[max(books)]
        assert all(snapshot == books[snapshot.last_id] for snapshot in snapshots)
        assert all(a.last_id <= b.last_id for a, b in pairwise(snapshots))
