"""Instruments: the grid that prices and quantities lie on."""

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oms import Instrument
from oms.enums import MarketOrderPolicy
from oms.errors import ValidationError
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
        ("base_scale", -1), ("base_scale", 13), ("quote_scale", 13), ("quote_scale", "8"),
        ("maker_fee_bps", -1), ("maker_fee_bps", 1_001), ("taker_fee_bps", -1_001),
        ("reference_price_ticks", -1), ("market_slippage_bps", 10_001), ("breaker_band_bps", -1),
        ("auction_band_bps", 10_001),
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


def test_the_assets_are_the_parts_of_the_symbol_unless_told():
    """Around the last underline; a symbol in one word has none."""
    assert (TATA.base, TATA.quote) == ("TATA", "INR")
    three = Instrument(symbol="A_B_C")
    assert (three.base, three.quote) == ("A_B", "C")
    one = Instrument(symbol="GOLD")
    assert (one.base, one.quote) == ("", "")
    told = Instrument(symbol="GOLD", base="XAU", quote="USD")
    assert (told.base, told.quote) == ("XAU", "USD")


def test_a_rebate_is_paid_by_the_taker():
    """-5 and 5 is fair; -5 and 4 would empty the account that takes the fees."""
    assert Instrument(symbol="X", maker_fee_bps=-5, taker_fee_bps=5).maker_fee_bps == -5
    with pytest.raises(ValidationError, match="maker_fee_bps: expected at least -4"):
        Instrument(symbol="X", maker_fee_bps=-5, taker_fee_bps=4)


@given(
    st.integers(1, 10**12), st.lists(st.integers(1, 10**12), min_size=1, max_size=5),
    st.integers(0, 6), st.integers(0, 8), st.integers(0, 12),
)  # fmt: skip
def test_fills_never_cost_more_than_was_set_aside(price, fills, price_scale, lots_scale, scale):
    """However the whole is cut: fills round down, the reserve rounds up."""
    instrument = Instrument(
        symbol="X", price_scale=price_scale, quantity_scale=lots_scale, quote_scale=scale
    )
    exact = Fraction(price * sum(fills), 10 ** (price_scale + lots_scale)) * 10**scale
    spent = sum(instrument.notional(price, lots) for lots in fills)
    reserved = instrument.notional_up(price, sum(fills))
    assert spent <= exact <= reserved < exact + 1
    assert exact - spent < len(fills)
