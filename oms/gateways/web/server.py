"""Server: the addresses that are listened on, and the thread that serves them.

Flow:  sockets -> uvicorn -> app; all on the thread oms-web, in an event loop of its own.
uvicorn leaves signals alone on a thread that is not the main one; `wake` has it stop in order.
"""

import asyncio
import errno
import logging
import socket
import ssl
import sys
from collections.abc import Sequence
from contextlib import suppress
from typing import NamedTuple

import uvicorn

from oms.errors import GatewayError
from oms.gateways.gate import Gate
from oms.gateways.web.app import Front
from oms.gateways.web.connections import CONNECTIONS_MAX, Connections
from oms.gateways.web.door import Door
from oms.gateways.web.lines import HEAD_S_MAX, LineProtocol
from oms.sections import WebConfig

try:
    import resource
except ImportError:  # Windows: it has no such limit
    resource = None  # type: ignore[assignment]
try:
    import uvloop
except ImportError:  # Windows: asyncio's own loop is slower, and does
    uvloop = None  # type: ignore[assignment]

log = logging.getLogger(__name__)

DAY_S = 86_400
BACKLOG = 2_048
STOP_S = 1
# The loop and the dispatcher share the interpreter lock. With Python's own 5 ms one of them waits
# so long for the other again and again. A turn takes about 1 ms, and so does a round of the loop:
# with less than this both are cut to pieces, and an order costs a tenth more.
SWITCH_S = 0.002
FILES_WANTED = 65_536
FILES_BESIDE = 64  # that are not connections
FRAME_BYTES_MAX = 65_536
LOOP = uvloop.new_event_loop if uvloop is not None else asyncio.new_event_loop
WILDCARDS = {"0.0.0.0": "127.0.0.1", "[::]": "[::1]"}  # every address -> this machine's own


class Address(NamedTuple):
    """Where to listen: an address of this machine, a port (0: any that is free)."""

    host: str
    port: int

    @classmethod
    def of(cls, text: str) -> "Address":
        host, _, port = text.strip().rpartition(":")
        return cls(host.strip("[]"), int(port))

    @property
    def url_host(self) -> str:
        return f"[{self.host}]" if ":" in self.host else self.host


class Listener(uvicorn.Server):
    """uvicorn's server, whose connections are bounded from their first byte."""

    def __init__(self, config: uvicorn.Config, connections: Connections) -> None:
        super().__init__(config)
        self._connections = connections

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        config, loop = self.config, asyncio.get_running_loop()

        def connected() -> LineProtocol:
            return LineProtocol(
                self._connections, config=config, server_state=self.server_state, app_state={},
                _loop=loop,
            )  # fmt: skip

        handshake_s = HEAD_S_MAX if config.ssl is not None else None
        self.servers = [
            await loop.create_server(
                connected, sock=each, ssl=config.ssl, backlog=BACKLOG,
                ssl_handshake_timeout=handshake_s,
            )
            for each in sockets or ()
        ]  # fmt: skip
        self.started = True


class WebServer:
    """A Job of the thread oms-web: one step serves until it is woken.

    Raises GatewayError from `open` if an address cannot be had. gate: who lets its callers in.
    """

    gate: Gate

    def __init__(
        self,
        door: Door,
        front: Front,
        addresses: Sequence[Address],
        web: WebConfig,
    ) -> None:
        certificate, hsts_s = web.tls_certificate, web.hsts_days * DAY_S
        self._door = door
        self.front = front
        self._addresses = addresses
        self._sockets: list[socket.socket] = []
        config = uvicorn.Config(
            front, http=LineProtocol, loop="none", lifespan="off", interface="asgi3",
            log_config=None, log_level="warning",  # at INFO it logs paths, tickets in them
            access_log=False, proxy_headers=False, server_header=False, date_header=True,
            timeout_graceful_shutdown=STOP_S, ws_max_size=FRAME_BYTES_MAX,
            ws_per_message_deflate=False,
            ssl_certfile=certificate or None, ssl_keyfile=web.tls_key or None,
            headers=[("strict-transport-security", f"max-age={hsts_s}")] if hsts_s else [],
        )  # fmt: skip
        self.connections = Connections(door)
        self._server = Listener(config, self.connections)
        self.urls: list[str] = []
        self._scheme = "https" if certificate else "http"

    def open(self) -> None:
        """Listen; what comes before the thread runs waits in the kernel."""
        raise_file_limit()
        sys.setswitchinterval(min(sys.getswitchinterval(), SWITCH_S))
        try:
            self._server.config.load()
        except (OSError, ssl.SSLError) as error:
            raise GatewayError(f"[web] tls_certificate, tls_key: {error}") from error
        for address in self._addresses:
            try:
                family = socket.AF_INET6 if ":" in address.host else socket.AF_INET
                listening = socket.create_server(
                    (address.host, address.port), family=family, backlog=BACKLOG
                )
            except OSError as error:
                self.close()
                where = f"{address.url_host}:{address.port}"
                raise GatewayError(f"[web] listen = {where}: {why(error)}") from error
            self._sockets.append(listening)
            port = listening.getsockname()[1]
            self.urls.append(f"{self._scheme}://{address.url_host}:{port}")

    @property
    def own_url(self) -> str:
        """Where a browser on this machine finds it."""
        scheme, _, place = self.urls[0].partition("://")
        host, _, port = place.rpartition(":")
        return f"{scheme}://{WILDCARDS.get(host, host)}:{port}"

    def close(self) -> None:
        for each in self._sockets:
            each.close()
        self._sockets.clear()
        self._door.close()

    def step(self) -> None:
        with asyncio.Runner(loop_factory=LOOP) as runner:
            runner.run(self._serve())

    async def _serve(self) -> None:
        self._door.open(asyncio.get_running_loop())
        log.info("web: %s", ", ".join(self.urls))
        serving = asyncio.create_task(self._server.serve(sockets=self._sockets))
        watching = asyncio.create_task(self.connections.watch())
        await asyncio.wait((serving, watching), return_when=asyncio.FIRST_COMPLETED)
        self._server.should_exit = True
        await serving
        if watching.done():
            watching.result()  # raises what it has died of
        watching.cancel()

    def finish(self) -> None:
        self.close()

    def wake(self) -> None:
        self._server.should_exit = True


def why(error: OSError) -> str:
    """Why an address cannot be had, and what helps."""
    if error.errno == errno.EADDRINUSE:
        return "another program listens there; take another port, as with serve --listen"
    if error.errno == errno.EACCES:
        return "this user may not; ports below 1024 are for root, so put a proxy there"
    return error.strerror or str(error)


def raise_file_limit() -> None:
    """As many connections as we take need as many files; said if that cannot be."""
    if resource is None:
        return
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = FILES_WANTED if hard == resource.RLIM_INFINITY else min(FILES_WANTED, hard)
    if soft < wanted:
        with suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
        soft = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    if soft < CONNECTIONS_MAX + FILES_BESIDE:
        log.warning("at most %d files may be open: so many connections are too many", soft)
