"""Settlement: an order pays, or gets, what all of it is worth, however it is cut into fills."""

from collections import defaultdict
from dataclasses import replace
from decimal import Decimal
from fractions import Fraction
from math import ceil, floor

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from oms import EmbeddedVenue, OrderRequest
from oms.commands.offline import PostingFold, Statement
from oms.config import ExchangeConfig
from oms.desk.settings import worth_nothing
from oms.enums import OrderType, Scope, TimeInForce
from oms.exchange.accounts import FEE_ACCOUNT, ROUNDING, Ledger, need_of
from oms.exchange.order import Order
from oms.requests import FundsAction, OperatorAction, OperatorRequest
from tests.examples import many
from tests.fakes import INSTRUMENTS, Stepped, config_of
from tests.test_exchange_restarts import BUY, SELL, Floor, listed, stopped

COARSE = {"price_scale": 1, "quantity_scale": 1}
"""A tick times a lot is 0.01 of Q; with quote_scale=0 a hundredth of the smallest amount."""


def coarse(**more):
    return listed(**COARSE, base_scale=1, quote_scale=0, **more)


def quote(floor_, account):
    """All of Q that an account has."""
    return sum(floor_.desk.ledger.accounts[account].get("Q", (0, 0)))


# --- nothing for nothing ---


@pytest.mark.parametrize(
    ("instrument", "quantity", "price", "all_together"),
    [
        (listed(price_scale=2, quantity_scale=5, base_scale=5), "0.00001", "400", 40),
        (listed(price_scale=6, quantity_scale=8, base_scale=8, quote_scale=8), "0.009",
         "0.000001", 90),
    ],
    ids=["two decimals", "the defaults"],
)  # fmt: skip
def test_a_hundred_small_buys_are_not_free(instrument, quantity, price, all_together):
    """Each order is worth less than a unit of Q: each costs one, and its seller gets none."""
    # given a seller of much
    floor_ = Floor(instrument)
    floor_.seller_and_buyer()
    floor_.new("a", "s1", SELL, 1, price)
    before = quote(floor_, "b")

    # when a hundred small orders buy
    for number in range(100):
        floor_.new("b", f"b{number}", BUY, quantity, price)

    # then each has paid a unit; the seller has what all his fills together are worth
    assert before - quote(floor_, "b") == 100
    assert quote(floor_, "a") == all_together
    assert quote(floor_, ROUNDING) == 100 - all_together
    assert floor_.is_sound()


def test_a_hundred_small_fills_of_one_order_cost_what_the_order_is_worth():
    """Buyer rests with 0.001 at 400 and a cent is 0.01: 40 cents, though each fill is 0.4."""
    floor_ = Floor(listed(price_scale=2, quantity_scale=5, base_scale=5))
    floor_.seller_and_buyer()
    before = quote(floor_, "b")
    floor_.new("b", "b1", BUY, "0.001", 400)
    for number in range(100):
        floor_.new("a", f"s{number}", SELL, "0.00001", 400)
    assert before - quote(floor_, "b") == 40
    assert quote(floor_, "a") == 0, "each of these sells is worth less than a cent"
    assert quote(floor_, ROUNDING) == 40
    assert floor_.is_sound()


def test_fees_are_those_of_the_whole_order():
    """Fills of 0.60 each at 1 %: 0.006 after the first, rounded up to a cent; 0.012 after two."""
    floor_ = Floor(listed(price_scale=1, quantity_scale=1, base_scale=1, maker_fee_bps=100))
    floor_.seller_and_buyer()
    floor_.new("b", "b1", BUY, 2, "0.6")
    fees = []
    for number in range(2):
        floor_.new("a", f"s{number}", SELL, 1, "0.6")
        fees.append(quote(floor_, FEE_ACCOUNT))
    assert fees == [1, 2]
    assert floor_.is_sound()


