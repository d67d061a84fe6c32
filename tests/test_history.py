"""Candles and statistics: from the store, now and for the past, before and after a restart."""

from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from fractions import Fraction
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from oms import Instrument, ManualClock, PersistentStorage, ValidationError
from oms.config import SessionConfig
from oms.enums import Phase
from oms.requests import OperatorAction, OperatorRequest
from tests.databases import alter
from tests.examples import many
from tests.fakes import Stepped, buy, config_of, sell
from tests.spoken import Spoken

NOON = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)
SECOND = 1_000_000_000
NOON_NS = int(NOON.timestamp()) * SECOND
HOUR = 3_600 * SECOND


class Market:
    """A desk whose trades a test makes one at a time."""

    def __init__(self, **parts):
        parts.setdefault("clock", ManualClock.at(NOON))
        self.desk = Stepped(parts.pop("config", None), **parts).start()
        self.oms, self.clock, self.count = self.desk.oms, self.desk.clock, 0

    def trade(self, price, lots, symbol="X"):
        """The execution id that names it."""
        self.count += 1
        self.desk.send(sell(f"s{self.count}", lots, price, symbol=symbol))
        self.desk.send(buy(f"b{self.count}", lots, price, symbol=symbol))
        return self.oms.recent_trades(symbol)[-1].execution_id

    def operate(self, action, **said):
        self.count += 1
        request = OperatorRequest(client_order_id=f"o{self.count}", action=action, **said)
        answer = self.desk.ask(request)
        assert answer.type == "COMMAND_DONE", answer.text

    def bust(self, trade):
        self.operate(OperatorAction.BUST, name=trade)

    def correct(self, trade, **texts):
        self.operate(OperatorAction.CORRECT, name=trade, settings=texts)


def figures(candle):
    return (
        candle.open_ticks, candle.high_ticks, candle.low_ticks, candle.close_ticks,
        candle.volume_lots, candle.notional, candle.count, candle.changed,
    )  # fmt: skip


def test_a_candle_shows_its_units_and_no_raw_numbers():
    """As every other event does: whoever prints one reads prices."""
    market = Market(config=config_of(instruments=(Instrument(symbol="X", price_scale=2),)))
    market.trade("98.50", "2.5")
    [candle] = market.oms.candles("X", "1m", NOON)
    told = repr(candle)
    assert "open=98.5, high=98.5, low=98.5, close=98.5, volume=2.5, quote_volume=246.25" in told
    assert "9850" not in told
    market.desk.stop()


def test_a_candle_has_what_was_traded_in_its_span():
    """Given trades in two of three minutes, then there are two candles, the first whole."""
    market = Market()
    for price, lots, wait_s in ((100, 2, 20), (104, 1, 20), (99, 1, 80), (101, 5, 1)):
        market.trade(price, lots)
        market.clock.advance(wait_s)

    # when a span is asked for that begins in the middle of the first
    first, second = market.oms.candles("X", "1m", NOON_NS + 30 * SECOND)

    # then that one is told whole, and the minute between has none
    assert (first.start_ns, first.end_ns) == (NOON_NS, NOON_NS + 60 * SECOND)
    assert (first.open, first.high, first.low, first.close) == (100, 104, 99, 99)
    assert (first.volume, first.quote_volume, first.count) == (4, 403, 3)
    assert first.vwap == Decimal("100.75")
    assert second.start_ns == NOON_NS + 120 * SECOND
    assert figures(second) == (101, 101, 101, 101, 5, 505, 1, 0)
    assert market.oms.candles("X", "1m", NOON_NS, NOON_NS) == []
    assert market.oms.candles("X", "1m", NOON, NOON.replace(minute=1)) == [first]


def test_statistics_are_of_24_hours_and_of_any_past():
    """The trade of 25 hours ago counts no more, but it did an hour later than it was made."""
    market = Market()
    market.trade(90, 1)
    market.clock.advance(5 * 3600)
    market.trade(100, 1)
    market.clock.advance(20 * 3600)
    market.trade(103, 2)

    now = market.oms.statistics("X")
    assert (now.open, now.last, now.change, now.volume, now.count) == (100, 103, 3, 3, 2)
    assert now.vwap == 102
    then = market.oms.statistics("X", NOON_NS + 6 * HOUR)
    assert figures(then) == (90, 100, 90, 100, 2, 190, 2, 0)
    nothing = market.oms.statistics("ALL")
    assert (nothing.last, nothing.change, nothing.vwap, nothing.volume) == (None, None, None, 0)


def test_an_average_is_rounded_half_even_four_places_behind_the_price():
    """Two of three lots at 0.01 more: 0.0066666..., and a half goes to the even digit."""
    cents = Instrument(symbol="C_USD", price_scale=2, quantity_scale=0)
    market = Market(config=config_of(instruments=(cents,)))
    market.trade("1.00", 1, "C_USD")
    market.trade("1.01", 2, "C_USD")
    [candle] = market.oms.candles("C_USD", "1h", NOON_NS)
    assert candle.vwap == Decimal("1.006667")
    half = replace(candle, notional=1_000_000_5, volume_lots=100_000_0)  # 10.0000005 ticks
    assert half.vwap == Decimal("0.1")
    assert replace(half, notional=1_000_005_0).vwap == Decimal("0.1")  # 10.00005 -> ...00
    assert replace(half, notional=1_000_015_0).vwap == Decimal("0.100002")  # 10.00015 -> ...02


