"""What deploy/ ships: a unit that systemd understands, an image whose steps fit this tree."""

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from oms.cli import build_parser
from oms.commands.children import STOP_S_MAX
from oms.commands.serving import serve
from oms.config import Config, load_config
from oms.sections import ProjectionConfig, ScaleConfig, StoreConfig

ROOT = Path(__file__).resolve().parent.parent
DEPLOY = ROOT / "deploy"
UNIT = (DEPLOY / "oms.service").read_text(encoding="utf-8")
IMAGE = (DEPLOY / "Containerfile").read_text(encoding="utf-8")
COMPOSE = (DEPLOY / "compose.yaml").read_text(encoding="utf-8")


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
    assert settings["RestartPreventExitStatus"] == "2"  # wrong settings stay wrong
    assert int(settings["LimitNOFILE"]) == 65_536


def test_each_role_has_the_time_to_end_that_it_may_take():
    """As `cluster` gives it: where each of its threads hangs."""
    units = [path.read_text(encoding="utf-8") for path in DEPLOY.glob("*.service")]
    assert UNIT in units and len(units) > 1
    for unit in units:
        assert re.findall(r"^TimeoutStopSec=(.*)$", unit, re.MULTILINE) == [f"{STOP_S_MAX:g}"]
    assert f"  stop_grace_period: {STOP_S_MAX:g}s\n" in COMPOSE


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


def commands_in_comments(text: str) -> list[list[str]]:
    """What follows the name of the image, or of a service, in lines of docker; without remarks."""
    whole = re.sub(r" \\\n#\s+", " ", text)
    found = re.findall(r"^#\s+docker .* (?:oms|engine-\w+ oms) (\w.*?)(?:\s{2,}.*)?$", whole, re.M)
    return [line.removeprefix("oms ").split() for line in found]


def test_the_commands_in_their_comments_are_understood():
    made = [build_parser().parse_args(words) for words in commands_in_comments(IMAGE)]
    assert [each.command.__name__ for each in made] == ["init", "user", "serve", "status"]
    assert str(made[2].data_dir) == workdir()
    [user] = [build_parser().parse_args(words) for words in commands_in_comments(COMPOSE)]
    assert user.command.__name__ == "user"


def workdir() -> str:
    """Where commands look for data by themselves."""
    return re.findall(r"^WORKDIR (.*)$", IMAGE, re.MULTILINE)[-1]


def test_programs_of_the_image_are_found_by_their_names():
    """By whoever says `docker exec oms oms status`; the volume is theirs alone, and empty."""
    *_, stage = IMAGE.split("\nFROM ")
    assert "ENV PATH=/opt/oms/bin:$PATH" in stage
    assert 'ENTRYPOINT ["oms"]' in stage
    assert "--create-home" not in stage  # it would bring a shell's settings
    assert "install -d -o oms -g oms -m 700 /var/lib/oms" in stage
    assert workdir() == "/var/lib/oms"
    assert "--format docker" in IMAGE  # podman leaves the HEALTHCHECK out without


def test_what_is_sent_to_the_builder_is_what_the_image_copies():
    """No data, no secrets, no history."""
    ignored = (ROOT / ".dockerignore").read_text(encoding="utf-8").split("\n")
    lines = [line for line in ignored if line and not line.startswith("#")]
    copied = re.findall(r"^COPY (?!--from)(.*)$", IMAGE, re.MULTILINE)
    names = {name for line in copied for name in line.split()[:-1]}
    assert lines[0] == "*"
    assert {line[1:] for line in lines if line.startswith("!")} == names
    assert "/deploy/.env" in (ROOT / ".gitignore").read_text(encoding="utf-8").split("\n")


ROLES = ("engine", "api", "broadcast", "db-filler")
DOORS = ("api", "broadcast")


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


def test_the_first_operator_of_the_units_is_added_where_users_are():
    """At the engine of the first group, as the settings of the example have them."""
    text = (DEPLOY / "oms-engine@.service").read_text(encoding="utf-8")
    [line] = re.findall(r"^#.* /opt/oms/bin/oms (user .*)$", text, re.MULTILINE)
    args = build_parser().parse_args(line.split())
    assert args.command.__name__ == "user"
    scale = settings_with(example()).scale
    assert str(args.data_dir) == f"/var/lib/oms/oms-engine-{scale.home}"
    assert f"exec engine-{scale.home} oms user add" in COMPOSE


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

    services = yaml.safe_load(COMPOSE)["services"]
    given = example()
    groups, fillers = set(), set()
    for name, service in services.items():
        if service["image"] != "localhost/oms":
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


def test_one_service_of_compose_builds_the_image_and_no_other_looks_for_it_elsewhere():
    yaml = pytest.importorskip("yaml")
    services = yaml.safe_load(COMPOSE)["services"].values()
    ours = [each for each in services if each["image"] == "localhost/oms"]
    assert len(ours) == len(services) - 2
    assert [each["pull_policy"] for each in ours if "build" in each] == ["build"]
    assert {each["pull_policy"] for each in ours if "build" not in each} == {"never"}


def test_each_service_of_compose_has_a_volume_with_a_name():
    """The image has a volume: one without a name would be left behind by each `down`."""
    yaml = pytest.importorskip("yaml")
    told = yaml.safe_load(COMPOSE)
    services, named = told["services"], set()
    for name, service in services.items():
        if service["image"] == "localhost/oms":
            [mounted] = service["volumes"]
            volume, _, place = mounted.partition(":")
            assert volume == name.replace("filler", "engine")
            assert place == "/var/lib/oms"
            named.add(volume)
    assert set(told["volumes"]) == named | {"postgres"}


def test_doors_of_compose_are_stopped_first_and_their_health_is_checked():
    """As the image says it, which podman's own format of images leaves out."""
    yaml = pytest.importorskip("yaml")
    services = yaml.safe_load(COMPOSE)["services"]
    checked = re.search(r"^HEALTHCHECK .* CMD \\\n +(\[.*\])$", IMAGE, re.MULTILINE)
    assert checked is not None
    doors = [each for each in services.values() if each.get("command", [""])[0] in DOORS]
    assert len(doors) == 3
    for door in doors:
        assert door["healthcheck"]["test"] == ["CMD", *json.loads(checked[1])]
        assert {"engine-inr", "engine-usd"} < set(door["depends_on"])


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
    example = (DEPLOY / ".env.example").read_text(encoding="utf-8")
    services = yaml.safe_load(COMPOSE)["services"]
    redis = services.pop("redis")
    assert "noeviction" in redis["command"]
    assert services.pop("postgres")["image"].partition(":")[2] >= "13"
    made = [build_parser().parse_args(each["command"]) for each in services.values()]
    assert {each.command.__name__.replace("_", "-") for each in made} == set(ROLES)
    given = dict(re.findall(r"^(\w+)=(.*)$", example, re.MULTILINE))
    assert set(re.findall(r"\$\{(\w+)\}", COMPOSE)) <= set(given)
    groups = ScaleConfig(market_groups=given["OMS__SCALE__MARKET_GROUPS"]).names
    assert set(groups) == {each.group for each in made if each.command.__name__ == "engine"}
    schemas = [
        each["environment"]["OMS__PROJECTION__SCHEMA"]
        for name, each in services.items() if name.startswith("filler-")
    ]  # fmt: skip
    assert sorted(schemas) == sorted(f"public_{group}" for group in groups)
