"""Limits: their texts, as configuration and operators give them, become numbers to compare.

Flow:  settings, operator_desk -> [limits] -> risk
A limit is text until it meets an instrument: "2.5" is so many lots of this one, so many of that.
"""

import re
from fractions import Fraction
from math import ceil, floor
from typing import NamedTuple

from oms.clock import NANOS
from oms.enums import OrderType, Scope, Side, TimeInForce
from oms.errors import ValidationError
from oms.exchange.order import Exposure, Order
from oms.instruments import Instrument
from oms.money import to_text
from oms.reject_reasons import RejectReason

Limits = dict[str, str]
"""Limit -> its text, as in config.ini; what is not there, empty or 0 is not limited."""

AMOUNT = r"[0-9]{1,20}(\.[0-9]{1,12})?"
SYMBOL_LIMITS = (
    "price_band_bps", "price_band_around", "quantity_min", "quantity_max", "notional_min",
    "notional_max", "market_quantity_max", "market_notional_max",
)  # fmt: skip
GROUP_LIMITS = (
    "open_orders_max", "stop_orders_max", "amends_max", "messages_max", "messages_window_s",
    "position_max", "credit_max", "gross_max", "net_max", "restricted_symbols", "allowed_sides",
    "allowed_order_types", "allowed_times_in_force",
)  # fmt: skip
ACCOUNT_LIMITS = (*GROUP_LIMITS, "duplicate_window_s")  # a slip is one account's
KNOWN = {Scope.SYMBOL: SYMBOL_LIMITS, Scope.GROUP: GROUP_LIMITS}
ACCOUNT_LIMITS_FIRST = (
    "open_orders_max", "messages_max", "messages_window_s", "position_max", "credit_max",
    "duplicate_window_s", "restricted_symbols",
)  # fmt: skip
KNOWN_FIRST = {Scope.SYMBOL: SYMBOL_LIMITS[:6]}
COUNTS = ("open_orders_max", "stop_orders_max", "amends_max", "messages_max", "price_band_bps")
ALLOWED = {
    "allowed_sides": tuple(Side),
    "allowed_order_types": tuple(OrderType),
    "allowed_times_in_force": tuple(TimeInForce),
}


def check_limit(scope: Scope, name: str, value: str, rules: int = 3) -> None:
    """ValidationError if there is no such limit, or it cannot have this value.

    rules: number of the rules; under number 1 there were fewer limits, and what is new was refused.
    """
    known = KNOWN.get(scope, ACCOUNT_LIMITS)
    if rules == 1:
        known = KNOWN_FIRST.get(scope, ACCOUNT_LIMITS_FIRST)
    if name not in known:
        raise ValidationError("name", name, f"one of {', '.join(known)} for {scope}")
    if name == "price_band_around":
        if value not in ("", "last", "reference"):
            raise ValidationError(name, value, "last or reference")
    elif name in COUNTS and value:
        if not (value.isascii() and value.isdecimal() and len(value) <= 15):
            raise ValidationError(name, value, "a whole number, 0 or more")
    elif name in ALLOWED:
        words = ALLOWED[name]
        if value.strip("0") and not set(value.split(",")) <= set(words):
            raise ValidationError(name, value, f"some of {','.join(words)}, or 0 for all")
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

    __slots__ = (
        "band_around", "band_bps", "market_notional", "market_quantity", "notional", "quantity",
    )  # fmt: skip

    def __init__(self, limits: Limits, instrument: Instrument) -> None:
        self.quantity = Range("quantity", limits, instrument.quantity_scale)
        self.notional = Range("notional", limits, instrument.quote_scale)
        self.market_quantity = Range("market_quantity", limits, instrument.quantity_scale)
        self.market_notional = Range("market_notional", limits, instrument.quote_scale)
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
    gross: int | None
    net: int | None


CAPS = ("position_max", "credit_max", "gross_max", "net_max")


class AccountLimits:
    """One account's limits, or those of a group."""

    __slots__ = (
        "_caps", "_texts", "allowed", "amends_max", "conduct", "duplicate_ns", "messages_max",
        "messages_window_ns", "more", "open_orders_max", "restricted", "stop_orders_max",
    )  # fmt: skip

    def __init__(self, limits: Limits) -> None:
        self._texts = limits
        self._caps: dict[tuple[int, int], Caps] = {}
        self.open_orders_max = int(limits.get("open_orders_max", 0))
        self.stop_orders_max = int(limits.get("stop_orders_max", 0))
        self.amends_max = int(limits.get("amends_max", 0))
        self.messages_max = int(limits.get("messages_max", 0))
        self.messages_window_ns = floor(_units(limits.get("messages_window_s", "1"), 9)) or NANOS
        self.duplicate_ns = floor(_units(limits.get("duplicate_window_s", "0"), 9))
        names = limits.get("restricted_symbols", "").split(",")
        self.restricted = frozenset(name.strip() for name in names if name.strip())
        self.allowed = {n: frozenset(limits[n].split(",")) for n in ALLOWED if n in limits}
        # Must an Exposure count more than orders, lots and credit?
        self.more = bool(self.stop_orders_max or "gross_max" in limits or "net_max" in limits)
        # Does more matter of a plain order than that it is open: what it is, when it comes, its
        # value?
        self.conduct = bool(
            self.restricted or self.duplicate_ns or self.messages_max or self.allowed or self.more
        )

    def caps(self, instrument: Instrument) -> Caps:
        """Position, credit and exposures in this instrument's units."""
        scales = instrument.quantity_scale, instrument.quote_scale
        caps = self._caps.get(scales)
        if caps is None:
            most = [
                floor(_units(self._texts[name], scale)) if name in self._texts else None
                for name, scale in zip(CAPS, (scales[0], *3 * scales[1:]), strict=True)
            ]
            caps = self._caps[scales] = Caps(*most)
        return caps


class Holder(NamedTuple):
    """Whose limits an order must keep: its account's, or a group's, as if that were one account.

    whose: what a refusal says of it, behind the limit.
    """

    limits: AccountLimits
    exposure: Exposure
    members: tuple[str, ...]
    whose: str


def likeness(order: Order) -> tuple[object, ...]:
    """What two orders have in common when one is a slip of the finger."""
    terms = order.terms
    return (
        order.instrument.symbol, order.side.value, order.order_type.value, order.price_ticks,
        order.quantity_lots, terms.stop_ticks if terms else 0, terms.budget if terms else 0,
    )  # fmt: skip


def _units(text: str, scale: int) -> Fraction:
    return Fraction(text) * Fraction(10) ** scale
