"""Trade bust: a trade taken back leaves both orders and both accounts as without it."""

from dataclasses import replace
from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from oms import Instrument, MemoryStore, OrderRequest, PersistentStorage, Side
from oms.enums import OrderType, Scope
from oms.market_data import TradeBust, TradeCorrection, TradePrint
from oms.requests import (
    FundsAction,
    FundsRequest,
    MassCancelRequest,
    OperatorAction,
    OperatorRequest,
    OrderTerms,
)
from oms.sections import ExchangeConfig, MarketDataConfig
from oms.turn.journal import differences
from tests.examples import many
from tests.fakes import INSTRUMENTS, Stepped, buy, config_of, remote, sell
from tests.fakes import trade as trade_report

FUNDS = (("a", "BASE", 100), ("b", "QUOTE", 10_000), ("c", "BASE", 0), ("c", "QUOTE", 5_000))


def exchange(store):
    """Accounts a, b and c; fees; a sold 10 to b at 100 in two fills, and rests with 5 more."""
    instruments = [
        replace(
            instrument, base="BASE", quote="QUOTE", base_scale=0, quote_scale=2,
            maker_fee_bps=-10, taker_fee_bps=50,
        )
        for instrument in INSTRUMENTS
    ]  # fmt: skip
    config = config_of(exchange=ExchangeConfig(ledger=True), instruments=tuple(instruments))
    desk = Stepped(config, store=store).start()
    for account in "abc":
        fund(desk, account, FundsAction.CREATE)
    for account, asset, amount in FUNDS:
        if amount:
            fund(desk, account, FundsAction.DEPOSIT, asset=asset, amount=amount)
    return desk


def fund(desk, account, action, **terms):
    name = f"{action}{terms}"[:40].replace("'", "")
    request = FundsRequest(account=account, client_order_id=name, action=action, **terms)
    desk.oms.on_data(request)
    desk.turn()


def order(desk, account, name, side, lots, price=None):
    desk.oms.on_data(OrderRequest.new(account, name, "X", side, lots, price))
    return desk.turn()


def bust(desk, trade, name="bust"):
    request = OperatorRequest(
        client_order_id=name, action=OperatorAction.BUST, name=trade, why="wrong price"
    )
    desk.oms.on_data(request)
    return desk.turn()


def balances(desk):
    ledger = desk.dispatcher.desk.ledger
    assert ledger.mistakes(desk.dispatcher.desk.executions.orders.values()) == []
    return {
        account: {asset: tuple(b) for asset, b in assets.items() if any(b)}
        for account, assets in ledger.accounts.items()
    }


@pytest.fixture(params=["memory", "sqlite"])
def desk(request, tmp_path):
    store = MemoryStore() if request.param == "memory" else PersistentStorage(tmp_path / "t.db")
    stepped = exchange(store)
    yield stepped
    stepped.dispatcher.finish()


def test_a_bust_gives_back_what_a_trade_moved_fees_and_all(desk):
    """Given two fills of one order, when the first is taken back, then only the second stands."""
    # given
    order(desk, "a", "s1", Side.SELL, 15, 100)
    between = balances(desk)
    told = order(desk, "b", "b1", Side.BUY, 4)
    first = next(r for r in told if r.type == "TRADE")
    order(desk, "b", "b2", Side.BUY, 6)
    after_second = balances(desk)

    # when
    told = bust(desk, first.execution_id)

    # then both are told, with what they were taken back of
    assert [(r.type, r.account, r.cumulative_lots, r.leaves_lots) for r in told[:2]] == [
        ("TRADE_BUSTED", "b", 0, 0),
        ("TRADE_BUSTED", "a", 6, 5),
    ]
    assert told[2].type == "COMMAND_DONE"
    # and what the trade moved is where it was: 4 of BASE, 400.00 and the fees of it
    now = balances(desk)
    moved = 40_000
    assert now["b"]["QUOTE"][0] == after_second["b"]["QUOTE"][0] + moved + moved * 50 // 10_000
    assert now["a"]["QUOTE"][0] == after_second["a"]["QUOTE"][0] - moved - moved * 10 // 10_000
    assert now["a"]["BASE"][0] == after_second["a"]["BASE"][0] + 4
    assert now["a"]["BASE"][1] == between["a"]["BASE"][1] - 10

    # and the order goes on for what is open of it
    told = order(desk, "b", "b3", Side.BUY, 9)
    assert [r.type for r in told if r.client_order_id == "s1"] == ["TRADE"]
    last = [r for r in told if r.client_order_id == "s1"][-1]
    assert (last.state, last.cumulative_lots, last.leaves_lots) == ("FILLED", 11, 0)


