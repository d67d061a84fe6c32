"""The part of the configuration that a replay depends on; each START entry carries it."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from oms.config import Config
from oms.enums import MarketOrderPolicy, Phase, Scope
from oms.errors import StoreError
from oms.exchange.order import Order
from oms.instruments import Instrument
from oms.money import to_text

RULES = 3
"""The number of the rules that journal lines are obeyed by; a change of a rule raises it, and
lines written before stay under theirs. A START line without it: 1. DESIGN.md says what each
number changed; number 2 was published with commit 7ba0847."""

SINCE_RULES_2 = ("auction_band_bps", "tick_table")
DERIVED = ("quote_unit", "price_quantity_unit", "lot_amount")  # of an Instrument


def settings_of(
    instruments: Sequence[Instrument],
    *,
    hold_when_closed: bool,
    waiting_max: int,
    remote: bool,
    exchange: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """What a START entry carries, as plain data. exchange: see exchange_settings."""
    return {
        "instruments": [fields_of(instrument) for instrument in instruments],
        "hold_when_closed": hold_when_closed,
        "waiting_max": waiting_max,
        "remote": remote,
        "rules": RULES,
        **(exchange or {}),
    }


def exchange_settings(config: Config) -> dict[str, Any]:
    """How our own exchange works: ledger, fees, limits, phases."""
    session, exchange, names = config.session, config.exchange, config.scale.symbols_by_group
    return {
        **({"group": next(iter(names))} if len(names) == 1 else {}),  # whose ledger this is
        "ledger": exchange.ledger,
        "self_trade": exchange.self_trade,
        "on_halt": exchange.on_halt,
        "fees": [[*key, *rates] for key, rates in sorted(config.fees.items())],
        "assets": dict(config.assets),
        "tiers": dict(config.tiers()),
        "stp_groups": dict(config.groups()),
        "limits": {
            Scope.ACCOUNT.value: config.account_limits(),
            Scope.SYMBOL.value: {symbol: dict(texts) for symbol, texts in config.limits.items()},
            Scope.GROUP.value: config.group_limits(),
        },
        "limit_groups": config.limit_groups(),
        "phases": {
            "pre_open_ns": session.pre_open_ns,
            "opening_auction_ns": session.opening_auction_ns,
            "closing_auction_ns": session.closing_auction_ns,
        },
        "breaker": {
            "breaker_window_ns": exchange.breaker_window_ns,
            "breaker_limit_ns": exchange.breaker_limit_ns,
            "breaker_pause_ns": exchange.breaker_pause_ns,
            "reopening_auction_ns": exchange.reopening_auction_ns,
        },
        "calls": {
            "auction_random_end_ns": session.auction_random_end_ns,
            "auction_extension_ns": session.auction_extension_ns,
        },
        "done_for_day": session.done_for_day,
    }


def money_terms_of(instrument: Instrument) -> list[Any]:
    """What says how much money a trade moves, besides its price and quantity."""
    return [
        instrument.base, instrument.quote, instrument.price_scale, instrument.quantity_scale,
        instrument.base_scale, instrument.quote_scale,
    ]  # fmt: skip


def fields_of(instrument: Instrument) -> dict[str, Any]:
    """An instrument as plain data; what older programs did not know only where it says something,
    so that what they wrote down stays the same."""
    fields = {
        k: v
        for k, v in asdict(instrument).items()
        if k not in DERIVED and (v or k not in SINCE_RULES_2)
    }
    return {**fields, "market_order": instrument.market_order.value}


def instrument_of(fields: dict[str, Any]) -> Instrument:
    """An instrument, back from plain data."""
    return Instrument(
        **{
            **fields,
            "market_order": MarketOrderPolicy(fields["market_order"]),
            "tick_table": tuple((price, tick) for price, tick in fields.get("tick_table", ())),
        }
    )


def check_venue(old: dict[str, Any], new: dict[str, Any]) -> None:
    """An exchange of our own replays its trades, a remote venue's were told: never mix them."""
    if old and old["remote"] != new["remote"]:
        kinds = {True: "a remote venue", False: "an embedded one"}
        raise StoreError(f"the journal is of {kinds[old['remote']]}, not of {kinds[new['remote']]}")


def check_group(old: dict[str, Any], new: dict[str, Any]) -> None:
    """The journal of one group of markets must not become another's: what is owed and in flight
    there was decided under its name. `run` and `serve` are of no group: a journal of theirs may
    become a group's, and they may start one of a group."""
    before, now = old.get("group", ""), new.get("group", "")
    if before and now and before != now:
        raise StoreError(f"--group: expected {before}, which the journal is of, was {now}")


