"""The gate: who is let through, and what is told to those who are not. Needs PyJWT.

A gate of one order manager in memory; its passwords are hashed for real, but cheaply.
"""

import logging
from datetime import UTC, datetime

import pytest

from oms import AccessAction, AccessRequest, ManualClock, RejectReason, ValidationError
from oms.gateways import gate as gate_module
from oms.gateways import passwords, tokens
from oms.gateways.gate import Caller, Denied, Gate, code_hash, may, new_code
from oms.gateways.master import MasterSecret
from oms.gateways.signatures import AHEAD_NS, BACK_NS, signature_of, totp
from oms.gateways.tokens import TokenKind
from oms.requests.access import told_facts
from oms.users import AccessScope
from tests.fakes import Stepped

pytest.importorskip("jwt")
GOOD, BAD, HOME = "correct horse", "battery staple", "192.0.2.7"
MASTER = MasterSecret(b"m" * 32)


@pytest.fixture(autouse=True)
def cheap(monkeypatch):
    """A thousandth of the work, the same code."""
    monkeypatch.setattr(passwords, "ARGON2_MEMORY_KIB", 64)
    monkeypatch.setattr(passwords, "ARGON2_PASSES", 1)
    monkeypatch.setattr(passwords, "SCRYPT_LOG_N", 4)


