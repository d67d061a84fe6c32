"""A running daemon spoken to from other processes: commands, kill switch, kill -9, a stop."""

import json
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path

import pytest

from oms import Config
from oms.cli import main
from oms.errors import GatewayError
from oms.gateways.client import ControlClient
from oms.gateways.wire import SOCKET_NAME
from tests.places import after_place
from tests.processes import STOP_S_MAX, audit, wait_until
from tests.test_cli import PROGRAM, program

CONFIG = """\
[session]
always_open = yes
[throttle]
policy = off
[exchange]
ledger = {ledger}
[instrument BTC_USD]
tick_size = 0.01
lot_size = 0.0001
"""
OPEN_ORDERS = 2_000
COUNT = count()
ANSWER_S_MAX = 10.0  # far above what is promised: the machine may be busy


@contextmanager
def daemon(directory: Path, ledger: str = "no") -> Iterator[subprocess.Popen]:
    """A daemon that listens; whatever becomes of it, it is dead at the end."""
    (directory / "config.ini").write_text(CONFIG.format(ledger=ledger), encoding="utf-8")
    with (directory / "out").open("ab") as out:
        process = subprocess.Popen(
            [*PROGRAM, "run", "--data-dir", str(directory)], stdout=out, stderr=subprocess.STDOUT
        )
    try:
        wait_until(lambda: listens(directory) or process.poll() is not None)
        assert process.poll() is None, (directory / "out").read_text()
        yield process
    finally:
        process.kill()
        process.wait()


def listens(directory: Path) -> bool:
    client = ControlClient.connect(directory)
    if client is not None:
        client.close()
    return client is not None


def new(client_id: str, side: str = "BUY", price: str = "90") -> dict[str, str]:
    return {
        "request": "NEW", "account": "ann", "client_order_id": client_id, "symbol": "BTC_USD",
        "side": side, "price": price, "quantity": "1",
    }  # fmt: skip


def place(client: ControlClient, prefix: str, count: int) -> None:
    """So many orders, a few under way at once."""
    for n in range(count):
        client.send(new(f"{prefix}{n}", *(("BUY", "90") if n % 2 else ("SELL", "110"))))
        if n >= 50:
            assert client.receive(ANSWER_S_MAX) is not None
    for _ in range(min(count, 50)):
        assert client.receive(ANSWER_S_MAX) is not None


# --- commands ---


