"""Windows and the phases in them: is there room, and is a book ever crossed while it is closed?

What a call gathers crosses. It is uncrossed when trading begins, or when the market closes; so a
window must have room for its phases, and a closed market nothing that could trade.
"""

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from itertools import product

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from oms import ManualClock, MemoryStore
from oms.config import ExchangeConfig, SessionConfig
from oms.enums import Phase, Scope, TimeInForce
from oms.errors import ValidationError
from oms.requests import OperatorAction
from tests.examples import many
from tests.fakes import INSTRUMENTS, SECOND, Stepped, buy, config_of, sell
from tests.reference_calendar import (
    STANDARD,
    Exceptions,
    Interval,
    ReferenceCalendar,
    written,
)
from tests.test_phases import MINUTE, REOPENS, TradingDay

CLOSED = Phase.CLOSED
SET_TRADING, SET_PHASE = OperatorAction.SET_TRADING, OperatorAction.SET_PHASE
TEN = 10 * MINUTE
OFFICE = "Mon-Fri 09:00-17:00"

# --- room ---

NO_ROOM = """
a pre-open and a closing call
hours = Mon-Fri 09:00-09:10
pre_open_ns = 600
closing_auction_ns = 1
hours: expected a window of at least 601 s, for pre_open_s, closing_auction_s, was 'Mon 09:00

a pre-open of the window itself
hours = Mon-Fri 09:00-09:10 pre_open_s=600
opening_auction_ns = 1
hours: expected a window of more than 601 s, for pre_open_s, opening_auction_s, was 'Mon 09:00

two calls and no trading between, which would end the first
hours = Mon-Fri 09:00-09:20
opening_auction_ns = 600
closing_auction_ns = 600
hours: expected a window of more than 1200 s, for opening_auction_s, closing_auction_s, was

an opening call that nothing ends
hours = Mon-Fri 09:00-09:10
opening_auction_ns = 600
hours: expected a window of more than 600 s, for opening_auction_s, was 'Mon 09:00

a pre-open that nothing ends
hours = Mon-Fri 09:00-09:10
pre_open_ns = 600
hours: expected a window of more than 600 s, for pre_open_s, was 'Mon 09:00

an opening call at its longest
hours = Mon-Fri 09:00-09:11
opening_auction_ns = 600
auction_random_end_ns = 30
auction_extension_ns = 30
hours: expected a window of more than 660 s, for opening_auction_s, auction_random_end_s,

a closing call of a window, at its longest
hours = Mon-Fri 09:00-17:00 closing_auction_s=60
auction_random_end_ns = 60
hours: expected a closing_auction_s of more than auction_random_end_s and auction_extension_s

an extra session
hours = Mon-Fri 09:00-17:00
extra_open = 2026-12-26 10:00-10:15
opening_auction_ns = 600
closing_auction_ns = 600
extra_open: expected a window of more than 1200 s, for opening_auction_s, closing_auction_s, was

an early close in the opening call
hours = Mon-Fri 09:00-17:00
early_close = 2026-12-24 09:05
opening_auction_ns = 600
early_close: expected a window of more than 600 s, for opening_auction_s, was '2026-12-24 09:00 -

an early close in the second segment's call
hours = Mon-Fri 09:00-12:00, Mon-Fri 13:00-17:00 opening_auction_s=600
early_close = 2026-12-24 13:05
early_close: expected a window of more than 600 s, for opening_auction_s, was '2026-12-24 13:00 -
""".strip().split("\n\n")


@pytest.mark.parametrize("story", NO_ROOM, ids=lambda story: story.partition("\n")[0])
def test_a_window_too_short_for_its_phases_is_refused(story):
    """Naming the setting that made it, all that must fit in, and how long that is."""
    *lines, mistake = story.splitlines()[1:]
    given_settings = dict(line.split(" = ") for line in lines)
    for name, text in given_settings.items():
        if name.endswith("_ns"):
            given_settings[name] = int(text) * SECOND
    with pytest.raises(ValidationError) as caught:
        SessionConfig(**given_settings)
    assert str(caught.value).startswith(mistake)


