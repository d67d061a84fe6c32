"""A program that trades with an API key: it signs every request."""

import json
import secrets
import time
from collections.abc import Callable
from typing import Any

import httpx

from oms.gateways.signatures import signature_of
from tests.processes import wait_until
from tests.web.doors import User


class Program:
    """One API key. now_ns: the clock it signs by.

    It signs for a time a little ahead, which is taken: a door that has just opened takes no
    request that the process before it might have taken.
    """

    def __init__(
        self, door: Any, key: str, secret: str, now_ns: Callable[[], int] = time.time_ns
    ) -> None:
        self.door, self.key, self.secret, self._now_ns = door, key, secret, now_ns

    @classmethod
    def of(
        cls, user: User, scopes: list[str], *, now_ns: Callable[[], int] = time.time_ns,
        **more: object,
    ) -> "Program":  # fmt: skip
        """A new key of this user."""
        made = user.ask("POST", "/keys", {"name": "bot", "scopes": scopes, **more})
        assert made.status_code == 201, made.text
        program = cls(user.door, made.json()["id"], made.json()["secret"], now_ns)
        wait_until(lambda: program.ask("GET", "/me").status_code != 503)
        return program

    def signed(
        self, method: str, target: str, body: bytes = b"", nonce: str = "", ahead_ms: int = 900
    ) -> dict[str, str]:
        """The headers of one request."""
        time_ms, nonce = str(self._now_ns() // 10**6 + ahead_ms), nonce or secrets.token_hex(8)
        signature = signature_of(self.secret.encode(), time_ms, nonce, method, target, body)
        return {
            "x-api-key": self.key, "x-api-time": time_ms, "x-api-nonce": nonce,
            "x-api-signature": signature,
        }  # fmt: skip

    def ask(self, method: str, path: str, body: object = None, **signing: object) -> httpx.Response:
        content = b"" if body is None else json.dumps(body).encode()
        headers = self.signed(method, path, content, **signing)  # type: ignore[arg-type]
        return self.door.http.request(method, path, content=content, headers=headers)
