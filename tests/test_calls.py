"""Calls: who waits in one, who is kept apart at its end, and when that end is.

A day here is that of test_phases.py: the opening call from 09:10, trading from 09:20, the closing
call from 16:50, the close at 17:00. Symbol X goes by a reference of 100 and has a collar of ten
percent.
"""

from dataclasses import replace

import pytest

from oms import EmbeddedVenue, RejectReason, ResponseType
from oms.config import ExchangeConfig, SessionConfig, ThrottleConfig
from oms.desk import snapshot
from oms.enums import Phase, Scope, SelfTrade, TimeInForce
from oms.errors import ValidationError
from oms.requests import (
    FundsAction,
    FundsRequest,
    MassCancelRequest,
    OperatorAction,
    OperatorRequest,
    OrderTerms,
    codec,
)
from oms.turn.journal import Fold
from tests.fakes import INSTRUMENTS, SECOND, Stepped, buy, cancel, modify, sell
from tests.test_phases import MINUTE, REOPENS, TradingDay

X = replace(
    INSTRUMENTS[0], base="X", quote="USD", reference_price_ticks=100, market_slippage_bps=1_000
)
DAY, IOC = TimeInForce.DAY, TimeInForce.IOC
PREVENTS = ExchangeConfig(self_trade="cancel_newest")
MONEY = ExchangeConfig(ledger=True, self_trade="none")


class Call(TradingDay):
    """A day that begins in its opening call; reports in more words."""

    def __init__(self, start="09:15", *, instruments=(X,), **more):
        super().__init__(start, instruments=instruments, **more)

    def told(self, *requests):
        """Who, what, and either lots and price of a trade or why."""
        for request in requests:
            self.desk.oms.on_data(request)
        return [self._words(report) for report in self.desk.turn()]

    def told_at(self, time, day=4):
        """The same of what a moment sets off."""
        turn, reports = self.desk.turn, []
        self.desk.turn = lambda: reports.extend(turn()) or []
        self.at(time, day)
        self.desk.turn = turn
        return [self._words(report) for report in reports]

    @staticmethod
    def _words(report):
        more = report.text
        if report.type is ResponseType.TRADE:
            more = f"{report.last_quantity_lots}@{report.last_price_ticks}"
        return f"{report.client_order_id} {report.type} {more}".strip()

    def again(self):
        """The desk from the last snapshot's state alone, as a start would have it."""
        fold = self.desk.dispatcher.fold
        state = fold.state()
        other = Fold(EmbeddedVenue())
        snapshot.load(other.desk, state)
        assert snapshot.dump(other.desk, fold.last_seq) == state
        assert self.desk.digest() == self.desk.refolded()


# --- the price ---


def test_the_reference_is_the_price_if_all_agree_to_it():
    """105 is offered, 95 is asked; a hundred it was, a hundred it is."""
    day = Call()
    day.send(buy("A", 10, 105), sell("B", 10, 95))
    assert day.told_at("09:20") == ["A TRADE 10@100", "B TRADE 10@100"]


def test_a_price_that_nobody_named_may_leave_nobody_over():
    """At 102 and at 100 five lots are left over, at 101 none."""
    day = Call(instruments=(replace(X, reference_price_ticks=102),))
    day.send(buy("A", 10, 102), buy("B", 5, 100), sell("C", 10, 100), sell("D", 5, 102))
    assert day.told_at("09:20") == ["A TRADE 10@101", "C TRADE 10@101"]
    assert day.market.indicative() is None


# --- self-trade prevention ---


def test_one_account_alone_in_a_call_does_not_trade_with_itself():
    """What came later is canceled, and nothing trades."""
    day = Call(exchange=PREVENTS)
    day.send(buy("A", 10, 105), sell("B", 10, 95))
    assert day.market.indicative() is None
    assert day.told_at("09:20") == ["B CANCELED SELF_TRADE"]
    assert day.ask(cancel("C", "A")).type is ResponseType.CANCELED


