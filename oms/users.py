"""Users as readers see them: immutable records that any thread may keep.

Flow:  desk/access.py makes them -> turn/access_view.py publishes them -> gateways
No record holds a secret: of a password there is a hash, of a one-time code the hash of it, and
the secrets of keys and second factors follow from a master secret and the ids that are here.
"""

from collections.abc import Mapping
from enum import StrEnum
from typing import NamedTuple


class Role(StrEnum):
    """What a user may do at most: see what is the user's own; trade; what an operator may."""

    VIEWER = "viewer"
    TRADER = "trader"
    OPERATOR = "operator"


class AccessScope(StrEnum):
    """What a key may be used for."""

    READ = "read"
    TRADE = "trade"
    ADMIN = "admin"


SCOPES_OF: Mapping[str, frozenset[str]] = {
    Role.VIEWER: frozenset({AccessScope.READ}),
    Role.TRADER: frozenset({AccessScope.READ, AccessScope.TRADE}),
    Role.OPERATOR: frozenset(AccessScope),
}


class Family(NamedTuple):
    """One login: all access and refresh tokens that came of it.

    generation: of the one refresh token that is good. rotated_ns: when it got that generation,
    in elapsed time (Instant.elapsed_ns). ends_ns: wall clock, nanoseconds since 1970.
    """

    family_id: str
    generation: int
    rotated_ns: int
    ends_ns: int

    @property
    def began_ns(self) -> int:
        """The stamp of the login, which is in its id."""
        return int(self.family_id.rpartition("-")[2], 16)


class Key(NamedTuple):
    """An API key. ends_ns: wall clock, 0 for never. addresses: networks it may be used from, none
    for any."""

    key_id: str
    name: str
    scopes: tuple[str, ...]
    addresses: tuple[str, ...]
    ends_ns: int
    created_ns: int


class Factor(NamedTuple):
    """The second factor. number: of its secret: another each time it is set up. step: the latest
    that a code was accepted for; no code is good twice."""

    on: bool = False
    number: int = 0
    step: int = 0


class Code(NamedTuple):
    """A one-time code that was not used yet: its SHA-256, its end, and how often it was missed."""

    code_hash: str
    ends_ns: int
    misses: int = 0


class LossScope(StrEnum):
    """Which orders are canceled once a connection is lost: those that were placed over it, or all
    of the account."""

    SESSION = "session"
    ACCOUNT = "account"


class Arm(NamedTuple):
    """One connection whose loss cancels orders. grace_s: so long another may take its place."""

    arm_id: str
    account: str
    scope: str
    grace_s: int


class User(NamedTuple):
    """One user. user_id, credential: of the user and of the password that is set: journal
    sequence and stamp of the request that made it, never used twice. locked: why an operator
    locked the user; "" if none did. created_ns: the stamp of the sign-up."""

    name: str
    user_id: str
    email: str
    password_hash: str
    credential: str
    role: str
    accounts: tuple[str, ...]
    created_ns: int
    locked: str = ""
    families: tuple[Family, ...] = ()
    keys: tuple[Key, ...] = ()
    factor: Factor = Factor()
    code: Code | None = None
    arms: tuple[Arm, ...] = ()

    def family(self, family_id: str) -> Family | None:
        return next((each for each in self.families if each.family_id == family_id), None)

    def key(self, key_id: str) -> Key | None:
        return next((each for each in self.keys if each.key_id == key_id), None)

    def arm(self, arm_id: str) -> Arm | None:
        return next((each for each in self.arms if each.arm_id == arm_id), None)
