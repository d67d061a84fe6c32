"""Matching: what each order type and time in force becomes, and what a replace may do."""

import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from oms import OrderRequest
from oms.enums import MarketOrderPolicy, OrderState, OrderType, SelfTrade, Side, TimeInForce
from oms.exchange.executions import Executions
from oms.exchange.matching import MatchingEngine
from oms.exchange.order import Change, Order
from oms.exchange.risk import Risk
from oms.requests import OrderTerms
from tests.examples import many
from tests.fakes import INSTRUMENTS
from tests.reference_book import ReferenceBook
from tests.test_exchange_restarts import Floor, listed

BUY, SELL = Side.BUY, Side.SELL
GTC, DAY, IOC, FOK = TimeInForce.GTC, TimeInForce.DAY, TimeInForce.IOC, TimeInForce.FOK
X, ALL = INSTRUMENTS


class Exchange:
    """An engine whose orders are numbered as they come, and taken up as the desk takes them up."""

    def __init__(self):
        self.executions = Executions(lambda _request_seq: None)
        self.engine = MatchingEngine(self.executions, Risk(self.executions.positions))
        self.engine.list_instruments(INSTRUMENTS)
        self.orders = {}
        self.change_seq = 1_000

    def place(self, side, lots, price=None, tif=GTC, instrument=X):
        """Place an order; a line for each report: type, whose, and what."""
        order_id = len(self.orders) + 1
        kind = OrderType.MARKET if price is None else OrderType.LIMIT
        order = Order(order_id, "me", f"{order_id}", instrument, side, kind, tif, price or 0, lots)
        self.orders[order_id] = order
        self.executions.add(order)
        self.engine.place(order, 0, 0, lambda: 0)
        return self.told()

    def replace(self, order_id, price, lots):
        change = self._change(order_id, False, price, lots)
        reason = self.engine.replace(change)
        return [f"CANCEL_REJECTED {order_id} {reason}"] if reason else self.told()

    def cancel(self, order_id):
        """Was it there? Then it ends, as the desk has it end."""
        change = self._change(order_id, True)
        found = self.engine.cancel(change)
        if found:
            self.executions.cancel(change)
            assert self.told() == [f"CANCELED {order_id}"]
        return found

    def _change(self, order_id, *terms):
        self.change_seq += 1
        return Change(self.change_seq, f"c{self.change_seq}", self.orders[order_id], *terms)

    def told(self):
        """The reports since the last question."""
        told, self.executions.reports.rows = self.executions.reports.rows, []
        lines = []
        for report in told:
            assert report.request_seq in (0, report.order_id, self.change_seq)
            if report.type == "TRADE":
                lots, price = report.last_quantity_lots, report.last_price_ticks
                lines.append(f"{report.liquidity} {report.order_id}: {lots} at {price}")
            else:
                lines.append(f"{report.type} {report.order_id} {report.reason}".strip())
        return lines

    def book_of(self, instrument):
        return self.engine.markets[instrument.symbol].book

    def open_lots(self, order_id):
        """Of an order that rests; 0 for all others."""
        order = self.orders[order_id]
        return order.leaves_lots if order.level is not None else 0

    def priority(self, instrument=X):
        return [order.order_id for order in self.book_of(instrument).orders()]

    @property
    def book(self):
        return self.book_of(X)


@pytest.fixture
def exchange():
    """Two asks: order 1 sells 5 at 98, order 2 sells 5 at 100."""
    exchange = Exchange()
    exchange.place(SELL, 5, 98)
    exchange.place(SELL, 5, 100)
    return exchange


# --- new orders: type, time in force, policy ---


@pytest.mark.parametrize("tif", [GTC, DAY])
def test_a_limit_order_trades_what_crosses_and_rests(exchange, tif):
    """Each fill is told to who arrived and to who rested, at the resting price."""
    told = exchange.place(BUY, 7, 99, tif)
    assert told == ["NEW 3", "TAKER 3: 5 at 98", "MAKER 1: 5 at 98"]
    assert exchange.book.get_depth(5) == ([(99, 2)], [(100, 5)])


def test_a_limit_order_that_meets_nobody_is_accepted_and_rests(exchange):
    """One event, for its owner."""
    assert exchange.place(BUY, 7, 97) == ["NEW 3"]
    assert exchange.book.best_bid == 97


@pytest.mark.parametrize("tif", [GTC, DAY, IOC])
def test_a_market_order_sweeps_and_its_remainder_is_canceled(exchange, tif):
    """It never rests; the reason says that nobody was left to trade with."""
    told = exchange.place(BUY, 12, tif=tif)
    assert told == [
        "NEW 3", "TAKER 3: 5 at 98", "MAKER 1: 5 at 98", "TAKER 3: 5 at 100", "MAKER 2: 5 at 100",
        "CANCELED 3 INSUFFICIENT_LIQUIDITY: left=2",
    ]  # fmt: skip
    assert exchange.priority() == []


def test_a_market_order_in_an_empty_book_is_canceled_whole(exchange):
    """The same path, with nothing filled."""
    assert exchange.place(SELL, 4) == ["NEW 3", "CANCELED 3 INSUFFICIENT_LIQUIDITY: left=4"]


