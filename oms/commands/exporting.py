"""`export`: journal, reports, orders and trades as JSON lines, CSV or Parquet.

Flow:  database -> [exporting] -> stdout, or a file for a spreadsheet, pandas, DuckDB
Each table has its raw whole numbers and, beside them, exact decimals as text. They only read.
"""

import argparse
import csv
import json
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, nullcontext, suppress
from fractions import Fraction
from importlib import import_module
from itertools import islice
from pathlib import Path
from typing import IO, Any, NamedTuple

from oms.clock import NANOS, datetime_of
from oms.commands import EXIT_OK, AddCommand, Place, folded, looking, naming, whole_number
from oms.enums import ResponseType
from oms.errors import ConfigError, JournalError
from oms.instruments import Instrument
from oms.money import to_text
from oms.positions import AVERAGE_PLACES, Scales, TradeRow, trade_rows
from oms.reports import (
    COMMAND_ANSWERS,
    NUMBER_BITS,
    ROW_COLUMNS,
    Report,
    execution_id_of,
    standing_of,
)
from oms.requests.codec import MODIFY, NEW, decode_all
from oms.stores import Claim, JournalRecord, checked
from oms.stores.private import private_file
from oms.stores.sql_store import SqlStore
from oms.turn.journal import Fold

EXPORT = """\
Prints the journal as JSON lines: one for each entry (what moved the orders, in order), and
one for each turn of the dispatcher, with how many waiting requests it sent and its
checksum. WHAT may also be reports (the rows of order_responses), orders (how each order stands)
or trades (one row each, both sides, as they stand). --format csv or parquet; Parquet goes into
the file of --output, and needs pyarrow: pip install "order-management[parquet]". Whole numbers
are raw (ticks, lots, units); columns without such a word in their name are exact decimals, as text.
Times are UTC."""
BATCH_ROWS = 10_000
CANCEL_REJECTED = ResponseType.CANCEL_REJECTED.value
REPLACED = ResponseType.REPLACED.value
REPORT_TEXTS = ("account", "client_order_id", "symbol", "side", "type", "state", "notional",
    "liquidity", "reason", "fee")  # fmt: skip

Row = dict[str, Any]
Columns = Mapping[str, type]
"""Names and types, int or str, in order."""


class Table(NamedTuple):
    """What can be exported: its columns, and its rows from a journal sequence on."""

    columns: Columns
    rows: Callable[[SqlStore, int], Iterator[Row]]


def add_to(add: AddCommand) -> None:
    def command(args: argparse.Namespace, place: Place) -> int:
        group = place.config.store.group
        return looking(lambda args, store: export(args, store, group))(args, place)

    option = add("export", command, "export the journal, reports, orders or trades", EXPORT)
    option(
        "what", metavar="WHAT", nargs="?", choices=list(TABLES), default="journal",
        help=f"{', '.join(TABLES)} (default: journal)",
    )  # fmt: skip
    option("--format", choices=list(WRITERS), default="jsonl", help="(default: jsonl)")
    option("--output", metavar="FILE", type=Path, help="instead of stdout; made anew")
    option(
        "--from", metavar="SEQ", dest="from_seq", type=whole_number(1), default=1,
        help="the first journal sequence to print (default: 1); of orders: what was told since",
    )  # fmt: skip


def export(args: argparse.Namespace, store: SqlStore, group: str) -> int:
    """One table; a file is as private as the database."""
    table = TABLES[args.what]
    if args.format == "parquet" and args.output is None:
        raise ConfigError(["--format parquet: expected --output FILE, was stdout"])
    if args.format == "parquet":
        _arrow()  # without it no file is made
    with naming(args.output):
        if args.output is not None:
            private_file(args.output, group)
        WRITERS[args.format](table.columns, table.rows(store, args.from_seq), args.output)
    return EXIT_OK


# --- formats ---


def _text_file(path: Path | None) -> Any:
    """Where text goes: line feeds as they are, so that the bytes are the same everywhere."""
    return nullcontext(sys.stdout) if path is None else path.open("w", encoding="utf-8", newline="")


