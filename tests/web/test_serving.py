"""`serve`: somebody who has never seen it trades; and what they may stumble over."""

import re
import shlex
import signal
import socket
import ssl
import subprocess
import sys
from contextlib import ExitStack
from functools import partial

import httpx
import pytest
from websockets.sync.client import connect

from tests.web.sandboxed import ANSWER_S, ROOT, Served

READY = "Ctrl-C stops it"
get, post = partial(httpx.get, timeout=ANSWER_S), partial(httpx.post, timeout=ANSWER_S)


def test_the_first_user_trades_by_the_printed_line(tmp_path):
    """One command in an empty directory; nothing to read, to choose or to fill in."""
    with Served(tmp_path) as served:
        # given what it prints
        served.wait_for(READY)

        # when the two lines of curl are done as they stand
        book, order = served.curl(0), served.curl(1)

        # then there is a book, and the order has met it
        assert book.status_code == 200
        assert book.json()["asks"]
        assert (order.status_code, order.json()["status"]) == (201, "FILLED")

        # and the printed user is let in by the printed password
        name, password = re.search(r"Sign in as (\w+), password (\w+)\.", served.told).groups()
        body = {"username": name, "password": password}
        assert post(f"{served.urls[0]}/login", json=body).status_code == 200


def test_the_next_start_goes_on(tmp_path):
    """Users, money and orders are there; the password is the same; agents trade on."""
    with Served(tmp_path) as served:
        first = served.wait_for(READY)
        assert served.curl(1).status_code == 201
        body = {"username": "ann", "email": "ann@example.com", "password": "a long password"}
        assert post(f"{served.urls[0]}/signup", json=body).status_code == 201
        assert served.stop() == 0
    with Served(tmp_path) as served:
        again = served.wait_for(READY)
        assert re.search("password .*", again)[0] == re.search("password .*", first)[0]
        url, token = served.urls[0], re.search("Bearer ([^']+)", again)[1]
        told = get(f"{url}/balance", headers={"authorization": f"Bearer {token}"}).json()
        owned = {each["asset"]: each["available"] for each in told["balances"]}
        assert owned["BTC"] == "100000.01"
        body = {"username": "ann", "password": "a long password"}
        assert post(f"{url}/login", json=body).status_code == 200


def test_the_printed_command_makes_an_operator(tmp_path):
    with Served(tmp_path) as served:
        served.wait_for(READY)
        line = next(line for line in served.told.splitlines() if " user role " in line)
        words = [sys.executable, *shlex.split(line)[1:]]
        done = subprocess.run(words, cwd=tmp_path, capture_output=True, timeout=60, check=False)
        assert done.returncode == 0, done.stderr
        token = re.search("Bearer ([^']+)", served.told)[1]
        headers = {"authorization": f"Bearer {token}"}
        assert get(f"{served.urls[0]}/admin/status", headers=headers).status_code == 200


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_it_stops_in_order_with_sockets_open(tmp_path, number):
    """Neither streams, idle connections nor agents hold it up; a thread that did would be exit code
    1."""
    with Served(tmp_path, "--agents", 200) as served, ExitStack() as stack:
        served.wait_for(READY)
        url = served.urls[0]
        sockets = [
            stack.enter_context(connect(url.replace("http", "ws") + "/ws")) for _ in range(20)
        ]
        for each in sockets:
            each.recv()
            each.send('{"op": "subscribe", "channel": "depth", "symbol": "BTC_USD"}')
            each.recv()
        idle = stack.enter_context(httpx.Client(base_url=url, timeout=ANSWER_S))
        assert idle.get("/time").status_code == 200
        assert served.stop(number) == 0
        assert served.errors.count("\n") == 1  # where its data is, and no complaint
    log = "".join(each.read_text() for each in (tmp_path / "sandbox/logs").iterdir())
    assert "died" not in log


def test_without_agents_nobody_trades(tmp_path):
    """The printed order is one that rests, then: there is nobody to meet."""
    with Served(tmp_path, "--agents", 0) as served:
        served.wait_for(READY)
        order = served.curl(1)
        assert (order.status_code, order.json()["status"]) == (201, "NEW")
        assert served.curl(0).json()["asks"] == []


def test_with_a_configuration_it_is_the_real_thing(tmp_path):
    """No agents, no user, no money, no sign-up."""
    (tmp_path / "config.ini").write_text("[instrument BTC_USD]\n", encoding="utf-8")
    with Served(tmp_path, "--data-dir", tmp_path) as served:
        served.wait_for("front door: ")
        url = served.urls[0]
        body = {"username": "ann", "email": "ann@example.com", "password": "a long password"}
        refused = post(f"{url}/signup", json=body)
        assert refused.status_code == 403
        assert get(f"{url}/depth?symbol=BTC_USD").json()["bids"] == []
        assert served.stop(signal.SIGTERM) == 0
    assert not (tmp_path / "sandbox").exists()


