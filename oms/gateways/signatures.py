"""Signed requests of programs, and codes of second factors: what follows from a shared secret.

A program signs each request with the secret of its API key (HMAC-SHA256) over time, nonce, method,
target and body. A request that is seen twice is refused: its time must be of the last seconds, and
its nonce new within them. After a restart no nonce is remembered, so nothing is taken whose time is
not later than all that the process before may have taken.
"""

import base64
import hashlib
import hmac
import re
import threading
from collections import deque
from urllib.parse import quote

from oms.clock import NANOS

BACK_NS, AHEAD_NS = 10 * NANOS, 1 * NANOS
"""So old a signed request may be, and so far ahead of our clock."""
NONCES_MAX, NONCES_OF_KEY_MAX = 1_000_000, 50_000
MILLIS = 1_000_000
TIME = re.compile("[1-9][0-9]{0,15}")  # milliseconds since 1970
NONCE = re.compile("[A-Za-z0-9_-]{1,64}")
SIGNATURE = re.compile("[0-9a-f]{64}")
STEP_S, DIGITS = 30, 6  # of a second factor: RFC 6238, as the authenticator programs have it
STEPS_AROUND = 1
CODE = re.compile("[0-9]{6}")


def signed_text(time_ms: str, nonce: str, method: str, target: str, body: bytes) -> bytes:
    """What a program signs: five lines, the last of which is the SHA-256 of the body.

    target: path and query, as they are in the request.
    """
    digest = hashlib.sha256(body).hexdigest()
    return "\n".join((time_ms, nonce, method, target, digest)).encode()


def signature_of(
    secret: bytes, time_ms: str, nonce: str, method: str, target: str, body: bytes
) -> str:  # fmt: skip
    """HMAC-SHA256 of `signed_text`, 64 hexadecimal digits."""
    return hmac.digest(secret, signed_text(time_ms, nonce, method, target, body), "sha256").hex()


def is_signature(signature: str, expected: str) -> bool:
    """Compared in a time that does not tell how much of it is right."""
    return bool(SIGNATURE.fullmatch(signature)) and hmac.compare_digest(signature, expected)


class Nonces:
    """Which times and nonces are new. Any thread; `take` only once the signature held.

    started_ns: wall clock at the start: whatever an earlier process took was signed for a time at
    most AHEAD_NS later.
    """

    def __init__(self, started_ns: int) -> None:
        self._lock = threading.Lock()
        self._floor_ns = started_ns + AHEAD_NS  # it never falls, whatever the clock does
        self._of_key: dict[str, set[str]] = {}
        self._taken: deque[tuple[int, str, str]] = deque()

    def why_not(self, time_ms: str, nonce: str, now_ns: int) -> str:
        """Why time and nonce cannot be good, whoever signed them; "" if they may be."""
        if not TIME.fullmatch(time_ms) or not NONCE.fullmatch(nonce):
            return "expected a time in milliseconds since 1970, and a nonce of 1 to 64 characters"
        at_ns = int(time_ms) * MILLIS
        if not now_ns - BACK_NS < at_ns <= now_ns + AHEAD_NS:
            return f"expected the time of now, {now_ns // MILLIS} ms, was {time_ms}"
        return ""

    def knows(self, time_ms: str) -> bool:
        """Would it know a nonce of that time again? Not of one that the process before may have
        taken, nor of one before the clock was set back: sign again a little later."""
        return int(time_ms) * MILLIS > self._floor_ns

    def take(self, key_id: str, time_ms: str, nonce: str, now_ns: int) -> bool:
        """Remember it; False if it was taken before, or there are too many to remember."""
        with self._lock:
            self._floor_ns = max(self._floor_ns, now_ns - BACK_NS)
            self._forget()
            at_ns, taken = int(time_ms) * MILLIS, self._of_key.get(key_id, set())
            full = len(self._taken) >= NONCES_MAX or len(taken) >= NONCES_OF_KEY_MAX
            if at_ns <= self._floor_ns or nonce in taken or full:
                return False
            self._of_key.setdefault(key_id, taken).add(nonce)
            self._taken.append((at_ns, key_id, nonce))
            return True

    def _forget(self) -> None:
        """Those whose time is refused by now. One that was ahead keeps some others a while."""
        while self._taken and self._taken[0][0] <= self._floor_ns:
            _, key_id, nonce = self._taken.popleft()
            self._of_key[key_id].discard(nonce)
            if not self._of_key[key_id]:
                del self._of_key[key_id]


# --- the second factor ---


def totp(secret: bytes, step: int) -> str:
    """The code of one step (RFC 6238 with HMAC-SHA1, six digits)."""
    digest = hmac.digest(secret, step.to_bytes(8, "big"), "sha1")
    offset = digest[-1] & 15
    number = int.from_bytes(digest[offset : offset + 4], "big") & 0x7FFFFFFF
    return str(number % 10**DIGITS).zfill(DIGITS)


def totp_step(secret: bytes, code: str, now_ns: int, after: int) -> int | None:
    """The step that the code is of, if it is later than `after`; None if the code is wrong.

    A step before and one after now count, too: clocks differ.
    """
    if not CODE.fullmatch(code):
        return None
    now, found = now_ns // NANOS // STEP_S, None
    for step in range(now - STEPS_AROUND, now + STEPS_AROUND + 1):
        same = hmac.compare_digest(totp(secret, max(step, 0)).encode(), code.encode())
        if same and step > after:
            found = step
    return found


def factor_uri(secret: bytes, user: str, issuer: str) -> str:
    """What authenticator programs read from a QR code."""
    text = base64.b32encode(secret).decode().rstrip("=")
    label = quote(f"{issuer}:{user}", safe=":")
    return f"otpauth://totp/{label}?secret={text}&issuer={quote(issuer, safe='')}"
