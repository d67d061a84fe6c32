"""Whatever is asked about users, in whatever order: the exchange and a naive twin say the same.

Few users, few accounts, old tokens and codes used again, clocks that move, and processes that end
and start anew, with a snapshot or from the journal alone.
"""

from copy import deepcopy
from dataclasses import replace

from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from oms import MemoryStore
from oms.requests import AccessAction, AccessRequest, FundsAction, FundsRequest
from oms.requests.access import OF_OPERATORS
from oms.sections import ExchangeConfig
from oms.turn.journal import differences, state_mistakes
from tests.examples import many
from tests.fakes import INSTRUMENTS, Stepped, config_of
from tests.reference_access import ReferenceAccess

CONFIG = config_of(
    exchange=ExchangeConfig(ledger=True),
    instruments=tuple(
        replace(each, base="B", quote="Q", base_scale=0, quote_scale=2) for each in INSTRUMENTS
    ),
)
SECOND = 1_000_000_000
names = st.sampled_from(["ann", "ann", "Ann", "bob", "bob", "cid"])
accounts = st.sampled_from(["a", "b", "a,b", "rich", "fees", ""])
hashes = st.sampled_from(["$1", "$2"])
codes = st.sampled_from(["0" * 64, "1" * 64])
soon = st.sampled_from([-1, 0, 1, 5, 20, 60, 600, 600])  # seconds from now
picks = st.integers(0, 60)


