"""The documents say what the program does: every setting, every command, every thread."""

import argparse
import re
import shlex
import subprocess
import sys
from dataclasses import fields
from pathlib import Path

import pytest

import oms
from oms import aio, errors
from oms.cli import build_parser, with_command
from oms.config import CONFIG_PATH
from oms.enums import OrderState, OrderType, PostOnly, SelfTrade, TimeInForce
from oms.exchange.phases import ADMISSIONS
from oms.manager import OrderManagement
from oms.reports import ROW_COLUMNS
from oms.requests import FundsAction, OperatorAction, OrderTerms
from oms.turn.threads import THREADS
from tests.published import published_settings, settings_table

ROOT = Path(__file__).resolve().parent.parent
README_LINES_MAX = 120
PAGES = {
    path.relative_to(ROOT).as_posix(): path.read_text(encoding="utf-8")
    for path in (
        *(ROOT / name for name in ("README.md", "CHANGELOG.md", "DESIGN.md")),
        *sorted((ROOT / "docs").glob("*.md")),
    )
}
README, DESIGN = PAGES["README.md"], PAGES["DESIGN.md"]
LIBRARY, ORDERS, COMMANDS = (PAGES[f"docs/{name}.md"] for name in ("library", "orders", "commands"))
REPORTS, MAP = PAGES["docs/reports.md"], PAGES["docs/README.md"]


def test_the_readme_is_short():
    """What is longer has a page of its own in docs/."""
    assert len(README.splitlines()) <= README_LINES_MAX


def cells(row: str) -> int:
    """Those of a row of a table; what is in code, or after a backslash, is no end of one."""
    return re.sub(r"`[^`]*`|\\\|", "", row.strip()).strip("|").count("|") + 1


def test_each_row_of_a_table_has_a_cell_for_each_column():
    """Else readers are shown no table, or half of a row."""
    broken, tables = [], 0
    for page, text in PAGES.items():
        for table in re.findall(r"^\|.*\n(?:^\|.*\n)*", text, re.MULTILINE):
            head, rule, *rows = table.splitlines()
            tables += 1
            if not re.fullmatch(r"\|(?: *:?-+:? *\|)+", rule):
                broken.append((page, rule))
            broken += [(page, row) for row in (rule, *rows) if cells(row) != cells(head)]
    assert tables
    assert broken == []


def test_every_relative_link_leads_somewhere():
    """To a file that is there and, after a #, to a heading of it."""
    links = [
        (page, target)
        for page, text in PAGES.items()
        for target in re.findall(r"\]\(([^)\s]+)\)", text)
        if "://" not in target
    ]
    assert links
    broken = []
    for page, target in links:
        path, _, anchor = target.partition("#")
        file = (ROOT / page).parent / path if path else ROOT / page
        if not file.is_file() or (anchor and anchor not in headings(file)):
            broken.append((page, target))
    assert broken == []


def headings(page: Path) -> list[str]:
    """The anchors of a page's headings, as they stand in links."""
    found = re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return [re.sub(r"[^a-z0-9 _-]", "", title.lower()).replace(" ", "-") for title in found]


def test_the_map_links_to_every_page():
    """A page that no link leads to is not read; the README leads to the map."""
    assert "](docs/README.md)" in README
    pages = [name for name in PAGES if name not in ("docs/README.md", "README.md")]
    links = [f"docs/{name}" for name in re.findall(r"\]\(([\w-]+\.md)\)", MAP)]
    links += re.findall(r"\]\(\.\./(\w+\.md)\)", MAP)
    assert sorted(set(pages) - set(links)) == []


def test_every_public_name_is_in_the_library_page():
    """They are a promise, so they are listed; the methods of OrderManagement, too."""
    calls = [
        name
        for name in dir(OrderManagement)
        if callable(getattr(OrderManagement, name)) and not name.startswith("_")
    ]
    named = set(re.findall(r"`(\w+)[`(]", LIBRARY))
    assert [name for name in oms.__all__ if name not in named] == []
    # The program's own: no client needs them.
    others = ["between_turns", "published_ns", "start_by_hand"]
    assert [name for name in calls if name not in named] == others


def test_every_setting_is_documented():
    """The table is the one that the settings give, and has every key of config.ini."""
    published = published_settings(PAGES["docs/configuration.md"])
    assert published == settings_table(), "python -m tests.published writes it anew"
    keys = re.findall(r"^#?\s?([a-z_]+) =", CONFIG_PATH.read_text(encoding="utf-8"), re.MULTILINE)
    assert keys
    missing = [key for key in dict.fromkeys(keys) if f"`{key}`" not in published]
    assert missing == []


def test_every_command_is_documented():
    """What `--help` offers, docs/commands.md explains."""
    parsers = [a for a in build_parser()._actions if isinstance(a, argparse._SubParsersAction)]
    commands = list(parsers[0].choices)
    assert "simulate" in commands
    rows = re.findall(r"^\| (`[^|]*`) \|", COMMANDS, re.MULTILINE)
    named = {name for row in rows for name in re.findall(r"`([\w-]+)`", row)}
    assert [name for name in commands if name not in named] == []


def test_the_thread_table_is_the_one_in_design():
    """DESIGN.md prints the table that threads.py holds, row by row."""
    for row in THREADS:
        assert "| " + " | ".join(row) + " |" in DESIGN


