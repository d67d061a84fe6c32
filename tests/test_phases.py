"""Market phases: the calendar drives them, what may be entered in each, and how calls end.

A day here: PRE_OPEN from 09:00, the opening call from 09:10, trading from 09:20, the closing
call from 16:50, the close at 17:00. The clock is moved by hand.
"""

from datetime import UTC, datetime
from itertools import pairwise

import pytest

from oms import ManualClock, MemoryStore, OrderState, RejectReason, ResponseType
from oms.config import ExchangeConfig, SessionConfig
from oms.enums import Phase, PostOnly, Scope, TimeInForce
from oms.errors import ValidationError
from oms.requests import OperatorAction, OperatorRequest, OrderTerms
from tests.fakes import SECOND, Stepped, buy, cancel, config_of, modify, sell

DAY, GTC, GTD = TimeInForce.DAY, TimeInForce.GTC, TimeInForce.GTD
IOC, FOK = TimeInForce.IOC, TimeInForce.FOK
MINUTE = 60 * SECOND
HOURS = {
    "hours": "Mon-Fri 09:00-17:00", "pre_open_ns": 10 * MINUTE,
    "opening_auction_ns": 10 * MINUTE, "closing_auction_ns": 10 * MINUTE,
}  # fmt: skip
REOPENS = ExchangeConfig(reopening_auction_ns=MINUTE, self_trade="none")
SECTIONS = ("exchange", "instruments", "throttle")
FAR = 2**62  # an expiry beyond every test


class TradingDay:
    """A desk whose clock goes to times of Monday, 2024-03-04, or of the days after it."""

    def __init__(self, start="09:00", *, store=None, clock=None, day=4, **more):
        sections = {key: more.pop(key) for key in SECTIONS if key in more}
        self.clock = clock or ManualClock.at(_instant(start, day))
        self.store = store or MemoryStore()
        config = config_of(session=SessionConfig(**{**HOURS, **more}), **sections)
        self.desk = Stepped(config, clock=self.clock, store=self.store).start()
        self.send, self.ask = self.desk.send, self.desk.ask
        self._again = lambda: TradingDay(store=self.store, clock=self.clock, **more, **sections)

    def at(self, time, day=4):
        """The clock shows this; what the turn told."""
        since = _instant(time, day) - _instant("00:00", 4)
        now = self.clock.wall_ns() - ManualClock.at(_instant("00:00", 4)).wall_ns()
        self.clock.advance(since.total_seconds() - now / SECOND)
        self.desk.keep()
        return self.desk.step()

    def operate(self, client_id, action, value, scope=Scope.SYMBOL, target="X"):
        """What an operator's command set off, without its own answer."""
        told = self.send(
            OperatorRequest(
                client_order_id=client_id, action=action, scope=scope, target=target, value=value
            )
        )
        told.remove(f"{client_id} COMMAND_DONE/None")
        return told

    def restart(self):
        """The same store under a new process."""
        self.desk.stop()
        again = self._again()
        assert again.desk.digest() == again.desk.refolded()
        return again

    @property
    def phase(self):
        return self.market.phase

    @property
    def market(self):
        return self.desk.dispatcher.desk.engine.markets["X"]

    @property
    def next_s(self):
        """How long the dispatcher would sleep, if nobody called."""
        return self.desk.dispatcher._due_lines.next_s(self.desk.dispatcher.desk, None)


def _instant(time, day):
    hour, minute, *seconds = map(int, time.split(":"))
    return datetime(2024, 3, day, hour, minute, *seconds, tzinfo=UTC)


def stop(client_id, quantity, at, price=None, **more):
    return buy(client_id, quantity, price, terms=OrderTerms(stop_price=at), **more)


# --- the calendar ---

CALENDAR = [
    ("09:00", Phase.PRE_OPEN), ("09:10", Phase.OPENING_AUCTION), ("09:20", Phase.CONTINUOUS),
    ("16:50", Phase.CLOSING_AUCTION), ("17:00", Phase.CLOSED),
]  # fmt: skip


