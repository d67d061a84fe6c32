"""`cluster`: one command starts every role, starts again what ends, and ends all of them."""

import os
import re
import signal
import subprocess
import sys
import tempfile
from argparse import Namespace
from contextlib import ExitStack, suppress
from pathlib import Path

import pytest

from oms.cli import main
from oms.commands import own_servers
from oms.commands.cluster import _children, _groups
from oms.config import Config, StoreConfig, load_config
from oms.errors import ConfigError, GatewayError
from oms.roles.memory import memory_max
from oms.sections import ScaleConfig
from tests.processes import DATABASE, wait_until
from tests.scale.parts import replace, with_password
from tests.scale.servers import RedisServer, program
from tests.web.clients import BROKEN
from tests.web.served import PASSWORD, PROGRAM, Session

URL = re.compile(r"^(?:api|broadcast): (http://\S+)$", re.MULTILINE)


def test_groups_go_by_quote_asset():
    """The shipped instruments have two; [scale] goes before."""
    config = Config()
    assert _groups(config, None) == {"main": ("TATA_INR", "JIO_INR", "BTC_USD")}
    assert _groups(config, 2) == {"inr": ("TATA_INR", "JIO_INR"), "usd": ("BTC_USD",)}
    with pytest.raises(ConfigError, match="at most 2"):
        _groups(config, 3)
    named = replace(config, scale=ScaleConfig(market_groups="a: TATA_INR BTC_USD, b: JIO_INR"))
    assert list(_groups(named, None)) == ["a", "b"]
    with pytest.raises(ConfigError, match="expected 2"):
        _groups(named, 1)


def test_each_of_several_groups_has_a_schema_of_its_own(tmp_path):
    """With journals in Postgres; one group, and what is no engine, goes by the settings."""
    store = StoreConfig(kind="postgres", dsn="dbname=x", schema="trial")
    config, args = replace(Config(), store=store), Namespace(apis=1, broadcasts=0, postgres="")

    def schemas(*groups):
        made = _children(args, tmp_path, tmp_path / "config.ini", config, [*groups], {})
        return [each.environment.get("OMS__STORE__SCHEMA") for each in made]

    assert schemas("inr", "usd") == ["trial_inr", "trial_usd", None]
    assert schemas("main") == [None, None]


def test_each_engine_has_a_filler_where_there_is_postgres(tmp_path):
    """It reads the directory of its engine; several of them fill a schema each."""
    args = Namespace(apis=1, broadcasts=0, postgres="dbname=x")

    def fillers(*groups):
        made = _children(args, tmp_path, tmp_path / "config.ini", Config(), [*groups], {})
        return [
            (each.name, each.command[-2].rpartition("/")[2],
             each.environment.get("OMS__PROJECTION__SCHEMA"))
            for each in made if "db-filler" in each.command
        ]  # fmt: skip

    assert fillers("inr", "usd") == [
        ("filler-inr", "engine-inr", "public_inr"), ("filler-usd", "engine-usd", "public_usd"),
    ]  # fmt: skip
    assert fillers("main") == [("filler-main", "engine-main", None)]
    args.postgres = ""
    assert fillers("main") == []


def test_settings_may_ask_for_groups_by_quote_asset(tmp_path):
    """The same in every process, in the order of the instruments."""
    config = replace(Config(), scale=ScaleConfig(market_groups="quote", home_group="usd"))
    assert config.scale.symbols_by_group == {"inr": ("TATA_INR", "JIO_INR"), "usd": ("BTC_USD",)}
    assert (config.scale.home, _groups(config, None)) == ("usd", config.scale.symbols_by_group)
    assert [each.symbol for each in config.of_group("usd").instruments] == ["BTC_USD"]
    path = tmp_path / "config.ini"
    path.write_text("[scale]\nmarket_groups = quote\n[instrument A_EUR]\n[instrument A_E.R]\n")
    assert load_config(path, {}).scale.names == ("eur", "e-r")
    path.write_text(
        path.read_text().replace("[instrument A_EUR]", "home_group = x\n[instrument A]")
    )
    with pytest.raises(ConfigError, match=r"\[scale\] home_group: expected one of main, e-r"):
        load_config(path, {})