def test_a_bust_or_correction_changes_old_candles_and_marks_them():
    """However long ago: the figures are as the trades stand, and `changed` says so."""
    market = Market()
    low, high = market.trade(90, 1), market.trade(110, 4)
    market.clock.advance(3 * 24 * 3600)
    market.trade(100, 1)

    market.correct(high, price="105", quantity="2")
    [candle] = market.oms.candles("X", "1h", NOON_NS, NOON_NS + HOUR)
    assert figures(candle) == (90, 105, 90, 105, 3, 300, 2, 1)
    market.correct(high, price="106")
    market.bust(low)
    [candle] = market.oms.candles("X", "1h", NOON_NS, NOON_NS + HOUR)
    assert figures(candle) == (106, 106, 106, 106, 2, 212, 1, 2)

    # when the last trade is gone, the candle stays, marked and empty
    market.bust(high)
    [candle] = market.oms.candles("X", "1h", NOON_NS, NOON_NS + HOUR)
    assert figures(candle) == (None, None, None, None, 0, 0, 0, 2)
    assert market.oms.statistics("X").changed == 0


def test_an_auction_counts_once_a_match():
    """Both sides are AUCTION: the buyer's report names the trade."""
    market = Market()
    market.operate(OperatorAction.SET_PHASE, value=Phase.OPENING_AUCTION.value)
    market.desk.send(sell("a", 3, 99), sell("b", 2, 100), buy("c", 4, 101))
    market.operate(OperatorAction.SET_PHASE, value=Phase.CONTINUOUS.value)
    found = market.oms.statistics("X")
    assert (found.volume_lots, found.count) == (4, 2)


@pytest.mark.parametrize(
    ("day", "hours"), [("2026-03-07", 24), ("2026-03-08", 23), ("2026-11-01", 25)]
)
def test_a_day_begins_at_midnight_in_the_zone_of_the_session(day, hours):
    """Given New York, then a day of its clock changes is an hour shorter or longer."""
    zone = ZoneInfo("America/New_York")
    noon = datetime.fromisoformat(f"{day}T12:00").replace(tzinfo=zone)
    config = config_of(session=SessionConfig(always_open=True, time_zone="America/New_York"))
    market = Market(config=config, clock=ManualClock.at(noon))
    market.trade(100, 1)
    [candle] = market.oms.candles("X", "1d", noon)
    assert datetime.fromtimestamp(candle.start_ns / SECOND, zone).isoformat()[:16] == f"{day}T00:00"
    assert candle.end_ns - candle.start_ns == hours * HOUR


@pytest.mark.parametrize("width", ["", "m", "0s", "2d", "25h", "-1m", "1.5m", "1w", "9" * 40, 60])
def test_a_width_that_is_none_is_named(width):
    with pytest.raises(ValidationError, match="width: expected 1s to 1d"):
        Market().oms.candles("X", width, NOON_NS)


def test_what_cannot_be_asked_is_said():
    """A symbol, an instant, a span of too many candles."""
    oms = Market().oms
    with pytest.raises(ValidationError, match="symbol: expected one of X, ALL"):
        oms.statistics("Y")
    with pytest.raises(ValidationError, match="end: expected nanoseconds since 1970, or a datetim"):
        oms.candles("X", "1m", 0, datetime(2026, 1, 1))
    with pytest.raises(ValidationError, match="start: expected at most 100000 widths before end"):
        oms.candles("X", "1s", NOON_NS - 100_000 * SECOND, NOON_NS)
    assert oms.candles("X", "1s", NOON_NS - 99_999 * SECOND, NOON_NS) == []


def test_the_control_socket_answers_beside_its_own_work(tmp_path):
    """Candles come from a thread of their own: another client's question does not wait."""
    market = Market()
    market.trade(100, 2)
    market.clock.advance(60)
    market.trade(101, 1)
    spoken = Spoken(tmp_path, market.desk)
    client, other = spoken.client(), spoken.client()
    client.send({"ask": "candles", "symbol": "X", "limit": 1, "start": NOON_NS})
    other.send({"ask": "depth", "symbol": "X"})
    spoken.step(2)
    assert client.lines() == []
    assert "depth" in other.lines()[0]

    [told] = spoken.ask(client, *[{"ask": "statistics", "symbol": "X"}])["candles"]
    assert (told["open"], told["volume"], told["quote_volume"], told["vwap"]) == (
        "100", "2", "200", "100",
    )  # fmt: skip
    spoken.turn()
    [told] = client.lines()
    assert (told["statistics"]["last"], told["statistics"]["change"]) == ("101", "1")
    wrong = spoken.ask(client, {"ask": "candles", "symbol": "X", "width": "2d"})
    assert wrong["error"]["field"] == "width"
    spoken.close()