def test_a_rebate_is_cut_toward_zero_by_the_whole_order():
    """Two fills of 0.60 at -1 %: 0.006 is none, 0.012 is one cent."""
    floor_ = Floor(
        listed(price_scale=1, quantity_scale=1, base_scale=1, maker_fee_bps=-100, taker_fee_bps=100)
    )
    floor_.seller_and_buyer()
    floor_.new("b", "b1", BUY, 2, "0.6")
    paid = []
    for number in range(2):
        before = quote(floor_, "b")
        floor_.new("a", f"s{number}", SELL, 1, "0.6")
        paid.append(before - quote(floor_, "b"))
    assert paid == [60, 59]
    assert floor_.is_sound()


def test_a_seller_never_pays_more_than_a_fill_brings():
    """A sell worth half a unit brings nothing: its fee is none, not a unit that is not there."""
    floor_ = Floor(coarse(maker_fee_bps=100, taker_fee_bps=100))
    floor_.fund("a", B=100)
    floor_.fund("b", Q=100)
    floor_.new("b", "b1", BUY, 1, "0.5")
    floor_.new("a", "s1", SELL, 1, "0.5")
    assert floor_.money["a"] == {"B": (990, 0)}
    assert (quote(floor_, FEE_ACCOUNT), quote(floor_, ROUNDING)) == (1, 1)
    assert floor_.is_sound()


# --- splits ---

PRICES, LOTS = st.integers(1, 60), st.integers(1, 40)
RATES = st.sampled_from([(0, 0), (1, 3), (-7, 7), (33, 7), (-100, 250), (1_000, 1_000)])
FILLS = st.lists(
    st.tuples(PRICES, LOTS, st.sampled_from(["MAKER", "TAKER", "AUCTION"])), min_size=1, max_size=12
)


def order_of(number, account, side, price_ticks, lots, rates):
    order = Order(
        number, account, str(number), coarse(), side, OrderType.LIMIT, TimeInForce.GTC,
        price_ticks, lots,
    )  # fmt: skip
    order.fees = rates
    return order


def ledger_of(**has):
    """These accounts have so much of B and Q; the fees have enough for any rebate."""
    ledger = Ledger()
    ledger.settle_whole(1, ())
    for account, (base, amount) in {"fees": (0, 10**9), **has}.items():
        ledger.accounts.setdefault(account, {})
        for asset, units in (("B", base), ("Q", amount)):
            ledger.move(FundsAction.DEPOSIT, account, asset, units, "")
    return ledger


def fill(ledger, order, price_ticks, lots, liquidity):
    order.leaves_lots -= lots
    return ledger.settle(order, price_ticks, lots, liquidity)


def exactly(fills, rates):
    """Worth and fees of these fills, in units, not rounded."""
    maker, taker = rates
    bps = {"MAKER": maker, "TAKER": taker, "AUCTION": max(maker, 0)}
    worth = sum(Fraction(price * lots, 100) for price, lots, _ in fills)
    fees = sum(Fraction(price * lots * bps[how], 10**6) for price, lots, how in fills)
    return worth, fees


@given(FILLS, RATES, st.integers(0, 5))
def test_what_is_reserved_suffices_however_a_buy_is_filled(fills, rates, more):
    """The buyer has what the order reserves and not a unit more; what is left is the need."""
    # given
    limit = max(price for price, _, _ in fills)
    lots = sum(lots for _, lots, _ in fills) + more
    order = order_of(1, "b", BUY, limit, lots, rates)
    ledger = ledger_of(b=(0, need_of(order, limit, lots)))
    assert ledger.reserve(order, need_of(order, limit, lots)) == ""

    # when
    for number, each in enumerate(fills, 1):
        fill(ledger, order, *each)

        # then
        assert min(ledger.accounts["b"]["Q"]) >= 0
        need = need_of(order, limit, order.leaves_lots) if order.leaves_lots else 0
        assert order.reserved == ledger.accounts["b"]["Q"][1] == need
        worth, fees = exactly(fills[:number], rates)
        paid = ledger.paid_in["Q"] - 10**9 - sum(ledger.accounts["b"]["Q"])
        assert paid == ceil(worth) + ceil(fees)