def test_a_trade_is_taken_back_once_and_only_if_it_was(desk):
    """Again, or of nothing: refused, and nothing changes."""
    order(desk, "a", "s1", Side.SELL, 5, 100)
    told = order(desk, "b", "b1", Side.BUY, 5)
    trade = next(r for r in told if r.type == "TRADE").execution_id
    assert bust(desk, trade, "one")[-1].type == "COMMAND_DONE"
    before = balances(desk)
    for name, of in (("two", trade), ("three", "99999-1"), ("four", "nonsense"), ("five", "1-99")):
        refused = bust(desk, of, name)
        assert [r.type for r in refused] == ["COMMAND_REJECTED"]
        assert refused[0].text.startswith(f"COMMAND_INVALID: trade={of}")
    assert balances(desk) == before
    assert bust(desk, trade, "one")[-1].type == "COMMAND_DONE"  # the same id: the same answer
    assert balances(desk) == before


def test_what_was_spent_since_cannot_be_taken_back(desk):
    """The seller withdrew the proceeds: the bust says what is short, and does nothing."""
    order(desk, "a", "s1", Side.SELL, 5, 100)
    told = order(desk, "b", "b1", Side.BUY, 5)
    trade = next(r for r in told if r.type == "TRADE").execution_id
    fund(desk, "a", FundsAction.WITHDRAW, asset="QUOTE", amount=450)
    before = balances(desk)
    refused = bust(desk, trade)
    assert refused[0].text.startswith(
        "FUNDS_INSUFFICIENT: asset=QUOTE, needed=500.5, available=50.5"
    )
    assert balances(desk) == before


def test_a_trade_is_busted_in_its_own_market_alone(desk):
    """Who names the market names the right one: the number may be mistyped."""
    order(desk, "a", "s1", Side.SELL, 5, 100)
    told = order(desk, "b", "b1", Side.BUY, 5)
    trade = next(r for r in told if r.type == "TRADE").execution_id
    for name, symbol, type_ in (("one", "Y", "COMMAND_REJECTED"), ("two", "X", "COMMAND_DONE")):
        desk.oms.on_data(
            OperatorRequest(
                client_order_id=name, action=OperatorAction.BUST, scope=Scope.SYMBOL,
                target=symbol, name=trade, why="wrong price",
            )
        )  # fmt: skip
        assert desk.turn()[-1].type == type_


def test_the_journal_gives_the_same_after_a_bust(desk):
    """P3: every report again, and the same balances."""
    order(desk, "a", "s1", Side.SELL, 5, 100)
    told = order(desk, "b", "b1", Side.BUY, 3)
    bust(desk, next(r for r in told if r.type == "TRADE").execution_id)
    assert desk.refolded() == desk.digest()
    fold = type(desk.dispatcher.fold)(type(desk.venue)())
    assert list(differences(desk.store, fold)) == []


# --- gone everywhere, or everywhere as it was corrected ---


def plain(**sections):
    """No money, symbol X in whole numbers."""
    return Stepped(config_of(**sections)).start()


def deal(desk, name, lots, price, *, of=None):
    """Of `of` lots of a seller so many are sold to a buyer; the execution id."""
    desk.send(sell(f"s{name}", of or lots, price, account="a"))
    desk.oms.on_data(buy(f"b{name}", lots, price, account="b"))
    return next(r.execution_id for r in desk.turn() if r.type == "TRADE")


