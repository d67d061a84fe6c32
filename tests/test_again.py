"""A recorded simulation is done again: the same trades, though the throttle held orders back."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from oms.simulation.recorded import FlowFileError, read_jsonl, recording_of

PROGRAM = Path(__file__).resolve().parents[1] / "order_management.py"


def run(*words, directory):
    """Exit code, stdout and stderr of one command in a directory."""
    done = subprocess.run(
        [sys.executable, str(PROGRAM), *map(str, words), "--data-dir", str(directory)],
        capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    return done.returncode, done.stdout, done.stderr


@pytest.fixture(scope="module")
def flow(tmp_path_factory):
    """Six seconds of the simulation as it is shipped: ledger, auction, throttle, bursts."""
    directory = tmp_path_factory.mktemp("first")
    path = directory / "flow.jsonl"
    code, out, err = run(
        "simulate", "--seconds", 6, "--quiet", "--record", path, directory=directory
    )
    assert code == 0, err
    waited = next(line for line in out.splitlines() if line.startswith("Queue"))
    assert int(waited.split()[3].replace(",", "")) > 10, "nothing waited: the throttle is not tried"
    return path


def changed(flow, path, change):
    """The file with its lines as `change` gives them back."""
    path.write_text("".join(change(flow.read_text().splitlines(keepends=True))))
    return path


def test_the_same_happens_again_trade_for_trade(flow, tmp_path):
    """In another directory, on another day, as fast as it goes."""
    # given what the file says of itself
    recording = recording_of(flow)
    assert recording.facts()["ledger"] == "yes"
    assert recording.facts()["throttle"] == "sliding_window"
    assert recording.facts()["seed"] == 7
    assert len(recording.trades) > 100

    # when it is fed
    code, out, err = run("feed", flow, directory=tmp_path / "new")

    # then the report compares both, and the journal gives the same state as ever
    assert code == 0, out + err
    assert "the same, trade for trade" in out
    assert "Verify     verified" in out
    first, again = (
        line.split()[1:] for line in out.splitlines() if line.startswith(("Reports", "Trades"))
    )
    assert first[0] == first[1] != "0"
    assert again[0] == again[1] == f"{len(recording.trades) // 2:,}"


def test_what_differs_is_named(flow, tmp_path):
    """One order asks for another price than it did."""

    def change(lines):
        for place, line in enumerate(lines):
            told = json.loads(line)
            if told.get("request") == "NEW" and told.get("price") and told["side"] == "BUY":
                lines[place] = line.replace(f'"price":"{told["price"]}"', '"price":"1"')
                if place > 100:
                    break
        return lines

    code, out, _ = run("feed", changed(flow, tmp_path / "other.jsonl", change), directory=tmp_path)
    assert code == 1
    assert "Compared   trade " in out
    assert " was " in out


def test_a_run_that_was_cut_short_is_fed_as_orders_alone(flow, tmp_path):
    """Without its last line nobody knows when what was sent."""
    path = changed(flow, tmp_path / "short.jsonl", lambda lines: lines[:200])
    assert recording_of(path) is None
    code, out, err = run("feed", path, "--quiet", directory=tmp_path / "data")
    assert code == 0, err
    assert "Compared" not in out
    assert f"{sum(1 for _ in read_jsonl(path)):,} offered" in out


def test_some_orders_of_a_recording_are_fed_as_before(flow, tmp_path):
    """--orders asks for another run than was recorded."""
    code, out, err = run("feed", flow, "--orders", 50, "--quiet", directory=tmp_path)
    assert code == 0, err
    assert "50 offered" in out


def test_a_damaged_first_line_is_named(flow, tmp_path):
    """In one line, before anything is sent."""

    def change(lines):
        return [lines[0].replace('"ledger":true', '"ledgers":true'), *lines[1:]]

    path = changed(flow, tmp_path / "bad.jsonl", change)
    with pytest.raises(FlowFileError, match=r"^bad.jsonl line 1 and \d+: expected what simulate"):
        recording_of(path)
    code, _, err = run("feed", path, directory=tmp_path / "data")
    assert code == 2
    assert "bad.jsonl line 1" in err
