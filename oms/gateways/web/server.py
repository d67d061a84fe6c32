"""Server: the addresses that are listened on, and the thread that serves them.

Flow:  sockets -> uvicorn -> app; all on the thread oms-web, in an event loop of its own.
uvicorn leaves signals alone on a thread that is not the main one; `wake` has it stop in order.
"""

import asyncio
import logging
import resource
import socket
import ssl
from collections.abc import Sequence
from contextlib import suppress
from typing import NamedTuple

import uvicorn
import uvloop

from oms.errors import GatewayError
from oms.gateways.gate import Gate
from oms.gateways.web.app import Front
from oms.gateways.web.frames import FrameProtocol
from oms.gateways.web.front import Door

log = logging.getLogger(__name__)

BACKLOG = 2_048
CONNECTIONS_MAX = 12_000
KEEP_ALIVE_S = 30
STOP_S = 1
FILES_WANTED = 65_536
FILES_BESIDE = 64  # that are not connections
FRAME_BYTES_MAX = 65_536


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
        certificate: str = "",
        key: str = "",
    ) -> None:
        self._door = door
        self.front = front
        self._addresses = addresses
        self._sockets: list[socket.socket] = []
        config = uvicorn.Config(
            front, http="httptools", ws=FrameProtocol, loop="uvloop", lifespan="off",
            interface="asgi3", log_config=None, access_log=False, proxy_headers=False,
            server_header=False, date_header=True, timeout_keep_alive=KEEP_ALIVE_S,
            timeout_graceful_shutdown=STOP_S, limit_concurrency=CONNECTIONS_MAX,
            ws_max_size=FRAME_BYTES_MAX, ws_per_message_deflate=False,
            ssl_certfile=certificate or None, ssl_keyfile=key or None,
        )  # fmt: skip
        self._server = uvicorn.Server(config)
        self.urls: list[str] = []
        self._scheme = "https" if certificate else "http"

    def open(self) -> None:
        """Listen; what comes before the thread runs waits in the kernel."""
        raise_file_limit()
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
                raise GatewayError(f"[web] listen = {where}: {error.strerror}") from error
            self._sockets.append(listening)
            port = listening.getsockname()[1]
            self.urls.append(f"{self._scheme}://{address.url_host}:{port}")

    def close(self) -> None:
        for each in self._sockets:
            each.close()
        self._sockets.clear()

    def step(self) -> None:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(self._serve())

    async def _serve(self) -> None:
        self._door.open(asyncio.get_running_loop())
        log.info("web: %s", ", ".join(self.urls))
        await self._server.serve(sockets=self._sockets)

    def finish(self) -> None:
        self.close()

    def wake(self) -> None:
        self._server.should_exit = True


def raise_file_limit() -> None:
    """As many connections as we take need as many files; said if that cannot be."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = FILES_WANTED if hard == resource.RLIM_INFINITY else min(FILES_WANTED, hard)
    if soft < wanted:
        with suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
        soft = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    if soft < CONNECTIONS_MAX + FILES_BESIDE:
        log.warning("at most %d files may be open: so many connections are too many", soft)
