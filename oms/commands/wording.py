"""Wording: what codes, entries and figures are in English, for `explain`.

Pure:  no store, no clock; figures need to know what they count.
"""

from collections.abc import Callable, Mapping
from typing import Any

from oms.clock import datetime_of
from oms.desk import entries
from oms.desk.entries import Entry
from oms.instruments import Instrument
from oms.messages import Liquidity, RejectReason
from oms.money import to_text
from oms.reports import OrderResponse

WAITS = {
    "QUEUED_THROTTLE": "waits in the queue: the throttle lets no more through at this moment",
    "HELD_SESSION": "waits in the queue: the session is closed, or the link to the venue is down",
    "SENT_UNACKED": "sent to the venue, which has not answered yet",
}
ROLES = {
    Liquidity.MAKER: ", which found it in the book",
    Liquidity.TAKER: ", which rested in the book",
    Liquidity.AUCTION: ", in an auction, at the price of all",
}
# Why an order ended, or was changed, that nobody asked to: what the codes of reasons mean.
REASONS_WHY = {
    RejectReason.OCO: "its pair was filled, woken or ended",
    RejectReason.SELF_TRADE: "it would have traded with an order of the same account or group",
    RejectReason.EXPIRE_TIME: "it was good until then and no longer",
    RejectReason.SESSION_ENDED: "the session ended",
    RejectReason.POST_ONLY: "it was to make, and would have taken",
    RejectReason.MIN_QUANTITY: "less than its minimum could be filled at once",
    RejectReason.INSUFFICIENT_LIQUIDITY: "the book did not have what it asked for",
    RejectReason.FUNDS_INSUFFICIENT: "the account does not have what it costs",
    RejectReason.MARKET_STATE: "such an order cannot be entered in this phase of the market",
    RejectReason.BREAKER: "the circuit breaker lets nothing trade there",
    RejectReason.MASS_CANCEL: "a mass cancel",
    RejectReason.KILL_SWITCH: "the kill switch",
}


class Words:
    """Figures with their decimals, terms and commands in words."""

    def __init__(self, instruments: Mapping[str, Instrument], scales: Mapping[str, int]) -> None:
        self._instruments = instruments
        self._scales = scales

    def money(self, symbol: str, units: int) -> str:
        instrument = self._instruments.get(symbol)
        if instrument is None:
            return f"{units} units of the quote asset"
        return f"{to_text(units, instrument.quote_scale)} {instrument.quote}".rstrip()

    def price(self, symbol: str, ticks: int) -> str:
        instrument = self._instruments.get(symbol)
        return to_text(ticks, instrument.price_scale) if instrument else f"{ticks} ticks"

    def quantity(self, symbol: str, lots: int) -> str:
        instrument = self._instruments.get(symbol)
        return to_text(lots, instrument.quantity_scale) if instrument else f"{lots} lots"

    def terms(self, symbol: str, fields: dict[str, Any]) -> str:
        """What an order is besides plain."""
        words: dict[str, Callable[[Any], str]] = {
            "stop": lambda ticks: f"when the market trades at {self.price(symbol, ticks)}",
            "display": lambda lots: f"showing {self.quantity(symbol, lots)}",
            "post": lambda how: f"post-only ({how.lower()})",
            "expire": lambda at_ns: f"good till {datetime_of(at_ns):%Y-%m-%d %H:%M:%S.%f}",
            "min": lambda lots: f"at least {self.quantity(symbol, lots)} at once",
            "budget": lambda units: f"for {self.money(symbol, units)}",
            "protect": lambda ticks: f"no worse than {self.price(symbol, ticks)}",
            "oco": lambda other: f'one of a pair with "{other}"',
            "stp": lambda mode: f"self-trade prevention {mode}",
        }
        return "".join(f", {words[name](value)}" for name, value in fields.items())

    def command(self, entry: Entry) -> str:
        """What funds, mass cancels and operators' commands ask."""
        kind = entry[0]
        if kind == entries.FUNDS:
            _, account, _, action, asset, units, other = entry
            scale = self._scales.get(asset)
            amount = f"{units} units" if scale is None else to_text(units, scale)
            moved = f" {amount} {asset}" if asset else ""
            return f"{action.lower()}{moved}, account {account}" + (f" to {other}" if other else "")
        if kind == entries.MASS_CANCEL:
            _, _, _, account, symbol, side = entry
            whose = f"of account {account}" if account else "of everybody"
            which = "".join(f", {what}" for what in (symbol, side) if what)
            return f"cancel every open order {whose}{which}"
        if kind == entries.OPERATOR:
            _, _, _, action, scope, target, name, value, why = entry
            said = f"{name} = {value}" if name else value
            of = f"{scope.lower()} {target}".strip()
            return f"operator: {action} {said}".rstrip() + f", {of}" + (f": {why}" if why else "")
        return f"operator: take a trade back: {entry[3]}"


def why_of(report: OrderResponse) -> str:
    """The report's reason: its code and figures, and what the code means."""
    if not report.text:
        return ""
    meaning = REASONS_WHY.get(report.reason) if report.reason is not None else None
    return f": {report.text}" + (f" ({meaning})" if meaning else "")
