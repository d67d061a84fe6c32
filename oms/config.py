"""config.ini and environment -> one frozen Config; every mistake is reported, all at once.

Flow:  config.ini -> config_text -> [config] -> app, which hands each part its section
In:    text. Out: whole numbers, nanoseconds, instruments, a schedule.
Owner: MainThread, at the start. Nobody else reads configuration.

What each section holds is in sections.py; here is what they are together.
"""

import os
import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any, TypeVar, get_type_hints

from oms.clock import NANOS
from oms.config_text import ConfigText, overrides
from oms.errors import ConfigError, ValidationError
from oms.idle import idle_settings
from oms.instruments import Instrument
from oms.money import to_units
from oms.sections import (
    AccountConfig,
    AssetConfig,
    ControlConfig,
    ExchangeConfig,
    FeesConfig,
    GroupConfig,
    InstrumentConfig,
    LogConfig,
    MarketDataConfig,
    ProjectionConfig,
    QueueConfig,
    RiskConfig,
    ScaleConfig,
    SessionConfig,
    SimulateConfig,
    StopConfig,
    StoreConfig,
    ThrottleConfig,
    VenueConfig,
    WebConfig,
    known_tiers,
    limits_of,
    symbols_of,
)
from oms.setting_rules import Section, read_section

__all__ = [
    "Config", "LogConfig", "MarketDataConfig", "QueueConfig", "SessionConfig", "StopConfig",
    "StoreConfig", "ThrottleConfig", "VenueConfig", "load_config", "overrides",
]  # fmt: skip


def _shipped(package: Path) -> Path:
    """The config.ini that the program came with: a wheel carries it in the package, a checkout
    has it beside order_management.py."""
    carried = package / "config.ini"
    return carried if carried.exists() else package.parent / "config.ini"


