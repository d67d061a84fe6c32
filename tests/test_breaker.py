"""The volatility breaker: nothing trades outside a band around a rolling reference.

Who would trade outside it stops at its edge. The market is then in a limit state, in which all
else goes on; if it does not end well, trading pauses and begins anew with an auction.
"""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oms import Instrument, ManualClock, MemoryStore, ResponseType
from oms.config import ExchangeConfig, SessionConfig
from oms.enums import MarketOrderPolicy, Phase, Scope, SelfTrade, TimeInForce
from oms.requests import OperatorAction, OperatorRequest, OrderTerms
from tests.fakes import SECOND, Stepped, brief, buy, cancel, config_of, modify, sell
from tests.test_exchange_restarts import SELL, Floor, listed

IOC, FOK = TimeInForce.IOC, TimeInForce.FOK
CONTINUOUS, HALTED, REOPENING = Phase.CONTINUOUS, Phase.HALTED, Phase.REOPENING_AUCTION
WINDOW_S, LIMIT_S, PAUSE_S, CALL_S = 300, 15, 120, 60
PLAIN = Instrument(symbol="X", price_scale=0, quantity_scale=0, breaker_band_bps=1_000)
BREAKER = ExchangeConfig(
    self_trade="none",
    breaker_window_ns=WINDOW_S * SECOND,
    breaker_limit_ns=LIMIT_S * SECOND,
    breaker_pause_ns=PAUSE_S * SECOND,
    reopening_auction_ns=CALL_S * SECOND,
)
AT_ONCE = replace(BREAKER, breaker_limit_ns=0)


class Volatile:
    """Symbols X and Y with a band of 10 %; X has traded at `price`, unless it is 0."""

    def __init__(self, exchange=BREAKER, price=1_005, *, store=None, clock=None, **instrument):
        self.clock, self.store = clock or ManualClock(), store or MemoryStore()
        instruments = tuple(replace(PLAIN, symbol=name, **instrument) for name in "XY")
        self.config = config_of(exchange=exchange, instruments=instruments)
        self.start()
        if price:
            self.send(buy("P1", 1, price, account="you"), sell("P2", 1, price, account="you"))

    def start(self):
        self.desk = Stepped(self.config, clock=self.clock, store=self.store).start()
        self.send, self.ask = self.desk.send, self.desk.ask

    def restart(self):
        self.desk.stop()
        self.start()
        assert self.desk.digest() == self.desk.refolded()

    def wait(self, seconds):
        """Time goes by; what the turn told."""
        self.clock.advance(seconds)
        return self.desk.step()

    def market(self, symbol="X"):
        return self.desk.dispatcher.desk.engine.markets[symbol]

    @property
    def phase(self):
        return self.market().phase

    @property
    def next_s(self):
        return self.desk.dispatcher._due_lines.next_s(self.desk.dispatcher.desk, None)


# --- the band ---


@pytest.mark.parametrize(("side", "other", "edge"), [(buy, sell, 1_105), (sell, buy, 905)])
def test_the_edges_of_the_band_are_inside(side, other, edge):
    """10 % of 1005: 904.5 to 1105.5, rounded inwards; a tick further is outside."""
    # given somebody at the edge, and somebody a tick beyond it
    beyond = edge + (1 if side is buy else -1)
    x = Volatile()
    x.send(other("M1", 1, edge), other("M2", 1, beyond))

    # when an order wants both
    told = x.send(side("A", 2, beyond))

    # then it gets one, and the rest of it goes
    assert told == ["A NEW/NEW", "A TRADE/PARTIALLY_FILLED", "M1 TRADE/FILLED",
                    "A CANCELED/CANCELED"]  # fmt: skip
    assert x.desk.oms.get_order("me", "A").text == "BREAKER: left=1"
    assert x.market().limit_state


@pytest.mark.parametrize("more", [{"price": 2_000}, {}, {"price": 2_000, "time_in_force": IOC}])
def test_whoever_would_trade_outside_is_stopped(more):
    """A limit, a market and an IOC order alike; nothing is filled beyond the edge."""
    x = Volatile()
    x.send(sell("M", 5, 1_200))
    assert x.send(buy("A", 5, **more)) == ["A NEW/NEW", "A CANCELED/CANCELED"]
    assert x.desk.oms.get_order("me", "A").text == "BREAKER: left=5"
    assert x.desk.oms.get_depth("X", 5) == ([], [(1_200, 5)])