@pytest.mark.parametrize(
    "more",
    [
        {"hours": "Mon-Fri 09:00-09:10", "closing_auction_ns": TEN},  # one call a day, no more
        {"hours": "Mon-Fri 09:00-09:20", "pre_open_ns": TEN, "closing_auction_ns": TEN},
        {"hours": "Mon-Fri 09:00-09:21", "opening_auction_ns": TEN, "closing_auction_ns": TEN},
        {"hours": OFFICE, "opening_auction_ns": TEN, "early_close": "2026-12-24 09:10:01"},
        {"hours": OFFICE, "opening_auction_ns": TEN, "early_close": "2026-12-24 13:00",
         "extra_open": "2026-12-26 10:00-10:05 opening_auction_s=0"},
    ],
)  # fmt: skip
def test_a_window_with_just_enough_room_is_fine(more):
    """To the second."""
    assert SessionConfig(**more).schedule


KOLKATA = "Asia/Kolkata"  # where clocks are never changed, so that all weeks are the same
START = date(2026, 3, 8)
TWIN = ReferenceCalendar(datetime(2026, 2, 28, tzinfo=UTC), 17 * 1440)
LENGTHS = st.sampled_from([0, 0, 1, 5, 10, 20])


@st.composite
def short_windows(draw):
    """A short window on three days, phases of its own or not, and exceptions about it."""
    own = draw(st.one_of(st.none(), st.tuples(LENGTHS, LENGTHS, LENGTHS)))
    length = draw(st.integers(1, 70))
    week = [Interval(day, 540, day, 540 + length, KOLKATA, KOLKATA, own) for day in range(3)]
    early = draw(st.lists(st.integers(0, length - 1), max_size=1))
    extra = draw(st.lists(st.integers(1, 40), max_size=1))
    exceptions = Exceptions(
        holidays=set(),
        early=[(START + timedelta(2), 540 + minutes, KOLKATA) for minutes in early],
        extra=[(START + timedelta(5), 600, minutes) for minutes in extra],
    )
    return week, exceptions, draw(st.sampled_from([(0, 0), (3, 0), (0, 4), (2, 5)]))


@given(short_windows())
@settings(max_examples=many(300))
def test_what_is_refused_is_what_could_stay_crossed(drawn):
    """Says the twin, minute by minute."""
    week, exceptions, (chance, extension) = drawn
    wrong = TWIN.without_room(week, exceptions, KOLKATA, "close", chance + extension)
    phases = {f"{name}_ns": n * MINUTE for name, n in STANDARD.items()}
    texts = written(week, exceptions, KOLKATA)
    assume(STANDARD["closing_auction"] > chance + extension)
    try:
        SessionConfig(
            time_zone=KOLKATA, auction_random_end_ns=chance * MINUTE,
            auction_extension_ns=extension * MINUTE, **phases, **texts,
        )  # fmt: skip
    except ValidationError as error:
        assert error.field in wrong, error
    else:
        assert not wrong


# --- is the book crossed while closed? ---


def crossed_while_closed(day):
    return day.market.phase is CLOSED and day.market.book.crossed


@given(short_windows(), st.lists(st.integers(1, 9 * 60), min_size=10, max_size=10))
@settings(max_examples=many(100))
def test_no_book_is_crossed_while_its_market_is_closed(drawn, pauses):
    """Whatever the windows; whether the clock goes on by minutes, or jumps over a phase or all of
    them; calls end as late as they can."""
    week, exceptions, (chance, _) = drawn
    try:
        session = SessionConfig(
            time_zone=KOLKATA, auction_random_end_ns=chance * MINUTE,
            **written(week, exceptions, KOLKATA),
        )  # fmt: skip
    except ValidationError:
        assume(False)
    clock = ManualClock.at(datetime(2026, 3, 9, 3, 29, tzinfo=UTC))  # a minute before the open
    config = config_of(session=session, exchange=ExchangeConfig(self_trade="none"))
    desk = Stepped(config, clock=clock, store=MemoryStore()).start()
    desk.dispatcher._due_lines.draw = lambda below: below - 1
    for number in range(60):
        # when the clock goes on, and orders come that cross
        clock.advance(pauses[number % 10] if number % 20 == 19 else 60)
        desk.send(buy(f"B{number}", 1, 102), sell(f"S{number}", 1, 98))
        # then nothing is left of them in a market that is closed
        for market in desk.dispatcher.desk.engine.markets.values():
            assert market.phase is not CLOSED or not market.book.crossed
    assert desk.digest() == desk.refolded()