def correct(desk, trade, name="correct", **said):
    request = OperatorRequest(
        client_order_id=name, action=OperatorAction.CORRECT, name=trade, why="typo",
        settings={key: str(value) for key, value in said.items()},
    )  # fmt: skip
    desk.oms.on_data(request)
    return desk.turn()


def standing(desk, account, name):
    order = desk.oms.get_order(account, name)
    return order.state, order.cumulative_lots, order.leaves_lots


def test_a_busted_trade_leaves_the_tape_the_last_price_and_the_vwap():
    """Trades at 100, 101 and, by mistake, 500: the third is taken back, then the second."""
    desk = plain()
    deal(desk, "1", 10, 100)
    second, third = deal(desk, "2", 30, 101), deal(desk, "3", 10, 500)
    market = desk.dispatcher.desk.engine.markets["X"]

    bust(desk, third)
    prices = desk.oms.get_prices("X")
    assert (prices.last, prices.vwap_ticks) == (101, Fraction(10 * 100 + 30 * 101, 40))
    assert [trade.price_ticks for trade in desk.oms.recent_trades("X")] == [100, 101]
    assert market.last_ticks == 101

    bust(desk, second, "again")
    assert desk.oms.get_prices("X").last == market.last_ticks == 100
    assert desk.dispatcher.desk.executions.positions == {("a", "X"): -10, ("b", "X"): 10}


def test_a_bust_of_an_earlier_trade_leaves_the_last_price_alone():
    """And of the only one nothing is left: a market that never traded."""
    desk = plain()
    first, second = deal(desk, "1", 1, 100), deal(desk, "2", 1, 101)
    market = desk.dispatcher.desk.engine.markets["X"]
    bust(desk, first)
    assert (market.last_ticks, desk.oms.get_prices("X").last) == (101, 101)
    bust(desk, second, "again")
    assert market.last_ticks == 0
    assert desk.oms.get_prices("X").last is None
    assert desk.oms.recent_trades("X") == []


def test_an_order_whose_only_fill_is_busted_is_canceled_with_nothing_filled():
    """It was FILLED; what it had is not open again. Another fill of it stays."""
    desk = plain()
    trade = deal(desk, "1", 4, 100, of=10)
    other = desk.ask(buy("b2", 6, 100, account="b"))
    told = bust(desk, trade)
    assert [(r.type, r.state, r.last_price_ticks, r.last_quantity_lots) for r in told[:2]] == [
        ("TRADE_BUSTED", "CANCELED", 100, 4), ("TRADE_BUSTED", "CANCELED", 100, 4)
    ]  # fmt: skip
    assert standing(desk, "b", "b1") == ("CANCELED", 0, 0)
    assert standing(desk, "a", "s1") == ("CANCELED", 6, 0)
    assert other.trades
    assert standing(desk, "b", "b2") == ("FILLED", 6, 0)
    assert desk.oms.open_orders("a") == []


def test_an_open_order_goes_on_for_what_was_open():
    """It keeps its place and its six lots; nothing of it is filled, so it is NEW again."""
    desk = plain()
    trade = deal(desk, "1", 4, 100, of=10)
    bust(desk, trade)
    assert standing(desk, "a", "s1") == ("NEW", 0, 6)


def test_stops_that_come_later_do_not_see_the_busted_trade():
    """A sell stop at 95 after a trade at 90 that was none: it waits. Before, it went off."""
    desk = plain()
    deal(desk, "1", 1, 100)
    bust(desk, deal(desk, "2", 1, 90))
    told = desk.send(sell("stop", 1, terms=OrderTerms(stop_price=95), order_type=OrderType.STOP))
    assert told == ["stop NEW/SUSPENDED"]
    told = desk.send(buy("stop2", 1, terms=OrderTerms(stop_price=98), order_type=OrderType.STOP))
    assert told[:2] == ["stop2 NEW/SUSPENDED", "stop2 TRIGGERED/NEW"]


