"""Listings: what operators changed of what is traded, and at which fees and price steps.

Flow:  operations -> [listings] -> settings in force -> desk, exchange, ledger, risk
What an operator set goes before the configuration, and lasts until it is set again, restarts or
not. The one exception: the section of config.ini of a symbol that was listed here first. Once
there is one, that section says what the instrument is.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from oms.config import mistakes_in_fees, mistakes_in_ledger
from oms.desk.settings import instrument_of, money_terms_of
from oms.enums import Scope
from oms.errors import StoreError, ValidationError
from oms.instruments import Instrument
from oms.reject_reasons import RejectReason
from oms.requests.operators import OperatorAction

if TYPE_CHECKING:
    from oms.desk.desk import Desk

INVALID, SYMBOL_UNKNOWN = RejectReason.COMMAND_INVALID.value, RejectReason.SYMBOL_UNKNOWN.value
SYMBOL = Scope.SYMBOL.value
FEES = ("maker_fee_bps", "taker_fee_bps")
STEPS = ("tick_size", "tick_table")  # in ticks of the scale they were said under
NAMED_MAX = 10  # accounts in one text
CANCEL = "cancel"  # the value of a DELIST that may cancel orders
Fees = dict[tuple[str, str], tuple[int, int]]


class Listing(NamedTuple):
    """What a MARKET line says, but for who asks.

    name: the tier of whom the fees are, or "". terms: of LIST the instrument and its limits, of
    SET_MARKET what is set; None where the configuration is to hold again.
    """

    action: str
    symbol: str
    name: str
    value: str
    why: str
    terms: dict[str, Any]


def in_force(settings: dict[str, Any], changed: Mapping[str, dict[str, Any]]) -> dict[str, Any]:
    """The settings of a START, with what operators changed: instruments, fees and limits.

    changed: symbol -> `listed`, whether it is, if an operator said so; `instrument` and `limits`
    of one that the configuration does not have; `set`, its other fields; `scale`, that of the
    steps among them; `fees` by tier.
    """
    if not changed:
        return settings
    configured = {fields["symbol"]: fields for fields in settings["instruments"]}
    instruments, fees = [], {(s, tier): rates for s, tier, *rates in settings.get("fees", ())}
    limits = dict(settings.get("limits", {}))
    limits[SYMBOL] = dict(limits.get(SYMBOL, {}))
    for symbol in [*configured, *(symbol for symbol in changed if symbol not in configured)]:
        own = changed.get(symbol, {})
        fields = configured.get(symbol) or own.get("instrument")
        if fields is None or not own.get("listed", True):
            continue
        instruments.append({**fields, **_set_of(own, fields["price_scale"])})
        if symbol not in configured:
            limits[SYMBOL][symbol] = own.get("limits", {})
        fees.update({(symbol, tier): rates for tier, rates in own.get("fees", {}).items()})
    told = [[*key, *rates] for key, rates in sorted(fees.items())]
    return {**settings, "instruments": instruments, "fees": told, "limits": limits}


def _set_of(own: dict[str, Any], price_scale: int) -> dict[str, Any]:
    """Steps count in ticks: under another scale they would be others, so then they do not hold."""
    holds = own.get("scale", price_scale) == price_scale
    return {name: v for name, v in own.get("set", {}).items() if holds or name not in STEPS}


def fees_in(settings: dict[str, Any]) -> Fees:
    """Maker and taker fee by symbol and tier, where it is not the instrument's."""
    return {(s, tier): (maker, taker) for s, tier, maker, taker in settings.get("fees", ())}


def tiers_in(settings: dict[str, Any], changed: Mapping[str, dict[str, Any]]) -> set[str]:
    """The tiers that there are fees of, also of symbols that are not listed now."""
    configured = {tier for _, tier in fees_in(settings)}
    return configured.union(*(own.get("fees", {}) for own in changed.values()))


