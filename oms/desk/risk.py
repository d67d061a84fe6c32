"""Pre-trade risk: who may trade, and how much; checked before an order goes anywhere.

Flow:  desk -> [risk]: "" or why not, with the limit and the value
Owner: the dispatcher thread, alone: two orders can never pass a limit that has room for one.
Time is the turn's stamp, so that a replay refuses what was refused. A limit that is not set
costs nothing; a cancel is never checked.
"""

import re
from collections.abc import Callable, Iterable, Mapping
from fractions import Fraction
from functools import lru_cache
from math import ceil, floor
from typing import Any

from oms.clock import NANOS
from oms.errors import ValidationError
from oms.exchange.ledger import bound_of
from oms.instruments import BPS, Instrument
from oms.messages import RejectReason, Scope, Side, Trading
from oms.money import to_text
from oms.orders import Exposure, Order

BUY = Side.BUY
ACCOUNT, SYMBOL = Scope.ACCOUNT, Scope.SYMBOL  # a look-up in the class is a call
RECENT_MAX = 1_000  # orders remembered per account for the duplicate window
AMOUNT = r"[0-9]{1,20}(\.[0-9]{1,12})?"

Limits = dict[str, str]
"""Limit -> its text, as in config.ini; what is not there is not limited."""

# Every limit, and whether its value will do; "" always means none.
INSTRUMENT_LIMITS = (
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
    known = INSTRUMENT_LIMITS if scope is Scope.SYMBOL else ACCOUNT_LIMITS
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


class Risk:
    """Trading states, limits, and what is known of accounts that have limits.

    reference_of: what a price band goes by: symbol, and "last" or "reference" -> ticks, or 0.
    """

    def __init__(self, positions: Mapping[tuple[str, str], int]) -> None:
        self._positions = positions
        self.reference_of: Callable[[str, str], int] = lambda _symbol, _around: 0
        self.everybody = Trading.ACTIVE
        self.accounts: dict[str, Trading] = {}
        self.killed = ""  # why; "" while the kill switch is off
        self.idle = True  # nobody is limited, nobody halted: there is nothing to check
        self._configured: dict[str, dict[str, Limits]] = {}
        self.set_by_operator: dict[str, dict[str, Limits]] = {}  # scope -> target -> limits
        self.exposures: dict[str, Exposure] = {}
        self._limits: dict[tuple[Scope, str], Limits] = {}  # merged, as asked for

    # --- settings ---

    def configure(self, limits: dict[str, dict[str, Limits]]) -> None:
        """The limits of the configuration: scope -> target ("" for all accounts) -> limits."""
        self._configured = limits
        self._refresh()

    def set_limit(self, scope: Scope, target: str, name: str, value: str) -> None:
        """An operator's limit goes before the configured one; "" gives that back."""
        limits = self.set_by_operator.setdefault(scope.value, {}).setdefault(target, {})
        if value:
            limits[name] = value
        else:
            limits.pop(name, None)
        self._refresh()

    def set_trading(self, account: str, state: Trading, why: str) -> None:
        """Who may trade: one account, or everybody ("")."""
        if not account:
            self.everybody = state
            self.killed = why if state is Trading.HALTED else ""
        elif state is Trading.ACTIVE:
            self.accounts.pop(account, None)
        else:
            self.accounts[account] = state
        self._refresh()

    def _refresh(self) -> None:
        """Limits are merged anew when next asked for; with none at all nothing is looked at."""
        self._limits = {}
        sources = (self._configured, self.set_by_operator)
        limited = any(
            limits for s in sources for targets in s.values() for limits in targets.values()
        )
        self.idle = not limited and self.everybody is Trading.ACTIVE and not self.accounts

    def limits_of(self, scope: Scope, target: str) -> Limits:
        """What holds for one account or symbol: everybody's, its own, the operator's."""
        found = self._limits.get((scope, target))
        if found is None:
            found = {}
            for source in (self._configured, self.set_by_operator):
                for name in dict.fromkeys(("", target)):
                    found.update(source.get(scope.value, {}).get(name, {}))
            found = {name: text for name, text in found.items() if text.strip("0.")}
            if len(self._limits) > 100_000:
                self._limits = {}
            self._limits[scope, target] = found
        return found

    def watch(self, orders: Iterable[Order]) -> None:
        """Count anew what is open in accounts that have limits; after any of them changed."""
        before, self.exposures = self.exposures, {}
        for order in orders:
            order.exposure = self.exposure_of(order.account)
            if order.exposure is not None:
                order.exposure.move(order, order.left_lots, 1)
        for account, exposure in before.items():
            now = self.exposure_of(account)
            if now is not None:
                now.stamps, now.recent = exposure.stamps, exposure.recent

    def exposure_of(self, account: str) -> Exposure | None:
        """What an account has open; None where no limit asks for it."""
        exposure = self.exposures.get(account)
        if exposure is None and self.limits_of(ACCOUNT, account):
            exposure = self._expose(account)
        return exposure

    def _expose(self, account: str) -> Exposure:
        exposure = self.exposures[account] = Exposure()
        return exposure

    # --- the checks, in their order ---

    def gate(self, account: str) -> str:
        """The kill switch, and a halted account: before anything else is looked at."""
        if self.idle:
            return ""
        if self.everybody is Trading.HALTED:
            return f"{RejectReason.KILL_SWITCH}: {self.killed or 'trading is halted'}"
        if self.accounts and self.accounts.get(account) is Trading.HALTED:
            return f"{RejectReason.ACCOUNT_HALTED}: account={account}"
        return ""

    def check(self, order: Order, wall_ns: int, *, again: bool = False) -> str:
        """Why a new order may not go on; again: one that was held is looked at anew."""
        if self.idle:
            return ""
        reason = self._reducing(order) if self._reduces_only(order.account) else ""
        symbol = self.limits_of(SYMBOL, order.instrument.symbol)
        account = self.limits_of(ACCOUNT, order.account)
        if account and not reason:
            reason = _restricted(account, order.instrument.symbol)
            if not reason and not again:
                reason = self._repeated(account, order, wall_ns)
        if symbol and not reason:
            reason = self._size(symbol, order, order.quantity_lots, bound_of(order))
        if account and not reason:
            exposure = self.exposures.get(order.account) or self._expose(order.account)
            if not again:
                reason = self._open_orders(account, exposure)
                reason = reason or self._messages(account, exposure, wall_ns)
            already = order.left_lots if again else 0
            reason = reason or self._position(account, exposure, order, order.left_lots - already)
            reason = reason or self._credit(
                account, exposure, order, bound_of(order) * (order.left_lots - already)
            )
        return reason

    def accepted(self, order: Order, wall_ns: int) -> None:
        """The order is in: count it."""
        if self.idle:
            return
        exposure = self.exposure_of(order.account)
        if exposure is None:
            return
        order.exposure = exposure
        exposure.move(order, order.left_lots, 1)
        limits = self.limits_of(ACCOUNT, order.account)
        _stamp(exposure, limits, wall_ns)
        if "duplicate_window_s" in limits:
            if len(exposure.recent) >= RECENT_MAX:
                exposure.recent.pop(next(iter(exposure.recent)))
            exposure.recent.pop(_likeness(order), None)
            exposure.recent[_likeness(order)] = wall_ns

    def check_change(self, order: Order, price_ticks: int, lots: int, wall_ns: int) -> str:
        """Why an order may not have this price and total quantity: the delta is what counts."""
        if self.idle:
            return ""
        more = max(lots - order.cumulative_lots, 0) - order.left_lots
        # Orders stay open when trading is halted: they may get smaller, but not trade this way.
        smaller = more <= 0 and price_ticks == order.price_ticks
        reason = "" if smaller else self.gate(order.account)
        if not reason and self._reduces_only(order.account) and more > 0:
            reason = f"{RejectReason.REDUCING_ONLY}: more={more}"
        symbol = self.limits_of(SYMBOL, order.instrument.symbol)
        if symbol and not reason:
            reason = self._size(_minded(symbol, order, price_ticks, lots), order, lots, price_ticks)
        account = self.limits_of(ACCOUNT, order.account)
        if account and not reason:
            exposure = self.exposures.get(order.account) or self._expose(order.account)
            reason = self._messages(account, exposure, wall_ns)
            reason = reason or self._position(account, exposure, order, more)
            value = price_ticks * (order.left_lots + more) - order.price_ticks * order.left_lots
            reason = reason or self._credit(account, exposure, order, value)
            if not reason:
                _stamp(exposure, account, wall_ns)
        return reason

    def _reduces_only(self, account: str) -> bool:
        return self.everybody is Trading.REDUCING or (
            bool(self.accounts) and self.accounts.get(account) is Trading.REDUCING
        )

    def _reducing(self, order: Order) -> str:
        """Only as much as brings the position to zero."""
        position = self._positions.get((order.account, order.instrument.symbol), 0)
        room = -position if order.side is BUY else position
        if 0 < order.quantity_lots <= room:  # 0: a budget buys nobody knows how many
            return ""
        return f"{RejectReason.REDUCING_ONLY}: quantity={order.quantity_lots}, position={position}"

    def _repeated(self, limits: Limits, order: Order, wall_ns: int) -> str:
        window_ns = _nanos(limits, "duplicate_window_s")
        exposure = self.exposure_of(order.account)
        if not window_ns or exposure is None:
            return ""
        before_ns = exposure.recent.get(_likeness(order))
        if before_ns is None or wall_ns - before_ns >= window_ns:
            return ""
        window = limits["duplicate_window_s"]
        return f"{RejectReason.ORDER_REPEATED}: after_ns={wall_ns - before_ns}, window_s={window}"

    def _size(self, limits: Limits, order: Order, lots: int, price_ticks: int) -> str:
        """Quantity, notional and price, against the instrument's limits."""
        instrument = order.instrument
        scale = instrument.quantity_scale
        reason = _outside(limits, "quantity", lots, scale, "QUANTITY") if lots else ""
        reference = self.reference_of(instrument.symbol, limits.get("price_band_around", "last"))
        price = price_ticks or reference
        budget = order.terms.budget if order.terms is not None else 0
        if (price or budget) and not reason:
            notional = budget or instrument.notional(price, lots)
            reason = _outside(limits, "notional", notional, instrument.quote_scale, "NOTIONAL")
        band = int(limits.get("price_band_bps", 0))
        if band and price_ticks and reference and not reason:
            low = -(-reference * (BPS - band) // BPS)
            high = reference * (BPS + band) // BPS
            if not low <= price_ticks <= high:
                text = [to_text(p, instrument.price_scale) for p in (price_ticks, low, high)]
                reason = (
                    f"{RejectReason.PRICE_OUTSIDE_BAND}: price={text[0]}, min={text[1]}, "
                    f"max={text[2]}"
                )
        return reason

    def _open_orders(self, limits: Limits, exposure: Exposure) -> str:
        most = int(limits.get("open_orders_max", 0))
        if not most or exposure.count < most:
            return ""
        return f"{RejectReason.OPEN_ORDERS_EXCEED_MAXIMUM}: open={exposure.count + 1}, max={most}"

    def _messages(self, limits: Limits, exposure: Exposure, wall_ns: int) -> str:
        most = int(limits.get("messages_max", 0))
        if not most or len(exposure.stamps) < most:
            return ""
        window_ns = _nanos(limits, "messages_window_s") or NANOS
        if wall_ns - exposure.stamps[-most] >= window_ns:
            return ""
        return (
            f"{RejectReason.MESSAGES_EXCEED_MAXIMUM}: messages={most + 1}, max={most}, "
            f"window_s={window_ns / NANOS:g}"
        )

    def _position(self, limits: Limits, exposure: Exposure, order: Order, more: int) -> str:
        """What an account would have, were all it has open filled: long or short."""
        if "position_max" not in limits or more <= 0:
            return ""
        instrument = order.instrument
        most = _most(limits["position_max"], instrument.quantity_scale)
        position = self._positions.get((order.account, instrument.symbol), 0)
        buys, sells, _ = exposure.symbols.get(instrument.symbol, (0, 0, 0))
        would = position + buys + more if order.side is BUY else sells - position + more
        if would <= most:
            return ""
        text = to_text(would, instrument.quantity_scale)
        return f"{RejectReason.POSITION_EXCEEDS_MAXIMUM}: position={text}, max=" + to_text(
            most, instrument.quantity_scale
        )

    def _credit(self, limits: Limits, exposure: Exposure, order: Order, more: int) -> str:
        """The notional of all that is open against one quote asset."""
        if "credit_max" not in limits or more <= 0:
            return ""
        instrument, listed = order.instrument, self.listed
        most = _most(limits["credit_max"], instrument.quote_scale)
        would = sum(
            _notional_of(listed[symbol], value + (more if symbol == instrument.symbol else 0))
            for symbol, (_, _, value) in ({instrument.symbol: [0, 0, 0]} | exposure.symbols).items()
            if symbol in listed and listed[symbol].quote == instrument.quote
        )
        if would <= most:
            return ""
        text = [to_text(units, instrument.quote_scale) for units in (would, most)]
        return f"{RejectReason.CREDIT_EXCEEDS_MAXIMUM}: credit={text[0]}, max={text[1]}"

    listed: Mapping[str, Instrument] = {}  # set by the desk, by symbol

    # --- plain data ---

    def dump(self) -> dict[str, Any]:
        return {
            "everybody": self.everybody.value,
            "accounts": {account: state.value for account, state in self.accounts.items()},
            "killed": self.killed,
            "limits": self.set_by_operator,
            "recent": {
                account: [exposure.stamps, [[*key, at] for key, at in exposure.recent.items()]]
                for account, exposure in self.exposures.items()
                if exposure.stamps or exposure.recent
            },
        }

    def load(self, state: Mapping[str, Any], orders: Iterable[Order]) -> None:
        self.everybody = Trading(state["everybody"])
        self.accounts = {name: Trading(value) for name, value in state["accounts"].items()}
        self.killed = state["killed"]
        self.set_by_operator = state["limits"]
        self._refresh()
        self.watch(orders)
        for account, (stamps, recent) in state["recent"].items():
            exposure = self.exposure_of(account)
            assert exposure is not None
            exposure.stamps = stamps
            exposure.recent = {tuple(each[:-1]): each[-1] for each in recent}


def _restricted(limits: Limits, symbol: str) -> str:
    names = [name.strip() for name in limits.get("restricted_symbols", "").split(",")]
    return f"{RejectReason.SYMBOL_RESTRICTED}: symbol={symbol}" if symbol in names else ""


def _outside(limits: Limits, what: str, value: int, scale: int, code: str) -> str:
    """At a limit is inside; one unit beyond is not."""
    low, high = limits.get(f"{what}_min"), limits.get(f"{what}_max")
    shown = to_text(value, scale)
    if low and value < _least(low, scale):
        return f"{RejectReason[f'{code}_BELOW_MINIMUM']}: {what}={shown}, min={low}"
    if high and value > _most(high, scale):
        return f"{RejectReason[f'{code}_EXCEEDS_MAXIMUM']}: {what}={shown}, max={high}"
    return ""


def _minded(limits: Limits, order: Order, price_ticks: int, lots: int) -> Limits:
    """The limits that a change comes nearer to; those that it only backs away from may rest."""
    more = lots - order.quantity_lots
    dearer = (price_ticks or 1) * lots - (order.price_ticks or 1) * order.quantity_lots
    minds = {
        "quantity_min": more < 0, "quantity_max": more > 0,
        "notional_min": dearer < 0, "notional_max": dearer > 0,
        "price_band_bps": price_ticks != order.price_ticks,
    }  # fmt: skip
    return {name: text for name, text in limits.items() if minds.get(name, True)}


@lru_cache(maxsize=4096)
def _least(text: str, scale: int) -> int:
    """The least that is not below a limit, in units; the limit may be finer than they are."""
    return ceil(Fraction(text) * Fraction(10) ** scale)


@lru_cache(maxsize=4096)
def _most(text: str, scale: int) -> int:
    """The most that is not above a limit, in units."""
    return floor(Fraction(text) * Fraction(10) ** scale)


def _notional_of(instrument: Instrument, value: int) -> int:
    return -(-value * instrument.quote_unit // instrument.price_quantity_unit)


def _likeness(order: Order) -> tuple[object, ...]:
    """What two orders have in common when one is a slip of the finger."""
    terms = order.terms
    return (
        order.instrument.symbol, order.side.value, order.order_type.value, order.price_ticks,
        order.quantity_lots, terms.stop_ticks if terms else 0, terms.budget if terms else 0,
    )  # fmt: skip


def _stamp(exposure: Exposure, limits: Limits, wall_ns: int) -> None:
    most = int(limits.get("messages_max", 0))
    if most:
        exposure.stamps.append(wall_ns)
        del exposure.stamps[:-most]


def _nanos(limits: Limits, name: str) -> int:
    return _most(limits[name], 9) if name in limits else 0