@pytest.mark.parametrize("how", ["bust", "correct"])
def test_a_stop_that_becomes_due_goes_at_once(how):
    """Placed at 105 while the last trade was at 110, which was none, or was at 100: it is due.
    Before, it went when somebody else sent a stop, or an operator halted a stranger."""
    # given
    desk = plain()
    deal(desk, "1", 1, 100)
    trade = deal(desk, "2", 1, 110)
    desk.send(buy("bid", 5, 90, account="b"))
    stop = sell("stop", 1, terms=OrderTerms(stop_price=105), order_type=OrderType.STOP)
    assert desk.send(stop) == ["stop NEW/SUSPENDED"]

    # when, then
    told = bust(desk, trade) if how == "bust" else correct(desk, trade, price=100)
    assert [(r.client_order_id, r.type) for r in told if r.client_order_id in ("stop", "bid")] == [
        ("stop", "TRIGGERED"), ("stop", "TRADE"), ("bid", "TRADE"),
    ]  # fmt: skip
    assert desk.digest() == desk.refolded()


def test_no_stop_of_a_market_is_due_and_waits():
    """After a bust, whatever comes: what waits is not reached by the last price."""
    desk = plain()
    deal(desk, "1", 1, 100)
    trade = deal(desk, "2", 1, 110)
    desk.send(buy("S", 1, terms=OrderTerms(stop_price=112), order_type=OrderType.STOP))
    bust(desk, trade)
    far = sell("far", 1, terms=OrderTerms(stop_price=50), order_type=OrderType.STOP)
    assert desk.send(far) == ["far NEW/SUSPENDED"]
    assert len(desk.dispatcher.desk.engine.markets["X"].stops) == 2


def test_a_stop_that_becomes_due_in_a_halt_goes_when_that_ends():
    """In continuous trading, as all stops do."""
    desk = plain()
    deal(desk, "1", 1, 100)
    trade = deal(desk, "2", 1, 110)
    desk.send(buy("bid", 5, 90, account="b"))
    desk.send(sell("stop", 1, terms=OrderTerms(stop_price=105), order_type=OrderType.STOP))

    def phase(value):
        return desk.send(
            OperatorRequest(
                client_order_id=value, action=OperatorAction.SET_PHASE, scope=Scope.SYMBOL,
                target="X", value=value,
            )
        )  # fmt: skip

    phase("HALTED")
    assert "stop" not in {report.client_order_id for report in bust(desk, trade)}
    assert "stop TRADE/FILLED" in phase("CONTINUOUS")


def test_a_breaker_goes_by_no_busted_trade():
    """Band 10 % around 100; the market is moved to 109 by one trade, which is taken back."""
    band = replace(INSTRUMENTS[0], breaker_band_bps=1_000)
    desk = plain(instruments=(band,))
    deal(desk, "1", 1, 100)
    trade = deal(desk, "2", 1, 109)
    desk.clock.advance(301)
    deal(desk, "3", 1, 110)  # a new window begins with the price of the trade before
    market = desk.dispatcher.desk.engine.markets["X"]
    assert market.rolling_ticks == 109
    bust(desk, trade)
    assert market.rolling_ticks == 110


def volatile(store=None):
    """A breaker's band of 10 %."""
    config = config_of(instruments=(replace(INSTRUMENTS[0], breaker_band_bps=1_000),))
    desk = Stepped(config, store=store or MemoryStore()).start()
    return desk, desk.dispatcher.desk.engine.markets["X"]


def test_a_breakers_reference_stays_if_another_trade_of_that_price_gave_it():
    """100, 105, 100: the first gave the reference, the third is taken back."""
    # given a reference that the first trade gave
    store = MemoryStore()
    desk, market = volatile(store)
    first, _, third = (deal(desk, str(n), 1, price) for n, price in enumerate((100, 105, 100)))
    assert market.rolling_ticks == 100

    # when the third is taken back, then it stays
    bust(desk, third)
    assert (market.rolling_ticks, market.last_ticks) == (100, 105)

    # when a new process knows it from its snapshot
    desk.stop()
    desk, market = volatile(store)
    assert (market.rolling_ticks, market.taken_back) == (100, [3, 2])
    assert desk.digest() == desk.refolded()

    # and the first is taken back, then it goes
    bust(desk, first, "again")
    assert market.rolling_ticks == 105
    assert desk.digest() == desk.refolded()