@given(FILLS, RATES)
def test_a_seller_gets_what_all_is_worth_rounded_down(fills, rates):
    """And has no less than before after any fill; fees that a fill cannot bear come later."""
    lots = sum(lots for _, lots, _ in fills)
    order = order_of(1, "a", SELL, 1, lots, rates)
    ledger = ledger_of(a=(lots, 0))
    ledger.reserve(order, lots)
    has = 0
    for number, each in enumerate(fills, 1):
        fill(ledger, order, *each)
        before, has = has, sum(ledger.accounts["a"]["Q"])
        worth, fees = exactly(fills[:number], rates)
        assert before <= has <= worth - fees
        assert floor(worth) - ceil(fees) <= has <= floor(worth) - ceil(fees) + 1


@given(FILLS, RATES, st.data())
def test_no_way_of_splitting_is_cheaper(fills, rates, data):
    """The same fills in one order or in several: buyers pay, sellers get, no better by it."""
    cuts = data.draw(st.lists(st.booleans(), min_size=len(fills), max_size=len(fills)))
    orders = defaultdict(list)
    for each, cut in zip(fills, cuts, strict=True):
        orders[len(orders) + 1 if cut or not orders else len(orders)].append(each)
    lots = sum(lots for _, lots, _ in fills)
    ledger = ledger_of(a=(lots, 0), b=(0, 10**6))
    for number, part in orders.items():
        wanted = sum(lots for _, lots, _ in part)
        buy = order_of(2 * number, "b", BUY, 60, wanted, rates)
        sell = order_of(2 * number + 1, "a", SELL, 1, wanted, rates)
        for order in (buy, sell):
            assert ledger.reserve(order, need_of(order, order.price_ticks, wanted)) == ""
        for each in part:
            fill(ledger, buy, *each)
            fill(ledger, sell, *each)
            assert min(ledger.accounts[ROUNDING].get("Q", (0, 0))) >= 0
    worth, fees = exactly(fills, rates)
    assert 10**6 - sum(ledger.accounts["b"]["Q"]) >= ceil(worth) + ceil(fees)
    assert sum(ledger.accounts["a"]["Q"]) <= worth - fees
    assert ledger.total("Q") == ledger.paid_in["Q"]


# --- the account that takes what is rounded ---


def test_what_open_orders_may_need_stays_in_rounding():
    """A buy that has paid 1 for 0.5 is owed the other half with its next fill."""
    floor_ = Floor(coarse())
    floor_.fund("a", B=100)
    floor_.fund("b", Q=100)
    floor_.new("b", "b1", BUY, 2, "0.5")
    floor_.new("a", "s1", SELL, 1, "0.5")
    assert quote(floor_, ROUNDING) == 1
    take = {"account": ROUNDING, "action": FundsAction.WITHDRAW, "asset": "Q", "amount": 1}
    refused = floor_.funds(**take)
    assert refused.text.startswith("FUNDS_INSUFFICIENT: asset=Q, needed=1, available=0")

    # and once the order is over it is the exchange's
    floor_.mass_cancel("b")
    assert floor_.funds(**take).type == "COMMAND_DONE"
    assert floor_.is_sound()


def test_nobody_trades_from_the_exchange_s_own_accounts():
    floor_ = Floor(coarse())
    floor_.funds(ROUNDING, FundsAction.DEPOSIT, asset="Q", amount=10)
    assert floor_.new(ROUNDING, "r1", BUY, 1, 1).text.startswith("ACCOUNT_UNKNOWN: account=round")
    assert floor_.funds(ROUNDING, FundsAction.CREATE).text.startswith("ACCOUNT_EXISTS")


def test_every_movement_is_in_the_record_twice():
    """What `ledger` prints: rounding has its own postings, and all of them give the balances."""
    floor_ = Floor(coarse(maker_fee_bps=50, taker_fee_bps=50))
    floor_.fund("a", B=100)
    floor_.fund("b", Q=100)
    floor_.new("b", "b1", BUY, 3, "0.7")
    for number in range(2):
        floor_.new("a", f"s{number}", SELL, "1.1", "0.7")
    trade = floor_.deal(price="1.3", lots="0.9")
    assert floor_.bust(trade).type == "COMMAND_DONE"
    fold = PostingFold(EmbeddedVenue())
    statement = Statement(fold.desk.ledger)
    for _ in fold.recover(floor_.store, use_snapshot=False):
        for posting in fold.desk.ledger.postings:
            statement.add(posting, ROUNDING)
        fold.desk.ledger.postings = []
    statement.ledger = fold.desk.ledger
    assert list(statement.mistakes()) == []
    assert statement.sums["trades", "Q"] == statement.sums["trades", "B"] == 0
    assert sum(each.amount for each in statement.postings) == quote(floor_, ROUNDING) > 0


