"""What every benchmark shares: the card, trials in fresh processes, a flow, the last line.

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
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Literal

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from oms import Config, OrderManagement, OrderRequest, Side, TimeInForce
from oms.config import QueueConfig, SessionConfig, StoreConfig, ThrottleConfig

ROOT = Path(__file__).resolve().parents[1]
DATA = Path(os.environ.get("OMS_FLOW_DATA") or ROOT.parent / "shared").resolve()
ACCOUNT = "bench"

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


def _line(figures: Figures) -> str:
    return "  ".join(
        f"{key}={value}" if isinstance(value, str) else f"{key}={value:,.5g}"
        for key, value in figures.items()
    )


# --- the card: what ran, and on what ---


def card(directory: Path | None) -> dict[str, str]:
    """Machine, versions, commit, command line."""
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
        done = subprocess.run(["git", "-C", str(ROOT), *words], capture_output=True, text=True)
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


# --- the manager under test, and a client ---


def config(
    durability: Literal["full", "normal", "none"] = "full",
    *,
    throttle: ThrottleConfig | None = None,
    snapshot_every: int | None = None,
    waiting_max: int = 100_000,
) -> Config:
    """The shipped configuration, but always open and, if nothing else is said, unthrottled."""
    store = StoreConfig(durability=durability)
    if snapshot_every is not None:
        store = StoreConfig(durability=durability, snapshot_every=snapshot_every)
    return Config(
        session=SessionConfig(always_open=True),
        throttle=throttle or ThrottleConfig(policy="off"),
        queue=QueueConfig(waiting_max=waiting_max),
        store=store,
    )


def wait_for_link(manager: OrderManagement) -> None:
    """Until the journal says that the venue's link is up: before, orders would wait."""
    while not manager.dispatcher.desk.link_up:
        time.sleep(0.001)


@contextlib.contextmanager
def stepped(manager: OrderManagement) -> Iterator[None]:
    """The manager without its threads: recovered, linked; each dispatcher turn is a step().

    At the end nothing is settled, as when a process is killed; the store is closed.
    """
    manager.dispatcher.start()
    manager.keeper.wake()  # so that its step does not wait
    manager.keeper.step()
    manager.dispatcher.step()
    assert manager.dispatcher.desk.link_up
    try:
        yield
    finally:
        manager.store.close()


class Flow:
    """The requests of one client: 55 % new that rest, 40 % cancels, 5 % marketable.

    Of the new ones, 40 rest far from the touch and are canceled in random order once `live`
    of them are open; 15 rest at the touch, where the marketable ones (IOC, four times the
    size) take them, three each. So the book stands still, and every order that is canceled
    is open. Three instruments, two sides. What is random is drawn before.
    """

    PRICES = (("TATA_INR", 1, 0.05), ("JIO_INR", 1, 0.05), ("BTC_USD", 0.001, 0.01))
    MIX = ("rest",) * 40 + ("touch",) * 15 + ("cancel",) * 40 + ("take",) * 5

    def __init__(self, live: int = 5_000, seed: int = 7) -> None:
        random = Random(seed)
        self.count = 0
        self.kinds = dict.fromkeys(self.MIX, 0)
        self._live_min = live
        self._live: list[str] = []
        # The exact mix for each instrument and side, then shuffled: a mix that is right only
        # on average lets a book grow for as long as the run lasts.
        self._drawn = [
            (kind, symbol, side, *_terms(random, kind, side, lot, tick), random.getrandbits(30))
            for symbol, lot, tick in self.PRICES
            for side in Side
            for kind in self.MIX * 27
        ]
        random.shuffle(self._drawn)

    def next(self) -> OrderRequest:
        """The next request; its client order id is its number, from 1."""
        self.count = number = self.count + 1
        kind, symbol, side, quantity, price, pick = self._drawn[number % len(self._drawn)]
        live = self._live
        if kind == "cancel":
            if len(live) > self._live_min:
                self.kinds["cancel"] += 1
                place = pick % len(live)
                victim, live[place] = live[place], live[-1]
                live.pop()
                return OrderRequest.cancel(ACCOUNT, str(number), victim)
            kind = "rest"
        self.kinds[kind] += 1
        client_order_id = str(number)
        if kind == "take":
            return OrderRequest.new(
                ACCOUNT, client_order_id, symbol, side, quantity, price,
                time_in_force=TimeInForce.IOC,
            )  # fmt: skip
        if kind == "rest":
            live.append(client_order_id)
        return OrderRequest.new(ACCOUNT, client_order_id, symbol, side, quantity, price)


def _terms(random: Random, kind: str, side: Side, lot: float, tick: float) -> tuple[str, str]:
    """Quantity and price: the touch is one tick from 200, on either side."""
    away = {"touch": 1, "take": -1}.get(kind) or random.randint(2, 60)
    price = 200 + tick * (-away if side is Side.BUY else away)
    return f"{(40 if kind == 'take' else 10) * lot:g}", f"{price:.2f}"