def test_prices_outside_may_rest_as_long_as_nobody_meets_them():
    """The band is about trades, not about orders."""
    x = Volatile()
    assert x.send(buy("A", 1, 100), sell("B", 1, 9_000)) == ["A NEW/NEW", "B NEW/NEW"]
    assert not x.market().limit_state


def test_a_stop_that_is_triggered_stops_at_the_edge_too():
    """A cascade cannot run away."""
    x = Volatile()
    x.send(
        sell("M1", 1, 1_010), sell("M2", 5, 1_200),
        buy("S", 5, terms=OrderTerms(stop_price=1_010)),
    )  # fmt: skip
    told = x.send(buy("A", 1, 1_010))
    assert told[-2:] == ["S TRIGGERED/NEW", "S CANCELED/CANCELED"]
    assert x.market().limit_state


def test_a_modify_that_crosses_is_stopped_too():
    """As if it had just arrived."""
    x = Volatile()
    x.send(sell("M", 1, 1_200), buy("A", 1, 1_000))
    assert x.send(modify("B", "A", price=1_200)) == ["B REPLACED/NEW", "B CANCELED/CANCELED"]


def test_before_the_first_trade_the_band_goes_by_the_reference_price():
    """The instrument's; without one everything may trade."""
    x = Volatile(price=0, reference_price_ticks=1_000)
    x.send(sell("M", 1, 1_101), sell("N", 1, 1_100))
    assert x.send(buy("A", 2, 1_200))[-1] == "A CANCELED/CANCELED"
    free = Volatile(price=0)
    free.send(sell("M", 1, 9_999))
    assert free.send(buy("A", 1, 9_999))[-1] == "M TRADE/FILLED"


def test_without_a_band_there_is_no_breaker():
    """The default."""
    x = Volatile(breaker_band_bps=0)
    x.send(sell("M", 1, 9_999))
    assert x.send(buy("A", 1, 9_999))[-1] == "M TRADE/FILLED"


# --- the rolling reference ---


def test_the_reference_is_the_price_a_window_began_with():
    """Within five minutes it stays; then the last price before is the next."""
    # given 1000 at first, and 1090 within the window
    x = Volatile(price=1_000)
    x.wait(WINDOW_S - 1)
    x.send(sell("M1", 1, 1_090), buy("A1", 1, 1_090))
    assert x.market().breaker_band() == (900, 1_100)

    # when a trade comes after it, then the band goes by 1090
    x.wait(1)
    x.send(sell("M2", 1, 1_095), buy("A2", 1, 1_095))
    assert x.market().breaker_band() == (981, 1_199)
    x.send(sell("M3", 1, 1_199))
    assert x.send(buy("A3", 1, 1_199))[-1] == "M3 TRADE/FILLED"


def test_an_auction_sets_a_new_reference():
    """An uncross may be outside the band: that is what it is for."""
    # given a pause, and a crossed book at 1200
    x = Volatile(AT_ONCE, price=1_000)
    x.send(sell("M", 5, 1_200))
    assert x.send(buy("A", 5, 1_200)) == ["A NEW/NEW"]
    assert x.phase is HALTED

    # when it reopens, then everybody trades, and the band is around 1200
    assert x.wait(PAUSE_S) == []
    assert x.wait(CALL_S) == ["A TRADE/FILLED", "M TRADE/FILLED"]
    assert x.market().breaker_band() == (1_080, 1_320)
    x.send(sell("N", 1, 1_320))
    assert x.send(buy("B", 1, 1_320))[-1] == "N TRADE/FILLED"


# --- the limit state ---


def breach(x, **more):
    """An order runs into the band: somebody offers at 1150 only."""
    x.send(sell("M", 5, 1_150))
    return x.send(buy("A", 5, 1_150, **more))


def test_a_limit_state_that_does_not_end_well_is_a_pause():
    """15 s later the only offer is still outside."""
    # given a limit state
    x = Volatile()
    assert breach(x) == ["A NEW/NEW", "A CANCELED/CANCELED"]
    assert (x.phase, x.market().limit_state, x.next_s) == (CONTINUOUS, True, LIMIT_S)

    # when nobody comes, then trading pauses
    x.wait(LIMIT_S - 1)
    assert x.phase is CONTINUOUS
    x.wait(1)
    assert (x.phase, x.market().limit_state, x.next_s) == (HALTED, False, PAUSE_S)