# --- trade busts ---


@pytest.mark.parametrize("over", [False, True], ids=["open", "over"])
def test_a_bust_gives_back_what_the_other_fills_do_not_need(over):
    """Fills of 0.4 each, the first cost 1: taken back first it gives nothing, taken back last 1."""
    # given a buy with two of them, which may be over
    floor_ = Floor(coarse())
    floor_.fund("a", B=100)
    floor_.fund("b", Q=100)
    floor_.new("b", "b1", BUY, 4, "0.4")
    trades = []
    for number in range(2):
        told = floor_.told(OrderRequest.new("a", f"s{number}", "X", SELL, 1, "0.4"))
        trades += [each.execution_id for each in told if each.side == "BUY"]
    if over:
        floor_.mass_cancel("b")
    assert quote(floor_, "b") == 99

    # when they are taken back, one by one
    left = []
    for trade in trades:
        assert floor_.bust(trade).type == "COMMAND_DONE"
        assert floor_.is_sound()
        left.append((quote(floor_, "b"), quote(floor_, ROUNDING)))

    # then
    assert left == [(99, 1), (100, 0)]


ACTIONS = st.lists(
    st.one_of(
        st.tuples(
            st.sampled_from("ab"), st.sampled_from([BUY, SELL]), st.integers(1, 9),
            st.sampled_from([3, 5, 7]), st.sampled_from([True, False]),
        ),
        st.integers(0, 99),  # which trade is taken back
    ),
    min_size=5, max_size=40,
)  # fmt: skip


def standing(reports):
    """By order: side, the fills that were not taken back, and what is paid of fees."""
    orders, busted = {}, set()
    for each in reports:
        _, fills, fees = orders.setdefault(each.order_id, (each.side, {}, [0]))
        if each.type == "TRADE":
            fills[each.execution_id] = (
                each.last_price_ticks, each.last_quantity_lots, each.liquidity,
            )  # fmt: skip
        elif each.type == "TRADE_BUSTED":
            busted.add(each.text.partition("trade=")[2].partition(",")[0])
        if each.type in ("TRADE", "TRADE_BUSTED"):
            fees[0] += each.fee_units
    return {
        number: (side, [f for name, f in fills.items() if name not in busted], fees[0])
        for number, (side, fills, fees) in orders.items()
        if fills
    }


@given(ACTIONS, st.sampled_from([(0, 0), (-40, 90), (170, 30)]))
@hypothesis_settings(max_examples=many(60))
def test_a_bust_settles_both_orders_anew_without_the_trade(actions, rates):
    """Whatever is taken back, in whatever order: each order has paid what it is now worth."""
    instrument = coarse(maker_fee_bps=rates[0], taker_fee_bps=rates[1])
    floor_ = Floor(instrument)
    for account in "ab":
        floor_.fund(account, B=10_000, Q=10_000)
    floor_.funds(FEE_ACCOUNT, FundsAction.DEPOSIT, asset="Q", amount=1_000)
    told, trades, before = [], [], floor_.money
    listener = told.append
    floor_.oms.add_listener(listener)
    for number, action in enumerate(actions):
        if isinstance(action, int):
            if trades:
                floor_.bust(trades.pop(action % len(trades)))
        else:
            account, side, lots, price, change = action
            floor_.new(account, f"o{number}", side, f"0.{lots}", f"0.{price}")
            if change:
                floor_.mass_cancel(account)  # some orders are over when a trade is taken back
        trades += [
            each.execution_id
            for each in told
            if each.type == "TRADE" and each.side == "BUY" and each.execution_id not in trades
            and not any(f"trade={each.execution_id}," in f"{other.text}," for other in told)
        ]  # fmt: skip
        _is_settled(floor_, told, rates)

    # and when all are taken back, and all orders are over, everybody has what he had
    for trade in trades:
        assert floor_.bust(trade).type == "COMMAND_DONE"
    for account in "ab":
        floor_.mass_cancel(account)
    assert {name: has for name, has in floor_.money.items() if has} == {
        name: has for name, has in before.items() if has
    }
    assert floor_.is_sound()