# --- against a plain list ---

steps = st.lists(
    st.one_of(
        st.tuples(st.just("trade"), st.integers(95, 105), st.integers(1, 4)),
        st.tuples(st.just("wait"), st.sampled_from([0.25, 1, 40, 3_600, 50_000])),
        st.tuples(st.just("bust"), st.integers(0, 30)),
        st.tuples(st.just("correct"), st.integers(0, 30), st.integers(95, 105)),
    ),
    max_size=25,
)


def played(market, todo):
    """The trades as a plain list: [when, price, lots, changed]; lots 0: taken back."""
    written, names = [], []
    for kind, *said in todo:
        alive = [n for n, each in enumerate(written) if each[2]]
        if kind == "trade":
            names.append(market.trade(*said))
            written.append([market.clock.wall_ns(), *said, 0])
        elif kind == "wait":
            market.clock.advance(*said)
        elif alive:
            n = alive[said[0] % len(alive)]
            if kind == "bust":
                market.bust(names[n])
                written[n][2:] = 0, 1
            elif written[n][1] != said[1]:
                market.correct(names[n], price=str(said[1]))
                written[n][1], written[n][3] = said[1], 1
    return written


def naive(written, start_ns, end_ns):
    """The figures of one span, each reckoned from the whole list."""
    inside = [each for each in written if start_ns <= each[0] < end_ns]
    prices = [price for _, price, lots, _ in inside if lots]
    lots = sum(each[2] for each in inside)
    worth = sum(each[1] * each[2] for each in inside)
    ends = (prices[0], max(prices), min(prices), prices[-1]) if prices else (None,) * 4
    return (*ends, lots, worth, len(prices), sum(each[3] for each in inside))


@given(todo=steps, width=st.sampled_from([("1s", 1), ("7s", 7), ("1m", 60), ("1d", 86_400)]))
@settings(max_examples=many(60))
def test_candles_are_what_a_plain_list_gives(todo, width):
    """Whatever was traded, busted and corrected; memory store."""
    market = Market()
    written = played(market, todo)
    check_all(market, written, *width)


@given(todo=steps)
@settings(max_examples=many(10))
def test_the_database_gives_the_same_after_a_restart(tmp_path_factory, todo):
    """SQLite, asked by the process that wrote it and by the next."""
    path = tmp_path_factory.mktemp("candles") / "t.db"
    store = PersistentStorage(path, durability="none")
    market = Market(store=store)
    written = played(market, todo)
    check_all(market, written, "1m", 60)
    market.desk.stop()
    again = Market(store=PersistentStorage(path, durability="none"), clock=market.clock)
    check_all(again, written, "1m", 60)
    check_all(again, written, "1h", 3_600)
    again.desk.stop()


def check_all(market, written, width, width_s):
    """Every candle of the time played, and the statistics at its end."""
    start_ns, end_ns = NOON_NS - 10 * SECOND, market.clock.wall_ns() + SECOND
    start_ns = max(start_ns, end_ns - 90_000 * width_s * SECOND)
    found = market.oms.candles("X", width, start_ns, end_ns)
    step = width_s * SECOND
    first, last = start_ns - start_ns % step, end_ns - 1 - (end_ns - 1) % step + step
    when = sorted({each[0] - each[0] % step for each in written if first <= each[0] < last})
    assert [each.start_ns for each in found] == when
    for each in found:
        assert figures(each) == naive(written, each.start_ns, each.end_ns)
        if each.volume_lots:
            exact = Fraction(each.notional, each.volume_lots)
            assert abs(Fraction(each.vwap) - exact) <= Fraction(1, 20_000)
    statistics = market.oms.statistics("X")
    now = market.clock.wall_ns() + 1
    assert figures(statistics) == naive(written, now - 24 * HOUR, now)


def test_a_database_of_an_older_program_has_candles_after_its_upgrade(tmp_path):
    """Given one of version 4, without the list of changes, then the next start makes it."""
    path = tmp_path / "t.db"
    market = Market(store=PersistentStorage(path))
    market.trade(100, 1)
    market.bust(market.trade(90, 2))
    market.desk.stop()
    with PersistentStorage(path, read_only=True) as store:
        listed = store.kept("trade_changes")
        trades = list(store.trades("X", 0, 1 << 62))
    assert [(each.price_ticks, each.lots, each.changed) for each in trades] == [
        (100, 1, False), (90, 0, True),
    ]  # fmt: skip
    alter(path, "DROP TABLE trade_changes", "PRAGMA user_version = 4")

    # when it is started
    again = Market(store=PersistentStorage(path), clock=market.clock)

    # then
    assert figures(again.oms.statistics("X")) == (100, 100, 100, 100, 1, 100, 1, 1)
    assert again.desk.store.kept("trade_changes") == listed
    assert len(listed) == 2
    again.desk.stop()
