"""Instruments: the grid that prices and quantities lie on."""

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oms import Instrument
from oms.errors import ValidationError
from oms.instruments import MarketOrderPolicy
from oms.money import to_text

TATA = Instrument(symbol="TATA_INR", tick_size=50_000, lot_size=10**8)


def test_prices_and_quantities_are_counted_in_units_of_the_scale():
    """0.05 is one step of TATA_INR, and 50,000 ticks of a millionth."""
    assert TATA.price_ticks("100.05") == 100_050_000
    assert TATA.quantity_lots(3) == 300_000_000
    assert (TATA.tick_size_text, TATA.lot_size_text) == ("0.05", "1")


@pytest.mark.parametrize(
    ("price", "expected"),
    [
        ("100.01", "a multiple of 0.05"),
        ("0.0500001", "at most 6 decimals"),
        ("0", "a number above 0"),
        ("-5", "a number above 0"),
        ("1000000000001", "a magnitude up to 1000000000000"),
    ],
)
def test_a_price_off_the_grid_is_refused_and_told_what_fits(price, expected):
    """The text says what would do."""
    with pytest.raises(ValidationError, match=f"price: expected {expected}, was '{price}'"):
        TATA.price_ticks(price)


@pytest.mark.parametrize("quantity", ["0.5", "0", "-1", 0.1, float("nan")])
def test_a_quantity_off_the_grid_is_refused(quantity):
    """TATA_INR is traded in whole shares."""
    with pytest.raises(ValidationError, match="quantity: expected"):
        TATA.quantity_lots(quantity)


@given(
    st.integers(1, 10**9), st.integers(1, 10**6), st.integers(0, 6), st.integers(-(10**9), 10**12)
)
def test_a_price_is_on_the_grid_or_refused(tick_size, steps, scale, ticks):
    """Every multiple of the tick fits, and nothing else."""
    instrument = Instrument(symbol="X", price_scale=scale, tick_size=tick_size)
    assert instrument.price_ticks(to_text(steps * tick_size, scale)) == steps * tick_size
    try:
        assert instrument.price_ticks(to_text(ticks, scale)) == ticks
        assert ticks > 0 and ticks % tick_size == 0
    except ValidationError:
        assert ticks <= 0 or Fraction(ticks, tick_size).denominator > 1


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("symbol", ""), ("symbol", "x"), ("symbol", 'A"B'), ("symbol", "A" * 33), ("symbol", None),
        ("price_scale", -1), ("price_scale", 13), ("price_scale", "6"), ("quantity_scale", 13),
        ("tick_size", 0), ("tick_size", -1), ("tick_size", 0.05), ("tick_size", True),
        ("lot_size", 0), ("lot_size", 10**19), ("market_order", "partial"),
    ],
)  # fmt: skip
def test_an_instrument_out_of_range_is_refused_when_it_is_made(field, value):
    """Not when the first order of it comes: that would be the dispatcher's death."""
    with pytest.raises(ValidationError) as caught:
        Instrument(**{"symbol": "X", field: value})
    assert caught.value.field == field


def test_an_instrument_left_plain_has_the_finest_grid():
    """Scales 6 and 8, steps of one unit, market orders take what is there."""
    plain = Instrument(symbol="BTC_USD")
    assert plain.price_ticks("0.000001") == 1
    assert plain.quantity_lots("0.00000001") == 1
    assert plain.market_order is MarketOrderPolicy.PARTIAL
