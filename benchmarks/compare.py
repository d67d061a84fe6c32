"""Another commit and this checkout, by one benchmark, in turn.

    python benchmarks/compare.py throughput --orders 200000
    python benchmarks/compare.py call_counts --rounds 7 --base 091c228

Runs benchmarks/NAME.py of this checkout with --tree, on a worktree of --base and on this
checkout; so often in turn as --rounds says, because the machine has other things to do too. What
follows the name, and is not for compare.py, is for the benchmark. --own-scripts: each tree's own
script, for those that know the inside of the package (deep_level, depth_snapshot, mass_cancel,
uncross). Prints the median of each figure before and now, and the ratio; the last line is JSON.
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from common import ROOT, card

BASE = "091c228"
Medians = dict[str, float]


@contextmanager
def worktree(commit: str) -> Iterator[Path]:
    """A checkout of that commit, for as long as it is needed."""
    with tempfile.TemporaryDirectory() as directory:
        place = Path(directory) / "base"
        git("worktree", "add", "--detach", str(place), commit)
        try:
            yield place
        finally:
            git("worktree", "remove", "--force", str(place))


def git(*words: str) -> str:
    done = subprocess.run(
        ["git", "-C", str(ROOT), *words], capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise SystemExit(f"git {' '.join(words)}: {done.stderr.strip()}")
    return done.stdout.strip()


def run(script: Path, tree: Path, options: list[str]) -> Medians:
    """One trial of the benchmark on one tree."""
    command = [sys.executable, str(script), "--trials", "1", *options]
    if script.is_relative_to(ROOT):
        command += ["--tree", str(tree)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{' '.join(command)}:\n{done.stderr}")
    told = json.loads(done.stdout.splitlines()[-1])
    if "skipped" in told:
        raise SystemExit(f"skipped: {told['skipped']}")
    medians: Medians = told["medians"]
    return medians


def main() -> int:
    arguments = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )  # fmt: skip
    arguments.add_argument("benchmark", help="the name of a script here, without .py")
    arguments.add_argument("--base", default=BASE, help=f"the other commit; default: {BASE}")
    arguments.add_argument("--rounds", type=int, default=5)
    arguments.add_argument("--own-scripts", action="store_true", help="each tree's own script")
    args, options = arguments.parse_known_args()
    name = f"{args.benchmark.removesuffix('.py')}.py"
    rounds: dict[str, list[Medians]] = {"before": [], "now": []}
    with worktree(args.base) as base:
        for number in range(args.rounds):
            for label, tree in (("before", base), ("now", ROOT)):
                scripts = tree if args.own_scripts else ROOT
                rounds[label].append(run(scripts / "benchmarks" / name, tree, options))
            print(f"round {number + 1} of {args.rounds} is done", flush=True)
    figures = {}
    print(f"{'figure':36} {args.base:>14} {'now':>14} {'ratio':>8}   spread of both")
    for figure in rounds["now"][0]:
        if any(figure not in trial for label in rounds for trial in rounds[label]):
            continue
        old, new = ([trial[figure] for trial in rounds[label]] for label in rounds)
        before, now = statistics.median(old), statistics.median(new)
        ratio = now / before if before else None
        figures[figure] = {"before": before, "now": now, "ratio": ratio}
        spread = " ".join(f"({min(each):,.5g} to {max(each):,.5g})" for each in (old, new))
        shown = "-" if ratio is None else f"{ratio:.3f}"
        print(f"{figure:36} {before:14,.6g} {now:14,.6g} {shown:>8}   {spread}")
    about = {**card(None), "base": git("rev-parse", "--short", args.base)}
    print(json.dumps({"benchmark": f"compare {args.benchmark}", **about, "figures": figures}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
