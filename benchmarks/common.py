"""What every benchmark shares: the tree, the card, trials in fresh processes, the last line.

The package is the one of --tree DIR, another checkout; by default of this one. It must be on
the path before any script imports it: hence the option is read here, when this is imported.
Prints machine, Python, commit and command line; then the median and the spread of each
figure; then one JSON object on the last line. Nothing asserts on time: a claim that was not
reached is a figure like any other, and the exit code is 0.
"""

import argparse
import contextlib
import gc
import json
import multiprocessing
import os
import platform
import shlex
import sqlite3
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

ROOT = Path(__file__).resolve().parents[1]


def add_tree_to(arguments: argparse.ArgumentParser) -> argparse.ArgumentParser:
    arguments.add_argument(
        "--tree", type=Path, default=ROOT, metavar="DIR",
        help="the checkout whose package is measured; default: this one",
    )  # fmt: skip
    return arguments


_early = add_tree_to(argparse.ArgumentParser(add_help=False, allow_abbrev=False))
TREE = _early.parse_known_args()[0].tree.resolve()
sys.path.insert(0, str(TREE))

DATA = Path(os.environ.get("OMS_FLOW_DATA") or ROOT.parent / "shared").resolve()

Figures = dict[str, float | str]
Measure = Callable[[argparse.Namespace], Figures]


@dataclass(frozen=True, slots=True)
class Claim:
    """What a figure should be."""

    figure: str
    relation: Literal[">=", "<="]
    bound: float

    def reached(self, value: float) -> bool:
        return value >= self.bound if self.relation == ">=" else value <= self.bound


def parser(doc: str | None) -> argparse.ArgumentParser:
    """The arguments that all benchmarks take."""
    made = argparse.ArgumentParser(
        description=doc, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add_tree_to(made)
    made.add_argument("--trials", type=int, help="default: 3, with --quick 1")
    made.add_argument("--quick", action="store_true", help="a small run: does it work at all?")
    made.add_argument("--directory", type=Path, help="where the files go; default: system temp")
    return made


def report(name: str, args: argparse.Namespace, measure: Measure, claims: Sequence[Claim]) -> int:
    """Measure `trials` times, each in a process of its own; print; the exit code."""
    about = card(args.directory)
    for key, value in about.items():
        print(f"{key:14s} {value}")
    trials: list[Figures] = []
    for number in range(args.trials or (1 if args.quick else 3)):
        context = multiprocessing.get_context("spawn")
        with ProcessPoolExecutor(1, mp_context=context) as process:
            trials.append(process.submit(measure, args).result())
        print(f"trial {number + 1:8d} " + _line(trials[-1]), flush=True)
    medians = {
        key: statistics.median(float(trial[key]) for trial in trials)
        for key, value in trials[0].items()
        if not isinstance(value, str)
    }
    for key, median in medians.items():
        values = [float(trial[key]) for trial in trials]
        print(f"{key:36s} {median:16,.6g}   ({min(values):,.6g} to {max(values):,.6g})")
    verdicts = [
        {
            "claim": f"{claim.figure} {claim.relation} {claim.bound:g}",
            "measured": medians[claim.figure],
            "reached": claim.reached(medians[claim.figure]),
        }
        for claim in claims
    ]
    for verdict in verdicts:
        print(f"{'reached' if verdict['reached'] else 'NOT REACHED':12s} {verdict['claim']}")
    print(
        json.dumps(
            {"benchmark": name, "quick": args.quick, **about, "claims": verdicts,
             "medians": medians, "trials": trials}
        )
    )  # fmt: skip
    return 0


def skip(name: str, why: str) -> int:
    """Nothing to measure here: say so, in JSON too."""
    print(f"skipped: {why}")
    print(json.dumps({"benchmark": name, "skipped": why, "claims": []}))
    return 0


def without_postgres() -> str:
    """Why nothing can be measured with a Postgres server here; "" if it can."""
    try:
        from tests.scale.postgres.servers import NoServerError, binary
    except ImportError as error:
        return f"{error.name} is missing: pip install '.[postgres]'"
    try:
        binary("postgres")
    except NoServerError as error:
        return str(error)
    return ""


def _line(figures: Figures) -> str:
    return "  ".join(
        f"{key}={value}" if isinstance(value, str) else f"{key}={value:,.5g}"
        for key, value in figures.items()
    )


# --- the card: what ran, and on what ---


def card(directory: Path | None) -> dict[str, str]:
    """Machine, versions, commit of the tree, command line."""
    return {
        "machine": f"{_cpu()}, {_cores()} cores, {platform.system()}",
        "load": _load(),
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "sqlite": sqlite3.sqlite_version,
        "file_system": _file_system(directory or Path(tempfile.gettempdir())),
        "commit": _commit(),
        "command": shlex.join(["python", *sys.argv]),
    }


def _cpu() -> str:
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def _cores() -> int:
    """Those this process may use, where the system tells."""
    usable = getattr(os, "sched_getaffinity", None)
    return len(usable(0)) if usable else os.cpu_count() or 0


def _load() -> str:
    """What else the machine had to do, before: 1, 5 and 15 minutes."""
    averages = os.getloadavg() if hasattr(os, "getloadavg") else ()
    return " ".join(f"{load:.2f}" for load in averages) or "unknown"


def _commit() -> str:
    def git(*words: str) -> str:
        done = subprocess.run(["git", "-C", str(TREE), *words], capture_output=True, text=True)
        return done.stdout.strip()

    try:
        changed = " with changes in oms/" if git("status", "--porcelain", "oms") else ""
        return (git("rev-parse", "--short", "HEAD") or "unknown") + changed
    except OSError:
        return "unknown"


def _file_system(directory: Path) -> str:
    best = ("", "unknown")
    with contextlib.suppress(OSError):
        for line in Path("/proc/mounts").read_text().splitlines():
            device, mount, kind = line.split()[:3]
            if directory.resolve().is_relative_to(mount) and len(mount) >= len(best[0]):
                best = (mount, f"{kind} on {device}")
    return best[1]


def rss_bytes() -> int:
    """Memory of this process that is in RAM; 0 where /proc does not tell."""
    with contextlib.suppress(OSError):
        return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    return 0


def add_gc_to(arguments: argparse.ArgumentParser) -> None:
    arguments.add_argument(
        "--gc", choices=("default", "tuned"), default="default",
        help="tuned: freeze what is there at the start, collect after 20,000 new objects, not 700",
    )  # fmt: skip


def set_gc(choice: str) -> str:
    """As an application would, before it starts the manager; the settings in words."""
    if choice == "tuned":
        gc.collect()
        gc.freeze()
        gc.set_threshold(20_000, 20, 100)
    return f"thresholds {gc.get_threshold()}, {gc.get_freeze_count()} frozen"


def percentile(ordered: Sequence[float], percent: float) -> float:
    """The smallest value that at least `percent` of the values do not exceed."""
    return ordered[max(0, -(-len(ordered) * round(percent * 1_000) // 100_000) - 1)]
