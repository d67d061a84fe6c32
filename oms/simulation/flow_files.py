"""Recorded order flow as JSON lines: written by `simulate --record`, read by `feed`.

Flow:  runner -> [flow_files] -> file -> [flow_files] -> requests -> runner
One request a line: "offset_ns", when it was sent after the start, and the fields of
OrderRequest; what a line leaves out has its default. Text or, by its name, gzip (.gz).
"""

import gzip
import json
import zlib
from collections.abc import Iterator
from dataclasses import MISSING, fields
from decimal import Decimal
from pathlib import Path
from typing import Any, TextIO

from oms.errors import OMSError, ValidationError
from oms.messages import OrderType, RequestType, Side, TimeInForce
from oms.requests import OrderRequest
from oms.simulation.runner import Timed

OFFSET = "offset_ns"
ENUMS = {
    "type": RequestType, "side": Side, "order_type": OrderType, "time_in_force": TimeInForce,
}  # fmt: skip
NAMES = tuple(field.name for field in fields(OrderRequest))
DEFAULTS = {
    field.name: field.default for field in fields(OrderRequest) if field.default is not MISSING
}
OFFSET_NS_MAX = 10**18


class FlowFileError(OMSError, ValueError):
    """A recorded flow cannot be read; the text names file, line and field."""


class FlowWriter:
    """Records requests; one line each, whole at once."""

    def __init__(self, file: TextIO) -> None:
        self._file = file

    def write(self, offset_ns: int, request: OrderRequest) -> None:
        line: dict[str, Any] = {OFFSET: offset_ns}
        for name in NAMES:
            value = getattr(request, name)
            if name not in DEFAULTS or value != DEFAULTS[name]:
                line[name] = str(value) if isinstance(value, Decimal) else value
        self._file.write(json.dumps(line, separators=(",", ":")) + "\n")


def read_jsonl(path: Path, prefix: str = "") -> Iterator[Timed]:
    """The recorded requests; `prefix` is put before every client order id.

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
            yield _offset(line), _request(line, prefix)
        except ValidationError as error:
            raise FlowFileError(f"{where}: {error}") from None


def _offset(line: dict[str, Any]) -> int:
    offset_ns = line.pop(OFFSET, 0)
    if type(offset_ns) is not int or not 0 <= offset_ns <= OFFSET_NS_MAX:
        raise ValidationError(OFFSET, offset_ns, f"a whole number from 0 to {OFFSET_NS_MAX}")
    return offset_ns


def _request(line: dict[str, Any], prefix: str) -> OrderRequest:
    for name, value in line.items():
        if name not in NAMES:
            raise ValidationError(name, value, "one of " + ", ".join((OFFSET, *NAMES)))
        if name in ENUMS and value is not None:
            known = list(ENUMS[name])
            if value not in known:
                raise ValidationError(name, value, "one of " + ", ".join(known))
            line[name] = ENUMS[name](value)
        elif name.endswith("client_order_id") and value:
            line[name] = f"{prefix}{value}"
    for name in NAMES:
        if name not in line and name not in DEFAULTS:
            raise ValidationError(name, None, "a value")
    return OrderRequest(**line)


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
