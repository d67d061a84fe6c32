"""config.ini -> one frozen Config; every mistake is reported, all at once.

Flow:  config.ini -> [config] -> app, which hands each part its section
In:    text. Out: whole numbers, nanoseconds, instruments, a schedule.
Owner: MainThread, at the start. Nobody else reads configuration.

The classes below are all the settings. Durations: seconds in the file, nanoseconds here.
"""

import configparser
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from inspect import signature
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple, get_args, get_origin, get_type_hints

from oms.clock import NANOS
from oms.desk.session import Schedule
from oms.errors import ConfigError, ValidationError
from oms.instruments import Instrument, MarketOrderPolicy
from oms.money import to_units

CONFIG_PATH = Path(__file__).resolve().parent.parent / "config.ini"


class Rule(NamedTuple):
    """What a setting may be: in words, how to read its key and text, which values will do."""

    expected: str
    read: Callable[[str, str], object]
    accepts: Callable[[Any], bool]

    def check(self, key: str, value: object, shown: object) -> object:
        if not self.accepts(value):
            raise ValidationError(key, shown, self.expected)
        return value


def whole(low: int, high: int) -> Rule:
    """A whole number from low to high."""
    return Rule(
        f"a whole number from {low} to {high}",
        lambda _, text: int(text) if re.fullmatch("[0-9]{1,30}", text) else None,
        lambda value: type(value) is int and low <= value <= high,
    )


def seconds(low: float, high: float) -> Rule:
    """A duration: decimal seconds in the file, whole nanoseconds as a value."""
    return Rule(
        f"{low:g} to {high:g} seconds",
        lambda key, text: to_units(key, text, 9) if re.fullmatch("[0-9.]{1,19}", text) else None,
        lambda value: type(value) is int and low * NANOS <= value <= high * NANOS,
    )


def words(*known: str) -> Rule:
    """One of the known words."""
    return Rule("one of " + ", ".join(known), lambda _, text: text, lambda value: value in known)


def _read_calendar(key: str, text: str) -> str | None:
    # An always open schedule reads all its arguments but does not compare them.
    return text if Schedule.parse(**{"always_open": True, key: text}) else None  # type: ignore


def _read_step(key: str, text: str) -> str | None:
    return text if to_units(key, text, 12) > 0 else None


FLAG = Rule("yes or no", lambda _, t: {"yes": True, "no": False}.get(t), lambda v: type(v) is bool)
FILE = Rule("a file name", lambda _, t: Path(t), lambda v: isinstance(v, Path) and v.name > "")
CALENDAR = Rule("text", _read_calendar, lambda value: type(value) is str)
STEP = Rule("a number above 0, such as 0.05", _read_step, lambda value: type(value) is str)


class Section:
    """A part of Config. Raises ValidationError, naming the attribute, on a value out of range."""

    __slots__ = ()

    def __post_init__(self) -> None:
        for name, rule in rules_of(type(self)).items():
            rule.check(name, getattr(self, name), getattr(self, name))


def rules_of(section: type) -> dict[str, Rule]:
    """The rule of each attribute, from its type."""
    return {
        name: words(*get_args(hint)) if get_origin(hint) is Literal else hint.__metadata__[0]
        for name, hint in get_type_hints(section, include_extras=True).items()
        if name != "schedule"
    }


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionConfig(Section):
    """When orders trade and the link is up. schedule: built from the calendar's settings."""

    always_open: Annotated[bool, FLAG] = False
    time_zone: Annotated[str, CALENDAR] = "UTC"
    hours: Annotated[str, CALENDAR] = "Mon-Fri 09:00-17:00"
    holidays: Annotated[str, CALENDAR] = ""
    early_close: Annotated[str, CALENDAR] = ""
    extra_open: Annotated[str, CALENDAR] = ""
    trading_date: Literal["close", "open"] = "close"
    outside_hours: Literal["reject", "hold"] = "reject"
    logon_lead_ns: Annotated[int, seconds(0, 86_400)] = 60 * NANOS
    logout_grace_ns: Annotated[int, seconds(0, 86_400)] = 900 * NANOS
    logon_timeout_ns: Annotated[int, seconds(0.1, 3600)] = 10 * NANOS
    logon_backoff_min_ns: Annotated[int, seconds(0.01, 3600)] = NANOS
    logon_backoff_max_ns: Annotated[int, seconds(0.01, 3600)] = 60 * NANOS
    logon_attempts_max: Annotated[int, whole(1, 1_000_000)] = 10
    schedule: Schedule = field(init=False, repr=False)

    def __post_init__(self) -> None:
        Section.__post_init__(self)  # super() does not work in a class with slots
        low, high = self.logon_backoff_min_ns / NANOS, self.logon_backoff_max_ns / NANOS
        if low > high:
            raise ValidationError("logon_backoff_s_min", low, "at most logon_backoff_s_max")
        calendar = {name: getattr(self, name) for name in signature(Schedule.parse).parameters}
        object.__setattr__(self, "schedule", Schedule.parse(**calendar))


