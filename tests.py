"""`python tests.py [ARGUMENTS OF PYTEST]` runs the test suite on a machine that has only Python.

It makes a virtual environment of its own, .venv-tests beside this file, and installs what
pyproject.toml lists for tests. So it works where pip refuses the system's Python (PEP 668),
and changes nothing outside this directory. Later runs use the same environment again, until
pyproject.toml or Python is another one.

    python tests.py                        the suite
    python tests.py -m slow                the proofs that take minutes
    python tests.py tests/test_book.py -v  one file
"""

import importlib.util
import os
import shutil
import subprocess
import sys

if sys.version_info < (3, 11):  # noqa: UP036 (a checkout is run without pip, which checks)
    sys.exit("tests.py: expected Python 3.11 or newer, was " + sys.version.split()[0])

from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).resolve().parent
ENVIRONMENT = ".venv-tests"
EXIT_NO_ENVIRONMENT = 2

Run = Callable[[list[str]], int]
"""Runs a program to its end; its exit code."""


class MissingError(Exception):
    """Something that the machine has to have first; the text says what, and how to get it."""


def run_program(command: list[str]) -> int:
    return subprocess.call(command, cwd=ROOT)


def has_module(name: str) -> bool:
    return importlib.util.find_spec(name) is not None


def main(
    arguments: list[str], root: Path = ROOT, run: Run = run_program,
    has: Callable[[str], bool] = has_module,
) -> int:  # fmt: skip
    """Make the environment if need be, and run pytest in it; the exit code."""
    try:
        python = prepared(root, run, has)
    except MissingError as missing:
        print(f"tests.py: {missing}", file=sys.stderr)
        return EXIT_NO_ENVIRONMENT
    return run([str(python), "-m", "pytest", *arguments])


def prepared(root: Path, run: Run, has: Callable[[str], bool]) -> Path:
    """The Python of an environment that has everything; MissingError if it cannot be had."""
    directory = root / ENVIRONMENT
    python = directory / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    stamp, wanted = directory / "ready", _wanted(root)
    if python.exists() and stamp.exists() and stamp.read_text(encoding="utf-8") == wanted:
        return python
    _make(directory, run, has)
    print(f"tests.py: installing what the tests need into {directory}", flush=True)
    if run([str(python), "-m", "pip", "install", "--quiet", "-e", f"{root}[test]"]):
        raise MissingError(
            "pip could not install the packages that the tests need (see above). It needs a "
            "network, or a package index of yours (PIP_INDEX_URL). Where pytest, hypothesis and "
            "freezegun are installed already, `python -m pytest` runs the suite without it"
        )
    stamp.write_text(wanted, encoding="utf-8")
    return python


def _make(directory: Path, run: Run, has: Callable[[str], bool]) -> None:
    """A new, empty virtual environment; an old one, or half of one, is removed."""
    for module in ("venv", "ensurepip"):
        if not has(module):
            version = f"{sys.version_info.major}.{sys.version_info.minor}"
            raise MissingError(
                f"this Python has no module {module}, so no virtual environment can be made. On "
                f"Debian and Ubuntu: apt-get install python{version}-venv"
            )
    if directory.exists():
        shutil.rmtree(directory)
    print(f"tests.py: making the virtual environment {directory}", flush=True)
    if run([sys.executable, "-m", "venv", str(directory)]):
        raise MissingError(
            f"{directory} could not be made (see above); this user must be able to write"
        )


def _wanted(root: Path) -> str:
    """What an environment must have been made from to be used again."""
    project = (root / "pyproject.toml").read_text(encoding="utf-8")
    return f"{sys.version}\n{sys.executable}\n{root}\n{project}"


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except KeyboardInterrupt:
        sys.exit(130)