@pytest.mark.parametrize("runs", [True, False], ids=["daemon", "no daemon"])
def test_each_command_says_the_same_with_and_without_a_daemon(tmp_path, runs):
    """A running daemon takes it; if none runs, an order manager is started for it."""

    def run(*arguments: object) -> list[str]:
        done = program(*arguments, "--data-dir", tmp_path)
        assert done.returncode == 0, done.stderr
        return done.stdout.splitlines()

    def commands() -> None:
        assert run("fund", "ann", "USD", 1000, "--create", "--id", "f") == [
            "create ann, id f-create: account=ann",
            "deposit 1000 USD, account ann, id f: "
            "asset=USD, amount=1000, available=1000, reserved=0",
        ]
        run("fund", "bob", "BTC", 5, "--create")
        [placed] = run("order", "bob", "BTC_USD", "sell", 2, "98.50", "--id", "b1")
        assert placed.startswith("order, id b1: order ")
        assert placed.endswith(" NEW, filled 0, open 2")
        placed, trade = run("order", "ann", "BTC_USD", "buy", "0.5", "--id", "a1")
        assert placed.endswith(" FILLED, filled 0.5 at 98.5, open 0") and trade == "  0.5 at 98.5"
        [repeated] = run("order", "ann", "BTC_USD", "buy", "0.5", "--id", "a1")
        assert repeated.endswith(" FILLED, filled 0.5 at 98.5, open 0")
        assert run("depth", "BTC_USD")[1:] == [" " * 30 + "  |  98.5         for 1.5"]
        for arguments in (["BTC_USD"], ["--account", "bob"], []):
            [trade] = run("trades", *arguments)
            assert trade.split()[2:7] == ["BTC_USD", "BUY", "0.5", "at", "98.5"]
        [_, position, total] = run("positions", "ann")
        assert position.split()[:3] == ["BTC_USD", "0.5", "98.5"] and total.startswith("USD")
        assert run("positions", "nobody") == ["none"]
        run("modify", "bob", "b1", "--price", 99, "--id", "b2")
        [order] = run("orders", "bob")
        assert order.split()[:3] == ["b2", "BTC_USD", "SELL"] and order.endswith("open 1.5")
        assert json.loads(run("orders", "bob", "b1", "--json")[0])["order"]["open"] == "1.5"
        [would] = run("order", "ann", "BTC_USD", "buy", 1, 90, "--dry-run")
        assert would == "would be accepted, reserving 90 USD"
        [canceled] = run("cancel", "bob", "b2")
        assert " CANCELED, filled 0.5 at 98.5, open 0" in canceled
        run("order", "ann", "BTC_USD", "buy", 1, 90, "--stop-price", 95, "--expire",
            "2200-01-01T00:00Z", "--time-in-force", "gtd")  # fmt: skip
        [done] = run("mass-cancel", "ann", "--id", "m", "--why", "leaving for the day")
        assert done == "mass-cancel, id m: canceled=1"
        assert any(
            'request "m": cancel every open order of account ann: leaving for the day' in line
            for line in run("explain", "m")
        )
        assert run("operator", "kill", "--id", "k") == ["kill, id k: trading=HALTED, canceled=0"]
        refused = program("order", "ann", "BTC_USD", "buy", 1, 90, "--id", "late",
                          "--data-dir", tmp_path)  # fmt: skip
        assert (refused.returncode, refused.stdout) == (1, "")
        assert refused.stderr == (
            "order_management: order, id late: refused: KILL_SWITCH: trading is halted\n"
        )

    if runs:
        with daemon(tmp_path, ledger="yes") as process:
            commands()
            seen = json.loads(program("status", "--json", "--data-dir", tmp_path).stdout)
            assert (seen["pid"], seen["age_s"], seen["status"]["health"]) == (process.pid, 0, "ok")
            process.terminate()
            assert process.wait(STOP_S_MAX) == 0
    else:
        (tmp_path / "config.ini").write_text(CONFIG.format(ledger="yes"), encoding="utf-8")
        commands()
    assert not (tmp_path / SOCKET_NAME).exists()
    found = audit(tmp_path)
    assert (found.differences, found.mistakes) == ([], [])


def test_what_an_argument_gets_wrong_is_told_before_anything_starts(tmp_path, capsys):
    for arguments, complaint in (
        (("order", "ann", "BTC_USD", "buy", "1", "x" * 3, "--id", 'a"b'), "client_order_id: exp"),
        (("order", "ann", "BTC_USD", "buy", "-"), "quantity: expected a number above 0"),
        (("order", "ann", "BTC_USD", "hold", "1"), "argument SIDE: invalid choice: 'hold'"),
        (("cancel", "ann"), "orig_client_order_id: expected 1 to 64"),
        (("modify", "ann", "a1"), "quantity: expected a new price or a new quantity"),
        (("mass-cancel", "ann", "--everybody"), "everybody: expected False, but for the account"),
        (("mass-cancel", "ann", "--why", "a\nb"), "why: expected up to 200 printable characters"),
        (("orders", "ann", "--limit", "0"), "expected a whole number from 1 to 1000, was '0'"),
        (("feed", tmp_path / "none", "--to", tmp_path, "--throttle"), "No such file"),
    ):
        assert main([*map(str, arguments), "--data-dir", str(tmp_path)]) == 2
        told = capsys.readouterr()
        wrong = after_place(told.err)
        assert told.out == ""
        assert complaint in wrong and wrong.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