def test_a_day_goes_through_all_its_phases():
    """Each begins at its instant, and not a nanosecond earlier; the agenda wakes up for it."""
    # given a desk that opens
    day = TradingDay()
    assert day.phase is Phase.PRE_OPEN

    # then phase after phase follows, each when the agenda said
    for (_, before), (time, phase) in pairwise(CALENDAR):
        while day.next_s == 3600:  # it looks up every hour, whatever is ahead
            day.clock.advance(3600)
            assert day.desk.step() == []
        day.clock.advance(day.next_s - 1e-9)
        day.desk.step()
        assert day.phase is before
        day.clock.advance(1e-9)
        assert datetime.fromtimestamp(day.clock.wall_ns() / SECOND, UTC) == _instant(time, 4)
        day.desk.step()
        assert day.phase is phase

    # and the next morning it begins anew
    day.at("08:59:59", 5)
    assert (day.phase, day.next_s) == (Phase.CLOSED, 1)
    day.at("09:00", 5)
    assert day.phase is Phase.PRE_OPEN


def test_a_day_without_calls_is_continuous_from_open_to_close():
    """No phase is there unless the configuration has it."""
    day = TradingDay(pre_open_ns=0, opening_auction_ns=0, closing_auction_ns=0)
    assert day.phase is Phase.CONTINUOUS
    day.at("16:59")
    assert day.phase is Phase.CONTINUOUS
    day.at("17:00")
    assert day.phase is Phase.CLOSED


def test_a_pre_open_may_go_straight_to_trading():
    """Without an opening call it ends in the uncross all the same."""
    day = TradingDay(opening_auction_ns=0)
    day.send(buy("A", 5, 102), sell("B", 5, 98))
    assert day.at("09:10") == ["A TRADE/FILLED", "B TRADE/FILLED"]
    assert day.phase is Phase.CONTINUOUS


def test_the_calls_end_in_one_price_for_everybody():
    """Orders cross without trading, until trading begins, and until the close."""
    # given a crossed book in the morning
    day = TradingDay()
    assert day.send(buy("A", 5, 102)) == ["A NEW/NEW"]
    assert day.at("09:10") == []
    assert day.send(sell("B", 5, 98), buy("C", 3, 101)) == ["B NEW/NEW", "C NEW/NEW"]
    assert day.at("09:19:59") == []

    # when trading begins, then it is uncrossed, before anybody else is looked at
    day.clock.advance(1)
    day.desk.oms.on_data(sell("D", 3, 101))
    reports = day.desk.turn()
    assert [(r.client_order_id, r.type.value, r.last_price_ticks) for r in reports] == [
        ("A", "TRADE", 102), ("B", "TRADE", 102), ("D", "NEW", 0), ("D", "TRADE", 101),
        ("C", "TRADE", 101),
    ]  # fmt: skip
    assert [r.liquidity.value for r in reports] == ["AUCTION", "AUCTION", "", "TAKER", "MAKER"]

    # and the closing call likewise
    day.at("16:50")
    assert day.send(buy("E", 5, 102), sell("F", 5, 98)) == ["E NEW/NEW", "F NEW/NEW"]
    assert day.at("17:00") == ["E TRADE/FILLED", "F TRADE/FILLED"]


def test_day_orders_expire_after_the_closing_uncross():
    """What the close leaves of them goes, what is good till canceled stays."""
    day = TradingDay("16:55")
    day.send(
        buy("A", 5, 102, time_in_force=DAY), sell("B", 3, 98, time_in_force=DAY),
        buy("C", 2, 90), stop("D", 1, 120, time_in_force=DAY),
    )  # fmt: skip
    told = day.at("17:00")
    assert told == [
        "A TRADE/PARTIALLY_FILLED", "B TRADE/FILLED", "A EXPIRED/EXPIRED", "D EXPIRED/EXPIRED",
    ]  # fmt: skip
    assert day.desk.dispatcher.desk.executions.find("me", "C") is not None


