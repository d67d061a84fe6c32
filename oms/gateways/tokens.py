"""Tokens: JSON Web Tokens (RFC 7519), signed by one algorithm, each good for its kind only.

PyJWT makes and reads them (extra `server`); what time it is, the clock that is given says. A token
says who, until when and of which login; what the user may do is looked up when it is used, so it
is never older than the latest commit.
"""

import secrets
from collections.abc import Callable, Mapping
from enum import StrEnum
from typing import Any

from oms.clock import NANOS, Clock
from oms.errors import GatewayError
from oms.gateways.master import MasterSecret

try:
    import jwt  # type: ignore[import-not-found,unused-ignore]
except ImportError:  # the extra is not installed
    jwt = None  # type: ignore[assignment,unused-ignore]

ALGORITHM, AUDIENCE = "HS256", "oms"
LENGTH_MAX, KNOWN_MAX = 4_096, 10_000
SKEW_S = 5  # that an issue time may lie ahead: the clock may have been set back since


class TokenKind(StrEnum):
    """ACCESS: for requests. REFRESH: for the next ACCESS token. TICKET: opens one socket.
    SECOND_FACTOR: the password was right, the second factor's code is still to come. RESET: a
    one-time code was shown to be good, the new password is still to come."""

    ACCESS = "access"
    REFRESH = "refresh"
    TICKET = "ticket"
    SECOND_FACTOR = "second_factor"
    RESET = "reset"


LIVES_S: Mapping[TokenKind, int] = {
    TokenKind.ACCESS: 15 * 60,
    TokenKind.REFRESH: 30 * 86_400,
    TokenKind.TICKET: 30,
    TokenKind.SECOND_FACTOR: 5 * 60,
    TokenKind.RESET: 15 * 60,
}


class Tokens:
    """Issues tokens and reads them. Raises GatewayError where PyJWT is missing.

    lives_s: how long a kind lives, where not as LIVES_S has it.
    """

    def __init__(
        self,
        master: MasterSecret,
        clock: Clock,
        lives_s: Mapping[TokenKind, int] | None = None,
        random_bytes: Callable[[int], bytes] = secrets.token_bytes,
    ) -> None:
        if jwt is None:
            raise GatewayError("logins need PyJWT: pip install 'order-management[server]'")
        self._key = master.derived("token")
        self._key_id = master.derived("token key id").hex()[:16]
        self._clock = clock
        self._random_bytes = random_bytes
        # Tokens whose signature held: the same one comes with each request of a client, and to look
        # it up takes a hundredth of verifying it. Whether it is over is asked each time.
        self._known: dict[str, dict[str, Any]] = {}
        self.lives_s: Mapping[TokenKind, int] = {**LIVES_S, **(lives_s or {})}

    def issue(self, kind: TokenKind, user: str, ends_ns: int = 0, **facts: Any) -> str:
        """A token of this user. ends_ns: wall clock, if it must not live longer than that."""
        now_s = self._clock.wall_ns() // NANOS
        exp = now_s + self.lives_s[kind]
        claims = {
            **facts, "sub": user, "kind": kind.value, "aud": AUDIENCE, "iat": now_s,
            "exp": min(exp, ends_ns // NANOS) if ends_ns else exp,
            "jti": self._random_bytes(12).hex(),
        }  # fmt: skip
        return jwt.encode(claims, self._key, ALGORITHM, headers={"kid": self._key_id})

    def read(self, kind: TokenKind, text: str) -> dict[str, Any] | None:
        """What the token says; None if it is none, is of another kind or key, or is over."""
        if type(text) is not str or len(text) > LENGTH_MAX or not text.isascii():
            return None
        claims = self._known.get(text)
        if claims is None:
            claims = self._verified(text)
            if claims is None:
                return None
            if len(self._known) >= KNOWN_MAX:
                self._known.clear()
            self._known[text] = claims
        now_s = self._clock.wall_ns() // NANOS
        if claims["kind"] != kind or not claims["iat"] - SKEW_S <= now_s < claims["exp"]:
            return None
        return claims

    def _verified(self, text: str) -> dict[str, Any] | None:
        """What a token says that we signed, whenever that was."""
        try:
            if jwt.get_unverified_header(text).get("kid") != self._key_id:
                return None
            claims: dict[str, Any] = jwt.decode(
                text, self._key, [ALGORITHM], audience=AUDIENCE,
                # Times are compared below, by our clock and not by the library's.
                options={
                    "require": ["sub", "kind", "aud", "iat", "exp", "jti"],
                    "verify_exp": False, "verify_iat": False, "verify_nbf": False,
                },
            )  # fmt: skip
        except (jwt.PyJWTError, ValueError, TypeError, RecursionError):
            return None
        return claims
