"""What the gate is made of: hashes, the master secret, addresses, nonces, attempts.

Each is used alone here, at its bounds.
"""

import stat
from ipaddress import ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oms import GatewayError, ManualClock, ValidationError
from oms.gateways import attempts, passwords, signatures, tokens
from oms.gateways.addresses import client_address, client_of, is_among, networks_in
from oms.gateways.attempts import PASSWORD, Attempts
from oms.gateways.gate import code_hash, new_code
from oms.gateways.master import FILE_NAME, VARIABLE, MasterSecret, master_secret
from oms.gateways.passwords import hash_password, is_best, verify
from oms.gateways.signatures import BACK_NS, Nonces, factor_uri, totp, totp_step
from oms.gateways.tokens import Tokens

SECOND = 1_000_000_000


# --- passwords ---


@pytest.fixture(params=["argon2id", "scrypt"])
def algorithm(request, monkeypatch):
    """With the extra installed, and without."""
    monkeypatch.setattr(passwords, "ARGON2_MEMORY_KIB", 64)
    monkeypatch.setattr(passwords, "SCRYPT_LOG_N", 4)
    if request.param == "scrypt":
        monkeypatch.setattr(passwords, "argon2", None)
    elif passwords.argon2 is None:
        pytest.skip("argon2-cffi is not installed")
    return request.param


def test_a_hash_names_its_algorithm_and_takes_its_password_alone(algorithm):
    """Also beyond 72 bytes, and with a NUL in it; two hashes of one password differ."""
    for password in ("correct horse", "x" * 100, "a\0bcdefgh", "пароль-пароль", "ä" * 512):
        made = hash_password(password)
        assert made.startswith(f"${algorithm}$")
        assert made != hash_password(password)
        assert verify(made, password)
        assert is_best(made)
        for other in (password + "x", password[:-1], "", "\ud800", password * 100):
            assert not verify(made, other)


def test_a_hash_that_is_not_the_best_wants_to_be_renewed(algorithm, monkeypatch):
    """The parameters were raised since; or the extra was installed."""
    made = hash_password("correct horse")
    monkeypatch.setattr(passwords, "ARGON2_MEMORY_KIB", 128)
    monkeypatch.setattr(passwords, "SCRYPT_LOG_N", 5)
    assert verify(made, "correct horse")
    assert not is_best(made)
    assert algorithm in made


def test_scrypt_of_a_plain_installation_is_verified_and_renewed(monkeypatch):
    monkeypatch.setattr(passwords, "SCRYPT_LOG_N", 4)
    pytest.importorskip("argon2")
    with monkeypatch.context() as plain:
        plain.setattr(passwords, "argon2", None)
        made = hash_password("correct horse")
    assert verify(made, "correct horse")
    assert not is_best(made)


def test_what_cannot_be_verified_is_said(monkeypatch):
    """An algorithm that is not installed, or none that is known: a mistake of whoever runs it."""
    made = hash_password("correct horse")
    monkeypatch.setattr(passwords, "argon2", None)
    monkeypatch.setattr(passwords, "bcrypt", None)
    bcrypt = "$2b$04$" + "a" * 53
    unknown = ("$md5$x", "$scrypt$ln=30,r=8,p=1$" + "a" * 22 + "$" + "a" * 43, bcrypt)
    for each in (*unknown, *([made] if made.startswith("$argon2id$") else ())):
        with pytest.raises(GatewayError) as caught:
            verify(each, "correct horse")
        assert each not in str(caught.value)


def test_without_pyjwt_a_gate_says_what_to_install(monkeypatch):
    monkeypatch.setattr(tokens, "jwt", None)
    with pytest.raises(GatewayError, match=r"pip install 'order-management\[server\]'"):
        Tokens(MasterSecret(b"x"), ManualClock())


# --- the master secret ---


def test_the_first_run_makes_a_secret_that_only_its_owner_reads(tmp_path):
    """And the second run has the same."""
    first = master_secret(tmp_path, environment={})
    path = tmp_path / FILE_NAME
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert list(tmp_path.iterdir()) == [path]
    again = master_secret(tmp_path, environment={})
    assert first.derived("key", "1") == again.derived("key", "1")
    assert first.derived("key", "2") != first.derived("key", "1") != first.derived("factor", "1")
    assert path.read_text().strip() not in repr(first)


