"""A first hour: every command and program of README and docs, from top to bottom, as printed.

A reader has a checkout that only they may read, in a directory of its own, and begins at a time
when markets are closed. Blocks marked `sh` are typed line by line, the README's Python program
is run among them. Those of docs/library.md are whole programs, each run by test_docs.py in a
directory of its own. Blocks marked `console` need something of the reader's and are not run.
"""

import os
import pwd
import re
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tests.places import after_place
from tests.processes import WAIT_S_MAX, wait_until

ROOT = Path(__file__).resolve().parent.parent
CHECKOUT = (
    "oms", "docs", "order_management.py", "config.ini", "tests.py", "pyproject.toml", "setup.py",
    "README.md", "MANIFEST.in", "LICENSE",
)  # fmt: skip
OTHER = "nobody"
DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
COMMAND_S_MAX = 120


def pages() -> list[str]:
    """README, and those of docs/ in the order of the map."""
    text = (ROOT / "docs" / "README.md").read_text(encoding="utf-8")
    links = re.findall(r"^\| \[[\w.-]+\]\(([\w-]+\.md)\)", text, re.MULTILINE)
    return ["README.md", *(f"docs/{name}" for name in links)]


def steps(page: str) -> list[tuple[str, str]]:
    """What a reader of it does: ("sh", line) or ("python", program)."""
    text = (ROOT / page).read_text(encoding="utf-8")
    found = []
    for kind, block in re.findall(r"```(\w+)\n(.*?)```", text, re.DOTALL):
        if kind == "sh":
            found += [("sh", line) for line in block.splitlines() if line.strip()]
        elif kind == "python" and page == "README.md":
            found.append(("python", block))
    return found


def closed_hours() -> str:
    """Trading hours that are three days away, whatever today is."""
    return f"{DAYS[(datetime.now(UTC) + timedelta(days=3)).weekday()]} 09:00-10:00"


class Reader:
    """Somebody with a checkout of their own, and what their shell told."""

    def __init__(self, home: Path, python: str, hours: str, user: str | None = None) -> None:
        self.checkout = home / "checkout"
        self.told: list[tuple[str, str]] = []
        self._daemon: subprocess.Popen[str] | None = None
        self._as: dict[str, object] = {}
        self._copy_checkout()
        (home / "bin").mkdir()
        (home / "bin" / "python").symlink_to(python)
        self._environment = {
            "PATH": f"{home / 'bin'}:/usr/bin:/bin",
            "HOME": str(home),
            "OMS__SESSION__HOURS": hours,
            "OMS__SIMULATE__SECONDS": "2",  # printed without --seconds, it takes 20
        }
        if user is not None:
            self._become(user, home)

    def _copy_checkout(self) -> None:
        self.checkout.mkdir(mode=0o700)
        for name in CHECKOUT:
            source = ROOT / name
            if source.is_dir():
                ignore = shutil.ignore_patterns("__pycache__")
                shutil.copytree(source, self.checkout / name, ignore=ignore)
            else:
                shutil.copy(source, self.checkout / name)

    def _become(self, user: str, home: Path) -> None:
        entry = pwd.getpwnam(user)
        for path in (home, *home.rglob("*")):
            os.chown(path, entry.pw_uid, entry.pw_gid, follow_symlinks=False)
        self._as = {"user": entry.pw_uid, "group": entry.pw_gid, "extra_groups": []}

    def read(self, page: str) -> None:
        """Do all that the page says; its daemon is stopped at its end."""
        try:
            for kind, text in steps(page):
                if kind == "python":
                    (self.checkout / "example.py").write_text(text, encoding="utf-8")
                self.do("python example.py" if kind == "python" else text)
        finally:
            self.stop()

    def do(self, line: str) -> None:
        """One line; it must end well, without a word on stderr but where its data is."""
        if line == "python tests.py":  # test_tests_py.py runs it, in a copy of all tests
            return
        if " run --data-dir " in line:
            self._start(line)
            return
        done = self._run(line)
        if " trades " in line:  # the throttle may still hold what was sent a moment ago
            wait_until(lambda: self._run(line).stdout != "none\n")
            done = self._run(line)
        assert done.returncode == 0, f"{line}\n{done.stdout}{done.stderr}"
        assert not re.search("Traceback|[Ww]arning", done.stderr), f"{line}\n{done.stderr}"
        self.told.append((line, done.stdout))

    def _run(self, line: str) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(
            line, shell=True, cwd=self.checkout, env=self._environment, capture_output=True,
            text=True, timeout=COMMAND_S_MAX, check=False, **self._as,
        )  # type: ignore[call-overload,no-any-return]  # fmt: skip

    def _start(self, line: str) -> None:
        """What stays in the first shell; the second one comes when it answers."""
        environment = dict(self._environment)
        if "ALWAYS_OPEN=yes" in line:  # hours of one's own are refused beside it
            environment.pop("OMS__SESSION__HOURS")
        self._daemon = subprocess.Popen(
            line, shell=True, cwd=self.checkout, env=environment, text=True,
            stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, start_new_session=True, **self._as,
        )  # type: ignore[call-overload]  # fmt: skip
        place = line.partition("--data-dir ")[2]
        status = f"python order_management.py status --data-dir {place}"
        wait_until(lambda: self._run(status).returncode == 0)

    def stop(self) -> None:
        """Ctrl-C in the first shell."""
        if self._daemon is None:
            return
        daemon, self._daemon = self._daemon, None
        with suppress(ProcessLookupError):
            os.killpg(daemon.pid, signal.SIGINT)
        _, errors = daemon.communicate(timeout=WAIT_S_MAX)
        lines = [line for line in errors.splitlines() if "data in" not in line]
        assert lines == []


