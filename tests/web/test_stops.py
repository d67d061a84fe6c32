"""How the daemon with its front door ends, and what it does when it cannot go on."""

import random
import signal
import socket
from pathlib import Path

import pytest

from tests.processes import STOP_S_MAX, audit, fill, let_run, wait_until
from tests.web.clients import SYMBOL, Book, RestClient, SocketClient, Watcher, socket_of
from tests.web.served import Daemon

AT_ONCE_S = 15.0  # a second will do; the rest is for a machine that has other things to do
IDLE_SOCKETS = 15  # of one user, and four times as many of nobody
LONGER_THAN_STALE_S = 6.0  # the gate lets nobody in whose rights it has not heard of for 5 s
ORDER = {"symbol": SYMBOL, "side": "BUY", "price": "100", "quantity": "1"}


def listening(port: int = 0) -> socket.socket:
    return socket.create_server(("127.0.0.1", port))


def last_line(daemon: Daemon) -> str:
    return daemon.output.strip().splitlines()[-1]


# --- told to stop ---


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_stops_in_order_under_load_with_open_sockets(tmp_path: Path, number: int) -> None:
    """Exit code 0 within 5 s; every order that was answered is there, and the others are not half
    there."""
    directory, chance = tmp_path / "data", random.Random(1)
    with Daemon(directory) as daemon:
        for name in ("ann", "bob"):
            daemon.sign_up(name)
        tokens = {name: daemon.login(name)["token"] for name in ("ann", "bob")}
        books = {name: Book(name) for name in tokens}
        idle = [
            socket_of(daemon.ws_url, token)
            for token in (tokens["bob"], "", "", "", "")
            for _ in range(IDLE_SOCKETS)
        ]
        silent = [socket.create_connection(("127.0.0.1", port_of(daemon))) for _ in range(20)]
        watcher = Watcher(daemon.ws_url, tokens["ann"], "ann").start()
        clients = [
            RestClient(daemon.session(tokens["ann"]), books["ann"], chance, "a").start(),
            SocketClient(
                socket_of(daemon.ws_url, tokens["bob"]), books["bob"], chance, "b"
            ).start(),
        ]  # fmt: skip
        wait_until(lambda: all(len(book.accepted()) > 50 for book in books.values()))
        code, seconds = daemon.stop(number)
        for thread in (*clients, watcher):
            thread.join()
        for each in (*idle, *silent):
            each.close()
        assert code == 0 and seconds < STOP_S_MAX, (code, seconds, daemon.output[-2_000:])
        assert "Traceback" not in daemon.output
    found = audit(directory)
    assert (found.differences, found.mistakes) == ([], [])
    stored = {(line[1], line[2]) for _, line in found.requests}
    for name, book in books.items():
        assert {(name, client_id) for client_id in book.accepted()} <= stored


def port_of(daemon: Daemon) -> int:
    return int(daemon.url.rpartition(":")[2])


# --- a thread dies ---

DOOR_BREAKS = """
from oms.gateways.web.server import WebServer
serve = WebServer._serve
async def broken(self):
    import asyncio
    served = asyncio.ensure_future(serve(self))
    while not self._door.counts.answered:
        await asyncio.sleep(0.01)
    raise RuntimeError("a bug of the door")
WebServer._serve = broken
"""
ENGINE_BREAKS = """
from oms.exchange.matching import MatchingEngine
place = MatchingEngine.place
def broken(self, *given):
    if broken.left == 0:
        raise RuntimeError("a bug of the engine")
    broken.left -= 1
    return place(self, *given)
broken.left = 3
MatchingEngine.place = broken
"""


@pytest.mark.parametrize(
    ("fault", "told"),
    [(DOOR_BREAKS, "a bug of the door"), (ENGINE_BREAKS, "a bug of the engine")],
    ids=["door", "engine"],
)
def test_a_thread_that_dies_stops_the_daemon(tmp_path: Path, fault: str, told: str) -> None:
    """Exit code 1, and the reason is told; no order is answered that is not there."""
    directory = tmp_path / "data"
    book = Book("ann")
    with Daemon(directory, fault=fault) as daemon:
        if fault is ENGINE_BREAKS:
            daemon.sign_up("ann")
            session = daemon.signed_in("ann")
            client = RestClient(session, book, random.Random(1), "a").start()
            client.join()
        else:
            daemon.session().ask("GET", "/health")
        assert daemon.exit_code(AT_ONCE_S) == 1
        assert told in daemon.output
    stored = {(line[1], line[2]) for _, line in audit(directory).requests}
    assert {("ann", client_id) for client_id in book.accepted()} <= stored
    with Daemon(directory) as daemon:  # and the next one goes on
        assert daemon.session().ask("GET", "/health").status == 200


