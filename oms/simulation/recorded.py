"""Recorded order flow, of two kinds of file: JSON lines and LOBSTER messages; plain or gzip (.gz).

Flow:  runner -> FlowWriter -> file -> [recorded] -> requests -> runner; trades -> notes

JSON lines: written by `simulate --record`; its first and last line are of again.py. One request a
line, as requests/codec.py writes it, and "offset_ns", when it was sent after the start. What a line
leaves out has its default. "expire_ns" of the terms counts from the start too. Files of earlier
versions say "type" instead of "request".

LOBSTER: a day of NASDAQ orders, and how far the replay follows. Columns, no header: time
(seconds after midnight), type, order id, size, price x 10000, direction. 1 a new limit order,
2 a partial cancel, 3 a delete, 4 the execution of a visible order, 5 of a hidden one, 6 a cross
trade, 7 a halt. Direction is the resting order's: 1 buy, -1 sell. An execution is told of the
order that rested; who arrived is not in the file, so an IOC order of the other side at that
price stands in for it.
"""

import gzip
import json
import zlib
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any, TextIO

from oms.enums import Side, TimeInForce
from oms.errors import OMSError, ValidationError
from oms.instruments import Instrument
from oms.money import to_text, to_units
from oms.reports import Report
from oms.requests import Request
from oms.requests.codec import REQUEST, of_object, to_object
from oms.requests.orders import OrderRequest
from oms.simulation.again import RECORDED, TURNS, Happened, Recording, turns_of
from oms.simulation.runner import Timed
from oms.stores import JournalRecord

OFFSET, TERMS, EXPIRE = "offset_ns", "terms", "expire_ns"
IDS = ("client_order_id", "orig_client_order_id", "oco_with")
OFFSET_NS_MAX = 10**18


class FlowFileError(OMSError, ValueError):
    """A recorded flow cannot be read; the text names file, line and field."""


class FlowWriter:
    """Records requests; one line each, whole at once. start_ns: what expire_ns counts from."""

    def __init__(self, file: TextIO, start_ns: int = 0) -> None:
        self._file = file
        self._start_ns = start_ns

    def write(self, offset_ns: int, request: Request) -> None:
        line = {OFFSET: offset_ns, **to_object(request)}
        terms = line.get(TERMS, {})
        if EXPIRE in terms:
            terms[EXPIRE] = max(1, terms[EXPIRE] - self._start_ns)
        self._line(line)

    def _line(self, line: dict[str, Any]) -> None:
        self._file.write(json.dumps(line, separators=(",", ":")) + "\n")


class Recorder(FlowWriter):
    """Records a whole run: made, how it was made; the requests; what came of them.

    outcome: a listener of the run's order manager. after_seq: the journal's end before the run.
    """

    def __init__(self, file: TextIO, start_ns: int, made: dict[str, Any]) -> None:
        super().__init__(file, start_ns)
        self.outcome, self.after_seq = Happened(), 0
        self._line(made)

    def end(self, records: Iterable[JournalRecord]) -> None:
        """The run is over; records: its journal."""
        turns = list(turns_of(records, self.after_seq, self._start_ns))
        self._line({TURNS: turns, **self.outcome.told()})


def read_jsonl(path: Path, prefix: str = "", start_ns: int = 0) -> Iterator[Timed]:
    """The recorded orders, modifies and cancels; see read_requests."""
    for offset_ns, request in read_requests(path, prefix, start_ns):
        if type(request) is OrderRequest:
            yield offset_ns, request


