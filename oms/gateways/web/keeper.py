"""Keeper: who calls over HTTP, by which header, from which address and page; and what they may.

Flow:  headers of a request or a socket -> [keeper] -> the gate -> Caller
Bearer tokens are for people, signed requests for programs. A cookie is never looked at, so no
other site's page can act for a user; where a browser says which page asks, that is checked too.
"""

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from starlette.types import Scope

from oms.clock import NANOS
from oms.gateways.addresses import Network, client_address, is_among, networks_in, read_address
from oms.gateways.gate import Caller, Denied, Gate, may
from oms.gateways.tokens import TokenKind
from oms.gateways.web.door import Right
from oms.gateways.web.errors import HttpError, denied, http_error
from oms.gateways.web.words import query_pairs
from oms.manager import OrderManagement
from oms.reject_reasons import RejectReason
from oms.sections import WebConfig
from oms.users import AccessScope, User

CACHED_MAX = 10_000
HERE = ("localhost", "127.0.0.1", "[::1]")
LOOPBACK = networks_in("loopback", "127.0.0.0/8, ::1/128")
EXPOSED = (
    "x-request-id, retry-after, idempotency-replayed, ratelimit-limit, ratelimit-remaining, "
    "ratelimit-reset"
)
FORWARDED = frozenset((
    "forwarded", "x-forwarded-for", "x-forwarded-host", "x-forwarded-proto", "x-real-ip", "via",
))  # fmt: skip
WILDCARDS = {"0.0.0.0", "[::]"}
NEEDED = {
    Right.METRICS: AccessScope.ADMIN, Right.READ: AccessScope.READ,
    Right.TRADE: AccessScope.TRADE, Right.ADMIN: AccessScope.ADMIN,
}  # fmt: skip
SIGNED = ("x-api-time", "x-api-nonce", "x-api-signature")


class Known(NamedTuple):
    """A token that was good: until when, and for which record of its user."""

    caller: Caller
    user: User
    ends_ns: int


