"""Users, sessions and keys: what the exchange decides, and what readers see of it.

Rules: an id is good once, a code is good once, an old token that comes again ends the session.
"""

from datetime import UTC, datetime

import pytest

from oms import AccessAction, AccessRequest, ManualClock, ValidationError
from oms.errors import StoreFullError
from oms.requests.access import told_facts
from oms.users import Role
from tests.fakes import FaultyStore, Stepped, buy

SIGN_UP = {"email": "ann@x", "hash": "$1", "role": "trader", "accounts": "ann"}


class Door:
    """A desk, and requests about Ann without ids."""

    def __init__(self, **parts):
        parts.setdefault("clock", ManualClock.at(datetime(2024, 3, 4, tzinfo=UTC)))
        self.desk = Stepped(**parts).start()
        self.clock, self.view, self.count = self.desk.clock, self.desk.oms.access, 0

    def request(self, action, user="ann", account="gate", **facts):
        self.count += 1
        return AccessRequest(
            account=account, client_order_id=f"n{self.count}", action=action, user=user,
            facts=facts or None,
        )  # fmt: skip

    def ask(self, action, **said):
        return self.desk.ask(self.request(action, **said))

    def done(self, action, **said):
        answer = self.ask(action, **said)
        assert not answer.refused, answer.text
        return told_facts(answer.text)

    def refused(self, action, **said):
        answer = self.ask(action, **said)
        assert answer.refused
        return answer.text

    def sign_up(self):
        self.done(AccessAction.SIGN_UP, **SIGN_UP)
        return self

    def in_s(self, seconds):
        return str(self.clock.wall_ns() + seconds * 10**9)

    def login(self, **more):
        credential = self.view.user("ann").credential
        return self.done(
            AccessAction.LOGIN, credential=credential, ends_ns=self.in_s(86_400), **more
        )

    def refresh(self, family, generation):
        return self.ask(AccessAction.REFRESH, family=family, generation=str(generation))


def test_a_lost_answer_and_a_second_tab_are_forgiven_for_five_seconds():
    """Given a token that was exchanged, when it comes again, then it depends on when."""
    for seconds, good in ((0, True), (5, True), (5.000000001, False)):
        # given
        door = Door().sign_up()
        family = door.login()["family"]
        assert told_facts(door.refresh(family, 1).text)["generation"] == "2"

        # when
        door.clock.advance(seconds)
        answer = door.refresh(family, 1)

        # then both have the same token, or nobody has any
        if good:
            assert told_facts(answer.text)["generation"] == "2"
            assert told_facts(door.refresh(family, 2).text)["generation"] == "3"
        else:
            assert answer.text == "SESSION_REVOKED: generation=1, current=2"
            assert door.refresh(family, 2).reason == "SESSION_REVOKED"
            assert door.view.user("ann").families == ()


def test_a_token_that_was_never_given_ends_the_session():
    """Before the first generation there was none, however short ago that began."""
    for generation in (0, 2):
        door = Door().sign_up()
        family = door.login()["family"]
        assert door.refresh(family, generation).reason == "SESSION_REVOKED"
        assert door.view.user("ann").families == ()


def test_the_grace_is_of_time_that_passed_not_of_a_clock_that_was_set():
    """A wall clock that goes back does not make an old token good for longer."""
    door = Door().sign_up()
    family = door.login()["family"]
    door.refresh(family, 1)
    door.clock.advance(6)
    door.clock.jump(-6)
    assert door.refresh(family, 1).reason == "SESSION_REVOKED"


def test_the_same_request_again_gets_the_same_answer():
    """A login that was sent twice, by its id, opened one session."""
    door = Door().sign_up()
    credential = door.view.user("ann").credential
    login = door.request(AccessAction.LOGIN, credential=credential, ends_ns=door.in_s(60))
    first, again = door.desk.ask(login), door.desk.ask(login)
    assert first.text == again.text
    assert again.order_id == first.request_seq
    assert len(door.view.user("ann").families) == 1


