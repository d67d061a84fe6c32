"""Rules of settings: what a setting may be, in words, as text of a file and as a value.

Flow:  text of config.ini -> config -> [setting_rules: read, check] -> sections
A Section's attributes have their rules in their types.
"""

import re
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from typing import (
    Any,
    Literal,
    NamedTuple,
    TypeVar,
    get_args,
    get_origin,
    get_type_hints,
)

from oms.clock import NANOS
from oms.enums import OrderType, Side, TimeInForce
from oms.errors import ConfigError, ValidationError
from oms.instruments import FEE_BPS_MAX
from oms.money import to_units


class Rule(NamedTuple):
    """What a setting may be: in words, how to read its key and text, which values will do."""

    expected: str
    read: Callable[[str, str], object]
    accepts: Callable[[Any], bool]

    def check(self, key: str, value: object, shown: object) -> object:
        if not self.accepts(value):
            said = masked(shown) if isinstance(shown, str) else shown
            raise ValidationError(key, said, self.expected)
        return value


def masked(text: str) -> str:
    """A setting as it is printed and logged: of an address with a password without that."""
    text = re.sub(r"(://[^\s:@]*):\S*@", r"\1:***@", text)
    return re.sub(r"([?&](sentinel_)?password=)[^&\s]*", r"\1***", text)


