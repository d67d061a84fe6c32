"""Words: what a client of the network may say, read once and strictly.

Flow:  bytes of a body or a frame, pairs of a query -> [words] -> a Body with checked fields
In:    JSON or a query string. Out: a Body, or a ValidationError that names the field.

One grammar for numbers: ASCII digits, a point, an exponent of two digits at most; as text or as a
JSON number, which is taken as it stands. One rule for text: printable characters, so no NUL, no
control characters and no lone surrogates, and at most TEXT_LENGTH_MAX of them. A field that
stands twice, or that nobody knows, is refused.
"""

import json
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Annotated, Any, NoReturn, TypeVar
from urllib.parse import parse_qsl

import msgspec
from msgspec import inspect

from oms.errors import ValidationError

TEXT_LENGTH_MAX = 1_024
FIELDS_MAX = 100  # of one object or query
NUMBER = r"^-?[0-9]{1,30}(\.[0-9]{1,30})?([eE][+-]?[0-9]{1,2})?$"
WHOLE = r"^[0-9]{1,19}$"
ID = r"^[ !#-\[\]-~]*$"
NO_COMMA = r"^[ !#-+\--\[\]-~]*$"
SPAN = "^[0-9]{1,5}[smhd]$"
PLACE = "[0-9]{1,19}(-[0-9]{1,10})?"
OF_GROUP = f"[A-Za-z0-9_-]{{1,32}}:{PLACE}"
CURSOR = f"^({PLACE}|{OF_GROUP}(,{OF_GROUP}){{0,99}})$"
# What a text of a pattern is, for people: they are told no regular expression.
PATTERNS = {
    ID: "1 to 64 printable ASCII characters, no quote or backslash",
    NO_COMMA: "1 to 64 printable ASCII characters, no quote, backslash or comma",
    SPAN: "a number and one of s, m, h, d, such as 5m",
    CURSOR: "`next` of the page before",
}
SHOWN = 40
SECRET = re.compile("pass|secret|token|code|pending|ticket|signature", re.IGNORECASE)

DecimalText = Annotated[
    str,
    msgspec.Meta(
        pattern=NUMBER,
        description="A decimal number, as text or as a JSON number: 100.50.",
        extra_json_schema={"type": ["string", "number"]},
    ),
]
SettingText = Annotated[
    str,
    msgspec.Meta(
        max_length=200,
        description="A text, or a JSON number, which is taken as it stands.",
        extra_json_schema={"type": ["string", "number"]},
    ),
]
CursorText = Annotated[
    str,
    msgspec.Meta(
        pattern=CURSOR,
        description="`next` of the page before; over several groups it has a place in each.",
    ),
]
WholeText = Annotated[
    str,
    msgspec.Meta(
        pattern=WHOLE,
        description="A whole number, as text: it may pass 2^53.",
        extra_json_schema={"type": ["string", "integer"]},
    ),
]


class Numeral(str):
    """A JSON number, as it stood."""

    __slots__ = ()


class Token(str):
    """A value of a query string: a number, a word or a text, as its field has it."""

    __slots__ = ()


class Body(msgspec.Struct, forbid_unknown_fields=True, rename="camel", kw_only=True):
    """What one request may say. Fields are told in camelCase; snake_case and ALIASES will do."""


# Other names that clients know: of the sources' own requests, mostly.
ALIASES = {
    "market": "symbol", "order_type": "side", "order_kind": "type", "qty": "quantity",
    "currency": "asset", "width": "interval",
}  # fmt: skip
Kind = TypeVar("Kind", bound=Body)


def read_body(kind: type[Kind], body: bytes) -> Kind:
    """The object that a JSON text says. Raises ValidationError, naming the field."""
    texts = _texts_of(body)
    if texts is not None:
        try:
            return msgspec.convert(texts, kind)
        except msgspec.ValidationError:
            pass  # there are other names of fields, and words, that will do: see `typed`
    given = parse_json(body)
    if not isinstance(given, dict):
        raise ValidationError("body", _size(body), "a JSON object")
    return typed(kind, given)