def test_a_password_that_was_changed_meanwhile_opens_nothing():
    """The gateway had checked the old one; the change came between check and login."""
    door = Door().sign_up()
    before = door.view.user("ann").credential
    family = door.login()["family"]
    door.done(AccessAction.CHANGE_PASSWORD, credential=before, hash="$2")
    late = {"credential": before, "ends_ns": door.in_s(60)}
    assert door.refused(AccessAction.LOGIN, **late) == "CREDENTIALS_INVALID"
    assert door.refused(AccessAction.RENEW_HASH, credential=before, hash="$1") == (
        "CREDENTIALS_INVALID"
    )
    assert door.view.user("ann").password_hash == "$2"
    assert door.refresh(family, 1).reason == "SESSION_REVOKED"


def test_a_one_time_code_is_good_once_and_not_for_ever():
    """Issued by an operator; Ann's sessions end; unknown users are answered as a wrong code is."""
    door, code = Door().sign_up(), "a" * 64
    issue = {"account": "operator", "code": code}
    door.login()
    door.done(AccessAction.ISSUE_CODE, ends_ns=door.in_s(60), **issue)
    door.done(AccessAction.RESET_PASSWORD, code=code, hash="$2")
    assert door.view.user("ann").families == ()
    again = {"code": code, "hash": "$3"}
    assert door.refused(AccessAction.RESET_PASSWORD, **again) == "CODE_INVALID"
    assert door.refused(AccessAction.RESET_PASSWORD, user="eve", **again) == "CODE_INVALID"

    door.done(AccessAction.ISSUE_CODE, ends_ns=door.in_s(60), **issue)
    door.clock.advance(60)
    assert door.refused(AccessAction.RESET_PASSWORD, **again) == "CODE_INVALID"
    assert door.view.user("ann").password_hash == "$2"


def test_nobody_signs_up_for_an_account_that_is_used():
    """By its owner, by an order that is open, or by the exchange itself."""
    door = Door().sign_up()
    door.desk.ask(buy("A", 1, 100, account="dan"))
    for account in ("ann", "dan", "operator", "gate", "fees", "rounding"):
        bob = {**SIGN_UP, "email": "bob@x", "accounts": f"new,{account}"}
        text = door.refused(AccessAction.SIGN_UP, user="bob", **bob)
        assert text == f"ACCOUNT_TAKEN: account={account}"
    assert door.view.user("bob") is None

    # but an operator may let two users share one
    bob = {**SIGN_UP, "email": "bob@x", "accounts": "ann,dan"}
    door.done(AccessAction.SIGN_UP, user="bob", account="operator", **bob)
    assert door.view.user("bob").accounts == ("ann", "dan")


def test_facts_are_copied_and_words_are_texts():
    """What is changed afterwards changes nothing; a Role is its word."""
    facts = {**SIGN_UP, "role": Role.VIEWER}
    request = AccessRequest(
        account="gate", client_order_id="1", action="SIGN_UP", user="ann", facts=facts
    )
    facts["accounts"] = "rich"
    assert request.line[5] == {**SIGN_UP, "role": "viewer"}
    assert type(request.line[5]["role"]) is str


def test_what_is_said_before_is_what_then_happens():
    """A dry run of a request about users changes nothing."""
    door = Door().sign_up()
    family = door.login()["family"]
    question = door.request(AccessAction.REFRESH, family=family, generation="7")
    future = door.desk.oms.dry_run
    door.desk.oms._running = True
    asked = future(question)
    door.desk.step()
    assert asked.result(0).text.startswith("SESSION_REVOKED")
    assert door.view.user("ann").family(family) is not None


# --- what readers see ---


def test_readers_see_a_user_only_once_that_is_on_disk():
    """Given a full disk, when somebody signs up, then no reader sees it, and nobody is told."""
    # given
    store = FaultyStore()
    door, told = Door(store=store), []
    door.view.add_listener(told.append)
    store.faults.append(StoreFullError("full"))

    # when, then
    assert door.ask(AccessAction.SIGN_UP, **SIGN_UP).reason == "DISK_FULL"
    assert door.view.user("ann") is None
    assert told == []

    # and once there is space, it is seen before the answer is there
    seen = []
    answer = door.desk.oms.submit(door.request(AccessAction.SIGN_UP, **SIGN_UP))
    answer.add_done_callback(lambda _: seen.append(door.view.user("ann")))
    door.desk.step()
    assert [user.name for user in seen] == ["ann"]
    assert told == seen