def test_watch_and_feed_need_a_daemon(tmp_path):
    (tmp_path / "flow.jsonl").write_text(json.dumps(new("a")) + "\n", encoding="utf-8")
    done = program("watch", "--data-dir", tmp_path)
    assert (done.returncode, done.stderr) == (
        3, f"order_management: {tmp_path}: no daemon is running\n",
    )  # fmt: skip
    done = program("feed", tmp_path / "flow.jsonl", "--to", tmp_path)
    assert (done.returncode, done.stderr) == (
        2, f"order_management: {tmp_path}: no daemon is running\n",
    )  # fmt: skip


def test_a_flow_is_fed_into_a_daemon_and_watched(tmp_path):
    """Two sides of a trade, and one that is refused; a watcher hears all of it."""
    # given a daemon, a watcher, and a recorded flow
    lines = [
        new("s", "SELL", "98") | {"account": "bob"},
        new("b", "BUY", "99"),
        new("x", "BUY", "0.001"),
    ]
    for n, line in enumerate(lines):
        line["offset_ns"] = n * 20_000_000
    (tmp_path / "flow.jsonl").write_text("".join(f"{json.dumps(line)}\n" for line in lines))
    heard = tmp_path / "heard"
    with daemon(tmp_path) as process, heard.open("wb") as out:
        watcher = subprocess.Popen([*PROGRAM, "watch", "--data-dir", str(tmp_path)], stdout=out)
        try:
            with ControlClient.connect(tmp_path) as client:
                wait_until(lambda: probed(client) and heard.stat().st_size)

            # when the flow is fed at ten times its pace
            done = program("feed", tmp_path / "flow.jsonl", "--to", tmp_path, "--speed", 10)

            # then it says what became of it
            assert done.returncode == 0, done.stderr
            for text in (
                "Offered    3 in ", "10 times as fast as recorded",
                "Answered   3: NEW 1, FILLED 1, REJECTED 1",
                "Refused    1: PRICE_INVALID 1", "Trades     1 taken", "Answers    p50 ",
            ):  # fmt: skip
                assert text in done.stdout, text

            # and the watcher has heard it when the daemon ends
            process.terminate()
            assert process.wait(STOP_S_MAX) == 0
            assert watcher.wait(STOP_S_MAX) == 0
        finally:
            watcher.kill()
            watcher.wait()
    told = [json.loads(line).get("market", {}) for line in heard.read_text().splitlines()]
    trades = [event for event in told if event.get("event") == "TradePrint"]
    assert [(trade["price"], trade["quantity"]) for trade in trades] == [("98", "1")]


def probed(client: ControlClient) -> bool:
    """A request whose answer a watcher hears as well."""
    return "response" in client.ask({"request": "MASS_CANCEL", "account": "ann",
                                     "client_order_id": f"probe-{next(COUNT)}"})  # fmt: skip


# --- the kill switch under load ---


def test_the_kill_switch_from_a_second_shell_holds_at_once_under_load(tmp_path):
    """Orders pour in over two connections; after the answer none is accepted any more."""
    with daemon(tmp_path) as process:
        with ControlClient.connect(tmp_path) as client:
            place(client, "a", OPEN_ORDERS)
        stop = threading.Event()
        load = [threading.Thread(target=pour, args=(tmp_path, f"l{n}-", stop)) for n in range(2)]
        for each in load:
            each.start()
        try:
            done = program("operator", "kill", "--id", "k", "--data-dir", tmp_path)
        finally:
            stop.set()
            for each in load:
                each.join(STOP_S_MAX)
        assert done.returncode == 0, done.stderr
        assert int(done.stdout.rpartition("=")[2]) >= OPEN_ORDERS
        process.terminate()
        assert process.wait(STOP_S_MAX) == 0
    found = audit(tmp_path)
    assert found.fold.desk.executions.orders == {}
    [killed] = [key for key, row in found.rows.items() if row.client_order_id == "k"]
    assert [row for key, row in found.rows.items() if key > killed and row.type == "NEW"] == []
    assert any(key > killed and row.type == "REJECTED" for key, row in found.rows.items())


