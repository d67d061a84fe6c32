"""`cluster`: all roles on one machine, for trying and for tests.

Owner: MainThread. It starts processes, starts those again that end, and ends all of them.
"""

import argparse
import os
import secrets
import signal
import sys
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from types import FrameType

from oms.clock import SystemClock
from oms.commands import EXIT_FAILED, EXIT_OK, AddCommand, Place, whole_number
from oms.commands.children import Child, end
from oms.commands.own_servers import answers, own_postgres, own_redis
from oms.commands.roles import needs_scale
from oms.commands.sandbox import settings_text
from oms.config import CONFIG_PATH, Config, load_config
from oms.errors import ConfigError, GatewayError
from oms.gateways.master import VARIABLE
from oms.sections import ONE_GROUP, groups_by_quote, groups_text
from oms.setting_rules import REDIS, masked
from oms.turn.threads import StopFlag

TICK_S = 0.1
COUNT_MAX = 64
OWN = "own"  # --postgres without a DSN
CLUSTER = """\
Starts engines, apis and broadcasts on this machine, each a process with a directory of its own
below the data directory, and a Redis server if there is none where [scale] redis_url says. What
ends is started again. Without a config.ini in the data directory it writes that of a sandbox: a
market that never closes, and play money for whoever signs up. With [store] kind = postgres each of
several groups has its journal in a schema of its own, such as oms_usd. With [projection] dsn or
--postgres each engine has a db-filler, of several groups into a schema each. Needs the extra
`scale`."""


def add_to(add: AddCommand) -> None:
    option = add("cluster", cluster, "all roles on one machine", CLUSTER)
    option(
        "--engines", metavar="N", type=whole_number(1, COUNT_MAX),
        help="how many; groups go by quote asset unless [scale] names them (default: as there are)",
    )  # fmt: skip
    for name, count in (("apis", 2), ("broadcasts", 1)):
        option(
            f"--{name}", metavar="N", type=whole_number(0, COUNT_MAX), default=count,
            help=f"how many (default: {count})",
        )  # fmt: skip
    option("--redis", metavar="URL", default="", help="a server, instead of [scale] redis_url")
    option(
        "--postgres", metavar="DSN", nargs="?", const=OWN, default="",
        help="instead of [projection] dsn; without DSN: a server of its own, in the data directory",
    )  # fmt: skip


def cluster(args: argparse.Namespace, place: Place) -> int:
    """Until a signal; the exit code."""
    needs_scale()
    place.directory.mkdir(parents=True, exist_ok=True)
    path = _settings(args, place)
    config = load_config(path)
    groups = _groups(config, args.engines)
    stop = StopFlag()
    with ExitStack() as stack:
        for number in (signal.SIGINT, signal.SIGTERM):
            before = signal.signal(number, _stopper(stop))
            stack.callback(signal.signal, number, before)
        environment = _environment(place.directory, groups)
        places = stack.enter_context(
            ExitStack()
        )  # directories of sockets: there until servers have ended
        servers: list[Child] = []
        stack.callback(end, servers)
        told = _servers(args, place.directory, config, groups, environment, places, servers)
        roles = _children(args, place.directory, path, config, list(groups), environment)
        stack.callback(_end, roles)
        told += "".join(f"{each.name}: {each.log}\n" for each in roles)
        print(told, end="", flush=True)
        clock = SystemClock()
        while not stop.is_set():
            for child in (*servers, *roles):
                child.look(clock.monotonic_ns())
            stop.wait(TICK_S)
    return EXIT_OK if not any(each.endings for each in (*servers, *roles)) else EXIT_FAILED


def _stopper(stop: StopFlag) -> Callable[[int, FrameType | None], None]:
    def stopped(_number: int, _frame: FrameType | None) -> None:
        stop.set()

    return stopped


def _settings(args: argparse.Namespace, place: Place) -> Path:
    """The file that all of them go by; made if nobody names one and there is none."""
    given = getattr(args, "config", None)
    path = Path(given) if given else place.directory / CONFIG_PATH.name
    if not given and not path.exists():
        path.write_text(settings_text(), encoding="utf-8")
    return path.absolute()


