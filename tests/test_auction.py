"""The auction: one price for everybody, chosen by rules that leave nothing to chance."""

from typing import NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from oms.enums import SelfTrade
from oms.exchange.auction import Equilibrium, meet, uncross
from oms.exchange.auction import equilibrium as equilibrium_on_grid
from tests.examples import many


class Waiting(NamedTuple):
    """All that an uncross reads of an order."""

    order_id: int
    leaves_lots: int
    account: str = ""
    entered: int = 0


def equilibrium(bids, asks, reference, tick=1):
    return equilibrium_on_grid(bids, asks, reference, (lambda _: tick) if tick else None)


def orders(*in_line, price=100):
    """Orders of these (id, open lots) at one price, in priority order."""
    return [(price, Waiting(*each)) for each in in_line]


def anybody(_buyer, _seller):
    return SelfTrade.NONE


def paired(bids, asks):
    """Who trades with whom, by their ids."""
    fills, taken_out = meet(bids, asks, anybody)
    assert taken_out == {}
    return [(buyer.order_id, seller.order_id, lots) for buyer, seller, lots in fills]


def test_the_price_is_where_most_trades():
    """4 lots at 100, all 10 at 101, 5 at 102."""
    # given two buyers and two sellers whose limits cross
    bids, asks = [(102, 5), (101, 5)], [(100, 4), (101, 6)]

    # when the price is sought, last trade at 102
    found = equilibrium(bids, asks, 102)

    # then it is 101, whatever the last trade was, and nobody is left over
    assert found == Equilibrium(price_ticks=101, volume_lots=10, surplus_lots=0)


def test_of_equal_volume_the_smallest_surplus_wins():
    """10 lots trade at any price; at some of them nobody is left over."""
    # given a second buyer who leaves above 101; then a second seller who comes at 102
    more_buyers = [(103, 10), (101, 5)], [(100, 10)]
    more_sellers = [(103, 10)], [(100, 10), (102, 4)]

    # then the price is where these do not take part, and of such the nearest to the reference
    assert equilibrium(*more_buyers, 100) == (102, 10, 0)
    assert equilibrium(*more_sellers, 103) == (101, 10, 0)


def test_buyers_left_over_press_the_price_up():
    """At 100 and at 102 alike 10 trade and 5 are left."""
    assert equilibrium([(102, 15)], [(100, 10)], 100) == (102, 10, 5)


def test_sellers_left_over_press_the_price_down():
    """The same with the sides exchanged."""
    assert equilibrium([(102, 10)], [(100, 15)], 102) == (100, 10, -5)


REFERENCES_AND_PRICES = [(1, 100), (100, 100), (101, 101), (103, 103), (104, 104), (200, 104)]


@pytest.mark.parametrize(("reference", "price"), REFERENCES_AND_PRICES)
def test_without_pressure_the_nearest_to_the_reference_wins(reference, price):
    """Nobody is left over from 100 to 104; the reference itself, if it lies between."""
    assert equilibrium([(104, 10)], [(100, 10)], reference) == (price, 10, 0)


def test_the_price_may_be_one_that_no_order_names():
    """A buy at 105 and a sell at 95 trade at the reference, to nobody's advantage."""
    assert equilibrium([(105, 10)], [(95, 10)], 100) == (100, 10, 0)


def test_a_price_between_the_limits_may_leave_nobody_over():
    """At 100 five buyers are left over, at 102 five sellers, at 101 neither take part."""
    # given such a book
    bids, asks = [(102, 10), (100, 5)], [(100, 10), (102, 5)]

    # then the price is 101, whatever the reference
    for reference in (0, 1, 100, 102, 500):
        assert equilibrium(bids, asks, reference) == (101, 10, 0)


def test_pressure_from_both_sides_is_none():
    """On a grid of 2 there is no 101; buyers are left over at 100, sellers at 102."""
    # given such a book
    bids, asks = [(102, 10), (100, 5)], [(100, 10), (102, 5)]

    # then the nearer of the two wins, with its own surplus; of two equally near, the higher
    assert equilibrium(bids, asks, 99, tick=2) == (100, 10, 5)
    assert equilibrium(bids, asks, 103, tick=2) == (102, 10, -5)
    assert equilibrium(bids, asks, 101, tick=2) == (102, 10, -5)


