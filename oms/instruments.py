"""What can be traded: one Instrument a symbol."""

import re
from dataclasses import dataclass
from enum import StrEnum

from oms.errors import ValidationError
from oms.money import UNITS_MAX, Number, to_text, to_units

SCALE_MAX = 12


class MarketOrderPolicy(StrEnum):
    """What a market order does when the book cannot fill it.

    PARTIAL takes what is there and cancels the rest; ALL_OR_NONE is rejected whole.
    """

    PARTIAL = "partial"
    ALL_OR_NONE = "all_or_none"


@dataclass(frozen=True, slots=True, kw_only=True)
class Instrument:
    """One tradable symbol and the grid its prices and quantities lie on.

    symbol: 1 to 32 characters, capitals, digits and . _ -
    price_scale, quantity_scale: decimals, 0 to 12; fixed once orders exist.
    tick_size: the price step, in ticks of 10**-price_scale.
    lot_size: the quantity step, in lots of 10**-quantity_scale.

    Raises ValidationError, naming the field, on a value out of range.
    """

    symbol: str
    price_scale: int = 6
    quantity_scale: int = 8
    tick_size: int = 1
    lot_size: int = 1
    market_order: MarketOrderPolicy = MarketOrderPolicy.PARTIAL

    def __post_init__(self) -> None:
        if not isinstance(self.symbol, str) or not re.fullmatch("[A-Z0-9._-]{1,32}", self.symbol):
            raise ValidationError("symbol", self.symbol, "1 to 32 of A-Z 0-9 . _ -")
        for name, low, high in (
            ("price_scale", 0, SCALE_MAX),
            ("quantity_scale", 0, SCALE_MAX),
            ("tick_size", 1, UNITS_MAX),
            ("lot_size", 1, UNITS_MAX),
        ):
            value = getattr(self, name)
            if type(value) is not int or not low <= value <= high:
                raise ValidationError(name, value, f"{low} to {high}")
        if type(self.market_order) is not MarketOrderPolicy:
            expected = "one of " + ", ".join(MarketOrderPolicy)
            raise ValidationError("market_order", self.market_order, expected)

    def price_ticks(self, price: Number) -> int:
        """Price as ticks on this instrument's grid; ValidationError if it is not on it."""
        ticks = to_units("price", price, self.price_scale)
        if ticks <= 0:
            raise ValidationError("price", price, "a number above 0")
        if ticks % self.tick_size:
            raise ValidationError("price", price, f"a multiple of {self.tick_size_text}")
        return ticks

    def quantity_lots(self, quantity: Number) -> int:
        """Quantity as lots on this instrument's grid; ValidationError if it is not on it."""
        lots = to_units("quantity", quantity, self.quantity_scale)
        if lots <= 0:
            raise ValidationError("quantity", quantity, "a number above 0")
        if lots % self.lot_size:
            raise ValidationError("quantity", quantity, f"a multiple of {self.lot_size_text}")
        return lots

    @property
    def tick_size_text(self) -> str:
        return to_text(self.tick_size, self.price_scale)

    @property
    def lot_size_text(self) -> str:
        return to_text(self.lot_size, self.quantity_scale)