def test_a_clock_that_jumps_over_phases_does_all_that_is_due_in_order():
    """From the opening call into the afternoon; from the closing call into the next morning."""
    # given a crossed book in the call, when the clock jumps over its end
    day = TradingDay("09:15")
    day.send(buy("A", 5, 102), sell("B", 5, 98))
    assert day.at("14:00") == ["A TRADE/FILLED", "B TRADE/FILLED"]
    assert day.phase is Phase.CONTINUOUS

    # and when it jumps over the close and the next open, then a DAY order trades before it goes
    day.at("16:55")
    day.send(buy("C", 5, 102, time_in_force=DAY), sell("D", 3, 98))
    told = day.at("12:00", 5)
    assert told == ["C TRADE/PARTIALLY_FILLED", "D TRADE/FILLED", "C EXPIRED/EXPIRED"]
    assert day.phase is Phase.CONTINUOUS
    assert day.desk.digest() == day.desk.refolded()


def test_a_clock_that_steps_back_does_not_undo_a_day():
    """Half an hour back, into the call: it goes on as a call, and ends again."""
    day = TradingDay("09:25")
    day.clock.jump(-600)
    day.desk.step()
    assert day.phase is Phase.OPENING_AUCTION
    day.send(buy("A", 1, 102), sell("B", 1, 98))
    assert day.at("09:20") == ["A TRADE/FILLED", "B TRADE/FILLED"]


def test_a_restart_in_the_middle_of_a_call_goes_on_with_it():
    """Orders, phase and end are as if nothing had been."""
    # given an order in the call
    day = TradingDay("09:15")
    day.send(buy("A", 5, 102), stop("S", 1, 101, 103))

    # when the process is another, and more comes
    day = day.restart()
    assert day.phase is Phase.OPENING_AUCTION
    day.send(sell("B", 4, 98))
    day = day.restart()

    # then the call ends at its time
    assert day.next_s == 300
    told = day.at("09:20")
    assert told[:2] == ["A TRADE/PARTIALLY_FILLED", "B TRADE/FILLED"]
    assert told[2:] == ["S TRIGGERED/NEW"]
    assert day.desk.digest() == day.desk.refolded()


def test_a_restart_after_the_end_of_a_call_ends_it():
    """The process was down at 09:20."""
    day = TradingDay("09:15")
    day.send(buy("A", 5, 102), sell("B", 5, 98))
    day.clock.advance(3600)
    told = []
    day.desk.stop()
    again = Stepped(day.desk.oms.config, clock=day.clock, store=day.store)
    again.oms.add_listener(lambda report: told.append(f"{report.client_order_id} {report.type}"))
    again.start()
    assert told == ["A TRADE", "B TRADE"]


# --- what may be entered ---

