"""The part of the configuration that a replay depends on; each START entry carries it."""

from collections.abc import Iterable, Sequence
from dataclasses import asdict
from typing import Any

from oms.errors import StoreError
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


def check_venue(old: dict[str, Any], new: dict[str, Any]) -> None:
    """An exchange of our own replays its trades, a remote venue's were told: never mix them."""
    if old and old["remote"] != new["remote"]:
        kinds = {True: "a remote venue", False: "an embedded one"}
        raise StoreError(f"the journal is of {kinds[old['remote']]}, not of {kinds[new['remote']]}")


def check_scales(open_instruments: Iterable[Instrument], settings: dict[str, Any]) -> None:
    """What open orders count in cannot change under them; StoreError names the instrument."""
    new = {
        instrument.symbol: instrument for instrument in map(instrument_of, settings["instruments"])
    }
    for old in set(open_instruments):
        now = new.get(old.symbol)
        kept = (old.price_scale, old.quantity_scale)
        if now is None or (now.price_scale, now.quantity_scale) != kept:
            raise StoreError(
                f"[instrument {old.symbol}]: expected price_scale={kept[0]}, quantity_scale="
                f"{kept[1]} as long as the journal holds open orders of it"
            )