SELF_TRADES = [
    ("none", ["A TRADE 6@99", "B TRADE 6@99", "A TRADE 4@99", "Y TRADE 4@99"]),
    ("cancel_newest", ["B CANCELED SELF_TRADE", "A TRADE 9@105", "Y TRADE 9@105"]),
    ("cancel_oldest", ["A CANCELED SELF_TRADE", "Z TRADE 6@98", "B TRADE 6@98"]),
    ("cancel_both", ["A CANCELED SELF_TRADE", "B CANCELED SELF_TRADE"]),
    ("decrement",
     ["A RESTATED SELF_TRADE", "B CANCELED SELF_TRADE", "A TRADE 4@99", "Y TRADE 4@99"]),
]  # fmt: skip


@pytest.mark.parametrize(("mode", "told"), SELF_TRADES)
def test_those_that_would_meet_are_taken_out_and_the_price_is_found_without(mode, told):
    """A would buy from B, both of one account; Y sells at 99, Z bids 98."""
    # given A, who is first in line, as B is
    day = Call(exchange=ExchangeConfig(self_trade=mode))
    day.send(buy("A", 10, 105), sell("Y", 9, 99, account="you"), sell("B", 6, 95))
    day.send(buy("Z", 20, 98, account="z"))

    # when the call ends, then the mode says who goes, before anybody trades
    expected = day.market.indicative()
    reports = day.told_at("09:20")
    assert reports == told
    trades = [line for line in reports if "TRADE " in line]
    assert (expected is None) == (trades == [])
    assert expected is None or trades[0].endswith(f"@{expected.price_ticks}")
    day.again()


def test_what_an_order_trades_with_others_before_it_meets_its_own_it_keeps():
    """As if it had arrived: five from you, then what is left is taken back."""
    # given a buy that would meet your five first, and then its own
    day = Call(exchange=PREVENTS)
    day.send(sell("Y", 5, 95, account="you"), sell("A", 10, 96), buy("B", 10, 105))

    # when the call ends, then its rest is gone before the price is found
    assert day.told_at("09:20") == ["B RESTATED SELF_TRADE", "B TRADE 5@95", "Y TRADE 5@95"]
    assert day.ask(cancel("C", "A")).type is ResponseType.CANCELED


def test_accounts_of_a_group_are_kept_apart_and_an_order_may_say_otherwise():
    """The mode is that of the one who came later, as it would be of a taker."""
    # given two accounts of one fund
    day = Call(exchange=PREVENTS)
    for name in ("me", "you"):
        day.send(
            OperatorRequest(
                client_order_id=name, action=OperatorAction.SET_ACCOUNT, scope=Scope.ACCOUNT,
                target=name, name="stp_group", value="fund",
            )
        )  # fmt: skip

    # when both are in the call, then they do not trade; unless the later one does not mind
    day.send(buy("A", 5, 105), sell("B", 5, 95, account="you"))
    assert day.told_at("09:20") == ["B CANCELED SELF_TRADE"]
    day.at("16:55")
    day.send(sell("C", 5, 95, account="you", terms=OrderTerms(self_trade=SelfTrade.NONE)))
    assert day.told_at("17:00") == ["A TRADE 5@100", "C TRADE 5@100"]


# --- market orders ---


def test_market_orders_wait_for_the_uncross_and_are_served_first_at_their_price():
    """Their collar is 110 and 90; limit orders at these prices come after them."""
    # given limit orders at the collar, older than the market orders
    day = Call()
    day.send(buy("A", 5, 110), buy("B", 5, 111), buy("M", 5), sell("Y", 10, 95))
    assert day.market.indicative() == (110, 10, 5)

    # when the call ends, then a better price was first, then the market order
    assert day.told_at("09:20") == [
        "B TRADE 5@110", "Y TRADE 5@110", "M TRADE 5@110", "Y TRADE 5@110",
    ]  # fmt: skip