@pytest.mark.parametrize("phase", ["PRE_OPEN", "OPENING_AUCTION", "REOPENING_AUCTION"])
def test_what_gathered_is_uncrossed_when_the_session_ends(phase):
    """An operator's call, and one that begins just before the close, are not left for the night;
    DAY orders trade before they expire, a market order before it is canceled."""
    # given a call late in the day, and orders that cross
    day = TradingDay("16:45", exchange=REOPENS, closing_auction_ns=0)
    day.operate("P", SET_PHASE, phase)
    day.send(
        buy("A", 5, 102, time_in_force=TimeInForce.DAY), sell("B", 3, 98), sell("C", 1),
        sell("D", 9),
    )  # fmt: skip
    assert day.market.book.crossed

    # when the session ends, then they trade first
    assert day.at("17:00") == [
        "A TRADE/PARTIALLY_FILLED", "C TRADE/FILLED", "A TRADE/FILLED", "D TRADE/PARTIALLY_FILLED",
        "D CANCELED/CANCELED",
    ]  # fmt: skip
    assert day.phase is CLOSED and not day.market.book.crossed
    assert day.desk.digest() == day.desk.refolded()


def test_a_process_that_was_down_over_a_call_and_the_close_leaves_nothing_crossed():
    """It stops in the opening call, and is there again at night."""
    day = TradingDay("09:15")
    day.send(buy("A", 5, 102), sell("B", 5, 98))
    day.desk.stop()
    day.clock.advance(10 * 3600)
    again = Stepped(day.desk.oms.config, clock=day.clock, store=day.store).start()
    market = again.dispatcher.desk.engine.markets["X"]
    assert market.phase is CLOSED and not market.book.crossed
    assert again.oms.get_order("me", "A").state.value == "FILLED"


RELEASES = [
    (Scope.ACCOUNT, "a"), (Scope.ALL, ""), (Scope.SYMBOL, "X"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("where", "opens", "restarts"), list(product(RELEASES, ["call", "trading"], [False, True]))
)
def test_who_is_released_at_night_crosses_nothing_until_the_morning(where, opens, restarts):
    """Orders that gathered in a call, were set aside, and may trade again while it is closed."""
    # given a call that was halted, until the close
    more = {} if opens == "call" else {"pre_open_ns": 0, "opening_auction_ns": 0}
    day = TradingDay("09:25", exchange=REOPENS, closing_auction_ns=0, **more)
    day.operate("P", SET_PHASE, "OPENING_AUCTION")
    day.send(buy("A", 5, 102, account="a"), sell("B", 5, 98, account="b"), buy("C", 1, 90))
    day.operate("H", SET_TRADING, "HALTED", *where)
    day.at("17:00")

    # when the halt ends at night
    day.operate("R", SET_TRADING, "ACTIVE", *where)
    assert not crossed_while_closed(day)
    assert len(day.market.aside) == 1
    day = day.restart() if restarts else day

    # then what would cross is back in the morning, and takes part in the uncross
    told = day.at("09:00", 5) + day.at("09:10", 5) + day.at("09:20", 5)
    late = "A" if where == RELEASES[0] else "B"
    assert told == [f"{late} RESTATED/NEW", "A TRADE/FILLED", "B TRADE/FILLED"]
    assert day.market.aside == {}
    assert day.desk.digest() == day.desk.refolded()


@pytest.mark.parametrize("halted", [False, True])
def test_a_pause_that_the_close_cuts_short_leaves_nothing_crossed(halted):
    """The order that set it off rests for the call that would have come; but who is halted by an
    operator does not trade, a market order neither."""
    # given a breaker's pause shortly before the close
    breaker = ExchangeConfig(
        self_trade="none", breaker_limit_ns=0, breaker_pause_ns=10 * MINUTE,
        reopening_auction_ns=10 * MINUTE,
    )  # fmt: skip
    banded = replace(INSTRUMENTS[0], breaker_band_bps=500)
    day = TradingDay("16:40", exchange=breaker, instruments=(banded,), closing_auction_ns=0)
    day.send(sell("L", 1, 100), buy("M", 1, 100), buy("A", 5, 80), sell("B", 2, 80))
    assert day.phase is Phase.HALTED and day.market.book.crossed
    if halted:
        day.at("16:50")  # its reopening call
        day.send(buy("C", 1), sell("D", 1))
        day.operate("H", SET_TRADING, "HALTED")

    # when the session ends, then it is uncrossed, unless it is halted
    told = day.at("17:00")
    assert day.phase is CLOSED and not day.market.book.crossed
    assert told == (
        ["C CANCELED/CANCELED", "D CANCELED/CANCELED"] if halted
        else ["A TRADE/PARTIALLY_FILLED", "B TRADE/FILLED"]
    )  # fmt: skip