@dataclass(frozen=True, slots=True, kw_only=True)
class ThrottleConfig(Section):
    """How many messages may go to the venue. burst: token_bucket alone."""

    policy: Literal["sliding_window", "token_bucket", "fixed_window", "off"] = "sliding_window"
    sends_max: Annotated[int, whole(1, 1_000_000)] = 100
    window_ns: Annotated[int, seconds(0.001, 86_400)] = NANOS
    burst: Annotated[int, whole(1, 1_000_000)] = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueConfig(Section):
    """Bounds, in requests, orders and requests a turn."""

    inbox_max: Annotated[int, whole(1, 10_000_000)] = 100_000
    waiting_max: Annotated[int, whole(1, 10_000_000)] = 100_000
    batch_max: Annotated[int, whole(1, 100_000)] = 1_000


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreConfig(Section):
    """Where the journal is, and what it survives. snapshot_every: journal entries."""

    database: Annotated[Path, FILE] = Path("order_management.db")
    durability: Literal["full", "normal", "none"] = "full"
    busy_timeout_ns: Annotated[int, seconds(0, 60)] = 2 * NANOS
    snapshot_every: Annotated[int, whole(1, 1_000_000_000)] = 250_000


@dataclass(frozen=True, slots=True, kw_only=True)
class VenueConfig(Section):
    """answer_timeout_ns: when a remote venue has not answered, the outcome is UNKNOWN."""

    answer_timeout_ns: Annotated[int, seconds(0.001, 3600)] = 5 * NANOS


@dataclass(frozen=True, slots=True, kw_only=True)
class StopConfig(Section):
    """What becomes of waiting orders at a stop. drain_max_ns: how long that may take."""

    on_stop: Literal["park", "cancel", "drain"] = "park"
    drain_max_ns: Annotated[int, seconds(0, 3600)] = 3 * NANOS


@dataclass(frozen=True, slots=True, kw_only=True)
class MarketDataConfig(Section):
    """What is shown of a book: levels a side, and the latest trades."""

    depth_levels: Annotated[int, whole(1, 1_000)] = 20
    trades_kept: Annotated[int, whole(1, 1_000_000)] = 1_000


@dataclass(frozen=True, slots=True, kw_only=True)
class LogConfig(Section):
    """What is logged, how, and how much of it is kept: rotate_files files and the open one."""

    level: Literal["DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"] = "INFO"
    json: Annotated[bool, FLAG] = False
    rotate_bytes: Annotated[int, whole(10_000, 10_000_000_000)] = 10_000_000
    rotate_files: Annotated[int, whole(1, 1_000)] = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class SimulateConfig(Section):
    """The load that `simulate` offers. seconds: duration. rate: orders per second."""

    seconds: Annotated[int, whole(1, 86_400)] = 20
    rate: Annotated[int, whole(1, 1_000_000)] = 90
    seed: Annotated[int, whole(0, 2**63 - 1)] = 7


@dataclass(frozen=True, slots=True, kw_only=True)
class InstrumentConfig(Section):
    """The text of one instrument; a step left out is the smallest its scale can say."""

    price_scale: Annotated[int, whole(0, 12)] = 6
    quantity_scale: Annotated[int, whole(0, 12)] = 8
    tick_size: Annotated[str, STEP] = ""
    lot_size: Annotated[str, STEP] = ""
    market_order: Literal["partial", "all_or_none"] = "partial"

    def instrument(self, symbol: str) -> Instrument:
        """The instrument; ValidationError if a step is finer than its scale."""
        tick, lot = self.tick_size, self.lot_size
        return Instrument(
            symbol=symbol,
            price_scale=self.price_scale,
            quantity_scale=self.quantity_scale,
            tick_size=to_units("tick_size", tick, self.price_scale) if tick else 1,
            lot_size=to_units("lot_size", lot, self.quantity_scale) if lot else 1,
            market_order=MarketOrderPolicy(self.market_order),
        )