def test_market_orders_alone_trade_at_the_reference():
    """Nobody names a price; what is left of them is canceled, it never rests."""
    day = Call()
    day.send(buy("M", 7), sell("N", 5))
    assert day.told_at("09:20") == [
        "M TRADE 5@100", "N TRADE 5@100", "M CANCELED INSUFFICIENT_LIQUIDITY: left=2",
    ]  # fmt: skip
    assert day.market.gathered == {}


def test_market_orders_alone_without_a_reference_do_not_trade():
    """There is no price to trade at."""
    day = Call(instruments=(replace(X, reference_price_ticks=0),))
    day.send(buy("M", 7), sell("N", 5))
    assert day.market.indicative() is None
    assert [line.split(":")[0] for line in day.told_at("09:20")] == [
        "M CANCELED INSUFFICIENT_LIQUIDITY", "N CANCELED INSUFFICIENT_LIQUIDITY",
    ]  # fmt: skip


def test_without_a_collar_they_go_as_far_as_somebody_names_a_price():
    """A buy for more than is offered presses the price up: to the highest there is, not beyond."""
    day = Call(instruments=(replace(X, market_slippage_bps=0),))
    day.send(buy("M", 7), sell("Y", 5, 150))
    assert day.told_at("09:20")[:2] == ["M TRADE 5@150", "Y TRADE 5@150"]


def test_the_collar_counts_from_the_reference_and_bounds_the_price():
    """Ten percent from 100, whatever the book says: an offer at 111 is too dear."""
    day = Call()
    day.send(sell("Y", 5, 111), sell("Z", 5, 108), buy("M", 10))
    assert day.told_at("09:20") == [
        "M TRADE 5@110", "Z TRADE 5@110", "M CANCELED INSUFFICIENT_LIQUIDITY: left=5",
    ]  # fmt: skip


def test_a_protection_price_goes_before_the_collar():
    """The order's own word, tighter or wider."""
    day = Call()
    day.send(sell("Y", 5, 120), buy("M", 5, terms=OrderTerms(protection_price=125)))
    assert day.told_at("09:20") == ["M TRADE 5@120", "Y TRADE 5@120"]


def test_the_collar_bounds_what_is_reserved():
    """Ten lots at 110 at most, of 1,200 that are there; filled at less, the rest comes back."""
    # given money for ten lots at the collar, and not for eleven
    day = Call(exchange=MONEY)
    fund(day)
    assert day.ask(buy("M1", 11)).reason is RejectReason.FUNDS_INSUFFICIENT
    day.send(buy("M", 10))
    assert balance(day) == (100, 1_100)

    # when it asks for less, and the call ends, then it paid the price of all
    assert day.ask(modify("M2", "M", quantity=8)).type is ResponseType.REPLACED
    assert balance(day) == (320, 880)
    day.send(sell("Y", 8, 95))
    assert day.told_at("09:20") == ["M2 TRADE 8@100", "Y TRADE 8@100"]
    assert balance(day) == (1_200, 0)  # it was its own seller
    assert day.desk.dispatcher.desk.ledger.mistakes([]) == []


@pytest.mark.parametrize(
    ("without", "cure"),
    [
        ({"reference_price_ticks": 0}, "reference_price or a trade"),
        ({"market_slippage_bps": 0}, "market_slippage_bps above 0"),
        (
            {"reference_price_ticks": 0, "market_slippage_bps": 0},
            "market_slippage_bps above 0 and reference_price or a trade",
        ),
    ],
)
def test_a_market_buy_that_nothing_bounds_is_refused_where_money_counts(without, cure):
    """Nobody knows what it may cost; the answer says what would bound it."""
    day = Call(exchange=MONEY, instruments=(replace(X, **without),))
    fund(day)
    answer = day.ask(buy("M", 1))
    assert (answer.reason, answer.type) == (RejectReason.MARKET_STATE, ResponseType.REJECTED)
    assert answer.text.endswith(f", expected=a protection price, or {cure}")
    assert day.ask(buy("N", 1, terms=OrderTerms(protection_price=50))).type is ResponseType.NEW
    assert day.ask(sell("O", 1)).type is ResponseType.NEW