class DoorKeeper:
    """The Keeper of the front door."""

    def __init__(self, oms: OrderManagement, gate: Gate, web: WebConfig, hosts: Sequence[str]):
        self.gate = gate
        self._oms = oms
        self._proxies: tuple[Network, ...] = networks_in("trusted_proxies", web.trusted_proxies)
        named = [each.strip().lower() for each in web.allowed_hosts.split(",") if each.strip()]
        self._hosts = frozenset(named or [*hosts, *HERE])
        # No page can give us an address for a name of its own, so any will do where all are ours.
        self._any_address = not named and bool(WILDCARDS & set(hosts))
        self._origins = frozenset(
            each.strip().lower() for each in web.allowed_origins.split(",") if each.strip()
        )
        self._known: OrderedDict[str, Known] = OrderedDict()

    # --- where from ---

    def address(self, scope: Scope) -> str:
        """The client's own address, as far as trusted proxies say."""
        client = scope.get("client")
        peer = client[0] if client else ""
        if not self._proxies:
            return peer
        forwarded = [
            part.strip()
            for name, value in scope["headers"]
            if name == b"x-forwarded-for"
            for part in value.decode("latin-1").split(",")
        ]
        return client_address(peer, forwarded, self._proxies)

    def check_place(self, headers: Mapping[str, str]) -> None:
        """By which name we were called, and by whose page. Raises HttpError 403, 421."""
        host = headers.get("host", "").lower()
        name = host.rpartition(":")[0] if ":" in host.rpartition("]")[2] else host
        known = name in self._hosts or "*" in self._hosts
        if not known and not (self._any_address and read_address(name.strip("[]")) is not None):
            raise http_error(421, "FORBIDDEN", "no such host here: see [web] allowed_hosts")
        origin = headers.get("origin", "").lower()
        if origin and origin not in self._origins and origin not in _own_origins(host):
            raise http_error(403, "FORBIDDEN", "a page of another site: see [web] allowed_origins")

    def cors(self, scope: Scope) -> Mapping[str, str]:
        """For a page of [web] allowed_origins: it may read the answer. No cookies: there are none,
        so credentials are not allowed for."""
        if not self._origins:
            return {}
        origin = next((value for name, value in scope["headers"] if name == b"origin"), b"")
        text = origin.decode("latin-1")
        if text.lower() not in self._origins:
            return {"vary": "origin"}
        return {
            "access-control-allow-origin": text, "vary": "origin",
            "access-control-expose-headers": EXPOSED,
        }  # fmt: skip

    # --- who ---

    async def caller(
        self, right: Right, scope: Scope, headers: Mapping[str, str], address: str, body: bytes
    ) -> Caller | None:
        """Raises HttpError 401 if nobody is known who had to be, 403 if they may not."""
        self.check_place(headers)
        caller = self._shown(scope, headers, address, body)
        if right is Right.METRICS and caller is None and self._is_here(address, headers):
            return None
        self.check(right, caller)
        return caller

    def _is_here(self, address: str, headers: Mapping[str, str]) -> bool:
        """Does it come from this machine? Not what a proxy of this machine passes on: whether it
        is trusted or not, what it says may be unreadable, or a client's own."""
        return is_among(address, LOOPBACK) and FORWARDED.isdisjoint(headers)

    def _shown(
        self, scope: Scope, headers: Mapping[str, str], address: str, body: bytes
    ) -> Caller | None:
        """Who the headers say it is; None if they do not."""
        authorization = headers.get("authorization")
        if authorization is not None:
            kind, _, token = authorization.partition(" ")
            if kind.lower() != "bearer":
                raise http_error(401, "UNAUTHORIZED", "Authorization: Bearer, and a token")
            return self._by_token(token.strip(), address)
        key_id = headers.get("x-api-key")
        if key_id is None:
            return None
        target = scope["raw_path"].decode("latin-1")
        if scope["query_string"]:
            target += "?" + scope["query_string"].decode("latin-1")
        time_ms, nonce, signature = (headers.get(name, "") for name in SIGNED)
        method = scope.get("method", "GET")
        return _let(
            self.gate.by_signature(key_id, time_ms, nonce, signature, method, target, body, address)
        )

    def _by_token(self, token: str, address: str) -> Caller:
        """To check a signature takes longer than all the rest: one that was good stays so as long
        as the record of its user is the same object, and its time is not over."""
        known = self._known.get(token)
        if known is not None:
            same = self._oms.access.user(known.caller.user) is known.user
            if same and self._oms.clock.wall_ns() < known.ends_ns and not self.gate.is_stale():
                return known.caller
            del self._known[token]
        caller = _let(self.gate.by_token(token, address))
        user = self._oms.access.user(caller.user)
        claims = self.gate.tokens.read(TokenKind.ACCESS, token)
        family = user.family(caller.family) if user is not None else None
        if user is not None and claims is not None and family is not None:
            ends_ns = min(claims["exp"] * NANOS, family.ends_ns)
            self._known[token] = Known(caller, user, ends_ns)
            if len(self._known) > CACHED_MAX:
                self._known.popitem(last=False)
        return caller

    async def socket_caller(self, scope: Scope, headers: Mapping[str, str]) -> Caller | None:
        """By a header, or by a ticket in the query: browsers send no header with a socket."""
        self.check_place(headers)
        address = self.address(scope)
        ticket = query_pairs(scope["query_string"].decode("ascii", "replace")).get("ticket")
        if ticket is not None:
            return _let(self.gate.by_ticket(ticket, address))
        return self._shown(scope, headers, address, b"")

    async def token_caller(self, token: str, address: str) -> Caller:
        return self._by_token(token, address)

    def check(self, right: Right, caller: Caller | None) -> None:
        """Raises HttpError 401 or 403 if they have no such right."""
        if right is Right.PUBLIC:
            return
        if caller is None:
            headers = {"www-authenticate": 'Bearer realm="oms"'}
            raise http_error(401, "UNAUTHORIZED", "sign in first: POST /login", headers=headers)
        scope = NEEDED[right]
        if not may(caller, scope):
            text = f"this needs the right to {scope.value}"
            raise http_error(403, "FORBIDDEN", text, who=caller.user)

    def stands(self, caller: Caller) -> HttpError | None:
        """Why a socket of this caller has to be closed; None if it may stay."""
        found = self.gate.stands(caller)
        if found is None:
            return None
        return denied(found, logged=found.reason is RejectReason.ACCESS_STALE)

    def is_stale(self) -> bool:
        return self.gate.is_stale()


def _own_origins(host: str) -> tuple[str, str]:
    """What a browser says of our own pages; a proxy may have ended TLS."""
    return f"http://{host}", f"https://{host}"


def _let(found: Caller | Denied) -> Caller:
    if isinstance(found, Denied):
        raise denied(found)
    return found
