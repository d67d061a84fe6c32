"""What deploy/ ships: a unit that systemd understands, an image whose steps fit this tree."""

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from oms.cli import build_parser
from oms.commands.serving import serve
from oms.config import Config, load_config
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


def example() -> dict[str, str]:
    """What .env.example gives, with secrets as if they were filled in."""
    text = (DEPLOY / ".env.example").read_text(encoding="utf-8")
    given = re.findall(r"^(\w+)=(.*)$", text, re.MULTILINE)
    return {name: value or "filled-in" for name, value in given}


def settings_with(environment: dict[str, str]) -> Config:
    """The shipped settings and such an environment; every variable of ours is a setting."""
    ours = {name: value for name, value in environment.items() if name.startswith("OMS__")}
    return load_config(ROOT / "config.ini", ours)


def test_each_service_of_compose_finds_its_settings_and_its_servers():
    """As compose gives them: .env, then the service's own, in which it puts variables of .env. The
    Redis there has room for what its groups may take."""
    yaml = pytest.importorskip("yaml")
    pytest.importorskip("redis")
    from oms.roles.memory import memory_max

    services = yaml.safe_load((DEPLOY / "compose.yaml").read_text(encoding="utf-8"))["services"]
    given = example()
    groups, fillers = set(), set()
    for name, service in services.items():
        if "build" not in service:
            continue
        own = {
            key: re.sub(r"\$\{(\w+)\}", lambda found: given[found[1]], value)
            for key, value in service["environment"].items()
        }
        config = settings_with({**given, **own})
        if name.startswith("filler-"):
            assert conninfo(config.projection.dsn)["host"] in services
            assert config.projection.schema == "public_" + name.partition("-")[2]
            fillers.add(name.partition("-")[2])
            continue
        assert config.scale.redis_url == "redis://:filled-in@redis:6379/0"
        assert config.web.allowed_hosts == "localhost,127.0.0.1"
        groups.update(config.scale.names)
        words = services["redis"]["command"]
        assert words[words.index("--maxmemory") + 1] == "1gb"
        assert sum(memory_max(config.scale, config.scale.home).values()) < 2**30
    assert groups == fillers == {"inr", "usd"}
    mounted = {each.partition(":")[0] for service in services.values()
               for each in service.get("volumes", ())}  # fmt: skip
    assert mounted == {"postgres", "engine-inr", "engine-usd"}


def test_what_the_example_leaves_out_can_be_taken_in():
    text = (DEPLOY / ".env.example").read_text(encoding="utf-8")
    left_out = dict(re.findall(r"^#(OMS__\w+)=(.*)$", text, re.MULTILINE))
    assert settings_with({**example(), **left_out}).scale.redis_url.startswith("redis+sentinel:")


def conninfo(dsn: str) -> dict[str, str]:
    return dict(each.split("=") for each in dsn.split())


@pytest.mark.parametrize("role", ROLES)
def test_the_environment_of_a_unit_is_settings(role):
    """With the example as /etc/oms.env, and the lines that a journal in Postgres needs taken in."""
    text = (DEPLOY / f"oms-{role}@.service").read_text(encoding="utf-8")
    lines = re.findall(r"^#?Environment=(.*)$", text, re.MULTILINE)
    own = dict(word.split("=", 1) for line in lines for word in line.replace("%i", "usd").split())
    if role in ("engine", "db-filler"):
        own["OMS__STORE__DSN"] = "dbname=oms"
    store = settings_with({**example(), **own}).store
    expected = ("postgres", "oms_usd") if own else ("sqlite", "oms")
    assert (store.kind, store.schema) == expected


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