def _groups(config: Config, engines: int | None) -> dict[str, tuple[str, ...]]:
    """Names and symbols: as [scale] says, else by quote asset, as many as there are to be."""
    groups = config.scale.symbols_by_group
    if groups or engines is None or engines == 1:
        found = groups or {ONE_GROUP: tuple(each.symbol for each in config.instruments)}
        if engines not in (None, len(found)):
            raise ConfigError([f"--engines: expected {len(found)}, one for each group of [scale]"])
        return found
    by_quote = groups_by_quote(config.instruments)
    if len(by_quote) < engines:
        raise ConfigError([
            f"--engines: expected at most {len(by_quote)}, as instruments have so many quote "
            "assets; [scale] market_groups may split them otherwise"
        ])  # fmt: skip
    names = list(by_quote)
    for number, name in enumerate(names[engines:]):  # more assets than engines: some share one
        by_quote[names[number % engines]] += by_quote.pop(name)
    return by_quote


def _environment(directory: Path, groups: dict[str, tuple[str, ...]]) -> dict[str, str]:
    """That of each process; the master secret is kept beside the data, for the next start."""
    root = str(Path(__file__).resolve().parents[2])
    path = directory / "cluster.secret"
    if VARIABLE not in os.environ and not path.exists():
        path.touch(mode=0o600)
        path.write_text(secrets.token_hex(32), encoding="ascii")
    secret = os.environ.get(VARIABLE) or path.read_text(encoding="ascii").strip()
    known = os.environ.get("PYTHONPATH", "")
    return {
        **os.environ, "PYTHONPATH": f"{root}{os.pathsep}{known}" if known else root,
        "OMS__SCALE__MARKET_GROUPS": "" if list(groups) == [ONE_GROUP] else groups_text(groups),
        VARIABLE: secret,
    }  # fmt: skip


def _servers(
    args: argparse.Namespace, directory: Path, config: Config, groups: dict[str, tuple[str, ...]],
    environment: dict[str, str], places: ExitStack, servers: list[Child],
) -> str:  # fmt: skip
    """Where Redis and Postgres are, for the processes and to print. Those that nobody names are
    started, and are in `servers` then."""
    from oms.roles.memory import memory_max

    if args.redis:
        REDIS.check("--redis", args.redis, args.redis)
    named = environment["OMS__SCALE__MARKET_GROUPS"]
    scale = replace(
        config.scale, market_groups=named, redis_url=args.redis or config.scale.redis_url
    )
    url = scale.redis_url
    shared = [name for name in groups if scale.redis_url_of(name) == url]
    if shared and not answers(url):
        if args.redis:
            raise GatewayError(f"--redis {masked(url)}: no server answers there")
        needs = memory_max(scale, shared[0], args.apis + args.broadcasts)
        url = own_redis(directory, sum(needs.values()), places, servers)
    environment["OMS__SCALE__REDIS_URL"] = url
    told = f"redis: {masked(url)}\n" if shared else ""
    told += "".join(
        f"redis of {name}: {masked(scale.redis_url_of(name))}\n"
        for name in groups if name not in shared
    )  # fmt: skip
    if args.postgres == OWN:
        args.postgres = own_postgres(directory, places, servers)
        told += f"postgres: {args.postgres}\n"
    if args.postgres:
        environment["OMS__PROJECTION__DSN"] = args.postgres
    return told


def _children(
    args: argparse.Namespace, directory: Path, path: Path, config: Config, groups: list[str],
    environment: dict[str, str],
) -> list[Child]:  # fmt: skip
    """Each with a directory of its own, and a port that the first start finds free."""

    def child(name: str, *command: str, of: str = "") -> Child:
        own = directory / name
        data = directory / (of or name)
        given = [sys.executable, "-m", "oms", "--config", str(path), "--data-dir", str(data)]
        return Child(name, [*given, *command], dict(environment), own / "output.log")

    engines = [child(f"engine-{name}", "engine", "--group", name) for name in groups]
    fillers = []
    if config.projection.dsn or args.postgres:
        fillers = [child(f"filler-{name}", "db-filler", of=f"engine-{name}") for name in groups]
    if len(groups) > 1:
        store, projection = config.store, config.projection
        for each in (*engines, *fillers):
            group = each.name.partition("-")[2]
            if store.kind == "postgres":
                each.environment["OMS__STORE__SCHEMA"] = f"{store.schema}_{group}"
            each.environment["OMS__PROJECTION__SCHEMA"] = f"{projection.schema}_{group}"
    apis = [child(f"api-{n}", "api", "--port", "0") for n in range(1, args.apis + 1)]
    broadcasts = [
        child(f"broadcast-{n}", "broadcast", "--port", "0") for n in range(1, args.broadcasts + 1)
    ]
    return [*engines, *fillers, *apis, *broadcasts]


def _end(children: list[Child]) -> None:
    """Front doors first, so that nothing is asked of engines that go; fillers last."""
    ends = ("api-", "broadcast-"), ("engine-",), ("filler-",)
    for names in ends:
        end([each for each in children if each.name.startswith(names)])