# --- it cannot start ---


def test_a_port_that_another_has_is_said_in_one_line(tmp_path: Path) -> None:
    with listening() as taken:
        port = taken.getsockname()[1]
        where = {"web": {"listen": f"127.0.0.1:{port}"}}
        with Daemon(tmp_path / "data", where) as daemon:
            assert daemon.exit_code() == 2
            assert f"127.0.0.1:{port}" in last_line(daemon)
            assert "another program listens there" in last_line(daemon)
            assert "Traceback" not in daemon.output
    with Daemon(tmp_path / "data", where) as daemon:  # it left nothing behind
        assert daemon.session().ask("GET", "/health").status == 200


def test_a_second_daemon_is_refused_and_the_first_goes_on(tmp_path: Path) -> None:
    """On the same data, wherever it would listen; with data of its own, on the same port."""
    directory = tmp_path / "data"
    with Daemon(directory) as first:
        first.sign_up("ann")
        session = first.signed_in("ann")
        session.good("POST", "/order", ORDER)
        same_port = {"web": {"listen": f"127.0.0.1:{port_of(first)}"}}
        with Daemon(tmp_path / "own", same_port) as second:
            assert second.exit_code() == 2
            assert "another program listens there" in last_line(second)
        with Daemon(directory, output=tmp_path / "second.out") as second:
            assert second.exit_code() == 2
            assert "Traceback" not in second.output
            assert len(second.output.strip().splitlines()) <= 2, second.output
        assert len(session.good("GET", "/orders/open")["orders"]) == 1
        session.good("POST", "/order", ORDER)
        assert first.stop()[0] == 0


# --- the disk is full ---


def test_while_the_disk_is_full_orders_are_refused_and_questions_answered(
    small_disk: Path,
) -> None:
    """503 DISK_FULL and nothing in the journal; whoever is signed in can look, also by a socket;
    with space again the same process goes on."""
    with Daemon(small_disk) as daemon:
        daemon.sign_up("ann")
        tokens = daemon.login("ann")
        ann = daemon.session(tokens["token"])
        first = ann.good("POST", "/order", {**ORDER, "clientOrderId": "first"})
        ballast = fill(small_disk)
        refused = [f"full-{n}" for n in range(10)]

        def is_full() -> bool:
            answer = ann.ask("POST", "/order", {**ORDER, "clientOrderId": "probe"})
            return answer.status == 503

        wait_until(is_full)
        for pause_s in (LONGER_THAN_STALE_S, 0.0):
            for name in refused:
                answer = ann.ask("POST", "/order", {**ORDER, "clientOrderId": name})
                assert (answer.status, answer.told["error"]["code"]) == (503, "DISK_FULL")
                assert int(answer.headers["retry-after"]) >= 1
            # then questions are answered, public ones and one's own
            assert ann.good("GET", f"/orders/{first['orderId']}")["status"] == "NEW"
            assert ann.good("GET", f"/depth?symbol={SYMBOL}")["bids"]
            assert ann.good("GET", "/balance")["balances"]
            assert ann.ask("GET", "/ready").status == 503
            assert ann.ask("GET", "/health").status == 200
            watcher = Watcher(daemon.ws_url, tokens["token"], "ann")
            assert watcher.told["orders"][0]["orders"]
            watcher.close()
            let_run(pause_s)  # and that stays so
        wrong = daemon.session().ask("POST", "/login", {"username": "ann", "password": "no"})
        assert wrong.status == 401
        # when there is space again, what was refused is an order now, and once
        ballast.unlink()
        for name in refused:
            wait_until(
                lambda name=name: (
                    ann.ask("POST", "/order", {**ORDER, "clientOrderId": name}).status < 300
                )
            )
        wait_until(lambda: ann.ask("GET", "/ready").told["parts"]["journal"]["ready"])
        assert daemon.stop()[0] == 0
    found = audit(small_disk)
    assert (found.differences, found.mistakes) == ([], [])
    names = [line[2] for _, line in found.requests if line[1] == "ann" and line[0] == "N"]
    assert set(refused) <= set(names)
    assert len(names) == len(set(names))
