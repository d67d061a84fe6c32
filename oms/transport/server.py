"""Server: one way to call Redis: every call has a time-out and is made once.

redis-py's client repeats commands by itself. A repeated XADD would be a second request, so here is
a connection of redis-py without the client: what became of a call that failed is unknown, and ids
settle it. Measured: a call costs 12 us of processor time, and 33 us by the client.

A connection that finds another run of Redis than before, which was started again or is the primary
after a failover, fails first: what was there may be lost, and whoever calls looks what is.
Owner: each thread that calls Redis has a Server of its own.
"""

import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from redis.backoff import NoBackoff
from redis.exceptions import (
    AuthenticationError,
    NoPermissionError,
    NoScriptError,
    OutOfMemoryError,
    ReadOnlyError,
    RedisError,
    ResponseError,
)
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError
from redis.retry import Retry
from redis.sentinel import MasterNotFoundError

from oms.circuit import Circuit
from oms.clock import NANOS
from oms.errors import FencedError, TransportError
from oms.sections import ScaleConfig
from oms.transport.scripts import FENCED, Script
from oms.transport.sentinel import client_of

log = logging.getLogger(__name__)

BLOCK_S = 0.5  # how long a read may wait for an entry
UNREACHABLE = (RedisConnectionError, RedisTimeoutError)
FULL = "OOM"
CODES = {NoPermissionError: "NOPERM", OutOfMemoryError: FULL}  # which redis-py takes off the text
# Redis 6 says in the words of its own what a script met.
NO_PRIMARY = ("-READONLY", "NOREPLICAS")

Entry = tuple[bytes, list[bytes] | None]
"""The id of an entry, and its fields and values in turns; None: it was deleted meanwhile."""


