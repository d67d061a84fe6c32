"""Postgres servers of the tests' own: each in a directory of its own, gone with it."""

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import psycopg

SOON_S = 30.0
QUICK = {  # what is tested is not the disk; a test that is about commits says so
    "fsync": "off", "synchronous_commit": "on", "full_page_writes": "off",
    "shared_buffers": "32MB", "max_connections": "40", "autovacuum": "off",
    "listen_addresses": "", "log_min_messages": "fatal", "max_wal_senders": "4",
}  # fmt: skip


class NoServerError(Exception):
    """There is none on this machine."""


def binary(name: str) -> str:
    """The program of the newest Postgres here."""
    on_path = shutil.which(name)
    if on_path is not None:
        return on_path
    places = list(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"))
    if not places:
        raise NoServerError(f"no Postgres server is installed: {name} is missing")
    return str(max(places, key=lambda path: int(path.parts[4])))


def owner() -> pwd.struct_passwd | None:
    """The user whose server it is: Postgres refuses to run as root."""
    if os.geteuid() != 0:
        return None
    try:
        return pwd.getpwnam("postgres")
    except KeyError:
        raise NoServerError(
            "Postgres refuses to run as root, and there is no user postgres"
        ) from None


class PostgresServer:
    """started: `with PostgresServer() as server`. settings: of postgresql.conf, None
    for what the server itself has. copy_of: a server that this one is a streaming standby of."""

    def __init__(self, copy_of: "PostgresServer | None" = None, **settings: str | None) -> None:
        self.owner = owner()
        self.directory = Path(tempfile.mkdtemp(prefix="oms-pg-"))
        self.data = self.directory / "data"
        self._settings = {**QUICK, **settings, "unix_socket_directories": str(self.directory)}
        self._process: subprocess.Popen[bytes]
        self._names = iter(range(10**6))
        if self.owner is not None:
            os.chown(self.directory, self.owner.pw_uid, self.owner.pw_gid)
        if copy_of is None:
            self.run(
                "initdb", "-D", self.data, "-U", "postgres", "-A", "trust", "--no-sync", "-E",
                "UTF8", "--locale=C",
            )  # fmt: skip
        else:
            self.run(
                "pg_basebackup", "-D", self.data, "-R", "--no-sync", "-c", "fast", "-X", "stream",
                "-d", copy_of.dsn("postgres"),
            )  # fmt: skip

    def __enter__(self) -> "PostgresServer":
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.remove()

    def run(self, name: str, *arguments: object) -> str:
        """One program of Postgres, as the server's user."""
        done = subprocess.run(
            [binary(name), *map(str, arguments)], capture_output=True, text=True, cwd="/",
            timeout=SOON_S, **self._as(),
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        return str(done.stdout)

    def _as(self) -> dict[str, Any]:
        if self.owner is None:
            return {}
        return {"user": self.owner.pw_uid, "group": self.owner.pw_gid, "extra_groups": []}

    @property
    def running(self) -> bool:
        return hasattr(self, "_process") and self._process.poll() is None

    @property
    def pid(self) -> int:
        return self._process.pid

    def start(self, *, wait: bool = True) -> "PostgresServer":
        options = [
            word
            for name, value in self._settings.items()
            if value is not None
            for word in ("-c", f"{name}={value}")
        ]
        with (self.directory / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [binary("postgres"), "-D", str(self.data), *options], stdout=log, stderr=log,
                cwd="/", start_new_session=True, **self._as(),
            )  # fmt: skip
        if wait:
            self.wait()
        return self

    def wait(self) -> None:
        """Until it takes connections."""
        deadline = time.monotonic() + SOON_S
        while True:
            try:
                psycopg.connect(self.dsn("postgres")).close()
            except psycopg.OperationalError:
                assert self._process.poll() is None, (self.directory / "log").read_text()
                assert time.monotonic() < deadline, "the server does not start"
                time.sleep(0.02)
            else:
                return

    def dsn(self, database: str) -> str:
        return f"host={self.directory} user=postgres dbname={database}"

    def new_database(self, name: str = "", encoding: str = "UTF8") -> str:
        """Its connection string."""
        name = name or f"test_{next(self._names)}"
        with psycopg.connect(self.dsn("postgres"), autocommit=True) as connection:
            made = f"CREATE DATABASE {name} ENCODING '{encoding}' TEMPLATE template0"
            connection.execute(made)
        return self.dsn(name)

    def pids(self) -> list[int]:
        """The server's processes, its own first."""
        found = [self.pid]
        for path in Path("/proc").glob("[0-9]*/stat"):
            with suppress(OSError):
                if path.read_text().rpartition(")")[2].split()[1] == str(self.pid):
                    found.append(int(path.parent.name))
        return found

    def signal(self, number: int) -> None:
        """To all of its processes."""
        for pid in self.pids():
            with suppress(ProcessLookupError):
                os.kill(pid, number)

    def kill(self) -> None:
        """As a power loss of the machine would, but for the disk's own memory."""
        self.signal(signal.SIGSTOP)  # so that none starts another one meanwhile
        self.signal(signal.SIGKILL)
        self._process.wait(SOON_S)

    def stop(self) -> None:
        """At once, in order."""
        if self.running:
            self.signal(signal.SIGCONT)
            self._process.send_signal(signal.SIGINT)
            self._process.wait(SOON_S)

    def remove(self) -> None:
        self.stop()
        shutil.rmtree(self.directory, ignore_errors=True)
