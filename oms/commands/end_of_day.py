"""`end-of-day`: settlement prices, statements, positions and trades of one trading date, as files.

Flow:  journal, calendar -> day -> [end_of_day] -> one JSON file, and a CSV file for each table
They hold nothing but what both say: the same journal and hours give the same bytes.
"""

import argparse
import io
import json
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any

from oms.clock import utc_text
from oms.commands import EXIT_FAILED, EXIT_OK, AddCommand, Place, looking, naming, say, venue_of
from oms.commands.exporting import TRADE_COLUMNS, csv_writer, trade_row
from oms.money import to_text
from oms.stores.private import private_file
from oms.stores.sql_store import SqlStore
from oms.turn.day import SETTLEMENT_MINUTES, Day, days

END_OF_DAY = f"""\
Writes what a trading date came to: end-of-day-DATE.json with all of it, and the same tables as
end-of-day-DATE-settlement.csv, -statements.csv, -positions.csv and -trades.csv. The settlement
price of a symbol is that of its closing auction; else the average by volume of the last
{SETTLEMENT_MINUTES} minutes before the date's end by the calendar of config.ini, however late the
turn that closed it; else the last trade's; else that of the date before; else the configured
reference price; "rule" says which it was. Trades count as they stand when the command runs. The
statement of an account has for each asset what it began with, deposits and withdrawals, trades,
fees, and what it ended with. Without --date: the latest date that is over. The same journal and
hours give the same bytes. Reads the journal from its first entry on, about 100,000 entries a
second."""
SETTLEMENT = ("symbol", "settlement_price", "rule", "settlement_price_ticks")
STATEMENTS = ("account", "asset", "opening", "funds", "trades", "fees", "closing", "reserved")
POSITIONS = ("account", "symbol", "opening", "closing", "opening_lots", "closing_lots")
SCALE_UNKNOWN = 8  # of an asset that is no longer configured

Row = dict[str, Any]


def add_to(add: AddCommand) -> None:
    def end_of_day(args: argparse.Namespace, place: Place) -> int:
        return looking(lambda args, store: close(args, store, place))(args, place)

    option = add(
        "end-of-day",
        end_of_day,
        "write the files of a trading date",
        END_OF_DAY,
    )
    option("--date", metavar="DATE", type=trading_date, help="such as 2026-11-27")
    option("--output", metavar="DIR", type=Path, help="where to (default: the data directory)")


def trading_date(text: str) -> str:
    """The reader of an argument that is a date."""
    try:
        return date.fromisoformat(text).isoformat()
    except ValueError:
        raise argparse.ArgumentTypeError(
            f"expected a date such as 2026-11-27, was {text!r}"
        ) from None


def close(args: argparse.Namespace, store: SqlStore, place: Place) -> int:
    """Write the files; 1 if the journal has no such date."""
    directory: Path = args.output or place.directory
    found, seen = None, list[str]()
    for day in days(store, venue_of(store), place.config.session.schedule):
        seen.append(day.date)
        if day.date == args.date or (not args.date and (day.complete or found is None)):
            found = day
            if args.date and day.complete:
                break
    if found is None:
        known = f"it has {seen[0]} to {seen[-1]}" if seen else "it has none yet"
        say(f"no trading date {args.date or 'at all'} in the journal: {known}")
        return EXIT_FAILED
    directory.mkdir(parents=True, exist_ok=True)
    for name, text in files_of(found):
        path = directory / name
        beside = path.with_name(f"{name}.new")
        with naming(path):
            private_file(beside, place.config.store.group)
            beside.write_text(text, encoding="utf-8", newline="")
            beside.replace(path)
        print(path)
    if not found.complete:
        say(f"{found.date} is not over yet: the files are as of {utc_text(found.end_ns)}")
    return EXIT_OK


def files_of(day: Day) -> Iterator[tuple[str, str]]:
    """Name and content of each file."""
    head = f"end-of-day-{day.date}"
    tables = {
        "settlement": (SETTLEMENT, list(_settlement_rows(day))),
        "statements": (STATEMENTS, list(_statement_rows(day))),
        "positions": (POSITIONS, list(_position_rows(day))),
        "trades": (
            tuple(TRADE_COLUMNS),
            [trade_row(each) for each in day.trades],
        ),
    }
    whole = {
        "date": day.date, "complete": day.complete, "journal_seq": day.last_seq,
        "end": utc_text(day.end_ns), **{name: rows for name, (_, rows) in tables.items()},
    }  # fmt: skip
    yield f"{head}.json", json.dumps(whole, indent=1) + "\n"
    for name, (columns, rows) in tables.items():
        file = io.StringIO()
        writer = csv_writer(file)
        writer.writerow(columns)
        writer.writerows([row[column] for column in columns] for row in rows)
        yield f"{head}-{name}.csv", file.getvalue()


def _settlement_rows(day: Day) -> Iterator[Row]:
    for symbol, (ticks, rule) in sorted(day.settlements.items()):
        price = None if ticks is None else to_text(ticks, day.instruments[symbol].price_scale)
        yield dict(zip(SETTLEMENT, (symbol, price, rule, ticks), strict=True))


def _statement_rows(day: Day) -> Iterator[Row]:
    for line in day.statements:
        scale = day.scales.get(line.asset, SCALE_UNKNOWN)
        yield dict(
            zip(
                STATEMENTS, (*line[:2], *(to_text(units, scale) for units in line[2:])), strict=True
            )
        )


def _position_rows(day: Day) -> Iterator[Row]:
    for account, symbol, *lots in day.positions:
        instrument = day.instruments.get(symbol)
        texts = [to_text(each, instrument.quantity_scale) if instrument else None for each in lots]
        yield dict(zip(POSITIONS, (account, symbol, *texts, *lots), strict=True))