def test_a_limit_state_ends_well_when_somebody_offers_inside_the_band():
    """Trading went on all the time, and goes on."""
    x = Volatile()
    breach(x)
    x.send(sell("N", 2, 1_100))
    assert x.send(buy("B", 1, 1_100))[-1] == "N TRADE/PARTIALLY_FILLED"
    x.wait(LIMIT_S)
    assert (x.phase, x.market().limit_state, x.market().until_ns) == (CONTINUOUS, False, 0)


def test_a_limit_state_ends_well_when_nobody_is_outside_any_more():
    """The offer at 1150 was taken back."""
    x = Volatile()
    breach(x)
    x.send(cancel("C", "M"))
    x.wait(LIMIT_S)
    assert (x.phase, x.market().limit_state) == (CONTINUOUS, False)


def test_a_second_breach_does_not_prolong_a_limit_state():
    """The time counts from the first."""
    x = Volatile()
    breach(x)
    x.wait(LIMIT_S - 1)
    assert x.send(buy("B", 1, 1_150))[-1] == "B CANCELED/CANCELED"
    x.wait(1)
    assert x.phase is HALTED


def test_the_next_breach_after_a_limit_state_begins_another():
    """It is over, and so is its timer."""
    x = Volatile()
    breach(x)
    x.send(cancel("C", "M"))
    x.wait(LIMIT_S)
    x.send(sell("N", 1, 1_150), buy("B", 1, 1_150))
    assert (x.market().limit_state, x.next_s) == (True, LIMIT_S)


# --- orders that want all or nothing ---

WHOLE = {
    "FOK": buy("A", 5, 1_150, time_in_force=FOK),
    "FOK at market": buy("A", 5, time_in_force=FOK),
    "all or none": buy("A", 5),
    "minimum": buy("A", 5, 1_150, terms=OrderTerms(min_quantity=3)),
    "budget, FOK": buy("A", None, time_in_force=FOK, terms=OrderTerms(quote_quantity=5_750)),
    "budget, all or none": buy("A", None, terms=OrderTerms(quote_quantity=5_750)),
    "budget, minimum": buy("A", None, terms=OrderTerms(quote_quantity=5_750, min_quantity=3)),
}


@pytest.mark.parametrize("kind", WHOLE)
def test_whoever_wants_all_or_nothing_starts_a_limit_state_too(kind):
    """A market whose takers send nothing else was locked: nobody was stopped, nothing moved."""
    # given two inside the band, and the rest of five outside
    policy = MarketOrderPolicy.ALL_OR_NONE if kind.endswith("all or none") else "partial"
    x = Volatile(market_order=MarketOrderPolicy(policy))
    x.send(sell("M1", 2, 1_100), sell("M2", 5, 1_150))

    # when an order wants all or nothing
    end = x.send(WHOLE[kind])[-1]

    # then it gets nothing, is told why, and the market is in a limit state
    assert end in ("A CANCELED/CANCELED", "A REJECTED/REJECTED")
    assert x.desk.oms.get_order("me", "A").text.startswith("BREAKER: ")
    assert x.market().limit_state
    assert x.desk.oms.get_depth("X", 5) == ([], [(1_100, 2), (1_150, 5)])
    x.restart()
    assert x.market().limit_state


@pytest.mark.parametrize("kind", WHOLE)
def test_a_market_of_such_orders_alone_is_not_locked(kind):
    """It pauses, the reference becomes what is offered, and the next one trades."""
    policy = MarketOrderPolicy.ALL_OR_NONE if kind.endswith("all or none") else "partial"
    x = Volatile(AT_ONCE, market_order=MarketOrderPolicy(policy))
    x.send(sell("M", 5, 1_150), WHOLE[kind])
    assert x.phase is HALTED
    x.wait(PAUSE_S)
    x.wait(CALL_S)
    again = replace(WHOLE[kind], client_order_id="B")
    assert x.send(again)[-1] == "M TRADE/FILLED"


def test_a_stop_that_wants_all_or_nothing_starts_a_limit_state_too():
    """It was woken by a trade, and finds its offer outside."""
    x = Volatile(market_order=MarketOrderPolicy.ALL_OR_NONE)
    x.send(sell("M1", 1, 1_010), sell("M2", 5, 1_200))
    x.send(buy("S", 5, terms=OrderTerms(stop_price=1_010)))
    x.send(buy("A", 1, 1_010))
    assert x.desk.oms.get_order("me", "S").text == "BREAKER: quantity=5, policy=all_or_none"
    assert x.market().limit_state


