"""Requests in the words and numbers that people have at hand: names, numpy, pandas."""

from decimal import Decimal
from fractions import Fraction
from numbers import Integral, Real

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oms import (
    FundsRequest,
    Instrument,
    MassCancelRequest,
    OperatorRequest,
    OrderRequest,
    OrderTerms,
    Side,
    TimeInForce,
)
from oms.enums import OrderType
from oms.errors import ValidationError
from oms.money import plain, to_units
from tests.fakes import Stepped, buy, sell


class Whole:
    """A whole number of another library: nothing but the protocol."""

    def __init__(self, number):
        self.number = number

    def __index__(self):
        return self.number


Integral.register(Whole)


class Single:
    """A float of another library that is no Python float."""

    def __init__(self, number):
        self.number = number

    def __float__(self):
        return float(self.number)

    def __eq__(self, other):
        return self.number == other

    __hash__ = None  # type: ignore[assignment]


Real.register(Single)


class Double(float):
    """A float of another library that is derived from Python's, and looks like itself alone."""

    def __repr__(self):
        return f"Double({float(self)})"


class Broken(Whole, Single):
    def __index__(self):
        raise RuntimeError("a bug of the caller's")

    __float__ = __index__  # type: ignore[assignment]


Integral.register(Broken)
NAMED = {
    "type": "NEW", "account": "me", "client_order_id": "A", "symbol": "X", "side": "BUY",
    "quantity": 1, "price": 100,
}  # fmt: skip


# --- names ---


def test_an_order_by_names_is_the_order_by_members():
    """Side, order type and time in force; the line that is handed over is the same."""
    named = OrderRequest.new("me", "A", "X", "BUY", 1, 100, time_in_force="IOC")
    assert named == OrderRequest.new(
        "me", "A", "X", Side.BUY, 1, 100, time_in_force=TimeInForce.IOC
    )
    assert named.side is Side.BUY
    assert [type(item) for item in named.line[4:7]] == [str] * 3
    market = OrderRequest(**{**NAMED, "order_type": "MARKET", "price": None})
    assert (market.order_type, market.line[5]) == (OrderType.MARKET, "MARKET")


def test_the_other_requests_take_names_too():
    """Money, mass cancels, operators, terms: one rule."""
    funds = FundsRequest(account="a", client_order_id="1", action="DEPOSIT", asset="USD", amount=5)
    assert (funds.line[3], funds.action.name) == ("DEPOSIT", "DEPOSIT")
    assert MassCancelRequest(account="a", client_order_id="2", side="SELL").side is Side.SELL
    kill = OperatorRequest(client_order_id="3", action="KILL", scope="SYMBOL", target="X")
    assert (kill.action.value, kill.scope.value) == ("KILL", "SYMBOL")
    terms = OrderTerms(post_only="SLIDE", self_trade="cancel_both")
    assert (terms.post_only.name, terms.self_trade.name) == ("SLIDE", "CANCEL_BOTH")


@pytest.mark.parametrize("side", ["buy", "", "LONG", OrderType.LIMIT, b"BUY", 1, None])
def test_a_name_that_is_none_is_refused_with_those_there_are(side):
    with pytest.raises(ValidationError, match="side: expected one of BUY, SELL, was") as caught:
        OrderRequest.new("me", "A", "X", side, 1, 100)
    assert caught.value.field == "side"


def test_an_order_by_names_trades(stepped):
    stepped.send(OrderRequest.new("you", "S", "X", "SELL", 2, 100))
    assert stepped.ask(OrderRequest.new("me", "B", "X", "BUY", 2)).state == "FILLED"


# --- numbers ---


@given(st.integers(-(10**20), 10**20), st.floats(allow_nan=False))
def test_a_number_of_another_library_is_pythons_own(whole, number):
    """Whole numbers by __index__, floats by __float__; the value is the same."""
    for given_, expected in (
        (Whole(whole), whole), (Single(number), number), (Double(number), number),
    ):  # fmt: skip
        made = plain(given_)
        assert (type(made), made) == (type(expected), expected)


@pytest.mark.parametrize(
    "value",
    [True, b"1", [1], Broken(1), Single(Fraction(1, 10)), Single(10**400), complex(1)],
)
def test_what_is_no_number_or_no_float_exactly_is_refused(value):
    """A tenth is no float; a bool is no price."""
    with pytest.raises(ValidationError, match="price: expected"):
        OrderRequest.new("me", "A", "X", "BUY", 1, value)
    with pytest.raises(ValidationError, match="price: expected"):
        to_units("price", value, 6)


def test_numbers_of_another_library_make_the_same_order(stepped):
    """The same content under the same id is a repeat, however it was written."""
    first = OrderRequest.new("me", "A", "X", "BUY", 2, 100, terms=OrderTerms(display_quantity=1))
    stepped.ask(first)
    for quantity, price in ((Whole(2), Single(100.0)), (Double(2), Whole(100))):
        terms = OrderTerms(display_quantity=Whole(1))
        again = OrderRequest.new("me", "A", "X", "BUY", quantity, price, terms=terms)
        assert again == first
        assert stepped.ask(again).repeated


def test_a_float_off_the_grid_is_refused_and_never_rounded(stepped):
    """Exactly as a float of Python's own is."""
    for n, price in enumerate((0.1 + 0.2, Double(0.1 + 0.2), Single(98.0999984741211))):
        answer = stepped.ask(buy(f"A{n}", 1, price))
        assert answer.text.startswith("PRICE_INVALID: price: expected at most 0 decimals")


def test_questions_and_changes_take_whole_numbers_of_another_library(stepped):
    """An order id out of a table, a depth out of another."""
    order_id = stepped.ask(sell("S", 3, 100)).order_id
    assert stepped.oms.get_order("me", Whole(order_id)).client_order_id == "S"
    assert stepped.oms.get_depth("X", Whole(1)) == stepped.oms.get_depth("X", 1)
    change = OrderRequest.modify("me", "M", order_id=Whole(order_id), quantity=Double(2))
    assert stepped.ask(change).leaves_lots == 2
    cancel = OrderRequest.cancel("me", "C", order_id=Whole(order_id))
    assert stepped.ask(cancel).state == "CANCELED"


def test_scalars_of_numpy_are_numbers():
    """And those of pandas, which are the same classes; only where numpy is installed."""
    np = pytest.importorskip("numpy")
    cents = Instrument(symbol="C", price_scale=2, quantity_scale=3)
    for price in (np.float64(98.5), np.float32(98.5), np.float16(98.5), Decimal("98.5")):
        assert cents.price_ticks(price) == 9_850
    for lots in (np.int64(7), np.uint8(7), np.int16(7), np.array([7])[0], np.float64(7)):
        assert cents.quantity_lots(lots) == 7_000
    desk = Stepped().start()
    side = np.array(["BUY", "SELL"])[0]  # a str of numpy's own
    order = OrderRequest.new("me", "A", "X", side, np.int64(2), np.float64(100))
    assert (order.side, type(order.quantity), type(order.price)) == (Side.BUY, int, float)
    assert desk.ask(order).state == "NEW"
    for wrong in (np.bool_(True), np.array([1.0]), np.array(["1"]), np.complex128(1)):
        with pytest.raises(ValidationError, match="quantity: expected text, int"):
            OrderRequest.new("me", "B", "X", "BUY", wrong)
    with pytest.raises(ValidationError, match="expected at most 2 decimals"):
        cents.price_ticks(np.float32(98.1))  # as a float it is 98.0999984741211