def test_a_corrected_trade_gives_the_breakers_reference_as_it_is_then():
    """And no longer, once it is taken back."""
    desk, market = volatile()
    first = deal(desk, "1", 2, 100)
    deal(desk, "2", 1, 105)
    correct(desk, first, quantity=1)
    assert market.rolling_ticks == 100
    correct(desk, first, name="again", price=101)
    assert market.rolling_ticks == 101
    bust(desk, first)
    assert market.rolling_ticks == 105


def test_a_breakers_reference_goes_with_the_last_trade_that_stands():
    """A window after the latest trade was taken back, its reference is the trade before."""
    desk, market = volatile()
    first = deal(desk, "1", 1, 100)
    bust(desk, deal(desk, "2", 1, 105))
    desk.clock.advance(301)
    deal(desk, "3", 1, 106)
    assert market.rolling_ticks == 100
    assert desk.digest() == desk.refolded()
    bust(desk, first, "again")
    assert market.rolling_ticks == 106


def test_an_auction_gives_the_breakers_reference_as_long_as_one_of_its_trades_stands():
    """Three trades at 100; busted in any order, the last one takes the reference with it."""
    # given a call with two sellers and a buyer of both
    desk, market = volatile()
    terms = {"action": OperatorAction.SET_PHASE, "scope": Scope.SYMBOL, "target": "X"}
    call, end = (
        OperatorRequest(client_order_id=phase, value=phase, **terms)
        for phase in ("OPENING_AUCTION", "CONTINUOUS")
    )
    desk.send(call)
    desk.send(*(sell(f"s{n}", 1, 100, account="a") for n in range(3)), buy("b", 3, 100), end)
    trades = [trade.execution_id for trade in desk.oms.recent_trades("X")]
    deal(desk, "later", 1, 105)

    # when they are taken back, then the reference goes with the third
    for n, reference in ((1, 100), (2, 100), (0, 105)):
        bust(desk, trades[n], f"bust{n}")
        assert market.rolling_ticks == reference
        assert desk.digest() == desk.refolded()


@given(
    steps=st.lists(
        st.tuples(
            st.sampled_from(["deal", "deal", "wait", "bust", "correct"]),
            st.integers(0, 9),
            st.integers(98, 104),
        ),
        max_size=20,
    )
)
@settings(max_examples=many(60))
def test_a_breakers_reference_is_always_of_a_trade_that_stands(steps):
    """It is the last trade that stood when its window began, and goes only with that one."""
    # given a band so wide that it stops nobody, and a list of all trades
    desk = plain(instruments=(replace(INSTRUMENTS[0], breaker_band_bps=9_000),))
    market = desk.dispatcher.desk.engine.markets["X"]
    trades, ids, stands = [], [], []  # price; execution id; does it stand?
    giver, since = None, 0

    def last():
        return max((n for n, one in enumerate(stands) if one), default=None)

    for number, (what, which, price) in enumerate(steps):
        now = desk.clock.monotonic_ns()
        if what == "wait":
            desk.clock.advance(301)
        elif what == "deal":
            new_window = giver is None or now - since >= 300 * 10**9
            before = last()
            trades.append(price)
            ids.append(deal(desk, f"{number}", 1, price))
            stands.append(True)
            if new_window:
                giver, since = len(trades) - 1 if before is None else before, now
        elif which < len(trades) and stands[which]:
            if what == "bust":
                bust(desk, ids[which], f"b{number}")
                stands[which] = False
                giver = last() if giver == which else giver
            elif price != trades[which]:
                correct(desk, ids[which], f"c{number}", price=price)
                trades[which] = price

        # then the market goes by that trade
        assert market.rolling_ticks == (0 if giver is None else trades[giver])
    assert desk.digest() == desk.refolded()