def test_all_or_none_rejects_a_market_order_that_would_not_fill_whole():
    """The instrument's policy: no trade at all, so nothing has to be undone."""
    exchange = Exchange()
    exchange.place(SELL, 5, 98, instrument=ALL)
    refused = exchange.place(BUY, 6, instrument=ALL)
    assert refused == [
        "REJECTED 2 INSUFFICIENT_LIQUIDITY: quantity=6, policy=all_or_none"
    ]  # fmt: skip
    filled = exchange.place(BUY, 5, instrument=ALL)
    assert filled == ["NEW 3", "TAKER 3: 5 at 98", "MAKER 1: 5 at 98"]


def test_all_or_none_is_about_market_orders_alone():
    """A limit order has said what it will pay; it may trade in part."""
    exchange = Exchange()
    exchange.place(SELL, 5, 98, instrument=ALL)
    assert exchange.place(BUY, 6, 98, instrument=ALL)[1] == "TAKER 2: 5 at 98"


def test_immediate_or_cancel_takes_what_is_there_within_its_limit(exchange):
    """Down to the limit and no further; nothing rests."""
    told = exchange.place(BUY, 7, 99, IOC)
    assert told == [
        "NEW 3", "TAKER 3: 5 at 98", "MAKER 1: 5 at 98",
        "CANCELED 3 INSUFFICIENT_LIQUIDITY: left=2",
    ]  # fmt: skip
    assert exchange.book.best_bid is None


@pytest.mark.parametrize(
    ("lots", "price", "fills"),
    [(10, 100, True), (5, 98, True), (6, 99, False), (11, 100, False), (10, None, True),
     (11, None, False)],
)  # fmt: skip
def test_fill_or_kill_looks_before_it_trades(exchange, lots, price, fills):
    """All of it at once, or nothing: the makers it could have had are untouched."""
    told = exchange.place(BUY, lots, price, FOK)
    assert told[0] == "NEW 3"
    if fills:
        assert exchange.orders[3].cumulative_lots == lots
    else:
        assert told[1:] == [f"CANCELED 3 INSUFFICIENT_LIQUIDITY: quantity={lots}, policy=FOK"]
        assert exchange.book.get_depth(5) == ([], [(98, 5), (100, 5)])


@given(
    resting=st.lists(
        st.tuples(st.booleans(), st.integers(97, 103), st.integers(1, 5)), max_size=12
    ),
    buys=st.booleans(),
    price=st.none() | st.integers(97, 103),
    lots=st.integers(1, 15),
    tif=st.sampled_from([GTC, IOC, FOK]),
    whole=st.booleans(),
)
@settings(max_examples=many(300))
def test_every_order_trades_what_a_plain_list_says(resting, buys, price, lots, tif, whole):
    """Any type, time in force and policy, against any book: the same fills, the same remainder."""
    # given the same orders in the engine and in a list
    exchange, reference, instrument = Exchange(), ReferenceBook(), ALL if whole else X
    for order_id, (maker_buys, maker_price, maker_lots) in enumerate(resting, 1):
        exchange.place(BUY if maker_buys else SELL, maker_lots, maker_price, GTC, instrument)
        reference.add(order_id, maker_buys, maker_price, maker_lots)

    # when one more comes
    told = exchange.place(BUY if buys else SELL, lots, price, tif, instrument)

    # then it fills as the list does, and only what may rest rests
    order_id = len(resting) + 1
    must_fill = tif is FOK or (whole and price is None)
    if must_fill and not reference.fillable(buys, price, lots):
        fills = []
    elif price is None or tif in (IOC, FOK):
        fills, _ = reference.match(buys, price, lots)
    else:
        fills = reference.add(order_id, buys, price, lots)
    taken = [f"TAKER {order_id}: {n} at {p}" for _, p, n in fills]
    made = [f"MAKER {maker}: {n} at {p}" for maker, p, n in fills]
    pairs = list(itertools.chain(*zip(taken, made, strict=True)))
    assert [line for line in told if line[:5] in ("TAKER", "MAKER")] == pairs
    assert exchange.priority(instrument) == reference.priority()
    exchange.book_of(instrument).check()
    ended = told[-1].split()[0] in ("CANCELED", "REJECTED")
    rests = exchange.open_lots(order_id) > 0
    assert ended == (not rests and sum(n for _, _, n in fills) < lots)


# --- cancel ---


def test_a_cancel_takes_out_what_is_left(exchange):
    """The second one comes too late."""
    exchange.place(BUY, 3, 98)
    assert exchange.cancel(1)
    assert not exchange.cancel(1)
    assert exchange.book.best_ask == 100


# --- replace: the new quantity is the total, fills included ---


@pytest.mark.parametrize(
    ("price", "lots", "first"),
    [
        (98, 4, 1),  # less at the same price keeps the place
        (98, 5, 1),  # the same terms too
        (98, 6, 3),  # more goes to the back
    ],
)
def test_a_replace_keeps_the_place_only_for_less_at_the_same_price(exchange, price, lots, first):
    """Order 3 sells at 98 too, behind order 1."""
    exchange.place(SELL, 5, 98)
    assert exchange.replace(1, price, lots) == ["REPLACED 1"]
    assert exchange.place(BUY, 1, 98)[2] == f"MAKER {first}: 1 at 98"


