"""The gate: whose request it is, and what that caller may do; one for all gateways.

Flow:  gateway -> [gate: password, token, signature] -> Caller -> request
                  what must not race goes to the desk as an AccessRequest: oms.submit(request)
Owner: any thread. It reads published users (access_view), so a revocation holds for the next call.
       Passwords and their hashes take tens of milliseconds: `verify`, `sign_up`, `renewal`,
       `change_password` and `reset` are not for an event loop.
A refusal is a value (Denied) and one log line; it tells nobody whether there is such a user.
"""

import hashlib
import logging
import re
import secrets
import threading
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import NamedTuple

from oms.clock import NANOS, Clock
from oms.errors import GatewayError
from oms.gateways import passwords
from oms.gateways.addresses import client_of, is_among, networks_in
from oms.gateways.attempts import CODE, PASSWORD, RESET, Attempts
from oms.gateways.master import MasterSecret, master_secret
from oms.gateways.signatures import MILLIS, Nonces, is_signature, signature_of, totp_step
from oms.gateways.tokens import TokenKind, Tokens
from oms.manager import OrderManagement
from oms.reject_reasons import RejectReason
from oms.requests.access import GATE, USER_NAME, AccessAction, AccessRequest, told_facts
from oms.requests.orders import NO_ORIGIN, Origin
from oms.responses import OrderResponse
from oms.shared import SharedCounts, SharedNames
from oms.users import SCOPES_OF, AccessScope, Family, Role, User

log = logging.getLogger(__name__)

STALE_NS = 5 * NANOS  # where the news of revocations may be older, nobody is let through
HASHES_AT_ONCE_MAX = 4  # each takes up to 32 MiB
TICKETS_MAX = 100_000
CODE_CHARACTERS = "ABCDEFGHJKLMNPQRSTUVWXYZ23456789"  # none looks like another
CODE_LENGTH, CODE_LIFE_NS = 20, 24 * 3_600 * NANOS
WRONG = "no such user, or another password"
LOGGED_MAX = 80
KEY_ID = re.compile("[0-9a-f-]{1,40}")


class Caller(NamedTuple):
    """Who is asking, and by what: the family of a login, or the id of a key."""

    user: str
    role: str
    scopes: frozenset[str]
    accounts: tuple[str, ...]
    key_id: str = ""
    family: str = ""


class Denied(NamedTuple):
    """Why not. text: for the caller, without anything that only others know. retry_s: seconds."""

    reason: RejectReason
    text: str
    retry_s: int = 0


class Opened(NamedTuple):
    """Tokens of a login. expires_s: how long `access` is good."""

    access: str
    refresh: str
    expires_s: int


def may(caller: Caller, scope: str, account: str = "") -> bool:
    """May the caller do what the scope says, for this account? An operator acts for every one."""
    if scope not in caller.scopes:
        return False
    everybody = caller.role == Role.OPERATOR and AccessScope.ADMIN in caller.scopes
    return account == "" or account in caller.accounts or everybody


def new_code(random_bytes: Callable[[int], bytes] = secrets.token_bytes) -> str:
    """A one-time code for a person to type: 20 characters, 100 bits."""
    return "".join(CODE_CHARACTERS[byte % 32] for byte in random_bytes(CODE_LENGTH))


def code_hash(code: str) -> str:
    """What an AccessRequest has of it; written in groups or small letters it is the same."""
    plain = "".join(code.upper().replace("-", " ").split())
    return hashlib.sha256(plain.encode("utf-8", "replace")).hexdigest()


def gate_of(oms: OrderManagement, directory: Path) -> "Gate":
    """The gate of a running order manager, with the master secret of its directory. Raises
    GatewayError; another secret is not made where keys or second factors need the lost one."""
    needed = any(user.keys or user.factor.on for user in oms.access.users())
    return Gate(oms, master_secret(directory, needed=needed))


