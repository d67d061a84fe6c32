"""Servers that `cluster` starts of its own, from programs of this machine: Redis and Postgres.

Owner: MainThread. Each is added to the caller's servers before it is waited for, so that it is
ended whatever happens.
"""

import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Callable
from contextlib import ExitStack
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from oms.clock import NANOS, SystemClock
from oms.commands.children import Child
from oms.errors import GatewayError, StoreError, TransportError
from oms.turn.threads import StopFlag

LOOK_S = 0.02
START_S_MAX = 20.0
SOCKET_PATH_MAX = 80  # bytes of its directory: a system takes 100 at least
REDIS_PROGRAMS = ("redis-server", "valkey-server")
INSTALLED = Path("/usr/lib/postgresql")  # where Debian has each version's programs
SERVER_USER = "postgres"


def answers(url: str) -> bool:
    """Is there a Redis server?"""
    from oms.transport.server import Server

    server = Server(url, 1.0)
    try:
        server.call("PING")
    except TransportError:
        return False
    finally:
        server.close()
    return True


def own_redis(directory: Path, memory_bytes: int, places: ExitStack, servers: list[Child]) -> str:
    """The url of a new server behind a socket that only this user may open. memory_bytes: what it
    may take. Raises GatewayError."""
    program = next((found for each in REDIS_PROGRAMS if (found := shutil.which(each))), None)
    if program is None:
        raise GatewayError(
            "no server answers at [scale] redis_url, and there is no redis-server to start; "
            "`apt-get install redis-server` brings one, or --redis names one"
        )
    path = _socket_directory(directory, places) / "redis.sock"
    path.unlink(missing_ok=True)
    command = [
        program, "--port", "0", "--unixsocket", str(path), "--unixsocketperm", "600",
        "--save", "", "--appendonly", "no", "--maxmemory", str(memory_bytes),
        "--maxmemory-policy", "noeviction", "--dir", str(directory.absolute()),
    ]  # fmt: skip
    url = f"unix://{path}"
    child = Child("redis", command, dict(os.environ), directory / "redis.log", options={"cwd": "/"})
    _start(child, lambda: path.exists() and answers(url), servers)
    return url


def own_postgres(directory: Path, places: ExitStack, servers: list[Child]) -> str:
    """The connection string of a server behind a socket that only its user may open. Its data is in
    `postgres` below the directory, and is there at the next start. Raises GatewayError."""
    if find_spec("psycopg") is None:
        raise GatewayError(
            "--postgres: a package is missing: psycopg; pip install '.[postgres]' has it"
        )
    from oms.stores.postgres_link import connect, dsn_of

    initdb, postgres = _postgres_program("initdb"), _postgres_program("postgres")
    home = directory.absolute() / "postgres"
    home.mkdir(exist_ok=True)
    account = _server_account(home)
    if not (home / "data" / "PG_VERSION").exists():
        words = ["-D", home / "data", "-U", SERVER_USER, "-A", "trust", "-E", "UTF8"]
        made = subprocess.run(
            [initdb, *map(str, words), "--locale=C"], capture_output=True, text=True, cwd="/",
            check=False, **account,
        )  # fmt: skip
        if made.returncode:
            raise GatewayError(f"--postgres: {initdb}: {' '.join(made.stderr.split())}")
    sockets = _socket_directory(home, places, account)
    settings = {
        "listen_addresses": "", "unix_socket_directories": str(sockets),
        "unix_socket_permissions": "0700",
    }  # fmt: skip
    command = [postgres, "-D", str(home / "data")]
    for name, value in settings.items():
        command += ["-c", f"{name}={value}"]
    dsn = dsn_of(host=str(sockets), user=SERVER_USER, dbname="postgres")

    def there() -> bool:
        try:
            connect(dsn, "oms cluster").close()
        except StoreError:
            return False
        return True

    child = Child(
        "postgres", command, dict(os.environ), directory / "postgres.log", signal.SIGINT,
        {"cwd": "/", **account},
    )  # fmt: skip
    _start(child, there, servers)
    return dsn


def _postgres_program(name: str) -> str:
    """On the path, else that of the newest version which is installed."""
    on_path = shutil.which(name)
    if on_path is not None:
        return on_path
    found = [each for each in INSTALLED.glob(f"*/bin/{name}") if each.parts[-3].isdigit()]
    if not found:
        raise GatewayError(
            f"--postgres: there is no program {name} to start a server with; "
            "`apt-get install postgresql` brings one, or --postgres DSN names a server"
        )
    return str(max(found, key=lambda path: int(path.parts[-3])))


def _server_account(home: Path) -> dict[str, Any]:
    """As whom Popen starts Postgres: it refuses to run as root. The directory becomes theirs."""
    if os.geteuid() != 0:
        return {}
    import pwd  # not every system has it

    try:
        user = pwd.getpwnam(SERVER_USER)
    except KeyError:
        raise GatewayError(
            f"--postgres: Postgres refuses to run as root, and there is no user {SERVER_USER}"
        ) from None
    os.chown(home, user.pw_uid, user.pw_gid)
    return {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}


def _socket_directory(
    directory: Path, places: ExitStack, account: dict[str, Any] | None = None
) -> Path:
    """That directory, unless its name is too long for the name of a socket."""
    path = directory.absolute()
    if len(os.fsencode(path)) > SOCKET_PATH_MAX:
        path = Path(places.enter_context(tempfile.TemporaryDirectory()))
        if account:
            os.chown(path, account["user"], account["group"])
    return path


def _start(child: Child, there: Callable[[], bool], servers: list[Child]) -> None:
    """Start it, and wait until it is there."""
    clock, waiting = SystemClock(), StopFlag()
    servers.append(child)
    child.start(clock.monotonic_ns())
    due_ns = child.started_ns + int(START_S_MAX * NANOS)
    while not there():
        assert child.process is not None
        if child.process.poll() is not None or clock.monotonic_ns() > due_ns:
            raise GatewayError(f"{child.command[0]} did not start; see {child.log}")
        waiting.wait(LOOK_S)