def fund(day):
    """1,200 of both assets."""
    steps = [
        {"action": FundsAction.CREATE},
        *({"action": FundsAction.DEPOSIT, "asset": each, "amount": 1_200} for each in ("USD", "X")),
    ]
    for number, step in enumerate(steps):
        day.send(FundsRequest(client_order_id=f"F{number}", account="me", **step))


def balance(day):
    available, reserved = day.desk.dispatcher.desk.ledger.accounts["me"]["USD"]
    return available / 10**8, reserved / 10**8


def test_a_market_order_that_waited_for_the_throttle_is_bounded_when_the_call_takes_it():
    """It came in continuous trading, when no bound was needed, and was sent in the closing call."""
    # given one send a day, used up at 16:49
    slow = ThrottleConfig(sends_max=1, window_ns=120 * SECOND)
    day = Call("16:49", exchange=MONEY, throttle=slow)
    fund(day)
    day.send(sell("Y", 5, 95))
    assert day.ask(buy("M", 12)).type is ResponseType.PENDING_NEW
    assert day.ask(buy("N", 10)).type is ResponseType.PENDING_NEW
    assert balance(day) == (1_200, 0)

    # when their turn comes in the call, then each reserves what its collar says, or is refused
    assert [line.partition(":")[0] for line in day.told_at("16:51:30")] == [
        "M REJECTED FUNDS_INSUFFICIENT"
    ]
    assert day.told_at("16:54") == ["N NEW"]
    assert balance(day) == (100, 1_100)
    assert day.told_at("17:00")[0] == "N TRADE 5@100"
    day.again()


def test_more_of_a_market_order_goes_to_the_back_and_less_keeps_its_place():
    """As everywhere."""
    day = Call()
    day.send(buy("A", 5), buy("B", 5), sell("Y", 5, 95))
    day.send(modify("A1", "A", quantity=6), modify("B1", "B", quantity=4))
    assert day.told_at("09:20")[:4] == [
        "B1 TRADE 4@100", "Y TRADE 4@100", "A1 TRADE 1@100", "Y TRADE 1@100",
    ]  # fmt: skip


def test_market_orders_of_a_call_can_be_taken_back():
    """One by one, and all at once in the order they came, among limit orders."""
    day = Call()
    day.send(buy("A", 5), buy("B", 5), sell("C", 5, time_in_force=DAY), buy("D", 5, 90))
    assert day.ask(cancel("A1", "A")).type is ResponseType.CANCELED
    day.again()
    mass = MassCancelRequest(account="me", client_order_id="X")
    assert day.told(mass)[:3] == [
        f"{name} CANCELED MASS_CANCEL: by=me, id=X" for name in ("B", "C", "D")
    ]
    assert day.market.gathered == {}


def test_a_halted_account_s_market_order_takes_no_part():
    """It would execute at the uncross, and rests nowhere till then: it is canceled."""
    day = Call()
    day.send(buy("M", 5), sell("Y", 3, 95))
    told = day.operate("H", OperatorAction.SET_TRADING, "HALTED", Scope.ACCOUNT, "me")
    assert told == ["M CANCELED/CANCELED", "Y RESTATED/SUSPENDED"]


def test_a_halt_in_a_call_keeps_them_and_a_restart_too():
    """They wait with all others; what began in the call ends in an uncross."""
    # given a market order in a call that is halted
    day = Call(exchange=REOPENS)
    day.send(buy("M", 5), sell("Y", 3, 95))
    day.operate("H", OperatorAction.SET_TRADING, "HALTED")
    day = day.restart()
    assert day.ask(buy("N", 1)).reason is RejectReason.MARKET_STATE

    # when trading goes on, then through a call, and it trades
    day.at("09:30")
    day.operate("R", OperatorAction.SET_TRADING, "ACTIVE")
    assert day.phase is Phase.REOPENING_AUCTION
    told = day.at("09:31")
    assert told == ["M TRADE/PARTIALLY_FILLED", "Y TRADE/FILLED", "M CANCELED/CANCELED"]