KINDS = {
    "limit": {"price": 100},
    "day": {"price": 100, "time_in_force": DAY},
    "gtd": {"price": 100, "time_in_force": GTD, "terms": OrderTerms(expire_ns=FAR)},
    "iceberg": {"price": 100, "terms": OrderTerms(display_quantity=1)},
    "post-only": {"price": 100, "terms": OrderTerms(post_only=PostOnly.REJECT)},
    "stop": {"terms": OrderTerms(stop_price=120)},
    "stop limit": {"price": 100, "terms": OrderTerms(stop_price=120)},
    "market": {},
    "market ioc": {"time_in_force": IOC},
    "market fok": {"time_in_force": FOK},
    "market minimum": {"terms": OrderTerms(min_quantity=1)},
    "ioc": {"price": 100, "time_in_force": IOC},
    "fok": {"price": 100, "time_in_force": FOK},
    "minimum": {"price": 100, "terms": OrderTerms(min_quantity=1)},
}
RESTS = ("limit", "day", "gtd", "iceberg", "post-only")
STOPS = ("stop", "stop limit")
AT_ONCE = ("market ioc", "market fok", "market minimum", "ioc", "fok", "minimum")
NEW, SUSPENDED, REFUSED = "NEW/NEW", "NEW/SUSPENDED", "REJECTED/REJECTED"
HELD = "PENDING_NEW/PENDING_NEW"
CALLS = (
    Phase.PRE_OPEN, Phase.OPENING_AUCTION, Phase.CLOSING_AUCTION, Phase.REOPENING_AUCTION,
)  # fmt: skip
TABLE = [
    *((phase, kind, False, NEW) for phase in CALLS for kind in (*RESTS, "market")),
    (Phase.HALTED, "market", True, REFUSED),
    *((phase, kind, False, SUSPENDED) for phase in (*CALLS, Phase.HALTED) for kind in STOPS),
    *((phase, kind, True, REFUSED) for phase in (*CALLS, Phase.HALTED) for kind in AT_ONCE),
    *((Phase.CONTINUOUS, kind, False, NEW) for kind in (*RESTS, *AT_ONCE, "market")),
    *((Phase.CONTINUOUS, kind, False, SUSPENDED) for kind in STOPS),
    *((Phase.HALTED, kind, False, REFUSED) for kind in RESTS),
    *((Phase.HALTED, kind, True, HELD) for kind in RESTS),
]


@pytest.mark.parametrize(("phase", "kind", "hold", "told"), TABLE)
def test_what_may_be_entered_in_a_phase(phase, kind, hold, told):
    """The table, cell by cell; a refusal says which phase and what was asked."""
    # given a market in this phase
    desk = Stepped().start()
    desk.ask(
        OperatorRequest(
            client_order_id="P", action=OperatorAction.SET_PHASE, scope=Scope.SYMBOL, target="X",
            value=phase.value,
        )
    )  # fmt: skip

    # when such an order comes
    answer = desk.ask(buy("A", 2, hold=hold, **KINDS[kind]))

    # then it is taken, or refused
    first = answer.reports[0]
    assert f"{first.type}/{first.state}" == told
    if told == REFUSED:
        assert answer.reason is RejectReason.MARKET_STATE
        assert f"phase={phase}" in answer.text
    else:  # and what was taken can be taken back, if it did not end at once
        ended = answer.state is OrderState.CANCELED
        assert ended == (phase is Phase.CONTINUOUS and kind in (*AT_ONCE, "market"))
        gone = desk.ask(cancel("C", "A"))
        assert gone.type is (ResponseType.CANCEL_REJECTED if ended else ResponseType.CANCELED)


@pytest.mark.parametrize("kind", [*RESTS, *STOPS])
def test_what_may_rest_waits_for_the_open_if_it_asks(kind):
    """CLOSED: refused, or held; a cancel takes it back."""
    day = TradingDay("08:00")
    assert day.ask(buy("A", 2, **KINDS[kind])).reason is RejectReason.SESSION_CLOSED
    assert day.ask(buy("B", 2, hold=True, **KINDS[kind])).text == "HELD_SESSION"
    assert day.ask(buy("C", 2, hold=True, **KINDS[kind])).text == "HELD_SESSION"
    assert day.ask(modify("D", "B", quantity=1)).type is ResponseType.REPLACED
    assert day.ask(cancel("E", "C")).type is ResponseType.CANCELED
    told = day.at("09:00")
    assert told == [f"D {SUSPENDED if kind in STOPS else NEW}"]


@pytest.mark.parametrize("kind", [*AT_ONCE, "market"])
def test_what_trades_at_once_or_not_at_all_is_never_held(kind):
    """CLOSED refuses it, whatever it asks for."""
    day = TradingDay("08:00")
    refused = day.ask(buy("A", 2, hold=True, **KINDS[kind]))
    assert refused.reason is RejectReason.SESSION_CLOSED