def _is_settled(floor_, told, rates):
    """By the reports alone."""
    has = {"a": 10_000, "b": 10_000, FEE_ACCOUNT: 1_000, ROUNDING: 0}
    accounts = {each.order_id: each.account for each in told}
    for number, (side, fills, paid_fees) in standing(told).items():
        worth, fees = exactly(fills, rates)
        moved = ceil(worth) if side == "BUY" else -floor(worth)
        assert fees - 1 < paid_fees < fees + 1
        assert paid_fees >= fees or side == "SELL"
        has[accounts[number]] -= moved + paid_fees
        has[FEE_ACCOUNT] += paid_fees
        has[ROUNDING] += moved
    assert {name: quote(floor_, name) for name in has} == has


def test_a_bust_knows_the_fees_of_an_order_that_is_over():
    """1 % then, 10 % since: of two fills with fees of 0.6 each, one is taken back."""
    # given an order that paid 2 of fees for 1.2, and its account has another tier now
    fees = {("X", "then"): (100, 100), ("X", "since"): (1_000, 1_000)}
    floor_ = Floor(coarse(), fees=fees)
    floor_.fund("a", B=100)
    floor_.fund("b", Q=1_000)
    account = {"scope": Scope.ACCOUNT, "target": "b", "name": "tier"}
    floor_.operate(OperatorAction.SET_ACCOUNT, value="then", **account)
    floor_.new("b", "b1", BUY, 12, 10)
    told = floor_.told(OrderRequest.new("a", "s1", "X", SELL, 6, 10))
    trade = next(each.execution_id for each in told if each.type == "TRADE")
    floor_.new("a", "s2", SELL, 6, 10)
    assert quote(floor_, FEE_ACCOUNT) == 2
    floor_.operate(OperatorAction.SET_ACCOUNT, value="since", **account)
    floor_.new("b", "b2", BUY, 1, 10)

    # when it is taken back, also after a restart
    again = Floor(*floor_.desk.instruments.values(), store=stopped(floor_), fees=fees)
    told = again.told(
        OperatorRequest(client_order_id="bust", action=OperatorAction.BUST, name=trade)
    )

    # then 0.6 is still owed, and paid: 1
    assert quote(again, FEE_ACCOUNT) == 1
    assert [(each.account, each.fee_units) for each in told[:2]] == [("a", 0), ("b", -1)]
    assert again.is_sound()


def test_a_trade_is_busted_whose_number_begins_like_another_s():
    """Trade 9-2 is not taken back because 9-20 was."""
    floor_ = Floor(listed())
    floor_.seller_and_buyer()
    for number in range(12):
        floor_.new("a", f"s{number}", SELL, 1, 100)
    told = floor_.told(OrderRequest.new("b", "b1", "X", BUY, 12, 100))
    trades = [each.execution_id for each in told if each.type == "TRADE" and each.side == "BUY"]
    first = next(each for each in trades if any(other.startswith(each) for other in trades[1:]))
    longer = next(each for each in trades if each != first and each.startswith(first))
    assert floor_.bust(longer).type == "COMMAND_DONE"
    assert floor_.bust(first).type == "COMMAND_DONE"


# --- from rules number 1 to number 2 ---


def older_exchange(monkeypatch, **terms):
    """An exchange as it was before orders were settled as a whole."""
    monkeypatch.setattr("oms.desk.settings.RULES", 1)
    floor_ = Floor(coarse(**terms))
    monkeypatch.undo()
    for account in "ab":
        floor_.fund(account, B=100, Q=100)
    return floor_