def delist(desk):
    desk.send(OperatorRequest(
        client_order_id="gone", action=OperatorAction.DELIST, scope=Scope.SYMBOL, target="X"
    ))  # fmt: skip
    assert "X" not in desk.dispatcher.desk.instruments


@pytest.mark.parametrize("restarts", [False, True])
@pytest.mark.parametrize("correction", [{}, {"price": 50}])
def test_a_trade_of_a_symbol_that_is_not_traded_any_more_is_changed_too(restarts, correction):
    """What the mistake moved does not stay because the symbol went."""
    # given a trade of 4 at 100, after which X is delisted
    store = MemoryStore()
    desk = exchange(store)
    before = balances(desk)
    order(desk, "a", "s1", Side.SELL, 4, 100)
    trade = next(r for r in order(desk, "b", "b1", Side.BUY, 4, 100) if r.type == "TRADE")
    delist(desk)
    if restarts:
        config = desk.dispatcher._config
        desk.stop()
        desk = Stepped(config, store=store).start()

    # when it is taken back, or was for half as much, then the money is where it would be
    told = (
        correct(desk, trade.execution_id, **correction)
        if correction
        else bust(desk, trade.execution_id)
    )
    assert told[-1].type == "COMMAND_DONE"
    now, half = balances(desk), 20_000
    if correction:
        assert now["b"]["QUOTE"][0] == before["b"]["QUOTE"][0] - half - half * 50 // 10_000
        assert now["b"]["BASE"][0] == 4
    else:
        assert now == before
        assert desk.dispatcher.desk.executions.positions == {}
    assert desk.digest() == desk.refolded()


def test_a_delisted_symbols_trade_of_a_time_without_a_ledger_moves_no_money():
    """A ledger that was switched on since knows nothing of it."""
    store = MemoryStore()
    desk = Stepped(config_of(), store=store).start()
    trade = deal(desk, "1", 4, 100)
    delist(desk)
    desk.stop()
    desk = exchange(store)
    told = bust(desk, trade)
    assert told[-1].text.startswith("COMMAND_INVALID: trade=")
    assert "scales or ledger are others" in told[-1].text


def test_the_market_is_told_of_a_bust_and_of_a_correction_once():
    """By the id that the trade was told under; both orders have a report, the market has one."""
    desk = plain()
    events = []
    desk.oms.add_market_listener(events.append)
    first, second = deal(desk, "1", 5, 100), deal(desk, "2", 5, 101)
    prints = [event for event in events if isinstance(event, TradePrint)]
    del events[:]
    correct(desk, first, price=99, quantity=3)
    bust(desk, second)
    seq = desk.dispatcher.fold.last_seq
    assert events == [
        TradeCorrection(seq - 2, 1, "X", prints[0].execution_id, 1, 99, 3),
        TradeBust(seq, 1, "X", prints[1].execution_id, 2, 101, 5),
    ]


def test_a_bust_of_a_trade_long_ago_is_told_too():
    """It is not among the latest any more; those are as many as before."""
    desk = plain(market_data=MarketDataConfig(trades_kept=2))
    trades = [deal(desk, str(n), 1, 100 + n) for n in range(4)]
    events = []
    desk.oms.add_market_listener(events.append)
    desk.step()
    bust(desk, trades[0])
    assert [event.execution_id for event in events] == [trades[0]]
    assert [trade.price_ticks for trade in desk.oms.recent_trades("X")] == [102, 103]
    bust(desk, trades[3], "again")
    assert [trade.price_ticks for trade in desk.oms.recent_trades("X")] == [101, 102]


def test_an_execution_id_that_begins_like_a_busted_one_is_another():
    """1-1 is not 1-10: ten fills of one order, of which the tenth and then the first is busted."""
    desk = plain()
    desk.send(*(sell(f"s{n}", 1, 100, account="a") for n in range(10)))
    desk.oms.on_data(buy("b", 10, 100, account="b"))
    trades = [r.execution_id for r in desk.turn() if r.type == "TRADE" and r.account == "b"]
    long = next(t for t in trades if any(t != o and t.startswith(o) for o in trades))
    short = next(t for t in trades if t != long and long.startswith(t))
    assert bust(desk, long, "one")[-1].type == "COMMAND_DONE"
    assert bust(desk, short, "two")[-1].type == "COMMAND_DONE"