CONFIG_PATH = _shipped(Path(__file__).resolve().parent)
SHIPPED_INSTRUMENTS = tuple(
    InstrumentConfig(tick_size=tick, lot_size=lot, market_slippage_bps=1_000).instrument(symbol)
    for symbol, tick, lot in (
        ("TATA_INR", "0.05", "1"),
        ("JIO_INR", "0.05", "1"),
        ("BTC_USD", "0.01", "0.00001"),
    )
)
NAMED = {  # sections of which there may be many: how the header goes on, and what it says then
    "instrument": ("SYMBOL (A-Z0-9._-)", "[A-Z0-9._-]{1,32}", InstrumentConfig),
    "account": ("NAME (no space, \" ' \\ [ ])", "[!#-&(-Z^-~]{1,64}", AccountConfig),
    "group": ("NAME (A-Za-z0-9_-)", "[A-Za-z0-9_-]{1,32}", GroupConfig),
    "asset": ("NAME (A-Z0-9._-)", "[A-Z0-9._-]{1,16}", AssetConfig),
    "fees": ("SYMBOL TIER", "[A-Z0-9._-]{1,32} [A-Za-z0-9_-]{1,16}", FeesConfig),
}
Fees = dict[tuple[str, str], tuple[int, int]]
Kind = TypeVar("Kind", bound=Section)


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """Every setting, as shipped.

    instruments: at least one, each symbol once.
    limits: what an order of a symbol may be; only what is set, as text.
    assets: the scale of each that is named.
    fees: (symbol, tier) -> (maker_fee_bps, taker_fee_bps), where they are not the instrument's.

    Raises ValidationError on the first thing in one part that another part contradicts.
    """

    session: SessionConfig = field(default_factory=SessionConfig)
    throttle: ThrottleConfig = field(default_factory=ThrottleConfig)
    queue: QueueConfig = field(default_factory=QueueConfig)
    store: StoreConfig = field(default_factory=StoreConfig)
    projection: ProjectionConfig = field(default_factory=ProjectionConfig)
    venue: VenueConfig = field(default_factory=VenueConfig)
    exchange: ExchangeConfig = field(default_factory=ExchangeConfig)
    risk: RiskConfig = field(default_factory=RiskConfig)
    stop: StopConfig = field(default_factory=StopConfig)
    market_data: MarketDataConfig = field(default_factory=MarketDataConfig)
    control: ControlConfig = field(default_factory=ControlConfig)
    web: WebConfig = field(default_factory=WebConfig)
    scale: ScaleConfig = field(default_factory=ScaleConfig)
    log: LogConfig = field(default_factory=LogConfig)
    simulate: SimulateConfig = field(default_factory=SimulateConfig)
    instruments: tuple[Instrument, ...] = SHIPPED_INSTRUMENTS
    limits: dict[str, dict[str, str]] = field(default_factory=dict)
    accounts: dict[str, AccountConfig] = field(default_factory=dict)
    account_groups: dict[str, GroupConfig] = field(default_factory=dict)
    assets: dict[str, int] = field(default_factory=dict)
    fees: Fees = field(default_factory=dict)

    def __post_init__(self) -> None:
        symbols = [instrument.symbol for instrument in self.instruments]
        if not symbols or len(set(symbols)) < len(symbols):
            raise ValidationError("instruments", symbols, "at least one, each symbol once")
        object.__setattr__(self, "scale", self.scale.with_groups(self.instruments))
        parts = {each.name: getattr(self, each.name) for each in fields(self)}
        for _, mistake in contradictions(symbols, parts):
            raise mistake

    def account_limits(self) -> dict[str, dict[str, str]]:
        """What each account may do, by the keys of the file, as text; "": every other account.

        A limit left out is that of "", and there is none if "" has none. "0", or no symbols,
        frees an account of what "" has.
        """
        own = {name: limits_of(account) for name, account in self.accounts.items()}
        unlimited = limits_of(RiskConfig())
        every = {key: text for key, text in limits_of(self.risk).items() if text != unlimited[key]}
        for name, limits in own.items():
            own[name] = {
                key: text for key, text in limits.items() if text != unlimited[key] or key in every
            }
        if any("messages_max" in limits for limits in (every, *own.values())):
            every.setdefault("messages_window_s", unlimited["messages_window_s"])
        return {"": every, **{name: limits for name, limits in own.items() if limits}}

    def group_limits(self) -> dict[str, dict[str, str]]:
        """What the accounts of each group may do together, as account_limits has it."""
        unlimited = limits_of(RiskConfig())
        found = dict[str, dict[str, str]]()
        for name, group in self.account_groups.items():
            limits = limits_of(group)
            found[name] = {key: text for key, text in limits.items() if text != unlimited[key]}
            if "messages_max" in found[name]:
                found[name]["messages_window_s"] = limits["messages_window_s"]
        return found

    def limit_groups(self) -> dict[str, list[str]]:
        """The groups of each account that is in some."""
        groups = {name: symbols_of(account.groups) for name, account in self.accounts.items()}
        return {name: names for name, names in groups.items() if names}

    def tiers(self) -> dict[str, str]:
        """The tier of each account that has one."""
        return {name: account.tier for name, account in self.accounts.items() if account.tier}

    def of_group(self, group: str) -> "Config":
        """What the engine of one group of markets needs of it: its instruments, the group's name,
        and no front door. Raises ConfigError if [scale] has no such group."""
        if group not in self.scale.names:
            known = ", ".join(self.scale.names)
            raise ConfigError([f"--group: expected one of {known}, was {group!r}"])
        every = tuple(each.symbol for each in self.instruments)
        symbols = self.scale.symbols_by_group.get(group, every)
        web = replace(self.web, enabled=False)

        def own(section: Kind) -> Kind:
            named = getattr(section, "restricted_symbols", None)
            if not named:
                return section
            left = ", ".join(each for each in symbols_of(named) if each in symbols)
            return replace(section, restricted_symbols=left)  # type: ignore[type-var]

        scale = replace(
            self.scale, market_groups=f"{group}: {' '.join(symbols)}", home_group="",
            redis_url=self.scale.redis_url_of(group), redis_urls="",
        )  # fmt: skip
        return replace(
            self, web=web, scale=scale, risk=own(self.risk),
            instruments=tuple(each for each in self.instruments if each.symbol in symbols),
            limits={symbol: each for symbol, each in self.limits.items() if symbol in symbols},
            fees={pair: each for pair, each in self.fees.items() if pair[0] in symbols},
            accounts={name: own(each) for name, each in self.accounts.items()},
            account_groups={name: own(each) for name, each in self.account_groups.items()},
        )  # fmt: skip

    def groups(self) -> dict[str, str]:
        """The stp_group of each account that has one."""
        return {name: each.stp_group for name, each in self.accounts.items() if each.stp_group}


