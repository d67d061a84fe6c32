"""The part of the configuration that a replay depends on; each START entry carries it."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from oms.instruments import Instrument, MarketOrderPolicy


def settings_of(
    instruments: Sequence[Instrument], *, hold_when_closed: bool, waiting_max: int, remote: bool
) -> dict[str, Any]:
    """What a START entry carries, as plain data."""
    return {
        "instruments": [
            {**asdict(instrument), "market_order": instrument.market_order.value}
            for instrument in instruments
        ],
        "hold_when_closed": hold_when_closed,
        "waiting_max": waiting_max,
        "remote": remote,
    }


def instrument_of(fields: dict[str, Any]) -> Instrument:
    """An instrument, back from plain data."""
    return Instrument(**{**fields, "market_order": MarketOrderPolicy(fields["market_order"])})