def test_a_reference_off_the_grid_gives_the_nearest_price_on_it():
    """The grid was another when it traded; of two equally near, the higher."""
    wide = [(110, 10)], [(90, 10)]
    assert [equilibrium(*wide, at, tick=5)[0] for at in (101, 102, 103)] == [100, 100, 105]
    assert [equilibrium(*wide, at, tick=2)[0] for at in (99, 101, 109)] == [100, 102, 110]


def test_limits_older_than_the_grid_still_meet():
    """Both say 101, and prices go by 5 now: left alone, they would stay crossed."""
    assert equilibrium([(101, 10)], [(101, 10)], 100, tick=5) == (101, 10, 0)


def test_rules_number_1_knew_limit_prices_only():
    """Tick 0: what a replay of older entries must give."""
    assert equilibrium([(105, 10)], [(95, 10)], 101, tick=0) == (105, 10, 0)
    assert equilibrium([(102, 10), (100, 5)], [(100, 10), (102, 5)], 102, tick=0) == (102, 10, -5)


def test_the_grid_may_have_steps_by_price():
    """From 100 on the step is 10: of the prices between 95 and 130, the nearest to a reference."""

    def step_at(price):
        return 10 if price >= 100 else 1

    wide = [(130, 10)], [(95, 10)]
    for reference, expected in ((97, 97), (99, 99), (104, 100), (105, 110), (127, 130)):
        assert equilibrium_on_grid(*wide, reference, step_at) == (expected, 10, 0)


def test_the_worked_example_of_marketgrid():
    """The book and its price as MarketGrid's manual has them ("Single-Price Auction"): 290 lots
    trade at 12400, and nowhere more."""
    bids = zip(range(13_000, 12_100, -100), (45, 95, 25, 35, 25, 55, 200, 80, 60), strict=True)
    asks = zip(range(13_100, 12_100, -100), (35, 50, 10, 15, 10, 20, 90, 155, 125, 10), strict=True)
    found = equilibrium(list(bids), list(asks), 0, tick=100)
    assert (found.price_ticks, found.volume_lots) == (12_400, 290)


def test_a_range_of_a_billion_ticks_is_no_more_work_than_a_small_one():
    """Nothing changes between two limits, so what lies between is one step."""
    assert equilibrium([(10**12, 10)], [(1, 10)], 123_456_789) == (123_456_789, 10, 0)


def test_without_a_reference_the_highest_wins():
    """Nothing was traded yet, and the instrument names no price."""
    assert equilibrium([(104, 10)], [(100, 10)], 0) == (104, 10, 0)


@pytest.mark.parametrize(
    ("bids", "asks"),
    [([], []), ([(100, 5)], []), ([], [(100, 5)]), ([(99, 5), (98, 1)], [(100, 5), (101, 1)])],
)
def test_no_price_where_nothing_crosses(bids, asks):
    """An empty book, one side alone, a spread."""
    assert equilibrium(bids, asks, 100) is None


def test_the_first_in_line_trade_with_each_other():
    """13 lots, of buyers who want 20."""
    # given both sides in priority order
    bids, asks = orders((1, 5), (2, 5), (3, 10)), orders((11, 8), (12, 4), (13, 1))

    # when they meet
    fills = paired(bids, asks)

    # then the first are served whole, and the last get nothing
    assert fills == [(1, 11, 5), (2, 11, 3), (2, 12, 2), (3, 12, 2), (3, 13, 1)]


def test_orders_are_read_no_further_than_limits_cross():
    """A deep book is not walked for what cannot trade."""
    bids = iter([*orders((1, 5), price=102), *orders((2, 5), (3, 5), price=99)])
    asks = iter([*orders((11, 9), price=101), *orders((12, 9), price=103)])
    assert paired(bids, asks) == [(1, 11, 5)]
    assert (next(bids)[1].order_id, next(asks)[1].order_id) == (3, 12)


def test_a_hundred_thousand_prices_are_walked_once():
    """Trying each price against each order would be ten billion steps."""
    # given as many buyers, and sellers, each one tick above the last
    count = 100_000
    prices = range(1, count + 1)

    # when all of them meet
    found = equilibrium([(p, 1) for p in prices], [(p, 1) for p in reversed(prices)], 1)

    # then they meet in the middle: 50,000 sellers at or below it, 50,001 buyers at or above
    assert found == (50_000, 50_000, 1)
    line = [(p, Waiting(p, 1)) for p in prices]
    assert len(paired(reversed(line), line)) == count // 2


