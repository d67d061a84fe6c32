"""Recorded order flow as JSON lines: written by `simulate --record`, read by `feed`.

Flow:  runner -> [flow_files] -> file -> [flow_files] -> requests -> runner
One request a line: "offset_ns", when it was sent after the start, and the fields of
OrderRequest; what a line leaves out has its default. "terms" is an object with the fields of
OrderTerms, in which expire_ns counts from the start too. Text or, by its name, gzip (.gz).
"""

import gzip
import json
import zlib
from collections.abc import Iterator
from dataclasses import MISSING, asdict, fields, replace
from decimal import Decimal
from pathlib import Path
from typing import Any, TextIO

from oms.errors import OMSError, ValidationError
from oms.messages import OrderType, PostOnly, RequestType, SelfTrade, Side, TimeInForce
from oms.requests import NO_TERMS, OrderRequest, OrderTerms
from oms.simulation.runner import Timed

OFFSET = "offset_ns"
TERMS = "terms"
ENUMS = {
    "type": RequestType, "side": Side, "order_type": OrderType, "time_in_force": TimeInForce,
    "post_only": PostOnly, "self_trade": SelfTrade,
}  # fmt: skip
IDS = ("client_order_id", "orig_client_order_id", "oco_with")
NAMES = tuple(field.name for field in fields(OrderRequest))
TERMS_NAMES = tuple(field.name for field in fields(OrderTerms))
DEFAULTS = {
    field.name: field.default for field in fields(OrderRequest) if field.default is not MISSING
}
OFFSET_NS_MAX = 10**18


class FlowFileError(OMSError, ValueError):
    """A recorded flow cannot be read; the text names file, line and field."""


class FlowWriter:
    """Records requests; one line each, whole at once. start_ns: what expire_ns counts from."""

    def __init__(self, file: TextIO, start_ns: int = 0) -> None:
        self._file = file
        self._start_ns = start_ns

    def write(self, offset_ns: int, request: OrderRequest) -> None:
        line: dict[str, Any] = {OFFSET: offset_ns}
        for name in NAMES:
            value = getattr(request, name)
            if name not in DEFAULTS or value != DEFAULTS[name]:
                line[name] = self._terms(value) if name == TERMS else _plain(value)
        self._file.write(json.dumps(line, separators=(",", ":")) + "\n")

    def _terms(self, terms: OrderTerms) -> dict[str, Any]:
        expire_ns = max(1, terms.expire_ns - self._start_ns) if terms.expire_ns else 0
        given = asdict(replace(terms, expire_ns=expire_ns))
        return {n: _plain(v) for n, v in given.items() if v != getattr(NO_TERMS, n)}


def _plain(value: Any) -> Any:
    return str(value) if isinstance(value, Decimal) else value


def read_jsonl(path: Path, prefix: str = "", start_ns: int = 0) -> Iterator[Timed]:
    """The recorded requests; `prefix` is put before every client order id.

    start_ns: the wall clock at the start, which orders good till a time count from.

    Raises FlowFileError at the first line that is wrong.
    """
    for number, text in lines_of(path):
        where = f"{path.name} line {number}"
        try:
            line = json.loads(text, parse_float=Decimal)
        except ValueError as error:
            raise FlowFileError(f"{where}: expected JSON: {error}") from None
        if not isinstance(line, dict):
            raise FlowFileError(f"{where}: expected one JSON object, was {text[:40]!r}")
        try:
            yield _offset(line), _request(line, prefix, start_ns)
        except ValidationError as error:
            raise FlowFileError(f"{where}: {error}") from None


def _offset(line: dict[str, Any]) -> int:
    offset_ns = line.pop(OFFSET, 0)
    if type(offset_ns) is not int or not 0 <= offset_ns <= OFFSET_NS_MAX:
        raise ValidationError(OFFSET, offset_ns, f"a whole number from 0 to {OFFSET_NS_MAX}")
    return offset_ns


def _request(line: dict[str, Any], prefix: str, start_ns: int) -> OrderRequest:
    _read_fields(line, (OFFSET, *NAMES), prefix)
    terms = line.get(TERMS)
    if terms is not None:
        if not isinstance(terms, dict):
            raise ValidationError(TERMS, terms, "an object")
        _read_fields(terms, TERMS_NAMES, prefix)
        expire_ns = terms.get("expire_ns")
        if type(expire_ns) is int and 0 < expire_ns <= OFFSET_NS_MAX:
            terms["expire_ns"] = start_ns + expire_ns
        line[TERMS] = OrderTerms(**terms)
    for name in NAMES:
        if name not in line and name not in DEFAULTS:
            raise ValidationError(name, None, "a value")
    return OrderRequest(**line)


def _read_fields(line: dict[str, Any], known: tuple[str, ...], prefix: str) -> None:
    """Words become members, ids get their prefix; a field nobody knows is a mistake."""
    for name, value in line.items():
        if name not in known:
            raise ValidationError(name, value, "one of " + ", ".join(known))
        if name in ENUMS and value is not None:
            words = list(ENUMS[name])
            if value not in words:
                raise ValidationError(name, value, "one of " + ", ".join(words))
            line[name] = ENUMS[name](value)
        elif name in IDS and value:
            line[name] = f"{prefix}{value}"


def lines_of(path: Path) -> Iterator[tuple[int, str]]:
    """The lines of a text file, plain or gzip, that are not blank, numbered from 1."""
    number = 0
    try:
        with _opened(path) as file:
            for number, line in enumerate(file, 1):
                if text := line.strip():
                    yield number, text
    except (UnicodeDecodeError, EOFError, zlib.error, gzip.BadGzipFile) as error:
        what = "expected UTF-8 text, or gzip where the name ends in .gz"
        raise FlowFileError(f"{path.name} after line {number}: {what}: {error}") from None


def _opened(path: Path) -> TextIO:
    if path.suffix == ".gz":
        return gzip.open(path, "rt", encoding="utf-8")
    return path.open(encoding="utf-8")
