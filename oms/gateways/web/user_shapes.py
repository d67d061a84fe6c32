"""User shapes: what is answered of users, sign-ins, keys and second factors."""

from typing import NotRequired, TypedDict

from oms.gateways.web.shapes import Digits
from oms.users import AccessScope, Role


class SignedUp(TypedDict):
    user: str
    accounts: list[str]
    role: NotRequired[Role]


class TokensTold(TypedDict):
    """token and accessToken are the same; expiresIn: seconds."""

    token: str
    accessToken: str
    refreshToken: str
    tokenType: str
    expiresIn: int


class FactorPending(TypedDict):
    """The password was right; log in again with `pending` and the code."""

    secondFactor: bool
    pending: str


class UserTold(TypedDict):
    user: str
    email: str
    role: Role
    accounts: list[str]
    locked: str | bool | None
    secondFactor: bool
    logins: int
    keys: int
    created: Digits
    scopes: NotRequired[list[AccessScope]]


class UsersTold(TypedDict):
    users: list[UserTold]


class KeyTold(TypedDict):
    """secret: in the answer that creates it, and never again."""

    id: str
    name: str
    scopes: list[AccessScope]
    addresses: list[str]
    ends: Digits | None
    created: Digits
    secret: NotRequired[str]


class KeysTold(TypedDict):
    keys: list[KeyTold]


class SignInTold(TypedDict):
    """One login. began, ends: wall clock. current: the one that asks."""

    id: str
    began: Digits
    ends: Digits
    current: bool


class SignInsTold(TypedDict):
    logins: list[SignInTold]


class FactorTold(TypedDict):
    """uri: for an authenticator, while it is off."""

    on: bool
    uri: NotRequired[str]


class TicketTold(TypedDict):
    ticket: str
    expiresIn: int


class CodeTold(TypedDict):
    user: str
    code: str
    ends: Digits


class LoggedOut(TypedDict):
    loggedOut: bool


class ChangedTold(TypedDict):
    changed: bool


class Revoked(TypedDict):
    revoked: str