class ServerRefusalError(TransportError):
    """Redis answered, by an error. code: its first word, such as NOGROUP."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.code = text.partition(" ")[0]


class Server:
    """Calls of one Redis server. Raises TransportError from every call; FencedError where the
    caller is an engine that another has taken the place of.

    url: [scale] redis_url. timeout_s: of each call, of connecting, and of each Sentinel that is
    asked. reads: its calls may wait BLOCK_S for an entry. run_id: of the server that it last was
    connected to, as INFO has it; "" before.
    """

    def __init__(self, url: str, timeout_s: float, *, reads: bool = False) -> None:
        self.run_id = ""
        own: dict[str, Any] = {} if url.startswith("unix:") else {"socket_keepalive": True}
        self._client: Any = client_of(
            url, protocol=2, decode_responses=False, retry=Retry(NoBackoff(), 0),
            socket_timeout=timeout_s + (BLOCK_S if reads else 0), socket_connect_timeout=timeout_s,
            health_check_interval=0, redis_connect_func=self._look, **own,
        )  # fmt: skip
        self._connection: Any = self._client.connection_pool.make_connection()

    def close(self) -> None:
        self._connection.disconnect()
        sentinel = getattr(self._client.connection_pool, "sentinel_manager", None)
        for each in sentinel.sentinels if sentinel is not None else ():
            each.close()

    def _look(self, connection: Any) -> None:
        """Right after a connection is made: is it to a primary, and to the same as before?"""
        connection.on_connect()
        connection.send_command("INFO")
        facts = facts_of(connection.read_response())
        if facts.get("cluster_enabled") == "1":
            raise RedisConnectionError("a Redis Cluster: expected a server by itself, see scale.md")
        role = facts.get("role", "")
        if role != "master":
            raise RedisConnectionError(f"INFO: expected role master, of a primary; was {role!r}")
        before, self.run_id = self.run_id, facts.get("run_id", "")
        if before not in ("", self.run_id):
            raise RedisConnectionError("another run of Redis: what it had may be lost")

    def call(self, *command: Any) -> Any:
        """The answer to one command, as Redis gives it."""
        return self._guarded(self._execute, *command)

    def all(self, commands: Sequence[tuple[Any, ...]]) -> list[Any]:
        """The answers to several commands, sent together; the first error is raised."""
        return list(self._guarded(self._execute_all, commands))

    def run(
        self, script: Script, keys: Sequence[str], arguments: Sequence[Any],
        waiting: dict[str, str] | None = None,
    ) -> Any:  # fmt: skip
        """Have a script run: in one step, or not at all. waiting: before it, wait BLOCK_S for an
        entry of these streams behind these ids."""
        command = (len(keys), *keys, *arguments)
        before = [_wait(waiting)] if waiting else []
        try:
            return self.all([*before, ("EVALSHA", script.digest, *command)])[-1]
        except NoScriptError:  # it was not run: the server is new
            return self.call("EVAL", script.text, *command)

    def read(self, ids: dict[str, str], count: int) -> dict[str, list[Entry]]:
        """Up to `count` entries of each stream behind these ids; waits BLOCK_S for the first. Redis
        before 7.2 tells who waits of one stream alone, so the others are read behind that."""
        reading = ("XREAD", "COUNT", count, "STREAMS", *ids, *ids.values())
        found = self.all([_wait(ids), reading])[-1]
        return {name.decode(): entries for name, entries in found or ()}

    def _execute(self, *command: Any) -> Any:
        connection = self._sound()
        connection.send_command(*command)
        return connection.read_response()

    def _execute_all(self, commands: Sequence[tuple[Any, ...]]) -> list[Any]:
        connection = self._sound()
        connection.send_packed_command(connection.pack_commands(commands))
        answers, errors = list[Any](), list[ResponseError]()
        for _ in commands:
            try:
                answers.append(connection.read_response())
            except ResponseError as error:
                errors.append(error)
        if errors:
            raise errors[0]
        return answers

    def _sound(self) -> Any:
        """The connection; made anew where the server has closed it since the last call."""
        connection = self._connection
        connection.connect()
        try:
            sound = not connection.can_read()
        except UNREACHABLE:
            sound = False
        if not sound:
            connection.disconnect()
            connection.connect()
        return connection

    def _guarded(self, call: Callable[..., Any], *given: Any) -> Any:
        try:
            return call(*given)
        except NoScriptError:
            raise
        except MasterNotFoundError as error:
            # Behind that it says how each Sentinel is called: with a password, perhaps.
            raise TransportError(f"Redis: {str(error).partition(' : ')[0]}") from None
        except RedisError as error:
            text = str(error)
            if is_lost(error):
                # An answer that comes late must not be taken for that to the next call.
                self._connection.disconnect()
                if isinstance(error, AuthenticationError):
                    raise ServerRefusalError(f"NOAUTH {text}") from error
                raise TransportError(f"Redis: {text}") from error
            if text.startswith(FENCED):
                raise FencedError(text) from error
            for kind, code in CODES.items():
                if isinstance(error, kind) and not text.startswith(code):
                    text = f"{code} {text}"
            raise ServerRefusalError(text) from error


def server_of(scale: ScaleConfig, group: str, *, reads: bool = False) -> Server:
    """The Redis of a group of markets."""
    return Server(scale.redis_url_of(group), scale.call_timeout_ns / NANOS, reads=reads)


class SideServer:
    """The Server of what is called now and then beside a link. Raises TransportError while the link
    fails. Is another one once it has failed: else a primary that was, and woke up, would answer.
    What was lost its caller finds out: what it calls tells of which memory it is.

    circuit: the link's.
    """

    def __init__(self, make: Callable[[], Server], circuit: Circuit) -> None:
        self._make, self._circuit = make, circuit
        self._server: Server | None = None
        self._losses = 0

    def get(self) -> Server:
        circuit = self._circuit
        if circuit.failures:
            raise TransportError(circuit.why)
        if self._losses != circuit.losses:
            self._losses = circuit.losses
            self.close()
        server = self._server = self._server or self._make()
        server.run_id = ""
        return server

    def close(self) -> None:
        if self._server is not None:
            self._server.close()
            self._server = None


def is_lost(error: RedisError) -> bool:
    """Is it the connection that failed, or did it lead to what is no primary any more?"""
    if isinstance(error, (*UNREACHABLE, ReadOnlyError)):
        return True
    return any(word in str(error) for word in NO_PRIMARY)


def _wait(ids: dict[str, str]) -> tuple[Any, ...]:
    """The command; what is sent behind it is done as soon as it ends."""
    return ("XREAD", "COUNT", 1, "BLOCK", int(BLOCK_S * 1000), "STREAMS", *ids, *ids.values())


def payload(entry: Entry) -> tuple[bytes, bytes]:
    """Version and content of an entry; empty where it has none."""
    fields = entry[1] or []
    if len(fields) == 4 and fields[0] == b"v" and fields[2] == b"e":
        return fields[1], fields[3]  # as this program writes them
    pairs = dict(zip(fields[::2], fields[1::2], strict=True))
    return pairs.get(b"v", b""), pairs.get(b"e", b"")


def check_server(server: Server) -> int:
    """Refuse a server that would throw entries away. Its maxmemory in bytes; 0: it has none. Raises
    TransportError."""
    facts = facts_of(server.call("INFO", "memory"))
    policy = facts.get("maxmemory_policy", "")
    if policy != "noeviction":
        raise ServerRefusalError(
            f"EVICTION maxmemory-policy: expected noeviction, was {policy!r}: under another one "
            "Redis throws away requests that are not answered"
        )
    return int(facts.get("maxmemory", "0"))


def warn_of_memory(memory: int, needs: Mapping[str, int]) -> None:
    """Say what a careful server has. memory: its maxmemory. needs: bytes that may be taken, by what
    they are for."""
    if not memory:
        log.warning("Redis has no maxmemory: without one it takes memory until the system ends it")
    elif memory < sum(needs.values()):
        told = ", ".join(f"{name} {_megabytes(size)}" for name, size in needs.items())
        log.warning(
            "Redis has a maxmemory of %s, and may need %s (%s): while it is full, apis answer 503",
            _megabytes(memory), _megabytes(sum(needs.values())), told,
        )  # fmt: skip


def _megabytes(size: int) -> str:
    return f"{size // 10**6} MB"


def facts_of(text: bytes) -> dict[str, str]:
    """INFO's lines by name."""
    lines = (line.partition(":") for line in text.decode().splitlines())
    return {name: value for name, colon, value in lines if colon}