def test_a_secret_of_the_environment_goes_before_the_file(tmp_path):
    made = master_secret(tmp_path, environment={VARIABLE: "s" * 32})
    assert not (tmp_path / FILE_NAME).exists()
    assert made.derived("key", "1") == MasterSecret(b"s" * 32).derived("key", "1")


def test_a_secret_that_cannot_be_trusted_is_refused(tmp_path):
    """Too short, readable by others, no text, or lost while keys need it."""
    path = tmp_path / FILE_NAME
    with pytest.raises(GatewayError, match=f"{VARIABLE}: expected 32 to 1000 characters, was 5"):
        master_secret(tmp_path, environment={VARIABLE: "short"})
    with pytest.raises(GatewayError, match="missing, and there are keys"):
        master_secret(tmp_path, needed=True, environment={})
    assert not path.exists()
    path.write_bytes(b"\xff" * 40)
    path.chmod(0o600)
    with pytest.raises(GatewayError, match="cannot be used"):
        master_secret(tmp_path, environment={})
    path.write_text("s" * 40)
    path.chmod(0o640)
    with pytest.raises(GatewayError, match="expected mode 600, was 640"):
        master_secret(tmp_path, environment={})


def test_one_time_codes_are_hard_to_guess_and_easy_to_type():
    codes = {new_code() for _ in range(100)}
    assert len(codes) == 100
    assert {len(code) for code in codes} == {20}
    assert code_hash("abcd-efgh 2345") == code_hash("ABCDEFGH2345") != code_hash("ABCDEFGH2346")


# --- addresses ---


@pytest.mark.parametrize(
    ("peer", "forwarded", "trusted", "counts"),
    [
        ("198.51.100.1", ["192.0.2.1"], "", "198.51.100.1"),  # nobody is believed
        ("127.0.0.1", ["192.0.2.1"], "127.0.0.0/8", "192.0.2.1"),
        ("127.0.0.1", ["6.6.6.6, 192.0.2.1"], "127.0.0.0/8", "192.0.2.1"),  # the client made it up
        ("127.0.0.1", ["192.0.2.1, 10.0.0.1", "10.0.0.2"], "127.0.0.1,10.0.0.0/8", "192.0.2.1"),
        ("127.0.0.1", ["10.0.0.1"], "127.0.0.1,10.0.0.0/8", "10.0.0.1"),
        ("127.0.0.1", ["192.0.2.1, garbage"], "127.0.0.0/8", "127.0.0.1"),
        ("127.0.0.1", ["192.0.2.1:443"], "127.0.0.0/8", "192.0.2.1"),  # with its port
        ("127.0.0.1", ["[2001:DB8::1]:443"], "127.0.0.0/8", "2001:db8::1"),
        ("127.0.0.1", ["[2001:db8::1]"], "127.0.0.0/8", "2001:db8::1"),
        ("127.0.0.1", ["[::ffff:192.0.2.1]:1"], "127.0.0.0/8", "192.0.2.1"),
        ("127.0.0.1", ["6.6.6.6:1, 192.0.2.1:2, 127.0.0.1:3"], "127.0.0.0/8", "192.0.2.1"),
        ("127.0.0.1", ["192.0.2.1:x"], "127.0.0.0/8", "127.0.0.1"),
        ("127.0.0.1", ["[192.0.2.1"], "127.0.0.0/8", "127.0.0.1"),
        (
            "127.0.0.1",
            ["2001:db8::1:443"],
            "127.0.0.0/8",
            "2001:db8::1:443",
        ),  # an address, as it is
        ("127.0.0.1", [], "127.0.0.0/8", "127.0.0.1"),
        ("::ffff:127.0.0.1", ["192.0.2.1"], "127.0.0.0/8", "192.0.2.1"),
        ("::1", ["2001:DB8::1"], "::1", "2001:db8::1"),
        ("", ["192.0.2.1"], "127.0.0.0/8", ""),
    ],
)
def test_the_address_that_counts(peer, forwarded, trusted, counts):
    assert client_address(peer, forwarded, networks_in("trusted", trusted)) == counts