def check_ledger(old: dict[str, Any], new: dict[str, Any], open_orders: int) -> None:
    """Orders open without a reservation, or with one nobody keeps, would break the books."""
    before, now = bool(old.get("ledger")), bool(new.get("ledger"))
    if now and new["remote"]:
        raise StoreError("[exchange] ledger: expected no with a remote venue, which settles itself")
    if old and before != now and open_orders:
        yes_no = {True: "yes", False: "no"}
        raise StoreError(
            f"[exchange] ledger: expected {yes_no[before]} as long as orders are open, was "
            f"{yes_no[now]}; {open_orders} are: cancel them first, or use another directory"
        )


def check_assets(
    scales: Mapping[str, int], paid_in: Mapping[str, int], new: dict[str, Any]
) -> None:
    """What accounts are counted in cannot change under them; StoreError names the asset."""
    for fields in new["instruments"] if new.get("ledger") else ():
        instrument = instrument_of(fields)
        for asset, scale in (
            (instrument.base, instrument.base_scale), (instrument.quote, instrument.quote_scale),
        ):  # fmt: skip
            if asset in paid_in and scales.get(asset, scale) != scale:
                raise StoreError(
                    f"[asset {asset}] scale: expected {scales[asset]} as long as accounts have "
                    f"any, was {scale}"
                )


def check_scales(open_instruments: Iterable[Instrument], settings: dict[str, Any]) -> None:
    """What open orders count in cannot change under them; StoreError names the instrument."""
    new = {
        instrument.symbol: instrument for instrument in map(instrument_of, settings["instruments"])
    }
    for old in set(open_instruments):
        now = new.get(old.symbol)
        kept = (old.price_scale, old.quantity_scale)
        if now is not None and (now.base, now.quote) != (old.base, old.quote):
            raise StoreError(
                f"[instrument {old.symbol}]: expected base={old.base}, quote={old.quote} as long "
                "as the journal holds open orders of it"
            )
        if now is None or (now.price_scale, now.quantity_scale) != kept:
            raise StoreError(
                f"[instrument {old.symbol}]: expected price_scale={kept[0]}, quantity_scale="
                f"{kept[1]} as long as the journal holds open orders of it"
            )


def check_grid(orders: Iterable[Order], settings: dict[str, Any]) -> None:
    """What open orders ask for must stay on the grid; StoreError names what does not."""
    new = {fields["symbol"]: instrument_of(fields) for fields in settings["instruments"]}
    for order in orders:
        instrument, terms = new[order.instrument.symbol], order.terms
        ticks = [order.price_ticks, *((terms.stop_ticks, terms.protection_ticks) if terms else ())]
        lots = [order.quantity_lots, order.leaves_lots, terms.display_lots if terms else 0]
        for key, numbers, step, scale in (
            ("tick_size", ticks, instrument.tick_size, instrument.price_scale),
            ("lot_size", lots, instrument.lot_size, instrument.quantity_scale),
        ):
            before = getattr(order.instrument, key)
            if step != before and any(number % step for number in numbers):
                raise StoreError(
                    f"[instrument {instrument.symbol}] {key}: expected {to_text(before, scale)}, "
                    f"or what divides it, as long as an order is open that is on no coarser grid, "
                    f"was {to_text(step, scale)}; {order.client_order_id} of {order.account} is one"
                )


def first_phase(phases: Mapping[str, int]) -> Phase:
    """How a session begins that has phases so long; see exchange_settings."""
    if phases.get("pre_open_ns"):
        return Phase.PRE_OPEN
    return Phase.OPENING_AUCTION if phases.get("opening_auction_ns") else Phase.CONTINUOUS


def worth_nothing(instrument: Instrument, least: tuple[int, int]) -> str:
    """A warning if an order may be worth less than one unit of its quote asset; else "".

    least: lots and notional that an order must have, by limits. Such an order costs its buyer a
    unit, brings its seller nothing, and the exchange keeps the difference.
    """
    lots, unit = max(instrument.lot_size, least[0]), instrument.price_quantity_unit
    if least[1] or instrument.tick_size * lots * instrument.quote_unit >= unit:
        return ""
    one = to_text(1, instrument.quote_scale)
    return (
        f"[instrument {instrument.symbol}]: {to_text(lots, instrument.quantity_scale)} "
        f"{instrument.base} at {instrument.tick_size_text} {instrument.quote} is worth less than "
        f"{one} {instrument.quote}, the smallest amount: its buyer pays {one}, its seller gets "
        f"nothing; set notional_min = {one} or a larger lot_size or tick_size, or a larger "
        f"[asset {instrument.quote}] scale"
    )
