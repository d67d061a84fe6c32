"""What can be traded: one Instrument a symbol."""

import re
from dataclasses import dataclass, field
from math import gcd

from oms.enums import MarketOrderPolicy
from oms.errors import ValidationError
from oms.money import UNITS_MAX, GivenNumber, to_text, to_units

SCALE_MAX = 12
ASSET_SCALE = 8
FEE_BPS_MAX = 1_000
BPS = 10_000
TICK_STEPS_MAX = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class Instrument:
    """One tradable symbol and the grid its prices and quantities lie on.

    symbol: 1 to 32 characters, capitals, digits and . _ -
    price_scale, quantity_scale: decimals, 0 to 12; fixed once orders exist.
    tick_size: the price step, in ticks of 10**-price_scale.
    lot_size: the quantity step, in lots of 10**-quantity_scale.
    tick_table: other price steps from some prices on: (price, step), in ticks, prices ascending
        and each on the grid on both of its sides.
    base, quote: the assets that change hands; by default the two parts of the symbol around
        its last "_" ("BTC_USD": BTC for USD), or none.
    base_scale, quote_scale: decimals of these assets, 0 to 12; money is counted in them.
    maker_fee_bps, taker_fee_bps: hundredths of a percent of a fill's notional, -1000 to 1000;
        a negative one is a rebate.
    reference_price_ticks: what an auction, a band or a breaker goes by before the first
        trade; 0: nothing.
    market_slippage_bps: how far from the best price a market order may trade; 0: any price.
    breaker_band_bps: how far from the rolling reference anything may trade before the
        market is interrupted; 0: never.
    auction_band_bps: how far from the reference an auction's price may be before its call is
        extended, once; 0: anywhere.

    Raises ValidationError, naming the field, on a value out of range.
    """

    symbol: str
    price_scale: int = 6
    quantity_scale: int = 8
    tick_size: int = 1
    lot_size: int = 1
    market_order: MarketOrderPolicy = MarketOrderPolicy.PARTIAL
    base: str = ""
    quote: str = ""
    base_scale: int = ASSET_SCALE
    quote_scale: int = ASSET_SCALE
    maker_fee_bps: int = 0
    taker_fee_bps: int = 0
    reference_price_ticks: int = 0
    market_slippage_bps: int = 0
    breaker_band_bps: int = 0
    auction_band_bps: int = 0
    tick_table: tuple[tuple[int, int], ...] = ()
    # price times quantity, times this, over that, is the notional in units of the quote asset
    quote_unit: int = field(init=False, repr=False, compare=False)
    price_quantity_unit: int = field(init=False, repr=False, compare=False)
    lot_amount: int = field(init=False, repr=False, compare=False)  # of base, in its units

    def __post_init__(self) -> None:
        if not isinstance(self.symbol, str) or not re.fullmatch("[A-Z0-9._-]{1,32}", self.symbol):
            raise ValidationError("symbol", self.symbol, "1 to 32 of A-Z 0-9 . _ -")
        for name, low, high in (
            ("price_scale", 0, SCALE_MAX),
            ("quantity_scale", 0, SCALE_MAX),
            ("tick_size", 1, UNITS_MAX),
            ("lot_size", 1, UNITS_MAX),
            ("base_scale", 0, SCALE_MAX),
            ("quote_scale", 0, SCALE_MAX),
            ("maker_fee_bps", -FEE_BPS_MAX, FEE_BPS_MAX),
            ("taker_fee_bps", -FEE_BPS_MAX, FEE_BPS_MAX),
            ("reference_price_ticks", 0, UNITS_MAX),
            ("market_slippage_bps", 0, BPS),
            ("breaker_band_bps", 0, BPS),
            ("auction_band_bps", 0, BPS),
        ):
            value = getattr(self, name)
            if type(value) is not int or not low <= value <= high:
                raise ValidationError(name, value, f"{low} to {high}")
        if type(self.market_order) is not MarketOrderPolicy:
            expected = "one of " + ", ".join(MarketOrderPolicy)
            raise ValidationError("market_order", self.market_order, expected)
        if self.maker_fee_bps + self.taker_fee_bps < 0:
            # The fee account would pay more than it takes, and run dry.
            expected = f"at least {-self.taker_fee_bps}, so that a rebate is paid by the taker"
            raise ValidationError("maker_fee_bps", self.maker_fee_bps, expected)
        self._check_tick_table()
        self._derive()

    def _check_tick_table(self) -> None:
        tick, below = self.tick_size, 0
        for step in self.tick_table:
            price, next_tick = step
            on_both = below < price <= UNITS_MAX and 1 <= next_tick <= UNITS_MAX
            if (
                len(self.tick_table) > TICK_STEPS_MAX
                or not on_both
                or price % tick
                or price % next_tick
            ):
                expected = f"up to {TICK_STEPS_MAX} ascending prices, each a multiple of both steps"
                raise ValidationError("tick_table", step, expected)
            tick, below = next_tick, price

    def _derive(self) -> None:
        base, _, quote = self.symbol.rpartition("_")
        unit, of = 10**self.quote_scale, 10 ** (self.price_scale + self.quantity_scale)
        shared = gcd(unit, of)  # so that products stay within a machine word
        for name, value in (
            ("base", self.base or base),
            ("quote", self.quote or (quote if base else "")),
            ("quote_unit", unit // shared),
            ("price_quantity_unit", of // shared),
            ("lot_amount", 10 ** max(0, self.base_scale - self.quantity_scale)),
        ):
            object.__setattr__(self, name, value)  # the class is frozen for everybody else

    def notional(self, price_ticks: int, lots: int) -> int:
        """Price times quantity in units of the quote asset, rounded down."""
        return price_ticks * lots * self.quote_unit // self.price_quantity_unit

    def notional_up(self, price_ticks: int, lots: int) -> int:
        """The same, rounded up: what to reserve."""
        return -(-price_ticks * lots * self.quote_unit // self.price_quantity_unit)

    def price_ticks(self, price: GivenNumber) -> int:
        """Price as ticks on this instrument's grid; ValidationError if it is not on it."""
        ticks = to_units("price", price, self.price_scale)
        if ticks <= 0:
            raise ValidationError("price", price, "a number above 0")
        tick = self.tick_at(ticks)
        if ticks % tick:
            raise ValidationError(
                "price", price, f"a multiple of {to_text(tick, self.price_scale)}"
            )
        return ticks

    @staticmethod
    def band(centre_ticks: int, bps: int) -> tuple[int, int]:
        """The lowest and the highest price that is so far from another, rounded inwards."""
        return -(-centre_ticks * (BPS - bps) // BPS), centre_ticks * (BPS + bps) // BPS

    def tick_at(self, price_ticks: int) -> int:
        """The price step from this price on upward."""
        for price, tick in reversed(self.tick_table):
            if price_ticks >= price:
                return tick
        return self.tick_size

    def floor_ticks(self, price_ticks: int) -> int:
        """The price on the grid that is not above this one."""
        return price_ticks - price_ticks % self.tick_at(price_ticks)

    def quantity_lots(self, quantity: GivenNumber) -> int:
        """Quantity as lots on this instrument's grid; ValidationError if it is not on it."""
        lots = to_units("quantity", quantity, self.quantity_scale)
        if lots <= 0:
            raise ValidationError("quantity", quantity, "a number above 0")
        if lots % self.lot_size:
            raise ValidationError("quantity", quantity, f"a multiple of {self.lot_size_text}")
        return lots

    @property
    def scales(self) -> tuple[int, int, int]:
        """Of price, quantity and quote asset."""
        return self.price_scale, self.quantity_scale, self.quote_scale

    @property
    def tick_size_text(self) -> str:
        return to_text(self.tick_size, self.price_scale)

    @property
    def lot_size_text(self) -> str:
        return to_text(self.lot_size, self.quantity_scale)