def naive_equilibrium(bids, asks, reference, tick):
    """The rules, word by word: each tick of the range against each order."""
    limits = [price for price, _ in bids + asks]
    tried = []
    for price in range(min(limits, default=1), max(limits, default=0) + 1):
        if price % tick and price not in limits:
            continue
        demand = sum(lots for limit, lots in bids if limit >= price)
        supply = sum(lots for limit, lots in asks if limit <= price)
        tried.append((price, min(demand, supply), demand - supply))
    most = max((volume for _, volume, _ in tried), default=0)
    if most == 0:
        return None
    tried = [each for each in tried if each[1] == most]
    least = min(abs(surplus) for _, _, surplus in tried)
    tried = [each for each in tried if abs(each[2]) == least]
    if all(surplus > 0 for _, _, surplus in tried):
        return tried[-1]
    if all(surplus < 0 for _, _, surplus in tried):
        return tried[0]
    if reference == 0:
        return tried[-1]
    distance = min(abs(price - reference) for price, _, _ in tried)
    return [each for each in tried if abs(each[0] - reference) == distance][-1]


# Few prices and small lots, so that orders cross and surpluses are often equal.
ORDERS = st.lists(st.tuples(st.integers(90, 110), st.integers(1, 4)), max_size=12)
REFERENCES = st.just(0) | st.integers(85, 115)
TICKS = st.sampled_from([1, 1, 2, 3, 5, 7])


@settings(max_examples=many(2_000))
@given(bids=ORDERS, asks=ORDERS, reference=REFERENCES, tick=TICKS)
def test_every_book_has_the_price_of_the_rules(bids, asks, reference, tick):
    """Given as iterators, too: each side is read once."""
    expected = naive_equilibrium(bids, asks, reference, tick)
    assert equilibrium(bids, asks, reference, tick) == expected
    assert equilibrium(reversed(bids), iter(sorted(asks)), reference, tick) == expected


@settings(max_examples=many(500))
@given(bids=ORDERS, asks=ORDERS, reference=REFERENCES, tick=TICKS)
def test_everybody_trades_within_limit_size_and_turn(bids, asks, reference, tick):
    """Both sides trade the volume, the first in line first, nobody beyond the own limit."""
    # given a book; ids tell the age: buyers from 0 on, sellers from 100
    buyers = sorted(enumerate(bids), key=lambda order: -order[1][0])
    sellers = sorted(enumerate(asks, 100), key=lambda order: order[1][0])
    sides = [[(limit, Waiting(id, lots)) for id, (limit, lots) in s] for s in (buyers, sellers)]

    # when it is uncrossed
    found, fills, _ = uncross(*sides, reference, lambda _: tick, anybody)
    assert found == equilibrium(bids, asks, reference, tick)
    if found is None:
        assert fills == []
        return
    price, volume, surplus = found
    fills = [(buyer.order_id, seller.order_id, lots) for buyer, seller, lots in fills]

    # then each side is served in turn, and one of them as far as the price allows
    assert all(lots > 0 for _, _, lots in fills)
    assert traded(fills, 0) == served(in_line(buyers), volume)
    assert traded(fills, 1) == served(in_line(sellers), volume)
    limits = {order_id: limit for order_id, (limit, _) in buyers + sellers}
    assert all(limits[buyer] >= price >= limits[seller] for buyer, seller, _ in fills)
    willing_to_buy = sum(lots for limit, lots in bids if limit >= price)
    willing_to_sell = sum(lots for limit, lots in asks if limit <= price)
    assert willing_to_buy - willing_to_sell == surplus
    assert volume == min(willing_to_buy, willing_to_sell)


def in_line(orders):
    """(order id, lots) of orders in priority order."""
    return [(order_id, lots) for order_id, (_, lots) in orders]


def traded(fills, side):
    """Lots by order id, in the order of the first fill."""
    total = {}
    for fill in fills:
        total[fill[side]] = total.get(fill[side], 0) + fill[2]
    return list(total.items())