def write_jsonl(_columns: Columns, rows: Iterable[Row], path: Path | None) -> None:
    with _text_file(path) as file:
        for row in rows:
            file.write(json.dumps(row) + "\n")


def write_csv(columns: Columns, rows: Iterable[Row], path: Path | None) -> None:
    with _text_file(path) as file:
        writer = csv_writer(file)
        writer.writerow(columns)
        for row in rows:
            writer.writerow([_cell(row.get(name)) for name in columns])


def csv_writer(file: IO[str]) -> Any:
    return csv.writer(file, lineterminator="\n")


def _cell(value: Any) -> Any:
    return json.dumps(value) if isinstance(value, list | bool) else value


def write_parquet(columns: Columns, rows: Iterable[Row], path: Path | None) -> None:
    """Batch by batch, so that a journal of any length needs no memory."""
    arrow, parquet = _arrow()
    types = {int: arrow.int64(), str: arrow.string()}
    schema = arrow.schema([(name, types[kind]) for name, kind in columns.items()])
    left = iter(rows)
    with ExitStack() as stack:
        writer = stack.enter_context(parquet.ParquetWriter(path, schema))
        while some := list(islice(left, BATCH_ROWS)):
            given = [{n: _typed(row.get(n), kind) for n, kind in columns.items()} for row in some]
            writer.write_table(arrow.Table.from_pylist(given, schema=schema))


def _arrow() -> tuple[Any, Any]:
    """pyarrow and its module for files. ConfigError says how to install it."""
    try:
        return import_module("pyarrow"), import_module("pyarrow.parquet")
    except ImportError as error:
        how = 'pip install "order-management[parquet]"'
        raise ConfigError([f"--format parquet: expected pyarrow ({how}), was: {error}"]) from None


def _typed(value: Any, kind: type) -> Any:
    return value if value is None else kind(_cell(value)) if kind is str else int(value)


WRITERS: dict[str, Callable[[Columns, Iterable[Row], Path | None], None]] = {
    "jsonl": write_jsonl, "csv": write_csv, "parquet": write_parquet,
}  # fmt: skip


# --- tables ---


def journal_rows(store: SqlStore, from_seq: int) -> Iterator[Row]:
    """The journal from one sequence on, each record checked against the one before."""
    for record in _records_from(store, from_seq):
        wall = time_text(record.wall_ns)
        for seq, entry in enumerate(decode_all(record.body, record.first_seq), record.first_seq):
            if seq >= from_seq:
                yield {"seq": seq, "wall": wall, "entry": entry}
        yield {
            "seq": record.last_seq, "wall": wall, "turn": True, "released": record.released,
            "checksum": record.checksum,
        }  # fmt: skip


def _records_from(store: SqlStore, from_seq: int) -> Iterator[JournalRecord]:
    first = store.record_of(from_seq)
    if first is None:
        return iter(())
    before = store.record_before(first)
    after_seq, chained_to = (before.last_seq, before.checksum) if before else (0, 0)
    return checked(store.records(after_seq), after_seq, chained_to)


def time_text(wall_ns: int) -> str:
    return datetime_of(wall_ns).isoformat(timespec="microseconds").replace("+00:00", "Z")


def exact_time_text(wall_ns: int) -> str:
    """As the views have it."""
    return f"{datetime_of(wall_ns):%Y-%m-%dT%H:%M:%S}.{wall_ns % NANOS:09d}Z"


def instruments_of(fold: Fold) -> dict[str, Instrument]:
    """All that are or were traded."""
    engine = fold.desk.engine
    markets = engine.markets if engine is not None else {}
    return {**{s: market.instrument for s, market in markets.items()}, **fold.desk.instruments}


def _decimals(instrument: Instrument | None, **numbers: tuple[int, str]) -> Row:
    """Exact decimals: of each name a number and whether it is a price, a quantity, a fee or a
    notional; null without an instrument."""
    if instrument is None:
        return dict.fromkeys(numbers)
    price, quantity = instrument.price_scale, instrument.quantity_scale
    scales = {
        "price": price, "quantity": quantity, "fee": instrument.quote_scale,
        "notional": price + quantity,
    }  # fmt: skip
    return {name: to_text(number, scales[kind]) for name, (number, kind) in numbers.items()}