def tiers_lost(accounts: Mapping[str, str], before: set[str], after: set[str]) -> str:
    """Tiers that there are no fees of any more, though accounts have them; "" for none.

    accounts: their tiers. Each would pay what everybody pays, and nobody would say so.
    """
    lost = dict[str, list[str]]()
    for account, tier in sorted(accounts.items()):
        if tier in before - after:
            lost.setdefault(tier, []).append(account)
    return "; ".join(
        f"tier={tier}, expected fees of it as long as accounts have it ({len(names)}): "
        f"{', '.join(names[:NAMED_MAX])}{', ...' if names[NAMED_MAX:] else ''}"
        for tier, names in lost.items()
    )


def mistakes_in(settings: dict[str, Any]) -> str:
    """What does not go together in settings that are in force; "" for nothing."""
    try:
        made = {each["symbol"]: instrument_of(each) for each in settings["instruments"]}
    except ValidationError as error:
        return str(error)
    fees = {key: rates for key, rates in fees_in(settings).items() if key[0] in made}
    mistakes = [f"[{where}] {error}" for where, error in mistakes_in_fees(made, made, fees)]
    return "; ".join(mistakes)


def check_tiers(desk: Desk, new: dict[str, Any]) -> None:
    """The fees of a tier that an operator gave to accounts cannot go; StoreError names these."""
    set_by_operator = {
        account: settings["tier"]
        for account, settings in desk.account_settings.items()
        if "tier" in settings
    }
    changed = desk.listings.changed
    before, after = tiers_in(desk.settings, changed), tiers_in(new, changed)
    reason = tiers_lost(set_by_operator, before, after)
    if reason:
        raise StoreError(f"[fees SYMBOL TIER]: {reason}; give these accounts another tier first")