def test_a_new_price_loses_the_place_even_when_it_comes_back(exchange):
    """98, then 97, then 98 again: behind who stayed."""
    exchange.place(SELL, 5, 98)
    exchange.replace(1, 97, 5)
    exchange.replace(1, 98, 5)
    assert exchange.priority() == [3, 1, 2]


def test_a_replace_that_crosses_trades_at_once(exchange):
    """At the resting orders' prices, as a new order would."""
    exchange.place(BUY, 8, 97)
    told = exchange.replace(3, 99, 8)
    assert told == ["REPLACED 3", "TAKER 3: 5 at 98", "MAKER 1: 5 at 98"]
    assert exchange.book.get_depth(5) == ([(99, 3)], [(100, 5)])


def test_the_new_quantity_counts_what_is_filled(exchange):
    """3 of 5 are filled; a new total of 4 leaves 1 open, and keeps the place."""
    exchange.place(SELL, 5, 98)
    exchange.place(BUY, 3, 98)
    assert exchange.replace(1, 98, 4) == ["REPLACED 1"]
    assert exchange.open_lots(1) == 1
    assert exchange.priority() == [1, 3, 2]


@pytest.mark.parametrize("lots", [1, 2, 3])
def test_a_total_at_or_below_what_is_filled_completes_the_order(exchange, lots):
    """Nothing is left open; the desk reports it as filled."""
    exchange.place(BUY, 3, 98)
    assert exchange.replace(1, 98, lots) == ["REPLACED 1"]
    assert exchange.open_lots(1) == 0
    assert exchange.book.best_ask == 100


def test_an_order_that_is_gone_cannot_be_replaced(exchange):
    """Refused; and nothing of it comes back."""
    exchange.place(BUY, 5, 98)
    assert exchange.replace(1, 99, 9) == ["CANCEL_REJECTED 1 TOO_LATE"]
    assert exchange.book.get_depth(5) == ([], [(100, 5)])


# --- the session's end ---


def test_orders_expire_in_the_order_they_entered_the_book(exchange):
    """Not by price, and not by id: order 1 entered again when its price changed."""
    exchange.place(BUY, 1, 90)
    exchange.replace(1, 99, 5)
    exchange.place(BUY, 1, 80)
    exchange.cancel(4)  # it is not here any more
    orders = [exchange.orders[order_id] for order_id in (1, 2, 3, 4)]
    exchange.engine.withdraw(orders, OrderState.EXPIRED, "SESSION_ENDED")
    assert exchange.told() == [f"EXPIRED {order_id} SESSION_ENDED" for order_id in (2, 3, 1)]
    assert exchange.priority() == []


def test_listing_instruments_again_leaves_their_books_alone(exchange):
    """A restart with one more instrument must not forget the orders of the others."""
    exchange.engine.list_instruments(INSTRUMENTS)
    assert exchange.priority() == [1, 2]


# --- what keeps an order that wants all or nothing from having it ---

STOPPED = [
    ({"time_in_force": FOK}, "partial", "quantity=5, policy=FOK"),
    ({}, "all_or_none", "quantity=5, policy=all_or_none"),
    ({"terms": {"min_quantity": 4}}, "partial", "fillable=3, min=4"),
]


@pytest.mark.parametrize(("more", "policy", "says"), STOPPED)
@pytest.mark.parametrize("mode", ["cancel_newest", "cancel_both", "decrement"])
def test_whom_self_trade_prevention_keeps_from_all_of_it_is_told_so(more, policy, says, mode):
    """3 of somebody, 2 of its own, then 50: there is enough, but not for this one."""
    floor = Floor(listed(market_order=MarketOrderPolicy(policy)), ledger=False)
    for account, lots, price in (("a", 3, 100), ("b", 2, 101), ("a", 50, 102)):
        floor.new(account, f"M{price}", SELL, lots, price)
    terms = OrderTerms(self_trade=SelfTrade(mode), **more.get("terms", {}))
    end = floor.told(OrderRequest.new("b", "A", "X", BUY, 5, None, **{**more, "terms": terms}))[-1]
    assert end.text == f"SELF_TRADE: {says}"
    assert floor.is_sound()


@pytest.mark.parametrize(("more", "policy", "says"), STOPPED)
def test_whom_too_little_keeps_from_all_of_it_is_told_so(more, policy, says):
    floor = Floor(listed(market_order=MarketOrderPolicy(policy)), ledger=False)
    floor.new("a", "M1", SELL, 3, 100)
    terms = {"terms": OrderTerms(**more["terms"])} if "terms" in more else {}
    end = floor.told(OrderRequest.new("b", "A", "X", BUY, 5, None, **{**more, **terms}))[-1]
    code = "MIN_QUANTITY" if "min" in says else "INSUFFICIENT_LIQUIDITY"
    assert end.text == f"{code}: {says}"