def python_for(user: str) -> str:
    """A Python that this user may run; the test is skipped if there is none."""
    entry = pwd.getpwnam(user)
    check = "import sys, sqlite3; sys.exit(sys.version_info < (3, 11))"
    for path in (sys.executable, "/usr/local/bin/python3", "/usr/bin/python3"):
        with suppress(OSError):
            done = subprocess.run(
                [path, "-c", check], user=entry.pw_uid, group=entry.pw_gid, extra_groups=[],
                check=False, capture_output=True, cwd="/", env={},
            )  # fmt: skip
            if done.returncode == 0:
                return path
    pytest.skip(f"no Python 3.11 that {user} may run")


@pytest.fixture
def home() -> Iterator[Path]:
    """A home that other users can reach, which tmp_path is not."""
    with tempfile.TemporaryDirectory() as name:
        Path(name).chmod(0o755)
        yield Path(name)


def read_everything(reader: Reader) -> None:
    """All pages, in one directory; then what README promises must be on the screen."""
    for page in pages():
        reader.read(page)
    told = dict(reader.told)
    assert "Verify     verified: " in told["python order_management.py"]
    assert told["python example.py"].startswith("FILLED 2 at 98.5\n")
    assert " 98.5 " in told["python order_management.py trades BTC_USD --data-dir data"]
    assert (reader.checkout / "report.html").exists()


def test_every_page_is_in_the_hour():
    """And each has commands or is known to have none."""
    silent = {page for page in pages() if not steps(page)}
    assert silent == {
        "docs/orders.md", "docs/market-rules.md", "docs/reject-codes.md", "docs/reports.md",
        "docs/api.md", "docs/client.md", "docs/serving.md", "docs/users.md", "docs/operations.md",
        "docs/library.md", "docs/postgres.md", "docs/benchmarks.md", "docs/console.md",
        "docs/scale.md",
    }  # fmt: skip
    assert len([line for page in pages() for line in steps(page)]) > 40


def test_the_first_hour_works_while_markets_are_closed(home):
    """As whoever runs the tests: root, in a container."""
    read_everything(Reader(home, sys.executable, closed_hours()))


@pytest.mark.slow
def test_the_first_hour_works_for_a_user_whose_checkout_nobody_else_may_read(home):
    """Without root's rights, in a directory with mode 700."""
    if os.geteuid() != 0:
        pytest.skip("only root can become somebody else")
    python = python_for(OTHER)
    read_everything(Reader(home, python, closed_hours(), OTHER))


@pytest.mark.slow
def test_the_first_hour_works_while_markets_are_open(home):
    """All day, every day."""
    read_everything(Reader(home, sys.executable, "Mon-Sun 00:00-24:00"))


@pytest.mark.slow
def test_the_first_hour_works_in_a_fresh_virtual_environment(home):
    """`pip install .` first: then the same program is there as `oms`, too."""
    environment = home / "environment"
    subprocess.run([sys.executable, "-m", "venv", environment], check=True, timeout=300)
    reader = Reader(home, str(environment / "bin" / "python"), closed_hours())
    installed = subprocess.run(
        [environment / "bin" / "pip", "install", "--quiet", "."], cwd=reader.checkout,
        capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip
    if installed.returncode:
        pytest.skip(f"no package index can be reached: {installed.stderr[-300:]}")
    read_everything(reader)
    done = subprocess.run(
        [environment / "bin" / "oms", "--version"], cwd=home, capture_output=True, text=True,
        timeout=60, check=True,
    )  # fmt: skip
    assert done.stdout.startswith("oms ")
    assert "site-packages" in done.stdout
    assert after_place(done.stderr) == ""
