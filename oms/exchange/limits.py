"""Limits: their texts, as configuration and operators give them, become numbers to compare.

Flow:  settings, operator_desk -> [limits] -> risk
A limit is text until it meets an instrument: "2.5" is so many lots of this one, so many of that.
"""

import re
from fractions import Fraction
from math import ceil, floor
from typing import NamedTuple

from oms.clock import NANOS
from oms.enums import Scope
from oms.errors import ValidationError
from oms.exchange.order import Order
from oms.instruments import Instrument
from oms.money import to_text
from oms.reject_reasons import RejectReason

Limits = dict[str, str]
"""Limit -> its text, as in config.ini; what is not there, empty or 0 is not limited."""

AMOUNT = r"[0-9]{1,20}(\.[0-9]{1,12})?"
SYMBOL_LIMITS = (
    "price_band_bps", "price_band_around", "quantity_min", "quantity_max", "notional_min",
    "notional_max",
)  # fmt: skip
ACCOUNT_LIMITS = (
    "open_orders_max", "messages_max", "messages_window_s", "position_max", "credit_max",
    "duplicate_window_s", "restricted_symbols",
)  # fmt: skip
COUNTS = ("open_orders_max", "messages_max", "price_band_bps")


def check_limit(scope: Scope, name: str, value: str) -> None:
    """ValidationError if there is no such limit, or it cannot have this value."""
    known = SYMBOL_LIMITS if scope is Scope.SYMBOL else ACCOUNT_LIMITS
    if name not in known:
        raise ValidationError("name", name, f"one of {', '.join(known)} for {scope}")
    if name == "price_band_around":
        if value not in ("", "last", "reference"):
            raise ValidationError(name, value, "last or reference")
    elif name in COUNTS and value:
        if not (value.isascii() and value.isdecimal() and len(value) <= 15):
            raise ValidationError(name, value, "a whole number, 0 or more")
    elif name != "restricted_symbols" and value and not re.fullmatch(AMOUNT, value):
        raise ValidationError(name, value, "a plain number, 0 or more")


class Range:
    """From a least to a most, in units; None: no such bound. Finer ones are rounded inwards."""

    __slots__ = ("high", "low", "scale", "texts", "what")

    def __init__(self, what: str, limits: Limits, scale: int) -> None:
        low, high = limits.get(f"{what}_min", ""), limits.get(f"{what}_max", "")
        self.what = what
        self.scale = scale
        self.texts = low, high
        self.low = ceil(_units(low, scale)) if low else None
        self.high = floor(_units(high, scale)) if high else None

    def check(self, value: int, before: int | None = None) -> str:
        """At a bound is inside, one unit beyond is not.

        before: what a change started from; who comes nearer to a bound is not held up by it.
        """
        if self.low is not None and value < self.low and (before is None or value < before):
            reason, bound = f"{self.what.upper()}_BELOW_MINIMUM", f"min={self.texts[0]}"
        elif self.high is not None and value > self.high and (before is None or value > before):
            reason, bound = f"{self.what.upper()}_EXCEEDS_MAXIMUM", f"max={self.texts[1]}"
        else:
            return ""
        return f"{RejectReason[reason]}: {self.what}={to_text(value, self.scale)}, {bound}"


class SymbolLimits:
    """One instrument's limits."""

    __slots__ = ("band_around", "band_bps", "notional", "quantity")

    def __init__(self, limits: Limits, instrument: Instrument) -> None:
        self.quantity = Range("quantity", limits, instrument.quantity_scale)
        self.notional = Range("notional", limits, instrument.quote_scale)
        self.band_bps = int(limits.get("price_band_bps", 0))
        self.band_around = limits.get("price_band_around", "last")

    def surely_inside(self, lots: int, value: int, instrument: Instrument) -> bool:
        """Are quantity and notional (value: price times lots) inside all bounds?"""
        quantity, notional = self.quantity, self.notional
        if quantity.low is not None and lots < quantity.low:
            return False
        if quantity.high is not None and lots > quantity.high:
            return False
        if notional.low is None and notional.high is None:
            return True
        amount = value * instrument.quote_unit // instrument.price_quantity_unit
        return (notional.low is None or amount >= notional.low) and (
            notional.high is None or amount <= notional.high
        )


class Caps(NamedTuple):
    """How much an account may have of one instrument, in its units; None: any amount."""

    position_lots: int | None
    credit: int | None


class AccountLimits:
    """One account's limits."""

    __slots__ = (
        "_caps", "_texts", "conduct", "duplicate_ns", "messages_max", "messages_window_ns",
        "open_orders_max", "restricted",
    )  # fmt: skip

    def __init__(self, limits: Limits) -> None:
        self._texts = limits
        self._caps: dict[tuple[int, int], Caps] = {}
        self.open_orders_max = int(limits.get("open_orders_max", 0))
        self.messages_max = int(limits.get("messages_max", 0))
        self.messages_window_ns = floor(_units(limits.get("messages_window_s", "1"), 9)) or NANOS
        self.duplicate_ns = floor(_units(limits.get("duplicate_window_s", "0"), 9))
        names = limits.get("restricted_symbols", "").split(",")
        self.restricted = frozenset(name.strip() for name in names if name.strip())
        # Does more count than what is open: symbols, repetitions, messages?
        self.conduct = bool(self.restricted or self.duplicate_ns or self.messages_max)

    def caps(self, instrument: Instrument) -> Caps:
        """Position and credit in this instrument's units."""
        scales = instrument.quantity_scale, instrument.quote_scale
        caps = self._caps.get(scales)
        if caps is None:
            most = [
                floor(_units(self._texts[name], scale)) if name in self._texts else None
                for name, scale in zip(("position_max", "credit_max"), scales, strict=True)
            ]
            caps = self._caps[scales] = Caps(*most)
        return caps


def likeness(order: Order) -> tuple[object, ...]:
    """What two orders have in common when one is a slip of the finger."""
    terms = order.terms
    return (
        order.instrument.symbol, order.side.value, order.order_type.value, order.price_ticks,
        order.quantity_lots, terms.stop_ticks if terms else 0, terms.budget if terms else 0,
    )  # fmt: skip


def _units(text: str, scale: int) -> Fraction:
    return Fraction(text) * Fraction(10) ** scale