def read_query(kind: type[Kind], query: str) -> Kind:
    """The same of a query string."""
    return typed(kind, {name: Token(text) for name, text in query_pairs(query).items()})


def _texts_of(body: bytes) -> dict[str, str] | None:
    """What an object says whose values are texts alone, as they stand and by the one rule for
    text: by far the most. None: to be looked at part by part."""
    if len(body) > TEXT_LENGTH_MAX or b"\\" in body:
        return None
    try:
        text = body.decode("utf-8")
        found = TEXTS.decode(text)
    except (UnicodeDecodeError, msgspec.DecodeError):
        return None
    # Without escapes each name and each value has two quotes: a field that stands twice has more.
    once = text.count('"') == 4 * len(found)
    return found if once and len(found) <= FIELDS_MAX and text.isprintable() else None


def parse_json(body: bytes) -> Any:
    """The value of a JSON text, its numbers as Numerals."""
    try:
        return DECODER.decode(body.decode("utf-8"))
    except UnicodeDecodeError:
        raise ValidationError("body", _size(body), "UTF-8 text") from None
    except RecursionError:
        raise ValidationError("body", _size(body), "objects nested less deeply") from None
    except json.JSONDecodeError as error:
        expected = f"JSON: {error.msg} at character {error.pos}"
        raise ValidationError("body", _size(body), expected) from None


def texts_once(text: str, *names: str) -> list[str]:
    """The texts and numbers of these names in an object that parse_json refuses, so that the
    refusal can be told as the answer to it; "" for each that is not there just once."""
    try:
        given = json.loads(
            text, object_pairs_hook=_standing_once, parse_int=str, parse_float=str,
            parse_constant=str,
        )  # fmt: skip
    except (ValueError, RecursionError):
        given = {}
    found = [given.get(name) if isinstance(given, dict) else None for name in names]
    return [value if isinstance(value, str) and value.isprintable() else "" for value in found]


def query_pairs(query: str) -> dict[str, str]:
    try:
        pairs = parse_qsl(
            query, keep_blank_values=True, strict_parsing=bool(query), errors="strict",
            max_num_fields=FIELDS_MAX,
        )  # fmt: skip
    except ValueError:  # of which UnicodeDecodeError is one
        raise ValidationError("query", _size(query), "name=value, joined by &") from None
    return _once(pairs)


def typed(kind: type[Kind], given: Mapping[str, Any]) -> Kind:
    """The Body that these fields make; a Numeral goes wherever a number does."""
    known = sorts_of(kind)
    values = given if given.keys() <= known.keys() else _renamed(given, known)
    plain = dict(values)
    for name, value in values.items():
        if type(value) is dict and known.get(name) == SETTINGS:
            plain[name] = {key: _plain(key, each, SETTING) for key, each in value.items()}
        elif type(value) is not str:
            plain[name] = _plain(name, value, known.get(name))
        elif type(sort := known.get(name)) is dict:
            plain[name] = sort.get(value.upper(), value)
    try:
        return msgspec.convert(plain, kind)
    except msgspec.ValidationError as error:
        _refuse(str(error), plain, known)


def decimal_text(value: str | None) -> str | None:
    """A number of the grammar in plain digits: what the instrument's grid is asked with."""
    if value is None or ("e" not in value and "E" not in value):
        return value
    return format(Decimal(value), "f")  # at most some 130 digits: the grammar bounds it


def shortest(value: str | None) -> str | None:
    """The same number without zeros that say nothing: as it is told, once it is on the grid."""
    text = decimal_text(value)
    if text is None:
        return None
    sign, digits = ("-", text[1:]) if text.startswith("-") else ("", text)
    whole, _, fraction = digits.partition(".")
    whole, fraction = whole.lstrip("0") or "0", fraction.rstrip("0")
    return f"{sign}{whole}.{fraction}" if fraction else f"{sign}{whole}"