REPORT_DECIMALS = ("last_price", "last_quantity", "cumulative_quantity", "leaves_quantity",
    "notional_decimal", "fee_decimal")  # fmt: skip


def _report_row(report: Report, instrument: Instrument | None) -> Row:
    return {
        "execution_id": report.execution_id, "time": time_text(report.wall_ns),
        **dict(zip(ROW_COLUMNS, report.row(), strict=True)),
        **_decimals(
            instrument,
            last_price=(report.last_price_ticks, "price"),
            last_quantity=(report.last_quantity_lots, "quantity"),
            cumulative_quantity=(report.cumulative_lots, "quantity"),
            leaves_quantity=(report.leaves_lots, "quantity"),
            notional_decimal=(int(report.notional or 0), "notional"),
            fee_decimal=(int(report.fee or 0), "fee"),
        ),
    }  # fmt: skip


def report_rows(store: SqlStore, from_seq: int) -> Iterator[Row]:
    """Every report of a turn at or after the sequence."""
    instruments = instruments_of(folded(store))
    for report in store.all_reports():
        if report.journal_seq >= from_seq:
            yield _report_row(report, instruments.get(report.symbol))


def order_rows(store: SqlStore, from_seq: int) -> Iterator[Row]:
    """How each order stands of which something was told since, in the order of their ids: the rows
    of the view order_states, with the latest client order id, and whatever was archived."""
    scales = store.scales()
    for claim in store.all_claims():
        reports = store.reports_of(claim[0])
        standing = standing_of(reports)
        if standing is None or standing.type in COMMAND_ANSWERS:
            continue
        if reports[0].type == CANCEL_REJECTED:  # of a modify or cancel that named no order
            continue
        if reports[-1].journal_seq >= from_seq:
            yield _order_row(claim, standing, reports, _asked(store, reports), scales)


def _order_row(
    claim: Claim,
    standing: Report,
    reports: Sequence[Report],
    asked: tuple[int | None, int | None],
    scales: Scales,
) -> Row:
    """asked: price and total quantity, None for none."""
    order_id, account, client_order_id, symbol, side, about, _ = claim
    terms = json.loads(about) if about else {"type": "LIMIT", "tif": "GTC"}
    entered, updated = reports[0], reports[-1]
    ticks, lots = asked
    done, left, worth = standing.cumulative_lots, standing.leaves_lots, int(standing.notional or 0)
    price: int | None = None
    quantity: int | None = None
    with suppress(JournalError):  # a refused order may name any symbol
        price, quantity, _ = scales(symbol, updated.journal_seq)
    average = round(Fraction(worth, done) * 10**AVERAGE_PLACES) if done else None
    return {
        "order_id": order_id, "account": account, "client_order_id": client_order_id,
        "latest_client_order_id": standing.client_order_id, "symbol": symbol, "side": side,
        "type": terms["type"], "time_in_force": terms["tif"], "state": standing.state,
        "price": _text(ticks, price), "quantity": _text(lots, quantity),
        "filled": _text(done, quantity), "leaves": _text(left, quantity),
        "average_price": _text(average, price, AVERAGE_PLACES),
        "notional": _text(worth, price, quantity), "reason": standing.reason,
        "entered": exact_time_text(entered.wall_ns), "updated": exact_time_text(updated.wall_ns),
        "limit_ticks": ticks, "quantity_lots": lots, "cumulative_lots": done, "leaves_lots": left,
        "notional_raw": str(worth), "entered_ns": entered.wall_ns, "updated_ns": updated.wall_ns,
        "updated_seq": updated.journal_seq,
    }  # fmt: skip


def _text(number: int | None, scale: int | None, more: int | None = 0) -> str | None:
    """An exact decimal; None without a number, or of an unknown instrument."""
    if number is None or scale is None or more is None:
        return None
    return to_text(number, scale + more)


