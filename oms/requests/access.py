"""Requests about users: who may log in, by which sessions and keys, for which accounts.

Each request has the account that asks and an id of its own, from the same names as the account's
orders: the same id with the same content again gets the same answer and no second effect.
What a request says beside its user are facts: names with texts. No fact is a secret: a password
comes as its hash, a one-time code as the hash of it, and the secrets of keys and of second factors
are derived from a master secret that no request has. A gateway checks passwords, codes and
signatures before it asks; see gateways/gate.py.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from ipaddress import ip_network
from typing import Any

from oms.errors import ValidationError
from oms.requests.operators import OPERATOR
from oms.requests.orders import (
    NO_ORIGIN,
    SEQUENCE_MAX,
    Origin,
    check_id,
    check_origin,
    member_of,
    set_field,
)
from oms.users import AccessScope, LossScope, Role

GATE = "gate"
"""The account in whose name a gateway asks for users who have none yet."""

HASH_LENGTH_MAX, TEXT_LENGTH_MAX, EMAIL_LENGTH_MAX = 400, 200, 254
ACCOUNTS_MAX, ADDRESSES_MAX = 64, 32
DIGITS_MAX = 19
YES, NO = "yes", "no"
# No @: else the name of one user could be the email of another.
USER_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]{0,63}")
EMAIL = re.compile(r"[^@\s,]+@[^@\s,]+")
CODE_HASH = re.compile("[0-9a-f]{64}")


class AccessAction(StrEnum):
    """What may be asked. "*": for the account "operator" alone.

    SIGN_UP: a new user. RENEW_HASH: the same password, hashed anew. CHANGE_PASSWORD: another
    one; all sessions end. ISSUE_CODE*: a one-time code with which a password can be set.
    RESET_PASSWORD: by that code; all sessions end. SET_ROLE*, SET_USER_ACCOUNTS*. LOCK_USER*: all
    sessions end, keys rest; UNLOCK_USER*. CHANGE_USER*: several of these four, all or none. LOGIN:
    a session begins. REFRESH: it goes on with the next generation of its token. LOGOUT,
    LOGOUT_ALL: one session ends, or all. CREATE_KEY, REVOKE_KEY: for programs. FACTOR_ON,
    FACTOR_OFF: a second factor (TOTP, RFC 6238). ARM: cancel orders once a connection is lost,
    this process or a later one; DISARM: that is no longer meant, or done.
    """

    SIGN_UP = "SIGN_UP"
    RENEW_HASH = "RENEW_HASH"
    CHANGE_PASSWORD = "CHANGE_PASSWORD"
    ISSUE_CODE = "ISSUE_CODE"
    RESET_PASSWORD = "RESET_PASSWORD"
    SET_ROLE = "SET_ROLE"
    SET_USER_ACCOUNTS = "SET_USER_ACCOUNTS"
    LOCK_USER = "LOCK_USER"
    UNLOCK_USER = "UNLOCK_USER"
    CHANGE_USER = "CHANGE_USER"
    LOGIN = "LOGIN"
    REFRESH = "REFRESH"
    LOGOUT = "LOGOUT"
    LOGOUT_ALL = "LOGOUT_ALL"
    CREATE_KEY = "CREATE_KEY"
    REVOKE_KEY = "REVOKE_KEY"
    FACTOR_ON = "FACTOR_ON"
    FACTOR_OFF = "FACTOR_OFF"
    ARM = "ARM"
    DISARM = "DISARM"


OF_OPERATORS = (
    AccessAction.ISSUE_CODE, AccessAction.SET_ROLE, AccessAction.SET_USER_ACCOUNTS,
    AccessAction.LOCK_USER, AccessAction.UNLOCK_USER, AccessAction.CHANGE_USER,
)  # fmt: skip


# --- facts, and what each may be ---


def _printable(name: str, text: str, length_max: int) -> None:
    if not 1 <= len(text) <= length_max or not text.isprintable():
        raise ValidationError(name, text, f"1 to {length_max} printable characters")


def _text(name: str, text: str) -> None:
    _printable(name, text, TEXT_LENGTH_MAX)


def _optional_text(name: str, text: str) -> None:
    if text:
        _text(name, text)


def _hash(name: str, text: str) -> None:
    """Its value is in no error."""
    if not text.startswith("$") or len(text) > HASH_LENGTH_MAX or not text.isascii():
        raise ValidationError(name, "another text", "a hash that names its algorithm, $...")
    if not text.isprintable():
        raise ValidationError(name, "another text", "printable characters")


def _code(name: str, text: str) -> None:
    if not CODE_HASH.fullmatch(text):
        raise ValidationError(name, "another text", "the SHA-256 of a code, 64 hexadecimal digits")


def _email(name: str, text: str) -> None:
    _printable(name, text, EMAIL_LENGTH_MAX)
    if not EMAIL.fullmatch(text):
        raise ValidationError(name, text, "an email address")


def _whole(name: str, text: str) -> None:
    digits = text.isascii() and text.isdecimal() and len(text) <= DIGITS_MAX
    if not digits or not 0 <= int(text) <= SEQUENCE_MAX or str(int(text)) != text:
        raise ValidationError(name, text, f"a whole number from 0 to {SEQUENCE_MAX}, as text")


def _role(name: str, text: str) -> None:
    member_of(name, text, Role)


def _flag(name: str, text: str) -> None:
    if text not in (YES, NO):
        raise ValidationError(name, text, f"{YES} or {NO}")


def names_in(text: str) -> tuple[str, ...]:
    """The items of a fact that is a list: separated by commas; none of an empty text."""
    return tuple(text.split(",")) if text else ()


def _list(count_max: int, check: Callable[[str, str], object]) -> Callable[[str, str], None]:
    """Items separated by commas, none twice."""

    def checked(name: str, text: str) -> None:
        items = names_in(text)
        if len(items) > count_max or len(set(items)) != len(items):
            raise ValidationError(name, text, f"at most {count_max} items, none twice")
        for item in items:
            check(name, item)

    return checked


def _scope(name: str, text: str) -> None:
    member_of(name, text, AccessScope)


def _some_scopes(name: str, text: str) -> None:
    _list(len(AccessScope), _scope)(name, text)
    if not text:
        raise ValidationError(name, text, "some of " + ", ".join(AccessScope))


def _network(name: str, text: str) -> None:
    """In its one form, so that readers take it as it is."""
    try:
        found = str(ip_network(text))
    except ValueError:
        found = ""
    if found != text:
        raise ValidationError(name, text, "an address with its prefix, such as 192.0.2.0/24")


def _name(name: str, text: str) -> None:
    check_id(name, text)


def _lost(name: str, text: str) -> None:
    member_of(name, text, LossScope)


_accounts = _list(ACCOUNTS_MAX, _name)
_addresses = _list(ADDRESSES_MAX, _network)
Check = Callable[[str, str], object]
# Of each action the facts that it needs, and those that it may have.
FACTS: dict[AccessAction, tuple[dict[str, Check], dict[str, Check]]] = {
    AccessAction.SIGN_UP: (
        {"email": _email, "hash": _hash, "role": _role, "accounts": _accounts}, {},
    ),
    AccessAction.RENEW_HASH: ({"hash": _hash, "credential": _name}, {}),
    AccessAction.CHANGE_PASSWORD: ({"hash": _hash, "credential": _name}, {}),
    AccessAction.ISSUE_CODE: ({"code": _code, "ends_ns": _whole}, {}),
    AccessAction.RESET_PASSWORD: ({"code": _code, "hash": _hash}, {}),
    AccessAction.SET_ROLE: ({"role": _role}, {}),
    AccessAction.SET_USER_ACCOUNTS: ({"accounts": _accounts}, {}),
    AccessAction.LOCK_USER: ({}, {"why": _optional_text}),
    AccessAction.UNLOCK_USER: ({}, {"why": _optional_text}),
    AccessAction.CHANGE_USER: (
        {}, {"role": _role, "accounts": _accounts, "locked": _flag, "why": _optional_text},
    ),
    AccessAction.LOGIN: ({"credential": _name, "ends_ns": _whole}, {"step": _whole}),
    AccessAction.REFRESH: ({"family": _name, "generation": _whole}, {}),
    AccessAction.LOGOUT: ({"family": _name}, {}),
    AccessAction.LOGOUT_ALL: ({}, {}),
    AccessAction.CREATE_KEY: (
        {"name": _text, "scopes": _some_scopes, "ends_ns": _whole}, {"addresses": _addresses},
    ),
    AccessAction.REVOKE_KEY: ({"key": _name}, {}),
    AccessAction.FACTOR_ON: ({"step": _whole}, {}),
    AccessAction.FACTOR_OFF: ({}, {"step": _whole}),
    AccessAction.ARM: ({"account": _name, "scope": _lost, "grace_s": _whole}, {}),
    AccessAction.DISARM: ({"arm": _name}, {}),
}  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class AccessRequest:
    """Sign a user up, let one in, end a session, make a key: see AccessAction.

    user: whom it is about, 1 to 64 letters, digits and . _ + -; case makes no other user.
    facts: names with texts, those that FACTS has for the action:
        hash: of a password, naming its algorithm. credential: the id of the password that was
        checked (User.credential): one that was changed meanwhile is good no more.
        role: a Role. locked: yes or no. accounts, scopes, addresses: lists, separated by commas.
        email. name: of a key, for people. code: SHA-256 of a one-time code, hexadecimal. ends_ns:
        nanoseconds since 1970; of a key 0 for never. step: of the second factor's code, counted
        from 1970 in steps of 30 s. family, generation: of the refresh token. key: its id. why: for
        the record. scope: a LossScope. account: whose orders. grace_s: how long to wait for a new
        connection. arm: its id.

    Raises ValidationError, naming the field or the fact; `facts` if one is missing or unknown.
    """

    account: str
    client_order_id: str
    action: AccessAction
    user: str
    facts: Mapping[str, str] | None = field(default=None, hash=False)
    origin: Origin = NO_ORIGIN

    def __post_init__(self) -> None:
        check_id("account", self.account)
        check_id("client_order_id", self.client_order_id)
        check_origin(self.origin)
        set_field(self, "action", member_of("action", self.action, AccessAction))
        if type(self.user) is not str or not USER_NAME.fullmatch(self.user):
            raise ValidationError("user", self.user, "1 to 64 letters, digits and . _ + -")
        if self.action in OF_OPERATORS and self.account != OPERATOR:
            raise ValidationError("account", self.account, f"{OPERATOR} with {self.action}")
        self._check_facts()

    def _check_facts(self) -> None:
        needed, optional = FACTS[self.action]
        given = {} if self.facts is None else self.facts
        if not isinstance(given, Mapping):
            raise ValidationError("facts", given, "names with their texts")
        # A copy, with texts for words (Role.TRADER): what is checked is what stays.
        given = {n: t.value if isinstance(t, StrEnum) else t for n, t in given.items()}
        set_field(self, "facts", given or self.facts)
        for name, text in given.items():
            check = (needed | optional).get(name) if type(name) is str else None
            if check is None:
                known = ", ".join(needed | optional) or "none"
                raise ValidationError("facts", name, f"{known}, with {self.action}")
            if type(text) is not str:
                raise ValidationError(name, type(text).__name__, "a text")
            check(name, text)
        for name in needed:
            if name not in given:
                raise ValidationError("facts", list(given), f"{name}, with {self.action}")

    @property
    def line(self) -> tuple[Any, ...]:
        return (
            "H", self.account, self.client_order_id, self.action.value, self.user,
            dict(sorted((self.facts or {}).items())), self.origin,
        )  # fmt: skip


def told_facts(text: str) -> dict[str, str]:
    """What the answer to a request that was done says: "user=ann, key=7-1f" as names and texts."""
    return dict(part.split("=", 1) for part in text.split(", ") if "=" in part)
