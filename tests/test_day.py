"""The end of a trading date: settlement prices by their rule, statements that add up, trades."""

import csv
import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import ROUND_HALF_EVEN, Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from oms import FundsAction, FundsRequest, Instrument, ManualClock, MemoryStore, PersistentStorage
from oms.cli import main
from oms.config import ExchangeConfig, SessionConfig
from oms.requests import OperatorAction, OperatorRequest
from oms.turn.day import Settlement, days
from oms.venues import EmbeddedVenue
from tests.examples import many
from tests.fakes import Stepped, buy, config_of, sell

OPEN = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)  # a Monday
B = Instrument(
    symbol="B_USD", price_scale=0, quantity_scale=0, maker_fee_bps=10, taker_fee_bps=20,
    tick_size=5, reference_price_ticks=70,
)  # fmt: skip
C = replace(B, symbol="C_USD", base="C", reference_price_ticks=0)
MINUTE = 60


class Exchange:
    """Two accounts with money, hours from nine to five, a closing auction of ten minutes."""

    def __init__(self, store=None, auction_s=600):
        hours = SessionConfig(hours="Mon-Fri 09:00-17:00", closing_auction_ns=auction_s * 10**9)
        config = config_of(session=hours, exchange=ExchangeConfig(ledger=True), instruments=(B, C))
        self.clock = ManualClock.at(OPEN - timedelta(hours=1))
        self.desk = Stepped(config, store=store or MemoryStore(), clock=self.clock).start()
        self.count = 0
        for account in ("ann", "bob"):
            self.fund(account, FundsAction.CREATE)
            for asset in ("USD", "B", "C"):
                self.fund(account, FundsAction.DEPOSIT, asset, "10000")

    def fund(self, account, action, asset="", amount=None, **more):
        self.count += 1
        request = FundsRequest(
            account=account, client_order_id=f"f{self.count}", action=action, asset=asset,
            amount=amount, **more,
        )  # fmt: skip
        answer = self.desk.ask(request)
        assert answer.type == "COMMAND_DONE", answer.text

    def until(self, hour, minute=0, day=2):
        """Let time pass; twice, so that what became due has followed."""
        to = datetime(2026, 3, day, hour, minute, tzinfo=UTC)
        self.clock.advance((to.timestamp() * 10**9 - self.clock.wall_ns()) / 10**9)
        for _ in range(3):
            self.desk.keep()
            self.desk.step()

    def trade(self, price, lots, symbol="B_USD"):
        self.count += 1
        self.desk.send(sell(f"s{self.count}", lots, price, symbol=symbol, account="ann"))
        self.desk.send(buy(f"b{self.count}", lots, price, symbol=symbol, account="bob"))

    def days(self):
        schedule = self.desk.oms.config.session.schedule
        return list(days(self.desk.store, EmbeddedVenue(), schedule))


def settlements(day):
    return {symbol: tuple(each) for symbol, each in day.settlements.items()}


def test_the_settlement_price_follows_the_rule():
    """Auction; else the last half hour; else the last trade; else the date before; else the
    reference; else none."""
    exchange = Exchange()
    exchange.until(9)
    # given Monday: no trade at all
    exchange.until(17)
    # Tuesday: trades late and early, and no auction trade
    exchange.until(9, 0, 3)
    exchange.trade(90, 1)
    exchange.trade(40, 1, "C_USD")
    exchange.until(16, 35, 3)
    exchange.trade(100, 2)
    exchange.trade(105, 2)  # the average is 102.5, half way: to the even multiple of the tick
    exchange.until(17, 0, 3)
    # Wednesday: an auction trades the one, nothing the other
    exchange.until(9, 0, 4)
    exchange.trade(80, 5)
    exchange.until(16, 55, 4)
    exchange.desk.send(sell("as", 1, 110, symbol="B_USD", account="ann"))
    exchange.desk.send(buy("ab", 1, 110, symbol="B_USD", account="bob"))
    exchange.until(17, 0, 4)

    # then
    first, second, third = exchange.days()
    assert [each.date for each in (first, second, third)] == [
        "2026-03-02", "2026-03-03", "2026-03-04",
    ]  # fmt: skip
    assert settlements(first) == {"B_USD": (70, "reference"), "C_USD": (None, "none")}
    assert settlements(second) == {"B_USD": (100, "vwap"), "C_USD": (40, "last")}
    assert settlements(third) == {"B_USD": (110, "closing_auction"), "C_USD": (40, "previous")}
    assert all(each.complete for each in (first, second, third))