def test_an_order_that_was_partly_filled_before_goes_on_by_the_new_rule(monkeypatch):
    """What it paid by the old rule stands; its fills from now on are settled together."""
    # given a buy whose first half was free, as it was then
    old = older_exchange(monkeypatch)
    old.new("b", "b1", BUY, 4, "0.5")
    old.new("a", "s1", SELL, 1, "0.5")
    assert quote(old, "b") == 100 and ROUNDING not in old.money
    assert old.is_sound()

    # when a later version fills the rest, one by one
    floor_ = Floor(coarse(), store=stopped(old))
    paid = []
    for number in range(3):
        floor_.new("a", f"n{number}", SELL, 1, "0.5")
        paid.append(100 - quote(floor_, "b"))

    # then
    assert paid == [1, 1, 2]
    assert quote(floor_, ROUNDING) == 2
    assert floor_.is_sound()


def test_a_trade_of_before_is_busted_as_it_was_settled(monkeypatch):
    """Its side of an order that went on by the new rule, too."""
    old = older_exchange(monkeypatch, taker_fee_bps=1_000)
    old.new("b", "b1", BUY, 4, "1.5")
    told = old.told(OrderRequest.new("a", "s1", "X", SELL, 1, "1.5"))
    trade = next(each.execution_id for each in told if each.type == "TRADE")
    assert quote(old, "b") == 99
    floor_ = Floor(coarse(taker_fee_bps=1_000), store=stopped(old))
    floor_.new("a", "n1", SELL, 1, "1.5")
    assert quote(floor_, "b") == 97
    assert floor_.bust(trade).type == "COMMAND_DONE"
    assert quote(floor_, "b") == 98
    assert floor_.is_sound()
    again = Floor(coarse(taker_fee_bps=1_000), store=stopped(floor_))
    again.new("a", "n2", SELL, 1, "1.5")
    assert quote(again, "b") == 97, "3.0 of 1.5 and 1.5"
    assert again.is_sound()


def test_an_account_called_rounding_keeps_what_it_has(monkeypatch):
    """Somebody's account had that name: his money can be moved, but he trades no more."""
    old = older_exchange(monkeypatch)
    old.fund(ROUNDING, Q=50)
    assert old.new(ROUNDING, "r1", BUY, 1, 1).type == "NEW"
    floor_ = Floor(coarse(), store=stopped(old))
    floor_.mass_cancel(ROUNDING)
    assert floor_.new(ROUNDING, "r2", BUY, 1, 1).text.startswith("ACCOUNT_UNKNOWN")
    moved = floor_.funds(ROUNDING, FundsAction.TRANSFER, asset="Q", amount=50, to_account="a")
    assert moved.type == "COMMAND_DONE"
    assert floor_.is_sound()


# --- the warning ---


def test_a_start_names_what_can_be_worth_less_than_money_counts(caplog):
    """Given three instruments with a ledger, one is named, and how to cure it."""
    fine = replace(coarse(), symbol="FINE", quantity_scale=0, price_scale=0)
    bounded = replace(coarse(), symbol="BOUNDED")
    Stepped(
        config_of(
            exchange=ExchangeConfig(ledger=True), instruments=(coarse(), fine, bounded),
            limits={"BOUNDED": {"notional_min": "1"}},
        )
    ).start()  # fmt: skip
    warnings = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
    assert len(warnings) == 1
    assert warnings[0].startswith("[instrument X]: 0.1 B at 0.1 Q is worth less than 1 Q")
    assert "set notional_min = 1 or" in warnings[0]


@pytest.mark.parametrize(
    ("least", "warned"), [((0, 0), True), ((9, 0), True), ((100, 0), False), ((0, 1), False)]
)
def test_limits_cure_it(least, warned):
    """A hundred lots at a tick are one unit."""
    assert bool(worth_nothing(coarse(), least)) == warned