def pour(directory: Path, prefix: str, stop: threading.Event) -> None:
    with ControlClient.connect(directory) as client:
        round_ = 0
        while not stop.is_set():
            place(client, f"{prefix}{round_}-", 100)
            round_ += 1
        place(client, f"{prefix}last-", 100)


# --- ends ---


def test_after_kill_minus_nine_the_next_daemon_takes_the_sockets_place(tmp_path):
    """What was answered is there; a stale socket misleads nobody."""
    # given a daemon that was killed
    with daemon(tmp_path) as process:
        with ControlClient.connect(tmp_path) as client:
            placed = client.ask(new("a"))["response"]
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert (tmp_path / SOCKET_NAME).exists()

    # when a command comes first, then it starts an order manager for itself
    done = program("orders", "ann", "a", "--json", "--data-dir", tmp_path)
    assert json.loads(done.stdout)["order"]["order_id"] == placed["order_id"]

    # and the next daemon listens in its place
    with daemon(tmp_path), ControlClient.connect(tmp_path) as client:
        told = client.ask(new("a"))["response"]
        assert (told["order_id"], told["repeated"]) == (placed["order_id"], True)


def test_a_daemon_that_is_stopped_answers_what_it_took_and_goes(tmp_path):
    """Clients go on sending: each line is answered or unknown, none twice; exit code 0."""
    with daemon(tmp_path) as process:
        with ControlClient.connect(tmp_path) as client, ControlClient.connect(tmp_path) as idle:
            place(client, "a", 100)
            idle.send({"ask": "watch", "market": False})
            process.terminate()
            with pytest.raises(GatewayError, match=r"has gone|takes no line|has stopped"):
                for n in range(10**6):
                    client.ask(new(f"b{n}"))
        assert process.wait(STOP_S_MAX) == 0
    assert not (tmp_path / SOCKET_NAME).exists()
    assert audit(tmp_path).differences == []


def test_a_process_that_holds_the_data_without_a_socket_is_named(tmp_path):
    """A simulation, or a daemon whose socket is off: nothing is started beside it."""
    (tmp_path / "config.ini").write_text(
        CONFIG.format(ledger="no") + "[control]\nenabled = no\n", encoding="utf-8"
    )
    process = subprocess.Popen(
        [*PROGRAM, "run", "--data-dir", str(tmp_path)], stdout=subprocess.DEVNULL
    )
    try:
        wait_until(lambda: (tmp_path / "status.json").exists())
        done = program("operator", "kill", "--data-dir", tmp_path)
        assert (done.returncode, done.stdout) == (2, "")
        assert done.stderr == (
            f"order_management: {tmp_path}: in use by process {process.pid}, which has no "
            "control.sock: it starts, stops, or is no daemon\n"
        )
        assert not (tmp_path / SOCKET_NAME).exists()
    finally:
        process.terminate()
        process.wait(STOP_S_MAX)
    assert Config().control.enabled


def test_a_place_that_takes_no_socket_stops_the_start_in_one_line(tmp_path):
    (tmp_path / SOCKET_NAME).mkdir()
    done = program("run", "--data-dir", tmp_path, timeout=30)
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1] == (
        f"order_management: {tmp_path / SOCKET_NAME}: expected a socket or nothing, "
        "was another kind of file"
    )


def test_a_line_of_shell_is_enough(tmp_path):
    """The protocol needs no library of ours."""
    script = (
        "import socket, sys; s = socket.socket(socket.AF_UNIX); s.connect(sys.argv[1]); "
        's.sendall(b\'{"ask": "status"}\\n\'); print(s.makefile().readline())'
    )
    with daemon(tmp_path):
        done = subprocess.run(
            [sys.executable, "-c", script, tmp_path / SOCKET_NAME], capture_output=True, text=True,
            check=True, timeout=30,
        )  # fmt: skip
    assert json.loads(done.stdout)["status"]["session"] == "open"
