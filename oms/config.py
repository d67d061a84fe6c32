"""config.ini -> one frozen Config; every mistake is reported, all at once.

Flow:  config.ini -> [config] -> app, which hands each part its section
In:    text. Out: whole numbers, nanoseconds, instruments, a schedule.
Owner: MainThread, at the start. Nobody else reads configuration.

The classes below are the table of settings: name, type, bound, default. A duration is
seconds in the file (window_s, drain_s_max), nanoseconds here (window_ns, drain_max_ns).
"""

import configparser
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Literal, get_args, get_origin, get_type_hints

from oms.clock import NANOS
from oms.desk.session import Schedule
from oms.errors import ConfigError, ValidationError
from oms.instruments import Instrument, MarketOrderPolicy
from oms.money import to_units

CONFIG_PATH = Path(__file__).resolve().parent.parent / "config.ini"
CALENDAR = (
    "always_open", "time_zone", "hours", "holidays", "early_close", "extra_open", "trading_date",
)  # fmt: skip
SCALE_MAX = 12
_INSTRUMENT = re.compile(r"instrument [A-Z0-9._-]{1,32}")
_DURATION = re.compile("(_min|_max)?_ns$")


@dataclass(frozen=True, slots=True)
class Rule:
    """What a setting may be: in words, how to read its text, whether a value will do."""

    expected: str
    parse: Callable[[str], object]
    accepts: Callable[[object], bool]

    def read(self, key: str, text: str) -> object:
        """The value of the text; ValidationError, naming the key, if it will not do."""
        try:
            value = self.parse(text)
        except ValueError:
            value = None
        if not self.accepts(value):
            raise ValidationError(key, text, self.expected)
        return value


def whole(low: int, high: int) -> Rule:
    """A whole number from low to high."""
    expected = f"a whole number from {low} to {high}"
    return Rule(expected, int, lambda value: type(value) is int and low <= value <= high)


def seconds(low: float, high: float) -> Rule:
    """A duration: decimal seconds in the file, whole nanoseconds as a value."""
    return Rule(
        f"{low:g} to {high:g} seconds",
        lambda text: to_units("seconds", text, 9),
        lambda value: type(value) is int and low * NANOS <= value <= high * NANOS,
    )


def words(*known: str) -> Rule:
    """One of these words."""
    return Rule("one of " + ", ".join(known), str, lambda value: value in known)


def calendar(name: str) -> Rule:
    """Text that Schedule.parse() takes by this name; its own errors say what is wrong."""

    def accepts(value: object) -> bool:
        if isinstance(value, str):
            # An always open schedule reads all its arguments but does not compare them.
            Schedule.parse(**{"always_open": True, name: value})  # type: ignore[arg-type]
        return isinstance(value, str)

    return Rule("text", str, accepts)


FLAG = Rule(
    "yes or no",
    lambda text: configparser.ConfigParser.BOOLEAN_STATES.get(text.lower()),
    lambda value: isinstance(value, bool),
)
FILE = Rule(
    "the path of a file",
    lambda text: Path(text) if text and text.isprintable() else None,
    lambda value: isinstance(value, Path),
)
STEP = Rule(
    "a plain decimal number above 0, such as 0.05",
    lambda text: text if to_units("step", text, SCALE_MAX) > 0 else None,
    lambda value: isinstance(value, str),
)


@cache
def rules_of(section: type) -> dict[str, Rule]:
    """The rule of each attribute, from its type."""
    hints = get_type_hints(section, include_extras=True)
    return {each.name: _rule_of(hints[each.name]) for each in fields(section) if each.init}


def _rule_of(hint: Any) -> Rule:
    if get_origin(hint) is Literal:
        return words(*get_args(hint))
    simple = {bool: FLAG, Path: FILE}
    return simple[hint] if hint in simple else hint.__metadata__[0]


class Section:
    """A part of Config. Raises ValidationError, naming the attribute, on a value out of range."""

    __slots__ = ()

    def __post_init__(self) -> None:
        for name, rule in rules_of(type(self)).items():
            if not rule.accepts(getattr(self, name)):
                raise ValidationError(name, getattr(self, name), rule.expected)


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionConfig(Section):
    """When orders trade and the link is up. schedule: built from what CALENDAR names."""

    always_open: bool = False
    time_zone: Annotated[str, calendar("time_zone")] = "UTC"
    hours: Annotated[str, calendar("hours")] = "Mon-Fri 09:00-17:00"
    holidays: Annotated[str, calendar("holidays")] = ""
    early_close: Annotated[str, calendar("early_close")] = ""
    extra_open: Annotated[str, calendar("extra_open")] = ""
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
        if self.logon_backoff_min_ns > self.logon_backoff_max_ns:
            expected = "at most logon_backoff_s_max"
            raise ValidationError(
                "logon_backoff_s_min", self.logon_backoff_min_ns / NANOS, expected
            )
        schedule = Schedule.parse(**{name: getattr(self, name) for name in CALENDAR})
        object.__setattr__(self, "schedule", schedule)


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

    database: Path = Path("order_management.db")
    durability: Literal["full", "normal", "none"] = "full"
    busy_timeout_ns: Annotated[int, seconds(0, 60)] = 5 * NANOS
    snapshot_every: Annotated[int, whole(1, 1_000_000_000)] = 250_000