@pytest.mark.parametrize(
    ("action", "target", "name", "value", "settings"),
    [
        (OperatorAction.LIST, "NEW", "", "", {
            "price_scale": "1", "quantity_scale": "1", "base": "B", "quote": "Q",
        }),
        (OperatorAction.SET_MARKET, "FINE", "", "", {"tick_size": "0.1"}),
        (OperatorAction.SET_LIMIT, "BOUNDED", "notional_min", "0", None),
    ],
)  # fmt: skip
def test_an_operator_who_makes_it_so_is_warned_in_the_answer(
    caplog, action, target, name, value, settings
):
    """In the words of a start, and in the log; and a replay answers the same."""
    # given instruments of which each order is worth something
    fine = replace(coarse(), symbol="FINE", tick_size=100)
    bounded = replace(coarse(), symbol="BOUNDED")
    floor_ = Floor(fine, bounded, limits={"BOUNDED": {"notional_min": "1"}})
    caplog.clear()

    # when one is listed that is not, or loses what made it so
    said = {"scope": Scope.SYMBOL, "target": target, "name": name, "value": value}
    answer = floor_.operate(action, **said, settings=settings)

    # then who did it is told
    warning = f"[instrument {target}]: 0.1 B at 0.1 Q is worth less than 1 Q"
    assert answer.type == "COMMAND_DONE"
    assert f", warning={warning}" in answer.text
    assert [r.getMessage()[:20] for r in caplog.records if r.levelname == "WARNING"] == [
        warning[:20]
    ]
    assert floor_.is_sound()

    # and not told again of what has nothing to do with it
    fees = floor_.operate(
        OperatorAction.SET_MARKET, scope=Scope.SYMBOL, target=target,
        settings={"taker_fee_bps": "1"},
    )  # fmt: skip
    assert "warning" not in fees.text


def test_without_a_ledger_nobody_is_warned(caplog):
    Stepped(config_of(instruments=INSTRUMENTS)).start()
    assert not [record for record in caplog.records if record.levelname == "WARNING"]


# --- corrections ---


def tenths(number):
    """A coarse price, or quantity, of so many ticks or lots."""
    return Decimal(number) / 10


TRADES = st.lists(st.tuples(st.integers(1, 60), st.integers(1, 12)), min_size=1, max_size=6)
CHANGES = st.lists(st.tuples(st.integers(0, 5), st.integers(1, 60), st.integers(0, 12)), max_size=6)


@hypothesis_settings(max_examples=many(40))
@given(TRADES, CHANGES, st.booleans())
def test_an_order_whose_trades_are_corrected_has_paid_what_they_are_worth_now(made, changes, over):
    """As if each trade had been so from the start; no lots: it is busted. Open, or over."""
    # given a buy that several sells met, each at the price of its own
    floor_ = Floor(coarse(maker_fee_bps=33, taker_fee_bps=33))
    floor_.fund("a", B=1_000)
    floor_.fund("b", Q=100_000)
    lots = sum(lots for _, lots in made)
    stands = {}
    buy = "b0"
    for number, (price, count) in enumerate(made):
        if number == 0:
            floor_.new("b", buy, BUY, tenths(lots), tenths(price))
        else:
            request = OrderRequest.modify("b", f"m{number}", buy, price=tenths(price))
            floor_.told(request)
            buy = f"m{number}"
        told = floor_.told(
            OrderRequest.new("a", f"s{number}", "X", SELL, tenths(count), tenths(price))
        )
        trade = next(each.execution_id for each in told if each.side == "BUY")
        stands[trade] = (price, count, count)
    if over:
        floor_.mass_cancel("b")

    # when
    for pick, price, count in changes:
        trade = sorted(stands)[pick % len(stands)]
        _, had, most = stands[trade]
        if not had:
            continue
        if count:
            answer = floor_.operate(
                OperatorAction.CORRECT, name=trade,
                settings={"price": str(tenths(price)), "quantity": str(tenths(count))},
            )  # fmt: skip
        else:
            answer = floor_.bust(trade)
        if answer.type == "COMMAND_DONE":
            stands[trade] = (price, count, most)

        # then
        worth = sum(Fraction(price * count, 100) for price, count, _ in stands.values())
        assert 100_000 - quote(floor_, "b") == ceil(worth) + ceil(worth * 33 / 10_000)
        assert floor_.is_sound()
