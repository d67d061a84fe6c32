"""The order book, unmodified, under validators that know nothing of it.

They read real NASDAQ flow, and the report stream on which independent engines agree. Data and
validators are not part of the project: OMS_FLOW_DATA says where they are.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
DATA = Path(os.environ.get("OMS_FLOW_DATA") or ROOT.parent / "shared").resolve()
ADAPTERS = ROOT / "benchmarks" / "adapters"
SCENARIOS = ("static", "normal", "swing-25", "swing-40", "flash-crash")
LOBSTER_FILES = "data/lobster-goog/GOOG_2012-06-21_{}_10.first40000.csv.gz"


def validate(tool: str, *arguments: object) -> str:
    """What the validator prints; it must exit with 0."""
    path = DATA / "tools" / tool
    if not path.exists():
        pytest.skip(f"{path} is not there; OMS_FLOW_DATA names the directory with tools/ and data/")
    command = [sys.executable, path, *arguments]
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.parametrize("mode", ["sync", "sweep"])
def test_the_book_trades_as_nasdaq_did(mode):
    """40,000 messages of GOOG: the same makers, prices and sizes, and ten levels of depth."""
    # when the flow goes through the book
    files = [DATA / LOBSTER_FILES.format(kind) for kind in ("message", "orderbook")]
    told = validate(
        "lobster_check.py", ADAPTERS / "lobster.py", *files, "--mode", mode, "--json"
    )  # fmt: skip
    report = json.loads(told)

    # then everything that was compared is identical, and nothing went wrong
    result = report["result"]
    assert report["messages"] == 40_000
    assert report["executions identical %"] == 100.0
    assert result["executions identical (ids, prices, sizes)"] == result["executions compared"]
    assert result["executions compared"] > 1_000
    assert result["probes"] > 1_000
    for levels in (1, 5, 10):
        assert report[f"top-{levels} rows identical %"] == 100.0
        assert result[f"top-{levels} identical"] == result["rows compared"]
    assert not [name for name in result if "errors" in name or "traded" in name]
    assert not [name for name in result if "did not report" in name]
    assert not [name for name in report["planner"] if "ANOMALY" in name]
    assert report["examples"] == []


def test_the_book_tells_what_independent_engines_agree_on():
    """Five price scenarios: the report stream hashes to the consensus; so does each state."""
    # when the workload goes through the book, with its state looked at on the way
    told = validate("replay_consensus.py", ADAPTERS / "consensus.py", "--audit", "--json")

    # then every scenario conforms, and no look found a difference
    lines = {line.split()[0]: line for line in told.splitlines() if line.strip()}
    for scenario in SCENARIOS:
        assert "n=100000 conforming=yes" in lines[scenario]
        assert "state audit 2000/2000" in lines[scenario]
    assert json.loads(told.splitlines()[-1])["conforming"] is True
