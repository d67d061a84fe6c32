"""A sandbox for benchmarks: `serve` in a process of its own, without agents or bounds."""

import contextlib
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

PROGRAM = Path(__file__).resolve().parents[1] / "order_management.py"
UNBOUND = {f"OMS__WEB__{name}_MAX": "1000000" for name in ("ORDERS", "REQUESTS", "ADDRESS")}


class Sandbox(NamedTuple):
    """pid: of the daemon. directory: its data. told: what it printed when it was ready."""

    pid: int
    directory: Path
    told: str


@contextlib.contextmanager
def sandbox(directory: Path | None) -> Iterator[Sandbox]:
    """One in a new directory within this one, gone at the end."""
    with tempfile.TemporaryDirectory(dir=directory) as name:
        told = Path(name) / "told.txt"
        with told.open("w") as out:
            daemon = subprocess.Popen(
                [sys.executable, str(PROGRAM), "serve", "--agents", "0", "--listen", "127.0.0.1:0"],
                cwd=name, stdout=out, stderr=subprocess.DEVNULL, env={**os.environ, **UNBOUND},
            )  # fmt: skip
        try:
            while "Ctrl-C" not in told.read_text():
                time.sleep(0.05)
            yield Sandbox(daemon.pid, Path(name) / "sandbox", told.read_text())
        finally:
            daemon.terminate()
            daemon.wait()
