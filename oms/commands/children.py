"""Children: processes of `cluster`, which it starts, starts again when they end, and ends.

A terminal's Ctrl-C does not reach them: `cluster` ends them in their order, and a role that is told
to stop twice would stop at once.

Owner: MainThread.
"""

import signal
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from oms.clock import NANOS
from oms.commands import say

STOP_S_MAX = 30.0  # a role has ended by then, even if each of its threads hangs
AGAIN_NS_MIN, AGAIN_NS_MAX = NANOS // 2, 10 * NANOS
STEADY_NS = 30 * NANOS  # who runs so long is started again at once


@dataclass
class Child:
    """One process, as it is to be. ending: the signal that ends it in order. options: of Popen."""

    name: str
    command: list[str]
    environment: dict[str, str]
    log: Path
    ending: int = signal.SIGTERM
    options: dict[str, Any] = field(default_factory=dict)
    process: subprocess.Popen[bytes] | None = None
    started_ns: int = 0
    again_ns: int = 0
    pause_ns: int = AGAIN_NS_MIN
    endings: int = field(default=0)

    def start(self, now_ns: int) -> None:
        self.log.parent.mkdir(parents=True, exist_ok=True)
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                self.command, env=self.environment, stdout=log, stderr=log,
                stdin=subprocess.DEVNULL, start_new_session=True, **self.options,
            )  # fmt: skip
        self.started_ns = now_ns

    def look(self, now_ns: int) -> None:
        """Start it again if it has ended; not at once if it ends again and again."""
        if self.process is None:
            if now_ns >= self.again_ns:
                self.start(now_ns)
            return
        code = self.process.poll()
        if code is None:
            return
        self.endings += 1
        steady = now_ns - self.started_ns > STEADY_NS
        self.pause_ns = AGAIN_NS_MIN if steady else min(2 * self.pause_ns, AGAIN_NS_MAX)
        say(f"{self.name} ended with {code}; again in {self.pause_ns / NANOS:g} s, see {self.log}")
        self.process, self.again_ns = None, now_ns + self.pause_ns

    def stop(self) -> None:
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(self.ending)

    def wait(self) -> None:
        if self.process is None:
            return
        try:
            self.process.wait(STOP_S_MAX)
        except subprocess.TimeoutExpired:
            say(f"{self.name} did not stop within {STOP_S_MAX:g} s")
            self.process.kill()
            self.process.wait()


def end(children: Sequence[Child]) -> None:
    """All are asked before any is waited for."""
    for child in children:
        child.stop()
    for child in children:
        child.wait()