def test_the_last_half_hour_ends_with_the_hours_however_late_the_closing_turn():
    """A daemon that was down at the close ends the date the next morning."""
    # given a trade in the last half hour of Monday, and one before
    exchange = Exchange(auction_s=0)
    exchange.until(9)
    exchange.trade(90, 1)
    exchange.until(16, 40)
    exchange.trade(100, 2)
    exchange.trade(110, 2)

    # when the turn that closes it is of Tuesday
    exchange.clock.advance(16 * 3600)
    exchange.desk.step()

    # then the trades of 16:30 to 17:00 settle it
    monday = exchange.days()[0]
    assert (monday.complete, monday.settlements["B_USD"]) == (True, Settlement(105, "vwap"))


def test_a_busted_trade_settles_nothing():
    """Trades count as they stand when it is asked."""
    exchange = Exchange(auction_s=0)
    exchange.until(9)
    exchange.trade(90, 1)
    exchange.until(16, 59)
    exchange.trade(200, 1)
    latest = exchange.desk.oms.recent_trades("B_USD")[-1]
    exchange.until(17)
    exchange.until(9, 0, 3)
    assert exchange.days()[0].settlements["B_USD"] == Settlement(200, "vwap")
    request = OperatorRequest(
        client_order_id="bust", action=OperatorAction.BUST, name=latest.execution_id
    )
    assert exchange.desk.ask(request).type == "COMMAND_DONE"
    [first, second] = exchange.days()
    assert first.settlements["B_USD"] == Settlement(90, "last")
    assert [(each.price_ticks, each.lots, each.status) for each in first.trades] == [
        (90, 1, ""), (200, 0, "BUSTED"),
    ]  # fmt: skip
    assert (second.complete, second.trades) == (False, [])


def test_a_statement_begins_where_the_one_before_ended():
    """Money that came at night counts for the next date; every line adds up."""
    exchange = Exchange(auction_s=0)
    exchange.until(9)
    exchange.trade(100, 10)
    exchange.until(17)
    exchange.fund("bob", FundsAction.WITHDRAW, "USD", "50")
    exchange.fund("ann", FundsAction.TRANSFER, "USD", "7", to_account="bob")
    exchange.until(9, 0, 3)
    exchange.desk.send(buy("rests", 1, 50, symbol="B_USD", account="bob"))
    exchange.until(17, 0, 3)

    first, second = exchange.days()
    lines = {(line.account, line.asset): line for line in first.statements}
    unit = 10**8
    ann = lines["ann", "USD"]
    assert (ann.opening, ann.funds, ann.trades) == (0, 10_000 * unit, 1_000 * unit)
    assert ann.fees == -1_000 * unit * 10 // 10_000
    assert lines["fees", "USD"].closing == 1_000 * unit * 30 // 10_000
    assert lines["bob", "B"].closing == 10_010 * unit
    for line in second.statements:
        before = lines[line.account, line.asset]
        assert line.opening == before.closing
        assert line.opening + line.funds + line.trades + line.fees == line.closing
    bob = next(each for each in second.statements if each[:2] == ("bob", "USD"))
    assert (bob.funds, bob.trades) == (-43 * unit, 0)
    assert [tuple(each) for each in second.positions] == [
        ("ann", "B_USD", -10, -10), ("bob", "B_USD", 10, 10),
    ]  # fmt: skip
    assert [each[2:] for each in first.positions] == [(0, -10), (0, 10)]


@pytest.fixture
def traded(tmp_path):
    """Two dates on disk."""
    exchange = Exchange(PersistentStorage(tmp_path / "order_management.db"))
    exchange.until(9)
    exchange.trade(100, 3)
    exchange.until(17)
    exchange.until(9, 0, 3)
    exchange.trade(105, 1)
    exchange.desk.stop()
    return tmp_path