# --- what one section alone does not show ---

Mistakes = Iterator[tuple[str, ValidationError]]  # and the section each is in


def contradictions(symbols: Collection[str], parts: Mapping[str, Any]) -> Mistakes:
    """Where parts of a Config do not go together. symbols: those that there should be."""
    made = {instrument.symbol: instrument for instrument in parts["instruments"]}
    yield from mistakes_in_limits(symbols, made, parts["limits"])
    yield from mistakes_in_fees(symbols, made, parts["fees"])
    yield from _in_accounts(symbols, made, {"risk": parts["risk"]})
    accounts = {f"account {name}": account for name, account in parts["accounts"].items()}
    yield from _in_accounts(symbols, made, accounts)
    groups = {f"group {name}": group for name, group in parts["account_groups"].items()}
    yield from _in_accounts(symbols, made, groups)
    yield from _in_groups(parts["accounts"], parts["account_groups"])
    if len(made) == len(symbols):
        yield from _in_calls(made, parts["session"].auction_extension_ns)
    yield from _in_tiers(parts["accounts"], parts["fees"])
    yield from _in_market_groups(symbols, parts["scale"])
    if parts["exchange"].ledger:
        yield from mistakes_in_ledger(made, parts["assets"])


def mistakes_in_limits(
    symbols: Collection[str], made: Mapping[str, Instrument], limits: dict[str, dict[str, str]]
) -> Mistakes:
    for symbol, texts in limits.items():
        if symbol not in symbols:
            yield f"instrument {symbol}", ValidationError("limits", symbol, "a known symbol")
        for kind in ("quantity", "notional") if symbol in made else ():
            instrument = made[symbol]
            market = f"market_{kind}_max"
            scale = instrument.quantity_scale if kind == "quantity" else instrument.quote_scale
            keys = [f"{kind}_min", f"{kind}_max"]
            try:
                least, most = (to_units(key, texts.get(key) or 0, scale) for key in keys)
                to_units(market, texts.get(market) or 0, scale)
                if 0 < most < least:
                    raise ValidationError(keys[0], texts[keys[0]], f"at most {keys[1]}")
            except ValidationError as error:
                yield f"instrument {symbol}", error


def mistakes_in_fees(
    symbols: Collection[str], made: Mapping[str, Instrument], fees: Fees
) -> Mistakes:
    for symbol, tier in fees:
        if symbol not in symbols:
            yield f"fees {symbol} {tier}", ValidationError("symbol", symbol, "an instrument")
    for symbol, instrument in made.items():
        all_fees = {f"instrument {symbol}": (instrument.maker_fee_bps, instrument.taker_fee_bps)}
        for (of, tier), pair in fees.items():
            if of == symbol:
                all_fees[f"fees {symbol} {tier}"] = pair
        where = min(all_fees, key=lambda name: all_fees[name][0])
        maker, taker = all_fees[where][0], min(pair[1] for pair in all_fees.values())
        if maker + taker < 0:  # the fee account would pay more than it takes, and run dry
            expected = f"at least {-taker}, as the lowest taker_fee_bps of {symbol} is {taker}"
            yield where, ValidationError("maker_fee_bps", maker, expected)


