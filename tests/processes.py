"""Daemons of our own under test: start them, wait for what they tell, and audit what they leave.

A test gives up on a condition after WAIT_S_MAX; every process it started is dead when its
`with` block ends.
"""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter, namedtuple
from collections.abc import Callable
from contextlib import suppress
from itertools import islice
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple

from oms import Config, EmbeddedVenue, PersistentStorage
from oms.reports import ROW_COLUMNS
from oms.requests import codec
from oms.turn.journal import Fold, differences, state_mistakes
from tests.exchange_audit import REQUESTS, balances, deposits, is_line_of, owned

DRIVER = Path(__file__).with_name("driver.py")
DATABASE = "order_management.db"
WAIT_S_MAX = 30.0
STOP_S_MAX = 30.0  # 5 s are promised; the rest is for a machine that has other things to do
TERMINAL = ("FILLED", "CANCELED", "EXPIRED", "REJECTED")
ABOUT_OTHERS = ("CANCEL_REJECTED", "ORDER_STATUS")  # they tell a state and change none

Id = tuple[str, str]
Line = list[Any]
Row = namedtuple("Row", ROW_COLUMNS)  # type: ignore[misc]
"""A report as the table order_responses and the lines of a driver have it."""


def wait_until(condition: Callable[[], object], seconds: float = WAIT_S_MAX) -> None:
    """Poll; AssertionError when the time is over."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"waited {seconds:g} s in vain"
        time.sleep(0.005)


def let_run(seconds: float) -> None:
    """Leave a process to its work for a while; what it does until then, a test may not rely on."""
    time.sleep(seconds)


class Driver:
    """tests/driver.py as a process; what it told is in `path`, also after a kill."""

    def __init__(
        self, directory: Path, path: Path, *options: object, under: tuple[object, ...] = (),
        **config: dict[str, object],
    ) -> None:  # fmt: skip
        command = [*under, sys.executable, DRIVER, directory, "--config", json.dumps(config)]
        self.path = path
        self.errors_path = path.with_suffix(".err")
        self._read_bytes = 0
        self._lines: list[Line] = []
        with path.open("ab") as out, self.errors_path.open("ab") as errors:
            self.process = subprocess.Popen(
                [str(part) for part in [*command, *options]], stdin=subprocess.PIPE, stdout=out,
                stderr=errors, start_new_session=True,
            )  # fmt: skip

    def __enter__(self) -> "Driver":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.kill()

    def lines(self, kind: str = "") -> list[Line]:
        """What was told so far; a line cut short by the kill was not told."""
        with self.path.open("rb") as file:
            file.seek(self._read_bytes)
            fresh = file.read()
        whole = fresh[: fresh.rfind(b"\n") + 1]
        self._read_bytes += len(whole)
        self._lines += map(json.loads, whole.splitlines())
        return [line for line in self._lines if not kind or line[0] == kind]

    @property
    def errors(self) -> str:
        return self.errors_path.read_text()

    def wait_for(self, word: str) -> None:
        """Until it told that state. A process that ended first fails the test."""
        wait_until(lambda: ["STATE", word] in self.lines("STATE") or self._ended())
        assert ["STATE", word] in self.lines("STATE"), self.errors

    def _ended(self) -> bool:
        return self.process.poll() is not None

    def ask(self, wish: Line) -> None:
        """Have it submit this, too."""
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps(wish).encode() + b"\n")
        self.process.stdin.flush()

    def answer(self, wish: Line) -> Row:
        """Ask, and wait for the report that answers."""
        told = len(self.lines("F"))
        self.ask(wish)
        found: list[Row] = []

        def answered() -> bool:
            rows = [Row(*line[1:]) for line in self.lines("F")[told:]]
            found.extend(row for row in rows if [row.account, row.client_order_id] == wish[:2])
            return bool(found) or self._ended()

        wait_until(answered)
        assert found, self.errors
        return found[0]

    def send(self, number: int) -> None:
        self.process.send_signal(number)

    def kill(self) -> None:
        """kill -9; whatever it runs `under` dies with it."""
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        assert self.process.stdin is not None
        with suppress(BrokenPipeError):
            self.process.stdin.close()

    def exit_code(self, seconds: float = WAIT_S_MAX) -> int:
        """Wait for its end, at most so long."""
        return self.process.wait(seconds)

    def stop(self, number: int = signal.SIGTERM) -> tuple[int, float]:
        """Tell it to; the exit code, and how many seconds it took."""
        started = time.monotonic()
        self.send(number)
        return self.exit_code(), time.monotonic() - started


def why_no_strace() -> str:
    """What keeps tests from injecting faults into system calls; "" if nothing does."""
    if shutil.which("strace") is None:
        return "strace is not installed"
    tried = subprocess.run(["strace", "-qq", "-o", os.devnull, "true"], capture_output=True)
    return "" if tried.returncode == 0 else "strace may not trace here"


def fill(disk: Path) -> Path:
    """Take every byte that is left; the file to remove for having them back."""
    ballast = disk / "ballast"
    with ballast.open("ab", buffering=0) as file:
        for size in (1 << 16, 1 << 9, 1):
            try:
                while file.write(b"x" * size) == size:
                    pass
            except OSError:
                continue
    return ballast


def injecting(fault: str, trace: Path, *also: str) -> tuple[object, ...]:
    """A command to run a driver `under`; fault: "CALL:error=EIO:when=3"; also: calls to log."""
    calls = ",".join((fault.partition(":")[0], *also))
    return (
        "strace", "-f", "-q", "-ttt", "-s", "120", "-o", trace,
        "-e", f"trace={calls}", "-e", f"inject={fault}",
    )  # fmt: skip


class Audit(NamedTuple):
    """What a data directory holds, read offline."""

    digest: str  # recovered as a start does it, from a snapshot if there is one
    refolded_digest: str  # from the first entry on
    differences: list[str]  # between the stored reports and what the journal gives
    mistakes: list[str]  # of the state itself: money, reservations, pairs, crossed books
    rows: dict[tuple[int, int], Row]
    row_count: int
    requests: list[tuple[int, codec.Line]]  # journal sequence and line of every client's request
    fold: Fold

    @property
    def waiting(self) -> list[int]:
        return [request.request_seq for request in self.fold.desk.queue.waiting()]


def audit(directory: Path) -> Audit:
    """Recover and refold a directory that no process uses."""
    return audit_of(PersistentStorage(directory / Config().store.database, read_only=True))


def audit_of(store: Any) -> Audit:
    """The same of a store, opened here to look at it."""
    store.open()
    try:
        recovered, refolded = Fold(EmbeddedVenue()), Fold(EmbeddedVenue())
        for _ in recovered.recover(store):
            pass
        differing = list(islice(differences(store, refolded), 5))
        rows = [Row(*report.row()) for report in store.all_reports()]
        requests = [
            (seq, line)
            for record in store.records()
            for seq, line in enumerate(
                codec.decode_all(record.body, record.first_seq), record.first_seq
            )
            if line[0] in REQUESTS
        ]
    finally:
        store.close()
    by_id = {(row.journal_seq, row.number): row for row in rows}
    return Audit(
        recovered.digest(), refolded.digest(), differing, state_mistakes(recovered), by_id,
        len(rows), requests, recovered,
    )  # fmt: skip


class Ledger:
    """What clients sent and were told, over all the processes of one data directory."""

    def __init__(self) -> None:
        self.submitted: dict[Id, Line] = {}
        self.times: Counter[Id] = Counter()
        self.refused: Counter[Id] = Counter()  # turned away before the journal
        self.acked: dict[tuple[int, int], Row] = {}
        self.answered: set[Id] = set()

    def take(self, lines: list[Line]) -> None:
        """One process's lines. An execution id shown twice must show the same report."""
        for line in lines:
            if line[0] == "S":
                self.submitted[line[1], line[2]] = line[1:]
                self.times[line[1], line[2]] += 1
            elif line[0] in ("F", "R"):
                self._take_report(line[0], Row(*(line[1:] if line[0] == "F" else line[2:])))

    def _take_report(self, told_by: str, row: Row) -> None:
        client = (row.account, row.client_order_id)
        if not row.journal_seq:
            if told_by == "R":
                self.refused[client] += 1
            return
        key = (row.journal_seq, row.number)
        assert self.acked.setdefault(key, row) == row, f"{row} told as {self.acked[key]}"
        if row.request_seq:
            self.answered.add(client)

    def unknown(self) -> list[Line]:
        """Submitted, and never answered: neither by the journal nor by a refusal."""
        return [
            fields
            for client, fields in self.submitted.items()
            if client not in self.answered and not self.refused[client]
        ]

    def check(self, found: Audit) -> None:
        """P1 to P4 and P6: nothing lost, nothing invented, nothing twice, one state, all paid."""
        assert found.differences == []
        assert found.digest == found.refolded_digest
        assert found.mistakes == []
        assert len(found.rows) == found.row_count, "an execution id repeats"
        lost = [row for key, row in self.acked.items() if found.rows.get(key) != row]
        assert lost == []
        self._check_requests(found)
        _check_ends(found)
        if found.fold.desk.executions.ledger is not None:
            self._check_money(found)

    def _check_requests(self, found: Audit) -> None:
        times: Counter[Id] = Counter()
        effective: Counter[Id] = Counter()
        instruments = found.fold.desk.instruments
        for seq, line in found.requests:
            client = (line[1], line[2])
            times[client] += 1
            effective[client] += line[0] != codec.ANSWER
            assert client in self.submitted, f"phantom {seq}: {line}"
            assert is_line_of(self.submitted[client], line, instruments), f"altered: {line}"
        doubled = [
            client for client in times
            if effective[client] > 1 or times[client] > self.times[client] - self.refused[client]
        ]  # fmt: skip
        assert doubled == []

    def _check_money(self, found: Audit) -> None:
        """The ledger has what was paid in, and moved it as the reports say."""
        ledger = found.fold.desk.ledger
        rows = found.rows.values()
        done = {(row.account, row.client_order_id) for row in rows if row.type == "COMMAND_DONE"}
        wishes = [
            wish for client, wish in self.submitted.items()
            if wish[2] == "FUNDS" and client in done
        ]  # fmt: skip
        paid_in = {("", asset): units for asset, units in ledger.paid_in.items() if units}
        assert paid_in == deposits(wishes)
        trades = [row for row in rows if row.type == "TRADE"]
        assert balances(ledger.accounts) == owned(wishes, trades, found.fold.desk.instruments)