def whole(low: int, high: int) -> Rule:
    """A whole number from low to high."""
    return Rule(
        f"a whole number from {low} to {high}",
        lambda _, text: int(text) if re.fullmatch("-?[0-9]{1,30}", text) else None,
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
    """One of the known words; in the file in any case."""
    spelled = {word.lower(): word for word in known}
    return Rule(
        "one of " + ", ".join(known),
        lambda _, text: spelled.get(text.lower(), text),
        lambda value: value in known,
    )


def text(expected: str, pattern: str) -> Rule:
    """Text of this pattern."""
    return Rule(
        expected, lambda _, t: t, lambda v: type(v) is str and bool(re.fullmatch(pattern, v))
    )


def listed(expected: str, pattern: str) -> Rule:
    """Words separated by commas, each of which is there once."""
    rule = text(expected, pattern)

    def accepts(value: object) -> bool:
        found = re.findall(r"[^,\s]+", value) if isinstance(value, str) else []
        return rule.accepts(value) and len(found) == len(set(found))

    return rule._replace(expected=f"{expected}, each once", accepts=accepts)


def optional(rule: Rule) -> Rule:
    """The same; but in code also None, which a line that is left out means."""

    def read(key: str, text: str) -> object:
        return rule.check(key, rule.read(key, text), text)  # so that None is not a misreading

    return Rule(rule.expected, read, lambda value: value is None or rule.accepts(value))


FLAGS = {"yes": True, "true": True, "on": True, "no": False, "false": False, "off": False}
FLAG = Rule("yes or no", lambda _, t: FLAGS.get(t.lower()), lambda v: type(v) is bool)
FILE = Rule("a file name", lambda _, t: Path(t), lambda v: isinstance(v, Path) and v.name > "")


class Section:
    """A part of Config. Raises ValidationError, naming the attribute, on a value out of range."""

    __slots__ = ()

    def __post_init__(self) -> None:
        for name, rule in rules_of(type(self)).items():
            rule.check(name, getattr(self, name), getattr(self, name))


def rules_of(section: type) -> Mapping[str, Rule]:
    """The rule of each attribute, from its type."""
    return _rules_of(section)


@cache  # reading the types takes longer than all else in making a Config
def _rules_of(section: type) -> Mapping[str, Rule]:
    return {
        name: words(*get_args(hint)) if get_origin(hint) is Literal else hint.__metadata__[0]
        for name, hint in get_type_hints(section, include_extras=True).items()
        if name != "schedule"
    }


def key_of(attribute: str) -> str:
    """What the file calls it: window_ns is window_s there, drain_max_ns drain_s_max."""
    return re.sub("(_min|_max)?_ns$", r"_s\1", attribute)


Kind = TypeVar("Kind", bound=Section)


def read_section(section: type[Kind], texts: Mapping[str, str]) -> Kind:
    """The section with these texts of its keys; ConfigError tells all that are wrong."""
    attributes = {key_of(name): name for name in rules_of(section)}
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
    return section(**values)


# --- rules of more than one section, or of more than one line ---


def _read_step(key: str, text: str) -> str | None:
    return text if to_units(key, text, 12) > 0 else None


def _listed(item: str, optional: bool = False) -> str:
    """The pattern of items that commas separate."""
    pattern = rf"\s*(({item})\s*,\s*)*({item})\s*"
    return f"({pattern})?" if optional else pattern


STEP = Rule("a number above 0, such as 0.05", _read_step, lambda value: type(value) is str)
AMOUNT = text("0 or more, such as 2.5, or nothing", r"([0-9]{1,18}(\.[0-9]{1,12})?)?")
ALLOWED = {
    name: listed(
        f"nothing, which is all, or some of {', '.join(words)}, separated by commas",
        rf"\s*((({'|'.join(words)})\s*,\s*)*({'|'.join(words)})\s*)?",
    )
    for name, words in {
        "allowed_sides": tuple(Side),
        "allowed_order_types": tuple(OrderType),
        "allowed_times_in_force": tuple(TimeInForce),
    }.items()
}
ASSET = text("an asset, 1 to 16 of A-Z 0-9 . _ -, or nothing", "[A-Z0-9._-]{0,16}")
SYMBOLS = listed("symbols, separated by commas", r"[A-Z0-9._\-,\s]*")
TIER = text("1 to 16 of A-Z a-z 0-9 _ -, or nothing", "[A-Za-z0-9_-]{0,16}")
GROUPS = listed("names of groups, separated by commas", r"[A-Za-z0-9_\-,\s]*")
GROUP = text("1 to 32 of A-Z a-z 0-9 _ -, or nothing", "[A-Za-z0-9_-]{0,32}")
TICK_TABLE = text(
    "prices with the step from there on, such as 1: 0.05, 10: 0.1, or nothing",
    r"\s*(([0-9.]{1,30}\s*:\s*[0-9.]{1,30}\s*,\s*)*[0-9.]{1,30}\s*:\s*[0-9.]{1,30}\s*)?",
)
_PORT = "([0-9]{1,4}|[1-5][0-9]{4}|6[0-4][0-9]{3}|65[0-4][0-9]{2}|655[0-2][0-9]|6553[0-5])"
_ADDRESS = rf"(\[[0-9A-Fa-f:.]{{2,45}}\]|[A-Za-z0-9.-]{{1,253}}):{_PORT}"
LISTEN = text("addresses with ports, such as 127.0.0.1:3000, [::1]:3000", _listed(_ADDRESS))
PATH = text("a path, or nothing", r"[^\x00-\x1f]{0,1024}")
HOSTS = text(
    "names of hosts, separated by commas, or nothing", _listed("[A-Za-z0-9.:-]{1,253}", True)
)
ORIGINS = text(
    "origins such as https://example.com, separated by commas, or nothing",
    _listed(r"https?://[A-Za-z0-9.:\[\]-]{1,253}", True),
)
NETWORKS = text(
    "addresses or networks such as 10.0.0.0/8, separated by commas, or nothing",
    _listed("[0-9A-Fa-f.:]{2,45}(/[0-9]{1,3})?", True),
)
_USER = r"([^\s/?#\[\]]{0,1000}@)?"  # with a password
_SERVER = rf"rediss?://{_USER}(\[[0-9A-Fa-f:.]{{2,45}}\]|[\w.-]{{1,253}})(:{_PORT})?"
_SENTINELS = rf"rediss?\+sentinel://{_USER}{_ADDRESS}(,{_ADDRESS})*/[\w.-]{{1,253}}"
_REDIS = rf"(({_SERVER}|{_SENTINELS})(/[0-9]{{1,9}})?/?(\?\S{{0,1000}})?|unix://\S{{1,1000}})"
REDIS = text(
    "redis://, rediss:// or unix:// with the place of a server, such as redis://127.0.0.1:6379/0, "
    "or redis+sentinel:// with places of Sentinels and a name, such as "
    "redis+sentinel://a:26379,b:26379/oms; / ? # [ ] of a password percent-encoded",
    _REDIS,
)
_OF_GROUP = rf"[A-Za-z0-9_-]{{1,32}}={_REDIS}"
REDIS_OF_GROUPS = text(
    "groups with servers of their own, such as usd=redis://a:6379/0 inr=redis://b:6379/0, or "
    "nothing",
    rf"\s*({_OF_GROUP}(\s+{_OF_GROUP})*)?\s*",
)
_NAMED = r"[A-Za-z0-9_-]{1,32}\s*:\s*[A-Z0-9._-]{1,32}(\s+[A-Z0-9._-]{1,32})*"
BY_QUOTE = "quote"  # [scale] market_groups: one for each quote asset
MARKET_GROUPS = text(
    "groups with their symbols, such as usd: BTC_USD ETH_USD, inr: TATA_INR; or quote; or nothing",
    rf"\s*({BY_QUOTE}|({_NAMED}\s*,\s*)*{_NAMED})?\s*",
)
HOME_GROUP = text("the name of a group, or nothing", "[A-Za-z0-9_-]{0,32}")
FEE_BPS = whole(-FEE_BPS_MAX, FEE_BPS_MAX)


def _read_dsn(key: str, text: str) -> str:
    """Without telling what it says: a mistake must not print a password."""
    if re.search(r"//[^/@]*:[^/@]*@|password\s*=", text):
        raise ValidationError(key, "one with a password", f"{DSN.expected}; see PGPASSFILE")
    return text


DSN = Rule(
    "a connection string of Postgres without a password, or nothing",
    _read_dsn,
    lambda value: type(value) is str and len(value) <= 1024 and value.isprintable(),
)


SCHEMA = text(
    "letters, digits, _ and -, no digit or - first, at most 63; none of Postgres's own, pg_...",
    "(?!pg_)[A-Za-z_][A-Za-z0-9_-]{0,62}",
)
