"""Plant faults one at a time, and see that the suite finds each within a minute.

    python -m tests.mutants.run                    all of them
    python -m tests.mutants.run --sample 6         so many, by a seed that is printed

Each is planted in a copy of the checkout; the tests named with it run there, and must fail.
Prints a line a fault; the last line is JSON. Exit code 1 if a fault was not seen.
"""

import argparse
import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tests.mutants.faults import FAULTS, Fault

ROOT = Path(__file__).parents[2]
SEEN_S_MAX = 180.0
FAILED = 1  # pytest: tests ran, and some failed
IGNORED = shutil.ignore_patterns(
    ".git", ".hypothesis", "__pycache__", "*.db*", "logs", "docs", "recorded", ".venv"
)


def plant(fault: Fault, root: Path) -> None:
    """Put the wrong line where the right one is."""
    path = root / "oms" / fault.file
    text = path.read_text(encoding="utf-8")
    found = text.count(fault.right)
    assert found == 1, f"{fault.name}: expected one place in {fault.file}, found {found}"
    path.write_text(text.replace(fault.right, fault.wrong), encoding="utf-8")


def seen(fault: Fault, parent: Path) -> tuple[bool, float]:
    """Did the tests fail, and after how many seconds?"""
    with tempfile.TemporaryDirectory(dir=parent) as directory:
        root = Path(directory) / "checkout"
        shutil.copytree(ROOT, root, ignore=IGNORED)
        plant(fault, root)
        command = [
            sys.executable,
            "-m",
            "pytest",
            "-x",
            "-q",
            "-n0",
            "-p",
            "no:cacheprovider",
            *fault.paths,
        ]
        start_s = time.monotonic()
        try:
            code = subprocess.run(
                command, cwd=root, capture_output=True, timeout=SEEN_S_MAX, check=False,
                env={**os.environ, "TEST_EXAMPLES_PERCENT": "100"},
            ).returncode  # fmt: skip
        except subprocess.TimeoutExpired:
            code = 0
        return code == FAILED, time.monotonic() - start_s


def run(faults: list[Fault]) -> list[str]:
    """Plant each; the names of those that nobody saw."""
    unseen, slowest_s = [], 0.0
    with tempfile.TemporaryDirectory() as parent:
        for fault in faults:
            found, seconds = seen(fault, Path(parent))
            slowest_s = max(slowest_s, seconds)
            print(f"{'seen' if found else 'NOT SEEN':8} {seconds:5.1f} s  {fault.name}", flush=True)
            if not found:
                unseen.append(fault.name)
    print(json.dumps({
        "faults": len(faults), "seen": len(faults) - len(unseen), "unseen": unseen,
        "slowest_s": round(slowest_s, 1),
    }))  # fmt: skip
    return unseen


def sampled(count: int, seed: int) -> list[Fault]:
    """So many of the faults, the same for the same seed."""
    return random.Random(seed).sample(FAULTS, count)


def main() -> int:
    arguments = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    arguments.add_argument("--sample", type=int, default=len(FAULTS), help="default: all")
    arguments.add_argument("--seed", type=int, default=None, help="default: a new one")
    args = arguments.parse_args()
    seed = random.SystemRandom().randrange(10**6) if args.seed is None else args.seed
    print(f"seed {seed}")
    return 1 if run(sampled(args.sample, seed)) else 0


if __name__ == "__main__":
    sys.exit(main())
