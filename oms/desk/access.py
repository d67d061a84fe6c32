"""Access: users, their sessions and keys, and what each request about them changes.

Flow:  desk -> [access] -> reports; after the commit dispatcher -> access_view -> gateways
In:    ACCESS lines, in journal order. A gateway has checked passwords, signatures and codes before;
       here is decided what must not race: whether a name is free, a session lives, a code is new.
Owner: the dispatcher thread. No clock, no secrets, no chance: ids are journal sequence and stamp.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from oms.clock import NANOS
from oms.enums import ResponseType
from oms.exchange.accounts import HOUSE
from oms.reject_reasons import RejectReason
from oms.requests.access import GATE, YES, AccessAction, names_in
from oms.requests.codec import Line
from oms.requests.operators import OPERATOR
from oms.users import SCOPES_OF, Arm, Code, Factor, Family, Key, User

if TYPE_CHECKING:
    from oms.desk.desk import Desk

GRACE_NS = 5 * NANOS
"""The refresh token before the current one is good for so long after it was exchanged: the answer
may have been lost, or two tabs of a browser may have asked at once."""
USERS_MAX, FAMILIES_MAX, KEYS_MAX, ARMS_MAX = 100_000, 10, 32, 32
CODE_MISSES_MAX = 5  # then a one-time code is void
DONE, REFUSED = ResponseType.COMMAND_DONE.value, ResponseType.COMMAND_REJECTED.value
RESERVED = (OPERATOR, GATE, *HOUSE)  # accounts that no user owns
TAKEN = RejectReason.ACCOUNT_TAKEN.value
CODE_INVALID = RejectReason.CODE_INVALID.value
EXCEEDS = RejectReason.ACCESS_EXCEEDS_MAXIMUM.value
REVOKED = RejectReason.SESSION_REVOKED.value
# What may be asked about a locked user by others than operators: it takes rights away.
EVEN_IF_LOCKED = (
    AccessAction.LOGOUT, AccessAction.LOGOUT_ALL, AccessAction.REVOKE_KEY, AccessAction.DISARM,
)  # fmt: skip


class AccessLine(NamedTuple):
    """What an ACCESS line says, and when. made_id: of what it makes, never used twice."""

    account: str
    action: str
    name: str
    facts: Mapping[str, str]
    made_id: str
    wall_ns: int
    clock_ns: int
    elapsed_ns: int

    @property
    def by_operator(self) -> bool:
        return self.account == OPERATOR

    def number(self, name: str) -> int:
        return int(self.facts[name])


class Access:
    """Every user; and whose record changed since `taken` was called."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self.users: dict[str, User] = {}  # by name in lower case, oldest first
        self._emails: set[str] = set()  # in lower case
        self._owners: dict[str, set[str]] = {}  # account -> who owns it
        self._changed: dict[str, None] = {}
        self._actions: dict[str, tuple[Callable[..., str], Callable[..., str]]] = {
            AccessAction.SIGN_UP: (self._why_not_sign_up, self._sign_up),
            AccessAction.RENEW_HASH: (self._why_not_credential, self._renew_hash),
            AccessAction.CHANGE_PASSWORD: (self._why_not_credential, self._set_password),
            AccessAction.ISSUE_CODE: (self._why_not_ends, self._issue_code),
            AccessAction.RESET_PASSWORD: (self._why_not_reset, self._set_password),
            AccessAction.SET_ROLE: (self._never, self._set_role),
            AccessAction.SET_USER_ACCOUNTS: (self._why_not_accounts, self._set_accounts),
            AccessAction.LOCK_USER: (self._never, self._lock),
            AccessAction.UNLOCK_USER: (self._never, self._unlock),
            AccessAction.CHANGE_USER: (self._why_not_change, self._change),
            AccessAction.LOGIN: (self._why_not_login, self._login),
            AccessAction.REFRESH: (self._why_not_refresh, self._refresh),
            AccessAction.LOGOUT: (self._why_not_logout, self._logout),
            AccessAction.LOGOUT_ALL: (self._never, self._logout_all),
            AccessAction.CREATE_KEY: (self._why_not_key, self._create_key),
            AccessAction.REVOKE_KEY: (self._why_not_revoke, self._revoke_key),
            AccessAction.FACTOR_ON: (self._why_not_factor_on, self._factor_on),
            AccessAction.FACTOR_OFF: (self._why_not_factor_off, self._factor_off),
            AccessAction.ARM: (self._why_not_arm, self._arm),
            AccessAction.DISARM: (self._never, self._disarm),
        }

    # --- a line ---

    def enter(self, seq: int, line: Line, _received_ns: int, _queued_ns: int) -> None:
        asked = self._asked(seq, line)
        reason, told = self._why_not(asked), ""
        if reason:
            self._after_refusal(asked)
        else:
            told = self._actions[asked.action][1](asked, self._user(asked))
        self._desk.reports.answer(
            seq, line[1], line[2], REFUSED if reason else DONE, seq, reason=reason or told
        )

    def why_not(self, seq: int, line: Line) -> str:
        """Why a request would be refused; nothing is done."""
        return self._why_not(self._asked(seq, line))

    def _asked(self, seq: int, line: Line) -> AccessLine:
        instant = self._desk.instant
        return AccessLine(
            line[1], line[3], line[4], line[5], f"{seq}-{instant.wall_ns:x}", *instant
        )  # fmt: skip

    def _user(self, asked: AccessLine) -> User | None:
        return self.users.get(asked.name.lower())

    def _why_not(self, asked: AccessLine) -> str:
        user, action = self._user(asked), asked.action
        anyone = action in (AccessAction.SIGN_UP, AccessAction.RESET_PASSWORD)
        if user is None and not anyone:
            return f"{RejectReason.USER_UNKNOWN}: user={asked.name}"
        locked = user is not None and user.locked and not asked.by_operator
        if locked and not anyone and action not in EVEN_IF_LOCKED:
            return f"{RejectReason.USER_LOCKED}: user={asked.name}"
        return self._actions[action][0](asked, user)

    def _after_refusal(self, asked: AccessLine) -> None:
        """A refused request changes nothing, but for what somebody may have stolen or guessed."""
        user = self._user(asked)
        if user is None:
            return
        if asked.action == AccessAction.REFRESH:
            self._end(user, [asked.facts["family"]])
        elif asked.action == AccessAction.RESET_PASSWORD and user.code is not None:
            code = user.code._replace(misses=user.code.misses + 1)
            void = code.misses >= CODE_MISSES_MAX or code.ends_ns <= asked.clock_ns
            self._put(user._replace(code=None if void else code))

    # --- records ---

    def _put(self, user: User) -> str:
        """The user is like this from now on; what to tell of it."""
        key = user.name.lower()
        if self.users.get(key) != user:
            self.users[key] = user
            self._changed[key] = None
        return f"user={user.name}"

    def _end(self, user: User, family_ids: Iterable[str]) -> str:
        ended = set(family_ids)
        left = tuple(each for each in user.families if each.family_id not in ended)
        return self._put(user._replace(families=left))

    def taken(self) -> list[User]:
        """Whose record changed since this was asked last, as it is now."""
        if not self._changed:
            return []
        changed, self._changed = self._changed, {}
        return [self.users[key] for key in changed]

    def dump(self) -> list[list[Any]]:
        """All users as plain data, in the order of their sign-up."""
        return [list(user) for user in self.users.values()]

    def load(self, dumped: Iterable[list[Any]]) -> None:
        for fields in dumped:
            said = dict(zip(User._fields, fields, strict=False))  # an older program's had no arms
            keys = [Key(*each) for each in said["keys"]]
            self._add(
                User(**{
                    **said,
                    "accounts": tuple(said["accounts"]),
                    "families": tuple(Family(*each) for each in said["families"]),
                    "keys": tuple(
                        each._replace(scopes=tuple(each.scopes), addresses=tuple(each.addresses))
                        for each in keys
                    ),
                    "factor": Factor(*said["factor"]),
                    "code": Code(*said["code"]) if said["code"] is not None else None,
                    "arms": tuple(Arm(*each) for each in said.get("arms", ())),
                })
            )  # fmt: skip

    def _add(self, user: User) -> str:
        self._emails.add(user.email.lower())
        self._own(user, user.accounts)
        return self._put(user)

    def _own(self, user: User, accounts: Iterable[str]) -> None:
        for account in accounts:
            self._owners.setdefault(account, set()).add(user.name)

    # --- users ---

    @staticmethod
    def _never(_asked: AccessLine, _user: User | None) -> str:
        """Nothing speaks against it."""
        return ""

    def _why_not_sign_up(self, asked: AccessLine, user: User | None) -> str:
        if user is not None:
            return f"{RejectReason.USER_EXISTS}: user={asked.name}"
        if asked.facts["email"].lower() in self._emails:
            return f"{RejectReason.USER_EXISTS}: email"
        if len(self.users) >= USERS_MAX:
            return f"{EXCEEDS}: users={len(self.users)}, max={USERS_MAX}"
        return self._why_not_accounts(asked, user)

    def _why_not_accounts(self, asked: AccessLine, _user: User | None) -> str:
        """An operator may have several users share an account; nobody signs up for one that is
        another's, or has been used."""
        for account in names_in(asked.facts["accounts"]):
            if account in RESERVED:
                return f"{TAKEN}: account={account}"
            if not asked.by_operator and (account in self._owners or self._is_used(account)):
                return f"{TAKEN}: account={account}"
        return ""

    def _is_used(self, account: str) -> bool:
        """Does it have money, a position or orders that are open?"""
        executions = self._desk.executions
        return bool(
            account in self._desk.ledger.accounts
            or executions.by_client_id.get(account)
            or any(owner == account for owner, _ in executions.positions)
        )

    def _sign_up(self, asked: AccessLine, _user: User | None) -> str:
        facts, made_id = asked.facts, asked.made_id
        return self._add(
            User(
                asked.name, made_id, facts["email"], facts["hash"], made_id, facts["role"],
                names_in(facts["accounts"]), asked.wall_ns,
            )
        )  # fmt: skip

    def _set_role(self, asked: AccessLine, user: User) -> str:
        return self._put(user._replace(role=asked.facts["role"])) + f", role={asked.facts['role']}"

    def _set_accounts(self, asked: AccessLine, user: User) -> str:
        for account in user.accounts:
            self._owners[account].discard(user.name)
            if not self._owners[account]:
                del self._owners[account]
        accounts = names_in(asked.facts["accounts"])
        self._own(user, accounts)
        return self._put(user._replace(accounts=accounts)) + f", accounts={len(accounts)}"

    def _lock(self, asked: AccessLine, user: User) -> str:
        """All sessions end; keys are no good until the user is unlocked."""
        why = asked.facts.get("why") or "by an operator"
        return self._put(user._replace(locked=why, families=(), code=None)) + ", locked"

    def _unlock(self, _asked: AccessLine, user: User) -> str:
        return self._put(user._replace(locked="")) + ", unlocked"

    def _why_not_change(self, asked: AccessLine, user: User) -> str:
        return self._why_not_accounts(asked, user) if "accounts" in asked.facts else ""

    def _change(self, asked: AccessLine, user: User) -> str:
        """What is left out stays."""
        told, name = [f"user={user.name}"], user.name.lower()
        if "role" in asked.facts:
            told.append(self._set_role(asked, self.users[name]))
        if "accounts" in asked.facts:
            told.append(self._set_accounts(asked, self.users[name]))
        if "locked" in asked.facts:
            change = self._lock if asked.facts["locked"] == YES else self._unlock
            told.append(change(asked, self.users[name]))
        return ", ".join(dict.fromkeys(part for text in told for part in text.split(", ")))

    # --- passwords ---

    def _why_not_credential(self, asked: AccessLine, user: User) -> str:
        """The password that was checked may have been changed meanwhile."""
        if asked.facts["credential"] != user.credential:
            return f"{RejectReason.CREDENTIALS_INVALID}"
        return ""

    def _renew_hash(self, asked: AccessLine, user: User) -> str:
        return self._put(user._replace(password_hash=asked.facts["hash"]))

    def _set_password(self, asked: AccessLine, user: User) -> str:
        return self._put(
            user._replace(
                password_hash=asked.facts["hash"], credential=asked.made_id, families=(), code=None
            )
        )

    @staticmethod
    def _why_not_ends(asked: AccessLine, _user: User | None) -> str:
        ends_ns = asked.number("ends_ns")
        if ends_ns <= asked.clock_ns:
            return f"{RejectReason.COMMAND_INVALID}: ends_ns={ends_ns}, expected in the future"
        return ""

    def _issue_code(self, asked: AccessLine, user: User) -> str:
        return self._put(user._replace(code=Code(asked.facts["code"], asked.number("ends_ns"))))

    @staticmethod
    def _why_not_reset(asked: AccessLine, user: User | None) -> str:
        """Nobody learns by guessing which users there are, or which are locked."""
        code = user.code if user is not None else None
        good = code is not None and code.code_hash == asked.facts["code"]
        if code is None or not good or code.ends_ns <= asked.clock_ns:
            return CODE_INVALID
        return ""

    # --- sessions ---

    def _why_not_login(self, asked: AccessLine, user: User) -> str:
        reason = self._why_not_credential(asked, user) or self._why_not_ends(asked, user)
        if reason:
            return reason
        if user.factor.on and "step" not in asked.facts:
            return f"{RejectReason.SECOND_FACTOR_REQUIRED}: user={user.name}"
        return self._why_not_step(asked, user) if user.factor.on else ""

    @staticmethod
    def _why_not_step(asked: AccessLine, user: User) -> str:
        """A code is good once, so is every code before it."""
        if "step" not in asked.facts or asked.number("step") <= user.factor.step:
            return CODE_INVALID
        return ""

    def _login(self, asked: AccessLine, user: User) -> str:
        live = [each for each in user.families if each.ends_ns > asked.clock_ns]
        family = Family(asked.made_id, 1, asked.elapsed_ns, asked.number("ends_ns"))
        factor = user.factor
        if factor.on:
            factor = factor._replace(step=asked.number("step"))
        families = (*live, family)[-FAMILIES_MAX:]  # the oldest goes
        return self._put(user._replace(families=families, factor=factor)) + _told(family)

    def _why_not_refresh(self, asked: AccessLine, user: User) -> str:
        family = user.family(asked.facts["family"])
        if family is None or family.ends_ns <= asked.clock_ns:
            return REVOKED
        generation = asked.number("generation")
        late = asked.elapsed_ns - family.rotated_ns > GRACE_NS
        before = generation == family.generation - 1 and generation > 0 and not late
        if generation == family.generation or before:
            return ""
        return f"{REVOKED}: generation={generation}, current={family.generation}"

    def _refresh(self, asked: AccessLine, user: User) -> str:
        """The next generation; whoever asks with the one before is told the current one again."""
        family = user.family(asked.facts["family"])
        assert family is not None
        if asked.number("generation") == family.generation:
            new = family._replace(generation=family.generation + 1, rotated_ns=asked.elapsed_ns)
            families = tuple(new if each is family else each for each in user.families)
            user, family = user._replace(families=families), new
        return self._put(user) + _told(family)

    @staticmethod
    def _why_not_logout(asked: AccessLine, user: User) -> str:
        return "" if user.family(asked.facts["family"]) is not None else REVOKED

    def _logout(self, asked: AccessLine, user: User) -> str:
        return self._end(user, [asked.facts["family"]])

    def _logout_all(self, _asked: AccessLine, user: User) -> str:
        return self._put(user._replace(families=())) + f", sessions={len(user.families)}"

    # --- keys ---

    def _why_not_key(self, asked: AccessLine, user: User) -> str:
        extra = set(names_in(asked.facts["scopes"])) - SCOPES_OF[user.role]
        if extra:
            return f"{RejectReason.NOT_ALLOWED}: scope={min(extra)}, role={user.role}"
        if len(user.keys) >= KEYS_MAX:
            return f"{EXCEEDS}: keys={len(user.keys)}, max={KEYS_MAX}"
        return self._why_not_ends(asked, user) if asked.number("ends_ns") else ""

    def _create_key(self, asked: AccessLine, user: User) -> str:
        facts = asked.facts
        key = Key(
            asked.made_id, facts["name"], names_in(facts["scopes"]),
            names_in(facts.get("addresses", "")), asked.number("ends_ns"), asked.wall_ns,
        )  # fmt: skip
        return self._put(user._replace(keys=(*user.keys, key))) + f", key={key.key_id}"

    @staticmethod
    def _why_not_revoke(asked: AccessLine, user: User) -> str:
        key_id = asked.facts["key"]
        return "" if user.key(key_id) is not None else f"{RejectReason.KEY_UNKNOWN}: key={key_id}"

    def _revoke_key(self, asked: AccessLine, user: User) -> str:
        left = tuple(each for each in user.keys if each.key_id != asked.facts["key"])
        return self._put(user._replace(keys=left)) + f", key={asked.facts['key']}"

    # --- the second factor ---

    def _why_not_factor_on(self, asked: AccessLine, user: User) -> str:
        if user.factor.on:
            return f"{RejectReason.COMMAND_INVALID}: the second factor is on already"
        return self._why_not_step(asked, user)

    def _factor_on(self, asked: AccessLine, user: User) -> str:
        factor = user.factor._replace(on=True, step=asked.number("step"))
        return self._put(user._replace(factor=factor)) + ", second_factor=on"

    def _why_not_factor_off(self, asked: AccessLine, user: User) -> str:
        if not user.factor.on:
            return f"{RejectReason.COMMAND_INVALID}: the second factor is off"
        return "" if asked.by_operator else self._why_not_step(asked, user)

    def _factor_off(self, _asked: AccessLine, user: User) -> str:
        """The next one has another secret, of which no code was used."""
        factor = Factor(number=user.factor.number + 1)
        return self._put(user._replace(factor=factor)) + ", second_factor=off"

    # --- connections whose loss cancels orders ---

    @staticmethod
    def _why_not_arm(asked: AccessLine, user: User) -> str:
        account = asked.facts["account"]
        if account not in user.accounts:
            return f"{RejectReason.NOT_ALLOWED}: account={account}"
        if len(user.arms) >= ARMS_MAX:
            return f"{EXCEEDS}: arms={len(user.arms)}, max={ARMS_MAX}"
        return ""

    def _arm(self, asked: AccessLine, user: User) -> str:
        facts = asked.facts
        arm = Arm(asked.made_id, facts["account"], facts["scope"], asked.number("grace_s"))
        return self._put(user._replace(arms=(*user.arms, arm))) + f", arm={arm.arm_id}"

    def _disarm(self, asked: AccessLine, user: User) -> str:
        """One that there is not is none any more."""
        left = tuple(each for each in user.arms if each.arm_id != asked.facts["arm"])
        return self._put(user._replace(arms=left)) + f", arm={asked.facts['arm']}"


def _told(family: Family) -> str:
    return f", family={family.family_id}, generation={family.generation}, ends_ns={family.ends_ns}"