def test_an_order_that_the_whole_book_cannot_fill_is_no_breach():
    """It would trade nowhere, so the market is not told that it moved."""
    x = Volatile(AT_ONCE)
    x.send(sell("M", 4, 1_150))
    x.send(buy("A", 5, 1_150, time_in_force=FOK))
    assert x.desk.oms.get_order("me", "A").text == "INSUFFICIENT_LIQUIDITY: quantity=5, policy=FOK"
    assert x.phase is CONTINUOUS


@pytest.mark.parametrize("tif", [FOK, IOC, TimeInForce.GTC])
def test_an_order_that_nobody_can_pay_is_no_breach(tif):
    """5 at 115 cost 575: with 100 of it, nobody halts a market."""
    floor = Floor(listed(breaker_band_bps=1_000, reference_price_ticks=100))
    floor.fund("you", B=10)
    floor.fund("me", Q=100)
    floor.new("you", "M", SELL, 5, 115)
    told = floor.told(buy("A", 5, time_in_force=tif))
    assert told[-1].text.startswith("FUNDS_INSUFFICIENT")
    assert not floor.market.limit_state


@given(
    offers=st.lists(
        st.tuples(st.integers(1_000, 1_200), st.integers(1, 5), st.sampled_from(["me", "you"])),
        max_size=5,
    ),
    lots=st.integers(1, 10),
    price=st.sampled_from([None, 1_050, 1_150, 1_200]),
    by_budget=st.booleans(),
    tif=st.sampled_from([IOC, FOK]),
    minimum=st.integers(0, 3),
    mode=st.sampled_from(SelfTrade),
    policy=st.sampled_from(MarketOrderPolicy),
)
def test_a_market_pauses_if_and_only_if_an_order_would_have_traded_outside(
    offers, lots, price, by_budget, tif, minimum, mode, policy
):
    """Whatever it wants, and whatever keeps it from that: the same book without a band says it."""
    exchange = replace(AT_ONCE, self_trade=mode.value)
    terms_of = {"market_order": policy, "reference_price_ticks": 1_000}
    banded, free = (
        Volatile(exchange, price=0, breaker_band_bps=bps, **terms_of) for bps in (1_000, 0)
    )
    least = min(minimum, lots) or None
    order = buy("A", lots, price, time_in_force=tif, terms=OrderTerms(min_quantity=least))
    if by_budget:
        budget = OrderTerms(min_quantity=least, quote_quantity=lots * 1_075)
        order = buy("A", None, time_in_force=tif, terms=budget)
    for x in (banded, free):
        for number, (at, size, account) in enumerate(offers):
            x.send(sell(f"M{number}", size, at, account=account))
        x.send(order)
    outside = free.market().last_ticks > 1_100
    assert banded.phase is (HALTED if outside else CONTINUOUS)
    assert banded.market().last_ticks <= 1_100


# --- the pause, and the auction after it ---


def test_without_a_limit_state_the_pause_comes_at_once_and_the_rest_of_an_order_rests():
    """What may rest rests in the halted market; what may not goes."""
    # given no limit state; and somebody inside, somebody outside
    x = Volatile(AT_ONCE)
    x.send(sell("M1", 2, 1_100), sell("M2", 5, 1_150))

    # when an order wants both
    told = x.send(buy("A", 5, 1_150))

    # then the rest of it rests, the book is crossed, and nothing may be entered
    assert told == ["A NEW/NEW", "A TRADE/PARTIALLY_FILLED", "M1 TRADE/FILLED"]
    assert (x.phase, x.next_s) == (HALTED, PAUSE_S)
    assert x.desk.oms.get_depth("X", 5) == ([(1_150, 3)], [(1_150, 5)])
    assert x.ask(buy("B", 1, 1_000)).text == "MARKET_STATE: phase=HALTED, type=LIMIT, tif=GTC"

    # and an IOC order's would have gone
    y = Volatile(AT_ONCE)
    assert breach(y, time_in_force=IOC) == ["A NEW/NEW", "A CANCELED/CANCELED"]
    assert y.phase is HALTED