def served(line, volume):
    """What each one in line gets: one lot after the other."""
    lots = [order_id for order_id, lots in line for _ in range(lots)][:volume]
    assert len(lots) == volume
    return [(order_id, lots.count(order_id)) for order_id in dict.fromkeys(lots)]


# --- accounts that would trade with themselves ---

MODES = st.sampled_from(list(SelfTrade))
ENTRIES = st.lists(
    st.tuples(
        st.booleans(), st.integers(97, 103), st.integers(1, 4), st.sampled_from("abc")
    ),
    max_size=12,
)  # fmt: skip


def sides_of(entries):
    """Both sides in priority order; (buys, limit, lots, account) in the order of entry."""
    made = [
        (buys, limit, Waiting(number, lots, account, number))
        for number, (buys, limit, lots, account) in enumerate(entries, 1)
    ]
    bids = sorted(((limit, o) for buys, limit, o in made if buys), key=lambda each: -each[0])
    asks = sorted(((limit, o) for buys, limit, o in made if not buys), key=lambda each: each[0])
    return bids, asks


def keeping_apart(mode):
    return lambda buyer, seller: mode if buyer.account == seller.account else SelfTrade.NONE


def one_by_one(bids, asks, reference, mode):
    """The rule, meeting by meeting: find the price, take the first own pair apart, begin anew."""
    gone = {}
    while True:
        now = [but(bids, gone), but(asks, gone)]
        prices = [[(price, order.leaves_lots) for price, order in side] for side in now]
        found = naive_equilibrium(*prices, reference, 1)
        lots = [[order for _, order in side for _ in range(order.leaves_lots)] for side in now]
        pairs = list(zip(*(line[: found[1] if found else 0] for line in lots), strict=True))
        own = [at for at, (buyer, seller) in enumerate(pairs) if buyer.account == seller.account]
        if mode is SelfTrade.NONE or not own:
            return found, [(buyer.order_id, seller.order_id) for buyer, seller in pairs], gone
        for order_id, taken in taken_by(mode, *(line[own[0] :] for line in lots)):
            gone[order_id] = gone.get(order_id, 0) + taken


def but(side, gone):
    """A side without what is gone."""
    left = [(p, o._replace(leaves_lots=o.leaves_lots - gone.get(o.order_id, 0))) for p, o in side]
    return [(price, order) for price, order in left if order.leaves_lots]


def taken_by(mode, buys, sells):
    """What a mode takes off the first two of these lots, and how many of each are left there."""
    old, new = sorted((line[0].order_id, line.count(line[0])) for line in (buys, sells))
    if mode is SelfTrade.DECREMENT:
        return [(order_id, min(old[1], new[1])) for order_id in (old[0], new[0])]
    return {SelfTrade.CANCEL_NEWEST: [new], SelfTrade.CANCEL_OLDEST: [old]}.get(mode, [old, new])


@settings(max_examples=many(1_500))
@given(entries=ENTRIES, reference=st.integers(95, 105), mode=MODES)
def test_nobody_trades_with_himself_and_the_price_is_found_without(entries, reference, mode):
    """One walk gives what taking pair after pair apart gives, each time with a new price."""
    bids, asks = sides_of(entries)
    found, fills, taken_out = uncross(bids, asks, reference, lambda _: 1, keeping_apart(mode))
    expected, pairs, gone = one_by_one(bids, asks, reference, mode)
    assert found == expected
    assert [(b.order_id, s.order_id) for b, s, lots in fills for _ in range(lots)] == pairs
    assert {order_id: lots for order_id, (_, lots) in taken_out.items()} == gone
    assert list(taken_out) == list(gone)  # in priority order, too


def test_a_hundred_thousand_orders_of_one_account_are_walked_once():
    """Beginning anew after each would be billions of steps."""
    entries = [(number % 2 == 0, 100, 1, "a") for number in range(100_000)]
    bids, asks = sides_of(entries)
    for mode in SelfTrade:
        found, fills, taken_out = uncross(bids, asks, 100, lambda _: 1, keeping_apart(mode))
        assert (found is None) == (fills == []) == (mode is not SelfTrade.NONE)
        assert len(taken_out) >= 50_000 or mode is SelfTrade.NONE