class House:
    """An order manager, its gate, and Ann."""

    def __init__(self, **parts):
        parts.setdefault("clock", ManualClock.at(datetime(2024, 3, 4, tzinfo=UTC)))
        self.desk = Stepped(**parts).start()
        self.clock, self.count = self.desk.clock, 0
        self.gate = Gate(self.desk.oms, MASTER)

    def done(self, request):
        assert type(request) is AccessRequest, request
        answer = self.desk.ask(request)
        assert not answer.refused, answer.text
        return answer

    def refused(self, request):
        answer = self.desk.ask(request)
        assert answer.refused
        return answer.reason

    def with_ann(self, role="trader"):
        self.done(self.gate.sign_up("ann", "ann@x", GOOD, ("ann",), role))
        return self

    def login(self, code=""):
        user = self.gate.verify("ann", GOOD, HOME)
        return self.gate.opened(self.done(self.gate.login(user, HOME, code)))

    def operate(self, action, **facts):
        self.count += 1
        return self.done(
            AccessRequest(
                account="operator", client_order_id=f"o{self.count}", action=action, user="ann",
                facts=facts or None,
            )
        )  # fmt: skip

    def passes(self, seconds):
        self.clock.advance(seconds)
        self.desk.step()  # a dispatcher that lives looks once a second

    def key(self, **more):
        facts = {"name": "bot", "scopes": "read,trade", "ends_ns": "0", **more}
        self.count += 1
        asked = AccessRequest(
            account="gate", client_order_id=f"k{self.count}", action=AccessAction.CREATE_KEY,
            user="ann", facts=facts,
        )  # fmt: skip
        return told_facts(self.done(asked).text)["key"]

    def signed(self, key, nonce, *, ahead_ms=0, address=HOME, **other):
        time_ms = str(self.clock.wall_ns() // 10**6 + ahead_ms)
        said = {"method": "POST", "target": "/order?x=1", "body": b"{}"}
        secret = self.gate.key_secret(key).encode()
        signature = signature_of(secret, time_ms, nonce, **said)
        return self.gate.by_signature(
            key, time_ms, nonce, signature, address=address, **{**said, **other}
        )


@pytest.fixture
def house():
    return House().with_ann()


# --- logging in ---


def test_a_login_gives_tokens_that_say_who_it_is(house):
    opened = house.login()
    caller = house.gate.by_token(opened.access, HOME)
    assert caller[:4] == ("ann", "trader", {"read", "trade"}, ("ann",))
    assert opened.expires_s == 900
    again = house.gate.opened(house.done(house.gate.refresh(opened.refresh, HOME)))
    assert again.refresh != opened.refresh
    assert house.gate.find("ANN@X") is house.gate.find("ann")


def test_a_refresh_token_that_was_used_up_gives_none(house):
    """The answer is what ends the session; there are no tokens in it."""
    opened = house.login()
    house.done(house.gate.refresh(opened.refresh, HOME))
    house.passes(6)
    assert house.refused(house.gate.refresh(opened.refresh, HOME)) is RejectReason.SESSION_REVOKED
    assert house.gate.by_token(opened.access, HOME).reason is RejectReason.SESSION_REVOKED


def test_what_a_gateway_asks_for_says_so_in_the_journal(house):
    """Whose request it was, and by which gateway it came."""
    gate = Gate(house.desk.oms, MASTER, gateway="web")
    answer = house.done(gate.create_key("ann", "bot", ["read"], "192.0.2.1, 2001:db8::/32", 0))
    line = house.desk.store.line_of(answer.request_seq)
    assert line[0] == "H"
    assert line[-1] == ["ann", "web", 0]
    [key] = house.gate.find("ann").keys
    assert key.addresses == ("192.0.2.1/32", "2001:db8::/32")


def test_nobody_learns_whether_there_is_such_a_user(house, monkeypatch):
    """The same words and the same work: one hash is verified, whoever is asked for."""
    verified = []
    verify = passwords.verify

    def counted(hashed, password):
        verified.append(hashed[:10])
        return verify(hashed, password)

    monkeypatch.setattr(passwords, "verify", counted)
    told = [house.gate.verify(name, BAD, HOME) for name in ("ann", "nobody", "x@y", "ö" * 500)]
    assert told == [Denied(RejectReason.CREDENTIALS_INVALID, gate_module.WRONG)] * 4
    assert len(verified) == 4
    assert len(set(verified)) == 1


def test_names_that_exist_and_others_are_locked_out_alike(house):
    """After five failures; the right password is then no help, and costs no hash."""
    waits = {}
    for name in ("ann", "nobody"):
        for _ in range(5):
            assert house.gate.verify(name, BAD, HOME).reason is RejectReason.CREDENTIALS_INVALID
        waits[name] = house.gate.verify(name, GOOD, HOME)
        assert waits[name].reason is RejectReason.LOGINS_EXCEED_MAXIMUM
    assert waits["ann"] == waits["nobody"]
    assert waits["ann"].retry_s == 1
    house.passes(1)
    assert house.gate.verify("ann", GOOD, HOME).name == "ann"  # and the record is clean
    for _ in range(5):
        assert house.gate.verify("ann", BAD, HOME).reason is RejectReason.CREDENTIALS_INVALID


def test_an_address_is_locked_out_whatever_names_it_tries(house):
    """An IPv6 network of a customer is one address; a good login does not clear it."""
    for n in range(50):
        denied = house.gate.verify(f"u{n}", BAD, f"2001:db8::{n:x}")
        assert denied.reason is RejectReason.CREDENTIALS_INVALID
    denied = house.gate.verify("ann", GOOD, "2001:db8::ffff")
    assert denied.reason is RejectReason.LOGINS_EXCEED_MAXIMUM
    assert house.gate.verify("ann", GOOD, "2001:db8:0:1::1").name == "ann"


def test_a_good_password_does_not_let_codes_be_guessed(house):
    """Failures of codes are counted apart: a login in between does not forgive them."""
    secret = house.gate.factor_secret(house.gate.find("ann"))
    code = totp(secret, house.clock.wall_ns() // 10**9 // 30)
    wrong = f"{(int(code) + 1) % 10**6:06}"
    step = house.gate.checked_code(house.gate.find("ann"), code, HOME)
    house.operate(AccessAction.FACTOR_ON, step=str(step))
    reasons = []
    for _ in range(6):
        user = house.gate.verify("ann", GOOD, HOME)
        reasons.append(house.gate.login(user, HOME, wrong).reason)
    expected = [RejectReason.CODE_INVALID] * 5 + [RejectReason.LOGINS_EXCEED_MAXIMUM]
    assert reasons == expected


def test_a_second_factor_is_asked_for_and_good_once(house):
    """The token of the first step is good for the second one only."""
    user = house.gate.find("ann")
    secret, now = house.gate.factor_secret(user), house.clock.wall_ns() // 10**9 // 30
    step = house.gate.checked_code(user, totp(secret, now), HOME)
    house.operate(AccessAction.FACTOR_ON, step=str(step))
    user = house.gate.verify("ann", GOOD, HOME)
    assert house.gate.login(user, HOME).reason is RejectReason.SECOND_FACTOR_REQUIRED
    token = house.gate.pending(user)
    assert house.gate.by_token(token, HOME).reason is RejectReason.TOKEN_INVALID
    assert house.gate.by_pending(token, HOME).name == "ann"
    assert house.gate.login(user, HOME, totp(secret, now)).reason is RejectReason.CODE_INVALID
    assert house.gate.login(user, HOME, "١٢٣٤٥٦").reason is RejectReason.CODE_INVALID
    house.passes(30)
    house.login(totp(secret, now + 1))

    # and the next one has another secret
    house.operate(AccessAction.FACTOR_OFF)
    assert house.gate.factor_secret(house.gate.find("ann")) != secret


def test_codes_are_those_of_the_standard():
    """RFC 6238, appendix B: the last six digits of its SHA-1 rows."""
    secret = b"12345678901234567890"
    rows = {59: "287082", 1111111109: "081804", 1234567890: "005924", 20000000000: "353130"}
    assert {at: totp(secret, at // 30) for at in rows} == rows


def test_a_password_is_set_by_an_operators_code(house):
    """Written in any way; five misses and it is void."""
    code = new_code()
    ends_ns = str(house.clock.wall_ns() + 10**12)
    house.operate(AccessAction.ISSUE_CODE, code=code_hash(code), ends_ns=ends_ns)
    typed = f" {code[:10].lower()}-{code[10:]}"
    house.done(house.gate.reset("ann@x", typed, "another one", HOME))
    assert house.gate.verify("ann", GOOD, HOME).reason is RejectReason.CREDENTIALS_INVALID
    assert house.gate.verify("ann", "another one", HOME).name == "ann"
    again = house.gate.reset("ann", code, GOOD, HOME)
    assert house.refused(again) is RejectReason.CODE_INVALID
    assert house.gate.reset("no@user", code, GOOD, HOME).reason is RejectReason.CODE_INVALID


def test_an_old_hash_is_renewed_at_login(house):
    """Made by bcrypt of another system, from the first 72 bytes of a long password."""
    bcrypt = pytest.importorskip("bcrypt")
    pytest.importorskip("argon2")
    long = "ä" * 60
    made = bcrypt.hashpw(long.encode()[:72], bcrypt.gensalt(4)).decode()
    credential = house.gate.find("ann").credential
    house.done(
        AccessRequest(
            account="gate", client_order_id="b", action=AccessAction.RENEW_HASH, user="ann",
            facts={"hash": made, "credential": credential},
        )
    )  # fmt: skip
    user = house.gate.verify("ann", long, HOME)
    house.done(house.gate.renewal(user, long))
    user = house.gate.verify("ann", long, HOME)
    assert user.password_hash.startswith("$argon2id$")
    assert house.gate.renewal(user, long) is None
    assert house.gate.verify("ann", long[:40], HOME).reason is RejectReason.CREDENTIALS_INVALID


# --- tokens ---


def test_each_token_is_good_for_its_kind_only(house):
    opened = house.login()
    caller = house.gate.by_token(opened.access, HOME)
    issued = {
        TokenKind.ACCESS: opened.access, TokenKind.REFRESH: opened.refresh,
        TokenKind.TICKET: house.gate.ticket(caller),
        TokenKind.SECOND_FACTOR: house.gate.pending(house.gate.find("ann")),
        TokenKind.RESET: house.gate.tokens.issue(TokenKind.RESET, "ann"),
    }  # fmt: skip
    for kind in TokenKind:
        good = [of for of, token in issued.items() if house.gate.tokens.read(kind, token)]
        assert good == [kind]


def test_a_token_is_over_when_its_time_is(house):
    opened = house.login()
    house.passes(899)
    assert type(house.gate.by_token(opened.access, HOME)) is Caller
    house.passes(1)
    assert house.gate.by_token(opened.access, HOME).reason is RejectReason.TOKEN_INVALID


@pytest.mark.filterwarnings("ignore:The HMAC key")
def test_no_other_token_is_read(house):
    """Of another key, algorithm, audience or time, or no token at all."""
    import jwt

    opened = house.login()
    claims = jwt.decode(opened.access, options={"verify_signature": False})
    header = jwt.get_unverified_header(opened.access)
    key = MASTER.derived("token")
    signed = [
        jwt.encode(claims, b"x" * 32, "HS256", headers=header),
        jwt.encode(claims, key, "HS512", headers={"kid": header["kid"]}),
        jwt.encode(claims, "", "none", headers={"kid": header["kid"]}),
        jwt.encode(claims, key, "HS256"),  # without the key's id
        jwt.encode({**claims, "aud": "other"}, key, "HS256", headers=header),
        jwt.encode({**claims, "iat": claims["iat"] + 60}, key, "HS256", headers=header),
        jwt.encode({k: v for k, v in claims.items() if k != "exp"}, key, "HS256", headers=header),
        "", "a.b.c", opened.access[:-1], opened.access + "x", "x" * 5000, "ä.b.c",
        "W1" * 2000 + ".e30.x",
    ]  # fmt: skip
    for token in signed:
        assert house.gate.by_token(token, HOME).reason is RejectReason.TOKEN_INVALID
    good = jwt.encode(claims, key, "HS256", headers=header)
    assert type(house.gate.by_token(good, HOME)) is Caller


def test_of_known_tokens_there_is_a_bound(house, monkeypatch):
    """P12: a token that was read before is looked up, until there are too many."""
    monkeypatch.setattr(tokens, "KNOWN_MAX", 3)
    issued = [house.gate.tokens.issue(TokenKind.RESET, "ann") for _ in range(10)]
    for _ in range(2):
        assert all(house.gate.tokens.read(TokenKind.RESET, token) for token in issued)
        assert len(house.gate.tokens._known) <= 3
    assert house.gate.tokens.read(TokenKind.ACCESS, issued[-1]) is None


class Names:
    """What several gates take together. `name` is that of the memory; None: out of reach."""

    def __init__(self):
        self.name, self.since_ns, self.taken = "m-1", 0, set()

    def memory(self):
        return self.name or ""

    def take(self, name, *, memory="", at_ns=0):
        if self.name is None or (memory != self.name if memory else at_ns <= self.since_ns):
            return None
        is_first = name not in self.taken
        self.taken.add(name)
        return is_first


def test_a_ticket_opens_one_socket_among_several_gates(house):
    """Whichever of them gave it. None where it is not known which were used."""
    names = Names()
    one, other = (Gate(house.desk.oms, MASTER, once=names) for _ in range(2))
    caller = one.by_token(house.login().access, HOME)
    ticket, unused = one.ticket(caller), one.ticket(caller)
    assert other.by_ticket(ticket, HOME) == caller
    assert one.by_ticket(ticket, HOME).reason is RejectReason.TOKEN_INVALID
    names.name, names.taken = "m-2", set()
    for each in (ticket, unused):
        assert one.by_ticket(each, HOME).reason is RejectReason.TOKEN_INVALID
    names.name = None
    assert one.ticket(caller).reason is RejectReason.ACCESS_STALE


def test_what_was_signed_before_the_names_were_lost_is_taken_by_no_gate(house):
    """It is to be signed again, as nobody knows whether it was taken."""
    names, key = Names(), house.key()
    one, other = (Gate(house.desk.oms, MASTER, once=names) for _ in range(2))
    house.passes(2)
    house.gate = one
    assert type(house.signed(key, "n-1")) is Caller
    house.gate = other
    assert house.signed(key, "n-1").reason is RejectReason.SIGNATURE_INVALID
    names.taken, names.since_ns = set(), house.clock.wall_ns()
    told = house.signed(key, "n-2")
    assert (told.reason, told.retry_s) == (RejectReason.ACCESS_STALE, 2)
    house.passes(1)
    assert type(house.signed(key, "n-3")) is Caller


def test_a_ticket_opens_one_socket(house):
    """Within 30 s, once, and not after a restart."""
    caller = house.gate.by_token(house.login().access, HOME)
    ticket = house.gate.ticket(caller)
    assert house.gate.by_ticket(ticket, HOME) == caller
    assert house.gate.by_ticket(ticket, HOME).reason is RejectReason.TOKEN_INVALID
    late = house.gate.ticket(caller)
    unused = house.gate.ticket(caller)
    assert Gate(house.desk.oms, MASTER).by_ticket(unused, HOME).reason is (
        RejectReason.TOKEN_INVALID
    )
    house.passes(30)
    assert house.gate.by_ticket(late, HOME).reason is RejectReason.TOKEN_INVALID


@pytest.mark.parametrize("how", ["logout", "everywhere", "lock", "password", "role"])
def test_a_revocation_holds_at_once(house, how):
    """For the next request, and for sockets that are open."""
    caller = house.gate.by_token(house.login().access, HOME)
    other = house.login()
    assert house.gate.stands(caller) is None
    if how == "lock":
        house.operate(AccessAction.LOCK_USER)
    elif how == "role":
        house.operate(AccessAction.SET_ROLE, role="viewer")
    elif how == "password":
        user = house.gate.verify("ann", GOOD, HOME)
        house.done(house.gate.change_password(user, "another one"))
    else:
        house.done(house.gate.logout(caller, everywhere=how == "everywhere"))
    assert house.gate.stands(caller).reason is RejectReason.SESSION_REVOKED
    found = house.gate.by_token(other.access, HOME)
    if how in ("everywhere", "lock", "password"):
        assert found.reason is RejectReason.SESSION_REVOKED
    else:
        assert found.role == ("viewer" if how == "role" else "trader")


def test_a_locked_user_is_told_so_only_by_the_right_password(house):
    house.operate(AccessAction.LOCK_USER)
    assert house.gate.verify("ann", BAD, HOME).reason is RejectReason.CREDENTIALS_INVALID
    assert house.gate.verify("ann", GOOD, HOME).reason is RejectReason.USER_LOCKED


def test_where_the_news_is_old_nobody_is_let_through(house):
    """Given a dispatcher that hangs, when five seconds have passed, then the gate closes."""
    opened, key = house.login(), house.key()
    caller = house.gate.by_token(opened.access, HOME)
    house.clock.advance(5.000000001)
    for denied in (
        house.gate.by_token(opened.access, HOME), house.gate.stands(caller),
        house.signed(key, "n"),
    ):  # fmt: skip
        assert denied.reason is RejectReason.ACCESS_STALE
    house.desk.step()
    assert type(house.gate.by_token(opened.access, HOME)) is Caller


# --- keys ---


def test_a_program_signs_its_requests(house):
    """Anything else than what it signed is refused."""
    key = house.key()
    house.passes(2)  # after a start the first second is another process's
    caller = house.signed(key, "n1")
    assert caller[:5] == ("ann", "trader", {"read", "trade"}, ("ann",), key)
    for other in ({"method": "GET"}, {"target": "/order?x=2"}, {"body": b"{} "}):
        assert house.signed(key, "n2", **other).reason is RejectReason.SIGNATURE_INVALID
    assert type(house.signed(key, "n2")) is Caller  # its nonce was not used up by those
    assert house.signed("7-abc", "n3").reason is RejectReason.SIGNATURE_INVALID
    time_ms = str(house.clock.wall_ns() // 10**6)
    for key_id in ("\ud800", "", "x" * 100):
        denied = house.gate.by_signature(key_id, time_ms, "n3", "0" * 64, "GET", "/", b"", HOME)
        assert denied.reason is RejectReason.SIGNATURE_INVALID
    assert house.signed(key, "n 3").reason is RejectReason.SIGNATURE_INVALID
    assert house.gate.stands(caller) is None


def test_a_signed_request_is_taken_once(house):
    """Within its seconds by the nonce, later by the time, after a restart by both."""
    key = house.key()
    house.passes(12)
    assert type(house.signed(key, "n", ahead_ms=1000)) is Caller
    assert house.signed(key, "n", ahead_ms=1000).reason is RejectReason.SIGNATURE_INVALID
    assert house.signed(key, "m", ahead_ms=1001).reason is RejectReason.SIGNATURE_INVALID
    back_ms = BACK_NS // 10**6
    assert type(house.signed(key, "m", ahead_ms=-back_ms + 1)) is Caller
    assert house.signed(key, "o", ahead_ms=-back_ms).reason is RejectReason.SIGNATURE_INVALID

    # a second process, at once: the clock is where the first one was
    second = House(clock=house.clock, store=house.desk.store)
    assert second.signed(key, "n", ahead_ms=1000).reason is RejectReason.ACCESS_STALE
    second.passes(AHEAD_NS / 10**9 + 0.001)
    assert second.signed(key, "n", ahead_ms=-1).reason is RejectReason.ACCESS_STALE
    assert type(second.signed(key, "n")) is Caller  # of a later time: another request


def test_a_clock_that_goes_back_brings_no_request_back(house):
    key = house.key()
    house.passes(2)
    time_ms = str(house.clock.wall_ns() // 10**6)
    secret = house.gate.key_secret(key).encode()
    said = {"method": "GET", "target": "/", "body": b""}
    signature = signature_of(secret, time_ms, "n", **said)
    assert type(house.gate.by_signature(key, time_ms, "n", signature, address=HOME, **said)) is (
        Caller
    )
    house.passes(60)
    assert type(house.signed(key, "later")) is Caller  # the first is forgotten by now
    house.clock.jump(-60)
    denied = house.gate.by_signature(key, time_ms, "n", signature, address=HOME, **said)
    assert (denied.reason, denied.retry_s) == (RejectReason.ACCESS_STALE, 1)


def test_a_key_has_scopes_addresses_and_an_end(house):
    ends_ns = str(house.clock.wall_ns() + 60 * 10**9)
    key = house.key(scopes="read", addresses="192.0.2.0/24,2001:db8::/32", ends_ns=ends_ns)
    house.passes(2)
    assert house.signed(key, "a").scopes == {"read"}
    assert type(house.signed(key, "b", address="::ffff:192.0.2.9")) is Caller
    denied = house.signed(key, "c", address="198.51.100.1")
    assert denied.reason is RejectReason.NOT_ALLOWED
    house.operate(AccessAction.SET_ROLE, role="viewer")
    assert house.signed(house.key(scopes="read"), "d").scopes == {"read"}
    house.passes(58)
    assert house.signed(key, "e").reason is RejectReason.SIGNATURE_INVALID


def test_a_role_that_was_lowered_lowers_its_keys(house):
    key = house.key()
    house.operate(AccessAction.SET_ROLE, role="viewer")
    house.passes(2)
    caller = house.signed(key, "a")
    assert caller.scopes == {"read"}
    house.operate(AccessAction.REVOKE_KEY, key=key)
    assert house.gate.stands(caller).reason is RejectReason.SESSION_REVOKED
    assert house.signed(key, "b").reason is RejectReason.SIGNATURE_INVALID


def test_the_one_question():
    """May this caller do that, for this account?"""
    read, trade, admin = AccessScope
    every = frozenset(AccessScope)
    ann = Caller("ann", "trader", frozenset({read, trade}), ("a", "b"))
    operator = Caller("op", "operator", every, ())
    key_of_operator = Caller("op", "operator", frozenset({read}), ("a",), "k")
    assert may(ann, trade, "a")
    assert may(ann, read)
    assert not may(ann, trade, "c")
    assert not may(ann, admin)
    assert may(operator, trade, "c")
    assert not may(key_of_operator, read, "c")
    assert may(key_of_operator, read, "a")


# --- logs ---


def test_every_refusal_is_one_line_without_a_secret(house, caplog):
    opened, key = house.login(), house.key()
    with caplog.at_level(logging.WARNING, logger="oms.gateways.gate"):
        house.gate.verify("ann", BAD, HOME)
        house.gate.by_token(opened.access[:-2], HOME)
        house.signed(key, "n", body=b"other")
        house.gate.verify("x\ny" * 50, BAD, HOME)
    assert len(caplog.messages) == 4
    for secret in (BAD, GOOD, opened.access[:40], house.gate.key_secret(key), "\n"):
        assert secret not in "|".join(caplog.messages)
    assert all(HOME in message for message in caplog.messages)
    assert "m" * 32 not in repr(MASTER)


def test_a_password_that_cannot_be_set_is_not_told(house):
    for password in ("tooshrt", "x" * 1025, "\ud800" * 9, 5):
        with pytest.raises(ValidationError) as caught:
            house.gate.sign_up("bob", "bob@x", password, ("bob",))
        assert caught.value.field == "password"
        assert str(password) not in str(caught.value)