def test_it_listens_on_several_addresses(tmp_path):
    if not socket.has_dualstack_ipv6():
        pytest.skip("this machine has no IPv6")
    with Served(tmp_path, "--agents", 0, listen="127.0.0.1:0, [::1]:0") as served:
        served.wait_for(READY)
        listed = get(f"{served.urls[0]}/health")
        assert listed.status_code == 200
        log = tmp_path / "sandbox" / "logs" / "order_management.log"
        found = re.search(r"http://\[::1\]:\d+", log.read_text(encoding="utf-8"))
        assert get(f"{found[0]}/health").status_code == 200


def test_where_all_addresses_are_listened_on_any_number_will_do(tmp_path):
    """A name that is not known is refused: it may be one that another site's page has given us."""
    with Served(tmp_path, "--agents", 0, listen="0.0.0.0:0") as served:
        served.wait_for(READY)
        url = served.urls[0]
        assert url.startswith("http://127.0.0.1:")  # what a browser on this machine can open
        for host, status in (("192.0.2.7:3000", 200), ("[2001:db8::7]:3000", 200),
                             ("evil.example", 421), ("1.2.3.4.evil.example:80", 421)):  # fmt: skip
            assert get(f"{url}/health", headers={"host": host}).status_code == status


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--agents", "-1"), "--agents: expected a whole number from 0 to 1000"),
        (("--agents", "5", "--data-dir", "."), "expected --agents in a sandbox alone"),
        (("--listen", "3000"), "listen: expected addresses with ports, such as 127.0.0.1:3000"),
        (("--listen", "127.0.0.1:65536"), "listen: expected addresses with ports"),
        (("--listen", "192.0.2.1:0"), "[web] listen = 192.0.2.1:0: "),
    ],
)
def test_a_mistake_is_one_clear_line(tmp_path, options, words):
    with Served(tmp_path, *options, listen="") as served:
        assert served.process.wait(60) == 2
        lines = [line for line in served.errors.splitlines() if "data in" not in line]
        assert len(lines) == 1
        assert words in lines[0]


def test_a_port_that_is_taken_is_named(tmp_path):
    """And a second one in the same directory is told which process has it."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with Served(tmp_path, listen=f"127.0.0.1:{port}") as served:
            assert served.process.wait(60) == 2
            assert f"127.0.0.1:{port}: another program listens there" in served.errors
    with Served(tmp_path / "one") as first:
        first.wait_for(READY)
        with Served(tmp_path / "one") as second:
            assert second.process.wait(60) == 2
            assert f"in use by process {first.process.pid}" in second.errors


def test_a_missing_extra_is_named_before_anything_is_made(tmp_path):
    with Served(tmp_path, without=("starlette",)) as served:
        assert served.process.wait(60) == 2
        assert "needs a package that is missing: starlette" in served.errors
        assert "Traceback" not in served.errors
    assert not (tmp_path / "sandbox").exists()


def test_it_serves_where_uvloop_is_not(tmp_path):
    """On Windows there is no uvloop, and no module `resource`."""
    with Served(tmp_path, without=("uvloop", "resource")) as served:
        served.wait_for(READY)
        assert served.curl(1).status_code == 201
        assert served.stop() == 0


def test_it_speaks_tls_by_files(tmp_path):
    """A key that is none is told at the start."""
    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    made = subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1", "-subj",
         "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", key, "-out",
         certificate], capture_output=True, check=False,
    )  # fmt: skip
    if made.returncode:
        pytest.skip("openssl is not here")
    text = f"[web]\ntls_certificate = {certificate}\ntls_key = {key}\n[instrument BTC_USD]\n"
    (tmp_path / "config.ini").write_text(text, encoding="utf-8")
    with Served(tmp_path, "--data-dir", tmp_path) as served:
        served.wait_for("front door: ")
        trusted = ssl.create_default_context(cafile=str(certificate))
        assert served.urls[0].startswith("https://")
        assert get(f"{served.urls[0]}/health", verify=trusted).status_code == 200
        assert served.stop() == 0
    key.write_text("no key\n", encoding="utf-8")
    with Served(tmp_path, "--data-dir", tmp_path) as served:
        assert served.process.wait(60) == 2
        assert "[web] tls_certificate, tls_key: " in served.errors


ALONE = """
import pkgutil, sys, importlib
sys.path.insert(0, sys.argv.pop(1))
import oms
for each in pkgutil.walk_packages(oms.__path__, "oms."):
    if not each.name.startswith((
        "oms.gateways.web", "oms.top.screen", "oms.roles.", "oms.transport.", "oms.__main__",
        "oms.stores.postgres", "oms.stores.projection", "oms.stores.partitions",
    )):
        importlib.import_module(each.name)
from oms.cli import main
sys.exit(main())
"""


def test_all_else_runs_without_an_extra(tmp_path):
    """Every module but those that need one, a simulation, and users with passwords.

    -S: there is the standard library, and nothing that was installed.
    """
    simulate = ["simulate", "--orders", "200", "--speed", "max", "--quiet"]
    add = ["user", "add", "ann", "--email", "ann@example.com"]
    for words in (simulate, add, ["user", "list"]):
        done = subprocess.run(
            [sys.executable, "-I", "-S", "-c", ALONE, str(ROOT), *words], cwd=tmp_path,
            input="a long password", capture_output=True, text=True, timeout=120, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
    assert "ann@example.com" in done.stdout