def test_a_call_that_the_close_ends_cancels_what_is_left_of_them():
    """The session ends in an operator's call: they may not wait for another day."""
    day = Call("16:00", closing_auction_ns=0)
    day.operate("O", OperatorAction.SET_PHASE, "OPENING_AUCTION")
    day.send(buy("M", 5), buy("A", 5, 100))
    assert day.told_at("17:00") == ["M CANCELED INSUFFICIENT_LIQUIDITY: left=5"]


# --- how a call ends ---


def drawing(day, *seconds):
    """Let chance say these; what it was asked."""
    spans, left = [], list(seconds)

    def draw(below):
        spans.append(below)
        return left.pop(0) * SECOND

    day.desk.dispatcher._due_lines.draw = draw
    return spans


RANDOM = {"auction_random_end_ns": 30 * SECOND}


def test_a_call_ends_by_chance_within_its_span_and_the_journal_knows_when():
    """Drawn when it begins, 20 of at most 30 seconds; a replay draws nothing."""
    # given a call
    day = Call(**RANDOM)
    spans = drawing(day, 20)
    assert day.next_s == 0  # there is something to draw
    day.desk.step()
    assert spans == [30 * SECOND + 1]
    assert (codec.DRAWN, "X", 20 * SECOND) in lines_of(day)

    # when its regular end comes, then it goes on, over a restart too, until its time has come
    day.send(buy("A", 1, 101), sell("B", 1, 99))
    assert day.at("09:20") == []
    assert (day.phase, day.next_s) == (Phase.OPENING_AUCTION, 20)
    assert day.send(buy("M", 1)) == ["M NEW/NEW"]
    day = day.restart()
    assert day.at("09:20:19") == []
    assert day.at("09:20:20")[:2] == ["M TRADE/FILLED", "B TRADE/FILLED"]
    assert day.phase is Phase.CONTINUOUS
    assert day.desk.digest() == day.desk.refolded()


def lines_of(day):
    records = day.store.records()
    return [tuple(line) for r in records for line in codec.decode_all(r.body, r.first_seq)]


def test_what_is_drawn_is_within_the_span():
    """By the machine's own chance, a few days in a row."""
    day = Call(**RANDOM)
    for date in (4, 5, 6, 7):
        day.at("09:15", date)
        day.desk.step()
        day.at("16:55", date)
        day.desk.step()
        day.at("18:00", date)
    drawn = [line[2] for line in lines_of(day) if line[0] == codec.DRAWN]
    assert len(drawn) == 8
    assert all(0 <= extra_ns <= 30 * SECOND for extra_ns in drawn)
    assert len(set(drawn)) > 1


def test_a_closing_call_ends_by_chance_before_the_close():
    """Its regular end is so early that it is over by then; then the market is closed."""
    # given a call that may end from 16:59:30 on
    day = Call("16:55", **RANDOM)
    drawing(day, 12)
    day.desk.step()
    day.send(buy("A", 1, 101), sell("B", 1, 99), buy("C", 1, 90))

    # when that comes, and its time, then it trades, and nothing more comes in
    assert day.at("16:59:30") == []
    assert (day.phase, day.next_s) == (Phase.CLOSING_AUCTION, 12)
    assert day.at("16:59:42") == ["A TRADE/FILLED", "B TRADE/FILLED"]
    assert day.phase is Phase.CLOSED
    assert day.ask(buy("D", 1, 100)).reason is RejectReason.MARKET_STATE
    day = day.restart()
    assert day.phase is Phase.CLOSED

    # and the close itself finds it so
    assert day.at("17:00") == []
    assert day.at("09:15", 5) == []
    assert day.phase is Phase.OPENING_AUCTION


def test_a_clock_that_jumps_over_the_end_uncrosses_at_once():
    """The session closes: nothing goes on."""
    day = Call("16:55", **RANDOM)
    drawing(day, 30)
    day.desk.step()
    day.send(buy("A", 1, 101), sell("B", 1, 99))
    day.at("16:59:50")
    assert day.phase is Phase.CLOSING_AUCTION
    assert day.at("17:00:10") == ["A TRADE/FILLED", "B TRADE/FILLED"]


