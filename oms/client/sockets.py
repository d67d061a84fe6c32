"""Sockets: one WebSocket to the server, opened with the client's credentials.

Flow:  orders, streams -> [socket] -> server
Owner: one event loop. What blocks (a login by HTTP) is done in a thread.
"""

import asyncio
import json
from typing import Any

from oms.client.retry import FailedError, Tries, Verdict, parsed
from oms.client.server import Server
from oms.client.told import GarbledError, Told
from oms.client.transport import LostError
from oms.errors import ServerError

try:
    from websockets.asyncio.client import (  # type: ignore[import-not-found,unused-ignore]
        connect,
    )
    from websockets.exceptions import (  # type: ignore[import-not-found,unused-ignore]
        InvalidStatus,
        WebSocketException,
    )
except ImportError:  # the extra is not installed
    connect = None  # type: ignore[assignment,misc,unused-ignore]

OPEN_S_MAX = 10.0
PING_S = 10.0  # between pings, and until one counts as unanswered
CLOSE_S_MAX = 1.0
MESSAGE_BYTES_MAX = 64 * 1_048_576  # a snapshot of a deep book is one message
FRAMES_MAX = 64  # that are read ahead
EXTRA = "the extra `client` is not installed: pip install 'order-management[client]'"


class Socket:
    """An open WebSocket. `async with` closes it at the end."""

    def __init__(self, connection: Any) -> None:
        self._connection = connection

    async def say(self, message: Told) -> None:
        """Raises LostError."""
        try:
            await self._connection.send(json.dumps(message))
        except (OSError, WebSocketException) as error:
            raise _lost(error) from error

    async def hear(self, seconds: float | None = None) -> Told:
        """The next message, within so many seconds. Raises LostError, GarbledError."""
        try:
            async with asyncio.timeout(seconds):
                message = await self._connection.recv()
        except TimeoutError as error:
            raise LostError(f"no message within {seconds:g} s", sent=True) from error
        except (OSError, WebSocketException) as error:
            raise _lost(error) from error
        told = parsed(message.encode() if isinstance(message, str) else message)
        if not isinstance(told, dict):
            raise GarbledError("a message that is no JSON object")
        return told

    async def __aenter__(self) -> "Socket":
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Safe to repeat."""
        await self._connection.close()


async def open_socket(server: Server) -> Socket:
    """One try. Raises FailedError; ServerError if the extra is not there."""
    if connect is None:
        raise ServerError(EXTRA)
    headers = await asyncio.to_thread(server.headers, "GET", "/ws", b"")
    try:
        connection = await connect(
            server.transport.ws_url, additional_headers=headers, open_timeout=OPEN_S_MAX,
            close_timeout=CLOSE_S_MAX, ping_interval=PING_S, ping_timeout=PING_S,
            max_size=MESSAGE_BYTES_MAX, max_queue=FRAMES_MAX, compression=None, proxy=None,
            ssl=server.transport.tls,
        )  # fmt: skip
    except InvalidStatus as error:
        raise _refused(error.response.status_code) from error
    except (OSError, TimeoutError, WebSocketException, ValueError) as error:
        raise FailedError(Verdict.LATER, _lost(error)) from error
    return Socket(connection)


async def opened(server: Server, tries: Tries) -> Socket:
    """The same until there is one. Raises ServerError once the tries are over."""
    while True:
        try:
            return await open_socket(server)
        except FailedError as failed:
            await again(server, tries, failed)


async def again(server: Server, tries: Tries, failed: FailedError) -> None:
    """Wait for the next try. Raises ServerError: there is none."""
    await asyncio.sleep(tries.pause_s(failed))
    if failed.verdict is Verdict.WHO:
        await renew(server)


async def renew(server: Server) -> None:
    """The server knows no such token or signature."""

    def ask() -> None:
        try:
            server.credentials.refused(server.exchange)
        except ServerError:
            return  # the next try says what is wrong

    await asyncio.to_thread(ask)


async def learn(server: Server, symbols: set[str]) -> None:
    """Have the instruments of these, without a wait of the event loop. Raises ServerError."""
    if any(symbol and server.known(symbol) is None for symbol in symbols):
        await asyncio.to_thread(server.instruments, delisted=True)


def _lost(error: Exception) -> LostError:
    return LostError(f"the WebSocket is lost: {type(error).__name__}: {error}", sent=True)


def _refused(status: int) -> FailedError:
    """The server is there, and opens no WebSocket."""
    verdict = Verdict.WHO if status == 401 else Verdict.NEVER
    if status == 429 or status >= 500:
        verdict = Verdict.LATER
    return FailedError(verdict, ServerError(f"no WebSocket: {status}", status=status))
