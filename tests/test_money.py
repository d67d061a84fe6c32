"""Fixed point: what fits is kept exactly, what does not is refused; nothing is ever rounded."""

from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oms.errors import OMSError, ValidationError
from oms.money import UNITS_MAX, to_decimal, to_text, to_units

scales = st.integers(0, 12)
units_of = st.integers(-UNITS_MAX, UNITS_MAX)


@given(units_of, scales)
def test_what_was_written_reads_back_as_it_was(units, scale):
    """Through text and through Decimal, at any scale, to the last unit."""
    assert to_units("price", to_text(units, scale), scale) == units
    assert to_units("price", to_decimal(units, scale), scale) == units


@given(units_of, scales)
def test_the_text_is_the_exact_value_and_the_shortest(units, scale):
    """No exponent, no zeros at the end, no point without decimals."""
    text = to_text(units, scale)
    assert Fraction(text) == Fraction(units, 10**scale)
    assert "." not in text or text[-1] in "123456789"


@given(st.integers(), scales)
def test_a_whole_number_counts_units_of_the_thing_not_of_the_scale(number, scale):
    """5 means 5.00 whatever the scale; too large a number is refused."""
    if abs(number) * 10**scale <= UNITS_MAX:
        assert to_units("quantity", number, scale) == number * 10**scale
    else:
        with pytest.raises(ValidationError, match=r"quantity: expected a magnitude up to"):
            to_units("quantity", number, scale)


@given(units_of, scales, st.integers(1, 9), st.integers(0, 3))
def test_excess_precision_is_refused_never_rounded(units, scale, digit, zeros):
    """One decimal too many, however small, is a mistake that only its author can settle."""
    text = to_text(units, scale)
    point = text if "." in text else text + "."
    decimals = len(point) - point.index(".") - 1
    excess = point + "0" * (scale - decimals + zeros) + str(digit)
    for value in (excess, Decimal(excess)):
        with pytest.raises(ValidationError, match="price: expected at most"):
            to_units("price", value, scale)


@given(units_of, scales, st.integers(0, 5))
def test_zeros_at_the_end_are_no_excess(units, scale, zeros):
    """100.50000000 fits a scale of two."""
    text = to_text(units, scale)
    point = text if "." in text else text + "."
    decimals = len(point) - point.index(".") - 1
    padded = point + "0" * (max(1, scale - decimals) + zeros)
    assert to_units("price", padded, scale) == units


@given(st.integers(-(10**9), 10**9), st.integers(0, 6))
def test_a_float_counts_as_what_its_author_typed(units, scale):
    """repr() is the shortest text that reads back as the same float."""
    assert to_units("price", float(to_text(units, scale)), scale) == units


@given(st.floats())
def test_a_float_is_exact_or_refused(value):
    """Whatever the float: its shortest text, exactly, or a ValidationError."""
    try:
        units = to_units("price", value, 6)
    except ValidationError:
        return
    assert Fraction(units, 10**6) == Fraction(repr(value))


@given(st.text(max_size=50) | st.decimals() | st.text("0123456789.-+eE_ ", max_size=50))
def test_whatever_comes_is_a_number_or_a_validation_error(value):
    """The dispatcher converts what clients send: no other exception may come out."""
    try:
        units = to_units("price", value, 8)
    except ValidationError as error:
        assert error.field == "price"
    else:
        assert -UNITS_MAX <= units <= UNITS_MAX
        assert Fraction(units, 10**8) == Fraction(str(value))


def test_a_sum_of_floats_is_refused_where_it_would_lie():
    """0.1 + 0.2 is 0.30000000000000004: not what anybody typed."""
    assert to_units("price", 0.3, 6) == 300_000
    with pytest.raises(ValidationError):
        to_units("price", 0.1 + 0.2, 6)


@pytest.mark.parametrize(
    "text",
    [
        "", ".", "-", "-.", "1.", "--1", "+1", " 1", "1 ", "1e3", "1_000", "1,5", "0x10", "1.2.3",
        "inf", "nan", "\N{ARABIC-INDIC DIGIT THREE}", "\N{FULLWIDTH DIGIT ONE}",
        "\N{SUPERSCRIPT TWO}", "1\n", "0" * 41,
    ],
)  # fmt: skip
def test_text_that_is_no_plain_decimal_is_refused(text):
    """Digits are ASCII: what looks like a three in another script is not taken for one."""
    with pytest.raises(ValidationError, match="plain decimal number"):
        to_units("price", text, 6)


@pytest.mark.parametrize(
    "value",
    [
        float("inf"), float("-inf"), float("nan"), Decimal("NaN"), Decimal("sNaN"),
        Decimal("-Infinity"), Decimal("1E+1000000"), Decimal("1E-1000000"), 1e300, 5e-324,
        10**19, -(10**19), pytest.param(10**5000, id="10**5000"), True, None, b"1", [1],
    ],
)  # fmt: skip
def test_what_is_no_reasonable_number_is_refused_with_a_short_text(value):
    """Also what Python itself would not write out: the text goes into the journal."""
    with pytest.raises(ValidationError) as caught:
        to_units("quantity", value, 0)
    assert caught.value.field == "quantity"
    assert len(str(caught.value)) < 200


def test_a_mistake_can_be_caught_as_whatever_the_caller_thinks_of():
    """One tree for all errors of the package; and it is a ValueError, as Python's own are."""
    for kind in (ValidationError, OMSError, ValueError):
        with pytest.raises(kind, match=r"price: expected at most 2 decimals, was '0\.001'"):
            to_units("price", "0.001", 2)