def test_after_the_pause_there_is_a_call_and_then_an_uncross():
    """Two minutes, one minute; orders may be entered in the call again."""
    # given a pause
    x = Volatile(AT_ONCE)
    breach(x)
    assert x.phase is HALTED

    # when it is over, then a call begins, in which others may come
    assert x.wait(PAUSE_S) == []
    assert (x.phase, x.next_s) == (REOPENING, CALL_S)
    assert x.send(sell("N", 2, 1_120)) == ["N NEW/NEW"]
    assert x.ask(buy("B", 1, time_in_force=IOC)).type is ResponseType.REJECTED

    # and when that is over, everybody trades at one price
    x.clock.advance(CALL_S)
    reports = x.desk.turn()
    assert {report.last_price_ticks for report in reports} == {1_150}
    assert brief(reports) == [
        "A TRADE/PARTIALLY_FILLED", "N TRADE/FILLED", "A TRADE/FILLED",
        "M TRADE/PARTIALLY_FILLED",
    ]  # fmt: skip
    assert (x.phase, x.market().until_ns) == (CONTINUOUS, 0)


def test_without_a_call_the_pause_ends_in_the_uncross():
    """reopening_auction_s = 0."""
    x = Volatile(replace(AT_ONCE, reopening_auction_ns=0))
    breach(x)
    assert x.wait(PAUSE_S) == ["A TRADE/FILLED", "M TRADE/FILLED"]
    assert x.phase is CONTINUOUS


@pytest.mark.parametrize("reopening_s", [0, CALL_S])
def test_an_operator_may_end_a_pause(reopening_s):
    """It goes on as after the pause; of that nothing is left over."""
    x = Volatile(replace(AT_ONCE, reopening_auction_ns=reopening_s * SECOND))
    breach(x)
    release = OperatorRequest(
        client_order_id="R", action=OperatorAction.SET_TRADING, scope=Scope.SYMBOL, target="X",
        value="ACTIVE",
    )  # fmt: skip
    x.send(release)
    until_ns = x.clock.wall_ns() + reopening_s * SECOND if reopening_s else 0
    assert (x.phase, x.market().until_ns) == (REOPENING if reopening_s else CONTINUOUS, until_ns)


def test_an_operators_halt_outlasts_a_pause():
    """Whoever halts it by hand ends it by hand."""
    x = Volatile(AT_ONCE)
    breach(x)
    halt = OperatorRequest(
        client_order_id="H", action=OperatorAction.SET_TRADING, scope=Scope.SYMBOL, target="X",
        value="HALTED",
    )  # fmt: skip
    x.send(halt)
    assert x.wait(10 * PAUSE_S) == []
    assert x.phase is HALTED


# --- timers, and others ---


def test_every_timer_survives_a_restart():
    """Limit state, pause, call: each ends when it would have ended."""
    x = Volatile()
    breach(x)
    for phase, seconds in ((CONTINUOUS, LIMIT_S), (HALTED, PAUSE_S), (REOPENING, CALL_S)):
        assert x.phase is phase
        x.wait(seconds - 1)
        x.restart()
        assert (x.phase, x.next_s) == (phase, 1)
        x.wait(1)
    assert x.phase is CONTINUOUS


def test_a_timer_that_ran_out_while_nobody_was_there_is_due_at_once():
    """The process was away for an hour."""
    x = Volatile()
    breach(x)
    x.desk.stop()
    x.clock.advance(3600)
    x.start()
    assert x.phase is HALTED


def test_two_instruments_have_two_breakers():
    """One pauses, the other trades, and the other way round."""
    x = Volatile(AT_ONCE)
    x.send(buy("Y1", 1, 50, symbol="Y"), sell("Y2", 1, 50, symbol="Y"))
    breach(x)
    assert (x.phase, x.market("Y").phase) == (HALTED, CONTINUOUS)
    x.send(sell("Y3", 1, 55, symbol="Y"), sell("Y4", 1, 56, symbol="Y"))
    x.wait(10)
    assert x.send(buy("Y5", 2, 56, symbol="Y"))[-1] == "Y3 TRADE/FILLED"
    assert x.market("Y").phase is HALTED
    assert x.next_s == PAUSE_S - 10
    x.wait(PAUSE_S - 10)
    assert (x.phase, x.market("Y").phase) == (REOPENING, HALTED)


