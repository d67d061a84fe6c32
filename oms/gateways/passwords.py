"""Passwords: their hashes, each of which names its algorithm.

Argon2id where argon2-cffi is installed (extra `server`), else scrypt of the standard library, with
the parameters that OWASP's Password Storage Cheat Sheet names. Bcrypt hashes of other systems are
verified. A hash that is not the best that this installation makes wants to be renewed at login.
To verify or to hash takes tens of milliseconds and some 20 to 32 MiB: never on an event loop.
"""

import base64
import hashlib
import hmac
import re
import secrets
from collections.abc import Callable

from oms.errors import GatewayError, ValidationError

try:
    import argon2  # type: ignore[import-not-found,unused-ignore]
except ImportError:  # the extra is not installed
    argon2 = None  # type: ignore[assignment,unused-ignore]
try:
    import bcrypt  # type: ignore[import-not-found,unused-ignore]
except ImportError:
    bcrypt = None  # type: ignore[assignment,unused-ignore]

CHARACTERS_MIN, BYTES_MAX = 8, 1_024
BCRYPT_BYTES_MAX = 72  # what bcrypt looks at; what comes behind never counted
ARGON2_MEMORY_KIB, ARGON2_PASSES, ARGON2_LANES = 19_456, 2, 1
SCRYPT_LOG_N, SCRYPT_R, SCRYPT_P, SCRYPT_SALT, SCRYPT_LENGTH = 15, 8, 3, 16, 32
SCRYPT = re.compile(
    r"\$scrypt\$ln=(1[0-8]|[1-9]),r=([1-9]|1[0-6]),p=([1-9]|1[0-6])\$([A-Za-z0-9+/]{16,86})"
    r"\$([A-Za-z0-9+/]{43})"
)
BCRYPT = re.compile(r"\$2[aby]\$(0[4-9]|1[0-6])\$[A-Za-z0-9./]{53}")


def check_password(password: object) -> str:
    """`password` if one may be set to it; ValidationError, without it, if not."""
    if type(password) is not str or not _bytes_of(password):
        raise ValidationError("password", "another text", f"text of at most {BYTES_MAX} bytes")
    if len(password) < CHARACTERS_MIN:
        raise ValidationError("password", "a shorter one", f"at least {CHARACTERS_MIN} characters")
    return password


def hash_password(
    password: str, random_bytes: Callable[[int], bytes] = secrets.token_bytes
) -> str:  # fmt: skip
    """The best hash that this installation makes. Raises as `check_password`."""
    return hash_bytes(_bytes_of(check_password(password)), random_bytes)


def hash_bytes(secret: bytes, random_bytes: Callable[[int], bytes]) -> str:
    """The same of a password that was set when shorter ones were allowed."""
    if argon2 is not None:
        return _argon2().hash(secret, salt=random_bytes(SCRYPT_SALT))
    salt = random_bytes(SCRYPT_SALT)
    made = _scrypt(secret, salt, SCRYPT_LOG_N, SCRYPT_R, SCRYPT_P)
    return f"$scrypt${_scrypt_parameters()}${_text(salt)}${_text(made)}"


def verify(password_hash: str, password: str) -> bool:
    """Is it the password? Raises GatewayError if the hash is of an algorithm that is not installed,
    or unknown."""
    secret = _bytes_of(password)
    if password_hash.startswith("$argon2id$"):
        return _verify_argon2(password_hash, secret) and bool(secret)
    found = SCRYPT.fullmatch(password_hash)
    if found is not None:
        log_n, r, p = (int(found[place]) for place in (1, 2, 3))
        made = _scrypt(secret, _of_text(found[4]), log_n, r, p)
        return hmac.compare_digest(made, _of_text(found[5])) and bool(secret)
    if BCRYPT.fullmatch(password_hash):
        if bcrypt is None:
            raise GatewayError("a user's hash is of bcrypt: pip install bcrypt")
        # Its own limits, as the system that made the hash had them: bytes behind 72 are ignored.
        good = bcrypt.checkpw(secret[:BCRYPT_BYTES_MAX], password_hash.encode())
        return good and bool(secret) and b"\0" not in secret
    raise GatewayError("a user's hash is of an unknown algorithm")


def is_best(password_hash: str) -> bool:
    """Is it as this installation would make it now? Else it is to be renewed at a login."""
    if argon2 is not None:
        made_so = password_hash.startswith("$argon2id$")
        return made_so and not _argon2().check_needs_rehash(password_hash)
    return password_hash.startswith(f"$scrypt${_scrypt_parameters()}$")


def _bytes_of(password: str) -> bytes:
    """None if it can be no password: too long, or no text that can be encoded."""
    try:
        encoded = password.encode()
    except UnicodeEncodeError:
        return b""
    return encoded if len(encoded) <= BYTES_MAX else b""


def _argon2() -> "argon2.PasswordHasher":
    return argon2.PasswordHasher(
        time_cost=ARGON2_PASSES, memory_cost=ARGON2_MEMORY_KIB, parallelism=ARGON2_LANES
    )


def _verify_argon2(password_hash: str, secret: bytes) -> bool:
    if argon2 is None:
        raise GatewayError("a user's hash is of argon2id: pip install argon2-cffi")
    try:
        return _argon2().verify(password_hash, secret)
    except argon2.exceptions.VerificationError:
        return False
    except argon2.exceptions.InvalidHashError:
        raise GatewayError("a user's hash is not readable") from None


def _scrypt_parameters() -> str:
    return f"ln={SCRYPT_LOG_N},r={SCRYPT_R},p={SCRYPT_P}"


def _scrypt(secret: bytes, salt: bytes, log_n: int, r: int, p: int) -> bytes:
    memory = (1 << log_n) * r * 128 + p * r * 128
    return hashlib.scrypt(
        secret, salt=salt, n=1 << log_n, r=r, p=p, maxmem=memory + (1 << 20), dklen=SCRYPT_LENGTH
    )


def _text(data: bytes) -> str:
    return base64.b64encode(data).decode().rstrip("=")


def _of_text(text: str) -> bytes:
    return base64.b64decode(text + "=" * (-len(text) % 4))