def test_the_phase_table_is_the_one_in_design():
    """What each order type may do in each phase is one table, in code and on the page."""
    for phase, admissions in ADMISSIONS.items():
        assert f"| {phase} | " + " | ".join(a.value for a in admissions) + " |" in DESIGN


def test_every_order_type_and_term_is_documented():
    """The table of order types compares them all; every term has a row under it."""
    names = [*OrderType, *(field.name for field in fields(OrderTerms)), *PostOnly, *SelfTrade]
    assert [name for name in names if f"`{name}`" not in ORDERS] == []
    assert [name for name in (*TimeInForce, *OrderState) if f"`{name}`" not in ORDERS] == []


def test_every_request_is_documented():
    """Each class of requests has a row; each action is named in it."""
    missing = [name for name in (*FundsAction, *OperatorAction) if name not in LIBRARY]
    assert missing == []


def test_every_report_column_is_documented():
    """order_responses is meant to be read by others: every column, in the order of the view."""
    table = re.search(r"^\| column \|.*?\n\n", REPORTS, re.MULTILINE | re.DOTALL)
    assert table is not None
    cells = [row.split("|")[1] for row in table[0].strip().splitlines()[2:]]
    assert re.findall(r"`(\w+)`", "".join(cells)) == list(ROW_COLUMNS)


def documented_commands() -> list[str]:
    """Lines of shell and console blocks, on every page, that run the program."""
    blocks = [
        block
        for text in PAGES.values()
        for block in re.findall(r"```(?:sh|console)\n(.*?)```", text, re.DOTALL)
    ]
    lines = [line.removeprefix("$ ") for block in blocks for line in block.splitlines()]
    lines = [re.sub(r"^(OMS__\w+=\S+ )+", "", line) for line in lines]
    starts = "python order_management.py", "python -m oms "
    return [line for line in lines if line.startswith(starts)]


@pytest.mark.parametrize("line", documented_commands())
def test_a_documented_command_is_understood(line):
    """Each command line of a page parses; running them all is for the other tests."""
    words = shlex.split(line)
    build_parser().parse_args(with_command(words[3 if words[1] == "-m" else 2 :]))


def test_every_benchmark_of_the_figures_is_there():
    """Each figure names the script that gives it."""
    scripts = re.findall(r"python (benchmarks/\w+\.py)", PAGES["docs/benchmarks.md"])
    assert scripts
    assert [script for script in scripts if not (ROOT / script).is_file()] == []


def examples(page: str) -> list[str]:
    """The Python blocks of a page; each is a whole program."""
    return re.findall(r"```python\n(.*?)```", PAGES[page], re.DOTALL)


def run_example(page: str, directory: Path, number: int = 0) -> str:
    """A Python block of a page, the first if not another, run beside an empty directory."""
    example = examples(page)[number]
    program = directory / "example.py"
    program.write_text(example, encoding="utf-8")
    done = subprocess.run(
        [sys.executable, str(program)],
        cwd=directory,
        env={"PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_library_example_of_the_readme_prints_what_the_page_shows(tmp_path):
    """In an empty directory, at any hour, twice; it leaves nothing behind."""
    shown = README[README.index("## As a library") :]
    expected = re.findall(r"```text\n(.*?)```", shown, re.DOTALL)[0]
    for _ in range(2):
        assert run_example("README.md", tmp_path) == expected
    assert [path.name for path in tmp_path.iterdir()] == ["example.py"]


def test_the_example_of_the_library_page_runs(tmp_path):
    """With a ledger: a deposit, a dry run, a fill and a pair."""
    told = run_example("docs/library.md", tmp_path)
    assert "'available': '2000'" in told
    assert "DryRun(text='', reserved=1515, asset='USD')" in told
    assert "FILLED 100" in told
    assert "15 100 0 1" in told
    assert "SUSPENDED" in told


@pytest.mark.parametrize("number", range(1, len(examples("docs/library.md"))))
def test_an_example_of_the_library_page_prints_what_it_says(number, tmp_path):
    """Each of its lines that prints has what comes of it behind an arrow."""
    expected = re.findall(r"# -> (.+)", examples("docs/library.md")[number])
    assert expected
    assert run_example("docs/library.md", tmp_path, number).splitlines() == expected


def test_every_exception_is_exported_and_explained():
    """Whatever a caller can meet has a name in `oms` and a row in its table."""
    names = [
        name
        for name, value in vars(errors).items()
        if isinstance(value, type) and issubclass(value, errors.OMSError)
    ]
    assert len(names) > 10
    assert [name for name in names if getattr(oms, name, None) is not vars(errors)[name]] == []
    table = LIBRARY[LIBRARY.index("## Exceptions") :].split("\n## ")[0]
    assert [name for name in names if f"`{name}`" not in table] == []
    calls = [f"aio.{name}(" for name in aio.__all__ if name != "Stream"]
    assert [call for call in calls if call not in LIBRARY] == []


def test_every_part_that_works_alone_has_an_example():
    """The page names them, and constructs each in a program that runs."""
    programs = "".join(examples("docs/library.md"))
    parts = (
        "OrderBook", "OrderQueue", "OrderThrottler", "OrderTracker", "TradingSession",
        "PersistentStorage", "MemoryStore",
    )  # fmt: skip
    assert [name for name in parts if f"{name}(" not in programs] == []