def test_each_group_may_have_a_server_of_its_own(tmp_path):
    """Where the settings name it; those that there are not, and those named twice, are refused."""
    urls = "usd=redis+sentinel://a:26379,b:26379/oms inr=redis://b:1/0"
    scale = ScaleConfig(market_groups="usd: BTC_USD, inr: TATA_INR, eur: A_EUR", redis_urls=urls)
    assert [scale.redis_url_of(name) for name in scale.names] == [
        "redis+sentinel://a:26379,b:26379/oms", "redis://b:1/0", "redis://127.0.0.1:6379/0"
    ]  # fmt: skip
    one, three = memory_max(scale, "usd"), memory_max(replace(scale, redis_urls=""), "usd")
    assert {name: 3 * size for name, size in one.items()} == three
    path = tmp_path / "config.ini"
    for wrong, said in (
        ("usd=redis://:hush@a:1/0", r"each of them once at most: main, was 'usd'"),
        ("main=redis://a:1 main=redis://b:1", r"each of them once at most: main, was 'main, main'"),
        ("main=a:1", r"redis_urls: expected groups with servers of their own"),
        ("main=redis+sentinel://a:26379", r"redis_urls: expected groups with servers"),
    ):
        path.write_text(f"[scale]\nredis_urls = {wrong}\n")
        with pytest.raises(ConfigError, match=said) as caught:
            load_config(path, {})
        assert "hush" not in str(caught.value)


def test_programs_of_postgres_that_are_missing_are_one_clear_line(tmp_path, monkeypatch):
    """Where neither the path nor Debian's place has them."""
    pytest.importorskip("psycopg")
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(own_servers, "INSTALLED", tmp_path)
    with ExitStack() as stack, pytest.raises(GatewayError) as caught:
        own_servers.own_postgres(tmp_path, stack, [])
    assert str(caught.value) == (
        "--postgres: there is no program initdb to start a server with; "
        "`apt-get install postgresql` brings one, or --postgres DSN names a server"
    )


ADDRESSES = (
    "redis://:hush@127.0.0.1:{}/0", "redis://default:hu@sh@127.0.0.1:{}/0",
    "redis://127.0.0.1:{}/0?password=hush", "redis://:hu%2Fsh@127.0.0.1:{}/0",
)  # fmt: skip


@pytest.mark.parametrize("address", ADDRESSES)
def test_the_password_of_redis_is_not_told_where_no_server_answers(address, tmp_path, capsys):
    url = address.format(1)
    for wrong, said in ((url, "no server answers"), (url.replace("redis", "http", 1), "expected")):
        assert main(["cluster", "--data-dir", str(tmp_path), "--redis", wrong]) == 2
        told = "".join(capsys.readouterr())
        assert said in told
        assert "***" in told
        assert "hu" not in told and "sh@" not in told


def test_an_engine_without_redis_is_one_line_and_leaves_nothing_in_the_journal(
    tmp_path, capsys, monkeypatch
):
    monkeypatch.setenv("OMS__SCALE__REDIS_URL", "redis://127.0.0.1:1/0")
    assert main(["engine", "--data-dir", str(tmp_path)]) == 2
    told = capsys.readouterr().err.splitlines()
    assert "Redis: " in told[-1] and "127.0.0.1:1" in told[-1]
    assert not (tmp_path / DATABASE).exists()


@pytest.mark.parametrize("password", ["hu/sh", "hu#sh", "hu?sh", "hu[sh"])
def test_an_address_that_no_client_could_read_is_one_line_without_its_password(
    password, tmp_path, capsys, monkeypatch
):
    monkeypatch.setenv("OMS__SCALE__REDIS_URL", f"redis://oms:{password}@127.0.0.1:1/0")
    assert main(["engine", "--data-dir", str(tmp_path)]) == 2
    told = "".join(capsys.readouterr())
    assert "redis_url: expected" in told and "percent-encoded, was 'redis://oms:***@" in told
    assert "hu" not in told and "sh@" not in told


def test_the_password_of_redis_is_not_told_where_one_does(tmp_path):
    """Neither by what starts the processes, nor in what they log."""
    server = RedisServer(tmp_path / "redis", "--requirepass", "hush").start()
    place = tmp_path / "trial"
    words = ["--data-dir", place, "--engines", "1", "--apis", "0", "--broadcasts", "0"]
    process = subprocess.Popen(
        [sys.executable, PROGRAM, "cluster", *words, "--redis",
         with_password(server.url, "default", "hush")],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True,
    )  # fmt: skip
    log = place / "engine-main" / "output.log"
    try:
        wait_until(lambda: log.exists() and "engine: group main" in log.read_text(), 30)
    finally:
        process.send_signal(signal.SIGTERM)
        told, _ = process.communicate(timeout=60)
        server.kill()
    assert "redis: redis://default:***@127.0.0.1:" in told
    assert "hush" not in told + log.read_text()


@pytest.fixture
def open_directory():
    """One that a server of another user finds its way to, as Postgres refuses to be root's."""
    with tempfile.TemporaryDirectory(prefix="oms-") as made:
        path = Path(made)
        path.chmod(0o755)
        yield path


