"""Exports: the same rows as JSON lines, CSV and Parquet; raw numbers and exact decimals."""

import csv
import json
import sqlite3
import sys
from contextlib import closing
from pathlib import Path

import pytest

from oms import Instrument, ManualClock, PersistentStorage
from oms.cli import main
from oms.reports import ROW_COLUMNS
from oms.requests import OperatorAction, OperatorRequest
from tests.fakes import Stepped, buy, cancel, config_of, modify, sell

CENTS = Instrument(symbol="C_USD", price_scale=2, quantity_scale=3)


@pytest.fixture
def directory(tmp_path):
    """Orders, a modify, trades of which one was busted and one corrected, a refusal."""
    store = PersistentStorage(tmp_path / "order_management.db")
    desk = Stepped(config_of(instruments=(CENTS,)), store=store, clock=ManualClock()).start()
    of = {"symbol": "C_USD"}
    desk.send(sell("s1", "2.125", "98.50", **of))
    desk.send(modify("s2", "s1", price="98.25"))
    for n in range(3):
        desk.send(buy(f"b{n}", "0.5", "99", account="bob", **of))
    desk.send(buy("ioc", 1, 98, account="bob", time_in_force="IOC", **of))
    desk.send(buy("bad", 1, "98.001", account="bob", **of))
    desk.send(buy("unknown", 1, 98, symbol="NOPE"))
    desk.send(modify("lost", "nobody's", price="98.25"), cancel("lost too", "nobody's"))
    first, second, _ = desk.oms.recent_trades("C_USD")
    for name, action, trade, more in (
        ("o1", OperatorAction.BUST, first, {}),
        ("o2", OperatorAction.CORRECT, second, {"settings": {"price": "98.10"}}),
    ):
        request = OperatorRequest(
            client_order_id=name, action=action, name=trade.execution_id, **more
        )
        assert desk.ask(request).type == "COMMAND_DONE"
    desk.stop()
    return tmp_path


def exported(directory, capsys, *words):
    assert main(["export", *words, "--data-dir", str(directory)]) == 0
    return capsys.readouterr().out


def lines_of(directory, capsys, *words):
    return [json.loads(line) for line in exported(directory, capsys, *words).splitlines()]


def test_trades_have_one_row_each_as_they_stand(directory, capsys):
    """Both sides, and whether it was busted or corrected."""
    first, second, third = lines_of(directory, capsys, "trades")
    assert (first["status"], first["quantity_lots"], first["quantity"]) == ("BUSTED", 0, "0")
    assert (second["status"], second["price"], second["price_ticks"]) == ("CORRECTED", "98.1", 9810)
    assert (third["status"], third["price"], third["quantity"]) == ("", "98.25", "0.5")
    assert third["notional"] == "49.125"
    assert (third["taker_side"], third["buy_account"], third["sell_account"]) == (
        "BUY",
        "bob",
        "me",
    )
    assert third["buy_client_order_id"] == "b2"


def test_orders_have_one_row_each(directory, capsys):
    """How they stand, and what was asked for last; no row for a command, nor for a modify or cancel
    that named no order: as in the view order_states."""
    rows = {row["client_order_id"]: row for row in lines_of(directory, capsys, "orders")}
    assert list(rows) == ["s1", "b0", "b1", "b2", "ioc", "bad", "unknown"]
    sold = rows["s1"]
    assert (sold["latest_client_order_id"], sold["state"]) == ("s2", "PARTIALLY_FILLED")
    assert (sold["price"], sold["quantity"], sold["filled"]) == ("98.25", "2.125", "1")
    assert (rows["ioc"]["type"], rows["ioc"]["time_in_force"]) == ("LIMIT", "IOC")
    assert (rows["bad"]["state"], rows["bad"]["price"]) == ("REJECTED", None)
    assert rows["b0"]["state"] == "CANCELED"  # its only trade was taken back


def test_orders_have_the_words_and_values_of_the_view(directory, capsys):
    """A spreadsheet and a SELECT say the same under the same name; decimals have plain names."""
    # given the rows of the view
    with closing(sqlite3.connect(directory / "order_management.db")) as connection:
        connection.row_factory = sqlite3.Row
        selected = connection.execute("SELECT * FROM order_states ORDER BY order_id")
        viewed = [dict(row) for row in selected]

    # when they are exported
    rows = lines_of(directory, capsys, "orders")

    # then there is the latest client order id besides
    assert [row.pop("latest_client_order_id") for row in rows][:2] == ["s2", "b0"]
    assert rows == viewed


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full")
def test_a_full_disk_is_told_with_the_file(directory, capsys):
    """Which of them is full: there may be several."""
    assert main(["export", "--output", "/dev/full", "--data-dir", str(directory)]) == 2
    assert "order_management: /dev/full: No space left on device" in capsys.readouterr().err


def test_reports_are_the_rows_of_the_view(directory, capsys):
    """Every column of order_responses, and decimals beside."""
    rows = lines_of(directory, capsys, "reports")
    with PersistentStorage(directory / "order_management.db", read_only=True) as store:
        stored = [list(report.row()) for report in store.all_reports()]
    assert [[row[name] for name in ROW_COLUMNS] for row in rows] == stored
    fill = next(row for row in rows if row["type"] == "TRADE")
    assert (fill["last_price"], fill["last_quantity"]) == ("98.25", "0.5")
    last = rows[-1]["journal_seq"]
    assert lines_of(directory, capsys, "reports", "--from", str(last)) == [
        row for row in rows if row["journal_seq"] >= last
    ]


@pytest.mark.parametrize("what", ["journal", "reports", "orders", "trades"])
def test_csv_has_the_same_rows(directory, capsys, what):
    """A header, then a cell for each value; the same bytes to stdout and to a file."""
    rows = lines_of(directory, capsys, what)
    text = exported(directory, capsys, what, "--format", "csv")
    path = directory / "file.csv"
    assert exported(directory, capsys, what, "--format", "csv", "--output", str(path)) == ""
    assert path.read_bytes() == text.encode()
    found = list(csv.DictReader(text.splitlines()))
    assert [{k: v for k, v in row.items() if v != ""} for row in found] == [
        {
            key: value if isinstance(value, str) else json.dumps(value)
            for key, value in row.items()
            if value not in ("", None)
        }
        for row in rows
    ]


@pytest.mark.parametrize("what", ["journal", "reports", "orders", "trades"])
def test_parquet_has_the_same_rows(directory, capsys, what):
    """With types: whole numbers are numbers."""
    parquet = pytest.importorskip("pyarrow.parquet")
    path = directory / "file.parquet"
    exported(directory, capsys, what, "--format", "parquet", "--output", str(path))
    found = parquet.read_table(path).to_pylist()
    rows = lines_of(directory, capsys, what)
    assert len(found) == len(rows)
    for row, told in zip(rows, found, strict=True):
        for key, value in row.items():
            text = json.dumps(value) if isinstance(value, list | bool) else value
            assert told[key] == text
    if what == "trades":
        assert type(found[0]["price_ticks"]) is int


def test_without_pyarrow_one_line_says_what_to_install(directory, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    words = ["export", "trades", "--format", "parquet", "--data-dir", str(directory)]
    assert main([*words, "--output", str(directory / "file.parquet")]) == 2
    assert '--format parquet: expected pyarrow (pip install "order-management[parquet]")' in (
        capsys.readouterr().err
    )
    assert main(words) == 2
    assert "--format parquet: expected --output FILE, was stdout" in capsys.readouterr().err
    assert not (directory / "file.parquet").exists()