def read_requests(path: Path, prefix: str = "", start_ns: int = 0) -> Iterator[tuple[int, Request]]:
    """All recorded requests; `prefix` is put before every client order id.

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
        if RECORDED in line or TURNS in line:
            continue  # how the run was made, and what came of it
        try:
            yield _offset(line), _request(line, prefix, start_ns)
        except ValidationError as error:
            raise FlowFileError(f"{where}: {error}") from None


def recording_of(path: Path) -> Recording | None:
    """How a run was made and what came of it, by the first and last line of its file; None where
    there is no such first line, or the run was cut short."""
    first = last = ""
    number = 0
    for count, text in lines_of(path):
        number, last = count, text
        first = first or text
    if not (first.startswith(f'{{"{RECORDED}":') and last.startswith(f'{{"{TURNS}":')):
        return None
    try:
        return Recording.of(json.loads(first), json.loads(last))
    except (ValueError, KeyError, TypeError) as error:
        where = f"{path.name} line 1 and {number}"
        raise FlowFileError(f"{where}: expected what simulate --record wrote: {error!r}") from None


def _offset(line: dict[str, Any]) -> int:
    offset_ns = line.pop(OFFSET, 0)
    if type(offset_ns) is not int or not 0 <= offset_ns <= OFFSET_NS_MAX:
        raise ValidationError(OFFSET, offset_ns, f"a whole number from 0 to {OFFSET_NS_MAX}")
    return offset_ns


def _request(line: dict[str, Any], prefix: str, start_ns: int) -> Request:
    if REQUEST not in line:
        line[REQUEST] = line.pop("type", None)
    terms = line.get(TERMS)
    terms = terms if isinstance(terms, dict) else {}
    for fields in (line, terms):
        fields |= {name: f"{prefix}{fields[name]}" for name in IDS if fields.get(name)}
    expire_ns = terms.get(EXPIRE)
    if type(expire_ns) is int and 0 < expire_ns <= OFFSET_NS_MAX:
        terms[EXPIRE] = start_ns + expire_ns
    request: Request = of_object(line)
    return request


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


PRICE_SCALE = 4
RESTING, ARRIVING = "LOBSTER", "LOBSTER-TAKERS"
COLUMNS = ("time", "type", "order id", "size", "price", "direction")
NEW, REDUCE, DELETE, EXECUTE = 1, 2, 3, 4
SKIPPED = {5: "hidden execution", 6: "cross trade", 7: "trading halt"}
TYPES = {
    NEW: "1 new", REDUCE: "2 partial cancel", DELETE: "3 delete", EXECUTE: "4 execution",
    5: "5 hidden execution", 6: "6 cross trade", 7: "7 halt",
}  # fmt: skip
BEFORE_START = "the order was placed before the file starts"

DRIFT = (
    "           Why not all of the first kind: orders that rested before the file starts are not",
    "           in it, so later ones trade, or rest, in their place.",
)


def instrument_of(symbol: str) -> Instrument:
    """An instrument on which every price and size of a LOBSTER file is exact."""
    return Instrument(symbol=symbol, price_scale=PRICE_SCALE, quantity_scale=0)


@dataclass(slots=True)
class Resting:
    """An order of the file: total quantity as changed, and what the file says is open."""

    total: int
    open: int


@dataclass(slots=True)
class Execution:
    """A type 4 line: what it says, and what our book made of it."""

    order_id: int
    size: int
    filled: int = 0
    met_another: bool = False


class LobsterFlow:
    """Reads a file as requests, and scores the trades against it."""

    def __init__(self, path: Path, symbol: str, prefix: str = "") -> None:
        self._path = path
        self._symbol = symbol
        self._prefix = prefix
        self._resting: dict[int, Resting] = {}
        self._executions: dict[str, Execution] = {}
        self.types: Counter[str] = Counter()
        self.skipped: Counter[str] = Counter()

    def requests(self) -> Iterator[Timed]:
        """The file's lines as requests, with nanoseconds since the first.

        Raises FlowFileError at the first line that is wrong.
        """
        first_ns: int | None = None
        for number, text in lines_of(self._path):
            try:
                time_ns, kind, rest = _parse(text)
                request = self._request(number, kind, rest)
            except ValidationError as error:
                raise FlowFileError(f"{self._path.name} line {number}: {error}") from None
            first_ns = time_ns if first_ns is None else first_ns
            self.types[TYPES[kind]] += 1
            if request is not None:
                yield max(0, time_ns - first_ns), request

    def _request(self, number: int, kind: int, rest: list[str]) -> OrderRequest | None:
        if kind in SKIPPED:
            self.skipped[f"{SKIPPED[kind]}: not in the visible book"] += 1
            return None
        order_id, size, price = (
            _whole(name, text) for name, text in zip(COLUMNS[2:5], rest, strict=False)
        )
        if rest[3] not in ("1", "-1"):
            raise ValidationError("direction", rest[3], "1 or -1")
        buys = rest[3] == "1"
        if kind == NEW:
            return self._new(order_id, size, price, buys)
        if kind == EXECUTE:
            return self._execute(number, order_id, size, price, buys)
        resting = self._resting.get(order_id)
        if resting is None:
            self.skipped[f"{TYPES[kind][2:]}: {BEFORE_START}"] += 1
            return None
        if kind == REDUCE and size < resting.open:
            return self._reduce(number, order_id, size, resting)
        return self._delete(number, order_id)

    def _new(self, order_id: int, size: int, price: int, buys: bool) -> OrderRequest:
        self._resting[order_id] = Resting(size, size)
        return OrderRequest.new(
            RESTING, f"{self._prefix}{order_id}", self._symbol, Side.BUY if buys else Side.SELL,
            size, to_text(price, PRICE_SCALE),
        )  # fmt: skip

    def _reduce(self, number: int, order_id: int, size: int, resting: Resting) -> OrderRequest:
        resting.total -= size
        resting.open -= size
        known_as = f"{self._prefix}{order_id}"
        return OrderRequest.modify(
            RESTING, f"{known_as}.m{number}", known_as, quantity=resting.total
        )

    def _delete(self, number: int, order_id: int) -> OrderRequest:
        del self._resting[order_id]
        known_as = f"{self._prefix}{order_id}"
        return OrderRequest.cancel(RESTING, f"{known_as}.c{number}", known_as)

    def _execute(
        self, number: int, order_id: int, size: int, price: int, buys: bool
    ) -> OrderRequest:
        resting = self._resting.get(order_id)
        if resting is not None:
            resting.open -= size
            if resting.open <= 0:
                del self._resting[order_id]
        taker_id = f"{self._prefix}x{number}"
        self._executions[taker_id] = Execution(order_id, size)
        return OrderRequest.new(
            ARRIVING, taker_id, self._symbol, Side.SELL if buys else Side.BUY, size,
            to_text(price, PRICE_SCALE), time_in_force=TimeInForce.IOC,
        )  # fmt: skip

    # --- how far the replay follows the file ---

    def on_match(self, taker: Report, maker: Report) -> None:
        """One trade: did the stand-in meet whom the file names?"""
        execution = self._executions.get(taker.client_order_id)
        if execution is None:
            return
        execution.filled += taker.last_quantity_lots
        named = f"{self._prefix}{execution.order_id}"
        if maker.client_order_id.partition(".")[0] != named:
            execution.met_another = True

    def notes(self) -> list[str]:
        """What a reader of the report wants to know of this file."""
        lines = [f"Lines      {self.types.total():,}"]
        lines += [f"           {kind:<40} {n:>10,}" for kind, n in sorted(self.types.items())]
        lines.append(f"Skipped    {self.skipped.total():,}")
        lines += [f"           {why:<60} {n:>8,}" for why, n in sorted(self.skipped.items())]
        return [*lines, *self._score()]

    def _score(self) -> Iterator[str]:
        executions = self._executions.values()
        if not executions:
            return
        full = [e for e in executions if e.filled == e.size]
        as_told = sum(not e.met_another for e in full)
        partly = sum(0 < e.filled < e.size for e in executions)
        none = sum(not e.filled for e in executions)
        yield f"Executions {len(executions):,} of type 4, each as an IOC order from the other side"
        yield f"           {'traded in full, with the order the file names':<60} {as_told:>8,}"
        yield f"           {'traded in full, with another order':<60} {len(full) - as_told:>8,}"
        yield f"           {'traded in part':<60} {partly:>8,}"
        yield f"           {'found nobody':<60} {none:>8,}"
        yield from DRIFT


def _parse(text: str) -> tuple[int, int, list[str]]:
    """Time in ns, type, and the columns after it."""
    columns = text.split(",")
    if len(columns) != len(COLUMNS):
        expected = f"{len(COLUMNS)} columns: " + ", ".join(COLUMNS)
        raise ValidationError("columns", len(columns), expected)
    time_ns = to_units("time", columns[0], 9)
    if columns[1] not in map(str, TYPES):
        raise ValidationError("type", columns[1], "1 to 7")
    return time_ns, int(columns[1]), columns[2:]


def _whole(name: str, text: str) -> int:
    if not (text.isascii() and text.isdecimal() and 0 < int(text[:18]) <= 10**12):
        raise ValidationError(name, text, "a whole number above 0")
    return int(text)