@pytest.mark.slow
def test_a_cluster_trades_survives_a_kill_and_stops_in_order(tmp_path, open_directory):
    """With a Redis and a Postgres of its own."""
    psycopg = pytest.importorskip("psycopg")
    program()
    postgres_here()
    place = open_directory / "trial"
    command = [
        sys.executable, str(PROGRAM), "cluster", "--data-dir", str(place), "--engines", "2",
        "--apis", "1", "--broadcasts", "1", "--postgres",
    ]  # fmt: skip
    environment = {k: v for k, v in os.environ.items() if not k.startswith("OMS_")}
    environment["OMS__SCALE__REDIS_URL"] = "redis://127.0.0.1:1/0"  # nobody answers: it has its own
    with (tmp_path / "out").open("wb") as out:
        process = subprocess.Popen(
            command, stdout=out, stderr=out, env=environment, start_new_session=True
        )
    try:
        url = first(lambda: URL.search((place / "api-1" / "output.log").read_text()))
        wait_until(lambda: answers(url, "GET", "/ready") == 200, 60)
        said = {"username": "ann", "email": "ann@example.com", "password": PASSWORD}
        session = Session(url)
        session.good("POST", "/signup", said)
        login = {"username": "ann", "password": PASSWORD}
        session.token = session.good("POST", "/login", login)["token"]
        for symbol in ("BTC_USD", "TATA_INR"):
            order = {"symbol": symbol, "side": "BUY", "quantity": "1", "price": "100"}
            assert session.good("POST", "/order", order)["status"] == "NEW"
        session.close()

        # an engine is killed: the cluster starts it again, and its orders are there
        [pid] = re.findall(r"process (\d+)", (place / "engine-usd" / "output.log").read_text())
        os.kill(int(pid), signal.SIGKILL)
        log = place / "engine-usd" / "output.log"
        wait_until(lambda: len(re.findall(r"process (\d+)", log.read_text())) == 2, 60)
        wait_until(lambda: answers(url, "GET", "/ready") == 200, 60)

        # so is its Redis, which has nothing then
        pids = re.compile(r"^(\d+):M", re.MULTILINE)
        [pid] = set(pids.findall((place / "redis.log").read_text()))
        os.kill(int(pid), signal.SIGKILL)
        wait_until(lambda: len(set(pids.findall((place / "redis.log").read_text()))) == 2, 60)
        wait_until(lambda: answers(url, "GET", "/ready") == 200, 60)

        # and what each group's engine took is in Postgres
        [dsn] = re.findall(r"^postgres: (.*)$", (tmp_path / "out").read_text(), re.MULTILINE)
        with psycopg.connect(dsn, autocommit=True) as looking:
            for group, symbol in (("usd", "BTC_USD"), ("inr", "TATA_INR")):
                asked = f"SELECT symbol FROM public_{group}.order_states"
                wait_until(lambda asked=asked: looking.execute(asked).fetchall(), 60)
                assert looking.execute(asked).fetchall() == [(symbol,)]
    finally:
        os.killpg(process.pid, signal.SIGINT)  # as a terminal's Ctrl-C does
        code = process.wait(60)
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
    assert code == 1  # something had ended by itself
    told = (tmp_path / "out").read_text()
    assert re.findall(r"(\S+) ended with (\S+);", told) == [
        ("engine-usd", "-9"), ("redis", "-9")
    ]  # fmt: skip
    assert "database system is shut down" in (place / "postgres.log").read_text()
    with pytest.raises(psycopg.OperationalError):
        psycopg.connect(dsn)
    for role in ("engine-inr", "engine-usd", "api-1", "broadcast-1"):
        assert (place / role / "output.log").read_text().endswith(" stopped\n"), role
    for group in ("inr", "usd"):  # its Redis has room for both
        log = (place / f"engine-{group}" / "output.log").read_text()
        assert "maxmemory" not in log
        assert "cannot be reached" not in (place / f"filler-{group}" / "output.log").read_text()


def answers(url, method, path):
    session = Session(url, timeout_s=2)
    try:
        return session.ask(method, path).status
    except BROKEN:
        return 0
    finally:
        session.close()


def first(look):
    found = []

    def there():
        with suppress(OSError):
            match = look()
            if match is not None:
                found.append(match.group(1))
        return found

    wait_until(there, 60)
    return found[0]


def postgres_here():
    """Skips the test where there is no Postgres that may be started."""
    from tests.scale.postgres.servers import NoServerError, binary, owner

    try:
        owner()
        binary("initdb")
    except NoServerError as why:
        pytest.skip(str(why))