def _in_accounts(
    symbols: Collection[str],
    made: Mapping[str, Instrument],
    accounts: Mapping[str, RiskConfig | AccountConfig | GroupConfig],
) -> Mistakes:
    for name, account in accounts.items():
        for symbol in symbols_of(account.restricted_symbols or ""):
            if symbol not in symbols:
                yield name, ValidationError("restricted_symbols", symbol, "configured instruments")
        for key, scale in (
            ("position_max", "quantity_scale"), ("credit_max", "quote_scale"),
            ("gross_max", "quote_scale"), ("net_max", "quote_scale"),
        ):  # fmt: skip
            for instrument in made.values():
                try:
                    to_units(key, getattr(account, key) or 0, getattr(instrument, scale))
                except ValidationError as error:
                    yield name, error
                    break


def _in_groups(
    accounts: Mapping[str, AccountConfig], groups: Mapping[str, GroupConfig]
) -> Mistakes:
    """A group that an account names must be there, and one that none names limits nobody."""
    named = {name: symbols_of(account.groups) for name, account in accounts.items()}
    for name, names in named.items():
        for group in names:
            if group not in groups:
                known = ", ".join(f"[group {each}]" for each in groups) or "no [group NAME]"
                expected = f"configured groups; there is {known}"
                yield f"account {name}", ValidationError("groups", group, expected)
    for group in groups:
        if not any(group in names for names in named.values()):
            expected = "an [account NAME] with it in its groups"
            yield f"group {group}", ValidationError("members", "none", expected)


def _in_calls(made: Mapping[str, Instrument], extension_ns: int) -> Mistakes:
    """A call is extended for a band, and a band only ever extends a call."""
    bands = {symbol: each.auction_band_bps for symbol, each in made.items()}
    if extension_ns and not any(bands.values()):
        expected = "0, as no instrument has an auction_band_bps"
        yield "session", ValidationError("auction_extension_s", extension_ns / NANOS, expected)
    for symbol, bps in bands.items():
        if bps and not extension_ns:
            expected = "0, as [session] auction_extension_s is 0"
            yield f"instrument {symbol}", ValidationError("auction_band_bps", bps, expected)


def _in_tiers(accounts: Mapping[str, AccountConfig], fees: Fees) -> Mistakes:
    """A tier that no fees are told for is a slip: its account would pay what everybody pays."""
    tiers = {tier for _, tier in fees}
    for name, account in accounts.items():
        if account.tier and account.tier not in tiers:
            yield (
                f"account {name}",
                ValidationError("tier", account.tier, known_tiers(tiers)),
            )


def _in_market_groups(symbols: Collection[str], scale: ScaleConfig) -> Mistakes:
    """Each instrument is in one group, so that one engine has it."""
    grouped = {symbol for those in scale.symbols_by_group.values() for symbol in those}
    for symbol in sorted(grouped - set(symbols)):
        yield "scale", ValidationError("market_groups", symbol, "configured instruments")
    for symbol in sorted(set(symbols) - grouped) if grouped else ():
        expected = f"a group with {symbol} in it, too"
        yield "scale", ValidationError("market_groups", scale.market_groups, expected)


def mistakes_in_ledger(made: Mapping[str, Instrument], assets: Mapping[str, int]) -> Mistakes:
    """Every trade moves two assets, each of which is counted in one way, down to one lot."""
    scales = dict(assets)
    for symbol, instrument in made.items():
        name = f"instrument {symbol}"
        for part in ("base", "quote"):
            asset, scale = getattr(instrument, part), getattr(instrument, f"{part}_scale")
            if not re.fullmatch("[A-Z0-9._-]{1,16}", asset):
                expected = "an asset, 1 to 16 of A-Z 0-9 . _ -, as there is a ledger"
                yield name, ValidationError(part, asset, expected)
            elif scales.setdefault(asset, scale) != scale:
                expected = f"{scales[asset]}, as elsewhere for {asset}"
                yield name, ValidationError(f"{part}_scale", scale, expected)
        if instrument.base and instrument.base == instrument.quote:
            yield name, ValidationError("quote", instrument.quote, "another asset than base")
        if instrument.base_scale < instrument.quantity_scale:
            expected = f"at most {instrument.base_scale}, the scale of {instrument.base}"
            yield name, ValidationError("quantity_scale", instrument.quantity_scale, expected)