def _asked(store: SqlStore, reports: Sequence[Report]) -> tuple[int | None, int | None]:
    """Price in ticks and total quantity in lots as they were asked for last; None where the order
    has no price, or was refused for its numbers."""
    line = store.line_of(reports[0].order_id)
    ticks, lots = (line[7] or None, line[8]) if line[0] == NEW else (None, None)
    for report in reports:
        change = store.line_of(report.request_seq) if report.type == REPLACED else ()
        if change and change[0] == MODIFY:
            ticks, lots = change[4] or ticks, change[5] or lots
    return ticks, lots


def trade_table(store: SqlStore, from_seq: int) -> Iterator[Row]:
    """One row a trade, of a turn at or after the sequence."""
    reports = (each for each in store.all_reports() if each.journal_seq >= from_seq)
    yield from map(trade_row, trade_rows(reports, store.changes(0), store.scales()))


def trade_row(trade: TradeRow) -> Row:
    """One trade for a file, with the scales that it was traded by."""
    price, quantity, quote = trade.price_scale, trade.quantity_scale, trade.quote_scale
    worth = trade.price_ticks * trade.lots
    return {
        "seq": trade.report_id >> NUMBER_BITS, "execution_id": execution_id_of(trade.report_id),
        "match_number": trade.match_number, "symbol": trade.symbol,
        "time": time_text(trade.wall_ns), "wall_ns": trade.wall_ns,
        "price_ticks": trade.price_ticks, "quantity_lots": trade.lots,
        "taker_side": trade.aggressor, "status": trade.status,
        "buy_order_id": trade.buy_order_id, "buy_account": trade.buy_account,
        "buy_client_order_id": trade.buy_client_order_id, "buy_fee_units": trade.buy_fee,
        "sell_order_id": trade.sell_order_id, "sell_account": trade.sell_account,
        "sell_client_order_id": trade.sell_client_order_id, "sell_fee_units": trade.sell_fee,
        "price": to_text(trade.price_ticks, price), "quantity": to_text(trade.lots, quantity),
        "notional": to_text(worth, price + quantity),
        "buy_fee": to_text(trade.buy_fee, quote), "sell_fee": to_text(trade.sell_fee, quote),
    }  # fmt: skip


REPORT_COLUMNS: Columns = {
    "execution_id": str, "time": str,
    **{name: str if name in REPORT_TEXTS else int for name in ROW_COLUMNS},
    **dict.fromkeys(REPORT_DECIMALS, str),
}  # fmt: skip
ORDER_COLUMNS: Columns = {
    "order_id": int, "account": str, "client_order_id": str, "latest_client_order_id": str,
    "symbol": str, "side": str, "type": str, "time_in_force": str, "state": str, "price": str,
    "quantity": str, "filled": str, "leaves": str, "average_price": str, "notional": str,
    "reason": str, "entered": str, "updated": str, "limit_ticks": int, "quantity_lots": int,
    "cumulative_lots": int, "leaves_lots": int, "notional_raw": str, "entered_ns": int,
    "updated_ns": int, "updated_seq": int,
}  # fmt: skip
TRADE_TEXTS = ("execution_id", "symbol", "time", "taker_side", "status", "buy_account",
    "buy_client_order_id", "sell_account", "sell_client_order_id", "price", "quantity", "notional",
    "buy_fee", "sell_fee")  # fmt: skip
TRADE_COLUMNS: Columns = {
    name: str if name in TRADE_TEXTS else int
    for name in (
        "seq", "execution_id", "match_number", "symbol", "time", "wall_ns", "price_ticks",
        "quantity_lots", "taker_side", "status", "buy_order_id", "buy_account",
        "buy_client_order_id", "buy_fee_units", "sell_order_id", "sell_account",
        "sell_client_order_id", "sell_fee_units", "price", "quantity", "notional", "buy_fee",
        "sell_fee",
    )
}  # fmt: skip
TABLES = {
    "journal": Table(
        {"seq": int, "wall": str, "turn": str, "released": int, "checksum": int, "entry": str},
        journal_rows,
    ),
    "reports": Table(REPORT_COLUMNS, report_rows),
    "orders": Table(ORDER_COLUMNS, order_rows),
    "trades": Table(TRADE_COLUMNS, trade_table),
}
