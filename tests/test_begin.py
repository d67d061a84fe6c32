"""A first hour: the program by its names, a directory with a config.ini, an older database."""

import argparse
import gzip
import os
import shutil
import subprocess
import sys
import tarfile
import venv
import zipfile
from contextlib import closing, suppress
from pathlib import Path

import pytest

from oms.cli import build_parser, main
from oms.config import CONFIG_PATH, Config, load_config
from oms.stores.lock import DataLock
from oms.stores.schema import SCHEMA_VERSION
from oms.version import VERSION
from tests.databases import alter, storage, traded
from tests.places import PLACE, after_place
from tests.processes import wait_until

ROOT = Path(__file__).resolve().parent.parent
DATABASE = "order_management.db"


def oms(directory, *arguments, **environment):
    """`python -m oms` in a directory, as after an installation."""
    return subprocess.run(
        [sys.executable, "-m", "oms", *map(str, arguments)],
        cwd=directory,
        env={**os.environ, "PYTHONPATH": str(ROOT), **environment},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_the_package_runs_as_a_module(tmp_path):
    """It says how it was called, and which version it is."""
    usage = oms(tmp_path, "--help")
    assert usage.stdout.startswith("usage: python -m oms ")
    assert "\n  python -m oms run --data-dir DIR\n" in usage.stdout
    version = oms(tmp_path, "--version")
    assert (version.returncode, version.stderr) == (0, "")
    assert version.stdout.startswith(
        f"oms {VERSION}, schema version {SCHEMA_VERSION}, Python {sys.version_info[0]}"
    )
    assert list(tmp_path.iterdir()) == []


# --- where data goes ---


def test_data_is_in_the_current_directory_or_where_it_is_told(tmp_path):
    """Wherever the program lies; and each command says where, whatever it prints."""
    here, there = tmp_path / "here", tmp_path / "there"
    here.mkdir()
    for arguments, place in (((), here), (("--data-dir", there), there)):
        done = oms(here, "--seconds", 1, "--quiet", *arguments)
        assert done.returncode == 0, done.stderr
        told = PLACE.fullmatch(done.stderr)
        assert told is not None
        assert (told["data"], told["settings"]) == (str(place), str(CONFIG_PATH))
        assert (place / DATABASE).exists()
        assert (place / "logs" / "order_management.log").exists()
    assert sorted(path.name for path in here.iterdir()) == [
        "logs", DATABASE, f"{DATABASE}-high", "status.json",
    ]  # fmt: skip


STATIC = "gateways/web/static"  # what pages name
DAEMONS = ("run", "serve", "engine", "api", "broadcast", "cluster")  # go on until a signal


def commands():
    """Every command, with the arguments it must have."""
    needed = {
        "feed": ["no.jsonl"], "order": ["a", "X_Y", "buy", "1"], "cancel": ["a", "b"],
        "modify": ["a", "b", "--price", "1"], "mass-cancel": ["a"], "orders": ["a"],
        "trades": ["BTC_USD"], "candles": ["BTC_USD"], "statistics": ["BTC_USD"],
        "backup": ["copy"], "restore": ["none"], "archive": ["--before", "2026-01-01"],
        "depth": ["BTC_USD"], "fund": ["a", "--create"], "positions": ["a"],
        "operator": ["halt"], "replay": ["--upto", "1"], "explain": ["a"],
        "user": ["list"], "key": ["list", "ann"], "simulate": ["--orders", "1", "--seconds", "1"],
    }  # fmt: skip
    parsers = [a for a in build_parser()._actions if isinstance(a, argparse._SubParsersAction)]
    return [[name, *needed.get(name, ())] for name in parsers[0].choices if name not in DAEMONS]


@pytest.mark.parametrize("command", commands(), ids=lambda command: command[0])
def test_every_command_says_where_and_by_which_settings(monkeypatch, tmp_path, capsys, command):
    """First of all, and not on stdout, which may be read by a program."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "config.ini").write_text("[instrument BTC_USD]\n", encoding="utf-8")
    monkeypatch.setenv("OMS__THROTTLE__SENDS_MAX", "50")
    main(command)
    captured = capsys.readouterr()
    assert captured.err.startswith(
        f"order_management: data in {tmp_path}; settings of {tmp_path}/config.ini "
        "and of the environment: OMS__THROTTLE__SENDS_MAX=50\n"
    )
    assert "data in" not in captured.out


def test_the_log_of_a_daemon_says_where_its_settings_are_from(tmp_path, monkeypatch):
    """stderr of a service may be gone long before somebody asks."""
    monkeypatch.setenv("OMS__LOG__LEVEL", "info")
    with subprocess.Popen(
        [sys.executable, ROOT / "order_management.py", "run", "--data-dir", tmp_path],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    ) as process:  # fmt: skip
        wait_until(lambda: (tmp_path / "status.json").exists())
        process.terminate()
        assert process.wait(30) == 0
    text = (tmp_path / "logs" / "order_management.log").read_text(encoding="utf-8")
    assert f"settings of {CONFIG_PATH} and of the environment: OMS__LOG__LEVEL=info\n" in text


def test_a_variable_that_names_no_setting_stops_every_command(tmp_path):
    done = oms(tmp_path, "status", OMS__THROTLE__SENDS_MAX="50")
    assert done.returncode == 2
    assert done.stderr.startswith("order_management: OMS__THROTLE__SENDS_MAX: expected OMS__SEC")
    assert done.stderr.count("\n") == 1


# --- init ---


def test_init_writes_the_file_that_the_program_came_with(tmp_path):
    """Once: what somebody has changed since stays as it is."""
    place = tmp_path / "new" / "place"
    first = oms(tmp_path, "init", place)
    path = place / "config.ini"
    assert (first.returncode, first.stdout) == (
        0, f"{path}: written, every setting at its default\n",
    )  # fmt: skip
    assert path.read_bytes() == CONFIG_PATH.read_bytes()
    assert load_config(path, {}) == Config()
    path.write_text("[instrument X]\n", encoding="utf-8")
    again = oms(place, "init")
    assert (again.returncode, after_place(again.stderr)) == (
        1, f"order_management: {path}: is there already, and was not changed\n",
    )  # fmt: skip
    assert path.read_text(encoding="utf-8") == "[instrument X]\n"


# --- migrate ---


def older(path, version):
    """A database as an older program left it, as far as its version says."""
    traded(path)
    alter(path, f"PRAGMA user_version = {version}")


def run(capsys, *arguments):
    code = main([*map(str, arguments)])
    captured = capsys.readouterr()
    return code, captured.out, after_place(captured.err)


def test_migrate_says_and_does_what_a_database_needs(tmp_path, capsys):
    """What version 3 lacks is made from its journal; a look changes nothing."""
    path, place = tmp_path / DATABASE, ("--data-dir", tmp_path)
    older(path, 3)
    before = path.read_bytes()
    for _ in range(2):
        assert run(capsys, "migrate", "--check", *place) == (
            1,
            f"{path}: schema version 3, this program has {SCHEMA_VERSION}: "
            "`migrate` upgrades it\n",
            "",
        )  # fmt: skip
    assert path.read_bytes() == before
    assert run(capsys, "migrate", *place) == (
        0, f"{path}: schema version 3 before, {SCHEMA_VERSION} now\n", "",
    )  # fmt: skip
    assert run(capsys, "migrate", "--check", *place) == (
        0, f"{path}: schema version {SCHEMA_VERSION}, as this program has; nothing to do\n", "",
    )  # fmt: skip
    assert run(capsys, "migrate", *place)[0] == 0
    assert run(capsys, "verify", *place)[1].startswith("verified: ")


def test_a_database_of_an_old_program_is_made_anew(tmp_path, capsys):
    """One that an earlier version wrote: after `migrate`, `verify` reads it."""
    path = tmp_path / DATABASE
    path.write_bytes(gzip.decompress((ROOT / "tests/recorded/version2.db.gz").read_bytes()))
    assert run(capsys, "verify", "--data-dir", tmp_path)[0] == 2
    assert run(capsys, "migrate", "--data-dir", tmp_path)[0] == 0
    assert run(capsys, "verify", "--data-dir", tmp_path)[1].startswith("verified: ")


QUESTIONS = (
    "orders ann", "orders ann a-1", "trades", "positions ann", "candles BTC_USD",
    "statistics BTC_USD", "depth BTC_USD", "user list", "key list ann", "explain a-1",
)  # fmt: skip


@pytest.mark.parametrize("question", QUESTIONS)
def test_a_question_where_nothing_has_run_makes_nothing(tmp_path, capsys, question):
    """Whoever mistypes --data-dir is told, and does not get a new exchange."""
    # given a directory that is not there, or empty
    for place in (tmp_path / "none", tmp_path):
        # when
        code, out, err = run(capsys, *question.split(), "--data-dir", place)

        # then
        told = f"order_management: {place / DATABASE}: no such database; nothing has run here yet\n"
        assert (code, out, err) == (2, "", told)
    assert list(tmp_path.iterdir()) == []


def test_a_question_that_upgrades_a_database_says_so(tmp_path, capsys):
    """In one line on stderr, once."""
    # given a database of an older program
    path = tmp_path / DATABASE
    older(path, 3)
    settings = "[exchange]\nledger = no\n[instrument X]\nprice_scale = 0\nquantity_scale = 0\n"
    (tmp_path / "config.ini").write_text(settings, encoding="utf-8")

    # when it is asked twice
    first, second = (run(capsys, "trades", "--data-dir", tmp_path) for _ in range(2))

    # then
    told = f"order_management: {path}: upgraded from schema version 3 to {SCHEMA_VERSION}\n"
    assert (first[0], first[2]) == (0, told)
    assert (second[0], second[2]) == (0, "")


@pytest.mark.parametrize("version", [0, SCHEMA_VERSION + 1])
def test_what_this_program_cannot_upgrade_is_told(tmp_path, capsys, version):
    """No database of ours, or a newer program's: also without --check nothing is changed."""
    path = tmp_path / DATABASE
    older(path, version)
    before = path.read_bytes()
    for check in ((), ("--check",)):
        code, out, err = run(capsys, "migrate", *check, "--data-dir", tmp_path)
        assert (code, err) == (1, "")
        assert out.endswith("no database that this program can upgrade\n")
    assert path.read_bytes() == before
    (tmp_path / DATABASE).unlink()
    assert run(capsys, "migrate", "--check", "--data-dir", tmp_path)[0] == 2


@pytest.mark.parametrize("command", ["migrate", "rebuild"])
def test_what_rewrites_a_database_does_not_while_another_has_it(tmp_path, capsys, command):
    """They hold the lock of the database, as a daemon does."""
    older(tmp_path / DATABASE, 3)
    with DataLock(tmp_path / DATABASE):
        code, out, err = run(capsys, command, "--data-dir", tmp_path)
    assert (code, out) == (2, "")
    assert err == f"order_management: {tmp_path}: in use by process {os.getpid()}\n"
    with closing(storage(tmp_path / DATABASE)) as store:
        assert store.outdated  # as it was


# --- a wheel ---


@pytest.mark.slow
def test_an_installed_wheel_carries_everything(tmp_path):
    """Built from what git has, installed in a fresh virtual environment, run from elsewhere."""
    source, work = tmp_path / "source", tmp_path / "work"
    archive = tmp_path / "source.tar"
    listed = subprocess.run(["git", "archive", "-o", archive, "HEAD"], cwd=ROOT, check=False)
    if listed.returncode:
        pytest.skip("no git here")
    with tarfile.open(archive) as tar:
        tar.extractall(source, filter="data")
    pip = [sys.executable, "-m", "pip", "--quiet"]
    built = subprocess.run(
        [*pip, "wheel", "--no-deps", "-w", tmp_path, source],
        capture_output=True, text=True, check=False, timeout=300,
    )  # fmt: skip
    if built.returncode and "setuptools" in built.stderr:
        pytest.skip("no network, from which the build's setuptools come")
    assert built.returncode == 0, built.stderr
    (wheel,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as files:
        packed = set(files.namelist())
    pages = [path for path in (source / "oms" / STATIC).rglob("*") if path.is_file()]
    assert {path.relative_to(source).as_posix() for path in pages} <= packed
    venv.create(tmp_path / "venv", with_pip=True)
    program = tmp_path / "venv" / "bin" / "oms"
    for command in (
        [program.with_name("pip"), "--quiet", "install", "--no-index", wheel],
        [program, "init", work],
        [program, "--seconds", "1", "--quiet", "--data-dir", work],
        [program.with_name("python"), "-m", "oms", "verify", "--data-dir", work],
    ):
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("verified: ")
    assert (work / "config.ini").read_bytes() == (source / "config.ini").read_bytes()
    with suppress(FileNotFoundError):
        shutil.rmtree(source)