# --- corrections ---


def test_a_corrected_price_moves_the_difference_and_the_fees_in_proportion(desk):
    """4 at 100 should have been 4 at 90: the buyer gets 40.00 back, and a tenth of the fee."""
    order(desk, "a", "s1", Side.SELL, 15, 100)
    told = order(desk, "b", "b1", Side.BUY, 4)
    trade = next(r for r in told if r.type == "TRADE").execution_id
    before = balances(desk)
    told = correct(desk, trade, price=90)
    assert [(r.type, r.state, r.last_price_ticks, r.last_quantity_lots) for r in told[:2]] == [
        ("TRADE_CORRECTED", "FILLED", 90, 4), ("TRADE_CORRECTED", "PARTIALLY_FILLED", 90, 4)
    ]  # fmt: skip
    now = balances(desk)
    assert now["b"]["QUOTE"][0] == before["b"]["QUOTE"][0] + 4_000 + 20
    assert now["a"]["QUOTE"][0] == before["a"]["QUOTE"][0] - 4_000 - 4
    assert now["fees"]["QUOTE"][0] == before["fees"]["QUOTE"][0] - 16
    assert now["b"]["BASE"] == before["b"]["BASE"]
    assert desk.oms.get_order("b", "b1").average_price == 90
    assert desk.oms.get_prices("X").last == 90
    assert desk.refolded() == desk.digest()


def test_a_corrected_trade_is_taken_back_as_it_stands(desk):
    """First 4 at 100, then 3 at 90, then nothing: everybody has what they had."""
    order(desk, "a", "s1", Side.SELL, 4, 100)
    before = balances(desk)
    told = order(desk, "b", "b1", Side.BUY, 4)
    trade = next(r for r in told if r.type == "TRADE").execution_id
    assert correct(desk, trade, price=90, quantity=3)[-1].type == "COMMAND_DONE"
    assert standing(desk, "b", "b1") == ("CANCELED", 3, 0)
    assert desk.dispatcher.desk.executions.positions == {("a", "X"): -3, ("b", "X"): 3}
    assert bust(desk, trade)[-1].type == "COMMAND_DONE"
    now = balances(desk)
    assert now["b"] == before["b"]
    assert now["a"]["BASE"] == (100, 0)
    assert "QUOTE" not in now.get("fees", {})
    fold = type(desk.dispatcher.fold)(type(desk.venue)())
    assert list(differences(desk.store, fold)) == []


@pytest.mark.parametrize(
    "said, expected",
    [
        ({"quantity": 6}, "quantity: expected at most 5, which was traded, was '6'"),
        ({"price": 100}, "expected another price or quantity than it has"),
        ({"price": "0"}, "price: expected a number above 0"),
        ({"price": "1.5"}, "price: expected"),
        ({"quantity": "x"}, "quantity: expected"),
    ],
)
def test_a_correction_that_cannot_be_is_refused(said, expected):
    """By the field, and nothing changes."""
    desk = plain()
    trade = deal(desk, "1", 5, 100)
    before = desk.dispatcher.fold.state()
    [refused] = correct(desk, trade, **said)
    assert (refused.type, refused.reason) == ("COMMAND_REJECTED", "COMMAND_INVALID")
    assert expected in refused.text
    assert {**desk.dispatcher.fold.state(), "last_seq": 0} == {**before, "last_seq": 0}


def test_a_correction_that_the_buyer_cannot_pay_is_refused(desk):
    """He has 10,000 less 400 and fees: at 3,000 each four lots are not to be had."""
    order(desk, "a", "s1", Side.SELL, 4, 100)
    told = order(desk, "b", "b1", Side.BUY, 4)
    trade = next(r for r in told if r.type == "TRADE").execution_id
    before = balances(desk)
    refused = correct(desk, trade, price=3_000)
    assert refused[0].text.startswith("FUNDS_INSUFFICIENT: asset=QUOTE, needed=11658")
    assert balances(desk) == before


