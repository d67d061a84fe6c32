"""The auction: one price for everybody, chosen by rules that leave nothing to chance."""

from typing import NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from oms.exchange.auction import Equilibrium, equilibrium, pair


class Waiting(NamedTuple):
    """All that pairing reads of an order."""

    order_id: int
    leaves_lots: int


def orders(*in_line):
    """Orders of these (id, open lots), in priority order."""
    return [Waiting(*each) for each in in_line]


def paired(bids, asks, volume):
    """Who trades with whom, by their ids."""
    fills = pair(bids, asks, Equilibrium(100, volume, 0))
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
    """10 lots trade at any price; at one of them nobody is left over."""
    # given a second buyer who leaves above 101; then a second seller who comes at 102
    more_buyers = [(103, 10), (101, 5)], [(100, 10)]
    more_sellers = [(103, 10)], [(100, 10), (102, 4)]

    # then the price is where these don't take part, far from the reference though it is
    assert equilibrium(*more_buyers, 100) == (103, 10, 0)
    assert equilibrium(*more_sellers, 103) == (100, 10, 0)


def test_buyers_left_over_press_the_price_up():
    """At 100 and at 102 alike 10 trade and 5 are left."""
    assert equilibrium([(102, 15)], [(100, 10)], 100) == (102, 10, 5)


def test_sellers_left_over_press_the_price_down():
    """The same with the sides exchanged."""
    assert equilibrium([(102, 10)], [(100, 15)], 102) == (100, 10, -5)


@pytest.mark.parametrize(("reference", "price"), [(1, 100), (101, 100), (103, 104), (200, 104)])
def test_without_pressure_the_nearest_to_the_reference_wins(reference, price):
    """Nobody is left over at 100 nor at 104; the price is one of them, never one in between."""
    assert equilibrium([(104, 10)], [(100, 10)], reference) == (price, 10, 0)


def test_pressure_from_both_sides_is_none():
    """At 100 buyers are left over, at 102 as many sellers: the reference decides."""
    # given such a book
    bids, asks = [(102, 10), (100, 5)], [(100, 10), (102, 5)]

    # then the nearer of the two wins, with its own surplus
    assert equilibrium(bids, asks, 99) == (100, 10, 5)
    assert equilibrium(bids, asks, 103) == (102, 10, -5)


def test_of_two_equally_near_the_higher_wins():
    """102 is as far from 100 as from 104."""
    assert equilibrium([(104, 10)], [(100, 10)], 102) == (104, 10, 0)


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
    """12 lots, of buyers who want 20 and sellers who have 13."""
    # given both sides in priority order
    bids, asks = orders((1, 5), (2, 5), (3, 10)), orders((11, 8), (12, 4), (13, 1))

    # when 12 lots are paired
    fills = paired(bids, asks, 12)

    # then the first are served whole, and the last get nothing
    assert fills == [(1, 11, 5), (2, 11, 3), (2, 12, 2), (3, 12, 2)]


def test_orders_are_read_no_further_than_needed():
    """A deep book is not walked for a small volume."""
    bids, asks = iter(orders((1, 5), (2, 5))), iter(orders((11, 9), (12, 9)))
    assert paired(bids, asks, 0) == []
    assert paired(bids, asks, 5) == [(1, 11, 5)]
    assert (next(bids), next(asks)) == (Waiting(2, 5), Waiting(12, 9))


def test_more_volume_than_orders_is_our_mistake():
    """It ends, and it does not end in fills that nobody ordered."""
    with pytest.raises(AssertionError, match="more volume than orders"):
        paired(orders((1, 5)), orders((11, 9)), 6)


def test_a_hundred_thousand_prices_are_walked_once():
    """Trying each price against each order would be ten billion steps."""
    # given as many buyers, and sellers, each one tick above the last
    count = 100_000
    prices = range(1, count + 1)

    # when all of them meet
    found = equilibrium([(p, 1) for p in prices], [(p, 1) for p in reversed(prices)], 1)

    # then they meet in the middle: 50,000 sellers at or below it, 50,001 buyers at or above
    assert found == (50_000, 50_000, 1)
    waiting = orders(*((p, 1) for p in prices))
    assert len(paired(waiting, waiting, count)) == count


def naive_equilibrium(bids, asks, reference):
    """The rules, word by word: each price against each order."""
    tried = []
    for price in sorted({price for price, _ in bids + asks}):
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
ORDERS = st.lists(st.tuples(st.integers(95, 105), st.integers(1, 4)), max_size=12)
REFERENCES = st.just(0) | st.integers(93, 107)


@settings(max_examples=1_000, deadline=None)
@given(bids=ORDERS, asks=ORDERS, reference=REFERENCES)
def test_every_book_has_the_price_of_the_rules(bids, asks, reference):
    """Given as iterators, too: each side is read once."""
    expected = naive_equilibrium(bids, asks, reference)
    assert equilibrium(bids, asks, reference) == expected
    assert equilibrium(reversed(bids), iter(sorted(asks)), reference) == expected


@settings(max_examples=500, deadline=None)
@given(bids=ORDERS, asks=ORDERS, reference=REFERENCES)
def test_everybody_trades_within_limit_size_and_turn(bids, asks, reference):
    """Both sides trade the volume, the first in line first, nobody beyond the own limit."""
    # given a book that crosses; ids tell the age: buyers from 0 on, sellers from 100
    found = equilibrium(bids, asks, reference)
    if found is None:
        return
    price, volume, surplus = found
    buyers = sorted(enumerate(bids), key=lambda order: -order[1][0])
    sellers = sorted(enumerate(asks, 100), key=lambda order: order[1][0])

    # when it is uncrossed
    fills = paired(orders(*in_line(buyers)), orders(*in_line(sellers)), volume)

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
