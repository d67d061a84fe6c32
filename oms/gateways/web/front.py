"""Front: one request of HTTP, from its bytes to the answer.

Flow:  uvicorn -> [front] -> a route's function -> OrderManagement -> Reply -> [front] -> uvicorn
Owner: the thread oms-web, one event loop. What all requests share is in door.py.

A route is an Entry: its path, its function, who may call it. There is no route without one, so
that the table of rights is the table of routes.
"""

from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, NamedTuple

from starlette.types import Receive, Scope

from oms.errors import ValidationError
from oms.gateways.gate import Caller, may
from oms.gateways.web.door import Door, Right
from oms.gateways.web.errors import AWAY, NOT_NOW, HttpError, Reply, http_error, refused, unknown
from oms.gateways.web.limits import REQUEST
from oms.gateways.web.shapes import DONE, JSON, Answer
from oms.gateways.web.words import Body, read_body, read_query
from oms.manager import OrderManagement
from oms.reject_reasons import RejectReason
from oms.requests import FundsAction, Origin, Request
from oms.responses import OrderResponse
from oms.users import AccessScope

GATEWAY = "rest"


class Ask:
    """One request. `caller` is None where nobody needs to be known. gateway: as the journal names
    the way that its orders came. done: what it asked of the order manager is done."""

    __slots__ = (
        "_caller", "address", "body", "done", "door", "gateway", "headers", "path", "query",
        "request_id",
    )  # fmt: skip

    def __init__(
        self,
        door: Door,
        request_id: str,
        headers: Mapping[str, str],
        address: str,
        path: Mapping[str, str],
        query: str,
        body: bytes,
        caller: Caller | None,
        gateway: str = GATEWAY,
    ) -> None:
        self.door = door
        self.gateway = gateway
        self.request_id = request_id
        self.headers = headers
        self.address = address
        self.path = path
        self.query = query
        self.body = body
        self._caller = caller
        self.done = False

    @property
    def caller(self) -> Caller:
        if self._caller is None:
            raise http_error(401, "UNAUTHORIZED", "sign in, and send the token as a bearer's")
        return self._caller

    @property
    def known(self) -> Caller | None:
        """The caller, or None if nobody says who it is."""
        return self._caller

    @property
    def client(self) -> str:
        """Whose allowance it counts against."""
        caller = self._caller
        if caller is None:
            return self.address
        return f"key:{caller.key_id}" if caller.key_id else f"user:{caller.user}"

    @property
    def oms(self) -> OrderManagement:
        return self.door.oms

    @property
    def origin(self) -> Origin:
        return Origin(self.caller.user, self.gateway, self.request_id)

    def account(self, named: str | None) -> str:
        """The account that is meant. One of somebody else answers like one that there is not."""
        accounts = self.caller.accounts
        if not named:
            if not accounts:
                raise refused(RejectReason.ACCOUNT_UNKNOWN, "the user has no account", "account")
            return accounts[0]
        if named not in accounts:
            text = f"no such account: {named[:64]!r}"
            raise refused(RejectReason.ACCOUNT_UNKNOWN, text, "account")
        return named

    def seen_account(self, named: str | None) -> str:
        """The account that is to be looked at: an operator may see every one."""
        if named and may(self.caller, AccessScope.ADMIN):
            return named
        return self.account(named)

    def funds_account(self, named: str | None, action: FundsAction) -> str:
        """Whose money may be moved: anybody's by an operator, one's own where it is play money."""
        if may(self.caller, AccessScope.ADMIN):
            return named or self.account(None)
        if not self.door.web.play_money:
            raise http_error(403, "FORBIDDEN", f"an operator does this: {action.value.lower()}")
        return self.account(named)

    async def submit(self, request: Request) -> OrderResponse:
        response = await self.door.submit(request)
        self.done = not response.refused
        return response


Handler = Callable[[Ask, Any], Awaitable[Reply]]
"""What is asked, and what its body or query says: a Body of the kind that the Entry names."""


class Entry(NamedTuple):
    """One route. brief: what it does, for the documentation.

    body: what its body says; query: what its query does. If both are the same, one of both is
    sent.
    """

    method: str
    path: str
    handler: Handler
    right: Right
    brief: str
    body: type[Body] | None = None
    query: type[Body] | None = None
    cost: str = REQUEST  # which allowance it counts against: see limits.py
    answer: Answer = DONE
    sent: Any = None  # the type of a body that the function reads by itself

    async def reply(self, ask: Ask, said: Any) -> Reply:
        """What the handler replies. What was done, and cannot be told now, has an unknown outcome:
        who reads that nothing was done would ask for another order."""
        try:
            return await self.handler(ask, said)
        except (HttpError, *AWAY) as error:
            if ask.done and (not isinstance(error, HttpError) or error.status in NOT_NOW):
                raise unknown(f"it is done, and cannot be told: {error}") from error
            raise

    def said(self, ask: Ask) -> Body | None:
        """What the request says. Raises ValidationError, naming the field: also of a query or a
        body that nobody would read."""
        if self.query is None and ask.query and self.answer.content == JSON:  # a page may have one
            raise ValidationError("query", _size(ask.query), "none: this route reads no query")
        if self.body is None:
            if self.sent is None and ask.body not in (b"", b"{}"):
                raise ValidationError("body", _size(ask.body), "none: this route reads none")
            return None if self.query is None else read_query(self.query, ask.query)
        if self.query is self.body and not ask.body:
            return read_query(self.query, ask.query)
        if self.query is self.body and ask.query:
            raise ValidationError("query", _size(ask.query), "none beside a body")
        return read_body(self.body, ask.body or b"{}")


def _size(said: str | bytes) -> str:
    """What nobody reads is not told back either: it may be a secret."""
    return f"{len(said)} characters"


def headers_of(scope: Scope) -> Mapping[str, str]:
    """By name in small letters; one that stands twice is refused where that could mean two
    things."""
    headers = scope["headers"]
    found = {name.decode("latin-1"): value.decode("latin-1") for name, value in headers}
    if len(found) != len(headers):
        names = Counter(name.decode("latin-1") for name, _ in headers)
        for name in ONCE:
            if names[name] > 1:
                raise http_error(400, "UNSUPPORTED", f"one header {name}")
    return found


ONCE = ("authorization", "host", "origin", "content-length", "x-api-key", "x-forwarded-for")


async def read_all(receive: Receive) -> bytes:
    """The body of a request: whole, and bounded by the connection (lines.py)."""
    message = await receive()
    if message["type"] == "http.disconnect":
        raise http_error(400, "TOO_SLOW", "the client has gone")
    body: bytes = message.get("body", b"")
    return body