def test_a_limit_state_ends_where_the_closing_call_begins():
    """A call has no band: it must not be halted by one, nor miss its uncross."""
    # given a limit state just before the closing call
    clock = ManualClock()  # 2023-11-14 22:13:20 UTC, a Tuesday
    session = SessionConfig(hours="Mon-Fri 22:00-22:30", closing_auction_ns=990 * SECOND)
    config = config_of(exchange=BREAKER, instruments=(PLAIN,), session=session)
    desk = Stepped(config, clock=clock).start()
    desk.send(buy("P1", 1, 1_000), sell("P2", 1, 1_000), sell("M", 5, 1_150))
    desk.send(buy("A", 5, 1_150))
    market = desk.dispatcher.desk.engine.markets["X"]
    assert market.limit_state

    # when the call has begun and the limit state would end
    clock.advance(10)
    desk.step()
    assert (market.phase, market.limit_state) == (Phase.CLOSING_AUCTION, False)
    clock.advance(10)
    desk.step()

    # then the call goes on, and the close uncrosses
    assert market.phase is Phase.CLOSING_AUCTION
    desk.send(buy("B", 5, 1_150))
    clock.advance(1_000)
    assert desk.step() == ["B TRADE/FILLED", "M TRADE/FILLED"]


# --- the way out of a pause ---


def paused(x, *orders):
    """These are left in the book when the market breaks out of its band, and pauses."""
    x.send(sell("M", 5, 1_400), *orders)
    x.send(buy("A", 5, 1_400, time_in_force=IOC))
    assert x.phase is HALTED


def test_a_reopening_that_does_not_trade_sets_the_reference_between_bid_and_offer():
    """1300 bid, 1400 asked, and a last trade of 1000: nothing could trade for ever."""
    # given a market that moved without a trade
    x = Volatile(AT_ONCE, price=1_000)
    paused(x, buy("B", 5, 1_300))
    x.restart()

    # when it reopens and nobody meets
    assert x.wait(PAUSE_S) == x.wait(CALL_S) == []

    # then the band is around 1350, twice as wide, and the market is not locked
    assert x.market().breaker_band() == (1_080, 1_620)
    x.restart()
    assert x.send(buy("C", 1, 1_400))[-1] == "M TRADE/PARTIALLY_FILLED"


@pytest.mark.parametrize(("order", "reference"), [(None, 1_400), (buy("B", 5, 700), 1_050)])
def test_the_reference_goes_by_the_side_that_there_is(order, reference):
    """An offer alone is what the market says."""
    x = Volatile(AT_ONCE, price=1_000)
    paused(x, *([order] if order else []))
    x.wait(PAUSE_S)
    x.wait(CALL_S)
    assert x.market().rolling_ticks == reference


def test_each_pause_widens_the_band_by_one_step_until_there_is_a_trade():
    """10 %, 20 %, 30 %: a spread as wide as the band cannot hold the market for ever."""
    # given 500 bid, 1500 asked
    x = Volatile(AT_ONCE, price=1_000)
    x.send(buy("B", 5, 500), sell("M", 50, 1_500))
    bands = []
    for n in range(5):
        x.send(buy(f"A{n}", 5, 1_500, time_in_force=IOC))
        x.wait(PAUSE_S)
        x.wait(CALL_S)
        bands.append(x.market().breaker_band())
    assert bands == [(800, 1_200), (700, 1_300), (600, 1_400), (500, 1_500), (500, 1_500)]
    x.restart()
    assert x.send(buy("C", 1, 1_500))[-1] == "M TRADE/PARTIALLY_FILLED"

    # when a window has gone by, then the next trade makes it one step, around what trades now
    x.wait(WINDOW_S)
    x.send(buy("D", 1, 1_500))
    assert x.market().breaker_band() == (1_350, 1_650)


def test_an_auction_that_trades_makes_the_band_one_step_again():
    """It found a price."""
    x = Volatile(AT_ONCE, price=1_000)
    paused(x)
    x.wait(PAUSE_S)
    x.send(buy("B", 1, 1_400))
    assert x.wait(CALL_S)[0] == "B TRADE/FILLED"
    assert x.market().breaker_band() == (1_260, 1_540)


def test_a_last_trade_of_before_the_pause_is_no_reference_any_more():
    """A window after the reopening the first trade sets it, not the stale price."""
    x = Volatile(AT_ONCE, price=1_000)
    paused(x, buy("B", 5, 1_300))
    x.wait(PAUSE_S)
    x.wait(CALL_S)
    x.wait(WINDOW_S)
    x.send(buy("C", 1, 1_400))
    assert x.market().breaker_band() == (1_260, 1_540)


def test_a_call_after_a_pause_is_the_default():
    """So that a market reopens by an auction unless somebody decides otherwise."""
    assert ExchangeConfig().reopening_auction_ns == 60 * SECOND