@pytest.mark.parametrize("phase", [*CALLS, Phase.HALTED])
def test_a_modify_in_a_call_rests_where_it_says(phase):
    """Prices may cross; nothing trades before the call ends."""
    desk = Stepped().start()
    desk.send(buy("A", 5, 100), sell("B", 5, 105, account="you"), stop("S", 1, 120))
    for client_id, value in (("P", phase.value), ("Q", "CONTINUOUS")):
        if client_id == "Q":
            state = "SUSPENDED" if phase is Phase.HALTED else "NEW"  # set aside until then
            assert desk.send(modify("C", "A", price=106)) == [f"C REPLACED/{state}"]
            assert desk.send(modify("D", "S", quantity=2)) == ["D REPLACED/SUSPENDED"]
        told = desk.send(
            OperatorRequest(
                client_order_id=client_id, action=OperatorAction.SET_PHASE, scope=Scope.SYMBOL,
                target="X", value=value,
            )
        )  # fmt: skip
    back = ["B RESTATED/NEW", "C RESTATED/NEW"] if phase is Phase.HALTED else []
    assert told[: len(back) + 2] == [*back, "C TRADE/FILLED", "B TRADE/FILLED"]


# --- stops and calls ---


def test_stops_trigger_after_the_uncross_only():
    """A trade at the stop price, but in an auction: they go when trading begins, in order."""
    # given stops of both sides that the auction's price reaches
    day = TradingDay("09:15")
    day.send(
        stop("B2", 1, 101), stop("B1", 1, 100), stop("NO", 1, 102),
        sell("S1", 1, terms=OrderTerms(stop_price=101)),
        sell("S2", 1, terms=OrderTerms(stop_price=103)),
        buy("A", 5, 101), sell("B", 5, 101),
    )  # fmt: skip

    # when it uncrosses at 101, then buys go lowest first, then sells highest first
    told = day.at("09:20")
    assert told[:2] == ["A TRADE/FILLED", "B TRADE/FILLED"]
    assert [line for line in told if "TRIGGERED" in line] == [
        f"{name} TRIGGERED/NEW" for name in ("B1", "B2", "S2", "S1")
    ]


def test_a_stop_whose_price_was_reached_before_waits_for_the_call_to_end():
    """Entered in the call, true since yesterday's last trade."""
    day = TradingDay("16:00")
    day.send(buy("A", 1, 100), sell("B", 1, 100))
    day.at("09:15", 5)
    assert day.send(stop("S", 1, 99, 100)) == ["S NEW/SUSPENDED"]
    assert day.at("09:20", 5) == ["S TRIGGERED/NEW"]


def test_the_closing_uncross_triggers_nothing_before_the_next_day():
    """Its price is the last; the stop goes when trading begins again."""
    day = TradingDay("16:55")
    day.send(stop("S", 1, 105, 106), buy("A", 1, 105), sell("B", 1, 105))
    assert day.at("17:00") == ["A TRADE/FILLED", "B TRADE/FILLED"]
    assert day.at("09:15", 5) == []
    assert day.at("09:20", 5) == ["S TRIGGERED/NEW"]


# --- halts ---


def test_a_halted_symbol_stays_halted_over_the_night():
    """The calendar goes on for the others; an operator's halt ends by an operator."""
    # given a halt in the afternoon
    day = TradingDay("16:00")
    day.send(buy("A", 1, 100))
    assert day.operate("H", OperatorAction.SET_TRADING, "HALTED") == ["A RESTATED/SUSPENDED"]

    # when the night is over, a restart in it
    day.at("16:55")
    assert day.phase is Phase.HALTED
    day.at("17:00")
    assert day.phase is Phase.CLOSED
    day = day.restart()
    day.at("10:00", 5)

    # then it is halted, and the other trades
    assert day.phase is Phase.HALTED
    assert day.ask(buy("B", 1, 100)).reason is RejectReason.MARKET_STATE
    assert day.ask(buy("C", 1, 100, symbol="ALL")).type is ResponseType.NEW
    assert day.operate("R", OperatorAction.SET_TRADING, "ACTIVE") == ["A RESTATED/NEW"]
    assert day.phase is Phase.REOPENING_AUCTION
    assert day.ask(sell("D", 1, 100)).type is ResponseType.NEW
    assert day.at("10:01", 5) == ["A TRADE/FILLED", "D TRADE/FILLED"]
    assert day.phase is Phase.CONTINUOUS
    assert day.desk.digest() == day.desk.refolded()


