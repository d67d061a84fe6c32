"""The documents say what the program does: every setting, every command, every thread."""

import argparse
import re
import shlex
import subprocess
import sys
from dataclasses import fields
from pathlib import Path

import pytest

from oms.cli import build_parser, with_command
from oms.config import CONFIG_PATH
from oms.exchange.phases import ADMISSIONS
from oms.flow.threads import THREADS
from oms.messages import OrderType
from oms.reports import ROW_COLUMNS
from oms.requests import OrderTerms

ROOT = Path(__file__).resolve().parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
DESIGN = (ROOT / "DESIGN.md").read_text(encoding="utf-8")


def test_every_setting_is_in_the_readme():
    """A key of config.ini that the configuration table leaves out is a question to us."""
    keys = re.findall(r"^#?\s?([a-z_]+) =", CONFIG_PATH.read_text(encoding="utf-8"), re.MULTILINE)
    assert keys
    missing = [key for key in dict.fromkeys(keys) if f"`{key}`" not in README]
    assert missing == []


def test_every_command_is_in_the_readme():
    """What `--help` offers, the README explains."""
    parsers = [a for a in build_parser()._actions if isinstance(a, argparse._SubParsersAction)]
    commands = list(parsers[0].choices)
    assert "simulate" in commands
    missing = [name for name in commands if f"`{name}" not in README]
    assert missing == []


def test_the_thread_table_is_the_one_in_design():
    """DESIGN.md prints the table that threads.py holds, row by row."""
    for row in THREADS:
        assert "| " + " | ".join(row) + " |" in DESIGN


def test_the_phase_table_is_the_one_in_design():
    """What each order type may do in each phase is one table, in code and on the page."""
    for phase, admissions in ADMISSIONS.items():
        assert f"| {phase} | " + " | ".join(a.value for a in admissions) + " |" in DESIGN


def test_every_order_type_and_term_is_in_the_readme():
    """The table of order types compares them all; every term is named under it."""
    names = [*OrderType, *(field.name for field in fields(OrderTerms))]
    assert [name for name in names if f"`{name}`" not in README] == []


def test_every_report_column_is_in_the_readme():
    """order_responses is meant to be read by others."""
    assert [name for name in ROW_COLUMNS if f"`{name}`" not in README] == []


def commands_of_the_readme() -> list[str]:
    """Lines of the README's shell blocks that run the program for a moment."""
    blocks = re.findall(r"```sh\n(.*?)```", README, re.DOTALL)
    lines = [line.split("#")[0].strip() for block in blocks for line in block.splitlines()]
    return [line for line in lines if line.startswith("python order_management.py")]


@pytest.mark.parametrize("line", commands_of_the_readme())
def test_a_command_of_the_readme_is_understood(line):
    """Each command line of the README parses; running them all is for the other tests."""
    build_parser().parse_args(with_command(shlex.split(line)[2:]))


def test_the_library_example_of_the_readme_runs(tmp_path):
    """The first Python block is a program; it ends well and prints a fill."""
    # given the example, written to a file
    example = re.findall(r"```python\n(.*?)```", README, re.DOTALL)[0]
    program = tmp_path / "example.py"
    program.write_text(example, encoding="utf-8")

    # when it is run beside an empty directory
    done = subprocess.run(
        [sys.executable, str(program)],
        cwd=tmp_path,
        env={"PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    # then
    assert done.returncode == 0, done.stderr
    assert "FILLED" in done.stdout