# --- the file ---

SECTIONS = {
    name: cls
    for name, cls in get_type_hints(Config).items()
    if isinstance(cls, type) and issubclass(cls, Section)
}


def load_config(
    path: Path | str | None = None, environment: Mapping[str, str] | None = None
) -> Config:
    """The configuration in the file; what it leaves out has its default.

    path: None means the config.ini that the program came with.
    environment: variables that override the file, such as OMS__THROTTLE__SENDS_MAX and
        OMS__INSTRUMENT__BTC_USD__TICK_SIZE; None means those of this process.

    Raises ConfigError, one line a mistake, with file and line or the variable: unreadable,
    unknown, out of bounds, no instrument.
    """
    text = ConfigText(Path(CONFIG_PATH if path is None else path))
    text.read()
    mistakes = text.override(os.environ if environment is None else environment, SECTIONS, NAMED)
    made = dict[str, Section]()
    for name, texts in text.sections.items():
        try:
            made[name] = _make(name, texts)
        except (ConfigError, ValidationError) as error:
            lines = str(error).split("\n")
            mistakes.extend(f"{text.where(name, line.partition(':')[0])} {line}" for line in lines)
    symbols = [name[11:] for name in text.sections if name.startswith("instrument ")]
    if not symbols:
        mistakes.append(f"{text.path} [instrument SYMBOL]: expected at least one, was none")
    parts, wrong = _parts_of(made)
    wrong.extend(contradictions(symbols, parts))
    if not mistakes and not wrong:  # what is left out as a mistake would look like a default
        wrong.extend(idle_settings(made))
    mistakes.extend(f"{text.where(name, mistake.field)} {mistake}" for name, mistake in wrong)
    if mistakes:
        raise ConfigError(mistakes)
    return Config(**parts)


def _make(name: str, texts: Mapping[str, str]) -> Section:
    """The section; ConfigError or ValidationError if it has mistakes."""
    kind, _, rest = name.partition(" ")
    if name in SECTIONS:
        return read_section(SECTIONS[name], texts)
    if kind in NAMED and re.fullmatch(NAMED[kind][1], rest):
        return read_section(NAMED[kind][2], texts)
    named = ", ".join(f"{kind} {goes_on}" for kind, (goes_on, _, _) in NAMED.items())
    raise ConfigError([f"is none of {', '.join(SECTIONS)}, {named}"])


def _parts_of(
    made: Mapping[str, Section],
) -> tuple[dict[str, Any], list[tuple[str, ValidationError]]]:
    """What Config takes; and which sections make no instrument, and why."""

    def named(kind: type[Kind]) -> dict[str, Kind]:
        return {
            name.partition(" ")[2]: each for name, each in made.items() if isinstance(each, kind)
        }

    parts: dict[str, Any] = {name: made.get(name) or cls() for name, cls in SECTIONS.items()}
    parts["accounts"] = named(AccountConfig)
    parts["account_groups"] = named(GroupConfig)
    parts["assets"] = {name: asset.scale for name, asset in named(AssetConfig).items()}
    listed, instruments, wrong = named(InstrumentConfig), [], []
    for symbol, each in listed.items():
        try:
            instruments.append(each.instrument(symbol, parts["assets"]))
        except ValidationError as error:
            wrong.append((f"instrument {symbol}", error))
    parts["instruments"] = tuple(instruments)
    try:
        parts["scale"] = parts["scale"].with_groups(instruments)
    except ValidationError as error:
        wrong.append(("scale", error))
    parts["limits"] = {symbol: each.limits() for symbol, each in listed.items() if each.limits()}
    parts["fees"] = {}
    for name, fees in named(FeesConfig).items():
        symbol, tier = name.split()
        own = listed.get(symbol, InstrumentConfig())
        maker = own.maker_fee_bps if fees.maker_fee_bps is None else fees.maker_fee_bps
        taker = own.taker_fee_bps if fees.taker_fee_bps is None else fees.taker_fee_bps
        parts["fees"][symbol, tier] = (maker, taker)
    return parts, wrong