def test_the_files_say_the_same_and_are_the_same_again(traded, capsys):
    """JSON and CSV of a date that is over; byte for byte, also once an archive was made."""
    assert main(["end-of-day", "--data-dir", str(traded)]) == 0
    names = [line.rpartition("/")[2] for line in capsys.readouterr().out.splitlines()]
    head = "end-of-day-2026-03-02"
    assert names == [
        f"{head}.json",
        *(f"{head}-{name}.csv" for name in ("settlement", "statements", "positions", "trades")),
    ]
    contents = [(traded / name).read_bytes() for name in names]
    told = json.loads(contents[0])
    assert (told["date"], told["complete"]) == ("2026-03-02", True)
    assert told["settlement"][0] == {
        "symbol": "B_USD", "settlement_price": "100", "rule": "last", "settlement_price_ticks": 100,
    }  # fmt: skip
    for name, content in zip(("settlement", "statements", "positions", "trades"), contents[1:],
                             strict=True):  # fmt: skip
        rows = list(csv.DictReader(content.decode().splitlines()))
        assert rows == [
            {key: "" if value is None else str(value) for key, value in row.items()}
            for row in told[name]
        ]
    [trade] = told["trades"]
    assert (trade["price"], trade["quantity"], trade["buy_account"]) == ("100", "3", "bob")
    assert (trade["buy_fee"], trade["sell_fee"]) == ("0.6", "0.3")
    statement = next(r for r in told["statements"] if (r["account"], r["asset"]) == ("bob", "USD"))
    assert statement["closing"] == "9699.4"

    assert main(["archive", "--before", "2026-03-03", "--data-dir", str(traded)]) == 0
    elsewhere = traded / "files"
    words = ["end-of-day", "--date", "2026-03-02", "--output", str(elsewhere)]
    assert main([*words, "--data-dir", str(traded)]) == 0
    assert [(elsewhere / name).read_bytes() for name in names] == contents


def test_a_date_that_is_not_over_or_not_there_is_told(traded, capsys):
    """The one is as of now, the other is exit code 1."""
    assert main(["end-of-day", "--date", "2026-03-03", "--data-dir", str(traded)]) == 0
    assert "2026-03-03 is not over yet: the files are as of 2026-03-03T09:" in (
        capsys.readouterr().err
    )
    assert main(["end-of-day", "--date", "2026-01-01", "--data-dir", str(traded)]) == 1
    assert "no trading date 2026-01-01 in the journal: it has 2026-03-02 to 2026-03-03\n" in (
        capsys.readouterr().err
    )
    assert main(["end-of-day", "--date", "tomorrow", "--data-dir", str(traded)]) == 2


def test_a_market_that_never_closes_has_a_date_a_day():
    """From midnight to midnight, and the date's trades are its own."""
    clock = ManualClock.at(datetime(2026, 3, 2, 23, 0, tzinfo=UTC))
    desk = Stepped(config_of(), clock=clock).start()
    desk.send(sell("s1", 1, 10), buy("b1", 1, 10))
    clock.advance(2 * 3600)
    desk.step()
    desk.send(sell("s2", 2, 20), buy("b2", 2, 20))
    first, second = days(desk.store, EmbeddedVenue(), config_of().session.schedule)
    assert [(each.date, each.complete, len(each.trades)) for each in (first, second)] == [
        ("2026-03-02", True, 1), ("2026-03-03", False, 1),
    ]  # fmt: skip
    assert first.statements == []
    assert first.settlements["X"] == Settlement(10, "last")  # an hour before midnight


trades = st.lists(
    st.tuples(st.integers(0, 2 * 24 * 60 - 1), st.integers(1, 40), st.integers(1, 5)), max_size=12
)


@given(made=trades)
@settings(max_examples=many(30))
def test_settlement_prices_are_what_a_plain_reckoning_gives(made):
    """Trades at any minute of two days of a market that never closes; ticks of 5."""
    begin = datetime(2026, 3, 2, tzinfo=UTC)
    five = Instrument(symbol="X", price_scale=0, quantity_scale=0, tick_size=5)
    clock = ManualClock.at(begin)
    config = config_of(instruments=(five,))
    desk = Stepped(config, clock=clock).start()
    at = 0
    for n, (minute, ticks, lots) in enumerate(sorted(made)):
        clock.advance((minute - at) * 60)
        at = minute
        desk.send(sell(f"s{n}", lots, 5 * ticks), buy(f"b{n}", lots, 5 * ticks))
    clock.advance((2 * 24 * 60 - at) * 60)
    desk.step()

    # the same from the list: minutes, prices, lots
    expected, before = [], (None, "none")
    for day in (0, 1):
        end = (day + 1) * 24 * 60
        of_day = [each for each in sorted(made) if end - 24 * 60 <= each[0] < end]
        late = [each for each in of_day if each[0] >= end - 30]
        if late:
            lots = sum(each[2] for each in late)
            average = sum(Decimal(each[1] * each[2]) for each in late) / lots
            before = (5 * int(average.quantize(Decimal(1), ROUND_HALF_EVEN)), "vwap")
        elif of_day:
            before = (5 * of_day[-1][1], "last")
        elif before[0] is not None:
            before = (before[0], "previous")
        expected.append(before)
    found = list(days(desk.store, EmbeddedVenue(), config.session.schedule))
    over = [tuple(each.settlements["X"]) for each in found if each.complete]
    if len(over) == 2:
        assert over == expected
