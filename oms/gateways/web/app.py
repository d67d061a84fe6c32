"""App: all routes as one application of ASGI, and who may call them.

Flow:  uvicorn -> [app] -> Entry -> its function -> Reply -> [app] -> uvicorn
`POST /order` goes past the router: it is what most requests are, and Starlette's routing costs a
third of what the rest of it does.
"""

import logging
from collections.abc import Sequence
from typing import Any

import msgspec
from starlette.applications import Starlette
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from oms.gateways.web.errors import Reply, error_reply, http_error
from oms.gateways.web.front import Ask, Door, Entry, headers_of, read_all
from oms.gateways.web.limits import ADDRESS
from oms.gateways.web.sockets import Sockets

log = logging.getLogger(__name__)

SECURITY_HEADERS = [
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"no-referrer"),
    (b"cache-control", b"no-store"),
    (
        b"content-security-policy",
        b"default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
        b"connect-src 'self'; font-src 'self'; base-uri 'none'; form-action 'self'; "
        b"frame-ancestors 'none'",
    ),
]
VERSION_PREFIX = "/v1"
SOCKET_PATHS = ("/ws", "/", "/v1/ws")
ID_HEADER = b"x-request-id"
REFUSALS = ("UNAUTHORIZED", "FORBIDDEN", "TOO_MANY_REQUESTS")
encode = msgspec.json.Encoder().encode


class Served:
    """One route as an application of its own: who may call it, its function, its reply."""

    def __init__(self, door: Door, entry: Entry) -> None:
        self._door = door
        self.entry = entry

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        door, entry = self._door, self.entry
        request_id = door.next_id()
        try:
            ask = await self._asked(scope, receive, request_id)
            left = door.allow(entry.cost, ask.client)
            reply = await entry.handler(ask, entry.said(ask))
            reply.headers.update(left)
        except Exception as error:
            reply = error_reply(error, request_id)
            if reply.told["error"]["code"] in REFUSALS:  # the gate logs its own
                log.info(
                    "refused %s %s for %s: %s", entry.method, entry.path,
                    door.keeper.address(scope), reply.told["error"]["code"],
                )  # fmt: skip
        door.counted[entry.method, entry.path, reply.status] += 1
        await send_reply(send, reply, request_id)

    async def _asked(self, scope: Scope, receive: Receive, request_id: str) -> Ask:
        door, entry = self._door, self.entry
        headers = headers_of(scope)
        address = door.keeper.address(scope)
        door.allow(ADDRESS, address)
        body = await read_all(receive) if entry.method != "GET" else b""
        query = scope["query_string"].decode("ascii", "replace")
        caller = await door.keeper.caller(entry.right, scope, headers, address, body)
        return Ask(
            door, request_id, headers, address, scope.get("path_params", {}), query, body, caller
        )


async def send_reply(send: Send, reply: Reply, request_id: str) -> None:
    told = reply.told
    body = told if isinstance(told, bytes) else b"" if told is None else encode(told)
    headers = [
        (b"content-type", reply.content_type.encode()),
        (b"content-length", str(len(body)).encode()),
        (ID_HEADER, request_id.encode()),
        *SECURITY_HEADERS,
        *((name.encode(), value.encode()) for name, value in reply.headers.items()),
    ]
    await send({"type": "http.response.start", "status": reply.status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


class Front:
    """The application: `POST /order` at once, everything else by the router."""

    def __init__(self, door: Door, entries: Sequence[Entry]) -> None:
        self._door = door
        self.entries = tuple(entries)
        routes: list[Any] = []
        for prefix in ("", VERSION_PREFIX):
            routes += [
                Route(prefix + each.path, Served(door, each), methods=[each.method])
                for each in entries
            ]
        self._sockets = Sockets(door, list(entries))
        self._router = Starlette(
            routes=routes,
            exception_handlers={404: _not_found, 405: _not_allowed},
        )
        self._router.state.door = door
        self._place = {
            f"{prefix}/order": Served(door, each)
            for prefix in ("", VERSION_PREFIX)
            for each in entries
            if (each.method, each.path) == ("POST", "/order")
        }

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "websocket" and scope["path"] in SOCKET_PATHS:
            await self._sockets(scope, receive, send)
            return
        if scope["type"] == "http" and scope["method"] == "POST":
            place = self._place.get(scope["path"])
            if place is not None:
                await place(scope, receive, send)
                return
        await self._router(scope, receive, send)


async def _not_found(request: Any, _error: Exception) -> Any:
    return _plain(http_error(404, "NOT_FOUND", "there is no such path: see /docs"), request)


async def _not_allowed(request: Any, _error: Exception) -> Any:
    return _plain(http_error(405, "METHOD_NOT_ALLOWED", "the path has other methods"), request)


def _plain(error: Exception, request: Any) -> ASGIApp:
    """An error of the router in the form that all errors have."""
    door: Door = request.app.state.door
    request_id = door.next_id()
    reply = error_reply(error, request_id)

    async def answer(_scope: Scope, _receive: Receive, send: Send) -> None:
        await send_reply(send, reply, request_id)

    return answer
