"""Fixed point: prices and quantities as whole numbers, never floats.

A price is a number of ticks of 10**-price_scale, a quantity a number of lots of
10**-quantity_scale. What does not fit exactly is refused, never rounded.
"""

from collections.abc import Iterable, Mapping
from decimal import Decimal
from fractions import Fraction
from numbers import Integral, Real
from operator import index
from typing import SupportsFloat, SupportsIndex

from oms.errors import ValidationError

Number = str | int | Decimal | float
GivenNumber = Number | SupportsIndex | SupportsFloat
"""The same, or a scalar of numpy or pandas: `plain` makes a Number of it."""

UNITS_MAX = 10**18  # a 64-bit database column holds it with room to add a few


def plain(value: object) -> object:
    """A whole number or a float of another library (numpy, pandas) as Python's own int or float.

    It is known by the protocols of the standard library: numbers.Integral with __index__,
    numbers.Real with __float__. Anything else comes back as it is, and so does a bool, an int
    whose class is derived from int, an array, and a number that no float is equal to.
    """
    kind = type(value)
    try:
        if kind in (str, int, bool, Decimal, float):
            return value
        if issubclass(kind, float):
            return float.__float__(value)  # type: ignore[arg-type]
        if issubclass(kind, Integral) and not issubclass(kind, int):
            return index(value)  # type: ignore[arg-type]
        if issubclass(kind, Real) and not issubclass(kind, int):
            number = float(value)  # type: ignore[arg-type]
            return number if bool(number == value) or number != number else value
    except Exception:  # code of the value's own class: what it raises is no answer
        return value
    return value


def to_units(field: str, value: GivenNumber, scale: int) -> int:
    """`value` as a whole number of 10**-scale.

    Takes plain decimal text ("100.50"), an int, a Decimal, or a float whose shortest
    text form fits; also such a scalar of numpy or pandas. Raises ValidationError, naming
    `field`, on anything else: excess precision, exponents in text, infinities, a magnitude
    above UNITS_MAX.
    """
    number = value if type(value) in (int, str) else plain(value)
    if type(number) is int:
        units = number * int(10**scale)
    elif isinstance(number, str):
        units = _from_text(field, number, scale)
    elif isinstance(number, Decimal | float):
        units = _from_decimal(field, number, scale)
    else:
        raise ValidationError(field, value, "text, int, Decimal or float")
    if not -UNITS_MAX <= units <= UNITS_MAX:
        raise ValidationError(field, value, f"a magnitude up to {to_text(UNITS_MAX, scale)}")
    return units


def _from_text(field: str, text: str, scale: int) -> int:
    whole, _, fraction = text.partition(".")
    digits = whole.removeprefix("-") + fraction
    if not digits.isdecimal() or not digits.isascii() or text[-1] == "." or len(text) > 40:
        raise ValidationError(field, text, "a plain decimal number such as '100.50'")
    if len(fraction) > scale:
        fraction = fraction.rstrip("0")
        if len(fraction) > scale:
            raise ValidationError(field, text, f"at most {scale} decimals")
    return int(whole + fraction.ljust(scale, "0"))


def _from_decimal(field: str, value: Decimal | float, scale: int) -> int:
    # repr() of a float is the shortest text that reads back as the same float: the
    # number its author most likely typed. 0.1 + 0.2 has 17 decimals and is refused.
    number = Decimal(repr(value)) if isinstance(value, float) else value
    if not number.is_finite():
        raise ValidationError(field, value, "a finite number")
    if number.adjusted() > 40 or number.as_tuple().exponent < -400:  # type: ignore[operator]
        raise ValidationError(field, value, "a number of reasonable size")
    exact = Fraction(number) * 10**scale
    if exact.denominator != 1:
        raise ValidationError(field, value, f"at most {scale} decimals")
    return int(exact.numerator)


def to_text(units: int, scale: int) -> str:
    """The shortest exact text: 100500000 at scale 6 is "100.5"."""
    if not units or not scale:
        return str(units)
    digits = str(abs(units)).zfill(scale + 1)
    whole, decimals = digits[:-scale], digits[-scale:].rstrip("0")
    sign = "-" if units < 0 else ""
    return f"{sign}{whole}.{decimals}" if decimals else f"{sign}{whole}"


def to_decimal(units: int, scale: int) -> Decimal:
    """The exact Decimal of a number of 10**-scale."""
    return Decimal(to_text(units, scale))


Balances = Mapping[str, tuple[Decimal, Decimal]]
"""By asset: available and reserved."""


def summed(ledgers: Iterable[Balances]) -> dict[str, tuple[Decimal, Decimal]]:
    """What an account has in several ledgers together."""
    sums: dict[str, tuple[Decimal, Decimal]] = {}
    for balances in ledgers:
        for asset, (available, reserved) in balances.items():
            before = sums.get(asset, (Decimal(), Decimal()))
            sums[asset] = (before[0] + available, before[1] + reserved)
    return sums


AVERAGE_PLACES = 4
"""So many decimals an average has beyond the scale it is of."""


def average(worth: int | Fraction, count: int, scale: int) -> Decimal:
    """`worth` by `count`, in whole units of 10**scale: rounded half-even to AVERAGE_PLACES more
    decimals than the scale has.

    worth: a sum of numbers of 10**-scale; count: above 0.
    """
    by = worth.denominator * count
    units, rest = divmod(worth.numerator * 10**AVERAGE_PLACES, by)
    if 2 * rest > by or (2 * rest == by and units & 1):
        units += 1
    return to_decimal(units, scale + AVERAGE_PLACES)