def test_a_halt_that_ends_at_night_is_over_in_the_morning():
    """Released while the session is closed."""
    day = TradingDay("16:00")
    day.operate("H", OperatorAction.SET_TRADING, "HALTED")
    day.at("17:00")
    day.operate("R", OperatorAction.SET_TRADING, "ACTIVE")
    assert day.phase is Phase.CLOSED
    day.at("09:00", 5)
    assert day.phase is Phase.PRE_OPEN


def test_a_halted_market_reopens_through_an_auction():
    """A minute of call, then the uncross; its timer survives a restart."""
    # given a halt with an order that asked to be held
    day = TradingDay("12:00", exchange=REOPENS)
    day.send(buy("A", 5, 100))
    day.operate("H", OperatorAction.SET_TRADING, "HALTED")
    assert day.ask(sell("B", 5, 98, hold=True)).text == "HELD_HALT"

    # when it is released, then a call begins, with the order of before and the one that waited
    told = day.operate("R", OperatorAction.SET_TRADING, "ACTIVE")
    assert told == ["A RESTATED/NEW", "B NEW/NEW"]
    assert (day.phase, day.next_s) == (Phase.REOPENING_AUCTION, 60)
    day.at("12:00:59")
    day = day.restart()
    assert (day.phase, day.next_s) == (Phase.REOPENING_AUCTION, 1)

    # and when it is over, trading
    assert day.at("12:01") == ["A TRADE/FILLED", "B TRADE/FILLED"]
    assert day.phase is Phase.CONTINUOUS


def test_a_reopening_call_that_reaches_into_the_closing_call_becomes_it():
    """16:49:30 and a minute: at 16:50 the call goes on, at 17:00 it ends as the close does."""
    day = TradingDay("16:49:30", exchange=REOPENS)
    day.operate("H", OperatorAction.SET_TRADING, "HALTED")
    day.operate("R", OperatorAction.SET_TRADING, "ACTIVE")
    day.send(buy("A", 1, 101), sell("B", 1, 99))
    assert day.at("16:50") == []
    assert day.phase is Phase.REOPENING_AUCTION
    assert day.at("16:50:30") == []
    assert day.phase is Phase.CLOSING_AUCTION
    assert day.at("17:00") == ["A TRADE/FILLED", "B TRADE/FILLED"]


def test_an_operators_phase_gives_way_to_the_calendars_next_step():
    """A call out of turn, until the closing call is due."""
    day = TradingDay("12:00")
    day.operate("P", OperatorAction.SET_PHASE, "OPENING_AUCTION")
    assert day.at("16:49") == []
    assert day.phase is Phase.OPENING_AUCTION
    day.at("16:50")
    assert day.phase is Phase.CLOSING_AUCTION


def test_an_operator_cannot_open_a_closed_session():
    """Hours are the calendar's."""
    day = TradingDay("18:00")
    answer = day.ask(
        OperatorRequest(client_order_id="P", action=OperatorAction.SET_PHASE, value="CONTINUOUS")
    )
    assert answer.text == "COMMAND_INVALID: scope=ALL, value=CONTINUOUS, session=closed"


# --- lunch ---


