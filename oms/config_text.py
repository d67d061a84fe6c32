"""The texts of all settings, and where each stands: in which line of config.ini, or in the
environment.

Flow:  config.ini, environment -> [config_text] -> config
In:    a file, and variables such as OMS__THROTTLE__SENDS_MAX. Out: texts by section and key.
Owner: MainThread, at the start. What a text must be is for config.py to say.
"""

import configparser
import io
import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from oms.errors import ConfigError

PREFIX = "OMS__"


@dataclass(slots=True)
class ConfigText:
    """What the file and the environment say.

    path: the file. sections: name -> key -> text. places: (section, key) -> where that stands,
    for a person; key "": the section's header.
    """

    path: Path
    sections: dict[str, dict[str, str]] = field(default_factory=dict)
    places: dict[tuple[str, str], str] = field(default_factory=dict)

    def where(self, section: str, key: str = "") -> str:
        """Where a setting stands, else its section, else the file: for the start of a line."""
        header = self.places.get((section, ""), str(self.path))
        return f"{self.places.get((section, key), header)} [{section}]"

    def read(self) -> None:
        """Take over the file. Raises ConfigError, naming file and line."""
        try:
            data = self.path.read_bytes()
        except OSError as error:
            raise ConfigError([f"{self.path}: {error.strerror}"]) from None
        try:
            text = data.decode("utf-8-sig")
        except UnicodeDecodeError as error:
            line, byte = data.count(b"\n", 0, error.start) + 1, data[error.start]
            mistake = f"{self.path} line {line}: expected UTF-8, was byte 0x{byte:02x}"
            raise ConfigError([mistake]) from None
        # No header can name the section "", hence no section has silent defaults.
        parser = configparser.ConfigParser(interpolation=None, delimiters="=", default_section="")
        try:
            parser.read_file(self._noted(parser, text), self.path.name)
        except (ValueError, configparser.Error) as error:
            raise ConfigError([f"{self.path}: {' '.join(str(error).split())}"]) from None
        parser.optionxform = str.lower  # type: ignore[method-assign,assignment]
        self.sections = {name: dict(parser[name]) for name in parser.sections()}

    def _noted(self, parser: configparser.ConfigParser, text: str) -> Iterator[str]:
        """The file's lines for the parser, which does not tell where it found what: so look over
        its shoulder, as it takes line after line."""
        number, section = 0, ""

        def note(key: str) -> str:
            key = key.lower()
            self.places[section, key] = f"{self.path} line {number}"
            return key

        parser.optionxform = note  # type: ignore[method-assign,assignment]
        known = len(parser)
        for number, line in enumerate(io.StringIO(text, newline=None), 1):
            yield line
            if len(parser) > known:  # that line was a header
                known, section = len(parser), parser.sections()[-1]
                self.places[section, ""] = f"{self.path} line {number}"

    def override(
        self, environment: Mapping[str, str], plain: Collection[str], named: Collection[str]
    ) -> list[str]:
        """Take over the variables of the environment; what is wrong with their names.

        plain: sections of which there is one, in the file or not. named: the first words of
        those of which there may be many, each with a name of its own; they must be in the file.
        """
        mistakes = list[str]()
        taken = dict[tuple[str, str], str]()
        for variable, text in overrides(environment).items():
            found = self._setting_of(variable, plain, named)
            if isinstance(found, str):
                mistakes.append(f"{variable}: {found}")
            elif found in taken:
                mistakes.append(f"{variable}: expected once, was also given as {taken[found]}")
            else:
                taken[found] = self.places[found] = variable
                section, key = found
                self.sections.setdefault(section, {})[key] = text.strip()
        return mistakes

    def _setting_of(
        self, variable: str, plain: Collection[str], named: Collection[str]
    ) -> tuple[str, str] | str:
        """Section and key that a variable names; or what was expected."""
        first, *rest = variable.removeprefix(PREFIX).split("__")
        name, key = rest[:-1], rest[-1].lower() if rest else ""
        kind = first.lower()
        if kind in plain and not name and key:
            return kind, key
        if kind not in named or not name or not key:
            known = ", ".join(word.upper() for word in (*plain, *named))
            return (
                f"expected {PREFIX}SECTION__KEY, or {PREFIX}INSTRUMENT__SYMBOL__KEY, with a "
                f"section of {known}"
            )
        exact = f"{kind} {'__'.join(name)}"
        like = _spelled(f"{kind} {'_'.join(name)}")
        of_kind = [section for section in self.sections if section.startswith(f"{kind} ")]
        found = [exact] if exact in of_kind else [s for s in of_kind if _spelled(s) == like]
        if len(found) == 1:
            return found[0], key
        listed = ", ".join(f"[{section}]" for section in found or of_kind) or "none"
        return f"expected the name of one section of {self.path}: {listed}"


def overrides(environment: Mapping[str, str]) -> dict[str, str]:
    """The variables that override settings, by name."""
    return {name: environment[name] for name in sorted(environment) if name.startswith(PREFIX)}


def _spelled(section: str) -> str:
    """As a variable can spell it: letters, digits and single underscores."""
    return re.sub("[^A-Z0-9]+", "_", section.upper())