class Gate:
    """Decides for one order manager who is let through.

    Raises GatewayError where PyJWT is missing. new_id: makes client order ids of the requests that
    the gate asks for, unique for ever. random_bytes: for salts, ids of tokens and tickets. once:
    where there are several gates, whether none has taken this name yet, for so many milliseconds.
    counts: where there are several, what counts the attempts of all.
    """

    def __init__(
        self,
        oms: OrderManagement,
        master: MasterSecret,
        *,
        gateway: str = "",
        new_id: Callable[[], str] | None = None,
        lives_s: Mapping[TokenKind, int] | None = None,
        random_bytes: Callable[[int], bytes] = secrets.token_bytes,
        once: SharedNames | None = None,
        counts: SharedCounts | None = None,
    ) -> None:
        self._once = once
        self._users = oms.access
        self._clock: Clock = oms.clock
        self._master = master
        self._random_bytes = random_bytes
        self._gateway = gateway
        self._new_id = new_id or (lambda: f"gate-{random_bytes(16).hex()}")
        self.tokens = Tokens(master, self._clock, lives_s, random_bytes)
        self._nonces = Nonces(max(self._clock.wall_ns(), oms.access.started_ns))
        self._process = random_bytes(12).hex()
        self._attempts = Attempts() if counts is None else counts
        self._hashing = threading.BoundedSemaphore(HASHES_AT_ONCE_MAX)
        self._nobody = passwords.hash_password(random_bytes(16).hex(), random_bytes)
        self._tickets: deque[tuple[int, str]] = deque()  # used ones: their end and id
        self._used: set[str] = set()
        self._ticketing = threading.Lock()

    # --- passwords: what takes long ---

    def verify(self, name: str, password: str, address: str) -> User | Denied:
        """The user of that name or email, if the password is right. Not for an event loop.

        Whether there is such a user shows neither in words nor in time: without one, a password
        is checked against the hash of nobody's.
        """
        wait_s = self._begin(PASSWORD, name, address)
        if wait_s:
            return self._too_many(wait_s, name, address)
        user = self.find(name)
        with self._hashing:
            hashed = user.password_hash if user is not None else self._nobody
            good = self._is_good(hashed, password)
        if user is None or not good:
            return self._denied(RejectReason.CREDENTIALS_INVALID, WRONG, name, address)
        self._attempts.succeeded(PASSWORD, name, client_of(address))
        if user.locked:
            text = "an operator locked the user"
            return self._denied(RejectReason.USER_LOCKED, text, name, address)
        return user

    @staticmethod
    def _is_good(hashed: str, password: str) -> bool:
        try:
            return passwords.verify(hashed, password)
        except GatewayError as error:  # for whoever runs it, not for whoever logs in
            log.error("a password cannot be verified: %s", error)
            return False

    def find(self, name: str) -> User | None:
        """By name or email."""
        return self._users.by_email(name) if "@" in name else self._users.user(name)

    def renewal(self, user: User, password: str) -> AccessRequest | None:
        """Right after `verify`: the request that keeps the password by a better hash; None if its
        hash is the best one. Not for an event loop."""
        if passwords.is_best(user.password_hash):
            return None
        with self._hashing:
            facts = {"hash": self._hash(password, check=False), "credential": user.credential}
        return self.request(AccessAction.RENEW_HASH, user.name, facts)

    def sign_up(
        self, name: str, email: str, password: str, accounts: tuple[str, ...],
        role: str = Role.TRADER,
    ) -> AccessRequest:  # fmt: skip
        """The request that signs a user up. Raises ValidationError, naming the field, without the
        password. Not for an event loop."""
        passwords.check_password(password)
        plain = {"email": email, "role": role, "accounts": ",".join(accounts), "hash": "$"}
        self.request(AccessAction.SIGN_UP, name, plain)  # cheap mistakes first
        with self._hashing:
            facts = {**plain, "hash": self._hash(password)}
        return self.request(AccessAction.SIGN_UP, name, facts)

    def change_password(self, user: User, password: str) -> AccessRequest:
        """After `verify` of the old one. Raises as `sign_up`. Not for an event loop."""
        passwords.check_password(password)
        with self._hashing:
            facts = {"hash": self._hash(password), "credential": user.credential}
        return self.request(AccessAction.CHANGE_PASSWORD, user.name, facts)

    def reset(self, name: str, code: str, password: str, address: str) -> AccessRequest | Denied:
        """Set a password by an operator's one-time code; the desk says whether the code is good.
        Raises as `sign_up`. Not for an event loop."""
        passwords.check_password(password)
        wait_s = self._begin(RESET, name, address)
        if wait_s:
            return self._too_many(wait_s, name, address)
        with self._hashing:
            facts = {"code": code_hash(code), "hash": self._hash(password)}
        user = self.find(name)
        if user is None and not USER_NAME.fullmatch(name):
            text = "the code is wrong, used, or too old"
            return self._denied(RejectReason.CODE_INVALID, text, name, address)
        return self.request(
            AccessAction.RESET_PASSWORD, user.name if user is not None else name, facts
        )

    def _hash(self, password: str, *, check: bool = True) -> str:
        """check: an old password may be shorter than a new one may be."""
        if not check and len(password) < passwords.CHARACTERS_MIN:
            return passwords.hash_bytes(password.encode(), self._random_bytes)
        return passwords.hash_password(password, self._random_bytes)

    # --- sessions ---

    def login(self, user: User, address: str, code: str = "") -> AccessRequest | Denied:
        """After `verify`: the request that opens a session; `opened` reads its answer.

        Denied with SECOND_FACTOR_REQUIRED if the user has one and there is no code: `pending`
        gives a token that says the password was right, and `by_pending` takes it with the code.
        """
        ends_ns = self._clock.wall_ns() + self.tokens.lives_s[TokenKind.REFRESH] * NANOS
        facts = {"credential": user.credential, "ends_ns": str(ends_ns)}
        if user.factor.on:
            if not code:
                text = "the code of the second factor is needed, too"
                return Denied(RejectReason.SECOND_FACTOR_REQUIRED, text)
            step = self.checked_code(user, code, address)
            if isinstance(step, Denied):
                return step
            facts["step"] = str(step)
        return self.request(AccessAction.LOGIN, user.name, facts)

    def pending(self, user: User) -> str:
        return self.tokens.issue(TokenKind.SECOND_FACTOR, user.name, credential=user.credential)

    def by_pending(self, token: str, address: str) -> User | Denied:
        """Whose password was right a few minutes ago, and is the same still."""
        claims = self.tokens.read(TokenKind.SECOND_FACTOR, token)
        user = self._users.user(claims["sub"]) if claims is not None else None
        if claims is None or user is None or user.credential != claims.get("credential"):
            return self._denied(RejectReason.TOKEN_INVALID, "log in again", "", address)
        return user

    def opened(self, response: OrderResponse) -> Opened:
        """The tokens that the answer to a login or a refresh gives a right to, if it was done."""
        assert not response.refused
        facts = told_facts(response.text)
        user, family, ends_ns = facts["user"], facts["family"], int(facts["ends_ns"])
        found = self._users.user(user)
        email = found.email if found is not None else ""
        access, refresh = (
            self.tokens.issue(TokenKind.ACCESS, user, ends_ns, family=family, email=email),
            self.tokens.issue(
                TokenKind.REFRESH, user, ends_ns, family=family, generation=facts["generation"]
            ),
        )
        return Opened(access, refresh, self.tokens.lives_s[TokenKind.ACCESS])

    def refresh(self, token: str, address: str) -> AccessRequest | Denied:
        """The request that rotates the token; the desk says whether it is the latest."""
        claims = self.tokens.read(TokenKind.REFRESH, token)
        if claims is None:
            return self._denied(RejectReason.TOKEN_INVALID, "log in again", "", address)
        facts = {"family": claims["family"], "generation": claims["generation"]}
        return self.request(AccessAction.REFRESH, claims["sub"], facts)

    def logout(self, caller: Caller, *, everywhere: bool = False) -> AccessRequest:
        if everywhere or not caller.family:
            return self.request(AccessAction.LOGOUT_ALL, caller.user, {})
        return self.request(AccessAction.LOGOUT, caller.user, {"family": caller.family})

    # --- who is it ---

    def by_token(self, token: str, address: str) -> Caller | Denied:
        """By an access token."""
        return self._by_family(TokenKind.ACCESS, token, address)

    def ticket(self, caller: Caller) -> str | Denied:
        """What opens one socket within 30 s, for those that can send no header. A program with a
        key signs instead."""
        if not caller.family:
            return Denied(RejectReason.NOT_ALLOWED, "tickets are for logins: sign the request")
        process = self._process if self._once is None else self._once.memory()
        if not process:
            text = "which tickets are taken is not known at the moment"
            return Denied(RejectReason.ACCESS_STALE, text, 1)
        return self.tokens.issue(
            TokenKind.TICKET, caller.user, family=caller.family, process=process
        )

    def by_ticket(self, token: str, address: str) -> Caller | Denied:
        """By a ticket, once."""
        found = self._by_family(TokenKind.TICKET, token, address)
        if isinstance(found, Denied) or self._takes_ticket(token):
            return found
        text = "the ticket was used, or is of an earlier process"
        return self._denied(RejectReason.TOKEN_INVALID, text, found.user, address)

    def _takes_ticket(self, token: str) -> bool:
        claims = self.tokens.read(TokenKind.TICKET, token)
        now_s = self._clock.wall_ns() // NANOS
        if claims is None or (self._once is None and claims.get("process") != self._process):
            return False  # what an earlier process took is not known any more
        with self._ticketing:
            while self._tickets and self._tickets[0][0] <= now_s:
                self._used.discard(self._tickets.popleft()[1])
            if claims["jti"] in self._used or len(self._used) >= TICKETS_MAX:
                return False
            self._used.add(claims["jti"])
            self._tickets.append((claims["exp"], claims["jti"]))
        if self._once is None:
            return True
        return bool(self._once.take(f"ticket:{claims['jti']}", memory=claims["process"]))

    def _by_family(self, kind: TokenKind, token: str, address: str) -> Caller | Denied:
        if self.is_stale():
            return self._stale(address)
        claims = self.tokens.read(kind, token)
        if claims is None:
            text = "no token, an expired one, or one for something else"
            return self._denied(RejectReason.TOKEN_INVALID, text, "", address)
        user = self._users.user(claims["sub"])
        family = user.family(claims.get("family", "")) if user is not None else None
        if user is None or user.locked or not self._lives(family):
            text = "the login has ended: log in again"
            return self._denied(RejectReason.SESSION_REVOKED, text, claims["sub"], address)
        return Caller(
            user.name, user.role, SCOPES_OF[user.role], user.accounts, family=claims["family"]
        )

    def _lives(self, family: Family | None) -> bool:
        return family is not None and family.ends_ns > self._clock.wall_ns()

    def by_signature(
        self, key_id: str, time_ms: str, nonce: str, signature: str, method: str, target: str,
        body: bytes, address: str,
    ) -> Caller | Denied:  # fmt: skip
        """By a signed request; see signatures.py. target: path and query as they were sent."""
        if self.is_stale():
            return self._stale(address)
        now_ns, wrong = self._clock.wall_ns(), RejectReason.SIGNATURE_INVALID
        why = self._nonces.why_not(time_ms, nonce, now_ns)
        if why:
            return self._denied(wrong, why, key_id, address)
        if not KEY_ID.fullmatch(key_id):
            return self._denied(wrong, "key and signature do not fit", key_id, address)
        found = self._users.key(key_id)
        secret = self.key_secret(key_id).encode()
        expected = signature_of(secret, time_ms, nonce, method, target, body)
        if not is_signature(signature, expected) or found is None:
            return self._denied(wrong, "key and signature do not fit", key_id, address)
        user, key = found
        if user.locked or (key.ends_ns and key.ends_ns <= now_ns):
            return self._denied(wrong, "key and signature do not fit", key_id, address)
        if key.addresses and not is_among(
            address, networks_in("addresses", ",".join(key.addresses))
        ):
            text = "the key is not for this address"
            return self._denied(RejectReason.NOT_ALLOWED, text, key_id, address)
        if not self._nonces.knows(time_ms):
            text = "whether it came before is not known of so early a time: sign it again in 1 s"
            return self._denied(RejectReason.ACCESS_STALE, text, key_id, address, 1)
        taken: bool | None = self._nonces.take(key_id, time_ms, nonce, now_ns)
        if taken and self._once is not None:
            at_ns = int(time_ms) * MILLIS
            taken = self._once.take(f"nonce:{key_id}:{nonce}", at_ns=at_ns)
        if taken is None:
            text = "whether another front door took it is not known: sign it again in 2 s"
            return self._denied(RejectReason.ACCESS_STALE, text, key_id, address, 2)
        if not taken:
            return self._denied(wrong, "the nonce was used, or there are too many", key_id, address)
        scopes = SCOPES_OF[user.role] & set(key.scopes)
        return Caller(user.name, user.role, scopes, user.accounts, key_id=key_id)

    def stands(self, caller: Caller) -> Denied | None:
        """Why a socket that was opened by this caller must be closed; None if it may stay.

        For all sockets of a user when `oms.access` tells of a change, and for each now and then:
        sessions and keys also end by time.
        """
        if self.is_stale():
            return self._stale("")
        user, now_ns = self._users.user(caller.user), self._clock.wall_ns()
        if user is not None and not user.locked:
            key, family = user.key(caller.key_id), user.family(caller.family)
            lives = self._lives(family) or (
                key is not None and (key.ends_ns == 0 or key.ends_ns > now_ns)
            )
            same = (user.role, user.accounts) == (caller.role, caller.accounts)
            if lives and same:
                return None
        return Denied(RejectReason.SESSION_REVOKED, "the login, key, role or accounts are others")

    # --- keys and the second factor ---

    def create_key(
        self, user: str, name: str, scopes: Iterable[str], addresses: str = "", ends_ns: int = 0
    ) -> AccessRequest:
        """The request for an API key; `told_facts` of its answer has `key`, of which `key_secret`
        is to be shown once. addresses: separated by commas, with or without a prefix. Raises
        ValidationError, naming the field."""
        networks = dict.fromkeys(map(str, networks_in("addresses", addresses)))
        facts = {
            "name": name, "scopes": ",".join(scopes), "addresses": ",".join(networks),
            "ends_ns": str(ends_ns),
        }  # fmt: skip
        return self.request(AccessAction.CREATE_KEY, user, facts)

    def key_secret(self, key_id: str) -> str:
        """What the program of a key signs with; shown once, when the key is created."""
        return self._master.derived("key", key_id).hex()

    def factor_secret(self, user: User) -> bytes:
        """Of the second factor that is on, or would be next: 20 bytes, as RFC 4226 advises."""
        return self._master.derived("factor", f"{user.user_id}.{user.factor.number}")[:20]

    def checked_code(self, user: User, code: str, address: str) -> int | Denied:
        """The step of a second factor's code; FACTOR_ON, FACTOR_OFF and LOGIN have it as a fact.
        Wrong ones count as failed logins do. Not for an event loop where several gates count."""
        wait_s = self._begin(CODE, user.name, address)
        if wait_s:
            return self._too_many(wait_s, user.name, address)
        step = totp_step(
            self.factor_secret(user), code, self._clock.wall_ns(), user.factor.step
        )  # fmt: skip
        if step is None:
            text = "the second factor's code is wrong, used, or too old"
            return self._denied(RejectReason.CODE_INVALID, text, user.name, address)
        self._attempts.succeeded(CODE, user.name, client_of(address))
        return step

    def _begin(self, what: str, name: str, address: str) -> int:
        return self._attempts.begin(what, name, client_of(address), self._clock.monotonic_ns())

    # --- refusals ---

    def request(
        self, action: AccessAction, user: str, facts: Mapping[str, str] | None = None
    ) -> AccessRequest:
        """A request about a user, by the gate: whoever asks was let through before. Raises
        ValidationError, naming the field."""
        return AccessRequest(
            account=GATE, client_order_id=self._new_id(), action=action, user=user,
            facts=facts or None, origin=Origin(user, self._gateway) if self._gateway else NO_ORIGIN,
        )  # fmt: skip

    def is_stale(self) -> bool:
        return self._clock.monotonic_ns() - self._users.seen_ns > STALE_NS

    def _stale(self, address: str) -> Denied:
        text = "revocations are not known at the moment"
        return self._denied(RejectReason.ACCESS_STALE, text, "", address, 1)

    def _too_many(self, wait_s: int, who: str, address: str) -> Denied:
        text = f"too many attempts that failed: try again in {wait_s} s"
        return self._denied(RejectReason.LOGINS_EXCEED_MAXIMUM, text, who, address, wait_s)

    def _denied(
        self, reason: RejectReason, text: str, who: str, address: str, retry_s: int = 0
    ) -> Denied:
        """One log line; who: a name, or the id of a key, as it was given."""
        log.warning("refused %s: %r from %s: %s", reason, who[:LOGGED_MAX], address or "-", text)
        return Denied(reason, text, retry_s)