def test_lunch_is_a_pause_and_not_a_close():
    """Two segments of one date: DAY orders stay, nothing may be entered, cancels go through."""
    # given orders in the morning
    hours = "Mon-Fri 09:00-12:00, Mon-Fri 13:00-17:00"
    day = TradingDay(
        "11:00", hours=hours, pre_open_ns=0, opening_auction_ns=0, closing_auction_ns=0
    )
    day.send(buy("A", 1, 100, time_in_force=DAY), stop("S", 1, 120, time_in_force=DAY))
    day.send(buy("B", 1, 99))

    # when it is noon, then the market is closed, and they are there
    assert day.at("12:00") == []
    assert day.phase is Phase.CLOSED
    assert day.ask(buy("C", 1, 100)).reason is RejectReason.SESSION_CLOSED
    assert day.ask(cancel("D", "B")).type is ResponseType.CANCELED
    day = day.restart()
    assert day.phase is Phase.CLOSED

    # and at one it goes on; only at five the day is over
    day.at("13:00")
    assert day.phase is Phase.CONTINUOUS
    assert day.send(sell("E", 1, 100))[-1] == "A TRADE/FILLED"
    day.send(buy("F", 1, 100, time_in_force=DAY))
    assert set(day.at("17:00")) == {"F EXPIRED/EXPIRED", "S EXPIRED/EXPIRED"}


def test_a_segment_may_have_phases_of_its_own():
    """The morning opens by a call of 5 minutes, the afternoon at once; only it ends in a call."""
    # given
    hours = (
        "Mon-Fri 09:00-12:00 pre_open_s=0 opening_auction_s=300 closing_auction_s=0, "
        "Mon-Fri 13:00-17:00 pre_open_s=0 opening_auction_s=0"
    )
    day = TradingDay("08:59", hours=hours)
    seen = []
    for time in ("09:00", "09:05", "11:59", "12:00", "13:00", "16:49", "16:50", "17:00"):
        day.at(time)
        seen.append((time, day.phase.value))

    # then each has its own, and what it does not say is as for all
    assert seen == [
        ("09:00", "OPENING_AUCTION"), ("09:05", "CONTINUOUS"), ("11:59", "CONTINUOUS"),
        ("12:00", "CLOSED"), ("13:00", "CONTINUOUS"), ("16:49", "CONTINUOUS"),
        ("16:50", "CLOSING_AUCTION"), ("17:00", "CLOSED"),
    ]  # fmt: skip
    assert day.desk.digest() == day.desk.refolded()


def test_a_held_order_waits_for_the_call_of_its_segment():
    """The session has no call, this segment has: what was held must not trade before it ends."""
    # given two held orders that cross
    hours = "Mon-Fri 09:00-17:00 opening_auction_s=600"
    plain = {"pre_open_ns": 0, "opening_auction_ns": 0, "closing_auction_ns": 0}
    day = TradingDay("08:00", hours=hours, **plain)
    day.send(buy("A", 1, 102, hold=True), sell("B", 1, 98, hold=True))

    # when it opens, then they go into the call, and trade at its end; a replay says the same
    assert day.at("09:00") == ["A NEW/NEW", "B NEW/NEW"]
    assert day.phase is Phase.OPENING_AUCTION
    assert day.desk.digest() == day.desk.refolded()
    assert day.at("09:10") == ["A TRADE/FILLED", "B TRADE/FILLED"]
    assert day.desk.digest() == day.desk.refolded()


def test_a_market_that_is_always_open_has_no_phases():
    """It never opens, and never closes."""
    with pytest.raises(ValidationError, match=r"^closing_auction_s: expected 0, as the market is"):
        SessionConfig(always_open=True, closing_auction_ns=MINUTE)


def test_each_segment_has_its_calls():
    """The morning ends in an uncross too; nothing expires."""
    hours = "Mon-Fri 09:00-12:00, Mon-Fri 13:00-17:00"
    day = TradingDay("11:55", hours=hours)
    assert day.phase is Phase.CLOSING_AUCTION
    day.send(buy("A", 2, 101, time_in_force=DAY), sell("B", 1, 99))
    assert day.at("12:00") == ["A TRADE/PARTIALLY_FILLED", "B TRADE/FILLED"]
    day.at("13:00")
    assert day.phase is Phase.PRE_OPEN
    assert day.desk.oms.get_order("me", "A").leaves_lots == 1