# --- the parts ---

NUMERIC, DIGITS = "a number such as 100.50", "a whole number of up to 19 digits, not below 0"
FLAG, COUNT, TEXT = "true or false", "a whole number", "a text"
SETTING, SETTINGS = "a text or a number", "names, each with a text or a number"
# The library's words for types.
TYPES = {
    "str": TEXT, "int": COUNT, "bool": FLAG, "float": "a number", "array": "a list",
    "object": "an object",
}  # fmt: skip
FLAGS = {"true": True, "false": False}
Sort = str | dict[str, str]
"""What sort of value a field has; of a word: each as it may be written, in capitals."""
_sorts: dict[type, dict[str, Sort]] = {}


def sorts_of(kind: type[Body]) -> dict[str, Sort]:
    """Each field by the name that a client uses -> which sort of value it has."""
    found = _sorts.get(kind)
    if found is None:
        about = inspect.type_info(kind)
        assert isinstance(about, inspect.StructType)
        found = _sorts[kind] = {each.encode_name: _sort(each.type) for each in about.fields}
    return found


def _sort(about: inspect.Type) -> Sort:
    match about:
        case inspect.UnionType():
            return next(_sort(t) for t in about.types if not isinstance(t, inspect.NoneType))
        case inspect.Metadata(type=inspect.StrType(pattern=None), extra_json_schema=dict()):
            return SETTING
        case inspect.DictType(value_type=of) if _sort(of) == SETTING:
            return SETTINGS
        case inspect.Metadata(type=described):
            return _sort(described)
        case inspect.EnumType():
            return {member.value.upper(): member.value for member in about.cls}
        case inspect.BoolType():
            return FLAG
        case inspect.IntType():
            return COUNT
        case inspect.StrType(pattern=str() as pattern) if pattern in (NUMBER, WHOLE):
            return NUMERIC if pattern == NUMBER else DIGITS
    return TEXT


def _renamed(given: Mapping[str, Any], known: Mapping[str, Sort]) -> dict[str, Any]:
    """The same fields by their own names; two names of one field must agree."""
    values: dict[str, Any] = {}
    for name, value in given.items():
        own = name
        if name not in known:
            own = ALIASES.get(name, name)
            first, *rest = own.split("_")
            own = own if own in known else first + "".join(each.title() for each in rest)
            own = own if own in known else name
        if own in values and _folded(own, values[own], known) != _folded(own, value, known):
            expected = f"the same as {own}, which it stands for"
            raise ValidationError(name, told_value(own, value), expected)
        values[own] = value
    return values


def _folded(name: str, value: Any, known: Mapping[str, Sort]) -> Any:
    """One value for all ways in which a word or a number may be written."""
    sort = known.get(name)
    if isinstance(sort, dict) and isinstance(value, str):
        return sort.get(value.upper(), value)
    if sort == NUMERIC and isinstance(value, str) and re.fullmatch(NUMBER, value):
        return shortest(value)
    return value


def _plain(name: str, value: Any, sort: Sort | None) -> Any:
    """A value as its field has it."""
    type_ = type(value)
    if type_ is not Numeral and type_ is not Token:
        return value
    if sort == SETTING:
        return str(value)
    if isinstance(sort, dict):
        return sort.get(value.upper(), value)
    text = str(value)
    if sort in (None, NUMERIC, DIGITS) or (sort == TEXT and type_ is Token):
        return text
    if sort == COUNT and re.fullmatch(WHOLE, text):
        return int(text)
    if sort == FLAG and text in FLAGS:
        return FLAGS[text]
    raise ValidationError(name, told_value(name, text), sort)


