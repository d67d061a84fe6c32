"""What deploy/ ships: a unit that systemd understands, an image whose steps fit this tree."""

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from oms.cli import build_parser
from oms.commands.serving import serve
from oms.sections import ProjectionConfig, ScaleConfig, StoreConfig

ROOT = Path(__file__).resolve().parent.parent
DEPLOY = ROOT / "deploy"
UNIT = (DEPLOY / "oms.service").read_text(encoding="utf-8")
IMAGE = (DEPLOY / "Containerfile").read_text(encoding="utf-8")


def test_systemd_understands_the_unit(tmp_path):
    """All of it but the program, which is not installed where the unit says here."""
    if shutil.which("systemd-analyze") is None:
        pytest.skip("systemd is not here")
    unit = tmp_path / "oms.service"
    unit.write_text(UNIT.replace("/opt/oms/bin/oms", shutil.which("true") or ""), encoding="utf-8")
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", unit], capture_output=True, text=True,
        timeout=60, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")


def test_the_unit_starts_and_stops_the_daemon_as_it_wants_to_be():
    settings = dict(re.findall(r"^(\w+)=(.*)$", UNIT, re.MULTILINE))
    _, *words = settings["ExecStart"].split()
    args = build_parser().parse_args(words)
    assert args.command is serve
    assert str(args.data_dir) == settings["WorkingDirectory"] == "/var/lib/oms"
    assert settings["KillSignal"] == "SIGTERM"
    assert int(settings["TimeoutStopSec"]) > 5  # the daemon is gone in 5 s
    assert settings["RestartPreventExitStatus"] == "2"  # wrong settings stay wrong
    assert int(settings["LimitNOFILE"]) == 65_536


def test_the_image_copies_what_is_there_and_starts_what_is_there():
    copied = [
        name
        for line in re.findall(r"^COPY (?!--from)(.*)$", IMAGE, re.MULTILINE)
        for name in line.split()[:-1]
    ]
    assert {"config.ini", "oms", "pyproject.toml", "setup.py"} <= set(copied)
    assert [name for name in copied if not (ROOT / name).exists()] == []
    command = re.search(r"^CMD (\[.*\])$", IMAGE, re.MULTILINE)
    assert command is not None
    args = build_parser().parse_args(json.loads(command[1]))
    assert args.command is serve
    assert args.listen == "0.0.0.0:3000"
    assert "USER oms" in IMAGE


def test_the_commands_in_their_comments_are_understood():
    """`oms ...` after the name of image or program; each parses."""
    lines = re.findall(r"^#\s+(?:serve|podman run .* oms serve) ?(.*?)(?:\s{2,}.*)?$", IMAGE, re.M)
    for line in lines:
        assert build_parser().parse_args(["serve", *line.split()]).command is serve
    assert lines


ROLES = ("engine", "api", "broadcast", "db-filler")


@pytest.mark.parametrize("role", ROLES)
def test_systemd_understands_the_unit_of_each_role(tmp_path, role):
    if shutil.which("systemd-analyze") is None:
        pytest.skip("systemd is not here")
    instance = tmp_path / f"oms-{role}@3001.service"
    text = (DEPLOY / f"oms-{role}@.service").read_text(encoding="utf-8")
    text = text.replace("/opt/oms/bin/oms", shutil.which("true") or "")
    text = text.replace("#Environment=", "Environment=")
    instance.write_text(text, encoding="utf-8")
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", instance], capture_output=True, text=True,
        timeout=60, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("role", ROLES)
def test_the_unit_of_each_role_starts_it(role):
    """In a directory of its own, a filler in that of its engine; again whenever it ends."""
    text = (DEPLOY / f"oms-{role}@.service").read_text(encoding="utf-8")
    settings = dict(re.findall(r"^(\w+)=(.*)$", text, re.MULTILINE))
    _, *words = settings["ExecStart"].replace("%i", "3001").replace("%p", f"oms-{role}").split()
    args = build_parser().parse_args(words)
    own = "oms-engine" if role == "db-filler" else f"oms-{role}"
    assert args.command.__name__ == role.replace("-", "_")
    assert str(args.data_dir) == f"/var/lib/oms/{own}-3001"
    assert settings["StateDirectory"].replace("%p", f"oms-{role}") == f"oms/{own}-%i"
    assert (settings["Restart"], settings["StartLimitIntervalSec"]) == ("always", "0")


def test_units_name_schemas_as_cluster_does():
    """The journal's in a line to take in where it is in Postgres, as it says nothing without."""
    journal = "#Environment=OMS__STORE__KIND=postgres OMS__STORE__SCHEMA=oms_%i\n"
    filler, engine = (
        (DEPLOY / f"oms-{role}@.service").read_text(encoding="utf-8")
        for role in ("db-filler", "engine")
    )
    assert journal in filler
    assert journal in engine
    assert "\nEnvironment=OMS__PROJECTION__SCHEMA=public_%i\n" in filler
    assert (StoreConfig().schema, ProjectionConfig().schema) == ("oms", "public")


def test_compose_starts_commands_that_there_are():
    """Each group of the example has its engine; a variable that it needs is in the example."""
    yaml = pytest.importorskip("yaml")
    text = (DEPLOY / "compose.yaml").read_text(encoding="utf-8")
    example = (DEPLOY / ".env.example").read_text(encoding="utf-8")
    services = yaml.safe_load(text)["services"]
    redis = services.pop("redis")
    assert "noeviction" in redis["command"]
    assert services.pop("postgres")["image"].partition(":")[2] >= "13"
    made = [build_parser().parse_args(each["command"]) for each in services.values()]
    assert {each.command.__name__.replace("_", "-") for each in made} == set(ROLES)
    given = dict(re.findall(r"^(\w+)=(.*)$", example, re.MULTILINE))
    assert set(re.findall(r"\$\{(\w+)\}", text)) <= set(given)
    groups = ScaleConfig(market_groups=given["OMS__SCALE__MARKET_GROUPS"]).names
    assert set(groups) == {each.group for each in made if each.command.__name__ == "engine"}
    schemas = [
        each["environment"]["OMS__PROJECTION__SCHEMA"]
        for name, each in services.items() if name.startswith("filler-")
    ]  # fmt: skip
    assert sorted(schemas) == sorted(f"public_{group}" for group in groups)
