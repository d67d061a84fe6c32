"""`top` as a process in a real terminal: a pseudo-terminal, whose screen pyte keeps."""

import os
import select
import signal
import struct
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import pytest

from oms.commands.top import why_unfit
from tests.places import after_place
from tests.processes import WAIT_S_MAX, wait_until
from tests.watched import Exchange

PROGRAM = Path(__file__).resolve().parents[1] / "order_management.py"
WITHOUT_TEXTUAL = """
import sys
sys.modules["textual"] = None
sys.path.insert(0, {root!r})
from oms.cli import main
sys.exit(main(sys.argv[1:]))
"""


@pytest.fixture
def exchange(tmp_path):
    made = Exchange(tmp_path)
    yield made
    made.stop()
    assert made.died == []


class Terminal:
    """A command in a terminal of 80 x 24. `display`: the lines on it by now."""

    def __init__(self, command, **environment):
        pty, fcntl, termios = (pytest.importorskip(n) for n in ("pty", "fcntl", "termios"))
        pyte = pytest.importorskip("pyte", reason="pyte (extra `test`) is not installed")
        ours, theirs = pty.openpty()
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
        kept = {k: v for k, v in os.environ.items() if k not in ("NO_COLOR", "COLORTERM")}
        self.process = subprocess.Popen(
            command, stdin=theirs, stdout=theirs, stderr=theirs, start_new_session=True,
            env={**kept, "TERM": "xterm-256color", "LC_ALL": "C.UTF-8", **environment},
        )  # fmt: skip
        os.close(theirs)
        self._file = ours
        self.screen = pyte.Screen(80, 24)
        self._stream = pyte.ByteStream(self.screen)
        self.written = b""

    def __enter__(self):
        return self

    def __exit__(self, *_):
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        os.close(self._file)

    def read(self):
        """What it has written by now."""
        while select.select([self._file], [], [], 0.02)[0]:
            try:
                some = os.read(self._file, 65_536)
            except OSError:  # the other end is closed
                return
            if not some:
                return
            self.written += some
            self._stream.feed(some)

    def wait_for(self, *texts):
        """Until all of them are on the screen; the screen's lines."""
        deadline = time.monotonic() + WAIT_S_MAX
        while True:
            self.read()
            shown = "\n".join(self.screen.display)
            if all(text in shown for text in texts):
                return self.screen.display
            assert self.process.poll() is None and time.monotonic() < deadline, shown

    def type(self, keys):
        os.write(self._file, keys.encode())

    def exit_code(self):
        def ended():
            self.read()
            return self.process.poll() is not None

        wait_until(ended)
        self.read()
        return self.process.returncode


def top(directory, *options):
    return [sys.executable, str(PROGRAM), "top", "--data-dir", str(directory), *options]


def test_in_a_terminal_of_80_by_24_everything_has_its_place(exchange):
    """Books, tape, session, queue, latencies and keys; it dies and comes back; Ctrl-C leaves."""
    pytest.importorskip("textual", reason="the extra `tui` is not installed")
    exchange.quote("BTC_USD", ("sell", "2", "1000.5"), ("buy", "1", "999.05"))
    exchange.quote("BTC_USD", ("buy", "0.5", "1000.5"))
    with Terminal(top(exchange.directory)) as terminal:
        # when it has started, then all is on one screen
        shown = terminal.wait_for("● live", "1,000.50", "999.05")
        assert shown[0].startswith("BTC_USD  ● continuous   last 1,000.50   spread 1.45")
        assert shown[1].split() == ["Markets", "Book"]
        assert shown[2].startswith("1>● BTC_USD")
        assert shown[11].split() == ["Tape", "Session,", "queue,", "latency"]
        whole = "\n".join(shown)
        for word in ("session", "waiting", "in flight", "throttle", "reports", "p99", "total"):
            assert word in whole
        assert shown[23].strip().startswith("1-9 market")
        assert all(len(line) == 80 for line in shown)

        # when keys are pressed, another market is there
        terminal.type("2")
        terminal.wait_for("ETH_USD  ● continuous", "nobody bids")
        terminal.type("1")
        terminal.wait_for("BTC_USD  ● continuous", "999.05")

        # when the daemon stops, it is stale; when it is back, it is live, with what is new
        exchange.stop()
        terminal.wait_for("▲ stale", "no daemon is running", "999.05")
        exchange.start()
        exchange.quote("BTC_USD", ("buy", "3", "999.15"))
        terminal.wait_for("● live", "999.15")

        # when it is left by Ctrl-C, the terminal is as it was
        terminal.type("\x03")
        assert terminal.exit_code() == 0
        assert b"\x1b[?1049h" in terminal.written
        assert b"\x1b[?1049l" in terminal.written
        assert b"\x1b[?1000h" not in terminal.written  # the terminal's own mouse selects