def _once(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    """The fields of one object, each once, each text printable and of bounded length."""
    found = dict(pairs)
    if len(found) != len(pairs):
        name = next(name for name, count in Counter(name for name, _ in pairs).items() if count > 1)
        raise ValidationError(_name(name), "two values", "one value")
    for name, value in found.items():
        if type(value) is str:
            if len(value) > TEXT_LENGTH_MAX or not value.isprintable():
                check_text(_name(name), value)
        elif type(value) is list:
            for item in value:
                if type(item) is str:
                    check_text(_name(name), item)
    if len(found) > FIELDS_MAX:
        raise ValidationError("body", len(found), f"at most {FIELDS_MAX} fields")
    names = "".join(found)  # together, as they mostly are good
    if len(names) > TEXT_LENGTH_MAX or not names.isprintable():
        for name in found:
            check_text("name", name)
    return found


def _standing_once(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    counts = Counter(name for name, _ in pairs)
    return {name: value for name, value in pairs if counts[name] == 1}


def check_text(name: str, value: str) -> str:
    """`value`, if it keeps the one rule for text."""
    if len(value) > TEXT_LENGTH_MAX or not value.isprintable():
        expected = f"up to {TEXT_LENGTH_MAX} printable characters"
        raise ValidationError(name, told_value(name, value), expected)
    return value


def _name(name: str) -> str:
    """A name that came from outside, as it may be told back."""
    return name if 0 < len(name) <= SHOWN and name.isprintable() else ascii(name[:SHOWN])


def told_value(name: str, value: object) -> object:
    """A value that is refused, as it may be told back and logged: shortened, and of a field that
    may hold a secret not at all."""
    if SECRET.search(name):
        return "another"
    if isinstance(value, str):
        return value if len(value) <= SHOWN and value.isprintable() else ascii(value[:SHOWN])
    if isinstance(value, list | dict):
        return "a list" if isinstance(value, list) else "an object"
    return value


def _size(given: str | bytes) -> str:
    """A text that could not be read may have anything in it: only its size is told."""
    return f"{len(given)} bytes" if isinstance(given, bytes) else f"{len(given)} characters"


def _constant(text: str) -> NoReturn:
    raise ValidationError("body", text, "numbers; JSON has no such word")


TEXTS = msgspec.json.Decoder(dict[str, str])
DECODER = json.JSONDecoder(
    object_pairs_hook=_once,
    parse_float=Numeral,
    parse_int=Numeral,
    parse_constant=_constant,
)
UNKNOWN = re.compile("unknown field `(.*)`")
MISSING = re.compile("missing required field `(.*)`")
QUOTED = re.compile("`([^`]*)`")
AT = re.compile(r"^(?P<expected>.*?)(?: - at `\$\.?(?P<path>.*)`)?$")


def _refuse(text: str, values: Mapping[str, Any], known: Mapping[str, Sort]) -> NoReturn:
    """The library's words as a ValidationError of ours."""
    if found := UNKNOWN.search(text):
        name = found[1]
        raise ValidationError(
            _name(name), told_value(name, values.get(name)), "one of " + ", ".join(known)
        ) from None
    if found := MISSING.search(text):
        raise ValidationError(found[1], None, "a value") from None
    at = AT.match(text)
    path = (at["path"] if at else "") or "body"
    name = path.split("[")[0].split(".")[0]
    sort, value = known.get(name), values.get(name)
    if isinstance(sort, dict):
        expected = "one of " + ", ".join(sort.values())
    elif sort in (NUMERIC, DIGITS, FLAG):
        expected = str(sort)
    else:
        expected = _in_words((at["expected"] if at else text).removeprefix("Expected "))
    raise ValidationError(path, told_value(name, value), expected) from None


def _in_words(expected: str) -> str:
    """What the library says that it expected, without its words for types and patterns."""
    if " matching regex " in expected:
        those = (said for pattern, said in PATTERNS.items() if repr(pattern) in expected)
        return next(those, "a text of another form")
    return QUOTED.sub(
        lambda found: " or ".join(
            TYPES.get(each, each) for each in found[1].split(" | ") if each != "null"
        ),
        expected,
    )
