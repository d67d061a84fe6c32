"""One connection to Postgres: how it is made, how its errors are told, and whose password it is.

A password is never part of a setting, so nothing can print it: libpq reads it from PGPASSWORD or
from the file of PGPASSFILE (by default ~/.pgpass).
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import psycopg
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from psycopg.rows import scalar_row

from oms.errors import (
    JournalError,
    OutcomeUnknownError,
    StoreBusyError,
    StoreError,
    StoreFullError,
)
from oms.stores import crc_of

# A peer that vanished is noticed within some 10 s; what the DSN says of its own holds.
DEFAULTS = {
    "connect_timeout": "5",
    "keepalives": "1",
    "keepalives_idle": "5",
    "keepalives_interval": "2",
    "keepalives_count": "3",
    "tcp_user_timeout": "10000",
}
# Text goes over the wire in UTF-8, whatever the environment (PGCLIENTENCODING), the DSN or the
# database says. These two keep it as it is; another one has no room for every character.
ENCODING, ENCODINGS_KEPT = "UTF8", ("UTF8", "SQL_ASCII")
CONNECTION_LOST = ("08", "57P")  # classes of SQLSTATE: connection exception, operator intervention
FULL = ("53100", "53200")  # disk full, out of memory
BUSY = ("55P03", "40001", "40P01", "57014", "53300")  # lock, serialization, deadlock, time-out


def connect(dsn: str, name: str) -> psycopg.Connection[tuple[object, ...]]:
    """A connection whose transactions are ours. name: what pg_stat_activity calls it.

    Raises StoreError, naming the server, if it cannot be reached or used.
    """
    try:
        given = conninfo_to_dict(dsn)
        link = psycopg.connect(
            make_conninfo(dsn, **{k: v for k, v in DEFAULTS.items() if k not in given}),
            autocommit=True,
            application_name=name,
            client_encoding=ENCODING,
        )
    except psycopg.Error as error:
        raise StoreError(f"{shown(dsn)}: cannot be reached: {one_line(error)}") from error
    wrong = _unusable(link)
    if wrong:
        link.close()
        raise StoreError(f"{shown(dsn)}: {wrong}")
    return link


@contextmanager
def closed_if_failed(close: Callable[[], object], failed: str) -> Iterator[None]:
    """What a new connection has to do before it may be kept. An error of Postgres is raised as
    StoreError; failed: the beginning of its text."""
    try:
        yield
    except BaseException as error:
        close()
        if isinstance(error, psycopg.Error):
            raise StoreError(f"{failed}: {one_line(error)}") from error
        raise


def _unusable(link: psycopg.Connection[Any]) -> str:
    """Why the server or the database at the other end is not one for us; "" if it is."""
    told = link.info.parameter_status
    if link.info.server_version < 130000:
        return f"expected Postgres 13 or later, was {told('server_version')}"
    if told("server_encoding") not in ENCODINGS_KEPT:
        return f"expected a database in {ENCODING}, was {told('server_encoding')}"
    return ""


def dsn_of(**given: str) -> str:
    """A connection string, with what needs quotes in quotes."""
    return make_conninfo(**given)


def value_of(link: psycopg.Connection[Any], query: str, arguments: Sequence[object] = ()) -> Any:
    """The one value that a query gives; None where it gives no row."""
    return link.cursor(row_factory=scalar_row).execute(query, arguments).fetchone()


def use_schema(link: psycopg.Connection[Any], schema: str, *, make: bool = False) -> None:
    """Every table is looked for and made there, and nowhere else. make: it, if it is not there."""
    named, query = sql.Identifier(schema), "SELECT nspname FROM pg_namespace WHERE nspname = %s"
    if make and value_of(link, query, (schema,)) is None:
        link.execute(sql.SQL("CREATE SCHEMA IF NOT EXISTS {}").format(named))
    link.execute(sql.SQL("SET search_path = {}").format(named))


def lock_key(kind: int, schema: str) -> int:
    """Of an advisory lock: one for each schema of a database."""
    return kind << 32 | crc_of(schema.encode())


def shown(dsn: str) -> str:
    """Where it is, for a person: user, host, port and database, and nothing else."""
    try:
        given = conninfo_to_dict(dsn)
    except psycopg.Error:
        return "postgres"
    user = f"{given['user']}@" if given.get("user") else ""
    host, port = given.get("host") or "localhost", given.get("port")
    at = f"{host}:{port}" if port else host
    return f"postgres {user}{at}/{given.get('dbname') or given.get('user') or ''}"


def one_line(error: BaseException) -> str:
    return " ".join(str(error).split())


def is_lost(error: psycopg.Error) -> bool:
    """The server ended the connection, or nobody answers there."""
    state = error.sqlstate or ""
    return state.startswith(CONNECTION_LOST) or (
        not state and isinstance(error, psycopg.OperationalError)
    )


def translated(error: psycopg.Error, doing: str) -> StoreError:
    """What an error of Postgres means for what was being stored, before its commit."""
    text, state = f"{doing}: {one_line(error)}", error.sqlstate or ""
    if state in FULL:
        return StoreFullError(text)
    if state in BUSY:
        return StoreBusyError(text)
    if state.startswith("XX"):  # data or index corrupted
        return JournalError(text)
    return OutcomeUnknownError(text) if is_lost(error) else StoreError(text)