class Listings:
    """changed: see `in_force`."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self.changed: dict[str, dict[str, Any]] = {}

    def settings(self) -> dict[str, Any]:
        """The settings in force."""
        return in_force(self._desk.settings, self.changed)

    def known(self, symbol: str) -> Instrument | None:
        """The instrument of a symbol that is traded, or was: its trades can still be changed."""
        desk = self._desk
        listed = desk.instruments.get(symbol)
        if listed is not None or desk.rules < 3 or symbol not in desk.money_terms:
            return listed
        if desk.engine is not None:
            return desk.engine.markets[symbol].instrument
        base, quote, *scales = desk.money_terms[symbol][0][1:]
        names = ("price_scale", "quantity_scale", "base_scale", "quote_scale")
        of_scales = dict(zip(names, scales, strict=True))
        return Instrument(symbol=symbol, base=base, quote=quote, **of_scales)

    # --- may it be? ---

    def why_not(self, asked: Listing) -> str:
        """Why the request cannot be obeyed; nothing is done."""
        listed = asked.symbol in self._desk.instruments
        if asked.action == OperatorAction.LIST:
            return self._why_not_list(asked, listed)
        if not listed:
            known = "|".join(self._desk.instruments)
            return f"{SYMBOL_UNKNOWN}: symbol={asked.symbol}, known={known}"
        if asked.action == OperatorAction.DELIST:
            return self._why_not_delist(asked)
        return self._why_not_set(asked)

    def _why_not_list(self, asked: Listing, listed: bool) -> str:
        if listed:
            return f"{INVALID}: symbol={asked.symbol}, listed already"
        configured = {fields["symbol"] for fields in self._desk.settings["instruments"]}
        if asked.terms and asked.symbol in configured:
            return f"{INVALID}: settings, expected none: the configuration has {asked.symbol}"
        would = self._would(asked)
        if asked.symbol not in {fields["symbol"] for fields in would["instruments"]}:
            return f"{INVALID}: settings, expected those of [instrument {asked.symbol}], was none"
        reason = mistakes_in(would)
        if reason:
            return f"{INVALID}: {reason}"
        made = next(each for each in would["instruments"] if each["symbol"] == asked.symbol)
        return self._why_not_counted(instrument_of(made))

    def _why_not_counted(self, instrument: Instrument) -> str:
        """Positions and balances are counted in scales that must stay."""
        desk, symbol = self._desk, instrument.symbol
        before = desk.money_terms.get(symbol)
        now = money_terms_of(instrument)
        if before is not None and before[0][1:] != now:
            names = ("base", "quote", "price_scale", "quantity_scale", "base_scale", "quote_scale")
            of = ", ".join(f"{name}={v}" for name, v in zip(names, before[0][1:], strict=True))
            return f"{INVALID}: symbol={symbol}, expected {of}, as it was listed before"
        if desk.executions.ledger is not None:
            for _, error in mistakes_in_ledger({symbol: instrument}, desk.ledger.scales):
                return f"{INVALID}: {error}"
        return ""

    def open_orders(self, symbol: str) -> int:
        orders = self._desk.executions.orders.values()
        return sum(order.instrument.symbol == symbol for order in orders)

    def _why_not_delist(self, asked: Listing) -> str:
        count, remote = self.open_orders(asked.symbol), self._desk.engine is None
        if not count or (asked.value == CANCEL and not remote):
            return ""
        cure = "cancel them first" if remote else f"cancel them first, or ask with value {CANCEL}"
        return f"{INVALID}: symbol={asked.symbol}, open_orders={count}, {cure}"

    def _why_not_set(self, asked: Listing) -> str:
        would = self._would(asked)
        reason = mistakes_in(would)
        if not reason and asked.name and self._desk.rules > 2:
            settings = self._desk.settings
            before, after = (
                tiers_in(settings, changed) for changed in (self.changed, self._changed_by(asked))
            )
            reason = tiers_lost(self._desk.ledger.tiers, before, after)
        if reason:
            return f"{INVALID}: {reason}"
        fields = next(each for each in would["instruments"] if each["symbol"] == asked.symbol)
        instrument, beside = instrument_of(fields), 0
        if not asked.terms.keys().isdisjoint(STEPS):
            for order in self._desk.executions.orders.values():
                if order.instrument.symbol == asked.symbol:
                    stop = order.terms.stop_ticks if order.terms is not None else 0
                    prices = [order.price_ticks, stop]
                    for change in order.changes or ():
                        prices += [change.price_ticks, change.stop_ticks]
                    beside += any(price % instrument.tick_at(price) for price in prices)
        if beside:
            return f"{INVALID}: symbol={asked.symbol}, open_orders={beside} are not on those ticks"
        return ""

    # --- doing it ---

    def _would(self, asked: Listing) -> dict[str, Any]:
        """The settings in force once it is done."""
        return in_force(self._desk.settings, self._changed_by(asked))

    def _changed_by(self, asked: Listing) -> dict[str, dict[str, Any]]:
        own = {**self.changed.get(asked.symbol, {})}
        if asked.action == OperatorAction.LIST:
            own = {**own, "listed": True, **asked.terms}
        elif asked.action == OperatorAction.DELIST:
            own["listed"] = False
        elif asked.name:
            own["fees"] = self._fees(asked, own.get("fees", {}))
        else:
            said = {**own.get("set", {}), **asked.terms}
            own["set"] = {name: value for name, value in said.items() if value is not None}
            if not asked.terms.keys().isdisjoint(STEPS):
                own["scale"] = self._desk.instruments[asked.symbol].price_scale
        return {**self.changed, asked.symbol: own}

    def _fees(self, asked: Listing, before: dict[str, Any]) -> dict[str, list[int]]:
        """Fees of a tier; one that is not said is as before, or as the instrument's."""
        fees = {tier: rates for tier, rates in before.items() if tier != asked.name}
        if all(value is None for value in asked.terms.values()):
            return fees
        instrument = self._desk.instruments[asked.symbol]
        now = self._desk.ledger.rates.get(
            (asked.symbol, asked.name), (instrument.maker_fee_bps, instrument.taker_fee_bps)
        )
        said = [asked.terms.get(name) for name in FEES]
        rates = [rate if one is None else one for one, rate in zip(said, now, strict=True)]
        return {**fees, asked.name: rates}

    def obey(self, asked: Listing) -> str:
        """Change what is listed; what to tell. The desk takes it over after this."""
        self.changed = self._changed_by(asked)
        told = {OperatorAction.LIST.value: "listed", OperatorAction.DELIST.value: "delisted"}
        if asked.action in told:
            return f"symbol={asked.symbol}, {told[OperatorAction(asked.action).value]}"
        said = ", ".join(
            f"{name}={'as configured' if value is None else value}"
            for name, value in asked.terms.items()
        )
        return f"symbol={asked.symbol}, {said}"
