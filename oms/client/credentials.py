"""Credentials: by what the server knows the client: a token of its login, or an API key.

Flow:  request -> [credentials: headers] -> transport, socket
Owner: any thread; a login is made by one of them at a time. Passwords, tokens and secrets are in no
text and no log.
"""

import secrets
import threading
from collections.abc import Callable
from typing import Any, NamedTuple, Protocol

from oms.client.retry import error_of
from oms.client.told import Told, count, reading, text, whole
from oms.clock import NANOS, Clock
from oms.errors import ServerError, ValidationError
from oms.gateways.signatures import signature_of

MILLIS = 1_000_000
EARLY_NS = 10 * NANOS  # a token is renewed so long before it ends
KEY_PATIENCE_S = 3.0  # a server that has just started takes no signature of its first second


class LoginError(ServerError):
    """The server does not log the user in, now or at all."""


class Reply(NamedTuple):
    """An answer. told: None if it is no JSON. later_s: what it asks to wait."""

    status: int
    told: Any
    later_s: float = 0.0


Exchange = Callable[[str, str, Told | None], Reply]
"""Method, target, body: without credentials, once. Raises ServerError."""


class Credentials(Protocol):
    patience_s: float
    """So long the server may go on to say that it knows no such token or signature."""

    def headers(
        self, exchange: Exchange, method: str, target: str, content: bytes
    ) -> dict[str, str]:
        """What is to be sent with this request. Raises ServerError."""
        ...

    def refused(self, exchange: Exchange) -> None:
        """The server took no such token, or signature: have another one. Raises ServerError."""
        ...


class Nobody:
    """For public questions alone."""

    patience_s = 0.0

    def headers(self, *_given: object) -> dict[str, str]:
        return {}

    def refused(self, _exchange: Exchange) -> None:
        return


class Login:
    """User and password. The token is renewed before it ends, and when the server knows it no
    more."""

    patience_s = 0.0

    def __init__(self, user: str, password: str, clock: Clock) -> None:
        self._user, self._password, self._clock = user, password, clock
        self._lock = threading.Lock()
        self._token = self._refresh_token = ""
        self._ends_ns = 0

    def headers(
        self, exchange: Exchange, _method: str, _target: str, _content: bytes
    ) -> dict[str, str]:
        with self._lock:
            if not self._token or self._clock.monotonic_ns() > self._ends_ns - EARLY_NS:
                self._renew(exchange)
            return {"Authorization": f"Bearer {self._token}"}

    def refused(self, _exchange: Exchange) -> None:
        with self._lock:
            self._token = ""

    def _renew(self, exchange: Exchange) -> None:
        """By the refresh token; else, if that is over, by the password."""
        asked_ns = self._clock.monotonic_ns()
        token, self._refresh_token = self._refresh_token, ""
        reply = exchange("POST", "/refresh", {"refreshToken": token}) if token else None
        if reply is None or reply.status != 200:
            said = {"username": self._user, "password": self._password}
            reply = exchange("POST", "/login", said)
        if reply.status == 202:
            expected = "no second factor, or an API key of the user"
            raise LoginError(f"login: expected {expected}", status=401, code="UNAUTHORIZED")
        if reply.status != 200:
            refused = refusal_of(reply)
            raise LoginError(f"login: {refused}", status=reply.status, code=refused.code)
        with reading("login"):
            self._ends_ns = asked_ns + count(reply.told["expiresIn"]) * NANOS
            self._refresh_token = text(reply.told["refreshToken"])
            self._token = text(reply.told["token"])


class Key:
    """An API key: each request is signed. Its times are those of the server's clock, once that was
    found to be another."""

    patience_s = KEY_PATIENCE_S

    def __init__(self, key: str, secret: str, clock: Clock) -> None:
        self._key, self._secret, self._clock = key, secret.encode(), clock
        self._ahead_ns = 0  # of our clock the server's

    def headers(
        self, _exchange: Exchange, method: str, target: str, content: bytes
    ) -> dict[str, str]:
        time_ms = str((self._clock.wall_ns() + self._ahead_ns) // MILLIS)
        nonce = secrets.token_hex(16)
        return {
            "X-Api-Key": self._key, "X-Api-Time": time_ms, "X-Api-Nonce": nonce,
            "X-Api-Signature": signature_of(
                self._secret, time_ms, nonce, method, target, content
            ),
        }  # fmt: skip

    def refused(self, exchange: Exchange) -> None:
        """The clocks may differ; the server says what time it is."""
        reply = exchange("GET", "/time", None)
        if reply.status == 200:
            with reading("time"):
                self._ahead_ns = whole(reply.told["serverTimeNs"]) - self._clock.wall_ns()


def credentials_of(
    user: str, password: str, key: str, secret: str, clock: Clock
) -> Credentials:  # fmt: skip
    """Raises ValidationError."""
    for name, value in (("user", user), ("password", password), ("key", key), ("secret", secret)):
        if not isinstance(value, str):
            raise ValidationError(name, type(value).__name__, "text")
    if bool(user) != bool(password) or bool(key) != bool(secret) or (user and key):
        expected = "user and password, or key and secret, or none of them"
        raise ValidationError("user", user or None, expected)
    if user:
        return Login(user, password, clock)
    return Key(key, secret, clock) if key else Nobody()


def refusal_of(reply: Reply) -> ServerError:
    """The error of an answer, as an exception."""
    error = error_of(reply.told)
    if error is None:
        return ServerError(f"the server answers {reply.status}", status=reply.status)
    said = f"{error.code}: {error.message}"
    return ServerError(said, status=reply.status, code=error.code, field=error.field)
