"""Many orders take a short way: straight to the book, without the queue and without a plan.

Nobody may see the difference. So every flow here is run two ways, as it is and with the short way
closed, and both must tell the same, hold the same, and write the same journal.
"""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from unittest.mock import patch

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from oms import (
    EmbeddedVenue,
    FundsAction,
    FundsRequest,
    Instrument,
    OperatorAction,
    OperatorRequest,
    OrderRequest,
    OrderTerms,
    Side,
    TimeInForce,
)
from oms.config import ExchangeConfig, RiskConfig, ThrottleConfig
from oms.desk.changes import Changes
from oms.desk.desk import Desk
from oms.exchange.matching import MatchingEngine
from oms.reports import MEASURED
from oms.stores import JournalRecord, checked
from oms.turn.journal import Fold, compared
from tests.examples import many
from tests.fakes import Stepped, config_of
from tests.test_exchange_stateful import ExchangeMachine
from tests.test_order_desk_stateful import DeskMachine
from tests.test_recorded import ALL, read
from tests.turns import EVERYTHING, Turns, cancel, modify, new

# A venue of somebody else is spoken to in one way only.
OWN_EXCHANGE = [name for name in ALL if "remote" not in name]
SHORT_WAYS = ((Desk, "goes_at_once"), (MatchingEngine, "_is_plain"), (Changes, "overtakes"))


def ask_everything(desk: Desk) -> None:
    """Instead of Desk.refresh: there is something to be asked before each order."""
    desk.plain = False


@contextmanager
def the_long_way() -> Iterator[None]:
    """Every order is asked everything, waits in the queue, and then its trades are planned."""
    with ExitStack() as stack:
        stack.enter_context(patch.object(Desk, "refresh", ask_everything))
        for owner, name in SHORT_WAYS:
            stack.enter_context(patch.object(owner, name, lambda *_: False))
        yield


def same(ours: Fold, theirs: Fold) -> None:
    """The latest turn told the same, and now all is the same."""
    told, expected = ours.desk.reports.rows, theirs.desk.reports.rows
    assert [compared(report) for report in told] == [compared(report) for report in expected]
    assert [plain(report) for report in told] == [plain(report) for report in expected]
    assert ours.state() == theirs.state()
    assert ours.digest() == theirs.digest()
    assert ours.desk.ledger.accounts == theirs.desk.ledger.accounts
    assert ours.desk.executions.positions == theirs.desk.executions.positions


def plain(report):
    """All of a report but what was measured."""
    return report._replace(**dict.fromkeys(MEASURED, 0))


class BothWays(Turns):
    """The same turns for a second desk, which goes the long way; after each they are compared."""

    def __init__(self, **more):
        with the_long_way():
            self.other = Turns(**more)
        self.begun = False
        super().__init__(**more)
        same(self.fold, self.other.fold)
        self.begun = True

    def turn(self, *lines, send=EVERYTHING):
        instant, before = self.fold.instant, self.fold.last_seq
        told = super().turn(*lines, send=send)
        if self.begun:
            self.other.fold.instant = instant
            assert self.other.fold.last_seq == before
            with the_long_way():
                assert self.other.turn(*lines, send=send) == told
            assert self.other.records[-1] == self.records[-1]
            same(self.fold, self.other.fold)
            assert self.outcomes(self) == self.outcomes(self.other)
        return told

    @staticmethod
    def outcomes(turns):
        """What is kept of each request sent, but for the times."""
        return {seq: hops[0] for seq, hops in turns.desk.hops.items()}


def test_the_short_ways_are_taken_and_can_be_closed():
    """Else the rest of this file would compare a thing with itself."""
    taken, asked, ask = set(), [], Desk.new
    lines = (
        new("A", "BUY", 5, 100), new("B", "SELL", 2, 100), modify("M", "A", lots=4),
        cancel("C", "A"),
    )  # fmt: skip

    def watched(owner, name):
        whole = getattr(owner, name)

        def watch(*arguments):
            answer = whole(*arguments)
            if answer:
                taken.add(name)
            return answer

        return watch

    def new_asked(desk, seq, line, *times):
        asked.append(seq)
        return ask(desk, seq, line, *times)

    # given a desk that is watched
    with ExitStack() as stack:
        stack.enter_context(patch.object(Desk, "new", new_asked))
        for owner, name in SHORT_WAYS:
            stack.enter_context(patch.object(owner, name, watched(owner, name)))

        # when orders trade, and are changed and canceled, then each short way was open
        told = Turns().turn(*lines)
        assert taken == {name for _, name in SHORT_WAYS}
        assert asked == []

        # and when they are closed, none is, and the same is told
        taken.clear()
        with the_long_way():
            assert Turns().turn(*lines) == told
        assert taken == set()
        assert len(asked) == 2


class DeskBothWays(DeskMachine):
    """Any requests, permits, sessions and links; held against the twin as well."""

    make_turns = BothWays


class ExchangeBothWays(ExchangeMachine):
    """All that the exchange knows, with and without the ledger; against the twin as well."""

    make_turns = BothWays