@given(
    st.lists(st.ip_addresses().map(str) | st.text(max_size=8), max_size=50), st.ip_addresses(),
    st.none() | st.integers(0, 65_535),
)  # fmt: skip
def test_a_client_cannot_choose_its_address(made_up, real, port):
    """Whatever it sends, its own address is what the one trusted proxy adds."""
    proxy = networks_in("trusted", "10.9.8.7")
    if is_among(str(real), proxy):
        return
    host = f"[{real}]" if real.version == 6 and port is not None else str(real)
    header = ",".join([*made_up, host if port is None else f"{host}:{port}"])
    expected = getattr(real, "ipv4_mapped", None) or real
    assert ip_address(client_address("10.9.8.7", [header], proxy)) == expected


def test_a_network_that_is_none_is_named():
    with pytest.raises(ValidationError, match="trusted: expected addresses or networks"):
        networks_in("trusted", "10.0.0.0/8, 10.0.0.1/8")
    assert client_of("2001:db8::1") == client_of("2001:db8::ffff:1") == "2001:db8::/64"
    assert client_of("::ffff:192.0.2.1") == "192.0.2.1"
    assert client_of("nothing") == "nothing"


# --- nonces, codes, attempts: at their bounds ---


def test_of_nonces_there_is_a_bound_and_old_ones_are_forgotten(monkeypatch):
    """One key's flood leaves the others room."""
    monkeypatch.setattr(signatures, "NONCES_MAX", 5)
    monkeypatch.setattr(signatures, "NONCES_OF_KEY_MAX", 3)
    nonces, now = Nonces(0), 100 * SECOND
    assert [nonces.take("a", "100000", str(n), now) for n in range(4)] == [True] * 3 + [False]
    assert [nonces.take("b", "100000", str(n), now) for n in range(3)] == [True] * 2 + [False]
    later = now + BACK_NS
    assert nonces.take("a", "110000", "0", later)
    assert len(nonces._taken) == 1
    assert not nonces.take("a", "100000", "9", later)


@given(
    st.lists(
        st.tuples(
            st.sampled_from("ab"), st.integers(-11, 2), st.integers(0, 3), st.integers(-3, 5)
        ),
        max_size=60,
    )
)
def test_no_signed_request_is_ever_taken_twice(tries):
    """Whatever the clock does; and what is new and of now is taken."""
    nonces, taken, now, highest = Nonces(50 * SECOND), set(), 100 * SECOND, 0
    for key, ahead_s, nonce, passes_s in tries:
        now += passes_s * SECOND
        highest = max(highest, now)
        time_ms = str((now + ahead_s * SECOND) // 10**6)
        name = (key, time_ms, str(nonce))
        good = nonces.why_not(time_ms, str(nonce), now) == "" and nonces.take(
            key, time_ms, str(nonce), now
        )
        assert not (good and name in taken)
        used = {n for k, t, n in taken if k == key}
        if -10 < ahead_s <= 1 and str(nonce) not in used and now == highest:
            assert good
        if good:
            taken.add(name)


def test_a_code_is_of_a_step_near_now_and_after_the_last():
    secret, now = b"s" * 20, 1_000_000 * SECOND
    step = 1_000_000 // 30
    for around in range(-3, 4):
        found = totp_step(secret, totp(secret, step + around), now, after=0)
        assert found == (step + around if abs(around) <= 1 else None)
    assert totp_step(secret, totp(secret, step), now, after=step) is None
    for text in ("", "12345", "1234567", "abcdef", "\ud800", "\uff11" * 6):
        assert totp_step(secret, text, now, after=0) is None
    assert factor_uri(secret, "ann", "Our Exchange") == (
        "otpauth://totp/Our%20Exchange:ann?secret=ONZXG43TONZXG43TONZXG43TONZXG43T"
        "&issuer=Our%20Exchange"
    )


def test_pauses_grow_and_end(monkeypatch):
    """Twice as long each time, up to a quarter of an hour; an hour later all is forgotten."""
    tried, now = Attempts(), 0
    waits = []
    for _ in range(20):
        wait = tried.begin(PASSWORD, "ann", "a", now)
        if wait:
            waits.append(wait)
            now += wait * SECOND
    assert waits == [1, 2, 4, 8, 16, 32, 64, 128]
    now += 3_601 * SECOND
    assert [tried.begin(PASSWORD, "ANN", "a", now) for _ in range(6)] == [0] * 5 + [1]

    monkeypatch.setattr(attempts, "ENTRIES_MAX", 10)
    for n in range(100):
        tried.begin(PASSWORD, f"u{n}", f"a{n}", now)
    assert len(tried._entries) == 10