def test_a_listener_hears_of_every_revocation():
    """Logout, lock, key: whoever holds a socket looks whether it may stay. One that breaks does
    not keep the others from hearing it."""
    door, told = Door().sign_up(), []
    door.view.add_listener(lambda _: 1 // 0)
    door.view.add_listener(told.append)
    family = door.login()["family"]
    key = door.done(AccessAction.CREATE_KEY, name="bot", scopes="read", ends_ns="0")["key"]
    assert door.view.key(key)[0].name == "ann"
    door.done(AccessAction.REVOKE_KEY, key=key)
    assert door.view.key(key) is None
    door.done(AccessAction.LOGOUT, family=family)
    door.done(AccessAction.LOCK_USER, account="operator", why="gone")
    assert [(len(u.families), len(u.keys), u.locked) for u in told] == [
        (1, 0, ""), (1, 1, ""), (1, 0, ""), (0, 0, ""), (0, 0, "gone"),
    ]  # fmt: skip
    door.view.remove_listener(told.append)
    door.done(AccessAction.UNLOCK_USER, account="operator")
    assert len(told) == 5


def test_a_second_process_sees_all_of_it():
    """From its snapshot and from the journal alone: sessions, keys, used codes."""
    door = Door().sign_up()
    door.done(AccessAction.FACTOR_ON, step="5")
    door.login(step="6")
    door.done(AccessAction.CREATE_KEY, name="bot", scopes="read,trade", ends_ns="0",
              addresses="192.0.2.0/24")  # fmt: skip
    users = door.view.users()
    for snapshot in (True, False):
        if snapshot:
            door.desk.stop()
        else:
            door.desk.store._snapshots = []
        door = Door(store=door.desk.store, clock=door.clock)
        door.count = 100 if snapshot else 200
        assert door.view.users() == users
        credential = users[0].credential
        late = {"credential": credential, "ends_ns": door.in_s(60), "step": "6"}
        assert door.refused(AccessAction.LOGIN, **late) == "CODE_INVALID"
        assert door.view.seen_ns > 0


# --- what is no request ---


@pytest.mark.parametrize(
    ("field", "said"),
    [
        ("user", {"user": "a b"}), ("user", {"user": "a@x"}), ("user", {"user": "a" * 65}),
        ("account", {"action": AccessAction.LOCK_USER, "facts": {}}),
        ("facts", {"facts": {**SIGN_UP, "colour": "red"}}), ("facts", {"facts": {"email": "a@x"}}),
        ("email", {"facts": {**SIGN_UP, "email": "ann"}}),
        ("hash", {"facts": {**SIGN_UP, "hash": "secret"}}),
        ("role", {"facts": {**SIGN_UP, "role": "king"}}),
        ("accounts", {"facts": {**SIGN_UP, "accounts": "a,a"}}),
        ("accounts", {"facts": {**SIGN_UP, "accounts": ",".join(map(str, range(65)))}}),
        ("name", {"action": AccessAction.CREATE_KEY,
                  "facts": {"name": "\ud800", "scopes": "read", "ends_ns": "0"}}),
        ("scopes", {"action": AccessAction.CREATE_KEY,
                    "facts": {"name": "x", "scopes": "", "ends_ns": "0"}}),
        ("addresses", {"action": AccessAction.CREATE_KEY, "facts": {
            "name": "x", "scopes": "read", "ends_ns": "0", "addresses": "192.0.2.1/24"}}),
        ("ends_ns", {"action": AccessAction.CREATE_KEY,
                     "facts": {"name": "x", "scopes": "read", "ends_ns": "01"}}),
        ("step", {"action": AccessAction.FACTOR_ON, "facts": {"step": "-1"}}),
    ],
)  # fmt: skip
def test_a_mistake_names_its_field_and_no_secret(field, said):
    """Here it is an exception: whoever made the request cannot go on."""
    plain = {"account": "gate", "client_order_id": "1", "action": AccessAction.SIGN_UP,
             "user": "ann", "facts": SIGN_UP}  # fmt: skip
    with pytest.raises(ValidationError) as caught:
        AccessRequest(**{**plain, **said})
    assert caught.value.field == field
    assert "secret" not in str(caught.value)