TestDeskBothWays = DeskBothWays.TestCase
TestDeskBothWays.settings = settings(max_examples=many(80), stateful_step_count=30)
TestExchangeBothWays = ExchangeBothWays.TestCase
TestExchangeBothWays.settings = settings(max_examples=many(40), stateful_step_count=80)


@pytest.mark.parametrize("name", OWN_EXCHANGE)
def test_a_recorded_journal_gives_the_same_both_ways(name):
    """Calendars, throttles, breakers, limits, icebergs, busts: whatever was recorded."""
    # given
    recorded = read(name)
    assert not recorded["remote"]
    ours, theirs = Fold(EmbeddedVenue()), Fold(EmbeddedVenue())
    records = [JournalRecord(*fields) for fields in recorded["records"]]

    # when each turn is replayed both ways, then each time they tell the same
    for number, record in enumerate(checked(records, 0, 0)):
        told = [plain(report) for report in ours.apply(record)]
        with the_long_way():
            assert [plain(report) for report in theirs.apply(record)] == told
        if number % 25 == 0:
            same(ours, theirs)
    same(ours, theirs)


# --- the whole order manager, with requests as they come ---

MARKET = Instrument(
    symbol="X", price_scale=0, quantity_scale=0, base="B", quote="Q", base_scale=0, quote_scale=0,
    breaker_band_bps=300, reference_price_ticks=100, taker_fee_bps=50,
)  # fmt: skip
names = st.integers(0, 30).map(str)
accounts = st.sampled_from("ab")
prices = st.integers(96, 104)
new_orders = st.builds(
    lambda name, account, side, lots, price, more: OrderRequest.new(
        account, name, "X", side, lots, price, **more
    ),
    names, accounts, st.sampled_from(Side), st.integers(1, 9), st.none() | prices,
    st.sampled_from([{}, {}, {}, {"hold": True}, {"time_in_force": TimeInForce.FOK}]),
)  # fmt: skip
changes = st.builds(
    lambda name, account, named, lots, price: OrderRequest.modify(
        account, name, named, quantity=lots, price=price
    ),
    names, accounts, names, st.integers(1, 9), st.none() | prices,
)  # fmt: skip
stops = st.builds(
    lambda name, account, side, lots, stop: OrderRequest.new(
        account, name, "X", side, lots, terms=OrderTerms(stop_price=stop)
    ),
    names, accounts, st.sampled_from(Side), st.integers(1, 9), prices,
)  # fmt: skip
cancels = st.builds(OrderRequest.cancel, accounts, names, names)
operators = st.builds(
    lambda name, action_and_value: OperatorRequest(
        client_order_id=name, action=action_and_value[0], value=action_and_value[1]
    ),
    names,
    st.sampled_from([
        (OperatorAction.KILL, ""), (OperatorAction.SET_TRADING, "ACTIVE"),
        (OperatorAction.SET_PHASE, "OPENING_AUCTION"), (OperatorAction.SET_PHASE, "CONTINUOUS"),
    ]),
)  # fmt: skip
requests = st.one_of(new_orders, new_orders, new_orders, changes, stops, cancels, operators)


@given(
    ledger=st.booleans(), limits=st.booleans(), sends_max=st.none() | st.integers(1, 3),
    self_trade=st.sampled_from(["none", "decrement"]),
    turns=st.lists(st.lists(requests, max_size=8), max_size=10),
)  # fmt: skip
@settings(max_examples=many(120))
def test_an_order_manager_does_the_same_both_ways(ledger, limits, sends_max, self_trade, turns):
    """Repeats, throttling, a breaker, limits, kills: the same answers, journal, and balances."""
    # given two order managers
    config = config_of(
        instruments=(MARKET,), exchange=ExchangeConfig(ledger=ledger, self_trade=self_trade)
    )
    if limits:
        config = replace(config, risk=RiskConfig(open_orders_max=3, position_max="20"))
    if sends_max is not None:
        config = replace(config, throttle=ThrottleConfig(sends_max=sends_max))

    def start():
        desk = Stepped(config).start()
        for account in "ab" if ledger else "":
            desk.ask(FundsRequest(
                account=account, client_order_id="create", action=FundsAction.CREATE
            ))  # fmt: skip
            for asset, amount in (("B", 30), ("Q", 3_000)):
                desk.ask(FundsRequest(
                    account=account, client_order_id=asset, action=FundsAction.DEPOSIT,
                    asset=asset, amount=amount,
                ))  # fmt: skip
        desk.clock.advance(2)
        return desk

    short = start()
    with the_long_way():
        long = start()

    def turn(desk, asked):
        for request in asked:
            desk.oms.on_data(request)
        told = desk.turn()
        desk.clock.advance(0.4)
        return [plain(response.report) for response in told]

    # when they are asked the same, then they tell the same
    for asked in turns:
        told = turn(short, asked)
        with the_long_way():
            assert turn(long, asked) == told
        same(short.dispatcher.fold, long.dispatcher.fold)
        assert all(short.oms.balances_units(each) == long.oms.balances_units(each) for each in "ab")
    assert list(short.store.records()) == list(long.store.records())
    assert short.digest() == short.refolded() == long.digest()