def test_without_colour_it_says_the_same(exchange):
    """NO_COLOR: greys alone; sides, signs and words tell what colour would."""
    pytest.importorskip("textual", reason="the extra `tui` is not installed")
    exchange.quote("BTC_USD", ("sell", "2", "1000.5"), ("buy", "1", "1000.5"))
    with Terminal(top(exchange.directory), NO_COLOR="1") as terminal:
        terminal.wait_for("● live", "▲ 1,000.50")
        colours = {
            cell.fg
            for line in terminal.screen.buffer.values()
            for cell in line.values()
            if len(cell.fg) == 6
        }
        assert all(fg[:2] == fg[2:4] == fg[4:] for fg in colours), colours
        # and SIGTERM leaves the terminal as it was, too
        terminal.process.terminate()
        assert terminal.exit_code() == 0
        assert b"\x1b[?1049l" in terminal.written


@pytest.mark.parametrize(
    ("is_terminal", "term", "encoding", "said"),
    [
        (True, "xterm", "utf-8", ""),
        (True, "screen-256color", "UTF8", ""),
        (False, "xterm", "utf-8", "expected a terminal, was a file or a pipe"),
        (True, "dumb", "utf-8", "expected a terminal that can place text, was TERM=dumb"),
        (True, "", "utf-8", "expected a terminal that can place text, was TERM=unset"),
        (True, "xterm", "iso8859-1", "expected a terminal with UTF-8, was iso8859-1"),
    ],
)
def test_a_terminal_that_cannot_show_it_is_named(is_terminal, term, encoding, said):
    found = why_unfit(is_terminal, term, encoding)
    assert found.startswith(said)
    assert bool(found) is bool(said)


def test_a_dumb_terminal_gets_one_line(exchange):
    with Terminal(top(exchange.directory), TERM="dumb") as terminal:
        assert terminal.exit_code() == 2
    assert b"was TERM=dumb; `status --watch` and `depth` print lines" in terminal.written


# --- without a terminal, a daemon, the extra ---


def run(command):
    return subprocess.run(command, capture_output=True, text=True, stdin=subprocess.DEVNULL)


def test_a_pipe_is_no_terminal(exchange):
    done = run(top(exchange.directory))
    assert done.returncode == 2
    assert after_place(done.stderr) == (
        "order_management: top: expected a terminal, was a file or a pipe; `status --watch` and "
        "`depth` print lines instead\n"
    )


def test_without_the_extra_it_says_how_to_have_it(exchange):
    """One line, and nothing else of the program needs it."""
    code = WITHOUT_TEXTUAL.format(root=str(PROGRAM.parent))
    with Terminal([sys.executable, "-c", code, *top(exchange.directory)[2:]]) as terminal:
        assert terminal.exit_code() == 2
    told = " ".join(terminal.written.decode().split())
    assert "top needs a package that is missing: textual; pip install '.[tui]'" in told
    done = run([sys.executable, "-c", code, "depth", "BTC_USD", *top(exchange.directory)[3:]])
    assert done.returncode == 0, done.stderr


def test_where_no_daemon_runs_it_says_so(tmp_path):
    pytest.importorskip("textual", reason="the extra `tui` is not installed")
    with Terminal(top(tmp_path)) as terminal:
        assert terminal.exit_code() == 3
    assert "no daemon is running" in " ".join(terminal.written.decode().split())


def test_a_market_that_there_is_not_is_named(exchange):
    pytest.importorskip("textual", reason="the extra `tui` is not installed")
    with Terminal(top(exchange.directory, "--symbol", "NONE")) as terminal:
        assert terminal.exit_code() == 2
    told = " ".join(terminal.written.decode().split())
    assert "--symbol: expected one of BTC_USD, ETH_USD, TATA_INR, was 'NONE'" in told
