"""App: all routes as one application of ASGI, and who may call them.

Flow:  uvicorn -> [app] -> Entry -> its function -> Reply -> [app] -> uvicorn
`POST /order` goes past the router: it is what most requests are, and Starlette's routing costs a
third of what the rest of it does.
"""

from collections.abc import Awaitable, Sequence
from typing import Any

from starlette.applications import Starlette
from starlette.routing import Match, Route
from starlette.types import ASGIApp, Receive, Scope, Send

from oms.gateways.web.counts import NO_ROUTE
from oms.gateways.web.door import Door
from oms.gateways.web.errors import HttpError, Reply, error_reply, http_error, log_refused
from oms.gateways.web.front import Ask, Entry, headers_of, read_all
from oms.gateways.web.limits import ADDRESS
from oms.gateways.web.pools import CLIENT
from oms.gateways.web.replies import refuse_socket, send_reply
from oms.gateways.web.sockets import Sockets

VERSION_PREFIX = "/v1"
SOCKET_PATHS = ("/ws", "/", "/v1/ws")
PREFLIGHT = {
    "access-control-allow-methods": "GET, POST, PATCH, DELETE",
    "access-control-allow-headers": "authorization, content-type, x-api-key, x-api-time, "
    "x-api-nonce, x-api-signature",
    "access-control-max-age": "600",
}
# No router before these: it would take half as long as the order.
AT_ONCE = {
    ("POST", "/order"), ("POST", "/orders"), ("DELETE", "/order"), ("POST", "/order/cancel_all"),
}  # fmt: skip


class Served:
    """One route as an application of its own: who may call it, its function, its reply."""

    def __init__(self, door: Door, entry: Entry) -> None:
        self._door = door
        self.entry = entry

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        door, entry = self._door, self.entry
        request_id, began_ns = door.next_id(), door.oms.clock.monotonic_ns()
        ask = None
        try:
            ask = await self._asked(scope, receive, request_id)
            CLIENT.set(ask.client)
            left = door.allow(entry.cost, ask.client)
            reply = await entry.reply(ask, entry.said(ask))
            reply.headers = left.headers | reply.headers
        except Exception as error:
            reply = error_reply(error, request_id)
            what, address = f"{entry.method} {entry.path}", door.keeper.address(scope)
            log_refused(error, what, address, ask.known if ask is not None else None, request_id)
        reply.headers.update(door.keeper.cors(scope))
        await send_reply(send, reply, request_id)
        elapsed_ns = door.oms.clock.monotonic_ns() - began_ns
        door.counts.answer(entry.method, entry.path, reply.status, elapsed_ns)

    async def _asked(self, scope: Scope, receive: Receive, request_id: str) -> Ask:
        door, entry = self._door, self.entry
        headers = headers_of(scope)
        address = door.keeper.address(scope)
        door.allow(ADDRESS, address)
        body = await read_all(receive)
        query = scope["query_string"].decode("ascii", "replace")
        caller = await door.keeper.caller(entry.right, scope, headers, address, body)
        return Ask(
            door, request_id, headers, address, scope.get("path_params", {}), query, body, caller
        )


class Front:
    """The application: orders and cancels at once, everything else by the router."""

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
        self._router.router.redirect_slashes = False  # nobody is sent where a Host header says
        self._router.state.door = door
        self._at_once = {
            (each.method, prefix + each.path): Served(door, each)
            for prefix in ("", VERSION_PREFIX)
            for each in entries
            if (each.method, each.path) in AT_ONCE
        }

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        if scope["type"] == "websocket":
            if scope["path"] in SOCKET_PATHS:
                return self._sockets(scope, receive, send)
            return self._no_socket(send)
        if scope["method"] == "OPTIONS":
            return self._preflight(scope, send)
        served = self._at_once.get((scope["method"], scope["path"]), self._router)
        return served(scope, receive, send)

    async def _no_socket(self, send: Send) -> None:
        request_id = self._door.next_id()
        error = http_error(404, "NOT_FOUND", "there is no WebSocket here: see /docs")
        await refuse_socket(send, error_reply(error, request_id), request_id)

    async def _preflight(self, scope: Scope, send: Send) -> None:
        """What a browser asks before it lets a page of another site ask."""
        door = self._door
        request_id = door.next_id()
        address, allowed = door.keeper.address(scope), dict(door.keeper.cors(scope))
        try:
            door.allow(ADDRESS, address)
            if "access-control-allow-origin" not in allowed:
                text = "a page of another site: see [web] allowed_origins"
                raise http_error(403, "FORBIDDEN", text)
            reply = Reply(None, 200, allowed | PREFLIGHT)
        except HttpError as error:
            log_refused(error, "OPTIONS", address, None, request_id)
            reply = error_reply(error, request_id)
            reply.headers.update(allowed)
        door.counts.answer("OPTIONS", "-", reply.status, 0)
        await send_reply(send, reply, request_id)


async def _not_found(request: Any, _error: Exception) -> Any:
    return _plain(http_error(404, "NOT_FOUND", "there is no such path: see /docs"), request)


async def _not_allowed(request: Any, _error: Exception) -> Any:
    """The router names the methods of the first route of the path alone."""
    methods = {
        method
        for route in request.app.routes
        if route.matches(request.scope)[0] is not Match.NONE
        for method in route.methods
    }
    allowed = ", ".join(sorted(methods))
    text = f"the path has other methods: {allowed}"
    error = http_error(405, "METHOD_NOT_ALLOWED", text, headers={"allow": allowed})
    return _plain(error, request)


def _plain(error: Exception, request: Any) -> ASGIApp:
    """An error of the router in the form that all errors have."""
    door: Door = request.app.state.door
    request_id = door.next_id()
    reply = error_reply(error, request_id)
    door.counts.answer(NO_ROUTE, NO_ROUTE, reply.status, 0)

    async def answer(_scope: Scope, _receive: Receive, send: Send) -> None:
        await send_reply(send, reply, request_id)

    return answer
