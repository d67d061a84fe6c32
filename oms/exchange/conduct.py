"""Conduct: what an account or group may send, and how much of it: kinds, repeats, rates.

Flow:  risk -> [conduct] -> risk: "" or why not
Owner: the dispatcher thread. What is remembered for it is in the holder's Exposure.
"""

from oms.clock import NANOS
from oms.enums import Side
from oms.exchange.limits import AccountLimits, Holder, likeness
from oms.exchange.order import Change, Exposure, Order
from oms.reject_reasons import RejectReason

BUY = Side.BUY


def comes_nearer(change: Change) -> bool:
    """Does a modify bring its order nearer to a trade, by its price or its stop price?"""
    order, sign = change.order, 1 if change.order.side is BUY else -1
    stop_now = order.terms.stop_ticks if order.terms is not None else 0
    stop_new = change.stop_ticks or stop_now
    return (change.price_ticks - order.price_ticks) * sign > 0 or (stop_now - stop_new) * sign > 0


def not_allowed(holder: Holder, order: Order) -> str:
    """What the account may not trade. Sides, order types and times in force are told by words."""
    symbol = order.instrument.symbol
    if symbol in holder.limits.restricted:
        return f"{RejectReason.SYMBOL_RESTRICTED}: symbol={symbol}{holder.whose}"
    for name, word, code in (
        ("allowed_sides", order.side, RejectReason.SIDE_NOT_ALLOWED),
        ("allowed_order_types", order.order_type, RejectReason.ORDER_TYPE_NOT_ALLOWED),
        ("allowed_times_in_force", order.time_in_force, RejectReason.TIME_IN_FORCE_NOT_ALLOWED),
    ):
        words = holder.limits.allowed.get(name)
        if words is not None and word.value not in words:
            return f"{code}: was={word.value}, allowed={'|'.join(sorted(words))}{holder.whose}"
    return ""


def repeated(holder: Holder, order: Order, elapsed_ns: int) -> str:
    """The same order again, too soon to be meant."""
    limits = holder.limits
    before_ns = holder.exposure.recent.get(likeness(order)) if limits.duplicate_ns else None
    if before_ns is None or elapsed_ns - before_ns >= limits.duplicate_ns:
        return ""
    return (
        f"{RejectReason.ORDER_REPEATED}: after_ns={elapsed_ns - before_ns}, "
        f"window_s={limits.duplicate_ns / NANOS:g}"
    )


def counts(holder: Holder, order: Order, elapsed_ns: int) -> str:
    """Open orders, stops that wait, and messages in the window."""
    limits, exposure = holder.limits, holder.exposure
    most = limits.open_orders_max
    if most and exposure.count >= most:
        code = RejectReason.OPEN_ORDERS_EXCEED_MAXIMUM
        return f"{code}: open={exposure.count + 1}, max={most}{holder.whose}"
    most = limits.stop_orders_max
    if most and order.suspended and exposure.stops >= most:
        code = RejectReason.STOP_ORDERS_EXCEED_MAXIMUM
        return f"{code}: stops={exposure.stops + 1}, max={most}{holder.whose}"
    return messages(holder, elapsed_ns)


def amends(holder: Holder, order: Order, ahead: int) -> str:
    """How often an order was changed: each change left a client order id behind."""
    most, amended = holder.limits.amends_max, len(order.earlier_ids or ()) + ahead
    if not most or amended < most:
        return ""
    return f"{RejectReason.AMENDS_EXCEED_MAXIMUM}: amends={amended + 1}, max={most}{holder.whose}"


def messages(holder: Holder, elapsed_ns: int) -> str:
    """Orders and modifies in the window."""
    limits, exposure = holder.limits, holder.exposure
    most = limits.messages_max
    if not most or len(exposure.stamps) < most:
        return ""
    if elapsed_ns - exposure.stamps[-most] >= limits.messages_window_ns:
        return ""
    return (
        f"{RejectReason.MESSAGES_EXCEED_MAXIMUM}: messages={most + 1}, max={most}, "
        f"window_s={limits.messages_window_ns / NANOS:g}{holder.whose}"
    )


def stamp(limits: AccountLimits, exposure: Exposure, elapsed_ns: int) -> None:
    """One more message was accepted."""
    if limits.messages_max:
        exposure.stamps.append(elapsed_ns)
        del exposure.stamps[: -limits.messages_max]
