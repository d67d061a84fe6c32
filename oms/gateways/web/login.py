"""Login: the routes of users: who they become, by what they are known, and how that ends.

What takes long (hashes of passwords) is done on other threads, few at a time; what must not race
(is the name free, does the session live) the exchange decides, and journals.
"""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated

import msgspec

from oms.errors import OMSError, ValidationError
from oms.gateways.gate import Caller, Denied, Gate, code_hash, new_code
from oms.gateways.signatures import factor_uri
from oms.gateways.web.door import Door, Right
from oms.gateways.web.errors import OUR_FIELDS, OurFields, Reply, denied, http_error, refusal
from oms.gateways.web.front import Ask, Entry
from oms.gateways.web.keeper import DoorKeeper
from oms.gateways.web.shapes import Answer
from oms.gateways.web.told import Told
from oms.gateways.web.trading import made_id
from oms.gateways.web.user_shapes import (
    ChangedTold,
    CodeTold,
    FactorPending,
    FactorTold,
    KeysTold,
    KeyTold,
    LoggedOut,
    Revoked,
    SignedUp,
    SignInsTold,
    TicketTold,
    TokensTold,
    UsersTold,
    UserTold,
)
from oms.gateways.web.words import NO_COMMA, Body, WholeText
from oms.reject_reasons import RejectReason
from oms.requests import AccessRequest, FundsAction, FundsRequest
from oms.requests.access import (
    ACCOUNTS_MAX,
    ADDRESSES_MAX,
    NO,
    YES,
    AccessAction,
    told_facts,
)
from oms.requests.operators import OPERATOR
from oms.requests.orders import ID_LENGTH_MAX
from oms.responses import OrderResponse
from oms.users import AccessScope, Key, Role, User

log = logging.getLogger(__name__)

SIGNED_IN = Answer(TokensTold, (200, 202), other=FactorPending)
NEW_PASSWORD = {"password": "newPassword"}
CODE_LIFE_S = 24 * 3_600
ISSUER = "oms"
Password = Annotated[str, msgspec.Meta(max_length=1_024)]
Name = Annotated[str, msgspec.Meta(min_length=1, max_length=254)]
# In the journal such a list is one text, separated by commas: none may be within an item.
Accounts = Annotated[
    list[Annotated[str, msgspec.Meta(min_length=1, max_length=ID_LENGTH_MAX, pattern=NO_COMMA)]],
    msgspec.Meta(max_length=ACCOUNTS_MAX),
]
Addresses = Annotated[
    list[Annotated[str, msgspec.Meta(min_length=1, pattern=NO_COMMA)]],
    msgspec.Meta(max_length=ADDRESSES_MAX),
]


class SignUp(Body):
    """A new user. username: 1 to 64 letters, digits and . _ + -; also the name of their account."""

    username: Name
    email: Name
    password: Password


class Login(Body):
    """By username or email. code: of the second factor, if there is one; or, with `pending` from
    the answer before instead of the password."""

    username: Name | None = None
    email: Name | None = None
    password: Password | None = None
    code: Annotated[str, msgspec.Meta(max_length=16)] = ""
    pending: Annotated[str, msgspec.Meta(max_length=4_096)] | None = None


class Refresh(Body):
    """The refresh token of the answer before; each is good once."""

    refresh_token: Annotated[str, msgspec.Meta(max_length=4_096)]


class Logout(Body):
    """everywhere: all logins of the user end."""

    everywhere: bool = False


class ChangePassword(Body):
    """All logins end."""

    old_password: Password
    new_password: Password


class Reset(Body):
    """By a one-time code of an operator; all logins end."""

    username: Name
    code: Annotated[str, msgspec.Meta(max_length=64)]
    new_password: Password


class CodeOnly(Body):
    """The code that the authenticator shows."""

    code: Annotated[str, msgspec.Meta(max_length=16)]


class NewKey(Body):
    """scopes: read, trade, admin. addresses: networks it may be used from; none: any. ends: wall
    clock in nanoseconds since 1970; 0: never."""

    name: Annotated[str, msgspec.Meta(min_length=1, max_length=200)]
    scopes: Annotated[list[AccessScope], msgspec.Meta(min_length=1, max_length=3)]
    addresses: Addresses | None = None
    ends: WholeText = "0"


