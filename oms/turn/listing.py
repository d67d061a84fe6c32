"""Listing: what an operator says of a market, as text -> the terms of a MARKET line.

Flow:  intake -> [listing] -> desk/listings.py
The texts are those of the [instrument] section of config.ini, and are read by its rules.
"""

from collections.abc import Mapping
from typing import Any

from oms.config import mistakes_in_limits
from oms.desk.desk import Desk
from oms.desk.settings import fields_of
from oms.errors import ValidationError
from oms.instruments import Instrument
from oms.money import to_units
from oms.requests.operators import OperatorAction
from oms.sections import InstrumentConfig, tick_table_of
from oms.setting_rules import TICK_TABLE, TIER, read_section, rules_of


def terms_of(
    desk: Desk, action: str, symbol: str, tier: str, texts: Mapping[str, str]
) -> dict[str, Any]:
    """Raises ValidationError or ConfigError, naming the setting."""
    if action == OperatorAction.LIST:
        return _listed(desk, symbol, texts) if texts else {}
    if action == OperatorAction.DELIST:
        return {}
    if tier:
        TIER.check("name", tier, tier)
    instrument = desk.instruments.get(symbol)
    if instrument is None:
        raise ValidationError("symbol", symbol, "a symbol that is traded")
    return {name: _setting(instrument, name, text, tier) for name, text in texts.items()}


def _listed(desk: Desk, symbol: str, texts: Mapping[str, str]) -> dict[str, Any]:
    section = read_section(InstrumentConfig, texts)
    assets = {**desk.settings.get("assets", {}), **desk.ledger.scales}
    instrument = section.instrument(symbol, assets)
    limits = section.limits()
    for _, mistake in mistakes_in_limits([symbol], {symbol: instrument}, {symbol: limits}):
        raise mistake
    return {"instrument": fields_of(instrument), "limits": limits}


def _setting(instrument: Instrument, name: str, text: str, tier: str) -> object:
    """None for "": as configured."""
    if tier and name.startswith("tick"):
        raise ValidationError("name", tier, f"none with {name}: it is the same for every tier")
    if not text:
        return None
    if name == "tick_size":
        ticks = to_units(name, text, instrument.price_scale)
        if ticks <= 0:
            raise ValidationError(name, text, "a number above 0")
        return ticks
    if name == "tick_table":
        TICK_TABLE.check(name, text, text)
        return [list(step) for step in tick_table_of(text, instrument.price_scale)]
    rule = rules_of(InstrumentConfig)[name]
    return rule.check(name, rule.read(name, text), text)
