"""`python tests.py`: one command on a fresh machine; what is missing is named."""

import importlib.util
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
SPEC = importlib.util.spec_from_file_location("tests_py", ROOT / "tests.py")
assert SPEC is not None and SPEC.loader is not None
tests_py = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(tests_py)


class Machine:
    """Does as told what programs would do; remembers which ran."""

    def __init__(self, root: Path, *, without: str = "", network: bool = True) -> None:
        self.root, self.without, self.network = root, without, network
        self.ran: list[list[str]] = []
        (root / "pyproject.toml").write_text("[project]\n", encoding="utf-8")

    def run(self, command: list[str]) -> int:
        self.ran.append(command)
        if command[1:3] == ["-m", "venv"]:
            python = Path(command[3]) / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
            python.parent.mkdir(parents=True)
            python.touch()
        return 1 if "pip" in command and not self.network else 0

    def tests(self, *arguments: str) -> int:
        return tests_py.main(list(arguments), self.root, self.run, lambda m: m != self.without)

    def modules(self) -> list[str]:
        """What ran, in order, as `python -m` names it."""
        return [command[2] for command in self.ran]


def test_the_first_run_makes_the_environment_and_later_ones_use_it(tmp_path):
    """The arguments are those of pytest."""
    machine = Machine(tmp_path)
    assert machine.tests("-m", "slow") == 0
    assert machine.modules() == ["venv", "pip", "pytest"]
    assert machine.ran[-1][1:] == ["-m", "pytest", "-m", "slow"]
    assert machine.ran[-1][0].startswith(str(tmp_path / ".venv-tests"))

    machine.ran.clear()
    assert machine.tests() == 0
    assert machine.modules() == ["pytest"]


def test_another_pyproject_makes_the_environment_anew(tmp_path):
    """What was installed is no longer what is wanted."""
    machine = Machine(tmp_path)
    machine.tests()
    (tmp_path / "pyproject.toml").write_text("[project]\nname = 'x'\n", encoding="utf-8")
    machine.ran.clear()
    machine.tests()
    assert machine.modules() == ["venv", "pip", "pytest"]


@pytest.mark.parametrize("module", ["venv", "ensurepip"])
def test_a_python_that_cannot_make_environments_is_told(module, tmp_path, capsys):
    """Debian has both in a package of its own."""
    machine = Machine(tmp_path, without=module)
    assert machine.tests() == 2
    told = capsys.readouterr().err
    assert f"tests.py: this Python has no module {module}" in told
    assert "apt-get install python3." in told
    assert machine.ran == []


def test_without_a_network_it_says_so_and_tries_again_next_time(tmp_path, capsys):
    """Half an environment is never used."""
    machine = Machine(tmp_path, network=False)
    assert machine.tests() == 2
    assert "It needs a network" in capsys.readouterr().err
    assert machine.modules() == ["venv", "pip"]

    machine.network = True
    assert machine.tests() == 0
    assert machine.modules()[2:] == ["venv", "pip", "pytest"]


@pytest.mark.slow
def test_it_runs_for_real_where_pip_refuses_the_system(tmp_path):
    """A copy of the checkout, a Python that is marked as the system's, and one test file."""
    copied = tmp_path / "checkout"
    shutil.copytree(ROOT, copied, ignore=shutil.ignore_patterns(".git", ".venv*", "*.egg-info"))
    done = subprocess.run(
        [sys.executable, "tests.py", "tests/test_money.py"], cwd=copied, capture_output=True,
        text=True, timeout=600, check=False, env={**os.environ, "PIP_BREAK_SYSTEM_PACKAGES": "0"},
    )  # fmt: skip
    if done.returncode == 2 and "needs a network" in done.stderr:
        pytest.skip("no package index can be reached")
    assert done.returncode == 0, done.stdout + done.stderr
    assert " passed" in done.stdout or "[100%]" in done.stdout
    assert (copied / ".venv-tests" / "ready").exists()
