"""`user` and `key` from the command line: with a daemon, and without one."""

import io
import re

import pytest

from oms.cli import main
from oms.gateways import passwords
from oms.gateways.client import ControlClient
from oms.gateways.gate import code_hash
from tests.places import after_place
from tests.test_process_control import daemon

LINE = "ann                  trader   ann@x, accounts ann, sessions 0, keys 0\n"


@pytest.fixture
def run(tmp_path, capsys, monkeypatch):
    """One command in a data directory; code, stdout, and stderr but for the line of the place."""
    monkeypatch.setattr(passwords, "ARGON2_MEMORY_KIB", 64)
    monkeypatch.setattr(passwords, "SCRYPT_LOG_N", 4)

    def run(*arguments, lines="correct horse\n"):
        capsys.readouterr()
        monkeypatch.setattr("sys.stdin", io.StringIO(lines))
        code = main([*arguments, "--data-dir", str(tmp_path)])
        captured = capsys.readouterr()
        return code, captured.out, after_place(captured.err)

    return run


def test_a_user_is_added_and_managed_without_a_daemon(run):
    """Each command holds from the next start on."""
    assert run("user", "list")[0] == 2  # nothing has run here yet
    assert run("user", "add", "ann", "--email", "ann@x", "--id", "u1") == (
        0, "add ann, id u1: user=ann\n", "",
    )  # fmt: skip
    assert run("user", "list") == (0, LINE, "")
    assert run("user", "role", "ann", "viewer", "--id", "u2")[1] == (
        "role ann, id u2: user=ann, role=viewer\n"
    )
    assert run("user", "accounts", "ann", "a,b", "--id", "u3")[0] == 0
    assert run("user", "lock", "ann", "--why", "left us", "--id", "u4")[0] == 0
    assert (
        "viewer   ann@x, accounts a,b, sessions 0, keys 0, locked: left us"
        in (run("user", "list")[1])
    )
    assert (
        run("user", "unlock", "ann", "--id", "u5")[1] == "unlock ann, id u5: user=ann, unlocked\n"
    )
    code, out, err = run("user", "add", "ANN", "--email", "other@x", "--id", "u6")
    assert (code, out) == (1, "")
    assert "refused: USER_EXISTS: user=ANN" in err


def test_a_running_daemon_does_it_at_once(run, tmp_path):
    """And tells neither hash nor code; a code that was printed is the one that is good."""
    with daemon(tmp_path):
        assert run("user", "add", "ann", "--email", "ann@x")[0] == 0
        code, out, _ = run("user", "code", "ann")
        assert code == 0
        printed = re.search(r"^one-time code: ([A-Z0-9]{20}), until \d{4}-", out, re.MULTILINE)
        with ControlClient.connect(tmp_path) as client:
            request = {
                "account": "gate", "user": "ann", "request": "CREATE_KEY", "client_order_id": "k",
                "facts": {"name": "bot", "scopes": "read", "ends_ns": "0"},
            }  # fmt: skip
            told = client.ask(request)["response"]["text"]
            key = told.partition("key=")[2]
            used = client.ask({
                "account": "gate", "user": "ann", "request": "RESET_PASSWORD",
                "client_order_id": "r",
                "facts": {"code": code_hash(printed[1]), "hash": "$x"},
            })  # fmt: skip
            assert not used["response"]["refused"]
            users = client.ask({"ask": "users", "limit": 1})
        assert "$x" not in str(users)
        assert users["more"] is False
        assert re.fullmatch(rf"{key} +bot: read, made .*, for ever\n", run("key", "list", "ann")[1])
        assert run("key", "revoke", "ann", key, "--id", "k2")[1] == (
            f"revoke {key} of ann, id k2: user=ann, key={key}\n"
        )
        assert run("key", "list", "ann")[1] == "none\n"
        assert run("key", "revoke", "ann", key)[0] == 1


def test_all_users_are_listed_page_by_page(run, tmp_path):
    """More than an answer has."""
    with daemon(tmp_path), ControlClient.connect(tmp_path) as client:
        for n in range(120):
            client.ask({
                "account": "operator", "user": f"u{n}", "request": "SIGN_UP",
                "client_order_id": f"s{n}",
                "facts": {"email": f"{n}@x", "hash": "$", "role": "viewer", "accounts": ""},
            })  # fmt: skip
        out = run("user", "list")[1]
    assert [line.split()[0] for line in out.splitlines()] == [f"u{n}" for n in range(120)]


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["list", "ann"], "expected NAME with every action but list"),
        (["lock"], "expected NAME with every action but list"),
        (["role", "ann"], "expected VALUE with role and accounts"),
        (["lock", "ann", "now"], "expected VALUE with role and accounts"),
        (["add", "ann"], "expected --email with add"),
        (["lock", "ann", "--role", "viewer"], "expected --email with add"),
        (["code", "ann", "--why", "so"], "expected --why with lock and unlock alone"),
        (["role", "ann", "king"], "role: expected one of viewer, trader, operator"),
        (["add", "a b", "--email", "x@y"], "user: expected 1 to 64 letters"),
        (["add", "ann", "--email", "x"], "email: expected an email address"),
    ],
)
def test_a_mistake_is_told_before_anything_starts(run, tmp_path, arguments, told):
    code, out, err = run("user", *arguments)
    assert (code, out) == (2, "")
    assert told in err
    assert not (tmp_path / "order_management.db").exists()


def test_where_no_password_comes_it_says_from_where(run):
    """In a container that was started without -i, say."""
    code, _, err = run("user", "add", "ann", "--email", "ann@x", lines="")
    assert code == 2
    assert "password: expected a terminal, or a first line of stdin, was 'nothing'" in err


def test_a_password_is_asked_for_twice_and_never_shown(run, monkeypatch):
    """At a terminal; and one that is too short is not repeated in the error."""
    code, _, err = run("user", "add", "ann", "--email", "ann@x", lines="tooshrt\n")
    assert code == 2
    assert "password: expected at least 8 characters" in err
    assert "tooshrt" not in err

    class Terminal(io.StringIO):
        def isatty(self):
            return True

    typed = iter(["correct horse", "correct house"])
    monkeypatch.setattr("getpass.getpass", lambda _: next(typed))
    monkeypatch.setattr("io.StringIO", Terminal)
    code, _, err = run("user", "add", "ann", "--email", "ann@x")
    assert code == 2
    assert "the same twice" in err
    assert "correct" not in err