@dataclass(frozen=True, slots=True, kw_only=True)
class VenueConfig(Section):
    """answer_timeout_ns: when a remote venue has not answered, the outcome is UNKNOWN."""

    answer_timeout_ns: Annotated[int, seconds(0.001, 3600)] = 5 * NANOS


@dataclass(frozen=True, slots=True, kw_only=True)
class StopConfig(Section):
    """What becomes of waiting orders at a stop. drain_max_ns: how long that may take."""

    on_stop: Literal["park", "cancel", "drain"] = "park"
    drain_max_ns: Annotated[int, seconds(0, 3600)] = 4 * NANOS


@dataclass(frozen=True, slots=True, kw_only=True)
class MarketDataConfig(Section):
    """What is shown of a book: levels a side, and the latest trades."""

    depth_levels: Annotated[int, whole(1, 1_000)] = 20
    trades_kept: Annotated[int, whole(1, 1_000_000)] = 1_000


@dataclass(frozen=True, slots=True, kw_only=True)
class LogConfig(Section):
    """What is logged, how, and how much of it is kept: rotate_files files and the open one."""

    level: Literal["DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"] = "INFO"
    json: bool = False
    rotate_bytes: Annotated[int, whole(10_000, 10_000_000_000)] = 10_000_000
    rotate_files: Annotated[int, whole(1, 1_000)] = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class SimulateConfig(Section):
    """The load that `simulate` offers. seconds: duration. rate: orders per second."""

    seconds: Annotated[int, whole(1, 86_400)] = 20
    rate: Annotated[int, whole(1, 1_000_000)] = 400
    seed: Annotated[int, whole(0, 2**63 - 1)] = 7


@dataclass(frozen=True, slots=True, kw_only=True)
class InstrumentConfig(Section):
    """The text of one instrument; a step left out is the smallest its scale can say."""

    price_scale: Annotated[int, whole(0, SCALE_MAX)] = 6
    quantity_scale: Annotated[int, whole(0, SCALE_MAX)] = 8
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
    """Every setting. Config() is what the shipped config.ini says.

    instruments: at least one, each symbol once; else ValidationError.
    """

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
    parser = _parse(path)
    made: dict[str, Any] = {}
    mistakes: list[str] = []
    for name in parser.sections():
        where = f"{path.name} [{name}]"
        if name in SECTIONS or _INSTRUMENT.fullmatch(name):
            made[name] = _make(name, parser[name], where, mistakes)
        else:
            known = ", ".join((*SECTIONS, "instrument SYMBOL"))
            mistakes.append(f"{where}: expected one of {known}")
    instruments = tuple(made.pop(name) for name in list(made) if name not in SECTIONS)
    if not instruments:
        mistakes.append(f"{path.name} [instrument SYMBOL]: expected at least one, was none")
    if mistakes:
        raise ConfigError(mistakes)
    return Config(**made, instruments=instruments)


def _parse(path: Path) -> configparser.ConfigParser:
    # No header can name the section "", hence no section has silent defaults.
    parser = configparser.ConfigParser(interpolation=None, delimiters="=", default_section="")
    try:
        parser.read_string(path.read_text(encoding="utf-8-sig"), path.name)
    except (OSError, ValueError, configparser.Error) as error:
        text = " ".join(str(error).split())
        raise ConfigError([f"{path.name}: cannot be read: {text}"]) from None
    return parser


def _make(name: str, texts: Mapping[str, str], where: str, mistakes: list[str]) -> object:
    """The section, or the instrument; None, and new mistakes, if it has any."""
    section = SECTIONS.get(name, InstrumentConfig)
    names = {_DURATION.sub(r"_s\1", attribute): attribute for attribute in rules_of(section)}
    values: dict[str, object] = {}
    found: list[str] = []
    for key, text in texts.items():
        if key not in names:
            found.append(f"{where} {key}: expected one of " + ", ".join(names))
            continue
        try:
            values[names[key]] = rules_of(section)[names[key]].read(key, text)
        except ValidationError as error:
            found.append(f"{where} {error}")
    mistakes.extend(found)
    try:
        made = section(**values) if not found else None
        return made.instrument(name.split()[1]) if isinstance(made, InstrumentConfig) else made
    except ValidationError as error:
        mistakes.append(f"{where} {error}")
        return None
