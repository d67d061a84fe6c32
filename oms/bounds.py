"""What a setting may be, in words and in code; a Section is a class of settings.

Flow:  config.ini -> config -> sections -> [bounds]
In:    a key and its text, or a value. Out: the value, or a ValidationError that names the key.
"""

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Literal, NamedTuple, TypeVar, get_args, get_origin, get_type_hints

from oms.clock import NANOS
from oms.errors import ConfigError, ValidationError
from oms.money import to_units


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
    """One of the known words."""
    return Rule("one of " + ", ".join(known), lambda _, text: text, lambda value: value in known)


def text(expected: str, pattern: str) -> Rule:
    """Text of this pattern."""
    return Rule(
        expected, lambda _, t: t, lambda v: type(v) is str and bool(re.fullmatch(pattern, v))
    )


def optional(rule: Rule) -> Rule:
    """The same; but in code also None, which a line that is left out means."""

    def read(key: str, text: str) -> object:
        return rule.check(key, rule.read(key, text), text)  # so that None is not a misreading

    return Rule(rule.expected, read, lambda value: value is None or rule.accepts(value))


FLAG = Rule("yes or no", lambda _, t: {"yes": True, "no": False}.get(t), lambda v: type(v) is bool)
FILE = Rule("a file name", lambda _, t: Path(t), lambda v: isinstance(v, Path) and v.name > "")


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