def test_a_reopening_call_ends_by_chance_too():
    """A minute, and the five seconds that were drawn."""
    day = Call("12:00", exchange=REOPENS, **RANDOM)
    drawing(day, 5)
    day.operate("H", OperatorAction.SET_TRADING, "HALTED")
    day.operate("R", OperatorAction.SET_TRADING, "ACTIVE")
    day.desk.step()
    day.at("12:01")
    assert (day.phase, day.next_s) == (Phase.REOPENING_AUCTION, 5)
    day.at("12:01:05")
    assert day.phase is Phase.CONTINUOUS


def test_an_operators_call_ends_when_the_operator_says():
    """Nothing is drawn for it."""
    day = Call("12:00", **RANDOM)
    day.operate("P", OperatorAction.SET_PHASE, "OPENING_AUCTION")
    assert day.next_s > 0
    day.operate("Q", OperatorAction.SET_PHASE, "CONTINUOUS")
    assert day.phase is Phase.CONTINUOUS


BAND = replace(X, auction_band_bps=500, market_slippage_bps=0)
EXTENDS = {"auction_extension_ns": MINUTE}


def test_a_call_whose_price_would_leave_the_band_is_extended_once():
    """Five percent of 100: 108 is outside. Another minute, and then it is what it is."""
    # given a price outside
    day = Call(instruments=(BAND,), **EXTENDS)
    day.send(buy("A", 1, 108), sell("B", 1, 108))

    # when the call ends, then it goes on, a restart in between
    assert day.at("09:20") == []
    assert (day.phase, day.next_s) == (Phase.OPENING_AUCTION, 60)
    day = day.restart()
    assert day.at("09:20:59") == []

    # and the second end is the end
    assert day.at("09:21") == ["A TRADE/FILLED", "B TRADE/FILLED"]
    assert day.desk.digest() == day.desk.refolded()


@pytest.mark.parametrize("price", [95, 100, 105])
def test_a_price_inside_the_band_extends_nothing(price):
    """At its edge, too."""
    day = Call(instruments=(BAND,), **EXTENDS)
    day.send(buy("A", 1, price), sell("B", 1, price))
    assert day.at("09:20") == ["A TRADE/FILLED", "B TRADE/FILLED"]


def test_an_extended_closing_call_is_over_by_the_close():
    """By chance 16:58:40 (the latest is 16:59), and a minute more."""
    day = Call("16:55", instruments=(BAND,), **RANDOM, **EXTENDS)
    drawing(day, 10)
    day.desk.step()
    day.send(buy("A", 1, 108), sell("B", 1, 108))
    assert day.at("16:58:30") == []
    assert day.at("16:58:40") == []
    assert (day.phase, day.next_s) == (Phase.CLOSING_AUCTION, 60)
    assert day.at("16:59:40") == ["A TRADE/FILLED", "B TRADE/FILLED"]
    assert day.phase is Phase.CLOSED


def test_a_closing_call_must_be_longer_than_what_may_be_added():
    """Else it would have ended before it began."""
    with pytest.raises(ValidationError, match="closing_auction_s: expected more than"):
        SessionConfig(closing_auction_ns=MINUTE, auction_extension_ns=MINUTE)


def test_rules_number_1_are_obeyed_in_a_replay_alone():
    """An older START line, and the same orders: limit prices, and an account with itself."""
    # given the journal of a day, with its START as an older program wrote it
    day = Call(exchange=PREVENTS)
    day.send(buy("A", 10, 105), sell("B", 10, 95))
    day.at("09:20")
    fold = Fold(EmbeddedVenue())
    reports = []
    for record in day.store.records():
        body = record.body.replace('"rules":3', '"rules":1')
        reports += fold.apply(record._replace(body=body))

    # then it traded, at a limit
    trades = [r for r in reports if r.last_quantity_lots]
    assert [(r.last_price_ticks, r.last_quantity_lots) for r in trades] == [(105, 10), (105, 10)]
    assert isinstance(day.desk, Stepped)