class AccessMachine(RuleBasedStateMachine):
    @initialize()
    def begin(self):
        self.desk = Stepped(CONFIG, store=MemoryStore()).start()
        self.twin = ReferenceAccess()
        self.count = 0
        self.given = [("none-0", 1)]  # refresh tokens: family and generation
        self.keys, self.credentials, self.arms = ["none-0"], ["none-0"], ["none-0"]
        create = FundsRequest(account="rich", client_order_id="c", action=FundsAction.CREATE)
        assert not self.desk.ask(create).refused
        self.twin.used_accounts.append("rich")
        for name in ("ann", "bob"):  # most rules need somebody
            self.sign_up(name, f"{name}@x", "$1", "trader", "", "gate")

    def ask(self, action, name, facts=None, account="gate"):
        """Both are asked; what was told, if it was done."""
        self.count += 1
        account = "operator" if action in OF_OPERATORS else account
        answer = self.desk.ask(
            AccessRequest(
                account=account, client_order_id=f"n{self.count}", action=action, user=name,
                facts=facts,
            )
        )  # fmt: skip
        now_ns = self.desk.clock.wall_ns()
        made_id = f"{answer.request_seq}-{answer.report.wall_ns:x}"
        expected = self.twin.ask(account, action.value, name, facts or {}, now_ns, made_id)
        assert (answer.reason or "") == expected, answer.text
        assert answer.refused == (expected != "")
        return made_id if not expected else None

    def in_s(self, seconds):
        return str(self.desk.clock.wall_ns() + seconds * SECOND)

    def credential(self, name, right):
        user = self.twin.find(name)
        return user["credential"] if user and right else self.credentials[0]

    # --- what may come ---

    @rule(
        name=names, email=st.sampled_from(["a@x", "A@x", "b@x", "c@x"]), hash_=hashes,
        role=st.sampled_from(["viewer", "trader", "operator"]), accounts=accounts,
        account=st.sampled_from(["gate", "gate", "operator"]),
    )  # fmt: skip
    def sign_up(self, name, email, hash_, role, accounts, account):
        facts = {"email": email, "hash": hash_, "role": role, "accounts": accounts}
        made = self.ask(AccessAction.SIGN_UP, name, facts, account)
        if made:
            self.credentials.append(made)

    @rule(name=names, hash_=hashes, right=st.booleans(), renew=st.booleans())
    def password(self, name, hash_, right, renew):
        action = AccessAction.RENEW_HASH if renew else AccessAction.CHANGE_PASSWORD
        facts = {"hash": hash_, "credential": self.credential(name, right)}
        self.ask(action, name, facts)

    @rule(name=names, code=codes, seconds=soon)
    def issue_code(self, name, code, seconds):
        facts = {"code": code, "ends_ns": self.in_s(seconds)}
        self.ask(AccessAction.ISSUE_CODE, name, facts)

    @rule(name=names, code=codes, hash_=hashes, times=st.integers(1, 6))
    def reset(self, name, code, hash_, times):
        for _ in range(times):
            self.ask(AccessAction.RESET_PASSWORD, name, {"code": code, "hash": hash_})

    @rule(name=names, role=st.sampled_from(["viewer", "trader", "operator"]))
    def set_role(self, name, role):
        self.ask(AccessAction.SET_ROLE, name, {"role": role})

    @rule(name=names, accounts=accounts)
    def set_accounts(self, name, accounts):
        self.ask(AccessAction.SET_USER_ACCOUNTS, name, {"accounts": accounts})

    @rule(name=names, on=st.booleans())
    def lock(self, name, on):
        self.ask(AccessAction.LOCK_USER if on else AccessAction.UNLOCK_USER, name)

    @rule(
        name=names, role=st.none() | st.sampled_from(["viewer", "operator"]),
        accounts=st.none() | accounts, locked=st.none() | st.sampled_from(["yes", "no"]),
    )  # fmt: skip
    def change_user(self, name, role, accounts, locked):
        facts = {"role": role, "accounts": accounts, "locked": locked}
        facts = {name: text for name, text in facts.items() if text is not None}
        self.ask(AccessAction.CHANGE_USER, name, facts or None)

    @rule(
        name=names, right=st.sampled_from([True, True, False]), seconds=soon,
        step=st.none() | st.integers(1, 5), times=st.sampled_from([1, 1, 11]),
    )  # fmt: skip
    def login(self, name, right, seconds, step, times):
        for _ in range(times):
            facts = {"credential": self.credential(name, right), "ends_ns": self.in_s(seconds)}
            if step is not None:
                facts["step"] = str(step)
            family = self.ask(AccessAction.LOGIN, name, facts)
            if family:
                self.given.append((family, 1))

    @rule(
        name=names, pick=picks,
        tries=st.lists(
            st.tuples(st.sampled_from([0, 0, 0, 1, 1, 2, -1]), st.sampled_from([0, 0, 4, 5, 6])),
            min_size=1, max_size=4,
        ),
    )  # fmt: skip
    def refresh(self, name, pick, tries):
        """One time after the other, with some seconds between them."""
        for back, seconds in tries:
            self.clock_goes(seconds)
            self.refresh_once(name, pick, back)

    def refresh_once(self, name, pick, back):
        """With a token that was given at some time, or one that never was."""
        user = self.twin.find(name)
        family, generation = self.given[-1 - pick % len(self.given)]
        if user is not None and user["sessions"]:
            family = user["sessions"][pick % len(user["sessions"])]["family"]
            newest = [t["generation"] for t in user["tokens"] if t["family"] == family]
            generation = max(0, max(newest) - back)
        facts = {"family": family, "generation": str(generation)}
        self.ask(AccessAction.REFRESH, name, facts)

    @rule(name=names, pick=picks, all_=st.booleans())
    def logout(self, name, pick, all_):
        if all_:
            self.ask(AccessAction.LOGOUT_ALL, name)
        else:
            family, _ = self.given[-1 - pick % len(self.given)]
            self.ask(AccessAction.LOGOUT, name, {"family": family})

    @rule(
        name=names, scopes=st.sampled_from(["read", "read,trade", "admin"]), seconds=soon,
        times=st.sampled_from([1, 1, 33]),
    )  # fmt: skip
    def create_key(self, name, scopes, seconds, times):
        for n in range(times):
            ends_ns = self.in_s(seconds) if n % 2 else "0"
            facts = {"name": "bot", "scopes": scopes, "ends_ns": ends_ns}
            made = self.ask(AccessAction.CREATE_KEY, name, facts)
            if made:
                self.keys.append(made)

    @rule(name=names, pick=picks)
    def revoke_key(self, name, pick):
        self.ask(AccessAction.REVOKE_KEY, name, {"key": self.keys[-1 - pick % len(self.keys)]})

    @rule(
        name=names, account=st.sampled_from(["a", "b", "rich"]),
        scope=st.sampled_from(["session", "account"]), grace_s=st.integers(0, 60),
        times=st.sampled_from([1, 1, 33]),
    )  # fmt: skip
    def arm(self, name, account, scope, grace_s, times):
        for _ in range(times):
            facts = {"account": account, "scope": scope, "grace_s": str(grace_s)}
            made = self.ask(AccessAction.ARM, name, facts)
            if made:
                self.arms.append(made)

    @rule(name=names, pick=picks)
    def disarm(self, name, pick):
        self.ask(AccessAction.DISARM, name, {"arm": self.arms[-1 - pick % len(self.arms)]})

    @rule(name=names, step=st.integers(1, 4))
    def factor_on(self, name, step):
        self.ask(AccessAction.FACTOR_ON, name, {"step": str(step)})

    @rule(
        name=names,
        step=st.none() | st.integers(1, 5),
        account=st.sampled_from(["gate", "operator"]),
    )
    def factor_off(self, name, step, account):
        facts = None if step is None else {"step": str(step)}
        self.ask(AccessAction.FACTOR_OFF, name, facts, account)

    @rule(seconds=st.sampled_from([1, 4, 5, 6, 30]))
    def time_passes(self, seconds):
        self.clock_goes(seconds)

    def clock_goes(self, seconds):
        self.desk.clock.advance(seconds)

    @rule(snapshot=st.booleans())
    def restart(self, snapshot):
        """Another process on the same store, with its snapshot or its journal alone."""
        digest = self.desk.dispatcher.fold.state()["users"] if self.twin.users else None
        if snapshot:
            self.desk.stop()
        store = deepcopy(self.desk.store)
        if not snapshot:
            store._snapshots = []
        self.desk = Stepped(CONFIG, store=store, clock=self.desk.clock).start()
        assert (self.desk.dispatcher.fold.snapshot_seq > 0) == snapshot
        assert self.desk.dispatcher.fold.state().get("users") == digest

    # --- what must be so ---

    @invariant()
    def both_see_the_same(self):
        view = self.desk.oms.access
        seen = [
            {
                "name": u.name, "email": u.email, "hash": u.password_hash, "role": u.role,
                "accounts": list(u.accounts), "locked": bool(u.locked),
                "credential": u.credential,
                "families": [(f.family_id, f.generation) for f in u.families],
                "keys": [(k.key_id, list(k.scopes)) for k in u.keys],
                "arms": [tuple(each) for each in u.arms],
                "factor": u.factor.on, "code": u.code is not None,
            }
            for u in view.users()
        ]  # fmt: skip
        assert seen == self.twin.seen()
        for user in view.users():
            assert view.user(user.name.upper()) is user
            assert view.by_email(user.email.upper()) is user
        living = {key_id for user in seen for key_id, _ in user["keys"]}
        assert {key for key in self.keys if view.key(key) is not None} == living

    def teardown(self):
        desk = self.desk
        assert desk.refolded() == desk.digest()
        assert state_mistakes(desk.dispatcher.fold) == []
        fold = type(desk.dispatcher.fold)(type(desk.venue)())
        assert list(differences(desk.store, fold)) == []


AccessMachine.TestCase.settings = hypothesis_settings(max_examples=many(60), stateful_step_count=50)
TestAccess = AccessMachine.TestCase