SHIPPED_INSTRUMENTS = (
    InstrumentConfig(tick_size="0.05", lot_size="1").instrument("TATA_INR"),
    InstrumentConfig(tick_size="0.05", lot_size="1").instrument("JIO_INR"),
    InstrumentConfig(tick_size="0.01", lot_size="0.00001").instrument("BTC_USD"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """Every setting, as shipped. instruments: at least one, each symbol once."""

    session: SessionConfig = field(default_factory=SessionConfig)
    throttle: ThrottleConfig = field(default_factory=ThrottleConfig)
    queue: QueueConfig = field(default_factory=QueueConfig)
    store: StoreConfig = field(default_factory=StoreConfig)
    venue: VenueConfig = field(default_factory=VenueConfig)
    stop: StopConfig = field(default_factory=StopConfig)
    market_data: MarketDataConfig = field(default_factory=MarketDataConfig)
    log: LogConfig = field(default_factory=LogConfig)
    simulate: SimulateConfig = field(default_factory=SimulateConfig)
    instruments: tuple[Instrument, ...] = SHIPPED_INSTRUMENTS

    def __post_init__(self) -> None:
        symbols = [instrument.symbol for instrument in self.instruments]
        if not symbols or len(set(symbols)) < len(symbols):
            raise ValidationError("instruments", symbols, "at least one, each symbol once")


SECTIONS = {name: cls for name, cls in get_type_hints(Config).items() if name != "instruments"}


def load_config(path: Path | str | None = None) -> Config:
    """The configuration in the file; what it leaves out has its default.

    path: None means config.ini beside order_management.py, or all defaults if it is not there.
    Raises ConfigError, one line a mistake: unreadable, unknown, out of bounds, no instrument.
    """
    if path is None and not CONFIG_PATH.exists():
        return Config()
    path = Path(CONFIG_PATH if path is None else path)
    # No header can name the section "", hence no section has silent defaults.
    parser = configparser.ConfigParser(interpolation=None, delimiters="=", default_section="")
    try:
        parser.read_string(path.read_text(encoding="utf-8-sig"), path.name)
    except (OSError, ValueError, configparser.Error) as error:
        raise ConfigError([f"{path.name}: {' '.join(str(error).split())}"]) from None
    made, mistakes = dict[str, Any](), list[str]()
    for name in parser.sections():
        try:
            made[name] = _make(name, parser[name])
        except (ConfigError, ValidationError) as error:
            mistakes.extend(f"{path.name} [{name}] {line}" for line in str(error).split("\n"))
    if not any(name.startswith("instrument ") for name in parser.sections()):
        mistakes.append(f"{path.name} [instrument SYMBOL]: expected at least one, was none")
    if mistakes:
        raise ConfigError(mistakes)
    instruments = tuple(made.pop(name) for name in list(made) if name not in SECTIONS)
    return Config(**made, instruments=instruments)


def _make(name: str, texts: Mapping[str, str]) -> object:
    """The section, or the instrument; ConfigError or ValidationError if it has mistakes."""
    if name not in SECTIONS and not re.fullmatch("instrument [A-Z0-9._-]{1,32}", name):
        raise ConfigError([f"is none of {', '.join(SECTIONS)}, instrument SYMBOL (A-Z0-9._-)"])
    section = SECTIONS.get(name, InstrumentConfig)
    attributes = {re.sub("(_min|_max)?_ns$", r"_s\1", n): n for n in rules_of(section)}
    values, mistakes = dict[str, object](), list[str]()
    for key, text in texts.items():
        if key not in attributes:
            mistakes.append(f"{key}: expected one of {', '.join(attributes)}")
            continue
        rule = rules_of(section)[attributes[key]]
        try:
            values[attributes[key]] = rule.check(key, rule.read(key, text), text)
        except ValidationError as error:
            mistakes.append(str(error))
    if mistakes:
        raise ConfigError(mistakes)
    made = section(**values)
    return made.instrument(name.split()[1]) if isinstance(made, InstrumentConfig) else made