@pytest.mark.parametrize("delisted", [False, True])
def test_a_remote_venue_s_trade_is_corrected_on_our_side(delisted):
    """Only one side is ours; the market hears of it by the same id."""
    desk = remote()
    events = []
    desk.oms.add_market_listener(events.append)
    desk.send(buy("A", 5, 100))
    desk.hear()
    order_id = desk.oms.get_order("me", "A").order_id
    desk.oms.on_data_response(trade_report(order_id, 5, 100, "v1"))
    desk.step()
    trade = desk.oms.recent_trades("X")[0].execution_id
    if delisted:
        delist(desk)
    assert correct(desk, trade, price=98)[-1].type == "COMMAND_DONE"
    if not delisted:
        assert [t.price_ticks for t in desk.oms.recent_trades("X")] == [98]
    assert bust(desk, trade)[-1].type == "COMMAND_DONE"
    if not delisted:
        assert desk.oms.recent_trades("X") == []
    assert standing(desk, "me", "A") == ("CANCELED", 0, 0)
    assert [type(event) for event in events] == [TradePrint, TradeCorrection, TradeBust]


# --- whatever was traded and corrected ---

ROUGH = Instrument(  # a tick times a lot is a tenth of the smallest amount of money
    symbol="X", price_scale=1, quantity_scale=1, base="BASE", quote="QUOTE", base_scale=1,
    quote_scale=1, maker_fee_bps=-300, taker_fee_bps=500,
)  # fmt: skip
deals = st.tuples(
    st.lists(st.integers(1, 9), min_size=1, max_size=4), st.integers(1, 300), st.booleans()
)
corrections = st.tuples(st.integers(0, 99), st.integers(1, 300), st.integers(1, 9))


@given(st.lists(deals, min_size=1, max_size=4), st.lists(corrections, max_size=6), st.randoms())
@settings(max_examples=many(60))
def test_when_every_trade_is_taken_back_everybody_has_what_they_began_with(sold, corrected, chance):
    """However orders were split into fills, at whatever rounding, and corrected in between."""
    # given
    config = config_of(exchange=ExchangeConfig(ledger=True), instruments=(ROUGH,))
    desk = Stepped(config).start()
    for account in "ab":
        fund(desk, account, FundsAction.CREATE)
    fund(desk, "a", FundsAction.DEPOSIT, asset="BASE", amount=100)
    fund(desk, "b", FundsAction.DEPOSIT, asset="QUOTE", amount=100_000)
    before = balances(desk)
    trades = []
    for n, (fills, price, more) in enumerate(sold):
        of, ticks = sum(fills) + more, Decimal(price) / 10
        order(desk, "a", f"s{n}", Side.SELL, Decimal(of) / 10, ticks)
        for m, lots in enumerate(fills):
            told = order(desk, "b", f"b{n}-{m}", Side.BUY, Decimal(lots) / 10, ticks)
            trades += [r.execution_id for r in told if r.type == "TRADE" and r.account == "b"]

    # when
    for n, (pick, price, lots) in enumerate(corrected):
        trade = trades[pick % len(trades)]
        correct(desk, trade, f"c{n}", price=Decimal(price) / 10, quantity=Decimal(lots) / 10)
        balances(desk)  # which looks whether all adds up
    chance.shuffle(trades)
    for trade in trades:
        assert bust(desk, trade, f"bust {trade}")[-1].type == "COMMAND_DONE"

    # then
    desk.oms.on_data(MassCancelRequest(account="a", client_order_id="all"))
    desk.turn()
    assert {name: has for name, has in balances(desk).items() if has} == {
        name: has for name, has in before.items() if has
    }
    assert desk.dispatcher.desk.executions.positions == {}
    assert desk.oms.recent_trades("X") == []
    assert desk.refolded() == desk.digest()
