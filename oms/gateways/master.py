"""The master secret: what all secrets of users follow from, and what only its owner can read.

Tokens are signed, and the secrets of API keys and second factors derived, by it; so neither journal
nor backups nor views hold any. It is in a file beside the database, made at the first run with mode
0600, or in the environment variable OMS_MASTER_SECRET.
"""

import hmac
import logging
import os
import secrets
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path

from oms.errors import GatewayError

log = logging.getLogger(__name__)

VARIABLE, FILE_NAME = "OMS_MASTER_SECRET", "master.secret"
BYTES, CHARACTERS_MIN, CHARACTERS_MAX = 32, 32, 1_000


class MasterSecret:
    """Derives secrets, and never shows itself."""

    __slots__ = ("_secret",)

    def __init__(self, secret: bytes) -> None:
        self._secret = secret

    def __repr__(self) -> str:
        return "MasterSecret(...)"

    def derived(self, purpose: str, of: str = "") -> bytes:
        """32 bytes for one purpose and thing: HMAC-SHA256, so none tells anything of another."""
        return hmac.digest(self._secret, f"{purpose}|{of}".encode(), "sha256")


def master_secret(
    directory: Path,
    *,
    needed: bool = False,
    environment: Mapping[str, str] = os.environ,
    random_bytes: Callable[[int], bytes] = secrets.token_bytes,
) -> MasterSecret:
    """From the environment, else from the file in `directory`, which is made if it is not there.

    needed: there are keys or second factors that follow from it, so another one must not be made.
    Raises GatewayError if it is too short, cannot be read, or others can read it, too.
    """
    given = environment.get(VARIABLE)
    if given is not None:
        return MasterSecret(_long_enough(given, VARIABLE))
    path = directory / FILE_NAME
    try:
        if not path.exists():
            if needed:
                raise GatewayError(
                    f"{path}: missing, and there are keys or second factors that need it; put it "
                    f"back, or set {VARIABLE} to begin with another one, which makes them useless"
                )
            _make(path, random_bytes)
        return MasterSecret(_read(path))
    except (OSError, UnicodeDecodeError) as error:
        raise GatewayError(f"{path}: cannot be used: {error}") from None


def _make(path: Path, random_bytes: Callable[[int], bytes]) -> None:
    """Whole or not at all; where another process was faster, its file stays."""
    beside = path.with_name(f"{path.name}.{os.getpid()}")
    descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "w", encoding="ascii") as file:
            file.write(random_bytes(BYTES).hex() + "\n")
            file.flush()
            os.fsync(file.fileno())
        with suppress(FileExistsError):
            os.link(beside, path)
            log.info("%s: made; keep a copy of it apart from the database's", path)
    finally:
        beside.unlink()


def _read(path: Path) -> bytes:
    mode = path.stat().st_mode
    if os.name == "posix" and mode & 0o077:
        raise GatewayError(f"{path}: expected mode 600, was {mode & 0o777:o}: others can read it")
    return _long_enough(path.read_text(encoding="ascii").strip(), str(path))


def _long_enough(text: str, where: str) -> bytes:
    if not CHARACTERS_MIN <= len(text) <= CHARACTERS_MAX:
        expected = f"{CHARACTERS_MIN} to {CHARACTERS_MAX} characters"
        raise GatewayError(f"{where}: expected {expected}, was {len(text)}")
    return text.encode()