def _check_ends(found: Audit) -> None:
    """One end per order, and none of what is open."""
    ends = Counter(row.order_id for row in found.rows.values() if _ends(row))
    assert [order_id for order_id, times in ends.items() if times > 1] == []
    placed = {seq for seq, line in found.requests if line[0] == codec.NEW}
    still_open = found.fold.desk.executions.orders.keys()
    assert still_open <= placed
    assert placed - still_open == placed & ends.keys()


def _ends(row: Row) -> bool:
    """The fill that ends an order is reported as pending, if a change of it was."""
    if row.type in ABOUT_OTHERS:
        return False
    over = row.type in ("TRADE", "REPLACED") and row.leaves_lots == 0
    return over or row.state in TERMINAL


def write_retries(path: Path, ledger: Ledger) -> Path:
    """What the next process is to submit again: all that nobody knows the outcome of."""
    path.write_text("".join(f"{json.dumps(fields)}\n" for fields in ledger.unknown()))
    return path


def settle(
    directory: Path, path: Path, ledger: Ledger, *options: object, **config: dict[str, object]
) -> None:
    """A process that only answers what is still unknown, and stops in order."""
    retries = write_retries(path.with_suffix(".retry"), ledger)
    with Driver(directory, path, "--clients", 0, "--retry", retries, *options, **config) as driver:
        driver.wait_for("retried")
        assert driver.stop()[0] == 0
    ledger.take(driver.lines())