class AddUser(SignUp):
    """accounts: those they own; none named: one of the same name."""

    role: Role = Role.TRADER
    accounts: Accounts | None = None


class ChangeUser(Body):
    """What is to change of a user: what is left out stays."""

    role: Role | None = None
    accounts: Accounts | None = None
    locked: bool | None = None
    why: Annotated[str, msgspec.Meta(max_length=200)] = ""


class LoginRoutes:
    """Belongs to one door."""

    def __init__(self, door: Door, keeper: DoorKeeper) -> None:
        self._door = door
        self._keeper = keeper
        self._gate: Gate = keeper.gate

    # --- users ---

    async def sign_up(self, ask: Ask, body: SignUp) -> Reply:
        if not self._door.web.sign_up:
            raise http_error(403, "FORBIDDEN", "users are added by an operator: [web] sign_up")
        await self._door.allow_login(ask.address)
        await self._ask(await self._new_user(body, (body.username,), Role.TRADER))
        with self._later(body.username):
            await self._give_account(body.username)
        return Reply({"user": body.username, "accounts": [body.username]}, 201)

    async def _new_user(
        self, body: SignUp, accounts: tuple[str, ...], role: Role
    ) -> AccessRequest:  # fmt: skip
        with OUR_FIELDS:
            return await self._door.hashed(
                self._gate.sign_up, body.username, body.email, body.password, accounts, role.value
            )

    async def _finish_sign_up(self, user: User) -> None:
        """A process that was killed within a sign-up left a user whose account is not all there, as
        did a group of markets out of reach. What was given once is not given again."""
        if not self._door.web.sign_up or user.name not in user.accounts:
            return
        with self._later(user.name):
            owned = await self._door.in_thread(self._door.oms.balances, user.name)
            due = self._assets() if self._door.web.play_money else set()
            if not owned or due - owned.keys():
                await self._give_account(user.name)

    @contextmanager
    def _later(self, name: str) -> Iterator[None]:
        """The user is there, and may come in, whatever becomes of the account: the next login gives
        what could not be given."""
        try:
            yield
        except OMSError as error:
            log.warning("the account of user %s is not all there yet: %s", name, error)

    def _assets(self) -> set[str]:
        """All that instruments are traded in."""
        found = self._door.oms.instruments().values()
        return {asset for each in found for asset in (each.base, each.quote) if asset}

    async def _give_account(self, account: str) -> None:
        """With a ledger: the account, and the play money of a trial."""
        door = self._door
        if not door.oms.config.exchange.ledger:
            return
        requests = [
            FundsRequest(account=account, client_order_id="create", action=FundsAction.CREATE)
        ]
        amount = door.web.play_money
        if amount:
            requests += [
                FundsRequest(
                    account=account, client_order_id=f"play-{asset}", action=FundsAction.DEPOSIT,
                    asset=asset, amount=amount,
                )
                for asset in sorted(self._assets())
            ]  # fmt: skip
        for request in requests:
            response = await door.submit(request)
            known = response.reason is RejectReason.ACCOUNT_EXISTS
            if response.refused and not known:
                raise refusal(response)

    async def log_in(self, ask: Ask, body: Login) -> Reply:
        """Also alone by the code of the second factor, once the password was right."""
        await self._door.allow_login(ask.address)
        user = await self._shown(ask, body)
        login = self._door.in_thread(self._gate.login, user, ask.address, body.code)
        found = await login
        if isinstance(found, Denied):
            if found.reason is RejectReason.SECOND_FACTOR_REQUIRED:
                told = {"secondFactor": True, "pending": self._gate.pending(user)}
                return Reply(told, 202)
            raise denied(found)
        response = await self._ask(found)
        await self._finish_sign_up(user)
        return self._opened(response)

    async def _shown(self, ask: Ask, body: Login) -> User:
        name = body.username or body.email
        if body.pending is not None:
            if not body.code:  # else a token would give the next one, for ever
                raise ValidationError("code", None, "the second factor's, beside pending")
            found = self._gate.by_pending(body.pending, ask.address)
            if isinstance(found, Denied):
                raise denied(found)
            return found
        if name is None or body.password is None or (body.username and body.email):
            raise ValidationError("email", name, "username or email, and password")
        found = await self._door.hashed(self._gate.verify, name, body.password, ask.address)
        if isinstance(found, Denied):
            raise denied(found)
        renewal = await self._door.hashed(self._gate.renewal, found, body.password)
        if renewal is not None:
            await self._ask(renewal)
            found = self._gate.find(name) or found
        return found

    async def refresh(self, ask: Ask, body: Refresh) -> Reply:
        found = self._gate.refresh(body.refresh_token, ask.address)
        if isinstance(found, Denied):
            raise denied(found)
        return self._opened(await self._ask(found))

    def _opened(self, response: OrderResponse) -> Reply:
        opened = self._gate.opened(response)
        return Reply(
            {
                "token": opened.access, "accessToken": opened.access,
                "refreshToken": opened.refresh, "tokenType": "Bearer",
                "expiresIn": opened.expires_s,
            }
        )  # fmt: skip

    async def log_out(self, ask: Ask, body: Logout) -> Reply:
        self._by_login(ask)
        await self._ask(self._gate.logout(ask.caller, everywhere=body.everywhere))
        return Reply({"loggedOut": True})

    async def logins(self, ask: Ask, _: None) -> Reply:
        """Those of the user that have not ended, oldest first."""
        caller, now_ns = ask.caller, self._door.oms.clock.wall_ns()
        return Reply(
            {
                "logins": [
                    {
                        "id": each.family_id, "began": str(each.began_ns),
                        "ends": str(each.ends_ns), "current": each.family_id == caller.family,
                    }
                    for each in self._user(caller).families
                    if each.ends_ns > now_ns
                ]
            }
        )  # fmt: skip

    async def end_login(self, ask: Ask, _: None) -> Reply:
        """Its tokens are good no more, and its sockets close."""
        self._by_login(ask)
        facts = {"family": ask.path["id"]}
        await self._ask(self._request(ask, AccessAction.LOGOUT, ask.caller.user, facts))
        return Reply({"revoked": ask.path["id"]})

    async def me(self, ask: Ask, _: None) -> Reply:
        """Who the caller is, and what they may."""
        user = self._user(ask.caller)
        return Reply({**user_told(user), "scopes": sorted(ask.caller.scopes)})

    async def change_password(self, ask: Ask, body: ChangePassword) -> Reply:
        self._by_login(ask)
        name = ask.caller.user
        found = await self._door.hashed(self._gate.verify, name, body.old_password, ask.address)
        if isinstance(found, Denied):
            raise denied(found)
        with OurFields(NEW_PASSWORD):
            request = await self._door.hashed(self._gate.change_password, found, body.new_password)
        await self._ask(request)
        return Reply({"changed": True})

    async def reset(self, ask: Ask, body: Reset) -> Reply:
        await self._door.allow_login(ask.address)
        with OurFields(NEW_PASSWORD):
            found = await self._door.hashed(
                self._gate.reset, body.username, body.code, body.new_password, ask.address
            )
        if isinstance(found, Denied):
            raise denied(found)
        await self._ask(found)
        return Reply({"changed": True})

    async def ticket(self, ask: Ask, _: None) -> Reply:
        """What opens one WebSocket within 30 s, as ?ticket=."""
        self._by_login(ask)
        found = self._gate.ticket(ask.caller)
        if isinstance(found, Denied):
            raise denied(found)
        return Reply({"ticket": found, "expiresIn": 30}, 201)

    # --- the second factor ---

    async def factor(self, ask: Ask, _: None) -> Reply:
        """What an authenticator program is to be told; shown only while it is off."""
        self._by_login(ask)
        user = self._user(ask.caller)
        if user.factor.on:
            return Reply({"on": True})
        uri = factor_uri(self._gate.factor_secret(user), user.name, ISSUER)
        return Reply({"on": False, "uri": uri})

    async def factor_on(self, ask: Ask, body: CodeOnly) -> Reply:
        return await self._set_factor(ask, body, AccessAction.FACTOR_ON)

    async def factor_off(self, ask: Ask, body: CodeOnly) -> Reply:
        return await self._set_factor(ask, body, AccessAction.FACTOR_OFF)

    async def _set_factor(self, ask: Ask, body: CodeOnly, action: AccessAction) -> Reply:
        self._by_login(ask)
        user = self._user(ask.caller)
        step = await self._door.in_thread(self._gate.checked_code, user, body.code, ask.address)
        if isinstance(step, Denied):
            raise denied(step)
        await self._ask(self._request(ask, action, user.name, {"step": str(step)}))
        return Reply({"on": action is AccessAction.FACTOR_ON})

    # --- keys ---

    async def keys(self, ask: Ask, _: None) -> Reply:
        return Reply({"keys": [key_told(each) for each in self._user(ask.caller).keys]})

    async def create_key(self, ask: Ask, body: NewKey) -> Reply:
        """The secret is in this answer alone."""
        self._by_login(ask)
        facts = {
            "name": body.name, "scopes": ",".join(dict.fromkeys(body.scopes)),
            "ends_ns": body.ends,
        }  # fmt: skip
        if body.addresses:
            facts["addresses"] = ",".join(body.addresses)
        request = self._request(ask, AccessAction.CREATE_KEY, ask.caller.user, facts)
        key_id = told_facts((await self._ask(request)).text)["key"]
        key = self._user(ask.caller).key(key_id)
        assert key is not None
        return Reply({**key_told(key), "secret": self._gate.key_secret(key_id)}, 201)

    async def revoke_key(self, ask: Ask, _: None) -> Reply:
        self._by_login(ask)
        facts = {"key": ask.path["id"]}
        await self._ask(self._request(ask, AccessAction.REVOKE_KEY, ask.caller.user, facts))
        return Reply({"revoked": ask.path["id"]})

    # --- operators ---

    async def users(self, _ask: Ask, _: None) -> Reply:
        return Reply({"users": [user_told(each) for each in self._door.oms.access.users()]})

    async def add_user(self, ask: Ask, body: AddUser) -> Reply:
        accounts = (body.username,) if body.accounts is None else tuple(body.accounts)
        request = await self._new_user(body, accounts, body.role)
        await self._ask(_by_operator(ask, request))
        for account in accounts:
            await self._give_account(account)
        return Reply(
            {"user": body.username, "accounts": list(accounts), "role": body.role.value}, 201
        )

    async def change_user(self, ask: Ask, body: ChangeUser) -> Reply:
        """All of it, or nothing if any of it is refused."""
        name, facts = ask.path["name"], dict[str, str]()
        if body.role is not None:
            facts["role"] = body.role.value
        if body.accounts is not None:
            facts["accounts"] = ",".join(body.accounts)
        if body.locked is not None:
            facts["locked"] = YES if body.locked else NO
        if not facts:
            raise ValidationError("role", None, "role, accounts or locked")
        if body.why:
            facts["why"] = body.why
        action = AccessAction.CHANGE_USER
        await self._ask(self._request(ask, action, name, facts, account=OPERATOR))
        user = self._door.oms.access.user(name)
        return Reply(user_told(user) if user is not None else {})

    async def issue_code(self, ask: Ask, _: None) -> Reply:
        """A one-time code with which the user sets a new password; in this answer alone."""
        name, code = ask.path["name"], new_code()
        ends_ns = self._door.oms.clock.wall_ns() + CODE_LIFE_S * 10**9
        facts = {"code": code_hash(code), "ends_ns": str(ends_ns)}
        request = self._request(ask, AccessAction.ISSUE_CODE, name, facts, account=OPERATOR)
        await self._ask(request)
        return Reply({"user": name, "code": code, "ends": str(ends_ns)}, 201)

    # --- what they share ---

    def _user(self, caller: Caller) -> User:
        user = self._door.oms.access.user(caller.user)
        assert user is not None, "users are never removed"
        return user

    @staticmethod
    def _by_login(ask: Ask) -> None:
        """A key must not make keys, nor change what its owner is known by."""
        if not ask.caller.family:
            raise http_error(403, "FORBIDDEN", "this needs a login, not a key")

    @staticmethod
    def _request(
        ask: Ask, action: AccessAction, user: str, facts: dict[str, str], account: str = "gate"
    ) -> AccessRequest:
        with OurFields({"user": "name", "key": "id"}):  # both are of the path
            return AccessRequest(
                account=account, client_order_id=made_id(), action=action, user=user,
                facts=facts or None, origin=ask.origin,
            )  # fmt: skip

    async def _ask(self, request: AccessRequest) -> OrderResponse:
        response = await self._door.submit(request)
        if response.refused:
            raise refusal(response)
        return response

    def entries(self) -> list[Entry]:
        public, read, admin = Right.PUBLIC, Right.READ, Right.ADMIN
        return [
            Entry("POST", "/signup", self.sign_up, public, "become a user", SignUp,
                  answer=Answer(SignedUp, (201,))),
            Entry("POST", "/login", self.log_in, public, "sign in", Login, answer=SIGNED_IN),
            Entry("POST", "/signin", self.log_in, public, "sign in", Login, answer=SIGNED_IN),
            Entry("POST", "/refresh", self.refresh, public, "a new access token", Refresh,
                  answer=Answer(TokensTold)),
            Entry("POST", "/logout", self.log_out, read, "end this login", Logout,
                  answer=Answer(LoggedOut)),
            Entry("GET", "/logins", self.logins, read, "your logins",
                  answer=Answer(SignInsTold)),
            Entry("DELETE", "/logins/{id}", self.end_login, read, "end one of your logins",
                  answer=Answer(Revoked)),
            Entry("GET", "/me", self.me, read, "who you are", answer=Answer(UserTold)),
            Entry("POST", "/password", self.change_password, read, "change the password",
                  ChangePassword, answer=Answer(ChangedTold)),
            Entry("POST", "/password/reset", self.reset, public, "set a password by a code",
                  Reset, answer=Answer(ChangedTold)),
            Entry("POST", "/ticket", self.ticket, read, "a ticket for one WebSocket",
                  answer=Answer(TicketTold, (201,))),
            Entry("GET", "/factor", self.factor, read, "the second factor",
                  answer=Answer(FactorTold)),
            Entry("POST", "/factor", self.factor_on, read, "turn it on", CodeOnly,
                  answer=Answer(FactorTold)),
            Entry("DELETE", "/factor", self.factor_off, read, "turn it off", CodeOnly,
                  answer=Answer(FactorTold)),
            Entry("GET", "/keys", self.keys, read, "your API keys", answer=Answer(KeysTold)),
            Entry("POST", "/keys", self.create_key, read, "make an API key", NewKey,
                  answer=Answer(KeyTold, (201,))),
            Entry("DELETE", "/keys/{id}", self.revoke_key, read, "revoke an API key",
                  answer=Answer(Revoked)),
            Entry("GET", "/admin/users", self.users, admin, "all users", answer=Answer(UsersTold)),
            Entry("POST", "/admin/users", self.add_user, admin, "add a user", AddUser,
                  answer=Answer(SignedUp, (201,))),
            Entry("PATCH", "/admin/users/{name}", self.change_user, admin, "change a user",
                  ChangeUser, answer=Answer(UserTold)),
            Entry("POST", "/admin/users/{name}/code", self.issue_code, admin,
                  "a one-time code for a new password",
                  answer=Answer(CodeTold, (201,))),
        ]  # fmt: skip


def _by_operator(ask: Ask, request: AccessRequest) -> AccessRequest:
    """The same, asked by an operator."""
    return AccessRequest(
        account=OPERATOR, client_order_id=request.client_order_id, action=request.action,
        user=request.user, facts=request.facts, origin=ask.origin,
    )  # fmt: skip


def user_told(user: User) -> Told:
    return {
        "user": user.name, "email": user.email, "role": user.role,
        "accounts": list(user.accounts), "locked": user.locked or None,
        "secondFactor": user.factor.on, "logins": len(user.families),
        "keys": len(user.keys), "created": str(user.created_ns),
    }  # fmt: skip


def key_told(key: Key) -> Told:
    return {
        "id": key.key_id, "name": key.name, "scopes": list(key.scopes),
        "addresses": list(key.addresses), "ends": str(key.ends_ns) if key.ends_ns else None,
        "created": str(key.created_ns),
    }  # fmt: skip
